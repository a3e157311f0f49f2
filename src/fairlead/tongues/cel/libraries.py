"""Functions that expressions may call: declared by signatures, found by name, chosen by the types of what they are given.

A Library is a table. Nothing is registered anywhere: an Environment is told its libraries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from fairlead.tongues.cel import types as t
from fairlead.tongues.cel.errors import Failed
from fairlead.tongues.cel.macros import Key, Macro
from fairlead.tongues.cel.types import Type
from fairlead.tongues.cel.values import Message, type_of


class Maker(Protocol):
    """How a message literal `Name{field: value}` of a type becomes a value."""

    type: Type

    def make(self, fields: dict[str, Any]) -> Any:
        """Return the value. Raises Failed for a field that does not fit."""


@dataclass(frozen=True, slots=True, eq=False)
class Library:
    """Something that expressions may use.

    `functions` maps signatures to what is called: `charAt(...)` as `.charAt(string, int) string` (a method: the first parameter is
    what it is called on), `math.abs(int) int` (a function), with types written as in error messages, `list(T)` for any list.
    Several signatures of one name are chosen from by the types of the arguments; a class of one's own takes part under the name of the
    Type in its attribute `cel_type`. `constants` maps names to values, `variables` names to types, `makers` resolves the names
    of message literals. `homogeneous`: lists and maps written down must not mix types. `costs` maps a function's name to
    (arguments, result) -> cost, where that is more than 1.
    """

    name: str
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)
    macros: Mapping[Key, Macro] = field(default_factory=dict)
    variables: Mapping[str, Type] = field(default_factory=dict)
    makers: Callable[[str], Maker | None] | None = None
    homogeneous: bool = False
    costs: Mapping[str, Callable[..., int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Overload:
    """One signature of a function, and what it calls."""

    name: str
    member: bool
    params: tuple[Type, ...]
    result: Type
    call: Callable[..., Any]

    def takes(self, args: Sequence[Any]) -> bool:
        """Return whether values are of the parameters' types, as far as these say."""
        return len(args) == len(self.params) and all(map(_takes, self.params, args))


def _takes(param: Type, value: Any) -> bool:
    if param.sort in {"dyn", "variable", "any"}:
        return True
    if param.sort == "wrapper":
        return value is None or _takes(param.params[0], value)
    return type_of(value).name == param.name


class Function:
    """All overloads of one name."""

    __slots__ = ("_calls", "name", "overloads")

    def __init__(self, name: str, overloads: Sequence[Overload]) -> None:
        self.name = name
        self.overloads = tuple(overloads)
        self._calls: dict[tuple[bool, int], Callable[..., Any]] = {}

    def choosing(self, member: bool, count: int) -> Callable[..., Any]:
        """Return what calls the overload that the arguments' types ask for; it raises Failed when there is none."""
        found = self._calls.get((member, count))
        if found is None:
            fitting = [one for one in self.overloads if one.member is member and len(one.params) == count]
            found = self._calls[member, count] = _chooser(self.name, fitting)
        return found


def _chooser(name: str, overloads: Sequence[Overload]) -> Callable[..., Any]:
    known: dict[Any, Callable[..., Any]] = {}

    def choose(args: Sequence[Any], key: Any) -> Callable[..., Any]:
        for one in overloads:
            if one.takes(args):
                if not any(isinstance(arg, Message) for arg in args):
                    known[key] = one.call
                return one.call
        shown = ", ".join(type_of(arg).name for arg in args)
        raise Failed(f"no such overload: {name}({shown})")

    if overloads and len(overloads[0].params) == 1:

        def call_one(value: Any) -> Any:
            kind = value.__class__
            found = known.get(kind)
            return (found or choose((value,), kind))(value)

        return call_one
    if overloads and len(overloads[0].params) == 2:

        def call_two(left: Any, right: Any) -> Any:
            key = (left.__class__, right.__class__)
            found = known.get(key)
            return (found or choose((left, right), key))(left, right)

        return call_two

    def call(*args: Any) -> Any:
        key = tuple(map(type, args))
        found = known.get(key)
        return (found or choose(args, key))(*args)

    return call


def declared(libraries: Sequence[Library]) -> dict[str, Function]:
    """Return the functions of libraries by name; the same signature in a later one takes the place of an earlier."""
    found: dict[str, dict[tuple[bool, tuple[Type, ...]], Overload]] = {}
    for library in libraries:
        for text, call in library.functions.items():
            name, member, params, result = t.signature(text)
            found.setdefault(name, {})[member, params] = Overload(name, member, params, result, call)
    return {name: Function(name, list(overloads.values())) for name, overloads in found.items()}
