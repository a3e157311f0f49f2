"""Functions of numbers: `math.greatest`, rounding, signs, bits.

Source: github.com/google/cel-go, ext/math.go.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from fairlead.tongues.cel.errors import Failed, no_overload
from fairlead.tongues.cel.libraries import Library
from fairlead.tongues.cel.macros import MATHS
from fairlead.tongues.cel.operators import fit
from fairlead.tongues.cel.values import UINT_MAX, Uint

_NUMBERS = frozenset({int, float, Uint})


def _extreme(name: str, *, most: bool) -> Callable[..., Any]:
    def pick(*args: Any) -> Any:
        items: Sequence[Any] = args[0] if len(args) == 1 and isinstance(args[0], (list, tuple)) else args
        if not items:
            raise Failed(f"math.{name}(list) argument must not be empty")
        found = items[0]
        for one in items:
            if one.__class__ not in _NUMBERS:
                raise no_overload()
            if (one > found) if most else (one < found):
                found = one
        return found

    return pick


def _round(value: float) -> float:
    if math.isnan(value) or math.isinf(value):
        return value
    whole = math.floor(abs(value))
    rest = abs(value) - whole
    return math.copysign(whole + (1 if rest >= 0.5 else 0), value)


def _rounding(call: Callable[[float], Any]) -> Callable[[float], float]:
    def rounded(value: float) -> float:
        if math.isnan(value) or math.isinf(value):
            return value
        return math.copysign(float(call(value)), value)

    return rounded


def _abs(value: Any) -> Any:
    return (
        Uint(value) if value.__class__ is Uint else fit(abs(value)) if value.__class__ is int else abs(value)
    )


def _sign(value: Any) -> Any:
    if value.__class__ is float and math.isnan(value):
        return value
    return value.__class__((value > 0) - (value < 0))


def _sqrt(value: Any) -> float:
    return math.nan if value < 0 else math.sqrt(value)


def _signed(bits: int) -> int:
    bits &= UINT_MAX
    return bits - 2**64 if bits >= 2**63 else bits


def _bits(call: Callable[[int, int], int]) -> Callable[[Any, Any], Any]:
    def both(left: Any, right: Any) -> Any:
        made = call(int(left), int(right))
        return Uint(made) if left.__class__ is Uint else _signed(made)

    return both


def _not(value: Any) -> Any:
    return Uint(~int(value) & UINT_MAX) if value.__class__ is Uint else ~value


def _shift(name: str, *, left: bool) -> Callable[[Any, int], Any]:
    def shift(value: Any, by: int) -> Any:
        if by < 0:
            raise Failed(f"math.{name}() negative offset: {by}")
        bits = int(value) & UINT_MAX
        made = 0 if by >= 64 else (bits << by if left else bits >> by) & UINT_MAX
        return Uint(made) if value.__class__ is Uint else _signed(made)

    return shift


def _functions() -> dict[str, Callable[..., Any]]:
    found: dict[str, Callable[..., Any]] = {}
    kinds = ("int", "uint", "double")
    for name, most in (("max", True), ("min", False)):
        pick = _extreme("greatest" if most else "least", most=most)
        for kind in kinds:
            found[f"math.@{name}({kind}) {kind}"] = pick
            found[f"math.@{name}({kind}, {kind}) {kind}"] = pick
            found[f"math.@{name}(list({kind})) {kind}"] = pick
            for other in kinds:
                if other != kind:
                    found[f"math.@{name}({kind}, {other}) dyn"] = pick
    for name, call in (
        ("ceil", _rounding(math.ceil)),
        ("floor", _rounding(math.floor)),
        ("round", _round),
        ("trunc", _rounding(math.trunc)),
    ):
        found[f"math.{name}(double) double"] = call
    for name, test in (("isInf", math.isinf), ("isNaN", math.isnan), ("isFinite", math.isfinite)):
        found[f"math.{name}(double) bool"] = test
    for kind in kinds:
        found[f"math.abs({kind}) {kind}"] = _abs
        found[f"math.sign({kind}) {kind}"] = _sign
        found[f"math.sqrt({kind}) double"] = _sqrt
    for kind in ("int", "uint"):
        for name, pair in (
            ("bitAnd", int.__and__),
            ("bitOr", int.__or__),
            ("bitXor", int.__xor__),
        ):
            found[f"math.{name}({kind}, {kind}) {kind}"] = _bits(pair)
        found[f"math.bitNot({kind}) {kind}"] = _not
        found[f"math.bitShiftLeft({kind}, int) {kind}"] = _shift("bitShiftLeft", left=True)
        found[f"math.bitShiftRight({kind}, int) {kind}"] = _shift("bitShiftRight", left=False)
    return found


LIBRARY = Library("math", functions=_functions(), macros=MATHS)
