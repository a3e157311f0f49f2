"""`fairlead diagnose --watch`: goes on looking at a cluster and tells what comes and what goes.

Kept current by one watch a kind; examined again when something has changed, and now and then because time alone can be a cause.
Reads only.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from fairlead.faces.cli import diagnose
from fairlead.faces.cli.problems import Problem

if TYPE_CHECKING:
    from fairlead.drivers.cluster import AsyncCluster
    from fairlead.faces.cli.answers import Answer
    from fairlead.faces.cli.ignoring import Stock
    from fairlead.reactor.examine import Examined
    from fairlead.words import Finding

REREAD = 5.0
"""Seconds after which it is asked again what is to be ignored."""


@dataclass(slots=True)
class _Memory:
    """What was told, and since when it is there."""

    findings: dict[str, Finding] = field(default_factory=dict)
    since: dict[str, datetime] = field(default_factory=dict)
    begun: bool = False
    stock: Stock | None = None
    read_at: float = 0.0


async def watch(args: argparse.Namespace, *, until: Callable[[], bool] = lambda: False) -> int:
    """Tell what is wrong, then what comes and goes, until interrupted, or `until` says so after a look. Raises Problem."""
    memory = _Memory()
    with _quiet():
        await _tell(args, memory, until)
    return 1 if any(one.severity != "info" for one in memory.findings.values()) else 0


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the log of what follows the cluster to itself: what matters of it is told to the person."""
    log, handler = logging.getLogger("fairlead.diagnosing"), logging.NullHandler()
    log.addHandler(handler)
    log.propagate = False
    try:
        yield
    finally:
        log.propagate = True
        log.removeHandler(handler)


async def _tell(args: argparse.Namespace, memory: _Memory, until: Callable[[], bool]) -> None:
    from fairlead.reactor.lookouts import Lookout

    async with (
        diagnose.open_cluster(args) as cluster,
        Lookout(cluster, args.namespace, advice=args.advice) as lookout,
    ):
        async with diagnose.patience(args):
            with diagnose.Progress() as progress:
                seen, at = await lookout.first(
                    lambda objects: progress.say(f"looking: {objects} objects so far")
                )
        if ("", "Pod") in seen.unseen:
            raise Problem("the cluster does not tell of its pods", "ask for one namespace with -n", code=2)
        _print(args, await _answer(args, cluster, seen, at, memory), memory)
        async with contextlib.aclosing(lookout.changes(_away)) as changes:
            while not until():
                seen, at = await anext(changes)
                _print(args, await _answer(args, cluster, seen, at, memory), memory)


def _away(gone: bool) -> None:
    said = "the cluster does not answer; what was told may be old" if gone else "the cluster answers again"
    diagnose.say(f"fairlead: {said}")


async def _answer(
    args: argparse.Namespace, cluster: AsyncCluster, examined: Examined, at: datetime, memory: _Memory
) -> Answer:
    from fairlead.faces.cli.answers import Seen
    from fairlead.faces.cli.ignoring import load

    started = time.monotonic()
    if memory.stock is None or started - memory.read_at > REREAD:
        memory.stock, memory.read_at = await load(cluster, args.ignore_file), started
    seen = Seen(examined, at, "cluster")
    return diagnose.told(seen, args, memory.stock, time.monotonic() - started, known=memory.begun)


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

    return [stories.tame(line) for line in stories.diagnosis(answer, diagnose.pen(args))]


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
    print(stories.tame("\n".join(lines)), flush=True)


def _lines(answer: Answer, came: list[Finding], grew: list[Finding], went: list[Finding]) -> None:
    """Print each change as one line of JSON."""
    from fairlead.faces.cli import findings

    at = answer.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    for what, them in (("came", came), ("changed", grew), ("went", went)):
        for one in them:
            event: dict[str, Any] = {"time": at, "type": what, "finding": findings.told(one, answer)}
            print(json.dumps(event, ensure_ascii=False), flush=True)
