"""What the pods of one node share: its runtimes and what they report, its view of the API, and its voice there.

Carries out and remembers; decides nothing about a pod.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

from fairlead.drivers.cluster import AsyncCluster, Unreachable
from fairlead.drivers.images import normalise
from fairlead.drivers.probing import Prober
from fairlead.keep.errors import Refusal
from fairlead.orchestrate.podenv import Surroundings
from fairlead.orchestrate.podplans import Resolver
from fairlead.orchestrate.podsteps import Observed
from fairlead.orchestrate.podvolumes import Token
from fairlead.orchestrate.runtimes import (
    ContainerPlan,
    ContainerSeen,
    ExecResult,
    ImageSeen,
    RuntimeFailed,
    SandboxPlan,
    SandboxSeen,
)
from fairlead.reactor.carrying import Teller, carry_out
from fairlead.words import Change, Ref, Resource, Snapshot

WASM = "wasm"
"""The RuntimeClass of Wasm guests."""
_log = logging.getLogger(__name__)


class Runtime(Protocol):
    """What runs things: containers or Wasm guests. Methods raise RuntimeFailed where nothing else is said."""

    name: str
    version: str

    async def pull(self, image: str, auth: Mapping[str, str] | None = None) -> str:
        """Fetch an image; return its id. Raises PullFailed."""

    async def find_image(self, image: str) -> ImageSeen | None:
        """Return the image of that name or id, or None."""

    async def images(self) -> list[ImageSeen]:
        """Return every image, sorted by name."""

    async def run_sandbox(self, plan: SandboxPlan) -> str:
        """Make what the containers of a pod share; return its id."""

    async def stop_sandbox(self, sandbox_id: str) -> None:
        """End everything in a sandbox; its records stay."""

    async def remove_sandbox(self, sandbox_id: str) -> None:
        """Remove a sandbox and its containers."""

    async def start(self, sandbox_id: str, sandbox: SandboxPlan, plan: ContainerPlan) -> str:
        """Make and start a container; return its id. Raises StartFailed."""

    async def stop(self, container_id: str, grace_seconds: float) -> None:
        """End a container, by force after the grace."""

    async def remove(self, container_id: str) -> None:
        """Remove an ended container."""

    async def seen(self) -> tuple[list[SandboxSeen], list[ContainerSeen]]:
        """Return everything there is."""

    async def exec(self, container_id: str, command: Sequence[str], timeout: float | None) -> ExecResult:  # noqa: ASYNC109  the runtime ends the command
        """Run a command in a container. Raises TimeoutError too."""

    async def close(self) -> None:
        """Let go of what is held open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the node has: its addresses, processors, and bytes of memory and disk."""

    name: str
    addresses: tuple[str, ...]
    cpus: int
    memory: int
    storage: int


class Node:
    """See the module."""

    def __init__(
        self,
        *,
        machine: Machine,
        data_dir: Path,
        cluster: AsyncCluster,
        runtimes: Mapping[str, Runtime],
        without: Mapping[str, str],
        crash_backoff: timedelta = timedelta(seconds=10),
    ) -> None:
        self.machine = machine
        self.name = machine.name
        self.memory = machine.memory
        self.data_dir = data_dir
        self.cluster = cluster
        self.runtimes = runtimes
        self.crash_backoff = crash_backoff
        self.pull_backoff = crash_backoff
        self.view = Snapshot()
        self.prober = Prober()
        self.nameservers: tuple[str, ...] = ()
        self.on_change: Callable[[set[str]], None] = lambda _uids: None
        """Called with the uids of pods about which a runtime has news, whoever asked for it."""
        self._without = without
        self._observed: dict[str, Observed] = {}
        self._teller = Teller(asyncio.get_running_loop().time)
        self._news: asyncio.Queue[Change] = asyncio.Queue(maxsize=1000)
        self._listing = asyncio.Lock()
        self._lists_begun = 0
        self._lists_done = 0

    # --- runtimes

    def runtime_of(self, pod: Resource) -> Runtime | None:
        """Return what runs the pod, or None when this node has no such thing."""
        return self.runtimes.get(pod["spec"].get("runtimeClassName") or "")

    def why_not(self, pod: Resource) -> str:
        """Say why there is no runtime for the pod."""
        wanted = pod["spec"].get("runtimeClassName") or ""
        return f"Failed to create pod sandbox: {self._without.get(wanted) or f'no runtime for {wanted!r} is configured'}"

    def observed(self, uid: str) -> Observed:
        """Return what the runtimes last reported of a pod."""
        return self._observed.get(uid, Observed())

    def uids(self) -> set[str]:
        """Return the uids of all pods that the runtimes know of."""
        return set(self._observed)

    async def relist(self) -> None:
        """Ask the runtimes what there is, and pass on about which pods something changed.

        Callers that come while a list is under way share the one after it.
        """
        wanted = self._lists_begun + 1
        async with self._listing:
            if self._lists_done >= wanted:
                return
            self._lists_begun += 1
            number = self._lists_begun
            found: dict[str, tuple[list[SandboxSeen], list[ContainerSeen]]] = {}
            for runtime in self.runtimes.values():
                sandboxes, containers = await runtime.seen()
                for sandbox in sandboxes:
                    found.setdefault(sandbox.uid, ([], []))[0].append(sandbox)
                for container in containers:
                    found.setdefault(container.uid, ([], []))[1].append(container)
            fresh = {uid: Observed(tuple(both[0]), tuple(both[1])) for uid, both in found.items()}
            before, self._observed = self._observed, fresh
            self._lists_done = number
        changed = {uid for uid in fresh.keys() | before.keys() if fresh.get(uid) != before.get(uid)}
        if changed:
            self.on_change(changed)

    # --- surroundings

    def around(self, pod: Resource) -> Surroundings:
        """Return what the pod's fields can refer to."""
        sandbox = self.observed(pod["metadata"]["uid"]).sandbox
        machine = self.machine
        ip = sandbox.ip if sandbox is not None and sandbox.ready else ""
        return Surroundings(
            node_name=machine.name,
            host_ips=machine.addresses,
            pod_ips=(ip,) if ip else (),
            cpu=Fraction(machine.cpus),
            memory=machine.memory,
            storage=machine.storage,
        )

    def resolver(self) -> Resolver:
        """Return who may answer for names here; without any, the runtime gives a pod the machine's own resolv.conf."""
        return Resolver(cluster=self.nameservers)

    def hosts_of_machine(self) -> str:
        """Return the machine's own hosts file."""
        with contextlib.suppress(OSError):
            return Path("/etc/hosts").read_text()
        return ""

    def pull_secret(self, pod: Resource, image: str) -> Mapping[str, str] | None:
        """Return the credentials for an image's registry from the pod's pull secrets, or None."""
        host = normalise(image).partition("/")[0]
        for reference in pod["spec"].get("imagePullSecrets") or ():
            secret = self.view.get("", "Secret", pod["metadata"]["namespace"], reference.get("name") or "")
            text = ((secret or {}).get("data") or {}).get(".dockerconfigjson")
            if not text:
                continue
            with contextlib.suppress(ValueError):
                auths: Mapping[str, Any] = json.loads(base64.b64decode(text)).get("auths") or {}
                for server, entry in auths.items():
                    if server.removeprefix("https://").removeprefix("http://").partition("/")[0] in {
                        host,
                        f"index.{host}",
                    }:
                        return {"server_address": server, **{key: str(value) for key, value in entry.items()}}
        return None

    # --- the API

    def tell(self, change: Change) -> None:
        """Post an Event, later and at most once; when too many wait, the news is dropped."""
        passed = self._teller.pass_on(change)
        if passed is not None:
            with contextlib.suppress(asyncio.QueueFull):
                self._news.put_nowait(passed)

    async def post_news(self) -> None:
        """Post what was told, in order, for ever."""
        while True:
            change = await self._news.get()
            try:
                await carry_out(change, self.cluster, datetime.now(UTC), manager="kubelet")
            except Refusal as refusal:
                _log.info("event about %s: %s", change.body["involvedObject"].get("name"), refusal.message)
            except Unreachable as error:
                _log.warning("event not posted: %s", error)

    async def report(self, change: Change) -> Resource | None:
        """Write a pod's status; return the pod as it is then, None when it is gone."""
        ref = change.ref
        body = {**change.body, "metadata": {"uid": change.if_uid}}
        try:
            return await self.cluster.patch(
                change.api_version,
                ref.kind,
                ref.namespace,
                ref.name,
                body,
                subresource="status",
                manager="kubelet",
            )
        except Refusal as refusal:
            if refusal.code in {404, 409}:
                return None
            raise

    async def remove(self, pod: Resource) -> None:
        """Take the pod's object away: nothing of it runs any more."""
        ref = Ref.of(pod)
        with contextlib.suppress(Refusal):
            await self.cluster.delete("v1", "Pod", ref.namespace, ref.name, grace_seconds=0, uid=ref.uid)

    async def token(self, pod: Resource, token: Token) -> str:
        """Ask for a service account's token, bound to the pod. Raises Refusal, Unreachable."""
        meta = pod["metadata"]
        body: Resource = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {"namespace": meta["namespace"]},
            "spec": {
                "audiences": [token.audience] if token.audience else [],
                "expirationSeconds": token.seconds,
                "boundObjectRef": {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "name": meta["name"],
                    "uid": meta["uid"],
                },
            },
        }
        path = await self.cluster.path("v1", "ServiceAccount", meta["namespace"], token.account, "token")
        answer = (await self.cluster.raw("POST", path, body=body)).json()
        return str(answer["status"]["token"])

    async def close(self) -> None:
        """Let go of the runtimes and of the probes' client."""
        await self.prober.close()
        for runtime in self.runtimes.values():
            with contextlib.suppress(RuntimeFailed):
                await runtime.close()


def bytes_of_memory() -> int:
    """Return the machine's memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


async def changes_of(runtime: Runtime) -> AsyncIterator[None]:
    """Yield when a runtime has something new: by its events where it has such, else after a while."""
    events = getattr(runtime, "changes", None)
    while True:
        if events is not None:
            with contextlib.suppress(RuntimeFailed):
                async for _ in events():
                    yield None
        await asyncio.sleep(0.5)
        yield None
