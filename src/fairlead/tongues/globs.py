"""Wildcards: `*` is any text, `?` any one character.

A pattern becomes a function that says whether a whole text matches. Everything else in a pattern stands for itself; there is
no way to escape a wildcard. A match takes time in proportion to the text times the pattern, whatever the pattern: a hostile
one cannot stall it. Must never know what is being named.
Source: Kyverno's wildcards (github.com/IGLOU-EU/go-wildcard v1).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache


def has_wildcard(text: str) -> bool:
    """Return whether the text has a `*` or a `?`, so that it is a pattern rather than a name."""
    return "*" in text or "?" in text


def matches(pattern: str, text: str) -> bool:
    """Return whether the whole text matches the pattern. Patterns are compiled once and kept."""
    return compile(pattern)(text)


@lru_cache(maxsize=8192)
def compile(pattern: str) -> Callable[[str], bool]:  # noqa: A001  as in the standard library
    """Return the function that tells whether a whole text matches the pattern."""
    if not has_wildcard(pattern):
        return pattern.__eq__
    pieces = re.sub(r"\*+", "*", pattern).split("*")
    if "?" in pattern:
        return _with_marks(pieces)
    if len(pieces) > 2:
        return _in_order(pieces)
    head, tail = pieces
    if not head and not tail:
        return _anything
    if not tail:
        return lambda text: text.startswith(head)
    if not head:
        return lambda text: text.endswith(tail)
    least = len(head) + len(tail)
    return lambda text: len(text) >= least and text.startswith(head) and text.endswith(tail)


def _anything(_: str) -> bool:
    return True


def _in_order(pieces: list[str]) -> Callable[[str], bool]:
    """Match a head, a tail, and the pieces between them one after another, each where it is first found."""
    head, *between, tail = pieces
    if not head and not tail and len(between) == 1:
        inner = between[0]
        return lambda text: inner in text

    def match(text: str) -> bool:
        end = len(text) - len(tail)
        if end < len(head) or not text.startswith(head) or not text.endswith(tail):
            return False
        place = len(head)
        for piece in between:
            found = text.find(piece, place, end)
            if found < 0:
                return False
            place = found + len(piece)
        return True

    return match


def _with_marks(pieces: list[str]) -> Callable[[str], bool]:
    """Match as `_in_order` does, where pieces have `?`: each is an expression without repetition, hence linear."""
    parts = [(re.compile(re.escape(piece).replace(r"\?", "."), re.DOTALL), len(piece)) for piece in pieces]
    head, size = parts[0]
    if len(parts) == 1:
        return lambda text: head.fullmatch(text) is not None
    tail, tail_size = parts[-1]
    between = parts[1:-1]

    def match(text: str) -> bool:
        end = len(text) - tail_size
        if end < size or head.match(text) is None or tail.match(text, end) is None:
            return False
        place = size
        for piece, _ in between:
            found = piece.search(text, place, end)
            if found is None:
                return False
            place = found.end()
        return True

    return match
