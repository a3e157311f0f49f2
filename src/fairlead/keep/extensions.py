"""What a CustomResourceDefinition defines: kinds, their types and checks, and the status that says it is served.

Reads a definition that was defaulted and validated; changes nothing but what it is told to learn. Webhook conversion is
not supported yet: `warnings` says so.
Source: k8s.io/apiextensions-apiserver (pkg/apiserver, pkg/controller/status).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import orjson

from fairlead.keep import rules
from fairlead.keep.decoding import Undecodable, compiled
from fairlead.keep.errors import bad_request
from fairlead.keep.kinds import ALL_VERBS, Catalogue, Kind, version_order
from fairlead.keep.schemas import Custom, Schemas
from fairlead.keep.structures import filling, node, pruning
from fairlead.keep.validating_custom import Judge, judging
from fairlead.keep.validating_values import Causes
from fairlead.words import Resource

META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a custom resource, as its definition describes it."""

    kind: Kind
    storage: bool
    schema: Mapping[str, Any]
    columns: Sequence[Mapping[str, Any]] = ()
    scale: Mapping[str, str] | None = None
    selectable: tuple[str, ...] = ()
    warning: str = ""


def versions(definition: Resource) -> list[Version]:
    """Return what the definition serves, the preferred version first; nothing if its names were not accepted."""
    if not _holds(definition, "Established"):
        return []
    spec = definition["spec"]
    names = definition.get("status", {}).get("acceptedNames") or spec["names"]
    found = []
    for version in sorted(spec.get("versions", ()), key=lambda one: version_order(one["name"])):
        if not version.get("served"):
            continue
        parts = version.get("subresources", {})
        kind = Kind(
            group=spec["group"],
            version=version["name"],
            kind=names["kind"],
            plural=names["plural"],
            singular=names.get("singular", ""),
            short_names=tuple(names.get("shortNames", ())),
            categories=tuple(names.get("categories", ())),
            namespaced=spec["scope"] == "Namespaced",
            verbs=ALL_VERBS,
            subresources=frozenset(name for name in ("scale", "status") if name in parts),
            list_kind=names.get("listKind", ""),
        )
        warning = ""
        if version.get("deprecated"):
            default = f"{spec['group']}/{version['name']} {names['kind']} is deprecated"
            warning = version.get("deprecationWarning") or default
        found.append(
            Version(
                kind=kind,
                storage=bool(version.get("storage")),
                schema=version.get("schema", {}).get("openAPIV3Schema", {}),
                columns=version.get("additionalPrinterColumns", ()),
                scale=parts.get("scale"),
                selectable=tuple(
                    one["jsonPath"].removeprefix(".") for one in version.get("selectableFields", ())
                ),
                warning=warning,
            )
        )
    return found


def teach(version: Version, schemas: Schemas) -> None:
    """Make the schemas know the kind of this version."""
    meta = schemas.definitions[META]
    schema = version.schema
    kind = version.kind
    check_meta = compiled(meta)
    prune, fill = pruning(schema, root=True), filling(schema)
    judge, rule = _judge(orjson.dumps(schema))

    def decode(obj: Resource, unknown: list[str]) -> None:
        found = obj.get("metadata")
        for name in ("apiVersion", "kind"):
            if not isinstance(obj.get(name, ""), str):
                raise _undecodable(kind, f"json: cannot unmarshal into field {name} of type string")
        if found is not None:
            try:
                check_meta(found, (None, "metadata"), unknown)
            except Undecodable as error:
                raise _undecodable(kind, str(error)) from None
        if prune is not None:
            prune(obj, None, unknown)

    def default(obj: Resource) -> None:
        if fill is not None:
            fill(obj)

    def faults(obj: Resource, old: Resource | None) -> Causes:
        causes: Causes = []
        judge(obj, "", causes)
        if rule is not None:
            blocked = rules.blocked(causes)
            causes += [blocked] if blocked is not None else rule(obj, old)
        return causes

    schemas.learn(
        kind, Custom(node(schema, meta, root=True), decode, default, faults, schema, version.warning)
    )


@lru_cache(maxsize=512)
def _judge(text: bytes) -> tuple[Judge, rules.Validate | None]:
    schema = orjson.loads(text)
    return judging(schema, root=True), rules.ruling(schema)


def _undecodable(kind: Kind, text: str) -> Exception:
    return bad_request(f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {text}')


def status(definition: Resource, catalogue: Catalogue, now: datetime) -> dict[str, Any]:
    """Return the status of a definition: the names accepted, the stored versions and the conditions.

    Names that another resource of the group has are a conflict: then the definition is not (newly) established.
    """
    spec, old = definition["spec"], definition.get("status") or {}
    names = dict(spec["names"])
    reason, message = _conflict(spec, catalogue)
    accepted = old.get("acceptedNames") or {}
    if not reason:
        accepted = names
    established = not reason or _holds(definition, "Established")
    stamp = f"{now:%Y-%m-%dT%H:%M:%SZ}"
    before = {one["type"]: one for one in old.get("conditions", ())}
    conditions = [
        _condition(
            "NamesAccepted",
            "False" if reason else "True",
            reason or "NoConflicts",
            message or "no conflicts found",
            stamp,
            before,
        ),
        _condition(
            "Established",
            "True" if established else "False",
            "InitialNamesAccepted" if established else "NotAccepted",
            "the initial names have been accepted" if established else "not all names are accepted",
            stamp,
            before,
        ),
    ]
    kept = [one for one in old.get("conditions", ()) if one["type"] not in {"NamesAccepted", "Established"}]
    stored = list(old.get("storedVersions") or ())
    current = next((one["name"] for one in spec.get("versions", ()) if one.get("storage")), "")
    if current and current not in stored:
        stored.append(current)
    return {
        **old,
        "conditions": conditions + kept,
        "acceptedNames": accepted or {"plural": "", "kind": ""},
        "storedVersions": stored,
    }


def _condition(
    kind: str, value: str, reason: str, message: str, stamp: str, before: Mapping[str, Any]
) -> dict[str, Any]:
    was = before.get(kind, {})
    return {
        "type": kind,
        "status": value,
        "lastTransitionTime": was["lastTransitionTime"] if was.get("status") == value else stamp,
        "reason": reason,
        "message": message,
    }


def _conflict(spec: Mapping[str, Any], catalogue: Catalogue) -> tuple[str, str]:
    names = spec["names"]
    others = [
        kind for kind in catalogue.all() if kind.group == spec["group"] and kind.plural != names["plural"]
    ]
    taken = {name for kind in others for name in (kind.plural, kind.singular, *kind.short_names)}
    kinds = {name for kind in others for name in (kind.kind, kind.list_kind)}
    for part, reason, used in (
        ("plural", "PluralConflict", taken),
        ("singular", "SingularConflict", taken),
        ("kind", "KindConflict", kinds),
        ("listKind", "ListKindConflict", kinds),
    ):
        if names.get(part) in used:
            return reason, f'"{names[part]}" is already in use'
    clashing = [name for name in names.get("shortNames", ()) if name in taken]
    if clashing:
        return "ShortNamesConflict", "; ".join(f'"{name}" is already in use' for name in clashing)
    return "", ""


def _holds(definition: Resource, kind: str) -> bool:
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return any(one["type"] == kind and one["status"] == "True" for one in conditions)


def warnings(definition: Resource) -> list[str]:
    """Return what the definition asks for that is not supported yet, each with its path."""
    found = []
    spec = definition["spec"]
    if spec.get("conversion", {}).get("strategy") == "Webhook":
        found.append(
            "spec.conversion: conversion by webhook is not supported yet; versions are served unconverted"
        )
    return found
