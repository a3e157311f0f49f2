"""Sprig's functions over texts. Positions count bytes, as in Go. Source: github.com/Masterminds/sprig/v3, goutils, xstrings.

What can make a text grow is charged to the run's budget before it is made.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, Final

from fairlead.tongues.gotemplate.kinds import (
    Function,
    GoError,
    StringMap,
    Strings,
    Struct,
    octets,
    textual,
)
from fairlead.tongues.gotemplate.printing import quoted, sprint, sprintf, verbatim
from fairlead.tongues.gotemplate.states import State

SPACES: Final = " \t\n\v\f\r\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
"""What Go counts as space."""


def strval(value: Any) -> str:
    """Return a value as a text, as most functions take it."""
    if type(value) is str:
        return str(value)
    if type(value) is bytes:
        return textual(value)
    if isinstance(value, Struct) and value.text is not None:
        return value.text()
    return verbatim(value)


def strslice(value: Any) -> Strings:
    """Return a list's items as texts, without nils; anything else is the only item."""
    if isinstance(value, list):
        return Strings(strval(item) for item in value if item is not None)
    if type(value) is bytes:
        return Strings(str(octet) for octet in value)
    return Strings() if value is None else Strings([strval(value)])


def cut(text: str, start: int | None, end: int | None) -> str:
    """Return a part of the text by bytes. Raises GoError for a part that is not there."""
    size = len(text) if text.isascii() else len(octets(text))
    if end is not None and not 0 <= end <= size:
        raise GoError(
            f"runtime error: slice bounds out of range [:{end}]"
            + (f" with length {size}" if end >= 0 else "")
        )
    last = size if end is None else end
    first = 0 if start is None else start
    if first < 0:
        raise GoError(f"runtime error: slice bounds out of range [{first}:]")
    if first > last:
        raise GoError(f"runtime error: slice bounds out of range [{first}:{last}]")
    return text[first:last] if size == len(text) else textual(octets(text)[first:last])


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(octets(text))


def _each(change: Callable[[str], str]) -> Callable[[str], str]:
    """A change of case, letter by letter: Go never makes two letters of one."""

    def changed(text: str) -> str:
        whole = change(text)
        if text.isascii():
            return whole
        return "".join(new if len(new := change(letter)) == 1 else letter for letter in text)

    return changed


upper, lower = _each(str.upper), _each(str.lower)


def _title(text: str) -> str:
    letters, before = [], " "
    for letter in text:
        if before.isascii():
            starts = not (before.isalnum() or before == "_")
        else:
            starts = not before.isalnum() and before in SPACES
        letters.append(upper(letter) if starts else letter)
        before = letter
    return "".join(letters)


def _untitle(text: str) -> str:
    letters, starts = [], True
    for letter in text:
        letters.append(lower(letter) if starts else letter)
        starts = letter in SPACES
    return "".join(letters)


def _swapcase(text: str) -> str:
    return "".join(
        lower(letter)
        if letter.isupper() or letter.istitle()
        else upper(letter)
        if letter.islower()
        else letter
        for letter in text
    )


def _initials(text: str) -> str:
    letters, starts = [], True
    for letter in text:
        if letter in SPACES:
            starts = True
        elif starts:
            letters.append(letter)
            starts = False
    return "".join(letters)


def _abbrev(width: int, text: str) -> str:
    return text if width < 4 else _abbreviated(text, 0, width)


def _abbrevboth(left: int, right: int, text: str) -> str:
    if right < 4 or (left > 0 and right < 7):
        return text
    return _abbreviated(text, left, right)


def _abbreviated(text: str, offset: int, width: int) -> str:
    size = _size(text)
    if width < 4:
        return ""
    if size <= width:
        return text
    offset = min(offset, size)
    if size - offset < width - 3:
        offset = size - (width - 3)
    if offset <= 4:
        return cut(text, 0, width - 3) + "..."
    if width < 7:
        return ""
    if offset + width - 3 < size:
        return "..." + _abbreviated(cut(text, offset, None), 0, width - 3)
    return "..." + cut(text, size - (width - 3), None)


def _trunc(count: int, text: str) -> str:
    if count < 0 and _size(text) + count > 0:
        return cut(text, _size(text) + count, None)
    if 0 <= count < _size(text):
        return cut(text, None, count)
    return text


def _substr(start: int, end: int, text: str) -> str:
    if start < 0:
        return cut(text, None, end)
    if end < 0 or end > _size(text):
        return cut(text, start, None)
    return cut(text, start, end)


def _repeat(state: State, count: int, text: str) -> str:
    if count < 0:
        raise GoError("strings: negative Repeat count")
    state.charge(count * len(text))
    return text * count


def _indent(state: State, count: int, text: str) -> str:
    if count < 0:
        raise GoError("strings: negative Repeat count")
    breaks = text.count("\n")
    state.charge(len(text) + count * (breaks + 1))
    pad = " " * count
    return pad + (text.replace("\n", "\n" + pad) if breaks else text)


def _nindent(state: State, count: int, text: str) -> str:
    return "\n" + _indent(state, count, text)


def _replace(state: State, old: str, new: str, text: str) -> str:
    found = text.count(old) if old else len(text) + 1
    state.charge(len(text) + found * len(new))
    return text.replace(old, new)


def _cat(state: State, *values: Any) -> str:
    made = " ".join(verbatim(value) for value in values if value is not None)
    state.charge(len(made))
    return made


def _quote(*values: Any) -> str:
    if len(values) == 1 and type(values[0]) is str:
        return quoted(values[0])
    return " ".join(quoted(strval(value)) for value in values if value is not None)


def _squote(*values: Any) -> str:
    return " ".join(f"'{verbatim(value)}'" for value in values if value is not None)


def _join(state: State, separator: str, values: Any) -> str:
    parts = strslice(values)
    state.charge(sum(map(len, parts)) + len(separator) * len(parts))
    return separator.join(parts)


def split(text: str, separator: str, most: int = -1) -> list[str]:
    """Return the parts of the text, at most so many; an empty separator gives every letter (strings.SplitN)."""
    if most == 0:
        return []
    if not separator:
        letters = list(text)
        return [*letters[: most - 1], "".join(letters[most - 1 :])] if 0 < most < len(letters) else letters
    return text.split(separator, most - 1 if most > 0 else -1)


def _numbered(parts: list[str]) -> StringMap:
    return StringMap((f"_{place}", part) for place, part in enumerate(parts))


def _wrapped(state: State, text: str, width: int, separator: str, breaks_words: bool) -> str:
    width, separator = max(width, 1), separator or "\n"
    state.charge(len(text) * (1 + len(separator)))
    data, wrap, at = octets(text), octets(separator), 0
    lines: list[bytes] = []
    while len(data) - at > width:
        if data[at : at + 1] == b" ":
            at += 1
            continue
        space = data.rfind(b" ", at, at + width + 1)
        if space >= 0:
            lines += (data[at:space], wrap)
            at = space + 1
        elif breaks_words:
            lines += (data[at : at + width], wrap)
            at += width
        else:
            space = data.find(b" ", at + width)
            if space < 0:
                break
            lines += (data[at:space], wrap)
            at = space + 1
    return textual(b"".join(lines) + data[at:])


def _printf(state: State, form: str, *values: Any) -> str:
    widest = max([1, *(min(int(size), 1_000_000) for size in re.findall(r"[0-9]{4,9}", form))])
    state.charge(widest)
    made = sprintf(form, values)
    state.charge(len(made))
    return made


def _print(state: State, *values: Any) -> str:
    made = sprint(values)
    state.charge(len(made))
    return made


def _println(state: State, *values: Any) -> str:
    made = " ".join(verbatim(value) for value in values) + "\n"
    state.charge(len(made))
    return made


# snakecase, kebabcase, camelcase: after xstrings, which looks at runs of like letters.

_NUMBER, _UPPER, _LETTERS, _CONNECTOR, _MARK, _OTHER = (
    "number",
    "upper",
    "letters",
    "connector",
    "mark",
    "other",
)


def _connects(letter: str) -> bool:
    return letter in {"-", "_"} or letter in SPACES


def _sort(letter: str) -> str:
    if _connects(letter):
        return _CONNECTOR
    if unicodedata.category(letter).startswith("P"):
        return _MARK
    if letter.isupper():
        return _UPPER
    if letter.islower() or letter.isalpha():
        return _LETTERS if letter.islower() or letter.isalpha() else _OTHER
    return _NUMBER if letter.isnumeric() else _OTHER


def _runs(text: str) -> list[tuple[str, str]]:
    """The text in runs: a capital goes with the small letters behind it, several capitals without the last before a small one."""
    runs: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        sort, end = _sort(text[at]), at + 1
        if sort == _UPPER:
            if end < len(text) and _sort(text[end]) == _UPPER:
                while end < len(text) and _sort(text[end]) == _UPPER:
                    end += 1
                if end < len(text) and _sort(text[end]) == _LETTERS:
                    end -= 1
            else:
                while end < len(text) and _sort(text[end]) == _LETTERS:
                    end += 1
        else:
            while end < len(text) and _sort(text[end]) == sort:
                end += 1
        runs.append((sort, text[at:end]))
        at = end
    return runs


def _joined(connector: str) -> Callable[[str], str]:
    def changed(text: str) -> str:
        parts: list[str] = []

        def add(sort: str, word: str) -> None:
            if sort == _CONNECTOR:
                parts.append(connector * len(word))
            else:
                parts.append(lower(word) if sort == _UPPER else word)

        runs = [*_runs(text), ("", "")]
        at = 0

        def swallow() -> None:
            """Letters and numbers that go on from a number belong to it."""
            nonlocal at
            while runs[at][0] in {_LETTERS, _NUMBER}:
                add(*runs[at])
                at += 1

        if len(runs) == 1:
            return ""
        while runs[at + 1][0]:
            sort, word = runs[at]
            if sort != _CONNECTOR:
                add(sort, word)
            at += 1
            following = runs[at][0]
            if sort == _NUMBER:
                swallow()
                if runs[at][0] and runs[at][0] not in {_MARK, _CONNECTOR}:
                    parts.append(connector)
                if not runs[at][0]:
                    return "".join(parts)
            elif sort == _CONNECTOR:
                add(sort, word)
            elif sort != _MARK:
                if following != _NUMBER:
                    if following not in {_CONNECTOR, _MARK}:
                        parts.append(connector)
                elif runs[at + 1][0]:
                    number = runs[at]
                    at += 1
                    if runs[at][0] != _LETTERS:
                        add(*number)
                        if runs[at][0] not in {_CONNECTOR, _MARK}:
                            parts.append(connector)
                    else:
                        parts.append(connector)
                        add(*number)
                        swallow()
                        if runs[at][0] and runs[at][0] not in {_CONNECTOR, _MARK}:
                            parts.append(connector)
                        if not runs[at][0]:
                            return "".join(parts)
        add(*runs[at])
        return "".join(parts)

    return changed


def _camelcase(text: str) -> str:
    lead = 0
    while lead < len(text) and _connects(text[lead]):
        lead += 1
    if lead == len(text):
        return text
    parts = [text[:lead]]
    was_upper = text[lead].isupper()
    now = upper(text[lead])
    if lead + 1 == len(text):
        return text[:lead] + now
    for letter in text[lead + 1 :]:
        before, now = now, letter
        if _connects(now) and _connects(before):
            parts.append(before)
            continue
        if _connects(before):
            was_upper = now.isupper()
            now = upper(now)
        else:
            if was_upper:
                if now.isupper():
                    now = lower(now)
                else:
                    was_upper = False
            parts.append(before)
    return "".join(parts) + now


def _random(letters: str) -> Callable[[State, int], str]:
    def drawn(state: State, count: int) -> str:
        if count < 0:
            return ""
        state.charge(count)
        return "".join(letters[state.below(len(letters))] for _ in range(count))

    return drawn


_SMALL, _DIGITS = "abcdefghijklmnopqrstuvwxyz", "0123456789"


def _shuffle(state: State, text: str) -> str:
    letters = list(text)
    for place in range(len(letters) - 1, 0, -1):
        other = state.below(place + 1)
        letters[place], letters[other] = letters[other], letters[place]
    return "".join(letters)


TEXTS: Final[Mapping[str, Function]] = {
    "abbrev": Function(_abbrev, "is"),
    "abbrevboth": Function(_abbrevboth, "iis"),
    "camelcase": Function(_camelcase, "s"),
    "cat": Function(_cat, "", "a", state=True),
    "contains": Function(lambda part, text: part in text, "ss"),
    "hasPrefix": Function(lambda part, text: text.startswith(part), "ss"),
    "hasSuffix": Function(lambda part, text: text.endswith(part), "ss"),
    "hello": Function(lambda: "Hello!"),
    "indent": Function(_indent, "is", state=True),
    "initials": Function(_initials, "s"),
    "join": Function(_join, "sa", state=True),
    "kebabcase": Function(_joined("-"), "s"),
    "lower": Function(lower, "s"),
    "nindent": Function(_nindent, "is", state=True),
    "nospace": Function(lambda text: "".join(letter for letter in text if letter not in SPACES), "s"),
    "plural": Function(lambda one, many, count: one if count == 1 else many, "ssi"),
    "print": Function(_print, "", "a", state=True),
    "printf": Function(_printf, "s", "a", state=True),
    "println": Function(_println, "", "a", state=True),
    "quote": Function(_quote, "", "a"),
    "randAlpha": Function(_random(_SMALL + _SMALL.upper()), "i", state=True),
    "randAlphaNum": Function(_random(_SMALL + _SMALL.upper() + _DIGITS), "i", state=True),
    "randAscii": Function(_random("".join(map(chr, range(32, 127)))), "i", state=True),
    "randNumeric": Function(_random(_DIGITS), "i", state=True),
    "repeat": Function(_repeat, "is", state=True),
    "replace": Function(_replace, "sss", state=True),
    "shuffle": Function(_shuffle, "s", state=True),
    "snakecase": Function(_joined("_"), "s"),
    "sortAlpha": Function(
        lambda value: (
            Strings(sorted(strslice(value), key=octets))
            if isinstance(value, list)
            else Strings([strval(value)])
        ),
        "a",
    ),
    "split": Function(lambda separator, text: _numbered(split(text, separator)), "ss"),
    "splitList": Function(lambda separator, text: Strings(split(text, separator)), "ss"),
    "splitn": Function(lambda separator, most, text: _numbered(split(text, separator, most)), "sis"),
    "squote": Function(_squote, "", "a"),
    "substr": Function(_substr, "iis"),
    "swapcase": Function(_swapcase, "s"),
    "title": Function(_title, "s"),
    "toString": Function(strval, "a"),
    "toStrings": Function(strslice, "a"),
    "trim": Function(lambda text: text.strip(SPACES), "s"),
    "trimAll": Function(lambda letters, text: text.strip(letters), "ss"),
    "trimall": Function(lambda letters, text: text.strip(letters), "ss"),
    "trimPrefix": Function(lambda part, text: text.removeprefix(part), "ss"),
    "trimSuffix": Function(lambda part, text: text.removesuffix(part), "ss"),
    "trunc": Function(_trunc, "is"),
    "untitle": Function(_untitle, "s"),
    "upper": Function(upper, "s"),
    "wrap": Function(lambda state, width, text: _wrapped(state, text, width, "", False), "is", state=True),
    "wrapWith": Function(
        lambda state, width, sep, text: _wrapped(state, text, width, sep, True), "iss", state=True
    ),
}
"""The functions by name."""
