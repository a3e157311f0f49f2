"""`fairlead undo`: takes back what `fairlead fix --apply` or the healing loop did, as it was written down before anything was changed.

What was done from this machine is in files; what a Deployment of the loop has done is in its Findings, as long as those are there. Every step tests first that the object still is as the fix left it, so nothing that somebody changed since is lost. Exit code 0 when it
was taken back, 1 when not or not wholly, 2 when it could not try.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING

from fairlead.faces.cli import diagnose
from fairlead.faces.cli.problems import Problem

if TYPE_CHECKING:
    from fairlead.drivers.cluster import AsyncCluster
    from fairlead.reactor.healings import Record

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse gives it no public name

EXAMPLES = """\
examples:
  fairlead undo                             take back the last fix; asks first
  fairlead undo 1a2b3c4d --yes              the last fix for that finding
  fairlead undo --list                      what was done, and what came of it

exit codes: 0 taken back, 1 not, or not wholly, 2 it could not try
"""


def declare(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "undo",
        help="take back what a fix has changed",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "fix",
        metavar="FIX",
        nargs="?",
        default="",
        help="a finding's id, a record's name, or the beginning of one",
    )
    parser.add_argument("--list", action="store_true", help="list what was done, the newest first")
    parser.add_argument("--yes", action="store_true", help="do not ask before changing anything")
    parser.add_argument("-o", "--output", choices=("text", "json", "yaml"), default="text")
    diagnose.colour_option(parser)
    diagnose.cluster_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """List, or take back; return the exit code."""
    return asyncio.run(_run(args))


async def _run(args: argparse.Namespace) -> int:
    from fairlead.drivers.cluster import Unreachable
    from fairlead.reactor import healings

    problems: list[str] = []
    known = list(healings.every(healings.folder(diagnose.kubeconfig(args)), problems.append))
    async with diagnose.connect(args) as cluster:
        try:
            here = await healings.identity(cluster)
            others = [one for one in known if here.other(one.content.get("cluster") or {})]
            known = [one for one in known if one not in others]
            known += await _of_findings(cluster, known, problems)
        except Unreachable as error:
            if not args.list:
                raise diagnose.unreachable(error) from error
            problems.append(f"what the loop has done is not known: {diagnose.unreachable(error)}")
        for said in problems:
            diagnose.say(f"fairlead: {said}")
        known.sort(key=lambda one: (one.started, one.name), reverse=True)
        if args.list:
            return _list(known, args)
        record = _chosen(known, args.fix)
        if not args.yes and not _agreed(record):
            return 1
        return await _undo(record, cluster, args)


async def _of_findings(cluster: AsyncCluster, known: list[Record], problems: list[str]) -> list[Record]:
    """Return what only Findings tell of."""
    from fairlead.keep.errors import Refusal
    from fairlead.reactor import healings

    try:
        return await healings.of_cluster(cluster, known)
    except Refusal as refusal:
        problems.append(f"what the loop has done cannot be read: {refusal.message}")
        return []


def _agreed(record: Record) -> bool:
    if not sys.stdin.isatty():
        raise Problem("undo asks before it changes anything, and there is nobody to ask", "add --yes", code=2)
    print(f"  {_line(record)}")
    return input("  Take it back? [y/N] ").strip().lower() in {"y", "yes"}


def _line(record: Record) -> str:
    from fairlead.sense.events import printable
    from fairlead.tongues.paths import mapping, text

    subject = mapping(record.content, "finding", "subject")
    space = text(subject, "namespace")
    what = f"{text(subject, 'kind')} {f'{space}/' if space else ''}{text(subject, 'name')}"
    return printable(f"{record.started:<27}{record.finding}  {record.outcome:<12}{what}  {record.title}")


def _list(known: list[Record], args: argparse.Namespace) -> int:
    if args.output != "text":
        items = [
            {
                "name": one.name,
                "finding": one.finding,
                "title": one.title,
                "outcome": one.outcome,
                "started": one.started,
                "by": "record" if one.path else "loop",
            }
            for one in known
        ]
        diagnose.print_document({"fixes": items}, args.output)
    elif known:
        for one in known:
            print(_line(one))
    else:
        print("nothing was fixed here yet")
    return 0


def _chosen(known: list[Record], name: str) -> Record:
    """Return the newest record of that name that still stands. Raises Problem."""
    matching = [one for one in known if one.finding.startswith(name.lower()) or one.name.startswith(name)]
    for one in matching:
        if one.stands:
            return one
    if matching:
        raise Problem(
            f"the fix is {matching[0].outcome or 'not applied'} already: nothing is left to take back", code=2
        )
    said = f"there is no fix {name}" if name else "nothing was fixed here yet"
    raise Problem(said, "`fairlead undo --list` tells what was done", code=2)


async def _undo(record: Record, cluster: AsyncCluster, args: argparse.Namespace) -> int:
    from fairlead.drivers.cluster import Unreachable
    from fairlead.keep.errors import Refusal
    from fairlead.reactor import healings

    try:
        failures = await healings.take_back(record, cluster, diagnose.now)
    except Unreachable as error:
        raise diagnose.unreachable(error) from error
    except OSError as error:
        raise Problem(f"it is taken back, but its record cannot say so: {error}", code=1) from error
    except Refusal as refusal:
        raise Problem(
            f"nothing was changed: {refusal.message}",
            "something was changed since the fix; take it back by hand: the record tells how it was",
            code=1,
        ) from refusal
    _tell(record, failures, args)
    return 1 if failures else 0


def _tell(record: Record, failures: list[str], args: argparse.Namespace) -> None:
    if args.output != "text":
        diagnose.print_document(
            {"record": str(record.path or record.name), "undone": not failures, "failures": failures},
            args.output,
        )
        return
    from fairlead.sense.events import printable

    pen = diagnose.pen(args)
    for change in record.undo():
        print(printable(f"  {change.verb} {change.ref}"))
    for failure in failures:
        print(pen.paint(printable(f"  ✖ {failure}"), "31;1"))
    if not failures:
        print(pen.paint("  taken back", "32;1") + f": {printable(record.title)}")
