"""Amounts with units, semantic versions and UUIDs: text in, values that compare out."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from fractions import Fraction
from typing import Any

from fairlead.tongues.rego.values import UNDEFINED, number, show

from .arithmetic import drawn
from .kinds import Builtin, BuiltinError, Context, table, text

_STEPS = "kmgtpe"
_AMOUNT = re.compile(r"[+-]?(?=\.?[0-9])[0-9]*\.?[0-9]*(?:[eE][+-]?[0-9]+)?")
_EXPONENT_DIGITS = 6
_LARGEST_EXPONENT = 4000


def _cut(value: str, name: str) -> tuple[str, str]:
    """Return the amount and the unit of a text: `1.5e3Ki` gives `1.5e3` and `Ki`."""
    place = 0
    while place < len(value):
        sign = value[place]
        if sign in "eE":
            ahead = value[place + 1 : place + 2]
            if not ahead or ahead not in "0123456789+-":
                break
            place += ahead in "+-"
            digits = re.compile("[0-9]*").match(value, place + 1)
            assert digits is not None
            if len(digits[0]) > _EXPONENT_DIGITS:
                raise BuiltinError(f"{name}: exponent too large")
        elif sign not in "0123456789.+-":
            break
        place += 1
    return value[:place], value[place:]


def _amount(value: str, name: str, what: str) -> Fraction:
    if not _AMOUNT.fullmatch(value) or len(value) > 4000:
        raise BuiltinError(f"{name}: could not parse {what} to a number")
    mantissa, _, exponent = value.lower().partition("e")
    if abs(int(exponent or "0")) > _LARGEST_EXPONENT:
        raise BuiltinError(f"{name}: exponent too large")
    return Fraction(Decimal(mantissa)) * Fraction(10) ** int(exponent or "0")


def parse_units(_: Context, value: Any) -> int | float:
    """Return the number that an amount stands for: `10m` is 0.01, `1Ki` is 1024."""
    name = "units.parse"
    found = text(value, 1).replace('"', "")
    if " " in found:
        raise BuiltinError(f"{name}: spaces not allowed in resource strings")
    amount, unit = _cut(found, name)
    if not amount:
        raise BuiltinError(f"{name}: no amount provided")
    unit = unit[:1] + unit[1:].lower()
    if unit == "m":
        factor = Fraction(1, 1000)
    elif not unit:
        factor = Fraction(1)
    elif unit.lower() in _STEPS:
        factor = Fraction(1000) ** (_STEPS.index(unit.lower()) + 1)
    elif len(unit) == 2 and unit[0].lower() in _STEPS and unit[1] == "i":
        factor = Fraction(1024) ** (_STEPS.index(unit[0].lower()) + 1)
    else:
        raise BuiltinError(f"{name}: unit {unit} not recognized")
    result = _amount(amount, name, "amount") * factor
    if result.denominator == 1:
        return result.numerator
    tenths, rest = divmod(abs(result) * 10**10, 1)
    rounded = Fraction(int(tenths) + (rest >= Fraction(1, 2)), 10**10)
    return number(float(rounded if result > 0 else -rounded))


def parse_bytes(_: Context, value: Any) -> int:
    """Return the number of bytes that an amount stands for, whole: `1KB` is 1000, `1.5KiB` is 1536."""
    name = "units.parse_bytes"
    found = text(value, 1).lower().replace('"', "")
    if " " in found:
        raise BuiltinError(f"{name}: spaces not allowed in resource strings")
    amount, unit = _cut(found, name)
    if not amount:
        raise BuiltinError(f"{name}: no byte amount provided")
    body = unit.removesuffix("b") if len(unit) > 1 else unit
    if not unit:
        factor = 1
    elif len(body) == 1 and body in _STEPS:
        factor = 1000 ** (_STEPS.index(body) + 1)
    elif len(body) == 2 and body[0] in _STEPS and body[1] == "i":
        factor = 1024 ** (_STEPS.index(body[0]) + 1)
    else:
        raise BuiltinError(f"{name}: byte unit {unit} not recognized")
    return int(_rounded(_rounded(_amount(amount, name, "byte amount")) * factor))


def _rounded(value: Fraction) -> Fraction:
    """Return what is left of a number in Go's big.Float of 64 bits."""
    if not value:
        return value
    shift = 64 - (value.numerator.bit_length() - value.denominator.bit_length())
    scaled = value * Fraction(2) ** shift
    while abs(scaled) >= 1 << 64:
        scaled, shift = scaled / 2, shift - 1
    return Fraction(round(scaled)) / Fraction(2) ** shift


_VERSION = re.compile(
    r"([+-]?[0-9]{1,19})\.([+-]?[0-9]{1,19})\.([0-9]{1,19})"
    r"(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?)?(?:\+(?:[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?)?"
)


def version(value: str) -> tuple[Any, ...] | None:
    """Return what versions are sorted by, or None where the text is no version."""
    found = _VERSION.fullmatch(value)
    if found is None:
        return None
    parts = tuple(int(part) for part in found.groups()[:3])
    if any(abs(part) >= 1 << 63 for part in parts):
        return None
    if not found[4]:
        return (*parts, 1, ())
    names = found[4].split(".")
    return (*parts, 0, tuple((0, int(name), "") if name.isdigit() else (1, 0, name) for name in names))


def compare_versions(_: Context, one: Any, other: Any) -> int:
    """Return -1, 0 or 1 as the first version comes before, with or after the second."""
    texts = text(one, 1), text(other, 2)
    left, right = map(version, texts)
    for place, found in enumerate((left, right)):
        if found is None:
            raise BuiltinError(
                f"operand {place + 1}: string {json.dumps(texts[place], ensure_ascii=False)} is not a valid SemVer"
            )
    assert left is not None
    assert right is not None
    return (left > right) - (left < right)


def new_uuid(context: Context, name: Any) -> str:
    """Return a random UUID: for one key and one evaluation always the same."""
    bits = drawn(context, f"uuid {show(name)}") >> 128
    bits = bits & ~(0xF << 76) | 4 << 76
    digits = f"{bits & ~(3 << 62) | 2 << 62:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


_UUID = re.compile(
    r"(?:urn:uuid:)?([0-9a-f]{8})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{12})", re.IGNORECASE
)
_BARE = re.compile(r"[0-9a-f]{32}", re.IGNORECASE)
_REFORM = 122192928000000000
"""Hundreds of nanoseconds from the Gregorian calendar's first day to the epoch."""
_DOMAINS = {0: "Person", 1: "Group", 2: "Org"}
_CASTS = {0: "global:unicast", 1: "global:multicast", 2: "local:unicast", 3: "local:multicast"}


def parse_uuid(_: Context, value: Any) -> Any:
    """Return what a UUID tells of itself; undefined where the text is none."""
    found = text(value, 1)
    if len(found) == 38:
        found = found[1:-1]
    shape = _UUID.fullmatch(found)
    if shape is None and not _BARE.fullmatch(found):
        return UNDEFINED
    raw = bytes.fromhex("".join(shape.groups()) if shape is not None else found)
    top = raw[8] >> 5
    variant = "Reserved" if top < 4 else "RFC4122" if top < 6 else "Microsoft" if top == 6 else "Future"
    kind = raw[6] >> 4
    result: dict[str, Any] = {"version": kind, "variant": variant}
    if kind in {1, 2}:
        ticks = int.from_bytes(raw[6:8]) & 0xFFF
        ticks = ticks << 48 | int.from_bytes(raw[4:6]) << 32 | int.from_bytes(raw[:4])
        result["time"] = (ticks - _REFORM) * 100
        result["nodeid"] = "-".join(f"{byte:02x}" for byte in raw[10:])
        result["macvariables"] = _CASTS[raw[10] & 3]
        result["clocksequence"] = int.from_bytes(raw[8:10]) & 0x3FFF
        if kind == 2:
            result["id"] = int.from_bytes(raw[:4])
            result["domain"] = _DOMAINS.get(raw[9], f"Domain{raw[9]}")
    return result


BUILTINS = table(
    Builtin("units.parse", 1, parse_units),
    Builtin("units.parse_bytes", 1, parse_bytes),
    Builtin("semver.compare", 2, compare_versions),
    Builtin("semver.is_valid", 1, lambda _, value: type(value) is str and version(value) is not None),
    Builtin("uuid.rfc4122", 1, new_uuid, nondeterministic=True),
    Builtin("uuid.parse", 1, parse_uuid),
)
