"""A type, as merging, applying and decoding need to see it.

Made lazily from Kubernetes' definitions; data only, no object is looked at here.
Sources: sigs.k8s.io/structured-merge-diff (types), k8s.io/apimachinery strategic merge patch (merge keys).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, TypeAlias, TypeVar

T = TypeVar("T")
Type: TypeAlias = Literal["map", "struct", "list", "scalar", "untyped"]
Scalar: TypeAlias = Literal[
    "",
    "string",
    "int32",
    "int64",
    "float",
    "bool",
    "bytes",
    "quantity",
    "int-or-string",
    "time",
    "micro-time",
]

_API = "io.k8s.api."
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_CRD = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
_SCALARS: dict[str, tuple[Scalar, str]] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": ("quantity", "resource.Quantity"),
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": ("int-or-string", "intstr.IntOrString"),
    _META + "Time": ("time", "v1.Time"),
    _META + "MicroTime": ("micro-time", "v1.MicroTime"),
}
_UNTYPED = frozenset(
    {"io.k8s.apimachinery.pkg.runtime.RawExtension", _META + "FieldsV1", _META + "Patch", _CRD + "JSON"}
)
_EITHER = {
    _CRD + "JSONSchemaPropsOrBool": "bool",
    _CRD + "JSONSchemaPropsOrArray": "list",
    _CRD + "JSONSchemaPropsOrStringArray": "strings",
}
_NAMED_STRINGS = {
    ("Container", "imagePullPolicy"): "v1.PullPolicy",
    ("Container", "terminationMessagePolicy"): "v1.TerminationMessagePolicy",
    ("ContainerPort", "protocol"): "v1.Protocol",
    ("ServicePort", "protocol"): "v1.Protocol",
    ("PodSpec", "restartPolicy"): "v1.RestartPolicy",
    ("PodSpec", "dnsPolicy"): "v1.DNSPolicy",
    ("ServiceSpec", "type"): "v1.ServiceType",
    ("ServiceSpec", "sessionAffinity"): "v1.ServiceAffinity",
    ("Secret", "type"): "v1.SecretType",
    ("ObjectMeta", "uid"): "types.UID",
    ("OwnerReference", "uid"): "types.UID",
    ("DeploymentStrategy", "type"): "v1.DeploymentStrategyType",
    ("PersistentVolumeClaimSpec", "volumeMode"): "v1.PersistentVolumeMode",
    ("CronJobSpec", "concurrencyPolicy"): "v1.ConcurrencyPolicy",
    ("Toleration", "effect"): "v1.TaintEffect",
    ("Toleration", "operator"): "v1.TolerationOperator",
    ("HTTPIngressPath", "pathType"): "v1.PathType",
}
"""Go types of string fields that are not plain strings, for the texts of type errors."""

_NO_FIELDS: dict[str, Node] = {}


class Node:
    """One type at one place.

    `type` is "struct" (known `fields`), "map" (any key, values of type `values`), "list" (of `items`), "scalar" (see
    `scalar`) or "untyped" (deduced from the value: maps merge, lists are atomic). `list_type` and `map_type` are
    server-side apply's, `merge_key` and `merge_strategy` strategic merge's: for the same list the keys may differ.
    `go` is the Go type for error texts, `struct` the bare name of a struct's type.
    """

    __slots__ = (
        "definition",
        "description",
        "either",
        "embedded",
        "go",
        "key_defaults",
        "keys",
        "lazy_fields",
        "lazy_items",
        "list_type",
        "map_type",
        "merge_key",
        "merge_strategy",
        "nullable",
        "preserve_unknown",
        "required",
        "scalar",
        "struct",
        "type",
    )

    def __init__(
        self,
        type_: Type,
        *,
        fields: Callable[[], Mapping[str, Node]] | None = None,
        items: Callable[[], Node] | None = None,
        scalar: Scalar = "",
        list_type: Literal["atomic", "set", "map"] = "atomic",
        keys: tuple[str, ...] = (),
        key_defaults: Mapping[str, Any] | None = None,
        map_type: Literal["granular", "atomic"] = "granular",
        merge_key: str = "",
        merge_strategy: frozenset[str] = frozenset(),
        required: frozenset[str] = frozenset(),
        nullable: bool = False,
        preserve_unknown: bool = False,
        embedded: bool = False,
        go: str = "",
        struct: str = "",
        either: str = "",
        definition: str = "",
        description: str = "",
    ) -> None:
        self.type: Type = type_
        self.lazy_fields = fields
        self.lazy_items = items
        self.scalar: Scalar = scalar
        self.list_type = list_type
        self.keys = keys
        self.key_defaults: Mapping[str, Any] = key_defaults or {}
        self.map_type = map_type
        self.merge_key = merge_key
        self.merge_strategy = merge_strategy
        self.required = required
        self.nullable = nullable
        self.preserve_unknown = preserve_unknown
        self.embedded = embedded
        self.go = go
        self.struct = struct
        self.either = either
        self.definition = definition
        self.description = description

    @property
    def fields(self) -> Mapping[str, Node]:
        """The fields of a struct by their JSON name; empty for other types."""
        return self.lazy_fields() if self.lazy_fields is not None else _NO_FIELDS

    @property
    def items(self) -> Node:
        """The type of a list's elements; untyped for other types."""
        return self.lazy_items() if self.lazy_items is not None and self.type == "list" else untyped

    @property
    def values(self) -> Node:
        """The type of a map's values; untyped for other types."""
        return self.lazy_items() if self.lazy_items is not None and self.type == "map" else untyped

    def child(self, key: str) -> Node:
        """Return the type under a key of a map or struct, untyped where it is not known."""
        if self.type == "map":
            return self.values
        return self.fields.get(key, untyped)

    def __repr__(self) -> str:
        return f"Node({self.type} {self.go or self.scalar})"


untyped = Node("untyped", preserve_unknown=True, go="interface {}")
"""The type of what nothing is known about."""


class Definitions(Mapping[str, Node]):
    """Nodes by the name of their definition, such as `io.k8s.api.core.v1.Pod`, made on first use."""

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self.raw = definitions
        self._nodes: dict[str, Node] = {}
        self._names = {
            (gvk["group"], gvk["version"], gvk["kind"]): name
            for name, schema in definitions.items()
            for gvk in schema.get("x-kubernetes-group-version-kind", ())
        }

    def name(self, group: str, version: str, kind: str) -> str:
        """Return the definition's name of a kind, or ""."""
        return self._names.get((group, version, kind), "")

    def __getitem__(self, name: str) -> Node:
        node = self._nodes.get(name)
        if node is None:
            node = self._nodes[name] = self._named(name, self.raw[name])
        return node

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def _named(self, name: str, schema: Mapping[str, Any]) -> Node:
        description = schema.get("description", "")
        package, _, bare = name.rpartition(".")
        go = f"{package.rpartition('.')[2]}.{bare}"
        if name in _SCALARS:
            scalar, go = _SCALARS[name]
            return Node("scalar", scalar=scalar, go=go, definition=name, description=description)
        if name in _UNTYPED:
            return Node("untyped", preserve_unknown=True, go=go, definition=name, description=description)
        if name in _EITHER:
            return Node(
                "untyped",
                preserve_unknown=True,
                either=_EITHER[name],
                items=lambda: self[_CRD + "JSONSchemaProps"],
                go=go,
                definition=name,
                description=description,
            )
        return Node(
            "struct",
            fields=_once(lambda: self._fields(bare, schema.get("properties", {}))),
            map_type=schema.get("x-kubernetes-map-type", "granular"),
            required=frozenset(schema.get("required", ())),
            go=go,
            struct=bare,
            definition=name,
            description=description,
        )

    def _fields(self, struct: str, properties: Mapping[str, Any]) -> Mapping[str, Node]:
        return {key: self._property(struct, key, schema) for key, schema in properties.items()}

    def _property(self, struct: str, key: str, schema: Mapping[str, Any]) -> Node:
        strategy = frozenset(filter(None, schema.get("x-kubernetes-patch-strategy", "").split(",")))
        merge_key = schema.get("x-kubernetes-patch-merge-key", "")
        description = schema.get("description", "")
        if "$ref" in schema:
            node = self[schema["$ref"].rpartition("/")[2]]
            return Node(
                node.type,
                fields=node.lazy_fields,
                items=node.lazy_items,
                scalar=node.scalar,
                map_type=schema.get("x-kubernetes-map-type", node.map_type),
                merge_key=merge_key,
                merge_strategy=strategy,
                required=node.required,
                preserve_unknown=node.preserve_unknown,
                go=node.go,
                struct=node.struct,
                either=node.either,
                definition=node.definition,
                description=description,
            )
        kinds = schema["type"]
        kind = kinds if isinstance(kinds, str) else kinds[0]
        if kind == "array":
            items = _once(lambda: self._property(struct, key, schema["items"]))
            keys = tuple(schema.get("x-kubernetes-list-map-keys", ()))
            return Node(
                "list",
                items=items,
                list_type=schema.get("x-kubernetes-list-type", "atomic"),
                keys=keys,
                key_defaults={"protocol": "TCP"} if "protocol" in keys else {},
                merge_key=merge_key,
                merge_strategy=strategy,
                go=f"[]{items().go}",
                description=description,
            )
        if kind == "object":
            values = _once(
                lambda: (
                    self._property(struct, key, schema["additionalProperties"])
                    if "additionalProperties" in schema
                    else untyped
                )
            )
            go = "v1.ResourceList" if values().scalar == "quantity" else f"map[string]{values().go}"
            return Node(
                "map",
                items=values,
                map_type=schema.get("x-kubernetes-map-type", "granular"),
                go=go,
                description=description,
            )
        scalar, go = _scalar(kind, schema.get("format", ""))
        return Node(
            "scalar", scalar=scalar, go=_NAMED_STRINGS.get((struct, key), go), description=description
        )


def _scalar(kind: str, form: str) -> tuple[Scalar, str]:
    if kind == "integer":
        return ("int64", "int64") if form == "int64" else ("int32", "int32")
    if kind == "number":
        return "float", "float64"
    if kind == "boolean":
        return "bool", "bool"
    return ("bytes", "[]uint8") if form == "byte" else ("string", "string")


def _once(make: Callable[[], T]) -> Callable[[], T]:
    made: list[T] = []

    def get() -> T:
        if not made:
            made.append(make())
        return made[0]

    return get
