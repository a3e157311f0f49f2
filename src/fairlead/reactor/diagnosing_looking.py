"""The examination of a cluster that is followed: what has changed goes in, what is wrong now comes out, with the logs that it asks for.

The work is done in a thread, so that watches are heard and Leases renewed meanwhile; nobody else may read the view then. Logs are fetched a few
at a time, and again only when there may be something new in them. Holds no rules.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from fairlead.diagnose.examining import Examination as Engine
from fairlead.drivers.cluster import AsyncCluster
from fairlead.reactor.diagnosing_documents import Veil, of_finding
from fairlead.reactor.diagnosing_following import Batch
from fairlead.reactor.diagnosing_scope import without_schema
from fairlead.reactor.gathering import answer
from fairlead.tongues.paths import mappings, text, whole
from fairlead.words import Finding, Need, Ref, Resource, Snapshot

log = logging.getLogger("fairlead.diagnosing")

LOGS_A_SECOND: Final = 4.0
"""Logs that are fetched within a second, in the long run."""
BURST: Final = 20
"""Logs that are fetched at once, where none were for a while."""
LOG_AGAIN: Final = 60.0
"""Seconds until the log of a container that runs on is fetched again."""
MOST_LOGS: Final = 500
"""Logs that are kept."""


@dataclass(slots=True)
class Looked:
    """What a look has found: each finding with what its object is to tell, and what would help to know more."""

    findings: list[tuple[Finding, Mapping[str, Any]]] = field(default_factory=list)
    needs: list[Need] = field(default_factory=list)
    asked: int = 0
    """How many objects were asked anew."""
    seconds: float = 0.0


class Examination:
    """Everything that is followed, and what is wrong with it. `update` may run in any thread, one at a time."""

    def __init__(self) -> None:
        self._engine = Engine()
        self._told: dict[str, tuple[Finding, Mapping[str, Any]]] = {}

    @property
    def view(self) -> Snapshot:
        """Everything that is followed."""
        return self._engine.view

    def update(
        self,
        batch: Batch,
        *,
        now: datetime,
        answers: Mapping[Need, str],
        unseen: frozenset[tuple[str, str]],
    ) -> Looked:
        """Take in what has changed, and look. After a fault of the engine it begins anew with all that is there, once."""
        begun = time.perf_counter()
        puts = [
            without_schema(one) if one["kind"] == "CustomResourceDefinition" else one for one in batch.puts
        ]
        try:
            found = self._engine.update(puts, batch.drops, now=now, answers=answers, unseen=unseen)
        except Exception:
            log.exception("the examination begins anew")
            view = Snapshot(self._engine.view)
            for ref in batch.drops:
                view.drop(ref)
            for one in puts:
                view.put(one)
            self._engine = Engine()
            found = self._engine.update(view, now=now, answers=answers, unseen=unseen)
        return Looked(self._tell(found), self._engine.needs, self._engine.asked, time.perf_counter() - begun)

    def _tell(self, found: Iterable[Finding]) -> list[tuple[Finding, Mapping[str, Any]]]:
        """Return the findings with their JSON, made anew only for those that are different."""
        veil = Veil(self.view)
        told: dict[str, tuple[Finding, Mapping[str, Any]]] = {}
        for finding in found:
            before = self._told.get(finding.id)
            same = before is not None and before[0] == finding
            told[finding.id] = before if same and before is not None else (finding, of_finding(finding, veil))
        self._told = told
        return list(told.values())


class Logs:
    """The ends of logs that an examination asks for, fetched at a bounded rate. `changed` is called when there are new ones."""

    def __init__(
        self,
        cluster: AsyncCluster,
        find: Callable[[Ref], Resource | None],
        changed: Callable[[], None],
        *,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self.answers: dict[Need, str] = {}
        self._cluster, self._find, self._changed, self._seconds = cluster, find, changed, seconds
        self._marks: dict[Need, tuple[str, float]] = {}
        self._wanted: dict[Need, str] = {}
        self._stir = asyncio.Event()
        self._tokens, self._filled = float(BURST), seconds()

    def want(self, asked: Iterable[Need]) -> None:
        """Have these logs fetched that are not here yet, or may have more in them by now; forget what nobody asks for any more."""
        moment = self._seconds()
        needed = [one for one in dict.fromkeys(asked) if one.what == "log"][:MOST_LOGS]
        self._wanted = {}
        for need in needed:
            mark = self._mark(need)
            known, at = self._marks.get(need, ("", 0.0))
            previous = dict(need.detail).get("previous") == "true"
            if known != mark or (not previous and moment - at > LOG_AGAIN):
                self._wanted[need] = mark
        kept = set(needed)
        for gone in [one for one in self._marks if one not in kept]:
            self._marks.pop(gone)
            self.answers.pop(gone, None)
        if self._wanted:
            self._stir.set()

    def _mark(self, need: Need) -> str:
        """Return what tells one life of a container from another."""
        pod = self._find(need.about)
        name = dict(need.detail).get("container", "")
        counts = [
            (whole(one, "restartCount"), "running" if "running" in (one.get("state") or {}) else "")
            for part in ("containerStatuses", "initContainerStatuses")
            for _, one in mappings(pod, "status", part)
            if text(one, "name") == name
        ]
        return f"{text(pod, 'metadata', 'uid')} {counts}"

    async def run(self) -> None:
        """Fetch for ever."""
        while True:
            await self._stir.wait()
            self._stir.clear()
            while self._wanted:
                now = self._seconds()
                self._tokens = min(float(BURST), self._tokens + (now - self._filled) * LOGS_A_SECOND)
                self._filled = now
                if self._tokens < 1:
                    await asyncio.sleep(1 / LOGS_A_SECOND)
                    continue
                some = list(self._wanted.items())[: int(self._tokens)]
                self._tokens -= len(some)
                for need, mark in some:
                    self._wanted.pop(need, None)
                    self._marks[need] = (mark, now)
                got = await answer(self._cluster, [need for need, _ in some])
                fresh = {need: said for need, said in got.items() if self.answers.get(need) != said}
                if fresh:
                    self.answers = {**self.answers, **fresh}
                    self._changed()
