"""GeneratingPolicy and DeletingPolicy, namespaced too: what a trigger brings about, and what a schedule takes away.

Source: kyverno/kyverno pkg/cel/policies/gpol and dpol, pkg/cel/libs/context.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fairlead.dialects.kyverno.cellibraries import ENVIRONMENT, GENERATING, Generator
from fairlead.dialects.kyverno.celpolicies_evaluating import (
    CelPolicy,
    Head,
    Meeting,
    constant,
    meet,
    read_head,
)
from fairlead.dialects.kyverno.celpolicies_exceptions import CelException
from fairlead.dialects.kyverno.celpolicies_following import labels_of
from fairlead.dialects.kyverno.celpolicies_validating import concerned
from fairlead.judge.constraints import Constraints, read_constraints
from fairlead.judge.expressions import Compiler, Expression, Expressions, OutOfBudget
from fairlead.judge.policies import Outcome, Rule
from fairlead.judge.reading import Source, broken, unsupported
from fairlead.judge.subjects import Subject, Target
from fairlead.judge.surroundings import Surroundings
from fairlead.tongues import cel, cron
from fairlead.words import Change, Finding, Ref, Resource

_PROPAGATIONS = ("Foreground", "Background", "Orphan")


def read_generating(source: Source) -> tuple[list[CelPolicy], list[Finding]]:
    """Read a GeneratingPolicy or a NamespacedGeneratingPolicy."""
    page = source.page()
    spec = page.page("spec")
    head = replace(read_head(page, spec, source), open=True)
    constraints, findings = read_constraints(spec.page("matchConstraints"), source, exact=True)
    server_side = bool(spec.take("useServerSideApply", default=False))
    compiler = Compiler(source, GENERATING)
    compiler.variables(spec.pages("variables"))
    conditions = compiler.conditions(spec.pages("matchConditions"))
    entries = spec.pages("generate")
    made = [compiler.expression(one.take("expression"), f"{one.where.path}.expression") for one in entries]
    if not made:
        findings.append(broken(source, ".spec", ".spec.generate: Required value"))
    findings += compiler.findings + unsupported(page, source)
    expressions = compiler.made(conditions)

    def make(exceptions: Sequence[CelException]) -> Any:
        rule = _generation(head, constraints, expressions, made, exceptions, server_side=server_side)
        return head.policy([rule])

    return [CelPolicy(source, head.kind, head.name, make)], findings


def _generation(
    head: Head,
    constraints: Constraints,
    expressions: Expressions,
    entries: Sequence[Expression],
    exceptions: Sequence[CelException],
    *,
    server_side: bool,
) -> Rule:
    def concerns(target: Target) -> bool:
        return concerned(head, constraints, target)

    def run(subject: Subject, around: Surroundings) -> Outcome | None:
        if subject.scan and not head.existing:
            return None
        generator = Generator()
        met = meet(head, constraints, expressions, exceptions, subject, around, {"generator": generator})
        if not isinstance(met, Meeting):
            return None if met is not None and met.result == "skip" and met.message == "skip" else met
        try:
            for entry in entries:
                entry.value(met.bindings, met.purse)
        except (OutOfBudget, cel.Failed) as error:
            return head.error(f"failed to evaluate policy: {error}")
        if head.space:
            outside = [one for one, _ in generator.made if one != head.space]
            if outside:
                return head.error(
                    f"failed to evaluate policy: namespace {outside[0]} is not the policy's namespace {head.space}"
                )
        changes = [
            change
            for namespace, resource in generator.made
            for change in _brought(head, namespace, resource, subject.ref, around, server_side=server_side)
        ]
        return Outcome(
            result="pass",
            message="policy evaluated successfully",
            actions=head.actions,
            changes=tuple(changes),
            properties={
                "generated": [_placed(resource, namespace) for namespace, resource in generator.made],
                "synchronize": head.synchronize,
                "orphan": head.orphan,
            },
        )

    return Rule(name=head.name, phase="generate", concerns=concerns, run=run)


def _placed(resource: Resource, namespace: str) -> Resource:
    found = constant(resource)
    meta = dict(found["metadata"])
    meta.pop("namespace", None)
    if namespace:
        meta["namespace"] = namespace
    return {**found, "metadata": meta}


def _brought(
    head: Head,
    namespace: str,
    resource: Resource,
    trigger: Ref,
    around: Surroundings,
    *,
    server_side: bool,
) -> list[Change]:
    """Return what creates the object, or brings it back in line where the policy keeps what it generated in line."""
    wanted = _placed(resource, namespace)
    meta = wanted["metadata"]
    labels = {**(meta.get("labels") or {}), **labels_of(head.source.ref, trigger, resource)}
    body = {**wanted, "metadata": {**meta, "labels": labels}}
    ref = Ref.of(body)
    ref = Ref(ref.group, ref.kind, namespace, ref.name)
    why = f"{head.kind} {head.name} generates it"
    api_version = str(body.get("apiVersion") or "")
    before = around.view.get(ref.group, ref.kind, namespace, ref.name)
    if server_side:
        return [Change(verb="patch", patch="apply", ref=ref, api_version=api_version, body=body, why=why)]
    if before is None:
        return [Change(verb="create", ref=ref, api_version=api_version, body=body, why=why)]
    if not head.synchronize or _within(body, before):
        return []
    merged = {**before, **body, "metadata": {**(before.get("metadata") or {}), **body["metadata"]}}
    return [Change(verb="update", ref=ref, api_version=api_version, body=merged, why=why)]


def _within(wanted: Any, here: Any) -> bool:
    """Whether all that is wanted is there already; what a server or another added does not matter."""
    if isinstance(wanted, dict) and isinstance(here, dict):
        return all(key in here and _within(value, here[key]) for key, value in wanted.items())
    if isinstance(wanted, list) and isinstance(here, list):
        return len(wanted) == len(here) and all(map(_within, wanted, here))
    return bool(cel.equal(wanted, here))


def read_deleting(source: Source) -> tuple[list[CelPolicy], list[Finding]]:
    """Read a DeletingPolicy or a NamespacedDeletingPolicy."""
    page = source.page()
    spec = page.page("spec")
    head = read_head(page, spec, source)
    constraints, findings = read_constraints(spec.page("matchConstraints"), source, exact=True)
    everyone = tuple(replace(rule, operations=frozenset({"*"})) for rule in constraints.rules)
    constraints = replace(constraints, rules=everyone)
    schedule = str(spec.take("schedule", ""))
    try:
        cron.parse(schedule)
    except ValueError as error:
        findings.append(
            broken(source, ".spec.schedule", f'.spec.schedule: Invalid value: "{schedule}": {error}')
        )
    propagation = spec.take("deletionPropagationPolicy")
    if propagation is not None and propagation not in _PROPAGATIONS:
        at = ".spec.deletionPropagationPolicy"
        findings.append(broken(source, at, f'{at}: Unsupported value: "{propagation}"'))
    compiler = Compiler(source, ENVIRONMENT)
    compiler.variables(spec.pages("variables"))
    conditions = compiler.conditions(spec.pages("conditions"))
    findings += compiler.findings + unsupported(page, source)
    expressions = compiler.made(conditions)

    def make(exceptions: Sequence[CelException]) -> Any:
        rule = _deletion(head, constraints, expressions, propagation, exceptions)
        return head.policy([rule], labels={"schedule": schedule})

    return [CelPolicy(source, head.kind, head.name, make)], findings


def _deletion(
    head: Head,
    constraints: Constraints,
    expressions: Expressions,
    propagation: str | None,
    exceptions: Sequence[CelException],
) -> Rule:
    def concerns(target: Target) -> bool:
        return concerned(head, constraints, target)

    def run(subject: Subject, around: Surroundings) -> Outcome | None:
        met = meet(head, constraints, expressions, exceptions, subject, around)
        if not isinstance(met, Meeting):
            return None if met is not None and met.result == "skip" and met.message == "skip" else met
        ref = subject.ref
        change = Change(
            verb="delete",
            ref=ref,
            api_version=str(subject.present.get("apiVersion") or ""),
            body={"propagationPolicy": propagation} if propagation else None,
            why=f"{head.kind} {head.name} deletes it",
            if_uid=ref.uid,
        )
        return Outcome(
            result="pass", message="resource matched and deleted", actions=head.actions, changes=(change,)
        )

    return Rule(name="", phase="cleanup", concerns=concerns, run=run)
