"""Tree -> a smaller tree that says the same: flat, without repetitions, with comparisons of one field merged; and a tree under assumptions.

Every step is exact, absent values included: a comparison with an absent value is false, so `a = x or a = y` is `a in (x, y)`, and
`not a = x and not a = y` is `not a in (x, y)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from fairlead.tongues.conditions.trees import (
    And,
    Call,
    Check,
    Exists,
    FieldRef,
    Leaf,
    Not,
    Or,
    Place,
    Tree,
    Value,
    Values,
)

_One: TypeAlias = Callable[[FieldRef | Call], bool]
_MERGED = {("=", ""): "in", ("in", ""): "in", ("startswith", ""): "startswith", ("startswith", "anyof"): "startswith",
           ("endswith", ""): "endswith", ("endswith", "anyof"): "endswith", ("pmatch", ""): "pmatch", ("=", "anyof"): "in"}  # fmt: skip
"""Comparisons with constants that are true when one of the constants fits, and what they are merged into."""


def simplify(
    tree: Tree, one: _One = lambda _: False, keep: Callable[[And | Or], bool] = lambda _: False
) -> Tree:  # fmt: skip
    """Return a tree that is true of the same events. Shared parts stay shared.

    `one` says of which operands it is known that they are no lists: `a in (x) or a in (y)` is `a in (x, y)` of those only. `keep` says which
    parts are not to be dissolved in one of the same sort that they are in.
    """
    return _Simplifier(one, keep).simple(tree)


def reduce(tree: Tree, decide: Callable[[Leaf], bool | None]) -> Tree | bool:
    """Return what is left of a tree when `decide` knows some of its leaves (None: it does not), or the answer itself."""
    return _reduced(tree, decide, {})


def _reduced(tree: Tree, decide: Callable[[Leaf], bool | None], known: dict[int, Tree | bool]) -> Tree | bool:
    found = known.get(id(tree))
    if found is None:
        found = known[id(tree)] = _reduced_anew(tree, decide, known)
    return found


def _reduced_anew(
    tree: Tree, decide: Callable[[Leaf], bool | None], known: dict[int, Tree | bool]
) -> Tree | bool:
    if isinstance(tree, Not):
        inner = _reduced(tree.arg, decide, known)
        return not inner if isinstance(inner, bool) else tree if inner is tree.arg else Not(inner, tree.at)
    if isinstance(tree, And | Or):
        ends = isinstance(tree, Or)  # what decides the whole
        left: list[Tree] = []
        for arg in tree.args:
            one = _reduced(arg, decide, known)
            if one is ends:
                return ends
            if not isinstance(one, bool):
                left.append(one)
        if not left:
            return not ends
        return left[0] if len(left) == 1 else type(tree)(tuple(left), tree.at)
    if isinstance(tree, Check | Exists):
        answer = decide(tree)
        return tree if answer is None else answer
    return tree


class _Simplifier:
    """Simplifies trees, each part of them once."""

    def __init__(self, one: _One, keep: Callable[[And | Or], bool]) -> None:
        self.one = one
        self.keep = keep
        self.known: dict[int, Tree] = {}

    def simple(self, tree: Tree) -> Tree:
        found = self.known.get(id(tree))
        if found is None:
            found = self.known[id(tree)] = self.anew(tree)
        return found

    def anew(self, tree: Tree) -> Tree:
        if isinstance(tree, Not):
            inner = self.simple(tree.arg)
            return inner.arg if isinstance(inner, Not) else Not(inner, tree.at)
        if isinstance(tree, Or):
            return _joined(_merged(self.flat(tree), self.one), tree.at, Or)
        if isinstance(tree, And):
            args = self.flat(tree)
            denied = [arg.arg for arg in args if isinstance(arg, Not)]
            if len(denied) > 1:
                args = _with(args, _merged(denied, self.one))
            return _joined(args, tree.at, And)
        return tree

    def flat(self, tree: And | Or) -> list[Tree]:
        """The arguments, those of arguments of the same sort among them, each once."""
        found: dict[Tree, None] = {}
        for whole in tree.args:
            arg = self.simple(whole)
            dissolved = isinstance(arg, type(tree)) and not (isinstance(whole, And | Or) and self.keep(whole))
            for part in arg.args if dissolved and isinstance(arg, And | Or) else (arg,):
                found.setdefault(part)
        return list(found)


def _with(args: Iterable[Tree], denied: list[Tree]) -> list[Tree]:
    """The arguments with their Nots replaced by those of `denied`, which begin where the first stood."""
    found: list[Tree] = []
    placed = False
    for arg in args:
        if not isinstance(arg, Not):
            found.append(arg)
        elif not placed:
            placed = True
            found.extend(Not(one, one.at) for one in denied)
    return found


def _joined(args: list[Tree], at: Place, sort: type[And | Or]) -> Tree:
    return args[0] if len(args) == 1 else sort(tuple(args), at)


def _merged(args: Iterable[Tree], one: _One) -> list[Tree]:
    """The arguments of an Or, where comparisons of one field with constants are one."""
    found: list[Tree] = []
    places: dict[tuple[FieldRef | Call, str], int] = {}
    for arg in args:
        key = _mergeable(arg)
        if key is None:
            found.append(arg)
        elif key not in places or (not one(key[0]) and _both_in(found[places[key]], arg)):
            places[key] = len(found)
            found.append(arg)
        else:
            before = found[places[key]]
            assert isinstance(before, Check)
            assert isinstance(arg, Check)
            texts = {value.text: value for value in (*_constants(before), *_constants(arg))}
            values = Values(
                tuple(Value(text, quoted=True, at=value.at) for text, value in texts.items()), before.at
            )
            op = key[1]
            found[places[key]] = Check(
                before.left, op, values, "anyof" if op in {"startswith", "endswith"} else "", before.at
            )
    return found


def _both_in(before: Tree, after: Tree) -> bool:
    """Whether neither shows, by being an equality, that the field is no list."""
    return isinstance(before, Check) and isinstance(after, Check) and before.op == after.op == "in"


def _mergeable(tree: Tree) -> tuple[FieldRef | Call, str] | None:
    if not isinstance(tree, Check) or not isinstance(tree.right, Value | Values):
        return None
    op = _MERGED.get((tree.op, tree.mod))
    return None if op is None else (tree.left, op)


def _constants(check: Check) -> tuple[Value, ...]:
    right = check.right
    assert isinstance(right, Value | Values)
    return (right,) if isinstance(right, Value) else right.items
