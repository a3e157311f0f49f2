"""Scalars as kustomize reads, compares and writes them.

Resources are read by YAML 1.2's words (only `true` and `false` are booleans), and some of what is done to them depends on how a scalar was
written: an annotation `1.10` becomes the text "1.10", a key without a value is not the same as one that says `null`. So what was not
written as it would be printed is kept as a number or null that remembers its text; `plain` forgets that when all is done.
Sources: gopkg.in/yaml.v3's resolution, sigs.k8s.io/kustomize/kyaml/yaml.
"""

from __future__ import annotations

import re
from typing import Any, Final

from fairlead.tongues import yamls


class Null:
    """A null that was not written as `null`: `text` is "" where nothing was written, or a spelling such as `~`."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"Null({self.text!r})"


class WrittenInteger(int):
    """An integer that was written in another way than it is printed: `0777`, `1_000`."""

    text: str


class WrittenFloat(float):
    """A number that is no integer, or was not written as one, with its text."""

    text: str


class Misfit:
    """A scalar that no document can hold: a text where the field is a number, infinity. An error, unless something else takes its place."""

    __slots__ = ("text", "why")

    def __init__(self, text: str, why: str) -> None:
        self.text, self.why = text, why

    def __repr__(self) -> str:
        return f"Misfit({self.text!r})"


class Unprintable(ValueError):
    """A misfit that is still there when all is done; the message says what it is."""


class Quoted(str):
    """A text that was written in quotes, or as a block: what is patched over it becomes a text too."""

    __slots__ = ()


class Stamp(str):
    """A date or time, by the text that was written; `instant` is how it is printed."""

    __slots__ = ("instant",)
    instant: str


BLANK: Final = Null("")

_WORDS: Final[dict[str, Any]] = {
    "": BLANK,
    "null": None,
    "~": Null("~"),
    "Null": Null("Null"),
    "NULL": Null("NULL"),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_DIGITS: Final = frozenset("+-.0123456789")
_DATE = re.compile(
    r"(\d{4})-(\d\d?)-(\d\d?)(?:(?:[Tt]|[ ]+)(\d\d?):(\d\d?):(\d\d?)(\.\d+)?[ ]*(Z|[+-]\d\d(?::?\d\d)?)?)?\Z"
)
_LETTERS: Final = {"y": True, "Y": True, "n": False, "N": False}


def resource_scalar(value: str) -> Any:
    """Return what an unquoted scalar in a resource means."""
    if not value or value[0] not in _DIGITS:
        return _WORDS.get(value, value)
    found = yamls.scalar(value)
    if type(found) is int:
        if str(found) == value:
            return found
        odd = WrittenInteger(found)
        odd.text = value
        return odd
    if type(found) is float:
        number = WrittenFloat(found)
        number.text = value
        return number
    if "-" in value and len(value) > 5:
        return _stamp(value)
    return Misfit(value, "is no number that JSON has") if value.lower() in _ENDLESS else found


_ENDLESS: Final = frozenset({".inf", "+.inf", "-.inf", ".nan"})


def settings_scalar(value: str) -> Any:
    """Return what an unquoted scalar in a kustomization or a transformer's settings means: YAML 1.1, with its one-letter booleans."""
    return _LETTERS[value] if value in _LETTERS else yamls.scalar(value)


def _stamp(value: str) -> str:
    match = _DATE.match(value)
    if match is None:
        return value
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31) or (hour and int(hour) > 23):
        return value
    found = Stamp(value)
    fraction = (fraction or "").rstrip("0").rstrip(".")
    if zone and zone != "Z":
        digits = zone.replace(":", "").ljust(5, "0")
        zone = f"{digits[:3]}:{digits[3:]}"
    clock = f"{int(hour or 0):02}:{int(minute or 0):02}:{int(second or 0):02}{fraction}"
    found.instant = f"{year}-{int(month):02}-{int(day):02}T{clock}{zone or 'Z'}"
    return found


def nothing(value: Any) -> bool:
    """Whether the value is a null, however it was written."""
    return value is None or type(value) is Null


def hollow(value: Any) -> bool:
    """Whether the value is a null, an empty text, or a mapping or list without anything in it."""
    return value is None or type(value) is Null or (isinstance(value, dict | list | str) and not value)


def is_text(value: Any) -> bool:
    """Whether the value is a text (and no date or time)."""
    kind = type(value)
    return kind is str or kind is Quoted


def over(before: Any, value: Any) -> Any:
    """Return a scalar that takes another one's place, written in the same way: over a text in quotes all is text."""
    if nothing(value) or not is_text(before):
        return str(value) if type(value) is Quoted else value
    if type(before) is Quoted or "\n" in before or not is_text(resource_scalar(before)):
        return Quoted(text(value))
    return str(value) if type(value) is Quoted else value


def entered(value: str) -> str:
    """Return a text as it is put into a field: in quotes where YAML 1.1 takes it for a boolean."""
    return Quoted(value) if value in _OLDER_WORDS else value


_OLDER_WORDS: Final = frozenset(
    word for name in ("yes", "no", "on", "off", "y", "n") for word in (name, name.title(), name.upper())
)
"""What is written in quotes because YAML 1.1 takes it for a boolean."""


def text(value: Any) -> str:
    """Return the text of a scalar as it was written; "" for mappings and lists."""
    if isinstance(value, str):
        return str(value)
    if value is None:
        return "null"
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is int:
        return str(value)
    if isinstance(value, Null | Misfit | WrittenInteger | WrittenFloat):
        return value.text
    if type(value) is float:
        return number_text(value)
    return ""


def number_text(value: float) -> str:
    """Return a number as Go prints it in JSON: integers without a point."""
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    found = repr(value)
    mantissa, e, exponent = found.partition("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent):+03d}" if e else found


def plain(value: Any) -> Any:
    """Return the value as JSON: a copy in which every scalar has forgotten how it was written."""
    kind = type(value)
    if kind is str:
        return value
    if kind is dict:
        return {key: plain(one) for key, one in value.items()}
    if kind is list:
        return [plain(one) for one in value]
    if kind is Quoted:
        return str(value)
    if kind is Null:
        return None
    if kind is Misfit:
        raise Unprintable(f"{value.text!r} {value.why}")
    if kind is WrittenInteger:
        return int(value)
    if kind is Stamp:
        return value.instant
    if isinstance(value, float):
        whole = float(value)
        return int(whole) if whole == int(whole) and abs(whole) < 1e21 else whole
    return value


def copied(value: Any) -> Any:
    """Return a copy that shares no mapping or list with the value."""
    kind = type(value)
    if kind is dict:
        return {key: copied(one) for key, one in value.items()}
    if kind is list:
        return [copied(one) for one in value]
    return value
