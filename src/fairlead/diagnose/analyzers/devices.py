"""Devices that pods claim (dynamic resource allocation): claims of a class that does not exist, and claims that nothing fulfils.

A claim that waits for its pod to be scheduled is well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from fairlead.diagnose.causes import Fact
from fairlead.diagnose.inventories import Inventory
from fairlead.diagnose.likening import nearest
from fairlead.tongues.paths import Path, mappings, text
from fairlead.words import Ref, Resource, Severity

GROUP = "resource.k8s.io"


def claim(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A request of a claim for a class of devices that does not exist."""
    ref = Ref.of(resource)
    classes = inventory.of_kind(GROUP, "DeviceClass")
    for index, request in mappings(resource, "spec", "devices", "requests"):
        for field, holder in (
            ((), request),
            *(((("firstAvailable", at)), one) for at, one in mappings(request, "firstAvailable")),
        ):
            inner: Path = (*field, "exactly") if "exactly" in holder else field
            name = text(holder, "exactly", "deviceClassName") or text(holder, "deviceClassName")
            target = Ref(GROUP, "DeviceClass", "", name)
            # Where there is no class at all, the kind may be served in another version than the one that was listed.
            if not name or not classes or not inventory.missing(target):
                continue
            path: Path = ("spec", "devices", "requests", index, *inner, "deviceClassName")
            near = nearest(name, inventory.names(target, ref))
            yield Fact(
                rule="device.class",
                subject=ref,
                detail=name,
                severity=Severity.WARNING,
                message=f"asks for devices of class {name}, which does not exist",
                cause=f"{near} exists: probably that class is meant." if near else "",
                evidence=(inventory.field(ref, path, f"deviceClassName: {name}"),),
                where=inventory.where(ref, path),
            )


UNITS: Mapping[tuple[str, str], Callable[[Inventory, Resource], Iterator[Fact]]] = {
    (GROUP, "ResourceClaim"): claim
}
