"""DaemonSets: one pod on every node that wants it."""

from __future__ import annotations

from typing import Any

from fairlead.words import Resource


def daemon(image: str = "a", **spec: Any) -> Resource:
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "log", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "log"}},
            "template": {
                "metadata": {"labels": {"app": "log"}},
                "spec": {"containers": [{"name": "main", "image": image}]},
            },
            "updateStrategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0},
            },
            "revisionHistoryLimit": 10,
            **spec,
        },
    }


def image(name: str) -> Resource:
    return {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": name}]}}}}


def by_node(cluster: Any) -> dict[str, str]:
    return {
        pod["spec"].get("nodeName", ""): pod["spec"]["containers"][0]["image"]
        for pod in cluster.list("", "Pod")
    }


def test_every_node_gets_one(cluster: Any) -> None:
    for name in ("a", "b", "c"):
        cluster.node(name)
    cluster.add(daemon())
    cluster.run()
    assert by_node(cluster) == {"a": "a", "b": "a", "c": "a"}
    assert cluster.find("DaemonSet", "log", "apps")["status"] == {
        "currentNumberScheduled": 3,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 3,
        "numberReady": 3,
        "observedGeneration": 1,
        "updatedNumberScheduled": 3,
        "numberAvailable": 3,
    }
    pod = cluster.list("", "Pod")[0]
    (revision,) = cluster.list("apps", "ControllerRevision")
    assert (
        pod["metadata"]["labels"]["controller-revision-hash"]
        == revision["metadata"]["labels"]["controller-revision-hash"]
    )
    keys = {entry["key"] for entry in pod["spec"]["tolerations"]}
    assert "node.kubernetes.io/unschedulable" in keys
    assert "node.kubernetes.io/network-unavailable" not in keys
    cluster.node("d")
    cluster.run()
    assert set(by_node(cluster)) == {"a", "b", "c", "d"}


def test_only_nodes_that_suit(cluster: Any) -> None:
    for name in ("a", "b", "c"):
        cluster.node(name)
    cluster.edit(cluster.find("Node", "a", namespace=""), {"metadata": {"labels": {"disk": "ssd"}}})
    taint = {"key": "dedicated", "effect": "NoSchedule"}
    cluster.edit(
        cluster.find("Node", "b", namespace=""),
        {"metadata": {"labels": {"disk": "ssd"}}, "spec": {"taints": [taint]}},
    )
    body = daemon()
    body["spec"]["template"]["spec"]["nodeSelector"] = {"disk": "ssd"}
    cluster.add(body)
    cluster.run()
    assert set(by_node(cluster)) == {"a"}
    cluster.edit(cluster.find("Node", "a", namespace=""), {"metadata": {"labels": {"disk": None}}})
    cluster.run()
    assert not cluster.list("", "Pod")


def test_a_cordoned_node_keeps_its_daemon(cluster: Any) -> None:
    node = cluster.node("a")
    cluster.edit(node, {"spec": {"unschedulable": True}})
    cluster.add(daemon())
    cluster.run()
    assert set(by_node(cluster)) == {"a"}


def test_an_update_takes_one_node_at_a_time(cluster: Any) -> None:
    for name in ("a", "b", "c"):
        cluster.node(name)
    made = cluster.add(daemon())
    cluster.run()
    cluster.edit(made, image("b"))
    lowest = 3
    for _ in range(20):
        cluster.settle()
        ready = [
            pod
            for pod in cluster.list("", "Pod")
            if not pod["metadata"].get("deletionTimestamp") and pod["status"]["phase"] == "Running"
        ]
        lowest = min(lowest, len(ready))
        cluster.kubelet()
        cluster.tick()
    assert lowest == 2
    assert by_node(cluster) == {"a": "b", "b": "b", "c": "b"}
    assert cluster.find("DaemonSet", "log", "apps")["status"]["updatedNumberScheduled"] == 3


def test_a_surge_starts_the_new_one_first(cluster: Any) -> None:
    for name in ("a", "b"):
        cluster.node(name)
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    made = cluster.add(daemon(updateStrategy=strategy))
    cluster.run()
    cluster.edit(made, image("b"))
    cluster.settle()
    assert len(cluster.list("", "Pod")) == 3
    for _ in range(20):
        cluster.settle()
        ready = [
            pod
            for pod in cluster.list("", "Pod")
            if not pod["metadata"].get("deletionTimestamp") and pod["status"]["phase"] == "Running"
        ]
        assert len(ready) >= 2
        cluster.kubelet()
        cluster.tick()
    assert by_node(cluster) == {"a": "b", "b": "b"}


def test_on_delete_waits_for_people(cluster: Any) -> None:
    cluster.node("a")
    made = cluster.add(daemon(updateStrategy={"type": "OnDelete"}))
    cluster.run()
    cluster.edit(made, image("b"))
    cluster.run()
    assert by_node(cluster) == {"a": "a"}
    cluster.remove(cluster.list("", "Pod")[0])
    cluster.run()
    assert by_node(cluster) == {"a": "b"}


def test_a_failed_daemon_is_replaced(cluster: Any) -> None:
    cluster.node("a")
    cluster.add(daemon())
    cluster.run()
    pod = cluster.report(cluster.list("", "Pod")[0], "Failed", ready=False)
    cluster.run()
    assert cluster.said("FailedDaemonPod") == [
        f"Found failed daemon pod default/{pod['metadata']['name']} on node a, will try to kill it"
    ]
    assert [item["status"]["phase"] for item in cluster.list("", "Pod")] == ["Running"]


def test_a_daemon_that_does_not_fit_is_unavailable(cluster: Any) -> None:
    cluster.node("a", cpu="1")
    body = daemon()
    body["spec"]["template"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "2"}}
    cluster.add(body)
    cluster.run()
    status = cluster.find("DaemonSet", "log", "apps")["status"]
    assert (status["desiredNumberScheduled"], status["numberUnavailable"]) == (1, 1)
    assert cluster.said("FailedScheduling")[0].startswith("0/1 nodes are available: 1 Insufficient cpu.")
