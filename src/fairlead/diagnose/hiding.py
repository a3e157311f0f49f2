"""The texts in a Secret that must never be shown: what it holds, encoded and plain.

Values only come in here; nothing is kept or told.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator

from fairlead.tongues.paths import mapping
from fairlead.words import Resource

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
