"""Carries out a fix that a trial has proven, watches what becomes of it, and takes it back if things get worse.

Before anything is written, the server is asked in a dry run and what would undo the fix is written down. Things are worse when
something new is wrong and stays so. Decides nothing about what a good fix is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Literal

from fairlead.drivers.cluster import AsyncCluster, Unreachable
from fairlead.keep.errors import Refusal
from fairlead.reactor.examine import Examined, examine_cluster
from fairlead.reactor.trial import Step
from fairlead.reactor.undoing import gone, rehearse, send, take_back, unchanged, undo
from fairlead.tongues.paths import mapping, text
from fairlead.words import Change, Finding, Fix, Ref, Resource, Severity

EVERY = 0.5
"""Seconds between two looks at the cluster."""
BAD_SECONDS = 15.0
"""So long must something new be wrong, without a break, before a fix is taken back: starting takes its time."""
GOOD_LOOKS = 2
"""So many looks one after another must show that all is well."""
ROLL_BACK_SECONDS = 60.0
"""So long is a cluster waited for that is away when a fix is to be taken back."""


@dataclass(slots=True)
class Healing:
    """What was done. `undo` are the changes that would take it back, in their order; times are seconds."""

    finding: Finding
    fix: Fix
    outcome: Literal["begun", "healthy", "rolled back", "unhealthy", "refused"] = "refused"
    steps: list[Step] = field(default_factory=list)
    undo: list[Change] = field(default_factory=list)
    started: str = ""
    seconds: float = 0.0
    left: list[Finding] = field(default_factory=list)


async def heal(
    cluster: AsyncCluster,
    finding: Finding,
    fix: Fix,
    *,
    before: Sequence[Finding],
    now: Callable[[], datetime],
    patience: float,
    namespace: str = "",
    seen: Callable[[str], None] = lambda _: None,
    note: Callable[[Healing], Awaitable[None] | None] = lambda _: None,
    look: Callable[[], Awaitable[Examined]] | None = None,
    basis: Mapping[Ref, Resource] | None = None,
) -> Healing:
    """Carry a fix out and watch for at most `patience` seconds; `seen` is told of every turn in a few words.

    `before` is what was found when the fix was offered. `note` gets the Healing before anything is written and after every step, so
    that what was begun can be undone whatever comes between; what it returns to wait for is waited for. What it raises the first time
    keeps everything from being changed; an OSError later does not. `look` says what is found now, for those who follow the cluster anyway.
    `basis` are the objects as they were when the fix was tried: what is deleted and made anew must be so still. Raises Unreachable when
    the cluster is lost on the way.
    """
    healing = Healing(finding, fix, started=now().isoformat(timespec="seconds"))
    begun = time.monotonic()
    look = look or partial(examine_cluster, cluster, now, namespace)
    try:
        originals = await _originals(cluster, fix)
        was = {**originals, **{ref: one for ref, one in (basis or {}).items() if ref in originals}}
        for change in fix.changes:
            if change.ref in was and change.verb in {"delete", "patch"}:
                unchanged(change, originals[change.ref], was[change.ref])
        after = await rehearse(cluster, fix.changes)
        healing.undo = undo(fix, originals, after)
    except Refusal as refusal:
        healing.steps.append(Step("the server takes it in a dry run", False, refusal.message))
        return healing
    healing.steps.append(Step("the server takes it in a dry run", True))
    healing.outcome = "begun"
    await _noted(note(healing))
    if not await _carry_out(cluster, healing, was, now, note):
        await _told(note, healing)
        return healing
    seen("applied")
    verdict, examined = await _watch(look, finding, before, patience - (time.monotonic() - begun), seen)
    healing.left = examined.findings if examined else []
    if verdict == "worse":
        await _roll_back(cluster, healing, now)
    else:
        healing.outcome = "healthy" if verdict == "healthy" else "unhealthy"
        detail = "" if verdict == "healthy" else f"not well after {patience:.0f} s; the change stays"
        healing.steps.append(Step("all is well again", verdict == "healthy", detail))
    healing.seconds = time.monotonic() - begun
    await _told(note, healing)
    return healing


async def _noted(said: Awaitable[None] | None) -> None:
    if said is not None:
        await said


async def _told(note: Callable[[Healing], Awaitable[None] | None], healing: Healing) -> None:
    """Write down how far it is; that this fails is told, and keeps nothing: what takes it back is written down already."""
    try:
        await _noted(note(healing))
    except OSError as error:
        said = Step("what was done is written down", False, error.strerror or str(error))
        if said not in healing.steps:
            healing.steps.append(said)


async def _originals(cluster: AsyncCluster, fix: Fix) -> dict[Ref, Resource]:
    """Return what the fix will change, as it is now."""
    found: dict[Ref, Resource] = {}
    for change in fix.changes:
        if change.verb != "create":
            ref = change.ref
            found[ref] = await cluster.get(change.api_version, ref.kind, ref.namespace, ref.name)
    return found


async def _carry_out(
    cluster: AsyncCluster,
    healing: Healing,
    was: Mapping[Ref, Resource],
    now: Callable[[], datetime],
    note: Callable[[Healing], Awaitable[None] | None],
) -> bool:
    """Make the changes, and tell of each; take them back where one is refused, or nobody knows what became of it."""
    for done, change in enumerate(healing.fix.changes):
        sent = False
        try:
            await send(cluster, change, was.get(change.ref) if change.verb != "create" else None, now)
            sent = True
            if change.verb == "delete":
                await gone(cluster, change)
            elif change.verb == "create":
                await _made(cluster, healing, change)
        except Refusal as refusal:
            healing.steps.append(Step("the change is carried out", False, refusal.message))
            healing.outcome = "refused"
            if done or sent or refusal.code >= 500:
                healing.outcome = "begun"
                await _roll_back(cluster, healing, now, "what was done of it is taken back")
            return False
        if done < len(healing.fix.changes) - 1:
            await _told(note, healing)
    healing.steps.append(Step("the change is carried out", True, healing.fix.title))
    await _told(note, healing)
    return True


async def _made(cluster: AsyncCluster, healing: Healing, change: Change) -> None:
    """Take note which object was made: no other of its name is to be deleted when it is taken back."""
    ref = change.ref
    try:
        found = await cluster.get(change.api_version, ref.kind, ref.namespace, ref.name)
    except Refusal:
        return  # who made it is told by its fields then
    uid = text(found, "metadata", "uid")
    healing.undo = [
        replace(one, if_uid=uid) if one.verb == "delete" and one.ref == ref else one for one in healing.undo
    ]


async def _watch(
    look: Callable[[], Awaitable[Examined]],
    finding: Finding,
    before: Sequence[Finding],
    patience: float,
    seen: Callable[[str], None],
) -> tuple[Literal["healthy", "worse", "late"], Examined | None]:
    """Look again and again until all is well, things are worse, or patience ends."""
    known = {one.id for one in before}
    suffering = {symptom.subject for symptom in finding.symptoms}
    deadline = time.monotonic() + patience
    good = 0
    bad_since: float | None = None
    examined: Examined | None = None
    while time.monotonic() < deadline:
        try:
            examined = await look()
        except (Unreachable, Refusal):  # it may answer again before patience ends
            await asyncio.sleep(EVERY)
            continue
        ids = {one.id for one in examined.findings}
        news = [one for one in examined.findings if one.id not in known and one.severity != Severity.INFO]
        # What suffered from the root may be told of by itself until it has come round: a container waits before it is started again.
        new = [one for one in news if one.subject not in suffering]
        waits = _waits(examined, finding, known)
        well = finding.id not in ids and not news and not waits
        good = good + 1 if well else 0
        bad_since = (bad_since or time.monotonic()) if new else None
        if good >= GOOD_LOOKS:
            return "healthy", examined
        if bad_since is not None and time.monotonic() - bad_since >= BAD_SECONDS:
            seen(f"worse: {new[0].subject}: {new[0].message}")
            return "worse", examined
        seen(f"new: {news[0].subject}: {news[0].message}" if news else waits or "")
        await asyncio.sleep(EVERY)
    return "late", examined


def _waits(examined: Examined, finding: Finding, known: AbstractSet[str]) -> str:
    """Return which workload that the fix is for is not up yet, "" if all are.

    What something else holds back that was known before is not waited for: that has a fix of its own.
    """
    held = {
        ref
        for one in examined.findings
        if one.id in known and one.id != finding.id and one.severity != Severity.INFO
        for ref in (one.subject, *(symptom.subject for symptom in one.symptoms))
    }
    for ref in (finding.subject, *(symptom.subject for symptom in finding.symptoms)):
        resource = examined.view.get(ref.group, ref.kind, ref.namespace, ref.name)
        if resource is None or ref in held:
            continue
        status, spec = mapping(resource, "status"), mapping(resource, "spec")
        generation = mapping(resource, "metadata").get("generation")
        if ref.kind in {"Deployment", "StatefulSet"}:
            wanted = spec.get("replicas", 1)
            counts = [
                status.get("updatedReplicas") or 0,
                status.get("readyReplicas") or 0,
                status.get("replicas") or 0,
            ]
            if status.get("observedGeneration") != generation or any(one != wanted for one in counts):
                return f"{ref}: {counts[1]} of {wanted} ready"
        elif ref.kind == "DaemonSet":
            wanted = status.get("desiredNumberScheduled") or 0
            if status.get("observedGeneration") != generation or status.get("numberReady") != wanted:
                return f"{ref}: {status.get('numberReady') or 0} of {wanted} ready"
        elif ref.kind == "Job" and not (status.get("succeeded") or status.get("ready")):
            return f"{ref}: no pod is ready or done"
    return ""


async def _roll_back(
    cluster: AsyncCluster,
    healing: Healing,
    now: Callable[[], datetime],
    why: str = "things got worse: the change is taken back",
) -> None:
    """Take back what was done, as far as it can be, and say so. Raises Unreachable when the cluster stays away."""
    failures = await _insist(cluster, healing.undo, now)
    healing.outcome = "rolled back" if not failures else "unhealthy"
    healing.steps.append(Step(why, not failures, "; ".join(failures)))


async def _insist(cluster: AsyncCluster, changes: Sequence[Change], now: Callable[[], datetime]) -> list[str]:
    """Take changes back, though the cluster may be away for a while; return what could not be."""
    deadline = time.monotonic() + ROLL_BACK_SECONDS
    while True:
        try:
            return await take_back(cluster, changes, now)
        except Unreachable:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(EVERY)
