"""A recording judged again: the same batches, processes, containers and names go through the same engine, so the findings are the same.

By the rules that were recorded the kernel's own clause bits serve; by others each record is sieved here, as the kernel would have done. Touches
no kernel and no cluster. A hook that was not recorded cannot be made up: its rules see nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from fairlead.dialects.tracingpolicy.filters import Host
from fairlead.reactor.sensing_recordings import (
    BadRecording,
    Damage,
    Frame,
    Header,
    Identified,
    Names,
    Read,
    frames,
)
from fairlead.reactor.sensing_refusals import KIND, refused
from fairlead.reactor.sensing_rules import Ruleset, Surroundings, load
from fairlead.reactor.sensing_steps import Options, Started, Step
from fairlead.sense.events import Container
from fairlead.sense.fieldcode import Account
from fairlead.sense.fields import Around
from fairlead.sense.judging import Engine
from fairlead.sense.plans import Hook, Plan
from fairlead.sense.processes import Processes
from fairlead.words import Finding, Ref, Severity

ABILITIES: Final = frozenset({"tp_btf", "tracepoint", "rawtracepoint", "syscalls", "uprobe", "usdt"})
"""What rules are read for: what any kernel has that could have been recorded."""


class Replaying:
    """A recording, opened. Made by `replay`; `started` says what the rules came to. Raises BadRecording, OSError while steps are taken."""

    def __init__(self, path: Path, options: Options) -> None:
        self._frames: Iterator[Frame] = frames(path)
        header = next(self._frames, None)
        if not isinstance(header, Header):
            raise BadRecording(f"{path} is no recording")
        self._options = options
        self._containers: dict[int, Container] = {}
        self._users: dict[tuple[str, int], Account] = {}
        self._groups: dict[tuple[str, int], str] = {}
        self.around = Around(
            processes=Processes(self._containers, epoch=header.epoch),
            users=self._users,
            groups=self._groups,
            hostname=header.node,
        )
        host = Host(namespaces=header.namespaces, containers=self._containers, machine=header.machine)
        surroundings = Surroundings(around=self.around, abilities=ABILITIES, host=host)
        self.ruleset: Ruleset = load(
            options.files,
            surroundings,
            documents=options.documents,
            minimum=options.minimum,
            own=options.behaviours,
        )
        self.engine = Engine([*options.rules, *self.ruleset.rules], self.around, machine=header.machine)
        self._sieved = False
        self._place(header.hooks)

    @property
    def started(self) -> Started:
        """What the rules came to, and which of their hooks were not recorded."""
        missing = [] if not self._sieved else sorted({hook.name for hook in self._unseen()})
        findings = [*self.ruleset.findings, *self.engine.findings]
        if missing:
            told = f"the recording holds nothing of {', '.join(missing)}: it was made with other rules"
            findings.append(self._own(told))
        return Started(ruleset=self.ruleset, placed=(), remarks=(), findings=findings)

    def _own(self, message: str) -> Finding:
        """Return a finding about the recording itself."""
        where = Ref("", "Node", "", self.around.hostname)
        return Finding(rule="sense.recording", severity=Severity.WARNING, subject=where, message=message)

    def _place(self, hooks: Mapping[int, Hook]) -> None:
        self._recorded = hooks
        self._sieved = not _served(self.engine.plan, hooks)
        if not self._sieved:
            self.engine.place(hooks)

    def _unseen(self) -> Iterator[Hook]:
        seen = {hook.key for hook in self._recorded.values()}
        return (hook for hook in self.engine.plan.hooks if hook.key not in seen)

    def steps(self) -> Iterator[Step]:
        """Yield what each read brought, in the order of the recording; where it is damaged the last step has a finding that says so."""
        damage: list[Finding] = []
        for frame in self._frames:
            if isinstance(frame, Header):
                self._place(frame.hooks)
            elif isinstance(frame, list):
                self.around.processes.adopt(frame)
            elif isinstance(frame, Identified):
                self._containers[frame.cgroup] = frame.container
            elif isinstance(frame, Names):
                self._users.update({(frame.container, uid): one for uid, one in frame.users.items()})
                self._groups.update({(frame.container, gid): one for gid, one in frame.groups.items()})
                self.around.hosts = dict(frame.hosts) if not frame.container else self.around.hosts
            elif isinstance(frame, Damage):
                damage.append(self._own(str(frame)))
            elif isinstance(frame, Read):
                step = self._judged(frame.batches, frame.until)
                if step:
                    yield step
        step = self._judged((), None)  # what the last read held back
        step.findings += damage
        if step:
            yield step

    def _judged(self, batches: Any, until: int | None) -> Step:
        step = Step()
        for event in self.engine.decoder.feed(batches, until):
            step.read += 1
            if self._options.always:
                step.events.append(event)
            if event.kind == KIND:
                step.prevented += refused(event)
            found = self.engine.judge(event) if not self._sieved or self.engine.sieve(event) else ()
            step.detections += found
            if self._options.heard is not None:
                self._options.heard(event, found)
        return step


def _served(plan: Plan, hooks: Mapping[int, Hook]) -> bool:
    """Say whether the recorded hooks are those of the plan, clause by clause: then the recorded bits mean the same rules."""
    recorded = {hook.key: hook.clauses for hook in hooks.values()}
    return all(recorded.get(hook.key) == hook.clauses for hook in plan.hooks)
