"""The functions that every expression has: operators' signatures, sizes, conversions, texts, moments and spans.

Source: github.com/google/cel-spec, doc/langdef.md, List of Standard Definitions; conversions and texts as in cel-go.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from fairlead.tongues import regexes
from fairlead.tongues.cel import times
from fairlead.tongues.cel import types as t
from fairlead.tongues.cel.errors import Failed
from fairlead.tongues.cel.libraries import Library
from fairlead.tongues.cel.operators import OPERATORS
from fairlead.tongues.cel.values import (
    INT_MAX,
    INT_MIN,
    UINT_MAX,
    Duration,
    Timestamp,
    Uint,
    type_of,
)

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_WHOLE = re.compile(r"[+-]?[0-9]+", re.ASCII)
_REAL = re.compile(
    r"[+-]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|inf(?:inity)?|nan)",
    re.ASCII | re.IGNORECASE,
)


def size(value: Any) -> int:
    """Return the number of characters, bytes, items or entries."""
    return len(value)


def show_double(value: float) -> str:
    """Return a floating point number as Go's `%g` prints it: `1e+06`, `0.5`, `+Inf`."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value == 0:
        return "-0" if math.copysign(1.0, value) < 0 else "0"
    digits, _, exponent = f"{value!r}".partition("e")
    sign = "-" if digits.startswith("-") else ""
    front, _, back = digits.lstrip("-").partition(".")
    back = "" if back == "0" and not exponent else back.rstrip("0") if exponent else back
    plain = (front + back).lstrip("0")
    power = int(exponent or 0) + len(front) - 1
    if front == "0":
        power = int(exponent or 0) - 1 - (len(back) - len(back.lstrip("0")))
    plain = plain.rstrip("0") or "0"
    if power < -4 or power >= 6:
        rest = f".{plain[1:]}" if len(plain) > 1 else ""
        return f"{sign}{plain[0]}{rest}e{'-' if power < 0 else '+'}{abs(power):02d}"
    if power < 0:
        return f"{sign}0.{'0' * (-power - 1)}{plain}"
    if len(plain) <= power + 1:
        return sign + plain + "0" * (power + 1 - len(plain))
    return f"{sign}{plain[: power + 1]}.{plain[power + 1 :]}"


def to_int(value: Any) -> int:
    """Return `int(value)`."""
    kind = value.__class__
    if kind is int:
        return int(value)
    if kind is Uint:
        if value > INT_MAX:
            raise Failed("integer overflow")
        return int(value)
    if kind is float:
        if not (-(2.0**63) < value < 2.0**63):
            raise Failed("integer overflow")
        return int(value)
    if kind is str:
        if not _WHOLE.fullmatch(value) or len(value) > 100 or not INT_MIN <= int(value) <= INT_MAX:
            raise Failed(f"type conversion error from 'string' to 'int': {value[:100]}")
        return int(value)
    if kind is Timestamp:
        return int(value.ns // times.SECOND)
    if kind is Duration:
        return int(value.ns)
    raise Failed(f"no such overload: int({type_of(value).name})")


def to_uint(value: Any) -> Uint:
    """Return `uint(value)`."""
    kind = value.__class__
    if kind is Uint:
        return Uint(value)
    if kind is int:
        if value < 0:
            raise Failed("unsigned integer overflow")
        return Uint(value)
    if kind is float:
        if not -1.0 < value < 2.0**64:
            raise Failed("unsigned integer overflow")
        return Uint(value)
    if kind is str:
        if not re.fullmatch(r"[0-9]+", value, re.ASCII) or len(value) > 100 or int(value) > UINT_MAX:
            raise Failed(f"type conversion error from 'string' to 'uint': {value[:100]}")
        return Uint(value)
    raise Failed(f"no such overload: uint({type_of(value).name})")


def to_double(value: Any) -> float:
    """Return `double(value)`."""
    if value.__class__ is str:
        if not _REAL.fullmatch(value) or len(value) > 1000:
            raise Failed(f"type conversion error from 'string' to 'double': {value[:100]}")
        return float(value)
    return float(value)


def to_bool(value: Any) -> bool:
    """Return `bool(value)`."""
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise Failed(f"type conversion error from 'string' to 'bool': {value[:100]}")


def to_string(value: Any) -> str:
    """Return `string(value)`."""
    kind = value.__class__
    if kind is str:
        return str(value)
    if kind is bool:
        return "true" if value else "false"
    if kind is int or kind is Uint:
        return int.__repr__(value)
    if kind is float:
        return show_double(value)
    if kind is bytes:
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            raise Failed("invalid UTF-8 in bytes, cannot convert to string") from None
    if kind is Timestamp:
        return times.write(value)
    if kind is Duration:
        return times.write_duration(value)
    return str(value)


def to_bytes(value: str) -> bytes:
    """Return `bytes(value)`."""
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise Failed("invalid UTF-8 in string") from None


def to_timestamp(value: Any) -> Timestamp:
    """Return `timestamp(value)`."""
    return times.read(value) if value.__class__ is str else times.moment(value * times.SECOND)


def to_duration(value: Any) -> Duration:
    """Return `duration(value)`."""
    return times.read_duration(value) if value.__class__ is str else times.span(value)


def same(value: Any) -> Any:
    """Return the value."""
    return value


def matches(text: str, pattern: str) -> bool:
    """Return whether a regular expression (RE2) is found in a text."""
    try:
        return regexes.finder(pattern)(text)
    except regexes.BadPattern as error:
        raise Failed(f"error parsing regexp: {error}") from None


def _signatures() -> dict[str, Callable[..., Any]]:
    found: dict[str, Callable[..., Any]] = {}
    call: Callable[..., Any]

    def operator(name: str, *texts: str) -> None:
        for text in texts:
            found[f"{name}{text}"] = OPERATORS[name]

    numbers = ("int", "uint", "double")
    for one in (*numbers, "string", "bytes", "duration", "list(A)"):
        operator("_+_", f"({one}, {one}) {one}")
    operator("_+_", "(timestamp, duration) timestamp", "(duration, timestamp) timestamp")
    for one in (*numbers, "duration"):
        operator("_-_", f"({one}, {one}) {one}")
    operator("_-_", "(timestamp, timestamp) duration", "(timestamp, duration) timestamp")
    for one in numbers:
        operator("_*_", f"({one}, {one}) {one}")
        operator("_/_", f"({one}, {one}) {one}")
    operator("_%_", "(int, int) int", "(uint, uint) uint")
    operator("-_", "(int) int", "(double) double", "(duration) duration")
    operator("!_", "(bool) bool")
    for name in ("_<_", "_<=_", "_>_", "_>=_"):
        for one in ("bool", *numbers, "string", "bytes", "timestamp", "duration"):
            operator(name, f"({one}, {one}) bool")
        for one in numbers:
            for other in numbers:
                if one != other:
                    operator(name, f"({one}, {other}) bool")
    operator("_==_", "(A, A) bool")
    operator("_!=_", "(A, A) bool")
    operator("@in", "(A, list(A)) bool", "(A, map(A, B)) bool")
    operator("_[_]", "(list(A), int) A", "(map(A, B), A) B")
    found["_&&_(bool, bool) bool"] = found["_||_(bool, bool) bool"] = same
    found["_?_:_(bool, A, A) A"] = same
    for one in ("string", "bytes", "list(A)", "map(A, B)"):
        found[f"size({one}) int"] = found[f".size({one}) int"] = len
    texts: tuple[tuple[str, Callable[..., Any]], ...] = (
        (".contains(string, string) bool", lambda text, part: part in text),
        (".startsWith(string, string) bool", str.startswith),
        (".endsWith(string, string) bool", str.endswith),
        (".matches(string, string) bool", matches),
        ("matches(string, string) bool", matches),
    )
    found.update(texts)
    conversions: tuple[tuple[str, Callable[..., Any], str], ...] = (
        ("int", to_int, "int uint double string timestamp duration"),
        ("uint", to_uint, "int uint double string"),
        ("double", to_double, "int uint double string"),
        ("string", to_string, "string bool int uint double bytes timestamp duration"),
        ("bytes", to_bytes, "string"),
        ("bool", to_bool, "string"),
        ("timestamp", to_timestamp, "string int"),
        ("duration", to_duration, "string int"),
    )
    for name, call, kinds in conversions:
        for kind in kinds.split():
            found[f"{name}({kind}) {name}"] = call
    for name in ("bytes", "bool", "timestamp", "duration"):
        found[f"{name}({name}) {name}"] = same
    found["dyn(A) dyn"] = same
    found["type(A) type(A)"] = type_of
    for name in (*times.PARTS, "getMilliseconds"):
        call = times.part(name)
        found[f".{name}(timestamp) int"] = found[f".{name}(timestamp, string) int"] = call
    for name in ("getHours", "getMinutes", "getSeconds", "getMilliseconds"):
        found[f".{name}(duration) int"] = times.duration_part(name)
    return found


CONSTANTS: dict[str, Any] = {
    "bool": t.BOOL,
    "int": t.INT,
    "uint": t.UINT,
    "double": t.DOUBLE,
    "string": t.STRING,
    "bytes": t.BYTES,
    "list": t.LIST,
    "map": t.MAP,
    "null_type": t.NULL,
    "type": t.TYPE,
    "google.protobuf.Timestamp": t.TIMESTAMP,
    "google.protobuf.Duration": t.DURATION,
}
"""The names of types, which are values too."""

STANDARD = Library("standard", functions=_signatures(), constants=CONSTANTS)
