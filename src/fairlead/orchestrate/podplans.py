"""What a runtime is to be told about a pod: its sandbox, its containers, its hosts file.

Pure: every reference is resolved before, and what cannot be honoured is a `ConfigFault` in kubelet's words. Source:
kubelet's kuberuntime_container.go, kuberuntime_sandbox.go, security_context.go, kubelet_pods.go and qos/policy.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fairlead.orchestrate import names
from fairlead.orchestrate.podenv import ConfigFault, expand
from fairlead.orchestrate.podspecs import Spec, amount, every, name_of, qos_class, security
from fairlead.orchestrate.runtimes import ContainerPlan, ImageSeen, Mount, SandboxPlan
from fairlead.tongues import quantities
from fairlead.words import Resource


@dataclass(frozen=True, slots=True)
class Resolver:
    """How the node resolves names, and the cluster's name servers where there are any (a runtime's `gateway`)."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    cluster: tuple[str, ...] = ()


def hostname(pod: Resource) -> str:
    """Return the name that the pod's containers see as their own."""
    return str(pod["spec"].get("hostname") or pod["metadata"]["name"])[:63].rstrip("-.")


def unsupported(pod: Resource) -> list[str]:
    """Return the parts of the spec that this node does not honour yet and must not run the pod without."""
    spec = pod["spec"]
    found = [f"spec.{key}" for key in ("hostPID", "hostIPC", "shareProcessNamespace") if spec.get(key)]
    if spec.get("hostUsers") is False:
        found.append("spec.hostUsers=false")
    if (spec.get("securityContext") or {}).get("sysctls"):
        found.append("spec.securityContext.sysctls")
    if spec.get("setHostnameAsFQDN"):
        found.append("spec.setHostnameAsFQDN")
    if spec.get("resourceClaims"):
        found.append("spec.resourceClaims")
    for container in every(pod):
        place = f"container {container['name']}: "
        if container.get("volumeDevices"):
            found.append(place + "volumeDevices")
        if (security(pod, container, "appArmorProfile") or {}).get("type") == "Localhost":
            found.append(place + "securityContext.appArmorProfile of type Localhost")
        if security(pod, container, "windowsOptions"):
            found.append(place + "securityContext.windowsOptions")
    return found


def _resolving(pod: Resource, resolver: Resolver) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the name servers and search domains that the pod's dnsPolicy gives it."""
    policy = pod["spec"].get("dnsPolicy") or "ClusterFirst"
    if policy == "None":
        return (), ()
    of_cluster = policy == "ClusterFirstWithHostNet" or (
        policy == "ClusterFirst" and not pod["spec"].get("hostNetwork")
    )
    if resolver.cluster and of_cluster:
        own = names.searches(pod["metadata"]["namespace"])
        return resolver.cluster, tuple(dict.fromkeys((*own, *resolver.searches)))
    return resolver.nameservers, resolver.searches


def sandbox_plan(pod: Resource, attempt: int, log_dir: str, resolver: Resolver) -> SandboxPlan:
    """Return what the pod's containers share. Without a cluster's name server, ClusterFirst is what Default is."""
    meta, spec = pod["metadata"], pod["spec"]
    own = spec.get("dnsConfig") or {}
    nameservers, searches = _resolving(pod, resolver)
    nameservers = (*nameservers, *(own.get("nameservers") or ()))
    searches = (*searches, *(own.get("searches") or ()))
    ports = [
        (port["hostPort"], port["containerPort"], port.get("protocol") or "TCP")
        for container in every(pod)
        for port in container.get("ports") or ()
        if port.get("hostPort") and not spec.get("hostNetwork")
    ]
    return SandboxPlan(
        uid=meta["uid"],
        namespace=meta["namespace"],
        name=meta["name"],
        attempt=attempt,
        hostname=hostname(pod),
        log_dir=log_dir,
        host_network=bool(spec.get("hostNetwork")),
        nameservers=tuple(dict.fromkeys(nameservers)),
        searches=tuple(dict.fromkeys(searches)),
        ports=tuple(ports),
        labels={str(key): str(value) for key, value in (meta.get("labels") or {}).items()},
    )


def log_path(name: str, attempt: int) -> str:
    """Return where a container's log is, relative to its sandbox's log directory."""
    return f"{name}/{attempt}.log"


def check_user(pod: Resource, container: Spec, image: ImageSeen) -> None:
    """Refuse a container that promises not to run as root and would. Raises ConfigFault with kubelet's text."""
    if not security(pod, container, "runAsNonRoot"):
        return
    where = f'(pod: "{name_of(pod)}", container: {container["name"]})'
    user = security(pod, container, "runAsUser")
    if user is not None:
        if user == 0:
            raise ConfigFault(f"container's runAsUser breaks non-root policy {where}")
        return
    wanted = image.user.partition(":")[0]
    if wanted and not wanted.isdigit():
        raise ConfigFault(
            f"container has runAsNonRoot and image has non-numeric user ({wanted}), "
            f"cannot verify user is non-root {where}"
        )
    if not wanted or int(wanted) == 0:
        raise ConfigFault(f"container has runAsNonRoot and image will run as root {where}")


def oom_score(pod: Resource, container: Spec, memory: int) -> int:
    """Return how soon the kernel may kill the container when memory runs out; `memory` is the node's, in bytes."""
    kind = qos_class(pod)
    if kind == "Guaranteed" or pod["spec"].get("priorityClassName") == "system-node-critical":
        return -997
    if kind == "BestEffort" or memory <= 0:
        return 1000
    score = int(1000 - 1000 * (amount(container, "requests", "memory") or 0) // memory)
    return min(max(score, 3), 999)


def container_plan(
    pod: Resource,
    container: Spec,
    image: ImageSeen,
    *,
    attempt: int,
    env: Sequence[tuple[str, str]],
    mounts: Sequence[Mount],
    node_memory: int,
) -> ContainerPlan:
    """Return the plan of one container. Raises ConfigFault."""
    check_user(pod, container, image)
    values = dict(env)
    context: Mapping[str, Any] = container.get("securityContext") or {}
    pod_context: Mapping[str, Any] = pod["spec"].get("securityContext") or {}
    capabilities = context.get("capabilities") or {}
    groups = [*(pod_context.get("supplementalGroups") or ())]
    if pod_context.get("fsGroup") is not None:
        groups.append(pod_context["fsGroup"])
    cpu_limit = amount(container, "limits", "cpu")
    cpu_request = amount(container, "requests", "cpu")
    memory_limit = amount(container, "limits", "memory")
    run_as_group = security(pod, container, "runAsGroup")
    run_as_user = security(pod, container, "runAsUser")
    seccomp: Mapping[str, Any] = security(pod, container, "seccompProfile") or {}

    def words(key: str) -> tuple[str, ...] | None:
        given = container.get(key)
        return tuple(expand(word, values.get) for word in given) if given else None

    return ContainerPlan(
        name=container["name"],
        attempt=attempt,
        image=image.id,
        command=words("command"),
        args=words("args"),
        env=tuple(env),
        working_dir=container.get("workingDir") or "",
        mounts=tuple(mounts),
        log_path=log_path(container["name"], attempt),
        cpu_limit=quantities.milli(cpu_limit) if cpu_limit else None,
        cpu_request=quantities.milli(cpu_request if cpu_request is not None else cpu_limit or 0),
        memory_limit=quantities.whole(memory_limit) if memory_limit else None,
        run_as_user=run_as_user,
        run_as_group=run_as_group,
        run_as_non_root=bool(security(pod, container, "runAsNonRoot")),
        supplemental_groups=tuple(dict.fromkeys(groups)),
        privileged=bool(context.get("privileged")),
        read_only_root=bool(context.get("readOnlyRootFilesystem")),
        no_new_privileges=context.get("allowPrivilegeEscalation") is False,
        seccomp=(seccomp.get("type") or "Unconfined", seccomp.get("localhostProfile") or ""),
        add_capabilities=tuple(capabilities.get("add") or ()),
        drop_capabilities=tuple(capabilities.get("drop") or ()),
        tty=bool(container.get("tty")),
        stdin=bool(container.get("stdin")),
        oom_score_adj=oom_score(pod, container, node_memory),
    )


def sub_path(mount: Mapping[str, Any], env: Mapping[str, str]) -> str:
    """Return the path below its volume that a mount shows, "" for all of it. Raises ConfigFault."""
    path = mount.get("subPath") or ""
    if mount.get("subPathExpr"):
        lacking: list[str] = []

        def value(name: str) -> str | None:
            if name not in env:
                lacking.append(name)
            return env.get(name)

        path = expand(mount["subPathExpr"], value)
        if lacking:
            raise ConfigFault(
                f'failed to expand subPath for volumeMount "{mount["name"]}": '
                f"missing value for {', '.join(lacking)}"
            )
    if path.startswith("/"):
        raise ConfigFault(f"error SubPath `{path}` must not be an absolute path")
    if ".." in path.split("/"):
        raise ConfigFault(f"unable to provision SubPath `{path}`: must not contain '..'")
    return path.strip("/")


def hosts_file(pod: Resource, ips: Sequence[str], of_host: str) -> str:
    """Return the content of /etc/hosts. `of_host` is the host's own file, for pods that share its network."""
    spec = pod["spec"]
    if spec.get("hostNetwork"):
        text = "# Kubernetes-managed hosts file (host network).\n" + of_host
    else:
        lines = [
            "# Kubernetes-managed hosts file.",
            "127.0.0.1\tlocalhost",
            "::1\tlocalhost ip6-localhost ip6-loopback",
            "fe00::0\tip6-localnet",
            "fe00::0\tip6-mcastprefix",
            "fe00::1\tip6-allnodes",
            "fe00::2\tip6-allrouters",
        ]
        names = [hostname(pod)]
        if spec.get("subdomain"):
            names.insert(
                0, f"{names[0]}.{spec['subdomain']}.{pod['metadata']['namespace']}.svc.cluster.local"
            )
        lines += ["\t".join([ip, *names]) for ip in ips]
        text = "\n".join(lines) + "\n"
    aliases = spec.get("hostAliases") or ()
    if aliases:
        text += "\n# Entries added by HostAliases.\n"
        text += "".join("\t".join([alias["ip"], *(alias.get("hostnames") or ())]) + "\n" for alias in aliases)
    return text
