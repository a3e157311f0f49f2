"""The checks of the restricted level, each in the revisions that policy versions name.

A check looks at one pod and gives what it forbids, in Kubernetes' own words. It knows nothing of namespaces, labels, requests or
exemptions. Source: k8s.io/pod-security-admission/policy.
"""

from __future__ import annotations

from typing import Any, Final

from fairlead.judge.standards_baseline import added_beyond, seccomp_profiles
from fairlead.judge.standards_pods import (
    Check,
    Field,
    Pod,
    Said,
    items,
    many,
    mapping,
    of_pod_field,
    quoted,
    setters_of,
    who,
)

_VOLUMES: Final = (
        "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret")  # fmt: skip


def capabilities_restricted(pod: Pod) -> Said | None:
    """Every container drops ALL, and adds nothing but NET_BIND_SERVICE."""
    missing = [
        one
        for one in pod.containers
        if "ALL" not in items(mapping(one.security.get("capabilities")).get("drop"))
    ]
    names, found, fields = added_beyond(pod, ("NET_BIND_SERVICE",))
    details: list[str] = []
    dropped: list[Field] = []
    if missing:
        details.append(
            f'{who([one.name for one in missing])} must set securityContext.capabilities.drop=["ALL"]'
        )
        dropped = [
            one.at("securityContext.capabilities.drop", mapping(one.security.get("capabilities")).get("drop"))
            for one in missing
        ]
    if names:
        details.append(
            f"{who(names)} must not include {quoted(sorted(found))} in securityContext.capabilities.add"
        )
    return Said("unrestricted capabilities", "; ".join(details), (*dropped, *fields)) if details else None


def restricted_volumes(pod: Pod) -> Said | None:
    """Only volume types that reach nothing outside the pod's own declarations are allowed."""
    names: list[str] = []
    types: set[str] = set()
    fields: list[Field] = []
    for index, one in enumerate(items(pod.spec.get("volumes"))):
        set_ = [key for key, value in mapping(one).items() if key != "name" and value is not None]
        if any(key in _VOLUMES for key in set_):
            continue
        names.append(str(mapping(one).get("name") or ""))
        sort = set_[0] if set_ else "unknown"
        types.add(sort)
        path = f"spec.volumes[{index}]"
        fields.append(Field(f"{path}.{sort}" if set_ else path, "spec.volumes[*]", mapping(one).get(sort)))
    if not names:
        return None
    detail = (
        f"{many(len(names), 'volume', 'volumes')} {quoted(names)} {many(len(names), 'uses', 'use')} "
        f"{many(len(types), 'restricted volume type', 'restricted volume types')} {quoted(sorted(types))}"
    )
    return Said("restricted volume types", detail, tuple(fields))


def seccomp_restricted(pod: Pod) -> Said | None:
    """Seccomp profiles are set, and are the runtime's or a local one."""
    said, set_, without = seccomp_profiles(pod)
    if said is not None or set_ or not without:
        return said
    detail = (
        f"pod or {who([one.name for one in without])} must set securityContext.seccompProfile.type to "
        '"RuntimeDefault" or "Localhost"'
    )
    fields = tuple(one.at("securityContext.seccompProfile.type", None) for one in without)
    return Said("seccompProfile", detail, fields)


def privilege_escalation(pod: Pod) -> Said | None:
    """Every container sets allowPrivilegeEscalation to false."""
    bad = [one for one in pod.containers if one.security.get("allowPrivilegeEscalation") is not False]
    if not bad:
        return None
    return Said(
        "allowPrivilegeEscalation != false",
        f"{who([one.name for one in bad])} must set securityContext.allowPrivilegeEscalation=false",
        tuple(
            one.at("securityContext.allowPrivilegeEscalation", one.security.get("allowPrivilegeEscalation"))
            for one in bad
        ),
    )


def run_as_non_root(pod: Pod) -> Said | None:
    """The pod, or each container, says runAsNonRoot."""
    path = "securityContext.runAsNonRoot"
    of_pod = pod.security.get("runAsNonRoot")
    explicit = [one for one in pod.containers if one.security.get("runAsNonRoot") is False]
    if of_pod is False or explicit:
        fields = [of_pod_field(path, False)] if of_pod is False else []
        fields += [one.at(path, False) for one in explicit]
        setters = setters_of(of_pod is False, [one.name for one in explicit])
        return Said("runAsNonRoot != true", f"{setters} must not set {path}=false", tuple(fields))
    implicit = [one for one in pod.containers if one.security.get("runAsNonRoot") is None]
    if of_pod is True or not implicit:
        return None
    return Said(
        "runAsNonRoot != true",
        f"pod or {who([one.name for one in implicit])} must set {path}=true",
        tuple(one.at(path, None) for one in implicit),
    )


def run_as_user(pod: Pod) -> Said | None:
    """Nobody asks for user 0."""
    path = "securityContext.runAsUser"
    by_pod = _zero(pod.security.get("runAsUser"))
    bad = [one for one in pod.containers if _zero(one.security.get("runAsUser"))]
    if not by_pod and not bad:
        return None
    fields = [of_pod_field(path, 0)] if by_pod else []
    fields += [one.at(path, 0) for one in bad]
    setters = setters_of(by_pod, [one.name for one in bad])
    return Said("runAsUser=0", f"{setters} must not set runAsUser=0", tuple(fields))


def _zero(value: Any) -> bool:
    return value is not None and not isinstance(value, bool) and value == 0


def unless_windows(check: Check) -> Check:
    """Return the check, which spares pods that say that they run on Windows."""
    return lambda pod: None if pod.windows else check(pod)


def unless_own_users(check: Check) -> Check:
    """Return the check, which spares pods with users of their own."""
    return lambda pod: None if pod.own_users else check(pod)
