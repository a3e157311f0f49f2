"""Discovery documents."""

from fairlead.keep import discovery
from fairlead.keep.kinds import Catalogue, Kind, version_order


def test_the_core_group_stands_apart() -> None:
    assert discovery.api_versions("127.0.0.1:6443") == {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1:6443"}],
    }
    names = [group["name"] for group in discovery.api_group_list(Catalogue())["groups"]]
    assert "" not in names
    assert names[:2] == ["apiregistration.k8s.io", "apps"]


def test_a_group_names_its_preferred_version() -> None:
    assert discovery.api_group(Catalogue(), "autoscaling") == {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": "autoscaling",
        "versions": [
            {"groupVersion": "autoscaling/v2", "version": "v2"},
            {"groupVersion": "autoscaling/v1", "version": "v1"},
        ],
        "preferredVersion": {"groupVersion": "autoscaling/v2", "version": "v2"},
    }
    assert discovery.api_group(Catalogue(), "nobody.example.com") is None


def test_resources_are_listed_with_their_subresources() -> None:
    document = discovery.api_resource_list(Catalogue(), "apps", "v1")
    assert document is not None
    assert document["groupVersion"] == "apps/v1"
    found = {resource["name"]: resource for resource in document["resources"]}
    assert list(found)[:4] == ["controllerrevisions", "daemonsets", "daemonsets/status", "deployments"]
    assert found["deployments"] == {
        "name": "deployments",
        "singularName": "deployment",
        "namespaced": True,
        "kind": "Deployment",
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        "shortNames": ["deploy"],
        "categories": ["all"],
    }
    assert found["deployments/scale"] == {
        "name": "deployments/scale",
        "singularName": "",
        "namespaced": True,
        "group": "autoscaling",
        "version": "v1",
        "kind": "Scale",
        "verbs": ["get", "patch", "update"],
    }
    assert discovery.api_resource_list(Catalogue(), "apps", "v2") is None


def test_aggregated_discovery_says_the_same() -> None:
    core = discovery.aggregated(Catalogue(), core=True)
    assert core["apiVersion"] == "apidiscovery.k8s.io/v2"
    assert [item["metadata"] for item in core["items"]] == [{"creationTimestamp": None}]
    resources = {one["resource"]: one for one in core["items"][0]["versions"][0]["resources"]}
    assert resources["nodes"]["scope"] == "Cluster"
    eviction = next(one for one in resources["pods"]["subresources"] if one["subresource"] == "eviction")
    assert eviction["responseKind"] == {"group": "policy", "version": "v1", "kind": "Eviction"}
    older = discovery.aggregated(Catalogue(), core=False, version="v2beta1")
    assert older["apiVersion"] == "apidiscovery.k8s.io/v2beta1"
    assert len(older["items"]) == len(discovery.api_group_list(Catalogue())["groups"])


def test_versions_are_ordered_as_kubernetes_prefers_them() -> None:
    names = ["foo1", "v1alpha1", "v2beta1", "v10", "v1", "v11alpha2", "foo10", "v2", "v11beta2"]
    expected = ["v10", "v2", "v1", "v11beta2", "v2beta1", "v11alpha2", "v1alpha1", "foo1", "foo10"]
    assert sorted(names, key=version_order) == expected
    catalogue = Catalogue([Kind("e.com", name, "A", "as") for name in ("v1alpha1", "v1")])
    group = discovery.api_group(catalogue, "e.com")
    assert group is not None
    assert group["preferredVersion"]["version"] == "v1"
    preferred = catalogue.kind("e.com", "A")
    assert preferred is not None
    assert preferred.version == "v1"
