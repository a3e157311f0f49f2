"""Durations as Go writes them (`1h30m`): text <-> nanoseconds.

Exact, in whole nanoseconds, within Go's 64 bits. Must never look at a clock, and knows no days or weeks: nor does Go.
Source: Go's package time, ParseDuration and Duration.String.
"""

from __future__ import annotations

import re
from functools import lru_cache

NANOSECOND = 1
MICROSECOND = 1_000
MILLISECOND = 1_000_000
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE

_UNITS = {
    "ns": NANOSECOND,
    "us": MICROSECOND,
    "\N{MICRO SIGN}s": MICROSECOND,
    "\N{GREEK SMALL LETTER MU}s": MICROSECOND,
    "ms": MILLISECOND,
    "s": SECOND,
    "m": MINUTE,
    "h": HOUR,
}
_PART = re.compile(r"([0-9]*)(?:(\.)([0-9]*))?([^0-9.]*)")
_BIGGEST = 2**63
_DIGITS = 4000
"""A number with more digits is refused before it is read: it is out of range, and reading it would take long."""


@lru_cache(maxsize=4096)
def parse(text: str) -> int:
    """Return the nanoseconds that the text stands for: `1h30m`, `1.5h`, `-100ms`, `+2s`, `0`.

    Raises ValueError in Go's words. A fraction finer than a nanosecond is cut off.
    """
    rest = text[1:] if text[:1] in {"-", "+"} else text
    if rest == "0":
        return 0
    total = place = 0
    while place < len(rest):
        part = _PART.match(rest, place)
        assert part is not None  # every part of it may be empty
        whole, dot, fraction, unit = part.groups()
        if (not whole and not fraction) or len(whole) + len(fraction or "") > _DIGITS:
            raise ValueError(_invalid(text))
        number = int(whole or "0")
        if number > _BIGGEST:
            raise ValueError(_invalid(text))
        if not unit:
            raise ValueError(f"time: missing unit in duration {quote(text)}")
        size = _UNITS.get(unit)
        if size is None:
            raise ValueError(f"time: unknown unit {quote(unit)} in duration {quote(text)}")
        total += number * size
        if dot and fraction:
            total += int(fraction) * size // 10 ** len(fraction)
        if total > _BIGGEST:
            raise ValueError(_invalid(text))
        place = part.end()
    if not rest or (total == _BIGGEST and text[0] != "-"):
        raise ValueError(_invalid(text))
    return -total if text[0] == "-" else total


def text(nanoseconds: int) -> str:
    """Return the duration as Go prints it: `1h30m0s`, `1.5s`, `100ms`, `2µs`, `0s`."""
    size = abs(nanoseconds)
    sign = "-" if nanoseconds < 0 else ""
    if size < SECOND:
        if not size:
            return "0s"
        for unit, name in ((MILLISECOND, "ms"), (MICROSECOND, "\N{MICRO SIGN}s"), (NANOSECOND, "ns")):
            if size >= unit:
                return f"{sign}{_decimal(size, unit)}{name}"
    minutes, rest = divmod(size, MINUTE)
    hours, minutes = divmod(minutes, 60)
    front = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{sign}{front}{_decimal(rest, SECOND)}s"


def quote(value: str) -> str:
    """Return the text as Go's package time quotes it in its errors: what is not plain ASCII as escaped bytes."""
    plain = "".join(
        character
        if " " <= character < "\x7f" and character not in '"\\'
        else f"\\{character}"
        if character in '"\\'
        else "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))
        for character in value
    )
    return f'"{plain}"'


def _invalid(value: str) -> str:
    return f"time: invalid duration {quote(value)}"


def _decimal(size: int, unit: int) -> str:
    whole, rest = divmod(size, unit)
    if not rest:
        return str(whole)
    digits = len(str(unit)) - 1
    return f"{whole}.{rest:0{digits}d}".rstrip("0")
