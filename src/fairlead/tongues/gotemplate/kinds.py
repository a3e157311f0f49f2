"""Go's types as Python has them here: what each value is called, whether it counts as true, and what it is printed as a key.

A text is str (bytes that are no UTF-8 as surrogates), a list `[]interface {}`, a dict `map[string]interface {}`, an int Go's `int`, a
float `float64`; the classes below are the other types that templates can meet. None is nil. Must never copy a value: templates share
and change them as Go's do. Source: go.dev/ref/spec and the functions' signatures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final


class GoError(Exception):
    """What a function of a template returns as its error; the message is Go's."""


class Int64(int):
    """Go's int64: what arithmetic gives."""

    __slots__ = ()


class Int32(int):
    """Go's int32: a letter of a text."""

    __slots__ = ()


class Uint64(int):
    """Go's uint64."""

    __slots__ = ()


class Uint8(int):
    """Go's uint8: one byte of a text."""

    __slots__ = ()


class Duration(int):
    """Go's time.Duration, in nanoseconds."""

    __slots__ = ()


class Strings(list[Any]):
    """Go's []string."""

    __slots__ = ()


class Ints(list[Any]):
    """Go's []int."""

    __slots__ = ()


class StringMap(dict[str, Any]):
    """Go's map[string]string: a key that is not there gives an empty text."""

    __slots__ = ()


class Named(dict[str, Any]):
    """A map with a name of its own: the values of a chart."""

    __slots__ = ()


class NilMap(dict[str, Any]):
    """A map that was never made: empty, equal to nil, and nothing can be set in it."""

    __slots__ = ()


class NilList(list[Any]):
    """A list that was never made: empty, and null where it is encoded."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Function:
    """Something that a template can call.

    `params` names the type of each parameter by a letter (see LETTERS) and `rest` the type of further ones ("" for none). `run` gets
    the arguments, and before them the state of the execution if `state` is set.
    """

    run: Callable[..., Any]
    params: str = ""
    rest: str = ""
    state: bool = False


LETTERS: Final[Mapping[str, str]] = {
    "a": "interface {}",
    "v": "reflect.Value",
    "s": "string",
    "i": "int",
    "I": "int64",
    "b": "bool",
    "f": "float64",
    "m": "map[string]interface {}",
    "l": "[]interface {}",
    "k": "sprig.certificate",
    "t": "time.Time",
    "d": "time.Duration",
    "z": "map[string]string",
    "S": "[]string",
    "B": "[]uint8",
    "V": "*semver.Version",
}
"""The types of parameters."""


@dataclass(slots=True, eq=False)
class Struct:
    """A Go struct, or a pointer to one: fields by name, and methods, which win over fields."""

    name: str
    fields: dict[str, Any] = field(default_factory=dict)
    methods: Mapping[str, Function] = field(default_factory=dict)
    pointer: bool = False
    text: Callable[[], str] | None = None
    """What it is printed as, where its type has a String method."""
    addressed: Callable[[], str] | None = None
    """The same, where only a pointer to it has that method, so that functions print its fields."""
    data: Any = None
    """What the methods work on."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Fields' names in JSON, where they differ."""
    omitted: frozenset[str] = frozenset()
    """Fields that JSON leaves out when they are empty."""


class FileMap(dict[str, bytes]):
    """Go's engine.files: contents by path, with methods."""

    __slots__ = ("methods",)
    methods: Mapping[str, Function]


class VersionSet(list[Any]):
    """Go's chartutil.VersionSet: what a cluster serves, with the method Has."""

    __slots__ = ("methods",)
    methods: Mapping[str, Function]


_NAMES: Final[Mapping[type, tuple[str, str]]] = {
    str: ("string", "string"),
    bool: ("bool", "bool"),
    int: ("int", "int"),
    Int64: ("int64", "int64"),
    Int32: ("int32", "int32"),
    Uint64: ("uint64", "uint64"),
    Uint8: ("uint8", "uint8"),
    Duration: ("time.Duration", "int64"),
    float: ("float64", "float64"),
    complex: ("complex128", "complex128"),
    list: ("[]interface {}", "slice"),
    NilList: ("[]interface {}", "slice"),
    Strings: ("[]string", "slice"),
    Ints: ("[]int", "slice"),
    bytes: ("[]uint8", "slice"),
    dict: ("map[string]interface {}", "map"),
    NilMap: ("map[string]interface {}", "map"),
    StringMap: ("map[string]string", "map"),
    Named: ("chartutil.Values", "map"),
    FileMap: ("engine.files", "map"),
    VersionSet: ("chartutil.VersionSet", "slice"),
}

INTEGERS: Final = frozenset({int, Int64, Int32, Duration})
UNSIGNED: Final = frozenset({Uint64, Uint8})
NUMBERS: Final = INTEGERS | UNSIGNED | {float}


def type_name(value: Any) -> str:
    """Return what Go's %T prints."""
    named = _NAMES.get(type(value))
    if named is not None:
        return named[0]
    if value is None:
        return "<nil>"
    if isinstance(value, Struct):
        return f"*{value.name}" if value.pointer else value.name
    return type(value).__name__


def kind_name(value: Any) -> str:
    """Return what Go's reflect calls the value's kind."""
    named = _NAMES.get(type(value))
    if named is not None:
        return named[1]
    if value is None:
        return "invalid"
    if isinstance(value, Struct):
        return "ptr" if value.pointer else "struct"
    return "func"


def truth(value: Any) -> bool:
    """Return whether the value counts as true in `if`, `and`, `or`, `not`."""
    return True if isinstance(value, Struct) else bool(value)


def octets(text: str) -> bytes:
    """Return a text's bytes."""
    return text.encode("utf-8", "surrogateescape")


def textual(data: bytes) -> str:
    """Return bytes as a text that gives the same bytes again."""
    return data.decode("utf-8", "surrogateescape")


def sorted_keys(mapping: Mapping[str, Any]) -> list[str]:
    """Return the keys in Go's order, which is that of their bytes."""
    keys = list(mapping)
    keys.sort()
    if all(map(str.isascii, keys)):
        return keys
    return sorted(keys, key=octets)
