"""Findings over time: they come, stay, go, come back, and are forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from fairlead.diagnose import histories
from fairlead.diagnose.histories import Sighting, observe, told
from fairlead.words import Finding, Ref, Severity

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
A = Finding(rule="a.b", severity=Severity.CRITICAL, subject=Ref("", "Pod", "shop", "a"), message="is bad")
B = Finding(rule="a.b", severity=Severity.WARNING, subject=Ref("", "Pod", "shop", "b"), message="is bad")


def after(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def test_it_comes_stays_and_goes() -> None:
    first = observe({}, [A, B], NOW)
    second = observe(first, [A], after(5))
    third = observe(second, [A], after(10))
    assert first.keys() == third.keys() == {A.id, B.id}
    assert (third[A.id].first_seen, third[A.id].last_seen, third[A.id].times) == (NOW, after(10), 1)
    assert (third[B.id].state, third[B.id].last_seen, third[B.id].since) == ("resolved", NOW, after(5))
    assert told(third[A.id], after(190)) == "since 3h"
    assert told(third[B.id], after(12)) == "gone for 7m"


def test_what_could_not_be_seen_stays() -> None:
    first = observe({}, [A], NOW)
    assert observe(first, [], after(1), looked=lambda one: one.id != A.id) == first


def looks(pattern: str, minutes: float = 1) -> Mapping[str, Sighting]:
    past: Mapping[str, Sighting] = {}
    for index, seen in enumerate(pattern):
        past = observe(past, [A] if seen == "x" else [], after(index * minutes))
    return past


def test_coming_and_going_is_flapping_until_it_is_calm() -> None:
    assert not looks("x.x")[A.id].flapping
    one = looks("x.x.x")[A.id]
    assert one.flapping
    assert told(one, after(8)) == "since 4m, 3 times in 8m, flapping"
    assert not looks("x.x.x", 30)[A.id].flapping
    assert not looks("x.x.x" + "x" * 62)[A.id].flapping


def test_memory_is_bounded() -> None:
    assert len(looks("x." * 40)[A.id].changes) == histories.CHANGES
    gone = observe(observe({}, [A], NOW), [], after(1))
    assert observe(gone, [], after(1) + histories.KEEP) == gone
    assert observe(gone, [], after(2) + histories.KEEP) == {}


def test_it_is_written_and_read() -> None:
    one = looks("x.x.x")[A.id]
    assert histories.read(histories.record(one)) == one
    assert histories.read({"metadata": {"name": "x"}}) is None
    assert histories.read({}) is None
