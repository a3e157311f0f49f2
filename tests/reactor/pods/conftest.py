"""A stage for a node without a machine: a runtime in memory that a test directs, and an API that notes what it is told."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from fairlead.drivers.cluster import AsyncCluster
from fairlead.keep.errors import Refusal, not_found
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
from fairlead.reactor.podnode import Machine, Node
from fairlead.reactor.podwork import PodWork
from fairlead.words import Resource


class Actors:
    """A Runtime in memory. Containers run until the test, `stop` or their `script` ends them."""

    name = "play"
    version = "1"

    def __init__(self) -> None:
        self.here: dict[str, ImageSeen] = {}
        self.registry: set[str] = set()
        self.sandboxes: dict[str, SandboxSeen] = {}
        self.containers: dict[str, ContainerSeen] = {}
        self.plans: dict[str, ContainerPlan] = {}
        self.script: dict[str, int] = {}
        """Containers of these names end at once, with this code."""
        self.refuse_sandbox: Exception | None = None
        self.refuse_start: dict[str, StartFailed] = {}
        self.commands: dict[tuple[str, ...], ExecResult] = {}
        self.asked: list[tuple[str, ...]] = []
        self.stops: list[tuple[str, float]] = []
        self.slow_pull: asyncio.Event | None = None
        self.ignores_term: set[str] = set()
        self.on_start: Callable[[ContainerPlan], None] = lambda _plan: None
        self._numbers = itertools.count()

    def has(self, *images: str) -> None:
        for image in images:
            self.here[image] = ImageSeen(id=f"sha256:{image}", names=(image,), size=7)

    async def pull(self, image: str, auth: Mapping[str, str] | None = None) -> str:
        del auth
        if self.slow_pull is not None:
            await self.slow_pull.wait()
        if image not in self.registry:
            raise PullFailed(f"{image}: not found")
        self.has(image)
        return self.here[image].id

    async def find_image(self, image: str) -> ImageSeen | None:
        return next((seen for seen in self.here.values() if image in {seen.id, *seen.names}), None)

    async def images(self) -> list[ImageSeen]:
        return list(self.here.values())

    async def run_sandbox(self, plan: SandboxPlan) -> str:
        if self.refuse_sandbox is not None:
            raise self.refuse_sandbox
        key = f"s{next(self._numbers)}"
        self.sandboxes[key] = SandboxSeen(
            id=key,
            uid=plan.uid,
            namespace=plan.namespace,
            name=plan.name,
            attempt=plan.attempt,
            ready=True,
            created_at=time.time_ns(),
            ip="127.0.0.1",
        )
        return key

    async def stop_sandbox(self, sandbox_id: str) -> None:
        for key, seen in list(self.containers.items()):
            if seen.sandbox == sandbox_id and seen.state == "running":
                self.end(key, 137)
        self.sandboxes[sandbox_id] = replace(self.sandboxes[sandbox_id], ready=False)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        self.sandboxes.pop(sandbox_id, None)
        for key in [key for key, seen in self.containers.items() if seen.sandbox == sandbox_id]:
            del self.containers[key]

    async def start(self, sandbox_id: str, sandbox: SandboxPlan, plan: ContainerPlan) -> str:
        if plan.name in self.refuse_start:
            raise self.refuse_start[plan.name]
        key = f"c{next(self._numbers)}"
        self.plans[key] = plan
        self.containers[key] = ContainerSeen(
            id=key,
            sandbox=sandbox_id,
            uid=sandbox.uid,
            name=plan.name,
            attempt=plan.attempt,
            state="running",
            created_at=time.time_ns(),
            started_at=time.time_ns(),
            image=plan.image,
            image_id=plan.image,
        )
        self.on_start(plan)
        if plan.name in self.script:
            self.end(key, self.script[plan.name])
        return key

    def end(self, key: str, code: int, reason: str = "") -> None:
        self.containers[key] = replace(
            self.containers[key],
            state="exited",
            exit_code=code,
            finished_at=time.time_ns(),
            reason=reason or ("Error" if code else "Completed"),
        )

    async def stop(self, container_id: str, grace_seconds: float) -> None:
        self.stops.append((self.containers[container_id].name, grace_seconds))
        if self.containers[container_id].name in self.ignores_term:
            await asyncio.sleep(grace_seconds)
        self.end(container_id, 143 if grace_seconds else 137)

    async def remove(self, container_id: str) -> None:
        self.containers.pop(container_id, None)

    async def seen(self) -> tuple[list[SandboxSeen], list[ContainerSeen]]:
        return list(self.sandboxes.values()), list(self.containers.values())

    async def exec(self, container_id: str, command: Sequence[str], timeout: float | None) -> ExecResult:  # noqa: ASYNC109
        del container_id, timeout
        self.asked.append(tuple(command))
        found = self.commands.get(tuple(command))
        if found is None:
            raise RuntimeFailed(f"no such command: {command}")
        return found

    async def close(self) -> None:
        return

    def one(self, name: str) -> ContainerSeen:
        """The newest container of a name."""
        mine = [each for each in self.containers.values() if each.name == name]
        return max(mine, key=lambda each: each.attempt)


class Api:
    """An API server of one pod: keeps what it is sent, and says so to the one who looks after the pod."""

    def __init__(self) -> None:
        self.pods: dict[str, Resource] = {}
        self.events: list[Resource] = []
        self.statuses: list[Resource] = []
        self.tell: Callable[[Resource | None], None] = lambda _pod: None

    async def patch(self, _version: str, kind: str, _ns: str, name: str, patch: Any, **_: Any) -> Resource:
        if kind == "Event":
            return {}
        if name not in self.pods:
            raise not_found("", "pods", name)
        pod = self.pods[name]
        status = {**(pod.get("status") or {}), **patch["status"]}
        kept = {key: value for key, value in status.items() if value is not None}
        self.pods[name] = {**pod, "status": kept}
        self.statuses.append(kept)
        self.tell(self.pods[name])
        return self.pods[name]

    async def create(self, body: Resource, **_: Any) -> Resource:
        if any(each["metadata"]["name"] == body["metadata"]["name"] for each in self.events):
            raise Refusal(409, "AlreadyExists", "again")
        self.events.append(body)
        return body

    async def get(self, *_: Any) -> Resource:
        return {"count": 1}

    async def delete(self, _version: str, _kind: str, _ns: str, name: str, **_options: Any) -> Resource:
        found = self.pods.pop(name, None)
        if found is None:
            raise not_found("", "pods", name)
        self.tell(None)
        return found

    def said(self, reason: str) -> list[str]:
        """The messages of the Events with that reason, in order."""
        return [each["message"] for each in self.events if each["reason"] == reason]


class Stage:
    """One pod, played."""

    def __init__(self, actors: Actors, api: Api, node: Node) -> None:
        self.actors = actors
        self.api = api
        self.node = node
        self.work: PodWork | None = None
        self.task: asyncio.Task[None] | None = None

    def enter(self, pod: Resource) -> None:
        """Let the API have the pod, and the node look after it."""
        self.api.pods[pod["metadata"]["name"]] = pod
        work = self.work = PodWork(self.node, pod)
        self.api.tell = work.see
        self.node.on_change = lambda _uids: work.wake.set()
        self.task = asyncio.create_task(work.run())

    def change(self, name: str, **meta: Any) -> None:
        """Change the pod's metadata in the API."""
        pod = self.api.pods[name]
        self.api.pods[name] = {**pod, "metadata": {**pod["metadata"], **meta}}
        self.api.tell(self.api.pods[name])

    @property
    def status(self) -> Mapping[str, Any]:
        """What the API has as the pod's status now."""
        return next(iter(self.api.pods.values())).get("status") or {}

    def container(self, name: str = "web") -> Mapping[str, Any]:
        """One container's status, {} while there is none."""
        entries = [
            *(self.status.get("initContainerStatuses") or ()),
            *(self.status.get("containerStatuses") or ()),
        ]
        return next((each for each in entries if each["name"] == name), {})

    def waits(self, name: str = "web") -> str:
        """Why a container waits, "" when it does not."""
        return str((self.container(name).get("state") or {}).get("waiting", {}).get("reason", ""))

    async def until(self, holds: Callable[[], Any], seconds: float = 10.0) -> None:
        """Wait until something holds; a runtime's news comes as on a node."""
        async with asyncio.timeout(seconds):
            while not holds():
                await self.node.relist()
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def _stage(data_dir: Path, backoff: float = 0.2) -> AsyncIterator[Stage]:
    actors, api = Actors(), Api()
    actors.has("web:1", "side:1", "setup:1")
    node = Node(
        machine=Machine(name="one", addresses=("127.0.0.1",), cpus=2, memory=1 << 30, storage=1 << 40),
        data_dir=data_dir,
        cluster=cast("AsyncCluster", api),
        runtimes={"": actors},
        without={},
        crash_backoff=timedelta(seconds=backoff),
    )
    posting = asyncio.create_task(node.post_news())
    played = Stage(actors, api, node)
    try:
        yield played
    finally:
        for task in (posting, played.task):
            if task is not None:
                task.cancel()
        await asyncio.gather(posting, *([played.task] if played.task else []), return_exceptions=True)
        await node.close()


@pytest.fixture
def stage() -> Callable[..., contextlib.AbstractAsyncContextManager[Stage]]:
    """Makes a stage with a node on it that has a played runtime: `async with stage(path) as on`."""
    return _stage
