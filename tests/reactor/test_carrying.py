"""Carrying out Changes on a world: each is one request, with its preconditions; Events are counted, not heaped."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from fairlead.drivers import definitions
from fairlead.drivers.cluster import AsyncCluster
from fairlead.keep import bootstrapping
from fairlead.keep.errors import Refusal, already_exists
from fairlead.keep.worlds import World
from fairlead.orchestrate import proposing
from fairlead.orchestrate.steps import Refused
from fairlead.reactor import carrying
from fairlead.words import Change, Ref, Resource

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ASKED = carrying.request(NOW)


@pytest.fixture(scope="module")
def template() -> World:
    world = World(definitions.load(), random.Random(3))
    bootstrapping.bootstrap(world, NOW)
    world.commit(10**9)
    return world


@pytest.fixture
def copy(template: World) -> carrying.Copy:
    return carrying.Copy.of(template, NOW)


def config(name: str = "x", **data: str) -> Resource:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default"},
        "data": data,
    }


def made(copy: carrying.Copy) -> Resource:
    found = copy.get("", "ConfigMap", "default", "x")
    assert found is not None
    return found


def test_create_patch_update_delete(copy: carrying.Copy) -> None:
    copy.carry_out(proposing.create(config(a="1"), "test"))
    copy.carry_out(proposing.patch(made(copy), {"data": {"b": "2"}}, "test", exact=True))
    assert made(copy)["data"] == {"a": "1", "b": "2"}
    body = {**made(copy), "data": {"c": "3"}}
    ref = Ref.of(body)
    copy.carry_out(Change(verb="update", ref=ref, api_version="v1", body=body))
    assert made(copy)["data"] == {"c": "3"}
    operations = [{"op": "add", "path": "/data/d", "value": "4"}]
    uid = made(copy)["metadata"]["uid"]
    copy.carry_out(Change(verb="patch", ref=ref, api_version="v1", body=operations, patch="json", if_uid=uid))
    assert made(copy)["data"] == {"c": "3", "d": "4"}
    copy.carry_out(proposing.delete(made(copy), "test"))
    assert copy.get("", "ConfigMap", "default", "x") is None


def test_the_original_is_not_touched(template: World, copy: carrying.Copy) -> None:
    copy.carry_out(proposing.create(config(), "test"))
    kind = template.catalogue.kind("", "ConfigMap")
    assert kind is not None
    assert not template.has(kind, "default", "x")


def test_preconditions_are_kept(copy: carrying.Copy) -> None:
    copy.carry_out(proposing.create(config(a="1"), "test"))
    old = made(copy)
    copy.carry_out(proposing.patch(old, {"data": {"a": "2"}}, "test"))
    with pytest.raises(Refused) as stale:
        copy.carry_out(proposing.patch(old, {"data": {"a": "3"}}, "test", exact=True))
    assert (stale.value.code, stale.value.reason) == (409, "Conflict")
    copy.carry_out(proposing.delete(made(copy), "test"))
    copy.carry_out(proposing.create(config(), "another one"))
    for change in (
        proposing.delete(old, "test"),
        proposing.patch(old, {"data": {"a": "3"}}, "test"),
        Change(
            verb="patch",
            ref=Ref.of(old),
            api_version="v1",
            body=[],
            patch="json",
            if_uid=old["metadata"]["uid"],
        ),
    ):
        with pytest.raises(Refused):
            copy.carry_out(change)
    assert "data" not in made(copy)


def test_a_status_patch_leaves_the_rest_alone(copy: carrying.Copy) -> None:
    spec = {"hard": {"pods": "1"}}
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "q", "namespace": "default"},
        "spec": spec,
    }
    copy.carry_out(proposing.create(quota, "test"))
    found = copy.get("", "ResourceQuota", "default", "q")
    assert found is not None
    for change in proposing.status(found, {"hard": {"pods": "1"}, "used": {"pods": "7"}}):
        copy.carry_out(change)
    found = copy.get("", "ResourceQuota", "default", "q")
    assert found is not None
    assert found["status"]["used"] == {"pods": "7"}
    assert found["spec"] == spec


def test_what_a_change_shares_with_a_view_is_not_changed(copy: carrying.Copy) -> None:
    shared: Resource = {"containers": [{"name": "m", "image": "a"}]}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "default"},
        "spec": shared,
    }
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": "default"},
    }
    copy.carry_out(proposing.create(account, "test"))
    copy.carry_out(proposing.create(pod, "test"))
    assert shared == {"containers": [{"name": "m", "image": "a"}]}


def test_an_unknown_kind_is_refused(copy: carrying.Copy) -> None:
    body = {"apiVersion": "example.com/v1", "kind": "Nothing", "metadata": {"name": "x"}}
    with pytest.raises(Refused, match=r'no matches for kind "Nothing" in version "example\.com/v1"'):
        copy.carry_out(proposing.create(body, "test"))


def test_the_same_event_is_counted(copy: carrying.Copy) -> None:
    copy.carry_out(proposing.create(config(), "test"))
    for _ in range(3):
        copy.carry_out(proposing.event(made(copy), "Normal", "Tested", "again", NOW, "test"))
    (event,) = copy.list("", "Event")
    assert event["count"] == 3
    assert event["involvedObject"]["uid"] == made(copy)["metadata"]["uid"]


def test_a_deleted_object_gives_its_quota_back(copy: carrying.Copy) -> None:
    spec = {"hard": {"configmaps": "2"}}
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "q", "namespace": "default"},
        "spec": spec,
    }
    copy.carry_out(proposing.create(quota, "test"))
    copy.carry_out(proposing.create(config("a"), "test"))
    copy.carry_out(proposing.create(config("x"), "test"))
    with pytest.raises(Refused, match="exceeded quota"):
        copy.carry_out(proposing.create(config("c"), "test"))
    copy.carry_out(proposing.delete(made(copy), "test"))
    copy.carry_out(proposing.create(config("c"), "test"))


def test_a_refusal_reaches_the_caller_of_apply(template: World) -> None:
    world = template.fork()
    with pytest.raises(Refusal):
        carrying.apply(world, proposing.create({**config(), "data": {"bad key": "x"}}, "test"), ASKED)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


ABOUT: Resource = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "namespace": "default", "uid": "u"},
}


def told(message: str, about: Resource = ABOUT) -> Change:
    return proposing.event(about, "Warning", "Failed", message, NOW, "test")


def test_too_many_events_about_one_object_are_dropped_for_a_while() -> None:
    clock = Clock()
    teller = carrying.Teller(clock)
    passed = [teller.pass_on(told("same")) for _ in range(40)]
    assert sum(change is not None for change in passed) == carrying.BURST
    other: Any = {**ABOUT, "metadata": {**ABOUT["metadata"], "uid": "v"}}
    assert teller.pass_on(told("same", other)) is not None
    clock.now += carrying.REFILL
    assert teller.pass_on(told("same")) is not None
    assert teller.pass_on(told("same")) is None


def test_events_that_differ_only_in_their_message_are_combined() -> None:
    clock = Clock()
    teller = carrying.Teller(clock)
    names = []
    for number in range(15):
        passed = teller.pass_on(told(f"pod-{number}"))
        assert passed is not None
        names.append(passed.body["metadata"]["name"])
    assert len(set(names)) == carrying.SIMILAR + 1
    combined = teller.pass_on(told("pod-99"))
    assert combined is not None
    assert combined.body["message"] == "(combined from similar events): pod-99"
    assert combined.ref.name == combined.body["metadata"]["name"]
    clock.now += carrying.WITHIN + 1
    clock.now += carrying.REFILL * carrying.BURST
    later = teller.pass_on(told("pod-100"))
    assert later is not None
    assert later.body["message"] == "pod-100"


class Far(AsyncCluster):
    """A remote cluster that writes down what it is asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.taken = False

    async def path(
        self, api_version: str, kind: str, namespace: str = "", name: str = "", subresource: str = ""
    ) -> str:
        return "/".join(part for part in (api_version, kind, namespace, name, subresource) if part)

    async def raw(
        self,
        method: str,
        path: str,
        *,
        params: Any = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> httpx.Response:
        del params, content_type
        self.calls.append((method, path, body))
        if self.taken and method == "POST":
            self.taken = False
            raise already_exists("", "events", "x")
        return httpx.Response(200, json={**(body if isinstance(body, dict) else {}), "count": 4})


def test_a_remote_cluster_is_asked_the_same() -> None:
    far = Far()
    config_map = {
        **config(),
        "metadata": {"name": "x", "namespace": "default", "uid": "u", "resourceVersion": "7"},
    }
    pod = Ref("", "Pod", "default", "p")
    changes = [
        proposing.create(config(), "test"),
        proposing.patch(config_map, {"data": {"a": "1"}}, "test", exact=True),
        Change(verb="update", ref=Ref.of(config_map), api_version="v1", body=config(), if_version="7"),
        proposing.delete(config_map, "test", {"gracePeriodSeconds": 0}),
        Change(verb="create", ref=pod, api_version="v1", body={"kind": "Binding"}, subresource="binding"),
    ]

    async def all_of_them() -> None:
        for change in changes:
            await carrying.carry_out(change, far, NOW)
        far.taken = True
        await carrying.carry_out(told("again"), far, NOW)

    asyncio.run(all_of_them())
    assert [(method, path) for method, path, _ in far.calls[:5]] == [
        ("POST", "v1/ConfigMap/default"),
        ("PATCH", "v1/ConfigMap/default/x"),
        ("PUT", "v1/ConfigMap/default/x"),
        ("DELETE", "v1/ConfigMap/default/x"),
        ("POST", "v1/Pod/default/p/binding"),
    ]
    assert far.calls[1][2] == {"data": {"a": "1"}, "metadata": {"uid": "u", "resourceVersion": "7"}}
    assert far.calls[2][2]["metadata"]["resourceVersion"] == "7"
    assert far.calls[3][2] == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "gracePeriodSeconds": 0,
        "preconditions": {"uid": "u"},
    }
    assert [method for method, _, _ in far.calls[5:]] == ["POST", "GET", "PATCH"]
    assert far.calls[-1][2]["count"] == 5
