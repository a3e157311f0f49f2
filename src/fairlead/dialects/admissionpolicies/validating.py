"""ValidatingAdmissionPolicy: reads the document, and judges a request by one policy with one binding.

Source: k8s.io/apiserver pkg/admission/plugin/policy/validating, error texts included.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fairlead.dialects.admissionpolicies.parameters import (
    Binding,
    Misconfigured,
    ParamKind,
    parameters,
    read_param_kind,
)
from fairlead.judge.constraints import Constraints, read_constraints
from fairlead.judge.expressions import (
    BUDGET,
    CONDITIONS_BUDGET,
    Expressions,
    Fault,
    OutOfBudget,
    Purse,
    Unmet,
    compile_expressions,
)
from fairlead.judge.policies import Action, Judged, Outcome, Policy, Rule
from fairlead.judge.reading import Source, broken, unsupported
from fairlead.judge.subjects import Subject, Target
from fairlead.judge.surroundings import Surroundings
from fairlead.words import Finding, Resource

FAILURE_KEY = "validation.policy.admission.k8s.io/validation_failure"
"""The audit annotation that tells of failures where validationActions say Audit."""

CODES: Mapping[str, int] = {
    "Unauthorized": 401,
    "Forbidden": 403,
    "RequestEntityTooLarge": 413,
    "Invalid": 422,
}
"""The HTTP code of each reason that a validation may give; any other: 422."""

_ACTIONS: Mapping[str, Action] = {"Deny": "deny", "Warn": "warn", "Audit": "audit"}
_LONGEST_NOTE = 10 * 1024
_REVIEWS = frozenset(
    {
        ("authentication.k8s.io", "selfsubjectreviews"),
        ("authentication.k8s.io", "tokenreviews"),
        ("authorization.k8s.io", "localsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectrulesreviews"),
        ("authorization.k8s.io", "subjectaccessreviews"),
    }
)
_OWN = frozenset(
    {
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
        "validatingwebhookconfigurations",
        "mutatingwebhookconfigurations",
    }
)


@dataclass(frozen=True, slots=True)
class Validating:
    """One ValidatingAdmissionPolicy, compiled. `faults` are what its own type checking found, for its status."""

    source: Source
    name: str
    constraints: Constraints
    expressions: Expressions
    params: ParamKind | None
    open: bool


def exempt(target: Target) -> bool:
    """Whether admission policies never apply to this sort of request: their own kind, and reviews that decide access."""
    return (target.group == "admissionregistration.k8s.io" and target.plural in _OWN) or (
        target.group,
        target.plural,
    ) in _REVIEWS


def read_validating(source: Source) -> tuple[list[Validating], list[Finding]]:
    """Read a ValidatingAdmissionPolicy."""
    page = source.page()
    page.take("metadata")
    name = source.ref.name
    spec = page.page("spec")
    params = read_param_kind(spec)
    constraints, findings = read_constraints(spec.page("matchConstraints"), source)
    if not constraints.rules:
        findings.append(broken(source, ".spec", ".spec.matchConstraints.resourceRules: Required value"))
    validations, annotations = spec.pages("validations"), spec.pages("auditAnnotations")
    if not validations and not annotations:
        findings.append(
            broken(
                source,
                ".spec",
                ".spec.validations: Required value: validations or auditAnnotations must be given",
            )
        )
    expressions, faults = compile_expressions(
        source,
        variables=spec.pages("variables"),
        conditions=spec.pages("matchConditions"),
        validations=validations,
        annotations=annotations,
    )
    findings += faults
    made = Validating(
        source, name, constraints, expressions, params, spec.take("failurePolicy", "Fail") == "Ignore"
    )
    findings += unsupported(page, source)
    return [made], findings


def policy_of(policy: Validating, bindings: Sequence[Binding]) -> Policy:
    """Return the engine's policy: one rule for each binding, named after it."""
    return Policy(
        source=policy.source.ref,
        name=policy.name,
        dialect="admissionpolicies",
        rules=tuple(_rule(policy, binding) for binding in bindings),
        where=policy.source.locate(""),
        open=policy.open,
        refusal=refusal,
    )


def refusal(subject: Subject, judged: Sequence[Judged]) -> str:
    """Word the denial as the API server does: only the first failure is told."""
    first = judged[0]
    binding = f" with binding '{first.rule.name}'" if first.rule.name else ""
    said = f"ValidatingAdmissionPolicy '{first.policy.name}'{binding} denied request: {first.outcome.message}"
    return forbidden(subject, said)


def forbidden(subject: Subject, why: str) -> str:
    """Return the text of the API server's error for a request that an admission plug-in refuses."""
    target = subject.target
    resource = f"{target.plural}.{target.group}" if target.group else target.plural
    meta = subject.present.get("metadata") or {}
    name = meta.get("name") or meta.get("generateName") or subject.name or "Unknown"
    return f'{resource} "{name}" is forbidden: {why}'


def _rule(policy: Validating, binding: Binding) -> Rule:
    mine, theirs = policy.constraints, binding.constraints
    actions = frozenset(_ACTIONS[one] for one in binding.actions if one in _ACTIONS)
    evaluation = _Evaluation(policy, binding, actions)

    def concerns(target: Target) -> bool:
        return not exempt(target) and mine.concerns(target) and theirs.concerns(target)

    def run(subject: Subject, around: Surroundings) -> Outcome | list[Outcome] | None:
        try:
            seen = mine.match(subject, around)
        except LookupError as error:
            return evaluation.misconfigured(f"failed to configure policy: {_text(error)}")
        if seen is None:
            return None
        try:
            if theirs.match(subject, around) is None:
                return None
            given = parameters(policy.params, binding.params, subject, around)
        except (LookupError, Misconfigured) as error:
            return evaluation.misconfigured(f"failed to configure binding: {_text(error)}")
        found = [one for params in given for one in evaluation.evaluate(seen, around, params)]
        return found or None

    return Rule(name=binding.name, phase="validate", concerns=concerns, run=run)


@dataclass(frozen=True, slots=True)
class _Evaluation:
    """One policy with one binding."""

    policy: Validating
    binding: Binding
    actions: frozenset[Action]

    def misconfigured(self, message: str) -> Outcome:
        """Return the outcome of what is wrong before any expression was evaluated: it denies whatever the actions say."""
        return Outcome(result="error", message=message, reason="Invalid", code=422)

    def evaluate(self, subject: Subject, around: Surroundings, params: Resource | None) -> list[Outcome]:
        """Judge with one parameter."""
        expressions = self.policy.expressions
        purse = Purse(BUDGET)
        bindings = expressions.bindings(subject, around, params, purse)
        if expressions.conditions:
            try:
                if expressions.unmatched(bindings, Purse(CONDITIONS_BUDGET)) is not None:
                    return []
            except Unmet as error:
                if self.policy.open:
                    return []
                return [self._outcome(Fault("error", str(error)))]
        faults = expressions.faults(bindings, purse)
        found = [self._outcome(fault) for fault in faults]
        audit: dict[str, str] = {}
        if expressions.annotations:
            try:
                notes = expressions.notes(bindings, Purse(BUDGET))
            except OutOfBudget as error:
                return [self._outcome(Fault("error", str(error)))]
            for note in notes:
                if note.error:
                    found.append(Outcome(result="error", message=note.error, reason="Invalid", code=422))
                else:
                    key = f"{self.policy.name}/{note.key}"
                    audit[key] = note.value.encode()[:_LONGEST_NOTE].decode(errors="ignore")
        if not found:
            return [Outcome(result="pass", actions=self.actions, audit=audit)]
        if audit:
            found.append(Outcome(result="pass", actions=self.actions, audit=audit))
        return found

    def _outcome(self, fault: Fault) -> Outcome:
        effective = fault.verdict == "fail" or not self.policy.open
        reason = fault.reason or "Invalid"
        warnings: tuple[str, ...] = ()
        audit: dict[str, str] = {}
        if effective and "warn" in self.actions:
            whose = f"ValidatingAdmissionPolicy '{self.policy.name}' with binding '{self.binding.name}'"
            warnings = (f"Validation failed for {whose}: {fault.message}",)
        if effective and "audit" in self.actions:
            audit = {FAILURE_KEY: self._told(fault)}
        return Outcome(
            result=fault.verdict,
            message=fault.message,
            actions=self.actions,
            find=fault.find,
            warnings=warnings,
            audit=audit,
            reason=reason,
            code=CODES.get(reason, 422),
        )

    def _told(self, fault: Fault) -> str:
        value = {
            "message": fault.message,
            "policy": self.policy.name,
            "binding": self.binding.name,
            "expressionIndex": max(fault.index, 0),
            "validationActions": list(self.binding.actions),
        }
        return json.dumps([value], separators=(",", ":"), ensure_ascii=False)


def _text(error: Exception) -> str:
    return str(error.args[0]) if error.args else type(error).__name__
