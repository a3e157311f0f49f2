"""Go's text/template, as strings.render_template uses it: actions, pipelines, if, range, with, variables, functions.

A template is parsed once and kept. Data are plain JSON, so there are no methods to call; `call` and functions that a
program would register are refused. What the data lack is written `<undefined>`. The work and the text are bounded.
Source: Go's packages text/template and text/template/parse.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias

from fairlead.tongues.rego.values import sorted_items, to_json

from .formats import quoted
from .kinds import Builtin, Context, an_object, bounded, short, table, text
from .rendering import FUNCTIONS, MISSING, fail, held, kind_of, shown, truth

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
    |(?P<string>"(?:[^"\\\n]|\\.)*")|(?P<raw>`[^`]*`)|(?P<char>'(?:[^'\\\n]|\\.)+')
    |(?P<number>[+-]?(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+|(?:[0-9][0-9_]*)?\.?[0-9][0-9_]*(?:[eE][+-]?[0-9]+)?))
    |(?P<field>\.[\w]+)|(?P<dot>\.)|(?P<variable>\$\w*)|(?P<declare>:=)|(?P<word>\w+)
    |(?P<sign>[=|(),])""",
    re.VERBOSE,
)
_ACTION = re.compile(
    r"\{\{(?P<left>-(?=[ \t\r\n]))?(?P<comment>\s*/\*.*?\*/\s*)?"
    r"(?P<body>(?:\"(?:[^\"\\\n]|\\.)*\"|`[^`]*`|'(?:[^'\\\n]|\\.)+'|[^\"`'])*?)(?P<right>(?<=[ \t\r\n])-)?\}\}",
    re.DOTALL,
)
_ESCAPED = re.compile(
    r"\\(?:([abfnrtv\\'\"])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3}))"
)
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_DEEPEST = 100
_LONGEST = 1 << 20
_SPACE = " \t\r\n"

Evaluate: TypeAlias = "Callable[[_Run, Any], Any]"
Act: TypeAlias = "Callable[[_Run, Any], None]"


class _Break(Exception):
    """Leave the loop."""


class _Continue(Exception):
    """Go on with the next element."""


@dataclass(slots=True)
class _Run:
    """One rendering: the text so far, the variables in scope, and what may still be done."""

    context: Context
    root: Any
    templates: dict[str, Act]
    out: list[str] = field(default_factory=list)
    size: int = 0
    variables: list[tuple[str, Any]] = field(default_factory=list)
    depth: int = 0

    def say(self, said: str) -> None:
        self.size = short(self.size + len(said))
        self.out.append(said)


@dataclass(slots=True)
class _Token:
    kind: str
    text: str


def _tokens(body: str) -> list[_Token]:
    found: list[_Token] = []
    place = 0
    while place < len(body):
        match = _TOKEN.match(body, place)
        if match is None or match.lastgroup is None:
            raise fail(f"unexpected {quoted(body[place])} in command")
        found.append(_Token(match.lastgroup, match[0]))
        place = match.end()
    return found


def _unescape(body: str) -> str:
    def one(match: re.Match[str]) -> str:
        plain, byte, small, large, octal = match.groups()
        if plain:
            return _ESCAPES.get(plain, plain)
        if octal:
            return chr(int(octal, 8))
        code = int(byte or small or large, 16)
        return chr(code) if code < 0x110000 else "\ufffd"

    return _ESCAPED.sub(one, body)


class _Parser:
    """Turns a template into actions."""

    def __init__(self, source: str) -> None:
        self.pieces = self.cut(source)
        self.place = 0
        self.templates: dict[str, Act] = {}
        self.depth = 0
        self.loops = 0

    @staticmethod
    def cut(source: str) -> list[str | list[_Token]]:
        """Return texts and actions in turn, with the white space trimmed where a `-` asks for it."""
        bounded(len(source), _LONGEST, "characters of a template")
        pieces: list[str | list[_Token]] = []
        place = 0
        trim = False
        while (begun := source.find("{{", place)) >= 0:
            before = source[place:begun]
            match = _ACTION.match(source, begun)
            if match is None:
                raise fail("unclosed action")
            before = before.lstrip(_SPACE) if trim else before
            pieces.append(before.rstrip(_SPACE) if match["left"] else before)
            trim = match["right"] is not None
            place = match.end()
            if match["comment"] is None:
                pieces.append(_tokens(match["body"].strip(_SPACE)))
            elif match["body"].strip(_SPACE):
                raise fail("comment ends before closing delimiter")
        rest = source[place:]
        pieces.append(rest.lstrip(_SPACE) if trim else rest)
        return pieces

    def parse(self) -> tuple[Act, dict[str, Act]]:
        body, end = self.block(())
        if end:
            raise fail(f"unexpected {{{{{end}}}}}")
        return body, self.templates

    def block(self, ends: tuple[str, ...]) -> tuple[Act, str]:
        """Return the actions up to an `end` or `else`, and which it was."""
        self.depth += 1
        if self.depth > _DEEPEST:
            raise fail("too deeply nested")
        acts: list[Act] = []
        while self.place < len(self.pieces):
            piece = self.pieces[self.place]
            self.place += 1
            if isinstance(piece, str):
                if piece:
                    acts.append(_text(piece))
                continue
            word = piece[0].text if piece and piece[0].kind == "word" else ""
            if word in {"end", "else"}:
                if word not in ends:
                    raise fail(f"unexpected {{{{{word}}}}}")
                self.depth -= 1
                if word == "else":
                    self.rest = [token for token in piece[1:] if token.kind != "space"]
                return _sequence(acts), word
            acts.append(self.action(word, piece))
        if ends:
            raise fail("unexpected EOF")
        return _sequence(acts), ""

    def action(self, word: str, piece: list[_Token]) -> Act:
        if word in {"if", "with", "range"}:
            return self.control(word, piece[1:])
        if word in {"break", "continue"}:
            if not self.loops:
                raise fail(f"{{{{{word}}}}} outside {{{{range}}}}")
            return _jump(_Break if word == "break" else _Continue)
        if word in {"define", "block", "template"}:
            return self.named(word, piece[1:])
        if not piece:
            raise fail("missing value for command")
        names, value = _Pipeline(piece).read(declare=1)
        if not names:
            return _print(value)
        return _assign(names[0], value)

    def control(self, word: str, tokens: list[_Token]) -> Act:
        names, value = _Pipeline(tokens).read(declare=2 if word == "range" else 1)
        self.loops += word == "range"
        body, end = self.block(("else", "end"))
        self.loops -= word == "range"
        other: Act = _nothing
        if end == "else":
            rest = self.rest
            if rest and rest[0].text in {"if", "with"} and rest[0].text == word:
                other = self.control(word, rest[1:])
            elif rest:
                raise fail("unexpected token in else")
            else:
                other, _ = self.block(("end",))
        if word == "range":
            return _range(names, value, body, other)
        return _choose(names, value, body, other, moves=word == "with")

    def named(self, word: str, tokens: list[_Token]) -> Act:
        found = [token for token in tokens if token.kind != "space"]
        if not found or found[0].kind not in {"string", "raw"}:
            raise fail(f"unexpected token in {word} clause")
        name = _literal(found[0])
        value: Evaluate = _constant(None)
        if word != "define" and len(found) > 1:
            _, value = _Pipeline(tokens[tokens.index(found[0]) + 1 :]).read(declare=0)
        if word != "template":
            body, _ = self.block(("end",))
            self.templates[name] = body
            if word == "define":
                return _nothing
        return _include(name, value)


class _Pipeline:
    """Reads `$x, $y := command | command`."""

    def __init__(self, tokens: Sequence[_Token]) -> None:
        self.tokens = [*tokens, _Token("end", "")]
        self.place = 0
        self.depth = 0
        self.skip()

    def skip(self) -> bool:
        """Pass over white space; tell whether there was any."""
        begun = self.place
        while self.tokens[self.place].kind == "space":
            self.place += 1
        return self.place > begun

    def peek(self) -> _Token:
        return self.tokens[self.place]

    def take(self) -> _Token:
        token = self.tokens[self.place]
        self.place += 1
        return token

    def read(self, declare: int) -> tuple[list[tuple[str, bool]], Evaluate]:
        """Return the variables that are declared (True) or assigned, and the value."""
        names = self.names() if declare else []
        if len(names) > declare:
            raise fail("too many declarations in command")
        value = self.pipeline()
        if self.peek().kind != "end":
            raise fail(f"unexpected {quoted(self.peek().text)} in command")
        return names, value

    def names(self) -> list[tuple[str, bool]]:
        begun = self.place
        found: list[str] = []
        while self.peek().kind == "variable":
            found.append(self.take().text)
            self.skip()
            sign = self.peek().text
            if sign in {":=", "="}:
                self.place += 1
                self.skip()
                return [(name, sign == ":=") for name in found]
            if sign != ",":
                break
            self.place += 1
            self.skip()
        self.place = begun
        return []

    def pipeline(self) -> Evaluate:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise fail("too deeply nested")
        value = self.command(None)
        while self.peek().text == "|":
            self.place += 1
            self.skip()
            value = self.command(value)
        self.depth -= 1
        return value

    def command(self, before: Evaluate | None) -> Evaluate:
        operands: list[tuple[str, Evaluate]] = []
        while True:
            token = self.peek()
            if token.kind == "end" or token.text in {"|", ")"} or token.text == ",":
                break
            operands.append(self.operand())
            self.skip()
        if not operands:
            raise fail("missing value for command")
        name, first = operands[0]
        arguments = [_called(inner, []) if inner else value for inner, value in operands[1:]]
        if before is not None:
            arguments.append(before)
        if name:
            return _called(name, arguments)
        if arguments:
            raise fail("can't give argument to non-function")
        return first

    def operand(self) -> tuple[str, Evaluate]:
        """Return a function's name, or "" and a value."""
        token = self.take()
        value: Evaluate
        if token.kind == "word":
            if token.text in {"true", "false", "nil"}:
                return "", _constant({"true": True, "false": False, "nil": None}[token.text])
            if token.text not in FUNCTIONS:
                raise fail(f"function {quoted(token.text)} not defined")
            return token.text, _dot
        if token.kind == "dot":
            value = _dot
        elif token.kind == "field":
            value = _field(_dot, token.text[1:])
        elif token.kind == "variable":
            value = _variable(token.text)
        elif token.text == "(":
            self.skip()
            value = self.pipeline()
            if self.take().text != ")":
                raise fail("unclosed left paren")
        elif token.kind in {"string", "raw", "char", "number"}:
            return "", _constant(_literal(token))
        else:
            raise fail(f"unexpected {quoted(token.text)} in operand")
        while self.peek().kind == "field":
            value = _field(value, self.take().text[1:])
        return "", value


def _literal(token: _Token) -> Any:
    if token.kind == "raw":
        return token.text[1:-1].replace("\r", "")
    if token.kind == "string":
        return _unescape(token.text[1:-1])
    if token.kind == "char":
        sign = _unescape(token.text[1:-1])
        if len(sign) != 1:
            raise fail(f"malformed character constant: {token.text}")
        return ord(sign)
    plain = token.text.replace("_", "")
    try:
        return int(plain, 0) if not re.match(r"[+-]?0[0-9]+$", plain) else int(plain, 8)
    except ValueError:
        try:
            return float(plain)
        except ValueError:
            raise fail(f"bad number syntax: {quoted(token.text)}") from None


def _text(said: str) -> Act:
    return lambda run, _: run.say(said)


def _nothing(_: _Run, __: Any) -> None:
    """Do nothing."""


def _sequence(acts: list[Act]) -> Act:
    def act(run: _Run, dot: Any) -> None:
        mark = len(run.variables)
        for one in acts:
            run.context.spend(1)
            one(run, dot)
        del run.variables[mark:]

    return act


def _jump(how: type[Exception]) -> Act:
    def act(_: _Run, __: Any) -> None:
        raise how

    return act


def _print(value: Evaluate) -> Act:
    return lambda run, dot: run.say(shown(value(run, dot)))


def _assign(name: tuple[str, bool], value: Evaluate) -> Act:
    def act(run: _Run, dot: Any) -> None:
        found = value(run, dot)
        if name[1]:
            run.variables.append((name[0], found))
            return
        for place in range(len(run.variables) - 1, -1, -1):
            if run.variables[place][0] == name[0]:
                run.variables[place] = (name[0], found)
                return
        raise fail(f"undefined variable: {name[0]}")

    return act


def _choose(names: list[tuple[str, bool]], value: Evaluate, body: Act, other: Act, *, moves: bool) -> Act:
    def act(run: _Run, dot: Any) -> None:
        mark = len(run.variables)
        found = value(run, dot)
        run.variables.extend((name, found) for name, _ in names)
        if truth(found):
            body(run, found if moves else dot)
        else:
            other(run, dot)
        del run.variables[mark:]

    return act


def _range(names: list[tuple[str, bool]], value: Evaluate, body: Act, other: Act) -> Act:
    def act(run: _Run, dot: Any) -> None:
        mark = len(run.variables)
        pairs = _pairs(value(run, dot))
        for index, element in pairs:
            if len(names) == 1:
                run.variables.append((names[0][0], element))
            elif names:
                run.variables.extend([(names[0][0], index), (names[1][0], element)])
            try:
                body(run, element)
            except _Continue:
                pass
            except _Break:
                break
            finally:
                del run.variables[mark:]
        if not pairs:
            other(run, dot)

    return act


def _pairs(found: Any) -> list[tuple[Any, Any]]:
    if found is None or found is MISSING:
        return []
    if type(found) is list:
        return [(place, held(element)) for place, element in enumerate(found)]
    if type(found) is dict:
        return [(name, held(element)) for name, element in sorted_items(found)]
    if type(found) is int:
        return [(place, place) for place in range(short(max(found, 0)))]
    raise fail(f"range can't iterate over {shown(found)}")


def _include(name: str, value: Evaluate) -> Act:
    def act(run: _Run, dot: Any) -> None:
        body = run.templates.get(name)
        if body is None:
            raise fail(f"template {quoted(name)} not defined")
        run.depth += 1
        if run.depth > _DEEPEST:
            raise fail("exceeded maximum template depth")
        found = value(run, dot)
        kept, run.variables = run.variables, [("$", found)]
        body(run, found)
        run.variables = kept
        run.depth -= 1

    return act


def _constant(value: Any) -> Evaluate:
    return lambda _, __: value


def _dot(_: _Run, dot: Any) -> Any:
    return dot


def _variable(name: str) -> Evaluate:
    def evaluate(run: _Run, _: Any) -> Any:
        for known, value in reversed(run.variables):
            if known == name:
                return value
        raise fail(f"undefined variable {quoted(name)}")

    return evaluate


def _field(value: Evaluate, name: str) -> Evaluate:
    def evaluate(run: _Run, dot: Any) -> Any:
        found = value(run, dot)
        if type(found) is dict:
            return held(found.get(name, MISSING))
        if found is None or found is MISSING:
            return MISSING
        raise fail(f"can't evaluate field {name} in type {kind_of(found)}")

    return evaluate


def _called(name: str, arguments: list[Evaluate]) -> Evaluate:
    function = FUNCTIONS[name]

    if name in {"and", "or"}:
        if not arguments:
            raise fail(f"wrong number of args for {name}: want at least 1 got 0")

        def lazy(run: _Run, dot: Any) -> Any:
            found: Any = None
            for argument in arguments:
                found = argument(run, dot)
                if truth(found) == (name == "or"):
                    break
            return found

        return lazy

    def evaluate(run: _Run, dot: Any) -> Any:
        return function(*[argument(run, dot) for argument in arguments])

    return evaluate


@lru_cache(maxsize=256)
def _compiled(source: str) -> tuple[Act, dict[str, Act]]:
    return _Parser(source).parse()


def render(context: Context, template: Any, variables: Any) -> str:
    """Fill in a template with the object's values."""
    source, data = text(template, 1), to_json(an_object(variables, 2))
    body, templates = _compiled(source)
    run = _Run(context, data, templates, variables=[("$", data)])
    try:
        body(run, data)
    except TypeError:
        raise fail("wrong number of args for a function") from None
    except (_Break, _Continue):
        raise fail("break or continue outside range") from None
    return "".join(run.out)


BUILTINS = table(Builtin("strings.render_template", 2, render))
