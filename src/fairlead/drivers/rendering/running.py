"""Calls of functions in processes of their own, for whoever asks: a command line, or any thread of a platform.

Must never run anything foreign in this process, nor wait longer than the time of a call and a little.
"""

from __future__ import annotations

import atexit
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from fairlead.drivers.rendering import children
from fairlead.drivers.rendering.children import Limits, Outcome, Reason

SECONDS: Final = 30.0
MEMORY: Final = 512 << 20
_START: Final = 60.0
_MOST_IMPORTS: Final = 40
_HEADER: Final = struct.Struct("=dQHHQ")
_REPLY: Final = struct.Struct("=B")
REASONS: Final[tuple[Reason, ...]] = ("", "time", "memory", "depth", "size", "crash", "import")


class WorkerFailed(Exception):
    """A call gave no answer: it took too long or too much memory, nested too deeply, said too much, or ended. `reason` says which."""

    def __init__(self, message: str, reason: Reason) -> None:
        super().__init__(message)
        self.reason = reason


def run(
    entry: str,
    question: bytes,
    *,
    warm: tuple[str, ...] = (),
    seconds: float = SECONDS,
    memory: int = MEMORY,
) -> bytes:
    """Return what the function `module:function` returns for these bytes, run in a confined process of its own.

    `warm` are modules that it needs, since it can import nothing any more; where it wants one more, that is imported here, if it is of this
    program or of Python's library, and the call is begun again: slower than to name it, and right all the same. `memory` is what it may take beyond what importing took.
    Raises WorkerFailed.
    """
    limits, end = Limits(seconds, memory), time.monotonic() + seconds
    outcome = Outcome(b"", "crash")
    for _ in range(_MOST_IMPORTS):
        if _alone():
            function, absent = children.warm(entry, warm)
            outcome = children.run_here(function, question, limits, absent)
        else:
            outcome = _template().run(entry, question, warm, limits)
        if not outcome.reason:
            return outcome.answer
        if outcome.reason != "import" or f"?{outcome.detail}" in warm:
            break
        warm = (*warm, f"?{outcome.detail}")
        limits = Limits(max(end - time.monotonic(), 0.1), memory)  # all of it together takes no longer
    raise WorkerFailed(_told(outcome, Limits(seconds, memory)), outcome.reason)


def _told(outcome: Outcome, limits: Limits) -> str:
    if outcome.reason == "time":
        return f"it took more than {limits.seconds:g} s"
    if outcome.reason == "memory":
        return f"it used more than {limits.memory >> 20} MiB of memory"
    if outcome.reason == "depth":
        return "it nests too deeply"
    if outcome.reason == "size":
        return f"it gives more than {children.LARGEST_ANSWER >> 20} MiB"
    if outcome.reason == "import":
        return f"it needs the module {outcome.detail[:100]}, which is not there"
    return f"its process ended: {outcome.detail}"


def _alone() -> bool:
    """Whether this process has one thread only, and so may be forked."""
    if threading.active_count() != 1:
        return False
    try:
        return len(list(Path("/proc/self/task").iterdir())) == 1
    except OSError:
        return sys.platform != "linux"


class _Template:
    """A process that was started to be forked for each call. Any thread may ask."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "fairlead.drivers.rendering.template", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"},
                start_new_session=True,
            )
        self._control = ours
        self._lock = threading.Lock()

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def run(self, entry: str, question: bytes, warm: tuple[str, ...], limits: Limits) -> Outcome:
        """Have a fork run a call."""
        mine, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with mine:
            with other, self._lock:
                try:
                    socket.send_fds(self._control, [b"+"], [other.fileno()])
                except OSError:
                    return Outcome(b"", "crash", "the template has ended")
            mine.settimeout(limits.seconds + _START)
            names = ",".join(warm).encode()
            try:
                head = _HEADER.pack(limits.seconds, limits.memory, len(entry), len(names), len(question))
                mine.sendall(head + entry.encode() + names)
                mine.sendall(question)
                pieces = []
                while piece := mine.recv(1 << 20):
                    pieces.append(piece)
            except TimeoutError:
                return Outcome(b"", "time")
            except OSError as error:
                return Outcome(b"", "crash", str(error))
        data = b"".join(pieces)
        if not data or data[0] >= len(REASONS):
            return Outcome(b"", "crash", "the template has ended")
        reason = REASONS[data[0]]
        return (
            Outcome(data[1:], "") if not reason else Outcome(b"", reason, data[1:].decode(errors="replace"))
        )

    def end(self) -> None:
        """End the process: it goes when nobody can ask it any more."""
        self._control.close()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


_TEMPLATES: list[_Template] = []
_STARTING: Final = threading.Lock()


def _template() -> _Template:
    with _STARTING:
        if _TEMPLATES and not _TEMPLATES[0].alive:
            _TEMPLATES.pop().end()
        if not _TEMPLATES:
            _TEMPLATES.append(_Template())
            atexit.register(close)
        return _TEMPLATES[0]


def close() -> None:
    """End the template, if one was started; the next call starts another."""
    with _STARTING, suppress(OSError):
        while _TEMPLATES:
            _TEMPLATES.pop().end()
