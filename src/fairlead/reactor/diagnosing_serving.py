"""Continuous diagnosis as a server: replicas of which one leads, metrics, and who is notified.

What is done is in diagnosing_working.py; it begins anew whenever this replica begins to lead, so that nothing is believed that was true before.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fairlead.drivers.cluster import Access
from fairlead.reactor import diagnosing_scope as scope
from fairlead.reactor import exposing, notifying
from fairlead.reactor.diagnosing_following import Counted
from fairlead.reactor.diagnosing_leading import Leading
from fairlead.reactor.diagnosing_metrics import Metrics
from fairlead.reactor.diagnosing_working import Wishes, Work

log = logging.getLogger("fairlead.diagnosing")

WEBHOOK: Final = "FAIRLEAD_WEBHOOK_URL"
"""The environment's variable with the URL of a receiver."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Where and for whom. `receivers` is a file of who is told (notifying.read), `cluster` what they are to call it.

    `lease` is (namespace, name) where several replicas run, of which one leads. `metrics` is a port, None for none.
    """

    access: Access
    wishes: Wishes
    receivers: Path | None = None
    lease: tuple[str, str] | None = None
    identity: str = ""
    metrics: int | None = None
    metrics_address: str = "127.0.0.1"
    cluster: str = ""


async def serve(options: Options, ready: Callable[[Platform], None] | None = None) -> None:
    """Diagnose until SIGTERM or SIGINT; `ready` is called when all is known for the first time, and when that changes. Raises OSError."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await Platform(options, ready).run(stop)


class Platform:
    """One replica."""

    def __init__(self, options: Options, ready: Callable[[Platform], None] | None = None) -> None:
        self.options = options
        self.cluster = Counted(options.access)
        self.work: Work | None = None
        self.leading = (
            Leading(self.cluster, *options.lease, options.identity) if options.lease is not None else None
        )
        self.notifier = notifying.Notifier(cluster=options.cluster, told=self._told)
        self.metrics = Metrics(
            lambda: tuple(self.work.book.entries.values()) if self.work else (),
            lambda: self.cluster.calls,
            self._gauges,
        )
        self.metrics.notifications = self.notifier.outcomes
        self._ready = ready
        self._mark: tuple[int, ...] = ()
        self._listed: list[notifying.Receiver] = []
        self._using: list[notifying.Receiver] = []

    async def run(self, stop: asyncio.Event) -> None:
        """Diagnose until told to stop. Raises OSError where that is impossible."""
        server: asyncio.Server | None = None
        scope.learn(self.cluster)
        self._read_receivers()
        tasks: list[asyncio.Task[None]] = []
        try:
            if self.options.metrics is not None:
                server = await exposing.serve(
                    self.metrics.text,
                    self.options.metrics,
                    self.options.metrics_address,
                    unready=self._unready,
                )
            lead = self.leading.run(self._work) if self.leading is not None else self._work()
            for name, each in (
                ("diagnosis", lead),
                ("notifier", self.notifier.run()),
                ("receivers", self._follow_receivers()),
            ):
                tasks.append(asyncio.create_task(each, name=name))
            waiter = asyncio.create_task(stop.wait(), name="stop")
            done, _ = await asyncio.wait({waiter, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            waiter.cancel()
            for task in done - {waiter}:
                error = task.exception()
                raise OSError(f"its {task.get_name()} ended: {error!r}") from error
        finally:
            if server is not None:
                server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self.leading is not None:
                await self.leading.let_go()
            await self.cluster.close()

    async def _work(self) -> None:
        self.work = Work(self.cluster, self.options.wishes, self.metrics, self.notifier, self._say_ready)
        try:
            await self.work.run()
        finally:
            self.work = None

    def _say_ready(self) -> None:
        if self._ready is not None:
            self._ready(self)

    def watches(self) -> str:
        """Return what is followed, in words."""
        return f"{len(self.work.mirror.kinds)} kinds" if self.work is not None else "nothing yet"

    def without(self) -> list[str]:
        """Return what cannot be seen, in words."""
        unseen = sorted(kind for _, kind in self.work.mirror.unseen) if self.work is not None else []
        return [f"{', '.join(unseen)}: may not be listed"] if unseen else []

    def _unready(self) -> str:
        if self.leading is not None and not self.leading.leads:
            return ""  # it waits for its turn, which is what it is to do
        if self.work is None or not self.work.mirror.synced.is_set():
            return "not everything was listed yet"
        return ""

    def _gauges(self) -> Mapping[str, tuple[str, float]]:
        work = self.work
        leads = float(self.leading is None or self.leading.leads)
        found = {"fairlead_diagnosis_leads": ("Whether this replica is the one that works.", leads)}
        if work is not None:
            found |= {
                "fairlead_diagnosis_objects": ("Objects that are followed.", work.mirror.objects),
                "fairlead_diagnosis_kinds": ("Kinds that are followed.", len(work.mirror.kinds)),
                "fairlead_diagnosis_kinds_unseen": ("Kinds that cannot be listed.", len(work.mirror.unseen)),
                "fairlead_diagnosis_away": ("Whether the cluster does not answer.", float(work.mirror.away)),
                "fairlead_findings_written_total": ("Finding objects written.", work.book.written),
                "fairlead_findings_unwritten_total": ("Writings of Findings that failed.", work.book.failed),
            }
        return found

    # Receivers of notifications

    def _read_receivers(self) -> None:
        """Read who is told, where that has changed. A file that cannot be understood changes nothing."""
        path = self.options.receivers
        try:
            found = path.stat() if path is not None else None
            mark = (found.st_mtime_ns, found.st_ino, found.st_size) if found is not None else ()
            if path is not None and mark != self._mark:
                self._mark = mark
                self._listed = notifying.read(path.read_text(), path.parent)
        except FileNotFoundError:
            self._mark, self._listed = (), []
        except notifying.BadReceivers as fault:
            log.warning("%s: %s", path, fault)
        except OSError as fault:
            log.warning("%s: %s", path, fault.strerror)
        wanted = [*_from_environment(), *self._listed]
        if wanted != self._using:
            self._using = wanted
            self.notifier.use(wanted)
            if self.work is not None:
                self.work.tell_receivers()

    async def _follow_receivers(self) -> None:
        while True:
            await asyncio.sleep(5)
            self._read_receivers()

    def _told(self, name: str, gone: bool) -> None:
        if self.work is not None and (entry := self.work.book.entries.get(name)) is not None:
            entry.notified = "resolved" if gone else "active"
            self.work.book.touch(entry)


def _from_environment() -> list[notifying.Receiver]:
    try:
        return notifying.read(os.environ.get(WEBHOOK, ""))
    except notifying.BadReceivers as fault:
        log.warning("%s: %s", WEBHOOK, fault)
        return []
