"""The loop that lets Kubernetes' Events expire an hour after they were last written.

Nothing but Events expires.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from fairlead.keep.entries import Entry, Outcome, Storage, encode
from fairlead.keep.selecting import last_seen
from fairlead.keep.worlds import World
from fairlead.reactor import carrying
from fairlead.reactor.keeping import Keeper

EVENTS: Storage = ("", "events")
LIFETIME = timedelta(hours=1)
_EVERY_SECONDS = 60.0
_AT_ONCE = 500
"""Events that one write deletes at most, so that other writers never wait long."""


async def expire(keeper: Keeper) -> None:
    """Delete Events that are too old, every minute, for ever."""
    while True:
        deleted = await sweep(keeper, datetime.now(UTC))
        await asyncio.sleep(_EVERY_SECONDS if deleted < _AT_ONCE else 0)


async def sweep(keeper: Keeper, now: datetime) -> int:
    """Delete the Events that were last written more than an hour before `now`, some hundreds at most; return how many."""
    oldest = now - LIFETIME
    doomed = []
    for stored in keeper.world.stored(EVENTS):
        if last_seen(stored.object) < oldest:
            doomed.append((stored.namespace, stored.name))
            if len(doomed) == _AT_ONCE:
                break
    if doomed:
        await keeper.write(lambda world: _delete(world, doomed, now))
    return len(doomed)


def _delete(world: World, doomed: list[tuple[str, str]], now: datetime) -> Outcome:
    kind = world.catalogue.served("", "v1", "events")
    assert kind is not None
    entries: list[Entry] = []
    for namespace, name in doomed:
        if world.has(kind, namespace, name):
            entries += world.delete(kind, namespace, name, {}, carrying.request(now)).entries
    return Outcome({}, encode({}), tuple(entries))
