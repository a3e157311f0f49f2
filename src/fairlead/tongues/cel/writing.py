"""The tree made into Python source: the fast way to run an expression.

It says what the value is as long as nothing goes wrong. At the first error, of whatever kind, it gives up, and `walking` is asked;
so && and || need no look at errors here, and a field is simply a subscript. Only an expression that was seen to stumble is written
again, guarded: then && and || and comprehensions absorb errors here too. Each is made on first use, in two versions: one that counts
no cost, and one that counts that of comprehensions and of what grows with its operands.

Nothing of the expression's text gets into the source but by repr() or as a constant: names are made up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fairlead.tongues import regexes
from fairlead.tongues.cel import operators as o
from fairlead.tongues.cel import types as t
from fairlead.tongues.cel.costs import FIXED, call_cost
from fairlead.tongues.cel.errors import Failed, TooCostly
from fairlead.tongues.cel.libraries import Function, Maker
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
from fairlead.tongues.cel.values import INT_MAX, INT_MIN, NONE, Lazy, Optional, Timestamp, Uint, equal
from fairlead.tongues.cel.walking import Costs, insert

ERRORS: tuple[type[Exception], ...] = (
    Failed,
    LookupError,
    TypeError,
    ValueError,
    ArithmeticError,
    AttributeError,
    RecursionError,
)
"""What makes the fast way give up. Anything else is not the expression's, and passes."""

_DEEP = 12
"""How deep a Python expression may get before it is cut into functions."""
_COMPARED = {"_<_": "<", "_<=_": "<=", "_>_": ">", "_>=_": ">="}
_SUMS = {"_+_": "+", "_-_": "-", "_*_": "*"}
_PLAIN = frozenset({"string", "bytes", "null_type"})
_LONG: frozenset[Any] = frozenset({str, bytes, list})
_SIZED = frozenset({"string", "bytes", "list", "map"})


def _open(found: Any) -> Any:
    """Return what is in an optional, or raise."""
    if found.__class__ is not Optional:
        raise TypeError
    return found


def _searcher(pattern: str) -> Callable[[str], bool]:
    find = regexes.finder(pattern)

    def found(text: Any) -> bool:
        if text.__class__ is not str:
            raise TypeError
        return find(text)

    return found


def _raise(*_: Any) -> Any:
    raise TypeError


class Writer:
    """Writes one expression. `counted`: with the cost; `guarded`: so that errors are absorbed where they must be."""

    def __init__(
        self, functions: Mapping[str, Function], costs: Costs, *, counted: bool, guarded: bool = False
    ) -> None:
        self.functions = functions
        self.costs = costs
        self.counted = counted
        self.guarded = guarded
        self.scope: dict[str, Any] = {
            "Lazy": Lazy,
            "Optional": Optional,
            "NONE": NONE,
            "Uint": Uint,
            "Timestamp": Timestamp,
            "equal": equal,
            "has": o.has,
            "each": o.each,
            "pairs": o.pairs,
            "truth": o.truth,
            "index": o.index,
            "make_map": o.make_map,
            "make_list": o.make_list,
            "given": o.given,
            "insert": insert,
            "sorted_by": sorted_by,
            "fit": o.fit,
            "open_": _open,
            "wrong": _raise,
            "ERRORS": ERRORS,
            "TooCostly": TooCostly,
        }
        self.constants: dict[int, str] = {}
        self.parts: list[str] = []
        self.count = 0
        self.used: list[set[str]] = [set()]
        self.variables: dict[str, str] = {}
        self.level = 0

    def whole(self, node: Node) -> Callable[..., Any]:
        """Return the function of bindings and meter. It raises one of ERRORS where it gives up."""
        body = self.expression(node)
        lines = ["def run(b, m):"]
        lines += [f" {local} = b[{name!r}]" for name, local in self.variables.items()]
        lines.append(f" return {body}")
        source = "\n".join([*self.parts, *lines])
        exec(compile(source, "<cel>", "exec"), self.scope)  # noqa: S102  the source is written here, from a checked tree
        run: Callable[..., Any] = self.scope["run"]
        return run

    # --- names

    def fresh(self, prefix: str = "t") -> str:
        """Return a name that is not in use."""
        self.count += 1
        return f"{prefix}{self.count}"

    def constant(self, value: Any) -> str:
        """Return the name of a value that the source refers to."""
        name = self.constants.get(id(value))
        if name is None:
            name = self.constants[id(value)] = self.fresh("k")
            self.scope[name] = value
        return name

    def use(self, name: str) -> str:
        """Return a local name, remembered as one that the function being written needs."""
        self.used[-1].add(name)
        return name

    def part(self, param: str, value: str, own: list[str], lines: Callable[[], list[str]]) -> str:
        """Write a function of its own, and return a call of it with a value for its parameter; `own` are names that it binds."""
        self.used.append(set())
        kept, self.level = self.level, 0
        body = lines()
        self.level = kept
        free = sorted(self.used.pop() - {param, *own})
        for one in free:
            self.use(one)
        name = self.fresh("f")
        self.parts.append(f"def {name}({', '.join([param, *free])}):")
        self.parts += [f" {line}" for line in body]
        return f"{name}({', '.join([value, *free])})"

    def spending(self, cost: float | str) -> str:
        """Return what takes from the budget."""
        self.use("m")
        return f"m.spend({cost})"

    # --- nodes

    def expression(self, node: Node) -> str:
        """Return the Python expression of a node; one that is too deep becomes a call."""
        self.level += 1
        if self.level > _DEEP and not isinstance(node, (Literal_, Ident)):
            said = self.part("_", "None", [], lambda: [f"return {_WRITES[node.__class__](self, node)}"])
        else:
            said = _WRITES[node.__class__](self, node)
        self.level -= 1
        return said

    def truth(self, node: Node) -> str:
        """Return the expression of a truth value."""
        said = self.expression(node)
        return said if node.type is t.BOOL else f"truth({said})"

    def literal(self, node: Literal_) -> str:
        """Write a constant."""
        value = node.value
        if value is None or value.__class__ in {bool, str}:
            return repr(value)
        if value.__class__ is int:
            return f"({value})" if value < 0 else str(value)
        return self.constant(value)

    def ident(self, node: Ident) -> str:
        """Write a variable."""
        if node.local:
            return self.use(f"v_{node.name}")
        local = self.variables.get(node.name)
        if local is None:
            local = self.variables[node.name] = f"b{len(self.variables)}"
        self.use(local)
        return f"({local} if {local}.__class__ is not Lazy else {local}())"

    def select(self, node: Select) -> str:
        """Write a field."""
        operand = self.expression(node.operand)
        name = repr(node.field)
        if node.optional:
            self.scope["optional_select"] = o.optional_select
            said = f"optional_select({operand}, {name})"
            return f"{said}.present" if node.test else said
        if node.test:
            held = self.fresh()
            return f"({name} in {held} if ({held} := {operand}).__class__ is dict else has({held}, {name}))"
        if node.operand.type.sort == "opaque":
            self.scope["select"] = o.select
            return f"select({operand}, {name})"
        return f"{operand}[{name}]"

    def list_(self, node: ListOf) -> str:
        """Write a list."""
        items = ", ".join(map(self.expression, node.items))
        if node.optional:
            return f"make_list([{items}], {self.constant(node.optional)})"
        return f"[{items}]"

    def map_(self, node: MapOf) -> str:
        """Write a map."""
        keys = [key.value if isinstance(key, Literal_) else None for key, _, _ in node.entries]
        plain = all(isinstance(key, str) for key in keys) and len(set(keys)) == len(keys)
        if plain and not any(optional for _, _, optional in node.entries):
            return f"{{{', '.join(f'{key!r}: {self.expression(value)}' for key, (_, value, _) in zip(keys, node.entries, strict=True))}}}"
        return f"make_map({self.entries([(self.expression(key), value, optional) for key, value, optional in node.entries])})"

    def entries(self, entries: list[tuple[str, Node, bool]]) -> str:
        """Write the entries of a map or message."""
        made = [f"({key}, {self.expression(value)}, {optional})" for key, value, optional in entries]
        return f"given([{', '.join(made)}])"

    def struct(self, node: Struct) -> str:
        """Write a message literal."""
        maker: Maker | None = node.maker
        if maker is None:
            return "wrong()"
        made = self.entries([(repr(name), value, optional) for name, value, optional in node.entries])
        return f"{self.constant(maker)}.make(dict({made}))"

    def bind(self, node: Bind) -> str:
        """Write a binding as a function of it."""
        local = f"v_{node.name}"
        value = self.expression(node.value)
        return self.part(local, value, [], lambda: [f"return {self.expression(node.body)}"])

    # --- calls

    def call(self, node: Call) -> str:
        """Write a call."""
        name, args = node.name, node.args
        if name in {"_&&_", "_||_"} and self.guarded:
            return self.part("e", "None", [], lambda: self.absorbing(args, stop=name == "_||_"))
        if name in {"_&&_", "_||_"}:
            word = " and " if name == "_&&_" else " or "
            return f"({word.join(self.truth(one) for one in args)})"
        if name == "_?_:_":
            condition, then, other = args
            return f"({self.expression(then)} if {self.truth(condition)} else {self.expression(other)})"
        if name in {"or", "orValue"} and node.target is not None and len(args) == 1:
            held = self.fresh()
            found = f"{held}.value" if name == "orValue" else held
            return f"({found} if open_({held} := {self.expression(node.target)}).present else {self.expression(args[0])})"
        write = _OPERATORS.get(name)
        if write is not None:
            said = write(self, node)
            if said is not None:
                return said
        return self.plain(node)

    def absorbing(self, args: list[Node], *, stop: bool) -> list[str]:
        """Return the lines that try one operand after the other, and raise an error only if none decides."""
        lines: list[str] = []
        for one in args:
            lines += _tried(f"if {'' if stop else 'not '}{self.truth(one)}: return {stop}")
        return [*lines, "if e is not None: raise e", f"return {not stop}"]

    def plain(self, node: Call) -> str:
        """Write a call of the function itself."""
        name = node.name
        every = node.args if node.target is None else [node.target, *node.args]
        operator = o.OPERATORS.get(name)
        if operator is not None:
            call: Callable[..., Any] = operator
        elif node.overload is not None:
            call = node.overload.call
        else:
            function = self.functions.get(name)
            call = _raise if function is None else function.choosing(node.target is not None, len(every))
        args = [self.expression(one) for one in every]
        cost = self.costs.get(name) or call_cost(name)
        if self.counted and cost is not None:
            call = _concatenated if name == "_+_" else _counting(call, cost)
            args.insert(0, self.use("m"))
        return f"{self.constant(call)}({', '.join(args)})"

    def sum(self, node: Call) -> str | None:
        """Write +, - or * of numbers whose types are known."""
        left, right = node.args
        if left.type is t.INT and right.type is t.INT:
            held = self.fresh()
            made = f"{self.expression(left)} {_SUMS[node.name]} {self.expression(right)}"
            return f"({held} if {INT_MIN} <= ({held} := {made}) <= {INT_MAX} else fit({held}))"
        if left.type is t.DOUBLE and right.type is t.DOUBLE:
            return f"({self.expression(left)} {_SUMS[node.name]} {self.expression(right)})"
        return None

    def compared(self, node: Call) -> str | None:
        """Write a comparison of values whose types are known, or with a constant."""
        left, right = node.args
        sign = _COMPARED[node.name]
        known = {left.type.name, right.type.name}
        if len(known) == 1 and known <= {"int", "string", "bool", "double", "bytes"}:
            return f"({self.expression(left)} {sign} {self.expression(right)})"
        for one, other, turned in ((right, left, False), (left, right, True)):
            if isinstance(one, Literal_) and one.value.__class__ in {int, str} and other.type.sort == "dyn":
                held = self.fresh()
                kind = "int" if one.value.__class__ is int else "str"
                value = self.literal(one)
                pair = (value, held) if turned else (held, value)
                call = self.constant(o.OPERATORS[node.name])
                return (
                    f"({pair[0]} {sign} {pair[1]} if ({held} := {self.expression(other)}).__class__ is {kind} "
                    f"else {call}({pair[0]}, {pair[1]}))"
                )
        return None

    def same(self, node: Call) -> str | None:
        """Write == or !=."""
        left, right = node.args
        same = node.name == "_==_"
        sign = "==" if same else "!="
        for one, other in ((right, left), (left, right)):
            if not isinstance(one, Literal_):
                continue
            value = one.value
            said = self.expression(other)
            if value is None or value.__class__ is bool:
                return f"({said} {'is' if same else 'is not'} {value})"
            if value.__class__ is str and not (self.counted and len(value) > 100):
                return f"({said} {sign} {value!r})"
            if value.__class__ is int and (value not in {0, 1} or other.type is t.INT) and abs(value) < 2**53:
                return f"({said} {sign} {self.literal(one)})"
            if value.__class__ is int and abs(value) < 2**53:
                held, call = self.fresh(), self.constant(o.OPERATORS[node.name])
                return f"({held} {sign} {value} if ({held} := {said}).__class__ is int else {call}({held}, {value}))"
            return None
        known = {left.type.name, right.type.name}
        if known & _PLAIN and not self.counted:
            return f"({self.expression(left)} {sign} {self.expression(right)})"
        if len(known) == 1 and known <= {"int", "bool", "uint", "double", "string"} and not self.counted:
            return f"({self.expression(left)} {sign} {self.expression(right)})"
        if not self.counted:
            return f"({'' if same else 'not '}equal({self.expression(left)}, {self.expression(right)}))"
        return None

    def negated(self, node: Call) -> str:
        """Write !."""
        return f"(not {self.truth(node.args[0])})"

    def minus(self, node: Call) -> str | None:
        """Write a sign."""
        return f"(-{self.expression(node.args[0])})" if node.args[0].type is t.DOUBLE else None

    def index(self, node: Call) -> str:
        """Write an index."""
        where, key = node.args
        if key.type is t.STRING and where.type.sort in {"map", "dyn"}:
            return f"{self.expression(where)}[{self.expression(key)}]"
        if isinstance(key, Literal_) and key.value.__class__ is int and key.value >= 0:
            held = self.fresh()
            return (
                f"({held}[{key.value}] if ({held} := {self.expression(where)}).__class__ is list "
                f"else index({held}, {key.value}))"
            )
        return f"index({self.expression(where)}, {self.expression(key)})"

    def within(self, node: Call) -> str | None:
        """Write `in` of a list of constant texts."""
        item, where = node.args
        if isinstance(where, ListOf) and not where.optional:
            values = [one.value if isinstance(one, Literal_) else None for one in where.items]
            if values and all(one.__class__ is str for one in values):
                return f"({self.expression(item)} in {self.constant(frozenset(values))})"
        return None

    def sized(self, node: Call) -> str | None:
        """Write size()."""
        whole = [*([node.target] if node.target is not None else []), *node.args]
        if len(whole) != 1:
            return None
        one = whole[0]
        if one.type.name in _SIZED:
            return f"len({self.expression(one)})"
        if one.type.sort == "dyn":
            held = self.fresh()
            call = self.functions["size"].choosing(node.target is not None, 1)
            return (
                f"(len({held}) if ({held} := {self.expression(one)}).__class__ is list or {held}.__class__ is str "
                f"else {self.constant(call)}({held}))"
            )
        return None

    def texts(self, node: Call) -> str | None:
        """Write startsWith, endsWith and contains of a text that is known to be one, or may be."""
        if node.target is None or len(node.args) != 1 or node.args[0].type is not t.STRING:
            return None
        if node.target.type is not t.STRING and node.target.type.sort != "dyn":
            return None
        if self.counted and not isinstance(node.args[0], Literal_):
            return None
        held = self.fresh()
        if node.name == "contains":
            test = f"{self.expression(node.args[0])} in {held}"
        else:
            test = f"{held}.{node.name.lower()}({self.expression(node.args[0])})"
        return f"({test} if ({held} := {self.expression(node.target)}).__class__ is str else wrong())"

    def matched(self, node: Call) -> str | None:
        """Write matches() of a constant expression."""
        text, pattern = (
            (node.target, node.args[0]) if node.target is not None else (node.args[0], node.args[-1])
        )
        if not isinstance(pattern, Literal_) or pattern.value.__class__ is not str:
            return None
        try:
            search = _searcher(pattern.value)
        except regexes.BadPattern:
            return None
        if not self.counted:
            return f"{self.constant(search)}({self.expression(text)})"
        size, held = -(-len(pattern.value) // 4), self.fresh()
        cost = f"(len({held}) // 10 + 1) * {size}"
        return f"{self.constant(search)}(({held} := {self.expression(text)}, {self.spending(cost)})[0])"

    # --- comprehensions

    def fold(self, node: Fold) -> str:
        """Write a comprehension as a function of its source."""
        if node.kind in {"optMap", "optFlatMap"}:
            return self.opened(node)
        names = [f"v_{name}" for name in node.names]
        source = self.expression(node.source)
        two = len(names) == 2
        keyed = node.kind == "transformMap"

        def lines() -> list[str]:
            if two:
                head = f"for {names[0]}, {names[1]} in pairs(s):"
            elif node.source.type.sort in {"list", "map"} or keyed:
                head = f"for {names[0]} in s:"
            else:
                head = f"for {names[0]} in each(s):"
            before, body, after = self.step(node, names)
            if node.where is not None:
                body = [f"if {self.truth(node.where)}:", *(f" {line}" for line in body)]
            if self.counted:
                body = [self.spending(FIXED["step"] + _static(node.body) + _static(node.where)), *body]
            return [*before, head, *(f" {line}" for line in body), after]

        return self.part("s", source, names, lines)

    def step(self, node: Fold, names: list[str]) -> tuple[list[str], list[str], str]:
        """Return what stands before the loop, in it and after it."""
        kind = node.kind
        if kind in {"all", "exists"} and self.guarded:
            stop = kind == "exists"
            guarded = _tried(f"if {'' if stop else 'not '}{self.truth(node.body)}: return {stop}")
            return ["e = None"], guarded, f"if e is not None: raise e\n return {not stop}"
        if kind == "all":
            return [], [f"if not {self.truth(node.body)}: return False"], "return True"
        if kind == "exists":
            return [], [f"if {self.truth(node.body)}: return True"], "return False"
        if kind == "exists_one":
            return ["n = 0"], [f"if {self.truth(node.body)}: n += 1"], "return n == 1"
        if kind == "filter":
            return ["r = []"], [f"if {self.truth(node.body)}: r.append({names[-1]})"], "return r"
        body = self.expression(node.body)
        if kind in {"map", "transformList"}:
            return ["r = []"], [f"r.append({body})"], "return r"
        if kind == "transformMap":
            return ["r = {}"], [f"r[{names[0]}] = {body}"], "return r"
        if kind == "transformMapEntry":
            return ["r = {}"], [f"insert(r, {body})"], "return r"
        return ["r = []", "q = []"], [f"r.append({names[0]})", f"q.append({body})"], "return sorted_by(q, r)"

    def opened(self, node: Fold) -> str:
        """Write optMap() or optFlatMap()."""
        local = f"v_{node.names[0]}"
        source = self.expression(node.source)

        def lines() -> list[str]:
            body = self.expression(node.body)
            made = f"Optional({body})" if node.kind == "optMap" else f"open_({body})"
            return ["if not open_(s).present: return NONE", f"{local} = s.value", f"return {made}"]

        return self.part("s", source, [local], lines)


def _concatenated(meter: Any, left: Any, right: Any) -> Any:
    """Add, at the cost of what comes of it."""
    if left.__class__ is right.__class__ and left.__class__ in _LONG:
        meter.spend((len(left) + len(right) + 9) // 10)
    return o.add(left, right)


def _tried(line: str) -> list[str]:
    return ["try:", f" {line}", "except TooCostly: raise", "except ERRORS as x: e = x"]


def _counting(call: Callable[..., Any], cost: Callable[..., int]) -> Callable[..., Any]:
    def counted(meter: Any, *args: Any) -> Any:
        meter.room()
        made = call(*args)
        meter.spend(cost(args, made))
        return made

    return counted


def _static(node: Node | None) -> int:
    """Return what evaluating a node costs at most, but for what depends on the values and for inner loops."""
    if node is None:
        return 0
    if isinstance(node, Ident):
        return 1
    if isinstance(node, Select):
        return 1 + _static(node.operand)
    if isinstance(node, Call):
        return 1 + sum(map(_static, node.args)) + _static(node.target)
    if isinstance(node, ListOf):
        return FIXED["list"] + sum(map(_static, node.items))
    if isinstance(node, MapOf):
        return FIXED["map"] + sum(_static(key) + _static(value) for key, value, _ in node.entries)
    if isinstance(node, Struct):
        return FIXED["struct"] + sum(_static(value) for _, value, _ in node.entries)
    if isinstance(node, Fold):
        return _static(node.source)
    if isinstance(node, Bind):
        return _static(node.value) + _static(node.body)
    return 0


def static_cost(node: Node) -> int:
    """Return the part of an expression's cost that its values do not change."""
    return _static(node)


_OPERATORS: dict[str, Callable[[Writer, Call], str | None]] = {
    **dict.fromkeys(_SUMS, Writer.sum),
    **dict.fromkeys(_COMPARED, Writer.compared),
    "_==_": Writer.same,
    "_!=_": Writer.same,
    "!_": Writer.negated,
    "-_": Writer.minus,
    "_[_]": Writer.index,
    "@in": Writer.within,
    "size": Writer.sized,
    "startsWith": Writer.texts,
    "endsWith": Writer.texts,
    "contains": Writer.texts,
    "matches": Writer.matched,
}

_WRITES: dict[type[Node], Callable[[Writer, Any], str]] = {
    Literal_: Writer.literal,
    Ident: Writer.ident,
    Select: Writer.select,
    Call: Writer.call,
    ListOf: Writer.list_,
    MapOf: Writer.map_,
    Struct: Writer.struct,
    Fold: Writer.fold,
    Bind: Writer.bind,
}
