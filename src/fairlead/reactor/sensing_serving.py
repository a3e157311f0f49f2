"""One sensor: the pump between kernel and rules, and what it tells to whom and hears from whom.

Detections and flight records go out to the API, TracingPolicies and pods come in; rule files are read again when they change; the control
plane's audit log is judged where there are rules for it. Holds no rules of its own, and starts no process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fairlead.dialects.falco import AuditDetection, Audited
from fairlead.dialects.falco.compiling import SEVERITIES
from fairlead.drivers.cluster import Access, AsyncCluster
from fairlead.drivers.kernel import Refused
from fairlead.drivers.pki import SENSORS
from fairlead.keep.errors import Refusal
from fairlead.reactor import sensing_metrics, sensing_rules
from fairlead.reactor.flights import Writer
from fairlead.reactor.sensing import Options as Watch
from fairlead.reactor.sensing import Sensing, Started, Step
from fairlead.reactor.sensing_audit import Tail, own, subject_of
from fairlead.reactor.sensing_policies import Folder, Policies
from fairlead.reactor.sensing_reports import Reports, Sighting
from fairlead.sense import findings
from fairlead.sense.events import Event, printable
from fairlead.sense.rules import Detection
from fairlead.words import Finding, Ref, Severity

LOOK_EVERY: Final = 2.0
"""Seconds between two looks at rule files and at who runs the platform."""
SETTLE: Final = 0.3
"""Seconds that changes of policies may come together."""
AUDIT_EVERY: Final = 0.2
"""Seconds between two looks at the control plane's audit log."""
_LOGGED: Final = 50
"""Lines a second that detections may fill in the log."""
log = logging.getLogger("fairlead.sense")


class NotHere(Exception):
    """This machine does not let the sensor watch it; the text says why, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a sensor is to do. `access` is the cluster that it serves, None for none; `node` this machine's name there.

    `rules` are files and folders. `data_dir` is a platform's of this machine: its node names containers, its audit log is judged. `metrics`
    is a port, None for none.
    """

    access: Access | None = None
    node: str = ""
    rules: Sequence[Path] = ()
    data_dir: Path | None = None
    behaviours: bool = False
    metrics: int | None = None
    metrics_address: str = "127.0.0.1"


async def serve(options: Options, ready: Callable[[Sensor], None] | None = None) -> None:
    """Sense until SIGTERM or SIGINT; `ready` is called with the Sensor whenever what it watches has changed. Raises NotHere, OSError."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    sensor = Sensor(options, ready)
    await sensor.run(stop)


class Sensor:
    """One sensor: the pump, and what it tells to whom."""

    def __init__(self, options: Options, ready: Callable[[Sensor], None] | None = None) -> None:

        self.options = options
        self._ready = ready
        self._folder = Folder(tuple(options.rules))
        self._folder.look()
        self._files, self._unread = self._read_files()
        self.sensing: Sensing = Sensing(
            Watch(
                files=self._files,
                behaviours=options.behaviours,
                data_dir=options.data_dir,
                node=options.node,
                spare=_platform(options.data_dir),
                heard=self._hear,
            )
        )
        self.node = self.sensing.node
        self.cluster = AsyncCluster(options.access) if options.access is not None else None
        self._changed = asyncio.Event()
        self.reports = Reports(self.cluster, self.node) if self.cluster is not None else None
        self.policies = (
            Policies(self.cluster, self.node, self._changed.set) if self.cluster is not None else None
        )
        self.writer = Writer(self.cluster, self.node) if self.cluster is not None else None
        self._started: Started | None = None
        self._writing: set[asyncio.Task[None]] = set()
        self._logged, self._second = 0, 0
        self._reported = ""

    async def run(self, stop: asyncio.Event) -> None:
        """Sense until told to stop. Raises NotHere where that is impossible."""
        tasks: list[asyncio.Task[None]] = []
        server: asyncio.Server | None = None
        try:
            try:
                self._started = await self.sensing.start()
            except Refused as refused:
                raise NotHere(str(refused)) from refused
            self._tell_findings(self._started.findings)
            if self.options.metrics is not None:
                server = await sensing_metrics.serve(
                    self.sensing.metrics, self.options.metrics, self.options.metrics_address
                )
            for name, loop in self._loops():
                tasks.append(asyncio.create_task(loop, name=name))
            self.sensing.dedicate()
            self._say_ready()
            waiter = asyncio.create_task(stop.wait(), name="stop")
            done, _ = await asyncio.wait({waiter, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            waiter.cancel()
            for task in done - {waiter}:
                error = task.exception()
                raise OSError(f"its {task.get_name()} ended: {error!r}") from error
        finally:
            if server is not None:
                server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.sensing.stop()
            await self._end_writing()
            if self.cluster is not None:
                await self.cluster.close()

    def _loops(self) -> Iterable[tuple[str, Coroutine[Any, Any, None]]]:
        yield "reader", self._pump()
        yield "rules", self._follow_rules()
        if self.reports is not None:
            yield "detections", self.reports.run()
        if self.policies is not None:
            yield "policies", self.policies.run()
        if self.cluster is not None:
            yield "pods", self._follow_pods()
        if self.options.data_dir is not None:
            yield "audit", self._follow_audit(self.options.data_dir / "logs" / "audit.jsonl")

    async def _end_writing(self) -> None:
        """Write what was found last, in a moment."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                if self._writing:
                    await asyncio.wait(set(self._writing))
                if self.reports is not None:
                    await self.reports.flush(1000)
        for task in self._writing:
            task.cancel()

    # --- what it says of itself

    def watches(self) -> str:
        """Return what is watched, in words."""
        count = len(self.sensing.engine.rules)
        return f"processes and failed calls{f', {count} rules' if count else ''}"

    def without(self) -> list[str]:
        """Return what cannot be done here, in words."""
        found = self._started.findings if self._started is not None else ()
        unseen = [one.message for one in found if one.rule in {"sense.unseen", "sense.guards"}]
        return [*unseen[:8], *([f"{len(unseen) - 8} more, see its log"] if len(unseen) > 8 else [])]

    def _say_ready(self) -> None:
        said = repr((self.watches(), self.without()))
        if self._ready is not None and said != self._reported:
            self._reported = said
            self._ready(self)

    def _tell_findings(self, findings: Iterable[Finding]) -> None:
        for one in findings:
            place = f"{one.where}: " if str(one.where) else ""
            log.warning("%s%s %s", place, one.subject, one.message)

    # --- reading

    async def _pump(self) -> None:
        async for step in self.sensing.steps():
            self._take(step)

    def _hear(self, _event: Event, detections: Sequence[Detection]) -> None:
        """Tell of detections at once: later events change the processes that they name."""
        for detection in detections:
            if detection.rule.findings:
                self._tell(sighting_of(detection, self.node))

    def _take(self, step: Step) -> None:
        for one in step.prevented:
            self._tell(
                Sighting(
                    rule=one.owner.partition("/")[2] or one.owner or "guarded file", dialect=one.owner.partition("/")[0] or "guards",
                    severity=Severity.WARNING, subject=Ref("", "Node", "", self.node), at=one.time,
                    message=printable(f"prevented: {one.what} of {one.path} by {one.exe or one.comm} (process {one.pid}, user {one.uid})"),
                )
            )  # fmt: skip
        for finding in step.findings:
            log.warning("%s %s", finding.subject, finding.message)
            self._tell(
                Sighting(
                    rule=finding.rule.partition(".")[2], dialect="sensor", severity=finding.severity, subject=finding.subject,
                    at=time.time_ns(), message=finding.message,
                )
            )  # fmt: skip
        for died in step.died:
            name = (
                f"{died.container.pod_namespace}/{died.container.pod}/{died.container.name}"
                if died.container.pod
                else died.container.name or died.container.short
            )
            log.info("container %s ended with exit code %s", name, died.death["exitCode"])
            if self.writer is not None:
                task = asyncio.create_task(self.writer.write(died))
                self._writing.add(task)
                task.add_done_callback(self._writing.discard)

    def _tell(self, sighting: Sighting) -> None:
        if self.reports is not None:
            self.reports.seen(sighting)
        second = int(time.monotonic())
        if second != self._second:
            if self._logged > _LOGGED:
                log.warning("%d more detections in that second", self._logged - _LOGGED)
            self._second, self._logged = second, 0
        self._logged += 1
        if self._logged <= _LOGGED:
            inside = f" (container {sighting.container})" if sighting.container else ""
            log.info("%s: %s%s: %s", sighting.rule, sighting.subject, inside, sighting.message)

    # --- rules

    def _read_files(self) -> tuple[list[tuple[str, str]], list[Finding]]:

        return sensing_rules.read(path for path in self.options.rules if path.exists())

    async def _follow_rules(self) -> None:
        """Go on with other rules whenever files or policies have changed; keep the platform's processes out of harm."""
        self._tell_findings(self._unread)
        if self.policies is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(10):
                    await asyncio.gather(*(one.wait() for one in self.policies.synced.values()))
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await self._changed.wait()
                    await asyncio.sleep(SETTLE)
            for pid in _platform(self.options.data_dir):
                self.sensing.spare(pid)
            files_changed = self._folder.look()
            if not files_changed and not self._changed.is_set():
                continue
            self._changed.clear()
            if files_changed:
                self._files, unread = self._read_files()
                self._tell_findings(unread)
            await self._use()

    async def _use(self) -> None:

        documents = self.policies.documents if self.policies is not None else []
        try:
            self._started = await self.sensing.use(self._files, documents)
        except Refused as refused:
            log.error("the rules of before stay: %s", refused)  # noqa: TRY400  the text says all
            return
        self._tell_findings(self._started.findings)
        log.info("now there are %d rules", len(self.sensing.engine.rules))
        self._say_ready()
        if self.policies is not None:
            await self.policies.tell(self._started.findings, self._started.ruleset.policies)

    # --- who pods are, and what the control plane was asked

    async def _follow_pods(self) -> None:

        assert self.cluster is not None
        while True:
            try:
                async for seen in self.cluster.follow("v1", "Pod", fields=f"spec.nodeName={self.node}"):
                    if seen.type != "SYNCED":
                        self.sensing.identities.pod(seen.object, gone=seen.type == "DELETED")
            except Refusal as refusal:
                log.warning("pods cannot be followed: %s", refusal.message)
                await asyncio.sleep(30)

    async def _follow_audit(self, path: Path) -> None:
        """Judge the control plane's audit events, where there are rules for them."""
        tail = Tail(path)
        number = 0
        while True:
            auditor = self.sensing.ruleset.auditor
            for event in tail.read():
                number += 1
                if auditor is not None and not own(event, SENSORS):
                    for detection in auditor.judge(Audited(event, time.time_ns(), number)):
                        self._tell(audit_sighting(detection))
                if number % 500 == 0:
                    await asyncio.sleep(0)
            await asyncio.sleep(AUDIT_EVERY)


def _platform(data_dir: Path | None) -> tuple[int, ...]:
    """Return the processes of the platform, which nothing may be done to."""
    found = []
    for name in ("supervisor", "control-plane", "node"):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            record = (
                json.loads((data_dir / "run" / f"{name}.json").read_text()) if data_dir is not None else {}
            )
            pid = record.get("pid")
            if isinstance(pid, int) and pid > 0:
                found.append(pid)
    return tuple(found)


def sighting_of(detection: Detection, node: str) -> Sighting:
    """Return a detection as it is told to the cluster: about the pod that it happened in, else about the node."""
    rule, event = detection.rule, detection.event
    container = event.process.container
    return Sighting(
        rule=rule.name, dialect=rule.dialect, severity=rule.severity, subject=findings.subject_of(event, node), at=event.time,
        message=findings.message_of(detection), description=rule.description, priority=rule.priority,
        container=(container.name or container.short) if container is not None else "",
        processes=findings.tree_of(event.process), tags=tuple(rule.tags),
    )  # fmt: skip


def audit_sighting(detection: AuditDetection) -> Sighting:
    """Return what a rule over audit events said, as it is told to the cluster."""
    model, event = detection.rule.model, detection.event
    return Sighting(
        rule=model.rule, dialect="falco", severity=SEVERITIES[model.priority], subject=subject_of(dict(event.object)), at=event.time,
        message=model.output.message(event), priority=model.priority, tags=model.tags,
    )  # fmt: skip
