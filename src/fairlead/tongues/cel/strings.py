"""Functions of texts beyond the standard ones: places, parts, case, splitting and joining, quoting.

All positions count code points. Source: github.com/google/cel-go, ext/strings.go.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from fairlead.tongues.cel.costs import sized
from fairlead.tongues.cel.errors import Failed, TooCostly
from fairlead.tongues.cel.formatting import formatted
from fairlead.tongues.cel.libraries import Library
from fairlead.tongues.cel.operators import BIGGEST

_SPACE = (
    "\t\n\v\f\r \x85\xa0\N{OGHAM SPACE MARK}\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
_LOWER = {code: code + 32 for code in range(65, 91)}
_UPPER = {code: code - 32 for code in range(97, 123)}
_QUOTED = str.maketrans(
    {
        "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
        "\\": "\\\\", '"': '\\"',
    }
)  # fmt: skip


def _out_of_range(at: int) -> Failed:
    return Failed(f"index out of range: {at}")


def char_at(text: str, at: int) -> str:
    """Return the character at a place, or "" just behind the end."""
    if not 0 <= at <= len(text):
        raise _out_of_range(at)
    return text[at : at + 1]


def index_of(text: str, part: str, start: int = 0) -> int:
    """Return where a part first occurs, or -1."""
    if not 0 <= start <= len(text):
        raise _out_of_range(start)
    return text.find(part, start)


def last_index_of(text: str, part: str, start: int | None = None) -> int:
    """Return where a part last occurs, at or before `start`, or -1."""
    if start is None:
        return text.rfind(part)
    if not 0 <= start <= len(text) or (start == len(text) and part):
        raise _out_of_range(start)
    return text.rfind(part, 0, start + len(part))


def join(items: Sequence[Any], separator: str = "") -> str:
    """Return the texts of a list, joined."""
    if any(one.__class__ is not str for one in items):
        raise Failed("no such overload: join(list)")
    if sum(map(len, items)) + len(separator) * len(items) > BIGGEST:
        raise TooCostly("operation cancelled: a value grew too large")
    return separator.join(items)


def replace(text: str, old: str, new: str, count: int = -1) -> str:
    """Return a text with a part replaced, as often as `count` says (negative: everywhere)."""
    times = text.count(old) if count < 0 else min(count, text.count(old))
    if len(text) + times * len(new) > BIGGEST:
        raise TooCostly("operation cancelled: a value grew too large")
    return text.replace(old, new, count)


def split(text: str, separator: str, count: int = -1) -> list[str]:
    """Return the parts between separators, at most `count` of them (negative: all); an empty one gives the characters."""
    if count == 0:
        return []
    if not separator:
        if count < 0 or count >= len(text):
            return list(text)
        return [*text[: count - 1], text[count - 1 :]]
    return text.split(separator, -1 if count < 0 else count - 1)


def substring(text: str, start: int, end: int | None = None) -> str:
    """Return the part from a place up to before another."""
    last = len(text) if end is None else end
    if not 0 <= start <= len(text):
        raise _out_of_range(start)
    if not 0 <= last <= len(text):
        raise _out_of_range(last)
    if start > last:
        raise Failed(f"invalid substring range. start: {start}, end: {last}")
    return text[start:last]


def quote(text: str) -> str:
    """Return a text in quotes, with what would break it escaped."""
    return f'"{text.translate(_QUOTED)}"'


def traverse(factor: float) -> Callable[[Sequence[Any], Any], int]:
    """Return the cost of going through the first argument, so many times as ten times the factor."""
    return lambda args, _: max(1, math.ceil(sized(args[0]) * factor))


def result(factor: float) -> Callable[[Sequence[Any], Any], int]:
    """Return the cost of making the result."""
    return lambda _, made: max(1, math.ceil(sized(made) * factor))


def _split_cost(args: Sequence[Any], _: Any) -> int:
    return max(1, math.ceil(sized(args[0]) * 0.2))


def _replace_cost(args: Sequence[Any], made: Any) -> int:
    return max(1, math.ceil(max(sized(args[0]) * 2, sized(made)) * 0.1))


LIBRARY = Library(
    "strings",
    functions={
        ".charAt(string, int) string": char_at,
        ".indexOf(string, string) int": index_of,
        ".indexOf(string, string, int) int": index_of,
        ".lastIndexOf(string, string) int": last_index_of,
        ".lastIndexOf(string, string, int) int": last_index_of,
        ".join(list(string)) string": join,
        ".join(list(string), string) string": join,
        ".lowerAscii(string) string": lambda text: text.translate(_LOWER),
        ".upperAscii(string) string": lambda text: text.translate(_UPPER),
        ".replace(string, string, string) string": replace,
        ".replace(string, string, string, int) string": replace,
        ".split(string, string) list(string)": split,
        ".split(string, string, int) list(string)": split,
        ".substring(string, int) string": substring,
        ".substring(string, int, int) string": substring,
        ".trim(string) string": lambda text: text.strip(_SPACE),
        ".reverse(string) string": lambda text: text[::-1],
        ".format(string, list(dyn)) string": formatted,
        "strings.quote(string) string": quote,
    },
    costs={
        "lowerAscii": traverse(0.1),
        "upperAscii": traverse(0.1),
        "substring": traverse(0.1),
        "trim": traverse(0.1),
        "reverse": traverse(0.1),
        "indexOf": traverse(0.1),
        "lastIndexOf": traverse(0.1),
        "strings.quote": traverse(0.1),
        "replace": _replace_cost,
        "split": _split_cost,
        "join": result(0.2),
        "format": result(0.1),
    },
)
