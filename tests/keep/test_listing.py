"""Lists and the watch window: order, pages that stay consistent, selectors, versions that are gone or to come."""

from __future__ import annotations

import base64
import random
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.keep.errors import Refusal
from fairlead.keep.kinds import Kind
from fairlead.keep.requests import Request
from fairlead.keep.selecting import seen_as
from fairlead.keep.worlds import World
from fairlead.tongues.selectors import parse, parse_fields
from fairlead.words import User


def fill(cluster: Any, *names: str) -> None:
    for name in names:
        cluster.create("configmaps", {"metadata": {"name": name, "labels": {"first": name[0]}}})


def page(cluster: Any, **how: Any) -> Any:
    return cluster.world.list(cluster.kind("configmaps"), "default", **how)


def names(listing: Any) -> list[str]:
    return [stored.name for stored in listing.items]


STEPS = st.lists(
    st.tuples(st.sampled_from("abcde"), st.sampled_from(["put", "delete", "commit", "rollback"])), max_size=30
)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_every_moment_in_the_window_can_be_listed_again(found: Any, steps: list[tuple[str, str]]) -> None:
    world = World(found, random.Random(1))
    kind, space = (
        Kind("", "v1", "ConfigMap", "configmaps"),
        Kind("", "v1", "Namespace", "namespaces", namespaced=False),
    )
    now = datetime(2026, 1, 1, tzinfo=UTC)
    request = Request(user=User(name="admin"), now=now, manager="test")
    world.commit(world.create(space, "", {"metadata": {"name": "n"}}, request).entries[-1].rv)
    moments = {world.rv: dict[str, bytes]()}
    for number, (name, what) in enumerate(steps):
        there = world.has(kind, "n", name)
        if what == "put" and there:
            world.patch(kind, "n", name, {"data": {"x": str(number)}}, "merge", request)
        elif what == "put":
            world.create(kind, "n", {"metadata": {"name": name}}, request)
        elif what == "delete" and there:
            world.delete(kind, "n", name, {}, request)
        elif what == "rollback":
            world.rollback()
            head = {item.name: item.body for item in world.newest(("", "configmaps"))}
            assert head == {item.name: item.body for item in world.stored(("", "configmaps"))}
        elif what == "commit":
            for entry in world.commit(10_000):
                state = dict(moments[max(moments)])
                state.pop(entry.name, None)
                if entry.type != "DELETED":
                    state[entry.name] = entry.body
                moments[entry.rv] = state
    for rv, state in moments.items():
        listing = world.list(kind, "n", rv=str(rv), rv_match="Exact")
        assert {item.name: item.body for item in listing.items} == state
        assert names(listing) == sorted(state)


def test_the_order_is_that_of_the_keys(cluster: Any) -> None:
    for space in ("a-b", "a"):
        cluster.create("namespaces", {"metadata": {"name": space}})
        cluster.create("configmaps", {"metadata": {"name": "x"}}, namespace=space)
    fill(cluster, "c", "a", "b")
    listing = cluster.world.list(cluster.kind("configmaps"), None)
    assert [(stored.namespace, stored.name) for stored in listing.items] == [
        ("a-b", "x"),
        ("a", "x"),
        ("default", "a"),
        ("default", "b"),
        ("default", "c"),
    ]


class TestPages:
    def test_they_stay_consistent_while_objects_come_and_go(self, cluster: Any) -> None:
        fill(cluster, "a", "b", "c", "d", "e")
        first = page(cluster, limit=2)
        assert (names(first), first.remaining) == (["a", "b"], 3)
        assert first.metadata["remainingItemCount"] == 3
        cluster.delete("configmaps", "d")
        cluster.patch("configmaps", "c", {"data": {"new": "1"}})
        fill(cluster, "bb", "z")
        second = page(cluster, limit=2, continue_=first.continue_)
        assert (names(second), second.rv) == (["c", "d"], first.rv)
        assert "data" not in second.items[0].object
        third = page(cluster, limit=2, continue_=second.continue_)
        assert (names(third), third.continue_, third.remaining) == (["e"], "", None)

    def test_of_now_they_are_counted_from_where_the_last_one_ended(self, cluster: Any) -> None:
        fill(cluster, "a", "b", "c", "d", "e")
        first = page(cluster, limit=2)
        second = page(cluster, limit=2, continue_=first.continue_)
        assert (names(second), second.remaining) == (["c", "d"], 1)
        third = page(cluster, limit=2, continue_=second.continue_)
        assert (names(third), third.continue_, third.remaining) == (["e"], "", None)
        assert page(cluster, limit=5).remaining is None
        cluster.create("namespaces", {"metadata": {"name": "a-space"}})
        elsewhere = cluster.world.list(
            cluster.kind("configmaps"), "a-space", limit=1, continue_=first.continue_
        )
        assert names(elsewhere) == []

    def test_with_selectors_the_rest_is_not_counted(self, cluster: Any) -> None:
        fill(cluster, "a1", "a2", "b1", "a3")
        first = page(cluster, limit=2, labels=parse("first=a"))
        assert (names(first), first.remaining) == (["a1", "a2"], None)
        assert names(page(cluster, limit=2, labels=parse("first=a"), continue_=first.continue_)) == ["a3"]

    def test_a_page_that_is_too_old_comes_with_a_way_on(self, cluster: Any) -> None:
        fill(cluster, "a", "b", "c")
        first = page(cluster, limit=1)
        fill(cluster, "d")
        cluster.world.forget(cluster.world.rv)
        with pytest.raises(Refusal) as refused:
            page(cluster, limit=1, continue_=first.continue_)
        status = refused.value.status
        assert (status["code"], status["reason"]) == (410, "Expired")
        assert status["message"].startswith(
            "The provided continue parameter is too old to display a consistent"
        )
        assert names(page(cluster, continue_=status["metadata"]["continue"])) == ["b", "c", "d"]

    @pytest.mark.parametrize(
        "token", ["%%%", "bm9uc2Vuc2U", base64.urlsafe_b64encode(orjson.dumps({"v": "x"})).decode()]
    )
    def test_broken_tokens(self, cluster: Any, token: str) -> None:
        with pytest.raises(Refusal, match="continue key is not valid") as refused:
            page(cluster, continue_=token)
        assert refused.value.code == 400


class TestVersions:
    def test_exact_looks_back(self, cluster: Any) -> None:
        fill(cluster, "a")
        then = cluster.world.rv
        fill(cluster, "b")
        cluster.delete("configmaps", "a")
        assert names(page(cluster, rv=str(then), rv_match="Exact")) == ["a"]
        assert names(page(cluster, rv=str(then), limit=5)) == ["a"]
        assert names(page(cluster, rv=str(then), rv_match="NotOlderThan")) == ["b"]
        assert names(page(cluster, rv="0")) == ["b"]
        cluster.world.forget(cluster.world.rv)
        with pytest.raises(Refusal, match="The resourceVersion for the provided list is too old"):
            page(cluster, rv=str(then), rv_match="Exact")

    def test_the_future_is_a_timeout(self, cluster: Any) -> None:
        with pytest.raises(Refusal) as refused:
            page(cluster, rv="99999")
        status = refused.value.status
        assert (status["code"], status["reason"]) == (504, "Timeout")
        assert status["message"] == f"Timeout: Too large resource version: 99999, current: {cluster.world.rv}"
        assert status["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"

    @pytest.mark.parametrize(
        ("how", "text"),
        [
            (
                {"rv_match": "Exact"},
                "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
            ),
            (
                {"rv_match": "Exact", "rv": "0"},
                'Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"',
            ),
            (
                {"rv_match": "Odd", "rv": "1"},
                'Unsupported value: "Odd": supported values: "Exact", "NotOlderThan"',
            ),
            ({"rv": "x"}, 'resourceVersion: Invalid value: "x"'),
        ],
    )
    def test_what_does_not_fit(self, cluster: Any, how: dict[str, str], text: str) -> None:
        with pytest.raises(Refusal) as refused:
            page(cluster, **how)
        assert text in refused.value.message


class TestFields:
    def test_of_every_kind(self, cluster: Any) -> None:
        fill(cluster, "a", "b")
        assert names(page(cluster, fields=parse_fields("metadata.name=b"))) == ["b"]
        assert names(page(cluster, fields=parse_fields("metadata.name!=b"))) == ["a"]
        kind = cluster.kind("configmaps")
        everywhere = cluster.world.list(kind, None, fields=parse_fields("metadata.namespace=default"))
        assert names(everywhere) == ["a", "b"]

    def test_of_pods_and_nodes(self, cluster: Any, pod: Any) -> None:
        pod["spec"]["nodeName"] = "one"
        cluster.create("pods", pod)
        kind = cluster.kind("pods")
        for text, found in (
            ("spec.nodeName=one,status.phase=Pending", ["web"]),
            ("spec.nodeName=two", []),
            ("spec.hostNetwork=false", ["web"]),
            ("status.podIP=", ["web"]),
        ):
            assert names(cluster.world.list(kind, "default", fields=parse_fields(text))) == found, text
        cluster.create("nodes", {"metadata": {"name": "n"}})
        schedulable = parse_fields("spec.unschedulable=false")
        assert names(cluster.world.list(cluster.kind("nodes"), None, fields=schedulable)) == ["n"]

    @pytest.mark.parametrize(
        ("kind", "text"),
        [
            ("pods", "field label not supported: spec.color"),
            (
                "configmaps",
                '"spec.color" is not a known field selector: only "metadata.name", "metadata.namespace"',
            ),
            ("jobs.batch", 'field label "spec.color" not supported for Job'),
        ],
    )
    def test_unsupported_ones(self, cluster: Any, kind: str, text: str) -> None:
        with pytest.raises(Refusal) as refused:
            cluster.world.list(cluster.kind(kind), None, fields=parse_fields("spec.color=red"))
        assert (refused.value.code, refused.value.message) == (400, text)


class TestWindow:
    def test_it_tells_what_happened_since(self, cluster: Any) -> None:
        start = cluster.world.rv
        fill(cluster, "a")
        cluster.patch("configmaps", "a", {"data": {"x": "1"}})
        cluster.delete("configmaps", "a")
        entries = cluster.since("configmaps", start)
        assert [entry.type for entry in entries] == ["ADDED", "MODIFIED", "DELETED"]
        assert [entry.previous for entry in entries] == [0, start + 1, start + 2]
        assert entries[2].object["data"] == {"x": "1"}
        assert entries[2].object["metadata"]["resourceVersion"] == str(start + 3)
        assert cluster.since("configmaps", start + 2) == [entries[2]]

    def test_what_it_has_forgotten_is_gone(self, cluster: Any) -> None:
        start = cluster.world.rv
        fill(cluster, "a", "b")
        cluster.world.forget(start + 1)
        with pytest.raises(Refusal) as refused:
            cluster.since("configmaps", start)
        assert refused.value.message == f"too old resource version: {start} ({start + 1})"
        assert [entry.name for entry in cluster.since("configmaps", start + 1)] == ["b"]

    def test_a_selector_turns_changes_into_comings_and_goings(self, cluster: Any) -> None:
        start = cluster.world.rv
        fill(cluster, "a")
        for label in ("b", "a", "a"):
            cluster.patch(
                "configmaps",
                "a",
                {"metadata": {"labels": {"first": label}}, "data": {"at": str(cluster.now)}},
            )
        cluster.delete("configmaps", "a")
        entries = cluster.since("configmaps", start)
        assert [seen_as(entry, parse("first=a"), ()) for entry in entries] == [
            "ADDED",
            "DELETED",
            "ADDED",
            "MODIFIED",
            "DELETED",
        ]
        assert [seen_as(entry, parse("first=b"), ()) for entry in entries] == [
            None,
            "ADDED",
            "DELETED",
            None,
            None,
        ]
        assert [seen_as(entry, None, [("metadata.name", "=", "z")]) for entry in entries] == [None] * 5

    def test_it_stays_bounded_and_leases_get_little_of_it(self, cluster: Any) -> None:
        from fairlead.keep.staging import FEWER, KEEP

        store = cluster.world._store
        lease = cluster.create("leases.coordination.k8s.io", {"metadata": {"name": "l"}, "spec": {}})
        for _ in range(300):
            lease["metadata"].pop("managedFields", None)
            lease["spec"]["leaseTransitions"] = lease["spec"].get("leaseTransitions", 0) + 1
            lease = cluster.update("leases.coordination.k8s.io", lease)
        fill(cluster, "a")
        store.window.trim(KEEP, FEWER)
        leases = ("coordination.k8s.io", "leases")
        floor = store.window.floor(leases)
        assert floor > store.window.floor(("", "configmaps"))
        assert len(store.window.since(leases, floor)) == 100
        store.window.trim(10)
        assert len(store.window) == 10
