"""What a built-in function is, what it may know of the evaluation that calls it, and how it fails.

A built-in is a plain function `call(context, *operands)` over Rego values (see `values`), which returns a value or UNDEFINED.
It must never change an operand, never touch the world, and never take memory without bound: what would be larger than the
limits here is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fairlead.tongues.rego.values import Set, type_name

MOST_ITEMS = 2_000_000
"""The most elements that one call may produce; a hostile policy must not fill the memory with one call."""
LONGEST_TEXT = 64 << 20
"""The most characters that one call may produce."""
LONGEST_NUMBER = 14_000
"""The most bits that a whole number may have: whatever writes JSON can still write it (Python stops at 4,300 digits)."""
_HALVES = re.compile("[\\ud800-\\udc7f\\udd00-\\udfff]")


class BuiltinError(Exception):
    """A built-in failed. By default its expression is undefined; a strict caller raises the error.

    `code` is OPA's error code; the message names neither the function nor the place: the caller puts `name: ` before it.
    """

    code = "eval_builtin_error"


class OperandError(BuiltinError):
    """An operand has the wrong type or value: `operand 1 must be string but got number`."""

    code = "eval_type_error"


class Halt(BuiltinError):
    """An error that stops the evaluation whether or not the caller is strict."""


def _free(_: int) -> None:
    """Cost nothing."""


@dataclass(slots=True)
class Context:
    """What a built-in may know of the evaluation that it is part of.

    `now_ns` is the time of the evaluation. `seed` is what all randomness comes from. `memo` lives as long as the evaluation:
    the same uuid and random number are given for the same key. `printed` collects what print and trace said. `runtime`
    is what opa.runtime returns. `spend(steps)` is called by built-ins whose work grows; it may raise to cancel.
    `parse_module(file, text)` returns a module's syntax as JSON, or is None.
    """

    now_ns: int = 0
    seed: int | str | bytes = 0
    memo: dict[Any, Any] = field(default_factory=dict)
    printed: list[str] = field(default_factory=list)
    runtime: dict[str, Any] = field(default_factory=dict)
    spend: Callable[[int], None] = _free
    parse_module: Callable[[str, str], Any] | None = None


@dataclass(frozen=True, slots=True)
class Builtin:
    """One function: its full name, how many operands it takes, and what is called: `call(context, *operands)`.

    A `relation` yields a list of results, each of which the caller tries to unify with the expression's output. A
    `nondeterministic` one must not be called before the evaluation. A `void` one has no result to unify (print).
    """

    name: str
    arity: int
    call: Callable[..., Any]
    relation: bool = False
    nondeterministic: bool = False
    void: bool = False


def table(*entries: Builtin) -> dict[str, Builtin]:
    """Return the built-ins by their names."""
    return {entry.name: entry for entry in entries}


def wrong(place: int, value: Any, *wanted: str) -> OperandError:
    """Return the error for an operand of another type than one of those wanted (Rego's names of types)."""
    if len(wanted) == 1:
        return OperandError(f"operand {place} must be {wanted[0]} but got {type_name(value)}")
    return OperandError(f"operand {place} must be one of {{{', '.join(wanted)}}} but got {type_name(value)}")


def text(value: Any, place: int) -> str:
    """Return the operand, which must be a string."""
    if type(value) is not str:
        raise wrong(place, value, "string")
    return value


def array(value: Any, place: int) -> list[Any]:
    """Return the operand, which must be an array."""
    if type(value) is not list:
        raise wrong(place, value, "array")
    return value


def an_object(value: Any, place: int) -> dict[Any, Any]:
    """Return the operand, which must be an object."""
    if type(value) is not dict:
        raise wrong(place, value, "object")
    return value


def a_set(value: Any, place: int) -> Set:
    """Return the operand, which must be a set."""
    if type(value) is not Set:
        raise wrong(place, value, "set")
    return value


def number(value: Any, place: int) -> int | float:
    """Return the operand, which must be a number."""
    if type(value) is not int and type(value) is not float:
        raise wrong(place, value, "number")
    return value


def boolean(value: Any, place: int) -> bool:
    """Return the operand, which must be a boolean."""
    if type(value) is not bool:
        raise wrong(place, value, "boolean")
    return value


def integer(value: Any, place: int) -> int:
    """Return the operand, which must be a whole number of 64 bits, and written as one: 1.0 is none."""
    found = number(value, place)
    if type(found) is not int or not -(1 << 63) <= found < 1 << 63:
        raise OperandError(f"operand {place} must be integer number but got floating-point number")
    return found


def bounded(size: int, limit: int = MOST_ITEMS, what: str = "elements") -> int:
    """Return the size of a result to be. Raises Halt above the limit: what was not computed must not pass for undefined."""
    if size > limit:
        raise Halt(f"the result would have {size} {what}, more than the {limit} that are allowed")
    return size


def encode(value: str) -> bytes:
    """Return the bytes of a string: UTF-8, and the bytes that were no UTF-8 as they came in (see `decode`)."""
    try:
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # halves of characters, which JSON escapes can bring
        return _HALVES.sub("\ufffd", value).encode("utf-8", "surrogateescape")


def decode(value: bytes) -> str:
    """Return bytes as a string; each byte that is no UTF-8 becomes one character that `encode` turns back."""
    return value.decode("utf-8", "surrogateescape")


def short(size: int) -> int:
    """Return the length of a text to be, which must be within the limit."""
    return bounded(size, LONGEST_TEXT, "characters")
