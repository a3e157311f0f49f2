"""PodDisruptionBudgets: those that cover nothing or ask for more than there is, and pods that none or several cover.

Of several budgets over one pod Kubernetes honours none: it refuses every eviction, so a node cannot be drained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from fairlead.diagnose.causes import Fact
from fairlead.diagnose.choosing import Pool, labels, pods, reads, shown, staying
from fairlead.diagnose.inventories import Inventory
from fairlead.tongues.paths import find, mapping, text
from fairlead.words import Evidence, Ref, Resource, Severity

POLICY = "policy"
_KIND = "PodDisruptionBudget"
_SELECTOR = ("spec", "selector")


def idle(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A budget that covers no pod, or asks that more stay up than there are."""
    ref = Ref.of(resource)
    selector = mapping(resource, *_SELECTOR)
    if not inventory.seen_all("", "Pod") or not staying(resource) or find(resource, _SELECTOR) is None:
        return
    if reads(selector) is None:
        return
    covered = pods(inventory, selector, ref.namespace)
    least = mapping(resource, "spec").get("minAvailable")
    if not covered:
        yield Fact(
            rule="budget.unused",
            subject=ref,
            severity=Severity.INFO,
            message=f"covers no pod: none has {shown(selector) or 'been made beside it'}",
            evidence=(inventory.field(ref, _SELECTOR, shown(selector)),),
            where=inventory.where(ref, _SELECTOR),
        )
    elif isinstance(least, int) and not isinstance(least, bool) and least > len(covered):
        if any(inventory.owner(one) is not None for one in covered):
            return  # there may be more in a moment: what makes them says how many there are to be
        yield Fact(
            rule="budget.least",
            subject=ref,
            severity=Severity.INFO,
            message=f"asks that {least} pods stay up, and covers {len(covered)}: none can be evicted",
            evidence=(inventory.field(ref, ("spec", "minAvailable"), f"minAvailable: {least}"),),
            where=inventory.where(ref, ("spec", "minAvailable")),
            because=(("budget.blocking", ref, ""),),
        )


def _written(inventory: Inventory, space: str) -> Pool[Ref]:
    """Return the budgets of a namespace by what they select; one with no selector at all covers nothing."""
    return Pool(
        (expr, Ref.of(one))
        for one in inventory.of_kind(POLICY, _KIND, space)
        if staying(one) and (expr := reads(find(one, _SELECTOR))) is not None
    )


def _covering(inventory: Inventory, pod: Resource) -> list[Ref]:
    """Return the budgets beside the pod that cover it."""
    return inventory.kept(_written, Ref.of(pod).namespace).over(labels(pod))


def doubled(inventory: Inventory, pod: Resource) -> Iterator[Fact]:
    """A pod that several budgets cover: no eviction of it is ever allowed."""
    if not inventory.live or not staying(pod):
        return
    found = _covering(inventory, pod)
    if len(found) < 2:
        return
    found = sorted(found, key=lambda one: one.name)
    names = ", ".join(one.name for one in found)
    yield Fact(
        rule="budget.doubled",
        subject=Ref.of(inventory.top(pod)),
        severity=Severity.WARNING,
        message=f"is covered by {len(found)} PodDisruptionBudgets ({names}): no eviction of its pods is allowed",
        cause="Kubernetes refuses to evict a pod that more than one budget covers, so its node cannot be drained.",
        evidence=tuple(
            inventory.field(one, _SELECTOR, shown(mapping(inventory.get(one), *_SELECTOR)))
            for one in found[:3]
        ),
        where=inventory.where(found[-1], _SELECTOR),
    )


def uncovered(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A workload of several pods, or a pod that nobody would make again, that no budget covers."""
    if not inventory.seen_all(POLICY, _KIND) or not staying(resource):
        return
    ref = Ref.of(resource)
    template = inventory.template_of(resource)
    if template is None or ref.namespace == "kube-system":
        return
    if ref.kind == "Pod":
        owned = any(True for _ in mapping(resource, "metadata").get("ownerReferences") or ())
        mirror = "kubernetes.io/config.mirror" in (mapping(resource, "metadata").get("annotations") or {})
        if owned or mirror or text(resource, "status", "phase") in {"Succeeded", "Failed"}:
            return
        said = "no PodDisruptionBudget covers it: a drain of its node ends it, and nothing makes it again"
    else:
        replicas = mapping(resource, "spec").get("replicas", 1)
        if inventory.owner(resource) is not None or not isinstance(replicas, int) or replicas < 2:
            return
        said = f"no PodDisruptionBudget covers its {replicas} pods: a drain may end them all at once"
    made = {"metadata": {"namespace": ref.namespace, "name": ref.name, "labels": template.labels}}
    if _covering(inventory, made):
        return
    yield Fact(
        rule="budget.absent",
        subject=ref,
        severity=Severity.INFO,
        message=said,
        evidence=(Evidence("absence", ref, "no budget in its namespace selects its labels"),),
        where=inventory.where(ref, (*template.path, "metadata", "labels")),
    )


Look = Callable[[Inventory, Resource], Iterator[Fact]]
UNITS: Mapping[tuple[str, str], Look] = {("", "Pod"): doubled}
"""What is asked of each object of a kind."""
ADVICE: Mapping[tuple[str, str], Look] = {
    (POLICY, _KIND): idle,
    ("", "Pod"): uncovered,
    ("apps", "Deployment"): uncovered,
    ("apps", "StatefulSet"): uncovered,
}
"""What is asked of each object of a kind, where advice is wanted."""
