"""The garbage collector's loop: follows every write and carries out what `keep.collecting` proposes.

Also clears what a deleted CustomResourceDefinition leaves behind. What must go and in which order is decided in keep; here are only the subscription, the writes and the second tries.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial

from fairlead.keep.collecting import Owners
from fairlead.keep.entries import Entry, Outcome
from fairlead.keep.errors import Refusal
from fairlead.keep.extending import DEFINITIONS
from fairlead.keep.worlds import World
from fairlead.reactor import carrying
from fairlead.reactor.keeping import Keeper
from fairlead.words import Change, User

log = logging.getLogger("fairlead.collecting")

USER = User(
    name="system:serviceaccount:kube-system:generic-garbage-collector",
    groups=("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"),
)
MANAGER = "generic-garbage-collector"
_AT_ONCE = 64
_AGAIN_SECONDS = 1.0


async def collect(keeper: Keeper) -> None:
    """Collect until the keeper closes. Raises Lagged when it could not keep up: start it again."""
    world = keeper.world
    owners = Owners(lambda api_version, kind: _served(world, api_version, kind))
    with keeper.subscribe(None) as subscription:
        for storage in world.storages():
            for stored in world.stored(storage):
                owners.put(stored.object)
        cleared = False
        while True:
            failed = await _carry_out(keeper, owners, owners.changes())
            if not cleared:
                await _clear_definitions(keeper)
                cleared = True
            try:
                entries = await asyncio.wait_for(anext(subscription), _AGAIN_SECONDS if failed else None)
            except TimeoutError:
                continue
            except StopAsyncIteration:
                return
            cleared = not _follow(keeper, owners, entries)


def _follow(keeper: Keeper, owners: Owners, entries: Iterable[Entry]) -> bool:
    """Bring the graph up to date; whether a definition or an object of a custom kind was written."""
    custom = False
    for entry in entries:
        if entry.type == "DELETED":
            owners.drop(entry.stored.uid if entry.stored is not None else "")
        elif _matters(entry):
            owners.put(keeper.decoded(entry))
        custom = (
            custom or entry.storage == DEFINITIONS or (entry.type == "DELETED" and "." in entry.storage[0])
        )
    return custom


def _matters(entry: Entry) -> bool:
    """Whether a write can change the graph: most updates of a status cannot, and need no decoding."""
    before, after = entry.before, entry.stored
    if before is None or after is None or b'"deletionTimestamp"' in after.body:
        return True
    return bool(after.owners or before.owners)


async def _carry_out(keeper: Keeper, owners: Owners, changes: list[Change]) -> bool:
    """Make the Changes, many at once; whether any of them has to be tried again."""
    failed = False
    for first in range(0, len(changes), _AT_ONCE):
        results = await asyncio.gather(
            *(_one(keeper, owners, change) for change in changes[first : first + _AT_ONCE])
        )
        failed = failed or not all(results)
    return failed


async def _one(keeper: Keeper, owners: Owners, change: Change) -> bool:
    try:
        await carrying.carry_out(change, keeper, datetime.now(UTC), USER, MANAGER)
    except Refusal as refusal:
        if refusal.code == 404:
            return True
        if refusal.code != 409:
            log.warning("%s %s: %s", change.verb, change.ref, refusal.message)
        owners.again(change.if_uid)
        return False
    return True


async def _clear_definitions(keeper: Keeper) -> None:
    """Delete the objects of kinds whose definition is being deleted, and let go of the definition after the last."""
    for stored in keeper.world.stored(DEFINITIONS):
        if b'"deletionTimestamp"' not in stored.body:
            continue
        try:
            await keeper.write(partial(_clear, stored.name))
        except Refusal as refusal:
            log.warning("CustomResourceDefinition %s: %s", stored.name, refusal.message)


def _clear(name: str, world: World) -> Outcome:
    return world.clear_definition(name, carrying.request(datetime.now(UTC), USER, MANAGER))


def _served(world: World, api_version: str, kind: str) -> bool:
    group, _, version = api_version.rpartition("/")
    return world.catalogue.kind(group, kind, version) is not None
