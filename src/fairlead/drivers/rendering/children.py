"""One child process for one call: forked, confined, given its input, watched, and ended when it is late.

The child has nobody's identity where this is root, and no files, sockets, processes or privileges; its memory and time are limited by the
kernel. What it sends is foreign. Must never be used in a process that has several threads: it forks.
"""

from __future__ import annotations

import gc
import importlib
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NoReturn, TypeAlias

from fairlead.drivers import confining
from fairlead.drivers.wasm.worker import confine as give_up_identity

Reason: TypeAlias = Literal["", "time", "memory", "depth", "size", "crash", "import"]
"""Why there is no answer. `import`: it needs a module that was not imported before it gave up its files; the detail names it."""

LARGEST_ANSWER: Final = 256 << 20
_LARGEST_CRY: Final = 64 << 10
_PIECE: Final = 1 << 20
_GRACE: Final = 1.0
"""Seconds after its time that the kernel ends a child by itself, should nobody watch it any more."""

NEEDLESS: Final = (
    *confining.FOREIGN,
    *("open", "openat", "openat2", "creat", "unlink", "unlinkat", "rename", "renameat", "renameat2", "mkdir", "mkdirat", "rmdir"),
    *("link", "linkat", "symlink", "symlinkat", "chmod", "fchmodat", "chown", "lchown", "fchownat", "truncate", "chdir", "fchdir"),
    *("utimensat", "setxattr", "removexattr", "socketpair", "sendmsg", "recvmsg", "shmget", "shmat", "msgget", "semget", "mq_open"),
    *("inotify_init", "inotify_init1", "memfd_create", "setpgid", "setsid", "setpriority", "sched_setaffinity", "ioprio_set"),
)  # fmt: skip
"""System calls that are refused: all is loaded that is needed, and both ends of the child's pipes are open."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds by the clock, and bytes of memory beyond what the process has when it begins."""

    seconds: float
    memory: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a child: its answer, or the reason why there is none."""

    answer: bytes
    reason: Reason
    detail: str = ""


def warm(entry: str, modules: tuple[str, ...] = ()) -> tuple[Callable[[bytes], bytes], frozenset[str]]:
    """Import what a call needs, so that its process finds it; return the function that `module:function` names, and what is not there.

    A name that begins with `?` was asked for by a process that ran foreign input: it is imported if it is of this program or of Python's
    library, and counts as not there otherwise. Raises ImportError for the others.
    """
    absent = set()
    for name in modules:
        if name.startswith("?"):
            absent.add(name[1:])
            if _ours(name[1:]):
                with suppress(ImportError):
                    importlib.import_module(name[1:])
                    absent.discard(name[1:])
        else:
            importlib.import_module(name)
    module, _, function = entry.partition(":")
    found: Callable[[bytes], bytes] = getattr(importlib.import_module(module), function)
    return found, frozenset(absent)


def _ours(name: str) -> bool:
    """Whether a module may be imported because a confined process wants it: only what has no say of its own is there."""
    top = name.partition(".")[0]
    plain = all(part.isidentifier() for part in name.split("."))
    known = top == "fairlead" or top in sys.modules or top in sys.stdlib_module_names
    return (
        plain
        and known
        and top not in {"__main__", "antigravity", "idlelib", "test", "this", "turtle", "turtledemo"}
    )


class _Asking:
    """Stands before all finders of a confined process, where no file can be read: what is not imported yet has to be asked for."""

    def __init__(self, absent: frozenset[str]) -> None:
        self._absent = absent

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:  # noqa: ARG002  what a finder is asked
        """Say that the module is not there, where that is known; else end the process, with the name as its last word."""
        if name in self._absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        os.write(2, b"\n" + name.encode(errors="replace"))
        os._exit(_UNIMPORTED)


class Child:
    """A child process that runs a function on a question. Watch `descriptors`, and call `turn` when one of them is ready or time is up."""

    def __init__(
        self,
        function: Callable[[bytes], bytes],
        question: bytes,
        limits: Limits,
        absent: frozenset[str] = frozenset(),
    ) -> None:
        self.limits = limits
        self.deadline = time.monotonic() + limits.seconds
        self._answer: list[bytes] = []
        self._size = 0
        self._cry = b""
        self._reason: Reason = ""
        answer_in, answer_out = os.pipe()
        cry_in, cry_out = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _live(function, question, limits, absent, answer_out, cry_out)
        os.close(answer_out)
        os.close(cry_out)
        self._open = {answer_in, cry_in}
        self._answers = answer_in

    @property
    def descriptors(self) -> set[int]:
        """What is still open between the child and this process; empty: it has ended."""
        return self._open

    def turn(self, ready: set[int]) -> None:
        """Read what is there, and end the child if it is late or says too much."""
        for descriptor in ready & self._open:
            data = os.read(descriptor, _PIECE)
            if not data:
                os.close(descriptor)
                self._open.discard(descriptor)
            elif descriptor == self._answers:
                self._size += len(data)
                if self._size > LARGEST_ANSWER:
                    self.end("size")
                else:
                    self._answer.append(data)
            else:
                self._cry = (self._cry + data)[:_LARGEST_CRY]
        if self._open and time.monotonic() >= self.deadline:
            self.end("time")

    def end(self, reason: Reason) -> None:
        """Kill the child."""
        if not self._reason:
            self._reason = reason
            os.kill(self.pid, signal.SIGKILL)

    def outcome(self) -> Outcome:
        """Wait for the child, whose descriptors are closed, and return what came of it."""
        for descriptor in self._open:
            os.close(descriptor)
        self._open = set()
        _, status = os.waitpid(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        cry = self._cry.decode(errors="replace").strip()
        if self._reason:
            return Outcome(b"", self._reason)
        if code == 0:
            return Outcome(b"".join(self._answer), "")
        if code == _UNIMPORTED:
            return Outcome(b"", "import", cry.rpartition("\n")[2])
        return Outcome(b"", _why(code, cry), cry[-500:] or f"it ended with {code}")


def _why(code: int, cry: str) -> Reason:
    """Tell from how a process ended what it had too much of."""
    if (
        any(words in cry for words in ("memory allocation of", "out of memory", "MemoryError"))
        or code == _NO_MEMORY
    ):
        return "memory"
    if code in {-signal.SIGALRM, -signal.SIGXCPU}:
        return "time"
    if code == -signal.SIGSEGV or "stack overflow" in cry or "RecursionError" in cry:
        return "depth"
    return "crash"


_NO_MEMORY: Final = 77
_UNIMPORTED: Final = 78


def run_here(
    function: Callable[[bytes], bytes],
    question: bytes,
    limits: Limits,
    absent: frozenset[str] = frozenset(),
) -> Outcome:
    """Fork this process, which has one thread, and wait for what comes of it."""
    child = Child(function, question, limits, absent)
    try:
        poll = select.poll()
        for descriptor in child.descriptors:
            poll.register(descriptor, select.POLLIN | select.POLLHUP)
        known = set(child.descriptors)
        while child.descriptors:
            left = max(child.deadline - time.monotonic(), 0)
            ready = {descriptor for descriptor, _ in poll.poll(left * 1000 + 1)}
            child.turn(ready)
            for gone in known - child.descriptors:
                poll.unregister(gone)
            known = set(child.descriptors)
    except BaseException:
        child.end("crash")
        child.outcome()
        raise
    return child.outcome()


def _live(
    function: Callable[[bytes], bytes],
    question: bytes,
    limits: Limits,
    absent: frozenset[str],
    answers: int,
    cries: int,
) -> NoReturn:
    """Be the child: give everything up, run the function, send what it returns, and end."""
    code = 1
    try:
        _bare(answers, cries)
        _confine(limits)
        sys.meta_path.insert(0, _Asking(absent))
        answer = function(question)
        view = memoryview(answer)
        while view:
            view = view[os.write(1, view[:_PIECE]) :]
        code = 0
    except MemoryError:
        code = _NO_MEMORY
    except BaseException as error:  # noqa: BLE001  nothing may get out of here but an exit code
        with suppress(BaseException):
            os.write(2, f"{type(error).__name__}: {error}".encode()[:_LARGEST_CRY])
    finally:
        os._exit(code)
    raise AssertionError


def _bare(answers: int, cries: int) -> None:
    """Keep nothing of the parent's but two pipes: no descriptors, signal handlers or garbage."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGALRM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDWR)
    high = [os.dup(descriptor) for descriptor in (null, answers, cries)]
    for target, descriptor in enumerate(high):
        os.dup2(descriptor, target)
    os.closerange(3, 4096 if sys.platform != "linux" else resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    os.chdir("/")
    gc.disable()


def _confine(limits: Limits) -> None:
    """Take from this process what computing has no use for."""
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_DATA, (_used() + limits.memory,) * 2)
        confining.confine_files()
    give_up_identity()
    whole = int(limits.seconds + _GRACE) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (whole, whole))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    signal.setitimer(signal.ITIMER_REAL, limits.seconds + _GRACE)
    confining.confine_calls(NEEDLESS, threads=False)


def _used() -> int:
    """Return how many bytes of memory this process may write to already."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    return 256 << 20
