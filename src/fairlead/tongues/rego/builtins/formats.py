"""Go's formatting: what `sprintf` makes of its verbs, flags, widths and precisions, and its complaints.

Source: Go's package fmt. Arguments are whole numbers, floats and strings; OPA turns every other value into its text first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import TypeAlias

from .kinds import encode, short

Argument: TypeAlias = int | float | str
_WIDEST = 1_000_000
"""Go's own limit for a width or a precision."""
_INT64 = 1 << 63
_NUMBER = re.compile(r"[0-9]+")
_INDEX = re.compile(r"\[([^\]]*)\]")


def sprintf(template: str, arguments: Sequence[Argument]) -> str:
    """Return the template with its verbs filled in, as Go's Sprintf does."""
    return _Printer(template, arguments).run()


class _Spec:
    """The flags, width and precision of one verb."""

    __slots__ = ("minus", "plus", "precision", "sharp", "space", "width", "zero")

    def __init__(self) -> None:
        self.minus = self.plus = self.sharp = self.space = self.zero = False
        self.width = 0
        self.precision: int | None = None

    def pad(self, text: str, *, zero: bool = False) -> str:
        if len(text) >= self.width:
            return text
        if self.minus:
            return text.ljust(self.width)
        return text.rjust(self.width, "0" if zero else " ")


class _Printer:
    """One run over a template."""

    def __init__(self, template: str, arguments: Sequence[Argument]) -> None:
        self.template = template
        self.arguments = arguments
        self.place = 0
        self.next = 0
        self.reordered = False
        self.good_index = True
        self.after_index = False
        self.size = 0
        self.out: list[str] = []

    def say(self, text: str) -> None:
        self.size = short(self.size + len(text))
        self.out.append(text)

    def run(self) -> str:
        template = self.template
        while self.place < len(template):
            percent = template.find("%", self.place)
            if percent < 0:
                self.say(template[self.place :])
                break
            if percent > self.place:
                self.say(template[self.place : percent])
            self.place = percent + 1
            self.verb()
        if not self.reordered and self.next < len(self.arguments):
            extra = ", ".join(f"{_kind(value)}={_plain(value)}" for value in self.arguments[self.next :])
            self.say(f"%!(EXTRA {extra})")
        return "".join(self.out)

    def peek(self) -> str:
        return self.template[self.place : self.place + 1]

    def verb(self) -> None:
        spec = _Spec()
        self.good_index, self.after_index = True, False
        self.flags(spec)
        self.index()
        self.width(spec)
        self.precision(spec)
        if not self.after_index:
            self.index()
        verb = self.peek()
        if not verb:
            self.say("%!(NOVERB)")
            return
        self.place += 1
        if verb == "%":
            self.say("%")
        elif not self.good_index:
            self.say(f"%!{verb}(BADINDEX)")
        elif self.next >= len(self.arguments):
            self.say(f"%!{verb}(MISSING)")
        else:
            value = self.arguments[self.next]
            self.next += 1
            short(spec.width)
            self.say(_written(spec, verb, value))

    def flags(self, spec: _Spec) -> None:
        while (flag := self.peek()) and flag in "+-# 0":
            self.place += 1
            if flag == "+":
                spec.plus = True
            elif flag == "-":
                spec.minus, spec.zero = True, False
            elif flag == "#":
                spec.sharp = True
            elif flag == " ":
                spec.space = True
            else:
                spec.zero = not spec.minus

    def index(self) -> None:
        """Read `[n]`, the place of the argument to take next."""
        if self.peek() != "[":
            return
        self.reordered = True
        found = _INDEX.match(self.template, self.place)
        if found is None:
            self.good_index = False
            self.place += 1
            return
        self.place = found.end()
        number = int(found[1]) if _NUMBER.fullmatch(found[1]) and len(found[1]) < 8 else 0
        if 1 <= number <= len(self.arguments):
            self.next = number - 1
            self.after_index = True
        else:
            self.good_index = False

    def number(self) -> int | None:
        found = _NUMBER.match(self.template, self.place)
        if found is None:
            return None
        self.place = found.end()
        return int(found[0]) if len(found[0]) < 8 and int(found[0]) <= _WIDEST else None

    def star(self) -> int | None:
        """Take a width or precision from the arguments; None when it is none."""
        self.place += 1
        self.after_index = False
        if self.next >= len(self.arguments):
            return None
        value = self.arguments[self.next]
        self.next += 1
        return value if type(value) is int and abs(value) <= _WIDEST else None

    def width(self, spec: _Spec) -> None:
        if self.peek() == "*":
            found = self.star()
            if found is None:
                self.say("%!(BADWIDTH)")
            elif found < 0:
                spec.width, spec.minus, spec.zero = -found, True, False
            else:
                spec.width = found
            return
        had_index = self.after_index
        found = self.number()
        spec.width = found or 0
        if had_index and found is not None:
            self.good_index = False

    def precision(self, spec: _Spec) -> None:
        if self.peek() != ".":
            return
        self.place += 1
        if self.after_index:
            self.good_index = False
        self.index()
        if self.peek() == "*":
            found = self.star()
            if found is None or found < 0:
                self.say("" if found is not None else "%!(BADPREC)")
            else:
                spec.precision = found
            return
        spec.precision = self.number() or 0


def _kind(value: Argument) -> str:
    if isinstance(value, str):
        return "string"
    if isinstance(value, float):
        return "float64"
    return "int" if -_INT64 <= value < _INT64 else "*big.Int"


def _plain(value: Argument) -> str:
    return _written(_Spec(), "v", value)


def _written(spec: _Spec, verb: str, value: Argument) -> str:
    if verb == "T":
        return spec.pad(_kind(value))
    if isinstance(value, str):
        text = _string(spec, verb, value)
    elif isinstance(value, float):
        text = _float(spec, verb, value)
    else:
        text = _integer(spec, verb, value)
    return f"%!{verb}({_kind(value)}={_plain(value)})" if text is None else text


def _string(spec: _Spec, verb: str, value: str) -> str | None:
    if verb in "vs":
        if verb == "v" and spec.sharp:
            return spec.pad(_quoted(value, ascii_only=False))
        return spec.pad(value if spec.precision is None else value[: spec.precision], zero=spec.zero)
    if verb == "q":
        cut = value if spec.precision is None else value[: spec.precision]
        if (
            spec.sharp
            and "`" not in cut
            and all(sign == "\t" or (sign >= " " and sign != "\x7f") for sign in cut)
        ):
            return spec.pad(f"`{cut}`")
        return spec.pad(_quoted(cut, ascii_only=spec.plus))
    if verb in "xX":
        raw = encode(value)
        raw = raw if spec.precision is None else raw[: spec.precision]
        short(len(raw) * 5)
        prefix = "0x" if spec.sharp and raw else ""
        digits = raw.hex()
        if spec.space:
            digits = (" " + prefix).join(f"{byte:02x}" for byte in raw)
        text = prefix + digits
        return spec.pad(text.upper() if verb == "X" else text, zero=spec.zero)
    return None


_BASES = {"d": "d", "v": "d", "b": "b", "o": "o", "O": "o", "x": "x", "X": "X"}
_PREFIXES = {"b": "0b", "o": "0", "x": "0x", "X": "0X"}


def _integer(spec: _Spec, verb: str, value: int) -> str | None:
    if verb in _BASES:
        sign = "-" if value < 0 else "+" if spec.plus and verb != "v" else " " if spec.space else ""
        size = abs(value)
        digits = str(Decimal(size)) if _BASES[verb] == "d" else format(size, _BASES[verb])
        if spec.precision is not None:
            if not spec.precision and not value:
                return spec.pad("")
            digits = digits.rjust(spec.precision, "0")
        elif spec.zero and spec.width:
            digits = digits.rjust(spec.width - len(sign), "0")
        prefix = "0o" if verb == "O" else ""
        if spec.sharp:
            prefix = _PREFIXES.get(verb, prefix)
            if verb == "o" and digits.startswith("0"):
                prefix = ""
        return spec.pad(sign + prefix + digits)
    if -_INT64 <= value < _INT64:
        character = chr(value) if 0 <= value < 0xD800 or 0xE000 <= value < 0x110000 else "\ufffd"
        if verb == "c":
            return spec.pad(character)
        if verb == "q":
            inner = _quoted(character, ascii_only=spec.plus)[1:-1]
            inner = {"'": "\\'", '\\"': '"'}.get(inner, inner)
            return spec.pad(f"'{inner}'")
        if verb == "U":
            text = f"U+{value % (1 << 64):0{max(4, spec.precision or 0)}X}"
            if spec.sharp and character.isprintable() and character != "\ufffd":
                text += f" '{character}'"
            return spec.pad(text)
    elif verb == "s":
        return _integer(spec, "d", value)
    return None


def _float(spec: _Spec, verb: str, value: float) -> str | None:
    lower = verb.lower()
    if verb not in "vbeEfFgGxX":
        return None
    if lower == "b":
        mantissa, exponent = math.frexp(value)
        text = f"{int(mantissa * (1 << 53))}p{exponent - 53:+d}"
    elif lower == "x":
        text = _hexadecimal(value, spec.precision)
    elif lower == "v" or (lower == "g" and spec.precision is None):
        text = general(value)
    elif lower == "g":
        text = f"{value:{'#' if spec.sharp else ''}.{spec.precision or 1}g}"
    else:
        text = f"{value:{'#' if spec.sharp else ''}.{6 if spec.precision is None else spec.precision}{lower}}"
    if verb in "EGX":
        text = text.upper()
    sign, body = (text[0], text[1:]) if text[0] == "-" else ("", text)
    if not sign:
        sign = "+" if spec.plus else " " if spec.space else ""
    if spec.zero and spec.width > len(sign) + len(body):
        return sign + body.rjust(spec.width - len(sign), "0")
    return spec.pad(sign + body)


def general(value: float) -> str:
    """Return a float as Go's `%v` and `%g` print it: the shortest digits, an exponent below -4 and from 6 on."""
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    digits, _, power = f"{Decimal(repr(value)).normalize():e}".partition("e")
    exponent = int(power)
    if exponent < -4 or exponent >= 6:
        return f"{digits}e{exponent:+03d}"
    return f"{Decimal(repr(value)).normalize():f}"


def _hexadecimal(value: float, precision: int | None) -> str:
    mantissa, _, power = value.hex().partition("p")
    sign, mantissa = ("-", mantissa[3:]) if mantissa[0] == "-" else ("", mantissa[2:])
    whole, _, parts = mantissa.partition(".")
    parts = parts.rstrip("0")
    exponent = int(power)
    if precision is not None:
        scaled = round(int(whole + parts, 16) * 16**precision / 16 ** len(parts))
        text = format(scaled, "x").rjust(precision + 1, "0")
        whole, parts = text[: len(text) - precision], text[len(text) - precision :]
    return f"{sign}0x{whole}{'.' + parts if parts else ''}p{exponent:+03d}"


_ESCAPES = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}


def _quoted(value: str, *, ascii_only: bool) -> str:
    """Return the text as Go's strconv.Quote writes it."""
    short(len(value) * 2)
    out = []
    for sign in value:
        code = ord(sign)
        if sign in _ESCAPES:
            out.append(_ESCAPES[sign])
        elif 0xDC80 <= code <= 0xDCFF:
            out.append(f"\\x{code - 0xDC00:02x}")
        elif sign.isprintable() and (code < 0x80 or not ascii_only):
            out.append(sign)
        elif code < 0x80:
            out.append(f"\\x{code:02x}")
        else:
            out.append(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return f'"{"".join(out)}"'


def quoted(value: str) -> str:
    """Return the text as Go's `%q` writes it."""
    return _quoted(value, ascii_only=False)
