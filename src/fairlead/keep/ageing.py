"""Which Events have had their time: Kubernetes keeps one for an hour after it was last seen.

Pure: the time is handed in, and what is named here is deleted by whoever asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from fairlead.words import Resource

LIFETIME = timedelta(hours=1)
_STAMPS = ("lastTimestamp", "eventTime", "firstTimestamp")


def outdated(events: Iterable[Resource], now: datetime, lifetime: timedelta = LIFETIME) -> list[Resource]:
    """Return the Events (core/v1 objects) that nobody has seen for so long. `now` is aware UTC."""
    return [event for event in events if (seen := last_seen(event)) is not None and now - seen > lifetime]


def last_seen(event: Resource) -> datetime | None:
    """Return when an Event was last seen, as far as it says; None when it does not say."""
    texts: list[Any] = [event.get(name) for name in _STAMPS]
    texts.append((event.get("series") or {}).get("lastObservedTime"))
    texts.append((event.get("metadata") or {}).get("creationTimestamp"))
    moments = [moment for text in texts if text and (moment := _moment(text)) is not None]
    return max(moments, default=None)


def _moment(text: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo is not None else None
