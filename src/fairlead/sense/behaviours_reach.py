"""Behaviours that show in what a process reaches out to: sockets that become its terminal, the cluster's API, the host's disks.

A table; nothing is remembered beyond what the process and its container say of themselves.
"""

from __future__ import annotations

from typing import Any

from fairlead.sense import behaviours_acts as acts
from fairlead.sense.behaviours_models import Behaviour
from fairlead.sense.events import AF_INET, AF_INET6, AF_UNIX, Event
from fairlead.sense.plans import Hook, Op, Test, What

_STDIO = 2
_HOST = "KUBERNETES_SERVICE_HOST="
_OVER_IP = Test(What.FAMILY, Op.INSET, (AF_INET, AF_INET6))
_EPERM = -1
_TEXT_VALUES = (1, 3)
"""Commands of fsconfig whose value is a text: FSCONFIG_SET_STRING and FSCONFIG_SET_PATH."""


def _watch_stdio(owner: str) -> tuple[Hook, ...]:
    return (
        *acts.connecting(owner, Test(What.ARG, Op.LEU, (_STDIO,), index=0, mask=0xFFFFFFFF), _OVER_IP),
        *acts.duplicating(owner, Test(What.RET, Op.LE, (_STDIO,))),
    )


def _stdio(event: Event) -> dict[str, Any] | None:
    made = acts.duplicated(event)
    if made is not None:
        fd, address, port = made
    else:
        reached = acts.connected(event)
        if reached is None or not reached.address:
            return None
        fd, address, port = reached.fd, reached.address, reached.port
    if fd > _STDIO or not port:
        return None
    return {"IP address": address, "Port": port, "File descriptor": fd}


def _watch_docker(owner: str) -> tuple[Hook, ...]:
    return (
        *acts.opening(owner, acts.IN_CONTAINER, acts.FOR_WRITING, paths=acts.ends("docker.sock")),
        *acts.connecting(
            owner,
            acts.IN_CONTAINER,
            Test(What.FAMILY, Op.EQ, (AF_UNIX,)),
            Test(What.TEXT, Op.SUFFIX, (b"docker.sock",)),
            tried=True,
        ),
    )


def _docker(event: Event) -> dict[str, Any] | None:
    if not acts.started(event):
        return None
    reached, opened = acts.connected(event, tried=True), acts.opened(event)
    path = reached.path if reached else opened.path if opened and opened.writes else ""
    return {"path": path} if path.endswith("docker.sock") else None


def _watch_api(owner: str) -> tuple[Hook, ...]:
    return acts.connecting(owner, acts.IN_CONTAINER, _OVER_IP, tried=True)


def _api(event: Event) -> dict[str, Any] | None:
    reached = acts.connected(event, tried=True)
    if reached is None or not reached.address or not acts.started(event):
        return None
    process = event.process
    told = [process.env]
    if process.container is not None:
        told += [list(process.container.env)]
        told += [one.env for one in process.ancestors() if one.container is process.container]
    for env in told:
        for pair in env:
            if pair.startswith(_HOST):
                return {"ip": reached.address} if pair[len(_HOST) :].strip() == reached.address else None
    return None


def _watch_mounts(owner: str) -> tuple[Hook, ...]:
    needs = (acts.IN_CONTAINER, Test(What.RET, Op.NE, (_EPERM,)))
    device = Test(What.TEXT, Op.PREFIX, (b"/dev/",), index=0)
    newer = (
        Test(What.ARG, Op.INSET, _TEXT_VALUES, index=1),
        Test(What.TEXT, Op.TEXT_IN, (b"source",), index=1),
        Test(What.TEXT, Op.PREFIX, (b"/dev/",), index=2),
    )
    return (
        *acts.hooks_of(("mount",), owner, [(*needs, device)]),
        *acts.hooks_of(("fsconfig",), owner, [(*needs, *newer)]),
    )


def _mounted(event: Event) -> dict[str, Any] | None:
    """Mounted the old way, or set up to be mounted the new way, in which the device is told beforehand."""
    if event.kind not in {"mount", "fsconfig"} or event.ret == _EPERM or not acts.started(event):
        return None
    if event.kind == "fsconfig":
        _, key, device, _ = event.texts
        told = event.args[1] in _TEXT_VALUES and key == "source" and device.startswith("/dev/")
        return {"device": device} if told else None
    device, target, base, _ = event.texts
    return {"device": device, "path": acts.resolved(target, base)} if device.startswith("/dev/") else None


REACH: tuple[Behaviour, ...] = (
    Behaviour(
        event="stdio_over_socket",
        id="TRC-101",
        version="2",
        title="Process standard input/output over socket detected",
        description="A process' input or output became a network connection, as in a shell that obeys somebody far away.",
        severity=3,
        category="execution",
        technique="Unix Shell",
        technique_id="T1059.004",
        watch=_watch_stdio,
        judge=_stdio,
    ),
    Behaviour(
        event="docker_abuse",
        id="TRC-1019",
        title="Docker socket abuse detected",
        description="A container reached the socket over which Docker takes orders, as whoever asks.",
        severity=2,
        category="privilege-escalation",
        technique="Exploitation for Privilege Escalation",
        technique_id="T1068",
        watch=_watch_docker,
        judge=_docker,
    ),
    Behaviour(
        event="k8s_api_connection",
        aliases=("kubernetes_api_connection",),
        id="TRC-1013",
        title="Kubernetes API server connection detected",
        description="A container connected to the API of its cluster.",
        severity=1,
        category="discovery",
        technique="Cloud Service Discovery",
        technique_id="T1526",
        watch=_watch_api,
        judge=_api,
    ),
    Behaviour(
        event="disk_mount",
        id="TRC-1014",
        title="Container device mount detected",
        description="A container mounted a device of the host.",
        severity=3,
        category="privilege-escalation",
        technique="Escape to Host",
        technique_id="T1611",
        watch=_watch_mounts,
        judge=_mounted,
    ),
)
