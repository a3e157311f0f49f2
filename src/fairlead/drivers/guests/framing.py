"""What goes over the pipes between a worker and its parent: frames of a JSON header and a body of bytes.

Both lengths come first (four bytes each, big-endian) and are checked before anything is read.
"""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any, BinaryIO

_LENGTHS = struct.Struct(">II")
_LARGEST_HEADER = 4 << 20
LARGEST_BODY = 512 << 20


class BadFrame(Exception):
    """What came is no frame."""


def pack(header: dict[str, Any], body: bytes = b"") -> bytes:
    """Return a frame."""
    text = json.dumps(header).encode()
    return _LENGTHS.pack(len(text), len(body)) + text + body


def _sizes(raw: bytes, most: int) -> tuple[int, int]:
    header, body = _LENGTHS.unpack(raw)
    if header > _LARGEST_HEADER or body > most:
        raise BadFrame(f"a frame of {header} and {body} bytes is too large")
    return header, body


def _header(raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BadFrame("a frame's header is no JSON") from error
    if not isinstance(found, dict):
        raise BadFrame("a frame's header is no object")
    return found


def read(stream: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    """Return the next frame, or None when the other side has closed."""
    raw = stream.read(_LENGTHS.size)
    if len(raw) < _LENGTHS.size:
        return None
    header, body = _sizes(raw, LARGEST_BODY)
    return _header(stream.read(header)), stream.read(body)


async def receive(stream: asyncio.StreamReader, most: int) -> tuple[dict[str, Any], bytes]:
    """Return the next frame, whose body has at most so many bytes. Raises BadFrame or IncompleteReadError."""
    header, body = _sizes(await stream.readexactly(_LENGTHS.size), most)
    return _header(await stream.readexactly(header)), await stream.readexactly(body)
