"""Deployments: ReplicaSets of a template's revisions, rolled from the old to the new.

Source: k8s.io/kubernetes/pkg/controller/deployment. One reconciliation does one thing at a time (create or grow the
new ReplicaSet, or shrink old ones, or tidy up), and always works out the status.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from fairlead.orchestrate import conditions, lives, moments, owning, proposing, rollouts
from fairlead.orchestrate.replicasets import desired
from fairlead.orchestrate.steps import Controller, Refused, Step
from fairlead.tongues import selectors
from fairlead.words import Change, Ref, Resource, View

COMPONENT = "deployment-controller"
KIND = ("apps", "Deployment")
REPLICA_SET = ("apps", "ReplicaSet")
HISTORY_LIMIT = 2000
"""How long, in characters, the list of past revisions in an annotation may grow."""
NOT_COPIED = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        rollouts.REVISION,
        rollouts.REVISION_HISTORY,
        rollouts.DESIRED,
        rollouts.MAXIMUM,
        "deprecated.deployment.rollback.to",
    }
)


@dataclass(slots=True)
class _Work:
    """One reconciliation: what is there, and the changes and conditions so far."""

    deployment: Resource
    now: datetime
    newest: Resource | None
    old: list[Resource]
    conditions: list[conditions.Condition]
    collisions: int
    changes: list[Change] = field(default_factory=list)

    @property
    def everything(self) -> list[Resource]:
        return [*self.old, *([self.newest] if self.newest else [])]

    def tell(self, severity: str, reason: str, message: str) -> None:
        self.changes.append(proposing.event(self.deployment, severity, reason, message, self.now, COMPONENT))


def same_template(one: Resource, other: Resource) -> bool:
    """Whether two pod templates are equal but for the hash label."""

    def plain(template: Resource) -> tuple[Any, Any, Any]:
        meta = template.get("metadata") or {}
        given = {
            key: value for key, value in (meta.get("labels") or {}).items() if key != rollouts.HASH_LABEL
        }
        return given, meta.get("annotations") or {}, template.get("spec")

    return plain(one) == plain(other)


def find_new(deployment: Resource, replica_sets: Sequence[Resource]) -> Resource | None:
    """Return the ReplicaSet of the Deployment's present template; the oldest if there are several."""
    template = deployment["spec"]["template"]
    for item in lives.oldest_first(replica_sets):
        if same_template(item["spec"]["template"], template):
            return item
    return None


def _reconcile(view: View, ref: Ref, now: datetime) -> Step:
    deployment = view.get(*KIND, ref.namespace, ref.name)
    if deployment is None:
        return Step()
    selector = deployment["spec"].get("selector") or {}
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        text = "This deployment is selecting all pods. A non-empty selector is required."
        told = proposing.event(deployment, "Warning", "SelectingAll", text, now, COMPONENT)
        return Step((told,))
    claim = owning.claim(view, deployment, selectors.from_object(selector), REPLICA_SET)
    newest = find_new(deployment, claim.mine)
    status = deployment.get("status") or {}
    work = _Work(
        deployment=deployment,
        now=now,
        newest=newest,
        old=[item for item in claim.mine if item is not newest],
        conditions=list(status.get("conditions") or ()),
        collisions=int(status.get("collisionCount") or 0),
        changes=list(claim.changes),
    )
    if owning.is_deleted(deployment):
        return _finish(work)
    _note_pause(work)
    if deployment["spec"].get("paused"):
        _sync_newest(work, create=False)
        _scale(work)
        _tidy(work)
        return _finish(work)
    if _was_scaled(work):
        _sync_newest(work, create=False)
        _scale(work)
        return _finish(work)
    if rollouts.is_rolling(deployment):
        _roll(work)
    else:
        _recreate(work, view)
    return _progress(work)


def _deadline(deployment: Resource) -> int | None:
    """Return progressDeadlineSeconds; None and the largest 32-bit number mean that progress is not watched."""
    seconds = deployment["spec"].get("progressDeadlineSeconds")
    return None if seconds is None or seconds == 2**31 - 1 else int(seconds)


def _note(work: _Work, status: str, reason: str, message: str) -> None:
    """Set the Progressing condition unless it already has this status and reason."""
    old = conditions.pick(work.conditions, "Progressing")
    if old is not None and old.get("status") == status and old.get("reason") == reason:
        return
    work.conditions = conditions.put(work.conditions, _progressing(status, reason, message, work.now))


def _progressing(status: str, reason: str, message: str, now: datetime) -> conditions.Condition:
    return {
        **conditions.make("Progressing", status, reason, message, now),
        "lastUpdateTime": moments.stamp(now),
    }


def _note_pause(work: _Work) -> None:
    if _deadline(work.deployment) is None:
        return
    condition = conditions.pick(work.conditions, "Progressing")
    reason = (condition or {}).get("reason")
    if reason == "ProgressDeadlineExceeded":
        return
    paused = bool(work.deployment["spec"].get("paused"))
    if paused and reason != "DeploymentPaused":
        _note(work, "Unknown", "DeploymentPaused", "Deployment is paused")
    elif not paused and reason == "DeploymentPaused":
        _note(work, "Unknown", "DeploymentResumed", "Deployment is resumed")


def _was_scaled(work: _Work) -> bool:
    replicas = desired(work.deployment)
    for item in work.everything:
        annotation = (item["metadata"].get("annotations") or {}).get(rollouts.DESIRED)
        if desired(item) > 0 and annotation is not None and annotation != str(replicas):
            return True
    return False


# Revisions


def _sync_newest(work: _Work, *, create: bool) -> None:
    """Bring the new ReplicaSet's annotations and the Deployment's revision up to date, or create the ReplicaSet."""
    revision = max((rollouts.revision_of(item) for item in work.old), default=0) + 1
    if work.newest is None:
        if create:
            _create(work, revision)
        return
    newest = work.newest
    before = newest["metadata"].get("annotations") or {}
    after = _annotations(work.deployment, before, revision)
    document: dict[str, Any] = {}
    if after != before:
        document["metadata"] = {"annotations": proposing.difference(before, after)}
    seconds = work.deployment["spec"].get("minReadySeconds") or 0
    if (newest["spec"].get("minReadySeconds") or 0) != seconds:
        document["spec"] = {"minReadySeconds": seconds}
    if document:
        work.changes.append(
            proposing.patch(newest, document, "its Deployment's annotations or revision changed")
        )
        work.newest = {**newest, "metadata": {**newest["metadata"], "annotations": after}}
    _mark_revision(work, after[rollouts.REVISION])
    if _deadline(work.deployment) is not None and conditions.pick(work.conditions, "Progressing") is None:
        _note(work, "True", "FoundNewReplicaSet", f'Found new replica set "{newest["metadata"]["name"]}"')


def _mark_revision(work: _Work, revision: str) -> None:
    if (work.deployment["metadata"].get("annotations") or {}).get(rollouts.REVISION) != revision:
        document = {"metadata": {"annotations": {rollouts.REVISION: revision}}}
        work.changes.append(proposing.patch(work.deployment, document, "its newest revision"))


def _annotations(deployment: Resource, before: dict[str, str], revision: int) -> dict[str, str]:
    """Return the annotations that the new ReplicaSet should have: the Deployment's own, and its revision's history."""
    given = deployment["metadata"].get("annotations") or {}
    after = {**before, **{key: value for key, value in given.items() if key not in NOT_COPIED}}
    old = before.get(rollouts.REVISION)
    try:
        number = int(old or 0)
    except ValueError:
        number = 0
    if number < revision:
        after[rollouts.REVISION] = str(revision)
        if old is not None:
            past = [entry for entry in before.get(rollouts.REVISION_HISTORY, "").split(",") if entry]
            past.append(old)
            while len(past) > 1 and len(",".join(past)) > HISTORY_LIMIT:
                past.pop(0)
            after[rollouts.REVISION_HISTORY] = ",".join(past)
    return after


def _sizes(deployment: Resource) -> dict[str, str]:
    replicas = desired(deployment)
    return {
        rollouts.DESIRED: str(replicas),
        rollouts.MAXIMUM: str(replicas + rollouts.margins(deployment).surge),
    }


def _create(work: _Work, revision: int) -> None:
    deployment = work.deployment
    meta = deployment["metadata"]
    spec = deployment["spec"]
    digest = owning.template_hash(spec["template"], work.collisions)
    given = spec["template"].get("metadata") or {}
    tagged = {**(given.get("labels") or {}), rollouts.HASH_LABEL: digest}
    template = {**spec["template"], "metadata": {**given, "labels": tagged}}
    selector = spec["selector"]
    size = rollouts.new_size(deployment, work.old, 0)
    body: Resource = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{meta['name']}-{digest}",
            "namespace": meta.get("namespace", ""),
            "labels": tagged,
            "annotations": {**_annotations(deployment, {}, revision), **_sizes(deployment)},
            "ownerReferences": [owning.reference_to(deployment)],
        },
        "spec": {
            "replicas": size,
            "selector": {
                **selector,
                "matchLabels": {**(selector.get("matchLabels") or {}), rollouts.HASH_LABEL: digest},
            },
            "template": template,
        },
    }
    if spec.get("minReadySeconds"):
        body["spec"]["minReadySeconds"] = spec["minReadySeconds"]
    name = body["metadata"]["name"]
    work.changes.append(proposing.create(body, "the pod template has no ReplicaSet yet"))
    if size > 0:
        work.tell("Normal", "ScalingReplicaSet", f"Scaled up replica set {name} from 0 to {size}")
    _mark_revision(work, str(revision))
    work.newest = body
    if _deadline(deployment) is not None:
        _note(work, "True", "NewReplicaSetCreated", f'Created new replica set "{name}"')


# Sizes


def _resize(work: _Work, item: Resource, size: int, *, annotate: bool = False) -> bool:
    """Propose the ReplicaSet's new size; with `annotate`, its annotations even where the size stays. Tell whether it moves."""
    before = desired(item)
    annotations = item["metadata"].get("annotations") or {}
    stale = {key: value for key, value in _sizes(work.deployment).items() if annotations.get(key) != value}
    if size == before and not (annotate and stale):
        return False
    document: dict[str, Any] = {}
    if stale:
        document["metadata"] = {"annotations": stale}
    if size != before:
        document["spec"] = {"replicas": size}
    work.changes.append(proposing.patch(item, document, f"the rollout wants {size} of this revision"))
    if size != before:
        direction = "up" if size > before else "down"
        name = item["metadata"]["name"]
        work.tell(
            "Normal", "ScalingReplicaSet", f"Scaled {direction} replica set {name} from {before} to {size}"
        )
    return size != before


def _scale(work: _Work) -> None:
    """Follow a change of spec.replicas: the one active ReplicaSet takes it all, several share it in proportion."""
    active = [item for item in work.everything if desired(item) > 0]
    replicas = desired(work.deployment)
    if len(active) <= 1:
        latest = active[0] if active else work.newest
        if latest is None and work.old:
            latest = lives.oldest_first(work.old)[-1]
        if latest is not None:
            _resize(work, latest, replicas, annotate=True)
        return
    if work.newest is not None and _is_saturated(work, work.newest):
        for item in work.old:
            _resize(work, item, 0)
        return
    if rollouts.is_rolling(work.deployment):
        sizes = rollouts.proportions(work.deployment, active)
        for item in active:
            _resize(work, item, sizes[item["metadata"]["name"]], annotate=True)


def _is_saturated(work: _Work, newest: Resource) -> bool:
    replicas = desired(work.deployment)
    annotation = (newest["metadata"].get("annotations") or {}).get(rollouts.DESIRED)
    return (
        desired(newest) == replicas
        and annotation == str(replicas)
        and rollouts.counted([newest], "availableReplicas") == replicas
    )


def _roll(work: _Work) -> None:
    fresh = work.newest is None
    _sync_newest(work, create=True)
    newest = work.newest
    if newest is None or fresh:
        return
    replicas = desired(work.deployment)
    size = desired(newest)
    if size > replicas:
        grown = replicas
    elif size < replicas:
        grown = rollouts.new_size(work.deployment, work.everything, size)
    else:
        grown = size
    if _resize(work, newest, grown):
        return
    sizes = rollouts.shrunk(work.deployment, newest, work.old)
    moved = [_resize(work, item, sizes[item["metadata"]["name"]]) for item in work.old if sizes]
    if not any(moved):
        _tidy_when_complete(work)


def _recreate(work: _Work, view: View) -> None:
    _sync_newest(work, create=False)
    moved = [_resize(work, item, 0) for item in work.old]
    if any(moved) or _old_pods_run(work, view):
        return
    if work.newest is None:
        _sync_newest(work, create=True)
        return
    if not _resize(work, work.newest, desired(work.deployment)):
        _tidy_when_complete(work)


def _old_pods_run(work: _Work, view: View) -> bool:
    if rollouts.counted(work.old, "replicas") > 0:
        return True
    return any(
        pod["kind"] == "Pod" and not lives.is_finished(pod)
        for item in work.old
        for pod in view.owned(item["metadata"].get("uid", ""))
    )


def _tidy_when_complete(work: _Work) -> None:
    if _is_complete(work.deployment, work.deployment.get("status") or {}):
        _tidy(work)


def _tidy(work: _Work) -> None:
    """Delete what is beyond revisionHistoryLimit, oldest revision first, never one that has pods."""
    limit = work.deployment["spec"].get("revisionHistoryLimit")
    if limit is None or limit == 2**31 - 1:
        return
    alive = [item for item in work.old if not owning.is_deleted(item)]
    for item in sorted(alive, key=rollouts.revision_of)[: max(len(alive) - int(limit), 0)]:
        status = item.get("status") or {}
        unseen = item["metadata"].get("generation", 0) > status.get("observedGeneration", 0)
        if status.get("replicas") or desired(item) or unseen:
            continue
        work.changes.append(proposing.delete(item, "beyond the revision history limit"))


# Status


def _status(work: _Work) -> dict[str, Any]:
    everything = work.everything
    deployment = work.deployment
    available = rollouts.counted(everything, "availableReplicas")
    status = {
        "observedGeneration": deployment["metadata"].get("generation", 0),
        "replicas": rollouts.counted(everything, "replicas"),
        "updatedReplicas": rollouts.counted([work.newest] if work.newest else [], "replicas"),
        "readyReplicas": rollouts.counted(everything, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(rollouts.total(everything) - available, 0),
    }
    counters: dict[str, Any] = {
        key: value for key, value in status.items() if value or key == "observedGeneration"
    }
    if work.collisions:
        counters["collisionCount"] = work.collisions
    if available >= desired(deployment) - rollouts.margins(deployment).unavailable:
        found = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        found = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    old = conditions.pick(work.conditions, "Available")
    if old is None or (old.get("status"), old.get("reason")) != found[:2]:
        made = {**conditions.make("Available", *found, work.now), "lastUpdateTime": moments.stamp(work.now)}
        work.conditions = conditions.put(work.conditions, made)
    counters["conditions"] = work.conditions
    return counters


def _finish(work: _Work) -> Step:
    return Step((*work.changes, *proposing.status(work.deployment, _status(work))))


def _is_complete(deployment: Resource, status: dict[str, Any]) -> bool:
    replicas = desired(deployment)
    counts = {status.get(key, 0) for key in ("updatedReplicas", "replicas", "availableReplicas")}
    return counts == {replicas} and status.get("observedGeneration", 0) >= deployment["metadata"].get(
        "generation", 0
    )


def _progress(work: _Work) -> Step:
    """Judge the rollout's progress, write the status, and say when to look for a missed deadline."""
    deployment = work.deployment
    status = _status(work)
    current = conditions.find(deployment, "Progressing")
    pending = conditions.pick(work.conditions, "Progressing")
    seconds = _deadline(deployment)
    if seconds is None:
        work.conditions = conditions.drop(work.conditions, "Progressing")
    elif not (
        status.get("replicas", 0) == status.get("updatedReplicas", 0)
        and (current or {}).get("reason") == "NewReplicaSetAvailable"
        and pending == current
    ):
        _judge(work, status, seconds)
    failures = [
        condition
        for item in (*([work.newest] if work.newest else []), *work.old)
        if (condition := conditions.find(item, "ReplicaFailure")) is not None
    ]
    if failures:
        moved = {**failures[0], "lastUpdateTime": failures[0].get("lastTransitionTime")}
        work.conditions = conditions.put(work.conditions, {**moved, "type": "ReplicaFailure"})
    else:
        work.conditions = conditions.drop(work.conditions, "ReplicaFailure")
    status["conditions"] = work.conditions
    step = Step((*work.changes, *proposing.status(deployment, status)))
    return replace(step, again=_overdue_in(work, seconds))


def _judge(work: _Work, status: dict[str, Any], seconds: int) -> None:
    deployment = work.deployment
    before = deployment.get("status") or {}
    name = work.newest["metadata"]["name"] if work.newest else deployment["metadata"]["name"]
    who = f'{"ReplicaSet" if work.newest else "Deployment"} "{name}"'
    current = conditions.pick(work.conditions, "Progressing")
    if _is_complete(deployment, status):
        _note(work, "True", "NewReplicaSetAvailable", f"{who} has successfully progressed.")
    elif _has_moved(before, status):
        new = _progressing("True", "ReplicaSetUpdated", f"{who} is progressing.", work.now)
        if current is not None and current.get("status") == "True":
            new["lastTransitionTime"] = current.get("lastTransitionTime")
        work.conditions = [*conditions.drop(work.conditions, "Progressing"), new]
    elif _is_overdue(current, seconds, work.now):
        _note(work, "False", "ProgressDeadlineExceeded", f"{who} has timed out progressing.")


def _has_moved(before: dict[str, Any], after: dict[str, Any]) -> bool:
    def old_ones(status: dict[str, Any]) -> int:
        return int(status.get("replicas", 0)) - int(status.get("updatedReplicas", 0))

    return old_ones(after) < old_ones(before) or any(
        after.get(key, 0) > before.get(key, 0)
        for key in ("updatedReplicas", "readyReplicas", "availableReplicas")
    )


def _is_overdue(condition: conditions.Condition | None, seconds: int, now: datetime) -> bool:
    if condition is None or condition.get("reason") == "NewReplicaSetAvailable":
        return False
    if condition.get("reason") == "ProgressDeadlineExceeded":
        return True
    return moments.parse(condition.get("lastUpdateTime") or "") + timedelta(seconds=seconds) < now


def _overdue_in(work: _Work, seconds: int | None) -> timedelta | None:
    condition = conditions.pick(work.conditions, "Progressing")
    if seconds is None or condition is None:
        return None
    if condition.get("reason") in {"NewReplicaSetAvailable", "ProgressDeadlineExceeded"}:
        return None
    due = moments.parse(condition.get("lastUpdateTime") or "") + timedelta(seconds=seconds + 1)
    return max(due - work.now, timedelta(seconds=1))


def _refused(view: View, ref: Ref, change: Change, refusal: Refused, now: datetime) -> Step:
    deployment = view.get(*KIND, ref.namespace, ref.name)
    if deployment is None or change.ref.kind != "ReplicaSet" or change.verb != "create":
        return Step()
    status = dict(deployment.get("status") or {})
    if refusal.reason == "AlreadyExists":
        rival = view.get(*REPLICA_SET, ref.namespace, change.ref.name)
        if rival is None:
            return Step()
        boss = (owning.controller_of(rival) or {}).get("uid")
        if boss == deployment["metadata"].get("uid") and find_new(deployment, [rival]) is not None:
            return Step()
        status["collisionCount"] = int(status.get("collisionCount") or 0) + 1
        return Step(proposing.status(deployment, status, "another ReplicaSet has the name"))
    if "because it is being terminated" in refusal.message:
        return Step()
    text = f'Failed to create new replica set "{change.ref.name}": {refusal.message}'
    changes: tuple[Change, ...] = ()
    if _deadline(deployment) is not None:
        made = _progressing("False", "ReplicaSetCreateError", text, now)
        status["conditions"] = conditions.put(status.get("conditions") or [], made)
        changes = proposing.status(deployment, status)
    return Step(
        (*changes, proposing.event(deployment, "Warning", "ReplicaSetCreateError", text, now, COMPONENT))
    )


def _concerned(view: View, item: Resource) -> list[Ref]:
    """Return the Deployment of a ReplicaSet, or every one that would adopt it."""
    if owning.controller_of(item) is not None:
        return owning.controller_ref(item, *KIND)
    namespace = item["metadata"].get("namespace", "")
    return [
        Ref.of(deployment)
        for deployment in view.list(*KIND, namespace)
        if selectors.from_object(deployment["spec"].get("selector")).matches(owning.labels(item))
    ]


def _of_pod(view: View, pod: Resource) -> list[Ref]:
    """Return the Deployment above a pod: the last old pod's end lets a Recreate go on."""
    for parent in owning.controller_ref(pod, *REPLICA_SET):
        replica_set = view.get(*REPLICA_SET, parent.namespace, parent.name)
        if replica_set is None:
            continue
        return [
            above
            for above in owning.controller_ref(replica_set, *KIND)
            if (deployment := view.get(*KIND, above.namespace, above.name))
            and not rollouts.is_rolling(deployment)
        ]
    return []


DEPLOYMENTS = Controller(
    name="deployment",
    kind=KIND,
    reconcile=_reconcile,
    watches={REPLICA_SET: _concerned, ("", "Pod"): _of_pod},
    refused=_refused,
)
