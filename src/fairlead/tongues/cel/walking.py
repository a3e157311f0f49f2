"""The tree made into nested functions that do everything by the book.

That is: errors that && and || absorb, comprehensions that go on after one, a count of what it costs.
This is the second of two ways to run an expression. `writing` makes the fast one, which gives up at the first error; then this
one says what the value, or the error, really is. Both use the same operators.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from fairlead.tongues.cel import operators as o
from fairlead.tongues.cel.costs import FIXED, Meter, call_cost
from fairlead.tongues.cel.errors import Failed, TooCostly
from fairlead.tongues.cel.libraries import Function
from fairlead.tongues.cel.sorting import sorted_by
from fairlead.tongues.cel.syntax import (
    Bind,
    Call,
    Fold,
    Ident,
    ListOf,
    Literal_,
    MapOf,
    Node,
    Select,
    Struct,
)
from fairlead.tongues.cel.values import NONE, Lazy, Optional

Step: TypeAlias = Callable[[list[Any]], Any]
"""Evaluates a part. The frame: the bindings, the Meter, then the variables of comprehensions."""

Costs: TypeAlias = Mapping[str, Callable[..., int]]


class Walker:
    """Makes the steps of one expression. `functions` are those that it may call; `costs` their costs beyond 1."""

    def __init__(self, functions: Mapping[str, Function], costs: Costs) -> None:
        self.functions = functions
        self.costs = costs
        self.slots: dict[str, int] = {}

    def whole(self, node: Node) -> Callable[[Mapping[str, Any], Meter], Any]:
        """Return what evaluates the expression for bindings and a meter."""
        step = self.step(node)
        size = len(self.slots)

        def run(bindings: Mapping[str, Any], meter: Meter) -> Any:
            try:
                return step([bindings, meter, *([None] * size)])
            except RecursionError:
                raise Failed("a value is nested too deeply") from None

        return run

    def slot(self, name: str) -> int:
        """Return the place of a variable in the frame."""
        return self.slots.setdefault(name, len(self.slots) + 2)

    def step(self, node: Node) -> Step:
        """Return the step of a node."""
        made: Step = _STEPS[node.__class__](self, node)
        return made

    def literal(self, node: Literal_) -> Step:
        """Return the step of a constant."""
        value = node.value
        return lambda _: value

    def ident(self, node: Ident) -> Step:
        """Return the step of a variable."""
        name = node.name
        if node.local:
            place = self.slot(name)

            def local(frame: list[Any]) -> Any:
                frame[1].spend(1)
                value = frame[place]
                return value() if value.__class__ is Lazy else value

            return local

        def variable(frame: list[Any]) -> Any:
            frame[1].spend(1)
            try:
                value = frame[0][name]
            except KeyError:
                raise Failed(f"no such attribute(s): {name}") from None
            return value() if value.__class__ is Lazy else value

        return variable

    def select(self, node: Select) -> Step:
        """Return the step of a field."""
        operand, name = self.step(node.operand), node.field
        optional, test = node.optional, node.test

        def select(frame: list[Any]) -> Any:
            value = operand(frame)
            frame[1].spend(1)
            if optional:
                value = o.optional_select(value, name)
                return value.present if test else value
            return o.has(value, name) if test else o.select(value, name)

        return select

    def call(self, node: Call) -> Step:
        """Return the step of a call."""
        name = node.name
        if name in {"_&&_", "_||_"}:
            return self.logic(node, stop=name == "_||_")
        args = [self.step(one) for one in ([node.target, *node.args] if node.target else node.args)]
        if name == "_?_:_":
            condition, then, other = args

            def choose(frame: list[Any]) -> Any:
                frame[1].spend(1)
                return then(frame) if o.truth(condition(frame)) else other(frame)

            return choose
        if name in {"or", "orValue"} and node.target is not None and len(args) == 2:
            return self.fallback(node, *args)
        member = node.target is not None
        operator = o.OPERATORS.get(name)
        function = self.functions.get(name)
        call: Callable[..., Any] = operator if operator is not None else _unknown(name)
        if operator is None and function is not None:
            call = function.choosing(member, len(args))
        cost = self.costs.get(name) or call_cost(name)

        def run(frame: list[Any]) -> Any:
            values = [one(frame) for one in args]
            meter = frame[1]
            if cost is None:
                meter.spend(1)
                return call(*values)
            meter.room()
            result = call(*values)
            meter.spend(cost(values, result))
            return result

        return run

    def fallback(self, node: Call, first: Step, second: Step) -> Step:
        """Take the second value only where the first is absent."""
        bare = node.name == "orValue"

        def choose(frame: list[Any]) -> Any:
            frame[1].spend(1)
            found = first(frame)
            if found.__class__ is not Optional:
                raise Failed(f"no such overload: {node.name}")
            if found.present:
                return found.value if bare else found
            return second(frame)

        return choose

    def logic(self, node: Call, *, stop: bool) -> Step:
        """Return the step of && or ||, which an error of one side does not stop."""
        steps = [self.step(one) for one in node.args]

        def charged(frame: list[Any]) -> Iterator[Step]:
            for step in steps:
                frame[1].spend(1)
                yield step

        return lambda frame: _decided(charged(frame), frame, stop=stop)

    def list_(self, node: ListOf) -> Step:
        """Return the step of a list."""
        steps = [self.step(one) for one in node.items]
        optional = node.optional

        def make(frame: list[Any]) -> Any:
            frame[1].spend(FIXED["list"])
            items = [step(frame) for step in steps]
            return o.make_list(items, optional) if optional else items

        return make

    def map_(self, node: MapOf) -> Step:
        """Return the step of a map."""
        steps = [(self.step(key), self.step(value), optional) for key, value, optional in node.entries]

        def make(frame: list[Any]) -> Any:
            frame[1].spend(FIXED["map"])
            return o.make_map(o.given((key(frame), value(frame), optional) for key, value, optional in steps))

        return make

    def struct(self, node: Struct) -> Step:
        """Return the step of a message literal."""
        maker = node.maker
        steps = [(name, self.step(value), optional) for name, value, optional in node.entries]

        def make(frame: list[Any]) -> Any:
            frame[1].spend(FIXED["struct"])
            if maker is None:
                raise Failed(f"unknown type: {node.name}")
            return maker.make(dict(o.given((name, step(frame), optional) for name, step, optional in steps)))

        return make

    def bind(self, node: Bind) -> Step:
        """Return the step of a binding: its value is evaluated when first needed."""
        value, body, place = self.step(node.value), self.step(node.body), self.slot(node.name)

        def bind(frame: list[Any]) -> Any:
            inner = list(frame)
            frame[place] = Lazy(lambda: value(inner))
            return body(frame)

        return bind

    def fold(self, node: Fold) -> Step:
        """Return the step of a comprehension."""
        source, body = self.step(node.source), self.step(node.body)
        places = [self.slot(name) for name in node.names]
        where = self.step(node.where) if node.where is not None else None
        if node.kind in {"optMap", "optFlatMap"}:
            return _opened(source, body, places[0], flat=node.kind == "optFlatMap")
        two = len(places) == 2
        first, last = places[0], places[-1]
        finish = _FINISHES[node.kind]

        def fold(frame: list[Any]) -> Any:
            over = source(frame)
            entries = (
                o.pairs(over) if two or node.kind == "transformMap" else ((one, one) for one in o.each(over))
            )

            def run() -> Any:
                for key, value in entries:
                    frame[1].spend(FIXED["step"])
                    frame[first] = key
                    frame[last] = value
                    if where is None or o.truth(where(frame)):
                        yield key, value, body

            return finish(run(), frame)

        return fold


def _unknown(name: str) -> Callable[..., Any]:
    def refuse(*_: Any) -> Any:
        raise Failed(f"no such overload: {name}")

    return refuse


def _opened(source: Step, body: Step, place: int, *, flat: bool) -> Step:
    def open_(frame: list[Any]) -> Any:
        found = source(frame)
        if found.__class__ is not Optional:
            raise Failed("no such overload")
        if not found.present:
            return NONE
        frame[place] = found.value
        made = body(frame)
        if not flat:
            return Optional(made)
        if made.__class__ is not Optional:
            raise Failed("no such overload")
        return made

    return open_


def _decided(steps: Iterable[Step], frame: list[Any], *, stop: bool) -> bool:
    """Return `stop` if any step comes to it; only if none does, the first error counts."""
    failed: Failed | None = None
    for step in steps:
        try:
            if o.truth(step(frame)) is stop:
                return stop
        except TooCostly:
            raise
        except Failed as error:
            failed = failed or error
    if failed is not None:
        raise failed
    return not stop


def _one(entries: Any, frame: list[Any]) -> bool:
    count = 0
    for _, _, body in entries:
        count += o.truth(body(frame))
    return count == 1


def _filtered(entries: Any, frame: list[Any]) -> list[Any]:
    return [value for _, value, body in entries if o.truth(body(frame))]


def _mapped(entries: Any, frame: list[Any]) -> list[Any]:
    return [body(frame) for _, _, body in entries]


def _keyed(entries: Any, frame: list[Any]) -> dict[Any, Any]:
    return {key: body(frame) for key, _, body in entries}


def insert(found: dict[Any, Any], more: Any) -> None:
    """Add the entries of one map to another. Raises Failed for a key that is there."""
    for key, value in o.pairs(more) if isinstance(more, dict) else _refuse():
        if key in found:
            raise Failed(f"insert failed: key {key} already exists")
        found[key] = value


def _refuse() -> Any:
    raise Failed("no such overload")


def _entered(entries: Any, frame: list[Any]) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for _, _, body in entries:
        insert(found, body(frame))
    return found


def _sorted(entries: Any, frame: list[Any]) -> list[Any]:
    found = [(body(frame), value) for _, value, body in entries]
    return sorted_by([key for key, _ in found], [value for _, value in found])


_FINISHES: dict[str, Callable[[Any, list[Any]], Any]] = {
    "all": lambda entries, frame: _decided((body for _, _, body in entries), frame, stop=False),
    "exists": lambda entries, frame: _decided((body for _, _, body in entries), frame, stop=True),
    "exists_one": _one,
    "filter": _filtered,
    "map": _mapped,
    "transformList": _mapped,
    "transformMap": _keyed,
    "transformMapEntry": _entered,
    "sortBy": _sorted,
}

_STEPS: dict[type[Node], Callable[[Walker, Any], Step]] = {
    Literal_: Walker.literal,
    Ident: Walker.ident,
    Select: Walker.select,
    Call: Walker.call,
    ListOf: Walker.list_,
    MapOf: Walker.map_,
    Struct: Walker.struct,
    Fold: Walker.fold,
    Bind: Walker.bind,
}
