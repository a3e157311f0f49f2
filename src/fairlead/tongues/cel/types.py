"""CEL's types, as the checker knows them before an expression runs and as `type(x)` gives them while it does.

Only what types are and how they are written and read; how they are deduced is in `unifying` and `checking`.
Source: github.com/google/cel-spec, doc/langdef.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, TypeAlias

Sort: TypeAlias = Literal[
    "plain", "list", "map", "type", "opaque", "message", "wrapper", "variable", "dyn", "error", "null", "any"
]


class Type:
    """A type: its name and parameters. `fields`, where known, are the names that a value of it has and their types.

    As a value of the language it stands without parameters: `type([1]) == list`.
    """

    __slots__ = ("_hash", "fields", "name", "params", "sort")

    def __init__(
        self,
        name: str,
        params: tuple[Type, ...] = (),
        sort: Sort = "plain",
        fields: Mapping[str, Type] | None = None,
    ) -> None:
        self.name = name
        self.params = params
        self.sort: Sort = sort
        self.fields = fields
        self._hash = hash((name, params))

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Type)
            and self.name == other.name
            and self.params == other.params
            and self.sort == other.sort
        )

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"<type {self}>"

    def __str__(self) -> str:
        """The type as error messages show it: `map(string, list(int))`."""
        name = _SHOWN.get(self.name, self.name)
        if self.sort == "wrapper":
            return f"wrapper({self.params[0]})"
        return f"{name}({', '.join(map(str, self.params))})" if self.params else name


_SHOWN = {
    "google.protobuf.Timestamp": "timestamp",
    "google.protobuf.Duration": "duration",
    "null_type": "null",
}

DYN = Type("dyn", sort="dyn")
ERROR = Type("*error*", sort="error")
ANY = Type("google.protobuf.Any", sort="any")
NULL = Type("null_type", sort="null")
BOOL = Type("bool")
INT = Type("int")
UINT = Type("uint")
DOUBLE = Type("double")
STRING = Type("string")
BYTES = Type("bytes")
TIMESTAMP = Type("google.protobuf.Timestamp")
DURATION = Type("google.protobuf.Duration")
LIST = Type("list", sort="list")
MAP = Type("map", sort="map")
TYPE = Type("type", sort="type")
OPTIONAL = Type("optional_type", sort="opaque")


def list_of(item: Type) -> Type:
    """Return the type of lists of such items."""
    return Type("list", (item,), "list")


def map_of(key: Type, value: Type) -> Type:
    """Return the type of maps from such keys to such values."""
    return Type("map", (key, value), "map")


def type_of_type(inner: Type) -> Type:
    """Return the type of a type."""
    return Type("type", (inner,), "type")


def optional_of(inner: Type) -> Type:
    """Return the type of optional values."""
    return Type("optional_type", (inner,), "opaque")


def opaque(name: str, *params: Type) -> Type:
    """Return a type that only its library understands."""
    return Type(name, params, "opaque")


def message(name: str, fields: Mapping[str, Type] | None = None) -> Type:
    """Return the type of messages (or of objects) of a name; with `fields`, others are refused when compiling."""
    return Type(name, (), "message", fields)


def wrapper(inner: Type) -> Type:
    """Return the type of a value that may also be null."""
    return Type(f"wrapper({inner.name})", (inner,), "wrapper")


def variable(name: str) -> Type:
    """Return a type that is to be found out."""
    return Type(name, (), "variable")


_NAMED: dict[str, Type] = {
    "dyn": DYN,
    "any": ANY,
    "null": NULL,
    "null_type": NULL,
    "bool": BOOL,
    "int": INT,
    "uint": UINT,
    "double": DOUBLE,
    "string": STRING,
    "bytes": BYTES,
    "timestamp": TIMESTAMP,
    "duration": DURATION,
    "google.protobuf.Timestamp": TIMESTAMP,
    "google.protobuf.Duration": DURATION,
}
_WORD = re.compile(r"\s*([A-Za-z_][\w./-]*|[(),])")


def read(text: str) -> Type:
    """Return the type that a text such as `map(string, list(T))` names; a single capital letter is to be found out.

    Raises ValueError when the text is no type.
    """
    found, rest = _read(text)
    if rest.strip():
        raise ValueError(f"not a type: {text}")
    return found


def signature(text: str) -> tuple[str, bool, tuple[Type, ...], Type]:
    """Return name, whether it is a method, parameter types and result of `name(type, ...) type`.

    A leading dot makes a method, whose first parameter is what it is called on: `.size(string) int`.
    """
    name, _, rest = text.strip().partition("(")
    params: list[Type] = []
    rest = rest.lstrip()
    while not rest.startswith(")"):
        one, rest = _read(rest)
        params.append(one)
        rest = rest.lstrip()
        if rest.startswith(","):
            rest = rest[1:]
        elif not rest.startswith(")"):
            raise ValueError(f"not a signature: {text}")
    return name.removeprefix("."), name.startswith("."), tuple(params), read(rest[1:])


def _read(text: str) -> tuple[Type, str]:
    found = _WORD.match(text)
    if found is None or found[1] in "(),":
        raise ValueError(f"not a type: {text}")
    name, rest = found[1], text[found.end() :]
    params: list[Type] = []
    if rest.lstrip().startswith("("):
        rest = rest.lstrip()[1:]
        while True:
            one, rest = _read(rest)
            params.append(one)
            rest = rest.lstrip()
            if rest.startswith(","):
                rest = rest[1:]
                continue
            if not rest.startswith(")"):
                raise ValueError(f"not a type: {text}")
            rest = rest[1:]
            break
    return _named(name, params), rest


def _named(name: str, params: list[Type]) -> Type:
    if name == "list":
        return list_of(params[0] if params else DYN)
    if name == "map":
        return map_of(*params) if params else map_of(DYN, DYN)
    if name == "type":
        return type_of_type(params[0] if params else DYN)
    if name in {"optional", "optional_type"}:
        return optional_of(params[0] if params else DYN)
    if name == "wrapper":
        return wrapper(params[0])
    if name in _NAMED:
        return _NAMED[name]
    if len(name) == 1 and name.isupper():
        return variable(name)
    return opaque(name, *params)
