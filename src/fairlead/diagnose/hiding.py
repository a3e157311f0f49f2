"""The texts in a Secret that must never be shown: what it holds, encoded and plain.

Values only come in here; nothing is kept or told.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fairlead.tongues.paths import mapping
from fairlead.words import Ref, Resource

if TYPE_CHECKING:
    from fairlead.diagnose.inventories import Inventory

SHORTEST = 6
"""Shorter texts are found by chance in any log: they are not taken for secrets."""


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
