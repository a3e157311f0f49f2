"""The pump between the kernel and the rules: reads batches, has them judged, and hands out what came of it, step by step.

For the sensor of a platform (reactor/sense.py) and for `fairlead sense` alike. Works on anything that reads like the kernel's driver, so
also on a recording. Holds no rules, writes nothing and speaks to no cluster: what is to be done with a detection is its caller's.

    sensing = Sensing(Options(files=files))
    started = await sensing.start()
    try:
        async for step in sensing.steps():
            for event in step.events: ...
            for detection in step.detections: ...
    finally:
        await sensing.stop()
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import platform
import socket
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from fairlead.dialects.tracingpolicy.filters import Host
from fairlead.drivers import kernel, procfs
from fairlead.drivers.containers import inspecting
from fairlead.drivers.kernel import pinning
from fairlead.drivers.kernel.guarding import Guards, GuardsRefused
from fairlead.reactor.flights import Died, Flights
from fairlead.reactor.identities import Accounts, Identities
from fairlead.reactor.sensing_metrics import Metrics
from fairlead.reactor.sensing_recordings import Header, Names, Recorder
from fairlead.reactor.sensing_refusals import KIND, refused
from fairlead.reactor.sensing_rules import Ruleset, Surroundings, load
from fairlead.reactor.sensing_steps import Options, Source, Started, Step
from fairlead.sense.events import Event
from fairlead.sense.fields import Around
from fairlead.sense.judging import Engine
from fairlead.sense.plans import Hook, Plan, What, merge
from fairlead.sense.processes import Processes
from fairlead.sense.rules import Detection
from fairlead.words import Finding, Ref, Resource, Severity

__all__ = ["Options", "Sensing", "Source", "Started", "Step"]

log = logging.getLogger("fairlead.sense")

BUSY_REST: Final = 0.01
"""Seconds between two reads while there is much to read."""
IDLE_REST: Final = 0.025
"""Seconds between two reads while there is little; what clauses acted on wakes the reader at once."""
MUCH: Final = 300
"""Events of one read that are much."""
IDENTIFY: Final = 0.25
"""Seconds, at most, that judging waits for a runtime's first word about containers that are new: on a busy machine it comes late, and what a
container does first is what rules about its start ask for."""
SLICE: Final = 2000
"""Events that are judged before others of this process have their turn."""
COUNT_EVERY: Final = 1.0
"""Seconds between two looks at the kernel's counters."""
MOST_UNKNOWN: Final = 200
"""Processes that are looked up in /proc after one read, of those that nobody told of."""
CONTAINERS_EVERY: Final = 0.5
"""Seconds at least between two updates of what the kernel is told of containers that policies select."""
RINGS: Final = {"calls": 8 << 20, "named": 8 << 20, "long": 4 << 20}
"""Bytes of the rings, where nobody asks for others: room for 10 ms of four, two and one million records a second."""
_GC: Final = (20_000, 20, 50)
HOSTS_EVERY: Final = 600.0
"""Seconds between two lookups of hosts that rules name."""
_CGROUP_HOOK: Final = Hook(sort="kernel", name="cgroup")
_CGROUP: Final = 1033
_EXEC: Final = "exec"


class Sensing:
    """See the module. Everything that it holds is bounded; it is used by one event loop."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.node = options.node or socket.gethostname().lower()
        self.machine = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
        self.metrics = Metrics(self._gauges)
        self.ruleset = Ruleset()
        self.abilities: frozenset[str] = frozenset()
        hierarchy = kernel.hierarchy()
        self._cgroups = procfs.Cgroups((hierarchy.controller, hierarchy.mount))
        self.identities = Identities(_runtimes(options) if options.identify else [], self._cgroups)
        self.processes = Processes(self.identities, epoch=procfs.booted())
        self.processes.missing = self._unknown_process
        self.accounts = Accounts(self._pids_of)
        self.around = Around(
            processes=self.processes,
            users=self.accounts.users,
            groups=self.accounts.groups,
            hostname=socket.gethostname(),
        )
        self.engine = Engine((), self.around, machine=self.machine)
        self._begun = time.time_ns()
        self._files, self._documents = options.files, options.documents
        self._source: Source | None = None
        self._flights: Flights | None = None
        self._guards: Guards | None = None
        self._recorder: Recorder | None = None
        self._pending = Step()
        self._unknown: dict[int, None] = {}
        self._wake: asyncio.Future[None] | None = None
        self._busy = False
        self._counted = 0.0
        self._lost: dict[str, int] = {}
        self._selects = False
        self._stale = 0.0
        self._hosts: asyncio.Task[None] | None = None
        self._seen_mounts: set[int] = set()
        self._spared: set[int] = {*options.spare, *options.ignore}
        self.identities.completed = lambda _container: self._containers_changed()

    # --- starting and ending

    async def start(self) -> Started:
        """Load the rules, attach to the kernel, and learn what runs already. Raises kernel.Refused where that is impossible."""
        findings: list[Finding] = []
        if self.options.open_source is None:
            abilities = await asyncio.to_thread(kernel.probe)
            self.abilities = abilities.names
        else:
            abilities = None
        self.identities.start()
        await self.identities.settle(0.5)
        self._build()
        plan = self._plan()
        if self.options.open_source is not None:
            self._source = self.options.open_source(plan)
        else:
            self._source = kernel.open(
                plan,
                sizes={**RINGS, **self.options.sizes},
                ignore=self.options.ignore,
                spare=self.options.spare,
                contained_only=self.options.contained_only,
                abilities=abilities,
            )
        try:
            self.engine.place(self._source.slots)
            self.engine.prepare()
            self._listen()
            self._flights = Flights(
                self.identities,
                self._flight,
                self._source.drop_flight,
                self._told,
                machine=self.machine,
                epoch=self.processes.epoch,
            )
            running = procfs.processes(self._cgroups, epoch=self.processes.epoch)
            self.processes.adopt(running)
            if self.options.record is not None:
                self._recorder = Recorder(self.options.record)
                self._write_header()
                self._recorder.processes(running)
            findings += await self._guard(plan)
            findings += self._pin()
            self._hosts = asyncio.create_task(self._resolve_hosts())
        except BaseException:
            await self.stop()
            raise
        findings += [*self.ruleset.findings, *self.engine.findings, *_unplaced(self._source, self.node)]
        return Started(
            ruleset=self.ruleset, placed=self._source.placed, remarks=self._source.remarks, findings=findings
        )

    async def stop(self) -> None:
        """Detach everything and let go of what it held."""
        if self._hosts is not None:
            self._hosts.cancel()
            await asyncio.gather(self._hosts, return_exceptions=True)
        if self._flights is not None:
            await self._flights.close()
        source, self._source = self._source, None
        if source is not None:
            with contextlib.suppress(ValueError, OSError, NotImplementedError):
                asyncio.get_running_loop().remove_reader(source.fileno())
            source.close()
        if self._guards is not None:
            guards, self._guards = self._guards, None
            await asyncio.to_thread(guards.close)
        if self._recorder is not None:
            recorder, self._recorder = self._recorder, None
            recorder.close()
            if recorder.fault is not None:
                log.warning(
                    "%s does not hold all: %s", recorder.path, recorder.fault.strerror or recorder.fault
                )
        await self.identities.close()

    # --- rules

    async def use(self, files: Sequence[tuple[str, str]], documents: Sequence[Resource] = ()) -> Started:
        """Go on with other rules. What was read so far is judged by those of before. Raises kernel.Refused; those of before stay then."""
        self._files, self._documents = files, documents
        return await self._renew()

    async def _renew(self) -> Started:
        assert self._source is not None
        self._take(self._source.read(), None)
        before = self.engine, self.ruleset
        try:
            self._build()
            plan = self._plan()
            self._source.update(plan)
        except BaseException:
            self.engine, self.ruleset = before
            raise
        self.engine.place(self._source.slots)
        self._write_header()
        findings = await self._guard(plan)
        findings += self._pin()
        findings += [*self.ruleset.findings, *self.engine.findings, *_unplaced(self._source, self.node)]
        return Started(
            ruleset=self.ruleset, placed=self._source.placed, remarks=self._source.remarks, findings=findings
        )

    def _build(self) -> None:
        containers = {cgroup: self.identities[cgroup] for cgroup in self.identities}
        surroundings = Surroundings(
            around=self.around,
            abilities=self.abilities,
            host=Host(namespaces=procfs.namespaces(1), containers=containers, machine=self.machine),
            begun=self._begun,
        )
        self.ruleset = load(
            self._files,
            surroundings,
            documents=self._documents,
            minimum=self.options.minimum,
            own=self.options.behaviours,
        )
        self.engine = Engine([*self.options.rules, *self.ruleset.rules], self.around, machine=self.machine)

    def _plan(self) -> Plan:
        plan = merge((self.engine.plan, Plan(hooks=(_CGROUP_HOOK,))))
        self._selects = (
            any(
                test.what is What.CGROUP
                for hook in plan.hooks
                for clause in hook.clauses
                for test in clause.tests
            )
            or any(guard.cgroups for guard in plan.guards)
            or bool(self.ruleset.policies)
        )
        return replace(plan, recorder=self.options.recorder)

    async def _guard(self, plan: Plan) -> list[Finding]:
        """Have the files guarded that the plan names, and no others."""
        if self.options.open_source is not None or (self._guards is None and not plan.guards):
            return []
        if self._guards is None:
            self._guards = Guards(self._spared)
        try:
            lacking = await asyncio.to_thread(self._guards.update, plan.guards)
        except GuardsRefused as refused:
            return [self._own("sense.guards", f"no file is guarded: {refused}")]
        return [
            self._own("sense.guards", f"{one.path} is not guarded for {one.owner}: {one.why}")
            for one in lacking
        ]

    def _pin(self) -> list[Finding]:
        """Let what acts outlive this process, where that was asked for."""
        owner, source = self.options.pin, self._source
        if not owner or not isinstance(source, kernel.Sensor):
            return []
        if self._guards is not None:
            self._guards.keep(pinning.note(owner))
            if not source.acts:
                return []
        try:
            source.pin(owner)
        except kernel.Refused as refused:
            return [self._own("sense.pins", f"nothing outlives the sensor: {refused}")]
        return []

    def spare(self, pid: int) -> None:
        """Never do anything to a process from now on."""
        if self._source is not None:
            self._source.spare(pid)
        if self._guards is not None and pid not in self._spared:
            self._guards.spare(pid)
        self._spared.add(pid)

    def _containers_changed(self) -> None:
        if self._selects and not self._stale:
            self._stale = time.monotonic() + CONTAINERS_EVERY

    # --- reading

    @staticmethod
    def dedicate() -> None:
        """Let this process be one that does nothing but sense: what is there by now is no garbage, and is not looked through for any.

        That takes a tenth of a second where there are many rules, in which nothing is judged.
        """
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_GC)

    async def steps(self) -> AsyncIterator[Step]:
        """Yield what happens, as it happens, until the task is cancelled. Steps without anything are left out."""
        while True:
            step = await self.step()
            if step:
                yield step
            await self.rest()

    async def rest(self) -> None:
        """Wait until it is time to read again, or a clause has acted."""
        loop = asyncio.get_running_loop()
        self._wake = loop.create_future()
        timer = loop.call_later(BUSY_REST if self._busy else IDLE_REST, self._ring)
        try:
            await self._wake
        finally:
            timer.cancel()
            self._wake = None

    async def step(self) -> Step:
        """Read what is there and judge it."""
        assert self._source is not None
        begun = time.perf_counter()
        until = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        batches = self._source.read()
        self._busy = sum(len(batch.records) for batch in batches) >= MUCH
        if batches:
            self._learn_cgroups(batches)
            await self.identities.settle(IDENTIFY)
        if self._recorder is not None:
            self._record(until, batches)
        await self._judge(batches, until)
        if self._unknown:
            self._look_up()
        now = time.monotonic()
        if now - self._counted >= COUNT_EVERY:
            self._counted = now
            self._count()
            self._tend()
            self.processes.tick(time.time_ns())
        if self._guards is not None:
            self._pending.prevented += self._guards.read()
        if self._stale and now >= self._stale:
            self._stale = 0.0
            await self._renew_for_containers()
        if batches:
            self.metrics.reads.add(time.perf_counter() - begun)
        step, self._pending = self._pending, Step()
        return step

    async def _judge(self, batches: Sequence[Any], until: int | None) -> None:
        judged = 0
        for one in self.engine.feed(batches, until):
            judged += 1
            self._note(one.event, one.detections)
            if judged % SLICE == 0:
                await asyncio.sleep(0)
        self._pending.read += judged
        self.metrics.events += judged

    def _take(self, batches: Sequence[Any], until: int | None) -> None:
        """Judge without giving way: what is read by the rules of before must be through before there are others."""
        self._learn_cgroups(batches)
        for one in self.engine.feed(batches, until):
            self._pending.read += 1
            self.metrics.events += 1
            self._note(one.event, one.detections)

    def _note(self, event: Event, detections: Sequence[Detection]) -> None:
        kind = event.kind
        if kind == "exited":
            if self._flights is not None:
                self._flights.exited(event)
        elif kind == "cgroup":
            if not event.args[0] and self._flights is not None:
                self._flights.removed(event.args[1], event.time)
        elif kind == KIND:
            self._pending.prevented += refused(event)
        elif kind == _EXEC and self._guards is not None and event.process.contained:
            self._cover(event)
        if self.options.always:
            self._pending.events.append(event)
        for detection in detections:
            self._pending.detections.append(detection)
            self.metrics.detected(detection)
            self.metrics.delays.add(max(0.0, (time.time_ns() - event.time) / 1e9))
        if self.options.heard is not None:
            self.options.heard(event, detections)

    def _learn_cgroups(self, batches: Sequence[Any]) -> None:
        """Take note of cgroups that were made before anything that happened in them is decoded."""
        for batch in batches:
            if batch.ring == "named":
                made = batch.records["kind"] == _CGROUP
                found = [one.tobytes() for one in batch.records[made]] if made.any() else []
            elif batch.ring in {"long", "alerts"}:
                found = [one for one in batch.records if int.from_bytes(one[48:50], "little") == _CGROUP]
            else:
                continue
            for record in found:
                if int.from_bytes(record[88:96], "little"):  # made, not removed
                    size = int.from_bytes(record[80:82], "little")
                    path = record[200 : 200 + size].decode("utf-8", "surrogateescape")
                    self.identities.made(int.from_bytes(record[96:104], "little"), path)
                    self._containers_changed()

    def _cover(self, event: Event) -> None:
        """Guard what a new mount namespace sees, at its first exec."""
        mounts = event.process.ns[2]
        if self._guards is not None and mounts not in self._seen_mounts:
            if len(self._seen_mounts) > 65_536:
                self._seen_mounts.clear()
            self._seen_mounts.add(mounts)
            self._guards.cover(event.pid)

    def _unknown_process(self, pid: int) -> None:
        if len(self._unknown) < MOST_UNKNOWN:
            self._unknown[pid] = None

    def _look_up(self) -> None:
        """Learn from /proc of processes that nobody told of."""
        pids, self._unknown = list(self._unknown), {}
        host = procfs.namespaces(1)[2]
        found = [procfs.process(pid, self._cgroups, epoch=self.processes.epoch, host=host) for pid in pids]
        told = [one for one in found if one is not None]
        self.processes.adopt(told)
        if self._recorder is not None and told:
            self._recorder.processes(told)

    async def _renew_for_containers(self) -> None:
        """Tell the kernel which containers policies mean by now."""
        try:
            await self._renew()
        except kernel.Refused as refused:
            self._pending.findings.append(
                self._own("sense.refused", f"the policies' containers cannot be told: {refused}")
            )

    def _tend(self) -> None:
        """Have files guarded again when who guarded them has ended."""
        if self._guards is None or self._guards.holding:
            return
        try:
            if self._guards.tend():
                self._pending.findings.append(
                    self._own(
                        "sense.guards",
                        "what guards files ended, and was started again: meanwhile none was guarded",
                    )
                )
        except GuardsRefused as refused:
            self._pending.findings.append(
                self._own("sense.guards", f"no file is guarded any more: {refused}")
            )

    # --- the kernel's counters, and what is lost

    def _count(self) -> None:
        assert self._source is not None
        counts = self._source.counters()
        self.metrics.classes = counts
        for name, count in counts.items():
            lost = count.dropped - self._lost.get(name, 0)
            if lost > 0:
                self._lost[name] = count.dropped
                self._pending.dropped[name] = self._pending.dropped.get(name, 0) + lost
                message = f"{lost} events of the class {name} were lost: more happened than was read in time"
                self._pending.findings.append(self._own("sense.dropped", message))

    def _own(self, rule: str, message: str) -> Finding:
        """Return a finding about the sensor itself."""
        return Finding(
            rule=rule, severity=Severity.WARNING, subject=Ref("", "Node", "", self.node), message=message
        )

    def _gauges(self) -> dict[str, tuple[str, float]]:
        return {
            "fairlead_sense_processes": ("Processes in the table.", float(len(self.processes))),
            "fairlead_sense_processes_unknown": (
                "Processes met that nobody had told of.",
                float(self.processes.unknown),
            ),
            "fairlead_sense_containers": ("Cgroups that are containers.", float(len(self.identities))),
            "fairlead_sense_rules": ("Rules that are judged by.", float(len(self.engine.rules))),
            "process_resident_memory_bytes": ("Resident memory of the sensor.", float(procfs.resident())),
        }

    # --- the rest

    def _listen(self) -> None:
        """Wake up when a clause has acted."""
        assert self._source is not None
        with contextlib.suppress(ValueError, OSError, NotImplementedError):
            asyncio.get_running_loop().add_reader(self._source.fileno(), self._ring)

    def _ring(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _pids_of(self, container: str) -> Iterable[int]:
        return [
            one.pid
            for one in self.processes
            if not one.exited and one.container is not None and one.container.id == container
        ]

    def _flight(self, cgroup: int) -> Sequence[bytes]:
        raw = self._source.flight(cgroup) if self._source is not None else ()
        if self._recorder is not None and raw:
            self._recorder.flight(cgroup, raw)
        return raw

    async def _told(self, died: Died) -> None:
        self._pending.died.append(died)

    def _write_header(self) -> None:
        if self._recorder is not None and self._source is not None:
            self._recorder.header(
                Header(
                    machine=self.machine,
                    epoch=self.processes.epoch,
                    node=self.node,
                    namespaces=procfs.namespaces(1),
                    hooks=dict(self._source.slots),
                )
            )

    def _record(self, until: int, batches: Sequence[Any]) -> None:
        assert self._recorder is not None
        fault = self._recorder.fault
        if fault is not None:
            message = f"{self._recorder.path} is recorded no further: {fault.strerror or fault}"
            self._pending.findings.append(self._own("sense.recording", message))
            self._recorder.close()
            self._recorder = None
            return
        if not batches:
            return
        for cgroup in self.identities:
            found = self.identities[cgroup]
            self._recorder.container(cgroup, found)
            self._recorder.names(Names(found.id, *self.accounts.known(found.id), {}))
        self._recorder.names(Names("", *self.accounts.known(""), dict(self.around.hosts)))
        self._recorder.batches(until, batches)

    async def _resolve_hosts(self) -> None:
        """Keep the addresses of hosts that rules name."""
        loop = asyncio.get_running_loop()
        while True:
            found: dict[bytes, list[str]] = {}
            for name in self.engine.hosts:
                with contextlib.suppress(OSError, UnicodeError):
                    for family, _, _, _, place in await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM):
                        names = found.setdefault(socket.inet_pton(family, str(place[0])), [])
                        if name not in names:
                            names.append(name)
            self.around.hosts = found
            await asyncio.sleep(HOSTS_EVERY)


def _runtimes(options: Options) -> list[inspecting.Runtime]:
    from fairlead.drivers.containers.places import Places, sockets

    own = [Places.of(options.data_dir).socket] if options.data_dir is not None else []
    return inspecting.runtimes([*own, *(one for one in sockets() if one not in own)])


def _unplaced(source: Source, node: str) -> list[Finding]:
    """Return a finding for each hook that nothing serves, and for each remark of the driver."""
    remarks = [
        f"{one.hook.sort} {one.hook.name} is not seen: {one.lost}" for one in source.placed if not one.how
    ]
    remarks += [
        one
        for one in source.remarks
        if not any(one.startswith(f"{hook.hook.sort} {hook.hook.name}:") for hook in source.placed)
    ]
    return [
        Finding(
            rule="sense.unseen", severity=Severity.WARNING, subject=Ref("", "Node", "", node), message=one
        )
        for one in remarks
    ]
