"""Names: every variable of a module is either its own rule's or a document's.

Names of rules and imports become references from `data` and `input`; variables that are declared (`some`, `:=`, arguments,
`every`) get names of their own (`x#3`), so that what comes later need not think of scopes; `:=`, `some ... in` become plain
unification. Finds what is declared twice, used before its declaration, or never used. Must never evaluate anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from .annotating import CALLS, Annotations
from .errors import BadModule
from .syntax import (
    Array,
    At,
    Body,
    Call,
    Comprehension,
    Every,
    Module,
    Object,
    Ref,
    Rule,
    Scalar,
    SetTerm,
    Some,
    SomeIn,
    Statement,
    Template,
    Term,
    Var,
    With,
)
from .values import type_name

ROOTS: Final = frozenset({"data", "input"})


def shown(name: str) -> str:
    """Return a variable's name as its author wrote it."""
    return "_" if name.endswith("$") else name.partition("#")[0]


def parts(term: Term) -> Iterator[Term]:
    """Yield the terms directly inside a term; closures' bodies are not looked into."""
    match term:
        case Ref():
            yield term.head
            yield from term.path
        case Array() | SetTerm():
            yield from term.items
        case Object():
            for key, value in term.items:
                yield key
                yield value
        case Call():
            yield from term.args
        case _:
            return


def inner_terms(what: Term | Some | SomeIn | Every) -> Iterator[Term]:
    """Yield the terms of a statement's content."""
    match what:
        case Some():
            yield from what.names
        case SomeIn():
            if what.key is not None:
                yield what.key
            yield what.value
            yield what.domain
        case Every():
            yield what.domain
        case _:
            yield what


def variables(term: Term, closures: bool = False) -> Iterator[Var]:
    """Yield the variables in a term; those inside comprehensions, templates and every-bodies only where asked."""
    pending = [term]
    while pending:
        found = pending.pop()
        if isinstance(found, Var):
            yield found
        elif closures and isinstance(found, Comprehension | Template):
            yield from closure_variables(found)
        else:
            pending.extend(parts(found))


def spine(call: Call) -> list[Call]:
    """Return the calls that a call's first argument is and has in turn, as a long chain of operators gives them."""
    found: list[Call] = []
    while call.args and isinstance(call.args[0], Call):
        call = call.args[0]
        found.append(call)
    return found


def closure_variables(term: Comprehension | Template) -> Iterator[Var]:
    """Yield every variable inside a comprehension or template, at any depth."""
    if isinstance(term, Template):
        for part in term.parts:
            if not isinstance(part, str):
                yield from statement_variables(part, closures=True)
        return
    if term.key is not None:
        yield from variables(term.key, closures=True)
    yield from variables(term.value, closures=True)
    for statement in term.body:
        yield from statement_variables(statement, closures=True)


def statement_variables(statement: Statement, closures: bool = False) -> Iterator[Var]:
    """Yield a statement's variables."""
    for term in inner_terms(statement.what):
        yield from variables(term, closures)
    for modifier in statement.withs:
        yield from variables(modifier.value, closures)
    if closures and isinstance(statement.what, Every):
        for inner in statement.what.body:
            yield from statement_variables(inner, closures=True)


@dataclass(slots=True)
class _Scope:
    """The names of one body. `declared` maps a name to its own name here; `coming` will be declared; `seen` was used."""

    declared: dict[str, str]
    coming: set[str]
    seen: set[str]


class Resolver:
    """Resolves the rules of one module (or a query): `globals` maps a name to the path of its document."""

    def __init__(self, file: str, names: Mapping[str, tuple[str, ...]], strict: bool) -> None:
        self.file = file
        self.globals = names
        self.strict = strict
        self.scopes: list[_Scope] = []
        self.count = 0
        self.errors: list[BadModule] = []
        self.used: set[str] = set()
        self.somes: dict[str, Var] = {}
        self.targets: list[Ref | Var] = []
        self.annotations: Callable[[], Annotations] | None = None
        self.current: Rule | None = None

    # Rules.

    def rule(self, rule: Rule) -> Rule:
        """Return a rule whose names are resolved."""
        scope = _Scope({}, set(), set())
        self.scopes = [scope]
        for arg in rule.args or ():
            for var in variables(arg):
                if var.name not in scope.declared:
                    self._declare(var, shadows=True)
        args = tuple([self.term(arg) for arg in rule.args]) if rule.args is not None else None
        return self._definition(rule, args)

    def _definition(self, rule: Rule, args: tuple[Term, ...] | None) -> Rule:
        first: Rule | None = None
        last: Rule | None = None
        one: Rule | None = rule
        while one is not None:
            made = self._alternative(one, args)
            if last is None:
                first = made
            else:
                last.otherwise = made
            last, one = made, one.otherwise
        assert first is not None
        return first

    def _alternative(self, rule: Rule, args: tuple[Term, ...] | None) -> Rule:
        self.current = rule
        self._enter(rule.body)
        self.somes = {}
        body = tuple([made for statement in rule.body for made in self.statement(statement)])
        made = replace(
            rule,
            body=body,
            args=args,
            ref=(rule.ref[0], *[self.term(step) for step in rule.ref[1:]]),
            key=self.term(rule.key) if rule.key is not None else None,
            value=self.term(rule.value),
            otherwise=None,
        )
        self._unused()
        self.scopes.pop()
        return made

    def query(self, body: Body) -> Body:
        """Return a query's statements with their names resolved."""
        self.scopes = []
        return self._body(body)

    def _unused(self) -> None:
        for name, var in self.somes.items():
            if name not in self.used:
                self._bad(f"declared var {var.name} unused", var.at)
        self.somes = {}

    def _bad(self, message: str, at: At) -> None:
        self.errors.append(BadModule(message, self.file, *at, code="rego_compile_error"))

    # Scopes.

    def _enter(self, body: Body) -> None:
        coming = {var.name for statement in body for var in _declared(statement)}
        self.scopes.append(_Scope({}, coming, set()))

    def _body(self, body: Body) -> Body:
        self._enter(body)
        found = tuple([made for statement in body for made in self.statement(statement)])
        self.scopes.pop()
        return found

    def _declare(self, var: Var, shadows: bool = False, what: str = "declared") -> Var:
        scope = self.scopes[-1]
        name = var.name
        if name.endswith("$"):
            return var
        if len(self.scopes) == 2 and name in self.scopes[0].declared and what != "declared":
            self._bad(f"arg {name} redeclared", var.at)
        if name in ROOTS and self.strict:
            self._bad(f"variables must not shadow {name} (use a different variable name)", var.at)
        if name in scope.declared and not shadows:
            self._bad(f"var {name} {what} above", var.at)
        elif name in scope.seen:
            self._bad(f"var {name} referenced above", var.at)
        self.count += 1
        own = f"{name}#{self.count}"
        scope.declared[name] = own
        return Var(own, var.at)

    def _name(self, var: Var) -> Term:
        """Return what a name stands for."""
        name = var.name
        if name.endswith("$"):
            return var
        if self.scopes and name not in self.scopes[-1].declared:
            self.scopes[-1].seen.add(name)
        for scope in reversed(self.scopes):
            if name in scope.declared:
                own = scope.declared[name]
                self.used.add(own)
                return Var(own, var.at)
            if name in scope.coming:
                return var
        path = self.globals.get(name)
        if path is None:
            return var
        self.used.add(name)
        return _document(path, var.at)

    # Statements.

    def statement(self, statement: Statement) -> list[Statement]:
        """Return what stands for a statement: nothing for a declaration."""
        what = statement.what
        made: Term | Some | SomeIn | Every
        match what:
            case Some():
                for var in what.names:
                    own = self._declare(var)
                    self.somes[own.name] = var
                return []
            case SomeIn():
                made = self._some_in(what)
            case Every():
                made = self._every(what)
            case Call(name="assign"):
                made = self._assign(what)
            case _:
                made = self.term(what)
        return [
            Statement(
                made, statement.negated, tuple([self._with(one) for one in statement.withs]), statement.at
            )
        ]

    def _some_in(self, some: SomeIn) -> Term:
        inside = {var.name for var in variables(some.domain, closures=True)}
        for pattern in (some.key, some.value):
            if pattern is not None:
                for var in variables(pattern):
                    if var.name not in inside and not self._is_known(var, some):
                        self._declare(var)
        domain = self.term(some.domain)
        key = self.term(some.key) if some.key is not None else self._wildcard(some.at)
        value = self.term(some.value)
        return Call("eq", (_longer(domain, key, some.at), value), some.at, ("eq",))

    def _is_known(self, var: Var, some: SomeIn) -> bool:
        """Say whether a pattern's variable is the head of a reference, which declares nothing."""
        return any(
            var is head for term in (some.key, some.value) if term is not None for head in _heads(term)
        )

    def _wildcard(self, at: At) -> Var:
        self.count += 1
        return Var(f"_#{self.count}$", at)

    def _every(self, every: Every) -> Every:
        domain = self.term(every.domain)
        self.scopes.append(_Scope({}, set(), set()))
        key = self._declare(every.key) if every.key is not None else None
        value = self._declare(every.value)
        for var, written in ((key, every.key), (value, every.value)):
            if var is not None and written is not None and not var.name.endswith("$"):
                self.somes[var.name] = written
        body = self._body(every.body)
        self.scopes.pop()
        return Every(key, value, domain, body, every.at)

    def _assign(self, call: Call) -> Term:
        left, right = call.args
        value = self.term(right)
        if isinstance(left, Ref | Scalar | Call | SetTerm | Comprehension | Template):
            kind = type_name(left.value) if isinstance(left, Scalar) else type(left).__name__.lower()
            kind = (
                f"{left.kind}comprehension" if isinstance(left, Comprehension) else kind.removesuffix("term")
            )
            self._bad(f"cannot assign to {kind}", call.at)
            return Call("eq", (self.term(left), value), call.at, ("eq",))
        heads = set(map(id, _heads(left)))
        for var in variables(left):
            if id(var) not in heads:
                self._declare(var, what="assigned")
        return Call("eq", (self.term(left), value), call.at, ("eq",))

    def _with(self, modifier: With) -> With:
        target = modifier.target
        head = target if isinstance(target, Var) else target.head
        assert isinstance(head, Var)
        path = target.path if isinstance(target, Ref) else ()
        start: Term = head if head.name in ROOTS or self._is_local(head.name) else self._name(head)
        if isinstance(start, Ref):
            made: Ref | Var = Ref(start.head, (*start.path, *path), target.at)
        else:
            made = Ref(start, path, target.at) if path else head
        self.targets.append(made)
        return With(made, self.term(modifier.value), modifier.at)

    def _is_local(self, name: str) -> bool:
        return any(name in scope.declared for scope in self.scopes)

    # Terms.

    def term(self, term: Term) -> Term:
        """Return a term whose names are resolved."""
        match term:
            case Scalar():
                return term
            case Var():
                return self._name(term)
            case Ref():
                head = self.term(term.head)
                path = tuple([self.term(step) for step in term.path])
                if isinstance(head, Ref):
                    return Ref(head.head, (*head.path, *path), term.at)
                return Ref(head, path, term.at)
            case Array():
                return Array(tuple([self.term(item) for item in term.items]), term.at)
            case SetTerm():
                return SetTerm(tuple([self.term(item) for item in term.items]), term.at)
            case Object():
                return Object(
                    tuple([(self.term(key), self.term(value)) for key, value in term.items]), term.at
                )
            case Call():
                made: Term | None = None
                for one in (*reversed(spine(term)), term):
                    made = self._call(one, made)
                assert made is not None
                return made
            case Template():
                return Template(
                    tuple([part if isinstance(part, str) else self._part(part) for part in term.parts]),
                    term.at,
                )
            case Comprehension():
                self._enter(term.body)
                body = tuple([made for statement in term.body for made in self.statement(statement)])
                key = self.term(term.key) if term.key is not None else None
                made = Comprehension(term.kind, key, self.term(term.value), body, term.at)
                self.scopes.pop()
                return made

    def _part(self, statement: Statement) -> Statement:
        self._enter(())
        (made,) = self.statement(statement)
        self.scopes.pop()
        return made

    def _call(self, call: Call, first: Term | None) -> Term:
        """Return a resolved call; its first argument may have been resolved before."""
        if (
            call.name in CALLS
            and len(call.args) < 2
            and self.current is not None
            and self.annotations is not None
        ):
            answer = self.annotations().answer(call.name, self.current)
            if not call.args:
                return answer
            return Call("eq", (answer, first or self.term(call.args[0])), call.at, ("eq",))
        given = () if first is None else (first,)
        args = (*given, *[self.term(arg) for arg in call.args[len(given) :]])
        path = self.globals.get(call.path[0])
        if path is None or self._is_local(call.path[0]):
            return Call(call.name, args, call.at, call.path)
        self.used.add(call.path[0])
        full = (*path, *call.path[1:])
        return Call(".".join(full), args, call.at, full)


def _declared(statement: Statement) -> Iterator[Var]:
    """Yield the variables that a statement declares."""
    match statement.what:
        case Some(names=names):
            yield from names
        case SomeIn(key=key, value=value, domain=domain):
            inside = {var.name for var in variables(domain, closures=True)}
            for pattern in (key, value):
                if pattern is not None:
                    yield from (var for var in _plain(pattern) if var.name not in inside)
        case Call(name="assign", args=args):
            yield from _plain(args[0])
        case _:
            return


def _plain(term: Term) -> Iterator[Var]:
    heads = set(map(id, _heads(term)))
    return (var for var in variables(term) if id(var) not in heads and not var.name.endswith("$"))


def _heads(term: Term) -> Iterable[Term]:
    """Yield the heads of the references in a pattern, and all that is inside their paths."""
    pending = [term]
    while pending:
        found = pending.pop()
        if isinstance(found, Ref | Call):
            yield from variables(found)
        else:
            pending.extend(parts(found))


def _longer(domain: Term, key: Term, at: At) -> Ref:
    if isinstance(domain, Ref):
        return Ref(domain.head, (*domain.path, key), at)
    return Ref(domain, (key,), at)


def _document(path: tuple[str, ...], at: At) -> Term:
    head = Var(path[0], at)
    return Ref(head, tuple([Scalar(step, at) for step in path[1:]]), at) if len(path) > 1 else head


def names_of(module: Module, rules: Mapping[tuple[str, ...], set[str]]) -> dict[str, tuple[str, ...]]:
    """Return what a module's global names stand for: its package's rules and its imports."""
    package = ("data", *module.package)
    found = {name: (*package, name) for name in rules.get(module.package, ())}
    for one in module.imports:
        if one.path[0] in ROOTS:
            found[one.alias] = one.path
    return found


def check_module(module: Module) -> list[BadModule]:
    """Return what a v1 module does wrong with the names `input` and `data`, and with its imports."""
    errors: list[BadModule] = []
    if module.version != "v1":
        return errors
    for rule in module.rules:
        head = rule.ref[0]
        if isinstance(head, Var) and head.name in ROOTS:
            message = f"rules must not shadow {head.name} (use a different rule name)"
            errors.append(BadModule(message, module.file, *rule.at, code="rego_compile_error"))
    seen: dict[str, tuple[str, ...]] = {}
    for one in module.imports:
        if one.path[0] not in ROOTS:
            continue
        if one.alias in seen:
            message = f"import must not shadow import {'.'.join(seen[one.alias])}"
            errors.append(BadModule(message, module.file, *one.at, code="rego_compile_error"))
        seen.setdefault(one.alias, one.path)
    return errors
