"""Delays double up to the ceiling, count from the failure, and are forgotten after a quiet while."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fairlead.orchestrate.backoffs import Backoffs

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def test_the_first_failure_does_not_wait() -> None:
    assert Backoffs().left("web", NOW, NOW) is None


def test_delays_double_up_to_the_ceiling() -> None:
    backoffs = Backoffs()
    delays = []
    for _ in range(8):
        backoffs = backoffs.lengthen("web", NOW, NOW)
        delays.append(backoffs.delay("web").total_seconds())
    assert delays == [10, 20, 40, 80, 160, 300, 300, 300]


def test_the_wait_counts_from_the_failure() -> None:
    backoffs = Backoffs().lengthen("web", NOW, NOW)
    failed = NOW + seconds(60)
    assert backoffs.left("web", failed, failed + seconds(4)) == seconds(6)
    assert backoffs.left("web", failed, failed + seconds(10)) is None


def test_ten_quiet_minutes_start_over() -> None:
    backoffs = Backoffs().lengthen("web", NOW, NOW).lengthen("web", NOW, NOW)
    later = NOW + timedelta(minutes=10, seconds=1)
    assert backoffs.left("web", later, later) is None
    assert backoffs.lengthen("web", later, later).delay("web") == seconds(10)


def test_keys_know_nothing_of_each_other_and_can_be_forgotten() -> None:
    backoffs = Backoffs(base=seconds(1)).lengthen("web", NOW, NOW)
    assert backoffs.delay("web") == seconds(1)
    assert backoffs.delay("api") == seconds(0)
    assert backoffs.forget("web").left("web", NOW, NOW) is None
