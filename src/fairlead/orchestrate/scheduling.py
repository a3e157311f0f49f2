"""The scheduler: which node each pending Pod goes to, and why some go nowhere.

Source: k8s.io/kubernetes/pkg/scheduler. It is one task for the whole cluster: one Step places as many pods as it can, highest priority first,
each seeing where the ones before it went, so that no two are promised the same room.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from fairlead.orchestrate import (
    conditions,
    fitting,
    lives,
    moments,
    owning,
    placements,
    preempting,
    preferences,
    proposing,
    volumes,
)
from fairlead.orchestrate.placements import Board, Objection
from fairlead.orchestrate.steps import Controller, Step
from fairlead.words import Change, Ref, Resource, View

NAME = "default-scheduler"
KEY = Ref("", "", "", "scheduler")
BATCH = 200
"""The most pods that one Step binds, so that a flood of them does not hold up everybody else."""
REPEAT = timedelta(minutes=5)
"""How often the news that a Pod still fits nowhere is told again."""


def priority(pod: Resource) -> int:
    """Return the Pod's priority, 0 where it has none."""
    return int((pod.get("spec") or {}).get("priority") or 0)


def _waits(pod: Resource) -> bool:
    """Whether the Pod is on no node yet and is this scheduler's to place."""
    spec = pod.get("spec") or {}
    return not spec.get("nodeName") and (spec.get("schedulerName") or NAME) == NAME


def _pending(view: View) -> list[Resource]:
    waiting = [pod for pod in view.list("", "Pod") if _waits(pod) and lives.is_active(pod)]
    return sorted(waiting, key=lambda pod: (-priority(pod), lives.created(pod), pod["metadata"]["name"]))


def _reconcile(view: View, ref: Ref, now: datetime) -> Step:
    del ref
    waiting = _pending(view)
    if not waiting:
        return Step()
    board = Board.of(view)
    changes: list[Change] = []
    bound = 0
    left = False
    for pod in waiting:
        if (pod.get("spec") or {}).get("schedulingGates"):
            text = "Scheduling is blocked due to non-empty scheduling gates"
            changes += _note(pod, "SchedulingGated", text, now)
            continue
        if bound == BATCH:
            return Step(tuple(changes), timedelta(0))
        found = _place(pod, board, now)
        changes += found
        if any(change.subresource == "binding" for change in found):
            bound += 1
        else:
            left = True
    return Step(tuple(changes), REPEAT if left else None)


def _place(pod: Resource, board: Board, now: datetime) -> list[Change]:
    text = placements.blocked(pod, board.view)
    total = len(board.seats)
    if total == 0:
        return _fail(pod, "no nodes available to schedule pods", board, now)
    if text:
        return _fail(pod, f"0/{total} nodes are available: {text}.{_hopeless(total)}", board, now)
    named = fitting.named_nodes(pod)
    against: dict[str, list[Objection]] = {}
    for seat in board.seats.values():
        if named is not None and seat.name not in named:
            against[seat.name] = [Objection("node(s) didn't satisfy plugin(s) [NodeAffinity]", final=True)]
        else:
            against[seat.name] = placements.objections(pod, seat, board)
    free = [board.seats[name] for name, found in against.items() if not found]
    if free:
        nominated = (pod.get("status") or {}).get("nominatedNodeName")
        seat = next((seat for seat in free if seat.name == nominated), None) or preferences.best(
            pod, free, board
        )
        seat.add(pod)
        waiting = placements.waiting_claims(pod, board.view)
        return _choose(waiting, seat.name) if waiting else _bind(pod, seat.name, now)
    reasons = Counter(objection.text for found in against.values() for objection in found)
    message = placements.histogram(total, reasons)
    attempt = preempting.attempt(pod, board, against, now)
    return [*_fail(pod, message + attempt.message, board, now, nominate=attempt.node), *attempt.changes]


def _choose(claims: Iterable[Resource], node: str) -> list[Change]:
    """Tell the claims which node their volumes are wanted on; the Pod follows when they are bound."""
    document = {"metadata": {"annotations": {volumes.SELECTED_NODE: node}}}
    return [
        proposing.patch(claim, document, f"its pod goes to node {node}")
        for claim in claims
        if (claim["metadata"].get("annotations") or {}).get(volumes.SELECTED_NODE) != node
    ]


def _hopeless(total: int) -> str:
    return " preemption: " + placements.histogram(total, {placements.HELPLESS: total})


def _bind(pod: Resource, node: str, now: datetime) -> list[Change]:
    meta = pod["metadata"]
    namespace = meta.get("namespace", "")
    body = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": meta["name"], "namespace": namespace, "uid": meta.get("uid", "")},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    }
    change = Change(
        verb="create",
        ref=Ref.of(pod),
        api_version="v1",
        body=body,
        subresource="binding",
        why=f"node {node} suits it best",
        if_uid=meta.get("uid", ""),
    )
    text = f"Successfully assigned {namespace}/{meta['name']} to {node}"
    return [change, proposing.event(pod, "Normal", "Scheduled", text, now, NAME)]


def _note(pod: Resource, reason: str, message: str, now: datetime, nominate: str = "") -> list[Change]:
    """Return the change of status that says that the Pod is not scheduled, if it does not say so already."""
    status = dict(pod.get("status") or {})
    new = {**conditions.make("PodScheduled", "False", reason, message, now), "lastProbeTime": None}
    status["conditions"] = conditions.put(status.get("conditions") or [], new)
    status.setdefault("phase", "Pending")
    status.pop("nominatedNodeName", None)
    if nominate:
        status["nominatedNodeName"] = nominate
    return list(proposing.status(pod, status, reason))


def _fail(pod: Resource, message: str, board: Board, now: datetime, nominate: str = "") -> list[Change]:
    nominated = nominate or _still_nominated(pod, board)
    noted = _note(pod, "Unschedulable", message, now, nominated)
    told = proposing.event(pod, "Warning", "FailedScheduling", message, now, NAME)
    if not noted and not _is_due(told, board.view, now):
        return []
    return [*noted, told]


def _still_nominated(pod: Resource, board: Board) -> str:
    """Return the node that was cleared for the Pod, while its victims are still ending there."""
    node = (pod.get("status") or {}).get("nominatedNodeName") or ""
    seat = board.seats.get(node)
    if seat is None or not any(owning.is_deleted(other) for other in seat.pods.values()):
        return ""
    return node


def _is_due(told: Change, view: View, now: datetime) -> bool:
    before = view.get("", "Event", told.ref.namespace, told.ref.name)
    return before is None or moments.parse(before.get("lastTimestamp") or "") + REPEAT <= now


def _always(view: View, resource: Resource) -> Iterable[Ref]:
    del view, resource
    return [KEY]


def _of_pod(view: View, pod: Resource) -> Iterable[Ref]:
    """A Pod matters while it waits, and again when it gives its room back."""
    del view
    status: dict[str, Any] = pod.get("status") or {}
    waits = _waits(pod) and not status.get("nominatedNodeName")
    return [KEY] if waits or not lives.is_active(pod) or status.get("nominatedNodeName") else []


SCHEDULER = Controller(
    name="scheduler",
    kind=("", ""),
    reconcile=_reconcile,
    watches={
        ("", "Pod"): _of_pod,
        ("", "Node"): _always,
        ("", "PersistentVolumeClaim"): _always,
        ("", "PersistentVolume"): _always,
        ("storage.k8s.io", "StorageClass"): _always,
    },
)
