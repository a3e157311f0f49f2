"""Pods' sandboxes, containers and images on one containerd: what the reactor's Runtime asks, in the CRI's words.

Says what is there and does what it is told. Must never decide: restarts, back-off, probes and order belong above.
"""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import logging
import math
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from fairlead.drivers import images, network
from fairlead.drivers.containers import daemon, importing, leftovers, translating
from fairlead.drivers.containers import messages as cri
from fairlead.drivers.containers.lines import CallFailed, Line
from fairlead.drivers.containers.logs import LIMIT, rotate
from fairlead.drivers.containers.pause import program
from fairlead.drivers.containers.places import Places
from fairlead.orchestrate.routing import Net, removal
from fairlead.orchestrate.runtimes import (
    ContainerPlan,
    ContainerSeen,
    ExecResult,
    ImageSeen,
    PullFailed,
    RuntimeFailed,
    SandboxPlan,
    SandboxSeen,
    StartFailed,
)

PAUSE: Final = "fairlead.dev/pause:1"
_READY_SECONDS: Final = 30
_SETTLED: Final = 5_000_000_000  # nanoseconds after an exit until which its reason may still become OOMKilled
_TEND_SECONDS: Final = 2
_ROTATE_TURNS: Final = 5
_NO_SUCH: Final = ("NOT_FOUND",)
_log = logging.getLogger(__name__)


class Containerd:
    """A Runtime on containerd. Make one with `open`; `close` leaves everything running, `take_down` ends it all."""

    name = "containerd"

    def __init__(self, places: Places, line: Line, version: str, subnet: str) -> None:
        self.places = places
        self.version = version
        self.subnet = subnet
        """The pods' network, such as 10.244.3.0/24."""
        self.gateway = str(ipaddress.IPv4Network(subnet).network_address + 1)
        """The machine's own address in it, on the bridge: the pods' router and name server."""
        self._line = line
        self._ips: dict[str, str] = {}
        self._final: dict[str, ContainerSeen] = {}
        self._running: dict[str, ContainerSeen] = {}
        self._tending: asyncio.Task[None] | None = None

    @property
    def net(self) -> Net:
        """What routing.py must know of the pods' network here."""
        return Net(
            key=self.places.key,
            bridge=self.places.bridge,
            subnet=self.subnet,
            gateway=self.gateway,
            bridged=network.bridged(),
        )

    @classmethod
    async def open(cls, data_dir: Path, log: Path | None = None) -> Containerd:
        """Start or adopt the data directory's containerd and wait until it serves.

        `log` is the file for containerd's own words, by default D/logs/containerd.log. Raises
        daemon.ContainersUnavailable.
        """
        places = Places.of(data_dir)
        log = log or data_dir / "logs" / "containerd.log"
        pid, subnet = await asyncio.to_thread(daemon.start, places, log, PAUSE)
        line = Line(places.socket)
        try:
            version = await _ready(line, pid, log)
            status = await line.images(
                "ImageStatus", cri.ImageRequest(cri.ImageSpec(PAUSE)), cri.ImageStatusResponse
            )
            if status.image is None:
                layers = [{"/pause": images.File(program(images.architecture()), 0o755)}]
                built = images.build(layers, images.Config(entrypoint=("/pause",)))
                await importing.import_built(line, PAUSE, *built)
        except BaseException as error:
            await line.close()
            if daemon.is_child(pid):  # containers of before, if any, stay for one that serves
                await daemon.end(pid)
            if isinstance(error, CallFailed):
                raise daemon.ContainersUnavailable(f"containerd does not serve: {error}") from error
            raise
        runtime = cls(places, line, version, str(subnet))
        runtime._tending = asyncio.create_task(runtime._tend(pid, log))
        return runtime

    @classmethod
    async def attach(cls, data_dir: Path) -> Containerd:
        """Talk to a containerd that a node of this data directory runs already; starts nothing.

        For a second process, such as the command line. Raises daemon.ContainersUnavailable when there is none.
        """
        places = Places.of(data_dir)
        pid = await asyncio.to_thread(daemon.find, places)
        if not pid:
            raise daemon.ContainersUnavailable(
                f"no containerd runs for {data_dir}: fairlead up starts one, given root"
            )
        line = Line(places.socket)
        try:
            version = await _ready(line, pid, data_dir / "logs" / "containerd.log")
            return cls(places, line, version, (places.run / "subnet").read_text().strip())
        except OSError as error:
            await line.close()
            raise daemon.ContainersUnavailable(str(error)) from error
        except BaseException:
            await line.close()
            raise

    # --- images

    async def pull(self, image: str, auth: Mapping[str, str] | None = None) -> str:
        """Fetch an image from its registry; return its id. `auth` has username and password, or auth. Raises PullFailed."""
        auth = auth or {}
        who = cri.AuthConfig(
            username=auth.get("username", ""),
            password=auth.get("password", ""),
            auth=auth.get("auth", ""),
            server_address=auth.get("server_address", ""),
            identity_token=auth.get("identity_token", "") or auth.get("identitytoken", ""),
            registry_token=auth.get("registry_token", "") or auth.get("registrytoken", ""),
        )
        request = cri.PullImage(cri.ImageSpec(image), who if auth else None)
        try:
            return (await self._line.images("PullImage", request, cri.PullImageResponse, None)).image_ref
        except CallFailed as error:
            raise PullFailed(str(error)) from None

    async def find_image(self, image: str) -> ImageSeen | None:
        """Return the image of that name or id, or None."""
        request = cri.ImageRequest(cri.ImageSpec(image))
        try:
            found = (await self._line.images("ImageStatus", request, cri.ImageStatusResponse)).image
        except CallFailed as error:
            raise RuntimeFailed(str(error)) from None
        return translating.image_seen(found) if found else None

    async def images(self) -> list[ImageSeen]:
        """Return every image on the node, without the one that sandboxes are made of, sorted by name."""
        try:
            listed = (await self._line.images("ListImages", cri.Empty(), cri.Images)).images
        except CallFailed as error:
            raise RuntimeFailed(str(error)) from None
        seen = [translating.image_seen(image) for image in listed if PAUSE not in image.repo_tags]
        return sorted(seen, key=lambda image: (image.names, image.id))

    async def import_image(self, path: Path, name: str = "") -> list[str]:
        """Import an OCI archive, OCI layout directory or docker archive; return the full names.

        `name` replaces the archive's own names. Raises images.ImageInvalid, RuntimeFailed, OSError.
        """
        try:
            return await importing.import_archive(self._line, path, name)
        except CallFailed as error:
            raise RuntimeFailed(str(error)) from None

    async def remove_image(self, name: str) -> bool:
        """Remove a name, and the image with its last name; given an id, all its names. False if there was none."""
        seen = await self.find_image(name)
        if seen is None:
            return False
        full = images.normalise(name)
        try:
            if full in seen.names and len(seen.names) > 1:
                await self._line.names("Delete", cri.Identity(full))
                for _ in range(500):  # the CRI learns of it by an event
                    left = await self.find_image(seen.id)
                    if left is None or full not in left.names:
                        break
                    await asyncio.sleep(0.02)
            else:
                await self._line.images("RemoveImage", cri.ImageRequest(cri.ImageSpec(seen.id)), cri.Empty)
        except CallFailed as error:
            raise RuntimeFailed(str(error)) from None
        return True

    # --- sandboxes

    async def run_sandbox(self, plan: SandboxPlan) -> str:
        """Make a pod's sandbox with its network and return its id. Raises StartFailed (FailedCreatePodSandBox).

        Host ports are not the runtime's: orchestrate/routing.py has them among the packet filter's rules.
        """
        if plan.log_dir:
            await asyncio.to_thread(Path(plan.log_dir).mkdir, mode=0o755, parents=True, exist_ok=True)
        try:
            made = await self._line.runtime(
                "RunPodSandbox",
                cri.RunSandbox(translating.sandbox(plan, self.places.cgroup)),
                cri.Identity,
                240,
            )
        except CallFailed as error:
            raise StartFailed("FailedCreatePodSandBox", str(error)) from None
        return made.id

    async def stop_sandbox(self, sandbox_id: str) -> None:
        """Kill what still runs in a sandbox and give back its network. One that is gone is no error."""
        await self._do("StopPodSandbox", cri.Identity(sandbox_id))

    async def remove_sandbox(self, sandbox_id: str) -> None:
        """Remove a sandbox and its containers. One that is gone is no error."""
        uids: dict[str, str] = {}
        with suppress(CallFailed):
            listed = (await self._line.runtime("ListPodSandbox", cri.Empty(), cri.Sandboxes)).items
            uids = {item.id: item.metadata.uid for item in listed if item.metadata}
        await self._do("RemovePodSandbox", cri.Identity(sandbox_id))
        self._ips.pop(sandbox_id, None)
        uid = uids.pop(sandbox_id, "")
        if uid and uid not in uids.values():  # another attempt at the same pod may be using it
            await asyncio.to_thread(leftovers.remove_cgroup, self.places, uid)

    # --- containers

    async def start(self, sandbox_id: str, sandbox: SandboxPlan, plan: ContainerPlan) -> str:
        """Create a container in a sandbox and start it; return its id.

        Raises StartFailed with CreateContainerError or RunContainerError; in the latter case the container is
        there, exited with code 128.
        """
        image_user = ""
        if plan.run_as_group is not None and plan.run_as_user is None:
            image = await self.find_image(plan.image)
            image_user = image.user if image else ""
        config = translating.container(sandbox, plan, image_user, self.places.profiles)
        request = cri.CreateContainer(sandbox_id, config, translating.sandbox(sandbox, self.places.cgroup))
        try:
            made = await self._line.runtime("CreateContainer", request, cri.Identity, 240)
        except CallFailed as error:
            raise StartFailed("CreateContainerError", error.detail) from None
        try:
            await self._line.runtime("StartContainer", cri.Identity(made.id), cri.Empty, 240)
        except CallFailed as error:
            raise StartFailed("RunContainerError", error.detail) from None
        return made.id

    async def stop(self, container_id: str, grace_seconds: float) -> None:
        """Ask a container's process to end, kill it after the grace period, return when it has ended."""
        timeout = math.ceil(grace_seconds)
        await self._do("StopContainer", cri.StopContainer(container_id, timeout), timeout + 120)

    async def remove(self, container_id: str) -> None:
        """Remove a container. One that is gone is no error."""
        await self._do("RemoveContainer", cri.Identity(container_id))
        self._final.pop(container_id, None)
        self._running.pop(container_id, None)

    async def seen(self) -> tuple[list[SandboxSeen], list[ContainerSeen]]:
        """Return every sandbox and container there is, oldest first. Raises RuntimeFailed."""
        try:
            sandboxes, containers = await asyncio.gather(
                self._line.runtime("ListPodSandbox", cri.Empty(), cri.Sandboxes),
                self._line.runtime("ListContainers", cri.Empty(), cri.Containers),
            )
            owners = {sandbox.id: sandbox for sandbox in sandboxes.items}
            seen_sandboxes = await asyncio.gather(*(self._sandbox_seen(item) for item in sandboxes.items))
            seen_containers = await asyncio.gather(
                *(
                    self._container_seen(item, owners.get(item.pod_sandbox_id))
                    for item in containers.containers
                )
            )
        except CallFailed as error:
            raise RuntimeFailed(str(error)) from None
        present = {item.id for item in containers.containers}
        for known in (self._final, self._running):
            for gone in known.keys() - present:
                del known[gone]
        for gone in self._ips.keys() - owners.keys():
            del self._ips[gone]
        found = [item for item in seen_containers if item is not None]
        return (
            sorted(seen_sandboxes, key=lambda item: item.created_at),
            sorted(found, key=lambda item: item.created_at),
        )

    async def exec(self, container_id: str, command: Sequence[str], timeout: float | None) -> ExecResult:  # noqa: ASYNC109 (the runtime itself ends the command)
        """Run a command in a container and return what it wrote (at most 16 MiB) and its exit code.

        Raises TimeoutError when it takes longer than `timeout` seconds, RuntimeFailed when it cannot be run.
        """
        seconds = math.ceil(timeout) if timeout else 0
        request = cri.ExecSync(container_id, tuple(command), seconds)
        try:
            done = await self._line.runtime(
                "ExecSync", request, cri.ExecSyncResponse, seconds + 30 if seconds else None
            )
        except CallFailed as error:
            if error.code == "DEADLINE_EXCEEDED":
                raise TimeoutError(error.detail) from None
            raise RuntimeFailed(error.detail) from None
        return ExecResult(done.exit_code, done.stdout, done.stderr)

    async def stats(self) -> dict[str, tuple[int, int]]:
        """Return, by container id, nanoseconds of CPU used since the start and bytes of memory in use."""
        try:
            listed = await self._line.runtime("ListContainerStats", cri.Empty(), cri.StatsResponse)
        except CallFailed as error:
            raise RuntimeFailed(str(error)) from None
        out = {}
        for item in listed.stats:
            if item.attributes and item.cpu and item.memory:
                cpu, memory = item.cpu.amount, item.memory.amount
                out[item.attributes.id] = (cpu.value if cpu else 0, memory.value if memory else 0)
        return out

    async def changes(self) -> AsyncIterator[str]:
        """Yield the topic of each thing that happens to a container (/tasks/exit, /tasks/oom, /tasks/start ...).

        A hint to look again, so that nobody need poll fast; ends with RuntimeFailed when containerd goes away.
        """
        try:
            async for envelope in self._line.events():
                yield envelope.topic
        except CallFailed as error:
            raise RuntimeFailed(str(error)) from None

    async def close(self) -> None:
        """Let go of containerd. It and its containers go on."""
        if self._tending is not None:
            self._tending.cancel()
            with suppress(asyncio.CancelledError):
                await self._tending
        await self._line.close()

    async def _do(self, method: str, request: object, seconds: float = 120) -> None:
        try:
            await self._line.runtime(method, request, cri.Empty, seconds)
        except CallFailed as error:
            if error.code not in _NO_SUCH:
                raise RuntimeFailed(str(error)) from None

    async def _sandbox_seen(self, sandbox: cri.Sandbox) -> SandboxSeen:
        ready = sandbox.state == cri.SANDBOX_READY
        if ready and sandbox.id not in self._ips:
            with suppress(CallFailed):
                answer = await self._line.runtime(
                    "PodSandboxStatus", cri.Identity(sandbox.id), cri.SandboxStatusResponse
                )
                network = answer.status.network if answer.status else None
                self._ips[sandbox.id] = network.ip if network else ""
        meta = sandbox.metadata or cri.SandboxMetadata()
        return SandboxSeen(
            id=sandbox.id,
            uid=meta.uid,
            namespace=meta.namespace,
            name=meta.name,
            attempt=meta.attempt,
            ready=ready,
            created_at=sandbox.created_at,
            ip=self._ips.get(sandbox.id, ""),
        )

    async def _container_seen(self, item: cri.Container, owner: cri.Sandbox | None) -> ContainerSeen | None:
        state = cri.CONTAINER_STATES[item.state] if item.state < len(cri.CONTAINER_STATES) else "unknown"
        if state == "exited" and (final := self._final.get(item.id)):
            return final
        if state == "running" and (running := self._running.get(item.id)):
            return running
        try:
            answer = await self._line.runtime(
                "ContainerStatus", cri.Identity(item.id), cri.ContainerStatusResponse
            )
        except CallFailed as error:
            if error.code in _NO_SUCH:
                return None  # removed since it was listed
            raise
        status = answer.status or cri.ContainerStatus(item.id)
        uid = owner.metadata.uid if owner and owner.metadata else item.labels.get(translating.POD_UID, "")
        seen = translating.container_seen(status, item.pod_sandbox_id, uid)
        if seen.state == "running":
            self._running[item.id] = seen
        elif seen.state == "exited" and time.time_ns() - seen.finished_at > _SETTLED:
            self._final[item.id] = seen
        return seen

    async def _tend(self, pid: int, log: Path) -> None:
        """Start containerd again when it has crashed (its containers go on meanwhile), and rotate logs now and then."""
        for turn in itertools.count(1):
            await asyncio.sleep(_TEND_SECONDS)
            if not daemon.alive(pid):
                _log.warning(
                    "containerd ended (%s); starting it again", daemon.last_words(log) or "without a word"
                )
                with suppress(daemon.ContainersUnavailable):
                    pid, _ = await asyncio.to_thread(daemon.start, self.places, log, PAUSE)
            if turn % _ROTATE_TURNS == 0:
                with suppress(CallFailed, OSError):
                    await self.rotate_logs()

    async def rotate_logs(self, limit: int = LIMIT) -> None:
        """Rotate the log of each running container that has grown past a limit in bytes."""
        listed = await self._line.runtime("ListContainers", cri.Empty(), cri.Containers)
        for item in listed.containers:
            if cri.CONTAINER_STATES[min(item.state, 3)] != "running":
                continue
            with suppress(CallFailed):
                answer = await self._line.runtime(
                    "ContainerStatus", cri.Identity(item.id), cri.ContainerStatusResponse
                )
                if answer.status and answer.status.log_path and rotate(Path(answer.status.log_path), limit):
                    await self._line.runtime("ReopenContainerLog", cri.Identity(item.id), cri.Empty)


async def _ready(line: Line, pid: int, log: Path) -> str:
    """Wait until containerd answers; return its version. Raises ContainersUnavailable when it ends instead."""
    deadline = time.monotonic() + _READY_SECONDS
    last = ""
    while time.monotonic() < deadline:
        try:
            version = await line.runtime("Version", cri.Empty(), cri.VersionResponse, 5)
            status = await line.runtime("Status", cri.Empty(), cri.StatusResponse, 5)
            conditions = status.status.conditions if status.status else ()
            bad = [item for item in conditions if not item.status]
            if not bad:
                return version.runtime_version
            last = bad[0].message
        except CallFailed as error:
            last = error.detail
        if not daemon.alive(pid):
            words = daemon.last_words(log)
            raise daemon.ContainersUnavailable(f"containerd ended at once: {words or 'it said nothing'}")
        await asyncio.sleep(0.02)
    raise daemon.ContainersUnavailable(f"containerd did not get ready in {_READY_SECONDS} s: {last}")


async def take_down(data_dir: Path, grace_seconds: float = 2) -> None:
    """End every container of a data directory, its containerd, and all that they left outside of it.

    Images stay. Where containerd has crashed, it is started once more to let it clean up; what it cannot is swept.
    Raises ContainersUnavailable when there is something to end and we are not root.
    """
    places = Places.of(data_dir)
    if not leftovers.remain(places) and not daemon.find(places):
        return
    if os.geteuid() != 0:
        raise daemon.ContainersUnavailable(
            f"the containers of {data_dir} were started by root, and only root can end them"
        )
    with suppress(daemon.ContainersUnavailable):
        runtime = await Containerd.open(data_dir)
        try:
            await _end_all(runtime, grace_seconds)
        finally:
            await runtime.close()
    if pid := daemon.find(places):
        await daemon.end(pid)
    await asyncio.to_thread(leftovers.sweep, places)
    with suppress(network.FilterUnavailable):
        await asyncio.to_thread(lambda: network.restore(removal(places.key, network.saved())))


async def _end_all(runtime: Containerd, grace_seconds: float) -> None:
    with suppress(RuntimeFailed):
        sandboxes, containers = await runtime.seen()
        running = [item.id for item in containers if item.state == "running"]
        await asyncio.gather(*(runtime.stop(item, grace_seconds) for item in running), return_exceptions=True)
        await asyncio.gather(*(runtime.stop_sandbox(item.id) for item in sandboxes), return_exceptions=True)
        await asyncio.gather(*(runtime.remove_sandbox(item.id) for item in sandboxes), return_exceptions=True)
