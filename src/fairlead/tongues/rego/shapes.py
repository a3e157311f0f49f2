"""Static types of Rego terms: which there are, which two may share a value, what is inside them, how they are written.

A type is None where nothing is known of it (whatever asks must then find no fault). Types are as OPA's checker has them, and
are written as it writes them. Must never know of syntax.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

MOST_PARTS: Final = 400
"""A type with more parts than this is taken for any."""


@dataclass(frozen=True, slots=True)
class Plain:
    """null, boolean, number or string."""

    name: str
    rank: int


@dataclass(frozen=True, slots=True)
class ArrayOf:
    """An array: the types of its first elements, and of all further ones if there may be any."""

    static: tuple[Shape, ...]
    dynamic: Shape | None
    size: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class ObjectOf:
    """An object: known keys (as JSON text) with the values' types; types of further keys and values."""

    static: tuple[tuple[str, Shape], ...]
    dynamic: tuple[Shape, Shape] | None
    size: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class SetOf:
    """A set of one type of elements."""

    of: Shape
    size: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of several types, in order; anything at all where there are none."""

    of: tuple[Shape, ...]
    size: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class FunctionOf:
    """A function; `names` are the arguments' and the result's, where they have some."""

    args: tuple[Shape, ...]
    result: Shape | None
    names: tuple[str, ...] = field(default=(), compare=False)


Shape: TypeAlias = Plain | ArrayOf | ObjectOf | SetOf | AnyOf

NULL: Final = Plain("null", 0)
BOOLEAN: Final = Plain("boolean", 1)
NUMBER: Final = Plain("number", 2)
STRING: Final = Plain("string", 3)
ANY: Final = AnyOf(())

_RANKS: Final[dict[type, int]] = {ArrayOf: 4, ObjectOf: 5, SetOf: 6, AnyOf: 7}


def _size(*shapes: Shape | None) -> int:
    return 1 + sum(getattr(shape, "size", 0) + 1 for shape in shapes if shape is not None)


def array_of(static: Sequence[Shape | None] = (), dynamic: Shape | None = None) -> Shape:
    """Return an array's type."""
    known = tuple([ANY if shape is None else shape for shape in static])
    size = _size(*known, dynamic)
    return ANY if size > MOST_PARTS else ArrayOf(known, dynamic, size)


def object_of(
    static: Iterable[tuple[str, Shape | None]], dynamic: tuple[Shape, Shape] | None = None
) -> Shape:
    """Return an object's type; keys are JSON texts."""
    known = tuple(
        sorted([(key, ANY if shape is None else shape) for key, shape in static], key=lambda one: one[0])
    )
    size = _size(*[shape for _, shape in known], *(dynamic or ()))
    return ANY if size > MOST_PARTS else ObjectOf(known, dynamic, size)


def set_of(of: Shape | None) -> Shape:
    """Return a set's type."""
    inner = ANY if of is None else of
    return SetOf(inner, _size(inner))


def any_of(*shapes: Shape | None) -> Shape:
    """Return the type of what has one of several types; unknown ones make it anything."""
    found: set[Shape] = set()
    for shape in shapes:
        if shape is None or shape == ANY:
            return ANY
        found.update(shape.of if isinstance(shape, AnyOf) else (shape,))
    if len(found) == 1:
        return found.pop()
    ordered = tuple(sorted(found, key=functools.cmp_to_key(_compare)))
    size = _size(*ordered)
    return ANY if size > MOST_PARTS else AnyOf(ordered, size)


def joined(left: Shape | None, right: Shape | None) -> Shape | None:
    """Return the union of two types, of which either may be none at all."""
    if left is None or right is None:
        return left or right
    return any_of(left, right)


def _rank(shape: Shape) -> int:
    return shape.rank if isinstance(shape, Plain) else _RANKS[type(shape)]


def _order(shape: Shape | None) -> tuple[Any, ...]:
    """Return what types are sorted by."""
    match shape:
        case None:
            return (-1,)
        case Plain():
            return (shape.rank,)
        case ArrayOf():
            return (4, _order(shape.dynamic), tuple(map(_order, shape.static)))
        case ObjectOf():
            dynamic = tuple(map(_order, shape.dynamic)) if shape.dynamic is not None else ()
            return (5, dynamic, tuple((key, _order(value)) for key, value in shape.static))
        case SetOf():
            return (6, _order(shape.of))
        case AnyOf():
            return (7, tuple(map(_order, shape.of)))


def _compare(left: Shape, right: Shape) -> int:
    a, b = _rank(left), _rank(right)
    if a != b or a < _RANKS[ArrayOf]:
        return a - b
    mine, theirs = _order(left), _order(right)
    return (mine > theirs) - (mine < theirs)


def type_of(value: Any) -> Shape:
    """Return the type of a constant key."""
    match value:
        case None:
            return NULL
        case bool():
            return BOOLEAN
        case int() | float():
            return NUMBER
        case str():
            return STRING
        case _:
            return ANY


def key_of(value: Any) -> str:
    """Return a constant's text among an object's known keys."""
    if type(value) is float and value.is_integer():
        return str(int(value))
    return json.dumps(value)


def select(shape: Shape | None, value: Any) -> Shape | None:
    """Return the type of what is under a constant key; None where there can be nothing."""
    match shape:
        case ArrayOf():
            if type(value) is not int or value < 0:
                return None
            return shape.static[value] if value < len(shape.static) else shape.dynamic
        case ObjectOf():
            wanted = key_of(value)
            for name, inner in shape.static:
                if name == wanted:
                    return inner
            if shape.dynamic is not None and _holds(shape.dynamic[0], type_of(value)):
                return shape.dynamic[1]
            return None
        case SetOf():
            kind = type_of(value)
            return kind if _holds(shape.of, kind) else None
        case AnyOf(of=()):
            return ANY
        case AnyOf():
            found: Shape | None = None
            for one in shape.of:
                found = joined(found, select(one, value))
            return found
        case _:
            return None


def _holds(shape: Shape, other: Shape) -> bool:
    if isinstance(shape, AnyOf):
        return not shape.of or other == ANY or other in shape.of
    return other in {shape, ANY}


def keys(shape: Shape | None) -> Shape | None:
    """Return the type of a collection's keys; None for what is no collection."""
    match shape:
        case ArrayOf():
            return NUMBER
        case ObjectOf():
            found: Shape | None = None
            for name, _ in shape.static:
                found = joined(found, type_of(json.loads(name)))
            return joined(found, shape.dynamic[0]) if shape.dynamic is not None else found
        case SetOf():
            return shape.of
        case AnyOf(of=()):
            return ANY
        case AnyOf():
            return functools.reduce(joined, map(keys, shape.of))
        case _:
            return None


def values(shape: Shape | None) -> Shape | None:
    """Return the type of a collection's values; None for what has none."""
    match shape:
        case ArrayOf():
            return functools.reduce(joined, shape.static, shape.dynamic)
        case ObjectOf():
            found = shape.dynamic[1] if shape.dynamic is not None else None
            return functools.reduce(joined, [inner for _, inner in shape.static], found)
        case SetOf():
            return shape.of
        case AnyOf(of=()):
            return ANY
        case AnyOf():
            return functools.reduce(joined, map(values, shape.of))
        case _:
            return None


def unifies(left: Shape | None, right: Shape | None) -> bool:
    """Say whether some value may have both types. None on a side: nothing can be there."""
    if left is None or right is None:
        return False
    if left is right:
        return True
    if isinstance(left, AnyOf) or isinstance(right, AnyOf):
        return _unifies_any(left, right) or _unifies_any(right, left)
    match left, right:
        case Plain(), Plain():
            return left == right
        case ArrayOf(), ArrayOf():
            if not all(unifies(inner, select(right, place)) for place, inner in enumerate(left.static)):
                return False
            if not all(unifies(inner, select(left, place)) for place, inner in enumerate(right.static)):
                return False
            return left.dynamic is None or right.dynamic is None or unifies(left.dynamic, right.dynamic)
        case ObjectOf(), ObjectOf():
            for one, other in ((left, right), (right, left)):
                if not all(unifies(inner, select(other, json.loads(name))) for name, inner in one.static):
                    return False
            return left.dynamic is None or right.dynamic is None or unifies(left.dynamic[1], right.dynamic[1])
        case SetOf(), SetOf():
            return unifies(left.of, right.of)
        case _:
            return False


def _unifies_any(left: Shape, right: Shape) -> bool:
    return isinstance(left, AnyOf) and (not left.of or any(unifies(one, right) for one in left.of))


def merged(left: Shape | None, right: Shape | None) -> Shape | None:
    """Return the type of a document of which one definition has a type and another has another."""
    if left is None or right is None:
        return left or right
    if isinstance(left, ObjectOf) and isinstance(right, ObjectOf) and not left.static and not right.static:
        if left.dynamic is None or right.dynamic is None:
            return left if right.dynamic is None else right
        (key, value), (other_key, other_value) = left.dynamic, right.dynamic
        return object_of((), (any_of(key, other_key), merged(value, other_value) or ANY))
    if isinstance(left, SetOf) and isinstance(right, SetOf):
        return set_of(any_of(left.of, right.of))
    return any_of(left, right)


def merged_functions(left: FunctionOf, right: FunctionOf) -> FunctionOf:
    """Return the type of a function that is defined twice, with as many arguments."""
    args = tuple([any_of(one, other) for one, other in zip(left.args, right.args, strict=True)])
    return FunctionOf(args, any_of(left.result, right.result))


def written(shape: Shape | None) -> str:
    """Return a type as OPA writes it; "???" for none."""
    match shape:
        case None:
            return "???"
        case Plain():
            return shape.name
        case ArrayOf():
            static = f"<{', '.join(map(written, shape.static))}>" if shape.static else ""
            return (
                f"array{static}[{written(shape.dynamic)}]" if shape.dynamic is not None else f"array{static}"
            )
        case ObjectOf():
            known = [f"{_plain(name)}: {written(inner)}" for name, inner in shape.static]
            static = f"<{', '.join(known)}>" if known else ""
            if shape.dynamic is None:
                return f"object{static}"
            return f"object{static}[{written(shape.dynamic[0])}: {written(shape.dynamic[1])}]"
        case SetOf():
            return f"set[{written(shape.of)}]"
        case AnyOf():
            return f"any<{', '.join(map(written, shape.of))}>" if shape.of else "any"


def _plain(name: str) -> str:
    value = json.loads(name)
    return value if type(value) is str else name


def signature(function: FunctionOf) -> str:
    """Return a function's arguments and its result as OPA writes them in an error."""
    shapes: list[Shape] = [*function.args, *([function.result] if function.result is not None else [])]
    names = function.names or ("",) * len(shapes)
    shown = [
        f"{name}: {written(one)}" if name else written(one) for name, one in zip(names, shapes, strict=True)
    ]
    return f"({', '.join(shown)})"
