"""YAML byte for byte as sigs.k8s.io/yaml writes it: sorted keys, lists not indented, texts folded at 80 letters, quotes only where they are needed.

Values become JSON first, as there; so a number that is whole is written without a point. Must never write an anchor.
Source: sigs.k8s.io/yaml, go.yaml.in/yaml/v2.
"""

from __future__ import annotations

import functools
import re
from typing import Any, Final

from fairlead.tongues.gotemplate.jsonwriting import Plain, plain
from fairlead.tongues.gotemplate.kinds import octets
from fairlead.tongues.gotemplate.printing import float_text
from fairlead.tongues.gotemplate.states import State

_WORDS: Final = frozenset(
    [
        "y",
        "Y",
        "yes",
        "Yes",
        "YES",
        "true",
        "True",
        "TRUE",
        "on",
        "On",
        "ON",
        "n",
        "N",
        "no",
        "No",
        "NO",
        "false",
        "False",
        "FALSE",
        "off",
        "Off",
        "OFF",
        "~",
        "null",
        "Null",
        "NULL",
        ".nan",
        ".NaN",
        ".NAN",
        ".inf",
        ".Inf",
        ".INF",
        "+.inf",
        "+.Inf",
        "+.INF",
        "-.inf",
        "-.Inf",
        "-.INF",
    ]
)
_INTEGER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]*|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_POINT_FLOAT = re.compile(r"\.[0-9]+(?:_?[0-9]+)*(?:[eE][-+]?[0-9]+)?\Z")
_BASE60 = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?\Z")
_DAY = r"(?:0?[1-9]|[12][0-9]|3[01])"
_DATE = re.compile(
    rf"([0-9]{{4}})-(0?[1-9]|1[0-2])-({_DAY})"
    r"(?:[Tt](?:0?[0-9]|1[0-9]|2[0-3]):(?:[0-5]?[0-9]):(?:[0-5]?[0-9])(?:[.,][0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})"
    r"| (?:0?[0-9]|1[0-9]|2[0-3]):(?:[0-5]?[0-9]):(?:[0-5]?[0-9])(?:[.,][0-9]+)?)?\Z"
)
_DAYS: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_SIMPLE = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*\Z")
"""Texts that are plain unless they are words with a meaning: most of them."""
_PRINTABLE = re.compile(r"[\n\x20-\x7e\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd]*\Z")
_ESCAPED = re.compile(r"[^\x20-\x7e\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd]|[\"\\\u2028\u2029\x85]")
_ESCAPES: Final = {
    "\0": "\\0",
    "\a": "\\a",
    "\b": "\\b",
    "\t": "\\t",
    "\n": "\\n",
    "\v": "\\v",
    "\f": "\\f",
    "\r": "\\r",
    "\x1b": "\\e",
    '"': '\\"',
    "\\": "\\\\",
    "\x85": "\\N",
    "\u2028": "\\L",
    "\u2029": "\\P",
}
WIDTH: Final = 80
"""A space beyond this column becomes a line break."""
_BREAKS: Final = "\n\r\x85\u2028\u2029"


def _resolves(text: str) -> bool:
    """Whether an unquoted text would be read as something else than a text."""
    if text in _WORDS or not text:
        return True
    first = text[0]
    if first == ".":
        return _POINT_FLOAT.match(text) is not None
    if first not in "+-0123456789":
        return False
    date = _DATE.match(text)
    if date is not None:
        year, month, day = map(int, date.groups())
        if day <= _DAYS[month - 1] and not (
            month == 2 and day == 29 and (year % 4 or (year % 100 == 0 and year % 400))
        ):
            return True
    bare = text.replace("_", "")
    if _INTEGER.match(bare):
        digits = bare.lstrip("+-")
        if digits[:2].lower() in {"0x", "0b", "0o"} or digits[:1] != "0" or digits == "0":
            limit = int(digits, 0) if len(digits) > 1 and digits[0] == "0" else int(digits)
            if limit < 1 << 64 or _FLOAT.match(bare):
                return True
        else:
            return True
    return _FLOAT.match(bare) is not None or _BASE60.match(text) is not None


@functools.lru_cache(maxsize=8192)
def scalar(text: str, key: bool = False) -> str:
    """Return a text as a scalar that fits on one line; a text with line breaks only as a key."""
    if _SIMPLE.match(text) and text not in _WORDS:
        return text
    if "\n" in text or _resolves(text):
        return _double(text)
    if not _PRINTABLE.match(text) or (key and any(mark in text for mark in _BREAKS)):
        return _double(text)
    if any(mark in text for mark in _BREAKS):
        return _single(text) if " \n" not in text else _double(text)
    if (
        text[0] in "#,[]{}&*!|>'\"%@` "
        or text[-1] == " "
        or (text[0] in "?:-" and text[1:2] in {"", " "})
        or text[:3] in {"---", "..."}
        or ": " in text
        or text[-1] == ":"
        or " #" in text
    ):
        return _single(text)
    return text


def _single(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _double(text: str) -> str:
    return f'"{_ESCAPED.sub(_escape, text)}"'


def _escape(match: re.Match[str]) -> str:
    letter = match.group()
    if letter in _ESCAPES:
        return _ESCAPES[letter]
    code = ord(letter)
    if code <= 0xFF:
        return f"\\x{code:02X}"
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"


def _block(text: str) -> bool:
    """Whether a text with line breaks can be written as a block, as it is."""
    return (
        _PRINTABLE.match(text) is not None
        and not text.endswith(" ")
        and " \n" not in text
        and not any(f" {mark}" in text for mark in "\r\x85\u2028\u2029")
    )


def folded(shown: str, column: int, indent: int) -> str:
    """Return a scalar, quoted or not, that begins in this column, with line breaks where it is too long."""
    size = len(shown)
    if column + size <= WIDTH:
        return shown
    quote = shown[0] if shown[0] in "'\"" else ""
    parts: list[str] = []
    before = ""
    for at, letter in enumerate(shown):
        following = shown[at + 1 : at + 2]
        inside = 1 < at < size - 2 if quote else True
        if (
            letter == " "
            and before != " "
            and column > WIDTH
            and inside
            and (quote == '"' or following != " ")
        ):
            escape = "\\" if following == " " else ""
            parts.append(f"\n{' ' * indent}{escape}")
            column = indent + len(escape)
        else:
            parts.append(letter)
            column += 1
        before = letter
    return "".join(parts)


class _Writing:
    """Parts of a document. `pretty` indents lists below their key, as go-yaml's third version does."""

    def __init__(self, pretty: bool) -> None:
        self.parts: list[str] = []
        self._pretty = pretty

    def value(self, value: Plain, indent: int, after_key: bool, column: int) -> None:
        """Write what stands behind a colon or a dash, with its line break. `indent` is that of the line, `column` where it ends."""
        add = self.parts.append
        kind = type(value)
        if kind is dict:
            if not value:
                add(" {}\n")
            elif after_key:
                add("\n")
                self.mapping(value, indent + 2, " " * (indent + 2))
            else:
                add(" ")
                self.mapping(value, indent + 2, "")
        elif kind is list:
            if not value:
                add(" []\n")
            elif after_key:
                add("\n")
                deeper = indent + 2 if self._pretty else indent
                self.sequence(value, deeper, " " * deeper)
            else:
                add(" ")
                self.sequence(value, indent + 2, "")
        elif kind is str and "\n" in value and _block(value):
            add(" ")
            self.literal(value, indent + 2)
        else:
            shown = self.single(value)
            if column + len(shown) > WIDTH and " " in shown and not self._pretty:
                shown = folded(shown, column + 1, indent + 2)
            add(f" {shown}\n")

    def single(self, value: Plain) -> str:
        if type(value) is str:
            return scalar(value)
        if value is None:
            return "null"
        if value is True or value is False:
            return "true" if value else "false"
        if type(value) is float:
            return float_text(value)
        return str(value)

    def mapping(self, value: dict[str, Any], indent: int, lead: str) -> None:
        margin = " " * indent
        for key in sorted_naturally(value):
            if len(octets(key)) > 128 or "\n" in key:
                self.parts.append(f"{lead}?")
                self.value(key, indent, False, indent + 1)
                self.parts.append(f"{margin}:")
                self.value(value[key], indent, False, indent + 1)
            else:
                shown = scalar(key, True)
                self.parts.append(f"{lead}{shown}:")
                self.value(value[key], indent, True, indent + len(shown) + 1)
            lead = margin

    def sequence(self, value: list[Any], indent: int, lead: str) -> None:
        margin = " " * indent
        for item in value:
            self.parts.append(f"{lead}-")
            lead = margin
            self.value(item, indent, False, indent + 1)

    def literal(self, text: str, indent: int) -> None:
        hint = "2" if text[0] in " \n\r\x85\u2028\u2029" else ""
        if text[-1] not in _BREAKS:
            hint += "-"
        elif len(text) == 1 or text[-2] in _BREAKS:
            hint += "+"
        self.parts.append(f"|{hint}\n")
        margin = " " * indent
        body = text[:-1] if text[-1] == "\n" else text
        for line in body.split("\n"):
            self.parts.append(f"{margin}{line}\n" if line else "\n")


def dump(value: Any, state: State | None = None, *, pretty: bool = False) -> str:
    """Return the value as YAML, without the last line break. Raises GoError for what JSON cannot hold."""
    made = plain(value, state)
    writing = _Writing(pretty)
    if type(made) is dict and made:
        writing.mapping(made, 0, "")
    elif type(made) is list and made:
        writing.sequence(made, 0, "")
    elif type(made) is str and "\n" in made and _block(made):
        writing.literal(made, 2 if not pretty else 4)
    else:
        shown = "{}" if type(made) is dict else "[]" if type(made) is list else writing.single(made)
        writing.parts.append(shown if pretty else folded(shown, 0, 2))
    text = "".join(writing.parts)
    if state is not None:
        state.charge(len(text))
    return text.removesuffix("\n")


_ALPHANUMERIC = re.compile(r"[a-zA-Z]*\Z")


def sorted_naturally(value: dict[str, Any]) -> list[str]:
    """Return the keys in go-yaml's order: letters after other signs, and digits as the numbers that they make."""
    keys = sorted(value)
    if all(map(_ALPHANUMERIC.match, keys)):
        return keys
    return sorted(keys, key=functools.cmp_to_key(_compare))


def _compare(left: str, right: str) -> int:
    for at in range(min(len(left), len(right))):
        one, other = left[at], right[at]
        if one == other:
            continue
        alpha, beta = one.isalpha(), other.isalpha()
        if alpha and beta:
            return -1 if one < other else 1
        if alpha or beta:
            return -1 if beta else 1
        first = second = 0
        if one == "0" or other == "0":
            back = at - 1
            while back >= 0 and left[back].isdecimal():
                if left[back] != "0":
                    first = second = 1
                    break
                back -= 1
        end = at
        while end < len(left) and left[end].isdecimal():
            first = first * 10 + ord(left[end]) - 48
            end += 1
        other_end = at
        while other_end < len(right) and right[other_end].isdecimal():
            second = second * 10 + ord(right[other_end]) - 48
            other_end += 1
        if first != second:
            return -1 if first < second else 1
        if end != other_end:
            return -1 if end < other_end else 1
        return -1 if one < other else 1
    return len(left) - len(right)
