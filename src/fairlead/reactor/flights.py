"""The flight recorder, read when a container dies: its last failed calls become a FlightRecord beside its pod.

A container dies when its first process exits, or when its cgroup is removed. What the kernel kept of it is read once, told to whoever
listens, and written through the Kubernetes API where a pod is known; the record belongs to the pod and goes with it. Bounded: the last deaths of each container, a
few writes at a time, and what cannot be written soon is dropped and counted. Must never hold up the reader of events.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import logging
import os
import signal
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from fairlead.drivers.cluster import AsyncCluster, Unreachable
from fairlead.keep.errors import Refusal
from fairlead.reactor.identities import Identities
from fairlead.reactor.sensing_kinds import API_VERSION
from fairlead.sense import records
from fairlead.sense.events import Container, Event, address, printable, text_of
from fairlead.sense.syscalls import NAMES
from fairlead.words import Resource

log = logging.getLogger("fairlead.flights")

DEATHS: Final = 3
"""Deaths that are kept of each container."""
SETTLE: Final = 0.05
"""Seconds after an exit until what the kernel notes of it is there."""
PATIENCE: Final = 3.0
"""Seconds that are waited for a runtime to tell whose a container was."""
MOST_AT_ONCE: Final = 64
"""Deaths that may be waiting to be told."""
_REMEMBERED: Final = 4096
_MANAGED: Final = {"app.kubernetes.io/managed-by": "fairlead"}
_FATAL: Final = frozenset({"SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE", "SIGSYS", "SIGTRAP", "SIGXCPU", "SIGXFSZ"})  # fmt: skip


@dataclass(slots=True)
class Died:
    """A container that died: what is recorded of it, in the words of a FlightRecord's `deaths`."""

    container: Container
    death: dict[str, Any]


@dataclass(slots=True)
class _Ended:
    cgroup: int
    at: int
    status: int = 0
    pid: int = 0
    command: str = ""


# --- what the kernel kept, in words


def calls(raw: Sequence[bytes], *, machine: str, epoch: int) -> list[dict[str, Any]]:
    """Return the entries of a recorder's ring in words, as a FlightRecord has them, the oldest first. What is damaged is left out."""
    names = NAMES.get(machine, {})
    found: list[tuple[int, dict[str, Any]]] = []
    for one in raw:
        if len(one) < records.FLIGHT_SIZE:
            continue
        time, _, tgid, _, kind, length, error, count, uid, last, comm, family, port, addr, text = (
            records.FLIGHT_STRUCT.unpack_from(one)
        )
        entry: dict[str, Any] = {
            "call": names.get(kind) or _OTHERS.get(kind, f"syscall_{kind}"),
            "count": max(1, count),
            "pid": tgid,
            "uid": uid,
            "command": printable(text_of(comm.partition(b"\0")[0])),
            "time": stamp(epoch + time),
            "lastTime": stamp(epoch + max(last, time)),
        }
        if kind == records.Kind.EXIT:
            _, name = ending(error)
            entry |= {"error": name or f"exit code {error >> 8 & 0xFF}", "message": _signal_words(name)}
        elif kind in {records.Kind.OOM, records.Kind.SIGNAL}:
            name = signal_name(error)
            entry |= {"error": name, "message": _signal_words(name)}
        else:
            entry |= {"error": errno.errorcode.get(error, str(error)), "message": os.strerror(error)}
        path = printable(text_of(text[: min(length, len(text))]))
        if path:
            entry["path"] = path
        host = address(family, addr)
        if host:
            entry["peer"] = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        found.append((last or time, {key: value for key, value in entry.items() if value != ""}))
    return [entry for _, entry in sorted(found, key=lambda one: one[0])]


_OTHERS: Final = {records.Kind.OOM: "oom", records.Kind.SIGNAL: "signal", records.Kind.EXIT: "exit"}


def _take_last_exit(ended: _Ended, raw: Sequence[bytes], epoch: int) -> None:
    """Complete an end by the last exit that the recorder holds."""
    exits = [records.FLIGHT_STRUCT.unpack_from(one) for one in raw if len(one) >= records.FLIGHT_SIZE]
    exits = [one for one in exits if one[4] == records.Kind.EXIT]
    if exits:
        last = max(exits, key=lambda one: int(one[9]))
        ended.at, ended.status, ended.pid = epoch + max(last[9], last[0]), last[6], last[2]
        ended.command = text_of(last[10].partition(b"\0")[0])


def ending(status: int) -> tuple[int, str]:
    """Return the exit code as a shell counts it, and the name of the signal that ended it or "", of a raw exit status."""
    number = status & 0x7F
    return (128 + number, signal_name(number)) if number else (status >> 8 & 0xFF, "")


def signal_name(number: int) -> str:
    """Return a signal's name, "" for 0."""
    try:
        return signal.Signals(number).name if number else ""
    except ValueError:
        return f"signal {number}"


def _signal_words(name: str) -> str:
    number = getattr(signal, name, None) if name.startswith("SIG") else None
    return (signal.strsignal(number) or "") if number else ""


def stamp(at: int) -> str:
    """Return a time (ns since the epoch) as RFC 3339 with microseconds."""
    return datetime.fromtimestamp(at / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def death(
    container: Container, entries: Sequence[dict[str, Any]], *, at: int, status: int, pid: int, command: str
) -> dict[str, Any]:
    """Return one death as a FlightRecord has it. `status` is the raw one of the first process' exit."""
    code, name = ending(status)
    killed = next((one for one in reversed(entries) if one["call"] == "oom"), None)
    found: dict[str, Any] = {
        "time": stamp(at),
        "containerID": container.id,
        "exitCode": code,
        "pid": pid,
        "command": printable(command),
    }
    if name:
        found["signal"] = name
    if killed is not None:
        found["outOfMemory"] = f"the kernel killed {killed['command']} (process {killed['pid']}) for memory"
    found["calls"] = [
        one
        for one in entries
        if one["call"] not in {"oom", "exit"}
        or (one["call"] == "exit" and one["pid"] != pid and one["error"] in _FATAL)
    ]
    return found


# --- noticing deaths


class Flights:
    """Notices deaths among events and tells each once. `read` gives what the kernel holds of a cgroup, `forget` lets it go.

    `told` is awaited for each container that ended badly, or that had something killed for memory.
    """

    def __init__(
        self,
        identities: Identities,
        read: Callable[[int], Sequence[bytes]],
        forget: Callable[[int], None],
        told: Callable[[Died], Awaitable[None]],
        *,
        machine: str,
        epoch: int,
    ) -> None:
        self._identities = identities
        self._read, self._forget, self._told = read, forget, told
        self._machine, self._epoch = machine, epoch
        self._seen: OrderedDict[int, None] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self.skipped = 0
        """Deaths that came too fast to be told."""

    def exited(self, event: Event) -> None:
        """Take note of a process' exit."""
        if event.args[2] == 1:
            self._note(_Ended(event.cgroup, event.time, event.ret, event.pid, event.comm))

    def removed(self, cgroup: int, at: int) -> None:
        """Take note of a cgroup's removal at a time (ns since the epoch): all that ran in it is gone."""
        if cgroup not in self._seen:
            self._note(_Ended(cgroup, at))

    async def settle(self) -> None:
        """Wait until every death that was noted is told."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def close(self) -> None:
        """Let go of what was not told yet."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _note(self, ended: _Ended) -> None:
        container = self._identities.of(ended.cgroup)
        if container is None or ended.cgroup in self._seen:
            return
        self._seen[ended.cgroup] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        if len(self._tasks) >= MOST_AT_ONCE:
            self.skipped += 1
            return
        task = asyncio.get_running_loop().create_task(self._tell(ended, container))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a death cannot be told", exc_info=task.exception())

    async def _tell(self, ended: _Ended, container: Container) -> None:
        await asyncio.sleep(SETTLE)
        raw = self._read(ended.cgroup)
        self._forget(ended.cgroup)
        entries = calls(raw, machine=self._machine, epoch=self._epoch)
        if (
            not ended.pid
        ):  # its processes were in a pod's or the host's process namespace: the last to exit was its own
            _take_last_exit(ended, raw, self._epoch)
        for _ in range(int(PATIENCE / 0.1)):
            if container.name or container.sandbox or not self._identities.asking(container):
                break
            await asyncio.sleep(0.1)
        killed = any(one["call"] == "oom" for one in entries)
        if container.sandbox or not (ended.status or killed):
            return
        found = death(
            container, entries, at=ended.at, status=ended.status, pid=ended.pid, command=ended.command
        )
        await self._told(Died(container, found))


# --- the objects


def record_name(pod: str, container: str) -> str:
    """Return the name of a container's FlightRecord: pod and container, shortened with a digest where that is too long."""
    name = f"{pod}-{container}"
    if len(name) <= 253:
        return name
    return f"{name[:236]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def record(container: Container, pod: Resource, deaths: Sequence[dict[str, Any]], node: str) -> Resource:
    """Return the FlightRecord of a container of a pod, with these deaths, the last first."""
    meta = pod["metadata"]
    return {
        "apiVersion": API_VERSION,
        "kind": "FlightRecord",
        "metadata": {
            "name": record_name(meta["name"], container.name),
            "namespace": meta["namespace"],
            "labels": dict(_MANAGED),
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
            ],
        },
        "pod": meta["name"],
        "container": container.name,
        "node": node,
        "deaths": list(deaths)[:DEATHS],
    }


@dataclass(slots=True)
class Writer:
    """Writes deaths as FlightRecords, a few at a time. `written` and `failed` count."""

    cluster: AsyncCluster
    node: str
    written: int = 0
    failed: int = 0
    _gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(4))

    async def write(self, died: Died) -> None:
        """Write a death into its container's record. What the API refuses is told in the log and given up."""
        container = died.container
        if not container.pod or not container.name:
            return
        async with self._gate:
            try:
                for _ in range(4):
                    if await self._once(died):
                        return
            except Refusal as refusal:
                self.failed += 1
                if refusal.code != 404:
                    log.warning(
                        "the flight record of %s/%s: %s",
                        container.pod_namespace,
                        container.pod,
                        refusal.message,
                    )
            except Unreachable as error:
                self.failed += 1
                log.warning("the flight record of %s/%s: %s", container.pod_namespace, container.pod, error)

    async def _once(self, died: Died) -> bool:
        """Try to write; return whether that is done with."""
        container = died.container
        pod = await self.cluster.get("v1", "Pod", container.pod_namespace, container.pod)
        meta = pod["metadata"]
        mirrored = (meta.get("annotations") or {}).get("kubernetes.io/config.hash")
        if container.pod_uid not in {meta["uid"], mirrored, ""} or meta.get("deletionTimestamp"):
            return True  # another pod has its name by now, or it was ended on purpose
        fresh = record(container, pod, [died.death], self.node)
        name = fresh["metadata"]["name"]
        try:
            await self.cluster.create(fresh)
        except Refusal as refusal:
            if refusal.code != 409:
                raise
        else:
            self.written += 1
            return True
        try:
            before = await self.cluster.get(API_VERSION, "FlightRecord", container.pod_namespace, name)
        except Refusal as refusal:
            if refusal.code != 404:
                raise
            return False
        owners = {one.get("uid") for one in before["metadata"].get("ownerReferences") or ()}
        earlier = before.get("deaths") if meta["uid"] in owners else None
        fresh = record(container, pod, [died.death, *(earlier or [])], self.node)
        fresh["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"]
        try:
            await self.cluster.update(fresh)
        except Refusal as refusal:
            if refusal.code not in {404, 409}:
                raise
            return False
        self.written += 1
        return True
