"""Falco's fields of source syscall: what each is called, its type, how it is got from an Event, and what it means.

`Fields` resolves a name for tongues.conditions. What is not told by the event or its process is told by `Around`, which the reactor fills:
users, groups, hosts' names. A name that Falco has and this does not is in UNSUPPORTED with the reason, so that it can be reported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fairlead.sense import arguments
from fairlead.sense.events import AF_INET, AF_INET6, Process, address, text_of
from fairlead.sense.fieldcode import TEXTUAL, Around, Helpers
from fairlead.sense.fieldtables import (
    CONTAINERS,
    DESCRIPTORS,
    EVENTS,
    OPENED,
    PROCESSES,
    SINGLE,
    UNSUPPORTED,
    USERS,
)
from fairlead.tongues.conditions.trees import FieldRef
from fairlead.tongues.conditions.types import Field, Many, Type, UnknownField

__all__ = ["UNSUPPORTED", "Around", "Fields", "Row", "TABLE", "known"]


class Row(NamedTuple):
    """One field. `argument` is "" for none, `index` or `key` where one must be given, with `?` behind it where it may be.

    `code` is Python source over `event`; `{0}` in it is the argument. `other` is the code without an argument where that differs.
    """

    name: str
    type: Type
    code: str
    doc: str
    many: Many = Many.ONE
    cost: int = 1
    sure: bool = False
    argument: str = ""
    other: str = ""
    other_many: Many = Many.ONE


_TYPES = {
    "t": Type.TEXT, "i": Type.INT, "b": Type.BOOL, "p": Type.PORT, "a": Type.ADDRESS, "n": Type.NETWORK, "y": Type.BYTES, "d": Type.DOUBLE,
}  # fmt: skip
_MANY = {"": Many.ONE, "*": Many.ANY, "&": Many.BOTH, "l": Many.LIST}


def _rows(text: str) -> dict[str, Row]:
    """Read a table: `name[argument] | type, many, cost, sure | code | what it means`, and a second code after `||`."""
    found = {}
    for line in text.strip().splitlines():
        head, how, code, doc = (piece.strip() for piece in line.split(" | ", 3))
        shape = re.fullmatch(r"([\w.]+)(?:\[(\w+)(\??)\])?", head)
        assert shape is not None, head
        name, argument, maybe = shape.groups()
        kind = re.fullmatch(r"([tibpanyd])(\d)([*&l]?)(!?)(?:/([*&l]?))?", how)
        assert kind is not None, how
        of, cost, many, sure, other_many = kind.groups()
        first, _, other = code.partition(" || ")
        found[name] = Row(
            name, _TYPES[of], first, doc, _MANY[many], int(cost), bool(sure), (argument or "") + (maybe or ""), other,
            _MANY[other_many or ""],
        )  # fmt: skip
    return found


TABLE: Mapping[str, Row] = {
    **_rows(EVENTS), **_rows(PROCESSES), **_rows(DESCRIPTORS), **_rows(USERS), **_rows(CONTAINERS),
}  # fmt: skip
"""Every field by its name; evt.arg.<name> and evt.rawarg.<name> besides."""


def known(name: str) -> bool:
    """Return whether a condition or an output may name this field."""
    return name in TABLE or name.startswith(("evt.arg.", "evt.rawarg."))


class Fields:
    """Gives Field for FieldRef (a tongues.conditions Resolver): for all events, or with `kind` for those of one kind.

    What a kind of event cannot have is absent there, which costs nothing. Raises UnknownField with the reason.
    """

    def __init__(
        self, around: Around, kind: str = "", names: dict[str, Any] | None = None, *, single: bool = False
    ) -> None:
        self.around = around
        self._kind = kind
        self._single = single
        self._names: dict[str, Any] = Helpers(around).names() if names is None else names
        self._made: dict[FieldRef, Field] = {}
        self._functions: dict[str, Callable[..., Any]] = {}

    def of_kind(self, kind: str, *, single: bool = False) -> Fields:
        """Return the same fields for events of one kind; they share helpers.

        With `single`, for those that opened a file with one name which places.names was asked for already.
        """
        return Fields(self.around, kind, self._names, single=single)

    def __call__(self, ref: FieldRef) -> Field:
        """Return how to get the field. Raises UnknownField."""
        found = self._made.get(ref)
        if found is None:
            found = self._made[ref] = self._make(ref.name, ref.argument)
        return found

    def getter(self, ref: FieldRef) -> Callable[[Any], Any]:
        """Return a function event -> the field's value, None where it is absent. Raises UnknownField."""
        made = self(ref)
        function = self._functions.get(made.code)
        if function is None:
            function = self._functions[made.code] = eval(f"lambda event: {made.code}", dict(self._names))  # noqa: S307  the code is this module's own
        return function

    def shown(self, ref: FieldRef) -> Callable[[Any], str | int | float | bool | None]:
        """Return a function event -> the value as an output shows it: the first of several, addresses in words. Raises UnknownField."""
        made = self(ref)
        if made.type in {Type.ADDRESS, Type.NETWORK} and made.many is Many.ONE:
            which = ref.name.removeprefix("fd.").replace("net", "ip")
            helper: Callable[[Any, str], str | None] = self._names["address_text"]
            return lambda event: helper(event, which)
        get = self.getter(ref)
        if made.many is Many.ONE and made.type is not Type.BYTES:
            return get
        return lambda event: _one(get(event))

    def _make(self, name: str, argument: str | None) -> Field:
        for prefix in ("evt.arg", "evt.rawarg"):
            if name.startswith(f"{prefix}.") or (name == prefix and argument is not None):
                return self._parameter(
                    prefix, name.removeprefix(f"{prefix}.") if argument is None else argument
                )
        row = TABLE.get(name)
        if row is None:
            why = UNSUPPORTED.get(name)
            raise UnknownField(
                f"filter_check called with nonexistent field {name}"
                if why is None
                else f"{name} is not supported: {why}"
            )
        return self._row(row, argument)

    def _row(self, row: Row, argument: str | None) -> Field:
        if self._single and row.name in SINGLE:
            return Field(Type.TEXT, f"({SINGLE[row.name]})", Many.ONE, self._names, 1, sure=True)
        if row.name in OPENED and self._kind in {"open", "openat"}:
            code, sure = OPENED[row.name]
            flags = "event.raw[18]" if self._kind == "open" else "event.raw[19]"
            return Field(row.type, f"({code.replace('{flags}', flags)})", Many.ONE, self._names, 0, sure)
        wanted, maybe = row.argument.removesuffix("?"), row.argument.endswith("?")
        if argument is None:
            if wanted and not maybe:
                raise UnknownField(f"filter {row.name} requires an argument but none was provided")
            code, many = (row.other, row.other_many) if row.other else (row.code, row.many)
        else:
            if not wanted:
                raise UnknownField(f"filter {row.name} does not take an argument")
            if wanted == "index":
                if not argument.isdigit():
                    raise UnknownField(f"filter {row.name} requires a numeric argument, not {argument!r}")
                code, many = (
                    row.code.replace("{0}", argument).replace("{chain}", _chain(int(argument))),
                    row.many,
                )
            else:
                code, many = row.code.replace("{0}", repr(argument)), row.many
        computed = many is Many.ONE or row.name in {"fd.name", "fd.directory", "fd.filename"}
        return Field(row.type, f"({code})", many, self._names, row.cost, row.sure, computed, computed)

    def _parameter(self, prefix: str, name: str) -> Field:
        if name not in arguments.NAMES and not name.isdigit():
            raise UnknownField(f"unknown event parameter {name}")
        if self._kind and arguments.parameter(self._kind, name) is None:
            return Field(Type.TEXT, "None", cost=0, computed=True)
        if prefix == "evt.rawarg":
            if _numeric(self._kind, name):
                return Field(Type.INT, f"raw_number(event, {name!r})", Many.ONE, self._names, 2)
            return Field(Type.TEXT, f"raw_parameter(event, {name!r})", Many.ONE, self._names, 2)
        return Field(Type.TEXT, f"parameter(event, {name!r})", Many.ONE, self._names, 2)


def _one(value: Any) -> str | int | float | bool | None:
    if isinstance(value, bytes):
        return text_of(value)
    if isinstance(value, str | int | float) or value is None:
        return value
    first = next(iter(value), None)
    if isinstance(first, bytes):
        return address(AF_INET if len(first) == 4 else AF_INET6, first)
    return first if isinstance(first, str | int | float) else None


def _numeric(kind: str, name: str) -> bool:
    """Return whether a parameter is a number: of one kind of events, or of all that have one of this name."""
    if kind:
        one = arguments.parameter(kind, name)
        return one is not None and one.format not in TEXTUAL
    found = [one for of in arguments.EVENTS.values() for one in of if one.name == name]
    return bool(found) and all(one.format not in TEXTUAL for one in found)


def _chain(generation: int) -> str:
    """Return the source that gives the ancestor so many generations up, or None."""
    if generation == 0:
        return "event.process"
    if generation > 8:
        return f"event.process.ancestor({generation})"
    steps = ["(p := event.process.parent)", *["(p := p.parent)"] * (generation - 1)]
    return f"({' and '.join(steps)})"


@dataclass(frozen=True, slots=True)
class Doc:
    """A line of the table of supported fields."""

    name: str
    type: str
    text: str
    arguments: str = field(default="")


def docs() -> list[Doc]:
    """Return every supported field, by name, for a table of support."""
    return [Doc(row.name, row.type.value, row.doc, row.argument) for row in TABLE.values()]


def process_line(process: Process) -> str:
    """Return a process in one line: `1234 bash (/usr/bin/bash): bash -i`."""
    return (
        f"{process.pid} {process.name} ({process.exe}): {process.cmdline}"
        if process.exe
        else f"{process.pid} {process.name}"
    )
