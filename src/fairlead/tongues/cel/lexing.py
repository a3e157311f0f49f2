"""Text to tokens: numbers, texts with their escapes, names, operators.

Linear time on any text; what is no token is a fault with its offset.
Source: github.com/google/cel-spec, doc/langdef.md, Syntax.
"""

from __future__ import annotations

import re
from typing import Any, Literal, NamedTuple, TypeAlias

from fairlead.tongues.cel.values import INT_MAX, UINT_MAX, Uint

Sort: TypeAlias = Literal["value", "name", "quoted", "op", "end"]


class Token(NamedTuple):
    """One token: its sort, its text, its value (of literals) and where it begins."""

    sort: Sort
    text: str
    value: Any
    pos: int


class Fault(Exception):
    """What is wrong with the text, and where."""

    def __init__(self, message: str, pos: int) -> None:
        super().__init__(message)
        self.message = message
        self.pos = pos


_TOKEN = re.compile(
    r"""
    (?P<space>[ \t\r\n\f]+|//[^\n]*)
  | (?P<text>[bB]?[rR]?(?:\"\"\"|'''|"|'))
  | (?P<float>[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|\.[0-9]+(?:[eE][+-]?[0-9]+)?)
  | (?P<int>0x[0-9a-fA-F]+|[0-9]+)(?P<unsigned>[uU]?)
  | (?P<name>[A-Za-z_][A-Za-z_0-9]*)
  | `(?P<quoted>[A-Za-z0-9_.\-/ ]+)`
  | (?P<op>==|!=|<=|>=|&&|\|\||[-+*/%<>!?:.,()\[\]{}])
    """,
    re.VERBOSE,
)
_BODIES = {
    mark: re.compile(
        rf"(?:[^\\{mark[0]}\n\r]|\\.)*{mark}" if len(mark) == 1 else rf"(?:[^\\]|\\.)*?{mark}", re.DOTALL
    )
    for mark in ('"', "'", '"""', "'''")
}
_RAW_BODIES = {
    mark: re.compile(rf"[^{mark[0]}\n\r]*{mark}" if len(mark) == 1 else rf".*?{mark}", re.DOTALL)
    for mark in ('"', "'", '"""', "'''")
}
_ESCAPE = re.compile(
    r"""\\(?:([abfnrtv"'`?\\])|[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.|$))""",
    re.DOTALL,
)
_SIGNS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}


def tokens(text: str) -> list[Token]:
    """Return the tokens of an expression, the last one of sort `end`. Raises Fault."""
    found: list[Token] = []
    place, size = 0, len(text)
    while place < size:
        match = _TOKEN.match(text, place)
        if match is None:
            raise Fault(f"Syntax error: token recognition error at: '{text[place]}'", place)
        sort = match.lastgroup
        end = match.end()
        if sort == "text":
            value, end = _text(text, match, end)
            found.append(Token("value", text[place:end], value, place))
        elif sort in {"int", "unsigned"}:
            found.append(Token("value", match[0], _whole(match["int"], match["unsigned"], place), place))
        elif sort == "float":
            found.append(Token("value", match[0], _float(match[0], place), place))
        elif sort == "name":
            word = match[0]
            if word in _WORDS:
                found.append(Token("value", word, _WORDS[word], place))
            else:
                found.append(Token("op" if word == "in" else "name", word, None, place))
        elif sort == "quoted":
            found.append(Token("quoted", match["quoted"], None, place))
        elif sort == "op":
            found.append(Token("op", match[0], None, place))
        place = end
    found.append(Token("end", "<EOF>", None, size))
    return found


def _whole(digits: str, unsigned: str, place: int) -> int:
    most = UINT_MAX if unsigned else INT_MAX + 1
    bare = digits[2:].lstrip("0") if digits.startswith("0x") else digits.lstrip("0")
    value = int(bare or "0", 16 if digits.startswith("0x") else 10) if len(bare) <= 24 else most + 1
    if value > most:
        raise Fault(f"invalid {'uint' if unsigned else 'int'} literal", place)
    return Uint(value) if unsigned else value


def _float(text: str, place: int) -> float:
    value = float(text)
    if value == float("inf"):
        raise Fault("invalid double literal", place)
    return value


def _text(text: str, opening: re.Match[str], start: int) -> tuple[str | bytes, int]:
    prefix = opening[0].rstrip("\"'")
    mark = opening[0][len(prefix) :]
    raw = prefix[-1:] in {"r", "R"}
    body = (_RAW_BODIES if raw else _BODIES)[mark].match(text, start)
    if body is None:
        raise Fault(
            f"Syntax error: token recognition error at: '{text[opening.start() : opening.start() + 40]}'",
            opening.start(),
        )
    inner = body[0][: -len(mark)]
    if len(mark) == 3:
        inner = inner.replace("\r\n", "\n").replace("\r", "\n")
    if prefix[:1] in {"b", "B"}:
        return (_encoded(inner, opening.start()) if raw else _bytes(inner, opening.start())), body.end()
    return (inner if raw or "\\" not in inner else _unescaped(inner, opening.start())), body.end()


def _encoded(text: str, place: int) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise Fault("invalid string literal", place) from None


def _unescaped(text: str, place: int) -> str:
    def replaced(match: re.Match[str]) -> str:
        sign, byte, short, long, octal, _ = match.groups()
        if sign:
            return _SIGNS.get(sign, sign)
        code = int(byte or short or long or "0", 16) if not octal else int(octal, 8)
        if not (byte or short or long or octal):
            raise Fault(f"Syntax error: token recognition error at: '{match[0]}'", place)
        if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            raise Fault("invalid unicode code point", place)
        return chr(code)

    return _ESCAPE.sub(replaced, text)


def _bytes(text: str, place: int) -> bytes:
    parts: list[bytes] = []
    last = 0
    for match in _ESCAPE.finditer(text):
        parts.append(_encoded(text[last : match.start()], place))
        sign, byte, short, long, octal, _ = match.groups()
        if sign:
            parts.append(_SIGNS.get(sign, sign).encode())
        elif byte:
            parts.append(bytes((int(byte, 16),)))
        elif octal:
            parts.append(bytes((int(octal, 8),)))
        elif short or long:
            raise Fault("invalid bytes literal: unicode escapes are not allowed", place)
        else:
            raise Fault(f"Syntax error: token recognition error at: '{match[0]}'", place)
        last = match.end()
    parts.append(_encoded(text[last:], place))
    return b"".join(parts)
