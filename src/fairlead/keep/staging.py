"""The store's state: what is committed, what writers have staged on top of it, and the window of recent entries.

Writers see the head; readers see what is committed. An entry counts as true only once `commit` was told that the log
holds it; `rollback` drops the rest. No rule about objects lives here, and nothing here waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from fairlead.keep.entries import Entry, EntryType, Storage, Stored, encode, revive, stored
from fairlead.keep.shelves import OTHERS, Shelves, Window
from fairlead.words import Resource

KEEP = 10_000
"""Entries that the window holds at least for all storages together."""
FEWER: tuple[tuple[Storage, int], ...] = (
    (("coordination.k8s.io", "leases"), 100),
    (("", "events"), 2_000),
    (("wgpolicyk8s.io", "policyreports"), 200),
    (("wgpolicyk8s.io", "clusterpolicyreports"), 200),
)
"""Storages that change all the time and that few continue from: their share of the window is small."""
_TRIM_EVERY = 512


class Index(Protocol):
    """Something derived from the head that must follow every staged write, and every one that is taken back."""

    def change(self, storage: Storage, before: Stored | None, after: Stored | None) -> None:
        """Follow one object from one state to another; None is absence."""

    def copy(self) -> Index:
        """Return an independent index with the same content."""


class Store:
    """Objects, staged entries and the window. With `auto_commit` head and committed state are one: a what-if copy."""

    def __init__(self, *, auto_commit: bool = False) -> None:
        self.auto_commit = auto_commit
        self.committed = Shelves()
        self.head = self.committed if auto_commit else Shelves()
        self.window = Window()
        self.indexes: dict[str, Index] = {}
        self.rv = 0
        """The last resourceVersion assigned."""
        self.committed_rv = 0
        self._staged: deque[Entry] = deque()
        self._since_trim = 0

    def stage(self, type_: EntryType, storage: Storage, obj: Resource, before: Stored | None) -> Entry:
        """Assign the next resourceVersion, encode the object once and put it on top of the head.

        Sets `obj.metadata.resourceVersion`.
        """
        self.rv += 1
        obj["metadata"]["resourceVersion"] = str(self.rv)
        body = encode(obj)
        after = stored(obj, self.rv, body)
        entry = Entry(
            self.rv,
            type_,
            storage,
            after.namespace,
            after.name,
            body,
            before.rv if before is not None else 0,
            after,
            before,
        )
        self._put(self.head, entry)
        self._follow(entry)
        self._staged.append(entry)
        return entry

    def commit(self, rv: int) -> Sequence[Entry]:
        """Make everything staged up to `rv` visible to readers, and return it."""
        done: list[Entry] = []
        while self._staged and self._staged[0].rv <= rv:
            entry = self._staged.popleft()
            if self.committed is not self.head:
                self._put(self.committed, entry)
            self._publish(entry)
            done.append(entry)
        return done

    def rollback(self, rv: int = 0) -> None:
        """Drop what was staged after `rv` and not committed. Its resourceVersions are not used again."""
        while self._staged and self._staged[-1].rv > rv:
            entry = self._staged.pop()
            if entry.before is None:
                self.head.drop(entry.storage, entry.namespace, entry.name)
            else:
                self.head.put(entry.storage, entry.before)
            after = None if entry.type == "DELETED" else entry.stored
            for index in self.indexes.values():
                index.change(entry.storage, after, entry.before)

    def restore(
        self, current: Iterable[Entry], window: Iterable[Entry], rv: int, floors: Mapping[Storage, int]
    ) -> None:
        """Fill an empty store from a log: the objects, the recent entries, the last resourceVersion, the window's floors.

        An entry of the window whose state before is neither its own `before` nor in the log is left without one.
        """
        by_rv: dict[int, Stored] = {}
        for entry in current:
            now = revive(entry)
            self._put(self.committed, now)
            if self.head is not self.committed:
                self._put(self.head, now)
            self._follow(now)
            if now.stored is not None:
                by_rv[entry.rv] = now.stored
        self.window = Window(floors)
        for entry in window:
            whole = replace(entry, stored=by_rv[entry.rv]) if entry.rv in by_rv else revive(entry)
            if whole.before is None and whole.previous:
                whole = replace(whole, before=by_rv.get(whole.previous))
            if whole.stored is not None:
                by_rv[entry.rv] = whole.stored
            self.window.add(whole)
        self.rv = self.committed_rv = rv

    def fork(self) -> Store:
        """Return an independent copy of what is committed, which commits every write at once."""
        other = Store(auto_commit=True)
        other.committed = other.head = self.committed.copy()
        other.window = Window({OTHERS: self.committed_rv})
        other.rv = other.committed_rv = self.committed_rv
        if self._staged:
            other.indexes = {name: _rebuilt(index, self._staged) for name, index in self.indexes.items()}
        else:
            other.indexes = {name: index.copy() for name, index in self.indexes.items()}
        return other

    def staged_after(self, rv: int) -> list[Entry]:
        """Return what was staged after a resourceVersion, in order."""
        found = []
        for entry in reversed(self._staged):
            if entry.rv <= rv:
                break
            found.append(entry)
        return found[::-1]

    @property
    def staged(self) -> int:
        """How many entries wait for their commit."""
        return len(self._staged)

    def _publish(self, entry: Entry) -> None:
        self.window.add(entry)
        self.committed_rv = entry.rv
        self._since_trim += 1
        if self._since_trim >= _TRIM_EVERY:
            self._since_trim = 0
            self.window.trim(KEEP, FEWER)

    def _follow(self, entry: Entry) -> None:
        after = None if entry.type == "DELETED" else entry.stored
        for index in self.indexes.values():
            index.change(entry.storage, entry.before, after)

    @staticmethod
    def _put(shelves: Shelves, entry: Entry) -> None:
        if entry.type == "DELETED" or entry.stored is None:
            shelves.drop(entry.storage, entry.namespace, entry.name)
        else:
            shelves.put(entry.storage, entry.stored)


def _rebuilt(index: Index, staged: Iterable[Entry]) -> Index:
    other = index.copy()
    for entry in reversed(list(staged)):
        other.change(entry.storage, None if entry.type == "DELETED" else entry.stored, entry.before)
    return other
