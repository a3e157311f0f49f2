"""The inventory: what its indexes find, how they stay current, what is kept and what a reader leaves behind."""

from __future__ import annotations

import copy
import random
from collections.abc import Hashable
from datetime import UTC, datetime, timedelta
from typing import Any

import clusters
import pytest

from fairlead.diagnose.indexes import INDEXES
from fairlead.diagnose.inventories import ALWAYS, EVERYTHING, Inventory, Reads, span
from fairlead.words import Need, Ref, Resource, Snapshot

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def thing(kind: str, name: str, namespace: str = "shop", version: str = "v1", **more: Any) -> Resource:
    meta = {"name": name, "uid": f"{kind}/{name}", **more.pop("metadata", {})}
    if namespace:
        meta["namespace"] = namespace
    return {"apiVersion": version, "kind": kind, "metadata": meta, **more}


def owned(by: Resource) -> dict[str, Any]:
    meta = by["metadata"]
    return {"ownerReferences": [{"apiVersion": by["apiVersion"], "kind": by["kind"], "name": meta["name"], "uid": meta["uid"], "controller": True}]}  # fmt: skip


CONTAINER = {
    "name": "main",
    "image": "shop:1",
    "ports": [{"name": "http", "containerPort": 8080}],
    "env": [{"name": "HOST", "value": "db"}],
}
WEB = thing("Deployment", "web", version="apps/v1",
            spec={"template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [CONTAINER]}}})  # fmt: skip
SET = thing("ReplicaSet", "web-1", version="apps/v1", metadata=owned(WEB), spec=WEB["spec"])
POD = thing("Pod", "web-1-a", metadata={"labels": {"app": "web", "hash": "1"}, **owned(SET)},
            spec={"nodeName": "one", "containers": [CONTAINER], "volumes": [{"name": "c", "configMap": {"name": "web"}}]},
            status={"podIP": "10.0.0.1"})  # fmt: skip
LONE = thing("Pod", "alone", metadata={"labels": {"app": "web"}}, spec={"containers": []})
SERVICE = thing(
    "Service",
    "web",
    spec={"clusterIP": "10.96.0.1", "selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}]},
)
EVENT = thing(
    "Event",
    "e",
    involvedObject={"apiVersion": "v1", "kind": "Pod", "namespace": "shop", "name": "alone"},
    reason="Killing",
)
OBJECTS = [WEB, SET, POD, LONE, SERVICE, EVENT]


def inventory(objects: list[Resource] | None = None, **more: Any) -> Inventory:
    return Inventory(Snapshot(OBJECTS if objects is None else objects), scope="live", now=NOW, **more)


def names(found: Any) -> list[str]:
    return [one["metadata"]["name"] for one in found]


@pytest.mark.parametrize(
    ("index", "key", "expected"),
    [
        ("kind", ("", "Pod"), ["alone", "web-1-a"]),
        ("kind in", ("", "Pod", "other"), []),
        ("namespace", "shop", ["alone", "web-1-a", "web", "web", "web-1"]),
        ("name", "web", ["web", "web"]),
        ("owner", "Deployment/web", ["web-1"]),
        ("controller", "ReplicaSet/web-1", ["web-1-a"]),
        ("label", ("shop", "app", "web"), ["alone", "web-1-a"]),
        ("template label", ("shop", "app", "web"), ["alone", "web-1-a", "web", "web-1"]),
        ("template", "shop", ["alone", "web-1-a", "web", "web-1"]),
        ("image", "shop:1", ["web-1-a", "web", "web-1"]),
        ("variable", ("shop", "HOST"), ["web-1-a", "web", "web-1"]),
        ("port", ("shop", 8080), ["web-1-a", "web", "web-1"]),
        ("port", ("shop", "http"), ["web-1-a", "web", "web-1"]),
        ("service port", ("shop", 80), ["web"]),
        ("service label", ("shop", "app", "web"), ["web"]),
        ("address", "10.0.0.1", ["web-1-a"]),
        ("address", "10.96.0.1", ["web"]),
        ("node", "one", ["web-1-a"]),
        ("about", Ref("", "Pod", "shop", "alone"), ["e"]),
        ("target", Ref("", "ConfigMap", "shop", "web"), ["web-1-a"]),
        ("target", Ref("", "Node", "", "one"), ["web-1-a"]),
    ],
)  # fmt: skip
def test_what_an_index_finds(index: str, key: Hashable, expected: list[str]) -> None:
    assert names(inventory().at(index, key)) == expected


def test_an_index_that_there_is_not() -> None:
    with pytest.raises(KeyError):
        inventory().at("colour", "red")


def test_pods_have_a_top_and_tops_have_a_crew() -> None:
    found = inventory()
    assert [one.ref.name for one in found.crew(Ref.of(WEB))] == ["web-1-a"]
    assert [one.ref.name for one in found.crew(Ref.of(SET))] == []  # it is not at the top
    assert [one.ref.name for one in found.below(Ref.of(SET))] == ["web-1-a"]
    assert [one.ref.name for one in found.crew(Ref.of(LONE))] == ["alone"]
    assert [one.top.ref.name for one in found.selected({"app": "web"}, Ref.of(SERVICE))] == ["alone", "web"]
    assert [one.ref.name for one in found.described({"app": "web"}, Ref.of(SERVICE))] == ["alone", "web"]
    assert [one.ref.name for one in found.templates_in("shop")] == ["alone", "web"]


def test_indexes_stay_current_through_any_changes() -> None:
    rng = random.Random(1)
    objects = clusters.generate(300, 2, faults=0.5)
    going = Inventory(Snapshot(objects[::2]), scope="live", now=NOW, lasting=True)
    for index in INDEXES:
        going.keys(index)
    going.referrers(Ref("", "Node", "", "node-0000"))
    for one in rng.choices(objects, k=400):
        if rng.random() < 0.4:
            going.drop(Ref.of(one))
        else:
            changed = copy.deepcopy(one)
            changed["metadata"]["resourceVersion"] = str(rng.random())
            if rng.random() < 0.3:
                changed["metadata"].pop("labels", None)
            going.put(changed)
    fresh = Inventory(going.view, scope="live", now=NOW)
    for index in INDEXES:
        assert set(going.keys(index)) == set(fresh.keys(index)), index
        for key in fresh.keys(index):
            assert going.at(index, key) == fresh.at(index, key), (index, key)
    for one in going.view.list("", "ConfigMap"):
        assert going.referrers(Ref.of(one)) == fresh.referrers(Ref.of(one))


def test_a_reader_leaves_tokens_and_a_change_touches_those_whose_answer_is_another() -> None:
    going = inventory(lasting=True)
    reads = Reads()
    going.reading(reads)
    going.at("node", "one")
    going.get(Ref("", "ConfigMap", "shop", "web"))
    going.reading(None)
    assert not going.put(thing("ConfigMap", "other")).isdisjoint({EVERYTHING})
    assert going.put(thing("ConfigMap", "other")) == set()  # as it was
    assert reads.tokens.isdisjoint(going.put(thing("ConfigMap", "another")))
    assert not reads.tokens.isdisjoint(going.put(thing("ConfigMap", "web")))
    moved = copy.deepcopy(POD)
    moved["spec"]["nodeName"] = "two"
    assert ("node", "one") in going.put(moved)
    assert going.drop(Ref("", "Pod", "shop", "nobody")) == set()


def test_what_is_kept_is_forgotten_when_what_it_read_changes_or_the_time_comes() -> None:
    went: list[str] = []

    def data(found: Inventory, name: str) -> Any:
        went.append(name)
        return (found.get(Ref("", "ConfigMap", "shop", name)) or {}).get("data")

    def old(found: Inventory) -> bool:
        went.append("old")
        return found.past(NOW, timedelta(seconds=10))

    going = inventory([thing("ConfigMap", "a", data={"x": "1"})], lasting=True)
    assert [going.kept(data, "a"), going.kept(data, "a"), going.kept(old)] == [{"x": "1"}, {"x": "1"}, False]
    assert went == ["a", "old"]
    going.forget(going.put(thing("ConfigMap", "b")))
    assert going.kept(data, "a") == {"x": "1"}
    assert went == ["a", "old"]
    going.forget(going.put(thing("ConfigMap", "a", data={"x": "2"})))
    going.now = NOW + timedelta(seconds=10)
    going.forget(())
    assert [going.kept(data, "a"), going.kept(old)] == [{"x": "2"}, True]
    assert went == ["a", "old", "a", "old"]


@pytest.mark.parametrize("seconds", [0, 1, 59, 119, 120, 3599, 3600, 86399, 86400, 10**6])
def test_who_says_how_long_ago_is_asked_again_when_that_is_said_otherwise(seconds: int) -> None:
    found = Inventory(Snapshot(), scope="live", now=NOW + timedelta(seconds=seconds))
    reads = Reads()
    found.reading(reads)
    said = found.ago(NOW)
    assert reads.until is not None
    assert span(reads.until - timedelta(milliseconds=1) - NOW) == said != span(reads.until - NOW)
    assert (reads.until - NOW).total_seconds() > seconds


def test_who_reads_the_clock_itself_is_always_asked_again() -> None:
    found, reads = inventory(), Reads()
    found.reading(reads)
    assert found.now == NOW
    assert reads.until == ALWAYS


def test_secrets_are_not_quoted_the_longest_first_and_names_are_no_secrets() -> None:
    found = inventory([
        thing("Secret", "s", stringData={"short": "abc", "part": "hunter", "whole": "hunter-two", "name": "database"}),
        thing("Service", "database"),
        thing("Secret", "t", namespace="other", stringData={"x": "elsewhere"}),
    ])  # fmt: skip
    said = found.quote("abc hunter-two hunter\n database elsewhere", Ref.of(WEB))
    assert said == "abc [secret s/whole] [secret s/part] database elsewhere"


def test_answers_are_read_one_by_one() -> None:
    need = Need("log", Ref.of(POD), (("container", "main"),))
    going = inventory(lasting=True)
    assert going.answer(need) == ""
    assert going.answered({need: "x"}) == {need, "answers"}
    assert going.answer(need) == "x"
    assert going.answered({need: "x"}) == set()
