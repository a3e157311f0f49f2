"""What a container runtime tells of one container: by the CRI, by containerd's own interface, or by Docker's.

Asks and translates into sense's words. Must never start, change or end anything, nor hold anything but its connections: whoever asks
remembers the answers. Sources: k8s.io/cri-api runtime/v1 api.proto; containerd api/services/containers/v1; Docker Engine API 1.41.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Protocol

import httpx

from fairlead.drivers.containers.lines import CallFailed, Line
from fairlead.sense.events import Container, Mount
from fairlead.tongues.paths import mapping, mappings, strings, text, words

SECONDS = 2.0
"""How long a runtime may take to answer."""
_POD_PREFIX = "io.kubernetes."
_NAMESPACES = "/containerd.services.namespaces.v1.Namespaces/List"
_GET = "/containerd.services.containers.v1.Containers/Get"
_DOCKER = "http://docker"
_MAX_ENV = 256


class Unanswered(Exception):
    """The runtime did not answer: that says nothing about the container."""


class Runtime(Protocol):
    """A container runtime that can be asked."""

    async def find(self, container_id: str) -> Container | None:
        """Return what it knows of a container, None where it has none of that id. Raises Unanswered."""

    async def close(self) -> None:
        """Close the connection."""


# --- messages that only this module sends or reads


@dataclass(slots=True)
class _Ask:
    id: Annotated[str, 1] = ""
    verbose: Annotated[bool, 2] = False


@dataclass(slots=True)
class _Metadata:
    name: Annotated[str, 1] = ""
    attempt: Annotated[int, 2] = 0


@dataclass(slots=True)
class _SandboxMetadata:
    name: Annotated[str, 1] = ""
    uid: Annotated[str, 2] = ""
    namespace: Annotated[str, 3] = ""


@dataclass(slots=True)
class _Image:
    image: Annotated[str, 1] = ""


@dataclass(slots=True)
class _Mounted:
    container_path: Annotated[str, 1] = ""
    host_path: Annotated[str, 2] = ""
    readonly: Annotated[bool, 3] = False
    propagation: Annotated[int, 5] = 0


@dataclass(slots=True)
class _Status:
    id: Annotated[str, 1] = ""
    metadata: Annotated[_Metadata | None, 2] = None
    created_at: Annotated[int, 4] = 0
    started_at: Annotated[int, 5] = 0
    image: Annotated[_Image | None, 8] = None
    image_ref: Annotated[str, 9] = ""
    labels: Annotated[dict[str, str], 12] = field(default_factory=dict)
    mounts: Annotated[tuple[_Mounted, ...], 14] = ()


@dataclass(slots=True)
class _StatusAnswer:
    status: Annotated[_Status | None, 1] = None
    info: Annotated[dict[str, str], 2] = field(default_factory=dict)


@dataclass(slots=True)
class _Network:
    ip: Annotated[str, 1] = ""


@dataclass(slots=True)
class _Namespaces:
    network: Annotated[int, 1] = 0
    pid: Annotated[int, 2] = 0
    ipc: Annotated[int, 3] = 0


@dataclass(slots=True)
class _NamespacesOf:
    options: Annotated[_Namespaces | None, 2] = None


@dataclass(slots=True)
class _Linux:
    namespaces: Annotated[_NamespacesOf | None, 1] = None


@dataclass(slots=True)
class _SandboxStatus:
    id: Annotated[str, 1] = ""
    metadata: Annotated[_SandboxMetadata | None, 2] = None
    created_at: Annotated[int, 4] = 0
    network: Annotated[_Network | None, 5] = None
    linux: Annotated[_Linux | None, 6] = None
    labels: Annotated[dict[str, str], 7] = field(default_factory=dict)
    annotations: Annotated[dict[str, str], 8] = field(default_factory=dict)


@dataclass(slots=True)
class _SandboxAnswer:
    status: Annotated[_SandboxStatus | None, 1] = None


@dataclass(slots=True)
class _IdFilter:
    id: Annotated[str, 1] = ""


@dataclass(slots=True)
class _Filtered:
    filter: Annotated[_IdFilter | None, 1] = None


@dataclass(slots=True)
class _Listed:
    id: Annotated[str, 1] = ""
    pod_sandbox_id: Annotated[str, 2] = ""


@dataclass(slots=True)
class _List:
    containers: Annotated[tuple[_Listed, ...], 1] = ()


@dataclass(slots=True)
class _Any:
    type_url: Annotated[str, 1] = ""
    value: Annotated[bytes, 2] = b""


@dataclass(slots=True)
class _Record:
    id: Annotated[str, 1] = ""
    labels: Annotated[dict[str, str], 2] = field(default_factory=dict)
    image: Annotated[str, 3] = ""
    spec: Annotated[_Any | None, 5] = None


@dataclass(slots=True)
class _RecordAnswer:
    container: Annotated[_Record | None, 1] = None


@dataclass(slots=True)
class _Named:
    name: Annotated[str, 1] = ""


@dataclass(slots=True)
class _NamedAnswer:
    namespaces: Annotated[tuple[_Named, ...], 1] = ()


# --- the CRI


class Cri:
    """A runtime that speaks the CRI: the node's own containerd, a host's containerd or CRI-O.

    With `own_namespaces` containers of containerd's other namespaces (nerdctl's, ctr's) are found too.
    """

    def __init__(self, socket: Path, name: str = "containerd", *, own_namespaces: bool = False) -> None:
        self.name = name
        self._line = Line(socket)
        self._own_namespaces = own_namespaces
        self._speaks_cri = True

    async def find(self, container_id: str) -> Container | None:
        """See Runtime."""
        found = None
        if self._speaks_cri:
            found = await self._by_cri(container_id)
        if found is None and self._own_namespaces:
            found = await self._by_containerd(container_id)
        return found

    async def close(self) -> None:
        """See Runtime."""
        await self._line.close()

    async def _by_cri(self, container_id: str) -> Container | None:
        try:
            answer = await self._line.runtime(
                "ContainerStatus", _Ask(container_id, verbose=True), _StatusAnswer, SECONDS
            )
        except CallFailed as failed:
            if failed.code == "UNIMPLEMENTED" and self._own_namespaces:
                self._speaks_cri = False  # its CRI plugin is switched off
                return None
            if failed.code != "NOT_FOUND":
                raise Unanswered(str(failed)) from None
            sandbox = await self._sandbox(container_id)
            return _of_sandbox(sandbox, container_id, self.name) if sandbox else None
        status = answer.status
        if status is None:
            return None
        info = _json(answer.info.get("info", ""))
        sandbox_id = text(info, "sandboxID") or await self._sandbox_of(container_id)
        sandbox = await self._sandbox(sandbox_id) if sandbox_id else None
        return _of_status(status, info, sandbox, self.name)

    async def _sandbox_of(self, container_id: str) -> str:
        """Return the sandbox of a container by the list: CRI-O's verbose answers leave it out."""
        with suppress(CallFailed):
            listed = await self._line.runtime(
                "ListContainers", _Filtered(_IdFilter(container_id)), _List, SECONDS
            )
            return next((one.pod_sandbox_id for one in listed.containers if one.id == container_id), "")
        return ""

    async def _sandbox(self, sandbox_id: str) -> _SandboxStatus | None:
        try:
            answer = await self._line.runtime("PodSandboxStatus", _Ask(sandbox_id), _SandboxAnswer, SECONDS)
        except CallFailed as failed:
            if failed.code == "NOT_FOUND":
                return None
            raise Unanswered(str(failed)) from None
        return answer.status

    async def _by_containerd(self, container_id: str) -> Container | None:
        try:
            spaces = (await self._line.ask(_NAMESPACES, _Ask(), _NamedAnswer, SECONDS)).namespaces
        except CallFailed as failed:
            raise Unanswered(str(failed)) from None
        for space in spaces:
            try:
                answer = await self._line.ask(
                    _GET, _Ask(container_id), _RecordAnswer, SECONDS, space=space.name
                )
            except CallFailed as failed:
                if failed.code == "NOT_FOUND":
                    continue
                raise Unanswered(str(failed)) from None
            if answer.container is not None:
                return _of_record(answer.container, space.name)
        return None


def _json(raw: str | bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw) if raw else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _of_status(
    status: _Status, info: Mapping[str, Any], sandbox: _SandboxStatus | None, runtime: str
) -> Container:
    labels = dict(status.labels)
    spec = mapping(info, "runtimeSpec")
    image = (status.image.image if status.image else "") or status.image_ref
    if image.startswith("sha256:"):  # the name that was asked for says more than what it was resolved to
        image = (
            text(info, "config", "image", "user_specified_image")
            or text(info, "config", "image", "image")
            or image
        )
    found = Container(
        id=status.id,
        name=(status.metadata.name if status.metadata else "")
        or labels.get("io.kubernetes.container.name", ""),
        image=image,
        image_id=_image_id(text(info, "config", "image", "image"), status.image_ref),
        runtime=runtime,
        privileged=_privileged(info, spec),
        mounts=tuple(
            Mount(
                one.host_path, one.container_path, "", not one.readonly, _PROPAGATION.get(one.propagation, "")
            )
            for one in status.mounts
        )
        or _spec_mounts(spec),
        labels=labels,
        env=tuple(words(spec, "process", "env")[:_MAX_ENV]),
        started=status.started_at or status.created_at,
        pod=labels.get("io.kubernetes.pod.name", ""),
        pod_namespace=labels.get("io.kubernetes.pod.namespace", ""),
        pod_uid=labels.get("io.kubernetes.pod.uid", ""),
    )
    _name_image(found, status.image_ref)
    _namespaces(found, spec)
    if sandbox is not None:
        _add_pod(found, sandbox)
    return found


def _image_id(*told: str) -> str:
    """Return the first that is an image's id and not a name, without the kind of digest in front."""
    return next((one.removeprefix("sha256:") for one in told if one.startswith("sha256:")), "")


_PROPAGATION = {0: "private", 1: "rslave", 2: "rshared"}


def _of_sandbox(sandbox: _SandboxStatus, container_id: str, runtime: str) -> Container:
    found = Container(id=container_id, runtime=runtime, sandbox=True, started=sandbox.created_at)
    _add_pod(found, sandbox)
    found.name = found.pod
    found.labels = dict(sandbox.labels)
    return found


def _add_pod(found: Container, sandbox: _SandboxStatus) -> None:
    meta = sandbox.metadata or _SandboxMetadata()
    found.pod, found.pod_namespace, found.pod_uid = meta.name, meta.namespace, meta.uid
    found.pod_id = sandbox.id
    found.pod_ip = found.ip = sandbox.network.ip if sandbox.network else ""
    found.pod_labels = {
        key: value for key, value in sandbox.labels.items() if not key.startswith(_POD_PREFIX)
    }
    options = sandbox.linux.namespaces.options if sandbox.linux and sandbox.linux.namespaces else None
    if options is not None:
        found.host_network = found.host_network or options.network == 2
        found.host_pid = found.host_pid or options.pid == 2
        found.host_ipc = found.host_ipc or options.ipc == 2
    found.probes = found.probes or _probes_applied(
        sandbox.annotations.get("kubectl.kubernetes.io/last-applied-configuration", ""), found.name
    )


def _probes_applied(applied: str, container: str) -> tuple[tuple[str, str], ...]:
    """Return the commands of a container's probes from what kubectl applied, where that was a pod."""
    return probes(mapping(_json(applied), "spec"), container)


def probes(spec: Mapping[str, Any], container: str) -> tuple[tuple[str, str], ...]:
    """Return (liveness | readiness, command line) of a container's probes that run commands, from its pod's spec."""
    found = []
    for _, one in mappings(spec, "containers"):
        if text(one, "name") == container:
            for sort in ("liveness", "readiness"):
                command = words(one, f"{sort}Probe", "exec", "command")
                if command:
                    found.append((sort, " ".join(command)))
    return tuple(found)


def _privileged(info: Mapping[str, Any], spec: Mapping[str, Any]) -> bool | None:
    told = mapping(info, "config", "linux", "security_context").get("privileged")
    if isinstance(told, bool):
        return told
    told = info.get("privileged")  # CRI-O's word
    if isinstance(told, bool):
        return told
    return _as_privileged(spec)


def _as_privileged(spec: Mapping[str, Any]) -> bool | None:
    """Say by a specification whether its container may do all: every device, and nothing masked."""
    if not spec:
        return None
    devices = [one for _, one in mappings(spec, "linux", "resources", "devices")]
    open_devices = any(
        one.get("allow") is True and one.get("access") == "rwm" and "type" not in one for one in devices
    )
    return open_devices and not mapping(spec, "linux").get("maskedPaths")


def _namespaces(found: Container, spec: Mapping[str, Any]) -> None:
    own = {text(one, "type") for _, one in mappings(spec, "linux", "namespaces")}
    if own:
        found.host_network = "network" not in own
        found.host_pid = "pid" not in own
        found.host_ipc = "ipc" not in own


def _spec_mounts(spec: Mapping[str, Any]) -> tuple[Mount, ...]:
    """Return the bind mounts of a specification: the others are part of every container."""
    found = []
    for _, one in mappings(spec, "mounts"):
        options = words(one, "options")
        if text(one, "type") == "bind" or "rbind" in options or "bind" in options:
            spread = next((option for option in options if option.removeprefix("r") in _SPREAD), "")
            found.append(
                Mount(text(one, "source"), text(one, "destination"), "", "ro" not in options, spread)
            )
    return tuple(found)


_SPREAD = frozenset({"private", "shared", "slave", "unbindable"})


def _of_record(record: _Record, space: str) -> Container:
    spec = _json(record.spec.value if record.spec else b"")
    labels = dict(record.labels)
    found = Container(
        id=record.id,
        name=labels.get("nerdctl/name", "") or labels.get("io.kubernetes.container.name", ""),
        image=record.image,
        runtime="docker" if space == "moby" else "containerd",
        privileged=_as_privileged(spec),
        mounts=_spec_mounts(spec),
        labels=labels,
        env=tuple(words(spec, "process", "env")[:_MAX_ENV]),
        pod=labels.get("io.kubernetes.pod.name", ""),
        pod_namespace=labels.get("io.kubernetes.pod.namespace", ""),
        pod_uid=labels.get("io.kubernetes.pod.uid", ""),
        sandbox=labels.get("io.cri-containerd.kind") == "sandbox",
    )
    _namespaces(found, spec)
    _name_image(found, "")
    return found


def _name_image(found: Container, resolved: str) -> None:
    """Fill the image's parts: `repository` and `tag` of the name that was asked for, the digest of what it was resolved to."""
    name, _, digest = found.image.partition("@")
    head, _, tail = name.rpartition(":")
    found.repository, found.tag = (head, tail) if head and "/" not in tail else (name, "")
    found.digest = digest or (resolved.partition("@")[2] if "@" in resolved else "")


# --- Docker and Podman


class Docker:
    """An engine that speaks Docker's API on a unix socket: Docker, or Podman."""

    def __init__(self, socket: Path, name: str = "docker") -> None:
        self.name = name
        self._http = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(socket)),
            base_url=_DOCKER,
            timeout=SECONDS,
            trust_env=False,
        )

    async def find(self, container_id: str) -> Container | None:
        """See Runtime."""
        content = await self._get(f"/containers/{container_id}/json")
        if content is None:
            return None
        found = of_docker(content, self.name)
        if found.image_id:
            image = await self._get(f"/images/{found.image_id}/json") or {}
            digests = words(image, "RepoDigests")
            match = next((one for one in digests if one.partition("@")[0] == found.repository), "")
            found.digest = found.digest or (match or next(iter(digests), "")).partition("@")[2]
        return found

    async def close(self) -> None:
        """See Runtime."""
        await self._http.aclose()

    async def _get(self, path: str) -> dict[str, Any] | None:
        try:
            response = await self._http.get(path)
        except httpx.HTTPError as error:
            raise Unanswered(str(error) or type(error).__name__) from error
        if response.status_code == 404:
            return None
        if response.status_code >= 400:
            raise Unanswered(f"{self.name} answers {response.status_code}")
        return _json(response.content)


def of_docker(content: Mapping[str, Any], runtime: str = "docker") -> Container:
    """Return the container that an answer of /containers/ID/json tells of."""
    labels = strings(content, "Config", "Labels")
    host = mapping(content, "HostConfig")
    networks = mapping(content, "NetworkSettings", "Networks")
    own_ip = next((text(one, "IPAddress") for one in networks.values() if isinstance(one, dict)), "")
    health = words(content, "Config", "Healthcheck", "Test")
    found = Container(
        id=text(content, "Id"),
        name=labels.get("io.kubernetes.container.name", "") or text(content, "Name").removeprefix("/"),
        image=text(content, "Config", "Image"),
        image_id=text(content, "Image").removeprefix("sha256:"),
        runtime=runtime,
        privileged=host.get("Privileged") is True,
        mounts=tuple(
            Mount(text(one, "Source"), text(one, "Destination"), text(one, "Mode"), one.get("RW") is True,
                  text(one, "Propagation"))
            for _, one in mappings(content, "Mounts")
        ),
        labels=labels,
        env=tuple(words(content, "Config", "Env")[:_MAX_ENV]),
        ip=text(content, "NetworkSettings", "IPAddress") or own_ip,
        started=_nanoseconds(text(content, "State", "StartedAt")),
        pod=labels.get("io.kubernetes.pod.name", ""),
        pod_namespace=labels.get("io.kubernetes.pod.namespace", ""),
        pod_uid=labels.get("io.kubernetes.pod.uid", ""),
        pod_id=labels.get("io.kubernetes.sandbox.id", ""),
        sandbox=labels.get("io.kubernetes.docker.type") == "podsandbox",
        host_network=text(host, "NetworkMode") == "host",
        host_pid=text(host, "PidMode") == "host",
        host_ipc=text(host, "IpcMode") == "host",
        probes=_health(health),
    )  # fmt: skip
    _name_image(found, "")
    return found


def _health(test: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return a health check's command line as Docker runs it."""
    if len(test) < 2 or test[0] not in {"CMD", "CMD-SHELL"}:
        return ()
    line = " ".join(test[1:])
    return (("health", f"/bin/sh -c {line}" if test[0] == "CMD-SHELL" else line),)


def _nanoseconds(stamp: str) -> int:
    """Return an RFC 3339 time in ns since the epoch; 0 where it is none, or Docker's word for never."""
    with suppress(ValueError):
        at = datetime.fromisoformat(stamp)
        return 0 if at.year < 1970 else int(at.timestamp() * 1e9)
    return 0


# --- which runtimes there are

CRI_SOCKETS: Sequence[tuple[str, str]] = (
    ("/run/containerd/containerd.sock", "containerd"),
    ("/run/k3s/containerd/containerd.sock", "containerd"),
    ("/var/snap/microk8s/common/run/containerd.sock", "containerd"),
    ("/run/k0s/containerd.sock", "containerd"),
    ("/run/crio/crio.sock", "cri-o"),
)
DOCKER_SOCKETS: Sequence[tuple[str, str]] = (
    ("/var/run/docker.sock", "docker"),
    ("/run/podman/podman.sock", "podman"),
)


def runtimes(own: Iterable[Path] = ()) -> list[Runtime]:
    """Return a connection to each runtime whose socket is there; `own` are sockets of fairlead's nodes, which come first."""
    found: list[Runtime] = [Cri(socket) for socket in own if _there(socket)]
    found += [
        Cri(Path(socket), name, own_namespaces=name == "containerd")
        for socket, name in CRI_SOCKETS
        if _there(Path(socket))
    ]
    found += [Docker(Path(socket), name) for socket, name in DOCKER_SOCKETS if _there(Path(socket))]
    return found


def _there(socket: Path) -> bool:
    """Whether there is such a socket, as far as this process may see."""
    with suppress(OSError):
        return socket.is_socket()
    return False
