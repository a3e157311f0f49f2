"""Times as Go reads and writes them: layouts made of the reference time, RFC 3339, truncation.

Pure text and arithmetic: a clock is never asked. Times are aware datetimes with nanoseconds beside them.
Source: Go's package time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from fairlead.tongues import durations
from fairlead.tongues.jmespath.kinds import Failed

RFC3339 = "2006-01-02T15:04:05Z07:00"

_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_PARTS = re.compile(
    r"January|Jan|Monday|Mon|MST|2006|Z070000|Z07:00:00|Z0700|Z07:00|Z07"
    r"|-070000|-07:00:00|-0700|-07:00|-07|002|01|02|03|04|05|06|15|__2|_2(?!006)|[.,]0+(?!\d)|[.,]9+(?!\d)|PM|pm|[1-5]"
)
_EPOCH_DAYS = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Time:
    """A moment: whole seconds as a datetime with its zone, and the nanoseconds beyond them."""

    at: datetime
    nanoseconds: int = 0

    def since(self, other: Time) -> int:
        """Return the nanoseconds from the other moment to this one, capped at Go's 64 bits."""
        apart = self.at - other.at
        whole = (apart.days * 86400 + apart.seconds) * durations.SECOND + self.nanoseconds - other.nanoseconds
        return max(-(2**63), min(2**63 - 1, whole))

    def plus(self, nanoseconds: int) -> Time:
        """Return the moment so many nanoseconds later. Raises Failed beyond the years that are known."""
        seconds, rest = divmod(self.nanoseconds + nanoseconds, durations.SECOND)
        try:
            return Time(self.at + timedelta(seconds=seconds), rest)
        except OverflowError:
            raise Failed("the time is out of range") from None

    def truncated(self, nanoseconds: int) -> Time:
        """Return the moment rounded down to a multiple of the duration since year 1."""
        if nanoseconds <= 0:
            return self
        whole = self.since(Time(_EPOCH_DAYS))
        apart = self.at - _EPOCH_DAYS
        whole = (apart.days * 86400 + apart.seconds) * durations.SECOND + self.nanoseconds
        return self.plus(-(whole % nanoseconds))

    def utc(self) -> Time:
        """Return the same moment in UTC."""
        try:
            return Time(self.at.astimezone(UTC), self.nanoseconds)
        except OverflowError:
            raise Failed("the time is out of range") from None

    def text(self) -> str:
        """Return the moment in RFC 3339, without fractions of a second."""
        offset = self.at.utcoffset() or timedelta()
        minutes = round(offset.total_seconds() / 60)
        zone = (
            f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}" if minutes else "Z"
        )
        return f"{self.at:%Y-%m-%dT%H:%M:%S}".zfill(19) + zone

    def weekday(self) -> int:
        """Return the day of the week, 0 for Sunday."""
        return self.at.isoweekday() % 7


def rfc3339(value: str) -> Time:
    """Return the moment that a text in RFC 3339 names. Raises Failed in Go's words."""
    return parse(RFC3339, value)


def parse(layout: str, value: str) -> Time:
    """Return the moment that the text names, written as the layout writes Go's reference time. Raises Failed in Go's words."""
    found = _Reading(layout, value)
    place = 0
    for part in _PARTS.finditer(layout):
        found.literal(layout[place : part.start()])
        found.part(part[0])
        place = part.end()
    found.literal(layout[place:])
    return found.finish()


class _Reading:
    """What has been read of a text so far."""

    def __init__(self, layout: str, value: str) -> None:
        self.layout = layout
        self.value = value
        self.rest = value
        self.year, self.month, self.day = 0, 1, 1
        self.hour = self.minute = self.second = self.nanoseconds = 0
        self.afternoon: bool | None = None
        self.yearday = 0
        self.offset: int | None = None

    def fail(self, part: str) -> Failed:
        quoted = durations.quote
        return Failed(
            f"parsing time {quoted(self.value)} as {quoted(self.layout)}: "
            f"cannot parse {quoted(self.rest)} as {quoted(part)}"
        )

    def literal(self, text: str) -> None:
        for character in text:
            if character == " ":
                if self.rest and not self.rest.startswith(" "):
                    raise self.fail(text)
                self.rest = self.rest.lstrip(" ")
            elif not self.rest.startswith(character):
                raise self.fail(text)
            else:
                self.rest = self.rest[1:]

    def number(self, part: str, pattern: str) -> int:
        found = re.match(pattern, self.rest, re.ASCII)
        if found is None:
            raise self.fail(part)
        self.rest = self.rest[found.end() :]
        return int(found[0])

    def word(self, part: str, words: list[str]) -> int:
        for index, word in enumerate(words):
            if self.rest[: len(word)].lower() == word.lower():
                self.rest = self.rest[len(word) :]
                return index
        raise self.fail(part)

    def part(self, part: str) -> None:
        if part == "2006":
            self.year = self.number(part, r"\d{4}")
        elif part == "06":
            year = self.number(part, r"\d{2}")
            self.year = year + (1900 if year >= 69 else 2000)
        elif part in {"January", "Jan"}:
            self.month = self.word(part, _MONTHS if part == "January" else [one[:3] for one in _MONTHS]) + 1
        elif part in {"Monday", "Mon"}:
            self.word(part, _DAYS if part == "Monday" else [one[:3] for one in _DAYS])
        elif part in {"01", "1"}:
            self.month = self.number(part, r"\d{2}" if part == "01" else r"\d{1,2}")
        elif part in {"02", "2", "_2"}:
            self.rest = self.rest.removeprefix(" ") if part == "_2" else self.rest
            self.day = self.number(part, r"\d{2}" if part == "02" else r"\d{1,2}")
        elif part in {"002", "__2"}:
            self.rest = self.rest.lstrip(" ") if part == "__2" else self.rest
            self.yearday = self.number(part, r"\d{3}" if part == "002" else r"\d{1,3}")
        elif part in {"15", "03", "3"}:
            self.hour = self.number(part, r"\d{1,2}" if part == "3" else r"\d{2}")
        elif part in {"04", "4"}:
            self.minute = self.number(part, r"\d{2}" if part == "04" else r"\d{1,2}")
        elif part in {"05", "5"}:
            self.second = self.number(part, r"\d{2}" if part == "05" else r"\d{1,2}")
            if not re.match(re.escape(part) + r"[.,][09]", self.layout[self.layout.index(part) :]):
                self.fraction(r"[.,]\d+", optional=True, part=part)
        elif part[0] in ".,":
            optional = part[1] == "9"
            self.fraction(
                r"[.,]\d+" if optional else rf"[.,]\d{{{len(part) - 1}}}", optional=optional, part=part
            )
        elif part in {"PM", "pm"}:
            self.afternoon = self.word(part, ["AM", "PM"]) == 1
        elif part == "MST":
            self.zone_name(part)
        else:
            self.zone(part)

    def fraction(self, pattern: str, *, optional: bool, part: str) -> None:
        found = re.match(pattern, self.rest, re.ASCII)
        if found is None:
            if not optional:
                raise self.fail(part)
            return
        self.rest = self.rest[found.end() :]
        self.nanoseconds = int(found[0][1:10].ljust(9, "0"))

    def zone_name(self, part: str) -> None:
        found = re.match(r"UTC|GMT([+-]\d{1,2})?|[A-Z]{3,4}T?|[+-]\d{2}", self.rest)
        if found is None:
            raise self.fail(part)
        self.rest = self.rest[found.end() :]
        if self.offset is None:
            self.offset = int(found[1]) * 3600 if found[1] else 0

    def zone(self, part: str) -> None:
        if part[0] == "Z" and self.rest.startswith("Z"):
            self.rest, self.offset = self.rest[1:], 0
            return
        shape = part[1:].replace("07", r"(\d{2})", 1).replace("00", r"(\d{2})")
        found = re.match(rf"([+-]){shape}", self.rest, re.ASCII)
        if found is None:
            raise self.fail(part)
        self.rest = self.rest[found.end() :]
        size = sum(int(text) * unit for text, unit in zip(found.groups()[1:], (3600, 60, 1), strict=False))
        self.offset = -size if found[1] == "-" else size

    def finish(self) -> Time:
        quoted = durations.quote
        if self.rest:
            raise Failed(f"parsing time {quoted(self.value)}: extra text: {quoted(self.rest)}")
        if self.afternoon is not None:
            self.hour = self.hour % 12 + (12 if self.afternoon else 0)
        zone = timezone(timedelta(seconds=self.offset)) if self.offset and abs(self.offset) < 86400 else UTC
        for name, number, most in (
            ("month", self.month, 12),
            ("hour", self.hour, 23),
            ("minute", self.minute, 59),
            ("second", self.second, 59),
        ):
            if not (1 if name == "month" else 0) <= number <= most:
                raise Failed(f"parsing time {quoted(self.value)}: {name} out of range")
        try:
            at = datetime(
                max(self.year, 1), self.month, self.day, self.hour, self.minute, self.second, tzinfo=zone
            )
            if self.yearday:
                at = at.replace(month=1, day=1) + timedelta(days=self.yearday - 1)
        except (ValueError, OverflowError):
            raise Failed(f"parsing time {quoted(self.value)}: day out of range") from None
        return Time(at, self.nanoseconds)
