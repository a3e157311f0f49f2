"""JMESPath with the functions that Kyverno added: text -> Expr; evaluate(Expr, data). Knows nothing of policies.

`compile(text)` gives an Expr that is called with data. The grammar is PyPI `jmespath`'s; the tree is turned into closures once.
An Expr raises NotFound where the whole expression names a key that is not there, as Kyverno does; `search` gives None instead,
as the specification says.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from fairlead.tongues.jmespath.evaluating import compile_tree, equal, is_false
from fairlead.tongues.jmespath.functions import STANDARD
from fairlead.tongues.jmespath.kinds import (
    BadExpression,
    Failed,
    Function,
    Missing,
    Moment,
    NotFound,
    Step,
)
from fairlead.tongues.jmespath.kyverno import KYVERNO
from fairlead.tongues.jmespath.parsing import parse
from fairlead.tongues.jmespath.rendering import sprint, to_json

__all__ = [
    "KYVERNO",
    "STANDARD",
    "BadExpression",
    "Expr",
    "Failed",
    "Function",
    "Missing",
    "Moment",
    "NotFound",
    "compile",
    "equal",
    "is_false",
    "sprint",
    "to_json",
]


class Expr:
    """A compiled expression. `find` is the function beneath: (data, moment) -> value, or Missing."""

    __slots__ = ("find", "text")

    def __init__(self, text: str, find: Step) -> None:
        self.text = text
        self.find = find

    def __call__(self, data: Any, moment: Moment | None = None) -> Any:
        """Return what the expression makes of the data. Raises NotFound for an unknown key, Failed for all other errors."""
        try:
            found = self.find(data, moment or Moment())
        except RecursionError:
            raise Failed("the data is nested too deeply") from None
        if found.__class__ is Missing:
            raise found.error()
        return found

    def search(self, data: Any, moment: Moment | None = None) -> Any:
        """Return what the expression makes of the data, None for an unknown key. Raises Failed."""
        try:
            return self(data, moment)
        except NotFound:
            return None

    def __repr__(self) -> str:
        return f"Expr({self.text!r})"


def compile(text: str, functions: Mapping[str, Function] | None = None) -> Expr:  # noqa: A001  as in the standard library
    """Return the compiled expression, with Kyverno's functions unless others are given. Raises BadExpression."""
    if functions is None:
        return _compile_kyverno(text)
    return _compile(text, functions)


@lru_cache(maxsize=4096)
def _compile_kyverno(text: str) -> Expr:
    return _compile(text, KYVERNO)


def _compile(text: str, functions: Mapping[str, Function]) -> Expr:
    tree = parse(text)
    try:
        return Expr(text, compile_tree(tree, functions))
    except RecursionError:
        raise BadExpression("SyntaxError: the expression is nested too deeply") from None
