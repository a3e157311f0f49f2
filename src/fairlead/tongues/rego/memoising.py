"""Functions of policies whose value follows from their arguments alone: what they gave for a text is remembered.

Policies parse the same quantities, images and versions over and over, for each object anew. A function is taken for pure when
neither it nor what it calls looks at input or data, replaces anything by `with`, or calls a built-in that may answer differently.
Only short texts as arguments and small results are remembered, and of each function only so many: memory stays bounded. Must never
change what an evaluation gives.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from .builtins import Builtin
from .syntax import Call, Ref, Rule, Statement, Var
from .values import UNDEFINED

MOST: Final = 2048
"""How many answers of one function are remembered."""
LONGEST: Final = 128
"""How long an argument may be, in characters, for its answer to be remembered."""

_ROOTS: Final = frozenset(
    [
        "array",
        "base64",
        "base64url",
        "bits",
        "glob",
        "hex",
        "internal",
        "json",
        "net",
        "numbers",
        "object",
        "regex",
        "semver",
        "strings",
        "units",
        "urlquery",
    ]
)
_NEVER: Final = frozenset({"internal.print", "internal.test_case", "print", "trace", "walk"})
_SMALL: Final = (str, int, float, bool, type(None), type(UNDEFINED))
_MISSING: Final = object()

Path = tuple[str, ...]


def _nodes(node: Any) -> Iterator[Any]:
    """Yield every node of a syntax tree."""
    ahead = [node]
    while ahead:
        here = ahead.pop()
        if isinstance(here, tuple | list):
            ahead += here
        elif dataclasses.is_dataclass(here) and not isinstance(here, type):
            yield here
            ahead += [getattr(here, one.name) for one in dataclasses.fields(here)]


def _calls(rules: Iterable[Rule], builtins: Mapping[str, Builtin]) -> set[Path] | None:
    """Return the functions of policies that definitions call, or None when they do anything that is not pure."""
    called: set[Path] = set()
    for node in _nodes([[rule.args, rule.value, rule.body, rule.otherwise] for rule in rules]):
        if isinstance(node, Statement) and node.withs:
            return None
        if isinstance(node, Var) and node.name in {"data", "input"}:
            return None
        if isinstance(node, Ref) and isinstance(node.head, Var) and node.head.name in {"data", "input"}:
            return None
        if isinstance(node, Call):
            path = tuple(node.path or node.name.split("."))
            if path[0] == "data":
                called.add(path[1:])
            elif not _same_always(node.name, builtins):
                return None
    return called


def _same_always(name: str, builtins: Mapping[str, Builtin]) -> bool:
    root, dot, _ = name.partition(".")
    if name in _NEVER or (dot and root not in _ROOTS):
        return False
    if name not in builtins:
        return not dot  # an operator that is no function of its own
    found = builtins[name]
    return not (found.nondeterministic or found.void)


def pure(functions: Mapping[Path, Sequence[Rule]], builtins: Mapping[str, Builtin]) -> frozenset[Path]:
    """Return the paths of the functions that are pure."""
    calls = {path: _calls(rules, builtins) for path, rules in functions.items()}
    found = {path for path, called in calls.items() if called is not None}
    while True:
        kept = {path for path in found if (calls[path] or set()) <= found}
        if kept == found:
            return frozenset(found)
        found = kept


def _is_small(value: Any) -> bool:
    return type(value) in _SMALL and (type(value) is not str or len(value) <= 8 * LONGEST)


def memoised(function: Callable[..., Any], arity: int) -> Callable[..., Any]:
    """Return the function `(state, *arguments)`, which remembers. Only functions of one or two arguments gain from it."""
    known: dict[Any, Any] = {}
    get = known.get

    def keep(state: Any, key: Any, value: Any) -> None:
        if len(known) < MOST and _is_small(value) and state.mocks is None and not state.strict:
            known[key] = value

    if arity == 1:

        def one(state: Any, only: Any) -> Any:
            if type(only) is not str or state.mocks is not None or state.strict:
                return function(state, only)
            value = get(only, _MISSING)
            if value is _MISSING:
                value = function(state, only)
                if len(only) <= LONGEST:
                    keep(state, only, value)
            return value

        return one

    def two(state: Any, first: Any, second: Any) -> Any:
        if type(first) is not str or type(second) is not str or state.mocks is not None or state.strict:
            return function(state, first, second)
        value = get((first, second), _MISSING)
        if value is _MISSING:
            value = function(state, first, second)
            if len(first) + len(second) <= 2 * LONGEST:
                keep(state, (first, second), value)
        return value

    return two


def remember(
    names: dict[str, Any], functions: Mapping[Path, Sequence[Rule]], builtins: Mapping[str, Builtin]
) -> None:
    """Put what remembers in the place of each pure function; `names` has them as f0, f1 ... in the order of `functions`."""
    if not functions:
        return
    chosen = pure(functions, builtins)
    for number, (path, rules) in enumerate(functions.items()):
        arity = len(rules[0].args or ())
        if path in chosen and arity in {1, 2}:
            name = f"f{number}"
            names[name] = memoised(names[name], arity)
