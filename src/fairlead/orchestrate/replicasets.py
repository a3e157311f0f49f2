"""ReplicaSets and ReplicationControllers: as many active pods as are asked for.

Source: k8s.io/kubernetes/pkg/controller/replicaset. Changes are computed from what is there alone; whoever carries
them out asks again only when they can be seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fairlead.orchestrate import conditions, lives, moments, owning, proposing
from fairlead.orchestrate.steps import Controller, Kind, Refused, Step
from fairlead.tongues import selectors
from fairlead.words import Change, Ref, Resource, View

BURST = 500
"""The most pods that one step creates or deletes."""


@dataclass(frozen=True, slots=True)
class Flavour:
    """What tells the two kinds apart."""

    kind: Kind
    component: str


REPLICA_SET = Flavour(("apps", "ReplicaSet"), "replicaset-controller")
REPLICATION_CONTROLLER = Flavour(("", "ReplicationController"), "replication-controller")


def _selector(flavour: Flavour, owner: Resource) -> selectors.Expr:
    selector = (owner.get("spec") or {}).get("selector")
    if flavour is REPLICATION_CONTROLLER:
        selector = {"matchLabels": selector} if selector else None
    return selectors.from_object(selector)


def desired(resource: Resource) -> int:
    """Return spec.replicas, 1 where it is not set."""
    replicas = (resource.get("spec") or {}).get("replicas")
    return 1 if replicas is None else int(replicas)


def _reconcile(flavour: Flavour, view: View, ref: Ref, now: datetime) -> Step:
    owner = view.get(*flavour.kind, ref.namespace, ref.name)
    if owner is None:
        return Step()
    claim = owning.claim(view, owner, _selector(flavour, owner), ("", "Pod"))
    active = [pod for pod in claim.mine if lives.is_active(pod)]
    changes = list(claim.changes)
    missing = desired(owner) - len(active)
    if not owning.is_deleted(owner):
        changes += _scale(flavour, view, owner, active, missing, now)
    kept = (owner.get("status") or {}).get("conditions") or []
    if missing == 0:
        kept = conditions.drop(kept, "ReplicaFailure")
    changes += proposing.status(owner, _status(owner, active, kept, now))
    return Step(tuple(changes), _until_available(owner, active, now))


def _until_available(owner: Resource, active: Sequence[Resource], now: datetime) -> Any:
    seconds = _min_ready(owner)
    waits = [lives.available_in(pod, seconds, now) for pod in active]
    return moments.soonest(wait for wait in waits if wait)


def _min_ready(owner: Resource) -> int:
    return int((owner.get("spec") or {}).get("minReadySeconds") or 0)


def _scale(
    flavour: Flavour, view: View, owner: Resource, active: Sequence[Resource], missing: int, now: datetime
) -> list[Change]:
    changes: list[Change] = []
    if missing > 0:
        meta = owner["metadata"]
        stem = f"{meta['name']}-"
        taken = [pod["metadata"]["name"] for pod in view.list("", "Pod", meta.get("namespace", ""))]
        template = owner["spec"].get("template") or {}
        for name in owning.fresh_names(stem, min(missing, BURST), taken, meta.get("uid"), now.isoformat()):
            pod = owning.pod_from(template, owner, name, stem)
            changes.append(proposing.create(pod, f"{owner['kind']} {meta['name']} lacks a replica"))
            changes.append(_tell(flavour, owner, "Normal", "SuccessfulCreate", f"Created pod: {name}", now))
    elif missing < 0:
        key = lives.least_wanted(now, _neighbours(view, owner, active))
        for pod in sorted(active, key=key)[: min(-missing, BURST)]:
            name = pod["metadata"]["name"]
            changes.append(
                proposing.delete(pod, f"{owner['kind']} {owner['metadata']['name']} has a replica too many")
            )
            changes.append(_tell(flavour, owner, "Normal", "SuccessfulDelete", f"Deleted pod: {name}", now))
    return changes


def _neighbours(view: View, owner: Resource, active: Sequence[Resource]) -> Counter[str]:
    """Count the active pods on each node that have this owner's controller, or this owner itself, above them."""
    boss = owning.controller_of(owner)
    if boss is None:
        return Counter(lives.node_of(pod) for pod in active)
    counts: Counter[str] = Counter()
    for sibling in view.owned(boss["uid"]):
        if sibling["kind"] != owner["kind"]:
            continue
        for pod in view.owned(sibling["metadata"].get("uid", "")):
            if pod["kind"] == "Pod" and lives.is_active(pod):
                counts[lives.node_of(pod)] += 1
    return counts


def _status(
    owner: Resource, active: Sequence[Resource], kept: Sequence[conditions.Condition], now: datetime
) -> dict[str, Any]:
    meta = owner["metadata"]
    template = ((owner["spec"].get("template") or {}).get("metadata") or {}).get("labels") or {}
    seconds = _min_ready(owner)
    status: dict[str, Any] = {
        "replicas": len(active),
        "fullyLabeledReplicas": sum(template.items() <= owning.labels(pod).items() for pod in active),
        "readyReplicas": sum(lives.is_ready(pod) for pod in active),
        "availableReplicas": sum(lives.is_available(pod, seconds, now) for pod in active),
        "observedGeneration": meta.get("generation", 0),
        "conditions": list(kept),
    }
    always = {"replicas", "observedGeneration"}
    return {key: value for key, value in status.items() if value or key in always}


def _tell(
    flavour: Flavour, owner: Resource, severity: str, reason: str, message: str, now: datetime
) -> Change:
    return proposing.event(owner, severity, reason, message, now, flavour.component)


def _refused(flavour: Flavour, view: View, ref: Ref, change: Change, refusal: Refused, now: datetime) -> Step:
    owner = view.get(*flavour.kind, ref.namespace, ref.name)
    if owner is None or change.ref.kind != "Pod" or change.verb not in {"create", "delete"}:
        return Step()
    if refusal.reason in {"AlreadyExists", "Conflict"} or "because it is being terminated" in refusal.message:
        return Step()
    made = change.verb == "create"
    reason = "FailedCreate" if made else "FailedDelete"
    text = f"Error {'creating' if made else 'deleting'}: {refusal.message}"
    claim = owning.claim(view, owner, _selector(flavour, owner), ("", "Pod"))
    active = [pod for pod in claim.mine if lives.is_active(pod)]
    kept = (owner.get("status") or {}).get("conditions") or []
    if conditions.pick(kept, "ReplicaFailure") is None:
        kept = conditions.put(kept, conditions.make("ReplicaFailure", "True", reason, refusal.message, now))
    told = _tell(flavour, owner, "Warning", reason, text, now)
    return Step((*proposing.status(owner, _status(owner, active, kept, now)), told))


def _orphans(flavour: Flavour, view: View, pod: Resource) -> list[Ref]:
    """Return the owner of a pod, or, for an orphan, everything whose selector would adopt it."""
    if owning.controller_of(pod) is not None:
        return owning.controller_ref(pod, *flavour.kind)
    namespace = pod["metadata"].get("namespace", "")
    return [
        Ref.of(owner)
        for owner in view.list(*flavour.kind, namespace)
        if _selector(flavour, owner).matches(owning.labels(pod))
    ]


def _controller(name: str, flavour: Flavour) -> Controller:
    return Controller(
        name=name,
        kind=flavour.kind,
        reconcile=lambda view, ref, now: _reconcile(flavour, view, ref, now),
        watches={("", "Pod"): lambda view, pod: _orphans(flavour, view, pod)},
        refused=lambda view, ref, change, refusal, now: _refused(flavour, view, ref, change, refusal, now),
    )


REPLICA_SETS = _controller("replicaset", REPLICA_SET)
REPLICATION_CONTROLLERS = _controller("replicationcontroller", REPLICATION_CONTROLLER)
