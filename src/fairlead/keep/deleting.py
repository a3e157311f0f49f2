"""Deleting: preconditions, grace periods, finalizers and propagation, and what a delete is answered with.

Nothing here looks for dependents; see `collecting`.
Source: k8s.io/apiserver registry/generic/registry/store.go, registry/rest/delete.go; kubernetes pkg/registry/core/
{pod,namespace}.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from fairlead.keep import admitting, guarding
from fairlead.keep.entries import Entry, Outcome, Stored, encode
from fairlead.keep.errors import Cause, Refusal, conflict, forbidden, invalid
from fairlead.keep.kinds import Kind
from fairlead.keep.requests import Request
from fairlead.keep.strategies import strategy
from fairlead.keep.versions import shown
from fairlead.keep.writing import Writer, stamp
from fairlead.words import Resource

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
DEFINITIONS = ("apiextensions.k8s.io", "customresourcedefinitions")
_POLICIES = ("Foreground", "Background", "Orphan")


def delete(
    writer: Writer,
    kind: Kind,
    namespace: str,
    name: str,
    options: dict[str, Any],
    request: Request,
    *,
    gated: bool = True,
) -> Outcome:
    """Delete one object, or start its deletion where grace or finalizers hold it back.

    `options` is a DeleteOptions object; `gated` says whether policies are asked. Refusals: 403 (namespaces that must stay), 404,
    409 (preconditions), 422, and what policies say.
    """
    check_options(options)
    admitting.refuse_delete(kind, name)
    found = writer.find(kind, namespace, name)
    dry_run = request.dry_run or bool(options.get("dryRun"))
    return _delete(writer, kind, found, options, request, dry_run=dry_run, gated=gated)


def check_options(options: dict[str, Any]) -> None:
    """Refuse DeleteOptions that contradict themselves (422)."""
    causes = []
    policy = options.get("propagationPolicy")
    if policy is not None and options.get("orphanDependents") is not None:
        text = f'Invalid value: "{policy}": orphanDependents and deletionPropagation cannot be both set'
        causes.append(Cause("FieldValueInvalid", text, "propagationPolicy"))
    elif policy is not None and policy not in _POLICIES:
        allowed = ", ".join(f'"{item}"' for item in (*_POLICIES, "nil"))
        text = f'Unsupported value: "{policy}": supported values: {allowed}'
        causes.append(Cause("FieldValueNotSupported", text, "propagationPolicy"))
    dry_run = options.get("dryRun") or []
    for value in dry_run:
        if value != "All":
            text = f'Unsupported value: "{value}": supported values: "All"'
            causes.append(Cause("FieldValueNotSupported", text, "dryRun"))
    if causes:
        raise invalid("meta.k8s.io", "DeleteOptions", "", causes)


def delete_collection(
    writer: Writer,
    kind: Kind,
    found: list[Stored],
    options: dict[str, Any],
    request: Request,
    *,
    gated: bool = True,
) -> Outcome:
    """Delete each object that was found, as `delete` would; the answer is a list of them as they were."""
    check_options(options)
    dry_run = request.dry_run or bool(options.get("dryRun"))
    entries: list[Entry] = []
    warnings: list[str] = []
    items: list[Resource] = []
    for stored in found:
        try:
            outcome = _delete(writer, kind, stored, options, request, dry_run=dry_run, gated=gated)
        except Refusal as refusal:
            if refusal.code != 404:
                raise
            continue
        entries += outcome.entries
        warnings += outcome.warnings
        items.append(shown(stored, kind).object)
    answer: Resource = {
        "apiVersion": kind.api_version,
        "kind": kind.list_kind,
        "metadata": {"resourceVersion": str(writer.store.rv)},
        "items": items,
    }
    return Outcome(answer, encode(answer), tuple(entries), tuple(dict.fromkeys(warnings)))


def _delete(
    writer: Writer,
    kind: Kind,
    found: Stored,
    options: dict[str, Any],
    request: Request,
    *,
    dry_run: bool,
    gated: bool,
) -> Outcome:
    obj = writer.live(kind, found)
    _check_preconditions(kind, found, obj, options)
    if not gated or writer.gate is None or not writer.gate.closed:
        return _begin(writer, kind, found, obj, options, request, dry_run=dry_run)
    asked = replace(request, dry_run=dry_run)
    passage = guarding.passage(
        writer,
        "DELETE",
        kind,
        found.namespace,
        found.name,
        None,
        writer.live(kind, found),
        asked,
        options=options,
    )
    writer.gate.validate(passage)
    outcome = _begin(writer, kind, found, obj, options, request, dry_run=dry_run)
    return replace(outcome, warnings=(*outcome.warnings, *passage.warnings))


def _begin(
    writer: Writer,
    kind: Kind,
    found: Stored,
    obj: Resource,
    options: dict[str, Any],
    request: Request,
    *,
    dry_run: bool,
) -> Outcome:
    if kind.storage == admitting.NAMESPACES:
        return _delete_namespace(writer, kind, found, obj, options, request, dry_run=dry_run)
    if kind.storage == ("", "pods"):
        return _delete_pod(writer, kind, found, obj, options, request, dry_run=dry_run)
    meta = obj["metadata"]
    already = bool(meta.get("deletionTimestamp"))
    before = list(meta.get("finalizers") or ())
    _hold_definition(kind, obj, writer)
    finalizers = _finalizers(kind, list(meta.get("finalizers") or ()), options)
    if not finalizers:
        _set_finalizers(meta, finalizers)
        return _finish(writer, kind, found, obj, dry_run=dry_run)
    if already and finalizers == before:
        return Outcome(obj, encode(obj))
    _set_finalizers(meta, finalizers)
    if not already:
        _mark(meta, request, 0)
        if kind.storage == DEFINITIONS:
            _say_terminating(obj, request)
    if dry_run:
        return Outcome(obj, encode(obj))
    return writer.outcome(kind, obj, [writer.stage("MODIFIED", kind, obj, found)])


def _delete_pod(
    writer: Writer,
    kind: Kind,
    found: Stored,
    obj: Resource,
    options: dict[str, Any],
    request: Request,
    *,
    dry_run: bool,
) -> Outcome:
    meta = obj["metadata"]
    if meta.get("deletionTimestamp"):
        if not _shortened(meta, options) and (
            meta.get("deletionGracePeriodSeconds") or meta.get("finalizers")
        ):
            return Outcome(obj, encode(obj))
    else:
        _set_finalizers(meta, _finalizers(kind, list(meta.get("finalizers") or ()), options))
        _mark(meta, request, _grace(obj, options))
    if not meta["deletionGracePeriodSeconds"] and not meta.get("finalizers"):
        return _finish(writer, kind, found, obj, dry_run=dry_run)
    if dry_run:
        return Outcome(obj, encode(obj))
    return writer.outcome(kind, obj, [writer.stage("MODIFIED", kind, obj, found)])


def _finish(writer: Writer, kind: Kind, found: Stored, obj: Resource, *, dry_run: bool) -> Outcome:
    if dry_run:
        return _deleted(kind, obj, ())
    entry = writer.stage("DELETED", kind, obj, found)
    return _deleted(kind, obj, (entry,))


def _deleted(kind: Kind, obj: Resource, entries: tuple[Entry, ...]) -> Outcome:
    if strategy(kind).returns_object:
        return Outcome(obj, encode(obj), entries)
    status = success(kind, obj["metadata"]["name"], obj["metadata"].get("uid") or "")
    return Outcome(status, encode(status), entries)


def success(kind: Kind, name: str, uid: str) -> Resource:
    """Return the Status that a finished delete is answered with."""
    details = {"name": name, "group": kind.group, "kind": kind.plural, "uid": uid}
    return {
        "apiVersion": "v1",
        "kind": "Status",
        "metadata": {},
        "status": "Success",
        "details": {key: value for key, value in details.items() if value},
    }


def _check_preconditions(kind: Kind, found: Stored, obj: Resource, options: dict[str, Any]) -> None:
    wanted = options.get("preconditions") or {}
    uid, rv = wanted.get("uid"), wanted.get("resourceVersion")
    actual = obj["metadata"].get("uid") or ""
    if uid is not None and uid != actual:
        raise _failed(
            kind,
            found.name,
            f"the UID in the precondition ({uid}) does not match the UID in record ({actual}). "
            "The object might have been deleted and then recreated",
        )
    if rv is not None and rv != str(found.rv):
        raise _failed(
            kind,
            found.name,
            f"the ResourceVersion in the precondition ({rv}) does not match the ResourceVersion in record "
            f"({found.rv}). The object might have been modified",
        )


def _failed(kind: Kind, name: str, why: str) -> Refusal:
    return conflict(kind.group, kind.kind, name, why)


def _grace(pod: Resource, options: dict[str, Any]) -> int:
    """Return how long a pod may take to end: at once without a node, or when it has ended already."""
    spec = pod.get("spec") or {}
    given = options.get("gracePeriodSeconds")
    if given is None:
        given = spec.get("terminationGracePeriodSeconds")
    seconds = int(given) if given is not None else 0
    if not spec.get("nodeName") or (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}:
        seconds = 0
    return 1 if seconds < 0 else seconds


def _shortened(meta: dict[str, Any], options: dict[str, Any]) -> bool:
    """Shorten the grace of a pod that is being deleted already, if the options ask for less than is left."""
    current = meta.get("deletionGracePeriodSeconds")
    if current is None:
        meta["deletionGracePeriodSeconds"] = 0
        return True
    given = options.get("gracePeriodSeconds")
    wanted = current if given is None else int(given)
    if wanted < 0:
        wanted = 1
    if wanted >= current:
        return False
    moment = datetime.fromisoformat(meta["deletionTimestamp"])
    meta["deletionTimestamp"] = stamp(moment + timedelta(seconds=wanted - current))
    meta["deletionGracePeriodSeconds"] = wanted
    return True


def _mark(meta: dict[str, Any], request: Request, seconds: int) -> None:
    meta["deletionTimestamp"] = stamp(request.now + timedelta(seconds=seconds))
    meta["deletionGracePeriodSeconds"] = seconds
    if meta.get("generation"):
        meta["generation"] += 1


def _finalizers(kind: Kind, before: list[str], options: dict[str, Any]) -> list[str]:
    """Return the finalizers after the options' propagation has added or taken away its own."""
    default = strategy(kind).policy
    if default is None:
        return before
    policy = options.get("propagationPolicy")
    orphan = options.get("orphanDependents")
    if policy is not None:
        chosen = policy
    elif orphan is not None:
        chosen = "Orphan" if orphan else "Background"
    elif ORPHAN in before:
        chosen = "Orphan"
    elif FOREGROUND in before:
        chosen = "Foreground"
    else:
        chosen = default
    kept = [name for name in before if name not in {ORPHAN, FOREGROUND}]
    if chosen == "Orphan":
        return [name for name in before if name != FOREGROUND] if ORPHAN in before else [*kept, ORPHAN]
    if chosen == "Foreground":
        return [name for name in before if name != ORPHAN] if FOREGROUND in before else [*kept, FOREGROUND]
    return kept


def _set_finalizers(meta: dict[str, Any], finalizers: list[str]) -> None:
    if finalizers:
        meta["finalizers"] = finalizers
    else:
        meta.pop("finalizers", None)


def _delete_namespace(
    writer: Writer,
    kind: Kind,
    found: Stored,
    obj: Resource,
    options: dict[str, Any],
    request: Request,
    *,
    dry_run: bool,
) -> Outcome:
    meta = obj["metadata"]
    held = bool((obj.get("spec") or {}).get("finalizers"))
    if not meta.get("deletionTimestamp"):
        meta["deletionTimestamp"] = stamp(request.now)
        obj.setdefault("status", {})["phase"] = "Terminating"
        _set_finalizers(meta, _finalizers(kind, list(meta.get("finalizers") or ()), options))
        if not held and not meta.get("finalizers"):
            return _finish(writer, kind, found, obj, dry_run=dry_run)
        if dry_run:
            return Outcome(obj, encode(obj))
        entry = writer.stage("MODIFIED", kind, obj, found)
        return writer.outcome(kind, obj, [entry])
    if held or meta.get("finalizers"):
        return Outcome(obj, encode(obj))
    return _finish(writer, kind, found, obj, dry_run=dry_run)


CLEANUP = "customresourcecleanup.apiextensions.k8s.io"


def _hold_definition(kind: Kind, obj: Resource, writer: Writer) -> None:
    """Hold a CustomResourceDefinition back until the objects of its kind are gone."""
    if kind.storage != DEFINITIONS or obj["metadata"].get("deletionTimestamp"):
        return
    spec = obj["spec"]
    storage = (spec["group"], spec["names"]["plural"])
    finalizers = obj["metadata"].get("finalizers") or []
    if writer.store.head.count(storage):
        if CLEANUP not in finalizers:
            obj["metadata"]["finalizers"] = [*finalizers, CLEANUP]
    elif CLEANUP in finalizers:
        _set_finalizers(obj["metadata"], [name for name in finalizers if name != CLEANUP])


def _say_terminating(obj: Resource, request: Request) -> None:
    conditions = obj.setdefault("status", {}).setdefault("conditions", [])
    conditions[:] = [condition for condition in conditions if condition.get("type") != "Terminating"]
    conditions.append(
        {
            "type": "Terminating",
            "status": "True",
            "lastTransitionTime": stamp(request.now),
            "reason": "InstanceDeletionInProgress",
            "message": "CustomResource deletion is in progress",
        }
    )


def clear_definition(writer: Writer, kind: Kind, name: str, request: Request) -> Outcome:
    """Delete the objects of a definition that is being deleted, and let go of it when none is left.

    `kind` is that of definitions. Does nothing while the definition is not being deleted.
    """
    found = writer.find(kind, "", name)
    old, definition = writer.live(kind, found), writer.live(kind, found)
    if not definition["metadata"].get("deletionTimestamp"):
        return Outcome(definition, found.body)
    spec = definition["spec"]
    storage = (spec["group"], spec["names"]["plural"])
    entries: list[Entry] = []
    version = next(item["name"] for item in spec["versions"] if item.get("storage"))
    names = spec["names"]
    defined = Kind(
        spec["group"], version, names["kind"], names["plural"], namespaced=spec["scope"] == "Namespaced"
    )
    found_items = writer.store.head.items(storage)
    entries += delete_collection(writer, defined, found_items, {}, request, gated=False).entries
    finalizers = definition["metadata"].get("finalizers") or []
    if writer.store.head.count(storage) or CLEANUP not in finalizers:
        return Outcome(definition, found.body, tuple(entries))
    _set_finalizers(definition["metadata"], [item for item in finalizers if item != CLEANUP])
    outcome = writer.replace(kind, found, old, definition, request)
    return Outcome(outcome.object, outcome.body, (*entries, *outcome.entries))


def refuse_terminating_definition(definition: Resource, kind: Kind, name: str) -> None:
    """Refuse to create an object whose definition is being deleted."""
    if definition["metadata"].get("deletionTimestamp"):
        raise forbidden(
            kind.group,
            kind.plural,
            name,
            "create not allowed while custom resource definition is terminating",
        )
