"""Plans in the CRI's words, and what the CRI says in ours: nothing but translation, in both directions.

The numbers are kubelet's (pkg/kubelet/cm, kuberuntime_container_linux.go).
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Final, Literal, cast

from fairlead.drivers.containers import messages as cri
from fairlead.orchestrate.runtimes import ContainerPlan, ContainerSeen, ImageSeen, SandboxPlan, StartFailed

_PERIOD: Final = 100_000  # microseconds of the CPU quota's period, as kubelet sets it
_LEAST_QUOTA: Final = 1_000
POD_UID: Final = "io.kubernetes.pod.uid"

# What kubelet asks the runtime to hide from a container, and to keep it from writing to.
_MASKED: Final = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
_READ_ONLY: Final = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def sandbox(plan: SandboxPlan, cgroup: str) -> cri.SandboxConfig:
    """Return a sandbox's configuration; its containers go below the given cgroup."""
    dns = None
    if plan.nameservers or plan.searches:
        # kubelet's own option for pods that resolve cluster names first.
        options = ("ndots:5",) if any(search.startswith("svc.") for search in plan.searches) else ()
        dns = cri.DNSConfig(plan.nameservers, plan.searches, options)
    return cri.SandboxConfig(
        metadata=cri.SandboxMetadata(plan.name, plan.uid, plan.namespace, plan.attempt),
        hostname="" if plan.host_network else plan.hostname or plan.name,
        log_directory=plan.log_dir,
        dns_config=dns,
        labels=dict(plan.labels),
        linux=cri.LinuxSandbox(
            cgroup_parent=f"{cgroup}/pod{plan.uid}",
            security_context=cri.SandboxSecurity(_namespaces(plan), privileged=True),
        ),
    )


def _namespaces(plan: SandboxPlan) -> cri.NamespaceOption:
    return cri.NamespaceOption(network=cri.NODE if plan.host_network else cri.POD, pid=cri.CONTAINER)


def _resources(plan: ContainerPlan) -> cri.Resources:
    """Return limits as kubelet counts them: shares of 1024 a CPU, at least 2; a quota of each 100 ms, at least 1 ms."""
    shares = max(2, (plan.cpu_request or plan.cpu_limit or 0) * 1024 // 1000)
    out = cri.Resources(cpu_shares=shares, oom_score_adj=plan.oom_score_adj)
    if plan.cpu_limit:
        out.cpu_period = _PERIOD
        out.cpu_quota = max(_LEAST_QUOTA, plan.cpu_limit * _PERIOD // 1000)
    if plan.memory_limit:
        out.memory_limit_in_bytes = plan.memory_limit
    return out


def seccomp(plan: ContainerPlan, profiles: Path) -> cri.SecurityProfile:
    """Return which system calls the container is left. A profile of the node's own lies below `profiles`. Raises StartFailed."""
    kind, name = plan.seccomp
    if kind not in cri.SECCOMP_TYPES:
        raise StartFailed("CreateContainerError", f"unknown seccompProfile type: {kind}")
    if kind != "Localhost":
        return cri.SecurityProfile(cri.SECCOMP_TYPES.index(kind))
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts:
        raise StartFailed(
            "CreateContainerError", f"localhostProfile must be a path below {profiles}: {name!r}"
        )
    return cri.SecurityProfile(cri.SECCOMP_TYPES.index(kind), str(profiles / name))


def container(
    sandbox: SandboxPlan, plan: ContainerPlan, image_user: str = "", profiles: Path = Path("/")
) -> cri.ContainerConfig:
    """Return a container's configuration. `image_user` is whom the image wants to run as.

    It matters where only a group was asked for, which the runtime takes with a user alone. `profiles` is as in `seccomp`. Raises StartFailed.
    """
    user, username = None, ""
    if plan.run_as_user is not None:
        user = cri.Int64Value(plan.run_as_user)
    elif plan.run_as_group is not None:
        wanted = image_user.partition(":")[0] or "0"
        user, username = (cri.Int64Value(int(wanted)), "") if wanted.isdecimal() else (None, wanted)
    group = None if plan.run_as_group is None else cri.Int64Value(plan.run_as_group)
    return cri.ContainerConfig(
        metadata=cri.ContainerMetadata(plan.name, plan.attempt),
        image=cri.ImageSpec(plan.image),
        command=plan.command or (),
        args=plan.args or (),
        working_dir=plan.working_dir,
        envs=tuple(cri.KeyValue(key, value) for key, value in plan.env),
        mounts=tuple(cri.Mount(mount.target, mount.source, mount.read_only) for mount in plan.mounts),
        labels={
            "io.kubernetes.container.name": plan.name,
            "io.kubernetes.pod.name": sandbox.name,
            "io.kubernetes.pod.namespace": sandbox.namespace,
            POD_UID: sandbox.uid,
        },
        log_path=plan.log_path,
        stdin=plan.stdin,
        tty=plan.tty,
        linux=cri.LinuxContainer(
            _resources(plan),
            cri.ContainerSecurity(
                capabilities=cri.Capability(plan.add_capabilities, plan.drop_capabilities),
                privileged=plan.privileged,
                namespace_options=_namespaces(sandbox),
                run_as_user=user,
                run_as_username=username,
                run_as_group=group,
                readonly_rootfs=plan.read_only_root,
                supplemental_groups=plan.supplemental_groups,
                no_new_privs=plan.no_new_privileges,
                masked_paths=() if plan.privileged else _MASKED,
                readonly_paths=() if plan.privileged else _READ_ONLY,
                seccomp=seccomp(plan, profiles),
            ),
        ),
    )


def container_seen(status: cri.ContainerStatus, sandbox_id: str, uid: str) -> ContainerSeen:
    """Return a container as it is reported; `uid` is its pod's."""
    meta = status.metadata or cri.ContainerMetadata()
    state = cri.CONTAINER_STATES[status.state] if status.state < len(cri.CONTAINER_STATES) else "unknown"
    return ContainerSeen(
        id=status.id,
        sandbox=sandbox_id,
        uid=uid,
        name=meta.name,
        attempt=meta.attempt,
        state=cast("Literal['created', 'running', 'exited', 'unknown']", state),
        created_at=status.created_at,
        # containerd notes the start when it hears of it, which for a quick container is after its end.
        started_at=min(status.started_at, status.finished_at or status.started_at),
        finished_at=status.finished_at,
        exit_code=status.exit_code,
        reason=status.reason,
        message=status.message,
        image=status.image.image if status.image else "",
        image_id=status.image_ref,
    )


def image_seen(image: cri.Image) -> ImageSeen:
    """Return an image as it is reported; its names are tags and digests."""
    user = str(image.uid.value) if image.uid is not None else image.username
    return ImageSeen(id=image.id, names=(*image.repo_tags, *image.repo_digests), size=image.size, user=user)
