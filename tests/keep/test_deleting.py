"""Deletes: grace periods, finalizers, propagation, preconditions, namespaces, and what the answer is."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.keep.errors import Refusal
from fairlead.words import Resource

CONFIG = {"metadata": {"name": "c"}}


def test_most_deletes_answer_with_a_status(cluster: Any) -> None:
    made = cluster.create("configmaps", {"metadata": {"name": "c"}})
    assert cluster.delete("configmaps", "c") == {
        "apiVersion": "v1",
        "kind": "Status",
        "metadata": {},
        "status": "Success",
        "details": {"name": "c", "kind": "configmaps", "uid": made["metadata"]["uid"]},
    }
    with pytest.raises(Refusal, match='configmaps "c" not found'):
        cluster.delete("configmaps", "c")


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("pods", {"containers": [{"name": "c", "image": "nginx"}]}),
        ("services", {"ports": [{"port": 80}]}),
        (
            "persistentvolumeclaims",
            {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        ),
        ("serviceaccounts", None),
    ],
)
def test_some_deletes_answer_with_the_object(cluster: Any, kind: str, spec: Any) -> None:
    made = cluster.create(kind, {"metadata": {"name": "x"}} | ({"spec": spec} if spec else {}))
    answer = cluster.delete(kind, "x")
    assert (answer["kind"], answer["metadata"]["uid"]) == (made["kind"], made["metadata"]["uid"])
    assert cluster.names(kind) == (["kubernetes"] if kind == "services" else [])


def on_a_node(cluster: Any, pod: Resource, **meta: Any) -> Resource:
    pod["spec"]["nodeName"] = "one"
    pod["metadata"] |= meta
    made: Resource = cluster.create("pods", pod)
    return made


class TestPods:
    def test_without_a_node_they_go_at_once(self, cluster: Any, pod: Resource) -> None:
        cluster.create("pods", pod)
        rv = cluster.world.rv
        answer = cluster.delete("pods", "web")
        assert answer["metadata"]["deletionGracePeriodSeconds"] == 0
        assert [entry.type for entry in cluster.since("pods", rv)] == ["DELETED"]

    def test_on_a_node_they_get_their_grace(self, cluster: Any, pod: Resource) -> None:
        on_a_node(cluster, pod)
        answer = cluster.delete("pods", "web")
        assert answer["metadata"]["deletionGracePeriodSeconds"] == 30
        there = cluster.get("pods", "web")["metadata"]
        assert there["deletionTimestamp"] > there["creationTimestamp"]
        rv = cluster.world.rv
        cluster.delete("pods", "web")
        cluster.delete("pods", "web", {"gracePeriodSeconds": 60})
        assert cluster.world.rv == rv
        cluster.delete("pods", "web", {"gracePeriodSeconds": 5})
        shorter = cluster.get("pods", "web")["metadata"]
        assert shorter["deletionGracePeriodSeconds"] == 5
        assert shorter["deletionTimestamp"] < there["deletionTimestamp"]
        cluster.delete("pods", "web", {"gracePeriodSeconds": 0})
        assert cluster.names("pods") == []

    def test_finished_ones_need_no_grace(self, cluster: Any, pod: Resource) -> None:
        on_a_node(cluster, pod)
        cluster.patch("pods", "web", {"status": {"phase": "Succeeded"}}, sub="status")
        cluster.delete("pods", "web")
        assert cluster.names("pods") == []

    def test_finalizers_hold_them_after_their_grace(self, cluster: Any, pod: Resource) -> None:
        on_a_node(cluster, pod, finalizers=["a.io/b"])
        cluster.delete("pods", "web", {"gracePeriodSeconds": 0})
        assert cluster.get("pods", "web")["metadata"]["deletionGracePeriodSeconds"] == 0
        cluster.patch("pods", "web", {"metadata": {"finalizers": None}})
        assert cluster.names("pods") == []

    def test_without_finalizers_they_wait_for_the_node(self, cluster: Any, pod: Resource) -> None:
        on_a_node(cluster, pod, finalizers=["a.io/b"])
        cluster.delete("pods", "web")
        cluster.patch("pods", "web", {"metadata": {"finalizers": None}})
        assert cluster.names("pods") == ["web"]


class TestFinalizers:
    def test_they_block_and_emptying_them_finishes(self, cluster: Any) -> None:
        cluster.create("configmaps", {"metadata": {"name": "c", "finalizers": ["a.io/b", "a.io/c"]}})
        answer = cluster.delete("configmaps", "c")
        assert answer["kind"] == "ConfigMap"
        assert answer["metadata"]["deletionTimestamp"]
        assert answer["metadata"]["deletionGracePeriodSeconds"] == 0
        rv = cluster.world.rv
        cluster.delete("configmaps", "c")
        assert cluster.world.rv == rv
        with pytest.raises(Refusal, match="no new finalizers can be added if the object is being deleted"):
            cluster.patch("configmaps", "c", {"metadata": {"finalizers": ["a.io/d"]}})
        cluster.patch("configmaps", "c", {"metadata": {"finalizers": ["a.io/c"]}})
        assert cluster.names("configmaps") == ["c"]
        last = cluster.patch("configmaps", "c", {"metadata": {"finalizers": []}})
        assert last["kind"] == "ConfigMap"
        assert cluster.names("configmaps") == []
        assert cluster.since("configmaps", rv)[-1].type == "DELETED"

    @pytest.mark.parametrize(
        ("options", "finalizers"),
        [
            ({"propagationPolicy": "Foreground"}, ["foregroundDeletion"]),
            ({"propagationPolicy": "Orphan"}, ["orphan"]),
            ({"orphanDependents": True}, ["orphan"]),
        ],
    )
    def test_propagation(self, cluster: Any, options: dict[str, Any], finalizers: list[str]) -> None:
        cluster.create("configmaps", {"metadata": {"name": "c"}})
        assert cluster.delete("configmaps", "c", options)["metadata"]["finalizers"] == finalizers
        cluster.delete("configmaps", "c", {"propagationPolicy": "Background"})
        assert cluster.names("configmaps") == []

    def test_jobs_orphan_by_default(self, cluster: Any) -> None:
        template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "nginx"}]}}
        cluster.create("jobs.batch", {"metadata": {"name": "j"}, "spec": {"template": template}})
        assert cluster.delete("jobs.batch", "j")["metadata"]["finalizers"] == ["orphan"]

    def test_both_ways_at_once_are_refused(self, cluster: Any) -> None:
        cluster.create("configmaps", {"metadata": {"name": "c"}})
        with pytest.raises(Refusal, match="orphanDependents and deletionPropagation cannot be both set"):
            cluster.delete("configmaps", "c", {"propagationPolicy": "Orphan", "orphanDependents": True})


def test_preconditions(cluster: Any) -> None:
    made = cluster.create("configmaps", {"metadata": {"name": "c"}})["metadata"]
    with pytest.raises(Refusal) as refused:
        cluster.delete("configmaps", "c", {"preconditions": {"uid": "other"}})
    assert refused.value.message == (
        'Operation cannot be fulfilled on ConfigMap "c": the UID in the precondition (other) does not match the UID '
        f"in record ({made['uid']}). The object might have been deleted and then recreated"
    )
    with pytest.raises(Refusal, match="The object might have been modified"):
        cluster.delete("configmaps", "c", {"preconditions": {"resourceVersion": "1"}})
    right = {"uid": made["uid"], "resourceVersion": made["resourceVersion"]}
    assert cluster.delete("configmaps", "c", {"preconditions": right})["status"] == "Success"


def test_collections(cluster: Any) -> None:
    for name in ("a", "b", "c"):
        cluster.create("configmaps", {"metadata": {"name": name, "labels": {"half": str(name < "b")}}})
    kind = cluster.kind("configmaps")
    from fairlead.tongues.selectors import parse

    outcome = cluster.rest(
        cluster.world.delete_collection(kind, "default", {}, cluster.request(), parse("half=False"))
    )
    assert outcome.object["kind"] == "ConfigMapList"
    assert [item["metadata"]["name"] for item in outcome.object["items"]] == ["b", "c"]
    assert len(outcome.entries) == 2
    assert cluster.names("configmaps") == ["a"]


class TestNamespaces:
    @pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
    def test_some_must_stay(self, cluster: Any, name: str) -> None:
        with pytest.raises(Refusal) as refused:
            cluster.delete("namespaces", name)
        assert refused.value.message == f'namespaces "{name}" is forbidden: this namespace may not be deleted'

    def test_they_end_in_steps(self, cluster: Any) -> None:
        made = cluster.create("namespaces", {"metadata": {"name": "n"}})
        assert made["status"] == {"phase": "Active"}
        assert made["spec"] == {"finalizers": ["kubernetes"]}
        assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": "n"}
        answer = cluster.delete("namespaces", "n")
        assert answer["status"]["phase"] == "Terminating"
        with pytest.raises(Refusal) as refused:
            cluster.create("configmaps", {"metadata": {"name": "c"}}, namespace="n")
        assert refused.value.message == (
            'configmaps "c" is forbidden: unable to create new content in namespace n because it is being terminated'
        )
        assert refused.value.status["details"]["causes"] == [
            {
                "reason": "NamespaceTerminating",
                "message": "namespace n is being terminated",
                "field": "metadata.namespace",
            }
        ]
        space = cluster.get("namespaces", "n")
        space["spec"] = {}
        assert cluster.update("namespaces", space)["spec"] == {"finalizers": ["kubernetes"]}
        space = cluster.get("namespaces", "n")
        space["spec"] = {}
        cluster.update("namespaces", space, "finalize")
        assert "n" not in cluster.names("namespaces")
