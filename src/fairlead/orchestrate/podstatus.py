"""What a pod's status says: phase, conditions and the state of each container, from what a runtime reports.

Pure. Times that are already in the old status are kept where nothing has changed. Source: kubelet's kubelet_pods.go
(convertToAPIContainerStatuses, getPhase) and status/generate.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from fairlead.orchestrate.podspecs import (
    Spec,
    containers,
    init_containers,
    is_sidecar,
    moment,
    qos_class,
    stamp,
)
from fairlead.orchestrate.podsteps import Memory, Observed
from fairlead.orchestrate.runtimes import ContainerSeen
from fairlead.words import Resource

OWNED = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady")
"""The conditions that a node writes; PodScheduled is the scheduler's, and gates are their owners'."""

_OVER = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where the pod runs: the node's addresses, the pod's own, and the runtime's name for container ids."""

    runtime: str
    host_ips: tuple[str, ...] = ()
    pod_ips: tuple[str, ...] = ()


def status(pod: Resource, observed: Observed, memory: Memory, place: Place, now: datetime) -> Resource:
    """Return the whole status to report. `observed` should have been through podsteps.recall."""
    old: Mapping[str, Any] = pod.get("status") or {}
    inits = [_container(pod, each, observed, memory, place, init=True) for each in init_containers(pod)]
    regular = [_container(pod, each, observed, memory, place, init=False) for each in containers(pod)]
    phase = _phase(pod, inits, regular)
    reason, message = "", ""
    if memory.ended:
        phase, (reason, message) = "Failed", memory.ended
    if old.get("phase") in _OVER:
        phase = old["phase"]
    elif phase in _OVER and any("running" in each["state"] for each in (*inits, *regular)):
        phase = "Running"  # not over while a sidecar is still to be stopped
    new: dict[str, Any] = {
        "phase": phase,
        "conditions": _conditions(pod, old, phase, observed, inits, regular, now),
        "startTime": old.get("startTime") or stamp(now),
        "qosClass": old.get("qosClass") or qos_class(pod),
        "containerStatuses": sorted(regular, key=lambda each: str(each["name"])),
    }
    if inits:
        new["initContainerStatuses"] = inits
    if reason or old.get("reason"):
        new |= {"reason": reason or old.get("reason"), "message": message or old.get("message") or ""}
    if place.host_ips:
        new |= {"hostIP": place.host_ips[0], "hostIPs": [{"ip": ip} for ip in place.host_ips]}
    ips = place.pod_ips or tuple(each["ip"] for each in old.get("podIPs") or ())
    if ips:
        new |= {"podIP": ips[0], "podIPs": [{"ip": ip} for ip in ips]}
    return new


def _container(
    pod: Resource, container: Spec, observed: Observed, memory: Memory, place: Place, *, init: bool
) -> dict[str, Any]:
    name = container["name"]
    seen = observed.latest(name)
    waiting = memory.waiting.get(name)
    state: dict[str, Any]
    last: dict[str, Any] = {}
    before = _before(observed, seen) if seen is not None else None
    if seen is None:
        state = {"waiting": _waiting(waiting or _default_wait(pod, observed, init=init))}
    elif seen.state == "running":
        state = {"running": {"startedAt": stamp(moment(seen.started_at or seen.created_at))}}
        last = _ended(before, place)
    elif seen.state == "exited" and waiting is None:
        state = {"terminated": _terminated(seen, place)}
        last = _ended(before, place)
    else:
        state = {"waiting": _waiting(waiting or ("ContainerCreating", ""))}
        last = _ended(seen if seen.state == "exited" else before, place)
    if not last and seen is not None:
        last = _remembered(pod, name, seen.attempt)
    found: dict[str, Any] = {
        "name": name,
        "image": container.get("image") or "",
        "imageID": seen.image_id if seen else "",
        "ready": _ready(container, seen, memory, init=init),
        "restartCount": seen.attempt if seen else 0,
        "started": seen is not None and seen.state == "running" and _health_started(seen, memory),
        "state": state,
        "lastState": last,
    }
    if seen is not None and seen.id:
        found["containerID"] = f"{place.runtime}://{seen.id}"
    return found


def _remembered(pod: Resource, name: str, attempt: int) -> dict[str, Any]:
    """Return the end of the run before, as the status has it: the runtime may have lost its record."""
    status = pod.get("status") or {}
    for entry in (*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())):
        if entry["name"] != name:
            continue
        if entry.get("restartCount") == attempt:
            return dict(entry.get("lastState") or {})
        if entry.get("restartCount") == attempt - 1 and "terminated" in (entry.get("state") or {}):
            return {"terminated": entry["state"]["terminated"]}
    return {}


def _before(observed: Observed, seen: ContainerSeen) -> ContainerSeen | None:
    """Return the newest ended container of the same name that is older."""
    older = [
        each
        for each in observed.containers
        if each.name == seen.name and each.attempt < seen.attempt and each.state == "exited"
    ]
    return max(older, key=lambda each: each.attempt, default=None)


def _default_wait(pod: Resource, observed: Observed, *, init: bool) -> tuple[str, str]:
    """Return why a container that was never made does not run: the init containers come first."""
    if observed.sandbox is None or not init_containers(pod):
        return ("PodInitializing" if init_containers(pod) else "ContainerCreating", "")
    done = all(_init_done(each, observed.latest(each["name"])) for each in init_containers(pod))
    return ("ContainerCreating" if done and not init else "PodInitializing", "")


def _init_done(container: Spec, seen: ContainerSeen | None) -> bool:
    if seen is None:
        return False
    if is_sidecar(container):
        return seen.state == "running"
    return seen.state == "exited" and seen.exit_code == 0


def _waiting(why: tuple[str, str]) -> dict[str, str]:
    reason, message = why
    return {"reason": reason, "message": message} if message else {"reason": reason}


def _ended(seen: ContainerSeen | None, place: Place) -> dict[str, Any]:
    return {"terminated": _terminated(seen, place)} if seen is not None else {}


def _terminated(seen: ContainerSeen, place: Place) -> dict[str, Any]:
    found: dict[str, Any] = {
        "exitCode": seen.exit_code,
        "reason": seen.reason or ("Error" if seen.exit_code else "Completed"),
        "startedAt": stamp(moment(seen.started_at)) if seen.started_at else None,
        "finishedAt": stamp(moment(seen.finished_at)) if seen.finished_at else None,
        "message": seen.message or None,
        "containerID": f"{place.runtime}://{seen.id}" if seen.id else None,
    }
    return {key: value for key, value in found.items() if value is not None}


def _health_started(seen: ContainerSeen, memory: Memory) -> bool:
    health = memory.health.get(seen.id)
    return health is not None and health.started


def _ready(container: Spec, seen: ContainerSeen | None, memory: Memory, *, init: bool) -> bool:
    if seen is None:
        return False
    if init and not is_sidecar(container):
        return seen.state == "exited" and seen.exit_code == 0
    health = memory.health.get(seen.id)
    return seen.state == "running" and health is not None and health.ready


Standing = Literal["waiting", "running", "ok", "failed", "crashed"]


def _standing(entry: Mapping[str, Any]) -> Standing:
    """Sum a container's state up; `crashed` is one that waits and has run before."""
    state, last = entry["state"], entry["lastState"]
    if "running" in state:
        return "running"
    if "terminated" in state:
        return "failed" if state["terminated"]["exitCode"] else "ok"
    return "crashed" if "terminated" in last else "waiting"


def _phase(pod: Resource, inits: Sequence[Mapping[str, Any]], regular: Sequence[Mapping[str, Any]]) -> str:
    policy = pod["spec"].get("restartPolicy") or "Always"
    begun = any(_standing(each) != "waiting" for each in regular)
    for spec, entry in zip(init_containers(pod), inits, strict=True):
        standing = _standing(entry)
        if is_sidecar(spec):
            if not begun and standing != "running":
                return "Pending"
        elif standing == "failed" and policy == "Never":
            return "Failed"
        elif standing != "ok" and not begun:
            return "Pending"
    standings = [_standing(each) for each in regular]
    if "waiting" in standings:
        return "Pending"
    if "running" in standings or policy == "Always":
        return "Running"
    last = [_last_exit(each) for each in regular]
    if not any(last):
        return "Succeeded"
    return "Failed" if policy == "Never" else "Running"


def _last_exit(entry: Mapping[str, Any]) -> int:
    ended = entry["state"].get("terminated") or entry["lastState"].get("terminated") or {}
    return int(ended.get("exitCode") or 0)


def _conditions(
    pod: Resource,
    old: Mapping[str, Any],
    phase: str,
    observed: Observed,
    inits: Sequence[Mapping[str, Any]],
    regular: Sequence[Mapping[str, Any]],
    now: datetime,
) -> list[dict[str, Any]]:
    before = {each["type"]: each for each in old.get("conditions") or ()}
    sandbox = observed.sandbox
    conditions = [_condition("PodReadyToStartContainers", sandbox is not None and sandbox.ready)]
    conditions.append(_initialized(pod, phase, inits, regular))
    contents = _containers_ready(phase, [*_sidecars(pod, inits), *regular])
    gates = [gate["conditionType"] for gate in pod["spec"].get("readinessGates") or ()]
    closed = [gate for gate in gates if before.get(gate, {}).get("status") != "True"]
    ready = {**contents, "type": "Ready"}
    if contents["status"] == "True" and closed:
        said = [
            f'corresponding condition of pod readiness gate "{gate}" '
            + ("does not exist." if gate not in before else "is not True.")
            for gate in closed
        ]
        ready |= {"status": "False", "reason": "ReadinessGatesNotReady", "message": ", ".join(said)}
    conditions += [ready, contents]
    if "PodScheduled" not in before:
        conditions.append(_condition("PodScheduled", True))
    for condition in conditions:
        known = before.get(condition["type"])
        same = (
            known is not None and known["status"] == condition["status"] and known.get("lastTransitionTime")
        )
        condition["lastProbeTime"] = None
        condition["lastTransitionTime"] = known["lastTransitionTime"] if known and same else stamp(now)
        if known and known.get("observedGeneration") is not None:
            condition["observedGeneration"] = known["observedGeneration"]
    return [*conditions, *(dict(each) for each in before.values() if each["type"] not in OWNED)]


def _sidecars(pod: Resource, inits: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    names = {each["name"] for each in init_containers(pod) if is_sidecar(each)}
    return [entry for entry in inits if entry["name"] in names]


def _condition(kind: str, holds: bool, reason: str = "", message: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {"type": kind, "status": "True" if holds else "False"}
    if reason:
        found["reason"] = reason
    if message:
        found["message"] = message
    return found


def _initialized(
    pod: Resource,
    phase: str,
    inits: Sequence[Mapping[str, Any]],
    regular: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    if phase == "Succeeded":
        return _condition("Initialized", True, "PodCompleted")
    begun = any(_standing(each) != "waiting" for each in regular)
    open_ones = []
    for spec, entry in zip(init_containers(pod), inits, strict=True):
        done = (entry["started"] or begun) if is_sidecar(spec) else _standing(entry) == "ok" or begun
        if not done:
            open_ones.append(entry["name"])
    if not open_ones:
        return _condition("Initialized", True)
    text = f"containers with incomplete status: [{' '.join(open_ones)}]"
    return _condition("Initialized", False, "ContainersNotInitialized", text)


def _containers_ready(phase: str, entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    if phase == "Succeeded":
        return _condition("ContainersReady", False, "PodCompleted")
    if phase == "Failed":
        return _condition("ContainersReady", False, "PodFailed")
    unready = [entry["name"] for entry in entries if not entry["ready"]]
    if not unready:
        return _condition("ContainersReady", True)
    text = f"containers with unready status: [{' '.join(unready)}]"
    return _condition("ContainersReady", False, "ContainersNotReady", text)
