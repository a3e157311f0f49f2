"""The life of nodes: silent ones become Unknown and tainted, their pods unready and in time evicted.

Source: k8s.io/kubernetes/pkg/controller/nodelifecycle, pkg/controller/tainteviction, pkg/controller/podgc. A node is
silent when neither its Lease nor its status has been renewed for the grace period.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from fairlead.orchestrate import conditions, fitting, lives, moments, owning, proposing
from fairlead.orchestrate.steps import Controller, Step
from fairlead.words import Change, Ref, Resource, View

KIND = ("", "Node")
LEASE = ("coordination.k8s.io", "Lease")
LEASES = "kube-node-lease"
GRACE = timedelta(seconds=40)
QUARANTINE = timedelta(seconds=40)
"""How long a pod of a node that does not exist is left alone."""
COMPONENT = "node-controller"
NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
PRESSURES = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
OURS = frozenset({NOT_READY, UNREACHABLE, UNSCHEDULABLE, *PRESSURES.values()})


def _last_heard(view: View, node: Resource) -> datetime:
    lease = view.get(*LEASE, LEASES, node["metadata"]["name"])
    renewed = ((lease or {}).get("spec") or {}).get("renewTime")
    ready = conditions.find(node, "Ready") or {}
    heard = [lives.created(node), moments.parse(ready.get("lastHeartbeatTime") or "")]
    return max([*heard, moments.parse(renewed)] if renewed else heard)


def _reconcile(view: View, ref: Ref, now: datetime) -> Step:
    node = view.get(*KIND, "", ref.name)
    if node is None:
        return Step()
    changes: list[Change] = []
    silent = now - _last_heard(view, node)
    status = node.get("status") or {}
    found = list(status.get("conditions") or ())
    if silent > GRACE:
        found = _unknown(found, now)
    was, is_now = _ready(status.get("conditions") or []), _ready(found)
    if found != (status.get("conditions") or []):
        changes += proposing.status(node, {**status, "conditions": found}, "the node has not been heard of")
    if was == "True" and is_now != "True":
        text = f"Node {ref.name} status is now: NodeNotReady"
        changes.append(proposing.event(node, "Normal", "NodeNotReady", text, now, COMPONENT))
    if is_now not in {"True", ""}:
        changes += _unready_pods(view, node, now)
    again = GRACE - silent + timedelta(seconds=1) if silent <= GRACE else None
    return Step(tuple(changes), again)


def _mark(view: View, ref: Ref, now: datetime) -> Step:
    """Keep the taints that a node's conditions and its cordon ask for."""
    node = view.get(*KIND, "", ref.name)
    if node is None:
        return Step()
    wanted = _taints(node, (node.get("status") or {}).get("conditions") or [], now)
    if wanted == list(fitting.taints(node)):
        return Step()
    return Step(
        (proposing.patch(node, {"spec": {"taints": wanted}}, "the node's conditions changed", exact=True),)
    )


def _ready(found: list[conditions.Condition]) -> str:
    """Return True, False or Unknown; "" for a node that has not said anything yet."""
    condition = conditions.pick(found, "Ready")
    return str(condition.get("status")) if condition else ""


def _unknown(found: list[conditions.Condition], now: datetime) -> list[conditions.Condition]:
    for kind in ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure"):
        old = conditions.pick(found, kind)
        if old is None:
            text = ("NodeStatusNeverUpdated", "Kubelet never posted node status.")
            made = conditions.make(kind, "Unknown", *text, now)
            found = [*found, {"lastHeartbeatTime": made["lastTransitionTime"], **made}]
        elif old.get("status") != "Unknown":
            text = ("NodeStatusUnknown", "Kubelet stopped posting node status.")
            heard = {"lastHeartbeatTime": old["lastHeartbeatTime"]} if "lastHeartbeatTime" in old else {}
            found = conditions.put(found, {**conditions.make(kind, "Unknown", *text, now), **heard})
    return found


def _taints(node: Resource, found: list[conditions.Condition], now: datetime) -> list[dict[str, Any]]:
    """Return the node's taints with ours as its conditions ask for; those that stay keep their time."""
    wanted: list[tuple[str, str]] = []
    for kind, key in PRESSURES.items():
        if (conditions.pick(found, kind) or {}).get("status") == "True":
            wanted.append((key, "NoSchedule"))
    if (node.get("spec") or {}).get("unschedulable"):
        wanted.append((UNSCHEDULABLE, "NoSchedule"))
    ready = _ready(found)
    if ready not in {"True", ""}:
        key = UNREACHABLE if ready == "Unknown" else NOT_READY
        wanted += [(key, "NoSchedule"), (key, "NoExecute")]
    old = [dict(taint) for taint in fitting.taints(node)]
    kept = [
        taint
        for taint in old
        if taint.get("key") not in OURS or (taint["key"], str(taint.get("effect"))) in wanted
    ]
    have = {(taint.get("key"), taint.get("effect")) for taint in kept}
    for key, effect in wanted:
        if (key, effect) not in have:
            kept.append({"key": key, "effect": effect, "timeAdded": moments.stamp(now)})
    return kept


def _unready_pods(view: View, node: Resource, now: datetime) -> Iterable[Change]:
    for pod in view.list("", "Pod"):
        if lives.node_of(pod) != node["metadata"]["name"] or not lives.is_ready(pod):
            continue
        status = pod["status"]
        old = conditions.find(pod, "Ready") or {}
        made = {**old, "status": "False", "lastTransitionTime": moments.stamp(now)}
        new = [made if entry.get("type") == "Ready" else entry for entry in status["conditions"]]
        yield from proposing.status(pod, {**status, "conditions": new}, "its node is not ready")
        yield proposing.event(pod, "Warning", "NodeNotReady", "Node is not ready", now, COMPONENT)


def _node_of_lease(view: View, lease: Resource) -> Iterable[Ref]:
    """A silent node's lease that is renewed matters at once; that of a ready node only when it stops."""
    meta = lease["metadata"]
    node = view.get(*KIND, "", meta["name"]) if meta.get("namespace") == LEASES else None
    return [Ref.of(node)] if node is not None and not conditions.is_true(node, "Ready") else []


# Eviction


def _evict(view: View, ref: Ref, now: datetime) -> Step:
    pod = view.get("", "Pod", ref.namespace, ref.name)
    if pod is None:
        return Step()
    if not lives.node_of(pod):
        return _collect_unscheduled(pod) if owning.is_deleted(pod) else Step()
    node = view.get(*KIND, "", lives.node_of(pod))
    if node is None:
        return _collect(pod, now)
    if owning.is_deleted(pod):
        return Step()
    wait = _stay(pod, node, now)
    if wait is None:
        return Step()
    if wait > timedelta(0):
        return Step(again=wait)
    text = f"Marking for deletion Pod {ref.namespace}/{ref.name}"
    marked = _disrupted(pod, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint", now)
    return Step(
        (
            *marked,
            proposing.delete(pod, "its node has a taint that it does not tolerate"),
            proposing.event(pod, "Normal", "TaintManagerEviction", text, now, "taint-eviction-controller"),
        )
    )


def _stay(pod: Resource, node: Resource, now: datetime) -> timedelta | None:
    """Return how long the Pod may stay on the node; None for as long as it likes."""
    waits: list[timedelta | None] = []
    for taint in fitting.taints(node):
        if taint.get("effect") != "NoExecute":
            continue
        covers = [entry for entry in fitting.tolerations(pod) if fitting.tolerates(entry, taint)]
        if not covers:
            return timedelta(0)
        waits.append(_tolerated(covers, taint, now))
    return moments.soonest(waits)


def _tolerated(
    covers: Iterable[Mapping[str, Any]], taint: Mapping[str, Any], now: datetime
) -> timedelta | None:
    seconds = [
        int(entry["tolerationSeconds"]) for entry in covers if entry.get("tolerationSeconds") is not None
    ]
    if not seconds:
        return None
    added = moments.parse(taint["timeAdded"]) if taint.get("timeAdded") else now
    return max(added + timedelta(seconds=max(min(seconds), 0)) - now, timedelta(0))


def _disrupted(
    pod: Resource, reason: str, message: str, now: datetime, phase: str = ""
) -> tuple[Change, ...]:
    status = dict(pod.get("status") or {})
    made = conditions.make("DisruptionTarget", "True", reason, message, now)
    status["conditions"] = conditions.put(status.get("conditions") or [], made)
    if phase:
        status["phase"] = phase
    return proposing.status(pod, status, message)


def _collect(pod: Resource, now: datetime) -> Step:
    """End the pod of a node that is not there: nobody else will."""
    wait = lives.created(pod) + QUARANTINE - now
    if wait > timedelta(0):
        return Step(again=wait)
    phase = "" if lives.is_finished(pod) else "Failed"
    marked = _disrupted(pod, "DeletionByPodGC", "PodGC: node no longer exists", now, phase)
    return Step((*marked, proposing.delete(pod, "its node no longer exists", {"gracePeriodSeconds": 0})))


def _collect_unscheduled(pod: Resource) -> Step:
    """End a deleted pod that never reached a node: no kubelet will."""
    status = dict(pod.get("status") or {})
    moved = (
        ()
        if lives.is_finished(pod)
        else proposing.status(pod, {**status, "phase": "Failed"}, "deleted unscheduled")
    )
    if pod["metadata"].get("finalizers"):
        return Step(moved)
    return Step((*moved, proposing.delete(pod, "deleted before it was scheduled", {"gracePeriodSeconds": 0})))


def _pods_on(view: View, node: Resource) -> Iterable[Ref]:
    name = node["metadata"]["name"]
    evicts = any(taint.get("effect") == "NoExecute" for taint in fitting.taints(node))
    if not evicts and view.get(*KIND, "", name) is not None:
        return []
    return [Ref.of(pod) for pod in view.list("", "Pod") if lives.node_of(pod) == name]


NODES = Controller(
    name="node",
    kind=KIND,
    reconcile=_reconcile,
    watches={LEASE: _node_of_lease},
    patience=GRACE,
)
TAINTS = Controller(name="nodetaint", kind=KIND, reconcile=_mark)
EVICTIONS = Controller(
    name="eviction", kind=("", "Pod"), reconcile=_evict, watches={KIND: _pods_on}, patience=GRACE
)
