"""The reactor's pump with the real kernel, or a recording, stepped while something is done: for tests of what goes wrong.

Must never start anything but the pump itself; what is to happen is the caller's.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, TypeVar
from unittest import mock

from fairlead.drivers import kernel
from fairlead.reactor.sensing import Options, Sensing, Started, Step
from fairlead.sense.events import Event
from fairlead.sense.findings import message_of
from fairlead.sense.rules import Detection
from fairlead.words import Finding

T = TypeVar("T")
_tried = functools.cache(kernel.probe)


class Pump:
    """A pump that was started, and all that came of it. `said` has what `word` made of each detection, at once."""

    def __init__(self, word: Callable[[Detection], str]) -> None:
        self.sensing: Sensing
        self.started: Started
        self.word = word
        self.said: list[str] = []
        self.events: list[Event] = []
        self.detections: list[Detection] = []
        self.findings: list[Finding] = []
        self.dropped: Counter[str] = Counter()
        self.read = 0

    def hear(self, _event: Event, detections: Sequence[Detection]) -> None:
        """Put detections into words while their processes are as they were."""
        self.said += map(self.word, detections)

    async def step(self) -> Step:
        """Read and judge once, and keep what came of it."""
        step = await self.sensing.step()
        self.events += step.events
        self.detections += step.detections
        self.findings += step.findings
        self.dropped.update(step.dropped)
        self.read += step.read
        return step

    async def settle(self) -> None:
        """Read until nothing more comes."""
        quiet = 0
        while quiet < 3:
            quiet = quiet + 1 if not (await self.step()).read else 0
            await asyncio.sleep(0.005)

    async def during(self, act: Callable[[], T]) -> T:
        """Read while something is done in a thread, and until nothing more comes; return what that returned."""
        doing = asyncio.create_task(asyncio.to_thread(act))
        while not doing.done():
            await self.step()
            await asyncio.sleep(0.005)
        await self.settle()
        return await doing

    def of(self, name: str) -> list[Detection]:
        """Return what a rule detected."""
        return [one for one in self.detections if one.rule.name == name]


@contextlib.asynccontextmanager
async def pumping(word: Callable[[Detection], str] = message_of, **options: Any) -> AsyncIterator[Pump]:
    """Start a pump with small rings that asks no runtime and keeps no flights, unless the options (those of Sensing) say otherwise; always stop it.

    The kernel is tried once for all of them.
    """
    options.setdefault("identify", False)
    options.setdefault("recorder", False)
    options.setdefault("sizes", {"calls": 1 << 20, "named": 1 << 20, "long": 4 << 20, "alerts": 1 << 16})
    pump = Pump(word)
    pump.sensing = Sensing(Options(heard=pump.hear, **options))
    with mock.patch.object(kernel, "probe", _tried):
        pump.started = await pump.sensing.start()
    try:
        yield pump
    finally:
        await pump.sensing.stop()


def run(test: Coroutine[Any, Any, T], seconds: float = 60) -> T:
    """Run a test that is a coroutine."""

    async def timed() -> T:
        return await asyncio.wait_for(test, seconds)

    return asyncio.run(timed())
