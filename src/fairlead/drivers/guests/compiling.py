"""Compiles one WebAssembly module: `python -m fairlead.drivers.guests.compiling`, the module on standard input, code on standard output.

A process of its own, so that a module that takes forever to compile, or that breaks the compiler, takes nothing with it. It
never runs a guest, so that what it writes can be trusted by those that do.
"""

from __future__ import annotations

import sys


def main() -> int:
    """Compile what comes in; say on standard error why, when it cannot be."""
    code = sys.stdin.buffer.read()
    import wasmtime

    from .confining import confine
    from .engines import engine

    confine()
    try:
        compiled = wasmtime.Module(engine(), code)
    except wasmtime.WasmtimeError as error:
        print(str(error).strip()[:2000], file=sys.stderr)
        return 1
    sys.stdout.buffer.write(bytes(compiled.serialize()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
