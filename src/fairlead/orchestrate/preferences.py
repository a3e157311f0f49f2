"""Which of the nodes that a Pod may go to suits it best: the scheduler's scores.

Source: k8s.io/kubernetes/pkg/scheduler/framework/plugins, with the default weights. Image locality is left out: a
node's images do not differ on one machine. Every part is 0 to 100 before its weight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fairlead.orchestrate import demands, fitting, owning, placements
from fairlead.orchestrate.placements import Board, Seat
from fairlead.words import Resource

BEST = 100.0


def _after(pod: Resource, seat: Seat) -> dict[str, float]:
    """Return the share of CPU and memory in use if the Pod came here."""
    asked = demands.requests(pod, floor=True)
    shares = {}
    for resource in ("cpu", "memory"):
        room = seat.room.get(resource, 0)
        used = seat.floor.get(resource, 0) + asked.get(resource, 0)
        shares[resource] = min(used / room, 1.0) if room else 1.0
    return shares


def _least_allocated(pod: Resource, seats: Sequence[Seat], board: Board) -> list[float]:
    del board
    return [BEST * (1 - sum(_after(pod, seat).values()) / 2) for seat in seats]


def _balanced(pod: Resource, seats: Sequence[Seat], board: Board) -> list[float]:
    del board
    shares = [_after(pod, seat) for seat in seats]
    return [BEST * (1 - abs(share["cpu"] - share["memory"]) / 2) for share in shares]


def _normal(raw: Sequence[float], *, reverse: bool = False) -> list[float]:
    top = max(raw, default=0.0)
    if top <= 0:
        return [BEST if reverse else 0.0 for _ in raw]
    return [BEST * (1 - value / top) if reverse else BEST * value / top for value in raw]


def _node_affinity(pod: Resource, seats: Sequence[Seat], board: Board) -> list[float]:
    del board
    affinity = ((pod.get("spec") or {}).get("affinity") or {}).get("nodeAffinity") or {}
    wishes = affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or []
    raw = [
        float(
            sum(
                wish["weight"]
                for wish in wishes
                if fitting.term_holds(wish.get("preference") or {}, seat.node)
            )
        )
        for seat in seats
    ]
    return _normal(raw)


def _taints(pod: Resource, seats: Sequence[Seat], board: Board) -> list[float]:
    del board
    covers = fitting.tolerations(pod)
    raw = [
        float(
            sum(
                taint.get("effect") == "PreferNoSchedule"
                and not any(fitting.tolerates(entry, taint) for entry in covers)
                for taint in fitting.taints(seat.node)
            )
        )
        for seat in seats
    ]
    return _normal(raw, reverse=True)


def _pod_affinity(pod: Resource, seats: Sequence[Seat], board: Board) -> list[float]:
    weights: dict[tuple[str, str], float] = {}

    def note(seat: Seat, key: str, weight: float) -> None:
        domain = owning.labels(seat.node).get(key)
        if domain is not None:
            weights[key, domain] = weights.get((key, domain), 0.0) + weight

    for other, friend in board.pods():
        for side, sign in (("podAffinity", 1), ("podAntiAffinity", -1)):
            for one, two in ((pod, friend), (friend, pod)):
                for wish in placements.terms(one, side, "preferred"):
                    term = wish["podAffinityTerm"]
                    if placements.term_selects(term, one, two, board.view):
                        note(other, term["topologyKey"], sign * wish["weight"])
    raw = [sum(weights.get(pair, 0.0) for pair in owning.labels(seat.node).items()) for seat in seats]
    if not weights:
        return [0.0] * len(raw)
    low, high = min(raw), max(raw)
    return [BEST * (value - low) / (high - low) if high > low else 0.0 for value in raw]


def _spread(pod: Resource, seats: Sequence[Seat], board: Board) -> list[float]:
    wishes = [
        constraint
        for constraint in (pod.get("spec") or {}).get("topologySpreadConstraints") or ()
        if constraint.get("whenUnsatisfiable") == "ScheduleAnyway"
    ]
    if not wishes:
        return [0.0] * len(seats)
    raw = [0.0] * len(seats)
    for constraint in wishes:
        counts = placements.spread_counts(pod, constraint, board)
        crowded = max(counts.values(), default=0) + 1
        for index, seat in enumerate(seats):
            domain = owning.labels(seat.node).get(constraint["topologyKey"])
            raw[index] += counts[domain] if domain is not None else crowded
    return _normal(raw, reverse=True)


SCORES: tuple[tuple[Callable[[Resource, Sequence[Seat], Board], list[float]], int], ...] = (
    (_taints, 3),
    (_node_affinity, 2),
    (_spread, 2),
    (_pod_affinity, 2),
    (_least_allocated, 1),
    (_balanced, 1),
)


def best(pod: Resource, seats: Sequence[Seat], board: Board) -> Seat:
    """Return the best of the seats (at least one); the first by name among equals."""
    if len(seats) == 1:
        return seats[0]
    totals = [0.0] * len(seats)
    for score, weight in SCORES:
        for index, value in enumerate(score(pod, seats, board)):
            totals[index] += int(value) * weight
    ranked = sorted(zip(totals, seats, strict=True), key=lambda pair: (-pair[0], pair[1].name))
    return ranked[0][1]
