"""Fixes as typed, minimal, guarded patches.

Every edit is a JSON patch that first tests the value it replaces, so it is refused when the object has changed
meanwhile. Where Kubernetes forbids the edit (a Job's or a bare Pod's template), the object is deleted and created anew, and the
risk says so.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fairlead.diagnose.inventories import Inventory, Template, ready
from fairlead.tongues.paths import Path, find, mapping, mappings, pointer, text, words
from fairlead.words import Change, Fix, Ref, Resource


@dataclass(frozen=True, slots=True)
class Edit:
    """Put `new` at the path; None takes away what is there."""

    path: Path
    new: Any

    def operations(self, resource: Resource) -> list[dict[str, Any]]:
        """Return the JSON patch operations, with the test that guards them."""
        where = pointer(self.path)
        old = find(resource, self.path)
        test = {"op": "test", "path": where, "value": old}
        if self.new is None:
            return [] if old is None else [test, {"op": "remove", "path": where}]
        if old is None:
            return [{"op": "add", "path": where, "value": self.new}]
        return [test, {"op": "replace", "path": where, "value": self.new}]


def applied(resource: Resource, edits: Sequence[Edit]) -> Resource:
    """Return a copy of the object with the edits made."""
    changed: Resource = copy.deepcopy(resource)
    for edit in edits:
        holder = find(changed, edit.path[:-1])
        if holder is None:
            continue
        if edit.new is None:
            holder.pop(edit.path[-1], None)
        else:
            holder[edit.path[-1]] = copy.deepcopy(edit.new)
    return changed


def patch(resource: Resource, edits: Sequence[Edit], why: str) -> Change:
    """Return the change that makes the edits in place."""
    ref = Ref.of(resource)
    return Change(
        verb="patch",
        ref=ref,
        api_version=text(resource, "apiVersion"),
        body=[operation for edit in edits for operation in edit.operations(resource)],
        patch="json",
        why=why,
        if_uid=ref.uid,
    )


def delete(resource: Resource, why: str) -> Change:
    """Return the change that deletes the object with all that it owns, and no other of its name."""
    ref = Ref.of(resource)
    return Change(
        verb="delete",
        ref=ref,
        api_version=text(resource, "apiVersion"),
        body={"propagationPolicy": "Background"},
        why=why,
        if_uid=ref.uid,
    )


_SERVER_SET = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink")
_JOB_LABELS = (
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
    "controller-uid",
    "job-name",
)


def bare(resource: Resource) -> Resource:
    """Return a copy as its author could have written it: without status, and without what the server fills in."""
    fresh: Resource = copy.deepcopy(resource)
    fresh.pop("status", None)
    meta = mapping(fresh, "metadata")
    for field in _SERVER_SET:
        meta.pop(field, None)
    if meta.get("generateName") and not meta.get("name"):
        meta.pop("name", None)
    mapping(fresh, "metadata", "annotations").pop("kubectl.kubernetes.io/last-applied-configuration", None)
    if fresh.get("kind") == "Job" and mapping(fresh, "spec").get("manualSelector") is not True:
        mapping(fresh, "spec").pop("selector", None)
        for labels in (
            mapping(fresh, "spec", "template", "metadata", "labels"),
            mapping(fresh, "metadata", "labels"),
        ):
            for label in _JOB_LABELS:
                labels.pop(label, None)
    if fresh.get("kind") == "Pod":
        _unbind(fresh)
    return fresh


def _unbind(pod: Resource) -> None:
    """Take away what admission and the scheduler put into a pod."""
    spec = mapping(pod, "spec")
    spec.pop("nodeName", None)
    injected = {
        text(volume, "name")
        for _, volume in mappings(spec, "volumes")
        if str(volume.get("name", "")).startswith("kube-api-access-")
    }
    if not injected:
        return
    spec["volumes"] = [one for _, one in mappings(spec, "volumes") if one.get("name") not in injected]
    for field in ("initContainers", "containers"):
        for _, container in mappings(spec, field):
            mounts = [
                one for _, one in mappings(container, "volumeMounts") if one.get("name") not in injected
            ]
            container["volumeMounts"] = mounts


def anew(resource: Resource, edits: Sequence[Edit], why: str) -> tuple[Change, Change]:
    """Return the changes that delete the object and create it again with the edits made."""
    fresh = bare(applied(resource, edits))
    create = Change(
        verb="create", ref=Ref.of(fresh), api_version=text(fresh, "apiVersion"), body=fresh, why=why
    )
    return delete(resource, why), create


def edit_template(inventory: Inventory, template: Template, edits: Sequence[Edit], title: str) -> Fix | None:
    """Return a Fix that makes the edits in an object that makes pods, in the way that its kind allows.

    None if the edits fit no more, or are made already (the template has moved on since its pods were made).
    """
    resource, ref = template.resource, template.ref
    if any(find(resource, edit.path[:-1]) is None for edit in edits):
        return None
    if all(find(resource, edit.path) == edit.new for edit in edits):
        return None
    if not inventory.live:
        return Fix(title=title, changes=(patch(resource, edits, title),))
    only_images = all(edit.path[-1] == "image" for edit in edits)
    if (ref.group, ref.kind) == ("", "Pod") and not only_images:
        return Fix(
            title=title,
            changes=anew(resource, edits, title),
            risk="The pod is deleted and created again: Kubernetes does not let these fields change.",
        )
    if (ref.group, ref.kind) == ("batch", "Job"):
        return Fix(
            title=title,
            changes=anew(resource, edits, title),
            risk="The Job is deleted and runs again from its start: Kubernetes does not let its template change.",
        )
    changes = [patch(resource, edits, title)]
    risk = ""
    if ref.kind in {"StatefulSet", "ReplicaSet", "ReplicationController"}:
        broken = [one for one in inventory.crew(ref) if not ready(one.pod)]
        changes += [delete(one.pod, f"{ref} replaces it from the new template") for one in broken]
        if broken:
            risk = f"{len(broken)} pod(s) that are not ready are deleted, so that they come back changed."
    elif ref.kind in {"Deployment", "DaemonSet"}:
        risk = f"Rolls out new pods for {ref}."
    elif ref.kind == "CronJob":
        risk = "Takes effect at the next run."
        held = _held_runs(inventory, ref)
        changes += [delete(one, f"{ref} runs anew") for one in held]
        if held:
            risk += f" {len(held)} run(s) that do not get on are deleted."
    return Fix(title=title, changes=tuple(changes), risk=risk)


def _held_runs(inventory: Inventory, ref: Ref) -> list[Resource]:
    """Return the Jobs of a CronJob whose pods neither run well nor have ended."""
    held: dict[Ref, Resource] = {}
    for member in inventory.crew(ref):
        if ready(member.pod) or text(member.pod, "status", "phase") in {"Succeeded", "Failed"}:
            continue
        for one in inventory.chain(member.pod):
            job = inventory.get(one) if (one.group, one.kind) == ("batch", "Job") else None
            if job is not None:
                held[one] = job
    return list(held.values())


def joined(fixes: Sequence[Fix | None], title: str) -> Fix | None:
    """Return one Fix that does all of them, or None if one is lacking."""
    whole = [fix for fix in fixes if fix is not None]
    if not whole or len(whole) != len(fixes):
        return None
    if len(whole) == 1:
        return whole[0]
    return Fix(
        title=title,
        changes=tuple(change for fix in whole for change in fix.changes),
        risk=" ".join(dict.fromkeys(fix.risk for fix in whole if fix.risk)),
    )


_OWN_FINALIZERS = ("kubernetes.io/", "foregroundDeletion", "orphan", "batch.kubernetes.io/", "kubernetes")
_MOST_UNFINISHED = 5


def unfinished(inventory: Inventory, refs: Sequence[Ref]) -> tuple[Fix, ...]:
    """Return the Fix that takes foreign finalizers off objects that are being deleted; Kubernetes' own stay, and so does what has many."""
    changes = []
    names: dict[str, None] = {}
    title = "take away finalizers that nobody serves"
    for ref in refs:
        resource = inventory.get(ref) or {}
        finalizers = words(resource, "metadata", "finalizers")
        left = [one for one in finalizers if one.startswith(_OWN_FINALIZERS)]
        names |= dict.fromkeys(one for one in finalizers if one not in left)
        if left == list(finalizers) or len(refs) > _MOST_UNFINISHED:
            return ()
        changes.append(patch(resource, [Edit(("metadata", "finalizers"), left or None)], title))
    if not changes:
        return ()
    risk = f"What {', '.join(names)} {'stands' if len(names) == 1 else 'stand'} for is not done: it may leave something behind."
    return (Fix(title=title, changes=tuple(changes), risk=risk),)
