"""What the store holds and what it hands out: stored objects, log entries, the outcome of a write, a listing.

Data only. Bodies are the JSON bytes of an object, encoded once; they go to the log, into lists and to watches as they
are. Must never hand out a decoded object that two callers share: `Stored.object` decodes afresh.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import orjson

from fairlead.words import Resource

Storage: TypeAlias = tuple[str, str]
"""(group, plural): one storage identity over all versions of a kind."""

EntryType: TypeAlias = Literal["ADDED", "MODIFIED", "DELETED"]

NO_LABELS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """One object as it is stored. `labels` and `owners` (owner uids) are read-only copies for indexes."""

    rv: int
    namespace: str
    name: str
    body: bytes
    labels: Mapping[str, str] = field(default_factory=dict)
    uid: str = ""
    owners: tuple[str, ...] = ()

    @property
    def object(self) -> Resource:
        """A fresh copy of the object, decoded from its bytes: the caller may change it."""
        decoded: Resource = orjson.loads(self.body)
        return decoded


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One write in the log. `previous` is the resourceVersion before it, 0 if there was none.

    `body` is the object's JSON; for DELETED it is the last state with the deletion's own resourceVersion. `before`
    is the state that the write replaced (None for ADDED), so that a watch with a selector can tell what changed for it;
    `stored` is the state after it (for DELETED: the last state).
    """

    rv: int
    type: EntryType
    storage: Storage
    namespace: str
    name: str
    body: bytes
    previous: int = 0
    stored: Stored | None = field(default=None, repr=False)
    before: Stored | None = field(default=None, repr=False)

    @property
    def object(self) -> Resource:
        """A fresh copy of the object, decoded from its bytes."""
        decoded: Resource = orjson.loads(self.body)
        return decoded

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels after the write (for DELETED: the last ones)."""
        return self.stored.labels if self.stored is not None else NO_LABELS


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a write came to. `object`/`body` is what the client is answered (an object, or a Status for most deletes).

    `entries` is empty for a dry run and for a write that changed nothing.
    """

    object: Resource
    body: bytes
    entries: tuple[Entry, ...] = ()
    warnings: tuple[str, ...] = ()
    created: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of a list, taken at `rv`. `continue_` is "" on the last page; `remaining` is None where it is not known.

    To answer a LIST, join the bodies of `items`: they are the JSON of the objects.
    """

    items: Sequence[Stored]
    rv: int
    continue_: str = ""
    remaining: int | None = None

    @property
    def metadata(self) -> dict[str, Any]:
        """The ListMeta."""
        meta: dict[str, Any] = {"resourceVersion": str(self.rv)}
        if self.continue_:
            meta["continue"] = self.continue_
        if self.remaining is not None:
            meta["remainingItemCount"] = self.remaining
        return meta


def encode(obj: Resource) -> bytes:
    """Return the object's bytes, apiVersion and kind first, so that a body's prefix tells its version."""
    if next(iter(obj), "") != "apiVersion":
        obj = {"apiVersion": obj.get("apiVersion", ""), "kind": obj.get("kind", ""), **obj}
    return orjson.dumps(obj)


def stored(obj: Resource, rv: int, body: bytes | None = None) -> Stored:
    """Return the Stored for an object whose metadata.resourceVersion is already `rv`."""
    meta = obj["metadata"]
    owners = meta.get("ownerReferences")
    labels = meta.get("labels")
    return Stored(
        rv,
        meta.get("namespace") or "",
        meta["name"],
        encode(obj) if body is None else body,
        dict(labels) if labels else NO_LABELS,
        meta.get("uid") or "",
        tuple(owner["uid"] for owner in owners) if owners else (),
    )


def revive(entry: Entry) -> Entry:
    """Return an entry that was read from a log with its `stored` filled in."""
    if entry.stored is not None:
        return entry
    return replace(entry, stored=stored(entry.object, entry.rv, entry.body))
