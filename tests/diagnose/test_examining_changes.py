"""An examination that goes on says after every change what a fresh one of the same objects says."""

from __future__ import annotations

import copy
import random
from datetime import datetime, timedelta
from typing import Any

import clusters
import pytest

from fairlead.diagnose.examining import Examination, examine, needs
from fairlead.words import Need, Ref, Resource, Snapshot

SIZE = 300


def pool(seed: int) -> dict[Ref, list[Resource]]:
    """Each object of a cluster as it is when all is well, and as it is with faults."""
    found: dict[Ref, list[Resource]] = {}
    for faults in (0.0, 0.4, 0.9):
        for one in clusters.generate(SIZE, seed, faults=faults):
            found.setdefault(Ref.of(one), []).append(one)
    return found


def bent(one: Resource, rng: random.Random) -> Resource:
    """The object with something about it changed that others may have read."""
    changed = copy.deepcopy(one)
    meta = changed["metadata"]
    what = rng.randrange(6)
    if what == 0:
        meta["resourceVersion"] = str(rng.randrange(10**6))
    elif what == 1 and meta.get("labels"):
        meta["labels"].pop(rng.choice(sorted(meta["labels"])))
    elif what == 2:
        meta["deletionTimestamp"] = "2026-01-01T11:59:30Z"
    elif what == 3:
        meta.pop("ownerReferences", None)
    elif what == 4 and changed.get("status"):
        changed["status"].pop(rng.choice(sorted(changed["status"])))
    elif changed.get("spec"):
        changed["spec"].pop(rng.choice(sorted(changed["spec"])))
    return changed


def logs(wanted: list[Need], rng: random.Random) -> dict[Need, str]:
    lines = (
        "dial tcp: lookup cart: no such host",
        "ERROR out of cheese",
        "panic: nil\n\ngoroutine 1 [running]:",
    )
    return {need: rng.choice(lines) for need in wanted if rng.random() < 0.7}


def compare(
    going: Examination, found: list[Any], now: datetime, answers: dict[Need, str], *, advice: bool
) -> None:
    fresh = examine(going.view, scope="live", now=now, answers=answers, advice=advice)
    assert [one.id for one in found] == [one.id for one in fresh]
    assert found == fresh
    assert set(going.needs) == set(needs(going.view, now=now))


@pytest.mark.parametrize("seed", range(10))
def test_after_any_changes_it_says_what_a_fresh_one_says(seed: int) -> None:
    rng = random.Random(seed)
    objects = pool(seed)
    refs = sorted(objects, key=str)
    going = Examination(advice=seed % 2 == 1)
    now, answers = clusters.NOW, dict[Need, str]()
    start = [rng.choice(objects[ref]) for ref in refs if rng.random() < 0.9]
    compare(going, going.update(start, now=now), now, answers, advice=seed % 2 == 1)
    for _ in range(14):
        now += timedelta(seconds=rng.choice((0, 0.01, 1, 40, 400, 4000)))
        chosen = rng.sample(refs, rng.choice((0, 1, 1, 2, 5)))
        puts = [rng.choice(objects[ref]) for ref in chosen]
        puts = [bent(one, rng) if rng.random() < 0.5 else one for one in puts]
        drops = rng.sample(refs, rng.choice((0, 0, 1, 3)))
        if rng.random() < 0.3:
            answers = logs(going.needs, rng)
        found = going.update(puts, drops, now=now, answers=answers)
        compare(going, found, now, answers, advice=seed % 2 == 1)


def test_only_what_read_a_change_is_asked_again() -> None:
    going = Examination()
    objects = clusters.generate(2000, 1)
    assert going.update(objects, now=clusters.NOW) == []
    pod = copy.deepcopy(next(one for one in objects if one["kind"] == "Pod"))
    pod["status"]["conditions"][2]["status"] = "False"
    going.update([pod], now=clusters.NOW)
    assert going.asked < 30
    going.update([pod], now=clusters.NOW)
    assert going.asked == 0  # nothing has changed


def test_what_hangs_on_the_clock_is_asked_again_when_it_is_due() -> None:
    claim = {"apiVersion": "v1", "kind": "Namespace",
             "metadata": {"name": "old", "deletionTimestamp": "2026-01-01T12:00:00Z"}}  # fmt: skip
    going = Examination()
    assert going.update([claim], now=clusters.NOW) == []
    assert going.update(now=clusters.NOW + timedelta(seconds=59)) == []
    assert going.asked == 0
    (found,) = going.update(now=clusters.NOW + timedelta(seconds=60))
    assert found.message == "is being deleted for 60s"
    (found,) = going.update(now=clusters.NOW + timedelta(seconds=61))
    assert found.message == "is being deleted for 61s"
    going.update(now=clusters.NOW + timedelta(minutes=5))
    going.update(now=clusters.NOW + timedelta(minutes=5, seconds=30))
    assert going.asked == 0  # `5m` is what it was


def test_kinds_that_are_seen_no_more_prove_nothing() -> None:
    pod: Resource = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "b", "uid": "1"},
                     "spec": {"containers": [{"name": "x", "envFrom": [{"configMapRef": {"name": "gone"}}]}]}}  # fmt: skip
    going = Examination()
    assert [one.rule for one in going.update([pod], now=clusters.NOW)] == ["config.missing"]
    assert going.update(now=clusters.NOW, unseen=[("", "ConfigMap")]) == []
    assert [one.rule for one in going.update(now=clusters.NOW, unseen=[])] == ["config.missing"]


def test_an_analyzer_that_fails_costs_no_other_object_its_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    pod: Resource = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "b", "uid": "1"},
                     "spec": {"containers": [{"name": "x", "envFrom": [{"configMapRef": {"name": "gone"}}]}]}}  # fmt: skip
    broken = copy.deepcopy(pod)
    broken["metadata"] |= {"name": "broken", "uid": "2"}
    going = Examination()
    plan = going._plan.ask

    def ask(inventory: Any, resource: Resource, kind: tuple[str, str]) -> Any:
        if resource["metadata"]["name"] == "broken":
            raise ValueError("a fault")
        return plan(inventory, resource, kind)

    monkeypatch.setattr(going._plan, "ask", ask)
    found = going.update([pod, broken], now=clusters.NOW)
    assert [(one.rule, one.subject.name) for one in found] == [
        ("config.missing", "gone"),
        ("object.unexamined", "broken"),
    ]
    assert "ValueError in an analyzer" in found[1].cause
    assert found == examine(Snapshot([pod, broken]), scope="live", now=clusters.NOW)
    assert [str(ref) for ref in going.failed] == ["Pod b/broken"]
    assert [one.rule for one in going.update(drops=list(going.failed), now=clusters.NOW)] == [
        "config.missing"
    ]
    assert going.failed == {}


def test_it_looks_at_files_too() -> None:
    going = Examination(scope="files")
    objects = clusters.generate(SIZE, 3, faults=0.9)
    assert going.update(objects, now=clusters.NOW) == examine(
        Snapshot(objects), scope="files", now=clusters.NOW
    )
