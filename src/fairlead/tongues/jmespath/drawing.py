"""Texts that a regular expression would match, drawn at random: `[a-z0-9]{6}` gives `k3x9wq`.

Randomness comes from the Moment; the same seed gives the same texts. Repetitions without an end stop at 10, and a text never grows
beyond a limit.
Source: github.com/zach-klippenstein/goregen, what its syntax takes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from fairlead.tongues.jmespath.kinds import Failed, Moment

_LONGEST = 10_000
_ENDLESS = 10

_Part: TypeAlias = Callable[[Moment], str]

_DIGITS = "0123456789"
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_WORD = _DIGITS + _LETTERS + "_"
_PRINTABLE = "".join(chr(code) for code in range(32, 127))
_CLASSES = {
    "d": _DIGITS,
    "w": _WORD,
    "s": " \t",
    "D": "".join(one for one in _PRINTABLE if one not in _DIGITS),
    "W": "".join(one for one in _PRINTABLE if one not in _WORD),
    "S": _PRINTABLE[1:],
}
_NAMED = {
    "alnum": _DIGITS + _LETTERS,
    "alpha": _LETTERS,
    "digit": _DIGITS,
    "lower": _LETTERS[:26],
    "upper": _LETTERS[26:],
    "xdigit": _DIGITS + "abcdefABCDEF",
    "word": _WORD,
}
_CONTROL = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}


def draw(pattern: str, moment: Moment) -> str:
    """Return a text that the pattern matches. Raises Failed for a pattern that is none, or whose texts would be too long."""
    if not pattern:
        raise Failed("no pattern provided")
    reader = _Reader(pattern)
    made = reader.choices()
    if reader.place < len(pattern):
        raise Failed(f"error parsing regexp: unexpected ): `{pattern}`")
    return made(moment)


class _Reader:
    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.place = 0
        self.size = 0

    def peek(self) -> str:
        return self.pattern[self.place : self.place + 1]

    def take(self) -> str:
        one = self.peek()
        if not one:
            raise Failed(f"error parsing regexp: unexpected end: `{self.pattern}`")
        self.place += 1
        return one

    def choices(self) -> _Part:
        ways = [self.sequence()]
        while self.peek() == "|":
            self.take()
            ways.append(self.sequence())
        return ways[0] if len(ways) == 1 else lambda moment: ways[moment.draw(len(ways))](moment)

    def sequence(self) -> _Part:
        parts: list[_Part] = []
        while self.peek() and self.peek() not in "|)":
            parts.append(self.repeated(self.one()))
        return lambda moment: "".join(part(moment) for part in parts)

    def one(self) -> _Part:
        character = self.take()
        if character == "(":
            if self.pattern.startswith("?:", self.place):
                self.place += 2
            inner = self.choices()
            if self.take() != ")":
                raise Failed(f"error parsing regexp: missing closing ): `{self.pattern}`")
            return inner
        if character == "[":
            return _any_of(self.members())
        if character == ".":
            return _any_of(_PRINTABLE)
        if character in "^$":
            return lambda _: ""
        if character in "*+?":
            raise Failed(f"error parsing regexp: missing argument to repetition operator: `{character}`")
        if character == "\\":
            return _any_of(self.escaped())
        return lambda _: character

    def escaped(self) -> str:
        character = self.take()
        return _CLASSES.get(character) or _CONTROL.get(character) or character

    def members(self) -> str:
        negated = self.peek() == "^"
        if negated:
            self.take()
        found: list[str] = []
        first = True
        while first or self.peek() != "]":
            first = False
            if self.pattern.startswith("[:", self.place):
                end = self.pattern.find(":]", self.place)
                name = self.pattern[self.place + 2 : end]
                if end < 0 or name not in _NAMED:
                    raise Failed(f"error parsing regexp: invalid character class range: `{self.pattern}`")
                found.append(_NAMED[name])
                self.place = end + 2
                continue
            character = self.take()
            chosen = self.escaped() if character == "\\" else character
            following = self.pattern[self.place + 1 : self.place + 2]
            if len(chosen) == 1 and self.peek() == "-" and following not in {"", "]"}:
                self.take()
                last = self.take()
                last = self.escaped() if last == "\\" else last
                if len(last) != 1 or ord(last) < ord(chosen) or ord(last) - ord(chosen) > 0xFFFF:
                    raise Failed(f"error parsing regexp: invalid character class range: `{chosen}-{last}`")
                chosen = "".join(chr(code) for code in range(ord(chosen), ord(last) + 1))
            found.append(chosen)
        self.take()
        members = "".join(found)
        if negated:
            members = "".join(one for one in _PRINTABLE if one not in members)
        return members or " "

    def repeated(self, part: _Part) -> _Part:
        mark = self.peek()
        if not mark or mark not in "*+?{":
            return part
        if mark == "{":
            bounds = self.bounds()
            if bounds is None:
                return part
            least, most = bounds
        else:
            self.take()
            least, most = {"*": (0, _ENDLESS), "+": (1, _ENDLESS), "?": (0, 1)}[mark]
        if self.peek() == "?":
            self.take()
        self.size += most
        if most < least or self.size > _LONGEST:
            raise Failed(f"error parsing regexp: invalid repeat count: `{self.pattern}`")
        return lambda moment: _times(part, least + moment.draw(most - least + 1), moment)

    def bounds(self) -> tuple[int, int] | None:
        end = self.pattern.find("}", self.place)
        least, comma, most = self.pattern[self.place + 1 : end].partition(",")
        if end < 0 or not least.isdigit() or (most and not most.isdigit()) or len(least + most) > 8:
            return None
        self.place = end + 1
        low = int(least)
        return low, int(most) if most else low + _ENDLESS if comma else low


def _any_of(members: str) -> _Part:
    return lambda moment: members[moment.draw(len(members))]


def _times(part: _Part, count: int, moment: Moment) -> str:
    made: list[str] = []
    size = 0
    for _ in range(count):
        one = part(moment)
        size += len(one)
        if size > _LONGEST:
            raise Failed("the generated text is too long")
        made.append(one)
    return "".join(made)
