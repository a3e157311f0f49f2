"""The kinds of continuous diagnosis are made where they are missing, and renewed where they are of an earlier version."""

from __future__ import annotations

import random
from datetime import UTC, datetime

from fairlead.drivers.definitions import load
from fairlead.keep.requests import Request
from fairlead.keep.worlds import World
from fairlead.reactor.diagnosing_kinds import DIGEST, definitions, install
from fairlead.words import User

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_an_earlier_version_is_renewed_and_a_strangers_is_left() -> None:
    world = World(load(), random.Random(0)).fork()
    assert len(install(world, NOW).entries) >= len(definitions())
    assert install(world, NOW).entries == ()
    kind = world.catalogue.kind("apiextensions.k8s.io", "CustomResourceDefinition")
    assert kind is not None
    request = Request(user=User(name="admin", groups=("system:masters",)), now=NOW, manager="test")
    earlier, strange = (one["metadata"]["name"] for one in definitions()[:2])
    for name, digest in ((earlier, "earlier"), (strange, None)):
        held = world.get(kind, "", name, overlay=True).object
        notes = {key: value for key, value in held["metadata"]["annotations"].items() if key != DIGEST}
        meta = {**held["metadata"], "annotations": {**notes, **({DIGEST: digest} if digest else {})}}
        world.update(kind, "", name, {**held, "metadata": meta}, request)
    renewed = install(world, NOW).entries
    assert {entry.name for entry in renewed} == {earlier}
    assert install(world, NOW).entries == ()
