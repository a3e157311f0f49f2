"""What compiled Rego calls while it runs: the state of an evaluation, steps into documents, conflicts, and mocks.

Generated code (see emitting) knows these functions by name. Must never know syntax, and must never change a document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from .builtins.kinds import BuiltinError, Context, Halt
from .errors import Failed, TooCostly
from .values import (
    UNDEFINED,
    Boxed,
    Set,
    Value,
    box,
    compare,
    equal,
    in_order,
    key,
    show,
    sorted_items,
    unbox,
)

U: Final = UNDEFINED


class _Unknown:
    """The type of NOTHING_YET."""

    __slots__ = ()


NOTHING_YET: Final = _Unknown()
"""In a memo: not computed."""


class Budget:
    """The steps that an evaluation may still take; shared by everything that runs for it."""

    __slots__ = ("left", "most")

    def __init__(self, most: int | None) -> None:
        self.most = most or 0
        self.left: float = most if most is not None else float("inf")

    def spend(self, steps: int) -> None:
        """Take steps away; raises TooCostly when none are left."""
        self.left -= steps
        if self.left < 0:
            raise TooCostly(self.most)


class Node:
    """A place in the tree of packages and rules.

    `rule` computes the value of the rule that is here; `number` is its memo's, `parts` those of functions that compute only some
    of its definitions.
    """

    __slots__ = ("children", "number", "parts", "path", "rule")

    def __init__(self, path: tuple[str, ...]) -> None:
        self.path = path
        self.children: dict[str, Node] = {}
        self.rule: Callable[[State], Value] | None = None
        self.number = -1
        self.parts: list[int] = []

    def reach(self, path: Iterable[str]) -> Node:
        """Return the node at a path below, made if it is not there."""
        node = self
        for step in path:
            if step not in node.children:
                node.children[step] = Node((*node.path, step))
            node = node.children[step]
        return node

    def rules(self) -> Iterator[Node]:
        """Yield every node below (and this one) that has a rule."""
        if self.number >= 0:
            yield self
        for child in self.children.values():
            yield from child.rules()


class State:
    """One evaluation, or a part of one under `with`. `memo` holds the rules' values by number."""

    __slots__ = (
        "base",
        "budget",
        "context",
        "cut",
        "docs",
        "input",
        "known",
        "memo",
        "mocks",
        "plain",
        "strict",
        "tree",
    )

    def __init__(
        self,
        tree: Node,
        rules: int,
        given: Value,
        base: Value,
        context: Context,
        budget: Budget,
        strict: bool,
    ) -> None:
        self.tree = tree
        self.memo: list[Value] = [NOTHING_YET] * rules
        self.docs: dict[tuple[str, ...], Value] = {}
        self.known: dict[tuple[Any, ...], tuple[Value, Value]] = {}
        self.input = given
        self.base = base
        self.context = context
        self.budget = budget
        self.strict = strict
        self.mocks: Mapping[str, Any] | None = None
        self.plain: State | None = None
        self.cut: frozenset[tuple[str, ...]] = frozenset()

    def _copy(self) -> State:
        made = State(self.tree, len(self.memo), self.input, self.base, self.context, self.budget, self.strict)
        made.mocks = self.mocks
        made.cut = self.cut
        for path in self.cut:
            node = _at(self.tree, path)
            if node is not None:
                for rule in node.rules():
                    for number in (rule.number, *rule.parts):
                        made.memo[number] = self.memo[number]
        return made

    def overridden(self, changes: Sequence[tuple[str, tuple[Any, ...], Any]]) -> State:
        """Return the state under modifiers: (what, path, value), what being "input", "data" or "mock"."""
        made = self._copy()
        mocks = dict(self.mocks or ())
        for what, path, value in changes:
            if what == "input":
                made.input = _replaced(made.input, path, value)
            elif what == "mock":
                mocks[path[0]] = value
            else:
                made.base = _replaced(made.base, path, value)
                made.cut |= {path}
                node = _at(made.tree, path)
                if node is not None:
                    for rule in node.rules():
                        for number in (rule.number, *rule.parts):
                            made.memo[number] = walk_path(value, rule.path[len(path) :])
        if mocks:
            made.mocks = mocks
        return made

    def unmocked(self) -> State:
        """Return the same state without mocks, in which a mock itself runs."""
        if self.mocks is None:
            return self
        if self.plain is None:
            self.plain = self._copy()
            self.plain.mocks = None
        return self.plain


def _at(tree: Node, path: Sequence[Any]) -> Node | None:
    node: Node | None = tree
    for step in path:
        if node is None:
            return None
        node = node.children.get(step)
    return node


def _replaced(document: Value, path: Sequence[Any], value: Value) -> Value:
    if not path:
        return value
    made = dict(document) if type(document) is dict else {}
    name = box(path[0])
    made[name] = _replaced(made.get(name, U), path[1:], value)
    return made


# Steps into documents.


class Lazy:
    """A part of `data` in which rules and base documents meet, and of which only parts are computed."""

    __slots__ = ("node", "state")

    def __init__(self, state: State, node: Node) -> None:
        self.state = state
        self.node = node

    def base(self) -> Value:
        """Return the base document at this place."""
        return walk_path(self.state.base, self.node.path)

    def get(self, name: Value) -> Any:
        """Return what is below a key: a value, another Lazy, or UNDEFINED."""
        if self.node.path not in self.state.cut and type(name) is str:
            child = self.node.children.get(name)
            if child is not None:
                return _enter(self.state, child)
        return step_base(self.base(), name)

    def items(self) -> list[tuple[Value, Any]]:
        """Return everything below, by key."""
        base = self.base()
        if self.node.path in self.state.cut:
            return list(items(self.state, base))
        names = dict.fromkeys(base) if type(base) is dict else {}
        names.update(dict.fromkeys(self.node.children))
        found = [(unbox(name), self.get(unbox(name))) for name in names]
        return [pair for pair in found if pair[1] is not U]


def _enter(state: State, node: Node) -> Any:
    if node.rule is not None:
        value = node.rule(state)
        return walk_path(state.base, node.path) if value is U else value
    return Lazy(state, node) if node.children or node.number == -1 else U


def force(value: Any) -> Value:
    """Return a value with nothing lazy left in it."""
    return document(value.state, value.node) if type(value) is Lazy else value


def document(state: State, node: Node) -> Value:
    """Return the whole document at a node: rules over base documents."""
    known = state.docs.get(node.path, NOTHING_YET)
    if known is not NOTHING_YET:
        return known
    base = walk_path(state.base, node.path)
    if any(node.path[: len(path)] == path for path in state.cut):
        found = base
    elif node.rule is not None:
        value = node.rule(state)
        found = base if value is U else value
    else:
        found = dict(base) if type(base) is dict else {}
        for name, child in node.children.items():
            value = document(state, child)
            if value is not U:
                found[name] = value
    state.docs[node.path] = found
    return found


def walk_path(value: Value, path: Iterable[Any]) -> Value:
    """Return what is at a path of keys, or UNDEFINED."""
    for name in path:
        value = value.get(name, U) if type(value) is dict and type(name) is str else step(value, name)
    return value


def step(value: Any, name: Value) -> Any:
    """Return what is in an array, object or set under a key, or UNDEFINED."""
    kind = type(value)
    if kind is dict:
        return value.get(name if type(name) is str else Boxed(name), U)
    if kind is list:
        if type(name) is int:
            return value[name] if 0 <= name < len(value) else U
        return U
    if kind is Set:
        return value.items.get(key(name), U)
    if kind is Lazy:
        return value.get(name)
    return U


def step_base(value: Any, name: Value) -> Any:
    """Return what is under a key in a base document, where a number also finds the key that is its text."""
    found = step(value, name)
    if found is U and type(value) is dict and type(name) is int:
        return value.get(str(name), U)
    return found


def each(state: State, value: Any) -> Iterable[Any]:
    """Return the values in a collection; nothing for what is no collection."""
    kind = type(value)
    if kind is list:
        state.budget.spend(len(value))
        return value  # type: ignore[no-any-return]
    if kind is dict:
        state.budget.spend(len(value))
        return value.values()  # type: ignore[no-any-return]
    if kind is Set:
        found = value.some()
        state.budget.spend(len(found))
        return found  # type: ignore[no-any-return]
    return [item for _, item in items(state, value)]


def items(state: State, value: Any) -> Iterable[tuple[Value, Any]]:
    """Return the keys and values in a collection; nothing for what is no collection."""
    kind = type(value)
    if kind is dict:
        state.budget.spend(len(value))
        if Boxed in set(map(type, value)):
            return [(unbox(name), item) for name, item in value.items()]
        return value.items()  # type: ignore[no-any-return]
    if kind is list:
        state.budget.spend(len(value))
        return enumerate(value)
    if kind is Set:
        found = value.some()
        state.budget.spend(len(found))
        return [(item, item) for item in found]
    if kind is Lazy:
        found = value.items()
        state.budget.spend(len(found))
        return found  # type: ignore[no-any-return]
    return ()


def each_in_order(state: State, value: Any) -> Iterable[Any]:
    """Return the values in a collection in Rego's order of keys: where the result is an array, it shows."""
    if type(value) is list:
        state.budget.spend(len(value))
        return value
    if type(value) is Set:
        state.budget.spend(len(value.items))
        return value.sorted()
    return [item for _, item in items_in_order(state, value)]


def items_in_order(state: State, value: Any) -> Iterable[tuple[Value, Any]]:
    """Return the keys and values in a collection in Rego's order of keys."""
    kind = type(value)
    if kind is dict:
        state.budget.spend(len(value))
        return sorted_items(value)
    if kind is Set:
        state.budget.spend(len(value.items))
        return [(item, item) for item in value.sorted()]
    if kind is Lazy:
        found = {box(name): item for name, item in items(state, value)}
        return [(name, found[box(name)]) for name in in_order([unbox(name) for name in found])]
    return items(state, value)


def member(value: Value, domain: Value) -> bool:
    """Say whether a value is among a collection's values."""
    kind = type(domain)
    if kind is Set:
        return key(value) in domain.items
    if kind is list or kind is dict:
        inside = domain if kind is list else domain.values()
        if type(value) is str:
            return value in inside
        return any(equal(value, item) for item in inside)
    return False


def member_with_key(name: Value, value: Value, domain: Value) -> bool:
    """Say whether a collection holds a value under a key."""
    if type(domain) in {list, dict, Set}:
        found = step(domain, name)
        return found is not U and equal(found, value)
    return False


def walked(state: State, value: Value) -> list[list[Value]]:
    """Return [path, value] for a value and everything inside it, in Rego's order."""
    found: list[list[Value]] = []
    pending: list[tuple[list[Value], Value]] = [([], value)]
    while pending:
        path, inside = pending.pop()
        state.budget.spend(1)
        found.append([path, inside])
        if type(inside) in {dict, list, Set}:
            pending.extend(reversed([([*path, name], item) for name, item in items_in_order(state, inside)]))
    return found


def walked_values(state: State, value: Value) -> list[Value]:
    """Return a value and everything inside it."""
    found: list[Value] = []
    pending = [value]
    while pending:
        inside = pending.pop()
        state.budget.spend(1)
        found.append(inside)
        if type(inside) in {dict, list, Set}:
            pending.extend(reversed(list(each_in_order(state, inside))))
    return found


# Results.


def put(made: dict[Any, Value], name: Value, value: Value, file: str, line: int) -> None:
    """Put a pair into an object under construction; raises Failed when the key has another value."""
    boxed = name if type(name) is str else Boxed(name)
    if boxed in made and not equal(made[boxed], value):
        raise Failed("eval_conflict_error", "object keys must be unique", file, line)
    made[boxed] = value


class Branch:
    """A place under construction in a document to which several rules contribute."""

    __slots__ = ("below",)

    def __init__(self) -> None:
        self.below: dict[Any, Any] = {}

    def put(self, path: Sequence[Value], value: Value, adds: bool, file: str, line: int) -> None:
        """Put a value at a path, or add it to the set there; raises Failed on conflict."""
        place = self.below
        for name in path[:-1]:
            inner = place.setdefault(box(name), Branch())
            if type(inner) is not Branch:
                raise Failed("eval_conflict_error", "object keys must be unique", file, line)
            place = inner.below
        last = box(path[-1])
        if adds:
            there = place.setdefault(last, Set())
            if type(there) is not Set:
                raise Failed("eval_conflict_error", "object keys must be unique", file, line)
            there.add(value)
        elif last in place and not (type(place[last]) is not Branch and equal(place[last], value)):
            raise Failed("eval_conflict_error", "object keys must be unique", file, line)
        else:
            place[last] = value

    def finished(self) -> dict[Any, Value]:
        """Return the document as an object."""
        return {name: item.finished() if type(item) is Branch else item for name, item in self.below.items()}


def conflict(what: str, file: str, line: int) -> Failed:
    """Return the error for a rule or function with two values."""
    return Failed("eval_conflict_error", what, file, line)


def builtin_failed(state: State, error: BuiltinError, name: str, file: str, line: int) -> Value:
    """Return UNDEFINED for a built-in that failed; raises Failed where that is asked for."""
    if state.strict or isinstance(error, Halt):
        raise Failed(error.code, f"{name}: {error}", file, line) from None
    return U


def arithmetic_less(left: Value, right: Value) -> bool:
    """Say whether a value sorts before another."""
    kind = type(left)
    if kind is type(right) and (kind is int or kind is str):
        return bool(left < right)
    return compare(left, right) < 0


def arithmetic_at_most(left: Value, right: Value) -> bool:
    """Say whether a value sorts before or with another."""
    kind = type(left)
    if kind is type(right) and (kind is int or kind is str):
        return bool(left <= right)
    return compare(left, right) <= 0


def interpolated(found: dict[Any, Value], file: str, line: int) -> str:
    """Return the text of a template's expression, whose values are given. Raises Failed when there are several."""
    if not found:
        return "<undefined>"
    if len(found) > 1:
        raise Failed("eval_conflict_error", "template-strings must not produce multiple outputs", file, line)
    (value,) = found.values()
    return value if type(value) is str else show(value)


def printed(state: State, operands: Sequence[dict[Any, Value]]) -> None:
    """Note a line that a policy prints: for several values of an operand, a line each."""
    lines: list[list[str]] = [[]]
    for found in operands:
        texts = [value if type(value) is str else show(value) for value in found.values()] or ["<undefined>"]
        lines = [[*line, text] for line in lines for text in texts]
        state.budget.spend(len(lines))
    state.context.printed.extend(" ".join(line) for line in lines)


def call_mock(state: State, mock: Any, args: Sequence[Value]) -> Value:
    """Return what a mock gives: a function's result in a state without mocks, or the value that it is."""
    if type(mock) is Mock:
        return mock.call(state.unmocked(), *args)
    return mock


class Mock:
    """A function in another's place; `call(state, *args)` returns a value or UNDEFINED."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[..., Value]) -> None:
        self.call = call
