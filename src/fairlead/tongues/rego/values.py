"""Rego's values: what stands for what, which two are one, and which comes first.

| Rego | Python |
| --- | --- |
| null, boolean, string | None, bool, str |
| number | int of any size, float (never NaN or infinite) |
| array | list |
| object | dict; a string key is the str itself, any other key is wrapped: `Boxed(value)` |
| set | Set |
| undefined | UNDEFINED (only ever a result, never inside a value) |

Raw JSON (input, data) therefore is a value as it stands: it is used in place, never copied and never changed. Whoever makes a value
may fill it while it is his own; after it was handed on, nobody changes it (Set and Boxed remember their hashes).

Python says `True == 1`; Rego does not. So `==`, `in`, `dict` and `set` over raw values are wrong, and these are right:

* `equal(a, b)`: Rego's equality (`1 == 1.0`, `True != 1`, deep).
* `key(value)`: a hashable Python value; `key(a) == key(b)` exactly when `equal(a, b)`.
* `order(value)`: a Python value to sort by: null < booleans < numbers < strings < arrays < objects < sets; `compare(a, b)` is -1, 0, 1.
* `box(value)` / `unbox(dict_key)`: a Rego object key to a dict's key and back. `lookup(object, value)` finds by any Rego key.
* `Set(values)`: `value in s`, `s.add(value)`, `|`, `&`, `-`, iteration in order of insertion, `s.sorted()` in Rego's order.
* `sorted_items(object)`: (key, value) pairs, unboxed, in Rego's order of keys.
* `type_name(value)`: "null", "boolean", "number", "string", "array", "object", "set".
* `to_json(value)`: plain JSON; sets become sorted arrays, keys that are no strings become their JSON text.
* `show(value)`: the text that OPA prints for a term: `{"a": [1, 2]}`, `{1, 2}`, `set()`.

This module must never import anything of Rego's syntax or evaluation.
"""

from __future__ import annotations

import decimal
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from .errors import Failed, TooLarge

Value = Any
"""A Rego value as the table above says."""


class Undefined:
    """The type of UNDEFINED: no value at all, false in a condition."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNDEFINED"

    def __bool__(self) -> bool:
        return False


UNDEFINED: Final = Undefined()


class _Mark:
    """A private key that no value's key equals."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


_TRUE: Final = _Mark("true")
_FALSE: Final = _Mark("false")
_OBJECT: Final = _Mark("object")
_LONE: Final = re.compile("[\ud800-\udfff]")
_LONG_BITS: Final = 14000
_NUMBERS: Final = frozenset({int, float})


MOST_PARTS: Final = 4_000_000
"""How many parts a value may have where all of them must be looked at, each counted as often as it occurs."""


class _Count:
    """How many parts may still be looked at."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MOST_PARTS

    def take(self, parts: int) -> None:
        """Count parts; raises TooLarge when there are too many."""
        self.left -= parts + 1
        if self.left < 0:
            raise TooLarge(MOST_PARTS)


def key(value: Value) -> Any:
    """Return a hashable value that equals another's exactly when the two Rego values are equal. Raises TooLarge."""
    kind = type(value)
    if kind is str or kind is int or kind is float or value is None:
        return value
    if kind is bool:
        return _TRUE if value else _FALSE
    return _key(value, _Count())


def _key(value: Value, count: _Count) -> Any:
    kind = type(value)
    if kind is str or kind is int or kind is float or value is None:
        return value
    if kind is bool:
        return _TRUE if value else _FALSE
    if kind is list:
        count.take(len(value))
        return tuple([_key(item, count) for item in value])
    if kind is dict:
        count.take(len(value))
        return (_OBJECT, frozenset([(name, _key(item, count)) for name, item in value.items()]))
    if kind is Set:
        count.take(len(value.items))
        return value.key()
    raise TypeError(f"not a Rego value: {kind.__name__}")


MOST_LOOSE: Final = 64
"""How many elements a set may have in which equal ones are not yet found."""


def loose_key(value: Value) -> Any:
    """Return the key of a scalar, and for what has parts one that only the same object has; keep the object as long."""
    return (id(value),) if type(value) in _HOLDERS else key(value)


class Boxed:
    """An object's key that is no string: `.value` is the Rego value. Equal and hashed by Rego's equality."""

    __slots__ = ("_hash", "_key", "value")

    def __init__(self, value: Value) -> None:
        self.value = value
        self._key = key(value)
        self._hash = hash((Boxed, self._key))

    def __eq__(self, other: object) -> bool:
        return type(other) is Boxed and self._key == other._key

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"Boxed({self.value!r})"


def box(value: Value) -> str | Boxed:
    """Return the dict key under which an object holds a Rego key."""
    return value if type(value) is str else Boxed(value)


def unbox(name: Any) -> Value:
    """Return the Rego key that a dict's key stands for."""
    return name.value if type(name) is Boxed else name


def lookup(container: dict[Any, Value], name: Value) -> Value:
    """Return an object's value under any Rego key, or UNDEFINED."""
    return container.get(name if type(name) is str else Boxed(name), UNDEFINED)


class Set:
    """A Rego set. `.items` maps each element's `key` to the element; fill it only before it is handed on.

    A set may be `loose`: arrays, objects and sets in it are told apart by identity until somebody asks what only keys can say.
    """

    __slots__ = ("_items", "_key", "_loose", "_sorted")

    def __init__(self, values: Iterable[Value] = ()) -> None:
        self._items: dict[Any, Value] | None = {key(value): value for value in values}
        self._loose: dict[Any, Value] | None = None
        self._key: frozenset[Any] | None = None
        self._sorted: list[Value] | None = None

    @classmethod
    def of(cls, items: dict[Any, Value]) -> Set:
        """Return a set over a dict from `key(element)` to element; the dict is taken over, not copied."""
        made = cls()
        made._items = items
        return made

    @classmethod
    def loose(cls, items: dict[Any, Value]) -> Set:
        """Return a set over a dict from `loose_key(element)` to element; the dict is taken over, not copied."""
        made = cls()
        made._items = items
        if tuple in map(type, items):
            if len(items) > MOST_LOOSE:
                made._items = {key(value): value for value in items.values()}
            else:
                made._items, made._loose = None, items
        return made

    @property
    def items(self) -> dict[Any, Value]:
        """The elements by their keys."""
        if self._items is None:
            assert self._loose is not None
            self._items = {key(value): value for value in self._loose.values()}
        return self._items

    def some(self) -> Iterable[Value]:
        """Return the elements in any order, perhaps some of them twice: for those who gather what has no order itself."""
        return self.items.values() if self._items is not None or self._loose is None else self._loose.values()

    def add(self, value: Value) -> None:
        """Put a value in; only while the set is still its maker's own."""
        self.items[key(value)] = value

    def key(self) -> frozenset[Any]:
        """Return the set's own `key`: the frozen set of its elements' keys."""
        if self._key is None:
            self._key = frozenset(self.items)
        return self._key

    def sorted(self) -> list[Value]:
        """Return the elements in Rego's order; do not change the list."""
        if self._sorted is None:
            self._sorted = in_order(self.items.values())
        return self._sorted

    def __contains__(self, value: Value) -> bool:
        return key(value) in self.items

    def __iter__(self) -> Iterator[Value]:
        return iter(self.items.values())

    def __len__(self) -> int:
        return len(self.items)

    def __eq__(self, other: object) -> bool:
        return type(other) is Set and self.items.keys() == other.items.keys()

    def __hash__(self) -> int:
        return hash(self.key())

    def __or__(self, other: Set) -> Set:
        return Set.of({**self.items, **other.items})

    def __and__(self, other: Set) -> Set:
        theirs = other.items
        return Set.of({name: value for name, value in self.items.items() if name in theirs})

    def __sub__(self, other: Set) -> Set:
        theirs = other.items
        return Set.of({name: value for name, value in self.items.items() if name not in theirs})

    def __repr__(self) -> str:
        return f"Set({list(self.items.values())!r})"


_HOLDERS: Final = frozenset({list, dict, Set})


def equal(one: Value, other: Value) -> bool:
    """Say whether two Rego values are equal; `True` is not 1, `1` is `1.0`."""
    kind = type(one)
    if kind is str:
        return type(other) is str and bool(one == other)
    if one is None or kind is bool:
        return one is other
    if kind is int or kind is float:
        return type(other) is not bool and bool(one == other)
    return one is other or (type(other) is kind and _equal(one, other, _Count()))


def _equal(one: Value, other: Value, count: _Count) -> bool:
    kind = type(one)
    if kind is not type(other):
        return kind in _NUMBERS and type(other) in _NUMBERS and bool(one == other)
    if kind is list:
        if len(one) != len(other):
            return False
        count.take(len(one))
        return all(_equal(left, right, count) for left, right in zip(one, other, strict=True))
    if kind is dict:
        if len(one) != len(other):
            return False
        count.take(len(one))
        return all(name in other and _equal(item, other[name], count) for name, item in one.items())
    return bool(one == other)


def order(value: Value) -> tuple[Any, ...]:
    """Return what values are sorted by: a tuple that Python orders as Rego orders the values. Raises TooLarge."""
    return _order(value, _Count())


def _order(value: Value, count: _Count) -> tuple[Any, ...]:
    kind = type(value)
    if kind is str:
        return (3, value)
    if kind is int or kind is float:
        return (2, value)
    if value is None:
        return (0,)
    if kind is bool:
        return (1, value)
    count.take(len(value))
    if kind is list:
        return (4, tuple([_order(item, count) for item in value]))
    if kind is dict:
        pairs = [(_order(unbox(name), count), _order(item, count)) for name, item in value.items()]
        return (5, tuple(sorted(pairs)))
    if kind is Set:
        return (6, tuple(sorted([_order(item, count) for item in value])))
    raise TypeError(f"not a Rego value: {kind.__name__}")


def compare(one: Value, other: Value) -> int:
    """Return -1, 0 or 1 as the first value sorts before, with or after the second."""
    left, right = order(one), order(other)
    return (left > right) - (left < right)


def in_order(values: Iterable[Value]) -> list[Value]:
    """Return the values as a list in Rego's order."""
    listed = list(values)
    kinds = set(map(type, listed))
    if kinds <= {str} or kinds <= {int, float}:
        return sorted(listed)
    return sorted(listed, key=order)


def sorted_items(container: dict[Any, Value]) -> list[tuple[Value, Value]]:
    """Return an object's (key, value) pairs, unboxed, in Rego's order of keys."""
    if all(type(name) is str for name in container):
        return sorted(container.items(), key=_first)
    return sorted(((unbox(name), item) for name, item in container.items()), key=lambda pair: order(pair[0]))


def _first(pair: tuple[Value, Value]) -> Value:
    return pair[0]


_NAMES: Final = {
    type(None): "null",
    bool: "boolean",
    int: "number",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    Set: "set",
}


def type_name(value: Value) -> str:
    """Return Rego's name of a value's type."""
    return _NAMES[type(value)]


def number(value: float) -> int | float:
    """Return a number as Rego keeps results of arithmetic: an int where the fraction is nothing."""
    if type(value) is float and value.is_integer() and abs(value) < 1e21:
        return int(value)
    return value


def number_text(value: float) -> str:
    """Return a number as OPA and Go's JSON write it."""
    if type(value) is int:
        # Python refuses to write very long integers by str; Decimal knows no such limit.
        return str(value) if value.bit_length() < _LONG_BITS else str(decimal.Decimal(value))
    if value == 0:
        return "0"
    size = abs(value)
    if size < 1e-6 or size >= 1e21:
        digits, _, power = repr(value).partition("e")
        if not power:
            digits, power = _scientific(value)
        exponent = int(power)
        return (
            f"{digits.removesuffix('.0')}e{exponent:+03d}"
            if abs(exponent) >= 10
            else f"{digits}e{exponent:+d}"
        )
    if value.is_integer():
        return str(int(value))
    text = repr(value)
    return f"{decimal.Decimal(text):f}" if "e" in text else text


def _scientific(value: float) -> tuple[str, str]:
    digits, _, power = f"{value:.16e}".partition("e")
    return digits.rstrip("0").rstrip("."), power


def quote(text: str) -> str:
    """Return a string as JSON text; only what JSON must escape is escaped."""
    return json.dumps(text, ensure_ascii=False)


def show(value: Value) -> str:
    """Return the text that OPA prints for a value. Raises TooLarge."""
    return _show(value, _Count())


def _show(value: Value, count: _Count) -> str:
    kind = type(value)
    if kind is str:
        return quote(value)
    if value is None:
        return "null"
    if kind is bool:
        return "true" if value else "false"
    if kind is int or kind is float:
        return number_text(value)
    if kind is list:
        count.take(len(value))
        return f"[{', '.join([_show(item, count) for item in value])}]"
    if kind is dict:
        count.take(len(value))
        pairs = [f"{_show(name, count)}: {_show(item, count)}" for name, item in sorted_items(value)]
        return f"{{{', '.join(pairs)}}}"
    if kind is Set:
        count.take(len(value))
        return f"{{{', '.join([_show(item, count) for item in value.sorted()])}}}" if value.items else "set()"
    return str(value)


def to_json(value: Value) -> Any:
    """Return a value as plain JSON: sets as sorted arrays, keys that are no strings as their JSON text. Raises TooLarge."""
    try:
        return _to_json(value, _Count())
    except RecursionError:
        raise Failed("eval_internal_error", "a value is nested too deeply") from None


def _to_json(value: Value, count: _Count) -> Any:
    kind = type(value)
    if kind is list:
        count.take(len(value))
        return [_to_json(item, count) for item in value]
    if kind is dict:
        count.take(len(value))
        return {
            _to_json(name, count) if type(name) is str else json_text(name.value): _to_json(item, count)
            for name, item in value.items()
        }
    if kind is Set:
        count.take(len(value))
        return [_to_json(item, count) for item in value.sorted()]
    if kind is str and not value.isascii():
        return _LONE.sub("\ufffd", value)  # bytes that were no UTF-8 live on in Rego, but not in JSON
    return value


def json_text(value: Value) -> str:
    """Return compact JSON text as OPA writes it: keys sorted, sets as arrays. Raises TooLarge."""
    return _json_text(value, _Count())


def _json_text(value: Value, count: _Count) -> str:
    kind = type(value)
    if kind is str:
        return quote(value)
    if kind is list or kind is Set:
        count.take(len(value))
        items = value if kind is list else value.sorted()
        return f"[{','.join([_json_text(item, count) for item in items])}]"
    if kind is dict:
        count.take(len(value))
        named = [(name if type(name) is str else json_text(name.value), item) for name, item in value.items()]
        named.sort(key=_first)
        return f"{{{','.join([f'{quote(name)}:{_json_text(item, count)}' for name, item in named])}}}"
    return show(value)


def from_plain(value: Any) -> Value:
    """Return a Python value made of tuples, sets and mappings with any keys as a Rego value (for tests and callers)."""
    if isinstance(value, dict):
        return {box(from_plain(name)): from_plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [from_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return Set(from_plain(item) for item in value)
    return value
