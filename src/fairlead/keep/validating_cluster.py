"""What Kubernetes refuses in configuration, secrets, namespaces, nodes and other small kinds.

Reads defaulted objects, changes nothing. Sources: kubernetes/pkg/apis/{core,coordination,node,certificates}/validation.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from fairlead.keep import validating_values as v
from fairlead.keep.validating_containers import resources_of
from fairlead.keep.validating_values import Causes
from fairlead.words import Resource

_SIZE = 1024 * 1024
_FROZEN = "field is immutable when `immutable` is set"
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_ACCOUNT = "kubernetes.io/service-account.name"
_USAGES = frozenset(
    {
        "signing", "digital signature", "content commitment", "key encipherment", "key agreement", "data encipherment",
        "cert sign", "crl sign", "encipher only", "decipher only", "any", "server auth", "client auth", "code signing",
        "email protection", "s/mime", "ipsec end system", "ipsec tunnel", "ipsec user", "timestamping", "ocsp signing",
        "microsoft sgc", "netscape sgc",
    }
)  # fmt: skip


def config_map(obj: Resource, old: Resource | None) -> Causes:
    """Return what is wrong with a ConfigMap, and with the way it changes."""
    causes: Causes = []
    data, binary = obj.get("data", {}), obj.get("binaryData", {})
    size = 0
    for key, value in data.items():
        causes += [v.invalid(f"data[{key}]", key, fault) for fault in v.config_key(key)]
        if key in binary:
            causes.append(v.invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
        size += len(value)
    for key, value in binary.items():
        causes += [v.invalid(f"binaryData[{key}]", key, fault) for fault in v.config_key(key)]
        size += _decoded_size(value)
    if (
        size > _SIZE // 4
        and sum(len(x.encode()) for x in data.values()) + sum(map(_decoded_size, binary.values())) > _SIZE
    ):
        causes.append(v.too_long("", _SIZE))
    if old is not None and old.get("immutable"):
        causes += _frozen(obj, old, ("data", "binaryData"))
    return causes


def _decoded_size(text: str) -> int:
    return len(text) // 4 * 3 - text[-2:].count("=")


def _frozen(obj: Resource, old: Resource, names: tuple[str, ...]) -> Causes:
    causes: Causes = []
    if not obj.get("immutable"):
        causes.append(v.forbidden("immutable", _FROZEN))
    return causes + [v.forbidden(name, _FROZEN) for name in names if obj.get(name) != old.get(name)]


def secret(obj: Resource, old: Resource | None) -> Causes:
    """Return what is wrong with a Secret, and with the way it changes."""
    causes: Causes = []
    data = obj.get("data", {})
    size = 0
    for key, value in data.items():
        causes += [v.invalid(f"data[{key}]", key, fault) for fault in v.config_key(key)]
        size += _decoded_size(value)
    if size > _SIZE:
        causes.append(v.too_long("data", _SIZE))
    causes += _secret_type(obj, data)
    if old is not None:
        causes += v.same(obj.get("type"), old.get("type"), "type")
        if old.get("immutable"):
            causes += _frozen(obj, old, ("data",))
    return causes


def _secret_type(obj: Resource, data: Mapping[str, str]) -> Causes:
    kind = obj.get("type")
    if kind == "kubernetes.io/service-account-token":
        found = (obj.get("metadata", {}).get("annotations") or {}).get(_ACCOUNT)
        return [] if found else [v.required(f"metadata.annotations[{_ACCOUNT}]")]
    for name, key in (
        ("kubernetes.io/dockercfg", ".dockercfg"),
        ("kubernetes.io/dockerconfigjson", ".dockerconfigjson"),
    ):
        if kind == name:
            if key not in data:
                return [v.required(f"data[{key}]")]
            try:
                json.loads(base64.b64decode(data[key]))
            except ValueError:
                return [v.invalid(f"data[{key}]", "<secret contents redacted>", "invalid character")]
    if kind == "kubernetes.io/basic-auth" and not {"username", "password"} & set(data):
        return [v.required("data[username]"), v.required("data[password]")]
    if kind == "kubernetes.io/ssh-auth" and not data.get("ssh-privatekey"):
        return [v.required("data[ssh-privatekey]")]
    if kind == "kubernetes.io/tls":
        return [v.required(f"data[{key}]") for key in ("tls.crt", "tls.key") if key not in data]
    return []


def namespace(obj: Resource, _old: Resource | None) -> Causes:
    """Return what is wrong with a Namespace."""
    causes: Causes = []
    for name in obj.get("spec", {}).get("finalizers", ()):
        causes += [v.invalid("spec.finalizers", name, fault) for fault in v.qualified(name)]
        if "/" not in name and name != "kubernetes":
            text = "name is neither a standard finalizer name nor is it fully qualified"
            causes.append(v.invalid("spec.finalizers", name, text))
    return causes


def node(obj: Resource, old: Resource | None) -> Causes:
    """Return what is wrong with a Node."""
    spec = obj.get("spec", {})
    causes: Causes = []
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(spec.get("taints", ())):
        place = f"spec.taints[{index}]"
        key, value, effect = (taint.get(name, "") for name in ("key", "value", "effect"))
        causes += [v.invalid(f"{place}.key", key, fault) for fault in v.qualified(key)]
        if value:
            causes += v.label_map({"x": value}, f"{place}.value")
        causes += v.one_of(effect, f"{place}.effect", _EFFECTS)
        if (key, effect) in seen:
            causes.append(v.duplicate(place, taint))
        seen.add((key, effect))
    for index, text in enumerate(spec.get("podCIDRs", ())):
        causes += v.cidr(text, f"spec.podCIDRs[{index}]")
    status = obj.get("status", {})
    for name in ("capacity", "allocatable"):
        for resource, text in status.get(name, {}).items():
            if v.amount(text) < 0:
                causes.append(v.invalid(f"status.{name}.{resource}", text, v.NOT_NEGATIVE))
    if old is not None:
        before = old.get("spec", {}).get("providerID")
        if before and spec.get("providerID") != before:
            text = 'node updates may not change providerID except from "" to valid'
            causes.append(v.forbidden("spec.providerID", text))
    return causes


def event(obj: Resource, _old: Resource | None) -> Causes:
    """Return what is wrong with an Event, in core/v1 or events.k8s.io/v1."""
    about = obj.get("involvedObject") or obj.get("regarding") or {}
    field = "regarding" if "regarding" in obj else "involvedObject"
    inside = obj.get("metadata", {}).get("namespace", "")
    named = about.get("namespace", "")
    if named and named != inside:
        return [v.invalid(f"{field}.namespace", named, "does not match event.namespace")]
    if not named and inside not in {"default", "kube-system"}:
        return [v.invalid(f"{field}.namespace", named, "does not match event.namespace")]
    return []


def new_event(obj: Resource, old: Resource | None) -> Causes:
    """Return what is wrong with an Event written through events.k8s.io/v1, which asks for more than core/v1."""
    causes = event(obj, old)
    if old is not None:
        return causes
    if not obj.get("eventTime"):
        causes.append(v.required("eventTime"))
    controller = obj.get("reportingController", "")
    if not controller:
        causes.append(v.required("reportingController"))
    else:
        causes += [v.invalid("reportingController", controller, fault) for fault in v.qualified(controller)]
    for name in ("reportingInstance", "action", "reason"):
        value = obj.get(name, "")
        if not value:
            causes.append(v.required(name))
        elif len(value) > 128:
            causes.append(v.invalid(name, "", "can have at most 128 characters"))
    if len(obj.get("note", "")) > 1024:
        causes.append(v.invalid("message", "", "can have at most 1024 characters"))
    if obj.get("type") not in {"Normal", "Warning"}:
        causes.append(v.invalid("type", "", f"has invalid value: {obj.get('type', '')}"))
    return causes


def lease(obj: Resource, _old: Resource | None) -> Causes:
    """Return what is wrong with a Lease."""
    spec = obj.get("spec", {})
    causes: Causes = []
    seconds = spec.get("leaseDurationSeconds")
    if seconds is not None and seconds <= 0:
        causes.append(v.invalid("spec.leaseDurationSeconds", seconds, v.POSITIVE))
    return causes + v.not_negative(spec.get("leaseTransitions"), "spec.leaseTransitions")


def runtime_class(obj: Resource, old: Resource | None) -> Causes:
    """Return what is wrong with a RuntimeClass."""
    handler = obj.get("handler", "")
    causes: Causes = [v.invalid("handler", handler, fault) for fault in v.label(handler)]
    fixed = obj.get("overhead", {}).get("podFixed", {})
    causes += resources_of({"limits": fixed}, "overhead.podFixed", nested=False)
    return causes + (v.same(handler, old.get("handler", ""), "handler") if old is not None else [])


def signing_request(obj: Resource, old: Resource | None) -> Causes:
    """Return what is wrong with a CertificateSigningRequest."""
    spec = obj.get("spec", {})
    causes: Causes = []
    if old is not None:
        return v.same(spec, old.get("spec", {}), "spec")
    if not spec.get("request"):
        causes.append(v.invalid("spec.request", "", "PEM block type must be CERTIFICATE REQUEST"))
    elif b"-----BEGIN CERTIFICATE REQUEST-----" not in base64.b64decode(spec["request"]):
        causes.append(
            v.invalid("spec.request", spec["request"], "PEM block type must be CERTIFICATE REQUEST")
        )
    usages = spec.get("usages", ())
    if not usages:
        causes.append(v.required("spec.usages"))
    for index, usage in enumerate(usages):
        if usage not in _USAGES:
            causes.append(v.not_supported(f"spec.usages[{index}]", usage, sorted(_USAGES)))
        if usage in usages[:index]:
            causes.append(v.duplicate(f"spec.usages[{index}]", usage))
    name = spec.get("signerName", "")
    if not name:
        causes.append(v.required("spec.signerName"))
    elif "/" not in name:
        text = 'must be a fully qualified domain and path of the form "example.com/signer-name"'
        causes.append(v.invalid("spec.signerName", name, text))
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < 600:
        text = "may not specify a duration less than 600 seconds (10 minutes)"
        causes.append(v.invalid("spec.expirationSeconds", seconds, text))
    return causes


def api_service(obj: Resource, _old: Resource | None) -> Causes:
    """Return what is wrong with an APIService."""
    spec = obj.get("spec", {})
    causes: Causes = []
    expected = f"{spec.get('version', '')}.{spec.get('group', '')}"
    name = obj.get("metadata", {}).get("name", "")
    if name != expected:
        text = f'must be `spec.version+"."+spec.group`: {json.dumps(expected)}'
        causes.append(v.invalid("metadata.name", name, text))
    if not spec.get("version"):
        causes.append(v.required("spec.version"))
    for field, most in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        value: Any = spec.get(field, 0)
        if not 0 < value <= most:
            causes.append(
                v.invalid(
                    f"spec.{field}",
                    value,
                    f"must be positive and less than {most // 1000}k"
                    if most > 1000
                    else "must be positive and less than 1000",
                )
            )
    return causes
