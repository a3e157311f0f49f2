"""The kernel's sieve in Python: which clauses of a hook an event passes. For replays of what no kernel sieved, and to test plans by.

It must agree with bpf/sieve.h in every test; what needs the process' executable or namespaces is answered from the table of processes.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

from fairlead.sense.events import AF_INET, AF_INET6, CONTAINED, FLAGS, RET, Event
from fairlead.sense.plans import Clause, Hook, Op, Test, What

_WORD = (1 << 64) - 1
_HALVES = frozenset({
    What.UID, What.GID, What.TGID, What.TID, What.VPID, What.FAMILY, What.SOCKTYPE, What.PROTO, What.STATE, What.LPORT, What.RPORT,
    What.FILEMODE, What.OFLAGS, What.NS,
})  # fmt: skip


def passed(hook: Hook, event: Event) -> int:
    """Return the bits of the clauses that the event passes; all 0 also for a hook without clauses, which lets everything through."""
    bits = 0
    for at, clause in enumerate(hook.clauses):
        if passes(clause, event):
            bits |= 1 << at
    return bits


def passes(clause: Clause, event: Event) -> bool:
    """Return whether all of a clause's tests pass."""
    return all(holds(test, event) for test in clause.tests)


def holds(test: Test, event: Event) -> bool:
    """Return whether one test passes."""
    what = test.what
    if what in {What.TEXT, What.COMM}:
        text = event.comm.encode("utf-8", "surrogateescape") if what is What.COMM else event.blobs[test.index]
        return _text(test.op, text, test.values)
    if what in {What.EXE, What.PEXE}:
        process = event.process if what is What.EXE else event.process.parent
        exe = (process.exe if process is not None else "").encode("utf-8", "surrogateescape")
        return _text(test.op, exe, test.values)
    if what in {What.LADDR, What.RADDR}:
        return _network(test, event)
    have = _operand(test, event) & _WORD
    if test.mask:
        have &= test.mask & _WORD
    return _number(test, have)


def _text(op: Op, text: bytes, values: Iterable[object]) -> bool:
    members = [
        one if isinstance(one, bytes) else str(one).encode("utf-8", "surrogateescape") for one in values
    ]
    match op:
        case Op.TEXT_IN | Op.EQ | Op.INSET:
            return text in members
        case Op.TEXT_NOTIN | Op.NE | Op.NOTINSET:
            return text not in members
        case Op.PREFIX:
            return any(text.startswith(one[:120]) for one in members)
        case Op.NOTPREFIX:
            return not any(text.startswith(one) for one in members if len(one) <= 120)
        case Op.SUFFIX:
            return any(text.endswith(one[-120:]) for one in members)
        case Op.NOTSUFFIX:
            return not any(text.endswith(one) for one in members if len(one) <= 120)
        case Op.RELATIVE:
            return not text.startswith(b"/")
        case Op.CONTAINS:
            return members[0][:8] in text
        case _:
            return False


@lru_cache(maxsize=4096)
def _parsed(text: str) -> tuple[int, int, int]:
    """Family, network and mask of what is compared with."""
    net = ipaddress.ip_network(text, strict=False)
    base, bits = int(net.network_address), net.prefixlen
    width = net.max_prefixlen
    return (AF_INET if net.version == 4 else AF_INET6), base, ((1 << bits) - 1) << (width - bits)


def _network(test: Test, event: Event) -> bool:
    sock = event.sock
    found = False
    if sock is not None and sock.family in {AF_INET, AF_INET6}:
        raw = sock.laddr if test.what is What.LADDR else sock.raddr
        family = sock.family
        if family == AF_INET or raw[:12] == bytes(10) + b"\xff\xff":
            raw = raw[:4] if family == AF_INET else raw[12:]
            family = AF_INET
        have = int.from_bytes(raw, "big")
        found = any(
            of == family and have & mask == base
            for of, base, mask in (_parsed(str(one)) for one in test.values)
        )
    return found if test.op is Op.NET else not found


def _operand(test: Test, event: Event) -> int:
    process, sock, file = event.process, event.sock, event.file
    match test.what:
        case What.ARG:
            return event.args[test.index]
        case What.RET:
            return int(event.raw[RET])
        case What.UID:
            return event.uid
        case What.GID:
            return event.gid
        case What.TGID:
            return event.pid
        case What.TID:
            return event.tid
        case What.VPID:
            return process.vpid
        case What.CGROUP:
            return event.cgroup
        case What.CONTAINED:
            return 1 if event.raw[FLAGS] & CONTAINED else 0
        case What.NS:
            return process.ns[test.index]
        case What.CAP_EFF | What.CAP_PERM | What.CAP_INH:
            return process.caps[test.what - What.CAP_EFF]
        case What.FILEMODE:
            return file.mode if file is not None else 0
        case What.OFLAGS:
            return file.oflags if file is not None else 0
    if sock is None:
        return 0
    return {
        What.FAMILY: sock.family, What.SOCKTYPE: sock.type, What.PROTO: sock.proto, What.STATE: sock.state, What.LPORT: sock.lport,
        What.RPORT: sock.rport,
    }.get(test.what, 0)  # fmt: skip


def _number(test: Test, have: int) -> bool:
    width = 0xFFFFFFFF if test.what in _HALVES else _WORD
    values = [int(one) & width for one in test.values]
    want = values[0] if values else 0
    signed = have - (1 << 64) if have >> 63 else have
    wanted = want - (1 << 64) if want >> 63 else want
    match test.op:
        case Op.EQ | Op.INSET:
            return have in values
        case Op.NE | Op.NOTINSET:
            return have not in values
        case Op.LT:
            return signed < wanted
        case Op.LE:
            return signed <= wanted
        case Op.GT:
            return signed > wanted
        case Op.GE:
            return signed >= wanted
        case Op.LTU:
            return have < want
        case Op.LEU:
            return have <= want
        case Op.GTU:
            return have > want
        case Op.GEU:
            return have >= want
        case Op.ANYBITS:
            return have & want != 0
        case Op.ALLBITS:
            return have & want == want
        case Op.NOBITS:
            return have & want == 0
        case _:
            return False
