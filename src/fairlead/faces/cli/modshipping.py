"""`fairlead mod push|pull|list|tag|digest|inspect`: modules in registries and local layouts, by strict versions.

What is pushed is a native module, a Timoni module in Timoni's own layout, or a Helm chart, as its folder says.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fairlead.faces.cli import verifying
from fairlead.faces.cli.artifact import (
    limit_options,
    limits,
    listed,
    parse_range_or_problem,
    print_listed,
    read_yaml,
    run_digest,
    summary,
    summary_lines,
    warn_left_out,
)
from fairlead.faces.cli.problems import Problem
from fairlead.faces.cli.shipping import (
    RAW,
    Place,
    described,
    emit,
    ignore_file,
    output_option,
    parse_annotations,
    reached,
    run,
    store_options,
    told,
)

if TYPE_CHECKING:
    from fairlead.drivers.oci.artifacts import Kind, Packed
    from fairlead.drivers.oci.descriptors import Descriptor
    from fairlead.drivers.oci.references import Reference
    from fairlead.drivers.oci.versions import Version
    from fairlead.faces.cli.shipping import Verbs

PUSH: Final = """\
examples:
  fairlead mod push ./podinfo oci://ghcr.io/org/modules/podinfo --version 1.2.3 --latest
  fairlead mod push ./podinfo oci://ghcr.io/org/modules/podinfo -v 2.0.0-rc.1 -a org.opencontainers.image.licenses=Apache-2.0
  fairlead mod push ./podinfo oci://ghcr.io/org/modules/podinfo -v 1.2.3 --sign --key fairlead.key
  fairlead mod push ./charts/podinfo oci://ghcr.io/org/charts/podinfo      the version is the chart's own
  fairlead mod push ./podinfo layout:./offline -v 1.2.3 -o json

The same files, version and annotations give the same digest; `created` is SOURCE_DATE_EPOCH, or the time of the last commit.
"""
PULL: Final = """\
examples:
  fairlead mod pull oci://ghcr.io/org/modules/podinfo -v 1.2.3 -o ./podinfo
  fairlead mod pull oci://ghcr.io/org/modules/podinfo -v '>=1.0 <2.0' -o ./podinfo
  fairlead mod pull oci://ghcr.io/org/modules/podinfo@sha256:... -o ./podinfo
"""
_MARKS: Final = {"module": "module.yaml", "timoni": "timoni.cue", "chart": "Chart.yaml"}


def declare(actions: Verbs) -> None:
    """Add the actions to `fairlead mod`."""
    push = actions.add_parser("push", help="push a module to a registry", epilog=PUSH, formatter_class=RAW)
    push.add_argument("path", type=Path, metavar="DIR")
    push.add_argument("to", metavar="ADDRESS", help="oci://host/repository, without a tag")
    push.add_argument(
        "-v",
        "--version",
        default="",
        help="a semantic version, without a leading v; default: the module's own",
    )
    push.add_argument(
        "--force", action="store_true", help="replace a version that is there with other content"
    )
    push.add_argument("--latest", action="store_true", help="move the tag latest to it")
    push.add_argument("-a", "--annotation", action="append", default=[], metavar="KEY=VALUE")
    output_option(push)
    store_options(push)
    _signing_options(push)
    push.set_defaults(run=run_push)

    pull = actions.add_parser("pull", help="fetch a module's files", epilog=PULL, formatter_class=RAW)
    pull.add_argument("ref", metavar="ADDRESS")
    pull.add_argument(
        "-v",
        "--version",
        default="",
        metavar="RANGE",
        help="a version, or a range of which the newest is taken",
    )
    pull.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")
    limit_options(pull)
    store_options(pull)
    verifying.declare_options(pull)
    pull.set_defaults(run=run_pull)

    listing = actions.add_parser("list", help="list the versions of a module")
    listing.add_argument("ref", metavar="ADDRESS")
    listing.add_argument("--with-digest", action="store_true")
    listing.add_argument("-v", "--version", default="", metavar="RANGE", help="only versions in this range")
    output_option(listing)
    store_options(listing)
    listing.set_defaults(run=run_list)

    tag = actions.add_parser("tag", help="give a version the tag latest, or another")
    tag.add_argument("ref", metavar="ADDRESS", help="with the version as its tag, or with a digest")
    tag.add_argument("tags", nargs="*", default=["latest"], metavar="TAG", help="default: latest")
    store_options(tag)
    tag.set_defaults(run=run_tag)

    digest = actions.add_parser("digest", help="print the digest that a version stands for")
    digest.add_argument("ref", metavar="ADDRESS")
    store_options(digest)
    digest.set_defaults(run=run_digest)

    inspect = actions.add_parser("inspect", help="show what a published module is")
    inspect.add_argument("ref", metavar="ADDRESS")
    inspect.add_argument(
        "part", nargs="?", choices=("module", "values", "resources", "manifest"), default="module"
    )
    inspect.add_argument("-v", "--version", default="", metavar="RANGE")
    verifying.declare_options(inspect)
    output_option(inspect)
    store_options(inspect)
    inspect.set_defaults(run=run_inspect)


def _signing_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("signature")
    group.add_argument("--sign", action="store_true", help="sign what was pushed, with --key or keyless")
    group.add_argument(
        "--key", default="", metavar="PEM", help="a private key: cosign's or PKCS#8 (env://NAME: a variable)"
    )
    group.add_argument(
        "--identity-token", default="", metavar="TOKEN", help="an OpenID Connect token, or a file with one"
    )
    group.add_argument(
        "--trust-config",
        default="",
        metavar="FILE",
        help="a client trust configuration, in place of sigstore's",
    )
    group.add_argument(
        "--format",
        choices=("bundle", "legacy", "both"),
        default="bundle",
        help="how a signature is attached (default: %(default)s)",
    )


def run_push(args: argparse.Namespace) -> int:
    """Pack a module and push it under its version; with --sign, sign it before `latest` is moved to it."""
    from fairlead.drivers.oci import artifacts
    from fairlead.drivers.oci.scratch import scratch
    from fairlead.drivers.oci.versions import tag_of

    if not args.sign and (args.key or args.identity_token or args.trust_config):
        raise Problem("--key, --identity-token and --trust-config are for --sign", code=2)
    signing = _signing(args) if args.sign else None

    async def work() -> dict[str, Any]:
        with scratch() as folder:
            packed, version = _packed(args, folder)
            async with reached(args, args.to) as (place,):
                if place.ref.tag or place.ref.digest:
                    raise Problem(f"{args.to}: the version is the tag; give the address without one", code=2)
                if not args.force:
                    await _free(place, tag_of(version), packed.descriptor.digest)
                done = await artifacts.push(place.store, place.ref, packed, tag_of(version))
                signatures = await signing(place, done) if signing else []
                if args.latest:
                    await place.store.tag(place.ref.at(done.digest), "latest")
        signed = {"signatures": [one.digest for one in signatures]} if signatures else {}
        return described(place.ref, done.digest, version=str(version), kind=packed.kind, **signed)

    document = run(work())
    shown = {**document, "signatures": ", ".join(document.get("signatures", ()))}
    emit(args.output, document, told(shown))
    return 0


async def _free(place: Place, tag: str, digest: str) -> None:
    """Raise Problem where a version is there with other content: who has it would never know."""
    from fairlead.drivers.oci.errors import NotFound

    try:
        there = await place.store.resolve(place.ref.with_tag(tag))
    except NotFound:
        return
    if there.digest != digest:
        where = place.ref.with_tag(tag).url
        raise Problem(
            f"{where} is there with other content ({there.digest})",
            "push another version, or replace it with --force",
        )


def _signing(args: argparse.Namespace) -> Callable[[Place, Descriptor], Awaitable[list[Descriptor]]]:
    """Return what signs an artifact, as the options say; what they lack is told before anything is pushed. Raises Problem."""
    from datetime import UTC, datetime

    from fairlead.drivers.signatures.keyless import Unsignable
    from fairlead.drivers.signatures.signing import sign_artifact
    from fairlead.faces.cli.sign import forms_of, signer_of

    forms, signer = forms_of(args), signer_of(args)

    async def sign(place: Place, artifact: Descriptor) -> list[Descriptor]:
        try:
            return list(
                await sign_artifact(
                    place.store,
                    place.ref.at(artifact.digest),
                    artifact,
                    signer,
                    datetime.now(UTC),
                    forms=forms,
                )
            )
        except Unsignable as error:
            where = place.ref.at(artifact.digest).url
            raise Problem(
                f"{where} was pushed, and could not be signed: {error}", f"fairlead sign {where}"
            ) from error

    return sign


def _packed(args: argparse.Namespace, scratch: Path) -> tuple[Packed, Version]:
    """Pack what the folder is. Raises Problem."""
    from fairlead.drivers.oci import artifacts, folders

    folder: Path = args.path
    if not folder.is_dir():
        raise Problem(f"{folder}: there is no such folder")
    found = folders.read_folder(folder, ignore_file(folder, args.to))
    warn_left_out(found.left_out)
    kind = artifacts.kind_of_files(found.files)
    if kind not in _MARKS:
        raise Problem(
            f"{folder}: no module: there is neither module.yaml nor timoni.cue nor Chart.yaml",
            "any other content is pushed with: fairlead artifact push",
        )
    config, own, notes = _described(folder, kind)
    version = _version(args.version, own, folder / _MARKS[kind])
    notes = {**folders.origin_notes(folder, os.environ), **notes, artifacts.VERSION: str(version)}
    packed = artifacts.pack(
        found.files,
        kind,
        scratch,
        annotations={**notes, **parse_annotations(args.annotation)},
        config=config,
        under=str(config.get("name") or "") if config and kind == "chart" else "",
    )
    return packed, version


def _described(folder: Path, kind: Kind) -> tuple[dict[str, Any] | None, str, dict[str, str]]:
    """Return what a module's own manifest says: all of it, its version, and what becomes annotations."""
    from fairlead.drivers.oci.artifacts import TITLE

    if kind == "timoni":
        return None, "", {}
    content = read_yaml(folder / _MARKS[kind])
    meta = content if kind == "chart" else _mapping(content.get("metadata"))
    spec = content if kind == "chart" else _mapping(content.get("spec"))
    name = meta.get("name")
    if not isinstance(name, str) or not name or "/" in name:
        where = "name" if kind == "chart" else "metadata.name"
        raise Problem(f"{folder / _MARKS[kind]}: {where} is {name!r}, and should be the module's name")
    stated = spec.get("version")
    if stated is not None and not isinstance(stated, str):
        raise Problem(
            f'{folder / _MARKS[kind]}: the version is {stated!r}, and should be a text such as "1.2.3"'
        )
    notes = {TITLE: name}
    for key, label in (("description", "description"), ("home", "url")):
        if isinstance(spec.get(key), str) and spec[key]:
            notes[f"org.opencontainers.image.{label}"] = spec[key]
    return content, stated or "", notes


def _mapping(found: Any) -> dict[str, Any]:
    return found if isinstance(found, dict) else {}


def _version(asked: str, own: str, where: Path) -> Version:
    """Return the version to push as: the one asked for, which has to be the module's own where it states one."""
    from fairlead.drivers.oci.versions import BadVersion, Version

    if not asked and not own:
        raise Problem("a version is needed", "say which with --version 1.2.3", code=2)
    try:
        version = Version.parse(asked or own)
    except BadVersion as error:
        raise Problem(
            f"--version: {error}" if asked else f"{where}: {error}", code=2 if asked else 1
        ) from error
    if asked and own and asked != own:
        raise Problem(
            f"--version {asked}, but {where} says {own}", "make them the same, or leave --version out"
        )
    return version


def run_pull(args: argparse.Namespace) -> int:
    """Fetch a module and write its files."""
    from fairlead.drivers.oci import artifacts

    async def work() -> dict[str, Any]:
        async with reached(args, args.ref) as (place,):
            chosen = Place(place.store, await chosen_version(place, args.version))
            descriptor, _ = await artifacts.read_manifest(chosen.store, chosen.ref)
            pinned = chosen.ref.with_digest(descriptor.digest)
            await verifying.required(args, chosen.store, pinned, descriptor.digest)
            found = await artifacts.unpack(chosen.store, pinned, limits(args))
            if found.kind not in _MARKS:
                raise Problem(
                    f"{chosen.ref.url}: no module",
                    "any other content is fetched with: fairlead artifact pull",
                )
            files = {name: found.files[inside] for name, inside in found.inner.items()}
            artifacts.write_files(files, args.output, replace=args.force)
            version = found.manifest.annotations.get(artifacts.VERSION) or chosen.ref.tag
            return described(
                chosen.ref, descriptor.digest, version=version, kind=found.kind, files=len(files)
            )

    document = run(work())
    emit("table", document, told(document))
    return 0


async def chosen_version(place: Place, wanted: str) -> Reference:
    """Return the name of the version that is wanted, as `choose_version` does. Raises Problem for what is no range, RegistryError."""
    from fairlead.drivers.oci.artifacts import choose_version
    from fairlead.drivers.oci.versions import BadVersion

    try:
        return await choose_version(place.store, place.ref, wanted)
    except BadVersion as error:
        raise Problem(str(error), code=2) from error


def run_list(args: argparse.Namespace) -> int:
    """List the versions of a module, the newest first."""
    from fairlead.drivers.oci.versions import parse_range, version_of

    fits = parse_range_or_problem(args.version, parse_range) if args.version else None

    async def work() -> list[dict[str, str]]:
        async with reached(args, args.ref) as (place,):
            tags = [
                tag
                for tag in await place.store.tags(place.ref)
                if (tag == "latest" and fits is None)
                or ((version := version_of(tag)) is not None and (fits is None or fits(version)))
            ]
            return await listed(place, tags, "version", digests=args.with_digest)

    print_listed(args, run(work()), "version")
    return 0


def run_tag(args: argparse.Namespace) -> int:
    """Move tags to a version; a version itself is never moved."""
    from fairlead.drivers.oci.versions import version_of

    async def work() -> list[str]:
        async with reached(args, args.ref) as (place,):
            if not (place.ref.tag or place.ref.digest):
                raise Problem(f"{args.ref}: name the version, as in {args.ref}:1.2.3", code=2)
            there = await place.store.resolve(place.ref)
            for tag in args.tags:
                if version_of(tag) is None or tag not in await place.store.tags(place.ref):
                    continue
                if (await place.store.resolve(place.ref.with_tag(tag))).digest != there.digest:
                    raise Problem(
                        f"{tag} is another artifact already, and a version stays what it is",
                        "tag the next version",
                    )
            for tag in args.tags:
                await place.store.tag(place.ref.with_digest(there.digest), tag)
            return [f"{place.ref.with_tag(tag).url}@{there.digest}" for tag in args.tags]

    emit("table", None, run(work()))
    return 0


def run_inspect(args: argparse.Namespace) -> int:
    """Show a published module: what it is, its default values, what it renders to, or its manifest."""
    from fairlead.drivers.oci import artifacts

    async def work() -> tuple[Any, list[str]]:
        async with reached(args, args.ref) as (place,):
            at = Place(place.store, await chosen_version(place, args.version))
            descriptor, manifest = await artifacts.read_manifest(at.store, at.ref)
            pinned = at.ref.with_digest(descriptor.digest)
            if args.part == "manifest":
                _, body = await at.store.manifest(pinned)
                return dict(manifest.document), body.decode(errors="replace").splitlines()
            if args.part == "module":
                document = summary(at, descriptor, manifest)
                document["version"] = manifest.annotations.get(artifacts.VERSION) or at.ref.tag
                document["config"] = await artifacts.read_config(at.store, pinned, manifest)
                return document, summary_lines(document, manifest, [])
            await verifying.required(args, at.store, pinned, descriptor.digest)
            found = await artifacts.unpack(at.store, pinned)
            return await _rendered(found.package, at.ref.url, args.part)

    document, lines = run(work())
    emit(args.output, document, lines)
    return 0


async def _rendered(files: Mapping[str, bytes], where: str, part: str) -> tuple[Any, list[str]]:
    """Return a module's default values, or what it renders to with them. Raises Problem."""
    from fairlead.reactor.rendering import render_source_async
    from fairlead.reactor.rendering_loading import of_files
    from fairlead.render.packages import Context, Mistaken
    from fairlead.tongues import yamls

    try:
        rendered = await render_source_async(of_files(files, where), [], Context("example"))
    except Mistaken as mistaken:
        raise Problem(str(mistaken)) from mistaken
    if part == "values":
        return dict(rendered.values), yamls.dump(dict(rendered.values)).splitlines()
    return list(rendered.objects), yamls.dump_all(rendered.objects).splitlines()
