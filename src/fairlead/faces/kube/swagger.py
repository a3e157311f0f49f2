"""OpenAPI 2 documents in the protobuf form that kubectl asks for where it does not use OpenAPI 3.

A table of field numbers and a writer over it; what has no place in the table (there is none in OpenAPI 2 itself) is left
out. Nothing here knows what is served.
Source: the message definitions of github.com/google/gnostic-models, openapiv2.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import orjson

MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
ACCEPTED = frozenset({MEDIA_TYPE, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"})

Writer: TypeAlias = Callable[[Any], bytes | None]
"""A value's content, without its tag; None for a default, which proto3 leaves out."""


def encode(document: Mapping[str, Any]) -> bytes:
    """Return the openapi.v2.Document message of a Swagger 2.0 document."""
    return _message(document, _DOCUMENT)


class _Field:
    """How one key is written: its number, its wire type, its content, and whether it repeats."""

    __slots__ = ("repeated", "tag", "write")

    def __init__(self, number: int, write: Writer, *, wire: int = 2, repeated: bool = False) -> None:
        self.tag = _varint(number << 3 | wire)
        self.write = write
        self.repeated = repeated

    def put(self, value: Any) -> Iterator[bytes]:
        """Yield the field's bytes, once for each value of a repeated one."""
        for one in value if self.repeated else (value,):
            content = self.write(one)
            if content is not None:
                yield self.tag
                yield content


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _sized(content: bytes) -> bytes:
    return _varint(len(content)) + content


def _message(value: Mapping[str, Any], table: Mapping[str, _Field]) -> bytes:
    parts: list[bytes] = []
    extension = table.get("x-")
    for key, item in value.items():
        field = table.get(key)
        if field is not None:
            parts.extend(field.put(item))
        elif extension is not None and key.startswith("x-"):
            parts.extend(extension.put((key, item)))
    return b"".join(parts)


def _text(value: str) -> bytes | None:
    return _sized(value.encode()) if value else None


def _each_text(value: str) -> bytes:
    return _sized(value.encode())


def _flag(value: bool) -> bytes | None:
    return b"\x01" if value else None


def _whole(value: int) -> bytes | None:
    return _varint(value) if value else None


def _real(value: float) -> bytes | None:
    return struct.pack("<d", value) if value else None


def _any(value: Any) -> bytes:
    """An Any holds its value as YAML, which JSON is."""
    return _sized(b"".join(_Field(2, _text).put(orjson.dumps(value).decode() + "\n")))


def _of(table: Callable[[], Mapping[str, _Field]]) -> Writer:
    return lambda value: _sized(_message(value, table()))


def _named(write: Writer) -> Writer:
    """Write a (name, value) pair."""
    name, content = _Field(1, _text), _Field(2, write)
    return lambda pair: _sized(b"".join((*name.put(pair[0]), *content.put(pair[1]))))


def _map(number: int, write: Writer) -> Writer:
    """Write a mapping as a message with repeated pairs."""
    pairs = _Field(number, _named(write), repeated=True)
    return lambda value: _sized(b"".join(pairs.put(value.items())))


def _within(number: int, write: Writer) -> Writer:
    """Write a value as the only field of a message."""
    field = _Field(number, write)
    return lambda value: _sized(b"".join(field.put(value)))


def _many(number: int, write: Writer) -> Writer:
    """Write one value or a list of them as the only, repeated field of a message."""
    field = _Field(number, write, repeated=True)
    return lambda value: _sized(b"".join(field.put(value if isinstance(value, list) else [value])))


_schema = _of(lambda: _SCHEMA)
_EXTENSION = _named(_any)


def _additional(value: Any) -> bytes:
    if isinstance(value, bool):
        return _sized(b"".join(_Field(2, _flag, wire=0).put(value)))
    content = _within(1, _schema)(value)
    assert content is not None
    return content


_REFERENCE = {"$ref": _Field(1, _text), "description": _Field(2, _text)}
_reference = _of(lambda: _REFERENCE)

_SCHEMA: Mapping[str, _Field] = {
    "$ref": _Field(1, _text),
    "format": _Field(2, _text),
    "title": _Field(3, _text),
    "description": _Field(4, _text),
    "default": _Field(5, _any),
    "multipleOf": _Field(6, _real, wire=1),
    "maximum": _Field(7, _real, wire=1),
    "exclusiveMaximum": _Field(8, _flag, wire=0),
    "minimum": _Field(9, _real, wire=1),
    "exclusiveMinimum": _Field(10, _flag, wire=0),
    "maxLength": _Field(11, _whole, wire=0),
    "minLength": _Field(12, _whole, wire=0),
    "pattern": _Field(13, _text),
    "maxItems": _Field(14, _whole, wire=0),
    "minItems": _Field(15, _whole, wire=0),
    "uniqueItems": _Field(16, _flag, wire=0),
    "maxProperties": _Field(17, _whole, wire=0),
    "minProperties": _Field(18, _whole, wire=0),
    "required": _Field(19, _each_text, repeated=True),
    "enum": _Field(20, _any, repeated=True),
    "additionalProperties": _Field(21, _additional),
    "type": _Field(22, _many(1, _each_text)),
    "items": _Field(23, _many(1, _schema)),
    "allOf": _Field(24, _schema, repeated=True),
    "properties": _Field(25, _map(1, _schema)),
    "readOnly": _Field(27, _flag, wire=0),
    "example": _Field(30, _any),
    "x-": _Field(31, _EXTENSION),
}

_BODY: Mapping[str, _Field] = {
    "description": _Field(1, _text),
    "name": _Field(2, _text),
    "in": _Field(3, _text),
    "required": _Field(4, _flag, wire=0),
    "schema": _Field(5, _schema),
    "x-": _Field(6, _EXTENSION),
}
_QUERY: Mapping[str, _Field] = {
    "required": _Field(1, _flag, wire=0),
    "in": _Field(2, _text),
    "description": _Field(3, _text),
    "name": _Field(4, _text),
    "type": _Field(6, _text),
    "format": _Field(7, _text),
    "uniqueItems": _Field(20, _flag, wire=0),
    "x-": _Field(23, _EXTENSION),
}
_PATH: Mapping[str, _Field] = {
    "required": _Field(1, _flag, wire=0),
    "in": _Field(2, _text),
    "description": _Field(3, _text),
    "name": _Field(4, _text),
    "type": _Field(5, _text),
    "format": _Field(6, _text),
    "uniqueItems": _Field(19, _flag, wire=0),
    "x-": _Field(22, _EXTENSION),
}
_BY_PLACE: Mapping[str, Writer] = {
    "body": _within(1, _of(lambda: _BODY)),
    "header": _within(2, _within(1, _of(lambda: _PATH))),
    "query": _within(2, _within(3, _of(lambda: _QUERY))),
    "path": _within(2, _within(4, _of(lambda: _PATH))),
}


def _parameter(value: Mapping[str, Any]) -> bytes | None:
    if "$ref" in value:
        return _within(2, _reference)(value)
    return _sized(b"".join(_Field(1, _BY_PLACE[value["in"]]).put(value)))


_RESPONSE: Mapping[str, _Field] = {
    "description": _Field(1, _text),
    "schema": _Field(2, _within(1, _schema)),
    "x-": _Field(5, _EXTENSION),
}
_OPERATION: Mapping[str, _Field] = {
    "tags": _Field(1, _each_text, repeated=True),
    "summary": _Field(2, _text),
    "description": _Field(3, _text),
    "operationId": _Field(5, _text),
    "produces": _Field(6, _each_text, repeated=True),
    "consumes": _Field(7, _each_text, repeated=True),
    "parameters": _Field(8, _parameter, repeated=True),
    "responses": _Field(9, _map(1, _within(1, _of(lambda: _RESPONSE)))),
    "schemes": _Field(10, _each_text, repeated=True),
    "deprecated": _Field(11, _flag, wire=0),
    "x-": _Field(13, _EXTENSION),
}
_operation = _of(lambda: _OPERATION)
_ITEM: Mapping[str, _Field] = {
    "$ref": _Field(1, _text),
    "get": _Field(2, _operation),
    "put": _Field(3, _operation),
    "post": _Field(4, _operation),
    "delete": _Field(5, _operation),
    "options": _Field(6, _operation),
    "head": _Field(7, _operation),
    "patch": _Field(8, _operation),
    "parameters": _Field(9, _parameter, repeated=True),
    "x-": _Field(10, _EXTENSION),
}
_INFO: Mapping[str, _Field] = {
    "title": _Field(1, _text),
    "version": _Field(2, _text),
    "description": _Field(3, _text),
    "x-": _Field(7, _EXTENSION),
}
_DOCUMENT: Mapping[str, _Field] = {
    "swagger": _Field(1, _text),
    "info": _Field(2, _of(lambda: _INFO)),
    "host": _Field(3, _text),
    "basePath": _Field(4, _text),
    "schemes": _Field(5, _each_text, repeated=True),
    "consumes": _Field(6, _each_text, repeated=True),
    "produces": _Field(7, _each_text, repeated=True),
    "paths": _Field(8, _map(2, _of(lambda: _ITEM))),
    "definitions": _Field(9, _map(1, _schema)),
    "x-": _Field(16, _EXTENSION),
}
