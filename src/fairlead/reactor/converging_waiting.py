"""Waits until objects are as they should be, asking a cluster as seldom as that takes, and says what it waits for.

Ends when all are well, when one will not come right by itself, or when the time is over. Decides nothing about health: the engine does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from fairlead.converge.health import GONE, Health, health, settles
from fairlead.converge.inventory import Entry
from fairlead.converge.stages import Check, wishes
from fairlead.converge.waiting import Blocker, Waiting, hint, pods_of
from fairlead.reactor.converging_requests import FEW, Requests, raise_first
from fairlead.tongues.paths import mapping, text
from fairlead.words import Ref, Resource

FIRST: Final = 0.1
SLOWEST: Final = 2.0
"""Seconds between two looks, at first and at most."""
HINTED: Final = 3.0
"""Seconds between two looks at the pods of what blocks."""
_HINTS: Final = 5


@dataclass(frozen=True, slots=True)
class Target:
    """One object to wait for, with the checks of its stage. `gone` waits for its end, of that very uid.

    What is `fleeting`, a Job that is removed once it has ended, is fine when it is not there any more. What `ends`, a Pod that is run, is
    waited for until it has ended.
    """

    entry: Entry
    checks: Sequence[Check] = ()
    gone: bool = False
    uid: str = ""
    fleeting: bool = False
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Awaited:
    """How waiting ended: what still blocks, [] when all is well; `lost` when it will not come right."""

    blockers: Sequence[Blocker] = ()
    lost: bool = False

    @property
    def well(self) -> bool:
        """Whether all is as it should be."""
        return not self.blockers


def targets(objects: Iterable[Resource], checks: Sequence[Check]) -> list[Target]:
    """Return what of the objects is to be waited for."""
    return [Target(Entry.of(one), checks) for one in objects if wishes(one).wait and settles(one, checks)]


def target(one: Resource, checks: Sequence[Check], *, ends: bool = False) -> Target:
    """Return an object as one to wait for."""
    return Target(Entry.of(one), checks, fleeting=fleeting(one), ends=ends)


def fleeting(one: Resource) -> bool:
    """Say whether an object goes by itself when it has done its work."""
    return one.get("kind") == "Job" and "ttlSecondsAfterFinished" in mapping(one, "spec")


async def wait(
    requests: Requests,
    wanted: Sequence[Target],
    seconds: float,
    *,
    now: Callable[[], datetime],
    told: Callable[[Sequence[Blocker]], None],
    labels: str = "",
    seen: Mapping[Ref, Resource] | None = None,
    check: Callable[[], None] = lambda: None,
) -> Awaited:
    """Wait so many seconds at most. `seen` are looks that were had already. Raises Refusal, Unreachable, and what `check` raises."""
    waiting = Waiting()
    by_ref = {one.entry.ref: one for one in wanted}
    deadline = time.monotonic() + seconds
    delay, hinted = FIRST, time.monotonic() - HINTED + 1.0
    hints: dict[Ref, str] = {}
    live: dict[Ref, Resource] = {ref: item for ref, item in (seen or {}).items() if ref in by_ref}
    missing = [one for one in wanted if one.entry.ref not in live]
    if missing:
        live |= await look(
            requests, [one.entry for one in missing], labels, listed=all(one.gone for one in missing)
        )
    while True:
        for ref, target in by_ref.items():
            if ref not in waiting.states or ref in waiting.left():
                waiting.see(ref, _state(live.get(ref), target, now()), now(), hints.get(ref, ""))
        blockers = waiting.blockers()
        if not blockers:
            return Awaited()
        lost = [one for one in waiting.lost(now()) if not by_ref[one.ref].gone]
        if lost:
            return Awaited([*lost, *(one for one in blockers if one not in lost)], lost=True)
        if time.monotonic() >= deadline:
            return Awaited(blockers)
        told(blockers)
        await asyncio.sleep(min(delay, max(0.0, deadline - time.monotonic())))
        check()
        delay = min(delay * 1.4, SLOWEST)
        left = [by_ref[ref] for ref in waiting.left()]
        found = await look(
            requests, [one.entry for one in left], labels, listed=all(one.gone for one in left)
        )
        live = found
        if time.monotonic() - hinted >= HINTED:
            hinted = time.monotonic()
            hints |= await _hints(requests, blockers, found)


def _state(live: Resource | None, target: Target, now: datetime) -> Health:
    if target.gone:
        uid = str(((live or {}).get("metadata") or {}).get("uid") or "")
        if live is None or (target.uid and uid != target.uid):
            return Health("Current", "is gone")
        found = health(live, now)
        return found if found.state == "Terminating" else Health("Terminating", "is not being deleted yet")
    if live is None:
        return Health("Current", "has ended and was removed") if target.fleeting else GONE
    found = health(live, now, target.checks, complete=True)
    if (
        target.ends
        and found.current
        and live.get("kind") == "Pod"
        and text(live, "status", "phase") != "Succeeded"
    ):
        return Health("InProgress", "Pod has not ended yet")
    return found


async def look(
    requests: Requests, entries: Sequence[Entry], labels: str, *, listed: bool = False
) -> dict[Ref, Resource]:
    """Return the objects that are there. With `listed`, what a LIST by the labels lacks is not there. Raises Refusal and Unreachable."""
    groups: dict[tuple[str, str, str], list[Ref]] = {}
    for one in entries:
        groups.setdefault((one.api_version, one.ref.kind, one.ref.namespace), []).append(one.ref)
    found: dict[Ref, Resource] = {}

    async def group(item: tuple[tuple[str, str, str], list[Ref]]) -> None:
        (api_version, kind, namespace), refs = item
        if len(refs) > FEW and labels:
            items, whole = await requests.listed(api_version, kind, namespace, labels=labels)
            wanted = set(refs)
            there = {ref: one for one in items if (ref := Ref.of(one)) in wanted}
            found.update(there)
            refs = [] if listed and whole else [one for one in refs if one not in there]
        await requests.by_name(api_version, refs, found)

    raise_first(await requests.each(groups.items(), group))
    return found


async def _hints(
    requests: Requests, blockers: Sequence[Blocker], live: Mapping[Ref, Resource]
) -> dict[Ref, str]:
    """Return what is wrong with the pods of the first that block. What cannot be read gives none."""
    asked = [
        (one.ref, selector) for one in blockers if one.ref in live and (selector := pods_of(live[one.ref]))
    ][:_HINTS]

    async def one(item: tuple[Ref, Mapping[str, str]]) -> tuple[Ref, str]:
        ref, selector = item
        labels = ",".join(f"{key}={value}" for key, value in selector.items())
        pods, _ = await requests.list("v1", "Pod", ref.namespace, labels=labels)
        return ref, hint(pods)

    results: list[Any] = await requests.each(asked, one)
    return dict(pair for pair in results if not isinstance(pair, BaseException))
