"""Sums of numbers, quantities (`100Mi`) and durations (`1h30m`), each with its own kind only, as Kyverno has them.

Exact for quantities and durations. Never mixes kinds beyond multiplying and dividing by plain numbers.
Source: kyverno/kyverno pkg/engine/jmespath/arithmetic.go.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

from fairlead.tongues import durations, quantities
from fairlead.tongues.jmespath.functions import whole
from fairlead.tongues.jmespath.kinds import Failed
from fairlead.tongues.jmespath.rendering import number

_INT64 = 2**63


@dataclass(frozen=True, slots=True)
class _Quantity:
    amount: Fraction
    form: quantities.Form

    def text(self) -> str:
        return quantities.write(self.amount, self.form)


@dataclass(frozen=True, slots=True)
class _Duration:
    nanoseconds: int

    def text(self) -> str:
        return durations.text(self.nanoseconds)

    @property
    def seconds(self) -> float:
        return self.nanoseconds / durations.SECOND


_Operand: TypeAlias = int | float | _Quantity | _Duration


def _operand(value: Any, name: str) -> _Operand:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            return _Quantity(quantities.parse(value), quantities.form_of(value))
        except ValueError:
            pass
        try:
            return _Duration(durations.parse(value))
        except ValueError:
            pass
    raise Failed(f"JMESPath function '{name}': invalid operands")


def _mismatch(name: str) -> Failed:
    return Failed(f"JMESPath function '{name}': Types mismatch")


def _no_zero(divisor: Any, name: str) -> None:
    if not divisor:
        raise Failed(f"JMESPath function '{name}': Zero divisor passed")


def _seconds(value: float) -> str:
    """Return the duration of so many seconds, cut to nanoseconds."""
    if math.isnan(value) or abs(value) * durations.SECOND >= _INT64:
        raise Failed("the duration is out of range")
    return durations.text(int(value * durations.SECOND))


def _decimal(value: float) -> Fraction:
    """Return a plain number as the quantity that Go reads from its text."""
    try:
        return quantities.parse(number(value))
    except ValueError as error:
        raise Failed(str(error)) from None


def add(left: Any, right: Any, name: str = "add") -> Any:
    """Return the sum of two values of one kind. Raises Failed, naming the function `name`."""
    a, b = _operand(left, name), _operand(right, name)
    if isinstance(a, _Quantity) and isinstance(b, _Quantity):
        return _Quantity(a.amount + b.amount, a.form if a.amount else b.form).text()
    if isinstance(a, _Duration) and isinstance(b, _Duration):
        return _Duration(a.nanoseconds + b.nanoseconds).text()
    if isinstance(a, int | float) and isinstance(b, int | float):
        return whole(a + b)
    raise _mismatch(name)


def total(values: list[Any]) -> Any:
    """Return the sum of all values in a list. Raises Failed."""
    if not values:
        raise Failed("JMESPath function 'sum': at least one element in the array is required")
    result = values[0]
    for value in values[1:]:
        result = add(result, value, "sum")
    return result


def subtract(left: Any, right: Any) -> Any:
    """Return the difference of two values of one kind. Raises Failed."""
    a, b = _operand(left, "subtract"), _operand(right, "subtract")
    if isinstance(a, _Quantity) and isinstance(b, _Quantity):
        return _Quantity(a.amount - b.amount, a.form if a.amount else b.form).text()
    if isinstance(a, _Duration) and isinstance(b, _Duration):
        return _Duration(a.nanoseconds - b.nanoseconds).text()
    if isinstance(a, int | float) and isinstance(b, int | float):
        return whole(a - b)
    raise _mismatch("subtract")


def multiply(left: Any, right: Any) -> Any:
    """Return the product, at most one side of which is a quantity or a duration. Raises Failed."""
    a, b = _operand(left, "multiply"), _operand(right, "multiply")
    if isinstance(a, int | float) and isinstance(b, int | float):
        return whole(a * b)
    if isinstance(a, int | float):
        a, b = b, a
    if isinstance(a, _Quantity) and isinstance(b, int | float):
        return _Quantity(a.amount * _decimal(b), a.form).text()
    if isinstance(a, _Duration) and isinstance(b, int | float):
        return _seconds(a.seconds * b)
    raise _mismatch("multiply")


def divide(left: Any, right: Any) -> Any:
    """Return the quotient: a plain number for two of one kind, else of the dividend's kind. Raises Failed."""
    a, b = _operand(left, "divide"), _operand(right, "divide")
    if isinstance(a, _Quantity) and isinstance(b, _Quantity):
        _no_zero(b.amount, "divide")
        return whole(float(a.amount) / float(b.amount))
    if isinstance(a, _Quantity) and isinstance(b, int | float):
        _no_zero(b, "divide")
        divisor = _decimal(b)
        _no_zero(divisor, "divide")
        return _Quantity(_cut(a.amount / divisor, max(_scale(a.amount), _scale(divisor))), a.form).text()
    if isinstance(a, _Duration) and isinstance(b, _Duration):
        _no_zero(b.nanoseconds, "divide")
        return whole(a.seconds / b.seconds)
    if isinstance(a, _Duration) and isinstance(b, int | float):
        _no_zero(b, "divide")
        return _seconds(a.seconds / b)
    if isinstance(a, int | float) and isinstance(b, int | float):
        _no_zero(b, "divide")
        return whole(a / b)
    raise _mismatch("divide")


def _scale(amount: Fraction) -> int:
    """Return how many decimal places the amount has."""
    places = 0
    while amount.denominator != 1 and places < 9:
        amount, places = amount * 10, places + 1
    return places


def _cut(amount: Fraction, places: int) -> Fraction:
    """Return the amount with so many decimal places, cut towards zero."""
    size = abs(amount) * 10**places
    cut = Fraction(size.numerator // size.denominator, 10**places)
    return -cut if amount < 0 else cut


def modulo(left: Any, right: Any) -> Any:
    """Return the remainder of two whole values of one kind, with the dividend's sign. Raises Failed."""
    a, b = _operand(left, "modulo"), _operand(right, "modulo")
    if isinstance(a, _Quantity) and isinstance(b, _Quantity):
        rest = _remainder(a.amount, b.amount)
        return _Quantity(Fraction(rest), a.form).text()
    if isinstance(a, _Duration) and isinstance(b, _Duration):
        _no_zero(b.nanoseconds, "modulo")
        return _Duration(_signed(a.nanoseconds, b.nanoseconds)).text()
    if isinstance(a, int | float) and isinstance(b, int | float):
        return _remainder(a, b)
    raise _mismatch("modulo")


def _remainder(a: float | Fraction, b: float | Fraction) -> int:
    if a != a // 1 or b != b // 1:
        raise Failed("JMESPath function 'modulo': Non-integer argument(s) passed for modulo")
    _no_zero(b, "modulo")
    return _signed(int(a), int(b))


def _signed(a: int, b: int) -> int:
    rest = abs(a) % abs(b)
    return -rest if a < 0 else rest


def rounded(value: float, places: float) -> Any:
    """Return the number with so many decimal places, halves away from zero. Raises Failed."""
    if places != int(places):
        raise Failed("JMESPath function 'round': Non-integer argument(s) passed for round off")
    if places < 0:
        raise Failed("JMESPath function 'round': argument is out of bounds")
    if places > 300:
        return value
    shift: float = 10.0 ** int(places)
    scaled = value * shift
    if not math.isfinite(scaled):
        return value
    return whole(math.copysign(math.floor(abs(scaled) + 0.5), scaled) / shift)


OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "add": add,
    "subtract": subtract,
    "multiply": multiply,
    "divide": divide,
    "modulo": modulo,
}
"""The functions of two operands by name."""
