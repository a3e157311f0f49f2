"""Where in a module's file a value was written: from the line of a call and the path of a field to its own line and column.

The evaluator says which line called; the rest is read from the text once more, when a mistake has to be shown. Starlark's syntax is a
part of Python's, so Python's own parser reads it. What it cannot read, or is not written out (a variable, a loop), stays at the call.
Must never evaluate what it reads.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Mapping, Sequence
from typing import Final

_DEEPEST: Final = 50


class Places:
    """The files of a package, for finding places in them; each is read once, when it is first asked for."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        self._calls: dict[str, dict[int, list[ast.Call]]] = {}

    def line(self, file: str, number: int) -> str:
        """Return a line of a file, without what surrounds it; "" where there is none."""
        lines = self._texts.get(file, "").splitlines()
        return lines[number - 1].rstrip() if 0 < number <= len(lines) else ""

    def definition(self, file: str, name: str) -> int:
        """Return the line on which a file defines a function; 0 where it does not."""
        for number, line in enumerate(self._texts.get(file, "").splitlines(), 1):
            if line.startswith(f"def {name}("):
                return number
        return 0

    def find(self, file: str, line: int, keys: Sequence[str | int]) -> tuple[int, int]:
        """Return line and column (from 1; 0: unknown) of what is at a path of the arguments of a call on that line."""
        calls = self._on(file, line)
        if not calls:
            return line, 0
        node: ast.AST = calls[0]
        rest = list(keys)
        if rest:
            for call in calls:
                keyword = _keyword(call, rest[0])
                if keyword is not None:
                    return self._inside(keyword.value, (keyword.lineno, keyword.col_offset + 1), rest[1:])
            splat = [word.value for call in calls for word in call.keywords if word.arg is None]
            for value in splat:
                found = _entry(value, rest[0])
                if found is not None:
                    return self._inside(found[1], _at(found[0]), rest[1:])
        return _at(node)

    def _inside(self, node: ast.AST, place: tuple[int, int], rest: list[str | int]) -> tuple[int, int]:
        for key in rest[:_DEEPEST]:
            if isinstance(node, ast.Call):
                keyword = _keyword(node, key)
                if keyword is None:
                    return place
                node, place = keyword.value, (keyword.lineno, keyword.col_offset + 1)
                continue
            found = _entry(node, key)
            if found is None:
                return place
            place, node = _at(found[0]), found[1]
        return place

    def _on(self, file: str, line: int) -> list[ast.Call]:
        known = self._calls.get(file)
        if known is None:
            known = self._calls[file] = {}
            for node in ast.walk(_parsed(self._texts.get(file, ""))):
                if isinstance(node, ast.Call):
                    known.setdefault(node.lineno, []).append(node)
        return known.get(line, [])


def _keyword(call: ast.Call, key: str | int) -> ast.keyword | None:
    for keyword in call.keywords:
        if keyword.arg is not None and keyword.arg in {key, f"{key}_"}:
            return keyword
    return None


def _entry(node: ast.AST, key: str | int) -> tuple[ast.AST, ast.AST] | None:
    """Return where an entry of a written-out mapping or list begins, and its value."""
    if isinstance(node, ast.Dict):
        for name, value in zip(node.keys, node.values, strict=True):
            if isinstance(name, ast.Constant) and name.value == key:
                return name, value
    elif (
        isinstance(node, ast.List | ast.Tuple)
        and isinstance(key, int)
        and key < len(node.elts)
        and not any(isinstance(item, ast.Starred) for item in node.elts[: key + 1])
    ):
        return node.elts[key], node.elts[key]
    return None


def _at(node: ast.AST) -> tuple[int, int]:
    return getattr(node, "lineno", 0), getattr(node, "col_offset", -1) + 1


def _parsed(text: str) -> ast.AST:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module([], [])
