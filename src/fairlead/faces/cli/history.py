"""`fairlead history`: the revisions of an instance, the oldest first."""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING

from fairlead.faces.cli.diagnose import colour_option, pen, print_document
from fairlead.faces.cli.problems import Problem

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse gives it no public name


def declare(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    from fairlead.faces.cli.converging import where_options

    parser = verbs.add_parser("history", help="tell the revisions of an instance")
    parser.add_argument("name", metavar="NAME", help="the instance")
    parser.add_argument("-o", "--output", choices=("table", "json", "yaml"), default="table")
    colour_option(parser)
    where_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Tell, and return the exit code."""
    return asyncio.run(_run(args))


async def _run(args: argparse.Namespace) -> int:
    from fairlead.faces.cli.converging import cluster_of, converger, instance, table
    from fairlead.reactor.converging import Told
    from fairlead.reactor.converging_records import history

    async with cluster_of(args) as cluster:
        worker = converger(args, cluster, Told())
        where = instance(args, cluster, args.name)
        found = await history(worker.requests, where)
    if not found:
        raise Problem(f"there is no instance {where}", "fairlead list -A tells which there are")
    if args.output != "table":
        print_document({"revisions": [one.as_json() for one in found]}, args.output)
        return 0
    rows = [["REVISION", "STATE", "UPDATED", "PACKAGE", "WHAT"]]
    for one in found:
        back = one.told.get("back-to", "")
        told = one.told.get("message", "")
        rows.append(
            [
                str(one.number),
                one.state,
                one.told.get("updated", ""),
                " ".join(
                    each
                    for each in (one.told.get("package", ""), one.told.get("package-version", ""))
                    if each
                )
                or "-",
                f"back to revision {back}: {told}" if back else told,
            ]
        )
    print("\n".join(table(rows, pen(args))))
    return 0
