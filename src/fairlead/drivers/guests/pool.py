"""The workers of guests: started when they are wanted, used one call at a time, killed when they are late or broken.

WebAssembly is compiled once, in a process of its own, and kept in memory and in the cache folder.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from .framing import BadFrame, pack, receive
from .plans import (
    LARGEST_CODE,
    LARGEST_OUTPUT,
    Answer,
    Engine,
    GuestFailed,
    GuestPlan,
    GuestResult,
    HostCall,
    HostError,
)

_GRACE = 0.5
"""Seconds after its time that a worker is given to say so itself, before it is killed."""
_COMPILE_SECONDS = 60.0
_LARGEST_COMPILED = 256 << 20
_KEPT = 64
_SORTS: dict[Engine, str] = {"wapc": "wasm", "wasi": "wasm", "opa": "opa", "javascript": "javascript"}
"""Which sort of worker runs what."""
_REASONS = {"time", "memory", "trap", "guest", "code", "worker"}


class Guests:
    """Runs guests in at most `workers` processes for each sort of engine (WebAssembly, OPA's, JavaScript).

    `cache` is a folder for compiled modules that only this user can write, or None. Close it when done, or use it as a
    context. One event loop.
    """

    def __init__(self, *, workers: int = 2, cache: Path | None = None) -> None:
        self._room = {sort: asyncio.Semaphore(workers) for sort in set(_SORTS.values())}
        self._idle: dict[str, list[_Worker]] = {sort: [] for sort in set(_SORTS.values())}
        self._all: set[_Worker] = set()
        self._cache = cache
        self._compiled: OrderedDict[str, bytes] = OrderedDict()
        self._compiling: dict[str, asyncio.Task[bytes]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End all workers."""
        for task in self._compiling.values():
            task.cancel()
        await asyncio.gather(*self._compiling.values(), return_exceptions=True)
        await asyncio.gather(*(worker.end() for worker in tuple(self._all)))
        self._all.clear()

    async def run(self, plan: GuestPlan, call: Answer | None = None) -> GuestResult:
        """Run one call of a guest; `call` answers what it asks. Raises GuestFailed.

        The time of the plan begins when a worker is free and the module compiled.
        """
        if len(plan.code) > LARGEST_CODE:
            raise GuestFailed(
                f"the code has {len(plan.code)} bytes, more than the {LARGEST_CODE} that are allowed", "code"
            )
        key = hashlib.sha256(plan.code).hexdigest()
        sort = _SORTS[plan.engine]
        code = plan.code if sort == "javascript" else await self._compile(key, plan.code)
        async with self._room[sort]:
            worker = await self._worker(sort)
            fine = False
            try:
                async with asyncio.timeout(plan.seconds + _GRACE):
                    result = await worker.run(plan, key, code, call or _refuse)
                fine = True
                return result
            except TimeoutError:
                raise GuestFailed(f"the guest did not end within {plan.seconds:g} s", "time") from None
            except GuestFailed as error:
                fine = error.reason != "worker"
                raise
            finally:
                if fine:
                    self._idle[sort].append(worker)
                else:
                    await asyncio.shield(self._drop(worker))

    async def prepare(self, code: bytes) -> None:
        """Compile a module ahead of its first call. Raises GuestFailed."""
        await self._compile(hashlib.sha256(code).hexdigest(), code)

    async def _worker(self, sort: str) -> _Worker:
        while self._idle[sort]:
            worker = self._idle[sort].pop()
            if worker.alive:
                return worker
            await self._drop(worker)
        worker = _Worker(await _python("worker", sort))
        self._all.add(worker)
        return worker

    async def _drop(self, worker: _Worker) -> None:
        self._all.discard(worker)
        await worker.end()

    async def _compile(self, key: str, code: bytes) -> bytes:
        """Return a module's machine code, compiled now or before; several that want the same wait for one."""
        found = self._compiled.get(key)
        if found is not None:
            self._compiled.move_to_end(key)
            return found
        task = self._compiling.get(key)
        if task is None:
            task = self._compiling[key] = asyncio.create_task(self._compile_now(key, code))
            task.add_done_callback(lambda _: self._compiling.pop(key, None))
        return await asyncio.shield(task)

    async def _compile_now(self, key: str, code: bytes) -> bytes:
        file = self._cache / f"{key}-{_version()}.cwasm" if self._cache is not None else None
        compiled = await asyncio.to_thread(_kept, file) if file is not None else b""
        if not compiled:
            compiled = await _compiled(code)
            if file is not None:
                await asyncio.to_thread(_keep, file, compiled)
        self._compiled[key] = compiled
        if len(self._compiled) > _KEPT:
            self._compiled.popitem(last=False)
        return compiled


def _version() -> str:
    from importlib.metadata import version

    return f"wasmtime-{version('wasmtime')}"


def _kept(file: Path) -> bytes:
    """Return what the cache holds, unless somebody else may have written it."""
    try:
        if file.stat().st_uid == os.geteuid():
            return file.read_bytes()
    except OSError:
        pass
    return b""


def _keep(file: Path, compiled: bytes) -> None:
    with suppress(OSError):  # a full disk costs time, nothing else
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = file.with_suffix(f".{os.getpid()}")
        fresh.write_bytes(compiled)
        fresh.chmod(0o600)
        fresh.replace(file)


async def _python(module: str, *arguments: str) -> Process:
    """Start one of this folder's programs, with nothing of this process but its pipes."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        f"fairlead.drivers.guests.{module}",
        *arguments,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE if module == "compiling" else DEVNULL,
        env={"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"},
        start_new_session=True,
        limit=1 << 20,
    )


async def _compiled(code: bytes) -> bytes:
    process = await _python("compiling")
    try:
        async with asyncio.timeout(_COMPILE_SECONDS):
            out, err = await process.communicate(code)
    except TimeoutError:
        raise GuestFailed(f"the module did not compile within {_COMPILE_SECONDS:g} s", "code") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode or not 0 < len(out) <= _LARGEST_COMPILED:
        why = err.decode(errors="replace").strip()[-2000:] or f"the compiler ended with {process.returncode}"
        raise GuestFailed(f"the module does not compile: {why}", "code")
    return out


async def _refuse(call: HostCall) -> bytes:
    raise HostError(f"{call.operation} is not offered here")


class _Worker:
    """One worker process, seen from here."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.returncode is None

    async def end(self) -> None:
        """Kill the process."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()
        await self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    async def _say(self, header: dict[str, Any], body: bytes = b"") -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(pack(header, body))
        await self._process.stdin.drain()

    async def run(self, plan: GuestPlan, key: str, code: bytes, call: Answer) -> GuestResult:
        """Run one call. Raises GuestFailed; its reason is "worker" when the process is of no more use."""
        assert self._process.stdout is not None
        asked = {
            "engine": plan.engine,
            "key": key,
            "operation": plan.operation,
            "seconds": plan.seconds,
            "memory": plan.memory,
            "prelude": plan.prelude,
        }
        try:
            await self._say(asked, plan.payload)
            while True:
                header, body = await receive(self._process.stdout, LARGEST_OUTPUT)
                kind = header.get("kind")
                if kind == "want":
                    await self._say({}, code)
                elif kind == "call":
                    await self._answer(header, body, call)
                elif kind == "done":
                    return GuestResult(body, _lines(header))
                else:
                    reason: Any = header.get("reason")
                    raise GuestFailed(
                        str(header.get("message", "")),
                        reason if reason in _REASONS else "worker",
                        _lines(header),
                    )
        except (BadFrame, asyncio.IncompleteReadError, ConnectionError):
            raise GuestFailed("the guest's process has ended or talks nonsense", "worker") from None

    async def _answer(self, header: dict[str, Any], body: bytes, call: Answer) -> None:
        named = [str(header.get(name, "")) for name in ("binding", "namespace", "operation")]
        try:
            answer = await call(HostCall(named[0], named[1], named[2], body))
        except HostError as error:
            await self._say({"fine": False}, str(error).encode())
        else:
            await self._say({"fine": True}, answer)


def _lines(header: dict[str, Any]) -> tuple[str, ...]:
    log = header.get("log")
    return tuple(str(line) for line in log) if isinstance(log, list) else ()
