"""Macros: calls that the parser turns into something else, such as has(), all() and cel.bind().

A macro is a plain function in a table; a library may add its own. Source: github.com/google/cel-spec, doc/langdef.md, Macros.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from fairlead.tongues.cel.lexing import Fault
from fairlead.tongues.cel.syntax import Bind, Call, Fold, Ident, Kind, Literal_, Node, Select

Macro: TypeAlias = Callable[[int, "Node | None", list[Node]], "Node | None"]
"""(offset, target, arguments) -> what stands in place of the call, or None to leave the call alone. May raise Fault."""

Key: TypeAlias = tuple[str, int, bool]
"""A macro's name, its number of arguments (-1: any) and whether it is called on something."""


def _name(node: Node) -> str:
    if not isinstance(node, Ident) or node.name.startswith("."):
        raise Fault("argument must be a simple name", node.pos)
    return node.name


def _has(_pos: int, _: Node | None, args: list[Node]) -> Node:
    found = args[0]
    if not isinstance(found, Select) or found.test:
        raise Fault("invalid argument to has() macro", found.pos)
    return Select(found.pos, found.operand, found.field, test=True, optional=found.optional)


def _fold(kind: Kind, names: int, parts: str) -> Macro:
    """`parts` says what follows the variables: b a body, w a filter, k a key."""

    def expand(pos: int, target: Node | None, args: list[Node]) -> Node:
        assert target is not None
        variables = tuple(_name(one) for one in args[:names])
        if len(set(variables)) < len(variables):
            raise Fault("iteration variables must be distinct", args[1].pos)
        given = dict(zip(parts, args[names:], strict=True))
        return Fold(pos, kind, variables, target, given["b"], given.get("w"), given.get("k"))

    return expand


def _bind(pos: int, target: Node | None, args: list[Node]) -> Node | None:
    if not isinstance(target, Ident) or target.name != "cel":
        return None
    if not isinstance(args[0], Ident) or args[0].name.startswith("."):
        raise Fault("cel.bind() variable names must be simple identifiers", args[0].pos)
    return Bind(pos, args[0].name, args[1], args[2])


def _math(name: str) -> Macro:
    def expand(pos: int, target: Node | None, args: list[Node]) -> Node | None:
        if not isinstance(target, Ident) or target.name not in {"math", ".math"}:
            return None
        if not args:
            raise Fault(f"math.{name}() requires at least one argument", pos)
        for one in args:
            if isinstance(one, Literal_) and (isinstance(one.value, (str, bytes, bool)) or one.value is None):
                raise Fault(
                    f"math.{name}() invalid {'single ' if len(args) == 1 else ''}argument value", one.pos
                )
        if len(args) > 2:
            from fairlead.tongues.cel.syntax import ListOf

            args = [ListOf(pos, args, frozenset())]
        return Call(pos, f"math.@{'max' if name == 'greatest' else 'min'}", None, args)

    return expand


STANDARD: Mapping[Key, Macro] = {
    ("has", 1, False): _has,
    ("all", 2, True): _fold("all", 1, "b"),
    ("exists", 2, True): _fold("exists", 1, "b"),
    ("exists_one", 2, True): _fold("exists_one", 1, "b"),
    ("existsOne", 2, True): _fold("exists_one", 1, "b"),
    ("map", 2, True): _fold("map", 1, "b"),
    ("map", 3, True): _fold("map", 1, "wb"),
    ("filter", 2, True): _fold("filter", 1, "b"),
}
OPTIONALS: Mapping[Key, Macro] = {
    ("optMap", 2, True): _fold("optMap", 1, "b"),
    ("optFlatMap", 2, True): _fold("optFlatMap", 1, "b"),
}
TWO_VARIABLES: Mapping[Key, Macro] = {
    ("all", 3, True): _fold("all", 2, "b"),
    ("exists", 3, True): _fold("exists", 2, "b"),
    ("existsOne", 3, True): _fold("exists_one", 2, "b"),
    ("exists_one", 3, True): _fold("exists_one", 2, "b"),
    ("transformList", 3, True): _fold("transformList", 2, "b"),
    ("transformList", 4, True): _fold("transformList", 2, "wb"),
    ("transformMap", 3, True): _fold("transformMap", 2, "b"),
    ("transformMap", 4, True): _fold("transformMap", 2, "wb"),
    ("transformMapEntry", 3, True): _fold("transformMapEntry", 2, "b"),
    ("transformMapEntry", 4, True): _fold("transformMapEntry", 2, "wb"),
}
BINDINGS: Mapping[Key, Macro] = {("bind", 3, True): _bind}
SORTING: Mapping[Key, Macro] = {("sortBy", 2, True): _fold("sortBy", 1, "b")}
MATHS: Mapping[Key, Macro] = {
    ("greatest", -1, True): _math("greatest"),
    ("least", -1, True): _math("least"),
}


def block(pos: int, target: Node | None, args: list[Node]) -> Node | None:
    """Expand `cel.block([a, b], body)`: the body with `cel.index(0)` standing for a; each may use those before it."""
    from fairlead.tongues.cel.syntax import ListOf

    if not isinstance(target, Ident) or target.name != "cel" or not isinstance(args[0], ListOf):
        return None
    found: Node = args[1]
    for index in range(len(args[0].items) - 1, -1, -1):
        value = args[0].items[index]
        if index in args[0].optional:
            raise Fault("optional list elements are not supported in cel.block()", value.pos)
        found = Bind(pos, f"@index{index}", value, found)
    return found


def _numbered(kind: str, count: int) -> Macro:
    def expand(pos: int, target: Node | None, args: list[Node]) -> Node | None:
        if not isinstance(target, Ident) or target.name != "cel":
            return None
        numbers = [one.value if isinstance(one, Literal_) and type(one.value) is int else -1 for one in args]
        if min(numbers) < 0:
            raise Fault("expected a non-negative integer literal", args[0].pos)
        return Ident(pos, f"@{kind}{':'.join(str(one) for one in numbers)}")

    assert count
    return expand


BLOCKS: Mapping[Key, Macro] = {
    ("block", 2, True): block,
    ("index", 1, True): _numbered("index", 1),
    ("iterVar", 2, True): _numbered("it:", 2),
    ("accuVar", 2, True): _numbered("ac:", 2),
}
"""What a compiler of CEL writes for subexpressions that it shares; only the conformance suite writes it by hand."""
