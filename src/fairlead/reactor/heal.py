"""Carries out a fix that a trial has proven, watches what becomes of it, and takes it back if things get worse.

Before anything is written, the server is asked in a dry run and what would undo the fix is written down. Things are worse when
something new is wrong and stays so. Decides nothing about what a good fix is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Literal

from fairlead.diagnose.proposing import bare
from fairlead.drivers.cluster import PATCH_TYPES, AsyncCluster, Unreachable
from fairlead.keep.errors import Refusal
from fairlead.reactor.carrying import carry_out
from fairlead.reactor.examine import Examined, examine_cluster
from fairlead.reactor.trial import ADMIN, Step
from fairlead.tongues.paths import mapping, pointed
from fairlead.words import Change, Finding, Fix, Ref, Resource, Severity

MANAGER = "fairlead-fix"
EVERY = 0.5
"""Seconds between two looks at the cluster."""
BAD_SECONDS = 15.0
"""So long must something new be wrong, without a break, before a fix is taken back: starting takes its time."""
GOOD_LOOKS = 2
"""So many looks one after another must show that all is well."""
_GONE_SECONDS = 60.0


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
) -> Healing:
    """Carry a fix out and watch for at most `patience` seconds; `seen` is told of every turn in a few words.

    `before` is what was found when the fix was offered. `note` gets the Healing before anything is written and after every step, so
    that what was begun can be undone whatever comes between; what it returns to wait for is waited for. `look` says what is found now,
    for those who follow the cluster anyway. Raises Unreachable when the cluster is lost on the way.
    """
    healing = Healing(finding, fix, started=now().isoformat(timespec="seconds"))
    begun = time.monotonic()
    look = look or partial(examine_cluster, cluster, now, namespace)
    try:
        originals = await _originals(cluster, fix)
        healing.undo = undo(fix, originals)
        await rehearse(cluster, fix.changes)
    except Refusal as refusal:
        healing.steps.append(Step("the server takes it in a dry run", False, refusal.message))
        return healing
    healing.steps.append(Step("the server takes it in a dry run", True))
    healing.outcome = "begun"
    await _noted(note(healing))
    if not await _carry_out(cluster, healing, fix.changes, now):
        await _noted(note(healing))
        return healing
    await _noted(note(healing))
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
    await _noted(note(healing))
    return healing


async def _noted(said: Awaitable[None] | None) -> None:
    if said is not None:
        await said


async def _originals(cluster: AsyncCluster, fix: Fix) -> dict[Ref, Resource]:
    """Return what the fix will change, as it is now."""
    found: dict[Ref, Resource] = {}
    for change in fix.changes:
        if change.verb != "create":
            ref = change.ref
            found[ref] = await cluster.get(change.api_version, ref.kind, ref.namespace, ref.name)
    return found


def undo(fix: Fix, originals: dict[Ref, Resource]) -> list[Change]:
    """Return the changes that take a fix back, given the objects as they were."""
    back: list[Change] = []
    for change in reversed(fix.changes):
        why = f"take back: {fix.title}"
        original = originals.get(change.ref)
        if change.verb == "create":
            back.append(Change(verb="delete", ref=change.ref, api_version=change.api_version, why=why))
        elif original is None or (
            change.verb == "delete" and mapping(original, "metadata").get("ownerReferences")
        ):
            continue  # its controller makes it again
        elif change.verb == "delete":
            body = bare(original)
            back.append(
                Change(
                    verb="create",
                    ref=replace(change.ref, uid=""),
                    api_version=change.api_version,
                    body=body,
                    why=why,
                )
            )
        elif change.patch == "json":
            operations = inverse(change.body, original)
            back.append(replace(change, body=operations, why=why))
        else:
            back.append(
                Change(
                    verb="update",
                    ref=change.ref,
                    api_version=change.api_version,
                    body=bare(original),
                    why=why,
                )
            )
    return back


def inverse(operations: Sequence[dict[str, Any]], original: Resource) -> list[dict[str, Any]]:
    """Return the JSON patch that undoes one, each step guarded by a test of what the patch had put there.

    Only tests, replacements, and additions to and removals from mappings occur in fixes.
    """
    back: list[dict[str, Any]] = []
    for operation in reversed(operations):
        if operation["op"] == "test":
            continue
        if operation["op"] == "remove":
            back.append(
                {"op": "add", "path": operation["path"], "value": pointed(original, operation["path"])}
            )
            continue
        test = {"op": "test", "path": operation["path"], "value": operation["value"]}
        if operation["op"] == "replace":
            old = pointed(original, operation["path"])
            back += [test, {"op": "replace", "path": operation["path"], "value": old}]
        else:
            back += [test, {"op": "remove", "path": operation["path"]}]
    return back


async def rehearse(cluster: AsyncCluster, changes: Sequence[Change]) -> None:
    """Ask the server to check every change without making it. Raises Refusal.

    An object that is to be created anew bears another name meanwhile, since the old one still has it.
    """
    params = {"dryRun": "All", "fieldManager": MANAGER}
    deleted = {change.ref for change in changes if change.verb == "delete"}
    for change in changes:
        ref = change.ref
        if change.verb == "create":
            body = change.body
            if ref in deleted:
                meta = {**body["metadata"], "name": f"{ref.name[:50].rstrip('.-')}-dry-run"}
                body = {**body, "metadata": meta}
            path = await cluster.path(change.api_version, ref.kind, ref.namespace)
            await cluster.raw("POST", path, params=params, body=body)
            continue
        path = await cluster.path(change.api_version, ref.kind, ref.namespace, ref.name)
        if change.verb == "patch":
            how = PATCH_TYPES[change.patch or "merge"]
            await cluster.raw("PATCH", path, params=params, body=change.body, content_type=how)
        elif change.verb == "update":
            await cluster.raw("PUT", path, params=params, body=change.body)
        else:
            options = {"apiVersion": "v1", "kind": "DeleteOptions", "dryRun": ["All"]}
            await cluster.raw("DELETE", path, body=options)


async def _carry_out(
    cluster: AsyncCluster, healing: Healing, changes: Iterable[Change], now: Callable[[], datetime]
) -> bool:
    for done, change in enumerate(changes):
        try:
            await carry_out(change, cluster, now(), ADMIN, MANAGER)
            if change.verb == "delete":
                await _gone(cluster, change)
        except Refusal as refusal:
            healing.steps.append(Step("the change is carried out", False, refusal.message))
            healing.outcome = "refused"
            if done:
                await _roll_back(cluster, healing, now)
            return False
    healing.steps.append(Step("the change is carried out", True, healing.fix.title))
    return True


async def _gone(cluster: AsyncCluster, change: Change) -> None:
    """Wait until a deleted object's name is free (or taken again by its controller)."""
    ref = change.ref
    deadline = time.monotonic() + _GONE_SECONDS
    while time.monotonic() < deadline:
        try:
            found = await cluster.get(change.api_version, ref.kind, ref.namespace, ref.name)
        except Refusal as refusal:
            if refusal.code == 404:
                return
            raise
        if ref.uid and mapping(found, "metadata").get("uid") != ref.uid:
            return
        await asyncio.sleep(0.1)


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
        except Unreachable:
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


async def _roll_back(cluster: AsyncCluster, healing: Healing, now: Callable[[], datetime]) -> None:
    """Take back what was done, as far as it can be, and say so."""
    failures = await take_back(cluster, healing.undo, now)
    healing.outcome = "rolled back" if not failures else "unhealthy"
    healing.steps.append(
        Step("things got worse: the change is taken back", not failures, "; ".join(failures))
    )


async def take_back(
    cluster: AsyncCluster, changes: Iterable[Change], now: Callable[[], datetime]
) -> list[str]:
    """Carry out the changes of an undo, each whatever becomes of the others; return what could not be done. Raises Unreachable."""
    failures = []
    for change in changes:
        try:
            await carry_out(change, cluster, now(), ADMIN, MANAGER)
            if change.verb == "delete":
                await _gone(cluster, change)
        except Refusal as refusal:
            if not (change.verb == "delete" and refusal.code == 404):
                failures.append(f"{change.ref}: {refusal.message}")
    return failures
