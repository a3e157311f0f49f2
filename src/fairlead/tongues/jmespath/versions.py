"""Semantic versions and ranges of them (`>=1.2.0 <2.0.0 || >3.0.0`), as the Go library blang/semver has them.

Text in, answers out. Knows nothing of what is versioned.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

_VERSION = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?",
    re.ASCII,
)
_OPERATOR = re.compile(r"(==|=|!=|!|>=|>|<=|<|)(.*)", re.DOTALL)

Version: TypeAlias = tuple[int, int, int, tuple[tuple[int, int, str], ...]]
_ZERO: Version = (0, 0, 0, ((2, 0, ""),))


def parse(text: str) -> Version:
    """Return something that sorts as the version does. Raises ValueError."""
    found = _VERSION.fullmatch(text)
    if found is None or len(text) > 256:
        raise ValueError(f"invalid semantic version {text!r}")
    pre = found[4]
    # a release sorts after all of its pre-releases; numbers sort before words; a shorter one before a longer one
    rank: tuple[tuple[int, int, str], ...] = ((2, 0, ""),)
    if pre is not None:
        rank = tuple((0, int(one), "") if one.isdigit() else (1, 0, one) for one in pre.split("."))
    return int(found[1]), int(found[2]), int(found[3]), rank


@lru_cache(maxsize=1024)
def parse_range(text: str) -> Callable[[Version], bool]:
    """Return the function that says whether a version is in the range. Raises ValueError with the Go library's text."""
    ways = [_all_of(part) for part in re.split(r"\s*\|\|\s*", text.strip())]
    return lambda version: any(way(version) for way in ways)


def _all_of(text: str) -> Callable[[Version], bool]:
    parts = re.sub(r"(==|!=|>=|<=|=|!|>|<)\s+", r"\1", text).split()
    if not parts:
        raise ValueError("empty range")
    tests = [test for part in parts for test in _tests(part)]
    return lambda version: all(test(version) for test in tests)


def _tests(part: str) -> list[Callable[[Version], bool]]:
    found = _OPERATOR.fullmatch(part)
    assert found is not None  # the operator may be empty
    operator, text = found[1], found[2]
    numbers = text.split(".")
    wild = next((index for index, one in enumerate(numbers) if one in {"x", "X", "*"}), -1)
    if wild >= 0:
        return _wildcard(operator, numbers, wild, part)
    try:
        wanted = parse(text)
    except ValueError:
        raise ValueError(f"could not parse Range {part!r}: {text!r} is no version") from None
    return [_COMPARE[operator](wanted)]


def _wildcard(operator: str, numbers: list[str], wild: int, part: str) -> list[Callable[[Version], bool]]:
    try:
        fixed = [int(one) for one in numbers[:wild]]
    except ValueError:
        raise ValueError(f"could not parse Range {part!r}") from None
    if wild == 0:
        return []
    low = tuple(([*fixed, 0, 0])[:3])
    fixed[-1] += 1
    high = tuple(([*fixed, 0, 0])[:3])
    first: Version = (low[0], low[1], low[2], ((2, 0, ""),))
    after: Version = (high[0], high[1], high[2], ((2, 0, ""),))
    if operator in {"", "=", "=="}:
        return [_COMPARE[">="](first), _COMPARE["<"](after)]
    if operator in {"!", "!="}:
        return [lambda version: version < first or version >= after]
    if operator == ">":
        return [_COMPARE[">="](after)]
    if operator == "<=":
        return [_COMPARE["<"](after)]
    return [_COMPARE[operator](first)]


_COMPARE: dict[str, Callable[[Version], Callable[[Version], bool]]] = {
    "": lambda wanted: lambda version: version == wanted,
    "=": lambda wanted: lambda version: version == wanted,
    "==": lambda wanted: lambda version: version == wanted,
    "!": lambda wanted: lambda version: version != wanted,
    "!=": lambda wanted: lambda version: version != wanted,
    ">": lambda wanted: lambda version: version > wanted,
    ">=": lambda wanted: lambda version: version >= wanted,
    "<": lambda wanted: lambda version: version < wanted,
    "<=": lambda wanted: lambda version: version <= wanted,
}


def within(version: str, range_: str) -> bool:
    """Return whether the version is in the range; text that is no version counts as 0.0.0. Raises ValueError for a bad range."""
    test = parse_range(range_)
    try:
        return test(parse(version))
    except ValueError:
        return test(_ZERO)
