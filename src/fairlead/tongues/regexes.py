"""Regular expressions with RE2's syntax and semantics: no text can make a match take more than linear time.

Compiled expressions are kept, as policies compute them from data. Says nothing on standard error.
Source: github.com/google/re2/wiki/Syntax.
"""

from __future__ import annotations

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
