"""`fairlead rollback`: apply an older revision of an instance again, as a new one.

Exit code 0 when everything is as it was then, 1 when it is not.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING

from fairlead.faces.cli.diagnose import colour_option, pen, print_document

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse gives it no public name


def declare(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    from fairlead.faces.cli.converging import policy_options, waiting_options, where_options

    parser = verbs.add_parser("rollback", help="apply an older revision of an instance again")
    parser.add_argument("name", metavar="NAME", help="the instance")
    parser.add_argument(
        "revision",
        nargs="?",
        type=int,
        default=0,
        metavar="REVISION",
        help="default: the last good one before the last",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="only say what would be done: the server is asked, nothing is written",
    )
    parser.add_argument("--diff", action="store_true", help="show what changes in each object")
    parser.add_argument(
        "--yes", action="store_true", help="do not ask before deleting or recreating anything"
    )
    policy_options(parser)
    waiting_options(parser)
    parser.add_argument("-o", "--output", choices=("table", "json", "yaml"), default="table")
    colour_option(parser)
    where_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Go back, tell, and return the exit code."""
    return asyncio.run(_run(args))


async def _run(args: argparse.Namespace) -> int:
    from fairlead.faces.cli.converging import (
        Teller,
        causes,
        cluster_of,
        converger,
        document,
        instance,
        options,
        plan_lines,
        told_causes,
        told_outcome,
    )

    how, wanted = pen(args), options(args)
    asks = sys.stdin.isatty() and not args.yes
    teller = Teller(how, quiet=args.output != "table", detailed=args.diff, asks=asks)
    async with cluster_of(args) as cluster:
        worker = converger(args, cluster, teller)
        outcome = await worker.rollback(instance(args, cluster, args.name), args.revision, wanted)
        teller.clear()
        found = await causes(cluster, outcome)
    if args.output != "table":
        print_document(document(outcome, found), args.output)
        return 0 if outcome.good else 1
    if wanted.dry_run and not args.diff:
        print("\n".join(plan_lines(outcome.plan, how)) or "nothing would change")
    told_outcome(outcome, how)
    told_causes(found, how)
    return 0 if outcome.good else 1
