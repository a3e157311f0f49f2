"""The environment of a container: its own variables, ConfigMaps, Secrets, the pod's fields, and the services nearby.

What a reference misses is raised as `ConfigFault` with kubelet's text, never papered over. Source: kubelet's
makeEnvironmentVariables, pkg/kubelet/envvars and third_party/forked/golang/expansion.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any

from fairlead.orchestrate.podspecs import Spec, amount, every
from fairlead.tongues import quantities
from fairlead.words import Ref, Resource, View

_NAME = re.compile(r"[ -<>-~]+", re.ASCII)
"""What Kubernetes takes for a variable's name since 1.30: printable ASCII without `=`."""
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(.*)'\]")


class ConfigFault(Exception):
    """A container's configuration cannot be made; the text is kubelet's. The reason is CreateContainerConfigError."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a pod's fields can refer to beside its own object: where it runs and what the node has to give."""

    node_name: str = ""
    host_ips: tuple[str, ...] = ()
    pod_ips: tuple[str, ...] = ()
    cpu: Fraction = Fraction(1)
    memory: int = 0
    """Allocatable bytes."""
    storage: int = 0


def expand(text: str, values: Callable[[str], str | None]) -> str:
    """Replace `$(NAME)` where the name is known and `$$` by `$`; anything else stays as it is."""
    out: list[str] = []
    at = 0
    while at < len(text):
        if text[at] != "$" or at + 1 >= len(text):
            out.append(text[at])
            at += 1
            continue
        following = text[at + 1]
        if following == "$":
            out.append("$")
            at += 2
        elif following == "(":
            end = text.find(")", at + 2)
            if end < 0:
                out.append("$(")
                at += 2
                continue
            name = text[at + 2 : end]
            value = values(name)
            out.append(f"$({name})" if value is None else value)
            at = end + 1
        else:
            out.append("$" + following)
            at += 2
    return "".join(out)


def decoded(secret: Resource, key: str) -> bytes:
    """Return a Secret's value; text that is not base64 is a ConfigFault."""
    try:
        return base64.b64decode(secret["data"][key], validate=True)
    except (binascii.Error, ValueError) as error:
        raise ConfigFault(f"illegal base64 data in secret {secret['metadata']['name']}") from error


def needed(pod: Resource) -> set[Ref]:
    """Return the ConfigMaps and Secrets that the environment of the pod's containers refers to."""
    namespace = pod["metadata"]["namespace"]
    refs: set[Ref] = set()
    for container in every(pod):
        sources: list[Mapping[str, Any]] = list(container.get("envFrom") or ())
        sources += [entry["valueFrom"] for entry in container.get("env") or () if entry.get("valueFrom")]
        for source in sources:
            for kind, key in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
                for field in (key, key.replace("Ref", "KeyRef")):
                    if name := (source.get(field) or {}).get("name"):
                        refs.add(Ref("", kind, namespace, name))
    return refs


def environment(
    pod: Resource, container: Spec, view: View, around: Surroundings
) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Return (variables, names that were skipped as unusable). Raises ConfigFault.

    Order: what envFrom gives, then env, then service variables that neither of them sets.
    """
    services = service_variables(pod, view)
    values: dict[str, str] = {}
    skipped: list[str] = []
    for source in container.get("envFrom") or ():
        for name, value in _from_source(pod, source, view):
            if _NAME.fullmatch(name):
                values[name] = value
            else:
                skipped.append(name)
    for entry in container.get("env") or ():
        value = entry.get("value") or ""
        source = entry.get("valueFrom") or {}
        if value:
            value = expand(value, lambda name: values.get(name, services.get(name)))
        elif source:
            found = _value_from(pod, container, source, view, around)
            if found is None:
                continue
            value = found
        values[entry["name"]] = value
    for name, value in services.items():
        values.setdefault(name, value)
    return tuple(values.items()), tuple(skipped)


def _from_source(pod: Resource, source: Mapping[str, Any], view: View) -> Iterable[tuple[str, str]]:
    namespace = pod["metadata"]["namespace"]
    prefix = source.get("prefix") or ""
    for kind, field in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
        reference = source.get(field)
        if not reference:
            continue
        found = view.get("", kind, namespace, reference.get("name") or "")
        if found is None:
            if reference.get("optional"):
                continue
            raise ConfigFault(missing(kind, reference.get("name") or ""))
        for key in sorted(found.get("data") or {}):
            value = found["data"][key]
            yield prefix + key, value if kind == "ConfigMap" else _text(decoded(found, key))


def missing(kind: str, name: str) -> str:
    """Return kubelet's text for a ConfigMap or Secret that is not there."""
    return f'{kind.lower()} "{name}" not found'


def _text(data: bytes) -> str:
    return data.decode(errors="surrogateescape")


def _value_from(
    pod: Resource, container: Spec, source: Mapping[str, Any], view: View, around: Surroundings
) -> str | None:
    """Return the value, or None when an optional reference is missing."""
    if source.get("fieldRef"):
        return field_value(pod, source["fieldRef"].get("fieldPath") or "", around)
    if source.get("resourceFieldRef"):
        return resource_value(pod, container, source["resourceFieldRef"], around)
    namespace = pod["metadata"]["namespace"]
    for kind, field in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
        reference = source.get(field)
        if not reference:
            continue
        name, key = reference.get("name") or "", reference["key"]
        found = view.get("", kind, namespace, name)
        if found is None:
            if reference.get("optional"):
                return None
            raise ConfigFault(missing(kind, name))
        if key not in (found.get("data") or {}):
            if reference.get("optional"):
                return None
            raise ConfigFault(f"couldn't find key {key} in {kind} {namespace}/{name}")
        return str(found["data"][key]) if kind == "ConfigMap" else _text(decoded(found, key))
    raise ConfigFault("unsupported source of an environment variable: " + ", ".join(sorted(source)))


def field_value(pod: Resource, path: str, around: Surroundings) -> str:
    """Return a pod's field as the downward API gives it. Raises ConfigFault for a path that it does not serve."""
    meta, spec = pod["metadata"], pod["spec"]
    if subscript := _SUBSCRIPT.fullmatch(path):
        return str((meta.get(subscript[1]) or {}).get(subscript[2], ""))
    if path in {"metadata.labels", "metadata.annotations"}:
        entries = meta.get(path.partition(".")[2]) or {}
        return "\n".join(f"{key}={_quoted(str(entries[key]))}" for key in sorted(entries))
    values = {
        "metadata.name": meta.get("name"),
        "metadata.namespace": meta.get("namespace"),
        "metadata.uid": meta.get("uid"),
        "spec.nodeName": spec.get("nodeName") or around.node_name,
        "spec.serviceAccountName": spec.get("serviceAccountName") or "",
        "status.hostIP": next(iter(around.host_ips), ""),
        "status.hostIPs": ",".join(around.host_ips),
        "status.podIP": next(iter(around.pod_ips), ""),
        "status.podIPs": ",".join(around.pod_ips),
    }
    if path not in values:
        raise ConfigFault(f"unsupported fieldPath: {path}")
    return str(values[path] or "")


def _quoted(text: str) -> str:
    r"""Quote as Go's %q does: `"a\nb"`."""
    out = ['"']
    for char in text:
        if char in {'"', "\\"}:
            out.append("\\" + char)
        elif char in "\n\t\r\a\b\f\v":
            out.append(
                {"\n": r"\n", "\t": r"\t", "\r": r"\r", "\a": r"\a", "\b": r"\b", "\f": r"\f", "\v": r"\v"}[
                    char
                ]
            )
        elif ord(char) < 32 or ord(char) == 127:
            out.append(f"\\x{ord(char):02x}")
        else:
            out.append(char)
    return "".join(out) + '"'


def resource_value(pod: Resource, container: Spec, reference: Mapping[str, Any], around: Surroundings) -> str:
    """Return a request or limit divided by its divisor, rounded up; the node's own where no limit is set."""
    wanted = reference.get("containerName") or container["name"]
    owner = next((each for each in every(pod) if each["name"] == wanted), None)
    if owner is None:
        raise ConfigFault(f"container {wanted} not found")
    section, _, resource = (reference.get("resource") or "").partition(".")
    limits = {
        "cpu": around.cpu,
        "memory": Fraction(around.memory),
        "ephemeral-storage": Fraction(around.storage),
    }
    if section not in {"limits", "requests"} or (resource not in limits and "hugepages-" not in resource):
        raise ConfigFault(f"unsupported container resource : {reference.get('resource')}")
    value = amount(owner, section, resource)
    if not value and section == "limits":
        value = limits.get(resource, Fraction(0))
    divisor = Fraction(quantities.parse(str(reference.get("divisor") or "1"))) or Fraction(1)
    return str(ceil((value or Fraction(0)) / divisor))


def service_variables(pod: Resource, view: View) -> dict[str, str]:
    """Return the variables for the services that the pod can see: those of its namespace, and the API server's own."""
    namespace = pod["metadata"]["namespace"]
    links = pod["spec"].get("enableServiceLinks")
    visible: dict[str, Resource] = {}
    kubernetes = view.get("", "Service", "default", "kubernetes")
    if kubernetes is not None:
        visible["kubernetes"] = kubernetes
    if links is None or links:
        for service in view.list("", "Service", namespace):
            visible[service["metadata"]["name"]] = service
    values: dict[str, str] = {}
    for name, service in visible.items():
        spec = service.get("spec") or {}
        address = spec.get("clusterIP") or ""
        ports = spec.get("ports") or ()
        if address in {"", "None"} or not ports:
            continue
        prefix = name.upper().replace("-", "_")
        host = f"[{address}]" if ":" in address else address
        values[f"{prefix}_SERVICE_HOST"] = address
        values[f"{prefix}_SERVICE_PORT"] = str(ports[0]["port"])
        for port in ports:
            if port.get("name"):
                values[f"{prefix}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = str(port["port"])
        for index, port in enumerate(ports):
            protocol = str(port.get("protocol") or "TCP")
            url = f"{protocol.lower()}://{host}:{port['port']}"
            if index == 0:
                values[f"{prefix}_PORT"] = url
            stem = f"{prefix}_PORT_{port['port']}_{protocol.upper()}"
            values[stem] = url
            values[f"{stem}_PROTO"] = protocol.lower()
            values[f"{stem}_PORT"] = str(port["port"])
            values[f"{stem}_ADDR"] = address
    return values
