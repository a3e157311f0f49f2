"""What may be healed: HealPolicies read, and asked about a finding, a fix and a moment. Decides nothing else, and does nothing.

Everything must allow a healing: the policy's rules, namespaces, severity and confidence for the finding and for each object that the fix
touches; its window and rate; and nobody's `fairlead.dev/heal: "off"`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeAlias

from fairlead.diagnose.inventories import moment
from fairlead.reactor.diagnosing_kinds import HEAL
from fairlead.tongues import cron, durations, globs, selectors
from fairlead.tongues.paths import mapping, strings, text, whole, words
from fairlead.words import Finding, Fix, Ref, Resource

Mode: TypeAlias = Literal["off", "propose", "auto"]

SYSTEM: Final = frozenset({"kube-system", "kube-public", "kube-node-lease"})
"""Namespaces that only their full names choose."""
HOUR: Final = timedelta(hours=1)
LONGEST_PATIENCE: Final = timedelta(hours=1)
_MODES: Final[Mapping[str, Mode]] = {"off": "off", "propose": "propose", "auto": "auto"}
_WINS: Final = {"off": 0, "auto": 1, "propose": 2}
_SEVERITY: Final = {"critical": 0, "warning": 1, "info": 2}
_CONFIDENCE: Final = {"certain": 0, "likely": 1, "possible": 2}

Labels: TypeAlias = Callable[[str], Mapping[str, str]]
"""The labels of a namespace by its name; {} where it is not known."""


@dataclass(frozen=True, slots=True)
class Window:
    """A time that comes again and again: it opens as `schedule` says and stays open for `length`."""

    schedule: cron.Expr
    length: timedelta

    def open(self, now: datetime) -> bool:
        """Whether it is open."""
        begun = self.schedule.next(now - self.length)
        return begun is not None and begun <= now

    def opens(self, now: datetime) -> datetime | None:
        """Return when it opens next."""
        return self.schedule.next(now)


@dataclass(frozen=True, slots=True, kw_only=True)
class HealPolicy:
    """One policy as it was read. `problem` says why it cannot hold, "" where it can."""

    name: str
    mode: Mode = "off"
    rules: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    selector: selectors.Expr | None = None
    cluster_scoped: bool = False
    severity: str = "warning"
    confidence: str = "certain"
    per_hour: int = 4
    window: Window | None = None
    dry_run: bool = False
    patience: float = 180.0
    generation: int = 0
    recent: tuple[datetime, ...] = ()
    problem: str = ""
    status: Mapping[str, Any] = field(default_factory=dict)

    def concerns(self, finding: Finding, labels: Labels, own: str) -> bool:
        """Whether the finding is one of those that it is about. `own` is the namespace of fairlead itself."""
        return (
            not self.problem
            and (not self.rules or any(globs.matches(one, finding.rule) for one in self.rules))
            and _SEVERITY[str(finding.severity)] <= _SEVERITY[self.severity]
            and _CONFIDENCE[finding.confidence] <= _CONFIDENCE[self.confidence]
            and self.reaches(finding.subject, labels, own)
        )

    def reaches(self, ref: Ref, labels: Labels, own: str) -> bool:
        """Whether an object lies where it may act."""
        space = ref.name if (ref.group, ref.kind) == ("", "Namespace") else ref.namespace
        if not space or (ref.group, ref.kind) == ("", "Namespace"):
            if not self.cluster_scoped and not (self.mode != "auto" and self._everywhere):
                return False
            if not space:
                return True
        if (space in SYSTEM or space == own) and self.mode != "off":
            return space in self.namespaces
        named = not self.namespaces or any(globs.matches(one, space) for one in self.namespaces)
        if not named or self.selector is None:
            return named
        return self.selector.matches(labels(space))

    @property
    def _everywhere(self) -> bool:
        return not self.namespaces and self.selector is None

    def waits(self, now: datetime) -> str:
        """Return why nothing may be carried out now, "" where it may."""
        if self.window is not None and not self.window.open(now):
            opens = self.window.opens(now)
            return f"its window is closed{f' until {opens:%Y-%m-%d %H:%M} UTC' if opens else ''}"
        used = sum(1 for at in self.recent if now - at < HOUR)
        if used >= self.per_hour:
            return f"{used} fixes were carried out within an hour, which is its limit"
        return ""


def read(document: Resource) -> HealPolicy:
    """Return a HealPolicy object as a policy; one that cannot be understood in full holds for nothing, and says why."""
    spec, status = mapping(document, "spec"), mapping(document, "status")
    name = text(document, "metadata", "name")
    recent = tuple(at for at in map(moment, words(status, "recent")) if at is not None)
    known: dict[str, Any] = {
        "name": name,
        "mode": _MODES.get(text(spec, "mode"), "off"),
        "generation": whole(document, "metadata", "generation"),
        "recent": recent,
        "status": status,
    }
    try:
        return HealPolicy(
            **known,
            rules=tuple(words(spec, "rules")),
            namespaces=tuple(words(spec, "namespaces")),
            selector=_selector(spec),
            cluster_scoped=spec.get("clusterScoped") is True,
            severity=_one_of(spec, "severity", "warning", _SEVERITY),
            confidence=_one_of(spec, "minConfidence", "certain", _CONFIDENCE),
            per_hour=whole(spec, "maxPerHour", default=4),
            window=_window(mapping(spec, "window")) if spec.get("window") is not None else None,
            dry_run=spec.get("dryRun") is True,
            patience=_duration(text(spec, "patience") or "3m", "patience").total_seconds(),
            problem=_problem(spec),
        )
    except ValueError as error:
        return HealPolicy(**known, problem=str(error))


def _one_of(spec: Mapping[str, Any], key: str, default: str, known: Mapping[str, int]) -> str:
    found = str(spec.get(key) or default)
    if found not in known:
        raise ValueError(f"spec.{key} is one of {', '.join(known)}")
    return found


def _problem(spec: Mapping[str, Any]) -> str:
    """Return what the schema says too: it may not have been there when the object was written."""
    mode = spec.get("mode")
    if mode not in _MODES:
        return "spec.mode is one of off, propose, auto"
    if spec.get("requireProven", True) is not True:
        return "spec.requireProven is true: nothing is carried out that was not proven"
    if mode == "auto" and not words(spec, "rules"):
        return "auto is for chosen rules: name them in spec.rules"
    chosen = (
        words(spec, "namespaces") or mapping(spec, "namespaceSelector") or spec.get("clusterScoped") is True
    )
    if mode == "auto" and not chosen:
        return "auto is for chosen namespaces: name them in spec.namespaces or spec.namespaceSelector"
    return ""


def _selector(spec: Mapping[str, Any]) -> selectors.Expr | None:
    found = mapping(spec, "namespaceSelector")
    try:
        return selectors.from_object(found) if found else None
    except ValueError as error:
        raise ValueError(f"spec.namespaceSelector: {error}") from error


def _window(spec: Mapping[str, Any]) -> Window:
    try:
        schedule = cron.parse(text(spec, "schedule"), text(spec, "timeZone"))
    except ValueError as error:
        raise ValueError(f"spec.window: {error}") from error
    return Window(schedule, _duration(text(spec, "duration"), "window.duration"))


def _duration(said: str, where: str) -> timedelta:
    try:
        length = timedelta(microseconds=durations.parse(said) // 1000)
    except ValueError as error:
        raise ValueError(f"spec.{where}: {error}") from error
    if length <= timedelta(0):
        raise ValueError(f"spec.{where} is not longer than nothing")
    return min(length, LONGEST_PATIENCE) if where == "patience" else length


def chosen(policies: Iterable[HealPolicy], finding: Finding, labels: Labels, own: str) -> HealPolicy | None:
    """Return the policy that a finding is dealt with by; None: it is only told. `off` wins, then `auto`, then `propose`, then the name."""
    concerned = [one for one in policies if one.concerns(finding, labels, own)]
    return min(concerned, key=lambda one: (_WINS[one.mode], one.name), default=None)


def out_of_reach(policy: HealPolicy, fix: Fix, labels: Labels, own: str) -> str:
    """Return which object of a fix the policy may not touch, "" where it may all."""
    for change in fix.changes:
        if (change.ref.group, change.ref.kind) == ("", "Secret"):
            return f"{change.ref}: what Secrets hold is left to people"
        if not policy.reaches(change.ref, labels, own):
            return f"{change.ref} is not among what {policy.name} is about"
    return ""


def is_off(resource: Resource | None) -> bool:
    """Whether somebody keeps healing away from an object."""
    return resource is not None and strings(resource, "metadata", "annotations").get(HEAL, "").lower() in {
        "off",
        "false",
    }


def status_of(policy: HealPolicy, now: datetime) -> dict[str, Any]:
    """Return what the object's status is to say now."""
    if policy.problem:
        state, message = "invalid", policy.problem
    elif policy.mode == "auto" and (why := policy.waits(now)):
        state, message = "waiting", why
    else:
        state, message = "active", ""
    return {"observedGeneration": policy.generation, "state": state, "message": message}
