"""`fairlead apply`: make a cluster what a package says, as one transaction that can be interrupted, gone on with and taken back.

Exit code 0 when everything is as it is wanted, 1 when it is not, 2 when the package or the command cannot be understood.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING

from fairlead.faces.cli.diagnose import colour_option, pen, print_document
from fairlead.faces.cli.sources import SOURCES, declare_source_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fairlead.converge.stages import Desired
    from fairlead.reactor.converging import Converger
    from fairlead.reactor.rendering import Source
    from fairlead.render.packages import Layer

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse gives it no public name

EXAMPLES = """\
examples:
  fairlead apply ./shop --name shop -n shop --create-namespace
  fairlead apply ./chart --name web -f prod.yaml --set image.tag=1.2.3
  fairlead apply oci://localhost:5000/modules/web:1.2.3 --name web
  kubectl kustomize . | fairlead apply - --name web
  fairlead apply ./shop --name shop --dry-run --diff     what would change, asked of the server
  fairlead apply ./shop --name shop --rollback-on-failure --timeout 2m

exit codes: 0 everything is as it is wanted, 1 it is not, 2 the package or the command cannot be understood
"""


def declare(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    from fairlead.faces.cli.converging import policy_options, waiting_options, where_options

    parser = verbs.add_parser(
        "apply",
        help="apply a package of any kind to a cluster, and wait until it is healthy",
        epilog=EXAMPLES + "\n" + SOURCES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    declare_source_options(parser)
    parser.add_argument(
        "--name", default="", metavar="NAME", help="what the instance is called (default: as the package is)"
    )
    parser.add_argument(
        "--dry-run",
        nargs="?",
        const="server",
        default="",
        choices=("server",),
        help="only say what would be done: the server is asked, nothing is written",
    )
    parser.add_argument("--diff", action="store_true", help="show what changes in each object")
    parser.add_argument(
        "--create-namespace", action="store_true", help="make the namespace where it is not there"
    )
    parser.add_argument(
        "--rollback-on-failure",
        "--atomic",
        action="store_true",
        help="go back to the last deployed revision when it fails; take a first one away",
    )
    parser.add_argument("--test", action="store_true", help="run the package's tests at the end")
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
    """Apply, tell, and return the exit code."""
    return asyncio.run(_run(args, *package(args)))


def package(args: argparse.Namespace) -> tuple[Source, Sequence[Layer]]:
    """Return the package that is named, and the values that are given to it. Raises Problem."""
    from fairlead.faces.cli import sources

    return sources.loaded(args), sources.layers(args)


async def _run(args: argparse.Namespace, source: Source, given: Sequence[Layer]) -> int:
    from fairlead.faces.cli.converging import (
        Teller,
        causes,
        cluster_of,
        converger,
        document,
        options,
        plan_lines,
        told_causes,
        told_outcome,
    )

    how, wanted = pen(args), options(args)
    asks = not args.yes and args.source != "-" and sys.stdin.isatty()
    teller = Teller(how, quiet=args.output != "table", detailed=args.diff, asks=asks)
    async with cluster_of(args) as cluster:
        worker = converger(args, cluster, teller)
        desired = await wished(args, worker, source, given)
        try:
            outcome = await worker.apply(desired, wanted)
        except asyncio.CancelledError:
            teller.says("interrupted: the next run goes on from here")
            raise
        finally:
            teller.clear()
        found = await causes(cluster, outcome)
    if args.output != "table":
        print_document(document(outcome, found), args.output)
        return 0 if outcome.good else 1
    if wanted.dry_run and not args.diff:
        print("\n".join(plan_lines(outcome.plan, how)) or "nothing would change")
    told_outcome(outcome, how)
    told_causes(found, how)
    if outcome.state == "deployed" and desired.notes:
        from fairlead.diagnose.hiding import visible

        print(f"\n{visible(desired.notes.rstrip())}")
    return 0 if outcome.good else 1


async def wished(
    args: argparse.Namespace, worker: Converger, source: Source, given: Sequence[Layer]
) -> Desired:
    """Return what a package asks to be, rendered for the instance on its cluster. Raises Problem, Refusal and Unreachable."""
    from fairlead.converge.revisions import upcoming
    from fairlead.faces.cli.converging import instance
    from fairlead.faces.cli.sources import default_name, rendered
    from fairlead.reactor.converging_records import last
    from fairlead.reactor.converging_rendered import desired

    cluster = worker.requests.cluster
    where = instance(args, cluster, args.name or default_name(source))
    number, moment = upcoming(*await last(worker.requests, where))
    made = await rendered(
        source,
        given,
        cluster,
        name=where.name,
        namespace=where.namespace,
        revision=number,
        moment=moment,
        args=args,
    )
    return desired(made, where, source=source.where, digest=source.digest, moment=moment)
