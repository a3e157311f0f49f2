"""Trees into Python functions: each node becomes a closure, made once and run for every rendering.

A closure of an expression takes the cursor and the frame and returns a value; one of an action writes. The frame is a list: the state of
the execution, what writes, `$`, and then the variables, whose places are known beforehand. What Go decides by reflection when a
template runs is decided here where it can be. Must never run a template. Source: go.dev/pkg/text/template.
"""

# ruff: noqa: ARG001, ARG005  an expression takes the cursor and the frame, whether it needs them or not

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from fairlead.tongues.gotemplate import fields, nodes
from fairlead.tongues.gotemplate.calling import (
    MISTAKES,
    Expression,
    calling,
    calls,
    checked,
    checking,
    counted,
    letter_of,
    miscounted,
)
from fairlead.tongues.gotemplate.kinds import LETTERS, Function, GoError
from fairlead.tongues.gotemplate.nodes import Tree
from fairlead.tongues.gotemplate.printing import quoted, text_of
from fairlead.tongues.gotemplate.states import ExecError, State

Writer: TypeAlias = Callable[[Any, list[Any]], None]
"""(cursor, frame) -> nothing; writes."""

FIRST: Final = 3
"""The place of the first variable in a frame: before it are the state, what writes, and `$`."""


class Break(Exception):
    """Leaves a range."""


class Continue(Exception):
    """Goes on with a range's next item."""


class Compiled:
    """A template that can be run: by its name, with the size that its frame has."""

    __slots__ = ("body", "name", "size", "tree")

    def __init__(self, tree: Tree, functions: Mapping[str, Function]) -> None:
        self.tree, self.name = tree, tree.name
        making = _Making(tree, functions)
        self.body = making.body(tree.body)
        self.size = FIRST + making.most

    def run(self, state: State, data: Any, write: Callable[[str], Any]) -> None:
        """Write the template's output for the data. Raises ExecError, and Exhausted of the state."""
        frame: list[Any] = [None] * self.size
        frame[0], frame[1], frame[2] = state, write, data
        self.body(data, frame)


class _Making:
    """Makes the closures of one template. `scopes` are the variables that are known: name -> (place, whether it may be a nil interface)."""

    def __init__(self, tree: Tree, functions: Mapping[str, Function]) -> None:
        self._tree, self._functions = tree, functions
        self._scope: list[tuple[str, int, bool]] = [("$", 2, False)]
        self._loose = False
        self.most = 0

    # What goes wrong

    def _failing(self, node: nodes.Node) -> Callable[[str], ExecError]:
        """What makes the error for a message at a node."""
        tree = self._tree

        def failing(message: str) -> ExecError:
            return ExecError(
                f"template: {tree.place(node.at)}: executing {quoted(tree.name)} at <{node}>: {message}"
            )

        return failing

    # Variables

    def _declare(self, name: str, loose: bool) -> int:
        place = FIRST + len(self._scope) - 1
        self._scope.append((name, place, loose))
        self.most = max(self.most, len(self._scope) - 1)
        return place

    def _find(self, name: str) -> tuple[int, bool]:
        for known, place, loose in reversed(self._scope):
            if known == name:
                return place, loose
        raise AssertionError(name)

    # Actions

    def body(self, items: list[nodes.Node]) -> Writer:
        """Return what writes a list of nodes, whose variables end with it only where the caller says so."""
        parts = [self._writer(node) for node in items]
        if not parts:
            return lambda dot, frame: None
        if len(parts) == 1:
            return parts[0]
        if len(parts) == 2:
            first, second = parts

            def two(dot: Any, frame: list[Any]) -> None:
                first(dot, frame)
                second(dot, frame)

            return two
        if len(parts) == 3:
            one, other, last = parts

            def three(dot: Any, frame: list[Any]) -> None:
                one(dot, frame)
                other(dot, frame)
                last(dot, frame)

            return three
        steps = tuple(parts)

        def many(dot: Any, frame: list[Any]) -> None:
            for step in steps:
                step(dot, frame)

        return many

    def _inner(self, items: list[nodes.Node]) -> Writer:
        known = len(self._scope)
        made = self.body(items)
        del self._scope[known:]
        return made

    def _writer(self, node: nodes.Node) -> Writer:
        match node:
            case nodes.Text():
                text = node.text
                return lambda dot, frame: frame[1](text)
            case nodes.Action():
                return self._action(node)
            case nodes.Branch(word="range"):
                return self._range(node)
            case nodes.Branch():
                return self._branch(node)
            case nodes.Jump():
                return _break if node.word == "break" else _continue
            case nodes.Call():
                return self._call(node)
            case _:
                raise AssertionError(node)

    def _action(self, node: nodes.Action) -> Writer:
        value = self._pipe(node.pipe)
        if node.pipe.variables:
            return value
        failing = self._failing(node)

        def action(dot: Any, frame: list[Any]) -> None:
            found = value(dot, frame)
            if type(found) is str:
                frame[1](found)
                return
            if type(found) is Function:
                raise failing(f"can't print {node} of type func")
            try:
                frame[1](text_of(found))
            except GoError as fault:
                raise failing(str(fault)) from None

        return action

    def _branch(self, node: nodes.Branch) -> Writer:
        known = len(self._scope)
        value = self._pipe(node.pipe)
        loose = self._loose
        moves = node.word == "with"
        if moves:
            self._loose = False
        body = self._inner(node.body)
        self._loose = loose
        otherwise = self._inner(node.otherwise) if node.otherwise is not None else None
        del self._scope[known:]
        if moves:

            def with_(dot: Any, frame: list[Any]) -> None:
                found = value(dot, frame)
                if found:
                    body(found, frame)
                elif otherwise is not None:
                    otherwise(dot, frame)

            return with_

        def if_(dot: Any, frame: list[Any]) -> None:
            found = value(dot, frame)
            if found:
                body(dot, frame)
            elif otherwise is not None:
                otherwise(dot, frame)

        return if_

    def _range(self, node: nodes.Branch) -> Writer:
        known, loose = len(self._scope), self._loose
        pipe = node.pipe
        value = self._pipe(pipe, declares=False)
        failing = self._failing(self._last(pipe))
        places: list[int] = []
        for variable in pipe.variables:
            if pipe.assigns:
                places.append(self._find(variable.name)[0])
            else:
                places.append(self._declare(variable.name, True))
        self._loose = True
        body = self._inner(node.body)
        self._loose = loose
        otherwise = self._inner(node.otherwise) if node.otherwise is not None else None
        del self._scope[known:]
        index = places[0] if len(places) > 1 else 0
        item = places[-1] if places else 0
        cost = 1 + _weight(node.body)
        jumps = _jumps(node.body)

        def range_(dot: Any, frame: list[Any]) -> None:
            found = value(dot, frame)
            state = frame[0]
            empty = True
            try:
                for key, each in fields.items(found, len(places), failing):
                    empty = False
                    state.spend(cost)
                    if index:
                        frame[index] = key
                    if item:
                        frame[item] = each
                    if jumps:
                        try:
                            body(each, frame)
                        except Continue:
                            continue
                    else:
                        body(each, frame)
            except Break:
                return
            if empty and otherwise is not None:
                otherwise(dot, frame)

        return range_

    def _call(self, node: nodes.Call) -> Writer:
        failing = self._failing(node)
        data = self._pipe(node.pipe) if node.pipe is not None else _nothing
        name, missing = node.name, f"template {node.written} not defined"

        def call(dot: Any, frame: list[Any]) -> None:
            state = frame[0]
            found = state.find(name)
            if found is None:
                raise failing(missing)
            passed = data(dot, frame)
            state.enter(failing)
            found.run(state, passed, frame[1])
            state.leave()

        return call

    # Pipelines and commands

    def _pipe(self, pipe: nodes.Pipe, *, declares: bool = True) -> Expression:
        made: Expression | None = None
        for command in pipe.commands:
            made = self._command(command, made)
        assert made is not None
        value = made
        if not pipe.variables or not declares:
            return value
        variable = pipe.variables[-1]
        place = self._find(variable.name)[0] if pipe.assigns else self._declare(variable.name, False)

        def keep(dot: Any, frame: list[Any]) -> Any:
            found = frame[place] = value(dot, frame)
            return found

        return keep

    def _command(self, command: nodes.Command, before: Expression | None) -> Expression:
        first = command.args[0]
        if isinstance(first, nodes.Identifier):
            return self._function(first, command, command.args[1:], before)
        fed = len(command.args) > 1 or before is not None
        if isinstance(first, nodes.Field | nodes.Chain) or (
            isinstance(first, nodes.Variable) and first.names
        ):
            if fed:
                return self._method(first, command.args[1:], before)
            return self._plain(first)
        if fed:
            return self._raising(first, f"can't give argument to non-function {first}", before)
        if isinstance(first, nodes.Constant) and first.sort == "nil":
            return self._raising(first, "nil is not a command", None)
        return self._plain(first)

    def _raising(self, node: nodes.Node, message: str, before: Expression | None) -> Expression:
        failing = self._failing(node)

        def raising(dot: Any, frame: list[Any]) -> Any:
            if before is not None:
                before(dot, frame)
            raise failing(message)

        return raising

    def _plain(self, node: nodes.Node) -> Expression:
        """The value of a node that is no call with arguments."""
        match node:
            case nodes.Constant():
                value = node.value
                if type(value) is int and not -(1 << 63) <= value < 1 << 63:
                    return self._raising(node, f"{node.written} overflows int", None)
                return lambda dot, frame: value
            case nodes.Dot():
                return _dot
            case nodes.Field():
                return fields.path(_dot, node.names, self._failing(node), self._loose)
            case nodes.Variable():
                place, loose = self._find(node.name)
                if node.names:
                    return fields.path(_slot(place), node.names, self._failing(node), loose)
                return _slot(place)
            case nodes.Chain():
                failing = self._failing(self._last(node.node))
                return fields.path(self._plain(node.node), node.names, failing, False)
            case nodes.Pipe():
                return self._pipe(node)
            case nodes.Identifier():
                return self._function(node, node, [], None)
            case _:
                raise AssertionError(node)

    def _method(self, node: Any, args: list[nodes.Node], before: Expression | None) -> Expression:
        """A field that is given arguments: a method, or a mistake."""
        failing = self._failing(node)
        start: Expression = _dot
        loose = self._loose
        if isinstance(node, nodes.Field):
            pass
        elif isinstance(node, nodes.Variable):
            place, loose = self._find(node.name)
            start = _slot(place)
        else:
            start, loose = self._plain(node.node), False
        receiver = fields.path(start, node.names[:-1], failing, loose) if len(node.names) > 1 else start
        name = node.names[-1]
        makers = [self._argument_maker(arg) for arg in args]
        pinned = len(node.names) == 1 and not loose

        def method(dot: Any, frame: list[Any]) -> Any:
            held = receiver(dot, frame) if before is None else None
            final = before(dot, frame) if before is not None else None
            if before is not None:
                held = receiver(dot, frame)
            function = fields.method(held, name, failing, pinned)
            if function is None:
                return None
            given = [maker(letter_of(function, place))(dot, frame) for place, maker in enumerate(makers)]
            if before is not None:
                given.append(checked(final, letter_of(function, len(given)), failing, "invalid"))
            counted(function, name, len(given), len(args), failing)
            try:
                return function.run(*given)
            except MISTAKES as fault:
                raise failing(f"error calling {name}: {fault}") from None

        return method

    def _function(
        self, name: nodes.Identifier, node: nodes.Node, args: list[nodes.Node], before: Expression | None
    ) -> Expression:
        function = self._functions[name.name]
        at_node = self._failing(node)
        count = len(args) + (before is not None)
        wrong = miscounted(function, name.name, count, len(args))
        if wrong:
            return self._raising(name, wrong, before)
        if name.name in {"and", "or"}:
            return self._logic(name.name == "or", args, before)
        if name.name == "call" and args:
            function = Function(calls(str(args[0])), "v", "v")
        makers = [self._argument_maker(arg)(letter_of(function, place)) for place, arg in enumerate(args)]
        last = self._last(args[-1]) if args else name
        final: Expression | None = None
        if before is not None:
            letter = letter_of(function, len(args))
            final = before if letter in "av" else checking(before, letter, self._failing(last), "invalid")
        return calling(function, name.name, makers, final, at_node)

    def _logic(self, wanted: bool, args: list[nodes.Node], before: Expression | None) -> Expression:
        parts = [self._argument_maker(arg)("v") for arg in args]

        def logic(dot: Any, frame: list[Any]) -> Any:
            final = before(dot, frame) if before is not None else None
            found: Any = None
            for part in parts:
                found = part(dot, frame)
                if bool(found) is wanted:
                    return found
            return final if before is not None else found

        return logic

    def _argument_maker(self, node: nodes.Node) -> Callable[[str], Expression]:
        """What gives, for the letter of a parameter, the expression of an argument."""
        failing = self._failing(self._last(node))
        if isinstance(node, nodes.Constant):
            constant = node
            return lambda letter: self._constant(constant, letter)
        value = self._plain(node)
        bare = isinstance(node, nodes.Pipe | nodes.Identifier) or (
            isinstance(node, nodes.Variable) and not node.names and not self._find(node.name)[1]
        )
        nil = "invalid" if bare or (isinstance(node, nodes.Dot) and not self._loose) else "interface"
        return lambda letter: value if letter in "av" else checking(value, letter, failing, nil)

    def _constant(self, node: nodes.Constant, letter: str) -> Expression:
        value = node.value
        if node.sort == "nil":
            if letter in "avmlzSBV":
                return _nothing
            return self._raising(node, f"cannot assign nil to {LETTERS[letter]}", None)
        if letter in "av":
            return self._plain(node)
        wanted = {
            "s": "string",
            "b": "bool",
            "i": "integer",
            "I": "integer",
            "d": "integer",
            "f": "float",
        }.get(letter)
        if wanted is None:
            return self._raising(node, f"can't handle {node} for arg of type {LETTERS[letter]}", None)
        if wanted == "integer" and node.sort == "number" and node.whole and abs(value) < 1 << 63:
            number = int(value)
            return lambda dot, frame: number
        if wanted == "float" and node.sort == "number":
            real = float(value)
            return lambda dot, frame: real
        if wanted == node.sort:
            return lambda dot, frame: value
        return self._raising(node, f"expected {wanted}; found {node}", None)

    def _last(self, node: nodes.Node) -> nodes.Node:
        """The node that was looked at last once this one has been evaluated, which is where Go says an error is."""
        if isinstance(node, nodes.Pipe):
            return self._last(node.commands[-1])
        if isinstance(node, nodes.Command):
            first = node.args[0]
            return self._last(node.args[-1] if len(node.args) > 1 else first)
        return node


def _dot(dot: Any, frame: list[Any]) -> Any:
    return dot


def _nothing(dot: Any, frame: list[Any]) -> Any:
    return None


def _break(dot: Any, frame: list[Any]) -> None:
    raise Break


def _continue(dot: Any, frame: list[Any]) -> None:
    raise Continue


def _slot(place: int) -> Expression:
    return lambda dot, frame: frame[place]


def _weight(items: list[nodes.Node] | None) -> int:
    """How many actions a list has, with those inside."""
    return sum(
        1 + (_weight(node.body) + _weight(node.otherwise) if isinstance(node, nodes.Branch) else 0)
        for node in items or ()
    )


def _jumps(items: list[nodes.Node] | None) -> bool:
    """Whether a list may leave or go on with the range that it is in."""
    return any(
        isinstance(node, nodes.Jump)
        or (
            isinstance(node, nodes.Branch)
            and node.word != "range"
            and (_jumps(node.body) or _jumps(node.otherwise))
        )
        or (isinstance(node, nodes.Branch) and node.word == "range" and _jumps(node.otherwise))
        for node in items or ()
    )
