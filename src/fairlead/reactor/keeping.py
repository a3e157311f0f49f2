"""The keeper of one cluster's state: writes are staged, made durable in groups, acknowledged and published.

Holds the only World that counts and the log that makes it durable. A write is acknowledged and shown to readers and
watchers only after its commit; when the log fails, everything not yet committed is taken back and refused. No rule about
objects lives here. All methods must be called from the event loop that opened the keeper.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

from fairlead.drivers import definitions
from fairlead.drivers.sqlite import Log
from fairlead.judge.surroundings import Lacking
from fairlead.keep import bootstrapping
from fairlead.keep.entries import Entry, Outcome, Storage, Stored
from fairlead.keep.errors import Refusal, internal, unavailable
from fairlead.keep.kinds import Kind
from fairlead.keep.versions import shown_entry
from fairlead.keep.worlds import World
from fairlead.reactor.admit import PolicyGate
from fairlead.words import Need, Resource, View

BACKLOG = 20_000
"""Entries that a subscription may be behind before it is ended; its reader must list again."""
COMPACT_EVERY = 2_000
"""Commits of so many entries between two compactions of the log."""
_SHARED = 256
"""Decoded objects that are kept for the loops that have not seen them yet."""
_ROUNDS = 32
"""How often policies may ask for something more about one write."""
_AGE = 1_800.0
"""Seconds that an entry stays in the window at most, however few there are."""


LEAN = frozenset({"wgpolicyk8s.io"})
"""API groups whose objects are large, many, and nobody's business among the loops: these keep little of them decoded."""


def lean(resource: Resource) -> Resource:
    """Return what loops keep of an object: a policy report without its results, anything else as it is."""
    if resource["apiVersion"].rpartition("/")[0] in LEAN:
        return {key: value for key, value in resource.items() if key != "results"}
    return resource


_Group: TypeAlias = "list[tuple[Sequence[Entry], asyncio.Future[None]]]"
"""Writes that share a commit: the entries of each, and the future that its caller waits for."""


class Lagged(Exception):
    """A subscription ended because its reader was too slow: list again."""


class Subscription:
    """An endless stream of committed entries, in lists. Iterate over it; `close` ends it.

    Ends by itself when the keeper closes, and raises Lagged when the reader has fallen too far behind.
    """

    def __init__(self, keeper: Keeper, kind: Kind | None, namespace: str | None) -> None:
        self.kind = kind
        self.namespace = namespace or None
        self.lagged = False
        self._keeper = keeper
        self._waiting: deque[Sequence[Entry]] = deque()
        self._size = 0
        self._closed = False
        self._wake: asyncio.Future[None] | None = None

    @property
    def storage(self) -> Storage | None:
        """What it listens to; None is everything."""
        return self.kind.storage if self.kind is not None else None

    def put(self, entries: Sequence[Entry]) -> None:
        """Take in entries of its storage; only the keeper calls this."""
        if self.namespace is not None:
            entries = [entry for entry in entries if entry.namespace == self.namespace]
        if not entries or self._closed:
            return
        if self._size + len(entries) > BACKLOG:
            self.lagged = True
            self.close()
            return
        self._waiting.append(entries)
        self._size += len(entries)
        self._stir()

    def take(self) -> list[Entry]:
        """Return what waits, without waiting for more."""
        taken = [entry for entries in self._waiting for entry in entries]
        self._waiting.clear()
        self._size = 0
        if self.kind is None:
            return taken
        return [shown_entry(entry, self.kind) for entry in taken]

    def close(self) -> None:
        """End the stream; a reader that waits is woken."""
        if not self._closed:
            self._closed = True
            self._keeper.drop(self)
            self._stir()

    def _stir(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def within(self, seconds: float) -> list[Entry]:
        """Return what comes next, or nothing if nothing comes in time. Raises Lagged, and StopAsyncIteration at the end."""
        if not self._waiting and not self._closed:
            loop = asyncio.get_running_loop()
            self._wake = loop.create_future()
            timer = loop.call_later(seconds, self._stir)
            try:
                await self._wake
            finally:
                timer.cancel()
                self._wake = None
        if not self._waiting and self.lagged:
            raise Lagged
        if not self._waiting and self._closed:
            raise StopAsyncIteration
        return self.take()

    def __aiter__(self) -> AsyncIterator[list[Entry]]:
        return self

    async def __anext__(self) -> list[Entry]:
        while not self._waiting:
            if self.lagged:
                raise Lagged
            if self._closed:
                raise StopAsyncIteration
            self._wake = asyncio.get_running_loop().create_future()
            try:
                await self._wake
            finally:
                self._wake = None
        return self.take()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Keeper:
    """See the module. `world` is for reading; writes go through `write`."""

    def __init__(self, world: World, log: Log) -> None:
        self.world = world
        self._log = log
        self._staged: _Group = []
        self._busy: asyncio.Task[None] | None = None
        self._everything: list[Subscription] = []
        self._by_storage: dict[Storage, list[Subscription]] = {}
        self._since_compaction = 0
        self._marks: deque[tuple[float, int]] = deque()
        self._decoded: dict[int, Resource] = {}
        self.view: View | None = None
        """What a loop keeps decoded of everything here, perhaps a moment behind. Nobody may change an object of it."""
        self._gate: PolicyGate | None = None
        self._closing = False
        self.fault = ""
        """Why the last write could not be stored; "" while the store is well."""

    @classmethod
    async def open(cls, path: Path | str, *, rng: random.Random | None = None) -> Keeper:
        """Open the store at a path, creating it and the objects that every cluster has. Raises LogError."""
        schemas = definitions.load()
        log = await asyncio.to_thread(Log, path)
        try:
            loaded = await asyncio.to_thread(log.load)
            world = World(schemas, rng or random.SystemRandom())
            world.restore(loaded.current, loaded.window, loaded.rv, loaded.floors)
            keeper = cls(world, log)
            await keeper.write(lambda world: bootstrapping.bootstrap(world, datetime.now(UTC)))
        except BaseException:
            await asyncio.to_thread(log.close)
            raise
        return keeper

    async def write(self, step: Callable[[World], Outcome]) -> Outcome:
        """Carry out one write (or several in one step) and wait until it is durable. Raises Refusal.

        The step runs at once, sees every write before it, and must not wait. Cancelling the caller does not undo it.
        """
        if self._closing:
            raise unavailable("the server is shutting down")
        outcome, entries = (
            self.world.attempt(step) if self._gate is None else await self._attempt(step, self._gate)
        )
        if not entries and not self._staged and self._busy is None:
            return outcome  # else: what was answered may rest on writes that are still to be committed
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._staged.append((entries, done))
        if self._busy is None:
            self._busy = asyncio.create_task(self._drain())
        await done
        return outcome

    def guard(self, gate: PolicyGate) -> None:
        """Let the gate judge every write from now on."""
        self._gate = gate
        self.world.guard(gate)

    @property
    def gate(self) -> PolicyGate | None:
        """The gate that judges every write, if there is one."""
        return self._gate

    async def _attempt(
        self, step: Callable[[World], Outcome], gate: PolicyGate
    ) -> tuple[Outcome, Sequence[Entry]]:
        """Try a step, and where policies lack something from outside fetch it and try again, with the same uids and names.

        Waits only then; what others write meanwhile the step sees. Refusal 500 for policies that never have enough.
        """
        if not gate.closed:
            return self.world.attempt(step)
        drawn: list[tuple[int, int]] = []
        answers: dict[Need, Any] = {}
        for _ in range(_ROUNDS):
            try:
                with gate.given(answers):
                    return self.world.attempt(step, drawn)
            except Lacking as lacking:
                needs = [need for need in lacking.needs if need not in answers]
            if not needs:
                break
            answers.update(await gate.fetch(needs))
            if self._closing:
                raise unavailable("the server is shutting down")
        raise internal("the admission policies ask for ever more")

    async def _drain(self) -> None:
        """Commit what is staged, group by group, until nothing is left."""
        try:
            while self._staged:
                group, self._staged = self._staged, []
                entries = [entry for mine, _ in group for entry in mine]
                try:
                    if entries:
                        await asyncio.wrap_future(self._log.append(entries))
                except Exception as error:  # noqa: BLE001  # LogError; and no other may leave the callers waiting
                    self._fail(group, error)
                else:
                    self._succeed(group, entries)
        finally:
            self._busy = None

    def _fail(self, group: _Group, error: Exception) -> None:
        """Take back everything that is not committed: later writes may rest on the ones that failed."""
        self.fault = str(error)
        self.world.rollback()
        refused = [*group, *self._staged]
        self._staged = []
        for _, done in refused:
            if not done.cancelled():
                done.set_exception(internal(f"the write could not be stored: {error}"))
                done.exception()  # a caller that was cancelled has nobody to hear it

    def _succeed(self, group: _Group, entries: Sequence[Entry]) -> None:
        if entries:
            self.fault = ""
            self.world.commit(entries[-1].rv)
            self._publish(entries)
        for _, done in group:
            if not done.done():
                done.set_result(None)
        self._since_compaction += len(entries)
        if self._since_compaction >= COMPACT_EVERY:
            self._since_compaction = 0
            self._compact()

    def _publish(self, entries: Sequence[Entry]) -> None:
        for subscription in tuple(self._everything):
            subscription.put(entries)
        if not self._by_storage:
            return
        grouped: dict[Storage, list[Entry]] = {}
        for entry in entries:
            if entry.storage in self._by_storage:
                grouped.setdefault(entry.storage, []).append(entry)
        for storage, mine in grouped.items():
            for subscription in tuple(self._by_storage.get(storage, ())):
                subscription.put(mine)

    def _compact(self) -> None:
        now = asyncio.get_running_loop().time()
        self._marks.append((now, self.world.rv))
        while self._marks and self._marks[0][0] < now - _AGE:
            self.world.forget(self._marks.popleft()[1])
        compaction = self._log.compact(self.world.floors)
        compaction.add_done_callback(lambda future: future.exception())

    def decoded(self, entry: Entry) -> Resource:
        """Return the object of an entry, decoded once for all loops that ask soon: nobody may change it."""
        known = self._decoded.get(entry.rv)
        if known is None:
            known = self._decoded[entry.rv] = entry.object
            if len(self._decoded) > _SHARED:
                del self._decoded[next(iter(self._decoded))]
        return known

    def objects(self, kind: Kind, items: Sequence[Stored]) -> list[Resource]:
        """Return listed objects decoded, as `kind`: the ones that a loop has decoded are lent. Nobody may change them."""
        if self.view is None or kind.group in LEAN:
            return [item.object for item in items]
        get, group, name, version = self.view.get, kind.group, kind.kind, kind.api_version
        found = []
        for item in items:
            known = get(group, name, item.namespace, item.name)
            if (
                known is None
                or known["metadata"].get("resourceVersion") != str(item.rv)
                or known["apiVersion"] != version
            ):
                known = item.object
            found.append(known)
        return found

    def subscribe(
        self, kind: Kind | None, namespace: str | None = None, since: int | None = None
    ) -> Subscription:
        """Return the stream of writes to a kind (None: to all, as stored), in a namespace or all.

        With `since`, it begins after that resourceVersion; Refusal 410 if the window has left it behind. Else it
        begins now: what `world.list` shows at this moment comes before its first entry.
        """
        subscription = Subscription(self, kind, namespace)
        if since is not None:
            storage_entries = self.world.since(kind, None, since)
            if len(storage_entries) > BACKLOG:
                raise Refusal(410, "Expired", f"too old resource version: {since} ({self.world.rv})")
            subscription.put(storage_entries)
        if subscription.storage is None:
            self._everything.append(subscription)
        else:
            self._by_storage.setdefault(subscription.storage, []).append(subscription)
        return subscription

    def drop(self, subscription: Subscription) -> None:
        """Forget a subscription; `Subscription.close` calls this."""
        storage = subscription.storage
        if storage is None:
            with contextlib.suppress(ValueError):
                self._everything.remove(subscription)
            return
        mine = self._by_storage.get(storage, [])
        with contextlib.suppress(ValueError):
            mine.remove(subscription)
        if not mine:
            self._by_storage.pop(storage, None)

    async def close(self) -> None:
        """Finish the writes that are under way, end every subscription and close the file."""
        self._closing = True
        if self._busy is not None:
            await self._busy
        for subscription in [
            *self._everything,
            *(item for mine in self._by_storage.values() for item in mine),
        ]:
            subscription.close()
        await asyncio.to_thread(self._log.close)
