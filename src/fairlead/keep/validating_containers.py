"""What Kubernetes refuses in the containers of a pod.

Source: kubernetes/pkg/apis/core/validation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fairlead.keep import validating_values as v
from fairlead.keep.validating_security import container_security
from fairlead.keep.validating_values import Causes
from fairlead.keep.validating_volumes import field_ref, relative, resource_ref

_PROTOCOLS = ("SCTP", "TCP", "UDP")
_PULL = ("Always", "IfNotPresent", "Never")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_ENV_FIELDS = frozenset(
    {
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.hostIPs",
        "status.podIP",
        "status.podIPs",
    }
)
_STANDARD = frozenset({"cpu", "memory", "ephemeral-storage"})
_header = re.compile("[-A-Za-z0-9]+").fullmatch
_HEADER_TEXT = (
    "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for "
    "validation is '[-A-Za-z0-9]+')"
)
_WHOLE = "must be an integer"


def container_list(spec: Mapping[str, Any], field: str) -> Causes:
    """Return what is wrong with all containers of a pod: its own, the init and the ephemeral ones."""
    causes: Causes = []
    volumes = {volume.get("name"): volume for volume in spec.get("volumes", ())}
    names: set[str] = set()
    ports: set[tuple[Any, ...]] = set()
    containers = spec.get("containers", ())
    if not containers:
        causes.append(v.required(f"{field}.containers"))
    for index, container in enumerate(containers):
        place = f"{field}.containers[{index}]"
        causes += _container(container, place, volumes, names, spec)
        causes += _host_ports(container, place, ports)
        policy = container.get("restartPolicy")
        if policy is not None:
            causes.append(v.forbidden(f"{place}.restartPolicy", "may not be set for non-init containers"))
    for index, container in enumerate(spec.get("initContainers", ())):
        place = f"{field}.initContainers[{index}]"
        policy = container.get("restartPolicy")
        causes += _container(container, place, volumes, names, spec)
        if policy is not None and policy != "Always":
            causes.append(v.not_supported(f"{place}.restartPolicy", policy, ("Always",)))
        if policy != "Always":
            if "lifecycle" in container:
                causes.append(
                    v.forbidden(
                        f"{place}.lifecycle",
                        "may not be set for init containers without restartPolicy=Always",
                    )
                )
            for name in _PROBES:
                if name in container:
                    text = "may not be set for init containers without restartPolicy=Always"
                    causes.append(v.forbidden(f"{place}.{name}", text))
        causes += _host_ports(container, place, set())
    for index, container in enumerate(spec.get("ephemeralContainers", ())):
        place = f"{field}.ephemeralContainers[{index}]"
        causes += _container(container, place, volumes, names, spec)
        for name in ("ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle"):
            if container.get(name):
                causes.append(v.forbidden(f"{place}.{name}", "cannot be set for an Ephemeral Container"))
        if container.get("resources"):
            causes.append(v.forbidden(f"{place}.resources", "cannot be set for an Ephemeral Container"))
    return causes


def _container(
    container: Mapping[str, Any],
    field: str,
    volumes: Mapping[Any, Any],
    names: set[str],
    spec: Mapping[str, Any],
) -> Causes:
    causes: Causes = []
    name = container.get("name", "")
    if not name:
        causes.append(v.required(f"{field}.name"))
    else:
        causes += [v.invalid(f"{field}.name", name, fault) for fault in v.label(name)]
    if name in names and name:
        causes.append(v.duplicate(f"{field}.name", name))
    names.add(name)
    image = container.get("image", "")
    if not image:
        causes.append(v.required(f"{field}.image"))
    elif image != image.strip():
        causes.append(v.invalid(f"{field}.image", image, "must not have leading or trailing whitespace"))
    policy = container.get("terminationMessagePolicy", "")
    if policy not in {"File", "FallbackToLogsOnError"}:
        supported = ("FallbackToLogsOnError", "File")
        causes += v.one_of(policy, f"{field}.terminationMessagePolicy", supported)
    if "ports" in container:
        causes += _ports(container["ports"], f"{field}.ports", host=bool(spec.get("hostNetwork")))
    for index, variable in enumerate(container.get("env", ())):
        causes += _variable(variable, field, index)
    for index, source in enumerate(container.get("envFrom", ())):
        causes += _env_from(source, f"{field}.envFrom[{index}]")
    if "volumeMounts" in container:
        causes += _mounts(container["volumeMounts"], f"{field}.volumeMounts", volumes)
    for index, device in enumerate(container.get("volumeDevices", ())):
        place = f"{field}.volumeDevices[{index}]"
        if not device.get("name"):
            causes.append(v.required(f"{place}.name"))
        elif device["name"] not in volumes:
            causes.append(v.not_found(f"{place}.name", device["name"]))
        if not device.get("devicePath"):
            causes.append(v.required(f"{place}.devicePath"))
    policy = container.get("imagePullPolicy", "")
    if policy not in _PULL:
        causes += v.one_of(policy, f"{field}.imagePullPolicy", _PULL)
    if container.get("resources"):
        causes += resources_of(container["resources"], f"{field}.resources")
    for kind in _PROBES:
        if kind in container:
            causes += _probe(container[kind], f"{field}.{kind}", kind)
    for hook, handler in container.get("lifecycle", {}).items():
        causes += _handler(handler, f"{field}.lifecycle.{hook}", hook=True)
    if "securityContext" in container:
        causes += container_security(container["securityContext"], f"{field}.securityContext")
    return causes


def _ports(ports: Any, field: str, *, host: bool) -> Causes:
    causes: Causes = []
    names: set[str] = set()
    for index, port in enumerate(ports):
        place = f"{field}[{index}]"
        name = port.get("name", "")
        if name:
            faults = v.port_name(name)
            causes += [v.invalid(f"{place}.name", name, fault) for fault in faults]
            if not faults and name in names:
                causes.append(v.duplicate(f"{place}.name", name))
            names.add(name)
        number = port.get("containerPort", 0)
        if number == 0:
            causes.append(v.required(f"{place}.containerPort"))
        else:
            causes += [v.invalid(f"{place}.containerPort", number, fault) for fault in v.port(number)]
        outside = port.get("hostPort", 0)
        if outside:
            causes += [v.invalid(f"{place}.hostPort", outside, fault) for fault in v.port(outside)]
            if host and outside != number:
                text = "must match `containerPort` when `hostNetwork` is true"
                causes.append(v.invalid(f"{place}.hostPort", outside, text))
        if port.get("protocol", "TCP") not in _PROTOCOLS:
            causes += v.one_of(port.get("protocol"), f"{place}.protocol", _PROTOCOLS)
    return causes


def _host_ports(container: Mapping[str, Any], field: str, seen: set[tuple[Any, ...]]) -> Causes:
    causes: Causes = []
    for index, port in enumerate(container.get("ports", ())):
        if port.get("hostPort"):
            key = (port.get("protocol"), port.get("hostIP", ""), port["hostPort"])
            if key in seen:
                shown = f"{key[0]}/{key[1]}/{key[2]}"
                causes.append(v.duplicate(f"{field}.ports[{index}].hostPort", shown))
            seen.add(key)
    return causes


def _variable(variable: Mapping[str, Any], field: str, index: int) -> Causes:
    causes: Causes = []
    name = variable.get("name", "")
    if not name:
        causes.append(v.required(f"{field}.env[{index}].name"))
    elif v.env_name(name):
        causes += [v.invalid(f"{field}.env[{index}].name", name, fault) for fault in v.env_name(name)]
    source = variable.get("valueFrom")
    if source is None:
        return causes
    place = f"{field}.env[{index}].valueFrom"
    found = 0
    if "fieldRef" in source:
        found += 1
        causes += field_ref(source["fieldRef"], f"{place}.fieldRef", _ENV_FIELDS)
    if "resourceFieldRef" in source:
        found += 1
        causes += resource_ref(source["resourceFieldRef"], f"{place}.resourceFieldRef", in_volume=False)
    for kind in ("configMapKeyRef", "secretKeyRef"):
        if kind in source:
            found += 1
            key = source[kind].get("key", "")
            if not source[kind].get("name"):
                causes.append(v.required(f"{place}.{kind}.name"))
            if not key:
                causes.append(v.required(f"{place}.{kind}.key"))
            else:
                causes += [v.invalid(f"{place}.{kind}.key", key, fault) for fault in v.config_key(key)]
    if found == 0:
        kinds = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
        causes.append(v.invalid(place, "", f"must specify one of: {kinds}"))
    elif variable.get("value"):
        causes.append(v.invalid(place, "", "may not be specified when `value` is not empty"))
    elif found > 1:
        causes.append(v.invalid(place, "", "may not have more than one field specified at a time"))
    return causes


def _env_from(source: Mapping[str, Any], field: str) -> Causes:
    causes: Causes = []
    prefix = source.get("prefix", "")
    if prefix:
        causes += [v.invalid(f"{field}.prefix", prefix, fault) for fault in v.env_name(prefix)]
    found = [kind for kind in ("configMapRef", "secretRef") if kind in source]
    for kind in found:
        if not source[kind].get("name"):
            causes.append(v.required(f"{field}.{kind}.name"))
    if not found:
        causes.append(v.invalid(field, "", "must specify one of: `configMapRef` or `secretRef`"))
    elif len(found) > 1:
        causes.append(v.invalid(field, "", "may not have more than one field specified at a time"))
    return causes


def _mounts(mounts: Any, field: str, volumes: Mapping[Any, Any]) -> Causes:
    causes: Causes = []
    paths: set[str] = set()
    for index, mount in enumerate(mounts):
        place = f"{field}[{index}]"
        name, path = mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            causes.append(v.required(f"{place}.name"))
        elif name not in volumes:
            causes.append(v.not_found(f"{place}.name", name))
        if not path:
            causes.append(v.required(f"{place}.mountPath"))
        if path in paths:
            causes.append(v.invalid(f"{place}.mountPath", path, "must be unique"))
        paths.add(path)
        if mount.get("subPath") and mount.get("subPathExpr"):
            text = "subPathExpr and subPath are mutually exclusive"
            causes.append(v.invalid(f"{place}.subPathExpr", mount["subPathExpr"], text))
        if mount.get("subPath"):
            causes += relative(mount["subPath"], f"{place}.subPath")
        if mount.get("subPathExpr"):
            causes += relative(mount["subPathExpr"], f"{place}.subPathExpr")
        propagation = mount.get("mountPropagation")
        if propagation is not None and propagation not in {"None", "HostToContainer", "Bidirectional"}:
            supported = ("Bidirectional", "HostToContainer", "None")
            causes.append(v.not_supported(f"{place}.mountPropagation", propagation, supported))
    return causes


def resource_name(name: str, field: str, *, in_container: bool = True) -> Causes:
    """Return what is wrong with the name of a resource that a container asks for."""
    causes = [v.invalid(field, name, fault) for fault in v.qualified(name)]
    if causes or not in_container or "/" in name:
        return causes
    if name not in _STANDARD and not name.startswith("hugepages-"):
        text = "must be a standard resource for containers"
        return [v.invalid(field, name, text)]
    return causes


def resources_of(resources: Mapping[str, Any], field: str, *, nested: bool = True) -> Causes:
    """Return what is wrong with requests and limits. With `nested` false the field is that of the list itself."""
    causes: Causes = []
    limits, requests = resources.get("limits", {}), resources.get("requests", {})
    for kind, amounts in (("limits", limits), ("requests", requests)):
        for name, text in amounts.items():
            place = f"{field}.{kind}" if nested else field
            causes += resource_name(name, place)
            amount = v.amount(text)
            if amount < 0:
                causes.append(v.invalid(f"{place}[{name}]", text, v.NOT_NEGATIVE))
            elif "/" in name and amount.denominator != 1:
                causes.append(v.invalid(f"{place}[{name}]", text, _WHOLE))
    for name, text in requests.items():
        limit = limits.get(name)
        exact = "/" in name or name.startswith("hugepages-")
        if limit is None:
            if exact:
                causes.append(
                    v.required(f"{field}.limits", "Limit must be set for non overcommitable resources")
                )
            continue
        if text == limit:
            continue
        asked, most = v.amount(text), v.amount(limit)
        if exact and asked != most:
            causes.append(v.invalid(f"{field}.requests", text, f"must be equal to {name} limit of {limit}"))
        elif asked > most:
            text_ = f"must be less than or equal to {name} limit of {limit}"
            causes.append(v.invalid(f"{field}.requests", text, text_))
    return causes


def _probe(probe: Mapping[str, Any], field: str, kind: str) -> Causes:
    causes = _handler(probe, field, hook=False)
    for name in (
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    ):
        causes += v.not_negative(probe.get(name), f"{field}.{name}")
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None:
        place = f"{field}.terminationGracePeriodSeconds"
        if kind == "readinessProbe":
            causes.append(v.invalid(place, grace, "must not be set for readinessProbes"))
        elif grace <= 0:
            causes.append(v.invalid(place, grace, v.POSITIVE))
    if kind != "readinessProbe" and probe.get("successThreshold", 1) not in {0, 1}:
        causes.append(v.invalid(f"{field}.successThreshold", probe["successThreshold"], "must be 1"))
    return causes


def _handler(handler: Mapping[str, Any], field: str, *, hook: bool) -> Causes:
    causes: Causes = []
    kinds = ("exec", "httpGet", "tcpSocket", "sleep") if hook else _HANDLERS
    found = [kind for kind in kinds if kind in handler]
    for kind in found[1:]:
        causes.append(v.forbidden(f"{field}.{kind}", "may not specify more than 1 handler type"))
    for kind in found[:1]:
        body, place = handler[kind], f"{field}.{kind}"
        if kind == "exec":
            if not body.get("command"):
                causes.append(v.required(f"{place}.command"))
        elif kind == "httpGet":
            causes += _http_get(body, place)
        elif kind == "sleep":
            if body.get("seconds", 0) <= 0:
                text = "must be greater than 0 and less than terminationGracePeriodSeconds (30). Enable AllowPodLifecycleSleepActionZeroValue feature gate for zero sleep."
                causes.append(v.invalid(f"{place}", body.get("seconds", 0), text))
        elif kind == "tcpSocket":
            causes += port_or_name(body.get("port", 0), f"{place}.port")
        else:
            causes += [
                v.invalid(f"{place}.port", body.get("port", 0), f) for f in v.port(body.get("port", 0))
            ]
    if not found:
        causes.append(v.required(field, "must specify a handler type"))
    return causes


def _http_get(body: Mapping[str, Any], field: str) -> Causes:
    causes: Causes = []
    if not body.get("path"):
        causes.append(v.required(f"{field}.path"))
    causes += port_or_name(body.get("port", 0), f"{field}.port")
    scheme = body.get("scheme", "HTTP")
    if scheme not in {"HTTP", "HTTPS"}:
        causes.append(v.not_supported(f"{field}.scheme", scheme, ("HTTP", "HTTPS")))
    for header in body.get("httpHeaders", ()):
        name = header.get("name", "")
        if not _header(name):
            causes.append(v.invalid(f"{field}.httpHeaders", name, _HEADER_TEXT))
    return causes


def port_or_name(value: Any, field: str) -> Causes:
    """Return what is wrong with a port given by number or by name."""
    if isinstance(value, str):
        return [v.invalid(field, value, fault) for fault in v.port_name(value)]
    return [v.invalid(field, value, fault) for fault in v.port(value)]
