"""Advice by practices as findings: one a practice and object, of severity info, with its place and a fix; what several objects show together."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from fairlead.judge.practices import NAMES, PRACTICES, SYSTEM, Unknown
from fairlead.reactor.judge import Bench
from fairlead.reactor.practising import GRAVE, PAIRED, PAIRINGS, Wanted, advise, paired, wanted
from fairlead.tongues import jsonpatch
from fairlead.words import Ref, Severity, Snapshot, Where

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def deployment(name: str = "web", namespace: str = "shop", **spec: Any) -> dict[str, Any]:
    pod = {"containers": [{"name": "web", "image": "web:1"}], **spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "uid": f"{namespace}/{name}"},
        "spec": {"replicas": 2, "template": {"metadata": {"labels": {"app": name}}, "spec": pod}},
    }


def test_advice_is_a_note_with_a_place_and_a_fix_that_can_be_tried() -> None:
    resource = deployment(hostNetwork=True)
    found = {
        one.rule: one for one in advise([resource], lambda ref, path: Where("a.yaml", 7, f"{ref.name}{path}"))
    }
    one = found["practice.host-network"]
    assert {other.severity for other in found.values()} == {Severity.INFO}
    assert one.subject == Ref("apps", "Deployment", "shop", "web")
    assert (one.where.file, one.where.path) == ("a.yaml", "web.spec.template.spec.hostNetwork")
    (fix,) = one.fixes
    (change,) = fix.changes
    assert fix.risk == "Who reaches it by the node's address no longer does."
    assert (change.verb, change.patch, change.if_uid) == ("patch", "json", "shop/web")
    assert "hostNetwork" not in jsonpatch.apply(resource, change.body)["spec"]["template"]["spec"]
    assert "practice.pull-policy" not in found  # what weighs least is for those who ask for it
    assert not found["practice.priority-class"].fixes
    assert len({other.id for other in found.values()}) == len(found)


def test_what_is_made_by_others_or_is_kubernetes_own_is_left_alone() -> None:
    pod = deployment()["spec"]["template"] | {"apiVersion": "v1", "kind": "Pod"}
    pod["metadata"] = {
        "name": "a",
        "namespace": "shop",
        "ownerReferences": [{"kind": "ReplicaSet", "name": "r", "controller": True}],
    }
    system = deployment(namespace="kube-system")
    assert advise([pod, system]) == []
    assert {one.subject.kind for one in advise([pod, system], owned_too=True)} == {"Pod"}
    assert {one.subject.namespace for one in advise([pod, system], spared=())} == {"kube-system"}
    (one,) = advise([deployment()], practices=[NAMES["image-registry"]], registries=["ghcr.io"])
    assert "not allowed" in one.message


def test_several_objects_together() -> None:
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}},
    }
    found = paired([deployment(), budget], NOW)
    assert [one.rule for one in found] == ["policy.lacking"]
    assert paired([deployment(), budget], NOW, checks=["missingPodDisruptionBudget"]) == []
    assert [one.rule for one in paired([deployment()], NOW, checks=["missingPodDisruptionBudget"])] == [
        "budget.absent"
    ]
    spared = deployment()
    spared["metadata"]["annotations"] = {"polaris.fairwinds.com/missingNetworkPolicy-exempt": "true"}
    assert paired([spared, budget], NOW) == []
    spared["metadata"]["annotations"] = {"practices.fairlead.dev/exempt": "policy.lacking"}
    assert paired([spared, budget], NOW) == []


def test_what_is_asked_for() -> None:
    assert wanted().checks == PAIRINGS.keys()
    assert {one.weight for one in wanted(weight="danger").practices} == {"danger"}
    assert all(PAIRINGS[check].rules & GRAVE for check in wanted(weight="danger").checks)
    only = wanted(["missingNetworkPolicy"])
    assert only == Wanted((), frozenset({"missingNetworkPolicy"}))
    both = wanted(["host-network", "policy.*"], skipped=["host-*"])
    assert both == Wanted((), frozenset({"missingNetworkPolicy"}))
    assert "privileged" not in {one.name for one in wanted(skipped=["privileged"]).practices}
    with pytest.raises(Unknown):
        wanted(["nothing"])
    assert GRAVE < PAIRED


def test_on_a_cluster_what_controllers_made_and_kubernetes_own_namespaces_are_left_alone() -> None:
    made = deployment("made")
    made["metadata"]["ownerReferences"] = [{"kind": "App", "name": "a", "controller": True}]
    objects = [deployment("web"), deployment("dns", "kube-system"), made]
    view = Snapshot(objects)
    bench = Bench({}, {}, now=NOW, view=view, practices=PRACTICES, spared=SYSTEM)
    found = asyncio.run(bench.judge_objects(objects))
    assert {row.subject.name for row in found.rows} == {"web"}
    assert {row.dialect for row in found.rows} == {"practices"}
    assert found.policies == len(PRACTICES) - 1  # no registries are allowed, so all are
