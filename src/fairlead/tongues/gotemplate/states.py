"""What a run of templates has at hand: the templates by name, its budgets, and the moment and randomness that it was given.

Pure: the clock and the dice are handed in. Must never let a template go on when its budget is spent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from fairlead.tongues.gotemplate.compiling import Compiled

DEEPEST: Final = 1000
"""How often templates may be inside each other: Helm's limit for one name."""


class ExecError(Exception):
    """A template could not be run; the message is Go's, `template: file:line:column: executing "name" at <node>: what`."""


class Wanting(Exception):
    """A template wants the moment or randomness, and none was handed in; the text says which: `moment` or `seed`."""


class Exhausted(Exception):
    """A template wanted more steps or more text than it may have."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How much a run may do: actions in loops and calls, and letters of text that are made on the way."""

    steps: int = 20_000_000
    letters: int = 200_000_000


Lookup = Callable[[str, str, str, str], Any]
"""(apiVersion, kind, namespace, name) -> the object, or the list of objects as an object of its own, or an empty mapping."""


@dataclass(slots=True, eq=False)
class State:
    """One run. `at` is the moment in nanoseconds since 1970; `seed` makes randomness, the same for the same seed. Either may be unknown."""

    templates: Mapping[str, Compiled]
    budget: Budget = Budget()
    at: int | None = 0
    seed: bytes | None = b""
    lookup: Lookup | None = None
    depth: int = 0
    included: dict[str, int] = field(default_factory=dict)
    _steps: int = 0
    _letters: int = 0
    _drawn: int = 0
    _pool: bytes = b""

    def __post_init__(self) -> None:
        self._steps, self._letters = self.budget.steps, self.budget.letters

    @property
    def moment(self) -> int:
        """The moment, in nanoseconds. Raises Wanting."""
        if self.at is None:
            raise Wanting("moment")
        return self.at

    def find(self, name: str) -> Compiled | None:
        """Return the template of that name, or None."""
        return self.templates.get(name)

    def spend(self, steps: int) -> None:
        """Count steps. Raises Exhausted."""
        self._steps -= steps
        if self._steps < 0:
            raise Exhausted(f"the templates take more than {self.budget.steps} steps")

    def charge(self, letters: int) -> None:
        """Count letters, before they are made where that is possible. Raises Exhausted."""
        self._letters -= letters
        if self._letters < 0:
            raise Exhausted(f"the templates make more than {self.budget.letters} letters of text")

    def enter(self, failing: Callable[[str], ExecError] | None = None) -> None:
        """Count a template that is run inside another."""
        self.spend(1)
        self.depth += 1
        if self.depth > DEEPEST * 100:
            message = f"exceeded maximum template depth ({DEEPEST * 100})"
            raise failing(message) if failing is not None else Exhausted(message)

    def leave(self) -> None:
        """The template that was entered last has ended."""
        self.depth -= 1

    def random(self, count: int) -> bytes:
        """Return the next bytes of the stream that the seed makes."""
        if self.seed is None:
            raise Wanting("seed")
        self.charge(count)
        while len(self._pool) < count:
            self._pool += hashlib.sha512(b"%d:%b" % (self._drawn, self.seed)).digest()
            self._drawn += 1
        drawn, self._pool = self._pool[:count], self._pool[count:]
        return drawn

    def below(self, limit: int) -> int:
        """Return a number of the stream from 0 up to, not including, the limit."""
        size = (limit.bit_length() + 15) // 8
        return int.from_bytes(self.random(size)) % limit
