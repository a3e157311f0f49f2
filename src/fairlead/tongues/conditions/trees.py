"""What a condition is made of: frozen nodes, equal when they mean the same text, wherever that stood.

Knows no fields and evaluates nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

Place: TypeAlias = tuple[int, int]
"""Line and column, from 1."""


class BadCondition(ValueError):
    """A condition that cannot be: `message` says why, `line` and `column` (from 1) where; `name` is the macro that it is in, or ""."""

    def __init__(self, message: str, line: int = 1, column: int = 1, name: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column
        self.name = name

    def __str__(self) -> str:
        within = f"macro {self.name!r}, " if self.name else ""
        return f"{self.message} ({within}line {self.line}, column {self.column})"


@dataclass(frozen=True, slots=True)
class FieldRef:
    """A field by its name and, where one was written, its argument: `proc.aname[2]`."""

    name: str
    argument: str | None = None
    at: Place = field(default=(1, 1), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Value:
    """A constant, as text; `quoted` when it stood in quotes, and so names no list."""

    text: str
    quoted: bool = False
    at: Place = field(default=(1, 1), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Values:
    """Constants in parentheses."""

    items: tuple[Value, ...]
    at: Place = field(default=(1, 1), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Group:
    """Operands in parentheses among a transformer's arguments: `join(",", (proc.name, proc.pid))`."""

    items: tuple[Operand, ...]
    at: Place = field(default=(1, 1), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Call:
    """A transformer over operands: tolower, toupper, b64, basename, len, join, concat."""

    name: str
    args: tuple[Operand, ...]
    at: Place = field(default=(1, 1), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison. `op` is one of OPERATORS (`==` is `=`), `mod` is "", oneof, anyof or allof.

    `right` is a FieldRef only where `val(field)` was written.
    """

    left: FieldRef | Call
    op: str
    right: Value | Values | FieldRef | Call
    mod: str = ""
    at: Place = field(default=(1, 1), compare=False, repr=False)

    @property
    def field(self) -> FieldRef | None:
        """The field that is compared as it is, or None where a transformer stands before it."""
        return self.left if isinstance(self.left, FieldRef) else None

    @property
    def values(self) -> tuple[str, ...] | None:
        """The constants that are compared with, or None where another field is."""
        if isinstance(self.right, Value):
            return (self.right.text,)
        if isinstance(self.right, Values):
            return tuple(item.text for item in self.right.items)
        return None


@dataclass(frozen=True, slots=True)
class Exists:
    """Whether a field has a value at all."""

    left: FieldRef | Call
    at: Place = field(default=(1, 1), compare=False, repr=False)

    @property
    def field(self) -> FieldRef | None:
        """The field that is asked for as it is, or None where a transformer stands before it."""
        return self.left if isinstance(self.left, FieldRef) else None


@dataclass(frozen=True, slots=True)
class Name:
    """A macro by its name. Absent from an expanded tree."""

    name: str
    at: Place = field(default=(1, 1), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Not:
    """True when its argument is not; a comparison with what is absent is false, so its Not is true."""

    arg: Tree
    at: Place = field(default=(1, 1), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class And:
    """True when all are. Two or more."""

    args: tuple[Tree, ...]
    at: Place = field(default=(1, 1), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Or:
    """True when one is. Two or more."""

    args: tuple[Tree, ...]
    at: Place = field(default=(1, 1), compare=False, repr=False)


Operand: TypeAlias = FieldRef | Value | Group | Call
Leaf: TypeAlias = Check | Exists
Tree: TypeAlias = And | Or | Not | Check | Exists | Name

NUMBER_OPERATORS = ("<=", "<", ">=", ">")
TEXT_OPERATORS = (
    "=", "!=", "glob", "iglob", "contains", "icontains", "bcontains", "startswith", "bstartswith", "endswith", "regex",
)  # fmt: skip
LIST_OPERATORS = ("intersects", "in", "pmatch")
OPERATORS = (*NUMBER_OPERATORS, *TEXT_OPERATORS, *LIST_OPERATORS)
"""All that compare two things; `exists` is a node of its own."""
MODIFIERS = ("oneof", "anyof", "allof")
TRANSFORMERS = ("tolower", "toupper", "b64", "basename", "len", "join", "concat")


def leaves(tree: Tree) -> Iterator[Leaf | Name]:
    """Every comparison, `exists` and macro's name in the tree, left to right."""
    stack: list[Tree] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, And | Or):
            stack.extend(reversed(node.args))
        elif isinstance(node, Not):
            stack.append(node.arg)
        else:
            yield node


def fields(tree: Tree) -> Iterator[FieldRef]:
    """Every field that the tree names, on either side and within transformers."""
    for leaf in leaves(tree):
        if isinstance(leaf, Check):
            yield from _of(leaf.left)
            yield from _of(leaf.right)
        elif isinstance(leaf, Exists):
            yield from _of(leaf.left)


def _of(operand: Operand | Values) -> Iterator[FieldRef]:
    if isinstance(operand, FieldRef):
        yield operand
    elif isinstance(operand, Call):
        for arg in operand.args:
            yield from _of(arg)
    elif isinstance(operand, Group):
        for item in operand.items:
            yield from _of(item)
