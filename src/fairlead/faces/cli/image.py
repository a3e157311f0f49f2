"""`fairlead image import|ls|rm`: the images on this machine's node, without a registry."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fairlead.faces.cli.lifecycle import data_dir_option, places
from fairlead.faces.cli.problems import Problem

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse gives it no public name

T = TypeVar("T")

EXAMPLES = """\
examples:
  fairlead image import app.tar                 an OCI archive, or what `docker save` wrote
  fairlead image import ./layout --name app:1   an OCI layout directory, under a name of your own
  fairlead image ls
  fairlead image rm app:1
"""


def declare(verbs: Verbs) -> None:
    """Add the verb and its three actions to the command line."""
    raw = argparse.RawDescriptionHelpFormatter
    image = verbs.add_parser(
        "image",
        help="bring images in without a registry, list and remove them",
        epilog=EXAMPLES,
        formatter_class=raw,
    )
    actions = image.add_subparsers(title="actions", metavar="ACTION", required=True)
    data_dir_option(image)

    bring = actions.add_parser("import", help="import OCI archives, OCI layouts or docker archives")
    data_dir_option(bring, below=True)
    bring.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    bring.add_argument("--name", default="", help="the image's name, instead of the one that the archive has")
    bring.set_defaults(run=run_import)

    listing = actions.add_parser("ls", help="list the images")
    data_dir_option(listing, below=True)
    listing.add_argument("-o", "--output", choices=("table", "json"), default="table")
    listing.set_defaults(run=run_ls)

    remove = actions.add_parser("rm", help="remove images by name or id")
    data_dir_option(remove, below=True)
    remove.add_argument("names", nargs="+", metavar="NAME")
    remove.set_defaults(run=run_rm)


def _run(work: Coroutine[Any, Any, T]) -> T:
    from fairlead.drivers.images import ImageInvalid
    from fairlead.orchestrate.runtimes import RuntimeFailed
    from fairlead.reactor.images import NoContainers

    try:
        return asyncio.run(work)
    except NoContainers as error:
        raise Problem(str(error), "start the platform as root on Linux: fairlead up --detach") from error
    except (ImageInvalid, RuntimeFailed) as error:
        raise Problem(str(error)) from error
    except OSError as error:
        raise Problem(f"{error.filename or ''}: {error.strerror}".lstrip(": ")) from error


def run_import(args: argparse.Namespace) -> int:
    """Import each archive and print the names that came with it."""
    from fairlead.reactor import images

    where = places(args)
    where.prepare()
    if args.name and len(args.paths) > 1:
        raise Problem("--name names one image, and there are several paths", code=2)

    async def work() -> None:
        async for path, names in images.bring_in(where.root, args.paths, args.name):
            print(f"{path}: imported {', '.join(names)}", flush=True)

    _run(work())
    return 0


def run_ls(args: argparse.Namespace) -> int:
    """List the images of every runtime."""
    from fairlead.reactor import images

    held = _run(images.all_of(places(args).root))
    if args.output == "json":
        print(
            json.dumps(
                [
                    {
                        "names": one.image.names,
                        "id": one.image.id,
                        "bytes": one.image.size,
                        "runtime": one.runtime,
                    }
                    for one in held
                ],
                indent=2,
            )
        )
        return 0
    rows = [
        (name, one.image.id.partition(":")[2][:12], _size(one.image.size), one.runtime)
        for one in held
        for name in one.image.names or ("<none>",)
    ]
    width = max([len(row[0]) for row in rows] + [4])
    print(f"{'NAME':<{width}}  {'ID':<12}  {'SIZE':>9}  RUNTIME")
    for name, identity, size, runtime in rows:
        print(f"{name:<{width}}  {identity:<12}  {size:>9}  {runtime}")
    return 0


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def run_rm(args: argparse.Namespace) -> int:
    """Remove each name; one that is not there is an error, after the others were removed."""
    from fairlead.reactor import images

    where = places(args)
    missing = []
    for name in args.names:
        if _run(images.take_away(where.root, name)):
            print(f"{name}: removed")
        else:
            missing.append(name)
    if missing:
        raise Problem(f"no such image: {', '.join(missing)}", "list them with: fairlead image ls")
    return 0
