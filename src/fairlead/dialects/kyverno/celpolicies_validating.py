"""ValidatingPolicy and NamespacedValidatingPolicy: validations over a subject, and over what creates Pods.

Source: kyverno/kyverno pkg/cel/policies/vpol, messages included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from fairlead.dialects.kyverno import celpolicies_autogen as autogen
from fairlead.dialects.kyverno.cellibraries import ENVIRONMENT
from fairlead.dialects.kyverno.celpolicies_evaluating import CelPolicy, Head, Meeting, meet, read_head
from fairlead.dialects.kyverno.celpolicies_exceptions import CelException
from fairlead.dialects.kyverno.celpolicies_refusing import refusal_of_validation
from fairlead.judge.constraints import Constraints, read_constraints
from fairlead.judge.expressions import Compiler, Expressions, OutOfBudget, Validation
from fairlead.judge.policies import Outcome, Rule
from fairlead.judge.reading import Source, broken, unsupported
from fairlead.judge.subjects import Subject, Target
from fairlead.judge.surroundings import Surroundings
from fairlead.tongues import cel
from fairlead.words import Finding, Page, Where


@dataclass(frozen=True, slots=True)
class Part:
    """One set of constraints and expressions: the policy's own, or one that autogen made."""

    constraints: Constraints
    expressions: Expressions


def read_validating(source: Source) -> tuple[list[CelPolicy], list[Finding]]:
    """Read a ValidatingPolicy or a NamespacedValidatingPolicy."""
    page = source.page()
    spec = page.page("spec")
    head = read_head(page, spec, source)
    generates = spec.page("autogen")
    generates.take("podControllers")
    generates.take("validatingAdmissionPolicy")
    own, findings = part_of(spec, source)
    if not own.expressions.validations and not own.expressions.annotations:
        findings.append(
            broken(
                source,
                ".spec",
                ".spec.validations: Required value: validations or auditAnnotations must be given",
            )
        )
    findings += unsupported(page, source)
    parts = [own]
    content = source.content.get("spec")
    if isinstance(content, dict) and not head.json:
        parts += [
            part_of(Page(made, Where(path=".spec")), source)[0] for _, made in autogen.validating(content)
        ]

    def make(exceptions: Sequence[CelException]) -> Any:
        rules = [_rule(head, part, exceptions) for part in parts]
        return head.policy(rules, refusal=refusal_of_validation)

    return [CelPolicy(source, head.kind, head.name, make)], findings


def part_of(
    spec: Page, source: Source, environment: cel.Environment = ENVIRONMENT
) -> tuple[Part, list[Finding]]:
    """Read constraints and expressions from a spec."""
    constraints, findings = read_constraints(spec.page("matchConstraints"), source, exact=True)
    compiler = Compiler(source, environment)
    compiler.variables(spec.pages("variables"))
    conditions = compiler.conditions(spec.pages("matchConditions"))
    validations = compiler.validations(spec.pages("validations"))
    annotations = compiler.annotations(spec.pages("auditAnnotations"))
    made = compiler.made(conditions, validations, annotations)
    return Part(constraints, made), findings + compiler.findings


def concerned(head: Head, constraints: Constraints, target: Target) -> bool:
    """Whether a policy may be about a sort of request: documents of no kind are for those in JSON mode alone."""
    if head.json:
        return not target.kind
    return bool(constraints.rules) and constraints.concerns(target)


def _rule(head: Head, part: Part, exceptions: Sequence[CelException]) -> Rule:
    constraints, expressions = part.constraints, part.expressions
    passed = Outcome(result="pass", message="success", actions=head.actions)

    def concerns(target: Target) -> bool:
        return concerned(head, constraints, target)

    def run(subject: Subject, around: Surroundings) -> Outcome | None:
        met = meet(head, constraints, expressions, exceptions, subject, around)
        if not isinstance(met, Meeting):
            return met
        found = evaluate(head, expressions, met)
        met.close()
        return found or passed

    return Rule(name="", phase="validate", concerns=concerns, run=run)


def evaluate(head: Head, expressions: Expressions, met: Meeting) -> Outcome | None:
    """Return the outcome of the first validation that does not hold or cannot be evaluated; None if all hold."""
    bindings, purse = met.bindings, met.purse
    for index, validation in enumerate(expressions.validations):
        expression = validation.expression
        try:
            if expression.program is not None and purse.run(expression.program, bindings) is True:
                continue
            if expression.program is None:
                raise cel.Failed(expression.fault)  # noqa: TRY301  told as any other failure
        except cel.TooCostly:
            return head.error("error: the expressions cost more than they may")
        except cel.Failed as error:
            return head.error(f"error: {error}")
        message = _message(validation, index, met)
        try:
            notes = _notes(expressions, met)
        except (cel.Failed, OutOfBudget) as error:
            return head.error(f"failed to load context: {error}")
        warnings = (f"Policy {head.name} failed: {message}",) if "warn" in head.actions else ()
        return Outcome(
            result="fail",
            message=message,
            actions=head.actions,
            find=partial(expressions.places, expression, bindings),
            warnings=warnings,
            properties={**notes, "cel.validationIndex": str(index)},
            reason=validation.reason,
        )
    if not expressions.annotations:
        return None
    try:
        notes = _notes(expressions, met)
    except (cel.Failed, OutOfBudget) as error:
        return head.error(f"failed to load context: {error}")
    return Outcome(result="pass", message="success", actions=head.actions, properties=notes)


def _message(validation: Validation, index: int, met: Meeting) -> str:
    message = validation.message
    worded = validation.worded
    if worded is not None:
        try:
            if worded.program is None:
                raise cel.Failed(worded.fault)  # noqa: TRY301  told as any other failure
            value = met.purse.run(worded.program, met.bindings)
        except cel.Failed as error:
            message = f"failed to evaluate message expression: {error}"
        else:
            message = value if isinstance(value, str) else "failed to convert message expression to string"
    return message or f"CEL expression validation failed at index {index}"


def _notes(expressions: Expressions, met: Meeting) -> dict[str, str]:
    found = {}
    for key, expression in expressions.annotations:
        try:
            value = expression.value(met.bindings, met.purse)
        except cel.Failed as error:
            raise cel.Failed(f"failed to evaluate auditAnnotation '{key}': {error}") from None
        if not isinstance(value, str):
            raise cel.Failed(f"failed to convert auditAnnotation '{key}' expression")
        if value:
            found[key] = value
    return found
