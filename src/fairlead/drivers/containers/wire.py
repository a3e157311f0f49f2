"""Protocol Buffers on the wire for annotated dataclasses: `name: Annotated[str, 1] = ""` is field number 1.

Only what containerd's interfaces use: varint integers, booleans, strings, bytes, messages, lists of these and maps of
strings. Must never guess: a field of an unsupported type is a TypeError when its class is first used, and
unknown fields are skipped as the format asks. Encoding rules: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

M = TypeVar("M")

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MASK = (1 << 64) - 1


class WireError(ValueError):
    """The bytes are not a Protocol Buffers message, or not of the expected types."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    name: str
    number: int
    shape: str  # "one", "list" or "map"
    of: type  # int, bool, str, bytes or a message class


def _field(name: str, hint: Any) -> _Field:
    if get_origin(hint) is not Annotated:
        raise TypeError(f"field {name} has no number")
    of, number = get_args(hint)[:2]
    shape = "one"
    if get_origin(of) is tuple:
        shape, of = "list", get_args(of)[0]
    elif get_origin(of) is dict:
        shape, of = "map", str
    elif get_origin(of) in {Union, types.UnionType}:
        of = next(arg for arg in get_args(of) if arg is not type(None))
    if of not in {int, bool, str, bytes} and not dataclasses.is_dataclass(of):
        raise TypeError(f"field {name} is of an unsupported type {of!r}")
    return _Field(name, number, shape, of)


_known: dict[type, dict[int, _Field]] = {}


def _fields(cls: type) -> dict[int, _Field]:
    """Return a message class's fields by their numbers; read from its annotations once."""
    if cls not in _known:
        hints = get_type_hints(cls, include_extras=True)
        fields = [_field(field.name, hints[field.name]) for field in dataclasses.fields(cls)]
        _known[cls] = {field.number: field for field in fields}
    return _known[cls]


def _varint(value: int) -> bytes:
    value &= _MASK
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _tagged(number: int, payload: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(payload)) + payload


def _value(number: int, of: type, value: Any) -> bytes:
    if of is int or of is bool:
        return _varint(number << 3 | _VARINT) + _varint(int(value))
    if of is str:
        return _tagged(number, value.encode())
    if of is bytes:
        return _tagged(number, value)
    return _tagged(number, encode(value))


def encode(message: Any) -> bytes:
    """Return the wire form of a message. Scalars that have proto3's default value are left out, as the format does."""
    out = []
    for field in _fields(type(message)).values():
        value = getattr(message, field.name)
        if field.shape == "list":
            if field.of in {int, bool}:
                if value:
                    out.append(_tagged(field.number, b"".join(_varint(int(item)) for item in value)))
            else:
                out.extend(_value(field.number, field.of, item) for item in value)
        elif field.shape == "map":
            out.extend(
                _tagged(field.number, _value(1, str, key) + _value(2, str, item))
                for key, item in value.items()
            )
        elif dataclasses.is_dataclass(field.of):
            if value is not None:
                out.append(_value(field.number, field.of, value))
        elif value:
            out.append(_value(field.number, field.of, value))
    return b"".join(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise WireError("a number is cut short or too long")
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & _MASK, at
        shift += 7


def _pieces(data: bytes) -> list[tuple[int, int, int | bytes]]:
    """Split a message into (field number, wire type, raw value)."""
    at, out = 0, []
    while at < len(data):
        tag, at = _read_varint(data, at)
        number, wire = tag >> 3, tag & 7
        value: int | bytes
        if wire == _VARINT:
            value, at = _read_varint(data, at)
        else:
            if wire == _BYTES:
                size, at = _read_varint(data, at)
            elif wire in {_FIXED64, _FIXED32}:
                size = 8 if wire == _FIXED64 else 4
            else:
                raise WireError(f"field {number} has the unknown wire type {wire}")
            if at + size > len(data):
                raise WireError(f"field {number} is cut short")
            value, at = data[at : at + size], at + size
        out.append((number, wire, value))
    return out


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _one(field: _Field, value: int | bytes) -> Any:
    if field.of is int or field.of is bool:
        if isinstance(value, bytes):
            raise WireError(f"field {field.name} is not a number")
        return bool(value) if field.of is bool else _signed(value)
    if isinstance(value, int):
        raise WireError(f"field {field.name} is a number")
    if field.of is bytes:
        return value
    if field.of is str:
        return value.decode("utf-8", "replace")
    return decode(field.of, value)


def _pair(value: int | bytes) -> tuple[str, str]:
    if isinstance(value, int):
        raise WireError("a map's entry is a number")
    parts = {number: item for number, _, item in _pieces(value) if isinstance(item, bytes)}
    return parts.get(1, b"").decode("utf-8", "replace"), parts.get(2, b"").decode("utf-8", "replace")


def _packed(field: _Field, data: bytes) -> list[Any]:
    at, out = 0, []
    while at < len(data):
        number, at = _read_varint(data, at)
        out.append(_one(field, number))
    return out


def decode(cls: type[M], data: bytes) -> M:
    """Return the message that the bytes hold. Raises WireError. Integers are read as signed 64-bit numbers."""
    known = _fields(cls)
    values: dict[str, Any] = {}
    for number, wire, raw in _pieces(data):
        field = known.get(number)
        if field is None:
            continue
        if field.shape == "map":
            key, item = _pair(raw)
            values.setdefault(field.name, {})[key] = item
        elif field.shape == "list":
            items = values.setdefault(field.name, [])
            if wire == _BYTES and field.of in {int, bool}:
                items.extend(_packed(field, cast("bytes", raw)))
            else:
                items.append(_one(field, raw))
        else:
            values[field.name] = _one(field, raw)
    return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def decoder(cls: type[M]) -> Callable[[bytes], M]:
    """Return a function from bytes to messages of one class."""
    return lambda data: decode(cls, data)
