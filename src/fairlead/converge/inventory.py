"""What an instance has written: entries `<namespace>_<name>_<group>_<kind>` with the version, and what is to be pruned.

An inventory covers whatever may have been written, so it grows before the first write and shrinks only after a deletion was seen. Pure.
Source of the entries: sigs.k8s.io/cli-utils pkg/object, as Flux and Timoni use them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from fairlead.words import Ref, Resource

_RBAC: Final = "rbac.authorization.k8s.io"


@dataclass(frozen=True, slots=True)
class Entry:
    """One object of an inventory: what it is called, and the API version that it was written in."""

    ref: Ref
    api_version: str

    @property
    def id(self) -> str:
        """The entry's text. Colons, which only names of RBAC may have, are written as two underscores."""
        name = self.ref.name.replace(":", "__") if self.ref.group == _RBAC else self.ref.name
        return f"{self.ref.namespace}_{name}_{self.ref.group}_{self.ref.kind}"

    @property
    def version(self) -> str:
        """The version without the group: `v1`."""
        return self.api_version.rpartition("/")[2]

    @classmethod
    def of(cls, resource: Resource) -> Entry:
        """Return an object's entry."""
        ref = Ref.of(resource)
        return cls(Ref(ref.group, ref.kind, ref.namespace, ref.name), str(resource.get("apiVersion") or ""))

    @classmethod
    def parse(cls, id: str, version: str) -> Entry:  # noqa: A002  the formats call it so
        """Return the entry that a text stands for. Raises ValueError."""
        parts = id.split("_")
        if len(parts) < 4:
            raise ValueError(
                f"{id!r} is no entry of an inventory: <namespace>_<name>_<group>_<kind> is wanted"
            )
        namespace, group, kind = parts[0], parts[-2], parts[-1]
        name = "_".join(parts[1:-2])
        if group == _RBAC:
            name = name.replace("__", ":")
        return cls(Ref(group, kind, namespace, name), f"{group}/{version}" if group else version)


class Inventory:
    """Entries by object, in the order of their arrival. Never changed: `|` and `-` make others."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._entries: dict[Ref, Entry] = {one.ref: one for one in entries}

    @classmethod
    def of(cls, objects: Iterable[Resource]) -> Inventory:
        """Return the inventory of objects."""
        return cls(Entry.of(one) for one in objects)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, ref: object) -> bool:
        return ref in self._entries

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Inventory) and {one.id for one in self} == {one.id for one in other}

    def __hash__(self) -> int:
        return hash(frozenset(one.id for one in self))

    def get(self, ref: Ref) -> Entry | None:
        """Return the object's entry, or None."""
        return self._entries.get(ref)

    def __or__(self, other: Inventory) -> Inventory:
        """Return what is in either; versions are those of the other where both have an object."""
        return Inventory((*self, *other))

    def __sub__(self, other: Inventory) -> Inventory:
        """Return what is only here: what is to be pruned when the other is what is wanted."""
        return Inventory(one for one in self if one.ref not in other)

    def without(self, refs: Iterable[Ref]) -> Inventory:
        """Return the inventory without the objects."""
        gone = set(refs)
        return Inventory(one for one in self if one.ref not in gone)

    def as_json(self) -> list[list[str]]:
        """Return pairs of id and version, sorted."""
        return sorted([one.id, one.version] for one in self)

    @classmethod
    def from_json(cls, pairs: Iterable[Iterable[str]] | Iterable[Mapping[str, str]]) -> Inventory:
        """Return what `as_json` wrote, or Flux's form of it (mappings of `id` and `v`). Raises ValueError."""
        entries = []
        for pair in pairs:
            id_, version = (
                (pair.get("id", ""), pair.get("v", "")) if isinstance(pair, Mapping) else tuple(pair)
            )
            entries.append(Entry.parse(id_, version))
        return cls(entries)
