"""Old Events go from a real store, new ones stay."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from fairlead.keep.entries import Outcome
from fairlead.keep.requests import Request, User
from fairlead.keep.worlds import World
from fairlead.reactor import trimming
from fairlead.reactor.keeping import Keeper
from fairlead.words import Resource

ADMIN = User(name="admin", groups=("system:masters",))
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def _create(world: World, event: Resource, request: Request) -> Outcome:
    kind = world.catalogue.served("", "v1", "events")
    assert kind is not None
    return world.create(kind, "default", event, request)


def test_old_events_go(tmp_path: Path) -> None:
    async def story() -> None:
        keeper = await Keeper.open(tmp_path / "store.db")
        for name, hours in (("old", 2), ("new", 0)):
            at = (NOW - timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")
            event = {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": name, "namespace": "default"},
                "involvedObject": {"namespace": "default"},
                "lastTimestamp": at,
            }
            early = Request(user=ADMIN, now=NOW - timedelta(hours=hours), manager="test")
            await keeper.write(partial(_create, event=event, request=early))
        assert await trimming.once(keeper, NOW) == 1
        assert [stored.name for stored in keeper.world.stored(("", "events"))] == ["new"]
        assert await trimming.once(keeper, NOW) == 0
        await keeper.close()

    asyncio.run(story())
