"""Which side of two that disagree about a port was changed: what a Service was applied with, what an earlier revision of its pods declared.

Says only what the objects remember: the annotation of kubectl apply, and the ReplicaSets that a Deployment keeps. Judges nothing.
"""

from __future__ import annotations

import json
from typing import Any

from fairlead.diagnose.inventories import Inventory, Template
from fairlead.diagnose.references import containers
from fairlead.diagnose.revisions import replica_sets, revision
from fairlead.tongues.paths import mapping, mappings, text
from fairlead.words import Evidence, Ref, Resource

_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_LONGEST = 256 * 1024


def applied(resource: Resource) -> Resource:
    """Return the object as it was last applied by kubectl; {} where that is not known."""
    said = text(resource, "metadata", "annotations", _APPLIED)
    if not said or len(said) > _LONGEST:
        return {}
    try:
        content: Any = json.loads(said)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def applied_target(service: Resource, port: Any) -> str | int | None:
    """Return the target that a Service's port was last applied with, None where that is not known."""
    for _, one in mappings(applied(service), "spec", "ports"):
        if one.get("port") == port:
            target = one.get("targetPort", port)
            return target if isinstance(target, (str, int)) else None
    return None


def applied_port(service: Resource, port: int) -> bool:
    """Say whether a Service was last applied with a port."""
    return any(one.get("port") == port for _, one in mappings(applied(service), "spec", "ports"))


def declared_before(inventory: Inventory, template: Template, port: str | int) -> Evidence | None:
    """Return what shows that the template's pods once declared a port, by number or name: an earlier revision, or what was applied."""
    ref = template.ref
    if not inventory.live:
        return None
    if ref.uid and (ref.group, ref.kind) == ("apps", "Deployment"):
        for old in reversed(replica_sets(inventory, ref.uid)[:-1]):
            if _declares(mapping(old, "spec", "template", "spec"), port):
                number = f"revision {revision(old)}" if revision(old) else f"ReplicaSet {Ref.of(old).name}"
                return Evidence(
                    "change", ref, f"{number} declared port {port}", inventory.where(ref, template.spec_path)
                )
    before = applied(template.resource)
    held: Any = before
    for step in template.spec_path:
        held = mapping(held, step)
    if held and _declares(held, port):
        return Evidence(
            "change", ref, f"it was applied with port {port}", inventory.where(ref, template.spec_path)
        )
    return None


def _declares(spec: Resource, port: str | int) -> bool:
    return any(
        port in {one.get("containerPort"), one.get("name")}
        for container in containers(spec, ())
        for _, one in mappings(container.content, "ports")
        if isinstance(one.get("containerPort"), int)
    )
