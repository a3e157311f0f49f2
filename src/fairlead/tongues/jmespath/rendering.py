"""JSON as Go writes it, and what Go calls the types: texts that users of Kyverno compare.

Never reads anything but its argument.
"""

from __future__ import annotations

import json
import math
from typing import Any

from fairlead.tongues.jmespath.kinds import Failed

_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_NEEDS_ESCAPE = str.maketrans(_ESCAPES)
_MOST_PARTS = 1_000_000
_LONGEST = 1 << 24


def to_json(value: Any) -> str:
    """Return the compact JSON text with sorted keys and without `<`, `>` and `&`, as Go's encoding/json writes it.

    Raises Failed where the value is too large to be written.
    """
    if value.__class__ is int:  # an index of a loop, as a rule
        return str(value)
    _bound(value)
    try:
        text = json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    except (TypeError, ValueError):
        return str(value)
    return text.translate(_NEEDS_ESCAPE)


def _bound(value: Any) -> None:
    """Refuse a value of too many parts: one that holds the same part again and again is small, but its text is not."""
    if not isinstance(value, list | dict):
        return
    parts = size = 0
    waiting = [value]
    while waiting:
        one = waiting.pop()
        for part in one.values() if isinstance(one, dict) else one:
            parts += 1
            if isinstance(part, list | dict):
                waiting.append(part)
            elif isinstance(part, str):
                size += len(part)
            if parts > _MOST_PARTS or size > _LONGEST:
                raise Failed("the value is too large to be written")


def _plain(value: Any) -> Any:
    """Return the value with whole floating-point numbers as integers, which is how Go writes them."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 1e21 else value
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def sprint(value: Any) -> str:
    """Return the text that Go's fmt.Sprint gives for a JSON value: `true`, `<nil>`, `1.5`, `map[a:1]`, `[a b]`."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | dict):
        _bound(value)
        return _sprint(value)
    return _sprint(value)


def _sprint(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{_sprint(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(_sprint(item) for item in value)}]"
    return str(value)


def number(value: float) -> str:
    """Return a number as Go's %v prints a float64: the shortest digits, an exponent below 1e-4 and from 1e21 on."""
    if isinstance(value, int):
        return str(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return repr(value)


def kind_of(value: Any) -> str:
    """Return the language's name for the value's type: null, boolean, number, string, array, object, or expref."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list):
        return "array"
    if isinstance(value, dict):
        return "object"
    return "expref"
