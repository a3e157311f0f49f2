"""The formats that JSON Schema names for strings: dates, hosts, addresses, URIs, pointers.

A format that is not known is met by everything, and so is every value that is no string.
Source: the JSON Schema drafts and the RFCs that they name.
"""

from __future__ import annotations

import ipaddress
import re
import urllib.parse
from collections.abc import Callable
from typing import Any

from fairlead.tongues import regexes

from .kinds import BuiltinError
from .layouts import read

_EMAIL = re.compile(r"[^@\s<>()\[\],;:\\\"]+(\.[^@\s<>()\[\],;:\\\"]+)*@[^@\s]+|\"(?:[^\"\\]|\\.)*\"@[^@\s]+")
_HOST = re.compile(
    r"(?=.{1,253}\.?$)[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*\.?"
)
_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_TEMPLATE = re.compile(r"(?:[^{}]|\{[^{}]*\})*")
_POINTER = re.compile(r"(?:/(?:[^~/]|~[01])*)*")
_RELATIVE = re.compile(r"(?:0|[1-9][0-9]*)(?:#|(?:/(?:[^~/]|~[01])*)*)")
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
_NO_URI = re.compile(r'[\x00-\x20"<>\\^`{|}\x7f]|%(?![0-9a-fA-F]{2})')


def _moment(*layouts: str) -> Callable[[str], bool]:
    def holds(value: str) -> bool:
        for layout in layouts:
            try:
                read(layout, value)
            except BuiltinError:
                continue
            return True
        return False

    return holds


def _address(kind: Callable[[str], Any]) -> Callable[[str], bool]:
    def holds(value: str) -> bool:
        try:
            kind(value)
        except ValueError:
            return False
        return "%" not in value

    return holds


def _reference(value: str) -> bool:
    if _NO_URI.search(value):
        return False
    try:
        urllib.parse.urlsplit(value)
    except ValueError:
        return False
    return True


def _uri(value: str) -> bool:
    return _SCHEME.match(value) is not None and _reference(value)


def _regex(value: str) -> bool:
    try:
        regexes.compile(value)
    except regexes.BadPattern:
        return False
    return bool(value)


def _whole(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda value: pattern.fullmatch(value) is not None


_FORMATS: dict[str, Callable[[str], bool]] = {
    "date": _moment("2006-01-02"),
    "time": _moment("15:04:05", "15:04:05Z07:00", "15:04:05Z0700"),
    "date-time": _moment("2006-01-02T15:04:05Z07:00", "2006-01-02t15:04:05Z07:00"),
    "hostname": _whole(_HOST),
    "email": _whole(_EMAIL),
    "idn-email": _whole(_EMAIL),
    "ipv4": _address(ipaddress.IPv4Address),
    "ipv6": _address(ipaddress.IPv6Address),
    "uri": _uri,
    "iri": _uri,
    "uri-reference": _reference,
    "iri-reference": _reference,
    "uri-template": lambda value: _TEMPLATE.fullmatch(value) is not None,
    "uuid": _whole(_UUID),
    "regex": _regex,
    "json-pointer": _whole(_POINTER),
    "relative-json-pointer": _whole(_RELATIVE),
}


def matches_format(name: str, value: Any) -> bool:
    """Tell whether a value meets the format."""
    holds = _FORMATS.get(name)
    return holds is None or type(value) is not str or holds(value)
