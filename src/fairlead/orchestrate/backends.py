"""What stands behind a Service: which pods, at which address, on which port. For Endpoints and EndpointSlices alike.

Source: k8s.io/kubernetes/pkg/controller/endpoint, k8s.io/endpointslice. Reads only.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from fairlead.orchestrate import lives, owning
from fairlead.words import Ref, Resource, View

SERVICE = ("", "Service")


def selector(service: Resource) -> dict[str, str] | None:
    """Return the selector of a Service whose backends are ours to find, else None."""
    spec = service.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return None
    return spec.get("selector") or None


def pods(view: View, service: Resource) -> list[Resource]:
    """Return the pods that the Service selects, in whatever state."""
    wanted = selector(service) or {}
    namespace = service["metadata"].get("namespace", "")
    return [pod for pod in view.list("", "Pod", namespace) if wanted.items() <= owning.labels(pod).items()]


def addresses(pod: Resource) -> list[str]:
    """Return the Pod's IP addresses."""
    status = pod.get("status") or {}
    found = [entry["ip"] for entry in status.get("podIPs") or () if entry.get("ip")]
    if not found and status.get("podIP"):
        found = [status["podIP"]]
    return found


@lru_cache(maxsize=8192)
def family(address: str) -> str:
    """Return IPv4 or IPv6; "" for what is no address."""
    try:
        return f"IPv{ipaddress.ip_address(address).version}"
    except ValueError:
        return ""


def counts(pod: Resource, *, terminating: bool) -> bool:
    """Whether the Pod can stand behind a Service at all: it has an address and has not finished."""
    if lives.is_finished(pod) or not addresses(pod):
        return False
    return terminating or not owning.is_deleted(pod)


def target_port(pod: Resource, port: dict[str, Any]) -> int | None:
    """Return the number of the Pod's port that a Service port leads to; None if the Pod has none of that name."""
    target = port.get("targetPort")
    if isinstance(target, str) and not target.isdecimal():
        protocol = port.get("protocol") or "TCP"
        spec = pod.get("spec") or {}
        sidecars = [
            item for item in spec.get("initContainers") or () if item.get("restartPolicy") == "Always"
        ]
        for container in (*(spec.get("containers") or ()), *sidecars):
            for entry in container.get("ports") or ():
                if entry.get("name") == target and (entry.get("protocol") or "TCP") == protocol:
                    return int(entry["containerPort"])
        return None
    return int(target or port["port"])


def hostname(pod: Resource, service: Resource) -> str:
    """Return the Pod's own DNS name within the Service, or ""."""
    spec = pod.get("spec") or {}
    same = spec.get("subdomain") == service["metadata"]["name"]
    return spec.get("hostname") or "" if same else ""


def target_ref(pod: Resource) -> dict[str, str]:
    """Return the reference to the Pod that an endpoint carries."""
    meta = pod["metadata"]
    return {
        "kind": "Pod",
        "namespace": meta.get("namespace", ""),
        "name": meta["name"],
        "uid": meta.get("uid", ""),
    }


def is_headless(service: Resource) -> bool:
    """Whether the Service has no address of its own."""
    return (service.get("spec") or {}).get("clusterIP") == "None"


def services_of(view: View, pod: Resource) -> Iterable[Ref]:
    """Return the Services that select the Pod: the answer to a watch of pods."""
    labels = owning.labels(pod)
    for service in view.list(*SERVICE, pod["metadata"].get("namespace", "")):
        wanted = selector(service)
        if wanted and wanted.items() <= labels.items():
            yield Ref.of(service)
