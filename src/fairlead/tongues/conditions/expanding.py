"""Names of macros and lists in a tree -> what they stand for. Refuses what is unknown, what contains itself, and what grows without measure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from fairlead.tongues.conditions.parsing import items
from fairlead.tongues.conditions.trees import And, BadCondition, Check, Name, Not, Or, Tree, Value, Values

MOST_LEAVES = 50_000
MOST_ITEMS = 200_000
MOST_DEEP = 150
"""Levels of an expanded tree: each macro adds its own."""


def expand_list(texts: Sequence[str], lists: Mapping[str, Sequence[Value]]) -> tuple[Value, ...]:
    """Return the values of a list's items, other lists among them replaced by theirs. Raises BadCondition."""
    found: list[Value] = []
    for text in texts:
        for value in items(text):
            found.extend(_value(value, lists))
            if len(found) > MOST_ITEMS:
                raise BadCondition(f"a list of more than {MOST_ITEMS} items")
    return tuple(found)


def expand(tree: Tree, macros: Callable[[Name], Tree], lists: Mapping[str, Sequence[Value]]) -> Tree:
    """Return the tree with its lists replaced, and its macros by what `macros` gives: expanded trees. Raises BadCondition.

    `macros` raises BadCondition over a name that it does not know.
    """
    found = _expand(tree, macros, lists, {})
    leaves, depth = measure(found)
    if leaves > MOST_LEAVES:
        raise BadCondition(f"more than {MOST_LEAVES} comparisons", *tree.at)
    if depth > MOST_DEEP:
        raise BadCondition(f"nested deeper than {MOST_DEEP} levels", *tree.at)
    return found


def measure(tree: Tree) -> tuple[int, int]:
    """Return how many comparisons the tree has, those of shared parts counted each time, and how many levels."""
    known: dict[int, tuple[int, int]] = {}

    def of(node: Tree) -> tuple[int, int]:
        before = known.get(id(node))
        if before is None:
            if isinstance(node, And | Or):
                parts = [of(arg) for arg in node.args]
                before = sum(count for count, _ in parts), 1 + max(depth for _, depth in parts)
            elif isinstance(node, Not):
                count, depth = of(node.arg)
                before = count, depth + 1
            else:
                before = 1, 1
            known[id(node)] = before
        return before

    return of(tree)


def _expand(
    node: Tree, macros: Callable[[Name], Tree], lists: Mapping[str, Sequence[Value]], known: dict[int, Tree]
) -> Tree:  # fmt: skip
    if isinstance(node, Name):
        return macros(node)
    if isinstance(node, And | Or):
        args = tuple(_expand(arg, macros, lists, known) for arg in node.args)
        return type(node)(args, node.at)
    if isinstance(node, Not):
        return Not(_expand(node.arg, macros, lists, known), node.at)
    if isinstance(node, Check):
        return _check(node, lists)
    return node


def _check(node: Check, lists: Mapping[str, Sequence[Value]]) -> Check:
    right = node.right
    if isinstance(right, Values):
        if not any(not item.quoted and item.text in lists for item in right.items):
            return node
        found = tuple(value for item in right.items for value in _value(item, lists))
        if len(found) > MOST_ITEMS:
            raise BadCondition(f"more than {MOST_ITEMS} values", *right.at)
        return Check(node.left, node.op, Values(found, right.at), node.mod, node.at)
    if isinstance(right, Value) and not right.quoted and right.text in lists:
        values = lists[right.text]
        if len(values) != 1:
            raise BadCondition(
                f"list {right.text!r} has {len(values)} items where one value is wanted: put it in parentheses",
                *right.at,
            )
        return Check(node.left, node.op, values[0], node.mod, node.at)
    return node


def _value(value: Value, lists: Mapping[str, Sequence[Value]]) -> Sequence[Value]:
    return (value,) if value.quoted else lists.get(value.text, (value,))
