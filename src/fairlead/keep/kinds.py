"""Which kinds of object the API serves: their names, scope, verbs and subresources, as in Kubernetes 1.32.

A table and a mutable catalogue over it. Nothing here knows what an object of a kind looks like.
Source: Kubernetes 1.32, api/discovery.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

ALL_VERBS = frozenset({"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"})
_CREATE = frozenset({"create"})
_CHANGE = frozenset({"get", "patch", "update"})
_VERSION = re.compile(r"v([1-9]\d*)(?:(alpha|beta)([1-9]\d*))?", re.ASCII)
_STORED_ELSEWHERE = {("events.k8s.io", "events"): ("", "events")}


def version_order(version: str) -> tuple[Any, ...]:
    """Return a key that sorts versions as Kubernetes prefers them: v2, v1, v1beta1, v1alpha1, then others by name."""
    found = _VERSION.fullmatch(version)
    if found is None:
        return (1, version)
    major, stage, minor = found.groups()
    return (0, {None: 0, "beta": 1, "alpha": 2}[stage], -int(major), -int(minor or 0))


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind in one version, as it is served.

    `group` is "" for the core group. `subresources` are names such as "status"; see `subresource` for what each one
    speaks. `verbs` are those of discovery.
    """

    group: str
    version: str
    kind: str
    plural: str
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    namespaced: bool = True
    verbs: frozenset[str] = ALL_VERBS
    subresources: frozenset[str] = frozenset()
    list_kind: str = ""

    def __post_init__(self) -> None:
        if not self.singular:
            object.__setattr__(self, "singular", self.kind.lower())
        if not self.list_kind:
            object.__setattr__(self, "list_kind", f"{self.kind}List")

    @property
    def api_version(self) -> str:
        """`apps/v1`, or `v1` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def storage(self) -> tuple[str, str]:
        """(group, plural) under which objects are kept: one identity over versions and over moved groups."""
        key = (self.group, self.plural)
        return _STORED_ELSEWHERE.get(key, key)

    @property
    def stored(self) -> bool:
        """Whether there are objects of this kind at all; reviews and bindings are only ever requests."""
        return "get" in self.verbs


@dataclass(frozen=True, slots=True)
class Subresource:
    """What a subresource speaks: the group, version and kind of its body, and its verbs.

    `described` says whether discovery names the group and version; it does so only where they are not the parent's.
    """

    name: str
    group: str
    version: str
    kind: str
    verbs: frozenset[str]
    described: bool = False


_FOREIGN: dict[tuple[str, str, str], tuple[str, str, str, frozenset[str]]] = {
    ("", "namespaces", "finalize"): ("", "", "Namespace", frozenset({"update"})),
    ("", "nodes", "proxy"): ("", "", "NodeProxyOptions", frozenset()),
    ("", "pods", "attach"): ("", "", "PodAttachOptions", frozenset({"create", "get"})),
    ("", "pods", "binding"): ("", "", "Binding", _CREATE),
    ("", "pods", "ephemeralcontainers"): ("", "", "Pod", _CHANGE),
    ("", "pods", "eviction"): ("policy", "v1", "Eviction", _CREATE),
    ("", "pods", "exec"): ("", "", "PodExecOptions", frozenset({"create", "get"})),
    ("", "pods", "log"): ("", "", "Pod", frozenset({"get"})),
    ("", "pods", "portforward"): ("", "", "PodPortForwardOptions", frozenset({"create", "get"})),
    ("", "pods", "proxy"): ("", "", "PodProxyOptions", frozenset()),
    ("", "serviceaccounts", "token"): ("authentication.k8s.io", "v1", "TokenRequest", _CREATE),
    ("", "services", "proxy"): ("", "", "ServiceProxyOptions", frozenset()),
    ("certificates.k8s.io", "certificatesigningrequests", "approval"): (
        "",
        "",
        "CertificateSigningRequest",
        _CHANGE,
    ),
}
_PROXY = frozenset({"create", "delete", "get", "patch", "update"})


def subresource(kind: Kind, name: str) -> Subresource:
    """Return what the named subresource of the kind speaks. The kind must list the name."""
    if name == "scale":
        return Subresource(name, "autoscaling", "v1", "Scale", _CHANGE, described=True)
    group, version, body, verbs = _FOREIGN.get((kind.group, kind.plural, name), ("", "", kind.kind, _CHANGE))
    if name == "proxy":
        verbs = _PROXY
    if version:
        return Subresource(name, group, version, body, verbs, described=True)
    return Subresource(name, kind.group, kind.version, body, verbs)


def _group(group: str, version: str, *rows: Kind) -> list[Kind]:
    return [
        Kind(
            group,
            version,
            row.kind,
            row.plural,
            row.singular,
            row.short_names,
            row.categories,
            row.namespaced,
            row.verbs,
            row.subresources,
            row.list_kind,
        )
        for row in rows
    ]


def _row(
    kind: str,
    plural: str,
    short: str = "",
    *,
    sub: str = "",
    category: str = "",
    cluster: bool = False,
    verbs: frozenset[str] = ALL_VERBS,
) -> Kind:
    return Kind(
        group="",
        version="",
        kind=kind,
        plural=plural,
        short_names=tuple(short.split()),
        categories=tuple(category.split()),
        namespaced=not cluster,
        verbs=verbs,
        subresources=frozenset(sub.split()),
    )


_MUTATING_POLICIES = (
    _row("MutatingAdmissionPolicy", "mutatingadmissionpolicies", cluster=True, category="api-extensions"),
    _row(
        "MutatingAdmissionPolicyBinding",
        "mutatingadmissionpolicybindings",
        cluster=True,
        category="api-extensions",
    ),
)
"""Served in the versions of all releases that have them: 1.32 has the first."""

BUILT_IN: tuple[Kind, ...] = (
    *_group(
        "",
        "v1",
        _row("Binding", "bindings", verbs=_CREATE),
        _row(
            "ComponentStatus",
            "componentstatuses",
            "cs",
            cluster=True,
            verbs=frozenset({"get", "list"}),
        ),
        _row("ConfigMap", "configmaps", "cm"),
        _row("Endpoints", "endpoints", "ep"),
        _row("Event", "events", "ev"),
        _row("LimitRange", "limitranges", "limits"),
        _row(
            "Namespace",
            "namespaces",
            "ns",
            cluster=True,
            sub="finalize status",
            verbs=ALL_VERBS - {"deletecollection"},
        ),
        _row("Node", "nodes", "no", cluster=True, sub="proxy status"),
        _row("PersistentVolumeClaim", "persistentvolumeclaims", "pvc", sub="status"),
        _row("PersistentVolume", "persistentvolumes", "pv", cluster=True, sub="status"),
        _row(
            "Pod",
            "pods",
            "po",
            category="all",
            sub="attach binding ephemeralcontainers eviction exec log portforward proxy status",
        ),
        _row("PodTemplate", "podtemplates"),
        _row("ReplicationController", "replicationcontrollers", "rc", category="all", sub="scale status"),
        _row("ResourceQuota", "resourcequotas", "quota", sub="status"),
        _row("Secret", "secrets"),
        _row("ServiceAccount", "serviceaccounts", "sa", sub="token"),
        _row("Service", "services", "svc", category="all", sub="proxy status"),
    ),
    *_group(
        "apiregistration.k8s.io",
        "v1",
        _row("APIService", "apiservices", cluster=True, category="api-extensions", sub="status"),
    ),
    *_group(
        "apps",
        "v1",
        _row("ControllerRevision", "controllerrevisions"),
        _row("DaemonSet", "daemonsets", "ds", category="all", sub="status"),
        _row("Deployment", "deployments", "deploy", category="all", sub="scale status"),
        _row("ReplicaSet", "replicasets", "rs", category="all", sub="scale status"),
        _row("StatefulSet", "statefulsets", "sts", category="all", sub="scale status"),
    ),
    *_group("events.k8s.io", "v1", _row("Event", "events", "ev")),
    *_group(
        "authentication.k8s.io",
        "v1",
        _row("SelfSubjectReview", "selfsubjectreviews", cluster=True, verbs=_CREATE),
        _row("TokenReview", "tokenreviews", cluster=True, verbs=_CREATE),
    ),
    *_group(
        "authorization.k8s.io",
        "v1",
        _row("LocalSubjectAccessReview", "localsubjectaccessreviews", verbs=_CREATE),
        _row("SelfSubjectAccessReview", "selfsubjectaccessreviews", cluster=True, verbs=_CREATE),
        _row("SelfSubjectRulesReview", "selfsubjectrulesreviews", cluster=True, verbs=_CREATE),
        _row("SubjectAccessReview", "subjectaccessreviews", cluster=True, verbs=_CREATE),
    ),
    *_group(
        "autoscaling",
        "v2",
        _row(
            "HorizontalPodAutoscaler",
            "horizontalpodautoscalers",
            "hpa",
            category="all",
            sub="status",
        ),
    ),
    *_group(
        "autoscaling",
        "v1",
        _row(
            "HorizontalPodAutoscaler",
            "horizontalpodautoscalers",
            "hpa",
            category="all",
            sub="status",
        ),
    ),
    *_group(
        "batch",
        "v1",
        _row("CronJob", "cronjobs", "cj", category="all", sub="status"),
        _row("Job", "jobs", category="all", sub="status"),
    ),
    *_group(
        "certificates.k8s.io",
        "v1",
        _row(
            "CertificateSigningRequest",
            "certificatesigningrequests",
            "csr",
            cluster=True,
            sub="approval status",
        ),
    ),
    *_group(
        "networking.k8s.io",
        "v1",
        _row("IngressClass", "ingressclasses", cluster=True),
        _row("Ingress", "ingresses", "ing", sub="status"),
        _row("NetworkPolicy", "networkpolicies", "netpol"),
    ),
    *_group(
        "policy",
        "v1",
        _row("PodDisruptionBudget", "poddisruptionbudgets", "pdb", sub="status"),
    ),
    *_group(
        "rbac.authorization.k8s.io",
        "v1",
        _row("ClusterRoleBinding", "clusterrolebindings", cluster=True),
        _row("ClusterRole", "clusterroles", cluster=True),
        _row("RoleBinding", "rolebindings"),
        _row("Role", "roles"),
    ),
    *_group(
        "storage.k8s.io",
        "v1",
        _row("CSIDriver", "csidrivers", cluster=True),
        _row("CSINode", "csinodes", cluster=True),
        _row("CSIStorageCapacity", "csistoragecapacities"),
        _row("StorageClass", "storageclasses", "sc", cluster=True),
        _row("VolumeAttachment", "volumeattachments", cluster=True, sub="status"),
    ),
    *_group(
        "admissionregistration.k8s.io",
        "v1",
        _row(
            "MutatingWebhookConfiguration",
            "mutatingwebhookconfigurations",
            cluster=True,
            category="api-extensions",
        ),
        _row(
            "ValidatingAdmissionPolicy",
            "validatingadmissionpolicies",
            cluster=True,
            category="api-extensions",
            sub="status",
        ),
        _row(
            "ValidatingAdmissionPolicyBinding",
            "validatingadmissionpolicybindings",
            cluster=True,
            category="api-extensions",
        ),
        _row(
            "ValidatingWebhookConfiguration",
            "validatingwebhookconfigurations",
            cluster=True,
            category="api-extensions",
        ),
    ),
    *(
        kind
        for version in ("v1", "v1beta1", "v1alpha1")
        for kind in _group("admissionregistration.k8s.io", version, *_MUTATING_POLICIES)
    ),
    *_group(
        "apiextensions.k8s.io",
        "v1",
        _row(
            "CustomResourceDefinition",
            "customresourcedefinitions",
            "crd crds",
            cluster=True,
            category="api-extensions",
            sub="status",
        ),
    ),
    *_group("scheduling.k8s.io", "v1", _row("PriorityClass", "priorityclasses", "pc", cluster=True)),
    *_group("coordination.k8s.io", "v1", _row("Lease", "leases")),
    *_group("node.k8s.io", "v1", _row("RuntimeClass", "runtimeclasses", cluster=True)),
    *_group("discovery.k8s.io", "v1", _row("EndpointSlice", "endpointslices")),
    *_group(
        "flowcontrol.apiserver.k8s.io",
        "v1",
        _row("FlowSchema", "flowschemas", cluster=True, sub="status"),
        _row("PriorityLevelConfiguration", "prioritylevelconfigurations", cluster=True, sub="status"),
    ),
)
"""Kubernetes' own kinds, groups in the order of their discovery, the preferred version of a group first."""


class Catalogue:
    """The kinds served at this moment. Starts with the built-in ones; definitions of custom resources add theirs."""

    def __init__(self, kinds: Iterable[Kind] = BUILT_IN) -> None:
        self._served: dict[tuple[str, str, str], Kind] = {}
        self._kinds: dict[tuple[str, str], list[Kind]] = {}
        self.generation = 0
        self.add(*kinds)

    def served(self, group: str, version: str, plural: str) -> Kind | None:
        """Return the kind at /apis/group/version/plural, or None."""
        return self._served.get((group, version, plural))

    def kind(self, group: str, kind: str, version: str = "") -> Kind | None:
        """Return the kind by its name; without a version, in the preferred one."""
        versions = self._kinds.get((group, kind), ())
        for candidate in versions:
            if not version or candidate.version == version:
                return candidate
        return None

    def all(self) -> Sequence[Kind]:
        """Return every kind in every served version, in the order they were added."""
        return tuple(self._served.values())

    def add(self, *kinds: Kind) -> None:
        """Serve these too; one already served at the same place is replaced."""
        for kind in kinds:
            self.remove(kind)
            self._served[kind.group, kind.version, kind.plural] = kind
            versions = self._kinds.setdefault((kind.group, kind.kind), [])
            versions.append(kind)
            versions.sort(key=lambda one: version_order(one.version))
        self.generation += 1

    def remove(self, *kinds: Kind) -> None:
        """Stop serving these; those not served are ignored."""
        for kind in kinds:
            served = self._served.pop((kind.group, kind.version, kind.plural), None)
            if served is not None:
                versions = self._kinds[served.group, served.kind]
                versions.remove(served)
                if not versions:
                    del self._kinds[served.group, served.kind]
        self.generation += 1

    def copy(self) -> Catalogue:
        """Return an independent catalogue of the same kinds."""
        return Catalogue(self._served.values())
