"""Detections -> Findings: one for each rule, place and executable, counted, with the tree of processes as evidence.

Bounded: what was seen longest ago makes room. Everything is written down when a detection comes, since a process changes afterwards;
the ledger keeps no events. It neither judges nor acts, and asks no clock.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeAlias

from fairlead.sense.events import Event, Process, printable
from fairlead.sense.rules import Detection, Rule
from fairlead.words import Evidence, Finding, Ref

MOST = 2000
"""Findings that a ledger keeps."""
TREES = 3
"""Trees of processes that are kept of each."""
LONGEST = 1000
"""Characters of a message or a line of evidence."""
DEEPEST = 12
"""Ancestors in a tree."""

Key: TypeAlias = tuple[str, str, str]
"""Rule, container (or pod, or the host), executable."""


@dataclass(slots=True)
class Seen:
    """What was seen of one key: how often, first and last when (ns since the epoch), and what was said."""

    rule: Rule
    subject: Ref
    message: str
    count: int = 0
    first: int = 0
    last: int = 0
    trees: OrderedDict[str, None] = field(default_factory=OrderedDict)
    container: str = ""
    changed: bool = True

    def finding(self) -> Finding:
        """Return it as a finding."""
        times = f" ({self.count} times)" if self.count > 1 else ""
        evidence = [Evidence("event", self.subject, tree) for tree in self.trees]
        if self.count > 1:
            evidence.append(
                Evidence(
                    "event",
                    self.subject,
                    f"seen {self.count} times, first {stamp(self.first)}, last {stamp(self.last)}",
                )
            )
        else:
            evidence.append(Evidence("event", self.subject, f"seen {stamp(self.last)}"))
        if self.container:
            evidence.append(Evidence("field", self.subject, f"container {self.container}"))
        return Finding(
            rule=self.rule.key,
            severity=self.rule.severity,
            subject=self.subject,
            message=f"{self.rule.name}: {self.message}{times}"
            if self.rule.name not in self.message
            else self.message + times,
            cause=self.rule.description,
            evidence=tuple(evidence),
            where=self.rule.where,
            confidence="likely",
        )


class Ledger:
    """Keeps what was detected. `node` is the machine's name; `forgotten` counts what had to make room."""

    def __init__(self, node: str = "", *, most: int = MOST) -> None:
        self.node = node
        self.forgotten = 0
        self._most = most
        self._seen: OrderedDict[Key, Seen] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    def add(self, detection: Detection) -> bool:
        """Write a detection down; return whether it is the first of its key. Rules that want no findings leave nothing."""
        rule, event = detection.rule, detection.event
        if not rule.findings:
            return False
        key = key_of(detection)
        one = self._seen.get(key)
        fresh = one is None
        if one is None:
            subject = subject_of(event, self.node)
            one = self._seen[key] = Seen(
                rule, subject, message_of(detection), first=event.time, container=_container(event)
            )
            if len(self._seen) > self._most:
                self._seen.popitem(last=False)
                self.forgotten += 1
        self._seen.move_to_end(key)
        one.count += 1
        one.first, one.last = min(one.first, event.time), max(one.last, event.time)
        one.changed = True
        if len(one.trees) < TREES:
            one.trees[tree_of(event.process)] = None
        return fresh

    def add_all(self, detections: Iterable[Detection]) -> int:
        """Write detections down; return how many keys are new."""
        return sum(self.add(one) for one in detections)

    def findings(self) -> list[Finding]:
        """Return all findings, the gravest first and among those the latest."""
        order = {"critical": 0, "warning": 1, "info": 2}
        return [
            one.finding()
            for one in sorted(self._seen.values(), key=lambda one: (order[one.rule.severity], -one.last))
        ]

    def news(self) -> list[Finding]:
        """Return the findings that are new or were counted up since this was last asked."""
        found = [one for one in self._seen.values() if one.changed]
        for one in found:
            one.changed = False
        return [one.finding() for one in found]

    def count(self, key: Key) -> int:
        """Return how often a key was seen."""
        one = self._seen.get(key)
        return one.count if one is not None else 0


def key_of(detection: Detection) -> Key:
    """Return what detections must share to be one finding."""
    container = detection.event.process.container
    place = (
        ""
        if container is None
        else f"{container.pod_namespace}/{container.pod}/{container.name}"
        if container.pod
        else container.id
    )
    process = detection.event.process
    return detection.rule.key, place, process.exe or process.name


def subject_of(event: Event, node: str) -> Ref:
    """Return whom a detection is about: the pod where it is known, else the machine."""
    container = event.process.container
    if container is not None and container.pod:
        return Ref("", "Pod", container.pod_namespace, container.pod, container.pod_uid)
    return Ref("", "Node", "", node)


def message_of(detection: Detection) -> str:
    """Return the one sentence: what the rule says, or its name and who did what."""
    rule, event = detection.rule, detection.event
    text = ""
    if rule.message is not None:
        try:
            text = rule.message(event)
        except Exception as error:  # noqa: BLE001  a message that cannot be made must not cost the detection
            text = f"{rule.name} (its message cannot be made: {error})"
    if not text:
        text = f"{rule.name}: {event.kind} by {event.process.name} ({event.process.pid})"
    return cut(printable(text))


def tree_of(process: Process) -> str:
    """Return a process and its ancestors in one line, the eldest first: `systemd(1) > sshd(812) > bash(900): bash -i`."""
    chain = [process]
    for one in process.ancestors():
        if len(chain) > DEEPEST:
            break
        chain.append(one)
    line = " > ".join(f"{one.name or '?'}({one.pid})" for one in reversed(chain))
    more = "... > " if len(chain) > DEEPEST and chain[-1].parent is not None else ""
    command = process.cmdline
    return cut(
        printable(f"{more}{line}: {command}" if command and command != process.name else f"{more}{line}")
    )


def _container(event: Event) -> str:
    container = event.process.container
    if container is None:
        return ""
    image = f", image {container.image}" if container.image else ""
    return printable(f"{container.name or container.short} ({container.short}{image})")


def cut(text: str, most: int = LONGEST) -> str:
    """Return a text that is not longer than so many characters."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def stamp(time: int) -> str:
    """Return a time (ns since the epoch) as RFC 3339 with milliseconds."""
    seconds, rest = divmod(time, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1_000_000:03d}Z"
