"""NetworkPolicies as they are written: sweeping ones, peers that select nothing, and pods that none protects.

A policy that cuts a path which is used is not told here. Which pods a policy selects, and in which directions it counts, follows
Kubernetes: without policyTypes it counts for ingress, and for egress where it has egress rules.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from fairlead.diagnose.causes import Fact
from fairlead.diagnose.choosing import Pool, labels, pods, reads, shown, spaces, staying
from fairlead.diagnose.inventories import Inventory
from fairlead.tongues.paths import Path, find, mapping, mappings, text, words
from fairlead.words import Evidence, Ref, Resource, Severity

NETWORKING = "networking.k8s.io"
_KIND = "NetworkPolicy"
_PEERS = {"Ingress": ("ingress", "from"), "Egress": ("egress", "to")}
_OVER = frozenset({"Succeeded", "Failed"})
_WAYS = {"Ingress": "from", "Egress": "to"}
_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


def directions(policy: Resource) -> frozenset[str]:
    """Return the directions in which a policy counts: of Ingress and Egress."""
    written = words(policy, "spec", "policyTypes")
    if written:
        return frozenset(written)
    return frozenset({"Ingress", "Egress"} if mapping(policy, "spec").get("egress") else {"Ingress"})


def _selector(policy: Resource) -> dict[str, Any]:
    return mapping(policy, "spec", "podSelector")


def policy(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """What a policy says at large: all or nothing for every pod, and selectors and blocks that match nothing."""
    if not staying(resource):
        return
    ref = Ref.of(resource)
    own = reads(_selector(resource))
    if own is None:
        return
    if own.empty:
        yield from _sweeping(inventory, resource, ref)
    if not inventory.seen_all("", "Pod"):
        return
    if not own.empty and not pods(inventory, _selector(resource), ref.namespace):
        yield Fact(
            rule="policy.selector",
            subject=ref,
            severity=Severity.INFO,
            message=f"selects {shown(_selector(resource))}, which no pod beside it has",
            evidence=(inventory.field(ref, ("spec", "podSelector"), shown(_selector(resource))),),
            where=inventory.where(ref, ("spec", "podSelector")),
        )
    for way, (field, peers) in _PEERS.items():
        if way not in directions(resource):
            continue
        for index, rule in mappings(resource, "spec", field):
            for inner, peer in mappings(rule, peers):
                path: Path = ("spec", field, index, peers, inner)
                yield from _peer(inventory, ref, way, peer, path)
                yield from _block(inventory, ref, way, peer, path)


def _sweeping(inventory: Inventory, resource: Resource, ref: Ref) -> Iterator[Fact]:
    """A policy for every pod that lets nothing through in some direction, or everything."""
    closed, opened = [], []
    for way, (field, peers) in _PEERS.items():
        if way not in directions(resource):
            continue
        rules = [rule for _, rule in mappings(resource, "spec", field)]
        if not rules:
            closed.append(way)
        elif any(not rule.get(peers) and not rule.get("ports") for rule in rules):
            opened.append(way)
    for rule, ways, verb in (
        ("policy.closed", closed, "lets nothing"),
        ("policy.open", opened, "lets everything"),
    ):
        if ways:
            what = " and ".join({"Ingress": "in", "Egress": "out"}[way] for way in ways)
            yield Fact(
                rule=rule,
                subject=ref,
                severity=Severity.INFO,
                message=f"{verb} {what}, for every pod of its namespace"
                + (" that no other policy speaks of" if rule == "policy.closed" else ""),
                evidence=(inventory.field(ref, ("spec", "podSelector"), "podSelector: {}"),),
                where=inventory.where(ref, ("spec",)),
            )


def _peer(inventory: Inventory, ref: Ref, way: str, peer: Mapping[str, Any], path: Path) -> Iterator[Fact]:
    chosen, wanted = find(peer, ("namespaceSelector",)), find(peer, ("podSelector",))
    said = reads(chosen) if chosen is not None else None
    if chosen is not None and said is None:
        return
    if chosen is not None and not (inventory.seen_all("", "Namespace") and inventory.everywhere()):
        return
    names = [ref.namespace] if chosen is None else spaces(inventory, chosen)
    if chosen is not None and not names and said is not None and not said.empty:
        yield Fact(
            rule="policy.namespaces",
            subject=ref,
            detail=f"{way}/{shown(chosen)}",
            severity=Severity.INFO,
            message=f"lets traffic {_WAYS[way]} namespaces with {shown(chosen)}, which none has",
            evidence=(inventory.field(ref, (*path, "namespaceSelector"), shown(chosen)),),
            where=inventory.where(ref, (*path, "namespaceSelector")),
        )
    pod_said = reads(wanted) if wanted is not None else None
    if pod_said is None or pod_said.empty:
        return
    if any(pods(inventory, wanted, name) for name in names):
        return
    place = f"in namespace {', '.join(names[:3])}" if names else "in such a namespace"
    yield Fact(
        rule="policy.peer",
        subject=ref,
        detail=f"{way}/{','.join(names)}/{shown(wanted)}",
        severity=Severity.INFO,
        message=f"lets traffic {_WAYS[way]} pods with {shown(wanted)}, of which there is none {place}",
        evidence=(inventory.field(ref, (*path, "podSelector"), shown(wanted)),),
        where=inventory.where(ref, (*path, "podSelector")),
    )


def _network(said: object) -> _Network | None:
    try:
        return ipaddress.ip_network(said, strict=False) if isinstance(said, str) else None
    except ValueError:
        return None


def _block(inventory: Inventory, ref: Ref, way: str, peer: Mapping[str, Any], path: Path) -> Iterator[Fact]:
    """An address block where the cluster's own pods have theirs, in which no pod is."""
    block = mapping(peer, "ipBlock")
    blocks = [(block.get("cidr"), (*path, "ipBlock", "cidr"), "policy.block")] if block else []
    blocks += [
        (said, (*path, "ipBlock", "except", index), "policy.except")
        for index, said in enumerate(words(block, "except"))
    ]
    for said, place, rule in blocks:
        network = _network(said)
        if (
            network is None
            or network.prefixlen == 0
            or not inventory.everywhere()
            or not _empty(inventory, network)
        ):
            continue
        verb = f"lets traffic {_WAYS[way]}" if rule == "policy.block" else f"keeps out traffic {_WAYS[way]}"
        yield Fact(
            rule=rule,
            subject=ref,
            detail=f"{way}/{said}",
            severity=Severity.INFO,
            message=f"{verb} {said}, where no pod is",
            cause="Pods have addresses near it: right only if these are outside of the cluster.",
            evidence=(inventory.field(ref, place, str(said)),),
            where=inventory.where(ref, place),
            confidence="possible",
        )


def _empty(inventory: Inventory, network: _Network) -> bool:
    """Say whether pods have addresses in the wider surroundings of a block (a /8, a /32), and none of them in it."""
    reach = min(network.prefixlen, 8 if network.version == 4 else 32)
    near = network.supernet(new_prefix=reach)
    around = False
    for address, of_pod in inventory.kept(_known):
        if address.version == network.version and address in near:
            if address in network:
                return False
            around = around or of_pod
    return around


def _known(inventory: Inventory) -> list[tuple[_Address, bool]]:
    """Return the addresses of pods and nodes, and of each whether it is a pod's. A wide look."""
    found: dict[tuple[str, bool], _Address] = {}
    for kind in ("Pod", "Node"):
        for one in inventory.of_kind("", kind):
            for said in _addresses(one):
                try:
                    found[said, kind == "Pod"] = ipaddress.ip_address(said)
                except ValueError:
                    continue
    return [(address, of_pod) for (_, of_pod), address in found.items()]


def _addresses(resource: Resource) -> Iterator[str]:
    for _, item in mappings(resource, "status", "podIPs"):
        yield text(item, "ip")
    yield text(resource, "status", "podIP")
    for _, item in mappings(resource, "status", "addresses"):
        yield text(item, "address")


def _written(inventory: Inventory, space: str) -> tuple[Pool[frozenset[str]], frozenset[str]]:
    """Return in which directions the policies of a namespace count, by what they select, and in which any does."""
    found = [
        (said, directions(one))
        for one in inventory.of_kind(NETWORKING, _KIND, space)
        if staying(one) and (said := reads(_selector(one))) is not None
    ]
    return Pool(found), frozenset[str]().union(*(ways for _, ways in found))


def unprotected(inventory: Inventory, pod: Resource) -> Iterator[Fact]:
    """A pod of which no policy speaks in a direction; where none of its namespace does, that is told once, of the namespace."""
    ref = Ref.of(pod)
    if not inventory.seen_all(NETWORKING, _KIND) or not staying(pod) or ref.namespace == "kube-system":
        return
    if mapping(pod, "spec").get("hostNetwork") is True or text(pod, "status", "phase") in _OVER:
        return
    policies, spoken = inventory.kept(_written, ref.namespace)
    covered = frozenset[str]().union(*policies.over(labels(pod)))
    top = Ref.of(inventory.top(pod))
    space = Ref("", "Namespace", "", ref.namespace)
    for way, flow, of_all in (
        ("Ingress", "who may reach it", "who may reach its pods"),
        ("Egress", "what it may reach", "what its pods may reach"),
    ):
        if way in covered:
            continue
        if way not in spoken:
            yield Fact(
                rule="policy.absent",
                subject=space,
                detail=way if spoken else "",
                severity=Severity.INFO,
                message=f"no NetworkPolicy of it says {of_all}"
                if spoken
                else "has no NetworkPolicy: its pods may talk to everything, and everything to them",
                evidence=(Evidence("absence", space, f"no NetworkPolicy for {way.lower()}"),),
            )
        yield Fact(
            rule="policy.lacking",
            subject=top,
            detail=way,
            severity=Severity.INFO,
            message=f"no NetworkPolicy says {flow}",
            evidence=(Evidence("absence", top, f"no policy for {way.lower()} selects it"),),
            because=(("policy.absent", space, ""), ("policy.absent", space, way)),
        )


Look = Callable[[Inventory, Resource], Iterator[Fact]]
ADVICE: Mapping[tuple[str, str], Look] = {(NETWORKING, _KIND): policy, ("", "Pod"): unprotected}
"""What is asked of each object of a kind, where advice is wanted."""
