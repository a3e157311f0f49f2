"""Networks in CIDR form: contains, intersects, expand, merge. Never asks a name server: only what is an address has one."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, TypeAlias

from fairlead.tongues.rego.values import Set, unbox

from .collections import members
from .kinds import Builtin, BuiltinError, Context, bounded, table, text

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
_MOST_ADDRESSES = 1 << 18
"""The most addresses that net.cidr_expand lists: a /14, or an IPv6 /110."""
_SHAPE = re.compile(r"([0-9a-fA-F.:]+)/([0-9]{1,3})")


@lru_cache(maxsize=4096)
def network(value: str) -> Network:
    """Return the network that the text names. Raises BuiltinError as Go words it."""
    shape = _SHAPE.fullmatch(value)
    if shape is not None:
        try:
            base = ipaddress.ip_address(shape[1])
            return ipaddress.ip_network((base, int(shape[2])), strict=False)
        except ValueError:
            pass
    raise BuiltinError(f"invalid CIDR address: {value}")


@lru_cache(maxsize=4096)
def address(value: str) -> Address | None:
    """Return the address that the text is, or None; an IPv4 address in IPv6's form is one of IPv4."""
    try:
        found = ipaddress.ip_address(value) if "%" not in value else None
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def _within(inner: Network, outer: Network) -> bool:
    return (
        inner.version == outer.version
        and inner.prefixlen >= outer.prefixlen
        and inner.network_address in outer
    )


def contains(_: Context, whole: Any, piece: Any) -> bool:
    """Tell whether a network holds an address or all of another network."""
    outer = network(text(whole, 1))
    inner = text(piece, 1)
    single = address(inner)
    if single is not None:
        return single in outer
    try:
        return _within(network(inner), outer)
    except BuiltinError:
        raise BuiltinError(f"not a valid textual representation of an IP address or CIDR: {inner}") from None


def intersects(_: Context, one: Any, other: Any) -> bool:
    """Tell whether two networks have addresses in common."""
    left, right = network(text(one, 1)), network(text(other, 1))
    return _within(left, right) or _within(right, left)


def _candidates(value: Any, place: int) -> Iterator[tuple[Any, Any]]:
    """Yield the networks of an operand, and what names each in the result."""
    if type(value) is str:
        yield value, value
        return
    pairs: list[tuple[Any, Any]] = []
    if type(value) is list:
        pairs = [(element, index) for index, element in enumerate(value)]
    elif type(value) is dict:
        pairs = [(element, unbox(name)) for name, element in value.items()]
    elif type(value) is Set:
        pairs = [(element, element) for element in value]
    for element, name in pairs:
        if type(element) is list and element:
            yield element[0], name
        elif type(element) is str:
            yield element, name
        else:
            raise BuiltinError(f"operand {place}: element must be string or non-empty array")


def contains_matches(context: Context, wholes: Any, pieces: Any) -> Set:
    """Return the pairs of a network and of what lies in it, by index, key or element."""
    found = Set()
    inner = None
    for whole, name in _candidates(wholes, 1):
        inner = list(_candidates(pieces, 2)) if inner is None else inner
        context.spend(len(inner))
        for piece, other in inner:
            if contains(context, whole, piece):
                found.add([name, other])
                bounded(len(found))
    return found


def expand(context: Context, value: Any) -> Set:
    """Return all addresses of a network that is not too large."""
    found = network(text(value, 1))
    bounded(found.num_addresses, _MOST_ADDRESSES, "addresses")
    context.spend(found.num_addresses)
    return Set([str(getattr(single, "ipv4_mapped", None) or single) for single in found])


def is_valid(_: Context, value: Any) -> bool:
    """Tell whether the text names a network."""
    if type(value) is not str:
        return False
    try:
        network(value)
    except BuiltinError:
        return False
    return True


def _listed(value: Any) -> tuple[Network, str]:
    """Return a network to merge, and how it is written when it stays alone."""
    if type(value) is not str:
        raise BuiltinError("element must be string")
    single = address(value)
    if single is None:
        found = network(value)
        return found, str(found)
    if single.version == 6:
        raise BuiltinError("IPv6 invalid: needs prefix length")
    first = int(single) >> 24
    size = 8 if first < 128 else 16 if first < 192 else 24
    return ipaddress.ip_network((single, size), strict=False), f"{single}/{size}"


def merge(context: Context, values: Any) -> Set:
    """Return the smallest set of networks that holds the same addresses."""
    if type(values) is not list and type(values) is not Set:
        raise BuiltinError("operand must be an array")
    listed = [_listed(value) for value in members(values, 1)]
    context.spend(len(listed))
    found = Set()
    for version in (4, 6):
        ranges = sorted(
            (int(one.network_address), int(one.broadcast_address), said)
            for one, said in listed
            if one.version == version
        )
        merged: list[tuple[int, int, str]] = []
        for first, last, said in ranges:
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(last, merged[-1][1]), "")
            else:
                merged.append((first, last, said))
        make: Callable[[int], Any] = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
        for first, last, said in merged:
            if said:
                found.add(said)
            else:
                for piece in ipaddress.summarize_address_range(make(first), make(last)):
                    found.add(str(piece))
    return found


def look_up(_: Context, value: Any) -> Set:
    """Return the addresses of what is an address, or is this host; other names would need a network."""
    name = text(value, 1)
    single = address(name)
    if single is not None:
        return Set([str(single)])
    if name.lower().rstrip(".") == "localhost":
        return Set(["127.0.0.1", "::1"])
    raise BuiltinError(f"lookup {name}: names are not looked up here: policies have no network")


BUILTINS = table(
    Builtin("net.cidr_contains", 2, contains),
    Builtin("net.cidr_overlap", 2, contains),
    Builtin("net.cidr_contains_matches", 2, contains_matches),
    Builtin("net.cidr_intersects", 2, intersects),
    Builtin("net.cidr_expand", 1, expand),
    Builtin("net.cidr_is_valid", 1, is_valid),
    Builtin("net.cidr_merge", 1, merge),
    Builtin("net.lookup_ip_addr", 1, look_up, nondeterministic=True),
)
