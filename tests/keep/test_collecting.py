"""Garbage collection over plain Views: what must go when owners went, what waits, what is let go."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from fairlead.keep.collecting import Owners, collect
from fairlead.words import Change, Ref, Resource, Snapshot


def thing(
    uid: str,
    *owners: str,
    namespace: str = "n",
    deleting: bool = False,
    finalizers: Iterable[str] = (),
    block: bool = False,
) -> Resource:
    meta: dict[str, Any] = {"name": uid, "namespace": namespace, "uid": uid, "resourceVersion": "5"}
    if owners:
        meta["ownerReferences"] = [
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "name": owner,
                "uid": owner,
                "blockOwnerDeletion": block,
            }
            for owner in owners
        ]
    if deleting:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    if finalizers:
        meta["finalizers"] = list(finalizers)
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}


def told(changes: Iterable[Change]) -> list[tuple[str, str, Any]]:
    return [(change.verb, change.ref.name, change.body) for change in changes]


BACKGROUND = {"propagationPolicy": "Background"}


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        pytest.param([thing("a"), thing("b", "a")], [], id="the owner is there"),
        pytest.param([thing("b", "gone")], [("delete", "b", BACKGROUND)], id="the owner is gone"),
        pytest.param(
            [thing("a"), thing("b", "a", "gone")],
            [
                (
                    "patch",
                    "b",
                    {"metadata": {"ownerReferences": thing("b", "a")["metadata"]["ownerReferences"]}},
                )
            ],
            id="one of two owners is gone",
        ),
        pytest.param(
            [thing("a", namespace="other"), thing("b", "a")],
            [("delete", "b", BACKGROUND)],
            id="an owner in another namespace is none",
        ),
        pytest.param([thing("b", "gone", deleting=True)], [], id="it goes already"),
        pytest.param(
            [thing("a", deleting=True, finalizers=["foregroundDeletion"]), thing("b", "a", block=True)],
            [("delete", "b", BACKGROUND)],
            id="a foreground delete takes its dependents first",
        ),
        pytest.param(
            [
                thing("a", deleting=True, finalizers=["foregroundDeletion"]),
                thing("b", "a", block=True),
                thing("c", "b", block=True),
            ],
            [("delete", "b", {"propagationPolicy": "Foreground"})],
            id="and theirs before them",
        ),
        pytest.param(
            [thing("a", deleting=True, finalizers=["a.io/b", "foregroundDeletion"])],
            [("patch", "a", {"metadata": {"finalizers": ["a.io/b"]}})],
            id="after the last dependent the finalizer goes",
        ),
        pytest.param(
            [
                thing("a", deleting=True, finalizers=["foregroundDeletion"]),
                thing("b", "a", block=False, deleting=True),
            ],
            [("patch", "a", {"metadata": {"finalizers": None}})],
            id="a dependent that does not block is not waited for",
        ),
        pytest.param(
            [thing("a", deleting=True, finalizers=["orphan"]), thing("b", "a"), thing("c", "a", "b")],
            [
                ("patch", "b", {"metadata": {"ownerReferences": None}}),
                (
                    "patch",
                    "c",
                    {"metadata": {"ownerReferences": thing("c", "b")["metadata"]["ownerReferences"]}},
                ),
            ],
            id="an orphaning delete lets its dependents go",
        ),
        pytest.param(
            [thing("a", deleting=True, finalizers=["orphan"])],
            [("patch", "a", {"metadata": {"finalizers": None}})],
            id="and then itself",
        ),
        pytest.param(
            [thing("b", "gone", finalizers=["orphan"])],
            [("delete", "b", {"propagationPolicy": "Orphan"})],
            id="its own finalizer says how",
        ),
    ],
)
def test_a_view(resources: list[Resource], expected: list[Any]) -> None:
    assert told(collect(Snapshot(resources))) == expected


def test_changes_hold_only_for_what_was_seen() -> None:
    (change,) = collect(Snapshot([thing("b", "gone")]))
    assert (change.if_uid, change.if_version, change.ref) == ("b", "5", Ref("", "ConfigMap", "n", "b"))


def test_an_owner_of_an_unknown_kind_is_not_taken_for_gone() -> None:
    assert collect(Snapshot([thing("b", "gone")]), lambda _version, _kind: False) == []


class TestStepByStep:
    def test_only_what_was_touched_is_looked_at(self) -> None:
        owners = Owners(lambda _version, _kind: True)
        for number in range(100):
            owners.put(thing(f"a{number}"))
            owners.put(thing(f"b{number}", f"a{number}"))
        assert owners.changes() == []
        owners.drop("a7")
        assert told(owners.changes()) == [("delete", "b7", BACKGROUND)]
        assert owners.changes() == []
        owners.again("b7")
        assert told(owners.changes()) == [("delete", "b7", BACKGROUND)]
        owners.drop("b7")
        assert owners.changes() == []

    def test_a_chain_goes_link_by_link(self) -> None:
        owners = Owners(lambda _version, _kind: True)
        for resource in (thing("a"), thing("b", "a"), thing("c", "b")):
            owners.put(resource)
        gone = "a"
        order = []
        while True:
            owners.drop(gone)
            changes = owners.changes()
            if not changes:
                break
            gone = changes[0].ref.name
            order.append(gone)
        assert order == ["b", "c"]

    def test_a_dependent_that_comes_before_its_owner(self) -> None:
        owners = Owners(lambda _version, _kind: True)
        owners.put(thing("b", "a"))
        owners.put(thing("a"))
        assert owners.changes() == []
        owners.put(thing("a", deleting=True, finalizers=["foregroundDeletion"]))
        assert told(owners.changes()) == [
            ("patch", "a", {"metadata": {"finalizers": None}}),
            ("delete", "b", BACKGROUND),
        ]

    def test_nothing_is_kept_of_what_is_gone(self) -> None:
        owners = Owners(lambda _version, _kind: True)
        owners.put(thing("a"))
        owners.put(thing("b", "a"))
        owners.drop("a")
        owners.drop("b")
        owners.changes()
        assert not owners._things
        assert not owners._absent
