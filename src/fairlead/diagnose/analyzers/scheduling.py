"""Pods that no node takes, in the scheduler's words, with what stands against each.

The scheduler's message is the evidence; which request, label or taint is meant is told from the nodes themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from fairlead.diagnose.causes import Fact, Key
from fairlead.diagnose.homes import home, hosts, volume_of
from fairlead.diagnose.inventories import Inventory, Member, ready
from fairlead.diagnose.likening import nearest
from fairlead.diagnose.proposing import Edit, edit_template, patch
from fairlead.diagnose.references import Container
from fairlead.tongues import quantities
from fairlead.tongues.paths import Path, find, mapping, mappings, strings, text
from fairlead.words import Evidence, Fix, Ref, Resource, Severity

_NEXT = re.compile(r", (?=\d+ )")
_VOLUMES = (
    "volume node affinity conflict",
    "available persistent volumes to bind",
    "max volume count",
    "free storage",
)
_BINARY = {"Gi": 2**30, "Mi": 2**20, "Ki": 2**10}


def quantity(value: object) -> Fraction | None:
    """Return the number that a Kubernetes quantity stands for, or None where it is none."""
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        return None
    try:
        return quantities.parse(value)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class _Verdict:
    """Why no node takes the pods of a workload. `shared` is a fact about nodes that would be the same for others."""

    rule: str
    cause: str
    path: Path = ()
    fix: Fix | None = None
    because: tuple[Key | Ref, ...] = ()
    shared: Fact | None = None
    alone: bool = False
    """Whether the shared fact is the root even where just one workload suffers from it."""


def _pod(inventory: Inventory, pod: Resource) -> Iterator[Fact]:
    """Why the scheduler could not place a pod, the workload that it belongs to, and what several workloads run into."""
    if text(pod, "spec", "nodeName"):
        yield from _bound_by_hand(inventory, pod)
        return
    member = inventory.member(pod)
    for message, gated in _refusals(pod) if member is not None else ():
        if member is None:
            break
        if gated:
            yield _gated(inventory, member)
            continue
        verdict = inventory.kept(_verdict, member.ref, message)
        if verdict is None:
            continue
        shared = verdict.shared
        if shared is not None and (verdict.alone or len(inventory.kept(_sharers).get(shared.key, ())) > 1):
            yield shared
            verdict = replace(verdict, because=(*verdict.because, shared.key))
        yield from _unschedulable(inventory, member, message, verdict)


def _bound_by_hand(inventory: Inventory, pod: Resource) -> Iterator[Fact]:
    """A pod for which its workload names the node, which does not exist: nobody will ever start it."""
    member = inventory.member(pod)
    if member is None or text(pod, "status", "phase") not in {"", "Pending"} or member.top.ref == member.ref:
        return
    top = member.top
    path = (*top.spec_path, "nodeName")
    name = find(top.resource, path)
    node = Ref("", "Node", "", str(name))
    if name != member.node or not inventory.missing(node) or not inventory.of_kind("", "Node"):
        return
    near = nearest(node.name, inventory.names(node, node))
    title = f"run it on {near}" if near else "let the scheduler choose the node"
    fix = edit_template(inventory, top, [Edit(path, near)], title)
    yield Fact(
        rule="schedule.named",
        subject=top.ref,
        message=f"names node {node.name}, which does not exist",
        cause=f"Node {near} is there: probably that one is meant."
        if near
        else "Who names a node passes over the scheduler, and nothing else starts the pod.",
        evidence=(inventory.field(top.ref, path, f"nodeName: {node.name}"),),
        fixes=(fix,) if fix else (),
        where=inventory.where(top.ref, path),
    )
    yield Fact(
        rule="pod.unscheduled",
        subject=member.ref,
        message=f"bound to node {node.name}, which does not exist",
        because=(("schedule.named", top.ref, ""),),
    )


def _refusals(pod: Resource) -> Iterator[tuple[str, bool]]:
    """What the scheduler said of a pod, and whether gates hold it back."""
    for _, item in mappings(pod, "status", "conditions"):
        if item.get("type") == "PodScheduled" and item.get("status") == "False":
            yield text(item, "message"), item.get("reason") == "SchedulingGated"


def _verdict(inventory: Inventory, ref: Ref, message: str) -> _Verdict | None:
    pod = inventory.get(ref)
    member = inventory.member(pod) if pod is not None else None
    return _judge(inventory, member, _reasons(message), message) if member is not None else None


def _sharers(inventory: Inventory) -> Mapping[Key, set[Ref]]:
    """Return the workloads that run into each thing that they might share."""
    found: dict[Key, set[Ref]] = {}
    for pod in inventory.at("unscheduled", ""):
        member = inventory.member(pod)
        for message, gated in _refusals(pod) if member is not None else ():
            verdict = None if gated or member is None else inventory.kept(_verdict, member.ref, message)
            if verdict is not None and verdict.shared is not None and member is not None:
                found.setdefault(verdict.shared.key, set()).add(member.top.ref)
    return found


def _gated(inventory: Inventory, member: Member) -> Fact:
    gates = [text(gate, "name") for _, gate in mappings(member.pod, "spec", "schedulingGates")]
    return Fact(
        rule="schedule.gated",
        subject=member.top.ref,
        severity=Severity.WARNING,
        message=f"pods are held back by scheduling gates: {', '.join(gates)}",
        cause="Whoever set the gates has not removed them.",
        evidence=(inventory.field(member.ref, ("spec", "schedulingGates"), ", ".join(gates)),),
    )


def _reasons(message: str) -> list[str]:
    """Return the reasons of the scheduler's message, the most frequent first: `2 Insufficient cpu` gives `Insufficient cpu`."""
    _, colon, rest = message.partition(" nodes are available: ")
    if not colon:
        return [message] if message else []
    rest = rest.partition(". preemption")[0].partition(". no new claims")[0].rstrip(". ")
    found = []
    for part in _NEXT.split(rest):
        count, _, reason = part.partition(" ")
        found.append((int(count), reason) if count.isdigit() else (0, part))
    return [reason for _, reason in sorted(found, key=lambda pair: -pair[0])]


def _unschedulable(inventory: Inventory, member: Member, message: str, verdict: _Verdict) -> Iterator[Fact]:
    top = member.top.ref
    evidence = (Evidence("condition", member.ref, f"Unschedulable: {inventory.quote(message, member.ref)}"),)
    yield Fact(
        rule=verdict.rule,
        subject=top,
        message="no node can take its pods" if top != member.ref else "no node can take it",
        cause=verdict.cause,
        evidence=evidence,
        fixes=(verdict.fix,) if verdict.fix else (),
        where=inventory.where(top, verdict.path),
        because=verdict.because,
    )
    if top != member.ref:
        yield Fact(
            rule="pod.unscheduled",
            subject=member.ref,
            message="Pending, unschedulable",
            because=((verdict.rule, top, ""),),
        )


def _judge(inventory: Inventory, member: Member, reasons: Sequence[str], message: str) -> _Verdict | None:
    """Return what the scheduler meant; None for words that the nodes have outdated since."""
    spec = member.top.spec_path
    nodes = list(inventory.of_kind("", "Node"))
    refs = [Ref.of(node) for node in nodes]
    if "persistentvolumeclaim" in message.lower() or '"VolumeBinding"' in message:
        return _claimed(inventory, member, "A volume claim stands in the way.")
    if "no nodes available" in message:
        return None if nodes else _no_node()
    if any(word in reason for reason in reasons for word in _VOLUMES):
        return _claimed(
            inventory, member, _homeless(inventory, member) or inventory.quote(message, member.ref)
        )
    if any("affinity/selector" in reason or "node selector" in reason for reason in reasons):
        return _selector(inventory, member, nodes)
    lacking = [one.removeprefix("Insufficient ") for one in reasons if one.startswith("Insufficient ")]
    if lacking:
        verdict = _resources(inventory, member, lacking[0])
        away = _away(inventory, member, lacking[0], reasons)
        return replace(verdict, because=tuple(away), shared=None, fix=None) if away else verdict
    tainted = [reason for reason in reasons if "untolerated taint" in reason]
    if tainted:
        return _taint(inventory, member, nodes, tainted[0][tainted[0].find("{") :])
    if any("unschedulable" in reason for reason in reasons):
        cordoned = tuple(("node.cordoned", ref, "") for ref in refs)
        return _Verdict("schedule.cordoned", "The nodes are cordoned.", because=cordoned)
    if any("free ports" in reason for reason in reasons):
        cause = "The host ports that it asks for are taken on every node."
        return _Verdict("schedule.port", cause, (*spec, "containers"))
    return _apart(member, reasons, nodes) or _Verdict(
        "schedule.other", inventory.quote(message, member.ref), spec
    )


def _apart(member: Member, reasons: Sequence[str], nodes: Sequence[Resource]) -> _Verdict | None:
    """The pods ask to stay apart or together: by what, and in how many such places."""
    words_ = " ".join(reasons)
    spec, base = mapping(member.pod, "spec"), member.top.spec_path
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    if "anti-affinity" in words_:
        path: Path = ("affinity", "podAntiAffinity", required)
        asks = "must stay apart"
    elif "topology spread" in words_:
        path, asks = ("topologySpreadConstraints",), "must be spread evenly"
    elif "pod affinity" in words_:
        path, asks = ("affinity", "podAffinity", required), "must stand beside other pods"
    else:
        return None
    for index, term in mappings(spec, *path):
        key = text(term, "topologyKey")
        places = {value for node in nodes if (value := strings(node, "metadata", "labels").get(key))}
        count = mapping(member.top.resource, "spec").get("replicas")
        wanted = f", and {count} pods are wanted" if isinstance(count, int) else ""
        there = f"there {'is' if len(places) == 1 else 'are'} {len(places)} such place{'s' if len(places) != 1 else ''}"
        return _Verdict(
            "schedule.other", f"Its pods {asks} by {key}; {there}{wanted}.", (*base, *path, index)
        )
    return None


def _claimed(inventory: Inventory, member: Member, cause: str) -> _Verdict:
    """The pod's volumes stand in its way: what ails its claims, or the nodes that have its volumes."""
    because: list[Key | Ref] = []
    for claim in _claims(member):
        because += [("claim.missing", claim, ""), claim]
        volume = volume_of(inventory, claim)
        for host in sorted(hosts(volume) or ()) if volume is not None else ():
            node = Ref("", "Node", "", host)
            because += [("node.unready", node, ""), ("node.cordoned", node, "")]
    return _Verdict("schedule.claim", cause, (*member.top.spec_path, "volumes"), because=tuple(because))


def _homeless(inventory: Inventory, member: Member) -> str:
    """Say where the pod's volumes can be used, if they are bound to places."""
    for claim in _claims(member):
        volume = volume_of(inventory, claim)
        if volume is not None and (where := home(volume)):
            return f"Its volume {Ref.of(volume).name} can only be used on nodes with {where}."
    return ""


def _away(inventory: Inventory, member: Member, resource: str, reasons: Sequence[str]) -> list[Key]:
    """The nodes that would have room, but are not ready, or take no new pods."""
    if not any("{node.kubernetes.io/" in reason or "unschedulable" in reason for reason in reasons):
        return []
    found: list[Key] = []
    asked = _asked(member.pod, resource)
    for node in inventory.of_kind("", "Node"):
        ref = Ref.of(node)
        cordoned = mapping(node, "spec").get("unschedulable") is True
        if ready(node) and not cordoned:
            continue
        size = quantity(mapping(node, "status", "allocatable").get(resource)) or Fraction(0)
        if size - inventory.kept(_staying, ref.name, resource) >= asked:
            found += [("node.unready", ref, "")] if not ready(node) else []
            found += [("node.cordoned", ref, "")] if cordoned else []
    return found


def _staying(inventory: Inventory, node: str, resource: str) -> Fraction:
    """Return what the pods of a node that nobody deletes have reserved of a resource."""
    pods = (
        pod for pod in inventory.at("node", node) if not mapping(pod, "metadata").get("deletionTimestamp")
    )
    return sum(
        (
            _asked(pod, resource)
            for pod in pods
            if text(pod, "status", "phase") not in {"Succeeded", "Failed"}
        ),
        Fraction(0),
    )


def _no_node() -> _Verdict:
    cause = "There is no node at all."
    shared = Fact(
        rule="schedule.nodes",
        subject=Ref("", "Node", "", "(none)"),
        message="there is no node that could run pods",
        cause="No node has registered with the cluster.",
    )
    return _Verdict("schedule.nodes", cause, shared=shared, alone=True)


def _taint(inventory: Inventory, member: Member, nodes: Sequence[Resource], taint: str) -> _Verdict:
    key = taint.strip("{} ").partition(":")[0].strip()
    bearers = [
        Ref.of(node)
        for node in nodes
        if any(one.get("key") == key for _, one in mappings(node, "spec", "taints"))
    ]
    by_kubernetes = key.startswith("node.kubernetes.io/")
    names = {one.name for one in bearers}
    came_later = bool(names) and any(
        one.node in names and not _tolerates(one, key) for one in inventory.crew(member.top.ref)
    )
    shared = None
    if bearers and not by_kubernetes:
        several = (
            "several workloads do" if not came_later else f"{member.top.ref.kind} {member.top.ref.name} does"
        )
        shared = Fact(
            rule="node.tainted",
            subject=bearers[0],
            detail=key,
            message=f"has the taint {taint}, which {several} not tolerate",
            cause="It was put there while pods that do not tolerate it were running." if came_later else "",
            fixes=_untainted(nodes, bearers, key),
            confidence="likely",
        )
    return _Verdict(
        "schedule.taint",
        f"The nodes have a taint {taint} that the pods do not tolerate.",
        (*member.top.spec_path, "tolerations"),
        because=tuple(Ref.of(node) for node in nodes) if by_kubernetes else (),
        shared=shared,
        alone=came_later,
    )


def _tolerates(member: Member, key: str) -> bool:
    return any(one.get("key") in {None, "", key} for _, one in mappings(member.pod, "spec", "tolerations"))


def _untainted(nodes: Sequence[Resource], bearers: Sequence[Ref], key: str) -> tuple[Fix, ...]:
    """Take the taint off the node, if just one bears it."""
    node = next((one for one in nodes if Ref.of(one) == bearers[0]), None)
    if node is None or len(bearers) != 1:
        return ()
    title = f"take the taint {key} off"
    left = [one for _, one in mappings(node, "spec", "taints") if one.get("key") != key]
    change = patch(node, [Edit(("spec", "taints"), left or None)], title)
    return (Fix(title=title, changes=(change,), risk="Somebody may have put it there on purpose."),)


def _claims(member: Member) -> list[Ref]:
    return [
        Ref("", "PersistentVolumeClaim", member.ref.namespace, name)
        for _, volume in mappings(member.pod, "spec", "volumes")
        if (name := text(volume, "persistentVolumeClaim", "claimName"))
    ]


def _selector(inventory: Inventory, member: Member, nodes: Sequence[Resource]) -> _Verdict:
    spec = member.top.spec_path
    for key, value in strings(member.pod, "spec", "nodeSelector").items():
        path = (*spec, "nodeSelector", key)
        values = {labels[key] for node in nodes if key in (labels := strings(node, "metadata", "labels"))}
        if value in values:
            continue
        if values:
            has = ", ".join(sorted(values)[:5])
            right = nearest(value, values) or (next(iter(values)) if len(values) == 1 else None)
            fix = None
            if right is not None:
                fix = edit_template(
                    inventory, member.top, [Edit(path, right)], f"select nodes with {key}={right}"
                )
            cause = f"It asks for nodes labelled {key}={value}; they have {key}={has}."
            return _Verdict("schedule.selector", cause, path, fix)
        keys = {one for node in nodes for one in strings(node, "metadata", "labels")}
        near = nearest(key, keys)
        hint = f" ({near} is there)" if near else ""
        cause = f"It asks for nodes labelled {key}={value}; no node has the label {key}{hint}."
        return _Verdict("schedule.selector", cause, path)
    return _Verdict("schedule.selector", "Its node affinity matches no node.", (*spec, "affinity"))


def _resources(inventory: Inventory, member: Member, resource: str) -> _Verdict:
    """Return why a resource does not suffice, and a fix where a container's own request is what is too much."""
    asked = _asked(member.pod, resource)
    sizes, free = inventory.kept(_room, resource)
    biggest = max(sizes.values(), default=Fraction(0))
    greedy = max(
        ((_request(one, resource), one) for one in member.top.containers()),
        key=lambda pair: pair[0],
        default=None,
    )
    path: Path = (*member.top.spec_path, "containers")
    if greedy is not None and greedy[0]:
        path = (*greedy[1].path, "resources", "requests", resource)
    if biggest == 0:
        return _Verdict("schedule.resources", f"No node has any {resource}.", path)
    freest = max(free, key=lambda ref: free[ref])
    cause = (
        f"It asks for {shown(asked, resource)} of {resource}; "
        f"the largest node has {shown(biggest, resource)}, of which {shown(free[freest], resource)} is free."
    )
    if asked <= biggest:
        shared = Fact(
            rule="node.full",
            subject=freest,
            detail=resource,
            message=f"has {shown(free[freest], resource)} of {shown(sizes[freest], resource)} {resource} left, too little for several workloads",
        )
        return _Verdict("schedule.resources", cause, path, shared=shared)
    fix = None
    if greedy is not None and greedy[0] == asked and resource in {"cpu", "memory"}:
        crew = max(1, len(inventory.crew(member.top.ref)))
        fitting = _round(free[freest] / (2 * crew), resource)
        if fitting is not None:
            fix = edit_template(
                inventory, member.top, [Edit(path, fitting)], f"request {fitting} of {resource}"
            )
    return _Verdict("schedule.resources", cause, path, fix)


def _request(container: Container, resource: str) -> Fraction:
    resources = mapping(container.content, "resources")
    said = mapping(resources, "requests").get(resource, mapping(resources, "limits").get(resource))
    return quantity(said) or Fraction(0)


def _room(inventory: Inventory, resource: str) -> tuple[Mapping[Ref, Fraction], Mapping[Ref, Fraction]]:
    """Return how much of a resource each node has for pods, and how much of it is not reserved yet."""
    sizes = {
        Ref.of(node): quantity(mapping(node, "status", "allocatable").get(resource)) or Fraction(0)
        for node in inventory.of_kind("", "Node")
    }
    free = {
        ref: max(size - inventory.kept(_reserved, ref.name, resource), Fraction(0))
        for ref, size in sizes.items()
    }
    return sizes, free


def _reserved(inventory: Inventory, node: str, resource: str) -> Fraction:
    """Return what the pods of a node have reserved of a resource."""
    return sum(
        (
            _asked(pod, resource)
            for pod in inventory.at("node", node)
            if text(pod, "status", "phase") not in {"Succeeded", "Failed"}
        ),
        Fraction(0),
    )


def _asked(pod: Mapping[str, object], resource: str) -> Fraction:
    """Return what the scheduler counts for a pod: the sum of its containers, or its largest init container."""
    if resource == "pods":
        return Fraction(1)
    total, largest = Fraction(0), Fraction(0)
    for field in ("containers", "initContainers"):
        for _, container in mappings(pod, "spec", field):
            amount = quantity(mapping(container, "resources", "requests").get(resource)) or Fraction(0)
            if field == "containers" or container.get("restartPolicy") == "Always":
                total += amount
            else:
                largest = max(largest, amount)
    return max(total, largest) + (quantity(mapping(pod, "spec", "overhead").get(resource)) or Fraction(0))


def _round(amount: Fraction, resource: str) -> str | None:
    """Return a plain quantity not above the amount (and not above what one small container takes), None if none is left."""
    if resource == "memory":
        size = next((one for one in (256, 128, 64, 32) if one * _BINARY["Mi"] <= amount), None)
        return f"{size}Mi" if size else None
    size = next((one for one in (200, 100, 50, 20, 10) if Fraction(one, 1000) <= amount), None)
    return f"{size}m" if size else None


def shown(amount: Fraction, resource: str) -> str:
    """Write a quantity as people do: `1.5Gi`, `250m`."""
    if resource in {"memory", "ephemeral-storage"} or resource.startswith("hugepages-"):
        for unit, size in _BINARY.items():
            if amount >= size:
                count = amount / size
                return f"{int(count)}{unit}" if count.denominator == 1 else f"{float(count):.1f}{unit}"
        return str(int(amount))
    return str(int(amount)) if amount.denominator == 1 else f"{int(amount * 1000)}m"


UNITS: Mapping[tuple[str, str], Callable[[Inventory, Resource], Iterator[Fact]]] = {("", "Pod"): _pod}
