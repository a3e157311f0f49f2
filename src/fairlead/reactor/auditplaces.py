"""Where the audit looks and writes: the store of a control plane.

Reads page by page, so that no more than a page is held; writes with an identity of its own. Holds no rules.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from fairlead.dialects import policyreport
from fairlead.judge.surroundings import Surroundings
from fairlead.keep.entries import Entry, Storage
from fairlead.keep.errors import Refusal
from fairlead.keep.kinds import Catalogue, Kind
from fairlead.keep.listing import PageExpired
from fairlead.reactor.admit import PolicyGate
from fairlead.reactor.audit import Auditor, Changed
from fairlead.reactor.carrying import carry_out
from fairlead.reactor.keeping import Keeper, Lagged
from fairlead.reactor.policies import Loaded
from fairlead.words import Change, Need, Ref, Resource, User

USER = User(
    name="system:serviceaccount:kube-system:policy-audit",
    groups=("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"),
)
MANAGER = "policy-audit"
PAGE = 200
"""Objects that are listed at a time."""
DECODED = 10
"""Objects of them that are decoded at a time: others have their turn in between."""


async def audit(keeper: Keeper) -> None:
    """Keep the reports of a control plane current until the keeper closes."""
    if keeper.gate is not None:
        await Auditor(StorePlace(keeper, keeper.gate)).run()


class StorePlace:
    """See audit.Place."""

    def __init__(
        self, keeper: Keeper, gate: PolicyGate, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._keeper, self._gate, self._clock = keeper, gate, clock
        self._names: dict[Storage, str] = {}
        self._generation = -1

    @property
    def loaded(self) -> Loaded:
        """See audit.Place."""
        return self._gate.loaded

    @property
    def catalogue(self) -> Catalogue:
        """See audit.Place."""
        return self._keeper.world.catalogue

    def around(self, now: datetime) -> Surroundings:
        """See audit.Place."""
        return self._gate.around(now)

    async def changes(self) -> AsyncIterator[Sequence[Changed]]:
        """See audit.Place."""
        while True:
            with self._keeper.subscribe(None) as subscription:
                try:
                    async for entries in subscription:
                        yield [self._changed(entry) for entry in entries]
                except Lagged:
                    yield []
                else:
                    return

    def _changed(self, entry: Entry) -> Changed:
        uid = entry.stored.uid if entry.stored is not None else ""
        kind = self._kind_of(entry.storage)
        return Changed(entry.storage[0], kind, entry.namespace, entry.name, uid, entry.type == "DELETED")

    def _kind_of(self, storage: Storage) -> str:
        catalogue = self.catalogue
        if catalogue.generation != self._generation:
            self._names = {kind.storage: kind.kind for kind in catalogue.all()}
            self._generation = catalogue.generation
        return self._names.get(storage, "")

    async def pages(self, kind: Kind) -> AsyncIterator[Sequence[Resource]]:
        """See audit.Place."""
        token = ""
        while True:
            try:
                listing = self._keeper.world.list(kind, None, limit=PAGE, continue_=token)
            except Refusal as refusal:
                if refusal.code != 410:
                    raise
                # the list grew too old on the way: it goes on from there, and what changed meanwhile comes as a change
                token = refusal.continue_ if isinstance(refusal, PageExpired) else ""
                continue
            for begin in range(0, len(listing.items), DECODED):
                yield [_typed(stored.object, kind) for stored in listing.items[begin : begin + DECODED]]
            token = listing.continue_
            if not token:
                return

    async def find(self, kind: Kind, namespace: str, name: str) -> Resource | None:
        """See audit.Place."""
        try:
            return _typed(self._keeper.world.get(kind, namespace, name).object, kind)
        except Refusal as refusal:
            if refusal.code != 404:
                raise
            return None

    async def answer(self, needs: Sequence[Need]) -> Mapping[Need, Any]:
        """See audit.Place."""
        return await self._gate.fetch(needs)

    async def put(self, document: Resource, *, there: bool) -> None:
        """See audit.Place."""
        await self._carry_out("update" if there else "create", document)

    async def drop(self, kind: str, namespace: str, name: str) -> None:
        """See audit.Place."""
        ref = Ref(policyreport.GROUP, kind, namespace, name)
        change = Change(verb="delete", ref=ref, api_version=policyreport.API_VERSION)
        await carry_out(change, self._keeper, self._clock(), USER, MANAGER)

    async def put_status(self, document: Resource, status: Resource) -> None:
        """See audit.Place."""
        await self._carry_out("update", {**document, "status": status}, "status")

    async def _carry_out(self, verb: Literal["create", "update"], body: Resource, part: str = "") -> None:
        change = Change(
            verb=verb, ref=Ref.of(body), api_version=body["apiVersion"], body=body, subresource=part
        )
        await carry_out(change, self._keeper, self._clock(), USER, MANAGER)


def _typed(resource: Resource, kind: Kind) -> Resource:
    """Return the object with the version in which it is looked at."""
    return {**resource, "apiVersion": kind.api_version, "kind": kind.kind}
