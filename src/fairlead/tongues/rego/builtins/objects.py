"""Objects and JSON documents as trees: get, keys, union, subset, filter by paths, remove paths, patch.

Never changes what it is given: a changed document shares all parts that stayed the same.
"""

from __future__ import annotations

from typing import Any

from fairlead.tongues.rego.values import UNDEFINED, Boxed, Set, box, equal, type_name, unbox

from .collections import element_error, members
from .kinds import Builtin, Context, OperandError, an_object, array, bounded, table, wrong


def get(_: Context, container: Any, path: Any, default: Any) -> Any:
    """Return the value under a key, or under a path given as an array; else the default."""
    found: Any = an_object(container, 1)
    if type(path) is not list:
        inner = found.get(path if type(path) is str else Boxed(path), UNDEFINED)
        return default if inner is UNDEFINED else inner
    for step in path:
        found = child(found, step)
        if found is UNDEFINED:
            return default
    return found


def child(container: Any, step: Any) -> Any:
    """Return what a document holds under a key, an index or an element; else UNDEFINED."""
    kind = type(container)
    if kind is dict:
        return container.get(step if type(step) is str else Boxed(step), UNDEFINED)
    if kind is list:
        if type(step) is not int and not (type(step) is float and step.is_integer()):
            return UNDEFINED
        place = int(step)
        return container[place] if 0 <= place < len(container) else UNDEFINED
    if kind is Set:
        return step if step in container else UNDEFINED
    return UNDEFINED


def _names(value: Any) -> list[Any]:
    """Return the dict keys that an operand of keys stands for: an array, a set, or an object's keys."""
    if type(value) is dict:
        return list(value)
    if type(value) is not list and type(value) is not Set:
        raise wrong(2, value, "object", "set", "array")
    return [box(name) for name in value]


def keys(_: Context, container: Any) -> Set:
    """Return the set of an object's keys."""
    return Set([unbox(name) for name in an_object(container, 1)])


def keep(_: Context, container: Any, names: Any) -> dict[Any, Any]:
    """Return the object with only these keys."""
    found = an_object(container, 1)
    return {name: found[name] for name in _names(names) if name in found}


def drop(_: Context, container: Any, names: Any) -> dict[Any, Any]:
    """Return the object without these keys."""
    found, gone = an_object(container, 1), set(_names(names))
    return {name: value for name, value in found.items() if name not in gone}


def union(_: Context, one: Any, other: Any) -> dict[Any, Any]:
    """Unite two objects, and the objects within them; else the second one's values win."""
    return _merge(an_object(one, 1), an_object(other, 2))


def union_all(_: Context, objects: Any) -> dict[Any, Any]:
    """Unite all objects of an array, the later ones' values winning."""
    result: dict[Any, Any] = {}
    for element in array(objects, 1):
        if type(element) is not dict:
            raise element_error(1, objects, element, "object")
        result = _merge(result, element)
        bounded(len(result))
    return result


def _merge(one: dict[Any, Any], other: dict[Any, Any]) -> dict[Any, Any]:
    result = {**one, **other}
    for name, value in other.items():
        if type(value) is dict:
            before = one.get(name)
            if type(before) is dict:
                result[name] = _merge(before, value)
    return result


def subset(_: Context, whole: Any, piece: Any) -> bool:
    """Tell whether an object, a set or an array holds all of another (arrays: in one piece; or a set's elements)."""
    kind = type(whole)
    if kind is list and type(piece) is Set:
        return all(any(equal(inner, element) for inner in whole) for element in piece)
    if kind is not type(piece) or kind not in {dict, list, Set}:
        raise OperandError("both arguments object.subset must be of the same type or array and set")
    return _holds(whole, piece)


def _holds(whole: Any, piece: Any) -> bool:
    kind = type(whole)
    if kind is not type(piece) or kind not in {dict, list, Set}:
        return equal(whole, piece)
    if kind is dict:
        return all(name in whole and _holds(whole[name], value) for name, value in piece.items())
    if kind is Set:
        return bool(piece.items.keys() <= whole.items.keys())
    size = len(piece)
    if not size:
        return True
    first = piece[0]
    return any(
        equal(whole[place], first) and equal(whole[place : place + size], piece)
        for place in range(len(whole) - size + 1)
    )


def read_path(path: Any) -> list[Any]:
    """Return the steps of a path: `a/b/0`, with `~1` for a slash, or an array of steps."""
    if type(path) is list:
        return path
    if type(path) is not str:
        raise OperandError(
            "operand 2 must be one of {set, array} containing string paths or array of path segments but got "
            + type_name(path)
        )
    if not path:
        return []
    return [step.replace("~1", "/").replace("~0", "~") for step in path.lstrip("/").split("/")]


def _tree(operand: Any) -> dict[Any, Any]:
    """Return the paths as a tree of objects whose leaves are null."""
    root: dict[Any, Any] = {}
    for path in map(read_path, members(operand, 2)):
        node: dict[Any, Any] | None = root
        for step in path[:-1]:
            assert node is not None
            node = node.setdefault(box(step), {})
            if node is None:
                break
        else:
            if path:
                assert node is not None
                node[box(path[-1])] = None
    return root


def json_filter(_: Context, container: Any, paths: Any) -> Any:
    """Return the object with only what lies on the paths."""
    return _only(an_object(container, 1), _tree(paths))


def _only(value: Any, tree: dict[Any, Any] | None) -> Any:
    if tree is None:
        return value
    kind = type(value)
    if kind is dict:
        return {name: _only(value[name], inner) for name, inner in tree.items() if name in value}
    if kind is list:
        return [_only(element, tree[str(place)]) for place, element in enumerate(value) if str(place) in tree]
    if kind is Set:
        return Set([_only(element, tree[box(element)]) for element in value if box(element) in tree])
    return value


def json_remove(_: Context, container: Any, paths: Any) -> Any:
    """Return the object without what lies at the ends of the paths."""
    return _without(an_object(container, 1), _tree(paths))


def _without(value: Any, tree: dict[Any, Any]) -> Any:
    kind = type(value)
    if kind is dict:
        pairs = [(name, inner, tree.get(name, UNDEFINED)) for name, inner in value.items()]
        return {name: _left(inner, below) for name, inner, below in pairs if below is not None}
    if kind is list:
        return [
            _left(element, below)
            for place, element in enumerate(value)
            if (below := tree.get(str(place), UNDEFINED)) is not None
        ]
    if kind is Set:
        return Set(
            [
                _left(element, below)
                for element in value
                if (below := tree.get(box(element), UNDEFINED)) is not None
            ]
        )
    return value


def _left(value: Any, tree: Any) -> Any:
    return value if tree is UNDEFINED else _without(value, tree)


class _Failed(Exception):
    """A patch cannot be applied: the result is undefined."""


_VALUED = {"add", "replace", "test"}
_SOURCED = {"move", "copy"}


def patch(context: Context, document: Any, operations: Any) -> Any:
    """Apply a JSON patch; sets are patched by element. Undefined when a step cannot be taken."""
    result = document
    try:
        for operation in array(operations, 2):
            context.spend(1 + (len(result) if type(result) in {list, dict, Set} else 0))
            result = _applied(result, operation)
    except _Failed:
        return UNDEFINED
    return result


def _applied(document: Any, operation: Any) -> Any:
    if type(operation) is not dict:
        raise _Failed
    kind = operation.get("op")
    if type(kind) is not str:
        raise _Failed
    wanted = {"path"} | ({"value"} if kind in _VALUED else set()) | ({"from"} if kind in _SOURCED else set())
    if kind not in _VALUED | _SOURCED | {"remove"} or not wanted <= operation.keys():
        raise _Failed
    try:
        path = read_path(operation["path"])
        source = read_path(operation["from"]) if kind in _SOURCED else []
    except OperandError as error:
        raise _Failed from error
    if kind == "add":
        return _put(document, path, 0, operation["value"])
    if kind == "remove":
        if not path:
            raise _Failed
        return _take(document, path, 0)
    if kind == "replace":
        if not path:
            return operation["value"]
        _at(document, path)
        return _put(_take(document, path, 0), path, 0, operation["value"])
    if kind == "test":
        if not equal(_at(document, path), operation["value"]):
            raise _Failed
        return document
    value = _at(document, source)
    if kind == "move":
        document = _take(document, source, 0) if source else UNDEFINED
    return _put(document, path, 0, value)


def _place(step: Any, size: int) -> int:
    """Return the index that a step names in an array; `-` is the place after the last."""
    if step == "-" and type(step) is str:
        return size
    if type(step) is str:
        if not (step.isascii() and step.isdigit()) or (step != "0" and step[0] == "0") or len(step) > 18:
            raise _Failed
        return int(step)
    if type(step) is int or (type(step) is float and step.is_integer()):
        return int(step)
    raise _Failed


def _at(document: Any, path: list[Any]) -> Any:
    found = document
    for step in path:
        kind = type(found)
        if kind is list:
            place = _place(step, len(found))
            found = found[place] if 0 <= place < len(found) else UNDEFINED
        elif kind is dict or kind is Set:
            found = child(found, step)
        else:
            found = UNDEFINED
        if found is UNDEFINED:
            raise _Failed
    return found


def _put(document: Any, path: list[Any], depth: int, value: Any) -> Any:
    """Return the document with the value put in at the path."""
    if depth == len(path):
        return value
    step = path[depth]
    last = depth == len(path) - 1
    kind = type(document)
    if kind is dict:
        name = box(step)
        if not last and name not in document:
            raise _Failed
        return {**document, name: value if last else _put(document[name], path, depth + 1, value)}
    if kind is list:
        place = _place(step, len(document))
        if not 0 <= place <= len(document) or (not last and place == len(document)):
            raise _Failed
        if last:
            return [*document[:place], value, *document[place:]]
        return [*document[:place], _put(document[place], path, depth + 1, value), *document[place + 1 :]]
    if kind is Set:
        if last:
            if not equal(step, value):
                raise _Failed
            return document | Set([value])
        if step not in document:
            raise _Failed
        return (document - Set([step])) | Set([_put(step, path, depth + 1, value)])
    raise _Failed


def _take(document: Any, path: list[Any], depth: int) -> Any:
    """Return the document without what is at the path."""
    step = path[depth]
    last = depth == len(path) - 1
    kind = type(document)
    if kind is dict:
        name = box(step)
        if name not in document:
            raise _Failed
        if last:
            return {other: value for other, value in document.items() if other != name}
        return {**document, name: _take(document[name], path, depth + 1)}
    if kind is list:
        place = _place(step, len(document))
        if not 0 <= place < len(document):
            raise _Failed
        kept = [] if last else [_take(document[place], path, depth + 1)]
        return [*document[:place], *kept, *document[place + 1 :]]
    if kind is Set:
        if step not in document:
            raise _Failed
        rest = document - Set([step])
        return rest if last else rest | Set([_take(step, path, depth + 1)])
    raise _Failed


BUILTINS = table(
    Builtin("object.get", 3, get),
    Builtin("object.keys", 1, keys),
    Builtin("object.filter", 2, keep),
    Builtin("object.remove", 2, drop),
    Builtin("object.union", 2, union),
    Builtin("object.union_n", 1, union_all),
    Builtin("object.subset", 2, subset),
    Builtin("json.filter", 2, json_filter),
    Builtin("json.remove", 2, json_remove),
    Builtin("json.patch", 2, patch),
)
