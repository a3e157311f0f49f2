"""Go's layouts: moments written and read by the example of `Mon Jan 2 15:04:05 MST 2006`.

A moment is a `Moment`: its parts on the clock of a zone, with the zone's name and offset. Pure: no clock, no local zone.
Source: Go's package time, format.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from fairlead.tongues.durations import quote

from .kinds import BuiltinError

SECONDS_A_DAY = 86_400
NAMED = {
    "ANSIC": "Mon Jan _2 15:04:05 2006",
    "UnixDate": "Mon Jan _2 15:04:05 MST 2006",
    "RubyDate": "Mon Jan 02 15:04:05 -0700 2006",
    "RFC822": "02 Jan 06 15:04 MST",
    "RFC822Z": "02 Jan 06 15:04 -0700",
    "RFC850": "Monday, 02-Jan-06 15:04:05 MST",
    "RFC1123": "Mon, 02 Jan 2006 15:04:05 MST",
    "RFC1123Z": "Mon, 02 Jan 2006 15:04:05 -0700",
    "RFC3339": "2006-01-02T15:04:05Z07:00",
    "RFC3339Nano": "2006-01-02T15:04:05.999999999Z07:00",
}
"""The layouts that may be given by name."""
MONTHS = (
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
)
DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")

_CHUNK = re.compile(
    r"January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST"
    r"|002|01|02|03|04|05|06|__2|_2006|_2|2006|2|15|1|3|4|5|PM|pm"
    r"|[-Z]07:00:00|[-Z]070000|[-Z]07:00|[-Z]0700|[-Z]07"
    r"|[.,](?:0+|9+)(?![0-9])"
)
_ZONE_NAME = re.compile(r"ChST|MeST|GMT(?:[+-][0-9]{1,2})?|[A-Z]{3,5}|[+-][0-9]{2}(?:[0-9]{2})?")


def days(year: int, month: int, day: int) -> int:
    """Return the days from 1970-01-01; months and days beyond their bounds run over into the next or the last."""
    year, month = year + (month - 1) // 12, (month - 1) % 12 + 1
    shifted = year - (month <= 2)
    era, of_era = divmod(shifted, 400)
    of_year = (153 * ((month + 9) % 12) + 2) // 5
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year + day - 1 - 719_468


def date(count: int) -> tuple[int, int, int]:
    """Return year, month and day of a day counted from 1970-01-01."""
    era, of_era = divmod(count + 719_468, 146_097)
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    part = (5 * of_year + 2) // 153
    month = part + 3 if part < 10 else part - 9
    return era * 400 + year + (month <= 2), month, of_year - (153 * part + 2) // 5 + 1


@dataclass(frozen=True, slots=True)
class Moment:
    """Nanoseconds since the epoch, seen in a zone: its offset from UTC in seconds, and its name."""

    nanoseconds: int
    offset: int = 0
    zone: str = "UTC"

    def fields(self) -> tuple[int, int, int, int, int, int, int]:
        """Return year, month, day, hour, minute, second, nanosecond on the zone's clock."""
        seconds, nano = divmod(self.nanoseconds, 1_000_000_000)
        day, rest = divmod(seconds + self.offset, SECONDS_A_DAY)
        return (*date(day), rest // 3600, rest // 60 % 60, rest % 60, nano)

    def weekday(self) -> int:
        """Return the day of the week, 0 for Sunday."""
        return ((self.nanoseconds // 1_000_000_000 + self.offset) // SECONDS_A_DAY + 4) % 7


@lru_cache(maxsize=512)
def chunks(layout: str) -> tuple[tuple[str, str], ...]:
    """Return the layout's pieces: the text before each chunk, and the chunk ("" after the last text)."""
    found: list[tuple[str, str]] = []
    place = 0
    for match in _CHUNK.finditer(layout):
        text, chunk = layout[place : match.start()], match[0]
        if chunk == "_2006":
            text, chunk = f"{text}_", "2006"
        found.append((text, chunk))
        place = match.end()
    return (*found, (layout[place:], ""))


def _offset(chunk: str, seconds: int) -> str:
    if chunk[0] == "Z" and not seconds:
        return "Z"
    size = abs(seconds)
    colon = ":" if ":" in chunk else ""
    parts = [f"{size // 3600:02d}"]
    if len(chunk) > 3:
        parts.append(f"{size // 60 % 60:02d}")
    if len(chunk) > 6:
        parts.append(f"{size % 60:02d}")
    return ("-" if seconds < 0 else "+") + colon.join(parts)


def write(moment: Moment, layout: str) -> str:
    """Return the moment as the layout shows it."""
    year, month, day, hour, minute, second, nano = moment.fields()
    out: list[str] = []
    for text, chunk in chunks(layout):
        out.append(text)
        if not chunk:
            break
        if chunk == "2006":
            said = f"{year:04d}"
        elif chunk[0] in ".,":
            digits = f"{nano:09d}"[: len(chunk) - 1].ljust(len(chunk) - 1, "0")
            digits = digits if chunk[1] == "0" else digits.rstrip("0")
            said = chunk[0] + digits if digits else ""
        elif chunk[0] in "-Z" and len(chunk) > 1:
            said = _offset(chunk, moment.offset)
        elif chunk == "MST":
            said = moment.zone
        else:
            said = _PARTS[chunk](year, month, day, hour, minute, second, moment)
        out.append(said)
    return "".join(out)


def _of_year(year: int, month: int, day: int) -> int:
    return days(year, month, day) - days(year, 1, 1) + 1


_PARTS: dict[str, Callable[..., str]] = {
    "January": lambda _y, month, *_: MONTHS[month - 1],
    "Jan": lambda _y, month, *_: MONTHS[month - 1][:3],
    "01": lambda _y, month, *_: f"{month:02d}",
    "1": lambda _y, month, *_: str(month),
    "Monday": lambda *parts: DAYS[parts[-1].weekday()],
    "Mon": lambda *parts: DAYS[parts[-1].weekday()][:3],
    "02": lambda _y, _m, day, *_: f"{day:02d}",
    "2": lambda _y, _m, day, *_: str(day),
    "_2": lambda _y, _m, day, *_: f"{day:2d}",
    "002": lambda year, month, day, *_: f"{_of_year(year, month, day):03d}",
    "__2": lambda year, month, day, *_: f"{_of_year(year, month, day):3d}",
    "15": lambda _y, _m, _d, hour, *_: f"{hour:02d}",
    "03": lambda _y, _m, _d, hour, *_: f"{hour % 12 or 12:02d}",
    "3": lambda _y, _m, _d, hour, *_: str(hour % 12 or 12),
    "PM": lambda _y, _m, _d, hour, *_: "PM" if hour >= 12 else "AM",
    "pm": lambda _y, _m, _d, hour, *_: "pm" if hour >= 12 else "am",
    "04": lambda _y, _m, _d, _h, minute, *_: f"{minute:02d}",
    "4": lambda _y, _m, _d, _h, minute, *_: str(minute),
    "05": lambda _y, _m, _d, _h, _n, second, *_: f"{second:02d}",
    "5": lambda _y, _m, _d, _h, _n, second, *_: str(second),
    "06": lambda year, *_: f"{year % 100:02d}",
}

_TWO = re.compile("[0-9]{2}")
_ONE_OR_TWO = re.compile("[0-9]{1,2}")
_NUMBERS: dict[str, tuple[str, re.Pattern[str]]] = {
    "2006": ("year", re.compile("[0-9]{4}")),
    "06": ("short", _TWO),
    "01": ("month", _TWO),
    "1": ("month", _ONE_OR_TWO),
    "02": ("day", _TWO),
    "2": ("day", _ONE_OR_TWO),
    "_2": ("day", _ONE_OR_TWO),
    "002": ("of year", re.compile("[0-9]{3}")),
    "__2": ("of year", re.compile("[0-9]{1,3}")),
    "15": ("hour", _ONE_OR_TWO),
    "03": ("half hour", _TWO),
    "3": ("half hour", _ONE_OR_TWO),
    "04": ("minute", _TWO),
    "4": ("minute", _ONE_OR_TWO),
    "05": ("second", _TWO),
    "5": ("second", _ONE_OR_TWO),
}
_BOUNDS = {
    "month": (1, 12, "month"),
    "hour": (0, 23, "hour"),
    "half hour": (0, 12, "hour"),
    "minute": (0, 59, "minute"),
    "second": (0, 59, "second"),
}
_OFFSETS = {
    size: re.compile("([+-])" + sign.join(["([0-9]{2})"] * size_parts))
    for size, sign, size_parts in (
        ("07", "", 1),
        ("0700", "", 2),
        ("07:00", ":", 2),
        ("070000", "", 3),
        ("07:00:00", ":", 3),
    )
}
_FRACTION = re.compile("[.,]([0-9]+)")


class _Reading:
    """One text, read by a layout."""

    def __init__(self, layout: str, text: str) -> None:
        self.layout, self.text, self.rest = layout, text, text
        self.found: dict[str, int] = {}
        self.afternoon: bool | None = None
        self.nano = 0
        self.offset: int | None = None
        self.zone = ""

    def refuse(self, chunk: str) -> BuiltinError:
        return BuiltinError(
            f"parsing time {quote(self.text)} as {quote(self.layout)}: "
            f"cannot parse {quote(self.rest)} as {quote(chunk)}"
        )

    def out_of_range(self, what: str) -> BuiltinError:
        return BuiltinError(f"parsing time {quote(self.text)}: {what} out of range")

    def run(self) -> Moment:
        pieces = chunks(self.layout)
        for place, (text, chunk) in enumerate(pieces):
            self.pass_over(text)
            if not chunk:
                break
            self.read(chunk, pieces[place + 1][1] if not pieces[place + 1][0] else "")
        if self.rest:
            raise BuiltinError(f"parsing time {quote(self.text)}: extra text: {quote(self.rest)}")
        return self.moment()

    def pass_over(self, text: str) -> None:
        """Pass over the text between chunks; a space stands for any number of them."""
        whole = text
        while text:
            if text[0] == " ":
                if self.rest and self.rest[0] != " ":
                    raise self.refuse(whole)
                text, self.rest = text.lstrip(" "), self.rest.lstrip(" ")
            elif not self.rest or self.rest[0] != text[0]:
                raise self.refuse(whole)
            else:
                text, self.rest = text[1:], self.rest[1:]

    def read(self, chunk: str, following: str) -> None:
        if chunk in _NUMBERS:
            self.number(chunk)
            if chunk in {"05", "5"} and following[:1] not in {".", ","}:
                self.fraction(self.rest, needed=0)
        elif chunk in {"January", "Jan"}:
            self.found["month"] = 1 + self.name(chunk, MONTHS, short=chunk == "Jan")
        elif chunk in {"Monday", "Mon"}:
            self.name(chunk, DAYS, short=chunk == "Mon")
        elif chunk in {"PM", "pm"}:
            found = self.rest[:2]
            if found not in ({"AM", "PM"} if chunk == "PM" else {"am", "pm"}):
                raise self.refuse(chunk)
            self.afternoon, self.rest = found in {"PM", "pm"}, self.rest[2:]
        elif chunk == "MST":
            self.zone_name(chunk)
        elif chunk[0] in ".,":
            if chunk[1] == "0":
                self.fraction(self.rest, needed=len(chunk) - 1, chunk=chunk)
            else:
                self.fraction(self.rest, needed=0)
        else:
            self.numeric_zone(chunk)

    def number(self, chunk: str) -> None:
        name, shape = _NUMBERS[chunk]
        if chunk in {"_2", "__2"}:
            self.rest = self.rest.removeprefix(" ")
            self.rest = self.rest.removeprefix(" ") if chunk == "__2" else self.rest
        found = shape.match(self.rest)
        if found is None:
            raise self.refuse(chunk)
        value = int(found[0])
        low, high, said = _BOUNDS.get(name, (0, 9999, ""))
        if not low <= value <= high:
            raise self.out_of_range(said)
        self.rest = self.rest[found.end() :]
        if name == "short":
            name, value = "year", value + (1900 if value >= 69 else 2000)
        self.found["hour" if name == "half hour" else name] = value

    def fraction(self, rest: str, *, needed: int, chunk: str = "") -> None:
        found = _FRACTION.match(rest)
        if needed and (found is None or len(found[1]) < needed):
            raise self.refuse(chunk)
        if found is None:
            return
        digits = found[1][:needed] if needed else found[1]
        self.nano = int(digits[:9].ljust(9, "0"))
        self.rest = rest[len(digits) + 1 :]

    def name(self, chunk: str, names: tuple[str, ...], *, short: bool) -> int:
        for place, name in enumerate(names):
            wanted = name[:3] if short else name
            if self.rest[: len(wanted)].lower() == wanted.lower():
                self.rest = self.rest[len(wanted) :]
                return place
        raise self.refuse(chunk)

    def zone_name(self, chunk: str) -> None:
        if self.rest.startswith("UTC"):
            self.offset, self.zone, self.rest = 0, "UTC", self.rest[3:]
            return
        found = _ZONE_NAME.match(self.rest)
        name = found[0] if found is not None else ""
        if not name.startswith("GMT") and name[:1].isupper():
            name = _zone_letters(name, self.rest)
        if not name:
            raise self.refuse(chunk)
        self.rest = self.rest[len(name) :]
        self.zone = name
        self.offset = 0
        if name.startswith("GMT") and len(name) > 3:
            self.offset = int(name[3:]) * 3600

    def numeric_zone(self, chunk: str) -> None:
        if chunk[0] == "Z" and self.rest.startswith("Z"):
            self.offset, self.zone, self.rest = 0, "UTC", self.rest[1:]
            return
        found = _OFFSETS[chunk[1:]].match(self.rest)
        if found is None:
            raise self.refuse(chunk)
        sign, *parts = found.groups()
        hours, minutes, seconds = [*map(int, parts), 0, 0][:3]
        if hours > 24:
            raise self.out_of_range("time zone offset hour")
        if minutes > 59:
            raise self.out_of_range("time zone offset minute")
        if seconds > 59:
            raise self.out_of_range("time zone offset second")
        size = hours * 3600 + minutes * 60 + seconds
        self.offset = -size if sign == "-" else size
        self.rest = self.rest[found.end() :]

    def moment(self) -> Moment:
        year = self.found.get("year", 0)
        month, day = self.found.get("month"), self.found.get("day")
        hour = self.found.get("hour", 0)
        if self.afternoon is not None:
            hour = (
                hour + 12
                if self.afternoon and hour < 12
                else 0
                if not self.afternoon and hour == 12
                else hour
            )
        of_year = self.found.get("of year")
        if of_year is not None:
            if not 1 <= of_year <= days(year + 1, 1, 1) - days(year, 1, 1):
                raise self.out_of_range("day-of-year")
            date_of = date(days(year, 1, of_year))
            if (month not in {None, date_of[1]}) or (day not in {None, date_of[2]}):
                raise BuiltinError(
                    f"parsing time {quote(self.text)}: day-of-year does not match "
                    + ("month" if month not in {None, date_of[1]} else "day")
                )
            month, day = date_of[1:]
        month, day = 1 if month is None else month, 1 if day is None else day
        if not 1 <= day <= days(year, month + 1, 1) - days(year, month, 1):
            raise self.out_of_range("day")
        seconds = days(year, month, day) * SECONDS_A_DAY + hour * 3600
        seconds += self.found.get("minute", 0) * 60 + self.found.get("second", 0) - (self.offset or 0)
        return Moment(seconds * 1_000_000_000 + self.nano, self.offset or 0, self.zone or "UTC")


def _zone_letters(name: str, rest: str) -> str:
    """Return the letters of a zone's name: three, or four and five that end in T, but for a few that Go knows."""
    if name in {"ChST", "MeST", "WITA"} or (len(name) in {4, 5} and name[-1] == "T") or len(name) == 3:
        return name
    return "" if rest[3:4].isupper() else name[:3]


def read(layout: str, text: str) -> Moment:
    """Return the moment that a text tells by the layout. Raises BuiltinError in Go's words."""
    return _Reading(layout, text).run()
