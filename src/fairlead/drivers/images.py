"""Images as files: reads OCI layouts, OCI archives and docker archives, builds layouts and archives, normalises names.

Needs no runtime and no network. Must never unpack an image's files onto this machine: a layer is only ever handed on
as bytes. Formats: the OCI image and image-layout specifications 1.0; the archive that `docker save` writes.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, Protocol

MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
INDEX: Final = "application/vnd.oci.image.index.v1+json"
CONFIG: Final = "application/vnd.oci.image.config.v1+json"
LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
_DOCKER_INDEX: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
_FULL_NAME: Final = "io.containerd.image.name"
_REF_NAME: Final = "org.opencontainers.image.ref.name"
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
_DIGEST: Final = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[0-9a-f]{32,}\Z")
_MAX_DOCUMENT: Final = 8 << 20


class ImageInvalid(ValueError):
    """The file is not an image, or not one that can be used here; the text says what is wrong with it."""


def architecture() -> str:
    """Return this machine's architecture by the name that images use: amd64, arm64 ..."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


def normalise(name: str) -> str:
    """Return the full form of an image's name: `web` is `docker.io/library/web:latest`.

    A first part without a dot, a colon or being `localhost` belongs to docker.io; a digest keeps away the default
    tag. Bare ids (`sha256:...`) stay as they are.
    """
    if _DIGEST.match(name):
        return name
    first, slash, rest = name.partition("/")
    if not slash:
        name = f"docker.io/library/{name}"
    elif not ("." in first or ":" in first or first == "localhost"):
        name = f"docker.io/{name}"
    elif first == "docker.io" and "/" not in rest:
        name = f"docker.io/library/{rest}"
    elif first == "index.docker.io":
        name = f"docker.io/{rest if '/' in rest else 'library/' + rest}"
    if "@" not in name and ":" not in name.rpartition("/")[2]:
        name += ":latest"
    return name


# --- reading


@dataclass(frozen=True, slots=True)
class Blob:
    """A piece of content: its type, digest and size in bytes, and the file inside the archive that holds it.

    A blob without a file holds `data`.
    """

    media_type: str
    digest: str
    size: int
    path: str = ""
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Packed:
    """One image in an archive: its full names, its manifest, and the blobs that the manifest names."""

    names: tuple[str, ...]
    manifest: Blob
    config: Blob
    layers: tuple[Blob, ...]


class Files(Protocol):
    """The files of an archive, by their paths inside it."""

    def open(self, path: str) -> IO[bytes]:
        """Return a reader over a file; KeyError if there is none."""

    def size(self, path: str) -> int:
        """Return a file's size in bytes; KeyError if there is none."""


class _Directory:
    def __init__(self, root: Path) -> None:
        self._root = root

    def _find(self, path: str) -> Path:
        found = self._root / path
        if ".." in Path(path).parts or Path(path).is_absolute() or not found.is_file():
            raise KeyError(path)
        return found

    def open(self, path: str) -> IO[bytes]:
        return self._find(path).open("rb")

    def size(self, path: str) -> int:
        return self._find(path).stat().st_size


class _Tar:
    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._members = {member.name.removeprefix("./"): member for member in tar.getmembers()}

    def _find(self, path: str) -> tarfile.TarInfo:
        member = self._members[path.removeprefix("./")]
        for _ in range(8):  # docker archives link layers that are the same
            if not member.issym() and not member.islnk():
                break
            target = member.linkname
            if member.issym():
                parts = [*member.name.removeprefix("./").split("/")[:-1]]
                for part in target.split("/"):
                    parts = parts[:-1] if part == ".." else [*parts, part]
                target = "/".join(parts)
            member = self._members[target.removeprefix("./")]
        if not member.isfile():
            raise KeyError(path)
        return member

    def open(self, path: str) -> IO[bytes]:
        reader = self._tar.extractfile(self._find(path))
        if reader is None:
            raise KeyError(path)
        return reader

    def size(self, path: str) -> int:
        return self._find(path).size


@contextmanager
def opened(path: Path) -> Iterator[Files]:
    """Open a layout directory or an archive (plain or compressed tar) for reading. Raises ImageInvalid, OSError."""
    if path.is_dir():
        yield _Directory(path)
        return
    try:
        with tarfile.open(path) as tar:
            yield _Tar(tar)
    except (tarfile.TarError, EOFError) as error:
        raise ImageInvalid(f"{path}: not an image archive: {error}") from error


def packed(files: Files, where: str, name: str = "", arch: str = "") -> list[Packed]:
    """Return the images for this machine's platform (or `arch`) that an archive holds. Raises ImageInvalid.

    `name` replaces the archive's own names, and is needed where it has none. `where` is for error texts.
    """
    reader = _Reader(files, where, arch or architecture())
    if reader.has("index.json"):
        images = reader.layout()
    elif reader.has("manifest.json"):
        images = reader.docker()
    else:
        raise ImageInvalid(f"{where}: not an image: it has neither an index.json nor a manifest.json")
    if name:
        if len(images) != 1:
            raise ImageInvalid(f"{where}: holds {len(images)} images, so one name for it is not enough")
        one = images[0]
        images = [Packed((normalise(name),), one.manifest, one.config, one.layers)]
    return images


class _Reader:
    def __init__(self, files: Files, where: str, arch: str) -> None:
        self._files = files
        self._where = where
        self._arch = arch

    def has(self, path: str) -> bool:
        try:
            self._files.size(path)
        except KeyError:
            return False
        return True

    def _bytes(self, path: str) -> bytes:
        try:
            if self._files.size(path) > _MAX_DOCUMENT:
                raise ImageInvalid(f"{self._where}: {path} is too large for a document")
            with self._files.open(path) as reader:
                return reader.read()
        except KeyError:
            raise ImageInvalid(f"{self._where}: {path} is missing") from None

    def _json(self, path: str) -> Any:
        try:
            return json.loads(self._bytes(path))
        except ValueError as error:
            raise ImageInvalid(f"{self._where}: {path} is not JSON: {error}") from error

    def _blob(self, descriptor: Mapping[str, Any]) -> Blob:
        digest = descriptor.get("digest")
        if not isinstance(digest, str) or not _DIGEST.match(digest):
            raise ImageInvalid(f"{self._where}: {digest!r} is not a digest")
        path = "blobs/" + digest.replace(":", "/")
        try:
            size = self._files.size(path)
        except KeyError:
            raise ImageInvalid(f"{self._where}: the blob {digest} is missing") from None
        if size != descriptor.get("size"):
            raise ImageInvalid(
                f"{self._where}: the blob {digest} has {size} bytes, expected {descriptor.get('size')}"
            )
        return Blob(str(descriptor.get("mediaType", "")), digest, size, path)

    def layout(self) -> list[Packed]:
        index = self._json("index.json")
        if not isinstance(index, dict) or not isinstance(index.get("manifests"), list):
            raise ImageInvalid(f"{self._where}: index.json lists no manifests")
        names: dict[str, list[str]] = {}
        descriptors: dict[str, Mapping[str, Any]] = {}
        for descriptor in index["manifests"]:
            digest = str(descriptor.get("digest"))
            descriptors[digest] = descriptor
            found = self._name(descriptor.get("annotations") or {})
            names.setdefault(digest, []).extend([found] if found else [])
        chosen = list(descriptors.values())
        if (
            not any(names.values()) and len(chosen) > 1
        ):  # one image for several platforms, without an index of its own
            chosen = [self._choose(chosen)]
        images = [self._image(item, names[str(item.get("digest"))]) for item in chosen]
        if not images:
            raise ImageInvalid(f"{self._where}: holds no image")
        return images

    def _name(self, annotations: Mapping[str, str]) -> str:
        full = annotations.get(_FULL_NAME) or annotations.get(_REF_NAME) or ""
        if full and ":" not in full and "/" not in full and not annotations.get(_FULL_NAME):
            full = f"{Path(self._where).name.split('.')[0]}:{full}"  # only a tag: the file says the rest
        return normalise(full) if full else ""

    def _choose(self, descriptors: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        platforms = []
        for descriptor in descriptors:
            its = descriptor.get("platform") or {}
            wanted = (its.get("os", "linux"), its.get("architecture", self._arch))
            if wanted in {("linux", self._arch), ("wasi", "wasm"), ("wasip1", "wasm")}:
                return descriptor
            platforms.append("/".join(wanted))
        raise ImageInvalid(
            f"{self._where}: no image for linux/{self._arch}, only {', '.join(platforms) or 'none'}"
        )

    def _image(self, descriptor: Mapping[str, Any], names: Sequence[str]) -> Packed:
        blob = self._blob(descriptor)
        document = self._json(blob.path)
        if not isinstance(document, dict):
            raise ImageInvalid(f"{self._where}: the manifest {blob.digest} is not an object")
        media_type = blob.media_type or str(document.get("mediaType", ""))
        if media_type in {INDEX, _DOCKER_INDEX} or "manifests" in document:
            return self._image(self._choose(document.get("manifests") or []), names)
        if not isinstance(document.get("config"), dict) or not isinstance(document.get("layers"), list):
            raise ImageInvalid(f"{self._where}: the manifest {blob.digest} has no config or no layers")
        manifest = Blob(media_type or MANIFEST, blob.digest, blob.size, blob.path)
        layers = tuple(self._blob(layer) for layer in document["layers"])
        return Packed(tuple(dict.fromkeys(names)), manifest, self._blob(document["config"]), layers)

    def docker(self) -> list[Packed]:
        listed = self._json("manifest.json")
        if not isinstance(listed, list) or not listed:
            raise ImageInvalid(f"{self._where}: manifest.json lists no images")
        return [self._docker_image(entry) for entry in listed]

    def _docker_image(self, entry: Any) -> Packed:
        try:
            config_path, layer_paths, tags = entry["Config"], entry["Layers"], entry.get("RepoTags") or []
        except (KeyError, TypeError, AttributeError):
            raise ImageInvalid(
                f"{self._where}: manifest.json has an entry without Config or Layers"
            ) from None
        config = self._hashed(CONFIG, config_path)
        layers = [self._hashed(LAYER, path) for path in layer_paths]
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _descriptor(config),
            "layers": [_descriptor(layer) for layer in layers],
        }
        names = tuple(normalise(tag) for tag in tags)
        return Packed(names, _document(MANIFEST, document), config, tuple(layers))

    def _hashed(self, media_type: str, path: str) -> Blob:
        digest, size, start = hashlib.sha256(), 0, b""
        try:
            with self._files.open(path) as reader:
                while piece := reader.read(1 << 20):
                    start = start or piece[:4]
                    digest.update(piece)
                    size += len(piece)
        except KeyError:
            raise ImageInvalid(f"{self._where}: {path} is missing") from None
        if start[:2] == b"\x1f\x8b":
            media_type += "+gzip"
        elif start == b"\x28\xb5\x2f\xfd":
            media_type += "+zstd"
        return Blob(media_type, f"sha256:{digest.hexdigest()}", size, path)


def _descriptor(blob: Blob) -> dict[str, Any]:
    return {"mediaType": blob.media_type, "digest": blob.digest, "size": blob.size}


def _document(media_type: str, content: Mapping[str, Any]) -> Blob:
    data = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    return Blob(media_type, f"sha256:{hashlib.sha256(data).hexdigest()}", len(data), data=data)


# --- building


@dataclass(frozen=True, slots=True)
class File:
    """A file in an image: its bytes, or a path on this machine to copy them from."""

    content: bytes | Path
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link in an image."""

    target: str


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory in an image. Those above a file need not be named."""

    mode: int = 0o755
    uid: int = 0
    gid: int = 0


Layer = Mapping[str, File | Link | Directory]
"""Absolute paths inside the image, and what is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """How an image wants to be run. `ports` are `80` or `53/udp`."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    working_dir: str = ""
    ports: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = ""
    architecture: str = ""


def _layer(layer: Layer) -> bytes:
    paths = dict(layer)
    for path in layer:
        if not path.startswith("/") or ".." in path.split("/"):
            raise ImageInvalid(f"{path}: not an absolute path")
        parts = path.strip("/").split("/")
        for depth in range(1, len(parts)):
            paths.setdefault("/" + "/".join(parts[:depth]), Directory())
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(paths):
            entry, info = paths[path], tarfile.TarInfo(path.strip("/"))
            if isinstance(entry, Link):
                info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.target, 0o777
                tar.addfile(info)
                continue
            info.mode, info.uid, info.gid = entry.mode, entry.uid, entry.gid
            if isinstance(entry, Directory):
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
            else:
                data = entry.content if isinstance(entry.content, bytes) else entry.content.read_bytes()
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def build(layers: Sequence[Layer], config: Config) -> tuple[Packed, dict[str, bytes]]:
    """Return an image without a name and its blobs by digest. The same input always gives the same bytes."""
    blobs: dict[str, bytes] = {}
    described = []
    for layer in layers:
        data = _layer(layer)
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        blobs[digest] = data
        described.append(Blob(LAYER, digest, len(data), data=data))
    run: dict[str, Any] = {
        "Entrypoint": list(config.entrypoint),
        "Cmd": list(config.cmd),
        "Env": [f"{key}={value}" for key, value in config.env.items()],
        "User": config.user,
        "WorkingDir": config.working_dir,
        "ExposedPorts": {port if "/" in port else f"{port}/tcp": {} for port in config.ports},
        "Labels": dict(config.labels),
        "StopSignal": config.stop_signal,
    }
    document = {
        "architecture": config.architecture or architecture(),
        "os": "linux",
        "config": {key: value for key, value in run.items() if value},
        "rootfs": {"type": "layers", "diff_ids": [blob.digest for blob in described]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "fairlead"} for _ in described],
    }
    config_blob = _document(CONFIG, document)
    manifest = _document(
        MANIFEST,
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _descriptor(config_blob),
            "layers": [_descriptor(blob) for blob in described],
        },
    )
    blobs[config_blob.digest] = config_blob.data
    blobs[manifest.digest] = manifest.data
    return Packed((), manifest, config_blob, tuple(described)), blobs


def _layout_files(name: str, image: Packed, blobs: Mapping[str, bytes]) -> dict[str, bytes]:
    full = normalise(name)
    entry = _descriptor(image.manifest) | {
        "annotations": {_FULL_NAME: full, _REF_NAME: full.rpartition(":")[2]},
    }
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}
    return {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": json.dumps(index, sort_keys=True, separators=(",", ":")).encode(),
        **{"blobs/" + digest.replace(":", "/"): data for digest, data in sorted(blobs.items())},
    }


def build_layout(directory: Path, name: str, layers: Sequence[Layer], config: Config) -> str:
    """Write an OCI layout directory and return the image's full name."""
    for path, data in _layout_files(name, *build(layers, config)).items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return normalise(name)


def build_archive(path: Path, name: str, layers: Sequence[Layer], config: Config) -> str:
    """Write an OCI archive (a tar of a layout) and return the image's full name."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for member, data in _layout_files(name, *build(layers, config)).items():
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return normalise(name)
