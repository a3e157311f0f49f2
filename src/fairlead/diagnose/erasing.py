"""Replaces many texts at once in other texts, in every encoding that they may stand in: plain, JSON, HTML, URL, base64, hexadecimal.

Takes time in proportion to the text, however many are looked for. Knows nothing of why they are to go.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, quote_plus

from fairlead.tongues import regexes

_BATCH = 1000


class Eraser:
    """Replaces many texts at once, in every encoding that they may stand in."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._stand_ins: dict[str, str] = {}
        for value, stand_in in values.items():
            for form, instead in _forms(value, stand_in):
                self._stand_ins.setdefault(form, instead)
        forms = sorted(self._stand_ins, key=lambda form: (-len(form), form))
        batches = [forms[at : at + _BATCH] for at in range(0, len(forms), _BATCH)]
        self._patterns: list[tuple[Callable[[str], bool], Any]] = []
        for batch in batches:
            pattern = "|".join(re.escape(form) for form in batch)
            self._patterns.append((regexes.finder(pattern), regexes.compile(pattern)))

    def __call__(self, text: str) -> str:
        """Return the text with all of them replaced."""
        if self._patterns and not text.isascii():
            text = text.encode(errors="replace").decode()  # half a surrogate pair is no text
        for found, pattern in self._patterns:
            if found(text):
                text = pattern.sub(lambda match: self._stand_ins[match.group(0)], text)
        return text


def _forms(value: str, stand_in: str) -> Iterator[tuple[str, str]]:
    """Yield every form that a value may stand in, each with the stand-in in the same form."""
    value = value.encode(errors="replace").decode()
    yield value, stand_in
    raw, instead = value.encode(), stand_in.encode()
    encoders: Sequence[Callable[[str], str]] = (
        lambda one: json.dumps(one)[1:-1],
        lambda one: json.dumps(one, ensure_ascii=False)[1:-1],
        lambda one: json.dumps(json.dumps(one)[1:-1])[1:-1],
        html.escape,
    )
    for encode in encoders:
        yield encode(value), stand_in
    for url in (quote(raw, safe=""), quote(raw), quote_plus(raw)):
        yield url, stand_in
        yield re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), url), stand_in
    yield raw.hex(), instead.hex()
    yield raw.hex().upper(), instead.hex().upper()
    for encode_64 in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode_64(raw).decode().rstrip("="), encode_64(instead).decode().rstrip("=")
        for before in range(3):  # within a longer text that was encoded as a whole
            core = _core(encode_64(b"\0" * before + raw).decode(), before, len(raw))
            if len(core) >= 10:
                yield core, _core(encode_64(b"\0" * before + instead).decode(), before, len(instead))


def _core(encoded: str, before: int, length: int) -> str:
    """Return the letters of a base64 text that depend on the `length` bytes after the first `before` alone."""
    first = -(-before * 8 // 6)
    last = (before + length) * 8 // 6
    return encoded[first:last]
