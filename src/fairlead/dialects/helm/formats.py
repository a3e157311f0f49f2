"""The formats of JSON Schema that older drafts insist on: a text in, and what is wrong with it out ("" for nothing).

Source: json-schema.org/draft-07, section 7.3; github.com/santhosh-tekuri/jsonschema/v6.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Final

_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\Z")
_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\Z")
_TIME = re.compile(
    r"([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?([zZ]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])\Z"
)
_DURATION = re.compile(
    r"P(?=.)(?:[0-9]+W|(?:[0-9]+Y)?(?:[0-9]+M)?(?:[0-9]+D)?(?:T(?=.)(?:[0-9]+H)?(?:[0-9]+M)?(?:[0-9]+S)?)?)\Z"
)
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s\x00-\x1f\x7f<>\"{}|\\^`]*\Z")
_REFERENCE = re.compile(r"[^\s\x00-\x1f\x7f<>\"{}|\\^`]*\Z")
_POINTER = re.compile(r"(?:/(?:[^~/]|~[01])*)*\Z")
_SEMVER = re.compile(
    r"(?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?\Z"
)


def _like(pattern: re.Pattern[str], wrong: str) -> Callable[[str], str]:
    return lambda text: "" if pattern.match(text) else wrong


def _ipv4(text: str) -> str:
    parts = text.split(".")
    if len(parts) != 4:
        return "expected four decimals"
    for part in parts:
        if len(part) > 1 and part[0] == "0":
            return "leading zeros"
        if not (part.isascii() and part.isdigit()):
            return f"invalid decimal '{part}'"
        if int(part) > 255:
            return "decimal must be between 0 and 255"
    return ""


def _ipv6(text: str) -> str:
    if "%" in text or ":" not in text:
        return "missing colon" if ":" not in text else "zone id is not allowed"
    try:
        ipaddress.IPv6Address(text)
    except ValueError as fault:
        return str(fault)
    return ""


def _hostname(text: str) -> str:
    name = text.removesuffix(".")
    if len(name) > 253:
        return "more than 253 characters long"
    for label in name.split("."):
        if not 1 <= len(label) <= 63:
            return "label must be 1 to 63 characters long"
        if not _LABEL.match(label):
            return f"invalid label '{label}'"
    return ""


def _email(text: str) -> str:
    if len(text) > 254:
        return "more than 255 characters long"
    local, at, domain = text.rpartition("@")
    if not at:
        return "missing @"
    if not local or len(local) > 64:
        return "local part more than 64 characters long" if local else "local part empty"
    if domain.startswith("[") and domain.endswith("]"):
        inside = domain[1:-1]
        return _ipv6(inside[5:]) if inside.startswith("IPv6:") else _ipv4(inside)
    return _hostname(domain)


def _date(text: str) -> str:
    try:
        if re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z", text):
            date.fromisoformat(text)
            return ""
    except ValueError as fault:
        return str(fault)
    return f'parsing time "{text}" as "2006-01-02": cannot parse'


def _date_time(text: str) -> str:
    if len(text) < 20:
        return "less than 20 characters long"
    if text[10] not in "tT":
        return "11th character must be t or T"
    return _date(text[:10]) or ("" if _TIME.match(text[11:]) else "invalid time")


FORMATS: Final[Mapping[str, Callable[[str], str]]] = {
    "date": _date,
    "date-time": _date_time,
    "duration": _like(_DURATION, "invalid duration"),
    "email": _email,
    "hostname": _hostname,
    "ipv4": _ipv4,
    "ipv6": _ipv6,
    "iri": _like(_URI, "relative url"),
    "iri-reference": _like(_REFERENCE, "invalid character in url"),
    "json-pointer": _like(_POINTER, "not starting with /"),
    "semver": _like(_SEMVER, "invalid version"),
    "time": _like(_TIME, "invalid time"),
    "uri": _like(_URI, "relative url"),
    "uri-reference": _like(_REFERENCE, "invalid character in url"),
    "uuid": _like(_UUID, "must have length 36 in five groups"),
}
"""What is wrong with a text, by the format's name."""
