"""The loop that keeps controllers going: it watches everything, asks the right controllers, and carries out their Steps.

One Snapshot serves all. A key (a controller and a Ref) is asked again only when everything it wrote before is in
the Snapshot, so a controller never acts twice on the same old picture. Must hold no rule of its own about objects, and
must not hold up the event loop that it shares with the API.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TypeAlias

from fairlead.keep.entries import Entry
from fairlead.keep.errors import Refusal
from fairlead.orchestrate.proposing import is_event
from fairlead.orchestrate.steps import ANY, Controller, Kind, Refused, Step, Watch
from fairlead.reactor import carrying
from fairlead.reactor.keeping import Keeper, Lagged, lean
from fairlead.words import Change, Ref, Resource, Snapshot

FIRST_DELAY = 0.005
LONGEST_DELAY = 60.0
"""Seconds between two tries at most. Kubernetes waits up to 1,000 for most kinds and 60 for Jobs; who has just made room
in a quota should not have to wait a quarter of an hour."""
SLICE = 0.005
"""Seconds that the loop works before it lets others have their turn."""
AT_ONCE = 64
"""Steps that are being carried out at the same time."""
COSTLY = 0.002
"""A key whose reconciliation takes longer than so many seconds ..."""
REST = 5.0
"""... rests for so many times as long, so that one large object cannot keep everybody busy."""
_FAR = 3600.0

_log = logging.getLogger(__name__)

Key: TypeAlias = tuple[Controller, Ref]


def _now() -> datetime:
    return datetime.now(UTC)


class Orchestrator:
    """Runs controllers over a keeper until it is cancelled: `await Orchestrator(keeper, controllers).run()`.

    `clock` tells the time that controllers are given.
    """

    def __init__(
        self, keeper: Keeper, controllers: Sequence[Controller], clock: Callable[[], datetime] = _now
    ) -> None:
        self.view = Snapshot()
        self._keeper = keeper
        self._controllers = tuple(controllers)
        self._clock = clock
        self._teller = carrying.Teller(time.monotonic)
        self._seen = 0
        self._started = 0.0
        self._stir = asyncio.Event()
        self._dirty: dict[tuple[str, Ref], Key] = {}
        self._busy: dict[tuple[str, Ref], asyncio.Task[None]] = {}
        self._parked: list[tuple[int, int, Key]] = []
        self._until: dict[tuple[str, Ref], int] = {}
        self._rests: dict[tuple[str, Ref], float] = {}
        self._resting: set[tuple[str, Ref]] = set()
        self._failures: dict[tuple[str, Ref], int] = {}
        self._alarms: list[tuple[float, int, Key]] = []
        self._alarm_of: dict[tuple[str, Ref], float] = {}
        self._count = 0
        self._own: dict[Kind, list[Controller]] = {}
        self._watching: dict[Kind, list[tuple[Controller, Watch]]] = {}
        for controller in self._controllers:
            if controller.kind[1]:
                self._own.setdefault(controller.kind, []).append(controller)
            for kind, watch in controller.watches.items():
                self._watching.setdefault(kind, []).append((controller, watch))

    async def run(self) -> None:
        """Follow the keeper and keep everything as declared, until cancelled or the keeper closes."""
        self._started = time.monotonic()
        work = asyncio.create_task(self._work())
        try:
            while await self._follow():
                _log.warning("fell behind the log; reading everything again")
        finally:
            work.cancel()
            for task in self._busy.values():
                task.cancel()
            await asyncio.gather(work, *self._busy.values(), return_exceptions=True)

    @property
    def idle(self) -> bool:
        """Whether nothing is dirty, parked, resting or being carried out (alarms may still be set)."""
        waits = self._dirty or self._busy or self._parked or self._resting
        return not waits and self._seen >= self._keeper.world.rv

    # Following the log

    async def _follow(self) -> bool:
        """Read everything, then every entry; tell whether to begin again (else the keeper has closed)."""
        with self._keeper.subscribe(None) as stream:
            rv = self._keeper.world.rv
            await self._fill()
            self._seen = max(self._seen, rv)
            self._stir.set()
            try:
                async for entries in stream:
                    await self._take(entries)
            except Lagged:
                return True
        return False

    async def _fill(self) -> None:
        """Replace the Snapshot by what there is, and mark every object dirty.

        What is written meanwhile comes again through the subscription: older entries are told by their version.
        """
        fresh = Snapshot()
        since = time.monotonic()
        storages = list(self._keeper.world.storages())
        for storage in storages:
            for stored in self._keeper.world.stored(storage):
                fresh.put(lean(stored.object))
                if time.monotonic() - since > SLICE:
                    await asyncio.sleep(0)
                    since = time.monotonic()
        gone = [resource for resource in self.view if fresh.get(*_kind(resource), *_name(resource)) is None]
        self.view = self._keeper.view = fresh
        for resource in gone:
            self._mark_concerned(resource)
        for controller in self._controllers:
            if not controller.kind[1]:
                self._mark((controller, Ref("", "", "", controller.name)))
        for resource in list(self.view):
            for controller in self._own.get(_kind(resource), ()):
                self._mark((controller, Ref.of(resource)))

    async def _take(self, entries: Sequence[Entry]) -> None:
        since = time.monotonic()
        for entry in entries:
            self._take_one(entry)
            self._seen = max(self._seen, entry.rv)
            if time.monotonic() - since > SLICE:
                self._stir.set()
                await asyncio.sleep(0)
                since = time.monotonic()
        while self._parked and self._parked[0][0] <= self._seen:
            self._mark(heapq.heappop(self._parked)[2])
        self._stir.set()

    def _take_one(self, entry: Entry) -> None:
        resource = lean(self._keeper.decoded(entry))
        ref = Ref.of(resource)
        before = self.view.get(ref.group, ref.kind, ref.namespace, ref.name)
        if before is not None and _version(before) >= entry.rv:
            return
        if entry.type == "DELETED":
            self.view.drop(ref)
        else:
            self.view.put(resource)
        if before is not None:
            self._mark_concerned(before)
        self._mark_concerned(resource)

    def _mark_concerned(self, resource: Resource) -> None:
        kind = _kind(resource)
        for controller in self._own.get(kind, ()):
            self._mark((controller, Ref.of(resource)))
        for controller, watch in (*self._watching.get(kind, ()), *self._watching.get(ANY, ())):
            try:
                for ref in watch(self.view, resource):
                    self._mark((controller, ref))
            except Exception:  # noqa: BLE001 -- one bad object must not stop the loop
                _log.exception("%s cannot tell what %s concerns", controller.name, Ref.of(resource))

    # Asking and carrying out

    def _mark(self, key: Key) -> None:
        controller, ref = key
        self._dirty.setdefault((controller.name, ref), key)

    def _wake_at(self, key: Key, seconds: float) -> None:
        """Mark the key in so many seconds; the latest word counts."""
        controller, ref = key
        at = time.monotonic() + seconds
        self._alarm_of[controller.name, ref] = at
        self._count += 1
        heapq.heappush(self._alarms, (at, self._count, key))
        self._stir.set()

    def _ring(self) -> float:
        """Mark what is due; return the seconds until the next alarm."""
        now = time.monotonic()
        while self._alarms and self._alarms[0][0] <= now:
            at, _, key = heapq.heappop(self._alarms)
            name = (key[0].name, key[1])
            if self._alarm_of.get(name) == at:
                del self._alarm_of[name]
                self._mark(key)
        return self._alarms[0][0] - now if self._alarms else _FAR

    async def _work(self) -> None:
        while True:
            self._stir.clear()
            wait = self._ring()
            since = time.monotonic()
            for name, key in list(self._dirty.items()):
                if len(self._busy) >= AT_ONCE:
                    break
                if name in self._busy:
                    continue
                del self._dirty[name]
                self._ask(name, key)
                if time.monotonic() - since > SLICE:
                    await asyncio.sleep(0)
                    since = time.monotonic()
            if self._ready():
                await asyncio.sleep(0)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(wait, self._ring())):
                    await self._stir.wait()

    def _ready(self) -> bool:
        return len(self._busy) < AT_ONCE and any(name not in self._busy for name in self._dirty)

    def _ask(self, name: tuple[str, Ref], key: Key) -> None:
        controller, ref = key
        until = self._until.get(name, 0)
        if until > self._seen:
            self._count += 1
            heapq.heappush(self._parked, (until, self._count, key))
            return
        self._until.pop(name, None)
        waiting = controller.patience.total_seconds() - (time.monotonic() - self._started)
        if waiting > 0:
            self._wake_at(key, waiting)
            return
        began = time.monotonic()
        rest = self._rests.pop(name, 0.0) - began
        if rest > 0:
            self._rests[name] = began + rest
            self._resting.add(name)
            self._wake_at(key, rest)
            return
        self._resting.discard(name)
        self._alarm_of.pop(name, None)
        try:
            step = controller.reconcile(self.view, ref, self._clock())
        except Exception:  # noqa: BLE001 -- one bad object must not stop the loop
            _log.exception("%s failed on %s", controller.name, ref)
            self._retry(name, key)
            return
        took = time.monotonic() - began
        if took > COSTLY:
            self._rests[name] = began + took * (REST + 1)
        if not step.changes:
            self._settle(name, key, step)
            return
        task = asyncio.create_task(self._carry(name, key, step))
        self._busy[name] = task

    def _settle(self, name: tuple[str, Ref], key: Key, step: Step) -> None:
        self._failures.pop(name, None)
        if step.again is not None:
            self._wake_at(key, step.again.total_seconds())

    def _retry(self, name: tuple[str, Ref], key: Key) -> None:
        """Ask again after 5 ms, twice that after every further failure, at most a minute."""
        count = self._failures.get(name, 0)
        self._failures[name] = count + 1
        self._wake_at(key, min(FIRST_DELAY * 2.0 ** min(count, 30), LONGEST_DELAY))

    async def _carry(self, name: tuple[str, Ref], key: Key, step: Step) -> None:
        controller, ref = key
        try:
            last, refusal = await self._all(step.changes)
            if refusal is None:
                self._settle(name, key, step)
            else:
                change, why = refusal
                _log.debug("%s on %s: %s refused: %s", controller.name, ref, change.why, why)
                if controller.refused is not None:
                    more = controller.refused(self.view, ref, change, why, self._clock())
                    further, _ = await self._all(more.changes)
                    last = max(last, further)
                self._retry(name, key)
            self._until[name] = last
        except Exception:  # noqa: BLE001 -- one bad object must not stop the loop
            _log.exception("%s could not carry out its step for %s", controller.name, ref)
            self._until[name] = self._keeper.world.rv
            self._retry(name, key)
        finally:
            self._busy.pop(name, None)
            self._stir.set()

    async def _all(self, changes: Sequence[Change]) -> tuple[int, tuple[Change, Refused] | None]:
        """Carry out the changes in order; like ones side by side, first one, then two, then four, as long as all goes well."""
        last = 0
        acts = _acts(changes)
        start = 0
        size = 1
        while start < len(acts):
            end = start + 1
            while end < len(acts) and end - start < size and _alike(acts[start][0], acts[end][0]):
                end += 1
            results = await asyncio.gather(*(self._act(act) for act in acts[start:end]))
            last = max([last, *(rv for rv, _ in results)])
            refusals = [refusal for _, refusal in results if refusal is not None]
            if refusals:
                return last, refusals[0]
            same = end < len(acts) and _alike(acts[start][0], acts[end][0])
            size = size * 2 if same else 1
            start = end
        return last, None

    async def _act(self, act: Sequence[Change]) -> tuple[int, tuple[Change, Refused] | None]:
        """Make one change, then tell what it says; a refused one is not told of."""
        last = 0
        for change in act:
            passed: Change | None = self._teller.pass_on(change) if is_event(change) else change
            if passed is None:
                continue
            try:
                last = max(last, await carrying.carry_out(passed, self._keeper, self._clock()))
            except Refusal as refusal:
                if is_event(change) or (refusal.code == 404 and change.verb != "create"):
                    continue
                return last, (change, Refused(refusal.code, refusal.reason, refusal.message))
        return last, None


def _acts(changes: Iterable[Change]) -> list[list[Change]]:
    """Put each change together with the Events that tell of it."""
    acts: list[list[Change]] = []
    for change in changes:
        if is_event(change) and acts:
            acts[-1].append(change)
        else:
            acts.append([change])
    return acts


def _alike(one: Change, other: Change) -> bool:
    return (one.verb, one.ref.group, one.ref.kind, one.subresource) == (
        other.verb,
        other.ref.group,
        other.ref.kind,
        other.subresource,
    ) and one.ref != other.ref


def _kind(resource: Resource) -> Kind:
    return resource["apiVersion"].rpartition("/")[0], resource["kind"]


def _name(resource: Resource) -> tuple[str, str]:
    meta = resource["metadata"]
    return meta.get("namespace") or "", meta["name"]


def _version(resource: Resource) -> int:
    return int(resource["metadata"].get("resourceVersion") or 0)
