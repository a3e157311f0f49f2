"""What an object owns, how two objects of a type differ, and how one is laid over another, path by path.

The types say which lists are sets, maps or atomic; see `nodes`. Nothing here changes its arguments or knows of managers.
Source: sigs.k8s.io/structured-merge-diff/v4/typed, error texts included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import orjson

from fairlead.keep.fields import LEAF, NONE, SELF, Fields, is_member, path_text
from fairlead.keep.merging import copied, go_text, go_type
from fairlead.keep.nodes import Node, untyped
from fairlead.keep.structs import PRESENT

_ABSENT: Final[Any] = object()

Difference: TypeAlias = tuple[Fields | None, Fields | None]
"""What was changed or added, and what was removed, at one path: nodes of sets, None for nothing."""

_SAME: Difference = (None, None)

_PLAIN = frozenset({str, int, bool, float})


class Mistyped(Exception):
    """An object that does not fit its type, with the path and the message of each fault."""

    def __init__(self, faults: Sequence[tuple[str, str]]) -> None:
        self.faults = tuple(faults)
        texts = [f"{path}: {message}" if path else message for path, message in faults]
        super().__init__(texts[0] if len(texts) == 1 else "\n  ".join(["errors:", *texts]))


def element(item: Any, node: Node) -> str:
    """Return the key of a list's item in a set: `k:{...}` or `v:...`. Raises ValueError for an item without one."""
    if not node.keys:
        if isinstance(item, dict):
            raise ValueError("associative list without keys has an element that's a map type")
        if isinstance(item, list):
            raise ValueError("not supported: associative list with lists as elements")
        if item is None:
            raise ValueError("associative list without keys has an element that's an explicit null")
        return f"v:{orjson.dumps(item).decode()}"
    if not isinstance(item, dict):
        found = "a null element" if item is None else "non-map elements"
        raise ValueError(f"associative list with keys may not have {found}")  # noqa: TRY004 -- a client's value
    names = {}
    for key in node.keys:
        if key in item:
            names[key] = item[key]
        elif key in node.key_defaults:
            names[key] = node.key_defaults[key]
        else:
            raise ValueError(
                f'associative list with keys has an element that omits key field "{key}" '
                "(and doesn't have default value)"
            )
    return f"k:{orjson.dumps(names, option=orjson.OPT_SORT_KEYS).decode()}"


def _is_map(node: Node, value: Any) -> bool:
    """Whether the value is merged key by key."""
    if node.type in ("struct", "map"):
        return node.map_type != "atomic"
    return node.type == "untyped" and isinstance(value, dict)


def _types(node: Node) -> tuple[Mapping[str, Node], Node]:
    """Return the types of the declared fields, and that of every other key."""
    return node.fields, node.values if node.type == "map" else untyped


def _is_associative(node: Node) -> bool:
    """Whether the list is merged item by item."""
    return node.type == "list" and node.list_type != "atomic"


# What an applied object mentions.


def owned(value: Mapping[str, Any], node: Node) -> Fields:
    """Return the set of what an applied object mentions. Raises Mistyped."""
    faults: list[tuple[str, str]] = []
    fields = _owned_map(value, node, "", faults)
    if faults:
        raise Mistyped(faults)
    return fields


def _owned(value: Any, node: Node, path: str, faults: list[tuple[str, str]]) -> Fields | None:
    """Return what is owned at one place, None if nothing is."""
    if node.type == "scalar":
        fault = _scalar_fault(value, node)
        if fault:
            faults.append((path, fault))
        return LEAF
    if node.type == "list":
        if value is not None and not isinstance(value, list):
            faults.append((path, f"expected list, got &{{{go_text(value)}}}"))
            return None
        if node.list_type != "atomic":
            return _owned_list(value or (), node, path, faults) or None
        if node.items.type != "scalar" or value:
            for index, item in enumerate(value or ()):
                _owned(item, node.items, f"{path}[{index}]", faults)
        return LEAF
    if node.type == "untyped" and not isinstance(value, dict):
        return LEAF
    if value is None:
        return None if node.map_type != "atomic" else LEAF
    if not isinstance(value, dict):
        faults.append((path, f"expected map, got &{{{go_text(value)}}}"))
        return None
    found = _owned_map(value, node, path, faults)
    return (found or None) if node.map_type != "atomic" else LEAF


def _owned_map(value: Mapping[str, Any], node: Node, path: str, faults: list[tuple[str, str]]) -> Fields:
    out: Fields = {}
    declared, other = _types(node)
    strict = node.type == "struct" and not node.preserve_unknown
    for key, item in value.items():
        if strict and key not in declared:
            faults.append((f"{path}.{key}", "field not declared in schema"))
            continue
        found = _owned(item, declared.get(key, other), f"{path}.{key}", faults)
        if found is None:
            if item is None or item == {} or key not in declared:
                out[f"f:{key}"] = LEAF
        elif found and SELF not in found and key not in declared:
            out[f"f:{key}"] = {SELF: LEAF, **found}
        else:
            out[f"f:{key}"] = found
    return out


def _owned_list(value: Sequence[Any], node: Node, path: str, faults: list[tuple[str, str]]) -> Fields:
    out: Fields = {}
    for index, item in enumerate(value):
        try:
            key = element(item, node)
        except ValueError as fault:
            faults.append((path, f"element {index}: {fault}"))
            return out
        if key in out:
            faults.append((path, f"duplicate entries for key {path_text((key,))}"))
        found = LEAF
        if node.keys:
            found = _owned(item, node.items, f"{path}{path_text((key,))}", faults) or LEAF
        elif fault_text := _scalar_fault(item, node.items):
            faults.append((f"{path}{path_text((key,))}", fault_text))
        out[key] = found if is_member(found) else {SELF: LEAF, **found}
    return out


def _scalar_fault(value: Any, node: Node) -> str:
    if value is None:
        return ""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    match node.scalar:
        case "int32" | "int64" | "float":
            return "" if is_number else f"expected numeric (int or float), got {go_type(value)}"
        case "string" | "bytes":
            return (
                ""
                if isinstance(value, str)
                else f"expected string, got &value.valueUnstructured{{Value:{_go_syntax(value)}}}"
            )
        case "bool":
            return "" if isinstance(value, bool) else f"expected boolean, got &{{{go_text(value)}}}"
    return f"expected any scalar, got &{{{go_text(value)}}}" if isinstance(value, dict | list) else ""


def _go_syntax(value: Any) -> str:
    """Return the value as Go's %#v prints it."""
    if isinstance(value, dict):
        pairs = ", ".join(f'"{key}":{_go_syntax(value[key])}' for key in sorted(value))
        return f"map[string]interface {{}}{{{pairs}}}"
    if isinstance(value, list):
        return f"[]interface {{}}{{{', '.join(map(_go_syntax, value))}}}"
    return orjson.dumps(value).decode() if value is not None else "interface {}(nil)"


# How two objects differ.


def compare(old: Mapping[str, Any], new: Mapping[str, Any], node: Node) -> tuple[Fields, Fields]:
    """Return the sets of what the new object changed or added, and of what it removed.

    What Go always writes is there even when it is not mentioned, so its coming and going is no change.
    """
    changed, removed = _compare_maps(old, new, node)
    return changed or NONE, removed or NONE


def _compare(old: Any, new: Any, node: Node) -> Difference:
    if old == new:
        return _SAME
    if old is _ABSENT:
        return _whole(new, node), None
    if new is _ABSENT:
        return None, _whole(old, node)
    if node.type == "untyped":
        return _compare_untyped(old, new, node)
    if _is_map(node, new):
        if not old and not new:
            return LEAF, None
        return _compare_maps(_mapping(old), _mapping(new), node)
    if _is_associative(node):
        if not old and not new:
            return LEAF, None
        return _compare_lists(old or (), new or (), node)
    return LEAF, None


def _compare_untyped(old: Any, new: Any, node: Node) -> Difference:
    """Compare values that say themselves what they are: maps key by key, all else whole."""
    before, after = _mapping(old), _mapping(new)
    if not before and not after:
        return LEAF, None
    changed, removed = _compare_maps(before, after, node)
    if isinstance(old, dict | None) and isinstance(new, dict | None):
        return changed, removed
    return ({SELF: LEAF, **changed} if changed else LEAF), removed


def _compare_maps(old: Mapping[str, Any], new: Mapping[str, Any], node: Node) -> Difference:
    changed: Fields = {}
    removed: Fields = {}
    declared, other = _types(node)
    present = PRESENT.get(node.struct, NONE) if node.struct else NONE
    for key, item in new.items():
        before = old.get(key, _ABSENT)
        if before is item:
            continue
        if before is _ABSENT:
            before = present.get(key, _ABSENT)
        added, gone = _compare(before, item, declared.get(key, other))
        if added is not None:
            changed[f"f:{key}"] = added
        if gone is not None:
            removed[f"f:{key}"] = gone
    for key, before in old.items():
        if key not in new:
            added, gone = _compare(before, present.get(key, _ABSENT), declared.get(key, other))
            if added is not None:
                changed[f"f:{key}"] = added
            if gone is not None:
                removed[f"f:{key}"] = gone
    return changed or None, removed or None


def _compare_lists(old: Any, new: Any, node: Node) -> Difference:
    try:
        before, after = _by_key(old, node), _by_key(new, node)
    except (ValueError, TypeError):
        return LEAF, None
    changed: Fields = {}
    removed: Fields = {}
    items = node.items
    for key in {**before, **after}:
        left, right = before.get(key, ()), after.get(key, ())
        if len(left) > 1 and len(right) > 1:
            if list(left) != list(right):
                changed[key] = LEAF
            continue
        added: Fields | None = None
        gone: Fields | None = None
        if len(left) > 1:
            gone = LEAF
            if right:
                added = _whole(right[0], items)
        elif len(right) > 1:
            added = LEAF
            if left:
                gone = _whole(left[0], items)
        else:
            added, gone = _compare(left[0] if left else _ABSENT, right[0] if right else _ABSENT, items)
        if added is not None:
            changed[key] = added
        if gone is not None:
            removed[key] = gone
    return changed or None, removed or None


def _whole(value: Any, node: Node) -> Fields:
    """Return the set of a value and of all in it."""
    if _is_map(node, value):
        present = PRESENT.get(node.struct, NONE) if node.struct else NONE
        if not isinstance(value, dict) or not (value or present):
            return LEAF
        declared, other = _types(node)
        out: Fields = {SELF: LEAF}
        for key, item in value.items():
            out[f"f:{key}"] = LEAF if type(item) in _PLAIN else _whole(item, declared.get(key, other))
        for key, item in present.items():
            if key not in value:
                out[f"f:{key}"] = _whole(item, declared.get(key, other))
        return out
    if not value or not _is_associative(node):
        return LEAF
    try:
        found = _by_key(value, node)
    except (ValueError, TypeError):
        return LEAF
    items = node.items
    return {
        SELF: LEAF,
        **{key: _whole(same[0], items) if len(same) == 1 else LEAF for key, same in found.items()},
    }


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else NONE


def _by_key(items: Any, node: Node) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for item in items:
        found.setdefault(element(item, node), []).append(item)
    return found


# How one object is laid over another.


def merged(live: Any, applied: Any, node: Node) -> Any:
    """Return the applied value laid over the live one, sharing nothing with either.

    What is not mentioned stays; the order of lists follows the applied one where it says something.
    """
    if node.type == "scalar":
        return applied if not isinstance(applied, dict | list) else copied(applied)
    if _is_map(node, applied):
        before, after = _mapping(live), _mapping(applied)
        if not before and not after:
            return copied(applied)
        if not after and (applied is None or isinstance(applied, dict)):
            return copied(live)
        declared, other = _types(node)
        out = {}
        for key, item in before.items():
            out[key] = merged(item, after[key], declared.get(key, other)) if key in after else copied(item)
        for key, item in after.items():
            if key not in before:
                out[key] = copied(item)
        return out
    if applied is None and node.type == "untyped" and isinstance(live, dict) and live:
        return copied(live)
    if _is_associative(node) and isinstance(live, list) and live and isinstance(applied, list | None):
        return _merged_list(live, applied or [], node)
    return copied(applied)


def _merged_list(live: list[Any], applied: list[Any], node: Node) -> list[Any]:
    """Lay a list over another: shared items in the applied order, each live one after what it stood after."""
    try:
        before = [(element(item, node), item) for item in live]
    except ValueError:
        return copied(applied)  # type: ignore[no-any-return]  # a copy of a list is a list
    after = {element(item, node): item for item in applied}
    times: dict[str, int] = {}
    for key, _ in before:
        times[key] = times.get(key, 0) + 1
    found = {key: item for key, item in before if times[key] == 1}
    wanted = list(after)
    shared = iter([key for key in wanted if key in times])
    next_shared = next(shared, None)
    out: list[Any] = []
    taken: set[str] = set()
    left = right = 0

    def take(key: str) -> None:
        nonlocal next_shared
        taken.add(key)
        out.append(merged(found[key], after[key], node.items) if key in found else copied(after[key]))
        if key == next_shared:
            next_shared = next(shared, None)

    while left < len(before) or right < len(wanted):
        if left < len(before):
            key, item = before[left]
            if right < len(wanted):
                if key == wanted[right]:
                    take(key)
                    left += 1
                    right += 1
                    continue
                if key in after and next_shared is not None and key != next_shared:
                    left += 1
                    continue
            if key not in after:
                out.append(copied(item))
                left += 1
                continue
            if key in taken:
                left += 1
        if right < len(wanted):
            take(wanted[right])
            right += 1
    return out


def without(value: Any, node: Node, fields: Fields) -> Any:
    """Return the value less what is in the set, sharing what stays. What is emptied by it is None, not absent."""
    if not value:
        return None
    if _is_map(node, value):
        if not isinstance(value, dict):
            return value
        kept = {}
        for key, item in value.items():
            below = fields.get(f"f:{key}")
            if below is None:
                kept[key] = item
            elif not is_member(below):
                kept[key] = without(item, node.child(key), below) if isinstance(item, dict | list) else item
        return kept or None
    if _is_associative(node) and isinstance(value, list):
        out = []
        for item in value:
            try:
                below = fields.get(element(item, node))
            except ValueError:
                below = None
            if below is None:
                out.append(item)
            elif not is_member(below):
                rest = without(item, node.items, below)
                if rest is not None:
                    out.append(rest)
        return out or None
    return None if isinstance(value, list) or node.type in ("map", "struct") else value


def without_nulls(value: Any, node: Node) -> Any:
    """Return the value less the lists and maps that are null; a null scalar may mean something and stays."""
    if isinstance(value, dict):
        kept = {}
        for key, item in value.items():
            child = node.child(key)
            if item is not None or child.type in ("scalar", "untyped"):
                kept[key] = without_nulls(item, child) if isinstance(item, dict | list) else item
        return kept
    if isinstance(value, list):
        return [without_nulls(item, node.items) for item in value]
    return value
