"""Regular expressions with RE2's syntax and semantics: no text can make a match take more than linear time.

Compiled expressions are kept, as policies compute them from data. Says nothing on standard error.
Source: github.com/google/re2/wiki/Syntax.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import re2

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 16 << 20


class BadPattern(ValueError):
    """The text is no expression that RE2 understands; the message says why."""


@lru_cache(maxsize=4096)
def compile(pattern: str) -> Any:  # noqa: A001  as in the standard library
    """Return the compiled expression, with the methods of the standard library's patterns. Raises BadPattern."""
    try:
        return re2.compile(pattern, options=_OPTIONS)
    except re2.error as error:
        said = error.args[0] if error.args else error
        raise BadPattern(said.decode() if isinstance(said, bytes) else str(said)) from None


@lru_cache(maxsize=4096)
def finder(pattern: str) -> Callable[[str], bool]:
    """Return what tells whether the expression is found in a text: `search` costs six times as much, for groups nobody asked for.

    Raises BadPattern.
    """
    compiled = compile(pattern)
    raw, anchor = getattr(compiled, "_regexp", None), getattr(re2, "_Anchor", None)
    if raw is None or anchor is None:
        search = compiled.search
        return lambda text: search(text) is not None
    match, unanchored = raw.Match, anchor.UNANCHORED

    def found(text: str) -> bool:
        encoded = text.encode()
        return bool(match(unanchored, encoded, 0, len(encoded))[0][0] >= 0)

    return found
