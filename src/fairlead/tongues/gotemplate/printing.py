"""Go's fmt over template values: what a value prints as, and printf with all its verbs and flags.

Must never make a text larger than it is allowed: widths and precisions are limited. Source: go.dev/pkg/fmt, go.dev/pkg/strconv.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Final

from fairlead.tongues.gotemplate.kinds import (
    INTEGERS,
    UNSIGNED,
    Duration,
    GoError,
    Struct,
    octets,
    sorted_keys,
    type_name,
)

WIDEST: Final = 1_000_000
"""The largest width or precision; Go takes the same."""
DEEPEST: Final = 200
"""How deep a value may be nested that is printed."""

_QUOTED: Final = {
    7: "\\a",
    8: "\\b",
    12: "\\f",
    10: "\\n",
    13: "\\r",
    9: "\\t",
    11: "\\v",
    92: "\\\\",
    34: '\\"',
}
_SPECIAL = re.compile(r"[^ !#-\[\]-~]")


def _escape(match: re.Match[str]) -> str:
    letter = match.group()
    code = ord(letter)
    if code in _QUOTED:
        return _QUOTED[code]
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    if letter.isprintable():
        return letter
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def quoted(text: str) -> str:
    """Return the text in double quotes as Go writes it (%q)."""
    return f'"{_SPECIAL.sub(_escape, text)}"'


def shortest(value: float) -> tuple[str, int]:
    """Return the fewest digits that stand for a positive number, and where its point is: 0.00123 is ("123", -2)."""
    mantissa, _, power = repr(value).partition("e")
    whole, _, part = mantissa.partition(".")
    if part == "0":
        part = ""
    digits = (whole + part).lstrip("0")
    point = len(whole) + int(power or 0) - (len(whole + part) - len(digits))
    digits = digits.rstrip("0")
    return (digits, point) if digits else ("0", 1)


def float_text(value: float, verb: str = "g", precision: int = -1, most: int = 6) -> str:
    """Return a number as strconv.FormatFloat does; `most` is the exponent from which %g of the shortest form has an e."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    sign = "-" if math.copysign(1, value) < 0 else ""
    value = abs(value)
    if precision >= 0:
        return sign + _fixed(value, verb, precision)
    digits, point = shortest(value)
    if value == 0:
        digits, point = "0", 1
    exponent = point - 1
    if verb == "f" or (verb == "g" and -4 <= exponent < max(most, 0)):
        return sign + _plain(digits, point)
    if verb == "g" and value == 0:
        return f"{sign}0"
    head = digits[0] + (f".{digits[1:]}" if len(digits) > 1 else "")
    return f"{sign}{head}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def _plain(digits: str, point: int) -> str:
    if point <= 0:
        return "0." + "0" * -point + digits
    if point >= len(digits):
        return digits + "0" * (point - len(digits))
    return f"{digits[:point]}.{digits[point:]}"


def _fixed(value: float, verb: str, precision: int) -> str:
    precision = min(precision, WIDEST)
    if verb in {"e", "f"}:
        return f"{value:.{precision}{verb}}"
    text = f"{value:.{max(precision, 1)}g}"
    if "e" not in text and value:
        digits, point = shortest(value)
        exponent = point - 1
        # Go looks at the digits that there are, where they are fewer than the precision.
        wanted = max(precision, 1)
        if len(digits) < wanted and len(digits) >= point:
            wanted = len(digits)
        if exponent >= max(wanted, 1) and exponent >= max(precision, 1):
            return f"{value:.{max(precision, 1) - 1}e}"
    return text


def text_of(value: Any) -> str:
    """Return what {{ value }} prints."""
    kind = type(value)
    if kind is str:
        return str(value)
    if kind is bool:
        return "true" if value else "false"
    if kind is int:
        return int.__repr__(value)
    if value is None:
        return "<no value>"
    if isinstance(value, Struct) and value.addressed is not None:
        return value.addressed()
    if isinstance(value, Struct) and value.pointer and value.text is None:
        return _value(value, "v", _Flags(), 0).removeprefix("&")
    return _value(value, "v", _Flags(), 0)


def sprint(values: Sequence[Any]) -> str:
    """Return the values one after the other, with a space between two that are no texts (fmt.Sprint)."""
    parts: list[str] = []
    before: Any = ""
    for index, value in enumerate(values):
        if index and type(value) is not str and type(before) is not str:
            parts.append(" ")
        parts.append(verbatim(value))
        before = value
    return "".join(parts)


def verbatim(value: Any) -> str:
    """Return what %v makes of a value."""
    return str(value) if type(value) is str else _value(value, "v", _Flags(), 0)


class _Flags:
    """What stands between the percent sign and the verb. Width and precision are -1 where none is given."""

    __slots__ = ("minus", "plus", "precision", "sharp", "space", "width", "zero")

    def __init__(self) -> None:
        self.plus = self.minus = self.sharp = self.space = self.zero = False
        self.width = self.precision = -1


_DIRECTIVE = re.compile(
    r"%([+\-# 0]*)(\[[^\]]*\])?(\*|[0-9]+)?(\.(?:(\[[^\]]*\])?(\*|[0-9]*)))?(\[[^\]]*\])?(.)?", re.DOTALL
)


def sprintf(form: str, values: Sequence[Any]) -> str:
    """Return the text that the form makes of the values (fmt.Sprintf), with Go's remarks where they do not fit."""
    result: list[str] = []
    end, taken, reordered = 0, 0, False
    for match in _DIRECTIVE.finditer(form):
        result.append(form[end : match.start()])
        end = match.end()
        signs, index_width, width, point, index_point, precision, index, verb = match.groups()
        flags = _Flags()
        flags.plus, flags.minus = "+" in signs, "-" in signs
        flags.sharp, flags.space = "#" in signs, " " in signs
        flags.zero = "0" in signs
        bad = False
        good_index = True
        for bracketed, number, which in (
            (index_width, width, "width"),
            (index_point, precision, "precision"),
        ):
            if bracketed and number != "*":
                index = bracketed
            elif bracketed:
                chosen = _chosen(bracketed, len(values))
                good_index, reordered = chosen is not None, True
                taken = chosen if chosen is not None else taken
            if number == "*":
                star: Any = values[taken] if taken < len(values) else None
                if type(star) in INTEGERS and abs(star) <= WIDEST:
                    if which == "width" and star < 0:
                        flags.minus, flags.zero, star = True, False, -star
                    setattr(flags, which, int(star) if star >= 0 else -1)
                else:
                    result.append("%!(BADWIDTH)" if which == "width" else "%!(BADPREC)")
                taken += taken < len(values)
            elif number:
                size = int(number) if len(number) < 8 else WIDEST + 1
                bad = bad or size > WIDEST
                setattr(flags, which, size if size <= WIDEST else -1)
        if point is not None and not precision:
            flags.precision = 0
        if bad:
            result.append("%!(BADWIDTH)" if flags.precision < 0 else "%!(BADPREC)")
        if index:
            chosen = _chosen(index, len(values))
            good_index, reordered = chosen is not None, True
            taken = chosen if chosen is not None else taken
        if verb is None:
            result.append("%!(NOVERB)")
            break
        if verb == "%":
            result.append("%")
        elif not good_index:
            result.append(f"%!{verb}(BADINDEX)")
        elif taken >= len(values):
            result.append(f"%!{verb}(MISSING)")
        else:
            result.append(_argument(values[taken], verb, flags))
            taken += 1
    result.append(form[end:])
    if not reordered and taken < len(values):
        rest = ", ".join(
            "<nil>" if value is None else f"{type_name(value)}={verbatim(value)}" for value in values[taken:]
        )
        result.append(f"%!(EXTRA {rest})")
    return "".join(result)


def _chosen(written: str, count: int) -> int | None:
    digits = written[1:-1]
    if not digits.isdigit() or len(digits) > 7 or not 1 <= int(digits) <= count:
        return None
    return int(digits) - 1


def _argument(value: Any, verb: str, flags: _Flags) -> str:
    if verb == "T":
        return _padded(type_name(value), flags)
    if verb == "p":
        return f"%!p({type_name(value)}={verbatim(value)})"
    if value is None:
        return _padded("<nil>", flags) if verb == "v" else "%!" + verb + "(<nil>)"
    return _value(value, verb, flags, 0)


def _value(value: Any, verb: str, flags: _Flags, depth: int) -> str:
    if depth > DEEPEST:
        raise GoError(f"a value is nested more than {DEEPEST} levels deep, or contains itself")
    kind = type(value)
    if kind is str:
        return _string(value, verb, flags)
    if kind is bool:
        if verb in {"v", "t"}:
            return _padded("true" if value else "false", flags)
        return _unfit(value, verb, flags)
    if kind is Duration and verb in {"v", "s"}:
        return _padded(duration_text(value), flags)
    if kind in INTEGERS or kind in UNSIGNED:
        return _integer(value, verb, flags)
    if kind is float:
        return _float(value, verb, flags)
    if value is None:
        return "interface {}(nil)" if verb == "v" and flags.sharp else _padded("<nil>", flags)
    if isinstance(value, Struct):
        return _struct(value, verb, flags, depth)
    if kind is bytes:
        if verb in {"s", "q", "x", "X"}:
            return _string(value.decode("utf-8", "surrogateescape"), verb, flags)
        inner = " ".join(_integer(octet, "d" if verb == "v" else verb, flags) for octet in value)
        return f"[{inner}]"
    if isinstance(value, dict):
        if verb == "v" and flags.sharp:
            inner = ", ".join(
                f"{quoted(key)}:{_value(value[key], verb, flags, depth + 1)}" for key in sorted_keys(value)
            )
            return f"{type_name(value)}{{{inner}}}"
        inner = " ".join(
            f"{_string(key, verb, flags)}:{_value(value[key], verb, flags, depth + 1)}"
            for key in sorted_keys(value)
        )
        return f"map[{inner}]"
    if isinstance(value, list):
        if verb == "v" and flags.sharp:
            return (
                f"{type_name(value)}{{{', '.join(_value(item, verb, flags, depth + 1) for item in value)}}}"
            )
        return f"[{' '.join([_value(item, verb, flags, depth + 1) for item in value])}]"
    return _unfit(value, verb, flags)


def _struct(value: Struct, verb: str, flags: _Flags, depth: int) -> str:
    if value.text is not None and not flags.sharp:
        return _string(value.text(), verb, flags)
    parts = [
        f"{name}:{_value(item, verb, flags, depth + 1)}"
        if flags.plus or flags.sharp
        else _value(item, verb, flags, depth + 1)
        for name, item in value.fields.items()
    ]
    return f"{'&' if value.pointer else ''}{{{' '.join(parts)}}}"


def _unfit(value: Any, verb: str, flags: _Flags) -> str:
    return f"%!{verb}({type_name(value)}={_value(value, 'v', flags, 0)})"


def _padded(text: str, flags: _Flags) -> str:
    missing = flags.width - len(text)
    if missing <= 0:
        return text
    if flags.minus:
        return text + " " * missing
    return ("0" if flags.zero else " ") * missing + text


def _string(value: str, verb: str, flags: _Flags) -> str:
    if verb == "v" and flags.sharp:
        return _padded(quoted(value), flags)
    if verb in {"v", "s"}:
        return _padded(value[: flags.precision] if flags.precision >= 0 else value, flags)
    if verb == "q":
        cut = value[: flags.precision] if flags.precision >= 0 else value
        if flags.sharp and "`" not in cut and cut.isprintable():
            return _padded(f"`{cut}`", flags)
        if flags.plus:
            return _padded(re.sub(r"[^\x00-\x7f]", _ascii, quoted(cut)), flags)
        return _padded(quoted(cut), flags)
    if verb in {"x", "X"}:
        data = octets(value)
        data = data[: flags.precision] if flags.precision >= 0 else data
        text = data.hex(" ") if flags.space else data.hex()
        if flags.sharp and data:
            text = " ".join(f"0x{pair}" for pair in text.split(" "))
        return _padded(text.upper() if verb == "X" else text, flags)
    return _unfit(value, verb, flags)


def _ascii(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


_BASES: Final = {"d": "d", "v": "d", "b": "b", "o": "o", "O": "o", "x": "x", "X": "X"}


def _integer(value: int, verb: str, flags: _Flags) -> str:
    if verb in {"c", "q", "U"}:
        code = int(value) if 0 <= value <= 0x10FFFF else 0xFFFD
        if verb == "U":
            return _padded(f"U+{value:04X}" + (f" '{chr(code)}'" if flags.sharp else ""), flags)
        if verb == "c":
            return _padded(chr(code), flags)
        inner = quoted(chr(code))[1:-1].replace('\\"', '"')
        return _padded(f"'{inner}'" if inner != "'" else "'\\''", flags)
    if verb not in _BASES:
        return _unfit(value, verb, flags)
    if verb == "v" and flags.sharp and type(value) in UNSIGNED:
        return f"{value:#x}"
    digits = format(abs(int(value)), _BASES[verb])
    if flags.precision >= 0:
        digits = "" if flags.precision == 0 and value == 0 else digits.rjust(flags.precision, "0")
    sign = "-" if value < 0 else "+" if flags.plus and verb != "v" else " " if flags.space else ""
    if flags.plus and verb == "v" and value >= 0:
        sign = "+"
    prefix = ""
    if flags.sharp and verb in {"x", "X", "b", "o"}:
        prefix = {"x": "0x", "X": "0X", "b": "0b", "o": "" if digits.startswith("0") else "0"}[verb]
    if verb == "O":
        prefix = "0o"
    if flags.zero and not flags.minus and flags.width > 0 and flags.precision < 0:
        digits = digits.rjust(flags.width - len(sign), "0")
        return sign + prefix + digits
    missing = flags.width - len(sign + prefix + digits)
    text = sign + prefix + digits
    if missing <= 0:
        return text
    return text + " " * missing if flags.minus else " " * missing + text


def _float(value: float, verb: str, flags: _Flags) -> str:
    lower = verb.lower()
    if lower not in {"v", "e", "f", "g"} or verb == "V":
        return _unfit(value, verb, flags)
    precision = flags.precision
    if precision < 0 and lower in {"e", "f"}:
        precision = 6
    text = float_text(value, "g" if lower == "v" else lower, precision)
    if verb in {"E", "G"}:
        text = text.upper().replace("INF", "Inf").replace("NAN", "NaN")
    if flags.plus:
        text = text if text[0] in "+-" or text == "NaN" else f"+{text}"
    elif text[0] == "+":
        text = text[1:] if flags.space is False and verb != "v" else text
    elif flags.space and text[0] not in "+-":
        text = f" {text}"
    missing = flags.width - len(text)
    if missing <= 0:
        return text
    if flags.minus:
        return text + " " * missing
    if flags.zero and text[-1] not in "fN":
        signed = text[0] in "+- "
        return text[: int(signed)] + "0" * missing + text[int(signed) :]
    return " " * missing + text


def duration_text(value: int) -> str:
    """Return a duration as Go prints it: `1h2m3.5s`."""
    if value == 0:
        return "0s"
    sign, size = ("-" if value < 0 else ""), abs(int(value))
    if size < 1_000_000_000:
        for unit, factor in (("ms", 1_000_000), ("µs", 1_000), ("ns", 1)):
            if size >= factor:
                return f"{sign}{_decimal(size, factor)}{unit}"
    seconds = size // 1_000_000_000
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    tail = f"{_decimal(second * 1_000_000_000 + size % 1_000_000_000, 1_000_000_000)}s"
    if hours:
        return f"{sign}{hours}h{minute}m{tail}"
    return f"{sign}{minute}m{tail}" if minute else sign + tail


def _decimal(size: int, factor: int) -> str:
    whole, rest = divmod(size, factor)
    digits = len(str(factor)) - 1
    part = f"{rest:0{digits}d}".rstrip("0") if digits else ""
    return f"{whole}.{part}" if part else str(whole)
