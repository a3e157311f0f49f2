"""Writes src/fairlead/dialects/kustomize/mergekeys.py: which lists of Kubernetes' own kinds merge, by which keys.

Facts are read from the definitions that the control plane uses. Two things are told here, because kustomize's own table is of an older
Kubernetes: versions that it still knows and these definitions no longer have, and fields of a later date whose lists it replaces.
`python tools/make_merge_keys.py > src/fairlead/dialects/kustomize/mergekeys.py`
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from fairlead.drivers import definitions
from fairlead.keep.kinds import BUILT_IN

LATER = {
    "matchConditions",
    "variables",
    "resourceClaims",
    "schedulingGates",
    "allocatedResourcesStatus",
    "hostIPs",
    "resourceClaimStatuses",
    "reservedFor",
    "x-kubernetes-validations",
}
"""Lists that merge in these definitions and are replaced by kustomize."""

LATER_OF = {("EphemeralContainer", "ports"), ("ContainerStatus", "volumeMounts")}

EARLIER = (
    "admissionregistration.k8s.io/v1beta1/MutatingWebhookConfiguration",
    "admissionregistration.k8s.io/v1beta1/ValidatingWebhookConfiguration",
    "apiextensions.k8s.io/v1beta1/CustomResourceDefinition",
    "apiregistration.k8s.io/v1beta1/APIService",
    "autoscaling/v2beta1/HorizontalPodAutoscaler",
    "autoscaling/v2beta2/HorizontalPodAutoscaler",
    "batch/v1beta1/CronJob",
    "certificates.k8s.io/v1beta1/CertificateSigningRequest",
    "coordination.k8s.io/v1beta1/Lease",
    "discovery.k8s.io/v1beta1/EndpointSlice",
    "events.k8s.io/v1beta1/Event",
    "extensions/v1beta1/Ingress",
    "networking.k8s.io/v1beta1/Ingress",
    "networking.k8s.io/v1beta1/IngressClass",
    "node.k8s.io/v1beta1/RuntimeClass",
    "policy/v1beta1/PodDisruptionBudget",
    "policy/v1beta1/PodSecurityPolicy",
    "rbac.authorization.k8s.io/v1beta1/ClusterRole",
    "rbac.authorization.k8s.io/v1beta1/ClusterRoleBinding",
    "rbac.authorization.k8s.io/v1beta1/Role",
    "rbac.authorization.k8s.io/v1beta1/RoleBinding",
    "scheduling.k8s.io/v1beta1/PriorityClass",
    "storage.k8s.io/v1beta1/CSIDriver",
    "storage.k8s.io/v1beta1/CSINode",
    "storage.k8s.io/v1beta1/StorageClass",
    "storage.k8s.io/v1beta1/VolumeAttachment",
)
"""Versions that kustomize knows; each is like the version of its kind that these definitions have, or has metadata alone."""

UNKNOWN = ("admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy", "autoscaling/v2/")

ALONE = "MetadataAlone"
META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


class Tables:
    """The types on the way to lists that merge, by short names that are unique."""

    def __init__(self, found: dict[str, Any]) -> None:
        self.definitions = found
        self.types: dict[str, dict[str, tuple[tuple[str, ...] | None, str]]] = {}
        self.names: dict[str, str] = {}
        self.types[ALONE] = {"metadata": (None, self.type(META))}

    def type(self, name: str) -> str:
        """Return the short name of a definition's type; "" where no list below it merges."""
        if name in self.names:
            return self.names[name]
        self.names[name] = ""  # a type within itself
        fields = {}
        short = name.rpartition(".")[2]
        for field, schema in sorted(self.definitions[name].get("properties", {}).items()):
            found = self._field(short, field, schema)
            if found is not None:
                fields[field] = found
        if not fields:
            return ""
        if short in self.types:
            short = ".".join(name.split(".")[-2:])
        self.types[short] = fields
        self.names[name] = short
        return short

    def _field(
        self, owner: str, field: str, schema: dict[str, Any]
    ) -> tuple[tuple[str, ...] | None, str] | None:
        items = schema.get("items") or {}
        below = _reference(items) or _reference(schema)
        inner = self.type(below) if below else ""
        merges = "merge" in schema.get("x-kubernetes-patch-strategy", "").split(",") and items
        if merges and field not in LATER and (owner, field) not in LATER_OF:
            keys = schema.get("x-kubernetes-list-map-keys") or [schema.get("x-kubernetes-patch-merge-key")]
            return tuple(key for key in keys if key), inner
        return (None, inner) if inner else None


def _reference(schema: dict[str, Any]) -> str:
    found: str = schema.get("$ref", "")
    for one in schema.get("allOf", ()):
        found = found or one.get("$ref", "")
    return found.rpartition("/")[2]


def text() -> str:
    """Return the module."""
    tables = Tables(definitions.load())
    kinds = {}
    for name, schema in sorted(tables.definitions.items()):
        for names in schema.get("x-kubernetes-group-version-kind", ()):
            path = "/".join(
                part for part in (names.get("group", ""), names["version"], names["kind"]) if part
            )
            if "metadata" in schema.get("properties", {}) and not names["kind"].endswith("List"):
                kinds[path] = tables.type(name)
    kinds = {path: found for path, found in kinds.items() if not path.startswith(UNKNOWN)}
    for path in EARLIER:
        group, _, kind = path.split("/")
        kinds[path] = kinds.get(f"{group}/v1/{kind}", ALONE)
    cluster = {kind.api_version + "/" + kind.kind for kind in BUILT_IN if not kind.namespaced}
    cluster |= {path for path in EARLIER if f"{path.split('/')[0]}/v1/{path.split('/')[2]}" in cluster}
    cluster |= {"policy/v1beta1/PodSecurityPolicy", "v1/ComponentStatus"}
    lines = [
        '"""Which lists of Kubernetes\' own kinds merge, by which keys, and which kinds have no namespace.',
        "",
        "Made by `python tools/make_merge_keys.py`; a test keeps it up to date. Decides nothing.",
        '"""',
        "",
        "# fmt: off",
        "",
        "TYPES: dict[str, dict[str, tuple[tuple[str, ...] | None, str]]] = {",
        *(f"    {_shown(name)}: {_shown(fields)}," for name, fields in sorted(tables.types.items())),
        "}",
        '"""By type and field: the keys of a list that merges (none: it holds scalars), None for what is no such list; and the type below."""',
        "",
        "DEFINITIONS: dict[str, str] = {",
        *(f"    {_shown(name)}: {_shown(found)}," for name, found in sorted(tables.names.items()) if found),
        "}",
        '"""The type of each OpenAPI definition."""',
        "",
        "KINDS: dict[str, str] = {",
        *(f"    {_shown(path)}: {_shown(found)}," for path, found in sorted(kinds.items())),
        "}",
        '"""The type of each kind, by `group/version/Kind`."""',
        "",
        "CLUSTER: frozenset[str] = frozenset({",
        *(f"    {_shown(path)}," for path in sorted(cluster)),
        "})",
        '"""The kinds that have no namespace, by `group/version/Kind`."""',
    ]
    return "\n".join(lines) + "\n"


def _shown(value: Any) -> str:
    return repr(value).replace("'", '"')


if __name__ == "__main__":
    print(text(), end="")
