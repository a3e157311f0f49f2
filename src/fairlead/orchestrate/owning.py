"""Who belongs to whom: controller references, adoption, release, and names and hashes for what an owner makes.

Source: k8s.io/kubernetes/pkg/controller (controller_ref_manager.go, controller_utils.go). Must never adopt for an
owner that is being deleted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fairlead.orchestrate import proposing
from fairlead.orchestrate.steps import Kind
from fairlead.tongues import selectors
from fairlead.words import Change, Ref, Resource, View

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""What Kubernetes makes name suffixes of: no vowels, nothing easily mistaken."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The objects that are the owner's, and the changes that adopt or release some."""

    mine: list[Resource]
    changes: tuple[Change, ...]


def controller_of(resource: Resource) -> dict[str, Any] | None:
    """Return the ownerReference whose `controller` is true, or None."""
    for reference in resource["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            return dict(reference)
    return None


def controller_ref(resource: Resource, group: str, kind: str) -> list[Ref]:
    """Return the Ref of the controlling owner if it is of this kind: the usual answer to a watch."""
    reference = controller_of(resource)
    if reference is None or reference["kind"] != kind or reference["apiVersion"].rpartition("/")[0] != group:
        return []
    namespace = resource["metadata"].get("namespace", "")
    return [Ref(group, kind, namespace, reference["name"], reference["uid"])]


def concerned(view: View, pod: Resource, group: str, kind: str) -> list[Ref]:
    """Return the owners of this kind that a pod concerns: its controller, or, for an orphan, all that select it."""
    if controller_of(pod) is not None:
        return controller_ref(pod, group, kind)
    return [
        Ref.of(owner)
        for owner in view.list(group, kind, pod["metadata"].get("namespace", ""))
        if selectors.from_object(owner["spec"].get("selector")).matches(labels(pod))
    ]


def reference_to(owner: Resource) -> dict[str, Any]:
    """Return the controlling ownerReference to put on what the owner makes."""
    meta = owner["metadata"]
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": meta["name"],
        "uid": meta.get("uid", ""),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def is_deleted(resource: Resource) -> bool:
    """Whether the object is on its way out."""
    return bool(resource["metadata"].get("deletionTimestamp"))


def labels(resource: Resource) -> dict[str, str]:
    """Return the object's labels."""
    return resource["metadata"].get("labels") or {}


def claim(view: View, owner: Resource, selector: selectors.Expr, children: Kind) -> Claim:
    """Find the owner's children: those it controls and selects, and orphans that it selects and thereby adopts.

    A child that is controlled but no longer selected is released.
    """
    meta = owner["metadata"]
    uid = meta.get("uid", "")
    mine: list[Resource] = []
    changes: list[Change] = []
    for child in view.list(*children, meta.get("namespace", "")):
        reference = controller_of(child)
        if reference is not None and reference["uid"] != uid:
            continue
        selected = selector.matches(labels(child))
        if reference is not None:
            if selected:
                mine.append(child)
            elif not is_deleted(owner):
                others = [r for r in child["metadata"]["ownerReferences"] if r["uid"] != uid]
                change = proposing.patch(
                    child,
                    {"metadata": {"ownerReferences": others}},
                    "no longer selected by its owner",
                    exact=True,
                )
                changes.append(change)
        elif selected and not is_deleted(owner) and not is_deleted(child):
            references = [*(child["metadata"].get("ownerReferences") or ()), reference_to(owner)]
            adopted = {**child, "metadata": {**child["metadata"], "ownerReferences": references}}
            change = proposing.patch(
                child,
                {"metadata": {"ownerReferences": references}},
                "an orphan that the owner selects",
                exact=True,
            )
            changes.append(change)
            mine.append(adopted)
    return Claim(mine, tuple(changes))


def suffix(*seed: object, length: int = 5) -> str:
    """Return a name suffix in Kubernetes' alphabet, the same for the same seed."""
    number = int.from_bytes(hashlib.sha256("\0".join(map(str, seed)).encode()).digest()[:8], "big")
    letters = []
    for _ in range(length):
        number, rest = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[rest])
    return "".join(letters)


def fresh_names(stem: str, count: int, taken: Sequence[str], *seed: object) -> list[str]:
    """Return names `<stem><suffix>` that are not taken; the stem is cut so that a name stays within 63 characters."""
    stem = stem[:58]
    used = set(taken)
    names: list[str] = []
    turn = 0
    while len(names) < count:
        name = stem + suffix(stem, turn, *seed)
        turn += 1
        if name not in used:
            used.add(name)
            names.append(name)
    return names


def template_hash(template: Any, collisions: int = 0) -> str:
    """Return the digest that names a template's revision, in Kubernetes' safe encoding; stable for equal templates."""
    text = json.dumps(template, sort_keys=True, separators=(",", ":"))
    if collisions:
        text += f"#{collisions}"
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
    return "".join(ALPHABET[ord(digit) % len(ALPHABET)] for digit in str(number))


def pod_from(template: Resource, owner: Resource, name: str, generate: str = "") -> Resource:
    """Return a new Pod after the owner's template, controlled by the owner."""
    given = template.get("metadata") or {}
    meta: dict[str, Any] = {"name": name, "namespace": owner["metadata"].get("namespace", "")}
    if generate:
        meta["generateName"] = generate
    for key in ("labels", "annotations"):
        if given.get(key):
            meta[key] = dict(given[key])
    if given.get("finalizers"):
        meta["finalizers"] = list(given["finalizers"])
    meta["ownerReferences"] = [reference_to(owner)]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": dict(template.get("spec") or {})}
