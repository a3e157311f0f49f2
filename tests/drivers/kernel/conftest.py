"""What tests of a live sensor share: opening one that is small and always closed, and reading until something came."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest

from fairlead.drivers import kernel
from fairlead.sense import records
from fairlead.sense.plans import Hook, Plan


class Seen(NamedTuple):
    """A record, whatever ring it came by."""

    kind: int
    tgid: int
    ret: int
    slot: int
    clauses: int
    flags: int
    args: list[int]
    texts: records.Texts
    raw: Any


def seen(batch: kernel.Batch) -> Iterator[Seen]:
    """Yield a batch's records."""
    for one in batch.records:
        call = records.call_of(one) if isinstance(one, bytes) else one
        raw = one if isinstance(one, bytes) else one.tobytes()
        yield Seen(
            int(call["kind"]), int(call["tgid"]), int(call["ret"]), int(call["slot"]), int(call["clauses"]),
            int(call["flags"]), call["args"].tolist(), records.texts_of(raw), call,
        )  # fmt: skip


class Listener:
    """A sensor and all that was read from it."""

    def __init__(self, sensor: kernel.Sensor) -> None:
        self.sensor = sensor
        self.found: list[Seen] = []

    def read(self) -> list[Seen]:
        """Read what is there; return everything so far."""
        for batch in self.sensor.read():
            self.found += seen(batch)
        return self.found

    def until(self, wanted: Callable[[Seen], bool], count: int = 1, seconds: float = 20) -> list[Seen]:
        """Read until so many records are wanted; return those. Fails when they do not come in time."""
        end = time.monotonic() + seconds
        while True:
            found = [one for one in self.read() if wanted(one)]
            if len(found) >= count:
                return found
            assert time.monotonic() < end, f"only {len(found)} of {count} came; {self.sensor.counters()}"
            time.sleep(0.01)


Listen = Callable[..., Listener]


@pytest.fixture(scope="session")
def abilities() -> kernel.Abilities:
    """What this kernel allows, tried once."""
    return kernel.probe()


@pytest.fixture
def listen(abilities: kernel.Abilities) -> Iterator[Listen]:
    """Open a sensor for hooks, with small rings and no flight recorder unless asked."""
    with ExitStack() as stack:

        def start(*hooks: Hook, recorder: bool = False, **how: Any) -> Listener:
            how.setdefault("sizes", dict.fromkeys(kernel.SIZES, 1 << 20))
            how.setdefault("abilities", abilities)
            plan = Plan(hooks=hooks, recorder=recorder)
            return Listener(stack.enter_context(kernel.open(plan, **how)))

        yield start
