"""Functions of lists and sets: order, sums, places, parts, containment.

Nothing is changed in place. Source: github.com/google/cel-go ext/lists.go and ext/sets.go, k8s.io/apiserver/pkg/cel/library/lists.go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from fairlead.tongues.cel.costs import sized
from fairlead.tongues.cel.errors import Failed, TooCostly
from fairlead.tongues.cel.libraries import Library
from fairlead.tongues.cel.macros import SORTING
from fairlead.tongues.cel.operators import BIGGEST, add, less
from fairlead.tongues.cel.sorting import sorted_by
from fairlead.tongues.cel.values import equal

_RANGE = 1 << 20
"""How long a list `lists.range` may make."""


def is_sorted(items: Sequence[Any]) -> bool:
    """Return whether no item is less than the one before it."""
    return not any(less(after, before) for before, after in pairwise(items))


def total(items: Sequence[Any]) -> Any:
    """Return the sum; of nothing, 0."""
    if not items:
        return 0
    found = items[0]
    if found.__class__ is str or found.__class__ is bool:
        raise Failed("no such overload: sum(list)")
    for one in items[1:]:
        found = add(found, one)
    return found


def _extreme(name: str, *, most: bool) -> Callable[[Sequence[Any]], Any]:
    def pick(items: Sequence[Any]) -> Any:
        if not items:
            raise Failed(f"{name} called on empty list")
        found = items[0]
        for one in items[1:]:
            if less(found, one) if most else less(one, found):
                found = one
        return found

    return pick


def index_of(items: Sequence[Any], item: Any) -> int:
    """Return where an item first stands, or -1."""
    return next((at for at, one in enumerate(items) if equal(one, item)), -1)


def last_index_of(items: Sequence[Any], item: Any) -> int:
    """Return where an item last stands, or -1."""
    return next((at for at in range(len(items) - 1, -1, -1) if equal(items[at], item)), -1)


def part(items: Sequence[Any], start: int, end: int) -> list[Any]:
    """Return the items from a place up to before another."""
    if start < 0 or end < 0:
        raise Failed(f"cannot slice({start}, {end}), negative indexes not supported")
    if start > end:
        raise Failed(f"cannot slice({start}, {end}), start index must be less than or equal to end index")
    if end > len(items):
        raise Failed(f"cannot slice({start}, {end}), list is length {len(items)}")
    return list(items[start:end])


def flatten(items: Sequence[Any], depth: int = 1) -> list[Any]:
    """Return the items of lists in a list, so many levels deep."""
    if depth < 0:
        raise Failed("level must be non-negative")
    found = list(items)
    for _ in range(min(depth, 1000)):
        if not any(isinstance(one, (list, tuple)) for one in found):
            break
        more: list[Any] = []
        for one in found:
            if isinstance(one, (list, tuple)):
                more.extend(one)
            else:
                more.append(one)
            if len(more) > BIGGEST:
                raise TooCostly("operation cancelled: a value grew too large")
        found = more
    return found


def distinct(items: Sequence[Any]) -> list[Any]:
    """Return each item once, in the order of their first places."""
    found: list[Any] = []
    texts: set[str] = set()
    for one in items:
        if one.__class__ is str:
            if one not in texts:
                texts.add(one)
                found.append(one)
        elif not any(equal(one, other) for other in found):
            found.append(one)
    return found


def numbers(count: int) -> list[int]:
    """Return the numbers from 0 up to before another."""
    if count > _RANGE:
        raise TooCostly("operation cancelled: a value grew too large")
    return list(range(count))


def in_order(items: Sequence[Any]) -> list[Any]:
    """Return the items in order."""
    return sorted_by(items, items)


def contains_all(items: Sequence[Any], others: Sequence[Any]) -> bool:
    """Return whether every one of the others is among the items."""
    if all(one.__class__ is str for one in others):
        texts = {one for one in items if one.__class__ is str}
        return all(one in texts for one in others)
    return all(any(equal(one, item) for item in items) for one in others)


def equivalent(items: Sequence[Any], others: Sequence[Any]) -> bool:
    """Return whether two lists have the same items, whatever their order and number."""
    return contains_all(items, others) and contains_all(others, items)


def intersects(items: Sequence[Any], others: Sequence[Any]) -> bool:
    """Return whether two lists have an item in common."""
    return any(contains_all(items, (one,)) for one in others)


def _traverse(args: Sequence[Any], _: Any) -> int:
    return max(1, sized(args[0]))


def _product(args: Sequence[Any], _: Any) -> int:
    return max(1, sized(args[0]) * sized(args[1]))


def _square(args: Sequence[Any], _: Any) -> int:
    return max(1, sized(args[0]) ** 2)


def _made(_: Sequence[Any], result: Any) -> int:
    return 10 + sized(result)


def _sums() -> dict[str, Callable[..., Any]]:
    found: dict[str, Callable[..., Any]] = {}
    for kind in ("int", "uint", "double", "duration"):
        found[f".sum(list({kind})) {kind}"] = total
    for kind in ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes"):
        found[f".isSorted(list({kind})) bool"] = is_sorted
        found[f".min(list({kind})) {kind}"] = _extreme("min", most=False)
        found[f".max(list({kind})) {kind}"] = _extreme("max", most=True)
        found[f".sort(list({kind})) list({kind})"] = in_order
    return found


KUBERNETES = Library(
    "kubernetes.lists",
    functions={
        **{key: call for key, call in _sums().items() if not key.startswith(".sort")},
        ".indexOf(list(T), T) int": index_of,
        ".lastIndexOf(list(T), T) int": last_index_of,
    },
    costs=dict.fromkeys(("isSorted", "sum", "min", "max"), _traverse),
)
"""What Kubernetes has."""

LISTS = Library(
    "lists",
    functions={
        **{key: call for key, call in _sums().items() if key.startswith(".sort")},
        ".slice(list(T), int, int) list(T)": part,
        ".flatten(list(dyn)) list(dyn)": flatten,
        ".flatten(list(dyn), int) list(dyn)": flatten,
        ".distinct(list(T)) list(T)": distinct,
        ".reverse(list(T)) list(T)": lambda items: list(items[::-1]),
        "lists.range(int) list(int)": numbers,
    },
    macros=SORTING,
    costs={
        "slice": _made,
        "flatten": _made,
        "distinct": _square,
        "lists.range": _made,
        "sort": _square,
    },
)
"""What cel-go's extension has besides."""

SETS = Library(
    "sets",
    functions={
        "sets.contains(list(T), list(T)) bool": contains_all,
        "sets.equivalent(list(T), list(T)) bool": equivalent,
        "sets.intersects(list(T), list(T)) bool": intersects,
    },
    costs={f"sets.{name}": _product for name in ("contains", "equivalent", "intersects")},
)
