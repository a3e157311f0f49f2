"""Headers that registries speak through: challenges, links to further pages, ranges and the wish to be asked later.

Pure text, from whoever answers: never raises, what cannot be read is absent.
Source: RFC 9110 (WWW-Authenticate, Retry-After, Content-Range), RFC 8288 (Link).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Final

_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105  a grammar's token, no secret
_SCHEME: Final = re.compile(rf"\s*({_TOKEN})(?:\s+|\s*\Z|\s*(?=,))")
_PARAMETER: Final = re.compile(rf'\s*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))\s*(?:,|\Z)')
_TOKEN68: Final = re.compile(r"\s*[A-Za-z0-9._~+/-]+=*\s*(?:,|\Z)")
_LONGEST: Final = 16384


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way in that a registry offers: `bearer` or `basic` (or another scheme), in lower case, and what comes with it."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def challenges(values: Iterable[str]) -> list[Challenge]:
    """Return the challenges of the WWW-Authenticate headers, in order."""
    found = []
    for value in values:
        text, position = value[:_LONGEST], 0
        while position < len(text):
            scheme = _SCHEME.match(text, position)
            if scheme is None:
                comma = text.find(",", position)
                if comma < 0:
                    break
                position = comma + 1
                continue
            position = scheme.end()
            parameters: dict[str, str] = {}
            while (one := _PARAMETER.match(text, position)) is not None:
                quoted = one[2]
                plain = one[3] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
                parameters.setdefault(one[1].lower(), plain)
                position = one.end()
            if not parameters and (blob := _TOKEN68.match(text, position)) is not None:
                position = blob.end()
            found.append(Challenge(scheme[1].lower(), parameters))
            while position < len(text) and text[position] in ", \t":
                position += 1
    return found


def next_link(values: Iterable[str]) -> str:
    """Return the target of the first link with the relation `next`, "" where there is none."""
    for value in values:
        for target, rest in re.findall(r"<([^<>]*)>([^<]*)", value[:_LONGEST]):
            for relation in re.findall(r';\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,"]+))', rest, re.IGNORECASE):
                if "next" in (relation[0] or relation[1]).lower().split():
                    return str(target).strip()
    return ""


def retry_after(value: str, now: float) -> float | None:
    """Return the seconds to wait that a Retry-After asks for (never less than 0), None where it says nothing."""
    text = value.strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (TypeError, ValueError, OverflowError):
        return None


def content_range_start(value: str) -> int | None:
    """Return where a partial answer begins (`bytes 100-199/200` is 100), None where it does not say."""
    found = re.fullmatch(r"\s*bytes\s+([0-9]{1,18})-[0-9]{1,18}/(?:[0-9]{1,18}|\*)\s*", value, re.IGNORECASE)
    return int(found[1]) if found else None


def upload_offset(value: str) -> int | None:
    """Return how many bytes of an upload a registry has, from its Range header; None where it does not say.

    `0-99` is 100 bytes. Registries say `0-0` both for nothing and for one byte; nobody sends one byte first, so it is nothing.
    """
    found = re.fullmatch(r"\s*(?:bytes[=\s])?\s*([0-9]{1,18})-([0-9]{1,18})\s*", value, re.IGNORECASE)
    if found is None or found[1] != "0":
        return None
    last = int(found[2])
    return last + 1 if last else 0
