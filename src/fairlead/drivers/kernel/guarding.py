"""Files that are kept from being opened or executed, by fanotify: `Guards` starts the responder, feeds it and reads what it refused.

The responder (drivers/guards) is a process of its own, so that nothing here can keep it from answering. A file is guarded by its
inode, under whatever name and through whatever mount, and by its name, in whatever mount namespace. A namespace that is new is found
within a second, or at once by `cover`. Refused is refused: the caller's open or execve fails with EPERM ("prevented").
When the responder ends, the kernel lets all through: `holding` is false then, and `tend` starts another. Must never open a guarded file while
it waits for the responder, nor refuse the first process of the machine, this one, or the responder.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from fairlead.drivers.kernel import cgroups
from fairlead.sense.plans import Guard

_READY_SECONDS: Final = 20.0
_END_SECONDS: Final = 1.0
_PIPE: Final = 1 << 20
_SET_PIPE_SIZE: Final = 1031


class GuardsRefused(Exception):
    """Files cannot be guarded here; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prevented:
    """An open or execve that was refused: of what file (as its opener sees it), by whom, for which rule. `time` is ns since the epoch.

    What cgroup hooks refuse is told in the same words; `path` is the address and port then.
    """

    what: Literal["open", "exec", "connect", "bind", "sendmsg", "socket"]
    path: str
    pid: int
    uid: int
    exe: str
    comm: str
    owner: str
    cgroup: int
    time: int


@dataclass(frozen=True, slots=True)
class Lacking:
    """A path of a rule that could not be guarded, and why. Nothing below /proc can be."""

    owner: str
    path: str
    why: str


class _Responder:
    """One responder's process: orders go in, words come out."""

    def __init__(self, orders: dict[str, Any]) -> None:
        """Start it and wait until everything that is there is guarded. Raises GuardsRefused."""
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-m", "fairlead.drivers.guards.responder"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd="/",
            start_new_session=True,
            env={"PYTHONPATH": str(Path(__file__).resolve().parents[3])},
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._in, self.out = self.process.stdin, self.process.stdout
        self._rest = b""
        self._asked = self._done = 0
        self._ready = False
        self.lost = 0
        self.lacking: list[Lacking] = []
        self.found: list[Prevented] = []
        with suppress(OSError):
            fcntl.fcntl(self.out, _SET_PIPE_SIZE, _PIPE)
        try:
            self._send(orders)
            deadline = time.monotonic() + _READY_SECONDS
            while not self._ready and self._wait(deadline) and self._take():
                pass
        except BaseException:
            self.end()
            raise
        if not self._ready:
            self.end()
            raise GuardsRefused("the responder ended before it was ready")

    def _send(self, order: dict[str, Any]) -> None:
        with suppress(BrokenPipeError):
            data = json.dumps(order).encode() + b"\n"
            while data:
                data = data[self._in.write(data) or 0 :]

    def _wait(self, deadline: float) -> bool:
        return bool(select.select([self.out], [], [], max(0.0, deadline - time.monotonic()))[0])

    def _take(self) -> bool:
        """Read once; return False at the end."""
        data = os.read(self.out.fileno(), 65536)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            said = json.loads(line)
            self.lost += said.pop("lost", 0)
            if "refused" in said:
                raise GuardsRefused(said["refused"])
            if "ready" in said:
                self._ready = True
            elif not said:
                continue
            elif "done" in said:
                self._done = said["done"]
            elif "lacking" in said:
                self.lacking.append(Lacking(*said["lacking"]))
            else:
                self.found.append(Prevented(**said))
        return bool(data)

    def ask(self, order: dict[str, Any], seconds: float = _READY_SECONDS) -> None:
        """Send an order; return when it was carried out, or the responder has ended, or so many seconds have."""
        self._asked += 1
        self._send(order | {"done": self._asked})
        deadline = time.monotonic() + seconds
        while self._done < self._asked and self._wait(deadline) and self._take():
            pass

    def read(self) -> list[Prevented]:
        """Return what was said since the last time, without waiting."""
        while not self.out.closed and select.select([self.out], [], [], 0)[0] and self._take():
            pass
        found, self.found = self.found, []
        return found

    @property
    def lives(self) -> bool:
        """Whether it still answers."""
        return self.process.poll() is None

    def end(self) -> list[Prevented]:
        """End it; return its last words."""
        with suppress(GuardsRefused):
            self.ask({"end": True}, _END_SECONDS)  # between two answers, and with its last words
        try:
            self.process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        last: list[Prevented] = []
        with suppress(GuardsRefused):
            last = self.read()
        self._in.close()
        self.out.close()
        return last

    def leave(self) -> None:
        """Let it go on without this process."""
        _left[self.process.pid] = self.process
        self._in.close()
        self.out.close()


class Guards:
    """The guards of a plan, held by a responder, which `update` starts and changes.

    `spared` are processes that are never refused; the machine's first process and this one need not be named. A responder that hangs is
    killed after `patience` seconds.
    """

    def __init__(self, spared: Iterable[int] = (), *, patience: float = 10.0) -> None:
        self._guards: tuple[Guard, ...] = ()
        self._spared = {1, os.getpid(), *spared}
        self._patience = patience
        self._note: Path | None = None
        self._responder: _Responder | None = None
        self._found: list[Prevented] = []
        self._lost = 0

    def update(self, guards: Sequence[Guard]) -> list[Lacking]:
        """Hold these guards from now on; return, once everything that is there is guarded, what cannot be.

        The old ones go when the new ones hold, so that nothing is unguarded meanwhile. Raises GuardsRefused: the old ones still hold.
        """
        if tuple(guards) != self._guards:
            before = self._responder
            self._responder = self._started(guards) if guards else None
            self._guards = tuple(guards)
            if before is not None:
                self._end(before)
            if self._note is not None:
                self.keep(self._note)
        return self.lacking

    def _started(self, guards: Sequence[Guard]) -> _Responder:
        chosen = cgroups.hierarchy()
        return _Responder(
            {
                "guards": [asdict(one) for one in guards],
                "spared": sorted(self._spared),
                "hierarchy": (chosen.controller, chosen.mount),
                "patience": self._patience,
            }
        )

    def _end(self, responder: _Responder) -> None:
        self._found += responder.end()
        self._lost += responder.lost

    @property
    def lacking(self) -> list[Lacking]:
        """What cannot be guarded, as far as is known; more may come with new mount namespaces."""
        return list(self._responder.lacking) if self._responder else []

    @property
    def lost(self) -> int:
        """How many refusals were not told, because nobody read them in time."""
        return self._lost + (self._responder.lost if self._responder else 0)

    @property
    def holding(self) -> bool:
        """Whether everything that is asked for is guarded: the responder lives, or there is nothing to guard."""
        return not self._guards or (self._responder is not None and self._responder.lives)

    def tend(self) -> bool:
        """Start the responder again when it ended by itself; return whether it had. Raises GuardsRefused."""
        if self.holding or self._responder is None:
            return False
        before, self._responder = self._responder, self._started(self._guards)
        self._end(before)
        if self._note is not None:
            self.keep(self._note)
        return True

    def fileno(self) -> int:
        """Return what becomes readable when something was refused; another one after `update` or `tend`. -1: nothing is guarded."""
        return self._responder.out.fileno() if self._responder else -1

    def read(self) -> list[Prevented]:
        """Return what was refused since the last time, without waiting."""
        found, self._found = self._found, []
        return found + (self._responder.read() if self._responder else [])

    def cover(self, pid: int) -> None:
        """Guard what a process sees, which may have a mount namespace of its own; return when it is so."""
        if self._responder is not None:
            self._responder.ask({"cover": pid})

    def spare(self, pid: int) -> None:
        """Never refuse a process, for as long as it lives."""
        self._spared.add(pid)
        if self._responder is not None:
            self._responder.ask({"spare": pid})

    def keep(self, note: Path) -> None:
        """Let the guards outlive this process, until `release`. The responder's number is written to the note.

        The responder that a note tells of, of a process before, is ended: this one has taken over.
        """
        before = _kept(note)
        self._note = note
        if self._responder is None:
            note.unlink(missing_ok=True)
        else:
            self._responder.ask({"outlive": True})
            pid = self._responder.process.pid
            note.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
            note.write_text(f"{pid} {_born(pid)}\n")
            before = 0 if before == pid else before
        if before:
            _end(before)

    def close(self) -> None:
        """End the responder, and with it the guards; those that are kept go on."""
        responder, self._responder = self._responder, None
        self._guards = ()
        if responder is not None:
            if self._note is not None and responder.lives:
                responder.leave()
            else:
                self._end(responder)


def release(keep: Path) -> bool:
    """End a responder that outlived the process that started it; return whether there was one."""
    pid = _kept(keep)
    keep.unlink(missing_ok=True)
    if pid:
        _end(pid)
        if pid in _left:
            _left.pop(pid).wait()
    return bool(pid)


_left: dict[int, subprocess.Popen[bytes]] = {}


def _kept(keep: Path | None) -> int:
    """Return the number of the responder that a file tells of, if that very process lives; or 0."""
    if keep is None:
        return 0
    try:
        pid, _, born = keep.read_text().strip().partition(" ")
        return int(pid) if born and born == _born(int(pid)) else 0
    except (OSError, ValueError):
        return 0


def _born(pid: int) -> str:
    """Return when a process began, in the kernel's ticks: with its number it names it for good."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def _end(pid: int) -> None:
    with suppress(OSError):
        held = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(held, signal.SIGKILL)
        finally:
            os.close(held)
