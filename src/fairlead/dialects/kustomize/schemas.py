"""What is known of types: which lists merge by which keys, and which kinds have no namespace.

Kubernetes' own kinds are in a table; a tree may bring a schema of its own (`openapi: {path: ...}`), which then stands instead of it,
as in kustomize: for the whole tree, whichever kustomization names it first.
Source: sigs.k8s.io/kustomize/kyaml/openapi.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from fairlead.dialects.kustomize import mergekeys

Type: TypeAlias = str
"""A type by its name in the table, or "" for one below which no list merges."""

Merges: TypeAlias = tuple[str, ...] | None
"""The keys by which the elements of a list are known (none: they are scalars), or None: the list is replaced."""

Fields: TypeAlias = Mapping[str, tuple[Merges, Type]]

ANY: Final = "*"
"""The field that stands for all that are not named (additionalProperties)."""

_NONE: Final[Fields] = {}


class Schemas:
    """The types that one rendering knows."""

    __slots__ = ("_cluster", "_custom", "_delayed", "_loaded", "kinds", "types", "version")

    def __init__(self) -> None:
        self.types: Mapping[Type, Fields] = mergekeys.TYPES
        self.kinds: Mapping[str, Type] = mergekeys.KINDS
        self.version = ""
        self._cluster: frozenset[str] | set[str] = mergekeys.CLUSTER
        self._custom = False
        self._loaded = False
        self._delayed = False

    @property
    def chosen(self) -> bool:
        """Whether a kustomization has said which schema is meant."""
        return self._custom or bool(self.version)

    def use(self, document: Mapping[str, Any]) -> None:
        """Take an OpenAPI document instead of what is known, or beside it where that was used already."""
        kinds, types = _read(document)
        if self._loaded or self._delayed:
            builtin = {f"#{name}": mergekeys.TYPES[known] for name, known in mergekeys.DEFINITIONS.items()}
            replaced = {
                mergekeys.DEFINITIONS[name[1:]]: fields
                for name, fields in types.items()
                if name[1:] in mergekeys.DEFINITIONS
            }
            self.types = {**mergekeys.TYPES, **builtin, **types, **replaced}
            self.kinds = {**mergekeys.KINDS, **kinds}
        else:
            self.types, self.kinds = types, kinds
        self._custom = True
        scopes = _scopes(document)
        self._cluster = {*mergekeys.CLUSTER, *(kind for kind, cluster in scopes.items() if cluster)} - {
            kind
            for kind, cluster in scopes.items()
            if not cluster and kind not in mergekeys.CLUSTER
        }  # fmt: skip

    def cluster_scoped(self, api_version: str, kind: str) -> bool:
        """Whether objects of the kind surely have no namespace."""
        found = f"{api_version}/{kind}"
        if not self._custom and not self._delayed and found not in mergekeys.KINDS:
            self._delayed = True
        return found in self._cluster

    def of(self, resource: Mapping[str, Any]) -> Type | None:
        """Return the type of a resource, or None where its kind is not known."""
        if not self._custom:
            self._loaded = True
        return self.kinds.get(f"{resource.get('apiVersion')}/{resource.get('kind')}")

    def field(self, owner: Type, name: str) -> tuple[Merges, Type]:
        """Return how a field merges, and its type (that of its elements for a list)."""
        fields = self.types.get(owner, _NONE)
        return fields.get(name) or fields.get(ANY) or (None, "")


def _read(document: Mapping[str, Any]) -> tuple[dict[str, Type], dict[Type, Fields]]:
    definitions = document.get("definitions")
    definitions = definitions if isinstance(definitions, dict) else {}
    kinds: dict[str, Type] = {}
    types: dict[Type, Fields] = {}
    waiting: list[tuple[Type, Mapping[str, Any]]] = []
    for name, schema in definitions.items():
        if not isinstance(schema, dict):
            continue
        waiting.append((f"#{name}", schema))
        names = schema.get("x-kubernetes-group-version-kind")
        for one in names if isinstance(names, list) else ():
            kind = _kind(one)
            if kind:
                kinds[kind] = f"#{name}"
    while waiting:
        at, schema = waiting.pop()
        fields: dict[str, tuple[Merges, Type]] = {}
        properties = schema.get("properties")
        parts = dict(properties) if isinstance(properties, dict) else {}
        if isinstance(schema.get("additionalProperties"), dict):
            parts.setdefault(ANY, schema["additionalProperties"])
        for name, part in parts.items():
            if not isinstance(part, dict):
                continue
            whole = _resolved(part, definitions)
            keys = _keys(whole)
            below: Any = whole.get("items") if whole.get("type") == "array" else part
            if isinstance(below, dict):
                inner = _name(below)
                if not inner:
                    inner = f"{at}/{name}"
                    waiting.append((inner, below))
                fields[name] = (keys, inner)
        types[at] = fields
    return kinds, types


def _name(schema: Mapping[str, Any]) -> Type:
    reference = schema.get("$ref")
    return f"#{reference.rpartition('/')[2]}" if isinstance(reference, str) else ""


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    for _ in range(20):
        name = _name(schema)
        if not name:
            break
        found = definitions.get(name[1:])
        if not isinstance(found, dict):
            return {}
        schema = found
    return schema


def _keys(schema: Mapping[str, Any]) -> Merges:
    if "merge" not in str(schema.get("x-kubernetes-patch-strategy", "")).split(","):
        return None
    listed = schema.get("x-kubernetes-list-map-keys")
    if isinstance(listed, list):
        return tuple(str(one) for one in listed)
    key = schema.get("x-kubernetes-patch-merge-key")
    return (key,) if isinstance(key, str) and key else ()


def _kind(names: Any) -> str:
    if not isinstance(names, dict) or not isinstance(names.get("kind"), str):
        return ""
    parts = (names.get("group"), names.get("version"), names["kind"])
    return "/".join(part for part in parts if isinstance(part, str) and part)


def _scopes(document: Mapping[str, Any]) -> dict[str, bool]:
    """Return whether kinds have no namespace, by the paths at which they are read."""
    found: dict[str, bool] = {}
    paths = document.get("paths")
    for path, what in paths.items() if isinstance(paths, dict) else ():
        get = what.get("get") if isinstance(what, dict) else None
        kind = _kind(get.get("x-kubernetes-group-version-kind")) if isinstance(get, dict) else ""
        if kind:
            found[kind] = found.get(kind, True) and "namespaces/{namespace}" not in path
    return found
