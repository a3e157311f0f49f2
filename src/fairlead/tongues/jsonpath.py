r"""The JSONPath dialect of kubectl and of custom resources' printer columns: `{.items[*].metadata.name}{"\n"}`.

A template is compiled once and run over JSON values, as often as wanted. Supported: fields (also `['quoted']` and with
escaped dots), `[n]`, `[-1]`, slices with steps, unions, wildcards, recursive descent, filters with one comparison or
none, `range ... end`, quoted text. What Kubernetes does not have (functions, `&&`) is an error here as well.
Source: k8s.io/client-go/util/jsonpath.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias

_Step: TypeAlias = Callable[[list[Any], bool], list[Any]]
"""Values in, values out; the flag says whether missing keys are allowed."""

_Part: TypeAlias = _Step | Literal["range", "end"]

_DICT_KEY = re.compile(r"'([^']*)'", re.DOTALL)
_SLICE = re.compile(r"(-?\d*)(:-?\d*)?(:-?\d*)?", re.ASCII)
_FILTER = re.compile(r"([^!<>=]+)([!<>=]+)(.+)", re.DOTALL)
_NUMBER = re.compile(r"[+-]?[\d.]*", re.ASCII)
_STOPS = frozenset(" \t\r\n.,[]$@{}")
_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    ">": operator.gt,
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled template."""

    parts: tuple[tuple[_Part, ...], ...]

    def find(self, data: Any, *, allow_missing: bool = True) -> list[list[Any]]:
        """Return the values that each part of the template finds.

        Raises ValueError for an index out of bounds, a filter that compares what cannot be compared, and, unless
        missing keys are allowed, a key that is not there.
        """
        results: list[list[Any]] = []
        _run(self.parts, 0, data, allow_missing, results)
        return results

    def render(self, data: Any, *, allow_missing: bool = True) -> str:
        """Return what kubectl prints: values separated by spaces, objects and lists as JSON. Raises as `find` does."""
        return "".join(
            " ".join(text_of(value) for value in values)
            for values in self.find(data, allow_missing=allow_missing)
        )


def parse(template: str) -> Template:
    """Compile a template such as `{.spec.replicas}`. Raises ValueError with Kubernetes' text."""
    return _parse(template)


def column(path: str) -> Template:
    """Compile a printer column's path, which has no braces: `.spec.replicas`. Raises ValueError."""
    return _parse(f"{{{path}}}")


def text_of(value: Any) -> str:
    """Return a value as kubectl prints it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, dict | list):
        text = json.dumps(_whole(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        for character in "<>&":
            text = text.replace(character, f"\\u{ord(character):04x}")
        return text
    return "<nil>" if value is None else str(value)


def _whole(value: Any) -> Any:
    """Return the value with its whole floats as integers, as Go writes them in JSON."""
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e21 else value


def _float_text(value: float) -> str:
    """Return a float as Go's %v prints it: the fewest digits, an exponent from 1e+06 on and below 1e-04."""
    if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124 -- NaN
        return {"inf": "+Inf", "-inf": "-Inf"}.get(str(value), "NaN")
    digits, _, exponent = f"{value:.17e}".partition("e")
    for precision in range(17):
        digits, _, exponent = f"{value:.{precision}e}".partition("e")
        if float(f"{digits}e{exponent}") == value:
            break
    if not -4 <= int(exponent) < 6:
        return f"{digits}e{exponent}"
    text = repr(value)
    return text.removesuffix(".0")


def _run(
    parts: Sequence[tuple[_Part, ...]],
    start: int,
    data: Any,
    allow_missing: bool,
    out: list[list[Any]],
) -> int:
    """Run the parts from `start` up to the end of the range it stands in; return the place after it."""
    at = start
    while at < len(parts):
        values, marker = [data], ""
        for step in parts[at]:
            if isinstance(step, str):
                marker = step
                if step == "end":
                    values = []
            else:
                values = step(values, allow_missing)
        at += 1
        if marker == "end":
            return at
        if marker == "range":
            after = at
            for value in values:
                after = _run(parts, at, value, allow_missing, out)
            at = after if values else _skip(parts, at)
            continue
        out.append(values)
    return at


def _skip(parts: Sequence[tuple[_Part, ...]], start: int) -> int:
    depth = 1
    for at in range(start, len(parts)):
        depth += ("range" in parts[at]) - ("end" in parts[at])
        if not depth:
            return at + 1
    return len(parts)


# Reading.


@lru_cache(maxsize=512)
def _parse(template: str) -> Template:
    reader = _Reader(template)
    parts = tuple(reader.template())
    depth = 0
    for part in parts:
        depth += ("range" in part) - ("end" in part)
        if depth < 0:
            raise ValueError("not in range, nothing to end")
    return Template(parts)


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def template(self) -> Iterator[tuple[_Part, ...]]:
        while self._at < len(self._text):
            brace = self._text.find("{", self._at)
            if brace < 0:
                yield (_constant(self._text[self._at :]),)
                return
            if brace > self._at:
                yield (_constant(self._text[self._at : brace]),)
            self._at = brace + 1
            yield tuple(self._action())

    def _action(self) -> list[_Part]:
        """Read up to the closing brace."""
        steps: list[_Part] = []
        recursive = False
        while True:
            text, at = self._text, self._at
            if at >= len(text) or text[at] in "\r\n":
                raise ValueError("unclosed action")
            character = text[at]
            was_recursive, recursive = recursive, False
            if character == "}":
                self._at += 1
                return steps
            if character in " @$":
                self._at += 1
                recursive = was_recursive
            elif text.startswith("[?(", at):
                steps.append(self._filter())
            elif text.startswith("..", at):
                if was_recursive:
                    raise ValueError("invalid multiple recursive descent")
                self._at += 2
                steps.append(_descend)
                recursive = True
                if self._at < len(text) and _is_word(text[self._at]):
                    steps.append(self._field())
                    recursive = False
            elif character == "[":
                steps += self._array()
            elif character in "\"'":
                steps.append(_constant(self._quoted(character)))
            elif character == ".":
                self._at += 1
                steps.append(self._field())
            elif character in "+-" or character.isdigit():
                steps.append(self._number())
            elif _is_word(character):
                steps.append(self._word())
            else:
                raise ValueError(f"unrecognized character in action: U+{ord(character):04X} '{character}'")

    def _field(self) -> _Step:
        name, text = "", self._text
        while self._at < len(text) and text[self._at] not in _STOPS:
            if text[self._at] == "\\":
                self._at += 1
            if self._at < len(text):
                name += text[self._at]
            self._at += 1
        return _every if name == "*" else _field(name)

    def _word(self) -> _Part:
        start = self._at
        while self._at < len(self._text) and self._text[self._at] not in _STOPS:
            self._at += 1
        word = self._text[start : self._at]
        if word in ("true", "false"):
            return _constant_each(word == "true")
        if word == "range":
            return "range"
        if word == "end":
            return "end"
        raise ValueError(f"unrecognized identifier {word}")

    def _number(self) -> _Step:
        found = _NUMBER.match(self._text, self._at)
        text = found[0] if found else ""
        self._at += len(text)
        try:
            return _constant_each(float(text) if "." in text else int(text))
        except ValueError:
            raise ValueError(f"cannot parse number {text}") from None

    def _quoted(self, quote: str) -> str:
        start = at = self._at + 1
        while True:
            if at >= len(self._text) or self._text[at] == "\n":
                raise ValueError("unterminated quoted string")
            if self._text[at] == quote and self._text[at - 1] != "\\":
                break
            at += 1
        self._at = at + 1
        return _unquoted(self._text[start:at])

    def _array(self) -> list[_Part]:
        end = self._text.find("]", self._at)
        line = self._text.find("\n", self._at)
        if end < 0 or 0 <= line < end:
            raise ValueError("unterminated array")
        text = self._text[self._at + 1 : end]
        self._at = end + 1
        return _index(text)

    def _filter(self) -> _Step:
        start = at = self._at + 3
        quote, closed = "", False
        while True:
            if at >= len(self._text) or self._text[at] == "\n":
                raise ValueError("unterminated filter")
            character = self._text[at]
            if character in "\"'":
                if not quote:
                    quote = character
                elif character == quote and self._text[at - 1] != "\\":
                    closed = True
            elif character == ")" and bool(quote) == closed:
                break
            at += 1
        if self._text[at + 1 : at + 2] != "]":
            raise ValueError("unclosed array expect ]")
        self._at = at + 2
        return _filter(self._text[start:at])


def _index(text: str) -> list[_Part]:
    """Read what stands between brackets."""
    text = ":" if text == "*" else text
    if "," in text:
        return [_union([_steps(f"[{part.strip(' ')}]") for part in text.split(",")])]
    key = _DICT_KEY.fullmatch(text)
    if key is not None:
        return list(_steps(f".{key[1]}"))
    bounds = _SLICE.fullmatch(text)
    if bounds is None:
        raise ValueError(f"invalid array index {text}")
    try:
        first = int(bounds[1]) if bounds[1] else None
        last = int(bounds[2][1:]) if bounds[2] and bounds[2] != ":" else None
        step = int(bounds[3][1:]) if bounds[3] and bounds[3] != ":" else None
    except ValueError:
        raise ValueError(f"array index {text} is not a number") from None
    return [_slice(first, last, step, single=bounds[2] is None)]


def _filter(text: str) -> _Step:
    found = _FILTER.fullmatch(text)
    if found is None:
        exists = _steps(text)

        def existing(item: Any, allow_missing: bool) -> bool:
            try:
                return bool(_through(exists, [item], allow_missing))
            except ValueError:
                return False

        return _keep(existing)
    left, right = _steps(found[1]), _steps(found[3])
    comparison = _COMPARISONS.get(found[2])
    if comparison is None:
        raise ValueError(f"unrecognized filter operator {found[2]}")

    def matching(item: Any, allow_missing: bool) -> bool:
        values = []
        for side in (left, right):
            found_values = _through(side, [item], allow_missing)
            if len(found_values) > 1:
                raise ValueError("can only compare one element at a time")
            if not found_values:
                return False
            values += found_values
        return _compare(comparison, *values)

    return _keep(matching)


def _compare(comparison: Callable[[Any, Any], Any], left: Any, right: Any) -> bool:
    sorts = []
    for value in (left, right):
        if isinstance(value, bool):
            sorts.append("bool")
        elif isinstance(value, int | float):
            sorts.append("number")
        elif isinstance(value, str):
            sorts.append("string")
        else:
            raise ValueError("invalid type for comparison")  # noqa: TRY004 -- what an object holds
    if sorts[0] != sorts[1]:
        raise ValueError("incompatible types for comparison")
    if sorts[0] == "bool" and comparison not in (operator.eq, operator.ne):
        raise ValueError("invalid type for comparison")
    return bool(comparison(left, right))


def _steps(text: str) -> tuple[_Part, ...]:
    """Read an action that stands inside of another."""
    parts = list(_Reader(f"{{{text}}}").template())
    if len(parts) != 1:
        raise ValueError(f"unexpected text after {text}")
    return parts[0]


# Running.


def _through(steps: Sequence[_Part], values: list[Any], allow_missing: bool) -> list[Any]:
    for step in steps:
        if isinstance(step, str):
            raise ValueError(f"unrecognized identifier {step}")  # noqa: TRY004 -- a client's text
        values = step(values, allow_missing)
    return values


def _constant(text: str) -> _Step:
    return lambda _values, _allow_missing: [text]


def _constant_each(value: float) -> _Step:
    return lambda values, _allow_missing: [value] * len(values)


def _field(name: str) -> _Step:
    def field(values: list[Any], allow_missing: bool) -> list[Any]:
        found = [value[name] for value in values if isinstance(value, dict) and name in value]
        if values and not found and not allow_missing:
            raise ValueError(f"{name} is not found")
        return found

    return field


def _every(values: list[Any], _allow_missing: bool) -> list[Any]:
    found: list[Any] = []
    for value in values:
        found += _children(value)
    return found


def _descend(values: list[Any], allow_missing: bool) -> list[Any]:
    found: list[Any] = []
    for value in values:
        children = _children(value)
        if children:
            found.append(value)
            found += _descend(children, allow_missing)
    return found


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _union(branches: Sequence[Sequence[_Part]]) -> _Step:
    def union(values: list[Any], allow_missing: bool) -> list[Any]:
        return [found for branch in branches for found in _through(branch, values, allow_missing)]

    return union


def _keep(wanted: Callable[[Any, bool], bool]) -> _Step:
    def keep(values: list[Any], allow_missing: bool) -> list[Any]:
        found = []
        for value in values:
            if not isinstance(value, list):
                raise ValueError(f"{text_of(value)} is not array or slice and cannot be filtered")  # noqa: TRY004 -- data
            found += [item for item in value if wanted(item, allow_missing)]
        return found

    return keep


def _slice(first: int | None, last: int | None, step: int | None, *, single: bool) -> _Step:
    if single:
        last = (first or 0) + 1

    def cut(values: list[Any], _allow_missing: bool) -> list[Any]:
        found: list[Any] = []
        for value in values:
            if value is None:
                continue
            if not isinstance(value, list):
                raise ValueError(f"{_go_kind(value)} is not array or slice")  # noqa: TRY004 -- data
            size = len(value)
            low = first or 0
            low = low + size if low < 0 else low
            high = size if last is None else last
            if high < 0 or (high == 0 and single):
                high += size
            if low == high:
                continue
            if not 0 <= low < size:
                raise ValueError(f"array index out of bounds: index {low}, length {size}")
            if not 0 <= high <= size:
                raise ValueError(f"array index out of bounds: index {high - 1}, length {size}")
            if low > high:
                raise ValueError(f"starting index {low} is greater than ending index {high}")
            if step is not None and step <= 0:
                raise ValueError("step must be > 0")
            found += value[low:high:step]
        return found

    return cut


def _go_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    names = {dict: "map[string]interface {}", str: "string", int: "int64", float: "float64"}
    return names.get(type(value), "nil")


def _is_word(character: str) -> bool:
    return character == "_" or character.isalpha() or character.isdigit()


_ESCAPES = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "v": "\v",
    "\\": "\\",
    '"': '"',
    "'": "'",
}
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)", re.DOTALL)


def _unquoted(text: str) -> str:
    def replaced(found: re.Match[str]) -> str:
        escape = found[1]
        if escape[0] in "xuU" and len(escape) > 1:
            code = int(escape[1:], 16)
            if code > 0x10FFFF:
                raise ValueError(f"unquote string {text} error invalid syntax")
            return chr(code)
        if len(escape) == 3:
            return chr(int(escape, 8))
        if escape not in _ESCAPES:
            raise ValueError(f"unquote string {text} error invalid syntax")
        return _ESCAPES[escape]

    return _ESCAPE.sub(replaced, text)
