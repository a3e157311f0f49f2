"""Who manages which fields: the entries of `metadata.managedFields`, and what writes other than apply do to them.

Entries keep their sets as they are stored; see `fields`. Entries of another version of a kind are compared as if they
were of this one, which is exact where versions differ only in name. Nothing here merges objects: that is `applying`.
Source: k8s.io/apimachinery/pkg/util/managedfields, sigs.k8s.io/structured-merge-diff/v4/merge.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, TypeAlias

from fairlead.keep.comparing import compare
from fairlead.keep.fields import (
    NONE,
    Fields,
    difference,
    intersection,
    ordered,
    parsed,
    reconciled,
    union,
)
from fairlead.keep.nodes import Node
from fairlead.words import Resource

Operation: TypeAlias = Literal["Apply", "Update"]
Identity: TypeAlias = tuple[str, str, str, str]
"""Manager, operation, apiVersion ("" for an applier, who keeps one entry over all versions), subresource."""

_MOST_UPDATERS = 10
_ANCIENT = "ancient-changes"
_NOBODYS = frozenset({"apiVersion", "kind"})
_NOBODYS_METADATA = frozenset(
    {
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    }
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One manager's fields: FieldsV1 as stored, and when they last changed (RFC 3339, "" if not known)."""

    manager: str
    operation: Operation
    api_version: str
    fields: Fields
    time: str = ""
    subresource: str = ""

    @property
    def identity(self) -> Identity:
        """What makes two entries one."""
        version = "" if self.operation == "Apply" else self.api_version
        return self.manager, self.operation, version, self.subresource


Managed: TypeAlias = dict[Identity, Entry]


def timestamp(now: datetime) -> str:
    """Return the moment as metav1.Time writes it."""
    return f"{now:%Y-%m-%dT%H:%M:%SZ}"


def read(entries: Any, *, trusted: bool = True) -> Managed:
    """Return the entries by identity; what this program wrote itself is trusted to be canonical.

    Raises ValueError for what is no list of entries.
    """
    managed: Managed = {}
    for index, entry in enumerate(entries or ()):
        if not isinstance(entry, dict):
            raise ValueError("managedFields must be a list of objects")  # noqa: TRY004 -- a client's value
        operation = entry.get("operation")
        if operation not in ("Apply", "Update"):
            raise ValueError("operation must be `Apply` or `Update`")
        version = entry.get("apiVersion") or ""
        if not version:
            raise ValueError("apiVersion must not be empty")
        kind = entry.get("fieldsType") or ""
        if kind != "FieldsV1":
            raise ValueError(
                f'invalid fieldsType "{kind}" in managed fields entry {index}'
                if kind
                else f"missing fieldsType in managed fields entry {index}"
            )
        fields = entry.get("fieldsV1") or NONE
        found = Entry(
            manager=entry.get("manager") or "",
            operation=operation,
            api_version=version,
            fields=fields if trusted else parsed(fields),
            time=entry.get("time") or "",
            subresource=entry.get("subresource") or "",
        )
        managed[found.identity] = found
    return managed


def written(managed: Managed, before: Managed = {}) -> list[dict[str, Any]]:  # noqa: B006 -- never changed
    """Return the entries as they are stored: by operation, time, manager, version and subresource.

    Sets that are those of `before` are taken to be in order already.
    """
    entries = []
    for entry in sorted(managed.values(), key=_order):
        known = before.get(entry.identity)
        document = {
            "manager": entry.manager,
            "operation": entry.operation,
            "apiVersion": entry.api_version,
            "time": entry.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": entry.fields
            if known is not None and known.fields is entry.fields
            else ordered(entry.fields),
            "subresource": entry.subresource,
        }
        for name in ("manager", "time", "subresource"):
            if not document[name]:
                del document[name]
        entries.append(document)
    return entries


def _order(entry: Entry) -> tuple[str, str, str, str, str]:
    return entry.operation, entry.time, entry.manager, entry.api_version, entry.subresource


def written_by_nobody(resource: Mapping[str, Any]) -> Resource:
    """Return the object less the fields that are never managed; it shares the rest."""
    out = {key: value for key, value in resource.items() if key not in _NOBODYS}
    metadata = out.get("metadata")
    if isinstance(metadata, dict):
        out["metadata"] = {key: value for key, value in metadata.items() if key not in _NOBODYS_METADATA}
    return out


def stripped(fields: Fields) -> Fields:
    """Return the set less the fields that are never managed."""
    out = {key: node for key, node in fields.items() if key[2:] not in _NOBODYS}
    metadata = out.get("f:metadata")
    if metadata is not None:
        kept = {
            key: node for key, node in metadata.items() if key != "." and key[2:] not in _NOBODYS_METADATA
        }
        if kept:
            out["f:metadata"] = kept
        else:
            del out["f:metadata"]
    return out


def differences(old: Mapping[str, Any], new: Mapping[str, Any], node: Node) -> tuple[Fields, Fields]:
    """Return what was changed or added, and what was removed, of the fields that can be managed."""
    changed, removed = compare(written_by_nobody(old), written_by_nobody(new), node)
    return stripped(changed) if changed else NONE, stripped(removed) if removed else NONE


def conflicts(managed: Managed, changed: Fields, but: Identity) -> dict[Identity, Fields]:
    """Return what the change takes from each of the other managers."""
    found = {}
    for identity, entry in managed.items():
        if identity != but:
            taken = intersection(entry.fields, changed)
            if taken:
                found[identity] = taken
    return found


def taken_away(managed: Managed, changed: Fields, removed: Fields, but: Identity | None) -> Managed:
    """Return the entries without what was changed or removed, except those of one manager; empty ones go."""
    lost = union(changed, removed)
    out: Managed = {}
    for identity, entry in managed.items():
        fields = entry.fields if identity == but else difference(entry.fields, lost)
        if fields:
            out[identity] = entry if fields == entry.fields else replace(entry, fields=fields)
    return out


def as_now(managed: Managed, node: Node) -> Managed:
    """Return the entries with their sets as the types are now."""
    return {
        identity: entry
        if (fields := reconciled(entry.fields, node)) is entry.fields
        else replace(entry, fields=fields)
        for identity, entry in managed.items()
    }


def updated(
    managed: Managed, changed: Fields, removed: Fields, node: Node, writer: Entry, reset: Iterable[str] = ()
) -> Managed:
    """Return the entries after a write that is no apply: the writer owns what it changed, the others no longer do."""
    managed = taken_away(as_now(managed, node), changed, removed, None)
    for name in reset:
        if f"f:{name}" in changed:
            changed = {key: child for key, child in changed.items() if key != f"f:{name}"}
    if changed:
        before = managed.get(writer.identity)
        fields = union(before.fields, changed) if before is not None else changed
        managed[writer.identity] = replace(writer, fields=fields)
    return _capped(managed)


def _capped(managed: Managed) -> Managed:
    """Fold the oldest updaters of a version into one entry, so that there are never many."""
    updaters = sorted(
        (entry for entry in managed.values() if entry.operation == "Update"),
        key=lambda entry: (entry.time, *entry.identity),
    )
    excess = len(updaters) - _MOST_UPDATERS
    first: dict[str, Entry] = {}
    for entry in updaters:
        if excess <= 0:
            break
        if entry.api_version not in first:
            first[entry.api_version] = entry
            continue
        bucket = Entry(_ANCIENT, "Update", entry.api_version, NONE)
        kept = managed.get(bucket.identity)
        if kept is None:
            kept = managed.pop(first[entry.api_version].identity)
        del managed[entry.identity]
        managed[bucket.identity] = replace(bucket, fields=union(entry.fields, kept.fields), time=entry.time)
        excess -= 1
    return managed


def is_reset(entries: Any) -> bool:
    """Whether a client asks for the managed fields to be forgotten: an empty list, or a list of one empty entry."""
    return isinstance(entries, list) and (not entries or entries == [{}])


def track(
    old: Resource | None,
    new: Resource,
    node: Node,
    manager: str,
    api_version: str,
    now: datetime,
    subresource: str = "",
    *,
    reset: Iterable[str] = (),
) -> list[dict[str, Any]]:
    """Return `metadata.managedFields` for an object about to be created, updated or patched (not applied).

    `old` is the stored object, None for a create; `new` the object as it will be stored, with the managedFields that
    the client sent, which count where they are well formed (kubectl so moves from client-side to server-side apply),
    but not through a subresource. `reset` names top-level fields that this write cannot change. An empty list means
    that nothing is tracked: the field is to be left out.
    """
    stored = ((old or NONE).get("metadata") or NONE).get("managedFields") or []
    sent = (new.get("metadata") or NONE).get("managedFields")
    given: Managed | None = None
    if not subresource and sent is not None and sent != stored:
        given = {} if is_reset(sent) else _readable(sent, trusted=False) or None
    if old is not None and (given == {} if given is not None else not stored):
        return []
    changed, removed = differences(old or NONE, new, node)
    if given is None and not changed and not removed:
        return list(stored)
    managed = _readable(stored, trusted=True) if given is None else given
    writer = Entry(manager or "unknown", "Update", api_version, NONE, timestamp(now), subresource)
    after = updated(managed, changed, removed, node, writer, reset) if changed or removed else managed
    return written(after, managed if given is None else {})


def _readable(entries: Any, *, trusted: bool) -> Managed:
    try:
        return read(entries, trusted=trusted)
    except ValueError:
        return {}
