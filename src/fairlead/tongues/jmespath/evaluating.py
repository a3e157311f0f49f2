"""Tree -> closures: each node becomes a function of the current value, made once.

What is missing stays apart from null until the whole expression is known (Kyverno tells an unknown key from a null). Values
are never changed, only read. A mapping that is not a plain dict is asked with `[]`, so that it may find its values when they
are first asked for.
Source: jmespath.org/specification.html and Kyverno's go-jmespath, interpreter.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fairlead.tongues.jmespath.kinds import BadExpression, Failed, Function, Missing, Moment, Step
from fairlead.tongues.jmespath.rendering import kind_of, to_json

_PLAIN = frozenset({str, int, float, bool, type(None)})
_MOST = 300_000
"""How many parts of two values are compared."""


def compile_tree(tree: Mapping[str, Any], functions: Mapping[str, Function]) -> Step:
    """Return the function for a tree of the parser. Raises BadExpression for a function that is unknown or called wrongly."""
    return _COMPILERS[tree["type"]](tree, functions)


def equal(left: Any, right: Any) -> bool:
    """Return whether two JSON values are equal; true is not 1, as it is to Python. Raises Failed where they are too large."""
    a, b = left.__class__, right.__class__
    if a is b and a in _PLAIN:
        return bool(left == right)
    return _equal(left, right, [_MOST])


def _equal(left: Any, right: Any, left_over: list[int]) -> bool:
    left_over[0] -= 1
    if left_over[0] < 0:
        raise Failed("the values are too large to be compared")
    if left is right:
        return True
    a, b = left.__class__, right.__class__
    if a is list and b is list:
        return len(left) == len(right) and all(
            _equal(one, other, left_over) for one, other in zip(left, right, strict=True)
        )
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_equal(left[key], right[key], left_over) for key in left)
    if a is not b and bool in {a, b}:
        return False
    return a in _PLAIN and b in _PLAIN and bool(left == right)


def is_false(value: Any) -> bool:
    """Return whether the value counts as false: null, false, and empty texts, lists and objects. 0 does not."""
    if isinstance(value, str | list | dict):
        return not value
    return value is None or value is False or value.__class__ is Missing


def _present(value: Any) -> Any:
    return None if value.__class__ is Missing else value


def _names(tree: Mapping[str, Any]) -> list[str] | None:
    """Return the keys of `a.b.c`, or None when the tree is something else."""
    if tree["type"] == "field":
        return [tree["value"]]
    if tree["type"] == "subexpression":
        found: list[str] = []
        for child in tree["children"]:
            names = _names(child)
            if names is None:
                return None
            found += names
        return found
    return None


def _field(tree: Mapping[str, Any], _: Mapping[str, Function]) -> Step:
    name = tree["value"]
    missing = Missing(name)

    def step(value: Any, _: Moment) -> Any:
        if value.__class__ is dict:
            return value.get(name, missing)
        if isinstance(value, dict):
            return value[name]
        return None

    return step


def _path(names: list[str]) -> Step:
    steps = tuple((name, Missing(name)) for name in names)

    def step(value: Any, _: Moment) -> Any:
        for name, missing in steps:
            if value.__class__ is dict:
                value = value.get(name, missing)
                if value is missing:
                    return missing
            elif isinstance(value, dict):
                value = value[name]
                if value.__class__ is Missing:
                    return value
            else:
                return None
        return value

    return step


def _subexpression(tree: Mapping[str, Any], functions: Mapping[str, Function]) -> Step:
    names = _names(tree)
    if names is not None:
        return _path(names)
    steps = [compile_tree(child, functions) for child in tree["children"]]
    if len(steps) == 2:
        first, second = steps

        def pair(value: Any, moment: Moment) -> Any:
            value = first(value, moment)
            if value is None or value.__class__ is Missing:
                return value
            return second(value, moment)

        return pair

    def step(value: Any, moment: Moment) -> Any:
        for one in steps:
            value = one(value, moment)
            if value is None or value.__class__ is Missing:
                return value
        return value

    return step


def _index(tree: Mapping[str, Any], _: Mapping[str, Function]) -> Step:
    at = tree["value"]

    def step(value: Any, _: Moment) -> Any:
        if value.__class__ is list and -len(value) <= at < len(value):
            return value[at]
        return None

    return step


def _slice(tree: Mapping[str, Any], _: Mapping[str, Function]) -> Step:
    start, stop, pace = tree["children"]
    if pace == 0:
        raise BadExpression("SyntaxError: a slice cannot have a step of 0")
    cut = slice(start, stop, pace)
    return lambda value, _: value[cut] if value.__class__ is list else None


def _comparator(tree: Mapping[str, Any], functions: Mapping[str, Function]) -> Step:
    left, right = (compile_tree(child, functions) for child in tree["children"])
    name = tree["value"]
    if name in {"eq", "ne"}:
        wanted = name == "eq"
        return lambda value, moment: (
            equal(_present(left(value, moment)), _present(right(value, moment))) is wanted
        )
    compare = _ORDER[name]

    def step(value: Any, moment: Moment) -> Any:
        a, b = left(value, moment), right(value, moment)
        if _is_number(a) and _is_number(b):
            return compare(a, b)
        return None

    return step


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and value.__class__ is not bool


_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "lt": lambda a, b: a < b,
    "lte": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "gte": lambda a, b: a >= b,
}


def _or(tree: Mapping[str, Any], functions: Mapping[str, Function]) -> Step:
    left, right = (compile_tree(child, functions) for child in tree["children"])

    def step(value: Any, moment: Moment) -> Any:
        found = left(value, moment)
        return _present(right(value, moment)) if is_false(found) else found

    return step


def _and(tree: Mapping[str, Any], functions: Mapping[str, Function]) -> Step:
    left, right = (compile_tree(child, functions) for child in tree["children"])

    def step(value: Any, moment: Moment) -> Any:
        found = left(value, moment)
        return _present(found) if is_false(found) else right(value, moment)

    return step


def _not(tree: Mapping[str, Any], functions: Mapping[str, Function]) -> Step:
    inner = compile_tree(tree["children"][0], functions)
    return lambda value, moment: is_false(inner(value, moment))


def _pipe(tree: Mapping[str, Any], functions: Mapping[str, Function]) -> Step:
    left, right = (compile_tree(child, functions) for child in tree["children"])
    return lambda value, moment: _present(right(_present(left(value, moment)), moment))


def _projection(tree: Mapping[str, Any], functions: Mapping[str, Function]) -> Step:
    left, right = (compile_tree(child, functions) for child in tree["children"])
    if tree["children"][1]["type"] == "identity":

        def plain(value: Any, moment: Moment) -> Any:
            items = left(value, moment)
            if items.__class__ is not list:
                return None
            moment.spend(len(items))
            return [item for item in items if item is not None]

        return plain

    def step(value: Any, moment: Moment) -> Any:
        items = left(value, moment)
        if items.__class__ is not list:
            return None
        moment.spend(len(items))
        found = [right(item, moment) for item in items]
        return [item for item in found if item is not None and item.__class__ is not Missing]

    return step


def _value_projection(tree: Mapping[str, Any], functions: Mapping[str, Function]) -> Step:
    left, right = (compile_tree(child, functions) for child in tree["children"])

    def step(value: Any, moment: Moment) -> Any:
        items = left(value, moment)
        if not isinstance(items, dict):
            return None
        moment.spend(len(items))
        found = [right(item, moment) for item in items.values()]
        return [item for item in found if item is not None and item.__class__ is not Missing]

    return step


def _filter_projection(tree: Mapping[str, Any], functions: Mapping[str, Function]) -> Step:
    left, right, wanted = (compile_tree(child, functions) for child in tree["children"])

    def step(value: Any, moment: Moment) -> Any:
        items = left(value, moment)
        if items.__class__ is not list:
            return None
        moment.spend(len(items))
        found = [right(item, moment) for item in items if not is_false(wanted(item, moment))]
        return [item for item in found if item is not None and item.__class__ is not Missing]

    return step


def _flatten(tree: Mapping[str, Any], functions: Mapping[str, Function]) -> Step:
    inner = compile_tree(tree["children"][0], functions)

    def step(value: Any, moment: Moment) -> Any:
        items = inner(value, moment)
        if items.__class__ is not list:
            return None
        moment.spend(len(items))
        flat: list[Any] = []
        for item in items:
            if item.__class__ is list:
                moment.spend(len(item))
                flat.extend(item)
            else:
                flat.append(item)
        return flat

    return step


def _multi_select_list(tree: Mapping[str, Any], functions: Mapping[str, Function]) -> Step:
    steps = [compile_tree(child, functions) for child in tree["children"]]
    return lambda value, moment: None if value is None else [_present(one(value, moment)) for one in steps]


def _multi_select_dict(tree: Mapping[str, Any], functions: Mapping[str, Function]) -> Step:
    steps = [(child["value"], compile_tree(child["children"][0], functions)) for child in tree["children"]]
    return lambda value, moment: (
        None if value is None else {name: _present(one(value, moment)) for name, one in steps}
    )


def _literal(tree: Mapping[str, Any], _: Mapping[str, Function]) -> Step:
    value = tree["value"]
    return lambda _value, _moment: value


def _current(_tree: Mapping[str, Any], _: Mapping[str, Function]) -> Step:
    return lambda value, _: value


def _expref(tree: Mapping[str, Any], functions: Mapping[str, Function]) -> Step:
    inner = compile_tree(tree["children"][0], functions)

    def step(_: Any, moment: Moment) -> Any:
        def run(value: Any) -> Any:
            moment.spend(1)
            return _present(inner(value, moment))

        return run

    return step


def _function(tree: Mapping[str, Any], functions: Mapping[str, Function]) -> Step:
    name = tree["value"]
    function = functions.get(name)
    if function is None:
        message = f"unknown function: {name}"

        def unknown(_value: Any, _moment: Moment) -> Any:
            raise Failed(message)

        return unknown
    steps = [compile_tree(child, functions) for child in tree["children"]]
    types = function.types
    if function.more and len(steps) > len(types):
        types += (types[-1],) * (len(steps) - len(types))
    if len(steps) != len(types):
        short = f"incorrect number of args for function {name}, expected {len(types)}, got {len(steps)}"

        def wrong(_value: Any, _moment: Moment) -> Any:
            raise Failed(short)

        return wrong
    call = function.call
    accepted = tuple(None if "any" in one else _accepting(one) for one in types)
    pairs = tuple(zip(steps, accepted, types, strict=True))

    def step(value: Any, moment: Moment) -> Any:
        arguments = []
        for one, accepts, wanted in pairs:
            argument = one(value, moment)
            if argument.__class__ is Missing:
                argument = None
            if accepts is not None and not accepts(argument):
                raise Failed(_mistyped(argument, wanted))
            arguments.append(argument)
        moment.spend(1)
        return call(moment, *arguments)

    return step


def _accepting(types: tuple[str, ...]) -> Callable[[Any], bool]:
    tests = [_TESTS[name] for name in types]
    if len(tests) == 1:
        return tests[0]
    return lambda value: any(test(value) for test in tests)


_TESTS: Mapping[str, Callable[[Any], bool]] = {
    "string": lambda value: value.__class__ is str,
    "number": _is_number,
    "array": lambda value: value.__class__ is list,
    "object": lambda value: isinstance(value, dict),
    "boolean": lambda value: value.__class__ is bool,
    "null": lambda value: value is None,
    "expref": callable,
    "array[string]": lambda value: value.__class__ is list and all(item.__class__ is str for item in value),
    "array[number]": lambda value: value.__class__ is list and all(map(_is_number, value)),
}


def _mistyped(value: Any, wanted: tuple[str, ...]) -> str:
    shown = "<nil>" if value is None else to_json(value) if kind_of(value) != "expref" else "&"
    names = ", ".join(f'"{name}"' for name in wanted)
    return f"invalid type for: {shown}, expected: []jmespath.JpType{{{names}}}"


_COMPILERS: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Function]], Step]] = {
    "field": _field,
    "subexpression": _subexpression,
    "index_expression": _subexpression,
    "index": _index,
    "slice": _slice,
    "comparator": _comparator,
    "or_expression": _or,
    "and_expression": _and,
    "not_expression": _not,
    "pipe": _pipe,
    "projection": _projection,
    "value_projection": _value_projection,
    "filter_projection": _filter_projection,
    "flatten": _flatten,
    "multi_select_list": _multi_select_list,
    "multi_select_dict": _multi_select_dict,
    "literal": _literal,
    "current": _current,
    "identity": _current,
    "expref": _expref,
    "function_expression": _function,
}
