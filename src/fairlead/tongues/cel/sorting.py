"""Putting lists in order: all items of one type that has an order, or an error.

Nothing is changed in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fairlead.tongues.cel.errors import Failed
from fairlead.tongues.cel.values import Duration, Timestamp, Uint, type_of

_ORDERED = frozenset({str, int, float, Uint, bool, bytes, Timestamp, Duration})


def comparable(items: Sequence[Any]) -> None:
    """Raise Failed unless all items are of one type that has an order."""
    if not items:
        return
    kind = items[0].__class__
    if kind not in _ORDERED:
        raise Failed(f"list elements must be comparable, {type_of(items[0])} is not")
    if any(item.__class__ is not kind for item in items):
        raise Failed("list elements must have the same type")


def sorted_by(keys: Sequence[Any], items: Sequence[Any]) -> list[Any]:
    """Return the items in the order of their keys; equal keys keep their order."""
    comparable(keys)
    order = sorted(range(len(items)), key=lambda at: keys[at])
    return [items[at] for at in order]
