"""Settling: a copy comes to rest, and what went wrong on the way is reported."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from fairlead.orchestrate import proposing
from fairlead.orchestrate.settling import settle
from fairlead.orchestrate.steps import Controller, Refused, Step
from fairlead.words import Change, Ref, View

NAME = Ref("", "ConfigMap", "default", "x")


def config(view: View, ref: Ref, now: datetime) -> Step:
    del ref, now
    if view.get("", "ConfigMap", "default", "x"):
        return Step(again=timedelta(seconds=5))
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "default"}}
    return Step((proposing.create(body, "wanted"),))


def test_it_rests_when_a_round_changes_nothing(cluster: Any) -> None:
    settled = settle(cluster, cluster.now, [Controller("one", ("", ""), config)])
    assert settled.quiet
    assert settled.rounds == 2
    assert [change.ref for change in settled.changes] == [NAME]
    assert settled.waiting == {("one", Ref("", "", "", "one")): timedelta(seconds=5)}


def test_restlessness_is_reported(cluster: Any) -> None:
    def forever(view: View, ref: Ref, now: datetime) -> Step:
        found = view.get("", "Namespace", "", "default")
        assert found is not None
        count = int((found["metadata"].get("annotations") or {}).get("n", "0"))
        return Step((proposing.patch(found, {"metadata": {"annotations": {"n": str(count + 1)}}}, "more"),))

    settled = settle(cluster, cluster.now, [Controller("forever", ("", ""), forever)], rounds=7)
    assert not settled.quiet
    assert settled.rounds == 7


def test_a_fault_and_a_refusal_do_not_stop_the_others(cluster: Any) -> None:
    def bad(view: View, ref: Ref, now: datetime) -> Step:
        raise ValueError("no")

    def refuse(change: Change) -> Refused | None:
        return Refused(403, "Forbidden", "not you") if change.ref.kind == "Secret" else None

    def secret(view: View, ref: Ref, now: datetime) -> Step:
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "default"}}
        return Step((proposing.create(body, "wanted"),))

    heard: list[str] = []

    def refused(view: View, ref: Ref, change: Change, refusal: Refused, now: datetime) -> Step:
        heard.append(refusal.message)
        return Step()

    cluster.refuse = refuse
    controllers = [
        Controller("bad", ("", ""), bad),
        Controller("secret", ("", ""), secret, refused=refused),
        Controller("one", ("", ""), config),
    ]
    settled = settle(cluster, cluster.now, controllers)
    assert settled.quiet
    assert [(name, str(fault)) for name, _, fault in settled.faults] == [("bad", "no")]
    assert [(name, why.message) for name, _, why in settled.refusals] == [("secret", "not you")]
    assert set(heard) == {"not you"}
    assert cluster.of(NAME)


def test_what_is_gone_already_is_no_refusal(cluster: Any) -> None:
    def twice(view: View, ref: Ref, now: datetime) -> Step:
        found = view.get("", "ConfigMap", "default", "x")
        if found is None:
            return Step()
        return Step((proposing.delete(found, "away"), proposing.delete(found, "away")))

    cluster.add({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}})
    settled = settle(cluster, cluster.now, [Controller("twice", ("", ""), twice)])
    assert settled.quiet
    assert not settled.refusals


def test_differences_are_minimal() -> None:
    old = {"a": 1, "b": {"c": 1, "d": 2}, "e": [1], "f": 1}
    new = {"a": 1, "b": {"c": 1, "d": 3}, "e": [1, 2], "g": {}}
    assert proposing.difference(old, new) == {"b": {"d": 3}, "e": [1, 2], "f": None, "g": {}}
    assert proposing.difference(new, new) == {}
