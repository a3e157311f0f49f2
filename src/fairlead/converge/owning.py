"""Who owns what of a live object: field managers, Helm, kubectl, other instances; and how ownership is taken over.

Reads managedFields and marks, and writes the patch that hands fields over; never decides whether that is allowed. What a proof says is
certain: that an object was left by its instance exactly as it is wanted now.
Source: k8s.io/client-go/util/csaupgrade; structured-merge-diff's fieldsV1; helm.sh's marks of release ownership.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fairlead.converge.differing import LAST_APPLIED
from fairlead.converge.stages import INSTANCE, SPACE, Instance
from fairlead.tongues.paths import mapping, mappings, strings, text
from fairlead.words import Resource

HELM_NAME: Final = "meta.helm.sh/release-name"
HELM_SPACE: Final = "meta.helm.sh/release-namespace"
_MARKS: Final = (LAST_APPLIED, HELM_NAME, HELM_SPACE)
_DEPLOYERS: Final = (
    "kubectl-client-side-apply", "kubectl-create", "kubectl-edit", "kubectl-patch", "kubectl-replace", "kubectl", "helm", "Helm",
)  # fmt: skip
"""Managers of what people and Helm have written, whose fields are handed over. Controllers keep theirs."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """A field that somebody else owns: who, and its path as the server writes it (`.spec.replicas`)."""

    manager: str
    field: str

    def __str__(self) -> str:
        return f"{self.field} belongs to {self.manager}"


_CONFLICT: Final = re.compile(r'conflict with "((?:[^"\\]|\\.)*)"(.*)', re.DOTALL)


def conflicts(details: Mapping[str, Any] | None) -> tuple[Conflict, ...]:
    """Return the conflicts that the details of a refused server-side apply (409) list."""
    found = []
    for _, cause in mappings(dict(details or {}), "causes"):
        if text(cause, "reason") == "FieldManagerConflict":
            named = _CONFLICT.match(text(cause, "message"))
            manager = f"{named.group(1)}{_also(named.group(2))}" if named else text(cause, "message")
            found.append(Conflict(manager, text(cause, "field")))
    return tuple(found)


def _also(rest: str) -> str:
    """Return what else the server says of a manager: ` (subresource "scale")`; which API version it used is nobody's concern."""
    found = re.search(r'with subresource "([^"]+)"', rest)
    return f" (subresource {found.group(1)})" if found else ""


@dataclass(frozen=True, slots=True)
class Owner:
    """Somebody else who has an object as their own: `sort` is helm, fairlead or kubectl; `name` what they call themselves."""

    sort: str
    name: str
    namespace: str = ""

    def __str__(self) -> str:
        called = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return {
            "helm": f"Helm release {called}",
            "fairlead": f"instance {called}",
        }.get(self.sort, called)


def owner(live: Resource, instance: Instance) -> Owner | None:
    """Return who else has the object as their own, None where nobody says so."""
    labels, notes = strings(live, "metadata", "labels"), strings(live, "metadata", "annotations")
    if INSTANCE in labels and not instance.owns(live):
        return Owner("fairlead", labels[INSTANCE], labels.get(SPACE, ""))
    if HELM_NAME in notes:
        return Owner("helm", notes[HELM_NAME], notes.get(HELM_SPACE, ""))
    return None


def applied_by_hand(live: Resource) -> bool:
    """Say whether `kubectl apply` keeps account of the object on the client's side."""
    return LAST_APPLIED in strings(live, "metadata", "annotations")


# Taking over


def handover(live: Resource, instance: Instance) -> list[dict[str, Any]]:
    """Return the JSON patch that makes the instance own what kubectl, Helm and other instances wrote; [] where there is nothing.

    It holds for the very version that was looked at. What is not applied afterwards is removed by the apply that follows.
    """
    meta = mapping(live, "metadata")
    entries = [dict(one) for _, one in mappings(live, "metadata", "managedFields")]
    kept, given = (
        [one for one in entries if not _handed(one, instance)],
        [one for one in entries if _handed(one, instance)],
    )
    operations: list[dict[str, Any]] = []
    if given:
        mine = next((one for one in kept if _is_ours(one, instance.manager)), None)
        if mine is None:
            first = given[0]
            mine = {**first, "manager": instance.manager, "operation": "Apply"}
            kept.insert(0, mine)
        for one in given:
            if text(one, "apiVersion") == text(mine, "apiVersion"):
                mine["fieldsV1"] = _union(mapping(mine, "fieldsV1"), mapping(one, "fieldsV1"))
        operations.append({"op": "replace", "path": "/metadata/managedFields", "value": kept})
    notes = strings(live, "metadata", "annotations")
    operations += [
        {"op": "remove", "path": f"/metadata/annotations/{mark.replace('~', '~0').replace('/', '~1')}"}
        for mark in _MARKS
        if mark in notes
    ]
    if operations:
        version = str(meta.get("resourceVersion") or "")
        operations.insert(0, {"op": "test", "path": "/metadata/resourceVersion", "value": version})
    return operations


def _handed(entry: Mapping[str, Any], instance: Instance) -> bool:
    manager = str(entry.get("manager") or "")
    if entry.get("subresource") or manager == instance.manager:
        return False
    if manager.startswith("fairlead/"):
        return True
    return manager in _DEPLOYERS and (
        entry.get("operation") == "Update" or manager in {"kubectl", "helm", "Helm"}
    )


def _is_ours(entry: Mapping[str, Any], manager: str) -> bool:
    return (
        entry.get("manager") == manager and entry.get("operation") == "Apply" and not entry.get("subresource")
    )


def _union(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return the field set that has what is in either."""
    both = dict(one)
    for key, value in other.items():
        before = both.get(key)
        both[key] = (
            _union(before, value)
            if isinstance(before, dict) and isinstance(value, dict)
            else (before or value)
        )
    return both


# Proofs


def fingerprint(value: Any) -> str:
    """Return a short hash of a JSON value, whatever the order of its keys."""
    written = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(written.encode(errors="surrogatepass")).hexdigest()[:24]


def proof(body: Resource, live: Resource, manager: str) -> str:
    """Return what proves later that nothing is to be done: "" where the live object does not tell enough.

    The server keeps for each manager which fields it owns as it last applied them, and takes from it what anybody else changes or
    removes. So an apply of the same body by the same manager changes nothing while its entry is the same, in the same object; the
    entry's time moves with every change of it.
    """
    mine = [one for _, one in mappings(live, "metadata", "managedFields") if one.get("manager") == manager]
    if len(mine) != 1 or not _is_ours(mine[0], manager):
        return ""  # none, or changed also in other ways: better asked
    return fingerprint([body, mine[0], text(live, "metadata", "uid")])


def proven(known: Mapping[str, str], key: str, body: Resource, live: Resource, manager: str) -> bool:
    """Say whether the object is certain to be as it is wanted, by a proof that was kept under the key."""
    kept = known.get(key, "")
    return (
        bool(kept) and not text(live, "metadata", "deletionTimestamp") and kept == proof(body, live, manager)
    )


def helm_releases(objects: Iterable[Resource]) -> list[Owner]:
    """Return the Helm releases that the live objects belong to."""
    found: dict[Owner, None] = {}
    for one in objects:
        notes = strings(one, "metadata", "annotations")
        if HELM_NAME in notes:
            found[Owner("helm", notes[HELM_NAME], notes.get(HELM_SPACE, ""))] = None
    return list(found)
