"""Values that may be absent: `optional.of(x)`, `a.?b`, `a[?0]`, `.orValue(x)`.

Source: github.com/google/cel-go, cel.OptionalTypes.
"""

from __future__ import annotations

from typing import Any

from fairlead.tongues.cel import types as t
from fairlead.tongues.cel.errors import Failed, no_overload
from fairlead.tongues.cel.libraries import Library
from fairlead.tongues.cel.macros import OPTIONALS
from fairlead.tongues.cel.operators import index, optional_select
from fairlead.tongues.cel.values import NONE, Duration, Message, Optional, Timestamp


def of_type(kind: t.Type) -> t.Type:
    """Return the type of optional values of a type."""
    return t.optional_of(kind)


def is_zero(value: Any) -> bool:
    """Return whether a value is what its type begins with: 0, empty, false, null."""
    if value is None or value is False:
        return True
    if isinstance(value, Message):
        return not value.fields
    if isinstance(value, Duration):
        return not value.ns
    if isinstance(value, Timestamp):
        return False
    if isinstance(value, Optional):
        return not value.present
    if isinstance(value, (int, float, str, bytes, list, dict, tuple)):
        return not value
    return False


def non_zero(value: Any) -> Optional:
    """Return an optional of a value, or nothing if that is zero."""
    return NONE if is_zero(value) else Optional(value)


def value(one: Optional) -> Any:
    """Return what is there. Raises Failed when nothing is."""
    if one.present:
        return one.value
    raise Failed("optional.none() dereference")


def _or(one: Optional, other: Optional) -> Optional:
    return one if one.present else other


def _or_value(one: Optional, other: Any) -> Any:
    return one.value if one.present else other


def _unwrap(items: Any) -> list[Any]:
    if any(one.__class__ is not Optional for one in items):
        raise no_overload()
    return [one.value for one in items if one.present]


def _first(items: Any) -> Optional:
    return Optional(items[0]) if items else NONE


def _last(items: Any) -> Optional:
    return Optional(items[-1]) if items else NONE


LIBRARY = Library(
    "optional",
    functions={
        "optional.of(V) optional(V)": Optional,
        "optional.none() optional(V)": lambda: NONE,
        "optional.ofNonZeroValue(V) optional(V)": non_zero,
        "optional.unwrap(list(optional(V))) list(V)": _unwrap,
        ".unwrapOpt(list(optional(V))) list(V)": _unwrap,
        ".hasValue(optional(V)) bool": lambda one: one.present,
        ".value(optional(V)) V": value,
        ".or(optional(V), optional(V)) optional(V)": _or,
        ".orValue(optional(V), V) V": _or_value,
        ".first(list(V)) optional(V)": _first,
        ".last(list(V)) optional(V)": _last,
        "_[?_](list(V), int) optional(V)": optional_select,
        "_[?_](optional(list(V)), int) optional(V)": optional_select,
        "_[?_](map(K, V), K) optional(V)": optional_select,
        "_[?_](optional(map(K, V)), K) optional(V)": optional_select,
        "_[_](optional(list(V)), int) optional(V)": index,
        "_[_](optional(map(K, V)), K) optional(V)": index,
    },
    constants={"optional_type": t.OPTIONAL},
    macros=OPTIONALS,
)
