"""What NetworkPolicies are asked about besides single paths, and how one is written that opens a path.

Knows the cluster's DNS as far as objects (or, on files, the custom of clusters) show it. Judges nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fairlead.diagnose.callers import pods_port
from fairlead.diagnose.inventories import Inventory, Template
from fairlead.diagnose.netpaths import (
    GROUP,
    NAME_LABEL,
    Direction,
    End,
    end,
    isolated,
    one_way,
    passes_ports,
    rules,
    types,
)
from fairlead.tongues.paths import Path, find, mapping, mappings, strings
from fairlead.words import Change, Evidence, Ref, Resource

_DNS_SERVICES = (("kube-system", "kube-dns"), ("kube-system", "coredns"), ("openshift-dns", "dns-default"))
_DNS_LABELS = {"k8s-app": "kube-dns"}


def selected_by(inventory: Inventory, policy: Resource) -> list[Template]:
    """Return what makes the pods that a policy's podSelector may select."""
    ref = Ref.of(policy)
    selector = mapping(policy, "spec", "podSelector")
    if selector.get("matchLabels") and not selector.get("matchExpressions"):
        return inventory.described(strings(selector, "matchLabels"), ref)
    return inventory.templates_in(inventory.space(ref))


def dns(inventory: Inventory) -> list[tuple[End, int]]:
    """Return the pods of the cluster's DNS with their port for UDP, where they are known; on files, those that clusters have."""
    if not inventory.live:
        return [(End("kube-system", _DNS_LABELS), 53)]
    if inventory.get(Ref("apps", "DaemonSet", "kube-system", "node-local-dns")) is not None:
        return []
    for namespace, name in _DNS_SERVICES:
        ref = Ref("", "Service", namespace, name)
        service = inventory.get(ref)
        selector = strings(service, "spec", "selector")
        if service is None or not selector:
            continue
        found = []
        for template in inventory.described(selector, ref):
            its = end(inventory, template)
            for protocol, port in pods_port(service, 53):
                number = its.ports.get((protocol, port)) if isinstance(port, str) else port
                if protocol == "UDP" and number is not None:
                    found.append((its, number))
        return found
    return []


def nameless(inventory: Inventory, template: Template, servers: Sequence[tuple[End, int]]) -> tuple[Ref, ...]:
    """Return the policies that isolate a template's pods from every server of names, or nothing."""
    own = end(inventory, template)
    found: tuple[Ref, ...] = ()
    for server, port in servers:
        verdict = one_way(inventory, "egress", own, server, server, port, "UDP")
        if verdict.open is not False:
            return ()
        if not inventory.live and any(
            passes_ports(rule, server, port, "UDP") and mappings(rule, "ports")
            for policy in isolated(inventory, own, "egress")
            for _, rule in rules(policy, "egress")
        ):
            return ()  # port 53 of somebody is let through: the names may be answered there
        found = verdict.policies
    return found


def dns_rule(servers: Sequence[tuple[End, int]]) -> dict[str, Any]:
    """Return the rule for egress that lets questions through to the cluster's DNS."""
    server, port = servers[0]
    return {
        "to": [
            peer(server.namespace, _DNS_LABELS if server.labels is _DNS_LABELS else dict(server.labels or {}))
        ],
        "ports": [{"protocol": "UDP", "port": port}, {"protocol": "TCP", "port": port}],
    }


def own_labels(template: Template) -> dict[str, str]:
    """Return the labels by which a template's pods are known: those that it selects them by, else all."""
    chosen = strings(template.resource, "spec", "selector", "matchLabels")
    return chosen if chosen and chosen.items() <= template.labels.items() else template.labels


def peer(namespace: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return the peer of pods with the labels; `namespace` "" is the policy's own."""
    found: dict[str, Any] = {"podSelector": {"matchLabels": dict(labels)}}
    if namespace:
        found["namespaceSelector"] = {"matchLabels": {NAME_LABEL: namespace}}
    return found


def new_policy(own: Template, name: str, way: Direction, rule: Mapping[str, Any]) -> Change:
    """Return the creation of a policy for a template's pods with one rule of a direction."""
    metadata = {"name": name[:63].rstrip("-")}
    if own.ref.namespace:
        metadata["namespace"] = own.ref.namespace
    body: Resource = {
        "apiVersion": f"{GROUP}/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata,
        "spec": {
            "podSelector": {"matchLabels": own_labels(own)},
            "policyTypes": [way.capitalize()],
            way: [dict(rule)],
        },
    }
    return Change(
        verb="create",
        ref=Ref.of(body),
        api_version=body["apiVersion"],
        body=body,
        why="a path that is used is cut",
    )


def there(policy: Resource, path: Path) -> Path:
    """Return the path, or as much of it as is written."""
    while path and find(policy, path) is None:
        path = path[:-1]
    return path


def written(inventory: Inventory, policy: Resource, path: Path) -> Evidence:
    """Return what a policy says at the path (or what is left of it) as evidence."""
    place = there(policy, path)
    held = find(policy, place)
    said = f"{place[-1] if place else 'spec'}: {held}" if not isinstance(held, (dict, list)) else f"policyTypes: {', '.join(sorted(types(policy)))}"  # fmt: skip
    return inventory.field(Ref.of(policy), place, said[:120])
