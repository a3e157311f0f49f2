"""What an event is about: the name of its file or socket, the sort of its descriptor, and which end of a connection is the server.

The name of an opened file is told twice: as it was passed (made absolute and plain without asking the file system, as Falco does) and as the
kernel resolved it. Both are names of it, so that neither a symbolic link nor a race between threads hides one. A path that is relative or
goes up and down is named by what was resolved only, where the call succeeded. Nothing here changes an event, apart from its memos, where answers are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from fairlead.sense.events import (
    AF_INET,
    AF_INET6,
    AF_UNIX,
    CONTAINED,
    FLAGS,
    LENS,
    PLACE_FILE,
    PLACE_SOCK,
    RET,
    Event,
    Sock,
    text_of,
)
from fairlead.sense.plans import Arg, Hook
from fairlead.sense.syscalls import Call, call_of, texts

OPENING = frozenset({"open", "openat", "openat2", "creat", "open_by_handle_at"})
"""Calls that open a file."""
ACCEPTING = frozenset({"accept", "accept4"})
CREATING = frozenset({"socket", "accept", "accept4"})
"""Calls that make a socket."""
SENDING = frozenset({"sendto", "sendmsg", "sendmmsg"})
_O_DIRECTORY = 0o200000
_S_IFMT, _S_IFDIR, _S_IFIFO, _S_IFSOCK = 0o170000, 0o040000, 0o010000, 0o140000
_ESTABLISHED, _LISTEN = 1, 10
_ANONYMOUS = (
    ("[eventpoll]", "l"), ("[eventfd", "e"), ("[signalfd]", "s"), ("[timerfd]", "t"), ("inotify", "i"), ("[fanotify]", "o"),
    ("bpf", "b"), ("[userfaultfd]", "x"), ("[io_uring]", "r"), ("[pidfd]", "P"),
)  # fmt: skip
TYPES: Mapping[str, str] = {
    "f": "file", "d": "directory", "4": "ipv4", "6": "ipv6", "u": "unix", "p": "pipe", "e": "event", "s": "signalfd", "l": "eventpoll",
    "i": "inotify", "t": "timerfd", "n": "netlink", "b": "bpf", "x": "userfaultfd", "r": "io_uring", "m": "memfd", "P": "pidfd", "o": "unknown",
}  # fmt: skip
"""Falco's word for each character of fd.typechar."""


class Ends(NamedTuple):
    """The two ends of a connection, packed addresses of 4 or 16 bytes and ports; an absent end is (None, 0)."""

    client: bytes | None
    client_port: int
    server: bytes | None
    server_port: int
    local_is_server: bool | None


def plain_path(path: str) -> str:
    """Return an absolute path without `.`, `..`, doubled slashes and a slash at the end; the file system is not asked."""
    if "//" not in path and "/." not in path and not (len(path) > 1 and path.endswith("/")):
        return path
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if parts:
                parts.pop()
        elif part and part != ".":
            parts.append(part)
    return "/" + "/".join(parts)


def joined(path: str, base: str) -> str:
    """Return a path as passed, made absolute and plain with the directory that it is relative to; "" stays empty."""
    if not path:
        return ""
    if path.startswith("/"):
        return plain_path(path)
    return plain_path(f"{base}/{path}") if base else path


def positions(event: Event) -> Mapping[str, int]:
    """Return which of the event's texts is what: see syscalls.texts."""
    hook = event.hook
    if hook is None or not hook.args:
        return call_of(event.kind).positions
    known = _known.get(id(hook))
    if known is None or known[0] is not hook:
        if len(_known) > 4096:
            _known.clear()
        known = _known[id(hook)] = (hook, {name: at for at, name in enumerate(texts(hook))})
    return known[1]


_known: dict[int, tuple[Hook, Mapping[str, int]]] = {}
"""Hooks by their identity: to hash one takes longer than all else here."""


def text(event: Event, name: str) -> str:
    """Return the text of an argument as it was passed, "" where there is none."""
    at = positions(event).get(name)
    return "" if at is None else event.texts[at]


def path(event: Event, name: str) -> str:
    """Return the path in an argument, absolute and plain; "" where it is absent, as passed where its directory is not known."""
    where = positions(event)
    at = where.get(name)
    if at is None:
        return ""
    found = event.texts[at]
    if found.startswith("/"):
        return plain_path(found)
    base = where.get(f"{name}@")
    return joined(found, event.texts[base] if base is not None else "")


PATH_OF: Mapping[str, str] = {
    "open": "filename",
    "openat": "filename",
    "openat2": "filename",
    "creat": "pathname",
}


def names(event: Event) -> tuple[str, ...]:
    """Return the names of the file or socket that the event is about, the first as Falco would print it; empty where it has none."""
    known = event.names_memo
    if known is None:
        known = event.names_memo = _names(event)
    return known


def _opened(event: Event, argument: str) -> tuple[str, ...]:
    """The names of a file that was, or was not, opened."""
    raw = event.raw
    if raw[RET] < 0:
        found = path(event, argument)
        return (found,) if found else ()
    at = positions(event)[argument]
    if at == 1:  # as nearly always; the other texts need not be decoded
        first, blob = raw[LENS], event.blob
        place, passed = blob[:first], blob[first : first + raw[LENS + 1]]
    else:
        place, passed = event.blobs[0], event.blobs[at]
    if not passed.startswith(b"/") or place == passed or not passed:
        return (text_of(place),) if place else ()
    told = text_of(passed)
    if plain_path(told) != told:
        return (text_of(place),) if place else ()
    return (told, text_of(place)) if place else (told,)


def _names(event: Event) -> tuple[str, ...]:
    kind = event.kind
    argument = PATH_OF.get(kind)
    if argument is not None:
        return _opened(event, argument)
    if event.raw[FLAGS] & PLACE_SOCK:
        name = socket_name(event)
        return (name,) if name else ()
    call = call_of(kind)
    if call.has_place and event.texts[0]:
        return (event.texts[0],)
    return ()


def raw_name(event: Event) -> str | None:
    """Return the path as it was passed, for calls that open; the name for others."""
    argument = PATH_OF.get(event.kind)
    if argument is not None:
        return text(event, argument) or None
    found_names = names(event)
    return found_names[0] if found_names else None


def number(event: Event) -> int | None:
    """Return the descriptor that the event is about: what was opened (-1 when that failed), or the argument."""
    call = call_of(event.kind)
    if call.ret is Arg.FD:
        ret = event.ret
        return ret if ret >= 0 else -1
    if call.about >= 0:
        value = event.args[call.about] & 0xFFFFFFFF
        return value - (1 << 32) if value >> 31 else value
    return None


def typechar(event: Event) -> str | None:
    """Return Falco's one character for the sort of the descriptor, None where the event is about none."""
    flags = event.raw[FLAGS]
    kind = event.kind
    if flags & PLACE_SOCK:
        sock = event.sock
        return _family_char(sock) if sock else None
    if kind in OPENING:
        if kind != "creat" and event.ret >= 0 and _is_directory(event):
            return "d"
        return "f"
    call = call_of(kind)
    if not call.has_place:
        return None
    if not flags & PLACE_FILE:
        return _BY_CALL.get(kind)
    name = event.texts[0]
    if "anon_inode:" in name:
        return next((char for part, char in _ANONYMOUS if part in name), "o")
    if name.removeprefix("/").startswith("memfd:"):
        return "m"
    file = event.file
    sort = (file.mode if file else 0) & _S_IFMT
    return {_S_IFDIR: "d", _S_IFIFO: "p", _S_IFSOCK: "u"}.get(sort, "f")


_BY_CALL: Mapping[str, str] = {
    "socket": "4", "accept": "4", "accept4": "4", "eventfd": "e", "eventfd2": "e", "signalfd": "s", "signalfd4": "s", "timerfd_create": "t",
    "inotify_init": "i", "inotify_init1": "i", "memfd_create": "m", "pidfd_open": "P", "userfaultfd": "x", "io_uring_setup": "r",
    "epoll_create": "l", "epoll_create1": "l",
}  # fmt: skip


def _is_directory(event: Event) -> bool:
    """Whether a directory was opened, or asked for: a nameless file in one (O_TMPFILE) counts as that directory, as in Falco."""
    file = event.file
    return (file is not None and file.mode & _S_IFMT == _S_IFDIR) or bool(open_flags(event) & _O_DIRECTORY)


def open_flags(event: Event) -> int:
    """Return the flags that a file was to be opened with; 0 for calls that open none."""
    kind = event.kind
    if kind == "openat":
        return event.args[2] & 0xFFFFFFFF
    if kind == "open":
        return event.args[1] & 0xFFFFFFFF
    if kind == "creat":
        return 0o1101
    if kind == "openat2":
        return int.from_bytes(_how(event)[:8], "little")
    if kind == "open_by_handle_at":
        return event.args[2] & 0xFFFFFFFF
    return 0


def open_mode(event: Event) -> int:
    """Return the mode that a file was to be made with."""
    kind = event.kind
    if kind == "openat":
        return event.args[3] & 0xFFFF
    if kind == "open":
        return event.args[2] & 0xFFFF
    if kind == "creat":
        return event.args[1] & 0xFFFF
    if kind == "openat2":
        return int.from_bytes(_how(event)[8:16], "little")
    return 0


def open_resolve(event: Event) -> int:
    """Return how openat2 was to resolve the path."""
    return int.from_bytes(_how(event)[16:24], "little")


def _how(event: Event) -> bytes:
    at = positions(event).get("how")
    return b"" if at is None else event.blobs[at]


_MAPPED = bytes(10) + b"\xff\xff"
_NOWHERE = bytes(16)
_new = tuple.__new__  # the constructor of a named tuple takes twice as long
_FAMILY_CHARS = {AF_INET: "4", AF_INET6: "6", AF_UNIX: "u", 16: "n"}
_PROTOCOLS = {6: "tcp", 17: "udp", 1: "icmp", 58: "icmp"}
_BY_SORT = {1: "tcp", 2: "udp", 3: "raw"}


def _family_char(sock: Sock) -> str:
    if sock.family == AF_INET6 and sock.laddr[:12] == _MAPPED and sock.raddr[:12] in {_MAPPED, bytes(12)}:
        return "4"
    if sock.family == AF_INET6 and sock.raddr[:12] == _MAPPED:
        return "4"
    return _FAMILY_CHARS.get(sock.family, "o")


def _packed(family: int, raw: bytes) -> bytes:
    """An address as it is compared: IPv4 within IPv6 is IPv4."""
    if family == AF_INET:
        return raw[:4]
    return raw[12:] if raw[:12] == _MAPPED else raw


def ends(event: Event) -> Ends | None:
    """Return the ends of the connection of an IPv4 or IPv6 socket, None for what is none.

    The server is who listens: this end in accept, bind and listen, the other in connect and where something is sent to an address. On
    other calls the end with the lower, well-known port is taken for it.
    """
    known: Ends | Literal[False] | None = event.ends_memo
    if known is False:
        known = event.ends_memo = _ends(event)
    return known


def _ends(event: Event) -> Ends | None:
    sock = event.sock
    if sock is None or sock.family not in {AF_INET, AF_INET6}:
        return None
    family, _, _, state, lport, rport, _, laddr, raddr, _ = sock
    local: bytes
    remote: bytes | None
    if family == AF_INET:
        local, remote = laddr[:4], raddr[:4]
    else:
        local, remote = _packed(family, laddr), _packed(family, raddr)
    if not rport and raddr == _NOWHERE:
        remote = None
    kind = event.kind
    served: bool | None
    if kind == "connect" or kind in SENDING:
        served = False
    elif kind in ACCEPTING or kind in {"bind", "listen"} or state == _LISTEN:
        served = True
    elif rport and lport:
        served = lport < rport
    else:
        served = not rport if lport else None
    if remote is None and not lport and not any(local):
        return (
            Ends(None, 0, None, 0, served)
            if kind not in {"bind", "listen"}
            else Ends(None, 0, local, 0, True)
        )
    if served:
        return _new(Ends, (remote, rport, local, lport, True))
    return _new(Ends, (local, lport, remote, rport, served))


def socket_name(event: Event) -> str:
    """Return `10.0.0.1:4000->10.0.0.2:80`, client first; `0.0.0.0:80` for one that listens; the path of a unix socket; "" for others."""
    sock = event.sock
    if sock is None:
        return ""
    if sock.family == AF_UNIX:
        found = event.texts[0] if call_of(event.kind).has_place else ""
        return f"@{found[1:]}" if found.startswith("\0") else found
    both = ends(event)
    if both is None:
        return ""
    local, remote = f"{sock.local}:{sock.lport}", f"{sock.remote}:{sock.rport}"
    if event.kind in {"bind", "listen"} or (both.client is None and both.server is not None):
        return local
    if both.client is None and both.server is None:
        return ""
    return f"{remote}->{local}" if both.local_is_server else f"{local}->{remote}"


def protocol(sock: Sock) -> str | None:
    """Return tcp, udp, icmp or raw for an IP socket, as Falco does; None for others."""
    if sock.family not in {AF_INET, AF_INET6}:
        return None
    return _PROTOCOLS.get(sock.proto) or _BY_SORT.get(sock.type, "<NA>")


def family_name(sock: Sock) -> str | None:
    """Return `ip` or `unix`, None for other families."""
    return "ip" if sock.family in {AF_INET, AF_INET6} else "unix" if sock.family == AF_UNIX else None


def connected(event: Event) -> bool | None:
    """Return whether the socket is connected: TCP when established, UDP when it was given a peer. None for what is no IP socket."""
    sock = event.sock
    if sock is None:
        return None
    if event.kind == "connect":
        return event.ret >= 0
    return sock.state == _ESTABLISHED or event.kind in ACCEPTING


def name_changed(event: Event) -> bool:
    """Return whether the call gave its descriptor another name: a connect, or sending to another address than the last time.

    Remembers, by process and descriptor, whom something was sent to last (at most 256).
    """
    sock = event.sock
    kind = event.kind
    if sock is None:
        return False
    if kind in {"connect", "bind"} or kind in ACCEPTING:
        return event.ret >= 0
    if kind not in SENDING or not sock.rport:
        return False
    process = event.process
    if process.notes is None:
        process.notes = {}
    sent: dict[int, tuple[int, bytes, int]] = process.notes.setdefault("sent", {})
    whom = (event.serial, sock.raddr, sock.rport)
    before = sent.get(sock.fd)
    if before is not None and before[0] != event.serial and before[1:] == whom[1:]:
        return False
    if len(sent) >= 256:
        sent.clear()
    sent[sock.fd] = whom
    return True


def is_contained(event: Event) -> bool:
    """Return whether it happened in another mount namespace than the host's."""
    return bool(event.raw[FLAGS] & CONTAINED)


def about(call: Call) -> str:
    """Return the name of the argument with the descriptor, "" for none."""
    return call.names[call.about] if call.about >= 0 else ""
