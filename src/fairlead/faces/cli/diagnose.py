"""`fairlead diagnose`: what is wrong, and why, on a cluster or in files.

Exit code 0 when nothing above a note was found, 1 when something was, 2 when it could not look.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.faces.cli.places import default_data_dir
from fairlead.faces.cli.problems import Problem

if TYPE_CHECKING:
    from fairlead.drivers.cluster import AsyncCluster
    from fairlead.faces.cli.stories import Pen
    from fairlead.reactor.examine import Examined

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse gives it no public name

EXAMPLES = """\
examples:
  fairlead diagnose                         the whole cluster that `fairlead up` runs, or $KUBECONFIG's
  fairlead diagnose -n shop                 one namespace
  fairlead diagnose --context staging       any cluster of your kubeconfig
  fairlead diagnose -f manifests/           files, without a cluster
  helm template ./chart | fairlead diagnose -f -
  fairlead diagnose -o json | jq '.findings[].message'

exit codes: 0 nothing is wrong, 1 something is, 2 it could not look
"""


def cluster_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose a cluster."""
    group = parser.add_argument_group("which cluster")
    group.add_argument("--kubeconfig", type=Path, default=None, metavar="F", help="a kubeconfig file")
    group.add_argument(
        "--context", default="", metavar="NAME", help="a context of the kubeconfig (default: its current one)"
    )
    group.add_argument(
        "--data-dir",
        type=Path,
        default=None,
        metavar="D",
        help="the cluster of `fairlead up --data-dir D` (default, unless $KUBECONFIG is set: "
        f"{default_data_dir()} if there is one)",
    )
    group.add_argument("-n", "--namespace", default="", metavar="NS", help="one namespace (default: all)")
    group.add_argument(
        "-A", "--all-namespaces", action="store_true", help="all namespaces, which is the default"
    )


def declare(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "diagnose",
        help="say what is wrong and why, on a cluster or in files",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "-f",
        "--filename",
        action="append",
        default=[],
        metavar="PATH",
        help="a file, a folder, or - for standard input: examine manifests instead of a cluster",
    )
    parser.add_argument("-o", "--output", choices=("text", "json", "yaml"), default="text")
    colour_option(parser)
    cluster_options(parser)
    parser.set_defaults(run=run)


def colour_option(parser: argparse.ArgumentParser) -> None:
    """Add --color."""
    parser.add_argument(
        "--color",
        choices=("auto", "always", "never"),
        default="auto",
        help="colours (default: on a terminal)",
    )


def run(args: argparse.Namespace) -> int:
    """Examine, print, and return the exit code."""
    if args.filename and (args.kubeconfig or args.context):
        raise Problem(
            "-f examines files and needs no cluster", "leave out --kubeconfig and --context", code=2
        )
    started = time.monotonic()
    examined = examine_paths(args.filename) if args.filename else asyncio.run(_live(args))
    _print(examined, args, time.monotonic() - started)
    return 1 if any(one.severity != "info" for one in examined.findings) else 0


def _print(examined: Examined, args: argparse.Namespace, seconds: float) -> None:
    if args.output == "text":
        from fairlead.faces.cli import stories

        print("\n".join(stories.diagnosis(examined, pen(args), seconds)))
        return
    from fairlead.faces.cli import findings

    print_document(findings.diagnosis(examined), args.output)


def print_document(document: dict[str, Any], output: str) -> None:
    """Print a document as JSON or YAML."""
    if output == "yaml":
        import yaml

        print(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), end="")
    else:
        print(json.dumps(document, indent=2, ensure_ascii=False))


def pen(args: argparse.Namespace) -> Pen:
    """Return how to write: colours as --color says, by default on a terminal unless NO_COLOR is set."""
    from fairlead.faces.cli.stories import Pen

    wanted = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    colour = {"always": True, "never": False}.get(args.color, wanted)
    return Pen(colour, min(shutil.get_terminal_size((100, 24)).columns, 120))


async def _live(args: argparse.Namespace) -> Examined:
    from fairlead.drivers.cluster import Unreachable
    from fairlead.keep.errors import Refusal
    from fairlead.reactor.examine import examine_cluster

    async with connect(args) as cluster:
        try:
            return await examine_cluster(cluster, now, args.namespace)
        except Unreachable as error:
            raise unreachable(error) from error
        except Refusal as refusal:
            raise Problem(f"the cluster refuses: {refusal.message}", code=2) from refusal


def now() -> datetime:
    """Return the present as aware UTC."""
    return datetime.now(UTC)


def unreachable(error: Exception) -> Problem:
    """Return the problem that a cluster does not answer."""
    return Problem(
        f"the cluster cannot be reached: {error}",
        "is it up? `fairlead status` tells of the one on this machine",
        code=2,
    )


def connect(args: argparse.Namespace) -> AsyncCluster:
    """Return a client for the cluster that the arguments mean. Raises Problem."""
    from fairlead.drivers.cluster import AsyncCluster, BadKubeconfig

    path = kubeconfig(args)
    try:
        return AsyncCluster.from_kubeconfig(path, args.context)
    except BadKubeconfig as error:
        raise Problem(str(error), code=2) from error


def kubeconfig(args: argparse.Namespace) -> Path:
    """Return the kubeconfig to use: what was named, $KUBECONFIG, the platform on this machine, or ~/.kube/config."""
    if args.kubeconfig is not None:
        return Path(args.kubeconfig)
    if args.data_dir is not None:
        path = Path(args.data_dir) / "kubeconfig"
        if not path.exists():
            raise Problem(f"there is no kubeconfig at {path}", "start it first: fairlead up --detach", code=2)
        return path
    named = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
    own, home = default_data_dir() / "kubeconfig", Path.home() / ".kube" / "config"
    candidates = [Path(named)] if named else []
    candidates += [home] if args.context else [own, home]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    raise Problem(
        "there is no cluster to look at",
        "start one with `fairlead up --detach`, or name a --kubeconfig",
        code=2,
    )


def examine_paths(paths: list[str]) -> Examined:
    """Examine the files that -f names. Raises Problem for what cannot be read."""
    from fairlead.reactor.examine import examine_files

    texts = read_paths(paths)
    return examine_files(texts, now())


def read_paths(paths: list[str]) -> dict[str, str]:
    """Return the texts of files, folders and standard input by their names. Raises Problem."""
    from fairlead.reactor.examine import files_in

    texts: dict[str, str] = {}
    for name in paths:
        try:
            if name == "-":
                texts["(standard input)"] = sys.stdin.buffer.read().decode(errors="replace")
                continue
            for path in files_in(Path(name)):
                texts[str(path)] = path.read_text(errors="replace")
        except OSError as error:
            raise Problem(f"cannot read {error.filename or name}: {error.strerror}", code=2) from error
    if not texts:
        raise Problem(
            f"no manifests in {', '.join(paths)}", "only .yaml, .yml and .json files are looked for", code=2
        )
    return texts
