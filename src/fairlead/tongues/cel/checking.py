"""The tree with its meaning: what each name stands for, which overloads can be meant, and the types of everything.

What can only go wrong is refused here, with the texts of cel-go; what depends on values is left to the run. The rules are
cel-go's (checker/checker.go). Names of comprehension variables become unique, constants take the place of their names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fairlead.tongues import regexes
from fairlead.tongues.cel import times
from fairlead.tongues.cel import types as t
from fairlead.tongues.cel.errors import Failed
from fairlead.tongues.cel.libraries import Function, Maker, Overload
from fairlead.tongues.cel.parsing import qualified
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
from fairlead.tongues.cel.types import Type
from fairlead.tongues.cel.unifying import Unifier, renamed
from fairlead.tongues.cel.values import type_of

_VAGUE = frozenset({"dyn", "any", "error"})
_SEALED = frozenset({"opaque", "message"})


class World:
    """What names stand for: variables, constants, functions and message types, and the container they are looked up in."""

    __slots__ = ("constants", "container", "functions", "homogeneous", "makers", "variables")

    def __init__(
        self,
        variables: Mapping[str, Type],
        constants: Mapping[str, Any],
        functions: Mapping[str, Function],
        makers: Callable[[str], Maker | None],
        container: str,
        *,
        homogeneous: bool,
    ) -> None:
        self.variables = variables
        self.constants = constants
        self.functions = functions
        self.makers = makers
        self.container = container
        self.homogeneous = homogeneous

    def candidates(self, name: str) -> list[str]:
        """Return what a name may mean, nearest first: `x` in container a.b is a.b.x, a.x or x."""
        if name.startswith("."):
            return [name[1:]]
        parts = self.container.split(".") if self.container else []
        return [".".join((*parts[:count], name)) for count in range(len(parts), -1, -1)]

    def function(self, name: str) -> Function | None:
        """Return the function that a name means."""
        return next((self.functions[one] for one in self.candidates(name) if one in self.functions), None)


class Checker:
    """Checks one tree. With `strict` off, faults are left to the run: what is unknown is dyn."""

    def __init__(self, world: World, *, strict: bool) -> None:
        self.world = world
        self.strict = strict
        self.faults: list[tuple[str, int]] = []
        self.unifier = Unifier()
        self.scopes: dict[str, list[tuple[str, Type]]] = {}
        self.nodes: list[Node] = []
        self.names: set[str] = set()
        self.count = 0
        self.mixed: set[Node] = set()
        """Lists that may mix types where others must not: the arguments of format()."""

    def whole(self, node: Node) -> Node:
        """Return the checked tree; `faults` holds what was found."""
        found = self.visit(node)
        for one in self.nodes:
            one.type = self.unifier.resolve(one.type, final=True)
        return found

    def fault(self, message: str, pos: int) -> Type:
        """Note a fault; return the type of what is at fault."""
        if self.strict:
            self.faults.append((message, pos))
            return t.ERROR
        return t.DYN

    def visit(self, node: Node) -> Node:
        """Return a node, or what takes its place, with its type."""
        found: Node = _VISITS[node.__class__](self, node)
        self.nodes.append(found)
        return found

    # --- names

    def literal(self, node: Literal_) -> Node:
        """Type a constant."""
        kind = type_of(node.value)
        node.type = t.type_of_type(node.value) if kind is t.TYPE else kind
        return node

    def named(self, name: str, pos: int) -> Node | None:
        """Return what a name that no comprehension binds stands for: a variable or a constant."""
        world = self.world
        for one in world.candidates(name):
            if one in world.variables:
                found = Ident(pos, one)
                found.type = world.variables[one]
                self.names.add(one)
                return found
            if one in world.constants:
                return self.literal(Literal_(pos, world.constants[one]))
            maker = world.makers(one)
            if maker is not None:
                return self.literal(Literal_(pos, maker.type))
        return None

    def ident(self, node: Ident) -> Node:
        """Resolve a name."""
        scope = self.scopes.get(node.name)
        if scope:
            node.name, node.type = scope[-1]
            node.local = True
            return node
        found = self.named(node.name, node.pos)
        if found is not None:
            return found
        bare = node.name.removeprefix(".")
        node.type = self.fault(
            f"undeclared reference to '{bare}' (in container '{self.world.container}')", node.pos
        )
        node.name = bare
        self.names.add(bare)
        return node

    def rooted(self, node: Node) -> bool:
        """Return whether a chain of fields begins with a comprehension's variable."""
        while isinstance(node, Select):
            node = node.operand
        return isinstance(node, Ident) and bool(self.scopes.get(node.name))

    def select(self, node: Select) -> Node:
        """Resolve a qualified name, or type a field."""
        if not node.optional and not self.rooted(node):
            name = qualified(Select(node.pos, node.operand, node.field))
            found = self.named(name, node.pos) if name is not None else None
            if found is not None:
                if node.test:
                    found.type = self.fault("expression does not select a field", node.pos)
                return found
        node.operand = self.visit(node.operand)
        whole = self.unifier.resolve(node.operand.type)
        kind = whole.params[0] if whole.name == "optional_type" and whole.params else whole
        found_type = self.field(kind, node.field, node.pos)
        if node.test:
            found_type = t.BOOL
        elif whole.name == "optional_type" or node.optional:
            found_type = t.optional_of(found_type)
        node.type = found_type
        return node

    def field(self, kind: Type, name: str, pos: int) -> Type:
        """Return the type of a field of values of a type."""
        if kind.sort in _VAGUE:
            return t.DYN
        if kind.sort == "map":
            return kind.params[1] if kind.params else t.DYN
        if kind.sort == "message":
            if kind.fields is None:
                return t.DYN
            found = kind.fields.get(name)
            return found if found is not None else self.fault(f"undefined field '{name}'", pos)
        if kind.sort == "variable":
            self.unifier.assignable((t.DYN,), (kind,))
            return t.DYN
        if kind.sort == "opaque" and kind.fields is not None and name in kind.fields:
            return kind.fields[name]
        return self.fault(f"type '{kind}' does not support field selection", pos)

    # --- calls

    def call(self, node: Call) -> Node:
        """Resolve a call: the function, or the method, and its overload."""
        for one in node.args:
            if node.name in _MIXING and isinstance(one, ListOf):
                self.mixed.add(one)
        node.args = [self.visit(one) for one in node.args]
        function: Function | None = None
        if node.target is not None:
            prefix = None if self.rooted(node.target) else qualified(node.target)
            if prefix is not None:
                function = self.world.function(f"{prefix}.{node.name}")
            if function is not None:
                node.target = None
                node.name = function.name
            else:
                node.target = self.visit(node.target)
                function = self.world.functions.get(node.name)
        elif node.name in self.world.functions and not self.world.container:
            function = self.world.functions[node.name]
        else:
            function = self.world.function(node.name)
            if function is not None:
                node.name = function.name
        if function is None:
            bare = node.name.removeprefix(".")
            node.type = self.fault(
                f"undeclared reference to '{bare}' (in container '{self.world.container}')", node.pos
            )
            node.name = bare
            return node
        args = node.args if node.target is None else [node.target, *node.args]
        node.type = self.resolved(node, function, args)
        if self.world.homogeneous:
            self.literals(node, args[-1] if args else None)
        return node

    def literals(self, node: Call, last: Node | None) -> None:
        """Refuse a constant that its function can only fail on."""
        read = _CONSTANTS.get(node.name)
        if read is None or not isinstance(last, Literal_) or last.value.__class__ is not str:
            return
        try:
            read(last.value)
        except (Failed, regexes.BadPattern):
            self.fault(f"invalid {node.name} argument", last.pos)

    def resolved(self, node: Call, function: Function, args: Sequence[Node]) -> Type:
        """Return the type of a call's result, and remember the overload if only one can be meant."""
        given = [self.unifier.resolve(one.type) for one in args]
        if function.name in {"_&&_", "_||_"}:
            for one, kind in zip(args, given, strict=True):
                if not self.unifier.assignable((kind,), (t.BOOL,)):
                    return self.mismatch(
                        function, [given[0], kind] if one is not args[0] else given[:2], node
                    )
            return t.BOOL
        result: Type | None = None
        fitting: list[Overload] = []
        for overload in function.overloads:
            if overload.member is (node.target is None) or len(overload.params) != len(given):
                continue
            *params, declared = renamed((*overload.params, overload.result), self.unifier)
            if not self.unifier.assignable(given, params):
                continue
            fitting.append(overload)
            found = self.unifier.resolve(declared)
            if result is None:
                result = found
            elif result.sort != "dyn" and result != found:
                result = t.DYN
        if result is None:
            return self.mismatch(function, given, node)
        if len(fitting) == 1 and not any(_vague(one) for one in given):
            node.overload = fitting[0]
        return result

    def mismatch(self, function: Function, given: Sequence[Type], node: Call) -> Type:
        """Note that no overload takes such arguments."""
        shown = [str(self.unifier.resolve(one, final=True)) for one in given]
        signature = f"({', '.join(shown)})" if node.target is None else f"{shown[0]}.({', '.join(shown[1:])})"
        if any(one.sort == "error" for one in given):
            return t.ERROR if self.strict else t.DYN
        return self.fault(
            f"found no matching overload for '{function.name}' applied to '{signature}'", node.pos
        )

    # --- literals

    def join(
        self, found: Type | None, kind: Type, pos: int, *, optional: bool = False, mixed: bool = False
    ) -> Type:
        """Return the type of a list or map that has items of both types."""
        if optional:
            whole = self.unifier.resolve(kind)
            if whole.name == "optional_type" and whole.params:
                kind = whole.params[0]
            elif whole.sort not in _VAGUE:
                self.fault(f"expected type 'optional_type({whole})' but found '{whole}'", pos)
        if found is None:
            return kind
        joined = self.unifier.join(found, kind)
        if joined is not None:
            return joined
        if self.world.homogeneous and self.strict and not mixed:
            shown = (self.unifier.resolve(found, final=True), self.unifier.resolve(kind, final=True))
            self.fault(f"expected type '{shown[0]}' but found '{shown[1]}'", pos)
        return t.DYN

    def list_(self, node: ListOf) -> Node:
        """Type a list."""
        kind: Type | None = None
        node.items = [self.visit(one) for one in node.items]
        for at, one in enumerate(node.items):
            kind = self.join(kind, one.type, one.pos, optional=at in node.optional, mixed=node in self.mixed)
        node.type = t.list_of(kind or self.unifier.fresh())
        return node

    def map_(self, node: MapOf) -> Node:
        """Type a map."""
        key: Type | None = None
        value: Type | None = None
        entries = []
        for name, item, optional in node.entries:
            found, made = self.visit(name), self.visit(item)
            key = self.join(key, found.type, found.pos)
            value = self.join(value, made.type, made.pos, optional=optional)
            entries.append((found, made, optional))
        node.entries = entries
        node.type = t.map_of(key or self.unifier.fresh(), value or self.unifier.fresh())
        return node

    def struct(self, node: Struct) -> Node:
        """Type a message literal and check its fields."""
        maker: Maker | None = None
        for one in self.world.candidates(node.name):
            maker = self.world.makers(one)
            if maker is not None:
                break
        node.maker = maker
        if maker is None:
            bare = node.name.removeprefix(".")
            if any(one in self.world.constants for one in self.world.candidates(node.name)):
                self.fault(f"'{bare}' is not a message type", node.pos)
            else:
                self.fault(
                    f"undeclared reference to '{bare}' (in container '{self.world.container}')", node.pos
                )
        entries = []
        for name, item, optional in node.entries:
            made = self.visit(item)
            entries.append((name, made, optional))
            if maker is None or maker.type.fields is None:
                continue
            wanted = maker.type.fields.get(name)
            kind = self.unifier.resolve(made.type)
            if optional and kind.name == "optional_type" and kind.params:
                kind = kind.params[0]
            if wanted is None:
                self.fault(f"undefined field '{name}'", made.pos)
            elif not self.unifier.assignable((kind,), (wanted,)):
                shown = self.unifier.resolve(kind, final=True)
                self.fault(
                    f"expected type of field '{name}' is '{wanted}' but provided type is '{shown}'", made.pos
                )
        node.entries = entries
        node.type = getattr(maker, "value_type", maker.type) if maker is not None else t.DYN
        return node

    # --- comprehensions

    def bound(self, names: Sequence[str], kinds: Sequence[Type]) -> tuple[str, ...]:
        """Begin the scope of variables; return their unique names."""
        unique = []
        for name, kind in zip(names, kinds, strict=True):
            self.count += 1
            safe = "".join(sign if sign.isalnum() and sign.isascii() else "_" for sign in name)
            unique.append(f"{safe}_{self.count}")
            self.scopes.setdefault(name, []).append((unique[-1], kind))
        return tuple(unique)

    def unbound(self, names: Sequence[str]) -> None:
        """End the scope of variables."""
        for name in names:
            self.scopes[name].pop()

    def bind(self, node: Bind) -> Node:
        """Type a binding."""
        node.value = self.visit(node.value)
        names = (node.name,)
        (unique,) = self.bound(names, (node.value.type,))
        node.body = self.visit(node.body)
        self.unbound(names)
        node.name = unique
        node.type = node.body.type
        return node

    def fold(self, node: Fold) -> Node:
        """Type a comprehension."""
        node.source = self.visit(node.source)
        over = self.unifier.resolve(node.source.type)
        names = node.names
        if node.kind in {"optMap", "optFlatMap"}:
            kinds: tuple[Type, ...] = (self.unwrapped(over, node.source.pos),)
        else:
            kinds = self.items(over, node.source.pos, len(names))
        node.names = self.bound(names, kinds)
        if node.where is not None:
            node.where = self.truth(self.visit(node.where))
        node.body = self.visit(node.body)
        self.unbound(names)
        node.type = self.made(node, kinds)
        return node

    def made(self, node: Fold, kinds: tuple[Type, ...]) -> Type:
        """Return the type of what a comprehension makes."""
        body = node.body.type
        if node.kind in {"all", "exists", "exists_one", "filter"}:
            self.truth(node.body)
            return t.list_of(kinds[0]) if node.kind == "filter" else t.BOOL
        if node.kind in {"map", "transformList"}:
            return t.list_of(body)
        if node.kind == "transformMap":
            return t.map_of(kinds[0], body)
        if node.kind == "transformMapEntry":
            kind = self.unifier.resolve(body)
            if kind.sort == "map" or kind.sort in _VAGUE:
                return kind if kind.sort == "map" else t.map_of(t.DYN, t.DYN)
            return self.fault(
                f"found no matching overload for 'cel.@mapInsert' applied to '(map(dyn, dyn), {kind})'",
                node.pos,
            )
        if node.kind == "optFlatMap":
            kind = self.unifier.resolve(body)
            if kind.name == "optional_type" or kind.sort in _VAGUE or kind.sort == "variable":
                return kind
            return self.fault(f"expected type 'optional_type' but found '{kind}'", node.body.pos)
        if node.kind == "optMap":
            return t.optional_of(body)
        over = self.unifier.resolve(node.source.type)
        return over if over.sort == "list" else t.list_of(t.DYN)

    def truth(self, node: Node) -> Node:
        """Check that a node may be a truth value."""
        if not self.unifier.assignable((node.type,), (t.BOOL,)):
            kind = self.unifier.resolve(node.type, final=True)
            self.fault(f"expected type 'bool' but found '{kind}'", node.pos)
        return node

    def unwrapped(self, over: Type, pos: int) -> Type:
        """Return the type of what is in an optional."""
        if over.name == "optional_type" and over.params:
            return over.params[0]
        if over.sort in _VAGUE:
            return t.DYN
        return self.fault(f"found no matching overload for 'hasValue' applied to '{over}.()'", pos)

    def items(self, over: Type, pos: int, count: int) -> tuple[Type, ...]:
        """Return the types of the variables of a comprehension."""
        if over.sort == "list" and over.params:
            return over.params if count == 1 else (t.INT, over.params[0])
        if over.sort == "map" and over.params:
            return over.params[:count]
        if over.sort == "variable":
            self.unifier.assignable((t.DYN,), (over,))
        elif over.sort not in _VAGUE and over.sort not in {"list", "map"}:
            self.fault(
                f"expression of type '{over}' cannot be range of a comprehension (must be list, map, or dynamic)",
                pos,
            )
        return (t.DYN,) * count


def _vague(kind: Type) -> bool:
    return kind.sort in _VAGUE or kind.sort == "variable"


_MIXING = frozenset({"format", "math.@max", "math.@min"})
"""Functions whose lists may mix types where others must not."""
_CONSTANTS: dict[str, Callable[[str], object]] = {
    "duration": times.read_duration,
    "timestamp": times.read,
    "matches": regexes.compile,
}
"""Functions whose constant arguments are tried out before an expression runs."""

_VISITS: dict[type[Node], Callable[[Checker, Any], Node]] = {
    Literal_: Checker.literal,
    Ident: Checker.ident,
    Select: Checker.select,
    Call: Checker.call,
    ListOf: Checker.list_,
    MapOf: Checker.map_,
    Struct: Checker.struct,
    Fold: Checker.fold,
    Bind: Checker.bind,
}
