"""What a node would make of a pod, as far as the objects tell: its status to come, what stands in its way, and what nobody can know.

Used on a copy in place of a real node. Whether a process really starts, answers or stays up is never claimed: it is named as
unproven. A container that is the same as one in trouble is expected to be in the same trouble again.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fairlead.diagnose.analyzers.configs import keys_of
from fairlead.diagnose.analyzers.images import PULL_REASONS, on_node, parse
from fairlead.diagnose.analyzers.probes import declared, probes
from fairlead.diagnose.inventories import Inventory, Member, ready
from fairlead.diagnose.references import Container, Edge, containers, pod_edges
from fairlead.tongues.paths import mapping, mappings, text
from fairlead.words import Ref, Resource

_RETRIED = PULL_REASONS | {"CreateContainerConfigError", "ContainerCreating", "PodInitializing", ""}
_ADDRESS = "192.0.2.1"
"""An address for documentation (RFC 5737): a copy has no network."""


@dataclass(slots=True)
class Forecast:
    """The status that the node would report, and what cannot be foreseen.

    `blockers` keep the pod from being ready and were not there before; `remaining` is trouble that was there before.
    """

    status: Resource
    blockers: list[str] = field(default_factory=list)
    remaining: list[str] = field(default_factory=list)
    unproven: list[str] = field(default_factory=list)


class Oracle:
    """Foresees pods on a copy from how things stood before.

    `before` is that inventory, `cured` the pods that suffer from what the fix is for.
    """

    def __init__(self, before: Inventory, cured: Collection[Ref]) -> None:
        self._before = before
        self._cured = frozenset(cured)
        self._pods = {member.ref: member for member in before.members}
        self._lacked = {
            said
            for member in before.members
            for edge in pod_edges(member.ref, mapping(member.pod, "spec"), ("spec",))
            if not edge.optional and (said := _lacking(before, edge))
        }
        self._failing_images = {
            text(container.content, "image")
            for member in before.members
            for container, status in member.statuses()
            if text(status, "state", "waiting", "reason") in PULL_REASONS
        }

    def foresee(self, now: Inventory, member: Member, stamp: str) -> Forecast | None:
        """Return the pod's forecast, or None where its status stays as it is. `stamp` is the copy's RFC 3339 time."""
        old = self._pods.get(member.ref)
        known = old is not None and text(old.pod, "metadata", "uid") == member.ref.uid
        phase = text(member.pod, "status", "phase")
        if not member.node or phase in {"Succeeded", "Failed"}:
            return None
        if ready(member.pod) and not (known and member.ref in self._cured):
            return None  # what runs between two crashes, and is cured, begins anew
        if known and member.ref not in self._cured and not _retried(member):
            return None
        forecast = Forecast({})
        statuses = [
            self._container(now, member, container, forecast, stamp, known=known)
            for container in containers(mapping(member.pod, "spec"), ("spec",))
        ]
        forecast.status = _status(member, statuses, forecast, stamp)
        return forecast

    def _container(
        self,
        now: Inventory,
        member: Member,
        container: Container,
        forecast: Forecast,
        stamp: str,
        *,
        known: bool,
    ) -> dict[str, Any]:
        reason, message = self._blocked(now, member, container, forecast)
        image = text(container.content, "image")
        entry: dict[str, Any] = {"name": container.name, "image": image, "imageID": "", "restartCount": 0}
        if reason:
            old = message in self._lacked or image in self._failing_images
            (forecast.remaining if old else forecast.blockers).append(
                f"container {container.name}: {message or reason}"
            )
            return {
                **entry,
                "ready": False,
                "started": False,
                "state": {"waiting": {"reason": reason, "message": message}},
            }
        troubled = None if known else self._same_trouble(member, container)
        if troubled is not None:
            forecast.remaining.append(f"container {container.name}: other trouble, as before")
            return {**copy.deepcopy(troubled), "name": container.name}
        if container.role == "init":
            forecast.unproven.append(f"that init container {container.name} ends well")
            ended = {"exitCode": 0, "reason": "Completed", "startedAt": stamp, "finishedAt": stamp}
            return {**entry, "ready": True, "started": False, "state": {"terminated": ended}}
        again = " again" if known else ""
        asked = [f"{sort} probe ({probe})" for sort, probe in probes(container).items()]
        if asked:
            forecast.unproven.append(
                f"that container {container.name} starts{again} and answers its {' and '.join(asked)}"
            )
        else:
            forecast.unproven.append(f"that container {container.name} starts{again} and stays up")
        return {**entry, "ready": True, "started": True, "state": {"running": {"startedAt": stamp}}}

    def _blocked(
        self, now: Inventory, member: Member, container: Container, forecast: Forecast
    ) -> tuple[str, str]:
        """Return kubelet's reason and message for a container that cannot be started, ("", "") if it can."""
        for edge in pod_edges(member.ref, mapping(member.pod, "spec"), ("spec",)):
            if edge.optional or (edge.container and edge.container != container.name):
                continue
            said = _lacking(now, edge)
            if said:
                return ("CreateContainerConfigError" if edge.container else "ContainerCreating"), said
        image = text(container.content, "image")
        held = parse(image).full in on_node(now, member.node)
        if not held and image in self._failing_images:
            return "ImagePullBackOff", f'Back-off pulling image "{image}"'
        if not held and container.content.get("imagePullPolicy") == "Never":
            return "ErrImageNeverPull", f'Container image "{image}" is not present with pull policy of Never'
        if not held or container.content.get("imagePullPolicy") == "Always":
            forecast.unproven.append(f"that image {image} can be pulled")
        for probe in probes(container).values():
            if (
                isinstance(probe.port, str)
                and probe.handler != "grpc"
                and probe.port not in declared(container)
            ):
                return "", ""  # kubelet starts it; the diagnosis tells of the probe
        return "", ""

    def _same_trouble(self, member: Member, container: Container) -> Mapping[str, Any] | None:
        """Return the status of an unchanged container of the same workload that was in trouble which is not being cured."""
        for old in self._before.crew(member.top.ref):
            if old.ref in self._cured:
                continue
            for one, status in old.statuses():
                if one.name != container.name or _plain(one) != _plain(container):
                    continue
                reason = text(status, "state", "waiting", "reason")
                if reason and reason not in _RETRIED:
                    return status
                if (
                    "running" in mapping(status, "state")
                    and status.get("ready") is not True
                    and not ready(old.pod)
                ):
                    return status
        return None


def _plain(container: Container) -> dict[str, Any]:
    """Return what its author wrote of a container: without the service account's volume."""
    content = dict(container.content)
    content["volumeMounts"] = [
        mount
        for _, mount in mappings(content, "volumeMounts")
        if not text(mount, "name").startswith("kube-api-access-")
    ]
    return content


def _retried(member: Member) -> bool:
    """Say whether the node tries again by itself what this pod waits for."""
    return all(
        text(status, "state", "waiting", "reason") in _RETRIED
        for _, status in member.statuses()
        if not ({"running", "terminated"} & mapping(status, "state").keys())
    ) and any("waiting" in mapping(status, "state") or not status for _, status in member.statuses())


def _lacking(now: Inventory, edge: Edge) -> str:
    """Return kubelet's words for a reference that leads nowhere, "" if it leads somewhere or may."""
    if edge.relation not in {"config", "secret", "claim"}:
        return ""
    target = now.get(edge.target)
    noun = {"config": "configmap", "secret": "secret", "claim": "persistentvolumeclaim"}[edge.relation]
    if target is None:
        return f'{noun} "{edge.target.name}" not found' if now.missing(edge.target) else ""
    if edge.relation == "claim":
        bound = text(target, "status", "phase") == "Bound"
        return "" if bound else f'persistentvolumeclaim "{edge.target.name}" is not bound'
    if edge.key and edge.key not in keys_of(target):
        return (
            f"couldn't find key {edge.key} in {edge.target.kind} {edge.target.namespace}/{edge.target.name}"
        )
    return ""


def _status(member: Member, statuses: list[dict[str, Any]], forecast: Forecast, stamp: str) -> Resource:
    well = not forecast.blockers and not forecast.remaining and all(one.get("ready") for one in statuses)
    truth = "True" if well else "False"
    conditions = [
        {"type": kind, "status": status, "lastTransitionTime": stamp}
        for kind, status in (
            ("PodReadyToStartContainers", "True"),
            ("Initialized", truth),
            ("Ready", truth),
            ("ContainersReady", truth),
            ("PodScheduled", "True"),
        )
    ]
    inits = {text(one, "name") for _, one in mappings(member.pod, "spec", "initContainers")}
    status: Resource = {
        **mapping(member.pod, "status"),
        "phase": "Running" if well else "Pending",
        "conditions": conditions,
        "startTime": mapping(member.pod, "status").get("startTime") or stamp,
        "containerStatuses": [one for one in statuses if one["name"] not in inits],
    }
    if inits:
        status["initContainerStatuses"] = [one for one in statuses if one["name"] in inits]
    if well:
        status |= {"podIP": _ADDRESS, "podIPs": [{"ip": _ADDRESS}]}
    return status


def expected(statuses: Collection[Forecast]) -> Iterator[str]:
    """Yield each unproven expectation once, in order."""
    yield from dict.fromkeys(said for one in statuses for said in one.unproven)
