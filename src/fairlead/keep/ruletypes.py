"""What a structural schema makes of a value in CEL: its type, and the value itself.

Numbers of `type: number` are floating point, texts with a format may be bytes, moments or spans, lists that are sets or maps compare
and add up as such, and names that CEL cannot say are escaped (`a-b` is `a__dash__b`). Values are copied where they differ, never changed.
Source: k8s.io/apiserver/pkg/cel/common/schemas.go and values.go, k8s.io/apiserver/pkg/cel/escaping.go.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from fairlead.tongues import cel
from fairlead.tongues.cel import times
from fairlead.tongues.cel import types as t
from fairlead.tongues.cel.types import Type

Schema: TypeAlias = Mapping[str, Any]
Convert: TypeAlias = Callable[[Any], Any]

_RESERVED = frozenset(
    {
        "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import",
        "let", "loop", "package", "namespace", "return",
    }
)  # fmt: skip
_SAYABLE = re.compile(r"[a-zA-Z_./-][a-zA-Z0-9_./-]*")
_ESCAPES = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_SCALARS = {"boolean": t.BOOL, "integer": t.INT, "number": t.DOUBLE}
_FORMATS = {"byte": t.BYTES, "date": t.TIMESTAMP, "date-time": t.TIMESTAMP, "duration": t.DURATION}
_META = t.message("metadata", {"name": t.STRING, "generateName": t.STRING})


def escaped(name: str) -> str | None:
    """Return how CEL says the name of a property, or None when it cannot."""
    if name in _RESERVED:
        return f"__{name}__"
    if not _SAYABLE.fullmatch(name):
        return None
    return re.sub(r"__|[./-]", lambda found: _ESCAPES[found[0]], name)


def type_of_schema(schema: Schema, *, root: bool = False, name: str = "object") -> Type | None:
    """Return the type of values of a schema; None for one that says none. `root`: an object with kind and metadata."""
    if schema.get("x-kubernetes-int-or-string"):
        return t.DYN
    kind = schema.get("type")
    root = root or bool(schema.get("x-kubernetes-embedded-resource"))
    found: Type | None = None
    if kind == "array":
        items = schema.get("items")
        inner = type_of_schema(items, name=f"{name}.items") if isinstance(items, Mapping) else None
        found = t.list_of(inner) if inner is not None else None
    elif kind == "object":
        found = _object(schema, root=root, name=name)
    elif kind == "string":
        found = _FORMATS.get(schema.get("format", ""), t.STRING)
    elif kind is not None:
        found = _SCALARS.get(kind)
    if found is not None and schema.get("nullable") and found.sort == "plain":
        return t.wrapper(found)
    return found


def _object(schema: Schema, *, root: bool, name: str) -> Type | None:
    more = schema.get("additionalProperties")
    if isinstance(more, Mapping) and more and not root:
        inner = type_of_schema(more, name=f"{name}.values")
        return t.map_of(t.STRING, inner) if inner is not None else None
    if more is True and not schema.get("properties"):
        return t.map_of(t.STRING, t.DYN)
    fields: dict[str, Type] = {}
    for key, inner_schema in schema.get("properties", {}).items():
        said = escaped(key)
        inner = type_of_schema(inner_schema, name=f"{name}.{key}") if said is not None else None
        if said is not None and inner is not None:
            fields[said] = inner
    if root:
        fields.update({"apiVersion": t.STRING, "kind": t.STRING, "metadata": _META})
    return t.message(name, fields)


def converting(schema: Schema, *, root: bool = False) -> Convert | None:
    """Return what makes a value of a schema one of CEL's; None where it is one already."""
    if schema.get("x-kubernetes-int-or-string"):
        return None
    kind = schema.get("type")
    if kind == "number":
        return lambda value: float(value) if value.__class__ is int else value
    if kind == "string":
        return _READS.get(schema.get("format", ""))
    if kind == "array":
        return _list(schema)
    if kind == "object":
        return _fields(schema, root=root)
    return None


def _fields(schema: Schema, *, root: bool) -> Convert | None:
    more = schema.get("additionalProperties")
    if isinstance(more, Mapping) and more:
        each = converting(more)
        return _values(each) if each is not None else None
    changes: dict[str, tuple[str, Convert | None]] = {}
    for key, inner_schema in schema.get("properties", {}).items():
        if root and key in {"apiVersion", "kind", "metadata"}:
            continue
        said, inner = escaped(key), converting(inner_schema)
        if (said is not None and said != key) or inner is not None:
            changes[key] = (said or key, inner)
    if not changes:
        return None

    def convert(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        made: dict[str, Any] = {}
        for key, one in value.items():
            said, inner = changes.get(key, (key, None))
            made[said] = inner(one) if inner is not None and one is not None else one
        return made

    return convert


def _values(each: Convert) -> Convert:
    def convert(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: one if one is None else each(one) for key, one in value.items()}

    return convert


def _list(schema: Schema) -> Convert | None:
    items = schema.get("items")
    inner = converting(items) if isinstance(items, Mapping) else None
    sort = schema.get("x-kubernetes-list-type")
    keys = tuple(escaped(key) or key for key in schema.get("x-kubernetes-list-map-keys", ()))
    if inner is None and sort not in {"set", "map"}:
        return None

    def convert(value: Any) -> Any:
        if not isinstance(value, list):
            return value
        made = value if inner is None else [one if one is None else inner(one) for one in value]
        return SetList(made) if sort == "set" else MapList(made, keys) if sort == "map" else made

    return convert


class SetList(list[Any]):
    """A list whose order does not matter and that has each item once."""

    def cel_equal(self, other: Any) -> bool:
        """Return whether another list has the same items."""
        return len(self) == len(other) and all(any(cel.equal(one, item) for item in other) for one in self)

    def cel_add(self, other: Any) -> SetList:
        """Return the items of both lists."""
        return SetList([*self, *(one for one in other if not any(cel.equal(one, item) for item in self))])


class MapList(list[Any]):
    """A list whose items are told apart by the values of their keys, and whose order does not matter."""

    def __init__(self, items: list[Any], keys: tuple[str, ...]) -> None:
        super().__init__(items)
        self.keys = keys

    def _key(self, item: Any) -> tuple[str, ...]:
        return tuple(repr(item.get(key)) for key in self.keys) if isinstance(item, dict) else ()

    def cel_equal(self, other: Any) -> bool:
        """Return whether another list has equal items under the same keys."""
        known = {self._key(item): item for item in other}
        return len(self) == len(other) and all(
            self._key(one) in known and cel.equal(one, known[self._key(one)]) for one in self
        )

    def cel_add(self, other: Any) -> MapList:
        """Return the items of both lists, the other's in place of those with the same keys."""
        known = {self._key(item): item for item in self}
        known.update((self._key(item), item) for item in other)
        return MapList(list(known.values()), self.keys)


def _bytes(value: Any) -> Any:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError, TypeError):
        return value


def _read(call: Callable[[str], Any]) -> Convert:
    def read(value: Any) -> Any:
        try:
            return call(value)
        except (cel.Failed, TypeError):
            return value

    return read


_READS: dict[str, Convert] = {
    "byte": _bytes,
    "date-time": _read(times.read),
    "date": _read(lambda text: times.read(f"{text}T00:00:00Z")),
    "duration": _read(times.read_duration),
}
