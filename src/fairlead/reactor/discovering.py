"""What kinds a cluster serves, asked once: its discovery documents in, a Catalogue out.

Only reads. A group whose server does not answer is left out, as kubectl does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from fairlead.drivers.cluster import AsyncCluster
from fairlead.keep.errors import Refusal
from fairlead.keep.kinds import Catalogue, Kind

_VIRTUAL = frozenset({"metrics.k8s.io", "custom.metrics.k8s.io", "external.metrics.k8s.io"})
"""Groups whose objects are measurements, made up at each request."""


async def discover(cluster: AsyncCluster) -> Catalogue:
    """Return the kinds that the cluster serves, the preferred version of each first. Raises Unreachable and Refusal."""
    groups = (await cluster.raw("GET", "/apis")).json().get("groups") or []
    paths = ["/api/v1"]
    for group in groups:
        if group["name"] not in _VIRTUAL:
            preferred = (group.get("preferredVersion") or {}).get("version")
            versions = sorted(group.get("versions") or (), key=lambda one: one["version"] != preferred)
            paths += [f"/apis/{one['groupVersion']}" for one in versions]

    async def document(path: str) -> Mapping[str, Any]:
        try:
            answer: dict[str, Any] = (await cluster.raw("GET", path)).json()
        except Refusal:
            return {}
        return answer

    catalogue = Catalogue(())
    for answer in await asyncio.gather(*(document(path) for path in paths)):
        catalogue.add(*_kinds(answer))
    return catalogue


def _kinds(document: Mapping[str, Any]) -> Iterator[Kind]:
    group, _, version = (document.get("groupVersion") or "").rpartition("/")
    for one in document.get("resources") or ():
        if "/" not in one["name"]:
            yield Kind(
                one.get("group") or group,
                one.get("version") or version,
                one["kind"],
                one["name"],
                singular=one.get("singularName") or "",
                short_names=tuple(one.get("shortNames") or ()),
                namespaced=bool(one.get("namespaced")),
                verbs=frozenset(one.get("verbs") or ()),
            )


def listable(catalogue: Catalogue) -> list[tuple[str, str]]:
    """Return (apiVersion, kind) of everything that can be listed, each kind once, in its preferred version."""
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for kind in catalogue.all():
        if "list" in kind.verbs:
            preferred = catalogue.kind(kind.group, kind.kind) or kind
            found.setdefault(preferred.storage, (preferred.api_version, kind.kind))
    return list(found.values())
