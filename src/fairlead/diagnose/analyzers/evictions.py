"""Pods that are going or gone: stuck in deletion, on nodes that are lost, evicted for what they used.

A pod that is being deleted is no member of its workload any more, so it is looked at here. One that is within its grace period, or a minute past it, is
no trouble. That pods were evicted at all is told where pods start; here is told which of them brought it on themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

from fairlead.diagnose.analyzers.scheduling import quantity
from fairlead.diagnose.causes import Fact, Key
from fairlead.diagnose.inventories import ANY_KIND, Inventory
from fairlead.diagnose.proposing import unfinished
from fairlead.diagnose.states import leaving, recovered, said
from fairlead.tongues.paths import mapping, mappings, text, words
from fairlead.words import Evidence, Ref, Resource, Severity

_GRACE = timedelta(minutes=1)
_STUCK = timedelta(minutes=1)
_LONG = timedelta(minutes=10)
"""What something outside of the cluster may take to be deleted."""
_SLOW = frozenset(
    {"service.kubernetes.io/load-balancer-cleanup", "external-provisioner.volume.kubernetes.io/finalizer"}
)
_GREEDY = re.compile(
    r"[Cc]ontainer (\S+) was using ([0-9.]+\w*), (?:request is ([0-9.]+\w*), has larger consumption|which exceeds its request of ([0-9.]+\w*))"
)
_LOW = re.compile(r"low on resource: ([\w./-]+?)\.")
_OWN_LIMIT = re.compile(
    r"(exceeds the total limit of containers|exceeds its local ephemeral storage limit|[Uu]sage of EmptyDir volume)"
)
_ENDS = {
    "NodeAffinity": "was refused by its node, whose labels have changed",
    "UnexpectedAdmissionError": "was refused by its node",
    "TopologyAffinityError": "was refused by its node",
    "NodeShutdown": "was ended because its node shut down",
    "Shutdown": "was ended because its node shut down",
    "Terminated": "was ended because its node shut down",
    "NodeLost": "was lost with its node",
    "Preempting": "was ended to make room for one that is more important",
    "Preempted": "was ended to make room for one that is more important",
    "DeadlineExceeded": "was ended because its time was over",
}
"""By the reason of a pod that failed without any of its containers having failed: what became of it."""
_PROTECTING = frozenset({"kubernetes.io/pvc-protection", "kubernetes.io/pv-protection"})
_ORDINARY = frozenset({"foregroundDeletion", "orphan", "batch.kubernetes.io/job-tracking", "kubernetes"})
_ELSEWHERE = frozenset({"Namespace", "Pod", "Node", "Event", "CustomResourceDefinition"})
_PROBLEMS = frozenset(
    {"KernelDeadlock", "ReadonlyFilesystem", "CorruptDockerOverlay2", "FrequentKubeletRestart", "FrequentDockerRestart",
     "FrequentContainerdRestart", "FrequentUnregisterNetDevice", "KubeletUnhealthy", "ContainerRuntimeUnhealthy",
     "XfsShutdown", "DiskBadBlock", "OutOfDisk"}
)  # fmt: skip
"""Conditions that node problem detectors set to True when something is wrong."""


def pod(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A pod that should have been gone, or that went for what it used."""
    if not inventory.live:
        return
    due = leaving(resource)
    if due is not None:
        if inventory.past(due, _GRACE):
            yield from _stuck(inventory, resource, inventory.ago(due))
    elif text(resource, "status", "reason") == "Evicted":
        yield from _greedy(inventory, resource)
    elif text(resource, "status", "phase") == "Failed":
        yield from _ended(inventory, resource)


def _stuck(inventory: Inventory, resource: Resource, over: str) -> Iterator[Fact]:
    """A pod whose deletion does not come to its end."""
    ref = Ref.of(resource)
    name = text(resource, "spec", "nodeName")
    node = Ref("", "Node", "", name)
    finalizers = words(resource, "metadata", "finalizers")
    evidence = [inventory.field(ref, ("metadata", "deletionTimestamp"), f"should have been gone {over} ago")]
    because: list[Key | Ref] = []
    if finalizers:
        evidence.append(inventory.field(ref, ("metadata", "finalizers"), ", ".join(finalizers)))
    if name:
        because = [("node.unready", node, ""), ("node.gone", node, "")]
    gone = bool(name) and inventory.missing(node) and bool(inventory.of_kind("", "Node"))
    notes = inventory.events(ref, "FailedKillPod", "FailedPreStopHook", "ExceededGracePeriod")
    evidence += [inventory.noted(ref, note) for note in notes[-1:]]
    if gone:
        yield Fact(
            rule="node.gone",
            subject=node,
            message="does not exist any more, and pods are still bound to it",
            cause="Nothing can confirm that they have ended.",
            evidence=(inventory.field(ref, ("spec", "nodeName"), f"{ref} is bound to node {name}"),),
        )
    if finalizers:
        cause = f"It waits for finalizers that no controller has taken away: {', '.join(finalizers)}."
    elif notes:
        cause = inventory.quote(notes[-1].message, ref)
    else:
        cause = "Its node has not confirmed that its containers have ended." if name else ""
    yield Fact(
        rule="pod.terminating",
        subject=ref,
        severity=Severity.WARNING,
        message=f"is being deleted and should have been gone {over} ago",
        cause=cause,
        evidence=tuple(evidence),
        where=inventory.where(ref, ("metadata", "finalizers")) if finalizers else inventory.where(ref, ()),
        because=(*because, ("namespace.terminating", Ref("", "Namespace", "", ref.namespace), "")),
        confidence="certain" if finalizers else "likely",
    )


def _ended(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A pod that failed as a whole: its node refused it or went down, something preempted it, or its time was over."""
    ref, reason = Ref.of(resource), text(resource, "status", "reason")
    said_why = _ENDS.get(reason) or ("was refused by its node" if reason.startswith("OutOf") else "")
    if not said_why:
        return
    top = Ref.of(inventory.top(resource))
    node = Ref("", "Node", "", text(resource, "spec", "nodeName"))
    message = inventory.quote(text(resource, "status", "message"), ref)
    yield Fact(
        rule="pod.ended",
        subject=top,
        detail=reason,
        severity=Severity.INFO if recovered(inventory, top) else Severity.WARNING,
        message=f"{'a pod ' if top != ref else ''}{said_why} ({reason})",
        cause=message,
        evidence=(
            Evidence("field", ref, f"{reason}: {message}", inventory.where(ref, ("status", "reason"))),
        ),
        because=(("node.unready", node, ""), ("node.gone", node, ""), ("node.full", node, "")),
    )


def _greedy(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """An eviction that the pod's own use brought about: its limit, or far more than it asked for."""
    ref = Ref.of(resource)
    message = text(resource, "status", "message")
    node = Ref("", "Node", "", text(resource, "spec", "nodeName"))
    greedy = _GREEDY.search(message)
    if greedy is not None and _much(inventory, node, message, greedy):
        asked = greedy.group(3) or greedy.group(4)
        told = f"container {greedy.group(1)} used {greedy.group(2)} where it requests {asked}"
    elif _OWN_LIMIT.search(message):
        greedy = None
        told = "it used more local storage than its limit"
    else:
        return
    top = Ref.of(inventory.top(resource))
    yield Fact(
        rule="pod.greedy",
        subject=top,
        severity=Severity.INFO if recovered(inventory, top) else Severity.WARNING,
        message=f"pods were evicted for what they used: {told}",
        cause=inventory.quote(message, ref),
        evidence=(Evidence("field", ref, f"Evicted: {inventory.quote(message, ref)}"),),
        where=inventory.where(top, _template(inventory, top)),
    )
    for item in _pressures(inventory.get(node) or {}) if greedy is not None else ():
        kind = text(item, "type")
        yield Fact(
            rule="node.pressure",
            subject=node,
            detail=kind,
            severity=Severity.WARNING,
            message=f"reports {kind}",
            because=(("pod.greedy", top, ""),),
        )


def _pressures(node: Resource) -> list[Resource]:
    """Return the conditions of a node that report a shortage."""
    return [
        item
        for _, item in mappings(node, "status", "conditions")
        if text(item, "type").endswith("Pressure") and item.get("status") == "True"
    ]


def _much(inventory: Inventory, node: Ref, message: str, greedy: re.Match[str]) -> bool:
    """Say whether a container used so much that it is why the node ran short: a fifth of it, or twice what it asked for."""
    used, asked = quantity(greedy.group(2)), quantity(greedy.group(3) or greedy.group(4))
    low = _LOW.search(message)
    size = quantity(
        mapping(inventory.get(node) or {}, "status", "allocatable").get(low.group(1) if low else "memory")
    )
    if used is None:
        return False
    if size:
        return used * 5 >= size
    return bool(asked) and used >= 2 * (asked or 0)


def _template(inventory: Inventory, top: Ref) -> tuple[str | int, ...]:
    template = inventory.template_of(inventory.get(top) or {})
    return (*template.spec_path, "containers") if template is not None else ()


def node(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """Conditions of a node beyond readiness and pressure: what problem detectors report."""
    ref = Ref.of(resource)
    for _, item in mappings(resource, "status", "conditions"):
        kind = text(item, "type")
        if kind not in _PROBLEMS or item.get("status") != "True":
            continue
        yield Fact(
            rule="node.problem",
            subject=ref,
            detail=kind,
            severity=Severity.WARNING,
            message=f"reports {kind}",
            cause=inventory.quote(text(item, "message"), ref),
            evidence=(said(inventory, resource, item),),
        )


def leftover(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """Any other object whose deletion waits for a finalizer that nobody takes away."""
    due = leaving(resource) if inventory.live else None
    if due is None:
        return
    ref = Ref.of(resource)
    finalizers = [one for one in words(resource, "metadata", "finalizers") if one not in _ORDINARY]
    own = "." not in ref.group or ref.group.endswith(".k8s.io")
    patience = _STUCK if own and not set(finalizers) & _SLOW else _LONG
    if ref.kind in _ELSEWHERE or not finalizers or not inventory.past(due, patience):
        return
    because: list[Key | Ref] = [("namespace.terminating", Ref("", "Namespace", "", ref.namespace), "")]
    held = [edge.source for edge in inventory.referrers(ref) if edge.relation in {"claim", "volume"}]
    guarded = set(finalizers) <= _PROTECTING
    if guarded:
        because += [("pod.terminating", one, "") for one in held if one.kind == "Pod"]
        because += [("deletion.stuck", one, "") for one in held]
    users = ", ".join(str(one) for one in dict.fromkeys(held))
    yield Fact(
        rule="deletion.stuck",
        subject=ref,
        severity=Severity.INFO if guarded else Severity.WARNING,
        message=f"is being deleted for {inventory.ago(due)}"
        + (", and is still used" if guarded and users else ""),
        cause=f"{users} still uses it."
        if guarded and users
        else f"It waits for finalizers that no controller has taken away: {', '.join(finalizers)}.",
        evidence=(inventory.field(ref, ("metadata", "finalizers"), ", ".join(finalizers)),),
        fixes=() if guarded else unfinished(inventory, [ref]),
        where=inventory.where(ref, ("metadata", "finalizers")),
        because=tuple(because),
    )


UNITS = {("", "Pod"): pod, ("", "Node"): node, ANY_KIND: leftover}
