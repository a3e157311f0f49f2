"""The head of a store as policies see it: a View that costs little, because what has not changed is not decoded again.

Reads only. An object that is handed out is shared and must not be changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from fairlead.keep.entries import Storage, Stored
from fairlead.keep.kinds import Catalogue, Kind
from fairlead.keep.staging import Store
from fairlead.keep.versions import STORED_AS
from fairlead.words import Resource, View

EVERYTHING = ("*", "*")
UNLENT = frozenset({"wgpolicyk8s.io"})
"""API groups of which a lending View does not keep everything."""
_KEPT_LISTS = 64


class Ticks:
    """Counts the changes of each storage, and notes which storages of policy documents changed. An Index of the store."""

    def __init__(self, policies: Callable[[Storage], bool]) -> None:
        self.counts: dict[Storage, int] = {}
        self.total = 0
        self.dirty: set[Storage] = set()
        self._policies = policies

    def change(self, storage: Storage, before: Stored | None, after: Stored | None) -> None:  # noqa: ARG002  an Index's face
        """See keep.staging.Index."""
        self.total += 1
        self.counts[storage] = self.counts.get(storage, 0) + 1
        if self._policies(storage):
            self.dirty.add(storage)

    def copy(self) -> Ticks:
        """See keep.staging.Index."""
        other = Ticks(self._policies)
        other.counts, other.total, other.dirty = dict(self.counts), self.total, set(self.dirty)
        return other


class HeadView:
    """A words.View over what the next write will see. `lend` gives a View of objects that are decoded already."""

    def __init__(
        self, store: Store, catalogue: Catalogue, ticks: Ticks, lend: Callable[[], View | None] | None = None
    ) -> None:
        self.catalogue = catalogue
        self._store = store
        self._ticks = ticks
        self._lend = lend
        self._lists: dict[tuple[Storage, str | None], tuple[int, list[Resource]]] = {}

    def stamp(self, wanted: Iterable[tuple[str, str]]) -> object:
        """Return something that is the same as long as no object of these kinds, (group, kind), has changed."""
        kinds = frozenset(wanted)
        if EVERYTHING in kinds:
            return self._ticks.total
        counts = self._ticks.counts
        found = [self._kind(group, kind) for group, kind in kinds]
        return (kinds, *(counts.get(one.storage, 0) for one in found if one is not None))

    def get(self, group: str, kind: str, namespace: str, name: str) -> Resource | None:
        """See words.View."""
        found = self._kind(group, kind)
        if found is None:
            return None
        stored = self._store.head.get(found.storage, namespace, name)
        return self._decoded(stored, found) if stored is not None else None

    def list(self, group: str, kind: str, namespace: str | None = None) -> Sequence[Resource]:
        """See words.View."""
        found = self._kind(group, kind)
        if found is None:
            return []
        key, tick = (found.storage, namespace), self._ticks.counts.get(found.storage, 0)
        known = self._lists.get(key)
        if known is not None and known[0] == tick:
            return known[1]
        items = [self._decoded(stored, found) for stored in self._store.head.items(found.storage, namespace)]
        self._lists.pop(key, None)
        self._lists[key] = (tick, items)
        if len(self._lists) > _KEPT_LISTS:
            del self._lists[next(iter(self._lists))]
        return items

    def owned(self, uid: str) -> Sequence[Resource]:
        """See words.View."""
        head = self._store.head
        return [
            stored.object
            for storage in head.storages()
            for stored in head.items(storage)
            if uid in stored.owners
        ]

    def kinds(self) -> Sequence[tuple[str, str]]:
        """See words.View."""
        there = set(self._store.head.storages())
        return list(
            dict.fromkeys((one.group, one.kind) for one in self.catalogue.all() if one.storage in there)
        )

    def _kind(self, group: str, kind: str) -> Kind | None:
        return self.catalogue.kind(group, kind)

    def _decoded(self, stored: Stored, kind: Kind) -> Resource:
        lent = None
        if self._lend is not None and kind.storage not in STORED_AS and kind.group not in UNLENT:
            lent = self._lend()
        if lent is not None:
            known = lent.get(kind.group, kind.kind, stored.namespace, stored.name)
            if known is not None and known["metadata"].get("resourceVersion") == str(stored.rv):
                return known
        return stored.object
