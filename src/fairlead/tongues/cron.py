"""Cron schedules: five fields, names, steps, ranges, `@hourly` and its like, and a time zone.

Text in, an Expr out that tells the next moment. Must never look at a clock. Source: github.com/robfig/cron/v3, which
Kubernetes' CronJobs are read with: what it does not know (`L`, `W`, `#`, seconds) is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from datetime import tzinfo as TimeZone  # noqa: N812 -- it is a class, whatever its name looks like
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_MONTHS = {
    name: number
    for number, name in enumerate(
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], start=1
    )
}
_DAYS = {name: number for number, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}
_FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, _MONTHS),
    (0, 6, _DAYS),
)
"""Minute, hour, day of month, month, day of week: the least, the greatest, and the names."""
_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_EVERY = "@every "
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_YEARS_AHEAD = 5


@dataclass(frozen=True, slots=True)
class _Field:
    """The numbers that a field admits, in order; `star` when it was written as `*` or `?`."""

    values: tuple[int, ...]
    star: bool


@dataclass(frozen=True, slots=True)
class Expr:
    """A schedule that was read. `zone` is the time zone whose clock it follows."""

    text: str
    zone: TimeZone
    fields: tuple[_Field, ...] = ()
    every: timedelta = timedelta(0)

    def next(self, after: datetime) -> datetime | None:
        """Return the first moment after an aware one, in UTC; None if there is none within five years.

        A local time that a change of clocks skips is not run; one that comes twice is run the first time.
        """
        if self.every:
            return (after + self.every).replace(microsecond=0).astimezone(UTC)
        local = after.astimezone(self.zone).replace(tzinfo=None)
        for moment in self._walls(local.replace(second=0, microsecond=0)):
            aware = moment.replace(tzinfo=self.zone)
            found = aware.astimezone(UTC)
            if found <= after or found.astimezone(self.zone).replace(tzinfo=None) != moment:
                continue
            return found
        return None

    def _walls(self, start: datetime) -> Iterator[datetime]:
        """Every wall-clock time that the fields admit, from `start` on."""
        minutes, hours, _, months, _ = (entry.values for entry in self.fields)
        day = start.replace(hour=0, minute=0)
        end = start.year + _YEARS_AHEAD
        while day.year <= end:
            if day.month not in months:
                day = (day.replace(day=1, hour=0, minute=0) + timedelta(days=32)).replace(day=1)
                continue
            if self._admits(day):
                first = day.date() == start.date()
                for hour in hours:
                    if first and hour < start.hour:
                        continue
                    for minute in minutes:
                        if not (first and hour == start.hour and minute < start.minute):
                            yield day.replace(hour=hour, minute=minute)
            day += timedelta(days=1)

    def _admits(self, day: datetime) -> bool:
        """Both day fields must fit if either is a star; if both are given, either will do."""
        of_month, of_week = self.fields[2], self.fields[4]
        in_month = day.day in of_month.values
        in_week = (day.weekday() + 1) % 7 in of_week.values
        if of_month.star or of_week.star:
            return in_month and in_week
        return in_month or in_week


def zone(name: str) -> TimeZone:
    """Return the time zone of an IANA name; "" is UTC. Raises ValueError for an unknown one."""
    if not name or name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"unknown time zone {name}") from error


@lru_cache(maxsize=1024)
def parse(text: str, time_zone: str = "") -> Expr:
    """Read a schedule: five fields, a descriptor such as `@hourly`, or `@every 1h30m`; `TZ=Name` may come first.

    Raises ValueError that says which part is wrong.
    """
    if not text:
        raise ValueError("empty spec string")
    rest = text
    if rest.startswith(("TZ=", "CRON_TZ=")):
        prefix, _, rest = rest.partition(" ")
        time_zone = prefix.partition("=")[2]
        try:
            zone(time_zone)
        except ValueError as error:
            raise ValueError(f"provided bad location {time_zone}: {error}") from error
        rest = rest.strip()
    found = zone(time_zone)
    if rest.startswith("@"):
        if rest.startswith(_EVERY):
            return Expr(text, found, every=_duration(rest.removeprefix(_EVERY)))
        if rest not in _DESCRIPTORS:
            raise ValueError(f"unrecognized descriptor: {rest}")
        rest = _DESCRIPTORS[rest]
    parts = rest.split()
    if len(parts) != len(_FIELDS):
        raise ValueError(f"expected exactly 5 fields, found {len(parts)}: [{' '.join(parts)}]")
    fields = tuple(_field(part, *rule) for part, rule in zip(parts, _FIELDS, strict=True))
    return Expr(text, found, fields)


def _duration(text: str) -> timedelta:
    found = re.findall(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)", text)
    if not found or "".join(number + unit for number, unit in found) != text:
        raise ValueError(f'failed to parse duration @every {text}: time: invalid duration "{text}"')
    seconds = sum(float(number) * _UNITS[unit] for number, unit in found)
    return timedelta(seconds=max(int(seconds), 1))


def _field(part: str, low: int, high: int, names: dict[str, int]) -> _Field:
    values: set[int] = set()
    star = False
    for piece in part.split(","):
        found, is_star = _range(piece, low, high, names)
        values |= found
        star = star or is_star
    return _Field(tuple(sorted(values)), star)


def _range(piece: str, low: int, high: int, names: dict[str, int]) -> tuple[set[int], bool]:
    """Read `*`, `5`, `1-5`, `*/10`, `3/20` or `1-30/7`."""
    span, slash, step_text = piece.partition("/")
    if "/" in step_text:
        raise ValueError(f"too many slashes: {piece}")
    first, dash, last = span.partition("-")
    if "-" in last:
        raise ValueError(f"too many hyphens: {piece}")
    star = first in {"*", "?"} and not dash
    if star:
        start, end = low, high
    else:
        start = _number(first, names)
        end = _number(last, names) if dash else start
    step = 1
    if slash:
        step = _number(step_text, {})
        star = star and step <= 1
        if not dash and not first.startswith(("*", "?")):
            end = high
    if start < low:
        raise ValueError(f"beginning of range ({start}) below minimum ({low}): {piece}")
    if end > high:
        raise ValueError(f"end of range ({end}) above maximum ({high}): {piece}")
    if start > end:
        raise ValueError(f"beginning of range ({start}) beyond end of range ({end}): {piece}")
    if step == 0:
        raise ValueError(f"step of range should be a positive number: {piece}")
    return set(range(start, end + 1, step)), star


def _number(text: str, names: dict[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise ValueError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    number = int(text)
    if number < 0:
        raise ValueError(f"negative number ({number}) not allowed: {text}")
    return number
