"""One way to write Starlark: indentation, blanks and quotes, and nothing else. Text in, text out.

Works on tokens, whose order and meaning it never changes; what it made is read again, and given up where it would mean anything else. Where
lines break is the author's choice. Formatting what was formatted changes nothing.
"""

from __future__ import annotations

import ast
import keyword
import tokenize
from dataclasses import dataclass, field
from typing import Final

from fairlead.tongues import starlark

_OPEN: Final = "([{"
_CLOSE: Final = ")]}"
_SKIPPED: Final = {
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
    tokenize.COMMENT,
}
_WORDS: Final = set(keyword.kwlist) - {"True", "False", "None"}
_MEANT: Final = {tokenize.NAME, tokenize.NUMBER, tokenize.STRING}


class BadCode(ValueError):
    """The text is no Starlark. `line` and `column` count from 1."""

    def __init__(self, message: str, line: int, column: int = 0) -> None:
        super().__init__(message)
        self.line, self.column = line, column


@dataclass(slots=True)
class _Line:
    """One line that is written: its tokens, the blank lines above it, and how far it is indented."""

    tokens: list[tokenize.TokenInfo] = field(default_factory=list)
    blanks: int = 0
    indent: int = 0
    level: int = 0
    inside: bool = False
    joined: bool = False


def formatted(text: str, file: str = "module.star") -> str:
    """Return the text as it is written here. Raises BadCode for what is no Starlark."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    try:
        starlark.starlark_parse(file, plain)
    except starlark.Failed as failed:
        ended = _open_bracket(plain) if (failed.line, failed.column) == (1, 1) else None
        raise ended or BadCode(failed.message, failed.line, failed.column) from failed
    try:
        tokens = _tokens(plain)
        made = _written(_lines(tokens))
        again = _tokens(made)
    except (tokenize.TokenError, SyntaxError, ValueError, IndexError):
        return text  # Starlark that Python reads otherwise
    return made if _meaning(tokens) == _meaning(again) else text


def _open_bracket(text: str) -> BadCode | None:
    """Return where a bracket is opened that nothing closes, which the parser tells of as the first line."""
    opened: list[tokenize.TokenInfo] = []
    try:
        for token in tokenize.generate_tokens(iter([f"{line}\n" for line in text.split("\n")]).__next__):
            if token.type == tokenize.OP and token.string in _OPEN:
                opened.append(token)
            elif token.type == tokenize.OP and token.string in _CLOSE and opened:
                opened.pop()
    except (tokenize.TokenError, SyntaxError):
        if opened:
            line, column = opened[-1].start
            return BadCode(f"nothing closes this {opened[-1].string}", line, column + 1)
    return None


def _tokens(text: str) -> list[tokenize.TokenInfo]:
    return list(
        tokenize.generate_tokens(iter([f"{line}\n" for line in text.removesuffix("\n").split("\n")]).__next__)
    )


def _meaning(tokens: list[tokenize.TokenInfo]) -> list[tuple[int, object]]:
    """Return what must not change: every token that means something, texts by what they stand for, and where blocks begin and end."""
    found: list[tuple[int, object]] = []
    for token in tokens:
        if token.type in {tokenize.INDENT, tokenize.DEDENT, tokenize.NEWLINE}:
            found.append((token.type, ""))
        elif token.type == tokenize.STRING:
            found.append((token.type, ast.literal_eval(token.string)))
        elif token.type == tokenize.COMMENT:
            found.append((token.type, token.string.lstrip("# \t").rstrip()))
        elif token.type not in _SKIPPED:
            found.append((token.type, token.string))
    return found


def _lines(tokens: list[tokenize.TokenInfo]) -> list[_Line]:
    """Return tokens as lines with their indentation."""
    lines: list[_Line] = []
    current = _Line()
    widths = [0]
    opened: list[int] = []  # for each open bracket, the number of the line that opened it
    blanks = 0
    last_row = 0

    def start(token: tokenize.TokenInfo, index: int, *, joined: bool = False) -> _Line:
        line = _Line(blanks=0 if joined else blanks, inside=bool(opened), joined=joined)
        if token.type == tokenize.COMMENT and not opened:
            line.level = _comment_level(tokens, index, widths)
        else:
            line.level = len(widths) - 1
        line.indent = 4 * line.level + (4 if joined else 0)
        if opened:  # below the line that opened the bracket, or with it where this one closes it
            line.indent = lines[opened[-1]].indent + (0 if token.string in _CLOSE else 4)
        return line

    for index, token in enumerate(tokens):
        if token.type == tokenize.INDENT:
            widths.append(len(token.string.expandtabs()))
            continue
        if token.type == tokenize.DEDENT:
            widths.pop()
            continue
        if token.type == tokenize.ENDMARKER:
            break
        if token.type in {tokenize.NL, tokenize.NEWLINE}:
            if current.tokens:
                lines.append(current)
                current, blanks = _Line(), 0
            else:
                blanks += 1
            last_row = token.end[0]
            continue
        if not current.tokens:
            current = start(token, index)
        elif token.start[0] > last_row and current.tokens[-1].end[0] < token.start[0]:
            lines.append(current)  # a backslash joined two lines
            current = start(token, index, joined=True)
        current.tokens.append(token)
        last_row = token.end[0]
        if token.type == tokenize.OP and token.string in _OPEN:
            opened.append(len(lines))
        elif token.type == tokenize.OP and token.string in _CLOSE and opened:
            opened.pop()
    if current.tokens:
        lines.append(current)
    return lines


def _comment_level(tokens: list[tokenize.TokenInfo], index: int, widths: list[int]) -> int:
    """Return how deep a comment of its own line stands: with what follows it, unless it is written further to the right."""
    column = tokens[index].start[1]
    following = next(
        (one for one in tokens[index + 1 :] if one.type not in _SKIPPED or one.type == tokenize.ENDMARKER),
        None,
    )
    width = following.start[1] if following is not None and following.type != tokenize.ENDMARKER else 0
    if width > widths[-1] and column >= width:
        return len(widths)
    return max(level for level, known in enumerate(widths) if known <= column)


def _written(lines: list[_Line]) -> str:
    out: list[str] = []
    in_block = False
    for number, line in enumerate(lines):
        blanks = min(line.blanks, 1 if line.level or line.inside else 2)
        first = line.tokens[0].string
        if (
            not out
            or (line.inside and lines[number - 1].tokens[-1].string in _OPEN)
            or (line.inside and first in _CLOSE)
        ):
            blanks = 0
        elif line.level == 0 and not line.inside and not line.joined and not line.blanks:
            after_comment = (
                lines[number - 1].tokens[0].type == tokenize.COMMENT and not lines[number - 1].level
            )
            if (first == "def" and not after_comment) or in_block:
                blanks = 1
        if not line.inside and not line.joined:
            in_block = line.level > 0
        out.extend([""] * blanks)
        if line.joined:
            out[-1] += " \\"
        out.append(" " * line.indent + _spaced(line.tokens))
    return "\n".join(out).rstrip("\n") + "\n" if out else ""


def _spaced(tokens: list[tokenize.TokenInfo]) -> str:
    """Return the tokens of a line with the blanks between them."""
    made: list[str] = []
    brackets: list[str] = []
    unary = False
    lambdas: list[int] = []
    for index, token in enumerate(tokens):
        before = tokens[index - 1] if index else None
        text = _text(token)
        if before is not None:
            made.append(
                _gap(
                    before,
                    token,
                    unary=unary,
                    slicing=_slicing(brackets, lambdas),
                    index=index,
                    tokens=tokens,
                )
            )
        unary = (
            token.type == tokenize.OP
            and token.string in {"-", "+", "*", "**", "~"}
            and not _ends_value(before)
        )
        if token.string == "lambda":
            lambdas.append(len(brackets))
        elif token.string == ":" and lambdas and lambdas[-1] == len(brackets):
            lambdas.pop()
        if token.type == tokenize.OP and token.string in _OPEN:
            brackets.append("[]" if token.string == "[" and _ends_value(before) else token.string)
        elif token.type == tokenize.OP and token.string in _CLOSE and brackets:
            brackets.pop()
        made.append(text)
    return "".join(made).rstrip()


def _slicing(brackets: list[str], lambdas: list[int]) -> bool:
    return bool(brackets) and brackets[-1] == "[]" and not (lambdas and lambdas[-1] == len(brackets))


def _ends_value(token: tokenize.TokenInfo | None) -> bool:
    """Return whether a value ends with this token, so that what follows works on it."""
    if token is None:
        return False
    if token.type == tokenize.NAME:
        return token.string not in _WORDS
    return token.type in _MEANT or token.string in _CLOSE


def _gap(
    before: tokenize.TokenInfo,
    token: tokenize.TokenInfo,
    *,
    unary: bool,
    slicing: bool,
    index: int,
    tokens: list[tokenize.TokenInfo],
) -> str:
    """Return what stands between two tokens of a line."""
    left, right = before.string, token.string
    if token.type == tokenize.COMMENT:
        return "  "
    if unary or (before.type == tokenize.OP and left in {*_OPEN, "."}):
        return ""
    if token.type == tokenize.OP:
        if right in {*_CLOSE, ",", ";", "."}:
            return ""
        if right == ":":
            return ""
        if right in "([" and _ends_value(before):
            return ""
    if left == ":" and slicing:
        return ""
    if left == ":" and index >= 2 and slicing and tokens[index - 2].string == "[":
        return ""
    return " "


def _text(token: tokenize.TokenInfo) -> str:
    if token.type == tokenize.COMMENT:
        body = token.string.rstrip()
        bare = body.lstrip("#")
        return (
            body
            if not bare or bare[0] in " \t!:" or body.startswith("#!")
            else f"{body[: len(body) - len(bare)]} {bare}"
        )
    if token.type == tokenize.STRING and token.string[-1] == "'" and not token.string.endswith("'''"):
        head, _, body = token.string[:-1].partition("'")
        if '"' not in body and "\\" not in body:
            return f'{head}"{body}"'
    return token.string
