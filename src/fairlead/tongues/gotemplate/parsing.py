"""A template's words into a tree for each template that it defines. The texts of errors are Go's.

Knows the names of functions, so that a name nobody knows is a mistake of the text. Must never run anything.
Source: go.dev/pkg/text/template/parse.
"""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Final

from fairlead.tongues.gotemplate import lexing, nodes
from fairlead.tongues.gotemplate.lexing import Word
from fairlead.tongues.gotemplate.printing import quoted

DEEPEST: Final = 100
"""How deep parentheses and branches may be nested; Go's own limit is far beyond what anybody writes."""


class ParseError(Exception):
    """The text is no template; the message is Go's, `template: name:line: what`."""


def parse(name: str, text: str, functions: Container[str]) -> dict[str, nodes.Tree]:
    """Return the trees of the text by name: its own, and each that it defines. Raises ParseError."""
    reading = _Reading(name, text, functions)
    reading.read()
    return reading.trees


_ESCAPES: Final = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "'": "'",
    '"': '"',
}
_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\'\"])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3}))|\\"
)


def unquoted(written: str) -> str:
    """Return the text that a Go string or character literal stands for. Raises ValueError."""
    quote, inner = written[0], written[1:-1]
    if quote == "`":
        return inner.replace("\r", "")
    if "\\" not in inner:
        return inner
    data = bytearray()
    end = 0
    for match in _ESCAPE.finditer(inner):
        data += inner[end : match.start()].encode("utf-8", "surrogateescape")
        end = match.end()
        simple, two, four, eight, octal = match.groups()
        if simple is not None and not (simple in "'\"" and simple != quote):
            data += _ESCAPES[simple].encode()
        elif two is not None:
            data.append(int(two, 16))
        elif octal is not None and int(octal, 8) < 256:
            data.append(int(octal, 8))
        elif (four or eight) and not 0xD800 <= (code := int(four or eight, 16)) < 0xE000 and code <= 0x10FFFF:
            data += chr(code).encode()
        else:
            raise ValueError("invalid syntax")
    data += inner[end:].encode("utf-8", "surrogateescape")
    return data.decode("utf-8", "surrogateescape")


_DIGITS = re.compile(
    r"[+-]?(?:0[xX](?:_?[0-9a-fA-F])+|0[oO](?:_?[0-7])+|0[bB](?:_?[01])+|0(?:_?[0-7])*|[1-9](?:_?[0-9])*)\Z"
)
_FLOAT = re.compile(
    r"[+-]?(?:[0-9](?:_?[0-9])*\.?(?:[0-9](?:_?[0-9])*)?|\.[0-9](?:_?[0-9])*)(?:[eE][+-]?[0-9]+)?\Z"
)


class _Reading:
    """A cursor over the words of a text, and the trees that were made of them."""

    def __init__(self, name: str, text: str, functions: Container[str]) -> None:
        self.trees: dict[str, nodes.Tree] = {}
        self._name, self._text, self._functions = name, text, functions
        self._words = lexing.words(text)
        self._next = 0
        self._variables = ["$"]
        self._ranges = 0
        self._depth = 0
        self._action_line = 0

    # Words

    def _take(self) -> Word:
        word = self._words[self._next]
        if self._next < len(self._words) - 1:
            self._next += 1
        return word

    def _peek(self) -> Word:
        return self._words[self._next]

    def _solid(self) -> Word:
        """The next word that is no space."""
        while (word := self._take()).sort == "space":
            pass
        return word

    def _peek_solid(self) -> Word:
        while self._words[self._next].sort == "space":
            self._next += 1
        return self._words[self._next]

    def _failure(self, message: str, word: Word | None = None) -> ParseError:
        line = (word or self._words[max(self._next - 1, 0)]).line
        return ParseError(f"template: {self._name}:{line}: {message}")

    def _unexpected(self, word: Word, context: str) -> ParseError:
        if word.sort == "error":
            extra = ""
            if self._action_line and self._action_line != word.line:
                extra = f" in action started at {self._name}:{self._action_line}"
                if word.text.endswith(" action"):
                    extra = extra.removeprefix(" in action")
            return self._failure(f"{word}{extra}", word)
        return self._failure(f"unexpected {word} in {context}", word)

    def _expect(self, sort: str, context: str) -> Word:
        word = self._solid()
        if word.sort != sort:
            raise self._unexpected(word, context)
        return word

    # Lists of nodes

    def read(self) -> None:
        own = nodes.Tree(self._name, self._name, self._text)
        while self._peek().sort != "end of file":
            if self._peek().sort == "left":
                start = self._next
                self._take()
                word = self._solid()
                if word.sort == "keyword" and word.text == "define":
                    self._definition()
                    continue
                self._next = start
            node = self._text_or_action()
            if isinstance(node, Word):
                raise self._failure(f"unexpected {{{{{node.text}}}}}", node)
            own.body.append(node)
        self._add(own)

    def _add(self, tree: nodes.Tree) -> None:
        there = self.trees.get(tree.name)
        if there is None or there.empty():
            self.trees[tree.name] = tree
        elif not tree.empty():
            raise self._failure(f"template: multiple definition of template {quoted(tree.name)}")

    def _definition(self) -> None:
        context = "define clause"
        word = self._solid()
        if word.sort not in {"string", "raw"}:
            raise self._unexpected(word, context)
        name = self._literal(word)
        self._expect("right", context)
        self._tree(name, context)

    def _tree(self, name: str, context: str) -> None:
        """The body of a definition or block: it sees none of the variables around it."""
        outer, self._variables = self._variables, ["$"]
        tree = nodes.Tree(name, self._name, self._text)
        tree.body, end = self._list()
        if end.text != "end":
            raise self._failure(f"unexpected {{{{{end.text}}}}} in {context}", end)
        self._variables = outer
        self._add(tree)

    def _list(self) -> tuple[list[nodes.Node], Word]:
        """Nodes up to an `end` or `else`, which is returned with them."""
        found: list[nodes.Node] = []
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._failure("max expression depth exceeded")
        while self._peek_solid().sort != "end of file":
            node = self._text_or_action()
            if isinstance(node, Word):
                self._depth -= 1
                return found, node
            found.append(node)
        raise self._failure("unexpected EOF", self._peek())

    def _text_or_action(self) -> nodes.Node | Word:
        word = self._solid()
        if word.sort == "text":
            return nodes.Text(word.at, word.text)
        if word.sort == "left":
            self._action_line = word.line
            node = self._action()
            self._action_line = 0
            return node
        raise self._unexpected(word, "input")

    # Actions

    def _action(self) -> nodes.Node | Word:
        start = self._next
        word = self._solid()
        if word.sort == "keyword":
            if word.text in {"if", "with", "range"}:
                return self._branch(word.text)
            if word.text == "end":
                self._expect("right", "end")
                return word
            if word.text == "else":
                peek = self._peek_solid()
                if not (peek.sort == "keyword" and peek.text in {"if", "with"}):
                    self._expect("right", "else")
                return word
            if word.text in {"break", "continue"}:
                return self._jump(word)
            if word.text == "template":
                return self._call()
            if word.text == "block":
                return self._block()
        self._next = start
        word = self._peek_solid()
        return nodes.Action(word.at, self._pipeline("command", "right"))

    def _jump(self, word: Word) -> nodes.Node:
        name = f"{{{{{word.text}}}}}"
        following = self._solid()
        if following.sort != "right":
            raise self._unexpected(following, name)
        if not self._ranges:
            raise self._failure(f"{name} outside {{{{range}}}}", following)
        return nodes.Jump(word.at, word.text)

    def _branch(self, word: str) -> nodes.Branch:
        known = len(self._variables)
        pipe = self._pipeline(word, "right")
        self._ranges += word == "range"
        body, end = self._list()
        self._ranges -= word == "range"
        otherwise: list[nodes.Node] | None = None
        if end.text == "else":
            peek = self._peek()
            if word in {"if", "with"} and peek.sort == "keyword" and peek.text == word:
                self._take()
                self._depth += 1
                if self._depth > DEEPEST:
                    raise self._failure("max expression depth exceeded")
                otherwise = [self._branch(word)]
                self._depth -= 1
            else:
                otherwise, end = self._list()
                if end.text != "end":
                    raise self._failure(f"expected end; found {{{{{end.text}}}}}", end)
        del self._variables[known:]
        return nodes.Branch(pipe.at, word, pipe, body, otherwise)

    def _call(self) -> nodes.Call:
        word = self._solid()
        name = self._called(word, "template clause")
        pipe = None
        start = self._next
        if self._solid().sort != "right":
            self._next = start
            pipe = self._pipeline("template clause", "right")
        return nodes.Call(word.at, name, quoted(name), pipe)

    def _block(self) -> nodes.Call:
        context = "block clause"
        word = self._solid()
        name = self._called(word, context)
        pipe = self._pipeline(context, "right")
        self._tree(name, context)
        return nodes.Call(word.at, name, quoted(name), pipe)

    def _called(self, word: Word, context: str) -> str:
        if word.sort not in {"string", "raw"}:
            raise self._unexpected(word, context)
        return self._literal(word)

    # Pipelines

    def _pipeline(self, context: str, end: str) -> nodes.Pipe:
        first = self._peek_solid()
        pipe = nodes.Pipe(first.at, first.line)
        self._declarations(pipe, context)
        while True:
            start = self._next
            word = self._solid()
            if word.sort == end:
                self._check(pipe, context)
                return pipe
            if word.sort in _OPERANDS or (word.sort == "keyword" and word.text == "nil"):
                self._next = start
                pipe.commands.append(self._command())
            else:
                raise self._unexpected(word, context)

    def _declarations(self, pipe: nodes.Pipe, context: str) -> None:
        while self._peek_solid().sort == "variable":
            start = self._next
            word = self._take()
            following = self._peek_solid()
            if following.sort in {"assign", "declare"}:
                self._take()
                pipe.assigns = following.sort == "assign"
                self._declare(pipe, word)
                return
            if following.sort == "char" and following.text == ",":
                self._take()
                self._declare(pipe, word)
                if context == "range" and len(pipe.variables) < 2:
                    if self._peek_solid().sort in {"variable", "right", ")"}:
                        continue
                    raise self._failure("range can only initialize variables", self._peek())
                raise self._failure(f"too many declarations in {context}", following)
            self._next = start
            return

    def _declare(self, pipe: nodes.Pipe, word: Word) -> None:
        pipe.variables.append(nodes.Variable(word.at, word.text, ()))
        self._variables.append(word.text)

    def _check(self, pipe: nodes.Pipe, context: str) -> None:
        if not pipe.commands:
            raise self._failure(f"missing value for {context}")
        for stage, command in enumerate(pipe.commands[1:], 2):
            if isinstance(command.args[0], nodes.Constant | nodes.Dot):
                raise self._failure(f"non executable command in pipeline stage {stage}")

    def _command(self) -> nodes.Command:
        command = nodes.Command(self._peek_solid().at)
        while True:
            self._peek_solid()
            operand = self._operand()
            if operand is not None:
                command.args.append(operand)
            start = self._next
            word = self._take()
            if word.sort == "space":
                continue
            if word.sort in {"right", ")"}:
                self._next = start
            elif word.sort != "pipe":
                raise self._unexpected(word, "operand")
            break
        if not command.args:
            raise self._failure("empty command")
        return command

    def _operand(self) -> nodes.Node | None:
        node = self._term()
        if node is None or self._peek().sort != "field":
            return node
        at = self._peek().at
        names: list[str] = []
        while self._peek().sort == "field":
            names.append(self._take().text[1:])
        if isinstance(node, nodes.Field):
            return nodes.Field(at, (*node.names, *names))
        if isinstance(node, nodes.Variable):
            return nodes.Variable(at, node.name, (*node.names, *names))
        if isinstance(node, nodes.Constant | nodes.Dot):
            raise self._failure(f"unexpected . after term {quoted(str(node))}")
        return nodes.Chain(at, node, tuple(names))

    def _term(self) -> nodes.Node | None:
        start = self._next
        word = self._solid()
        match word.sort:
            case "identifier":
                if word.text not in self._functions:
                    raise self._failure(f"function {quoted(word.text)} not defined", word)
                return nodes.Identifier(word.at, word.text)
            case "dot":
                return nodes.Dot(word.at)
            case "variable":
                if word.text not in self._variables:
                    raise self._failure(f"undefined variable {quoted(word.text)}", word)
                return nodes.Variable(word.at, word.text, ())
            case "field":
                return nodes.Field(word.at, (word.text[1:],))
            case "bool":
                return nodes.Constant(word.at, word.text == "true", word.text, "bool")
            case "number" | "complex" | "letter":
                return self._number(word)
            case "string" | "raw":
                return nodes.Constant(word.at, self._literal(word), word.text, "string")
            case "(":
                self._depth += 1
                if self._depth > DEEPEST:
                    raise self._failure("max expression depth exceeded", word)
                pipe = self._pipeline("parenthesized pipeline", ")")
                self._depth -= 1
                return pipe
            case "keyword" if word.text == "nil":
                return nodes.Constant(word.at, None, "nil", "nil")
        self._next = start
        return None

    def _literal(self, word: Word) -> str:
        try:
            return unquoted(word.text)
        except ValueError as fault:
            raise self._failure(str(fault), word) from None

    def _number(self, word: Word) -> nodes.Constant:
        written = word.text
        if word.sort == "letter":
            text = self._literal(word)
            if len(text) != 1:
                raise self._failure(f"malformed character constant: {written}", word)
            return nodes.Constant(word.at, ord(text), written, "number")
        if word.sort == "complex" or written.endswith("i"):
            raise self._failure(f"complex numbers are not supported: {quoted(written)}", word)
        if _DIGITS.match(written):
            digits = written.replace("_", "")
            plain = digits.lstrip("+-")
            base = 8 if len(plain) > 1 and plain[0] == "0" and plain[1].isdigit() else 0
            number = int(plain, base) * (-1 if digits[0] == "-" else 1)
            if not -(1 << 63) <= number < 1 << 64:
                raise self._failure(f"integer overflow: {quoted(written)}", word)
            return nodes.Constant(word.at, number, written, "number")
        if _FLOAT.match(written):
            if not any(letter in written for letter in ".eE"):
                raise self._failure(f"integer overflow: {quoted(written)}", word)
            value = float(written.replace("_", ""))
            return nodes.Constant(
                word.at, value, written, "number", value.is_integer() and abs(value) < 1 << 63
            )
        raise self._failure(f"illegal number syntax: {quoted(written)}", word)


_OPERANDS: Final = frozenset(
    {"bool", "letter", "complex", "dot", "field", "identifier", "number", "raw", "string", "variable", "("}
)
