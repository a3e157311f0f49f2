"""Namespaces: what each has, and how it ends."""

from __future__ import annotations

from typing import Any

from fairlead.orchestrate import conditions
from fairlead.orchestrate.accounts import ROOT_CA, SERVICE_ACCOUNTS, root_ca
from fairlead.orchestrate.namespaces import NAMESPACES, plural


def space(cluster: Any, name: str = "shop") -> Any:
    body = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }
    return cluster.add(body)


def thing(cluster: Any, name: str, **meta: Any) -> Any:
    return cluster.add(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop", **meta}}
    )


def test_every_namespace_has_an_account_and_the_authority(cluster: Any) -> None:
    space(cluster)
    authority = root_ca("PEM")
    cluster.settle(SERVICE_ACCOUNTS, authority)
    assert cluster.find("ServiceAccount", "default", namespace="shop")
    found = cluster.find("ConfigMap", ROOT_CA, namespace="shop")
    assert found["data"] == {"ca.crt": "PEM"}
    cluster.edit(found, {"data": {"ca.crt": "other", "more": "x"}})
    cluster.settle(SERVICE_ACCOUNTS, authority)
    assert cluster.find("ConfigMap", ROOT_CA, namespace="shop")["data"] == {"ca.crt": "PEM"}
    assert next(iter(authority.watches["", "ConfigMap"](cluster, found))).name == "shop"


def test_a_deleted_namespace_ends_with_its_content(cluster: Any) -> None:
    made = space(cluster)
    thing(cluster, "a")
    thing(cluster, "b")
    cluster.remove(made)
    cluster.settle(SERVICE_ACCOUNTS, NAMESPACES)
    assert cluster.named("Namespace") == ["default"]
    assert not cluster.list("", "ConfigMap", "shop")


def test_what_is_left_is_said(cluster: Any) -> None:
    made = space(cluster)
    held = thing(cluster, "a", finalizers=["example.com/hold"])
    cluster.remove(made)
    cluster.settle(NAMESPACES)
    shop = cluster.find("Namespace", "shop", namespace="")
    assert shop["status"]["phase"] == "Terminating"
    found = {
        entry["type"]: (entry["status"], entry["reason"], entry["message"])
        for entry in shop["status"]["conditions"]
    }
    assert found["NamespaceContentRemaining"] == (
        "True",
        "SomeResourcesRemain",
        "Some resources are remaining: configmaps. has 1 resource instances",
    )
    assert found["NamespaceFinalizersRemaining"] == (
        "True",
        "SomeFinalizersRemain",
        "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances",
    )
    assert conditions.find(shop, "NamespaceDeletionContentFailure")["status"] == "False"  # type: ignore[index]
    cluster.edit(cluster.of(_ref(held)), {"metadata": {"finalizers": []}})
    cluster.settle(NAMESPACES)
    assert cluster.named("Namespace") == ["default"]


def _ref(resource: Any) -> Any:
    from fairlead.words import Ref

    return Ref.of(resource)


def test_a_living_namespace_is_left_alone(cluster: Any) -> None:
    space(cluster)
    thing(cluster, "a")
    assert not cluster.settle(NAMESPACES).changes


def test_plurals() -> None:
    kinds = ["Pod", "Ingress", "NetworkPolicy", "Endpoints", "Gateway", "StorageClass"]
    assert [plural(kind) for kind in kinds] == [
        "pods",
        "ingresses",
        "networkpolicies",
        "endpoints",
        "gateways",
        "storageclasses",
    ]
