"""MutatingAdmissionPolicy: reads the document, and changes a request's object by one policy with one binding.

Source: k8s.io/apiserver pkg/admission/plugin/policy/mutating, error texts included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fairlead.dialects.admissionpolicies.parameters import (
    Binding,
    Misconfigured,
    ParamKind,
    parameters,
    read_param_kind,
)
from fairlead.dialects.admissionpolicies.validating import exempt
from fairlead.judge.constraints import Constraints, read_constraints
from fairlead.judge.expressions import (
    BUDGET,
    CONDITIONS_BUDGET,
    MUTATION,
    Compiler,
    Expressions,
    OutOfBudget,
    Purse,
    Unmet,
)
from fairlead.judge.expressions_patches import Mutation, Unpatched, mutations
from fairlead.judge.policies import Judged, Outcome, Policy, Rule
from fairlead.judge.reading import Source, broken, unsupported
from fairlead.judge.subjects import Subject, Target
from fairlead.judge.surroundings import Surroundings
from fairlead.tongues import cel
from fairlead.words import Finding, Resource


@dataclass(frozen=True, slots=True)
class Mutating:
    """One MutatingAdmissionPolicy, compiled."""

    source: Source
    name: str
    constraints: Constraints
    expressions: Expressions
    mutations: tuple[Mutation, ...]
    params: ParamKind | None
    open: bool
    again: bool


def read_mutating(source: Source) -> tuple[list[Mutating], list[Finding]]:
    """Read a MutatingAdmissionPolicy."""
    page = source.page()
    page.take("metadata")
    name = source.ref.name
    spec = page.page("spec")
    params = read_param_kind(spec)
    constraints, findings = read_constraints(spec.page("matchConstraints"), source)
    if not constraints.rules:
        findings.append(broken(source, ".spec", ".spec.matchConstraints.resourceRules: Required value"))
    compiler = Compiler(source, MUTATION)
    conditions = compiler.conditions(spec.pages("matchConditions"))
    compiler.variables(spec.pages("variables"))
    changes = mutations(compiler, spec.pages("mutations"))
    if not changes:
        findings.append(broken(source, ".spec", ".spec.mutations: Required value"))
    findings += compiler.findings
    made = Mutating(
        source,
        name,
        constraints,
        compiler.made(conditions),
        changes,
        params,
        spec.take("failurePolicy", "Fail") == "Ignore",
        spec.take("reinvocationPolicy", "Never") == "IfNeeded",
    )
    findings += unsupported(page, source)
    return [made], findings


def policy_of(policy: Mutating, bindings: Sequence[Binding]) -> Policy:
    """Return the engine's policy: one rule for each binding, named after it."""
    return Policy(
        source=policy.source.ref,
        name=policy.name,
        dialect="admissionpolicies",
        rules=tuple(_rule(policy, binding) for binding in bindings),
        where=policy.source.locate(""),
        again="if-needed" if policy.again else "never",
        open=policy.open,
        background=False,
        refusal=refusal,
    )


def refusal(subject: Subject, judged: Sequence[Judged]) -> str:  # noqa: ARG001  the face of all refusals
    """Word the denial as the API server does: only the first error is told."""
    first = judged[0]
    if first.outcome.properties.get("binding"):
        return f"policy '{first.policy.name}' with binding '{first.rule.name}' denied request: {first.outcome.message}"
    return f'policy "{first.policy.name}" denied request: {first.outcome.message}'


def _rule(policy: Mutating, binding: Binding) -> Rule:
    mine, theirs = policy.constraints, binding.constraints

    def concerns(target: Target) -> bool:
        return (
            target.operation != "DELETE"
            and not exempt(target)
            and mine.concerns(target)
            and theirs.concerns(target)
        )

    def run(subject: Subject, around: Surroundings) -> Outcome | None:
        try:
            seen = mine.match(subject, around)
        except LookupError as error:
            return _error(f"failed to configure policy: {error.args[0]}", "Forbidden", told=False)
        if seen is None or seen.object is None:
            return None
        try:
            if theirs.match(subject, around) is None:
                return None
            given = parameters(policy.params, binding.params, subject, around)
        except (LookupError, Misconfigured) as error:
            return _error(f"failed to configure binding: {error.args[0]}", "Forbidden")
        return _invoke(policy, seen, around, given)

    return Rule(name=binding.name, phase="mutate", concerns=concerns, run=run)


def _invoke(
    policy: Mutating, subject: Subject, around: Surroundings, given: Sequence[Resource | None]
) -> Outcome | None:
    """Apply the mutations, once for each parameter, each on what the one before made; an error leaves out its own only."""
    expressions = policy.expressions
    first = subject.object
    invoked, error = False, ""
    for params in given:
        if expressions.conditions:
            try:
                bindings = expressions.bindings(subject, around, params)
                if expressions.unmatched(bindings, Purse(CONDITIONS_BUDGET)) is not None:
                    continue
            except Unmet as unmet:
                error = error or str(unmet)
                continue
        invoked = True
        for mutation in policy.mutations:
            live = subject.object
            if live is None:
                break
            purse = Purse(BUDGET)
            bindings = expressions.bindings(subject, around, params, purse)
            try:
                subject = subject.become(mutation.apply(bindings, purse, around, live))
            except (Unpatched, OutOfBudget, cel.Failed) as failed:
                error = error or str(failed)
    changed = subject.object if subject.object is not first else None
    if error:
        return _error(error, "Invalid", changed)
    return Outcome(result="pass", object=changed) if invoked else None


def _error(message: str, reason: str, changed: Resource | None = None, *, told: bool = True) -> Outcome:
    return Outcome(
        result="error", message=message, object=changed, reason=reason, code=403, properties={"binding": told}
    )
