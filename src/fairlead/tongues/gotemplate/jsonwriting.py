"""JSON byte for byte as Go's encoding/json writes it: sorted keys, no spaces, `<`, `>` and `&` escaped, and floats in its own form.

Must never write a value that contains itself. Source: go.dev/pkg/encoding/json.
"""

from __future__ import annotations

import base64
import json
import math
import re
from typing import Any, Final, TypeAlias

from fairlead.tongues.gotemplate.kinds import GoError, NilList, NilMap, Struct, sorted_keys
from fairlead.tongues.gotemplate.printing import float_text, quoted
from fairlead.tongues.gotemplate.states import State

Plain: TypeAlias = Any
"""dict, list, str, int, float, bool or None, and nothing else."""

DEEPEST: Final = 200
"""How deep a value may be nested that is written."""
_BINARY_TEXT = re.compile("[\udc80-\udcff]")


def plain(value: Any, state: State | None = None, depth: int = 0) -> Plain:
    """Return what JSON keeps of a value. A float that is whole becomes an int, as its text would be read. Raises GoError."""
    kind = type(value)
    if kind is str:
        return value if value.isascii() else _BINARY_TEXT.sub("\ufffd", value)
    if kind is bool or value is None or kind is int:
        return value
    if kind is float:
        if math.isnan(value) or math.isinf(value):
            raise GoError(f"json: unsupported value: {float_text(value)}")
        return int(value) if value.is_integer() and abs(value) < 1e18 else value
    if isinstance(value, int):
        return int(value)
    if depth > DEEPEST:
        raise GoError(f"a value is nested more than {DEEPEST} levels deep, or contains itself")
    if isinstance(value, dict):
        if kind is NilMap:
            return None
        if state is not None:
            state.spend(1 + len(value) // 4)
            state.charge(4 * len(value))
        return {plain(key): plain(item, state, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        if kind is NilList:
            return None
        if state is not None:
            state.spend(1 + len(value) // 4)
            state.charge(4 * len(value))
        return [plain(item, state, depth + 1) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Struct):
        if value.tags.get("") == "text" and value.text is not None:
            return value.text()
        return {
            value.tags.get(name, name): plain(item, state, depth + 1)
            for name, item in value.fields.items()
            if item or name not in value.omitted
        }
    raise GoError("json: unsupported type: func()")


_ESCAPES: Final = {
    '"': '\\"',
    "\\": "\\\\",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\b": "\\b",
    "\f": "\\f",
}
_RAW = re.compile('["\\\\\x00-\x1f\u2028\u2029\udc80-\udcff]')
_SAFE = re.compile('["\\\\\x00-\x1f<>&\u2028\u2029\udc80-\udcff]')


def _escape(match: re.Match[str]) -> str:
    letter = match.group()
    if letter in _ESCAPES:
        return _ESCAPES[letter]
    return "\\ufffd" if letter >= "\udc80" else f"\\u{ord(letter):04x}"


def json_float(value: float) -> str:
    """Return a number as encoding/json writes it."""
    if math.isnan(value) or math.isinf(value):
        raise GoError(f"json: unsupported value: {float_text(value)}")
    size = abs(value)
    if size != 0 and (size < 1e-6 or size >= 1e21):
        return re.sub(r"e-0(\d)\Z", r"e-\1", float_text(value, "e"))
    return float_text(value, "f")


class _Writing:
    def __init__(self, escape: bool, indent: str, state: State | None) -> None:
        self.parts: list[str] = []
        self._special = _SAFE if escape else _RAW
        self._indent, self._state = indent, state

    def text(self, value: str) -> str:
        return f'"{self._special.sub(_escape, value)}"'

    def value(self, value: Any, depth: int) -> None:
        add = self.parts.append
        kind = type(value)
        if kind is str:
            add(self.text(value))
        elif value is None or kind is NilMap or kind is NilList:
            add("null")
        elif kind is bool:
            add("true" if value else "false")
        elif isinstance(value, int):
            add(str(int(value)))
        elif kind is float:
            add(json_float(value))
        elif depth > DEEPEST:
            raise GoError(f"a value is nested more than {DEEPEST} levels deep, or contains itself")
        elif isinstance(value, dict):
            self.members(
                [
                    (f"{self.text(key)}:{' ' if self._indent else ''}", value[key])
                    for key in sorted_keys(value)
                ],
                "{}",
                depth,
            )
        elif isinstance(value, list):
            self.members([("", item) for item in value], "[]", depth)
        else:
            made = plain(value)
            if type(made) is dict:
                self.members([(self.key(key), item) for key, item in made.items()], "{}", depth)
            else:
                self.value(made, depth + 1)

    def key(self, key: str) -> str:
        return f"{self.text(key)}:{' ' if self._indent else ''}"

    def members(self, items: list[tuple[str, Any]], around: str, depth: int) -> None:
        if not items:
            self.parts.append(around)
            return
        if self._state is not None:
            self._state.spend(1 + len(items) // 4)
            self._state.charge(4 * len(items))
        line = f"\n{self._indent * (depth + 1)}" if self._indent else ""
        before = around[0]
        for head, item in items:
            self.parts.append(f"{before}{line}{head}")
            self.value(item, depth + 1)
            before = ","
        self.parts.append((f"\n{self._indent * depth}" if self._indent else "") + around[1])


def dump(value: Any, state: State | None = None, *, escape: bool = True, indent: str = "") -> str:
    """Return the value as JSON. Raises GoError for what JSON cannot hold."""
    writing = _Writing(escape, indent, state)
    writing.value(value, 0)
    text = "".join(writing.parts)
    if state is not None:
        state.charge(len(text))
    return text


def from_json(text: str) -> Any:
    """Return the value of a JSON text, with every number a float. Raises GoError with what Go says, near enough."""
    try:
        return json.loads(text, parse_int=float, parse_constant=_refused, strict=True)
    except RecursionError:
        raise GoError("exceeded max depth") from None
    except ValueError as fault:
        raise GoError(_said(text, fault)) from None


def _refused(word: str) -> Any:
    raise ValueError(word)


_LITERALS: Final = {"n": "null", "t": "true", "f": "false"}


def _said(text: str, fault: ValueError) -> str:
    """What Go says of a text that is no JSON: the first letter that cannot stand where it stands."""
    at, said = getattr(fault, "pos", 0), str(fault)
    word = _LITERALS.get(text[at : at + 1], "")
    if word and "Expecting value" in said:
        for step, wanted in enumerate(word):
            found = text[at + step : at + step + 1]
            if not found:
                return "unexpected end of JSON input"
            if found != wanted:
                return f"invalid character {_rune(found)} in literal {word} (expecting '{wanted}')"
    if at >= len(text.rstrip()) or "Unterminated string" in said:
        return "unexpected end of JSON input"
    where = "looking for beginning of value"
    if "Extra data" in said:
        where = "after top-level value"
    elif "property name" in said:
        where = "looking for beginning of object key string"
    elif "':'" in said:
        where = "after object key"
    elif "','" in said:
        where = "after array element" if _in_list(text[:at]) else "after object key:value pair"
    elif "control character" in said:
        where = "in string literal"
    elif "escape" in said:
        where = "in string escape code"
        at += 1
    return f"invalid character {_rune(text[at : at + 1])} {where}"


def _in_list(text: str) -> bool:
    """Whether the innermost bracket that is open at the end of the text is a list's."""
    opened = [mark for mark in re.sub(r'"(?:[^"\\]|\\.)*"', "", text, flags=re.DOTALL) if mark in "[]{}"]
    depth = 0
    for mark in reversed(opened):
        depth += 1 if mark in "]}" else -1
        if depth < 0:
            return mark == "["
    return False


def _rune(letter: str) -> str:
    return "'\\''" if letter == "'" else "'" + quoted(letter)[1:-1].replace('\\"', '"') + "'"
