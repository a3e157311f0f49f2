"""Tree -> text, so that reading the text gives the same tree. Decides nothing."""

from __future__ import annotations

import re

from fairlead.tongues.conditions.trees import (
    And,
    Call,
    Check,
    Exists,
    FieldRef,
    Group,
    Name,
    Not,
    Operand,
    Or,
    Tree,
    Value,
    Values,
)

_ARGUMENT = re.compile(r"[^ \t\b\r\n\v\f\[\]\"']+")
_ESCAPES = {"\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\", '"': '\\"'}


def quote(text: str) -> str:
    """Return the text in double quotes, with the escapes that the language knows."""
    return '"' + "".join(_ESCAPES.get(char, char) for char in text) + '"'


def show(tree: Tree) -> str:
    """Return the text of a tree."""
    if isinstance(tree, Name):
        return tree.name
    if isinstance(tree, Exists):
        return f"{_operand(tree.left)} exists"
    if isinstance(tree, Check):
        mod = f" {tree.mod}" if tree.mod else ""
        return f"{_operand(tree.left)} {tree.op}{mod} {_right(tree.right)}"
    if isinstance(tree, Not):
        return f"not({show(tree.arg)})" if isinstance(tree.arg, Not) else f"not {_within(tree.arg)}"
    return (" and " if isinstance(tree, And) else " or ").join(_within(arg) for arg in tree.args)


def show_operand(operand: Operand) -> str:
    """Return the text of a field, transformer or constant, as it names itself: `tolower(proc.name)`."""
    return _operand(operand)


def _within(tree: Tree) -> str:
    return f"({show(tree)})" if isinstance(tree, And | Or) else show(tree)


def _right(right: Value | Values | FieldRef | Call) -> str:
    if isinstance(right, FieldRef):
        return f"val({_operand(right)})"
    if isinstance(right, Values):
        return "(" + ", ".join(_operand(item) for item in right.items) + ")"
    return _operand(right)


def _operand(operand: Operand) -> str:
    if isinstance(operand, Value):
        return quote(operand.text) if operand.quoted else operand.text
    if isinstance(operand, FieldRef):
        if operand.argument is None:
            return operand.name
        bare = _ARGUMENT.fullmatch(operand.argument)
        return f"{operand.name}[{operand.argument if bare else quote(operand.argument)}]"
    inner = ", ".join(
        _operand(item) for item in (operand.args if isinstance(operand, Call) else operand.items)
    )
    return f"({inner})" if isinstance(operand, Group) else f"{operand.name}({inner})"
