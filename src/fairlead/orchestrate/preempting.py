"""Preemption: which pods of lower priority would have to go so that a Pod fits somewhere.

Source: k8s.io/kubernetes/pkg/scheduler/framework/preemption. The victims are deleted with their own grace period; the Pod is scheduled by a
later step, when they are gone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fairlead.orchestrate import conditions, lives, owning, placements, proposing
from fairlead.orchestrate.placements import Board, Objection, Seat
from fairlead.tongues import selectors
from fairlead.words import Change, Resource, View

NAME = "default-scheduler"
NO_VICTIMS = "No preemption victims found for incoming pod"


@dataclass(frozen=True, slots=True)
class Attempt:
    """The node that is being cleared ("" if none), the changes that clear it, and what to add to the Pod's message."""

    message: str
    node: str = ""
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class _Plan:
    seat: Seat
    victims: tuple[Resource, ...]
    violations: int

    def cost(self) -> tuple[Any, ...]:
        """Fewest broken budgets, then the least important, the fewest and the youngest victims."""
        ranks = [_priority(victim) for victim in self.victims]
        top = max(ranks)
        oldest = min(lives.created(victim) for victim in self.victims if _priority(victim) == top)
        return (
            self.violations,
            top,
            sum(rank + 2**31 for rank in ranks),
            len(ranks),
            -oldest.timestamp(),
            self.seat.name,
        )


def _priority(pod: Resource) -> int:
    return int((pod.get("spec") or {}).get("priority") or 0)


def attempt(
    pod: Resource, board: Board, against: Mapping[str, Sequence[Objection]], now: datetime
) -> Attempt:
    """Look for a node where the Pod would fit without some less important pods, and propose to delete those."""
    if (pod.get("spec") or {}).get("preemptionPolicy") == "Never":
        return Attempt(" preemption: not eligible due to preemptionPolicy=Never.")
    nominated = board.seats.get((pod.get("status") or {}).get("nominatedNodeName") or "")
    if nominated and any(
        owning.is_deleted(other) and _priority(other) < _priority(pod) for other in nominated.pods.values()
    ):
        return Attempt(" preemption: not eligible due to a terminating pod on the nominated node.")
    reasons: Counter[str] = Counter()
    plans: list[_Plan] = []
    for name, found in against.items():
        if any(objection.final for objection in found):
            reasons[placements.HELPLESS] += 1
            continue
        outcome = _clear(pod, board.seats[name], board)
        if isinstance(outcome, _Plan):
            plans.append(outcome)
        else:
            reasons.update(outcome)
    if not plans:
        return Attempt(" preemption: " + placements.histogram(len(board.seats), reasons))
    plan = min(plans, key=_Plan.cost)
    changes = [change for victim in plan.victims for change in _evict(victim, pod, plan.seat.name, now)]
    return Attempt("", plan.seat.name, tuple(changes))


def _clear(pod: Resource, seat: Seat, board: Board) -> _Plan | list[str]:
    """Take every less important pod away, then put back, most important first, whichever still fits."""
    lower = [other for other in list(seat.pods.values()) if _priority(other) < _priority(pod)]
    if not lower:
        return [NO_VICTIMS]
    for other in lower:
        seat.remove(other)
    found = placements.objections(pod, seat, board)
    if found:
        for other in lower:
            seat.add(other)
        return [objection.text for objection in found]
    protected = _protected(lower, board.view)
    order = sorted(
        lower, key=lambda other: (id(other) not in protected, -_priority(other), lives.created(other))
    )
    victims = []
    for other in order:
        seat.add(other)
        if placements.objections(pod, seat, board):
            seat.remove(other)
            victims.append(other)
    for victim in victims:
        seat.add(victim)
    return _Plan(seat, tuple(victims), sum(id(victim) in protected for victim in victims))


def _protected(pods: Sequence[Resource], view: View) -> set[int]:
    """Return the identities of the pods whose disruption budget allows no more disruptions."""
    found: set[int] = set()
    for budget in view.list("policy", "PodDisruptionBudget"):
        allowed = int((budget.get("status") or {}).get("disruptionsAllowed") or 0)
        selector = selectors.from_object((budget.get("spec") or {}).get("selector"))
        namespace = budget["metadata"].get("namespace", "")
        for pod in pods:
            if pod["metadata"].get("namespace", "") != namespace or not selector.matches(owning.labels(pod)):
                continue
            allowed -= 1
            if allowed < 0:
                found.add(id(pod))
    return found


def _evict(victim: Resource, pod: Resource, node: str, now: datetime) -> list[Change]:
    if owning.is_deleted(victim):
        return []
    text = f"{NAME}: preempting to accommodate a higher priority pod"
    status = dict(victim.get("status") or {})
    made = conditions.make("DisruptionTarget", "True", "PreemptionByScheduler", text, now)
    status["conditions"] = conditions.put(status.get("conditions") or [], made)
    told = f"Preempted by pod {pod['metadata'].get('uid', '')} on node {node}"
    return [
        *proposing.status(victim, status, "it makes room for a more important pod"),
        proposing.delete(victim, "it makes room for a more important pod"),
        proposing.event(victim, "Normal", "Preempted", told, now, NAME),
    ]
