"""Numbers: operators, bits, rounding, ranges, comparisons, and numbers by chance.

Whole numbers are exact, of any size within the limit. Fractions are computed in decimal, as the numbers were written, to the
precision that OPA has (64 bits of mantissa), so that 0.1 + 0.2 is 0.3. Chance comes from the context's seed only.
"""

from __future__ import annotations

import decimal
import hashlib
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from fairlead.tongues.rego.values import Set, compare, equal, type_name

from .kinds import (
    LONGEST_NUMBER,
    Builtin,
    BuiltinError,
    Context,
    OperandError,
    bounded,
    integer,
    number,
    table,
    text,
    wrong,
)

DECIMAL = decimal.Context(
    prec=20, rounding=decimal.ROUND_HALF_EVEN, Emax=999_999, Emin=-999_999, traps=[decimal.InvalidOperation]
)
_LARGEST_WHOLE = 1e21


def exact(value: float) -> Decimal:
    """Return the number as it is written in decimal, to 20 digits."""
    return DECIMAL.create_decimal(value if type(value) is int else repr(value))


def narrow(value: Decimal) -> int | float:
    """Return the decimal as an int where it is whole, else as the nearest float."""
    if not value.is_finite():
        raise BuiltinError("the number is too large")
    if value == value.to_integral_value():
        if value.adjusted() > LONGEST_NUMBER * 0.301:
            raise BuiltinError("the number is too large")
        return int(value)
    return float(value)


def _held(value: int) -> int:
    if value.bit_length() > LONGEST_NUMBER:
        raise BuiltinError("the number is too large")
    return value


def _binary(
    whole: Callable[[int, int], int], parts: Callable[[Decimal, Decimal], Decimal]
) -> Callable[..., int | float]:
    def call(_: Context, one: Any, other: Any) -> int | float:
        if type(one) is int and type(other) is int:
            return _held(whole(one, other))
        return narrow(parts(exact(number(one, 1)), exact(number(other, 2))))

    return call


plus = _binary(lambda one, other: one + other, DECIMAL.add)
"""Add two numbers."""
_difference = _binary(lambda one, other: one - other, DECIMAL.subtract)


def _product(one: int, other: int) -> int:
    if one.bit_length() + other.bit_length() > LONGEST_NUMBER + 1:
        raise BuiltinError("the number is too large")
    return one * other


times = _binary(_product, DECIMAL.multiply)
"""Multiply two numbers."""


def minus(context: Context, one: Any, other: Any) -> Any:
    """Subtract numbers, or take the elements of one set from another."""
    if type(one) is Set:
        if type(other) is not Set:
            raise wrong(2, other, "set" if type(other) in {int, float} else "number")
        return one - other
    if type(one) is not int and type(one) is not float:
        raise wrong(1, one, "number", "set")
    return _difference(context, one, other)


def divide(_: Context, one: Any, other: Any) -> int | float:
    """Divide two numbers."""
    number(one, 1), number(other, 2)
    if not other:
        raise BuiltinError("divide by zero")
    if type(one) is int and type(other) is int and not one % other:
        return one // other
    return narrow(DECIMAL.divide(exact(one), exact(other)))


def remainder(_: Context, one: Any, other: Any) -> int:
    """Return what whole division leaves; it has the sign of the dividend."""
    number(one, 1), number(other, 2)
    if not (_is_whole(one) and _is_whole(other)):
        raise BuiltinError("modulo on floating-point number")
    dividend, divisor = int(one), int(other)
    if not divisor:
        raise BuiltinError("modulo by zero")
    rest = abs(dividend) % abs(divisor)
    return -rest if dividend < 0 else rest


def _is_whole(value: float) -> bool:
    return type(value) is int or float(value).is_integer()


def _rounder(change: Callable[[Decimal], Decimal]) -> Callable[..., int | float]:
    def call(_: Context, value: Any) -> int | float:
        if type(value) is int:
            return value
        return narrow(change(exact(number(value, 1))))

    return call


def _half_away(value: Decimal) -> Decimal:
    return value.to_integral_value(decimal.ROUND_HALF_UP)


def _up(value: Decimal) -> Decimal:
    """Round up as OPA does, where a fraction between -1 and 0 becomes 1."""
    whole = value.to_integral_value(decimal.ROUND_DOWN)
    return whole if whole < 0 or whole == value else whole + 1


def _down(value: Decimal) -> Decimal:
    """Round down as OPA does, where a fraction between -1 and 0 becomes 0."""
    whole = value.to_integral_value(decimal.ROUND_DOWN)
    return whole if whole >= 0 or whole == value else whole - 1


def absolute(_: Context, value: Any) -> int | float:
    """Return the number without its sign."""
    return abs(number(value, 1))


def _bit_operand(value: Any, place: int) -> int:
    if type(value) is not int and type(value) is not float:
        raise wrong(place, value, "integer")
    if not _is_whole(value):
        raise OperandError(f"operand {place} must be integer number but got floating-point number")
    return int(value)


def _bits(change: Callable[[int, int], int]) -> Callable[..., int]:
    return lambda _, one, other: change(_bit_operand(one, 1), _bit_operand(other, 2))


def _shift(value: Any, by: Any) -> tuple[int, int]:
    left, right = _bit_operand(value, 1), _bit_operand(by, 2)
    if right < 0:
        raise OperandError("operand 2 must be an unsigned integer number but got a negative integer")
    return left, right


def shift_left(_: Context, value: Any, by: Any) -> int:
    """Shift bits to the left."""
    left, right = _shift(value, by)
    if left:
        bounded(left.bit_length() + right, LONGEST_NUMBER, "bits")
    return left << right if left else 0


def shift_right(_: Context, value: Any, by: Any) -> int:
    """Shift bits to the right, with the sign."""
    left, right = _shift(value, by)
    return left >> min(right, LONGEST_NUMBER)


def number_range(context: Context, first: Any, last: Any) -> list[int]:
    """Return the whole numbers from the first to the last, both included, up or down."""
    return _range(context, _bit_operand(first, 1), _bit_operand(last, 2), 1)


def number_range_step(context: Context, first: Any, last: Any, step: Any) -> list[int]:
    """Return every step-th whole number from the first to the last."""
    start, stop, by = _bit_operand(first, 1), _bit_operand(last, 2), _bit_operand(step, 3)
    if by <= 0:
        raise BuiltinError("numbers.range_step: step must be a positive integer")
    return _range(context, start, stop, by)


def _range(context: Context, first: int, last: int, step: int) -> list[int]:
    size = bounded(abs(last - first) // step + 1)
    context.spend(size)
    return list(range(first, last + 1, step) if first <= last else range(first, last - 1, -step))


def chance(context: Context, name: Any, limit: Any) -> int:
    """Return a number from 0 up to the limit: for one name and one evaluation always the same."""
    label, size = text(name, 1), abs(integer(limit, 2))
    return drawn(context, f"rand.intn {size} {label}") % size if size else 0


def drawn(context: Context, label: str) -> int:
    """Return 256 bits that depend on the evaluation's seed and on the label only."""
    seed = context.seed if isinstance(context.seed, bytes) else str(context.seed).encode()
    whole = b"%d:%s %s" % (len(seed), seed, label.encode("utf-8", "surrogatepass"))
    return int.from_bytes(hashlib.sha256(whole).digest())


_BASES: dict[float, str] = {2: "b", 8: "o", 10: "d", 16: "x"}


def format_int(_: Context, value: Any, base: Any) -> str:
    """Write the whole part of a number in base 2, 8, 10 or 16."""
    whole = math.trunc(number(value, 1))
    sign = _BASES.get(number(base, 2))
    if sign is None:
        raise OperandError("operand 2 must be one of {2, 8, 10, 16}")
    return str(Decimal(whole)) if sign == "d" else format(whole, sign)


def to_number(_: Context, value: Any) -> int | float:
    """Make a number of null, a boolean, or a text as Go reads numbers."""
    if value is None:
        return 0
    if type(value) is bool:
        return int(value)
    if type(value) is int or type(value) is float:
        return value
    if type(value) is not str:
        raise wrong(1, value, "null", "boolean", "number", "string")
    if value.lstrip("+-").lower() in {"inf", "infinity", "nan"}:
        raise wrong(1, value, "valid number string")
    return read_number(value)


def read_number(value: str) -> int | float:
    """Read the text of a number; whole ones stay exact. Raises BuiltinError as Go's ParseFloat words it."""
    if len(value) <= 4000:  # Python reads no longer numbers
        body = value[1:] if value[:1] in {"-", "+"} else value
        if body.isascii() and body.isdigit():
            return int(value)
        if (
            body.isascii()
            and body[:1] not in {"_", " ", "\t", "\n"}
            and "_" not in body
            and body == body.strip()
        ):
            try:
                hexadecimal = body[:2].lower() == "0x" and "p" in body.lower()
                found = float.fromhex(value) if hexadecimal else float(value)
            except (ValueError, OverflowError):
                found = math.nan
            if math.isinf(found):
                raise BuiltinError(f'strconv.ParseFloat: parsing "{value}": value out of range')
            if math.isfinite(found):
                return int(found) if found.is_integer() and abs(found) < _LARGEST_WHOLE else found
    raise BuiltinError(f'strconv.ParseFloat: parsing "{value}": invalid syntax')


def _comparison(holds: Callable[[int], bool]) -> Callable[..., bool]:
    return lambda _, one, other: holds(compare(one, other))


def is_type(name: str) -> Callable[..., bool]:
    """Return the built-in that tells whether a value is of the named type."""
    return lambda _, value: type_name(value) == name


def cast(name: str) -> Callable[..., Any]:
    """Return the deprecated cast that only lets values of the named type through."""

    def call(_: Context, value: Any) -> Any:
        if type_name(value) != name:
            raise wrong(1, value, name)
        return value

    return call


def cast_array(_: Context, value: Any) -> list[Any]:
    """Make an array of a set."""
    if type(value) is Set:
        return list(value.sorted())
    if type(value) is not list:
        raise wrong(1, value, "array", "set")
    return value


def cast_set(_: Context, value: Any) -> Set:
    """Make a set of an array."""
    if type(value) is list:
        return Set(value)
    if type(value) is not Set:
        raise wrong(1, value, "array", "set")
    return value


BUILTINS = table(
    Builtin("plus", 2, plus),
    Builtin("minus", 2, minus),
    Builtin("mul", 2, times),
    Builtin("div", 2, divide),
    Builtin("rem", 2, remainder),
    Builtin("abs", 1, absolute),
    Builtin("round", 1, _rounder(_half_away)),
    Builtin("ceil", 1, _rounder(_up)),
    Builtin("floor", 1, _rounder(_down)),
    Builtin("bits.and", 2, _bits(lambda one, other: one & other)),
    Builtin("bits.or", 2, _bits(lambda one, other: one | other)),
    Builtin("bits.xor", 2, _bits(lambda one, other: one ^ other)),
    Builtin("bits.negate", 1, lambda _, value: ~_bit_operand(value, 1)),
    Builtin("bits.lsh", 2, shift_left),
    Builtin("bits.rsh", 2, shift_right),
    Builtin("numbers.range", 2, number_range),
    Builtin("numbers.range_step", 3, number_range_step),
    Builtin("rand.intn", 2, chance, nondeterministic=True),
    Builtin("format_int", 2, format_int),
    Builtin("to_number", 1, to_number),
    Builtin("equal", 2, lambda _, one, other: equal(one, other)),
    Builtin("neq", 2, lambda _, one, other: not equal(one, other)),
    Builtin("lt", 2, _comparison(lambda order: order < 0)),
    Builtin("lte", 2, _comparison(lambda order: order <= 0)),
    Builtin("gt", 2, _comparison(lambda order: order > 0)),
    Builtin("gte", 2, _comparison(lambda order: order >= 0)),
    Builtin("type_name", 1, lambda _, value: type_name(value)),
    *(
        Builtin(f"is_{name}", 1, is_type(name))
        for name in ("null", "boolean", "number", "string", "array", "object", "set")
    ),
    *(Builtin(f"cast_{name}", 1, cast(name)) for name in ("null", "boolean", "string", "object")),
    Builtin("cast_array", 1, cast_array),
    Builtin("cast_set", 1, cast_set),
)
