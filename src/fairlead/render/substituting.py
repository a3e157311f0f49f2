"""`${variables}` in manifests, as Flux substitutes them after a build: texts in, texts out.

`${var}`, `${var:=default}` (and `=`, `:-`, `-`), `${#var}`, `${var^}`, `^^`, `,`, `,,`, `${var:position:length}`, `${var#glob}`, `##`, `%`, `%%`,
`${var/old/new}`, `//`, `/#`, `/%`; `$$` is a dollar sign; `$var` without braces is left alone. A variable that nothing sets and that has no
default is a fault (Flux' strict mode), and every fault is told, not the first. Positions and lengths count characters.
Source: fluxcd.io/flux/components/kustomize/kustomizations/#post-build-variable-substitution.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from fairlead.tongues import regexes, yamls

DISABLED: Final = "kustomize.toolkit.fluxcd.io/substitute"
"""An object with a label or an annotation of this name and the value `disabled` is left as it is."""

MOST_NESTED: Final = 20
LARGEST: Final = 64 << 20
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SEPARATOR = re.compile(r"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)
_DEFAULTS: Final = (":=", ":-", "=", "-")


@dataclass(frozen=True, slots=True)
class Fault:
    """A substitution that cannot be made: where it stands (line and column from 1), why, and what would be right."""

    line: int
    column: int
    message: str
    hint: str


class Unfit(ValueError):
    """A value that no variable can have."""


def variables(values: Mapping[str, Any]) -> dict[str, str]:
    """Return values as variables: texts as they are, numbers and booleans as YAML writes them. Null sets nothing. Raises Unfit."""
    found = {}
    for name, value in values.items():
        if not _NAME.fullmatch(name):
            raise Unfit(f'"{name}" is no name of a variable: letters, digits and _ are')
        if isinstance(value, dict | list):
            what = "mapping" if isinstance(value, dict) else "list"
            raise Unfit(f"{name} is a {what}, and variables in manifests are plain: texts, numbers, booleans")
        if value is not None:
            found[name] = value if isinstance(value, str) else yamls.dump(value).split("\n", 1)[0]
    return found


def substitute(text: str, known: Mapping[str, str]) -> tuple[str, list[Fault]]:
    """Return the text with its variables replaced, and what could not be. A fault leaves nothing in its place."""
    if "$" not in text:
        return text, []
    reader = _Reader(text, known)
    return reader.text(), reader.faults


def substitute_documents(text: str, known: Mapping[str, str]) -> tuple[str, list[Fault]]:
    """Do so in a text of YAML documents, but not in those that say that they want none of it."""
    if DISABLED not in text:
        return substitute(text, known)
    starts = [0, *(match.start() for match in _SEPARATOR.finditer(text)), len(text)]
    made: list[str] = []
    faults: list[Fault] = []
    for start, end in pairwise(starts):
        part = text[start:end]
        if not _disabled(part):
            part, found = substitute(part, known)
            above = text.count("\n", 0, start)
            faults += [Fault(one.line + above, one.column, one.message, one.hint) for one in found]
        made.append(part)
    return "".join(made), faults


def _disabled(document: str) -> bool:
    if DISABLED not in document:
        return False
    try:
        found = yamls.load_all(document)
    except yamls.BadYaml:
        return False
    for one in found:
        meta = one.get("metadata") if isinstance(one, dict) else None
        for key in ("labels", "annotations"):
            marks = meta.get(key) if isinstance(meta, dict) else None
            if isinstance(marks, dict) and marks.get(DISABLED) == "disabled":
                return True
    return False


class _Bad(Exception):
    """What stands between `${` and `}` cannot be read."""


class _Reader:
    def __init__(self, text: str, known: Mapping[str, str]) -> None:
        self.faults: list[Fault] = []
        self._text, self._known = text, known
        self._size = 0

    def text(self) -> str:
        """Return all of it, replaced."""
        made: list[str] = []
        text, at = self._text, 0
        while True:
            dollar = text.find("$", at)
            if dollar < 0:
                made.append(text[at:])
                return "".join(made)
            made.append(text[at:dollar])
            following = text[dollar + 1 : dollar + 2]
            if following == "$":
                made.append("$")
                at = dollar + 2
            elif following == "{":
                try:
                    value, at = self._expression(dollar + 2, 0)
                except _Bad as bad:
                    shown = text[dollar : dollar + 30].split("\n", 1)[0]
                    self._fault(
                        dollar, f'"{shown}" cannot be read: {bad}', "write $${ where ${ is meant as text"
                    )
                    value, at = "", dollar + 2
                made.append(value)
                self._size += len(value)
                if self._size > LARGEST:
                    self._fault(dollar, f"substitution makes more than {LARGEST >> 20} MiB", "")
                    return ""
            else:
                made.append("$")
                at = dollar + 1

    def _fault(self, at: int, message: str, hint: str) -> None:
        line = self._text.count("\n", 0, at) + 1
        self.faults.append(Fault(line, at - self._text.rfind("\n", 0, at), message, hint))

    def _expression(self, at: int, depth: int) -> tuple[str, int]:
        """Return what an expression stands for that begins at `at`, after its `${`, and where the text goes on."""
        if depth > MOST_NESTED:
            raise _Bad(f"it nests more than {MOST_NESTED} deep")
        text, start = self._text, at
        length = text[at : at + 1] == "#"
        name = _NAME.match(text, at + length)
        if name is None:
            raise _Bad("the name of a variable is due")
        at = name.end()
        sign = next((one for one in _OPERATORS if text.startswith(one, at)), "")
        if length:
            if text[at : at + 1] != "}":
                raise _Bad("nothing may follow the name of ${#name}")
            return str(len(self._value(name.group(), start))), at + 1
        if text[at : at + 1] == "}":
            return self._value(name.group(), start), at + 1
        if not sign:
            raise _Bad("no closing brace" if at >= len(text) else f'"{text[at]}" is no operator')
        at += len(sign)
        if sign in _DEFAULTS:
            fallback, at = self._word(at, "}", depth)
            value = self._known.get(name.group())
            empty = value is None or (value == "" and sign != "-")
            return fallback if empty else value or "", at + 1
        value = self._value(name.group(), start)
        stops = ":}" if sign == ":" else "/}" if sign[0] == "/" else "}"
        first, at = self._word(at, stops, depth, escapes=sign[0] == "/")
        second = None
        if text[at] != "}":
            second, at = self._word(at + 1, "}", depth, escapes=sign[0] == "/")
        elif sign[0] == "/":
            raise _Bad("${name/old/new} has two parts")
        return _OPERATORS[sign](value, first, second), at + 1

    def _value(self, name: str, at: int) -> str:
        value = self._known.get(name)
        if value is None:
            self._fault(
                at - 2,
                f"nothing sets ${{{name}}}",
                f"give it with --set {name}=..., or write a default: ${{{name}:=...}}; $${{{name}}} stands for the text itself",
            )
        return value or ""

    def _word(self, at: int, stops: str, depth: int, *, escapes: bool = False) -> tuple[str, int]:
        """Return a part of an expression, expressions in it replaced, and where it is ended by one of `stops`."""
        text, made = self._text, list[str]()
        while at < len(text):
            here = text[at]
            if here in stops:
                return "".join(made), at
            if escapes and here == "\\" and at + 1 < len(text):
                made.append(text[at + 1])
                at += 2
            elif text.startswith("${", at):
                value, at = self._expression(at + 2, depth + 1)
                made.append(value)
            else:
                made.append(here)
                at += 1
        raise _Bad("no closing brace")


def _substring(value: str, position: str, length: str | None) -> str:
    """Return a part of a text; negative numbers count from its end. What is no number leaves it whole, as in bash."""
    try:
        start = int(position)
        count = None if length is None else int(length)
    except ValueError:
        return value
    start = max(len(value) + start, 0) if start < 0 else start
    if count is None:
        return value[start:]
    end = start + count if count >= 0 else len(value) + count
    return value[start : max(end, start)]


def _glob(pattern: str) -> Callable[[str], bool]:
    """Return what tells whether a whole text fits a glob: `*`, `?`, `[a-z]`, a backslash before what stands for itself."""
    made, at = "(?s)", 0
    while at < len(pattern):
        here = pattern[at]
        close = pattern.find("]", at + 2) if here == "[" else -1
        if here == "*":
            made += ".*"
        elif here == "?":
            made += "."
        elif close > 0:
            inner = pattern[at + 1 : close]
            made += (
                "["
                + ("^" + inner[1:] if inner[0] in "!^" else inner).replace("\\", "\\\\").replace("[", "\\[")
                + "]"
            )
            at = close
        else:
            if here == "\\" and at + 1 < len(pattern):
                at += 1
            made += re.escape(pattern[at])
        at += 1
    try:
        fits = regexes.compile(made).fullmatch
    except regexes.BadPattern:
        return lambda _: False
    return lambda text: fits(text) is not None


def _stripping(*, longest: bool, end: bool) -> Callable[[str, str, str | None], str]:
    def strip(value: str, pattern: str, _: str | None) -> str:
        fits = _glob(pattern)
        sizes = range(len(value), 0, -1) if longest else range(1, len(value) + 1)
        for size in sizes:
            if fits(value[-size:] if end else value[:size]):
                return value[:-size] if end else value[size:]
        return value

    return strip


def _replaced(value: str, old: str, new: str | None) -> str:
    return value.replace(old, new or "", 1)


def _prefix(value: str, old: str, new: str | None) -> str:
    return (new or "") + value.removeprefix(old) if value.startswith(old) else value


def _suffix(value: str, old: str, new: str | None) -> str:
    return value.removesuffix(old) + (new or "") if value.endswith(old) else value


_OPERATORS: Final[Mapping[str, Callable[[str, str, str | None], str]]] = {
    **dict.fromkeys(_DEFAULTS, lambda value, _one, _two: value),
    ":": _substring,
    "^^": lambda value, _one, _two: value.upper(),
    "^": lambda value, _one, _two: value[:1].upper() + value[1:],
    ",,": lambda value, _one, _two: value.lower(),
    ",": lambda value, _one, _two: value[:1].lower() + value[1:],
    "##": _stripping(longest=True, end=False),
    "#": _stripping(longest=False, end=False),
    "%%": _stripping(longest=True, end=True),
    "%": _stripping(longest=False, end=True),
    "//": lambda value, old, new: value.replace(old, new or "") if old else value,
    "/#": _prefix,
    "/%": _suffix,
    "/": _replaced,
}
"""What each sign after a name does with the value; longer signs before those that they begin with."""
