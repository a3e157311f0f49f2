"""Jobs that do not run although nothing of theirs is broken: suspended, told to run nothing, left over.

What fails in a Job's pods is told where pods are looked at; that a Job failed for good is told with the workloads.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from fairlead.diagnose.causes import Fact
from fairlead.diagnose.inventories import Inventory, moment
from fairlead.diagnose.proposing import Edit, patch
from fairlead.diagnose.states import condition, holds
from fairlead.tongues.paths import mapping, text
from fairlead.words import Fix, Ref, Resource, Severity

_LATE = timedelta(minutes=10)
_QUEUES = ("kueue.x-k8s.io/queue-name",)
_DONE = ("Complete", "Failed")


def job(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """What keeps a Job from running, or from being cleaned away; notes all of them."""
    ref, spec = Ref.of(resource), mapping(resource, "spec")
    if mapping(resource, "metadata").get("deletionTimestamp"):
        return
    if any(holds(resource, one) for one in _DONE):
        yield from _left_over(inventory, resource, ref)
        return
    if spec.get("suspend") is True:
        queue = next(
            (name for key in _QUEUES if (name := text(resource, "metadata", "labels", key))),
            "",
        )
        path = ("spec", "suspend")
        fix = None if queue else resumed(resource)
        yield Fact(
            rule="job.suspended",
            subject=ref,
            severity=Severity.INFO,
            message="is suspended: it runs no pods",
            cause=f"It waits in queue {queue} to be let in." if queue else "",
            evidence=(inventory.field(ref, path, "suspend: true"),),
            fixes=(fix,) if fix else (),
            where=inventory.where(ref, path),
        )
    elif spec.get("parallelism") == 0:
        path = ("spec", "parallelism")
        yield Fact(
            rule="job.idle",
            subject=ref,
            severity=Severity.INFO,
            message="runs no pods: its parallelism is 0",
            evidence=(inventory.field(ref, path, "parallelism: 0"),),
            where=inventory.where(ref, path),
        )


def outdated(inventory: Inventory, resource: Resource) -> bool:
    """Say whether a CronJob has had a later run that is over: what became of this one is history then."""
    owner = inventory.owner(resource)
    started = moment(mapping(resource, "status").get("startTime"))
    if owner is None or owner.get("kind") != "CronJob" or started is None:
        return False
    last = moment(mapping(owner, "status").get("lastSuccessfulTime"))
    if last is not None and last > started:
        return True
    for other in inventory.at("controller", text(owner, "metadata", "uid")):
        began = moment(mapping(other, "status").get("startTime"))
        if began is not None and began > started and any(holds(other, one) for one in _DONE):
            return True
    return False


def resumed(resource: Resource) -> Fix:
    """Return the change that lets a suspended Job or CronJob run."""
    title = "let it run"
    return Fix(
        title=title,
        changes=(patch(resource, [Edit(("spec", "suspend"), new=False)], title),),
        risk="Somebody may have suspended it on purpose.",
    )


def _left_over(inventory: Inventory, resource: Resource, ref: Ref) -> Iterator[Fact]:
    """A finished Job that its time to live should have taken away."""
    ttl = mapping(resource, "spec").get("ttlSecondsAfterFinished")
    if not inventory.live or not isinstance(ttl, int) or isinstance(ttl, bool):
        return
    ended = next(
        (at for one in _DONE if (at := moment(condition(resource, one).get("lastTransitionTime")))), None
    )
    if ended is None or not inventory.past(ended, timedelta(seconds=ttl) + _LATE):
        return
    path = ("spec", "ttlSecondsAfterFinished")
    yield Fact(
        rule="job.lingering",
        subject=ref,
        severity=Severity.INFO,
        message=f"ended {inventory.ago(ended)} ago and should have been deleted after {ttl}s",
        cause="The controller that deletes finished Jobs is not running, or is kept from it.",
        evidence=(inventory.field(ref, path, f"ttlSecondsAfterFinished: {ttl}"),),
        where=inventory.where(ref, path),
    )


UNITS = {("batch", "Job"): job}
