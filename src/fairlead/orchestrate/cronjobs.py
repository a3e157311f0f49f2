"""CronJobs: Jobs made at the times of a schedule.

Source: k8s.io/kubernetes/pkg/controller/cronjob. The schedule's language is tongues.cron's.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from fairlead.orchestrate import conditions, lives, moments, owning, proposing
from fairlead.orchestrate.jobs import is_finished
from fairlead.orchestrate.steps import Controller, Refused, Step
from fairlead.tongues import cron
from fairlead.words import Change, Ref, Resource, View

KIND = ("batch", "CronJob")
JOB = ("batch", "Job")
COMPONENT = "cronjob-controller"
SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
TOO_MANY = 100
LIMIT = 2_000
"""How many missed times are counted before counting stops."""


class _Work:
    """One reconciliation of one CronJob."""

    def __init__(self, view: View, owner: Resource, now: datetime) -> None:
        self.view = view
        self.owner = owner
        self.now = now
        self.changes: list[Change] = []
        self.status: dict[str, Any] = dict(owner.get("status") or {})
        self.jobs = [
            job
            for job in view.owned(owner["metadata"].get("uid", ""))
            if (job["kind"], (owning.controller_of(job) or {}).get("uid"))
            == ("Job", owner["metadata"].get("uid"))
        ]

    @property
    def spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = self.owner["spec"]
        return spec

    def tell(self, severity: str, reason: str, message: str) -> None:
        self.changes.append(proposing.event(self.owner, severity, reason, message, self.now, COMPONENT))

    def end(self, again: timedelta | None = None) -> Step:
        return Step((*self.changes, *proposing.status(self.owner, self.status)), again)


def _reconcile(view: View, ref: Ref, now: datetime) -> Step:
    owner = view.get(*KIND, ref.namespace, ref.name)
    if owner is None or owning.is_deleted(owner):
        return Step()
    work = _Work(view, owner, now)
    _tidy(work)
    _see(work)
    if work.spec.get("suspend"):
        return work.end()
    text = str(work.spec.get("schedule") or "")
    zone = work.spec.get("timeZone")
    try:
        schedule = cron.parse(text, zone or "")
    except ValueError as error:
        if zone is not None and "time zone" in str(error):
            message = f'invalid timeZone: "{zone}": {error}'
            return _once(work, "Warning", "UnknownTimeZone", message)
        return _once(work, "Warning", "UnparseableSchedule", f'unparseable schedule: "{text}" : {error}')
    if "TZ=" in text and not _told(work, "UnsupportedSchedule"):
        message = (
            f'CRON_TZ or TZ used in schedule "{text}" is not officially supported, see '
            "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
        )
        work.tell("Warning", "UnsupportedSchedule", message)
    return _run(work, schedule)


def _told(work: _Work, reason: str) -> bool:
    meta = work.owner["metadata"]
    return any(
        event.get("reason") == reason and (event.get("involvedObject") or {}).get("uid") == meta.get("uid")
        for event in work.view.list("", "Event", meta.get("namespace", ""))
    )


def _once(work: _Work, severity: str, reason: str, message: str) -> Step:
    if not _told(work, reason):
        work.tell(severity, reason, message)
    return work.end()


def _tidy(work: _Work) -> None:
    """Delete finished Jobs beyond the history limits, oldest first."""
    for kind, key, default in (
        ("Complete", "successfulJobsHistoryLimit", 3),
        ("Failed", "failedJobsHistoryLimit", 1),
    ):
        limit = work.spec.get(key)
        ended = [job for job in work.jobs if conditions.is_true(job, kind) and not owning.is_deleted(job)]
        ended.sort(
            key=lambda job: (
                moments.parse((job.get("status") or {}).get("startTime") or ""),
                job["metadata"]["name"],
            )
        )
        surplus = len(ended) - (default if limit is None else int(limit))
        for job in ended[: max(surplus, 0)]:
            work.changes.append(
                proposing.delete(job, "beyond the history limit", {"propagationPolicy": "Background"})
            )
            work.tell("Normal", "SuccessfulDelete", f"Deleted job {job['metadata']['name']}")


def _see(work: _Work) -> None:
    """Bring status.active up to date with the Jobs that there are."""
    active = {entry.get("uid"): entry for entry in work.status.get("active") or ()}
    by_uid = {job["metadata"].get("uid"): job for job in work.jobs}
    for uid, job in by_uid.items():
        name = job["metadata"]["name"]
        if is_finished(job):
            if uid in active:
                kind = "Complete" if conditions.is_true(job, "Complete") else "Failed"
                work.tell("Normal", "SawCompletedJob", f"Saw completed job: {name}, condition: {kind}")
                del active[uid]
                if kind == "Complete":
                    _succeeded(work, job)
        elif uid not in active:
            active[uid] = _reference(job)
    for uid in [uid for uid in active if uid not in by_uid]:
        work.tell("Normal", "MissingJob", f"Active job went missing: {active[uid].get('name')}")
        del active[uid]
    if active:
        work.status["active"] = list(active.values())
    else:
        work.status.pop("active", None)


def _succeeded(work: _Work, job: Resource) -> None:
    ended = (job.get("status") or {}).get("completionTime")
    before = work.status.get("lastSuccessfulTime")
    if ended and (before is None or moments.parse(ended) > moments.parse(before)):
        work.status["lastSuccessfulTime"] = ended


def _reference(job: Resource) -> dict[str, str]:
    meta = job["metadata"]
    found = {
        "kind": "Job",
        "namespace": meta.get("namespace", ""),
        "name": meta["name"],
        "uid": meta.get("uid", ""),
        "apiVersion": "batch/v1",
        "resourceVersion": meta.get("resourceVersion", ""),
    }
    return {key: value for key, value in found.items() if value}


def missed(schedule: cron.Expr, earliest: datetime, now: datetime) -> tuple[datetime | None, int]:
    """Return the latest scheduled time after `earliest` and not after `now`, and how many there were."""
    latest: datetime | None = None
    count = 0
    moment = schedule.next(earliest)
    while moment is not None and moment <= now and count < LIMIT:
        latest, count = moment, count + 1
        moment = schedule.next(moment)
    if count == LIMIT:
        latest = _latest(schedule, now) or latest
    return latest, count


def _latest(schedule: cron.Expr, now: datetime) -> datetime | None:
    """Return the last scheduled time before now without walking through all that came before."""
    for days in (1, 31, 366):
        moment = schedule.next(now - timedelta(days=days))
        latest = None
        while moment is not None and moment <= now:
            latest, moment = moment, schedule.next(moment)
        if latest is not None:
            return latest
    return None


def _run(work: _Work, schedule: cron.Expr) -> Step:
    now = work.now
    deadline = work.spec.get("startingDeadlineSeconds")
    earliest = lives.created(work.owner)
    if work.status.get("lastScheduleTime"):
        earliest = moments.parse(work.status["lastScheduleTime"])
    if deadline is not None:
        earliest = max(earliest, now - timedelta(seconds=int(deadline)))
    latest, count = missed(schedule, earliest, now)
    upcoming = schedule.next(now)
    again = upcoming - now + timedelta(milliseconds=100) if upcoming is not None else None
    if latest is None:
        return work.end(again)
    if count > TOO_MANY:
        text = f"too many missed start times: {count}. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
        work.tell("Warning", "TooManyMissedTimes", text)
    name = f"{work.owner['metadata']['name']}-{int(latest.timestamp()) // 60}"
    if any(job["metadata"]["name"] == name for job in work.jobs):
        work.status["lastScheduleTime"] = moments.stamp(latest)
        return work.end(again)
    running = work.status.get("active") or []
    policy = work.spec.get("concurrencyPolicy") or "Allow"
    if policy == "Forbid" and running:
        text = "Not starting job because prior execution is running and concurrency policy is Forbid"
        work.tell("Normal", "JobAlreadyActive", text)
        return work.end(again)
    if policy == "Replace":
        _replace(work)
    _create(work, name, latest)
    return work.end(again)


def _replace(work: _Work) -> None:
    uids = {entry.get("uid") for entry in work.status.get("active") or ()}
    for job in work.jobs:
        if job["metadata"].get("uid") in uids:
            options = {"propagationPolicy": "Background"}
            work.changes.append(proposing.delete(job, "replaced by the next run", options))
            work.tell("Normal", "SuccessfulDelete", f"Deleted job {job['metadata']['name']}")
    work.status.pop("active", None)


def _create(work: _Work, name: str, at: datetime) -> None:
    template = work.spec.get("jobTemplate") or {}
    given = template.get("metadata") or {}
    zone = cron.zone(work.spec.get("timeZone") or "")
    scheduled = at.astimezone(zone).isoformat(timespec="seconds").replace("+00:00", "Z")
    body: Resource = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": work.owner["metadata"].get("namespace", ""),
            "labels": dict(given.get("labels") or {}),
            "annotations": {**(given.get("annotations") or {}), SCHEDULED: scheduled},
            "ownerReferences": [owning.reference_to(work.owner)],
        },
        "spec": dict(template.get("spec") or {}),
    }
    work.changes.append(proposing.create(body, f"scheduled for {scheduled}"))
    work.tell("Normal", "SuccessfulCreate", f"Created job {name}")
    work.status["lastScheduleTime"] = moments.stamp(at)


def _refused(view: View, ref: Ref, change: Change, refusal: Refused, now: datetime) -> Step:
    owner = view.get(*KIND, ref.namespace, ref.name)
    if owner is None or change.ref.kind != "Job" or change.verb != "create":
        return Step()
    if refusal.reason in {"AlreadyExists", "Conflict"} or "because it is being terminated" in refusal.message:
        return Step()
    text = f"Error creating job: {refusal.message}"
    return Step((proposing.event(owner, "Warning", "FailedCreate", text, now, COMPONENT),))


def _of_job(view: View, job: Resource) -> list[Ref]:
    del view
    return owning.controller_ref(job, *KIND)


CRON_JOBS = Controller(
    name="cronjob", kind=KIND, reconcile=_reconcile, watches={JOB: _of_job}, refused=_refused
)
