"""Go templates, as far as checks in JSON schema use them: text with actions in, a function from data to text out.

Fields, variables, pipelines, `if`, `with`, `range` and the functions of comparison, logic and text. What is not understood is refused when
the template is compiled, never passed over. An absent field is nothing, and prints as Go prints it: `<no value>`.
Source: pkg.go.dev/text/template.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

LARGEST: Final = 1_000_000
"""Characters that a rendered text may have."""
DEEPEST: Final = 40
"""Blocks and brackets that may be nested."""

Render: TypeAlias = Callable[[Any], str]
"""Return the text for some data. Raises BadTemplate where it cannot be made."""


class BadTemplate(ValueError):
    """A template that is not one, uses what is not supported, or cannot be rendered for the data."""


_ACTION = re.compile(
    r"\{\{(-(?=\s))?\s*(/\*.*?\*/|(?:\"(?:\\.|[^\"\\])*\"|`[^`]*`|[^}\"`]|\}(?!\}))*?)\s*((?<=\s)-)?\}\}",
    re.DOTALL,
)
_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:\\.|[^"\\])*"|`[^`]*`)|(?P<number>-?\d+(?:\.\d+)?)|(?P<field>\.[A-Za-z_][\w]*(?:\.[A-Za-z_][\w]*)*)"""
    r"""|(?P<variable>\$[A-Za-z_]?\w*(?:\.[A-Za-z_]\w*)*)|(?P<dot>\.)|(?P<word>[A-Za-z_]\w*)|(?P<mark>:=|=|\||\(|\)|,))"""
)


@dataclass(slots=True)
class _Scope:
    """What a template sees: the data at the dot, the variables, and what was written so far."""

    dot: Any
    variables: dict[str, Any]
    out: list[str] = field(default_factory=list)
    size: int = 0

    def write(self, text: str) -> None:
        self.size += len(text)
        if self.size > LARGEST:
            raise BadTemplate("the template makes a text that is too large")
        self.out.append(text)


_Step: TypeAlias = Callable[[_Scope], None]
_Value: TypeAlias = Callable[[_Scope], Any]


def compile(text: str) -> Render:  # noqa: A001  as in the standard library
    """Return the function that renders the template. Raises BadTemplate for what it is not."""
    parts = list(_parts(text))
    steps, end, at = _block(parts, 0, frozenset(), 0)
    if end or at != len(parts):
        raise BadTemplate(f"{end} stands alone")

    def render(data: Any) -> str:
        scope = _Scope(data, {"$": data})
        for step in steps:
            step(scope)
        return "".join(scope.out)

    return render


def _parts(text: str) -> Iterable[tuple[str, str]]:
    """Yield ("text", ...) and ("action", ...) in order, with the blanks that `{{-` and `-}}` take away taken away."""
    at, trim = 0, False
    for found in _ACTION.finditer(text):
        before = text[at : found.start()]
        if trim:
            before = before.lstrip()
        if found[1]:
            before = before.rstrip()
        if "{{" in before:
            raise BadTemplate("an action has no end")
        yield "text", before
        if not found[2].startswith("/*"):
            yield "action", found[2]
        at, trim = found.end(), bool(found[3])
    rest = text[at:]
    if "{{" in rest:
        raise BadTemplate("an action has no end")
    yield "text", rest.lstrip() if trim else rest


def _block(
    parts: Sequence[tuple[str, str]], at: int, ends: frozenset[str], depth: int
) -> tuple[list[_Step], str, int]:
    """Compile parts until one of the words that end a block; return the steps, that action, and where it goes on."""
    if depth > DEEPEST:
        raise BadTemplate("the template is nested too deeply")
    steps: list[_Step] = []
    while at < len(parts):
        sort, said = parts[at]
        at += 1
        if sort == "text":
            if said:
                steps.append(_writing(said))
            continue
        word = said.split(maxsplit=1)[0] if said.split() else ""
        if word in {"else", "end"}:
            if word not in ends:
                raise BadTemplate(f"{word} without a beginning")
            return steps, said, at
        if word in {"if", "with", "range"}:
            step, at = _branching(word, said[len(word) :], parts, at, depth)
            steps.append(step)
        elif word in {"define", "template", "block", "break", "continue"}:
            raise BadTemplate(f"{word} is not supported")
        else:
            steps.append(_action(said))
    if ends:
        raise BadTemplate("a block has no end")
    return steps, "", at


def _writing(text: str) -> _Step:
    return lambda scope: scope.write(text)


def _branching(
    word: str, said: str, parts: Sequence[tuple[str, str]], at: int, depth: int
) -> tuple[_Step, int]:
    names, value = _declared(said)
    if len(names) > (2 if word == "range" else 1):
        raise BadTemplate(f"{word} declares too many variables")
    body, end, at = _block(parts, at, frozenset({"else", "end"}), depth + 1)
    other: list[_Step] = []
    if end.startswith("else"):
        more = end[4:].strip()
        if more:
            inner, _, rest = more.partition(" ")
            if inner not in {"if", "with"}:
                raise BadTemplate(f"else {inner} is not supported")
            step, at = _branching(inner, rest, parts, at, depth + 1)
            other = [step]
        else:
            other, _, at = _block(parts, at, frozenset({"end"}), depth + 1)
    return (
        _ranging(names, value, body, other) if word == "range" else _choosing(word, names, value, body, other)
    ), at


def _choosing(word: str, names: list[str], value: _Value, body: list[_Step], other: list[_Step]) -> _Step:
    def step(scope: _Scope) -> None:
        held, dot = dict(scope.variables), scope.dot
        found = value(scope)
        if names:
            scope.variables[names[0]] = found
        if _true(found):
            if word == "with":
                scope.dot = found
            steps = body
        else:
            steps = other
        for one in steps:
            one(scope)
        scope.dot = dot
        scope.variables = {name: scope.variables[name] for name in held}

    return step


def _ranging(names: list[str], value: _Value, body: list[_Step], other: list[_Step]) -> _Step:
    def step(scope: _Scope) -> None:
        held, dot = dict(scope.variables), scope.dot
        found = value(scope)
        if isinstance(found, Mapping):
            pairs = [(key, found[key]) for key in sorted(found, key=str)]
        elif isinstance(found, list):
            pairs = list(enumerate(found))
        elif found is None:
            pairs = []
        else:
            raise BadTemplate("range over what is neither a list nor a map")
        for key, one in pairs:
            if len(names) == 2:
                scope.variables[names[0]] = key
            if names:
                scope.variables[names[-1]] = one
            scope.dot = one
            for inner in body:
                inner(scope)
        scope.dot = dot
        if not pairs:
            for inner in other:
                inner(scope)
        scope.variables = {name: scope.variables[name] for name in held}

    return step


def _action(said: str) -> _Step:
    names, value = _declared(said)
    if len(names) > 1:
        raise BadTemplate("two variables are declared at once")

    def step(scope: _Scope) -> None:
        found = value(scope)
        if names:
            scope.variables[names[0]] = found
        else:
            scope.write(_shown(found))

    return step


def _declared(said: str) -> tuple[list[str], _Value]:
    """Return the variables that an action declares (or sets), and its value."""
    tokens = _tokens(said)
    names: list[str] = []
    marks = [index for index, (sort, text) in enumerate(tokens) if sort == "mark" and text in {":=", "="}]
    if marks:
        for sort, text in tokens[: marks[0]]:
            if sort == "variable" and "." not in text and text != "$":
                names.append(text)
            elif (sort, text) != ("mark", ","):
                raise BadTemplate(f"{text} cannot be set")
        tokens = tokens[marks[0] + 1 :]
    value, rest = _pipeline(tokens, 0)
    if rest:
        raise BadTemplate(f"{rest[0][1]} is not expected in {said.strip()!r}")
    return names, value


def _tokens(said: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    at, end = 0, len(said.rstrip())
    while at < end:
        token = _TOKEN.match(said, at)
        if token is None or token.lastgroup is None:
            raise BadTemplate(f"{said[at:].strip()!r} is not understood")
        found.append((token.lastgroup, token[token.lastgroup]))
        at = token.end()
    return found


def _pipeline(tokens: list[tuple[str, str]], depth: int) -> tuple[_Value, list[tuple[str, str]]]:
    value, tokens = _command(tokens, None, depth)
    while tokens and tokens[0] == ("mark", "|"):
        value, tokens = _command(tokens[1:], value, depth)
    return value, tokens


def _command(
    tokens: list[tuple[str, str]], last: _Value | None, depth: int
) -> tuple[_Value, list[tuple[str, str]]]:
    """Compile a function with its arguments (and what is piped into it, last), or one value alone."""
    if not tokens:
        raise BadTemplate("a value is missing")
    sort, word = tokens[0]
    if sort == "word" and word not in {"true", "false", "nil"}:
        function = FUNCTIONS.get(word)
        if function is None:
            raise BadTemplate(f"the function {word} is not supported")
        arguments: list[_Value] = []
        tokens = tokens[1:]
        while tokens and tokens[0] not in {("mark", "|"), ("mark", ")")}:
            argument, tokens = _operand(tokens, depth)
            arguments.append(argument)
        if last is not None:
            arguments.append(last)
        return _calling(word, function, arguments), tokens
    if last is not None:
        raise BadTemplate(f"{word} is no function")
    return _operand(tokens, depth)


def _calling(word: str, function: Callable[..., Any], arguments: list[_Value]) -> _Value:
    def call(scope: _Scope) -> Any:
        try:
            return function(*(argument(scope) for argument in arguments))
        except (TypeError, ValueError, LookupError) as error:
            raise BadTemplate(f"{word}: {error}") from error

    return call


def _operand(tokens: list[tuple[str, str]], depth: int) -> tuple[_Value, list[tuple[str, str]]]:
    if depth > DEEPEST:
        raise BadTemplate("the template is nested too deeply")
    (sort, text), rest = tokens[0], tokens[1:]
    if (sort, text) == ("mark", "("):
        value, rest = _pipeline(rest, depth + 1)
        if not rest or rest[0] != ("mark", ")"):
            raise BadTemplate("a bracket has no end")
        rest = rest[1:]
        if rest and rest[0][0] == "field":  # (...).field
            return _reaching(value, rest[0][1].split(".")[1:]), rest[1:]
        return value, rest
    if sort == "field":
        return _reaching(lambda scope: scope.dot, text.split(".")[1:]), rest
    if sort == "dot":
        return lambda scope: scope.dot, rest
    if sort == "variable":
        name, *steps = text.split(".")
        return _reaching(lambda scope: _variable(scope, name), steps), rest
    constant = _constant(sort, text)
    return lambda _: constant, rest


def _variable(scope: _Scope, name: str) -> Any:
    if name not in scope.variables:
        raise BadTemplate(f"the variable {name} is not declared")
    return scope.variables[name]


def _reaching(value: _Value, steps: list[str]) -> _Value:
    def reach(scope: _Scope) -> Any:
        found = value(scope)
        for step in steps:
            found = found.get(step) if isinstance(found, Mapping) else None
        return found

    return reach if steps else value


def _constant(sort: str, text: str) -> Any:
    if sort == "text":
        if text.startswith("`"):
            return text[1:-1]
        try:
            return json.loads(text)
        except ValueError as error:
            raise BadTemplate(f"{text} is no text") from error
    if sort == "number":
        return float(text) if "." in text else int(text)
    if sort == "word":
        return {"true": True, "false": False, "nil": None}[text]
    raise BadTemplate(f"{text} is not expected")


def _true(value: Any) -> bool:
    return bool(value)


def _shown(value: Any) -> str:
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, Mapping):
        return f"map[{' '.join(f'{key}:{_shown(value[key])}' for key in sorted(value, key=str))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(_shown, value))}]"
    return str(value)


def _equal(first: Any, *others: Any) -> bool:
    return any(type(first) is type(other) and first == other for other in others)


def _index(found: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(found, list) and isinstance(key, int):
            found = found[key]
        else:
            found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _printed(form: str, *values: Any) -> str:
    wanted = re.findall(r"%[svdq]", form)
    if len(wanted) != len(values) or len(re.findall(r"%(?!%)", form.replace("%%", ""))) != len(wanted):
        raise BadTemplate(f"printf {form!r} is not supported")
    told = iter(values)
    return re.sub(
        r"%([svdq])",
        lambda one: json.dumps(_shown(next(told))) if one[1] == "q" else _shown(next(told)),
        form,
    ).replace("%%", "%")


def _last(values: Sequence[Any], stop: Callable[[Any], bool]) -> Any:
    for value in values[:-1]:
        if stop(value):
            return value
    return values[-1]


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "and": lambda *values: _last(values, lambda value: not _true(value)),
    "eq": _equal,
    "ge": lambda a, b: a >= b,
    "gt": lambda a, b: a > b,
    "hasPrefix": lambda text, part: str(text or "").startswith(part),
    "hasSuffix": lambda text, part: str(text or "").endswith(part),
    "index": _index,
    "le": lambda a, b: a <= b,
    "len": len,
    "lt": lambda a, b: a < b,
    "ne": lambda a, b: not _equal(a, b),
    "not": lambda value: not _true(value),
    "or": lambda *values: _last(values, _true),
    "print": lambda *values: "".join(map(_shown, values)),
    "printf": _printed,
}
"""The functions that a template may call: Go's own that decide and print, and the two that Polaris adds."""
