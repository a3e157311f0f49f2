"""Rego, v0 and v1: modules -> a compiled program; query(program, input, data). Knows nothing of who asks.

`parse` reads a module, `compile` makes a Program of modules, `Program.query` asks for a document, `Program.prepare` for a
query's bindings. Values are as `values` says; `to_json` makes plain JSON of them. Errors are `errors`'.
"""

from __future__ import annotations

from .errors import BadModule, BadModules, Failed, TooCostly
from .parsing import parse, parse_term
from .programs import Program, compile, read_value  # noqa: A004  as Rego's users call it
from .values import UNDEFINED, Set, to_json

__all__ = [
    "UNDEFINED",
    "BadModule",
    "BadModules",
    "Failed",
    "Program",
    "Set",
    "TooCostly",
    "compile",
    "parse",
    "parse_term",
    "read_value",
    "to_json",
]
