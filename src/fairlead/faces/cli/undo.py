"""`fairlead undo`: takes back what `fairlead fix --apply` did, as it was written down before anything was changed.

Every step tests first that the object still is as the fix left it, so nothing that somebody changed since is lost. Exit code 0 when it
was taken back, 1 when not or not wholly, 2 when it could not try.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING

from fairlead.faces.cli import diagnose, records
from fairlead.faces.cli.problems import Problem
from fairlead.faces.cli.records import Record

if TYPE_CHECKING:
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
    known = list(records.every(records.folder(diagnose.kubeconfig(args))))
    if args.list:
        return _list(known, args)
    record = _chosen(known, args.fix)
    if not args.yes:
        if not sys.stdin.isatty():
            raise Problem(
                "undo asks before it changes anything, and there is nobody to ask", "add --yes", code=2
            )
        print(f"  {_line(record)}")
        if input("  Take it back? [y/N] ").strip().lower() not in {"y", "yes"}:
            return 1
    return asyncio.run(_undo(record, args))


def _line(record: Record) -> str:
    subject = (record.content.get("finding") or {}).get("subject") or {}
    what = f"{subject.get('kind')} {subject.get('namespace', '')}/{subject.get('name')}".replace(" /", " ")
    return f"{record.finding}  {record.outcome:<12}{what}  {record.content.get('title')}"


def _list(known: list[Record], args: argparse.Namespace) -> int:
    if args.output != "text":
        items = [
            {
                "name": one.name,
                "finding": one.finding,
                "title": one.content.get("title"),
                "outcome": one.outcome,
            }
            for one in known
        ]
        diagnose.print_document({"fixes": items}, args.output)
    elif known:
        for one in known:
            print(f"{one.applied.get('started', ''):<27}{_line(one)}")
    else:
        print("nothing was fixed here yet")
    return 0


def _chosen(known: list[Record], name: str) -> Record:
    """Return the newest record of that name that still stands. Raises Problem."""
    matching = [one for one in known if one.finding.startswith(name.lower()) or one.name.startswith(name)]
    for one in matching:
        if one.outcome in records.STANDING and one.undo():
            return one
    if matching:
        raise Problem(
            f"the fix is {matching[0].outcome or 'not applied'} already: nothing is left to take back", code=2
        )
    said = f"there is no fix {name}" if name else "nothing was fixed here yet"
    raise Problem(said, "`fairlead undo --list` tells what was done", code=2)


async def _undo(record: Record, args: argparse.Namespace) -> int:
    from fairlead.drivers.cluster import Unreachable
    from fairlead.keep.errors import Refusal

    async with diagnose.connect(args) as cluster:
        try:
            failures = await records.take_back(record, cluster, diagnose.now)
        except Unreachable as error:
            raise diagnose.unreachable(error) from error
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
            {"record": str(record.path), "undone": not failures, "failures": failures}, args.output
        )
        return
    pen = diagnose.pen(args)
    for change in record.undo():
        print(f"  {change.verb} {change.ref}")
    for failure in failures:
        print(pen.paint(f"  ✖ {failure}", "31;1"))
    if not failures:
        print(pen.paint("  taken back", "32;1") + f": {record.content.get('title')}")
