"""Regular expressions (RE2's) and globs: match, find, split, replace, and whether two patterns have a text in common.

An empty match right after another match does not count, as in Go. No pattern can make a match take more than linear time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from fairlead.tongues import regexes

from .collections import element_error
from .encodings import clean
from .formats import quoted
from .kinds import Builtin, BuiltinError, Context, bounded, encode, integer, short, table, text, wrong

_GO_WORDS = (
    ("missing ]", "missing closing ]"),
    ("missing )", "missing closing )"),
    ("no argument for repetition operator", "missing argument to repetition operator"),
    ("bad repetition operator", "invalid nested repetition operator"),
    ("invalid perl operator", "invalid or unsupported Perl syntax"),
    ("invalid repetition size", "invalid repeat count"),
    ("trailing \\", "trailing backslash at end of expression"),
)


def compiled(pattern: str) -> Any:
    """Return the compiled expression. Raises BuiltinError in Go's words."""
    try:
        return regexes.compile(clean(pattern))
    except regexes.BadPattern as error:
        what, _, where = str(error).partition(": ")
        for theirs, ours in _GO_WORDS:
            if what.startswith(theirs):
                what = ours
                break
        raise BuiltinError(f"error parsing regexp: {what}: `{where}`") from None


def match(_: Context, pattern: Any, value: Any) -> bool:
    """Tell whether the expression matches somewhere in the text."""
    expression, subject = text(pattern, 1), text(value, 2)
    return compiled(expression).search(clean(subject)) is not None


def is_valid(_: Context, pattern: Any) -> bool:
    """Tell whether the text is an expression."""
    if type(pattern) is not str:
        return False
    try:
        compiled(pattern)
    except BuiltinError:
        return False
    return True


def _matches(expression: Any, subject: str, limit: int = -1) -> Iterator[Any]:
    """Yield the matches one after another; an empty one that touches the match before it does not count."""
    end = -1
    left = limit
    count = 0
    for found in expression.finditer(subject):
        if left == 0:
            return
        if found.end() == found.start() == end:
            continue
        end = found.end()
        left -= 1
        count = bounded(count + 1)
        yield found


def find(_: Context, pattern: Any, value: Any, limit: Any) -> list[str]:
    """Return the first matches, all with a negative number."""
    expression, subject, most = text(pattern, 1), clean(text(value, 2)), integer(limit, 3)
    return [hit[0] for hit in _matches(compiled(expression), subject, most)]


def find_groups(_: Context, pattern: Any, value: Any, limit: Any) -> list[list[str]]:
    """Return the first matches, each with its groups; a group that took no part is empty."""
    expression, subject, most = text(pattern, 1), clean(text(value, 2)), integer(limit, 3)
    return [
        [hit[0], *[group or "" for group in hit.groups()]]
        for hit in _matches(compiled(expression), subject, most)
    ]


def split(_: Context, pattern: Any, value: Any) -> list[str]:
    """Split the text at the matches."""
    expression, subject = text(pattern, 1), clean(text(value, 2))
    if expression and not subject:
        return [""]
    pieces: list[str] = []
    begin = end = 0
    for hit in _matches(compiled(expression), subject):
        end = hit.start()
        if hit.end():
            pieces.append(subject[begin:end])
        begin = hit.end()
    if end != len(subject):
        pieces.append(subject[begin:])
    return pieces


_MOST_PIECES = 4_000_000
"""The most texts and references that one replacement may put together."""
_REFERENCE = re.compile(r"\$(?:\$|\{(\w+)\}|(\w+))")


@lru_cache(maxsize=512)
def _template(template: str) -> tuple[str | tuple[str], ...]:
    """Return a replacement's texts, and its references each as a tuple."""
    parts: list[str | tuple[str]] = []
    place = 0
    for found in _REFERENCE.finditer(template):
        parts.append(template[place : found.start()])
        parts.append("$" if found[0] == "$$" else (found[1] or found[2],))
        place = found.end()
    return (*parts, template[place:])


def replace(context: Context, value: Any, pattern: Any, new: Any) -> str:
    """Replace all matches; the replacement may name groups: `$1`, `${name}`."""
    subject, expression, template = clean(text(value, 1)), compiled(text(pattern, 2)), _template(text(new, 3))
    names: dict[str, int] = dict(expression.groupindex)
    out: list[str] = []
    place = size = steps = 0
    for hit in _matches(expression, subject):
        steps = bounded(steps + len(template), _MOST_PIECES, "pieces")
        said = "".join(
            [
                part if isinstance(part, str) else _group(hit, part[0], names, expression.groups)
                for part in template
            ]
        )
        out += [subject[place : hit.start()], said]
        size = short(size + len(out[-2]) + len(said))
        place = hit.end()
    context.spend(steps)
    out.append(subject[place:])
    return "".join(out)


def _group(hit: Any, name: str, names: dict[str, int], count: int) -> str:
    if name.isascii() and name.isdigit():
        place = int(name) if len(name) < 9 else count + 1
    else:
        place = names.get(name, count + 1)
    return (hit.group(place) or "") if place <= count else ""


def template_match(_: Context, pattern: Any, value: Any, start: Any, end: Any) -> bool:
    """Match a text against one that has expressions between two signs: `urn:foo:<[a-z]+>`."""
    whole, subject, opening, closing = (
        text(operand, place) for place, operand in enumerate((pattern, value, start, end), 1)
    )
    for name, sign in (("start", opening), ("end", closing)):
        if len(encode(sign)) != 1:
            raise BuiltinError(
                f"{name} delimiter has to be exactly one character long but is {len(encode(opening))} long"
            )
    return compiled(_expanded(whole, opening, closing)).search(clean(subject)) is not None


@lru_cache(maxsize=512)
def _expanded(whole: str, opening: str, closing: str) -> str:
    out: list[str] = ["^"]
    level = begun = place = 0
    for at, sign in enumerate(whole):
        if sign == opening:
            level += 1
            if level == 1:
                begun = at
        elif sign == closing:
            level -= 1
            if level < 0:
                raise BuiltinError(f"unbalanced braces in {quoted(whole)}")
            if not level:
                inner = whole[begun + 1 : at]
                compiled(f"^{inner}$")
                out += [_literal(whole[place:begun]), f"({inner})"]
                place = at + 1
    if level:
        raise BuiltinError(f"unbalanced braces in {quoted(whole)}")
    return "".join([*out, _literal(whole[place:]), "$"])


def _literal(value: str) -> str:
    return re.sub(r"[\\.+*?()|\[\]{}^$]", r"\\\g<0>", value)


def glob_match(_: Context, pattern: Any, delimiters: Any, value: Any) -> bool:
    """Match a text against a glob; `*` stops at the delimiters (a dot when the array is empty, none with null)."""
    glob = text(pattern, 1)
    if delimiters is None:
        stops = ""
    elif type(delimiters) is list:
        for delimiter in delimiters:
            if type(delimiter) is not str:
                raise element_error(2, delimiters, delimiter, "string")
            if len(delimiter) != 1:
                raise element_error(2, delimiters, delimiter, "rune")
        stops = "".join(delimiters) or "."
    else:
        raise wrong(2, delimiters, "array", "null")
    subject = text(value, 3)
    return _glob(glob, stops).search(clean(subject)) is not None


@lru_cache(maxsize=2048)
def _glob(glob: str, stops: str) -> Any:
    """Return the expression that a glob of gobwas' kind stands for."""
    inside = "".join(f"\\x{{{ord(sign):x}}}" for sign in clean(stops))
    one = f"[^{inside}]" if stops else "."
    out: list[str] = []
    level = place = 0
    while place < len(glob):
        sign = glob[place]
        place += 1
        if sign == "\\":
            if place == len(glob):
                raise BuiltinError("unexpected end of input")
            out.append(_literal(glob[place]))
            place += 1
        elif sign == "*":
            if glob[place : place + 1] == "*":
                out.append(".*")
                place += 1
            else:
                out.append(f"{one}*")
        elif sign == "?":
            out.append(one)
        elif sign == "[":
            place = _range(glob, place, out)
        elif sign == "{":
            level += 1
            out.append("(?:")
        elif sign == "}" and level:
            level -= 1
            out.append(")")
        elif sign == "," and level:
            out.append("|")
        else:
            out.append(_literal(sign))
    if level:
        raise BuiltinError("unexpected end of input")
    return compiled(f"(?s)\\A(?:{''.join(out)})\\z")


def _range(glob: str, place: int, out: list[str]) -> int:
    """Read a class, `[abc]` or `[a-c]`, both also with `!`; return the place after it."""
    negated = glob[place : place + 1] == "!"
    place += negated
    end = place
    signs: list[str] = []
    while glob[end : end + 1] != "]" or not signs:
        if end >= len(glob):
            raise BuiltinError("unexpected end of input")
        if glob[end] == "\\":
            end += 1
        signs.append(glob[end : end + 1])
        end += 1
    codes = [f"\\x{{{ord(sign):x}}}" for sign in signs if sign]
    if len(signs) == 3 and signs[1] == "-":
        if signs[0] > signs[2]:
            raise BuiltinError(
                f"hi character {quoted(signs[2])} should be greater than lo {quoted(signs[0])}"
            )
        codes = [f"{codes[0]}-{codes[2]}"]
    out.append(f"[{'^' if negated else ''}{''.join(codes)}]")
    return end + 1


def glob_quote(_: Context, value: Any) -> str:
    """Return the text with everything that means something in a glob escaped."""
    return re.sub(r"[*?\\\[\]{}]", r"\\\g<0>", text(value, 1))


def globs_match(context: Context, one: Any, other: Any) -> bool:
    """Tell whether two simple expressions (characters, `.`, classes, `*`, `+`) have a text in common."""
    left, right = _simple(text(one, 1)), _simple(text(other, 2))
    bounded(len(left) * len(right), 1_000_000, "steps")
    context.spend(len(left) * len(right))
    waiting = [(0, 0)]
    seen = {(0, 0)}

    def go(i: int, j: int) -> None:
        if (i, j) not in seen:
            seen.add((i, j))
            waiting.append((i, j))

    while waiting:
        i, j = waiting.pop()
        if i == len(left) and j == len(right):
            return True
        # What repeats may come no further time.
        if i < len(left) and left[i][1]:
            go(i + 1, j)
        if j < len(right) and right[j][1]:
            go(i, j + 1)
        if i < len(left) and j < len(right) and _share(left[i][0], right[j][0]):
            for a in {i + 1, i} if left[i][1] else {i + 1}:
                for b in {j + 1, j} if right[j][1] else {j + 1}:
                    go(a, b)
    return False


_Signs = tuple[tuple[str, str], ...]


def _share(one: _Signs, other: _Signs) -> bool:
    return any(low <= last and first <= high for low, high in one for first, last in other)


def _simple(glob: str) -> list[tuple[_Signs, bool]]:
    """Return the sets of characters one after another, and whether each may come any number of times."""
    out: list[tuple[_Signs, bool]] = []
    place = 0
    while place < len(glob):
        sign = glob[place]
        place += 1
        if sign == ".":
            signs: _Signs = (("\0", "\U0010ffff"),)
        elif sign == "[":
            signs, place = _simple_class(glob, place)
        elif sign in "*+]":
            raise _no_glob(glob, f"unexpected {sign}")
        else:
            if sign == "\\":
                if place == len(glob):
                    raise _no_glob(glob, "a trailing escape")
                sign = glob[place]
                place += 1
            signs = ((sign, sign),)
        repeat = glob[place : place + 1]
        if repeat and repeat in "*+":
            place += 1
            if repeat == "+":
                out.append((signs, False))
        out.append((signs, bool(repeat) and repeat in "*+"))
    return out


def _simple_class(glob: str, place: int) -> tuple[_Signs, int]:
    signs: list[tuple[str, str]] = []
    while glob[place : place + 1] != "]":
        first, place = _class_sign(glob, place)
        last = first
        if glob[place : place + 1] == "-":
            last, place = _class_sign(glob, place + 1)
            if last < first:
                raise _no_glob(glob, "a range that runs backwards")
        signs.append((first, last))
    return tuple(signs), place + 1


def _class_sign(glob: str, place: int) -> tuple[str, int]:
    if glob[place : place + 1] == "\\":
        place += 1
    if place >= len(glob):
        raise _no_glob(glob, "a class that does not end")
    return glob[place], place + 1


def _no_glob(glob: str, why: str) -> BuiltinError:
    return BuiltinError(f"input:{glob}, pos:0, {why}: the input provided is invalid")


BUILTINS = table(
    Builtin("regex.match", 2, match),
    Builtin("re_match", 2, match),
    Builtin("regex.is_valid", 1, is_valid),
    Builtin("regex.find_n", 3, find),
    Builtin("regex.find_all_string_submatch_n", 3, find_groups),
    Builtin("regex.split", 2, split),
    Builtin("regex.replace", 3, replace),
    Builtin("regex.template_match", 4, template_match),
    Builtin("regex.globs_match", 2, globs_match),
    Builtin("glob.match", 3, glob_match),
    Builtin("glob.quote_meta", 1, glob_quote),
)
