"""Endpoints and EndpointSlices: what is behind a Service, and in which state."""

from __future__ import annotations

from typing import Any

from fairlead.orchestrate.endpoints import ENDPOINTS
from fairlead.orchestrate.slices import ENDPOINT_SLICES
from fairlead.words import Resource


def service(name: str = "web", **spec: Any) -> Resource:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default", "labels": {"tier": "front"}},
        "spec": {
            "clusterIP": "10.96.0.9",
            "ipFamilies": ["IPv4"],
            "selector": {"app": "web"},
            "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
            **spec,
        },
    }


def pod(
    cluster: Any, name: str, ip: str = "10.0.0.1", *, ready: bool = True, number: int = 8080, **spec: Any
) -> Resource:
    ports = [{"name": "http", "containerPort": number}]
    status: Resource = {"phase": "Running", "conditions": [{"type": "Ready", "status": str(ready)}]}
    if ip:
        status |= {"podIP": ip, "podIPs": [{"ip": ip}]}
    body: Resource = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": "web"}, "uid": f"u-{name}"},
        "spec": {"nodeName": "one", "containers": [{"name": "m", "image": "a", "ports": ports}], **spec},
        "status": status,
    }
    found: Resource = cluster.add(body)
    return found


def subsets(cluster: Any, name: str = "web") -> list[Resource]:
    found: list[Resource] = cluster.find("Endpoints", name).get("subsets") or []
    return found


def slices(cluster: Any) -> list[Resource]:
    found: list[Resource] = cluster.list("discovery.k8s.io", "EndpointSlice")
    return found


def settle(cluster: Any) -> None:
    cluster.settle(ENDPOINTS, ENDPOINT_SLICES)


def address(name: str, ip: str) -> Resource:
    ref = {"kind": "Pod", "namespace": "default", "name": name, "uid": f"u-{name}"}
    return {"ip": ip, "nodeName": "one", "targetRef": ref}


def test_ready_and_unready_pods_are_told_apart(cluster: Any) -> None:
    made = cluster.add(service())
    pod(cluster, "a", "10.0.0.2")
    pod(cluster, "b", "10.0.0.1", ready=False)
    pod(cluster, "c", "")
    settle(cluster)
    ports = [{"name": "http", "port": 8080, "protocol": "TCP"}]
    assert subsets(cluster) == [
        {
            "addresses": [address("a", "10.0.0.2")],
            "notReadyAddresses": [address("b", "10.0.0.1")],
            "ports": ports,
        }
    ]
    assert cluster.find("Endpoints", "web")["metadata"]["labels"]["tier"] == "front"
    (one,) = slices(cluster)
    assert one["ports"] == ports
    assert one["addressType"] == "IPv4"
    assert one["metadata"]["labels"] == {
        "tier": "front",
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    assert one["metadata"]["ownerReferences"][0]["uid"] == made["metadata"]["uid"]
    assert {entry["addresses"][0]: entry["conditions"] for entry in one["endpoints"]} == {
        "10.0.0.2": {"ready": True, "serving": True, "terminating": False},
        "10.0.0.1": {"ready": False, "serving": False, "terminating": False},
    }


def test_a_service_without_pods_has_both_but_empty(cluster: Any) -> None:
    cluster.add(service())
    settle(cluster)
    assert subsets(cluster) == []
    assert [(one["endpoints"], one["ports"]) for one in slices(cluster)] == [([], [])]
    pod(cluster, "a")
    settle(cluster)
    assert len(slices(cluster)) == 1
    assert len(slices(cluster)[0]["endpoints"]) == 1


def test_pods_that_differ_in_a_named_port_are_grouped_apart(cluster: Any) -> None:
    cluster.add(service())
    pod(cluster, "a", "10.0.0.1")
    pod(cluster, "b", "10.0.0.2", number=9090)
    settle(cluster)
    assert [(s["ports"][0]["port"], [a["ip"] for a in s["addresses"]]) for s in subsets(cluster)] == [
        (8080, ["10.0.0.1"]),
        (9090, ["10.0.0.2"]),
    ]
    assert sorted(one["ports"][0]["port"] for one in slices(cluster)) == [8080, 9090]


def test_ports_with_the_same_pods_share_a_subset(cluster: Any) -> None:
    ports = [{"name": "b", "port": 81, "targetPort": 81}, {"name": "a", "port": 80, "targetPort": 8080}]
    cluster.add(service(ports=ports))
    pod(cluster, "a")
    settle(cluster)
    (subset,) = subsets(cluster)
    assert [(port["name"], port["port"]) for port in subset["ports"]] == [("a", 8080), ("b", 81)]


def test_a_port_that_no_pod_has_leaves_no_address(cluster: Any) -> None:
    cluster.add(service(ports=[{"port": 80, "targetPort": "nowhere"}]))
    pod(cluster, "a")
    settle(cluster)
    assert subsets(cluster) == []
    assert [one["ports"] for one in slices(cluster)] == [[]]


def test_terminating_pods_stay_in_slices_only(cluster: Any) -> None:
    cluster.add(service())
    one = pod(cluster, "a")
    settle(cluster)
    cluster.remove(one)
    settle(cluster)
    assert subsets(cluster) == []
    assert slices(cluster)[0]["endpoints"][0]["conditions"] == {
        "ready": False,
        "serving": True,
        "terminating": True,
    }


def test_unready_addresses_are_published_where_asked_for(cluster: Any) -> None:
    cluster.add(service(publishNotReadyAddresses=True))
    pod(cluster, "a", ready=False)
    settle(cluster)
    assert "addresses" in subsets(cluster)[0]
    assert slices(cluster)[0]["endpoints"][0]["conditions"] == {
        "ready": True,
        "serving": False,
        "terminating": False,
    }


def test_a_headless_service_names_its_pods(cluster: Any) -> None:
    body = service(clusterIP="None")
    del body["spec"]["ports"]
    cluster.add(body)
    pod(cluster, "a", hostname="a", subdomain="web")
    settle(cluster)
    assert subsets(cluster) == [{"addresses": [{**address("a", "10.0.0.1"), "hostname": "a"}]}]
    assert slices(cluster)[0]["endpoints"][0]["hostname"] == "a"
    assert cluster.find("Endpoints", "web")["metadata"]["labels"]["service.kubernetes.io/headless"] == ""


def test_hand_made_endpoints_are_left_alone(cluster: Any) -> None:
    body = service()
    del body["spec"]["selector"]
    cluster.add(body)
    mine = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": "web", "namespace": "default"},
        "subsets": [{"addresses": [{"ip": "192.0.2.1"}]}],
    }
    cluster.add(mine)
    settle(cluster)
    assert subsets(cluster) == mine["subsets"]
    assert not slices(cluster)


def test_endpoints_go_with_their_service(cluster: Any) -> None:
    made = cluster.add(service())
    pod(cluster, "a")
    settle(cluster)
    endpoints = cluster.find("Endpoints", "web")
    cluster.remove(made)
    (ref,) = ENDPOINTS.watches["", "Endpoints"](cluster, endpoints)
    (change,) = ENDPOINTS.reconcile(cluster, ref, cluster.now).changes
    assert (change.verb, change.ref.name) == ("delete", "web")
    assert not slices(cluster)


def test_a_slice_holds_a_hundred_and_endpoints_stay_where_they_are(cluster: Any) -> None:
    cluster.add(service())
    for number in range(150):
        pod(cluster, f"p{number:03}", f"10.0.1.{number}")
    settle(cluster)
    sizes = {one["metadata"]["name"]: len(one["endpoints"]) for one in slices(cluster)}
    assert sorted(sizes.values()) == [50, 100]
    cluster.vanish(cluster.find("Pod", "p000"))
    pod(cluster, "p200", "10.0.2.1")
    settled = cluster.settle(ENDPOINT_SLICES)
    assert {one["metadata"]["name"] for one in slices(cluster)} == set(sizes)
    assert len(settled.changes) == 1


def test_the_other_family_gets_slices_of_its_own(cluster: Any) -> None:
    cluster.add(service(ipFamilies=["IPv4", "IPv6"]))
    one = pod(cluster, "a")
    cluster.edit(one, {"status": {"podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]}})
    settle(cluster)
    assert {one["addressType"]: one["endpoints"][0]["addresses"] for one in slices(cluster)} == {
        "IPv4": ["10.0.0.1"],
        "IPv6": ["fd00::1"],
    }
