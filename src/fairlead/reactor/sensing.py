"""The pump between the kernel and the rules: reads batches, has them judged, and hands out what came of it, step by step.

For the sensor of a platform (reactor/sense.py) and for `fairlead sense` alike. Works on anything that reads like the kernel's driver, so
also on a recording. Holds no rules, writes nothing and speaks to no cluster: what is to be done with a detection is its caller's.

    sensing = Sensing(Options(rules=loaded.rules))
    started = await sensing.start()
    try:
        async for step in sensing.steps():
            for event in step.events: ...
            for detection in step.detections: ...
    finally:
        await sensing.stop()
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fairlead.sense.events import Event
from fairlead.sense.plans import Plan
from fairlead.sense.rules import Detection, Rule
from fairlead.words import Finding

BUSY_REST = 0.01
"""Seconds between two reads while there is something to read."""
IDLE_REST = 0.03
"""Seconds between two reads when there was nothing for a while; what clauses acted on wakes the reader at once."""


class Source(Protocol):
    """Where records come from: drivers.kernel.Sensor, or a recording. See there for what each gives."""

    @property
    def placed(self) -> Sequence[Any]:
        """Which real hook serves each hook of the plan, or why none does."""

    def read(self) -> Sequence[Any]:
        """Return all batches that are there, without waiting."""

    def wait(self, seconds: float) -> bool:
        """Wait for an alert; return whether one came."""

    def counters(self) -> Mapping[str, Any]:
        """Return seen, sent, dropped and rated of each class of events since the start."""

    def flight(self, cgroup_id: int) -> Sequence[bytes]:
        """Return what the flight recorder holds of a cgroup, the oldest first."""

    def drop_flight(self, cgroup_id: int) -> None:
        """Forget what the flight recorder holds of a cgroup."""

    def update(self, plan: Plan) -> None:
        """Serve another plan from now on."""

    def close(self) -> None:
        """Detach everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is to be watched, and how.

    `data_dir` is that of a platform of this machine, whose node names containers; without it containers are looked up wherever the
    machine has a runtime. `always` hands out the events of processes (exec, exited) that no rule asked for; `recorder` keeps each
    container's last failed calls. `ignore` are processes whose doings are never seen or acted on besides this one and init.
    `open_source` makes the source for a plan; None is the kernel.
    """

    rules: tuple[Rule, ...] = ()
    data_dir: Path | None = None
    always: bool = False
    recorder: bool = True
    identify: bool = True
    ignore: tuple[int, ...] = ()
    open_source: Callable[[Plan], Source] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """How it began: which hooks serve the plan, and what cannot be done here (findings with the rule that it is about)."""

    placed: Sequence[Any]
    findings: Sequence[Finding]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one read brought. `events` are those that were judged (or asked for by `always`), in the order of their time.

    `findings` are those that are new or counted further. `dropped` tells of classes that lost events since the step before.
    """

    events: Sequence[Event] = ()
    detections: Sequence[Detection] = ()
    findings: Sequence[Finding] = ()
    dropped: Mapping[str, int] | None = None
