"""Modules -> a program: checked as OPA checks, compiled once, asked often.

`compile` raises BadModule or BadModules for what no evaluation could mend; queries raise Failed. Must never touch the world:
time and randomness are handed in with each question.
"""

from __future__ import annotations

import builtins as python
import functools
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from . import running, values
from .annotating import Annotations, gathered
from .assembling import Assembler
from .builtins import BUILTINS, Builtin, BuiltinError, Context
from .checking import Checker
from .errors import BadModule, BadModules, Failed
from .grouping import Path, dotted, grouped, whole
from .memoising import remember
from .parsing import parse, parse_query, parse_term
from .resolving import Resolver, check_module, names_of
from .running import Budget, Lazy, Mock, Node, State, document
from .syntax import Import, Module, Ref, Rule, Scalar, Var
from .values import UNDEFINED, Value
from .writing import Function, NotYet, Unit, constant

_compile: Final = python.compile
_ONCE: Final = (None,)
_NAMES: Final[dict[str, Any]] = {
    "U": UNDEFINED,
    "ONCE": _ONCE,
    "NOTHING_YET": running.NOTHING_YET,
    "COLLECTIONS": frozenset({list, dict, values.Set}),
    "Set": values.Set,
    "Branch": running.Branch,
    "Lazy": Lazy,
    "Mock": Mock,
    "BuiltinError": BuiltinError,
    "box": values.box,
    "key": values.key,
    "loose_key": values.loose_key,
    "equal": values.equal,
    "less": running.arithmetic_less,
    "at_most": running.arithmetic_at_most,
    "failed": running.builtin_failed,
    "call_mock": running.call_mock,
    "conflict": running.conflict,
    "document": running.document,
    "each": running.each,
    "each_in_order": running.each_in_order,
    "force": running.force,
    "interpolated": running.interpolated,
    "items": running.items,
    "items_in_order": running.items_in_order,
    "member": running.member,
    "member_with_key": running.member_with_key,
    "printed": running.printed,
    "put": running.put,
    "step": running.step,
    "step_base": running.step_base,
    "walked": running.walked,
}

Bindings = dict[str, Value]


class Program:
    """Compiled modules. `query` asks for a document, `prepare` compiles any query."""

    def __init__(self, modules: Iterable[Module], builtins: Mapping[str, Builtin]) -> None:
        self._modules = tuple(modules)
        self._builtins = builtins
        self._asked: dict[str, Callable[[State], Any]] = {}
        self._mocked: frozenset[str] = frozenset()
        self._checker = Checker()
        self._names = _rule_names(self._modules)
        errors: list[BadModule] = []
        self._rules, self._targets = _resolved(self._modules, self._names, errors)
        if errors:
            raise _together(errors)
        self._build(errors)

    def _build(self, errors: list[BadModule]) -> None:
        """Write and load the code; again when a query mocks what no module does."""
        groups, functions, conflicts = grouped(self._rules)
        errors.extend(conflicts)
        if errors:
            raise _together(errors)
        self._tree = Node(())
        for module in self._modules:
            self._tree.reach(module.package)
        for path in functions:
            self._tree.reach(path[:-1])
        for number, group in enumerate(groups):
            self._tree.reach(group.path).number = number
        known = {
            path: Function(path, len(rules[0].args or ()), f"f{number}")
            for number, (path, rules) in enumerate(functions.items())
        }
        self._unit = Unit(self._tree, known, self._builtins)
        self._unit.names.update(_NAMES)
        self._unit.size = len(groups)
        self._unit.generals = {group.path: group for group in groups if group.kind == "general"}
        self._unit.strict = frozenset(module.file for module in self._modules if module.version == "v1")
        self._unit.mocked = self._mocked | _mocked(self._targets, self._unit)
        assembler = Assembler(self._unit)
        for number, group in enumerate(groups):
            assembler.group(group, number)
        for path, rules in functions.items():
            assembler.function(path, rules)
        for (path, places), number in self._unit.parts.items():
            assembler.part(self._unit.generals[path], self._tree.reach(path).number, places, number)
        self._unit.generals = {}
        errors.extend(assembler.errors)
        errors.extend(_recursions(assembler.needs, self._rules))
        if not errors:
            errors.extend(self._checker.program(groups, functions, assembler.needs))
        if errors:
            raise _together(errors)
        self._load(assembler.lines)
        remember(self._unit.names, functions, self._builtins)
        for number, group in enumerate(groups):
            self._tree.reach(group.path).rule = self._unit.names[f"r{number}"]
        self.source = "\n".join(assembler.lines)

    def _load(self, lines: list[str]) -> None:
        code = _compile("\n".join(lines) + "\n", "<rego>", "exec")
        exec(code, self._unit.names)  # noqa: S102  the text is generated from checked syntax, see writing

    def query(
        self,
        path: str,
        input: Value = UNDEFINED,  # noqa: A002  as Rego calls it
        data: Value = None,
        **how: Any,
    ) -> Value:
        """Return the document at a path such as "data.x.violation", or UNDEFINED.

        `how`: now_ns, seed, budget (steps), strict (errors of built-ins fail the evaluation), context. Raises Failed, TooCostly.
        """
        ask = self._asked.get(path) or self._path(path)
        return _run(ask, self.state(input, data, **how))

    def _path(self, path: str) -> Callable[[State], Value]:
        body = parse_query(path)
        what = body[0].what
        if len(body) != 1 or not isinstance(what, Ref | Var):
            raise BadModule(f"{path} is no path of a document", code="rego_parse_error")
        steps = (
            [step.value for step in what.path if isinstance(step, Scalar)] if isinstance(what, Ref) else []
        )
        head = what.head if isinstance(what, Ref) else what
        if not isinstance(head, Var) or head.name != "data" or len(steps) != len(getattr(what, "path", ())):
            raise BadModule(f"{path} is no path of a document", code="rego_parse_error")
        node, rest = self._tree, tuple(steps)
        while rest and node.number < 0 and rest[0] in node.children:
            node, rest = node.children[rest[0]], rest[1:]

        def ask(state: State) -> Value:
            if rest and node.number < 0:
                return running.walk_path(state.base, steps)
            return running.walk_path(document(state, node), rest)

        self._asked[path] = ask
        return ask

    def state(
        self,
        given: Value = UNDEFINED,
        data: Value = None,
        *,
        now_ns: int = 0,
        seed: int | str | bytes = 0,
        budget: int | None = None,
        strict: bool = False,
        context: Context | None = None,
    ) -> State:
        """Return the state of a new evaluation."""
        limit = Budget(budget)
        made = context or Context(now_ns=now_ns, seed=seed)
        made.spend = limit.spend
        return State(self._tree, self._unit.size, given, {} if data is None else data, made, limit, strict)

    def prepare(
        self, text: str, package: str = "", imports: Iterable[str] = (), version: str = "v1"
    ) -> Callable[..., list[Bindings]]:
        """Return a function `(input, data, **how)` that gives the bindings of a query's variables, a dict a solution."""
        body = parse_query(text, "", version)
        module = Module("", tuple(package.split(".")[1:] if package else ()))
        module.imports.extend(Import(tuple(one.split(".")), one.rpartition(".")[2]) for one in imports)
        resolver = Resolver("", names_of(module, self._names), strict=version == "v1")
        resolved = resolver.query(body)
        if resolver.errors:
            raise _together(resolver.errors)
        mocked = _mocked(resolver.targets, self._unit)
        if not mocked <= self._unit.mocked:
            self._mocked = self._unit.mocked | mocked
            self._asked.clear()
            self._build([])
        assembler = Assembler(self._unit)
        name = f"q{self._unit.count}"
        assembler.query(name, resolved, "")
        if wrong := assembler.errors or self._checker.query(resolved):
            raise _together(wrong)
        self._load(assembler.lines)
        ask = self._unit.names[name]

        def run(given: Value = UNDEFINED, data: Value = None, **how: Any) -> list[Bindings]:
            found: list[Bindings] = _run(ask, self.state(given, data, **how))
            return found

        return run


def _run(ask: Callable[[State], Any], state: State) -> Any:
    try:
        found = ask(state)
        if type(found) is values.Set and found.items:
            return found  # its elements have their keys: nobody who goes through them can fail
        return found
    except RecursionError:
        raise Failed("eval_internal_error", "the evaluation or a document is nested too deeply") from None
    except MemoryError:
        raise Failed("eval_internal_error", "the evaluation takes more memory than there is") from None


def compile(  # noqa: A001  as Rego's users call it
    modules: Mapping[str, str | Module], version: str = "v1", builtins: Mapping[str, Builtin] | None = None
) -> Program:
    """Return the program of modules (file name -> text or parsed module). Raises BadModule or BadModules.

    `builtins` are added to OPA's own, or replace them.
    """
    parsed: list[Module] = []
    errors: list[BadModule] = []
    for file, module in modules.items():
        try:
            parsed.append(parse(module, file, version) if isinstance(module, str) else module)
        except BadModule as error:
            errors.extend(error.errors)
    if errors:
        raise _together(errors)
    try:
        return Program(parsed, BUILTINS if builtins is None else _Overlaid(builtins))
    except RecursionError:
        raise BadModule("max nesting depth reached", next(iter(modules), ""), 1, 1) from None


class _Overlaid(dict[str, Builtin]):
    """Given built-ins over OPA's own."""

    def __missing__(self, name: str) -> Builtin:
        return BUILTINS[name]

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in BUILTINS


def _together(errors: list[BadModule]) -> BadModule:
    unique = {(error.file, error.line, error.column, error.code, error.message): error for error in errors}
    ordered = [unique[place] for place in sorted(unique)]
    return ordered[0] if len(ordered) == 1 else BadModules(ordered)


def _rule_names(modules: Iterable[Module]) -> dict[Path, set[str]]:
    names: dict[Path, set[str]] = {}
    for module in modules:
        found = names.setdefault(module.package, set())
        for rule in module.rules:
            head = rule.ref[0]
            assert isinstance(head, Var)
            found.add(head.name)
    return names


def _resolved(
    modules: Sequence[Module], names: Mapping[Path, set[str]], errors: list[BadModule]
) -> tuple[list[Rule], list[Ref | Var]]:
    rules: list[Rule] = []
    targets: list[Ref | Var] = []

    @functools.cache
    def annotations() -> Annotations:
        found, wrong = gathered(modules)
        errors.extend(wrong)
        return found

    for module in modules:
        resolver = Resolver(module.file, names_of(module, names), strict=module.version == "v1")
        resolver.annotations = annotations
        rules.extend([resolver.rule(rule) for rule in module.rules])
        errors.extend([*check_module(module), *resolver.errors])
        targets.extend(resolver.targets)
    return rules, targets


def _mocked(targets: Iterable[Ref | Var], unit: Unit) -> frozenset[str]:
    """Return the functions that modifiers replace."""
    found: set[str] = set()
    for target in targets:
        head = target.head if isinstance(target, Ref) else target
        if not isinstance(head, Var):
            continue
        path = tuple(str(step.value) for step in getattr(target, "path", ()) if isinstance(step, Scalar))
        name = ".".join((head.name, *path))
        if (head.name == "data" and path in unit.functions) or (
            head.name != "data" and name in unit.builtins
        ):
            found.add(name)
    return frozenset(found)


def _recursions(needs: Mapping[Path, set[Path]], rules: Iterable[Rule]) -> list[BadModule]:
    """Return an error for each document or function that needs itself."""
    places: dict[Path, Rule] = {}
    for rule in rules:
        head = rule.ref[0]
        assert isinstance(head, Var)
        path = (*rule.package, head.name, *[step.value for step in rule.ref[1:] if isinstance(step, Scalar)])
        for length in range(len(rule.package) + 1, len(path) + 1):
            places.setdefault(path[:length], rule)
    errors: list[BadModule] = []
    for start in needs:
        route = _cycle(start, needs)
        if route:
            named = [whole(path) for path in route]
            rule = places[named[0]]
            shown = [path for path, _ in itertools.groupby(named)]
            told = " -> ".join(map(dotted, shown if len(shown) > 1 else shown * 2))
            message = f"rule {dotted(named[0])} is recursive: {told}"
            errors.append(BadModule(message, rule.file, *rule.at, code="rego_recursion_error"))
    return errors


def _cycle(start: Path, needs: Mapping[Path, set[Path]]) -> list[Path]:
    """Return the shortest way from a path back to itself, or nothing."""
    came: dict[Path, Path] = {}
    front = [start]
    while front:
        following: list[Path] = []
        for path in front:
            for other in sorted(needs.get(path, ())):
                if other == start:
                    return _route(start, path, came)
                if other not in came:
                    came[other] = path
                    following.append(other)
        front = following
    return []


def _route(start: Path, last: Path, came: Mapping[Path, Path]) -> list[Path]:
    route = [start]
    while last != start:
        route.append(last)
        last = came[last]
    return [start, *reversed(route)]


def read_value(text: str) -> Value:
    """Return the value that is written as a Rego term, which may hold sets and any keys. Raises BadModule."""
    try:
        return constant(parse_term(text))
    except NotYet:
        raise BadModule("not a value", "", 1, 1) from None
