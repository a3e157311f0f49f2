"""Where kustomize's transformers act when nobody says otherwise, and which fields name which objects.

Data and nothing else. Source: sigs.k8s.io/kustomize/api/internal/konfig/builtinpluginconsts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from fairlead.dialects.kustomize.fieldspecs import FieldSpec, Specs

_TEMPLATE: Final = "spec/template/spec"
_CRON: Final = "spec/jobTemplate/spec/template/spec"
_SPECS_OF_PODS: Final = (
    ("Pod", "spec", "v1"),
    ("PodTemplate", "template/spec", ""),
    ("Deployment", _TEMPLATE, ""),
    ("ReplicaSet", _TEMPLATE, ""),
    ("DaemonSet", _TEMPLATE, ""),
    ("StatefulSet", _TEMPLATE, ""),
    ("Job", _TEMPLATE, ""),
    ("CronJob", _CRON, ""),
)
_RUNNING: Final = (
    ("Pod", "spec"),
    ("StatefulSet", _TEMPLATE),
    ("Deployment", _TEMPLATE),
    ("ReplicationController", _TEMPLATE),
    ("CronJob", _CRON),
    ("Job", _TEMPLATE),
    ("DaemonSet", _TEMPLATE),
)
_RBAC: Final = "rbac.authorization.k8s.io"
_ADMISSION: Final = "admissionregistration.k8s.io"


def _in_pods(*paths: str) -> Iterator[FieldSpec]:
    for kind, spec, version in _SPECS_OF_PODS:
        for path in paths:
            yield FieldSpec(f"{spec}/{path}", "", version, kind)


def _of_pods(path: str) -> Iterator[FieldSpec]:
    for kind, spec in _RUNNING:
        yield FieldSpec(f"{spec}/{path}", "", "", kind)


def _at(
    kind: str, *paths: str, group: str = "", version: str = "", create: bool = False
) -> Iterator[FieldSpec]:
    for path in paths:
        yield FieldSpec(path, group, version, kind, create)


def _specs(*parts: Iterable[FieldSpec]) -> Specs:
    return tuple(spec for part in parts for spec in part)


NAMES: Final = _specs(_at("", "metadata/name"))

NAMESPACE: Final = _specs(
    _at("Namespace", "metadata/name", create=True),
    _at("APIService", "spec/service/namespace", group="apiregistration.k8s.io", create=True),
    _at(
        "CustomResourceDefinition",
        "spec/conversion/webhook/clientConfig/service/namespace",
        group="apiextensions.k8s.io",
    ),
)

VOLUME_CLAIM_LABELS: Final = _specs(
    _at("StatefulSet", "spec/volumeClaimTemplates[]/metadata/labels", group="apps", create=True)
)

TEMPLATE_LABELS: Final = _specs(
    _at("", "metadata/labels", create=True),
    _at("ReplicationController", "spec/template/metadata/labels", version="v1", create=True),
    _at("Deployment", "spec/template/metadata/labels", create=True),
    _at("ReplicaSet", "spec/template/metadata/labels", create=True),
    _at("DaemonSet", "spec/template/metadata/labels", create=True),
    _at("StatefulSet", "spec/template/metadata/labels", group="apps", create=True),
    _at("Job", "spec/template/metadata/labels", group="batch", create=True),
    _at("CronJob", "spec/jobTemplate/metadata/labels", group="batch", create=True),
    _at("CronJob", "spec/jobTemplate/spec/template/metadata/labels", group="batch", create=True),
)

_AFFINITIES: Final = tuple(
    f"{_TEMPLATE}/{path}/labelSelector/matchLabels"
    for path in (
        "affinity/podAffinity/preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm",
        "affinity/podAffinity/requiredDuringSchedulingIgnoredDuringExecution",
        "affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm",
        "affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution",
        "topologySpreadConstraints",
    )
)

COMMON_LABELS: Final = _specs(
    _at("Service", "spec/selector", version="v1", create=True),
    _at("ReplicationController", "spec/selector", version="v1", create=True),
    _at("Deployment", "spec/selector/matchLabels", create=True),
    _at("Deployment", *_AFFINITIES, group="apps"),
    _at("ReplicaSet", "spec/selector/matchLabels", create=True),
    _at("DaemonSet", "spec/selector/matchLabels", create=True),
    _at("StatefulSet", "spec/selector/matchLabels", group="apps", create=True),
    _at("StatefulSet", *_AFFINITIES, group="apps"),
    _at("Job", "spec/selector/matchLabels", group="batch"),
    _at("CronJob", "spec/jobTemplate/spec/selector/matchLabels", group="batch"),
    _at("PodDisruptionBudget", "spec/selector/matchLabels", group="policy"),
    _at(
        "NetworkPolicy",
        "spec/podSelector/matchLabels",
        "spec/ingress/from/podSelector/matchLabels",
        "spec/egress/to/podSelector/matchLabels",
        group="networking.k8s.io",
    ),
    TEMPLATE_LABELS,
    VOLUME_CLAIM_LABELS,
)

ANNOTATIONS: Final = _specs(
    _at("", "metadata/annotations", create=True),
    _at("ReplicationController", "spec/template/metadata/annotations", version="v1", create=True),
    _at("Deployment", "spec/template/metadata/annotations", create=True),
    _at("ReplicaSet", "spec/template/metadata/annotations", create=True),
    _at("DaemonSet", "spec/template/metadata/annotations", create=True),
    _at("StatefulSet", "spec/template/metadata/annotations", create=True),
    _at("Job", "spec/template/metadata/annotations", group="batch", create=True),
    _at(
        "CronJob",
        "spec/jobTemplate/metadata/annotations",
        "spec/jobTemplate/spec/template/metadata/annotations",
        group="batch",
        create=True,
    ),
)

IMAGES: Final = _specs(
    _at(
        "",
        "spec/containers[]/image",
        "spec/initContainers[]/image",
        "spec/volumes[]/image/reference",
        "spec/template/spec/containers[]/image",
        "spec/template/spec/initContainers[]/image",
        "spec/template/spec/volumes[]/image/reference",
        "spec/jobTemplate/spec/template/spec/volumes[]/image/reference",
        create=True,
    )
)

REPLICAS: Final = _specs(
    *(
        _at(kind, "spec/replicas", create=True)
        for kind in ("Deployment", "ReplicationController", "ReplicaSet", "StatefulSet")
    )
)

_IN_CONTAINERS: Final = tuple(
    f"{containers}/{path}"
    for containers in ("containers", "initContainers")
    for path in ("args", "command", "env/value", "volumeMounts/mountPath")
)


def _variables(kind: str, spec: str, *more: str) -> Iterator[FieldSpec]:
    return _at(kind, *(f"{spec}/{path}" for path in _IN_CONTAINERS), *more)


VARIABLES: Final = _specs(
    _variables("CronJob", _CRON, "spec/jobTemplate/spec/template/volumes/nfs/server"),
    _variables("DaemonSet", _TEMPLATE, f"{_TEMPLATE}/volumes/nfs/server"),
    _variables(
        "Deployment", _TEMPLATE, f"{_TEMPLATE}/volumes/nfs/server", "spec/template/metadata/annotations"
    ),
    _at("Ingress", "spec/rules/host", "spec/tls/hosts", "spec/tls/secretName"),
    _variables("Job", _TEMPLATE, f"{_TEMPLATE}/volumes/nfs/server"),
    _variables("Pod", "spec", "spec/volumes/nfs/server"),
    _variables("ReplicaSet", _TEMPLATE, f"{_TEMPLATE}/volumes/nfs/server"),
    _at("Service", "spec/ports/port", "spec/ports/targetPort"),
    _variables("StatefulSet", _TEMPLATE, "spec/volumeClaimTemplates/spec/nfs/server"),
    _at("PersistentVolume", "spec/nfs/server"),
    _at("", "metadata/labels", "metadata/annotations"),
)

_SCALED: Final = _specs(_at("HorizontalPodAutoscaler", "spec/scaleTargetRef/name"))

_CONFIG_MAPS: Final = _specs(
    _in_pods(
        "volumes/configMap/name",
        "containers/env/valueFrom/configMapKeyRef/name",
        "initContainers/env/valueFrom/configMapKeyRef/name",
        "containers/envFrom/configMapRef/name",
        "initContainers/envFrom/configMapRef/name",
        "volumes/projected/sources/configMap/name",
    ),
    _at("Node", "spec/configSource/configMap"),
    _at("Role", "rules/resourceNames"),
    _at("ClusterRole", "rules/resourceNames"),
    _at("Ingress", "metadata/annotations/nginx.ingress.kubernetes.io\\/fastcgi-params-configmap"),
)

_SECRETS: Final = _specs(
    _in_pods(
        "volumes/secret/secretName",
        "containers/env/valueFrom/secretKeyRef/name",
        "initContainers/env/valueFrom/secretKeyRef/name",
        "containers/envFrom/secretRef/name",
        "initContainers/envFrom/secretRef/name",
        "imagePullSecrets/name",
        "volumes/projected/sources/secret/name",
    ),
    _at(
        "Ingress",
        "spec/tls/secretName",
        "metadata/annotations/ingress.kubernetes.io\\/auth-secret",
        "metadata/annotations/nginx.ingress.kubernetes.io\\/auth-secret",
        "metadata/annotations/nginx.ingress.kubernetes.io\\/auth-tls-secret",
    ),
    _at("ServiceAccount", "imagePullSecrets/name"),
    _at(
        "StorageClass",
        "parameters/secretName",
        "parameters/adminSecretName",
        "parameters/userSecretName",
        "parameters/secretRef",
    ),
    _at("Role", "rules/resourceNames"),
    _at("ClusterRole", "rules/resourceNames"),
    _at(
        "Service",
        f"{_TEMPLATE}/containers/env/valueFrom/secretKeyRef/name",
        group="serving.knative.dev",
        version="v1",
    ),
    _at("PersistentVolume", "spec/azureFile/secretName"),
)

_SERVICES: Final = _specs(
    _at("StatefulSet", "spec/serviceName", group="apps"),
    _at(
        "Ingress",
        "spec/rules/http/paths/backend/serviceName",
        "spec/backend/serviceName",
        "spec/rules/http/paths/backend/service/name",
        "spec/defaultBackend/service/name",
    ),
    _at("APIService", "spec/service/name", group="apiregistration.k8s.io"),
    _at("ValidatingWebhookConfiguration", "webhooks/clientConfig/service", group=_ADMISSION),
    _at("MutatingWebhookConfiguration", "webhooks/clientConfig/service", group=_ADMISSION),
)

REFERENCES: Final[tuple[tuple[tuple[str, str, str], Specs], ...]] = (
    (("", "", "Deployment"), _SCALED),
    (("", "", "ReplicationController"), _SCALED),
    (("", "", "ReplicaSet"), _SCALED),
    (("", "", "StatefulSet"), _SCALED),
    (("", "v1", "ConfigMap"), _CONFIG_MAPS),
    (("", "v1", "Secret"), _SECRETS),
    (("", "v1", "Service"), _SERVICES),
    ((_RBAC, "", "Role"), _specs(_at("RoleBinding", "roleRef/name", group=_RBAC))),
    (
        (_RBAC, "", "ClusterRole"),
        _specs(*(_at(kind, "roleRef/name", group=_RBAC) for kind in ("RoleBinding", "ClusterRoleBinding"))),
    ),
    (
        ("", "v1", "ServiceAccount"),
        _specs(
            *(_at(kind, "subjects", group=_RBAC) for kind in ("RoleBinding", "ClusterRoleBinding")),
            _of_pods("serviceAccountName"),
        ),
    ),
    (("", "v1", "PersistentVolumeClaim"), _specs(_of_pods("volumes/persistentVolumeClaim/claimName"))),
    (
        ("", "v1", "PersistentVolume"),
        _specs(_at("PersistentVolumeClaim", "spec/volumeName"), _at("ClusterRole", "rules/resourceNames")),
    ),
    (
        ("storage.k8s.io", "v1", "StorageClass"),
        _specs(
            _at("PersistentVolume", "spec/storageClassName"),
            _at("PersistentVolumeClaim", "spec/storageClassName"),
            _at("StatefulSet", "spec/volumeClaimTemplates/spec/storageClassName"),
        ),
    ),
    (("scheduling.k8s.io", "v1", "PriorityClass"), _specs(_of_pods("priorityClassName"))),
    (("networking.k8s.io/v1", "v1", "IngressClass"), _specs(_at("Ingress", "spec/ingressClassName"))),
    (
        (_ADMISSION, "", "ValidatingAdmissionPolicy"),
        _specs(_at("ValidatingAdmissionPolicyBinding", "spec/policyName", group=_ADMISSION)),
    ),
)
"""What is named (group, version, kind; empty: any), and the fields that name it."""

FIRST: Final = (
    "Namespace",
    "ResourceQuota",
    "StorageClass",
    "CustomResourceDefinition",
    "ServiceAccount",
    "PodSecurityPolicy",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "ConfigMap",
    "Secret",
    "Endpoints",
    "Service",
    "LimitRange",
    "PriorityClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
)
"""Kinds that the order `legacy` puts first."""

LAST: Final = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
"""Kinds that the order `legacy` puts last."""
