"""What came and what went, told as Kubernetes Events about the objects at fault: once for each change of state, a few at a time.

A Warning whose reason is the rule in one word (`service.selector` is `ServiceSelector`) when a finding comes, a Normal one when it is gone. An
Event that cannot be written now is written soon or not at all: it is news, and the Finding says the same.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable
from datetime import datetime
from typing import Final

from fairlead.drivers.cluster import AsyncCluster, Unreachable
from fairlead.keep.errors import Refusal
from fairlead.orchestrate.proposing import event
from fairlead.reactor.carrying import Teller, carry_out
from fairlead.reactor.diagnosing_following import SOURCE
from fairlead.reactor.diagnosing_reports import Entry, News
from fairlead.tongues.paths import text
from fairlead.words import Change, Ref, Resource

log = logging.getLogger("fairlead.diagnosing")

PAUSE: Final = 0.2
"""Seconds between two Events."""
MOST: Final = 200
"""Events that wait to be written; of more the oldest are dropped."""
TRIES: Final = 3


class Events:
    """See the module. `find` returns an object as it is now, None where it is not there."""

    def __init__(
        self,
        cluster: AsyncCluster,
        find: Callable[[Ref], Resource | None],
        *,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self.outcomes: Counter[str] = Counter()
        self._cluster, self._find = cluster, find
        self._teller = Teller(seconds)
        self._queue: deque[tuple[Change, datetime]] = deque()
        self._stir = asyncio.Event()

    def tell(self, news: News, now: datetime) -> None:
        """Take note of a change of state. What is but a note, is lived with, or comes and goes all the time is not told."""
        entry = news.entry
        told = entry.told or entry.sighting.finding
        if news.state == "suppressed" or told.get("severity") == "info" or entry.sighting.flapping:
            return
        about = self._about(entry)
        if about is None:
            return
        reason = camel(text(told, "rule"))
        said = ". ".join(part for part in (text(told, "message"), text(told, "cause")) if part)
        if news.state == "active":
            change = event(about, "Warning", reason, said, now, SOURCE)
        else:
            change = event(about, "Normal", f"{reason}Resolved", f"no more: {said}", now, SOURCE)
        self.put(change, now)

    def told_of(self, entry: Entry, severity: str, reason: str, said: str, now: datetime) -> None:
        """Take note of what was done about a finding."""
        about = self._about(entry)
        if about is not None:
            self.put(event(about, severity, reason, said, now, SOURCE), now)

    def put(self, change: Change, now: datetime) -> None:
        """Have an Event written."""
        passed = self._teller.pass_on(change)
        if passed is None:
            self.outcomes["dropped"] += 1
            return
        self._queue.append((passed, now))
        while len(self._queue) > MOST:
            self._queue.popleft()
            self.outcomes["dropped"] += 1
        self._stir.set()

    def _about(self, entry: Entry) -> Resource | None:
        """Return the object at fault, or as much of it as an Event needs; what is not there still has a name."""
        subject = entry.sighting.finding.get("subject") or {}
        ref = entry.finding.subject if entry.finding is not None else None
        ref = ref or Ref(
            text(subject, "group"), text(subject, "kind"), text(subject, "namespace"), text(subject, "name")
        )
        found = self._find(ref)
        if found is not None:
            return found
        meta = {"name": ref.name, **({"namespace": ref.namespace} if ref.namespace else {})}
        version = f"{ref.group}/v1" if ref.group else "v1"
        return {"apiVersion": version, "kind": ref.kind, "metadata": meta} if ref.kind and ref.name else None

    async def run(self) -> None:
        """Write for ever."""
        while True:
            await self._stir.wait()
            self._stir.clear()
            while self._queue:
                await self._write(*self._queue.popleft())
                await asyncio.sleep(PAUSE)

    async def _write(self, change: Change, now: datetime) -> None:
        for turn in range(TRIES):
            try:
                await carry_out(change, self._cluster, now, manager=SOURCE)
            except Refusal as refusal:
                if refusal.code < 500 and refusal.code not in {409, 429}:  # its namespace is going
                    log.debug("an Event about %s cannot be written: %s", change.ref, refusal.message)
                    break
            except Unreachable as error:
                log.debug("an Event about %s is late: %s", change.ref, error)
            else:
                self.outcomes["written"] += 1
                return
            await asyncio.sleep(2.0**turn)
        self.outcomes["dropped"] += 1


def camel(rule: str) -> str:
    """Return a rule's name as the reason of an Event: `service.selector` is `ServiceSelector`."""
    words = "".join(one if one.isalnum() else " " for one in rule).split()
    return "".join(word[:1].upper() + word[1:] for word in words)[:128]
