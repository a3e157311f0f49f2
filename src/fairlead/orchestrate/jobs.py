"""Jobs: pods that run to completion, counted once each, retried with back-off, and given up on in time.

Source: k8s.io/kubernetes/pkg/controller/job. A finished pod is counted in two steps: its uid goes to
status.uncountedTerminatedPods before its finalizer goes, and becomes a number after.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from fairlead.orchestrate import conditions, indexes, lives, moments, owning, proposing, verdicts
from fairlead.orchestrate.steps import Controller, Refused, Step
from fairlead.orchestrate.verdicts import Verdict
from fairlead.words import Change, Ref, Resource, View

KIND = ("batch", "Job")
COMPONENT = "job-controller"
TRACKING = "batch.kubernetes.io/job-tracking"
FIRST_DELAY = timedelta(seconds=10)
LONGEST_DELAY = timedelta(minutes=10)
BURST = 500


@dataclass(slots=True)
class _Work:
    """One reconciliation: the Job's pods in their kinds, its status as it will be, and the changes."""

    view: View
    job: Resource
    now: datetime
    pods: list[Resource]
    status: dict[str, Any]
    conditions: list[conditions.Condition]
    before: list[Change] = field(default_factory=list)
    after: list[Change] = field(default_factory=list)
    waits: list[timedelta | None] = field(default_factory=list)
    failed_now: list[Resource] = field(default_factory=list)

    @property
    def spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = self.job["spec"]
        return spec

    @property
    def is_indexed(self) -> bool:
        return self.spec.get("completionMode") == "Indexed"

    @property
    def completions(self) -> int | None:
        found = self.spec.get("completions")
        return None if found is None else int(found)

    @property
    def parallelism(self) -> int:
        found = self.spec.get("parallelism")
        return 1 if found is None else int(found)

    @property
    def replaces_failed_only(self) -> bool:
        policy = self.spec.get("podReplacementPolicy")
        return policy == "Failed" or (policy is None and self.spec.get("podFailurePolicy") is not None)

    @property
    def active(self) -> list[Resource]:
        return [pod for pod in self.pods if lives.is_active(pod)]

    @property
    def terminating(self) -> list[Resource]:
        return [pod for pod in self.pods if owning.is_deleted(pod) and not lives.is_finished(pod)]

    def tell(self, severity: str, reason: str, message: str) -> Change:
        return proposing.event(self.job, severity, reason, message, self.now, COMPONENT)

    def note(self, kind: str, status: str, reason: str, message: str) -> None:
        made = conditions.make(kind, status, reason, message, self.now)
        made["lastProbeTime"] = made["lastTransitionTime"]
        self.conditions = conditions.put(self.conditions, made)


def is_finished(job: Resource) -> bool:
    """Whether the Job is Complete or Failed."""
    return conditions.is_true(job, "Complete") or conditions.is_true(job, "Failed")


def _reconcile(view: View, ref: Ref, now: datetime) -> Step:
    job = view.get(*KIND, ref.namespace, ref.name)
    if job is None:
        return Step()
    if (job["spec"].get("managedBy") or "kubernetes.io/job-controller") != "kubernetes.io/job-controller":
        return Step()
    pods = [
        pod
        for pod in view.owned(job["metadata"].get("uid", ""))
        if pod["kind"] == "Pod" and (owning.controller_of(pod) or {}).get("uid") == job["metadata"].get("uid")
    ]
    if is_finished(job):
        return _after_the_end(job, pods, now)
    status = dict(job.get("status") or {})
    pods.sort(key=lambda pod: pod["metadata"]["name"])
    work = _Work(view, job, now, pods, status, list(status.get("conditions") or ()))
    if owning.is_deleted(job):
        return Step(tuple(_free(pods)))
    _start(work)
    _count(work)
    verdict = _failure(work)
    if verdict is None:
        verdict_met = _success(work)
        if verdict_met is not None:
            _stop(work, "the job has succeeded")
            _finish(work, "SuccessCriteriaMet", "Complete", verdict_met)
        elif _is_suspended(work):
            _suspend(work)
        else:
            _resume(work)
            _manage(work)
    else:
        _stop(work, "the job has failed")
        _finish(work, "FailureTarget", "Failed", verdict)
    _write_counts(work)
    return Step((*work.before, *proposing.status(job, work.status), *work.after), moments.soonest(work.waits))


def _is_suspended(work: _Work) -> bool:
    return bool(work.spec.get("suspend"))


def _start(work: _Work) -> None:
    if work.status.get("startTime") is None and not _is_suspended(work):
        work.status["startTime"] = moments.stamp(work.now)
    if work.status.get("startTime") is not None and work.spec.get("activeDeadlineSeconds") is not None:
        start = moments.parse(work.status["startTime"])
        due = start + timedelta(seconds=int(work.spec["activeDeadlineSeconds"]))
        if due > work.now and not _is_suspended(work):
            work.waits.append(due - work.now)


# Counting


def _is_failed(work: _Work, pod: Resource) -> bool:
    """Whether the pod counts as failed: ended so, or deleted before it succeeded."""
    if lives.phase(pod) == "Failed":
        return True
    return owning.is_deleted(pod) and lives.phase(pod) != "Succeeded" and not work.replaces_failed_only


def _has_finalizer(pod: Resource) -> bool:
    return TRACKING in (pod["metadata"].get("finalizers") or ())


def _unfinalized(pod: Resource, why: str) -> Change:
    left = [entry for entry in pod["metadata"].get("finalizers") or () if entry != TRACKING]
    return proposing.patch(pod, {"metadata": {"finalizers": left}}, why, exact=True)


def _free(pods: Iterable[Resource]) -> list[Change]:
    return [_unfinalized(pod, "its job is over") for pod in pods if _has_finalizer(pod)]


def _count(work: _Work) -> None:
    """Turn uids into numbers once their finalizer is gone, and write down the uids of pods that ended since."""
    waiting = work.status.get("uncountedTerminatedPods") or {}
    known = {key: list(waiting.get(key) or ()) for key in ("succeeded", "failed")}
    by_uid = {pod["metadata"].get("uid"): pod for pod in work.pods}
    for key in ("succeeded", "failed"):
        held = [uid for uid in known[key] if uid in by_uid and _has_finalizer(by_uid[uid])]
        work.status[key] = int(work.status.get(key) or 0) + len(known[key]) - len(held)
        known[key] = held
        work.after += [_unfinalized(by_uid[uid], "it is counted") for uid in held]
    noted = {*known["succeeded"], *known["failed"]}
    completed = _completed(work)
    for pod in work.pods:
        uid = pod["metadata"].get("uid", "")
        if uid in noted or not _has_finalizer(pod):
            continue
        if lives.phase(pod) == "Succeeded":
            index = indexes.of(pod)
            if work.is_indexed and (index is None or index in completed or index >= (work.completions or 0)):
                work.after.append(_unfinalized(pod, "its index is done already"))
                continue
            if index is not None:
                completed.add(index)
            known["succeeded"].append(uid)
            work.after.append(_unfinalized(pod, "it is counted"))
        elif _is_failed(work, pod):
            action, _ = verdicts.judge(work.job, pod) if lives.phase(pod) == "Failed" else ("", "")
            work.failed_now.append(pod)
            if action != "Ignore":
                known["failed"].append(uid)
            work.after.append(_unfinalized(pod, "it is counted"))
    work.status["uncountedTerminatedPods"] = {key: uids for key, uids in known.items() if uids}
    if work.is_indexed:
        _write_indexes(work, completed)


def _completed(work: _Work) -> set[int]:
    return indexes.read(work.status.get("completedIndexes"), work.completions or 0)


def _write_indexes(work: _Work, completed: set[int]) -> None:
    if completed:
        work.status["completedIndexes"] = indexes.write(completed)
    if work.spec.get("backoffLimitPerIndex") is not None:
        failed = indexes.read(work.status.get("failedIndexes"), work.completions or 0)
        failed |= set(verdicts.failed_indexes(work.job, [*work.failed_now, *_failed_pods(work)]))
        work.status["failedIndexes"] = indexes.write(failed - completed)


def _failed_pods(work: _Work) -> list[Resource]:
    return [pod for pod in work.pods if lives.phase(pod) == "Failed"]


def _total(work: _Work, key: str) -> int:
    waiting = work.status.get("uncountedTerminatedPods") or {}
    return int(work.status.get(key) or 0) + len(waiting.get(key) or ())


def _write_counts(work: _Work) -> None:
    active = work.active
    deleted = {change.ref.name for change in work.before if change.verb == "delete"}
    stopping = [pod for pod in active if pod["metadata"]["name"] in deleted]
    created = sum(change.verb == "create" and change.ref.kind == "Pod" for change in work.before)
    work.status["active"] = len(active) - len(stopping) + created
    work.status["ready"] = sum(lives.is_ready(pod) for pod in active if pod not in stopping)
    work.status["terminating"] = len(work.terminating) + len(stopping)
    for key in ("active", "succeeded", "failed"):
        if not work.status.get(key):
            work.status.pop(key, None)
    if work.conditions:
        work.status["conditions"] = work.conditions


# The end


def _failure(work: _Work) -> Verdict | None:
    target = conditions.pick(work.conditions, "FailureTarget")
    if target is not None:
        return Verdict(str(target.get("reason")), str(target.get("message")))
    if conditions.pick(work.conditions, "SuccessCriteriaMet") is not None:
        return None
    for pod in _failed_pods(work):
        action, text = verdicts.judge(work.job, pod)
        if action == "FailJob":
            return Verdict("PodFailurePolicy", text)
    if _total(work, "failed") > verdicts.backoff_limit(work.job) or verdicts.over_restarts(
        work.job, work.active
    ):
        return Verdict("BackoffLimitExceeded", "Job has reached the specified backoff limit")
    seconds = work.spec.get("activeDeadlineSeconds")
    start = work.status.get("startTime")
    if seconds is not None and start is not None and not _is_suspended(work):
        due = moments.parse(start) + timedelta(seconds=int(seconds))
        if work.now >= due:
            return Verdict("DeadlineExceeded", "Job was active longer than specified deadline")
    return _failed_indexes(work)


def _failed_indexes(work: _Work) -> Verdict | None:
    if work.spec.get("backoffLimitPerIndex") is None or not work.is_indexed:
        return None
    failed = indexes.read(work.status.get("failedIndexes"), work.completions or 0)
    limit = work.spec.get("maxFailedIndexes")
    if limit is not None and len(failed) > int(limit):
        return Verdict(
            "MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes"
        )
    done = _completed(work)
    if failed and len(failed) + len(done) >= (work.completions or 0):
        return Verdict("FailedIndexes", "Job has failed indexes")
    return None


def _success(work: _Work) -> Verdict | None:
    target = conditions.pick(work.conditions, "SuccessCriteriaMet")
    if target is not None:
        return Verdict(str(target.get("reason")), str(target.get("message")))
    succeeded = len(_completed(work)) if work.is_indexed else _total(work, "succeeded")
    if work.spec.get("successPolicy") is not None and work.is_indexed:
        found = verdicts.met(work.job, _completed(work))
        if found is not None:
            return found
    if work.completions is None:
        complete = succeeded > 0 and not work.active
    else:
        complete = succeeded >= work.completions
    return Verdict("CompletionsReached", "Reached expected number of succeeded pods") if complete else None


def _finish(work: _Work, target: str, final: str, verdict: Verdict) -> None:
    """First say where it is going; when the last pod has ended and is counted, say that it is there."""
    work.note(target, "True", verdict.reason, verdict.message)
    waiting = work.status.get("uncountedTerminatedPods") or {}
    if work.active or work.terminating or any(waiting.values()):
        return
    work.note(final, "True", verdict.reason, verdict.message)
    if final == "Complete":
        work.status["completionTime"] = moments.stamp(work.now)
        work.after.append(work.tell("Normal", "Completed", "Job completed"))
    else:
        work.after.append(work.tell("Warning", verdict.reason, verdict.message))
    seconds = work.spec.get("ttlSecondsAfterFinished")
    if seconds is not None:
        work.waits.append(timedelta(seconds=int(seconds)))


def _after_the_end(job: Resource, pods: Sequence[Resource], now: datetime) -> Step:
    """Let go of the pods, and delete the Job when its time is over."""
    changes = _free(pods)
    seconds = job["spec"].get("ttlSecondsAfterFinished")
    if seconds is None or owning.is_deleted(job):
        return Step(tuple(changes))
    ended = [
        moments.parse(condition.get("lastTransitionTime") or "")
        for condition in job["status"]["conditions"]
        if condition["type"] in {"Complete", "Failed"} and condition["status"] == "True"
    ]
    due = max(ended) + timedelta(seconds=int(seconds))
    if due > now:
        return Step(tuple(changes), due - now)
    options = {"propagationPolicy": "Foreground"}
    return Step((*changes, proposing.delete(job, "its time to live after the end is over", options)))


def _stop(work: _Work, why: str) -> None:
    for pod in work.active:
        work.before.append(proposing.delete(pod, why))
        work.before.append(work.tell("Normal", "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}"))


# Running


def _suspend(work: _Work) -> None:
    _stop(work, "the job is suspended")
    old = conditions.pick(work.conditions, "Suspended")
    work.note("Suspended", "True", "JobSuspended", "Job suspended")
    work.status.pop("startTime", None)
    if old is None or old.get("status") != "True":
        work.after.append(work.tell("Normal", "Suspended", "Job suspended"))


def _resume(work: _Work) -> None:
    old = conditions.pick(work.conditions, "Suspended")
    if old is not None and old.get("status") == "True":
        work.note("Suspended", "False", "JobResumed", "Job resumed")
        work.status["startTime"] = moments.stamp(work.now)
        work.after.append(work.tell("Normal", "Resumed", "Job resumed"))


def _manage(work: _Work) -> None:
    active = work.active
    done = len(_completed(work)) if work.is_indexed else _total(work, "succeeded")
    if work.completions is None:
        wanted = len(active) if done > 0 else work.parallelism
    else:
        failed = (
            len(indexes.read(work.status.get("failedIndexes"), work.completions)) if work.is_indexed else 0
        )
        wanted = max(min(work.completions - done - failed, work.parallelism), 0)
    if len(active) > wanted:
        surplus = sorted(active, key=lives.least_wanted(work.now))[: len(active) - wanted]
        for pod in surplus[:BURST]:
            work.before.append(proposing.delete(pod, "more pods than the job's parallelism"))
            work.before.append(
                work.tell("Normal", "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}")
            )
        return
    missing = wanted - len(active)
    if work.replaces_failed_only:
        missing -= len(work.terminating)
    if missing <= 0:
        return
    wait = _backoff(work)
    if wait > timedelta(0):
        work.waits.append(wait)
        return
    _create(work, min(missing, BURST))


def _ended(pod: Resource) -> datetime:
    """Return when the pod's last container ended, or what comes closest to it."""
    status = pod.get("status") or {}
    ends = [
        moments.parse(((entry.get("state") or {}).get("terminated") or {}).get("finishedAt") or "")
        for entry in status.get("containerStatuses") or ()
    ]
    latest = max(ends, default=moments.EPOCH)
    if latest > moments.EPOCH:
        return latest
    for text in (
        pod["metadata"].get("deletionTimestamp"),
        (conditions.find(pod, "Ready") or {}).get("lastTransitionTime"),
        status.get("startTime"),
    ):
        if text:
            return moments.parse(text)
    return lives.created(pod)


def _backoff(work: _Work) -> timedelta:
    """Return how long to wait: 10 s after a failure, doubled by each further one since the last success."""
    done = [_ended(pod) for pod in work.pods if lives.phase(pod) == "Succeeded"]
    success = max(done, default=moments.EPOCH)
    failed = [_ended(pod) for pod in _failed_pods(work)]
    since = [moment for moment in failed if moment > success]
    if not since:
        return timedelta(0)
    delay = min(FIRST_DELAY * (1 << min(len(since) - 1, 20)), LONGEST_DELAY)
    return max(max(since) + delay - work.now, timedelta(0))


def _create(work: _Work, count: int) -> None:
    job = work.job
    name = job["metadata"]["name"]
    taken = [pod["metadata"]["name"] for pod in work.pods]
    seed = (job["metadata"].get("uid"), work.now.isoformat())
    if not work.is_indexed:
        stem = f"{name}-"
        for own in owning.fresh_names(stem, count, taken, *seed):
            _propose(work, _pod(work, own, stem))
        return
    busy = {index for pod in work.active if (index := indexes.of(pod)) is not None}
    if work.replaces_failed_only:
        busy |= {index for pod in work.terminating if (index := indexes.of(pod)) is not None}
    total = work.completions or 0
    busy |= _completed(work) | indexes.read(work.status.get("failedIndexes"), total)
    for index in indexes.pending(count, total, busy):
        stem = f"{name}-{index}-"
        own = owning.fresh_names(stem, 1, taken, *seed)[0]
        pod = _pod(work, own, stem)
        _give_index(work, pod, index)
        _propose(work, pod)


def _pod(work: _Work, name: str, stem: str) -> Resource:
    template = work.spec.get("template") or {}
    pod = owning.pod_from(template, work.job, name, stem)
    pod["metadata"]["finalizers"] = [*(pod["metadata"].get("finalizers") or ()), TRACKING]
    return pod


def _give_index(work: _Work, pod: Resource, index: int) -> None:
    meta, spec = pod["metadata"], pod["spec"]
    marks = {indexes.ANNOTATION: str(index)}
    if work.spec.get("backoffLimitPerIndex") is not None:
        before = [other for other in _failed_pods(work) if indexes.of(other) == index]
        counted = [other for other in before if verdicts.judge(work.job, other)[0] != "Ignore"]
        marks[indexes.FAILURES] = str(len(counted))
    meta["annotations"] = {**(meta.get("annotations") or {}), **marks}
    meta["labels"] = {**(meta.get("labels") or {}), indexes.ANNOTATION: str(index)}
    spec["hostname"] = spec.get("hostname") or f"{work.job['metadata']['name']}-{index}"
    field_ref = {"fieldPath": f"metadata.annotations['{indexes.ANNOTATION}']"}
    env = {"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef": field_ref}}
    for key in ("initContainers", "containers"):
        if spec.get(key):
            spec[key] = [
                container
                if any(entry.get("name") == env["name"] for entry in container.get("env") or ())
                else {**container, "env": [*(container.get("env") or ()), env]}
                for container in spec[key]
            ]


def _propose(work: _Work, pod: Resource) -> None:
    work.before.append(proposing.create(pod, f"Job {work.job['metadata']['name']} wants another pod"))
    work.before.append(work.tell("Normal", "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}"))


def _refused(view: View, ref: Ref, change: Change, refusal: Refused, now: datetime) -> Step:
    job = view.get(*KIND, ref.namespace, ref.name)
    if job is None or change.ref.kind != "Pod" or change.verb not in {"create", "delete"}:
        return Step()
    if refusal.reason in {"AlreadyExists", "Conflict"} or "because it is being terminated" in refusal.message:
        return Step()
    made = change.verb == "create"
    text = f"Error {'creating' if made else 'deleting'}: {refusal.message}"
    reason = "FailedCreate" if made else "FailedDelete"
    told = proposing.event(job, "Warning", reason, text, now, COMPONENT)
    status = job.get("status") or {}
    if made and not status.get("startTime"):  # the Step that would have said so has ended with the refusal
        return Step((told, *proposing.status(job, {**status, "startTime": moments.stamp(now)})))
    return Step((told,))


def _of_pod(view: View, pod: Resource) -> list[Ref]:
    del view
    return owning.controller_ref(pod, *KIND)


def _orphan(view: View, ref: Ref, now: datetime) -> Step:
    """Take the finalizer off a pod whose Job is gone: nobody is left to count it."""
    del now
    pod = view.get("", "Pod", ref.namespace, ref.name)
    if pod is None or not _has_finalizer(pod):
        return Step()
    boss = owning.controller_of(pod)
    if boss is not None and boss["kind"] == "Job":
        job = view.get(*KIND, ref.namespace, boss["name"])
        if job is not None and job["metadata"].get("uid") == boss["uid"]:
            return Step()
    return Step((_unfinalized(pod, "its job is gone"),))


def _pods_of(view: View, job: Resource) -> list[Ref]:
    return [
        Ref.of(pod)
        for pod in view.owned(job["metadata"].get("uid", ""))
        if pod["kind"] == "Pod" and _has_finalizer(pod)
    ]


JOBS = Controller(
    name="job", kind=KIND, reconcile=_reconcile, watches={("", "Pod"): _of_pod}, refused=_refused
)
ORPHANS = Controller(name="joborphan", kind=("", "Pod"), reconcile=_orphan, watches={KIND: _pods_of})
