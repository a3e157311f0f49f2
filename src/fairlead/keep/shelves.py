"""Where objects lie: drawers by storage and namespace, in Kubernetes' list order, and the window of recent entries.

Plain containers, without any rule about who may write. Must never decode a body.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter

from fairlead.keep.entries import Entry, Storage, Stored
from fairlead.keep.errors import too_old

OTHERS: Storage = ("", "")
"""Stands for every storage that has no floor of its own."""

_rv = attrgetter("rv")


class Drawer:
    """The objects of one storage in one namespace, by name and in order of their names."""

    __slots__ = ("order", "things")

    def __init__(self) -> None:
        self.things: dict[str, Stored] = {}
        self.order: list[str] = []

    def copy(self) -> Drawer:
        """Return an independent drawer with the same objects."""
        other = Drawer()
        other.things = self.things.copy()
        other.order = self.order.copy()
        return other

    def __iter__(self) -> Iterator[Stored]:
        things = self.things
        return (things[name] for name in self.order)


class Shelves:
    """All objects of one moment."""

    __slots__ = ("_drawers",)

    def __init__(self) -> None:
        self._drawers: dict[Storage, dict[str, Drawer]] = {}

    def get(self, storage: Storage, namespace: str, name: str) -> Stored | None:
        """Return the object, or None."""
        drawers = self._drawers.get(storage)
        drawer = drawers.get(namespace) if drawers else None
        return drawer.things.get(name) if drawer else None

    def put(self, storage: Storage, stored: Stored) -> None:
        """Add or replace an object."""
        drawer = self._drawers.setdefault(storage, {}).get(stored.namespace)
        if drawer is None:
            drawer = self._drawers[storage][stored.namespace] = Drawer()
        if stored.name not in drawer.things:
            order = drawer.order
            if not order or order[-1] < stored.name:
                order.append(stored.name)
            else:
                insort(order, stored.name)
        drawer.things[stored.name] = stored

    def drop(self, storage: Storage, namespace: str, name: str) -> None:
        """Take an object away, if it is there."""
        drawers = self._drawers.get(storage)
        drawer = drawers.get(namespace) if drawers else None
        if drawers is None or drawer is None or drawer.things.pop(name, None) is None:
            return
        del drawer.order[bisect_left(drawer.order, name)]
        if not drawer.things:
            del drawers[namespace]
            if not drawers:
                del self._drawers[storage]

    def items(self, storage: Storage, namespace: str | None = None) -> list[Stored]:
        """Return the objects of one namespace, or of all, in the order of their keys."""
        drawers = self._drawers.get(storage)
        if not drawers:
            return []
        if namespace is not None:
            drawer = drawers.get(namespace)
            return [drawer.things[name] for name in drawer.order] if drawer else []
        return [stored for key in sorted(drawers, key=key_of) for stored in drawers[key]]

    def page(self, storage: Storage, namespace: str, after: str, count: int) -> tuple[list[Stored], int]:
        """Return the first objects of a namespace whose names are `after` or later, and how many more there are."""
        drawer = self._drawers.get(storage, {}).get(namespace)
        if drawer is None:
            return [], 0
        start = bisect_left(drawer.order, after)
        names = drawer.order[start : start + count]
        return [drawer.things[name] for name in names], len(drawer.order) - start - len(names)

    def count(self, storage: Storage, namespace: str | None = None) -> int:
        """Return how many objects there are."""
        drawers = self._drawers.get(storage, {})
        if namespace is None:
            return sum(len(drawer.things) for drawer in drawers.values())
        drawer = drawers.get(namespace)
        return len(drawer.things) if drawer else 0

    def storages(self) -> list[Storage]:
        """Return each storage that holds something."""
        return list(self._drawers)

    def copy(self) -> Shelves:
        """Return independent shelves with the same (immutable) objects."""
        other = Shelves()
        other._drawers = {
            storage: {namespace: drawer.copy() for namespace, drawer in drawers.items()}
            for storage, drawers in self._drawers.items()
        }
        return other


def key_of(namespace: str, name: str = "") -> str:
    """Return the text that Kubernetes' list order compares: `namespace/name`."""
    return f"{namespace}/{name}"


class Window:
    """The recent entries, by their resourceVersion: what watches catch up from.

    `floor(storage)` is the oldest resourceVersion that can still be continued from.
    """

    __slots__ = ("_all", "_by", "_floor", "_floors")

    def __init__(self, floors: Mapping[Storage, int] | None = None) -> None:
        self._all: list[Entry] = []
        self._by: dict[Storage, list[Entry]] = {}
        self._floors: dict[Storage, int] = dict(floors or {})
        self._floor = self._floors.pop(OTHERS, 0)

    @property
    def floors(self) -> dict[Storage, int]:
        """The floor of each storage that has its own, and of all the OTHERS."""
        return {OTHERS: self._floor, **self._floors}

    def add(self, entry: Entry) -> None:
        """Append an entry, whose resourceVersion must be the highest so far."""
        self._all.append(entry)
        mine = self._by.get(entry.storage)
        if mine is None:
            mine = self._by[entry.storage] = []
        mine.append(entry)

    def floor(self, storage: Storage | None) -> int:
        """Return the oldest resourceVersion that entries can be listed since."""
        if storage is None:
            return max(self._floors.values(), default=self._floor)
        return self._floors.get(storage, self._floor)

    def since(self, storage: Storage | None, rv: int) -> Sequence[Entry]:
        """Return the entries after a resourceVersion, of one storage or of all; Refusal 410 if they are not all here."""
        floor = self.floor(storage)
        if rv < floor:
            raise too_old(rv, floor)
        entries = self._all if storage is None else self._by.get(storage, [])
        return entries[bisect_right(entries, rv, key=_rv) :]

    def trim(self, keep: int, fewer: Iterable[tuple[Storage, int]] = ()) -> None:
        """Forget all but the last `keep` entries, and all but a given number of those of some storages."""
        for storage, count in fewer:
            mine = self._by.get(storage, [])
            if len(mine) > count:
                self._floors[storage] = max(self.floor(storage), mine[len(mine) - count - 1].rv)
                gone = {entry.rv for entry in mine[: len(mine) - count]}
                del mine[: len(mine) - count]
                self._all = [entry for entry in self._all if entry.rv not in gone]
        if len(self._all) > keep:
            self.forget(self._all[len(self._all) - keep - 1].rv)

    def forget(self, rv: int) -> None:
        """Forget the entries up to and including a resourceVersion."""
        if rv <= self._floor:
            return
        self._floor = rv
        del self._all[: bisect_right(self._all, rv, key=_rv)]
        for storage, mine in list(self._by.items()):
            del mine[: bisect_right(mine, rv, key=_rv)]
            if not mine:
                del self._by[storage]
        self._floors = {storage: floor for storage, floor in self._floors.items() if floor > rv}

    @property
    def oldest(self) -> int:
        """The resourceVersion of the oldest entry here, or the floor."""
        return self._all[0].rv if self._all else self._floor

    def copy(self) -> Window:
        """Return an independent window with the same entries."""
        other = Window(self.floors)
        other._all = self._all.copy()
        other._by = {storage: entries.copy() for storage, entries in self._by.items()}
        return other

    def __len__(self) -> int:
        return len(self._all)
