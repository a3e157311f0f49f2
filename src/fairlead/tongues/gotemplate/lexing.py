"""A template's text into words: text, delimiters, and what stands between them. The texts of errors are Go's.

Trimming (`{{-`, `-}}`) and comments are dealt with here and seen by nobody else. Must never decide what words mean together.
Source: go.dev/pkg/text/template/parse.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from fairlead.tongues.gotemplate.printing import quoted


class Word(NamedTuple):
    """What sort of word, where it begins, how it is written, and its line."""

    sort: str
    at: int
    text: str
    line: int

    def __str__(self) -> str:
        """As messages show it."""
        if self.sort == "end of file":
            return "EOF"
        if self.sort == "error":
            return self.text
        if self.sort == "keyword":
            return f"<{self.text}>"
        if len(self.text) > 10:
            return f"{quoted(self.text[:10])}..."
        return quoted(self.text)


KEYWORDS: Final = frozenset(
    {"block", "break", "continue", "define", "else", "end", "if", "range", "nil", "template", "with"}
)
_SPACES: Final = " \t\r\n"
_SPACE_RUN = re.compile(r"[ \t\r\n]+")
_IDENTIFIER = re.compile(r"\w+")
_NUMBER = re.compile(
    r"[+-]?(?:0[xX][0-9a-fA-F_]*(?:\.[0-9a-fA-F_]*)?(?:[pP][+-]?[0-9_]*)?"
    r"|0[oO][0-7_]*(?:\.[0-7_]*)?|0[bB][01_]*(?:\.[01_]*)?"
    r"|[0-9_]*(?:\.[0-9_]*)?(?:[eE][+-]?[0-9_]*)?)i?"
)
_QUOTED = re.compile(r'"(?:[^"\\\n]|\\[^\n])*"')
_LETTER = re.compile(r"'(?:[^'\\\n]|\\[^\n])*'")
_RIGHT = re.compile(r"(?:[ \t\r\n]-)?\}\}")


class _Bad(Exception):
    """A mistake, and where the word began in which it lies."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.at = at


def words(text: str) -> list[Word]:
    """Return the words, the last of which is the end of the file or an error."""
    found: list[Word] = []
    line, counted, at = 1, 0, 0

    def add(sort: str, start: int, written: str) -> None:
        nonlocal line, counted
        line += text.count("\n", counted, start)
        counted = start
        found.append(Word(sort, start, written, line))

    try:
        while True:
            start = text.find("{{", at)
            if start < 0:
                if at < len(text):
                    add("text", at, text[at:])
                add("end of file", len(text), "")
                return found
            trims = text[start + 2 : start + 3] == "-" and text[start + 3 : start + 4] in tuple(_SPACES)
            plain = text[at:start]
            if trims:
                plain = plain.rstrip(_SPACES)
            if plain:
                add("text", at, plain)
            inside = start + 4 if trims else start + 2
            if text.startswith("/*", inside):
                at = _comment(text, inside)
                continue
            add("left", start, "{{")
            at = _action(text, inside, add)
    except _Bad as fault:
        add("error", fault.at, str(fault))
        return found


def _comment(text: str, at: int) -> int:
    end = text.find("*/", at + 2)
    if end < 0:
        raise _Bad("unclosed comment", at)
    closing = _RIGHT.match(text, end + 2)
    if closing is None:
        raise _Bad("comment ends before closing delimiter", at)
    return _after(text, closing)


def _after(text: str, closing: re.Match[str]) -> int:
    """Where text goes on behind a right delimiter, which may trim."""
    end = closing.end()
    if len(closing.group()) == 2:
        return end
    space = _SPACE_RUN.match(text, end)
    return space.end() if space is not None else end


def _action(text: str, at: int, add: object) -> int:
    """The words up to the right delimiter; returns where text goes on."""
    assert callable(add)
    depth, size = 0, len(text)
    while True:
        closing = _RIGHT.match(text, at)
        if closing is not None:
            if depth:
                raise _Bad("unclosed left paren", at)
            add("right", closing.end() - 2, "}}")
            return _after(text, closing)
        if at >= size:
            raise _Bad("unclosed action", at)
        letter = text[at]
        if letter in _SPACES:
            run = _SPACE_RUN.match(text, at)
            assert run is not None
            end = run.end()
            if text.startswith("-}}", end):
                end -= 1
            if end > at:
                add("space", at, text[at:end])
            at = end
            continue
        sort, end = _word(text, at, letter)
        if letter == "(":
            depth += 1
        elif letter == ")":
            depth -= 1
            if depth < 0:
                raise _Bad("unexpected right paren", at)
        add(sort, at, text[at:end])
        at = end


_SINGLE: Final = {"=": "assign", "|": "pipe", "(": "(", ")": ")"}


def _word(text: str, at: int, letter: str) -> tuple[str, int]:
    """What sort of word begins here, and where it ends."""
    if letter in _SINGLE:
        return _SINGLE[letter], at + 1
    if letter == ":":
        if text[at + 1 : at + 2] != "=":
            raise _Bad("expected :=", at)
        return "declare", at + 2
    if letter == '"':
        match = _QUOTED.match(text, at)
        if match is None:
            raise _Bad("unterminated quoted string", at)
        return "string", match.end()
    if letter == "`":
        end = text.find("`", at + 1)
        if end < 0:
            raise _Bad("unterminated raw quoted string", at)
        return "raw", end + 1
    if letter == "'":
        match = _LETTER.match(text, at)
        if match is None:
            raise _Bad("unterminated character constant", at)
        return "letter", match.end()
    if letter == "$" or (letter == "." and not ("0" <= text[at + 1 : at + 2] <= "9")):
        return _named(text, at, letter)
    if letter in "+-." or "0" <= letter <= "9":
        return _number(text, at)
    match = _IDENTIFIER.match(text, at)
    if match is not None:
        end = match.end()
        _terminated(text, at, end)
        word = match.group()
        if word in KEYWORDS:
            return "keyword", end
        return ("bool" if word in {"true", "false"} else "identifier"), end
    if letter.isascii() and letter.isprintable():
        return "char", at + 1
    raise _Bad(f"unrecognized character in action: {_rune(letter)}", at)


def _named(text: str, at: int, letter: str) -> tuple[str, int]:
    match = _IDENTIFIER.match(text, at + 1)
    sort = "variable" if letter == "$" else "field"
    if match is None:
        if not _ends(text, at + 1):
            raise _Bad(f"bad character {_rune(text[at + 1])}", at)
        return ("variable" if letter == "$" else "dot"), at + 1
    _terminated(text, at, match.end())
    return sort, match.end()


def _number(text: str, at: int) -> tuple[str, int]:
    match = _NUMBER.match(text, at)
    assert match is not None
    end = match.end()
    sort = "number"
    if text[end : end + 1] in {"+", "-"}:
        second = _NUMBER.match(text, end)
        assert second is not None
        end = second.end()
        sort = "complex"
        if text[end - 1] != "i" or _IDENTIFIER.match(text, end):
            raise _Bad(f"bad number syntax: {quoted(text[at:end])}", at)
    elif _IDENTIFIER.match(text, end):
        raise _Bad(f"bad number syntax: {quoted(text[at : end + 1])}", at)
    return sort, end


def _ends(text: str, at: int) -> bool:
    return at >= len(text) or text[at] in " \t\r\n.,|:)(" or text.startswith("}}", at)


def _terminated(text: str, at: int, end: int) -> None:
    if not _ends(text, end):
        raise _Bad(f"bad character {_rune(text[end])}", at)


def _rune(letter: str) -> str:
    shown = f" '{letter}'" if letter.isprintable() else ""
    return f"U+{ord(letter):04X}{shown}"
