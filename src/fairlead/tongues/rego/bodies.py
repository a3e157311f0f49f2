"""Rego bodies -> Python: statements in an order in which every variable is bound before it is needed, closures, modifiers.

Raises Unsafe when no order works. Must never evaluate anything itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from .errors import BadModule, BadModules
from .expressions import Expressions, is_condition
from .resolving import ROOTS, closure_variables, inner_terms, parts, shown, statement_variables
from .running import Mock
from .syntax import (
    Array,
    Body,
    Call,
    Comprehension,
    Every,
    Object,
    Ref,
    Scalar,
    SetTerm,
    Statement,
    Template,
    Term,
    Var,
    With,
)
from .writing import NotYet


def unsafe(names: Sequence[Var], file: str) -> BadModule:
    """Return the error for variables that nothing binds."""
    found = {var.name: var for var in names}
    return BadModules(
        [
            BadModule(f"var {shown(var.name)} is unsafe", file, *var.at, code="rego_unsafe_var_error")
            for var in found.values()
        ]
    )


def _closures(statement: Statement) -> Iterator[Var]:
    """Yield the variables inside a statement's closures."""
    what = statement.what
    if isinstance(what, Every):
        local = {var.name for var in (what.key, what.value) if var is not None}
        for inner in what.body:
            for var in statement_variables(inner, closures=True):
                if var.name not in local:
                    yield var
    pending: list[Term] = [*inner_terms(what), *[modifier.value for modifier in statement.withs]]
    while pending:
        term = pending.pop()
        if isinstance(term, Comprehension | Template):
            yield from closure_variables(term)
        else:
            pending.extend(parts(term))


class Bodies(Expressions):
    """Writes bodies."""

    def body(self, statements: Body) -> None:
        """Write statements; what is written after them runs once for each solution. Raises NotYet or BadModule."""
        pending = list(statements)
        outer = {id(statement): {var.name for var in statement_variables(statement)} for statement in pending}
        users = Counter(name for names in outer.values() for name in names)
        inner = {id(statement): list(_closures(statement)) for statement in pending}
        while pending:
            waiting: list[Var] = []
            for statement in pending:
                mark = self.mark()
                try:
                    self._closed(inner[id(statement)], outer[id(statement)], users)
                    self.statement(statement)
                except NotYet as error:
                    self.back(mark)
                    waiting.extend(error.names)
                else:
                    users.subtract(outer[id(statement)])
                    pending.remove(statement)
                    break
            else:
                raise NotYet(*waiting)

    def _closed(self, inside: Sequence[Var], mine: set[str], users: Mapping[str, int]) -> None:
        """Raise NotYet while a variable inside a closure will be bound by another statement."""
        for var in inside:
            if var.name in self.bound or var.name in ROOTS:
                continue
            if users.get(var.name, 0) > (var.name in mine):
                raise NotYet(var)

    def statement(self, statement: Statement) -> None:
        """Write one statement."""
        before = self.state
        if statement.withs:
            self.state = self._modified(statement.withs)
        if statement.negated:
            self._negated(statement)
        else:
            self._plain(statement)
        self.state = before

    def _plain(self, statement: Statement) -> None:
        what = statement.what
        if isinstance(what, Every):
            self._every(what)
        else:
            self.condition(what)  # type: ignore[arg-type]  # the statements that are no terms were taken out before

    # Modifiers.

    def _modified(self, withs: Sequence[With]) -> str:
        changes: list[str] = []
        for modifier in withs:
            target = modifier.target
            path = self._target(target, modifier)
            if isinstance(target, Ref) and isinstance(target.head, Var) and target.head.name == "input":
                changes.append(f"('input', {path!r}, {self.value(modifier.value)})")
            elif isinstance(target, Var) and target.name == "input":
                changes.append(f"('input', (), {self.value(modifier.value)})")
            elif isinstance(target, Var) and target.name == "data":
                changes.append(f"('data', (), {self.value(modifier.value)})")
            elif self._is_function(target, path):
                name = (
                    ".".join(("data", *path)) if _head(target) == "data" else ".".join((_head(target), *path))
                )
                changes.append(f"('mock', ({name!r},), {self._mock(modifier, self._arity_of(name))})")
            elif _head(target) == "data":
                self._check_whole(path, modifier)
                changes.append(f"('data', {path!r}, {self.value(modifier.value)})")
            else:
                raise self._bad_target(modifier)
        return self.let(f"{self.state}.overridden(({', '.join(changes)},))")

    def _bad_target(self, modifier: With) -> BadModule:
        return BadModule(
            "with keyword target must reference existing input, data, or a function",
            self.file,
            *modifier.at,
            code="rego_type_error",
        )

    def _target(self, target: Ref | Var, modifier: With) -> tuple[str, ...]:
        path = target.path if isinstance(target, Ref) else ()
        names: list[str] = []
        for step in path:
            if not isinstance(step, Scalar) or type(step.value) is not str:
                raise self._bad_target(modifier)
            names.append(step.value)
        return tuple(names)

    def _is_function(self, target: Ref | Var, path: tuple[str, ...]) -> bool:
        head = _head(target)
        if head == "data":
            return path in self.unit.functions
        return ".".join((head, *path)) in self.unit.builtins

    def _check_whole(self, path: tuple[str, ...], modifier: With) -> None:
        node = self.unit.tree
        for place, step in enumerate(path):
            if step not in node.children:
                return
            node = node.children[step]
            if node.number >= 0 and place < len(path) - 1:
                raise BadModule(
                    "with keyword cannot partially replace virtual document(s)",
                    self.file,
                    *modifier.at,
                    code="rego_compile_error",
                )

    def _arity_of(self, name: str) -> int:
        function = self.unit.functions.get(tuple(name.split(".")[1:])) if name.startswith("data.") else None
        return function.arity if function is not None else self.unit.builtins[name].arity

    def _mock(self, modifier: With, arity: int) -> str:
        """Write what stands in for a function: another function, or a value."""
        term = modifier.value
        if isinstance(term, Ref | Var):
            path = tuple(step.value for step in getattr(term, "path", ()) if isinstance(step, Scalar))
            head = _head(term)
            name = ".".join((head, *map(str, path)))
            if head == "data" and path in self.unit.functions:
                self.needs.add(path)
                self._same_arity(name, self.unit.functions[path].arity, arity, modifier)
                return f"Mock({self.unit.functions[path].name})"
            if head not in {"data", "input"} and head not in self.bound and name in self.unit.builtins:
                self._same_arity(name, self.unit.builtins[name].arity, arity, modifier)
                call = self.unit.builtins[name].call
                return self.unit.constant(Mock(lambda state, *args: call(state.context, *args)))
        return self.value(term)

    def _same_arity(self, name: str, got: int, wanted: int, modifier: With) -> None:
        if got != wanted:
            raise BadModule(f"{name}: arity mismatch", self.file, *modifier.at, code="rego_type_error")

    # Closures.

    def _inside(self, flags: tuple[str, ...], ordered: bool) -> tuple[int, int, bool, bool, tuple[str, ...]]:
        """Open a closure; return what `_outside` needs to close it."""
        kept = (len(self.blocks), len(self.trail), self.ordered, self.fixed, self.flags)
        self.flags = (*self.flags, *flags)
        self.ordered, self.fixed = ordered, False
        return kept

    def _outside(self, kept: tuple[int, int, bool, bool, tuple[str, ...]], stop: str = "") -> None:
        depth, trail, self.ordered, self.fixed, self.flags = kept
        self.close(depth, stop)
        self.forget(trail)

    def _once(self) -> None:
        looped = self.looped
        self.open("for _ in ONCE:")
        self.looped = looped

    def _succeed(self, flag: str, value: str) -> None:
        self.write(f"{flag} = {value}")
        self.write("break" if self.in_loop else "return")

    def _negated(self, statement: Statement) -> None:
        """Write a negation. What its calls are given is computed before it, as OPA does, and must be defined."""
        assert not isinstance(statement.what, Every)
        missing = [var for var in _direct(statement.what) if var.name not in self.bound]  # type: ignore[arg-type]
        if missing:
            raise NotYet(*missing)
        what = self._lifted(statement.what)  # type: ignore[arg-type]
        if isinstance(what, Call) and self._is_plain(what):
            name = self._invoke(what, self.values(what.args))
            self.refuse(f"{name} is not U and {name} is not False")
            return
        statement = Statement(what, at=statement.at)
        flag = self.let("True")
        looped = self.looped
        kept = self._inside((flag,), ordered=False)
        self._once()
        self.fixed = True
        self._plain(statement)
        self._succeed(flag, "False")
        self._outside(kept, f"not {flag}")
        self.looped = looped
        self.require(flag)

    def _is_plain(self, call: Call) -> bool:
        """Say whether a call has one result and nothing unbound."""
        if (
            call.name in {"eq", "equal", "print", "walk"}
            or self._mocked(call)
            or len(call.args) != self._arity(call)
        ):
            return False
        if call.path[0] != "data" and (is_condition(call) or self.unit.builtins[call.name].relation):
            return False
        return not any(self.unbound(arg) for arg in call.args)

    def _lifted(self, what: Term) -> Term:
        """Write the terms inside a negated one that are computed before it; return it with their names instead."""
        if isinstance(what, Call) and what.name not in {"eq", "equal"}:
            return Call(what.name, tuple([self._lift(arg) for arg in what.args]), what.at, what.path)
        if isinstance(what, Call):
            return Call(what.name, tuple([self._lift_inside(arg) for arg in what.args]), what.at, what.path)
        return self._lift_inside(what)

    def _lift_inside(self, term: Term) -> Term:
        if isinstance(term, Ref):
            head = term.head if isinstance(term.head, Var) else self._lift(term.head)
            return Ref(head, tuple([self._lift(step) for step in term.path]), term.at)
        return term if isinstance(term, Comprehension) else self._lift(term)

    def _lift(self, term: Term) -> Term:
        match term:
            case Ref() | Comprehension() | Call() | Template():
                lifted = Var(f"lifted#{self.fresh()}", term.at)
                self.bind(lifted, self.value(term))
                return lifted
            case Var() if term.name in ROOTS and term.name not in self.bound:
                return self._lift(Ref(term, (), term.at))
            case Array():
                return Array(tuple([self._lift(item) for item in term.items]), term.at)
            case SetTerm():
                return SetTerm(tuple([self._lift(item) for item in term.items]), term.at)
            case Object():
                pairs = [(self._lift(name), self._lift(item)) for name, item in term.items]
                return Object(tuple(pairs), term.at)
            case _:
                return term

    def _every(self, every: Every) -> None:
        domain = self.value(every.domain)
        self.require(f"type({domain}) in COLLECTIONS")
        flag = self.let("True")
        looped = self.looped
        outer = self._inside((flag,), ordered=False)
        item = self.fresh()
        if every.key is not None:
            key = self.fresh()
            self.open(f"for {key}, {item} in items({self.state}, {domain}):")
            self.bind(every.key, key)
        else:
            self.open(f"for {item} in each({self.state}, {domain}):")
        self.bind(every.value, item)
        good = self.let("False")
        kept = self._inside((good,), ordered=False)
        self._once()
        self.body(every.body)
        self._succeed(good, "True")
        self._outside(kept, good)
        self.write(f"if not {good}:")
        self.write(f" {flag} = False")
        self.write(" break")
        self._outside(outer)
        self.looped = looped
        self.require(flag)

    def comprehension(self, term: Comprehension) -> str:
        """Write a comprehension."""
        found = self.let("[]" if term.kind == "array" else "{}")
        looped = self.looped
        kept = self._inside((), ordered=term.kind == "array")
        self._once()
        self.body(term.body)
        if term.kind == "array":
            self.write(f"{found}.append({self.value(term.value)})")
        elif term.kind == "set":
            self.write(self.adding(found, self.value(term.value)))
        else:
            assert term.key is not None
            name, item = self.values((term.key, term.value))
            self.write(f"put({found}, {name}, {item}, {self.place(term.at)})")
        self._outside(kept)
        self.looped = looped
        return self.let(f"Set.loose({found})") if term.kind == "set" else found

    def adding(self, found: str, item: str) -> str:
        """Return the statement that adds a value to a loose set's dict."""
        if item[0] in "'\"":
            return f"{found}[{item}] = {item}"
        return f"{found}[{item} if type({item}) is str else loose_key({item})] = {item}"

    def _attempt(self, statement: Statement) -> str:
        """Write what gathers a statement's values in a dict, as a set comprehension does; return the dict's name."""
        found = self.let("{}")
        looped = self.looped
        kept = self._inside((), ordered=False)
        self._once()
        before = self.state
        if statement.withs:
            self.state = self._modified(statement.withs)
        assert not isinstance(statement.what, Every)
        name = self.value(statement.what)  # type: ignore[arg-type]
        self.write(f"{found}[key({name})] = {name}")
        self.state = before
        self._outside(kept)
        self.looped = looped
        return found

    def template(self, term: Template) -> str:
        """Write a template string."""
        texts: list[str] = []
        for part in term.parts:
            if isinstance(part, str):
                texts.append(self.literal(part))
            else:
                texts.append(f"interpolated({self._attempt(part)}, {self.place(term.at)})")
        if not texts:
            return "''"
        return self.let(f"''.join(({', '.join(texts)},))")

    def printing(self, call: Call) -> None:
        """Write a call of print, which nothing makes fail."""
        found = [self._attempt(Statement(arg, at=arg.at)) for arg in call.args]
        self.write(f"printed({self.state}, ({''.join(name + ', ' for name in found)}))")


def _direct(what: Term) -> Iterator[Var]:
    """Yield the variables of a negated term that no call inside it binds."""
    pending: list[Term] = list(what.args) if isinstance(what, Call) else [what]
    while pending:
        term = pending.pop()
        if isinstance(term, Var) and term.name not in ROOTS:
            yield term
        elif not isinstance(term, Call):
            pending.extend(parts(term))


def _head(target: Term) -> str:
    if isinstance(target, Var):
        return target.name
    if isinstance(target, Ref) and isinstance(target.head, Var):
        return target.head.name
    return ""
