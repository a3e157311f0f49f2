"""Sprig's arithmetic, and Go's conversions between numbers and texts. Whole numbers wrap around at 64 bits, as in Go.

Source: github.com/Masterminds/sprig/v3, spf13/cast, shopspring/decimal.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, Final

from fairlead.tongues.gotemplate.kinds import INTEGERS, UNSIGNED, Function, GoError, Int64, Ints
from fairlead.tongues.gotemplate.printing import sprint
from fairlead.tongues.gotemplate.states import State

_WHOLE = re.compile(
    r"([+-]?)(?:0[xX](_?[0-9a-fA-F]+(?:_[0-9a-fA-F]+)*)|0[bB](_?[01]+(?:_[01]+)*)|0[oO]?(_?[0-7]+(?:_[0-7]+)*)|(0|[1-9][0-9]*(?:_[0-9]+)*))\Z"
)
_REAL = re.compile(
    r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[iI][nN][fF](?:[iI][nN][iI][tT][yY])?|[nN][aA][nN])\Z"
)
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1


def wrapped(number: int) -> Int64:
    """Return a number as 64 bits hold it."""
    return Int64((number + (1 << 63)) % (1 << 64) - (1 << 63))


def parsed(text: str, base: int = 0) -> int | None:
    """Return what strconv.ParseInt makes of a text; None where it is no number of 64 bits. Base 0 goes by the prefix."""
    if len(text) > 100:
        return None
    if base:
        try:
            number = int(text, base) if text.isascii() and "_" not in text and text == text.strip() else None
        except ValueError:
            return None
    else:
        match = _WHOLE.match(text)
        if match is None:
            return None
        sign, hexed, binary, octal, decimal = match.groups()
        digits, of = next(
            (d, b) for d, b in ((hexed, 16), (binary, 2), (octal, 8), (decimal, 10)) if d is not None
        )
        number = int(digits.replace("_", ""), of) * (-1 if sign == "-" else 1)
    return number if number is not None and _LEAST <= number <= _MOST else None


def to_int(value: Any) -> int:
    """Return a value as a whole number, 0 where it is none (cast.ToInt64)."""
    kind = type(value)
    if kind in INTEGERS or kind in UNSIGNED:
        return int(wrapped(value))
    if kind is float:
        if math.isnan(value) or not _LEAST <= value <= _MOST:
            return _LEAST
        return int(value)
    if kind is str:
        trimmed = re.sub(r"\.0+\Z", "", value)
        return parsed(trimmed) or 0
    return 1 if value is True else 0


def to_float(value: Any) -> float:
    """Return a value as a number, 0 where it is none (cast.ToFloat64)."""
    kind = type(value)
    if kind is float:
        return float(value)
    if kind in INTEGERS or kind in UNSIGNED:
        return float(value)
    if kind is str:
        plain = value.replace("_", "") if value[:2].lower() == "0x" else value
        return float(plain) if _REAL.match(plain) else 0.0
    return 1.0 if value is True else 0.0


def _fraction(value: Any) -> Fraction:
    number = to_float(value)
    if math.isnan(number) or math.isinf(number):
        raise GoError(f"Cannot create a Decimal from {sprint([number])}")
    return Fraction(repr(number))


def _exactly(step: Callable[[Fraction, Fraction], Fraction]) -> Callable[..., float]:
    """Arithmetic that is exact until the end, where it becomes a float."""

    def calculated(first: Any, *others: Any) -> float:
        result = _fraction(first)
        for other in others:
            result = step(result, _fraction(other))
        try:
            return float(result)
        except OverflowError:
            return math.inf if result > 0 else -math.inf

    return calculated


def _divided(left: Fraction, right: Fraction) -> Fraction:
    if not right:
        raise GoError("decimal division by 0")
    scaled = left / right * 10**16
    whole = math.floor(abs(scaled) + Fraction(1, 2))
    return Fraction(whole if scaled >= 0 else -whole, 10**16)


def _div(left: Any, right: Any) -> Int64:
    above, below = to_int(left), to_int(right)
    if not below:
        raise GoError("runtime error: integer divide by zero")
    size = abs(above) // abs(below)
    return wrapped(size if (above < 0) == (below < 0) else -size)


def _mod(left: Any, right: Any) -> Int64:
    above, below = to_int(left), to_int(right)
    if not below:
        raise GoError("runtime error: integer divide by zero")
    return wrapped(abs(above) % abs(below) * (-1 if above < 0 else 1))


def _mul(first: Any, *others: Any) -> Int64:
    result = to_int(first)
    for other in others:
        result = wrapped(result * to_int(other))
    return Int64(result)


def _round(value: Any, places: int, *options: float) -> float:
    on = options[0] if options else 0.5
    try:
        power = math.pow(10, places)
    except OverflowError:
        power = math.inf
    digit = power * to_float(value)
    if math.isinf(digit) or math.isnan(digit):
        return digit / power
    part = math.modf(digit)[0]
    whole = float(math.ceil(digit) if part >= on else math.floor(digit))
    return whole / power if power else math.nan


def _rounded(step: Callable[[float], int]) -> Callable[[Any], float]:
    def rounded(value: Any) -> float:
        number = to_float(value)
        return number if math.isinf(number) or math.isnan(number) else float(step(number))

    return rounded


def _steps(state: State, start: int, stop: int, step: int) -> Ints:
    if (stop < start and step >= 0) or (stop >= start and step <= 0):
        return Ints()
    numbers = range(start, stop, step)
    count = max((stop - start + step - (1 if step > 0 else -1)) // step, 0)
    state.charge(count * 8)
    state.spend(count)
    return Ints(numbers)


def _until(state: State, count: int) -> Ints:
    return _steps(state, 0, count, -1 if count < 0 else 1)


def _seq(state: State, *params: int) -> str:
    if not params or len(params) > 3:
        return ""
    start, end = (1, params[0]) if len(params) == 1 else (params[0], params[-1])
    direction = -1 if end < start else 1
    step = params[1] if len(params) == 3 else direction
    if len(params) == 3 and direction < 0 and step > 0:
        return ""
    return " ".join(map(str, _steps(state, start, end + direction, step)))


def _rand_int(state: State, least: int, most: int) -> int:
    if most - least <= 0:
        raise GoError("invalid argument to Intn")
    return state.below(most - least) + least


def _atoi(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]+", text, re.ASCII):
        return 0
    if len(text) > 25:
        return _LEAST if text[0] == "-" else _MOST
    return max(_LEAST, min(_MOST, int(text)))


def _float_of(pick: Callable[[float, float], float]) -> Callable[..., float]:
    def picked(first: Any, *others: Any) -> float:
        result = to_float(first)
        for other in others:
            number = to_float(other)
            result = math.nan if math.isnan(number) or math.isnan(result) else pick(result, number)
        return result

    return picked


_sum = _exactly(lambda left, right: left + right)

NUMBERS: Final[Mapping[str, Function]] = {
    "add": Function(lambda *values: wrapped(sum(map(to_int, values))), "", "a"),
    "add1": Function(lambda value: wrapped(to_int(value) + 1), "a"),
    "add1f": Function(lambda value: _sum(value, 1), "a"),
    "addf": Function(lambda *values: _sum(0.0, *values), "", "a"),
    "atoi": Function(_atoi, "s"),
    "biggest": Function(lambda *values: Int64(max(map(to_int, values))), "a", "a"),
    "ceil": Function(_rounded(math.ceil), "a"),
    "div": Function(_div, "aa"),
    "divf": Function(_exactly(_divided), "a", "a"),
    "float64": Function(to_float, "a"),
    "floor": Function(_rounded(math.floor), "a"),
    "int": Function(to_int, "a"),
    "int64": Function(lambda value: Int64(to_int(value)), "a"),
    "max": Function(lambda *values: Int64(max(map(to_int, values))), "a", "a"),
    "maxf": Function(_float_of(max), "a", "a"),
    "min": Function(lambda *values: Int64(min(map(to_int, values))), "a", "a"),
    "minf": Function(_float_of(min), "a", "a"),
    "mod": Function(_mod, "aa"),
    "mul": Function(_mul, "a", "a"),
    "mulf": Function(_exactly(lambda left, right: left * right), "a", "a"),
    "randInt": Function(_rand_int, "ii", state=True),
    "round": Function(_round, "ai", "f"),
    "seq": Function(_seq, "", "i", state=True),
    "sub": Function(lambda left, right: wrapped(to_int(left) - to_int(right)), "aa"),
    "subf": Function(_exactly(lambda left, right: left - right), "a", "a"),
    "toDecimal": Function(lambda value: Int64(parsed(sprint([value]), 8) or 0), "a"),
    "until": Function(_until, "i", state=True),
    "untilStep": Function(_steps, "iii", state=True),
}
"""The functions by name."""
