"""PodDisruptionBudgets: how many pods may be disrupted right now.

Source: k8s.io/kubernetes/pkg/controller/disruption. Evictions are decided by the API, which reads this status.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from fairlead.orchestrate import conditions, lives, moments, owning, proposing, rollouts
from fairlead.orchestrate.replicasets import desired
from fairlead.orchestrate.steps import Controller, Step
from fairlead.tongues import selectors
from fairlead.words import Change, Ref, Resource, View

KIND = ("policy", "PodDisruptionBudget")
COMPONENT = "controllermanager"
FORGET = timedelta(minutes=2)
"""How long an eviction that was allowed is believed to be under way."""


class _NoScaleError(Exception):
    """A pod's controller has no scale that could be counted."""


def _reconcile(view: View, ref: Ref, now: datetime) -> Step:
    budget = view.get(*KIND, ref.namespace, ref.name)
    if budget is None or owning.is_deleted(budget):
        return Step()
    spec = budget.get("spec") or {}
    selector = spec.get("selector")
    chosen = selectors.from_object(selector)
    pods = [pod for pod in view.list("", "Pod", ref.namespace) if chosen.matches(owning.labels(pod))]
    told: list[Change] = []
    if not pods:
        told.append(proposing.event(budget, "Normal", "NoPods", "No matching pods found", now, COMPONENT))
    try:
        expected, wanted = _goal(view, spec, pods)
    except (_NoScaleError, ValueError) as error:
        return _failed(budget, str(error), now)
    disrupted, again = _disrupted(budget, pods, now)
    healthy = sum(
        lives.is_ready(pod) and not owning.is_deleted(pod) and pod["metadata"]["name"] not in disrupted
        for pod in pods
    )
    allowed = max(healthy - wanted, 0) if expected > 0 else 0
    status: dict[str, Any] = {
        "observedGeneration": budget["metadata"].get("generation", 0),
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": wanted,
        "expectedPods": expected,
        "conditions": _conditions(budget, allowed, now),
    }
    if disrupted:
        status["disruptedPods"] = disrupted
    moved = proposing.status(budget, status, "its pods have changed")
    return Step((*moved, *told) if moved else (), again)


def _conditions(budget: Resource, allowed: int, now: datetime) -> list[conditions.Condition]:
    old = (budget.get("status") or {}).get("conditions") or []
    found = ("True", "SufficientPods") if allowed > 0 else ("False", "InsufficientPods")
    made = conditions.make("DisruptionAllowed", *found, "", now)
    made["observedGeneration"] = budget["metadata"].get("generation", 0)
    before = conditions.pick(old, "DisruptionAllowed")
    if before is not None and before.get("observedGeneration") != made["observedGeneration"]:
        if before.get("status") == made["status"]:
            made["lastTransitionTime"] = before.get("lastTransitionTime")
        return [made if entry is before else entry for entry in old]
    return conditions.put(old, made)


def _failed(budget: Resource, text: str, now: datetime) -> Step:
    """Without a known number of pods nothing may be disrupted."""
    old = (budget.get("status") or {}).get("conditions") or []
    status = {
        **(budget.get("status") or {}),
        "observedGeneration": budget["metadata"].get("generation", 0),
        "disruptionsAllowed": 0,
        "conditions": conditions.put(
            old, conditions.make("DisruptionAllowed", "False", "SyncFailed", text, now)
        ),
    }
    for key in ("currentHealthy", "desiredHealthy", "expectedPods"):
        status.setdefault(key, 0)
    message = f"Failed to calculate the number of expected pods: {text}"
    moved = proposing.status(budget, status, text)
    told = proposing.event(budget, "Warning", "CalculateExpectedPodCountFailed", message, now, COMPONENT)
    return Step((*moved, told) if moved else ())


def _goal(view: View, spec: dict[str, Any], pods: list[Resource]) -> tuple[int, int]:
    """Return how many pods there should be, and how many of them must stay healthy."""
    if spec.get("maxUnavailable") is not None:
        expected = _scale(view, pods)
        return expected, max(expected - rollouts.scaled(spec["maxUnavailable"], expected, up=True), 0)
    least = spec.get("minAvailable")
    if isinstance(least, str):
        expected = _scale(view, pods)
        return expected, rollouts.scaled(least, expected, up=True)
    return len(pods), 0 if least is None else int(least)


def _scale(view: View, pods: list[Resource]) -> int:
    """Return the sum of the replicas of everything that controls one of the pods."""
    counted: dict[str, int] = {}
    for pod in pods:
        boss = owning.controller_of(pod)
        if boss is None:
            continue
        namespace = pod["metadata"].get("namespace", "")
        owner = view.get(boss["apiVersion"].rpartition("/")[0], boss["kind"], namespace, boss["name"])
        above = owning.controller_of(owner) if owner is not None else None
        if owner is not None and above is not None and above["kind"] == "Deployment":
            group = above["apiVersion"].rpartition("/")[0]
            owner = view.get(group, above["kind"], namespace, above["name"]) or owner
        if owner is None:
            continue
        if (owner.get("spec") or {}).get("replicas") is None and owner["kind"] in {
            "DaemonSet",
            "Job",
            "CronJob",
        }:
            raise _NoScaleError(
                f"{owner['kind'].lower()}s.{boss['apiVersion'].rpartition('/')[0]} does not implement the scale subresource"
            )
        counted[owner["metadata"].get("uid", "")] = desired(owner)
    return sum(counted.values())


def _disrupted(
    budget: Resource, pods: list[Resource], now: datetime
) -> tuple[dict[str, str], timedelta | None]:
    """Return the evictions that are still under way, and when to look at them again."""
    known = (budget.get("status") or {}).get("disruptedPods") or {}
    here = {pod["metadata"]["name"]: pod for pod in pods}
    found: dict[str, str] = {}
    waits: list[timedelta | None] = []
    for name, moment in known.items():
        pod = here.get(name)
        left = moments.parse(moment) + FORGET - now
        if pod is None or owning.is_deleted(pod) or left <= timedelta(0):
            continue
        found[name] = moment
        waits.append(left)
    return found, moments.soonest(waits)


def _of_pod(view: View, pod: Resource) -> Iterable[Ref]:
    for budget in view.list(*KIND, pod["metadata"].get("namespace", "")):
        if selectors.from_object((budget.get("spec") or {}).get("selector")).matches(owning.labels(pod)):
            yield Ref.of(budget)


def _here(view: View, owner: Resource) -> Iterable[Ref]:
    return [Ref.of(budget) for budget in view.list(*KIND, owner["metadata"].get("namespace", ""))]


BUDGETS = Controller(
    name="disruption",
    kind=KIND,
    reconcile=_reconcile,
    watches={
        ("", "Pod"): _of_pod,
        ("apps", "Deployment"): _here,
        ("apps", "StatefulSet"): _here,
        ("apps", "ReplicaSet"): _here,
        ("", "ReplicationController"): _here,
    },
)
