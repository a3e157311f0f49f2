"""The loop that deletes old Events, a few at a time. Which are old is decided in keep."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from fairlead.keep.ageing import outdated
from fairlead.keep.entries import Entry, Outcome
from fairlead.keep.errors import Refusal
from fairlead.keep.requests import Request, User
from fairlead.keep.worlds import World
from fairlead.reactor.keeping import Keeper
from fairlead.words import Ref, Resource

EVERY_SECONDS = 60.0
AT_ONCE = 200
"""Events that are looked at, and deleted, without letting others have their turn."""
_USER = User(name="system:apiserver", groups=("system:masters", "system:authenticated"))
_EVENTS = ("", "events")


def _clock() -> datetime:
    return datetime.now(UTC)


async def trim(keeper: Keeper, clock: Callable[[], datetime] = _clock, every: float = EVERY_SECONDS) -> None:
    """Trim for ever, until cancelled."""
    while True:
        await once(keeper, clock())
        await asyncio.sleep(every)


async def once(keeper: Keeper, now: datetime) -> int:
    """Delete every Event that has had its time; return how many that were."""
    gone = 0
    stored = keeper.world.stored(_EVENTS)
    for start in range(0, len(stored), AT_ONCE):
        old = outdated([one.object for one in stored[start : start + AT_ONCE]], now)
        if old:
            gone += await _delete(keeper, old, now)
        await asyncio.sleep(0)
    return gone


async def _delete(keeper: Keeper, events: Sequence[Resource], now: datetime) -> int:
    request = Request(user=_USER, now=now, manager="kube-apiserver")

    def step(world: World) -> Outcome:
        kind = world.catalogue.served("", "v1", "events")
        assert kind is not None
        entries: list[Entry] = []
        for event in events:
            ref = Ref.of(event)
            options = {"preconditions": {"resourceVersion": event["metadata"]["resourceVersion"]}}
            try:
                entries += world.delete(kind, ref.namespace, ref.name, options, request).entries
            except Refusal as refusal:
                if refusal.code not in {404, 409}:
                    raise
        return Outcome({}, b"{}", tuple(entries))

    return len((await keeper.write(step)).entries)
