"""Modules that OPA compiled, evaluated inside a worker with fairlead's own built-ins.

Source: OPA's documentation of WebAssembly, ABI 1.2.
"""

from __future__ import annotations

import json
from typing import Any

import wasmtime

from fairlead.tongues.rego.builtins import BUILTINS, BuiltinError, Context
from fairlead.tongues.rego.values import UNDEFINED, json_text, to_json

from .calls import Call, bounded
from .memories import Memory
from .plans import GuestFailed

_I32 = wasmtime.ValType.i32()
_PAGE = 65_536


def preload() -> None:
    """Load all built-ins, which is no longer possible once the worker has given up its files."""
    len(BUILTINS)


class Opa:
    """One evaluation of a module that OPA compiled. Its memory is ours; its built-ins are fairlead's own."""

    def __init__(
        self, running: wasmtime.Engine, module: wasmtime.Module, store: wasmtime.Store, call: Call
    ) -> None:
        self._store = store
        self._call = call
        linker = wasmtime.Linker(running)
        pages = next(
            (one.type.limits.min for one in module.imports if isinstance(one.type, wasmtime.MemoryType)), 2
        )
        kind = wasmtime.MemoryType(wasmtime.Limits(max(pages, 2), max(call.memory // _PAGE, pages, 2)))
        inner = wasmtime.Memory(store, kind)
        self._memory = Memory(store, inner)
        linker.define(store, "env", "memory", inner)
        one = wasmtime.FuncType([_I32], [])
        linker.define_func("env", "opa_abort", one, self._abort)
        linker.define_func("env", "opa_println", one, self._print)
        for count in range(5):
            shape = wasmtime.FuncType([_I32] * (2 + count), [_I32])
            linker.define_func("env", f"opa_builtin{count}", shape, self._built_in)
        self._exports = linker.instantiate(store, module).exports(store)
        self._names: dict[int, str] = {}
        self._context = Context()

    def _get(self, name: str, *given: int) -> int:
        found = self._exports.get(name)
        if not isinstance(found, wasmtime.Func):
            raise GuestFailed(f"the module exports no {name}: OPA did not compile it", "code")
        return int(found(self._store, *given))

    def _abort(self, place: int) -> None:
        raise GuestFailed(self._memory.until_nul(place).decode(errors="replace"), "guest")

    def _print(self, place: int) -> None:
        self._call.say(self._memory.until_nul(place).decode(errors="replace"))

    def _put(self, data: bytes) -> int:
        """Give the module a value as JSON; return where it is."""
        place = self._get("opa_malloc", len(data))
        self._memory.write(place, data)
        found = self._get("opa_json_parse", place, len(data))
        if not found:
            raise GuestFailed("the module cannot read the value that it is given", "guest")
        return found

    def _take(self, place: int) -> Any:
        """Return a value of the module."""
        return json.loads(self._memory.until_nul(self._get("opa_json_dump", place)))

    def _built_in(self, number: int, _context: int, *places: int) -> int:
        name = self._names.get(number, "")
        if name not in BUILTINS:
            raise GuestFailed(f"the built-in {name or number} is not known", "code")
        try:
            found = BUILTINS[name].call(self._context, *(self._take(place) for place in places))
        except BuiltinError as error:
            self._call.say(f"{name}: {error}")
            return 0
        return 0 if found is UNDEFINED else self._put(json_text(to_json(found)).encode("utf-8", "replace"))

    def run(self) -> bytes:
        """Evaluate, and return the result set as JSON."""
        try:
            given = json.loads(self._call.payload)
            asked, data = given.get("input"), given.get("data") or {}
        except (ValueError, AttributeError, RecursionError) as error:
            raise GuestFailed(f"the payload is no object: {error}", "code") from None
        self._names = {number: name for name, number in self._take(self._get("builtins")).items()}
        entrypoints = self._take(self._get("entrypoints"))
        wanted = self._call.operation
        if wanted and wanted not in entrypoints:
            raise GuestFailed(f"the module has no entrypoint {wanted}", "code")
        documents = self._put(json.dumps(data).encode())
        asked_text = json.dumps(asked).encode()
        place = self._get("opa_malloc", len(asked_text))
        self._memory.write(place, asked_text)
        heap = self._get("opa_heap_ptr_get")
        entry = entrypoints.get(wanted, 0)
        found = self._get("opa_eval", 0, entry, documents, place, len(asked_text), heap, 0)
        output = self._memory.until_nul(found)
        bounded(len(output))
        return output
