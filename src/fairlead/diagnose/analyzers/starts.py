"""Pods that do not come up although they have a node: configuration, volumes, sandboxes, evictions.

Also the pods that are not ready for no reason that can be seen, so that nothing unhealthy goes unsaid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from fairlead.diagnose.analyzers.configs import lacks
from fairlead.diagnose.analyzers.crashes import START_REASONS, log_need, named_services, refusals
from fairlead.diagnose.analyzers.images import PULL_REASONS
from fairlead.diagnose.analyzers.levels import as_somebody
from fairlead.diagnose.callers import misled
from fairlead.diagnose.causes import Fact, Key
from fairlead.diagnose.inventories import Inventory, Member, Template, moment, ready
from fairlead.diagnose.logs import telling
from fairlead.diagnose.states import recovered
from fairlead.tongues.paths import mapping, mappings, text
from fairlead.words import Evidence, Need, Ref, Resource, Severity

_GRACE = timedelta(seconds=60)
_LONG_PULL = timedelta(minutes=15)
_LINES = 20
_MOUNT = ("FailedMount", "FailedAttachVolume", "FailedMapVolume")
_SANDBOX = ("FailedCreatePodSandBox", "FailedPodSandBoxStatus")
_EXPLAINED_ELSEWHERE = PULL_REASONS | START_REASONS | {"CrashLoopBackOff", "CreateContainerConfigError"}


def _template(member: Member) -> Template:
    """The pod as a template of itself: what it was really made from."""
    return Template(member.ref, member.pod, ())


def _node(member: Member) -> tuple[Key, ...]:
    return (("node.unready", Ref("", "Node", "", member.node), ""),) if member.node else ()


def _since(member: Member) -> datetime | None:
    """Return when the pod was bound to its node (or made)."""
    return moment(mapping(member.pod, "status").get("startTime")) or moment(
        mapping(member.pod, "metadata").get("creationTimestamp")
    )


def _slow(inventory: Inventory, member: Member) -> bool:
    """Say whether the pod has had more time than one that is well needs."""
    since = _since(member)
    return since is not None and inventory.past(since, _GRACE)


def _pod(inventory: Inventory, pod: Resource) -> Iterator[Fact]:
    """What keeps a pod from starting, by what is seen of it."""
    member = inventory.member(pod)
    if member is None:
        return
    phase = text(member.pod, "status", "phase")
    if text(member.pod, "status", "reason") == "Evicted":
        yield _evicted(inventory, member)
    elif phase not in {"Succeeded", "Failed"} and not ready(member.pod):
        yield from _starting(inventory, member)


def _starting(inventory: Inventory, member: Member) -> Iterator[Fact]:
    waiting = [
        (container.name, mapping(status, "state", "waiting")) for container, status in member.statuses()
    ]
    missing = tuple(lacks(_template(member)))
    for name, state in waiting:
        if text(state, "reason") == "CreateContainerConfigError":
            yield from _misconfigured(inventory, member, name, text(state, "message"), missing)
    if not member.node:
        return
    begun = any(mapping(status, "state").keys() - {"waiting"} for _, status in member.statuses())
    creating = not begun and all(
        text(state, "reason") in {"", "ContainerCreating", "PodInitializing"} for _, state in waiting
    )
    if not creating:
        if _slow(inventory, member):
            yield from _unready(inventory, member)
        return
    mounts, sandboxes = inventory.events(member.ref, *_MOUNT), inventory.events(member.ref, *_SANDBOX)
    if mounts:
        note = mounts[-1]
        yield Fact(
            rule="volume.mount",
            subject=member.top.ref,
            detail=_volume_of(member, note.message),
            message="a volume cannot be mounted",
            cause=inventory.quote(note.message, member.ref),
            evidence=(inventory.noted(member.ref, note),),
            where=inventory.where(member.top.ref, (*member.top.spec_path, "volumes")),
            because=(*missing, *_node(member)),
        )
        yield Fact(
            rule="pod.waiting",
            subject=member.ref,
            message="waits for a volume",
            because=(("volume.mount", member.top.ref, _volume_of(member, note.message)),),
        )
    elif sandboxes:
        note = sandboxes[-1]
        node = Ref("", "Node", "", member.node)
        yield Fact(
            rule="pod.sandbox",
            subject=node,
            message=f"pods cannot be set up on node {member.node}",
            cause=inventory.quote(note.message, member.ref),
            evidence=(inventory.noted(member.ref, note),),
            because=_node(member),
        )
        yield Fact(
            rule="pod.waiting",
            subject=member.ref,
            message="waits for its sandbox (network and namespaces)",
            because=(("pod.sandbox", node, ""),),
        )
    elif _pulling(inventory, member):
        return
    elif (since := _since(member)) is not None and _slow(inventory, member):
        because: list[Key | Ref] = [*missing, *_node(member)]
        if member.top.ref != member.ref:
            because.append(("pod.stuck", member.top.ref, ""))
            yield Fact(
                rule="pod.stuck",
                subject=member.top.ref,
                severity=Severity.WARNING,
                message="several of its pods are being created for long, and nothing says why",
                confidence="possible",
                supposed=True,
            )
        yield Fact(
            rule="pod.stuck",
            subject=member.ref,
            severity=Severity.WARNING,
            message=f"being created for {inventory.ago(since)}, and nothing says why",
            because=tuple(because),
            confidence="possible",
        )


def _pulling(inventory: Inventory, member: Member) -> bool:
    """Say whether the node is busy with an image: a large one takes its time."""
    notes = inventory.events(member.ref, "Pulling", "Pulled", "Failed")
    last = notes[-1] if notes else None
    return (
        last is not None
        and last.reason == "Pulling"
        and last.last is not None
        and not inventory.past(last.last, _LONG_PULL)
    )


def _volume_of(member: Member, message: str) -> str:
    for _, volume in mappings(member.pod, "spec", "volumes"):
        name = text(volume, "name")
        if name and f'"{name}"' in message:
            return name
    return ""


def _misconfigured(
    inventory: Inventory, member: Member, container: str, message: str, missing: tuple[Key, ...]
) -> Iterator[Fact]:
    top = member.top.ref
    holder = member.top.container(container)
    said = inventory.quote(message, member.ref)
    fix = as_somebody(inventory, member.top, container, message)
    yield Fact(
        rule="container.config",
        subject=top,
        detail=container,
        message=f"container {container} cannot be configured",
        cause=said,
        evidence=(
            Evidence("field", member.ref, f"container {container} waits: CreateContainerConfigError: {said}"),
        ),
        fixes=(fix,) if fix else (),
        where=inventory.where(top, holder.path if holder else ()),
        because=(*missing, *_node(member)),
    )
    yield Fact(
        rule="pod.waiting",
        subject=member.ref,
        message=f"container {container} waits: CreateContainerConfigError",
        because=(("container.config", top, container),),
    )


def _needs(inventory: Inventory, pod: Resource) -> Iterator[Need]:
    """The logs of the first pod of a workload that runs and is not ready for long, where nothing else may say why."""
    member = inventory.member(pod)
    if member is None or not member.node or ready(pod) or text(pod, "status", "phase") != "Running":
        return
    if not _slow(inventory, member) or next(iter(inventory.crew(member.top.ref)), member).ref != member.ref:
        return
    for container, status in member.statuses():
        if "running" in mapping(status, "state") and status.get("ready") is not True:
            yield log_need(member, container.name, previous=False)


def _lines(inventory: Inventory, member: Member, container: str) -> list[str]:
    """The last lines of a running container's log: what is not ready may say there whom it waits for."""
    log = inventory.answer(log_need(member, container, previous=False))
    return list(dict.fromkeys(line for line in (log or "").splitlines()[-_LINES:] if line.strip()))


def _last_words(inventory: Inventory, member: Member) -> Iterator[Evidence]:
    """The telling lines of the containers that are not ready, where their shape shows that they are about errors."""
    for container, status in member.statuses():
        if status.get("ready") is True:
            continue
        log = inventory.answer(log_need(member, container.name, previous=False))
        line = telling(log) if log else None
        if line is not None and line.shape != "last":
            yield Evidence("log", member.ref, inventory.quote(line.line, member.ref))


def _unready(inventory: Inventory, member: Member) -> Iterator[Fact]:
    """The pod runs, or partly, and is not ready: a symptom of whatever else is known, else a root of its own.

    Where several pods of a workload are so for no other reason, the workload is told of instead.
    """
    top = member.top.ref
    because: list[Key | Ref] = [*lacks(_template(member)), *_node(member)]
    for container, _ in member.statuses():
        because += [
            (rule, top, container.name)
            for rule in ("container.crash", "container.memory", "container.start", "container.config")
        ]
        because += [
            ("probe.failing", top, f"{container.name}/{sort}")
            for sort in ("readiness", "startup", "liveness")
        ]
        because += [
            ("probe.port", top, f"{container.name}/{sort}") for sort in ("readiness", "startup", "liveness")
        ]
        because += refusals(inventory, member, container.name)
        for line in _lines(inventory, member, container.name):
            because += misled(inventory, member.top, container.name, line)
            because += named_services(inventory, line, member.ref)
        for rule in ("image.pull", "image.invalid", "image.never"):
            because.append((rule, Ref("", "Image", "", text(container.content, "image")), ""))
    because.append(member.ref)
    blocked = _gated(member)
    if top != member.ref:
        because.append(("pod.unready", top, ""))
        yield Fact(
            rule="pod.unready",
            subject=top,
            severity=Severity.WARNING,
            message="several of its pods are not ready",
            cause=blocked or inventory.quote(_condition(member.pod), member.ref),
            evidence=tuple(_last_words(inventory, member)),
            confidence="possible",
            supposed=True,
            vague=True,
        )
    yield Fact(
        rule="pod.unready",
        subject=member.ref,
        severity=Severity.WARNING,
        message="not ready",
        cause=blocked or inventory.quote(_condition(member.pod), member.ref),
        evidence=tuple(_last_words(inventory, member)),
        because=tuple(because),
        confidence="possible",
        vague=True,
    )


def _gated(member: Member) -> str:
    """Say which readiness gate is not fulfilled, if one is set."""
    true = {
        item.get("type")
        for _, item in mappings(member.pod, "status", "conditions")
        if item.get("status") == "True"
    }
    for _, gate in mappings(member.pod, "spec", "readinessGates"):
        if text(gate, "conditionType") not in true:
            return f"Its readiness gate {text(gate, 'conditionType')} is not True: nobody has set it."
    return ""


def _condition(pod: Mapping[str, Any]) -> str:
    for _, item in mappings(pod, "status", "conditions"):
        if text(item, "type") in {"Ready", "ContainersReady"} and item.get("status") != "True":
            return text(item, "message")
    return ""


def _evicted(inventory: Inventory, member: Member) -> Fact:
    node = Ref("", "Node", "", member.node)
    said = inventory.quote(text(member.pod, "status", "message"), member.ref)
    return Fact(
        rule="pod.evicted",
        subject=member.top.ref,
        detail=member.node,
        severity=Severity.INFO if recovered(inventory, member.top.ref) else Severity.WARNING,
        message=f"pods were evicted from node {member.node}",
        cause=said,
        evidence=(Evidence("field", member.ref, f"Evicted: {said}"),),
        because=(("pod.greedy", member.top.ref, ""), node),
    )


NEEDS: Mapping[tuple[str, str], Callable[[Inventory, Resource], Iterator[Need]]] = {("", "Pod"): _needs}
UNITS: Mapping[tuple[str, str], Callable[[Inventory, Resource], Iterator[Fact]]] = {("", "Pod"): _pod}
