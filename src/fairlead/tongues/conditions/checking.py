"""One comparison -> the source of its test, by the types of what is compared. Refuses what Falco refuses, with its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from fairlead.tongues.conditions import matching
from fairlead.tongues.conditions.printing import show_operand
from fairlead.tongues.conditions.trees import BadCondition, Call, Check, FieldRef, Group, Value, Values
from fairlead.tongues.conditions.trees import Operand as Node
from fairlead.tongues.conditions.types import Many, Resolver, Type, UnknownField, constant, refusal


class NoSuchField(BadCondition):
    """A condition names a field that nobody knows, or gives it an argument that it does not take: `field` is its text."""

    def __init__(self, message: str, line: int, column: int, field: str) -> None:
        super().__init__(message, line, column)
        self.field = field


@dataclass(slots=True)
class Operand:
    """How the value of a field or a transformer is got, and of what type it is. `variable` is where a function keeps it."""

    type: Type
    many: Many
    code: str
    cost: int
    sure: bool
    computed: bool
    variable: str = ""


@dataclass(frozen=True, slots=True)
class Test:
    """The source of a test on a value that is there. `total`: it may be asked of None, and says no. `once`: it names the value once."""

    code: str
    total: bool = False
    once: bool = True


class Names(Protocol):
    """Where objects get names that the source can use."""

    def constant(self, value: Any) -> str:
        """Return the name of an object."""

    def operand(self, ref: FieldRef | Call) -> Operand:
        """Return what is known of an operand."""


def operand_of(
    ref: FieldRef | Call,
    resolver: Resolver,
    names: Callable[[Any], str],
    merge: Callable[[Mapping[str, Any]], None],
) -> Operand:
    """Return how a field or transformer is got. Raises NoSuchField, BadCondition."""
    if isinstance(ref, FieldRef):
        return _field(ref, resolver, merge, within=False)
    return _Transformers(resolver, names, merge).call(ref)


def _field(
    ref: FieldRef, resolver: Resolver, merge: Callable[[Mapping[str, Any]], None], *, within: bool
) -> Operand:
    try:
        field = resolver(ref)
    except UnknownField as unknown:
        raise NoSuchField(str(unknown), *ref.at, field=show_operand(ref)) from None
    if within and not field.transformed:
        raise BadCondition(f"field '{ref.name}' does not support transformers", *ref.at)
    merge(field.names)
    return Operand(field.type, field.many, field.code, field.cost, field.sure, field.computed)


@dataclass(slots=True)
class _Transformers:
    """Transformers over fields, as operands."""

    resolver: Resolver
    names: Callable[[Any], str]
    merge: Callable[[Mapping[str, Any]], None]

    def call(self, call: Call) -> Operand:
        if call.name in {"join", "concat"}:
            return self.several(call)
        if len(call.args) != 1:
            raise BadCondition(
                f"transformer '{call.name}' expects one argument but got {len(call.args)}", *call.at
            )
        inner = self.arg(call.args[0])
        if call.name == "len":
            return self.length(call, inner)
        wanted = {Type.TEXT, Type.BYTES} if call.name == "b64" else {Type.TEXT}
        if inner.type not in wanted:
            raise self.wrong(call, inner)
        function = self.names(
            {
                "tolower": matching.lower,
                "toupper": matching.upper,
                "basename": matching.basename,
                "b64": matching.decoded,
            }[call.name]
        )
        if inner.many is Many.ONE:
            return Operand(
                inner.type,
                Many.ONE,
                f"{function}({inner.code})",
                inner.cost + 1,
                inner.sure and call.name != "b64",
                computed=True,
            )
        code = f"list(map({function}, ({inner.code}) or ()))"
        return Operand(inner.type, inner.many, code, inner.cost + 1, sure=False, computed=inner.computed)

    def length(self, call: Call, inner: Operand) -> Operand:
        function = self.names(matching.length)
        if inner.many is not Many.LIST and inner.type not in {Type.TEXT, Type.BYTES}:
            raise self.wrong(call, inner)
        if inner.many in {Many.ANY, Many.BOTH}:
            code = f"list(map({function}, ({inner.code}) or ()))"
            return Operand(Type.INT, inner.many, code, inner.cost + 1, sure=False, computed=inner.computed)
        return Operand(
            Type.INT, Many.ONE, f"{function}({inner.code})", inner.cost + 1, inner.sure, computed=True
        )

    def several(self, call: Call) -> Operand:
        args = list(call.args)
        separator = '""'
        if call.name == "join":
            if len(args) != 2:
                raise BadCondition(f"transformer 'join' expects two arguments but got {len(args)}", *call.at)
            first = args.pop(0)
            if not isinstance(first, Value):
                raise BadCondition("transformer 'join' expects a string as its first argument", *call.at)
            separator = self.names(first.text)
            only = args[0]
            if not isinstance(only, Group):
                inner = self.arg(only)
                if inner.many is not Many.LIST:
                    raise BadCondition("transformer 'join' expects a list as its second argument", *call.at)
                code = (
                    f"{self.names(matching.joined_list)}({separator}, {inner.code}, {self.names(inner.type)})"
                )
                return Operand(Type.TEXT, Many.ONE, code, inner.cost + 1, sure=False, computed=True)
            args = list(only.items)
        elif len(args) < 2:
            raise BadCondition(
                f"transformer 'concat' expects two or more arguments but got {len(args)}", *call.at
            )
        inners = [self.arg(arg) for arg in args]
        if any(inner.many is Many.LIST for inner in inners):
            raise BadCondition(
                f"transformer '{call.name}' does not support fields of several values among its arguments",
                *call.at,
            )
        leading = self.names(matching.first)
        codes = "".join(
            f"{inner.code if inner.many is Many.ONE else f'{leading}({inner.code})'}, " for inner in inners
        )
        code = f"{self.names(matching.joined)}({separator}, ({codes}), {self.names(tuple(inner.type for inner in inners))})"
        return Operand(
            Type.TEXT,
            Many.ONE,
            code,
            1 + max((inner.cost for inner in inners), default=0),
            all(inner.sure for inner in inners),
            computed=True,
        )

    def arg(self, node: Node) -> Operand:
        if isinstance(node, Value):
            return Operand(Type.TEXT, Many.ONE, self.names(node.text), 0, sure=True, computed=True)
        if isinstance(node, Group):
            raise BadCondition("a list is no argument of this transformer", *node.at)
        return (
            self.call(node)
            if isinstance(node, Call)
            else _field(node, self.resolver, self.merge, within=True)
        )

    def wrong(self, call: Call, inner: Operand) -> BadCondition:
        listed = "list " if inner.many is Many.LIST else ""
        on = show_operand(call.args[0])
        return BadCondition(
            f"can't add field transformer: type '{inner.type}' is not supported by '{call.name}' transformer applied on {listed}field '{on}'",
            *call.at,
        )


def test_of(check: Check, x: str, y: str, names: Names) -> Test:
    """Return the test of a comparison, of the value that the source `x` gives and, where the right side is computed, `y`. Raises BadCondition."""
    left = names.operand(check.left)
    why = refusal(check.op, left.type, left.many)
    if why:
        raise BadCondition(f"{why} (field '{show_operand(check.left)}')", *check.at)
    if isinstance(check.right, FieldRef | Call):
        return _between(check, left, names.operand(check.right), x, y)
    found = []
    for value in (check.right,) if isinstance(check.right, Value) else check.right.items:
        try:
            found.append(constant(value.text, left.type, check.op))
        except ValueError as wrong:
            raise BadCondition(f"{wrong} (field '{show_operand(check.left)}')", *value.at) from None
    if not found:
        return Test("False", total=True, once=False)
    if left.many is Many.LIST:
        return _listed(check.op, left.type, found, x, names)
    try:
        single = _single(check, left.type, found, names)
    except ValueError as wrong:
        raise BadCondition(str(wrong), *check.right.at) from None
    if left.many is Many.ONE:
        return single(x)
    if check.op in {"=", "in"} and not check.mod and left.type is not Type.NETWORK:
        return Test(f"not {names.constant(frozenset(found))}.isdisjoint({x})")
    # As a rule there is one value, or the two ends of a connection: a generator only for more.
    first, last, one = single(f"{x}[0]").code, single(f"{x}[-1]").code, single("one").code
    if left.many is Many.BOTH and check.op == "!=":
        return Test(f"{first} and (len({x}) < 2 or ({last} and (len({x}) < 3 or all({one} for one in {x}))))")
    return Test(f"({first} or (len({x}) > 1 and ({last} or (len({x}) > 2 and any({one} for one in {x})))))")


def _listed(op: str, of: Type, found: list[Any], x: str, names: Names) -> Test:
    if of is Type.NETWORK:
        return Test(f"{'all' if op == 'in' else 'any'}(map({names.constant(matching.networks(found))}, {x}))")
    members = names.constant(frozenset(found))
    return Test(f"{members}.issuperset({x})" if op == "in" else f"not {members}.isdisjoint({x})")


def _single(check: Check, of: Type, found: list[Any], names: Names) -> Callable[[str], Test]:
    """The test of one value against constants. Raises ValueError over a pattern."""
    op, mod = check.op, check.mod
    if mod and of is not Type.NETWORK:
        if (op, mod) == ("=", "anyof"):
            op, mod = "in", ""
        elif (op, mod) == ("!=", "allof"):
            members = names.constant(frozenset(found))
            return lambda x: Test(f"{x} not in {members}")
        elif op in {"startswith", "endswith"} and mod == "anyof":
            starts = names.constant(tuple(found))
            return lambda x: Test(f"{x}.{op}({starts})")
    if mod:
        tests = names.constant(tuple(_predicate(op, of, value) for value in found))
        function = names.constant(
            {"oneof": matching.one_of, "anyof": matching.any_of, "allof": matching.all_of}[mod]
        )
        return lambda x: Test(f"{function}({tests}, {x})")
    if of is Type.NETWORK:
        networks = names.constant(matching.networks(found))
        return lambda x: Test(f"not {networks}({x})" if op == "!=" else f"{networks}({x})")
    if op in {"in", "intersects"} and len(found) > 1:
        members = names.constant(frozenset(found))
        return lambda x: Test(f"{x} in {members}", total=True)
    if op == "pmatch":
        prefixes = names.constant(matching.paths(found))
        return lambda x: Test(f"{prefixes}({x})")
    if op in {"glob", "iglob", "regex"}:
        matcher = names.constant(_predicate(op, of, found[0]))
        return lambda x: Test(f"{matcher}({x})")
    value = names.constant(matching.lower(found[0]) if op == "icontains" else found[0])
    lower = names.constant(matching.lower) if op == "icontains" else ""
    return lambda x: _plain(op, x, value, lower)


def _plain(op: str, x: str, value: str, lower: str) -> Test:
    match op:
        case "=" | "in" | "intersects":
            return Test(f"{x} == {value}", total=True)
        case "contains" | "bcontains":
            return Test(f"{value} in {x}")
        case "icontains":
            return Test(f"{value} in {lower}({x})")
        case "startswith" | "bstartswith":
            return Test(f"{x}.startswith({value})")
        case "endswith":
            return Test(f"{x}.endswith({value})")
        case _:
            return Test(f"{x} {op} {value}")


def _predicate(op: str, of: Type, value: Any) -> Callable[[Any], bool]:
    """A function for one comparison with one constant. Raises ValueError over a pattern."""
    if of is Type.NETWORK:
        inside = matching.networks([value])
        return (lambda x: not inside(x)) if op == "!=" else inside
    match op:
        case "=":
            return lambda x: bool(x == value)
        case "!=":
            return lambda x: bool(x != value)
        case "contains" | "bcontains":
            return lambda x: value in x
        case "icontains":
            folded = matching.lower(value) or ""
            return lambda x: folded in (matching.lower(x) or "")
        case "startswith" | "bstartswith":
            return lambda x: bool(x.startswith(value))
        case "endswith":
            return lambda x: bool(x.endswith(value))
        case "regex":
            return matching.regex(value)
        case _:
            return matching.glob(value, op == "iglob")


def _between(check: Check, left: Operand, right: Operand, x: str, y: str) -> Test:
    """The test of two computed values."""
    op, at = check.op, check.right.at
    if op in {"pmatch", "regex"}:
        raise BadCondition(f"operator '{op}' doesn't support right-hand side fields", *at)
    if left.type is Type.NETWORK:
        raise BadCondition("field type 'IPNET' doesn't support right-hand side fields", *at)
    assert isinstance(check.right, FieldRef | Call)
    names = show_operand(check.left), show_operand(check.right)
    if not left.computed:
        raise BadCondition(f"field '{names[0]}' doesn't support right-hand side fields", *at)
    if not right.computed:
        raise BadCondition(f"field '{names[1]}' can't be used as a right-hand side field", *at)
    kinds = [f"{one.type}{' (list)' if one.many is Many.LIST else ''}" for one in (left, right)]
    numbers = "(list)" not in "".join(kinds) and {left.type, right.type} <= {Type.INT, Type.PORT}
    if kinds[0] != kinds[1] and not numbers:
        raise BadCondition(
            f"field '{names[0]}' has type '{kinds[0]}' while the right-hand side field '{names[1]}' has incompatible type '{kinds[1]}'",
            *at,
        )
    if left.many is Many.LIST:
        return Test(
            f"frozenset({y}).issuperset({x})" if op == "in" else f"not frozenset({y}).isdisjoint({x})"
        )
    several = [(one, name) for one, name in ((left, x), (right, y)) if one.many is not Many.ONE]
    if not several:
        return Test(_computed(op, x, y))
    whole = "all" if op == "!=" and any(one.many is Many.BOTH for one, _ in several) else "any"
    loops = " ".join(f"for {'one' if one is left else 'other'} in {name}" for one, name in several)
    test = _computed(op, x if left.many is Many.ONE else "one", y if right.many is Many.ONE else "other")
    return Test(f"{whole}({test} {loops})")


def _computed(op: str, x: str, y: str) -> str:
    match op:
        case "=" | "in" | "intersects":
            return f"{x} == {y}"
        case "contains" | "bcontains":
            return f"{y} in {x}"
        case "icontains":
            return f"matching.lower({y}) in matching.lower({x})"
        case "startswith" | "bstartswith":
            return f"{x}.startswith({y})"
        case "endswith":
            return f"{x}.endswith({y})"
        case "glob" | "iglob":
            return f"matching.glob({y}, {op == 'iglob'})({x})"
        case _:
            return f"{x} {op} {y}"


def values_of(check: Check) -> tuple[Value, ...]:
    """Return the constants of a comparison, () where the right side is computed."""
    if isinstance(check.right, Value):
        return (check.right,)
    return check.right.items if isinstance(check.right, Values) else ()
