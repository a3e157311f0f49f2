"""How an argument's value is taken from an event, and what of it the kernel can test: a Subject for each argument that is to be had.

Values: a number is an int, a text a str, a buffer bytes, a file a FileValue, a socket or an address a Sock. None means that it is not there.
Pure: it reads events, and changes none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from fairlead.dialects.tracingpolicy.argtypes import Type, number_of
from fairlead.dialects.tracingpolicy.places import Source
from fairlead.sense.events import Event, Process, Sock
from fairlead.sense.places import plain_path
from fairlead.sense.plans import Arg, Hook, What
from fairlead.sense.syscalls import call_of, texts


class FileValue(NamedTuple):
    """A file: its path, and its mode where that is known."""

    path: str
    mode: int | None = None


@dataclass(frozen=True, slots=True)
class Pushed:
    """What the kernel can test of a value.

    `sort` is number (a record's number `what`, `index`, as wide as the type), text (the text `index`, whole), socket (its ends, `swapped`
    where the value's own address is the remote end) or const (`value`). Of a number only the bits of `mask` count, where it is not 0.
    """

    sort: str
    what: What = What.ARG
    index: int = 0
    swapped: bool = False
    value: int = 0
    mask: int = 0


@dataclass(frozen=True, slots=True)
class Subject:
    """One argument as it can be seen: `get` takes it from an event; `pushed` is None where only Python can test it."""

    kind: Type
    get: Callable[[Event], Any]
    pushed: Pushed | None = None


_ACCESS = {0: 4, 1: 2, 2: 6}
_APPEND = 0o2000
_REFUSED = (-1, -13)  # EPERM, EACCES


def _mirrored(sock: Sock | None) -> Sock | None:
    """Return a socket seen from its other end."""
    if sock is None:
        return None
    return sock._replace(lport=sock.rport, rport=sock.lport, laddr=sock.raddr, raddr=sock.laddr)


def positions(hook: Hook) -> dict[str, int]:
    """Return which text of a hook's records holds what, by the argument's name."""
    if hook.sort == "syscall":
        return {name: at for at, name in enumerate(texts(hook))}
    order = ["place"] if hook.about >= 0 else []
    for at, how in enumerate(hook.args):
        if at == hook.about:
            continue
        if how is Arg.PATH:
            order += [f"arg{at}", f"arg{at}@"]
        elif how in _TEXTS:
            order.append(f"arg{at}")
    return {name: at for at, name in enumerate(order[:4])}


def located(name: str, hook: Hook) -> tuple[int | None, Callable[[Event], int]]:
    """Return which text an argument is, and how to find it in an event: hooks that others share may read more texts than ours asks for."""
    default = positions(hook).get(name)
    known: dict[tuple[object, ...], int] = {}

    def find(event: Event) -> int:
        seen = event.hook
        if seen is None or seen.sort != "syscall" or seen.args is hook.args:
            return default if default is not None else _ABSENT
        key = (seen.args, seen.about, seen.ret)
        at = known.get(key)
        if at is None:
            at = known[key] = positions(seen).get(name, _ABSENT)
        return at

    return default, find


_ABSENT = 4
"""The position of a text that is not there."""
_TEXTS = frozenset({
    Arg.STRING, Arg.BUFFER, Arg.IOVEC, Arg.MSGHDR, Arg.K_PATH, Arg.K_DENTRY, Arg.K_BPRM, Arg.K_STRING, Arg.K_FILE, Arg.K_KIOCB, Arg.K_LOADINFO,
    Arg.K_MODULE, Arg.K_IOVITER,
})  # fmt: skip


def subject(source: Source | None, kind: Type, hook: Hook) -> Subject | None:
    """Return how a value of this type is had from this source, or None where the two do not fit."""
    if source is None or kind.form in {"nothing", "unreadable"}:
        return None
    match kind.form:
        case "number" | "capability":
            return _number(source, kind)
        case "text" | "device":
            return _text(source, kind, hook)
        case "bytes":
            return _bytes(source, kind, hook)
        case "list":
            return _list(source, kind, hook)
        case "file":
            return _file(source, kind, hook)
        case "socket" | "sockaddr":
            return _socket(source, kind, hook)
        case "syscall":
            return _syscall(source, kind)
        case "credentials" | "userns":
            return Subject(kind, lambda event: event.process) if source.how in {"cred", "userns"} else None
        case "module":
            return Subject(kind, lambda event: event.texts[0]) if source.how in {"module", "first"} else None
    return None


def _number(source: Source, kind: Type) -> Subject | None:
    at = source.at
    match source.how:
        case "arg":
            mask = source.mask or -1
            pushed = Pushed("number", What.ARG, at, mask=source.mask)
            return Subject(kind, lambda event: number_of(kind, event.args[at] & mask), pushed)
        case "ret":
            return Subject(kind, lambda event: number_of(kind, event.ret), Pushed("number", What.RET))
        case "const":
            return Subject(kind, lambda _: at, Pushed("const", value=at))
        case "verdict":
            return Subject(kind, lambda event: event.ret if event.ret in _REFUSED else 0)
        case "accmode":
            return Subject(kind, _access)
        case "call":
            return Subject(kind, lambda event: event.number)
    return None


def _access(event: Event) -> int:
    """The rights that a file was opened with: 4 read, 2 write, 8 append."""
    flags = event.file.oflags if event.file else 0
    return _ACCESS.get(flags & 3, 0) | (8 if flags & _APPEND else 0)


def _text(source: Source, kind: Type, hook: Hook) -> Subject | None:
    if source.how == "first":
        return Subject(kind, lambda event: event.texts[0], Pushed("text", index=0))
    if source.how == "exe":
        return Subject(kind, lambda event: event.process.exe)
    if source.how not in {"text", "path", "buffer", "place"}:
        return None
    at, find = located("place" if source.how == "place" else source.name, hook)
    if at is None:
        return None
    return Subject(kind, lambda event: _said(event, find(event)), Pushed("text", index=at))


def _said(event: Event, at: int) -> str:
    return event.texts[at] if at < _ABSENT else ""


def _bytes(source: Source, kind: Type, hook: Hook) -> Subject | None:
    at, find = located(source.name, hook) if source.how in {"buffer", "text"} else (None, None)
    if at is None or find is None:
        return None

    def read(event: Event) -> bytes:
        here = find(event)
        return event.blobs[here] if here < _ABSENT else b""

    return Subject(kind, read, Pushed("text", index=at))


def _list(source: Source, kind: Type, hook: Hook) -> Subject | None:
    """Numbers of 32 bits, one after the other in a buffer."""
    read = _bytes(source, kind, hook)
    if read is None:
        return None

    def numbers(event: Event) -> tuple[int, ...]:
        raw = read.get(event)
        return tuple(
            int.from_bytes(raw[at : at + 4], "little", signed=True) for at in range(0, len(raw) - 3, 4)
        )

    return Subject(kind, numbers)


def _file(source: Source, kind: Type, hook: Hook) -> Subject | None:
    if source.how == "exe":
        return Subject(
            kind,
            lambda event: FileValue(event.process.exe, event.process.exe_mode or None),
            Pushed("text", index=0),
        )
    if source.how == "script":
        return Subject(kind, _script)
    if source.how == "place":
        return Subject(kind, _place, Pushed("text", index=0))
    if source.how not in {"path", "text"}:
        return None
    at, find = located(source.name, hook)
    _, beside = located(f"{source.name}@", hook)
    if at is None:
        return None
    if hook.sort != "syscall" or source.how == "text":
        return Subject(kind, lambda event: FileValue(_said(event, find(event))), Pushed("text", index=at))

    def joined(event: Event) -> FileValue:
        path = _said(event, find(event))
        if path.startswith("/"):
            return FileValue(plain_path(path))
        start = _said(event, beside(event)) or event.process.cwd
        return FileValue(plain_path(f"{start}/{path}"))

    return Subject(kind, joined)


def _place(event: Event) -> FileValue | None:
    file = event.file
    if file is None and not event.texts[0]:
        return None
    return FileValue(event.texts[0], file.mode if file else None)


def _script(event: Event) -> FileValue | None:
    """The script that an exec was of, None where it was of a program: whose file gave the name, and is not what runs.

    The kernel hands an interpreter its own name, at most one argument of the script's first line, and the script's path as it was passed.
    """
    process = event.process
    if process.name == _short(process.exe):
        return None
    for path in process.args[1:3]:
        if process.name == _short(path):
            return FileValue(plain_path(path if path.startswith("/") else f"{process.cwd}/{path}"))
    return None


def _short(path: str) -> str:
    """A file's name as the kernel gives it to a process."""
    return path.rpartition("/")[2].encode("utf-8", "surrogateescape")[:15].decode("utf-8", "surrogateescape")


def _socket(source: Source, kind: Type, hook: Hook) -> Subject | None:
    there = source.how == "place" and hook.sort != "syscall"
    if source.how not in {"sock", "local", "peer"} and not there:
        return None
    # An address stands for itself: for connect it is the remote end, for bind the local one. A packet that came in has its ends turned round.
    turned = source.how == "peer" or (kind.form == "sockaddr" and source.how == "sock")
    pushed = Pushed("socket", swapped=turned)
    if turned:
        return Subject(kind, lambda event: _mirrored(event.sock), pushed)
    return Subject(kind, lambda event: event.sock, pushed)


def _syscall(source: Source, kind: Type) -> Subject | None:
    if source.how == "arg":
        return Subject(kind, lambda event: event.args[source.at], Pushed("number", What.ARG, source.at))
    if source.how == "call":
        return Subject(kind, lambda event: event.number)
    return None


def unix_path(event: Event) -> str:
    """The path that a unix socket is bound or connected to, "" where there is none."""
    return event.texts[0] if event.sock is not None and event.sock.family == 1 else ""


def syscall_source(name: str, index: int, kind: Type) -> tuple[Source, Arg | None]:
    """Return where a system call's argument is, and how the kernel must read it where its table says otherwise (None: as it says)."""
    call = call_of(name)
    how = call.args[index] if index < len(call.args) else Arg.INT
    named = call.names[index] if index < len(call.names) else f"arg{index}"
    match kind.form:
        case "text" | "device" if how in {Arg.PATH, Arg.STRING, Arg.BUFFER}:
            return Source("text", index, named), None
        case "text" | "device":
            return Source("text", index, named), Arg.STRING
        case "bytes" | "list" if how in {Arg.BUFFER, Arg.IOVEC, Arg.MSGHDR, Arg.STRING, Arg.PATH}:
            return Source("buffer", index, named), None
        case "bytes" | "list":
            return Source("buffer", index, named), Arg.BUFFER
        case "file" if how is Arg.FD or how is Arg.DIRFD or (how is Arg.INT and kind.field == "file_arg"):
            return Source("place", index), None if call.about == index else Arg.FD
        case "file":
            return Source("path", index, named), None
        case "sockaddr":
            return Source("local" if name == "bind" else "sock", index), None
        case "socket":
            return Source("sock", index), None
        case "syscall":
            return Source("call"), None
    return Source("arg", index), None


def host_process(process: Process, host: int) -> bool:
    """Whether a process is in the pid namespace with this number; where that is unknown, whether its two ids are the same."""
    return process.ns[3] == host if host and process.ns[3] else process.vpid == process.pid
