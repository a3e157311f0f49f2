"""How WebAssembly is compiled and run here: one configuration, so that what one process compiles another can load."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import wasmtime

TICK = 0.01
"""Seconds between the ticks by which a guest's time is counted."""
_STACK = 512 << 10


def engine() -> wasmtime.Engine:
    """Return an engine whose guests can be interrupted."""
    config = wasmtime.Config()
    config.epoch_interruption = True
    config.parallel_compilation = False
    config.max_wasm_stack = _STACK
    config.wasm_threads = False
    config.memory_init_cow = False  # it would want a file in memory, and a worker may write none
    config.cranelift_nan_canonicalization = True
    return wasmtime.Engine(config)


class Clock:
    """A thread that moves the engine's epoch on while a guest runs."""

    def __init__(self, running: wasmtime.Engine) -> None:
        self._engine = running
        self._busy = threading.Event()
        threading.Thread(target=self._tick, daemon=True).start()

    def _tick(self) -> None:
        pause = threading.Event()
        while True:
            self._busy.wait()
            pause.wait(TICK)
            self._engine.increment_epoch()

    @contextmanager
    def running(self, store: wasmtime.Store, seconds: float) -> Iterator[None]:
        """Let the guest of the store run for so many seconds."""
        store.set_epoch_deadline(max(int(seconds / TICK), 1) + 1)
        self._busy.set()
        try:
            yield
        finally:
            self._busy.clear()
