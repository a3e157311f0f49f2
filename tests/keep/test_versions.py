"""Objects in another version: Events, autoscalers, and custom resources from their definition to their end."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, ClassVar

import pytest

from fairlead.keep.errors import Refusal
from fairlead.keep.versions import convert
from fairlead.tongues.selectors import parse_fields
from fairlead.words import Resource

ABOUT = {"kind": "Pod", "name": "web", "namespace": "default", "apiVersion": "v1"}


def test_events_of_both_groups_are_one(cluster: Any) -> None:
    body = {
        "metadata": {"name": "e"},
        "involvedObject": ABOUT,
        "reason": "Pulled",
        "message": "got it",
        "source": {"component": "kubelet"},
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "count": 3,
        "type": "Normal",
    }
    made = cluster.create("events", body)
    new = cluster.get("events.events.k8s.io", "e")
    assert new["apiVersion"] == "events.k8s.io/v1"
    assert (new["regarding"], new["note"], new["deprecatedCount"]) == (ABOUT, "got it", 3)
    assert new["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    assert convert(new, "v1") == made
    kind = cluster.kind("events.events.k8s.io")
    found = cluster.world.list(kind, None, fields=parse_fields("regarding.name=web"))
    assert [stored.name for stored in found.items] == ["e"]
    entries = cluster.world.since(kind, None, int(made["metadata"]["resourceVersion"]) - 1)
    assert entries[0].object["note"] == "got it"


def test_an_event_of_the_new_group_is_stored_as_the_old(cluster: Any) -> None:
    body = {
        "metadata": {"name": "e"},
        "regarding": ABOUT,
        "reason": "Bound",
        "note": "done",
        "action": "Binding",
        "reportingController": "a.io/scheduler",
        "reportingInstance": "one",
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "type": "Normal",
    }
    made = cluster.create("events.events.k8s.io", body)
    assert made["note"] == "done"
    old = cluster.get("events", "e")
    assert (old["apiVersion"], old["message"], old["involvedObject"]) == ("v1", "done", ABOUT)


def test_autoscalers(cluster: Any) -> None:
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "maxReplicas": 5,
    }
    name = "horizontalpodautoscalers.v1.autoscaling"
    made = cluster.create(
        name, {"metadata": {"name": "h"}, "spec": {**spec, "targetCPUUtilizationPercentage": 55}}
    )
    assert made["spec"]["targetCPUUtilizationPercentage"] == 55
    new = cluster.get("horizontalpodautoscalers.v2.autoscaling", "h")
    target = {"type": "Utilization", "averageUtilization": 55}
    assert new["spec"]["metrics"] == [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    assert new["spec"]["minReplicas"] == 1
    changed = cluster.patch(name, "h", {"spec": {"targetCPUUtilizationPercentage": 70}})
    assert changed["apiVersion"] == "autoscaling/v1"
    new = cluster.get("horizontalpodautoscalers.v2.autoscaling", "h")
    assert new["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 70


@pytest.mark.parametrize(
    "metric",
    [
        {
            "type": "Resource",
            "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}},
        },
        {
            "type": "Pods",
            "pods": {"metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": "100"}},
        },
        {
            "type": "Object",
            "object": {
                "describedObject": {"kind": "Ingress", "name": "i", "apiVersion": "networking.k8s.io/v1"},
                "metric": {"name": "rps"},
                "target": {"type": "Value", "value": "10k"},
            },
        },
        {
            "type": "External",
            "external": {
                "metric": {"name": "queue", "selector": {"matchLabels": {"a": "b"}}},
                "target": {"type": "AverageValue", "averageValue": "30"},
            },
        },
    ],
)
def test_other_metrics_survive_the_old_version(metric: Resource) -> None:
    target = {"type": "Utilization", "averageUtilization": 80}
    cpu = {"type": "Resource", "resource": {"name": "cpu", "target": target}}
    new: Resource = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h", "annotations": {"a": "b"}},
        "spec": {
            "maxReplicas": 3,
            "metrics": [cpu, metric],
            "behavior": {"scaleDown": {"selectPolicy": "Max"}},
        },
        "status": {"currentMetrics": [], "conditions": [{"type": "AbleToScale", "status": "True"}]},
    }
    old = convert(deepcopy(new), "autoscaling/v1")
    assert old["spec"] == {"maxReplicas": 3, "targetCPUUtilizationPercentage": 80}
    back = convert(old, "autoscaling/v2")
    new["status"].pop("currentMetrics")
    assert back == new


class TestCustom:
    definition: ClassVar[Resource] = {
        "metadata": {"name": "boats.sea.io"},
        "spec": {
            "group": "sea.io",
            "scope": "Namespaced",
            "names": {"plural": "boats", "kind": "Boat", "shortNames": ["bt"]},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "properties": {
                                "spec": {
                                    "type": "object",
                                    "properties": {
                                        "color": {"type": "string", "default": "white"},
                                        "masts": {"type": "integer", "maximum": 7},
                                    },
                                },
                                "status": {
                                    "type": "object",
                                    "properties": {
                                        "masts": {"type": "integer"},
                                        "selector": {"type": "string"},
                                    },
                                },
                            },
                        }
                    },
                    "subresources": {
                        "status": {},
                        "scale": {"specReplicasPath": ".spec.masts", "statusReplicasPath": ".status.masts"},
                    },
                    "selectableFields": [{"jsonPath": ".spec.color"}],
                }
            ],
        },
    }
    kind = "customresourcedefinitions.apiextensions.k8s.io"

    def define(self, cluster: Any) -> Resource:
        made: Resource = cluster.create(self.kind, deepcopy(self.definition))
        return made

    def test_a_definition_is_served_at_once(self, cluster: Any) -> None:
        made = self.define(cluster)
        conditions = {item["type"]: item["status"] for item in made["status"]["conditions"]}
        assert conditions == {"NamesAccepted": "True", "Established": "True"}
        boat = cluster.create("boats.sea.io", {"metadata": {"name": "b"}, "spec": {"masts": 2}})
        assert boat["spec"] == {"masts": 2, "color": "white"}
        assert boat["metadata"]["generation"] == 1
        with pytest.raises(Refusal, match=r"spec\.masts"):
            cluster.patch("boats.sea.io", "b", {"spec": {"masts": 9}})

    def test_the_status_is_apart(self, cluster: Any) -> None:
        self.define(cluster)
        body = {"metadata": {"name": "b"}, "spec": {"masts": 2}, "status": {"masts": 1}}
        boat = cluster.create("boats.sea.io", body)
        assert "status" not in boat
        boat["metadata"]["labels"] = {"sly": "yes"}
        boat["spec"]["masts"] = 3
        boat["status"] = {"masts": 2}
        changed = cluster.update("boats.sea.io", boat, "status")
        assert (changed["spec"]["masts"], changed["status"]) == (2, {"masts": 2})
        assert "labels" not in changed["metadata"]
        assert changed["metadata"]["generation"] == 1
        assert cluster.patch("boats.sea.io", "b", {"spec": {"masts": 4}})["metadata"]["generation"] == 2

    def test_updates_need_a_version(self, cluster: Any) -> None:
        self.define(cluster)
        boat = cluster.create("boats.sea.io", {"metadata": {"name": "b"}})
        del boat["metadata"]["resourceVersion"]
        with pytest.raises(Refusal) as refused:
            cluster.update("boats.sea.io", boat)
        assert refused.value.message == (
            'Boat.sea.io "b" is invalid: metadata.resourceVersion: Invalid value: 0x0: must be specified for an update'
        )

    def test_scale_and_selectable_fields(self, cluster: Any) -> None:
        self.define(cluster)
        cluster.create("boats.sea.io", {"metadata": {"name": "b"}, "spec": {"masts": 2}})
        kind = cluster.kind("boats.sea.io")
        assert cluster.world.scale(kind, "default", "b")["spec"] == {"replicas": 2}
        cluster.patch("boats.sea.io", "b", {"spec": {"replicas": 3}}, sub="scale")
        assert cluster.get("boats.sea.io", "b")["spec"]["masts"] == 3
        for text, found in (("spec.color=white", ["b"]), ("spec.color=red", [])):
            listing = cluster.world.list(kind, None, fields=parse_fields(text))
            assert [stored.name for stored in listing.items] == found
        with pytest.raises(Refusal, match=r"field label not supported: spec\.masts"):
            cluster.world.list(kind, None, fields=parse_fields("spec.masts=2"))

    def test_no_strategic_patch(self, cluster: Any) -> None:
        self.define(cluster)
        cluster.create("boats.sea.io", {"metadata": {"name": "b"}})
        with pytest.raises(Refusal) as refused:
            cluster.patch("boats.sea.io", "b", {}, "strategic")
        assert refused.value.code == 415

    def test_a_definition_takes_its_objects_along(self, cluster: Any) -> None:
        self.define(cluster)
        for name, finalizers in (("a", []), ("b", ["sea.io/anchor"])):
            cluster.create("boats.sea.io", {"metadata": {"name": name, "finalizers": finalizers}})
        answer = cluster.delete(self.kind, "boats.sea.io")
        assert answer["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
        assert answer["status"]["conditions"][-1]["type"] == "Terminating"
        with pytest.raises(
            Refusal, match="create not allowed while custom resource definition is terminating"
        ):
            cluster.create("boats.sea.io", {"metadata": {"name": "c"}})
        cluster.rest(cluster.world.clear_definition("boats.sea.io", cluster.request()))
        assert cluster.names("boats.sea.io") == ["b"]
        cluster.patch("boats.sea.io", "b", {"metadata": {"finalizers": None}})
        cluster.rest(cluster.world.clear_definition("boats.sea.io", cluster.request()))
        assert cluster.names(self.kind) == []
        assert cluster.world.catalogue.served("sea.io", "v1", "boats") is None

    def test_a_copy_learns_for_itself(self, cluster: Any) -> None:
        copy = cluster.world.fork()
        definition = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
        copy.create(cluster.kind(self.kind), "", definition | deepcopy(self.definition), cluster.request())
        assert copy.catalogue.served("sea.io", "v1", "boats") is not None
        assert cluster.world.catalogue.served("sea.io", "v1", "boats") is None
