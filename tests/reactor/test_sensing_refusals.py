"""What cgroup hooks refused, from records made by hand: what, of whom, and for which rules."""

from __future__ import annotations

import socket

import pytest

from fairlead.reactor.sensing_refusals import KIND, refused
from fairlead.sense.events import Event, Process, Sock, make_event
from fairlead.sense.planning import SEPARATOR
from fairlead.sense.plans import Clause, Hook
from fairlead.sense.records import HookSort

HERE = socket.inet_aton("127.0.0.1") + bytes(12)
THERE = socket.inet_pton(socket.AF_INET6, "2001:db8::1")
HOOK = Hook(
    sort="kernel", name="connect4",
    clauses=(Clause(owner="tracingpolicy/a"), Clause(owner=f"tracingpolicy/a{SEPARATOR}tracingpolicy/b"), Clause(owner="tracingpolicy/c")),
)  # fmt: skip


def event(sort: int, sock: Sock | None, clauses: int = 1, hook: Hook | None = HOOK) -> Event:
    process = Process(7)
    process.exe, process.name = "/usr/bin/nc", "nc"
    return make_event(KIND, process, args=(sort,), sock=sock, clauses=clauses, hook=hook, uid=33, time=5)


@pytest.mark.parametrize(
    ("sort", "sock", "what", "about"),
    [
        (HookSort.CONNECT4, Sock(family=2, rport=80, raddr=HERE), "connect", "127.0.0.1:80"),
        (HookSort.CONNECT6, Sock(family=10, rport=443, raddr=THERE), "connect", "[2001:db8::1]:443"),
        (HookSort.BIND4, Sock(family=2, lport=22, laddr=HERE), "bind", "127.0.0.1:22"),
        (HookSort.BIND6, Sock(family=10, lport=22, laddr=THERE), "bind", "[2001:db8::1]:22"),
        (HookSort.SENDMSG4, Sock(family=2, rport=53, raddr=HERE), "sendmsg", "127.0.0.1:53"),
        (
            HookSort.SOCK_CREATE,
            Sock(family=17, type=3, proto=768),
            "socket",
            "family 17, type 3, protocol 768",
        ),
        (HookSort.CONNECT4, None, "connect", ""),
    ],
)
def test_what_was_refused(sort: int, sock: Sock | None, what: str, about: str) -> None:
    (one,) = refused(event(sort, sock))
    assert (one.what, one.path, one.owner) == (what, about, "tracingpolicy/a")
    assert (one.pid, one.uid, one.exe, one.comm, one.time) == (7, 33, "/usr/bin/nc", "nc", 5)


def test_each_rule_is_told_once() -> None:
    sock = Sock(family=2)
    assert [one.owner for one in refused(event(1, sock, clauses=0b011))] == [
        "tracingpolicy/a",
        "tracingpolicy/b",
    ]
    assert [one.owner for one in refused(event(1, sock, clauses=0b100))] == ["tracingpolicy/c"]
    assert refused(event(1, sock, clauses=0)) == []


def test_what_nobody_asked_for_is_nothing() -> None:
    assert refused(event(99, None)) == []
    assert refused(event(1, None, hook=None)) == []
