"""Tracee's events of sockets and packets: what of them the calls and the kernel's own events of sockets show.

A table. Packets themselves are not looked at, so what is in them is not seen, and says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from fairlead.dialects.tracee import flags
from fairlead.dialects.tracee.happenings import Field, Plain, Sort, Source, local, number, remote
from fairlead.sense import behaviours_acts as acts
from fairlead.sense.events import AF_INET, AF_INET6, Event
from fairlead.sense.plans import Hook, Op, Test, What
from fairlead.sense.syscalls import hook_of

_SETS = ("default", "lsm_hooks", "net", "net_sock")
_OVER_IP = Test(What.FAMILY, Op.INSET, (AF_INET, AF_INET6))
_TCP = 6
_ESTABLISHED, _SYN_SENT, _CLOSE = 1, 2, 7


_Told: TypeAlias = tuple[str, str, Callable[[Event], Any], dict[str, Any]]
"""A field: name, type, how to get it, and what else there is to it."""


def _fields(*told: _Told) -> dict[str, Field]:
    return {name: Field(name=name, type=kind, get=get, **rest) for name, kind, get, rest in told}


def _fd(event: Event) -> int:
    return number(0, "int")(event)


_SOCKFD: _Told = ("sockfd", "int", _fd, {"place": (What.ARG, 0), "bits": 32})
_TYPE: _Told = (
    "type",
    "int",
    lambda event: event.sock.type if event.sock else None,
    {"words": flags.socket_type},
)
_REMOTE: _Told = ("remote_addr", "struct sockaddr*", remote, {})
_LOCAL: _Told = ("local_addr", "struct sockaddr*", local, {})
_IN_PROGRESS = -115


def _of(
    name: str,
    call: str,
    fields: dict[str, Field],
    guard: tuple[tuple[Test, ...], ...],
    when: Callable[[Event], bool] | None = None,
    sets: tuple[str, ...] = _SETS,
    more: dict[str, Source] | None = None,
) -> Plain:
    source = Source(kind=call, hook=hook_of(call), fields=fields, guard=guard, when=when)
    return Plain(
        name=name,
        sets=sets,
        signature=tuple((one.name, one.type) for one in fields.values()),
        sources={call: source, **(more or {})},
    )


_DONE = ((acts.SUCCEEDED,),)
_CONNECTING = ((Test(What.RET, Op.INSET, (0, _IN_PROGRESS)),),)


def _reached(event: Event) -> bool:
    return acts.connected(event) is not None


def _accepts() -> Plain:
    fields = _fields(_SOCKFD, _LOCAL)
    return _of(
        "security_socket_accept", "accept", fields, _DONE,
        more={"accept4": Source(kind="accept4", hook=hook_of("accept4"), fields=fields, guard=_DONE)},
    )  # fmt: skip


def _duplicates() -> Plain:
    fields = _fields(
        ("oldfd", "int", _fd, {"place": (What.ARG, 0), "bits": 32}),
        ("newfd", "int", lambda event: event.ret, {"place": (What.RET, 0), "bits": 32}),
        _REMOTE,
    )

    def when(event: Event) -> bool:
        return event.ret >= 0 and event.sock is not None

    clone = Test(What.ARG, Op.INSET, (0, 1030), index=1)
    sources = {
        name: Source(
            kind=name, hook=hook_of(name), fields=fields, when=when,
            guard=((acts.SUCCEEDED, clone) if name == "fcntl" else (acts.SUCCEEDED,),),
        )
        for name in acts.DUPLICATING
    }  # fmt: skip
    signature = tuple((one.name, one.type) for one in fields.values())
    return Plain(name="socket_dup", sets=("net",), signature=signature, sources=sources)


def _tcp_connect() -> Plain:
    fields = _fields(
        ("dst", "const char*", lambda event: event.sock.remote if event.sock else None, {}),
        ("dst_port", "int", lambda event: event.sock.rport if event.sock else None, {"place": (What.RPORT, 0), "bits": 16}),
        ("dst_dns", "const char**", lambda _: None, {"unread": "answers to questions for names are not looked at"}),
    )  # fmt: skip

    def when(event: Event) -> bool:
        return (
            _reached(event)
            and event.sock is not None
            and event.sock.type == 1
            and event.sock.family in {AF_INET, AF_INET6}
        )

    guard = ((Test(What.RET, Op.INSET, (0, _IN_PROGRESS)), _OVER_IP, Test(What.SOCKTYPE, Op.EQ, (1,))),)
    return _of("net_tcp_connect", "connect", fields, guard, when, ("default", "network_events"))


def _flow(name: str, begins: bool) -> Plain:
    def port(event: Event, *, far: bool) -> int | None:
        sock = event.sock
        return (sock.rport if far else sock.lport) if sock else None

    fields = _fields(
        (
            "conn_direction",
            "const char*",
            lambda event: "incoming" if event.args[0] != _SYN_SENT else "outgoing",
            {},
        ),
        ("src", "const char*", lambda event: event.sock.local if event.sock else None, {}),
        ("dst", "const char*", lambda event: event.sock.remote if event.sock else None, {}),
        ("src_port", "u16", lambda event: port(event, far=False), {"place": (What.LPORT, 0), "bits": 16}),
        ("dst_port", "u16", lambda event: port(event, far=True), {"place": (What.RPORT, 0), "bits": 16}),
        (
            "src_dns",
            "const char**",
            lambda _: None,
            {"unread": "answers to questions for names are not looked at"},
        ),
        (
            "dst_dns",
            "const char**",
            lambda _: None,
            {"unread": "answers to questions for names are not looked at"},
        ),
    )
    wanted = Test(What.ARG, Op.EQ, (_ESTABLISHED if begins else _CLOSE,), index=1)

    def when(event: Event) -> bool:
        if begins:
            return event.args[1] == _ESTABLISHED
        return event.args[1] == _CLOSE and event.args[0] not in {_SYN_SENT, _CLOSE, 10}

    source = Source(
        kind="sock_state",
        hook=Hook(sort="kernel", name="sock_state"),
        fields=fields,
        guard=((wanted,),),
        when=when,
    )
    signature = tuple((one.name, one.type) for one in fields.values())
    return Plain(
        name=name, sets=("network_events", "flows"), signature=signature, sources={"sock_state": source}
    )


_PACKETS = (
    "net_packet",
    "net_packet_base",
    "net_packet_raw",
    "net_packet_ipv4",
    "net_packet_ipv6",
    "net_packet_tcp",
    "net_packet_udp",
    "net_packet_icmp",
    "net_packet_icmpv6",
    "net_packet_dns",
    "net_packet_dns_request",
    "net_packet_dns_response",
    "net_packet_http",
    "net_packet_http_request",
    "net_packet_http_response",
    "net_packet_capture",
    "net_packet_flow",
)

NETWORK: tuple[Sort, ...] = (
    _of(
        "security_socket_create", "socket",
        _fields(
            ("family", "int", number(0, "int"), {"words": flags.family, "place": (What.ARG, 0), "bits": 32}),
            ("type", "int", number(1, "int"), {"words": flags.socket_type}),
            ("protocol", "int", number(2, "int"), {"place": (What.ARG, 2), "bits": 32}),
            ("kern", "int", lambda _: 0, {}),
        ),
        _DONE,
    ),
    _of("security_socket_connect", "connect", _fields(_SOCKFD, _TYPE, _REMOTE), _CONNECTING, _reached),
    _of("security_socket_bind", "bind", _fields(_SOCKFD, _LOCAL), _DONE),
    _of("security_socket_listen", "listen", _fields(_SOCKFD, _LOCAL, ("backlog", "int", number(1, "int"), {"place": (What.ARG, 1), "bits": 32})), _DONE),
    _of(
        "security_socket_setsockopt", "setsockopt",
        _fields(
            _SOCKFD, ("level", "int", number(1, "int"), {"place": (What.ARG, 1), "bits": 32}),
            ("optname", "int", number(2, "int"), {"place": (What.ARG, 2), "bits": 32}), _LOCAL,
        ),
        _DONE,
    ),
    _of(
        "security_socket_sendmsg", "sendmsg", _fields(_SOCKFD, _LOCAL), _DONE,
        more={"sendto": Source(kind="sendto", hook=hook_of("sendto"), fields=_fields(_SOCKFD, _LOCAL), guard=_DONE)},
    ),
    _accepts(),
    _duplicates(),
    _tcp_connect(),
    _flow("net_flow_tcp_begin", begins=True),
    _flow("net_flow_tcp_end", begins=False),
    *(Plain(name=name, sets=(), why_not="packets are not looked at; events of connections are net_tcp_connect and net_flow_tcp_begin") for name in _PACKETS),
)  # fmt: skip
"""Events of the network."""
