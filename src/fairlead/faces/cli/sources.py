"""A package and its values on the command line: the options that every verb with a SOURCE has, and how mistakes in them are shown.

Reads the files that options name and nothing else. What is shown of a mistake is the line that it is in, a mark under the place, and
what would be right; never a traceback.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.faces.cli.problems import Problem
from fairlead.render.packages import Capabilities, Context, Layer, Mistake, Mistaken
from fairlead.words import Where

if TYPE_CHECKING:
    from fairlead.drivers.cluster import AsyncCluster
    from fairlead.reactor.rendering import Source
    from fairlead.render.packages import Moment, Rendered
    from fairlead.words import Need

LARGEST_VALUES = 16 << 20
_LONGEST_MESSAGE = 1_200
_LONGEST_TRAIL = 10
SOURCES = """\
a SOURCE is a directory, a .tgz, a file of manifests, - for standard input, or oci://host/repository:tag; what it is written in is seen
from what it holds: module.yaml (a module of fairlead's), timoni.cue, Chart.yaml, kustomization.yaml, or else manifests
"""


def source_argument(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """Add the SOURCE."""
    words: dict[str, Any] = {"nargs": "?", "default": "."} if optional else {}
    parser.add_argument("source", metavar="SOURCE", help="what to render: see below", **words)


def values_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that give values; they are the same for every sort of package."""
    group = parser.add_argument_group("values")
    more: dict[str, Any] = {"action": "append", "default": []}
    group.add_argument("-f", "--values", metavar="FILE", help="a file of values (YAML, JSON; CUE for Timoni); - is standard input; may be repeated, later ones win", **more)  # fmt: skip
    group.add_argument("--set", dest="sets", metavar="NAME=VALUE", help="one value: a.b=c, list[0]=x, list={x,y}; may be repeated", **more)  # fmt: skip
    group.add_argument(
        "--set-string", metavar="NAME=TEXT", help="a value that is text whatever it looks like", **more
    )
    group.add_argument("--set-json", metavar="NAME=JSON", help="a value written as JSON", **more)
    group.add_argument("--set-file", metavar="NAME=FILE", help="a value that is the text of a file", **more)


def context_options(parser: argparse.ArgumentParser) -> None:
    """Add who the rendering is for."""
    group = parser.add_argument_group("instance")
    group.add_argument("--name", default="", help="the name of the instance (default: the package's)")
    group.add_argument(
        "-n", "--namespace", default="", help="the namespace of the instance (default: default)"
    )


def capability_options(parser: argparse.ArgumentParser) -> None:
    """Add what the cluster can do, for packages that ask."""
    group = parser.add_argument_group("cluster")
    group.add_argument("--kube-version", metavar="VERSION", default="", help="the version of Kubernetes that is rendered for, such as 1.31 (default: 1.32.0)")  # fmt: skip
    group.add_argument("--api-versions", metavar="GROUP/VERSION[/KIND]", action="append", default=[], help="something that the cluster serves; may be repeated or have commas")  # fmt: skip


def substitution_options(parser: argparse.ArgumentParser) -> None:
    """Add what only some sorts of packages want."""
    parser.add_argument(
        "--substitute",
        action="store_true",
        help="replace ${variables} in manifests even when no values are given",
    )
    parser.add_argument("--allow-fetch", action="store_true", help="fetch dependencies that the package does not hold from their registries")  # fmt: skip


def registry_options(parser: argparse.ArgumentParser) -> None:
    """Add how registries are talked to, and by whom what is pulled must be signed. Who calls has --data-dir already."""
    from fairlead.faces.cli.shipping import transport_options
    from fairlead.faces.cli.verifying import declare_options

    transport_options(parser)
    declare_options(parser)


def declare_source_options(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """Add all that names a package and gives it values, for verbs that work on a cluster. An optional SOURCE is "" when it is left out."""
    words: dict[str, Any] = {"nargs": "?", "default": ""} if optional else {}
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a directory, a file, a .tgz, oci://host/repository:tag, or -",
        **words,
    )
    values_options(parser)
    substitution_options(parser)
    registry_options(parser)


def layers(args: argparse.Namespace) -> list[Layer]:
    """Return the values that the options give. Raises Problem for files that cannot be read."""
    found = [Layer(_called(name), read_text(name, "--values")) for name in args.values]
    found += [Layer("--set-json", text, "set-json") for text in args.set_json]
    found += [Layer("--set", text, "set") for text in args.sets]
    found += [Layer("--set-string", text, "set-string") for text in args.set_string]
    found += [_of_file(text) for text in args.set_file]
    if args.substitute and not found:
        found = [Layer("--substitute", "{}")]  # no values, and yet they are asked for
    return found


def _called(name: str) -> str:
    return "standard input" if name == "-" else name


def read_text(name: str, option: str) -> str:
    """Return the text of a file, or of standard input for `-`; the option is for messages. Raises Problem."""
    try:
        if name == "-":
            data = sys.stdin.buffer.read(LARGEST_VALUES + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(LARGEST_VALUES + 1)
        if len(data) > LARGEST_VALUES:
            raise Problem(f"{name} is larger than {LARGEST_VALUES >> 20} MiB, and no file of values", code=2)
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Problem(f"{name} is not text in UTF-8", code=2) from error
    except FileNotFoundError as error:
        raise Problem(f"{option} {name}: there is no such file", code=2) from error
    except OSError as error:
        raise Problem(f"{option} {name}: {error.strerror}", code=2) from error


def _of_file(text: str) -> Layer:
    """Return `name=path` with the text of the file in its place."""
    import json

    name, equals, path = text.partition("=")
    if not equals or not name or not path:
        raise Problem(
            f"--set-file {text}: it takes NAME=FILE", "for example: --set-file tls.key=key.pem", code=2
        )
    return Layer("--set-file", f"{name}={json.dumps(read_text(path, '--set-file'))}", "set-json")


def context(args: argparse.Namespace, source: Source, **more: Any) -> Context:
    """Return who the rendering is for. Raises Problem."""
    import re

    serves = frozenset(one.strip() for text in args.api_versions for one in text.split(",") if one.strip())
    version = Capabilities().version
    if args.kube_version:
        found = re.fullmatch(r"v?(\d+)\.(\d+)(\.\d+\S*)?", args.kube_version)
        if found is None:
            raise Problem(f"--kube-version {args.kube_version}: it looks like 1.31 or v1.31.2", code=2)
        version = f"v{found[1]}.{found[2]}{found[3] or '.0'}"
    name = args.name or default_name(source)
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,51}[a-z0-9])?", name):
        hint = "" if args.name else "name the instance with --name"
        raise Problem(
            f"{name!r} is no name for an instance: at most 53 lowercase letters, digits and -", hint, code=2
        )
    namespace = args.namespace or "default"
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", namespace):
        raise Problem(
            f"{namespace!r} is no name for a namespace: at most 63 lowercase letters, digits and -",
            code=2,
        )
    return Context(name, namespace, capabilities=Capabilities(version, serves), **more)


def default_name(source: Source) -> str:
    """Return the name that an instance has when nobody names it."""
    from fairlead.reactor import rendering_loading

    return rendering_loading.default_name(source)


def load(text: str, args: argparse.Namespace | None = None) -> Source:
    """Return the package at a SOURCE; `args` say how registries are talked to and what must be signed. Raises Mistaken and Problem."""
    from fairlead.reactor.rendering_fetching import is_remote

    if not is_remote(text):
        from fairlead.reactor.rendering_loading import load_source

        return load_source(text, stdin=sys.stdin.buffer)
    import asyncio

    return asyncio.run(opened(text, args or argparse.Namespace()))


async def opened(text: str, args: argparse.Namespace, *, version: str = "", digest: str = "") -> Source:
    """Return an artifact's package, of a version or range where that is wanted, signed as the arguments demand. Raises Mistaken."""
    from fairlead.drivers.oci.errors import RegistryError
    from fairlead.faces.cli import shipping, verifying
    from fairlead.reactor.rendering_fetching import open_source

    how = complete(args)
    try:
        async with shipping.reached(how, text) as (place,):
            return await open_source(
                text, store=place.store, accept=verifying.accept(how), version=version, digest=digest
            )
    except RegistryError as error:
        raise Mistaken(Mistake(str(error).removeprefix(f"{text}: "), Where(text))) from error


def complete(args: argparse.Namespace) -> argparse.Namespace:
    """Return arguments with all that registries and signatures want to know, for verbs that do not have every option."""
    usual: dict[str, Any] = {"plain_http": False, "insecure": False, "ca_file": None, "data_dir": None, "verify_key": [], "verify_identity": [],
             "verify_issuer": "", "verify_policy": [], "trust_root": ""}  # fmt: skip
    return argparse.Namespace(**{**usual, **vars(args)})


async def fetched(needs: Sequence[Need], args: argparse.Namespace) -> dict[Need, Any]:
    """Answer Needs of packages from registries, each checked as the SOURCE itself is; none without --allow-fetch."""
    from fairlead.drivers.oci.errors import RegistryError
    from fairlead.faces.cli import shipping, verifying
    from fairlead.reactor.rendering_fetching import is_remote, package_files

    found: dict[Need, Any] = {}
    how = complete(args)
    for need in needs if getattr(args, "allow_fetch", False) else ():
        address = need.about.name
        if not is_remote(address):
            found.update(await package_files([need]))  # it says what is wrong with that
        try:
            async with shipping.reached(how, address) as (place,):
                found.update(await package_files([need], store=place.store, accept=verifying.accept(how)))
        except RegistryError as error:
            raise Mistaken(Mistake(str(error).removeprefix(f"{address}: "), Where(address))) from error
    return found


def loaded(args: argparse.Namespace) -> Source:
    """Return the package that is named. Raises Problem."""
    try:
        return load(args.source, args)
    except Mistaken as mistaken:
        raise problem(mistaken, code=2) from mistaken


async def rendered(
    source: Source,
    given: Sequence[Layer],
    cluster: AsyncCluster | None,
    *,
    name: str,
    namespace: str,
    revision: int = 1,
    moment: Moment = "install",
    args: argparse.Namespace | None = None,
) -> Rendered:
    """Render for a cluster: it is asked what it can do, and for objects that the package looks at. Raises Problem, Refusal, Unreachable."""
    from fairlead.reactor.rendering import render_source_async
    from fairlead.reactor.rendering_fetching import capabilities_of, cluster_answers

    able = Capabilities()
    if cluster is not None and source.sort in {"module", "chart", "timoni"}:
        able = await capabilities_of(cluster)

    async def answer(needs: Sequence[Need]) -> Mapping[Need, Any]:
        for text in _prying(needs, namespace):
            print(f"note: {text}", file=sys.stderr)
        found = await fetched(
            [need for need in needs if need.what == "package.files"], args or argparse.Namespace()
        )
        if cluster is not None:
            found.update(
                await cluster_answers(cluster, [need for need in needs if need.what != "package.files"])
            )
        return found

    who = Context(name, namespace, revision, moment, able)
    try:
        return await render_source_async(source, given, who, fetch=answer)
    except Mistaken as mistaken:
        raise problem(mistaken, source) from mistaken


def fetching(args: argparse.Namespace) -> Callable[[Sequence[Need]], Mapping[Need, Any]]:
    """Return what answers Needs without a cluster: packages come from registries where that is allowed, objects are absent."""

    def fetch(needs: Sequence[Need]) -> Mapping[Need, Any]:
        import asyncio

        return asyncio.run(fetched([need for need in needs if need.what == "package.files"], args))

    return fetch


# How mistakes are shown


def say(mistaken: Mistaken, source: Source | None = None, *, most: int = 20) -> None:
    """Print mistakes on standard error, each with its line, a mark under the place and what would be right."""
    colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    for number, mistake in enumerate(mistaken.mistakes[:most]):
        if number:
            print(file=sys.stderr)
        print("\n".join(shown(mistake, source, colour=colour)), file=sys.stderr)
    left = len(mistaken.mistakes) - most
    if left > 0:
        print(f"\nand {left} more", file=sys.stderr)


def problem(mistaken: Mistaken, source: Source | None = None, *, code: int = 2) -> Problem:
    """Return mistakes as what ends a command."""
    count = len(mistaken.mistakes)
    where = f"{source.where} " if source is not None else "the package "
    many = "cannot be used" if count == 1 else f"has {count} mistakes"
    lines = [line for one in mistaken.mistakes[:20] for line in shown(one, source)]
    return Problem("\n".join([f"{where}{many}", *lines]), code=code)


def shown(mistake: Mistake, source: Source | None = None, *, colour: bool = False) -> list[str]:
    """Return a mistake as lines."""
    from fairlead.faces.cli.pens import Pen

    pen = Pen(colour)
    where = mistake.where
    file = located(where.file, source)
    column = f":{mistake.column}" if mistake.column and where.line else ""
    place = f"{file}:{where.line}{column}" if where.line else file
    path = where.path.removeprefix(".")
    said = _short(mistake.message)
    head = f"{pen.paint('error', '1;31')}: {pen.paint(f'{path}: ' if path else '', '1')}{pen.paint(said, '')}"
    lines = [head]
    if place:
        lines.append(f"  {pen.paint('-->', '34')} {pen.paint(place, '')}")
    if mistake.excerpt.strip():
        lines += _excerpt(mistake, pen)
    lines += [
        f"  called from {located(one.file, source)}:{one.line}" + (f" in {one.path}" if one.path else "")
        for one in mistake.trail[:_LONGEST_TRAIL]
    ]
    if len(mistake.trail) > _LONGEST_TRAIL:
        lines.append(f"  and so on, {len(mistake.trail) - _LONGEST_TRAIL} times more")
    hint = mistake.hint
    if where.file == "--set" and hint.startswith("put it in quotes"):  # which a shell takes off
        hint = f"--set-string {path}=... gives text"
    if hint:
        lines.append(f"  {pen.paint('hint', '32')}: {pen.paint(hint, '')}")
    return lines


def _prying(needs: Sequence[Need], namespace: str) -> list[str]:
    """Return what there is to say of a package that looks at Secrets which are not beside it: it may copy what its user may read."""
    from fairlead.diagnose.hiding import visible

    found: dict[str, None] = {}
    for need in needs:
        about = need.about
        if (
            need.what.startswith("cluster.")
            and (about.group, about.kind) == ("", "Secret")
            and about.namespace != namespace
        ):
            where = f"in namespace {about.namespace}" if about.namespace else "in all namespaces"
            what = f"the Secret {about.name}" if about.name else "the Secrets"
            found[visible(f"the package looks at {what} {where}, and can copy them")] = None
    return list(found)


def _short(message: str) -> str:
    """Return a message without its middle, where what calls itself has made it longer than anybody reads."""
    if len(message) <= _LONGEST_MESSAGE:
        return message
    return f"{message[: _LONGEST_MESSAGE // 2]} ... {message[-_LONGEST_MESSAGE // 2 :]}"


def _excerpt(mistake: Mistake, pen: Any) -> list[str]:
    """Return the line that is wrong, and a mark below the place in it."""
    line, column = mistake.excerpt.rstrip("\r\n"), mistake.column
    number = str(mistake.where.line) if mistake.where.line else ""
    start = 0
    if len(line) > 160:
        start = max(0, column - 60)
        line = line[start : start + 150] + "..."
    gutter = " " * len(number)
    lines = [f"  {pen.paint(f'{number} |'.strip(), '34')} {pen.paint(line.replace(chr(9), ' '), '')}"]
    if 0 < column - start <= len(line):
        width = _width(line[column - start - 1 :])
        mark = " " * (column - start - 1) + "^" * max(1, min(width, 100))
        lines.append(f"  {pen.paint(f'{gutter} |', '34')} {pen.paint(mark, '31')}")
    return lines


def _width(rest: str) -> int:
    """Return how much of a line, from the place of a mistake on, is what is wrong: a key, a quoted text, a value."""
    plain = rest.split(" #", maxsplit=1)[0].rstrip() or rest[:1]
    first = plain[:1]
    if first in {'"', "'"}:
        return plain.find(first, 1) + 1 or len(plain)
    if plain.startswith("${") and "}" in plain:
        return plain.index("}") + 1
    if first in {"{", "["}:
        return len(plain)
    ends = [at for at in (plain.find(": "), *(plain.find(stop) for stop in ",)]}")) if at > 0]
    if plain.endswith(":"):
        ends.append(len(plain) - 1)
    return min([len(plain), *ends])


def located(file: str, source: Source | None) -> str:
    """Return how a file of a package is called on this machine, where the package is a folder."""
    if (
        source is None
        or not file
        or file not in source.package.files
        or "://" in source.where
        or source.where == "-"
    ):
        return file
    folder = Path(source.where)
    if source.package.target:
        depth = source.package.target.count("/") + 1
        return os.path.normpath(folder.joinpath(*[".."] * depth, file))
    if folder.is_dir():
        return os.path.normpath(folder / file)
    return os.path.normpath(folder.parent / file) if (folder.parent / file).exists() else file
