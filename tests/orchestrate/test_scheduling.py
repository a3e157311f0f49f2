"""Scheduling: where pods go, and why some go nowhere, in the scheduler's own words."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.orchestrate import conditions
from fairlead.orchestrate.scheduling import SCHEDULER
from fairlead.orchestrate.volumes import CLAIMS, VOLUMES
from fairlead.words import Resource


def pod(name: str = "p", labels: dict[str, str] | None = None, **spec: Any) -> Resource:
    requests = spec.pop("requests", None)
    container: Resource = {"name": "main", "image": "a"}
    if requests:
        container["resources"] = {"requests": requests}
    if "ports" in spec:
        container["ports"] = spec.pop("ports")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": labels or {}},
        "spec": {"containers": [container], **spec},
    }


def place(cluster: Any, name: str = "p") -> str:
    found: str = cluster.find("Pod", name)["spec"].get("nodeName", "")
    return found


def why(cluster: Any, name: str = "p") -> str:
    condition = conditions.find(cluster.find("Pod", name), "PodScheduled")
    assert condition is not None
    assert (condition["status"], condition["reason"]) == ("False", "Unschedulable")
    text: str = condition["message"]
    assert text in cluster.said("FailedScheduling")
    return text


NO_VICTIMS = " preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
HELPLESS = " preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
CASES: list[tuple[dict[str, Any], str]] = [
    ({"requests": {"cpu": "5"}}, "0/1 nodes are available: 1 Insufficient cpu." + NO_VICTIMS),
    (
        {"requests": {"cpu": "5", "memory": "9Gi"}},
        "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory." + NO_VICTIMS,
    ),
    (
        {"requests": {"example.com/gpu": "1"}},
        "0/1 nodes are available: 1 Insufficient example.com/gpu." + NO_VICTIMS,
    ),
    (
        {"nodeSelector": {"disk": "ssd"}},
        "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector." + HELPLESS,
    ),
    (
        {
            "topologySpreadConstraints": [
                {
                    "maxSkew": 1,
                    "topologyKey": "zone",
                    "whenUnsatisfiable": "DoNotSchedule",
                    "labelSelector": {},
                }
            ]
        },
        "0/1 nodes are available: 1 node(s) didn't match pod topology spread constraints (missing required label)."
        + HELPLESS,
    ),
    (
        {
            "affinity": {
                "podAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": [
                        {
                            "topologyKey": "kubernetes.io/hostname",
                            "labelSelector": {"matchLabels": {"app": "db"}},
                        }
                    ]
                }
            }
        },
        "0/1 nodes are available: 1 node(s) didn't match pod affinity rules." + HELPLESS,
    ),
    (
        {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]},
        '0/1 nodes are available: persistentvolumeclaim "data" not found.' + HELPLESS,
    ),
    (
        {"requests": {"cpu": "5"}, "preemptionPolicy": "Never", "priority": 5},
        "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never.",
    ),
]


@pytest.mark.parametrize(("spec", "message"), CASES, ids=[message[24:70] for _, message in CASES])
def test_why_a_pod_does_not_fit(cluster: Any, spec: dict[str, Any], message: str) -> None:
    cluster.node()
    cluster.add(pod(**spec))
    cluster.settle(SCHEDULER)
    assert place(cluster) == ""
    assert why(cluster) == message


def test_no_nodes(cluster: Any) -> None:
    cluster.add(pod())
    cluster.settle(SCHEDULER)
    assert why(cluster) == "no nodes available to schedule pods"


def test_a_pod_that_fits_is_bound_and_told_of(cluster: Any) -> None:
    cluster.node()
    cluster.add(pod(requests={"cpu": "4"}))
    cluster.settle(SCHEDULER)
    assert place(cluster) == "one"
    assert cluster.said("Scheduled") == ["Successfully assigned default/p to one"]


def test_reasons_of_several_nodes_are_counted_and_sorted(cluster: Any) -> None:
    for name in ("a", "b", "c", "d"):
        cluster.node(name)
    cluster.edit(cluster.find("Node", "a", namespace=""), {"spec": {"unschedulable": True}})
    taint = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}
    cluster.edit(cluster.find("Node", "b", namespace=""), {"spec": {"taints": [taint]}})
    cluster.add(pod(requests={"cpu": "9"}))
    cluster.settle(SCHEDULER)
    assert why(cluster) == (
        "0/4 nodes are available: 1 node(s) had untolerated taint {dedicated: db}, 1 node(s) were unschedulable, "
        "2 Insufficient cpu. preemption: 0/4 nodes are available: 2 No preemption victims found for incoming pod, "
        "2 Preemption is not helpful for scheduling."
    )


def test_a_toleration_opens_a_tainted_node(cluster: Any) -> None:
    node = cluster.node()
    cluster.edit(node, {"spec": {"taints": [{"key": "dedicated", "value": "db", "effect": "NoSchedule"}]}})
    cluster.add(pod("right", tolerations=[{"key": "dedicated", "value": "db", "effect": "NoSchedule"}]))
    cluster.add(pod("wrong", tolerations=[{"key": "dedicated", "value": "web"}]))
    cluster.add(pod("any", tolerations=[{"operator": "Exists"}]))
    cluster.settle(SCHEDULER)
    assert [place(cluster, name) for name in ("right", "wrong", "any")] == ["one", "", "one"]


def test_two_pods_are_not_promised_the_same_room(cluster: Any) -> None:
    cluster.node()
    for name in ("a", "b"):
        cluster.add(pod(name, requests={"cpu": "3"}))
    cluster.settle(SCHEDULER)
    assert [place(cluster, name) for name in ("a", "b")] == ["one", ""]


def test_too_many_pods(cluster: Any) -> None:
    cluster.node(pods="1")
    cluster.add(pod("a"))
    cluster.add(pod("b"))
    cluster.settle(SCHEDULER)
    assert why(cluster, "b").startswith("0/1 nodes are available: 1 Too many pods.")


def test_host_ports_clash(cluster: Any) -> None:
    cluster.node()
    for name in ("a", "b"):
        cluster.add(pod(name, ports=[{"containerPort": 80, "hostPort": 8080}]))
    cluster.add(pod("c", ports=[{"containerPort": 80, "hostPort": 8080, "protocol": "UDP"}]))
    cluster.settle(SCHEDULER)
    assert place(cluster, "c") == "one"
    assert why(cluster, "b").startswith(
        "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports."
    )


def test_anti_affinity_holds_in_both_directions(cluster: Any) -> None:
    cluster.node()
    rule = {
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}}
            ]
        }
    }
    cluster.add(pod("a", {"app": "web"}, affinity=rule))
    cluster.settle(SCHEDULER)
    cluster.add(pod("b", {"app": "web"}, affinity=rule))
    cluster.add(pod("c", {"app": "web"}))
    cluster.settle(SCHEDULER)
    assert "1 node(s) didn't match pod anti-affinity rules." in why(cluster, "b")
    assert "1 node(s) didn't satisfy existing pods anti-affinity rules." in why(cluster, "c")


def test_the_first_of_a_group_that_wants_company_may_start_it(cluster: Any) -> None:
    cluster.node()
    rule = {
        "podAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}}
            ]
        }
    }
    cluster.add(pod("a", {"app": "web"}, affinity=rule))
    cluster.add(pod("b", {"app": "web"}, affinity=rule))
    cluster.settle(SCHEDULER)
    assert [place(cluster, name) for name in ("a", "b")] == ["one", "one"]


def test_pods_spread_over_domains(cluster: Any) -> None:
    for name in ("a", "b"):
        cluster.node(name)
    spread = [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "web"}},
        }
    ]
    for number in range(4):
        cluster.add(pod(f"p{number}", {"app": "web"}, topologySpreadConstraints=spread))
    cluster.settle(SCHEDULER)
    assert sorted(place(cluster, f"p{number}") for number in range(4)) == ["a", "a", "b", "b"]
    cluster.edit(cluster.find("Node", "a", namespace=""), {"spec": {"unschedulable": True}})
    cluster.add(pod("p4", {"app": "web"}, topologySpreadConstraints=spread))
    cluster.add(pod("p5", {"app": "web"}, topologySpreadConstraints=spread))
    cluster.settle(SCHEDULER)
    assert place(cluster, "p4") == "b"
    assert "1 node(s) didn't match pod topology spread constraints" in why(cluster, "p5")


def test_preferences_choose_among_nodes_that_fit(cluster: Any) -> None:
    for name in ("a", "b", "c"):
        cluster.node(name)
    cluster.edit(cluster.find("Node", "c", namespace=""), {"metadata": {"labels": {"disk": "ssd"}}})
    wish = {
        "nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 10, "preference": {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}}
            ]
        }
    }
    cluster.add(pod("fast", affinity=wish))
    cluster.add(pod("big", requests={"cpu": "3"}))
    cluster.add(pod("other", requests={"cpu": "3"}))
    cluster.settle(SCHEDULER)
    assert place(cluster, "fast") == "c"
    assert place(cluster, "big") != place(cluster, "other")


def test_more_important_pods_come_first_and_push_others_out(cluster: Any) -> None:
    cluster.node()
    cluster.add(pod("low", requests={"cpu": "3"}, priority=1))
    cluster.add(pod("tiny", requests={"cpu": "1"}, priority=1))
    cluster.settle(SCHEDULER)
    cluster.kubelet()
    cluster.add(pod("high", requests={"cpu": "2"}, priority=10))
    cluster.settle(SCHEDULER)
    low = cluster.find("Pod", "low")
    assert low["metadata"]["deletionTimestamp"]
    condition = conditions.find(low, "DisruptionTarget")
    assert condition is not None
    assert (condition["reason"], condition["message"]) == (
        "PreemptionByScheduler",
        "default-scheduler: preempting to accommodate a higher priority pod",
    )
    high = cluster.find("Pod", "high")
    assert high["status"]["nominatedNodeName"] == "one"
    assert cluster.said("Preempted") == [f"Preempted by pod {high['metadata']['uid']} on node one"]
    assert not cluster.find("Pod", "tiny")["metadata"].get("deletionTimestamp")
    cluster.kubelet()
    cluster.settle(SCHEDULER)
    assert place(cluster, "high") == "one"


def test_gates_hold_a_pod_back(cluster: Any) -> None:
    cluster.node()
    cluster.add(pod(schedulingGates=[{"name": "example.com/wait"}]))
    cluster.settle(SCHEDULER)
    condition = conditions.find(cluster.find("Pod", "p"), "PodScheduled")
    assert condition is not None
    assert (condition["reason"], condition["message"]) == (
        "SchedulingGated",
        "Scheduling is blocked due to non-empty scheduling gates",
    )
    assert not cluster.said("FailedScheduling")
    cluster.edit(cluster.find("Pod", "p"), {"spec": {"schedulingGates": []}})
    cluster.settle(SCHEDULER)
    assert place(cluster) == "one"


def test_another_schedulers_pods_are_left_alone(cluster: Any) -> None:
    cluster.node()
    cluster.add(pod(schedulerName="mine"))
    cluster.settle(SCHEDULER)
    assert place(cluster) == ""


def test_the_same_news_is_not_told_at_every_look(cluster: Any) -> None:
    cluster.node()
    cluster.add(pod(requests={"cpu": "5"}))
    cluster.settle(SCHEDULER)
    for _ in range(5):
        cluster.tick(10)
        cluster.settle(SCHEDULER)
    (event,) = cluster.list("", "Event")
    assert event["count"] == 1
    cluster.tick(300)
    cluster.settle(SCHEDULER)
    (event,) = cluster.list("", "Event")
    assert event["count"] == 2


def test_init_containers_count_by_their_hungriest(cluster: Any) -> None:
    cluster.node()
    big = {"name": "init", "image": "a", "resources": {"requests": {"cpu": "3"}}}
    side = {"name": "side", "image": "a", "restartPolicy": "Always", "resources": {"requests": {"cpu": "2"}}}
    cluster.add(pod("fits", requests={"cpu": "2"}, initContainers=[big]))
    cluster.settle(SCHEDULER)
    assert place(cluster, "fits") == "one"
    cluster.remove(cluster.find("Pod", "fits"))
    cluster.kubelet()
    cluster.add(pod("not", requests={"cpu": "1"}, initContainers=[side, big]))
    cluster.settle(SCHEDULER)
    assert place(cluster, "not") == ""


def claim(**spec: Any) -> Resource:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": "default"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec},
    }


def volume(name: str = "pv", size: str = "2Gi", **spec: Any) -> Resource:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": size},
            "hostPath": {"path": "/data"},
            **spec,
        },
    }


USES: dict[str, Any] = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}


def test_an_unbound_claim_holds_its_pod_back_until_a_volume_comes(cluster: Any) -> None:
    cluster.node()
    cluster.add(claim())
    cluster.add(pod(**USES))
    cluster.settle(CLAIMS, VOLUMES, SCHEDULER)
    assert why(cluster).startswith(
        "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption:"
    )
    assert cluster.said("FailedBinding") == [
        "no persistent volumes available for this claim and no storage class is set"
    ]
    cluster.add(volume())
    cluster.settle(CLAIMS, VOLUMES, SCHEDULER)
    assert place(cluster) == "one"
    assert cluster.find("PersistentVolumeClaim", "data")["status"]["phase"] == "Bound"


def test_a_volume_of_another_node_conflicts(cluster: Any) -> None:
    cluster.node()
    only = {
        "required": {
            "nodeSelectorTerms": [
                {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["two"]}]}
            ]
        }
    }
    cluster.add(claim())
    cluster.add(volume(nodeAffinity=only))
    cluster.add(pod(**USES))
    cluster.settle(CLAIMS, VOLUMES, SCHEDULER)
    assert why(cluster).startswith("0/1 nodes are available: 1 node(s) had volume node affinity conflict.")


def test_a_class_that_waits_for_its_consumer_binds_on_the_pods_node(cluster: Any) -> None:
    cluster.node()
    cluster.add(
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": "local"},
            "provisioner": "kubernetes.io/no-provisioner",
            "volumeBindingMode": "WaitForFirstConsumer",
        }
    )
    cluster.add(claim(storageClassName="local"))
    cluster.settle(CLAIMS, VOLUMES, SCHEDULER)
    assert cluster.said("WaitForFirstConsumer") == ["waiting for first consumer to be created before binding"]
    cluster.add(pod(**USES))
    cluster.settle(CLAIMS, VOLUMES, SCHEDULER)
    assert why(cluster).startswith(
        "0/1 nodes are available: 1 node(s) didn't find available persistent volumes to bind."
    )
    cluster.add(volume(storageClassName="local"))
    cluster.settle(CLAIMS, VOLUMES, SCHEDULER)
    assert place(cluster) == "one"
    assert cluster.find("PersistentVolumeClaim", "data")["spec"]["volumeName"] == "pv"
