"""Jobs of the policing loop: a bounded number at a time, one of a key at a time, and again later where one asks for it.

Knows nothing of policies. A job that breaks costs only itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import TypeAlias

log = logging.getLogger("fairlead.policing")

AT_ONCE = 16
"""Jobs that are under way at the same time."""
MOST = 4096
"""Jobs that wait at most: who brings more has to wait; of those that rest the oldest is dropped."""

Key: TypeAlias = Hashable
Work: TypeAlias = Callable[[int], Awaitable[float | None]]
"""(how often it was put off already) -> seconds to wait before it is to be done again, None when it is done."""


@dataclass(slots=True)
class _Job:
    work: Work
    rv: int
    tries: int = 0


class Jobs:
    """See the module. One event loop."""

    def __init__(self) -> None:
        self._waiting: dict[Key, _Job] = {}
        self._running: dict[Key, tuple[_Job, asyncio.Task[None]]] = {}
        self._resting: dict[Key, tuple[_Job, asyncio.TimerHandle]] = {}

    def __len__(self) -> int:
        return len(self._waiting) + len(self._running) + len(self._resting)

    @property
    def busy(self) -> bool:
        """Whether anything is to be done now; what rests does not count."""
        return bool(self._waiting or self._running)

    @property
    def oldest(self) -> int:
        """The least resourceVersion that a job is about which is not yet done once; 0 if there is none."""
        known = [job.rv for job in self._waiting.values()]
        known += [job.rv for job, _ in self._running.values() if not job.tries]
        return min((rv for rv in known if rv), default=0)

    def put(self, key: Key, work: Work, rv: int = 0, delay: float = 0.0) -> None:
        """Do something soon (after `delay` seconds), in the place of what waits under the same key.

        `rv` is the resourceVersion of the write that it is about.
        """
        resting = self._resting.pop(key, None)
        if resting is not None:
            resting[1].cancel()
        before = self._waiting.get(key)
        oldest = min(rv, before.rv) if before is not None and before.rv and rv else rv
        job = _Job(work, oldest)
        if delay and before is None:
            self._rest(key, job, delay)
        else:
            self._waiting[key] = job
            self._start()

    async def room(self) -> None:
        """Wait until there is room for more."""
        while len(self._waiting) > MOST:
            await asyncio.wait(
                [task for _, task in self._running.values()], return_when=asyncio.FIRST_COMPLETED
            )

    async def close(self) -> None:
        """Drop everything and wait until what is under way has ended."""
        self._waiting.clear()
        for _, timer in self._resting.values():
            timer.cancel()
        self._resting.clear()
        tasks = [task for _, task in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self) -> None:
        if len(self._running) >= AT_ONCE:
            return
        for key in [key for key in self._waiting if key not in self._running]:
            if len(self._running) >= AT_ONCE:
                return
            job = self._waiting.pop(key)
            self._running[key] = (job, asyncio.create_task(self._do(key, job)))

    async def _do(self, key: Key, job: _Job) -> None:
        delay: float | None = None
        try:
            delay = await job.work(job.tries)
        except Exception:
            log.exception("a policy's work broke off: %s", key)
        finally:
            self._running.pop(key, None)
        if delay is not None and key not in self._waiting:
            self._rest(key, _Job(job.work, 0, job.tries + 1), delay)
        self._start()

    def _rest(self, key: Key, job: _Job, delay: float) -> None:
        timer = asyncio.get_running_loop().call_later(delay, self._wake, key)
        self._resting[key] = (job, timer)
        if len(self._resting) > MOST:
            oldest = next(iter(self._resting))
            self._resting.pop(oldest)[1].cancel()
            log.warning("a policy's work is given up, because too much of it fails: %s", oldest)

    def _wake(self, key: Key) -> None:
        job, _ = self._resting.pop(key)
        self._waiting.setdefault(key, job)
        self._start()
