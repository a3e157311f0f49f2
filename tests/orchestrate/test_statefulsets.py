"""StatefulSets: pods with names, one after the other."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.orchestrate.steps import Refused
from fairlead.words import Change, Resource


def stateful(replicas: int = 3, image: str = "a", **spec: Any) -> Resource:
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "serviceName": "db",
            "selector": {"matchLabels": {"app": "db"}},
            "template": {
                "metadata": {"labels": {"app": "db"}},
                "spec": {"containers": [{"name": "main", "image": image}]},
            },
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            "revisionHistoryLimit": 10,
            **spec,
        },
    }


CLAIMS = [
    {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
]


def image(name: str) -> Resource:
    return {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": name}]}}}}


def images(cluster: Any) -> list[str]:
    return [pod["spec"]["containers"][0]["image"] for pod in cluster.list("", "Pod")]


def test_pods_come_one_after_the_other_with_an_identity(cluster: Any) -> None:
    cluster.node()
    cluster.add(stateful())
    seen = []
    for _ in range(4):
        cluster.settle()
        seen.append(cluster.named("Pod"))
        cluster.kubelet()
    assert seen[:3] == [["db-0"], ["db-0", "db-1"], ["db-0", "db-1", "db-2"]]
    cluster.run()
    pod = cluster.find("Pod", "db-1")
    revision = cluster.named("ControllerRevision", "apps")[0]
    assert pod["spec"]["hostname"] == "db-1"
    assert pod["spec"]["subdomain"] == "db"
    assert pod["metadata"]["labels"] == {
        "app": "db",
        "statefulset.kubernetes.io/pod-name": "db-1",
        "apps.kubernetes.io/pod-index": "1",
        "controller-revision-hash": revision,
    }
    assert "create Pod db-1 in StatefulSet db successful" in cluster.said("SuccessfulCreate")
    assert cluster.find("StatefulSet", "db", "apps")["status"] == {
        "observedGeneration": 1,
        "replicas": 3,
        "readyReplicas": 3,
        "availableReplicas": 3,
        "currentReplicas": 3,
        "updatedReplicas": 3,
        "currentRevision": revision,
        "updateRevision": revision,
        "collisionCount": 0,
    }


def test_parallel_pods_come_at_once(cluster: Any) -> None:
    cluster.node()
    cluster.add(stateful(podManagementPolicy="Parallel"))
    cluster.settle()
    assert cluster.named("Pod") == ["db-0", "db-1", "db-2"]


def test_an_unready_pod_holds_the_others_up(cluster: Any) -> None:
    cluster.node()
    cluster.add(stateful())
    cluster.run(ready=False)
    assert cluster.named("Pod") == ["db-0"]


def test_scaling_down_goes_from_the_top(cluster: Any) -> None:
    cluster.node()
    made = cluster.add(stateful())
    cluster.run()
    cluster.edit(made, {"spec": {"replicas": 1}})
    cluster.settle()
    doomed = [
        pod["metadata"]["name"] for pod in cluster.list("", "Pod") if pod["metadata"].get("deletionTimestamp")
    ]
    assert doomed == ["db-2"]
    cluster.run()
    assert cluster.named("Pod") == ["db-0"]
    assert "delete Pod db-2 in StatefulSet db successful" in cluster.said("SuccessfulDelete")


def test_a_rolling_update_goes_from_the_top_and_becomes_the_current_revision(cluster: Any) -> None:
    cluster.node()
    made = cluster.add(stateful())
    cluster.run()
    cluster.edit(made, image("b"))
    seen = [images(cluster)]
    for _ in range(12):
        cluster.settle()
        cluster.kubelet()
        cluster.tick()
        if images(cluster) != seen[-1]:
            seen.append(images(cluster))
    assert [entry for entry in seen if len(entry) == 3] == [
        ["a", "a", "a"],
        ["a", "a", "b"],
        ["a", "b", "b"],
        ["b", "b", "b"],
    ]
    cluster.run()
    status = cluster.find("StatefulSet", "db", "apps")["status"]
    assert status["currentRevision"] == status["updateRevision"]
    assert len(cluster.list("apps", "ControllerRevision")) == 2


def test_a_partition_keeps_the_lower_ordinals(cluster: Any) -> None:
    cluster.node()
    made = cluster.add(stateful(updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}))
    cluster.run()
    cluster.edit(made, image("b"))
    cluster.run()
    assert images(cluster) == ["a", "a", "b"]
    cluster.remove(cluster.find("Pod", "db-0"))
    cluster.run()
    assert images(cluster) == ["a", "a", "b"]
    status = cluster.find("StatefulSet", "db", "apps")["status"]
    assert (status["currentReplicas"], status["updatedReplicas"]) == (2, 1)


def test_on_delete_waits_for_people(cluster: Any) -> None:
    cluster.node()
    made = cluster.add(stateful(updateStrategy={"type": "OnDelete"}))
    cluster.run()
    cluster.edit(made, image("b"))
    cluster.run()
    assert images(cluster) == ["a", "a", "a"]
    cluster.remove(cluster.find("Pod", "db-1"))
    cluster.run()
    assert images(cluster) == ["a", "b", "a"]


def test_undo_brings_an_old_revision_back(cluster: Any) -> None:
    cluster.node()
    made = cluster.add(stateful(1))
    cluster.run()
    cluster.edit(made, image("b"))
    cluster.run()
    cluster.edit(made, image("a"))
    cluster.run()
    assert images(cluster) == ["a"]
    assert sorted(item["revision"] for item in cluster.list("apps", "ControllerRevision")) == [2, 3]
    (first, second) = sorted(
        cluster.list("apps", "ControllerRevision"), key=lambda item: int(item["revision"])
    )
    assert second["data"]["spec"]["template"]["$patch"] == "replace"
    assert second["data"]["spec"]["template"]["spec"]["containers"][0]["image"] == "a"
    assert first["metadata"]["labels"]["app"] == "db"


def test_claims_are_made_kept_and_mounted(cluster: Any) -> None:
    cluster.node()
    made = cluster.add(stateful(2, volumeClaimTemplates=CLAIMS, podManagementPolicy="Parallel"))
    cluster.settle()
    assert cluster.named("PersistentVolumeClaim") == ["data-db-0", "data-db-1"]
    assert cluster.find("PersistentVolumeClaim", "data-db-0")["metadata"]["labels"] == {"app": "db"}
    pod = cluster.find("Pod", "db-0")
    assert pod["spec"]["volumes"] == [{"name": "data", "persistentVolumeClaim": {"claimName": "data-db-0"}}]
    cluster.edit(made, {"spec": {"replicas": 0}})
    cluster.run()
    assert cluster.named("PersistentVolumeClaim") == ["data-db-0", "data-db-1"]


def test_claims_go_with_the_pods_if_the_policy_says_so(cluster: Any) -> None:
    cluster.node()
    policy = {"whenScaled": "Delete", "whenDeleted": "Retain"}
    made = cluster.add(
        stateful(
            2,
            volumeClaimTemplates=CLAIMS,
            podManagementPolicy="Parallel",
            persistentVolumeClaimRetentionPolicy=policy,
        )
    )
    for number in range(2):
        cluster.add(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": f"pv{number}"},
                "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}},
            }
        )
    cluster.run()
    cluster.edit(made, {"spec": {"replicas": 1}})
    cluster.run()
    assert cluster.named("Pod") == ["db-0"]
    left = cluster.find("PersistentVolumeClaim", "data-db-0")
    assert not left["metadata"].get("ownerReferences")
    with pytest.raises(Refused):
        cluster.find("PersistentVolumeClaim", "data-db-1")


def test_a_failed_pod_is_made_again(cluster: Any) -> None:
    cluster.node()
    cluster.add(stateful(1))
    cluster.run()
    before = cluster.report(cluster.find("Pod", "db-0"), "Failed", ready=False)
    cluster.run()
    after = cluster.find("Pod", "db-0")
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert cluster.said("RecreatingFailedPod") == ["StatefulSet default/db is recreating failed Pod db-0"]


def test_a_refusal_is_told(cluster: Any) -> None:
    cluster.node()

    def refuse(change: Change) -> Refused | None:
        return (
            Refused(403, "Forbidden", "no") if change.verb == "create" and change.ref.kind == "Pod" else None
        )

    cluster.refuse = refuse
    cluster.add(stateful(1))
    cluster.settle()
    assert cluster.said("FailedCreate") == ["create Pod db-0 in StatefulSet db failed error: no"]


def test_ordinals_may_start_higher(cluster: Any) -> None:
    cluster.node()
    cluster.add(stateful(2, ordinals={"start": 5}))
    cluster.run()
    assert cluster.named("Pod") == ["db-5", "db-6"]
