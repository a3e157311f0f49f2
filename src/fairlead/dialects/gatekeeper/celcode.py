"""The K8sNativeValidation code of a template: CEL in the form of a ValidatingAdmissionPolicy, compiled once.

Knows nothing of constraints beyond their document, which the expressions see as `params` by way of `variables.params`.
Source: github.com/open-policy-agent/gatekeeper pkg/drivers/k8scel (schema, transform, driver), error texts included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from fairlead.judge.expressions import Expressions, OutOfBudget, Purse, Unmet, compile_expressions
from fairlead.judge.reading import Source, broken
from fairlead.judge.subjects import Subject
from fairlead.judge.surroundings import Surroundings
from fairlead.words import Finding, Page, Resource

ENGINE: Final = "K8sNativeValidation"

_RESERVED = "gatekeeper_internal_"
_GIVEN = (
    (
        "anyObject",
        'has(request.operation) && request.operation == "DELETE" && object == null ? oldObject : object',
    ),
    ("params", "!has(params.spec) ? null : !has(params.spec.parameters) ? null: params.spec.parameters"),
)


class Answer(NamedTuple):
    """What the code says: a message, and whether it could not be evaluated."""

    message: str
    failed: bool


Ask: TypeAlias = Callable[[Subject, Surroundings], list[Answer]]


class CelCode(NamedTuple):
    """Compiled CEL. `open` is failurePolicy Ignore; `admits` is whether the API server would enforce it by itself (generateVAP)."""

    expressions: Expressions
    open: bool
    admits: bool

    def bind(self, constraint: Resource) -> Ask:
        """Return the function that says what does not hold for a subject. It raises Lacking."""
        expressions, open_ = self.expressions, self.open
        settled = expressions.settled_by(constraint)

        def ask(subject: Subject, around: Surroundings) -> list[Answer]:
            purse = Purse()
            bindings = expressions.bindings(subject, around, constraint, purse, settled=settled)
            try:
                if not expressions.matches(bindings):
                    return []
                faults = expressions.faults(bindings, purse)
            except (Unmet, OutOfBudget) as error:
                return [] if open_ else [Answer(str(error), True)]
            return [
                Answer(fault.message, fault.verdict == "error")
                for fault in faults
                if not (open_ and fault.verdict == "error")
            ]

        return ask


def compile_cel(page: Page, source: Source) -> tuple[CelCode | None, list[Finding]]:
    """Compile the `source` of a K8sNativeValidation code. Without the code, the findings say why it cannot be used."""
    findings: list[Finding] = []
    conditions = [*page.pages("matchCondition"), *page.pages("matchConditions")]
    variables = page.pages("variables")
    for one in conditions:
        name = str(one.take("name", ""))
        if name.startswith(_RESERVED):
            text = f'{name} is not a valid match condition; cannot have "{_RESERVED}" as a prefix'
            findings.append(broken(source, f"{one.where.path}.name", text))
    for one in variables:
        name = str(one.take("name", ""))
        path = f"{one.where.path}.name"
        if name.startswith(_RESERVED):
            text = f'{name} is not a valid variable; cannot have "{_RESERVED}" as a prefix'
            findings.append(broken(source, path, text))
        if name in {"params", "anyObject"}:
            text = f'{name} an invalid variable name, "{name}" is a reserved keyword'
            findings.append(broken(source, path, text))
    policy = page.take("failurePolicy", "Fail")
    if policy not in {"Fail", "Ignore"}:
        text = f"unrecognized failure policy: {policy}"
        findings.append(broken(source, f"{page.where.path}.failurePolicy", text))
    admits = page.take("generateVAP")
    expressions, faults = compile_expressions(
        source,
        variables=variables,
        conditions=conditions,
        validations=page.pages("validations"),
        given=_GIVEN,
    )
    if findings:
        return None, findings + faults
    return CelCode(expressions, policy == "Ignore", admits is not False), faults
