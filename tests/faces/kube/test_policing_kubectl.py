"""What people see through kubectl of policies that bring things about: objects generated and followed, cleaned up, statuses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.kubectl


def text(*objects: dict[str, Any]) -> str:
    return yaml.safe_dump_all(objects)


def for_namespace(team: str, name: str, **generate: Any) -> dict[str, Any]:
    chosen = {"kinds": ["Namespace"], "selector": {"matchLabels": {"team": team}}}
    return {
        "name": name,
        "match": {"any": [{"resources": chosen}]},
        "generate": {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": name,
            "namespace": "{{request.object.metadata.name}}",
            "synchronize": True,
            **generate,
        },
    }


@pytest.fixture
def policy(cluster_kubectl: Any, namespace: str) -> Iterator[str]:
    """A policy that gives each new namespace of a team a NetworkPolicy and a copy of a ConfigMap."""
    closed = {"spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}}
    network = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
    rules = [
        for_namespace(namespace, "closed", **network, data=closed),
        for_namespace(namespace, "settings", clone={"namespace": namespace, "name": "source"}),
    ]
    document: dict[str, Any] = {
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": f"p-{namespace}"},
        "spec": {"rules": rules},
    }
    cluster_kubectl("create", "configmap", "source", "--from-literal=a=1", "--namespace", namespace)
    cluster_kubectl("apply", "-f", "-", text=text(document))
    yield f"p-{namespace}"
    cluster_kubectl("delete", "clusterpolicy", f"p-{namespace}", "--ignore-not-found")


def test_each_new_namespace_gets_what_the_policy_gives_it(
    cluster_kubectl: Any, namespace: str, policy: str, eventually: Callable[..., Any]
) -> None:
    kubectl, mine = cluster_kubectl, f"{namespace}-new"
    space = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": mine, "labels": {"team": namespace}},
    }
    kubectl("create", "-f", "-", text=text(space))

    def there(kind: str, name: str) -> str:
        return str(kubectl("get", kind, name, "--namespace", mine, "--ignore-not-found", "-o", "name"))

    def copied() -> Any:
        found = kubectl(
            "get", "configmap", "settings", "--namespace", mine, "--ignore-not-found", "-o", "json"
        )
        return json.loads(found)["data"] if found else None

    eventually(lambda: there("networkpolicy", "closed"))
    eventually(lambda: copied() == {"a": "1"})
    kubectl("patch", "configmap", "source", "--namespace", namespace, "-p", '{"data":{"a":"2"}}')
    eventually(lambda: copied() == {"a": "2"})
    kubectl("delete", "networkpolicy", "closed", "--namespace", mine)
    eventually(lambda: there("networkpolicy", "closed"))
    kubectl("delete", "clusterpolicy", policy)
    eventually(lambda: not there("networkpolicy", "closed"))
    events = kubectl.json("get", "events", "--field-selector", f"involvedObject.name={policy}")["items"]
    assert {"PolicyApplied"} == {each["reason"] for each in events}


def test_policies_say_whether_they_are_ready(
    cluster_kubectl: Any, policy: str, eventually: Callable[..., Any]
) -> None:
    kubectl = cluster_kubectl

    def row(name: str) -> list[str]:
        return str(kubectl("get", "clusterpolicy", name, "--no-headers")).split()

    eventually(lambda: "True" in row(policy) and row(policy)[-1] == "Ready")


def test_an_object_expires_by_its_label(kubectl: Any, eventually: Callable[..., Any]) -> None:
    kubectl("create", "configmap", "short")
    kubectl("label", "configmap", "short", "cleanup.kyverno.io/ttl=1s")
    eventually(lambda: not kubectl("get", "configmap", "short", "--ignore-not-found", "-o", "name"))


def test_a_controller_in_javascript_acts_on_what_comes(
    kubectl: Any, namespace: str, eventually: Callable[..., Any]
) -> None:
    script = """
        if (request.operation === "DELETE" || request.name !== "web") allow();
        const name = "made-by-script";
        if (!get("ConfigMap", "v1", request.namespace + "/" + name))
          create({apiVersion: "v1", kind: "ConfigMap",
                  metadata: {name, namespace: request.namespace}, data: {by: request.object.metadata.name}});
    """
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    document: dict[str, Any] = {
        "apiVersion": "policy.jspolicy.com/v1beta1",
        "kind": "JsPolicy",
        "metadata": {"name": f"{namespace}.example.com"},
        "spec": {
            "type": "Controller",
            "operations": ["CREATE"],
            "resources": ["configmaps"],
            "namespaceSelector": selector,
            "javascript": script,
        },
    }
    kubectl("create", "configmap", "web")
    kubectl("apply", "-f", "-", text=text(document))

    def made() -> Any:
        found = kubectl("get", "configmap", "made-by-script", "--ignore-not-found", "-o", "json")
        return json.loads(found)["data"] if found else None

    eventually(lambda: made() == {"by": "web"})
    eventually(lambda: "Synced" in kubectl("get", "jspolicy", document["metadata"]["name"], "--no-headers"))
    kubectl("delete", "jspolicy", document["metadata"]["name"])
