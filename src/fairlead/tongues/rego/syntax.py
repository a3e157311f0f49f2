"""Rego's syntax tree: what a parsed module is made of. Plain records; must never hold a method that decides anything.

`at` is (line, column), 1-based. A term is one of Term's classes. Calls of operators and built-ins carry OPA's names:
`a + b` is Call("plus"), `a = b` Call("eq"), `a := b` Call("assign"), `a == b` Call("equal"), `x in y` Call("internal.member_2").
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

At: TypeAlias = tuple[int, int]


@dataclass(slots=True, eq=False)
class Scalar:
    """null, a boolean, a number or a string."""

    value: Any
    at: At = (0, 0)


@dataclass(slots=True, eq=False)
class Var:
    """A variable by its name. After resolving, local variables have names of their own (see resolving)."""

    name: str
    at: At = (0, 0)


@dataclass(slots=True, eq=False)
class Ref:
    """`head[path0][path1]...`; the head is any term, `data` and `input` are Var heads."""

    head: Term
    path: tuple[Term, ...]
    at: At = (0, 0)


@dataclass(slots=True, eq=False)
class Array:
    """`[a, b]`."""

    items: tuple[Term, ...]
    at: At = (0, 0)


@dataclass(slots=True, eq=False)
class Object:
    """`{a: b}`."""

    items: tuple[tuple[Term, Term], ...]
    at: At = (0, 0)


@dataclass(slots=True, eq=False)
class SetTerm:
    """`{a, b}` and `set()`."""

    items: tuple[Term, ...]
    at: At = (0, 0)


@dataclass(slots=True, eq=False)
class Comprehension:
    """`[value | body]`, `{value | body}`, `{key: value | body}`."""

    kind: Literal["array", "set", "object"]
    key: Term | None
    value: Term
    body: tuple[Statement, ...]
    at: At = (0, 0)


@dataclass(slots=True, eq=False)
class Call:
    """`name(args)`; `name` is dotted (`data.lib.f`, `json.patch`, `plus`)."""

    name: str
    args: tuple[Term, ...]
    at: At = (0, 0)
    path: tuple[str, ...] = ()  # the name's parts, as written or resolved


@dataclass(slots=True, eq=False)
class Template:
    """`$"text {term} text"`: strings and statements in turn."""

    parts: tuple[str | Statement, ...]
    at: At = (0, 0)


Term: TypeAlias = Scalar | Var | Ref | Array | Object | SetTerm | Comprehension | Call | Template


@dataclass(slots=True, eq=False)
class Some:
    """`some x, y`."""

    names: tuple[Var, ...]
    at: At = (0, 0)


@dataclass(slots=True, eq=False)
class SomeIn:
    """`some key, value in domain`."""

    key: Term | None
    value: Term
    domain: Term
    at: At = (0, 0)


@dataclass(slots=True, eq=False)
class Every:
    """`every key, value in domain { body }`."""

    key: Var | None
    value: Var
    domain: Term
    body: tuple[Statement, ...]
    at: At = (0, 0)


@dataclass(slots=True, eq=False)
class With:
    """`with target as value`."""

    target: Ref | Var
    value: Term
    at: At = (0, 0)


@dataclass(slots=True, eq=False)
class Statement:
    """One expression of a body."""

    what: Term | Some | SomeIn | Every
    negated: bool = False
    withs: tuple[With, ...] = ()
    at: At = (0, 0)


Body: TypeAlias = tuple[Statement, ...]


@dataclass(slots=True, eq=False)
class Rule:
    """One definition. `ref` is the head's reference without the package: a name, then terms.

    kind "set": `ref contains key`; otherwise a single value at `ref` (a function where args is not None).
    """

    ref: tuple[Term, ...]
    kind: Literal["single", "set"]
    args: tuple[Term, ...] | None
    key: Term | None
    value: Term
    body: Body
    default: bool = False
    otherwise: Rule | None = None
    assigned: bool = False  # the value was written with `:=` or `=`, or generated where False
    at: At = (0, 0)
    file: str = ""
    package: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class Import:
    """`import path as alias`."""

    path: tuple[str, ...]
    alias: str
    at: At = (0, 0)


@dataclass(slots=True, eq=False)
class Module:
    """One file."""

    file: str
    package: tuple[str, ...]
    imports: list[Import] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    version: str = "v1"
    at: At = (0, 0)
    comments: tuple[tuple[At, str], ...] = ()  # only where some may be METADATA


def nodes(tree: Any) -> Iterator[Any]:
    """Yield every node of a syntax tree, or of the trees in a list."""
    ahead = [tree]
    while ahead:
        here = ahead.pop()
        if isinstance(here, tuple | list):
            ahead += here
        elif dataclasses.is_dataclass(here) and not isinstance(here, type):
            yield here
            ahead += [getattr(here, one.name) for one in dataclasses.fields(here)]
