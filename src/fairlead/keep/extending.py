"""What a CustomResourceDefinition brings into a world: kinds, schemas, scale paths and selectable fields.

Glue between the stored definitions and `extensions`, which knows what they mean. Nothing here stores or deletes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from fairlead.keep import extensions
from fairlead.keep.entries import Storage
from fairlead.keep.kinds import Catalogue
from fairlead.keep.scaling import Paths
from fairlead.keep.schemas import Schemas
from fairlead.words import Resource

DEFINITIONS: Storage = ("apiextensions.k8s.io", "customresourcedefinitions")


def _version(definition: Resource, version: str) -> Resource:
    versions = (definition.get("spec") or {}).get("versions") or ()
    return next((item for item in versions if item.get("name") == version), {})


def scale_paths(definition: Resource, version: str) -> Paths:
    """Return where one version of a custom resource keeps its replicas."""
    scale = (_version(definition, version).get("subresources") or {}).get("scale") or {}
    return Paths(
        scale.get("specReplicasPath") or ".spec.replicas",
        scale.get("statusReplicasPath") or ".status.replicas",
        scale.get("labelSelectorPath") or "",
    )


def selectable(definition: Resource, version: str) -> Sequence[str]:
    """Return the paths that field selectors may use on one version of a custom resource."""
    fields = _version(definition, version).get("selectableFields") or ()
    return [field["jsonPath"].removeprefix(".") for field in fields if field.get("jsonPath")]


def establish(definition: Resource, catalogue: Catalogue, now: datetime) -> list[str]:
    """Accept the names of a definition that is about to be stored and say so in its status.

    Returns what it asks for that is not supported yet.
    """
    definition["status"] = extensions.status(definition, catalogue, now)
    return extensions.warnings(definition)


def take_up(
    definition: Resource, catalogue: Catalogue, schemas: Schemas, before: Resource | None = None
) -> None:
    """Serve what a stored definition defines, instead of what it defined before."""
    if before is not None:
        let_go(before, catalogue, schemas)
    for version in extensions.versions(definition):
        extensions.teach(version, schemas)
        catalogue.add(version.kind)


def let_go(definition: Resource, catalogue: Catalogue, schemas: Schemas) -> None:
    """Serve what a definition defined no longer."""
    spec = definition["spec"]
    for version in spec.get("versions") or ():
        kind = catalogue.served(spec["group"], version["name"], spec["names"]["plural"])
        if kind is not None:
            catalogue.remove(kind)
            schemas.forget(kind)
