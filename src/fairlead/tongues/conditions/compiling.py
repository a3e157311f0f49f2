"""Trees -> the source of one Python function, in which each field and each shared part is computed at most once, and only when it is needed.

Decides nothing about fields: a resolver says how each is got. The generated source holds no text of a condition: constants are names.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from fairlead.tongues.conditions import matching
from fairlead.tongues.conditions.checking import Operand, operand_of, test_of
from fairlead.tongues.conditions.simplifying import simplify
from fairlead.tongues.conditions.trees import (
    And,
    BadCondition,
    Call,
    Check,
    Exists,
    FieldRef,
    Leaf,
    Name,
    Not,
    Or,
    Tree,
)
from fairlead.tongues.conditions.types import Many, Resolver, Type

Key = TypeVar("Key", bound=Hashable)
_DEEPEST = 24
"""Levels of parentheses in one function; what is deeper becomes a function of its own."""

_Known: TypeAlias = frozenset[str]


@dataclass(slots=True)
class Source:
    """An expression of Python: true of what the tree is true of.

    `start` are the names of variables that must be set to `unset` (a name among `names`) first; `names` are the objects it names besides
    `event`.
    """

    code: str
    start: tuple[str, ...]
    names: dict[str, Any]


def source(tree: Tree, resolver: Resolver) -> Source:
    """Return the source of an expression, for who writes a function around it. Raises BadCondition."""
    weaver = Weaver(resolver)
    weaver.count(tree)
    code = weaver.expression(tree)
    return Source(code, weaver.start(), weaver.names)


def compile(tree: Tree, resolver: Resolver) -> Callable[[Any], bool]:  # noqa: A001  as re.compile
    """Return a function event -> bool. Raises BadCondition."""
    found = source(tree, resolver)
    lines = ["def judge(event):", *_begin(found.start), f"    return bool({found.code})"]
    return _function(lines, found.names)


@dataclass(frozen=True, slots=True)
class Getter:
    """How to get the value of a field or a transformer over fields, and of what type it is."""

    get: Callable[[Any], Any]
    type: Type
    many: Many


def getter(ref: FieldRef | Call, resolver: Resolver) -> Getter:
    """Return what gives the operand's value of an event, None where there is none. Raises BadCondition."""
    weaver = Weaver(resolver)
    operand = weaver.operand(ref)
    return Getter(
        _function(["def judge(event):", f"    return {operand.code}"], weaver.names),
        operand.type,
        operand.many,
    )


def compile_all(trees: Mapping[Key, Tree], resolver: Resolver) -> Callable[[Any], list[Key]]:
    """Return a function event -> the keys of the trees that are true of it, in their order. Raises BadCondition."""
    weaver = Weaver(resolver)
    for tree in trees.values():
        weaver.count(tree)
    body: list[str] = []
    for index, (key, tree) in enumerate(trees.items()):
        weaver.names[f"key{index}"] = key
        body += [f"    if {weaver.expression(tree)}:", f"        found.append(key{index})"]
    lines = ["def judge(event):", "    found = []", *_begin(weaver.start()), *body, "    return found"]
    return _function(lines, weaver.names)


def _begin(start: Iterable[str]) -> list[str]:
    names = list(start)
    return [f"    {' = '.join(names[at : at + 50])} = unset" for at in range(0, len(names), 50)]


def _function(lines: list[str], names: dict[str, Any]) -> Callable[[Any], Any]:
    space = dict(names)
    exec("\n".join(lines), space)  # noqa: S102  the source is generated: names and operators, no text of a condition
    found: Callable[[Any], Any] = space["judge"]
    return found


@dataclass(slots=True)
class _Part:
    """A tree once compiled: how often it stands in the trees, and its variable when that is more than once."""

    tree: Tree
    count: int = 0
    variable: str = ""


@dataclass(slots=True)
class Weaver:
    """Makes expressions that share variables. First `count` every tree, then ask for the `expression` of each, in the order in which they will run."""

    resolver: Resolver
    names: dict[str, Any] = field(default_factory=dict)
    _parts: dict[Tree, _Part] = field(default_factory=dict)
    _whole: dict[int, Tree] = field(default_factory=dict)
    _simple: dict[int, Tree] = field(default_factory=dict)
    _looked: set[Leaf] = field(default_factory=set)
    _seen: dict[And | Or, int] = field(default_factory=dict)
    _operands: dict[FieldRef | Call, Operand] = field(default_factory=dict)
    _used: dict[str, int] = field(default_factory=dict)
    _variables: list[str] = field(default_factory=list)
    _constants: dict[Any, str] = field(default_factory=dict)
    _set: _Known = frozenset()
    _made: int = 0

    def __post_init__(self) -> None:
        self.names.update(unset=_UNSET, matching=matching)

    def start(self) -> tuple[str, ...]:
        """Return the variables that must be `unset` before the first expression."""
        return tuple(self._variables)

    def count(self, tree: Tree) -> None:
        """Take note of a tree, and check it. Raises BadCondition."""
        self._whole[id(tree)] = tree
        stack = [tree]
        while stack:
            node = stack.pop()
            if isinstance(node, And | Or):
                before = self._seen.get(node, 0)
                self._seen[node] = before + 1
                if not before:
                    stack.extend(node.args)
            elif isinstance(node, Not):
                stack.append(node.arg)
            elif isinstance(node, Name):
                raise BadCondition(f"undefined macro {node.name!r} used in filter", *node.at)
            elif node not in self._looked:
                self._looked.add(node)
                for ref in _read(node):
                    self.operand(ref)
                if isinstance(node, Check):
                    test_of(node, "x", "y", self)

    def expression(self, tree: Tree) -> str:
        """Return the source of a tree that was counted."""
        if not self._simple:
            self._prepare()
        code, when_true, when_false = self._source(self._simple[id(tree)], self._set, 0)
        self._set = when_true & when_false
        return code

    def _prepare(self) -> None:
        """Simplify the trees, keeping together what several of them share, and count how often each part and each operand is needed."""
        for key, tree in self._whole.items():
            simple = self._simple[key] = simplify(
                tree,
                lambda ref: self.operand(ref).many is not Many.LIST,
                lambda node: len(node.args) > 1 and self._seen.get(node, 0) > 1,
            )
            stack = [simple]
            while stack:
                node = stack.pop()
                part = self._parts.setdefault(node, _Part(node))
                part.count += 1
                if isinstance(node, Check | Exists):
                    for ref in _read(node):
                        code = self.operand(ref).code
                        self._used[code] = self._used.get(code, 0) + 1
                elif part.count == 1:
                    stack.extend(
                        node.args
                        if isinstance(node, And | Or)
                        else (node.arg,)
                        if isinstance(node, Not)
                        else ()
                    )

    def constant(self, value: Any) -> str:
        """Return the name of an object."""
        key: Any
        try:
            key = (type(value), value)
            hash(key)
        except TypeError:
            key = id(value)
        name = self._constants.get(key)
        if name is None:
            name = self._constants[key] = f"k{len(self._constants)}"
            self.names[name] = value
        return name

    def operand(self, ref: FieldRef | Call) -> Operand:
        """Return what is known of a field or a transformer over fields."""
        found = self._operands.get(ref)
        if found is None:
            found = self._operands[ref] = operand_of(ref, self.resolver, self.constant, self._merge)
        return found

    def _merge(self, names: Mapping[str, Any]) -> None:
        for name, value in names.items():
            if self.names.setdefault(name, value) is not value:
                raise AssertionError(f"two objects named {name}")

    def _source(self, node: Tree, known: _Known, deep: int) -> tuple[str, _Known, _Known]:
        """The source of a node where the variables in `known` are set, and those that are set when it is true, and when it is false."""
        if isinstance(node, Not):
            code, when_true, when_false = self._source(node.arg, known, deep + 1)
            return f"not {code}", when_false, when_true
        if isinstance(node, Check | Exists):
            return self._leaf(node, known)
        assert isinstance(node, And | Or)
        part = self._parts[node]
        if deep >= _DEEPEST:
            return self._apart(node), known, known
        if part.variable and part.variable in known:
            return part.variable, known, known
        code, when_true, when_false = self._several(node, known, deep + 1)
        if part.count < 2:
            return f"({code})", when_true, when_false
        if not part.variable:
            part.variable = self._variable()
        code = f"({part.variable} if {part.variable} is not unset else ({part.variable} := ({code})))"
        both = frozenset({part.variable})
        return code, when_true | both, when_false | both

    def _several(self, node: And | Or, known: _Known, deep: int) -> tuple[str, _Known, _Known]:
        codes: list[str] = []
        going, ended = known, None
        for arg in sorted(node.args, key=lambda arg: self._cost(arg, known)):
            code, when_true, when_false = self._source(arg, going, deep)
            on, off = (when_true, when_false) if isinstance(node, And) else (when_false, when_true)
            ended = off if ended is None else ended & off
            going = on
            codes.append(code)
        assert ended is not None
        joined = (" and " if isinstance(node, And) else " or ").join(codes)
        return (joined, going, ended) if isinstance(node, And) else (joined, ended, going)

    def _apart(self, node: And | Or) -> str:
        """A call of a function of its own, which shares no variables."""
        self._made += 1
        name = f"part{self._made}"
        self.names[name] = compile(node, self.resolver)
        return f"{name}(event)"

    def _cost(self, node: Tree, known: _Known) -> int:
        """Where a part stands among the others of its And or Or: the cheap first, and before the dear what others have computed or will want.

        The order of the text is kept among equals.
        """
        if isinstance(node, Not):
            return self._cost(node.arg, known)
        if isinstance(node, And | Or):
            part = self._parts[node]
            if part.variable and part.variable in known:
                return -1
            return 1 if part.count > 2 else max(2, *(self._cost(arg, known) for arg in node.args))
        if not isinstance(node, Check | Exists):
            return 2
        fresh = [operand for ref in _read(node) if (operand := self.operand(ref)).variable not in known]
        cost = max((operand.cost for operand in fresh), default=0)
        dear = isinstance(node, Check) and node.op in {"regex", "glob", "iglob", "pmatch", "icontains"}
        return 0 if cost == 0 and not dear else 3 if dear or cost > 1 else 2

    def _leaf(self, leaf: Leaf, known: _Known) -> tuple[str, _Known, _Known]:
        operand = self.operand(leaf.left)
        load, x = self._load(operand, known)
        loaded = known | {x}
        there = f"{load} is not None" if operand.many is Many.ONE else load
        if isinstance(leaf, Exists):
            return f"({there})", loaded, loaded
        if isinstance(leaf.right, FieldRef | Call):
            right = self.operand(leaf.right)
            other, y = self._load(right, loaded)
            test = test_of(leaf, x, y, self)
            return (
                f"({there} and {other if right.many is not Many.ONE else f'{other} is not None'} and {test.code})",
                loaded | {y},
                loaded,
            )
        test = test_of(leaf, load, "", self)
        if not test.once:
            return f"({test.code})", known, known
        safe = test.total or (operand.sure and operand.many is Many.ONE)
        if safe or load == x:
            guard = "" if safe else f"{there} and "
            return f"({guard}{test.code})", loaded, loaded
        return f"({there} and {test_of(leaf, x, '', self).code})", loaded, loaded

    def _load(self, operand: Operand, known: _Known) -> tuple[str, str]:
        """The source of an operand's value, and the variable that it is in afterwards."""
        shared = self._used[operand.code] > 1
        if not operand.variable:
            operand.variable = self._variable("f", start=shared)
        name = operand.variable
        if name in known:
            return name, name
        load = f"({name} := {operand.code})"
        return (f"({name} if {name} is not unset else {load})" if shared else load), name

    def _variable(self, prefix: str = "c", *, start: bool = True) -> str:
        self._made += 1
        name = f"{prefix}{self._made}"
        if start:
            self._variables.append(name)
        return name


class _Unset:
    """Not computed yet."""

    def __repr__(self) -> str:
        return "unset"


_UNSET = _Unset()


def _read(leaf: Leaf) -> list[FieldRef | Call]:
    right = leaf.right if isinstance(leaf, Check) else None
    return [leaf.left, right] if isinstance(right, FieldRef | Call) else [leaf.left]
