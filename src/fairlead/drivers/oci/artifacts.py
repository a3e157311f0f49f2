"""Packages as artifacts: files into layers and a manifest, and back, in the layouts of fairlead, Timoni, Flux and Helm.

The same files, version and annotations give the same digest. Must never write what an archive holds before all of it was checked, and
never decide whether what was pulled may be trusted. Sources: stefanprodan/timoni internal/oci, fluxcd/pkg oci, Helm's HIP-6, and the
guidance on artifacts in the OCI image specification 1.1.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from fairlead.drivers.oci.archives import Content, Layer, write_layer
from fairlead.drivers.oci.descriptors import EMPTY, INDEXES, MANIFEST, Descriptor, Manifest
from fairlead.drivers.oci.errors import BadReference, NotFound, RegistryError, TooLarge
from fairlead.drivers.oci.references import Reference
from fairlead.drivers.oci.scratch import scratch
from fairlead.drivers.oci.stores import Store, gathering
from fairlead.drivers.oci.unpacking import USUAL, Limits, Member, unpacked
from fairlead.drivers.oci.versions import newest, parse_range, tag_of, version_of

Kind: TypeAlias = Literal["module", "timoni", "flux", "chart", "files"]
"""What an artifact is: a native module, a Timoni module or artifact, a Flux artifact, a Helm chart, or any other."""

CONTENT_TYPE: Final = "sh.timoni.content.type"
CREATED: Final = "org.opencontainers.image.created"
SOURCE: Final = "org.opencontainers.image.source"
REVISION: Final = "org.opencontainers.image.revision"
VERSION: Final = "org.opencontainers.image.version"
TITLE: Final = "org.opencontainers.image.title"
UNKNOWN: Final = "application/vnd.unknown.artifact.v1"
"""The type of an artifact that nobody gave one, by the name that other tools use."""
_ZERO: Final = "0001-01-01T00:00:00Z"
_LARGEST_CONFIG: Final = 4 << 20
_MOST_LAYERS: Final = 128


@dataclass(frozen=True, slots=True)
class Form:
    """How a kind of artifact is laid out: media types of config and layer, and whether artifactType says it, too."""

    kind: Kind
    config: str
    layer: str
    typed: bool = False


FORMS: Final[Mapping[Kind, Form]] = {
    "module": Form(
        "module",
        "application/vnd.fairlead.module.config.v1+json",
        "application/vnd.fairlead.module.content.v1.tar+gzip",
        typed=True,
    ),
    "timoni": Form(
        "timoni", "application/vnd.timoni.config.v1+json", "application/vnd.timoni.content.v1.tar+gzip"
    ),
    "flux": Form(
        "flux", "application/vnd.cncf.flux.config.v1+json", "application/vnd.cncf.flux.content.v1.tar+gzip"
    ),
    "chart": Form(
        "chart",
        "application/vnd.cncf.helm.config.v1+json",
        "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
    ),
    "files": Form("files", EMPTY, "application/vnd.oci.image.layer.v1.tar+gzip", typed=True),
}
_KINDS: Final[Mapping[str, Kind]] = {form.config: kind for kind, form in FORMS.items() if kind != "files"}
_MARKS: Final[tuple[tuple[str, Kind], ...]] = (
    ("module.yaml", "module"),
    ("timoni.cue", "timoni"),
    ("Chart.yaml", "chart"),
)


def kind_of(manifest: Manifest) -> Kind:
    """Return what kind of artifact a manifest describes."""
    return _KINDS.get(manifest.config.media_type if manifest.config else "", "files")


def kind_of_files(names: Mapping[str, Any]) -> Kind:
    """Return what kind a folder with these files is packed as: what its manifest says, else plain files."""
    return next((kind for mark, kind in _MARKS if mark in names), "files")


@dataclass(frozen=True, slots=True)
class Packed:
    """An artifact that can be pushed: its manifest, and each blob with its bytes or the file that holds them."""

    kind: Kind
    body: bytes
    media_type: str
    blobs: tuple[tuple[Descriptor, bytes | Path], ...]

    @property
    def descriptor(self) -> Descriptor:
        """What the manifest is."""
        return Descriptor.of(self.body, self.media_type)


def created_at(environment: Mapping[str, str], changed: float | None = None) -> str:
    """Return the `created` annotation: SOURCE_DATE_EPOCH, else the time of the last change in Git, else the epoch; RFC 3339.

    Never the time of day, so that the same content gives the same digest. Raises RegistryError for a SOURCE_DATE_EPOCH that is no number.
    """
    from datetime import UTC, datetime

    stated = environment.get("SOURCE_DATE_EPOCH", "")
    if stated and not (stated.isascii() and stated.isdigit() and len(stated) < 12):
        raise RegistryError(f"SOURCE_DATE_EPOCH is {stated[:40]!r}, and should be seconds since 1970")
    seconds = float(stated) if stated else changed or 0.0
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def pack(
    files: Mapping[str, Content],
    kind: Kind,
    scratch: Path,
    *,
    annotations: Mapping[str, str] | None = None,
    config: Mapping[str, Any] | None = None,
    config_type: str = "",
    layer_type: str = "",
    artifact_type: str = "",
    content_type: str = "",
    under: str = "",
) -> Packed:
    """Pack files by their relative names; layers are written into the folder `scratch`.

    A Timoni module has its vendored schemas (`cue.mod`) in a layer of their own, as Timoni has; `content_type` says what another Timoni
    artifact holds. A chart's files go into the folder `under`, which is its name, and `config` is its Chart.yaml. Types, where
    given, replace those of the kind. Raises RegistryError.
    """
    if not files:
        raise RegistryError("there is nothing to pack")
    form = FORMS[kind]
    layer_type, config_type = layer_type or form.layer, config_type or form.config
    layers: list[Layer] = []
    if kind == "timoni" and not content_type:
        inside = {name: content for name, content in files.items() if not _is_test(name)}
        vendored = {name: content for name, content in inside.items() if name.startswith("cue.mod/")}
        own = {name: content for name, content in inside.items() if name not in vendored}
        for name, part, label in (("vendor", vendored, "module/vendor"), ("module", own, "module")):
            layers.append(write_layer(scratch / f"{name}.tgz", part, layer_type, {CONTENT_TYPE: label}))
    else:
        notes = {CONTENT_TYPE: content_type} if kind == "timoni" else {}
        layers.append(write_layer(scratch / "content.tgz", files, layer_type, notes, under=under))
    if kind in {"timoni", "flux"}:
        body = _image_config(layers)
    elif config is not None:
        body = json.dumps(config, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
    else:
        body = b"{}"
    made = Descriptor.of(body, config_type)
    typed = artifact_type or (form.config if form.typed and config_type == form.config else "")
    if made.media_type == EMPTY and typed in {"", EMPTY}:
        typed = UNKNOWN  # the specification asks for a type where the config is empty
    return _manifest(
        kind, made, body, [(layer.descriptor, layer.path) for layer in layers], annotations or {}, typed
    )


def pack_blobs(
    blobs: Sequence[tuple[Path, str]],
    *,
    artifact_type: str,
    annotations: Mapping[str, str] | None = None,
    config: bytes = b"{}",
    config_type: str = EMPTY,
) -> Packed:
    """Return an artifact of files as they are, each a layer with its media type and its name as title. Raises RegistryError."""
    from fairlead.drivers.oci.uploads import measure_file

    layers: list[tuple[Descriptor, bytes | Path]] = []
    for path, kind in blobs:
        found = measure_file(path, kind)
        layers.append((Descriptor(kind, found.digest, found.size, {TITLE: path.name}), path))
    return _manifest(
        "files", Descriptor.of(config, config_type), config, layers, annotations or {}, artifact_type
    )


def _is_test(name: str) -> bool:
    """Return whether Timoni keeps a file out of what it publishes, whatever a module ignores."""
    return name.endswith("_test.cue")


def _image_config(layers: Sequence[Layer]) -> bytes:
    """Return the config that Timoni and Flux write: an image's, empty but for the layers' own digests."""
    history = [{"created": _ZERO} for _ in layers]
    found = {
        "architecture": "",
        "created": _ZERO,
        "history": history,
        "os": "",
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        "config": {},
    }
    return json.dumps(found, separators=(",", ":")).encode()


def _manifest(
    kind: Kind,
    config: Descriptor,
    body: bytes,
    layers: Sequence[tuple[Descriptor, bytes | Path]],
    annotations: Mapping[str, str],
    artifact_type: str,
) -> Packed:
    document: dict[str, Any] = {"schemaVersion": 2, "mediaType": MANIFEST}
    if artifact_type:
        document["artifactType"] = artifact_type
    document["config"] = config.document()
    document["layers"] = [layer.document() for layer, _ in layers]
    if annotations:
        document["annotations"] = dict(sorted(annotations.items()))
    packed = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    return Packed(kind, packed, MANIFEST, ((config, body), *layers))


async def push(store: Store, ref: Reference, packed: Packed, tag: str = "") -> Descriptor:
    """Push an artifact, its blobs first; under `tag`, else the reference's own, else by its digest. Raises RegistryError."""
    async with gathering() as group:
        for descriptor, data in dict(packed.blobs).items():
            group.create_task(store.push_blob(ref, data, descriptor.media_type))
    return await store.push_manifest(ref, packed.body, packed.media_type, tag or ref.tag)


@dataclass(frozen=True, slots=True)
class Pulled:
    """An artifact that was read: what it is, its manifest, and its files by relative name."""

    descriptor: Descriptor
    manifest: Manifest
    kind: Kind
    files: Mapping[str, Member] = field(default_factory=dict)

    @property
    def inner(self) -> dict[str, str]:
        """The names of the files within the package, and in the archive: a chart's are in a folder there, which is left out."""
        tops = {name.partition("/")[0] for name in self.files}
        top = f"{tops.pop()}/" if self.kind == "chart" and len(tops) == 1 else ""
        return {name.removeprefix(top): name for name in self.files if name.startswith(top)}

    @property
    def package(self) -> dict[str, bytes]:
        """The files' bytes by their names within the package."""
        return {name: self.files[inside].data for name, inside in self.inner.items()}


async def choose_version(store: Store, ref: Reference, wanted: str = "") -> Reference:
    """Return the name of the version that is wanted: a version, `latest`, or the newest in a range.

    With "", what the name says itself, else `latest`, else the newest version. Raises NotFound, BadVersion for what is no range, and
    BadReference where the name says another one already.
    """
    if not wanted and (ref.tag or ref.digest):
        return ref
    if ref.tag or ref.digest:
        raise BadReference(f"{ref.url} names a version, and {wanted} is wanted: give one of them")
    exact = version_of(wanted)
    if exact is not None or wanted == "latest":
        return ref.with_tag(tag_of(exact) if exact else wanted)
    parse_range(wanted or "*")
    tags = await store.tags(ref)
    found = "latest" if not wanted and "latest" in tags else newest(tags, wanted or "*")
    if not found:
        known = sorted((version for tag in tags if (version := version_of(tag)) is not None), reverse=True)
        shown = ", ".join(str(version) for version in known[:5]) or "none"
        raise NotFound(f"{ref.url}: there is no version in {wanted or '*'}; the newest are {shown}")
    return ref.with_tag(found)


async def read_manifest(store: Store, ref: Reference) -> tuple[Descriptor, Manifest]:
    """Return the manifest that a name stands for; an index of one manifest stands for that. Raises RegistryError."""
    descriptor, body = await store.manifest(ref)
    manifest = Manifest.read(body, descriptor.media_type, ref.url)
    if descriptor.media_type in INDEXES:
        if len(manifest.manifests) != 1:
            raise RegistryError(
                f"{ref.url}: an index of {len(manifest.manifests)} manifests; name one of them by its digest"
            )
        descriptor, body = await store.manifest(ref.at(manifest.manifests[0].digest))
        manifest = Manifest.read(body, descriptor.media_type, ref.url)
    return descriptor, manifest


async def unpack(
    store: Store,
    ref: Reference,
    limits: Limits = USUAL,
    *,
    content_type: str = "",
    accept: Callable[[Descriptor, Manifest], None] | None = None,
) -> Pulled:
    """Return an artifact's files, in memory. `accept` may refuse a manifest before any of its layers is fetched.

    Of a Timoni artifact, `content_type` chooses layers. A file of a later layer replaces one of an earlier, as for images.
    Raises RegistryError and its subclasses.
    """
    descriptor, manifest = await read_manifest(store, ref)
    if accept is not None:
        accept(descriptor, manifest)
    kind = kind_of(manifest)
    layers = content_layers(manifest, kind, ref, content_type)
    if len(layers) > _MOST_LAYERS:
        raise TooLarge(f"{ref.url}: {len(layers)} layers, and at most {_MOST_LAYERS} are unpacked")
    if sum(layer.size for layer in layers) > limits.total:
        raise TooLarge(f"{ref.url}: its layers have more than the {limits.total} bytes that are unpacked")
    pinned = ref.at(descriptor.digest)
    files: dict[str, Member] = {}
    left = limits
    with scratch() as folder:
        for number, layer in enumerate(layers):
            path = folder / str(number)
            await store.fetch(pinned, layer, path)
            found = await asyncio.to_thread(unpacked, path, f"{ref.url}: layer {layer.digest[:19]}", left)
            files.update(found)
            spent = sum(len(member.data) for member in found.values())
            left = Limits(left.total - spent, left.files - len(found), limits.file, limits.ratio)
    _no_file_is_a_folder(files, ref)
    return Pulled(descriptor, manifest, kind, files)


def content_layers(
    manifest: Manifest, kind: Kind, ref: Reference, content_type: str = ""
) -> tuple[Descriptor, ...]:
    """Return the layers that hold an artifact's files. Raises NotFound, RegistryError."""
    wanted = FORMS[kind].layer
    if kind == "files":
        found = tuple(one for one in manifest.layers if one.media_type.endswith(("tar+gzip", "tar.gzip")))
    else:
        found = tuple(one for one in manifest.layers if one.media_type == wanted)
    if content_type:
        found = tuple(one for one in found if one.annotations.get(CONTENT_TYPE) == content_type)
    if not found:
        types = ", ".join(sorted({one.media_type for one in manifest.layers})) or "none"
        chosen = f" and content type {content_type}" if content_type else ""
        raise NotFound(f"{ref.url}: no layer of the media type {wanted}{chosen} (there are: {types})")
    return found


def _no_file_is_a_folder(files: Mapping[str, Member], ref: Reference) -> None:
    for name in files:
        parts = name.split("/")
        for length in range(1, len(parts)):
            above = "/".join(parts[:length])
            if above in files:
                raise RegistryError(f"{ref.url}: {name} lies below {above}, which is a file of another layer")


async def read_config(store: Store, ref: Reference, manifest: Manifest) -> Any:
    """Return an artifact's config as JSON, None where it has none or is no JSON. Raises RegistryError."""
    if manifest.config is None:
        return None
    body = await store.blob(ref, manifest.config, _LARGEST_CONFIG)
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def write_files(files: Mapping[str, Member], folder: Path, *, replace: bool = False) -> None:
    """Write files into a folder, all of them or, where one cannot be, none that was not there. Raises RegistryError.

    The folder is made; one that has something in it is only written to with `replace`, and links in it are never followed.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise RegistryError(f"{folder}: not a folder")
    there = folder.is_dir() and any(folder.iterdir())
    if there and not replace:
        raise RegistryError(f"{folder}: the folder is not empty; --force writes into it")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with scratch(folder) as made:
            fresh = made / "files"
            fresh.mkdir()
            for path, member in files.items():
                _write(fresh / path, member)
            if there:
                _merge(fresh, folder)
            else:
                if folder.is_dir():
                    folder.rmdir()
                fresh.replace(folder)
    except OSError as error:
        raise RegistryError(f"{error.filename or folder}: {error.strerror}") from error


def _write(path: Path, member: Member) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(
        path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o755 if member.executable else 0o644
    )
    with os.fdopen(handle, "wb") as file:
        file.write(member.data)


def _merge(fresh: Path, folder: Path) -> None:
    """Move files into a folder that has some; refuse to go through a link."""
    for path in sorted(fresh.rglob("*")):
        target = folder / path.relative_to(fresh)
        if path.is_dir():
            if target.is_symlink():
                raise RegistryError(f"{target}: a link, which is not followed")
            target.mkdir(exist_ok=True)
        else:
            path.replace(target)
