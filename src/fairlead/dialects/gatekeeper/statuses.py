"""Results in Gatekeeper's own words: the status of constraints and templates.

Source: github.com/open-policy-agent/gatekeeper pkg/audit, apis/status (ConstraintPodStatus, ConstraintTemplatePodStatus).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

from fairlead.judge.policies import Judged
from fairlead.judge.subjects import Subject
from fairlead.words import Finding, Resource

MOST: Final = 20
"""How many violations a constraint's status lists; the total counts all of them."""

LONGEST: Final = 256
"""How long a message in a status may be."""

POD: Final = "fairlead"
"""Who says so, where Gatekeeper names one of its pods."""

Write: TypeAlias = Callable[
    [Resource, Sequence[tuple[Subject, Judged]], Sequence[Finding], datetime], Resource
]
"""(document, what its policy said of subjects under audit, findings about it, now) -> its status."""


def _stamp(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def _about(document: Resource, findings: Sequence[Finding]) -> list[dict[str, Any]]:
    return [
        {"code": one.rule, "message": one.message, **({"location": str(one.where)} if str(one.where) else {})}
        for one in findings
        if one.rule == "policy.broken" and one.subject.name == (document.get("metadata") or {}).get("name")
    ]


def _violation(subject: Subject, judged: Judged) -> dict[str, Any]:
    outcome = judged.outcome
    target = subject.target
    message = outcome.message
    if len(message) > LONGEST:
        message = f"{message[: LONGEST - 3]}..."
    found: dict[str, Any] = {
        "enforcementAction": str(outcome.properties.get("enforcementAction", "deny")),
        "group": target.group,
        "version": target.version,
        "kind": target.kind,
        "name": subject.name,
        "message": message,
    }
    namespace = subject.ref.namespace
    return {**found, "namespace": namespace} if namespace else found


def constraint_status(
    constraint: Resource,
    judged: Sequence[tuple[Subject, Judged]],
    findings: Sequence[Finding],
    now: datetime,
) -> Resource:
    """Return the status of a constraint after an audit: totalViolations, the first violations, and whether it is enforced."""
    meta = constraint.get("metadata") or {}
    violating = [
        _violation(subject, one) for subject, one in judged if one.outcome.result in {"fail", "error"}
    ]
    violating.sort(
        key=lambda one: (one["group"], one["kind"], one.get("namespace", ""), one["name"], one["message"])
    )
    errors = _about(constraint, findings)
    pod: dict[str, Any] = {
        "constraintUID": meta.get("uid") or "",
        "enforced": not errors,
        "id": POD,
        "observedGeneration": meta.get("generation") or 1,
        "operations": ["audit", "status", "webhook"],
    }
    if errors:
        pod["errors"] = errors
    status: dict[str, Any] = {
        "auditTimestamp": _stamp(now),
        "byPod": [pod],
        "totalViolations": len(violating),
    }
    if violating:
        status["violations"] = violating[:MOST]
    return status


def template_status(
    template: Resource,
    _judged: Sequence[tuple[Subject, Judged]],
    findings: Sequence[Finding],
    _now: datetime,
) -> Resource:
    """Return the status of a ConstraintTemplate: whether its kind of constraint can be used, and why not."""
    meta = template.get("metadata") or {}
    errors = _about(template, findings)
    pod: dict[str, Any] = {
        "id": POD,
        "observedGeneration": meta.get("generation") or 1,
        "operations": ["audit", "status", "webhook"],
        "templateUID": meta.get("uid") or "",
    }
    if errors:
        pod["errors"] = errors
    return {"byPod": [pod], "created": not errors}


WRITES: Mapping[tuple[str, str], Write] = {
    ("constraints.gatekeeper.sh", "*"): constraint_status,
    ("templates.gatekeeper.sh", "ConstraintTemplate"): template_status,
}
"""What writes the status of each kind."""
