"""The protocol buffer messages of the CEL conformance suite, as a library of an Environment.

Their fields are told from their names (`repeated_int32`, `map_string_bool`), as the suite names them after their types.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from fairlead.tongues import cel
from fairlead.tongues.cel import times, wellknown
from fairlead.tongues.cel import types as t
from fairlead.tongues.cel.errors import Failed
from fairlead.tongues.cel.libraries import Library, Maker

WELL_KNOWN: dict[str, t.Type] = {
    "google.protobuf.Timestamp": t.TIMESTAMP,
    "google.protobuf.Duration": t.DURATION,
    "google.protobuf.Any": t.ANY,
    "google.protobuf.Struct": t.map_of(t.STRING, t.DYN),
    "google.protobuf.ListValue": t.list_of(t.DYN),
    "google.protobuf.Value": t.DYN,
}
_SMALL = {"int32", "sint32", "fixed32", "sfixed32", "uint32"}
_SCALARS: dict[str, tuple[t.Type, Any]] = {
    **dict.fromkeys(("int32", "int64", "sint32", "sint64", "sfixed32", "sfixed64"), (t.INT, 0)),
    **{one: (t.UINT, cel.Uint(0)) for one in ("uint32", "uint64", "fixed32", "fixed64")},
    "float": (t.DOUBLE, 0.0),
    "double": (t.DOUBLE, 0.0),
    "bool": (t.BOOL, False),
    "string": (t.STRING, ""),
    "bytes": (t.BYTES, b""),
    "enum": (t.INT, 0),
}
_DEFAULTS_2 = {
    "single_int32": -32,
    "single_int64": -64,
    "single_uint32": cel.Uint(32),
    "single_uint64": cel.Uint(64),
    "single_float": 3.0,
    "single_double": 6.4,
    "single_bool": True,
    "single_string": "empty",
    "single_bytes": b"none",
    "single_nested_enum": 1,
}
_SPECIAL = {
    "any": t.ANY,
    "duration": t.DURATION,
    "timestamp": t.TIMESTAMP,
    "struct": t.map_of(t.STRING, t.DYN),
    "value": t.DYN,
    "list_value": t.list_of(t.DYN),
    "null_value": t.INT,
}
_KEYS = ("bool", "int32", "int64", "uint32", "uint64", "string")
_NAMES = {
    "cel.expr.conformance.proto2": "2",
    "cel.expr.conformance.proto3": "3",
}


class _Kind:
    """What a field is: its CEL type, the value when it is absent, and how a value is made to fit."""

    def __init__(
        self, kind: t.Type, zero: Any, *, scalar: str = "", message: str = "", wrapped: bool = False
    ) -> None:
        self.type = kind
        self.zero = zero
        self.scalar = scalar
        self.message = message
        self.wrapped = wrapped

    def default(self) -> Any:
        if self.message:
            return message(self.message).make({})
        return self.zero


class _Known(Mapping[str, Any]):
    def __init__(self, kinds: Mapping[str, _Kind], defaults: Mapping[str, Any]) -> None:
        self.kinds = kinds
        self.defaults = defaults

    def __getitem__(self, name: str) -> Any:
        return self.defaults[name] if name in self.defaults else self.kinds[name].default()

    def __iter__(self) -> Iterator[str]:
        return iter(self.kinds)

    def __len__(self) -> int:
        return len(self.kinds)


class _Message:
    """A message type: a maker of literals."""

    def __init__(self, name: str, kinds: Mapping[str, _Kind], *, explicit: bool) -> None:
        self.type = t.message(name, {field: one.type for field, one in kinds.items()})
        self.kinds = kinds
        self.explicit = explicit
        self.known = _Known(kinds, _DEFAULTS_2 if explicit and name.endswith(".TestAllTypes") else {})

    def make(self, fields: dict[str, Any]) -> Any:
        kept: dict[str, Any] = {}
        for name, given in fields.items():
            kind = self.kinds.get(name)
            if kind is None:
                raise Failed(f"no such field '{name}'")
            value = _fit(kind, given)
            if value is None and kind.type is not t.DYN:
                continue
            if (
                kind.type.sort in {"list", "map"}
                and not value
                and kind.type.name != "dyn"
                and not _json(kind)
            ):
                continue
            if kind.scalar and not self.explicit and not kind.wrapped and not value:
                continue
            kept[name] = value
        return cel.Message(self.type.name, kept, self.known)


def _json(kind: _Kind) -> bool:
    return kind.zero == {} and kind.type == WELL_KNOWN["google.protobuf.Struct"] and kind.wrapped


def _nullable(kind: t.Type) -> bool:
    return kind.sort in {"message", "wrapper", "any"} or kind in {t.TIMESTAMP, t.DURATION}


def _fit(kind: _Kind, value: Any) -> Any:
    if value is None:
        if kind.type is t.DYN or _nullable(kind.type):
            return None
        raise Failed("null is no value of the field")
    if isinstance(value, list) and kind.type.params and _nullable(kind.type.params[0]):
        return [one for one in value if one is not None]
    if isinstance(value, dict) and kind.type.params and _nullable(kind.type.params[-1]):
        return {key: one for key, one in value.items() if one is not None}
    if kind.type is t.DYN or kind.type is t.ANY:
        return wellknown.json_value(value) if kind.type is t.DYN else value
    if kind.type in {WELL_KNOWN["google.protobuf.Struct"], WELL_KNOWN["google.protobuf.ListValue"]}:
        return wellknown.json_value(value)
    if kind.scalar in _SMALL or kind.scalar == "enum":
        low, high = (
            (0, 2**32 - 1) if kind.type.name == "uint" or kind.scalar == "uint32" else (-(2**31), 2**31 - 1)
        )
        return wellknown.within(value, low, high)
    if kind.scalar == "float":
        return wellknown.single(value)
    return value


def _kinds(space: str, version: str) -> dict[str, _Kind]:
    nested = f"{space}.TestAllTypes.NestedMessage"
    found: dict[str, _Kind] = {}
    values: dict[str, _Kind] = {}
    for name, (kind, zero) in _SCALARS.items():
        values[name] = _Kind(kind, zero, scalar=name)
        if name in {"int32", "int64", "uint32", "uint64", "float", "double", "bool", "string", "bytes"}:
            values[f"{name}_wrapper"] = _Kind(t.wrapper(kind), None, scalar=name, wrapped=True)
    for name, kind in _SPECIAL.items():
        empty: Any = {"struct": {}, "list_value": [], "null_value": 0}.get(name)
        values[name] = _Kind(kind, empty, wrapped=name in {"struct", "list_value"})
    values["duration"].zero, values["timestamp"].zero = cel.Duration(0), cel.Timestamp(0)
    values["nested_message"] = values["message"] = _Kind(
        t.message(nested, {"bb": t.INT}), None, message=nested
    )
    values["nested_enum"] = _Kind(t.INT, 0, scalar="enum")
    for name, one in values.items():
        found[f"single_{name}"] = one
        found[f"repeated_{name}"] = _Kind(t.list_of(one.type), [])
        for key in _KEYS:
            found[f"map_{key}_{name}"] = _Kind(t.map_of(_SCALARS[key][0], one.type), {})
    found["standalone_message"] = values["nested_message"]
    found["list_value"] = values["list_value"]
    found["standalone_enum"] = values["nested_enum"]
    found["in"] = found["as"] = found["break"] = values["bool"]
    for word in (
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ):
        found[word] = values["bool"]
    for name in ("optional_bool", "oneof_bool"):
        found[name] = values["bool"]
    found["optional_string"] = values["string"]
    found["oneof_type"] = _Kind(
        t.message(f"{space}.NestedTestAllTypes"), None, message=f"{space}.NestedTestAllTypes"
    )
    found["oneof_msg"] = values["nested_message"]
    assert version
    return found


_MADE: dict[str, _Message] = {}


def message(name: str) -> _Message:
    """Return a message type by its name. Raises KeyError."""
    if not _MADE:
        for space, version in _NAMES.items():
            explicit = version == "2"
            everything = _kinds(space, version)
            whole = f"{space}.TestAllTypes"
            _MADE[f"{whole}.NestedMessage"] = _Message(
                f"{whole}.NestedMessage", {"bb": _Kind(t.INT, 0, scalar="int32")}, explicit=explicit
            )
            _MADE[whole] = _Message(whole, everything, explicit=explicit)
            chain = f"{space}.NestedTestAllTypes"
            kinds: dict[str, _Kind] = {}
            _MADE[chain] = _Message(chain, kinds, explicit=explicit)
            kinds["child"] = _Kind(_MADE[chain].type, None, message=chain)
            kinds["payload"] = _Kind(_MADE[whole].type, None, message=whole)
            fields = _MADE[chain].type.fields
            assert isinstance(fields, dict)
            fields.update({field: one.type for field, one in kinds.items()})
            for field in ("single_nested_message", "standalone_message", "repeated_nested_message"):
                assert everything[field].type is not None
            everything["oneof_type"].type = _MADE[chain].type
            _MADE[whole].type.fields["oneof_type"] = _MADE[chain].type  # type: ignore[index]
    return _MADE[name]


def message_type(name: str) -> t.Type:
    """Return the type of a message of the suite, or a nameless one."""
    try:
        return message(name).type
    except KeyError:
        return t.message(name)


_NUMBERS = dict(
    enumerate(
        (
            "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64", "sfixed32", "sfixed64",
            "float", "double", "bool", "string", "bytes",
        ),
        start=1,
    )
)  # fmt: skip


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def _unpacked(name: str, data: bytes) -> Any:
    """Return a message from its bytes; what its fields are not known of is compared by its bytes."""
    fields: dict[str, Any] = {}
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        sort = _NUMBERS.get(tag >> 3)
        if tag & 7 == 0:
            number, at = _varint(data, at)
            found: Any = number - 2**64 if number >= 2**63 else number
        elif tag & 7 == 1:
            found, at = struct.unpack("<d" if sort == "double" else "<q", data[at : at + 8])[0], at + 8
        elif tag & 7 == 5:
            found, at = struct.unpack("<f" if sort == "float" else "<i", data[at : at + 4])[0], at + 4
        else:
            size, at = _varint(data, at)
            found, at = data[at : at + size], at + size
        if sort is None:
            return cel.Message(name, {"@bytes": data}, {})
        kind = _SCALARS[sort][0]
        if sort == "string":
            found = found.decode()
        fields[f"single_{sort}"] = (
            cel.Uint(found) if kind is t.UINT else bool(found) if kind is t.BOOL else found
        )
    return message(name).make(fields)


class _Any:
    """google.protobuf.Any, of the messages of the suite."""

    type = t.message("google.protobuf.Any", {"type_url": t.STRING, "value": t.BYTES})
    value_type = t.ANY

    @staticmethod
    def make(fields: dict[str, Any]) -> Any:
        """Return the message that is in it."""
        name = fields.get("type_url", "").rpartition("/")[2]
        if _maker(name) is None:
            raise Failed("conversion error: unknown type in google.protobuf.Any")
        return _unpacked(name, fields.get("value", b""))


def _maker(name: str) -> Maker | None:
    if name == "google.protobuf.Any":
        return _Any()
    try:
        return message(name)
    except KeyError:
        return None


def read_message(said: Mapping[str, Any]) -> Any:
    """Return the value of a message that the suite writes down as JSON."""
    name = said["@type"].rpartition("/")[2]
    if name == "google.protobuf.Timestamp":
        return times.read(said["value"])
    if name == "google.protobuf.Duration":
        return times.read_duration(said["value"])
    if name == "google.protobuf.Any":
        return read_message(said["value"])
    if name in {"google.protobuf.Struct", "google.protobuf.ListValue", "google.protobuf.Value"}:
        return wellknown.json_value(said["value"])
    if name.startswith("google.protobuf."):
        inner = re.sub(r"value$", "", name.removeprefix("google.protobuf.").lower())
        return _scalar(inner, said["value"])
    made = message(name)
    return made.make(
        {field: _field(made.kinds[field], value) for field, value in said.items() if field != "@type"}
    )


def _scalar(name: str, value: Any) -> Any:
    kind = _SCALARS[name][0]
    if isinstance(value, str) and value in _ENUM_NAMES:
        return _ENUM_NAMES[value]
    if kind is t.INT:
        return value if isinstance(value, bool) else int(value)
    if kind is t.UINT:
        return cel.Uint(int(value))
    if kind is t.DOUBLE:
        return float(value)
    return base64.b64decode(value) if kind is t.BYTES else value


def _field(kind: _Kind, value: Any) -> Any:
    if kind.message:
        return read_message({"@type": kind.message, **value})
    if kind.scalar:
        return _scalar(kind.scalar, value)
    if kind.type is t.TIMESTAMP:
        return times.read(value)
    if kind.type is t.DURATION:
        return times.read_duration(value)
    if kind.type.sort == "list" and kind.type.params[0].sort == "plain":
        return [_plain(kind.type.params[0], one) for one in value]
    if kind.type.sort == "map" and kind.type.params[1].sort == "plain":
        return {
            _plain(kind.type.params[0], key): _plain(kind.type.params[1], one) for key, one in value.items()
        }
    if kind.type is t.ANY and isinstance(value, dict) and "@type" in value:
        return read_message(value)
    return value


def _plain(kind: t.Type, value: Any) -> Any:
    if kind is t.BOOL:
        return value in {True, "true"}
    return _scalar({"int": "int64", "uint": "uint64"}.get(kind.name, kind.name), value)


_ENUM_NAMES = {"FOO": 0, "BAR": 1, "BAZ": 2, "GOO": 0, "GAR": 1, "GAZ": 2}
_ENUMS = {
    f"{space}.{name}": number
    for space in _NAMES
    for enum, names in (
        ("GlobalEnum", ("GOO", "GAR", "GAZ")),
        ("TestAllTypes.NestedEnum", ("FOO", "BAR", "BAZ")),
    )
    for number, name in enumerate([f"{enum}.{one}" for one in names])
}

LIBRARY = Library("messages", makers=_maker, constants=_ENUMS)
