"""The loop of one pod on its node: looks, lets orchestrate decide, carries it out, reports, and looks again.

One task a pod, so that a slow pull or a slow stop holds up nobody else. What should be done is decided in orchestrate/pod*;
how it is done is the runtime's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

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
    podvolumes,
    probes,
    proposing,
)
from fairlead.orchestrate.backoffs import Backoffs
from fairlead.orchestrate.podenv import ConfigFault, environment
from fairlead.orchestrate.podspecs import Note, Spec
from fairlead.orchestrate.podsteps import Memory, Observed
from fairlead.orchestrate.podvolumes import Token
from fairlead.orchestrate.runtimes import (
    ContainerSeen,
    ExecResult,
    ImageSeen,
    Mount,
    PullFailed,
    RuntimeFailed,
    SandboxPlan,
    StartFailed,
)
from fairlead.reactor.podnode import Node, Runtime
from fairlead.words import Resource

CONFIG_RETRY = timedelta(seconds=10)
MOUNT_RETRY = timedelta(milliseconds=500)
MOUNT_RETRY_CEILING = timedelta(seconds=122)
SANDBOX_RETRY = timedelta(seconds=2)
SAME_NEWS = timedelta(seconds=12)
"""How long the same Event is not told again: a loop may look many times at one state."""
STATUS_RETRY = timedelta(seconds=1)
TOKEN_RENEW = 0.8
"""Share of a token's life after which it is renewed."""
_FALLBACK_LINES, _FALLBACK_BYTES = 80, 2048
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Mounted:
    """The pod's volumes as they are set up: where each lies, and what of it is read-only for everyone."""

    paths: dict[str, str]
    read_only: set[str]


class PodWork:
    """One pod. `pod` is what the API says of it now, None once it is gone from there; `wake` makes it look again."""

    def __init__(self, node: Node, pod: Resource) -> None:
        self.node = node
        self.pod: Resource | None = pod
        self.last = pod
        self.wake = asyncio.Event()
        self.config_changed = True
        self.memory = Memory(
            crashes=Backoffs(base=node.crash_backoff, ceiling=max(node.crash_backoff, timedelta(minutes=5))),
            pulls=Backoffs(base=node.pull_backoff),
        )
        self.files = PodFiles.of(node.data_dir, pod)
        self.runtime: Runtime | None = node.runtime_of(pod)
        self._volumes: _Mounted | None = None
        self._mount_faults = Backoffs(base=MOUNT_RETRY, ceiling=MOUNT_RETRY_CEILING)
        self._told: dict[Note, datetime] = {}
        self._tokens: dict[Token, tuple[str, datetime]] = {}
        self._probes: dict[tuple[str, probes.Kind], asyncio.Task[None]] = {}
        self._ends: dict[str, str] = {}
        self._hooked: set[str] = set()

    @property
    def uid(self) -> str:
        """The pod's uid."""
        return str(self.last["metadata"]["uid"])

    def see(self, pod: Resource | None) -> None:
        """Take in what the API says now."""
        self.pod = pod
        if pod is not None:
            self.last = pod
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
            self._stop_probes(frozenset())

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
        self._watch_health(pod, observed)
        decision = podsteps.decide(pod, observed, self.memory, now)
        self.memory = decision.memory
        await self._tell(pod, decision.notes)
        again = decision.again
        if decision.end:
            await self._end_all(pod, grace=podspecs.grace(pod), why="")
        else:
            again = _sooner(again, await self._carry_out(pod, decision))
        observed = self._observed(pod)
        self._watch_health(pod, observed)
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
        if self.config_changed and self._observed(pod).sandbox is not None:
            late = await self._set_up_volumes(pod)
            if late is not None and decision.start:
                return late
        again: timedelta | None = None
        for start in decision.start:
            spec = next(each for each in podspecs.every(pod) if each["name"] == start.name)
            again = _sooner(again, await self._start(pod, spec, start.attempt))
        for doomed in podsteps.stale(self.node.observed(self.uid)):
            await self.runtime.remove(doomed.id)
            self.files.forget_run(doomed.name, doomed.attempt)
        if decision.start:
            await self.node.relist()
            return _sooner(again, timedelta())
        return again

    async def _without_runtime(self, pod: Resource) -> timedelta:
        """Say what the node lacks for this pod; it stays Pending, as the node may be started again with it."""
        if podspecs.is_deleting(pod):
            await self._delete(pod)
            return STATUS_RETRY
        await self._tell(pod, [Note("Warning", "FailedCreatePodSandBox", self.node.why_not(pod))])
        return timedelta(minutes=1)

    async def _new_sandbox(self, pod: Resource, attempt: int) -> timedelta | None:
        """Make the pod's surroundings: volumes first, since containers must not start without them."""
        assert self.runtime is not None
        unsupported = podplans.unsupported(pod)
        if unsupported:
            text = f"this node does not support {', '.join(unsupported)} yet"
            await self._tell(pod, [Note("Warning", "FailedCreatePodSandBox", text)])
            return timedelta(minutes=1)
        self.config_changed = True
        late = await self._set_up_volumes(pod)
        if late is not None:
            return late
        for old in self.node.observed(self.uid).sandboxes:
            await self.runtime.stop_sandbox(old.id)
        try:
            await self.runtime.run_sandbox(self._sandbox_plan(pod, attempt))
        except RuntimeFailed as error:
            text = f"Failed to create pod sandbox: {error}"
            await self._tell(pod, [Note("Warning", "FailedCreatePodSandBox", text)])
            return SANDBOX_RETRY
        await self.node.relist()
        return timedelta()

    def _sandbox_plan(self, pod: Resource, attempt: int) -> SandboxPlan:
        return podplans.sandbox_plan(pod, attempt, str(self.files.logs), self.node.resolver())

    async def _set_up_volumes(self, pod: Resource) -> timedelta | None:
        """Make every volume ready or up to date. Return how long to wait when one cannot be had."""
        self.files.prepare()
        self.config_changed = False
        now = datetime.now(UTC)
        await self._fetch_tokens(pod, now)
        tokens = {token: text for token, (text, _) in self._tokens.items()}
        given = podvolumes.Given(self.node.view, self.node.around(pod), tokens)
        mounted = _Mounted({}, set())
        faults: list[Note] = []
        for plan in podvolumes.plan(pod, given):
            if isinstance(plan, podvolumes.Fault):
                faults.append(Note("Warning", "FailedMount", plan.text))
                continue
            try:
                mounted.paths[plan.name] = str(self.files.set_up(plan))
            except VolumeFailed as error:
                fault = podvolumes.Fault(name=plan.name, message=str(error))
                faults.append(Note("Warning", "FailedMount", fault.text))
                continue
            if isinstance(plan, podvolumes.Files) or (isinstance(plan, podvolumes.Host) and plan.read_only):
                mounted.read_only.add(plan.name)
        if faults:
            await self._tell(pod, faults)
            self._mount_faults = self._mount_faults.lengthen("volumes", now, now)
            self.config_changed = True
            return self._mount_faults.delay("volumes")
        self._mount_faults = self._mount_faults.forget("volumes")
        self._volumes = mounted
        return None

    async def _fetch_tokens(self, pod: Resource, now: datetime) -> None:
        for token in podvolumes.tokens_needed(pod):
            known = self._tokens.get(token)
            if known is not None and known[1] > now:
                continue
            try:
                self._tokens[token] = (
                    await self.node.token(pod, token),
                    now + timedelta(seconds=token.seconds * TOKEN_RENEW),
                )
            except (Refusal, Unreachable) as error:
                _log.warning("pod %s: no token: %s", podspecs.name_of(pod), error)

    async def _start(self, pod: Resource, spec: Spec, attempt: int) -> timedelta | None:
        """Start one container. Return how long to wait when it cannot be now."""
        assert self.runtime is not None
        name, field = spec["name"], podspecs.field_path(pod, spec["name"])
        image = await self._image(pod, spec, field)
        if image is None:
            left = self.memory.pulls.delay(spec.get("image") or "")
            return left or CONFIG_RETRY
        observed = self._observed(pod)
        if observed.sandbox is None or self._volumes is None:
            return timedelta()
        try:
            env, skipped = environment(pod, spec, self.node.view, self.node.around(pod))
            mounts = self._mounts(pod, spec, attempt, dict(env))
            plan = podplans.container_plan(
                pod, spec, image, attempt=attempt, env=env, mounts=mounts, node_memory=self.node.memory
            )
        except (ConfigFault, VolumeFailed) as error:
            self._wait(name, "CreateContainerConfigError", str(error))
            await self._tell(pod, [Note("Warning", "Failed", f"Error: {error}", field)])
            return CONFIG_RETRY
        if skipped:
            text = f"Keys [{', '.join(skipped)}] from the EnvFrom of container {name} were skipped: they are no names of variables"
            await self._tell(pod, [Note("Warning", "InvalidEnvironmentVariableNames", text)])
        try:
            made = await self.runtime.start(
                observed.sandbox.id, self._sandbox_plan(pod, observed.sandbox.attempt), plan
            )
        except StartFailed as error:
            self._wait(name, error.reason, str(error))
            await self._tell(pod, [Note("Warning", "Failed", f"Error: {error}", field)])
            now = datetime.now(UTC)
            self.memory = replace(self.memory, crashes=self.memory.crashes.lengthen(name, now, now))
            return self.memory.crashes.delay(name)
        waiting = {key: why for key, why in self.memory.waiting.items() if key != name}
        marks = {**self.memory.fingerprints, made: podspecs.fingerprint(spec)}
        self.memory = replace(self.memory, waiting=waiting, fingerprints=marks)
        await self._tell(
            pod,
            [
                Note("Normal", "Created", f"Created container: {name}", field),
                Note("Normal", "Started", f"Started container {name}", field),
            ],
        )
        await self.node.relist()
        return await self._post_start(pod, spec, made, field)

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
        await self._tell(pod, step.notes)
        if isinstance(step, podimages.Use):
            return step.image
        if isinstance(step, podimages.Wait):
            self._wait(name, step.reason, step.message)
            return None
        try:
            identity = await self.runtime.pull(step.image, self.node.pull_secret(pod, step.image))
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
            await self._tell(pod, wait.notes)
            return None
        self.memory = replace(self.memory, pulls=self.memory.pulls.forget(wanted))
        took = podspecs.seconds_text(
            timedelta(milliseconds=round((datetime.now(UTC) - now).total_seconds() * 1000))
        )
        await self._tell(pod, [podimages.pulled(spec, took, pulled.size, field)])
        return pulled

    def _wait(self, container: str, reason: str, message: str) -> None:
        self.memory = replace(self.memory, waiting={**self.memory.waiting, container: (reason, message)})

    def _mounts(self, pod: Resource, spec: Spec, attempt: int, env: Mapping[str, str]) -> list[Mount]:
        assert self._volumes is not None
        mounts: list[Mount] = []
        targets = set()
        for mount in spec.get("volumeMounts") or ():
            path = self._volumes.paths.get(mount["name"])
            if path is None:
                raise ConfigFault(f'volume "{mount["name"]}" of container {spec["name"]} is not mounted')
            inner = podplans.sub_path(mount, env)
            if inner:
                path = str(self.files.sub_path(self.files.home.__class__(path), inner))
            read_only = bool(mount.get("readOnly")) or mount["name"] in self._volumes.read_only
            mounts.append(Mount(path, mount["mountPath"], read_only))
            targets.add(mount["mountPath"].rstrip("/"))
        around = self.node.around(pod)
        if "/etc/hosts" not in targets and around.pod_ips:
            text = podplans.hosts_file(pod, around.pod_ips, self.node.hosts_of_machine())
            mounts.append(Mount(str(self.files.hosts(text)), "/etc/hosts"))
        end = spec.get("terminationMessagePath") or "/dev/termination-log"
        mounts.append(Mount(str(self.files.end_file(spec["name"], attempt)), end))
        return mounts

    # --- stopping

    async def _stop(
        self, pod: Resource, container: ContainerSeen, message: str, grace: float | None = None
    ) -> None:
        assert self.runtime is not None
        field = podspecs.field_path(pod, container.name)
        text = message or f"Stopping container {container.name}"
        await self._tell(pod, [Note("Normal", "Killing", text, field)])
        seconds = podspecs.grace(pod) if grace is None else grace
        spec = next((each for each in podspecs.every(pod) if each["name"] == container.name), None)
        hook = ((spec or {}).get("lifecycle") or {}).get("preStop")
        if spec is not None and hook and seconds > 0:
            begun = asyncio.get_running_loop().time()
            await self._hook(pod, spec, container.id, hook, seconds, "FailedPreStopHook", "PreStopHook")
            seconds = max(seconds - (asyncio.get_running_loop().time() - begun), 2.0)
        self._stop_probes(frozenset({key[0] for key in self._probes} - {container.id}))
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
        self._stop_probes(frozenset())
        await self._end_all(pod, grace=podspecs.grace(pod), why="")
        observed = self._observed(pod)
        if observed.containers and not podspecs.is_over(pod):
            await self._report(pod, observed)
        await self._forget()
        await self.node.remove(pod)

    async def _forget(self) -> None:
        if self.runtime is not None:
            for sandbox in self.node.observed(self.uid).sandboxes:
                await self.runtime.remove_sandbox(sandbox.id)
            await self.node.relist()
        await asyncio.to_thread(self.files.remove)

    # --- hooks and probes

    async def _post_start(self, pod: Resource, spec: Spec, container: str, field: str) -> timedelta | None:
        hook = (spec.get("lifecycle") or {}).get("postStart")
        if not hook or container in self._hooked:
            return None
        self._hooked.add(container)
        if not await self._hook(pod, spec, container, hook, 120.0, "FailedPostStartHook", "PostStartHook"):
            seen = next(
                (each for each in self.node.observed(self.uid).containers if each.id == container), None
            )
            if seen is not None:
                await self._stop(pod, seen, "FailedPostStartHook")
                self._wait(spec["name"], "PostStartHookError", "the postStart hook failed")
            return timedelta()
        del field
        return None

    async def _hook(
        self,
        pod: Resource,
        spec: Spec,
        container: str,
        hook: Mapping[str, Any],
        seconds: float,
        reason: str,
        name: str,
    ) -> bool:
        field = podspecs.field_path(pod, spec["name"])
        if "sleep" in hook:
            await asyncio.sleep(min(float(hook["sleep"].get("seconds") or 0), seconds))
            return True
        try:
            action = probes.action_of(spec, hook)
        except probes.BadPort as error:
            action, said = None, str(error)
        else:
            said = "it names no action"
        if action is not None:
            answer = await self._ask(pod, action, container, seconds)
            if answer.ok:
                return True
            said = answer.output
        await self._tell(pod, [Note("Warning", reason, f"{name} failed: {said}", field)])
        return False

    async def _ask(
        self, pod: Resource, action: probes.Action, container: str, seconds: float
    ) -> probes.Answer:
        runtime = self.runtime
        assert runtime is not None

        async def run(command: Sequence[str], timeout: float) -> ExecResult:  # noqa: ASYNC109  handed to the runtime
            return await runtime.exec(container, command, timeout)

        around = self.node.around(pod)
        host = pod["spec"].get("hostNetwork")
        address = next(iter(around.host_ips if host else around.pod_ips), "")
        return await self.node.prober.ask(action, address, seconds, run)

    def _watch_health(self, pod: Resource, observed: Observed) -> None:
        """Keep a record and a task for each probe of each running container, and none for any other."""
        health = dict(self.memory.health)
        live: set[str] = set()
        for spec in podspecs.every(pod):
            seen = observed.latest(spec["name"])
            if seen is None or seen.state != "running":
                continue
            live.add(seen.id)
            wanted = probes.probes(spec)
            if seen.id not in health:
                was = self._was_ready(pod, seen)
                health[seen.id] = probes.Health(seen.id, {}, frozenset(wanted), assumed_ready=was)
            for kind, probe in wanted.items():
                if (seen.id, kind) not in self._probes:
                    task = asyncio.create_task(self._probe(spec, seen, probe))
                    self._probes[seen.id, kind] = task
        self.memory = replace(
            self.memory, health={key: value for key, value in health.items() if key in live}
        )
        self._stop_probes(frozenset(live))

    def _was_ready(self, pod: Resource, seen: ContainerSeen) -> bool:
        entries = (pod.get("status") or {}).get("containerStatuses") or ()
        return any(
            str(each.get("containerID") or "").endswith(seen.id) and each.get("ready") for each in entries
        )

    def _stop_probes(self, live: frozenset[str]) -> None:
        for key in [key for key in self._probes if key[0] not in live]:
            self._probes.pop(key).cancel()

    async def _probe(self, spec: Spec, seen: ContainerSeen, probe: probes.Probe) -> None:
        """Ask one probe of one container, again and again; wake the pod when the verdict changes."""
        field = podspecs.field_path(self.last, spec["name"])
        started = podspecs.moment(seen.started_at)
        await asyncio.sleep(max(0.0, probe.delay - (datetime.now(UTC) - started).total_seconds()))
        while True:
            health = self.memory.health.get(seen.id)
            waits = probe.kind != "Startup" and health is not None and not health.started
            done = probe.kind == "Startup" and health is not None and health.started
            if done:
                return
            if health is not None and not waits:
                action = probe.action
                answer = (
                    await self._ask(self.last, action, seen.id, probe.timeout)
                    if action is not None
                    else probes.Answer(
                        ok=False, output="couldn't find the port that the probe names", errored=True
                    )
                )
                note = probes.note(probe, answer, field)
                if note is not None:
                    await self._tell(self.last, [note])
                self._learn(seen.id, probe, answer)
            await asyncio.sleep(probe.period if not waits else min(probe.period, 0.5))

    def _learn(self, container: str, probe: probes.Probe, answer: probes.Answer) -> None:
        health = self.memory.health.get(container)
        if health is None:
            return
        state = probes.add(probe, health.states.get(probe.kind, probes.State()), answer)
        better = replace(health, states={**health.states, probe.kind: state})
        self.memory = replace(self.memory, health={**self.memory.health, container: better})
        if (better.ready, better.started, better.failed) != (health.ready, health.started, health.failed):
            self.wake.set()

    # --- telling

    async def _tell(self, pod: Resource, notes: Sequence[Note]) -> None:
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


def _sooner(first: timedelta | None, second: timedelta | None) -> timedelta | None:
    both = [each for each in (first, second) if each is not None]
    return min(both) if both else None
