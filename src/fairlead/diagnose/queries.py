"""What can be said of a PromQL expression by its shape alone: that it cannot be read, or that it cannot but fail.

No parser of the language: only faults that every reader of it would find. What this lets pass may still be wrong.
"""

from __future__ import annotations

import re

_PAIRS = {")": "(", "]": "[", "}": "{"}
_SELECTOR = r"[a-zA-Z_:][\w:]*(?:\{[^{}]*\})?(?:\[[^\[\]]*\])?"
_ITSELF = re.compile(
    rf"(?<![\w:])(?P<left>{_SELECTOR})\s*(?:[-+*/%^]|==|!=|>=|<=|>|<)\s*(?:bool\s+)?(?:on|ignoring)\s*\([^()]*\)\s*"
    rf"group_(?:left|right)\s*(?:\([^()]*\))?\s*(?P<right>{_SELECTOR})"
)
_HANGING = re.compile(
    r"(?:[-+*/%^]|==|!=|>=|<=|=~|!~|>|<|\b(?:and|or|unless|by|without|on|ignoring|offset))\Z"
)
_RANGE = re.compile(r"\[([^\[\]]*)\]")
_LENGTH = re.compile(r"\s*(?:(?:\d+(?:ms|[smhdwy]))+|\d+(?:\.\d+)?)\s*\Z")


def fault(expr: str) -> str:
    """Return why an expression cannot be read, or "" if its shape shows no fault. Templates that are not rendered are let pass."""
    if "{{" in expr or "${" in expr:
        return ""
    bare, unclosed = _bare(expr)
    if unclosed:
        return f"a {unclosed} is not closed"
    if not bare.strip():
        return "it is empty"
    open_ones: list[str] = []
    for char in bare:
        if char in "([{":
            open_ones.append(char)
        elif char in _PAIRS and (not open_ones or open_ones.pop() != _PAIRS[char]):
            return f"{char} closes nothing"
    if open_ones:
        return f"{open_ones[-1]} is not closed"
    if _HANGING.search(bare.strip()):
        return "it ends with an operator"
    for found in _RANGE.finditer(bare):
        length, colon, step = found.group(1).partition(":")
        if not _LENGTH.match(length) or (colon and step.strip() and not _LENGTH.match(step)):
            return f"[{found.group(1)}] is no range"
    return ""


def _bare(expr: str) -> tuple[str, str]:
    """Return the expression without what is quoted and without comments, and the quote that is not closed, if any."""
    out: list[str] = []
    at = 0
    while at < len(expr):
        char = expr[at]
        if char in "\"'`":
            end = at + 1
            while end < len(expr) and expr[end] != char:
                end += 2 if expr[end] == "\\" and char != "`" else 1
            if end >= len(expr):
                return "".join(out), char
            out.append('""')
            at = end + 1
        elif char == "#":
            at = expr.find("\n", at)
            if at < 0:
                break
        else:
            out.append(char)
            at += 1
    return "".join(out), ""


def hopeless(expr: str) -> bool:
    """Say whether an expression matches a set of series with itself by fewer labels, which only works where there is nothing to group."""
    return any(
        "".join(found["left"].split()) == "".join(found["right"].split()) for found in _ITSELF.finditer(expr)
    )
