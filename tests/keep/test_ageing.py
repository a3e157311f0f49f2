"""Events live for an hour after they were last seen."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from fairlead.keep.ageing import last_seen, outdated

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("event", "old"),
    [
        ({"lastTimestamp": "2026-01-01T11:00:01Z"}, False),
        ({"lastTimestamp": "2026-01-01T10:59:59Z"}, True),
        ({"firstTimestamp": "2026-01-01T08:00:00Z", "lastTimestamp": "2026-01-01T11:30:00Z"}, False),
        ({"eventTime": "2026-01-01T10:00:00.123456Z"}, True),
        (
            {"eventTime": "2026-01-01T10:00:00Z", "series": {"lastObservedTime": "2026-01-01T11:59:00Z"}},
            False,
        ),
        ({"metadata": {"creationTimestamp": "2026-01-01T10:00:00Z"}}, True),
        ({}, False),
        ({"lastTimestamp": "nonsense"}, False),
        ({"lastTimestamp": 5}, False),
    ],
)
def test_which_events_are_old(event: dict[str, Any], old: bool) -> None:
    assert outdated([event], NOW) == ([event] if old else [])


def test_what_does_not_say_is_kept() -> None:
    assert last_seen({"lastTimestamp": "2026-01-01T10:00:00"}) is None
