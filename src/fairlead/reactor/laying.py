"""Objects from files laid over those of a cluster: what would be there if the files were applied, before any controller has acted.

An object that is there keeps what only the server knows of it, its status too; a new one gets the status that all would be well with, since
that nothing has run yet is no fault. Changes only the Snapshot that it is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fairlead.dialects.manifests import Document
from fairlead.reactor.gathering import DEFINITION, WIDE
from fairlead.tongues.paths import mapping, text, whole
from fairlead.words import Ref, Resource, Snapshot

_OURS = ("uid", "resourceVersion", "creationTimestamp", "generation", "ownerReferences", "finalizers")
"""What a file leaves out of the metadata of an object that is there."""
_MERGED = ("labels", "annotations")


def overlay(view: Snapshot, documents: Sequence[Document], namespace: str) -> dict[Ref, Document]:
    """Put the objects of the documents into the view; return where each was written, by its Ref there.

    Objects that name no namespace go into the given one, as kubectl would have it.
    """
    wide = WIDE | {
        (text(one, "spec", "group"), text(one, "spec", "names", "kind"))
        for one in view.list(*DEFINITION)
        if text(one, "spec", "scope") == "Cluster"
    }
    places: dict[Ref, Document] = {}
    for document in documents:
        ref = document.ref
        space = "" if (ref.group, ref.kind) in wide else ref.namespace or namespace
        live = view.get(ref.group, ref.kind, space, ref.name)
        laid = _laid(document.content, live, space)
        view.put(laid)
        places[Ref.of(laid)] = document
    return places


def _laid(written: Mapping[str, Any], live: Resource | None, namespace: str) -> Resource:
    laid: Resource = {key: value for key, value in written.items() if key != "status"}
    meta = laid["metadata"] = dict(mapping(written, "metadata"))
    meta.pop("namespace", None)
    if namespace:
        meta["namespace"] = namespace
    if live is None:
        status = _hoped(laid)
        return {**laid, "status": status} if status else laid
    for field in _OURS:
        if field not in meta and field in mapping(live, "metadata"):
            meta[field] = mapping(live, "metadata")[field]
    for field in _MERGED:
        both = {**mapping(live, "metadata", field), **mapping(meta, field)}
        if both:
            meta[field] = both
    return {**laid, "status": live["status"]} if "status" in live else laid


def _hoped(resource: Resource) -> dict[str, Any]:
    """Return the status of a new object whose controllers had nothing to complain of, {} where none is looked for."""
    ref = Ref.of(resource)
    wanted = whole(resource, "spec", "replicas", default=1)
    if ref.group == "apps" and ref.kind in {"Deployment", "ReplicaSet", "StatefulSet"}:
        return {
            "replicas": wanted,
            "readyReplicas": wanted,
            "availableReplicas": wanted,
            "updatedReplicas": wanted,
            "currentReplicas": wanted,
        }
    if (ref.group, ref.kind) == ("", "ReplicationController"):
        return {"replicas": wanted, "readyReplicas": wanted, "availableReplicas": wanted}
    if (ref.group, ref.kind) == ("", "PersistentVolumeClaim"):
        return {"phase": "Pending"}
    if (ref.group, ref.kind) == ("", "Namespace"):
        return {"phase": "Active"}
    return {}
