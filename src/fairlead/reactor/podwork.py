"""The loop of one pod on its node: looks, lets orchestrate decide, carries it out, reports, and looks again.

One task a pod, so that a slow pull or a slow stop holds up nobody else. What should be done is decided in orchestrate/pod*;
how it is done is the runtime's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from fairlead.drivers import podlogs
from fairlead.drivers.cluster import Unreachable
from fairlead.drivers.podfiles import PodFiles, VolumeFailed
from fairlead.keep.errors import Refusal
from fairlead.orchestrate import (
    podimages,
    podplans,
    podspecs,
    podstatus,
    podsteps,
    proposing,
)
from fairlead.orchestrate.backoffs import Backoffs
from fairlead.orchestrate.podenv import ConfigFault, environment
from fairlead.orchestrate.podspecs import Note, Spec
from fairlead.orchestrate.podsteps import Memory, Observed
from fairlead.orchestrate.runtimes import (
    ContainerSeen,
    ImageSeen,
    PullFailed,
    RuntimeFailed,
    SandboxPlan,
    StartFailed,
)
from fairlead.reactor.podhealth import PodHealth
from fairlead.reactor.podmounts import PodMounts
from fairlead.reactor.podnode import Node, Runtime
from fairlead.words import Resource

CONFIG_RETRY = timedelta(seconds=10)
SANDBOX_RETRY = timedelta(seconds=2)
SAME_NEWS = timedelta(seconds=12)
"""How long the same Event is not told again: a loop may look many times at one state."""
STATUS_RETRY = timedelta(seconds=1)
POST_START_SECONDS = 120.0
_FALLBACK_LINES, _FALLBACK_BYTES = 80, 2048
T = TypeVar("T")
_log = logging.getLogger(__name__)


class PodWork:
    """One pod. `pod` is what the API says of it now, None once it is gone from there; `wake` makes it look again."""

    def __init__(self, node: Node, pod: Resource) -> None:
        self.node = node
        self.pod: Resource | None = pod
        self.last = pod
        self.wake = asyncio.Event()
        self._news = asyncio.Event()
        self.memory = Memory(
            crashes=Backoffs(base=node.crash_backoff, ceiling=max(node.crash_backoff, timedelta(minutes=5))),
            pulls=Backoffs(base=node.pull_backoff),
        )
        self.files = PodFiles.of(node.data_dir, pod)
        self.runtime: Runtime | None = node.runtime_of(pod)
        self.mounts = PodMounts(node, self.files)
        self.health = PodHealth(node, self.runtime, self.wake.set, self._tell)
        self._told: dict[Note, datetime] = {}
        self._ends: dict[str, str] = {}

    @property
    def uid(self) -> str:
        """The pod's uid."""
        return str(self.last["metadata"]["uid"])

    def see(self, pod: Resource | None) -> None:
        """Take in what the API says now."""
        self.pod = pod
        if pod is not None:
            if _fields(pod) != _fields(self.last):
                self.mounts.stale = True
            self.last = pod
        self._news.set()
        self.wake.set()

    async def run(self) -> None:
        """Look after the pod until nothing of it is left here."""
        again: timedelta | None = timedelta()
        try:
            while again is not None:
                self.wake.clear()
                try:
                    again = await self._look()
                except (RuntimeFailed, Refusal, Unreachable, OSError) as error:
                    _log.warning("pod %s: %s", podspecs.name_of(self.last), error)
                    again = STATUS_RETRY
                except Exception:  # noqa: BLE001  one pod's trouble must not be the others'
                    _log.exception("pod %s", podspecs.name_of(self.last))
                    again = CONFIG_RETRY
                if again is None:
                    return
                try:
                    async with asyncio.timeout(max(again.total_seconds(), 0.0)):
                        await self.wake.wait()
                except TimeoutError:
                    pass
        finally:
            self.health.stop()

    async def _look(self) -> timedelta | None:
        """Do what is due; return how long to wait at most, None when nothing is left to do for ever."""
        pod = self.pod
        if pod is None:
            await self._end_all(self.last, grace=0.0, why="")
            await self._forget()
            return None
        now = datetime.now(UTC)
        if self.runtime is None:
            return await self._without_runtime(pod)
        observed = self._observed(pod)
        if podspecs.is_deleting(pod):
            await self._delete(pod)
            return STATUS_RETRY
        if podspecs.is_over(pod):
            if observed.sandbox is not None and observed.sandbox.ready:
                await self._end_all(pod, grace=podspecs.grace(pod), why="")
            return timedelta(minutes=5)
        self.memory = replace(self.memory, health=self.health.watch(pod, observed))
        decision = podsteps.decide(pod, observed, self.memory, now)
        self.memory = decision.memory
        self._tell(pod, decision.notes)
        again = decision.again
        if decision.end:
            await self._end_all(pod, grace=podspecs.grace(pod), why="")
        else:
            again = _sooner(again, await self._carry_out(pod, decision))
        observed = self._observed(pod)
        self.memory = replace(self.memory, health=self.health.watch(pod, observed))
        await self._report(pod, observed)
        return min(again or timedelta(seconds=60), timedelta(seconds=60))

    def _observed(self, pod: Resource) -> Observed:
        """What the runtime has of the pod, with the messages that ended containers left."""
        seen = podsteps.recall(pod, self.node.observed(self.uid))
        return replace(seen, containers=tuple(self._with_message(pod, each) for each in seen.containers))

    def _with_message(self, pod: Resource, seen: ContainerSeen) -> ContainerSeen:
        if seen.state != "exited" or not seen.sandbox:
            return seen
        if seen.id not in self._ends:
            message = self.files.end_message(seen.name, seen.attempt)
            spec = next((each for each in podspecs.every(pod) if each["name"] == seen.name), {})
            falls_back = spec.get("terminationMessagePolicy") == "FallbackToLogsOnError"
            if not message and falls_back and seen.exit_code:
                log = self.files.logs / podplans.log_path(seen.name, seen.attempt)
                text = b"".join(podlogs.read(log, podlogs.Wanted(tail=_FALLBACK_LINES)))
                message = text[-_FALLBACK_BYTES:].decode(errors="replace")
            self._ends[seen.id] = message
        message = self._ends[seen.id]
        return replace(seen, message=message) if message else seen

    # --- doing

    async def _carry_out(self, pod: Resource, decision: podsteps.Decision) -> timedelta | None:
        assert self.runtime is not None
        for stop in decision.stop:
            await self._stop(pod, stop.container, stop.message, stop.grace)
        if decision.stop:
            await self.node.relist()
        if decision.sandbox is not None:
            return await self._new_sandbox(pod, decision.sandbox)
        again = self.mounts.renewal(datetime.now(UTC))
        if self.mounts.stale and self._observed(pod).sandbox is not None:
            faults, later = await self.mounts.set_up(pod)
            self._tell(pod, faults)
            if faults and decision.start:
                return later
        for start in decision.start:
            spec = next(each for each in podspecs.every(pod) if each["name"] == start.name)
            late = await self._start(pod, spec, start.attempt)
            again = _sooner(again, timedelta() if late is None else late)
        for doomed in podsteps.stale(self.node.observed(self.uid)):
            await self.runtime.remove(doomed.id)
            self.files.forget_run(doomed.name, doomed.attempt)
        return again

    async def _without_runtime(self, pod: Resource) -> timedelta:
        """Say what the node lacks for this pod; it stays Pending, as the node may be started again with it."""
        if podspecs.is_deleting(pod):
            await self._delete(pod)
            return STATUS_RETRY
        self._tell(pod, [Note("Warning", "FailedCreatePodSandBox", self.node.why_not(pod))])
        return timedelta(minutes=1)

    async def _new_sandbox(self, pod: Resource, attempt: int) -> timedelta | None:
        """Make the pod's surroundings: volumes first, since containers must not start without them."""
        assert self.runtime is not None
        unsupported = podplans.unsupported(pod)
        if unsupported:
            text = f"this node does not support {', '.join(unsupported)} yet"
            self._tell(pod, [Note("Warning", "FailedCreatePodSandBox", text)])
            return timedelta(minutes=1)
        faults, later = await self.mounts.set_up(pod)
        self._tell(pod, faults)
        if faults:
            return later
        for old in self.node.observed(self.uid).sandboxes:
            await self.runtime.stop_sandbox(old.id)
        try:
            await self.runtime.run_sandbox(self._sandbox_plan(pod, attempt))
        except (StartFailed, RuntimeFailed) as error:
            text = f"Failed to create pod sandbox: {error}"
            self._tell(pod, [Note("Warning", "FailedCreatePodSandBox", text)])
            return SANDBOX_RETRY
        await self.node.relist()
        return timedelta()

    def _sandbox_plan(self, pod: Resource, attempt: int) -> SandboxPlan:
        return podplans.sandbox_plan(pod, attempt, str(self.files.logs), self.node.resolver())

    async def _start(self, pod: Resource, spec: Spec, attempt: int) -> timedelta | None:
        """Start one container. Return how long to wait when it cannot be now, None when it could."""
        assert self.runtime is not None
        name, field = spec["name"], podspecs.field_path(pod, spec["name"])
        image = await self._image(pod, spec, field)
        if image is None:
            return self._until_pull(spec)
        observed = self._observed(pod)
        if observed.sandbox is None or not self.mounts.ready:
            return timedelta()
        try:
            env, skipped = environment(pod, spec, self.node.view, self.node.around(pod))
            mounts = self.mounts.mounts(pod, spec, attempt, dict(env))
            plan = podplans.container_plan(
                pod, spec, image, attempt=attempt, env=env, mounts=mounts, node_memory=self.node.memory
            )
        except (ConfigFault, VolumeFailed) as error:
            self._wait(name, "CreateContainerConfigError", str(error))
            self._tell(pod, [Note("Warning", "Failed", f"Error: {error}", field)])
            return CONFIG_RETRY
        if skipped:
            text = f"Keys [{', '.join(skipped)}] from the EnvFrom of container {name} were skipped: they are no names of variables"
            self._tell(pod, [Note("Warning", "InvalidEnvironmentVariableNames", text)])
        try:
            made = await self.runtime.start(
                observed.sandbox.id, self._sandbox_plan(pod, observed.sandbox.attempt), plan
            )
        except StartFailed as error:
            self._wait(name, error.reason, str(error))
            self._tell(pod, [Note("Warning", "Failed", f"Error: {error}", field)])
            await self.node.relist()
            if self._observed(pod).latest(name) != observed.latest(name):
                return STATUS_RETRY  # it is there and has ended: the next look counts that as a crash
            now = datetime.now(UTC)
            self.memory = replace(self.memory, crashes=self.memory.crashes.lengthen(name, now, now))
            return self.memory.crashes.delay(name)
        waiting = {key: why for key, why in self.memory.waiting.items() if key != name}
        marks = {**self.memory.fingerprints, made: podspecs.fingerprint(spec)}
        self.memory = replace(self.memory, waiting=waiting, fingerprints=marks)
        self._tell(
            pod,
            [
                Note("Normal", "Created", f"Created container: {name}", field),
                Note("Normal", "Started", f"Started container {name}", field),
            ],
        )
        await self.node.relist()
        await self._post_start(pod, spec, made)
        return None

    async def _post_start(self, pod: Resource, spec: Spec, container: str) -> None:
        hook = self.health.hook(pod, spec, container, "postStart", POST_START_SECONDS)
        if await self._while_wanted(hook) is not False:
            return
        seen = next((each for each in self.node.observed(self.uid).containers if each.id == container), None)
        if seen is not None:
            await self._stop(pod, seen, "FailedPostStartHook")
        self._wait(spec["name"], "PostStartHookError", "the postStart hook failed")

    async def _while_wanted(self, doing: Coroutine[Any, Any, T]) -> T | None:
        """Do something long; give it up, and return None, when the pod is to be deleted meanwhile."""
        task = asyncio.ensure_future(doing)
        try:
            while not task.done():
                self._news.clear()
                if self.pod is None or podspecs.is_deleting(self.pod):
                    return None
                news = asyncio.ensure_future(self._news.wait())
                await asyncio.wait({task, news}, return_when=asyncio.FIRST_COMPLETED)
                news.cancel()
            return await task
        finally:
            task.cancel()

    def _until_pull(self, spec: Spec) -> timedelta:
        """Return how long a container waits for its image: a failed pull is shown for a while before the back-off is."""
        image = spec.get("image") or ""
        entry = self.memory.pulls.entries.get(image)
        if entry is None:
            return CONFIG_RETRY
        now = datetime.now(UTC)
        left = self.memory.pulls.left(image, entry.updated, now) or timedelta()
        shown = self.memory.waiting.get(spec["name"], ("", ""))[0] == "ErrImagePull"
        return min(left / 2, STATUS_RETRY) if shown else left

    async def _image(self, pod: Resource, spec: Spec, field: str) -> ImageSeen | None:
        """Return the image to use, pulled where that is due; None when the container has to wait."""
        assert self.runtime is not None
        name, wanted = spec["name"], spec.get("image") or ""
        try:
            full = podimages.reference(wanted)
            found = await self.runtime.find_image(full)
        except ValueError:
            found = None
        said = self.memory.pull_errors.get(wanted, "")
        now = datetime.now(UTC)
        step = podimages.image_step(spec, found, self.memory.pulls, said, now=now, field=field)
        self._tell(pod, step.notes)
        if isinstance(step, podimages.Use):
            return step.image
        if isinstance(step, podimages.Wait):
            self._wait(name, step.reason, step.message)
            return None
        try:
            pull = self.runtime.pull(step.image, self.node.pull_secret(pod, step.image))
            identity = await self._while_wanted(pull)
            if identity is None:
                return None
            pulled = await self.runtime.find_image(identity) or await self.runtime.find_image(step.image)
            if pulled is None:
                raise PullFailed("the image was pulled, and is not there")  # noqa: TRY301  handled as any failed pull
        except PullFailed as error:
            now = datetime.now(UTC)
            self.memory = replace(
                self.memory,
                pulls=self.memory.pulls.lengthen(wanted, now, now),
                pull_errors={**self.memory.pull_errors, wanted: str(error)},
            )
            wait = podimages.pull_failed(spec, str(error), field)
            self._wait(name, wait.reason, wait.message)
            self._tell(pod, wait.notes)
            return None
        self.memory = replace(self.memory, pulls=self.memory.pulls.forget(wanted))
        took = podspecs.seconds_text(
            timedelta(milliseconds=round((datetime.now(UTC) - now).total_seconds() * 1000))
        )
        self._tell(pod, [podimages.pulled(spec, took, pulled.size, field)])
        return pulled

    def _wait(self, container: str, reason: str, message: str) -> None:
        self.memory = replace(self.memory, waiting={**self.memory.waiting, container: (reason, message)})

    # --- stopping

    async def _stop(
        self, pod: Resource, container: ContainerSeen, message: str, grace: float | None = None
    ) -> None:
        assert self.runtime is not None
        field = podspecs.field_path(pod, container.name)
        text = message or f"Stopping container {container.name}"
        self._tell(pod, [Note("Normal", "Killing", text, field)])
        seconds = podspecs.grace(pod) if grace is None else grace
        self.health.stop(container.id)
        spec = next((each for each in podspecs.every(pod) if each["name"] == container.name), None)
        ending = asyncio.ensure_future(self._let_end(pod, spec, container, seconds))
        try:
            while not ending.done():
                self._news.clear()
                news = asyncio.ensure_future(self._news.wait())
                await asyncio.wait({ending, news}, return_when=asyncio.FIRST_COMPLETED)
                news.cancel()
                left = seconds if self.pod is not None else 0.0
                if self.pod is not None and podspecs.is_deleting(self.pod):
                    left = podspecs.grace(self.pod)
                if left < seconds and not ending.done():  # asked again, for a quicker end
                    ending.cancel()
                    seconds = left
                    ending = asyncio.ensure_future(self.runtime.stop(container.id, seconds))
            await ending
        finally:
            ending.cancel()

    async def _let_end(
        self, pod: Resource, spec: Spec | None, container: ContainerSeen, seconds: float
    ) -> None:
        """Run the hook that a container has for its end, then ask it to end within what is left of the grace."""
        assert self.runtime is not None
        if spec is not None and ((spec.get("lifecycle") or {}).get("preStop")) and seconds > 0:
            begun = asyncio.get_running_loop().time()
            await self.health.hook(pod, spec, container.id, "preStop", seconds)
            seconds = max(seconds - (asyncio.get_running_loop().time() - begun), 2.0)
        await self.runtime.stop(container.id, seconds)

    async def _end_all(self, pod: Resource, *, grace: float, why: str) -> None:
        """Stop whatever runs, then the sandboxes."""
        if self.runtime is None:
            return
        observed = self.node.observed(self.uid)
        running = [each for each in observed.containers if each.state in {"running", "unknown"}]
        sidecars = {each["name"] for each in podspecs.init_containers(pod) if podspecs.is_sidecar(each)}
        first = [each for each in running if each.name not in sidecars]
        await asyncio.gather(*(self._stop(pod, each, why, grace) for each in first))
        await asyncio.gather(
            *(self._stop(pod, each, why, grace) for each in running if each.name in sidecars)
        )
        for sandbox in observed.sandboxes:
            if sandbox.ready:
                await self.runtime.stop_sandbox(sandbox.id)
        await self.node.relist()

    async def _delete(self, pod: Resource) -> None:
        """End the pod as the API asked, say how it ended, and take its object away."""
        self.health.stop()
        await self._end_all(pod, grace=podspecs.grace(pod), why="")
        observed = self._observed(pod)
        if observed.containers and not podspecs.is_over(pod):
            await self._report(pod, observed)
        await self._forget()
        await self.node.remove(pod)

    async def leave(self, grace: float) -> None:
        """End what runs, within the grace at most, and say how it ended: the node is about to stop.

        Only after `run` has ended. The pod stays the node's, and goes on when the node is back.
        """
        pod = self.pod
        if pod is None or self.runtime is None:
            return
        await self._end_all(pod, grace=min(podspecs.grace(pod), grace), why="")
        if not podspecs.is_over(pod):
            await self._report(pod, self._observed(pod))

    async def _forget(self) -> None:
        if self.runtime is not None:
            for sandbox in self.node.observed(self.uid).sandboxes:
                await self.runtime.remove_sandbox(sandbox.id)
            await self.node.relist()
        await asyncio.to_thread(self.files.remove)

    # --- telling

    def _tell(self, pod: Resource, notes: Sequence[Note]) -> None:
        now = datetime.now(UTC)
        for note in notes:
            told = self._told.get(note)
            if told is not None and now - told < SAME_NEWS and note.reason != "Unhealthy":
                continue
            self._told[note] = now
            change = proposing.event(
                pod,
                note.type,
                note.reason,
                note.message,
                now,
                "kubelet",
                field=note.field,
                host=self.node.name,
            )
            self.node.tell(change)
        if len(self._told) > 200:
            self._told = {note: at for note, at in self._told.items() if now - at < SAME_NEWS}

    async def _report(self, pod: Resource, observed: Observed) -> None:
        """Write the status where it differs from what the API has."""
        current = self.pod or pod
        assert self.runtime is not None
        around = self.node.around(pod)
        ips = around.host_ips if pod["spec"].get("hostNetwork") else around.pod_ips
        place = podstatus.Place(self.runtime.name, around.host_ips, tuple(ips))
        new = podstatus.status(current, observed, self.memory, place, datetime.now(UTC))
        for change in proposing.status(current, new, "what runs has changed"):
            fresh = await self.node.report(change)
            if fresh is not None and self.pod is not None:
                self.pod = self.last = fresh


def _fields(pod: Resource) -> tuple[object, object]:
    """Return what of a pod may change while its volumes show it."""
    return pod["metadata"].get("labels"), pod["metadata"].get("annotations")


def _sooner(first: timedelta | None, second: timedelta | None) -> timedelta | None:
    both = [each for each in (first, second) if each is not None]
    return min(both) if both else None
