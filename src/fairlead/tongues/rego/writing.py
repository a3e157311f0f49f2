"""Writes Python source for Rego: lines, blocks, names, and what is known where. Every attempt can be taken back.

Python allows 20 loops inside one another: deeper ones move into a function of their own. Text is only ever made of names that
were made here, of literals, and of constants from the pool: nothing of a policy's text becomes Python unquoted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from .builtins.kinds import Builtin
from .errors import BadModule
from .grouping import Group
from .running import Node
from .syntax import Array, Object, Scalar, SetTerm, Term, Var
from .values import Set, box

DEEPEST_LOOPS: Final = 12
DEEPEST_INDENT: Final = 85
LONGEST_LITERAL: Final = 120


class NotYet(Exception):
    """Variables that must be bound first."""

    def __init__(self, *names: Var) -> None:
        self.names = names
        super().__init__()


@dataclass(slots=True, eq=False)
class Function:
    """A function of the policies: how many arguments it takes and its name in the generated code."""

    path: tuple[str, ...]
    arity: int
    name: str


@dataclass(slots=True, eq=False)
class Unit:
    """What all rules of a program share while they are compiled. `needs` gathers who refers to whom."""

    tree: Node
    functions: dict[tuple[str, ...], Function]
    builtins: Mapping[str, Builtin]
    mocked: frozenset[str] = frozenset()
    strict: frozenset[str] = frozenset()  # the files of v1 modules
    names: dict[str, Any] = field(default_factory=dict)
    calls: dict[str, str] = field(default_factory=dict)
    nodes: dict[tuple[str, ...], str] = field(default_factory=dict)
    errors: list[BadModule] = field(default_factory=list)
    count: int = 0
    generals: dict[tuple[str, ...], Group] = field(default_factory=dict)
    parts: dict[tuple[tuple[str, ...], tuple[int, ...]], int] = field(default_factory=dict)
    size: int = 0  # how many documents have a memo

    def part(self, node: Node, places: tuple[int, ...]) -> int:
        """Return the number of the function that computes some definitions of a document."""
        if (node.path, places) not in self.parts:
            self.parts[node.path, places] = self.size
            node.parts.append(self.size)
            self.size += 1
        return self.parts[node.path, places]

    def constant(self, value: Any) -> str:
        """Return a name in the generated code for a value."""
        self.count += 1
        name = f"K{self.count}"
        self.names[name] = value
        return name

    def file_name(self, file: str) -> str:
        """Return the generated code's name for a file's name."""
        if ("file", file) not in self.nodes:
            self.nodes[("file", file)] = self.constant(file)
        return self.nodes[("file", file)]

    def builtin(self, name: str) -> str:
        """Return the generated code's name for a built-in."""
        if name not in self.calls:
            self.calls[name] = self.constant(self.builtins[name].call)
        return self.calls[name]

    def node(self, node: Node) -> str:
        """Return the generated code's name for a node of the tree."""
        if node.path not in self.nodes:
            self.nodes[node.path] = self.constant(node)
        return self.nodes[node.path]


class Block(NamedTuple):
    """An open block: `kind` is "for" or "def"; `indent` is its header's."""

    kind: str
    indent: int
    name: str
    reads: tuple[str, ...] = ()


class Mark(NamedTuple):
    """Where a Writer was, to come back to."""

    lines: int
    indent: int
    blocks: tuple[Block, ...]
    trail: int
    state: str
    ordered: bool
    fixed: bool
    flags: tuple[str, ...]


class Writer:
    """Python source under construction, for one function."""

    def __init__(self, unit: Unit, file: str, failing: str) -> None:
        self.unit = unit
        self.file = file
        self.failing = failing
        self.lines: list[str] = []
        self.indent = 1
        self.blocks: list[Block] = []
        self.bound: dict[str, str] = {}
        self.known: dict[tuple[str, ...], str] = {}
        self.defined: set[str] = set()
        self.trail: list[tuple[str, Any]] = []
        self.state = "S"
        self.ordered = False
        self.fixed = False  # no variable may be bound here (inside `not`)
        self.flags: tuple[str, ...] = ()
        self.needs: set[tuple[str, ...]] = set()
        self.count = 0
        self.looped = False
        self.outlined = False

    # Text.

    def write(self, text: str) -> None:
        """Add a line at the present indentation."""
        self.lines.append(" " * self.indent + text)

    def fresh(self) -> str:
        """Return a new name."""
        self.count += 1
        return f"t{self.count}"

    def let(self, text: str) -> str:
        """Assign an expression to a new name and return that."""
        name = self.fresh()
        self.write(f"{name} = {text}")
        return name

    @property
    def in_loop(self) -> bool:
        """Whether the present Python function has a loop open."""
        return bool(self.blocks) and self.blocks[-1].kind == "for"

    def fail(self) -> str:
        """Return the statement that gives up the present solution."""
        if self.in_loop:
            return "continue"
        return "return" if self.blocks else self.failing

    def require(self, condition: str) -> None:
        """Give up the present solution unless the condition holds."""
        self.write(f"if not ({condition}): {self.fail()}")

    def refuse(self, condition: str) -> None:
        """Give up the present solution if the condition holds."""
        self.write(f"if {condition}: {self.fail()}")

    def check_defined(self, name: str) -> None:
        """Give up the present solution if a name holds UNDEFINED; asked once where it was asked already."""
        if name not in self.defined:
            self.refuse(f"{name} is U")
            self.defined.add(name)
            self.trail.append(("d", name))

    # Blocks.

    def open(self, header: str) -> None:
        """Open a loop; what is written from now on is inside."""
        depth = 0
        for block in reversed(self.blocks):
            if block.kind == "def":
                break
            depth += 1
        if depth >= DEEPEST_LOOPS:
            self._outline()
        if self.indent > DEEPEST_INDENT:
            raise BadModule("too many nested iterations", self.file, code="rego_compile_error")
        self.write(header)
        self.blocks.append(Block("for", self.indent, ""))
        self.indent += 1
        self.looped = True

    def _outline(self) -> None:
        name = f"d{self.fresh()}"
        self.outlined = True
        self.write(f"def {name}():")
        self.blocks.append(Block("def", self.indent, name))
        self.indent += 1
        if self.flags:
            self.write(f"nonlocal {', '.join(dict.fromkeys(self.flags))}")

    def close(self, depth: int, stop: str = "") -> None:
        """Close blocks until so many are left; loops inside end early once `stop` holds."""
        while len(self.blocks) > depth:
            block = self.blocks.pop()
            self.indent = block.indent
            if block.kind == "def":
                self.write(f"{block.name}()")
            if stop and len(self.blocks) > depth and self.in_loop:
                self.write(f"if {stop}: break")

    def mark(self) -> Mark:
        """Return where the writer is."""
        return Mark(
            len(self.lines),
            self.indent,
            tuple(self.blocks),
            len(self.trail),
            self.state,
            self.ordered,
            self.fixed,
            self.flags,
        )

    def back(self, mark: Mark) -> None:
        """Take back everything since a mark."""
        del self.lines[mark.lines :]
        self.indent = mark.indent
        self.blocks = list(mark.blocks)
        self.state, self.ordered, self.fixed, self.flags = mark.state, mark.ordered, mark.fixed, mark.flags
        self.forget(mark.trail)

    # What is known.

    def bind(self, var: Var, name: str) -> None:
        """Remember the Python name (or literal) of a variable's value. Raises NotYet where none may be bound."""
        if self.fixed:
            raise NotYet(var)
        self.bound[var.name] = name
        self.trail.append(("b", var.name))

    def learn(self, what: tuple[str, ...], name: str) -> None:
        """Remember the name that holds a value which may be asked for again."""
        self.known[what] = name
        self.trail.append(("k", what))

    def forget(self, length: int) -> None:
        """Forget what was learnt since the trail had a length."""
        while len(self.trail) > length:
            kind, what = self.trail.pop()
            if kind == "b":
                del self.bound[what]
            elif kind == "d":
                self.defined.discard(what)
            else:
                del self.known[what]

    # Constants.

    def literal(self, value: Any) -> str:
        """Return Python text for a constant: a literal where that is safe, else a name."""
        kind = type(value)
        if value is None or kind is bool:
            return str(value)
        if kind is str and len(value) <= LONGEST_LITERAL and value.isascii() and value.isprintable():
            return repr(value)
        if kind is int and abs(value) < 1 << 62:
            return f"({value})" if value < 0 else str(value)
        return self.unit.constant(value)


def is_literal(text: str) -> bool:
    """Say whether a Python text is a literal that `literal` made."""
    return text[0] in "'\"(0123456789" or text in {"None", "True", "False"}


def constant(term: Term) -> Any:
    """Return the value of a term that is one; raises NotYet for others."""
    match term:
        case Scalar():
            return term.value
        case Array():
            return [constant(item) for item in term.items]
        case SetTerm():
            return Set([constant(item) for item in term.items])
        case Object():
            return {box(constant(name)): constant(item) for name, item in term.items}
        case _:
            raise NotYet


def is_finite(value: float) -> bool:
    """Say whether a number is one."""
    return math.isfinite(value)
