"""Why an expression is false: the places in an object that made it so, and what would pass there.

A guess from the expression's form, good for the forms that policies have; never part of deciding anything. What it cannot
follow it leaves out. Evaluates parts of the expression again, within a budget of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from fairlead.tongues.cel.costs import Meter
from fairlead.tongues.cel.environments import Program
from fairlead.tongues.cel.errors import Failed
from fairlead.tongues.cel.syntax import Call, Fold, Ident, ListOf, Literal_, Node, Select
from fairlead.tongues.cel.values import Optional, to_json
from fairlead.tongues.paths import Path

MOST = 16
"""How many places are told at most."""

_BUDGET = 200_000
_DEEPEST = 40

_Scope: TypeAlias = Mapping[str, "Path | None"]


class Place(NamedTuple):
    """A place in the object, and what would pass there, in words ("" where that cannot be said)."""

    path: Path
    wanted: str = ""


_COMPARED = {
    "_==_": ("{}", "anything but {}"),
    "_!=_": ("anything but {}", "{}"),
    "_<_": ("less than {}", "at least {}"),
    "_<=_": ("at most {}", "more than {}"),
    "_>_": ("more than {}", "at most {}"),
    "_>=_": ("at least {}", "less than {}"),
    "@in": ("one of {}", "none of {}"),
    "startsWith": ("text that starts with {}", "text that does not start with {}"),
    "endsWith": ("text that ends with {}", "text that does not end with {}"),
    "contains": ("text that contains {}", "text that does not contain {}"),
    "matches": ("text that matches {}", "text that does not match {}"),
}
_TURNED = {"_<_": "_>_", "_<=_": "_>=_", "_>_": "_<_", "_>=_": "_<=_", "_==_": "_==_", "_!=_": "_!=_"}


def blame(
    program: Program,
    bindings: Mapping[str, Any],
    variables: Mapping[str, Program | None] | None = None,
    root: str = "object",
) -> list[Place]:
    """Return the places below `root` that made an expression false. `variables` are the programs behind `variables.x`."""
    try:
        judge = _Judge(program, bindings, variables or {}, root, Meter(_BUDGET))
        found = judge.blame(program.tree, want=True, scope={})
    except Exception:  # noqa: BLE001  a guess that fails is none; what was judged stands
        return []
    return list(dict.fromkeys(found))[:MOST]


class _Judge:
    """Follows one expression; those behind variables get one of their own."""

    def __init__(
        self,
        program: Program,
        bindings: Mapping[str, Any],
        variables: Mapping[str, Program | None],
        root: str,
        meter: Meter,
        depth: int = 0,
    ) -> None:
        if depth > _DEEPEST:
            raise Failed("too deep")
        self.bindings, self.variables, self.root, self.meter, self.depth = (
            bindings,
            variables,
            root,
            meter,
            depth,
        )
        self.program = program
        self.walker, self.steps = program.parts()
        self.frame: list[Any] = [bindings, meter, *([None] * len(self.walker.slots))]

    def value(self, node: Node) -> Any:
        """Evaluate a part, with the variables of comprehensions as they are now."""
        step = self.steps.get(id(node))
        if step is None:
            step = self.steps[id(node)] = self.walker.step(node)
            self.frame += [None] * (len(self.walker.slots) + 2 - len(self.frame))
        return step(self.frame)

    def true(self, node: Node) -> bool | None:
        """Return whether a part is true, or None when that cannot be told."""
        try:
            found = self.value(node)
        except Failed:
            return None
        return found if found.__class__ is bool else None

    def variable(self, node: Node) -> tuple[_Judge, Node] | None:
        """Return the expression behind `variables.x`."""
        if not (
            isinstance(node, Select) and isinstance(node.operand, Ident) and node.operand.name == "variables"
        ):
            return None
        program = self.variables.get(node.field)
        if program is None:
            return None
        inner = _Judge(program, self.bindings, self.variables, self.root, self.meter, self.depth + 1)
        return inner, program.tree

    # Where values come from

    def path(self, node: Node, scope: _Scope) -> Path | None:
        """Return the place that a part reads, or None when it is no place of the object."""
        if isinstance(node, Ident):
            return scope.get(node.name) if node.local else () if node.name == self.root else None
        if isinstance(node, Select):
            behind = self.variable(node)
            if behind is not None:
                judge, tree = behind
                return judge.path(tree, {})
            place = self.path(node.operand, scope)
            return None if place is None else (*place, node.field)
        if not isinstance(node, Call):
            return None
        if node.name in {"_[_]", "_[?_]"}:
            place, key = self.path(node.args[0], scope), self.value(node.args[1])
            return (*place, key) if place is not None and key.__class__ in {str, int} else None
        if node.name in {"orValue", "or", "value"} and node.target is not None:
            return self.path(node.target, scope)
        if node.name == "_?_:_":
            return self.path(node.args[1 if self.true(node.args[0]) else 2], scope)
        if node.name == "dyn":
            return self.path(node.args[0], scope)
        return None

    def elements(self, node: Node, scope: _Scope) -> list[Path | None]:
        """Return where each element of a list, or each value of a map, comes from."""
        behind = self.variable(node)
        if behind is not None:
            judge, tree = behind
            return judge.elements(tree, {})
        if isinstance(node, ListOf):
            return [self.path(one, scope) for one in node.items]
        if isinstance(node, Fold) and node.kind == "filter":
            places = self.elements(node.source, scope)
            return [place for _, place, _ in self.each(node, places) if self.true(node.body)]
        if isinstance(node, Fold) and node.kind == "map" and node.where is None:
            places = self.elements(node.source, scope)
            return [
                self.path(node.body, {**scope, node.names[-1]: place})
                for _, place, _ in self.each(node, places)
            ]
        if isinstance(node, Call):
            if node.name == "_+_":
                return self.elements(node.args[0], scope) + self.elements(node.args[1], scope)
            if node.name == "orValue" and node.target is not None:
                found = self.value(node.target)
                present = found.__class__ is Optional and found.present
                return self.elements(node.target if present else node.args[0], scope)
            if node.name == "_?_:_":
                return self.elements(node.args[1 if self.true(node.args[0]) else 2], scope)
        place, held = self.path(node, scope), self.value(node)
        if held.__class__ is Optional:
            held = held.value if held.present else []
        if isinstance(held, dict):
            return [None if place is None else (*place, key) for key in held]
        return [None if place is None else (*place, index) for index in range(len(held))]

    def each(self, node: Fold, places: Sequence[Path | None]) -> Iterator[tuple[int, Path | None, Any]]:
        """Yield index, place and element, with the comprehension's variables set to each in turn."""
        held = self.value(node.source)
        pairs = list(held.items()) if isinstance(held, dict) else list(enumerate(held))
        slots = [self.walker.slot(name) for name in node.names]
        for index, (key, one) in enumerate(pairs):
            self.frame += [None] * (max(slots) + 1 - len(self.frame))
            if len(slots) == 2:
                self.frame[slots[0]], self.frame[slots[1]] = key, one
            else:
                self.frame[slots[0]] = key if isinstance(held, dict) else one
            yield index, places[index] if index < len(places) else None, one

    # Whose fault it is

    def blame(self, node: Node, *, want: bool, scope: _Scope) -> list[Place]:
        """Return the places that made a part not what is wanted."""
        behind = self.variable(node)
        if behind is not None:
            judge, tree = behind
            return judge.blame(tree, want=want, scope={})
        if isinstance(node, Fold):
            return self.fold(node, want=want, scope=scope)
        if isinstance(node, Select):
            return self.field(node, want=want, scope=scope)
        if isinstance(node, Call):
            return self.call(node, want=want, scope=scope)
        place = self.path(node, scope)
        return [] if place is None else [Place(place, _literal(want))]

    def field(self, node: Select, *, want: bool, scope: _Scope) -> list[Place]:
        place = self.path(node.operand, scope)
        if place is None:
            return []
        said = ("a value" if want else "nothing") if node.test else _literal(want)
        return [Place((*place, node.field), said)]

    def call(self, node: Call, *, want: bool, scope: _Scope) -> list[Place]:
        name, args = node.name, node.args
        if name == "!_":
            return self.blame(args[0], want=not want, scope=scope)
        if name in {"_&&_", "_||_"}:
            wrong = [one for one in args if self.true(one) is not want]
            if (name == "_&&_") is want:
                wrong = wrong[:1]
            return [place for one in wrong for place in self.blame(one, want=want, scope=scope)]
        if name == "_?_:_":
            return self.blame(args[1 if self.true(args[0]) else 2], want=want, scope=scope)
        if name == "hasValue" and node.target is not None:
            place = self.path(node.target, scope)
            return [] if place is None else [Place(place, "a value" if want else "nothing")]
        if name == "orValue" and node.target is not None:
            place = self.path(node.target, scope)
            return [] if place is None else [Place(place, _literal(want))]
        if name in _COMPARED:
            return self.compared(node, want=want, scope=scope)
        return self.leaves(node, scope)

    def compared(self, node: Call, *, want: bool, scope: _Scope) -> list[Place]:
        left, right = (node.target, node.args[0]) if node.target is not None else node.args[:2]
        assert left is not None
        place = self.path(left, scope)
        if place is not None:
            return [Place(place, self.worded(node.name, right, scope, want=want))]
        if isinstance(left, Call) and left.name == "size":
            counted = left.target if left.target is not None else left.args[0]
            place = self.path(counted, scope)
            if place is not None:
                said = self.worded(node.name, right, scope, want=want)
                return [Place(place, f"a size of {said}" if said else "")]
        place = self.path(right, scope)
        if place is not None and node.name in _TURNED:
            return [Place(place, self.worded(_TURNED[node.name], left, scope, want=want))]
        if place is not None and node.name == "@in":
            key = self.value(left)
            if isinstance(self.value(right), dict) and isinstance(key, str):
                return [Place((*place, key), "a value" if want else "nothing")]
            return [Place(place, f"a list {'with' if want else 'without'} {_shown(key)}")]
        return self.leaves(node, scope)

    def worded(self, name: str, other: Node, scope: _Scope, *, want: bool) -> str:
        """Say what a comparison wants; nothing where the other side is as much of the object as this one."""
        if not isinstance(other, Literal_ | ListOf) and self.path(other, scope) is not None:
            return ""
        try:
            value = self.value(other)
        except Failed:
            return ""
        if name == "@in":
            if not isinstance(value, (list, tuple, dict)):
                return ""
            shown = ", ".join(map(_shown, list(value)[:MOST]))
        else:
            shown = _shown(value)
        return _COMPARED[name][0 if want else 1].format(shown) if shown else ""

    def fold(self, node: Fold, *, want: bool, scope: _Scope) -> list[Place]:
        if node.kind not in {"all", "exists"} or node.where is not None:
            return self.leaves(node.source, scope)
        places = self.elements(node.source, scope)
        if (node.kind == "all") is not want:
            # the list as a whole: nothing in it is what was looked for, or everything is
            whole = self.path(node.source, scope)
            if whole is not None:
                return [Place(whole)]
            return [Place(place) for place in places if place is not None]
        found: list[Place] = []
        by_key = isinstance(self.value(node.source), dict) and len(node.names) == 1
        for _, place, _ in self.each(node, places):
            if self.true(node.body) is want or len(found) >= MOST:
                continue
            inner = {**scope, node.names[-1]: None if by_key else place}
            said = self.blame(node.body, want=want, scope=inner)
            found += said or ([Place(place)] if place is not None else [])
        return found

    def leaves(self, node: Node, scope: _Scope) -> list[Place]:
        """Return every place that a part reads."""
        place = self.path(node, scope)
        if place is not None:
            return [Place(place)]
        behind = self.variable(node)
        if behind is not None:
            judge, tree = behind
            return judge.leaves(tree, {})
        inside: list[Node] = []
        if isinstance(node, Call):
            inside = [*([node.target] if node.target is not None else []), *node.args]
        elif isinstance(node, ListOf):
            inside = node.items
        elif isinstance(node, Select):
            inside = [node.operand]
        elif isinstance(node, Fold):
            inside = [node.source]
        return [one for each in inside for one in self.leaves(each, scope)]


def _literal(want: bool) -> str:
    return "true" if want else "false"


def _shown(value: Any) -> str:
    try:
        plain = to_json(value)
    except Failed:
        return ""
    if isinstance(plain, bool):
        return _literal(plain)
    if plain is None:
        return "null"
    text = repr(plain) if isinstance(plain, (str, int, float)) else ""
    return text if len(text) <= 200 else ""
