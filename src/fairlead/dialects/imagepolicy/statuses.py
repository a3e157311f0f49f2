"""Writes what policy-controller tells of its documents: whether they are ready, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from fairlead.dialects.imagepolicy.policies import GROUP
from fairlead.words import Finding, Resource


def status(
    document: Resource, _judged: Sequence[Any], findings: Sequence[Finding], now: datetime
) -> Resource:
    """Return the status of a policy or a trust root. Times that still hold are kept."""
    broken = [one.message for one in findings if one.rule == "policy.broken"]
    state = "False" if broken else "True"
    before = (document.get("status") or {}).get("conditions") or ()
    was: Mapping[str, Any] = next((one for one in before if one.get("type") == "Ready"), {})
    kept = was.get("lastTransitionTime") if was.get("status") == state else None
    condition = {
        "type": "Ready",
        "status": state,
        "lastTransitionTime": kept or now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        **({"reason": "Invalid", "message": "; ".join(dict.fromkeys(broken))} if broken else {}),
    }
    generation = (document.get("metadata") or {}).get("generation")
    return {"conditions": [condition], **({"observedGeneration": generation} if generation else {})}


WRITES: Mapping[tuple[str, str], Callable[..., Any]] = {
    (GROUP, "ClusterImagePolicy"): status,
    (GROUP, "TrustRoot"): status,
}
"""What writes the status of each kind. Outcomes are written as PolicyReports, as every dialect's are."""
