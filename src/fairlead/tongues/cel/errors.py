"""What may go wrong: an expression that cannot be compiled, and a compiled one that has no value.

Texts are those that users of Kubernetes know.
"""

from __future__ import annotations


class BadExpression(ValueError):
    """An expression that cannot be compiled. `message` says why, `line` and `column` (from 1) where; the text shows the place.

    `faults` are all that were found, each as (message, line, column).
    """

    def __init__(
        self,
        message: str,
        line: int = 1,
        column: int = 1,
        *,
        shown: str = "",
        faults: tuple[tuple[str, int, int], ...] = (),
    ) -> None:
        super().__init__(shown or message)
        self.message = message
        self.line = line
        self.column = column
        self.faults = faults or ((message, line, column),)


class Failed(Exception):
    """An expression has no value for these bindings; the text says why."""

    @property
    def message(self) -> str:
        """Why, as Kubernetes words it."""
        return str(self)


class TooCostly(Failed):
    """An expression used up its cost budget, or grew a value beyond what any honest one needs."""


OVERLOAD = "no such overload"


def no_overload() -> Failed:
    """Return the error of an operator that does not know its operands."""
    return Failed(OVERLOAD)


def no_key(key: object) -> Failed:
    """Return the error of a map or object that lacks a key."""
    return Failed(f"no such key: {key}")


def show(text: str, faults: list[tuple[str, int]], name: str = "<input>") -> BadExpression:
    """Return the error that shows each fault (message, offset) in its line of the expression, at most a hundred of them."""
    found = []
    blocks = []
    lines = text.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    for message, offset in faults[:100]:
        number = 0
        at = min(max(offset, 0), len(text))
        while number + 1 < len(lines) and starts[number + 1] <= at:
            number += 1
        column = at - starts[number]
        found.append((message, number + 1, column + 1))
        line = lines[number].replace("\t", " ")
        shown = line if len(line) <= 4000 else line[:4000] + "..."
        mark = f"\n | {'.' * min(column, 4000)}^"
        blocks.append(f"ERROR: {name}:{number + 1}:{column + 1}: {message}\n | {shown}{mark}")
    first = found[0]
    return BadExpression(first[0], first[1], first[2], shown="\n".join(blocks), faults=tuple(found))
