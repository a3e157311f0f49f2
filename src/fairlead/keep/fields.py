"""Sets of field paths, kept as what `managedFields[].fieldsV1` holds, so that nothing is decoded or encoded.

A set is a nested dict: `f:name` is a field, `k:{"name":"a"}` a list item by its keys, `v:"a"` an item of a set. A node
that is empty or has the key "." is in the set itself; the others only lead to ones that are. The root is never in a
set: an empty root is the empty set. Sets are shared freely and must never be changed in place.
Source: sigs.k8s.io/structured-merge-diff/v4/fieldpath.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import orjson

from fairlead.keep.nodes import Node

Fields: TypeAlias = dict[str, Any]

SELF = "."
_DEEPEST = 200
NONE: Fields = {}
LEAF: Fields = {}
"""A node that is in the set and leads nowhere. It looks like the empty set, but stands below the root."""


def is_member(node: Fields) -> bool:
    """Whether a node below the root is in the set itself."""
    return not node or SELF in node


def union(left: Fields, right: Fields) -> Fields:
    """Return what is in either set."""
    if not left or left is right:
        return right
    if not right:
        return left
    out = dict(left)
    for key, node in right.items():
        out[key] = _union(out[key], node) if key in out else node
    return out


def _union(left: Fields, right: Fields) -> Fields:
    if left is right or left == right:
        return left
    if not left or not right:
        node = left or right
        return node if SELF in node else {SELF: LEAF, **node}
    return union(left, right)


def difference(left: Fields, right: Fields) -> Fields:
    """Return what is in the left set and not in the right one. A child is not removed by its parent alone."""
    if not right or not left:
        return left
    out = {}
    for key, node in left.items():
        other = right.get(key)
        if other is None:
            out[key] = node
        else:
            rest = _difference(node, other)
            if rest is not None:
                out[key] = rest
    return out


def _difference(left: Fields, right: Fields) -> Fields | None:
    if not right:
        if not left or (SELF in left and len(left) == 1):
            return None
        return {key: node for key, node in left.items() if key != SELF}
    if not left:
        return None if SELF in right else LEAF
    out = difference(left, right)
    if SELF in out and len(out) == 1:
        return LEAF
    return out or None


def intersection(left: Fields, right: Fields) -> Fields:
    """Return what is in both sets."""
    if left is right:
        return left
    out = {}
    for key, node in left.items():
        other = right.get(key)
        if other is not None:
            both = _intersection(node, other)
            if both is not None:
                out[key] = both
    return out


def _intersection(left: Fields, right: Fields) -> Fields | None:
    if not left or not right:
        return LEAF if is_member(left) and is_member(right) else None
    out = intersection(left, right)
    if SELF in out and len(out) == 1:
        return LEAF
    return out or None


def contains(fields: Fields, path: tuple[str, ...]) -> bool:
    """Whether the path (of keys such as `f:spec`) is in the set."""
    node = fields
    for key in path:
        if key not in node:
            return False
        node = node[key]
    return bool(path) and is_member(node)


def with_named(fields: Fields, node: Node) -> Fields:
    """Return the set with each declared field added that leads to something in it.

    A set that owns a leaf is so taken to own the structs around it, but not the maps and list items.
    """
    out = {}
    for key, child in fields.items():
        if key == SELF:
            out[key] = child
            continue
        below = _below(node, key)
        inner = with_named(child, below) if child else child
        if inner and SELF not in inner and key.startswith("f:") and key[2:] in node.fields:
            inner = {SELF: LEAF, **inner}
        out[key] = inner
    return out


def reconciled(fields: Fields, node: Node) -> Fields:
    """Return the set as the types are now: what was owned inside of a list or map that has become atomic is owned whole."""
    changed = False
    out = {}
    for key, child in fields.items():
        if not child or key == SELF:
            out[key] = child
            continue
        below = _below(node, key)
        if (below.type == "list" and below.list_type == "atomic") or (
            below.type in ("map", "struct") and below.map_type == "atomic"
        ):
            inner = LEAF
        else:
            inner = reconciled(child, below)
        changed = changed or inner is not child
        out[key] = inner
    return out if changed else fields


def _below(node: Node, key: str) -> Node:
    return node.child(key[2:]) if key.startswith("f:") else node.items


def paths(fields: Fields) -> Iterator[tuple[str, ...]]:
    """Yield the paths in the set: at each level first the members, then what lies below them, each sorted."""
    keys = sorted(key for key in fields if key != SELF)
    for key in keys:
        if is_member(fields[key]):
            yield (key,)
    for key in keys:
        for rest in paths(fields[key]):
            yield (key, *rest)


def path_text(path: tuple[str, ...]) -> str:
    """Return the path as conflicts print it: `.spec.containers[name="a"].image`."""
    return "".join(_element_text(key) for key in path)


def _element_text(key: str) -> str:
    if key.startswith("f:"):
        return f".{key[2:]}"
    try:
        value = orjson.loads(key[2:])
    except ValueError:
        return f"[{key[2:]}]"
    if key.startswith("k:") and isinstance(value, dict):
        return f"[{','.join(f'{name}={_text(value[name])}' for name in sorted(value))}]"
    return f"[={_text(value)}]" if key.startswith("v:") else f"[{_text(value)}]"


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()


def ordered(fields: Fields) -> Fields:
    """Return the set with its keys sorted, as it is written."""
    return {key: ordered(child) if (child := fields[key]) else LEAF for key in sorted(fields)}


def parsed(fields: Any, depth: int = 0) -> Fields:
    """Return a set that a client sent, with its keys in the form that this program writes.

    Unknown sorts of keys are dropped. Raises ValueError for what is no set, or deeper than any object.
    """
    if depth > _DEEPEST:
        raise ValueError("fieldsV1 is nested too deeply")
    if not isinstance(fields, Mapping):
        raise ValueError("fieldsV1 must be an object")  # noqa: TRY004 -- a value from a client
    out: Fields = {}
    for key, child in fields.items():
        inner = parsed(child, depth + 1)
        if key == SELF:
            out[SELF] = LEAF
        elif key.startswith("f:"):
            out[key] = inner
        elif key.startswith(("k:", "v:")):
            value = orjson.loads(key[2:])
            if key[0] == "k" and not isinstance(value, dict):
                raise ValueError(f"{key}: the keys of an item must be an object")
            out[f"{key[:2]}{orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()}"] = inner
        elif key.startswith("i:"):
            out[key] = inner
        elif len(key) < 2 or key[1] != ":":
            raise ValueError(f"missing colon: {key}")
    if SELF in out and len(out) == 1:
        return LEAF
    return out
