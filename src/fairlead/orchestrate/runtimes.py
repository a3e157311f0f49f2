"""What a node asks a runtime to do, and what the runtime reports back.

Data only, shared by the drivers that run things and the loop that decides what should run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Mount:
    """A host path seen inside a container."""

    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxPlan:
    """What the containers of one pod share. `log_dir` is a host directory; labels go to the runtime as they are."""

    uid: str
    namespace: str
    name: str
    attempt: int = 0
    hostname: str = ""
    log_dir: str = ""
    host_network: bool = False
    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    ports: tuple[tuple[int, int, str], ...] = ()
    """Host port, container port, TCP or UDP."""
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerPlan:
    """One container to be started, every reference resolved. `log_path` is relative to the sandbox's log_dir.

    `command` and `args` replace the image's entrypoint and cmd when not None. CPU in thousandths, memory in bytes.
    """

    name: str
    attempt: int
    image: str
    command: tuple[str, ...] | None = None
    args: tuple[str, ...] | None = None
    env: tuple[tuple[str, str], ...] = ()
    working_dir: str = ""
    mounts: tuple[Mount, ...] = ()
    log_path: str = ""
    cpu_limit: int | None = None
    cpu_request: int = 0
    memory_limit: int | None = None
    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool = False
    supplemental_groups: tuple[int, ...] = ()
    privileged: bool = False
    read_only_root: bool = False
    no_new_privileges: bool = False
    seccomp: tuple[str, str] = ("Unconfined", "")
    """RuntimeDefault, Unconfined or Localhost; the name of the node's own profile in the last case."""
    add_capabilities: tuple[str, ...] = ()
    drop_capabilities: tuple[str, ...] = ()
    tty: bool = False
    stdin: bool = False
    oom_score_adj: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSeen:
    """A sandbox as the runtime reports it. Times are nanoseconds since the epoch."""

    id: str
    uid: str
    namespace: str
    name: str
    attempt: int
    ready: bool
    created_at: int
    ip: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSeen:
    """A container as the runtime reports it. Times are nanoseconds since the epoch, 0 when not yet.

    `reason` is Completed, Error, OOMKilled, ContainerCannotRun ...; `image_id` has the digest.
    """

    id: str
    sandbox: str
    uid: str
    name: str
    attempt: int
    state: Literal["created", "running", "exited", "unknown"]
    created_at: int = 0
    started_at: int = 0
    finished_at: int = 0
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    image: str = ""
    image_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSeen:
    """An image on the node: its id (a digest), its names and its size in bytes; `user` is what it wants to run as."""

    id: str
    names: tuple[str, ...]
    size: int
    user: str = ""


@dataclass(frozen=True, slots=True)
class ExecResult:
    """What a command run in a container left behind."""

    exit_code: int
    stdout: bytes
    stderr: bytes


class PullFailed(Exception):
    """An image could not be had; the text is the registry's or the runtime's own."""


class StartFailed(Exception):
    """A container could not be made or started. `reason` is kubelet's: CreateContainerError, RunContainerError ..."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class RuntimeFailed(Exception):
    """A runtime refused, or did not answer; the text is its own."""
