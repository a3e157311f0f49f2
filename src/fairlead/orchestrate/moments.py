"""Times as Kubernetes writes them: RFC 3339 in UTC, to the second or to the microsecond.

Must never ask what time it is: the present is handed in.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

EPOCH = datetime.fromtimestamp(0, UTC)


@lru_cache(maxsize=65536)
def parse(text: str) -> datetime:
    """Return the aware UTC datetime of an RFC 3339 text; what cannot be read counts as the epoch."""
    try:
        moment = datetime.fromisoformat(text)
    except (ValueError, TypeError):
        return EPOCH
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def stamp(moment: datetime) -> str:
    """Return metav1.Time: `2026-01-02T03:04:05Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro(moment: datetime) -> str:
    """Return metav1.MicroTime: `2026-01-02T03:04:05.000006Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def soonest(waits: Iterable[timedelta | None]) -> timedelta | None:
    """Return the shortest of the waits that are not None, at least zero."""
    known = [wait for wait in waits if wait is not None]
    return max(min(known), timedelta(0)) if known else None
