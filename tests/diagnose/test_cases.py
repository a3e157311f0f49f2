"""Golden cases: objects in, findings out. One file a field; each document in it is one case.

A case has `objects` (and `answers`, `scope`, `advice`) and the `findings` that must come out, all of them and no others: of the rules
whose names begin so, where it has `only`.
Objects are written short: apiVersion, namespace `shop` and uids are filled in, `of: ReplicaSet/web-1` is an owner, and `grown: 99` that many bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead.diagnose.examining import examine, needs
from fairlead.words import Finding, Need, Resource, Snapshot

CASES = Path(__file__).parent / "cases"
NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
VERSIONS = {
    "Deployment": "apps/v1",
    "ReplicaSet": "apps/v1",
    "StatefulSet": "apps/v1",
    "DaemonSet": "apps/v1",
    "Job": "batch/v1",
    "CronJob": "batch/v1",
    "Ingress": "networking.k8s.io/v1",
    "IngressClass": "networking.k8s.io/v1",
    "StorageClass": "storage.k8s.io/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "PodDisruptionBudget": "policy/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "Role": "rbac.authorization.k8s.io/v1",
    "RoleBinding": "rbac.authorization.k8s.io/v1",
    "ClusterRole": "rbac.authorization.k8s.io/v1",
    "ClusterRoleBinding": "rbac.authorization.k8s.io/v1",
    "PodMetrics": "metrics.k8s.io/v1beta1",
    "NodeMetrics": "metrics.k8s.io/v1beta1",
    "GatewayClass": "gateway.networking.k8s.io/v1",
    "Gateway": "gateway.networking.k8s.io/v1",
    "ValidatingWebhookConfiguration": "admissionregistration.k8s.io/v1",
}
CLUSTER = {
    "Node",
    "Namespace",
    "StorageClass",
    "IngressClass",
    "PersistentVolume",
    "ClusterRole",
    "ClusterRoleBinding",
    "NodeMetrics",
    "GatewayClass",
    "APIService",
    "DeviceClass",
    "ValidatingWebhookConfiguration",
}


def _cases() -> Iterator[Any]:
    for path in sorted(CASES.glob("*.yaml")):
        for case in yaml.safe_load_all(path.read_text()):
            yield pytest.param(case, id=f"{path.stem}: {case['case']}")


def fill(short: dict[str, Any], scope: str) -> Resource:
    kind = short["kind"]
    resource: Resource = {"apiVersion": VERSIONS.get(kind, "v1"), **short}
    meta = resource["metadata"] = dict(short.get("metadata") or {})
    meta["name"] = resource.pop("name", meta.get("name"))
    if kind not in CLUSTER and scope == "live":
        meta.setdefault("namespace", "shop")
    if scope == "live":
        meta.setdefault("uid", f"{kind}/{meta['name']}")
    if "grown" in resource:
        resource["data"] = {"large": "x" * resource.pop("grown")}
    owner = resource.pop("of", None)
    if owner:
        owner_kind, name = owner.split("/")
        meta["ownerReferences"] = [
            {
                "apiVersion": VERSIONS.get(owner_kind, "v1"),
                "kind": owner_kind,
                "name": name,
                "uid": owner,
                "controller": True,
            }
        ]
    if kind == "Event":
        about_kind, name = resource.pop("about").split("/")
        resource["involvedObject"] = {
            "apiVersion": VERSIONS.get(about_kind, "v1"),
            "kind": about_kind,
            "name": name,
            "namespace": "" if about_kind in CLUSTER else "shop",
            "uid": f"{about_kind}/{name}",
        }
        meta["name"] = f"{name}.{resource['reason']}"
        resource.setdefault("type", "Warning")
        resource.setdefault("lastTimestamp", "2026-01-01T11:59:30Z")
    return resource


def run(case: dict[str, Any]) -> list[Finding]:
    scope = case.get("scope", "live")
    view = Snapshot(fill(one, scope) for one in case["objects"])
    answers: dict[Need, str] = {}
    for need in needs(view, now=NOW):
        detail = dict(need.detail)
        key = f"{need.about.name}/{detail['container']}" + (
            "/previous" if detail["previous"] == "true" else ""
        )
        if key in case.get("answers", {}):
            answers[need] = case["answers"][key]
    unseen = [tuple(one) for one in case.get("unseen", [])]
    advice = case.get("advice", False)
    found = examine(view, scope=scope, now=NOW, answers=answers, unseen=unseen, advice=advice)
    only = tuple(case.get("only", [""]))
    return [one for one in found if one.rule.startswith(only)]


@pytest.mark.parametrize("case", list(_cases()))
def test_case(case: dict[str, Any]) -> None:
    found = run(case)
    told = [f"{one.rule} {one.subject.kind}/{one.subject.name}" for one in found]
    assert told == [f"{one['rule']} {one['at']}" for one in case["findings"]], [
        (one.message, one.cause) for one in found
    ]
    for one, expected in zip(found, case["findings"], strict=True):
        _compare(one, expected)


def _compare(one: Finding, expected: dict[str, Any]) -> None:
    assert set(expected) <= {"rule", "at", "severity", "message", "cause", "symptoms", "evidence", "fix", "patch", "where",
                             "confidence"}  # fmt: skip
    for name in ("message", "cause"):
        if name in expected:
            assert expected[name] in getattr(one, name)
    for name in ("severity", "confidence"):
        if name in expected:
            assert getattr(one, name) == expected[name]
    if "where" in expected:
        assert one.where.path == expected["where"]
    if "symptoms" in expected:
        assert sorted(f"{s.subject.kind}/{s.subject.name}" for s in one.symptoms) == sorted(
            expected["symptoms"]
        )
    for text in expected.get("evidence", ()):
        assert any(text in item.text for item in one.evidence), [item.text for item in one.evidence]
    if "fix" in expected:
        assert [fix.title for fix in one.fixes] == ([expected["fix"]] if expected["fix"] else [])
    if "patch" in expected:
        changed = {
            operation["path"]: operation["value"]
            for fix in one.fixes
            for change in fix.changes
            if change.verb == "patch"
            for operation in change.body
            if operation["op"] not in {"test", "remove"}
        }
        assert changed == expected["patch"]
