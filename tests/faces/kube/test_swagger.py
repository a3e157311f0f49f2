"""OpenAPI 2 as protobuf: what was written can be read back, field by field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fairlead.faces.kube import swagger

DOCUMENT: dict[str, Any] = {
    "swagger": "2.0",
    "info": {"title": "T", "version": "v1"},
    "paths": {
        "/a/{name}": {
            "parameters": [{"name": "name", "in": "path", "required": True, "type": "string"}],
            "get": {
                "operationId": "getA",
                "tags": ["a", ""],
                "parameters": [
                    {"name": "limit", "in": "query", "type": "integer", "uniqueItems": True},
                    {"name": "body", "in": "body", "schema": {"$ref": "#/definitions/A"}},
                ],
                "responses": {"200": {"description": "OK", "schema": {"$ref": "#/definitions/A"}}},
                "x-kubernetes-action": "get",
            },
        }
    },
    "definitions": {
        "A": {
            "type": "object",
            "required": ["b"],
            "minimum": 1.5,
            "maxLength": 300,
            "properties": {"b": {"type": ["string", "null"]}, "c": {"items": {"type": "string"}}},
            "additionalProperties": {"type": "string"},
            "x-kubernetes-group-version-kind": [{"kind": "A"}],
        },
        "B": {"additionalProperties": True, "oneOf": [{}]},
    },
}


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        if tag & 7 == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
        else:
            size = 8
            if tag & 7 == 2:
                size, at = _varint(data, at)
            yield tag >> 3, data[at : at + size]
            at += size
    assert at == len(data)


def _at(data: bytes, *numbers: int) -> Any:
    for number in numbers:
        data = dict(_fields(data))[number]
    return data


def test_a_document_can_be_read_back() -> None:
    data = swagger.encode(DOCUMENT)
    assert _at(data, 1) == b"2.0"
    assert _at(data, 2, 2) == b"v1"
    path = _at(data, 8, 2)
    assert _at(path, 1) == b"/a/{name}"
    assert _at(path, 2, 9, 1, 2, 4, 4) == b"name"
    operation = _at(path, 2, 2)
    assert _at(operation, 5) == b"getA"
    assert [value for number, value in _fields(operation) if number == 1] == [b"a", b""]
    query, body = [value for number, value in _fields(operation) if number == 8]
    assert _at(query, 1, 2, 3, 4) == b"limit"
    assert _at(query, 1, 2, 3, 20) == 1
    assert _at(body, 1, 1, 5, 1) == b"#/definitions/A"
    assert _at(operation, 9, 1, 1) == b"200"
    assert _at(operation, 9, 1, 2, 1, 2, 1, 1) == b"#/definitions/A"
    assert _at(operation, 13, 1) == b"x-kubernetes-action"
    assert _at(operation, 13, 2, 2) == b'"get"\n'


def test_schemas() -> None:
    first, second = [value for number, value in _fields(_at(swagger.encode(DOCUMENT), 9)) if number == 1]
    schema = _at(first, 2)
    assert _at(first, 1) == b"A"
    assert _at(schema, 22, 1) == b"object"
    assert _at(schema, 19) == b"b"
    assert _at(schema, 9) == b"\x00\x00\x00\x00\x00\x00\xf8?"
    assert _at(schema, 11) == 300
    b, c = [value for number, value in _fields(_at(schema, 25)) if number == 1]
    assert [value for _, value in _fields(_at(b, 2, 22))] == [b"string", b"null"]
    assert _at(c, 2, 23, 1, 22, 1) == b"string"
    assert _at(schema, 21, 1, 22, 1) == b"string"
    assert _at(schema, 31, 2, 2) == b'[{"kind":"A"}]\n'
    assert _at(second, 2, 21, 2) == 1
