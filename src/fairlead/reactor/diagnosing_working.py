"""The work of continuous diagnosis: what is followed is examined as it changes, and what is found is told.

Findings as objects, Kubernetes Events, receivers of notifications; what may be healed is healed by diagnosing_healing.py. Holds no rules; while the
cluster is away it concludes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fairlead.diagnose.histories import Sighting
from fairlead.diagnose.suppressing import Suppression, suppressed
from fairlead.diagnose.suppressing import read as read_suppressions
from fairlead.drivers.cluster import Unreachable
from fairlead.keep.errors import Refusal
from fairlead.reactor import diagnosing_policies as policies
from fairlead.reactor import diagnosing_scope as scope
from fairlead.reactor import notifying
from fairlead.reactor.diagnosing_events import Events
from fairlead.reactor.diagnosing_following import Counted, Kind, Mirror
from fairlead.reactor.diagnosing_kinds import API_VERSION, GROUP
from fairlead.reactor.diagnosing_looking import Examination, Logs, Looked
from fairlead.reactor.diagnosing_metrics import Metrics
from fairlead.reactor.diagnosing_policies import HealPolicy
from fairlead.reactor.diagnosing_reports import RETENTION, Book, Entry, News
from fairlead.reactor.examine import Examined
from fairlead.reactor.gathering import CUSTOM_OBJECTS
from fairlead.tongues.paths import strings, text
from fairlead.words import Ref, Resource, Snapshot

if TYPE_CHECKING:
    from fairlead.reactor.diagnosing_healing import Healer

log = logging.getLogger("fairlead.diagnosing")

QUIET: Final = 0.1
"""Seconds without a change after which what has changed is examined ..."""
LONG: Final = 0.5
"""... and after which it is examined in any case."""
SHARE: Final = 3.0
"""So many times as long as an examination took at least is rested before the next: it must not take a processor for itself."""
TICK: Final = 5.0
"""Seconds after which it is looked again though nothing has changed: some things become wrong by waiting."""
CHECK: Final = 15.0
"""Seconds without a change after which the cluster is asked whether it is there."""
DISCOVER: Final = 300.0
"""Seconds after which the cluster is asked again for what it serves."""
CALM: Final = timedelta(minutes=15)
"""How long a finding that came and went must be away before that is told."""
OWN: Final[tuple[Kind, ...]] = tuple((API_VERSION, kind) for kind in ("Finding", "Suppression", "HealPolicy"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What is to be done. `own` is the namespace of fairlead itself ("" for none), `namespace` what alone is looked at ("" for all).

    `records` is a folder for what was healed (None: nowhere), `retention` how long findings are kept that are gone. `heal` says
    whether HealPolicies are heeded.
    """

    own: str = ""
    namespace: str = ""
    records: Path | None = None
    retention: timedelta = RETENTION
    heal: bool = True


class Work:
    """What the replica that leads does."""

    def __init__(
        self,
        cluster: Counted,
        wishes: Wishes,
        metrics: Metrics,
        notifier: notifying.Notifier,
        ready: Callable[[], None] = lambda: None,
    ) -> None:
        self.wishes, self.cluster = wishes, cluster
        self.metrics, self.notifier, self._ready = metrics, notifier, ready
        self.examination = Examination()
        self.mirror = Mirror(
            cluster,
            scope.wanted((), frozenset()),
            namespace=wishes.namespace,
            optional=lambda kind: kind not in scope.BUILT_INS,
            most=lambda kind: 0 if kind in scope.BUILT_INS or kind in scope.OPTIONALS else CUSTOM_OBJECTS,
        )
        self.own = Mirror(cluster, OWN, optional=lambda _: True)
        self.book = Book(cluster, retention=wishes.retention)
        self.events = Events(cluster, self.find)
        self.metrics.events = self.events.outcomes
        self.logs = Logs(cluster, self.find, self._logs_changed)
        self.looked = Looked()
        self._discovery = asyncio.Event()
        self._looking = asyncio.Lock()
        self._owned = Snapshot()
        self._policies: list[HealPolicy] = []
        self._suppressions: list[Suppression] = []
        self._stir = asyncio.Event()
        self._writer = asyncio.Event()
        self._flapping: set[str] = set()
        self._healer: Healer | None = None
        self._to_heal = asyncio.Event()
        self._looked_at = self._heard_at = 0.0
        self._first = asyncio.Event()

    async def run(self) -> None:
        """Work until cancelled. Raises what is a fault of ours."""
        tasks = [asyncio.create_task(each, name=name) for name, each in self._loops()]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with contextlib.suppress(TimeoutError, Refusal, Unreachable):
                async with asyncio.timeout(2):
                    await self.book.flush()

    def _loops(self) -> Iterable[tuple[str, Coroutine[Any, Any, None]]]:
        yield "mirror", self._follow()
        yield "own kinds", self.own.run()
        yield "kinds", self._discover()
        yield "events", self.events.run()
        yield "logs", self.logs.run()
        yield "diagnosis", self._diagnose()
        yield "writer", self._write()
        if self.wishes.heal:
            yield "healing", self._heal()

    # What others ask

    def find(self, ref: Ref) -> Resource | None:
        """Return an object as it is known, None where it is not there."""
        return self.examination.view.get(ref.group, ref.kind, ref.namespace, ref.name)

    def labels(self, space: str) -> Mapping[str, str]:
        """Return the labels of a namespace."""
        return strings(self.find(Ref("", "Namespace", "", space)) or {}, "metadata", "labels")

    async def look(self) -> Examined:
        """Return what is wrong now, with all that was heard until now."""
        if not self.mirror.away:
            await self._examine()
        found = [finding for finding, _ in self.looked.findings]
        return Examined(found, self.examination.view, "live", self.mirror.unseen)

    # Looking

    async def _diagnose(self) -> None:
        await self._adopt()
        await self.mirror.synced.wait()
        first = True
        while True:
            anew = first or await self._rest()
            self._hear_own()
            if anew and not self.mirror.away:
                await self._examine()
            if not self.mirror.away:
                self._settle()
            if first:
                first = False
                log.info("%d objects of %d kinds are followed", self.mirror.objects, len(self.mirror.kinds))
                self.tell_receivers()
                self._ready()

    async def _adopt(self) -> None:
        """Take up what an earlier process has left, as soon as that can be read."""
        delay = 0.5
        while True:
            try:
                await self.book.adopt()
                break
            except Refusal as refusal:
                if refusal.code in {403, 404}:
                    log.warning("findings cannot be kept as objects: %s", refusal.message)
                    break
                log.warning("the findings cannot be read: %s", refusal.message)
            except Unreachable as error:
                log.warning("the findings cannot be read: %s", error)
            await asyncio.sleep(delay)
            delay = min(delay * 2, 15.0)

    async def _rest(self) -> bool:
        """Wait until something has changed or is due; return whether it is to be looked anew."""
        tick = max(0.0, self._looked_at + TICK - time.monotonic())
        waits = self.book.waits()
        await self._stirred(
            (self.mirror.stir, self.own.stir, self._stir), tick if waits is None else min(tick, waits + 0.01)
        )
        if self.mirror.stir.is_set() or self._stir.is_set():
            await self._settled()
            return True
        if time.monotonic() - self._looked_at < TICK:
            return False
        if time.monotonic() - self._heard_at >= CHECK:
            self._heard_at = time.monotonic()
            await self.mirror.check()
        return True

    async def _settled(self) -> None:
        """Wait until what belongs together has changed together, and the last look is long enough ago."""
        begun, rest = time.monotonic(), self._looked_at + (1 + SHARE) * self.looked.seconds
        while time.monotonic() - begun < LONG:
            self.mirror.stir.clear()
            self._stir.clear()
            if not await self._stirred((self.mirror.stir, self._stir), QUIET):
                break
        await asyncio.sleep(max(0.0, rest - time.monotonic()))
        self._stir.clear()

    @staticmethod
    async def _stirred(events: Sequence[asyncio.Event], seconds: float) -> bool:
        """Wait until one of the events is set; return whether one is."""
        waits = [asyncio.ensure_future(one.wait()) for one in events]
        done, _ = await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        return bool(done)

    async def _examine(self) -> None:
        async with self._looking:
            batch = self.mirror.take()
            if scope.defines(batch):
                self._discovery.set()
            self._looked_at = time.monotonic()
            try:
                self.looked = await asyncio.to_thread(
                    self.examination.update,
                    batch,
                    now=datetime.now(UTC),
                    answers=self.logs.answers,
                    unseen=self.mirror.unseen,
                )
            except Exception:  # what was found before stands until it is looked again
                log.exception("the examination failed")
                self.metrics.faults["examination"] += 1
                return
            self.metrics.changes += len(batch)
            self.metrics.asked += self.looked.asked
            self._heard_at = time.monotonic() if batch else self._heard_at
            self.metrics.updates.add(self.looked.seconds)
            if batch.since:
                self.metrics.lag.add(time.monotonic() - batch.since)
            self.logs.want(self.looked.needs)

    def _logs_changed(self) -> None:
        self._stir.set()

    # Telling

    def _hear_own(self) -> None:
        batch = self.own.take()
        if not batch:
            return
        findings = [one for one in batch.puts if one["kind"] == "Finding"]
        self.book.heard(findings, [ref for ref in batch.drops if ref.kind == "Finding"])
        for ref in batch.drops:
            self._owned.drop(ref)
        for one in batch.puts:
            if one["kind"] != "Finding":
                self._owned.put(one)
        self._suppressions, problems = read_suppressions(self._owned.list(GROUP, "Suppression"))
        for problem in problems:
            log.warning("%s", problem)
        self._policies = [policies.read(one) for one in self._owned.list(GROUP, "HealPolicy")]
        self._writer.set()
        self._wake_healer()

    def _settle(self) -> None:
        """Take in what was found, and tell what is new of it."""
        now = datetime.now(UTC)
        _, hidden = suppressed([one for one, _ in self.looked.findings], self._suppressions, now)
        unseen = self.mirror.unseen

        def looked(sighting: Sighting) -> bool:
            subject = sighting.finding.get("subject") or {}
            return (text(subject, "group"), text(subject, "kind")) not in unseen

        news = self.book.see(
            self.looked.findings, now, looked=looked, hidden={finding.id: by for finding, by in hidden}
        )
        for one in news:
            self._tell(one, now)
        self._tell_late(now)
        self.book.expire(now)
        self._writer.set()
        if news:
            self._wake_healer()

    def _tell(self, news: News, now: datetime) -> None:
        entry = news.entry
        told = entry.told or entry.sighting.finding
        if not news.graver:
            self.metrics.news[text(told, "rule"), text(told, "severity"), news.state] += 1
        log.info("%s: %s: %s %s", news.state, text(told, "rule"), _name(entry), text(told, "message"))
        self.events.tell(news, now)
        if news.state == "suppressed":
            return
        item = notifying.Item(entry.id, told, gone=news.state == "resolved")
        if entry.sighting.flapping:
            if entry.id not in self._flapping:
                self._flapping.add(entry.id)
                self.notifier.say(notifying.Item(entry.id, told, note="comes and goes"))
            return
        self._flapping.discard(entry.id)
        self.notifier.tell(item, again=news.graver)

    def _tell_late(self, now: datetime) -> None:
        """Tell of those that came and went for a while, and are calm now."""
        for name in list(self._flapping):
            entry = self.book.entries.get(name)
            if entry is None or now - entry.sighting.since > CALM:
                self._flapping.discard(name)
                if entry is not None and entry.state != "suppressed":
                    told = entry.told or entry.sighting.finding
                    self.notifier.tell(notifying.Item(name, told, gone=entry.state == "resolved"))

    def tell_receivers(self) -> None:
        """Have receivers told of what they do not know yet: after a start, and when there are others."""
        for entry in self.book.entries.values():
            told = entry.told or entry.sighting.finding
            if entry.notified == "active":
                self.notifier.knows(entry.id, told)
            if entry.state == "active":
                self.notifier.tell(notifying.Item(entry.id, told))
            elif entry.notified == "active":
                self.notifier.tell(notifying.Item(entry.id, told, gone=True))

    async def _write(self) -> None:
        """Write Findings as they are due."""
        while True:
            await self.book.flush()
            waits = self.book.writes()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(waits):
                    await self._writer.wait()
            self._writer.clear()
            await asyncio.sleep(0.02)

    # What there is to follow

    async def _follow(self) -> None:
        await self._first.wait()
        await self.mirror.run()

    async def _discover(self) -> None:
        """Follow the kinds that the cluster serves, as definitions come and go."""
        while True:
            versions = await scope.served(self.cluster)
            async with self._looking:
                definitions = list(
                    self.examination.view.list("apiextensions.k8s.io", "CustomResourceDefinition")
                )
            self.mirror.follow(scope.wanted(definitions, versions))
            self._first.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DISCOVER if versions is not None else 15.0):
                    await self._discovery.wait()
            self._discovery.clear()
            await asyncio.sleep(1.0)

    # Healing

    async def _heal(self) -> None:
        """Heal what HealPolicies let; what that takes is loaded when there is one."""
        await self._to_heal.wait()
        from fairlead.reactor.diagnosing_healing import Healer, World

        world = World(
            find=self.find,
            labels=self.labels,
            look=self.look,
            policies=lambda: self._policies,
            tell=self._tell_healing,
            own=self.wishes.own,
            folder=self.wishes.records,
        )
        healer = self._healer = Healer(self.cluster, self.book, world, outcome=self._count_healing)
        await healer.run()

    def _wake_healer(self) -> None:
        begun = any((entry.healing or {}).get("phase") == "begun" for entry in self.book.entries.values())
        if self._policies or begun:
            self._to_heal.set()
        if self._healer is not None:
            self._healer.stir.set()

    def _count_healing(self, kind: str, what: str) -> None:
        counter = self.metrics.proposals if kind == "proposal" else self.metrics.healings
        counter[what] += 1

    def _tell_healing(self, entry: Entry, severity: str, reason: str, said: str) -> None:
        self.events.told_of(entry, severity, reason, said, datetime.now(UTC))
        told = entry.told or entry.sighting.finding
        self.notifier.say(notifying.Item(entry.id, told, note=said))
        self._writer.set()


def _name(entry: Entry) -> str:
    return f"{entry.namespace}/{entry.id} {text(entry.told, 'subject', 'kind')}/{text(entry.told, 'subject', 'name')}"
