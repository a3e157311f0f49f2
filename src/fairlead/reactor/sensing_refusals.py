"""What cgroup hooks refused, from the kernel's records of it: in the same words as what guards of files refuse. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from fairlead.drivers.kernel.guarding import Prevented
from fairlead.sense.events import Event
from fairlead.sense.planning import owners
from fairlead.sense.records import HookSort

KIND: Final = "prevented"
"""The kind of such events."""
_WHATS: Final[Mapping[int, Literal["connect", "bind", "sendmsg", "socket"]]] = {
    HookSort.CONNECT4: "connect", HookSort.CONNECT6: "connect", HookSort.BIND4: "bind", HookSort.BIND6: "bind",
    HookSort.SENDMSG4: "sendmsg", HookSort.SENDMSG6: "sendmsg", HookSort.SOCK_CREATE: "socket",
}  # fmt: skip


def refused(event: Event) -> list[Prevented]:
    """Return what an event of this kind tells, once for each rule that asked for it."""
    what, sock, process = _WHATS.get(event.args[0]), event.sock, event.process
    if what is None or event.hook is None:
        return []
    if sock is None:
        about = ""
    elif what == "socket":
        about = f"family {sock.family}, type {sock.type}, protocol {sock.proto}"
    else:
        host, port = (sock.local, sock.lport) if what == "bind" else (sock.remote, sock.rport)
        about = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    passed = [clause for at, clause in enumerate(event.hook.clauses) if event.clauses >> at & 1]
    return [
        Prevented(
            what=what, path=about, pid=event.pid, uid=event.uid, exe=process.exe, comm=event.comm, owner=owner, cgroup=event.cgroup, time=event.time
        )
        for owner in dict.fromkeys(one for clause in passed for one in owners(clause))
    ]  # fmt: skip
