"""The parts of a parsed template, and how each is written back in messages. Holds data; must never be evaluated here.

Positions are offsets into the template's text. Source: go.dev/pkg/text/template/parse.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias


@dataclass(slots=True)
class Text:
    """Plain text between actions."""

    at: int
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(slots=True)
class Constant:
    """A text, number or boolean, with what was written."""

    at: int
    value: Any
    written: str
    sort: str
    """string, number, bool, nil"""
    whole: bool = True
    """Whether a number may stand where an integer is wanted, as 3 and 3.0 may."""

    def __str__(self) -> str:
        return self.written


@dataclass(slots=True)
class Dot:
    """The cursor."""

    at: int

    def __str__(self) -> str:
        return "."


@dataclass(slots=True)
class Field:
    """Fields of the cursor: `.a.b`."""

    at: int
    names: tuple[str, ...]

    def __str__(self) -> str:
        return "".join(f".{name}" for name in self.names)


@dataclass(slots=True)
class Variable:
    """A variable, and fields of it: `$x.a.b`."""

    at: int
    name: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join((self.name, *self.names))


@dataclass(slots=True)
class Identifier:
    """A function's name."""

    at: int
    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(slots=True)
class Chain:
    """Fields of what stands in parentheses, or of a function's result."""

    at: int
    node: Node
    names: tuple[str, ...]

    def __str__(self) -> str:
        head = f"({self.node})" if isinstance(self.node, Pipe) else str(self.node)
        return head + "".join(f".{name}" for name in self.names)


@dataclass(slots=True)
class Command:
    """A function or value with its arguments."""

    at: int
    args: list[Node] = field(default_factory=list)

    def __str__(self) -> str:
        return " ".join(f"({arg})" if isinstance(arg, Pipe) else str(arg) for arg in self.args)


@dataclass(slots=True)
class Pipe:
    """Commands, each of which gets the result of the one before as its last argument."""

    at: int
    line: int = 0
    assigns: bool = False
    variables: list[Variable] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)

    def __str__(self) -> str:
        head = ""
        if self.variables:
            head = ", ".join(map(str, self.variables)) + (" = " if self.assigns else " := ")
        return head + " | ".join(map(str, self.commands))


@dataclass(slots=True)
class Action:
    """`{{ pipe }}`."""

    at: int
    pipe: Pipe

    def __str__(self) -> str:
        return f"{{{{{self.pipe}}}}}"


@dataclass(slots=True)
class Branch:
    """`if`, `with` or `range`, by `word`."""

    at: int
    word: str
    pipe: Pipe
    body: list[Node]
    otherwise: list[Node] | None

    def __str__(self) -> str:
        head = f"{{{{{self.word} {self.pipe}}}}}" + "".join(map(str, self.body))
        if self.otherwise is not None:
            head += "{{else}}" + "".join(map(str, self.otherwise))
        return head + "{{end}}"


@dataclass(slots=True)
class Jump:
    """`break` or `continue`, by `word`."""

    at: int
    word: str

    def __str__(self) -> str:
        return f"{{{{{self.word}}}}}"


@dataclass(slots=True)
class Call:
    """`template`, and what a `block` leaves where it stood."""

    at: int
    name: str
    written: str
    pipe: Pipe | None

    def __str__(self) -> str:
        return f"{{{{template {self.written}{f' {self.pipe}' if self.pipe else ''}}}}}"


Node: TypeAlias = (
    Text
    | Constant
    | Dot
    | Field
    | Variable
    | Identifier
    | Chain
    | Command
    | Pipe
    | Action
    | Branch
    | Jump
    | Call
)


@dataclass(slots=True)
class Tree:
    """A parsed template or definition: its own name, the file that it was parsed from, and that file's text."""

    name: str
    file: str
    text: str
    body: list[Node] = field(default_factory=list)

    def place(self, at: int) -> str:
        """Return `file:line:column`; the line counts from one and the column, in bytes, from zero."""
        before = self.text[:at]
        line_start = before.rfind("\n") + 1
        column = len(before[line_start:].encode("utf-8", "surrogateescape"))
        return f"{self.file}:{before.count(chr(10)) + 1}:{column}"

    def empty(self) -> bool:
        """Return whether there is nothing but space in it."""
        return all(
            isinstance(node, Text) and not node.text.strip(" \t\n\v\f\r\x85\xa0") for node in self.body
        )
