"""Writes to a world, as the API's clients see them: creates, updates, patches, and the texts of refusals."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import orjson
import pytest

from fairlead.keep.errors import Refusal
from fairlead.keep.requests import Request
from fairlead.words import Resource, User

CONFIG = {"metadata": {"name": "c"}, "data": {"a": "1"}}


def deployment(name: str = "web") -> Resource:
    labels = {"app": name}
    return {
        "metadata": {"name": name},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "c", "image": "nginx:1.25"}]},
            },
        },
    }


def test_create_sets_what_the_system_owns(cluster: Any, pod: Resource) -> None:
    pod["metadata"] |= {"uid": "mine", "creationTimestamp": "2001-01-01T00:00:00Z", "generation": 7}
    pod["status"] = {"phase": "Running"}
    made = cluster.create("pods", pod)
    meta = made["metadata"]
    assert meta["uid"] != "mine"
    assert meta["uid"][14] == "4"
    assert meta["creationTimestamp"].startswith("2026-01-02T03:04")
    assert meta["resourceVersion"] == str(cluster.world.rv)
    assert "generation" not in meta
    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert meta["managedFields"][0]["manager"] == "test"
    assert "f:status" not in meta["managedFields"][0]["fieldsV1"]


def test_the_same_bytes_go_everywhere(cluster: Any) -> None:
    kind = cluster.kind("configmaps")
    outcome = cluster.rest(cluster.world.create(kind, "default", deepcopy(CONFIG), cluster.request()))
    assert outcome.body == outcome.entries[-1].body == cluster.world.get(kind, "default", "c").body
    assert cluster.world.list(kind, "default").items[0].body == outcome.body
    assert outcome.body.startswith(b'{"apiVersion":"v1","kind":"ConfigMap"')
    assert orjson.loads(outcome.body) == outcome.object


def test_reads_see_only_what_is_committed(cluster: Any) -> None:
    kind, world = cluster.kind("configmaps"), cluster.world
    before = world.rv
    outcome = world.create(kind, "default", deepcopy(CONFIG), cluster.request())
    assert world.rv == before
    assert not world.list(kind, "default").items
    with pytest.raises(Refusal, match="not found"):
        world.get(kind, "default", "c")
    assert world.get(kind, "default", "c", overlay=True).name == "c"
    with pytest.raises(Refusal, match='configmaps "c" already exists'):
        world.create(kind, "default", deepcopy(CONFIG), cluster.request())
    assert world.since(kind, None, before) == []
    world.commit(outcome.entries[-1].rv)
    assert [entry.type for entry in world.since(kind, None, before)] == ["ADDED"]


def test_rollback_takes_everything_back(cluster: Any) -> None:
    kind, world = cluster.kind("configmaps"), cluster.world
    cluster.create("configmaps", deepcopy(CONFIG))
    old = world.get(kind, "default", "c").body
    world.patch(kind, "default", "c", {"data": {"a": "2"}}, "merge", cluster.request())
    world.patch(kind, "default", "c", {"data": {"a": "3"}}, "merge", cluster.request())
    world.delete(kind, "default", "c", {}, cluster.request())
    world.rollback()
    assert world.get(kind, "default", "c", overlay=True).body == old
    before = world.rv
    assert cluster.patch("configmaps", "c", {"data": {"a": "9"}})["data"] == {"a": "9"}
    assert world.rv > before


def test_a_step_that_fails_stages_nothing(cluster: Any) -> None:
    kind, world = cluster.kind("configmaps"), cluster.world

    def step(world: Any) -> Any:
        world.create(kind, "default", deepcopy(CONFIG), cluster.request())
        raise Refusal(403, "Forbidden", "no")

    with pytest.raises(Refusal, match="no"):
        world.attempt(step)
    assert not world.has(kind, "default", "c")


def test_generated_names_use_kubernetes_alphabet_and_dodge_what_is_taken(cluster: Any) -> None:
    made = [
        cluster.create("configmaps", {"metadata": {"generateName": "x" * 70}})["metadata"]["name"]
        for _ in range(300)
    ]
    assert len(set(made)) == 300
    assert all(len(name) == 63 and set(name[58:]) <= set("bcdfghjklmnpqrstvwxz2456789") for name in made)


class TestRefusals:
    @pytest.mark.parametrize(
        ("body", "code", "text"),
        [
            (
                {"metadata": {"name": "c", "namespace": "other"}},
                400,
                "the namespace of the provided object does not match the namespace sent on the request",
            ),
            (
                {"metadata": {"name": "c", "resourceVersion": "5"}},
                500,
                "resourceVersion should not be set on objects to be created",
            ),
            (
                {"metadata": {}},
                422,
                'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required',
            ),
            (
                {"apiVersion": "v2", "metadata": {"name": "c"}},
                400,
                "the API version in the data (v2) does not match the expected API version (v1)",
            ),
        ],
    )
    def test_create(self, cluster: Any, body: Resource, code: int, text: str) -> None:
        with pytest.raises(Refusal) as refused:
            cluster.create("configmaps", body)
        assert (refused.value.code, refused.value.message) == (code, text)

    def test_missing_namespace(self, cluster: Any) -> None:
        with pytest.raises(Refusal) as refused:
            cluster.create("configmaps", deepcopy(CONFIG), namespace="nowhere")
        assert refused.value.status["message"] == 'namespaces "nowhere" not found'
        assert refused.value.status["details"] == {"name": "nowhere", "kind": "namespaces"}

    def test_update(self, cluster: Any) -> None:
        made = cluster.create("configmaps", deepcopy(CONFIG))
        stale = deepcopy(made)
        stale["metadata"]["resourceVersion"] = "1"
        with pytest.raises(Refusal) as refused:
            cluster.update("configmaps", stale)
        assert refused.value.message == (
            'Operation cannot be fulfilled on configmaps "c": the object has been modified; '
            "please apply your changes to the latest version and try again"
        )
        other = deepcopy(made)
        other["metadata"]["uid"] = "abc"
        with pytest.raises(Refusal) as refused:
            cluster.update("configmaps", other)
        assert refused.value.message == (
            'Operation cannot be fulfilled on configmaps "c": StorageError: invalid object, Code: 4, '
            "Key: /registry/configmaps/default/c, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: "
            f"UID in precondition: abc, UID in object meta: {made['metadata']['uid']}"
        )
        kind = cluster.kind("configmaps")
        with pytest.raises(Refusal) as refused:
            cluster.world.update(kind, "default", "d", deepcopy(made), cluster.request())
        assert refused.value.message == "the name of the object (c) does not match the name on the URL (d)"

    def test_a_lease_needs_its_version(self, cluster: Any) -> None:
        made = cluster.create("leases.coordination.k8s.io", {"metadata": {"name": "l"}, "spec": {}})
        del made["metadata"]["resourceVersion"]
        with pytest.raises(Refusal) as refused:
            cluster.update("leases.coordination.k8s.io", made)
        assert refused.value.message == (
            'Lease.coordination.k8s.io "l" is invalid: metadata.resourceVersion: Invalid value: 0x0: '
            "must be specified for an update"
        )


def test_update_carries_what_clients_may_not_change(cluster: Any) -> None:
    made = cluster.create("deployments.apps", deployment())
    assert made["metadata"]["generation"] == 1
    new = deepcopy(made)
    new["status"] = {"replicas": 9}
    del new["metadata"]["resourceVersion"], new["metadata"]["uid"], new["metadata"]["creationTimestamp"]
    new["metadata"]["generation"] = 40
    new["spec"]["replicas"] = 3
    changed = cluster.update("deployments.apps", new)
    assert changed["status"] == {}
    assert changed["metadata"]["generation"] == 2
    for name in ("uid", "creationTimestamp"):
        assert changed["metadata"][name] == made["metadata"][name]


def test_status_and_main_stay_apart(cluster: Any) -> None:
    made = cluster.create("deployments.apps", deployment())
    made["status"] = {"replicas": 2, "observedGeneration": 1}
    made["spec"]["replicas"] = 50
    made["metadata"]["labels"] = {"sly": "yes"}
    changed = cluster.update("deployments.apps", made, "status")
    assert changed["spec"]["replicas"] == 2
    assert changed["status"]["replicas"] == 2
    assert "labels" not in changed["metadata"]
    assert changed["metadata"]["generation"] == 1
    assert changed["metadata"]["managedFields"][-1]["subresource"] == "status"


@pytest.mark.parametrize("how", ["json", "merge", "strategic", "apply"])
def test_patches_of_all_kinds(cluster: Any, how: str) -> None:
    cluster.create("configmaps", deepcopy(CONFIG))
    patch: Any = {"data": {"b": "2"}}
    if how == "json":
        patch = [{"op": "add", "path": "/data/b", "value": "2"}]
    if how == "apply":
        patch |= {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    changed = cluster.patch("configmaps", "c", patch, how)
    assert changed["data"] == {"a": "1", "b": "2"}


def test_a_write_that_changes_nothing_keeps_the_version(cluster: Any) -> None:
    made = cluster.create("deployments.apps", deployment())
    kind = cluster.kind("deployments.apps")
    again = cluster.world.update(kind, "default", "web", deepcopy(made), cluster.request(manager="other"))
    assert again.entries == ()
    assert again.object["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    patched = cluster.world.patch(kind, "default", "web", {}, "merge", cluster.request())
    assert patched.entries == ()
    applied = {"apiVersion": "apps/v1", "kind": "Deployment", **deployment()}
    cluster.patch("deployments.apps", "web", deepcopy(applied), "apply", force=True)
    twice = cluster.world.patch(kind, "default", "web", applied, "apply", cluster.request(force=True))
    assert twice.entries == ()


def test_patch_with_a_stale_version_conflicts(cluster: Any) -> None:
    cluster.create("configmaps", deepcopy(CONFIG))
    with pytest.raises(Refusal, match="the object has been modified"):
        cluster.patch("configmaps", "c", {"metadata": {"resourceVersion": "3"}, "data": {"a": "5"}})


def test_apply_creates(cluster: Any) -> None:
    kind = cluster.kind("configmaps")
    body = {"apiVersion": "v1", "kind": "ConfigMap", **deepcopy(CONFIG)}
    outcome = cluster.world.patch(kind, "default", "c", body, "apply", cluster.request())
    assert outcome.created
    fields = outcome.object["metadata"]["managedFields"]
    assert [(entry["manager"], entry["operation"]) for entry in fields] == [("test", "Apply")]


def test_apply_needs_a_manager(cluster: Any) -> None:
    nobody = Request(user=User(name="admin"), now=cluster.now, manager="")
    with pytest.raises(Refusal, match="fieldManager: Required value: is required for apply patch"):
        cluster.world.patch(cluster.kind("configmaps"), "default", "c", {}, "apply", nobody)


def test_dry_runs_stage_nothing(cluster: Any, pod: Resource) -> None:
    made = cluster.create("pods", deepcopy(pod), dry_run=True)
    assert "resourceVersion" not in made["metadata"]
    assert cluster.names("pods") == []
    cluster.create("pods", pod)
    rv = cluster.world.rv
    assert cluster.patch("pods", "web", {"metadata": {"labels": {"a": "b"}}}, dry_run=True)["metadata"][
        "labels"
    ]
    assert cluster.delete("pods", "web", {"dryRun": ["All"]})["metadata"]["name"] == "web"
    assert cluster.world.rv == rv
    assert cluster.names("pods") == ["web"]


def test_put_creates_where_kubernetes_does(cluster: Any) -> None:
    body = {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "e"}}
    assert cluster.update("endpoints", body)["metadata"]["uid"]
    with pytest.raises(Refusal, match='configmaps "c" not found'):
        cluster.update("configmaps", {"apiVersion": "v1", "kind": "ConfigMap", **deepcopy(CONFIG)})


def test_deletion_timestamp_belongs_to_deletes(cluster: Any) -> None:
    made = cluster.create("configmaps", deepcopy(CONFIG))
    made["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    with pytest.raises(Refusal, match=r"metadata.deletionTimestamp: Invalid value: .*: field is immutable"):
        cluster.update("configmaps", made)


def test_a_fork_is_independent_and_commits_at_once(cluster: Any) -> None:
    cluster.create("configmaps", deepcopy(CONFIG))
    copy = cluster.world.fork()
    kind = cluster.kind("configmaps")
    copy.delete(kind, "default", "c", {}, cluster.request())
    copy.create(kind, "default", {"metadata": {"name": "d"}}, cluster.request())
    assert [stored.name for stored in copy.list(kind, None).items] == ["d"]
    assert cluster.names("configmaps") == ["c"]
    with pytest.raises(Refusal, match="already exists"):
        copy.create(kind, "default", {"metadata": {"name": "d"}}, cluster.request())
    assert [stored.name for stored in copy.list(kind, None).items] == ["d"]


def test_scale(cluster: Any) -> None:
    cluster.create("deployments.apps", deployment())
    kind = cluster.kind("deployments.apps")
    scale = cluster.world.scale(kind, "default", "web")
    assert (scale["kind"], scale["spec"], scale["status"]) == (
        "Scale",
        {"replicas": 2},
        {"replicas": 0, "selector": "app=web"},
    )
    scale["spec"]["replicas"] = 7
    outcome = cluster.rest(cluster.world.update(kind, "default", "web", scale, cluster.request(), "scale"))
    assert outcome.object["spec"] == {"replicas": 7}
    assert cluster.get("deployments.apps", "web")["spec"]["replicas"] == 7
    assert cluster.get("deployments.apps", "web")["metadata"]["generation"] == 2
    assert cluster.patch("deployments.apps", "web", {"spec": {"replicas": 0}}, sub="scale")["spec"] == {}
    with pytest.raises(
        Refusal, match=r"spec.replicas: Invalid value: -1: must be greater than or equal to 0"
    ):
        cluster.patch("deployments.apps", "web", {"spec": {"replicas": -1}}, sub="scale")


def test_jobs_know_their_pods_by_uid(cluster: Any) -> None:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "nginx"}]}}
    job = cluster.create("jobs.batch", {"metadata": {"name": "j"}, "spec": {"template": template}})
    uid = job["metadata"]["uid"]
    assert job["spec"]["selector"]["matchLabels"] == {"batch.kubernetes.io/controller-uid": uid}
    assert job["spec"]["template"]["metadata"]["labels"]["batch.kubernetes.io/job-name"] == "j"


def test_binding(cluster: Any, pod: Resource) -> None:
    cluster.create("pods", pod)
    kind, world = cluster.kind("pods"), cluster.world
    target = {"target": {"kind": "Node", "name": "one"}}
    outcome = cluster.rest(world.create(kind, "default", target, cluster.request(), "web", "binding"))
    assert outcome.object["code"] == 201
    bound = cluster.get("pods", "web")
    assert bound["spec"]["nodeName"] == "one"
    assert bound["status"]["conditions"][0]["type"] == "PodScheduled"
    with pytest.raises(Refusal, match='pod web is already assigned to node "one"'):
        world.create(kind, "default", target, cluster.request(), "web", "binding")


def test_eviction_asks_the_budget(cluster: Any, pod: Resource) -> None:
    pod["metadata"]["labels"] = {"app": "web"}
    made = cluster.create("pods", pod)
    made["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    cluster.update("pods", made, "status")
    budget = {
        "metadata": {"name": "b"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
    }
    made = cluster.create("poddisruptionbudgets.policy", budget)
    made["status"] = {
        "observedGeneration": 1,
        "currentHealthy": 1,
        "desiredHealthy": 1,
        "expectedPods": 1,
        "disruptionsAllowed": 0,
    }
    cluster.update("poddisruptionbudgets.policy", made, "status")
    kind, world = cluster.kind("pods"), cluster.world
    with pytest.raises(Refusal) as refused:
        world.create(kind, "default", {}, cluster.request(), "web", "eviction")
    assert refused.value.code == 429
    assert refused.value.message == "Cannot evict pod as it would violate the pod's disruption budget."
    cluster.patch("poddisruptionbudgets.policy", "b", {"status": {"disruptionsAllowed": 1}}, sub="status")
    cluster.rest(world.create(kind, "default", {}, cluster.request(), "web", "eviction"))
    assert cluster.names("pods") == []
    assert cluster.get("poddisruptionbudgets.policy", "b")["status"]["disruptionsAllowed"] == 0
