"""Checks the types of rules and queries as OPA's checker does: calls, unifications and references that can never succeed.

What is inferred of one rule is known to the rules that refer to it. Where nothing sure is known, there is no fault: a module that
OPA takes must never be refused here. Must never evaluate anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from . import shapes
from .builtins.signatures import declared
from .errors import BadModule
from .grouping import Group, Path, whole
from .resolving import (
    ROOTS,
    closure_variables,
    inner_terms,
    parts,
    shown,
    spine,
    statement_variables,
    variables,
)
from .shapes import ANY, BOOLEAN, STRING, FunctionOf, Shape
from .syntax import (
    Array,
    At,
    Body,
    Call,
    Comprehension,
    Every,
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
)
from .values import show

_ANYTHING: Final = frozenset({"neq", "lt", "lte", "gt", "gte", "internal.member_2", "internal.member_3"})
_Env = dict[str, Shape]


class Checker:
    """Knows the types of a program's documents and functions, as far as they were checked."""

    def __init__(self) -> None:
        self.documents: dict[Path, Shape] = {}
        self.functions: dict[Path, FunctionOf | None] = {}
        self.replaced: frozenset[str] = frozenset()
        self.errors: list[BadModule] = []

    def program(
        self,
        groups: Iterable[Group],
        functions: Mapping[Path, Sequence[Rule]],
        needs: Mapping[Path, set[Path]],
    ) -> list[BadModule]:
        """Check every rule, those first that others need; return the errors."""
        self.errors = []
        work: dict[Path, Callable[[], None]] = {}
        for path, rules in functions.items():
            work[path] = lambda path=path, rules=rules: self._function(path, rules)  # type: ignore[misc]
        for group in groups:
            work[group.path] = lambda group=group: self._group(group)  # type: ignore[misc]
        for path in _ordered(work, needs):
            work[path]()
        return self.errors

    def query(self, body: Body) -> list[BadModule]:
        """Check a query; return the errors."""
        self.errors = []
        _Bodies(self, "").body({}, body, frozenset())
        return self.errors

    def _group(self, group: Group) -> None:
        found: Shape | None = None
        for rule, rest in group.members:
            for one in _alternatives(rule):
                checker = _Bodies(self, one.file)
                env = checker.definition(one)
                if env is None:
                    found = ANY
                    continue
                if group.kind == "set":
                    assert one.key is not None
                    made: Shape = shapes.set_of(checker.head(env, one.key))
                elif group.kind == "complete":
                    made = checker.head(env, one.value)
                elif group.kind == "object" and not isinstance(rest[0], Scalar):
                    key, value = checker.head(env, rest[0]), checker.head(env, one.value)
                    made = shapes.object_of((), (key, value))
                else:
                    made = ANY
                found = shapes.merged(found, ANY if checker.failed else made)
        self.documents[group.path] = found or ANY

    def _function(self, path: Path, rules: Sequence[Rule]) -> None:
        found: FunctionOf | None = None
        sure = True
        for rule in rules:
            for one in _alternatives(rule):
                checker = _Bodies(self, one.file)
                env = checker.definition(one)
                if env is not None:
                    value = checker.head(env, one.value)
                    args = tuple([checker.shape(env, arg) or ANY for arg in one.args or ()])
                    made = FunctionOf(args, value)
                    same = found is None or len(found.args) == len(args)
                    found = made if found is None else shapes.merged_functions(found, made) if same else found
                sure = sure and not checker.failed
        self.functions[path] = found if sure else None


class _Bodies:
    """Checks one definition: `found` has the types of its calls, references and comprehensions."""

    def __init__(self, known: Checker, file: str) -> None:
        self.known = known
        self.file = file
        self.found: dict[int, Shape] = {}
        self.failed = False

    def bad(self, message: str, at: At, *lines: str) -> None:
        """Remember an error."""
        self.failed = True
        told = "".join(f"\n\t{line}" for line in lines)
        self.known.errors.append(BadModule(f"{message}{told}", self.file, *at, code="rego_type_error"))

    def definition(self, rule: Rule) -> _Env | None:
        """Check a rule's body; return the types of its variables, or None where it is wrong."""
        env: _Env = {}
        names = {var.name for arg in rule.args or () for var in variables(arg)}
        self.body(env, rule.body, frozenset(names))
        for term in (*rule.ref[1:], *([rule.key] if rule.key is not None else []), rule.value):
            self._visit(env, term)
        for name in names:
            env.setdefault(name, ANY)
        return None if self.failed else env

    def head(self, env: _Env, term: Term) -> Shape:
        """Return the type of a term in the head of a rule that was checked."""
        return self.shape(env, term) or ANY

    # Statements.

    def body(self, env: _Env, body: Body, given: frozenset[str]) -> None:
        """Check statements in an order in which variables are known before they are needed."""
        pending = list(body)
        own = {id(one): {var.name for var in statement_variables(one)} for one in pending}
        users = Counter(name for names in own.values() for name in names)
        while pending:
            left: list[Statement] = []
            for statement in pending:
                mine = own[id(statement)]
                elsewhere = lambda name, mine=mine: users[name] > (name in mine)  # noqa: E731
                if _is_ready(
                    statement, elsewhere, lambda name: name in env or name in given or name in ROOTS
                ):
                    users.subtract(mine)
                    self._statement(env, statement)
                else:
                    left.append(statement)
            if len(left) == len(pending):
                users.subtract(own[id(left[0])])
                self._statement(env, left.pop(0))
            pending = left

    def _statement(self, env: _Env, statement: Statement) -> None:
        for modifier in statement.withs:
            if not isinstance(modifier.value, Ref):  # it may be a function
                self._visit(env, modifier.value)
        what = statement.what
        if isinstance(what, Every):
            self._visit(env, what.domain)
        elif isinstance(what, Call):
            self._call(env, what, nested=False)
        elif not isinstance(what, Some | SomeIn):
            self._visit(env, what)
        for term in inner_terms(what):
            for var in variables(term):
                _settle(env, var)

    def _visit(self, env: _Env, term: Term) -> None:
        """Check what is inside a term, from the inside out, and remember the types found."""
        match term:
            case Ref():
                for part in parts(term):
                    self._visit(env, part)
                self.found[id(term)] = self._ref(env, term) or ANY
            case Call():
                for one in (*reversed(spine(term)), term):
                    self._call(env, one, nested=True)
            case Comprehension():
                self.found[id(term)] = self._comprehension(env, term)
            case Template():
                self.found[id(term)] = STRING
            case _:
                for part in parts(term):
                    self._visit(env, part)

    def _comprehension(self, env: _Env, term: Comprehension) -> Shape:
        inner = dict(env)
        self.body(inner, term.body, frozenset())
        for head in (term.value, *([term.key] if term.key is not None else [])):
            self._visit(inner, head)
        value = self.head(inner, term.value)
        if term.kind == "array":
            return shapes.array_of((), value)
        if term.kind == "set":
            return shapes.set_of(value)
        assert term.key is not None
        return shapes.object_of((), (self.head(inner, term.key), value))

    # Types of terms.

    def shape(self, env: _Env, term: Term) -> Shape | None:
        """Return a term's type; None where a variable in it has none yet."""
        match term:
            case Scalar():
                return shapes.type_of(term.value)
            case Var():
                return ANY if term.name in ROOTS and term.name not in env else env.get(term.name)
            case Array():
                static = [self.shape(env, item) for item in term.items]
                if None in static:
                    return None
                return shapes.array_of(static, None if static else ANY)
            case SetTerm():
                found: Shape | None = None
                for item in term.items:
                    inner = self.shape(env, item)
                    if inner is None:
                        return None
                    found = shapes.joined(found, inner)
                return shapes.set_of(found)
            case Object():
                return self._object(env, term)
            case _:
                return self.found.get(id(term), ANY)

    def _object(self, env: _Env, term: Object) -> Shape | None:
        known: list[tuple[str, Shape]] = []
        dynamic: tuple[Shape, Shape] | None = None if term.items else (ANY, ANY)
        for name, item in term.items:
            key, value = self.shape(env, name), self.shape(env, item)
            if key is None or value is None:
                return None
            if isinstance(name, Scalar):
                known.append((shapes.key_of(name.value), value))
            elif dynamic is None:
                dynamic = (key, value)
            else:
                dynamic = (shapes.any_of(dynamic[0], key), shapes.any_of(dynamic[1], value))
        return shapes.object_of(known, dynamic)

    # References.

    def _ref(self, env: _Env, ref: Ref) -> Shape | None:
        """Check a reference; return the type of what it stands for, None where nothing is known."""
        head = ref.head
        if not isinstance(head, Var) or head.name in env:
            return self._steps(env, ref, self.shape(env, head), 0)
        if head.name != "data":
            return self._steps(env, ref, ANY if head.name in ROOTS else None, 0)
        names: list[str] = []
        for place, step in enumerate(ref.path, 1):
            if not isinstance(step, Scalar) or type(step.value) is not str:
                break
            names.append(step.value)
            path = tuple(names)
            if path in self.known.documents:
                return self._steps(env, ref, self.known.documents[path], place)
            if place == len(ref.path) and self.known.functions.get(path) is not None:
                function = self.known.functions[path]
                assert function is not None
                have = f"have: {_arguments(function)} => {shapes.written(function.result)}"
                text = _text(ref)
                self.bad(f"undefined ref: {text}", _head_at(ref), text, "^" * len(text), have)
        return self._steps(env, ref, ANY, 0)

    def _steps(self, env: _Env, ref: Ref, shape: Shape | None, start: int) -> Shape | None:
        for place in range(start, len(ref.path)):
            step = ref.path[place]
            if shape is None or shape == ANY:
                for other in ref.path[place:]:
                    for var in variables(other):
                        _settle(env, var)
                return None
            keys = shapes.keys(shape)
            if keys is None:
                text = _text(ref)
                marks = "^" * len(_text(Ref(ref.head, ref.path[:place])))
                self.bad(
                    f"undefined ref: {text}", _head_at(ref), text, marks, f"have: {shapes.written(shape)}"
                )
                return None
            if isinstance(step, Scalar):
                inner = shapes.select(shape, step.value)
                if inner is None:
                    self._missing(ref, place, shape, keys, f"have: {show(step.value)}")
                    return None
                shape = inner
                continue
            have = self.shape(env, step)
            fits = shapes.unifies(have, keys) if have is not None else self.unify(env, step, keys)
            if not fits:
                self._missing(ref, place, shape, keys, f"have (type): {shapes.written(have)}")
                return None
            shape = shapes.values(shape)
        return shape

    def _missing(self, ref: Ref, place: int, shape: Shape, keys: Shape, have: str) -> None:
        text = _text(ref)
        pad = " " * (len(_text(Ref(ref.head, ref.path[:place]))) + 1)
        known = _known_keys(shape)
        want = f"want (one of): [{' '.join(known)}]" if known else f"want (type): {shapes.written(keys)}"
        self.bad(f"undefined ref: {text}", _head_at(ref), text, f"{pad}^", f"{pad}{have}", f"{pad}{want}")

    # Calls.

    def _call(self, env: _Env, call: Call, *, nested: bool) -> None:
        for arg in call.args:
            if not (isinstance(arg, Call) and id(arg) in self.found):
                self._visit(env, arg)
        self.found[id(call)] = ANY
        if call.name in {"eq", "equal"} and len(call.args) == 2:
            self.found[id(call)] = BOOLEAN
            self._equal(env, call)
            return
        if call.name in _ANYTHING or call.path == ("print",):
            self.found[id(call)] = BOOLEAN
            return
        function = self.known.functions.get(call.path[1:]) if call.path[0] == "data" else declared(call.name)
        if function is None:
            return
        result = function.result if function.result is not None else ANY
        self.found[id(call)] = result
        if len(call.args) - len(function.args) not in {0, 1}:
            return
        wanted = [*function.args, result]
        fits = [self.unify(env, arg, shape) for arg, shape in zip(call.args, wanted, strict=False)]
        if not all(fits):
            have = [shapes.written(self.shape(env, arg)) for arg in call.args]
            told = ", ".join([*have, "???"] if nested and len(have) == len(function.args) else have)
            want = f"want: {shapes.signature(function)}"
            self.bad(f"{call.name}: invalid argument(s)", call.at, f"have: ({told})", want)

    def _equal(self, env: _Env, call: Call) -> None:
        left, right = call.args
        mine, theirs = self.shape(env, left), self.shape(env, right)
        if not self._both(env, left, right):
            lines = (f"left  : {shapes.written(mine)}", f"right : {shapes.written(theirs)}")
            self.bad("match error", call.at, *lines)

    def _both(self, env: _Env, left: Term, right: Term) -> bool:
        """Unify two terms."""
        mine, theirs = self.shape(env, left), self.shape(env, right)
        if mine is None and theirs is not None:
            return self.unify(env, left, theirs)
        if mine is not None:
            return self.unify(env, right, mine) if theirs is None else shapes.unifies(mine, theirs)
        pairs: list[tuple[Term, Term]] = []
        if isinstance(left, Array) and isinstance(right, Array):
            if len(left.items) != len(right.items):
                return False
            pairs = list(zip(left.items, right.items, strict=True))
        elif isinstance(left, Object) and isinstance(right, Object):
            theirs_by = {
                shapes.key_of(name.value): item for name, item in right.items if isinstance(name, Scalar)
            }
            for name, item in left.items:
                if isinstance(name, Scalar) and shapes.key_of(name.value) in theirs_by:
                    pairs.append((item, theirs_by[shapes.key_of(name.value)]))
        good = all(self._both(env, *pair) for pair in pairs)
        for var in (*variables(left), *variables(right)):
            _settle(env, var)
        return good

    def unify(self, env: _Env, term: Term, shape: Shape, union: bool = False) -> bool:
        """Say whether a term may have a type; its variables get theirs from it."""
        match term:
            case Var():
                exist = self.shape(env, term)
                if exist is not None and not union:
                    return shapes.unifies(exist, shape)
                if term.name not in ROOTS:
                    env[term.name] = shapes.any_of(exist, shape) if exist is not None else shape
                return True
            case Array() | Object() | SetTerm():
                return self._composite(env, term, shape, union)
            case _:
                return shapes.unifies(self.shape(env, term) or ANY, shape)

    def _composite(self, env: _Env, term: Array | Object | SetTerm, shape: Shape, union: bool) -> bool:
        if isinstance(shape, shapes.AnyOf):
            if shape.of:
                fits = [self.unify(env, term, one, union=True) for one in shape.of]
                return any(fits)
            for part in parts(term):
                self.unify(env, part, ANY, union=True)
            return True
        if isinstance(term, Array) and isinstance(shape, shapes.ArrayOf):
            if len(term.items) != len(shape.static) and shape.dynamic is None:
                return False
            inner = [shapes.select(shape, place) for place in range(len(term.items))]
            return all(
                one is not None and self.unify(env, item, one, union)
                for item, one in zip(term.items, inner, strict=True)
            )
        if isinstance(term, Object) and isinstance(shape, shapes.ObjectOf):
            if len(term.items) != len(shape.static) and shape.dynamic is None:
                return False
            return all(self._member(env, pair, shape, union) for pair in term.items)
        if isinstance(term, SetTerm) and isinstance(shape, shapes.SetOf):
            return all(self.unify(env, item, shape.of, union) for item in term.items)
        return False

    def _member(self, env: _Env, pair: tuple[Term, Term], shape: Shape, union: bool) -> bool:
        name, item = pair
        if not isinstance(name, Scalar):
            self.unify(env, item, ANY, union)
            return True
        inner = shapes.select(shape, name.value)
        return inner is not None and self.unify(env, item, inner, union)


def _settle(env: _Env, var: Var) -> None:
    """Let a variable of which nothing is known be anything."""
    if var.name not in ROOTS:
        env.setdefault(var.name, ANY)


def _alternatives(rule: Rule) -> Iterator[Rule]:
    one: Rule | None = rule
    while one is not None:
        yield one
        one = one.otherwise


def _ordered(work: Iterable[Path], needs: Mapping[Path, set[Path]]) -> list[Path]:
    """Return paths in an order in which each comes after those it needs."""
    wanted = dict.fromkeys(work)
    merged: dict[Path, set[Path]] = {}
    for path, others in needs.items():
        merged.setdefault(whole(path), set()).update(map(whole, others))
    done: dict[Path, None] = {}
    seen: set[Path] = set()
    for start in wanted:
        stack = [(start, iter(sorted(merged.get(start, ()))))] if start not in seen else []
        seen.add(start)
        while stack:
            path, others_left = stack[-1]
            other = next((one for one in others_left if one not in seen), None)
            if other is None:
                stack.pop()
                if path in wanted:
                    done[path] = None
            else:
                seen.add(other)
                stack.append((other, iter(sorted(merged.get(other, ())))))
    return list(done)


def _is_ready(statement: Statement, elsewhere: Callable[[str], bool], known: Callable[[str], bool]) -> bool:
    """Say whether every variable that a statement needs has been bound; others may bind what its closures use."""
    if any(not known(var.name) for modifier in statement.withs for var in variables(modifier.value)):
        return False
    what = statement.what
    inside: list[Var] = []
    if isinstance(what, Every):
        inside.extend(var for inner in what.body for var in statement_variables(inner, closures=True))
    needed: list[Var] = []
    free: list[list[Var]] = []
    for term in inner_terms(what):
        sides = term.args if isinstance(term, Call) and term.name in {"eq", "equal"} else (term,)
        free.extend(_needs(side, needed, inside) for side in sides)
    if any(not known(var.name) and elsewhere(var.name) for var in inside):
        return False
    if any(not known(var.name) for var in needed):
        return False
    if statement.negated and any(not known(var.name) for side in free for var in side):
        return False
    if len(free) < 2 or any(all(known(var.name) for var in side) for side in free):
        return True
    return isinstance(what, Call) and _settles(what.args[0], what.args[1], known)


def _settles(left: Term, right: Term, known: Callable[[str], bool]) -> bool:
    """Say whether the elements of two arrays bind one another's variables."""
    pairs, found = [(left, right)], set[str]()
    while pairs:
        waiting: list[tuple[Term, Term]] = []
        for one, other in pairs:
            if isinstance(one, Array) and isinstance(other, Array) and len(one.items) == len(other.items):
                waiting.extend(zip(one.items, other.items, strict=True))
                continue
            sides = [{var.name for var in variables(side)} for side in (one, other)]
            if any(all(known(name) or name in found for name in side) for side in sides):
                found.update(*sides)
            else:
                waiting.append((one, other))
        if waiting == pairs:
            return False
        pairs = waiting
    return True


def _needs(term: Term, needed: list[Var], inside: list[Var]) -> list[Var]:
    """Gather the variables that a term needs and those in its closures; return those that it may bind as a pattern."""
    free: list[Var] = []
    pending: list[tuple[Term, bool]] = [(term, False)]
    while pending:
        one, strict = pending.pop()
        match one:
            case Var():
                (needed if strict else free).append(one)
            case Ref():
                pending.append((one.head, True))
                pending.extend((step, False) for step in one.path if not isinstance(step, Var))
            case Call():
                pending.extend((arg, True) for arg in one.args)
            case Comprehension() | Template():
                inside.extend(closure_variables(one))
            case _:
                pending.extend((part, strict) for part in parts(one))
    return free


def _arguments(function: FunctionOf) -> str:
    return f"({', '.join(map(shapes.written, function.args))})"


def _known_keys(shape: Shape) -> list[str]:
    kinds = shape.of if isinstance(shape, shapes.AnyOf) else (shape,)
    return sorted({name for kind in kinds if isinstance(kind, shapes.ObjectOf) for name, _ in kind.static})


def _head_at(ref: Ref) -> At:
    return ref.at if ref.at != (0, 0) else ref.head.at


def _text(ref: Ref) -> str:
    """Return a reference as OPA writes it."""
    head = shown(ref.head.name) if isinstance(ref.head, Var) else "__local__"
    made = [head]
    for step in ref.path:
        if (
            isinstance(step, Scalar)
            and type(step.value) is str
            and step.value.isidentifier()
            and step.value.isascii()
        ):
            made.append(f".{step.value}")
        elif isinstance(step, Scalar):
            made.append(f"[{show(step.value)}]")
        elif isinstance(step, Var):
            made.append(f"[{shown(step.name)}]")
        elif isinstance(step, Ref):
            made.append(f"[{_text(step)}]")
        else:
            made.append("[...]")
    return "".join(made)
