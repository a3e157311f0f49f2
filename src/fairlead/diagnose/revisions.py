"""What worked before: a workload's earlier template, and the way back to it. Only what differs is put back.

A Deployment whose rollout is not through keeps pods of it that are well: then nothing is guessed, for what is proposed runs at this moment.
Where the rollout went through before the trouble showed, the revision before a recent one is proposed, and that nothing of it runs is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from fairlead.diagnose.inventories import Inventory, Template, ready
from fairlead.diagnose.proposing import Edit, edit_template
from fairlead.diagnose.references import Container, containers
from fairlead.diagnose.states import created
from fairlead.tongues.paths import mapping, mappings, text, whole
from fairlead.words import Finding, Fix, Ref, Resource

_REVISION = "deployment.kubernetes.io/revision"
_OF_THE_TEMPLATE = (
    "image.",
    "container.",
    "probe.",
    "config.",
    "secret.",
    "claim.",
    "schedule.",
    "volume.",
    "account.",
    "host.",
    "workload.refused",
)
_LATELY = timedelta(hours=1)
"""A rollout that went through longer ago is not taken for what broke it."""
_LISTS = ("containers", "initContainers")
_KEPT = frozenset({("apps", "Deployment"), ("apps", "StatefulSet"), ("apps", "DaemonSet")})
"""The kinds that keep their earlier templates."""


def revision(resource: Resource) -> int:
    """Return a ReplicaSet's revision, 0 where it bears none."""
    number = text(resource, "metadata", "annotations", _REVISION)
    return int(number) if number.isdigit() else 0


def working(inventory: Inventory, template: Template) -> Resource | None:
    """Return the newest ReplicaSet of a Deployment, but for the current one, whose pods are ready."""
    owned = replica_sets(inventory, template.ref.uid)
    current = owned[-1] if owned else None
    well = [one for one in owned if one is not current and whole(one, "status", "readyReplicas") > 0]
    return max(well, key=revision, default=None)


def replica_sets(inventory: Inventory, uid: str) -> list[Resource]:
    """Return the ReplicaSets of the Deployment with that uid, the newest revision last."""
    owned = (
        one
        for one in inventory.at("owner", uid)
        if text(one, "kind") == "ReplicaSet" and inventory.owner(one) is not None
    )
    return sorted(owned, key=revision)


@dataclass(frozen=True, slots=True)
class _Past:
    """An earlier template of a workload: the revision's number, the pods' spec, whether pods of it are well, and when it was made."""

    number: int
    spec: Resource
    well: bool
    made: datetime | None


def way_back(inventory: Inventory, finding: Finding) -> Fix | None:
    """Return the Fix that puts back what an earlier, working revision had, for a finding about a workload's template."""
    ref = finding.subject
    if (ref.group, ref.kind) not in _KEPT or not finding.rule.startswith(_OF_THE_TEMPLATE):
        return None
    return inventory.kept(_way_back, ref)


def _way_back(inventory: Inventory, ref: Ref) -> Fix | None:
    resource = inventory.get(ref)
    template = inventory.template_of(resource) if resource is not None else None
    if template is None or not template.ref.uid:
        return None
    pasts = list(_pasts(inventory, template))
    works = next((one for one in reversed(pasts[:-1]) if one.well), None)
    old = works or _replaced(inventory, pasts)
    if old is None:
        return None
    edits = list(_differences(template, old.spec))
    if not edits:
        return None
    number = f" {old.number}" if old.number else ""
    what = ", ".join(dict.fromkeys(str(edit.path[-1]) for edit in edits))
    if works is not None:
        return edit_template(inventory, template, edits, f"go back to what works in revision{number}: {what}")
    fix = edit_template(inventory, template, edits, f"go back to revision{number}: {what}")
    risk = f"No pod of revision{number} runs any more, so that it works is not shown."
    return replace(fix, risk=f"{fix.risk} {risk}".strip()) if fix is not None else None


def _pasts(inventory: Inventory, template: Template) -> Iterator[_Past]:
    """Each revision of a workload that is kept, the current one last."""
    if template.ref.kind == "Deployment":
        for one in replica_sets(inventory, template.ref.uid):
            well = whole(one, "status", "readyReplicas") > 0
            yield _Past(revision(one), mapping(one, "spec", "template", "spec"), well, created(one))
        return
    kept = [one for one in inventory.at("owner", template.ref.uid) if one.get("kind") == "ControllerRevision"]
    running = {
        text(member.pod, "metadata", "labels", "controller-revision-hash")
        for member in inventory.crew(template.ref)
        if ready(member.pod)
    }
    for one in sorted(kept, key=lambda item: whole(item, "revision")):
        names = {text(one, "metadata", "name"), text(one, "metadata", "labels", "controller-revision-hash")}
        spec = mapping(one, "data", "spec", "template", "spec")
        yield _Past(whole(one, "revision"), spec, bool(names & running), created(one))


def _replaced(inventory: Inventory, pasts: Sequence[_Past]) -> _Past | None:
    """Return the revision that the current one has replaced, if that was a short while ago."""
    if len(pasts) < 2:
        return None
    made = pasts[-1].made
    if made is None or inventory.past(made, _LATELY) or not pasts[-2].number:
        return None
    return pasts[-2]


def _differences(template: Template, old: Resource) -> Iterator[Edit]:
    for field in sorted(template.spec.keys() | old.keys()):
        if field not in _LISTS and template.spec.get(field) != old.get(field):
            yield Edit((*template.spec_path, field), old.get(field))
    before = {one.path: one for one in containers(old, template.spec_path)}
    for field in _LISTS:
        if _names(template.spec, field) != _names(old, field):
            yield Edit((*template.spec_path, field), old.get(field))
            continue
        for one in template.containers():
            if one.path[len(template.spec_path)] == field:
                yield from _container(one, before[one.path])


def _names(spec: Resource, field: str) -> list[str]:
    return [text(one, "name") for _, one in mappings(spec, field)]


def _container(now: Container, before: Container) -> Iterator[Edit]:
    for field in sorted(now.content.keys() | before.content.keys()):
        if now.content.get(field) != before.content.get(field):
            yield Edit((*now.path, field), before.content.get(field))
