"""What worked before: a workload's earlier template whose pods are still well, and the way back to it.

Only a Deployment whose rollout is not through keeps such pods, so nothing is guessed: what is proposed runs at this
moment. Only what differs is put back.
"""

from __future__ import annotations

from collections.abc import Iterator

from fairlead.diagnose.inventories import Inventory, Template
from fairlead.diagnose.proposing import Edit, edit_template
from fairlead.diagnose.references import Container, containers
from fairlead.tongues.paths import mapping, text, whole
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
)
_LISTS = {"containers", "initContainers"}


def revision(resource: Resource) -> int:
    """Return a ReplicaSet's revision, 0 where it bears none."""
    number = text(resource, "metadata", "annotations", _REVISION)
    return int(number) if number.isdigit() else 0


def working(inventory: Inventory, template: Template) -> Resource | None:
    """Return the newest ReplicaSet of a Deployment, but for the current one, whose pods are ready."""
    owned = [
        one
        for one in inventory.at("owner", template.ref.uid)
        if text(one, "kind") == "ReplicaSet" and inventory.owner(one) is not None
    ]
    current = max(owned, key=revision, default=None)
    well = [one for one in owned if one is not current and whole(one, "status", "readyReplicas") > 0]
    return max(well, key=revision, default=None)


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
    old = working(inventory, template)
    if old is None:
        return None
    edits = list(_differences(template, mapping(old, "spec", "template", "spec")))
    if not edits:
        return None
    number = f" {revision(old)}" if revision(old) else ""
    what = ", ".join(dict.fromkeys(str(edit.path[-1]) for edit in edits))
    return edit_template(inventory, template, edits, f"go back to what works in revision{number}: {what}")


def _differences(template: Template, old: Resource) -> Iterator[Edit]:
    now = {one.name: one for one in template.containers()}
    before = {one.name: one for one in containers(old, ())}
    if now.keys() != before.keys():
        return
    for field in sorted(template.spec.keys() | old.keys()):
        if field not in _LISTS and template.spec.get(field) != old.get(field):
            yield Edit((*template.spec_path, field), old.get(field))
    for name, container in now.items():
        yield from _container(container, before[name])


def _container(now: Container, before: Container) -> Iterator[Edit]:
    for field in sorted(now.content.keys() | before.content.keys()):
        if now.content.get(field) != before.content.get(field):
            yield Edit((*now.path, field), before.content.get(field))
