"""Falco's condition language: text -> tree -> a function. Knows no fields: what a name means is handed in.

    tree = parse("proc.name in (shells) and not spawned", macros={"spawned": "evt.type = execve"}, lists={"shells": ["bash", "sh"]})

The nodes are in `trees`: And, Or, Not over Check and Exists, whose `field` is a FieldRef(name, argument) and whose `values` are constants.
`read` gives a tree with macros and lists by name, `expand` replaces them, `show` prints a tree.

**Fields.** Whoever compiles hands in a `Resolver`: a function FieldRef -> `Field`, which raises `UnknownField`. A Field says its `type`
(a `Type`), whether it has one value or several (`many`, a `Many`), and its `code`: Python source of an expression that gives the value, or None
where there is none, from the names that the generated function has: `event` (its argument) and the field's own `names` (name -> object;
the same name must be the same object in all fields). The value's Python type is that of its Type: str, bytes, int, float, bool, addresses as
packed bytes (4 or 16); with `many` not ONE, a tuple or list of them (empty means absent).

**Compiling.** `compile(tree, resolver)` gives a function event -> bool. `compile_all({key: tree}, resolver)` gives one function
event -> list of the keys whose trees are true, in which each field and each shared part is computed at most once, and only when it is needed.
`source(tree, resolver)` and `Weaver` are for who writes the function around the expressions himself:

    weaver = Weaver(resolver)
    for tree in trees: weaver.count(tree)                 # raises BadCondition
    codes = [weaver.expression(tree) for tree in trees]   # true or false; they must run in this order, all of them, with nothing skipped
    lines = ["def judge(event):", *(f"    {name} = unset" for name in weaver.start()), ...]; names = weaver.names

`getter(ref, resolver)` gives the value of one field or transformer, for outputs.

All raise BadCondition with a place over an operator that a type does not have, or a value that is none of it; NoSuchField, which is one, over a field
that is unknown. `reduce(tree, decide)` gives what is left of a tree where some of its leaves are known: `evt.type = openat` for one kind.

**Absent values.** A comparison with an absent value is false, whatever its operator, `!=` too; `exists` is false; Not of it is true.

**Planning.** `narrow(tree, decide, most)` gives alternatives of tests, one of which passes whenever the tree is true: `decide(leaf, negated)` gives
the test that a leaf (or its opposite) becomes, True, False, or None where it cannot be pushed down. `simplify(tree)` first: it merges equalities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fairlead.tongues.conditions.checking import NoSuchField
from fairlead.tongues.conditions.compiling import Getter, Source, Weaver, compile, compile_all, getter, source  # noqa: A004  as re.compile
from fairlead.tongues.conditions.expanding import expand, expand_list
from fairlead.tongues.conditions.narrowing import narrow
from fairlead.tongues.conditions.parsing import MOST_NESTED, items, leading_reference, read, reference
from fairlead.tongues.conditions.printing import quote, show, show_operand
from fairlead.tongues.conditions.simplifying import reduce, simplify
from fairlead.tongues.conditions.trees import (
    MODIFIERS,
    OPERATORS,
    TRANSFORMERS,
    And,
    BadCondition,
    Call,
    Check,
    Exists,
    FieldRef,
    Group,
    Leaf,
    Name,
    Not,
    Operand,
    Or,
    Place,
    Tree,
    Value,
    Values,
    fields,
    leaves,
)  # fmt: skip
from fairlead.tongues.conditions.types import Field, Many, Resolver, Type, UnknownField, constant

__all__ = [
    "parse", "read", "reference", "leading_reference", "items", "expand", "expand_list", "show", "show_operand", "quote", "leaves", "fields",
    "compile", "compile_all", "source", "getter", "Getter", "Source", "Weaver", "simplify", "reduce", "narrow",
    "Field", "Many", "Resolver", "Type", "UnknownField", "NoSuchField", "constant",
    "MODIFIERS", "OPERATORS", "TRANSFORMERS", "BadCondition", "Place",
    "Tree", "And", "Or", "Not", "Check", "Exists", "Name", "Leaf", "FieldRef", "Call", "Group", "Operand", "Value", "Values",
]  # fmt: skip


def parse(
    text: str, macros: Mapping[str, str] | None = None, lists: Mapping[str, Sequence[str]] | None = None
) -> Tree:
    """Return the tree of a condition, its macros and lists replaced. Raises BadCondition, whose `name` says which macro is wrong.

    An identifier that names no macro is refused; a bare word that names no list is itself.
    """
    known_lists = _lists(lists or {})
    known: dict[str, Tree] = {}
    open_now: list[str] = []

    def macro(name: Name) -> Tree:
        found = known.get(name.name)
        if found is not None:
            return found
        body = (macros or {}).get(name.name)
        within = open_now[-1] if open_now else ""
        if body is None:
            raise BadCondition(f"undefined macro {name.name!r} used in filter", *name.at, name=within)
        if name.name in open_now:
            raise BadCondition(
                "reference loop in macro " + " -> ".join((*open_now, name.name)), *name.at, name=within
            )
        if len(open_now) >= MOST_NESTED:
            raise BadCondition(f"macros nested deeper than {MOST_NESTED} levels", *name.at, name=within)
        open_now.append(name.name)
        try:
            found = known[name.name] = expand(read(body), macro, known_lists)
        except BadCondition as wrong:
            raise BadCondition(wrong.message, wrong.line, wrong.column, wrong.name or name.name) from None
        open_now.pop()
        return found

    return expand(read(text), macro, known_lists)


def _lists(lists: Mapping[str, Sequence[str]]) -> dict[str, tuple[Value, ...]]:
    """The values of all lists, those that they name replaced by theirs, in any order. Raises BadCondition over a circle."""
    known: dict[str, tuple[Value, ...]] = {}
    waiting = dict(lists)
    while waiting:
        ready = [
            name
            for name, texts in waiting.items()
            if not any(value.text in waiting and not value.quoted for text in texts for value in items(text))
        ]
        if not ready:
            raise BadCondition("lists that contain themselves: " + ", ".join(sorted(waiting)))
        for name in ready:
            known[name] = expand_list(waiting.pop(name), known)
    return known
