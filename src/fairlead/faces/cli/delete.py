"""`fairlead delete`: delete an instance, its objects in reverse order and then its records.

Exit code 0 when everything is gone, 1 when it is not.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING

from fairlead.faces.cli.diagnose import colour_option, pen, print_document
from fairlead.faces.cli.problems import Problem

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse gives it no public name


def declare(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    from fairlead.faces.cli.converging import crds_option, waiting_options, where_options

    parser = verbs.add_parser(
        "delete", help="delete an instance: its objects in reverse order, then its records"
    )
    parser.add_argument("name", metavar="NAME", help="the instance")
    parser.add_argument(
        "--orphan",
        action="store_true",
        help="leave its objects, as nobody's, and delete only what is known of it",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be deleted")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    crds_option(parser)
    waiting_options(parser)
    parser.add_argument("-o", "--output", choices=("table", "json", "yaml"), default="table")
    colour_option(parser)
    where_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Delete, tell, and return the exit code."""
    return asyncio.run(_run(args))


async def _run(args: argparse.Namespace) -> int:
    from fairlead.faces.cli.converging import (
        Teller,
        cluster_of,
        converger,
        document,
        instance,
        options,
        plan_lines,
        told_outcome,
    )

    how, wanted = pen(args), options(args)
    asks = sys.stdin.isatty() and not args.yes
    teller = Teller(how, quiet=args.output != "table", asks=asks, pruned="deleted")
    async with cluster_of(args) as cluster:
        worker = converger(args, cluster, teller)
        where = instance(args, cluster, args.name)
        outcome = await worker.delete(where, wanted, orphan=args.orphan)
        teller.clear()
    if outcome.state == "absent":
        raise Problem(outcome.message, "fairlead list -A tells which there are")
    if args.output != "table":
        print_document(document(outcome), args.output)
        return 0 if outcome.good else 1
    if wanted.dry_run:
        print("\n".join(plan_lines(outcome.plan, how)) or "there is nothing to delete but its records")
    for step in outcome.plan.prunes:
        if step.action == "keep" and not wanted.dry_run:
            print(f"{step.ref} is kept: {step.why}")
    told_outcome(outcome, how)
    return 0 if outcome.good else 1
