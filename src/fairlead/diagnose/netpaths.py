"""Whether NetworkPolicies let one pod reach a port of another, and which of them say no.

The rules of networking.k8s.io/v1 alone, over objects and templates of pods alike. A policy isolates the pods that it selects in the
directions of its policyTypes; what isolates a pod lets through what one rule of one of them names, and nothing else. What the objects do
not tell is unknown, and never counts as cut: whether an address block covers a pod of an unknown address, the labels of a namespace
that was not seen, pods on the node's network, and everything where a network of its own policies (Cilium, Calico, AdminNetworkPolicy)
decides as well.
Source: the documentation of NetworkPolicySpec, and "Network Policies" in the Kubernetes documentation.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from fairlead.diagnose.analyzers.probes import declared
from fairlead.diagnose.inventories import Inventory, Member, Template
from fairlead.tongues.paths import mapping, mappings, strings, text, words
from fairlead.tongues.selectors import Expr, from_object
from fairlead.words import Ref, Resource

Direction: TypeAlias = Literal["ingress", "egress"]
Sure: TypeAlias = bool | None
"""True, False, or None for what cannot be known."""

DIRECTIONS: tuple[Direction, Direction] = ("egress", "ingress")
GROUP = "networking.k8s.io"
NAME_LABEL = "kubernetes.io/metadata.name"
"""The label that every namespace bears by itself."""

FOREIGN = (
    ("cilium.io", "CiliumNetworkPolicy"),
    ("cilium.io", "CiliumClusterwideNetworkPolicy"),
    ("crd.projectcalico.org", "NetworkPolicy"),
    ("crd.projectcalico.org", "GlobalNetworkPolicy"),
    ("projectcalico.org", "NetworkPolicy"),
    ("projectcalico.org", "GlobalNetworkPolicy"),
    ("policy.networking.k8s.io", "AdminNetworkPolicy"),
    ("policy.networking.k8s.io", "BaselineAdminNetworkPolicy"),
    ("policy.networking.k8s.io", "ClusterNetworkPolicy"),
)
"""Kinds that may let through, or cut, what NetworkPolicies do not."""


@dataclass(frozen=True, slots=True)
class End:
    """One end of a path: pods of one sort.

    `labels` None stands for pods of which nothing is known, and `namespace` "" for what is no pod of this cluster. `address` is an IP
    address, "" where it is not known. `ports` are the TCP, UDP and SCTP ports by name and number, for policies that name ports.
    """

    namespace: str
    labels: Mapping[str, str] | None
    address: str = ""
    hosted: bool = False
    ports: Mapping[tuple[str, str | int], int] = field(default_factory=dict)

    @property
    def inside(self) -> bool:
        """Whether it is a pod."""
        return bool(self.namespace)


OUTSIDE = End("", None)
"""Something that is no pod: a client outside the cluster, a node, the API server."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a path is open; where it is not, the direction in which it is cut, and the policies that isolate the pod there."""

    open: Sure
    direction: Direction | None = None
    policies: tuple[Ref, ...] = ()


def end(inventory: Inventory, what: Template | Member) -> End:
    """Return the pods of a template, or a pod, as an end of a path."""
    if isinstance(what, Member):
        pod = Template(what.ref, what.pod, ())
        address = text(what.pod, "status", "podIP")
    else:
        pod, address = what, ""
    ports: dict[tuple[str, str | int], int] = {}
    for container in pod.containers():
        for protocol in ("TCP", "UDP", "SCTP"):
            ports.update({(protocol, name): number for name, number in declared(container, protocol).items()})
    return End(
        inventory.space(pod.ref), pod.labels, address, pod.spec.get("hostNetwork") is True, ports
    )  # fmt: skip


def allowed(
    inventory: Inventory, source: End, target: End, port: int | str, protocol: str = "TCP"
) -> Verdict:
    """Say whether policies let the source open a connection to the target's port (of its pods, not of a Service)."""
    number = target.ports.get((protocol, port)) if isinstance(port, str) else port
    if number is None:
        return Verdict(None)
    unknown = others_decide(inventory)
    for direction in DIRECTIONS:
        own, other = (source, target) if direction == "egress" else (target, source)
        verdict = one_way(inventory, direction, own, other, target, number, protocol)
        if verdict.open is False:
            return Verdict(None) if unknown else verdict
        unknown = unknown or verdict.open is None
    return Verdict(None if unknown else True)


def others_decide(inventory: Inventory) -> bool:
    """Say whether policies of other sorts are there, which may let through what NetworkPolicies do not."""
    return any(inventory.of_kind(group, kind) for group, kind in FOREIGN)


def one_way(
    inventory: Inventory, direction: Direction, own: End, other: End, target: End, port: int, protocol: str
) -> Verdict:
    """Say whether the policies of one end (`own`: the source for egress, else the target) let the path through."""
    isolating = isolated(inventory, own, direction)
    if not isolating:
        return Verdict(True)
    if own.hosted:
        return Verdict(None)
    verdict = _any(
        passes(inventory, policy, rule, direction, other, target, port, protocol)
        for policy in isolating
        for _, rule in rules(policy, direction)
    )
    return Verdict(verdict, None if verdict else direction, tuple(Ref.of(one) for one in isolating))


def passes(
    inventory: Inventory,
    policy: Resource,
    rule: Mapping[str, Any],
    direction: Direction,
    other: End,
    target: End,
    port: int,
    protocol: str,
) -> Sure:
    """Say whether one rule of a policy lets the path through."""
    fits = passes_ports(rule, target, port, protocol)
    if fits is False:
        return False
    near = passes_peer(inventory, policy, rule, direction, other)
    return False if near is False else True if fits and near else None


def isolated(inventory: Inventory, own: End, direction: Direction) -> Sequence[Resource]:
    """Return the policies that isolate the pods in the direction; none for what is no pod. Not a copy: it must not be changed."""
    if not own.inside or own.labels is None:
        return ()
    return inventory.kept(_isolated, own.namespace, frozenset(own.labels.items()), direction)


def _isolated(
    inventory: Inventory, namespace: str, labels: frozenset[tuple[str, str]], direction: Direction
) -> Sequence[Resource]:
    held = dict(labels)
    return [
        policy
        for policy, ways, selector in inventory.kept(_understood, namespace)
        if direction in ways and selector is not None and selector.matches(held)
    ]


def _understood(
    inventory: Inventory, namespace: str
) -> Sequence[tuple[Resource, set[Direction], Expr | None]]:
    """Return the policies of a namespace, each with its directions and what it selects."""
    return [
        (one, types(one), _compiled(mapping(one, "spec").get("podSelector")))
        for one in policies(inventory, namespace)
    ]


def policies(inventory: Inventory, namespace: str) -> Iterable[Resource]:
    """Return the NetworkPolicies of a namespace that are not being deleted."""
    spaces = [namespace] if inventory.live or namespace != "default" else ["default", ""]
    return [
        one
        for space in spaces
        for one in inventory.of_kind(GROUP, "NetworkPolicy", space)
        if not mapping(one, "metadata").get("deletionTimestamp")
    ]


def types(policy: Resource) -> set[Direction]:
    """Return the directions in which a policy isolates: unless it says so itself, ingress, and egress if it has rules for it."""
    told = {one.lower() for one in words(policy, "spec", "policyTypes")}
    if told:
        return {one for one in DIRECTIONS if one in told}
    return {"ingress", "egress"} if mappings(policy, "spec", "egress") else {"ingress"}


def rules(policy: Resource, direction: Direction) -> list[tuple[int, dict[str, Any]]]:
    """Return the rules of a direction, each with its index."""
    return mappings(policy, "spec", direction)


def peers(rule: Mapping[str, Any], direction: Direction) -> list[tuple[int, dict[str, Any]]]:
    """Return the peers of a rule, each with its index; none stands for everybody."""
    return mappings(rule, "from" if direction == "ingress" else "to")


def passes_ports(rule: Mapping[str, Any], target: End, port: int, protocol: str) -> Sure:
    """Say whether the rule's ports hold the target's port. A port by name is the target's own of that name."""
    ports = mappings(rule, "ports")
    if not ports:
        return not rule.get("ports")
    return _any([_port(one, target, port, protocol) for _, one in ports])


def _port(one: Mapping[str, Any], target: End, port: int, protocol: str) -> Sure:
    if (text(one, "protocol") or "TCP") != protocol:
        return False
    wanted = one.get("port")
    if wanted is None:
        return True
    if not isinstance(wanted, (str, int)):
        return False
    if isinstance(wanted, str) and not wanted.isdigit():
        if target.labels is None:
            return None
        return target.ports.get((protocol, wanted)) == port
    first, last = int(wanted), one.get("endPort")
    return first <= port <= last if isinstance(last, int) else first == port


def passes_peer(
    inventory: Inventory, policy: Resource, rule: Mapping[str, Any], direction: Direction, other: End
) -> Sure:
    """Say whether one of the rule's peers is the other end; a rule without peers means everybody."""
    found = peers(rule, direction)
    if not found:
        return not rule.get("from" if direction == "ingress" else "to")
    return _any([matches(inventory, policy, peer, other) for _, peer in found])


def matches(inventory: Inventory, policy: Resource, peer: Mapping[str, Any], other: End) -> Sure:
    """Say whether a peer of a policy is the other end."""
    block = mapping(peer, "ipBlock")
    if block:
        return _in_block(block, other)
    pods, spaces = peer.get("podSelector"), peer.get("namespaceSelector")
    if pods is None and spaces is None:
        return False
    if not other.inside:
        return False
    if other.hosted:
        return None  # its packets bear the node's address
    if spaces is None:
        near: Sure = other.namespace == inventory.space(Ref.of(policy))
    else:
        near = in_space(inventory, spaces, other.namespace)
    if near is False or pods is None:
        return near
    if other.labels is None:
        return None if not _everybody(pods) else near
    return near if _selects(pods, other.labels) else False


def _everybody(selector: Any) -> bool:
    return (
        isinstance(selector, dict)
        and not selector.get("matchLabels")
        and not selector.get("matchExpressions")
    )


def in_space(inventory: Inventory, selector: Any, namespace: str) -> Sure:
    """Say whether a namespace selector selects the namespace; unknown where the namespace's labels are and count."""
    expression = _compiled(selector)
    if expression is None:
        return None
    if expression.empty:
        return True
    resource = inventory.get(Ref("", "Namespace", "", namespace))
    labels = {**strings(resource, "metadata", "labels"), NAME_LABEL: namespace}
    if resource is None:
        for requirement in expression.requirements:
            if requirement.key == NAME_LABEL and not requirement.matches(labels):
                return False
        if any(requirement.key != NAME_LABEL for requirement in expression.requirements):
            return None
    return expression.matches(labels)


def _in_block(block: Mapping[str, Any], other: End) -> Sure:
    """Say whether an address block covers the other end. Networks differ in whether blocks are asked about pods at all."""
    try:
        network = ipaddress.ip_network(text(block, "cidr"), strict=False)
    except ValueError:
        return False
    if not other.address:
        return None
    try:
        address = ipaddress.ip_address(other.address)
        excepted = any(address in ipaddress.ip_network(one, strict=False) for one in words(block, "except"))
    except ValueError:
        return None
    if address not in network or excepted:
        return False
    return None if other.inside else True


def _compiled(selector: Any) -> Expr | None:
    try:
        return from_object(selector if isinstance(selector, dict) else {})
    except (ValueError, AttributeError, TypeError):
        return None


def _selects(selector: Any, labels: Mapping[str, str]) -> bool:
    expression = _compiled(selector)
    return expression is not None and expression.matches(labels)


def _any(answers: Iterable[Sure]) -> Sure:
    found: Sure = False
    for answer in answers:
        if answer:
            return True
        found = None if answer is None else found
    return found


def opens_outwards(
    inventory: Inventory, own: End, port: int, protocol: str = "TCP"
) -> tuple[Sure, tuple[Ref, ...]]:
    """Say whether anything that is no pod of the same namespace may reach the pods' port, and which policies isolate them.

    This is asked for what comes through load balancers, node ports and ingress controllers, and from the API server.
    """
    isolating = isolated(inventory, own, "ingress")
    if not isolating:
        return True, ()
    if own.hosted or others_decide(inventory):
        return None, ()
    answers: list[Sure] = []
    for policy in isolating:
        for _, rule in rules(policy, "ingress"):
            fits = passes_ports(rule, own, port, protocol)
            if fits is False:
                continue
            found = peers(rule, "ingress")
            foreign = any("ipBlock" in peer or peer.get("namespaceSelector") is not None for _, peer in found)
            answers.append((fits or None) if not found or foreign else False)
    return _any(answers), tuple(Ref.of(one) for one in isolating)
