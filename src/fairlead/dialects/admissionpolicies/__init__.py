"""Kubernetes' own admission policies: ValidatingAdmissionPolicy, MutatingAdmissionPolicy and their bindings.

Reads them in every version that Kubernetes has served, joins policies with bindings, and gives a policy's status back with what
type checking found. A policy without a binding is in force nowhere, and says so in a finding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from fairlead.dialects.admissionpolicies import mutating, validating
from fairlead.dialects.admissionpolicies.mutating import Mutating, read_mutating
from fairlead.dialects.admissionpolicies.parameters import Binding, read_binding
from fairlead.dialects.admissionpolicies.typechecking import status
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


WRITES: Mapping[tuple[str, str], Callable[..., Resource]] = {(GROUP, "ValidatingAdmissionPolicy"): status}
"""What writes the status of each kind; MutatingAdmissionPolicies have none."""
