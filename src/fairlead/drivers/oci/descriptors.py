"""Descriptors, digests and media types: what a manifest says of the bytes that belong to it.

Pure. Must never trust a size or a digest that was not checked against the bytes: `Checking` is how.
Source: the OCI image specification 1.1 (descriptor, manifest, index), and Docker's image manifest v2 schema 2.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fairlead.drivers.oci.errors import BadDigest, BadReference, RegistryError, TooLarge
from fairlead.drivers.oci.references import check_digest

MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
INDEX: Final = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
ARTIFACT_MANIFEST: Final = "application/vnd.oci.artifact.manifest.v1+json"
EMPTY: Final = "application/vnd.oci.empty.v1+json"
OCTETS: Final = "application/octet-stream"

MANIFESTS: Final = frozenset({MANIFEST, DOCKER_MANIFEST, ARTIFACT_MANIFEST})
INDEXES: Final = frozenset({INDEX, DOCKER_INDEX})
ACCEPTED: Final = (MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX, ARTIFACT_MANIFEST)

LARGEST_MANIFEST: Final = 4 << 20
"""Bytes of a manifest or an index at most, as registries limit them."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What some bytes are: media type, digest, size in bytes, annotations, and what sort of artifact a manifest is."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    artifact_type: str = ""
    platform: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @classmethod
    def read(cls, document: Any, where: str = "a descriptor") -> Descriptor:
        """Return the Descriptor that a manifest holds. Raises RegistryError for what is none."""
        if not isinstance(document, dict):
            raise RegistryError(f"{where}: not an object with mediaType, digest and size")
        size, kind = document.get("size"), document.get("mediaType")
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise RegistryError(f"{where}: size is {size!r}, and should be a number of bytes")
        if not isinstance(kind, str) or not kind:
            raise RegistryError(f"{where}: mediaType is {kind!r}, and should be a media type")
        try:
            digest = check_digest(str(document.get("digest", "")))
        except BadReference as error:
            raise RegistryError(f"{where}: {error}") from error
        sort = document.get("artifactType")
        platform = document.get("platform")
        return cls(
            kind,
            digest,
            size,
            read_annotations(document.get("annotations"), where),
            sort if isinstance(sort, str) else "",
            platform if isinstance(platform, dict) else {},
        )

    @classmethod
    def of(
        cls,
        data: bytes,
        media_type: str,
        annotations: Mapping[str, str] | None = None,
        artifact_type: str = "",
    ) -> Descriptor:
        """Return the Descriptor of some bytes, with a sha256."""
        return cls(media_type, digest_of(data), len(data), dict(annotations or {}), artifact_type)

    def document(self) -> dict[str, Any]:
        """Return it as manifests hold it; keys in the order of the tools that Timoni and Flux are built with."""
        found: dict[str, Any] = {"mediaType": self.media_type, "size": self.size, "digest": self.digest}
        if self.annotations:
            found["annotations"] = dict(sorted(self.annotations.items()))
        if self.platform:
            found["platform"] = dict(self.platform)
        if self.artifact_type:
            found["artifactType"] = self.artifact_type
        return found


def read_annotations(document: Any, where: str) -> dict[str, str]:
    """Return a map of texts; absent is empty. Raises RegistryError."""
    if document is None:
        return {}
    if not isinstance(document, dict) or not all(isinstance(value, str) for value in document.values()):
        raise RegistryError(f"{where}: annotations are not a map of texts")
    return document


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    """Return the digest of some bytes."""
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


class Checking:
    """Checks bytes as they pass against a digest and a size: `add` each piece, then `done`.

    Raises TooLarge at the first byte too many, and BadDigest at the end.
    """

    def __init__(self, descriptor: Descriptor, what: str) -> None:
        self._wanted = descriptor
        self._what = what
        self.restart()

    def restart(self) -> None:
        """Forget what has passed."""
        self._hash = hashlib.new(self._wanted.digest.partition(":")[0])
        self.count = 0

    def add(self, piece: bytes) -> None:
        """Count the next piece."""
        self.count += len(piece)
        if self.count > self._wanted.size:
            raise TooLarge(f"{self._what}: more than the {self._wanted.size} bytes that were announced")
        self._hash.update(piece)

    def done(self) -> None:
        """Say that there is no more."""
        if self.count != self._wanted.size:
            raise BadDigest(f"{self._what}: {self.count} bytes, and {self._wanted.size} were announced")
        algorithm = self._wanted.digest.partition(":")[0]
        found = f"{algorithm}:{self._hash.hexdigest()}"
        if found != self._wanted.digest:
            raise BadDigest(f"{self._what}: the bytes have the digest {found}, not {self._wanted.digest}")


def check_bytes(data: bytes, descriptor: Descriptor, what: str) -> bytes:
    """Return the bytes, if they are those that the Descriptor means. Raises BadDigest, TooLarge."""
    checking = Checking(descriptor, what)
    checking.add(data)
    checking.done()
    return data


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest or an index that was read: what it holds, and what it is about. `document` is all of it.

    `artifact_type` is the one that is stated, else the config's media type. An index has `manifests`, anything else config and layers.
    """

    media_type: str
    document: Mapping[str, Any]
    artifact_type: str = ""
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] = ()
    manifests: tuple[Descriptor, ...] = ()
    subject: Descriptor | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """The config, where there is one, and the layers."""
        return ((self.config,) if self.config else ()) + self.layers

    @classmethod
    def read(cls, body: bytes, media_type: str = "", what: str = "the manifest") -> Manifest:
        """Return what the bytes of a manifest say. `media_type` is what the store called it. Raises RegistryError, TooLarge."""
        document, kind = _open(body, media_type, what)
        stated = document.get("artifactType")
        subject = document.get("subject")
        about = Descriptor.read(subject, f"{what}: subject") if subject is not None else None
        notes = read_annotations(document.get("annotations"), what)
        if kind in INDEXES:
            inside = _descriptors(document.get("manifests"), f"{what}: manifests")
            sort = stated if isinstance(stated, str) else ""
            return cls(kind, document, sort, None, (), inside, about, notes)
        found = document.get("config")
        if kind in {MANIFEST, DOCKER_MANIFEST} and found is None:
            raise RegistryError(f"{what}: there is no config")
        config = Descriptor.read(found, f"{what}: config") if found is not None else None
        layers = _descriptors(
            document.get("blobs" if kind == ARTIFACT_MANIFEST else "layers") or [], f"{what}: layers"
        )
        sort = stated if isinstance(stated, str) and stated else config.media_type if config else ""
        return cls(kind, document, sort, config, layers, (), about, notes)


def _open(body: bytes, media_type: str, what: str) -> tuple[dict[str, Any], str]:
    """Return a manifest's document and its media type, by what was said and what it says itself."""
    if len(body) > LARGEST_MANIFEST:
        raise TooLarge(f"{what}: {len(body)} bytes, and a manifest has at most {LARGEST_MANIFEST}")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RegistryError(f"{what}: not JSON") from error
    if not isinstance(document, dict):
        raise RegistryError(f"{what}: not a JSON object")
    said = media_type.partition(";")[0].strip()
    own = document.get("mediaType")
    own = own if isinstance(own, str) else ""
    if document.get("schemaVersion") == 1:
        raise RegistryError(
            f"{what}: a manifest of Docker's schema 1, which nobody can check; push the image again"
        )
    if said not in ACCEPTED:
        if said not in {"", "application/json", OCTETS, "text/plain"} or own not in ACCEPTED:
            raise RegistryError(f"{what}: the media type {said or own or 'unknown'} is no manifest's")
        said = own
    if own and own != said:
        raise RegistryError(f"{what}: called {said}, but it says that it is {own}")
    if said in MANIFESTS and "manifests" in document:
        raise RegistryError(f"{what}: called a manifest, but it holds manifests as an index does")
    if said in INDEXES and ("layers" in document or "config" in document):
        raise RegistryError(f"{what}: called an index, but it holds layers as a manifest does")
    return document, said


def _descriptors(found: Any, where: str) -> tuple[Descriptor, ...]:
    if not isinstance(found, list):
        raise RegistryError(f"{where}: not a list")
    return tuple(Descriptor.read(item, f"{where}[{index}]") for index, item in enumerate(found))
