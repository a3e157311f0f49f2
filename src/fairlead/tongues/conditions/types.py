"""What fields are: their types, how many values they have, and how a constant becomes a value of a type. Knows no field by name."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any, TypeAlias

from fairlead.tongues.conditions.trees import FieldRef

_HEX = re.compile(r"[+-]?0[xX][0-9a-fA-F]+")
_DECIMAL = re.compile(r"[+-]?[0-9]+")
_SERVICES = {
    "ftp-data": 20, "ftp": 21, "ssh": 22, "telnet": 23, "smtp": 25, "time": 37, "whois": 43, "domain": 53, "bootps": 67, "bootpc": 68,
    "tftp": 69, "gopher": 70, "finger": 79, "http": 80, "kerberos": 88, "pop3": 110, "sunrpc": 111, "ntp": 123, "netbios-ns": 137,
    "netbios-dgm": 138, "netbios-ssn": 139, "imap2": 143, "snmp": 161, "snmp-trap": 162, "bgp": 179, "irc": 194, "ldap": 389, "https": 443,
    "microsoft-ds": 445, "submission": 587, "syslog": 514, "ldaps": 636, "imaps": 993, "pop3s": 995, "openvpn": 1194, "ms-sql-s": 1433,
    "nfs": 2049, "mysql": 3306, "rdp": 3389, "ms-wbt-server": 3389, "postgresql": 5432, "amqp": 5672, "x11": 6000, "redis": 6379,
    "http-alt": 8080,
}  # fmt: skip
"""Ports by name, as /etc/services has them: a condition may say `fd.sport = http`."""


class Type(StrEnum):
    """What a field's value is, and its type in Python."""

    TEXT = "text"
    """str; bytes that are no UTF-8 are surrogates (`surrogateescape`)."""
    BYTES = "bytes"
    INT = "int"
    DOUBLE = "double"
    BOOL = "bool"
    PORT = "port"
    """int; constants may be names of services."""
    ADDRESS = "address"
    """bytes, 4 or 16, packed; compared with addresses."""
    NETWORK = "network"
    """bytes, 4 or 16, packed; compared with networks."""


class Many(Enum):
    """How many values a field has, and what a comparison asks of them."""

    ONE = "one"
    LIST = "list"
    """A list: `in` wants all of its values in the set, `intersects` one; it has no other operators."""
    ANY = "any"
    """One of several is enough, whatever the operator: `proc.aname = sshd` asks all ancestors."""
    BOTH = "both"
    """One of several is enough, but `!=` must hold for all: `fd.ip`, `fd.port`."""


class UnknownField(ValueError):
    """No such field, or not with this argument; the message says which."""


@dataclass(frozen=True, slots=True)
class Field:
    """How to get a field of an event. See the package's docstring for `code` and `names`.

    `cost` orders conjuncts: 0 for an attribute, 1 for a lookup, 2 and more for work. `sure`: never absent. `computed`: may stand on the
    right, in `val()`; `transformed`: may stand in a transformer.
    """

    type: Type
    code: str
    many: Many = Many.ONE
    names: Mapping[str, Any] = field(default_factory=dict, compare=False)
    cost: int = 1
    sure: bool = False
    computed: bool = True
    transformed: bool = True


Resolver: TypeAlias = Callable[[FieldRef], Field]
"""Gives a field by its name and argument; raises UnknownField."""


_EQUALITY = frozenset({"=", "!=", "in", "intersects"})
_NUMERIC = frozenset({*_EQUALITY, "<", "<=", ">", ">="})
_OPERATORS = {
    Type.TEXT: frozenset(
        {*_NUMERIC, "contains", "icontains", "startswith", "endswith", "glob", "iglob", "pmatch", "regex"}
    ),
    Type.BYTES: frozenset({*_EQUALITY, "contains", "startswith", "endswith", "bcontains", "bstartswith"}),
    Type.INT: _NUMERIC,
    Type.DOUBLE: _NUMERIC,
    Type.PORT: _NUMERIC,
    Type.BOOL: _EQUALITY,
    Type.ADDRESS: _EQUALITY,
    Type.NETWORK: _EQUALITY,
}
_FILTERS = {
    Type.TEXT: "string", Type.BYTES: "buffer", Type.INT: "numeric", Type.DOUBLE: "numeric", Type.PORT: "numeric", Type.BOOL: "boolean",
    Type.ADDRESS: "ip address and network", Type.NETWORK: "ip address and network",
}  # fmt: skip


def refusal(op: str, of: Type, many: Many) -> str:
    """Return why values of this type cannot be compared so, or ""."""
    if many is Many.LIST:
        return "" if op in {"in", "intersects"} else f"'{op}' operator not supported for list filters"
    return "" if op in _OPERATORS[of] else f"'{op}' operator not supported for {_FILTERS[of]} filters"


def constant(text: str, of: Type, op: str) -> Any:
    """Return the value that the text is, for a comparison. Raises ValueError with the reason.

    A NETWORK gives (packed address, bits of the prefix).
    """
    match of:
        case Type.TEXT:
            return text
        case Type.BYTES:
            return (
                _hexadecimal(text, op)
                if op in {"bcontains", "bstartswith"}
                else text.encode("utf-8", "surrogateescape")
            )
        case Type.INT:
            return _integer(text)
        case Type.DOUBLE:
            return float(text)
        case Type.PORT:
            return _port(text)
        case Type.BOOL:
            return _boolean(text)
        case Type.ADDRESS:
            return _address(text)
        case Type.NETWORK:
            return _network(text)


def _integer(text: str) -> int:
    if _HEX.fullmatch(text):
        return int(text, 16)
    if _DECIMAL.fullmatch(text):
        return int(text)
    raise ValueError(f"{text!r} is not a valid number")


def _port(text: str) -> int:
    if text.isascii() and text.isdigit():
        return int(text)
    found = _SERVICES.get(text)
    if found is None:
        raise ValueError(f"unrecognized protocol {text}")
    return found


def _boolean(text: str) -> bool:
    if text not in {"true", "false"}:
        raise ValueError(f"filter error: unrecognized boolean value {text}")
    return text == "true"


def _hexadecimal(text: str, op: str) -> bytes:
    try:
        return bytes.fromhex(text.removeprefix("0x").removeprefix("0X"))
    except ValueError:
        raise ValueError(f"'{op}' wants hexadecimal digits in pairs, not {text!r}") from None


def _address(text: str) -> bytes:
    try:
        return ipaddress.ip_address(text).packed
    except ValueError:
        raise ValueError(f"unrecognized {'IPv4' if '.' in text else 'IPv6'} address {text}") from None


def _network(text: str) -> tuple[bytes, int]:
    address, slash, bits = text.partition("/")
    try:
        packed = ipaddress.ip_address(address).packed
    except ValueError:
        raise ValueError(f"unrecognized IP network {text}") from None
    most = len(packed) * 8
    if not slash:
        return packed, most
    if not (bits.isascii() and bits.isdigit() and int(bits) <= most):
        raise ValueError(f"invalid netmask {bits}")
    return packed, int(bits)
