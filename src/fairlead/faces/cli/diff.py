"""`fairlead diff`: what an apply would change, or where a cluster is no longer as an instance was left. Secrets are never shown.

Exit code 0 when nothing differs, 1 when something does, 2 when it could not look.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING

from fairlead.faces.cli.diagnose import colour_option, pen, print_document
from fairlead.faces.cli.problems import Problem
from fairlead.faces.cli.sources import declare_source_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fairlead.reactor.rendering import Source
    from fairlead.render.packages import Layer

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse gives it no public name

EXAMPLES = """\
examples:
  fairlead diff ./shop --name shop -n shop     what an apply would change, asked of the server
  fairlead diff --name shop                    where the cluster is no longer as it was left
  fairlead diff --name shop --revision 3       what a rollback to revision 3 would change

exit codes: 0 nothing differs, 1 something does, 2 it could not look
"""


def declare(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    from fairlead.faces.cli.converging import policy_options, where_options

    parser = verbs.add_parser(
        "diff",
        help="show what an apply would change, or where a cluster has drifted from what was applied",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    declare_source_options(parser, optional=True)
    parser.add_argument("--name", default="", metavar="NAME", help="what the instance is called")
    parser.add_argument(
        "--revision", type=int, default=0, metavar="N", help="compare with this revision instead of a package"
    )
    policy_options(parser)
    parser.add_argument("-o", "--output", choices=("table", "json", "yaml"), default="table")
    colour_option(parser)
    where_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compare, tell, and return the exit code."""
    from fairlead.faces.cli.apply import package

    if not args.source and not args.name:
        raise Problem("there is nothing to compare", "name a package, or an instance with --name", code=2)
    if args.source and args.revision:
        raise Problem("either a package or a revision is compared", "leave out one of them", code=2)
    try:
        return asyncio.run(_run(args, *(package(args) if args.source else (None, ()))))
    except Problem as problem:
        problem.code = 2
        raise


async def _run(args: argparse.Namespace, source: Source | None, given: Sequence[Layer]) -> int:
    from dataclasses import replace

    from fairlead.faces.cli.apply import wished
    from fairlead.faces.cli.converging import cluster_of, converger, instance, options, plan_lines
    from fairlead.reactor.converging import Outcome, Told
    from fairlead.reactor.converging_revisions import revision

    async with cluster_of(args) as cluster:
        worker = converger(args, cluster, Told())
        if source is not None:
            desired = await wished(args, worker, source, given)
        else:
            desired = await revision(worker.requests, instance(args, cluster, args.name), args.revision)
        drafted = await worker.plan(desired, replace(options(args), create_namespace=True))
    plan = drafted.plan
    differs = not plan.idle or bool(plan.blocked)
    if args.output != "table":
        outcome = Outcome(instance=desired.instance, state="planned", plan=plan)
        print_document({**outcome.as_json(), "differs": differs}, args.output)
        return int(differs)
    lines = plan_lines(plan, pen(args), differences=True)
    print("\n".join(lines) or f"{desired.instance}: nothing differs")
    return int(differs)
