"""`fairlead list`: the instances of a namespace or of a whole cluster, with their last revision."""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING

from fairlead.faces.cli.diagnose import colour_option, pen, print_document

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse gives it no public name


def declare(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    from fairlead.faces.cli.converging import where_options

    parser = verbs.add_parser("list", help="list the instances of a cluster")
    parser.add_argument("-o", "--output", choices=("table", "json", "yaml"), default="table")
    colour_option(parser)
    where_options(parser, every=True)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """List, and return the exit code."""
    return asyncio.run(_run(args))


async def _run(args: argparse.Namespace) -> int:
    from fairlead.faces.cli.converging import cluster_of, converger, table
    from fairlead.reactor.converging import Told
    from fairlead.reactor.converging_records import instances

    async with cluster_of(args) as cluster:
        worker = converger(args, cluster, Told())
        found = await instances(worker.requests, "" if args.all_namespaces else args.namespace)
    if args.output != "table":
        print_document({"instances": [one.as_json() for one in found]}, args.output)
        return 0
    if not found:
        print("there are no instances" + (f" in namespace {args.namespace}" if args.namespace else ""))
        return 0
    rows = [["NAMESPACE", "NAME", "REVISION", "STATE", "PACKAGE", "UPDATED"]]
    rows += [
        [
            one.instance.namespace,
            one.instance.name,
            str(one.number),
            one.state,
            " ".join(
                each for each in (one.told.get("package", ""), one.told.get("package-version", "")) if each
            )
            or "-",
            one.told.get("updated", ""),
        ]
        for one in found
    ]
    print("\n".join(table(rows, pen(args))))
    return 0
