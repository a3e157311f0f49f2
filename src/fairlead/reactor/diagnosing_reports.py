"""What is known of every finding over time, kept as Finding objects: written when something about them changes, and removed in the end.

A finding is told when it has stood for a moment, and as gone when it has been away for one: what passes is not news. What the API does not take is
written later, without end. Must never lose what users have put beside its own parts, nor write what is written already.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeAlias

from fairlead.diagnose import histories, records
from fairlead.diagnose.histories import Sighting
from fairlead.diagnose.suppressing import Suppression
from fairlead.drivers.cluster import AsyncCluster, Unreachable
from fairlead.keep.errors import Refusal
from fairlead.reactor.diagnosing_documents import document, gist, home, stamp
from fairlead.reactor.diagnosing_kinds import API_VERSION, UNDONE
from fairlead.tongues.paths import mapping, strings, text
from fairlead.words import Finding, Ref, Resource

log = logging.getLogger("fairlead.diagnosing")

MANAGER: Final = "fairlead-platform"
LABEL: Final = "app.kubernetes.io/managed-by"
APPEAR: Final = 0.5
"""Seconds that a finding must stand before it is told."""
VANISH: Final = 3.0
"""Seconds that it must be away before it is told as gone."""
REWORD: Final = 60.0
"""Seconds at least between two writings of a finding of which only the words have changed."""
REFRESH: Final = 600.0
"""The same where only the evidence has."""
CONTEST: Final = 10.0
"""Seconds at least between two writings of an object that somebody else changes."""
LATER: Final = 30.0
"""Seconds until what was refused is tried again."""
RETENTION: Final = timedelta(hours=1)
HEALED: Final = timedelta(days=1)
"""The same for one that tells what would take back what was done about it."""
MOST_RESOLVED: Final = 500
AT_A_TIME: Final = 25
"""Objects that are written in a row before others of this process have their turn."""

_RANK: Final = {"critical": 0, "warning": 1, "info": 2}

State: TypeAlias = Literal["active", "resolved", "suppressed"]
Place: TypeAlias = tuple[str, str]
"""Namespace and name of a Finding object."""


@dataclass(slots=True)
class Entry:
    """One finding over time. `finding` is as it was seen last, None for one of an earlier process that was not seen again."""

    sighting: Sighting
    namespace: str
    finding: Finding | None = None
    told: Mapping[str, Any] = field(default_factory=dict)
    """The `finding` of its object."""
    suppression: Mapping[str, Any] | None = None
    proposal: Mapping[str, Any] | None = None
    healing: Mapping[str, Any] | None = None
    notified: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    """What users have put on its object."""
    written: Resource | None = None
    at: float = 0.0
    due: float | None = None
    gone_at: float | None = None
    failures: int = 0
    contested: int = 0
    """How often somebody else was heard to have changed its object."""
    flying: bool = False
    """Whether a write of ours is on its way."""

    @property
    def id(self) -> str:
        """The finding's id, which is its object's name."""
        return self.sighting.id

    @property
    def state(self) -> State:
        """What the object says of it."""
        if self.sighting.state == "active" and self.suppression is not None:
            return "suppressed"
        return self.sighting.state

    def heed(self) -> None:
        """Take in that somebody has taken back what was done, as an annotation of its object says."""
        healing = self.healing or {}
        if healing.get("started") and self.annotations.get(UNDONE) == healing["started"]:
            self.healing = {**healing, "phase": "done", "outcome": "undone"}

    def body(self) -> Resource:
        """Return its object."""
        self.heed()
        status = {
            **histories.status(self.sighting),
            "state": self.state,
            "suppression": self.suppression,
            "notified": self.notified,
            "proposal": self.proposal,
            "healing": self.healing,
        }
        return document(self.namespace, self.told, status)


@dataclass(frozen=True, slots=True)
class News:
    """What became of a finding: it came, it went, or somebody has begun or ceased to live with it. `graver`: it is there still, and worse."""

    entry: Entry
    state: State
    graver: bool = False


class Book:
    """See the module. `seconds` is a clock that only grows; `now` aware UTC comes with each call."""

    def __init__(
        self,
        cluster: AsyncCluster,
        *,
        seconds: Callable[[], float] = time.monotonic,
        retention: timedelta = RETENTION,
    ) -> None:
        self.entries: dict[str, Entry] = {}
        self.written, self.failed = 0, 0
        self._cluster, self._seconds, self._retention = cluster, seconds, retention
        self._new: dict[str, float] = {}
        self._stale: dict[Place, None] = {}
        self._writing = asyncio.Lock()

    # What was found

    def see(
        self,
        found: Sequence[tuple[Finding, Mapping[str, Any]]],
        now: datetime,
        *,
        looked: Callable[[Sighting], bool] = lambda _: True,
        hidden: Mapping[str, Suppression] | None = None,
    ) -> list[News]:
        """Take in all that is found now, each with what its object is to tell; return what is new about whom.

        `looked` is as in histories.observe; `hidden` are those that somebody lives with, by id.
        """
        moment = self._seconds()
        standing: dict[str, tuple[Finding, Mapping[str, Any]]] = {}
        for finding, told in found:
            since = self._new.setdefault(finding.id, moment)
            known = self.entries.get(finding.id)
            if moment - since >= APPEAR or (known is not None and known.sighting.state == "active"):
                standing[finding.id] = (finding, told)
        here = {finding.id for finding, _ in found}
        self._new = {name: at for name, at in self._new.items() if name in here}
        lingering: list[Finding] = []
        for entry in self.entries.values():
            if entry.id in here:
                entry.gone_at = None
            elif entry.sighting.state == "active" and looked(entry.sighting):
                entry.gone_at = moment if entry.gone_at is None else entry.gone_at
                if moment - entry.gone_at < VANISH:
                    lingering.append(entry.finding or records.read(entry.sighting.finding))
        past = {name: entry.sighting for name, entry in self.entries.items()}
        after = histories.observe(
            past, [*(one for one, _ in standing.values()), *lingering], now, looked=looked
        )
        return self._changed(after, standing, hidden or {}, moment)

    def _changed(
        self,
        after: Mapping[str, Sighting],
        standing: Mapping[str, tuple[Finding, Mapping[str, Any]]],
        hidden: Mapping[str, Suppression],
        moment: float,
    ) -> list[News]:
        news: list[News] = []
        for name, sighting in after.items():
            entry = self.entries.get(name)
            before: State | None = entry.state if entry is not None else None
            rank = _RANK.get(text(entry.told, "severity"), 9) if entry is not None else 9
            if entry is None:
                entry = Entry(sighting, home(standing[name][0].subject))
                self.entries[name] = entry
            entry.sighting = sighting
            if name in standing:
                self._word(entry, *standing[name], moment)
            entry.suppression = _why_hidden(hidden.get(name))
            if entry.state != before:
                self._soon(entry, moment)
                news.append(News(entry, entry.state))
            elif entry.state == "active" and _RANK.get(text(entry.told, "severity"), 9) < rank:
                news.append(News(entry, entry.state, graver=True))
        for name in [name for name in self.entries if name not in after]:
            self._forget(name)
        return news

    def _word(self, entry: Entry, finding: Finding, told: Mapping[str, Any], moment: float) -> None:
        """Take in what the finding says now; it is written sooner or later, by what of it is different."""
        entry.finding = finding
        if told == entry.told:
            return
        if not entry.told:
            self._soon(entry, moment)
        else:
            (before, before_all), (after, after_all) = gist(entry.told), gist(told)
            wait = 0.0 if before != after else REWORD if before_all != after_all else REFRESH
            self._soon(entry, max(moment, entry.at + wait))
        entry.told = told

    def waits(self) -> float | None:
        """Return in how many seconds something that has just come or gone has stood or been away for long enough; None: nothing has."""
        due = [at + APPEAR for name, at in self._new.items() if not self._is_active(name)]
        due += [
            entry.gone_at + VANISH
            for entry in self.entries.values()
            if entry.gone_at is not None and entry.sighting.state == "active"
        ]
        return max(0.0, min(due) - self._seconds()) if due else None

    def writes(self) -> float | None:
        """Return in how many seconds something is to be written; None: nothing is."""
        due = [entry.due for entry in self.entries.values() if entry.due is not None]
        if self._stale:
            due.append(self._seconds() + 1.0)
        return max(0.0, min(due) - self._seconds()) if due else None

    def _is_active(self, name: str) -> bool:
        entry = self.entries.get(name)
        return entry is not None and entry.sighting.state == "active"

    def active(self) -> list[Entry]:
        """Return the findings that are there and that nobody has decided to live with."""
        return [entry for entry in self.entries.values() if entry.state == "active"]

    def touch(self, entry: Entry) -> None:
        """Have an entry written, whose proposal, healing or notification has changed."""
        self._soon(entry, self._seconds())

    # What is written

    async def adopt(self) -> None:
        """Read what an earlier process has left. Raises Refusal and Unreachable."""
        found, _ = await self._cluster.list(API_VERSION, "Finding", labels=f"{LABEL}=fairlead")
        for one in found:
            place = (text(one, "metadata", "namespace"), text(one, "metadata", "name"))
            sighting = histories.read(one)
            if sighting is None or sighting.id != place[1]:
                self._stale[place] = None
                continue
            status = mapping(one, "status")
            self.entries[sighting.id] = Entry(
                sighting,
                place[0],
                told=sighting.finding,
                suppression=mapping(status, "suppression") or None,
                proposal=mapping(status, "proposal") or None,
                healing=mapping(status, "healing") or None,
                notified=text(status, "notified"),
                annotations=strings(one, "metadata", "annotations"),
                written=own_parts(one),
            )
            self.entries[sighting.id].heed()

    def expire(self, now: datetime) -> None:
        """Let go of what has been gone for long, and of the oldest where there are too many."""
        gone = sorted(
            (entry for entry in self.entries.values() if entry.sighting.state == "resolved"),
            key=lambda entry: entry.sighting.since,
        )
        many = len(gone) - MOST_RESOLVED
        for index, entry in enumerate(gone):
            tells = (
                bool((entry.healing or {}).get("undo")) and (entry.healing or {}).get("outcome") != "undone"
            )
            kept = max(self._retention, HEALED) if tells else self._retention
            if index < many or now - entry.sighting.since > kept:
                self._forget(entry.id)

    async def flush(self) -> None:
        """Write what is due, and remove what was let go."""
        moment = self._seconds()
        due = sorted(
            (entry for entry in self.entries.values() if entry.due is not None and entry.due <= moment),
            key=lambda entry: entry.due or 0.0,
        )
        for entry in due[:AT_A_TIME]:
            if self.entries.get(entry.id) is entry and not await self._write(entry):
                return
        for place in list(self._stale)[:AT_A_TIME]:
            try:
                await self._cluster.delete(API_VERSION, "Finding", *place)
            except Refusal as refusal:
                if refusal.code not in {403, 404}:
                    log.warning("the finding %s/%s cannot be removed: %s", *place, refusal.message)
                    continue
            except Unreachable as error:
                log.warning("findings cannot be removed: %s", error)
                return
            del self._stale[place]

    async def keep(self, entry: Entry) -> bool:
        """Write one now, before any other; return whether its object tells of its healing what there is to tell."""
        self.touch(entry)
        await self._write(entry)
        return mapping(entry.written, "status", "healing") == (entry.healing or {})

    async def _write(self, entry: Entry) -> bool:
        """Write one; return whether it makes sense to go on with others."""
        async with self._writing:  # what is older is not to arrive later
            return await self._apply(entry)

    async def _apply(self, entry: Entry) -> bool:
        body = entry.body()
        entry.due = None
        if entry.written == own_parts(body):
            return True
        contested, entry.flying = entry.contested, True
        try:
            await self._cluster.patch(
                API_VERSION,
                "Finding",
                entry.namespace,
                entry.id,
                body,
                how="apply",
                manager=MANAGER,
                force=True,
            )
        except Refusal as refusal:
            self.failed += 1
            entry.failures += 1
            wait = LATER * min(entry.failures, 10)
            self._soon(entry, self._seconds() + wait)
            level = logging.WARNING if entry.failures == 1 else logging.DEBUG
            log.log(
                level, "the finding %s/%s is written later: %s", entry.namespace, entry.id, refusal.message
            )
            return refusal.code not in {401, 429, 503}
        except Unreachable as error:
            self.failed += 1
            self._soon(entry, self._seconds() + 1.0)
            log.debug("findings are written later: %s", error)
            return False
        finally:
            entry.flying = False
        self.written += 1
        entry.failures = 0
        entry.at = self._seconds()
        if entry.contested == contested:  # else what was heard meanwhile may have come after it
            entry.written = own_parts(body)
        return True

    def heard(self, puts: Iterable[Resource], drops: Iterable[Ref]) -> None:
        """Hear what became of Finding objects: what others have changed or removed of what holds is put right."""
        moment = self._seconds()
        for one in puts:
            entry = self._at(text(one, "metadata", "namespace"), text(one, "metadata", "name"))
            if entry is None or (entry.written is None and not entry.flying):
                continue
            entry.annotations = strings(one, "metadata", "annotations")
            entry.heed()
            if own_parts(one) != entry.written and own_parts(one) != own_parts(entry.body()):
                entry.written = own_parts(one)
                entry.contested += 1
                self._soon(entry, max(moment + 1.0, entry.at + CONTEST))
        for ref in drops:
            entry = self._at(ref.namespace, ref.name)
            if entry is None or entry.written is None:
                continue
            if entry.sighting.state == "resolved":
                del self.entries[entry.id]
                continue
            entry.written, entry.annotations = None, {}
            entry.contested += 1
            self._soon(entry, max(moment + 1.0, entry.at + CONTEST))

    def _at(self, namespace: str, name: str) -> Entry | None:
        entry = self.entries.get(name)
        return entry if entry is not None and entry.namespace == namespace else None

    @staticmethod
    def _soon(entry: Entry, at: float) -> None:
        entry.due = at if entry.due is None else min(entry.due, at)

    def _forget(self, name: str) -> None:
        entry = self.entries.pop(name)
        if entry.written is not None:
            self._stale[entry.namespace, entry.id] = None


def own_parts(resource: Mapping[str, Any]) -> Resource:
    """Return what of a Finding object is ours."""
    return {
        key: resource.get(key) for key in ("subject", "finding", "status") if resource.get(key) is not None
    }


def _why_hidden(by: Suppression | None) -> dict[str, Any] | None:
    if by is None:
        return None
    found = {"name": by.name, "reason": by.reason, "until": stamp(by.until) if by.until else ""}
    return {key: value for key, value in found.items() if value}
