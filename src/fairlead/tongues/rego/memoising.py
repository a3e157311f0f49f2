"""Functions of policies are not asked twice for the same: what they gave is remembered.

Within one evaluation every function gives the same for the same object or list (state.known holds on to it, so that its identity
stays its own); only those that print or trace, themselves or by what they call, are asked each time.

For a text, what a pure function gave is remembered for all evaluations: policies parse the same quantities, images and versions
over and over. A function is pure when neither it nor what it calls looks at input or data, replaces anything by `with`, or calls a
built-in that may answer differently. Only short texts and small results are remembered, and of each function only so many:
memory stays bounded. Must never change what an evaluation gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from .builtins import Builtin
from .syntax import Call, Ref, Rule, Statement, Var, nodes
from .values import UNDEFINED

MOST: Final = 2048
"""How many answers of one function are remembered."""
WITHIN: Final = 4096
"""How many answers are remembered within one evaluation."""
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
_LOUD: Final = frozenset({"internal.print", "internal.test_case", "print", "trace"})
_SMALL: Final = (str, int, float, bool, type(None), type(UNDEFINED))
_ONCE: Final = frozenset({dict, list, str, int, bool, type(None)})
_MISSING: Final = object()

Path = tuple[str, ...]


class _Traits:
    """What the definitions of a function do: whether they say anything, whether they are pure, and whom they call."""

    __slots__ = ("calls", "pure", "silent")

    def __init__(self, rules: Iterable[Rule], builtins: Mapping[str, Builtin]) -> None:
        self.calls: set[Path] = set()
        self.pure = self.silent = True
        for node in nodes([[rule.args, rule.value, rule.body, rule.otherwise] for rule in rules]):
            self._see(node, builtins)

    def _see(self, node: Any, builtins: Mapping[str, Builtin]) -> None:
        head = node.head if isinstance(node, Ref) else node
        if (isinstance(node, Statement) and node.withs) or (
            isinstance(head, Var) and head.name in {"data", "input"}
        ):
            self.pure = False
        if isinstance(node, Call):
            path = tuple(node.path or node.name.split("."))
            if path[0] == "data":
                self.calls.add(path[1:])
            elif node.name in _LOUD:
                self.pure = self.silent = False
            elif not _same_always(node.name, builtins):
                self.pure = False


def _same_always(name: str, builtins: Mapping[str, Builtin]) -> bool:
    root, dot, _ = name.partition(".")
    if name == "walk" or (dot and root not in _ROOTS):
        return False
    if name not in builtins:
        return not dot  # an operator that is no function of its own
    found = builtins[name]
    return not (found.nondeterministic or found.void)


def _closed(found: set[Path], traits: Mapping[Path, _Traits]) -> frozenset[Path]:
    """Return those of the functions that call no other functions than such."""
    while True:
        kept = {path for path in found if traits[path].calls <= found}
        if kept == found:
            return frozenset(found)
        found = kept


def sorted_out(
    functions: Mapping[Path, Sequence[Rule]], builtins: Mapping[str, Builtin]
) -> tuple[frozenset[Path], frozenset[Path]]:
    """Return the paths of the functions that are pure, and of those that say nothing."""
    traits = {path: _Traits(rules, builtins) for path, rules in functions.items()}
    return (
        _closed({path for path, one in traits.items() if one.pure}, traits),
        _closed({path for path, one in traits.items() if one.silent}, traits),
    )


def _is_small(value: Any) -> bool:
    return type(value) in _SMALL and (type(value) is not str or len(value) <= 8 * LONGEST)


def memoised(
    function: Callable[..., Any], arity: int, number: int = 0, *, pure: bool = True
) -> Callable[..., Any]:
    """Return the function `(state, *arguments)` of one or two arguments, which remembers.

    `number` tells it from the other functions of a program. Only what a `pure` one gave outlives an evaluation.
    """
    known: dict[Any, Any] = {}
    get = known.get

    def keep(state: Any, key: Any, value: Any) -> None:
        if len(known) < MOST and _is_small(value) and state.mocks is None and not state.strict:
            known[key] = value

    def within(state: Any, only: Any, kind: type) -> Any:
        answers = state.known
        key = (number, id(only)) if kind is dict or kind is list else (number, kind, only)
        found = answers.get(key)
        if found is not None:
            return found[1]
        value = function(state, only)
        if len(answers) < WITHIN:
            answers[key] = (only, value)
        return value

    def one(state: Any, only: Any) -> Any:
        kind = type(only)
        if kind in _ONCE and not (pure and kind is str):
            return within(state, only, kind)
        if kind is not str or state.mocks is not None or state.strict:
            return function(state, only)
        value = get(only, _MISSING)
        if value is _MISSING:
            value = function(state, only)
            if len(only) <= LONGEST:
                keep(state, only, value)
        return value

    def two(state: Any, first: Any, second: Any) -> Any:
        if type(first) is not str or type(second) is not str or state.mocks is not None or state.strict:
            return function(state, first, second)
        value = get((first, second), _MISSING)
        if value is _MISSING:
            value = function(state, first, second)
            if len(first) + len(second) <= 2 * LONGEST:
                keep(state, (first, second), value)
        return value

    return one if arity == 1 else two


def remember(
    names: dict[str, Any], functions: Mapping[Path, Sequence[Rule]], builtins: Mapping[str, Builtin]
) -> None:
    """Put what remembers in the place of each function; `names` has them as f0, f1 ... in the order of `functions`."""
    if not functions:
        return
    pure, silent = sorted_out(functions, builtins)
    for number, (path, rules) in enumerate(functions.items()):
        arity = len(rules[0].args or ())
        if (arity == 1 and path in silent) or (arity == 2 and path in pure):
            name = f"f{number}"
            names[name] = memoised(names[name], arity, number, pure=path in pure)
