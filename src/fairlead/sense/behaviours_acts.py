"""What processes do, as detectors of behaviour ask for it: opened a file, renamed one, connected, wrote the head of a program.

For each act: the hooks that see it, with clauses as narrow as the kernel can be, and a reader that says of an event what was done. A
reader returns None for an event that is not its act. Pure; knows no rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeAlias

from fairlead.sense.events import AF_INET, AF_INET6, AF_UNIX, CONTAINED, Event, Process
from fairlead.sense.plans import Clause, Hook, Op, Test, What
from fairlead.sense.syscalls import hook_of, texts

OPENING = ("open", "openat", "openat2", "creat", "open_by_handle_at")
RENAMING = ("rename", "renameat", "renameat2")
COPYING = "copy_file_range"
"""Copies within the kernel, which shows no bytes: that its source may be executed has to do."""
_MAY_RUN = 0o111
WRITING = ("write", "pwrite64", "writev", "pwritev", "pwritev2")
DUPLICATING = ("dup", "dup2", "dup3", "fcntl")
ELF = b"\x7fELF"
RUNTIMES = frozenset({"runc", "crun", "youki", "kata-runtime", "runsc", "containerd-shim-runc-v2", "conmon"})
"""Programs that make containers: what they do in one happens before it has started."""
_IN_PROGRESS = -115
_O_WRONLY, _O_RDWR, _O_CREAT, _O_TRUNC, _O_LARGEFILE, _FMODE_EXEC = 1, 2, 0o100, 0o1000, 0o100000, 0x20

Alternatives: TypeAlias = Iterable[tuple[Test, ...]]

SUCCEEDED = Test(What.RET, Op.GE, (0,))
IN_CONTAINER = Test(What.CONTAINED, Op.EQ, (1,))
FOR_WRITING = Test(What.OFLAGS, Op.NE, (0,), mask=3)
FOR_READING = Test(What.OFLAGS, Op.NE, (_O_WRONLY,), mask=3)


# ---- where ------------------------------------------------------------------------------------------------------------


def contained(event: Event) -> bool:
    """Whether it happened in a container: one that is known, or a mount and a pid namespace of its own."""
    process = event.process
    if process.container is not None:
        return True
    return bool(event.flags & CONTAINED) and process.vpid != process.pid


def started(event: Event) -> bool:
    """Whether it happened in a container whose own program runs already, and not its runtime in it."""
    return contained(event) and not of_runtime(event.process)


def of_runtime(process: Process) -> bool:
    """Whether the process is a container runtime at work."""
    return (
        process.name.startswith("runc:[")
        or process.title.startswith("runc:[")
        or basename(process.exe) in RUNTIMES
        or "memfd:runc_cloned" in process.exe
    )


# ---- paths ------------------------------------------------------------------------------------------------------------


def basename(path: str) -> str:
    """The last part of a path."""
    return path.rpartition("/")[2]


def resolved(path: str, base: str = "") -> str:
    """Return an absolute path without `.`, `..` and doubled slashes; "" for no path. Links are not followed: nobody here may look."""
    if not path:
        return ""
    if not path.startswith("/"):
        if not base.startswith("/"):
            return path
        path = f"{base}/{path}"
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in {"", "."}:
            parts.append(part)
    return "/" + "/".join(parts)


_POSITIONS: dict[str, Mapping[str, int]] = {
    name: {called: at for at, called in enumerate(texts(hook_of(name)))} for name in RENAMING
}


# ---- acts -------------------------------------------------------------------------------------------------------------


class Opened(NamedTuple):
    """A file was opened: its real path, the flags as they were passed, and the path as it was passed."""

    path: str
    flags: int
    asked: str

    @property
    def reads(self) -> bool:
        """Whether it may be read."""
        return self.flags & 3 in {0, _O_RDWR}

    @property
    def writes(self) -> bool:
        """Whether it may be written."""
        return self.flags & 3 in {_O_WRONLY, _O_RDWR}


def opened(event: Event) -> Opened | None:
    """Return what was opened by a call that succeeded."""
    kind = event.kind
    if kind not in _FLAGS or event.ret < 0:
        return None
    given = event.texts
    return Opened(given[0] or resolved(given[1], given[2]), _FLAGS[kind](event), given[1])


def _how(event: Event) -> int:
    """The flags in struct open_how, which is the fourth text of openat2."""
    return int.from_bytes(event.blobs[3][:8], "little") & 0xFFFFFFFF


_FLAGS: Mapping[str, Callable[[Event], int]] = {
    "open": lambda event: event.args[1] & 0xFFFFFFFF,
    "openat": lambda event: event.args[2] & 0xFFFFFFFF,
    "openat2": _how,
    "creat": lambda _: _O_CREAT | _O_WRONLY | _O_TRUNC,
    "open_by_handle_at": lambda event: event.args[2] & 0xFFFFFFFF,
}


class Renamed(NamedTuple):
    """A file was renamed; both paths absolute where that is known."""

    old: str
    new: str


def renamed(event: Event) -> Renamed | None:
    """Return what was renamed by a call that succeeded."""
    positions = _POSITIONS.get(event.kind)
    if positions is None or event.ret < 0:
        return None
    given = event.texts
    old, new = (
        resolved(given[positions[name]], given[positions[f"{name}@"]]) for name in ("oldname", "newname")
    )
    return Renamed(old, new)


class Connected(NamedTuple):
    """A socket was connected, or is being: to an address and port, or to the path of a unix socket."""

    fd: int
    family: int
    address: str
    port: int
    path: str


def connected(event: Event, *, tried: bool = False) -> Connected | None:
    """Return where a socket was connected to or, with `tried`, was to be."""
    if event.kind != "connect" or (event.ret < 0 and event.ret != _IN_PROGRESS and not tried):
        return None
    sock, fd = event.sock, event.args[0] & 0xFFFFFFFF
    if sock is None:
        return None
    if sock.family in {AF_INET, AF_INET6}:
        return Connected(fd, sock.family, sock.remote, sock.rport, "")
    return Connected(fd, sock.family, "", 0, event.texts[0] if sock.family == AF_UNIX else "")


class Duplicated(NamedTuple):
    """A descriptor of a socket that is connected over IP became another one."""

    fd: int
    address: str
    port: int


def duplicated(event: Event) -> Duplicated | None:
    """Return which descriptor a connected socket got."""
    if event.kind not in DUPLICATING or event.ret < 0:
        return None
    if event.kind == "fcntl" and event.args[1] & 0xFFFFFFFF not in {0, 1030}:  # F_DUPFD, F_DUPFD_CLOEXEC
        return None
    sock = event.sock
    if sock is None or sock.family not in {AF_INET, AF_INET6} or not sock.rport:
        return None
    return Duplicated(event.ret, sock.remote, sock.rport)


def wrote_program(event: Event) -> str | None:
    """Return the path of the regular file that the beginning of an ELF file was written to, or a file that may be executed was copied to."""
    if event.kind == COPYING:
        copied = event.file
        return event.texts[1] or None if copied and copied.mode & _MAY_RUN and event.ret >= len(ELF) else None
    if event.kind not in WRITING or event.ret < len(ELF) or not event.blobs[1].startswith(ELF):
        return None
    file = event.file
    if file is not None and file.mode & 0o170000 not in {0, 0o100000}:
        return None
    return event.texts[0]


# ---- hooks ------------------------------------------------------------------------------------------------------------


def hooks_of(
    names: Iterable[str], owner: str, alternatives: Alternatives = ((),), limit: int = 0
) -> tuple[Hook, ...]:
    """Return a hook for each system call, with one clause for each alternative."""
    clauses = tuple(Clause(tests=tests, owner=owner) for tests in alternatives)
    return tuple(hook_of(name, clauses, limit=limit) for name in names)


def opening(owner: str, *needs: Test, paths: Alternatives = ((),)) -> tuple[Hook, ...]:
    """Return the hooks that see files opened: `needs` must hold, and of `paths` (about text 0, the real path) one alternative."""
    return hooks_of(OPENING, owner, [(SUCCEEDED, *needs, *one) for one in paths])


def renaming(owner: str, *needs: Test) -> tuple[Hook, ...]:
    """Return the hooks that see files renamed. Paths are not tested: what is passed may be relative, or go through links."""
    return hooks_of(RENAMING, owner, [(SUCCEEDED, *needs)])


def connecting(owner: str, *needs: Test, tried: bool = False) -> tuple[Hook, ...]:
    """Return the hooks that see sockets connected, at once or in progress; with `tried` also in vain."""
    made = () if tried else (Test(What.RET, Op.INSET, (0, _IN_PROGRESS)),)
    return hooks_of(("connect",), owner, [(*made, *needs)])


def duplicating(owner: str, *needs: Test) -> tuple[Hook, ...]:
    """Return the hooks that see descriptors of IP sockets duplicated."""
    over_ip = (Test(What.FAMILY, Op.INSET, (AF_INET, AF_INET6)), Test(What.RPORT, Op.NE, (0,)))
    plain = (SUCCEEDED, *needs, *over_ip)
    return (
        *hooks_of(DUPLICATING[:3], owner, [plain]),
        *hooks_of(("fcntl",), owner, [(Test(What.ARG, Op.INSET, (0, 1030), index=1), *plain)]),
    )


def writing_programs(owner: str, *needs: Test) -> tuple[Hook, ...]:
    """Return the hooks that see the beginning of an ELF file written."""
    enough = Test(What.RET, Op.GE, (len(ELF),))
    copied = Test(What.FILEMODE, Op.ANYBITS, (_MAY_RUN,))
    return (
        *hooks_of(WRITING, owner, [(enough, *needs, Test(What.TEXT, Op.PREFIX, (ELF,), index=1))], limit=20),
        *hooks_of((COPYING,), owner, [(enough, *needs, copied)]),
    )


def whole(*paths: str) -> Alternatives:
    """Text 0 is one of the paths."""
    return [(Test(What.TEXT, Op.TEXT_IN, tuple(one.encode() for one in paths)),)]


def begins(*paths: str) -> Alternatives:
    """Text 0 begins with one of the paths."""
    return [(Test(What.TEXT, Op.PREFIX, tuple(one.encode() for one in paths)),)]


def ends(*paths: str) -> Alternatives:
    """Text 0 ends with one of the texts."""
    return [(Test(What.TEXT, Op.SUFFIX, tuple(one.encode() for one in paths)),)]
