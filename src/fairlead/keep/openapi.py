"""The OpenAPI documents from which kubectl explains fields and learns what each operation can do.

Pure functions of the catalogue and the schemas. Descriptions, types and merge keys are those of Kubernetes' own
definitions and of custom resources' schemas; nothing is invented here.
Source: kubernetes/api/openapi-spec, k8s.io/kube-openapi.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from fairlead.keep.kinds import Catalogue, Kind, Subresource, subresource
from fairlead.keep.schemas import Schemas

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_INFO = {"title": "Kubernetes", "version": "v1.32.0"}
_V2, _V3 = "#/definitions/", "#/components/schemas/"
_JSON = "application/json"
_PATCHES = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
)
_STRATEGIC = "application/strategic-merge-patch+json"
_DESCRIPTIONS = {
    "pretty": "If 'true', then the output is pretty printed.",
    "dryRun": "When present, indicates that modifications should not be persisted: All processes every stage.",
    "fieldManager": "The name of the actor that is making these changes.",
    "fieldValidation": "What to do with unknown and duplicate fields: Ignore, Warn or Strict.",
    "force": "Whether an apply takes over fields of other managers.",
    "continue": "Where to go on with a list that was cut short.",
    "fieldSelector": "Restricts the list to objects with these fields.",
    "labelSelector": "Restricts the list to objects with these labels.",
    "limit": "The most objects that one answer shall have.",
    "resourceVersion": "The state to be served from, or to watch from.",
    "resourceVersionMatch": "How resourceVersion is meant.",
    "sendInitialEvents": "Whether a watch begins with the state at its start.",
    "timeoutSeconds": "How long the call may take.",
    "watch": "Watch for changes instead of listing.",
    "allowWatchBookmarks": "Whether a watch may send bookmarks.",
    "gracePeriodSeconds": "How long the object has before it is gone.",
    "orphanDependents": "Deprecated: use propagationPolicy.",
    "propagationPolicy": "Whether and how dependents are deleted: Orphan, Background or Foreground.",
    "ignoreStoreReadErrorWithClusterBreakingPotential": "Delete even what cannot be read.",
}
_TYPES = {
    "allowWatchBookmarks": "boolean",
    "force": "boolean",
    "gracePeriodSeconds": "integer",
    "ignoreStoreReadErrorWithClusterBreakingPotential": "boolean",
    "limit": "integer",
    "orphanDependents": "boolean",
    "sendInitialEvents": "boolean",
    "timeoutSeconds": "integer",
    "watch": "boolean",
}
_WRITE = ("dryRun", "fieldManager", "fieldValidation")
_LIST = (
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
)
_DELETE = ("dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy")


def index(catalogue: Catalogue, schemas: Schemas) -> dict[str, Any]:
    """Return the document at /openapi/v3: each group version with the address of its document and a hash of it."""
    paths = {}
    for (group, version), kinds in sorted(_group_versions(catalogue).items()):
        place = _place(group, version)
        paths[place] = {"serverRelativeURL": f"/openapi/v3/{place}?hash={_hash(kinds, schemas)}"}
    return {"paths": paths}


def document(catalogue: Catalogue, schemas: Schemas, place: str) -> dict[str, Any] | None:
    """Return the document at /openapi/v3/<place> (`api/v1`, `apis/apps/v1`); None where nothing is served."""
    for (group, version), kinds in _group_versions(catalogue).items():
        if _place(group, version) == place:
            components = _Components(schemas, _V3)
            paths = _paths(kinds, components)
            return {
                "openapi": "3.0.0",
                "info": _INFO,
                "paths": paths,
                "components": {"schemas": components.finished()},
            }
    return None


def swagger(catalogue: Catalogue, schemas: Schemas) -> dict[str, Any]:
    """Return the document at /openapi/v2: everything that is served, in Swagger 2.0."""
    components = _Components(schemas, _V2)
    paths: dict[str, Any] = {}
    for kinds in _group_versions(catalogue).values():
        for path, item in _paths(kinds, components).items():
            paths[path] = _downgraded(item)
    return {"swagger": "2.0", "info": _INFO, "paths": paths, "definitions": components.finished()}


def _group_versions(catalogue: Catalogue) -> dict[tuple[str, str], list[Kind]]:
    found: dict[tuple[str, str], list[Kind]] = {}
    for kind in catalogue.all():
        found.setdefault((kind.group, kind.version), []).append(kind)
    return found


def _place(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _hash(kinds: Iterable[Kind], schemas: Schemas) -> str:
    digest = hashlib.sha256(_INFO["version"].encode())
    for kind in kinds:
        names = (kind.kind, kind.plural, sorted(kind.subresources), sorted(kind.verbs), kind.namespaced)
        custom = schemas.custom(kind)
        schema = custom.schema if custom is not None else None
        digest.update(json.dumps([names, schema], sort_keys=True).encode())
    return digest.hexdigest().upper()


class _Components:
    """The schemas that a document needs, gathered by following references from those asked for."""

    def __init__(self, schemas: Schemas, prefix: str) -> None:
        self._schemas = schemas
        self._prefix = prefix
        self._found: dict[str, Any] = {}
        self.v3 = prefix == _V3

    def finished(self) -> dict[str, Any]:
        return dict(sorted(self._found.items()))

    def kind(self, kind: Kind) -> str:
        """Add the kind's schema and return its name; "" where none is known."""
        if self._schemas.custom(kind) is not None:
            return self._custom(kind)
        return self.gvk(kind.group, kind.version, kind.kind)

    def list_of(self, kind: Kind) -> str:
        if self._schemas.custom(kind) is not None:
            return f"{self._custom(kind)}List"
        return self.gvk(kind.group, kind.version, kind.list_kind)

    def gvk(self, group: str, version: str, kind: str) -> str:
        name = self._schemas.definitions.name(group, version, kind)
        return self.add(name) if name else ""

    def add(self, name: str) -> str:
        """Add a definition of Kubernetes' own, and what it refers to."""
        if name not in self._found:
            self._found[name] = {}
            self._found[name] = self._definition(name, self._schemas.definitions.raw[name])
        return name

    def reference(self, name: str) -> dict[str, str]:
        return {"$ref": self._prefix + name}

    def _definition(self, name: str, raw: Mapping[str, Any]) -> dict[str, Any]:
        described = {"description": raw["description"]} if "description" in raw else {}
        if name == _QUANTITY:
            either = {"oneOf": [{"type": "string"}, {"type": "number"}]} if self.v3 else {"type": "string"}
            return described | either
        if name == _INT_OR_STRING:
            either = {"oneOf": [{"type": "integer"}, {"type": "string"}]} if self.v3 else {"type": "string"}
            return described | {"format": "int-or-string"} | either
        found = self._converted(raw)
        for field in ("apiVersion", "kind"):
            if isinstance(found.get("properties", {}).get(field), dict):
                found["properties"][field].pop("enum", None)
        return found

    def _converted(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key, value in raw.items():
            if key == "type":
                out["type"] = value if isinstance(value, str) else value[0]
            elif key == "$ref":
                name = self.add(value.rpartition("/")[2])
                if self.v3 and len(raw) > 1:
                    out["allOf"] = [self.reference(name)]
                else:
                    out |= self.reference(name)
            elif key == "properties":
                out[key] = {name: self._converted(inner) for name, inner in value.items()}
            elif key in {"items", "additionalProperties"} and isinstance(value, Mapping):
                out[key] = self._converted(value)
            else:
                out[key] = value
        return out

    def _custom(self, kind: Kind) -> str:
        custom = self._schemas.custom(kind)
        assert custom is not None
        name = ".".join((*reversed(kind.group.split(".")), kind.version, kind.kind))
        if name not in self._found:
            meta, list_meta = self.add(f"{_META}ObjectMeta"), self.add(f"{_META}ListMeta")
            schema = copy.deepcopy(dict(custom.schema))
            properties = schema.setdefault("properties", {})
            schema.setdefault("type", "object")
            standard = self._schemas.definitions.raw[f"{_META}Status"]["properties"]
            words = {
                key: {"type": "string", "description": standard[key]["description"]}
                for key in ("apiVersion", "kind")
            }
            about = "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
            properties |= words | {"metadata": self._described(meta, about)}
            schema["x-kubernetes-group-version-kind"] = [_gvk(kind)]
            self._found[name] = schema
            items = {"type": "array", "description": f"List of {kind.plural}.", "items": self.reference(name)}
            self._found[f"{name}List"] = {
                "description": f"{kind.list_kind} is a list of {kind.kind}",
                "type": "object",
                "required": ["items"],
                "properties": words | {"metadata": self._described(list_meta, about), "items": items},
                "x-kubernetes-group-version-kind": [{**_gvk(kind), "kind": kind.list_kind}],
            }
        return name

    def _described(self, name: str, about: str) -> dict[str, Any]:
        if self.v3:
            return {"allOf": [self.reference(name)], "description": about}
        return {**self.reference(name), "description": about}


def _gvk(kind: Kind | Subresource) -> dict[str, str]:
    return {"group": kind.group, "kind": kind.kind, "version": kind.version}


def _paths(kinds: Iterable[Kind], components: _Components) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for kind in kinds:
        root = f"/{_place(kind.group, kind.version)}"
        base = (
            f"{root}/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else f"{root}/{kind.plural}"
        )
        collection = _collection(kind, components)
        if collection:
            paths[base] = _placed(collection, namespaced=kind.namespaced)
        if kind.namespaced and "list" in kind.verbs:
            everywhere = {"get": collection["get"]}
            paths[f"{root}/{kind.plural}"] = _placed(everywhere, namespaced=False)
        item = _item(kind, components)
        if item:
            paths[f"{base}/{{name}}"] = _placed(item, namespaced=kind.namespaced, named=True)
        for name in sorted(kind.subresources):
            under = _under(kind, subresource(kind, name), components)
            paths[f"{base}/{{name}}/{name}"] = _placed(under, namespaced=kind.namespaced, named=True)
    return paths


def _placed(item: dict[str, Any], *, namespaced: bool, named: bool = False) -> dict[str, Any]:
    """Add the parameters that are in the path itself."""
    wanted = [("name", "name of the object")] if named else []
    wanted += (
        [("namespace", "object name and auth scope, such as for teams and projects")] if namespaced else []
    )
    parameters: list[dict[str, Any]] = [
        {
            "name": name,
            "in": "path",
            "description": text,
            "required": True,
            "schema": {"type": "string", "uniqueItems": True},
        }
        for name, text in wanted
    ]
    return {**item, "parameters": [*parameters, *_parameters(("pretty",))]}


def _parameters(names: Iterable[str]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "query",
            "description": _DESCRIPTIONS[name],
            "schema": {"type": _TYPES.get(name, "string"), "uniqueItems": True},
        }
        for name in names
    ]


def _operation(
    action: str,
    kind: Kind,
    spoken: Kind | Subresource,
    components: _Components,
    *,
    answer: str,
    parameters: Iterable[str] = (),
    body: str = "",
    types: Iterable[str] = ("*/*",),
) -> dict[str, Any]:
    scope = "Namespaced" if kind.namespaced else ""
    suffix = spoken.name.capitalize() if isinstance(spoken, Subresource) else ""
    group = "".join(part.capitalize() for part in (kind.group.partition(".")[0] or "core", kind.version))
    operation: dict[str, Any] = {
        "tags": [f"{kind.group.partition('.')[0] or 'core'}_{kind.version}"],
        "description": f"{action} {kind.kind}{f' {spoken.name}' if isinstance(spoken, Subresource) else ''}",
        "operationId": f"{action}{group}{scope}{kind.kind}{suffix}",
        "parameters": _parameters(parameters),
        "responses": {"200": _response(answer, components), "401": {"description": "Unauthorized"}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": _gvk(spoken),
    }
    if body:
        schema = components.reference(body)
        operation["requestBody"] = {"required": True, "content": {one: {"schema": schema} for one in types}}
    return operation


def _response(name: str, components: _Components) -> dict[str, Any]:
    if not name:
        return {"description": "OK"}
    return {"description": "OK", "content": {_JSON: {"schema": components.reference(name)}}}


def _collection(kind: Kind, components: _Components) -> dict[str, Any]:
    one = components.kind(kind)
    status = components.add(f"{_META}Status")
    item: dict[str, Any] = {}
    if "list" in kind.verbs:
        answer = components.list_of(kind)
        item["get"] = _operation("list", kind, kind, components, answer=answer, parameters=_LIST)
    if "create" in kind.verbs:
        item["post"] = _operation("post", kind, kind, components, answer=one, parameters=_WRITE, body=one)
    if "deletecollection" in kind.verbs:
        parameters = tuple(dict.fromkeys((*_DELETE, *_LIST[1:-1])))
        body = components.add(f"{_META}DeleteOptions")
        item["delete"] = _operation(
            "deletecollection", kind, kind, components, answer=status, parameters=parameters, body=body
        )
    return item


def _item(kind: Kind, components: _Components) -> dict[str, Any]:
    one = components.kind(kind)
    item: dict[str, Any] = {}
    if "get" in kind.verbs:
        item["get"] = _operation("get", kind, kind, components, answer=one)
    item |= _changes(kind, kind, components, one)
    if "delete" in kind.verbs:
        answer, body = components.add(f"{_META}Status"), components.add(f"{_META}DeleteOptions")
        item["delete"] = _operation(
            "delete", kind, kind, components, answer=answer, parameters=_DELETE, body=body
        )
    return item


def _changes(kind: Kind, spoken: Kind | Subresource, components: _Components, name: str) -> dict[str, Any]:
    item: dict[str, Any] = {}
    if "update" in spoken.verbs:
        item["put"] = _operation("put", kind, spoken, components, answer=name, parameters=_WRITE, body=name)
    if "patch" in spoken.verbs:
        types = (*_PATCHES, _STRATEGIC) if components.gvk(kind.group, kind.version, kind.kind) else _PATCHES
        item["patch"] = _operation(
            "patch",
            kind,
            spoken,
            components,
            answer=name,
            parameters=(*_WRITE, "force"),
            body=components.add(f"{_META}Patch"),
            types=types,
        )
    return item


def _under(kind: Kind, spoken: Subresource, components: _Components) -> dict[str, Any]:
    name = (
        components.kind(kind)
        if spoken.kind == kind.kind
        else components.gvk(spoken.group, spoken.version, spoken.kind)
    )
    item: dict[str, Any] = {}
    if "get" in spoken.verbs:
        item["get"] = _operation("get", kind, spoken, components, answer=name)
    item |= _changes(kind, spoken, components, name)
    if "create" in spoken.verbs:
        item["post"] = _operation("post", kind, spoken, components, answer=name, parameters=_WRITE, body=name)
    return item


def _downgraded(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return a path of OpenAPI 3 as Swagger 2 writes it: parameters are flat, the body is one of them."""
    out: dict[str, Any] = {}
    for key, value in item.items():
        if key == "parameters":
            out[key] = [_flat(one) for one in value]
            continue
        operation = {name: part for name, part in value.items() if name != "requestBody"}
        operation["parameters"] = [_flat(one) for one in value["parameters"]]
        body = value.get("requestBody")
        if body is not None:
            schema = next(iter(body["content"].values()))["schema"]
            operation["parameters"].append({"name": "body", "in": "body", "required": True, "schema": schema})
            operation["consumes"] = list(body["content"])
        operation["produces"] = [_JSON]
        operation["responses"] = {
            code: {
                "description": answer["description"],
                **({"schema": answer["content"][_JSON]["schema"]} if "content" in answer else {}),
            }
            for code, answer in value["responses"].items()
        }
        out[key] = operation
    return out


def _flat(parameter: Mapping[str, Any]) -> dict[str, Any]:
    plain = {key: value for key, value in parameter.items() if key != "schema"}
    return plain | dict(parameter["schema"])
