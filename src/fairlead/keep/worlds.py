"""A cluster's whole state with the API's semantics: what faces, loops and what-if copies read and write.

`World` puts the parts together; the rules are in `writing`, `deleting`, `subresources`, `listing` and `admitting`.
A write is staged and becomes visible to readers with `commit`; a fork commits every write at once. Must never wait,
look at a clock or touch a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from fairlead.keep import deleting, extending, listing, scaling, selecting, strategies, subresources
from fairlead.keep.allocating import Taken
from fairlead.keep.chances import Chance
from fairlead.keep.entries import Entry, EntryType, Listing, Outcome, Storage, Stored
from fairlead.keep.errors import Refusal, not_found
from fairlead.keep.gating import GATE, Gate, Tape
from fairlead.keep.kinds import BUILT_IN, Catalogue, Kind
from fairlead.keep.merging import copied
from fairlead.keep.requests import Request
from fairlead.keep.schemas import Definitions, Schemas
from fairlead.keep.selecting import Fields
from fairlead.keep.staging import Store
from fairlead.keep.versions import all_shown, shown, shown_entry
from fairlead.keep.writing import Writer
from fairlead.tongues.selectors import Expr
from fairlead.words import PatchType, Resource

__all__ = ["Entry", "EntryType", "Fields", "Listing", "Outcome", "Storage", "Stored", "World"]


class World:
    """One cluster's objects.

    `definitions` are Kubernetes' OpenAPI definitions (or Schemas made of them); `rng` gives uids and generated names. Bodies and patches are
    taken over by the writes that they are handed to. Every write raises Refusal where the API would refuse.
    """

    def __init__(
        self,
        definitions: Mapping[str, Any] | Definitions | Schemas,
        rng: Chance,
        *,
        store: Store | None = None,
        catalogue: Catalogue | None = None,
        gate: Gate | None = None,
    ) -> None:
        self.catalogue = Catalogue(BUILT_IN) if catalogue is None else catalogue
        self.schemas = definitions if isinstance(definitions, Schemas) else Schemas(definitions)
        if store is None:
            store = Store()
            store.indexes["services"] = Taken()
        self._store = store
        self._writer = Writer(store, self.catalogue, self.schemas, rng)
        if gate is not None:
            self.guard(gate)

    def guard(self, gate: Gate) -> None:
        """Let the gate judge every write from now on."""
        self._writer.gate = gate
        index = gate.attach(self._store, self.catalogue, self.schemas)
        if index is not None:
            self._store.indexes[GATE] = index

    @property
    def closed(self) -> bool:
        """Whether there is a gate with anything to judge by: then a write may have to be tried again."""
        gate = self._writer.gate
        return gate is not None and gate.closed

    # Writing

    def create(
        self,
        kind: Kind,
        namespace: str,
        body: Resource,
        request: Request,
        name: str = "",
        subresource: str = "",
    ) -> Outcome:
        """Create an object, or POST to a subresource of the object `name` (a pod's binding or eviction)."""

        def step() -> Outcome:
            given = self._given(body)
            if subresource:
                return subresources.create(self._writer, kind, namespace, name, given, request, subresource)
            if strategies.custom(kind):
                self._refuse_terminating(kind, given)
            return self._writer.create(kind, namespace, given, request)

        return self._whole(step)

    def update(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        body: Resource,
        request: Request,
        subresource: str = "",
    ) -> Outcome:
        """Replace an object, or what a subresource (status, scale, finalize, approval, ...) shows of it."""

        def step() -> Outcome:
            given = self._given(body)
            if subresource:
                return subresources.update(
                    self._writer,
                    kind,
                    namespace,
                    name,
                    given,
                    request,
                    subresource,
                    self._paths(kind, subresource),
                )
            return self._writer.update(kind, namespace, name, given, request)

        return self._whole(step)

    def patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        patch: Any,
        patch_type: PatchType,
        request: Request,
        subresource: str = "",
    ) -> Outcome:
        """Patch an object or a subresource of it; `apply` is server-side apply and may create."""

        def step() -> Outcome:
            given = self._given(patch)
            if subresource:
                return subresources.patch(
                    self._writer,
                    kind,
                    namespace,
                    name,
                    given,
                    patch_type,
                    request,
                    subresource,
                    self._paths(kind, subresource),
                )
            if patch_type == "strategic" and strategies.custom(kind):
                raise Refusal(
                    415,
                    "UnsupportedMediaType",
                    "the body of the request was in an unknown format - accepted media types include: "
                    "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
                    {},
                )
            return self._writer.patch(kind, namespace, name, given, patch_type, request)

        return self._whole(step)

    def delete(
        self, kind: Kind, namespace: str, name: str, options: dict[str, Any], request: Request
    ) -> Outcome:
        """Delete an object, or begin to. `options` is a DeleteOptions object ({} for none)."""
        return self._whole(lambda: deleting.delete(self._writer, kind, namespace, name, options, request))

    def delete_collection(
        self,
        kind: Kind,
        namespace: str,
        options: dict[str, Any],
        request: Request,
        labels: Expr | None = None,
        fields: Fields = (),
    ) -> Outcome:
        """Delete every object that the selectors pick; the answer is the list of them."""
        chosen = selecting.checked(kind, fields, self._selectable(kind))

        def step() -> Outcome:
            found = [
                stored
                for stored in self._store.head.items(
                    kind.storage, namespace or None if kind.namespaced else ""
                )
                if selecting.selected(kind.storage, stored, labels, chosen)
            ]
            return deleting.delete_collection(self._writer, kind, found, options, request)

        return self._whole(step)

    def clear_definition(self, name: str, request: Request) -> Outcome:
        """Delete the objects of a CustomResourceDefinition that is being deleted; let go of it after the last."""
        kind = self.catalogue.kind("apiextensions.k8s.io", "CustomResourceDefinition")
        assert kind is not None
        return self._whole(lambda: deleting.clear_definition(self._writer, kind, name, request))

    def connect(
        self, kind: Kind, namespace: str, name: str, options: Resource, request: Request, subresource: str
    ) -> Outcome:
        """Ask the gate about a connection to an object (a pod's exec, attach, portforward). Changes nothing; Refusal 404."""
        return subresources.connect(self._writer, kind, namespace, name, options, request, subresource)

    def attempt(
        self, step: Callable[[World], Outcome], drawn: list[tuple[int, int]] | None = None
    ) -> tuple[Outcome, Sequence[Entry]]:
        """Run a step of any number of writes, all or none: return its outcome and every entry that it staged.

        With `drawn`, uids and generated names are written down there, and are the same when the step is tried again with it.
        """
        mark = self._store.rv
        rng = self._writer.rng
        if drawn is not None:
            self._writer.rng = Tape(rng, drawn)
        try:
            outcome = step(self)
        except BaseException:
            self._store.rollback(mark)
            raise
        finally:
            self._writer.rng = rng
        return outcome, self._store.staged_after(mark)

    def _given(self, body: Any) -> Any:
        """Return a body to be taken over: a copy where the write may have to be tried again."""
        return copied(body) if self.closed else body

    def _whole(self, step: Callable[[], Outcome]) -> Outcome:
        """Run a step that may stage several entries; a refusal on the way takes all of them back."""
        mark = self._store.rv
        try:
            outcome = step()
        except BaseException:
            if self._store.rv != mark:
                self._store.rollback(mark)
            raise
        if self._store.auto_commit:
            self.commit(self._store.rv)
        return outcome

    # Reading

    @property
    def rv(self) -> int:
        """The resourceVersion of what readers see."""
        return self._store.committed_rv

    def get(self, kind: Kind, namespace: str, name: str, overlay: bool = False) -> Stored:
        """Return the object in the version of `kind`; with `overlay` also what is not committed yet. Refusal 404."""
        shelves = self._store.head if overlay else self._store.committed
        found = shelves.get(kind.storage, namespace, name)
        if found is None:
            raise not_found(kind.group, kind.plural, name)
        return shown(found, kind)

    def has(self, kind: Kind, namespace: str, name: str) -> bool:
        """Whether the object is there for the next write, committed or not."""
        return self._store.head.get(kind.storage, namespace, name) is not None

    def scale(self, kind: Kind, namespace: str, name: str) -> Resource:
        """Return the autoscaling/v1 Scale of an object."""
        return scaling.scale_of(self.get(kind, namespace, name).object, self._paths(kind, "scale"))

    def list(
        self,
        kind: Kind,
        namespace: str | None,
        labels: Expr | None = None,
        fields: Fields = (),
        limit: int = 0,
        continue_: str = "",
        rv: str = "",
        rv_match: str = "",
    ) -> Listing:
        """Return one page of a list, in the version of `kind`; namespace None (or "") is all of them.

        `fields` are those of `tongues.selectors.parse_fields`. Refusals 400, 410 (with a token to go on), 422, 504.
        """
        chosen = selecting.checked(kind, fields, self._selectable(kind)) if fields else ()
        where = (namespace or None) if kind.namespaced else ""
        found = listing.page(self._store, kind.storage, where, labels, chosen, limit, continue_, rv, rv_match)
        return Listing(all_shown(found.items, kind), found.rv, found.continue_, found.remaining)

    def since(self, kind: Kind | None, namespace: str | None, rv: int) -> Sequence[Entry]:
        """Return the committed writes after a resourceVersion; Refusal 410 if the window has left it behind."""
        entries = self._store.window.since(kind.storage if kind is not None else None, rv)
        if namespace:
            entries = [entry for entry in entries if entry.namespace == namespace]
        if kind is None:
            return list(entries)
        return [shown_entry(entry, kind) for entry in entries]

    def fields(self, kind: Kind, fields: Fields) -> Fields:
        """Return a watch's field selector as `selecting.seen_as` wants it; Refusal 400 for an unsupported field."""
        return selecting.checked(kind, fields, self._selectable(kind))

    def storages(self) -> Sequence[Storage]:
        """Return each (group, plural) that has committed objects."""
        return self._store.committed.storages()

    def stored(self, storage: Storage, namespace: str | None = None) -> Sequence[Stored]:
        """Return the committed objects of one storage as they are stored."""
        return self._store.committed.items(storage, namespace)

    def newest(self, storage: Storage, namespace: str | None = None) -> Sequence[Stored]:
        """Return the objects of one storage as the next write will see them, committed or not."""
        return self._store.head.items(storage, namespace)

    def count(self, storage: Storage) -> int:
        """Return how many committed objects a storage holds."""
        return self._store.committed.count(storage)

    # The log

    def commit(self, rv: int) -> Sequence[Entry]:
        """Make what was staged up to `rv` visible, once the log holds it; return the entries in their order."""
        entries = self._store.commit(rv)
        self._learn(entries)
        return entries

    def rollback(self) -> None:
        """Drop what was staged and not committed."""
        self._store.rollback()

    def restore(
        self,
        current: Iterable[Entry],
        window: Iterable[Entry],
        rv: int,
        floors: Mapping[Storage, int] | None = None,
    ) -> None:
        """Fill a new World from a log: objects, recent entries, last resourceVersion, and how far back watches may go."""
        self._store.restore(current, window, rv, floors or {})
        for stored in self._store.committed.items(extending.DEFINITIONS):
            extending.take_up(stored.object, self.catalogue, self.schemas)

    @property
    def floors(self) -> Mapping[Storage, int]:
        """The oldest resourceVersion that can be continued from; ("", "") is the one of every other storage."""
        return self._store.window.floors

    def forget(self, rv: int) -> None:
        """Drop the entries up to a resourceVersion from the window."""
        self._store.window.forget(rv)

    def fork(self, rng: Chance | None = None) -> World:
        """Return an independent copy of what is committed, in which every write counts at once. The gate comes along."""
        gate = self._writer.gate
        return World(
            self.schemas.copy(),
            self._writer.rng if rng is None else rng,
            store=self._store.fork(),
            catalogue=self.catalogue.copy(),
            gate=gate.fork() if gate is not None else None,
        )

    # Parts

    def _learn(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if entry.storage == extending.DEFINITIONS:
                if entry.type == "DELETED":
                    extending.let_go(entry.object, self.catalogue, self.schemas)
                else:
                    before = entry.before.object if entry.before is not None else None
                    extending.take_up(entry.object, self.catalogue, self.schemas, before)

    def _definition(self, kind: Kind) -> Resource | None:
        if not strategies.custom(kind):
            return None
        name = f"{kind.plural}.{kind.group}"
        found = self._store.head.get(extending.DEFINITIONS, "", name)
        return found.object if found is not None else None

    def _paths(self, kind: Kind, subresource: str) -> scaling.Paths | None:
        definition = self._definition(kind) if subresource == "scale" else None
        return extending.scale_paths(definition, kind.version) if definition is not None else None

    def _selectable(self, kind: Kind) -> Sequence[str]:
        definition = self._definition(kind)
        return extending.selectable(definition, kind.version) if definition is not None else ()

    def _refuse_terminating(self, kind: Kind, body: Resource) -> None:
        definition = self._definition(kind)
        if definition is not None and definition["metadata"].get("deletionTimestamp"):
            name = (body.get("metadata") or {}).get("name") or ""
            deleting.refuse_terminating_definition(definition, kind, name)
