"""A fix is tried on a copy: proven when it helps, and not when it does not."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead.diagnose.examining import examine
from fairlead.drivers.definitions import load
from fairlead.orchestrate.controllers import CONTROLLERS
from fairlead.orchestrate.settling import settle
from fairlead.reactor import policing_kinds
from fairlead.reactor.carrying import Copy
from fairlead.reactor.trial import ADMIN, Trial, kinds_to_copy, try_fix, world_of
from fairlead.words import Change, Finding, Fix, Ref, Resource, Snapshot

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
SHOP = Path(__file__).parent / "shop.yaml"


def cluster(change: Any = None) -> Copy:
    """The shop as it is after its objects were created and controllers came to rest; its pods wait for their node."""
    copied = Copy(world_of([], load()).fork(), NOW, ADMIN)
    for resource in yaml.safe_load_all(SHOP.read_text()):
        if change is not None:
            change(resource)
        ref = Ref.of(resource)
        status = resource.pop("status", None)
        copied.carry_out(Change(verb="create", ref=ref, api_version=resource["apiVersion"], body=resource))
        if status:
            body = {"status": status}
            copied.carry_out(
                Change(verb="patch", ref=ref, api_version=resource["apiVersion"], body=body, patch="merge", subresource="status")
            )  # fmt: skip
    settle(copied, NOW, [one for one in CONTROLLERS if one.name != "node"])
    return copied


def report(copied: Copy, prefix: str, state: dict[str, Any], *, ready: bool = False) -> None:
    """Let the node report one container's state for the pods of a name."""
    for pod in list(copied.list("", "Pod")):
        if not pod["metadata"]["name"].startswith(prefix):
            continue
        (container,) = pod["spec"]["containers"]
        conditions = [{"type": "Ready", "status": str(ready)}, {"type": "PodScheduled", "status": "True"}]
        entry = {
            "name": container["name"], "image": container["image"], "imageID": "", "ready": ready, "restartCount": 0,
            **({"state": state} if "state" not in state else state),
        }  # fmt: skip
        status = {
            "phase": "Running" if ready else "Pending",
            "conditions": conditions,
            "containerStatuses": [entry],
            "podIP": "10.0.0.9",
            "startTime": "2026-01-01T11:00:00Z",
        }
        copied.carry_out(
            Change(verb="patch", ref=Ref.of(pod), api_version="v1", body={"status": status}, patch="merge", subresource="status")
        )  # fmt: skip
    settle(copied, NOW, [one for one in CONTROLLERS if one.name != "node"])


def found(view: Snapshot, rule: str) -> tuple[Finding, list[Finding]]:
    findings = examine(view, scope="live", now=NOW)
    (one,) = [finding for finding in findings if finding.rule == rule]
    return one, findings


def tried(view: Snapshot, rule: str, fix: Fix | None = None) -> Trial:
    finding, before = found(view, rule)
    assert fix is not None or finding.fixes, finding
    return try_fix(view, finding, fix or finding.fixes[0], now=NOW, before=before, definitions=load())


def steps(trial: Trial) -> dict[str, bool]:
    return {step.name: step.ok for step in trial.steps}


def wrong(**edits: Any) -> Any:
    """Return a change of the shop: `Deployment_web={"path": value}`."""

    def change(resource: Resource) -> None:
        for path, value in edits.get(f"{resource['kind']}_{resource['metadata']['name']}", {}).items():
            holder: Any = resource
            *way, last = path.split("/")
            for step in way:
                holder = holder[int(step)] if step.isdigit() else holder[step]
            holder[last] = value

    return change


CONTAINER = "spec/template/spec/containers/0"
RUNNING = {"running": {"startedAt": "2026-01-01T11:00:00Z"}}


def test_a_wrong_image_is_proven_fixed_and_rolls_out_on_the_copy_only() -> None:
    copied = cluster(wrong(Deployment_web={f"{CONTAINER}/image": "shop/web:l.0"}))
    report(copied, "web", {"waiting": {"reason": "ErrImagePull", "message": "dial tcp: no such host"}})
    trial = tried(copied, "image.pull")
    assert trial.proven, trial.steps
    assert list(steps(trial)) == [
        "the API server takes the change",
        "the controllers come to rest",
        "nothing keeps the new pods from starting",
        "the cause is gone",
        "nothing new is wrong",
    ]
    (diff,) = trial.diffs
    assert (
        "-        - image: shop/web:l.0" in diff
        or "-          image: shop/web:l.0" in diff
        or "image: shop/web:l.0" in diff
    )
    assert trial.unproven == ["that container web starts and answers its readiness probe (GET :8080/)"]
    web = copied.get("apps", "Deployment", "shop", "web")
    assert web is not None
    assert web["spec"]["template"]["spec"]["containers"][0]["image"] == "shop/web:l.0", (
        "the cluster is untouched"
    )


def policy(plural: str, operation: str, expression: str, message: str) -> tuple[Resource, Resource]:
    """Return a ValidatingAdmissionPolicy over apps and the core group, and its binding."""
    api, meta = "admissionregistration.k8s.io/v1", {"name": "p", "uid": "p", "resourceVersion": "1"}
    rule = {
        "apiGroups": ["", "apps"],
        "apiVersions": ["v1"],
        "operations": [operation],
        "resources": [plural],
    }
    spec = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": expression, "message": message}],
    }
    bound = {"policyName": "p", "validationActions": ["Deny"]}
    return (
        {"apiVersion": api, "kind": "ValidatingAdmissionPolicy", "metadata": {**meta}, "spec": spec},
        {"apiVersion": api, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {**meta}, "spec": bound},
    )


def test_a_fix_that_a_policy_denies_is_not_proven() -> None:
    copied = cluster(wrong(Deployment_web={f"{CONTAINER}/image": "shop/web:l.0"}))
    report(copied, "web", {"waiting": {"reason": "ErrImagePull", "message": "dial tcp: no such host"}})
    for one in policy("deployments", "UPDATE", "false", "frozen until Monday"):
        copied.put(one)
    trial = tried(copied, "image.pull")
    assert not trial.proven
    assert trial.steps[0].detail.endswith("denied request: frozen until Monday")


def test_a_fix_whose_pods_a_policy_denies_is_not_proven() -> None:
    copied = cluster(wrong(Deployment_web={f"{CONTAINER}/image": "shop/web:l.0"}))
    report(copied, "web", {"waiting": {"reason": "ErrImagePull", "message": "dial tcp: no such host"}})
    for one in policy("pods", "CREATE", "false", "no new pods"):
        copied.put(one)
    trial = tried(copied, "image.pull")
    assert trial.steps[0].ok
    assert not trial.proven


def test_policies_of_formats_that_the_cluster_defines_count_on_the_copy() -> None:
    fresh = world_of([], load()).fork()
    policing_kinds.install(fresh, NOW)
    view = Copy(fresh, NOW, ADMIN)
    named: Resource = {
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": "p", "uid": "p"},
        "spec": {"rules": [{"name": "r", "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
                            "validate": {"message": "no", "deny": {}}}]},
    }  # fmt: skip
    view.put(named)
    assert world_of(view, load()).closed


def test_a_fix_that_the_api_refuses_is_not_proven() -> None:
    copied = cluster(wrong(Service_web={"spec/selector": {"app": "wbe"}}))
    report(copied, "web", RUNNING, ready=True)
    service = copied.get("", "Service", "shop", "web")
    assert service is not None
    patch = [{"op": "replace", "path": "/spec/selector/app", "value": "not a label!"}]
    bad = Fix(
        title="x",
        changes=(Change(verb="patch", ref=Ref.of(service), api_version="v1", body=patch, patch="json"),),
    )
    trial = tried(copied, "service.selector", bad)
    assert not trial.proven
    assert "Invalid value" in trial.steps[0].detail


def test_a_fix_that_does_not_help_and_one_that_breaks_something_else() -> None:
    copied = cluster(wrong(Service_web={"spec/selector": {"app": "wbe"}}))
    report(copied, "web", RUNNING, ready=True)
    service = copied.get("", "Service", "shop", "web")
    config = copied.get("", "ConfigMap", "shop", "shop")
    assert service is not None
    assert config is not None
    patch = [{"op": "replace", "path": "/spec/selector/app", "value": "web2"}]
    useless = Change(verb="patch", ref=Ref.of(service), api_version="v1", body=patch, patch="json")
    harm = Change(verb="delete", ref=Ref.of(config), api_version="v1")
    trial = tried(copied, "service.selector", Fix(title="x", changes=(useless, harm)))
    assert not steps(trial)["the cause is gone"]
    assert not steps(trial)["nothing new is wrong"]
    assert "ConfigMap shop does not exist" in trial.steps[-1].detail


def test_a_selector_is_fixed_without_new_pods() -> None:
    copied = cluster(wrong(Service_web={"spec/selector": {"app": "wbe"}}))
    report(copied, "web", RUNNING, ready=True)
    trial = tried(copied, "service.selector")
    assert trial.proven, trial.steps
    assert "nothing keeps the new pods from starting" not in steps(trial)
    assert trial.unproven == ["that what listens behind it answers as its clients expect"]


def test_a_missing_key_is_fixed_and_the_other_trouble_of_the_pod_remains() -> None:
    edits = {
        f"{CONTAINER}/env/0/valueFrom/configMapKeyRef/key": "CURENCY",
        f"{CONTAINER}/envFrom/0/secretRef/name": "tills",
    }
    copied = cluster(wrong(Deployment_web=edits))
    report(
        copied,
        "web",
        {"waiting": {"reason": "CreateContainerConfigError", "message": "couldn't find key CURENCY"}},
    )
    trial = tried(copied, "config.key")
    assert trial.proven, trial.steps
    assert {one.rule for one in trial.after} == {"secret.missing"}
    assert "not found" in next(step.detail for step in trial.steps if step.name.startswith("nothing keeps"))


def test_a_job_is_made_anew() -> None:
    copied = cluster(wrong(Job_migrate={"spec/template/spec/nodeSelector": {"kubernetes.io/os": "linus"}}))
    finding, _ = found(copied, "schedule.selector")
    assert finding.fixes[0].risk.startswith("The Job is deleted")
    trial = tried(copied, "schedule.selector")
    assert trial.proven, trial.steps
    assert "linus" in trial.diffs[0]
    assert len(trial.diffs) == 1


def test_a_request_that_no_node_can_meet() -> None:
    copied = cluster(wrong(Deployment_web={f"{CONTAINER}/resources": {"requests": {"cpu": "64"}}}))
    trial = tried(copied, "schedule.resources")
    assert trial.proven, trial.steps


def test_values_of_secrets_do_not_show_in_diffs() -> None:
    copied = cluster(wrong(Service_web={"spec/selector": {"app": "wbe"}}))
    secret = copied.get("", "Secret", "shop", "till")
    assert secret is not None
    patch = [{"op": "add", "path": "/data/more", "value": "aGVsbG8="}]
    trial = tried(
        copied,
        "service.selector",
        Fix(
            title="x",
            changes=(Change(verb="patch", ref=Ref.of(secret), api_version="v1", body=patch, patch="json"),),
        ),
    )
    assert "(hidden)" in trial.diffs[0]
    assert "aGVsbG8=" not in trial.diffs[0]
    assert "NDcxMQ" not in trial.diffs[0]


@pytest.mark.parametrize("kind", ["Pod", "Event", "HorizontalPodAutoscaler", "CustomResourceDefinition"])
def test_every_stored_kind_is_copied_once(kind: str) -> None:
    assert [one for _, one in kinds_to_copy()].count(kind) == 1
