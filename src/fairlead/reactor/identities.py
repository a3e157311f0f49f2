"""Which container a cgroup is: the cgroup's path gives its id, and a container runtime the rest, remembered either way.

The answer of `of` is there at once and never waits: what only a runtime knows is filled into the same Container when it has told. A
lookup begins when the cgroup is made, which is before anything runs in it, so that a container of ten milliseconds is named too. Bounded in
all it holds. Must never change a container, nor keep one alive.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, TypeVar

from fairlead.drivers import procfs
from fairlead.drivers.containers.inspecting import Runtime, Unanswered, probes
from fairlead.sense.events import Container, printable
from fairlead.sense.fieldcode import Account
from fairlead.tongues.paths import mapping, mappings, strings, text
from fairlead.words import Resource

log = logging.getLogger("fairlead.identities")
K = TypeVar("K")
V = TypeVar("V")

MOST: Final = 8192
"""Cgroups, and containers, that are remembered."""
DELAYS: Final = (0.0, 0.03, 0.1, 0.4, 2.0, 15.0)
"""Seconds before each try to find a container that no runtime knows of yet."""
WALK_EVERY: Final = 1.0
"""Seconds between two walks over all cgroups in search of unknown ids."""
NEGATIVE: Final = 5.0
"""Seconds that a cgroup without a container, found without its path, is believed to have none."""
_AT_ONCE: Final = 16
_SMALL_FILE: Final = 1 << 20


class Named(NamedTuple):
    """What a cgroup's path says: the container's id, what runs it ("" where the path leaves that open), its pod's uid or ""."""

    id: str
    runtime: str
    pod_uid: str


_HEX = re.compile(r"(?:^|[-_:])([0-9a-f]{64})(?:\.scope|\.service)?$")
_TASK = re.compile(r"^[0-9a-f]{32}-[0-9]{4,}$")  # Fargate's: the task's id and a number
_POD = re.compile(
    r"pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}|[0-9a-f]{32})(?:\.slice)?$"
)
_PREFIXES: Sequence[tuple[str, str]] = (
    ("cri-containerd", "containerd"), ("docker", "docker"), ("crio", "cri-o"), ("libpod", "podman"),
)  # fmt: skip
_LXC = re.compile(r"^lxc\.payload[./](.+)$")
_NSPAWN = re.compile(r"^(?:machine-(.+)\.scope|systemd-nspawn@(.+)\.service)$")
_HELPERS = ("crio-conmon-", "libpod-conmon-")


def parse(path: str) -> Named | None:
    """Return the innermost container that a cgroup's path names, None for one of the host's own (units, slices, sessions)."""
    found = None
    pod = ""
    before = ""
    for part in path.split("/"):
        match = _POD.search(part)
        if match:
            pod, found = _dashed(match[1]), None
        elif part.startswith(_HELPERS):
            return None  # the runtime's own helper stands beside the container
        elif (match := _HEX.search(part)) is not None:
            found = Named(match[1], _runtime(part, before), _pod_in(part) or pod)
        elif _TASK.match(part):
            found = Named(part, "containerd", pod)
        elif (match := _LXC.match(part)) or (before == "lxc" and part):
            found = Named(
                printable(match[1] if match else part), "lxc", ""
            )  # a cgroup may be called anything
        elif (match := _NSPAWN.match(part)) is not None:
            found = Named(printable(_unescaped(match[1] or match[2])), "nspawn", "")
        before = part
    return found


def _runtime(part: str, before: str) -> str:
    words = re.split(r"[-:.]", part, maxsplit=1)[0]
    for prefix, runtime in _PREFIXES:
        if part.startswith((f"{prefix}-", f"{prefix}:")) or f":{prefix}:" in part or before == prefix:
            return runtime
    return "fairlead" if words.startswith("fairlead") else ""


def _pod_in(part: str) -> str:
    """Return the pod's uid of a part that names slice, runtime and container at once: `kubepods-pod<uid>.slice:cri-containerd:<id>`."""
    match = _POD.search(part.partition(":")[0])
    return _dashed(match[1]) if match else ""


def _dashed(uid: str) -> str:
    return uid.replace("_", "-")


def _unescaped(name: str) -> str:
    """Return a name without systemd's escapes."""
    return re.sub(r"\\x([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), name)


class Cgroups(Protocol):
    """What this asks of the machine: see drivers/procfs.py."""

    def path_of(self, pid: int) -> tuple[int, str]:
        """Return the id and path of a process' cgroup, (0, "") when it is gone."""

    def walk(self) -> Mapping[int, str]:
        """Return the path of every cgroup there is, by its id."""


class Identities(Mapping[int, Container]):
    """See the module. `runtimes` are asked in their order, one that the path names first. As a Mapping: containers by cgroup id."""

    def __init__(
        self,
        runtimes: Sequence[Runtime],
        cgroups: Cgroups,
        *,
        clock: Callable[[], float] = time.monotonic,
        delays: Sequence[float] = DELAYS,
    ) -> None:
        self._runtimes = runtimes
        self._cgroups = cgroups
        self._clock = clock
        self._delays = delays
        self._by_cgroup: OrderedDict[int, Container | None] = OrderedDict()
        self._paths: OrderedDict[int, str] = OrderedDict()
        self._by_id: OrderedDict[str, Container] = OrderedDict()
        self._unknown: OrderedDict[int, float] = OrderedDict()
        self._pods: dict[str, Resource] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._fresh: set[asyncio.Task[None]] = set()
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._walked = -WALK_EVERY
        self.completed: Callable[[Container], None] = lambda _container: None
        """Told of each container whose runtime has answered."""

    def start(self) -> None:
        """Take note of every cgroup that is there, and ask about those that are containers."""
        self._walk()

    async def close(self) -> None:
        """End all lookups and connections."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(runtime.close() for runtime in self._runtimes), return_exceptions=True)

    # --- questions

    def __getitem__(self, cgroup: int) -> Container:
        found = self.of(cgroup)
        if found is None:
            raise KeyError(cgroup)
        return found

    def get(self, cgroup: int, default: Any = None) -> Any:
        """Return the container of a cgroup, or the default."""
        return self.of(cgroup) or default

    def __iter__(self) -> Iterator[int]:
        return iter([cgroup for cgroup, one in self._by_cgroup.items() if one is not None])

    def __len__(self) -> int:
        return sum(1 for one in self._by_cgroup.values() if one is not None)

    def of(self, cgroup: int, pid: int = 0) -> Container | None:
        """Return the container of a cgroup, None for none. `pid` is a process in it, if one is known: it may help to find the path."""
        try:
            return self._by_cgroup[cgroup]
        except KeyError:
            return self._find(cgroup, pid)

    def path(self, cgroup: int) -> str:
        """Return the path of a cgroup, as far as it is known."""
        return self._paths.get(cgroup, "")

    async def settle(self, seconds: float) -> None:
        """Wait until the first answer about every container that was met lately is there, so long at most."""
        waiting = {task for task in self._fresh if not task.done()}
        if waiting:
            await asyncio.wait(waiting, timeout=seconds)
        self._fresh = set()

    def asking(self, container: Container) -> bool:
        """Say whether a runtime may still tell more of a container."""
        return container.id in self._asking

    # --- news

    def made(self, cgroup: int, path: str) -> None:
        """Take note of a cgroup that was made."""
        self._unknown.pop(cgroup, None)
        self._learn(cgroup, path)

    def pod(self, resource: Resource, *, gone: bool = False) -> None:
        """Take note of a pod, or that it is gone: what only the API knows of its containers."""
        uid = text(resource, "metadata", "uid")
        if gone:
            self._pods.pop(uid, None)
            return
        self._pods[uid] = slim_pod(resource)
        for container in self._by_id.values():
            if container.pod_uid == uid:
                add_pod(container, self._pods[uid])

    # --- finding

    def _find(self, cgroup: int, pid: int) -> Container | None:
        now = self._clock()
        if pid:
            own, path = self._cgroups.path_of(pid)
            if own == cgroup:
                return self._learn(cgroup, path)
        if self._unknown.get(cgroup, -NEGATIVE) + NEGATIVE > now:
            return None
        if now - self._walked >= WALK_EVERY:
            self._walk()
            if cgroup in self._by_cgroup:
                return self._by_cgroup[cgroup]
        _put(self._unknown, cgroup, now)
        return None

    def _walk(self) -> None:
        self._walked = self._clock()
        for cgroup, path in self._cgroups.walk().items():
            if cgroup not in self._by_cgroup:
                self._learn(cgroup, path)

    def _learn(self, cgroup: int, path: str) -> Container | None:
        named = parse(path)
        container = self._container(named) if named is not None else None
        _put(self._by_cgroup, cgroup, container)
        _put(self._paths, cgroup, path)
        return container

    def _container(self, named: Named) -> Container:
        found = self._by_id.get(named.id)
        if found is None:
            found = Container(id=named.id, runtime=named.runtime, pod_uid=named.pod_uid)
            if named.runtime in {"lxc", "nspawn"}:
                found.name = named.id
            _put(self._by_id, named.id, found)
            if named.pod_uid in self._pods:
                add_pod(found, self._pods[named.pod_uid])
            self._ask(found, named.runtime)
        return found

    def _ask(self, container: Container, hint: str) -> None:
        if not self._runtimes or hint in {"lxc", "nspawn"}:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # a tool that looks at paths only
        first = loop.create_future()
        task = loop.create_task(self._look_up(container, hint, first))
        self._asking[container.id] = task
        task.add_done_callback(lambda _task: self._asking.pop(container.id, None))
        waiter = loop.create_task(_until(first, task))
        self._fresh.add(waiter)

    async def _look_up(self, container: Container, hint: str, first: asyncio.Future[None]) -> None:
        for delay in self._delays:
            await asyncio.sleep(delay)
            async with self._gate:
                found = await self._once(container.id, hint)
            if found is not None:
                _fill(container, found)
                if container.pod_uid in self._pods:
                    add_pod(container, self._pods[container.pod_uid])
                self.completed(container)
                return
            if not first.done():
                first.set_result(None)

    async def _once(self, container_id: str, hint: str) -> Container | None:
        for runtime in sorted(self._runtimes, key=lambda one: getattr(one, "name", "") != hint):
            with contextlib.suppress(Unanswered):
                found = await runtime.find(container_id)
                if found is not None:
                    return found
        return None


async def _until(first: asyncio.Future[None], task: asyncio.Task[None]) -> None:
    await asyncio.wait({first, task}, return_when=asyncio.FIRST_COMPLETED)


def _put(cache: OrderedDict[K, V], key: K, value: V) -> None:
    cache[key] = value
    cache.move_to_end(key)
    if len(cache) > MOST:
        cache.popitem(last=False)


_FIELDS = tuple(one.name for one in dataclasses.fields(Container) if one.name != "id")


def _fill(container: Container, found: Container) -> None:
    """Take over what a runtime told; what it left open stays as it was."""
    for name in _FIELDS:
        value = getattr(found, name)
        if value or (name == "privileged" and value is not None):
            setattr(container, name, value)


def slim_pod(resource: Resource) -> Resource:
    """Return what containers need of a pod."""
    meta, spec = mapping(resource, "metadata"), mapping(resource, "spec")
    containers = [
        {key: one[key] for key in ("name", "livenessProbe", "readinessProbe") if key in one}
        for _, one in mappings(spec, "containers")
    ]
    return {
        "metadata": {key: meta.get(key) for key in ("name", "namespace", "uid", "labels", "ownerReferences")},
        "spec": {key: spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")}
        | {"containers": containers},
        "status": {"podIP": text(resource, "status", "podIP")},
    }


def add_pod(container: Container, pod: Mapping[str, Any]) -> None:
    """Complete a container by what the API says of its pod."""
    container.pod = text(pod, "metadata", "name") or container.pod
    container.pod_namespace = text(pod, "metadata", "namespace") or container.pod_namespace
    container.pod_ip = text(pod, "status", "podIP") or container.pod_ip
    container.pod_labels = strings(pod, "metadata", "labels") or container.pod_labels
    container.workload, container.workload_kind = workload(pod)
    spec = mapping(pod, "spec")
    container.host_network = container.host_network or spec.get("hostNetwork") is True
    container.host_pid = container.host_pid or spec.get("hostPID") is True
    container.host_ipc = container.host_ipc or spec.get("hostIPC") is True
    if container.name:
        container.probes = probes(spec, container.name) or container.probes


_CRON = re.compile(r"^(.+)-\d{8,}$")


def workload(pod: Mapping[str, Any]) -> tuple[str, str]:
    """Return name and kind of what a pod belongs to: a Deployment behind its ReplicaSet, a CronJob behind its Job, else its controller."""
    owner = next(
        (one for _, one in mappings(pod, "metadata", "ownerReferences") if one.get("controller") is True),
        None,
    )
    if owner is None:
        return text(pod, "metadata", "name"), "Pod"
    name, kind = text(owner, "name"), text(owner, "kind")
    digest = strings(pod, "metadata", "labels").get("pod-template-hash", "")
    if kind == "ReplicaSet" and digest and name.endswith(f"-{digest}"):
        return name.removesuffix(f"-{digest}"), "Deployment"
    if kind == "Job" and (match := _CRON.match(name)):
        return match[1], "CronJob"
    return name, kind


class Accounts:
    """Users and groups: those of a container by its own files, those of the host by its. Remembered, and bounded.

    `users` and `groups` go by (id of the container, "" for the host; number), as sense.fields.Around wants them. `pids` gives processes
    of a container: one of them must be alive when its files are read first.
    """

    def __init__(
        self,
        pids: Callable[[str], Iterable[int]],
        *,
        clock: Callable[[], float] = time.monotonic,
        most: int = 256,
    ) -> None:
        self.users: Mapping[tuple[str, int], Account] = _Names(lambda key: self._table(key)[0])
        self.groups: Mapping[tuple[str, int], str] = _Names(lambda key: self._table(key)[1])
        self._pids = pids
        self._clock = clock
        self._most = most
        self._tables: OrderedDict[str, _Table] = OrderedDict()
        self._gone: dict[str, float] = {}

    def known(self, container: str) -> tuple[Mapping[int, Account], Mapping[int, str]]:
        """Return the users and groups of a container ("": the host), empty where its files cannot be seen."""
        return self._table(container)

    def _table(self, container: str) -> _Table:
        found = self._tables.get(container)
        if found is not None:
            return found
        now = self._clock()
        if self._gone.get(container, -_GONE) + _GONE > now:
            return _NOBODY
        for pid in [0] if not container else self._pids(container):
            told = procfs.accounts(pid, _SMALL_FILE)
            if told is not None:
                table = {uid: Account(*one) for uid, one in told[0].items()}, told[1]
                self._tables[container] = table
                if len(self._tables) > self._most:
                    self._tables.popitem(last=False)
                return table
        if len(self._gone) > self._most:
            self._gone.clear()
        self._gone[container] = now
        return _NOBODY


_Table: TypeAlias = "tuple[Mapping[int, Account], Mapping[int, str]]"
_NOBODY: _Table = ({}, {})
_GONE: Final = 2.0
"""Seconds until files of a container are sought again that no process was there to show."""


class _Names(Mapping[tuple[str, int], V]):
    """A mapping over tables that are read when they are asked for."""

    def __init__(self, table: Callable[[str], Mapping[int, V]]) -> None:
        self._table = table

    def __getitem__(self, key: tuple[str, int]) -> V:
        return self._table(key[0])[key[1]]

    def get(self, key: tuple[str, int], default: Any = None) -> Any:
        return self._table(key[0]).get(key[1], default)

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return iter(())  # what was not asked for is not known

    def __len__(self) -> int:
        return 0
