"""How objects are, by kstatus's rules: one row a case, and checks of a package's own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from fairlead.converge.health import BadCheck, compiled, health, settles
from fairlead.converge.stages import Check

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def thing(
    kind: str, version: str = "v1", *, spec: Any = None, status: Any = None, **meta: Any
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": "x", "namespace": "n", **meta},
    }
    if spec is not None:
        made["spec"] = spec
    if status is not None:
        made["status"] = status
    return made


def conditions(*each: tuple[str, str] | tuple[str, str, str]) -> dict[str, Any]:
    return {
        "conditions": [
            {
                "type": one[0],
                "status": one[1],
                "reason": one[2] if len(one) > 2 else "",
                "message": f"{one[0]} is {one[1]}",
            }
            for one in each
        ]
    }


def deployment(generation: int = 1, **status: Any) -> dict[str, Any]:
    full = {
        "observedGeneration": 1,
        "replicas": 2,
        "updatedReplicas": 2,
        "readyReplicas": 2,
        "availableReplicas": 2,
    }
    full |= conditions(("Available", "True"), ("Progressing", "True", "NewReplicaSetAvailable"))
    return thing(
        "Deployment",
        "apps/v1",
        spec={"replicas": 2, "progressDeadlineSeconds": 600},
        status=full | status,
        generation=generation,
    )


def statefulset(strategy: Any = None, **status: Any) -> dict[str, Any]:
    full = {
        "replicas": 2,
        "readyReplicas": 2,
        "currentReplicas": 2,
        "updatedReplicas": 2,
        "currentRevision": "a",
        "updateRevision": "a",
    }
    return thing(
        "StatefulSet", "apps/v1", spec={"replicas": 2, "updateStrategy": strategy or {}}, status=full | status
    )


def daemonset(**status: Any) -> dict[str, Any]:
    full = {
        "observedGeneration": 1, "desiredNumberScheduled": 3, "currentNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 3,
        "numberReady": 3,
    }  # fmt: skip
    return thing("DaemonSet", "apps/v1", status=full | status, generation=1)


def pod(
    phase: str, *each: tuple[str, str, str], created: str = "2026-01-01T11:00:00Z", **status: Any
) -> dict[str, Any]:
    return thing("Pod", status={"phase": phase, **conditions(*each), **status}, creationTimestamp=created)


LOOPING: dict[str, Any] = {
    "containerStatuses": [{"name": "web", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]
}
CASES: list[tuple[dict[str, Any] | None, str, str]] = [
    (None, "NotFound", "Resource not found"),
    (thing("ConfigMap"), "Current", "always ready"),
    (thing("ConfigMap", deletionTimestamp="2026-01-01T00:00:00Z"), "Terminating", "scheduled for deletion"),
    (thing("ConfigMap", deletionTimestamp="x", finalizers=["a/b"]), "Terminating", "finalizers: a/b"),
    (deployment(), "Current", "Deployment is available. Replicas: 2"),
    (deployment(generation=2), "InProgress", "Deployment generation is 2, but latest observed generation is 1"),
    (deployment(replicas=1), "InProgress", "Replicas: 1/2"),
    (deployment(updatedReplicas=1), "InProgress", "Updated: 1/2"),
    (deployment(replicas=3), "InProgress", "Pending termination: 1"),
    (deployment(availableReplicas=1), "InProgress", "Available: 1/2"),
    (deployment(readyReplicas=1), "InProgress", "Ready: 1/2"),
    (deployment(**conditions(("Available", "True"))), "InProgress", "ReplicaSet not Available"),
    (deployment(**conditions(("Progressing", "True", "NewReplicaSetAvailable"))), "InProgress", "Deployment not Available"),
    (deployment(**conditions(("Progressing", "False", "ProgressDeadlineExceeded"))), "Failed", "Progress deadline exceeded"),
    (statefulset(), "Current", "All replicas scheduled as expected. Replicas: 2"),
    (statefulset(readyReplicas=1), "InProgress", "Ready: 1/2"),
    (statefulset(currentReplicas=1), "InProgress", "current: 1/2"),
    (statefulset(updateRevision="b"), "InProgress", "Waiting for updated revision to match current"),
    (statefulset({"type": "OnDelete"}, readyReplicas=0), "Current", "ondelete"),
    (statefulset({"rollingUpdate": {"partition": 1}}, updatedReplicas=0), "InProgress", "updated: 0/1"),
    (statefulset({"rollingUpdate": {"partition": 1}}, updatedReplicas=1), "Current", "Partition rollout complete. updated: 1"),
    (daemonset(), "Current", "Replicas: 3"),
    (daemonset(numberReady=1), "InProgress", "Ready: 1/3"),
    (thing("DaemonSet", "apps/v1", generation=1), "InProgress", "status.observedGeneration not found"),
    (thing("ReplicaSet", "apps/v1", status=conditions(("ReplicaFailure", "True"))), "InProgress", "Replica Failure condition"),
    (thing("ReplicaSet", "apps/v1", status={"fullyLabeledReplicas": 1, "availableReplicas": 1, "readyReplicas": 1, "replicas": 1}), "Current", "ReplicaSet is available"),
    (pod("Running", ("Ready", "True", "")), "Current", "Pod is Ready"),
    (pod("Running"), "InProgress", "Pod is running but is not Ready"),
    (pod("Running", **LOOPING), "Failed", "Containers in CrashLoop state: web"),
    (pod("Succeeded"), "Current", "completed successfully"),
    (pod("Failed"), "Current", "but not successfully"),
    (pod("Pending"), "InProgress", "Pending phase"),
    (pod("Pending", ("PodScheduled", "False", "Unschedulable")), "Failed", "could not be scheduled"),
    (pod("Pending", ("PodScheduled", "False", "Unschedulable"), created="2026-01-01T11:59:50Z"), "InProgress", "has not been scheduled"),
    (thing("Pod"), "InProgress", "phase not available"),
    (pod("Odd"), "Unknown", "unknown phase Odd"),
    (thing("Job", "batch/v1", status={}), "InProgress", "Job not started"),
    (thing("Job", "batch/v1", status={"startTime": "t", "active": 1}), "Current", "Job in progress. success:0, active: 1, failed: 0"),
    (thing("Job", "batch/v1", status={"succeeded": 1, **conditions(("Complete", "True"))}), "Current", "Job Completed. succeeded: 1/1"),
    (thing("Job", "batch/v1", status={"failed": 2, **conditions(("Failed", "True"))}), "Failed", "Job Failed. failed: 2/1"),
    (thing("Job", "batch/v1", status=conditions(("Suspended", "True"))), "Current", "suspended"),
    (thing("CronJob", "batch/v1"), "Current", "always ready"),
    (thing("PersistentVolumeClaim", status={"phase": "Bound"}), "Current", "PVC is Bound"),
    (thing("PersistentVolumeClaim", status={"phase": "Pending"}), "InProgress", "PVC is not Bound. phase: Pending"),
    (thing("Service", spec={"type": "LoadBalancer"}), "InProgress", "ClusterIP not set"),
    (thing("Service", spec={"clusterIP": "10.0.0.1"}), "Current", "Service is ready"),
    (thing("Ingress", "networking.k8s.io/v1"), "Current", "Resource is current"),
    (thing("HorizontalPodAutoscaler", "autoscaling/v2"), "Current", "Resource is current"),
    (thing("PodDisruptionBudget", "policy/v1", status={"observedGeneration": 1}, generation=1), "Current", "computed"),
    (thing("CustomResourceDefinition", "apiextensions.k8s.io/v1"), "InProgress", "Install in progress"),
    (thing("CustomResourceDefinition", "apiextensions.k8s.io/v1", status=conditions(("Established", "True"))), "Current", "established"),
    (thing("CustomResourceDefinition", "apiextensions.k8s.io/v1", status=conditions(("NamesAccepted", "False"))), "Failed", "NamesAccepted is False"),
    (thing("APIService", "apiregistration.k8s.io/v1", spec={"service": {"name": "x"}}), "InProgress", "not available yet"),
    (thing("APIService", "apiregistration.k8s.io/v1", status=conditions(("Available", "True"))), "Current", "is available"),
    (thing("Widget", "example.io/v1"), "Current", "Resource is current"),
    (thing("Widget", "example.io/v1", status=conditions(("Ready", "True"))), "Current", "Resource is Ready"),
    (thing("Widget", "example.io/v1", status=conditions(("Ready", "False"))), "InProgress", "Ready is False"),
    (thing("Widget", "example.io/v1", status=conditions(("Ready", "Unknown"))), "InProgress", "Ready is Unknown"),
    (thing("Widget", "example.io/v1", status=conditions(("Ready", "True"), ("Reconciling", "True"))), "InProgress", "Reconciling is True"),
    (thing("Widget", "example.io/v1", status=conditions(("Stalled", "True"))), "Failed", "Stalled is True"),
    (thing("Widget", "example.io/v1", status={"observedGeneration": 1}, generation=3), "InProgress", "Widget generation is 3"),
    (thing("Widget", "example.io/v1", status={"conditions": "odd"}), "Current", "Resource is current"),
]  # fmt: skip


@pytest.mark.parametrize(("resource", "state", "message"), CASES)
def test_a_state_and_why(resource: dict[str, Any] | None, state: str, message: str) -> None:
    found = health(resource, NOW)
    assert found.state == state
    assert message in found.message


def test_waiting_for_an_end_asks_for_more_than_kstatus() -> None:
    running = thing("Job", "batch/v1", status={"startTime": "t"})
    assert health(running, NOW, complete=True).state == "InProgress"
    assert health(pod("Failed"), NOW, complete=True).state == "Failed"
    assert health(pod("Succeeded"), NOW, complete=True).state == "Current"


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ({"phase": "Up"}, "Current"),
        ({"phase": "Down"}, "Failed"),
        ({"phase": "Down", "moving": True}, "InProgress"),
        ({"phase": "Between"}, "InProgress"),
        ({}, "InProgress"),
        (None, "InProgress"),
    ],
)
def test_a_package_says_by_cel_when_its_objects_are_healthy(status: Any, state: str) -> None:
    check = Check(
        "example.io/v1",
        "Widget",
        current="status.phase == 'Up'",
        failed="status.phase == 'Down'",
        in_progress="status.moving",
    )
    compiled(check)
    assert health(thing("Widget", "example.io/v1", status=status), NOW, [check]).state == state
    assert health(thing("Other", "example.io/v1", status=status), NOW, [check]).state == "Current"


def test_a_check_may_ask_for_conditions_and_for_one_object() -> None:
    check = Check("example.io/v1", "Widget", name="x", conditions=("Synced",))
    assert health(
        thing("Widget", "example.io/v2", status=conditions(("Synced", "True"))), NOW, [check]
    ).current
    found = health(thing("Widget", "example.io/v1", status=conditions(("Synced", "False"))), NOW, [check])
    assert (found.state, found.message) == ("InProgress", "condition Synced is False: Synced is False")
    assert health(thing("Widget", "example.io/v1"), NOW, [check]).message == "condition Synced is absent"


def test_a_check_that_is_no_cel_is_refused_when_it_is_read() -> None:
    with pytest.raises(BadCheck, match="the check of Widget: current: "):
        compiled(Check("example.io/v1", "Widget", current="status.phase =="))


def test_what_is_ready_at_once_is_not_waited_for() -> None:
    assert not settles(thing("ConfigMap"))
    assert settles(thing("ConfigMap"), [Check("v1", "ConfigMap", current="true")])
    assert settles(thing("Deployment", "apps/v1"))
