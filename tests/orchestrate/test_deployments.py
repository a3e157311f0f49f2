"""Deployments, run whole on a cluster in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.orchestrate import conditions, lives, rollouts
from fairlead.orchestrate.steps import Refused
from fairlead.words import Change, Resource


def deployment(name: str = "web", replicas: int = 3, image: str = "a", **spec: Any) -> Resource:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": image}]},
            },
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
            },
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
            **spec,
        },
    }


def image(name: str) -> Resource:
    return {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": name}]}}}}


def sizes(cluster: Any) -> dict[str, int]:
    return {
        item["spec"]["template"]["spec"]["containers"][0]["image"]: item["spec"]["replicas"]
        for item in cluster.list("apps", "ReplicaSet")
    }


def test_a_new_deployment_becomes_available(cluster: Any) -> None:
    cluster.node()
    cluster.add(deployment())
    cluster.run()
    web = cluster.find("Deployment", "web", "apps")
    status = web["status"]
    assert {key: value for key, value in status.items() if key != "conditions"} == {
        "observedGeneration": 1,
        "replicas": 3,
        "updatedReplicas": 3,
        "readyReplicas": 3,
        "availableReplicas": 3,
    }
    (rs,) = cluster.list("apps", "ReplicaSet")
    name = rs["metadata"]["name"]
    found = {
        entry["type"]: (entry["status"], entry["reason"], entry["message"]) for entry in status["conditions"]
    }
    assert found == {
        "Available": ("True", "MinimumReplicasAvailable", "Deployment has minimum availability."),
        "Progressing": (
            "True",
            "NewReplicaSetAvailable",
            f'ReplicaSet "{name}" has successfully progressed.',
        ),
    }
    assert web["metadata"]["annotations"] == {"deployment.kubernetes.io/revision": "1"}
    assert rs["metadata"]["annotations"] == {
        "deployment.kubernetes.io/revision": "1",
        "deployment.kubernetes.io/desired-replicas": "3",
        "deployment.kubernetes.io/max-replicas": "4",
    }
    digest = rs["metadata"]["labels"]["pod-template-hash"]
    assert name == f"web-{digest}"
    assert rs["spec"]["selector"]["matchLabels"] == {"app": "web", "pod-template-hash": digest}
    assert all(
        pod["metadata"]["name"].startswith(f"{name}-")
        and pod["metadata"]["labels"]["pod-template-hash"] == digest
        for pod in cluster.list("", "Pod")
    )
    assert cluster.said("ScalingReplicaSet") == [f"Scaled up replica set {name} from 0 to 3"]


def test_a_rollout_keeps_within_surge_and_unavailability(cluster: Any) -> None:
    cluster.node()
    web = cluster.add(deployment(replicas=10))
    cluster.run()
    cluster.edit(web, image("b"))
    seen = []
    for _ in range(60):
        cluster.settle()
        pods = [pod for pod in cluster.list("", "Pod") if not pod["metadata"].get("deletionTimestamp")]
        ready = sum(
            entry["status"] == "True"
            for pod in pods
            for entry in pod["status"].get("conditions", ())
            if entry["type"] == "Ready"
        )
        assert len(pods) <= 13
        assert ready >= 8
        seen.append(sizes(cluster))
        pending = [pod for pod in cluster.list("", "Pod") if pod["status"]["phase"] == "Pending"]
        if pending:
            cluster.report(pending[0])
        for pod in cluster.list("", "Pod"):
            if pod["metadata"].get("deletionTimestamp"):
                cluster.vanish(pod)
        cluster.tick()
    assert seen[0] == {"a": 8, "b": 5}
    assert seen[-1] == {"a": 0, "b": 10}
    web = cluster.find("Deployment", "web", "apps")
    assert web["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
    assert conditions.find(web, "Progressing")["reason"] == "NewReplicaSetAvailable"  # type: ignore[index]


def test_undo_takes_the_old_replica_set_with_a_new_revision(cluster: Any) -> None:
    cluster.node()
    web = cluster.add(deployment())
    cluster.run()
    cluster.edit(web, image("b"))
    cluster.run()
    cluster.edit(web, image("a"))
    cluster.run()
    found = {
        item["spec"]["template"]["spec"]["containers"][0]["image"]: item["metadata"]["annotations"]
        for item in cluster.list("apps", "ReplicaSet")
    }
    assert found["a"]["deployment.kubernetes.io/revision"] == "3"
    assert found["a"]["deployment.kubernetes.io/revision-history"] == "1"
    assert found["b"]["deployment.kubernetes.io/revision"] == "2"
    assert sizes(cluster) == {"a": 3, "b": 0}


def test_recreate_waits_until_the_old_pods_are_gone(cluster: Any) -> None:
    cluster.node()
    web = cluster.add(deployment(strategy={"type": "Recreate"}))
    cluster.run()
    cluster.edit(web, image("b"))
    cluster.settle()
    assert sizes(cluster) == {"a": 0}
    cluster.run()
    assert sizes(cluster) == {"a": 0, "b": 3}


def test_a_paused_deployment_scales_but_does_not_roll(cluster: Any) -> None:
    cluster.node()
    web = cluster.add(deployment())
    cluster.run()
    cluster.edit(web, {"spec": {"paused": True, "replicas": 5, **image("b")["spec"]}})
    cluster.run()
    assert sizes(cluster) == {"a": 5}
    condition = conditions.find(cluster.find("Deployment", "web", "apps"), "Progressing")
    assert condition is not None
    assert (condition["status"], condition["reason"], condition["message"]) == (
        "Unknown",
        "DeploymentPaused",
        "Deployment is paused",
    )
    cluster.edit(web, {"spec": {"paused": False}})
    cluster.run()
    assert sizes(cluster) == {"a": 0, "b": 5}


def test_scaling_in_the_middle_of_a_rollout_is_proportional(cluster: Any) -> None:
    cluster.node()
    web = cluster.add(
        deployment(
            replicas=10,
            strategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}},
        )
    )
    cluster.run()
    cluster.edit(web, image("b"))
    cluster.settle()
    assert sizes(cluster) == {"a": 8, "b": 5}
    cluster.edit(web, {"spec": {"replicas": 15}})
    cluster.settle()
    assert sizes(cluster) == {"a": 11, "b": 7}


def test_a_missed_deadline_is_reported(cluster: Any) -> None:
    cluster.node()
    cluster.add(deployment(progressDeadlineSeconds=60))
    cluster.run(ready=False)
    cluster.tick(100)
    cluster.settle()
    web = cluster.find("Deployment", "web", "apps")
    condition = conditions.find(web, "Progressing")
    assert condition is not None
    assert (condition["status"], condition["reason"]) == ("False", "ProgressDeadlineExceeded")
    assert condition["message"].endswith("has timed out progressing.")


def test_history_beyond_the_limit_goes(cluster: Any) -> None:
    cluster.node()
    web = cluster.add(deployment(revisionHistoryLimit=1))
    for name in "bcd":
        cluster.run()
        cluster.edit(web, image(name))
    cluster.run()
    cluster.settle()
    assert sizes(cluster) == {"c": 0, "d": 3}


def test_an_orphan_is_adopted_and_a_stranger_released(cluster: Any) -> None:
    cluster.node()
    web = cluster.add(deployment())
    cluster.run()
    (rs,) = cluster.list("apps", "ReplicaSet")
    cluster.edit(rs, {"metadata": {"ownerReferences": []}})
    cluster.run()
    (rs,) = cluster.list("apps", "ReplicaSet")
    assert rs["metadata"]["ownerReferences"][0]["uid"] == web["metadata"]["uid"]
    pod = cluster.list("", "Pod")[0]
    cluster.edit(pod, {"metadata": {"labels": {"app": "quarantine"}}})
    cluster.run()
    free = cluster.find("Pod", pod["metadata"]["name"])
    assert not free["metadata"]["ownerReferences"]
    assert len(cluster.list("", "Pod")) == 4


def test_a_refused_pod_shows_up_in_replica_set_and_deployment(cluster: Any) -> None:
    cluster.node()
    message = 'pods "x" is forbidden: exceeded quota: few'

    def refuse(change: Change) -> Refused | None:
        return (
            Refused(403, "Forbidden", message)
            if change.verb == "create" and change.ref.kind == "Pod"
            else None
        )

    cluster.refuse = refuse
    cluster.add(deployment())
    settled = cluster.settle()
    assert settled.refusals
    assert cluster.said("FailedCreate") == [f"Error creating: {message}"]
    for kind in ("ReplicaSet", "Deployment"):
        condition = conditions.find(cluster.list("apps", kind)[0], "ReplicaFailure")
        assert condition is not None
        assert (condition["status"], condition["reason"], condition["message"]) == (
            "True",
            "FailedCreate",
            message,
        )
    cluster.refuse = lambda _: None
    cluster.run()
    for kind in ("ReplicaSet", "Deployment"):
        assert conditions.find(cluster.list("apps", kind)[0], "ReplicaFailure") is None


def test_a_taken_name_leads_to_another_hash(cluster: Any) -> None:
    cluster.node()
    cluster.add(deployment())
    cluster.settle()
    (rs,) = cluster.list("apps", "ReplicaSet")
    stranger = {**rs, "metadata": {"name": rs["metadata"]["name"], "namespace": "default"}}
    template = {**rs["spec"]["template"], "metadata": {"labels": {"x": "y"}}}
    stranger["spec"] = {"replicas": 1, "selector": {"matchLabels": {"x": "y"}}, "template": template}
    other = type(cluster)()
    other.node()
    other.add(stranger)
    other.add(deployment())
    other.run()
    assert len(other.list("apps", "ReplicaSet")) == 2
    assert other.find("Deployment", "web", "apps")["status"]["collisionCount"] == 1


@pytest.mark.parametrize("replicas", [0, 1, 7])
def test_all_sizes_settle(cluster: Any, replicas: int) -> None:
    cluster.node()
    cluster.add(deployment(replicas=replicas))
    cluster.run()
    assert len(cluster.list("", "Pod")) == replicas


HAPPENINGS = st.lists(
    st.one_of(
        st.tuples(st.just("image"), st.sampled_from("abc")),
        st.tuples(st.just("ready"), st.integers(0, 12)),
        st.tuples(st.just("unready"), st.integers(0, 12)),
        st.tuples(st.just("kill"), st.integers(0, 12)),
        st.tuples(st.just("kubelet"), st.just(0)),
    ),
    max_size=30,
)
BOUNDS = st.sampled_from([("25%", "25%"), (1, 0), (0, 1), ("100%", "0%"), ("0%", "0%"), (3, 2)])


@settings(max_examples=40, deadline=None)
@given(HAPPENINGS, BOUNDS, st.integers(1, 8))
def test_no_history_breaks_the_bounds_of_a_rollout(
    make_cluster: Callable[[], Any],
    happenings: list[tuple[str, Any]],
    bounds: tuple[Any, Any],
    replicas: int,
) -> None:
    cluster = make_cluster()
    cluster.node()
    strategy = {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": bounds[0], "maxUnavailable": bounds[1]},
    }
    web = cluster.add(deployment(replicas=replicas, strategy=strategy))
    cluster.run()
    most = replicas + rollouts.margins(web).surge
    for what, value in happenings:
        cluster.settle()
        assert sum(sizes(cluster).values()) <= most
        active = [pod for pod in cluster.list("", "Pod") if lives.is_active(pod)]
        assert len(active) <= most
        if what == "image":
            cluster.edit(web, image(value))
        elif what == "kubelet":
            cluster.kubelet()
        elif value < len(active):
            if what == "kill":
                cluster.remove(active[value])
            else:
                cluster.report(active[value], ready=what == "ready")
        cluster.tick()
    for pod in cluster.list("", "Pod"):
        if lives.is_active(pod) and pod["spec"].get("nodeName"):
            cluster.report(pod)
    cluster.run()
    wanted = cluster.find("Deployment", "web", "apps")["spec"]["template"]["spec"]["containers"][0]["image"]
    assert {name: size for name, size in sizes(cluster).items() if size} == {wanted: replicas}
    condition = conditions.find(cluster.find("Deployment", "web", "apps"), "Progressing")
    assert condition is not None
    assert condition["reason"] == "NewReplicaSetAvailable"
