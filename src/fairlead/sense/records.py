"""The kernel's records as numpy and struct see them: bpf/records.h, mirrored. Layouts and numbers only: it never decides or fetches.

All numbers are little endian. A batch of the `calls` ring is an array of CALL, one of the `named` ring an array of NAMED; a record of
the `long` and `alerts` rings is bytes that begin as a CALL. Times are nanoseconds since boot (CLOCK_BOOTTIME).
"""

from __future__ import annotations

import struct
from enum import IntEnum, IntFlag
from typing import Any, Final, NamedTuple

import numpy as np

FLIGHTS: Final = 32
"""Records that the flight recorder keeps of one cgroup."""
NAMED_TEXT: Final = 240
"""Bytes of texts in a NAMED record."""
LONG_TEXT: Final = 4096
"""Most bytes of one text in a long record."""
SLOTS: Final = 512
"""Hooks that one sensor can have."""
CLAUSES: Final = 64
"""Clauses that one hook can have."""
TESTS: Final = 8
"""Tests that one clause can have."""


class Kind(IntEnum):
    """What a record tells of (enum fl_kind). Numbers below 1024 are system calls of the machine."""

    EXEC = 1024
    FORK = 1025
    EXIT = 1026
    SIGNAL = 1027
    OOM = 1028
    MODULE = 1029
    SOCK_STATE = 1030
    SOCK_SEND = 1031
    SKB_DROP = 1032
    CGROUP = 1033
    MODULE_WANTED = 1034
    PREVENTED = 1040
    KPROBE = 1100
    UPROBE = 1101
    TRACEPOINT = 1102
    LSM = 1103


class Flag(IntFlag):
    """What is particular about a record (enum fl_flag)."""

    ENTER = 1
    CUT = 2
    KILLED = 4
    DENIED = 8
    CONTAINED = 16
    PLACE_FILE = 32
    PLACE_SOCK = 64
    SILENT = 128


class Exe(IntFlag):
    """What is particular about an executable (enum fl_exe)."""

    UPPER = 1
    MEMFD = 2
    SETUID = 4
    SETGID = 8
    WRITABLE = 16


class Class(IntEnum):
    """Classes that the kernel's counters are kept by (enum fl_class)."""

    PROCESS = 0
    CALLS = 1
    NAMED = 2
    LONG = 3
    ALERTS = 4
    RECORDER = 5


class HookSort(IntEnum):
    """Which cgroup hook refused (enum fl_hook_sort): args[0] of a PREVENTED record."""

    CONNECT4 = 1
    CONNECT6 = 2
    BIND4 = 3
    BIND6 = 4
    SENDMSG4 = 5
    SENDMSG6 = 6
    SOCK_CREATE = 7


NAMESPACES: Final = (
    "uts",
    "ipc",
    "mnt",
    "pid",
    "pid_for_children",
    "net",
    "time",
    "time_for_children",
    "cgroup",
    "user",
)
"""The order of `ns` in an EXEC, and of What.NS."""
CAPABILITY_SETS: Final = ("effective", "permitted", "inheritable", "bounding", "ambient")
"""The order of `caps` in an EXEC."""


def _layout(*fields: tuple[str, Any] | tuple[str, str, tuple[int]]) -> np.dtype[np.void]:
    """Return a packed dtype: fl_* structs have no holes."""
    layout: np.dtype[np.void] = np.dtype([*fields])
    return layout


FILE: Final = _layout(
    ("ino", "<u8"), ("dev", "<u4"), ("mode", "<u4"), ("nlink", "<u4"), ("magic", "<u4"), ("size", "<u8"),
    ("fd", "<u4"), ("oflags", "<u4"), ("pad", "<u4", (6,)),
)  # fmt: skip
"""A file that a record is about: 64 bytes. `magic` is its filesystem's."""
SOCK: Final = _layout(
    ("family", "<u2"), ("type", "<u2"), ("proto", "<u2"), ("state", "<u2"), ("lport", "<u2"), ("rport", "<u2"),
    ("fd", "<u4"), ("laddr", "u1", (16,)), ("raddr", "u1", (16,)), ("netns", "<u4"), ("pad", "<u4", (3,)),
)  # fmt: skip
"""A socket that a record is about: 64 bytes, ports in host order, an IPv4 address in the first four bytes."""
HEAD: Final = _layout(
    ("time", "<u8"), ("start", "<u8"), ("cgroup", "<u8"), ("clauses", "<u8"), ("ret", "<i8"), ("tgid", "<u4"),
    ("tid", "<u4"), ("kind", "<u2"), ("slot", "<u2"), ("flags", "<u4"), ("uid", "<u4"), ("gid", "<u4"),
    ("comm", "S16"), ("lens", "<u2", (4,)),
)  # fmt: skip
"""How every record begins: 88 bytes. (tgid, start) names a process for good."""


def _joined(size: int, *parts: tuple[int, np.dtype[np.void] | tuple[str, Any]]) -> np.dtype[np.void]:
    """Return a dtype of parts at offsets; a part is another layout's fields, or one more field. Parts may lie over each other."""
    names: list[str] = []
    formats: list[Any] = []
    offsets: list[int] = []
    for offset, part in parts:
        if isinstance(part, tuple):
            names.append(part[0])
            formats.append(part[1])
            offsets.append(offset)
            continue
        for name, (form, at, *_) in (part.fields or {}).items():
            names.append(name)
            formats.append(form)
            offsets.append(offset + at)
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": size})


CALL: Final = _joined(
    200, (0, HEAD), (88, ("args", np.dtype(("<u8", (6,))))), (136, ("file", FILE)), (136, ("sock", SOCK))
)
"""A record of the calls ring, 200 bytes: the fields of HEAD, `args`, and `file` or `sock` as the flags say.

The two lie over each other, so numpy.concatenate would lay records out anew: join arrays as words of eight bytes, and view those.
"""
NAMED: Final = _joined(200 + NAMED_TEXT, (0, CALL), (200, ("text", f"S{NAMED_TEXT}")))
"""A record of the named ring, 440 bytes: a CALL and `text`, all texts one after the other, `lens` bytes of each.

numpy drops zeros at the end of `text`; where a text may end in zeros (a buffer), fill it up to the sum of `lens`.
"""
EXEC: Final = _layout(
    ("parent_start", "<u8"), ("caps", "<u8", (5,)), ("exe_ino", "<u8"), ("exe_ctime", "<u8"), ("exe_mtime", "<u8"),
    ("ppid", "<u4"), ("vpid", "<u4"), ("vppid", "<u4"), ("pgid", "<u4"), ("vpgid", "<u4"), ("sid", "<u4"),
    ("vsid", "<u4"), ("tty", "<u4"), ("uid", "<u4"), ("gid", "<u4"), ("euid", "<u4"), ("egid", "<u4"), ("suid", "<u4"),
    ("sgid", "<u4"), ("fsuid", "<u4"), ("fsgid", "<u4"), ("loginuid", "<u4"), ("sessionid", "<u4"), ("ns", "<u4", (10,)),
    ("exe_dev", "<u4"), ("exe_mode", "<u4"), ("exe_nlink", "<u4"), ("exe_flags", "<u4"), ("exe_uid", "<u4"),
    ("secbits", "<u4"), ("argc", "<u4"), ("pad", "<u4", (29,)),
)  # fmt: skip
"""What follows the CALL of an EXEC record, 328 bytes; then its texts: exe path, working directory, arguments, environment."""
PEER: Final = _layout(("family", "<u2"), ("port", "<u2"), ("addr", "u1", (16,)), ("pad", "<u4"))
FLIGHT: Final = _layout(
    ("time", "<u8"), ("cgroup", "<u8"), ("tgid", "<u4"), ("tid", "<u4"), ("kind", "<u2"), ("len", "<u2"),
    ("error", "<i4"), ("count", "<u4"), ("uid", "<u4"), ("last", "<u8"), ("comm", "S16"), ("peer", PEER),
    ("text", "S200"),
)  # fmt: skip
"""One record of the flight recorder, 288 bytes."""

CALL_SIZE: Final = CALL.itemsize
NAMED_SIZE: Final = NAMED.itemsize
EXEC_SIZE: Final = EXEC.itemsize
FLIGHT_SIZE: Final = FLIGHT.itemsize

HEAD_STRUCT: Final = struct.Struct("<4Qq2I2H3I16s4H")
"""HEAD for struct: time, start, cgroup, clauses, ret, tgid, tid, kind, slot, flags, uid, gid, comm, four lens."""
CALL_STRUCT: Final = struct.Struct("<4Qq2I2H3I16s4H6Q64s")
"""CALL for struct: as HEAD_STRUCT, then six arguments and the 64 bytes of the place."""
EXEC_STRUCT: Final = struct.Struct("<6Q3Q8I10I10I4I3I116x")
"""EXEC for struct: parent_start, caps, exe_ino, ctime, mtime, ppid ... tty, uid ... sessionid, ns, exe_dev ... argc."""
FILE_STRUCT: Final = struct.Struct("<Q4IQ2I24x")
"""FILE for struct: ino, dev, mode, nlink, magic, size, fd, oflags."""
SOCK_STRUCT: Final = struct.Struct("<6HI16s16sI12x")
"""SOCK for struct: family, type, proto, state, lport, rport, fd, laddr, raddr, netns."""
FLIGHT_STRUCT: Final = struct.Struct("<2Q2I2Hi2IQ16s2H16s4x200s")
"""FLIGHT for struct: time, cgroup, tgid, tid, kind, len, error, count, uid, last, comm, family, port, addr, text."""


class Texts(NamedTuple):
    """The four texts of a record; an absent one is empty."""

    first: bytes
    second: bytes
    third: bytes
    fourth: bytes


def texts_of(record: bytes | memoryview) -> Texts:
    """Return the texts of a record of the long or alerts ring (or of one of the named ring, as bytes).

    A record that is shorter than its lengths say gives what is there.
    """
    lens = struct.unpack_from("<4H", record, 80)
    at = CALL_SIZE
    if int.from_bytes(record[48:50], "little") == Kind.EXEC:
        at += EXEC_SIZE
    found = []
    for size in lens:
        found.append(bytes(record[at : at + size]))
        at += size
    return Texts(*found)


def call_of(record: bytes | memoryview) -> np.void:
    """Return the CALL that a record of the long or alerts ring begins with, as a numpy scalar."""
    one: np.void = np.frombuffer(record, CALL, 1)[0]
    return one


def exec_of(record: bytes | memoryview) -> np.void:
    """Return the EXEC part of an EXEC record, as a numpy scalar."""
    one: np.void = np.frombuffer(record, EXEC, 1, CALL_SIZE)[0]
    return one
