"""JSON Patch (RFC 6902): operations on a document, compiled once, and the operations that make one document of another.

Neither the document nor the operations are ever changed: a result shares with both what did not change, so it must not be changed in
place either. What `copy` operations add in total is limited: three times nothing must not become a gigabyte. Errors are
worded as by the library that Kubernetes and Kyverno use, because people compare them. Knows nothing of who patches.
Sources: RFC 6902 and RFC 6901; where the library departs from them, github.com/evanphx/json-patch, v4 and (for `Manner.LENIENT`) v5.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Final, TypeAlias

MOST_COPIED = 3 * 1024 * 1024
"""Characters that the `copy` operations of one patch may add in total, roughly."""

TOO_DEEP = "the patch is nested too deeply"

Patch: TypeAlias = Callable[[Any], Any]
"""Returns a patched document. Raises Unpatchable."""

Operation: TypeAlias = Mapping[str, Any]


class Unpatchable(Exception):
    """One operation that does not apply, with the library's text."""


class TestFailed(Unpatchable):
    """A `test` operation found something else."""


class Manner(Enum):
    """How operations apply where the RFC and its users disagree.

    KUBERNETES: `replace` also adds an absent key. LENIENT, as in Kyverno: removing what is absent does nothing, adding makes the
    containers on the way, and replacing what is absent is an error.
    """

    KUBERNETES = 1
    LENIENT = 2


_MISSING = "missing value"
_ABSENT: Final = object()
_INDEX = re.compile(r"[+-]?[0-9]+", re.ASCII)


def apply(document: Any, operations: Iterable[Operation], manner: Manner = Manner.KUBERNETES) -> Any:
    """Return the document with the operations applied in order. Negative indices count from the end. Raises Unpatchable."""
    return compile(operations, manner)(document)


def compile(operations: Iterable[Operation], manner: Manner = Manner.KUBERNETES) -> Patch:  # noqa: A001  as in the standard library
    """Return the function that applies fixed operations. An operation that is malformed fails when its turn comes."""
    steps = [_VERBS.get(_name(one), _unexpected)(one, manner is Manner.LENIENT) for one in operations]

    def patch(document: Any) -> Any:
        state = _State(document)
        try:
            for step in steps:
                step(state)
        except RecursionError:
            raise Unpatchable(TOO_DEEP) from None
        return state.root

    return patch


class _State:
    """A document under change. Containers are copied when they are first written to, `mine` are those copies."""

    __slots__ = ("copied", "mine", "root")

    def __init__(self, root: Any) -> None:
        self.root = root
        self.copied = 0
        self.mine: dict[int, Any] = {}

    def own(self, container: Any) -> Any:
        """Return a container that may be changed: itself if it is a copy already."""
        if id(container) in self.mine:
            return container
        made = container.copy()
        self.mine[id(made)] = made
        return made

    def find(self, path: _Path) -> Any:
        """Return the container that the pointer's last part is looked up in, ready to be changed; None if there is none."""
        if not path.steps or not isinstance(self.root, dict | list):
            return None
        key: str | int
        container = self.root = self.own(self.root)
        for step in path.above:
            if container.__class__ is dict:
                key, child = step, container.get(step)
            else:
                try:
                    key = _position(container, step)
                except Unpatchable:
                    return None
                child = container[key]
            if not isinstance(child, dict | list):
                return None
            if id(child) not in self.mine:
                container[key] = child = self.own(child)
            container = child
        return container

    def peek(self, path: _Path) -> Any:
        """Return the container that the pointer's last part is looked up in, only to be read; None if there is none."""
        if not path.steps:
            return None
        container = self.root
        for step in path.above:
            if not isinstance(container, dict | list):
                return None
            try:
                container = _look(container, step)
            except Unpatchable:
                return None
        return container if isinstance(container, dict | list) else None


class _Path:
    """A pointer, taken apart. What stands before the first slash is not looked at, as in the library."""

    __slots__ = ("above", "last", "steps", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        parts = text.split("/")[1:]
        if "~" in text:
            parts = [part.replace("~1", "/").replace("~0", "~") for part in parts]
        self.steps = tuple(parts)
        self.above = self.steps[:-1]
        self.last = self.steps[-1] if self.steps else ""


_Step: TypeAlias = Callable[[_State], None]


def _name(operation: Operation) -> str:
    name = operation.get("op")
    return name if isinstance(name, str) else ""


def _unexpected(operation: Operation, _: bool) -> _Step:
    return _failing(f"Unexpected kind: {_name(operation) or 'unknown'}")


def _failing(message: str) -> _Step:
    def fail(_: _State) -> None:
        raise Unpatchable(message)

    return fail


def _add(operation: Operation, lenient: bool) -> _Step:
    text, value = operation.get("path"), operation.get("value")
    if not isinstance(text, str):
        return _failing("add operation failed to decode path: missing value")
    path = _Path(text)

    def add(state: _State) -> None:
        if lenient:
            if not path.steps:
                _replace_root(state, value)
                return
            parent = _ensure(state, path)
        else:
            parent = state.find(path)
        if parent is None:
            raise Unpatchable(f'add operation does not apply: doc is missing path: "{text}": {_MISSING}')
        _within(f"error in add for path: '{text}'", _insert, parent, path.last, value)

    return add


def _ensure(state: _State, path: _Path) -> Any:
    """Make the containers on the way to a place that are not there (or null): lists where an index or `-` follows, else mappings.

    Returns what `find` would then return.
    """
    if not path.steps or not isinstance(state.root, dict | list):
        return None
    container = state.root = state.own(state.root)
    mine = state.mine
    for step, after in zip(path.above, path.steps[1:], strict=True):
        if container.__class__ is dict:
            found = container.get(step)
        else:
            try:
                found = _look(container, step)
            except Unpatchable:
                found = None
        if found is None:
            listed = after == "-" or _INDEX.fullmatch(after) is not None
            if listed and after.startswith("-") and after not in {"-", "-1"}:
                raise Unpatchable(
                    f"Unable to ensure path for negative index other than -1: {after}: invalid index referenced"
                )
            made: Any = (
                [None] * min(_number(after), 10_000) if listed and after.isdigit() else [] if listed else {}
            )
            state.mine[id(made)] = made
            _place(container, step, made)
            container = made
        elif id(found) in mine:
            container = found
        elif isinstance(found, dict | list):
            key = step if isinstance(container, dict) else _position(container, step)
            container[key] = made = state.own(found)
            container = made
        else:
            return None
    return container


def _place(container: Any, step: str, made: Any) -> None:
    """Put a new container where nothing, or null, was; a list is filled with nulls up to there."""
    if isinstance(container, list) and step != "-":
        index = _number(step)
        if 0 <= index < len(container):
            container[index] = made
            return
        if len(container) < index <= 10_000:
            container.extend([None] * (index - len(container)))
    _insert(container, step, made)


def _remove(operation: Operation, lenient: bool) -> _Step:
    text = operation.get("path")
    if not isinstance(text, str):
        return _failing("remove operation failed to decode path: missing value")
    path = _Path(text)

    def remove(state: _State) -> None:
        parent = state.peek(path)
        if lenient and not _has(parent, path):
            return
        if parent is None:
            raise Unpatchable(f'remove operation does not apply: doc is missing path: "{text}": {_MISSING}')
        parent = state.find(path)
        _within(f"error in remove for path: '{text}'", _take, parent, path.last)

    return remove


def _has(parent: Any, path: _Path) -> bool:
    if parent is None:
        return False
    try:
        return _look(parent, path.last) is not _ABSENT
    except Unpatchable:
        return False


def _replace(operation: Operation, lenient: bool) -> _Step:
    text, value = operation.get("path"), operation.get("value")
    if not isinstance(text, str):
        return _failing(
            "replace operation failed to decode path: operation missing path field: missing value"
        )
    path = _Path(text)

    def replace(state: _State) -> None:
        if not text:
            _replace_root(state, value)
            return
        parent = state.find(path)
        if parent is None:
            raise Unpatchable(f"replace operation does not apply: doc is missing path: {text}: {_MISSING}")
        missing = f"replace operation does not apply: doc is missing key: {text}: {_MISSING}"
        if isinstance(parent, dict):
            if lenient and path.last not in parent:
                raise Unpatchable(missing)
            parent[path.last] = value
            return
        try:
            index = _position(parent, path.last)
        except Unpatchable:
            raise Unpatchable(missing) from None
        parent[index] = value

    return replace


def _replace_root(state: _State, value: Any) -> None:
    if not isinstance(value, dict | list):
        raise Unpatchable("replace operation value must be object or array")
    state.root = value


def _move(operation: Operation, lenient: bool) -> _Step:
    source, text = operation.get("from"), operation.get("path")
    if not isinstance(source, str):
        return _failing("move operation failed to decode from: operation, missing from field: missing value")
    origin = _Path(source)
    path = _Path(text) if isinstance(text, str) else None

    def move(state: _State) -> None:
        parent = state.find(origin)
        if parent is None:
            raise Unpatchable(
                f"move operation does not apply: doc is missing from path: {source}: {_MISSING}"
            )
        value = _within(f"error in move for path: '{origin.last}'", _take, parent, origin.last)
        if path is None:
            raise Unpatchable(
                "move operation failed to decode path: operation missing path field: missing value"
            )
        if lenient:
            _ensure(state, path)
        parent = state.find(path)
        if parent is None:
            raise Unpatchable(
                f"move operation does not apply: doc is missing destination path: {text}: {_MISSING}"
            )
        _within(f"error in move for path: '{text}'", _insert, parent, path.last, value)

    return move


def _copy(operation: Operation, lenient: bool) -> _Step:
    source, text = operation.get("from"), operation.get("path")
    if not isinstance(source, str):
        return _failing("copy operation failed to decode from: operation, missing from field: missing value")
    origin = _Path(source)
    path = _Path(text) if isinstance(text, str) else None

    def copy(state: _State) -> None:
        parent = state.peek(origin)
        if parent is None:
            raise Unpatchable(
                f"copy operation does not apply: doc is missing from path: {source}: {_MISSING}"
            )
        value = _within(f"error in copy for from: '{source}'", _look, parent, origin.last)
        if path is None:
            raise Unpatchable("copy operation failed to decode path: missing value")
        if lenient:
            _ensure(state, path)
        parent = state.find(path)
        if parent is None:
            raise Unpatchable(
                f"copy operation does not apply: doc is missing destination path: {text}: {_MISSING}"
            )
        value = None if value is _ABSENT else value
        state.copied += _size(value, MOST_COPIED - state.copied)
        if state.copied > MOST_COPIED:
            raise Unpatchable(
                f"Unable to complete the copy, the accumulated size increase of copy is {state.copied}, "
                f"exceeding the limit {MOST_COPIED}"
            )
        _within("error while adding value during copy", _insert, parent, path.last, _frozen(state, value))

    return copy


def _frozen(state: _State, value: Any) -> Any:
    """Return a value that now lies in two places, so that writing to one place copies it first."""
    state.mine.pop(id(value), None)
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            if isinstance(item, dict | list):
                _frozen(state, item)
    return value


def _test(operation: Operation, _: bool) -> _Step:
    text, wanted = operation.get("path"), operation.get("value")
    if not isinstance(text, str):
        return _failing("test operation failed to decode path: operation missing path field: missing value")
    path = _Path(text)

    def test(state: _State) -> None:
        found = state.root
        if text:
            parent = state.peek(path)
            if parent is None:
                raise TestFailed(f"test operation does not apply: is missing path: {text}: {_MISSING}")
            try:
                found = _look(parent, path.last)
            except Unpatchable as fault:
                raise TestFailed(f"error in test for path: '{text}': {fault}") from None
        if found is _ABSENT:
            found = None
        if not same(found, wanted):
            raise TestFailed(f"testing value {text} failed: test failed")

    return test


_VERBS: Mapping[str, Callable[[Operation, bool], _Step]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}


def _within(context: str, step: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return step(*arguments)
    except Unpatchable as fault:
        raise Unpatchable(f"{context}: {fault}") from None


def _look(container: Any, key: str) -> Any:
    if isinstance(container, dict):
        return container.get(key, _ABSENT)
    return container[_position(container, key)]


def _take(container: Any, key: str) -> Any:
    if isinstance(container, dict):
        if key not in container:
            raise Unpatchable(f"Unable to remove nonexistent key: {key}: {_MISSING}")
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
        except Unpatchable as fault:
            raise Unpatchable(f"value was not a proper array index: '{key}': {fault}") from None
        size = len(container) + 1
        container.insert(_bounded(number, size), value)


def _position(container: list[Any], key: str) -> int:
    return _bounded(_number(key), len(container))


def _bounded(number: int, size: int) -> int:
    if not -size <= number < size:
        raise Unpatchable(f"Unable to access invalid index: {number}: invalid index referenced")
    return number % size


def _number(key: str) -> int:
    if len(key) < 10 and key.isascii() and key.isdigit():
        return int(key)
    if not _INDEX.fullmatch(key) or len(key) > 18:
        raise Unpatchable(f'strconv.Atoi: parsing "{key}": invalid syntax')
    return int(key)


def same(left: Any, right: Any) -> bool:
    """Whether two JSON values are the same; unlike in Python, true is not 1 and 1 is not 1.0."""
    if left is right:
        return True
    if isinstance(left, dict):
        if not isinstance(right, dict) or len(left) != len(right):
            return False
        for key, value in left.items():
            other = right.get(key, _ABSENT)
            if value is not other and not same(value, other):
                return False
        return True
    if isinstance(left, list):
        return isinstance(right, list) and len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and bool(left == right)


def _size(value: Any, most: int) -> int:
    """Return roughly how many characters a value is as JSON; counting stops somewhere beyond `most`."""
    total, left = 0, [value]
    while left and total <= most:
        one = left.pop()
        if isinstance(one, str):
            total += len(one) + 2
        elif isinstance(one, dict):
            total += 2 + sum(len(key) + 4 for key in one)
            left.extend(one.values())
        elif isinstance(one, list):
            total += 2 + len(one)
            left.extend(one)
        else:
            total += 2
    return total


_MOST_COMPARED = 40_000
"""Pairs of list items that are compared to find which stayed; longer lists are compared item by item in their places."""


def diff(before: Any, after: Any) -> list[dict[str, Any]]:
    """Return operations that make `after` of `before`: few, and each as deep as it can be. Values are shared, not copied."""
    operations: list[dict[str, Any]] = []
    _differ(before, after, "", operations)
    return operations


def _differ(before: Any, after: Any, path: str, operations: list[dict[str, Any]]) -> None:
    if before is after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        if before.keys().isdisjoint(after) and path and before and after:
            operations.append({"op": "replace", "path": path, "value": after})
            return
        for key in before:
            here = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
            if key in after:
                _differ(before[key], after[key], here, operations)
            else:
                operations.append({"op": "remove", "path": here})
        for key, value in after.items():
            if key not in before:
                here = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
                operations.append({"op": "add", "path": here, "value": value})
    elif isinstance(before, list) and isinstance(after, list):
        _differ_lists(before, after, path, operations)
    elif not same(before, after):
        operations.append({"op": "replace", "path": path, "value": after})


def _differ_lists(before: list[Any], after: list[Any], path: str, operations: list[dict[str, Any]]) -> None:
    first, shortest = 0, min(len(before), len(after))
    while first < shortest and same(before[first], after[first]):
        first += 1
    last = 0
    while last < shortest - first and same(before[-1 - last], after[-1 - last]):
        last += 1
    old, new = before[first : len(before) - last], after[first : len(after) - last]
    at, done_old, done_new = first, 0, 0
    for stays_old, stays_new in [*_staying(old, new), (len(old), len(new))]:
        at = _exchange(old[done_old:stays_old], new[done_new:stays_new], path, at, operations)
        at, done_old, done_new = at + 1, stays_old + 1, stays_new + 1


def _exchange(
    old: Sequence[Any], new: Sequence[Any], path: str, at: int, operations: list[dict[str, Any]]
) -> int:
    """Turn some neighbouring items into others; returns the index behind them."""
    for left, right in zip(old, new, strict=False):
        _differ(left, right, f"{path}/{at}", operations)
        at += 1
    operations.extend({"op": "remove", "path": f"{path}/{at}"} for _ in old[len(new) :])
    for value in new[len(old) :]:
        operations.append({"op": "add", "path": f"{path}/{at}", "value": value})
        at += 1
    return at


def _staying(old: Sequence[Any], new: Sequence[Any]) -> list[tuple[int, int]]:
    """Return the places of a longest run of items, in order, that both lists have (none where it would take too long)."""
    if not old or not new or len(old) * len(new) > _MOST_COMPARED:
        return []
    lengths = [[0] * (len(new) + 1) for _ in range(len(old) + 1)]
    alike = [[same(left, right) for right in new] for left in old]
    for i in range(len(old) - 1, -1, -1):
        row, below = lengths[i], lengths[i + 1]
        for j in range(len(new) - 1, -1, -1):
            row[j] = below[j + 1] + 1 if alike[i][j] else max(below[j], row[j + 1])
    found, i, j = [], 0, 0
    while i < len(old) and j < len(new):
        if alike[i][j]:
            found.append((i, j))
            i, j = i + 1, j + 1
        elif lengths[i + 1][j] >= lengths[i][j + 1]:
            i += 1
        else:
            j += 1
    return found
