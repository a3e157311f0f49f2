"""Server-side apply: an applied configuration laid over the live object, with owners, conflicts and what falls away.

A manager owns what it applied; what it no longer applies and nobody else owns is removed; what it changes and others
own is a conflict unless forced. Nothing here validates values, fills in defaults or stores: the result must still be
checked like any other write.
Source: sigs.k8s.io/structured-merge-diff/v4/merge, k8s.io/apimachinery/pkg/util/managedfields.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import orjson

from fairlead.keep.comparing import Mistyped, merged, owned, without, without_nulls
from fairlead.keep.errors import Cause, Refusal, apply_conflict, bad_request
from fairlead.keep.fields import (
    NONE,
    Fields,
    contains,
    difference,
    intersection,
    path_text,
    paths,
    union,
    with_named,
)
from fairlead.keep.managing import (
    Entry,
    Identity,
    Managed,
    as_now,
    conflicts,
    differences,
    read,
    stripped,
    taken_away,
    timestamp,
    track,
    updated,
    written,
)
from fairlead.keep.nodes import Node
from fairlead.words import Resource

__all__ = ["LAST_APPLIED", "apply", "track"]

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_BEFORE_FIRST_APPLY = "before-first-apply"
_MOST_ANNOTATIONS = 256 * 1024


def apply(
    live: Resource | None,
    applied: Resource,
    node: Node,
    manager: str,
    api_version: str,
    now: datetime,
    force: bool = False,
    *,
    subresource: str = "",
    reset: Iterable[str] = (),
) -> Resource:
    """Return the object after `applied` was applied by the manager, with `metadata.managedFields` brought up to date.

    `live` is the stored object in the same version, None for a create. `reset` names top-level fields that cannot be
    applied here (`status`, or all but it through the status subresource): they are passed over. When nothing changes,
    the result equals `live`. Raises Refusal: 400 for another version or given managedFields, 500 (as Kubernetes does)
    for what does not fit the types, 409 with the conflicts.
    """
    version = applied.get("apiVersion")
    if version != api_version:
        raise bad_request(
            "Incorrect version specified in apply patch. "
            f"Specified patch version: {version}, expected: {api_version}"
        )
    if (applied.get("metadata") or NONE).get("managedFields") is not None:
        raise bad_request("metadata.managedFields must be nil")
    passed_over = set(reset)
    config = {key: value for key, value in applied.items() if key not in passed_over}
    try:
        mentioned = owned(config, node)
    except Mistyped as fault:
        raise _mistyped(applied, fault) from None
    before = live or {}
    managed = _managed(live, node, api_version, now)
    stored = managed
    fields = stripped(mentioned)
    writer = Entry(manager or "unknown", "Apply", api_version, fields, timestamp(now), subresource)
    known = managed.get(writer.identity)
    result = merged(before, config, node)
    dropped = known is not None and difference(known.fields, mentioned)
    if dropped:
        managed = as_now(managed, node)
        result = _pruned(result, node, managed, writer.identity, mentioned)
    changed, removed = differences(before, result, node)
    if dropped:
        result = without_nulls(result, node)
    elif changed or removed:
        managed = as_now(managed, node)
    found = conflicts(managed, changed, writer.identity) if changed else {}
    if found and not force:
        found = _disallowed(found, live, node, api_version, manager)
        if found:
            raise _conflict(found)
    after = taken_away(managed, changed, removed, writer.identity)
    after.pop(writer.identity, None)
    if fields:
        same = known is not None and known.fields == fields and known.api_version == api_version
        if known is not None and same and not changed and not removed:
            after[writer.identity] = known
        else:
            after[writer.identity] = writer
    if manager == "kubectl" and (changed or removed):
        _sync_last_applied(result, applied)
    return _with_managed(result, live, stored, after)


def _managed(live: Resource | None, node: Node, api_version: str, now: datetime) -> Managed:
    """Return the live object's entries; what was never tracked belongs to a manager before all."""
    if live is None:
        return {}
    try:
        managed = read((live.get("metadata") or NONE).get("managedFields"))
    except ValueError:
        managed = {}
    if managed:
        return managed
    first = Entry(_BEFORE_FIRST_APPLY, "Update", api_version, NONE, timestamp(now))
    changed, removed = differences(NONE, live, node)
    return updated({}, changed, removed, node, first)


def _with_managed(result: Resource, live: Resource | None, before: Managed, after: Managed) -> Resource:
    metadata = {**(result.get("metadata") or NONE)}
    metadata.pop("managedFields", None)
    stored = ((live or NONE).get("metadata") or NONE).get("managedFields")
    if stored and after == before:
        metadata["managedFields"] = stored
    elif after:
        metadata["managedFields"] = written(after, before)
    result["metadata"] = metadata
    return result


def _pruned(result: Resource, node: Node, managed: Managed, writer: Identity, mentioned: Fields) -> Resource:
    """Return the object less what the manager applied last time, no longer does, and nobody else owns."""
    last = with_named(managed[writer].fields, node)
    dropped = difference(last, with_named(mentioned, node))
    if not dropped:
        return result
    touched = {key: value for key, value in result.items() if f"f:{key}" in dropped}
    claimed = mentioned
    for identity, entry in managed.items():
        if identity != writer:
            claimed = union(claimed, entry.fields)
    everything = with_named(owned_of(touched, node), node)
    kept = with_named(owned_of(without(touched, node, last) or NONE, node), node)
    gone = difference(everything, union(kept, with_named(claimed, node)))
    remaining = with_named(owned_of(without(touched, node, gone) or NONE, node), node)
    pruned = without(touched, node, intersection(difference(everything, remaining), last)) or NONE
    return {
        key: pruned[key] if key in touched else value
        for key, value in result.items()
        if key in pruned or key not in touched
    }


def owned_of(resource: Mapping[str, Any], node: Node) -> Fields:
    """Return the set of all that a stored object has; what does not fit its type is passed over."""
    try:
        return owned(resource, node)
    except Mistyped:
        return _lenient(resource, node)


def _lenient(resource: Mapping[str, Any], node: Node) -> Fields:
    """Return the set of each top-level field that fits its type."""
    fields: Fields = {}
    for key, value in resource.items():
        try:
            fields = union(fields, owned({key: value}, node))
        except Mistyped:
            continue
    return fields


# Conflicts.


def _conflict(found: Mapping[Identity, Fields]) -> Refusal:
    groups = [(_named(identity), list(paths(found[identity]))) for identity in sorted(found, key=_text)]
    causes = [
        Cause("FieldManagerConflict", f"conflict with {name}", path_text(path))
        for name, taken in groups
        for path in taken
    ]
    if len(causes) == 1:
        return apply_conflict(causes, f"Apply failed with 1 conflict: {causes[0].message}: {causes[0].field}")
    lines: list[str] = []
    for name, taken in groups:
        lines.append(f"conflicts with {name}:")
        lines += [f"- {path_text(path)}" for path in taken]
    return apply_conflict(causes, f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines))


def _named(identity: Identity) -> str:
    manager, operation, version, subresource = identity
    text = json.dumps(manager, ensure_ascii=False)
    if subresource:
        text += f' with subresource "{subresource}"'
    return f"{text} using {version}" if operation == "Update" else text


def _text(identity: Identity) -> str:
    """Return what Kubernetes sorts managers by: the identity as JSON."""
    manager, operation, version, subresource = identity
    document = {"manager": manager, "operation": operation, "apiVersion": version, "subresource": subresource}
    return json.dumps(
        {key: value for key, value in document.items() if value}, separators=(",", ":"), ensure_ascii=False
    )


def _mistyped(applied: Resource, fault: Mistyped) -> Refusal:
    metadata = applied.get("metadata") or NONE
    where = f"{metadata.get('namespace') or ''}/{metadata.get('name') or ''}"
    what = f"{applied.get('apiVersion')}, Kind={applied.get('kind')}"
    return Refusal(500, "", f"failed to create typed patch object ({where}; {what}): {fault}")


# From client-side apply.


def _disallowed(
    found: dict[Identity, Fields], live: Resource | None, node: Node, api_version: str, manager: str
) -> dict[Identity, Fields]:
    """Return the conflicts less those with what kubectl itself applied from the client side, still unchanged."""
    text = _last_applied(live)
    if manager != "kubectl" or not text or live is None:
        return found
    try:
        last = orjson.loads(text)
        if not isinstance(last, dict) or last.get("apiVersion") != api_version:
            return found
        mine = owned(last, node)
    except (ValueError, Mistyped):
        return found
    changed, removed = differences(last, live, node)
    mine = difference(difference(mine, changed), removed)
    left = {}
    for identity, fields in found.items():
        rest = NONE
        for path in paths(fields):
            if not contains(mine, path):
                rest = union(rest, _single(path))
        if rest:
            left[identity] = rest
    return left


def _single(path: tuple[str, ...]) -> Fields:
    fields: Fields = {}
    for key in reversed(path):
        fields = {key: fields}
    return fields


def _last_applied(resource: Resource | None) -> str:
    annotations = ((resource or NONE).get("metadata") or NONE).get("annotations") or NONE
    text = annotations.get(LAST_APPLIED)
    return text if isinstance(text, str) else ""


def _sync_last_applied(result: Resource, applied: Resource) -> None:
    """Keep client-side apply's annotation true where there is one; the result is this module's own and may be changed."""
    if not _last_applied(result):
        return
    metadata = {**(applied.get("metadata") or NONE)}
    annotations = {**(metadata.get("annotations") or NONE)}
    annotations.pop(LAST_APPLIED, None)
    if annotations:
        metadata["annotations"] = annotations
    else:
        metadata.pop("annotations", None)
    text = json.dumps(
        {**applied, "metadata": metadata}, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    kept = result["metadata"]["annotations"]
    kept[LAST_APPLIED] = f"{text}\n"
    if sum(len(key.encode()) + len(str(value).encode()) for key, value in kept.items()) > _MOST_ANNOTATIONS:
        del kept[LAST_APPLIED]
