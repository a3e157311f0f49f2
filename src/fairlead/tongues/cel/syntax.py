"""The tree that an expression is read into. The parser makes it, the checker writes types and meanings into it.

Data only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from fairlead.tongues.cel.types import DYN, Type

Kind: TypeAlias = Literal[
    "all",
    "exists",
    "exists_one",
    "map",
    "filter",
    "transformList",
    "transformMap",
    "transformMapEntry",
    "sortBy",
    "optMap",
    "optFlatMap",
]


@dataclass(slots=True, eq=False)
class Node:
    """Any part of an expression: where it stands (an offset), how deep the tree below it is, and the type that was deduced."""

    pos: int
    depth: int = field(default=1, init=False)
    type: Type = field(default=DYN, init=False)


@dataclass(slots=True, eq=False)
class Literal_(Node):  # noqa: N801  Literal is taken
    """A constant, also one that a name or a qualified name turned out to be."""

    value: Any


@dataclass(slots=True, eq=False)
class Ident(Node):
    """A name; `name` begins with a dot where the container is not to be looked in. `local`: a comprehension's variable."""

    name: str
    local: bool = False


@dataclass(slots=True, eq=False)
class Select(Node):
    """`operand.field`; `test` inside has(); `optional` for `operand.?field`. `meant` is the whole name where it is one."""

    operand: Node
    field: str
    test: bool = False
    optional: bool = False
    meant: Node | None = None


@dataclass(slots=True, eq=False)
class Call(Node):
    """A function, method or operator (`_+_`, `_[_]`, `_&&_` with two or more arguments). `overload` is set where only one can be meant."""

    name: str
    target: Node | None
    args: list[Node]
    overload: Any = None


@dataclass(slots=True, eq=False)
class ListOf(Node):
    """`[a, ?b]`: `optional` are the indexes of items that are left out when absent."""

    items: list[Node]
    optional: frozenset[int]


@dataclass(slots=True, eq=False)
class MapOf(Node):
    """`{key: value, ?key: value}`: the third of each entry says whether it is left out when absent."""

    entries: list[tuple[Node, Node, bool]]


@dataclass(slots=True, eq=False)
class Struct(Node):
    """`Name{field: value}`; `maker` is what the checker found the name to be."""

    name: str
    entries: list[tuple[str, Node, bool]]
    maker: Any = None


@dataclass(slots=True, eq=False)
class Fold(Node):
    """A comprehension: over `source`, with one or two variables. `where` is a filter, `body` the predicate or what is made."""

    kind: Kind
    names: tuple[str, ...]
    source: Node
    body: Node
    where: Node | None = None
    key: Node | None = None


@dataclass(slots=True, eq=False)
class Bind(Node):
    """`body` with `name` standing for `value`, which is evaluated at most once, when first needed."""

    name: str
    value: Node
    body: Node
