"""Endpoints: the old list of what is behind a Service, addresses grouped by the ports they share.

Source: k8s.io/kubernetes/pkg/controller/endpoint, pkg/api/v1/endpoints (RepackSubsets). Endpoints that people made
themselves, for a Service without a selector, are left alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from fairlead.orchestrate import backends, lives, proposing
from fairlead.orchestrate.steps import Controller, Step
from fairlead.words import Ref, Resource, View

KIND = ("", "Endpoints")
HEADLESS = "service.kubernetes.io/headless"
MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"
CAPACITY = 1000
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"

_Port = tuple[str, int, str, str]


def _reconcile(view: View, ref: Ref, now: datetime) -> Step:
    del now
    service = view.get(*backends.SERVICE, ref.namespace, ref.name)
    old = view.get(*KIND, ref.namespace, ref.name)
    if service is None:
        ours = old is not None and (old["metadata"].get("labels") or {}).get(MANAGED_BY) == MANAGER
        return Step((proposing.delete(old, "its Service is gone"),)) if old is not None and ours else Step()
    if backends.selector(service) is None:
        return Step()
    found = subsets(service, backends.pods(view, service))
    marks = {**(service["metadata"].get("labels") or {}), MANAGED_BY: MANAGER}
    marks.pop(HEADLESS, None)
    if backends.is_headless(service):
        marks[HEADLESS] = ""
    found, cut = _cut(found)
    if old is None:
        meta: dict[str, Any] = {"name": ref.name, "namespace": ref.namespace, "labels": marks}
        if cut:
            meta["annotations"] = {OVER_CAPACITY: "truncated"}
        body: Resource = {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta}
        if found:
            body["subsets"] = found
        return Step((proposing.create(body, "a Service without Endpoints"),))
    document: dict[str, Any] = {}
    if (old["metadata"].get("labels") or {}) != marks:
        document["labels"] = proposing.difference(old["metadata"].get("labels") or {}, marks)
    if (OVER_CAPACITY in (old["metadata"].get("annotations") or {})) != cut:
        document["annotations"] = {OVER_CAPACITY: "truncated" if cut else None}
    patch: dict[str, Any] = {"metadata": document} if document else {}
    if (old.get("subsets") or []) != found:
        patch["subsets"] = found
    return Step((proposing.patch(old, patch, "other pods are behind the Service"),) if patch else ())


def subsets(service: Resource, pods: Iterable[Resource]) -> list[dict[str, Any]]:
    """Return the subsets: addresses of ready and unready pods with the ports that all of them have."""
    spec = service.get("spec") or {}
    publish = bool(spec.get("publishNotReadyAddresses"))
    wanted = (spec.get("ipFamilies") or ["IPv4"])[0]
    by_ports: dict[_Port | None, dict[str, tuple[bool, dict[str, Any]]]] = {}
    for pod in pods:
        if not backends.counts(pod, terminating=publish):
            continue
        ip = next((entry for entry in backends.addresses(pod) if backends.family(entry) == wanted), None)
        if ip is None:
            continue
        ready = publish or lives.is_ready(pod)
        address = _address(ip, pod, service)
        if not spec.get("ports"):
            if backends.is_headless(service):
                by_ports.setdefault(None, {})[ip] = (ready, address)
            continue
        for port in spec["ports"]:
            number = backends.target_port(pod, port)
            if number is not None:
                key = (
                    port.get("name") or "",
                    number,
                    port.get("protocol") or "TCP",
                    port.get("appProtocol") or "",
                )
                by_ports.setdefault(key, {})[ip] = (ready, address)
    return _repack(by_ports)


def _address(ip: str, pod: Resource, service: Resource) -> dict[str, Any]:
    address: dict[str, Any] = {"ip": ip}
    name = backends.hostname(pod, service)
    if name:
        address["hostname"] = name
    if lives.node_of(pod):
        address["nodeName"] = lives.node_of(pod)
    address["targetRef"] = backends.target_ref(pod)
    return address


def _repack(by_ports: dict[_Port | None, dict[str, tuple[bool, dict[str, Any]]]]) -> list[dict[str, Any]]:
    """Put ports with exactly the same addresses into one subset."""
    shared: dict[tuple[tuple[str, bool], ...], list[_Port | None]] = {}
    for port, found in by_ports.items():
        key = tuple(sorted((ip, ready) for ip, (ready, _) in found.items()))
        shared.setdefault(key, []).append(port)
    result = []
    for key, ports in shared.items():
        found = by_ports[ports[0]]
        subset: dict[str, Any] = {}
        for name, wanted in (("addresses", True), ("notReadyAddresses", False)):
            chosen = [found[ip][1] for ip, ready in key if ready is wanted]
            if chosen:
                subset[name] = chosen
        listed = [_port(port) for port in sorted(port for port in ports if port is not None)]
        if listed:
            subset["ports"] = listed
        result.append(subset)
    return sorted(result, key=lambda subset: repr(subset.get("ports")))


def _port(port: _Port) -> dict[str, Any]:
    name, number, protocol, application = port
    found: dict[str, Any] = {"name": name} if name else {}
    found |= {"port": number, "protocol": protocol}
    return {**found, "appProtocol": application} if application else found


def _cut(found: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], bool]:
    """Keep at most a thousand addresses, ready ones first."""
    total = sum(len(subset.get(key, ())) for subset in found for key in ("addresses", "notReadyAddresses"))
    if total <= CAPACITY:
        return found, False
    left = CAPACITY
    result = [dict(subset) for subset in found]
    for key in ("addresses", "notReadyAddresses"):
        for subset in result:
            kept = subset.pop(key, [])[:left]
            left -= len(kept)
            if kept:
                subset[key] = kept
    return [subset for subset in result if "addresses" in subset or "notReadyAddresses" in subset], True


def _same_name(view: View, resource: Resource) -> Iterable[Ref]:
    del view
    meta = resource["metadata"]
    return [Ref(*backends.SERVICE, meta.get("namespace", ""), meta["name"])]


ENDPOINTS = Controller(
    name="endpoints",
    kind=backends.SERVICE,
    reconcile=_reconcile,
    watches={("", "Pod"): backends.services_of, KIND: _same_name},
)
