"""Status conditions: find, set and drop them as Kubernetes' controllers do.

Lists go in and new lists come out; nothing is changed in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeAlias

from fairlead.orchestrate import moments
from fairlead.words import Resource

Condition: TypeAlias = dict[str, Any]


def find(resource: Resource, kind: str) -> Condition | None:
    """Return the condition of this type in the object's status, or None."""
    return pick((resource.get("status") or {}).get("conditions") or (), kind)


def pick(conditions: Sequence[Condition], kind: str) -> Condition | None:
    """Return the condition of this type in the list, or None."""
    return next((condition for condition in conditions if condition.get("type") == kind), None)


def is_true(resource: Resource, kind: str) -> bool:
    """Whether the condition of this type is there with status True."""
    condition = find(resource, kind)
    return condition is not None and condition.get("status") == "True"


def make(kind: str, status: str, reason: str, message: str, now: datetime) -> Condition:
    """Return a condition that turned just now."""
    return {
        "type": kind,
        "status": status,
        "lastTransitionTime": moments.stamp(now),
        "reason": reason,
        "message": message,
    }


def put(conditions: Sequence[Condition], new: Condition) -> list[Condition]:
    """Return the list with the condition in it; its transition time stays when its status does.

    A condition that differs neither in status, reason nor message is left as it is.
    """
    old = pick(conditions, new["type"])
    if old is None:
        return [*conditions, new]
    if all(old.get(key, "") == new.get(key, "") for key in ("status", "reason", "message")):
        return list(conditions)
    if old.get("status") == new["status"] and "lastTransitionTime" in old:
        new = {**new, "lastTransitionTime": old["lastTransitionTime"]}
    return [new if condition is old else condition for condition in conditions]


def drop(conditions: Sequence[Condition], kind: str) -> list[Condition]:
    """Return the list without the condition of this type."""
    return [condition for condition in conditions if condition.get("type") != kind]
