"""How services and what is in front of and behind them are shown as table rows.

Source: kubernetes pkg/printers/internalversion, v1.32.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from fairlead.keep.tables_texts import (
    AGE,
    NAME,
    NONE,
    UNSET,
    Cells,
    Column,
    Layout,
    age,
    at,
    cut_short,
    labels_text,
    name_of,
    selector_text,
)
from fairlead.words import Resource


def _balancer(resource: Resource) -> list[str]:
    found = at(resource, "status", "loadBalancer", "ingress") or ()
    return sorted({place.get("ip") or place.get("hostname") or "" for place in found} - {""})


def _external(service: Resource, kind: str) -> str:
    spec = service.get("spec") or {}
    addresses = spec.get("externalIPs") or []
    if kind == "ExternalName":
        return spec.get("externalName") or ""
    if kind == "LoadBalancer":
        found = [*_balancer(service), *addresses]
        return ",".join(found) if found else "<pending>"
    return ",".join(addresses) if addresses else NONE


def _port(port: Mapping[str, Any]) -> str:
    node = port.get("nodePort")
    number = f"{port.get('port')}:{node}" if node else str(port.get("port"))
    return f"{number}/{port.get('protocol') or 'TCP'}"


def _service(resource: Resource, now: datetime) -> Cells:
    spec = resource.get("spec") or {}
    kind = spec.get("type") or "ClusterIP"
    addresses = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    return (
        name_of(resource),
        kind,
        addresses[0] if addresses else NONE,
        _external(resource, kind),
        ",".join(map(_port, spec.get("ports") or ())) or NONE,
        age(resource, now),
        labels_text(spec.get("selector")),
    )


def _endpoints(resource: Resource, now: datetime) -> Cells:
    found = []
    for subset in resource.get("subsets") or ():
        addresses = [address.get("ip") or "" for address in subset.get("addresses") or ()]
        ports = subset.get("ports") or ()
        if not ports:
            found += addresses
        for port in ports:
            found += [_joined(address, port.get("port")) for address in addresses]
    return name_of(resource), cut_short(found), age(resource, now)


def _joined(address: str, port: Any) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _slice(resource: Resource, now: datetime) -> Cells:
    ports = ["*" if port.get("port") is None else str(port["port"]) for port in resource.get("ports") or ()]
    addresses = [
        address for endpoint in resource.get("endpoints") or () for address in endpoint.get("addresses") or ()
    ]
    return (
        name_of(resource),
        resource.get("addressType") or "",
        cut_short(ports, empty=UNSET),
        cut_short(addresses, empty=UNSET),
        age(resource, now),
    )


def _hosts(rules: Iterable[Mapping[str, Any]]) -> str:
    return cut_short((rule["host"] for rule in rules if rule.get("host")), empty="*")


def _ingress(resource: Resource, now: datetime) -> Cells:
    spec = resource.get("spec") or {}
    return (
        name_of(resource),
        spec.get("ingressClassName") or NONE,
        _hosts(spec.get("rules") or ()),
        ",".join(_balancer(resource)),
        "80, 443" if spec.get("tls") else "80",
        age(resource, now),
    )


def _ingress_class(resource: Resource, now: datetime) -> Cells:
    spec = resource.get("spec") or {}
    parameters = spec.get("parameters")
    text = NONE
    if parameters:
        kind = parameters.get("kind") or ""
        if parameters.get("apiGroup"):
            kind = f"{kind}.{parameters['apiGroup']}"
        text = f"{kind}/{parameters.get('name') or ''}"
    return name_of(resource), spec.get("controller") or "", text, age(resource, now)


def _policy(resource: Resource, now: datetime) -> Cells:
    return name_of(resource), selector_text(at(resource, "spec", "podSelector") or {}), age(resource, now)


def _api_service(resource: Resource, now: datetime) -> Cells:
    service = at(resource, "spec", "service")
    available = "Unknown"
    for condition in at(resource, "status", "conditions") or ():
        if condition.get("type") == "Available":
            available = str(condition.get("status"))
            if available != "True":
                available = f"{available} ({condition.get('reason') or ''})"
    return (
        name_of(resource),
        f"{service.get('namespace')}/{service.get('name')}" if service else "Local",
        available,
        age(resource, now),
    )


LAYOUTS: Mapping[tuple[str, str], Layout] = {
    ("", "Service"): Layout(
        (
            NAME,
            Column("Type", "From where the service can be reached."),
            Column("Cluster-IP", "The service's address within the cluster."),
            Column("External-IP", "The service's addresses outside of the cluster."),
            Column("Port(s)", "The service's ports, with the ports on nodes."),
            AGE,
            Column("Selector", "Which pods the service leads to, by their labels.", priority=1),
        ),
        _service,
    ),
    ("", "Endpoints"): Layout(
        (NAME, Column("Endpoints", "The addresses that the service leads to."), AGE), _endpoints
    ),
    ("discovery.k8s.io", "EndpointSlice"): Layout(
        (
            NAME,
            Column("AddressType", "What the addresses are."),
            Column("Ports", "The ports of every endpoint."),
            Column("Endpoints", "The addresses of the endpoints."),
            AGE,
        ),
        _slice,
    ),
    ("networking.k8s.io", "Ingress"): Layout(
        (
            NAME,
            Column("Class", "The class whose controller serves the ingress."),
            Column("Hosts", "The hosts that requests are matched with."),
            Column("Address", "The addresses at which the ingress is served."),
            Column("Ports", "The ports at which the ingress is served."),
            AGE,
        ),
        _ingress,
    ),
    ("networking.k8s.io", "IngressClass"): Layout(
        (
            NAME,
            Column("Controller", "The controller that serves ingresses of the class."),
            Column("Parameters", "The object with the class's settings."),
            AGE,
        ),
        _ingress_class,
    ),
    ("networking.k8s.io", "NetworkPolicy"): Layout(
        (NAME, Column("Pod-Selector", "Which pods the policy is for, by their labels."), AGE), _policy
    ),
    ("apiregistration.k8s.io", "APIService"): Layout(
        (
            NAME,
            Column("Service", "The service that serves this part of the API."),
            Column("Available", "Whether this part of the API is served."),
            AGE,
        ),
        _api_service,
    ),
}
"""By (group, kind)."""
