"""Times: now, dates and clocks in zones, layouts, durations, differences.

A time is nanoseconds since the epoch, within Go's 64 bits. `now` is the context's; the local zone is UTC.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from fairlead.tongues import durations
from fairlead.tongues.rego.values import type_name

from .kinds import Builtin, BuiltinError, Context, OperandError, bounded, integer, number, table, text
from .layouts import DAYS, NAMED, SECONDS_A_DAY, Moment, date, days, read, write

_LOW, _HIGH = -(1 << 63), (1 << 63) - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_STEPS = 10_000_000
_LONGEST = 4096


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo | None:
    """Return the zone of a name, None for UTC."""
    if name in {"", "UTC", "Local"}:
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise BuiltinError(f"unknown time zone {name}") from None


def _seen(nanoseconds: int, zone: ZoneInfo | None) -> Moment:
    """Return the moment on the clock of a zone."""
    if zone is None:
        return Moment(nanoseconds)
    there = (_EPOCH + timedelta(seconds=nanoseconds // durations.SECOND)).astimezone(zone)
    offset = there.utcoffset()
    return Moment(nanoseconds, int(offset.total_seconds()) if offset else 0, there.tzname() or "")


def _operand(value: Any) -> tuple[Moment, ZoneInfo | None, str]:
    """Return the moment, its zone, and the layout that come as a number or `[number, zone, layout]`."""
    parts = value if type(value) is list else [value]
    if not parts or (type(value) is not list and type(value) not in {int, float}):
        raise OperandError(
            f"operand 1 must be either number (ns) or [number (ns), string (tz)] but got {type_name(value)}"
        )
    nanoseconds = number(parts[0], 1)
    zone = _zone(text(parts[1], 1)) if len(parts) > 1 else None
    layout = text(parts[2], 1) if len(parts) > 2 else ""
    if not (type(nanoseconds) is int or float(nanoseconds).is_integer()) or not _LOW <= nanoseconds <= _HIGH:
        raise BuiltinError("timestamp too big")
    return _seen(int(nanoseconds), zone), zone, layout


def _safe(nanoseconds: int) -> int:
    if not _LOW <= nanoseconds <= _HIGH:
        raise BuiltinError("time outside of valid range")
    return nanoseconds


def parse(_: Context, layout: Any, value: Any) -> int:
    """Read a time by a layout or the name of one."""
    shape, said = text(layout, 1), text(value, 2)
    bounded(max(len(shape), len(said)), _LONGEST, "characters")
    return _safe(read(NAMED.get(shape, shape), said).nanoseconds)


def parse_rfc3339(_: Context, value: Any) -> int:
    """Read a time as RFC 3339 writes it."""
    said = text(value, 1)
    bounded(len(said), _LONGEST, "characters")
    return _safe(read(NAMED["RFC3339"], said).nanoseconds)


def parse_duration(_: Context, value: Any) -> int:
    """Read a duration as Go writes it."""
    try:
        return durations.parse(text(value, 1))
    except ValueError as error:
        raise BuiltinError(str(error)) from None


def format_time(_: Context, value: Any) -> str:
    """Write a time by a layout; RFC 3339 with nanoseconds where none is given."""
    moment, _zone_of, layout = _operand(value)
    bounded(len(layout), _LONGEST, "characters")
    return write(moment, NAMED.get(layout, layout) or NAMED["RFC3339Nano"])


def _part(change: Callable[[Moment], Any]) -> Callable[..., Any]:
    return lambda _, value: change(_operand(value)[0])


def add_date(_: Context, value: Any, years: Any, months: Any, count: Any) -> int:
    """Add years, months and days on the calendar of the zone."""
    moment, zone, _layout = _operand(value)
    steps = [integer(step, place) for place, step in enumerate((years, months, count), 2)]
    if any(abs(step) > _MOST_STEPS for step in steps):
        raise BuiltinError("time outside of valid range")
    year, month, day, hour, minute, second, nano = moment.fields()
    seconds = days(year + steps[0], month + steps[1], 1) + day - 1 + steps[2]
    local = seconds * SECONDS_A_DAY + hour * 3600 + minute * 60 + second
    if zone is not None:
        local -= _offset_at(local, zone)
    return _safe(local * durations.SECOND + nano)


def _offset_at(local: int, zone: ZoneInfo) -> int:
    """Return the zone's offset when its clock shows this; where it jumps, that of before."""
    if not _LOW <= local * durations.SECOND <= _HIGH:
        raise BuiltinError("time outside of valid range")
    naive = (_EPOCH + timedelta(seconds=local)).replace(tzinfo=None)
    offset = zone.utcoffset(naive)
    return int(offset.total_seconds()) if offset else 0


def difference(_: Context, one: Any, other: Any) -> list[int]:
    """Return years, months, days, hours, minutes and seconds between two times, on the first one's calendar."""
    first, zone, _layout = _operand(one)
    last = _operand(other)[0]
    last = _seen(last.nanoseconds, zone)
    if first.nanoseconds > last.nanoseconds:
        first, last = last, first
    begun, ended = first.fields(), last.fields()
    parts = [late - early for early, late in zip(begun[:6], ended[:6], strict=True)]
    for place, size in ((5, 60), (4, 60), (3, 24)):
        if parts[place] < 0:
            parts[place] += size
            parts[place - 1] -= 1
    if parts[2] < 0:
        parts[2] += 32 - date(days(begun[0], begun[1], 32))[2]
        parts[1] -= 1
    if parts[1] < 0:
        parts[1] += 12
        parts[0] -= 1
    return parts


BUILTINS = table(
    Builtin("time.now_ns", 0, lambda context: context.now_ns, nondeterministic=True),
    Builtin("time.parse_ns", 2, parse),
    Builtin("time.parse_rfc3339_ns", 1, parse_rfc3339),
    Builtin("time.parse_duration_ns", 1, parse_duration),
    Builtin("time.format", 1, format_time),
    Builtin("time.date", 1, _part(lambda moment: list(moment.fields()[:3]))),
    Builtin("time.clock", 1, _part(lambda moment: list(moment.fields()[3:6]))),
    Builtin("time.weekday", 1, _part(lambda moment: DAYS[moment.weekday()])),
    Builtin("time.add_date", 4, add_date),
    Builtin("time.diff", 2, difference),
)
