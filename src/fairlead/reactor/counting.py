"""The loop that recounts ResourceQuotas: what was used by objects that are gone, and by quotas that are new.

Creates count themselves at admission. What counts how much is decided in `keep.quotas`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial

from fairlead.keep import quotas
from fairlead.keep.entries import Entry, Outcome, encode
from fairlead.keep.errors import Refusal
from fairlead.keep.quotas import QUOTAS
from fairlead.keep.worlds import World
from fairlead.reactor import carrying
from fairlead.reactor.keeping import Keeper

_CHANGING = frozenset({("", "pods"), ("", "persistentvolumeclaims"), ("", "services")})
_REST_SECONDS = 0.1
"""Writes that come within this time are counted once."""


async def count(keeper: Keeper) -> None:
    """Recount until the keeper closes. Raises Lagged when it could not keep up: start it again."""
    with keeper.subscribe(None) as subscription:
        dirty = {stored.namespace for stored in keeper.world.stored(QUOTAS)}
        while True:
            for namespace in sorted(dirty):
                with contextlib.suppress(Refusal):  # a later write will touch the namespace again
                    await keeper.write(partial(_recount_now, namespace))
            try:
                entries = await anext(subscription)
            except StopAsyncIteration:
                return
            await asyncio.sleep(_REST_SECONDS)
            dirty = _touched([*entries, *subscription.take()])


def _recount_now(namespace: str, world: World) -> Outcome:
    return recount(world, namespace, datetime.now(UTC))


def _touched(entries: Iterable[Entry]) -> set[str]:
    return {
        entry.namespace
        for entry in entries
        if entry.namespace
        and (
            entry.type == "DELETED"
            or (entry.storage == QUOTAS and not _only_status(entry))
            or (entry.storage in _CHANGING and entry.type == "MODIFIED")
        )
    }


def _only_status(entry: Entry) -> bool:
    if entry.before is None or entry.stored is None:
        return False
    return bool(entry.before.object.get("spec") == entry.stored.object.get("spec"))


def recount(world: World, namespace: str, now: datetime) -> Outcome:
    """Bring the status of a namespace's quotas in line with what is there."""
    kind = world.catalogue.served("", "v1", "resourcequotas")
    assert kind is not None
    entries: list[Entry] = []
    for stored in world.newest(QUOTAS, namespace):
        quota = stored.object
        status = quotas.recount(
            quota, lambda storage: (item.object for item in world.newest(storage, namespace))
        )
        if quota.get("status") != status:
            quota["status"] = status
            entries += world.update(
                kind, namespace, stored.name, quota, carrying.request(now), "status"
            ).entries
    return Outcome({}, encode({}), tuple(entries))
