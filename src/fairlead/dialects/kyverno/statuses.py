"""The status of Kyverno's policies in its own words: whether a policy is in force, and why not.

A status says what is wrong with the document; what its rules said of objects stands in reports. Times that still hold are kept.
Source: kyverno/kyverno api/kyverno/v1 policy_status.go, api/policies.kyverno.io/v1alpha1 condition_status.go, api/kyverno/v2
cleanup_policy_types.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

from fairlead.tongues.paths import mapping, mappings, text
from fairlead.words import Finding, Resource

Write: TypeAlias = Callable[[Resource, Sequence[Any], Sequence[Finding], datetime], Resource]
"""(document, nothing, findings about it, now) -> what its status is to say; other parts of the status stay as they are."""

_LONGEST: Final = 2048
_BODIES: Mapping[str, str] = {
    "validate": "validate",
    "mutate": "mutate",
    "generate": "generate",
    "verifyImages": "verifyimages",
}


def _broken(findings: Sequence[Finding]) -> bool:
    return any(one.rule == "policy.broken" for one in findings)


def _told(findings: Sequence[Finding], usual: str) -> str:
    told = "; ".join(dict.fromkeys(one.message for one in findings)) or usual
    return told if len(told) <= _LONGEST else f"{told[: _LONGEST - 3]}..."


def _condition(
    kind: str, findings: Sequence[Finding], usual: str, before: Sequence[Any], now: datetime
) -> Resource:
    state = "False" if _broken(findings) else "True"
    was = next((one for one in before if isinstance(one, Mapping) and one.get("type") == kind), {})
    kept = was.get("lastTransitionTime") if was.get("status") == state else None
    return {
        "type": kind,
        "status": state,
        "reason": "Failed" if state == "False" else "Succeeded",
        "message": _told(findings, usual),
        "lastTransitionTime": kept or now.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _before(*path: str, document: Resource) -> Sequence[Any]:
    found = mapping(document, "status", *path).get("conditions")
    return found if isinstance(found, list) else ()


def policy_status(
    policy: Resource, _judged: Sequence[Any], findings: Sequence[Finding], now: datetime
) -> Resource:
    """Return the status of a ClusterPolicy or a Policy."""
    count = dict.fromkeys(_BODIES.values(), 0)
    for _, rule in mappings(policy, "spec", "rules"):
        for body, name in _BODIES.items():
            count[name] += bool(rule.get(body))
    return {
        "conditions": [_condition("Ready", findings, "Ready", _before(document=policy), now)],
        "ready": not _broken(findings),
        "rulecount": count,
    }


def cleanup_status(
    policy: Resource, _judged: Sequence[Any], findings: Sequence[Finding], now: datetime
) -> Resource:
    """Return the status of a CleanupPolicy or a ClusterCleanupPolicy."""
    return {"conditions": [_condition("Ready", findings, "Ready", _before(document=policy), now)]}


def cel_status(
    policy: Resource, _judged: Sequence[Any], findings: Sequence[Finding], now: datetime
) -> Resource:
    """Return the status of a policy of policies.kyverno.io."""
    before = _before("conditionStatus", document=policy)
    condition = _condition("PolicyCached", findings, "Policy cached", before, now)
    ready = condition["status"] == "True"
    message = condition["message"] if findings else ""
    return {"conditionStatus": {"ready": ready, "message": message, "conditions": [condition]}}


def executed(policy: Resource, now: datetime) -> Resource:
    """Return what the status of a cleanup or deleting policy says after it ran."""
    return {**mapping(policy, "status"), "lastExecutionTime": now.strftime("%Y-%m-%dT%H:%M:%SZ")}


def last_executed(policy: Resource) -> str:
    """Return when a cleanup or deleting policy ran last, as its status says, or when it was created."""
    return text(policy, "status", "lastExecutionTime") or text(policy, "metadata", "creationTimestamp")


_CEL_KINDS: Final = (
    "ValidatingPolicy",
    "MutatingPolicy",
    "GeneratingPolicy",
    "DeletingPolicy",
    "ImageValidatingPolicy",
)

WRITES: Mapping[tuple[str, str], Write] = {
    ("kyverno.io", "ClusterPolicy"): policy_status,
    ("kyverno.io", "Policy"): policy_status,
    ("kyverno.io", "CleanupPolicy"): cleanup_status,
    ("kyverno.io", "ClusterCleanupPolicy"): cleanup_status,
    **{("policies.kyverno.io", kind): cel_status for kind in _CEL_KINDS},
    **{("policies.kyverno.io", f"Namespaced{kind}"): cel_status for kind in _CEL_KINDS},
}
"""What writes the status of each kind."""
