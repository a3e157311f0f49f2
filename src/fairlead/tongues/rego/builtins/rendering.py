"""What the functions of Go's text/template do, and how its values are shown, compared and told apart.

Data are plain JSON; a number of the data is a `Number`, a text of its own kind, as Go's json.Number is.
Source: Go's package text/template, funcs.go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fairlead.tongues.rego.values import number_text, sorted_items

from .encodings import query_escape
from .formats import sprintf
from .kinds import BuiltinError, encode

MISSING = object()
"""What a key that the data lack gives."""


class Number(str):
    """A number of the data: in Go a json.Number, which is a kind of string."""

    __slots__ = ()


def fail(message: str) -> BuiltinError:
    """Return the error of a template that cannot be read or rendered."""
    return BuiltinError(f"template: template: {message}")


def held(value: Any) -> Any:
    """Return a value of the data; its numbers are texts of their own kind."""
    return Number(number_text(value)) if type(value) in {int, float} else value


def truth(value: Any) -> bool:
    """Tell whether a value is neither missing nor empty."""
    if value is MISSING or value is None:
        return False
    return bool(value)


def kind_of(value: Any) -> str:
    """Return Go's name of a value's type."""
    if value is None or value is MISSING:
        return "nil"
    return {
        bool: "bool",
        int: "int",
        float: "float64",
        str: "string",
        Number: "json.Number",
        list: "[]interface {}",
        dict: "map[string]interface {}",
    }[type(value)]


def shown(value: Any) -> str:
    """Return a value as Go prints it in a template."""
    if value is MISSING:
        return "<undefined>"
    if value is None:
        return "<no value>"
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is float:
        return sprintf("%v", [value])
    if type(value) is list:
        return f"[{' '.join(_inner(element) for element in value)}]"
    if type(value) is dict:
        inside = " ".join(f"{name}:{_inner(element)}" for name, element in sorted_items(value))
        return f"map[{inside}]"
    return str(value)


def _inner(value: Any) -> str:
    if type(value) in {int, float}:
        return number_text(value)
    return "<nil>" if value is None else shown(value)


def _index(value: Any, *steps: Any) -> Any:
    found = value
    for step in steps:
        if type(found) is list and type(step) is int:
            if not 0 <= step < len(found):
                raise fail(f"error calling index: index out of range: {step}")
            found = found[step]
        elif type(found) is dict and isinstance(step, str):
            found = found.get(str(step), MISSING)
        elif type(found) is str and type(step) is int and 0 <= step < len(encode(found)):
            found = encode(found)[step]
        else:
            raise fail(f"error calling index: can't index item of type {kind_of(found)}")
    return found if type(value) is str else held(found)


def _slice(value: Any, *places: Any) -> Any:
    if type(value) not in {str, list} or len(places) > 3 or any(type(place) is not int for place in places):
        raise fail("error calling slice: can't slice item")
    whole = encode(value) if type(value) is str else value
    first, last = (places[0] if places else 0), (places[1] if len(places) > 1 else len(whole))
    if not 0 <= first <= last <= len(whole):
        raise fail("error calling slice: index out of range")
    return whole[first:last].decode(errors="replace") if type(value) is str else value[first:last]


def _length(value: Any) -> int:
    if type(value) in {list, dict}:
        return len(value)
    if isinstance(value, str):
        return len(encode(value))
    raise fail(f"error calling len: len of type {kind_of(value)}")


def _basic(one: Any, other: Any) -> tuple[Any, Any]:
    kinds = {kind_of(one), kind_of(other)}
    if kinds <= {"string", "json.Number"} or kinds in ({"int"}, {"float64"}, {"bool"}):
        return one, other
    raise fail("error calling eq: incompatible types for comparison")


def _equal(one: Any, *others: Any) -> bool:
    if not others:
        raise fail("error calling eq: missing argument for comparison")
    for other in others:
        if one is None or other is None or one is MISSING or other is MISSING:
            if one is other:
                return True
            continue
        left, right = _basic(one, other)
        if left == right:
            return True
    return False


def _less(one: Any, other: Any) -> bool:
    left, right = _basic(one, other)
    if type(left) is bool:
        raise fail("error calling lt: invalid type for comparison")
    return bool(left < right)


def _printed(*values: Any) -> str:
    out: list[str] = []
    for place, value in enumerate(values):
        if place and type(values[place - 1]) is not str and type(value) is not str:
            out.append(" ")
        out.append(shown(value))
    return "".join(out)


def _formatted(template: Any, *values: Any) -> str:
    if type(template) is not str:
        raise fail("error calling printf: wrong type for value; expected string")
    return sprintf(
        template, [value if type(value) in {str, int, float} else shown(value) for value in values]
    )


_HTML = {"\0": "\ufffd", '"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;"}
_SCRIPT = {
    "\\": "\\\\",
    "'": "\\'",
    '"': '\\"',
    "<": "\\u003C",
    ">": "\\u003E",
    "&": "\\u0026",
    "=": "\\u003D",
}


def _html(*values: Any) -> str:
    return "".join(_HTML.get(sign, sign) for sign in _printed(*values))


def _script(*values: Any) -> str:
    return "".join(
        _SCRIPT.get(sign) or (sign if sign.isprintable() else f"\\u{ord(sign):04X}")
        for sign in _printed(*values)
    )


def _query(*values: Any) -> str:
    return query_escape(_printed(*values))


def _refused(*_: Any) -> Any:
    raise fail("call is not supported: the data hold no functions")


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "and": _refused,
    "or": _refused,
    "not": lambda value: not truth(value),
    "len": _length,
    "index": _index,
    "slice": _slice,
    "print": _printed,
    "println": lambda *values: " ".join(map(shown, values)) + "\n",
    "printf": _formatted,
    "html": _html,
    "js": _script,
    "urlquery": _query,
    "call": _refused,
    "eq": _equal,
    "ne": lambda one, other: not _equal(one, other),
    "lt": _less,
    "le": lambda one, other: _less(one, other) or _equal(one, other),
    "gt": lambda one, other: not (_less(one, other) or _equal(one, other)),
    "ge": lambda one, other: not _less(one, other),
}
"""The functions by name; `and` and `or` are the template's own, as they stop early."""
