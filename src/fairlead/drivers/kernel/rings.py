"""Ring buffers of the kernel mapped into Python, read in batches and copied out whole. Must never hold on to the mapping's memory.

A record in the ring has a header of eight bytes: its length with a bit for "being written" and one for "thrown away", then the record,
filled up to eight bytes (kernel/bpf/ringbuf.c). Producer's and consumer's positions only grow. The reader takes what lies between
them up to the first record that is still being written, copies it, and only then moves the consumer's position.
"""

from __future__ import annotations

import mmap
import threading
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from fairlead.sense import records

_BUSY: Final = 1 << 31
_DISCARDED: Final = 1 << 30
_LENGTH: Final = _DISCARDED - 1
_HEADER: Final = 8

Records: TypeAlias = "np.ndarray[Any, np.dtype[np.void]]"
_Words: TypeAlias = "np.ndarray[Any, np.dtype[np.uint64]]"


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one ring, in the order in which the kernel made them.

    `ring` is calls, named, long or alerts. `records` is an array of records.CALL or records.NAMED for the first two, and a list of
    bytes for the others. They are copies: nothing in the kernel waits for them.
    """

    ring: str
    records: Records | list[bytes]

    def __len__(self) -> int:
        return len(self.records)


class _Fence:
    """Orders memory: what was read before `pass_` is read before what is read after it.

    A release and then an acquire of a lock is the one pair that Python offers and that processors of every kind keep in order.
    """

    def __init__(self) -> None:
        lock = threading.Lock()
        lock.acquire()
        self._release = lock.release
        self._acquire = lock.acquire

    def pass_(self) -> None:
        """Order what is before and what is after."""
        self._release()
        self._acquire()


class Ring:
    """One ring buffer map, with this process as its only reader. `size` is the map's size in bytes, a power of two."""

    def __init__(self, name: str, fd: int, size: int) -> None:
        page = mmap.PAGESIZE
        self.name = name
        self.size = size
        self._mask = size - 1
        self._start = page
        # The kernel maps the data twice, so that a record never wraps. The second time is mapped here only as far as a record reaches.
        self._extra = min(size, page)
        self._ours = mmap.mmap(fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=0)
        self._theirs = mmap.mmap(fd, page + size + self._extra, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        self._consumer = memoryview(self._ours)[:8].cast("Q")
        self._producer = memoryview(self._theirs)[:8].cast("Q")
        self._fence = _Fence()
        self._at: int = self._consumer[0]

    @property
    def waiting(self) -> int:
        """Bytes in the ring that were not read yet."""
        produced: int = self._producer[0]
        return produced - self._at

    def close(self) -> None:
        """Unmap."""
        self._consumer.release()
        self._producer.release()
        self._ours.close()
        self._theirs.close()

    def _advance(self, to: int) -> None:
        self._fence.pass_()
        self._at = to
        self._consumer[0] = to

    def read(self) -> list[bytes]:
        """Return all records that are there, of whatever sizes, and make room for new ones."""
        end: int = self._producer[0]
        if end == self._at:
            return []
        self._fence.pass_()
        places = []
        at = self._at
        with memoryview(self._theirs) as whole, whole[self._start :] as data:
            while at < end:
                place = at & self._mask
                header = int.from_bytes(data[place : place + 4], "little")
                if header & _BUSY:
                    break
                length = header & _LENGTH
                if not header & _DISCARDED:
                    places.append((place + _HEADER, length))
                at += (length + _HEADER + 7) & ~7
            self._fence.pass_()
            found = []
            room = self.size + self._extra
            for place, length in places:
                if place + length <= room:
                    found.append(bytes(data[place : place + length]))
                else:
                    found.append(bytes(data[place : self.size]) + bytes(data[: place + length - self.size]))
        if at != self._at:
            self._advance(at)
        return found

    def read_fixed(self, layout: np.dtype[np.void]) -> Records:
        """Return all records that are there, every one of the size of `layout`, and make room for new ones.

        Raises:
            ValueError: the ring holds a record of another size, so the kernel's programs are not those of this reader.

        """
        end: int = self._producer[0]
        if end == self._at:
            return np.empty(0, layout)
        # Copied as words: joined as records they would be laid out anew, since a record's fields may lie over each other.
        stride = (layout.itemsize + _HEADER + 7) & ~7
        room: _Words = np.empty(((end - self._at) // stride, layout.itemsize // 8), np.dtype("<u8"))
        count = 0
        while self._at < end:
            copied, complete = self._read_part(layout, stride, end, room[count:])
            count += copied
            if not complete:
                break
        found: Records = room[:count].view(layout).reshape(count)
        return found

    def _read_part(self, layout: np.dtype[np.void], stride: int, end: int, room: _Words) -> tuple[int, bool]:
        """Read up to where the ring wraps, into rows of words; return how many, and whether the reading may go on."""
        place = self._at & self._mask
        count = min((end - self._at) // stride, -(-(self.size - place) // stride))
        if count == 0:
            raise ValueError(f"the ring {self.name} holds less than one record of {layout.itemsize} bytes")
        self._fence.pass_()
        headers: np.ndarray[Any, np.dtype[np.uint32]] = np.ndarray(
            (count,), np.dtype("<u4"), self._theirs, self._start + place, (stride,)
        ).copy()
        self._fence.pass_()
        busy = headers & np.uint32(_BUSY)
        complete = True
        if busy.any():
            count = int(busy.argmax())
            headers = headers[:count]
            complete = False
        if ((headers & np.uint32(_LENGTH)) != layout.itemsize).any():
            raise ValueError(f"the ring {self.name} holds records that are not of {layout.itemsize} bytes")
        words: _Words = np.ndarray(
            (count, layout.itemsize // 8),
            np.dtype("<u8"),
            self._theirs,
            self._start + place + _HEADER,
            (stride, 8),
        )
        kept = (headers & np.uint32(_DISCARDED)) == 0
        copied = int(kept.sum())
        room[:copied] = words if copied == count else words[kept]
        if count:
            self._advance(self._at + count * stride)
        return copied, complete


LAYOUTS: Final = {"calls": records.CALL, "named": records.NAMED}
"""The rings whose records are of one size."""
