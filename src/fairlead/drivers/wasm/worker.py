"""One guest, run to its end: `python -m fairlead.drivers.wasm.worker FILE` with a plan as JSON.

Two processes. The guest's has the engine and nothing else: limits, no new privileges, nobody's identity when this is
root, no file but those below its mounts (Landlock), no call that computing has no use for (seccomp). The other, which started it, writes its log, ends it when told to, holds
back its processor time, and records how it ended. A crash of the engine takes only the guest's process with it.
Must never be imported by anything that has threads: it forks.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import resource
import select
import signal
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from fairlead.drivers import confining

TRAP_CODE = 134
OOM_CODE = 137
NOBODY = 65534
OPEN_FILES = 256
LONGEST_LINE = 16 << 10
PAGE = 64 << 10
_THROTTLE_SECONDS = 0.1
_NO_NEW_PRIVS = 38


class Ended(Exception):
    """How the guest ended: exit code, reason and message."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message


def run_guest(plan: dict[str, Any], report: int) -> None:
    """Run the guest in this process and leave it with the guest's exit code; why, if not its own, goes to `report`."""
    try:
        code = _run(plan)
    except Ended as end:
        os.write(report, json.dumps([end.code, end.reason, end.message]).encode())
        code = end.code
    finally:
        sys.stdout.flush()
    os._exit(code)


def _run(plan: dict[str, Any]) -> int:
    import wasmtime

    engine_config = wasmtime.Config()
    engine_config.parallel_compilation = False
    engine = wasmtime.Engine(engine_config)
    module = _compiled(wasmtime, engine, Path(plan["module"]), Path(plan["cache"]))
    store = wasmtime.Store(engine)
    limit = plan.get("memory_limit")
    if limit:
        store.set_limits(memory_size=int(limit), memories=1)
    wasi = wasmtime.WasiConfig()
    wasi.argv = plan["argv"]
    wasi.env = [tuple(pair) for pair in plan["env"]]
    wasi.inherit_stdout()
    wasi.inherit_stderr()
    for source, target, read_only in plan["mounts"]:
        try:
            wasi.preopen_dir(source, target, not read_only)
        except wasmtime.WasmtimeError as error:
            raise Ended(128, "ContainerCannotRun", f"cannot open {target}: {error}") from error
    store.set_wasi(wasi)
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    mounted = [(source, read_only) for source, _, read_only in plan["mounts"]]
    try:
        confining.confine_files(
            reads=[source for source, read_only in mounted if read_only],
            writes=[source for source, read_only in mounted if not read_only],
        )
        confine()
        confining.confine_calls()
    except OSError as error:
        raise Ended(128, "ContainerCannotRun", f"the guest cannot be confined: {error}") from error
    memory: Any = None
    begun = False
    try:
        instance = linker.instantiate(store, module)
        start = instance.exports(store).get("_start")
        memory = instance.exports(store).get("memory")
        if not isinstance(start, wasmtime.Func):
            raise Ended(
                126, "ContainerCannotRun", "the module exports no _start function: it is not a WASI command"
            )
        begun = True
        start(store)
    except wasmtime.ExitTrap as end:
        return int(end.code)
    except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
        text = str(error).strip()
        # An allocator asks for more than a page at a time: a trap with most of the memory in use is for want of memory.
        full = isinstance(memory, wasmtime.Memory) and limit and memory.data_len(store) > int(limit) * 3 // 4
        if full or "exceeds memory limits" in text:
            raise Ended(OOM_CODE, "OOMKilled", f"the guest ran out of its {limit} bytes of memory") from error
        if begun or isinstance(error, wasmtime.Trap):
            print(text, file=sys.stderr, flush=True)
            raise Ended(TRAP_CODE, "Error", text) from error
        raise Ended(126, "ContainerCannotRun", text) from error
    return 0


def _compiled(wasmtime: Any, engine: Any, module: Path, cache: Path) -> Any:
    """Return the module, compiled before or now. The cache is named by module and engine, and only we can write it."""
    with suppress(wasmtime.WasmtimeError, FileNotFoundError):
        if cache.exists():
            return wasmtime.Module.deserialize_file(engine, str(cache))
    try:
        compiled = wasmtime.Module.from_file(engine, str(module))
    except wasmtime.WasmtimeError as error:
        raise Ended(126, "ContainerCannotRun", f"the module does not compile: {error}") from error
    with suppress(OSError):  # a full disk costs time, not the guest
        fresh = cache.with_suffix(f".{os.getpid()}")
        fresh.write_bytes(bytes(compiled.serialize()))
        fresh.replace(cache)
    return compiled


def confine() -> None:
    """Give up what the guest must not have: privileges, core dumps, many files, more processes."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    os.environ.clear()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))


class Log:
    """A log in the CRI's format: a time, the stream, F or P (the line goes on), and the text."""

    def __init__(self, path: str) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._file = Path(path).open("ab", buffering=0)  # noqa: SIM115  open as long as the process
        self._rest: dict[str, bytes] = {"stdout": b"", "stderr": b""}

    def write(self, stream: str, data: bytes) -> None:
        """Write what came from a stream: whole lines at once, and pieces of very long ones."""
        *whole, rest = (self._rest[stream] + data).split(b"\n")
        out = b"".join(self._line(stream, b"F", line) for line in whole)
        while len(rest) >= LONGEST_LINE:
            out += self._line(stream, b"P", rest[:LONGEST_LINE])
            rest = rest[LONGEST_LINE:]
        self._rest[stream] = rest
        if out:
            self._file.write(out)

    def close(self) -> None:
        """Write what had no end of line yet."""
        for stream, rest in self._rest.items():
            if rest:
                self._file.write(self._line(stream, b"F", rest))
        self._file.close()

    @staticmethod
    def _line(stream: str, tag: bytes, text: bytes) -> bytes:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z").encode()
        return b"%s %s %s %s\n" % (now, stream.encode(), tag, text)


def record(folder: Path, state: dict[str, Any]) -> None:
    """Write the state of the container, at once or not at all."""
    fresh = folder / "state.new"
    fresh.write_text(json.dumps(state))
    fresh.replace(folder / "state.json")


def main(plan_file: str) -> int:
    """Start the guest, look after it, and record how it ended."""
    folder = Path(plan_file).parent
    plan = json.loads(Path(plan_file).read_text())
    lock: BinaryIO = (folder / "lock").open("wb")
    fcntl.flock(lock, fcntl.LOCK_EX)
    state: dict[str, Any] = {"pid": os.getpid(), "started_at": time.time_ns()}
    log = Log(plan["log"])
    for words in confining.lacking():
        print(f"the guest is not confined as it should be: {words}", file=sys.stderr, flush=True)
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: stopping.append(received))
    out, err, report = os.pipe(), os.pipe(), os.pipe()
    guest = os.fork()
    if guest == 0:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (out[1], 1), (err[1], 2)):
            os.dup2(source, target)
        for descriptor in (*out, *err, report[0], lock.fileno(), null):
            os.close(descriptor)
        run_guest(plan, report[1])
    for descriptor in (out[1], err[1], report[1]):
        os.close(descriptor)
    record(folder, state)
    _pump({out[0]: "stdout", err[0]: "stderr"}, log, guest, stopping, plan.get("cpu_limit"))
    _, status = os.waitpid(guest, 0)
    log.close()
    state |= {
        "finished_at": time.time_ns(),
        **_ending(status, os.read(report[0], PAGE), stopped=bool(stopping)),
    }
    record(folder, state)
    return 0


def _pump(streams: dict[int, str], log: Log, guest: int, stopping: list[int], cpu_limit: int | None) -> None:
    """Copy the guest's output to the log until it has ended; end it when told to; hold back its processor time."""
    poll = select.poll()
    for descriptor in streams:
        poll.register(descriptor, select.POLLIN | select.POLLHUP)
    open_streams = dict(streams)
    throttle = Throttle(guest, cpu_limit) if cpu_limit and sys.platform == "linux" else None
    while open_streams:
        if stopping:
            with suppress(ProcessLookupError):
                os.kill(guest, signal.SIGKILL)  # a guest cannot hear a signal, so there is no grace to give
        wait = _THROTTLE_SECONDS if throttle is None else throttle.turn()
        for descriptor, _ in poll.poll(wait * 1000):
            data = os.read(descriptor, PAGE)
            if data:
                log.write(open_streams[descriptor], data)
            else:
                poll.unregister(descriptor)
                del open_streams[descriptor]
                os.close(descriptor)


class Throttle:
    """Keeps a process below its share of processor time (in thousandths) by stopping it for a part of each period."""

    def __init__(self, pid: int, limit: int) -> None:
        self._stat = Path(f"/proc/{pid}/stat")
        self._pid = pid
        self._share = limit / 1000
        self._tick = os.sysconf("SC_CLK_TCK")
        self._since = time.monotonic()
        self._stopped = False

    def turn(self) -> float:
        """Stop the process or let it go on; return the seconds until the next turn."""
        with suppress(OSError, ValueError, IndexError):
            fields = self._stat.read_text().rpartition(")")[2].split()
            used = (int(fields[11]) + int(fields[12])) / self._tick
            allowed = (time.monotonic() - self._since) * self._share + _THROTTLE_SECONDS
            if used > allowed and not self._stopped:
                os.kill(self._pid, signal.SIGSTOP)
                self._stopped = True
            elif used <= allowed and self._stopped:
                os.kill(self._pid, signal.SIGCONT)
                self._stopped = False
        return _THROTTLE_SECONDS / 4


def _ending(status: int, report: bytes, *, stopped: bool) -> dict[str, Any]:
    """Return exit_code, reason and message as a container runtime would give them."""
    if stopped:
        return {"exit_code": 128 + signal.SIGTERM, "reason": "Error", "message": ""}
    if report:
        code, reason, message = json.loads(report)
        return {"exit_code": code, "reason": reason, "message": message}
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        name = signal.Signals(-code).name
        return {
            "exit_code": 128 - code,
            "reason": "Error",
            "message": f"the guest's process was ended by {name}",
        }
    return {"exit_code": code, "reason": "Error" if code else "Completed", "message": ""}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
