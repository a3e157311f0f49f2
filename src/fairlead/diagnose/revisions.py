"""What worked before: a workload's earlier template, and the way back to it. Only what differs is put back.

A Deployment whose rollout is not through keeps pods of it that are well: then nothing is guessed, for what is proposed runs at this moment.
Where the rollout went through before the trouble showed, the revision before a recent one is proposed, and that nothing of it runs is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from fairlead.diagnose.inventories import Inventory, Template, moment
from fairlead.diagnose.proposing import Edit, edit_template
from fairlead.diagnose.references import Container, containers
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


def way_back(inventory: Inventory, finding: Finding) -> Fix | None:
    """Return the Fix that puts back what an earlier, working revision had, for a finding about a Deployment's template."""
    ref = finding.subject
    if (ref.group, ref.kind) != ("apps", "Deployment") or not finding.rule.startswith(_OF_THE_TEMPLATE):
        return None
    return inventory.kept(_way_back, ref)


def _way_back(inventory: Inventory, ref: Ref) -> Fix | None:
    resource = inventory.get(ref)
    template = inventory.template_of(resource) if resource is not None else None
    if template is None or not template.ref.uid:
        return None
    works = working(inventory, template)
    old = works or _replaced(inventory, template)
    if old is None:
        return None
    edits = list(_differences(template, mapping(old, "spec", "template", "spec")))
    if not edits:
        return None
    number = f" {revision(old)}" if revision(old) else ""
    what = ", ".join(dict.fromkeys(str(edit.path[-1]) for edit in edits))
    if works is not None:
        return edit_template(inventory, template, edits, f"go back to what works in revision{number}: {what}")
    fix = edit_template(inventory, template, edits, f"go back to revision{number}: {what}")
    risk = f"No pod of revision{number} runs any more, so that it works is not shown."
    return replace(fix, risk=f"{fix.risk} {risk}".strip()) if fix is not None else None


def _replaced(inventory: Inventory, template: Template) -> Resource | None:
    """Return the ReplicaSet that the current one has replaced, if that was a short while ago."""
    owned = replica_sets(inventory, template.ref.uid)
    if len(owned) < 2:
        return None
    made = moment(mapping(owned[-1], "metadata").get("creationTimestamp"))
    if made is None or inventory.past(made, _LATELY) or not revision(owned[-2]):
        return None
    return owned[-2]


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
