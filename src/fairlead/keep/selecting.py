"""Which objects a field or label selector picks, and what a write means to a watch that selects.

The table of supported fields is Kubernetes' own. Nothing here lists or pages.
Source: each kind's AddFieldLabelConversionFunc and GetAttrs in Kubernetes 1.32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

from fairlead.keep.entries import Entry, EntryType, Storage, Stored
from fairlead.keep.errors import bad_request
from fairlead.keep.kinds import Kind
from fairlead.tongues.selectors import Expr
from fairlead.words import Resource

Fields: TypeAlias = Sequence[tuple[str, str, str]]
"""What `tongues.selectors.parse_fields` gives: (path, operator, value), the operator one of =, == and !=."""

_EVENT = (
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
)
SELECTABLE: Mapping[Storage, tuple[str, ...]] = {
    ("", "events"): _EVENT,
    ("", "namespaces"): ("status.phase",),
    ("", "nodes"): ("spec.unschedulable",),
    ("", "pods"): (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.podIPs",
        "status.nominatedNodeName",
    ),
    ("", "replicationcontrollers"): ("status.replicas",),
    ("", "secrets"): ("type",),
    ("", "services"): ("spec.clusterIP", "spec.type"),
    ("apps", "replicasets"): ("status.replicas",),
    ("batch", "jobs"): ("status.successful",),
    ("certificates.k8s.io", "certificatesigningrequests"): ("spec.signerName",),
}
"""Beside metadata.name and metadata.namespace, which every kind has."""

_DEFAULTS = {
    "spec.unschedulable": "false",
    "spec.hostNetwork": "false",
    "status.replicas": "0",
    "status.successful": "0",
}
_ALIASES = {
    "regarding": "involvedObject",
    "reportingController": "reportingComponent",
}


def checked(kind: Kind, fields: Fields, custom: Sequence[str] = ()) -> Fields:
    """Return the fields as the storage names them; Refusal 400 for one that the kind cannot be selected by.

    `custom` are the paths that a custom resource's version declares selectable.
    """
    known = SELECTABLE.get(kind.storage, ())
    result = []
    for path, op, value in fields:
        name = path
        if kind.group == "events.k8s.io":
            head, dot, tail = path.partition(".")
            name = _ALIASES.get(head, head) + dot + tail
        if name in {"metadata.name", "metadata.namespace"} or name in known or name in custom:
            result.append((name, op, value))
        elif kind.storage == ("batch", "jobs"):
            raise bad_request(f'field label "{path}" not supported for Job')
        elif known or custom or ("." in kind.group and not kind.group.endswith(".k8s.io")):
            raise bad_request(f"field label not supported: {path}")
        else:
            raise bad_request(
                f'"{path}" is not a known field selector: only "metadata.name", "metadata.namespace"'
            )
    return result


def selected(
    storage: Storage, stored: Stored, labels: Expr | None, fields: Fields, decoded: Resource | None = None
) -> bool:
    """Whether an object meets both selectors. Field selectors on more than its name decode the object."""
    if labels is not None and not labels.matches(stored.labels):
        return False
    for path, op, value in fields:
        if path == "metadata.name":
            actual = stored.name
        elif path == "metadata.namespace":
            actual = stored.namespace
        else:
            if decoded is None:
                decoded = stored.object
            actual = field_value(storage, decoded, path)
        if (actual == value) == (op == "!="):
            return False
    return True


def field_value(storage: Storage, obj: Resource, path: str) -> str:
    """Return a field as a selector compares it: text, with an absent boolean as "false" and a number as its digits."""
    if storage == ("", "events") and path == "source":
        return _text((obj.get("source") or {}).get("component") or obj.get("reportingComponent"), path)
    if storage == ("batch", "jobs") and path == "status.successful":
        return _text((obj.get("status") or {}).get("succeeded"), path)
    if path == "status.podIPs":
        ips = (obj.get("status") or {}).get("podIPs") or ()
        return ",".join(entry.get("ip", "") for entry in ips)
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return _text(value, path)


def _text(value: Any, path: str) -> str:
    if value is None:
        return _DEFAULTS.get(path, "")
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def last_seen(event: Resource) -> datetime:
    """Return when a Kubernetes Event was last written, as far as it says so; the beginning of time if it does not."""
    series = event.get("series") or {}
    times = (
        event.get("lastTimestamp"),
        series.get("lastObservedTime"),
        event.get("eventTime"),
        event["metadata"].get("creationTimestamp"),
    )
    known = [datetime.fromisoformat(time) for time in times if time]
    return max(known, default=datetime.min.replace(tzinfo=UTC))


def seen_as(entry: Entry, labels: Expr | None, fields: Fields) -> EntryType | None:
    """Return what a write is to a watch with these selectors: an object may come into its sight or leave it.

    None if the watch does not see it at all. For DELETED the watch is shown the entry's body.
    """
    if labels is None and not fields:
        return entry.type
    before = entry.before
    had = before is not None and selected(entry.storage, before, labels, fields)
    has = (
        entry.type != "DELETED"
        and entry.stored is not None
        and selected(entry.storage, entry.stored, labels, fields)
    )
    if had and has:
        return "MODIFIED"
    if has:
        return "ADDED"
    return "DELETED" if had else None
