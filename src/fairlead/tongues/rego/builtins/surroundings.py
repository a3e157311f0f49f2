"""What an evaluation says and asks of its surroundings: print, trace, the runtime, a module's syntax; and what it is refused.

Nothing here reaches a network: http.send fails, unless the caller puts another function in its place.
"""

from __future__ import annotations

from typing import Any

from .kinds import Builtin, BuiltinError, Context, array, bounded, table, text
from .requests import checked
from .strings import said

_MOST_LINES = 10_000


def print_values(context: Context, operands: Any) -> bool:
    """Say the operands, one space between them; an undefined one comes as an empty set."""
    line = " ".join(said(operand) for operand in array(operands, 1))
    return _say(context, line)


def trace(context: Context, value: Any) -> bool:
    """Say a text."""
    return _say(context, text(value, 1))


def _say(context: Context, line: str) -> bool:
    bounded(len(context.printed) + 1, _MOST_LINES, "lines printed")
    context.printed.append(line)
    return True


def parse_module(context: Context, file: Any, source: Any) -> Any:
    """Return the syntax of a module as an object."""
    name, module = text(file, 1), text(source, 2)
    if context.parse_module is None:
        raise BuiltinError("modules cannot be parsed here")
    return context.parse_module(name, module)


def runtime(context: Context) -> dict[str, Any]:
    """Return what the caller says of the runtime; by default nothing, and no environment."""
    return context.runtime


def send(_: Context, request: Any) -> Any:
    """Refuse to send a request."""
    where = checked(request)["url"]
    target = f" to {where}" if type(where) is str else ""
    raise BuiltinError(f"requests{target} are not sent: policies have no network here")


BUILTINS = table(
    Builtin("internal.print", 1, print_values, void=True),
    Builtin("internal.test_case", 1, lambda _, __: True, void=True),
    Builtin("trace", 1, trace),
    Builtin("opa.runtime", 0, runtime, nondeterministic=True),
    Builtin("rego.parse_module", 2, parse_module),
    Builtin("http.send", 1, send, nondeterministic=True),
)
