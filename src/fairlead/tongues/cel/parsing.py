"""Tokens to the tree, by operator precedence, with macros expanded as they are met.

However deep a text is nested, the parser refuses it with a clear fault before Python's own stack could overflow.
Source: github.com/google/cel-spec, doc/langdef.md, Syntax; the texts of faults are cel-go's.
"""

from __future__ import annotations

from collections.abc import Mapping

from fairlead.tongues.cel.lexing import Fault, Token, tokens
from fairlead.tongues.cel.macros import Key, Macro
from fairlead.tongues.cel.syntax import Bind, Call, Fold, Ident, ListOf, Literal_, MapOf, Node, Select, Struct
from fairlead.tongues.cel.values import INT_MAX, Uint

DEEPEST = 200
"""How many levels of brackets, calls or operators may be nested in each other."""
LONGEST = 100_000
"""How many characters an expression may have."""

_BINARY = {
    "||": 1,
    "&&": 2,
    "<": 3,
    "<=": 3,
    ">": 3,
    ">=": 3,
    "==": 3,
    "!=": 3,
    "in": 3,
    "+": 4,
    "-": 4,
    "*": 5,
    "/": 5,
    "%": 5,
}
_RESERVED = frozenset(
    {
        "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package",
        "namespace", "return", "var", "void", "while",
    }
)  # fmt: skip
_EXPECTED = "'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER"


def parse(text: str, macros: Mapping[Key, Macro]) -> Node:
    """Return the tree of an expression. Raises Fault."""
    if len(text) > LONGEST:
        raise Fault(f"expression code point size exceeds limit: size: {len(text)}, limit {LONGEST}", 0)
    return _Parser(text, macros).whole()


class _Parser:
    def __init__(self, text: str, macros: Mapping[Key, Macro]) -> None:
        self.tokens = tokens(text)
        self.at = 0
        self.macros = macros
        self.level = 0
        self.chains: set[Node] = set()
        """The chains of && and || that no brackets have closed: they are joined to one call of many arguments."""

    def whole(self) -> Node:
        found = self.expression()
        left = self.tokens[self.at]
        if left.sort != "end":
            if left.text in {")", "]", "}", ",", ":"}:
                raise Fault(f"Syntax error: extraneous input '{left.text}' expecting <EOF>", left.pos)
            raise Fault(f"Syntax error: mismatched input '{left.text}' expecting <EOF>", left.pos)
        return found

    # --- operators

    def expression(self) -> Node:
        """Read a conditional: `a ? b : c` chains to the right without recursion."""
        self.level += 1
        if self.level > DEEPEST:
            raise Fault(f"expression recursion limit exceeded: {DEEPEST}", self.tokens[self.at].pos)
        parts: list[tuple[int, Node, Node]] = []
        while True:
            found = self.binary()
            token = self.tokens[self.at]
            if token.sort != "op" or token.text != "?":
                break
            self.at += 1
            then = self.binary()
            self.want(":")
            parts.append((token.pos, found, then))
        for pos, condition, then in reversed(parts):
            found = self.made(Call(pos, "_?_:_", None, [condition, then, found]), condition, then, found)
        self.level -= 1
        return found

    def binary(self) -> Node:
        """Read operands and operators, strongest first, with a stack of what still waits."""
        waiting: list[tuple[int, str, int]] = []
        values = [self.operand()]
        while True:
            token = self.tokens[self.at]
            strength = _BINARY.get(token.text, 0) if token.sort == "op" else 0
            while waiting and waiting[-1][0] >= strength:
                _, name, pos = waiting.pop()
                right = values.pop()
                values.append(self.joined(name, pos, values.pop(), right))
            if not strength:
                return values[0]
            self.at += 1
            waiting.append((strength, token.text, token.pos))
            values.append(self.operand())

    def joined(self, name: str, pos: int, left: Node, right: Node) -> Node:
        if name in {"&&", "||"}:
            full = f"_{name}_"
            if isinstance(left, Call) and left.name == full and left in self.chains:
                left.args.append(right)
                left.depth = max(left.depth, right.depth + 1)
                return left
            call = self.made(Call(pos, full, None, [left, right]), left, right)
            self.chains.add(call)
            return call
        return self.made(Call(pos, "@in" if name == "in" else f"_{name}_", None, [left, right]), left, right)

    def made(self, node: Node, *inner: Node | None) -> Node:
        depth = 1 + max((one.depth for one in inner if one is not None), default=0)
        if depth > DEEPEST:
            raise Fault(f"expression recursion limit exceeded: {DEEPEST}", node.pos)
        node.depth = depth
        return node

    # --- operands

    def operand(self) -> Node:
        """Read signs, a primary, and what follows it: fields, indexes, calls, message literals."""
        signs: list[Token] = []
        while (token := self.tokens[self.at]).sort == "op" and token.text in {"!", "-"}:
            if signs and signs[-1].text != token.text:
                raise Fault(
                    f"Syntax error: extraneous input '{token.text}' expecting {{{_EXPECTED}}}", token.pos
                )
            signs.append(token)
            self.at += 1
        negative = len(signs) == 1 and signs[0].text == "-"
        following = self.tokens[self.at]
        number = following.sort == "value" and type(following.value) in {int, float}
        if negative and number:
            self.at += 1
            found: Node = Literal_(signs.pop().pos, -following.value)
        elif number and following.value == INT_MAX + 1 and type(following.value) is int:
            raise Fault("invalid int literal", following.pos)
        else:
            found = self.primary()
        found = self.members(found)
        if len(signs) % 2:
            name = "!_" if signs[0].text == "!" else "-_"
            found = self.made(Call(signs[0].pos, name, None, [found]), found)
        return found

    def members(self, found: Node) -> Node:
        while (token := self.tokens[self.at]).sort == "op":
            if token.text == ".":
                self.at += 1
                optional = self.took("?")
                name = self.tokens[self.at]
                if name.sort not in {"name", "quoted"}:
                    raise self.unexpected(name, "IDENTIFIER")
                self.at += 1
                opening = self.tokens[self.at].pos
                if not optional and name.sort == "name" and self.took("("):
                    found = self.call(name.text, found, self.arguments(")"), opening, token.pos)
                else:
                    found = self.made(Select(token.pos, found, name.text, optional=optional), found)
            elif token.text == "[":
                self.at += 1
                optional = self.took("?")
                index = self.expression()
                self.want("]")
                found = self.made(
                    Call(token.pos, "_[?_]" if optional else "_[_]", None, [found, index]), found, index
                )
            elif token.text == "{":
                name_of = qualified(found)
                if name_of is None:
                    break
                self.at += 1
                found = self.struct(name_of, token.pos)
            else:
                break
        return found

    def primary(self) -> Node:
        token = self.tokens[self.at]
        self.at += 1
        if token.sort == "value":
            if type(token.value) is int and token.value > INT_MAX:
                raise Fault("invalid int literal", token.pos)
            return Literal_(token.pos, token.value)
        if token.sort == "name" or (token.sort == "op" and token.text == "."):
            leading = token.sort == "op"
            name = self.tokens[self.at] if leading else token
            if leading:
                self.at += 1
                if name.sort != "name":
                    raise self.unexpected(name, "IDENTIFIER")
            if name.text in _RESERVED:
                raise Fault(f"reserved identifier: {name.text}", name.pos)
            full = f".{name.text}" if leading else name.text
            if self.took("("):
                opening = self.tokens[self.at - 1].pos
                return self.call(full, None, self.arguments(")"), opening, opening)
            return Ident(token.pos, full)
        if token.sort == "op" and token.text == "(":
            found = self.expression()
            self.want(")")
            self.chains.discard(found)
            return found
        if token.sort == "op" and token.text == "[":
            return self.list_(token.pos)
        if token.sort == "op" and token.text == "{":
            return self.map_(token.pos)
        raise self.unexpected(token, f"{{{_EXPECTED}}}")

    def call(self, name: str, target: Node | None, args: list[Node], opening: int, pos: int) -> Node:
        bare = name.removeprefix(".")
        macro = None
        if not name.startswith("."):
            for count in (len(args), -1):
                macro = macro or self.macros.get((bare, count, target is not None))
        if macro is not None:
            expanded = macro(opening if target is None else pos, target, args)
            if expanded is not None:
                return self.deepened(expanded, target, args)
        at = opening
        return self.made(Call(at, name, target, args), target, *args)

    def deepened(self, node: Node, target: Node | None, args: list[Node]) -> Node:
        """Give an expanded macro its depth: each binding that it made is a level of its own."""
        given = {id(one) for one in args}
        levels, inner = 0, node
        while isinstance(inner, (Bind, Fold)) and id(inner) not in given:
            levels += 1
            inner = inner.body
        made = self.made(node, target, *args)
        made.depth += max(levels - 1, 0)
        if made.depth > DEEPEST:
            raise Fault(f"expression recursion limit exceeded: {DEEPEST}", node.pos)
        return made

    def arguments(self, closing: str) -> list[Node]:
        found: list[Node] = []
        if self.took(closing):
            return found
        while True:
            found.append(self.expression())
            if self.took(closing):
                return found
            self.want(",", closing)

    def list_(self, pos: int) -> Node:
        items: list[Node] = []
        optional: set[int] = set()
        while not self.took("]"):
            if self.took("?"):
                optional.add(len(items))
            items.append(self.expression())
            if self.took("]"):
                break
            self.want(",", "]")
        return self.made(ListOf(pos, items, frozenset(optional)), *items)

    def map_(self, pos: int) -> Node:
        entries: list[tuple[Node, Node, bool]] = []
        while not self.took("}"):
            optional = self.took("?")
            key = self.expression()
            self.want(":")
            entries.append((key, self.expression(), optional))
            if self.took("}"):
                break
            self.want(",", "}")
        return self.made(MapOf(pos, entries), *[one for entry in entries for one in entry[:2]])

    def struct(self, name: str, pos: int) -> Node:
        entries: list[tuple[str, Node, bool]] = []
        while not self.took("}"):
            optional = self.took("?")
            field = self.tokens[self.at]
            if field.sort not in {"name", "quoted"}:
                raise self.unexpected(field, "IDENTIFIER")
            self.at += 1
            self.want(":")
            entries.append((field.text, self.expression(), optional))
            if self.took("}"):
                break
            self.want(",", "}")
        return self.made(Struct(pos, name, entries), *[value for _, value, _ in entries])

    # --- tokens

    def took(self, text: str) -> bool:
        token = self.tokens[self.at]
        if token.sort == "op" and token.text == text:
            self.at += 1
            return True
        return False

    def want(self, text: str, other: str = "") -> None:
        if not self.took(text):
            wanted = f"{{'{other}', '{text}'}}" if other else f"'{text}'"
            raise self.unexpected(self.tokens[self.at], wanted)

    @staticmethod
    def unexpected(token: Token, wanted: str) -> Fault:
        return Fault(f"Syntax error: mismatched input '{token.text[:200]}' expecting {wanted}", token.pos)


def qualified(node: Node) -> str | None:
    """Return the dotted name that a chain of fields spells, or None."""
    parts: list[str] = []
    while isinstance(node, Select) and not node.test and not node.optional:
        parts.append(node.field)
        node = node.operand
    if not isinstance(node, Ident):
        return None
    parts.append(node.name)
    return ".".join(reversed(parts))


__all__ = ["DEEPEST", "LONGEST", "Uint", "parse", "qualified"]
