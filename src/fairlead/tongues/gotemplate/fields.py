"""Fields, methods and items of values, as templates reach for them, and which values fit which parameters.

Must never look at attributes of Python objects: what is not a map, a list or a Struct has no fields. Source: go.dev/pkg/text/template.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from fairlead.tongues.gotemplate.kinds import (
    INTEGERS,
    UNSIGNED,
    Duration,
    FileMap,
    Function,
    Int64,
    Named,
    NilList,
    NilMap,
    StringMap,
    Strings,
    Struct,
    VersionSet,
    sorted_keys,
    type_name,
)
from fairlead.tongues.gotemplate.printing import verbatim
from fairlead.tongues.gotemplate.states import ExecError

Failing = Callable[[str], ExecError]
Expression = Callable[[Any, list[Any]], Any]

_MAPS: tuple[Any, ...] = (dict, Named, NilMap)
_PLAIN: Final = frozenset(_MAPS)
"""Maps in which a key that is not there gives nil."""
_FITS: Final[dict[str, frozenset[Any]]] = {
    "s": frozenset({str}),
    "i": frozenset({int}),
    "I": frozenset({Int64}),
    "b": frozenset({bool}),
    "f": frozenset({float}),
    "m": _PLAIN,
    "l": frozenset({list, NilList}),
    "z": frozenset({StringMap}),
    "S": frozenset({Strings}),
    "B": frozenset({bytes}),
    "d": frozenset({Duration}),
}


def fits(value: Any, letter: str) -> bool:
    """Return whether the value is of the type of such a parameter, or can be assigned to it."""
    if letter in "av":
        return True
    if letter in _FITS:
        return type(value) in _FITS[letter]
    wanted = {"k": "sprig.certificate", "t": "time.Time", "V": "semver.Version"}[letter]
    return isinstance(value, Struct) and value.name == wanted


def nil_of(letter: str) -> Any:
    """Return nil as a parameter of that type holds it."""
    return {"m": NilMap, "l": NilList, "z": StringMap, "S": Strings, "B": bytes}.get(letter, lambda: None)()


def path(start: Expression, names: tuple[str, ...], failing: Failing, loose: bool) -> Expression:
    """Return what reads fields of fields. `loose`: whether a nil at the start is an interface that holds nothing, which has no fields."""
    if len(names) == 1:
        (single,) = names

        def one(dot: Any, frame: list[Any]) -> Any:
            held = start(dot, frame)
            if type(held) in _PLAIN:
                return held.get(single)
            if held is None and not loose:
                return None
            return read(held, single, failing, not loose)

        return one
    first, *others = names
    rest = tuple(others)

    def several(dot: Any, frame: list[Any]) -> Any:
        held = start(dot, frame)
        if type(held) in _PLAIN:
            held = held.get(first)
        elif held is None and not loose:
            return None
        else:
            held = read(held, first, failing, not loose)
        for name in rest:
            held = held.get(name) if type(held) in _PLAIN else read(held, name, failing, False)
        return held

    return several


def read(held: Any, name: str, failing: Failing, concrete: bool) -> Any:
    """Return a field or the result of a method without arguments. `concrete`: whether messages may name the value's own type."""
    if held is None:
        raise failing(f"nil pointer evaluating interface {{}}.{name}")
    if isinstance(held, FileMap | Struct | VersionSet):
        found = held.methods.get(name)
        if found is not None:
            if found.params:
                raise failing(f"wrong number of args for {name}: want {len(found.params)} got 0")
            return found.run()
    if isinstance(held, FileMap):
        return held.get(name, b"")
    if isinstance(held, dict):
        return held.get(name, "") if type(held) is StringMap else held.get(name)
    if isinstance(held, Struct) and name in held.fields:
        return held.fields[name]
    shown = type_name(held) if concrete else "interface {}"
    raise failing(f"can't evaluate field {name} in type {shown}")


def method(held: Any, name: str, failing: Failing, concrete: bool) -> Function | None:
    """Return the method that is called with arguments; None where the receiver is no value at all."""
    if held is None:
        if concrete:
            return None
        raise failing(f"nil pointer evaluating interface {{}}.{name}")
    if isinstance(held, FileMap | Struct | VersionSet):
        found = held.methods.get(name)
        if found is not None:
            return found
    if isinstance(held, dict):
        raise failing(f"{name} is not a method but has arguments")
    if isinstance(held, Struct) and name in held.fields:
        raise failing(f"{name} has arguments but cannot be invoked as function")
    shown = type_name(held) if concrete else "interface {}"
    raise failing(f"can't evaluate field {name} in type {shown}")


def items(found: Any, variables: int, failing: Failing) -> Iterable[tuple[Any, Any]]:
    """Return what a range goes over: index and item, or key and value in the order of keys."""
    kind = type(found)
    if kind is dict or isinstance(found, dict):
        return [(key, found[key]) for key in sorted_keys(found)]
    if isinstance(found, list):
        return enumerate(found)
    if found is None:
        return ()
    if kind in INTEGERS or kind in UNSIGNED:
        if variables > 1:
            raise failing(f"can't use {int(found)} to iterate over more than one variable")
        return ((None, kind(number)) for number in range(int(found)))
    if kind is bytes:
        return enumerate(found)
    raise failing(f"range can't iterate over {verbatim(found)}")
