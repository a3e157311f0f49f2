"""Disruption budgets: those that let no pod go for good, and those that a drain waits for.

A budget that is spent for the moment is a symptom of the pods that are not healthy. It is trouble only where somebody drains a node and waits for
it; otherwise a note.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import timedelta
from fractions import Fraction
from typing import Any

from fairlead.diagnose.causes import Fact
from fairlead.diagnose.choosing import reads
from fairlead.diagnose.inventories import Inventory, Member, Template, ready
from fairlead.diagnose.proposing import Edit, patch
from fairlead.diagnose.states import condition, lasting, said
from fairlead.tongues.paths import Path, find, mapping, strings, text, whole
from fairlead.words import Evidence, Fix, Ref, Resource, Severity

_SOON = timedelta(minutes=2)
_SELECTOR = ("spec", "selector")


def chosen(inventory: Inventory, resource: Resource) -> tuple[list[Member], list[Template]]:
    """Return the live pods and the templates beside the object that its `spec.selector` selects."""
    ref = Ref.of(resource)
    selector = mapping(resource, *_SELECTOR)
    labels = strings(selector, "matchLabels")
    expr = reads(selector)
    if expr is None:
        return [], []
    if labels:
        members: Sequence[Member] = inventory.selected(labels, ref)
        templates: Sequence[Template] = inventory.described(labels, ref)
    else:
        pods = inventory.of_kind("", "Pod", ref.namespace)
        members = [one for pod in pods if (one := inventory.member(pod)) is not None]
        templates = inventory.templates_in(inventory.space(ref))
    return (
        [one for one in members if expr.matches(strings(one.pod, "metadata", "labels"))],
        [one for one in templates if expr.matches(one.labels)],
    )


def budget(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """Each thing that is wrong with a PodDisruptionBudget."""
    ref = Ref.of(resource)
    if mapping(resource, "metadata").get("deletionTimestamp") or _SELECTOR[1] not in mapping(
        resource, "spec"
    ):
        return
    members, templates = chosen(inventory, resource)
    members = [one for one in members if text(one.pod, "status", "phase") not in {"Succeeded", "Failed"}]
    if not members and not templates:
        return
    draining = _draining(inventory, members)
    item = condition(resource, "DisruptionAllowed")
    if item.get("status") == "False" and text(item, "reason") == "SyncFailed":
        yield Fact(
            rule="budget.failing",
            subject=ref,
            severity=Severity.WARNING,
            message="cannot be counted, so every eviction of its pods is refused",
            cause=inventory.quote(text(item, "message"), ref),
            evidence=(said(inventory, resource, item),),
            where=inventory.where(ref, _SELECTOR),
        )
        return
    for_good = _for_good(resource, templates)
    if for_good is not None and (draining or not for_good[3]):
        yield _blocking(inventory, resource, *for_good[:3], draining)
    elif draining and item.get("status") == "False":
        sick = [one.ref for one in members if not ready(one.pod)]
        yield Fact(
            rule="budget.spent",
            subject=ref,
            severity=Severity.WARNING,
            message=f"lets no pod go, and a drain of {draining[0]} waits for it",
            cause=_healthy(resource),
            evidence=(said(inventory, resource, item), _cordon(inventory, draining[0])),
            because=tuple(sick),
            weak=not sick or not lasting(inventory, item, _SOON),
        )


def _draining(inventory: Inventory, members: Sequence[Member]) -> list[Ref]:
    """Return the cordoned nodes with some of the pods on them."""
    nodes = {Ref("", "Node", "", one.node) for one in members if one.node}
    return sorted(
        (one for one in nodes if mapping(inventory.get(one) or {}, "spec").get("unschedulable") is True),
        key=lambda one: one.name,
    )


def _cordon(inventory: Inventory, node: Ref) -> Evidence:
    return inventory.field(node, ("spec", "unschedulable"), f"{node} is cordoned and has pods of it")


def _healthy(resource: Resource) -> str:
    have, need = whole(resource, "status", "currentHealthy"), whole(resource, "status", "desiredHealthy")
    return f"{have} of its pods are healthy, and {need} must be."


def _share(value: Any, of: int) -> int | None:
    """Return a number or percentage of pods as Kubernetes rounds it: up."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.endswith("%") and value[:-1].isdigit():
        return math.ceil(Fraction(int(value[:-1]) * of, 100))
    return None


def _for_good(resource: Resource, templates: Sequence[Template]) -> tuple[Path, str, str, bool] | None:
    """Return the field that lets no pod go even while all are healthy, what it says, why, and whether it asks for more than there are."""
    spec = mapping(resource, "spec")
    counts = [_wanted(one.resource) for one in templates]
    total = (
        sum(count for count in counts if count is not None)
        if all(count is not None for count in counts)
        else None
    )
    if total == 0:
        return None
    most, least = spec.get("maxUnavailable"), spec.get("minAvailable")
    if most is not None and _share(most, total or 1) == 0:
        return ("spec", "maxUnavailable"), str(most), "No pod may ever be away.", False
    if least == "100%":
        return ("spec", "minAvailable"), str(least), "All pods must always be there.", False
    need = _share(least, total) if least is not None and total else None
    if need is not None and total is not None and counts and need >= total:
        return (
            ("spec", "minAvailable"),
            str(least),
            f"It demands {need} pods, and there are to be no more than {total}.",
            need > total,
        )
    return None


def _wanted(resource: Resource) -> int | None:
    """Return how many pods a workload is to have; None where that is not fixed (a DaemonSet, a bare pod)."""
    if resource.get("kind") in {"Deployment", "StatefulSet", "ReplicaSet", "ReplicationController"}:
        return whole(resource, "spec", "replicas", default=1)
    return None


def _blocking(
    inventory: Inventory, resource: Resource, path: Path, value: str, why: str, draining: Sequence[Ref]
) -> Fact:
    ref = Ref.of(resource)
    title = "let one pod go at a time"
    edits = [Edit(("spec", "minAvailable"), None), Edit(("spec", "maxUnavailable"), 1)]
    change = patch(resource, [one for one in edits if find(resource, one.path) != one.new], title)
    fix = Fix(title=title, changes=(change,), risk="A drain may then end a pod that has no other beside it.")
    evidence = [inventory.field(ref, path, f"{path[-1]}: {value}")]
    if draining:
        evidence.append(_cordon(inventory, draining[0]))
    return Fact(
        rule="budget.blocking",
        subject=ref,
        severity=Severity.WARNING if draining else Severity.INFO,
        message="never lets a pod go"
        + (
            f", and a drain of {draining[0]} waits for it"
            if draining
            else ": a node that it is on cannot be drained"
        ),
        cause=why,
        evidence=tuple(evidence),
        fixes=(fix,),
        where=inventory.where(ref, path),
    )


UNITS = {("policy", "PodDisruptionBudget"): budget}
