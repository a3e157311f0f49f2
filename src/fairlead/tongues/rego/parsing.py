"""The parser of modules, imports and rules, in Rego v0 and v1, and of queries and single terms.

Raises BadModule for text that is no good, at its file, line and column, and nothing else. Must never resolve a name.
"""

from __future__ import annotations

from typing import Final

from .errors import BadModule
from .lexing import Lexer, Token
from .syntax import At, Body, Call, Import, Module, Ref, Rule, Scalar, SetTerm, Statement, Term, Var
from .terms import FUTURE, RESERVED, Terms

LONGEST: Final = 4 << 20
"""The most characters that a module may have."""

_TRUE_BODY_AT: Final = (0, 0)


def parse(text: str, file: str = "", version: str = "v1") -> Module:
    """Return a module's syntax; `version` is "v0" or "v1" (a v0 module that imports rego.v1 is read as v1)."""
    try:
        lexer = _lexer(text, file)
        found = _Modules(lexer.tokens(), file, version).module()
        found.comments = tuple(lexer.comments)
        return found
    except RecursionError:
        raise BadModule("max nesting depth reached", file, 1, 1) from None


def parse_query(text: str, file: str = "", version: str = "v1") -> Body:
    """Return the statements of a query."""
    try:
        parser = _Modules(_tokens(text, file), file, version)
        return parser.body("end")
    except RecursionError:
        raise BadModule("max nesting depth reached", file, 1, 1) from None


def parse_term(text: str, file: str = "") -> Term:
    """Return one term, such as a value that is written in Rego."""
    try:
        parser = _Modules(_tokens(text, file), file, "v1")
        found = parser.infix()
        parser.expect("end")
        return found
    except RecursionError:
        raise BadModule("max nesting depth reached", file, 1, 1) from None


def _lexer(text: str, file: str) -> Lexer:
    if len(text) > LONGEST:
        raise BadModule(f"the module is longer than {LONGEST} characters", file, 1, 1)
    return Lexer(text, file)


def _tokens(text: str, file: str) -> list[Token]:
    return _lexer(text, file).tokens()


def _true(at: At) -> Statement:
    return Statement(Scalar(True, at), at=at)


class _Modules(Terms):
    """A cursor over a module's tokens."""

    def __init__(self, tokens: list[Token], file: str, version: str) -> None:
        super().__init__(tokens, file, FUTURE if version == "v1" else frozenset())
        self.version = version
        self.package: tuple[str, ...] = ()

    def module(self) -> Module:
        at = self.token.at
        if self.token.kind == "end":
            raise self.bad("empty module")
        if not self.accept_word("package"):
            raise self.bad("package expected")
        path = self._path()
        self.package = path
        found = Module(self.file, path, version=self.version, at=at)
        while self.token.kind != "end":
            if self.token.line == self.tokens[self.i - 1].line:
                raise self.unexpected("newline")
            if self.is_word("import") and not self._is_head():
                self._import(found)
            else:
                found.rules.extend(self._rules())
        found.version = self.version
        return found

    def _is_head(self) -> bool:
        """Say whether the next token is a name on which a reference hangs, so that a keyword is a rule's name."""
        following = self.tokens[self.i + 1] if self.i + 1 < len(self.tokens) else self.token
        return following.start == self.token.end and following.kind in {".", "[", "("}

    def _path(self) -> tuple[str, ...]:
        """Read a package's or an import's path: names, and strings in brackets."""
        names = [self.expect("name").value]
        while True:
            if self.adjacent("."):
                self.i += 1
                names.append(self.expect("name").value)
            elif self.adjacent("["):
                self.i += 1
                names.append(self.expect("string").value)
                self.expect("]")
            else:
                return tuple(names)

    def _import(self, module: Module) -> None:
        at = self.token.at
        self.i += 1
        path = self._path()
        alias = path[-1]
        if self.accept_word("as"):
            alias = self.expect("name").value
        if path[0] == "future":
            if path[1:2] != ("keywords",) or len(path) > 3:
                raise self.bad(f"invalid import, got `{'.'.join(path)}`: must be `future.keywords`", at)
            named = set(path[2:]) or FUTURE
            if not named <= FUTURE:
                raise self.bad(f"unexpected keyword, must be one of [{' '.join(sorted(FUTURE))}]", at)
            if "every" in named:
                named = {*named, "in"}
            self.keywords |= frozenset(named)
        elif path[0] == "rego":
            if path != ("rego", "v1"):
                raise self.bad(f"invalid import `{'.'.join(path)}`, must be `rego.v1`", at)
            if module.rules:
                raise self.bad("the `rego.v1` import must come before any rule", at)
            self.keywords = FUTURE
            self.version = "v1"
        elif path[0] not in {"data", "input"}:
            raise self.bad(
                f"unexpected import path, must begin with one of: {{data, future, input, rego}}, got: {path[0]}",
                at,
            )
        module.imports.append(Import(path, alias, at))

    # Rules.

    def _rules(self) -> list[Rule]:
        at = self.token.at
        if self.is_word("default") and not self._is_head():
            self.i += 1
            return [self._default(at)]
        ref, args = self._head()
        rule = Rule(
            ref, "single", args, None, Scalar(True, at), (), at=at, file=self.file, package=self.package
        )
        self._shape(rule, at)
        return [rule, *self._more_bodies(rule)]

    def _head(self) -> tuple[tuple[Term, ...], tuple[Term, ...] | None]:
        """Read a rule's name, what hangs on it, and a function's arguments."""
        name = self.token
        reserved = name.kind == "name" and (name.value in RESERVED or name.value in self.keywords)
        if name.kind != "name" or (reserved and not self._is_head()):
            if name.kind in {"string", "number", "[", "{", "template"} or name.value in {
                "true",
                "false",
                "null",
            }:
                raise self.bad("rule head must be a name")
            raise self.unexpected()
        self.i += 1
        ref: list[Term] = [Var(name.value, name.at)]
        while True:
            if self.adjacent("."):
                self.i += 1
                part = self.expect("name")
                ref.append(Scalar(part.value, part.at))
            elif self.adjacent("["):
                self.i += 1
                ref.append(self.infix())
                self.expect("]")
            elif self.adjacent("("):
                self.i += 1
                if not all(isinstance(step, Scalar) and type(step.value) is str for step in ref[1:]):
                    raise self.bad("function names must be ground", name.at)
                return tuple(ref), tuple(self.terms(")"))
            else:
                return tuple(ref), None

    def _value(self) -> Term | None:
        if self.accept(":=") or self.accept("="):
            return self.infix()
        return None

    def _shape(self, rule: Rule, at: At) -> None:
        """Read what follows the head's name and say what kind of rule it is."""
        contains = False
        if self.is_word("contains"):
            if rule.args is not None:
                raise self.bad(
                    "the contains keyword can only be used with multi-value rule definitions (e.g., p contains <VALUE> { ... })"
                )
            self.i += 1
            contains = True
            rule.kind, rule.key = "set", self.infix()
        value = self._value()
        if value is not None:
            if contains:
                raise self.bad(
                    "the contains keyword can only be used with multi-value rule definitions (e.g., p contains <VALUE> { ... })",
                    at,
                )
            rule.value, rule.assigned = value, True
        end = self.i
        uses_if = self._body(rule)
        if self.i == end and value is None and not contains:
            if rule.args is not None and self.version == "v1":
                raise self.bad("`if` keyword is required before rule body", at)
            if len(rule.ref) == 1 and rule.args is None:
                raise self.bad("var cannot be used for rule name", at)
        self._else(rule)
        if not uses_if and value is None and not contains and rule.args is None and len(rule.ref) == 2:
            # Without `if` and without a value, `p[x]` is a set with the element x.
            if self.version == "v1":
                raise self.bad("`contains` keyword is required for partial set rules", at)
            rule.kind, rule.key, rule.ref = "set", rule.ref[1], rule.ref[:1]

    def _body(self, rule: Rule) -> bool:
        """Read `if statement`, `if { body }` or `{ body }`; say whether `if` was there."""
        at = self.token.at
        if self.accept_word("if"):
            rule.body = self._braced() if self.token.kind == "{" else (self.statement(),)
            return True
        if self.token.kind == "{":
            if self.version == "v1":
                raise self.bad("`if` keyword is required before rule body", rule.at)
            self.i += 1
            rule.body = self.body("}")
            return False
        rule.body = (_true(at),)
        return False

    def _braced(self) -> Body:
        """Read `{ body }`, or a statement that begins with an object, a set or a comprehension."""
        mark, depth = self.i, self.depth
        try:
            self.i += 1
            return self.body("}")
        except BadModule as error:
            self.i, self.depth = mark, depth
            try:
                statement = self.statement()
            except BadModule:
                raise error from None
            if isinstance(statement.what, SetTerm):  # a set is always true: what was meant is a body
                raise error from None
            return (statement,)

    def _else(self, rule: Rule) -> None:
        """Read the chain of elses that follows a body."""
        last = rule
        while self.is_word("else") and not self._is_head():
            at = self.token.at
            if rule.kind == "set" or (rule.args is None and _is_partial(rule)):
                raise self.bad("else keyword cannot be used on partial rules", at)
            self.i += 1
            value = self._value()
            made = Rule(
                rule.ref,
                "single",
                rule.args,
                None,
                value if value is not None else Scalar(True, at),
                (),
                assigned=value is not None,
                at=at,
                file=self.file,
                package=self.package,
            )
            before = self.i
            self._body(made)
            if self.i == before and value is None:
                raise self.unexpected("else value term or rule body")
            last.otherwise = made
            last = made

    def _more_bodies(self, rule: Rule) -> list[Rule]:
        """Read v0's further bodies of one head: `p { a } { b }`."""
        found: list[Rule] = []
        while self.version == "v0" and self.token.kind == "{" and self.tokens[self.i - 1].kind == "}":
            if rule.otherwise is not None:
                raise self.bad("expected else keyword")
            at = self.token.at
            self.i += 1
            made = Rule(
                rule.ref,
                rule.kind,
                rule.args,
                rule.key,
                rule.value,
                self.body("}"),
                at=at,
                file=self.file,
                package=self.package,
            )
            made.assigned = rule.assigned
            self._else(made)
            found.append(made)
        return found

    def _default(self, at: At) -> Rule:
        ref, args = self._head()
        if not all(isinstance(step, Scalar) and type(step.value) is str for step in ref[1:]):
            raise self.bad("default rules must be ground", at)
        value = self._value()
        if value is None:
            if self.is_word("contains"):
                raise self.bad("illegal default rule (must have a value)", at)
            raise self.bad("illegal default rule (must have a value)", at)
        if self.is_word("if") or (self.token.kind == "{" and self.token.line == self.tokens[self.i - 1].line):
            raise self.bad("default rules must not have a body", at)
        if args is not None:
            seen: set[str] = set()
            for arg in args:
                if not isinstance(arg, Var):
                    raise self.bad(
                        f"invalid default rule {ref_text(ref)}: arguments must be plain variables", at
                    )
                if arg.name in seen:
                    raise self.bad("arguments cannot be repeated", at)
                seen.add(arg.name)
        _check_default(self, value, at)
        made = Rule(ref, "single", args, None, value, (_true(at),), default=True, assigned=True, at=at)
        made.file, made.package = self.file, self.package
        return made


def _is_partial(rule: Rule) -> bool:
    return any(not isinstance(step, Scalar) for step in rule.ref[1:])


def ref_text(ref: tuple[Term, ...]) -> str:
    """Return a head's reference as text."""
    head = ref[0]
    assert isinstance(head, Var)
    return head.name + "".join(f".{step.value}" if isinstance(step, Scalar) else "[...]" for step in ref[1:])


def _check_default(parser: _Modules, value: Term, at: At) -> None:
    """Refuse a default that is computed: only values and comprehensions may stand there."""
    pending: list[Term] = [value]
    while pending:
        term = pending.pop()
        if isinstance(term, Call):
            raise parser.bad("illegal default rule (value cannot contain call)", at)
        if isinstance(term, Ref):
            raise parser.bad("illegal default rule (value cannot contain ref)", at)
        if isinstance(term, Var):
            raise parser.bad("illegal default rule (value cannot contain var)", at)
        inner = getattr(term, "items", ())
        for item in inner:
            pending.extend(item if isinstance(item, tuple) else (item,))
