"""What a run waits for: which objects are not yet as they should be, since when, and why, each in one line.

Keeps account of what it was shown, with the time handed in; asks nobody. Hints (what is wrong with an object's pods) are handed in too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from fairlead.converge.health import Health
from fairlead.tongues.paths import mapping, mappings, strings, text, whole
from fairlead.words import Ref, Resource

PATIENCE: Final = timedelta(seconds=10)
"""So long must something that may come right by itself have failed before it counts as failed."""
_RECOVERS: Final = frozenset({"Pod"})


@dataclass(frozen=True, slots=True)
class Blocker:
    """One object that is waited for."""

    ref: Ref
    health: Health
    since: datetime
    hint: str = ""

    def line(self, now: datetime) -> str:
        """Return what blocks and since when, on one line."""
        seconds = max(0, round((now - self.since).total_seconds()))
        hint = f": {self.hint}" if self.hint else ""
        return f"{self.ref}: {self.health.message or self.health.state}{hint} ({seconds} s)"


@dataclass(slots=True)
class Waiting:
    """The objects that a stage waits for. Show it each look at one with `see`."""

    since: dict[Ref, datetime] = field(default_factory=dict)
    failed: dict[Ref, datetime] = field(default_factory=dict)
    states: dict[Ref, Health] = field(default_factory=dict)
    hints: dict[Ref, str] = field(default_factory=dict)

    def see(self, ref: Ref, found: Health, now: datetime, hint: str = "") -> None:
        """Take in how an object is."""
        self.states[ref] = found
        if found.current:
            self.since.pop(ref, None)
            self.failed.pop(ref, None)
            return
        self.since.setdefault(ref, now)
        if found.state == "Failed":
            self.failed.setdefault(ref, now)
        else:
            self.failed.pop(ref, None)
        self.hints[ref] = hint

    @property
    def over(self) -> bool:
        """Whether everything is as it should be."""
        return all(one.current for one in self.states.values())

    def blockers(self) -> list[Blocker]:
        """Return what is waited for, what has failed first, then the oldest."""
        found = [
            Blocker(ref, state, self.since[ref], self.hints.get(ref, ""))
            for ref, state in self.states.items()
            if not state.current
        ]
        return sorted(found, key=lambda one: (one.health.state != "Failed", one.since, str(one.ref)))

    def lost(self, now: datetime) -> list[Blocker]:
        """Return what will not come right by itself, so that waiting is over."""
        return [
            one
            for one in self.blockers()
            if one.ref in self.failed
            and (one.ref.kind not in _RECOVERS or now - self.failed[one.ref] >= PATIENCE)
        ]

    def left(self) -> set[Ref]:
        """Return the objects that are not as they should be."""
        return {ref for ref, state in self.states.items() if not state.current}


# Hints


def pods_of(resource: Resource) -> Mapping[str, str]:
    """Return the labels that select an object's pods, {} where it has none that are so selected."""
    selector = mapping(resource, "spec", "selector")
    if text(resource, "kind") in {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"}:
        return strings(selector, "matchLabels")
    return {}


def hint(pods: Iterable[Resource]) -> str:
    """Return what is wrong with the first pod that is not ready, in a few words: `pod web-abc: ImagePullBackOff`."""
    for pod in sorted(pods, key=lambda one: text(one, "metadata", "creationTimestamp"), reverse=True):
        why = _trouble(pod)
        if why:
            return f"pod {text(pod, 'metadata', 'name')}: {why}"
    return ""


def _trouble(pod: Resource) -> str:
    if text(pod, "metadata", "deletionTimestamp"):
        return "is going"
    status = mapping(pod, "status")
    for part in ("initContainerStatuses", "containerStatuses"):
        for _, one in mappings(status, part):
            waits, ended = mapping(one, "state", "waiting"), mapping(one, "state", "terminated")
            reason = text(waits, "reason")
            if reason and reason not in {"PodInitializing", "ContainerCreating"}:
                return reason
            if ended and whole(ended, "exitCode"):
                return f"container {text(one, 'name')} ended with exit code {whole(ended, 'exitCode')}"
    for _, one in mappings(status, "conditions"):
        if text(one, "type") == "PodScheduled" and text(one, "status") == "False":
            return f"{text(one, 'reason') or 'not scheduled'}: {text(one, 'message')}".rstrip(": ")
    phase = text(status, "phase")
    if phase == "Failed":
        return text(status, "message") or text(status, "reason") or "has failed"
    ready = any(
        text(one, "type") == "Ready" and text(one, "status") == "True"
        for _, one in mappings(status, "conditions")
    )
    return "" if ready or phase == "Succeeded" else "is not ready" if phase == "Running" else ""
