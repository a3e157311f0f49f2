"""Kubernetes' type definitions and the schemas of custom resources, as the table from which typed constructors are made.

A table is plain data, `name of a type -> {short, api, kind, fields: {field: shape}, required, ...}`; prelude_checks.py makes functions of
it. A shape is a list: `["text", form]`, `["object", name]`, `["list", shape, keys, least, most]`, `["map", shape, form of keys]`,
`["enum", words]`, `["int", least, most]` and so on. Reads schemas as data and never refuses one: what a schema says that a constructor
does not check (oneOf, CEL rules) the cluster's own check finds later.
Sources: Kubernetes' OpenAPI definitions; apiextensions.k8s.io/v1, JSONSchemaProps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from fairlead.render import constructors_words as words

Shape: TypeAlias = list[Any]
Table: TypeAlias = dict[str, dict[str, Any]]
Definitions: TypeAlias = Mapping[str, Any]

META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_PREFIX: Final = "#/$defs/"
_PLACES: Final = {
    "io.k8s.api.": "",
    "io.k8s.apimachinery.pkg.apis.": "",
    "io.k8s.apiextensions-apiserver.pkg.apis.": "",
    "io.k8s.kube-aggregator.pkg.apis.": "",
}
_SPECIAL: Final[Mapping[str, Shape]] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": ["quantity"],
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": ["int-or-text"],
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": ["text", "time"],
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": ["text", "time"],
}
_INT32: Final = (-(2**31), 2**31 - 1)
_INT64: Final = (-(2**63), 2**63 - 1)
_CUSTOM: Final = "crd "


def groups(definitions: Definitions) -> dict[str, dict[str, str]]:
    """Return what can be loaded: `apps/v1` -> {short name of a type: its name}. Groups go by their short and their full names."""
    out: dict[str, dict[str, str]] = {}
    for name, definition in definitions.items():
        for prefix in _PLACES:
            if name.startswith(prefix):
                place, _, short = name.removeprefix(prefix).rpartition(".")
                group, _, version = place.rpartition(".")
                out.setdefault(f"{group}/{version}", {})[short] = name
                for gvk in definition.get("x-kubernetes-group-version-kind") or ():
                    if gvk["kind"] == short and gvk["version"]:
                        full = f"{gvk['group'] or 'core'}/{gvk['version']}"
                        out.setdefault(full, {})[short] = name
    for place in list(out):
        group, _, version = place.partition("/")
        for full in [key for key in out if key.startswith(f"{group}.") and key.endswith(f"/{version}")]:
            out[full] = {**out[place], **out[full]}
    return out


def kinds(definitions: Definitions) -> dict[tuple[str, str], str]:
    """Return the name of each kind's type, by apiVersion and kind."""
    out = {}
    for name, definition in definitions.items():
        for gvk in definition.get("x-kubernetes-group-version-kind") or ():
            if name.rpartition(".")[2] == gvk["kind"]:
                api = f"{gvk['group']}/{gvk['version']}" if gvk["group"] else gvk["version"]
                out[api, gvk["kind"]] = name
    return out


def table(definitions: Definitions) -> Table:
    """Return the table of all types of the definitions."""
    return {
        name: _type(name, definition)
        for name, definition in definitions.items()
        if name not in _SPECIAL and "properties" in definition
    }


def _type(name: str, definition: Mapping[str, Any]) -> dict[str, Any]:
    short = name.rpartition(".")[2]
    found = [gvk for gvk in definition.get("x-kubernetes-group-version-kind") or () if gvk["kind"] == short]
    gvk = found[0] if found else None
    api = "" if gvk is None else f"{gvk['group']}/{gvk['version']}" if gvk["group"] else gvk["version"]
    fields = definition["properties"]
    required = [field for field in definition.get("required") or () if field not in {"apiVersion", "kind"}]
    required += [field for field in words.REQUIRED.get(short, ()) if field not in required]
    return _row(
        short,
        {field: _field(short, field, schema) for field, schema in fields.items()},
        required,
        api=api,
        kind=short if gvk is not None else "",
        name_form=_name_form(short, fields) if gvk is not None else "",
        known=True,
    )


def _row(
    short: str,
    fields: Mapping[str, Shape],
    required: Sequence[str],
    *,
    api: str = "",
    kind: str = "",
    name_form: str = "",
    known: bool = False,
    loose: bool = False,
) -> dict[str, Any]:
    return {
        "short": short,
        "api": api,
        "kind": kind,
        "name": name_form,
        "fields": fields,
        "required": list(required),
        "loose": loose,
        "known": known,
        "hints": {field: words.HINTS[field] for field in required if field in words.HINTS},
    }


def _name_form(short: str, fields: Mapping[str, Any]) -> str:
    meta = fields.get("metadata") or {}
    if meta.get("$ref") != _PREFIX + META:
        return ""
    return words.NAMES.get(short, "dns-subdomain")


def _field(short: str, field: str, schema: Mapping[str, Any]) -> Shape:
    path = f"{short}.{field}"
    special = words.SHAPES.get(path)
    if special is not None:
        return special
    shape = _shape(schema)
    if shape[0] == "list":
        inner = words.SHAPES.get(f"{path}[]")
        keys = words.DISTINCT.get(path, shape[2])
        shape = ["list", inner or shape[1], keys, *shape[3:]]
    elif shape[0] == "map":
        value = words.VALUE_FORMS.get(path)
        shape = ["map", ["text", value] if value else shape[1], words.KEY_FORMS.get(path, "")]
    return shape


def _shape(schema: Mapping[str, Any]) -> Shape:
    """Return the shape of a field as the definitions describe it."""
    ref = schema.get("$ref")
    if ref:
        name = ref.removeprefix(_PREFIX)
        return _SPECIAL.get(name) or (["anything"] if name in _SHAPELESS else ["object", name])
    sorts = schema.get("type") or ""
    sort = next((one for one in sorts if one != "null"), "") if isinstance(sorts, list) else sorts
    if sort == "string":
        words_ = schema.get("enum")
        return (
            ["enum", [word for word in words_ if word is not None]]
            if words_
            else ["text", {"byte": "base64"}.get(schema.get("format", ""), "")]
        )
    if sort == "integer":
        least, most = _INT64 if schema.get("format") == "int64" else _INT32
        return ["int", schema.get("minimum", least), schema.get("maximum", most)]
    if sort == "number":
        return ["number", schema.get("minimum"), schema.get("maximum")]
    if sort == "boolean":
        return ["bool"]
    if sort == "array":
        listed = schema.get("x-kubernetes-list-type")
        keys = (
            list(schema.get("x-kubernetes-list-map-keys") or ())
            if listed == "map"
            else []
            if listed == "set"
            else None
        )
        return ["list", _shape(schema.get("items") or {}), keys, None, None]
    if sort == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return ["map", _shape(schema["additionalProperties"]), ""]
    return ["anything"]


_SHAPELESS: Final = frozenset(
    {
        "io.k8s.api.apiserverinternal.v1alpha1.StorageVersionSpec",
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceSubresourceStatus",
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray",
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool",
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray",
        "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
        "io.k8s.apimachinery.pkg.apis.meta.v1.Patch",
        "io.k8s.apimachinery.pkg.runtime.RawExtension",
    }
)
"""Types that the definitions give no fields: any value is one of them."""


# --- custom resources


def custom(definitions: Iterable[Mapping[str, Any]]) -> tuple[Table, dict[str, dict[str, str]]]:
    """Return the table of CustomResourceDefinitions, and what can be loaded: `group/version` -> {kind: name of its type}.

    What in a definition is not as it should be is left out: it is what the cluster would refuse, not this.
    """
    out: Table = {}
    loads: dict[str, dict[str, str]] = {}
    for definition in definitions:
        spec = _mapping(definition.get("spec"))
        group, kind = spec.get("group"), _mapping(spec.get("names")).get("kind")
        if not isinstance(group, str) or not isinstance(kind, str):
            continue
        versions = spec.get("versions")
        for version in versions if isinstance(versions, list) else ():
            name = _mapping(version).get("name")
            schema = _mapping(_mapping(_mapping(version).get("schema")).get("openAPIV3Schema"))
            if not isinstance(name, str):
                continue
            at = f"{_CUSTOM}{group}/{name}.{kind}"
            _custom_type(out, at, kind, schema, (f"{group}/{name}", kind))
            loads.setdefault(f"{group}/{name}", {})[kind] = at
    return out, loads


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _custom_type(
    out: Table, at: str, short: str, schema: Mapping[str, Any], gvk: tuple[str, str] | None = None
) -> None:
    fields: dict[str, Shape] = {}
    out[at] = _row(
        short,
        fields,
        [field for field in schema.get("required") or () if isinstance(field, str)],
        api=gvk[0] if gvk else "",
        kind=gvk[1] if gvk else "",
        name_form="dns-subdomain" if gvk else "",
        loose=bool(schema.get("x-kubernetes-preserve-unknown-fields"))
        or ("properties" not in schema and not gvk)
        or (gvk is not None and not schema),
    )
    for field, inner in _mapping(schema.get("properties")).items():
        fields[field] = _custom_shape(out, f"{at}.{field}", f"{short}.{field}", _mapping(inner))
    if gvk or schema.get("x-kubernetes-embedded-resource"):
        api, kind = (["enum", [word]] for word in gvk) if gvk else (["text", ""], ["text", ""])
        fields |= {"apiVersion": api, "kind": kind, "metadata": ["object", META]}
        out[at]["required"] = [
            name for name in out[at]["required"] if name not in {"apiVersion", "kind", "metadata"}
        ]


def _custom_shape(out: Table, at: str, short: str, schema: Mapping[str, Any]) -> Shape:
    if schema.get("x-kubernetes-int-or-string"):
        return ["int-or-text"]
    sort = schema.get("type")
    enum = schema.get("enum")
    if sort == "string":
        if isinstance(enum, list) and all(isinstance(word, str) for word in enum):
            return ["enum", enum]
        pattern = schema.get("pattern")
        limits = [schema.get("minLength"), schema.get("maxLength")]
        form = {
            "date-time": "time",
            "byte": "base64",
            "duration": "duration",
            "ipv4": "ip",
            "cidr": "cidr",
        }.get(str(schema.get("format") or ""), "")
        if isinstance(pattern, str) or any(limit is not None for limit in limits):
            return ["matching", pattern if isinstance(pattern, str) else "", *limits, form]
        return ["text", form]
    if sort == "integer":
        least, most = _INT32 if schema.get("format") == "int32" else _INT64
        return ["int", _bound(schema, "Minimum", 1, least), _bound(schema, "Maximum", -1, most)]
    if sort == "number":
        return ["number", schema.get("minimum"), schema.get("maximum")]
    if sort == "boolean":
        return ["bool"]
    if sort == "array":
        listed = schema.get("x-kubernetes-list-type")
        keys = (
            schema.get("x-kubernetes-list-map-keys") if listed == "map" else [] if listed == "set" else None
        )
        inner = _custom_shape(out, f"{at}[]", short, _mapping(schema.get("items")))
        return ["list", inner, keys, schema.get("minItems"), schema.get("maxItems")]
    more = schema.get("additionalProperties")
    if isinstance(more, Mapping) and "properties" not in schema:
        return ["map", _custom_shape(out, f"{at}.*", short, more), ""]
    if "properties" in schema or schema.get("x-kubernetes-embedded-resource"):
        _custom_type(out, at, short, schema)
        return ["object", at]
    return ["anything"]


def _bound(schema: Mapping[str, Any], name: str, step: int, otherwise: int) -> int:
    found = schema.get(name.lower())
    if not isinstance(found, int | float):
        return otherwise
    return int(found) + (step if schema.get(f"exclusive{name}") is True else 0)
