"""When what runs by the clock is due: cleanup policies by their schedules, objects by the label that lets them expire.

Holds names and times only; no clock is looked at here. What is missed while nobody looked is due at once.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from datetime import UTC, datetime

from fairlead.judge.policies import Policy
from fairlead.keep.entries import Storage, Stored
from fairlead.words import Ref, Resource, View

TTL = "cleanup.kyverno.io/ttl"
"""The label that says how long an object lasts."""
LATEST = datetime.max.replace(tzinfo=UTC)


class Schedules:
    """When each cleanup policy runs next."""

    def __init__(self) -> None:
        self._next: dict[Ref, tuple[str, datetime]] = {}

    def know(self, policies: Iterable[Policy], view: View, now: datetime) -> None:
        """Take in the policies of the moment; those whose schedule is as it was keep their next time."""
        known, self._next = self._next, {}
        for policy in policies:
            schedule = policy.labels.get("schedule")
            if not schedule or not any(rule.phase == "cleanup" for rule in policy.rules):
                continue
            before = known.get(policy.source)
            if before is not None and before[0] == schedule:
                self._next[policy.source] = before
                continue
            at = _next_run(policy, _last_run(policy.source, view, now))
            if at is not None:
                self._next[policy.source] = (schedule, at)

    @property
    def soonest(self) -> datetime | None:
        """When the next one is due."""
        return min((at for _, at in self._next.values()), default=None)

    def due(self, now: datetime, policies: Iterable[Policy]) -> list[Policy]:
        """Return the policies that are to run now; each gets its next time."""
        found = []
        for policy in policies:
            known = self._next.get(policy.source)
            if known is None or known[1] > now:
                continue
            found.append(policy)
            at = _next_run(policy, now)
            self._next[policy.source] = (known[0], at if at is not None else LATEST)
        return found


def _next_run(policy: Policy, last: datetime) -> datetime | None:
    from fairlead.dialects.kyverno.cleaning import next_run  # nobody else has schedules

    try:
        return next_run(policy, last)
    except ValueError:  # its finding says so
        return None


def _last_run(ref: Ref, view: View, now: datetime) -> datetime:
    """Return when a policy ran last, or when it came."""
    from fairlead.dialects.kyverno.statuses import last_executed

    said = last_executed(view.get(ref.group, ref.kind, ref.namespace, ref.name) or {})
    try:
        return datetime.fromisoformat(said).astimezone(UTC)
    except ValueError:
        return now


class Deadlines:
    """When each object that carries the label expires; what its label says is asked of the dialect only when it is due."""

    def __init__(self) -> None:
        self._at: dict[tuple[Storage, str, str], datetime] = {}
        self._heap: list[tuple[datetime, Storage, str, str]] = []

    def __len__(self) -> int:
        return len(self._at)

    def put(self, storage: Storage, stored: Stored, content: Resource) -> str:
        """Take an object in that carries the label; return what is wrong with the label."""
        from fairlead.dialects.kyverno.cleaning import deadline

        key = (storage, stored.namespace, stored.name)
        self._at.pop(key, None)
        if content["metadata"].get("deletionTimestamp"):
            return ""
        try:
            at = deadline(content)
        except ValueError as error:
            return str(error)
        self._at[key] = at
        heapq.heappush(self._heap, (at, *key))
        if len(self._heap) > 2 * len(self._at) + 64:
            self._heap = [(at, *key) for key, at in self._at.items()]
            heapq.heapify(self._heap)
        return ""

    def drop(self, storage: Storage, namespace: str, name: str) -> None:
        """Forget an object."""
        self._at.pop((storage, namespace, name), None)

    @property
    def soonest(self) -> datetime | None:
        """When the next object expires."""
        while self._heap and self._at.get(self._heap[0][1:]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now: datetime) -> list[tuple[Storage, str, str]]:
        """Return what has expired, and forget it."""
        found: list[tuple[Storage, str, str]] = []
        while (at := self.soonest) is not None and at <= now:
            key = heapq.heappop(self._heap)[1:]
            found.append(key)
            del self._at[key]
        return found
