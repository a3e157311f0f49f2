"""Rego terms -> Python statements that compute them, opening a loop where a term has many values.

A term that needs a variable which is not bound yet raises NotYet; the caller takes the attempt back and tries later: so the
order of evaluation and the safety of variables are found by trying. Must never evaluate anything itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from .errors import BadModule
from .grouping import part_of
from .resolving import shown, spine, variables
from .running import Node
from .syntax import Array, At, Call, Comprehension, Object, Ref, Scalar, SetTerm, Template, Term, Var
from .values import show
from .writing import Function, NotYet, Writer, constant, is_literal

_CONDITIONS: Final = {
    "equal": "equal({0}, {1})",
    "neq": "not equal({0}, {1})",
    "lt": "less({0}, {1})",
    "lte": "at_most({0}, {1})",
    "gt": "less({1}, {0})",
    "gte": "at_most({1}, {0})",
    "internal.member_2": "member({0}, {1})",
    "internal.member_3": "member_with_key({0}, {1}, {2})",
}
_DEPRECATED: Final = frozenset(
    {
        "all",
        "any",
        "cast_array",
        "cast_boolean",
        "cast_null",
        "cast_object",
        "cast_set",
        "cast_string",
        "net.cidr_overlap",
        "re_match",
        "set_diff",
    }
)
"""What v1 refuses to call."""
_LONG_CHAIN: Final = 30
"""A chain of operators that is longer is written from its innermost call outwards."""
_ARITHMETIC: Final = {"plus": "+", "minus": "-"}


class _Start(NamedTuple):
    """Where a reference starts: a name, the steps left, whether it is surely defined or may be lazy, and what steps on."""

    name: str
    path: tuple[Term, ...]
    sure: bool = False
    lazy: bool = False
    step: str = "step"


class Expressions(Writer):
    """Writes terms."""

    def value(self, term: Term) -> str:
        """Write what computes a term; return the name or literal of its value, which is defined."""
        match term:
            case Scalar():
                return self.literal(term.value)
            case Var():
                if term.name in {"data", "input"} and term.name not in self.bound:
                    return self.reference(Ref(term, (), term.at))
                name = self.bound.get(term.name)
                if name is None:
                    raise NotYet(term)
                return name
            case Ref():
                return self.reference(term)
            case Call():
                return self.call(term)
            case Comprehension():
                return self.comprehension(term)
            case Template():
                return self.template(term)
            case _:
                return self.composite(term)

    def comprehension(self, term: Comprehension) -> str:
        """Write a comprehension."""
        raise NotImplementedError

    def template(self, term: Template) -> str:
        """Write a template string."""
        raise NotImplementedError

    def printing(self, call: Call) -> None:
        """Write a call of print."""
        raise NotImplementedError

    def composite(self, term: Array | Object | SetTerm) -> str:
        """Write what builds an array, object or set."""
        try:
            made = constant(term)
        except NotYet:
            pass
        else:
            what = ("constant", type(term).__name__, show(made))
            if what not in self.known:
                self.learn(what, self.unit.constant(made))
            return self.known[what]
        if isinstance(term, Array):
            return self.let(f"[{', '.join(self.values(term.items))}]")
        if isinstance(term, SetTerm):
            return self.let(f"Set(({', '.join(self.values(term.items))},))")
        flat = self.values([part for pair in term.items for part in pair])
        pairs = [f"{self._boxed(name)}: {item}" for name, item in zip(flat[::2], flat[1::2], strict=True)]
        return self.let(f"{{{', '.join(pairs)}}}")

    def _boxed(self, name: str) -> str:
        if name[0] in "'\"":
            return name
        return f"box({name})"

    def values(self, terms: Sequence[Term]) -> list[str]:
        """Write several terms, those first that can be computed first."""
        found: dict[int, str] = {}
        waiting: NotYet | None = None
        while len(found) < len(terms):
            before = len(found)
            for place, term in enumerate(terms):
                if place in found:
                    continue
                mark = self.mark()
                try:
                    found[place] = self.value(term)
                except NotYet as error:
                    self.back(mark)
                    waiting = error
            if len(found) == before:
                assert waiting is not None
                raise waiting
        return [found[place] for place in range(len(terms))]

    # References.

    def reference(self, ref: Ref) -> str:
        """Write what a reference stands for, with a loop for each key that is not known."""
        start = self._start(ref)
        name, sure = self._steps(start)
        if not sure:
            self.check_defined(name)
        return self.let(f"force({name})") if start.lazy else name

    def _start(self, ref: Ref) -> _Start:
        head = ref.head
        if isinstance(head, Var) and head.name not in self.bound:
            if head.name == "input":
                return _Start(self._remember((self.state, "input"), f"{self.state}.input"), ref.path)
            if head.name == "data":
                return self._data(ref.path)
        return _Start(self.value(head), ref.path, sure=True)

    def _remember(self, what: tuple[str, ...], text: str) -> str:
        if what not in self.known:
            self.learn(what, self.let(text))
        return self.known[what]

    def _data(self, path: tuple[Term, ...]) -> _Start:
        node, state = self.unit.tree, self.state
        for place, term in enumerate(path):
            if not isinstance(term, Scalar):
                if node is self.unit.tree or node.children:
                    self._need_all(node, path[place:])
                    made = self.let(f"Lazy({state}, {self.unit.node(node)})")
                    return _Start(made, path[place:], sure=True, lazy=True, step="step_base")
                break
            child = node.children.get(term.value) if type(term.value) is str else None
            if child is None:
                break
            node = child
            if node.number >= 0:
                rest = path[place + 1 :]
                group = self.unit.generals.get(node.path)
                if group is not None and len(places := group.reaches(rest)) < len(group.members):
                    self.needs.update(part_of(node.path, one) for one in places)
                    number = self.unit.part(node, places)
                    return _Start(self._remember((state, f"r{number}"), f"r{number}({state})"), rest)
                self.needs.add(node.path)
                name = self._remember((state, f"r{node.number}"), f"r{node.number}({state})")
                return _Start(name, path[place + 1 :])
        else:
            self._need_all(node, ())
            name = self._remember(
                (state, "document", *node.path), f"document({state}, {self.unit.node(node)})"
            )
            return _Start(name, ())
        return _Start(self._remember((state, "base"), f"{state}.base"), path, step="step_base")

    def _need_all(self, node: Node, path: tuple[Term, ...]) -> None:
        """Remember that every rule which a reference with unknown keys may reach is needed."""
        if node.number >= 0:
            self.needs.add(node.path)
            return
        if path and isinstance(path[0], Scalar):
            child = node.children.get(path[0].value)
            if child is not None:
                self._need_all(child, path[1:])
            return
        for child in node.children.values():
            self._need_all(child, path[1:])

    def _steps(self, start: _Start) -> tuple[str, bool]:
        name, sure, step = start.name, start.sure, start.step
        if start.path and is_literal(name):
            name = self.let(name)
        for term in start.path:
            if isinstance(term, Scalar):
                key = self.literal(term.value)
                what = ("step", name, key if is_literal(key) else show(term.value))
                if what in self.known:
                    name = self.known[what]
                elif type(term.value) is str:
                    before = name
                    name = self.let(
                        f"{before}.get({key}, U) if type({before}) is dict else step({before}, {key})"
                    )
                    self.learn(what, name)
                else:
                    name = self.let(f"{step}({name}, {key})")
                    self.learn(what, name)
                sure = False
                continue
            mark = self.mark()
            try:
                key = self.value(term)
            except NotYet:
                self.back(mark)
                name, sure = self._iterate(name, term), True
                continue
            what = ("step", name, key)
            if what not in self.known:
                self.learn(what, self.let(f"{step}({name}, {key})"))
            name, sure = self.known[what], False
        return name, sure

    def _iterate(self, name: str, term: Term) -> str:
        """Open a loop over a collection, whose keys bind a variable or match a pattern; return the values' name."""
        if not isinstance(term, Var | Array | Object):
            raise NotYet(*self.unbound(term))
        suffix = "_in_order" if self.ordered else ""
        item = self.fresh()
        if isinstance(term, Var) and term.name.endswith("$"):
            if self.fixed:
                raise NotYet(term)
            self.open(f"for {item} in each{suffix}({self.state}, {name}):")
            return item
        key = self.fresh()
        self.open(f"for {key}, {item} in items{suffix}({self.state}, {name}):")
        self.pattern(term, key)
        return item

    def unbound(self, term: Term) -> list[Var]:
        """Return the variables of a term that are not bound."""
        return [
            var for var in variables(term) if var.name not in self.bound and var.name not in {"data", "input"}
        ]

    # Unification.

    def unify(self, left: Term, right: Term) -> None:
        """Write what makes two terms equal, binding variables on either side."""
        missing: list[Var] = []
        for pattern, term in ((left, right), (right, left)):
            mark = self.mark()
            try:
                self.pattern(pattern, self.value(term))
                return
            except NotYet as error:
                self.back(mark)
                missing.extend(error.names)
        waiting = NotYet(*missing)
        pairs: list[tuple[Term, Term]] = []
        if isinstance(left, Array) and isinstance(right, Array):
            if len(left.items) != len(right.items):
                self.refuse("True")
                return
            pairs = list(zip(left.items, right.items, strict=True))
        elif isinstance(left, Object) and isinstance(right, Object):
            pairs = self._same_keys(left, right)
        else:
            raise waiting
        while pairs:
            for pair in pairs:
                mark = self.mark()
                try:
                    self.unify(*pair)
                except NotYet as error:
                    self.back(mark)
                    waiting = error
                else:
                    pairs.remove(pair)
                    break
            else:
                raise waiting

    def _same_keys(self, left: Object, right: Object) -> list[tuple[Term, Term]]:
        missing = [var for side in (left, right) for name, _ in side.items for var in variables(name)]
        if missing:
            raise NotYet(*missing)
        ours = {show(constant(name)): item for name, item in left.items}
        theirs = {show(constant(name)): item for name, item in right.items}
        if ours.keys() != theirs.keys():
            self.refuse("True")
            return []
        return [(ours[name], theirs[name]) for name in ours]

    def pattern(self, term: Term, name: str) -> None:
        """Write what makes a term equal to a value that is known, binding the term's variables."""
        if isinstance(term, Array | Object) and is_literal(name):
            name = self.let(name)
        match term:
            case Var() if term.name not in self.bound and term.name not in {"data", "input"}:
                self.bind(term, name)
            case Array() if self.unbound(term):
                self.require(f"type({name}) is list and len({name}) == {len(term.items)}")
                self._patterns([(item, f"{name}[{place}]", False) for place, item in enumerate(term.items)])
            case Object() if self.unbound(term):
                self.require(f"type({name}) is dict and len({name}) == {len(term.items)}")
                keys = self.values([key for key, _ in term.items])
                texts = [f"{name}.get({self._boxed(key)}, U)" for key in keys]
                self._patterns(
                    [(item, text, True) for (_, item), text in zip(term.items, texts, strict=True)]
                )
            case _:
                self.same(self.value(term), name)

    def _patterns(self, pending: list[tuple[Term, str, bool]]) -> None:
        waiting: NotYet | None = None
        while pending:
            for entry in pending:
                term, text, doubtful = entry
                if isinstance(term, Var) and term.name.endswith("$") and not doubtful:
                    pending.remove(entry)
                    break
                mark = self.mark()
                try:
                    name = self.let(text)
                    if doubtful:
                        self.check_defined(name)
                    self.pattern(term, name)
                except NotYet as error:
                    self.back(mark)
                    waiting = error
                else:
                    pending.remove(entry)
                    break
            else:
                assert waiting is not None
                raise waiting

    def same(self, left: str, right: str) -> None:
        """Give up unless two values are equal."""
        if is_literal(right):
            left, right = right, left
        if is_literal(right):
            self.refuse(f"not equal({left}, {right})")
        elif left in {"None", "True", "False"}:
            self.refuse(f"{right} is not {left}")
        elif left[0] in "'\"":
            self.refuse(f"{right} != {left}")
        else:
            self.refuse(f"not equal({left}, {right})")

    # Calls.

    def condition(self, term: Term) -> None:
        """Write a term that must be defined and not false."""
        if isinstance(term, Call):
            if term.name == "eq" and len(term.args) == 2:
                self.unify(*term.args)
                return
            if (
                term.name in _CONDITIONS
                and len(term.args) == 2 + (term.name == "internal.member_3")
                and not self._mocked(term)
            ):
                args = self.values(term.args)
                if term.name == "equal":
                    self.same(*args)
                elif term.name == "neq" and args[1][0] in "'\"":
                    self.refuse(f"{args[0]} == {args[1]}")
                else:
                    self.require(_CONDITIONS[term.name].format(*args))
                return
            if term.path == ("print",):
                self.printing(term)
                return
            arity = self._arity(term)
            if len(term.args) == arity + 1:
                inner = Call(term.name, term.args[:-1], term.at, term.path)
                name = self.call(inner)
                self.pattern(term.args[-1], name)
                return
        if isinstance(term, Scalar):
            if term.value is False:
                self.refuse("True")
            return
        name = self.value(term)
        if name == "False":
            self.refuse("True")
        elif not is_literal(name):
            self.refuse(f"{name} is False")

    def _mocked(self, call: Call) -> bool:
        return call.name in self.unit.mocked

    def _arity(self, call: Call) -> int:
        function = self._function(call)
        return function.arity if function is not None else self.unit.builtins[call.name].arity

    def _function(self, call: Call) -> Function | None:
        """Return the policies' own function that is called, None for a built-in. Raises BadModule for neither."""
        if call.path[0] == "data":
            function = self.unit.functions.get(call.path[1:])
            if function is not None:
                self.needs.add(call.path[1:])
                return function
        elif call.name in self.unit.builtins:
            if call.name in _DEPRECATED and self.file in self.unit.strict:
                message = f"deprecated built-in function calls in expression: {call.name}"
                raise BadModule(message, self.file, *call.at, code="rego_type_error")
            return None
        raise BadModule(f"undefined function {call.name}", self.file, *call.at, code="rego_type_error")

    def call(self, call: Call) -> str:
        """Write a call; return the name of its result."""
        if call.name == "eq" and len(call.args) == 2:
            return self.let(f"equal({', '.join(self.values(call.args))})")
        arity = self._arity(call)
        if len(call.args) != arity:
            raise self._mismatch(call, arity)
        chain = spine(call)
        if len(chain) > _LONG_CHAIN:
            first = chain[-1]
            for one in (*reversed(chain[:-1]), call):
                hidden = Var(f"chain#{self.fresh()}", call.at)
                self.bound[hidden.name] = self.value(first)
                self.trail.append(("b", hidden.name))
                first = Call(one.name, (hidden, *one.args[1:]), one.at, one.path)
            call = first
        args = self.values(call.args)
        if not self._mocked(call):
            return self._plain_call(call, args)
        name = self.fresh()
        mocks = f"{self.state}.mocks"
        quoted = self.literal(call.name)
        self.write(f"if {mocks} is not None and {quoted} in {mocks}:")
        self.write(
            f" {name} = call_mock({self.state}, {mocks}[{quoted}], ({''.join(arg + ', ' for arg in args)}))"
        )
        self.write("else:")
        self.indent += 1
        inner = self._invoke(call, args)
        self.write(f"{name} = {inner}")
        self.indent -= 1
        self.check_defined(name)
        return name

    def _mismatch(self, call: Call, arity: int) -> BadModule:
        if call.path[0] != "data":
            return BadModule(f"{call.name}: arity mismatch", self.file, *call.at, code="rego_type_error")
        return BadModule(
            f"function {call.name} has arity {arity}, got {len(call.args)} argument{'s' if len(call.args) != 1 else ''}",
            self.file,
            *call.at,
            code="rego_type_error",
        )

    def _plain_call(self, call: Call, args: list[str]) -> str:
        if call.name in _CONDITIONS:
            return self.let(_CONDITIONS[call.name].format(*args))
        if call.name == "walk":
            item = self.fresh()
            self.open(f"for {item} in walked({self.state}, {args[0]}):")
            return item
        if call.path[0] != "data" and self.unit.builtins[call.name].relation:
            name, item = self._invoke(call, args), self.fresh()
            self.check_defined(name)
            self.open(f"for {item} in each({self.state}, {name}):")
            return item
        name = self._invoke(call, args)
        self.check_defined(name)
        return name

    def _invoke(self, call: Call, args: list[str]) -> str:
        """Write the call itself; its result may be UNDEFINED."""
        function = self._function(call)
        if function is not None:
            return self.let(f"{function.name}({', '.join([self.state, *args])})")
        name = self.fresh()
        made = f"{self.unit.builtin(call.name)}({', '.join([f'{self.state}.context', *args])})"
        sign = _ARITHMETIC.get(call.name)
        if sign is not None:
            numbers = " and ".join(f"type({arg}) is int" for arg in args if not arg.isdigit())
            if numbers:
                made = f"{args[0]} {sign} {args[1]} if {numbers} else {made}"
        self.write(f"try: {name} = {made}")
        self.write(
            f"except BuiltinError as e: {name} = failed({self.state}, e, {self.literal(call.name)}, {self.place(call.at)})"
        )
        return name

    def place(self, at: At) -> str:
        """Return a file and line as arguments."""
        return f"{self.unit.file_name(self.file)}, {at[0]}"


def is_condition(call: Call) -> bool:
    """Say whether a call is a comparison or membership, which is written without a call."""
    return call.name in _CONDITIONS


def names_of(error: NotYet) -> list[str]:
    """Return the variables that were missing, as their author wrote them."""
    return [shown(var.name) for var in error.names]
