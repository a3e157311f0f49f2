"""What evaluating costs, in the units of Kubernetes: one for each step, more for what grows with its operands.

The numbers are those of cel-go's run-time cost tracking. Nothing here knows a clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from fairlead.tongues.cel.errors import TooCostly

Cost: TypeAlias = Callable[[Sequence[Any], Any], int]

FIXED: Final = {"list": 10, "map": 30, "struct": 40, "step": 1}
"""The cost of making a list, map or message, and of one step of a comprehension."""


class Meter:
    """What is left of a budget."""

    __slots__ = ("left",)

    def __init__(self, budget: float) -> None:
        self.left = budget

    def spend(self, cost: float) -> None:
        """Take from what is left. Raises TooCostly when it is not enough."""
        self.left -= cost
        if self.left < 0:
            raise TooCostly("operation cancelled: actual cost limit exceeded")

    def room(self) -> None:
        """Raise TooCostly when nothing is left."""
        if self.left < 1:
            raise TooCostly("operation cancelled: actual cost limit exceeded")


def sized(value: Any) -> int:
    """Return how large a value counts: its length, or 1."""
    return len(value) if value.__class__ in {str, bytes, list, dict, tuple} else 1


def part(value: Any, factor: float = 0.1) -> int:
    """Return a share of a value's size, rounded up."""
    return math.ceil(sized(value) * factor)


def _smaller(args: Sequence[Any], _: Any) -> int:
    return max(1, math.ceil(min(sized(args[0]), sized(args[1])) * 0.1))


def _joined(_: Sequence[Any], result: Any) -> int:
    return math.ceil(sized(result) * 0.1) if result.__class__ in {str, bytes, list} else 1


def _second(args: Sequence[Any], _: Any) -> int:
    return max(1, part(args[1]))


def _first(args: Sequence[Any], _: Any) -> int:
    return max(1, part(args[0]))


def _search(args: Sequence[Any], _: Any) -> int:
    return math.ceil((sized(args[0]) + 1) * 0.1) * math.ceil(sized(args[1]) * 0.25)


def _within(args: Sequence[Any], _: Any) -> int:
    return max(1, sized(args[1])) if isinstance(args[1], (list, tuple)) else 1


def _product(args: Sequence[Any], _: Any) -> int:
    return max(1, part(args[0]) * part(args[1]))


_CALLS: dict[str, Cost] = {
    "_+_": _joined,
    "_==_": _smaller,
    "_!=_": _smaller,
    "_<_": _smaller,
    "_<=_": _smaller,
    "_>_": _smaller,
    "_>=_": _smaller,
    "@in": _within,
    "startsWith": _second,
    "endsWith": _second,
    "contains": _product,
    "matches": _search,
    "bytes": _first,
    "string": _first,
}


def call_cost(name: str) -> Cost | None:
    """Return what a standard function costs, where that is not always 1."""
    return _CALLS.get(name)
