"""Moments and spans: reading and writing them, and their parts in a time zone.

Exact in nanoseconds. Never asks what time it is. Source: RFC 3339, Go's package time, google/cel-spec doc/langdef.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fairlead.tongues import durations
from fairlead.tongues.cel.errors import Failed
from fairlead.tongues.cel.values import Duration, Timestamp

SECOND: Final = 10**9
FIRST: Final = -62135596800 * SECOND
LAST: Final = 253402300800 * SECOND - 1
_LONGEST: Final = 2**63
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_STAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:[.,](\d+))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_OFFSET = re.compile(r"([+-]?)(\d\d):(\d\d)", re.ASCII)


def moment(ns: int) -> Timestamp:
    """Return a moment. Raises Failed outside the years 1 to 9999."""
    if not FIRST <= ns <= LAST:
        raise Failed("timestamp overflow")
    return Timestamp(ns)


def span(ns: int) -> Duration:
    """Return a span. Raises Failed beyond 64 bits of nanoseconds."""
    if not -_LONGEST <= ns < _LONGEST:
        raise Failed("duration overflow")
    return Duration(ns)


@lru_cache(maxsize=4096)
def read(text: str) -> Timestamp:
    """Return the moment that an RFC 3339 text names. Raises Failed in Go's words."""
    found = _STAMP.fullmatch(text)
    if found is None:
        raise Failed(
            f'parsing time {durations.quote(text[:100])} as "2006-01-02T15:04:05Z07:00": cannot parse'
        )
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    try:
        at = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    except ValueError:
        if year == "0000":
            raise Failed("timestamp overflow") from None
        raise Failed(f"parsing time {durations.quote(text)}: out of range") from None
    ns = ((at - _EPOCH) // timedelta(seconds=1)) * SECOND + int(f"{(fraction or '')[:9]:0<9}")
    if zone not in {"Z", "z"}:
        if int(zone[1:3]) > 23 or int(zone[4:]) > 59:
            raise Failed(f"parsing time {durations.quote(text)}: time zone offset out of range")
        offset = (int(zone[1:3]) * 60 + int(zone[4:])) * 60 * SECOND
        ns -= -offset if zone[0] == "-" else offset
    return moment(ns)


def write(stamp: Timestamp) -> str:
    """Return a moment as RFC 3339 in UTC, with as many digits of the second as it needs."""
    seconds, rest = divmod(stamp.ns, SECOND)
    at = _EPOCH + timedelta(seconds=seconds)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{at.year:04d}-{at:%m-%dT%H:%M:%S}{fraction}Z"


@lru_cache(maxsize=4096)
def read_duration(text: str) -> Duration:
    """Return the span that a text such as `1h30m` names. Raises Failed in Go's words."""
    try:
        return span(durations.parse(text))
    except ValueError as error:
        raise Failed(str(error)) from None


def write_duration(value: Duration) -> str:
    """Return a span in seconds: `1.5s`, `-0.001s`."""
    seconds, rest = divmod(abs(value.ns), SECOND)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{'-' if value.ns < 0 else ''}{seconds}{fraction}s"


@lru_cache(maxsize=1024)
def zone(name: str) -> tzinfo:
    """Return a time zone by its name or as an offset such as `-08:00`. Raises Failed."""
    if name in {"", "UTC"}:
        return UTC
    offset = _OFFSET.fullmatch(name)
    if offset:
        minutes = int(offset[2]) * 60 + int(offset[3])
        if minutes >= 24 * 60:
            raise Failed(f"unknown time zone {name}")
        return timezone(timedelta(minutes=-minutes if offset[1] == "-" else minutes))
    if not re.fullmatch(r"[A-Za-z0-9_+\-]+(?:/[A-Za-z0-9_+\-]+)*", name):
        raise Failed(f"unknown time zone {name}")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Failed(f"unknown time zone {name}") from None


def _local(stamp: Timestamp, name: str) -> datetime:
    at = _EPOCH + timedelta(seconds=stamp.ns // SECOND)
    try:
        return at.astimezone(zone(name))
    except (OverflowError, ValueError):
        raise Failed("timestamp overflow") from None


PARTS: dict[str, Callable[[datetime], int]] = {
    "getFullYear": lambda at: at.year,
    "getMonth": lambda at: at.month - 1,
    "getDate": lambda at: at.day,
    "getDayOfMonth": lambda at: at.day - 1,
    "getDayOfWeek": lambda at: at.isoweekday() % 7,
    "getDayOfYear": lambda at: at.timetuple().tm_yday - 1,
    "getHours": lambda at: at.hour,
    "getMinutes": lambda at: at.minute,
    "getSeconds": lambda at: at.second,
}
"""The parts of a moment; milliseconds are finer than Python's and are asked from the Timestamp itself."""


def part(name: str) -> Callable[..., int]:
    """Return the method of timestamps that gives a part, in UTC or in the time zone given."""
    if name == "getMilliseconds":

        def milliseconds(stamp: Timestamp, where: str = "UTC") -> int:
            zone(where)
            return stamp.ns % SECOND // 10**6

        return milliseconds
    take = PARTS[name]
    return lambda stamp, where="UTC": take(_local(stamp, where))


def duration_part(name: str) -> Callable[[Duration], int]:
    """Return the method of durations that gives the whole of it in a unit (of milliseconds: what is left of the second)."""
    size = {"getHours": 3600 * SECOND, "getMinutes": 60 * SECOND, "getSeconds": SECOND}.get(name)
    if size is None:
        return lambda value: _cut(value.ns, 10**6) - _cut(value.ns, SECOND) * 1000
    return lambda value: _cut(value.ns, size)


def _cut(ns: int, size: int) -> int:
    return -(-ns // size) if ns < 0 else ns // size
