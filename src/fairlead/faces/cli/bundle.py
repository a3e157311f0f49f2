"""`fairlead bundle`: several packages that belong together, applied in the order in which they need each other, on one cluster or several.

Exit code 0 when everything is as it is wanted, 1 when something is not or differs, 2 when the bundle or the command cannot be understood.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.faces.cli.diagnose import cluster_options, colour_option, pen, print_document
from fairlead.faces.cli.problems import Problem

if TYPE_CHECKING:
    from fairlead.converge.bundles import Cluster
    from fairlead.reactor.bundling import Book, Carried, Run
    from fairlead.reactor.converging import Told
    from fairlead.render.packages import Layer
    from fairlead.words import Resource

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse gives it no public name

EXAMPLES = """\
examples:
  fairlead bundle vet -f shop.yaml                 read it, and say what is wrong with it
  fairlead bundle apply -f shop.yaml               all clusters, all instances, in order; stops at the first that fails
  fairlead bundle apply -f shop.yaml --cluster staging
  fairlead bundle diff -f shop.yaml                what would change, asked of the servers
  fairlead bundle build -f shop.yaml               print every object
  fairlead bundle apply -f bundle.cue --runtime runtime.cue --runtime-from-env     a Timoni bundle, as it is
  SOPS_AGE_KEY_FILE=key.txt fairlead bundle apply -f shop.yaml     with values that SOPS encrypted

exit codes: 0 everything is as it is wanted, 1 something is not, or differs, 2 the bundle or the command cannot be understood
"""


def declare(verbs: Verbs) -> None:
    """Add the verb and its actions to the command line."""
    from fairlead.faces.cli.converging import crds_option, policy_options, waiting_options
    from fairlead.faces.cli.sources import registry_options

    raw = argparse.RawDescriptionHelpFormatter
    top = verbs.add_parser(
        "bundle",
        help="apply several packages in the order in which they need each other, on one cluster or several",
        epilog=EXAMPLES,
        formatter_class=raw,
    )
    actions = top.add_subparsers(title="actions", metavar="ACTION", required=True)

    def action(
        name: str, text: str, run: Callable[[argparse.Namespace], Coroutine[Any, Any, int]]
    ) -> argparse.ArgumentParser:
        parser = actions.add_parser(name, help=text, epilog=EXAMPLES, formatter_class=raw)
        parser.add_argument(
            "-f", "--file", action="append", required=True, metavar="FILE",
            help="the bundle: our own YAML, or Timoni's in CUE, YAML or JSON (repeatable; files of one bundle are unified)",
        )  # fmt: skip
        parser.add_argument(
            "--runtime", action="append", default=[], metavar="FILE", help="a Timoni runtime (repeatable)"
        )
        parser.add_argument(
            "--runtime-from-env",
            action="store_true",
            help="let attributes of a Timoni bundle read the environment",
        )
        parser.add_argument("--cluster", default="", metavar="NAME", help="only the cluster of that name")
        parser.add_argument(
            "--cluster-group", default="", metavar="GROUP", help="only clusters of that group"
        )
        parser.set_defaults(act=run, run=_guarded)
        return parser

    def shared(parser: argparse.ArgumentParser, *formats: str) -> None:
        parser.add_argument("-o", "--output", choices=formats, default=formats[0])
        colour_option(parser)
        cluster_options(parser)

    apply = action("apply", "apply every instance in order; stop at the first that fails", _apply)
    apply.add_argument(
        "--dry-run", action="store_true", help="only say what would be done; nothing is written"
    )
    apply.add_argument("--diff", action="store_true", help="show what changes in each object")
    apply.add_argument("--create-namespace", action="store_true", help="make namespaces that are not there")
    apply.add_argument(
        "--rollback-on-failure",
        "--atomic",
        action="store_true",
        help="take an instance that fails back to its last revision",
    )
    registry_options(apply)
    policy_options(apply)
    waiting_options(apply)
    shared(apply, "table", "json", "yaml")
    diff = action("diff", "show what an apply would change (exit code 1 when something would)", _diff)
    registry_options(diff)
    policy_options(diff)
    shared(diff, "table", "json", "yaml")
    build = action("build", "print every object as it would be applied", _build)
    registry_options(build)
    shared(build, "yaml", "json")
    shared(action("status", "say how every instance is", _status), "table", "json", "yaml")
    remove = action("delete", "delete every instance, the last first", _delete)
    crds_option(remove)
    waiting_options(remove)
    shared(remove, "table", "json", "yaml")
    vet = action("vet", "read the bundle and its files, and say what is wrong; no cluster is asked", _vet)
    colour_option(vet)


def _guarded(args: argparse.Namespace) -> int:
    """Run an action; what is wrong with the bundle is told with its place."""
    from fairlead.converge.bundles import BadBundle
    from fairlead.render.packages import Mistaken

    try:
        code: int = asyncio.run(args.act(args))
    except (BadBundle, Mistaken) as error:
        first, _, rest = str(error).partition("\n")
        raise Problem(first, rest.replace("\n", "\n  "), code=2) from error
    return code


async def _apply(args: argparse.Namespace) -> int:
    from fairlead.faces.cli.converging import Teller, options
    from fairlead.reactor import bundling

    teller = Teller(pen(args), quiet=args.output != "table", detailed=args.diff)
    wanted = options(args)
    return await _carry(args, teller, lambda run: bundling.apply(run, wanted))


async def _diff(args: argparse.Namespace) -> int:
    from dataclasses import replace

    from fairlead.faces.cli.converging import Teller, options
    from fairlead.reactor import bundling

    teller = Teller(pen(args), quiet=args.output != "table", detailed=True)
    wanted = replace(options(args), dry_run=True)
    idle = True
    documents = []

    def heard(one: Carried) -> None:
        nonlocal idle
        idle = idle and one.outcome.plan.idle
        documents.append(_document(one))

    await _everywhere(args, teller, lambda run: bundling.apply(run, wanted), heard)
    if args.output != "table":
        print_document({"instances": documents}, args.output)
    elif idle:
        print("nothing differs")
    return 0 if idle else 1


async def _build(args: argparse.Namespace) -> int:
    from fairlead.reactor.converging import Told
    from fairlead.tongues import yamls

    objects: list[Resource] = []

    async def build(run: Run) -> bool:
        await run.begin()
        for member in run.bundle.members:
            made = await run.prepared(member)
            objects.extend(item for stage in made.stages for item in stage.objects)
            await run.exported(member, made)
        return True

    await _each(args, Told(), build)
    if args.output == "json":
        print_document({"apiVersion": "v1", "kind": "List", "items": objects}, "json")
    else:
        print(yamls.dump_all(objects), end="")
    return 0


async def _status(args: argparse.Namespace) -> int:
    from fairlead.converge.stages import Instance
    from fairlead.reactor.converging import Told
    from fairlead.reactor.converging_records import last

    rows: list[dict[str, Any]] = []

    async def look(run: Run) -> bool:
        for member in run.bundle.members:
            record, _ = await last(run.worker.requests, Instance(member.name, member.namespace))
            rows.append(
                {
                    "cluster": run.cluster.name,
                    "namespace": member.namespace,
                    "name": member.name,
                    "state": record.state if record is not None else "absent",
                    "revision": record.number if record is not None else 0,
                    "version": record.package_version if record is not None else "",
                }
            )
        return True

    await _each(args, Told(), look)
    if args.output != "table":
        print_document({"instances": rows}, args.output)
    else:
        print(f"{'CLUSTER':<16}{'NAMESPACE':<16}{'NAME':<20}{'REVISION':<10}{'VERSION':<14}STATE")
        for row in rows:
            print(
                f"{row['cluster'] or '-':<16}{row['namespace']:<16}{row['name']:<20}{row['revision']:<10}"
                f"{row['version'] or '-':<14}{row['state']}"
            )
        print("\nhow an instance's objects are: fairlead status NAME -n NAMESPACE")
    return 0 if all(row["state"] == "deployed" for row in rows) else 1


async def _delete(args: argparse.Namespace) -> int:
    from fairlead.faces.cli.converging import Teller, options
    from fairlead.reactor import bundling

    teller = Teller(pen(args), quiet=args.output != "table", pruned="deleted")
    wanted = options(args)
    return await _carry(args, teller, lambda run: bundling.delete(run, wanted))


async def _vet(args: argparse.Namespace) -> int:
    book = await asyncio.to_thread(_book, args)
    where = ", ".join(cluster.name for cluster in book.clusters if cluster.name) or "the current cluster"
    print(f"the bundle {book.name} can be read; it goes to {where}")
    return 0


# Carrying out


async def _carry(args: argparse.Namespace, teller: Told, do: Callable[[Run], AsyncIterator[Carried]]) -> int:
    """Carry an action out everywhere, tell, and return the exit code."""
    from fairlead.faces.cli.converging import told_outcome

    how = pen(args)
    good, documents = True, []

    def heard(one: Carried) -> None:
        nonlocal good
        ended = one.outcome.good or one.outcome.state == "absent"
        good = good and ended
        documents.append(_document(one))
        if args.output == "table":
            told_outcome(one.outcome, how)
        if not ended and args.output == "table":
            print(f"stopped at {one.outcome.instance}: what comes later is left as it is", file=sys.stderr)

    await _everywhere(args, teller, do, heard)
    if args.output != "table":
        print_document({"instances": documents}, args.output)
    return 0 if good else 1


def _document(one: Carried) -> dict[str, Any]:
    return {"cluster": one.cluster.name, **one.outcome.as_json()}


async def _everywhere(
    args: argparse.Namespace,
    told: Told,
    do: Callable[[Run], AsyncIterator[Carried]],
    heard: Callable[[Carried], None],
) -> None:
    """Do something with the bundle, cluster after cluster, until something fails."""

    async def each(run: Run) -> bool:
        good = True
        async for one in do(run):
            heard(one)
            good = one.outcome.good or one.outcome.state == "absent"
        return good

    await _each(args, told, each)


async def _each(args: argparse.Namespace, told: Told, do: Callable[[Run], Awaitable[bool]]) -> None:
    """Do something with the bundle on each of its clusters that is meant, as long as that says to go on."""
    from fairlead.faces.cli import sources, verifying
    from fairlead.faces.cli.converging import converger
    from fairlead.reactor.bundling import Run, Surroundings, selected
    from fairlead.reactor.bundling_books import opened

    book = await asyncio.to_thread(_book, args)
    clusters = selected(book.clusters, args.cluster, args.cluster_group)
    if not clusters:
        names = ", ".join(each.name for each in book.clusters)
        raise Problem("no cluster of the bundle is meant", f"it has these: {names}", code=2)
    folder = Path(args.file[0]).parent if args.file[0] != "-" else Path()
    fetch = partial(sources.opened, args=args)
    around = Surroundings(
        lambda member: opened(member, folder, fetch),
        folder,
        dict(os.environ),
        verifying.accept(sources.complete(args)),
    )
    for cluster in clusters:
        if len(book.clusters) > 1:
            told.says(f"cluster {cluster.name}:")
        here = argparse.Namespace(**{**vars(args), "context": cluster.context or args.context})
        async with _cluster(here, cluster) as client:
            bundle = await book.settled(cluster, client)
            if not await do(Run(bundle, cluster, client, around, converger(here, client, told))):
                return


@asynccontextmanager
async def _cluster(args: argparse.Namespace, cluster: Cluster) -> AsyncIterator[Any]:
    """Give a client for a cluster; a Problem says which one it was."""
    from fairlead.faces.cli.converging import cluster_of

    try:
        async with cluster_of(args) as client:
            yield client
    except Problem as problem:
        if cluster.name and not str(problem).startswith("cluster "):
            raise Problem(f"cluster {cluster.name}: {problem}", problem.hint, code=problem.code) from problem
        raise


def _book(args: argparse.Namespace) -> Book:
    """Read the bundle that is named."""
    from fairlead.reactor.bundling_books import book

    environment = dict(os.environ) if args.runtime_from_env else {}
    return book(list(_layers(args.file)), list(_layers(args.runtime)), environment)


def _layers(names: Iterable[str]) -> list[Layer]:
    from fairlead.faces.cli.sources import read_text
    from fairlead.render.packages import Layer

    return [Layer(name, read_text(name, "-f")) for name in names]
