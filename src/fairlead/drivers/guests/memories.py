"""A guest's memory, seen by the functions that it calls: nothing outside of it is read or written."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import wasmtime

from .calls import bounded
from .plans import GuestFailed

_MOST_VECTORS = 1024


class Memory:
    """The memory of the guest that calls, or of an instance when `memory` is given."""

    def __init__(self, store: Any, memory: wasmtime.Memory | None = None) -> None:
        found = memory if memory is not None else store.get("memory")
        if not isinstance(found, wasmtime.Memory):
            raise GuestFailed("the module exports no memory", "code")
        self._store = store
        self._memory = found

    def read(self, place: int, size: int) -> bytes:
        """Return the bytes at a place."""
        place, size = place & 0xFFFFFFFF, size & 0xFFFFFFFF
        bounded(size)
        if place + size > self._memory.data_len(self._store):
            raise GuestFailed("the guest points outside of its memory", "trap")
        return bytes(self._memory.read(self._store, place, place + size))

    def write(self, place: int, data: bytes) -> None:
        """Put bytes at a place."""
        place &= 0xFFFFFFFF
        if place + len(data) > self._memory.data_len(self._store):
            raise GuestFailed("the guest points outside of its memory", "trap")
        if data:
            self._memory.write(self._store, data, place)

    def write_number(self, place: int, value: int) -> None:
        """Put a number of 32 bits at a place."""
        self.write(place, struct.pack("<I", value & 0xFFFFFFFF))

    def text(self, place: int, size: int) -> str:
        """Return the text at a place."""
        return self.read(place, size).decode(errors="replace")

    def until_nul(self, place: int) -> bytes:
        """Return the bytes from a place to the next that is zero."""
        place &= 0xFFFFFFFF
        end = self._memory.data_len(self._store)
        out = bytearray()
        while place < end:
            piece = self.read(place, min(4096, end - place))
            stop = piece.find(b"\0")
            if stop >= 0:
                return bytes(out + piece[:stop])
            out += piece
            bounded(len(out))
            place += len(piece)
        raise GuestFailed("the guest points outside of its memory", "trap")

    def vectors(self, place: int, count: int) -> Iterator[tuple[int, int]]:
        """Yield the (place, size) pairs that a guest lists at a place."""
        if not 0 <= count <= _MOST_VECTORS:
            raise GuestFailed("the guest lists too many buffers", "trap")
        raw = self.read(place, 8 * count)
        for at in range(count):
            buffer, size = struct.unpack_from("<II", raw, 8 * at)
            yield buffer, size
