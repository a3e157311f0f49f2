"""What Kubernetes refuses in CustomResourceDefinitions: names, versions and structural schemas.

Reads defaulted objects, changes nothing. Source: k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fairlead.keep import rules
from fairlead.keep import validating_values as v
from fairlead.keep.validating_policies import client_config
from fairlead.keep.validating_values import Causes
from fairlead.words import Resource

_TYPES = frozenset({"array", "boolean", "integer", "number", "object", "string"})
_PROTECTED = re.compile(r"(.*\.)?(k8s|kubernetes)\.io")
_APPROVAL = "api-approved.kubernetes.io"
_FORBIDDEN = ("additionalItems", "definitions", "dependencies", "patternProperties", "id", "$ref", "$schema")
_IN_LOGIC = ("type", "description", "title", "default", "additionalProperties", "nullable")


def definition(obj: Resource, old: Resource | None) -> Causes:
    """Return what is wrong with a CustomResourceDefinition, and with the way it changes."""
    spec = obj.get("spec", {})
    names = spec.get("names", {})
    group = spec.get("group", "")
    causes: Causes = []
    expected = f"{names.get('plural', '')}.{group}"
    name = obj.get("metadata", {}).get("name", "")
    if name != expected:
        causes.append(v.invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group'))
    if not group:
        causes.append(v.required("spec.group"))
    else:
        faults = v.subdomain(group)
        causes += [v.invalid("spec.group", group, fault) for fault in faults]
        if not faults and "." not in group:
            causes.append(v.invalid("spec.group", group, "should be a domain with at least one dot"))
    causes += v.one_of(spec.get("scope"), "spec.scope", ("Cluster", "Namespaced"))
    causes += _names(names)
    causes += _versions(spec)
    causes += _conversion(spec.get("conversion", {}))
    if spec.get("preserveUnknownFields"):
        text = "must be false in order to use defaults in the schema"
        causes.append(v.invalid("spec.preserveUnknownFields", True, text))
    if old is None and _PROTECTED.fullmatch(group):
        causes += _approval(obj.get("metadata", {}).get("annotations") or {})
    if old is not None:
        causes += _changed(obj, old)
    return causes


def _approval(annotations: Mapping[str, str]) -> Causes:
    field = f"metadata.annotations[{_APPROVAL}]"
    value = annotations.get(_APPROVAL)
    if not value:
        text = 'protected groups must have approval annotation "api-approved.kubernetes.io", see https://github.com/kubernetes/enhancements/pull/1111'
        return [v.required(field, text)]
    if value.startswith(("unapproved", "https://", "http://")):
        return []
    text = 'protected groups must have approval annotation "api-approved.kubernetes.io" with either a URL or a reason starting with "unapproved", see https://github.com/kubernetes/enhancements/pull/1111'
    return [v.invalid(field, value, text)]


def _names(names: Mapping[str, Any]) -> Causes:
    causes: Causes = []
    for name in ("plural", "singular", "kind", "listKind"):
        value = names.get(name, "")
        if not value:
            causes.append(v.required(f"spec.names.{name}"))
        else:
            causes += [v.invalid(f"spec.names.{name}", value, fault) for fault in v.label_1035(value.lower())]
    for name in ("shortNames", "categories"):
        for index, value in enumerate(names.get(name, ())):
            causes += [
                v.invalid(f"spec.names.{name}[{index}]", value, fault) for fault in v.label_1035(value)
            ]
    if names.get("kind") and names.get("kind") == names.get("listKind"):
        causes.append(
            v.invalid("spec.names.listKind", names["listKind"], "kind and listKind may not be the same")
        )
    return causes


def _versions(spec: Mapping[str, Any]) -> Causes:
    causes: Causes = []
    seen: set[str] = set()
    stored = 0
    versions = spec.get("versions", ())
    for index, version in enumerate(versions):
        place = f"spec.versions[{index}]"
        name = version.get("name", "")
        causes += [v.invalid(f"{place}.name", name, fault) for fault in v.label_1035(name)]
        if name in seen:
            causes.append(v.invalid("spec.versions", list(seen), "must contain unique version names"))
        seen.add(name)
        stored += bool(version.get("storage"))
        schema = version.get("schema", {}).get("openAPIV3Schema")
        if schema is None:
            text = "schemas are required"
            causes.append(v.required(f"{place}.schema.openAPIV3Schema", text))
        else:
            faults = _schema(schema, f"{place}.schema.openAPIV3Schema")
            causes += faults or rules.check(schema, f"{place}.schema.openAPIV3Schema")
        scale = version.get("subresources", {}).get("scale")
        if scale is not None:
            causes += _scale(scale, f"{place}.subresources.scale")
        for at, column in enumerate(version.get("additionalPrinterColumns", ())):
            causes += _column(column, f"{place}.additionalPrinterColumns[{at}]")
        fields = version.get("selectableFields", ())
        if len(fields) > 8:
            causes.append(v.too_many(f"{place}.selectableFields", len(fields), 8))
    if stored != 1:
        text = "must have exactly one version marked as storage version"
        causes.append(v.invalid("spec.versions", [x.get("name", "") for x in versions], text))
    return causes


def _scale(scale: Mapping[str, Any], field: str) -> Causes:
    causes: Causes = []
    for name, prefix in (
        ("specReplicasPath", ".spec."),
        ("statusReplicasPath", ".status."),
        ("labelSelectorPath", ""),
    ):
        path = scale.get(name, "")
        if not path:
            if prefix:
                causes.append(v.required(f"{field}.{name}"))
        elif prefix and not path.startswith(prefix):
            text = f"should be a json path under {prefix.removesuffix('.')}"
            causes.append(v.invalid(f"{field}.{name}", path, text))
        elif not prefix and not path.startswith((".spec.", ".status.")):
            text = "should be a json path under either .spec or .status"
            causes.append(v.invalid(f"{field}.{name}", path, text))
    return causes


def _column(column: Mapping[str, Any], field: str) -> Causes:
    causes: Causes = []
    if not column.get("name"):
        causes.append(v.required(f"{field}.name"))
    kinds = ("boolean", "date", "integer", "number", "string")
    causes += v.one_of(column.get("type"), f"{field}.type", kinds)
    path = column.get("jsonPath", "")
    if not path:
        causes.append(v.required(f"{field}.JSONPath"))
    elif not path.startswith("."):
        causes.append(v.invalid(f"{field}.JSONPath", path, "must be a simple json path starting with ."))
    return causes


def _conversion(conversion: Mapping[str, Any]) -> Causes:
    strategy = conversion.get("strategy")
    causes = v.one_of(strategy, "spec.conversion.strategy", ("None", "Webhook"))
    webhook = conversion.get("webhook")
    if strategy == "Webhook":
        if webhook is None:
            text = "required when strategy is set to Webhook"
            return [*causes, v.required("spec.conversion.webhook", text)]
        if not webhook.get("conversionReviewVersions"):
            causes.append(v.required("spec.conversion.webhook.conversionReviewVersions"))
        if webhook.get("clientConfig") is None:
            causes.append(v.required("spec.conversion.webhook.clientConfig"))
        else:
            causes += client_config(webhook["clientConfig"], "spec.conversion.webhook.clientConfig")
    elif webhook is not None:
        text = "should not be set when strategy is not set to Webhook"
        causes.append(v.forbidden("spec.conversion.webhook", text))
    return causes


def _changed(obj: Resource, old: Resource) -> Causes:
    spec, before = obj.get("spec", {}), old.get("spec", {})
    causes: Causes = []
    for name in ("group", "scope"):
        causes += v.same(spec.get(name), before.get(name), f"spec.{name}")
    for name in ("kind", "plural"):
        causes += v.same(
            spec.get("names", {}).get(name), before.get("names", {}).get(name), f"spec.names.{name}"
        )
    served = {version.get("name") for version in spec.get("versions", ())}
    for index, name in enumerate(old.get("status", {}).get("storedVersions", ())):
        if name not in served:
            text = "must appear in spec.versions"
            causes.append(v.invalid(f"status.storedVersions[{index}]", name, text))
    return causes


def _schema(schema: Mapping[str, Any], field: str) -> Causes:
    causes: Causes = []
    if schema.get("type") != "object" and not schema.get("x-kubernetes-preserve-unknown-fields"):
        if schema.get("type"):
            causes.append(v.invalid(f"{field}.type", schema["type"], "must be object at the root"))
        else:
            causes.append(v.required(f"{field}.type", "must not be empty at the root"))
    if schema.get("nullable"):
        causes.append(v.forbidden(f"{field}.nullable", "nullable cannot be true at the root"))
    return causes + _structural(schema, field, root=True)


def _structural(schema: Mapping[str, Any], field: str, *, root: bool = False) -> Causes:
    causes: Causes = []
    kind = schema.get("type", "")
    either = schema.get("x-kubernetes-int-or-string")
    if kind and kind not in _TYPES:
        causes.append(v.not_supported(f"{field}.type", kind, sorted(_TYPES)))
    if not kind and not either and not schema.get("x-kubernetes-preserve-unknown-fields") and not root:
        causes.append(v.required(f"{field}.type", "must not be empty for specified object fields"))
    if kind and either:
        causes.append(v.invalid(f"{field}.type", kind, "must be empty if x-kubernetes-int-or-string is true"))
    for name in _FORBIDDEN:
        if name in schema:
            causes.append(v.forbidden(f"{field}.{name}", f"{name} is not supported"))
    if schema.get("uniqueItems"):
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        causes.append(v.forbidden(f"{field}.uniqueItems", text))
    if "properties" in schema and schema.get("additionalProperties"):
        causes.append(
            v.forbidden(
                f"{field}.additionalProperties", "additionalProperties and properties are mutual exclusive"
            )
        )
    if schema.get("additionalProperties") is False:
        causes.append(
            v.forbidden(f"{field}.additionalProperties", "additionalProperties cannot be set to false")
        )
    if "pattern" in schema:
        try:
            re.compile(schema["pattern"])
        except re.error as error:
            text = f"must be a valid regular expression, but isn't: {error}"
            causes.append(v.invalid(f"{field}.pattern", schema["pattern"], text))
    items = schema.get("items")
    if isinstance(items, list):
        causes.append(v.forbidden(f"{field}.items", "items must be a schema object and not an array"))
    elif kind == "array" and items is None:
        causes.append(v.required(f"{field}.items", "must be specified"))
    elif items is not None:
        causes += _structural(items, f"{field}.items")
    causes += _lists(schema, field)
    for name, inner in schema.get("properties", {}).items():
        if root and name == "metadata":
            causes += _metadata(inner, f"{field}.properties[metadata]")
        else:
            causes += _structural(inner, f"{field}.properties[{name}]")
    more = schema.get("additionalProperties")
    if isinstance(more, dict):
        causes += _structural(more, f"{field}.additionalProperties")
    for name in ("allOf", "anyOf", "oneOf"):
        for index, inner in enumerate(schema.get(name, ())):
            causes += _logic(inner, f"{field}.{name}[{index}]", either=bool(either))
    if "not" in schema:
        causes += _logic(schema["not"], f"{field}.not", either=False)
    return causes


def _metadata(schema: Mapping[str, Any], field: str) -> Causes:
    causes: Causes = []
    for name in schema:
        if name not in {"type", "description", "properties"}:
            text = "must not specify anything other than name and generateName, but metadata is implicitly specified"
            causes.append(v.forbidden(f"{field}.{name}", text))
    for name in schema.get("properties", {}):
        if name not in {"name", "generateName"}:
            text = "must not specify anything other than name and generateName, but metadata is implicitly specified"
            causes.append(v.forbidden(field, text))
            break
    return causes


def _logic(schema: Mapping[str, Any], field: str, *, either: bool) -> Causes:
    causes: Causes = []
    for name in _IN_LOGIC:
        if name in schema and not (name == "type" and either):
            causes.append(
                v.forbidden(
                    f"{field}.{name}",
                    "must be empty to be structural"
                    if name == "type"
                    else "must be undefined to be structural",
                )
            )
    for name, inner in schema.get("properties", {}).items():
        causes += _logic(inner, f"{field}.properties[{name}]", either=False)
    if isinstance(schema.get("items"), dict):
        causes += _logic(schema["items"], f"{field}.items", either=False)
    return causes


def _lists(schema: Mapping[str, Any], field: str) -> Causes:
    causes: Causes = []
    kind = schema.get("x-kubernetes-list-type")
    keys = schema.get("x-kubernetes-list-map-keys", ())
    if kind is not None and kind not in {"atomic", "map", "set"}:
        causes.append(v.not_supported(f"{field}.x-kubernetes-list-type", kind, ("atomic", "map", "set")))
    if kind is not None and schema.get("type") != "array":
        text = "must be array if x-kubernetes-list-type is specified"
        causes.append(v.invalid(f"{field}.type", schema.get("type", ""), text))
    if kind == "map":
        if not keys:
            text = "must not be empty if x-kubernetes-list-type is map"
            causes.append(v.required(f"{field}.x-kubernetes-list-map-keys", text))
        items = schema.get("items") or {}
        for index, key in enumerate(keys):
            if key not in items.get("properties", {}):
                text = "entries must all be names of item properties"
                causes.append(v.invalid(f"{field}.x-kubernetes-list-map-keys[{index}]", key, text))
            elif key not in items.get("required", ()) and "default" not in items["properties"][key]:
                text = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
                causes.append(v.required(f"{field}.items.properties[{key}].default", text))
    elif keys:
        text = "must be map if x-kubernetes-list-map-keys is non-empty"
        causes.append(v.invalid(f"{field}.x-kubernetes-list-type", kind or "", text))
    mapped = schema.get("x-kubernetes-map-type")
    if mapped is not None and mapped not in {"atomic", "granular"}:
        causes.append(v.not_supported(f"{field}.x-kubernetes-map-type", mapped, ("atomic", "granular")))
    return causes
