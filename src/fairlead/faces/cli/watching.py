"""`fairlead diagnose --watch`: goes on looking at a cluster and tells what comes and what goes.

Kept current by one watch a kind; examined again when something has changed, and now and then because time alone can be a cause.
Reads only.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from fairlead.faces.cli import diagnose
from fairlead.faces.cli.problems import Problem

if TYPE_CHECKING:
    from fairlead.drivers.cluster import AsyncCluster
    from fairlead.faces.cli.answers import Answer
    from fairlead.reactor.diagnosing_following import Mirror
    from fairlead.words import Finding, Need, Snapshot

SETTLE = 0.5
"""Seconds that changes may come together before they are looked at."""
AGAIN = 30.0
"""Seconds after which everything is examined again though nothing has changed."""
FRESH = 20.0
"""Seconds for which the end of a log that was fetched is good enough."""
SHARE = 4.0
"""An examination is followed by a rest of so many times its length, so that a busy cluster does not keep a processor busy."""


async def watch(args: argparse.Namespace, *, until: Callable[[], bool] = lambda: False) -> int:
    """Tell what is wrong, then what comes and goes, until interrupted (or `until` says so). Raises Problem."""
    from fairlead.reactor.diagnosing_following import Mirror
    from fairlead.reactor.examine import KINDS, OPTIONAL

    async with diagnose.open_cluster(args) as cluster:
        await cluster.raw("GET", "/version")  # who cannot be reached at all is not waited for
        optional = frozenset(OPTIONAL)
        mirror = Mirror(
            cluster, [*KINDS, *OPTIONAL], namespace=args.namespace, optional=lambda kind: kind in optional
        )
        following = asyncio.create_task(mirror.run(), name="follow the cluster")
        try:
            async with diagnose.patience(args):
                await _synced(mirror, following)
            return await _tell(args, cluster, mirror, following, until)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


async def _synced(mirror: Mirror, following: asyncio.Task[None]) -> None:
    """Wait until every kind was listed once, and say how far it is."""
    synced = asyncio.create_task(mirror.synced.wait())
    try:
        with diagnose.Progress() as progress:
            while not synced.done() and not following.done():
                progress.say(f"looking: {mirror.objects} objects so far")
                await asyncio.wait({synced, following}, timeout=0.2, return_when=asyncio.FIRST_COMPLETED)
    finally:
        synced.cancel()
    if following.done():
        following.result()
    if ("", "Pod") in mirror.unseen:
        raise Problem("the cluster refuses to tell of its pods", "ask for one namespace with -n", code=2)


@dataclass(slots=True)
class _Memory:
    """What was told, and what was fetched for it."""

    findings: dict[str, Finding] = field(default_factory=dict)
    since: dict[str, datetime] = field(default_factory=dict)
    logs: dict[Need, tuple[float, str]] = field(default_factory=dict)
    begun: bool = False


async def _tell(
    args: argparse.Namespace,
    cluster: AsyncCluster,
    mirror: Mirror,
    following: asyncio.Task[None],
    until: Callable[[], bool],
) -> int:
    from fairlead.words import Snapshot

    view, memory = Snapshot(), _Memory()
    while True:
        batch = mirror.take()
        for ref in batch.drops:
            view.drop(ref)
        for item in batch.puts:
            view.put(item)
        started = time.monotonic()
        if not mirror.away:
            answer = await _answer(args, cluster, view, mirror, memory)
            _print(args, answer, memory)
        took = time.monotonic() - started
        if until():
            return 1 if any(one.severity != "info" for one in memory.findings.values()) else 0
        await asyncio.sleep(max(SETTLE, took * SHARE))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(AGAIN):
                await mirror.stir.wait()
        if following.done():
            following.result()


async def _answer(
    args: argparse.Namespace, cluster: AsyncCluster, view: Snapshot, mirror: Mirror, memory: _Memory
) -> Answer:
    from fairlead.diagnose.examining import examine, needs
    from fairlead.faces.cli.answers import Seen
    from fairlead.faces.cli.ignoring import load
    from fairlead.reactor.examine import Examined

    started, at = time.monotonic(), diagnose.now()
    answers = await _logs(cluster, needs(view, now=at), memory)
    unseen = mirror.unseen
    findings = examine(view, scope="live", now=at, answers=answers, unseen=unseen, advice=args.advice)
    seen = Seen(Examined(findings, view, "live", unseen), at, "cluster")
    stock = await load(cluster, args.ignore_file)
    return diagnose.told(seen, args, stock, time.monotonic() - started)


async def _logs(cluster: AsyncCluster, wanted: list[Need], memory: _Memory) -> Mapping[Need, str]:
    """Return the ends of logs that are wanted, not older than FRESH."""
    from fairlead.reactor.gathering import answer

    at = time.monotonic()
    stale = [need for need in wanted if need not in memory.logs or at - memory.logs[need][0] > FRESH]
    got = await answer(cluster, stale)
    for need in stale:
        memory.logs[need] = (at, got.get(need, ""))
    memory.logs = {need: memory.logs[need] for need in wanted}
    return {need: text for need, (_, text) in memory.logs.items() if text}


def _print(args: argparse.Namespace, answer: Answer, memory: _Memory) -> None:
    """Print what has come and what has gone since the last time; the first time, everything."""
    now = {one.id: one for one in answer.shown}
    came = [one for one in answer.shown if one.id not in memory.findings]
    went = [one for key, one in memory.findings.items() if key not in now]
    grew = [
        one
        for one in answer.shown
        if one.id in memory.findings and memory.findings[one.id].severity != one.severity
    ]
    if args.output == "json":
        _lines(answer, came, grew, went)
    elif not memory.begun:
        print("\n".join(_story(args, answer)), flush=True)
    elif came or went or grew:
        _tell_changes(args, answer, [*came, *grew], [(one, memory.since[one.id]) for one in went])
    memory.begun = True
    memory.since = {key: memory.since.get(key, answer.now) for key in now}
    memory.findings = now


def _story(args: argparse.Namespace, answer: Answer) -> list[str]:
    from fairlead.faces.cli import stories

    return stories.diagnosis(answer, diagnose.pen(args))


def _tell_changes(
    args: argparse.Namespace, answer: Answer, came: list[Finding], went: list[tuple[Finding, datetime]]
) -> None:
    from fairlead.diagnose.inventories import span
    from fairlead.faces.cli import stories

    pen = diagnose.pen(args)
    clock = pen.paint(answer.now.astimezone().strftime("%H:%M:%S"), "2")
    lines = [""]
    for one in came:
        first, *rest = stories.finding(one, pen, whole=answer.whole)
        lines += [f"{clock} {first}", *rest]
    for one, since in went:
        text = f"✔ gone after {span(answer.now - since)}: {one.subject}  {one.message}"
        head, *rest = pen.wrap(text, "", hang="  ")
        lines += [f"{clock} {pen.paint(head, '32')}", *rest]
    lines.append(f"{clock} {stories.summary(answer, pen)}")
    print("\n".join(lines), flush=True)


def _lines(answer: Answer, came: list[Finding], grew: list[Finding], went: list[Finding]) -> None:
    """Print each change as one line of JSON."""
    from fairlead.faces.cli import findings

    at = answer.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    for what, them in (("came", came), ("changed", grew), ("went", went)):
        for one in them:
            event: dict[str, Any] = {"time": at, "type": what, "finding": findings.told(one, answer)}
            print(json.dumps(event, ensure_ascii=False), flush=True)
