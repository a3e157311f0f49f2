"""What the engines in a worker share: a call, the way to ask the host, the log, and how a guest fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .plans import LARGEST_OUTPUT, GuestFailed

_MOST_LINES = 1000
_LONGEST_LINE = 16 << 10

Ask = Callable[[str, str, str, bytes], tuple[bool, bytes]]
"""Asks the host (binding, namespace, operation, payload); returns whether it answered, and the answer or why not."""


@dataclass(slots=True)
class Call:
    """One call of a guest inside a worker."""

    operation: str
    payload: bytes
    seconds: float
    memory: int
    prelude: str
    ask: Ask
    log: list[str] = field(default_factory=list)

    def say(self, line: str) -> None:
        """Keep a line that the guest says; what is too much is left out."""
        if len(self.log) < _MOST_LINES:
            self.log.append(line[:_LONGEST_LINE])

    def failed(self, message: str, reason: str) -> GuestFailed:
        """Return the failure of this call."""
        return GuestFailed(message, reason, tuple(self.log))  # type: ignore[arg-type]  # one of the words


def bounded(size: int) -> int:
    """Return the size of what a guest says, which must be within the limit."""
    if size > LARGEST_OUTPUT:
        raise GuestFailed(
            f"the guest says {size} bytes, more than the {LARGEST_OUTPUT} that are allowed", "memory"
        )
    return size
