"""What makes pods, and the pods that were made: objects with the places of their parts.

Reading only: who owns whom is told by the inventory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fairlead.diagnose.references import Container, containers
from fairlead.tongues.paths import Path, mapping, mappings, strings, text
from fairlead.words import Ref, Resource


@dataclass(slots=True, eq=False)
class Template:
    """An object that makes pods (or is one), with the pod's labels and spec and where they lie in it."""

    ref: Ref
    resource: Resource
    path: Path
    _containers: list[Container] | None = field(default=None, init=False, repr=False)

    @property
    def labels(self) -> dict[str, str]:
        """The labels that its pods get."""
        return strings(self.resource, *self.path, "metadata", "labels")

    @property
    def spec(self) -> dict[str, Any]:
        """The pod spec."""
        return mapping(self.resource, *self.path, "spec")

    @property
    def spec_path(self) -> Path:
        """Where the pod spec lies in the object."""
        return (*self.path, "spec")

    def containers(self) -> list[Container]:
        """Its containers, with paths in the object. Not a copy: it must not be changed."""
        if self._containers is None:
            self._containers = list(containers(self.spec, self.spec_path))
        return self._containers

    def container(self, name: str) -> Container | None:
        """The container of that name."""
        return next((one for one in self.containers() if one.name == name), None)


@dataclass(slots=True, eq=False)
class Member:
    """A live pod and the object at the top of its owners (itself, where nobody owns it)."""

    ref: Ref
    pod: Resource
    top: Template
    _statuses: list[tuple[Container, dict[str, Any]]] | None = field(default=None, init=False, repr=False)

    @property
    def node(self) -> str:
        """The node it was bound to, or ""."""
        return text(self.pod, "spec", "nodeName")

    def statuses(self) -> Sequence[tuple[Container, dict[str, Any]]]:
        """Each container of the pod with its status ({} before there is one). Not a copy: it must not be changed."""
        if self._statuses is None:
            seen = {
                text(status, "name"): status
                for field_name in ("initContainerStatuses", "containerStatuses")
                for _, status in mappings(self.pod, "status", field_name)
            }
            self._statuses = [
                (container, seen.get(container.name, {}))
                for container in containers(mapping(self.pod, "spec"), ("spec",))
            ]
        return self._statuses


def ready(pod: Resource) -> bool:
    """Say whether the pod's Ready condition is True."""
    return any(
        text(item, "type") == "Ready" and item.get("status") == "True"
        for _, item in mappings(pod, "status", "conditions")
    )
