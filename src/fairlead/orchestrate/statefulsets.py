"""StatefulSets: pods with names, kept, updated and removed one after the other.

Source: k8s.io/kubernetes/pkg/controller/statefulset (stateful_set_control.go).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from fairlead.orchestrate import identities, lives, moments, owning, proposing, revisions
from fairlead.orchestrate.identities import COMPONENT
from fairlead.orchestrate.replicasets import desired
from fairlead.orchestrate.steps import Controller, Refused, Step
from fairlead.tongues import selectors
from fairlead.words import Change, Ref, Resource, View

KIND = ("apps", "StatefulSet")


@dataclass(slots=True)
class _Work:
    """One reconciliation of one set."""

    view: View
    owner: Resource
    now: datetime
    history: revisions.History
    current: Resource
    status: dict[str, Any]
    changes: list[Change] = field(default_factory=list)
    waits: list[timedelta | None] = field(default_factory=list)

    @property
    def name(self) -> str:
        return str(self.owner["metadata"]["name"])

    @property
    def ordered(self) -> bool:
        return str(self.owner["spec"].get("podManagementPolicy") or "OrderedReady") == "OrderedReady"

    def tell(self, severity: str, reason: str, message: str) -> None:
        self.changes.append(proposing.event(self.owner, severity, reason, message, self.now, COMPONENT))

    def is_ready(self, pod: Resource) -> bool:
        return lives.phase(pod) == "Running" and lives.is_ready(pod)

    def is_available(self, pod: Resource) -> bool:
        seconds = int(self.owner["spec"].get("minReadySeconds") or 0)
        if not self.is_ready(pod):
            return False
        wait = lives.available_in(pod, seconds, self.now)
        if wait:
            self.waits.append(wait)
            return False
        return wait is not None


def _reconcile(view: View, ref: Ref, now: datetime) -> Step:
    owner = view.get(*KIND, ref.namespace, ref.name)
    if owner is None or owning.is_deleted(owner):
        return Step()
    claim = owning.claim(view, owner, selectors.from_object(owner["spec"].get("selector")), ("", "Pod"))
    named = {
        pod["metadata"]["name"]: identities.ordinal(owner, pod["metadata"]["name"]) for pod in claim.mine
    }
    foreign = {name for name, number in named.items() if number is None}
    pods = [pod for pod in claim.mine if pod["metadata"]["name"] not in foreign]
    history = revisions.history(view, owner, revisions.HASH)
    old = owner.get("status") or {}
    current = history.named(old.get("currentRevision") or "") or history.newest
    status: dict[str, Any] = {
        "observedGeneration": owner["metadata"].get("generation", 0),
        "currentRevision": current["metadata"]["name"],
        "updateRevision": history.newest["metadata"]["name"],
        "collisionCount": old.get("collisionCount") or 0,
    }
    if old.get("conditions"):
        status["conditions"] = old["conditions"]
    work = _Work(view, owner, now, history, current, status)
    work.changes += [change for change in claim.changes if change.ref.name not in foreign]
    work.changes += history.changes
    by_ordinal = {named[pod["metadata"]["name"]] or 0: pod for pod in pods}
    _count(work, pods)
    _act(work, by_ordinal)
    _complete(work)
    used = [current["metadata"]["name"], *(_revision(pod) for pod in pods)]
    work.changes += revisions.truncate(history, owner, used)
    work.changes += proposing.status(owner, status)
    return Step(tuple(work.changes), moments.soonest(work.waits))


def _revision(pod: Resource) -> str:
    return owning.labels(pod).get(revisions.LABEL, "")


def _count(work: _Work, pods: list[Resource]) -> None:
    status = work.status
    status["replicas"] = len(pods)
    status["readyReplicas"] = sum(work.is_ready(pod) for pod in pods)
    status["availableReplicas"] = sum(work.is_available(pod) for pod in pods)
    living = [_revision(pod) for pod in pods if not owning.is_deleted(pod)]
    status["currentReplicas"] = living.count(status["currentRevision"])
    status["updatedReplicas"] = living.count(status["updateRevision"])


def _complete(work: _Work) -> None:
    """A rolling update is over when every pod is updated and ready: the update revision becomes the current one."""
    status = work.status
    if _strategy(work.owner) == "RollingUpdate":
        goal = desired(work.owner)
        if (
            status["updatedReplicas"] == goal
            and status["readyReplicas"] == goal
            and status["replicas"] == goal
        ):
            status["currentReplicas"] = status["updatedReplicas"]
            status["currentRevision"] = status["updateRevision"]
    for key in ("readyReplicas", "currentReplicas", "updatedReplicas"):
        if not status[key]:
            del status[key]


def _strategy(owner: Resource) -> str:
    return str((owner["spec"].get("updateStrategy") or {}).get("type") or "RollingUpdate")


def _partition(owner: Resource) -> int | None:
    rolling = (owner["spec"].get("updateStrategy") or {}).get("rollingUpdate")
    return None if rolling is None else int(rolling.get("partition") or 0)


def _is_old(work: _Work, number: int) -> bool:
    """Whether a missing pod of this ordinal is to be made after the current revision, not the update."""
    if _strategy(work.owner) != "RollingUpdate":
        return False
    first = identities.start(work.owner)
    partition = _partition(work.owner)
    below: int = work.status["currentReplicas"] if partition is None else partition
    return number < first + below


def _act(work: _Work, pods: dict[int, Resource]) -> None:
    first = identities.start(work.owner)
    wanted = range(first, first + desired(work.owner))
    for number in wanted:
        if not _keep(work, number, pods.get(number)):
            return
    condemned = sorted((number for number in pods if number not in wanted), reverse=True)
    unhealthy = [
        number
        for number in (*wanted, *sorted(condemned))
        if number in pods and not _is_healthy(work, pods[number])
    ]
    for number in condemned:
        if not _condemn(work, pods[number], is_first=bool(unhealthy) and unhealthy[0] == number):
            return
    if _strategy(work.owner) == "OnDelete":
        return
    lowest = first + (_partition(work.owner) or 0)
    for number in reversed(wanted):
        if number < lowest:
            break
        pod = pods.get(number)
        if pod is None:
            return
        if _revision(pod) != work.status["updateRevision"] and not owning.is_deleted(pod):
            _delete(work, pod, "the rolling update reached it")
            if _revision(pod) == work.status["currentRevision"]:
                work.status["currentReplicas"] -= 1
            return
        if not _is_healthy(work, pod):
            return


def _is_healthy(work: _Work, pod: Resource) -> bool:
    return work.is_ready(pod) and not owning.is_deleted(pod)


def _keep(work: _Work, number: int, pod: Resource | None) -> bool:
    """Make sure of one ordinal; tell whether the next may be looked at."""
    if pod is None:
        _create(work, number)
        return not work.ordered
    if lives.is_finished(pod):
        if not owning.is_deleted(pod):
            where = f"StatefulSet {work.owner['metadata'].get('namespace', '')}/{work.name}"
            name = pod["metadata"]["name"]
            if lives.phase(pod) == "Failed":
                work.tell("Warning", "RecreatingFailedPod", f"{where} is recreating failed Pod {name}")
            else:
                work.tell("Normal", "RecreatingTerminatedPod", f"{where} is recreating terminated Pod {name}")
            _delete(work, pod, "it has finished")
        return not work.ordered
    if owning.is_deleted(pod):
        return not work.ordered
    if lives.phase(pod) == "Pending":
        work.changes += identities.claims(work.view, work.owner, number, work.now)
    if work.ordered and not work.is_available(pod):
        return False
    work.changes += identities.restore(work.owner, pod)
    work.changes += identities.retention(work.view, work.owner, pod, condemned=False)
    return True


def _create(work: _Work, number: int) -> None:
    revision = work.current if _is_old(work, number) else work.history.newest
    name = revision["metadata"]["name"]
    template = revisions.template_of(revision)
    work.changes += identities.claims(work.view, work.owner, number, work.now)
    pod = identities.build(work.owner, template, name, number)
    work.changes.append(proposing.create(pod, f"StatefulSet {work.name} lacks ordinal {number}"))
    text = f"create Pod {pod['metadata']['name']} in StatefulSet {work.name} successful"
    work.tell("Normal", "SuccessfulCreate", text)


def _delete(work: _Work, pod: Resource, why: str) -> None:
    work.changes.append(proposing.delete(pod, why))
    text = f"delete Pod {pod['metadata']['name']} in StatefulSet {work.name} successful"
    work.tell("Normal", "SuccessfulDelete", text)


def _condemn(work: _Work, pod: Resource, *, is_first: bool) -> bool:
    """Remove a pod beyond the replicas; tell whether the next may be looked at."""
    if owning.is_deleted(pod):
        return not work.ordered
    if work.ordered and not is_first and not work.is_available(pod):
        return False
    work.changes += identities.retention(work.view, work.owner, pod, condemned=True)
    _delete(work, pod, "beyond the replicas")
    return not work.ordered


def _refused(view: View, ref: Ref, change: Change, refusal: Refused, now: datetime) -> Step:
    owner = view.get(*KIND, ref.namespace, ref.name)
    if owner is None or change.ref.kind not in {"Pod", "PersistentVolumeClaim"}:
        return Step()
    if refusal.reason in {"AlreadyExists", "Conflict"} or change.verb not in {"create", "delete"}:
        return Step()
    what = "Pod" if change.ref.kind == "Pod" else "Claim"
    text = f"{change.verb} {what} {change.ref.name} in StatefulSet {ref.name} failed error: {refusal.message}"
    reason = f"Failed{change.verb.capitalize()}"
    return Step((proposing.event(owner, "Warning", reason, text, now, COMPONENT),))


def _of_pod(view: View, pod: Resource) -> list[Ref]:
    return owning.concerned(view, pod, *KIND)


def _of_revision(view: View, revision: Resource) -> list[Ref]:
    del view
    return owning.controller_ref(revision, *KIND)


STATEFUL_SETS = Controller(
    name="statefulset",
    kind=KIND,
    reconcile=_reconcile,
    watches={
        ("", "Pod"): _of_pod,
        revisions.KIND: _of_revision,
    },
    refused=_refused,
)
