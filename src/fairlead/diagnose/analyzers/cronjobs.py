"""CronJobs by the clock: schedules that never come, runs that were missed, runs that are held back by the one before.

Told from the schedule itself and the time that is handed in. A run that is merely due, or late by less than a few minutes, is no
trouble; a run that failed is its Job's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from fairlead.diagnose.analyzers.jobs import resumed
from fairlead.diagnose.causes import Fact, Key
from fairlead.diagnose.inventories import Inventory, moment
from fairlead.diagnose.likening import nearest
from fairlead.diagnose.proposing import Edit, patch
from fairlead.diagnose.states import created, holds
from fairlead.tongues import cron
from fairlead.tongues.paths import mapping, mappings, text
from fairlead.words import Evidence, Fix, Ref, Resource, Severity

_LATE = timedelta(minutes=5)
_ANY_DAY = datetime(2024, 1, 1, tzinfo=UTC)
"""A schedule that has no day in the five years from here, which hold two leap days, has none at all."""
_LONG = timedelta(minutes=30)
_TOO_SHORT = 10
_OFTEN = 3
_LOOKED_AT = 200
_MISSED = ("MissSchedule", "TooManyMissedTimes", "FailedNeedsStart")
_SCHEDULE = ("spec", "schedule")
_ZONE = ("spec", "timeZone")
_DEADLINE = ("spec", "startingDeadlineSeconds")
_ZONES = ("UTC", "Etc/UTC", "Europe/Berlin", "Europe/London", "Europe/Paris", "Europe/Madrid", "Europe/Rome",
          "Europe/Amsterdam", "Europe/Zurich", "Europe/Vienna", "Europe/Warsaw", "Europe/Stockholm", "Europe/Moscow",
          "America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles", "America/Toronto",
          "America/Sao_Paulo", "Asia/Tokyo", "Asia/Shanghai", "Asia/Singapore", "Asia/Kolkata", "Asia/Dubai",
          "Asia/Seoul", "Australia/Sydney", "Africa/Johannesburg", "Africa/Lagos")  # fmt: skip
"""Zones that a slip of the pen is compared with; any zone of the time zone database is fine in a schedule."""


def cronjob(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """Each thing that keeps a CronJob from running when its author thinks that it does."""
    ref = Ref.of(resource)
    if mapping(resource, "metadata").get("deletionTimestamp"):
        return
    spec = mapping(resource, "spec")
    yield from _short_deadline(inventory, ref, spec.get("startingDeadlineSeconds"))
    if spec.get("suspend") is True:
        yield Fact(
            rule="cron.suspended",
            subject=ref,
            severity=Severity.INFO,
            message="is suspended: it starts no runs",
            evidence=(inventory.field(ref, ("spec", "suspend"), "suspend: true"),),
            fixes=(resumed(resource),),
            where=inventory.where(ref, ("spec", "suspend")),
        )
        return
    schedule, zone = text(spec, "schedule"), text(spec, "timeZone")
    if not schedule:
        return
    try:
        expr = cron.parse(schedule, zone)
    except ValueError as error:
        if inventory.live:  # in files it is what the API server would refuse
            yield _unreadable(inventory, resource, schedule, zone, str(error))
        return
    if expr.next(_ANY_DAY) is None:
        yield Fact(
            rule="cron.never",
            subject=ref,
            severity=Severity.WARNING,
            message=f"never runs: its schedule {schedule!r} names a day that does not come",
            cause="No date within five years has that day in that month.",
            evidence=(inventory.field(ref, _SCHEDULE, f"schedule: {schedule}"),),
            where=inventory.where(ref, _SCHEDULE),
        )
    elif inventory.live:
        yield from _due(inventory, resource, expr)


def _short_deadline(inventory: Inventory, ref: Ref, seconds: object) -> Iterator[Fact]:
    """A starting deadline that is over before the controller looks."""
    if not isinstance(seconds, int) or isinstance(seconds, bool) or seconds >= _TOO_SHORT:
        return
    if seconds < 0 and not inventory.live:
        return  # in files it is what the API server would refuse
    yield Fact(
        rule="cron.deadline",
        subject=ref,
        severity=Severity.WARNING if seconds <= 0 else Severity.INFO,
        message=f"gives its runs {seconds}s to start, "
        + ("so none can" if seconds <= 0 else "and the controller may look only every 10s: runs may be lost"),
        evidence=(inventory.field(ref, _DEADLINE, f"startingDeadlineSeconds: {seconds}"),),
        where=inventory.where(ref, _DEADLINE),
        confidence="certain" if seconds <= 0 else "possible",
    )


def _unreadable(inventory: Inventory, resource: Resource, schedule: str, zone: str, error: str) -> Fact:
    ref = Ref.of(resource)
    path = _SCHEDULE
    fix = None
    try:
        cron.parse(schedule)
    except ValueError:
        shown = schedule
    else:
        path, shown = _ZONE, zone
        right = nearest(zone, _ZONES)
        if right is not None:
            title = f"use time zone {right}"
            fix = Fix(title=title, changes=(patch(resource, [Edit(_ZONE, right)], title),),
                      risk="Takes effect at the next run.")  # fmt: skip
    what = "schedule" if path == _SCHEDULE else "time zone"
    return Fact(
        rule="cron.schedule",
        subject=ref,
        message=f"never runs: its {what} {shown!r} cannot be read",
        cause=f"{error}.",
        evidence=(inventory.field(ref, path, f"{path[-1]}: {shown}"),),
        fixes=(fix,) if fix else (),
        where=inventory.where(ref, path),
    )


def _due(inventory: Inventory, resource: Resource, expr: cron.Expr) -> Iterator[Fact]:
    """Runs that should have begun and have not."""
    ref = Ref.of(resource)
    last = moment(mapping(resource, "status").get("lastScheduleTime")) or created(resource)
    if last is None:
        return
    first = expr.next(last)
    if first is None or not inventory.past(first, _LATE):
        return
    skipped = _skipped(expr, first, inventory.now - _LATE)
    active = [
        Ref("batch", "Job", ref.namespace, text(job, "name"))
        for _, job in mappings(resource, "status", "active")
    ]
    running = [job for one in active if (job := inventory.get(one)) is not None and not _over(job)]
    if running and text(resource, "spec", "concurrencyPolicy") == "Forbid":
        yield _blocked(inventory, resource, running[0], skipped)
        return
    notes = [note for note in inventory.events(ref, *_MISSED) if note.last and note.last > last]
    if mapping(resource, "spec").get("startingDeadlineSeconds") is not None and not notes:
        return  # what is past its deadline is not made up for: it may have been suspended until now
    refused = inventory.events(ref, "FailedCreate")
    evidence = [inventory.field(ref, ("status", "lastScheduleTime"), f"last run at {last.isoformat()}")]
    evidence += [inventory.noted(ref, note) for note in (*notes[-1:], *refused[-1:])]
    yield Fact(
        rule="cron.missed",
        subject=ref,
        severity=Severity.WARNING,
        message=f"has missed {_times(skipped)}: the first was due {inventory.ago(first)} ago",
        cause=inventory.quote(refused[-1].message, ref)
        if refused
        else "The CronJob controller did not start them: it is not running, or its clock is off.",
        evidence=tuple(evidence),
        where=inventory.where(ref, _SCHEDULE),
        because=(("cron.deadline", ref, ""), *_quota(refused[-1].message if refused else "", ref)),
        confidence="certain" if refused else "likely",
    )


def _quota(said: str, ref: Ref) -> Iterator[Key]:
    """The quota that a refusal names: the Jobs themselves are counted too."""
    if "exceeded quota: " in said:
        name = said.partition("exceeded quota: ")[2].partition(",")[0].strip()
        yield ("quota.exceeded", Ref("", "ResourceQuota", ref.namespace, name), "")


def _over(job: Resource) -> bool:
    """Say whether a Job has ended: the list of active ones may lag behind."""
    return holds(job, "Complete") or holds(job, "Failed")


def _times(count: int) -> str:
    return "a run" if count == 1 else f"{count}{'+' if count >= _LOOKED_AT else ''} runs"


def _skipped(expr: cron.Expr, first: datetime, until: datetime) -> int:
    """Return how many runs were due from the first until then, counted up to a limit."""
    at: datetime | None = first
    count = 0
    while at is not None and at <= until and count < _LOOKED_AT:
        count += 1
        at = expr.next(at)
    return count


def _blocked(inventory: Inventory, resource: Resource, job: Mapping[str, object], skipped: int) -> Fact:
    """The run before does not end, and the policy lets no second one begin."""
    ref, held = Ref.of(resource), Ref.of(dict(job))
    since = moment(mapping(job, "status").get("startTime"))
    ago = f", which began {inventory.ago(since)} ago" if since else ""
    pods = [one.ref for one in inventory.crew(ref) if Ref.of(inventory.owner(one.pod) or {}) == held]
    path = ("spec", "concurrencyPolicy")
    deadline = mapping(job, "spec").get("activeDeadlineSeconds")
    return Fact(
        rule="cron.blocked",
        subject=ref,
        severity=Severity.WARNING,
        message=f"has skipped {_times(skipped)}: Job {held.name}{ago}, does not end, and concurrencyPolicy is Forbid",
        cause="" if deadline is not None else "The Job has no activeDeadlineSeconds: it may hang for ever.",
        evidence=(
            inventory.field(ref, path, "concurrencyPolicy: Forbid"),
            Evidence("field", held, "is still active", inventory.where(held, ("status", "active"))),
        ),
        where=inventory.where(ref, path),
        because=(("job.failed", held, ""), *pods),
        weak=skipped < _OFTEN or since is None or not inventory.past(since, _LONG),
        confidence="likely",
    )


UNITS = {("batch", "CronJob"): cronjob}
