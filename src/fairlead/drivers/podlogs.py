"""Reading container logs in the CRI's format: whole or the end, since a time, and as they grow.

A line is `<RFC 3339 time> <stdout|stderr> <F|P> <text>`; pieces marked P belong to a line that goes on. Rotated files have
the time of their rotation behind their name. Must never read a whole log to show its end.
"""

from __future__ import annotations

import asyncio
import gzip
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_BLOCK = 64 << 10
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What part of a log: the last lines, those since a time, so many bytes, with their times or without."""

    tail: int | None = None
    since: datetime | None = None
    limit: int | None = None
    timestamps: bool = False


def files(log: Path) -> list[Path]:
    """Return the log and what was rotated away from it, the oldest first."""
    rotated = sorted(path for path in log.parent.glob(f"{log.name}.*") if not path.name.endswith(".tmp"))
    return [*rotated, *([log] if log.exists() else [])]


def _lines(path: Path) -> Iterator[bytes]:
    if path.suffix == ".gz":
        with gzip.open(path, "rb") as packed:
            yield from packed
        return
    with path.open("rb") as plain:
        yield from plain


def _backwards(path: Path, end: int | None = None) -> Iterator[bytes]:
    """Yield a file's lines from its end, or from a position that counts as its end, reading blocks."""
    if path.suffix == ".gz":
        yield from reversed(list(_lines(path)))
        return
    with path.open("rb") as file:
        at = file.seek(0, os.SEEK_END) if end is None else end
        rest = b""
        while at > 0:
            step = min(_BLOCK, at)
            at -= step
            file.seek(at)
            rest = file.read(step) + rest
            first, *whole = rest.split(b"\n")
            for line in reversed(whole):
                if line:
                    yield line + b"\n"
            rest = first
        if rest:
            yield rest + b"\n"


def _parts(line: bytes) -> tuple[bytes, bool, bytes] | None:
    """Return (time, whether the line ends here, text), or None for what is not in the format."""
    parts = line.rstrip(b"\n").split(b" ", 3)
    if len(parts) < 3:
        return None
    return parts[0], parts[2].startswith(b"F"), parts[3] if len(parts) > 3 else b""


def _tail(log: Path, count: int, end: int | None = None) -> list[bytes]:
    """Return the raw pieces that make up the last `count` lines, in order. `end` bounds the newest file."""
    found: list[bytes] = []
    whole = 0
    for path in reversed(files(log)):
        for line in _backwards(path, end if path == log else None):
            parts = _parts(line)
            if parts is None:
                continue
            if parts[1]:
                whole += 1
                if whole > count:
                    return found[::-1]
            found.append(line)
    return found[::-1]


class Reader:
    """Turns raw pieces into what is shown, within the limits that were asked for."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._left = wanted.limit
        self._within_line = False

    @property
    def full(self) -> bool:
        """Whether the limit of bytes is reached."""
        return self._left is not None and self._left <= 0

    def show(self, line: bytes) -> bytes:
        """Return what a raw piece adds to the answer."""
        parts = _parts(line)
        if parts is None or self.full:
            return b""
        time, ends, text = parts
        if self._wanted.since is not None and _moment(time) < self._wanted.since:
            return b""
        out = text + (b"\n" if ends else b"")
        if self._wanted.timestamps and not self._within_line:
            out = time + b" " + out
        self._within_line = not ends
        if self._left is not None:
            out = out[: self._left]
            self._left -= len(out)
        return out


def _moment(text: bytes) -> datetime:
    return datetime.fromisoformat(text.decode(errors="replace")[:26].rstrip("Z")).replace(tzinfo=UTC)


def read(log: Path, wanted: Wanted) -> Iterator[bytes]:
    """Yield what is in the log now."""
    reader = Reader(wanted)
    pieces = (
        iter(_tail(log, wanted.tail))
        if wanted.tail is not None
        else (line for path in files(log) for line in _lines(path))
    )
    for line in pieces:
        out = reader.show(line)
        if out:
            yield out
        if reader.full:
            return


async def follow(log: Path, wanted: Wanted, running: Callable[[], bool]) -> AsyncIterator[bytes]:
    """Yield what is in the log and what is added to it, until the container has ended and all of it was read.

    Goes on in the new file when the log is rotated.
    """
    reader = Reader(wanted)
    inode, position = await asyncio.to_thread(_place, log)
    if wanted.tail is not None:
        start = await asyncio.to_thread(_tail, log, wanted.tail, position)
    else:
        start, position = await asyncio.to_thread(_rotated, log, inode), 0
    if out := await asyncio.to_thread(lambda: b"".join(map(reader.show, start))):
        yield out
    rest = b""
    while not reader.full:
        alive = running()  # before the read: what it wrote last must still be seen
        data, position, inode = await asyncio.to_thread(_more, log, position, inode)
        *whole, rest = (rest + data).split(b"\n")
        shown = b"".join(reader.show(line) for line in whole)
        if shown:
            yield shown
        if not data:
            if not alive:
                return
            await asyncio.sleep(_POLL_SECONDS)


def _place(log: Path) -> tuple[int, int]:
    """Return the newest file's inode and its size; zeros when there is none yet."""
    try:
        found = log.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_ino, found.st_size


def _rotated(log: Path, inode: int) -> list[bytes]:
    """Return the raw pieces of the files that came before the one with the inode."""
    return [line for path in files(log) if path.stat().st_ino != inode for line in _lines(path)]


def _more(log: Path, position: int, inode: int) -> tuple[bytes, int, int]:
    """Return what came after a position, the new position, and the file that it is in."""
    try:
        with log.open("rb") as file:
            now = os.fstat(file.fileno())
            if inode and now.st_ino != inode:
                rotated = next((path for path in files(log) if path.stat().st_ino == inode), None)
                if rotated is not None and rotated.suffix != ".gz" and rotated.stat().st_size > position:
                    with rotated.open("rb") as old:
                        old.seek(position)
                        data = old.read(_BLOCK)
                        return data, position + len(data), inode
                position = 0
            file.seek(position)
            data = file.read(_BLOCK)
            return data, position + len(data), now.st_ino
    except FileNotFoundError:
        return b"", position, inode
