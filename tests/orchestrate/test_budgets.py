"""Disruption budgets and autoscalers: what they report."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.orchestrate import moments
from fairlead.orchestrate.autoscalers import AUTOSCALERS
from fairlead.orchestrate.budgets import BUDGETS
from fairlead.words import Resource


def deployment(replicas: int = 4) -> Resource:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "main", "image": "a"}]},
            },
        },
    }


def budget(**spec: Any) -> Resource:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, **spec},
    }


def status(cluster: Any) -> Resource:
    found: Resource = cluster.find("PodDisruptionBudget", "web", "policy")["status"]
    return found


@pytest.mark.parametrize(
    ("spec", "wanted", "allowed"),
    [
        ({"minAvailable": 3}, 3, 1),
        ({"minAvailable": "50%"}, 2, 2),
        ({"minAvailable": "60%"}, 3, 1),
        ({"maxUnavailable": 1}, 3, 1),
        ({"maxUnavailable": "30%"}, 2, 2),
        ({"maxUnavailable": 0}, 4, 0),
        ({"minAvailable": 9}, 9, 0),
    ],
)
def test_how_many_may_be_disrupted(cluster: Any, spec: Resource, wanted: int, allowed: int) -> None:
    cluster.node()
    cluster.add(deployment())
    cluster.run()
    cluster.add(budget(**spec))
    cluster.run()
    found = status(cluster)
    (condition,) = found.pop("conditions")
    assert found == {
        "observedGeneration": 1,
        "disruptionsAllowed": allowed,
        "currentHealthy": 4,
        "desiredHealthy": wanted,
        "expectedPods": 4,
    }
    assert (condition["status"], condition["reason"]) == (
        ("True", "SufficientPods") if allowed else ("False", "InsufficientPods")
    )


def test_unready_pods_and_evictions_under_way_are_not_healthy(cluster: Any) -> None:
    cluster.node()
    cluster.add(deployment())
    cluster.run()
    first, second, *_ = cluster.list("", "Pod")
    cluster.report(first, ready=False)
    made = cluster.add(budget(minAvailable=1))
    under_way = {second["metadata"]["name"]: moments.stamp(cluster.now), "gone": moments.stamp(cluster.now)}
    cluster.edit(made, {"status": {"disruptedPods": under_way}})
    settled = cluster.settle(BUDGETS)
    assert (status(cluster)["currentHealthy"], status(cluster)["disruptionsAllowed"]) == (2, 1)
    assert list(status(cluster)["disruptedPods"]) == [second["metadata"]["name"]]
    assert settled.waiting
    cluster.tick(121)
    cluster.settle(BUDGETS)
    assert status(cluster)["currentHealthy"] == 3


def test_a_share_of_an_unknown_number_is_an_error(cluster: Any) -> None:
    cluster.node()
    owner = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "log", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}},
        },
    }
    cluster.add(owner)
    cluster.run()
    cluster.add(budget(maxUnavailable=1))
    cluster.settle(BUDGETS)
    assert status(cluster)["disruptionsAllowed"] == 0
    assert status(cluster)["conditions"][0]["reason"] == "SyncFailed"
    assert cluster.said("CalculateExpectedPodCountFailed")


def scaler(**spec: Any) -> Resource:
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "minReplicas": 2,
            "maxReplicas": 6,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
                }
            ],
            **spec,
        },
    }


def found(cluster: Any) -> dict[str, tuple[str, str, str]]:
    status = cluster.find("HorizontalPodAutoscaler", "web", "autoscaling")["status"]
    return {
        entry["type"]: (entry["status"], entry["reason"], entry["message"]) for entry in status["conditions"]
    }


def test_without_metrics_an_autoscaler_says_so(cluster: Any) -> None:
    cluster.add(deployment())
    cluster.add(scaler())
    cluster.settle(AUTOSCALERS)
    lacking = (
        "failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource "
        "metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)"
    )
    assert found(cluster) == {
        "AbleToScale": (
            "True",
            "SucceededGetScale",
            "the HPA controller was able to get the target's current scale",
        ),
        "ScalingActive": (
            "False",
            "FailedGetResourceMetric",
            f"the HPA was unable to compute the replica count: {lacking}",
        ),
    }
    assert cluster.said("FailedGetResourceMetric") == [lacking]
    assert cluster.find("Deployment", "web", "apps")["spec"]["replicas"] == 4


@pytest.mark.parametrize(
    ("replicas", "size", "why"),
    [
        (9, 6, "Current number of replicas above Spec.MaxReplicas"),
        (1, 2, "Current number of replicas below Spec.MinReplicas"),
    ],
)
def test_its_bounds_hold_all_the_same(cluster: Any, replicas: int, size: int, why: str) -> None:
    cluster.add(deployment(replicas))
    cluster.add(scaler())
    cluster.settle(AUTOSCALERS)
    assert cluster.find("Deployment", "web", "apps")["spec"]["replicas"] == size
    assert cluster.said("SuccessfulRescale") == [f"New size: {size}; reason: {why}"]


def test_a_missing_target_is_told(cluster: Any) -> None:
    cluster.add(scaler())
    cluster.settle(AUTOSCALERS)
    assert found(cluster) == {
        "AbleToScale": (
            "False",
            "FailedGetScale",
            'the HPA controller was unable to get the target\'s current scale: deployments.apps "web" not found',
        )
    }


def test_a_target_scaled_to_zero_is_not_woken(cluster: Any) -> None:
    cluster.add(deployment(0))
    cluster.add(scaler())
    cluster.settle(AUTOSCALERS)
    assert found(cluster)["ScalingActive"][1] == "ScalingDisabled"
    assert cluster.find("Deployment", "web", "apps")["spec"]["replicas"] == 0
