"""What objects of made-up clusters are written with: names, uids, times, conditions, statuses. For estates.py; the same words give the same."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

Resource: TypeAlias = dict[str, Any]

NOW = datetime(2026, 3, 4, 12, 0, 0, tzinfo=UTC)
"""The time at which they are looked at."""
VERSIONS: Mapping[str, str] = {
    **dict.fromkeys(("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"), "apps/v1"),
    **dict.fromkeys(("Job", "CronJob"), "batch/v1"),
    **dict.fromkeys(("Ingress", "IngressClass", "NetworkPolicy"), "networking.k8s.io/v1"),
    "StorageClass": "storage.k8s.io/v1",
    "PriorityClass": "scheduling.k8s.io/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "PodDisruptionBudget": "policy/v1",
    **dict.fromkeys(
        ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"), "rbac.authorization.k8s.io/v1"
    ),
    **dict.fromkeys(
        ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"), "admissionregistration.k8s.io/v1"
    ),
    "CustomResourceDefinition": "apiextensions.k8s.io/v1",
    "APIService": "apiregistration.k8s.io/v1",
}
CLUSTER = frozenset({
    "Node", "Namespace", "PersistentVolume", "StorageClass", "IngressClass", "PriorityClass", "ClusterRole",
    "ClusterRoleBinding", "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration",
    "CustomResourceDefinition", "APIService", "RuntimeClass", "ClusterIssuer", "ClusterSecretStore",
})  # fmt: skip
_AGES = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def ago(length: str) -> str:
    """Return the time so long before NOW (`90s`, `5m`, `3h`, `12d`) as RFC 3339."""
    at = NOW - timedelta(seconds=float(length[:-1]) * _AGES[length[-1]])
    return at.isoformat().replace("+00:00", "Z")


def digest(*parts: Any, size: int = 10) -> str:
    """Return letters and digits as Kubernetes puts them into generated names, the same for the same parts."""
    number = int(hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest(), 16)
    letters = "bcdfghjklmnpqrstvwxz2456789"
    found = ""
    while len(found) < size:
        number, rest = divmod(number, len(letters))
        found += letters[rest]
    return found


def uid(*parts: Any) -> str:
    """Return a uid, the same for the same parts."""
    text = hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:32]}"


def condition(kind: str, status: str, reason: str = "", message: str = "", age: str = "30d") -> Resource:
    """Return a condition as controllers write them."""
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": ago(age),
    }


def merged(old: Any, new: Any) -> Any:
    """Return a JSON merge patch applied; lists of named things are merged by name."""
    if isinstance(old, dict) and isinstance(new, dict):
        found = {key: value for key, value in old.items() if new.get(key, value) is not None}
        for key, value in new.items():
            if value is not None:
                found[key] = merged(old.get(key), value)
        return found
    named = (
        isinstance(old, list)
        and isinstance(new, list)
        and new
        and all(isinstance(one, dict) and "name" in one for one in new)
    )
    if named:
        by_name = {one.get("name"): one for one in old}
        return list(
            {**by_name, **{one["name"]: merged(by_name.get(one["name"]), one) for one in new}}.values()
        )
    return copy.deepcopy(new)


def named(template: Mapping[str, Any], name: str) -> Resource:
    """Return a pod spec; fields of a container may be written at the top."""
    spec = copy.deepcopy(dict(template))
    own: Resource = {
        key: spec.pop(key)
        for key in (
            "image",
            "command",
            "args",
            "env",
            "envFrom",
            "ports",
            "resources",
            "livenessProbe",
            "readinessProbe",
            "startupProbe",
            "volumeMounts",
            "imagePullPolicy",
        )
        if key in spec
    }
    if "securityContextOfContainer" in spec:
        own["securityContext"] = spec.pop("securityContextOfContainer")
    if own:
        spec["containers"] = [{"name": name, **own}, *spec.get("containers", ())]
    return spec


def image_of(pod: Resource, name: str) -> str:
    """Return the image of a pod's container."""
    return next(
        (
            str(one["image"])
            for one in (*pod["spec"]["containers"], *pod["spec"].get("initContainers", ()))
            if one["name"] == name
        ),
        "",
    )


def container_status(container: Mapping[str, Any], state: Resource, *, ready: bool) -> Resource:
    """Return the status of a container."""
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": f"sha256:{digest(container['image'], size=40)}",
        "state": copy.deepcopy(state),
        "lastState": {},
        "ready": ready,
        "started": ready,
        "restartCount": 0,
        "containerID": f"containerd://{digest(container['name'], size=20)}",
    }


def is_ready(pod: Resource) -> bool:
    """Say whether a pod is ready."""
    return any(
        one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", ())
    )
