"""`"%s and %d".format([a, b])`: values as texts, by the clauses of a format.

Source: github.com/google/cel-go, ext/formatting.go; the texts of errors are the conformance suite's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from fairlead.tongues.cel.errors import Failed, TooCostly
from fairlead.tongues.cel.operators import BIGGEST
from fairlead.tongues.cel.types import Type
from fairlead.tongues.cel.values import Duration, Timestamp, Uint, type_of

_CLAUSE = re.compile(r"%(?:(%)|(?:\.([0-9]+))?(.)?)", re.DOTALL)
_WHOLE = (int, Uint)
_MOST_DIGITS = 1000


def formatted(text: str, args: Sequence[Any]) -> str:
    """Return the text with each clause replaced by its argument. Raises Failed."""
    at = size = 0
    parts: list[str] = []
    last = 0
    for found in _CLAUSE.finditer(text):
        parts.append(text[last : found.start()])
        last = found.end()
        if found[1]:
            parts.append("%")
            continue
        if found[3] is None:
            raise Failed("could not parse formatting clause: unexpected end of string")
        clause = _CLAUSES.get(found[3])
        if clause is None:
            raise Failed(f'could not parse formatting clause: unrecognized formatting clause "{found[3]}"')
        digits = int(found[2]) if found[2] and len(found[2]) < 5 else 6 if not found[2] else _MOST_DIGITS + 1
        if digits > _MOST_DIGITS:
            raise Failed("could not parse formatting clause: precision is too large")
        if at >= len(args):
            raise Failed(f"index {at} out of range")
        made = clause(args[at], digits)
        size += len(made)
        if size > BIGGEST:
            raise TooCostly("operation cancelled: a value grew too large")
        parts.append(made)
        at += 1
    parts.append(text[last:])
    return "".join(parts)


def _wrong(what: str, value: Any) -> Failed:
    return Failed(f"error during formatting: {what}, was given {type_of(value).name}")


def _special(value: float) -> str | None:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return None


def _plain(value: float) -> str:
    """Return a floating point number with all its digits and no exponent."""
    special = _special(value)
    if special is not None:
        return special
    shown = format(Decimal(repr(value)), "f")
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def _string(value: Any, _: int = 0) -> str:
    from fairlead.tongues.cel import times

    kind = value.__class__
    if kind is str:
        return str(value)
    if value is None:
        return "null"
    if kind is bool:
        return "true" if value else "false"
    if kind in _WHOLE:
        return int.__repr__(value)
    if kind is float:
        return _plain(value)
    if kind is bytes:
        return bytes(value).decode("utf-8", "replace")
    if kind is Timestamp:
        return times.write(value)
    if kind is Duration:
        return times.write_duration(value)
    if isinstance(value, Type):
        return value.name
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_string(one) for one in value)}]"
    if isinstance(value, dict):
        entries = sorted(((_string(key), item) for key, item in value.items()), key=lambda one: one[0])
        return f"{{{', '.join(f'{key}: {_string(item)}' for key, item in entries)}}}"
    raise _wrong(
        "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps",
        value,
    )


def _decimal(value: Any, _: int) -> str:
    if value.__class__ in _WHOLE:
        return int.__repr__(value)
    if value.__class__ is float:
        return _plain(value)
    raise _wrong("decimal clause can only be used on integers", value)


def _fixed(value: Any, digits: int) -> str:
    if value.__class__ not in {float, int, Uint}:
        raise _wrong("fixed-point clause can only be used on doubles", value)
    return _special(float(value)) or f"{float(value):.{digits}f}"


def _scientific(value: Any, digits: int) -> str:
    if value.__class__ not in {float, int, Uint}:
        raise _wrong("scientific clause can only be used on doubles", value)
    return _special(float(value)) or f"{float(value):.{digits}e}"


def _binary(value: Any, _: int) -> str:
    if value.__class__ not in {bool, int, Uint}:
        raise _wrong("only integers and bools can be formatted as binary", value)
    return format(int(value), "b")


def _octal(value: Any, _: int) -> str:
    if value.__class__ not in _WHOLE:
        raise _wrong("octal clause can only be used on integers", value)
    return format(int(value), "o")


def _hexadecimal(value: Any, _: int) -> str:
    if value.__class__ in _WHOLE:
        return format(int(value), "x")
    if value.__class__ is str:
        return str(value).encode().hex()
    if value.__class__ is bytes:
        return bytes(value).hex()
    raise _wrong("only integers, byte buffers, and strings can be formatted as hex", value)


_CLAUSES: dict[str, Callable[[Any, int], str]] = {
    "s": _string,
    "d": _decimal,
    "f": _fixed,
    "e": _scientific,
    "b": _binary,
    "o": _octal,
    "x": _hexadecimal,
    "X": lambda value, digits: _hexadecimal(value, digits).upper(),
}
