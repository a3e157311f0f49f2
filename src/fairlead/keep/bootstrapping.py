"""The objects that a cluster has before anybody made any: namespaces, priority classes, roles, the API's Service.

Creates what is missing and leaves what is there alone. Default service accounts and root certificates are controllers'.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from fairlead.keep import roles
from fairlead.keep.entries import Entry, Outcome
from fairlead.keep.requests import Request
from fairlead.words import Resource, User

if TYPE_CHECKING:
    from fairlead.keep.worlds import World

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
SERVICE_IP = "10.96.0.1"
PORT = 6443


def objects(port: int = PORT) -> list[Resource]:
    """Return the objects, in an order in which each can be created. `port` is the API's own, behind its Service."""
    found: list[Resource] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in NAMESPACES
    ]
    for name, value, description in (
        (
            "system-node-critical",
            2_000_001_000,
            "Used for system critical pods that must not be moved from their current node.",
        ),
        (
            "system-cluster-critical",
            2_000_000_000,
            "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
        ),
    ):
        found.append(
            {
                "apiVersion": "scheduling.k8s.io/v1",
                "kind": "PriorityClass",
                "metadata": {"name": name},
                "value": value,
                "description": description,
            }
        )
    found.append(
        {
            "apiVersion": "node.k8s.io/v1",
            "kind": "RuntimeClass",
            "metadata": {"name": "wasm"},
            "handler": "wasm",
        }
    )
    found += roles.cluster_roles()
    found += roles.cluster_role_bindings()
    found.append(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": "kubernetes",
                "namespace": "default",
                "labels": {"component": "apiserver", "provider": "kubernetes"},
            },
            "spec": {
                "clusterIP": SERVICE_IP,
                "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}],
            },
        }
    )
    return found


def _request(now: datetime) -> Request:
    return Request(
        user=User(name="system:apiserver", groups=("system:masters",)), now=now, manager="kube-apiserver"
    )


def advertise(world: World, now: datetime, address: str, port: int) -> Outcome:
    """Write where the API is to be reached: the endpoints of the Service default/kubernetes. `address` is an IP address."""
    meta = {"name": "kubernetes", "namespace": "default"}
    ports = [{"name": "https", "port": port, "protocol": "TCP"}]
    found: list[Resource] = [
        {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {**meta, "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
            "subsets": [{"addresses": [{"ip": address}], "ports": ports}],
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**meta, "labels": {"kubernetes.io/service-name": "kubernetes"}},
            "addressType": "IPv6" if ":" in address else "IPv4",
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
            "ports": [dict(port) for port in ports],
        },
    ]
    entries: list[Entry] = []
    request = _request(now)
    for obj in found:
        group, _, version = obj["apiVersion"].rpartition("/")
        kind = world.catalogue.kind(group, obj["kind"], version)
        assert kind is not None
        there = world.has(kind, "default", "kubernetes")
        if there and obj.get("addressType", "") != world.get(
            kind, "default", "kubernetes", overlay=True
        ).object.get("addressType", ""):
            entries += world.delete(kind, "default", "kubernetes", {}, request).entries
            there = False
        if there:
            entries += world.update(kind, "default", "kubernetes", obj, request).entries
        else:
            entries += world.create(kind, "default", obj, request).entries
    return Outcome({}, b"{}", tuple(entries))


def bootstrap(world: World, now: datetime) -> Outcome:
    """Create what is missing, in one step."""
    request = _request(now)
    entries: list[Entry] = []
    for obj in objects():
        group, _, version = obj["apiVersion"].rpartition("/")
        kind = world.catalogue.kind(group, obj["kind"], version)
        assert kind is not None
        meta = obj["metadata"]
        if not world.has(kind, meta.get("namespace", ""), meta["name"]):
            entries += world.create(kind, meta.get("namespace", ""), obj, request).entries
    return Outcome({}, b"{}", tuple(entries))
