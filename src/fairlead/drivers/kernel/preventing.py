"""Connections, addresses, datagrams and sockets that cgroup hooks refuse ("prevented": the call fails with EPERM, nothing leaves).

The object is prevent.bpf.o, its maps are the sensor's. Its programs are attached at the root of cgroup2, where every process is below, by
links beside whatever else is attached. Whom a clause means is told by its tests, never by where a process' cgroup lies.
Must never be attached without a clause, and refuses nobody that the sensor's maps spare.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from fairlead.drivers.kernel import cgroups
from fairlead.drivers.kernel.libbpf import Link, Map, Object, Refused
from fairlead.drivers.kernel.probing import architecture
from fairlead.sense.plans import Arg, Clause, Hook, Prevention, What
from fairlead.sense.records import SLOTS, HookSort

OBJECTS: Final = Path(__file__).parent / "objects"
SORTS: Final = {
    "connect": (HookSort.CONNECT4, HookSort.CONNECT6),
    "bind": (HookSort.BIND4, HookSort.BIND6),
    "sendmsg": (HookSort.SENDMSG4, HookSort.SENDMSG6),
    "socket": (HookSort.SOCK_CREATE,),
}
"""Which hooks a prevention needs. `connect` is asked by TCP and by UDP sockets that connect; `sendmsg` by those that do not."""
_UNKNOWN: Final = {What.RET, What.TEXT, What.FILEMODE, What.OFLAGS, What.STATE}
_LOCAL: Final = {What.LADDR, What.LPORT}
_REMOTE: Final = {What.RADDR, What.RPORT}


def slot(sort: HookSort) -> int:
    """Return the slot of a hook: the last ones are kept for them."""
    return SLOTS - 8 + sort


def hooks(preventions: Iterable[Prevention]) -> tuple[dict[HookSort, Hook], list[str]]:
    """Return what each cgroup hook is to ask, as a Hook for the encoder (kind PREVENTED), and what cannot be asked there, in words.

    args of its records: the sort, the last four bytes of the address, the port. A clause without an errno fails with EPERM.
    """
    found: dict[HookSort, list[Clause]] = {}
    remarks = []
    for prevention in preventions:
        for clause in prevention.clauses:
            why = _amiss(prevention.at, clause)
            if why:
                remarks.append(f"{clause.owner or 'a clause'} does not prevent at {prevention.at}: {why}")
                continue
            if clause.signal:
                remarks.append(
                    f"{clause.owner or 'a clause'} prevents, and does not kill, at {prevention.at}"
                )
            asked = replace(clause, deny=clause.deny or errno.EPERM, signal=0)
            for sort in SORTS[prevention.at]:
                known = found.setdefault(sort, [])
                if asked not in known:
                    known.append(asked)
    return {
        sort: Hook(
            sort="kernel", name=sort.name.lower(), enter=True, args=(Arg.INT,) * 3, clauses=tuple(clauses)
        )
        for sort, clauses in found.items()
    }, remarks


def owners(hook: Hook, clauses: int) -> tuple[str, ...]:
    """Return whose the clauses of a record are, by its bits and the hook of its slot."""
    return tuple(one.owner for at, one in enumerate(hook.clauses) if clauses >> at & 1)


def _amiss(at: str, clause: Clause) -> str:
    """Return why a clause asks what is not known there, or ""."""
    for test in clause.tests:
        absent = {"connect": _LOCAL, "sendmsg": _LOCAL, "bind": _REMOTE, "socket": _LOCAL | _REMOTE}[at]
        if test.what in _UNKNOWN | absent or (test.what is What.ARG and test.index > 2):
            return f"{test.what.name} is not known there"
    return ""


class Preventer:
    """The loaded programs and their links. `serve` says which hooks are wanted; `close` gives all up, but those that were pinned."""

    def __init__(self, maps: Mapping[str, Map], objects: Path = OBJECTS) -> None:
        """Load the programs on the sensor's maps.

        Raises:
            Refused: cgroup2 is not mounted, or the kernel refuses the programs.

        """
        self._root = cgroups.unified()
        if not self._root:
            raise Refused(
                "connections cannot be prevented: cgroup2 is not mounted",
                "mount -t cgroup2 none /sys/fs/cgroup/unified",
            )
        self.links: dict[HookSort, Link] = {}
        """By hook: what is attached."""
        self._object = Object(objects / architecture() / "prevent.bpf.o")
        try:
            for name in self._object.map_names:
                if name in maps:
                    self._object.share(name, maps[name].fd)
            self._object.load()
        except BaseException:
            self._object.close()
            raise

    def map(self, name: str) -> Map:
        """Return one of the maps: the sensor's, or the object's own where none was given."""
        return self._object.map(name)

    def serve(self, wanted: Iterable[HookSort]) -> None:
        """Attach the hooks that are wanted and detach the others. Their slots must have been written.

        Raises:
            Refused: the kernel does not attach one.

        """
        kept = set(wanted)
        for sort in self.links.keys() - kept:
            self.links.pop(sort).close()
        if kept - self.links.keys():
            directory = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                for sort in sorted(kept - self.links.keys()):
                    self.links[sort] = self._object.programs[sort.name.lower()].attach_cgroup(directory)
            finally:
                os.close(directory)

    def close(self, *, leave: bool = False) -> None:
        """Detach and unload; with `leave`, let go of what was pinned without touching it."""
        for link in self.links.values():
            link.leave() if leave else link.close()
        self.links.clear()
        self._object.close()
