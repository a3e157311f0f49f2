"""Kubernetes' protobuf encoding, read into the objects that JSON would give.

kubectl and client-go send built-in kinds as `application/vnd.kubernetes.protobuf`; answers are always JSON. The tables
of messages are in `messages.json`, made by `tools/make_messages.py` from the public Go modules. Nothing here judges what
it reads: unknown fields are passed over, as everywhere in protobuf, and the object is checked like any other.
Sources: k8s.io/apimachinery/pkg/runtime/serializer/protobuf, protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from fairlead.keep.errors import bad_request
from fairlead.words import Resource

MEDIA_TYPE: Final = "application/vnd.kubernetes.protobuf"
MAGIC: Final = b"k8s\0"

_DEEPEST = 100
_OMIT: Final = object()
"""What a decoder returns for a value that JSON would leave out."""


class Malformed(ValueError):
    """Bytes that are no message."""


class _Field(NamedTuple):
    """How one field is read: its JSON name, the letter of its type, how often it comes, and of which message it is."""

    name: str
    letter: str
    repeated: bool
    mapped: bool
    inline: bool
    drop_zero: bool
    message: str


def decode(body: bytes) -> Resource:
    """Return the object in a request's body. Raises Refusal 400 for anything that is none, of a kind that is not known."""
    try:
        return _unknown(body, 0)
    except (Malformed, UnicodeDecodeError, orjson.JSONDecodeError, OverflowError) as fault:
        raise bad_request(f"the object provided is unrecognized: {fault}") from None


def _unknown(body: bytes, depth: int) -> Resource:
    """Read the envelope: the magic, then a runtime.Unknown with the kind and the object's own bytes."""
    if not body.startswith(MAGIC):
        raise Malformed(
            "empty data"
            if not body
            else "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
        )
    api_version = kind = encoding = media_type = ""
    raw = b""
    for number, wire, value in _fields(body, len(MAGIC), len(body)):
        if wire != 2:
            raise Malformed(f"proto: wrong wireType = {wire} for field {number} of Unknown")
        content = body[value[0] : value[1]]
        if number == 1:
            for inner, inner_wire, place in _fields(content, 0, len(content)):
                if inner in (1, 2) and inner_wire == 2:
                    text = content[place[0] : place[1]].decode()
                    api_version, kind = (text, kind) if inner == 1 else (api_version, text)
        elif number == 2:
            raw = content
        elif number == 3:
            encoding = content.decode()
        elif number == 4:
            media_type = content.decode()
    if encoding:
        raise Malformed(f"content encoding {encoding} is not supported")
    if media_type == "application/json":
        document = orjson.loads(raw)
        if not isinstance(document, dict):
            raise Malformed("the object is not a JSON object")
        return document
    name = message_of(api_version, kind)
    if not name:
        raise Malformed(f'no kind "{kind}" is registered for version "{api_version}"')
    return {"apiVersion": api_version, "kind": kind, **_message(raw, 0, len(raw), name, depth)}


def message_of(api_version: str, kind: str) -> str:
    """Return the name of the message of a kind, "" if it has none. meta's own kinds are known in every version."""
    group, _, version = api_version.rpartition("/")
    kinds: Mapping[str, str] = _tables()["kinds"]
    return kinds.get(f"{group}/{version}/{kind}") or kinds.get(f"//{kind}") or ""


@cache
def _tables() -> dict[str, Any]:
    tables: dict[str, Any] = orjson.loads((Path(__file__).parent / "messages.json").read_bytes())
    tables["messages"]["core.v1.List"] = tables["messages"]["meta.v1.List"]
    return tables


@cache
def _table(message: str) -> Mapping[int, _Field]:
    table = {}
    for number, name, code, *reference in _tables()["messages"].get(message, ()):
        table[number] = _Field(
            name,
            code[0],
            repeated="*" in code,
            mapped="%" in code,
            inline=">" in code,
            drop_zero="0" in code,
            message=reference[0] if reference else "",
        )
    return table


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Return an unsigned varint and the place after it."""
    value = shift = 0
    while at < end:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
        if shift > 63:
            raise Malformed("proto: integer overflow")
    raise Malformed("unexpected EOF")


def _fields(data: bytes, at: int, end: int) -> Any:
    """Yield (number, wire type, value): an integer for varints, else the (start, end) of the value's bytes."""
    while at < end:
        tag = data[at]
        if tag < 0x80:
            at += 1
        else:
            tag, at = _varint(data, at, end)
        number, wire = tag >> 3, tag & 7
        if not number:
            raise Malformed(f"proto: illegal tag {number} (wire type {wire})")
        if wire == 2:
            size, start = _varint(data, at, end)
            at = start + size
            value: Any = (start, at)
        elif wire == 0:
            value, at = _varint(data, at, end)
        elif wire in (1, 5):
            start, at = at, at + (8 if wire == 1 else 4)
            value = (start, at)
        else:
            raise Malformed(f"proto: illegal wireType {wire}")
        if at > end:
            raise Malformed("unexpected EOF")
        yield number, wire, value


def _message(data: bytes, at: int, end: int, message: str, depth: int) -> dict[str, Any]:
    if depth > _DEEPEST:
        raise Malformed(f"messages are nested more than {_DEEPEST} deep")
    table = _table(message)
    out: dict[str, Any] = {}
    for number, wire, place in _fields(data, at, end):
        field = table.get(number)
        if field is None:
            continue
        if field.mapped:
            _entry(data, wire, place, field, out, depth)
        elif field.repeated and wire == 2 and field.letter in "ibd":
            out.setdefault(field.name, []).extend(_packed(data, place, field))
        else:
            value = _value(data, wire, place, field, depth)
            if field.inline:
                out.update(value)
            elif field.repeated:
                out.setdefault(field.name, []).append(None if value is _OMIT else value)
            elif value is not _OMIT and (value or not field.drop_zero):
                out[field.name] = value
    return out


def _value(data: bytes, wire: int, place: Any, field: _Field, depth: int) -> Any:
    """Read one value of the field's type."""
    letter = field.letter
    wanted = _WIRES[letter]
    if wire != wanted:
        raise Malformed(f"proto: wrong wireType = {wire} for field {field.name}")
    if letter == "s":
        return data[place[0] : place[1]].decode()
    if letter == "m":
        special = _SPECIAL.get(field.message)
        if special is not None:
            return special(data, place[0], place[1], depth)
        return _message(data, place[0], place[1], field.message, depth + 1)
    if letter == "i":
        return _signed(place)
    if letter == "b":
        return bool(place)
    if letter == "y":
        return base64.b64encode(data[place[0] : place[1]]).decode()
    return _number(struct.unpack_from("<d", data, place[0])[0])


_WIRES: Mapping[str, int] = {"s": 2, "m": 2, "y": 2, "i": 0, "b": 0, "d": 1}


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _number(value: float) -> float:
    """Return a double as JSON would have it: whole ones as integers."""
    if not math.isfinite(value):
        raise Malformed(f"{value} is not a JSON number")
    return int(value) if value.is_integer() and abs(value) < 1e21 else value


def _packed(data: bytes, place: tuple[int, int], field: _Field) -> list[Any]:
    at, end = place
    found: list[Any] = []
    if field.letter == "d":
        if (end - at) % 8:
            raise Malformed("unexpected EOF")
        return [_number(value) for (value,) in struct.iter_unpack("<d", data[at:end])]
    while at < end:
        value, at = _varint(data, at, end)
        found.append(bool(value) if field.letter == "b" else _signed(value))
    return found


def _entry(data: bytes, wire: int, place: Any, field: _Field, out: dict[str, Any], depth: int) -> None:
    """Read one entry of a map into the field's object."""
    if wire != 2:
        raise Malformed(f"proto: wrong wireType = {wire} for field {field.name}")
    key = ""
    value: Any = _OMIT
    for number, inner_wire, inner in _fields(data, *place):
        if number == 1:
            if inner_wire != 2:
                raise Malformed(f"proto: wrong wireType = {inner_wire} for a key of {field.name}")
            key = data[inner[0] : inner[1]].decode()
        elif number == 2:
            value = _value(data, inner_wire, inner, field, depth)
    if value is _OMIT:
        special = _SPECIAL.get(field.message)
        empty: Any = {"s": "", "y": "", "i": 0, "b": False, "d": 0}.get(field.letter, {})
        value = special(b"", 0, 0, depth) if special is not None else empty
        value = None if value is _OMIT else value
    out.setdefault(field.name, {})[key] = value


# Messages whose JSON is not an object.


def _one(data: bytes, at: int, end: int, number: int = 1) -> bytes:
    """Return the bytes of one field of a message, empty if it is not there."""
    found = b""
    for inner, wire, place in _fields(data, at, end):
        if inner == number:
            if wire != 2:
                raise Malformed(f"proto: wrong wireType = {wire} for field {number}")
            found = data[place[0] : place[1]]
    return found


def _integers(data: bytes, at: int, end: int) -> dict[int, int]:
    found = {}
    for number, wire, value in _fields(data, at, end):
        if wire == 0:
            found[number] = _signed(value)
    return found


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_ONE = -62135596800
"""Go's zero time in seconds since the epoch."""


def _moment(data: bytes, at: int, end: int, *, micro: bool) -> Any:
    found = _integers(data, at, end)
    seconds, nanos = found.get(1, 0), found.get(2, 0)
    if (not seconds and not nanos) or seconds == _YEAR_ONE:
        return _OMIT
    if not 0 <= nanos < 10**9:
        raise Malformed(f"{nanos} are no nanoseconds")
    moment = _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)
    return f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}" if micro else f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _time(data: bytes, at: int, end: int, _depth: int) -> Any:
    return _moment(data, at, end, micro=False)


def _micro_time(data: bytes, at: int, end: int, _depth: int) -> Any:
    return _moment(data, at, end, micro=True)


def _duration(data: bytes, at: int, end: int, _depth: int) -> str:
    """Return a metav1.Duration as Go prints it: `1h0m30s`, `1.5s`, `20ms`."""
    nanos = _integers(data, at, end).get(1, 0)
    sign, nanos = ("-", -nanos) if nanos < 0 else ("", nanos)
    if nanos < 10**9:
        for unit, size in (("ms", 10**6), ("µs", 1000), ("ns", 1)):
            if nanos >= size:
                return f"{sign}{_plain(nanos, size)}{unit}"
        return "0s"
    minutes, rest = divmod(nanos, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    text = f"{_plain(rest, 10**9)}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{sign}{hours}h{text}" if hours else f"{sign}{text}"


def _plain(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    return f"{whole}.{f'{rest:0{len(str(unit)) - 1}}'.rstrip('0')}" if rest else str(whole)


def _quantity(data: bytes, at: int, end: int, _depth: int) -> str:
    return _one(data, at, end).decode() or "0"


def _int_or_string(data: bytes, at: int, end: int, _depth: int) -> int | str:
    numbers = _integers(data, at, end)
    return _one(data, at, end, 3).decode() if numbers.get(1) else numbers.get(2, 0)


def _raw(data: bytes, at: int, end: int, depth: int) -> Any:
    """Read an object within an object: as JSON, or in this same encoding."""
    raw = _one(data, at, end)
    if not raw:
        return _OMIT
    if depth > _DEEPEST:
        raise Malformed(f"messages are nested more than {_DEEPEST} deep")
    return _unknown(raw, depth + 1) if raw.startswith(MAGIC) else orjson.loads(raw)


def _json(data: bytes, at: int, end: int, _depth: int) -> Any:
    raw = _one(data, at, end)
    return orjson.loads(raw) if raw else None


def _strings(data: bytes, at: int, end: int, _depth: int) -> list[str]:
    found = []
    for number, wire, place in _fields(data, at, end):
        if number == 1 and wire == 2:
            found.append(data[place[0] : place[1]].decode())
    return found


def _schema_or(rest: Callable[[list[Any]], Any]) -> Callable[[bytes, int, int, int], Any]:
    """Read a schema or, where there is none, what stands in its place."""

    def read(data: bytes, at: int, end: int, depth: int) -> Any:
        schemas: dict[int, list[Any]] = {1: [], 2: []}
        for number, wire, place in _fields(data, at, end):
            if number in schemas:
                schemas[number].append(data[place[0] : place[1]] if wire == 2 else place)
        return rest([schemas, depth])

    return read


def _schema(raw: Any, depth: int) -> dict[str, Any]:
    if not isinstance(raw, bytes):
        raise Malformed("proto: wrong wireType for a schema")
    return _message(raw, 0, len(raw), "apiextensions.v1.JSONSchemaProps", depth + 1)


def _or_bool(found: list[Any]) -> Any:
    fields, depth = found
    if fields[2]:
        return _schema(fields[2][-1], depth)
    return bool(fields[1] and fields[1][-1])


def _or_array(found: list[Any]) -> Any:
    fields, depth = found
    if fields[1]:
        return _schema(fields[1][-1], depth)
    return [_schema(raw, depth) for raw in fields[2]]


def _or_strings(found: list[Any]) -> Any:
    fields, depth = found
    if fields[1]:
        return _schema(fields[1][-1], depth)
    if not all(isinstance(raw, bytes) for raw in fields[2]):
        raise Malformed("proto: wrong wireType for a property")
    return [raw.decode() for raw in fields[2]]


_SPECIAL: Mapping[str, Callable[[bytes, int, int, int], Any]] = {
    "meta.v1.Time": _time,
    "meta.v1.MicroTime": _micro_time,
    "meta.v1.Duration": _duration,
    "meta.v1.FieldsV1": _raw,
    "meta.v1.Verbs": _strings,
    "resource.Quantity": _quantity,
    "intstr.IntOrString": _int_or_string,
    "runtime.RawExtension": _raw,
    "authentication.v1.ExtraValue": _strings,
    "authorization.v1.ExtraValue": _strings,
    "certificates.v1.ExtraValue": _strings,
    "apiextensions.v1.JSON": _json,
    "apiextensions.v1.JSONSchemaPropsOrBool": _schema_or(_or_bool),
    "apiextensions.v1.JSONSchemaPropsOrArray": _schema_or(_or_array),
    "apiextensions.v1.JSONSchemaPropsOrStringArray": _schema_or(_or_strings),
}
