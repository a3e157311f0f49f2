"""The operators of matchArgs, matchData and matchReturnArgs: what each means to a value, and which values it takes.

`number_spans` turns any condition on a number into spans of it, from which both the Python test and the kernel's are made. Nothing
here reads an event.
Source: Tetragon's pkg/selectors and bpf/process/types.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from fairlead.dialects.tracingpolicy import capabilities
from fairlead.dialects.tracingpolicy.argtypes import Type
from fairlead.sense import syscalls
from fairlead.sense.events import Sock

Spans: TypeAlias = tuple[tuple[int, int], ...]
"""Inclusive ranges of an unsigned number, in order and apart."""

OPERATORS: Final = (
    "Equal", "NotEqual", "Prefix", "NotPrefix", "Postfix", "NotPostfix", "GT", "LT", "Mask", "InMap", "NotInMap", "InRange", "NotInRange",
    "SubString", "SubStringIgnCase", "FileType", "NotFileType", "CapabilitiesGained", "SAddr", "NotSAddr", "DAddr", "NotDAddr", "SPort",
    "NotSPort", "DPort", "NotDPort", "SPortPriv", "NotSPortPriv", "DPortPriv", "NotDPortPriv", "Protocol", "Family", "State",
)  # fmt: skip
"""All of them, with In and NotIn of process ids, binaries and namespaces, and GreaterThan and LessThan, which are other names."""

_OTHER_NAMES: Final[Mapping[str, str]] = {
    "greaterthan": "GT", "lessthan": "LT", "eq": "Equal", "neq": "NotEqual",
}  # fmt: skip
_CANONICAL: Final = {name.lower(): name for name in OPERATORS} | dict(_OTHER_NAMES)

FILE_TYPES: Final[Mapping[str, int]] = {
    "sock": 0o140000, "socket": 0o140000, "lnk": 0o120000, "link": 0o120000, "reg": 0o100000, "regular": 0o100000, "blk": 0o060000,
    "block": 0o060000, "dir": 0o040000, "chr": 0o020000, "char": 0o020000, "fifo": 0o010000, "pipe": 0o010000,
}  # fmt: skip
"""Names of file types -> their bits in the mode."""
FAMILIES: Final[Mapping[str, int]] = {
    "AF_UNSPEC": 0, "AF_UNIX": 1, "AF_LOCAL": 1, "AF_INET": 2, "AF_AX25": 3, "AF_IPX": 4, "AF_APPLETALK": 5, "AF_NETROM": 6, "AF_BRIDGE": 7,
    "AF_ATMPVC": 8, "AF_X25": 9, "AF_INET6": 10, "AF_ROSE": 11, "AF_DECnet": 12, "AF_NETBEUI": 13, "AF_SECURITY": 14, "AF_KEY": 15,
    "AF_NETLINK": 16, "AF_ROUTE": 16, "AF_PACKET": 17, "AF_ASH": 18, "AF_ECONET": 19, "AF_ATMSVC": 20, "AF_RDS": 21, "AF_SNA": 22,
    "AF_IRDA": 23, "AF_PPPOX": 24, "AF_WANPIPE": 25, "AF_LLC": 26, "AF_IB": 27, "AF_MPLS": 28, "AF_CAN": 29, "AF_TIPC": 30,
    "AF_BLUETOOTH": 31, "AF_IUCV": 32, "AF_RXRPC": 33, "AF_ISDN": 34, "AF_PHONET": 35, "AF_IEEE802154": 36, "AF_CAIF": 37, "AF_ALG": 38,
    "AF_NFC": 39, "AF_VSOCK": 40, "AF_KCM": 41, "AF_QIPCRTR": 42, "AF_SMC": 43, "AF_XDP": 44, "AF_MCTP": 45,
}  # fmt: skip
PROTOCOLS: Final[Mapping[str, int]] = {
    "IPPROTO_IP": 0, "IPPROTO_ICMP": 1, "IPPROTO_IGMP": 2, "IPPROTO_IPIP": 4, "IPPROTO_TCP": 6, "IPPROTO_EGP": 8, "IPPROTO_PUP": 12,
    "IPPROTO_UDP": 17, "IPPROTO_IDP": 22, "IPPROTO_TP": 29, "IPPROTO_DCCP": 33, "IPPROTO_IPV6": 41, "IPPROTO_RSVP": 46, "IPPROTO_GRE": 47,
    "IPPROTO_ESP": 50, "IPPROTO_AH": 51, "IPPROTO_ICMPV6": 58, "IPPROTO_MTP": 92, "IPPROTO_BEETPH": 94, "IPPROTO_ENCAP": 98,
    "IPPROTO_PIM": 103, "IPPROTO_COMP": 108, "IPPROTO_L2TP": 115, "IPPROTO_SCTP": 132, "IPPROTO_UDPLITE": 136, "IPPROTO_MPLS": 137,
    "IPPROTO_ETHERNET": 143, "IPPROTO_RAW": 255, "IPPROTO_MPTCP": 262,
}  # fmt: skip
STATES: Final[Mapping[str, int]] = {
    "TCP_ESTABLISHED": 1, "TCP_SYN_SENT": 2, "TCP_SYN_RECV": 3, "TCP_FIN_WAIT1": 4, "TCP_FIN_WAIT2": 5, "TCP_TIME_WAIT": 6, "TCP_CLOSE": 7,
    "TCP_CLOSE_WAIT": 8, "TCP_LAST_ACK": 9, "TCP_LISTEN": 10, "TCP_CLOSING": 11, "TCP_NEW_SYN_RECV": 12,
}  # fmt: skip
SOCKET_TYPES: Final[Mapping[int, str]] = {
    1: "SOCK_STREAM", 2: "SOCK_DGRAM", 3: "SOCK_RAW", 4: "SOCK_RDM", 5: "SOCK_SEQPACKET", 6: "SOCK_DCCP", 10: "SOCK_PACKET",
}  # fmt: skip
_NEGATIVE: Final = frozenset(name for name in OPERATORS if name.startswith("Not"))
PRIVILEGED: Final = (0, 1023)


def canonical(name: str) -> str | None:
    """Return an operator's own name, however it was written, or None."""
    return _CANONICAL.get(name.lower())


def negated(operator: str) -> bool:
    """Whether it wants none of its values."""
    return operator in _NEGATIVE


def integer(text: str) -> int | None:
    """Return a number as Go reads it: decimal, 0x, 0o or 0b, or octal with a zero in front; None where it is none."""
    text = text.strip().replace("_", "")
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if re.fullmatch(r"0[0-7]+", digits):
        return sign * int(digits, 8)
    if not re.fullmatch(r"[0-9]+|0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+", digits):
        return None
    return sign * int(digits, 0)


def span(text: str) -> tuple[int, int] | None:
    """Return a range `min:max`, or a number as a range of itself; None where it is neither."""
    first, colon, last = text.partition(":")
    low, high = integer(first), integer(last) if colon else integer(first)
    if low is None or high is None:
        return None
    return (low, high) if low <= high else (high, low)


def plain(text: str) -> str:
    """Return a text to compare with: a closing zero byte, however written, does not count."""
    return text.removesuffix("\\0").removesuffix("\0")


def fault(operator: str, values: Sequence[str], kind: Type | None) -> str:
    """Return what is wrong with an operator's values, "" where nothing is."""
    if operator in {"SPortPriv", "NotSPortPriv", "DPortPriv", "NotDPortPriv", "CapabilitiesGained"}:
        return ""
    if not values:
        return f"{operator} needs values"
    form = kind.form if kind else "number"
    for value in values:
        if operator in {"SAddr", "NotSAddr", "DAddr", "NotDAddr"}:
            good = _network(value) is not None
        elif operator in {"FileType", "NotFileType"}:
            good = value in FILE_TYPES
        elif operator in _NAMED:
            good = value in _NAMED[operator] or span(value) is not None
        elif operator in {"SPort", "NotSPort", "DPort", "NotDPort"}:
            good = span(value) is not None
        elif form == "capabilities":
            good = capabilities.mask(value) is not None
        elif form in {"number", "capability", "syscall"}:
            good = _number_values(operator, value, form) is not None
        else:
            good = True
        if not good:
            return f"{value!r} is no value for {operator}"
    return ""


_NAMED: Final[Mapping[str, Mapping[str, int]]] = {"Protocol": PROTOCOLS, "Family": FAMILIES, "State": STATES}


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def networks(values: Sequence[str]) -> tuple[str, ...]:
    """Return addresses and networks as networks: `10.0.0.0/8`."""
    return tuple(str(one) for value in values if (one := _network(value)) is not None)


def syscall_names(values: Sequence[str]) -> frozenset[str]:
    """Return the system calls that values name: by their names, with or without a prefix, by their numbers, or all of a generated list."""
    found: set[str] = set()
    for value in values:
        if value.startswith("generated_"):
            wanted = value.partition(":")[2]
            found.update(one for one in syscalls.EVERY if re.search(wanted or ".", f"sys_{one}"))
        elif (number := integer(value.partition("/")[2] or value)) is not None:
            name = syscalls.NAMES["x86_64"].get(number)
            if name:
                found.add(name)
        else:
            found.add(bare_syscall(value.rpartition("/")[2]) or value)
    return frozenset(found)


_PREFIXES: Final = (
    "__x64_sys_", "__arm64_sys_", "__ia32_sys_", "__ia32_compat_sys_", "__arm64_compat_sys_", "__riscv_sys_", "__s390x_sys_", "__se_sys_",
    "__do_sys_", "compat_sys_", "sys_", "ksys_",
)  # fmt: skip
_SPELLED: Final[Mapping[str, str]] = {
    "umount": "umount2", "newstat": "stat", "newfstat": "fstat", "newlstat": "lstat", "sendfile64": "sendfile", "newuname": "uname",
    "mmap_pgoff": "mmap", "fadvise64_64": "fadvise64",
}  # fmt: skip


def bare_syscall(function: str) -> str | None:
    """Return the system call that a kernel function of its name serves (`__x64_sys_openat` -> `openat`), or None."""
    for prefix in _PREFIXES:
        if function.startswith(prefix):
            name = function.removeprefix(prefix)
            name = _SPELLED.get(name, name)
            return name if name in syscalls.EVERY else None
    return None


def _number_values(operator: str, value: str, form: str) -> tuple[int, int] | None:
    if form == "syscall":
        return (0, 0) if span(value) or value.startswith("generated_") or syscall_names((value,)) else None
    if value.startswith("generated_"):
        return None
    if operator in {"InRange", "NotInRange", "InMap", "NotInMap"}:
        return span(value)
    one = integer(value)
    return None if one is None else (one, one)


def number_spans(operator: str, values: Sequence[str], kind: Type) -> Spans | None:
    """Return the unsigned numbers of the type's width that meet the condition; None for Mask, which is no matter of spans."""
    top = (1 << kind.bits) - 1
    low, high = (-(1 << (kind.bits - 1)), (1 << (kind.bits - 1)) - 1) if kind.signed else (0, top)
    wanted: list[tuple[int, int]] = []
    for value in values:
        pair = _number_values(operator, value, "number")
        if pair is None:
            continue
        first, last = pair
        if kind.signed and first == last and high < first <= top:
            first = last = first - top - 1  # 0xffffffff for -1
        if operator == "GT":
            first, last = first + 1, high
        elif operator == "LT":
            first, last = low, first - 1
        first, last = max(first, low), min(last, high)
        if first <= last:
            wanted.append((first, last))
    if operator == "Mask":
        return None
    unsigned: list[tuple[int, int]] = []
    for first, last in wanted:
        if first < 0 <= last:
            unsigned += [(first & top, top), (0, last)]
        else:
            unsigned.append((first & top, last & top))
    spans = joined(unsigned)
    return complement(spans, top) if negated(operator) else spans


def named_spans(operator: str, values: Sequence[str], top: int = (1 << 16) - 1) -> Spans:
    """Return the ports, protocols, families or states that values name."""
    names = _NAMED.get(operator, {})
    pairs = [(names[value], names[value]) if value in names else span(value) for value in values]
    spans = joined([(max(pair[0], 0), min(pair[1], top)) for pair in pairs if pair])
    return complement(spans, top) if negated(operator) else spans


def joined(spans: Sequence[tuple[int, int]]) -> Spans:
    """Return ranges in order, those that touch made one."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(one for one in spans if one[0] <= one[1]):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return tuple(found)


def complement(spans: Spans, top: int) -> Spans:
    """Return what is left of 0..top without the spans."""
    found, at = [], 0
    for first, last in spans:
        if at < first:
            found.append((at, first - 1))
        at = last + 1
    if at <= top:
        found.append((at, top))
    return tuple(found)


def within(spans: Spans) -> Callable[[int], bool]:
    """Return the test whether a number is in one of the spans."""
    if all(first == last for first, last in spans):
        return frozenset(first for first, _ in spans).__contains__
    return lambda value: any(first <= value <= last for first, last in spans)


def mask_of(values: Sequence[str]) -> int:
    """Return all bits that the values of Mask name."""
    bits = 0
    for value in values:
        bits |= (integer(value) or 0) & ((1 << 64) - 1)
    return bits


def text_test(operator: str, values: Sequence[str]) -> Callable[[str], bool]:
    """Return the test of a text."""
    wanted = tuple(plain(value) for value in values)
    match operator:
        case "Equal" | "NotEqual":
            found: Callable[[str], bool] = frozenset(wanted).__contains__
        case "Prefix" | "NotPrefix":
            found = lambda text: text.startswith(wanted)  # noqa: E731 - one of many of its shape
        case "Postfix" | "NotPostfix":
            found = lambda text: text.endswith(wanted)  # noqa: E731
        case "SubStringIgnCase":
            low = tuple(one.lower() for one in wanted)
            found = lambda text: any(one in text.lower() for one in low)  # noqa: E731
        case _:
            found = lambda text: any(one in text for one in wanted)  # noqa: E731
    return _turned(operator, found)


def _turned(operator: str, test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return (lambda value: not test(value)) if negated(operator) else test


def socket_test(operator: str, values: Sequence[str], *, local: bool = False) -> Callable[[Sock], bool]:
    """Return the test of a socket. With `local`, both addresses mean the local end: an address that is bound to."""
    if operator in {"SAddr", "NotSAddr", "DAddr", "NotDAddr"}:
        own = operator.endswith("SAddr") or local
        nets = [ipaddress.ip_network(one) for one in networks(values)]

        def inside(sock: Sock) -> bool:
            said = sock.local if own else sock.remote
            if not said:
                return False
            address = ipaddress.ip_address(said)
            return any(address in net for net in nets)

        return _turned(operator, inside)
    if operator in {"SPortPriv", "NotSPortPriv", "DPortPriv", "NotDPortPriv"}:
        ports: Spans = (PRIVILEGED,)
        if negated(operator):
            ports = complement(ports, 0xFFFF)
    else:
        ports = named_spans(operator, values)
    test = within(ports)
    match operator:
        case "Protocol":
            return lambda sock: test(sock.proto)
        case "Family":
            return lambda sock: test(sock.family)
        case "State":
            return lambda sock: test(sock.state)
        case "SPort" | "NotSPort" | "SPortPriv" | "NotSPortPriv":
            return lambda sock: test(sock.lport)
    return lambda sock: test(sock.rport)


def capability_test(operator: str, values: Sequence[str]) -> Callable[[int], bool]:
    """Return the test of a set of capabilities."""
    masks = [one for value in values if (one := capabilities.mask(value)) is not None]
    if operator == "Mask":
        return lambda held: any(held & one for one in masks)
    return _turned(operator, frozenset(masks).__contains__)
