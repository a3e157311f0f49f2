"""What to apply so that a cluster runs the webhook server, or the background audit: objects out. Reads and writes nothing.

Least rights: policies are read, of everything else only what is named or what the given policies look up; one Secret and two webhook
configurations are the server's own. The configurations come last, and spare the namespaces that a cluster lives by.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fairlead.dialects import policyreport
from fairlead.reactor.exempting import (
    NEVER_KINDS,
    ON_BEHALF,
    OWN_DIALECTS,
    PLATFORM_GROUPS,
    PLATFORM_USERS,
    SYSTEM_NAMESPACES,
    exempting_groups,
)
from fairlead.reactor.policies import GROUPS
from fairlead.reactor.policing_kinds import KINDS, definition
from fairlead.words import Resource

NAME = "fairlead-admission"
PORT = 8443
DRAIN = 10
"""Seconds that a pod goes on serving after it was told to stop."""

AUDIT = "fairlead-audit"

_CORE: dict[str, str] = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/part-of": "fairlead"}
_RBAC = "rbac.authorization.k8s.io/v1"
_KEPT = ("list", "watch")
_LOOKED_UP = ("get", *_KEPT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """How it is to be installed. `looked_up` are (group, plural) that policies look up, with "*" for all of a group."""

    image: str
    namespace: str = "fairlead-system"
    replicas: int = 2
    looked_up: Sequence[tuple[str, str]] = ()


def manifests(wishes: Wishes) -> list[Resource]:
    """Return the objects in the order in which they are to be applied."""
    space = wishes.namespace
    return [
        _namespace(space),
        _object("v1", "ServiceAccount", space, automountServiceAccountToken=False),
        _object(_RBAC, "ClusterRole", "", rules=_rules(wishes.looked_up)),
        _object(_RBAC, "ClusterRoleBinding", "", **_bound("ClusterRole", space)),
        _object(_RBAC, "Role", space, rules=_own_rules()),
        _object(_RBAC, "RoleBinding", space, **_bound("Role", space)),
        _object(
            "v1",
            "Service",
            space,
            spec={
                "selector": dict(_CORE),
                "ports": [{"name": "https", "port": 443, "targetPort": "https", "protocol": "TCP"}],
            },
        ),
        _object("apps/v1", "Deployment", space, spec=_deployment(wishes)),
        _object(
            "policy/v1",
            "PodDisruptionBudget",
            space,
            spec={"maxUnavailable": 1, "selector": {"matchLabels": dict(_CORE)}},
        ),
        _configuration("MutatingWebhookConfiguration", "mutate", space),
        _configuration("ValidatingWebhookConfiguration", "validate", space),
    ]


def audit_manifests(wishes: Wishes, judged: Sequence[tuple[str, str]]) -> list[Resource]:
    """Return the objects of the background audit: one pod, and the definitions of its reports.

    `judged` are (group, plural) that it may read to judge them.
    """
    space, labels = wishes.namespace, {**_CORE, "app.kubernetes.io/name": AUDIT}
    pod = _pod(wishes)
    container = pod["containers"][0]
    container.update(name="audit", command=["fairlead", "serve", "audit", "--in-cluster"])
    for key in ("ports", "startupProbe", "livenessProbe", "readinessProbe"):
        del container[key]
    pod.update(serviceAccountName=AUDIT, terminationGracePeriodSeconds=30)
    for key in ("priorityClassName", "topologySpreadConstraints"):
        del pod[key]
    template = {"metadata": {"labels": dict(labels)}, "spec": pod}
    deployment = {
        "replicas": 1,  # two would write the same reports
        "selector": {"matchLabels": dict(labels)},
        "strategy": {"type": "Recreate"},
        "template": template,
    }
    reports = [definition(row) for row in KINDS if row.group == policyreport.GROUP]
    rules = [rule for rule in _rules([*wishes.looked_up, *judged]) if "resourceNames" not in rule]
    every = ["get", "list", "watch", "create", "update", "delete"]
    rules.append({"apiGroups": [policyreport.GROUP], "resources": ["*"], "verbs": every})
    own = [f"{how}admissionpolic{end}" for how in ("mutating", "validating") for end in ("ies", "ybindings")]
    rules.append({"apiGroups": ["admissionregistration.k8s.io"], "resources": own, "verbs": list(_KEPT)})
    constraints = {"apiGroups": ["constraints.gatekeeper.sh"], "resources": ["*"], "verbs": ["get"]}
    rules += [constraints, {**constraints, "resources": ["*/status"], "verbs": ["update"]}]
    return [
        *reports,
        _namespace(space),
        _object("v1", "ServiceAccount", space, AUDIT, automountServiceAccountToken=False),
        _object(_RBAC, "ClusterRole", "", AUDIT, rules=rules),
        _object(_RBAC, "ClusterRoleBinding", "", AUDIT, **_bound("ClusterRole", space, AUDIT)),
        _object("apps/v1", "Deployment", space, AUDIT, spec=deployment),
    ]


def _object(api_version: str, kind: str, namespace: str, name: str = NAME, **parts: Any) -> Resource:
    labels = {**_CORE, "app.kubernetes.io/name": name}
    meta: dict[str, Any] = {"name": name, "labels": labels}
    if namespace:
        meta = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, **parts}


def _namespace(name: str) -> Resource:
    levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/part-of": "fairlead", **levels}},
    }


def _rules(looked_up: Iterable[tuple[str, str]]) -> list[Resource]:
    policies = sorted(group for group, dialect in GROUPS.items() if dialect not in OWN_DIALECTS)
    by_group: dict[str, set[str]] = {
        "": {"namespaces"},
        "apiextensions.k8s.io": {"customresourcedefinitions"},
        "rbac.authorization.k8s.io": {"rolebindings", "clusterrolebindings"},
    }
    for group, plural in looked_up:
        by_group.setdefault(group, set()).add(plural)
    rules: list[Resource] = [{"apiGroups": policies, "resources": ["*"], "verbs": list(_KEPT)}]
    rules += [
        {"apiGroups": [group], "resources": sorted(plurals), "verbs": list(_LOOKED_UP)}
        for group, plurals in sorted(by_group.items())
    ]
    rules.append(
        {"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]}
    )
    rules.append(
        {
            "apiGroups": ["admissionregistration.k8s.io"],
            "resources": ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"],
            "resourceNames": [NAME],
            "verbs": ["get", "patch"],
        }
    )
    return rules


def _own_rules() -> list[Resource]:
    """Return the rights in the own namespace: one Secret. Creating cannot be narrowed to a name."""
    return [
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
        {
            "apiGroups": [""],
            "resources": ["secrets"],
            "resourceNames": [f"{NAME}-tls"],
            "verbs": ["get", "update"],
        },
    ]


def _bound(kind: str, namespace: str, name: str = NAME) -> dict[str, Any]:
    return {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
    }


def _deployment(wishes: Wishes) -> dict[str, Any]:
    return {
        "replicas": wishes.replicas,
        "selector": {"matchLabels": dict(_CORE)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": {"metadata": {"labels": dict(_CORE)}, "spec": _pod(wishes)},
    }


def _pod(wishes: Wishes) -> dict[str, Any]:
    command = ["fairlead", "serve", "admission", "--in-cluster", "--address", "0.0.0.0"]  # noqa: S104  the pod's own
    command += ["--port", str(PORT), "--drain", str(DRAIN)]

    def probe(path: str, period: int, failures: int) -> dict[str, Any]:
        get = {"path": path, "port": "https", "scheme": "HTTPS"}
        return {
            "httpGet": get,
            "periodSeconds": period,
            "failureThreshold": failures,
            "timeoutSeconds": 5,
        }

    return {
        "serviceAccountName": NAME,
        "automountServiceAccountToken": True,
        "priorityClassName": "system-cluster-critical",
        "terminationGracePeriodSeconds": DRAIN + 20,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": dict(_CORE)},
            }
        ],
        "containers": [
            {
                "name": "admission",
                "image": wishes.image,
                "command": command,
                "ports": [{"name": "https", "containerPort": PORT, "protocol": "TCP"}],
                "startupProbe": probe("/healthz", 2, 60),
                "livenessProbe": probe("/healthz", 10, 3),
                "readinessProbe": probe("/readyz", 5, 2),
                "resources": {
                    "requests": {"cpu": "100m", "memory": "192Mi"},
                    "limits": {"memory": "512Mi"},
                },
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "runAsNonRoot": True,
                    "capabilities": {"drop": ["ALL"]},
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108  a volume of its own
            }
        ],
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}}],
    }


def _configuration(kind: str, verb: str, namespace: str) -> Resource:
    """Return a webhook configuration. One of each kind is enough: whose failurePolicy is Ignore, the server itself passes over."""
    webhook: dict[str, Any] = {
        "name": f"{verb}.admission.fairlead.dev",
        "clientConfig": {
            "service": {"name": NAME, "namespace": namespace, "path": f"/{verb}", "port": 443},
        },
        "rules": [
            {
                "apiGroups": ["*"],
                "apiVersions": ["*"],
                "operations": ["CREATE", "UPDATE", "DELETE", "CONNECT"],
                "resources": ["*/*"],
                "scope": "*",
            }
        ],
        "namespaceSelector": {
            "matchExpressions": [
                {
                    "key": "kubernetes.io/metadata.name",
                    "operator": "NotIn",
                    "values": [*sorted(SYSTEM_NAMESPACES), namespace],
                }
            ]
        },
        "matchConditions": _conditions(namespace),
        "failurePolicy": "Fail",
        "matchPolicy": "Equivalent",
        "sideEffects": "None",
        "timeoutSeconds": 10,
        "admissionReviewVersions": ["v1"],
    }
    if verb == "mutate":
        webhook["rules"][0]["operations"] = ["CREATE", "UPDATE"]
        webhook["reinvocationPolicy"] = "IfNeeded"
    return _object("admissionregistration.k8s.io/v1", kind, "", webhooks=[webhook])


def _conditions(namespace: str) -> list[Resource]:
    """Return, in CEL, what the server would let pass in any case: nodes and controllers must not wait for it when it is away.

    The same as `reactor.exempting.exempt`.
    """
    resource = "(request.resource.group + '/' + request.resource.resource)"
    never, behalf = (
        json.dumps([f"{group}/{plural}" for group, plural in sorted(those)])
        for those in (NEVER_KINDS, ON_BEHALF)
    )
    groups = [*sorted(PLATFORM_GROUPS), _accounts(namespace)]
    member = (
        f"has(request.userInfo.groups) && request.userInfo.groups.exists(one, one in {json.dumps(groups)})"
    )
    named = (
        f"has(request.userInfo.username) && request.userInfo.username in {json.dumps(sorted(PLATFORM_USERS))}"
    )
    whole = "(!has(request.subResource) || request.subResource == '')"
    made = f"request.operation == 'CREATE' && {whole} && {resource} in {behalf}"
    return [
        {
            "name": "groups-that-are-judged",
            "expression": f"!(request.resource.group in {json.dumps(list(exempting_groups()))})",
        },
        {"name": "kinds-that-are-judged", "expression": f"!({resource} in {never})"},
        {"name": "users-that-are-judged", "expression": f"!(({member}) || ({named})) || ({made})"},
    ]


def _accounts(namespace: str) -> str:
    return f"system:serviceaccounts:{namespace}"


__all__ = ["AUDIT", "NAME", "PORT", "Wishes", "audit_manifests", "manifests"]
