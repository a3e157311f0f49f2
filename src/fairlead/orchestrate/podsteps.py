"""What a node does next for one pod: what to stop, what to start, what has to wait.

The heart of the node, and pure: the pod, what the runtime reports and what is remembered go in; a `Decision` and a new
memory come out. It must never assume that a decision was carried out: the next look at the runtime says so.
Source: kubelet's computePodActions, computeInitContainerActions and doBackOff.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from fairlead.orchestrate import probes
from fairlead.orchestrate.backoffs import Backoffs
from fairlead.orchestrate.podspecs import (
    Note,
    Spec,
    containers,
    every,
    field_path,
    fingerprint,
    init_containers,
    is_sidecar,
    moment,
    name_of,
    parse_stamp,
    restart_policy,
    seconds_text,
)
from fairlead.orchestrate.runtimes import ContainerSeen, SandboxSeen
from fairlead.words import Resource

UNKNOWN_STATUS = "ContainerStatusUnknown"
UNKNOWN_MESSAGE = "The container could not be located when the pod was terminated"
DEADLINE_MESSAGE = "Pod was active on the node longer than the specified deadline"


@dataclass(frozen=True, slots=True)
class Observed:
    """What the runtime has of one pod."""

    sandboxes: tuple[SandboxSeen, ...] = ()
    containers: tuple[ContainerSeen, ...] = ()

    @property
    def sandbox(self) -> SandboxSeen | None:
        """The newest sandbox."""
        return max(self.sandboxes, key=lambda each: (each.attempt, each.created_at), default=None)

    def latest(self, name: str) -> ContainerSeen | None:
        """Return the newest container of that name."""
        mine = [each for each in self.containers if each.name == name]
        return max(mine, key=lambda each: (each.attempt, each.created_at), default=None)


@dataclass(frozen=True, slots=True)
class Memory:
    """What a node remembers of one pod between two looks. Lost with the node process, and then learned again."""

    crashes: Backoffs = field(default_factory=Backoffs)
    """By container name."""
    pulls: Backoffs = field(default_factory=Backoffs)
    """By image, as the spec names it."""
    pull_errors: Mapping[str, str] = field(default_factory=dict)
    waiting: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """By container name: why it does not run, (reason, message)."""
    health: Mapping[str, probes.Health] = field(default_factory=dict)
    """By container id."""
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    """By container id: the hash of the spec it was started from."""
    killed: frozenset[str] = frozenset()
    """Ids of containers that the node itself stopped because of a probe."""
    ended: tuple[str, str] | None = None
    """The node gave the pod up: (reason, message)."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop one running container; `message` is the Killing Event's. `grace` overrides the pod's, in seconds."""

    container: ContainerSeen
    message: str
    grace: float | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """Start one container as that attempt."""

    name: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do next. `end`: nothing is left to run, so stop everything and the sandbox too."""

    end: bool = False
    sandbox: int | None = None
    """Make a new sandbox with this attempt number, after stopping what is left of an older one."""
    stop: tuple[Stop, ...] = ()
    start: tuple[Start, ...] = ()
    notes: tuple[Note, ...] = ()
    again: timedelta | None = None
    """Look again no later than this."""
    memory: Memory = field(default_factory=Memory)


def recall(pod: Resource, observed: Observed) -> Observed:
    """Add what only the pod's status still knows: containers that the runtime has lost every record of."""
    status = pod.get("status") or {}
    found: list[ContainerSeen] = []
    for key in ("initContainerStatuses", "containerStatuses"):
        for entry in status.get(key) or ():
            if observed.latest(entry["name"]) is None:
                lost = _lost(pod, entry)
                if lost is not None:
                    found.append(lost)
    return replace(observed, containers=(*observed.containers, *found)) if found else observed


def _lost(pod: Resource, entry: Mapping[str, object]) -> ContainerSeen | None:
    state = entry.get("state") or {}
    last = entry.get("lastState") or {}
    assert isinstance(state, Mapping)
    assert isinstance(last, Mapping)
    terminated = state.get("terminated") or (last.get("terminated") if "waiting" in state else None)
    seen = ContainerSeen(
        id=str(entry.get("containerID") or "").partition("://")[2],
        sandbox="",
        uid=pod["metadata"]["uid"],
        name=str(entry["name"]),
        attempt=int(str(entry.get("restartCount") or 0)),
        state="exited",
        image=str(entry.get("image") or ""),
        image_id=str(entry.get("imageID") or ""),
    )
    if terminated:
        return replace(
            seen,
            id=str(terminated.get("containerID") or "").partition("://")[2],
            exit_code=int(terminated.get("exitCode") or 0),
            reason=str(terminated.get("reason") or ""),
            message=str(terminated.get("message") or ""),
            started_at=_nanoseconds(terminated.get("startedAt")),
            finished_at=_nanoseconds(terminated.get("finishedAt")),
        )
    if "running" in state:
        return replace(
            seen,
            exit_code=137,
            reason=UNKNOWN_STATUS,
            message=UNKNOWN_MESSAGE,
            started_at=_nanoseconds((state["running"] or {}).get("startedAt")),
        )
    return None


def _nanoseconds(text: object) -> int:
    return int(parse_stamp(str(text)).timestamp()) * 10**9 if text else 0


def should_restart(pod: Resource, container: Spec, seen: ContainerSeen | None) -> bool:
    """Whether a container that does not run should, by its restart policy."""
    if seen is None or seen.state != "exited":
        return True
    policy = restart_policy(pod, container)
    return policy == "Always" or (policy == "OnFailure" and seen.exit_code != 0)


def deadline_left(pod: Resource, now: datetime) -> timedelta | None:
    """Return how long the pod may still be active, or None when it has no such limit."""
    seconds = pod["spec"].get("activeDeadlineSeconds")
    started = (pod.get("status") or {}).get("startTime")
    if seconds is None or not started:
        return None
    return parse_stamp(started) + timedelta(seconds=seconds) - now


def decide(pod: Resource, observed: Observed, memory: Memory, now: datetime) -> Decision:
    """Return what to do next for a pod that is neither being deleted nor over."""
    if memory.ended:
        return Decision(end=True, memory=memory)
    left = deadline_left(pod, now)
    if left is not None and left <= timedelta():
        ended = ("DeadlineExceeded", DEADLINE_MESSAGE)
        waiting = {name: why for name, why in memory.waiting.items() if observed.latest(name) is None}
        memory = replace(memory, ended=ended, waiting=waiting)
        return Decision(end=True, memory=memory, notes=(Note("Normal", *ended),))
    decision = _decide(pod, observed, memory, now)
    return replace(decision, again=_sooner(decision.again, left))


def _sooner(first: timedelta | None, second: timedelta | None) -> timedelta | None:
    both = [each for each in (first, second) if each is not None]
    return min(both) if both else None


def _decide(pod: Resource, observed: Observed, memory: Memory, now: datetime) -> Decision:
    sandbox = observed.sandbox
    if sandbox is None or not sandbox.ready:
        if observed.containers and not _anything_to_run(pod, observed):
            return Decision(end=True, memory=memory)
        attempt = 0 if sandbox is None else sandbox.attempt + 1
        return Decision(sandbox=attempt, memory=memory)
    turn = _Turn(pod, observed, memory, now)
    turn.run(sandbox)
    return turn.decision()


def _anything_to_run(pod: Resource, observed: Observed) -> bool:
    for container in init_containers(pod):
        if is_sidecar(container):
            continue
        seen = observed.latest(container["name"])
        if seen is not None and seen.exit_code != 0 and not should_restart(pod, container, seen):
            return False
    return any(should_restart(pod, each, observed.latest(each["name"])) for each in containers(pod))


class _Turn:
    """One walk over a pod's containers, collecting what to do."""

    def __init__(self, pod: Resource, observed: Observed, memory: Memory, now: datetime) -> None:
        self.pod = pod
        self.observed = observed
        self.memory = memory
        self.now = now
        self.stops: list[Stop] = []
        self.starts: list[Start] = []
        self.notes: list[Note] = []
        self.waiting: dict[str, tuple[str, str]] = {}
        self.again: timedelta | None = None
        self.end = False

    def decision(self) -> Decision:
        memory = self.memory
        if not self.end:
            names = {container["name"] for container in every(self.pod)}
            kept = {
                name: why
                for name, why in memory.waiting.items()
                if name in names and why[0] != "CrashLoopBackOff" and not self._runs(name)
            }
            memory = replace(memory, waiting={**kept, **self.waiting})
        return Decision(
            end=self.end,
            stop=tuple(self.stops),
            start=tuple(self.starts),
            notes=tuple(self.notes),
            again=self.again,
            memory=memory,
        )

    def _runs(self, name: str) -> bool:
        seen = self.observed.latest(name)
        return seen is not None and seen.state == "running"

    def run(self, sandbox: SandboxSeen) -> None:
        regular = containers(self.pod)
        begun = any(self._in(sandbox, each) is not None for each in regular)
        if not begun and not self._init(sandbox):
            return
        if begun:
            for sidecar in filter(is_sidecar, init_containers(self.pod)):
                self._keep(sidecar, self._in(sandbox, sidecar))
        busy = False
        for container in regular:
            busy = self._keep(container, self._in(sandbox, container)) or busy
        self.end = not busy

    def _in(self, sandbox: SandboxSeen, container: Spec) -> ContainerSeen | None:
        """Return the newest container of the name if this sandbox has it, or if it is done for good."""
        seen = self.observed.latest(container["name"])
        if seen is None or seen.sandbox == sandbox.id or (seen.sandbox == "" and seen.state == "exited"):
            return seen
        is_init = any(each is container for each in init_containers(self.pod))
        return None if is_init or should_restart(self.pod, container, seen) else seen

    def _init(self, sandbox: SandboxSeen) -> bool:
        """Go through the init containers in order; return whether the regular ones may start."""
        for container in init_containers(self.pod):
            seen = self._in(sandbox, container)
            if is_sidecar(container):
                self._keep(container, seen)
                if seen is None or seen.state != "running" or not self._started(seen):
                    return False
                continue
            if seen is not None and seen.state == "exited" and seen.exit_code == 0:
                continue
            if seen is not None and seen.state == "exited" and not should_restart(self.pod, container, seen):
                self.end = True
                return False
            self._keep(container, seen)
            return False
        return True

    def _started(self, seen: ContainerSeen) -> bool:
        health = self.memory.health.get(seen.id)
        return health is not None and health.started

    def _keep(self, container: Spec, seen: ContainerSeen | None) -> bool:
        """Keep one container as its spec wants it; return whether it still has work to do."""
        if seen is not None and seen.state == "running":
            self._check(container, seen)
            return True
        if seen is not None and seen.state == "unknown":
            message = f"Container {container['name']} is in unknown state, try killing it before restart"
            self.stops.append(Stop(seen, message))
            return True
        if not should_restart(self.pod, container, seen):
            return False
        self._start(container)
        return True

    def _check(self, container: Spec, seen: ContainerSeen) -> None:
        name = container["name"]
        health = self.memory.health.get(seen.id)
        failed = health.failed if health else None
        before = self.memory.fingerprints.get(seen.id)
        grace: float | None = None
        if before is not None and before != fingerprint(container):
            message = f"Container {name} definition changed"
        elif failed:
            message = probes.kill_message(name, failed)
            spec = probes.probes(container).get(failed)
            grace = spec.grace if spec else None
        else:
            return
        if restart_policy(self.pod, container) != "Never" or not failed:
            message += ", will be restarted"
        self.stops.append(Stop(seen, message, grace))
        if failed:
            self.memory = replace(self.memory, killed=self.memory.killed | {seen.id})

    def _start(self, container: Spec) -> None:
        name = container["name"]
        last = self.observed.latest(name)
        attempt = 0 if last is None else last.attempt + 1
        if last is not None and last.state == "exited":
            # What a probe ended is measured from its start: a slow crash loop has had its wait while it ran.
            at = last.started_at if last.id in self.memory.killed else last.finished_at
            finished = moment(at) if at else self.now
            left = self.memory.crashes.left(name, finished, self.now)
            if left is not None:
                delay = seconds_text(self.memory.crashes.delay(name))
                where = name_of(self.pod)
                self.waiting[name] = (
                    "CrashLoopBackOff",
                    f"back-off {delay} restarting failed container={name} pod={where}",
                )
                text = f"Back-off restarting failed container {name} in pod {where}"
                self.notes.append(Note("Warning", "BackOff", text, field_path(self.pod, name)))
                self.again = _sooner(self.again, left)
                return
            crashes = self.memory.crashes.lengthen(name, finished, self.now)
            self.memory = replace(self.memory, crashes=crashes)
        self.starts.append(Start(name, attempt))


def stale(observed: Observed) -> list[ContainerSeen]:
    """Return the ended containers that nobody needs any more: all but the newest and the newest ended one of each name."""
    doomed: list[ContainerSeen] = []
    for name in dict.fromkeys(each.name for each in observed.containers):
        mine = sorted(
            (each for each in observed.containers if each.name == name), key=lambda each: each.attempt
        )
        ended = [each for each in mine[:-1] if each.state == "exited"]
        spare = ended if mine[-1].state == "exited" else ended[:-1]
        doomed += [each for each in spare if each.sandbox]
    return doomed
