"""The scale subresource: an object's replicas as an autoscaling/v1 Scale, and back.

Source: k8s.io/kubernetes pkg/registry/apps/*/storage (ScaleREST), apiextensions customresource scale.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fairlead.keep.errors import Cause, bad_request, invalid
from fairlead.keep.fields import Fields, contains, difference
from fairlead.keep.kinds import Kind
from fairlead.tongues import selectors
from fairlead.words import Resource

SCALE = Kind("autoscaling", "v1", "Scale", "scales")


@dataclass(frozen=True, slots=True)
class Paths:
    """Where the replicas and the selector lie, as dotted paths. `selector` may be "" for a kind without one."""

    spec: str = ".spec.replicas"
    status: str = ".status.replicas"
    selector: str = ""


def scale_of(obj: Resource, paths: Paths | None) -> Resource:
    """Return the Scale of an object; `paths` is None for the built-in kinds."""
    meta = obj["metadata"]
    wanted = get(obj, paths.spec if paths else ".spec.replicas")
    seen = get(obj, paths.status if paths else ".status.replicas")
    selector = ""
    if paths is None:
        declared = (obj.get("spec") or {}).get("selector")
        if obj["kind"] == "ReplicationController":
            selector = str(selectors.from_labels(declared or {}))
        elif declared:
            selector = str(selectors.from_object(declared))
    elif paths.selector:
        selector = get(obj, paths.selector) or ""
    status: Resource = {"replicas": seen or 0}
    if selector:
        status["selector"] = selector
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: meta[key] for key in kept if key in meta},
        "spec": {"replicas": wanted} if wanted else {},
        "status": status,
    }


def rescaled(obj: Resource, scale: Resource, paths: Paths | None) -> Resource:
    """Put the Scale's replicas into the object (changed in place); Refusal 400 or 422."""
    meta = scale.get("metadata") or {}
    name = obj["metadata"]["name"]
    if meta.get("name") not in {None, "", name}:
        raise bad_request(
            f"the name of the object ({meta['name']}) does not match the name on the URL ({name})"
        )
    replicas = (scale.get("spec") or {}).get("replicas") or 0
    if not isinstance(replicas, int) or isinstance(replicas, bool):
        raise bad_request(
            'Scale in version "v1" cannot be handled as a Scale: spec.replicas must be an integer'
        )
    if replicas < 0:
        cause = Cause(
            "FieldValueInvalid",
            f"Invalid value: {replicas}: must be greater than or equal to 0",
            "spec.replicas",
        )
        raise invalid("autoscaling", "Scale", name, [cause])
    put(obj, paths.spec if paths else ".spec.replicas", replicas)
    return obj


def scale_fields(obj: Resource, paths: Paths | None) -> list[dict[str, Any]]:
    """Return the Scale's managedFields: the object's entries that own its replicas, as owners of the Scale's."""
    place = _place(paths)
    return [
        {**entry, "apiVersion": SCALE.api_version, "fieldsV1": {"f:spec": {"f:replicas": {}}}}
        for entry in obj["metadata"].get("managedFields") or ()
        if contains((entry.get("fieldsV1") or {}), place)
    ]


def parent_fields(
    obj: Resource, scale: Iterable[dict[str, Any]], api_version: str, paths: Paths | None
) -> list[dict[str, Any]]:
    """Return the object's managedFields after a write to its Scale, whose entries are given.

    Who no longer owns the Scale's replicas has lost the object's.
    """
    place = _place(paths)
    own: Fields = {}
    for part in reversed(place):
        own = {part: own}
    owners = {_who(entry): entry for entry in scale if contains((entry.get("fieldsV1") or {}), _REPLICAS)}
    found = []
    for entry in obj["metadata"].get("managedFields") or ():
        fields = entry.get("fieldsV1") or {}
        if contains(fields, place):
            if _who(entry) not in owners:
                fields = difference(fields, own)
                if not fields:
                    continue
            else:
                del owners[_who(entry)]
        found.append({**entry, "fieldsV1": fields})
    found += [{**entry, "apiVersion": api_version, "fieldsV1": own} for entry in owners.values()]
    return sorted(found, key=lambda entry: entry.get("operation") != "Apply")


_REPLICAS = ("f:spec", "f:replicas")


def _place(paths: Paths | None) -> tuple[str, ...]:
    path = paths.spec if paths else ".spec.replicas"
    return tuple(f"f:{part}" for part in path.strip(".").split("."))


def _who(entry: dict[str, Any]) -> tuple[Any, ...]:
    return entry.get("manager"), entry.get("operation"), entry.get("subresource")


def get(obj: Resource, path: str) -> Any:
    """Return the value at a plain dotted path such as `.spec.replicas`, or None."""
    value: Any = obj
    for part in path.strip(".").split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def put(obj: Resource, path: str, value: Any) -> None:
    """Set the value at a plain dotted path, making the mappings on the way."""
    *parents, last = path.strip(".").split(".")
    place = obj
    for part in parents:
        place = place.setdefault(part, {})
    place[last] = value
