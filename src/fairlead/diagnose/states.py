"""What an object says of its own state: its conditions, since when, and since when it is going away.

Reading only, and only of the object that is handed in; what a state means is for the analyzers to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from fairlead.diagnose.inventories import Inventory, moment
from fairlead.tongues.paths import mapping, mappings, text
from fairlead.words import Evidence, Ref, Resource

_REPLACING = frozenset({"Deployment", "ReplicaSet", "StatefulSet", "ReplicationController"})
_PAST = frozenset({"Failed", "Succeeded"})


def condition(resource: Resource | None, kind: str) -> dict[str, Any]:
    """Return the condition of that type whatever its status, or an empty mapping."""
    for _, item in mappings(resource, "status", "conditions"):
        if item.get("type") == kind:
            return item
    return {}


def holds(resource: Resource | None, kind: str) -> bool:
    """Say whether the condition of that type is True."""
    return condition(resource, kind).get("status") == "True"


def said(inventory: Inventory, resource: Resource, item: Mapping[str, Any]) -> Evidence:
    """Return a condition as evidence: `Ready is False: Reason: message`."""
    ref = Ref.of(resource)
    parts = (
        f"{text(item, 'type')} is {text(item, 'status')}",
        text(item, "reason"),
        inventory.quote(text(item, "message"), ref),
    )
    return Evidence("condition", ref, ": ".join(part for part in parts if part))


def created(resource: Resource | None) -> datetime | None:
    """Return when the object was made, where that is known."""
    return moment(mapping(resource, "metadata").get("creationTimestamp"))


def leaving(resource: Resource) -> datetime | None:
    """Return when the object should have been gone (a pod's grace period is counted in); None where nobody deletes it."""
    return moment(mapping(resource, "metadata").get("deletionTimestamp"))


def since(item: Mapping[str, Any]) -> datetime | None:
    """Return since when a condition is as it is, where it says so."""
    return moment(item.get("lastTransitionTime")) or moment(item.get("lastUpdateTime"))


def lasting(inventory: Inventory, item: Mapping[str, Any], length: timedelta) -> bool:
    """Say whether a condition is as it is for at least so long; one that does not say since when counts as old."""
    at = since(item)
    return at is None or inventory.past(at, length)


def recovered(inventory: Inventory, ref: Ref) -> bool:
    """Say whether a workload has all the pods that it wants, or others in their place, whatever became of earlier ones.

    What ails those that took their place is not what became of the earlier ones.
    """
    resource = inventory.get(ref)
    if ref.kind in _REPLACING and not mapping(resource, "metadata").get("deletionTimestamp"):
        want = mapping(resource, "spec").get("replicas", 1)
        there = [one for one in inventory.crew(ref) if text(one.pod, "status", "phase") not in _PAST]
        if isinstance(want, int) and len(there) >= want:
            return True
    wanted, have = mapping(resource, "spec").get("replicas"), mapping(resource, "status").get("readyReplicas")
    if text(resource, "kind") == "DaemonSet":
        wanted = mapping(resource, "status").get("desiredNumberScheduled")
        have = mapping(resource, "status").get("numberReady")
    return isinstance(wanted, int) and isinstance(have, int) and have >= wanted > 0


def account(pod: Resource) -> Ref:
    """Return the ServiceAccount that a pod runs as."""
    name = text(pod, "spec", "serviceAccountName") or text(pod, "spec", "serviceAccount") or "default"
    return Ref("", "ServiceAccount", text(pod, "metadata", "namespace"), name)
