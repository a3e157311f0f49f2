"""The parser of terms and statements: tokens -> syntax. Rules and modules are `parsing`'s.

Binary operators by precedence climbing; `in` binds loosest, then comparisons, `|`, `&`, `+ -`, `* / %`. Text that is a
comprehension or an OR of sets is a comprehension first. Must never recurse or retry without bound: depth and steps are counted.
"""

from __future__ import annotations

from typing import Final

from .errors import BadModule
from .lexing import Token
from .syntax import (
    Array,
    At,
    Body,
    Call,
    Comprehension,
    Every,
    Object,
    Ref,
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

RESERVED: Final = frozenset(
    {"as", "default", "else", "false", "import", "package", "not", "null", "true", "with", "some"}
)
FUTURE: Final = frozenset({"in", "every", "contains", "if"})
DEEPEST: Final = 180
"""How deeply terms and bodies may be nested in one another."""

_COMPARISONS: Final = {"==": "equal", "!=": "neq", "<": "lt", ">": "gt", "<=": "lte", ">=": "gte"}
_OPERATORS: Final = {
    **{sign: (1, name) for sign, name in _COMPARISONS.items()},
    "|": (2, "or"),
    "&": (3, "and"),
    "+": (4, "plus"),
    "-": (4, "minus"),
    "*": (5, "mul"),
    "/": (5, "div"),
    "%": (5, "rem"),
}
_TIGHTER_THAN_OR: Final = 3
_CONSTANTS: Final = {"null": None, "true": True, "false": False}


class Terms:
    """A cursor over tokens that reads terms and statements."""

    def __init__(self, tokens: list[Token], file: str, keywords: frozenset[str], depth: int = 0) -> None:
        self.tokens = tokens
        self.file = file
        self.keywords = keywords
        self.i = 0
        self.depth = depth
        self.steps = 2000 + 60 * len(tokens)
        self.wildcards = 0

    # The cursor.

    @property
    def token(self) -> Token:
        """The next token."""
        return self.tokens[self.i]

    def bad(self, message: str, at: At | None = None) -> BadModule:
        """Return the error to raise for the next token or a place."""
        line, column = at or self.token.at
        return BadModule(message, self.file, line, column)

    def unexpected(self, wanted: str = "") -> BadModule:
        """Return the error that says the next token does not belong here."""
        token = self.token
        kind = {"end": "eof", "name": "identifier"}.get(token.kind, token.kind)
        if token.kind == "name" and (token.value in RESERVED or token.value in self.keywords):
            kind = f"{token.value} keyword"
        said = f"unexpected {kind}" if kind.endswith("keyword") else f"unexpected {kind} token"
        return self.bad(f"{said}: expected {wanted}" if wanted else said)

    def accept(self, kind: str) -> bool:
        """Step over the next token if it is this punctuation."""
        if self.tokens[self.i].kind == kind:
            self.i += 1
            return True
        return False

    def expect(self, kind: str) -> Token:
        """Step over the next token, which must be of this kind."""
        token = self.tokens[self.i]
        if token.kind != kind:
            raise self.unexpected("identifier" if kind == "name" else kind)
        self.i += 1
        return token

    def is_word(self, word: str) -> bool:
        """Say whether the next token is this keyword."""
        token = self.tokens[self.i]
        if token.kind != "name" or token.value != word or not (word in RESERVED or word in self.keywords):
            return False
        # `if.x` is a reference to what somebody called `if`.
        following = self.tokens[self.i + 1]
        return following.kind != "." or following.start != token.end

    def accept_word(self, word: str) -> bool:
        """Step over the next token if it is this keyword."""
        if self.is_word(word):
            self.i += 1
            return True
        return False

    def adjacent(self, kind: str) -> bool:
        """Say whether the next token is this punctuation and nothing separates it from the one before."""
        token = self.tokens[self.i]
        return token.kind == kind and token.start == self.tokens[self.i - 1].end

    def deeper(self) -> None:
        """Count one more level and one more step; raises BadModule beyond the bounds."""
        self.depth += 1
        self.steps -= 1
        if self.depth > DEEPEST:
            raise self.bad("max nesting depth reached")
        if self.steps < 0:
            raise self.bad("too ambiguous to parse")

    # Statements.

    def body(self, closing: str) -> Body:
        """Read statements up to the closing token, which is stepped over."""
        found: list[Statement] = []
        self.deeper()
        while not self.accept(closing):
            if found and not self._separated():
                raise self.unexpected(f"\\n or {closing} or ;")
            found.append(self.statement())
        self.depth -= 1
        if not found:
            raise self.bad("found empty body", self.tokens[self.i - 1].at)
        return tuple(found)

    def _separated(self) -> bool:
        return self.accept(";") or self.token.line > self.tokens[self.i - 1].line

    def statement(self) -> Statement:
        """Read one statement with its modifiers."""
        at = self.token.at
        if self.is_word("some"):
            return Statement(self._some(), False, self._withs(), at)
        negated = self.accept_word("not")
        if self.is_word("every"):
            if negated:
                raise self.unexpected()
            return Statement(self._every(), False, self._withs(), at)
        if negated and (self.is_word("some") or self.is_word("not")):
            raise self.unexpected()
        what = self.infix()
        sign = self.token.kind
        if sign in {":=", "="}:
            place = self.token.at
            self.i += 1
            name = "assign" if sign == ":=" else "eq"
            what = Call(name, (what, self.infix()), place if name == "eq" else what.at, (name,))
        return Statement(what, negated, self._withs(), at)

    def _withs(self) -> tuple[With, ...]:
        found: list[With] = []
        while self.is_word("with"):
            at = self.token.at
            self.i += 1
            target = self.term()
            if not isinstance(target, Ref | Var):
                raise self.bad("expected ref", at)
            if not self.accept_word("as"):
                raise self.unexpected("as")
            found.append(With(target, self.infix(), at))
        return tuple(found)

    def _some(self) -> Some | SomeIn:
        at = self.token.at
        self.i += 1
        terms = [self.binary(1)]
        while self.accept(","):
            terms.append(self.binary(1))
        if self.accept_word("in"):
            if len(terms) > 2:
                raise self.bad("illegal number of arguments", at)
            return SomeIn(terms[0] if len(terms) == 2 else None, terms[-1], self.binary(1), at)
        names = [term for term in terms if isinstance(term, Var)]
        if len(names) != len(terms):
            raise self.bad("expected var in `some` declaration", at)
        return Some(tuple(names), at)

    def _every(self) -> Every:
        at = self.token.at
        self.i += 1
        terms = [self.binary(1)]
        if self.accept(","):
            terms.append(self.binary(1))
        names = [term for term in terms if isinstance(term, Var)]
        if len(names) != len(terms):
            raise self.bad("expected `x[, y] in xs { ... }` expression: expected var", at)
        if not self.accept_word("in"):
            raise self.bad("expected `x[, y] in xs { ... }` expression")
        domain = self.binary(1)
        self.expect("{")
        return Every(names[0] if len(names) == 2 else None, names[-1], domain, self.body("}"), at)

    # Terms with operators.

    def infix(self) -> Term:
        """Read a term with operators, where `key, value in domain` may stand too."""
        left = self.binary(1)
        if self.token.kind == "," and "in" in self.keywords:
            mark, depth = self.i, self.depth
            self.i += 1
            try:
                middle = self.binary(1)
                if self.accept_word("in"):
                    call = Call(
                        "internal.member_3", (left, middle, self.binary(1)), left.at, ("internal", "member_3")
                    )
                    return self._members(call)
            except BadModule:
                pass
            self.i, self.depth = mark, depth
            return left
        return self._members(left)

    def listed(self) -> Term:
        """Read a term with operators inside a list, where a comma ends it."""
        return self._members(self.binary(1))

    def _members(self, left: Term) -> Term:
        while self.is_word("in"):
            self.i += 1
            left = Call("internal.member_2", (left, self.binary(1)), left.at, ("internal", "member_2"))
        return left

    def binary(self, tightness: int, left: Term | None = None) -> Term:
        """Read operators that bind at least so tightly, after a left side that may have been read already."""
        self.deeper()
        found = self.term() if left is None else left
        while True:
            operator = _OPERATORS.get(self.tokens[self.i].kind)
            if operator is None or operator[0] < tightness:
                self.depth -= 1
                return found
            self.i += 1
            self.steps -= 1
            right = self.binary(operator[0] + 1)
            found = Call(operator[1], (found, right), found.at, (operator[1],))

    def term(self) -> Term:
        """Read a term without operators, with what hangs on it: `.name`, `[term]`, `(args)`."""
        token = self.token
        self.i += 1
        kind = token.kind
        if kind == "name":
            if token.value in _CONSTANTS:
                return Scalar(_CONSTANTS[token.value], token.at)
            if (token.value in RESERVED or token.value in self.keywords) and not self._is_reference():
                self.i -= 1
                raise self.unexpected()
            return self._tail(self._var(token))
        if kind in {"string", "number"}:
            return Scalar(token.value, token.at)
        if kind == "-":
            if self.token.kind != "number":
                raise self.unexpected("number")
            self.i += 1
            return Scalar(-self.tokens[self.i - 1].value, token.at)
        if kind == "template":
            return self._template(token)
        if kind == "(":
            self.deeper()
            inner = self.infix()
            self.depth -= 1
            self.expect(")")
            return self._tail(inner)
        if kind == "[":
            return self._tail(self._array(token.at))
        if kind == "{":
            return self._tail(self._braces(token.at))
        self.i -= 1
        raise self.unexpected()

    def _is_reference(self) -> bool:
        return self.adjacent(".") or self.adjacent("[") or self.adjacent("(")

    def _var(self, token: Token) -> Var:
        if token.value == "_":
            self.wildcards += 1
            return Var(f"_{self.wildcards}$", token.at)
        return Var(token.value, token.at)

    def _tail(self, head: Term) -> Term:
        path: list[Term] = []
        while True:
            if self.adjacent("."):
                self.i += 1
                name = self.token
                if name.kind != "name" or name.start != self.tokens[self.i - 1].end:
                    raise self.unexpected("identifier")
                self.i += 1
                path.append(Scalar(name.value, name.at))
            elif self.adjacent("["):
                self.i += 1
                self.deeper()
                path.append(self.infix())
                self.depth -= 1
                self.expect("]")
            elif self.adjacent("("):
                head, path = self._call(head, path), []
            else:
                return Ref(head, tuple(path), head.at) if path else head

    def _call(self, head: Term, path: list[Term]) -> Term:
        names = [step.value for step in path if isinstance(step, Scalar) and type(step.value) is str]
        if not isinstance(head, Var) or len(names) != len(path):
            raise self.bad("unexpected ( token: illegal call of what is no function")
        self.i += 1
        args = self.terms(")")
        if not args and not path and head.name == "set":
            return SetTerm((), head.at)
        parts = (head.name, *names)
        return Call(".".join(parts), tuple(args), head.at, parts)

    def terms(self, closing: str) -> list[Term]:
        """Read terms between commas up to the closing token, which is stepped over."""
        found: list[Term] = []
        self.deeper()
        while not self.accept(closing):
            if found:
                self.expect(",")
                if self.accept(closing):
                    break
            found.append(self.listed())
        self.depth -= 1
        return found

    def _rest(self, first: Term, closing: str) -> list[Term]:
        """Read what follows a list's first term, of which operators may still be missing."""
        found = [self._members(self.binary(1, first))]
        while not self.accept(closing):
            self.expect(",")
            if self.accept(closing):
                break
            found.append(self.listed())
        return found

    def _comprehension(self, closing: str) -> Body | None:
        """Read `| body closing` if that is what follows; else stay."""
        if self.token.kind != "|":
            return None
        mark, depth = self.i, self.depth
        self.i += 1
        try:
            return self.body(closing)
        except BadModule as error:
            farthest = self.i
            self.i, self.depth = mark, depth
            if self.steps < 0 or self._is_body(mark, farthest):
                raise error from None
            return None

    def _is_body(self, start: int, end: int) -> bool:
        """Say whether what failed as a comprehension has what only a body has: then its error is the one to tell."""
        return any(
            token.kind in {":=", ";"} or (token.kind == "name" and token.value in {"some", "not", "every"})
            for token in self.tokens[start : end + 1]
        )

    def _array(self, at: At) -> Term:
        if self.accept("]"):
            return Array((), at)
        self.deeper()
        first = self.binary(_TIGHTER_THAN_OR)
        body = self._comprehension("]")
        found = (
            Comprehension("array", None, first, body, at)
            if body
            else Array(tuple(self._rest(first, "]")), at)
        )
        self.depth -= 1
        return found

    def _braces(self, at: At) -> Term:
        if self.accept("}"):
            return Object((), at)
        self.deeper()
        first = self.binary(_TIGHTER_THAN_OR)
        if self.token.kind == "|" and (body := self._comprehension("}")):
            self.depth -= 1
            return Comprehension("set", None, first, body, at)
        if self.token.kind != ":":
            first = self._members(self.binary(1, first))
        if not self.accept(":"):
            found: Term = SetTerm(tuple(self._rest(first, "}")), at)
            self.depth -= 1
            return found
        value = self.binary(_TIGHTER_THAN_OR)
        if body := self._comprehension("}"):
            found = Comprehension("object", first, value, body, at)
        else:
            items = [(first, self._members(self.binary(1, value)))]
            while not self.accept("}"):
                self.expect(",")
                if self.accept("}"):
                    break
                key = self.listed()
                self.expect(":")
                items.append((key, self.listed()))
            found = Object(tuple(items), at)
        self.depth -= 1
        return found

    def _template(self, token: Token) -> Template:
        parts: list[str | Statement] = []
        for part in token.value:
            if isinstance(part, str):
                parts.append(part)
                continue
            inner = Terms(part, self.file, self.keywords, self.depth + 1)
            inner.wildcards = self.wildcards
            if len(part) == 1:
                raise inner.bad("invalid template-string expression: empty expression")
            statement = inner.statement()
            if inner.token.kind != "end" or statement.negated or not _is_value(statement):
                raise inner.bad("invalid template-string expression")
            self.wildcards = inner.wildcards
            parts.append(statement)
        return Template(tuple(parts), token.at)


def _is_value(statement: Statement) -> bool:
    what = statement.what
    if isinstance(what, Some | SomeIn | Every):
        return False
    return not (isinstance(what, Call) and what.name in {"eq", "assign"})
