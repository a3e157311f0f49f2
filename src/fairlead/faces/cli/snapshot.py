"""`fairlead snapshot`: all that a diagnosis looks at, in one file without secrets, for another person to diagnose.

Exit code 0 when it was written, 2 when it could not be taken.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead.faces.cli import diagnose
from fairlead.faces.cli.problems import Problem

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse gives it no public name

EXAMPLES = """\
examples:
  fairlead snapshot -o shop.json.gz            the whole cluster, compressed
  fairlead snapshot -n shop -o shop.json       one namespace, to look through before it is sent
  fairlead diagnose --snapshot shop.json.gz    what is wrong there, as it was when it was taken

What is in it: the objects that a diagnosis looks at, Events, and the ends of the logs of containers in trouble. Values of Secrets, and
what looks like a secret in ConfigMaps, variables, arguments, annotations and logs, are replaced by stand-ins; names, images, labels and
addresses stay.
"""


def declare(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "snapshot",
        help="write what a diagnosis looks at into a file without secrets, for somebody else to diagnose",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=None,
        metavar="FILE",
        help="the file; .gz compresses (default: print it)",
    )
    parser.add_argument("--no-logs", action="store_true", help="leave out the ends of logs")
    parser.add_argument(
        "--timeout", type=float, default=0.0, metavar="SECONDS", help="give up after so long (exit code 2)"
    )
    diagnose.cluster_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Take the snapshot, write it, and return the exit code."""
    return asyncio.run(_run(args))


async def _run(args: argparse.Namespace) -> int:
    from fairlead.reactor import snapshots

    async with diagnose.open_cluster(args) as cluster, diagnose.patience(args):
        with diagnose.Progress() as progress:
            taken = await snapshots.take(
                cluster, diagnose.now, args.namespace, logs=not args.no_logs, told=progress.told
            )
    if args.output is None:
        sys.stdout.write(snapshots.dump(taken.document).decode())
        return 0
    try:
        snapshots.write(taken.document, args.output)
    except OSError as error:
        raise Problem(f"cannot write {args.output}: {error.strerror}", code=2) from error
    size = args.output.stat().st_size
    diagnose.say(
        f"written to {args.output}: {taken.objects} objects and {taken.logs} logs, {max(1, size >> 10)} KiB; "
        f"{taken.replaced} {'value' if taken.replaced == 1 else 'values'} replaced as secret"
    )
    diagnose.say(f"  whoever has it runs: fairlead diagnose --snapshot {args.output.name}")
    return 0
