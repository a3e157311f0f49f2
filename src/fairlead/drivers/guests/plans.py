"""What is asked of a guest, what comes back, and how it fails. Words only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

Engine: TypeAlias = Literal["wapc", "wasi", "opa", "javascript"]

MEMORY = 128 << 20
"""Bytes that a guest may use where nothing else is said."""
LARGEST_OUTPUT = 16 << 20
"""Bytes that a guest may answer or ask with."""
LARGEST_CODE = 64 << 20
"""Bytes that a module or a program may have."""


@dataclass(frozen=True, slots=True)
class GuestPlan:
    """One call of a guest.

    | engine | code | operation | payload | output |
    | --- | --- | --- | --- | --- |
    | wapc | a module with `__guest_call` | the call's name | its bytes | the guest's response |
    | wasi | a module with `_start` | the arguments after the program's name, one space between them | standard input | standard output |
    | opa | a module that `opa build -t wasm` made | an entrypoint, "" for the first | JSON: {"input":..., "data":...} | JSON: [{"result":...}] |
    | javascript | a program in UTF-8 | what its errors call it | a JSON object whose keys become variables | JSON of the variable `__response` |

    JavaScript sees `__host(name, text)`, which asks the host. `prelude` runs before the program; when the program throws after it has
    set `__ended`, it has ended well. `seconds` are those of the call; compiling a module has its own. `memory` is in bytes.
    """

    engine: Engine
    code: bytes
    operation: str
    payload: bytes = b""
    seconds: float = 2.0
    memory: int = MEMORY
    prelude: str = ""


@dataclass(frozen=True, slots=True)
class GuestResult:
    """What a guest answered, and the lines that it said on the way (console, standard error, print)."""

    output: bytes
    log: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HostCall:
    """What a guest asks of its host: waPC's binding, namespace and operation; for JavaScript only the operation."""

    binding: str
    namespace: str
    operation: str
    payload: bytes


Answer: TypeAlias = Callable[[HostCall], Awaitable[bytes]]
"""Answers a guest's question; raises HostError with what the guest shall hear."""


class HostError(Exception):
    """The host refuses a question, or cannot answer it; the guest is told the message."""


Reason: TypeAlias = Literal["time", "memory", "trap", "guest", "code", "worker"]


class GuestFailed(Exception):
    """A guest gave no answer. `reason` says whether for want of time or memory, by a trap, of its own will, or for bad code."""

    def __init__(self, message: str, reason: Reason, log: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.reason = reason
        self.log = log
