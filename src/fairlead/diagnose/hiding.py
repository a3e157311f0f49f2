"""The texts in a Secret that must never be shown, encoded and plain; and what of foreign text must not reach a terminal.

Values only come in here; nothing is kept or told.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fairlead.tongues.paths import mapping
from fairlead.words import Ref, Resource

if TYPE_CHECKING:
    from fairlead.diagnose.inventories import Inventory

SHORTEST = 6
"""Shorter texts are found by chance in any log: they are not taken for secrets."""


_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")
"""What a terminal takes as an order: colours, moves, titles."""
_TURNS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
"""Characters that change the direction of writing."""


def visible(text: str) -> str:
    """Return a text without orders to a terminal, control characters and changes of direction: what is seen is what is there."""
    if text.isprintable():
        return text
    return "".join(
        "\N{REPLACEMENT CHARACTER}"
        if one in _TURNS or (unicodedata.category(one) in {"Cc", "Cs"} and one not in "\n\t")
        else one
        for one in _SEQUENCE.sub("", text)
    )


def secret_texts(secret: Resource) -> Iterator[tuple[str, str]]:
    """Each key of a Secret with a text that stands for its value, white space around it left out."""
    for key, value in mapping(secret, "stringData").items():
        if isinstance(value, str):
            yield key, value.strip()
    for key, value in mapping(secret, "data").items():
        if not isinstance(value, str):
            continue
        yield key, value
        try:
            yield key, base64.b64decode(value, validate=True).decode().strip()
        except (binascii.Error, ValueError):
            continue


def stand_ins(inventory: Inventory, space: str) -> list[tuple[str, str]]:
    """Return the secret texts of a namespace that must never be shown, the longest first, with what stands for each.

    A secret that is the name of an object or namespace is none.
    """
    found: dict[str, str] = {}
    for one in inventory.beside("", "Secret", Ref("", "Secret", space, "")):
        for key, value in secret_texts(one):
            if (
                len(value) >= SHORTEST
                and not inventory.at("name", value)
                and not inventory.at("namespace", value)
            ):
                found[value] = f"[secret {Ref.of(one).name}/{key}]"
    return sorted(found.items(), key=lambda pair: (-len(pair[0]), pair))
