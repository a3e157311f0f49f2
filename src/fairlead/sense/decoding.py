"""Batches of raw records -> Events, in the order in which they happened. Decodes as little as it can; never judges.

The rings are read one after the other, so a record that is older than one already seen may still come: `feed` holds back what is
younger than `until`, the moment at which the reading began. Records whose process a rule will ask about change the table of processes
first: an exec, fork or exit is applied at its place in the order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from struct import Struct
from typing import Any, Protocol

import numpy as np

from fairlead.sense import flagwords, records
from fairlead.sense.events import (
    ARGS,
    CGROUP,
    COMM,
    FLAGS,
    HEAD,
    KERNEL_KINDS,
    LENS,
    NUMBER,
    SILENT,
    SLOT,
    START,
    TGID,
    TID,
    TIME,
    Event,
    text_of,
)
from fairlead.sense.plans import Hook
from fairlead.sense.processes import CHANGES, Processes
from fairlead.sense.syscalls import NAMES

_NAMED = Struct(HEAD.format + f"{records.NAMED_TEXT}s")
_EXEC, _FORK, _EXIT = 1024, 1025, 1026
_TIME = itemgetter(TIME)
_OPENING = frozenset({"openat", "openat2", "open_by_handle_at"})


class Batch(Protocol):
    """What was read from one ring: an array of CALL or NAMED, or a list of the records' bytes. `ring` is its name."""

    @property
    def ring(self) -> str:
        """Its name: calls, named, longs, alerts."""

    @property
    def records(self) -> Any:
        """A numpy array of records.CALL or records.NAMED, or a sequence of bytes."""


class Decoder:
    """Turns batches into Events. `hooks` maps a record's slot to the plan's hook; `machine` names the table of system calls."""

    def __init__(
        self, processes: Processes, *, machine: str = "x86_64", hooks: Mapping[int, Hook] | None = None
    ) -> None:
        self.processes = processes
        self.hooks: Mapping[int, Hook] = hooks or {}
        self.damaged = 0  # records shorter than they should be
        self.serial = 0
        self._kinds: dict[int, str] = {**NAMES[machine], **KERNEL_KINDS}
        self._elsewhere = machine == "aarch64"  # whose flags of open have other numbers
        self._held: list[tuple[Any, ...]] = []

    def feed(self, batches: Iterable[Batch | Sequence[bytes]], until: int | None = None) -> Iterator[Event]:
        """Yield the events of these batches and of what was held back, eldest first, each after its process was brought up to date.

        `until` is ns since boot: what is younger waits for the next call. The table of processes changes as the iterator is
        advanced, so it must be used up. Records that only an action wanted (SILENT) are not yielded.
        """
        raws = self._held
        self._held = []
        for batch in batches:
            found: Any = getattr(batch, "records", batch)
            raws.extend(self._array(found) if isinstance(found, np.ndarray) else self._list(found))
        raws.sort(key=_TIME)
        if until is not None and raws and raws[-1][TIME] > until:
            cut = _first_after(raws, until)
            self._held = raws[cut:]
            del raws[cut:]
        return self._events(raws)

    def _array(self, array: np.ndarray[Any, Any]) -> Iterator[tuple[Any, ...]]:
        layout = _NAMED if array.dtype.itemsize == records.NAMED_SIZE else HEAD
        silent = (array["flags"] & SILENT) != 0
        if silent.any():
            array = array[~silent | (array["kind"] == _FORK) | (array["kind"] == _EXIT)]
        return layout.iter_unpack(np.ascontiguousarray(array).tobytes())

    def _list(self, found: Iterable[bytes]) -> Iterator[tuple[Any, ...]]:
        size = HEAD.size
        for record in found:
            if len(record) < size:
                self.damaged += 1
                continue
            yield (*HEAD.unpack_from(record), record[size:])

    def _events(self, raws: list[tuple[Any, ...]]) -> Iterator[Event]:
        processes = self.processes
        epoch = processes.epoch
        live = processes._live  # noqa: SLF001  a call for each of a million events a second would show
        kinds = self._kinds
        hooks = self.hooks
        containers = processes.containers
        serial = self.serial
        for raw in raws:
            number = raw[NUMBER]
            kind = kinds.get(number) or f"syscall_{number}"
            blob = b""
            if len(raw) > 24:
                blob = raw[24]
            if _EXEC <= number <= _EXIT:
                if number == _EXEC:
                    process = processes.executed(raw, blob)
                    blob = blob[records.EXEC_SIZE :]
                elif number == _FORK:
                    process = processes.forked(raw)
                else:
                    process = processes.exited(raw)
            else:
                found = live.get(raw[TGID])
                process = (
                    found
                    if found is not None and found.start == raw[START]
                    else processes.of(raw[TGID], raw[START])
                )
                if not process.name and raw[TID] == raw[TGID]:  # nobody told of it: its first record does
                    process.name = process.title = text_of(raw[COMM].partition(b"\0")[0])
                if process.cgroup != raw[CGROUP]:
                    process.cgroup = raw[CGROUP]
                    process.container = containers.get(raw[CGROUP])
            if raw[FLAGS] & SILENT:
                continue
            serial += 1
            event = Event(kind, raw, blob, epoch + raw[TIME], process, hooks.get(raw[SLOT]), serial)
            if self._elsewhere and kind in _OPENING:
                event.raw, event.blob = _renumbered(kind, raw, blob)
            if kind in CHANGES:
                processes.note(event)
            yield event
        self.serial = serial


def _renumbered(kind: str, raw: tuple[Any, ...], blob: bytes) -> tuple[tuple[Any, ...], bytes]:
    """Return a record of aarch64 with the flags that a file was opened with numbered as on x86_64."""
    if kind != "openat2":
        at = ARGS + 2
        return (*raw[:at], flagwords.open_flags_of_aarch64(raw[at]), *raw[at + 1 :]), blob
    at = sum(raw[LENS : LENS + 3])
    flags = flagwords.open_flags_of_aarch64(int.from_bytes(blob[at : at + 8], "little"))
    return raw, blob[:at] + flags.to_bytes(8, "little") + blob[at + 8 :]


def _first_after(raws: list[tuple[Any, ...]], until: int) -> int:
    """Return the index of the first that is younger, in a sorted list."""
    low, high = 0, len(raws)
    while low < high:
        middle = (low + high) // 2
        if raws[middle][TIME] > until:
            high = middle
        else:
            low = middle + 1
    return low
