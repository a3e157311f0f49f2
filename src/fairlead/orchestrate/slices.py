"""EndpointSlices: what is behind a Service, at most a hundred endpoints in each slice, with their conditions.

Source: k8s.io/endpointslice. Slices of other managers are left alone; an endpoint stays in its slice as long as it can.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from fairlead.orchestrate import backends, lives, owning, proposing
from fairlead.orchestrate.endpoints import HEADLESS
from fairlead.orchestrate.steps import Controller, Step
from fairlead.words import Change, Ref, Resource, View

KIND = ("discovery.k8s.io", "EndpointSlice")
SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
SIZE = 100
ZONE = "topology.kubernetes.io/zone"


def _mine(view: View, service: Resource) -> list[Resource]:
    meta = service["metadata"]
    return [
        item
        for item in view.list(*KIND, meta.get("namespace", ""))
        if owning.labels(item).get(SERVICE_NAME) == meta["name"]
        and owning.labels(item).get(MANAGED_BY) == MANAGER
        and not owning.is_deleted(item)
    ]


def _reconcile(view: View, ref: Ref, now: datetime) -> Step:
    service = view.get(*backends.SERVICE, ref.namespace, ref.name)
    if service is None or owning.is_deleted(service) or backends.selector(service) is None:
        return Step()
    existing = _mine(view, service)
    pods = backends.pods(view, service)
    changes: list[Change] = []
    families = (service.get("spec") or {}).get("ipFamilies") or ["IPv4"]
    for name in families:
        same = [item for item in existing if item.get("addressType") == name]
        changes += _family(view, service, name, pods, same, now)
    changes += [
        proposing.delete(item, "an address family that the Service no longer has")
        for item in existing
        if item.get("addressType") not in families
    ]
    return Step(tuple(changes))


def _family(
    view: View, service: Resource, name: str, pods: list[Resource], existing: list[Resource], now: datetime
) -> list[Change]:
    groups = _groups(view, service, name, pods)
    marks = _labels(service)
    changes: list[Change] = []
    spare: dict[str, list[Resource]] = {}
    for item in existing:
        spare.setdefault(_key(item.get("ports")), []).append(item)
    kept = 0
    for key, (ports, wanted) in groups.items():
        mine = spare.pop(key, [])
        found, count = _fill(service, name, ports, wanted, mine, marks, now)
        changes += found
        kept += count
    left = [item for items in spare.values() for item in items]
    if kept == 0:
        empty = next((item for item in left if not item.get("endpoints")), None)
        if empty is not None and not groups:
            left.remove(empty)
            changes += _relabel(empty, marks)
        elif left:
            chosen = left.pop(0)
            change = proposing.patch(chosen, {"endpoints": [], "ports": []}, "nothing is behind the Service")
            changes += [change, *_relabel(chosen, marks)]
        else:
            changes.append(_create(service, name, [], [], marks, now, 0))
    changes += [proposing.delete(item, "no endpoint is left in it") for item in left]
    return changes


def _groups(
    view: View, service: Resource, name: str, pods: list[Resource]
) -> dict[str, tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]]:
    """Group the endpoints by the ports that they have: key -> (ports, endpoints by identity)."""
    groups: dict[str, tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]] = {}
    for pod in pods:
        if not backends.counts(pod, terminating=True):
            continue
        found = [ip for ip in backends.addresses(pod) if backends.family(ip) == name]
        if not found:
            continue
        ports = _ports(service, pod)
        endpoint = _endpoint(view, service, pod, found)
        groups.setdefault(_key(ports), (ports, {}))[1][_identity(endpoint)] = endpoint
    return groups


def _ports(service: Resource, pod: Resource) -> list[dict[str, Any]]:
    ports = []
    for port in (service.get("spec") or {}).get("ports") or ():
        number = backends.target_port(pod, port)
        if number is None:
            continue
        entry = {"name": port.get("name") or "", "port": number, "protocol": port.get("protocol") or "TCP"}
        if port.get("appProtocol"):
            entry["appProtocol"] = port["appProtocol"]
        ports.append(entry)
    return ports


def _key(ports: list[dict[str, Any]] | None) -> str:
    return json.dumps(sorted(ports or [], key=json.dumps), sort_keys=True)


def _identity(endpoint: dict[str, Any]) -> str:
    return (endpoint.get("targetRef") or {}).get("uid") or ",".join(endpoint["addresses"])


def _endpoint(view: View, service: Resource, pod: Resource, found: list[str]) -> dict[str, Any]:
    serving = lives.is_ready(pod)
    ends = owning.is_deleted(pod)
    publish = bool((service.get("spec") or {}).get("publishNotReadyAddresses"))
    endpoint: dict[str, Any] = {
        "addresses": found[:1],
        "conditions": {"ready": publish or (serving and not ends), "serving": serving, "terminating": ends},
        "targetRef": backends.target_ref(pod),
    }
    node = lives.node_of(pod)
    if node:
        endpoint["nodeName"] = node
        zone = owning.labels(view.get("", "Node", "", node) or {"metadata": {}}).get(ZONE)
        if zone:
            endpoint["zone"] = zone
    name = backends.hostname(pod, service)
    if name:
        endpoint["hostname"] = name
    return endpoint


def _labels(service: Resource) -> dict[str, str]:
    marks = {key: value for key, value in owning.labels(service).items() if key != HEADLESS}
    marks |= {SERVICE_NAME: service["metadata"]["name"], MANAGED_BY: MANAGER}
    if backends.is_headless(service):
        marks[HEADLESS] = ""
    return marks


def _fill(
    service: Resource,
    name: str,
    ports: list[dict[str, Any]],
    wanted: dict[str, dict[str, Any]],
    existing: list[Resource],
    marks: dict[str, str],
    now: datetime,
) -> tuple[list[Change], int]:
    """Update the slices of one set of ports; return the changes and how many slices there will be."""
    rest = dict(wanted)
    contents: list[list[dict[str, Any]]] = []
    for item in existing:
        stays = [_identity(endpoint) for endpoint in item.get("endpoints") or ()]
        contents.append([rest.pop(identity) for identity in stays if identity in rest])
    for content in contents:
        while rest and len(content) < SIZE:
            content.append(rest.pop(next(iter(rest))))
    changes: list[Change] = []
    count = 0
    for item, content in zip(existing, contents, strict=True):
        if not content:
            changes.append(proposing.delete(item, "no endpoint is left in it"))
            continue
        count += 1
        if content != (item.get("endpoints") or []):
            changes.append(proposing.patch(item, {"endpoints": content}, "other pods are behind the Service"))
        changes += _relabel(item, marks)
    left = list(rest.values())
    for start in range(0, len(left), SIZE):
        changes.append(_create(service, name, ports, left[start : start + SIZE], marks, now, start))
        count += 1
    return changes, count


def _relabel(item: Resource, marks: dict[str, str]) -> tuple[Change, ...]:
    document = proposing.difference(owning.labels(item), marks)
    if not document:
        return ()
    return (proposing.patch(item, {"metadata": {"labels": document}}, "the Service's labels changed"),)


def _create(
    service: Resource,
    name: str,
    ports: list[dict[str, Any]],
    endpoints: list[dict[str, Any]],
    marks: dict[str, str],
    now: datetime,
    number: int,
) -> Change:
    meta = service["metadata"]
    stem = f"{meta['name']}-"
    own = owning.suffix(meta.get("uid"), name, _key(ports), number, now.isoformat())
    body: Resource = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": stem + own,
            "generateName": stem,
            "namespace": meta.get("namespace", ""),
            "labels": marks,
            "ownerReferences": [owning.reference_to({**service, "apiVersion": "v1", "kind": "Service"})],
        },
        "addressType": name,
        "endpoints": endpoints,
        "ports": ports,
    }
    return proposing.create(body, "pods behind a Service that no slice has")


def _service_of(view: View, item: Resource) -> Iterable[Ref]:
    del view
    name = owning.labels(item).get(SERVICE_NAME)
    if name and owning.labels(item).get(MANAGED_BY) == MANAGER:
        return [Ref(*backends.SERVICE, item["metadata"].get("namespace", ""), name)]
    return []


ENDPOINT_SLICES = Controller(
    name="endpointslice",
    kind=backends.SERVICE,
    reconcile=_reconcile,
    watches={("", "Pod"): backends.services_of, KIND: _service_of},
)
