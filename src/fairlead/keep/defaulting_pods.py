"""Kubernetes' defaults for pods and everything that carries a pod template.

In place, on objects that `schemas.check` has passed: types are right and nulls are gone. Nothing is refused here.
Source: kubernetes/pkg/apis/core/v1 (defaults, conversion), kubernetes/pkg/apis/core/helper/qos.
"""

from __future__ import annotations

import re
from typing import Any

from fairlead.tongues import quantities
from fairlead.words import Resource

_REPOSITORY = re.compile(
    r"(?:(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9][A-Za-z0-9.-]*)(?::\d+)?/)?"
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*",
    re.ASCII,
)
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_MODES = ("secret", "configMap", "downwardAPI", "projected")
_VOLUME_DEFAULTS: dict[str, dict[str, Any]] = {
    "iscsi": {"iscsiInterface": "default"},
    "rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "azureDisk": {"cachingMode": "ReadWrite", "fsType": "ext4", "readOnly": False, "kind": "Shared"},
    "scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
    "hostPath": {"type": ""},
}


def pod(obj: Resource) -> None:
    """Fill in a Pod: what its template would get, requests from limits, host ports, phase and QoS class."""
    spec = obj.setdefault("spec", {})
    pod_spec(spec)
    for name in ("containers", "initContainers"):
        for container in spec.get(name, ()):
            resources = container["resources"]
            limits = resources.get("limits")
            if limits:
                resources["requests"] = {**limits, **resources.get("requests", {})}
    spec.setdefault("enableServiceLinks", True)
    if spec.get("hostNetwork"):
        for name in ("containers", "initContainers"):
            for container in spec.get(name, ()):
                for port in container.get("ports", ()):
                    if not port.get("hostPort") and "containerPort" in port:
                        port["hostPort"] = port["containerPort"]
    status = obj.setdefault("status", {})
    if not status.get("phase"):
        status["phase"] = "Pending"
    if not status.get("qosClass"):
        status["qosClass"] = qos_class(spec)


def template(holder: Any) -> None:
    """Fill in the pod template under `template`, if there is one."""
    found = holder.get("template")
    if isinstance(found, dict):
        found.setdefault("metadata", {})
        pod_spec(found.setdefault("spec", {}))


def pod_spec(spec: dict[str, Any]) -> None:
    """Fill in a PodSpec, wherever it stands."""
    if not spec.get("dnsPolicy"):
        spec["dnsPolicy"] = "ClusterFirst"
    if not spec.get("restartPolicy"):
        spec["restartPolicy"] = "Always"
    spec.setdefault("securityContext", {})
    spec.setdefault("terminationGracePeriodSeconds", 30)
    if not spec.get("schedulerName"):
        spec["schedulerName"] = "default-scheduler"
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for container in spec.get("containers", ()):
        _container(container)
    for container in spec.get("initContainers", ()):
        _container(container)
    for container in spec.get("ephemeralContainers", ()):
        _container(container)
    for volume in spec.get("volumes", ()):
        _volume(volume)
    round_up(spec.get("overhead"))


def pull_policy(image: str) -> str:
    """Return `Always` for an image whose tag is, or defaults to, `latest`; otherwise `IfNotPresent`."""
    name, at, _digest = image.partition("@")
    head, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        head, tag = name, ""
    if not _REPOSITORY.fullmatch(head) or (tag and not _TAG.fullmatch(tag)):
        return "IfNotPresent"
    return "Always" if tag == "latest" or not (tag or at) else "IfNotPresent"


def _container(container: dict[str, Any]) -> None:
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = pull_policy(container.get("image", ""))
    if not container.get("terminationMessagePath"):
        container["terminationMessagePath"] = "/dev/termination-log"
    if not container.get("terminationMessagePolicy"):
        container["terminationMessagePolicy"] = "File"
    resources = container.setdefault("resources", {})
    if resources:
        round_up(resources.get("limits"))
        round_up(resources.get("requests"))
    for port in container.get("ports", ()):
        if not port.get("protocol"):
            port["protocol"] = "TCP"
    for variable in container.get("env", ()):
        source = variable.get("valueFrom")
        if source and "fieldRef" in source:
            _field_ref(source["fieldRef"])
        if source and "resourceFieldRef" in source:
            source["resourceFieldRef"].setdefault("divisor", "0")
    for name in _PROBES:
        probe = container.get(name)
        if probe is not None:
            _probe(probe)
    for handler in container.get("lifecycle", {}).values():
        if isinstance(handler, dict) and "httpGet" in handler:
            _http_get(handler["httpGet"])


def _probe(probe: dict[str, Any]) -> None:
    for name, value in (
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ):
        if not probe.get(name):
            probe[name] = value
    if "httpGet" in probe:
        _http_get(probe["httpGet"])
    if "grpc" in probe:
        probe["grpc"].setdefault("service", "")


def _http_get(action: dict[str, Any]) -> None:
    if not action.get("path"):
        action["path"] = "/"
    if not action.get("scheme"):
        action["scheme"] = "HTTP"


def _field_ref(reference: dict[str, Any]) -> None:
    if not reference.get("apiVersion"):
        reference["apiVersion"] = "v1"


def _volume(volume: dict[str, Any]) -> None:
    if len(volume) == (1 if "name" in volume else 0):
        volume["emptyDir"] = {}
        return
    for name in _MODES:
        source = volume.get(name)
        if source is not None:
            source.setdefault("defaultMode", 420)
    for item in volume.get("downwardAPI", {}).get("items", ()):
        _downward(item)
    for source in volume.get("projected", {}).get("sources", ()):
        for item in source.get("downwardAPI", {}).get("items", ()):
            _downward(item)
        if "serviceAccountToken" in source:
            source["serviceAccountToken"].setdefault("expirationSeconds", 3600)
    for name, defaults in _VOLUME_DEFAULTS.items():
        source = volume.get(name)
        if source is not None:
            for key, value in defaults.items():
                source.setdefault(key, value)
    if "ephemeral" in volume:
        claim = volume["ephemeral"].get("volumeClaimTemplate")
        if claim is not None:
            claim.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
    image = volume.get("image")
    if image is not None and not image.get("pullPolicy"):
        image["pullPolicy"] = pull_policy(image.get("reference", ""))


def _downward(item: dict[str, Any]) -> None:
    if "fieldRef" in item:
        _field_ref(item["fieldRef"])
    if "resourceFieldRef" in item:
        item["resourceFieldRef"].setdefault("divisor", "0")


def round_up(amounts: dict[str, str] | None) -> None:
    """Round amounts of resources up to thousandths, as Kubernetes does for lists of resources."""
    for name, text in (amounts or {}).items():
        if text[-1:] in {"n", "u"} and amounts is not None:
            amounts[name] = quantities.canonical(f"{quantities.milli(quantities.parse(text))}m")


def qos_class(spec: dict[str, Any]) -> str:
    """Return the quality-of-service class of a defaulted pod spec: Guaranteed, Burstable or BestEffort."""
    guaranteed, any_set = True, False
    for container in (*spec.get("containers", ()), *spec.get("initContainers", ())):
        resources = container.get("resources", {})
        requests, limits = resources.get("requests", {}), resources.get("limits", {})
        for name in ("cpu", "memory"):
            asked, limit = requests.get(name, "0"), limits.get(name, "0")
            if asked != "0" or limit != "0":
                any_set = True
            if limit == "0" or quantities.compare(asked, limit) != 0:
                guaranteed = False
    if not any_set:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"
