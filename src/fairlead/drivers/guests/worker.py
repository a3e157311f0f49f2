"""A worker: `python -m fairlead.drivers.guests.worker ENGINE`. It is confined, then runs one call after another for its parent.

It hears frames on standard input and answers on standard output; nothing else is open. It keeps the code that it was given last.
It must never be trusted: the parent checks what it says and ends it when it takes too long.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, BinaryIO

from .calls import Call
from .confining import confine, seal
from .framing import pack, read
from .plans import GuestFailed

_KEPT = 32
_GRACE = 2.0

Run = Callable[[str, Call], bytes]
Load = Callable[[bytes], Run]


class Worker:
    """Runs the parent's calls, one at a time."""

    def __init__(self, hears: BinaryIO, says: BinaryIO, load: Load) -> None:
        self._hears, self._says = hears, says
        self._load = load
        self._loaded: OrderedDict[str, Run] = OrderedDict()

    def _say(self, header: dict[str, Any], body: bytes = b"") -> None:
        self._says.write(pack(header, body))
        self._says.flush()

    def _hear(self) -> tuple[dict[str, Any], bytes]:
        found = read(self._hears)
        if found is None:
            os._exit(0)  # the parent is gone, and with it the reason to be
        return found

    def _ask(self, binding: str, namespace: str, operation: str, payload: bytes) -> tuple[bool, bytes]:
        self._say(
            {"kind": "call", "binding": binding, "namespace": namespace, "operation": operation}, payload
        )
        header, body = self._hear()
        return bool(header.get("fine")), body

    def _code(self, key: str) -> Run:
        """Return what runs the code of a key, and ask for it where it is not known."""
        found = self._loaded.get(key)
        if found is None:
            self._say({"kind": "want"})
            _, body = self._hear()
            found = self._loaded[key] = self._load(body)
            if len(self._loaded) > _KEPT:
                self._loaded.popitem(last=False)
        self._loaded.move_to_end(key)
        return found

    def serve(self) -> None:
        """Run calls until the parent closes."""
        while True:
            header, payload = self._hear()
            call = Call(
                operation=header["operation"],
                payload=payload,
                seconds=header["seconds"],
                memory=header["memory"],
                prelude=header["prelude"],
                ask=self._ask,
            )
            try:
                run = self._code(header["key"])
                signal.setitimer(signal.ITIMER_REAL, call.seconds + _GRACE)
                output = run(header["engine"], call)
            except GuestFailed as error:
                self._say({"kind": "failed", "message": str(error), "reason": error.reason, "log": call.log})
            except MemoryError:
                self._say(
                    {
                        "kind": "failed",
                        "message": "the worker ran out of memory",
                        "reason": "memory",
                        "log": [],
                    }
                )
            else:
                self._say({"kind": "done", "log": call.log}, output)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)


def _wasm(*, rego: bool) -> Callable[[], Load]:
    """Import what WebAssembly needs; return what starts the engine."""
    import wasmtime

    from .engines import Clock, engine
    from .modules import Module

    if rego:
        from .opa import preload

        preload()

    def start() -> Load:
        running = engine()
        return loader(running, Clock(running))

    def loader(running: wasmtime.Engine, clock: Clock) -> Load:
        def load(compiled: bytes) -> Run:
            try:
                return Module(running, clock, compiled).run
            except wasmtime.WasmtimeError as error:
                raise GuestFailed(str(error).strip()[:2000], "code") from None

        return load

    return start


def _javascript() -> Callable[[], Load]:
    """Import what JavaScript needs."""
    from .javascript import run

    return lambda: lambda code: lambda _, call: run(code, call)


def main(engine: str) -> None:
    """Import the engine, give everything else up, and serve."""
    hears, says = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    start = _javascript() if engine == "javascript" else _wasm(rego=engine == "opa")
    confine()
    load = start()
    seal()
    Worker(hears, says, load).serve()


if __name__ == "__main__":
    main(sys.argv[1])
