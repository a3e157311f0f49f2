"""How long to wait before trying again: delays that double up to a ceiling and are forgotten after a quiet while.

Pure arithmetic over times that are handed in. Source: client-go's flowcontrol.Backoff as kubelet uses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Entry:
    """The present delay for one key, and when it was last lengthened."""

    delay: timedelta
    updated: datetime


@dataclass(frozen=True, slots=True)
class Backoffs:
    """The delays of several keys. Every step returns a new value; nothing is changed in place."""

    base: timedelta = timedelta(seconds=10)
    ceiling: timedelta = timedelta(minutes=5)
    entries: Mapping[str, Entry] = field(default_factory=dict)

    def _live(self, key: str, since: datetime) -> Entry | None:
        entry = self.entries.get(key)
        if entry is None or since - entry.updated > self.ceiling * 2:
            return None
        return entry

    def left(self, key: str, since: datetime, now: datetime) -> timedelta | None:
        """Return how long the key must still wait after what happened at `since`, or None when it need not."""
        entry = self._live(key, since)
        if entry is None:
            return None
        rest = since + entry.delay - now
        return rest if rest > timedelta() else None

    def delay(self, key: str) -> timedelta:
        """Return the present delay of the key (zero when there is none)."""
        entry = self.entries.get(key)
        return entry.delay if entry else timedelta()

    def lengthen(self, key: str, since: datetime, now: datetime) -> Backoffs:
        """Return the delays after one more failure that happened at `since`: the base first, then double."""
        entry = self._live(key, since)
        delay = self.base if entry is None else min(entry.delay * 2, self.ceiling)
        return replace(self, entries={**self.entries, key: Entry(delay, now)})

    def forget(self, key: str) -> Backoffs:
        """Return the delays without the key."""
        return replace(self, entries={name: entry for name, entry in self.entries.items() if name != key})
