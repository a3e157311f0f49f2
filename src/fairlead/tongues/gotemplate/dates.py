"""Go's time layouts, and Sprig's functions over dates. The machine's own zone is UTC here, whatever machine that is.

The moment comes from the run's state: nothing here reads a clock. Source: go.dev/pkg/time, github.com/Masterminds/sprig/v3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, Final

from fairlead.tongues.gotemplate.kinds import Duration, Function, GoError, Int32, Int64, Struct
from fairlead.tongues.gotemplate.numbers import parsed
from fairlead.tongues.gotemplate.printing import duration_text, quoted
from fairlead.tongues.gotemplate.states import State

SECOND: Final = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ZERO: Final = -62_135_596_800 * SECOND
"""The first of January of the year 1, which is Go's time that was never set."""
_MONTHS: Final = [
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
_WEEKDAYS: Final = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_LAYOUT = re.compile(
    r"January|Jan|Monday|Mon|MST|2006|__2|_2006|_2|01|02|03|04|05|06|002|15|PM|pm"
    r"|Z070000|Z07:00:00|Z0700|Z07:00|Z07|-070000|-07:00:00|-0700|-07:00|-07|[.,]0+(?![0-9])|[.,]9+(?![0-9])|1|2|3|4|5"
)


def zone(name: str) -> tzinfo | None:
    """Return the zone of that name; None where there is none."""
    if name in {"", "UTC", "Local"}:
        return UTC
    from fairlead.tongues.gotemplate import zones

    return zones.ZONES.get(name)


def _at(nanoseconds: int, where: tzinfo) -> datetime:
    try:
        return (_EPOCH + timedelta(seconds=nanoseconds // SECOND)).astimezone(where)
    except OverflowError:
        raise GoError("a time outside the years 1 to 9999") from None


def formatted(nanoseconds: int, where: tzinfo, layout: str) -> str:
    """Return a moment as a layout of Go shows it."""
    at = _at(nanoseconds, where)
    fraction = nanoseconds % SECOND
    return _LAYOUT.sub(lambda match: _part(match.group(), at, fraction), layout)


def _part(word: str, at: datetime, fraction: int) -> str:
    match word:
        case "January":
            return _MONTHS[at.month - 1]
        case "Jan":
            return _MONTHS[at.month - 1][:3]
        case "Monday":
            return _WEEKDAYS[at.weekday()]
        case "Mon":
            return _WEEKDAYS[at.weekday()][:3]
        case "MST":
            return _zone_name(at)
        case "2006":
            return f"{at.year:04d}"
        case "_2006":
            return f"_{at.year:04d}"
        case "06":
            return f"{at.year % 100:02d}"
        case "01" | "1":
            return f"{at.month:0{len(word)}d}"
        case "02" | "2":
            return f"{at.day:0{len(word)}d}"
        case "_2":
            return f"{at.day:2d}"
        case "002" | "__2":
            day = at.timetuple().tm_yday
            return f"{day:03d}" if word == "002" else f"{day:3d}"
        case "15":
            return f"{at.hour:02d}"
        case "03" | "3":
            return f"{(at.hour % 12) or 12:0{len(word)}d}"
        case "04" | "4":
            return f"{at.minute:0{len(word)}d}"
        case "05" | "5":
            return f"{at.second:0{len(word)}d}"
        case "PM" | "pm":
            half = "PM" if at.hour >= 12 else "AM"
            return half if word == "PM" else half.lower()
    if word[0] in ".,":
        digits = f"{fraction:09d}"[: len(word) - 1]
        if word[1] == "9":
            digits = digits.rstrip("0")
            return f"{word[0]}{digits}" if digits else ""
        return f"{word[0]}{digits}"
    return _offset(word, at)


def _offset(word: str, at: datetime) -> str:
    offset = at.utcoffset() or timedelta()
    seconds = round(offset.total_seconds())
    if word[0] == "Z" and not seconds:
        return "Z"
    sign, seconds = ("-" if seconds < 0 else "+"), abs(seconds)
    hours, minutes = divmod(seconds // 60, 60)
    shape = word[1:]
    text = f"{sign}{hours:02d}"
    if len(shape) > 2:
        text += f":{minutes:02d}" if ":" in shape else f"{minutes:02d}"
    if len(shape) > 5:
        text += f":{seconds % 60:02d}" if ":" in shape else f"{seconds % 60:02d}"
    return text


def _zone_name(at: datetime) -> str:
    name = at.tzname() or ""
    if name and not name.startswith(("UTC+", "UTC-")):
        return name
    return (
        _offset("-07", at)
        if not (at.utcoffset() or timedelta()).total_seconds() % 3600
        else _offset("-0700", at)
    )


class _Unlike(Exception):
    """A text that is not as its layout has it: the rest of the layout, and of the text."""

    def __init__(self, wanted: str, got: str) -> None:
        super().__init__(wanted)
        self.wanted, self.got = wanted, got


_READS: Final[Mapping[str, str]] = {
    "2006": r"[0-9]{4}",
    "_2006": r"_[0-9]{4}",
    "06": r"[0-9]{2}",
    "01": r"[0-9]{2}",
    "1": r"[0-9]{1,2}",
    "02": r"[0-9]{2}",
    "2": r"[0-9]{1,2}",
    "_2": r" ?[0-9]{1,2}",
    "002": r"[0-9]{3}",
    "__2": r" {0,2}[0-9]{1,3}",
    "15": r"[0-9]{1,2}",
    "03": r"[0-9]{2}",
    "3": r"[0-9]{1,2}",
    "04": r"[0-9]{2}",
    "4": r"[0-9]{1,2}",
    "05": r"[0-9]{2}",
    "5": r"[0-9]{1,2}",
    "PM": r"AM|PM",
    "pm": r"am|pm",
    "MST": r"UTC|[A-Z]{3,5}(?:[+-][0-9]{1,2})?|[+-][0-9]{2}",
    "January": "|".join(_MONTHS),
    "Jan": "|".join(month[:3] for month in _MONTHS),
    "Monday": "|".join(_WEEKDAYS),
    "Mon": "|".join(day[:3] for day in _WEEKDAYS),
}


def read(layout: str, text: str) -> Struct:
    """Return the moment that a text means by a layout. Raises GoError with Go's words."""
    try:
        return _read(layout, text)
    except _Unlike as fault:
        head = f"parsing time {quoted(text)} as {quoted(layout)}: "
        raise GoError(f"{head}cannot parse {quoted(fault.got)} as {quoted(fault.wanted)}") from None
    except (ValueError, OverflowError) as fault:
        part = next(
            (word for word in ("month", "day", "hour", "minute", "second") if word in str(fault)), "year"
        )
        raise GoError(f"parsing time {quoted(text)}: {part} out of range") from None


def _read(layout: str, text: str) -> Struct:
    parts: dict[str, str] = {}
    at, end = 0, 0
    for match in _LAYOUT.finditer(layout):
        at = _literal(layout[end : match.start()], text, at)
        end = match.end()
        word = match.group()
        if word[0] in ".,":
            pattern = r"[.,][0-9]+" if word[1] == "9" else rf"[.,][0-9]{{{len(word) - 1}}}"
            found = re.compile(pattern).match(text, at)
            if found is None and word[1] == "9":
                continue
            word = "fraction"
        elif word[0] in "Z-":
            shape = re.sub(r"[0-9]{2}", "[0-9]{2}", word[1:])
            found = re.compile(rf"Z|[+-]{shape}" if word[0] == "Z" else rf"[+-]{shape}").match(text, at)
            word = "offset" if found is not None else word
        else:
            found = re.compile(_READS[word], re.IGNORECASE if word[0] in "JM" and word != "MST" else 0).match(
                text, at
            )
        if found is None:
            raise _Unlike(word if word != "fraction" else match.group(), text[at:])
        parts[word] = found.group()
        at = found.end()
        if word in {"05", "5"} and not re.match(r"[.,]", layout[end:]):
            fraction = re.compile(r"[.,][0-9]+").match(text, at)
            if fraction is not None:
                parts["fraction"], at = fraction.group(), fraction.end()
    at = _literal(layout[end:], text, at)
    if at < len(text):
        raise GoError(f"parsing time {quoted(text)}: extra text: {quoted(text[at:])}")
    return _made(parts)


def _literal(wanted: str, text: str, at: int) -> int:
    if not text.startswith(wanted, at):
        raise _Unlike(wanted, text[at:])
    return at + len(wanted)


def _made(parts: Mapping[str, str]) -> Struct:
    def number(*words: str, otherwise: int = 0) -> int:
        return next((int(parts[word].strip(" _")) for word in words if word in parts), otherwise)

    year = number("2006", "_2006", otherwise=-1)
    if year < 0:
        short = number("06", otherwise=-1)
        year = 0 if short < 0 else short + (1900 if short >= 69 else 2000)
    month = number("01", "1", otherwise=1)
    for word, size in (("January", 12), ("Jan", 3)):
        if word in parts:
            month = [name[:size].lower() for name in _MONTHS].index(parts[word].lower()) + 1
    hour = number("15", "03", "3")
    half = parts.get("PM", parts.get("pm", "")).upper()
    if half:
        hour = hour % 12 + (12 if half == "PM" else 0)
    where: tzinfo = UTC
    offset = parts.get("offset", "Z")
    if offset != "Z":
        digits = re.sub(r"[^0-9]", "", offset).ljust(6, "0")
        seconds = int(digits[:2]) * 3600 + int(digits[2:4]) * 60 + int(digits[4:6])
        where = timezone(timedelta(seconds=seconds if offset[0] == "+" else -seconds))
    elif parts.get("MST", "UTC") != "UTC" and parts["MST"][0].isalpha():
        where = timezone(timedelta(), parts["MST"])
    fraction = int(parts.get("fraction", ".0")[1:10].ljust(9, "0"))
    shift = 400 if year < 1 else 0
    moment = datetime(
        year + shift,
        month,
        number("02", "2", "_2", otherwise=1),
        hour,
        number("04", "4"),
        number("05", "5"),
        tzinfo=where,
    )
    seconds = int((moment - _EPOCH).total_seconds()) - shift * 31_556_952
    return struct(seconds * SECOND + fraction, where)


_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3600 * SECOND,
}
_TERM = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)", re.ASCII)


def duration(text: str) -> int | None:
    """Return the nanoseconds of a duration such as `-1h30m`; None for what is none."""
    bare = text.removeprefix("-") if text.startswith("-") else text.removeprefix("+")
    if bare == "0":
        return 0
    at, total = 0, 0
    while at < len(bare):
        match = _TERM.match(bare, at)
        if match is None or not (match.group(1) or match.group(2)):
            return None
        whole, part, unit = match.groups()
        total += int(whole or 0) * _UNITS[unit]
        if part:
            total += int(part) * _UNITS[unit] // 10 ** len(part)
        at = match.end()
    if not bare or total >= 1 << 63:
        return None
    return -total if text.startswith("-") else total


def struct(nanoseconds: int, where: tzinfo = UTC) -> Struct:
    """Return a moment as templates have it: a time.Time with its methods."""
    made = Struct("time.Time", data=(nanoseconds, where), tags={"": "text"})

    def shown() -> str:
        return formatted(nanoseconds, where, "2006-01-02 15:04:05.999999999 -0700 MST")

    def other(value: Struct) -> int:
        return int(value.data[0])

    def at() -> datetime:
        return _at(nanoseconds, where)

    def moved(years: int, months: int, days: int) -> Struct:
        here = at()
        month = here.month - 1 + months
        first = datetime(
            here.year + years + month // 12,
            month % 12 + 1,
            1,
            here.hour,
            here.minute,
            here.second,
            tzinfo=where,
        )
        then = first + timedelta(days=here.day - 1 + days)
        return struct(int((then - _EPOCH).total_seconds()) * SECOND + nanoseconds % SECOND, where)

    made.text = shown
    made.methods = {
        "Add": Function(lambda size: struct(nanoseconds + size, where), "d"),
        "AddDate": Function(moved, "iii"),
        "After": Function(lambda value: nanoseconds > other(value), "t"),
        "Before": Function(lambda value: nanoseconds < other(value), "t"),
        "Equal": Function(lambda value: nanoseconds == other(value), "t"),
        "Day": Function(lambda: at().day),
        "Format": Function(lambda layout: formatted(nanoseconds, where, layout), "s"),
        "Hour": Function(lambda: at().hour),
        "IsZero": Function(lambda: nanoseconds == _ZERO),
        "Local": Function(lambda: struct(nanoseconds)),
        "Minute": Function(lambda: at().minute),
        "Nanosecond": Function(lambda: nanoseconds % SECOND),
        "Second": Function(lambda: at().second),
        "String": Function(shown),
        "Sub": Function(lambda value: Duration(nanoseconds - other(value)), "t"),
        "UTC": Function(lambda: struct(nanoseconds)),
        "Unix": Function(lambda: Int64(nanoseconds // SECOND)),
        "UnixMilli": Function(lambda: Int64(nanoseconds // 1_000_000)),
        "UnixNano": Function(lambda: Int64(nanoseconds)),
        "Year": Function(lambda: at().year),
        "YearDay": Function(lambda: at().timetuple().tm_yday),
    }
    return made


def _moment(state: State, value: Any) -> int:
    if isinstance(value, Struct) and value.name == "time.Time":
        return int(value.data[0])
    if type(value) in {int, Int64, Int32}:
        return int(value) * SECOND
    return state.moment


def _in_zone(state: State, layout: str, value: Any, name: str) -> str:
    return formatted(_moment(state, value), zone(name) or UTC, layout)


def _modified(text: str, value: Struct) -> Struct:
    size = duration(text)
    return value if size is None else struct(value.data[0] + size, value.data[1])


def _must_modify(text: str, value: Struct) -> Struct:
    if duration(text) is None:
        raise GoError(f"time: invalid duration {quoted(text)}")
    return _modified(text, value)


def _ago(state: State, value: Any) -> str:
    size = state.moment - _moment(state, value)
    half = SECOND // 2
    rounded = (abs(size) + half) // SECOND * SECOND
    return duration_text(rounded if size >= 0 else -rounded)


def _duration(value: Any) -> str:
    seconds = int(value) if type(value) is Int64 else 0
    if type(value) is str:
        seconds = parsed(value, 10) or 0
    return duration_text(seconds * SECOND)


def _duration_round(state: State, value: Any) -> str:
    size = 0
    if type(value) is str:
        size = duration(value) or 0
    elif type(value) is Int64:
        size = int(value)
    elif isinstance(value, Struct) and value.name == "time.Time":
        size = state.moment - int(value.data[0])
    hour = 3600 * SECOND
    units = (
        ("y", 8760 * hour),
        ("mo", 720 * hour),
        ("d", 24 * hour),
        ("h", hour),
        ("m", 60 * SECOND),
        ("s", SECOND),
    )
    for name, unit in units:
        if abs(size) > unit:
            return f"{abs(size) // unit}{name}"
    return "0s"


def _to_date(layout: str, text: str) -> Struct:
    try:
        return read(layout, text)
    except GoError:
        return struct(_ZERO)


_DAY: Final = "2006-01-02"
_IN_ZONE = Function(_in_zone, "sas", state=True)
_MODIFY = Function(_modified, "st")
_MUST_MODIFY = Function(_must_modify, "st")
DATES: Final[Mapping[str, Function]] = {
    "ago": Function(_ago, "a", state=True),
    "date": Function(lambda state, layout, value: _in_zone(state, layout, value, "Local"), "sa", state=True),
    "dateInZone": _IN_ZONE,
    "dateModify": _MODIFY,
    "date_in_zone": _IN_ZONE,
    "date_modify": _MODIFY,
    "duration": Function(_duration, "a"),
    "durationRound": Function(_duration_round, "a", state=True),
    "htmlDate": Function(lambda state, value: _in_zone(state, _DAY, value, "Local"), "a", state=True),
    "htmlDateInZone": Function(
        lambda state, value, name: _in_zone(state, _DAY, value, name), "as", state=True
    ),
    "mustDateModify": _MUST_MODIFY,
    "mustToDate": Function(read, "ss"),
    "must_date_modify": _MUST_MODIFY,
    "now": Function(lambda state: struct(state.moment), state=True),
    "toDate": Function(_to_date, "ss"),
    "unixEpoch": Function(lambda value: str(value.data[0] // SECOND), "t"),
}
"""The functions by name."""
