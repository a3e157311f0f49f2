r"""validate.assert: assertion trees, documents whose keys are projections of what they assert something about.

| key | projects |
| --- | --- |
| `name` | the field |
| `(expression)` | what the expression makes of the current value |
| `~.name`, `~index.name` | each element of a list or each value of an object |
| `name->binding` | the same, and lets `$binding` stand for it below |
| `\name\` | the field, whatever it looks like |

A leaf is compared; one in parentheses is evaluated first. Nothing is fetched.
Source: kyverno/kyverno-json pkg/core/assertion, pkg/core/expression.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from fairlead.dialects.kyverno.contexts import Context, Unresolved
from fairlead.dialects.kyverno.validating import BadRule, Check, Said
from fairlead.judge.expressions_requests import user_info
from fairlead.tongues import jmespath
from fairlead.tongues.jmespath import BadExpression, Failed, Function, Missing, Moment, equal, to_json
from fairlead.tongues.paths import mapping, strings

_EXPRESSION = re.compile(r"^\((.+)\)$", re.DOTALL)
_ESCAPED = re.compile(r"^\\(.+)\\$", re.DOTALL)
_FOREACH = re.compile(r"^~(\w+)?\.(.*)$", re.DOTALL)
_BINDING = re.compile(r"(.*)\s*->\s*(\w+)\s*$", re.DOTALL)
_QUOTED = re.compile(r"('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`(?:[^`\\]|\\.)*`)")
_VARIABLE = re.compile(r"\$([A-Za-z_]\w*)")
_DEEPEST = 100

Scope: TypeAlias = "Mapping[str, Callable[[], Any]]"
_Value: TypeAlias = Callable[[Any, Scope], Any]


class _Difference(NamedTuple):
    path: str
    value: Any
    text: str

    def told(self) -> str:
        return f"{self.path}: Invalid value: {_shown(self.value)}: {self.text}"


_Node: TypeAlias = Callable[[str, Any, Scope], "list[_Difference]"]


def _shown(value: Any) -> str:
    return "null" if value is None else to_json(value)


class _Moment(Moment):
    """A Moment that knows the bindings in sight."""

    __slots__ = ("scope",)

    def __init__(self, scope: Scope) -> None:
        super().__init__()
        self.scope = scope


def _bound(moment: Moment, name: str) -> Any:
    scope = moment.scope if isinstance(moment, _Moment) else {}
    if name not in scope:
        raise Failed(f"variable not defined: ${name}")
    return scope[name]()


_FUNCTIONS: Mapping[str, Function] = {
    **jmespath.KYVERNO,
    "__bound": Function("__bound", (("string",),), _bound),
}


def compile_assert(document: Any, name: str, entries: Any, path: str) -> Check:
    """Compile an assertion tree; `entries` is the rule's context, whose entries are bindings. Raises BadRule."""
    node = _compile(document, path, 0)
    names = (
        [str(one.get("name")) for one in entries if isinstance(one, Mapping)]
        if isinstance(entries, list)
        else []
    )
    passed = Said("pass", f"Validation rule '{name}' passed.")

    def check(context: Context) -> Said:
        scope = {one: _entry(context, one) for one in names}
        try:
            found = node("", _payload(context), scope)
        except Failed as error:
            return Said("error", f"failed to apply assertion: {error}")
        if not found:
            return passed
        places = tuple(dict.fromkeys(f".{place}" for one in found for place in _in_object(one.path)))
        return Said("fail", "; ".join(one.told() for one in found), places, found[0].text)

    return check


def _entry(context: Context, name: str) -> Callable[[], Any]:
    def load() -> Any:
        found = context.data[name]
        if found.__class__ is Missing:
            raise Unresolved(str(found.error()))
        return found

    return load


def _in_object(path: str) -> list[str]:
    """Return the place in the object as far as the path is plain."""
    plain = re.match(r"object\.([A-Za-z0-9_.\[\]]+?)(?=\.?\(|\.?~|$)", path)
    return [plain[1]] if plain else []


def _payload(context: Context) -> dict[str, Any]:
    subject = context.subject
    target = subject.target
    space = subject.space
    if space is None and subject.namespace:
        space = context.around.view.get("", "Namespace", "", subject.namespace)
    return {
        "object": subject.object,
        "oldObject": subject.old,
        "admissionInfo": {
            "roles": list(subject.roles),
            "clusterRoles": list(subject.cluster_roles),
            "userInfo": user_info(subject.user),
        },
        "operation": target.operation,
        "namespaceLabels": strings(mapping(space), "metadata", "labels"),
        "admissionOperation": not subject.scan,
        "requestResource": {"group": target.group, "version": target.version, "resource": target.plural},
        "resourceKind": {
            "group": target.group,
            "version": target.version,
            "kind": target.kind,
            "subResource": target.subresource,
        },
    }


def _expression(text: str, path: str) -> _Value:
    pieces = _QUOTED.split(text)
    readable = "".join(
        piece if index % 2 else _VARIABLE.sub(r"__bound('\1')", piece) for index, piece in enumerate(pieces)
    )
    try:
        compiled = jmespath.compile(readable, _FUNCTIONS)
    except BadExpression as error:
        raise BadRule(path, f"{text}: {error}") from None
    return lambda value, scope: compiled.search(value, _Moment(scope))


def _compile(document: Any, path: str, depth: int) -> _Node:
    if depth > _DEEPEST:
        raise BadRule(path, "the assertion is nested too deeply")
    if isinstance(document, Mapping):
        parts = [_projection(str(key), item, f"{path}.{key}", depth) for key, item in document.items()]

        def each(at: str, value: Any, scope: Scope) -> list[_Difference]:
            return [one for part in parts for one in part(at, value, scope)]

        return each
    if isinstance(document, list):
        return _list([_compile(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(document)])
    return _leaf(document, path)


def _list(nodes: list[_Node]) -> _Node:
    def run(at: str, value: Any, scope: Scope) -> list[_Difference]:
        if value is not None and not isinstance(value, list):
            return [_Difference(at, value, f"value is not of type slice (found {type(value).__name__})")]
        items = value or []
        if len(items) != len(nodes):
            return [_Difference(at, value, "lengths of slices don't match")]
        return [
            one
            for index, (node, item) in enumerate(zip(nodes, items, strict=True))
            for one in node(f"{at}[{index}]", item, scope)
        ]

    return run


def _leaf(document: Any, path: str) -> _Node:
    expected: _Value = lambda _value, _scope: document  # noqa: E731  one of two ways to the same
    if isinstance(document, str):
        found = _EXPRESSION.match(document)
        if found:
            expected = _expression(found[1], path)
        elif escaped := _ESCAPED.match(document):
            text = escaped[1]
            expected = lambda _value, _scope: text  # noqa: E731  as above

    def run(at: str, value: Any, scope: Scope) -> list[_Difference]:
        wanted = expected(value, scope)
        if equal(wanted, value):
            return []
        return [_Difference(at, value, f"Expected value: {_shown(wanted)}")]

    return run


def _projection(key: str, document: Any, path: str, depth: int) -> _Node:
    binding = ""
    if (bound := _BINDING.match(key)) is not None:
        key, binding = bound[1].strip(), bound[2]
    loop: str | None = None
    if (each := _FOREACH.match(key)) is not None:
        loop, key = each[1] or "", each[2]
    shown = key
    project: _Value
    if (escaped := _ESCAPED.match(key)) is not None:
        project = _field(escaped[1])
    elif (found := _EXPRESSION.match(key)) is not None:
        project = _expression(found[1], path)
    else:
        project = _field(key)
    inner = _compile(document, path, depth + 1)

    def run(at: str, value: Any, scope: Scope) -> list[_Difference]:
        projected = project(value, scope)
        below = f"{at}.{shown}" if at else shown
        here = {**scope, binding: lambda: projected} if binding else scope
        if loop is None:
            return inner(below, projected, here)
        return _over(inner, below, projected, here, loop)

    return run


def _field(name: str) -> _Value:
    return lambda value, _: value.get(name) if isinstance(value, dict) else None


def _over(inner: _Node, at: str, value: Any, scope: Scope, index_name: str) -> list[_Difference]:
    if value is None:
        return []
    if isinstance(value, dict):
        items: list[tuple[Any, Any]] = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    else:
        return [_Difference(at, value, "expected a list or an object")]
    found: list[_Difference] = []
    for key, item in items:
        here = {**scope, index_name: _constant(key)} if index_name else scope
        found += inner(f"{at}[{key}]" if isinstance(key, int) else f"{at}.{key}", item, here)
    return found


def _constant(value: Any) -> Callable[[], Any]:
    return lambda: value
