"""Takes back what was changed: each step looks first how the object is now, and undoes only what still is as the change has left it.

What was never carried out, or is back already, is passed over, so that an undo may begin, break off and begin again anywhere. What somebody else
has changed since is never overwritten: each write holds only for the very version that was looked at. Decides nothing about what a good fix is.
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal

from fairlead.diagnose.proposing import bare
from fairlead.drivers.cluster import PATCH_TYPES, AsyncCluster
from fairlead.keep.errors import Refusal
from fairlead.reactor.carrying import carry_out
from fairlead.reactor.trial import ADMIN
from fairlead.tongues import jsonpatch
from fairlead.tongues.paths import mapping, mappings, pointed, text
from fairlead.words import Change, Fix, Ref, Resource

MANAGER: Final = "fairlead-fix"
TRIES: Final = 10
"""So often is a write tried that others, who write the same object for other reasons, come before."""
GONE_SECONDS: Final = 60.0
"""How long an object may take to go."""
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_ABSENT: Final = object()


# What would take a fix back


def undo(
    fix: Fix, originals: Mapping[Ref, Resource], after: Mapping[Ref, Resource] | None = None
) -> list[Change]:
    """Return the changes that take a fix back, given the objects as they were, and as the server says that they will be.

    In a deletion, `if_uid` is what the fix has made, where that is known; in a creation, what the fix has deleted.
    """
    back: list[Change] = []
    for change in reversed(fix.changes):
        why = f"take back: {fix.title}"
        original, then = originals.get(change.ref), (after or {}).get(change.ref)
        if change.verb == "create":
            back.append(
                Change(verb="delete", ref=_anybody(change.ref), api_version=change.api_version, why=why)
            )
        elif original is None or (
            change.verb == "delete" and mapping(original, "metadata").get("ownerReferences")
        ):
            continue  # its controller makes it again
        elif change.verb == "delete":
            back.append(
                Change(
                    verb="create",
                    ref=_anybody(change.ref),
                    api_version=change.api_version,
                    body=_as_it_was(original),
                    why=why,
                    if_uid=text(original, "metadata", "uid"),
                )
            )
        else:
            operations = (
                inverse(change.body, original, then)
                if change.patch == "json"
                else _difference(_as_it_was(then or original), _as_it_was(original))
            )
            uid = text(original, "metadata", "uid") or change.if_uid
            back.append(
                replace(
                    change, verb="patch", patch="json", body=operations, why=why, if_uid=uid, if_version=""
                )
            )
    return back


def _anybody(ref: Ref) -> Ref:
    return replace(ref, uid="")


def _as_it_was(original: Resource) -> Resource:
    """Return an object as it is to be made again: nothing that its author wrote is left out."""
    fresh = bare(original)
    applied = mapping(original, "metadata", "annotations").get(_LAST_APPLIED)
    if applied is not None:
        fresh["metadata"]["annotations"][_LAST_APPLIED] = applied
    return fresh


def inverse(
    operations: Sequence[Mapping[str, Any]], original: Resource, after: Resource | None = None
) -> list[dict[str, Any]]:
    """Return the JSON patch that undoes one, each step guarded by a test of what is there then: `after`, where the server told.

    Only tests, replacements, and additions to and removals from mappings occur in fixes.
    """
    back: list[dict[str, Any]] = []
    for operation in reversed(operations):
        path = operation["path"]
        old = _at(original, path)
        if operation["op"] == "test":
            continue
        if operation["op"] == "remove":
            back.append({"op": "add", "path": path, "value": old})
            continue
        new = _at(after, path) if after is not None else operation["value"]
        test = {"op": "test", "path": path, "value": operation["value"] if new is _ABSENT else new}
        back += [test, {"op": "remove", "path": path} if old is _ABSENT else {"op": "replace", "path": path, "value": old}]  # fmt: skip
    return back


def _difference(new: Resource, old: Resource) -> list[dict[str, Any]]:
    """Return the guarded patch that makes the old of the new."""
    found: list[dict[str, Any]] = []
    for operation in jsonpatch.diff(new, old):
        if operation["op"] != "add":
            found.append({"op": "test", "path": operation["path"], "value": pointed(new, operation["path"])})
        found.append(operation)
    return found


def _at(content: Any, path: str) -> Any:
    try:
        return pointed(content, path)
    except (KeyError, IndexError, ValueError, TypeError):
        return _ABSENT


# How things are


@dataclass(frozen=True, slots=True)
class Look:
    """What an undo's step would find: something that stands, nothing (it is as it was), or what somebody else has made of it.

    `change` is what takes away what stands, and holds for the version that was looked at only; `why` tells what is lost.
    """

    state: Literal["stands", "as it was", "lost"]
    change: Change
    why: str = ""


async def assess(cluster: AsyncCluster, changes: Sequence[Change]) -> list[Look]:
    """Return how each step of an undo stands. Raises Refusal and Unreachable."""
    return [await look(cluster, change, changes) for change in changes]


async def look(cluster: AsyncCluster, change: Change, changes: Sequence[Change]) -> Look:
    """Return how one step of an undo stands, which is one of these. Raises Refusal and Unreachable."""
    found = await _found(cluster, change)
    if change.verb == "create":
        return _to_be_made(change, found, changes)
    if found is None:
        return (
            Look("as it was", change) if change.verb == "delete" else _lost(change, "is not there any more")
        )
    if change.verb == "delete":
        return _to_be_deleted(change, found, changes)
    if change.if_uid and text(found, "metadata", "uid") != change.if_uid:
        return _lost(change, "is another one by now: it was made anew since")
    return _to_be_patched(change, found)


async def _found(cluster: AsyncCluster, change: Change) -> Resource | None:
    ref = change.ref
    try:
        return await cluster.get(change.api_version, ref.kind, ref.namespace, ref.name)
    except Refusal as refusal:
        if refusal.code == 404:
            return None
        raise


def _lost(change: Change, why: str) -> Look:
    return Look("lost", change, f"{change.ref} {why}")


def _to_be_made(change: Change, found: Resource | None, changes: Sequence[Change]) -> Look:
    if found is None or mapping(found, "metadata").get("deletionTimestamp"):
        return Look("stands", change)
    if _is_back(found, change):
        return Look("as it was", change)
    if any(one.verb == "delete" and one.ref == change.ref for one in changes):
        return Look("stands", change)  # what is there is that one's to judge
    return _lost(change, "was made anew by somebody else")


def _is_back(found: Resource, change: Change) -> bool:
    """Whether an object is the one that was to be made again, or is so already."""
    uid = text(found, "metadata", "uid")
    return bool(change.if_uid and uid == change.if_uid) or bare(found) == bare(change.body)


def _to_be_deleted(change: Change, found: Resource, changes: Sequence[Change]) -> Look:
    uid, meta = text(found, "metadata", "uid"), mapping(found, "metadata")
    back = [one for one in changes if one.verb == "create" and one.ref == change.ref]
    if meta.get("deletionTimestamp") or any(_is_back(found, one) for one in back):
        return Look("as it was", change)
    if change.if_uid and uid != change.if_uid:
        return _lost(change, "is another one by now: it was made anew since")
    writers = _writers(found)
    if not change.if_uid and MANAGER not in writers:
        return _lost(change, "was made by somebody else")
    others = sorted(one for one in writers if one != MANAGER and not one.startswith("kube-"))
    if others:
        return _lost(change, f"was changed since, by {', '.join(others)}")
    return Look("stands", replace(change, if_uid=uid, if_version=text(found, "metadata", "resourceVersion")))


def _writers(resource: Resource) -> set[str]:
    """Return who has written what the object is to be, as the server keeps account of it; labels and annotations count for nothing."""
    found = set()
    for _, entry in mappings(resource, "metadata", "managedFields"):
        fields = mapping(entry, "fieldsV1")
        if text(entry, "subresource") != "status" and fields.keys() - {"f:metadata", "f:status"}:
            found.add(text(entry, "manager"))
    return found


def _to_be_patched(change: Change, found: Resource) -> Look:
    """Return what of a patch is to be carried out, and whether any of it is lost."""
    working, kept = found, list[dict[str, Any]]()
    tests: dict[str, Any] = {}
    for operation in change.body if isinstance(change.body, list) else ():
        path = operation["path"]
        if operation["op"] == "test":
            tests[path] = operation["value"]
            continue
        steps = _still(operation, _at(working, path), tests.get(path, _ABSENT))
        if steps is None:
            return _lost(change, f"was changed since: {path} is not as the change has left it")
        try:
            working = jsonpatch.apply(working, copy.deepcopy(steps))
        except jsonpatch.Unpatchable:
            return _lost(change, f"was changed since: there is no place for {path}")
        kept += steps
    if not kept:
        return Look("as it was", change)
    meta = mapping(found, "metadata")
    uid, version = str(meta.get("uid") or ""), str(meta.get("resourceVersion") or "")
    return Look("stands", replace(change, body=kept, if_uid=uid, if_version=version))


def _still(operation: Mapping[str, Any], there: Any, left: Any) -> list[dict[str, Any]] | None:
    """Return what undoes one operation's doing, given what is there and what was left; [] if it is undone, None if it cannot be."""
    path = operation["path"]
    if operation["op"] == "remove":
        return [] if there is _ABSENT else _without(there, left, path)
    if there == operation["value"]:
        return []
    guarded = left if operation["op"] == "replace" else _ABSENT
    return [dict(operation)] if there is guarded or there == guarded else None


def _without(there: Any, left: Any, path: str) -> list[dict[str, Any]] | None:
    """Return what takes away what was left there, and nothing that others have put beside it. None: they have changed it itself."""
    if there == left:
        return [{"op": "test", "path": path, "value": there}, {"op": "remove", "path": path}]
    if not isinstance(there, dict) or not isinstance(left, dict) or not left:
        return None
    found: list[dict[str, Any]] = []
    for key, value in left.items():
        if key not in there:
            return None
        steps = _without(there[key], value, f"{path}/{str(key).replace('~', '~0').replace('/', '~1')}")
        if steps is None:
            return None
        found += steps
    return found


# Carrying out


async def send(
    cluster: AsyncCluster, change: Change, was: Resource | None, now: Callable[[], datetime]
) -> None:
    """Carry out a change of what was seen as `was`; not if somebody has changed what it is about since. Raises Refusal and Unreachable.

    Where no test of a patch guards a place, because nothing was there, it must be free still.
    """
    guarded, last = change, None
    for _ in range(TRIES):
        if was is not None and (change.verb == "delete" or change.patch == "json"):
            found = await cluster.get(
                change.api_version, change.ref.kind, change.ref.namespace, change.ref.name
            )
            unchanged(change, found, was)
            guarded = replace(change, if_version=text(found, "metadata", "resourceVersion"))
        try:
            await carry_out(guarded, cluster, now(), ADMIN, MANAGER)
        except Refusal as refusal:
            await _hold_off(refusal, again=guarded.if_version == last)
            last = guarded.if_version
        else:
            return
    raise Refusal(409, "Conflict", f"{change.ref} is written by others all the time")


def unchanged(change: Change, found: Resource, was: Resource) -> None:
    """Raise Refusal if a change would overwrite what it was not made for: the object was another one, or said something else."""
    problem = ""
    if change.if_uid and text(found, "metadata", "uid") != change.if_uid:
        problem = "was made anew since"
    elif change.verb == "delete" and not mapping(was, "metadata").get("ownerReferences"):
        problem = "" if bare(found) == bare(was) else "was changed since"
    elif change.patch == "json":
        filled = _filled(change.body, found)
        problem = f"was changed since: there is something at {filled}" if filled else ""
    if problem:
        raise Refusal(409, "Conflict", f"{change.ref} {problem}")


def _filled(operations: Sequence[Mapping[str, Any]], found: Resource) -> str:
    """Return the place that a patch adds to and that is taken, "" if all are free."""
    working = found
    for operation in operations:
        if operation["op"] == "add" and _at(working, operation["path"]) not in (_ABSENT, operation["value"]):
            return str(operation["path"])
        try:
            working = jsonpatch.apply(working, [copy.deepcopy(dict(operation))])
        except jsonpatch.Unpatchable:
            return ""  # the server says so better
    return ""


# Taking back


async def take_back(
    cluster: AsyncCluster, changes: Sequence[Change], now: Callable[[], datetime]
) -> list[str]:
    """Carry out an undo, each step whatever becomes of the others; return what could not be done. Raises Unreachable."""
    failures = []
    for index, change in enumerate(changes):
        try:
            why = await _step(cluster, change, changes[index:], now)
        except Refusal as refusal:
            why = f"{change.ref}: {refusal.message}"
        if why:
            failures.append(why)
    return failures


async def _step(
    cluster: AsyncCluster, change: Change, changes: Sequence[Change], now: Callable[[], datetime]
) -> str:
    """Take one step; return why it cannot be, "" when it is done. Raises Refusal and Unreachable."""
    last: str | None = None
    for _ in range(TRIES):
        seen = await look(cluster, change, changes)
        if seen.state != "stands":
            return seen.why
        if change.verb == "create":
            await gone(cluster, change, any_uid=True)
        try:
            await carry_out(seen.change, cluster, now(), ADMIN, MANAGER)
        except Refusal as refusal:
            if change.verb == "delete" and refusal.code == 404:
                return ""
            await _hold_off(refusal, again=seen.change.if_version == last)
            last = seen.change.if_version
            continue
        if change.verb == "delete":
            await gone(cluster, seen.change)
        return ""
    return f"{change.ref} is written by others all the time"


async def _hold_off(refusal: Refusal, *, again: bool) -> None:
    """Wait before a write is tried once more; raise the refusal where that makes no sense: the object is the same as before."""
    if refusal.code == 429:
        await asyncio.sleep(1.0)
    elif refusal.code not in {409, 422} or again:
        raise refusal


async def gone(cluster: AsyncCluster, change: Change, *, any_uid: bool = False) -> None:
    """Wait until a deleted object's name is free, or taken again by another one."""
    deadline = time.monotonic() + GONE_SECONDS
    while time.monotonic() < deadline:
        found = await _found(cluster, change)
        if found is None:
            return
        uid = change.if_uid or change.ref.uid
        if not any_uid and uid and text(found, "metadata", "uid") != uid:
            return
        if any_uid and not mapping(found, "metadata").get("deletionTimestamp"):
            return
        await asyncio.sleep(0.1)


async def rehearse(cluster: AsyncCluster, changes: Sequence[Change]) -> dict[Ref, Resource]:
    """Ask the server to check every change without making it; return what it says that they would leave. Raises Refusal.

    An object that is to be created anew bears another name meanwhile, since the old one still has it.
    """
    params = {"dryRun": "All", "fieldManager": MANAGER}
    deleted = {_anybody(change.ref) for change in changes if change.verb == "delete"}
    after: dict[Ref, Resource] = {}
    for change in changes:
        ref = change.ref
        if change.verb == "create":
            body = change.body
            if _anybody(ref) in deleted:
                meta = {**body["metadata"], "name": f"{ref.name[:50].rstrip('.-')}-dry-run"}
                body = {**body, "metadata": meta}
            path = await cluster.path(change.api_version, ref.kind, ref.namespace)
            await cluster.raw("POST", path, params=params, body=body)
            continue
        path = await cluster.path(change.api_version, ref.kind, ref.namespace, ref.name, change.subresource)
        if change.verb == "patch":
            how = PATCH_TYPES[change.patch or "merge"]
            answer = await cluster.raw("PATCH", path, params=params, body=change.body, content_type=how)
            after[ref] = answer.json()
        elif change.verb == "update":
            after[ref] = (await cluster.raw("PUT", path, params=params, body=change.body)).json()
        else:
            options = {"apiVersion": "v1", "kind": "DeleteOptions", "dryRun": ["All"]}
            await cluster.raw("DELETE", path, body=options)
    return after
