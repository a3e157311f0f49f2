"""Objects as a meta.k8s.io/v1 Table: what `kubectl get` prints, made by the server.

Built-in kinds have the columns that kubectl's users know; custom kinds have those of their definition. Nothing here
selects, sorts or hides objects.
Source: kubernetes pkg/printers/internalversion and apiextensions-apiserver tableconvertor, v1.32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeAlias

from fairlead.keep import tables_cluster, tables_network, tables_pods
from fairlead.keep.kinds import Kind
from fairlead.keep.tables_texts import NAME, Cells, Column, Layout, name_of, since
from fairlead.tongues import jsonpath
from fairlead.words import Resource

Include: TypeAlias = Literal["Metadata", "Object", "None"]
"""What each row carries of its object, as a client's `includeObject` says."""

LAYOUTS: Mapping[tuple[str, str], Layout] = {
    **tables_pods.LAYOUTS,
    **tables_network.LAYOUTS,
    **tables_cluster.LAYOUTS,
}
"""How each built-in kind is shown, by (group, kind). The others show their name and the time of their creation."""

_PLAIN = Layout(
    (NAME, Column("Created At", "When the object was created.", "date")),
    lambda resource, _now: (name_of(resource), resource["metadata"].get("creationTimestamp")),
)
_AGE: Mapping[str, Any] = {
    "name": "Age",
    "type": "date",
    "description": "How long ago the object was created.",
    "jsonPath": ".metadata.creationTimestamp",
}


def table(
    kind: Kind,
    objects: Iterable[Resource],
    now: datetime,
    include: Include = "Metadata",
    crd_columns: Sequence[Mapping[str, Any]] | None = None,
    *,
    metadata: Mapping[str, Any] | None = None,
    headers: bool = True,
) -> dict[str, Any]:
    """Return the Table of the objects, one row each.

    `crd_columns` are a custom kind's additionalPrinterColumns (None for a built-in kind, empty for a custom one that
    has none). `metadata` is the list's own (resourceVersion, continue ...). `headers` says whether columns are
    described; later events of a watch leave them out. Rows refer to the objects that were handed in.
    """
    layout = _custom(crd_columns) if crd_columns is not None else LAYOUTS.get((kind.group, kind.kind), _PLAIN)
    attached = _ATTACHED[include]
    rows = []
    for resource in objects:
        row: dict[str, Any] = {"cells": list(layout.cells(resource, now))}
        if layout.conditions is not None:
            conditions = layout.conditions(resource)
            if conditions:
                row["conditions"] = list(conditions)
        row["object"] = attached(resource)
        rows.append(row)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": dict(metadata or {}),
        "columnDefinitions": [column.document for column in layout.columns] if headers else None,
        "rows": rows,
    }


_ATTACHED: Mapping[str, Callable[[Resource], Any]] = {
    "Metadata": lambda resource: {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": resource["metadata"],
    },
    "Object": lambda resource: resource,
    "None": lambda _resource: None,
}


def _custom(columns: Sequence[Mapping[str, Any]]) -> Layout:
    """Return the layout of a custom kind. A path that cannot be read shows nothing."""
    described = [NAME]
    readers: list[tuple[str, jsonpath.Template | None]] = []
    for column in columns or (_AGE,):
        described.append(
            Column(
                column.get("name") or "",
                column.get("description") or f"The value at {column.get('jsonPath') or ''}.",
                column.get("type") or "string",
                column.get("format") or "",
                column.get("priority") or 0,
            )
        )
        try:
            template = jsonpath.column(column.get("jsonPath") or "")
        except ValueError:
            template = None
        readers.append((column.get("type") or "string", template))

    def cells(resource: Resource, now: datetime) -> Cells:
        return [name_of(resource), *(_cell(resource, type_, template, now) for type_, template in readers)]

    return Layout(tuple(described), cells)


def _cell(resource: Resource, type_: str, template: jsonpath.Template | None, now: datetime) -> Any:
    if template is None:
        return None
    try:
        found = template.find(resource)
    except ValueError:
        return None
    if not found or not found[0]:
        return None
    value = found[0][0]
    if type_ == "string":
        return jsonpath.text_of(value)
    if type_ == "date":
        if not isinstance(value, str):
            return None
        age = since(value, now)
        return "<invalid>" if age == "<unknown>" else age
    if type_ == "boolean":
        return value if isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if type_ == "integer" else float(value)
