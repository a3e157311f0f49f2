"""What a Pod asks of a node: resources, host ports; and what a node has to give.

Source: k8s.io/component-helpers/resource (PodRequests). CPU is counted in thousandths, everything else in units, all
whole numbers, rounded up. Reads only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from fairlead.tongues import quantities
from fairlead.words import Resource

DEFAULT_CPU = 100
DEFAULT_MEMORY = 200 * 1024 * 1024
"""What a container without requests is taken to need when nodes are compared (never when they are ruled out)."""


@lru_cache(maxsize=8192)
def _amount(resource: str, text: str) -> int:
    value = quantities.parse(text)
    return quantities.milli(value) if resource == "cpu" else quantities.whole(value)


def amounts(quantities_by_name: Mapping[str, Any] | None) -> dict[str, int]:
    """Return a resource list as whole numbers; an unreadable quantity counts as zero."""
    found: dict[str, int] = {}
    for resource, text in (quantities_by_name or {}).items():
        try:
            found[resource] = _amount(resource, str(text))
        except ValueError:
            found[resource] = 0
    return found


def add(into: dict[str, int], more: Mapping[str, int], sign: int = 1) -> None:
    """Add (or with sign -1 take away) amounts, in place."""
    for resource, amount in more.items():
        into[resource] = into.get(resource, 0) + sign * amount


def _most(one: dict[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {key: max(one.get(key, 0), other.get(key, 0)) for key in {*one, *other}}


def requests(pod: Resource, field: str = "requests", *, floor: bool = False) -> dict[str, int]:
    """Return what the Pod asks for in all: its containers together, or its hungriest init container, plus overhead.

    Init containers that keep running count beside everything that starts after them. With `floor`, containers that
    name no CPU or memory count with the scheduler's defaults. `field` may be limits.
    """
    spec = pod.get("spec") or {}

    def wants(container: Mapping[str, Any]) -> dict[str, int]:
        found = amounts((container.get("resources") or {}).get(field))
        if floor:
            found.setdefault("cpu", DEFAULT_CPU)
            found.setdefault("memory", DEFAULT_MEMORY)
        return found

    running: dict[str, int] = {}
    for container in spec.get("containers") or ():
        add(running, wants(container))
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in spec.get("initContainers") or ():
        asked = wants(container)
        if container.get("restartPolicy") == "Always":
            add(running, asked)
            add(sidecars, asked)
            peak = _most(peak, sidecars)
        else:
            add(asked, sidecars)
            peak = _most(peak, asked)
    found = _most(running, peak)
    add(found, amounts(spec.get("overhead")))
    return found


def allocatable(node: Resource) -> dict[str, int]:
    """Return what the node can give to pods."""
    status = node.get("status") or {}
    return amounts(status.get("allocatable") or status.get("capacity"))


def host_ports(pod: Resource) -> set[tuple[str, str, int]]:
    """Return the host ports that the Pod binds: address ("0.0.0.0" for all), protocol, port."""
    spec = pod.get("spec") or {}
    sidecars = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    return {
        (port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", int(port["hostPort"]))  # noqa: S104 -- compared, not bound
        for container in (*(spec.get("containers") or ()), *sidecars)
        for port in container.get("ports") or ()
        if port.get("hostPort")
    }


def ports_clash(wanted: Iterable[tuple[str, str, int]], used: Iterable[tuple[str, str, int]]) -> bool:
    """Whether two sets of host ports cannot live on one node."""
    everywhere = "0.0.0.0"  # noqa: S104 -- compared, not bound
    taken: dict[tuple[str, int], set[str]] = {}
    for address, protocol, port in used:
        taken.setdefault((protocol, port), set()).add(address)
    for address, protocol, port in wanted:
        others = taken.get((protocol, port))
        if others and (address == everywhere or everywhere in others or address in others):
            return True
    return False
