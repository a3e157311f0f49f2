"""Processes of this machine: start them with a log, watch them, end them, and tell whose they are.

Must never end a process that it cannot tell to be the one meant.
"""

from __future__ import annotations

import fcntl
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

FIRST_DELAY_SECONDS = 0.5


@dataclass(slots=True)
class Child:
    """One supervised process: how to start it, and how that went."""

    name: str
    command: list[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    delay: float = FIRST_DELAY_SECONDS
    started: float = 0.0
    restart_at: float | None = None
    log_offset: int = 0

    def start(self) -> None:
        """Start it in this process group, with its output appended to its log.

        It does not hear Ctrl-C, which goes to the whole group: who started it ends it, in order.
        """
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited
        try:
            with self.log.open("ab") as log:
                self.log_offset = log.tell()
                self.process = subprocess.Popen(
                    self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self.started = time.monotonic()
        self.restart_at = None

    def last_words(self) -> str:
        """Return the last line that it wrote since its start."""
        with self.log.open("rb") as log:
            log.seek(self.log_offset)
            lines = log.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def stop(self, seconds: float) -> None:
        """End it by SIGTERM, and by SIGKILL when it takes longer than that."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def lock(file: IO[str]) -> bool:
    """Take the file's lock without waiting; return whether it was free. The kernel frees it however its holder ends."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def alive(pid: int, module: str) -> bool:
    """Tell whether the process is still the one that was recorded: process ids are used again."""
    ps = subprocess.run(["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return module in ps.stdout


def usage(pid: int) -> tuple[str, str]:
    """Return how long the process has run (`[dd-]hh:mm:ss`) and its resident memory, or empty texts when it is gone."""
    ps = subprocess.run(
        ["ps", "-o", "etime=,rss=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    parts = ps.stdout.split()
    return (parts[0], f"{int(parts[1]) // 1024}Mi") if len(parts) == 2 else ("", "")
