"""Rego text -> tokens with line and column. Comments and white space are dropped; adjacency and lines are kept as positions.

A template string is one token whose value holds texts and, for each `{...}`, the tokens inside. Must never raise anything but
BadModule, whatever the text.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from .errors import BadModule

_SPACE: Final = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)+")
_COMMENT: Final = re.compile(r"#([^\n\r]*)")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_STRING: Final = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_RAW: Final = re.compile(r"`[^`]*`")
_PUNCTUATION: Final = re.compile(r":=|==|!=|<=|>=|[\[\](){},.:;=<>|&+\-*/%]")
_TEXT_PART: Final = re.compile(r'(?:[^"\\{\n]|\\.)+')
_RAW_PART: Final = re.compile(r"(?:[^`\\{]|\\.)+", re.DOTALL)

MOST_NESTED_TEMPLATES: Final = 20
LONGEST_NUMBER: Final = 4000
"""The most digits that a number's text may stand for."""


@dataclass(slots=True)
class Token:
    """`kind` is name, string, number, template, end, or the punctuation itself; `start` and `end` are offsets."""

    kind: str
    value: Any
    start: int
    end: int
    line: int
    column: int

    @property
    def at(self) -> tuple[int, int]:
        """Line and column, 1-based."""
        return (self.line, self.column)


class Lexer:
    """Makes tokens of one text."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.pos = 0
        self.line = 1
        self.line_start = 0
        self.annotated = "METADATA" in text
        self.comments: list[tuple[tuple[int, int], str]] = []

    def bad(self, message: str, pos: int | None = None) -> BadModule:
        """Return the error to raise at a position (by default here)."""
        where = self.pos if pos is None else pos
        return BadModule(message, self.file, self.line, where - self.line_start + 1)

    def tokens(self) -> list[Token]:
        """Return every token and a last one of kind "end"."""
        return self._run(0)

    def _newlines(self, start: int, end: int) -> None:
        count = self.text.count("\n", start, end)
        if count:
            self.line += count
            self.line_start = self.text.rindex("\n", start, end) + 1

    def _comments(self, start: int, end: int) -> None:
        """Keep the comments in white space, with their places."""
        line, line_start = self.line, self.line_start
        for found in _COMMENT.finditer(self.text, start, end):
            count = self.text.count("\n", start, found.start())
            if count:
                line, line_start = line + count, self.text.rindex("\n", start, found.start()) + 1
            start = found.start()
            self.comments.append(((line, start - line_start + 1), found[1]))

    def _run(self, depth: int) -> list[Token]:
        """Read to the end of the text or, inside a template, to the brace that closes it."""
        text, out, braces = self.text, list[Token](), 0
        while True:
            space = _SPACE.match(text, self.pos)
            if space:
                if self.annotated and not depth:
                    self._comments(space.start(), space.end())
                self._newlines(self.pos, space.end())
                self.pos = space.end()
            pos = self.pos
            if pos >= len(text):
                if depth:
                    raise self.bad("unterminated string interpolation")
                out.append(Token("end", None, pos, pos, self.line, pos - self.line_start + 1))
                return out
            char = text[pos]
            line, column = self.line, pos - self.line_start + 1
            if name := _NAME.match(text, pos):
                token = Token("name", name.group(), pos, name.end(), line, column)
            elif char == '"':
                token = Token("string", self._string(), pos, self.pos, line, column)
            elif char == "`":
                raw = _RAW.match(text, pos)
                if raw is None:
                    raise self.bad("non-terminated string")
                self._newlines(pos, raw.end())
                token = Token("string", raw.group()[1:-1], pos, raw.end(), line, column)
            elif char == "$" and text[pos + 1 : pos + 2] in {'"', "`"}:
                token = Token("template", self._template(depth), pos, self.pos, line, column)
            elif "0" <= char <= "9":
                token = self._number(line, column)
            elif mark := _PUNCTUATION.match(text, pos):
                if depth and char == "}" and not braces:
                    out.append(Token("end", None, pos, pos, line, column))
                    self.pos = pos + 1
                    return out
                braces += (char == "{") - (char == "}")
                token = Token(mark.group(), mark.group(), pos, mark.end(), line, column)
            elif char == "!":
                raise self.bad("illegal ! character")
            else:
                raise self.bad(f"illegal token: unexpected character {char!r}")
            out.append(token)
            self.pos = token.end

    def _number(self, line: int, column: int) -> Token:
        found = _NUMBER.match(self.text, self.pos)
        assert found is not None
        end, digits = found.end(), found.group()
        following = self.text[end : end + 1]
        if (
            following.isalnum()
            or following == "_"
            or (following == "." and self.text[end + 1 : end + 2].isdigit())
        ):
            raise self.bad("illegal number format")
        if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
            raise self.bad("expected number without leading zero")
        return Token("number", self.number(digits), self.pos, end, line, column)

    def number(self, digits: str) -> int | float:
        """Return what a number's text stands for: an int where it is whole and written so or huge."""
        if len(digits) <= LONGEST_NUMBER:
            if digits.isdigit():
                return int(digits)
            try:
                value = float(digits)
                if value not in {float("inf"), float("-inf")}:
                    return value
                exact = Decimal(digits)
                if exact.adjusted() <= LONGEST_NUMBER and exact == exact.to_integral_value():
                    return int(exact)
            except (InvalidOperation, ValueError, OverflowError):
                pass
        raise self.bad("illegal number format: too large")

    def _string(self) -> str:
        found = _STRING.match(self.text, self.pos)
        if found is None:
            raise self.bad("non-terminated string")
        raw = found.group()
        value = raw[1:-1] if "\\" not in raw else self._unescape(raw, self.pos)
        self.pos = found.end()
        return value

    def _unescape(self, quoted: str, pos: int) -> str:
        try:
            value = json.loads(quoted, strict=False)
        except ValueError:
            raise self.bad("illegal escape sequence", pos) from None
        assert isinstance(value, str)
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def _template(self, depth: int) -> list[str | list[Token]]:
        """Read `$"..."`; the position ends behind the closing quote."""
        if depth >= MOST_NESTED_TEMPLATES:
            raise self.bad("string interpolations are nested too deeply")
        text, parts, literal = self.text, list[str | list[Token]](), ""
        raw = text[self.pos + 1] == "`"
        part = _RAW_PART if raw else _TEXT_PART
        closing = text[self.pos + 1]
        self.pos += 2
        while True:
            found = part.match(text, self.pos)
            if found:
                literal += self._literal(found.group(), raw)
                self._newlines(self.pos, found.end())
                self.pos = found.end()
            char = text[self.pos : self.pos + 1]
            if char == closing:
                self.pos += 1
                if literal:
                    parts.append(literal)
                return parts
            if char != "{":
                raise self.bad("non-terminated string")
            if literal:
                parts.append(literal)
                literal = ""
            self.pos += 1
            parts.append(self._run(depth + 1))

    def _literal(self, text: str, raw: bool) -> str:
        if "\\" not in text:
            return text
        if raw:
            return text.replace("\\{", "{")
        plain = re.sub(r"\\(.)", lambda found: "{" if found[1] == "{" else found[0], text, flags=re.DOTALL)
        return self._unescape(f'"{plain}"', self.pos)
