"""Starts the loops that live in the control-plane process, and tells which of them are not well."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any

from fairlead.orchestrate.controllers import controllers
from fairlead.reactor.auditplaces import audit
from fairlead.reactor.collecting import collect
from fairlead.reactor.counting import count
from fairlead.reactor.expiring import expire
from fairlead.reactor.keeping import Keeper
from fairlead.reactor.orchestrate import Orchestrator
from fairlead.reactor.policing import police

log = logging.getLogger("fairlead.loops")
AGAIN_SECONDS = 1.0
"""How long a loop that broke rests before it is started again."""


@contextlib.asynccontextmanager
async def running(
    keeper: Keeper, certificate: str = "", *, audits: bool = True
) -> AsyncIterator[Callable[[], Mapping[str, str]]]:
    """Run the loops while the context is open. Hands out a function that names the loops that broke, with the fault.

    `certificate` is the certificate authority (PEM) that every namespace is to hold; `audits` says that policy reports
    are kept here, not by a process of their own.
    """
    broken: dict[str, str] = {}
    tasks = [
        asyncio.create_task(_again(name, loop, broken), name=name)
        for name, loop in _loops(keeper, certificate)
        if audits or name != "policy-audit"
    ]
    try:
        yield lambda: broken
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _again(name: str, loop: Callable[[], Coroutine[Any, Any, None]], broken: dict[str, str]) -> None:
    """Run a loop for ever; one that breaks is started again."""
    while True:
        try:
            await loop()
            return
        except Exception as fault:
            log.exception("the loop %s broke", name)
            broken[name] = f"{type(fault).__name__}: {fault}"
        await asyncio.sleep(AGAIN_SECONDS)
        broken.pop(name, None)


def _loops(keeper: Keeper, certificate: str) -> list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]]:
    return [
        ("controllers", lambda: Orchestrator(keeper, controllers(certificate)).run()),
        ("garbage-collection", lambda: collect(keeper)),
        ("quota-counting", lambda: count(keeper)),
        ("event-expiry", lambda: expire(keeper)),
        ("policies", lambda: police(keeper)),
        ("policy-audit", lambda: audit(keeper)),
    ]
