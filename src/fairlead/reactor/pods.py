"""The loop of a node's pods: one PodWork for each pod that the API binds here, woken by what changes.

Follows the pods of this node and what their containers may refer to; wakes the pod that a runtime's news is about; ends what
runs and belongs to no pod any more. Holds no rule about pods.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from fairlead.drivers import podfiles
from fairlead.drivers.podfiles import PodFiles
from fairlead.orchestrate.runtimes import RuntimeFailed
from fairlead.reactor.podnode import Node, Runtime, changes_of
from fairlead.reactor.podwork import PodWork
from fairlead.words import Ref, Resource

REFERRED = (
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("v1", "Service"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "PersistentVolume"),
)
"""What a pod's environment and volumes may refer to."""
ORPHAN_SECONDS = 30.0
_log = logging.getLogger(__name__)


class Pods:
    """All pods of one node."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.works: dict[str, PodWork] = {}
        node.on_change = self._wake
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._left: list[PodWork] = []
        self._waiting = {kind for _, kind in REFERRED}
        self._known = asyncio.Event()
        self._listed = asyncio.Event()

    async def run(self) -> None:
        """Look after the node's pods until cancelled. Raises an ExceptionGroup with the Refusal when the API bars us."""
        try:
            async with asyncio.TaskGroup() as group:
                for api_version, kind in REFERRED:
                    group.create_task(self._follow(api_version, kind))
                group.create_task(self._follow_pods())
                group.create_task(self.node.post_news())
                group.create_task(self._relist_often())
                group.create_task(self._end_orphans())
                for runtime in self.node.runtimes.values():
                    group.create_task(self._listen(runtime))
        finally:
            self._left = list(self.works.values())
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def leave(self, grace: float) -> None:
        """End every pod's containers within the grace (seconds) and report it. Only after `run` has ended."""
        endings = [work.leave(grace) for work in self._left]
        for error in await asyncio.gather(*endings, return_exceptions=True):
            if isinstance(error, BaseException):
                _log.warning("a pod was not ended in order: %s", error)

    async def _follow(self, api_version: str, kind: str) -> None:
        stream = self.node.cluster.follow(api_version, kind)
        async with contextlib.aclosing(stream):
            async for seen in stream:
                if seen.type == "SYNCED":
                    self._waiting.discard(kind)
                    if not self._waiting:
                        self._known.set()
                    continue
                if seen.type == "DELETED":
                    self.node.view.drop(Ref.of(seen.object))
                else:
                    self.node.view.put(seen.object)
                if kind != "Service":
                    self._config_changed(seen.object)

    def _config_changed(self, resource: Resource) -> None:
        namespace = resource["metadata"].get("namespace") or ""
        for work in self.works.values():
            if not namespace or work.last["metadata"]["namespace"] == namespace:
                work.mounts.stale = True
                work.wake.set()

    async def _follow_pods(self) -> None:
        await self._known.wait()  # a pod must not fail for a ConfigMap that is only not listed yet
        await self._first_list()
        stream = self.node.cluster.follow("v1", "Pod", fields=f"spec.nodeName={self.node.name}")
        async with contextlib.aclosing(stream):
            async for seen in stream:
                if seen.type == "SYNCED":
                    self._listed.set()
                    continue
                uid = seen.object["metadata"]["uid"]
                work = self.works.get(uid)
                if seen.type == "DELETED":
                    if work is not None:
                        work.see(None)
                elif work is not None:
                    work.see(seen.object)
                else:
                    self._begin(seen.object)

    async def _first_list(self) -> None:
        while True:
            try:
                await self.node.relist()
            except RuntimeFailed as error:
                _log.warning("the runtime does not answer yet: %s", error)
                await asyncio.sleep(0.5)
            else:
                return

    def _begin(self, pod: Resource) -> None:
        work = PodWork(self.node, pod)
        self.works[work.uid] = work
        task = asyncio.create_task(work.run())
        self._tasks[work.uid] = task
        task.add_done_callback(lambda _: self._ended(work))

    def _ended(self, work: PodWork) -> None:
        if self.works.get(work.uid) is work:
            del self.works[work.uid]
            del self._tasks[work.uid]

    async def _listen(self, runtime: Runtime) -> None:
        async for _ in changes_of(runtime):
            await self._relist()

    async def _relist(self) -> None:
        try:
            await self.node.relist()
        except RuntimeFailed as error:
            _log.warning("the runtime does not answer: %s", error)
            await asyncio.sleep(1)

    async def _relist_often(self) -> None:
        """Look at the runtimes now and then whatever their events say: some of them are lost."""
        while True:
            await asyncio.sleep(1)
            await self._relist()

    def _wake(self, uids: set[str]) -> None:
        for uid in uids:
            if uid in self.works:
                self.works[uid].wake.set()

    async def _end_orphans(self) -> None:
        """End and remove what no pod of the API owns: it went while this process was away."""
        await self._listed.wait()
        while True:
            for uid in self.node.uids() - self.works.keys():
                _log.info("ending the remains of pod %s", uid)
                await self._end_orphan(uid)
            folders = podfiles.log_folders(self.node.data_dir)
            for uid in (podfiles.known_uids(self.node.data_dir) | folders.keys()) - self.works.keys():
                namespace, name = (folders[uid].name.split("_")[:2]) if uid in folders else ("", "")
                await asyncio.to_thread(PodFiles(self.node.data_dir, uid, namespace, name).remove)
            await asyncio.sleep(ORPHAN_SECONDS)

    async def _end_orphan(self, uid: str) -> None:
        for sandbox in self.node.observed(uid).sandboxes:
            for runtime in self.node.runtimes.values():
                try:
                    await runtime.stop_sandbox(sandbox.id)
                    await runtime.remove_sandbox(sandbox.id)
                except RuntimeFailed as error:
                    _log.info("sandbox %s: %s", sandbox.id, error)
        await self._relist()
