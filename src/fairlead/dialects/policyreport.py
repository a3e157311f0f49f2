"""PolicyReport and ClusterPolicyReport (wgpolicyk8s.io/v1alpha2): what policies say of one resource, as a document that tools show.

One report for each resource, named by its uid, owned by it, in its namespace: it goes when the resource goes. Must never judge, nor
look at a clock; a result that says what it said before keeps the time at which it was first said.
Source: kubernetes-sigs/wg-policy-prototypes policy-report v1alpha2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from fairlead.judge.policies import Judged
from fairlead.judge.subjects import Subject
from fairlead.words import Ref, Resource

GROUP = "wgpolicyk8s.io"
API_VERSION = f"{GROUP}/v1alpha2"
MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "fairlead"

_SOURCES: Mapping[str, str] = {
    "admissionpolicies": "ValidatingAdmissionPolicy",
    "gatekeeper": "Gatekeeper",
    "imagepolicy": "policy-controller",
    "jspolicy": "jsPolicy",
    "kubewarden": "kubewarden",
    "kyverno": "kyverno",
    "podsecurity": "PodSecurity",
}
_NEWER: Mapping[str, str] = {
    "ImageValidatingPolicy": "KyvernoImageValidatingPolicy",
    "NamespacedImageValidatingPolicy": "KyvernoImageValidatingPolicy",
    "NamespacedValidatingPolicy": "KyvernoValidatingPolicy",
    "ValidatingPolicy": "KyvernoValidatingPolicy",
}
_RESULTS = ("pass", "fail", "warn", "error", "skip")
_SEVERITIES = frozenset({"critical", "high", "low", "medium", "info"})
_LONGEST = 4096
"""Characters of a message that a report keeps."""


def report(subject: Subject, judged: Iterable[Judged], now: str, before: Resource | None = None) -> Resource:
    """Return the report on a resource. `now` is an ISO time; `before` is the report that is there already, if there is one."""
    ref = subject.ref
    seconds = int(datetime.fromisoformat(now).timestamp())
    results = [_result(one, seconds) for one in judged]
    if before is not None:
        keep_times(results, before.get("results") or ())
    kind = "PolicyReport" if ref.namespace else "ClusterPolicyReport"
    meta: Resource = {"name": name_of(ref), "labels": {MANAGED_BY: MANAGER}}
    if ref.namespace:
        meta["namespace"] = ref.namespace
    scope: Resource = {
        "apiVersion": subject.present.get("apiVersion") or "",
        "kind": ref.kind,
        "name": ref.name,
    }
    if ref.uid:
        meta["ownerReferences"] = [{**scope, "uid": ref.uid}]
    if ref.namespace:
        scope["namespace"] = ref.namespace
    if ref.uid:
        scope["uid"] = ref.uid
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": meta,
        "scope": scope,
        "results": results,
        "summary": summary(results),
    }


def name_of(ref: Ref) -> str:
    """Return the name of the report on a resource: its uid, or what comes closest where it has none."""
    return ref.uid or f"{ref.kind}-{ref.name}".lower().replace(":", "-")


def summary(results: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return how many results there are of each sort."""
    counts = dict.fromkeys(_RESULTS, 0)
    for one in results:
        counts[one["result"]] += 1
    return counts


def essence(document: Resource) -> Any:
    """Return what a report says, without the times at which it was said: equal for reports that say the same."""
    results = [
        {key: value for key, value in one.items() if key != "timestamp"}
        for one in document.get("results") or ()
    ]
    return [document.get("scope"), results]


def _result(judged: Judged, seconds: int) -> Resource:
    policy, outcome = judged.policy, judged.outcome
    result = outcome.result
    if result == "fail" and not policy.scored:
        result = "warn"
    found: Resource = {
        "source": _NEWER.get(policy.source.kind) or _SOURCES.get(policy.dialect, policy.dialect),
        "policy": policy.name,
        "rule": judged.rule.name,
        "result": result,
        "message": outcome.message[:_LONGEST],
        "category": policy.category,
        "severity": policy.severity if policy.severity in _SEVERITIES else "",
        "properties": {
            str(key): value if isinstance(value, str) else str(value)
            for key, value in outcome.properties.items()
        },
    }
    found = {key: value for key, value in found.items() if value not in ("", {})}
    return {**found, "scored": policy.scored, "timestamp": {"seconds": seconds, "nanos": 0}}


def keep_times(results: Sequence[Resource], before: Iterable[Any]) -> None:
    """Give results that were there before, and say the same, the time at which they were first said."""
    told: dict[Any, Any] = {}
    for one in before:
        if isinstance(one, dict) and "timestamp" in one:
            told.setdefault(_said(one), one["timestamp"])
    for one in results:
        one["timestamp"] = told.get(_said(one), one["timestamp"])


def _said(result: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(result.get(key) for key in ("source", "policy", "rule", "result", "message"))


READS: Mapping[tuple[str, str], Callable[..., Any]] = {}
"""Reports are written, not read."""
WRITES: Mapping[type[Any], Callable[..., Resource]] = {Judged: report}
"""An engine's outcomes -> a report."""
