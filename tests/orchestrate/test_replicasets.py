"""ReplicaSets and ReplicationControllers: they converge on their replicas, whatever happens to their pods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.orchestrate import lives
from fairlead.orchestrate.replicasets import REPLICA_SETS
from fairlead.words import Resource

KINDS = [("ReplicaSet", "apps"), ("ReplicationController", "")]


def owner(kind: str = "ReplicaSet", group: str = "apps", replicas: int = 3, **spec: Any) -> Resource:
    selector: Resource = {"app": "web"} if not group else {"matchLabels": {"app": "web"}}
    return {
        "apiVersion": f"{group}/v1".lstrip("/"),
        "kind": kind,
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": selector,
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "main", "image": "a"}]},
            },
            **spec,
        },
    }


def pod(name: str, labels: dict[str, str]) -> Resource:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": labels},
        "spec": {"containers": [{"name": "main", "image": "a"}]},
    }


@pytest.mark.parametrize(("kind", "group"), KINDS)
def test_it_makes_as_many_pods_as_are_asked_for(cluster: Any, kind: str, group: str) -> None:
    cluster.node()
    cluster.add(owner(kind, group))
    cluster.run()
    assert cluster.find(kind, "web", group)["status"] == {
        "replicas": 3,
        "fullyLabeledReplicas": 3,
        "readyReplicas": 3,
        "availableReplicas": 3,
        "observedGeneration": 1,
    }
    names = sorted(cluster.named("Pod"))
    assert sorted(cluster.said("SuccessfulCreate")) == [f"Created pod: {name}" for name in names]
    assert all(item["metadata"]["generateName"] == "web-" for item in cluster.list("", "Pod"))


@pytest.mark.parametrize(("kind", "group"), KINDS)
def test_a_surplus_goes_the_least_missed_first(cluster: Any, kind: str, group: str) -> None:
    cluster.node()
    cluster.add(owner(kind, group, 4))
    cluster.run()
    first, second, third, fourth = cluster.list("", "Pod")
    cluster.report(first, ready=False)
    cluster.edit(second, {"status": {"phase": "Pending"}})
    cluster.edit(third, {"metadata": {"annotations": {lives.DELETION_COST: "-1"}}})
    for replicas, gone in ((3, second), (2, first), (1, third)):
        cluster.edit(cluster.find(kind, "web", group), {"spec": {"replicas": replicas}})
        cluster.settle()
        doomed = [item for item in cluster.list("", "Pod") if item["metadata"].get("deletionTimestamp")]
        assert [item["metadata"]["name"] for item in doomed] == [gone["metadata"]["name"]]
        cluster.vanish(doomed[0])
    assert cluster.named("Pod") == [fourth["metadata"]["name"]]
    assert f"Deleted pod: {second['metadata']['name']}" in cluster.said("SuccessfulDelete")


def test_orphans_are_adopted_up_to_the_replicas(cluster: Any) -> None:
    for number in range(5):
        cluster.add(pod(f"p{number}", {"app": "web"}))
    cluster.add(pod("other", {"app": "db"}))
    made = cluster.add(owner(replicas=2))
    cluster.settle(REPLICA_SETS)
    mine = [item for item in cluster.list("", "Pod") if item["metadata"].get("ownerReferences")]
    assert len(mine) == 2
    assert {item["metadata"]["ownerReferences"][0]["uid"] for item in mine} == {made["metadata"]["uid"]}
    assert "other" in cluster.named("Pod")


def test_finished_pods_are_replaced(cluster: Any) -> None:
    cluster.node()
    cluster.add(owner(replicas=1))
    cluster.run()
    cluster.report(cluster.list("", "Pod")[0], "Failed", ready=False)
    cluster.run()
    assert sorted(item["status"]["phase"] for item in cluster.list("", "Pod")) == ["Failed", "Running"]


def test_availability_waits_for_min_ready_seconds(cluster: Any) -> None:
    cluster.node()
    cluster.add(owner(replicas=1, minReadySeconds=30))
    cluster.run()
    assert "availableReplicas" not in cluster.find("ReplicaSet", "web", "apps")["status"]
    settled = cluster.settle()
    wait = next(value for (name, _), value in settled.waiting.items() if name == "replicaset")
    assert 0 < wait.total_seconds() <= 30
    cluster.tick(wait.total_seconds())
    cluster.settle()
    assert cluster.find("ReplicaSet", "web", "apps")["status"]["availableReplicas"] == 1


def test_names_stay_within_limits(cluster: Any) -> None:
    long = owner(replicas=1)
    long["metadata"]["name"] = "w" * 70
    cluster.add(long)
    cluster.settle(REPLICA_SETS)
    assert len(cluster.named("Pod")[0]) == 63


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("scale"), st.integers(0, 8)),
        st.tuples(st.just("kill"), st.integers(0, 7)),
        st.tuples(st.just("fail"), st.integers(0, 7)),
        st.tuples(st.just("relabel"), st.integers(0, 7)),
        st.tuples(st.just("kubelet"), st.integers(0, 1)),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(EVENTS)
def test_it_converges_after_any_history(
    make_cluster: Callable[[], Any], events: list[tuple[str, int]]
) -> None:
    cluster = make_cluster()
    cluster.node()
    cluster.add(owner())
    replicas = 3
    for what, number in events:
        cluster.settle(REPLICA_SETS)
        active = [
            item
            for item in cluster.list("", "Pod")
            if lives.is_active(item) and "ownerReferences" in item["metadata"]
        ]
        assert len([item for item in active if item["metadata"]["ownerReferences"]]) == replicas
        if what == "scale":
            replicas = number
            cluster.edit(cluster.find("ReplicaSet", "web", "apps"), {"spec": {"replicas": number}})
        elif what == "kubelet":
            cluster.kubelet(ready=bool(number))
        elif number < len(active):
            chosen = active[number]
            if what == "kill":
                cluster.remove(chosen)
            elif what == "fail":
                cluster.report(chosen, "Failed", ready=False)
            else:
                cluster.edit(chosen, {"metadata": {"labels": {"app": "other"}}})
        cluster.tick()
    cluster.run()
    status = cluster.find("ReplicaSet", "web", "apps")["status"]
    assert status["replicas"] == replicas
    assert status.get("readyReplicas", 0) == replicas
