"""Structural schemas of custom resources: as types for merging, as pruning, and as defaults.

A schema is compiled once; objects are changed in place. Nothing here refuses anything.
Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema (pruning, defaulting).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from fairlead.keep.decoding import Path, place
from fairlead.keep.nodes import Node, Scalar, untyped

Schema: TypeAlias = Mapping[str, Any]
Prune: TypeAlias = Callable[[Any, Path, list[str]], None]
Fill: TypeAlias = Callable[[Any], None]

_SCALARS: dict[str, Scalar] = {"string": "string", "integer": "int64", "number": "float", "boolean": "bool"}
_EMBEDDED = ("apiVersion", "kind", "metadata")


def node(schema: Schema, meta: Node, *, root: bool = False) -> Node:
    """Return the type that a schema describes; `meta` is the type of metadata, at the root and in embedded resources."""
    preserve = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    nullable = bool(schema.get("nullable"))
    description = schema.get("description", "")
    if schema.get("x-kubernetes-int-or-string"):
        return Node("scalar", scalar="int-or-string", nullable=nullable, description=description)
    kind = schema.get("type", "")
    if kind in _SCALARS:
        return Node("scalar", scalar=_SCALARS[kind], nullable=nullable, description=description)
    if kind == "array":
        inner = schema.get("items") or {}
        items = node(inner, meta)
        keys = tuple(schema.get("x-kubernetes-list-map-keys", ()))
        properties = inner.get("properties", {})
        return Node(
            "list",
            items=lambda: items,
            list_type=schema.get("x-kubernetes-list-type", "atomic"),
            keys=keys,
            key_defaults={
                key: properties[key]["default"] for key in keys if "default" in properties.get(key, {})
            },
            nullable=nullable,
            description=description,
        )
    more = schema.get("additionalProperties")
    map_type = schema.get("x-kubernetes-map-type", "granular")
    if more and "properties" not in schema and not root:
        values = node(more, meta) if isinstance(more, Mapping) else untyped
        return Node(
            "map", items=lambda: values, map_type=map_type, nullable=nullable, description=description
        )
    if not kind and not schema.get("properties") and not root:
        return untyped
    fields = {name: node(inner, meta) for name, inner in schema.get("properties", {}).items()}
    if root or schema.get("x-kubernetes-embedded-resource"):
        text = Node("scalar", scalar="string")
        fields |= {"apiVersion": text, "kind": text, "metadata": meta}
    return Node(
        "struct",
        fields=lambda: fields,
        map_type=map_type,
        required=frozenset(schema.get("required", ())),
        nullable=nullable,
        preserve_unknown=preserve,
        embedded=bool(schema.get("x-kubernetes-embedded-resource")),
        description=description,
    )


def pruning(schema: Schema, *, root: bool = False) -> Prune | None:
    """Return what removes fields that a schema does not name, and names each; None where there is nothing to remove."""
    if schema.get("type") == "array" or "items" in schema:
        inner = pruning(schema.get("items") or {})
        return _prune_items(inner) if inner is not None else None
    more = schema.get("additionalProperties")
    if more:
        inner = pruning(more) if isinstance(more, Mapping) else None
        return _prune_values(inner) if inner is not None else None
    if not root and schema.get("type") != "object" and "properties" not in schema:
        return None
    known = {name: pruning(inner) for name, inner in schema.get("properties", {}).items()}
    if root or schema.get("x-kubernetes-embedded-resource"):
        known |= dict.fromkeys(_EMBEDDED)
    preserve = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    if preserve and not any(known.values()):
        return None
    return _prune_fields(known, preserve=preserve)


def _prune_items(inner: Prune) -> Prune:
    def prune_items(value: Any, path: Path, out: list[str]) -> None:
        if isinstance(value, list):
            for index, item in enumerate(value):
                inner(item, (path, index), out)

    return prune_items


def _prune_values(inner: Prune) -> Prune:
    def prune_values(value: Any, path: Path, out: list[str]) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                inner(item, (path, key), out)

    return prune_values


def _prune_fields(known: Mapping[str, Prune | None], *, preserve: bool) -> Prune:
    def prune_fields(value: Any, path: Path, out: list[str]) -> None:
        if not isinstance(value, dict):
            return
        drop = []
        for key, item in value.items():
            if key in known:
                inner = known[key]
                if inner is not None:
                    inner(item, (path, key), out)
            elif not preserve:
                drop.append(key)
        for key in drop:
            out.append(place(path, key, more=True))
            del value[key]

    return prune_fields


def filling(schema: Schema) -> Fill | None:
    """Return what puts a schema's defaults where values are missing (or null but may not be); None for no defaults."""
    if "items" in schema:
        inner = filling(schema["items"] or {})
        return _fill_items(inner) if inner is not None else None
    more = schema.get("additionalProperties")
    if isinstance(more, Mapping):
        inner = filling(more)
        nullable, default = bool(more.get("nullable")), more.get("default")
        return (
            _fill_values(inner, default, nullable=nullable)
            if inner is not None or default is not None
            else None
        )
    properties = schema.get("properties", {})
    fields = {name: filling(inner) for name, inner in properties.items()}
    defaults = {
        name: inner["default"] for name, inner in properties.items() if inner.get("default") is not None
    }
    nullable_fields = frozenset(name for name, inner in properties.items() if inner.get("nullable"))
    inside = {name: fill for name, fill in fields.items() if fill is not None}
    if not defaults and not inside:
        return None
    return _fill_fields(defaults, inside, nullable_fields)


def _fill_items(inner: Fill) -> Fill:
    def fill_items(value: Any) -> None:
        if isinstance(value, list):
            for item in value:
                inner(item)

    return fill_items


def _fill_values(inner: Fill | None, default: Any, *, nullable: bool) -> Fill:
    def fill_values(value: Any) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                if item is None and not nullable and default is not None:
                    value[key] = copy.deepcopy(default)
                if inner is not None:
                    inner(value[key])

    return fill_values


def _fill_fields(defaults: Mapping[str, Any], inside: Mapping[str, Fill], nullable: frozenset[str]) -> Fill:
    def fill_fields(value: Any) -> None:
        if not isinstance(value, dict):
            return
        for name, default in defaults.items():
            if name not in value or (value[name] is None and name not in nullable):
                value[name] = copy.deepcopy(default)
        for name, fill in inside.items():
            if name in value:
                fill(value[name])

    return fill_fields


def drop_nulls(schema: Schema, value: Any) -> None:
    """Remove nulls of fields that have a default and may not be null, as is done before an object is looked at."""
    if isinstance(value, list):
        for item in value:
            drop_nulls(schema.get("items") or {}, item)
    elif isinstance(value, dict):
        properties = schema.get("properties", {})
        for name, inner in properties.items():
            if name in value and value[name] is None and not inner.get("nullable") and "default" in inner:
                del value[name]
            elif name in value:
                drop_nulls(inner, value[name])
