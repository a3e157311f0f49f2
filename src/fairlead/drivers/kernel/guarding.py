"""Files that are kept from being opened or executed, by fanotify: `Guards` starts the responder, feeds it and reads what it refused.

The responder (drivers/guards) is a process of its own, so that nothing here can keep it from answering. A file is guarded by its
inode, under whatever name and through whatever mount, and by its name, in whatever mount namespace. A namespace that is new is found
within a second, or at once by `cover`. Refused is refused: the caller's open or execve fails with EPERM ("prevented").
When the responder ends, the kernel lets all through: `holding` is false then, and `read` says so. Must never open a guarded file while
it waits for the responder, nor refuse the first process of the machine, this one, or the responder.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from fairlead.drivers.kernel import cgroups
from fairlead.sense.plans import Guard

_READY_SECONDS: Final = 20.0
_PIPE: Final = 1 << 20
_SET_PIPE_SIZE: Final = 1031


class GuardsRefused(Exception):
    """Files cannot be guarded here; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prevented:
    """An open or execve that was refused: of what file (as its opener sees it), by whom, for which rule. `time` is ns since the epoch."""

    what: Literal["open", "exec"]
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


class Guards:
    """The guards of a plan, held by a responder.

    `spared` are processes that are never refused; the machine's first process and this one need not be named. With `keep`, a file that
    the responder's number is written to, the responder outlives this process: `release` ends it. A responder that hangs is killed after `patience` seconds.
    """

    def __init__(
        self,
        guards: Sequence[Guard],
        spared: Iterable[int] = (),
        *,
        keep: Path | None = None,
        patience: float = 10.0,
    ) -> None:
        self._guards = tuple(guards)
        self._spared = {1, os.getpid(), *spared}
        chosen = cgroups.hierarchy()
        self._cgroups = (chosen.controller, chosen.mount)
        self._keep = keep
        self._patience = patience
        self._process: subprocess.Popen[bytes] | None = None
        self._rest = b""
        self._count = 0
        self._done = 0
        self._found: list[Prevented] = []
        self.lost = 0
        """Refusals that were not told, because nobody read them in time."""
        self.lacking: list[Lacking] = []

    def start(self) -> list[Lacking]:
        """Start the responder; return once everything that is there is guarded, with what cannot be. Raises GuardsRefused."""
        if not self._guards:
            return []
        before = _kept(self._keep)
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-m", "fairlead.drivers.guards.responder"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd="/",
            start_new_session=True,
            env={"PYTHONPATH": str(Path(__file__).resolve().parents[3])},
        )
        assert self._process.stdout is not None
        with suppress(OSError):
            _fcntl(self._process.stdout.fileno())
        self._send(self._orders())
        deadline = time.monotonic() + _READY_SECONDS
        while self._count == 0:
            if not self._wait(deadline):
                self.close()
                raise GuardsRefused("the responder did not start")
            self._take()
        if before:
            _end(before)
        if self._keep:
            self._keep.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._keep.write_text(f"{self._process.pid} {_born(self._process.pid)}\n")
        return self.lacking

    def _orders(self) -> dict[str, Any]:
        return {
            "guards": [
                {
                    "at": one.at,
                    "paths": one.paths,
                    "prefix": one.prefix,
                    "owner": one.owner,
                    "binaries": one.binaries,
                    "not_binaries": one.not_binaries,
                    "cgroups": one.cgroups,
                }
                for one in self._guards
            ],
            "spared": sorted(self._spared),
            "hierarchy": self._cgroups,
            "outlives": self._keep is not None,
            "patience": self._patience,
        }

    def tend(self) -> bool:
        """Start the responder again when it ended by itself; return whether it had. Raises GuardsRefused."""
        if self._process is None or self.holding:
            return False
        self.close()
        self._rest, self._count, self._done = b"", 0, 0
        self.start()
        return True

    def fileno(self) -> int:
        """Return what becomes readable when something was refused."""
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    @property
    def holding(self) -> bool:
        """Whether the responder lives. When it does not, nothing is refused any more."""
        return self._process is not None and self._process.poll() is None

    def read(self) -> list[Prevented]:
        """Return what was refused since the last time, without waiting."""
        if self._process is not None and self._process.stdout is not None:
            while select.select([self._process.stdout], [], [], 0)[0] and self._take():
                pass
        found, self._found = self._found, []
        return found

    def cover(self, pid: int) -> None:
        """Guard what a process sees, which may have a mount namespace of its own; return when it is so."""
        self._ask({"cover": pid})

    def spare(self, pid: int) -> None:
        """Never refuse a process, for as long as it lives."""
        self._spared.add(pid)
        self._ask({"spare": pid})

    def _ask(self, order: dict[str, Any]) -> None:
        if not self.holding:
            return
        self._count += 1
        self._send(order | {"done": self._count})
        deadline = time.monotonic() + _READY_SECONDS
        while self._done < self._count and self._wait(deadline) and self._take():
            pass

    def _wait(self, deadline: float) -> bool:
        return bool(select.select([self.fileno()], [], [], max(0.0, deadline - time.monotonic()))[0])

    def _send(self, order: dict[str, Any]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            data = json.dumps(order).encode() + b"\n"
            while data:
                data = data[self._process.stdin.write(data) or 0 :]

    def _take(self) -> bool:
        """Read once; return False at the end."""
        data = os.read(self.fileno(), 65536)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            said = json.loads(line)
            self.lost += said.pop("lost", 0)
            if "refused" in said:
                self.close()
                raise GuardsRefused(said["refused"])
            if "ready" in said:
                self._count = self._done = 1
            elif "done" in said:
                self._done = said["done"]
            elif "lacking" in said:
                self.lacking.append(Lacking(*said["lacking"]))
            else:
                self._found.append(Prevented(**said))
        if not data and self._count == 0:
            raise GuardsRefused("the responder ended before it was ready")
        return bool(data)

    def close(self, *, keep: bool = False) -> None:
        """End the responder, and with it the guards; with `keep`, let one that outlives this process go on."""
        process, self._process = self._process, None
        if process is None:
            return
        if not (keep and self._keep):
            process.kill()
            if self._keep:
                self._keep.unlink(missing_ok=True)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        if keep and self._keep:
            _left[process.pid] = process
        else:
            process.wait()


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


def _fcntl(descriptor: int) -> None:
    import fcntl

    fcntl.fcntl(descriptor, _SET_PIPE_SIZE, _PIPE)
