"""What Kubernetes refuses in the security contexts of pods and containers.

Source: kubernetes/pkg/apis/core/validation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fairlead.keep import validating_values as v
from fairlead.keep.validating_values import Causes

_SYSCTL = "([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_sysctl = re.compile(_SYSCTL).fullmatch


def pod_security(spec: Mapping[str, Any], field: str) -> Causes:
    """Return what is wrong with the security context of a pod."""
    causes: Causes = []
    context = spec.get("securityContext", {})
    place = f"{field}.securityContext"
    for name in ("runAsUser", "runAsGroup", "fsGroup"):
        causes += _user(context.get(name), f"{place}.{name}")
    for index, group in enumerate(context.get("supplementalGroups", ())):
        causes += _user(group, f"{place}.supplementalGroups[{index}]")
    if "seccompProfile" in context:
        causes += _seccomp(context["seccompProfile"], f"{place}.seccompProfile")
    if "appArmorProfile" in context:
        causes += _apparmor(context["appArmorProfile"], f"{place}.appArmorProfile")
    causes += _sysctls(context.get("sysctls", ()), f"{place}.sysctls")
    policy = context.get("fsGroupChangePolicy")
    if policy is not None:
        causes += v.one_of(policy, f"{place}.fsGroupChangePolicy", ("Always", "OnRootMismatch"))
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        text = "ShareProcessNamespace and HostPID cannot both be enabled"
        causes.append(v.invalid(f"{place}.shareProcessNamespace", True, text))
    return causes


def _seccomp(profile: Mapping[str, Any], field: str) -> Causes:
    kind = profile.get("type")
    if not kind:
        return [v.required(f"{field}.type", "type is required when seccompProfile is set")]
    if kind not in {"Localhost", "RuntimeDefault", "Unconfined"}:
        return [v.not_supported(f"{field}.type", kind, ("Localhost", "RuntimeDefault", "Unconfined"))]
    local = profile.get("localhostProfile")
    if kind == "Localhost" and not local:
        return [v.required(f"{field}.localhostProfile", "must be set when seccomp type is Localhost")]
    if kind != "Localhost" and local is not None:
        text = "can only be set when seccomp type is Localhost"
        return [v.invalid(f"{field}.localhostProfile", local, text)]
    return []


def _apparmor(profile: Mapping[str, Any], field: str) -> Causes:
    kind, local = profile.get("type"), profile.get("localhostProfile")
    if not kind:
        return [v.required(f"{field}.type", "type is required when appArmorProfile is set")]
    if kind not in {"Localhost", "RuntimeDefault", "Unconfined"}:
        return [v.not_supported(f"{field}.type", kind, ("Localhost", "RuntimeDefault", "Unconfined"))]
    if kind == "Localhost" and not (local or "").strip():
        text = "must be set when AppArmor type is Localhost"
        return [v.required(f"{field}.localhostProfile", text)]
    if kind != "Localhost" and local is not None:
        text = "can only be set when AppArmor type is Localhost"
        return [v.invalid(f"{field}.localhostProfile", local, text)]
    return []


def _sysctls(found: Any, field: str) -> Causes:
    causes: Causes = []
    names: set[str] = set()
    for index, one in enumerate(found):
        place, name = f"{field}[{index}].name", one.get("name", "")
        if not name:
            causes.append(v.required(place))
        elif len(name) > 253 or not _sysctl(name):
            text = f"must have at most 253 characters and match regex ^{_SYSCTL}$"
            causes.append(v.invalid(place, name, text))
        elif name in names:
            causes.append(v.duplicate(place, name))
        names.add(name)
    return causes


def _user(value: Any, field: str) -> Causes:
    if value is None or 0 <= value <= 2**31 - 1:
        return []
    return [v.invalid(field, value, "must be between 0 and 2147483647, inclusive")]


def container_security(context: Mapping[str, Any], field: str) -> Causes:
    """Return what is wrong with the security context of a container."""
    causes: Causes = []
    for name in ("runAsUser", "runAsGroup"):
        causes += _user(context.get(name), f"{field}.{name}")
    if "seccompProfile" in context:
        causes += _seccomp(context["seccompProfile"], f"{field}.seccompProfile")
    if "appArmorProfile" in context:
        causes += _apparmor(context["appArmorProfile"], f"{field}.appArmorProfile")
    if context.get("procMount", "Default") not in {"Default", "Unmasked"}:
        causes.append(v.not_supported(f"{field}.procMount", context["procMount"], ("Default", "Unmasked")))
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            text = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            causes.append(v.invalid(field, v.Verbatim("&core.SecurityContext{...}"), text))
        if "CAP_SYS_ADMIN" in context.get("capabilities", {}).get("add", ()):
            text = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            causes.append(v.invalid(field, v.Verbatim("&core.SecurityContext{...}"), text))
    return causes
