"""Patches that a client sends as a document: RFC 6902 (json) and RFC 7386 (merge).

Each takes an object and a patch and returns a new object; neither argument is changed. What the result must look like
is checked elsewhere. Strategic merge patches are in `merging`, server-side apply is in `applying`.
Sources: the RFCs, and where Kubernetes' library departs from them (gopkg.in/evanphx/json-patch v4), the library.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from fairlead.keep.errors import Refusal, bad_request
from fairlead.keep.merging import TOO_DEEP, copied, strategic_patch
from fairlead.words import Resource

__all__ = ["json_patch", "merge_patch", "strategic_patch", "unprocessable"]

_MOST_OPERATIONS = 10_000
_MOST_COPIED = 3 * 1024 * 1024
"""Characters that `copy` operations may add in total, roughly: three times nothing must not become a gigabyte."""

_INDEX = re.compile(r"[+-]?[0-9]+", re.ASCII)


def unprocessable(why: str) -> Refusal:
    """422 for a patch that is well formed but cannot be applied; Kubernetes' message does not say why, the cause does."""
    return Refusal(
        422,
        "Invalid",
        "the server rejected our request due to an error in our request",
        {"causes": [{"reason": "UnexpectedServerResponse", "message": why, "field": "patch"}]},
    )


def merge_patch(target: Resource, patch: Any) -> Resource:
    """Return the object with the RFC 7386 patch merged in: null removes, objects merge, anything else replaces.

    As in Kubernetes, fields that are null are removed from objects within lists as well.
    Raises Refusal 400 for a patch that is not an object.
    """
    if not isinstance(patch, dict):
        raise bad_request(
            f"error decoding patch: json: cannot unmarshal {_json_type(patch)} into Go value of type "
            "map[string]interface {}"
        )
    try:
        return _merged(target, patch)
    except RecursionError:
        raise bad_request(TOO_DEEP) from None


def _merged(target: Mapping[str, Any], patch: Mapping[str, Any]) -> Resource:
    result = dict(target)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
            continue
        before = result.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            result[key] = _merged(before, value)
        else:
            result[key] = _without_nulls(value)
    return result


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def json_patch(target: Resource, operations: Any) -> Resource:
    """Return the object with the RFC 6902 operations applied in order.

    As in Kubernetes, `replace` also adds an absent key of an object, and negative indices count from the end. Raises
    Refusal 400 for what is no list of operations, 413 for too many, 422 for one that does not apply.
    """
    if not isinstance(operations, list):
        raise bad_request(
            f"json: cannot unmarshal {_json_type(operations)} into Go value of type jsonpatch.Patch"
        )
    for operation in operations:
        if not isinstance(operation, dict):
            raise bad_request(
                f"json: cannot unmarshal {_json_type(operation)} into Go value of type jsonpatch.Operation"
            )
    if len(operations) > _MOST_OPERATIONS:
        raise Refusal(
            413,
            "RequestEntityTooLarge",
            "Request entity too large: The allowed maximum operations in a JSON patch is "
            f"{_MOST_OPERATIONS}, got {len(operations)}",
        )
    document = _Document(copied(target))
    for operation in operations:
        try:
            document.apply(operation)
        except _Inapplicable as fault:
            raise unprocessable(str(fault)) from None
        except RecursionError:
            raise unprocessable(TOO_DEEP) from None
    if not isinstance(document.root, dict):
        raise unprocessable(
            f"json: cannot unmarshal {_json_type(document.root)} into Go value of type map[string]interface {{}}"
        )
    return document.root


class _Inapplicable(Exception):
    """One operation that does not apply, with the library's text."""


_MISSING = "missing value"
_ABSENT: Final = object()


class _Document:
    def __init__(self, root: Any) -> None:
        self.root = root
        self._copied = 0

    def apply(self, operation: Mapping[str, Any]) -> None:
        verbs: dict[str, Callable[[Mapping[str, Any]], None]] = {
            "add": self._add,
            "remove": self._remove,
            "replace": self._replace,
            "move": self._move,
            "copy": self._copy,
            "test": self._test,
        }
        name = operation.get("op")
        verb = verbs.get(name) if isinstance(name, str) else None
        if verb is None:
            raise _Inapplicable(f"Unexpected kind: {name if isinstance(name, str) else 'unknown'}")
        verb(operation)

    def _add(self, operation: Mapping[str, Any]) -> None:
        path = _pointer(operation, "path", "add operation failed to decode path: missing value")
        parent, key = self._find(path)
        if parent is None:
            raise _Inapplicable(f'add operation does not apply: doc is missing path: "{path}": {_MISSING}')
        _within(f"error in add for path: '{path}'", _insert, parent, key, copied(operation.get("value")))

    def _remove(self, operation: Mapping[str, Any]) -> None:
        path = _pointer(operation, "path", "remove operation failed to decode path: missing value")
        parent, key = self._find(path)
        if parent is None:
            raise _Inapplicable(f'remove operation does not apply: doc is missing path: "{path}": {_MISSING}')
        _within(f"error in remove for path: '{path}'", _take, parent, key)

    def _replace(self, operation: Mapping[str, Any]) -> None:
        path = _pointer(
            operation,
            "path",
            "replace operation failed to decode path: operation missing path field: missing value",
        )
        value = copied(operation.get("value"))
        if not path:
            if not isinstance(value, dict | list):
                raise _Inapplicable("replace operation value must be object or array")
            self.root = value
            return
        parent, key = self._find(path)
        if parent is None:
            raise _Inapplicable(f"replace operation does not apply: doc is missing path: {path}: {_MISSING}")
        if isinstance(parent, dict):
            parent[key] = value
            return
        try:
            parent[_position(parent, key)] = value
        except _Inapplicable:
            raise _Inapplicable(
                f"replace operation does not apply: doc is missing key: {path}: {_MISSING}"
            ) from None

    def _move(self, operation: Mapping[str, Any]) -> None:
        source = _pointer(
            operation,
            "from",
            "move operation failed to decode from: operation, missing from field: missing value",
        )
        parent, key = self._find(source)
        if parent is None:
            raise _Inapplicable(
                f"move operation does not apply: doc is missing from path: {source}: {_MISSING}"
            )
        value = _within(f"error in move for path: '{key}'", _take, parent, key)
        path = _pointer(
            operation,
            "path",
            "move operation failed to decode path: operation missing path field: missing value",
        )
        parent, key = self._find(path)
        if parent is None:
            raise _Inapplicable(
                f"move operation does not apply: doc is missing destination path: {path}: {_MISSING}"
            )
        _within(f"error in move for path: '{path}'", _insert, parent, key, value)

    def _copy(self, operation: Mapping[str, Any]) -> None:
        source = _pointer(
            operation,
            "from",
            "copy operation failed to decode from: operation, missing from field: missing value",
        )
        parent, key = self._find(source)
        if parent is None:
            raise _Inapplicable(
                f"copy operation does not apply: doc is missing from path: {source}: {_MISSING}"
            )
        value = _within(f"error in copy for from: '{source}'", _look, parent, key)
        path = _pointer(operation, "path", "copy operation failed to decode path: missing value")
        parent, key = self._find(path)
        if parent is None:
            raise _Inapplicable(
                f"copy operation does not apply: doc is missing destination path: {path}: {_MISSING}"
            )
        value = None if value is _ABSENT else copied(value)
        self._copied += _size(value)
        if self._copied > _MOST_COPIED:
            raise _Inapplicable(
                f"Unable to complete the copy, the accumulated size increase of copy is {self._copied}, "
                f"exceeding the limit {_MOST_COPIED}"
            )
        _within("error while adding value during copy", _insert, parent, key, value)

    def _test(self, operation: Mapping[str, Any]) -> None:
        path = _pointer(
            operation,
            "path",
            "test operation failed to decode path: operation missing path field: missing value",
        )
        wanted = operation.get("value")
        if not path:
            found = self.root
        else:
            parent, key = self._find(path)
            if parent is None:
                raise _Inapplicable(f"test operation does not apply: is missing path: {path}: {_MISSING}")
            found = _within(f"error in test for path: '{path}'", _look, parent, key)
        if found is _ABSENT:
            found = None
        if not same(found, wanted):
            raise _Inapplicable(f"testing value {path} failed: test failed")

    def _find(self, path: str) -> tuple[Any, str]:
        """Return the container that the pointer's last part is looked up in (None if there is none), and that part.

        What stands before the first slash is not looked at, as in the library.
        """
        parts = path.split("/")
        if len(parts) < 2:
            return None, ""
        container = self.root
        for part in parts[1:-1]:
            try:
                container = _look(container, _unescaped(part))
            except _Inapplicable:
                return None, ""
            if not isinstance(container, dict | list):
                return None, ""
        return container, _unescaped(parts[-1])


def _pointer(operation: Mapping[str, Any], name: str, fault: str) -> str:
    path = operation.get(name)
    if not isinstance(path, str):
        raise _Inapplicable(fault)
    return path


def _unescaped(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")


def _within(context: str, step: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return step(*arguments)
    except _Inapplicable as fault:
        raise _Inapplicable(f"{context}: {fault}") from None


def _look(container: Any, key: str) -> Any:
    if isinstance(container, dict):
        return container.get(key, _ABSENT)
    return container[_position(container, key)]


def _take(container: Any, key: str) -> Any:
    if isinstance(container, dict):
        if key not in container:
            raise _Inapplicable(f"Unable to remove nonexistent key: {key}: {_MISSING}")
        return container.pop(key)
    return container.pop(_position(container, key))


def _insert(container: Any, key: str, value: Any) -> None:
    if isinstance(container, dict):
        container[key] = value
    elif key == "-":
        container.append(value)
    else:
        try:
            number = _number(key)
        except _Inapplicable as fault:
            raise _Inapplicable(f"value was not a proper array index: '{key}': {fault}") from None
        size = len(container) + 1
        container.insert(_bounded(number, size), value)


def _position(container: list[Any], key: str) -> int:
    return _bounded(_number(key), len(container))


def _bounded(number: int, size: int) -> int:
    if not -size <= number < size:
        raise _Inapplicable(f"Unable to access invalid index: {number}: invalid index referenced")
    return number % size


def _number(key: str) -> int:
    if not _INDEX.fullmatch(key) or len(key) > 18:
        raise _Inapplicable(f'strconv.Atoi: parsing "{key}": invalid syntax')
    return int(key)


def same(left: Any, right: Any) -> bool:
    """Whether two JSON values are the same; unlike in Python, true is not 1 and 1 is not 1.0."""
    if isinstance(left, dict):
        return (
            isinstance(right, dict)
            and left.keys() == right.keys()
            and all(same(value, right[key]) for key, value in left.items())
        )
    if isinstance(left, list):
        return isinstance(right, list) and len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and bool(left == right)


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value) + 2
    items: Iterable[Any] = ()
    if isinstance(value, dict):
        return sum(len(key) + 3 + _size(item) for key, item in value.items()) + 2
    if isinstance(value, list):
        items = value
    return sum(_size(item) + 1 for item in items) + 2


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    names = {dict: "object", list: "array", str: "string", int: "number", float: "number"}
    return names.get(type(value), "null")
