"""The messages of the Container Runtime Interface (runtime.v1) that this driver uses, with their field numbers.

Names and numbers are those of the interface's own definition; fields that nobody here reads or writes are left
out. Data only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

POD, CONTAINER, NODE = 0, 1, 2  # NamespaceMode
PROPAGATION_HOST_TO_CONTAINER = 1
SANDBOX_READY = 0
CONTAINER_STATES = ("created", "running", "exited", "unknown")


@dataclass(slots=True)
class Empty:
    """A message without fields, or one whose fields are of no interest."""


@dataclass(slots=True)
class VersionResponse:
    """Who answers."""

    version: Annotated[str, 1] = ""
    runtime_name: Annotated[str, 2] = ""
    runtime_version: Annotated[str, 3] = ""


@dataclass(slots=True)
class Condition:
    """RuntimeReady or NetworkReady."""

    type: Annotated[str, 1] = ""
    status: Annotated[bool, 2] = False
    reason: Annotated[str, 3] = ""
    message: Annotated[str, 4] = ""


@dataclass(slots=True)
class RuntimeStatus:
    """The runtime's conditions."""

    conditions: Annotated[tuple[Condition, ...], 1] = ()


@dataclass(slots=True)
class StatusResponse:
    """The runtime's conditions, in their envelope."""

    status: Annotated[RuntimeStatus | None, 1] = None


@dataclass(slots=True)
class DNSConfig:
    """The lines of a resolv.conf."""

    servers: Annotated[tuple[str, ...], 1] = ()
    searches: Annotated[tuple[str, ...], 2] = ()
    options: Annotated[tuple[str, ...], 3] = ()


@dataclass(slots=True)
class Mount:
    """A host path seen inside a container."""

    container_path: Annotated[str, 1] = ""
    host_path: Annotated[str, 2] = ""
    readonly: Annotated[bool, 3] = False
    propagation: Annotated[int, 5] = 0


@dataclass(slots=True)
class NamespaceOption:
    """Which namespaces are shared with whom."""

    network: Annotated[int, 1] = POD
    pid: Annotated[int, 2] = POD
    ipc: Annotated[int, 3] = POD


@dataclass(slots=True)
class Int64Value:
    """A number that may be absent."""

    value: Annotated[int, 1] = 0


@dataclass(slots=True)
class SandboxSecurity:
    """LinuxSandboxSecurityContext."""

    namespace_options: Annotated[NamespaceOption | None, 1] = None
    privileged: Annotated[bool, 6] = False


@dataclass(slots=True)
class LinuxSandbox:
    """LinuxPodSandboxConfig."""

    cgroup_parent: Annotated[str, 1] = ""
    security_context: Annotated[SandboxSecurity | None, 2] = None


@dataclass(slots=True)
class SandboxMetadata:
    """PodSandboxMetadata: what names a sandbox."""

    name: Annotated[str, 1] = ""
    uid: Annotated[str, 2] = ""
    namespace: Annotated[str, 3] = ""
    attempt: Annotated[int, 4] = 0


@dataclass(slots=True)
class SandboxConfig:
    """PodSandboxConfig."""

    metadata: Annotated[SandboxMetadata | None, 1] = None
    hostname: Annotated[str, 2] = ""
    log_directory: Annotated[str, 3] = ""
    dns_config: Annotated[DNSConfig | None, 4] = None
    labels: Annotated[dict[str, str], 6] = field(default_factory=dict)
    linux: Annotated[LinuxSandbox | None, 8] = None


@dataclass(slots=True)
class RunSandbox:
    """RunPodSandboxRequest."""

    config: Annotated[SandboxConfig | None, 1] = None


@dataclass(slots=True)
class Identity:
    """Any request or response whose first field is the id of a sandbox or a container."""

    id: Annotated[str, 1] = ""


@dataclass(slots=True)
class SandboxNetwork:
    """PodSandboxNetworkStatus."""

    ip: Annotated[str, 1] = ""


@dataclass(slots=True)
class SandboxStatus:
    """PodSandboxStatus."""

    id: Annotated[str, 1] = ""
    network: Annotated[SandboxNetwork | None, 5] = None


@dataclass(slots=True)
class SandboxStatusResponse:
    """PodSandboxStatusResponse."""

    status: Annotated[SandboxStatus | None, 1] = None


@dataclass(slots=True)
class Sandbox:
    """PodSandbox, as lists give it."""

    id: Annotated[str, 1] = ""
    metadata: Annotated[SandboxMetadata | None, 2] = None
    state: Annotated[int, 3] = 0
    created_at: Annotated[int, 4] = 0
    labels: Annotated[dict[str, str], 5] = field(default_factory=dict)


@dataclass(slots=True)
class Sandboxes:
    """ListPodSandboxResponse."""

    items: Annotated[tuple[Sandbox, ...], 1] = ()


@dataclass(slots=True)
class ImageSpec:
    """A name or id of an image."""

    image: Annotated[str, 1] = ""


@dataclass(slots=True)
class KeyValue:
    """One variable of the environment."""

    key: Annotated[str, 1] = ""
    value: Annotated[str, 2] = ""


@dataclass(slots=True)
class Resources:
    """LinuxContainerResources. CPU quota and period are microseconds; memory is bytes."""

    cpu_period: Annotated[int, 1] = 0
    cpu_quota: Annotated[int, 2] = 0
    cpu_shares: Annotated[int, 3] = 0
    memory_limit_in_bytes: Annotated[int, 4] = 0
    oom_score_adj: Annotated[int, 5] = 0


@dataclass(slots=True)
class Capability:
    """Capabilities by name, without the CAP_ prefix."""

    add: Annotated[tuple[str, ...], 1] = ()
    drop: Annotated[tuple[str, ...], 2] = ()


SECCOMP_TYPES = ("RuntimeDefault", "Unconfined", "Localhost")  # SecurityProfile.ProfileType


@dataclass(slots=True)
class SecurityProfile:
    """Which system calls are left: a number of SECCOMP_TYPES, and the file of the node's own profile."""

    profile_type: Annotated[int, 1] = 0
    localhost_ref: Annotated[str, 2] = ""


@dataclass(slots=True)
class ContainerSecurity:
    """LinuxContainerSecurityContext."""

    capabilities: Annotated[Capability | None, 1] = None
    privileged: Annotated[bool, 2] = False
    namespace_options: Annotated[NamespaceOption | None, 3] = None
    run_as_user: Annotated[Int64Value | None, 5] = None
    run_as_username: Annotated[str, 6] = ""
    readonly_rootfs: Annotated[bool, 7] = False
    supplemental_groups: Annotated[tuple[int, ...], 8] = ()
    no_new_privs: Annotated[bool, 11] = False
    run_as_group: Annotated[Int64Value | None, 12] = None
    masked_paths: Annotated[tuple[str, ...], 13] = ()
    readonly_paths: Annotated[tuple[str, ...], 14] = ()
    seccomp: Annotated[SecurityProfile | None, 15] = None


@dataclass(slots=True)
class LinuxContainer:
    """LinuxContainerConfig."""

    resources: Annotated[Resources | None, 1] = None
    security_context: Annotated[ContainerSecurity | None, 2] = None


@dataclass(slots=True)
class ContainerMetadata:
    """What names a container inside its sandbox."""

    name: Annotated[str, 1] = ""
    attempt: Annotated[int, 2] = 0


@dataclass(slots=True)
class ContainerConfig:
    """What a container is made from."""

    metadata: Annotated[ContainerMetadata | None, 1] = None
    image: Annotated[ImageSpec | None, 2] = None
    command: Annotated[tuple[str, ...], 3] = ()
    args: Annotated[tuple[str, ...], 4] = ()
    working_dir: Annotated[str, 5] = ""
    envs: Annotated[tuple[KeyValue, ...], 6] = ()
    mounts: Annotated[tuple[Mount, ...], 7] = ()
    labels: Annotated[dict[str, str], 9] = field(default_factory=dict)
    log_path: Annotated[str, 11] = ""
    stdin: Annotated[bool, 12] = False
    tty: Annotated[bool, 14] = False
    linux: Annotated[LinuxContainer | None, 15] = None


@dataclass(slots=True)
class CreateContainer:
    """CreateContainerRequest."""

    pod_sandbox_id: Annotated[str, 1] = ""
    config: Annotated[ContainerConfig | None, 2] = None
    sandbox_config: Annotated[SandboxConfig | None, 3] = None


@dataclass(slots=True)
class StopContainer:
    """StopContainerRequest. The timeout is in whole seconds."""

    container_id: Annotated[str, 1] = ""
    timeout: Annotated[int, 2] = 0


@dataclass(slots=True)
class Container:
    """A container, as lists give it."""

    id: Annotated[str, 1] = ""
    pod_sandbox_id: Annotated[str, 2] = ""
    metadata: Annotated[ContainerMetadata | None, 3] = None
    state: Annotated[int, 6] = 0
    created_at: Annotated[int, 7] = 0
    labels: Annotated[dict[str, str], 8] = field(default_factory=dict)


@dataclass(slots=True)
class Containers:
    """ListContainersResponse."""

    containers: Annotated[tuple[Container, ...], 1] = ()


@dataclass(slots=True)
class ContainerStatus:
    """A container, with all that is known of it. Times are nanoseconds since the epoch."""

    id: Annotated[str, 1] = ""
    metadata: Annotated[ContainerMetadata | None, 2] = None
    state: Annotated[int, 3] = 0
    created_at: Annotated[int, 4] = 0
    started_at: Annotated[int, 5] = 0
    finished_at: Annotated[int, 6] = 0
    exit_code: Annotated[int, 7] = 0
    image: Annotated[ImageSpec | None, 8] = None
    image_ref: Annotated[str, 9] = ""
    reason: Annotated[str, 10] = ""
    message: Annotated[str, 11] = ""
    labels: Annotated[dict[str, str], 12] = field(default_factory=dict)
    log_path: Annotated[str, 15] = ""


@dataclass(slots=True)
class ContainerStatusResponse:
    """ContainerStatusResponse."""

    status: Annotated[ContainerStatus | None, 1] = None


@dataclass(slots=True)
class ExecSync:
    """ExecSyncRequest. The timeout is in whole seconds, 0 for none."""

    container_id: Annotated[str, 1] = ""
    cmd: Annotated[tuple[str, ...], 2] = ()
    timeout: Annotated[int, 3] = 0


@dataclass(slots=True)
class ExecSyncResponse:
    """What the command left behind."""

    stdout: Annotated[bytes, 1] = b""
    stderr: Annotated[bytes, 2] = b""
    exit_code: Annotated[int, 3] = 0


@dataclass(slots=True)
class Image:
    """An image that the runtime has."""

    id: Annotated[str, 1] = ""
    repo_tags: Annotated[tuple[str, ...], 2] = ()
    repo_digests: Annotated[tuple[str, ...], 3] = ()
    size: Annotated[int, 4] = 0
    uid: Annotated[Int64Value | None, 5] = None
    username: Annotated[str, 6] = ""


@dataclass(slots=True)
class Images:
    """ListImagesResponse."""

    images: Annotated[tuple[Image, ...], 1] = ()


@dataclass(slots=True)
class ImageRequest:
    """ImageStatusRequest and RemoveImageRequest."""

    image: Annotated[ImageSpec | None, 1] = None


@dataclass(slots=True)
class ImageStatusResponse:
    """The image, or nothing."""

    image: Annotated[Image | None, 1] = None


@dataclass(slots=True)
class AuthConfig:
    """Who we are to a registry."""

    username: Annotated[str, 1] = ""
    password: Annotated[str, 2] = ""
    auth: Annotated[str, 3] = ""
    server_address: Annotated[str, 4] = ""
    identity_token: Annotated[str, 5] = ""
    registry_token: Annotated[str, 6] = ""


@dataclass(slots=True)
class PullImage:
    """PullImageRequest."""

    image: Annotated[ImageSpec | None, 1] = None
    auth: Annotated[AuthConfig | None, 2] = None


@dataclass(slots=True)
class PullImageResponse:
    """The id of the image."""

    image_ref: Annotated[str, 1] = ""


@dataclass(slots=True)
class UInt64Value:
    """A number that may be absent."""

    value: Annotated[int, 1] = 0


@dataclass(slots=True)
class Usage:
    """CpuUsage (nanoseconds of a core, since the start) and MemoryUsage (bytes of the working set)."""

    timestamp: Annotated[int, 1] = 0
    amount: Annotated[UInt64Value | None, 2] = None


@dataclass(slots=True)
class StatsAttributes:
    """Whose numbers these are."""

    id: Annotated[str, 1] = ""


@dataclass(slots=True)
class ContainerStats:
    """What one container uses."""

    attributes: Annotated[StatsAttributes | None, 1] = None
    cpu: Annotated[Usage | None, 2] = None
    memory: Annotated[Usage | None, 3] = None


@dataclass(slots=True)
class StatsResponse:
    """ListContainerStatsResponse."""

    stats: Annotated[tuple[ContainerStats, ...], 1] = ()
