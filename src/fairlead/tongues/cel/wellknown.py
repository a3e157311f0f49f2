"""Protocol buffers' well-known types as message literals: `google.protobuf.Int64Value{value: 1}` is 1, or null-able at least.

They become plain values at once; no message of them ever exists. Source: github.com/google/cel-spec, doc/langdef.md, Dynamic Values.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

from fairlead.tongues.cel import times
from fairlead.tongues.cel import types as t
from fairlead.tongues.cel.errors import Failed
from fairlead.tongues.cel.libraries import Library, Maker
from fairlead.tongues.cel.types import Type
from fairlead.tongues.cel.values import Duration, Timestamp, Uint, to_json

_PREFIX = "google.protobuf."


class WellKnown:
    """One of them: its fields, the type of what it becomes, and how it does."""

    __slots__ = ("call", "type", "value_type")

    def __init__(
        self, name: str, fields: Mapping[str, Type], value_type: Type, call: Callable[[dict[str, Any]], Any]
    ) -> None:
        self.type: Type = t.message(_PREFIX + name, fields)
        self.value_type = value_type
        self.call = call

    def make(self, fields: dict[str, Any]) -> Any:
        """Return the value."""
        for name in fields:
            if self.type.fields is not None and name not in self.type.fields:
                raise Failed(f"no such field '{name}'")
        return self.call(fields)


def within(value: Any, low: int, high: int) -> Any:
    """Return a number of fewer bits. Raises Failed when it does not fit."""
    if not low <= value <= high:
        raise Failed("range error")
    return value


def single(value: Any) -> float:
    """Return a number as precise as 32 bits of floating point are."""
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _wrapped(name: str, kind: Type, zero: Any, fit: Callable[[Any], Any] = lambda value: value) -> WellKnown:
    return WellKnown(name, {"value": kind}, t.wrapper(kind), lambda fields: fit(fields.get("value", zero)))


def json_value(value: Any) -> Any:
    """Return a value as JSON has it: numbers are floating point, keys are texts. Raises Failed."""
    kind = value.__class__
    if kind is int or kind is Uint:
        return float(value) if abs(value) < 2**53 else str(int(value))
    if isinstance(value, dict):
        if any(key.__class__ is not str for key in value):
            raise Failed("bad key type")
        return {key: json_value(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(one) for one in value]
    return to_json(value) if kind in {bytes, Timestamp, Duration} else value


def _value(fields: dict[str, Any]) -> Any:
    if len(fields) > 1:
        raise Failed("a google.protobuf.Value has one field")
    for name, value in fields.items():
        return None if name == "null_value" else json_value(value)
    return None


def _any(fields: dict[str, Any]) -> Any:
    raise Failed(f"conversion error: unknown type in google.protobuf.Any: '{fields.get('type_url', '')}'")


_DYN_MAP = t.map_of(t.STRING, t.DYN)
_KNOWN: dict[str, WellKnown] = {
    _PREFIX + one.type.name.removeprefix(_PREFIX): one
    for one in (
        _wrapped("BoolValue", t.BOOL, zero=False),
        _wrapped("Int32Value", t.INT, 0, lambda value: within(value, -(2**31), 2**31 - 1)),
        _wrapped("Int64Value", t.INT, 0),
        _wrapped("UInt32Value", t.UINT, Uint(0), lambda value: within(value, 0, 2**32 - 1)),
        _wrapped("UInt64Value", t.UINT, Uint(0)),
        _wrapped("FloatValue", t.DOUBLE, 0.0, single),
        _wrapped("DoubleValue", t.DOUBLE, 0.0),
        _wrapped("StringValue", t.STRING, ""),
        _wrapped("BytesValue", t.BYTES, b""),
        WellKnown("Empty", {}, t.message(_PREFIX + "Empty", {}), lambda _: {}),
        WellKnown("ListValue", {"values": t.list_of(t.DYN)}, t.list_of(t.DYN), lambda fields: json_value(fields.get("values", []))),
        WellKnown("Struct", {"fields": _DYN_MAP}, _DYN_MAP, lambda fields: json_value(fields.get("fields", {}))),
        WellKnown(
            "Value",
            {
                "null_value": t.INT,
                "number_value": t.DOUBLE,
                "string_value": t.STRING,
                "bool_value": t.BOOL,
                "struct_value": _DYN_MAP,
                "list_value": t.list_of(t.DYN),
            },
            t.DYN,
            _value,
        ),
        WellKnown("Any", {"type_url": t.STRING, "value": t.BYTES}, t.ANY, _any),
        WellKnown(
            "Timestamp",
            {"seconds": t.INT, "nanos": t.INT},
            t.TIMESTAMP,
            lambda fields: times.moment(fields.get("seconds", 0) * times.SECOND + fields.get("nanos", 0)),
        ),
        WellKnown(
            "Duration",
            {"seconds": t.INT, "nanos": t.INT},
            t.DURATION,
            lambda fields: times.span(fields.get("seconds", 0) * times.SECOND + fields.get("nanos", 0)),
        ),
    )
}  # fmt: skip


def _maker(name: str) -> Maker | None:
    return _KNOWN.get(name)


LIBRARY = Library("well-known", makers=_maker, constants={f"{_PREFIX}NullValue.NULL_VALUE": 0})
"""Part of every Environment."""
