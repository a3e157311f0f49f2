"""Go's own functions of templates: comparisons, index, slice, len, escaping; and Sprig's that look at types and emptiness.

Source: go.dev/pkg/text/template, github.com/Masterminds/sprig/v3.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping
from typing import Any, Final

from fairlead.tongues.gotemplate.kinds import (
    INTEGERS,
    UNSIGNED,
    FileMap,
    Function,
    GoError,
    NilList,
    NilMap,
    StringMap,
    Struct,
    Uint8,
    kind_name,
    octets,
    type_name,
)
from fairlead.tongues.gotemplate.printing import sprint, verbatim

_BAD = "invalid type for comparison"


def _kind(value: Any) -> str:
    """The kind that comparisons go by; "" for what is no plain value."""
    kind = type(value)
    if kind is str:
        return "string"
    if kind is bool:
        return "bool"
    if kind in INTEGERS:
        return "int"
    if kind is float:
        return "float"
    if kind in UNSIGNED:
        return "uint"
    return ""


def _nil(value: Any) -> bool:
    return value is None or type(value) in {NilMap, NilList}


def _equal(left: Any, right: Any) -> bool:
    first, second = _kind(left), _kind(right)
    if first != second:
        if {first, second} == {"int", "uint"}:
            return int(left) == int(right)
        if left is not None and right is not None:
            raise GoError(f"incompatible types for comparison: {type_name(left)} and {type_name(right)}")
        return False
    if first:
        return bool(left == right)
    if left is not None and right is not None and kind_name(left) != kind_name(right):
        raise GoError(
            f"non-comparable types {verbatim(left)}: {type_name(left)}, {type_name(right)}: {verbatim(right)}"
        )
    if _nil(left) or _nil(right):
        return _nil(left) == _nil(right)
    if isinstance(right, Struct):
        return left is right or (not right.pointer and left.fields == right.fields)
    raise GoError(f"non-comparable type {verbatim(right)}: {type_name(right)}")


def _eq(left: Any, *others: Any) -> bool:
    if not others:
        raise GoError("missing argument for comparison")
    return any(_equal(left, other) for other in others)


def _less(left: Any, right: Any) -> bool:
    first, second = _kind(left), _kind(right)
    if not first or not second:
        raise GoError(_BAD)
    if first != second:
        if {first, second} == {"int", "uint"}:
            return int(left) < int(right)
        raise GoError(f"incompatible types for comparison: {type_name(left)} and {type_name(right)}")
    if first == "bool":
        raise GoError(_BAD)
    if first == "string" and not (left.isascii() and right.isascii()):
        return octets(left) < octets(right)
    return bool(left < right)


def _less_or_equal(left: Any, right: Any) -> bool:
    return _less(left, right) or _equal(left, right)


def _place(index: Any, size: int) -> int:
    kind = type(index)
    if kind in INTEGERS or kind in UNSIGNED:
        if not 0 <= index <= size:
            raise GoError(f"index out of range: {int(index)}")
        return int(index)
    if index is None:
        raise GoError("cannot index slice/array with nil")
    raise GoError(f"cannot index slice/array with type {type_name(index)}")


def _index(item: Any, *indexes: Any) -> Any:
    if item is None:
        raise GoError("index of untyped nil")
    for index in indexes:
        if item is None:
            raise GoError("index of nil pointer")
        if isinstance(item, str | list | bytes):
            data: Any = octets(item) if isinstance(item, str) else item
            place = _place(index, len(data))
            if place == len(data):
                raise GoError(
                    "reflect: slice index out of range"
                    if not isinstance(item, str)
                    else "reflect: string index out of range"
                )
            item = Uint8(data[place]) if isinstance(data, bytes) else data[place]
        elif isinstance(item, dict):
            if type(index) is not str:
                if index is None:
                    raise GoError("value is nil; should be of type string")
                raise GoError(f"value has type {type_name(index)}; should be string")
            if isinstance(item, FileMap):
                item = item.get(index, b"")
            else:
                item = item.get(index, "") if type(item) is StringMap else item.get(index)
        else:
            raise GoError(f"can't index item of type {type_name(item)}")
    return item


def _len(item: Any) -> int:
    if isinstance(item, str):
        return len(item) if item.isascii() else len(octets(item))
    if isinstance(item, dict | list | bytes):
        return len(item)
    if item is None:
        raise GoError("len of nil pointer")
    raise GoError(f"len of type {type_name(item)}")


_HTML = str.maketrans({"\0": "\ufffd", '"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;"})
_JS = {
    "\\": "\\\\",
    "'": "\\'",
    '"': '\\"',
    "<": "\\u003C",
    ">": "\\u003E",
    "&": "\\u0026",
    "=": "\\u003D",
}
_JS_SPECIAL = re.compile(r"[\\'\"<>&=\x00-\x1f\x80-\U0010ffff]")


def _js_letter(match: re.Match[str]) -> str:
    letter = match.group()
    if letter in _JS:
        return _JS[letter]
    return letter if letter.isprintable() and ord(letter) >= 128 else f"\\u{ord(letter):04X}"


def _written(values: tuple[Any, ...]) -> str:
    if len(values) == 1 and type(values[0]) is str:
        return str(values[0])
    return sprint(["<no value>" if value is None else value for value in values])


def _query(*values: Any) -> str:
    return urllib.parse.quote_plus(octets(_written(values)), safe="-_.~")


def _js(*values: Any) -> str:
    return _JS_SPECIAL.sub(_js_letter, _written(values))


def _call(function: Any, *_: Any) -> Any:
    if function is None:
        raise GoError("call of nil")
    raise GoError(f"non-function of type {type_name(function)}")


def empty(value: Any) -> bool:
    """Return whether `default` takes its other value: nil, zero, false, nothing in it."""
    return not value


def _default(other: Any, *given: Any) -> Any:
    return given[0] if given and given[0] else other


def _coalesce(*values: Any) -> Any:
    return next((value for value in values if value), None)


def deep_equal(left: Any, right: Any) -> bool:
    """Return whether two values are alike and of one type, all the way down (reflect.DeepEqual)."""
    if type(left) is not type(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(deep_equal, left, right))
    if isinstance(left, dict):
        return len(left) == len(right) and all(
            key in right and deep_equal(value, right[key]) for key, value in left.items()
        )
    if isinstance(left, Struct):
        return (
            left.name == right.name
            and deep_equal(left.fields, right.fields)
            and bool(left.data == right.data)
        )
    return bool(left == right)


def _type_like(target: str, value: Any) -> bool:
    return type_name(value) in {target, f"*{target}"}


def _logic(*_: Any) -> Any:
    raise GoError("and, or are compiled")


COMPARING: Final[Mapping[str, Function]] = {
    "all": Function(lambda *values: all(values), "", "a"),
    "and": Function(_logic, "v", "v"),
    "any": Function(lambda *values: any(values), "", "a"),
    "call": Function(_call, "v", "v"),
    "coalesce": Function(_coalesce, "", "a"),
    "deepEqual": Function(deep_equal, "aa"),
    "default": Function(_default, "a", "a"),
    "empty": Function(empty, "a"),
    "eq": Function(_eq, "v", "v"),
    "ge": Function(lambda left, right: not _less(left, right), "vv"),
    "gt": Function(lambda left, right: not _less_or_equal(left, right), "vv"),
    "html": Function(lambda *values: _written(values).translate(_HTML), "", "a"),
    "index": Function(_index, "v", "v"),
    "js": Function(_js, "", "a"),
    "kindIs": Function(lambda target, value: kind_name(value) == target, "sa"),
    "kindOf": Function(kind_name, "a"),
    "le": Function(_less_or_equal, "vv"),
    "len": Function(_len, "v"),
    "lt": Function(_less, "vv"),
    "ne": Function(lambda left, right: not _equal(left, right), "vv"),
    "not": Function(lambda value: not value, "v"),
    "or": Function(_logic, "v", "v"),
    "ternary": Function(lambda first, second, which: first if which else second, "aab"),
    "typeIs": Function(lambda target, value: type_name(value) == target, "sa"),
    "typeIsLike": Function(_type_like, "sa"),
    "typeOf": Function(type_name, "a"),
    "urlquery": Function(_query, "", "a"),
}
"""The functions by name."""
