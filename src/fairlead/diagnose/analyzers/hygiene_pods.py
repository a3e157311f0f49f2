"""Workloads that have no pods or want none, and pods that nobody looks after: what is odd although nothing complains.

A workload without any pod is told only where nothing else says why. What needs an age is silent where the age is not known, but for
advice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta

from fairlead.diagnose.analyzers.crashes import START_REASONS
from fairlead.diagnose.analyzers.images import PULL_REASONS
from fairlead.diagnose.causes import Fact, Key
from fairlead.diagnose.choosing import pods, reads, shown, staying
from fairlead.diagnose.inventories import Inventory, moment
from fairlead.tongues.paths import Path, find, mapping, mappings, strings, text, whole
from fairlead.words import Evidence, Ref, Resource, Severity

_GRACE = timedelta(minutes=2)
_RESTARTS = 5
_SELECTOR = ("spec", "selector")
_TOLD = (
    PULL_REASONS
    | START_REASONS
    | {"ContainerCreating", "CrashLoopBackOff", "CreateContainerConfigError", "PodInitializing"}
)
"""Why containers wait, as far as others tell of it."""
_WHY = ("workload.selector", "workload.refused", "workload.waiting")
"""What else is said of a workload without pods, and says why."""


def _made(resource: Resource) -> datetime | None:
    return moment(mapping(resource, "metadata").get("creationTimestamp"))


def _wanted(resource: Resource) -> int:
    if resource.get("kind") == "DaemonSet":
        return whole(resource, "status", "desiredNumberScheduled")
    return whole(resource, "spec", "replicas", default=1)


def _without(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A workload that wants pods, while none has the labels that it selects."""
    ref = Ref.of(resource)
    if not inventory.seen_all("", "Pod") or not staying(resource) or inventory.owner(resource) is not None:
        return
    wanted, selector = _wanted(resource), mapping(resource, *_SELECTOR)
    if ref.kind == "ReplicationController":
        selector = {"matchLabels": strings(resource, *_SELECTOR)}
    said = reads(selector)
    if wanted < 1 or said is None or said.empty or pods(inventory, selector, ref.namespace):
        return
    if any(staying(one.pod) for one in inventory.crew(ref)):
        return
    template = inventory.template_of(resource)
    because: list[Key | Ref] = [(rule, ref, "") for rule in _WHY]
    account = text(template.spec, "serviceAccountName") if template is not None else ""
    if account:
        because.append(("account.missing", Ref("", "ServiceAccount", ref.namespace, account), ""))
    yield Fact(
        rule="workload.empty",
        subject=ref,
        severity=Severity.WARNING,
        message=f"wants {wanted} pod{'s' if wanted > 1 else ''}, and no pod has {shown(selector)}",
        cause="Nothing was told about pods being refused: the controller that should make them may not be running.",
        where=inventory.where(ref, _SELECTOR),
        because=tuple(because),
        confidence="likely",
    )


def old_without(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A workload that has wanted pods for a while and has none."""
    made = _made(resource)
    if made is not None and inventory.past(made, _GRACE):
        yield from _without(inventory, resource)


def odd_workload(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A workload that is scaled to zero, or has no pods since who knows when."""
    ref = Ref.of(resource)
    if not inventory.live or not staying(resource):
        return
    if _made(resource) is None:
        yield from _without(inventory, resource)
    yield from _partly(inventory, resource)
    path: Path = ("spec", "replicas")
    if ref.kind in {"Deployment", "StatefulSet"} and find(resource, path) == 0:
        yield Fact(
            rule="workload.idle",
            subject=ref,
            severity=Severity.INFO,
            message="is scaled to zero",
            evidence=(inventory.field(ref, path, "replicas: 0"),),
            where=inventory.where(ref, path),
        )


def odd_pod(inventory: Inventory, pod: Resource) -> Iterator[Fact]:
    """A pod that restarted often, is not ready on no known node, or was noticed by no scheduler."""
    if not inventory.live or not staying(pod):
        return
    yield from _restarts(inventory, pod)
    phase = text(pod, "status", "phase")
    if phase in {"", "Pending"} and not text(pod, "spec", "nodeName"):
        yield from _unnoticed(inventory, pod)


def _restarts(inventory: Inventory, pod: Resource) -> Iterator[Fact]:
    ref, top = Ref.of(pod), Ref.of(inventory.top(pod))
    phase, placed = text(pod, "status", "phase"), bool(text(pod, "spec", "nodeName"))
    # Where neither node nor age is known, whoever needs one of them does not speak of the pod.
    dark = not placed or (_made(pod) is None and not text(pod, "status", "startTime"))
    if phase == "Unknown":
        yield _not_ready(
            inventory, pod, ("status", "phase"), "is in phase Unknown: its node does not report on it"
        )
    for field in ("initContainerStatuses", "containerStatuses"):
        for index, status in mappings(pod, "status", field):
            name, count = text(status, "name"), whole(status, "restartCount")
            state = mapping(status, "state")
            waits = text(state, "waiting", "reason")
            if dark and status.get("ready") is False and phase == "Running" and not state:
                said = f"container {name} is not ready" + (f", after {count} restarts" if count else "")
                yield _not_ready(inventory, pod, ("status", field, index, "ready"), said)
            elif dark and status.get("ready") is False and "waiting" in state and waits not in _TOLD:
                said = (
                    f"container {name} waits: {inventory.quote(waits, ref)}"
                    if waits
                    else f"container {name} waits, for no reason that is told"
                )
                yield _not_ready(inventory, pod, ("status", field, index, "state"), said)
            elif count > _RESTARTS and status.get("ready") is True:
                last = mapping(status, "lastState", "terminated")
                ended = f" Last it ended with {text(last, 'reason')}." if text(last, "reason") else ""
                yield Fact(
                    rule="container.restarts",
                    subject=top,
                    detail=name,
                    severity=Severity.INFO,
                    message=f"container {name} was restarted {count} times, and runs now",
                    cause=ended.strip(),
                    evidence=(Evidence("field", ref, f"{name}: restartCount {count}"),),
                    because=(("container.crash", top, name), ("container.memory", top, name)),
                )


def _not_ready(inventory: Inventory, pod: Resource, path: Path, said: str) -> Fact:
    ref = Ref.of(pod)
    node = Ref("", "Node", "", text(pod, "spec", "nodeName"))
    return Fact(
        rule="pod.unready",
        subject=ref,
        severity=Severity.WARNING,
        message=said,
        evidence=(inventory.field(ref, path, said),),
        because=(ref, ("node.unready", node, "")),
    )


def _unnoticed(inventory: Inventory, pod: Resource) -> Iterator[Fact]:
    """A pod that no scheduler has said anything about: the one that it names may not be running."""
    ref = Ref.of(pod)
    made = _made(pod)
    told = any(item.get("type") == "PodScheduled" for _, item in mappings(pod, "status", "conditions"))
    if (
        told
        or (made is not None and not inventory.past(made, _GRACE))
        or inventory.events(ref, "FailedScheduling", "Scheduled")
    ):
        return
    name = text(pod, "spec", "schedulerName") or "default-scheduler"
    yield Fact(
        rule="schedule.unnoticed",
        subject=Ref.of(inventory.top(pod)),
        severity=Severity.WARNING if made is not None else Severity.INFO,
        message=f"waits for a scheduler: {name} has said nothing about it",
        cause=f"No scheduler of the name {name} runs, or it is far behind.",
        evidence=(Evidence("absence", ref, "no PodScheduled condition, no node, no event"),),
        where=inventory.where(ref, ("spec", "schedulerName")),
        confidence="likely" if made is not None else "possible",
    )


def unnoticed(inventory: Inventory, pod: Resource) -> Iterator[Fact]:
    """A pod that has waited for a while, and no scheduler took notice."""
    waits = text(pod, "status", "phase") == "Pending" and not text(pod, "spec", "nodeName")
    if inventory.live and staying(pod) and waits and _made(pod) is not None:
        yield from _unnoticed(inventory, pod)


def _partly(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A workload with fewer ready pods than it wants: for a while that is as it should be, and mostly its pods say why."""
    ref = Ref.of(resource)
    field = "numberReady" if ref.kind == "DaemonSet" else "readyReplicas"
    wanted, have = _wanted(resource), whole(resource, "status", field)
    if inventory.owner(resource) is not None or not 0 < have < wanted:
        return
    because: list[Key | Ref] = [(rule, ref, "") for rule in (*_WHY, "workload.empty", "workload.short")]
    because += [one.ref for one in inventory.crew(ref)]
    yield Fact(
        rule="workload.partly",
        subject=ref,
        severity=Severity.INFO,
        message=f"has {have} of {wanted} pods ready",
        evidence=(inventory.field(ref, ("status", field), f"{field}: {have}"),),
        where=inventory.where(ref, ("status", field)),
        because=tuple(because),
    )


def untried(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A CronJob that has not run yet, or of which no run has succeeded."""
    ref, status = Ref.of(resource), mapping(resource, "status")
    if not inventory.live or not staying(resource) or mapping(resource, "spec").get("suspend") is True:
        return
    if text(status, "lastSuccessfulTime"):
        return
    ran = bool(text(status, "lastScheduleTime"))
    yield Fact(
        rule="cron.untried",
        subject=ref,
        severity=Severity.INFO,
        message="has run, and no run of it has succeeded yet" if ran else "has not run yet",
        evidence=(Evidence("absence", ref, "no lastSuccessfulTime"),),
        where=inventory.where(ref, ("status",)),
        because=tuple((rule, ref, "") for rule in _CRON),
        confidence="possible" if ran else "certain",
    )


_CRON = ("cron.blocked", "cron.deadline", "cron.missed", "cron.never", "cron.schedule")
_MAKERS = (
    ("apps", "Deployment"),
    ("apps", "StatefulSet"),
    ("apps", "DaemonSet"),
    ("apps", "ReplicaSet"),
    ("", "ReplicationController"),
)
Look = Callable[[Inventory, Resource], Iterator[Fact]]
UNITS: Mapping[tuple[str, str], Look] = {**dict.fromkeys(_MAKERS, old_without), ("", "Pod"): unnoticed}
"""What is asked of each object of a kind."""
ADVICE: Mapping[tuple[str, str], Look] = {
    **dict.fromkeys(_MAKERS, odd_workload),
    ("", "Pod"): odd_pod,
    ("batch", "CronJob"): untried,
}
"""What is asked of each object of a kind, where advice is wanted."""
