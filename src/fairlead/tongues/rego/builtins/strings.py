"""Strings: find, cut, join, replace, trim, format.

Places and lengths count characters. Nothing here may make a text longer than the limit.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from fairlead.tongues.rego.values import Set, in_order, show

from .collections import texts
from .formats import Argument, sprintf
from .kinds import (
    Builtin,
    BuiltinError,
    Context,
    OperandError,
    an_object,
    bounded,
    integer,
    short,
    table,
    text,
    wrong,
)

_SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
"""What Go takes for white space."""


def _predicate(holds: Callable[[str, str], bool]) -> Callable[..., bool]:
    def call(_: Context, one: Any, other: Any) -> bool:
        if type(one) is str and type(other) is str:
            return holds(one, other)
        return holds(text(one, 1), text(other, 2))

    return call


def concat(_: Context, joint: Any, values: Any) -> str:
    """Join the strings of an array or a set."""
    between = text(joint, 1)
    if type(values) is not list and type(values) is not Set:
        raise wrong(2, values, "set", "array")
    found = texts(values, 2)
    short(sum(map(len, found)) + len(between) * len(found))
    return between.join(found)


def index_of(_: Context, whole: Any, piece: Any) -> int:
    """Return where the piece first begins, or -1."""
    base, search = text(whole, 1), text(piece, 2)
    if not search:
        raise BuiltinError("empty search character")
    return base.find(search)


def all_indexes(_: Context, whole: Any, piece: Any) -> list[int]:
    """Return everywhere that the piece begins, also where they overlap."""
    base, search = text(whole, 1), text(piece, 2)
    if not search:
        raise BuiltinError("empty search character")
    found: list[int] = []
    place = base.find(search)
    while place >= 0:
        found.append(place)
        bounded(len(found))
        place = base.find(search, place + 1)
    return found


def substring(_: Context, whole: Any, start: Any, length: Any) -> str:
    """Return the part from a place on, of a length; a negative length means all the rest."""
    base, first, size = text(whole, 1), integer(start, 2), integer(length, 3)
    if first < 0:
        raise BuiltinError("negative offset")
    return base[first:] if size < 0 else base[first : first + size]


def split(_: Context, whole: Any, delimiter: Any) -> list[str]:
    """Split at a delimiter; at an empty one, into characters."""
    base, between = text(whole, 1), text(delimiter, 2)
    bounded(len(base) if not between else base.count(between))
    return base.split(between) if between else list(base)


def replace(_: Context, whole: Any, old: Any, new: Any) -> str:
    """Replace all of a text by another; an empty one stands between all characters."""
    base, before, after = text(whole, 1), text(old, 2), text(new, 3)
    short(len(base) + base.count(before) * max(len(after) - len(before), 0))
    return base.replace(before, after)


def replace_all(_: Context, patterns: Any, whole: Any) -> str:
    """Replace several texts at once; where more than one fits, the first in order wins."""
    pairs = an_object(patterns, 1)
    base = text(whole, 2)
    names = [name if type(name) is str else name.value for name in pairs]
    for name in in_order(names):
        if type(name) is not str:
            raise OperandError("operand 1 non-string key found in pattern object")
        if type(pairs[name]) is not str:
            raise OperandError("operand 1 non-string value found in pattern object")
    if not pairs:
        return base
    if "" in pairs and len(pairs) > 1:
        return _with_empty(pairs, base)
    ordered = sorted(pairs)
    if ordered == [""]:
        short(len(base) + (len(base) + 1) * len(pairs[""]))
        return base.replace("", pairs[""])
    size = 0

    def one(found: re.Match[str]) -> str:
        nonlocal size
        after: str = pairs[found[0]]
        size = short(size + len(after))
        return after

    # Alternatives that begin alike: the first in order is the shorter, as it is in Go's replacer.
    expression = "|".join(map(re.escape, ordered))
    return re.sub(expression, one, base)


def _with_empty(pairs: dict[str, str], base: str) -> str:
    """Replace where one of the texts is empty: what stands for it comes before every character and every other text."""
    others = re.compile("|".join(re.escape(name) for name in sorted(pairs) if name))
    out: list[str] = []
    place = size = 0
    while place < len(base):
        found = others.match(base, place)
        out += [pairs[""], pairs[found[0]] if found else base[place]]
        place = found.end() if found else place + 1
        size = short(size + len(out[-1]) + len(out[-2]))
    return "".join([*out, pairs[""]])


def _trimmer(change: Callable[[str, str], str]) -> Callable[..., str]:
    return lambda _, whole, signs: change(text(whole, 1), text(signs, 2))


def _strip(side: Callable[..., str]) -> Callable[[str, str], str]:
    return lambda whole, signs: side(whole, signs) if signs else whole


def _groups(values: Any, place: int) -> list[str]:
    if type(values) is str:
        return [values]
    return texts(values, place, "string", "set", "array")


def any_prefix(_: Context, values: Any, prefixes: Any) -> bool:
    """Tell whether one of the strings begins with one of the prefixes."""
    found, wanted = _groups(values, 1), tuple(_groups(prefixes, 2))
    return any(value.startswith(wanted) for value in found)


def any_suffix(_: Context, values: Any, suffixes: Any) -> bool:
    """Tell whether one of the strings ends with one of the suffixes."""
    found, wanted = _groups(values, 1), tuple(_groups(suffixes, 2))
    return any(value.endswith(wanted) for value in found)


def count(_: Context, whole: Any, piece: Any) -> int:
    """Count how often a text is in another, without overlap."""
    return text(whole, 1).count(text(piece, 2))


def lower(_: Context, value: Any) -> str:
    """Return the text in small letters, each letter by itself."""
    found = text(value, 1)
    return found.lower() if found.isascii() else "".join(map(_lower, found))


def upper(_: Context, value: Any) -> str:
    """Return the text in capitals, each letter by itself."""
    found = text(value, 1)
    return found.upper() if found.isascii() else "".join(map(_upper, found))


def _lower(sign: str) -> str:
    changed = sign.lower()
    return changed if len(changed) == 1 else changed[0] if sign == "\u0130" else sign


def _upper(sign: str) -> str:
    changed = sign.upper()
    return changed if len(changed) == 1 else sign


def format_text(_: Context, template: Any, values: Any) -> str:
    """Fill in a template as Go's Sprintf does."""
    pattern = text(template, 1)
    if type(values) is not list:
        raise wrong(2, values, "array")
    if pattern == "%d" and len(values) == 1 and type(values[0]) is int:
        return str(values[0]) if values[0].bit_length() < 64 else sprintf(pattern, values)
    return sprintf(pattern, [_argument(value) for value in values])


def _argument(value: Any) -> Argument:
    return value if type(value) in {str, int, float} else show(value)


def template_string(_: Context, parts: Any) -> str:
    """Join the parts of an interpolated string; an expression comes as a set, empty where it is undefined."""
    if type(parts) is not list:
        raise wrong(1, parts, "array")
    return "".join([said(part) for part in parts])


def said(part: Any) -> str:
    """Return the text of one operand of print or of an interpolated string: itself, or the only element of a set."""
    if type(part) is str:
        return part
    if type(part) is not Set:
        return show(part)
    if not part:
        return "<undefined>"
    return " ".join(value if type(value) is str else show(value) for value in part.sorted())


BUILTINS = table(
    Builtin("concat", 2, concat),
    Builtin("contains", 2, _predicate(lambda whole, piece: piece in whole)),
    Builtin("startswith", 2, _predicate(str.startswith)),
    Builtin("endswith", 2, _predicate(str.endswith)),
    Builtin("indexof", 2, index_of),
    Builtin("indexof_n", 2, all_indexes),
    Builtin("substring", 3, substring),
    Builtin("split", 2, split),
    Builtin("replace", 3, replace),
    Builtin("strings.replace_n", 2, replace_all),
    Builtin("strings.reverse", 1, lambda _, value: text(value, 1)[::-1]),
    Builtin("strings.count", 2, count),
    Builtin("strings.any_prefix_match", 2, any_prefix),
    Builtin("strings.any_suffix_match", 2, any_suffix),
    Builtin("lower", 1, lower),
    Builtin("upper", 1, upper),
    Builtin("trim", 2, _trimmer(_strip(str.strip))),
    Builtin("trim_left", 2, _trimmer(_strip(str.lstrip))),
    Builtin("trim_right", 2, _trimmer(_strip(str.rstrip))),
    Builtin("trim_prefix", 2, _trimmer(str.removeprefix)),
    Builtin("trim_suffix", 2, _trimmer(str.removesuffix)),
    Builtin("trim_space", 1, lambda _, value: text(value, 1).strip(_SPACES)),
    Builtin("sprintf", 2, format_text),
    Builtin("internal.template_string", 1, template_string),
)
