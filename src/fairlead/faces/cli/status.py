"""`fairlead status`: how the platform on this machine is, or with a name, how an instance is: each object, its health and what blocks.

Exit code 0 when all is well, 1 when it is not.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING

from fairlead.faces.cli.diagnose import colour_option, pen, print_document

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse gives it no public name

EXAMPLES = """\
examples:
  fairlead status                     the platform on this machine: its processes
  fairlead status shop -n shop        an instance: its objects, their health and what blocks
"""
UNDER_WAY = {
    "pending": "a run is under way, or was interrupted: the same apply goes on with it",
    "deleting": "it is being deleted, or that was interrupted: fairlead delete goes on with it",
}
_STATES = {"Current": "32", "InProgress": "33", "Failed": "31", "Terminating": "33", "NotFound": "31"}


def declare(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    from fairlead.faces.cli.converging import where_options

    parser = verbs.add_parser(
        "status",
        help="say what runs, where, and how it is; with a name, how an instance is",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "name", nargs="?", default="", metavar="NAME", help="an instance (default: the platform)"
    )
    parser.add_argument("-o", "--output", choices=("table", "json", "yaml"), default="table")
    colour_option(parser)
    where_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Look, tell, and return the exit code."""
    if not args.name:
        from fairlead.faces.cli.lifecycle import run_status

        return run_status(args)
    return asyncio.run(_run(args))


async def _run(args: argparse.Namespace) -> int:
    from fairlead.faces.cli.converging import cluster_of, converger, instance, table
    from fairlead.faces.cli.problems import Problem
    from fairlead.reactor.converging import Told
    from fairlead.reactor.converging_revisions import survey

    async with cluster_of(args) as cluster:
        worker = converger(args, cluster, Told())
        where = instance(args, cluster, args.name)
        found = await survey(worker.requests, where, worker.now())
    if found is None:
        raise Problem(f"there is no instance {where}", "fairlead list -A tells which there are")
    if args.output != "table":
        print_document(found.as_json(), args.output)
        return 0 if found.well else 1
    how, record = pen(args), found.record
    package = " ".join(one for one in (record.package, record.package_version) if one)
    print(f"{where} revision {record.number} {record.state}" + (f", {package}" if package else ""))
    said = record.message or UNDER_WAY.get(record.state, "")
    if said:
        print(f"  {said}")
    rows = [["OBJECT", "STATE", "WHY"]]
    rows += [
        [str(one.ref), one.health.state, one.health.message + (f": {one.hint}" if one.hint else "")]
        for one in found.rows
    ]
    for line, row in zip(table(rows, how), rows, strict=True):
        code = _STATES.get(row[1], "")
        print(line.replace(row[1], how.paint(row[1], code), 1) if code and how.colour else line)
    return 0 if found.well else 1
