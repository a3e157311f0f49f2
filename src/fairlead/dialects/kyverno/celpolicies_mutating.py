"""MutatingPolicy and NamespacedMutatingPolicy: apply configurations and JSON patches, on requests or on what exists already.

Source: kyverno/kyverno pkg/cel/policies/mpol, pkg/background/mpol.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fairlead.dialects.kyverno import celpolicies_autogen as autogen
from fairlead.dialects.kyverno.cellibraries import MUTATING
from fairlead.dialects.kyverno.celpolicies_evaluating import CelPolicy, Head, Meeting, meet, read_head
from fairlead.dialects.kyverno.celpolicies_exceptions import CelException
from fairlead.dialects.kyverno.celpolicies_refusing import refusal_of_mutation
from fairlead.dialects.kyverno.celpolicies_validating import concerned
from fairlead.judge.constraints import Constraints, ResourceRule, read_constraints
from fairlead.judge.expressions import Compiler, Expression, Expressions, OutOfBudget
from fairlead.judge.expressions_patches import Mutation, Unpatched, mutations
from fairlead.judge.policies import Outcome, Rule
from fairlead.judge.reading import Source, broken, unsupported
from fairlead.judge.subjects import Subject, Target, subject_of
from fairlead.judge.surroundings import Surroundings
from fairlead.tongues import cel
from fairlead.words import Change, Finding, Page, Ref, Resource, Where


@dataclass(frozen=True, slots=True)
class Part:
    """One set of constraints, expressions and mutations: the policy's own, or one that autogen made."""

    constraints: Constraints
    expressions: Expressions
    mutations: tuple[Mutation, ...]


def read_mutating(source: Source) -> tuple[list[CelPolicy], list[Finding]]:
    """Read a MutatingPolicy or a NamespacedMutatingPolicy."""
    page = source.page()
    spec = page.page("spec")
    head = read_head(page, spec, source)
    generates = spec.page("autogen")
    generates.take("podControllers")
    generates.take("mutatingAdmissionPolicy")
    again = spec.take("reinvocationPolicy", "Never") == "IfNeeded"
    spec.take("useServerSideApply")
    own, findings = _part(spec, source)
    if not own.mutations:
        findings.append(broken(source, ".spec", ".spec.mutations: Required value"))
    targets, expression = _targets(spec, source, findings)
    findings += unsupported(page, source)
    parts = [own]
    content = source.content.get("spec")
    if isinstance(content, dict) and not head.existing and not head.json:
        parts += [_part(Page(made, Where(path=".spec")), source)[0] for _, made in autogen.mutating(content)]

    def make(exceptions: Sequence[CelException]) -> Any:
        if head.existing:
            rule = _existing(head, own, targets or own.constraints, expression, exceptions)
            return head.policy([rule], refusal=refusal_of_mutation)
        rules = [_rule(head, part, exceptions) for part in parts]
        return head.policy(rules, refusal=refusal_of_mutation, again="if-needed" if again else "never")

    return [CelPolicy(source, head.kind, head.name, make)], findings


def _part(spec: Page, source: Source) -> tuple[Part, list[Finding]]:
    constraints, findings = read_constraints(spec.page("matchConstraints"), source, exact=True)
    compiler = Compiler(source, MUTATING)
    compiler.variables(spec.pages("variables"))
    conditions = compiler.conditions(spec.pages("matchConditions"))
    annotations = compiler.annotations(spec.pages("auditAnnotations"))
    changes = mutations(compiler, spec.pages("mutations"), guarded=False)
    made = compiler.made(conditions, (), annotations)
    return Part(constraints, made, changes), findings + compiler.findings


def _targets(
    spec: Page, source: Source, findings: list[Finding]
) -> tuple[Constraints | None, Expression | None]:
    page = spec.page("targetMatchConstraints")
    constraints, faults = read_constraints(page, source, exact=True)
    findings += faults
    text = page.take("expression")
    expression = None
    if text:
        compiler = Compiler(source, MUTATING)
        compiler.variables(spec.pages("variables"))
        expression = compiler.expression(text, ".spec.targetMatchConstraints.expression")
        findings += [one for one in compiler.findings if one.where.path.startswith(".spec.targetMatch")]
    return (constraints if constraints.rules else None), expression


def _rule(head: Head, part: Part, exceptions: Sequence[CelException]) -> Rule:
    constraints = part.constraints

    def concerns(target: Target) -> bool:
        return target.operation != "DELETE" and concerned(head, constraints, target)

    def run(subject: Subject, around: Surroundings) -> Outcome | None:
        met = meet(head, constraints, part.expressions, exceptions, subject, around)
        if not isinstance(met, Meeting):
            return met
        made = _mutated(head, part, met, around)
        met.close()
        return made

    return Rule(name="", phase="mutate", concerns=concerns, run=run)


def _mutated(head: Head, part: Part, met: Meeting, around: Surroundings) -> Outcome:
    live = met.subject.object
    if live is None:
        return head.error("failed to evaluate policy: there is no object to change")
    try:
        for mutation in part.mutations:
            live = mutation.apply(met.bindings, met.purse, around, live)
            met.bindings["object"] = live
    except (Unpatched, OutOfBudget, cel.Failed) as error:
        return head.error(f"failed to evaluate policy: {error}")
    return Outcome(result="pass", message="success", actions=head.actions, object=live)


def _existing(
    head: Head,
    part: Part,
    targets: Constraints,
    expression: Expression | None,
    exceptions: Sequence[CelException],
) -> Rule:
    """Return the rule of a policy that changes what exists, once a request has triggered it."""

    def concerns(target: Target) -> bool:
        return concerned(head, part.constraints, target)

    def run(subject: Subject, around: Surroundings) -> Outcome | None:
        met = meet(head, part.constraints, part.expressions, exceptions, subject, around)
        if not isinstance(met, Meeting):
            return met
        try:
            found = list(_chosen(targets, expression, met, around))
        except (OutOfBudget, cel.Failed) as error:
            return head.error(f"failed to evaluate policy: {error}")
        changes: list[Change] = []
        for resource in found:
            ref = Ref.of(resource)
            seen = subject_of(resource, around.kinds.plural(ref.group, ref.kind), operation="UPDATE")
            seen = replace(seen, old=None, user=subject.user)
            bindings = {**met.bindings, "object": resource, "oldObject": None}
            bindings["variables"] = part.expressions.composed(bindings, met.purse)
            outcome = _mutated(head, part, Meeting(seen, bindings, met.purse), around)
            if outcome.result == "error":
                return outcome
            if outcome.object is not None and outcome.object != resource:
                changes.append(_change(head, ref, resource, outcome.object))
        return Outcome(result="pass", message="success", actions=head.actions, changes=tuple(changes))

    return Rule(name="", phase="generate", concerns=concerns, run=run)


def _change(head: Head, ref: Ref, before: Resource, after: Resource) -> Change:
    return Change(
        verb="update",
        ref=ref,
        api_version=str(after.get("apiVersion") or ""),
        body=after,
        why=f"{head.kind} {head.name} changes what exists",
        if_version=str((before.get("metadata") or {}).get("resourceVersion") or ""),
    )


def _chosen(
    targets: Constraints, expression: Expression | None, met: Meeting, around: Surroundings
) -> Iterator[Resource]:
    if expression is not None:
        value = cel.to_json(expression.value(met.bindings, met.purse))
        items = value.get("items", [value]) if isinstance(value, dict) else value
        yield from (one for one in items or () if isinstance(one, dict))
        return
    everyone = replace(targets, rules=tuple(_any_operation(rule) for rule in targets.rules))
    for group, kind in list(around.view.kinds()):
        plural = around.kinds.plural(group, kind)
        for resource in around.view.list(group, kind):
            seen = subject_of(resource, plural)
            if everyone.concerns(seen.target) and everyone.match(seen, around) is not None:
                yield resource


def _any_operation(rule: ResourceRule) -> ResourceRule:
    return replace(rule, operations=frozenset({"*"}))
