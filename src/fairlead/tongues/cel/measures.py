"""Amounts and versions: `quantity('1Gi')`, `semver('1.2.3')`.

Exact. Source: k8s.io/apiserver/pkg/cel/library/quantity.go and semverlib.go, github.com/blang/semver.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import ROUND_UP, Decimal, localcontext
from fractions import Fraction
from functools import lru_cache, total_ordering
from typing import Any

from fairlead.tongues import quantities
from fairlead.tongues.cel import types as t
from fairlead.tongues.cel.errors import Failed
from fairlead.tongues.cel.libraries import Library
from fairlead.tongues.cel.strings import traverse
from fairlead.tongues.cel.values import INT_MAX, INT_MIN

QUANTITY = t.opaque("kubernetes.Quantity")
SEMVER = t.opaque("kubernetes.Semver")


class Quantity:
    """An amount, and the way of writing it."""

    __slots__ = ("amount", "form")
    cel_type = QUANTITY

    def __init__(self, amount: Fraction, form: quantities.Form = "DecimalSI") -> None:
        self.amount = amount
        self.form: quantities.Form = form

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.amount == other.amount

    def __hash__(self) -> int:
        return hash(self.amount)

    def __str__(self) -> str:
        return quantities.write(self.amount, self.form)

    def to_json(self) -> str:
        """Return the canonical text."""
        return str(self)


@lru_cache(maxsize=4096)
def quantity(text: str) -> Quantity:
    """Return the amount that a text such as `1.5Gi` names. Raises Failed in Kubernetes' words."""
    try:
        return Quantity(quantities.parse(text), quantities.form_of(text))
    except ValueError as error:
        raise Failed(str(error)) from None


def _is_quantity(text: str) -> bool:
    try:
        quantity(text)
    except Failed:
        return False
    return True


def _is_integer(one: Quantity) -> bool:
    return one.amount.denominator == 1 and INT_MIN <= one.amount <= INT_MAX


def _as_integer(one: Quantity) -> int:
    if not _is_integer(one):
        raise Failed("cannot convert value to integer")
    return int(one.amount)


def _as_float(one: Quantity) -> float:
    try:
        return float(one.amount)
    except OverflowError:
        return float("inf") if one.amount > 0 else float("-inf")


def _moved(one: Quantity, by: Fraction | int, form: quantities.Form) -> Quantity:
    return Quantity(one.amount + by, form if not one.amount else one.form)


def _add(one: Quantity, other: Any) -> Quantity:
    if isinstance(other, Quantity):
        return _moved(one, other.amount, other.form)
    return _moved(one, other, "DecimalExponent")


def _sub(one: Quantity, other: Any) -> Quantity:
    if isinstance(other, Quantity):
        return _moved(one, -other.amount, other.form)
    return _moved(one, -other, "DecimalExponent")


def _mul(one: Quantity, by: int) -> Quantity:
    return Quantity(one.amount * by, one.form)


def _divided(one: Quantity, by: int, digits: int = 4) -> Quantity:
    if not by:
        raise Failed("division by zero error")
    if not 0 <= digits <= 10:
        raise Failed(f"the valid range for roundVal is 0 to 10 but {digits} was passed")
    exact = one.amount / by
    with localcontext() as context:
        context.prec = 200
        made = (Decimal(exact.numerator) / Decimal(exact.denominator)).quantize(
            Decimal(1).scaleb(-digits), rounding=ROUND_UP
        )
    return Quantity(Fraction(made), one.form)


def _whole(one: Quantity, by: int) -> Quantity:
    if not by:
        raise Failed("division by zero error")
    exact = one.amount / by
    return Quantity(Fraction(int(exact)), one.form)


def _compare(left: Any, right: Any) -> int:
    return int(right < left) - int(left < right)


@total_ordering
class Semver:
    """A semantic version. What follows a `+` does not take part in the order."""

    __slots__ = ("build", "numbers", "pre")
    cel_type = SEMVER

    def __init__(self, numbers: tuple[int, int, int], pre: tuple[str, ...], build: str) -> None:
        self.numbers = numbers
        self.pre = pre
        self.build = build

    def _key(self) -> tuple[Any, ...]:
        parts = tuple((0, int(one), "") if one.isdigit() else (1, 0, one) for one in self.pre)
        return (*self.numbers, not self.pre, parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Semver) and self._key() == other._key()

    def __lt__(self, other: Semver) -> bool:
        return bool(self._key() < other._key())

    def __hash__(self) -> int:
        return hash(self._key())

    def to_json(self) -> str:
        """Return the text."""
        return (
            ".".join(map(str, self.numbers))
            + (f"-{'.'.join(self.pre)}" if self.pre else "")
            + (f"+{self.build}" if self.build else "")
        )


_NUMBER = r"(0|[1-9][0-9]{0,18})"
_VERSION = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}"
    r"(?:-((?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(?:\.(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*))?"
    r"(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?",
    re.ASCII,
)


@lru_cache(maxsize=4096)
def semver(text: str, normal: bool = False) -> Semver:
    """Return the version that a text names; with `normal` a leading v, missing parts and leading zeros are mended. Raises Failed."""
    found = _VERSION.fullmatch(_normal(text) if normal else text) if len(text) <= 1000 else None
    if found is None:
        if not text:
            raise Failed("Version string empty")
        if text.count(".") < 2:
            raise Failed("No Major.Minor.Patch elements found")
        raise Failed(f'Invalid character(s) found in version "{text[:100]}"')
    major, minor, patch, pre, build = found.groups()
    return Semver((int(major), int(minor), int(patch)), tuple(pre.split(".")) if pre else (), build or "")


def _normal(text: str) -> str:
    parts = text.removeprefix("v").split(".", 2)
    for at, part in enumerate(parts):
        if len(part) > 1:
            bare = part.lstrip("0")
            parts[at] = bare if bare[:1].isdigit() else f"0{bare}"
    if len(parts) < 3:
        if "+" in parts[-1] or "-" in parts[-1]:
            raise Failed("short version cannot contain PreRelease/Build meta data")
        parts += ["0"] * (3 - len(parts))
    return ".".join(parts)


def _is_semver(text: str, normal: bool = False) -> bool:
    try:
        semver(text, normal)
    except Failed:
        return False
    return True


def _ordered(name: str) -> dict[str, Callable[..., Any]]:
    return {
        f".isGreaterThan({name}, {name}) bool": lambda left, right: right < left,
        f".isLessThan({name}, {name}) bool": lambda left, right: left < right,
        f".compareTo({name}, {name}) int": _compare,
    }


def _less(left: Quantity, right: Quantity) -> bool:
    return left.amount < right.amount


QUANTITIES = Library(
    "kubernetes.quantity",
    functions={
        "quantity(string) kubernetes.Quantity": quantity,
        "isQuantity(string) bool": _is_quantity,
        ".sign(kubernetes.Quantity) int": lambda one: (one.amount > 0) - (one.amount < 0),
        ".isInteger(kubernetes.Quantity) bool": _is_integer,
        ".asInteger(kubernetes.Quantity) int": _as_integer,
        ".asApproximateFloat(kubernetes.Quantity) double": _as_float,
        ".add(kubernetes.Quantity, kubernetes.Quantity) kubernetes.Quantity": _add,
        ".add(kubernetes.Quantity, int) kubernetes.Quantity": _add,
        ".sub(kubernetes.Quantity, kubernetes.Quantity) kubernetes.Quantity": _sub,
        ".sub(kubernetes.Quantity, int) kubernetes.Quantity": _sub,
        ".mul(kubernetes.Quantity, int) kubernetes.Quantity": _mul,
        ".div(kubernetes.Quantity, int) kubernetes.Quantity": _divided,
        ".div(kubernetes.Quantity, int, int) kubernetes.Quantity": _divided,
        ".divInt(kubernetes.Quantity, int) kubernetes.Quantity": _whole,
        ".isGreaterThan(kubernetes.Quantity, kubernetes.Quantity) bool": lambda left, right: _less(
            right, left
        ),
        ".isLessThan(kubernetes.Quantity, kubernetes.Quantity) bool": _less,
        ".compareTo(kubernetes.Quantity, kubernetes.Quantity) int": lambda left, right: _compare(
            left.amount, right.amount
        ),
    },
    constants={"kubernetes.Quantity": QUANTITY},
    costs={"quantity": traverse(0.1), "isQuantity": traverse(0.1)},
)

VERSIONS = Library(
    "kubernetes.Semver",
    functions={
        "semver(string) kubernetes.Semver": semver,
        "semver(string, bool) kubernetes.Semver": semver,
        "isSemver(string) bool": _is_semver,
        "isSemver(string, bool) bool": _is_semver,
        ".major(kubernetes.Semver) int": lambda one: one.numbers[0],
        ".minor(kubernetes.Semver) int": lambda one: one.numbers[1],
        ".patch(kubernetes.Semver) int": lambda one: one.numbers[2],
        **_ordered("kubernetes.Semver"),
    },
    constants={"kubernetes.Semver": SEMVER},
    costs={"semver": traverse(0.1), "isSemver": traverse(0.1)},
)
