"""Nodes that fall silent, taints that drive pods away, and pods that nobody is left to end."""

from __future__ import annotations

from typing import Any

from fairlead.orchestrate import conditions, lives
from fairlead.orchestrate.nodes import EVICTIONS, NODES, TAINTS
from fairlead.words import Resource


def pod(name: str = "p", node: str = "one", **spec: Any) -> Resource:
    waits = [
        {
            "key": f"node.kubernetes.io/{key}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": 300,
        }
        for key in ("not-ready", "unreachable")
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"nodeName": node, "tolerations": waits, "containers": [{"name": "m", "image": "a"}], **spec},
    }


def node(cluster: Any, name: str = "one") -> Resource:
    found: Resource = cluster.find("Node", name, namespace="")
    return found


def taints(cluster: Any) -> set[tuple[str, str]]:
    return {(taint["key"], taint["effect"]) for taint in node(cluster)["spec"].get("taints", ())}


def test_a_silent_node_becomes_unknown_and_comes_back(cluster: Any) -> None:
    cluster.node()
    cluster.report(cluster.add(pod()))
    cluster.tick(60)
    cluster.settle(NODES, TAINTS, EVICTIONS)
    assert not taints(cluster)
    cluster.silent.add("one")
    cluster.tick(41)
    cluster.settle(NODES, TAINTS, EVICTIONS)
    condition = conditions.find(node(cluster), "Ready")
    assert condition is not None
    assert (condition["status"], condition["reason"], condition["message"]) == (
        "Unknown",
        "NodeStatusUnknown",
        "Kubelet stopped posting node status.",
    )
    assert taints(cluster) == {
        ("node.kubernetes.io/unreachable", "NoSchedule"),
        ("node.kubernetes.io/unreachable", "NoExecute"),
    }
    assert not lives.is_ready(cluster.find("Pod", "p"))
    assert sorted(cluster.said("NodeNotReady")) == [
        "Node is not ready",
        "Node one status is now: NodeNotReady",
    ]
    ready = {"type": "Ready", "status": "True"}
    cluster.silent.clear()
    cluster.tick()
    cluster.edit(node(cluster), {"status": {"conditions": [ready]}})
    cluster.settle(NODES, TAINTS, EVICTIONS)
    assert not taints(cluster)


def test_pods_are_evicted_when_their_patience_is_over(cluster: Any) -> None:
    cluster.node()
    cluster.add(pod())
    cluster.add(pod("patient", tolerations=[{"operator": "Exists"}]))
    cluster.silent.add("one")
    cluster.tick(41)
    settled = cluster.settle(NODES, TAINTS, EVICTIONS)
    wait = next(
        value for (name, ref), value in settled.waiting.items() if (name, ref.name) == ("eviction", "p")
    )
    assert 299 <= wait.total_seconds() <= 300
    assert not cluster.find("Pod", "p")["metadata"].get("deletionTimestamp")
    cluster.tick(wait.total_seconds())
    cluster.settle(NODES, TAINTS, EVICTIONS)
    found = cluster.find("Pod", "p")
    assert found["metadata"]["deletionTimestamp"]
    condition = conditions.find(found, "DisruptionTarget")
    assert condition is not None
    assert (condition["reason"], condition["message"]) == (
        "DeletionByTaintManager",
        "Taint manager: deleting due to NoExecute taint",
    )
    assert cluster.said("TaintManagerEviction") == ["Marking for deletion Pod default/p"]
    assert not cluster.find("Pod", "patient")["metadata"].get("deletionTimestamp")


def test_a_taint_that_executes_evicts_at_once(cluster: Any) -> None:
    cluster.node()
    cluster.add(pod())
    cluster.edit(node(cluster), {"spec": {"taints": [{"key": "bad", "effect": "NoExecute"}]}})
    cluster.settle(NODES, TAINTS, EVICTIONS)
    assert cluster.find("Pod", "p")["metadata"]["deletionTimestamp"]
    assert ("bad", "NoExecute") in taints(cluster)


def test_conditions_and_cordons_become_taints(cluster: Any) -> None:
    cluster.node()
    pressure = [
        {"type": "Ready", "status": "False"},
        {"type": "MemoryPressure", "status": "True"},
        {"type": "DiskPressure", "status": "False"},
    ]
    cluster.edit(node(cluster), {"spec": {"unschedulable": True}, "status": {"conditions": pressure}})
    cluster.settle(NODES, TAINTS)
    assert taints(cluster) == {
        ("node.kubernetes.io/not-ready", "NoSchedule"),
        ("node.kubernetes.io/not-ready", "NoExecute"),
        ("node.kubernetes.io/memory-pressure", "NoSchedule"),
        ("node.kubernetes.io/unschedulable", "NoSchedule"),
    }


def test_a_node_that_has_said_nothing_yet_is_given_time(cluster: Any) -> None:
    cluster.node()
    cluster.edit(node(cluster), {"status": {"conditions": []}})
    cluster.settle(NODES, TAINTS)
    assert not taints(cluster)


def test_a_node_that_never_reported_is_said_to(cluster: Any) -> None:
    cluster.node()
    cluster.silent.add("one")
    cluster.edit(node(cluster), {"status": {"conditions": []}})
    cluster.tick(41)
    cluster.settle(NODES, TAINTS)
    condition = conditions.find(node(cluster), "Ready")
    assert condition is not None
    assert (condition["reason"], condition["message"]) == (
        "NodeStatusNeverUpdated",
        "Kubelet never posted node status.",
    )


def test_pods_of_a_node_that_is_gone_are_ended(cluster: Any) -> None:
    cluster.add(pod(node="gone"))
    cluster.settle(EVICTIONS)
    assert cluster.named("Pod") == ["p"]
    cluster.tick(41)
    seen = EVICTIONS.reconcile(cluster, _first(cluster), cluster.now).changes
    assert seen[-1].body == {"gracePeriodSeconds": 0}
    cluster.settle(EVICTIONS)
    assert not cluster.named("Pod")


def _first(cluster: Any) -> Any:
    from fairlead.words import Ref

    return Ref.of(cluster.list("", "Pod")[0])


def test_a_pod_deleted_before_it_was_scheduled_ends(cluster: Any) -> None:
    body = pod()
    del body["spec"]["nodeName"]
    body["metadata"]["finalizers"] = ["batch.kubernetes.io/job-tracking"]
    made = cluster.add(body)
    cluster.remove(made)
    cluster.settle(EVICTIONS)
    assert cluster.find("Pod", "p")["status"]["phase"] == "Failed"
