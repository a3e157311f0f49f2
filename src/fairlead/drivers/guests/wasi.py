"""WASI (preview 1) without a world: arguments, standard input, output and error, a clock, random numbers; no files, no network.

Written here rather than taken from the engine, so that nothing of the machine is within reach, and what a guest writes is bounded.
Source: github.com/WebAssembly/WASI, legacy/preview1.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from typing import Any

import wasmtime

from .calls import Call, bounded
from .memories import Memory

MODULE = "wasi_snapshot_preview1"
_OK, _BAD_DESCRIPTOR, _INVALID, _NO_SYSTEM_CALL, _NO_SEEK = 0, 8, 28, 52, 70
_MOST_RANDOM = 1 << 16
_CHARACTER_DEVICE = 2


class Exited(Exception):
    """The guest called proc_exit."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the guest exited with code {code}")
        self.code = code


class Wasi:
    """The functions of WASI for one call at a time (`begin`)."""

    def __init__(self) -> None:
        self._arguments: list[bytes] = []
        self._input = b""
        self._place = 0
        self.output = bytearray()
        self._errors = bytearray()
        self._call: Call | None = None

    def begin(self, call: Call, arguments: list[str], given: bytes = b"") -> None:
        """Be ready for a guest: its arguments, and what it finds on standard input."""
        self._arguments = [argument.encode() + b"\0" for argument in arguments]
        self._input, self._place = given, 0
        self.output, self._errors, self._call = bytearray(), bytearray(), call

    def end(self) -> None:
        """Log what is left on standard error."""
        if self._errors and self._call is not None:
            self._call.say(self._errors.decode(errors="replace"))
            self._errors.clear()

    def define(self, linker: wasmtime.Linker, module: wasmtime.Module) -> None:
        """Define what the module imports of WASI; what is not here answers that there is no such call."""
        for wanted in module.imports:
            if wanted.module == MODULE and isinstance(wanted.type, wasmtime.FuncType):
                name = str(wanted.name)
                found = getattr(self, f"_{name}", None)
                linker.define_func(
                    MODULE, name, wanted.type, found or _missing(wanted.type), access_caller=found is not None
                )

    def _args_sizes_get(self, caller: Any, count: int, size: int) -> int:
        memory = Memory(caller)
        memory.write_number(count, len(self._arguments))
        memory.write_number(size, sum(map(len, self._arguments)))
        return _OK

    def _args_get(self, caller: Any, pointers: int, buffer: int) -> int:
        memory = Memory(caller)
        for place, argument in enumerate(self._arguments):
            memory.write_number(pointers + 4 * place, buffer)
            memory.write(buffer, argument)
            buffer += len(argument)
        return _OK

    def _environ_sizes_get(self, caller: Any, count: int, size: int) -> int:
        memory = Memory(caller)
        memory.write_number(count, 0)
        memory.write_number(size, 0)
        return _OK

    def _environ_get(self, _caller: Any, _pointers: int, _buffer: int) -> int:
        return _OK

    def _fd_read(self, caller: Any, descriptor: int, vectors: int, count: int, done: int) -> int:
        if descriptor != 0:
            return _BAD_DESCRIPTOR
        memory = Memory(caller)
        begun = self._place
        for buffer, size in memory.vectors(vectors, count):
            piece = self._input[self._place : self._place + size]
            memory.write(buffer, piece)
            self._place += len(piece)
        memory.write_number(done, self._place - begun)
        return _OK

    def _fd_write(self, caller: Any, descriptor: int, vectors: int, count: int, done: int) -> int:
        if descriptor not in {1, 2}:
            return _BAD_DESCRIPTOR
        memory = Memory(caller)
        into = self.output if descriptor == 1 else self._errors
        written = 0
        for buffer, size in memory.vectors(vectors, count):
            bounded(len(into) + size)
            into += memory.read(buffer, size)
            written += size
        if descriptor == 2 and self._call is not None:
            *lines, rest = bytes(self._errors).split(b"\n")
            for line in lines:
                self._call.say(line.decode(errors="replace"))
            self._errors[:] = rest
        memory.write_number(done, written)
        return _OK

    def _fd_close(self, _caller: Any, descriptor: int) -> int:
        return _OK if 0 <= descriptor <= 2 else _BAD_DESCRIPTOR

    def _fd_seek(self, _caller: Any, descriptor: int, _offset: int, _whence: int, _place: int) -> int:
        return _NO_SEEK if 0 <= descriptor <= 2 else _BAD_DESCRIPTOR

    def _fd_fdstat_get(self, caller: Any, descriptor: int, into: int) -> int:
        if not 0 <= descriptor <= 2:
            return _BAD_DESCRIPTOR
        rights = 1 << 1 if descriptor == 0 else 1 << 6
        Memory(caller).write(into, struct.pack("<BxHxxxxQQ", _CHARACTER_DEVICE, 0, rights, 0))
        return _OK

    def _fd_fdstat_set_flags(self, _caller: Any, descriptor: int, _flags: int) -> int:
        return _OK if 0 <= descriptor <= 2 else _BAD_DESCRIPTOR

    def _fd_prestat_get(self, _caller: Any, _descriptor: int, _into: int) -> int:
        return _BAD_DESCRIPTOR

    def _fd_prestat_dir_name(self, _caller: Any, _descriptor: int, _into: int, _size: int) -> int:
        return _BAD_DESCRIPTOR

    def _clock_time_get(self, caller: Any, clock: int, _precision: int, into: int) -> int:
        if clock not in {0, 1}:
            return _INVALID
        now = time.time_ns() if clock == 0 else time.monotonic_ns()
        Memory(caller).write(into, now.to_bytes(8, "little"))
        return _OK

    def _clock_res_get(self, caller: Any, _clock: int, into: int) -> int:
        Memory(caller).write(into, (1).to_bytes(8, "little"))
        return _OK

    def _random_get(self, caller: Any, buffer: int, size: int) -> int:
        if not 0 <= size <= _MOST_RANDOM:
            return _INVALID
        Memory(caller).write(buffer, os.urandom(size))
        return _OK

    def _sched_yield(self, _caller: Any) -> int:
        return _OK

    def _poll_oneoff(self, caller: Any, _events: int, _results: int, _count: int, done: int) -> int:
        Memory(caller).write_number(done, 0)
        return _OK

    def _proc_exit(self, _caller: Any, code: int) -> None:
        raise Exited(code)


def _missing(kind: wasmtime.FuncType) -> Callable[..., Any]:
    """Return a function that answers that there is no such call."""
    results = [_NO_SYSTEM_CALL] if kind.results else []
    return lambda *_: results[0] if results else None
