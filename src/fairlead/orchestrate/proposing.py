"""Builders for Changes: create, patch the status, patch, delete, and tell by a Kubernetes Event.

Must never change the Resource that a proposal starts from: a View's objects are shared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fairlead.orchestrate import moments
from fairlead.words import Change, Ref, Resource


def create(body: Resource, why: str) -> Change:
    """Propose a new object."""
    return Change(verb="create", ref=Ref.of(body), api_version=body["apiVersion"], body=body, why=why)


def delete(resource: Resource, why: str, options: Mapping[str, Any] | None = None) -> Change:
    """Propose to delete exactly this object, with DeleteOptions where the defaults do not serve."""
    return Change(
        verb="delete",
        ref=Ref.of(resource),
        api_version=resource["apiVersion"],
        body=dict(options) if options else None,
        why=why,
        if_uid=resource["metadata"].get("uid", ""),
    )


def patch(resource: Resource, document: Mapping[str, Any], why: str, *, exact: bool = False) -> Change:
    """Propose a merge patch; with `exact` it holds only for this very resourceVersion."""
    meta = resource["metadata"]
    return Change(
        verb="patch",
        ref=Ref.of(resource),
        api_version=resource["apiVersion"],
        body=dict(document),
        patch="merge",
        why=why,
        if_uid=meta.get("uid", ""),
        if_version=meta.get("resourceVersion", "") if exact else "",
    )


def status(
    resource: Resource, new: Mapping[str, Any], why: str = "what is there has changed"
) -> tuple[Change, ...]:
    """Propose the new status as a minimal merge patch of the status subresource; nothing when nothing differs."""
    document = difference(resource.get("status") or {}, new)
    if not document:
        return ()
    return (
        Change(
            verb="patch",
            ref=Ref.of(resource),
            api_version=resource["apiVersion"],
            body={"status": document},
            patch="merge",
            subresource="status",
            why=why,
            if_uid=resource["metadata"].get("uid", ""),
        ),
    )


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON merge patch (RFC 7386) that turns old into new; lists are replaced whole."""
    document: dict[str, Any] = {
        key: None for key, value in old.items() if key not in new and value is not None
    }
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            inner = difference(before, value)
            if inner:
                document[key] = inner
        elif value != before or (value is not None and key not in old):
            document[key] = value
    return document


def reference(resource: Resource, field_path: str = "") -> dict[str, str]:
    """Return a core/v1 ObjectReference to the object."""
    meta = resource["metadata"]
    found = {
        "apiVersion": resource["apiVersion"],
        "kind": resource["kind"],
        "namespace": meta.get("namespace", ""),
        "name": meta.get("name", ""),
        "uid": meta.get("uid", ""),
        "resourceVersion": meta.get("resourceVersion", ""),
        "fieldPath": field_path,
    }
    return {key: value for key, value in found.items() if value}


def event(
    about: Resource,
    severity: str,
    reason: str,
    message: str,
    now: datetime,
    component: str,
    *,
    field: str = "",
    host: str = "",
) -> Change:
    """Propose to tell that something happened: a core/v1 Event with `severity` Normal or Warning.

    Its name is a digest of what it says, so that the same news again bumps the count instead of adding an object.
    Events about cluster-scoped objects lie in the namespace default. `field` is the part of the object that it is
    about, `host` the node that tells it.
    """
    involved = reference(about, field)
    namespace = involved.get("namespace") or "default"
    text = message if len(message) <= 1024 else message[:1021] + "..."
    parts = (
        involved.get("uid") or involved["name"],
        involved["kind"],
        component,
        severity,
        reason,
        text,
        field,
    )
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    body: Resource = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{involved['name']}.{digest}", "namespace": namespace},
        "involvedObject": involved,
        "reason": reason,
        "message": text,
        "source": {"component": component, "host": host} if host else {"component": component},
        "firstTimestamp": moments.stamp(now),
        "lastTimestamp": moments.stamp(now),
        "count": 1,
        "type": severity,
        "eventTime": None,
        "reportingComponent": component,
        "reportingInstance": host,
    }
    return create(body, f"tell: {reason}")


def is_event(change: Change) -> bool:
    """Whether the change only tells of something."""
    return change.verb == "create" and change.ref.kind == "Event"
