"""Bindings of admission policies and the parameters that they choose.

Reads what a binding says and finds its parameter objects in the view. Never evaluates an expression.
Source: k8s.io/apiserver pkg/admission/plugin/policy/generic CollectParams, error texts included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fairlead.judge.constraints import Constraints, labels_of, read_constraints, strings
from fairlead.judge.reading import Source, broken, unsupported
from fairlead.judge.subjects import Subject
from fairlead.judge.surroundings import Surroundings
from fairlead.tongues import selectors
from fairlead.words import Finding, Page, Resource

ACTIONS = ("Deny", "Warn", "Audit")


class Misconfigured(Exception):
    """Why a binding's parameters cannot be had."""


@dataclass(frozen=True, slots=True)
class ParamKind:
    """The kind of a policy's parameters."""

    group: str
    version: str
    kind: str

    def __str__(self) -> str:
        api_version = f"{self.group}/{self.version}" if self.group else self.version
        return f"&ParamKind{{APIVersion:{api_version},Kind:{self.kind},}}"


@dataclass(frozen=True, slots=True)
class ParamRef:
    """Which objects of that kind a binding chooses: one by name, or those that a selector selects."""

    name: str
    namespace: str
    selector: selectors.Expr | None
    deny: bool


@dataclass(frozen=True, slots=True)
class Binding:
    """One binding: whose, for which requests, with which parameters, and what a failure leads to."""

    source: Source
    name: str
    policy: str
    kind: str
    constraints: Constraints
    params: ParamRef | None
    actions: tuple[str, ...]


def read_binding(source: Source, kind: str) -> tuple[list[Binding], list[Finding]]:
    """Read a ValidatingAdmissionPolicyBinding or a MutatingAdmissionPolicyBinding."""
    page = source.page()
    page.take("metadata")
    name = source.ref.name
    spec = page.page("spec")
    constraints, findings = read_constraints(spec.page("matchResources"), source)
    validating = kind == "ValidatingAdmissionPolicy"
    actions = tuple(strings(spec.take("validationActions"))) if validating else ("Deny",)
    for action in actions:
        if action not in ACTIONS:
            at = ".spec.validationActions"
            findings.append(
                broken(
                    source,
                    at,
                    f'{at}: Unsupported value: "{action}": supported values: "Audit", "Deny", "Warn"',
                )
            )
    if not actions:
        findings.append(
            broken(
                source, ".spec", ".spec.validationActions: Required value: a failure would lead to nothing"
            )
        )
    policy = str(spec.take("policyName", ""))
    if not policy:
        findings.append(broken(source, ".spec", ".spec.policyName: Required value"))
    params = _param_ref(spec, source, findings)
    findings += unsupported(page, source)
    return [Binding(source, name, policy, kind, constraints, params, actions)], findings


def _param_ref(spec: Page, source: Source, findings: list[Finding]) -> ParamRef | None:
    if not isinstance(spec.take("paramRef"), dict):
        return None
    page = spec.page("paramRef")
    given = page.take("selector")
    selector = None
    if isinstance(given, dict):
        try:
            selector = selectors.from_object(given)
        except (ValueError, AttributeError, TypeError) as error:
            findings.append(broken(source, ".spec.paramRef.selector", f".spec.paramRef.selector: {error}"))
            selector = selectors.NOTHING
    return ParamRef(
        str(page.take("name", "")),
        str(page.take("namespace", "")),
        selector,
        page.take("parameterNotFoundAction") == "Deny",
    )


def read_param_kind(spec: Page) -> ParamKind | None:
    """Read a policy's paramKind."""
    page = spec.page("paramKind")
    api_version, kind = str(page.take("apiVersion", "")), str(page.take("kind", ""))
    if not kind:
        return None
    group, _, version = api_version.rpartition("/")
    return ParamKind(group, version, kind)


def parameters(
    kind: ParamKind | None, ref: ParamRef | None, subject: Subject, around: Surroundings
) -> Sequence[Resource | None]:
    """Return the parameters, one evaluation each. Raises Misconfigured with Kubernetes' text."""
    if kind is None or ref is None:
        return (None,)
    namespaced = around.kinds.namespaced(kind.group, kind.kind)
    space = ""
    if namespaced:
        space = ref.namespace or subject.namespace
        if not space:
            raise Misconfigured(
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
            )
    elif ref.namespace:
        raise Misconfigured("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
    found: Sequence[Resource]
    if ref.name:
        if ref.selector is not None:
            raise Misconfigured("paramRef.name and paramRef.selector are mutually exclusive")
        one = around.view.get(kind.group, kind.kind, space, ref.name)
        found = () if one is None else (one,)
    elif ref.selector is not None:
        selector = ref.selector
        listed = around.view.list(kind.group, kind.kind, space if namespaced else None)
        found = [one for one in listed if selector.matches(labels_of(one))]
    else:
        raise Misconfigured("one of name or selector must be provided")
    if not found and ref.deny:
        if not around.kinds.version(kind.group, kind.kind):
            raise Misconfigured(f"paramKind kind `{kind}` not known")
        raise Misconfigured("no params found for policy binding with `Deny` parameterNotFoundAction")
    return found
