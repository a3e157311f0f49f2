"""The places that mutators change: `spec.containers[name: *].image`, parsed, and the tests on the way there.

A location is a tuple of steps. Must never touch an object; that is `changing`'s work.
Source: github.com/open-policy-agent/gatekeeper pkg/mutation/path (token, parser, tester), error texts included.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
_SIGNS: Final = frozenset(".[]*:")
_MOST = 4096


class Field(NamedTuple):
    """A field of an object."""

    name: str

    def __str__(self) -> str:
        return self.name if set(self.name) <= _PLAIN and self.name else f'"{self.name}"'


class Item(NamedTuple):
    """The item of a list whose `key` field has the value; None: every item."""

    key: str
    value: str | None

    def __str__(self) -> str:
        return f"[{self.key}: {'*' if self.value is None else self.value}]"


Step: TypeAlias = Field | Item
Location: TypeAlias = tuple[Step, ...]


class BadLocation(ValueError):
    """A text is no location."""


class _Token(NamedTuple):
    sort: str  # a sign itself, "name", or "end"
    text: str


def _tokens(text: str) -> list[_Token]:
    if len(text) > _MOST:
        raise BadLocation(f"a location must not be longer than {_MOST} characters")
    found: list[_Token] = []
    place = 0
    while place < len(text):
        sign = text[place]
        if sign in " \t\r\n":
            place += 1
        elif sign in _SIGNS:
            found.append(_Token(sign, sign))
            place += 1
        elif sign in "\"'":
            value, place = _quoted(text, place)
            found.append(_Token("name", value))
        elif sign in _PLAIN:
            end = place
            while end < len(text) and text[end] in _PLAIN:
                end += 1
            found.append(_Token("name", text[place:end]))
            place = end
        else:
            raise BadLocation(f"error at position {place}: invalid character")
    found.append(_Token("end", ""))
    return found


def _quoted(text: str, start: int) -> tuple[str, int]:
    quote, place = text[start], start + 1
    value: list[str] = []
    while place < len(text):
        sign = text[place]
        if sign == quote:
            return "".join(value), place + 1
        if sign == "\\" and place + 1 < len(text):
            place += 1
            sign = text[place]
        value.append(sign)
        place += 1
    raise BadLocation(f"error at position {len(text)}: unterminated string")


def parse(text: str) -> Location:
    """Return the location that a text names. Raises BadLocation."""
    tokens = _tokens(text)
    steps: list[Step] = []
    place = 0

    def expect(sort: str, told: str) -> str:
        nonlocal place
        token = tokens[place]
        if token.sort != sort:
            raise BadLocation(f"{told}, got: {token.text or 'EOF'}")
        place += 1
        return token.text

    while tokens[place].sort == "name":
        steps.append(Field(expect("name", "")))
        if tokens[place].sort == "[":
            place += 1
            key = expect("name", "expected keyField in listSpec")
            expect(":", f"expected ':' following keyField {key}")
            if tokens[place].sort == "*":
                place += 1
                steps.append(Item(key, None))
            else:
                steps.append(Item(key, expect("name", "expected key value or glob in listSpec")))
            expect("]", "expected ']' following listSpec")
        if tokens[place].sort == "end":
            break
        expect(".", "expected '.' or eof")
        if tokens[place].sort == "end":
            raise BadLocation("trailing separators are forbidden")
    if tokens[place].sort != "end":
        raise BadLocation(f"unexpected token: expected field name or eof, got: {tokens[place].text}")
    return tuple(steps)


def told(location: Location) -> str:
    """Return the text of a location."""
    text = ""
    for step in location:
        text += str(step) if isinstance(step, Item) or not text else f".{step}"
    return text


CONDITIONS: Final = ("MustExist", "MustNotExist")


def conditions_of(location: Location, tests: Iterable[tuple[str, str]]) -> Mapping[int, str]:
    """Return the condition by the index of the step that it is about. Raises BadLocation."""
    found: dict[int, str] = {}
    for path, condition in tests:
        if condition not in CONDITIONS:
            raise BadLocation(f"{condition} is not a valid path test condition")
        steps = parse(path)
        if not steps or location[: len(steps)] != steps:
            raise BadLocation("all subpaths must be a prefix of the `location` value of the mutation")
        index = len(steps) - 1
        if found.get(index, condition) != condition:
            raise BadLocation("conflicting path test conditions")
        found[index] = condition
    return found


def is_metadata(location: Location) -> bool:
    """Whether a location is in the object's metadata."""
    return location[:1] == (Field("metadata"),)


def check_key(location: Location) -> None:
    """Refuse to change the field that an item is found by. Raises BadLocation."""
    if len(location) < 2 or not isinstance(location[-2], Item):
        return
    if isinstance(location[-1], Item):
        raise BadLocation("invalid path format: child of a list can't be a list")
    if location[-1].name == location[-2].key:
        raise BadLocation("invalid path format: changing the item key is not allowed")


def check_value(location: Location, value: Any) -> None:
    """Refuse what cannot be put into a keyed list. Raises BadLocation."""
    last = location[-1]
    if not isinstance(last, Item):
        return
    if last.value is None:
        raise BadLocation("can't append to a globbed list")
    if not isinstance(value, dict):
        raise BadLocation(f"invalid value: `{value}`, only objects can be added to keyed lists")
    if value.get(last.key) != last.value:
        raise BadLocation(
            f"adding object to list with different key {last.key}: list key {last.value}, "
            f"object key {value.get(last.key)}"
        )
