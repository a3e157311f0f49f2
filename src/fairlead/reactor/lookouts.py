"""Goes on looking at a cluster for one person: everything is followed, and examined again when something has changed or time has.

The pieces are those of continuous diagnosis; here nothing is written and nothing healed. Holds no rules.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import UTC, datetime
from typing import Final, Self

from fairlead.diagnose.examining import Examination
from fairlead.drivers.cluster import AsyncCluster
from fairlead.reactor import diagnosing_scope as scope
from fairlead.reactor.diagnosing_following import Mirror
from fairlead.reactor.diagnosing_looking import Logs
from fairlead.reactor.examine import Examined
from fairlead.reactor.gathering import CUSTOM_OBJECTS, answer
from fairlead.reactor.practising import advise
from fairlead.words import Need, Ref, Resource

SETTLE: Final = 0.3
"""Seconds that changes may come together before they are looked at."""
AGAIN: Final = 15.0
"""Seconds after which time alone is reason enough to look again."""
SHARE: Final = 4.0
"""A look is followed by a rest of so many times its length, so that a busy cluster does not keep a processor busy."""
CUSTOMS: Final = 3.0
"""Seconds that custom resources have to be listed before the first answer; what comes later is seen later."""


class Lookout:
    """See the module. One event loop; use it as a context."""

    def __init__(self, cluster: AsyncCluster, namespace: str = "", *, advice: bool = False) -> None:
        self._cluster, self._advice = cluster, advice
        self._engine = Examination(advice=advice)
        self.mirror = Mirror(
            cluster,
            (),
            namespace=namespace,
            optional=lambda kind: kind not in scope.BUILT_INS,
            most=lambda kind: 0 if kind in scope.BUILT_INS or kind in scope.OPTIONALS else CUSTOM_OBJECTS,
        )
        """What follows the cluster."""
        self._logs = Logs(cluster, self._find, self.mirror.stir.set)
        self._tasks: list[asyncio.Task[None]] = []
        self._versions: frozenset[str] | None = None

    async def __aenter__(self) -> Self:
        scope.learn(self._cluster)
        await self._cluster.raw("GET", "/version")  # who cannot be reached at all is not waited for
        self._versions = await scope.served(self._cluster)
        self.mirror.follow(scope.wanted((), self._versions))
        self._tasks = [
            asyncio.create_task(self.mirror.run(), name="follow the cluster"),
            asyncio.create_task(self._logs.run(), name="fetch logs"),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _find(self, ref: Ref) -> Resource | None:
        return self._engine.view.get(ref.group, ref.kind, ref.namespace, ref.name)

    async def first(self, waiting: Callable[[int], None] = lambda _: None) -> tuple[Examined, datetime]:
        """Return what is wrong, and when it was so, once everything was listed. `waiting` hears how many objects there are so far."""
        while not await self._until(self.mirror.synced, 0.2):
            waiting(self.mirror.objects)
        self._look({})
        customs = self._follow_customs()
        deadline = time.monotonic() + CUSTOMS
        while customs & self.mirror.unseen and time.monotonic() < deadline:
            await self._until(self.mirror.stir, 0.1)
            self._look({})
        self._look({})
        answers = await answer(self._cluster, self._engine.needs)
        self._logs.want(self._engine.needs)
        return self._look(answers)

    async def changes(
        self, away: Callable[[bool], None] = lambda _: None
    ) -> AsyncGenerator[tuple[Examined, datetime], None]:
        """Yield what is wrong, and when it was so, whenever something has changed or time has.

        Not while the cluster does not answer; `away` hears when that begins and ends.
        """
        took, gone = 0.0, False
        while True:
            await asyncio.sleep(max(SETTLE, took * SHARE))
            until = time.monotonic() + AGAIN
            while self.mirror.away == gone and time.monotonic() < until:
                if await self._until(self.mirror.stir, 1.0) and not gone:
                    break
            if self.mirror.away != gone:
                gone = self.mirror.away
                away(gone)
            if gone:
                continue
            started = time.monotonic()
            seen = self._look(self._logs.answers)
            self._follow_customs()
            self._logs.want(self._engine.needs)
            took = time.monotonic() - started
            yield seen

    async def _until(self, event: asyncio.Event, seconds: float) -> bool:
        """Wait for an event, so long at most, and return whether it came. What has failed meanwhile is raised."""
        waits = asyncio.ensure_future(event.wait())
        await asyncio.wait({waits, *self._tasks}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        waits.cancel()
        for task in self._tasks:
            if task.done():
                task.result()
        return event.is_set()

    def _look(self, answers: Mapping[Need, str]) -> tuple[Examined, datetime]:
        batch, at, unseen = self.mirror.take(), datetime.now(UTC), self.mirror.unseen
        puts = [
            scope.without_schema(one) if one["kind"] == scope.DEFINITION[1] else one for one in batch.puts
        ]
        findings = self._engine.update(puts, batch.drops, now=at, answers=answers, unseen=unseen)
        if self._advice:
            findings = [*findings, *advise(self._engine.view)]
        return Examined(findings, self._engine.view, "live", unseen), at

    def _follow_customs(self) -> frozenset[tuple[str, str]]:
        """Follow the kinds that definitions bring; return the (group, kind) of those that were not followed before."""
        definitions = self._engine.view.list("apiextensions.k8s.io", scope.DEFINITION[1])
        kinds = scope.wanted(definitions, self._versions)
        new = set(kinds) - set(self.mirror.kinds)
        if set(kinds) != set(self.mirror.kinds):
            self.mirror.follow(kinds)
        return frozenset((version.rpartition("/")[0], kind) for version, kind in new)
