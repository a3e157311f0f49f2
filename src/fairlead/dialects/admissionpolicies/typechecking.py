"""Type checking of ValidatingAdmissionPolicies: which expressions cannot be right for the kinds that a policy names.

The types of kinds are handed in. Nothing is evaluated, and a warning never keeps a policy from being used.
Source: k8s.io/apiserver pkg/admission/plugin/policy/validating/typechecking.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from fairlead.judge.expressions import ADMISSION, Expression, compile_expressions
from fairlead.judge.reading import Source
from fairlead.tongues import cel
from fairlead.words import Resource

MOST = 10
"""How many kinds of a policy are checked."""


class Typed(NamedTuple):
    """A kind, and the type of its objects."""

    kind: str
    type: cel.Type


Types: TypeAlias = Callable[[str, str, str], Typed | None]
"""(group, version, plural) -> the kind and its type, or None where nothing is known of it."""


def status(
    document: Resource,
    judged: Sequence[Any] = (),  # noqa: ARG001  the face of all writers of a status
    findings: Sequence[Any] = (),  # noqa: ARG001  the same
    now: Any = None,  # noqa: ARG001  the same
    types: Types | None = None,
) -> Resource:
    """Return a policy's status: its expressions that cannot be right, each with why. Without `types` objects may be anything."""
    found: dict[str, list[str]] = {}
    kinds: list[tuple[str, cel.Type | None]] = list(_kinds(document, types)) if types is not None else []
    for title, type_ in kinds or [("", None)]:
        for expression in _expressions(document, type_):
            if expression.program is None:
                said = expression.fault.removeprefix("compilation failed: ")
                found.setdefault(expression.path.removeprefix("."), []).append(
                    f"{title}: {said}" if title else said
                )
    warnings = [{"fieldRef": path, "warning": "\n".join(texts)} for path, texts in found.items()]
    made: Resource = {"typeChecking": {"expressionWarnings": warnings} if warnings else {}}
    generation = (document.get("metadata") or {}).get("generation")
    if generation is not None:
        made["observedGeneration"] = generation
    return made


def _expressions(document: Resource, type_: cel.Type | None) -> list[Expression]:
    environment = ADMISSION
    if type_ is not None:
        environment = environment.extend(variables={"object": type_, "oldObject": type_})
    source = Source(document)
    spec = source.page().page("spec")
    made, _ = compile_expressions(
        source,
        variables=spec.pages("variables"),
        validations=spec.pages("validations"),
        annotations=spec.pages("auditAnnotations"),
        environment=environment,
    )
    return [
        *(one for _, one in made.variables),
        *(each for one in made.validations for each in (one.expression, one.worded) if each is not None),
        *(one for _, one in made.annotations),
    ]


def _kinds(document: Resource, types: Types) -> Iterator[tuple[str, cel.Type | None]]:
    """Yield the kinds that the rules name without wildcards, each as `apps/v1, Kind=Deployment` with its type."""
    seen: set[tuple[str, str, str]] = set()
    constraints = (document.get("spec") or {}).get("matchConstraints") or {}
    for rule in constraints.get("resourceRules") or ():
        for key in _named(rule):
            if key in seen or len(seen) >= MOST:
                continue
            typed = types(*key)
            if typed is not None:
                seen.add(key)
                group, version, _ = key
                yield f"{group + '/' if group else '/'}{version}, Kind={typed.kind}", typed.type


def _named(rule: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for group in rule.get("apiGroups") or ():
        for version in rule.get("apiVersions") or ():
            for plural in rule.get("resources") or ():
                if "*" not in (group, version) and "*" not in plural and "/" not in plural:
                    yield group, version, plural
