"""Follows a cluster kind by kind, one LIST and one watch each, and hands out what has changed since it was asked last.

What may not be listed is named as unseen, so that nothing is concluded from its absence; while the cluster is away nothing is concluded at
all. Holds the changes and not the objects: who takes them keeps them. Must never write, and never ask more often than it has to.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import httpx

from fairlead.drivers.cluster import Access, AsyncCluster, Unreachable
from fairlead.keep.errors import Refusal
from fairlead.tongues.paths import mapping, text
from fairlead.words import Ref, Resource

log = logging.getLogger("fairlead.diagnosing")

Kind: TypeAlias = tuple[str, str]
"""apiVersion and kind."""

AT_ONCE: Final = 6
"""Lists that are asked for at a time."""
DENIED_AGAIN: Final = 30.0
"""Seconds until a kind that may not be listed, or is not served, is asked for again."""
POLLED: Final = 60.0
"""Seconds between two lists of a kind that cannot be watched."""
LONGEST: Final = 15.0
"""Seconds between two questions, at most, while the cluster is away."""
CHECKED: Final = 10.0
"""Seconds in which the cluster must say that it is there."""
SOURCE: Final = "fairlead"
"""The component that Events of this process's own come from: they are no evidence of anything."""


class Counted(AsyncCluster):
    """A client that counts its calls: by verb, and whether they were answered, refused or lost."""

    def __init__(self, access: Access, *, timeout: float = 30.0) -> None:
        super().__init__(access, timeout=timeout)
        self.calls: Counter[tuple[str, str]] = Counter()

    async def raw(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> httpx.Response:
        """See AsyncCluster."""
        try:
            answer = await super().raw(method, path, params=params, body=body, content_type=content_type)
        except Refusal:
            self.calls[method, "refused"] += 1
            raise
        except Unreachable:
            self.calls[method, "lost"] += 1
            raise
        self.calls[method, "answered"] += 1
        return answer

    async def watch(
        self,
        api_version: str,
        kind: str,
        namespace: str = "",
        *,
        since: str,
        labels: str = "",
        fields: str = "",
        slim: bool = False,
    ) -> AsyncGenerator[tuple[str, Resource], None]:
        """See AsyncCluster."""
        self.calls["WATCH", "begun"] += 1
        events = super().watch(
            api_version, kind, namespace, since=since, labels=labels, fields=fields, slim=slim
        )
        async with contextlib.aclosing(events):
            async for event in events:
                yield event


@dataclass(slots=True)
class Batch:
    """What has changed: objects as they are now, and those that are gone. `since` is when the first of it was heard (monotonic)."""

    puts: list[Resource] = field(default_factory=list)
    drops: list[Ref] = field(default_factory=list)
    since: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.puts or self.drops)

    def __len__(self) -> int:
        return len(self.puts) + len(self.drops)


class Mirror:
    """See the module. One event loop. `kinds` are followed while `run` runs; `optional` says which need not be served.

    `most` says of how many objects at most a kind is followed, 0 for any number.
    """

    def __init__(
        self,
        cluster: AsyncCluster,
        kinds: Iterable[Kind],
        *,
        namespace: str = "",
        optional: Callable[[Kind], bool] = lambda _: False,
        most: Callable[[Kind], int] = lambda _: 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stir = asyncio.Event()
        """Set when there is something to take, or what is unseen has changed."""
        self.synced = asyncio.Event()
        """Set when each kind was listed once, or may not be."""
        self.away = False
        """Whether the cluster does not answer, so that what is known may be old."""
        self._cluster, self._namespace, self._clock = cluster, namespace, clock
        self._optional, self._most = optional, most
        self._kinds = list(dict.fromkeys(kinds))
        self._waiting = set(self._kinds)
        self._denied: dict[Kind, int] = {}
        self._known: dict[Kind, dict[tuple[str, str], str]] = {}
        self._pending: dict[Ref, Resource | None] = {}
        self._since = 0.0
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._tasks: dict[Kind, asyncio.Task[None]] = {}
        self._probe: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    @property
    def kinds(self) -> Sequence[Kind]:
        """What is followed, or would be if it could."""
        return self._kinds

    @property
    def unseen(self) -> frozenset[tuple[str, str]]:
        """The (group, kind) of which not everything is known: nothing is to be concluded from their absence."""
        return frozenset(
            (_group(kind[0]), kind[1])
            for kind in self._kinds
            if kind in self._waiting
            or (kind in self._denied and not (self._denied[kind] == 404 and self._optional(kind)))
        )

    @property
    def objects(self) -> int:
        """How many objects there are."""
        return sum(map(len, self._known.values()))

    def follow(self, kinds: Iterable[Kind]) -> None:
        """Follow further kinds, and no more those that are not among them."""
        wanted = list(dict.fromkeys(kinds))
        for kind in [kind for kind in self._kinds if kind not in wanted]:
            task = self._tasks.pop(kind, None)
            if task is not None:
                task.cancel()
            self._replace(kind, [])
            self._known.pop(kind, None)
            self._denied.pop(kind, None)
            self._waiting.discard(kind)
        self._waiting |= {kind for kind in wanted if kind not in self._kinds}
        self._kinds = wanted
        self._changed.set()

    async def run(self) -> None:
        """Follow until cancelled."""
        try:
            while True:
                for kind in self._kinds:
                    if kind not in self._tasks:
                        self._tasks[kind] = asyncio.create_task(self._follow(kind), name=f"follow {kind[1]}")
                changed = asyncio.create_task(self._changed.wait())
                done, _ = await asyncio.wait(
                    {changed, *self._tasks.values()}, return_when=asyncio.FIRST_COMPLETED
                )
                changed.cancel()
                self._changed.clear()
                for task in done & set(self._tasks.values()):
                    task.result()  # it ends only by a fault of ours
        finally:
            tasks = [*self._tasks.values(), *([self._probe] if self._probe else [])]
            self._tasks.clear()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def take(self) -> Batch:
        """Return what has changed since the last time."""
        pending, self._pending = self._pending, {}
        since, self._since = self._since, 0.0
        self.stir.clear()
        return Batch(
            [one for one in pending.values() if one is not None],
            [ref for ref, one in pending.items() if one is None],
            since,
        )

    # Each kind

    async def _follow(self, kind: Kind) -> None:
        since, delay = "", 0.2
        while True:
            try:
                if not since:
                    async with self._gate:
                        most = self._most(kind)
                        items, since = await self._cluster.list(*kind, self._namespace, cap=most)
                    if most and not since:
                        raise Refusal(413, "", f"there are more than {most} of them")  # noqa: TRY301  one way to be denied
                    self._replace(kind, items)
                    self._seen(kind)
                events = self._cluster.watch(*kind, self._namespace, since=since)
                async with contextlib.aclosing(events):
                    async for change, item in events:
                        since = text(item, "metadata", "resourceVersion") or since
                        delay = 0.2
                        if change in {"ADDED", "MODIFIED", "DELETED"}:
                            self._take_in(kind, item, gone=change == "DELETED")
                continue
            except Refusal as refusal:
                if refusal.code == 410:
                    since = ""
                elif refusal.code == 405 and since:  # it can be listed only
                    since = ""
                    await asyncio.sleep(POLLED * random.uniform(0.9, 1.1))
                    continue
                elif refusal.code in {401, 403, 404, 405, 413}:
                    since = ""
                    self._deny(kind, refusal)
                    await asyncio.sleep(DENIED_AGAIN * random.uniform(0.8, 1.2))
                    continue
            except Unreachable:
                await self._until_back()
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(delay * 2, LONGEST)

    def _seen(self, kind: Kind) -> None:
        if self._denied.pop(kind, None) is not None:
            log.info("%s can be followed now", kind[1])
            self.stir.set()
        if kind in self._waiting:
            self._waiting.discard(kind)
            if self.synced.is_set():
                self.stir.set()
        if not self._waiting:
            self.synced.set()

    def _deny(self, kind: Kind, refusal: Refusal) -> None:
        if self._denied.get(kind) != refusal.code:
            level = logging.DEBUG if refusal.code == 404 and self._optional(kind) else logging.WARNING
            log.log(level, "%s cannot be followed: %s", kind[1], refusal.message)
            self._denied[kind] = refusal.code
            self._replace(kind, [])
            self.stir.set()
        self._waiting.discard(kind)
        if not self._waiting:
            self.synced.set()

    def _replace(self, kind: Kind, items: Sequence[Resource]) -> None:
        known = self._known.setdefault(kind, {})
        there = set()
        for item in items:
            meta = item["metadata"]
            there.add((meta.get("namespace") or "", meta["name"]))
            self._take_in(kind, item, gone=False)
        for key in [key for key in known if key not in there]:
            del known[key]
            self._note(Ref(_group(kind[0]), kind[1], *key), None)

    def _take_in(self, kind: Kind, item: Resource, *, gone: bool) -> None:
        meta = item["metadata"]
        key = (meta.get("namespace") or "", meta["name"])
        known = self._known.setdefault(kind, {})
        version = str(meta.get("resourceVersion") or "")
        if gone:
            if known.pop(key, None) is not None:
                self._note(Ref(_group(kind[0]), kind[1], *key), None)
            return
        if known.get(key) == version and version:
            return
        if kind[1] == "Event" and _own(item):
            return
        known[key] = version
        item.setdefault("apiVersion", kind[0])
        item.setdefault("kind", kind[1])
        meta.pop("managedFields", None)
        self._note(Ref(_group(kind[0]), kind[1], *key), item)

    def _note(self, ref: Ref, item: Resource | None) -> None:
        if not self._pending:
            self._since = self._clock()
        self._pending[ref] = item
        self.stir.set()

    # A cluster that goes away

    async def check(self) -> None:
        """Ask whether the cluster is there: a connection may be dead long before anybody says so."""
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._ask(), name="is it there")
        await asyncio.wait({self._probe}, timeout=CHECKED)
        if not self._probe.done():
            self._lost("it takes long")

    def _lost(self, why: object) -> None:
        if not self.away:
            log.warning("the cluster does not answer: %s", why)
            self.away = True

    async def _until_back(self) -> None:
        """Wait until the cluster answers; one asks for all."""
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._ask(), name="is it back")
        await asyncio.shield(self._probe)

    async def _ask(self) -> None:
        delay = 0.1
        while True:
            try:
                await self._cluster.raw("GET", "/version")
            except Refusal as refusal:
                if refusal.code < 500:
                    break
            except Unreachable as error:
                self._lost(error)
            else:
                break
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(delay * 2, LONGEST)
        if self.away:
            log.info("the cluster answers again")
            self.away = False
            self.stir.set()


def _group(api_version: str) -> str:
    return api_version.rpartition("/")[0]


def _own(event: Resource) -> bool:
    """Whether an Event was told by this program."""
    return mapping(event, "source").get("component") == SOURCE or event.get("reportingComponent") == SOURCE
