"""The small parts of Kyverno's patterns: anchors, operators, ranges, and how a pattern is told to a person.

Knows no objects; `patterns` compares them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Any

from fairlead.tongues import durations, globs, quantities

_SHORT = 128
"""Only texts shorter than this are remembered, so that memory stays bounded whatever objects hold."""

ANCHOR = re.compile(r"^([+<=X^])?\((.+)\)$", re.DOTALL)
NUMBER = r"([-|+]?\d+(?:\.\d+)?[A-Za-z]*)"
RANGE = re.compile(rf"^{NUMBER}-{NUMBER}$", re.ASCII)
NOT_RANGE = re.compile(rf"^{NUMBER}!-{NUMBER}$", re.ASCII)
CONDITION, EXISTENCE, EQUALITY, NEGATION, GLOBAL = "", "^", "=", "X", "<"
FIRST = frozenset({CONDITION, EXISTENCE, EQUALITY, NEGATION})
TRACKED: frozenset[str | None] = frozenset({CONDITION, EXISTENCE, NEGATION})
ANY: frozenset[str | None] = frozenset({CONDITION, EXISTENCE, EQUALITY, NEGATION, GLOBAL})


def operator_of(pattern: str) -> str:
    """Return the operator that a text begins with or is made of: `>=`, `<=`, `>`, `<`, `!`, `-` (range), `!-`, or ""."""
    if len(pattern) < 2:
        return ""
    for operator in (">=", "<=", ">", "<", "!"):
        if pattern.startswith(operator):
            return operator
    if NOT_RANGE.match(pattern):
        return "!-"
    return "-" if RANGE.match(pattern) else ""


def anchor_of(key: Any) -> tuple[str | None, str]:
    """Return a key's anchor (None for a plain key, "" for a conditional one) and the bare key."""
    found = ANCHOR.match(key) if isinstance(key, str) and key.endswith(")") else None
    return (found[1] or "", found[2]) if found else (None, key if isinstance(key, str) else str(key))


def duration_of(text: str) -> int | None:
    """Return the nanoseconds that a text stands for, None when it is no duration."""
    return _duration(text) if len(text) < _SHORT else _duration.__wrapped__(text)


def quantity_of(text: str) -> Fraction | None:
    """Return the amount that a text stands for, None when it is no quantity."""
    return _quantity(text) if len(text) < _SHORT else _quantity.__wrapped__(text)


# Refusals are remembered too: most texts are no amounts, and finding that out takes longest.
@lru_cache(maxsize=8192)
def _duration(text: str) -> int | None:
    try:
        return durations.parse(text)
    except ValueError:
        return None


@lru_cache(maxsize=8192)
def _quantity(text: str) -> Fraction | None:
    try:
        return quantities.parse(text)
    except ValueError:
        return None


def sketch(pattern: Any) -> str:
    """Return a pattern on one line, as a person would write it in YAML."""
    if isinstance(pattern, Mapping):
        return "{" + ", ".join(f"{key}: {sketch(value)}" for key, value in pattern.items()) + "}"
    if isinstance(pattern, list):
        return "[" + ", ".join(map(sketch, pattern)) + "]"
    return f'"{pattern}"' if isinstance(pattern, str) else "null" if pattern is None else show(pattern)


def plain_value(pattern: Any) -> tuple[Any, ...]:
    """Return the value that a pattern is, if it stands for itself and nothing else, as the only one of a tuple; else ()."""
    if isinstance(pattern, Mapping):
        keys = [key for key in pattern if anchor_of(key)[0] not in {EQUALITY, NEGATION}]
        values = [plain_value(pattern[key]) for key in keys]
        if not keys or not all(values) or any(anchor_of(key)[0] is not None for key in keys):
            return ()
        return ({key: value for key, (value,) in zip(keys, values, strict=True)},)
    if isinstance(pattern, str):
        special = operator_of(pattern) or globs.has_wildcard(pattern) or set(pattern) & set("|&")
        return () if special or not pattern else (pattern,)
    return (pattern,) if isinstance(pattern, bool | int | float) else ()


def show(value: Any) -> str:
    """Return the value as Go's %v prints it."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return f"map[{' '.join(f'{key}:{show(value[key])}' for key in sorted(value, key=str))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(show, value))}]"
    return str(value)
