"""Texts and documents with variables `{{ }}` and references `$( )`: compiled once, filled in for each subject.

What a variable gives is never read again for variables: data cannot smuggle expressions into a policy. The document itself
is never changed; a document without variables is returned as it is.
Source: kyverno/kyverno pkg/engine/variables/vars.go.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias

from fairlead.dialects.kyverno.contexts import Context, Unresolved
from fairlead.tongues import jmespath
from fairlead.tongues.jmespath import BadExpression, Failed, Missing, to_json

Template: TypeAlias = Callable[[Context], Any]
"""Fills in a document for one subject. Raises Unresolved; Lacking goes through."""

_VARIABLE = re.compile(r"(?<!\\)\{\{((?:\{[^{}]*\}|[^{}])*)\}\}")
_ESCAPED = re.compile(r"\\(\{\{(?:\{[^{}]*\}|[^{}])*\}\})")
_REFERENCE = re.compile(r"(?<!\\)\$\(.[^ ]*\)")
_ESCAPED_REFERENCE = re.compile(r"\\(\$\(.[^ ]*\))")
_HOLE = re.compile("\ue000(\\d+)\ue001")
_OPERATOR = re.compile(r">=|<=|>|<|!")
_ANCHOR = re.compile(r"^[+<=X^]?\((.*)\)$")
_DEEPEST = 50
_MOST_REFERENCES = 200


def has_variables(value: Any) -> bool:
    """Return whether a document has any variable or reference, in keys or values."""
    if isinstance(value, str):
        return "{{" in value or "$(" in value
    if isinstance(value, dict):
        return any(has_variables(key) or has_variables(item) for key, item in value.items())
    if isinstance(value, list):
        return any(map(has_variables, value))
    return False


def compile_template(value: Any) -> Template:
    """Return the function that fills in a document. Raises nothing: an expression that cannot be read fails when it is needed."""
    if not has_variables(value):
        return lambda _: value
    return _compile(_refer(value, value, ""), ())


def compile_text(text: str) -> Callable[[Context], str]:
    """Return the function that fills in a text and gives a text whatever the variables hold."""
    fill = compile_template(text)

    def run(context: Context) -> str:
        value = fill(context)
        return value if isinstance(value, str) else to_json(value)

    return run


def expressions(value: Any) -> list[str]:
    """Return the text of each variable in a document that holds no other variable."""
    if isinstance(value, str):
        return [found.strip() for found in _VARIABLE.findall(value)]
    if isinstance(value, dict):
        return [one for key, item in value.items() for one in (*expressions(key), *expressions(item))]
    if isinstance(value, list):
        return [one for item in value for one in expressions(item)]
    return []


class _Broken(str):
    """A text whose reference leads nowhere; the text is the complaint."""

    __slots__ = ()


def _compile(value: Any, path: tuple[str | int, ...]) -> Template:
    if isinstance(value, _Broken):
        return _failing(str(value))
    if isinstance(value, str):
        return _compile_string(value, path)
    if isinstance(value, dict):
        return _compile_dict(value, path)
    if isinstance(value, list):
        fills = [_compile(item, (*path, index)) for index, item in enumerate(value)]
        if not has_variables(value):
            return lambda _: value
        return lambda context: [fill(context) for fill in fills]
    return lambda _: value


def _compile_dict(value: dict[Any, Any], path: tuple[str | int, ...]) -> Template:
    if not has_variables(value):
        return lambda _: value
    if any(map(has_variables, value)):
        return _compile_named(value, path)
    varying = [(key, _compile(item, (*path, key))) for key, item in value.items() if has_variables(item)]

    def run(context: Context) -> dict[Any, Any]:
        made = value.copy()
        for key, fill in varying:
            made[key] = fill(context)
        return made

    return run


def _compile_named(value: dict[Any, Any], path: tuple[str | int, ...]) -> Template:
    """Compile a mapping some of whose keys have variables."""
    fills: list[tuple[Any, Template | None, Template]] = []
    for key, item in value.items():
        name = _compile_string(key, (*path, key)) if has_variables(key) else None
        fills.append((key, name, _compile(item, (*path, key))))

    def run(context: Context) -> dict[Any, Any]:
        made = {}
        for key, name, fill in fills:
            if name is not None:
                found = name(context)
                made[found if isinstance(found, str) else to_json(found)] = fill(context)
            else:
                made[key] = fill(context)
        return made

    return run


def _failing(message: str) -> Template:
    def run(_: Context) -> Any:
        raise Unresolved(message)

    return run


def _compile_string(text: str, path: tuple[str | int, ...]) -> Template:
    if "{{" not in text:
        plain = _ESCAPED_REFERENCE.sub(r"\1", text)
        return lambda _: plain
    holes: list[str] = []

    def dig(found: re.Match[str]) -> str:
        holes.append(found[1])
        return f"\ue000{len(holes) - 1}\ue001"

    rest, count, rounds = text, 1, 0
    while count:
        rest, count = _VARIABLE.subn(dig, rest)
        rounds += 1
        if rounds > _DEEPEST:
            return _failing("variables are nested too deeply")
    if not holes:
        plain = _ESCAPED.sub(r"\1", text)
        return lambda _: plain
    return _pieces(_ESCAPED.sub(r"\1", rest), holes, path)


def _pieces(text: str, holes: list[str], path: tuple[str | int, ...]) -> Template:
    """Compile a text whose variables have become holes: one hole alone keeps its value's type, more are joined as text."""
    parts = _HOLE.split(text)
    texts, variables = parts[::2], [_variable(holes[int(index)], holes, path) for index in parts[1::2]]
    if not variables:
        return lambda _: text
    if len(variables) == 1 and not any(texts):
        return variables[0]

    def run(context: Context) -> str:
        made = [texts[0]]
        for variable, after in zip(variables, texts[1:], strict=True):
            value = variable(context)
            made.append(value if isinstance(value, str) else to_json(value))
            made.append(after)
        return "".join(made)

    return run


def _variable(text: str, holes: list[str], path: tuple[str | int, ...]) -> Template:
    place = "".join(f"/{step}" for step in path)
    if _HOLE.search(text):
        inner = _pieces(text.strip(), holes, path)

        def dynamic(context: Context) -> Any:
            made = inner(context)
            return _query(made if isinstance(made, str) else to_json(made), place)(context)

        return dynamic
    stripped = text.strip()
    if stripped == "@":
        return _here(path, place)
    return _query(stripped, place)


def _here(path: tuple[str | int, ...], place: str) -> Template:
    """Compile `{{@}}`: the value at the same place in the object, or in the target of a mutation."""
    steps = "".join(f"[{step}]" if isinstance(step, int) else f".{_quoted(step)}" for step in path)
    of_target, of_object = _query(f"target{steps}", place), _query(f"request.object{steps}", place)
    return lambda context: (of_object if context.data["target"].__class__ is Missing else of_target)(context)


def _quoted(step: str) -> str:
    anchor = _ANCHOR.match(step)
    return to_json(anchor[1] if anchor else step)


@lru_cache(maxsize=8192)
def _query(text: str, place: str) -> Template:
    if not text:
        return _failing("invalid query (nil)")
    try:
        find = jmespath.compile(text).find
        old = find
        if "request.object" in text:
            old = jmespath.compile(text.replace("request.object", "request.oldObject")).find
    except BadExpression as error:
        return _failing(f"failed to resolve {text} at path {place}: incorrect query {text}: {error}")

    def run(context: Context) -> Any:
        try:
            value = (old if context.deleting else find)(context.data, context.moment)
            if value.__class__ is Missing:
                raise value.error()
        except Failed as error:
            raise Unresolved(
                f"failed to resolve {text} at path {place}: JMESPath query failed: {error}"
            ) from None
        return value

    return run


def _refer(value: Any, document: Any, path: str) -> Any:
    """Return the document with each `$(path)` replaced by the text it points at."""
    if isinstance(value, dict):
        return {
            (_refer_text(key, document, f"{path}/{key}") if isinstance(key, str) else key): _refer(
                item, document, f"{path}/{key}"
            )
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_refer(item, document, f"{path}/{index}") for index, item in enumerate(value)]
    return _refer_text(value, document, path) if isinstance(value, str) else value


def _refer_text(text: str, document: Any, path: str) -> str:
    if "$(" not in text:
        return text
    if text.count("$(") > _MOST_REFERENCES:
        return _Broken(f"too many references $( at path {path}")
    problem = ""

    def follow(found: re.Match[str]) -> str:
        nonlocal problem
        target = found[0].strip("$()")
        sign = _OPERATOR.match(target)
        operator = sign[0] if sign else ""
        target = target[len(operator) :]
        where = target if target.startswith("/") else posixpath.normpath(f"{_bare(path)}/{target}")
        value = _leaf(document, where)
        if value is None:
            problem = f"got nil resolved variable {found[0]} at path {path}: <nil>"
        elif isinstance(value, str):
            return operator + value
        elif operator and isinstance(value, int | float) and not isinstance(value, bool):
            return f"{operator}{value:f}" if isinstance(value, float) else f"{operator}{value}"
        else:
            problem = f"NotResolvedReferenceErr,reference {found[0]} not resolved at path {path}"
        return found[0]

    made = _REFERENCE.sub(follow, text)
    return _Broken(problem) if problem else made


def _bare(path: str) -> str:
    return "/".join(found[1] if (found := _ANCHOR.match(step)) else step for step in path.split("/"))


def _leaf(document: Any, where: str) -> Any:
    """Return the leaf at a path that is written without anchors, or None."""
    for step in where.strip("/").split("/"):
        if isinstance(document, dict):
            document = next((item for key, item in document.items() if _bare(str(key)) == step), None)
        elif isinstance(document, list) and step.isdigit() and int(step) < len(document):
            document = document[int(step)]
        else:
            return None
    return None if isinstance(document, dict | list) else document
