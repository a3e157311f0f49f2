"""What to apply so that a cluster is diagnosed all the time, and healed where that is wanted: objects out. Reads and writes nothing.

Least rights: it reads the kinds that an examination looks at and writes findings and Events; what fixes are tried on is read only with `propose`, and
what they touch is written only with `allow_apply`. Kubernetes has no right to read a Secret's keys without its values: the values are compared,
kept in memory and hidden in whatever is quoted, and never written anywhere; without `secrets` nothing is concluded about them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from fairlead.keep.kinds import BUILT_IN
from fairlead.keep.roles import DIAGNOSING, HEALING
from fairlead.reactor.diagnosing_kinds import definitions
from fairlead.reactor.examine import KINDS, OPTIONAL
from fairlead.reactor.trial import kinds_to_copy
from fairlead.words import Resource

NAME: Final = "fairlead-heal"
RECEIVERS: Final = "/etc/fairlead/heal"
PORT: Final = 9090

_LABELS: dict[str, str] = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/part-of": "fairlead"}
_RBAC: Final = "rbac.authorization.k8s.io/v1"
_KEPT: Final = ("list", "watch")
_LOOKED_UP: Final = ("get", *_KEPT)
_PLURALS = {(one.api_version, one.kind): one.plural for one in BUILT_IN} | {
    ("metrics.k8s.io/v1beta1", "NodeMetrics"): "nodes",
    ("metrics.k8s.io/v1beta1", "PodMetrics"): "pods",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """How it is to be installed. `custom` are (group, plural) of custom resources that it may read, with "*" for all of a group.

    `receivers` is the name of a Secret whose key receivers.yaml says who is told. `propose` lets HealPolicies have fixes tried on copies,
    `allow_apply` lets them be carried out.
    """

    image: str
    namespace: str = "fairlead-system"
    replicas: int = 1
    custom: Sequence[tuple[str, str]] = ()
    secrets: bool = True
    receivers: str = ""
    propose: bool = False
    allow_apply: bool = False
    network_policy: bool = False
    cluster: str = ""


def manifests(wishes: Wishes) -> list[Resource]:
    """Return the objects in the order in which they are to be applied."""
    space = wishes.namespace
    objects = [
        *definitions(),
        _namespace(space),
        _object("v1", "ServiceAccount", space, automountServiceAccountToken=False),
        _object(_RBAC, "ClusterRole", "", rules=rights(wishes)),
        _object(_RBAC, "ClusterRoleBinding", "", **_bound("ClusterRole", space)),
        _object(_RBAC, "Role", space, rules=_own_rights()),
        _object(_RBAC, "RoleBinding", space, **_bound("Role", space)),
        _viewers(),
        _object("apps/v1", "Deployment", space, spec=_deployment(wishes)),
        _service(space),
    ]
    if wishes.replicas > 1:
        spec = {"maxUnavailable": 1, "selector": {"matchLabels": dict(_LABELS)}}
        objects.append(_object("policy/v1", "PodDisruptionBudget", space, spec=spec))
    if wishes.network_policy:
        objects.append(_network_policy(space))
    return [
        orjson.loads(orjson.dumps(one)) for one in objects
    ]  # so that nothing in YAML is an alias of something


def rights(wishes: Wishes) -> list[Resource]:
    """Return the rules of its ClusterRole."""
    kinds = [*KINDS, *OPTIONAL, *(kinds_to_copy() if wishes.propose or wishes.allow_apply else ())]
    readable: dict[str, set[str]] = {}
    for version, kind in kinds:
        readable.setdefault(version.rpartition("/")[0], set()).add(_plural(version, kind))
    for group, plural in wishes.custom:
        readable.setdefault(group, set()).add(plural)
    if not wishes.secrets:
        readable[""].discard("secrets")
    rules: list[Resource] = [
        {
            "apiGroups": [group],
            "resources": ["*"] if "*" in plurals else sorted(plurals),
            "verbs": list(_LOOKED_UP),
        }
        for group, plurals in sorted(readable.items())
        if plurals
    ]
    rules.append({"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]})
    rules += [dict(rule) for rule in DIAGNOSING]
    if wishes.allow_apply:
        rules += [dict(rule) for rule in HEALING]
    return rules


def _plural(api_version: str, kind: str) -> str:
    """Return a kind's name in rules. The optional kinds are regular ones."""
    known = _PLURALS.get((api_version, kind))
    return known or kind.lower() + ("es" if kind.endswith("s") else "s")


def _own_rights() -> list[Resource]:
    """Return the rights in the own namespace: one Lease. Creating cannot be narrowed to a name."""
    group = ["coordination.k8s.io"]
    return [
        {"apiGroups": group, "resources": ["leases"], "verbs": ["create"]},
        {"apiGroups": group, "resources": ["leases"], "resourceNames": [NAME], "verbs": ["get", "update"]},
    ]


def _viewers() -> Resource:
    """Return the role by which whoever may view a namespace may view its findings."""
    rule = {"apiGroups": ["fairlead.dev"], "resources": ["findings"], "verbs": list(_LOOKED_UP)}
    found = _object(_RBAC, "ClusterRole", "", f"{NAME}-viewer", rules=[rule])
    found["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-view"] = "true"
    return found


def _object(api_version: str, kind: str, namespace: str, name: str = NAME, **parts: Any) -> Resource:
    meta: dict[str, Any] = {
        "name": name,
        **({"namespace": namespace} if namespace else {}),
        "labels": dict(_LABELS),
    }
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, **parts}


def _namespace(name: str) -> Resource:
    levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
    labels = {"app.kubernetes.io/part-of": "fairlead", **levels}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def _bound(kind: str, namespace: str) -> dict[str, Any]:
    return {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": NAME},
        "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": namespace}],
    }


def _service(namespace: str) -> Resource:
    ports = [{"name": "metrics", "port": PORT, "targetPort": "metrics", "protocol": "TCP"}]
    found = _object("v1", "Service", namespace, spec={"selector": dict(_LABELS), "ports": ports})
    found["metadata"]["annotations"] = {"prometheus.io/scrape": "true", "prometheus.io/port": str(PORT)}
    return found


def _network_policy(namespace: str) -> Resource:
    """Return the policy that lets in who asks for metrics, and nobody else. Out it goes to the API and to receivers, wherever they are."""
    spec = {
        "podSelector": {"matchLabels": dict(_LABELS)},
        "policyTypes": ["Ingress"],
        "ingress": [{"ports": [{"port": "metrics", "protocol": "TCP"}]}],
    }
    return _object("networking.k8s.io/v1", "NetworkPolicy", namespace, spec=spec)


def _deployment(wishes: Wishes) -> dict[str, Any]:
    return {
        "replicas": wishes.replicas,
        "selector": {"matchLabels": dict(_LABELS)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}},
        "template": {"metadata": {"labels": dict(_LABELS)}, "spec": _pod(wishes)},
    }


def _command(wishes: Wishes) -> Iterable[str]:
    yield from ("fairlead", "serve", "heal", "--in-cluster", "--lease", NAME, "--identity", "$(POD_NAME)")
    yield from ("--metrics", str(PORT), "--metrics-address", "0.0.0.0")  # noqa: S104  the pod's own
    if wishes.receivers:
        yield from ("--receivers", f"{RECEIVERS}/receivers.yaml")
    if not (wishes.propose or wishes.allow_apply):
        yield "--no-heal"
    if wishes.cluster:
        yield from ("--cluster-name", wishes.cluster)


def _pod(wishes: Wishes) -> dict[str, Any]:
    def probe(path: str, period: int, failures: int) -> dict[str, Any]:
        get = {"path": path, "port": "metrics"}
        return {"httpGet": get, "periodSeconds": period, "failureThreshold": failures, "timeoutSeconds": 5}

    mounts = [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108  a volume of its own
    volumes: list[Resource] = [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}]
    if wishes.receivers:
        mounts.append({"name": "receivers", "mountPath": RECEIVERS})
        volumes.append(
            {"name": "receivers", "secret": {"secretName": wishes.receivers, "defaultMode": 0o440}}
        )
    return {
        "serviceAccountName": NAME,
        "automountServiceAccountToken": True,
        "terminationGracePeriodSeconds": 30,
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
                "labelSelector": {"matchLabels": dict(_LABELS)},
            }
        ],
        "containers": [
            {
                "name": "heal",
                "image": wishes.image,
                "command": list(_command(wishes)),
                "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                "ports": [{"name": "metrics", "containerPort": PORT, "protocol": "TCP"}],
                "startupProbe": probe("/healthz", 2, 60),
                "livenessProbe": probe("/healthz", 10, 3),
                "readinessProbe": probe("/readyz", 5, 2),
                "resources": {
                    "requests": {"cpu": "100m", "memory": "192Mi"},
                    "limits": {"memory": "1Gi"},
                },
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "runAsNonRoot": True,
                    "capabilities": {"drop": ["ALL"]},
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "volumeMounts": mounts,
            }
        ],
        "volumes": volumes,
    }


__all__ = ["NAME", "PORT", "Wishes", "manifests", "rights"]
