"""Rules -> the source of Python functions: one for each document, one for each definition's body, one for each function.

Must never run what it writes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .bodies import Bodies, unsafe
from .errors import BadModule
from .grouping import Group, Path, part_of
from .resolving import shown, statement_variables
from .syntax import Body, Call, Rule, Statement, Term, Var
from .writing import NotYet, Unit, constant

_COMPLETE = "complete rules must not produce multiple outputs"
_FUNCTION = "functions must not produce multiple outputs for same inputs"


class Assembler:
    """Writes the functions of a program; `lines` is the source so far, `needs` who refers to whom."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.lines: list[str] = []
        self.needs: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
        self.errors: list[BadModule] = []

    # Bodies.

    def _body(
        self,
        rule: Rule,
        name: str,
        given: Sequence[str],
        path: tuple[str, ...],
        finish: Callable[[Bodies], None],
        failing: str,
    ) -> None:
        """Write one definition's function; `finish` writes what happens with each solution."""
        writer = Bodies(self.unit, rule.file, failing)
        if failing == "return U":
            writer.flags = ("r",)
        statements: list[Statement] = []
        names = [f"a{place}" for place in range(len(rule.args or ()))]
        for arg, text in zip(rule.args or (), names, strict=True):
            if isinstance(arg, Var) and arg.name not in writer.bound:
                writer.bind(arg, text)
            else:
                hidden = Var(f"{text}$", arg.at)
                writer.bind(hidden, text)
                statements.append(Statement(Call("eq", (arg, hidden), arg.at, ("eq",)), at=arg.at))
        try:
            writer.body((*statements, *rule.body))
            finish(writer)
        except NotYet as error:
            self.errors.extend(unsafe(error.names, rule.file).errors)
        except BadModule as error:
            self.errors.extend(error.errors)
        self.needs.setdefault(path, set()).update(writer.needs)
        writer.close(0)
        self.lines.append(f"def {name}({', '.join(['S', *names, *given])}):")
        if failing == "return U" and (writer.looped or writer.outlined):
            self.lines.append(" r = U")
        if failing == "return U" and writer.looped:
            writer.write("return r")
        self.lines.extend(writer.lines or [" pass"])

    def _valued(self, rule: Rule, name: str, path: tuple[str, ...], conflict: str) -> None:
        def finish(writer: Bodies) -> None:
            value = writer.value(rule.value)
            inside = any(block.kind == "def" for block in writer.blocks)
            if not writer.looped or (_is_constant(rule.value) and not inside):
                writer.write(f"return {value}")
            else:
                writer.write(f"if r is U: r = {value}")
                text = f"raise conflict({conflict!r}, {writer.place(rule.at)})"
                writer.write(f"elif not equal(r, {value}): {text}")

        self._body(rule, name, (), path, finish, "return U")

    def _chain(self, rule: Rule, name: str, path: tuple[str, ...], conflict: str) -> list[str]:
        """Write a definition and its elses; return the functions to try in turn."""
        names: list[str] = []
        one: Rule | None = rule
        while one is not None:
            names.append(f"{name}_{len(names)}")
            self._valued(one, names[-1], path, conflict)
            one = one.otherwise
        return names

    def _combined(self, chains: Sequence[tuple[Rule, list[str]]], args: str, conflict: str) -> None:
        """Write the lines that compute `v` from every definition."""
        for place, (rule, names) in enumerate(chains):
            target = "v" if place == 0 else "w"
            self.lines.append(f" {target} = {names[0]}({args})")
            self.lines.extend(f" if {target} is U: {target} = {name}({args})" for name in names[1:])
            if place:
                where = f"{self.unit.file_name(rule.file)}, {rule.at[0]}"
                self.lines.append(" if w is not U:")
                self.lines.append("  if v is U: v = w")
                self.lines.append(f"  elif not equal(v, w): raise conflict({conflict!r}, {where})")
        if not chains:
            self.lines.append(" v = U")

    # Documents.

    def group(self, group: Group, number: int) -> None:
        """Write the function that computes a document."""
        name = f"r{number}"
        self.needs.setdefault(group.path, set())
        if group.kind == "complete":
            chains = [
                (rule, self._chain(rule, f"{name}_{place}", group.path, _COMPLETE))
                for place, (rule, _) in enumerate(group.definitions)
            ]
            self._head(name, number)
            self._combined(chains, "S", _COMPLETE)
            for rule, _ in group.defaults:
                self._default(rule)
        elif group.kind == "general":
            for place, (rule, rest) in enumerate(group.members):
                path = part_of(group.path, place)
                self.needs[group.path].add(path)
                self.needs.setdefault(path, set())
                if not rule.default:
                    self._contribution(group, rule, rest, f"{name}_{place}", path)
            self.part(group, number, tuple(range(len(group.members))), number)
            return
        else:
            bodies = [
                self._contribution(group, rule, rest, f"{name}_{place}", group.path)
                for place, (rule, rest) in enumerate(group.definitions)
            ]
            self._head(name, number)
            self.lines.append(" v = {}")
            self.lines.extend(f" {body}(S, v)" for body in bodies)
            if group.kind == "set":
                self.lines.append(" v = Set.loose(v)")
        self.lines.extend([f" m[{number}] = v", " return v"])

    def part(self, group: Group, of: int, places: Sequence[int], number: int) -> None:
        """Write the function that computes what some definitions of a general document give together."""
        self._head(f"r{number}", number)
        self.lines.append(" v = Branch()")
        # A default below a path that varies has no effect, as in OPA.
        bodies = [place for place in places if not group.members[place][0].default]
        self.lines.extend(f" r{of}_{place}(S, v)" for place in bodies)
        self.lines.extend([" v = v.finished()", f" m[{number}] = v", " return v"])

    def _head(self, name: str, number: int) -> None:
        self.lines.extend(
            [f"def {name}(S):", " m = S.memo", f" v = m[{number}]", " if v is not NOTHING_YET: return v"]
        )

    def _default(self, rule: Rule) -> None:
        name = f"default_{len(self.lines)}"
        before = self.lines
        self.lines = []
        self._valued(rule, name, (), _COMPLETE)
        made, self.lines = self.lines, before
        # The default's function must stand before the one under construction: it is written inside it.
        self.lines.append(" if v is U:")
        self.lines.extend(f"  {line}" for line in made)
        args = ", ".join(["S", *[f"a{place}" for place in range(len(rule.args or ()))]])
        self.lines.append(f"  v = {name}({args})")

    def _contribution(
        self, group: Group, rule: Rule, rest: tuple[Term, ...], name: str, needing: Path
    ) -> str:
        """Write a definition that adds to a set, an object or a general document."""

        def finish(writer: Bodies) -> None:
            if group.kind == "set":
                assert rule.key is not None
                writer.write(writer.adding("out", writer.value(rule.key)))
                return
            adds = rule.kind == "set"
            last = rule.key if adds else rule.value
            assert last is not None
            *path, value = writer.values((*rest, last))
            if group.kind == "object":
                writer.write(f"put(out, {path[0]}, {value}, {writer.place(rule.at)})")
            else:
                keys = "".join(f"{key}, " for key in path)
                writer.write(f"out.put(({keys}), {value}, {adds}, {writer.place(rule.at)})")

        if rule.otherwise is not None:
            self._exclusive(rule, rest, name, needing)
        else:
            self._body(rule, name, ("out",), needing, finish, "return")
        return name

    def _exclusive(self, rule: Rule, rest: tuple[Term, ...], name: str, needing: Path) -> None:
        """Write a contribution with elses; its head does not vary, so that there is one value."""
        names = self._chain(rule, name, needing, _COMPLETE)
        self.lines.append(f"def {name}(S, out):")
        self._combined([(rule, names)], "S", _COMPLETE)
        path = "".join(f"{self.unit.constant(constant(step))}, " for step in rest)
        place = f"{self.unit.file_name(rule.file)}, {rule.at[0]}"
        self.lines.append(f" if v is not U: out.put(({path}), v, False, {place})")

    # Functions.

    def function(self, path: tuple[str, ...], rules: Sequence[Rule]) -> None:
        """Write a function of the policies."""
        made = self.unit.functions[path]
        self.needs.setdefault(path, set())
        chains = [
            (rule, self._chain(rule, f"{made.name}_{place}", path, _FUNCTION))
            for place, rule in enumerate(rule for rule in rules if not rule.default)
        ]
        args = ", ".join(["S", *[f"a{place}" for place in range(made.arity)]])
        self.lines.append(f"def {made.name}({args}):")
        self.lines.append(" S.budget.spend(1)")
        self._combined(chains, args, _FUNCTION)
        for rule in rules:
            if rule.default:
                self._default(rule)
        self.lines.append(" return v")

    # Queries.

    def query(self, name: str, body: Body, file: str) -> None:
        """Write a function that returns the bindings of every solution of a query."""
        writer = Bodies(self.unit, file, "return out")
        writer.ordered = True
        names = dict.fromkeys(
            var.name
            for statement in body
            for var in statement_variables(statement)
            if not var.name.endswith("$") and var.name not in {"data", "input"}
        )
        try:
            writer.body(body)
        except NotYet as error:
            self.errors.extend(unsafe(error.names, file).errors)
        except BadModule as error:
            self.errors.extend(error.errors)
        pairs = ", ".join(f"{shown(var)!r}: {writer.bound[var]}" for var in names if var in writer.bound)
        writer.write(f"out.append({{{pairs}}})")
        writer.close(0)
        self.needs[()] = writer.needs
        self.lines.append(f"def {name}(S):")
        self.lines.append(" out = []")
        self.lines.extend(writer.lines)
        self.lines.append(" return out")


def _is_constant(term: Term) -> bool:
    try:
        constant(term)
    except NotYet:
        return False
    return True
