"""The checks of the baseline level, each in the revisions that policy versions name.

A check looks at one pod and gives what it forbids, in Kubernetes' own words. It knows nothing of namespaces, labels, requests or
exemptions. Source: k8s.io/pod-security-admission/policy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from fairlead.judge.standards_pods import (
    PROFILES,
    Check,
    Container,
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

_APPARMOR: Final = "container.apparmor.security.beta.kubernetes.io/"
_SECCOMP_POD: Final = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER: Final = "container.seccomp.security.alpha.kubernetes.io/"
_PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")
_HOOKS: Final = ("postStart", "preStop")
_CAPABILITIES: Final = (
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID",
        "SETPCAP", "SETUID", "SYS_CHROOT")  # fmt: skip
_SELINUX: Final = ("", "container_t", "container_init_t", "container_kvm_t")
_SELINUX_31: Final = (*_SELINUX, "container_engine_t")
SYSCTLS: Final = (
        "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range",
        "net.ipv4.ip_unprivileged_port_start")  # fmt: skip
SYSCTLS_27: Final = (*SYSCTLS, "net.ipv4.ip_local_reserved_ports")
SYSCTLS_29: Final = (
    *SYSCTLS_27,
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
)
SYSCTLS_32: Final = (*SYSCTLS_29, "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem")
SYSCTLS_37: Final = (*SYSCTLS_32, "net.ipv4.tcp_slow_start_after_idle", "net.ipv4.tcp_notsent_lowat")


def windows_host_process(pod: Pod) -> Said | None:
    """HostProcess containers are forbidden."""
    path = "securityContext.windowsOptions.hostProcess"
    by_pod = mapping(pod.security.get("windowsOptions")).get("hostProcess") is True
    bad = [
        one
        for one in pod.containers
        if one.security and mapping(one.security.get("windowsOptions")).get("hostProcess") is True
    ]
    if not by_pod and not bad:
        return None
    fields = [of_pod_field(path, True)] if by_pod else []
    fields += [one.at(path, True) for one in bad]
    setters = setters_of(by_pod, [one.name for one in bad])
    return Said(
        "hostProcess",
        f"{setters} must not set securityContext.windowsOptions.hostProcess=true",
        tuple(fields),
    )


def host_namespaces(pod: Pod) -> Said | None:
    """Sharing the host's namespaces is forbidden."""
    bad = [key for key in ("hostNetwork", "hostPID", "hostIPC") if pod.spec.get(key) is True]
    if not bad:
        return None
    return Said(
        "host namespaces",
        ", ".join(f"{key}=true" for key in bad),
        tuple(of_pod_field(key, True) for key in bad),
    )


def privileged(pod: Pod) -> Said | None:
    """Privileged containers are forbidden."""
    bad = [one for one in pod.containers if one.security.get("privileged") is True]
    if not bad:
        return None
    return Said(
        "privileged",
        f"{who([one.name for one in bad])} must not set securityContext.privileged=true",
        tuple(one.at("securityContext.privileged", True) for one in bad),
    )


def added_beyond(pod: Pod, allowed: tuple[str, ...]) -> tuple[list[str], set[str], list[Field]]:
    """Return the containers that add other capabilities, those capabilities, and the places."""
    names: list[str] = []
    found: set[str] = set()
    fields: list[Field] = []
    for one in pod.containers:
        added = items(mapping(one.security.get("capabilities")).get("add"))
        bad = [str(name) for name in added if name not in allowed]
        if bad:
            names.append(one.name)
            found.update(bad)
            fields.append(one.at("securityContext.capabilities.add", bad))
    return names, found, fields


def capabilities_baseline(pod: Pod) -> Said | None:
    """Only capabilities of the default set may be added."""
    names, found, fields = added_beyond(pod, _CAPABILITIES)
    if not names:
        return None
    return Said(
        "non-default capabilities",
        f"{who(names)} must not include {quoted(sorted(found))} in securityContext.capabilities.add",
        tuple(fields),
    )


def host_path_volumes(pod: Pod) -> Said | None:
    """HostPath volumes are forbidden."""
    bad = [
        (index, one)
        for index, one in enumerate(items(pod.spec.get("volumes")))
        if mapping(one).get("hostPath") is not None
    ]
    if not bad:
        return None
    names = [str(one.get("name") or "") for _, one in bad]
    fields = tuple(
        Field(f"spec.volumes[{index}].hostPath", "spec.volumes[*].hostPath", one["hostPath"])
        for index, one in bad
    )
    return Said("hostPath volumes", f"{many(len(bad), 'volume', 'volumes')} {quoted(names)}", fields)


def host_ports(pod: Pod) -> Said | None:
    """Host ports are forbidden."""
    names: list[str] = []
    ports: set[str] = set()
    fields: list[Field] = []
    for one in pod.containers:
        bad = [
            (index, port.get("hostPort"))
            for index, port in enumerate(items(one.content.get("ports")))
            if mapping(port).get("hostPort")
        ]
        if bad:
            names.append(one.name)
            ports.update(str(port) for _, port in bad)
            fields += [
                one.at(f"ports[{index}].hostPort", port)._replace(
                    pattern=f"spec.{one.group}[*].ports[*].hostPort"
                )
                for index, port in bad
            ]
    if not names:
        return None
    detail = (
        f"{who(names)} {many(len(names), 'uses', 'use')} {many(len(ports), 'hostPort', 'hostPorts')} "
        f"{', '.join(sorted(ports))}"
    )
    return Said("hostPort", detail, tuple(fields))


def _handlers(container: Container) -> Iterator[tuple[str, Any]]:
    lifecycle = mapping(container.content.get("lifecycle"))
    for prefix, here, keys in (("", container.content, _PROBES), ("lifecycle.", lifecycle, _HOOKS)):
        for key in keys:
            handler = here.get(key)
            if not handler:
                continue
            for sort in ("httpGet", "tcpSocket"):
                host = mapping(mapping(handler).get(sort)).get("host")
                if host:
                    yield f"{prefix}{key}.{sort}.host", host


def host_probes(pod: Pod) -> Said | None:
    """Probes and lifecycle handlers may not name a host."""
    fields = [one.at(path, host) for one in pod.containers for path, host in _handlers(one)]
    if not fields:
        return None
    names = sorted({one.container for one in fields})
    hosts = sorted({str(one.value) for one in fields})
    detail = (
        f"{who(names)} {many(len(names), 'uses', 'use')} "
        f"{many(len(hosts), 'probe or lifecycle host', 'probe or lifecycle hosts')} {quoted(hosts)}"
    )
    return Said("probe or lifecycle host", detail, tuple(fields))


def app_armor(pod: Pod) -> Said | None:
    """AppArmor may be overridden only by the runtime's or a local profile, in fields and in annotations."""
    path = "securityContext.appArmorProfile.type"
    fields: list[Field] = []
    values: set[str] = set()
    setters: list[str] = []

    def bad(security: Mapping[str, Any]) -> str | None:
        profile = security.get("appArmorProfile")
        if isinstance(profile, Mapping) and profile.get("type") not in PROFILES:
            return str(profile.get("type") or "")
        return None

    of_pod = bad(pod.security)
    if of_pod is not None:
        setters.append("pod")
        values.add(of_pod)
        fields.append(of_pod_field(path, of_pod))
    names: list[str] = []
    for one in pod.containers:
        found = bad(one.security) if one.security else None
        if found is not None:
            names.append(one.name)
            values.add(found)
            fields.append(one.at(path, found))
    if names:
        setters.append(who(names))
    annotations = sorted(
        (key, str(value))
        for key, value in pod.annotations.items()
        if key.startswith(_APPARMOR)
        and value
        and value != "runtime/default"
        and not str(value).startswith("localhost/")
    )
    told = quoted(sorted(values))
    if annotations:
        setters.append(many(len(annotations), "annotation", "annotations"))
        said = ", ".join(f"{key}={quoted([value])}" for key, value in annotations)
        told = f"{told}, {said}" if told else said
        fields += [
            Field(f"metadata.annotations[{key}]", "metadata.annotations", value) for key, value in annotations
        ]
    if not setters:
        return None
    reason = many(len(values) + len(annotations), "forbidden AppArmor profile", "forbidden AppArmor profiles")
    return Said(
        reason, f"{' and '.join(setters)} must not set AppArmor profile type to {told}", tuple(fields)
    )


def _selinux(pod: Pod, allowed: tuple[str, ...]) -> Said | None:
    types: set[str] = set()
    others: set[str] = set()
    fields: list[Field] = []

    def bad(options: Mapping[str, Any], place: Callable[[str, Any], Field]) -> bool:
        before = len(fields)
        sort = options.get("type") or ""
        if sort not in allowed:
            types.add(str(sort))
            fields.append(place("securityContext.seLinuxOptions.type", sort))
        for key in ("user", "role"):
            if options.get(key):
                others.add(key)
                fields.append(place(f"securityContext.seLinuxOptions.{key}", options[key]))
        return len(fields) > before

    by_pod = bad(mapping(pod.security.get("seLinuxOptions")), of_pod_field)
    names = [
        one.name
        for one in pod.containers
        if "seLinuxOptions" in one.security and bad(mapping(one.security["seLinuxOptions"]), one.at)
    ]
    if not by_pod and not names:
        return None
    data = [f"{many(len(types), 'type', 'types')} {quoted(sorted(types))}"] if types else []
    data += [f"{key} may not be set" for key in ("user", "role") if key in others]
    detail = f"{setters_of(by_pod, names)} set forbidden securityContext.seLinuxOptions: {'; '.join(data)}"
    return Said("seLinuxOptions", detail, tuple(fields))


def selinux_1_0(pod: Pod) -> Said | None:
    """Only container types of SELinux, and neither user nor role."""
    return _selinux(pod, _SELINUX)


def selinux_1_31(pod: Pod) -> Said | None:
    """The same, with container_engine_t."""
    return _selinux(pod, _SELINUX_31)


def proc_mount(pod: Pod) -> Said | None:
    """The default masks of /proc stay."""
    bad = [
        (one, one.security["procMount"])
        for one in pod.containers
        if one.security.get("procMount") not in (None, "Default")
    ]
    if not bad:
        return None
    types = sorted({str(value) for _, value in bad})
    return Said(
        "procMount",
        f"{who([one.name for one, _ in bad])} must not set securityContext.procMount to {quoted(types)}",
        tuple(one.at("securityContext.procMount", value) for one, value in bad),
    )


def proc_mount_1_35(pod: Pod) -> Said | None:
    """The same, unless the pod has users of its own."""
    return None if pod.own_users else proc_mount(pod)


def seccomp_baseline_1_0(pod: Pod) -> Said | None:
    """Seccomp annotations name only the runtime's or a local profile."""
    keys = [_SECCOMP_POD, *(_SECCOMP_CONTAINER + one.name for one in pod.containers)]
    bad = {
        key: str(pod.annotations[key])
        for key in keys
        if key in pod.annotations
        and pod.annotations[key] not in ("runtime/default", "docker/default")
        and not str(pod.annotations[key]).startswith("localhost/")
    }
    if not bad:
        return None
    told = ", ".join(f"{key}={quoted([bad[key]])}" for key in sorted(bad))
    fields = tuple(
        Field(f"metadata.annotations[{key}]", "metadata.annotations", bad[key]) for key in sorted(bad)
    )
    return Said("seccompProfile", f"forbidden {many(len(bad), 'annotation', 'annotations')} {told}", fields)


def seccomp_profiles(pod: Pod) -> tuple[Said | None, bool, list[Container]]:
    """Return what sets a forbidden profile, whether the pod sets an allowed one, and the containers that set none."""
    path = "securityContext.seccompProfile.type"
    values: set[str] = set()
    fields: list[Field] = []
    by_pod = set_ = False
    profile = pod.security.get("seccompProfile")
    if isinstance(profile, Mapping):
        set_ = profile.get("type") in PROFILES
        if not set_:
            by_pod = True
            values.add(str(profile.get("type") or ""))
            fields.append(of_pod_field(path, profile.get("type")))
    names: list[str] = []
    without: list[Container] = []
    for one in pod.containers:
        profile = one.security.get("seccompProfile")
        if not isinstance(profile, Mapping):
            without.append(one)
        elif profile.get("type") not in PROFILES:
            names.append(one.name)
            values.add(str(profile.get("type") or ""))
            fields.append(one.at(path, profile.get("type")))
    if not by_pod and not names:
        return None, set_, without
    detail = (
        f"{setters_of(by_pod, names)} must not set securityContext.seccompProfile.type to "
        f"{quoted(sorted(values))}"
    )
    return Said("seccompProfile", detail, tuple(fields)), set_, without


def seccomp_baseline_1_19(pod: Pod) -> Said | None:
    """Seccomp profiles, where set, are the runtime's or a local one."""
    return seccomp_profiles(pod)[0]


def _sysctls(pod: Pod, allowed: tuple[str, ...]) -> Said | None:
    bad = [
        (index, str(mapping(one).get("name") or ""))
        for index, one in enumerate(items(pod.security.get("sysctls")))
        if mapping(one).get("name") not in allowed
    ]
    if not bad:
        return None
    return Said(
        "forbidden sysctls",
        ", ".join(name for _, name in bad),
        tuple(
            Field(f"spec.securityContext.sysctls[{index}].name", "spec.securityContext.sysctls[*].name", name)
            for index, name in bad
        ),
    )


def sysctls(allowed: tuple[str, ...]) -> Check:
    """Return the check that allows only these sysctls."""
    return lambda pod: _sysctls(pod, allowed)
