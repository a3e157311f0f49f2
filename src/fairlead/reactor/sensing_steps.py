"""What the pump between the kernel and the rules takes and gives: where records come from, what is to be watched, and what a step brought.

Data only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from fairlead.drivers.kernel.guarding import Prevented
from fairlead.reactor.flights import Died
from fairlead.reactor.sensing_rules import Ruleset
from fairlead.sense.events import Event
from fairlead.sense.plans import Hook, Plan
from fairlead.sense.rules import Detection, Rule
from fairlead.words import Finding, Resource


class Source(Protocol):
    """Where records come from: drivers.kernel.Sensor, or a recording. See there for what each gives."""

    @property
    def placed(self) -> Sequence[Any]:
        """Which real hook serves each hook of the plan, or why none does."""

    @property
    def slots(self) -> Mapping[int, Hook]:
        """The hook behind each slot."""

    @property
    def remarks(self) -> Sequence[str]:
        """What is not done as the plan asks, in words."""

    def fileno(self) -> int:
        """Return a descriptor that is readable when there is an alert."""

    def read(self) -> Sequence[Any]:
        """Return all batches that are there, without waiting."""

    def counters(self) -> Mapping[str, Any]:
        """Return seen, sent, dropped and rated of each class of events since the start."""

    def flight(self, cgroup_id: int) -> Sequence[bytes]:
        """Return what the flight recorder holds of a cgroup, the oldest first."""

    def drop_flight(self, cgroup_id: int) -> None:
        """Forget what the flight recorder holds of a cgroup."""

    def update(self, plan: Plan) -> None:
        """Serve another plan from now on."""

    def spare(self, pid: int) -> None:
        """Never do anything to a process from now on."""

    def close(self) -> None:
        """Detach everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is to be watched, and how.

    `files` are rule files (name, text) of any dialect, `documents` TracingPolicies of a cluster, `rules` any others; `behaviours` adds
    fairlead's own; `minimum` is the least of Falco's priorities. `data_dir` is that of a platform of this machine, whose node names
    containers; other runtimes are asked too. `always` hands out every event that was read, whether a rule asked for it or not: at least
    exec and exited. `heard` is called with each event that was judged and its detections, at once: later events change the processes that they
    name, so whoever writes them down must do it then. `recorder` keeps each container's last failed calls, `contained_only` those of containers alone. What the processes in `ignore` do is
    never seen; those in `spare` are never acted on. With `pin`, the name of a set of pins, what acts outlives this process. `record` writes what the kernel tells into a file. `open_source` makes the source for a plan; None is the kernel.
    """

    files: Sequence[tuple[str, str]] = ()
    documents: Sequence[Resource] = ()
    rules: Sequence[Rule] = ()
    behaviours: bool = False
    minimum: str = "Debug"
    data_dir: Path | None = None
    node: str = ""
    always: bool = False
    heard: Callable[[Event, Sequence[Detection]], None] | None = None
    recorder: bool = True
    contained_only: bool = True
    identify: bool = True
    ignore: tuple[int, ...] = ()
    spare: tuple[int, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)
    record: Path | None = None
    pin: str = ""
    open_source: Callable[[Plan], Source] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """How it began: what rules came to, which hooks serve the plan, and what cannot be done here, as findings."""

    ruleset: Ruleset
    placed: Sequence[Any]
    remarks: Sequence[str]
    findings: Sequence[Finding]


@dataclass(slots=True, kw_only=True)
class Step:
    """What one read brought. `events` are those that `always` asks for, in the order of their time.

    `dropped` tells how many events each class lost since the step before. `died` are containers that ended badly, `prevented` what
    guards of files and cgroup hooks refused.
    """

    events: list[Event] = field(default_factory=list)
    detections: list[Detection] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    died: list[Died] = field(default_factory=list)
    prevented: list[Prevented] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    read: int = 0
    """Events that were read and judged."""

    def __bool__(self) -> bool:
        return bool(
            self.read or self.detections or self.findings or self.died or self.prevented or self.dropped
        )
