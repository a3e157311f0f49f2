"""The kernel, the engine and some rules, ready for deeds: what was detected in a Room after something was done in it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence

from stage import Room

from fairlead.drivers import kernel, procfs
from fairlead.sense.events import Container, Event, Mount
from fairlead.sense.fieldcode import Account, Around
from fairlead.sense.findings import message_of
from fairlead.sense.judging import Engine
from fairlead.sense.processes import Processes
from fairlead.sense.rules import Detection, Rule

HOSTS = {"kubernetes.default.svc.cluster.local": "127.0.0.77"}
"""Names that rules know hosts by, and what they stand for on this stage."""
USERS = {0: "root", 1: "daemon", 1000: "ann"}


class Watch:
    """A sensor that judges by rules. `around` must be the one that the rules were read for."""

    def __init__(self, rules: Sequence[Rule], around: Around, containers: dict[int, Container]) -> None:
        self.containers = containers
        self.engine = Engine(rules, around)
        self.sensor = kernel.open(self.engine.plan)
        self.engine.place(self.sensor.slots)
        found = kernel.hierarchy()
        cgroups = procfs.Cgroups((found.controller, found.mount))
        around.processes.adopt(procfs.processes(cgroups, epoch=around.processes.epoch))
        self.detections: list[Detection] = []
        self.said: list[str] = []
        """The words of each detection, made at once: its process is another after the next exec."""

    def settle(self) -> None:
        """Read and judge until nothing more comes."""
        quiet = 0
        while quiet < 2:
            batches = self.sensor.read()
            seen = 0
            for one in self.engine.feed(batches):
                seen += 1
                self.detections += one.detections
                self.said += map(message_of, one.detections)
            quiet = 0 if seen else quiet + 1
            time.sleep(0.01)

    def here(self, room: Room) -> Container:
        """Say that a room is a container, and return it to be described further."""
        return self.containers.setdefault(
            room.cgroup_id, Container(id=room.id, name="room", runtime="containerd")
        )

    def seen(self, room: Room) -> Iterator[Detection]:
        """Settle, and yield what was detected in the room's cgroup and of processes from its files."""
        self.settle()
        for one in self.detections:
            if belongs(one.event, room):
                yield one

    def close(self) -> None:
        """Let go of the kernel."""
        self.sensor.close()


def belongs(event: Event, room: Room) -> bool:
    """Say whether an event happened in a room, or was done by a program from its files."""
    return event.cgroup == room.cgroup_id or event.process.exe.startswith(f"{room.path}/")


def around() -> tuple[Around, dict[int, Container]]:
    """Return what rules may ask about a stage, and the containers on it by their cgroups."""
    containers: dict[int, Container] = {}
    processes = Processes(containers, epoch=procfs.booted())
    hosts = {socket.inet_aton(address): (name,) for name, address in HOSTS.items()}
    users = _Users()
    return Around(processes=processes, hosts=hosts, users=users, hostname="stage"), containers


class _Users(dict[tuple[str, int], Account]):
    """Every container has the same users."""

    def get(self, key: tuple[str, int], default: Account | None = None) -> Account | None:  # type: ignore[override]
        name = USERS.get(key[1])
        return Account(name, "/", "/bin/sh") if name is not None else default


def describe(container: Container, words: dict[str, object]) -> None:
    """Make a container what a deed needs it to be."""
    for name, value in words.items():
        if name == "pod" and isinstance(value, dict):
            container.pod, container.pod_namespace, container.pod_uid = (
                value["name"],
                value["namespace"],
                value["uid"],
            )
        elif name == "mounts" and isinstance(value, list):
            container.mounts = tuple(Mount(*one) for one in value)
        elif name == "image":
            container.image = str(value)
            container.repository, _, container.tag = str(value).rpartition(":")
        else:
            setattr(container, name, value)
