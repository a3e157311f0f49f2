"""WebAssembly guests inside a worker: waPC calls and WASI commands (for modules that OPA compiled see `opa`).

Each call has an instance of its own, so that nothing stays from one to the next. Source: wapc.io's specification.
"""

from __future__ import annotations

from typing import Any

import wasmtime

from .calls import Call
from .engines import Clock
from .memories import Memory
from .plans import GuestFailed
from .wasi import Exited, Wasi

_WAPC = "wapc"
_STARTS = ("_initialize", "_start", "wapc_init")
_I32 = wasmtime.ValType.i32()


class Wapc:
    """waPC's functions for the guest, for one call at a time."""

    def __init__(self) -> None:
        self._call: Call | None = None
        self.response = b""
        self.error = ""
        self._answer = b""
        self._refusal = b""

    def begin(self, call: Call) -> None:
        """Be ready for a guest."""
        self._call = call
        self.response, self.error, self._answer, self._refusal = b"", "", b"", b""

    def define(self, linker: wasmtime.Linker) -> None:
        """Define the functions that a waPC guest imports."""
        shapes: dict[str, tuple[int, int]] = {
            "__guest_request": (2, 0),
            "__guest_response": (2, 0),
            "__guest_error": (2, 0),
            "__host_call": (8, 1),
            "__host_response_len": (0, 1),
            "__host_response": (1, 0),
            "__host_error_len": (0, 1),
            "__host_error": (1, 0),
            "__console_log": (2, 0),
        }
        for name, (given, back) in shapes.items():
            kind = wasmtime.FuncType([_I32] * given, [_I32] * back)
            linker.define_func(_WAPC, name, kind, getattr(self, name.removeprefix("_")), access_caller=True)

    @property
    def call(self) -> Call:
        """The call that is going on."""
        assert self._call is not None
        return self._call

    def _guest_request(self, caller: Any, operation: int, payload: int) -> None:
        memory = Memory(caller)
        memory.write(operation, self.call.operation.encode())
        memory.write(payload, self.call.payload)

    def _guest_response(self, caller: Any, place: int, size: int) -> None:
        self.response = Memory(caller).read(place, size)

    def _guest_error(self, caller: Any, place: int, size: int) -> None:
        self.error = Memory(caller).text(place, size)

    def _host_call(self, caller: Any, *places: int) -> int:
        memory = Memory(caller)
        binding, namespace, operation = (memory.text(places[at], places[at + 1]) for at in (0, 2, 4))
        payload = memory.read(places[6], places[7])
        if (binding, namespace) == ("kubewarden", "tracing"):
            self.call.say(payload.decode(errors="replace"))
            self._answer = b""
            return 1
        fine, answer = self.call.ask(binding, namespace, operation, payload)
        self._answer, self._refusal = (answer, b"") if fine else (b"", answer)
        return int(fine)

    def _host_response_len(self, _caller: Any) -> int:
        return len(self._answer)

    def _host_response(self, caller: Any, place: int) -> None:
        Memory(caller).write(place, self._answer)

    def _host_error_len(self, _caller: Any) -> int:
        return len(self._refusal)

    def _host_error(self, caller: Any, place: int) -> None:
        Memory(caller).write(place, self._refusal)

    def _console_log(self, caller: Any, place: int, size: int) -> None:
        self.call.say(Memory(caller).text(place, size))


class Module:
    """A compiled module, ready to be called."""

    def __init__(self, running: wasmtime.Engine, clock: Clock, compiled: bytes) -> None:
        self._engine = running
        self._clock = clock
        self._module = wasmtime.Module.deserialize(running, compiled)
        self._linker = wasmtime.Linker(running)
        self._linker.allow_shadowing = True
        self._wapc, self._wasi = Wapc(), Wasi()
        self._wapc.define(self._linker)
        self._wasi.define(self._linker, self._module)

    def run(self, engine: str, call: Call) -> bytes:
        """Run one call and return what the guest answers. Raises GuestFailed."""
        store = wasmtime.Store(self._engine)
        store.set_limits(memory_size=call.memory, instances=1, tables=16, memories=1)
        run = {"wapc": self._run_wapc, "wasi": self._run_wasi, "opa": self._run_opa}[engine]
        try:
            with self._clock.running(store, call.seconds):
                return run(store, call)
        except GuestFailed as error:
            raise call.failed(str(error), error.reason) from None
        except wasmtime.Trap as error:
            raise call.failed(*_trapped(error, call)) from None
        except wasmtime.WasmtimeError as error:
            text = str(error).strip()
            reason = "memory" if "memory" in text and "limit" in text else "code"
            raise call.failed(text[:2000], reason) from None
        finally:
            self._wasi.end()

    def _instance(self, store: wasmtime.Store) -> wasmtime.Instance:
        return self._linker.instantiate(store, self._module)

    def _start(self, store: wasmtime.Store, instance: wasmtime.Instance) -> None:
        exports = instance.exports(store)
        for name in _STARTS:
            start = exports.get(name)
            if isinstance(start, wasmtime.Func):
                try:
                    start(store)
                except Exited as ended:
                    if ended.code:
                        raise GuestFailed(str(ended), "guest") from None

    def _run_wapc(self, store: wasmtime.Store, call: Call) -> bytes:
        self._wapc.begin(call)
        self._wasi.begin(call, ["policy"])
        instance = self._instance(store)
        entry = instance.exports(store).get("__guest_call")
        if not isinstance(entry, wasmtime.Func):
            raise GuestFailed("the module exports no __guest_call: it is no waPC guest", "code")
        self._start(store, instance)
        fine = entry(store, len(call.operation.encode()), len(call.payload))
        if not fine:
            raise GuestFailed(self._wapc.error or "the guest failed and does not say why", "guest")
        return self._wapc.response

    def _run_wasi(self, store: wasmtime.Store, call: Call) -> bytes:
        self._wasi.begin(call, ["policy.wasm", *call.operation.split()], call.payload)
        instance = self._instance(store)
        entry = instance.exports(store).get("_start")
        if not isinstance(entry, wasmtime.Func):
            raise GuestFailed("the module exports no _start: it is no WASI command", "code")
        try:
            entry(store)
        except Exited as ended:
            if ended.code:
                self._wasi.end()
                said = f": {call.log[-1]}" if call.log else ""
                raise GuestFailed(f"{ended}{said}", "guest") from None
        return bytes(self._wasi.output)

    def _run_opa(self, store: wasmtime.Store, call: Call) -> bytes:
        from .opa import Opa  # only a worker for these has loaded Rego's built-ins

        return Opa(self._engine, self._module, store, call).run()


def _trapped(error: wasmtime.Trap, call: Call) -> tuple[str, str]:
    """Return what a trap is called, and whether it was for want of time."""
    if error.trap_code is wasmtime.TrapCode.INTERRUPT:
        return f"the guest did not end within {call.seconds:g} s", "time"
    return str(error).strip()[:2000], "trap"
