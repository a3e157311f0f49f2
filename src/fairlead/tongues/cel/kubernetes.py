"""What Kubernetes gives its expressions beyond the standard: its libraries and the message literals of mutating policies.

A table of libraries; the larger ones are in modules of their own. Source: k8s.io/apiserver/pkg/cel/environment/base.go.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Sequence
from typing import Any

from fairlead.tongues import regexes
from fairlead.tongues.cel import (
    arithmetic,
    authorizing,
    formats,
    listing,
    measures,
    networks,
    optionals,
    strings,
    urls,
)
from fairlead.tongues.cel import types as t
from fairlead.tongues.cel.authorizing import Authorizer, Decision, ResourceCheck
from fairlead.tongues.cel.costs import sized
from fairlead.tongues.cel.errors import Failed
from fairlead.tongues.cel.libraries import Library, Maker
from fairlead.tongues.cel.macros import BINDINGS, TWO_VARIABLES
from fairlead.tongues.cel.types import Type
from fairlead.tongues.cel.values import Message

__all__ = ["AUTHORIZER_TYPES", "LIBRARIES", "MUTATION", "Authorizer", "Decision", "ResourceCheck"]


def _compiled(pattern: str) -> Any:
    try:
        return regexes.compile(pattern)
    except regexes.BadPattern as error:
        raise Failed(f"Illegal regex: {error}") from None


def _find(text: str, pattern: str) -> str:
    found = _compiled(pattern).search(text)
    return found.group(0) if found else ""


def _find_all(text: str, pattern: str, most: int = -1) -> list[str]:
    found: list[str] = []
    if most == 0:
        return found
    for one in _compiled(pattern).finditer(text):
        found.append(one.group(0))
        if len(found) == most:
            break
    return found


def _search_cost(args: Sequence[Any], _: Any) -> int:
    return math.ceil((sized(args[0]) + 1) * 0.1) * math.ceil(sized(args[1]) * 0.25)


REGEX = Library(
    "kubernetes.regex",
    functions={
        ".find(string, string) string": _find,
        ".findAll(string, string) list(string)": _find_all,
        ".findAll(string, string, int) list(string)": _find_all,
    },
    costs={"find": _search_cost, "findAll": _search_cost},
)


def decode(text: str) -> bytes:
    """Return what base64 stands for, with or without padding."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise Failed("illegal base64 data at input byte 0") from None


ENCODERS = Library(
    "encoders",
    functions={
        "base64.decode(string) bytes": decode,
        "base64.encode(bytes) string": lambda value: base64.b64encode(value).decode(),
    },
    costs={"base64.decode": strings.traverse(0.1), "base64.encode": strings.traverse(0.1)},
)

JSON_PATCH = Library(
    "kubernetes.jsonpatch",
    functions={
        "jsonpatch.escapeKey(string) string": lambda key: key.replace("~", "~0").replace("/", "~1"),
    },
    costs={"jsonpatch.escapeKey": strings.traverse(0.1)},
)

LIBRARIES: tuple[Library, ...] = (
    Library("bindings", macros=BINDINGS),
    Library("comprehensions", macros=TWO_VARIABLES),
    Library("aggregates", homogeneous=True),
    optionals.LIBRARY,
    strings.LIBRARY,
    arithmetic.LIBRARY,
    ENCODERS,
    listing.KUBERNETES,
    listing.LISTS,
    listing.SETS,
    REGEX,
    urls.LIBRARY,
    measures.QUANTITIES,
    measures.VERSIONS,
    networks.LIBRARY,
    formats.LIBRARY,
    authorizing.LIBRARY,
    JSON_PATCH,
)
"""Everything that expressions in Kubernetes may use, but for `MUTATION`."""

AUTHORIZER_TYPES: dict[str, Type] = {
    "authorizer": authorizing.AUTHORIZER,
    "authorizer.requestResource": authorizing.RESOURCE_CHECK,
}
"""The types of the authorizer's variables, for an Environment's `variables`."""


class _Named:
    """A message type whose fields nobody knows: `Object.spec.containers`."""

    __slots__ = ("type",)

    def __init__(self, name: str) -> None:
        self.type: Type = t.message(name)

    def make(self, fields: dict[str, Any]) -> Message:
        return Message(self.type.name, fields)


class _Patch:
    """One operation of a JSON patch."""

    type: Type = t.message("JSONPatch", {"op": t.STRING, "path": t.STRING, "from": t.STRING, "value": t.DYN})

    def make(self, fields: dict[str, Any]) -> Message:
        return Message("JSONPatch", fields)


_PATCH = _Patch()


def _maker(name: str) -> Maker | None:
    if name == "JSONPatch":
        return _PATCH
    if name == "Object" or name.startswith("Object."):
        return _Named(name)
    return None


MUTATION: tuple[Library, ...] = (Library("mutation", makers=_maker),)
"""What the expressions of mutating policies have besides: `Object{...}` and `JSONPatch{...}`, which become Messages."""
