"""Sprig's functions over lists and maps. Maps are changed in place where Sprig changes them.

Source: github.com/Masterminds/sprig/v3, dario.cat/mergo.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from fairlead.tongues.gotemplate.comparing import deep_equal, empty
from fairlead.tongues.gotemplate.kinds import (
    Function,
    GoError,
    NilList,
    NilMap,
    Strings,
    kind_name,
    type_name,
)
from fairlead.tongues.gotemplate.numbers import to_int
from fairlead.tongues.gotemplate.states import State
from fairlead.tongues.gotemplate.texts import strval

DEEPEST: Final = 200
"""How deep a value may be nested that is copied or merged."""


def _listed(what: str, value: Any) -> list[Any]:
    """The value if it is a list; raises Sprig's error if not."""
    if isinstance(value, list):
        return value
    if isinstance(value, bytes):
        return list(value)
    if value is None:
        raise GoError("runtime error: invalid memory address or nil pointer dereference")
    raise GoError(f"{what} {kind_name(value)}")


def _append(state: State, values: Any, item: Any) -> list[Any]:
    held = _listed("Cannot push on type", values)
    state.charge(len(held) * 8)
    return [*held, item]


def _prepend(state: State, values: Any, item: Any) -> list[Any]:
    held = _listed("Cannot prepend on type", values)
    state.charge(len(held) * 8)
    return [item, *held]


def _first(values: Any) -> Any:
    held = _listed("Cannot find first on type", values)
    return held[0] if held else None


def _last(values: Any) -> Any:
    held = _listed("Cannot find last on type", values)
    return held[-1] if held else None


def _rest(values: Any) -> list[Any]:
    held = _listed("Cannot find rest on type", values)
    return list(held[1:]) if held else NilList()


def _initial(values: Any) -> list[Any]:
    held = _listed("Cannot find initial on type", values)
    return list(held[:-1]) if held else NilList()


def _chunk(size: int, values: Any) -> list[Any]:
    held = _listed("Cannot chunk type", values)
    if size <= 0:
        raise GoError("runtime error: makeslice: len out of range")
    return [list(held[at : at + size]) for at in range(0, len(held), size)]


def _key(value: Any) -> Any:
    """Something hashable that is the same for what DeepEqual calls equal; None where there is no such thing."""
    kind = type(value)
    return (
        (kind, value) if kind in {str, int, bool, float} or value is None or isinstance(value, int) else None
    )


def _uniq(values: Any) -> list[Any]:
    found: list[Any] = []
    seen: set[Any] = set()
    for item in _listed("Cannot find uniq on type", values):
        key = _key(item)
        if key is not None:
            if key in seen:
                continue
            seen.add(key)
        elif any(deep_equal(item, other) for other in found):
            continue
        found.append(item)
    return found


def _without(values: Any, *omitted: Any) -> list[Any]:
    held = _listed("Cannot find without on type", values)
    return [item for item in held if not any(deep_equal(item, other) for other in omitted)]


def _has(needle: Any, values: Any) -> bool:
    if values is None:
        return False
    return any(deep_equal(needle, item) for item in _listed("Cannot find has on type", values))


def _slice(values: Any, *indexes: Any) -> Any:
    held = _listed("list should be type of slice or array but", values)
    if not held:
        return None
    start = to_int(indexes[0]) if indexes else 0
    end = to_int(indexes[1]) if len(indexes) > 1 else len(held)
    if not 0 <= start <= end <= len(held):
        raise GoError("reflect.Value.Slice: slice index out of bounds")
    return type(held)(held[start:end])


def _concat(state: State, *lists: Any) -> list[Any]:
    state.charge(sum(len(held) for held in lists if isinstance(held, list)) * 8)
    result: list[Any] = []
    for held in lists:
        if held is None:
            raise GoError("runtime error: invalid memory address or nil pointer dereference")
        if not isinstance(held, list):
            raise GoError(f"Cannot concat type {kind_name(held)} as list")
        result += held
    return result or NilList()


def _dict(*pairs: Any) -> dict[str, Any]:
    made = {}
    for at in range(0, len(pairs), 2):
        made[strval(pairs[at])] = pairs[at + 1] if at + 1 < len(pairs) else ""
    return made


def _set(held: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    if type(held) is NilMap:
        raise GoError("assignment to entry in nil map")
    held[key] = value
    return held


def _unset(held: dict[str, Any], key: str) -> dict[str, Any]:
    held.pop(key, None)
    return held


def _pluck(key: str, *maps: dict[str, Any]) -> list[Any]:
    return [held[key] for held in maps if key in held]


def _keys(*maps: dict[str, Any]) -> Strings:
    """Keys in the order of each map: Go's order is nobody's, so charts sort them."""
    return Strings(key for held in maps for key in held)


def _pick(held: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: held[key] for key in keys if key in held}


def _omit(held: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in held.items() if key not in keys}


def _merged(into: dict[str, Any], source: dict[str, Any], overwrite: bool, depth: int = 0) -> None:
    """Merge as mergo does: what is empty is filled, or with `overwrite` replaced; lists are never merged."""
    if depth > DEEPEST:
        raise GoError(f"a map is nested more than {DEEPEST} levels deep, or contains itself")
    for key, value in source.items():
        there = key in into
        before = into.get(key)
        if value is None:
            if overwrite:
                into[key] = None
            continue
        if isinstance(value, dict) and isinstance(before, dict) and type(before) is not NilMap:
            _merged(before, value, overwrite, depth + 1)
            if before:
                continue
        elif isinstance(value, list) and there and not empty(before):
            if overwrite:
                into[key] = value
            continue
        if overwrite or empty(before):
            into[key] = value


def _merge(overwrite: bool) -> Callable[..., dict[str, Any]]:
    def merge(state: State, into: dict[str, Any], *sources: dict[str, Any]) -> dict[str, Any]:
        if type(into) is NilMap:
            into = {}
        for source in sources:
            state.spend(len(source))
            _merged(into, source, overwrite)
        return into

    return merge


def deep_copy(value: Any, state: State | None = None, depth: int = 0) -> Any:
    """Return a copy of maps and lists all the way down."""
    if depth > DEEPEST:
        raise GoError(f"a value is nested more than {DEEPEST} levels deep, or contains itself")
    if isinstance(value, dict):
        if state is not None:
            state.spend(len(value))
        made = {
            key: item if item.__class__ in _LEAVES else deep_copy(item, state, depth + 1)
            for key, item in value.items()
        }
        return made if type(value) is dict else type(value)(made)
    if isinstance(value, list):
        if state is not None:
            state.spend(len(value))
        items = [item if item.__class__ in _LEAVES else deep_copy(item, state, depth + 1) for item in value]
        return items if type(value) is list else type(value)(items)
    return value


_LEAVES: Final = frozenset({str, int, bool, float, type(None)})


def _deep_copy(state: State, value: Any) -> Any:
    if value is None:
        raise GoError("deepCopy error: reflect: call of reflect.Value.Interface on zero Value")
    return deep_copy(value, state)


def _dig(*params: Any) -> Any:
    if len(params) < 3:
        raise GoError("dig needs at least three arguments")
    *keys, other, held = params
    for key in keys:
        if not isinstance(held, dict):
            raise GoError(
                f"interface conversion: interface {{}} is {_shown(held)}, not map[string]interface {{}}"
            )
        if type(key) is not str:
            raise GoError(f"interface conversion: interface {{}} is {_shown(key)}, not string")
        if key not in held:
            return other
        held = held[key]
    return held


def _shown(value: Any) -> str:
    return "nil" if value is None else type_name(value)


def _reverse(values: Any) -> list[Any]:
    return list(reversed(_listed("Cannot find reverse on type", values)))


def _compact(values: Any) -> list[Any]:
    return [item for item in _listed("Cannot compact on type", values) if not empty(item)]


_COLLECTING: Final[Mapping[str, Function]] = {
    "append": Function(_append, "aa", state=True),
    "chunk": Function(_chunk, "ia"),
    "compact": Function(_compact, "a"),
    "concat": Function(_concat, "", "a", state=True),
    "deepCopy": Function(_deep_copy, "a", state=True),
    "dict": Function(_dict, "", "a"),
    "dig": Function(_dig, "", "a"),
    "first": Function(_first, "a"),
    "get": Function(lambda held, key: held.get(key, ""), "ms"),
    "has": Function(_has, "aa"),
    "hasKey": Function(lambda held, key: key in held, "ms"),
    "initial": Function(_initial, "a"),
    "keys": Function(_keys, "", "m"),
    "last": Function(_last, "a"),
    "list": Function(lambda *values: list(values), "", "a"),
    "merge": Function(_merge(False), "m", "m", state=True),
    "mergeOverwrite": Function(_merge(True), "m", "m", state=True),
    "omit": Function(_omit, "m", "s"),
    "pick": Function(_pick, "m", "s"),
    "pluck": Function(_pluck, "s", "m"),
    "prepend": Function(_prepend, "aa", state=True),
    "push": Function(_append, "aa", state=True),
    "rest": Function(_rest, "a"),
    "reverse": Function(_reverse, "a"),
    "set": Function(_set, "msa"),
    "slice": Function(_slice, "a", "a"),
    "tuple": Function(lambda *values: list(values), "", "a"),
    "uniq": Function(_uniq, "a"),
    "unset": Function(_unset, "ms"),
    "values": Function(lambda held: list(held.values()), "m"),
    "without": Function(_without, "a", "a"),
}
_MUST: Final = "append chunk compact deepCopy first has initial last merge mergeOverwrite prepend push rest reverse slice uniq without"
COLLECTING: Final[Mapping[str, Function]] = {
    **_COLLECTING,
    **{f"must{name[0].upper()}{name[1:]}": _COLLECTING[name] for name in _MUST.split()},
}
"""The functions by name."""
