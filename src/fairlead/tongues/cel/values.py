"""The values of the language that JSON does not have, equality and order among all of them, and their way back to JSON.

Objects, lists, texts, whole numbers, floating point numbers and truth values are Python's own and are used in place, never
copied and never changed. Source: github.com/google/cel-spec, doc/langdef.md.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from fairlead.tongues.cel import types as t
from fairlead.tongues.cel.errors import Failed, no_key, no_overload
from fairlead.tongues.cel.types import Type

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
UINT_MAX: Final = 2**64 - 1


class Uint(int):
    """An unsigned number, 0 to 2^64-1. Equal to the int and the float of the same value, yet of another type."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{int(self)}u"

    __str__ = int.__repr__


class Timestamp:
    """A moment: `ns` nanoseconds since the epoch, between the years 1 and 9999."""

    __slots__ = ("ns",)

    def __init__(self, ns: int) -> None:
        self.ns = ns

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Timestamp) and self.ns == other.ns

    def __lt__(self, other: Timestamp) -> bool:
        return self.ns < other.ns

    def __hash__(self) -> int:
        return hash(self.ns)

    def __repr__(self) -> str:
        return f"Timestamp({self.ns})"


class Duration:
    """A span of `ns` nanoseconds, within 64 bits as in Go."""

    __slots__ = ("ns",)

    def __init__(self, ns: int) -> None:
        self.ns = ns

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Duration) and self.ns == other.ns

    def __lt__(self, other: Duration) -> bool:
        return self.ns < other.ns

    def __hash__(self) -> int:
        return hash(("duration", self.ns))

    def __repr__(self) -> str:
        return f"Duration({self.ns})"


class Optional:
    """A value that may be absent. Selecting from it, by name or index, gives another one."""

    __slots__ = ("present", "value")

    def __init__(self, value: Any = None, *, present: bool = True) -> None:
        self.value = value
        self.present = present

    def __getitem__(self, key: Any) -> Optional:
        return optional_index(self.value, key) if self.present else NONE

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Optional) or self.present != other.present:
            return False
        return not self.present or equal(self.value, other.value)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"optional.of({self.value!r})" if self.present else "optional.none()"


NONE: Final = Optional(present=False)


class Message:
    """A typed object that an expression built, such as `Object{...}`: its type's name and the fields that were given.

    `known` are the fields' default values where the type is known, which an absent field reads as.
    """

    __slots__ = ("fields", "known", "type_name")

    def __init__(
        self, type_name: str, fields: dict[str, Any], known: Mapping[str, Any] | None = None
    ) -> None:
        self.type_name = type_name
        self.fields = fields
        self.known = known

    def __getitem__(self, name: str) -> Any:
        if name in self.fields:
            return self.fields[name]
        if self.known is not None and name in self.known:
            return self.known[name]
        raise Failed(f"no such field '{name}'") if self.known is not None else no_key(name)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Message)
            and self.type_name == other.type_name
            and equal(self.fields, other.fields)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{self.type_name}{self.fields!r}"


class Lazy:
    """A binding that is evaluated on first use, once. It may raise Failed, which is then raised at each use.

    Any other exception passes through unremembered, so that what was lacking can be fetched and asked for again.
    """

    __slots__ = ("_failed", "_made", "_make", "_value")

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._made = False
        self._value: Any = None
        self._failed: Failed | None = None

    def __call__(self) -> Any:
        if not self._made:
            try:
                self._value = self._make()
            except Failed as error:
                self._failed = error
            self._made = True
        if self._failed is not None:
            raise self._failed
        return self._value


class Fields:
    """An object whose fields may be Lazy: `variables` of an admission policy. It can be selected from, and nothing else."""

    __slots__ = ("fields",)

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.fields = fields

    def __getitem__(self, name: str) -> Any:
        if name not in self.fields:
            raise no_key(name)
        value = self.fields[name]
        return value() if value.__class__ is Lazy else value

    def __iter__(self) -> Iterator[str]:
        raise no_overload()

    def __contains__(self, name: object) -> bool:
        return name in self.fields


TYPES: dict[type, Type] = {
    type(None): t.NULL,
    bool: t.BOOL,
    int: t.INT,
    Uint: t.UINT,
    float: t.DOUBLE,
    str: t.STRING,
    bytes: t.BYTES,
    list: t.LIST,
    tuple: t.LIST,
    dict: t.MAP,
    Fields: t.MAP,
    Timestamp: t.TIMESTAMP,
    Duration: t.DURATION,
    Optional: t.OPTIONAL,
    Type: t.TYPE,
}
"""What `type(x)` gives for each of Python's classes; an opaque class says it itself in its attribute `cel_type`."""


def type_of(value: Any) -> Type:
    """Return the run-time type of a value, without parameters."""
    found = TYPES.get(value.__class__)
    if found is not None:
        return found
    if isinstance(value, Message):
        return Type(value.type_name, (), "message")
    own = getattr(value, "cel_type", None)
    if isinstance(own, Type):
        return own
    for kind in type(value).__mro__:
        if kind in TYPES:
            return TYPES[kind]
    raise Failed(f"unsupported conversion to ref.Val: ({type(value).__name__})")


_SIMPLE = frozenset({str, int, float, Uint, bytes, type(None)})
_NUMBERS = frozenset({int, float, Uint})


def equal(left: Any, right: Any) -> bool:
    """Return whether two values are the same to the language: numbers across types, but never true and 1."""
    a, b = left.__class__, right.__class__
    if a in _SIMPLE and b in _SIMPLE:
        if a is not b and (a is float or b is float) and a in _NUMBERS and b in _NUMBERS:
            return float(left) == float(right)
        return bool(left == right)
    if a is bool or b is bool:
        return left is right if a is b else False
    if (a is list or a is dict) and a is b:
        return bool(left == right) and _deeply(left, right)
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        own = getattr(left, "cel_equal", None) or getattr(right, "cel_equal", None)
        if own is not None:
            return bool(own(right if own.__self__ is left else left))
        return len(left) == len(right) and all(equal(x, y) for x, y in zip(left, right, strict=True))
    return bool(left == right)


def _deeply(left: Any, right: Any) -> bool:
    """Look again at what Python takes for equal: true is not 1, and what is not a number equals nothing, itself included."""
    if left.__class__ is dict:
        for key, value in left.items():
            if key.__class__ is not str and not _same_key(right, key):
                return False
            if value.__class__ is not str and not _alike(value, right[key]):
                return False
        return True
    return all(map(_alike, left, right))


def _alike(left: Any, right: Any) -> bool:
    """Return whether two values are equal that Python takes for equal already: what they hold is not compared a second time."""
    kind = left.__class__
    if kind is str:
        return True
    if (kind is dict or kind is list) and right.__class__ is kind:
        return _deeply(left, right)
    return equal(left, right)


def _same_key(where: dict[Any, Any], key: Any) -> bool:
    if key not in (0, 1):
        return True
    return any(other == key and (other.__class__ is bool) == (key.__class__ is bool) for other in where)


class MixedMap(dict[Any, Any]):
    """A map that has both a truth value and the number that Python takes for the same among its keys."""

    __slots__ = ("_entries",)

    def __init__(self, entries: list[tuple[Any, Any]]) -> None:
        super().__init__()
        self._entries = entries

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Any]:
        return (key for key, _ in self._entries)

    def __contains__(self, key: object) -> bool:
        return any(equal(one, key) for one, _ in self._entries)

    def __getitem__(self, key: Any) -> Any:
        for one, value in self._entries:
            if equal(one, key):
                return value
        raise KeyError(key)

    def items(self) -> Any:
        """Return the entries."""
        return list(self._entries)

    def keys(self) -> Any:
        """Return the keys."""
        return [key for key, _ in self._entries]

    def values(self) -> Any:
        """Return the values."""
        return [value for _, value in self._entries]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, dict)
            and len(other) == len(self)
            and all(
                key in other and find(other, key)[0] and equal(value, find(other, key)[1])
                for key, value in self.items()
            )
        )

    __hash__ = None


def find(where: Any, key: Any) -> tuple[bool, Any]:
    """Return whether a map has a key, and what is there. Keys of numbers are found by any type of number."""
    if where.__class__ is Fields:
        return (True, where[key]) if key.__class__ is str and key in where else (False, None)
    kind = key.__class__
    if kind is str:
        return (True, where[key]) if key in where else (False, None)
    if kind is bool or (kind in _NUMBERS and (key in (0, 1))):  # Python takes true for 1
        for other, value in where.items():
            if other.__class__ is not str and equal(other, key):
                return True, value
        return False, None
    if kind not in _NUMBERS:
        raise Failed(f"unsupported key type: {type_of(key)}") if kind is not bytes else no_overload()
    return (True, where[key]) if key in where else (False, None)


def optional_index(where: Any, key: Any) -> Optional:
    """Return what is at a key, index or field, or nothing. Raises Failed where no selecting is possible."""
    if where.__class__ is dict and key.__class__ is str:  # what nearly all expressions ask
        return Optional(where[key]) if key in where else NONE
    if isinstance(where, Optional):
        return where[key]
    if isinstance(where, dict) or where.__class__ is Fields:
        found, value = find(where, key)
        return Optional(value) if found else NONE
    if isinstance(where, (list, tuple)):
        at = whole(key)
        return Optional(where[at]) if 0 <= at < len(where) else NONE
    if isinstance(where, Message):
        return Optional(where[key]) if holds(where, key) else NONE
    raise no_key(key) if isinstance(key, str) else no_overload()


def holds(where: Message, name: str) -> bool:
    """Return whether a message's field is set. Raises Failed when its type has no such field."""
    if where.known is not None and name not in where.known:
        raise Failed(f"no such field '{name}'")
    return name in where.fields


def whole(key: Any) -> int:
    """Return a number used as an index as an int. Raises Failed for anything that is no whole number."""
    kind = key.__class__
    if kind is int or kind is Uint:
        return int(key)
    if kind is float and key == key and abs(key) < INT_MAX and key.is_integer():  # noqa: PLR0124  not a number
        return int(key)
    raise (
        Failed(f"unsupported index type '{type_of(key)}' in list")
        if kind is not float
        else Failed(f"unsupported index value {key} in list")
    )


def to_json(value: Any) -> Any:
    """Return a value as JSON: bytes as base64, moments and spans as text, an absent optional as null, messages as objects.

    Raises Failed for what has no form in JSON.
    """
    kind = value.__class__
    if kind in (str, int, float, bool, type(None)):
        return value
    if kind is Uint:
        return int(value)
    if isinstance(value, dict):
        return {key if key.__class__ is str else _key(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if kind is bytes:
        return base64.b64encode(value).decode()
    if kind is Optional:
        return to_json(value.value) if value.present else None
    if kind is Message:
        return {name: to_json(item) for name, item in value.fields.items()}
    if kind is Type:
        return value.name
    if kind is Lazy:
        return to_json(value())
    if kind is Fields:
        return {name: to_json(value[name]) for name in value.fields}
    from fairlead.tongues.cel import times

    if kind is Timestamp:
        return times.write(value)
    if kind is Duration:
        return times.write_duration(value)
    own = getattr(value, "to_json", None)
    if own is not None:
        return own()
    raise Failed(f"type conversion error from '{type_of(value)}' to JSON")


def _key(key: Any) -> str:
    if key.__class__ is bool:
        return "true" if key else "false"
    return str(int(key)) if isinstance(key, int) else str(key)
