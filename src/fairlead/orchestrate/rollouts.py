"""The arithmetic of a Deployment's rollout: how many pods more, how many fewer, and shares of a scaling.

Source: k8s.io/kubernetes/pkg/controller/deployment/util/deployment_util.go. Numbers in, numbers out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fairlead.orchestrate import lives
from fairlead.orchestrate.replicasets import desired
from fairlead.words import Resource

DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"
REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
HASH_LABEL = "pod-template-hash"


def scaled(value: Any, total: int, *, up: bool, default: Any = 0) -> int:
    """Return an IntOrString of the total: a number as it is, `25%` rounded up or down.

    Raises ValueError for any other text.
    """
    if value is None:
        value = default
    if isinstance(value, str):
        if not value.endswith("%"):
            raise ValueError(
                f"invalid value for IntOrString: invalid type: string is not a percentage: {value!r}"
            )
        exact = int(value[:-1]) * total
        return -(-exact // 100) if up else exact // 100
    return int(value)


@dataclass(frozen=True, slots=True)
class Margins:
    """How far a rolling update may stray from the desired count, above and below; all zero for Recreate."""

    surge: int
    unavailable: int


def is_rolling(deployment: Resource) -> bool:
    """Whether the strategy is RollingUpdate, the default."""
    return ((deployment["spec"].get("strategy") or {}).get("type") or "RollingUpdate") == "RollingUpdate"


def margins(deployment: Resource) -> Margins:
    """Return maxSurge, rounded up, and maxUnavailable, rounded down and at most the replicas.

    Where both come out as zero, one pod may be unavailable, or nothing would ever move.
    """
    replicas = desired(deployment)
    if not is_rolling(deployment):
        return Margins(0, 0)
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    surge = scaled(rolling.get("maxSurge"), replicas, up=True, default="25%")
    unavailable = scaled(rolling.get("maxUnavailable"), replicas, up=False, default="25%")
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return Margins(surge, 0 if replicas == 0 else min(unavailable, replicas))


def total(replica_sets: Sequence[Resource]) -> int:
    """Return the sum of the desired replicas."""
    return sum(desired(item) for item in replica_sets)


def counted(replica_sets: Sequence[Resource], field: str) -> int:
    """Return the sum of a status counter."""
    return sum(int((item.get("status") or {}).get(field) or 0) for item in replica_sets)


def revision_of(resource: Resource) -> int:
    """Return the revision annotation, 0 where it is missing or no number."""
    try:
        return int((resource["metadata"].get("annotations") or {}).get(REVISION) or 0)
    except ValueError:
        return 0


def new_size(deployment: Resource, everything: Sequence[Resource], newest: int) -> int:
    """Return what the new ReplicaSet, now at `newest`, may grow to beside all the others without too much surge."""
    replicas = desired(deployment)
    if not is_rolling(deployment):
        return replicas
    room = replicas + margins(deployment).surge - total(everything)
    return newest if room <= 0 else newest + min(room, replicas - newest)


def shrunk(deployment: Resource, newest: Resource, old: Sequence[Resource]) -> dict[str, int]:
    """Return the new sizes of the old ReplicaSets by name: unhealthy pods go first, then oldest first.

    Never so many that fewer than the minimum stay available.
    """
    everything = [*old, newest]
    minimum = desired(deployment) - margins(deployment).unavailable
    starting = desired(newest) - counted([newest], "availableReplicas")
    budget = total(everything) - minimum - starting
    sizes = {item["metadata"]["name"]: desired(item) for item in old}
    if total(old) == 0 or budget <= 0:
        return {}
    for item in lives.oldest_first(old):
        name = item["metadata"]["name"]
        unhealthy = sizes[name] - counted([item], "availableReplicas")
        cut = max(min(budget, unhealthy, sizes[name]), 0)
        sizes[name] -= cut
        budget -= cut
    spare = counted(everything, "availableReplicas") - minimum
    for item in lives.oldest_first(old):
        if spare <= 0:
            break
        name = item["metadata"]["name"]
        cut = min(sizes[name], spare)
        sizes[name] -= cut
        spare -= cut
    return {item["metadata"]["name"]: sizes[item["metadata"]["name"]] for item in old}


def proportions(deployment: Resource, active: Sequence[Resource]) -> dict[str, int]:
    """Return the new sizes by name when a Deployment is scaled in the middle of a rollout: in proportion."""
    replicas = desired(deployment)
    surge = margins(deployment).surge
    allowed = replicas + surge if replicas > 0 else 0
    to_add = allowed - total(active)
    ordered = _by_size(active, newer_first=to_add > 0) if to_add else list(active)
    added = 0
    sizes: dict[str, int] = {}
    for item in ordered:
        part = _portion(item, deployment, surge, to_add, added) if to_add else 0
        sizes[item["metadata"]["name"]] = desired(item) + part
        added += part
    if to_add and ordered:
        largest = ordered[0]["metadata"]["name"]
        sizes[largest] = max(sizes[largest] + to_add - added, 0)
    return sizes


def _by_size(items: Sequence[Resource], *, newer_first: bool) -> list[Resource]:
    by_age = lives.oldest_first(items)
    if newer_first:
        by_age.reverse()
    return sorted(by_age, key=desired, reverse=True)


def _portion(item: Resource, deployment: Resource, surge: int, to_add: int, added: int) -> int:
    if desired(item) == 0 or to_add == added:
        return 0
    fraction = _fraction(item, deployment, surge)
    left = to_add - added
    return min(fraction, left) if to_add > 0 else max(fraction, left)


def _fraction(item: Resource, deployment: Resource, surge: int) -> int:
    replicas = desired(deployment)
    if replicas == 0:
        return -desired(item)
    try:
        before = int((item["metadata"].get("annotations") or {}).get(MAXIMUM) or 0)
    except ValueError:
        before = 0
    before = before or counted([deployment], "replicas")
    if before == 0:
        return 0
    size = desired(item) * (replicas + surge) / before
    return math.floor(size + 0.5) - desired(item)
