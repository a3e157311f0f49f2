"""The documents from which clients learn what is served: plain and aggregated discovery.

Pure functions of the catalogue. Nothing here knows addresses, paths or media types.
Source: k8s.io/apimachinery/pkg/apis/meta/v1 (APIGroup, APIResource), k8s.io/api/apidiscovery.
"""

from __future__ import annotations

from typing import Any

from fairlead.keep.kinds import Catalogue, Kind, Subresource, subresource, version_order


def api_versions(address: str) -> dict[str, Any]:
    """Return the document at /api; `address` is host:port as clients reach it."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }


def api_group_list(catalogue: Catalogue) -> dict[str, Any]:
    """Return the document at /apis."""
    groups = [_group(name, versions) for name, versions in _groups(catalogue).items() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def api_group(catalogue: Catalogue, group: str) -> dict[str, Any] | None:
    """Return the document at /apis/<group>, or None where there is no such group."""
    versions = _groups(catalogue).get(group)
    if versions is None or not group:
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(group, versions)}


def api_resource_list(catalogue: Catalogue, group: str, version: str) -> dict[str, Any] | None:
    """Return the document at /api/v1 or /apis/<group>/<version>, or None where nothing is served."""
    kinds = _groups(catalogue).get(group, {}).get(version)
    if kinds is None:
        return None
    resources: list[dict[str, Any]] = []
    for kind in kinds:
        resource: dict[str, Any] = {
            "name": kind.plural,
            "singularName": kind.singular,
            "namespaced": kind.namespaced,
            "kind": kind.kind,
            "verbs": sorted(kind.verbs),
        }
        if kind.short_names:
            resource["shortNames"] = list(kind.short_names)
        if kind.categories:
            resource["categories"] = list(kind.categories)
        resources.append(resource)
        for spoken in _subresources(kind):
            entry: dict[str, Any] = {
                "name": f"{kind.plural}/{spoken.name}",
                "singularName": "",
                "namespaced": kind.namespaced,
            }
            if spoken.described:
                entry |= {"group": spoken.group, "version": spoken.version}
            resources.append(entry | {"kind": spoken.kind, "verbs": sorted(spoken.verbs)})
    document: dict[str, Any] = {"kind": "APIResourceList"}
    if group:
        document["apiVersion"] = "v1"
    group_version = f"{group}/{version}" if group else version
    return document | {"groupVersion": group_version, "resources": resources}


def aggregated(catalogue: Catalogue, *, core: bool, version: str = "v2") -> dict[str, Any]:
    """Return the APIGroupDiscoveryList at /api (`core`) or /apis; `version` is v2 or v2beta1."""
    items = []
    for name, versions in _groups(catalogue).items():
        if core != (not name):
            continue
        served = [
            {
                "version": one,
                "resources": [_discovered(kind) for kind in kinds],
                "freshness": "Current",
            }
            for one, kinds in versions.items()
        ]
        metadata: dict[str, Any] = {"creationTimestamp": None}
        if name:
            metadata["name"] = name
        items.append({"metadata": metadata, "versions": served})
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": items,
    }


def _groups(catalogue: Catalogue) -> dict[str, dict[str, list[Kind]]]:
    groups: dict[str, dict[str, list[Kind]]] = {}
    for kind in catalogue.all():
        groups.setdefault(kind.group, {}).setdefault(kind.version, []).append(kind)
    return {
        group: {
            version: sorted(versions[version], key=lambda kind: kind.plural)
            for version in sorted(versions, key=version_order)
        }
        for group, versions in groups.items()
    }


def _group(name: str, versions: dict[str, list[Kind]]) -> dict[str, Any]:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _subresources(kind: Kind) -> list[Subresource]:
    return [subresource(kind, name) for name in sorted(kind.subresources)]


def _discovered(kind: Kind) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "resource": kind.plural,
        "responseKind": {"group": "", "version": "", "kind": kind.kind},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": sorted(kind.verbs),
    }
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    if kind.subresources:
        entry["subresources"] = [
            {
                "subresource": spoken.name,
                "responseKind": {
                    "group": spoken.group if spoken.described else "",
                    "version": spoken.version if spoken.described else "",
                    "kind": spoken.kind,
                },
                "verbs": sorted(spoken.verbs),
            }
            for spoken in _subresources(kind)
        ]
    return entry
