"""Archives of others, read strictly: whatever could put something anywhere else, or too much of it, is refused by name.

A reader of tar of our own, since one that is lenient lets two readers see two things. Yields files only; links of any sort, devices,
names that lead out, doubled names, sparse files, unknown extensions and what follows the end are refused, never skipped.
Source: POSIX.1-2001 pax, ustar, and GNU's long names and base-256 numbers; RFC 1952.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from fairlead.diagnose.hiding import visible
from fairlead.drivers.oci.errors import RegistryError, TooLarge, Unpackable

_BLOCK: Final = 512
_PIECE: Final = 64 << 10
_LARGEST_EXTENSION: Final = 64 << 10
_LONGEST_NAME: Final = 1024
_LONGEST_PART: Final = 255
_RATIO_FROM: Final = 1 << 20
_OTHERS: Final = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a pipe",
    b"S": "a sparse file",
}
_HARMLESS: Final = frozenset(
    {"mtime", "atime", "ctime", "uid", "gid", "uname", "gname", "comment", "charset", "hdrcharset"}
)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much an archive may unpack to: bytes in all, files, bytes of one file, and bytes for each compressed byte."""

    total: int = 100 << 20
    files: int = 10_000
    file: int = 100 << 20
    ratio: int = 250


USUAL: Final = Limits()


@dataclass(frozen=True, slots=True)
class Member:
    """A file of an archive."""

    data: bytes
    executable: bool = False


@dataclass(slots=True)
class _Head:
    name: str
    size: int
    kind: bytes
    mode: int


def _gunzipped(file: IO[bytes], what: str, limits: Limits) -> Iterator[bytes]:
    """Yield what a gzip file holds, as one or more members; stops it where it grows beyond all reason."""
    opened: zlib._Decompress | None = None
    taken, given = 0, 0
    allowed = limits.total + (limits.files + 2) * 2 * _BLOCK + _LARGEST_EXTENSION
    while piece := file.read(_PIECE):
        taken += len(piece)
        while piece:
            if opened is None:
                opened = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
            try:
                found = opened.decompress(piece, 16 * _PIECE)
            except zlib.error as error:
                raise RegistryError(f"{what}: not a gzip file, or a broken one") from error
            given += len(found)
            if given > allowed:
                raise TooLarge(f"{what}: it unpacks to more than {limits.total} bytes")
            if given > _RATIO_FROM and given > taken * limits.ratio:
                raise TooLarge(
                    f"{what}: it unpacks to more than {limits.ratio} times its size, as only a bomb does"
                )
            if found:
                yield found
            piece = opened.unconsumed_tail
            if opened.eof:
                piece, opened = opened.unused_data, None
    if opened is not None:
        raise RegistryError(f"{what}: the gzip file ends in the middle")


class _Stream:
    """Bytes by number, over pieces."""

    def __init__(self, pieces: Iterator[bytes], what: str) -> None:
        self._pieces = pieces
        self._held = bytearray()
        self._what = what

    def take(self, count: int, *, may_end: bool = False) -> bytes:
        while len(self._held) < count:
            piece = next(self._pieces, None)
            if piece is None:
                if may_end and not self._held:
                    return b""
                raise RegistryError(f"{self._what}: the archive ends in the middle")
            self._held += piece
        found = bytes(self._held[:count])
        del self._held[:count]
        return found

    def rest_is_empty(self) -> bool:
        """Return whether there is nothing but zeros to the end."""
        if self._held.strip(b"\0"):
            return False
        return not any(piece.strip(b"\0") for piece in self._pieces)


def members(
    file: IO[bytes], what: str, limits: Limits = USUAL, *, compressed: bool = True
) -> Iterator[tuple[str, Member]]:
    """Yield the files of a tar (with gzip around it, unless said otherwise), in order: a checked relative name, and the file.

    Raises Unpackable for what must not be unpacked, TooLarge, and RegistryError for what is no such archive.
    """
    plain = _gunzipped(file, what, limits) if compressed else iter(lambda: file.read(_PIECE), b"")
    stream = _Stream(plain, what)
    seen: dict[str, bool] = {}
    total, count = 0, 0
    while (head := _next(stream, what, limits)) is not None:
        name = safe_name(head.name, what)
        folder = head.kind == b"5" or (head.kind in {b"0", b"\0", b"7"} and head.name.endswith("/"))
        if not folder and head.kind not in {b"0", b"\0", b"7"}:
            sort = _OTHERS.get(head.kind, f"an entry of the unknown type {head.kind!r}")
            raise Unpackable(f"{what}: {_shown(head.name)} is {sort}; only files and folders are unpacked")
        count += 1
        if count > limits.files:
            raise TooLarge(f"{what}: more than {limits.files} entries")
        if folder:
            if head.size:
                raise Unpackable(f"{what}: {_shown(head.name)} is a folder with content")
            if name:
                _note(seen, name, what, folder=True)
            continue
        if not name:
            raise Unpackable(f"{what}: {_shown(head.name)!r} names no file")
        total += head.size
        if head.size > limits.file:
            raise TooLarge(
                f"{what}: {_shown(name)} has {head.size} bytes, and at most {limits.file} are unpacked"
            )
        if total > limits.total:
            raise TooLarge(
                f"{what}: {_shown(name)} makes it more than the {limits.total} bytes that are unpacked"
            )
        _note(seen, name, what, folder=False)
        data = stream.take(head.size)
        stream.take(-head.size % _BLOCK)
        yield name, Member(data, bool(head.mode & 0o100))
    if not stream.rest_is_empty():
        raise Unpackable(f"{what}: there is something after the end of the archive")


def _note(seen: dict[str, bool], name: str, what: str, *, folder: bool) -> None:
    """Remember an entry and the folders above it; refuse what is there twice, or both a file and a folder."""
    if name in seen and not (folder and seen[name]):
        raise Unpackable(f"{what}: {_shown(name)} is there twice")
    parts = name.split("/")
    for length in range(1, len(parts)):
        above = "/".join(parts[:length])
        if seen.setdefault(above, True) is False:
            raise Unpackable(f"{what}: {_shown(name)} lies below {_shown(above)}, which is a file")
    seen[name] = folder


def _shown(name: str) -> str:
    return visible(name if len(name) <= 200 else f"{name[:200]}…")


def safe_name(name: str, what: str) -> str:
    """Return an entry's name without `./` and a last slash ("" for the top itself), if it stays inside. Raises Unpackable."""
    shown = f"{what}: {_shown(name)!r}"
    if len(name) > _LONGEST_NAME:
        raise Unpackable(f"{shown} has more than {_LONGEST_NAME} characters")
    if name.startswith("/"):
        raise Unpackable(f"{shown} is an absolute path")
    if "\\" in name or any(ord(one) < 32 or ord(one) == 127 for one in name):
        raise Unpackable(f"{shown} has a character that no path should have")
    if len(name) > 1 and name[1] == ":" and name[0].isalpha():
        raise Unpackable(f"{shown} is an absolute path on another system")
    while name.startswith("./"):
        name = name[2:]
    name = name.removesuffix("/")
    if name in {"", "."}:
        return ""
    for part in name.split("/"):
        if part == "..":
            raise Unpackable(f"{shown} leads out of the archive")
        if part in {"", "."}:
            raise Unpackable(f"{shown} is not a plain path")
        if len(part.encode()) > _LONGEST_PART:
            raise Unpackable(f"{shown} has a part of more than {_LONGEST_PART} bytes")
    return name


def _next(stream: _Stream, what: str, limits: Limits) -> _Head | None:
    """Return the next entry's head, with what its extensions say; None at the end."""
    name = ""
    size: int | None = None
    extensions = 0
    while True:
        block = stream.take(_BLOCK, may_end=True)
        if not block or not block.strip(b"\0"):
            if name or size is not None:
                raise RegistryError(f"{what}: the archive ends in the middle")
            return None
        head = _head(block, what)
        if head.size < 0:
            raise RegistryError(f"{what}: {_shown(head.name)} has a size below 0")
        if head.kind not in {b"x", b"g", b"L", b"K"}:
            return _Head(name or head.name, head.size if size is None else size, head.kind, head.mode)
        extensions += 1
        if extensions > min(8, limits.files) or head.size > _LARGEST_EXTENSION:
            raise TooLarge(f"{what}: {_shown(head.name)}: too much said of one entry")
        data = stream.take(head.size)
        stream.take(-head.size % _BLOCK)
        if head.kind == b"L":
            name = _text(data.rstrip(b"\0"), what)
        elif head.kind == b"x":
            said = _pax(data, what)
            name = said.get("path", name)
            if "size" in said:
                if not (said["size"].isascii() and said["size"].isdigit() and len(said["size"]) < 16):
                    raise RegistryError(f"{what}: {_shown(name)} has the size {_shown(said['size'])!r}")
                size = int(said["size"])
        elif head.kind == b"g" and {"path", "size", "linkpath"} & _pax(data, what).keys():
            raise Unpackable(f"{what}: the archive gives all entries one name or size")


def _pax(data: bytes, what: str) -> dict[str, str]:
    """Return the records of a pax extension, each `<length> <key>=<value>` and a line's end."""
    found: dict[str, str] = {}
    while data:
        digits, space, _ = data[:12].partition(b" ")
        if not space or not digits.isdigit():
            raise RegistryError(f"{what}: a broken pax extension")
        length = int(digits)
        record = data[len(digits) + 1 : length]
        if length > len(data) or not record.endswith(b"\n"):
            raise RegistryError(f"{what}: a broken pax extension")
        key, equals, value = record[:-1].partition(b"=")
        if not equals:
            raise RegistryError(f"{what}: a broken pax extension")
        word = _text(key, what)
        if word.startswith("GNU.sparse."):
            raise Unpackable(f"{what}: a sparse file; only plain files are unpacked")
        if word in {"path", "size", "linkpath"}:
            if word in found:
                raise Unpackable(f"{what}: a pax extension says {word} twice")
            found[word] = _text(value, what)
        elif word not in _HARMLESS and not word.startswith(("SCHILY.", "LIBARCHIVE.", "RHT.", "MSWINDOWS.")):
            raise Unpackable(f"{what}: an unknown pax extension {_shown(word)!r}")
        data = data[length:]
    return found


def _text(data: bytes, what: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Unpackable(f"{what}: {data[:200]!r} is a name that is not UTF-8") from error


def _head(block: bytes, what: str) -> _Head:
    """Return what a header block says. Raises RegistryError where it is none."""
    said = _number(block[148:156], what)
    if said != sum(block[:148]) + 8 * 32 + sum(block[156:]):
        raise RegistryError(f"{what}: not a tar archive, or a broken one")
    name = _text(block[:100].partition(b"\0")[0], what)
    if block[257:263] == b"ustar\0":
        prefix = _text(block[345:500].partition(b"\0")[0], what)
        name = f"{prefix}/{name}" if prefix else name
    return _Head(name, _number(block[124:136], what), block[156:157], _number(block[100:108], what))


def _number(field: bytes, what: str) -> int:
    if field[0] & 0x80:
        if field[0] & 0x40:
            return -1
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:])
    text = field.partition(b"\0")[0].strip(b" ")
    if not text:
        return 0
    if text.strip(b"01234567"):
        raise RegistryError(f"{what}: not a tar archive, or a broken one")
    return int(text, 8)


def unpacked(data: IO[bytes] | Path, what: str, limits: Limits = USUAL) -> dict[str, Member]:
    """Return all files of a .tar.gz by name. Raises as `members` does, OSError."""
    if isinstance(data, Path):
        with data.open("rb") as file:
            return dict(members(file, what, limits))
    return dict(members(data, what, limits))


def file_name(title: str, what: str) -> str:
    """Return the name of a file that a title means, which has to be a plain one. Raises Unpackable."""
    name = safe_name(title, what)
    if not name or "/" in name:
        raise Unpackable(f"{what}: {_shown(title)!r} is no plain name of a file")
    return name
