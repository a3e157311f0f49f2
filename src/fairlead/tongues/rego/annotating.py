"""METADATA comments: what they say, what they belong to, and what rego.metadata.rule() and rego.metadata.chain() give for a rule.

They are read only where some module asks for them, as OPA does: a comment that is no good hurts nobody else. Must never change a
module.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from .errors import BadModule
from .syntax import Array, At, Module, Object, Ref, Rule, Scalar, Term, Var
from .values import show

CALLS: Final = frozenset({"rego.metadata.chain", "rego.metadata.rule"})
_SCOPES: Final = ("rule", "document", "package", "subpackages")
_TYPES: Final[Mapping[str, tuple[type, str]]] = {
    "scope": (str, "string"),
    "title": (str, "string"),
    "description": (str, "string"),
    "entrypoint": (bool, "bool"),
    "organizations": (list, "[]string"),
    "related_resources": (list, "[]interface {}"),
    "authors": (list, "[]interface {}"),
    "schemas": (list, "[]map[string]interface {}"),
    "custom": (dict, "map[string]interface {}"),
}
_TAGS: Final = {dict: "!!map", list: "!!seq", str: "!!str", bool: "!!bool", int: "!!int", float: "!!float"}
_LINE: Final = re.compile(r"yaml:(?: unmarshal errors:[\n\s]*)? line ([0-9]+):")
_Path = tuple[Any, ...]


@dataclass(slots=True, eq=False)
class Annotation:
    """One block: its scope, what it says as JSON, the path of what it belongs to and where it stands."""

    scope: str
    said: dict[str, Any]
    path: _Path
    file: str
    at: At
    rule: Rule | None = None


def path_of(rule: Rule) -> _Path:
    """Return a rule's path, as far as it does not vary."""
    head = rule.ref[0]
    assert isinstance(head, Var)
    found: list[Any] = [*rule.package, head.name]
    for step in rule.ref[1:]:
        if not isinstance(step, Scalar):
            break
        found.append(step.value)
    return tuple(found)


@dataclass(slots=True)
class Annotations:
    """All of a program's annotations."""

    rules: dict[int, list[Annotation]] = field(default_factory=dict)
    packages: dict[_Path, Annotation] = field(default_factory=dict)
    paths: dict[_Path, Annotation] = field(default_factory=dict)

    def answer(self, call: str, rule: Rule) -> Term:
        """Return what one of the two functions gives inside a rule."""
        own = sorted(self.rules.get(id(rule), ()), key=lambda one: one.at, reverse=True)
        if call == "rego.metadata.rule":
            return _term(own[0].said if own else {}, rule.at)
        chain = [{"annotations": one.said, "path": list(one.path)} for one in own] or [
            {"path": list(path_of(rule))}
        ]
        package = tuple(rule.package)
        above = [self.paths.get(package[:length]) for length in range(len(package), 0, -1)]
        around = (self.paths.get(path_of(rule)), self.packages.get(package), *above)
        chain.extend({"annotations": one.said, "path": list(one.path)} for one in around if one is not None)
        return _term(chain, rule.at)


def gathered(modules: Iterable[Module]) -> tuple[Annotations, list[BadModule]]:
    """Return the annotations of all modules, and what is wrong with them."""
    found, errors = Annotations(), list[BadModule]()
    for module in modules:
        for one in _blocks(module, errors):
            _add(found, one, errors)
    return found, errors


def _add(found: Annotations, one: Annotation, errors: list[BadModule]) -> None:
    if one.scope == "rule":
        found.rules.setdefault(id(one.rule), []).append(one)
        return
    table = found.packages if one.scope == "package" else found.paths
    other = table.get(one.path)
    if other is not None:
        message = f"{one.scope} annotation redeclared: {other.file}:{other.at[0]}"
        errors.append(BadModule(message, one.file, *one.at, code="rego_type_error"))
        return
    table[one.path] = one


def _blocks(module: Module, errors: list[BadModule]) -> list[Annotation]:
    blocks: list[tuple[At, list[str]]] = []
    current: list[str] | None = None
    last = 0
    for at, text in module.comments:
        if current is not None and at == (last + 1, 1):
            current.append(text.removeprefix(" "))
        elif text.strip().startswith("METADATA"):
            current = []
            blocks.append((at, current))
        else:
            current = None
        last = at[0]
    made: list[Annotation] = []
    for at, lines in blocks:
        try:
            made.append(_annotation(module, at, lines))
        except ValueError as error:
            line = _LINE.match(str(error))
            place = (at[0] + 1 + min(int(line[1]), len(lines) - 1), 1) if line else at
            errors.append(BadModule(str(error), module.file, *place))
    return made


def _annotation(module: Module, at: At, lines: Sequence[str]) -> Annotation:
    """Return what a block says. Raises ValueError with OPA's message."""
    if not any(line.strip() for line in lines):
        raise ValueError("expected METADATA block, found whitespace")
    said = _document(lines)
    things: list[Rule | Module | At] = [module, *[one.at for one in module.imports], *module.rules]
    after = [one for one in things if (one if isinstance(one, tuple) else one.at)[0] > at[0]]
    node = min(after, key=lambda one: one if isinstance(one, tuple) else one.at) if after else None
    scope = said.get("scope", "")
    entrypoint = said.get("entrypoint", False)
    if not scope and isinstance(node, Rule):
        scope = "document" if entrypoint else "rule"
    elif not scope:
        scope = "package" if isinstance(node, Module) else "import" if node is not None else ""
    if scope not in _SCOPES:
        raise ValueError(
            f"invalid annotation scope '{scope}'. Use one of 'rule', 'document', 'package', or 'subpackages'"
        )
    wanted = Rule if scope in {"rule", "document"} else Module
    if not isinstance(node, wanted):
        raise ValueError(  # noqa: TRY004  the text is what is wrong
            f"annotation scope '{scope}' must be applied to {'rule' if wanted is Rule else 'package'}{_kind(node)}"
        )
    if entrypoint and scope not in {"document", "package"}:
        raise ValueError(f"annotation entrypoint applied to non-document or package scope '{scope}'")
    assert isinstance(node, Rule | Module)
    path = path_of(node) if isinstance(node, Rule) else tuple(node.package)
    rule = node if isinstance(node, Rule) else None
    return Annotation(scope, {**_shown(said), "scope": scope}, path, module.file, at, rule)


def _kind(node: Rule | Module | At | None) -> str:
    if node is None:
        return ""
    return (
        f" (have {'rule' if isinstance(node, Rule) else 'package' if isinstance(node, Module) else 'import'})"
    )


def _document(lines: Sequence[str]) -> dict[str, Any]:
    from .builtins.kinds import BuiltinError
    from .builtins.yamls import parse

    try:
        said = parse("\n".join(lines) + "\n")
    except BuiltinError as error:
        raise ValueError(str(error).removeprefix("error converting YAML to JSON: ")) from None
    if said is None:
        return {}
    wrong: list[str] = []
    if type(said) is not dict:
        raise ValueError(
            f"yaml: unmarshal errors:\n  line 1: cannot unmarshal {_tagged(said)} into ast.rawAnnotation"
        )
    for place, (name, value) in enumerate(said.items(), 1):
        wanted = _TYPES.get(name)
        if wanted is None or value is None or type(value) is wanted[0]:
            continue
        if wanted[0] is str and type(value) not in {dict, list}:
            said[name] = show(value)
            continue
        wrong.append(f"  line {place}: cannot unmarshal {_tagged(value)} into {wanted[1]}")
    if wrong:
        raise ValueError("yaml: unmarshal errors:\n" + "\n".join(wrong))
    return {name: value for name, value in said.items() if value is not None}


def _tagged(value: Any) -> str:
    """Return a value's YAML tag, with a scalar's text."""
    text = "" if type(value) in {dict, list} else f" `{value if type(value) is str else show(value)}`"
    return f"{_TAGS[type(value)]}{text}"


def _shown(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an annotation says as the functions give it."""
    found: dict[str, Any] = {
        name: said[name] for name in ("title", "description", "custom") if said.get(name)
    }
    if said.get("entrypoint"):
        found["entrypoint"] = True
    if said.get("organizations"):
        found["organizations"] = [one if type(one) is str else show(one) for one in said["organizations"]]
    if said.get("related_resources"):
        found["related_resources"] = [_related(one) for one in said["related_resources"]]
    if said.get("authors"):
        found["authors"] = [_author(one) for one in said["authors"]]
    if said.get("schemas"):
        found["schemas"] = [_schema(one) for one in said["schemas"]]
    return found


def _related(said: Any) -> dict[str, str]:
    def bad(why: str) -> ValueError:
        return ValueError(f"invalid related-resource definition {_printed(said)}: {why}")

    if type(said) is str:
        if not said:
            raise bad("ref URL may not be empty string")
        return {"ref": said}
    if type(said) is not dict:
        raise bad("invalid value type, must be string or map")
    ref, description = _word(said, "ref"), _word(said, "description")
    if not ref:
        raise bad("'ref' value required in object")
    return {"ref": ref, "description": description} if description else {"ref": ref}


def _author(said: Any) -> dict[str, str]:
    def bad(why: str) -> ValueError:
        return ValueError(f"invalid author definition {_printed(said)}: {why}")

    if type(said) is str:
        words = said.split()
        if not words:
            raise bad("author is an empty string")
        email = ""
        if len(words[-1]) > 1 and words[-1][0] == "<" and words[-1][-1] == ">":
            email = words.pop()[1:-1]
        name = " ".join(words)
    elif type(said) is dict:
        name, email = _word(said, "name"), _word(said, "email")
        if not name and not email:
            raise bad("'name' and/or 'email' values required in object")
    else:
        raise bad("invalid value type, must be string or map")
    return {key: value for key, value in (("name", name), ("email", email)) if value}


def _schema(said: Any) -> dict[str, Any]:
    if type(said) is not dict or len(said) != 1:
        raise ValueError("invalid document reference")
    ((name, value),) = said.items()
    path = _reference(name)
    if path is None:
        raise ValueError("invalid document reference")
    if type(value) is dict:
        return {"path": path, "definition": value}
    if type(value) is not str:
        raise ValueError(f'invalid schema declaration for path "{name}"')
    schema = _reference(value)
    if schema is None or schema[0] != "schema":
        raise ValueError("invalid schema reference")
    return {"path": path, "schema": schema}


def _reference(text: str) -> list[Any] | None:
    from .parsing import parse_term

    try:
        term = parse_term(text)
    except BadModule:
        return None
    head = term.head if isinstance(term, Ref) else term
    if not isinstance(head, Var):
        return None
    return [head.name, *[step.value for step in getattr(term, "path", ()) if isinstance(step, Scalar)]]


def _word(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name)
    return value.strip() if type(value) is str else ""


def _printed(said: Any) -> str:
    """Return a value as Go prints it."""
    if type(said) is dict:
        return f"map[{' '.join(f'{name}:{_printed(said[name])}' for name in sorted(said))}]"
    if type(said) is list:
        return f"[{' '.join(map(_printed, said))}]"
    return str(said)


def _term(value: Any, at: At) -> Term:
    """Return the term that stands for a JSON value."""
    if type(value) is dict:
        return Object(tuple([(Scalar(name, at), _term(item, at)) for name, item in value.items()]), at)
    if type(value) is list:
        return Array(tuple([_term(item, at) for item in value]), at)
    return Scalar(value, at)
