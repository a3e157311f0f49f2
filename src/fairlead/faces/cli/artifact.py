"""`fairlead artifact`: any content in a registry or a local layout; push, pull, list, tag, digest, inspect, copy and delete."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fairlead.faces.cli import verifying
from fairlead.faces.cli.problems import Problem
from fairlead.faces.cli.shipping import (
    RAW,
    Place,
    described,
    emit,
    empty_or_forced,
    ignore_file,
    output_option,
    parse_annotations,
    reached,
    run,
    size,
    store_options,
    table,
    told,
)

if TYPE_CHECKING:
    from fairlead.drivers.oci.artifacts import Packed
    from fairlead.drivers.oci.descriptors import Descriptor, Manifest
    from fairlead.faces.cli.shipping import Verbs

EXAMPLES = """\
examples:
  fairlead artifact push ./deploy oci://ghcr.io/org/deploy:1.0.0 --kind flux
  fairlead artifact push report.json:application/json oci://ghcr.io/org/report:latest --artifact-type application/vnd.org.report
  fairlead artifact pull oci://ghcr.io/org/deploy:1.0.0 -o ./deploy
  fairlead artifact list oci://ghcr.io/org/deploy --filter-semver '>=1.0 <2.0' --with-digest
  fairlead artifact copy oci://ghcr.io/org/deploy:1.0.0 layout:./offline:1.0.0 --referrers
  fairlead artifact inspect layout:./offline:1.0.0 -o json

Artifacts are named oci://host/repository:tag, or layout:FOLDER:tag for a local OCI layout.
"""
_TYPES: Final = {
    ".json": "application/json",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".txt": "text/plain",
}


def declare(verbs: Verbs) -> None:
    """Add the verb and its actions to the command line."""
    artifact = verbs.add_parser(
        "artifact",
        help="push, pull and look at artifacts in registries",
        epilog=EXAMPLES,
        formatter_class=RAW,
    )
    actions = artifact.add_subparsers(title="actions", metavar="ACTION", required=True)

    push = actions.add_parser("push", help="push a folder or files", epilog=EXAMPLES, formatter_class=RAW)
    push.add_argument(
        "paths", nargs="+", metavar="PATH", help="one folder, or files, each with :MEDIA/TYPE where wanted"
    )
    push.add_argument("to", metavar="ADDRESS")
    push.add_argument("-a", "--annotation", action="append", default=[], metavar="KEY=VALUE")
    push.add_argument(
        "--kind", choices=("auto", "module", "timoni", "flux", "chart", "files"), default="auto",
        help="how a folder is laid out; auto looks for module.yaml, timoni.cue and Chart.yaml",
    )  # fmt: skip
    push.add_argument("--artifact-type", default="", metavar="TYPE")
    push.add_argument("--config-type", default="", metavar="TYPE", help="media type of the config")
    push.add_argument("--layer-type", default="", metavar="TYPE", help="media type of a folder's layer")
    push.add_argument(
        "--content-type",
        default="",
        metavar="NAME",
        help="what a Timoni artifact holds (sh.timoni.content.type)",
    )
    output_option(push)
    store_options(push)
    push.set_defaults(run=run_push)

    pull = actions.add_parser("pull", help="fetch an artifact's files", epilog=EXAMPLES, formatter_class=RAW)
    pull.add_argument("ref", metavar="ADDRESS")
    pull.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")
    pull.add_argument(
        "--content-type", default="", metavar="NAME", help="only the layers of this Timoni content type"
    )
    limit_options(pull)
    store_options(pull)
    verifying.declare_options(pull)
    pull.set_defaults(run=run_pull)

    declare_looking(actions)

    copy = actions.add_parser(
        "copy", help="copy an artifact byte for byte", epilog=EXAMPLES, formatter_class=RAW
    )
    copy.add_argument("ref", metavar="FROM")
    copy.add_argument("to", metavar="TO")
    copy.add_argument(
        "--referrers", action="store_true", help="also what refers to it: signatures, attestations"
    )
    output_option(copy)
    store_options(copy)
    copy.set_defaults(run=run_copy)

    delete = actions.add_parser("delete", help="delete a tag, or with @sha256:... a manifest")
    delete.add_argument("ref", metavar="ADDRESS")
    store_options(delete)
    delete.set_defaults(run=run_delete)


def limit_options(parser: argparse.ArgumentParser) -> None:
    """Add what bounds an archive that is unpacked."""
    parser.add_argument("--force", action="store_true", help="write into a folder that has something in it")
    parser.add_argument(
        "--max-size",
        type=int,
        default=100,
        metavar="MIB",
        help="what may be unpacked in all (default: %(default)s)",
    )
    parser.add_argument("--max-files", type=int, default=10_000, metavar="N", help="default: %(default)s")


def limits(args: argparse.Namespace) -> Any:
    """Return the Limits that the options say."""
    from fairlead.drivers.oci.unpacking import Limits

    total = max(1, args.max_size) << 20
    return Limits(total=total, files=max(1, args.max_files), file=total)


def declare_looking(actions: Verbs) -> None:
    """Add the actions that change no content: list, tag, digest and inspect."""
    listing = actions.add_parser("list", help="list the tags of a repository")
    listing.add_argument("ref", metavar="ADDRESS")
    listing.add_argument("--with-digest", action="store_true")
    listing.add_argument(
        "--filter-semver", default="", metavar="RANGE", help="only versions in a range: '>=1.0 <2.0', ^1"
    )
    listing.add_argument("--filter-regex", default="", metavar="RE2", help="only tags that have this in them")
    output_option(listing)
    store_options(listing)
    listing.set_defaults(run=run_list)

    tag = actions.add_parser("tag", help="give an artifact further tags")
    tag.add_argument("ref", metavar="ADDRESS")
    tag.add_argument("tags", nargs="+", metavar="TAG")
    store_options(tag)
    tag.set_defaults(run=run_tag)

    digest = actions.add_parser("digest", help="print the digest that a name stands for")
    digest.add_argument("ref", metavar="ADDRESS")
    store_options(digest)
    digest.set_defaults(run=run_digest)

    inspect = actions.add_parser("inspect", help="show what an artifact is made of")
    inspect.add_argument("ref", metavar="ADDRESS")
    inspect.add_argument(
        "part", nargs="?", choices=("summary", "manifest", "config", "referrers"), default="summary"
    )
    output_option(inspect)
    store_options(inspect)
    inspect.set_defaults(run=run_inspect)


def run_push(args: argparse.Namespace) -> int:
    """Pack what the paths name and push it."""
    from fairlead.drivers.oci import artifacts
    from fairlead.drivers.oci.scratch import scratch

    async def work() -> dict[str, Any]:
        with scratch() as folder:
            packed = _packed(args, folder)
            async with reached(args, args.to) as (place,):
                if place.ref.digest:
                    raise Problem(f"{args.to}: the digest comes from the content; name a tag", code=2)
                done = await artifacts.push(place.store, place.ref, packed)
        return described(place.ref, done.digest, tag=place.ref.tag, kind=packed.kind)

    document = run(work())
    emit(args.output, document, told(document))
    return 0


def _packed(args: argparse.Namespace, scratch: Path) -> Packed:
    from fairlead.drivers.oci import artifacts, folders

    notes = parse_annotations(args.annotation)
    first = Path(args.paths[0])
    if len(args.paths) == 1 and first.is_dir():
        found = folders.read_folder(first, ignore_file(first, args.to))
        warn_left_out(found.left_out)
        kind = artifacts.kind_of_files(found.files) if args.kind == "auto" else args.kind
        origin = folders.origin_notes(first, os.environ)
        config: dict[str, Any] | None = None
        under = ""
        if kind == "chart":
            config = read_yaml(first / "Chart.yaml")
            under = str(config.get("name") or "chart")
        elif kind == "module":
            config = read_yaml(first / "module.yaml")
        return artifacts.pack(
            found.files,
            kind,
            scratch,
            annotations={**origin, **notes},
            config=config,
            config_type=args.config_type,
            layer_type=args.layer_type,
            artifact_type=args.artifact_type,
            content_type=args.content_type,
            under=under,
        )
    if args.kind not in {"auto", "files"}:
        raise Problem(f"--kind {args.kind} is for one folder", code=2)
    blobs = [_file(word) for word in args.paths]
    origin = {artifacts.CREATED: artifacts.created_at(os.environ)}
    return artifacts.pack_blobs(
        blobs,
        artifact_type=args.artifact_type or artifacts.UNKNOWN,
        annotations={**origin, **notes},
        **({"config_type": args.config_type} if args.config_type else {}),
    )


def _file(word: str) -> tuple[Path, str]:
    """Return a file and its media type from PATH or PATH:TYPE."""
    path, colon, kind = word.rpartition(":")
    if not colon or "/" not in kind or Path(word).exists():
        path, kind = word, _TYPES.get(Path(word).suffix, "application/octet-stream")
    if not Path(path).is_file():
        raise Problem(
            f"{path}: {'a folder is pushed alone' if Path(path).is_dir() else 'there is no such file'}"
        )
    return Path(path), kind


def read_yaml(path: Path) -> dict[str, Any]:
    """Return a mapping from a YAML file. Raises Problem."""
    from fairlead.tongues.yamls import BadYaml, load

    try:
        found = load(path.read_text())
    except OSError as error:
        raise Problem(f"{path}: {error.strerror}") from error
    except (BadYaml, UnicodeDecodeError) as error:
        raise Problem(f"{path}: {error}") from error
    if not isinstance(found, dict):
        raise Problem(f"{path}: not a mapping")
    return found


def warn_left_out(names: list[str]) -> None:
    """Say which files are not packed, because they are links or devices."""
    import sys

    for name in names[:20]:
        print(
            f"warning: {name} is left out: it is a link or a device, and packages hold files", file=sys.stderr
        )
    if len(names) > 20:
        print(f"warning: and {len(names) - 20} more", file=sys.stderr)


def run_pull(args: argparse.Namespace) -> int:
    """Fetch an artifact; archives are unpacked, anything else is written under its title."""
    from fairlead.drivers.oci import artifacts

    async def work() -> dict[str, Any]:
        async with reached(args, args.ref) as (place,):
            descriptor, manifest = await artifacts.read_manifest(place.store, place.ref)
            pinned = Place(place.store, place.ref.with_digest(descriptor.digest))
            await verifying.required(args, place.store, pinned.ref, descriptor.digest)
            titled = [one for one in manifest.layers if artifacts.TITLE in one.annotations]
            packed = any(one.media_type.endswith(("tar+gzip", "tar.gzip")) for one in manifest.layers)
            if titled and not packed:
                await _pull_blobs(pinned, titled, args)
                return described(place.ref, descriptor.digest, files=len(titled))
            found = await artifacts.unpack(
                place.store, pinned.ref, limits(args), content_type=args.content_type
            )
            artifacts.write_files(found.files, args.output, replace=args.force)
        return described(place.ref, descriptor.digest, files=len(found.files))

    document = run(work())
    emit("table", document, told(document))
    return 0


async def _pull_blobs(place: Place, layers: list[Descriptor], args: argparse.Namespace) -> None:
    """Write layers as they are, each under the last part of its title."""
    from fairlead.drivers.oci.artifacts import TITLE
    from fairlead.drivers.oci.unpacking import file_name

    folder: Path = args.output
    names = [file_name(one.annotations[TITLE], place.ref.url) for one in layers]
    if len(set(names)) < len(names):
        raise Problem(f"{place.ref.url}: two layers have the same title")
    empty_or_forced(folder, force=args.force)
    for name, layer in zip(names, layers, strict=True):
        await place.store.fetch(place.ref, layer, folder / name)


def run_list(args: argparse.Namespace) -> int:
    """List tags, versions first and the newest of them on top."""
    from fairlead.drivers.oci.versions import parse_range, version_of
    from fairlead.tongues import regexes

    fits = parse_range_or_problem(args.filter_semver, parse_range) if args.filter_semver else None
    try:
        pattern = regexes.compile(args.filter_regex) if args.filter_regex else None
    except ValueError as error:
        raise Problem(f"--filter-regex {args.filter_regex}: {error}", code=2) from error

    async def work() -> list[dict[str, str]]:
        async with reached(args, args.ref) as (place,):
            tags = await place.store.tags(place.ref)
            if pattern is not None:
                tags = [tag for tag in tags if pattern.search(tag)]
            if fits is not None:
                tags = [tag for tag in tags if (version := version_of(tag)) is not None and fits(version)]
            return await listed(place, tags, "tag", digests=args.with_digest)

    print_listed(args, run(work()), "tag")
    return 0


def parse_range_or_problem(text: str, parse: Any) -> Any:
    """Return a test of versions. Raises Problem with the exit code of a wrong word."""
    from fairlead.drivers.oci.versions import BadVersion

    try:
        return parse(text)
    except BadVersion as error:
        raise Problem(str(error), code=2) from error


async def listed(place: Place, tags: list[str], word: str, *, digests: bool) -> list[dict[str, str]]:
    """Return tags as documents, versions first and the newest of them on top; with their digests where wanted."""
    import asyncio

    from fairlead.drivers.oci.stores import gathering
    from fairlead.drivers.oci.versions import version_of

    versions = sorted(((one, tag) for tag in tags if (one := version_of(tag)) is not None), reverse=True)
    known = {tag for _, tag in versions}
    ordered = [tag for tag in tags if tag == "latest"] + [tag for _, tag in versions]
    ordered += [tag for tag in tags if tag not in known and tag != "latest"]
    found: list[dict[str, str]] = [{"repository": place.ref.name, word: tag} for tag in ordered]
    gate = asyncio.Semaphore(8)

    async def add(document: dict[str, str], tag: str) -> None:
        async with gate:
            document["digest"] = (await place.store.resolve(place.ref.with_tag(tag))).digest

    if digests:
        async with gathering() as group:
            for document, tag in zip(found, ordered, strict=True):
                group.create_task(add(document, tag))
    return found


def print_listed(args: argparse.Namespace, found: list[dict[str, str]], word: str) -> None:
    """Print what `listed` returned."""
    heads = [word, "digest"] if args.with_digest else [word]
    rows = [[document[head] for head in heads] for document in found]
    emit(args.output, found, table([head.upper() for head in heads], rows))


def run_tag(args: argparse.Namespace) -> int:
    """Give what a name stands for further tags."""

    async def work() -> list[str]:
        async with reached(args, args.ref) as (place,):
            return [
                f"{place.ref.with_tag(tag).url}@{(await place.store.tag(place.ref, tag)).digest}"
                for tag in args.tags
            ]

    emit("table", None, run(work()))
    return 0


def run_digest(args: argparse.Namespace) -> int:
    """Print a digest."""

    async def work() -> str:
        async with reached(args, args.ref) as (place,):
            return (await place.store.resolve(place.ref)).digest

    print(run(work()))
    return 0


def run_inspect(args: argparse.Namespace) -> int:
    """Show an artifact's manifest, config, what refers to it, or a summary of them."""
    from fairlead.drivers.oci import artifacts
    from fairlead.drivers.oci.descriptors import Manifest

    async def work() -> tuple[Any, list[str]]:
        async with reached(args, args.ref) as (place,):
            descriptor, body = await place.store.manifest(place.ref)
            manifest = Manifest.read(body, descriptor.media_type, place.ref.url)
            if args.part == "manifest":
                return manifest.document, body.decode(errors="replace").splitlines()
            if args.part == "config":
                found = await artifacts.read_config(place.store, place.ref, manifest)
                return found, _lines(found)
            referring = await place.store.referrers(place.ref, descriptor.digest)
            refers = [one.document() for one in referring]
            if args.part == "referrers":
                rows = [
                    [one.artifact_type or one.media_type, one.digest, size(one.size)] for one in referring
                ]
                return refers, table(["TYPE", "DIGEST", "SIZE"], rows)
            document = summary(place, descriptor, manifest)
            return {**document, "referrers": refers}, summary_lines(document, manifest, referring)

    document, lines = run(work())
    emit(args.output, document, lines)
    return 0


def _lines(document: Any) -> list[str]:
    import json

    return json.dumps(document, indent=2, ensure_ascii=False).splitlines()


def summary(place: Place, descriptor: Descriptor, manifest: Manifest) -> dict[str, Any]:
    """Return what an artifact is, as a document."""
    from fairlead.drivers.oci.artifacts import kind_of

    return {
        "url": place.ref.at(descriptor.digest).url,
        "repository": place.ref.name,
        "digest": descriptor.digest,
        "mediaType": descriptor.media_type,
        "artifactType": manifest.artifact_type,
        "kind": kind_of(manifest) if not manifest.manifests else "index",
        "annotations": dict(manifest.annotations),
        "layers": [one.document() for one in manifest.layers],
        "manifests": [one.document() for one in manifest.manifests],
        "subject": manifest.subject.document() if manifest.subject else None,
    }


def summary_lines(document: dict[str, Any], manifest: Manifest, referring: list[Descriptor]) -> list[str]:
    """Return the same for people."""
    lines = told({key: document[key] for key in ("url", "kind", "artifactType", "mediaType")})
    lines += ["annotations:"] if manifest.annotations else []
    lines += [f"  {key}: {value}" for key, value in sorted(manifest.annotations.items())]
    for head, found in (
        ("layers", manifest.layers),
        ("manifests", manifest.manifests),
        ("referrers", referring),
    ):
        lines += [f"{head}:"] if found else []
        lines += [f"  {one.artifact_type or one.media_type}  {size(one.size)}  {one.digest}" for one in found]
    return lines


def run_copy(args: argparse.Namespace) -> int:
    """Copy from one store into another, or within one."""
    from fairlead.drivers.oci.stores import copy

    async def work() -> dict[str, Any]:
        async with reached(args, args.ref, args.to) as (source, target):
            to = (
                target.ref
                if target.ref.tag or not source.ref.tag or source.ref.digest
                else target.ref.with_tag(source.ref.tag)
            )
            if to.digest:
                raise Problem(f"{args.to}: the digest comes from the content; name a tag", code=2)
            done = await copy(source.store, source.ref, target.store, to, referrers=args.referrers)
            return described(to, done.digest, tag=to.tag)

    document = run(work())
    emit(args.output, document, told(document))
    return 0


def run_delete(args: argparse.Namespace) -> int:
    """Delete a tag or a manifest."""

    async def work() -> str:
        async with reached(args, args.ref) as (place,):
            if not (place.ref.tag or place.ref.digest):
                raise Problem(
                    f"{args.ref}: name a tag or a digest; a whole repository is not deleted", code=2
                )
            await place.store.delete(place.ref)
            return re.sub(r":[^:/@]+@", "@", place.ref.url)

    print(f"{run(work())}: deleted")
    return 0
