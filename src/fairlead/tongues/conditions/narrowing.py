"""What of a tree can be asked elsewhere, sooner and more cheaply: an over-approximation as alternatives of tests that must all pass.

Never drops an event that the tree wants: what cannot be pushed down, or would make too many alternatives, widens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, TypeVar

from fairlead.tongues.conditions.trees import And, Leaf, Name, Not, Or, Tree

Test = TypeVar("Test")
Clauses: TypeAlias = "tuple[tuple[Test, ...], ...]"
"""Alternatives, each of tests that must all pass: () is never, ((),) is always."""


def narrow(tree: Tree, decide: Callable[[Leaf, bool], Test | bool | None], most: int = 64) -> Clauses[Test]:
    """Return alternatives such that one passes whenever the tree is true; no more than `most`.

    `decide(leaf, negated)` gives a test that passes whenever the leaf (its opposite, where `negated`) is true; True or False where that
    is known; None where it cannot say. Tests must be hashable.
    """
    return _narrow(tree, decide, most, negated=False)


def _narrow(
    tree: Tree, decide: Callable[[Leaf, bool], Test | bool | None], most: int, *, negated: bool
) -> Clauses[Test]:
    if isinstance(tree, Not):
        return _narrow(tree.arg, decide, most, negated=not negated)
    if isinstance(tree, Name):
        return ((),)
    if isinstance(tree, And | Or):
        parts = [_narrow(arg, decide, most, negated=negated) for arg in tree.args]
        return _all(parts, most) if isinstance(tree, And) is not negated else _any(parts, most)
    found = decide(tree, negated)
    if found is None or found is True:
        return ((),)
    return () if found is False else ((found,),)


def _any(parts: list[Clauses[Test]], most: int) -> Clauses[Test]:
    clauses = _least([clause for part in parts for clause in part])
    return clauses if len(clauses) <= most else ((),)


def _all(parts: list[Clauses[Test]], most: int) -> Clauses[Test]:
    """Every alternative of each part with every one of the others. The widest parts are left out where that is too many."""
    clauses: Clauses[Test] = ((),)
    for part in sorted(parts, key=len):
        if not part:
            return ()
        product = (
            _least([tuple(dict.fromkeys((*one, *other))) for one in clauses for other in part])
            if len(part) * len(clauses) <= 4 * most
            else ()
        )
        if product and len(product) <= most:
            clauses = product
    return clauses


def _least(clauses: list[tuple[Test, ...]]) -> Clauses[Test]:
    """The alternatives without those that another one makes needless."""
    sets = [frozenset(clause) for clause in clauses]
    kept: list[int] = []
    for index, tests in enumerate(sets):
        if any(sets[other] < tests or (sets[other] == tests and other < index) for other in range(len(sets))):
            continue
        kept.append(index)
    return tuple(clauses[index] for index in kept)
