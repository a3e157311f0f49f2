"""ControllerRevisions: the history of a StatefulSet's or DaemonSet's pod template, to roll out and to undo.

Source: k8s.io/kubernetes/pkg/controller/history. A revision's data is the strategic merge patch that brings its
template back, which is what kubectl rollout undo sends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fairlead.orchestrate import owning, proposing
from fairlead.tongues import selectors
from fairlead.words import Change, Resource, View

KIND = ("apps", "ControllerRevision")
LABEL = "controller-revision-hash"
HASH = "controller.kubernetes.io/hash"


@dataclass(frozen=True, slots=True)
class History:
    """The revisions that an owner has, oldest first, and the one of its present template."""

    revisions: tuple[Resource, ...]
    newest: Resource
    changes: tuple[Change, ...]

    def named(self, name: str) -> Resource | None:
        """Return the revision of this name."""
        return next(
            (item for item in (*self.revisions, self.newest) if item["metadata"]["name"] == name), None
        )


def snapshot(owner: Resource) -> dict[str, Any]:
    """Return the patch that restores the owner's present template."""
    return {"spec": {"template": {"$patch": "replace", **owner["spec"]["template"]}}}


def template_of(revision: Resource) -> Resource:
    """Return the pod template that a revision holds."""
    template = ((revision.get("data") or {}).get("spec") or {}).get("template") or {}
    return {key: value for key, value in template.items() if key != "$patch"}


def history(view: View, owner: Resource, hash_label: str, *, annotate: bool = False) -> History:
    """Return the owner's revisions and what to do so that its present template is the newest of them.

    An equal old revision is moved to the top (an undo) instead of being made again.
    """
    selector = selectors.from_object(owner["spec"].get("selector"))
    claim = owning.claim(view, owner, selector, KIND)
    known = sorted(claim.mine, key=_order)
    data = snapshot(owner)
    equal = [item for item in known if item.get("data") == data]
    top = max((int(item.get("revision") or 0) for item in known), default=0)
    if equal and equal[-1] is known[-1]:
        return History(tuple(known), equal[-1], claim.changes)
    if equal:
        chosen = equal[-1]
        change = proposing.patch(chosen, {"revision": top + 1}, "its template is the present one again")
        moved = {**chosen, "revision": top + 1}
        rest = [item for item in known if item is not chosen]
        return History((*rest, moved), moved, (*claim.changes, change))
    made = _make(view, owner, data, top + 1, hash_label, annotate=annotate)
    change = proposing.create(made, "the pod template has no revision yet")
    return History((*known, made), made, (*claim.changes, change))


def _order(revision: Resource) -> tuple[int, str, str]:
    meta = revision["metadata"]
    return int(revision.get("revision") or 0), meta.get("creationTimestamp") or "", meta["name"]


def _make(
    view: View, owner: Resource, data: dict[str, Any], number: int, hash_label: str, *, annotate: bool
) -> Resource:
    """Build the revision; a name that something else has already leads to another hash."""
    meta = owner["metadata"]
    namespace = meta.get("namespace", "")
    labels = ((owner["spec"]["template"].get("metadata") or {}).get("labels")) or {}
    collisions = int((owner.get("status") or {}).get("collisionCount") or 0)
    while True:
        digest = owning.template_hash(data, collisions)
        name = f"{meta['name'][:223]}-{digest}"
        if view.get(*KIND, namespace, name) is None:
            break
        collisions += 1
    found: dict[str, Any] = {
        "name": name,
        "namespace": namespace,
        "labels": {**labels, hash_label: digest},
        "ownerReferences": [owning.reference_to(owner)],
    }
    if annotate and meta.get("annotations"):
        found["annotations"] = dict(meta["annotations"])
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": found,
        "data": data,
        "revision": number,
    }


def truncate(past: History, owner: Resource, used: Iterable[str]) -> list[Change]:
    """Delete the oldest revisions beyond revisionHistoryLimit, never one that is in use (by name)."""
    limit = owner["spec"].get("revisionHistoryLimit")
    keep = set(used) | {past.newest["metadata"]["name"]}
    free: Sequence[Resource] = [
        item
        for item in past.revisions
        if item["metadata"]["name"] not in keep and item["metadata"].get("uid")
    ]
    surplus = len(free) - (10 if limit is None else int(limit))
    return [proposing.delete(item, "beyond the revision history limit") for item in free[: max(surplus, 0)]]
