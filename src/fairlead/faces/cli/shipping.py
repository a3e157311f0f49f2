"""What the verbs that ship share: how to reach a store, who is asking, what is shown while bytes pass, and in which form.

Must never print a credential, nor a name from a registry with something in it that a terminal would obey.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from fairlead.diagnose.hiding import visible
from fairlead.faces.cli.lifecycle import data_dir_option, places
from fairlead.faces.cli.problems import Problem

if TYPE_CHECKING:
    from fairlead.drivers.oci.credentials import Credentials, Login
    from fairlead.drivers.oci.references import Reference
    from fairlead.drivers.oci.stores import Progress, Store

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse gives it no public name

T = TypeVar("T")
RAW: Final = argparse.RawDescriptionHelpFormatter
_WORTH_SHOWING: Final = 4 << 20
_LARGEST_CA: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """A store, and what was named in it."""

    store: Store
    ref: Reference


def store_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how a registry is talked to."""
    transport_options(parser)
    data_dir_option(parser)


def transport_options(parser: argparse.ArgumentParser) -> None:
    """Add what `store_options` does, but --data-dir, for verbs that have it already."""
    group = parser.add_argument_group("registry")
    group.add_argument(
        "--plain-http",
        action="store_true",
        help="talk to the registry without TLS (this machine's own needs no word)",
    )
    group.add_argument("--insecure", action="store_true", help="do not check the registry's certificate")
    group.add_argument("--ca-file", type=Path, metavar="PEM", help="trust these authorities too")


def output_option(parser: argparse.ArgumentParser, *extra: str) -> None:
    """Add -o: json, yaml or a table for people."""
    parser.add_argument(
        "-o",
        "--output",
        choices=("table", "json", "yaml", *extra),
        default="table",
        help="default: %(default)s",
    )


def credentials(args: argparse.Namespace, fixed: Mapping[str, Login] | None = None) -> Credentials:
    """Return the logins of the user, and of the embedded platform for its own registry; `fixed` ones come first."""
    from fairlead.drivers.oci.credentials import Credentials

    own = places(args).root / "registry" / "config.json"
    return Credentials(first=[own] if os.access(own, os.R_OK) else [], fixed=fixed)


@contextlib.asynccontextmanager
async def reached(
    args: argparse.Namespace, *names: str, fixed: Mapping[str, Login] | None = None
) -> AsyncIterator[list[Place]]:
    """Give the stores that some names mean, a registry's client shared by all. Raises RegistryError for what names none."""
    from fairlead.drivers.oci.clients import Client
    from fairlead.drivers.oci.layouts import Layout, is_layout, parse_layout
    from fairlead.drivers.oci.references import Reference
    from fairlead.drivers.oci.wire import Manners

    found: list[tuple[Path | None, Reference]] = [
        parse_layout(name) if is_layout(name) else (None, Reference.parse(name)) for name in names
    ]
    ca = ""
    if args.ca_file is not None:
        try:
            with args.ca_file.open() as file:
                ca = file.read(_LARGEST_CA)
        except (OSError, UnicodeDecodeError) as error:
            raise Problem(f"{args.ca_file}: {getattr(error, 'strerror', None) or 'not PEM'}") from error
    plain = ["*"] if args.plain_http else []
    with shown_progress() as progress:
        manners = Manners(plain_http=plain, insecure=args.insecure, ca=ca)
        async with Client(credentials(args, fixed), manners, progress=progress) as client:
            yield [Place(client if path is None else Layout(path), ref) for path, ref in found]


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end; what a registry or an archive does wrong ends the command with its text."""
    import asyncio

    from fairlead.drivers.oci.errors import BadReference, Denied, RegistryError

    try:
        return asyncio.run(work)
    except BadReference as error:
        raise Problem(visible(str(error)), code=2) from error
    except Denied as error:
        hint = "" if "registry login" in str(error) else "log in: fairlead registry login HOST"
        raise Problem(visible(str(error)), hint) from error
    except RegistryError as error:
        raise Problem(visible(str(error))) from error
    except OSError as error:
        raise Problem(f"{error.filename or ''}: {error.strerror}".lstrip(": ")) from error


@contextlib.contextmanager
def shown_progress() -> Any:
    """Give a function that shows on a terminal how far large blobs are, None where nobody would see it."""
    if not sys.stderr.isatty():
        yield None
        return
    now: dict[str, tuple[int, int]] = {}
    last = 0.0

    def progress(digest: str, count: int, total: int) -> None:
        nonlocal last
        if total < _WORTH_SHOWING:
            return
        now[digest] = (count, total)
        if time.monotonic() - last > 0.1:
            last = time.monotonic()
            done, whole = (sum(pair[side] for pair in now.values()) for side in (0, 1))
            print(f"\r\x1b[K  {size(done)} of {size(whole)}", end="", file=sys.stderr, flush=True)

    told: Progress = progress
    try:
        yield told
    finally:
        if now:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def size(count: float) -> str:
    """Return bytes as people read them."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def emit(form: str, document: Any, lines: Sequence[str] = ()) -> None:
    """Print a document as JSON or YAML, or the lines for people."""
    if form == "json":
        print(json.dumps(document, indent=2, ensure_ascii=False))
    elif form == "yaml":
        from fairlead.tongues.yamls import dump

        print(dump(document), end="")
    else:
        for line in lines:
            print(visible(line))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows under their head, in columns."""
    cells = [list(head), *(list(row) for row in rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def parse_annotations(words: Sequence[str]) -> dict[str, str]:
    """Return annotations from key=value words. Raises Problem."""
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise Problem(f"-a {word}: an annotation is written key=value", code=2)
        found[key] = value
    return found


def empty_or_forced(folder: Path, *, force: bool) -> None:
    """Raise Problem for a folder that has something in it, unless it may be written into."""
    if not force and folder.is_dir() and any(folder.iterdir()):
        raise Problem(f"{folder}: the folder is not empty", "--force writes into it")


def ignore_file(folder: Path, to: str = "") -> Callable[[str, bool], bool]:
    """Return what the ignore files of a folder leave out of a package, and the layout in it that it is pushed `to`. Raises Problem."""
    from fairlead.drivers.oci.layouts import is_layout, parse_layout
    from fairlead.reactor import rendering_loading
    from fairlead.render.packages import Mistaken

    try:
        ignored = rendering_loading.ignore_file(folder, str(folder))
    except Mistaken as mistaken:
        raise Problem(visible(str(mistaken))) from mistaken

    def left_out(path: str, is_folder: bool) -> bool:
        try:
            return ignored(path, is_folder)
        except Mistaken as mistaken:
            raise Problem(visible(str(mistaken))) from mistaken

    if not is_layout(to):
        return left_out
    target, top = os.path.realpath(run_parse(parse_layout, to)[0]), os.path.realpath(folder)
    return lambda path, is_folder: left_out(path, is_folder) or os.path.join(top, path) == target  # noqa: PTH118  names only


def run_parse(parse: Callable[[str], T], text: str) -> T:
    """Parse a name. Raises Problem with the exit code of a wrong word."""
    from fairlead.drivers.oci.errors import BadReference

    try:
        return parse(text)
    except BadReference as error:
        raise Problem(visible(str(error)), code=2) from error


def described(ref: Reference, digest: str, **more: Any) -> dict[str, Any]:
    """Return what is told of an artifact that was pushed or found."""
    return {"url": ref.at(digest).url, "repository": ref.name, **more, "digest": digest}


def told(document: Mapping[str, Any]) -> list[str]:
    """Return a flat document as lines for people."""
    width = max((len(key) for key in document), default=0)
    return [f"{key + ':':<{width + 1}} {value}" for key, value in document.items() if value not in {"", None}]
