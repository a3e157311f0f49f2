"""Charts that lie in a chart as `.tgz`: files out of a compressed archive, in memory and within limits.

Must never write a file, follow a link or take a path that leads out of the archive. Source: helm.sh/helm/v3/pkg/chart/loader.
"""

from __future__ import annotations

import posixpath
import re
import zlib
from typing import Final

LARGEST: Final = 100 << 20
"""Bytes that an archive may unpack to, all files together: Helm's limit."""
LARGEST_FILE: Final = 5 << 20
"""Bytes that one file may have: Helm's limit."""
MOST_FILES: Final = 20_000
_BLOCK: Final = 512
_DRIVE = re.compile(r"[a-zA-Z]:/")
_REGULAR, _FOLDER, _LINKS, _EXTENDED, _LONG_NAME = b"0\x00", b"5", b"12", b"xg", b"L"


class BadArchive(ValueError):
    """The bytes are no archive of a chart, or one that must not be unpacked."""


def unpack(data: bytes) -> dict[str, bytes]:
    """Return the files of a chart's archive by path, without the folder that they all lie in. Raises BadArchive."""
    tar = _unzipped(data)
    found: dict[str, bytes] = {}
    at, long_name = 0, ""
    while at + _BLOCK <= len(tar):
        header = tar[at : at + _BLOCK]
        at += _BLOCK
        if not header.strip(b"\0"):
            break
        size = _number(header[124:136])
        if size < 0 or at + size > len(tar):
            raise BadArchive("the archive is cut off")
        body = tar[at : at + size]
        at += (size + _BLOCK - 1) // _BLOCK * _BLOCK
        sort = header[156:157]
        if sort in _LONG_NAME:
            long_name = _text(body)
            continue
        if sort in _EXTENDED and sort:
            long_name = _extended(body).get("path", long_name) if sort == b"x" else long_name
            continue
        name = long_name or _name(header)
        long_name = ""
        if sort == _FOLDER or (sort in _REGULAR and name.endswith("/")):
            continue
        if sort in _LINKS:
            raise BadArchive(f'"{name}" is a link; links are not unpacked')
        if sort not in _REGULAR:
            raise BadArchive(f'"{name}" is no file')
        if size > LARGEST_FILE:
            raise BadArchive(
                f'decompressed chart file "{name}" is larger than the maximum file size {LARGEST_FILE}'
            )
        found[_inside(name)] = body.removeprefix(b"\xef\xbb\xbf")
        if len(found) > MOST_FILES:
            raise BadArchive(f"more than {MOST_FILES} files")
    if not found:
        raise BadArchive("no files in chart archive")
    return found


def _unzipped(data: bytes) -> bytes:
    if not data.startswith(b"\x1f\x8b"):
        raise BadArchive("gzip: invalid header")
    opening = zlib.decompressobj(31)
    try:
        tar = opening.decompress(data, LARGEST + 1)
    except zlib.error as fault:
        raise BadArchive(f"gzip: {fault}") from None
    if len(tar) > LARGEST:
        raise BadArchive(f"decompressed chart is larger than the maximum size {LARGEST}")
    if not opening.eof:
        raise BadArchive("gzip: unexpected EOF")
    return tar


def _number(written: bytes) -> int:
    if written[:1] in {b"\x80", b"\xff"}:
        return int.from_bytes(written[1:]) if written[0] == 0x80 else -1
    digits = written.strip(b" \0")
    try:
        return int(digits, 8) if digits else 0
    except ValueError:
        raise BadArchive("archive/tar: invalid tar header") from None


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _name(header: bytes) -> str:
    prefix = _text(header[345:500]) if header[257:262] == b"ustar" else ""
    return f"{prefix}/{_text(header[:100])}" if prefix else _text(header[:100])


def _extended(body: bytes) -> dict[str, str]:
    """The records `length key=value` of a pax header."""
    found = {}
    while body:
        length, _, _ = body.partition(b" ")
        size = int(length) if length.isdigit() and len(length) < 8 else 0
        if not 0 < size <= len(body):
            raise BadArchive("archive/tar: invalid tar header")
        key, _, value = body[len(length) + 1 : size].decode("utf-8", "surrogateescape").partition("=")
        found[key] = value.rstrip("\n")
        body = body[size:]
    return found


def _inside(name: str) -> str:
    """The path within the chart. Raises BadArchive for what leads out of it."""
    path = name.replace("\\", "/")
    first, slash, rest = path.partition("/")
    if first == "Chart.yaml":
        raise BadArchive("chart yaml not in base directory")
    if rest.startswith("/"):
        raise BadArchive("chart illegally contains absolute paths")
    cleaned = posixpath.normpath(rest) if slash and rest else "."
    if cleaned == ".":
        raise BadArchive(f'chart illegally contains content outside the base directory: "{name}"')
    if cleaned.startswith(".."):
        raise BadArchive("chart illegally references parent directory")
    if _DRIVE.match(cleaned):
        raise BadArchive("chart contains illegally named files")
    return cleaned
