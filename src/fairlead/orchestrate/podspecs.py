"""Reading a pod's spec the way kubelet does: which containers it has, and what each field means when absent.

Only looks; every function is total over pods that passed the API's validation.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any, Literal

from fairlead.tongues import quantities
from fairlead.words import Resource

Spec = Mapping[str, Any]
"""One container of a pod's spec."""


@dataclass(frozen=True, slots=True)
class Note:
    """An Event to be posted about a pod. `field` is the part of the pod it is about (`spec.containers{web}`)."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    field: str = ""


def name_of(pod: Resource) -> str:
    """Return `name_namespace(uid)`, kubelet's way to name a pod in messages."""
    meta = pod["metadata"]
    return f"{meta['name']}_{meta['namespace']}({meta.get('uid', '')})"


def init_containers(pod: Resource) -> list[Spec]:
    """Return the init containers, sidecars among them, in order."""
    return list(pod["spec"].get("initContainers") or ())


def containers(pod: Resource) -> list[Spec]:
    """Return the regular containers, in order."""
    return list(pod["spec"].get("containers") or ())


def every(pod: Resource) -> Iterator[Spec]:
    """Yield the init containers and then the regular ones."""
    yield from init_containers(pod)
    yield from containers(pod)


def is_sidecar(container: Spec) -> bool:
    """Whether an init container is one that keeps running beside the others."""
    return container.get("restartPolicy") == "Always"


def field_path(pod: Resource, name: str) -> str:
    """Return `spec.containers{name}` or `spec.initContainers{name}`, as Events name a container."""
    init = any(container["name"] == name for container in init_containers(pod))
    return f"spec.{'initContainers' if init else 'containers'}{{{name}}}"


def restart_policy(pod: Resource, container: Spec | None = None) -> str:
    """Return Always, OnFailure or Never; an init container's is its own, where Never has no second try."""
    policy = str(pod["spec"].get("restartPolicy") or "Always")
    if container is not None and any(each is container for each in init_containers(pod)):
        if is_sidecar(container):
            return "Always"
        return "OnFailure" if policy == "Always" else policy
    return policy


def is_deleting(pod: Resource) -> bool:
    """Whether the API has been asked to delete the pod."""
    return bool(pod["metadata"].get("deletionTimestamp"))


def is_over(pod: Resource) -> bool:
    """Whether the status already says that the pod ended; that never changes again."""
    return (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}


def grace(pod: Resource) -> float:
    """Return the seconds that the containers have to stop in."""
    meta = pod["metadata"]
    if is_deleting(pod) and meta.get("deletionGracePeriodSeconds") is not None:
        return float(meta["deletionGracePeriodSeconds"])
    seconds = pod["spec"].get("terminationGracePeriodSeconds")
    return 30.0 if seconds is None else float(seconds)


def fingerprint(container: Spec) -> str:
    """Return a hash of what may change in a running pod's container and asks for a restart: its name and image."""
    parts = json.dumps([container.get("name"), container.get("image")])
    return hashlib.sha256(parts.encode()).hexdigest()[:16]


def amount(container: Spec, section: str, resource: str) -> Fraction | None:
    """Return `resources.<section>.<resource>` as a number, or None when it is not set."""
    text = ((container.get("resources") or {}).get(section) or {}).get(resource)
    return None if text is None else Fraction(quantities.parse(str(text)))


def security(pod: Resource, container: Spec, key: str) -> Any:
    """Return a security setting of the container, or the pod's where the container has none."""
    own = (container.get("securityContext") or {}).get(key)
    return own if own is not None else (pod["spec"].get("securityContext") or {}).get(key)


def qos_class(pod: Resource) -> str:
    """Return Guaranteed, Burstable or BestEffort. Source: pkg/apis/core/v1/helper/qos."""
    guaranteed = True
    any_set = False
    for container in every(pod):
        for resource in ("cpu", "memory"):
            limit = amount(container, "limits", resource) or None
            request = amount(container, "requests", resource) or None
            any_set = any_set or limit is not None or request is not None
            if limit is None or (request is not None and request != limit):
                guaranteed = False
    if not any_set:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def moment(nanoseconds: int) -> datetime:
    """Return a runtime's time as an aware datetime."""
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=nanoseconds // 1000)


def stamp(at: datetime) -> str:
    """Return a time as Kubernetes writes it, in whole seconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_stamp(text: str) -> datetime:
    """Return the time that an object's field says."""
    return datetime.fromisoformat(text)


def seconds_text(span: timedelta) -> str:
    """Return a duration as Go prints it: `500ms`, `1.5s`, `10s`, `1m20s`, `5m0s`."""
    total = span.total_seconds()
    if 0 < total < 1:
        return f"{_short(total * 1000)}ms"
    if total < 60:
        return f"{_short(total)}s"
    minutes, seconds = divmod(total, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}h{minutes}m{_short(seconds)}s" if hours else f"{minutes}m{_short(seconds)}s"


def _short(number: float) -> str:
    return f"{number:.9f}".rstrip("0").rstrip(".")
