"""Addresses and networks: `ip('10.0.0.1')`, `cidr('10.0.0.0/8').containsIP(...)`.

Strict as Go's net/netip is: no leading zeros, no zones, no IPv4 in IPv6's clothes. Resolves no names.
Source: k8s.io/apiserver/pkg/cel/library/ip.go and cidr.go.
"""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from functools import lru_cache
from typing import TypeAlias

from fairlead.tongues.cel import types as t
from fairlead.tongues.cel.errors import Failed
from fairlead.tongues.cel.libraries import Library
from fairlead.tongues.cel.strings import traverse

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

IP_TYPE = t.opaque("net.IP")
CIDR_TYPE = t.opaque("net.CIDR")


class IP:
    """An address."""

    __slots__ = ("address",)
    cel_type = IP_TYPE

    def __init__(self, address: Address) -> None:
        self.address = address

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IP) and self.address == other.address

    def __hash__(self) -> int:
        return hash(self.address)

    def __str__(self) -> str:
        return str(self.address)

    def to_json(self) -> str:
        """Return the text."""
        return str(self.address)


class CIDR:
    """A network, or rather an address with the length of its network's prefix."""

    __slots__ = ("address", "bits")
    cel_type = CIDR_TYPE

    def __init__(self, address: Address, bits: int) -> None:
        self.address = address
        self.bits = bits

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CIDR) and (self.address, self.bits) == (other.address, other.bits)

    def __hash__(self) -> int:
        return hash((self.address, self.bits))

    def __str__(self) -> str:
        return f"{self.address}/{self.bits}"

    def to_json(self) -> str:
        """Return the text."""
        return str(self)

    def masked(self) -> CIDR:
        """Return the network itself: bits beyond the prefix cleared."""
        size = self.address.max_prefixlen
        value = int(self.address) >> (size - self.bits) << (size - self.bits)
        return CIDR(type(self.address)(value), self.bits)

    def holds(self, address: Address, bits: int | None = None) -> bool:
        """Return whether an address, or a network of so many bits, is in this one."""
        size = self.address.max_prefixlen
        if address.version != self.address.version or (bits is not None and bits < self.bits):
            return False
        return int(address) >> (size - self.bits) == int(self.address) >> (size - self.bits)


@lru_cache(maxsize=4096)
def parse(text: str) -> IP:
    """Return the address. Raises Failed."""
    if "%" in text:
        raise Failed(f'IP Address "{text[:100]}" with zone value is not allowed')
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise Failed(f'IP Address "{text[:100]}" parse error during conversion from string') from None
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None:
        if "." in text:
            raise Failed(f'IPv4-mapped IPv6 address "{text}" is not allowed')
        return IP(mapped)
    return IP(address)


@lru_cache(maxsize=4096)
def parse_cidr(text: str) -> CIDR:
    """Return the network. Raises Failed."""
    front, slash, back = text.partition("/")
    if "%" in text:
        raise Failed(f'CIDR "{text[:100]}" with zone value is not allowed')
    address: Address | None = None
    number = back.isascii() and back.isdigit() and len(back) <= 3 and (back == "0" or back[0] != "0")
    with suppress(ValueError):
        address = ipaddress.ip_address(front)
    if address is None or not slash or not number or int(back) > address.max_prefixlen:
        raise Failed(f'network address parse error during conversion from string: "{text[:100]}"')
    if getattr(address, "ipv4_mapped", None) is not None:
        raise Failed(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return CIDR(address, int(back))


def _is_ip(text: str) -> bool:
    try:
        parse(text)
    except Failed:
        return False
    return True


def _is_cidr(text: str) -> bool:
    try:
        parse_cidr(text)
    except Failed:
        return False
    return True


def _global_unicast(one: IP) -> bool:
    address = one.address
    if address.version == 4 and int(address) == 2**32 - 1:
        return False
    return not (
        address.is_unspecified or address.is_loopback or address.is_multicast or _link_local_unicast(one)
    )


def _link_local_unicast(one: IP) -> bool:
    address = one.address
    if address.version == 4:
        return int(address) >> 16 == 0xA9FE
    return int(address) >> 118 == 0xFE80 >> 6


def _link_local_multicast(one: IP) -> bool:
    address = one.address
    if address.version == 4:
        return int(address) >> 8 == 0xE00000
    return int(address) >> 112 & 0xFF0F == 0xFF02


LIBRARY = Library(
    "networks",
    functions={
        "ip(string) net.IP": parse,
        "isIP(string) bool": _is_ip,
        "ip.isCanonical(string) bool": lambda text: str(parse(text)) == text,
        ".family(net.IP) int": lambda one: one.address.version,
        ".isUnspecified(net.IP) bool": lambda one: one.address.is_unspecified,
        ".isLoopback(net.IP) bool": lambda one: one.address.is_loopback,
        ".isLinkLocalMulticast(net.IP) bool": _link_local_multicast,
        ".isLinkLocalUnicast(net.IP) bool": _link_local_unicast,
        ".isGlobalUnicast(net.IP) bool": _global_unicast,
        "string(net.IP) string": str,
        "cidr(string) net.CIDR": parse_cidr,
        "isCIDR(string) bool": _is_cidr,
        ".containsIP(net.CIDR, net.IP) bool": lambda net, one: net.holds(one.address),
        ".containsIP(net.CIDR, string) bool": lambda net, text: net.holds(parse(text).address),
        ".containsCIDR(net.CIDR, net.CIDR) bool": lambda net, one: net.holds(one.address, one.bits),
        ".containsCIDR(net.CIDR, string) bool": lambda net, text: _contains(net, parse_cidr(text)),
        ".ip(net.CIDR) net.IP": lambda net: IP(net.address),
        ".masked(net.CIDR) net.CIDR": CIDR.masked,
        ".prefixLength(net.CIDR) int": lambda net: net.bits,
        "string(net.CIDR) string": str,
    },
    constants={"net.IP": IP_TYPE, "net.CIDR": CIDR_TYPE},
    costs={
        "isIP": traverse(0.1),
        "isCIDR": traverse(0.1),
        "cidr": traverse(0.1),
        "ip.isCanonical": traverse(0.2),
    },
)


def _contains(net: CIDR, one: CIDR) -> bool:
    return net.holds(one.address, one.bits)
