"""Kubernetes' own admission policies: ValidatingAdmissionPolicy, MutatingAdmissionPolicy and their bindings.

Reads them in every version that Kubernetes has served, joins policies with bindings, and gives the type checking's result
back for a policy's status. A policy without a binding is in force nowhere, and says so in a finding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from fairlead.dialects.admissionpolicies import mutating, validating
from fairlead.dialects.admissionpolicies.mutating import Mutating, read_mutating
from fairlead.dialects.admissionpolicies.parameters import Binding, read_binding
from fairlead.dialects.admissionpolicies.validating import Validating, read_validating
from fairlead.judge.policies import Assembled, Policy
from fairlead.judge.reading import Source, broken
from fairlead.words import Finding, Resource, Severity

Model: TypeAlias = Validating | Mutating | Binding
Reader: TypeAlias = Callable[[Source], tuple[Sequence[Model], list[Finding]]]

GROUP = "admissionregistration.k8s.io"


def validating_binding(source: Source) -> tuple[list[Binding], list[Finding]]:
    """Read a ValidatingAdmissionPolicyBinding."""
    return read_binding(source, "ValidatingAdmissionPolicy")


def mutating_binding(source: Source) -> tuple[list[Binding], list[Finding]]:
    """Read a MutatingAdmissionPolicyBinding."""
    return read_binding(source, "MutatingAdmissionPolicy")


READS: Mapping[tuple[str, str], Reader] = {
    (GROUP, "ValidatingAdmissionPolicy"): read_validating,
    (GROUP, "ValidatingAdmissionPolicyBinding"): validating_binding,
    (GROUP, "MutatingAdmissionPolicy"): read_mutating,
    (GROUP, "MutatingAdmissionPolicyBinding"): mutating_binding,
}


def assemble(models: Iterable[Model]) -> Assembled:
    """Join policies with their bindings."""
    everything = list(models)
    bindings = sorted((one for one in everything if isinstance(one, Binding)), key=lambda one: one.name)
    policies: list[Policy] = []
    findings: list[Finding] = []
    wanted: set[tuple[str, str]] = set()
    known: set[tuple[str, str]] = set()
    for one in everything:
        if isinstance(one, Binding):
            continue
        kind = one.source.ref.kind
        known.add((kind, one.name))
        mine = [binding for binding in bindings if (binding.kind, binding.policy) == (kind, one.name)]
        if not mine:
            findings.append(_idle(one.source))
        if one.params is not None:
            wanted.add((one.params.group, one.params.kind))
        if isinstance(one, Validating):
            policies.append(validating.policy_of(one, mine))
        else:
            policies.append(mutating.policy_of(one, mine))
    findings += [
        broken(
            one.source, ".spec.policyName", f'{one.kind} "{one.policy}" not found: the binding binds nothing'
        )
        for one in bindings
        if (one.kind, one.policy) not in known
    ]
    return Assembled(tuple(policies), tuple(findings), frozenset(wanted))


def _idle(source: Source) -> Finding:
    return Finding(
        rule="policy.unbound",
        severity=Severity.WARNING,
        subject=source.ref,
        message=f"no {source.ref.kind}Binding names this policy: it is in force nowhere",
        where=source.locate(""),
    )


def status(source: Source) -> Resource:
    """Return the status that type checking gives a policy: the expressions that cannot be right, each with why."""
    model = READS[GROUP, source.ref.kind](source)[0][0]
    warnings: list[dict[str, Any]] = []
    if isinstance(model, (Validating, Mutating)):
        expressions = model.expressions
        every = [
            *(one for _, one in expressions.variables),
            *(one for _, one in expressions.conditions),
            *(one.expression for one in expressions.validations),
            *(one.worded for one in expressions.validations if one.worded is not None),
            *(one for _, one in expressions.annotations),
            *((one.expression for one in model.mutations) if isinstance(model, Mutating) else ()),
        ]
        warnings = [
            {"fieldRef": one.path.removeprefix("."), "warning": one.fault}
            for one in every
            if one.program is None
        ]
    found: Resource = {"typeChecking": {"expressionWarnings": warnings} if warnings else {}}
    generation = (source.content.get("metadata") or {}).get("generation")
    if generation is not None:
        found["observedGeneration"] = generation
    return found


WRITES: Mapping[type[Any], Callable[[Source], Resource]] = {Policy: status}
"""What is written back: a policy's status."""
