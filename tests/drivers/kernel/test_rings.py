"""Rings in plain memory, filled as the kernel would: wrapping, records that are being written, thrown away, or of a wrong size."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.drivers.kernel.rings import Ring
from fairlead.sense.records import CALL, CALL_SIZE, NAMED

PAGE = mmap.PAGESIZE
SIZE = PAGE
BUSY, DISCARDED = 1 << 31, 1 << 30


class Memory:
    """What the kernel maps: the consumer's page, the producer's page, and the data twice."""

    def __init__(self, start: int = 0) -> None:
        self.fd = os.memfd_create("ring")
        os.ftruncate(self.fd, 2 * PAGE + 2 * SIZE)
        self.map = mmap.mmap(self.fd, 2 * PAGE + 2 * SIZE)
        self.produced = start
        self._put(0, struct.pack("<Q", start))
        self._put(PAGE, struct.pack("<Q", start))

    def _put(self, at: int, data: bytes) -> None:
        self.map[at : at + len(data)] = data

    @property
    def consumed(self) -> int:
        return int.from_bytes(self.map[:8], "little")

    def write(self, place: int, data: bytes) -> None:
        """Write data at a position; both copies of the data show it."""
        for index, one in enumerate(data):
            at = (place + index) % SIZE
            self.map[2 * PAGE + at] = one
            self.map[2 * PAGE + SIZE + at] = one

    def add(self, record: bytes, flags: int = 0) -> int:
        """Add a record as the kernel does; return its position, or -1 when there is no room."""
        whole = (len(record) + 15) & ~7
        if self.produced + whole - self.consumed > SIZE - 1:
            return -1
        at = self.produced
        self.write(at, struct.pack("<II", len(record) | flags, 0) + record)
        self.produced += whole
        self._put(PAGE, struct.pack("<Q", self.produced))
        return at

    def finish(self, at: int, length: int) -> None:
        """End the writing of a record that was added as busy."""
        self.write(at, struct.pack("<I", length))

    def close(self) -> None:
        self.map.close()
        os.close(self.fd)


@pytest.fixture
def memory() -> Iterator[Memory]:
    made = Memory()
    yield made
    made.close()


def call(number: int) -> bytes:
    return struct.pack("<Q", number) + bytes([number & 0xFF]) * (CALL_SIZE - 8)


def test_nothing_is_read_from_an_empty_ring(memory: Memory) -> None:
    ring = Ring("long", memory.fd, SIZE)
    assert ring.read() == []
    assert len(ring.read_fixed(CALL)) == 0
    ring.close()


def test_records_of_all_sizes_come_in_order_and_make_room(memory: Memory) -> None:
    ring = Ring("long", memory.fd, SIZE)
    sent = [b"", b"a", b"12345678", b"x" * 1000]
    for one in sent:
        memory.add(one)
    assert ring.waiting > 0
    assert ring.read() == sent
    assert memory.consumed == memory.produced
    assert ring.waiting == 0
    ring.close()


def test_a_record_that_is_being_written_holds_back_what_is_behind_it(memory: Memory) -> None:
    ring = Ring("long", memory.fd, SIZE)
    memory.add(b"one")
    at = memory.add(b"two", BUSY)
    memory.add(b"three")
    assert ring.read() == [b"one"]
    assert ring.read() == []
    memory.finish(at, 3)
    assert ring.read() == [b"two", b"three"]
    ring.close()


def test_what_was_thrown_away_is_skipped(memory: Memory) -> None:
    ring = Ring("calls", memory.fd, SIZE)
    memory.add(b"one")
    memory.add(b"two", DISCARDED)
    memory.add(b"three")
    assert ring.read() == [b"one", b"three"]
    for number in range(5):
        memory.add(call(number), DISCARDED if number in {0, 3} else 0)
    assert ring.read_fixed(CALL)["time"].tolist() == [1, 2, 4]
    assert memory.consumed == memory.produced
    ring.close()


def test_fixed_records_stop_at_one_that_is_being_written(memory: Memory) -> None:
    ring = Ring("calls", memory.fd, SIZE)
    places = [memory.add(call(number), BUSY if number == 3 else 0) for number in range(6)]
    assert ring.read_fixed(CALL)["time"].tolist() == [0, 1, 2]
    assert len(ring.read_fixed(CALL)) == 0
    memory.finish(places[3], CALL_SIZE)
    assert ring.read_fixed(CALL)["time"].tolist() == [3, 4, 5]
    ring.close()


def test_fixed_records_of_another_size_are_no_records(memory: Memory) -> None:
    ring = Ring("calls", memory.fd, SIZE)
    memory.add(call(1))
    memory.add(bytes(100) + bytes(92))
    with pytest.raises(ValueError, match="of 200 bytes"):
        ring.read_fixed(CALL)
    ring.close()


def test_what_was_read_is_a_copy(memory: Memory) -> None:
    ring = Ring("calls", memory.fd, SIZE)
    memory.add(call(7))
    found = ring.read_fixed(CALL)
    memory.write(0, bytes(SIZE))
    assert found["time"].tolist() == [7]
    assert found.flags.owndata or found.base is not None
    ring.close()


def test_a_reader_begins_where_the_last_one_ended() -> None:
    memory = Memory(start=10 * SIZE + 128)
    memory.add(b"first")
    ring = Ring("long", memory.fd, SIZE)
    assert ring.read() == [b"first"]
    ring.close()
    memory.add(b"second")
    ring = Ring("long", memory.fd, SIZE)
    assert ring.read() == [b"second"]
    ring.close()
    memory.close()


@settings(max_examples=30, deadline=None)
@given(
    start=st.integers(0, 4 * SIZE // 8).map(lambda one: one * 8),
    rounds=st.lists(st.integers(0, 24), min_size=1, max_size=8),
)
def test_fixed_records_survive_every_way_to_wrap(start: int, rounds: list[int]) -> None:
    memory = Memory(start)
    ring = Ring("calls", memory.fd, SIZE)
    number = 0
    for count in rounds:
        sent = []
        for _ in range(count):
            if memory.add(call(number)) < 0:
                break
            sent.append(number)
            number += 1
        found = ring.read_fixed(CALL)
        assert found["time"].tolist() == sent
        assert all(one.tobytes() == call(what) for one, what in zip(found, sent, strict=True))
    ring.close()
    memory.close()


@settings(max_examples=30, deadline=None)
@given(
    start=st.integers(0, SIZE // 8).map(lambda one: one * 8),
    sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=12),
)
def test_records_of_any_size_survive_every_way_to_wrap(start: int, sizes: list[int]) -> None:
    memory = Memory(start)
    ring = Ring("long", memory.fd, SIZE)
    for index, size in enumerate(sizes):
        record = bytes([index]) * size
        assert memory.add(record) >= 0
        assert ring.read() == [record]
    ring.close()
    memory.close()


def test_named_records_wrap_too() -> None:
    memory = Memory(SIZE - 64)
    ring = Ring("named", memory.fd, SIZE)
    record = np.zeros(1, NAMED)
    record["text"] = b"/etc/passwd"
    record["lens"][0, 0] = 11
    memory.add(record.tobytes())
    memory.add(record.tobytes())
    found = ring.read_fixed(NAMED)
    assert found["text"].tolist() == [b"/etc/passwd"] * 2
    ring.close()
    memory.close()
