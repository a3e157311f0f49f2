"""The cluster roles and bindings that every cluster starts with.

Data only; who may do what with them is `authorizing`'s to say.
Source: k8s.io/kubernetes plugin/pkg/auth/authorizer/rbac/bootstrappolicy, as `kubectl get clusterrole` shows it in 1.32. `fairlead.dev:sensor` and `fairlead.dev:platform` are our own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from fairlead.words import Resource

Rule: TypeAlias = dict[str, Any]

API = "rbac.authorization.k8s.io/v1"
_LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_AUTO = {"rbac.authorization.kubernetes.io/autoupdate": "true"}
_AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"
_READ = ["get", "list", "watch"]
_WRITE = ["create", "delete", "deletecollection", "patch", "update"]


def _rule(groups: str, resources: str, verbs: Sequence[str]) -> Rule:
    named = ["" if group == "core" else group for group in groups.split()]
    return {"apiGroups": named, "resources": resources.split(), "verbs": list(verbs)}


def _paths(*paths: str) -> Rule:
    return {"nonResourceURLs": list(paths), "verbs": ["get"]}


_VIEW: list[Rule] = [
    _rule(
        "core",
        "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers "
        "replicationcontrollers/scale serviceaccounts services services/status",
        _READ,
    ),
    _rule(
        "core",
        "bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status "
        "resourcequotas resourcequotas/status",
        _READ,
    ),
    _rule("core", "namespaces", _READ),
    _rule("discovery.k8s.io", "endpointslices", _READ),
    _rule(
        "apps",
        "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status "
        "replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
        _READ,
    ),
    _rule("autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status", _READ),
    _rule("batch", "cronjobs cronjobs/status jobs jobs/status", _READ),
    _rule("policy", "poddisruptionbudgets poddisruptionbudgets/status", _READ),
    _rule("networking.k8s.io", "ingresses ingresses/status networkpolicies", _READ),
]
_EDIT: list[Rule] = [
    _rule("core", "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy", _READ),
    _rule("core", "serviceaccounts", ["impersonate"]),
    _rule("core", "pods pods/attach pods/exec pods/portforward pods/proxy", _WRITE),
    _rule("core", "pods/eviction", ["create"]),
    _rule(
        "core",
        "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets "
        "serviceaccounts services services/proxy",
        _WRITE,
    ),
    _rule("core", "serviceaccounts/token", ["create"]),
    _rule(
        "apps",
        "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets "
        "statefulsets/scale",
        _WRITE,
    ),
    _rule("autoscaling", "horizontalpodautoscalers", _WRITE),
    _rule("batch", "cronjobs jobs", _WRITE),
    _rule("policy", "poddisruptionbudgets", _WRITE),
    _rule("networking.k8s.io", "ingresses networkpolicies", _WRITE),
    _rule("coordination.k8s.io", "leases", [*_WRITE, *_READ]),
]
_ADMIN: list[Rule] = [
    _rule("authorization.k8s.io", "localsubjectaccessreviews", ["create"]),
    _rule("rbac.authorization.k8s.io", "rolebindings roles", [*_WRITE, *_READ]),
]
_NODE: list[Rule] = [
    _rule("authentication.k8s.io", "tokenreviews", ["create"]),
    _rule("authorization.k8s.io", "localsubjectaccessreviews subjectaccessreviews", ["create"]),
    _rule("core", "services", _READ),
    _rule("core", "nodes", ["create", *_READ]),
    _rule("core", "nodes/status", ["patch", "update"]),
    _rule("core", "nodes", ["patch", "update"]),
    _rule("core", "events", ["create", "get", "patch", "update"]),
    _rule("core", "pods", _READ),
    _rule("core", "pods", ["create", "delete"]),
    _rule("core", "pods/status", ["patch", "update"]),
    _rule("core", "pods/eviction", ["create"]),
    _rule("core", "configmaps secrets", _READ),
    _rule("core", "persistentvolumeclaims persistentvolumes", ["get"]),
    _rule("core", "persistentvolumeclaims/status", ["get", "patch", "update"]),
    _rule("core", "endpoints", ["get"]),
    _rule("core", "serviceaccounts/token", ["create"]),
    _rule("certificates.k8s.io", "certificatesigningrequests", ["create", *_READ]),
    _rule("coordination.k8s.io", "leases", ["create", "delete", "get", "patch", "update"]),
    _rule("storage.k8s.io", "volumeattachments", ["get"]),
    _rule("storage.k8s.io", "csidrivers", _READ),
    _rule("storage.k8s.io", "csinodes", ["create", "delete", "get", "patch", "update"]),
    _rule("node.k8s.io", "runtimeclasses", _READ),
]
_SENSOR: list[Rule] = [
    _rule("core", "pods", _READ),
    _rule("fairlead.dev", "detections flightrecords", ["get", "list", "create", "update", "patch", "delete"]),
    _rule("cilium.io", "tracingpolicies tracingpoliciesnamespaced", _READ),
    _rule("cilium.io", "tracingpolicies/status tracingpoliciesnamespaced/status", ["update", "patch"]),
]
DIAGNOSING: list[Rule] = [
    _rule("fairlead.dev", "findings", ["get", "list", "watch", "create", "update", "patch", "delete"]),
    _rule("fairlead.dev", "suppressions healpolicies", _READ),
    _rule("fairlead.dev", "healpolicies/status", ["update", "patch"]),
    _rule("core", "events", ["create", "get", "patch", "update"]),
]
"""What continuous diagnosis writes."""
HEALING: list[Rule] = [
    _rule(
        "core",
        "configmaps limitranges persistentvolumeclaims pods replicationcontrollers resourcequotas serviceaccounts services",
        ["create", "update", "patch", "delete"],
    ),
    _rule("core", "nodes namespaces", ["patch"]),
    _rule("apps", "daemonsets deployments replicasets statefulsets", ["create", "update", "patch", "delete"]),
    _rule("batch", "cronjobs jobs", ["create", "update", "patch", "delete"]),
    _rule("autoscaling", "horizontalpodautoscalers", ["create", "update", "patch", "delete"]),
    _rule("networking.k8s.io", "ingresses networkpolicies", ["create", "update", "patch", "delete"]),
    _rule("policy", "poddisruptionbudgets", ["create", "update", "patch", "delete"]),
]
"""What fixes touch. Secrets, rights, webhooks and definitions are not among it: those are left to people."""
_PLATFORM: list[Rule] = [
    {"apiGroups": ["*"], "resources": ["*"], "verbs": list(_READ)},
    *DIAGNOSING,
    *HEALING,
]
_EVERYTHING: list[Rule] = [
    {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
    {"nonResourceURLs": ["*"], "verbs": ["*"]},
]
_ROLES: Mapping[str, list[Rule]] = {
    "cluster-admin": _EVERYTHING,
    "system:basic-user": [
        _rule("authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews", ["create"]),
        _rule("authentication.k8s.io", "selfsubjectreviews", ["create"]),
    ],
    "system:discovery": [
        _paths(
            "/api",
            "/api/*",
            "/apis",
            "/apis/*",
            "/healthz",
            "/livez",
            "/openapi",
            "/openapi/*",
            "/readyz",
            "/version",
            "/version/",
        )
    ],
    "system:public-info-viewer": [_paths("/healthz", "/livez", "/readyz", "/version", "/version/")],
    "system:monitoring": [
        _paths("/healthz", "/healthz/*", "/livez", "/livez/*", "/metrics", "/readyz", "/readyz/*")
    ],
    "system:auth-delegator": [
        _rule("authentication.k8s.io", "tokenreviews", ["create"]),
        _rule("authorization.k8s.io", "subjectaccessreviews", ["create"]),
    ],
    "system:service-account-issuer-discovery": [
        _paths("/.well-known/openid-configuration", "/openid/v1/jwks")
    ],
    "system:node": _NODE,
    "fairlead.dev:sensor": _SENSOR,
    "fairlead.dev:platform": _PLATFORM,
}
_AGGREGATED = (("view", (_VIEW,)), ("edit", (_EDIT, _VIEW)), ("admin", (_EDIT, _VIEW, _ADMIN)))
_OWN = {"view": _VIEW, "edit": _EDIT, "admin": _ADMIN}
_BINDINGS: Mapping[str, tuple[str, ...]] = {
    "cluster-admin": ("system:masters",),
    "system:basic-user": ("system:authenticated",),
    "system:discovery": ("system:authenticated",),
    "system:public-info-viewer": ("system:authenticated", "system:unauthenticated"),
    "system:monitoring": ("system:monitoring",),
    "system:service-account-issuer-discovery": ("system:serviceaccounts",),
    "fairlead.dev:sensor": ("fairlead.dev:sensors",),
    "fairlead.dev:platform": ("fairlead.dev:platforms",),
}


def cluster_roles() -> list[Resource]:
    """Return the ClusterRoles."""
    roles = [_role(name, rules) for name, rules in _ROLES.items()]
    for name, parts in _AGGREGATED:
        role = _role(name, [rule for part in parts for rule in part])
        role["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {f"{_AGGREGATE}{name}": "true"}}]}
        if name != "admin":
            wider = "edit" if name == "view" else "admin"
            role["metadata"]["labels"][f"{_AGGREGATE}{wider}"] = "true"
        roles.append(role)
        own = _role(f"system:aggregate-to-{name}", _OWN[name])
        own["metadata"]["labels"][f"{_AGGREGATE}{name}"] = "true"
        roles.append(own)
    return roles


def cluster_role_bindings() -> list[Resource]:
    """Return the ClusterRoleBindings."""
    return [
        {
            "apiVersion": API,
            "kind": "ClusterRoleBinding",
            "metadata": _meta(name),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [
                {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group} for group in groups
            ],
        }
        for name, groups in _BINDINGS.items()
    ]


def _role(name: str, rules: list[Rule]) -> Resource:
    copies = [{key: list(value) for key, value in rule.items()} for rule in rules]
    return {"apiVersion": API, "kind": "ClusterRole", "metadata": _meta(name), "rules": copies}


def _meta(name: str) -> dict[str, Any]:
    return {"name": name, "labels": dict(_LABELS), "annotations": dict(_AUTO)}
