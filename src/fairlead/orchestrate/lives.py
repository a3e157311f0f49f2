"""What a Pod's state means to those who count pods: active, ready, available, and which to delete first.

Source: k8s.io/kubernetes/pkg/api/v1/pod, pkg/controller/controller_utils.go (ActivePodsWithRanks). Reads only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from fairlead.orchestrate import conditions, moments
from fairlead.words import Resource

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


def phase(pod: Resource) -> str:
    """Return the Pod's phase; one without is Pending."""
    found: str = (pod.get("status") or {}).get("phase") or "Pending"
    return found


def is_finished(pod: Resource) -> bool:
    """Whether the Pod's containers have all ended for good."""
    return phase(pod) in {"Succeeded", "Failed"}


def is_active(pod: Resource) -> bool:
    """Whether the Pod counts as a replica: neither finished nor being deleted."""
    return not is_finished(pod) and not pod["metadata"].get("deletionTimestamp")


def is_ready(pod: Resource) -> bool:
    """Whether the Pod's Ready condition is true."""
    return conditions.is_true(pod, "Ready")


def ready_since(pod: Resource) -> datetime | None:
    """Return when the Pod became ready, or None if it is not."""
    condition = conditions.find(pod, "Ready")
    if condition is None or condition.get("status") != "True":
        return None
    return moments.parse(condition.get("lastTransitionTime") or "")


def available_in(pod: Resource, min_ready_seconds: int, now: datetime) -> timedelta | None:
    """Return how long until a ready Pod counts as available, zero if it does, None while it is not ready."""
    since = ready_since(pod)
    if since is None:
        return None
    return max(since + timedelta(seconds=min_ready_seconds) - now, timedelta(0))


def is_available(pod: Resource, min_ready_seconds: int, now: datetime) -> bool:
    """Whether the Pod has been ready for long enough."""
    return available_in(pod, min_ready_seconds, now) == timedelta(0)


def node_of(pod: Resource) -> str:
    """Return the name of the node that the Pod is bound to, or ""."""
    return (pod.get("spec") or {}).get("nodeName") or ""


def created(resource: Resource) -> datetime:
    """Return the object's creation time."""
    return moments.parse(resource["metadata"].get("creationTimestamp") or "")


def restarts(pod: Resource) -> int:
    """Return the highest restart count among the Pod's containers."""
    counts = [
        entry.get("restartCount", 0) for entry in (pod.get("status") or {}).get("containerStatuses") or ()
    ]
    return max(counts, default=0)


def _bucket(moment: datetime | None, now: datetime) -> int:
    """Logarithmic age, so that pods of about the same age are not always deleted newest first."""
    if moment is None:
        return 0
    return int(math.log2(max((now - moment).total_seconds(), 1)))


def least_wanted(
    now: datetime, neighbours: Mapping[str, int] | None = None
) -> Callable[[Resource], tuple[Any, ...]]:
    """Return a sort key that puts first the Pod that is missed least.

    Unscheduled before scheduled, pending before running, unready before ready, cheaper deletion cost, more
    `neighbours` (related pods by node name), ready for less long, more restarts, younger.
    """
    counts = neighbours or {}
    order = {"Pending": 0, "Unknown": 1, "Running": 2}

    def key(pod: Resource) -> tuple[Any, ...]:
        annotations = pod["metadata"].get("annotations") or {}
        try:
            cost = int(annotations.get(DELETION_COST, "0"))
        except ValueError:
            cost = 0
        node = node_of(pod)
        return (
            bool(node),
            order.get(phase(pod), 2),
            is_ready(pod),
            cost,
            -counts.get(node, 0),
            _bucket(ready_since(pod), now),
            -restarts(pod),
            _bucket(created(pod), now),
            pod["metadata"].get("uid", ""),
        )

    return key


def oldest_first(resources: Iterable[Resource]) -> list[Resource]:
    """Return the objects by creation time, then by name."""
    return sorted(resources, key=lambda resource: (created(resource), resource["metadata"].get("name", "")))
