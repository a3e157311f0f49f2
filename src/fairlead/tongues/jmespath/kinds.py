"""What an expression works with: what is missing, what goes wrong, and the moment that time and randomness come from.

Values are plain JSON as Python has it. Nothing here evaluates.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeAlias

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class BadExpression(ValueError):
    """The text is no expression. `position` is the 0-based place in it where that shows, -1 where it is not known."""

    def __init__(self, message: str, position: int = -1) -> None:
        super().__init__(message)
        self.position = position


class Failed(Exception):
    """An expression could not be evaluated; the message says why."""


class NotFound(Failed):
    """An expression names a key that an object does not have."""


class Missing:
    """What a key gives that an object does not have. Counts as null everywhere but as the result of the whole expression.

    `reason` says why the value could not be had, where there is more to say than that nobody knows the key.
    """

    __slots__ = ("key", "reason")

    def __init__(self, key: str, reason: str = "") -> None:
        self.key = key
        self.reason = reason

    def __bool__(self) -> bool:
        """Never true."""
        return False

    def error(self) -> Failed:
        """Return what is raised when the whole expression comes to this."""
        if self.reason:
            return Failed(self.reason)
        return NotFound(f'Unknown key "{self.key}" in path')


@dataclass(slots=True)
class Moment:
    """What functions may ask beside their arguments: the time, and numbers that look random but follow from the seed.

    `seed` may be anything whose text says what the numbers follow from. `resolve` gives the addresses of a host's name, where someone can tell. `registry` is where images without one come from. `left` is how many
    elements may still be looked at: a hostile expression is stopped.
    """

    now: datetime = EPOCH
    seed: object = 0
    resolve: Callable[[str], list[str]] | None = None
    registry: str = "docker.io"
    left: int = 5_000_000
    _drawn: int = field(default=0, repr=False)

    def spend(self, steps: int) -> None:
        """Note that so many elements are looked at. Raises Failed when that is more than an expression may take."""
        self.left -= steps
        if self.left < 0:
            raise Failed("the expression takes too many steps")

    def draw(self, below: int) -> int:
        """Return the next number from 0 to below - 1. The same seed gives the same numbers in the same order."""
        self._drawn += 1
        digest = hashlib.sha256(f"{self.seed}:{self._drawn}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % below


Step: TypeAlias = Callable[[Any, Moment], Any]
"""A compiled node: what the expression makes of the current value. May return Missing."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the language: its name, the types that each argument may have, and what it does.

    `types` holds for each argument the names of the allowed types (`any` for all of them); with `more`, further arguments have the
    last one's. `call` gets the Moment and the arguments; Missing is null to it. It raises Failed.
    """

    name: str
    types: tuple[tuple[str, ...], ...]
    call: Callable[..., Any]
    more: bool = False
