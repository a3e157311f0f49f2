"""The custom sections of a WebAssembly module, such as what Kubewarden's tools note about a policy. Reads bytes, runs nothing."""

from __future__ import annotations

MAGIC = b"\0asm\x01\0\0\0"


def _number(code: bytes, place: int) -> tuple[int, int]:
    """Return an unsigned LEB128 number, and the place after it."""
    value = shift = 0
    while True:
        if place >= len(code) or shift > 28:
            raise ValueError("the module is cut short")
        byte = code[place]
        place += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, place


def custom_section(code: bytes, name: str) -> bytes | None:
    """Return the content of the custom section of a name, None without one. Raises ValueError for what is no module."""
    if not code.startswith(MAGIC):
        raise ValueError("the code is no WebAssembly module")
    place = len(MAGIC)
    while place < len(code):
        kind = code[place]
        size, place = _number(code, place + 1)
        end = place + size
        if end > len(code):
            raise ValueError("the module is cut short")
        if kind == 0:
            length, begun = _number(code, place)
            if code[begun : begun + length] == name.encode():
                return code[begun + length : end]
        place = end
    return None
