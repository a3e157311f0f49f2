"""Asks the containers of one pod how they are: its probes, again and again, and its lifecycle hooks.

One task a probe. What the answers add up to is decided in orchestrate/probes, and what follows from it in orchestrate/podsteps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from fairlead.orchestrate import podspecs, probes
from fairlead.orchestrate.podspecs import Note, Spec
from fairlead.orchestrate.podsteps import Observed
from fairlead.orchestrate.probes import Answer, Health, Kind, Probe
from fairlead.orchestrate.runtimes import ContainerSeen, ExecResult
from fairlead.reactor.podnode import Node, Runtime
from fairlead.words import Resource

_NO_PORT = Answer(ok=False, output="couldn't find the port that the probe names", errored=True)


class PodHealth:
    """One pod's probes and hooks. `wake` is called when a verdict changes, `tell` with what the pod's Events should say."""

    def __init__(
        self,
        node: Node,
        runtime: Runtime | None,
        wake: Callable[[], None],
        tell: Callable[[Resource, Sequence[Note]], None],
    ) -> None:
        self.node = node
        self.runtime = runtime
        self._wake = wake
        self._tell = tell
        self._records: dict[str, Health] = {}
        self._tasks: dict[tuple[str, Kind], asyncio.Task[None]] = {}

    def watch(self, pod: Resource, observed: Observed) -> Mapping[str, Health]:
        """Keep a record and a task for each probe of each running container, and none for any other.

        Return the records by container id.
        """
        live: set[str] = set()
        for spec in podspecs.every(pod):
            seen = observed.latest(spec["name"])
            if seen is None or seen.state != "running":
                continue
            live.add(seen.id)
            wanted = probes.probes(spec)
            if seen.id not in self._records:
                was = _was_ready(pod, seen)
                self._records[seen.id] = Health(seen.id, {}, frozenset(wanted), assumed_ready=was)
            for kind, probe in wanted.items():
                if (seen.id, kind) not in self._tasks:
                    task = asyncio.create_task(self._probe(pod, spec, seen, probe))
                    self._tasks[seen.id, kind] = task
        self._keep(live)
        return dict(self._records)

    def stop(self, container: str | None = None) -> None:
        """Probe a container no more, or none of them."""
        self._keep(set() if container is None else self._records.keys() - {container})

    def _keep(self, live: set[str]) -> None:
        self._records = {key: value for key, value in self._records.items() if key in live}
        for key in [key for key in self._tasks if key[0] not in live]:
            self._tasks.pop(key).cancel()

    async def _probe(self, pod: Resource, spec: Spec, seen: ContainerSeen, probe: Probe) -> None:
        """Ask one probe of one container until it is told to stop."""
        field = podspecs.field_path(pod, spec["name"])
        started = podspecs.moment(seen.started_at)
        await asyncio.sleep(max(0.0, probe.delay - (datetime.now(UTC) - started).total_seconds()))
        while (health := self._records.get(seen.id)) is not None:
            if probe.kind == "Startup" and health.started:
                return
            if probe.kind != "Startup" and not health.started:
                await asyncio.sleep(min(probe.period, 0.5))
                continue
            answer = _NO_PORT
            if probe.action is not None:
                answer = await self.ask(pod, probe.action, seen.id, probe.timeout)
            note = probes.note(probe, answer, field)
            if note is not None:
                self._tell(pod, [note])
            self._learn(seen.id, probe, answer)
            await asyncio.sleep(probe.period)

    def _learn(self, container: str, probe: Probe, answer: Answer) -> None:
        health = self._records.get(container)
        if health is None:
            return
        state = probes.add(probe, health.states.get(probe.kind, probes.State()), answer)
        better = replace(health, states={**health.states, probe.kind: state})
        self._records[container] = better
        if (better.ready, better.started, better.failed) != (health.ready, health.started, health.failed):
            self._wake()

    async def ask(self, pod: Resource, action: probes.Action, container: str, seconds: float) -> Answer:
        """Carry out what a probe or a hook asks for, within so many seconds."""
        runtime = self.runtime
        assert runtime is not None

        async def run(command: Sequence[str], timeout: float) -> ExecResult:  # noqa: ASYNC109  handed to the runtime
            return await runtime.exec(container, command, timeout)

        around = self.node.around(pod)
        host = pod["spec"].get("hostNetwork")
        address = next(iter(around.host_ips if host else around.pod_ips), "")
        return await self.node.prober.ask(action, address, seconds, run)

    async def hook(self, pod: Resource, spec: Spec, container: str, name: str, seconds: float) -> bool:
        """Run a container's `postStart` or `preStop`, within so many seconds. Return False when it failed."""
        hook: Mapping[str, Any] | None = (spec.get("lifecycle") or {}).get(name)
        if not hook:
            return True
        if "sleep" in hook:
            await asyncio.sleep(min(float(hook["sleep"].get("seconds") or 0), seconds))
            return True
        said = "it names no action"
        try:
            action = probes.action_of(spec, hook)
        except probes.BadPort as error:
            action, said = None, str(error)
        if action is not None:
            answer = await self.ask(pod, action, container, seconds)
            if answer.ok:
                return True
            said = answer.output
        title = name[0].upper() + name[1:] + "Hook"
        field = podspecs.field_path(pod, spec["name"])
        self._tell(pod, [Note("Warning", f"Failed{title}", f"{title} failed: {said}", field)])
        return False


def _was_ready(pod: Resource, seen: ContainerSeen) -> bool:
    status = pod.get("status") or {}
    entries = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    return any(str(each.get("containerID") or "").endswith(seen.id) and each.get("ready") for each in entries)
