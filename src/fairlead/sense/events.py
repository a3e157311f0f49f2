"""What happened, as rules see it: an Event, the Process that did it and the Container that it is in.

An Event is a thin cover over one record of the kernel: numbers are there at once, texts, sockets and files are decoded when they are
asked for. Nothing here knows a rule, a clock or the kernel; what is not known is None, 0 or "", never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fairlead.sense.plans import Hook
from fairlead.sense.records import CALL_STRUCT, FILE_STRUCT, SOCK_STRUCT

ENTER, CUT, KILLED, DENIED, CONTAINED, PLACE_FILE, PLACE_SOCK, SILENT = (1 << bit for bit in range(8))
"""Flags of a record (enum fl_flag)."""

KERNEL_KINDS: Mapping[int, str] = {
    1024: "exec",
    1025: "forked",
    1026: "exited",
    1027: "signal",
    1028: "oom",
    1029: "module",
    1030: "sock_state",
    1031: "sock_send",
    1032: "skb_drop",
    1033: "cgroup",
    1034: "module_wanted",
    1040: "prevented",
    1100: "kprobe",
    1101: "uprobe",
    1102: "tracepoint",
    1103: "lsm",
}
"""Kinds of events that are no system calls (enum fl_kind); the kind of a system call is its name."""

HEAD = CALL_STRUCT
"""A record as far as its place (struct fl_call): 200 bytes, the fields of Event.raw in this order."""
TIME, START, CGROUP, CLAUSES, RET, TGID, TID, NUMBER, SLOT, FLAGS, UID, GID, COMM, LENS, ARGS, PLACE = (
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 17, 23,
)  # fmt: skip
"""Where in Event.raw a field is; LENS and ARGS are the first of four and of six."""

_FILE, _SOCK = FILE_STRUCT, SOCK_STRUCT

AF_UNIX, AF_INET, AF_INET6 = 1, 2, 10
_new = tuple.__new__  # the constructor of a named tuple takes twice as long


class File(NamedTuple):
    """An open file. `dev` as in stat; `magic` names the file system; `oflags` are the flags it was opened with."""

    ino: int = 0
    dev: int = 0
    mode: int = 0
    nlink: int = 0
    magic: int = 0
    size: int = 0
    fd: int = 0
    oflags: int = 0


class Sock(NamedTuple):
    """A socket and its two ends. Ports in host order; addresses of 16 bytes, the first four of them for IPv4."""

    family: int = 0
    type: int = 0
    proto: int = 0
    state: int = 0
    lport: int = 0
    rport: int = 0
    fd: int = 0
    laddr: bytes = bytes(16)
    raddr: bytes = bytes(16)
    netns: int = 0

    @property
    def local(self) -> str:
        """The local address, "" where the family has none."""
        return address(self.family, self.laddr)

    @property
    def remote(self) -> str:
        """The remote address, "" where the family has none."""
        return address(self.family, self.raddr)


def address(family: int, packed: bytes) -> str:
    """Return an address in words: dotted for IPv4 and for IPv4 within IPv6, else as RFC 5952 writes it; "" for other families."""
    if family == AF_INET:
        return ".".join(map(str, packed[:4]))
    if family != AF_INET6:
        return ""
    if packed[:12] == b"\0\0\0\0\0\0\0\0\0\0\xff\xff":
        return ".".join(map(str, packed[12:16]))
    groups = [packed[at] << 8 | packed[at + 1] for at in range(0, 16, 2)]
    best, length, at = -1, 1, 0
    while at < 8:
        end = at
        while end < 8 and groups[end] == 0:
            end += 1
        if end - at > length:
            best, length = at, end - at
        at = max(end, at + 1)
    if best < 0:
        return ":".join(f"{one:x}" for one in groups)
    return f"{':'.join(f'{one:x}' for one in groups[:best])}::{':'.join(f'{one:x}' for one in groups[best + length :])}"


def text_of(raw: bytes) -> str:
    """Return bytes of the kernel as text. What is not UTF-8 becomes lone surrogates, so nothing is lost; see `printable`."""
    return raw.decode("utf-8", "surrogateescape")


def printable(text: str) -> str:
    r"""Return text that any encoder takes: bytes that were not UTF-8 are written as \\xNN, control characters as \\n, \\x1b and so on."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable()
        else f"\\x{ord(one) - 0xDC00:02x}" if 0xDC80 <= ord(one) <= 0xDCFF
        else one.encode("unicode_escape").decode()
        for one in text
    )  # fmt: skip


_OBEYED = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def safe_json(text: str) -> str:
    r"""Return JSON with nothing in it that a terminal would obey: what JSON itself leaves unescaped is written as \u009b and so on."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class Mount(NamedTuple):
    """One mount of a container, as its runtime was asked for it."""

    source: str
    dest: str
    mode: str = ""
    rw: bool = True
    propagation: str = ""


@dataclass(slots=True, kw_only=True)
class Container:
    """A container as its runtime tells of it. `id` is the whole id; `image` the reference that was asked for.

    `repository`, `tag` and `digest` are the image's parts. `started` is ns since the epoch, 0 where unknown. `runtime` is containerd,
    docker, cri-o, podman, fairlead or "" (a cgroup that nobody claims). With `pod` "" it belongs to no pod. `sandbox` marks the pod's
    own (pause) container.
    """

    id: str
    name: str = ""
    image: str = ""
    image_id: str = ""
    repository: str = ""
    tag: str = ""
    digest: str = ""
    runtime: str = ""
    privileged: bool | None = None
    mounts: tuple[Mount, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    env: tuple[str, ...] = ()
    ip: str = ""
    started: int = 0
    pod: str = ""
    pod_namespace: str = ""
    pod_uid: str = ""
    pod_id: str = ""
    pod_ip: str = ""
    pod_labels: Mapping[str, str] = field(default_factory=dict)
    workload: str = ""
    workload_kind: str = ""
    sandbox: bool = False
    host_pid: bool = False
    host_network: bool = False
    host_ipc: bool = False
    probes: tuple[tuple[str, str], ...] = ()  # (liveness | readiness | health, command line)

    @property
    def short(self) -> str:
        """The first twelve characters of the id."""
        return self.id[:12]


class Process:
    """One process: who it is now. exec changes it in place, as does what it does to itself; (pid, start) names it for good.

    `start` is ns since boot of its first thread's start; `started` and `exec_at` are ns since the epoch (`exec_at`: of its last exec, or
    of the fork). Ids named v... are those of its own pid namespace. `name` is comm at exec or fork, cut at 15 bytes as the kernel
    does; later renamings are in `title`, the comm last seen. `parent` follows re-parenting only as far as exec and fork tell of it. `exited` is ns since the epoch, 0 while
    it runs. `caps` are effective, permitted, inheritable, bounding, ambient; `ns` inode numbers in the order of fl_exec.
    """

    __slots__ = (
        "_args",
        "_cmdline",
        "_env",
        "args_raw",
        "audit_session",
        "caps",
        "cgroup",
        "contained",
        "container",
        "cut",
        "cwd",
        "egid",
        "env_raw",
        "euid",
        "exe",
        "exe_ctime",
        "exe_dev",
        "exe_flags",
        "exe_gid",
        "exe_ino",
        "exe_mode",
        "exe_mtime",
        "exe_nlink",
        "exe_uid",
        "exec_at",
        "exec_id",
        "exit_code",
        "exited",
        "forked_only",
        "fsgid",
        "fsuid",
        "generation",
        "gid",
        "known",
        "loginuid",
        "name",
        "notes",
        "ns",
        "parent",
        "pgid",
        "pid",
        "ppid",
        "secbits",
        "sgid",
        "sid",
        "start",
        "started",
        "suid",
        "title",
        "tty",
        "uid",
        "vpgid",
        "vpid",
        "vppid",
        "vsid",
    )  # fmt: skip

    def __init__(self, pid: int, start: int = 0) -> None:
        self.pid = pid
        self.start = start
        self.ppid = self.vppid = self.pgid = self.vpgid = self.sid = self.vsid = self.tty = 0
        self.vpid = pid
        self.uid = self.gid = self.euid = self.egid = self.suid = self.sgid = self.fsuid = self.fsgid = 0
        self.loginuid = 0xFFFFFFFF
        self.audit_session = 0xFFFFFFFF
        self.name = self.title = self.exe = self.cwd = ""
        self.exe_ino = self.exe_dev = self.exe_mode = self.exe_nlink = self.exe_flags = self.exe_uid = (
            self.exe_gid
        ) = 0
        self.exe_ctime = self.exe_mtime = 0
        self.args_raw = self.env_raw = b""
        self.caps: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)
        self.ns: tuple[int, ...] = (0,) * 10
        self.secbits = 0
        self.cgroup = 0
        self.container: Container | None = None
        self.contained = False
        self.parent: Process | None = None
        self.started = self.exec_at = self.exited = 0
        self.exit_code = 0
        self.generation = 0  # how many ancestors are linked at most
        self.cut = False  # there are more arguments than are here
        self.exec_id = 0  # how often it called exec since it is known
        self.forked_only = False
        self.known = False  # False: only its ids are known, nobody told of its executable
        self.notes: dict[str, Any] | None = None  # what stateful rules remember of it
        self._args: list[str] | None = None
        self._env: list[str] | None = None
        self._cmdline: str | None = None

    @property
    def args(self) -> list[str]:
        """Its arguments, the first (argv[0]) included. Where the kernel cut them the last may be shortened."""
        if self._args is None:
            self._args = _split(self.args_raw)
        return self._args

    @args.setter
    def args(self, values: Sequence[str]) -> None:
        """Say what they are, where no bytes of the kernel do."""
        self._args = list(values)
        self._cmdline = None

    @property
    def env(self) -> list[str]:
        """Its environment at exec: `NAME=value` each."""
        if self._env is None:
            self._env = _split(self.env_raw)
        return self._env

    @env.setter
    def env(self, values: Sequence[str]) -> None:
        """Say what it is, where no bytes of the kernel do."""
        self._env = list(values)

    def forget_texts(self) -> None:
        """Let `args` and `env` be read anew from `args_raw` and `env_raw`."""
        self._args = self._env = self._cmdline = None

    def forget_cmdline(self) -> None:
        """Let `cmdline` be made anew, since the name is another."""
        self._cmdline = None

    @property
    def exe_name(self) -> str:
        """argv[0], or the path where there are no arguments."""
        args = self.args
        return args[0] if args else self.exe

    @property
    def arguments(self) -> str:
        """The arguments after argv[0], joined with blanks."""
        return " ".join(self.args[1:])

    @property
    def cmdline(self) -> str:
        """The name and the arguments after argv[0], joined with blanks."""
        if self._cmdline is None:
            args = self.args
            self._cmdline = f"{self.name} {' '.join(args[1:])}" if len(args) > 1 else self.name
        return self._cmdline

    @property
    def exe_upper(self) -> bool:
        """Whether the executable lies in the writable layer of an overlay."""
        return bool(self.exe_flags & 1)

    @property
    def exe_memfd(self) -> bool:
        """Whether the executable is a memfd."""
        return bool(self.exe_flags & 2)

    @property
    def exe_writable(self) -> bool:
        """Whether the process may write to its executable."""
        return bool(self.exe_flags & 16)

    def ancestors(self) -> Iterator[Process]:
        """Its parent, that one's parent and so on; ends at what is not known, and at a ring."""
        seen = {id(self)}
        one = self.parent
        while one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            one = one.parent

    def ancestor(self, generation: int) -> Process | None:
        """The ancestor so many generations up: 0 is the process, 1 its parent."""
        one: Process | None = self
        for _ in range(generation):
            if one is None:
                return None
            one = one.parent
        return one

    def __repr__(self) -> str:
        return f"Process({self.pid}, {self.name!r})"


def _split(raw: bytes) -> list[str]:
    if not raw:
        return []
    return text_of(raw[:-1] if raw.endswith(b"\0") else raw).split("\0")


class Event:
    """One thing that happened. `kind` is the system call's name, or one of KERNEL_KINDS.

    `raw` is the record unpacked by HEAD, `blob` the bytes of its texts one after the other. `time` is ns since the epoch. `process` is
    never None: one that nobody told of has only its ids. `serial` counts the judged events. `hook` is the plan's hook that it came from, where
    that is known.
    """

    __slots__ = (
        "_comm",
        "_file",
        "_sock",
        "_texts",
        "blob",
        "ends_memo",
        "hook",
        "kind",
        "names_memo",
        "process",
        "raw",
        "serial",
        "time",
    )

    def __init__(
        self,
        kind: str,
        raw: tuple[Any, ...],
        blob: bytes,
        time: int,
        process: Process,
        hook: Hook | None = None,
        serial: int = 0,
    ) -> None:
        self.kind = kind
        self.raw = raw
        self.blob = blob
        self.time = time
        self.process = process
        self.hook = hook
        self.serial = serial
        self._texts: tuple[str, ...] | None = None
        self._comm: str | None = None
        self._file: File | None = None
        self._sock: Sock | None = None
        self.names_memo: tuple[str, ...] | None = None  # what places.names and places.ends found out
        self.ends_memo: Any = False

    @property
    def boot_time(self) -> int:
        """When, in ns since boot."""
        return int(self.raw[TIME])

    @property
    def ret(self) -> int:
        """What the call returned: a negative number is an errno. 0 at the entry."""
        return int(self.raw[RET])

    @property
    def pid(self) -> int:
        """Of the process, in the host's namespace."""
        return int(self.raw[TGID])

    @property
    def tid(self) -> int:
        """Of the thread, in the host's namespace."""
        return int(self.raw[TID])

    @property
    def cgroup(self) -> int:
        """The id of its cgroup."""
        return int(self.raw[CGROUP])

    @property
    def clauses(self) -> int:
        """Bit i: clause i of the hook passed."""
        return int(self.raw[CLAUSES])

    @property
    def slot(self) -> int:
        """The hook's slot."""
        return int(self.raw[SLOT])

    @property
    def number(self) -> int:
        """The record's kind: the system call's number, or a key of KERNEL_KINDS."""
        return int(self.raw[NUMBER])

    @property
    def flags(self) -> int:
        """ENTER, CUT, ... together."""
        return int(self.raw[FLAGS])

    @property
    def uid(self) -> int:
        """The effective user of the thread then."""
        return int(self.raw[UID])

    @property
    def gid(self) -> int:
        """The effective group of the thread then."""
        return int(self.raw[GID])

    @property
    def args(self) -> tuple[int, ...]:
        """The six arguments as they were passed, unsigned 64-bit numbers."""
        return self.raw[ARGS:PLACE]

    @property
    def comm(self) -> str:
        """The thread's name then."""
        if self._comm is None:
            self._comm = text_of(self.raw[COMM].partition(b"\0")[0])
        return self._comm

    @property
    def texts(self) -> tuple[str, ...]:
        """The four texts of the record, "" for those that are absent; `syscalls.texts(hook)` names them."""
        if self._texts is None:
            self._texts = tuple([text_of(one) if one else "" for one in self.blobs])
        return self._texts

    @property
    def blobs(self) -> tuple[bytes, bytes, bytes, bytes]:
        """The four texts as bytes."""
        first, second, third, fourth = self.raw[LENS:ARGS]
        blob = self.blob
        at2 = first + second
        at3 = at2 + third
        return blob[:first], blob[first:at2], blob[at2:at3], blob[at3 : at3 + fourth]

    @property
    def file(self) -> File | None:
        """The file that it is about."""
        if not self.raw[FLAGS] & PLACE_FILE:
            return None
        if self._file is None:
            self._file = _new(File, _FILE.unpack(self.raw[PLACE]))
        return self._file

    @property
    def sock(self) -> Sock | None:
        """The socket that it is about."""
        if not self.raw[FLAGS] & PLACE_SOCK:
            return None
        if self._sock is None:
            self._sock = _new(Sock, _SOCK.unpack(self.raw[PLACE]))
        return self._sock

    @property
    def entering(self) -> bool:
        """Whether it was seen at the call's entry."""
        return bool(self.raw[FLAGS] & ENTER)

    def __repr__(self) -> str:
        return f"Event({self.kind}, {self.process!r}, ret={self.ret})"


def make_event(
    kind: str,
    process: Process,
    *,
    number: int = 0,
    args: Sequence[int] = (),
    ret: int = 0,
    texts: Sequence[str | bytes] = (),
    file: File | None = None,
    sock: Sock | None = None,
    time: int = 0,
    tid: int = 0,
    slot: int = 0,
    clauses: int = 0,
    flags: int = 0,
    uid: int | None = None,
    gid: int | None = None,
    comm: str = "",
    hook: Hook | None = None,
    serial: int = 0,
) -> Event:
    """Return an Event made by hand, as if a record had been decoded: for tests, for replays of other formats and for what the reactor sees itself.

    `number` may be left out: nothing but a recording reads it. Numbers are cut to the widths of a record.
    """
    blobs = [one if isinstance(one, bytes) else one.encode("utf-8", "surrogateescape") for one in texts][:4]
    blobs += [b""] * (4 - len(blobs))
    place = bytes(64)
    if file is not None:
        place, flags = _FILE.pack(*file), flags | PLACE_FILE
    elif sock is not None:
        place, flags = _SOCK.pack(*sock), flags | PLACE_SOCK
    six = [int(one) & 0xFFFFFFFFFFFFFFFF for one in args][:6]
    raw = (
        time, process.start, process.cgroup, clauses, ret, process.pid, tid or process.pid, number, slot, flags,
        process.euid if uid is None else uid, process.egid if gid is None else gid,
        (comm or process.name).encode("utf-8", "surrogateescape")[:15].ljust(16, b"\0"),
        *(len(one) for one in blobs), *six, *([0] * (6 - len(six))), place,
    )  # fmt: skip
    return Event(kind, raw, b"".join(blobs), time, process, hook, serial)
