"""What Kubernetes Events tell, when it was, and how a length of time is said.

Never reads a clock: times are compared by who was given one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fairlead.diagnose.indexes import subject
from fairlead.tongues.paths import mapping, text
from fairlead.words import Ref, Resource


@dataclass(frozen=True, slots=True)
class Noted:
    """A Kubernetes Event about an object. `last` is None where it bears no readable time."""

    reason: str
    message: str
    count: int
    last: datetime | None
    warning: bool
    source: Ref


def moment(value: Any) -> datetime | None:
    """Return the time of an RFC 3339 text, or None."""
    if not isinstance(value, str) or not value:
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return at if at.tzinfo is not None else None


def noted(event: Resource) -> Noted:
    """Return what a Kubernetes Event (of either group) tells."""
    series = mapping(event, "series")
    last = (
        moment(series.get("lastObservedTime"))
        or moment(event.get("lastTimestamp"))
        or moment(event.get("deprecatedLastTimestamp"))
        or moment(event.get("eventTime"))
        or moment(event.get("firstTimestamp"))
        or moment(mapping(event, "metadata").get("creationTimestamp"))
    )
    counts = (series.get("count"), event.get("count"), event.get("deprecatedCount"))
    count = next((one for one in counts if isinstance(one, int) and one > 0), 1)
    return Noted(
        reason=text(event, "reason"),
        message=text(event, "message") or text(event, "note"),
        count=count,
        last=last,
        warning=event.get("type") == "Warning",
        source=subject(event),
    )


UNITS = {86_400: "d", 3_600: "h", 60: "m", 1: "s"}
"""The seconds of each unit of time, the largest first."""


def unit_of(seconds: int) -> int:
    """Return the seconds of the largest unit that a length of time fills; minutes begin at two."""
    return next((size for size in UNITS if seconds >= size * (2 if size == 60 else 1)), 1)


def span(length: timedelta) -> str:
    """Return a length of time in its largest unit: `42s`, `7m`, `3h`, `12d`."""
    seconds = max(0, int(length.total_seconds()))
    unit = unit_of(seconds)
    return f"{seconds // unit}{UNITS[unit]}"
