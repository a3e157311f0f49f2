"""Amounts of resources as Kubernetes writes them: `100m`, `1.5Gi`, `12e6`.

Text in, exact numbers out, and back to the canonical text that the API server would store. It must never use floating
point, and knows nothing of which resource an amount is of.
Source: k8s.io/apimachinery/pkg/api/resource, Quantity.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import Literal, TypeAlias

Form: TypeAlias = Literal["DecimalSI", "BinarySI", "DecimalExponent"]

WRONG_FORM = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
WRONG_NUMBER = "unable to parse numeric part of quantity"
WRONG_SUFFIX = "unable to parse quantity's suffix"

_SHAPE = re.compile(r"([+-]?)0*([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)", re.ASCII)
_EXPONENT = re.compile(r"[eE]([+-]?[0-9]+)", re.ASCII)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL_SUFFIX = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY_SUFFIX = {exponent: suffix for suffix, exponent in _BINARY.items()}
_NANO = -9
_INT64 = 2**63 - 1
_BIGGEST_EXPONENT = 1000
"""An exponent beyond this is refused: the number would be larger than anything, and building it would take forever."""


def parse(text: str | float) -> Fraction:
    """Return the exact amount; `1Gi` is 1073741824, `100m` is 1/10. JSON numbers are read as their text.

    Amounts finer than a nano are rounded away from zero and binary ones are capped at 2^63-1, as in Kubernetes.
    Raises ValueError with Kubernetes' text.
    """
    return _read(_text(text))[0]


def canonical(text: str | float) -> str:
    """Return the text that Kubernetes would write for the amount: `1500Mi` for `1.5Gi` less 36Mi, `1500m` for `1.5`.

    Raises ValueError as `parse` does.
    """
    amount, form, kept = _read(_text(text))
    return kept or write(amount, form)


def form_of(text: str | float) -> Form:
    """Return which of the three ways of writing the amount uses. Raises ValueError as `parse` does."""
    return _read(_text(text))[1]


def write(amount: Fraction | int, form: Form = "DecimalSI") -> str:
    """Return the canonical text of an amount: no fraction, the largest suffix that loses nothing.

    A binary amount that is not whole, or is under 1024, is written as a decimal one. What is finer than a nano is
    rounded away from zero.
    """
    exact = Fraction(amount)
    if not exact:
        return "0"
    if form == "BinarySI" and abs(exact.numerator) >= 1024 and exact.denominator == 1:
        number, times = _shed(exact.numerator, 1024)
        keep = max(times - 6, 0)
        return f"{number * 1024**keep}{_BINARY_SUFFIX.get((times - keep) * 10, '')}"
    number, exponent = _shed(_round_up(exact * 10**9), 10)
    exponent += _NANO
    shift = exponent % 3
    number, exponent = number * 10**shift, exponent - shift
    if form == "DecimalExponent":
        return f"{number}e{exponent}" if exponent else str(number)
    if exponent > 18:
        number, exponent = number * 10 ** (exponent - 18), 18
    return f"{number}{_DECIMAL_SUFFIX[exponent]}"


def total(*texts: str) -> str:
    """Return the canonical text of the sum, in the way of writing of the first amount that is not zero."""
    amount = Fraction(0)
    chosen: Form | None = None
    for text in texts:
        value = parse(text)
        if value and chosen is None:
            chosen = form_of(text)
        amount += value
    return write(amount, chosen or "DecimalSI")


def compare(left: str | float, right: str | float) -> int:
    """Return -1, 0 or 1 as the left amount is less than, equal to or more than the right one."""
    a, b = parse(left), parse(right)
    return (a > b) - (a < b)


def whole(amount: Fraction | int) -> int:
    """Return the amount as an integer, rounded away from zero, as Quantity.Value does."""
    return _round_up(Fraction(amount))


def milli(amount: Fraction | int) -> int:
    """Return thousandths as an integer, rounded away from zero, as Quantity.MilliValue does."""
    return _round_up(Fraction(amount) * 1000)


def _text(text: str | float) -> str:
    return text if isinstance(text, str) else repr(text)


@lru_cache(maxsize=4096)
def _read(text: str) -> tuple[Fraction, Form, str]:
    """Return the amount, its form, and the text itself where Kubernetes keeps it as it was written."""
    shape = _SHAPE.fullmatch(text)
    if not text or shape is None:
        raise ValueError(WRONG_FORM)
    sign, number, fraction, suffix = shape.groups()
    number, fraction = number or "0", fraction or ""
    exponent, form = _suffix(suffix)
    if len(number) + len(fraction) > 4000:
        raise ValueError(WRONG_NUMBER)
    digits = number + fraction
    value = int(digits)
    if sign == "-":
        value = -value
    if form == "BinarySI":
        return _binary(text, value, exponent, number, fraction)
    scale = exponent - len(fraction)
    kept = ""
    if len(digits) <= 18 and scale >= _NANO:
        if scale % 3 == 0 and not digits.endswith("000") and digits[0] != "0":
            kept = text
    elif not _has_digit(text.removesuffix(suffix)):
        raise ValueError(WRONG_NUMBER)
    if scale < _NANO - len(digits) - 1:
        amount = Fraction((value > 0) - (value < 0), 10**9)
    elif scale >= _NANO:
        amount = Fraction(value * 10**scale) if scale >= 0 else Fraction(value, 10**-scale)
    else:
        amount = Fraction(_round_up(Fraction(value, 10 ** (_NANO - scale))), 10**9)
    return amount, form, kept


def _binary(text: str, value: int, exponent: int, number: str, fraction: str) -> tuple[Fraction, Form, str]:
    whole_number = value * 2**exponent
    if not fraction and 15 - len(number) - exponent * 3 // 10 - 1 >= 0:
        kept = text if abs(value) & 7 else ""
        return Fraction(whole_number), "BinarySI", kept
    if not _has_digit(text[:-2]):
        raise ValueError(WRONG_NUMBER)
    amount = Fraction(_round_up(Fraction(whole_number * 10**9, 10 ** len(fraction))), 10**9)
    size = min(abs(amount), Fraction(_INT64))
    form: Form = "DecimalSI" if 0 < size < 1 else "BinarySI"
    return (-size if amount < 0 else size), form, ""


def _has_digit(text: str) -> bool:
    return any(character.isdigit() for character in text)


def _suffix(suffix: str) -> tuple[int, Form]:
    """Return the exponent (of 10, or of 2 when binary) that the suffix stands for."""
    if suffix in _DECIMAL:
        return _DECIMAL[suffix], "DecimalSI"
    if suffix in _BINARY:
        return _BINARY[suffix], "BinarySI"
    exponent = _EXPONENT.fullmatch(suffix)
    if exponent is None or len(exponent[1]) > 12:
        raise ValueError(WRONG_SUFFIX)
    value = int(exponent[1])
    if value > _BIGGEST_EXPONENT:
        raise ValueError(WRONG_SUFFIX)
    return value, "DecimalExponent"


def _round_up(amount: Fraction) -> int:
    """Round away from zero."""
    size = -(-abs(amount.numerator) // amount.denominator)
    return -size if amount < 0 else size


def _shed(number: int, factor: int) -> tuple[int, int]:
    """Divide by the factor as long as nothing is lost; return what is left and how often."""
    times = 0
    while number % factor == 0:
        number //= factor
        times += 1
    return number, times
