"""What was changed lately is told beside what is wrong; values that may be secret are not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fairlead.diagnose.changes import with_changes
from fairlead.diagnose.inventories import Inventory
from fairlead.words import Evidence, Finding, Ref, Resource, Severity, Snapshot

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
WEB = Ref("apps", "Deployment", "shop", "web", "d")


def replica_set(revision: int, made: str, **container: Any) -> Resource:
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"web-{revision}", "namespace": "shop", "uid": f"r{revision}", "creationTimestamp": made,
            "annotations": {"deployment.kubernetes.io/revision": str(revision)},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d", "controller": True}],
        },
        "spec": {"template": {
            "metadata": {"labels": {"app": "web", "pod-template-hash": str(revision)}},
            "spec": {"containers": [{"name": "web", **container}]},
        }},
    }  # fmt: skip


def deployment(**meta: Any) -> Resource:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "uid": "d", **meta},
    }


def told(finding: Finding, *resources: Resource) -> list[str]:
    inventory = Inventory(Snapshot(resources), scope="live", now=NOW)
    return [one.text for one in with_changes(inventory, finding).evidence if one.kind == "change"]


def finding(severity: Severity = Severity.CRITICAL, *evidence: Evidence) -> Finding:
    return Finding(rule="image.pull", severity=severity, subject=WEB, message="m", evidence=evidence)


def test_a_rollout_is_told_field_by_field() -> None:
    secret = [{"name": "TOKEN", "value": "hunter2"}]
    old = replica_set(1, "2025-12-30T00:00:00Z", image="a:1", env=[{"name": "TOKEN", "value": "before"}])
    new = replica_set(2, "2026-01-01T11:00:00Z", image="a:2", env=secret, command=["x"])
    (said,) = told(finding(), deployment(), old, new)
    assert said.startswith("rolled out 1h ago (revision 2): ")
    assert ".spec.containers[0].image from a:1 to a:2" in said
    assert ".spec.containers[0].command added" in said
    assert ".env[0].value changed" in said
    assert "hunter2" not in said
    assert "before" not in said


def test_what_is_old_alone_or_only_a_note_is_not_told() -> None:
    old = replica_set(1, "2025-12-01T00:00:00Z", image="a:1")
    long_ago = replica_set(2, "2025-12-02T00:00:00Z", image="a:2")
    fresh = replica_set(2, "2026-01-01T11:00:00Z", image="a:2")
    assert told(finding(), deployment(), old, long_ago) == []
    assert told(finding(), deployment(), fresh) == []
    assert told(finding(Severity.INFO), deployment(), old, fresh) == []


def test_who_wrote_last() -> None:
    fields: Resource = {"f:metadata": {"f:labels": {}}, "f:data": {"f:URL": {}}}
    writes = [
        {"manager": "kubectl-create", "time": "2025-12-30T00:00:00Z", "fieldsV1": fields},
        {"manager": "kubectl-edit", "time": "2026-01-01T11:50:00Z", "fieldsV1": fields},
        {"manager": "kube-controller-manager", "time": "2026-01-01T11:59:00Z", "fieldsV1": fields},
    ]
    config: Resource = {
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "shop", "namespace": "shop", "creationTimestamp": "2025-12-30T00:00:00Z", "managedFields": writes},
    }  # fmt: skip
    read = Evidence("field", Ref.of(config), "URL")
    assert told(finding(Severity.CRITICAL, read), deployment(), config) == [
        "ConfigMap shop/shop was last written 10m ago by kubectl-edit (data.URL)"
    ]
    made = {**config, "metadata": {**config["metadata"], "creationTimestamp": "2026-01-01T11:50:00Z"}}
    assert told(finding(Severity.CRITICAL, read), deployment(), made) == [], "its making is no change"
