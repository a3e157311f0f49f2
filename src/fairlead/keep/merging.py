"""Kubernetes' strategic merge patch: a patch whose lists merge by what the types say, with directives.

Takes an object, a patch and the type; returns a new object and changes neither argument. Server-side apply has other
keys and other rules: it is in `applying`.
Source: k8s.io/apimachinery/pkg/util/strategicpatch; error texts included.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from fairlead.keep.errors import Refusal, bad_request
from fairlead.keep.nodes import Node, untyped
from fairlead.words import Resource

_PATCH = "$patch"
_RETAIN = "$retainKeys"
_DELETE = "$deleteFromPrimitiveList"
_ORDER = "$setElementOrder"

TOO_DEEP = "the patch is nested too deeply"

_BAD_PRIMITIVES = "invalid patch format of primitive list"
_BAD_ORDER = "invalid patch format of setElementOrder list"
_BAD_RETAIN = "invalid patch format of retainKeys"
_LISTS_OF_LISTS = "lists of lists are not supported"


def strategic_patch(target: Resource, patch: Any, node: Node) -> Resource:
    """Return the object with the strategic merge patch applied.

    Lists with the `merge` strategy merge by their merge key (or as sets, of scalars), others are replaced. The
    directives `$patch: replace|delete|merge`, `$retainKeys`, `$deleteFromPrimitiveList/x` and `$setElementOrder/x` are
    obeyed. Raises Refusal: 400 for malformed directives, 422 for lists of lists, and, as Kubernetes does, 500 with no
    reason for a patch that does not fit the types.
    """
    if not isinstance(patch, dict):
        raise bad_request(
            f"json: cannot unmarshal {'array' if isinstance(patch, list) else go_type(patch)} into Go value of type "
            "map[string]interface {}"
        )
    try:
        return _merge_map(copied(target), copied(patch), node)
    except RecursionError:
        raise bad_request(TOO_DEEP) from None


def copied(value: Any) -> Any:
    """Return a copy of a JSON value that shares nothing that can change."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copied(item) for item in value]
    return value


def _unfit(message: str) -> Refusal:
    return Refusal(500, "", message)


def _no_key(item: Any, key: str) -> Refusal:
    return _unfit(f"map: {go_text(item)} does not contain declared merge key: {key}")


def _wrong(expected: str, found: Any) -> Refusal:
    return _unfit(f"expected a {expected}, but received a {go_type(found)}")


_MAP = "map[string]interface {}"
_LIST = "[]interface {}"


def _merge_map(target: dict[str, Any], patch: dict[str, Any], node: Node) -> dict[str, Any]:
    """Merge into the target, which is changed, and return it (or what replaces it)."""
    if _PATCH in patch:
        directive = patch.pop(_PATCH)
        if directive == "replace":
            return patch
        if directive == "delete":
            return {}
        patch[_PATCH] = directive
        raise _unfit(f"unknown patch type: {go_text(directive)} in map: {go_text(patch)}")
    _retain(target, patch)
    _merge_ordered(target, patch, node)
    for name, value in patch.items():
        key, removal = name, False
        if name.startswith(_DELETE):
            key, removal = _bare(name, _DELETE, _BAD_PRIMITIVES), True
        if value is None:
            target.pop(key, None)
            continue
        if key not in target or _sort(target[key]) != _sort(value):
            if not removal:
                _place(target, key, value)
        elif isinstance(value, dict):
            child = _child(node, key)
            replaced = "replace" in child.merge_strategy
            target[key] = value if replaced else _merge_map(target[key], value, child)
        elif isinstance(value, list):
            target[key] = _merge_lists(target[key], value, _child(node, key), removal=removal)
        else:
            target[key] = value
    return target


def _place(target: dict[str, Any], key: str, value: Any) -> None:
    """Take the patch's value as it is, less nulls and directives."""
    _drop_nulls(value)
    kept, value = _without_directives(value)
    if kept:
        target[key] = value
    else:
        target.pop(key, None)


def _child(node: Node, key: str) -> Node:
    """Return the type of a field that the target and the patch both have."""
    if node.type == "struct":
        if key not in node.fields:
            raise _unfit(f'unable to find api field in struct {node.struct} for the json field "{key}"')
        return node.fields[key]
    return node.values if node.type == "map" else untyped


def _retain(target: dict[str, Any], patch: dict[str, Any]) -> None:
    if _RETAIN not in patch:
        return
    keys = patch.pop(_RETAIN)
    if not isinstance(keys, list):
        raise bad_request(_BAD_RETAIN)
    for key, value in patch.items():
        if value is not None and not key.startswith((_DELETE, _ORDER)) and key not in keys:
            raise bad_request(_BAD_RETAIN)
    for key in [key for key in target if key not in keys]:
        del target[key]


def _merge_ordered(target: dict[str, Any], patch: dict[str, Any], node: Node) -> None:
    """Merge the lists that have a `$setElementOrder`, and take them out of the patch."""
    for name in [name for name in patch if name.startswith(_ORDER)]:
        order = patch.pop(name)
        if not isinstance(order, list):
            raise _wrong(_LIST, order)
        key = _bare(name, _ORDER, _BAD_ORDER)
        found, added = target.get(key), patch.get(key)
        for value, present in ((found, key in target), (added, key in patch)):
            if present and not isinstance(value, list):
                raise _wrong(_LIST, value)
        child = _child(node, key)
        if not (node.type == "struct" and child.type == "list"):
            raise _unfit(f"expected slice or array type, but got: {child.type}")
        merge_key = child.merge_key
        _check_order(added or [], order, merge_key)
        if key not in target and key not in patch:
            continue
        if key not in patch:
            merged = list(found or ())
        elif key not in target:
            merged = [value for kept, value in map(_without_directives, added or ()) if kept]
        else:
            merged = _merge_lists(found or [], added or [], child)
        wanted, others = _split(merged, order, merge_key)
        maps = _element_type(found or [], added or []) == _MAP
        target[key] = _interleave(wanted, others, order, found or [], merge_key, maps=maps)
        patch.pop(key, None)


def _check_order(patch: list[Any], order: list[Any], merge_key: str) -> None:
    """Refuse a patch list whose items are not in the order list, in that order."""
    if not order or not patch:
        return
    items = patch
    if merge_key:
        items = []
        for item in patch:
            if not isinstance(item, dict):
                raise _wrong(_MAP, item)
            if item.get(_PATCH) != "delete":
                items.append(item)
    at = place = 0
    while at < len(items) and place < len(order):
        if isinstance(items[at], dict) and _PATCH in items[at]:
            at += 1
            continue
        if _equal(items[at], order[place], merge_key):
            at += 1
        place += 1
    if at < len(items):
        raise _unfit(
            f"The order in patch list:\n{go_text(patch)}\n doesn't match {_ORDER} list:\n{go_text(order)}\n"
        )


def _equal(left: Any, right: Any, merge_key: str) -> bool:
    if not merge_key:
        return bool(left == right)
    for item in (left, right):
        if not isinstance(item, dict):
            raise _wrong(_MAP, item)
    for item in (left, right):
        if merge_key not in item:
            raise _no_key(item, merge_key)
    return bool(left[merge_key] == right[merge_key])


def _merge_lists(target: list[Any], patch: list[Any], node: Node, *, removal: bool = False) -> list[Any]:
    if "merge" not in node.merge_strategy and not removal:
        return patch
    if not target and not patch:
        return target
    if _element_type(target, patch) != _MAP:
        if removal:
            return [item for item in target if item not in patch]
        if node.merge_key:
            raise _wrong(_MAP, (*target, *patch)[0])
        merged: list[Any] = []
        merged.extend(item for item in (*target, *patch) if item not in merged)
        return _interleave(*_split(merged, patch, ""), patch, target, "", maps=False)
    if not node.merge_key:
        raise _unfit(f"cannot merge lists without merge key for {node.items.type}")
    target, patch = _obey(list(target), patch, node.merge_key)
    before = list(target)
    for item in patch:
        if node.merge_key not in item:
            raise _no_key(item, node.merge_key)
        at = _position(target, node.merge_key, item[node.merge_key])
        if at < 0:
            target.append(item)
        else:
            target[at] = _merge_map(target[at], item, node.items)
            if at < len(before):  # else the patch itself has the key twice
                before[at] = target[at]
    return _interleave(*_split(target, patch, node.merge_key), patch, before, node.merge_key, maps=True)


def _obey(target: list[Any], patch: list[Any], merge_key: str) -> tuple[list[Any], list[Any]]:
    """Carry out the directives among a patch list's elements; return both lists without them."""
    plain, replace = [], False
    for item in patch:
        if _PATCH not in item:
            plain.append(item)
            continue
        match item[_PATCH]:
            case "delete":
                if merge_key not in item:
                    raise _no_key(item, merge_key)
                while (at := _position(target, merge_key, item[merge_key])) >= 0:
                    del target[at]
            case "replace":
                replace = True
            case "merge":
                raise _unfit("merging lists cannot yet be specified in the patch")
            case other:
                raise _unfit(f"unknown patch type: {go_text(other)} in map: {go_text(item)}")
    return (plain, []) if replace else (target, plain)


def _position(items: Sequence[Any], merge_key: str, value: Any) -> int:
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            raise _unfit(f"value for key {index} is not a map")
        if merge_key in item and item[merge_key] == value:
            return index
    return -1


def _split(items: list[Any], by: list[Any], merge_key: str) -> tuple[list[Any], list[Any]]:
    """Return the items that are in the other list, and the rest."""
    if not merge_key:
        return [item for item in items if item in by], [item for item in items if item not in by]
    inside: list[Any] = []
    outside: list[Any] = []
    for item in items:
        if not isinstance(item, dict):
            raise _wrong(_MAP, item)
        if merge_key not in item:
            raise _no_key(item, merge_key)
        (outside if _position(by, merge_key, item[merge_key]) < 0 else inside).append(item)
    return inside, outside


def _interleave(
    wanted: list[Any], others: list[Any], order: list[Any], before: list[Any], merge_key: str, *, maps: bool
) -> list[Any]:
    """Put the items that the patch speaks of in its order, and the others among them by where they were before."""
    key = merge_key if maps else ""
    wanted_at, before_at = _Places(order, key, maps=maps), _Places(before, key, maps=maps)
    left, right = before_at.sort(others), wanted_at.sort(wanted)
    out: list[Any] = []
    i = j = 0
    while i < len(left) and j < len(right):
        a, b = before_at.of(left[i]), before_at.of(right[j])
        if 0 <= a < b:
            out.append(left[i])
            i += 1
        else:
            out.append(right[j])
            j += 1
    return [*out, *right[j:], *left[i:]]


class _Places:
    """Where each item stands in a list, by its merge key where the items are maps."""

    def __init__(self, items: Iterable[Any], merge_key: str, *, maps: bool) -> None:
        self._key, self._maps = merge_key, maps
        self._places: dict[Any, int] = {}
        for index, item in enumerate(items):
            if maps and (not isinstance(item, dict) or merge_key not in item):
                raise _no_key(item, merge_key) if isinstance(item, dict) else _wrong(_MAP, item)
            self._places.setdefault(self._name(item), index)

    def of(self, item: Any) -> int:
        return self._places.get(self._name(item), -1)

    def sort(self, items: list[Any]) -> list[Any]:
        if all(self.of(item) >= 0 for item in items):
            return sorted(items, key=self.of)
        out: list[Any] = []
        for item in items:
            at = len(out)
            while at and not (self.of(item) >= 0 <= self.of(out[at - 1]) <= self.of(item)):
                at -= 1
            out.insert(at, item)
        return out

    def _name(self, item: Any) -> Hashable:
        value = item.get(self._key) if self._maps else item
        return value if isinstance(value, Hashable) else go_text(value)


def _element_type(*lists: list[Any]) -> str:
    types = [go_type(item) for items in lists for item in items]
    if not types:
        raise _unfit("no elements in any of the given slices")
    if types[0] == _LIST:
        raise Refusal(
            422,
            "Invalid",
            "the server rejected our request due to an error in our request",
            {"causes": [{"reason": "UnexpectedServerResponse", "message": _LISTS_OF_LISTS}]},
        )
    if any(name != types[0] for name in types):
        raise _unfit(f"list element types are not identical: {go_text(list(lists))}")
    return types[0]


def _bare(name: str, directive: str, fault: str) -> str:
    prefix, slash, key = name.partition("/")
    if not slash or prefix != directive:
        raise bad_request(fault)
    return key


def _drop_nulls(value: Any) -> None:
    if isinstance(value, dict):
        for key in [key for key, item in value.items() if item is None]:
            del value[key]
        for item in value.values():
            _drop_nulls(item)
    elif isinstance(value, list):
        for item in value:
            _drop_nulls(item)


def _without_directives(value: Any) -> tuple[bool, Any]:
    """Return whether the value is to be kept at all, and what is left of it."""
    if isinstance(value, dict):
        if _PATCH in value:
            return False, None
        pairs = ((key, *_without_directives(item)) for key, item in value.items())
        return True, {key: item for key, kept, item in pairs if kept}
    if isinstance(value, list):
        return True, [item for kept, item in map(_without_directives, value) if kept]
    return True, value


def _sort(value: Any) -> str:
    """Return the value's sort; numbers are one sort, so that 1 and 1.0 merge alike."""
    name = go_type(value)
    return "number" if name in {"int64", "float64"} else name


def go_type(value: Any) -> str:
    """Return the Go type that a JSON value decodes to, for error texts."""
    if isinstance(value, bool):
        return "bool"
    names = {dict: _MAP, list: _LIST, str: "string", int: "int64", float: "float64"}
    return names.get(type(value), "%!s(<nil>)")


def go_text(value: Any) -> str:
    """Return a JSON value as Go's %v prints it: `map[a:1 b:[x y]]`."""
    if isinstance(value, Mapping):
        return f"map[{' '.join(f'{key}:{go_text(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(go_text, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "<nil>" if value is None else str(value)
