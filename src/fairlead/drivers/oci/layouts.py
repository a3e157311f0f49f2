# ruff: noqa: ARG002  a store names the repository, and all of a layout is one
"""Local OCI layouts: a folder (read and written) or a tar of one (read) that holds artifacts as a registry does. A `Store`.

Writes are atomic: a blob appears whole, the index is replaced in one step and one writer at a time. Must never follow a path that an
index names: blobs are found by their digest alone. Source: the OCI image-layout specification 1.1.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import json
import os
import stat
import tarfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import IO, Any, Final, NoReturn

from fairlead.drivers.oci.descriptors import (
    INDEX,
    INDEXES,
    LARGEST_MANIFEST,
    Checking,
    Descriptor,
    Manifest,
    check_bytes,
    digest_of,
)
from fairlead.drivers.oci.errors import BadReference, NotFound, RegistryError, TooLarge
from fairlead.drivers.oci.references import Reference, check_digest, check_tag
from fairlead.drivers.oci.scratch import arriving
from fairlead.drivers.oci.stores import LARGEST_BLOB, fallback_tag
from fairlead.drivers.oci.uploads import measure

REF_NAME: Final = "org.opencontainers.image.ref.name"
_MARKER: Final = b'{"imageLayoutVersion":"1.0.0"}'
_PIECE: Final = 1 << 20
_PREFIXES: Final = ("oci-layout://", "layout:")


def is_layout(text: str) -> bool:
    """Return whether a text names a local layout: `layout:PATH[:tag]` or `oci-layout://PATH[:tag]`."""
    return text.startswith(_PREFIXES)


def parse_layout(text: str) -> tuple[Path, Reference]:
    """Return the path of a local layout and the name within it. Raises BadReference.

    A last part after a colon is a tag, unless a folder or file of the whole name is there. `@digest` may follow.
    """
    rest = text
    for prefix in _PREFIXES:
        rest = rest.removeprefix(prefix)
    digest = ""
    if "@" in rest:
        head, _, tail = rest.rpartition("@")
        if ":" in tail and "/" not in tail:
            rest, digest = head, check_digest(tail)
    path, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag or Path(rest).exists():
        path, tag = rest, ""
    if not path:
        raise BadReference(f"{text}: there is no path; a local layout is written layout:PATH:tag")
    return Path(path), Reference("", path, check_tag(tag) if tag else "", digest)


def _plain(path: str, flags: int) -> int:
    """Open a file of a layout. Anything but a file, such as a pipe, which would be waited for, is as if it were not there."""
    handle = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise FileNotFoundError(errno.ENOENT, "not a file", path)
    return handle


class Layout:
    """A layout at a path. A tar of a layout is read; a folder is made at the first write.

    Host and repository of References do not matter: all of a layout is one repository. A name with neither tag nor digest means
    `latest`, or the only manifest that there is.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    @property
    def archive(self) -> bool:
        """Whether this is a tar, which is only read."""
        return self.path.is_file()

    # --- reading

    @contextlib.contextmanager
    def _open(self, name: str) -> Iterator[IO[bytes]]:
        """Open a file of the layout by its name inside. Raises NotFound, RegistryError."""
        if not self.archive:
            try:
                with open(self.path / name, "rb", opener=_plain) as file:
                    yield file
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
                raise NotFound(f"{self.path}: there is no {name}") from error
            return
        try:
            with tarfile.open(self.path, "r:") as tar:
                member = next((one for one in tar if one.name.removeprefix("./") == name), None)
                if member is None or not member.isfile() or (file_in := tar.extractfile(member)) is None:
                    raise NotFound(f"{self.path}: there is no {name}")
                with file_in:
                    yield file_in
        except tarfile.TarError as error:
            raise RegistryError(f"{self.path}: not a tar of an OCI layout: {error}") from error

    def _small(self, name: str, limit: int = LARGEST_MANIFEST) -> bytes:
        with self._open(name) as file:
            found = file.read(limit + 1)
        if len(found) > limit:
            raise TooLarge(f"{self.path}: {name} has more than {limit} bytes")
        return found

    def _index(self) -> dict[str, Any]:
        """Return index.json. Raises NotFound for what is no layout, RegistryError."""
        try:
            marker = json.loads(self._small("oci-layout", 4096))
            version = marker.get("imageLayoutVersion") if isinstance(marker, dict) else None
        except ValueError as error:
            raise RegistryError(f"{self.path}: oci-layout is not JSON") from error
        except NotFound as error:
            raise NotFound(f"{self.path}: not an OCI layout (there is no oci-layout file)") from error
        if not isinstance(version, str) or not version.startswith("1."):
            raise RegistryError(f"{self.path}: a layout of version {version}, and 1.0.0 is known")
        try:
            index = json.loads(self._small("index.json"))
        except (ValueError, RecursionError) as error:
            raise RegistryError(f"{self.path}: index.json is not JSON") from error
        if not isinstance(index, dict) or not isinstance(index.get("manifests"), list):
            raise RegistryError(f"{self.path}: index.json has no list of manifests")
        return index

    def _entries(self) -> list[Descriptor]:
        return [
            Descriptor.read(item, f"{self.path}: index.json: manifests[{number}]")
            for number, item in enumerate(self._index()["manifests"])
        ]

    def _find(self, ref: Reference) -> Descriptor:
        entries = self._entries()
        if ref.digest:
            found = next((one for one in entries if one.digest == ref.digest), None)
            if found is None and (inner := self._inner(ref.digest)) is not None:
                return inner
        elif ref.tag:
            found = next((one for one in entries if one.annotations.get(REF_NAME) == ref.tag), None)
        else:
            found = next((one for one in entries if one.annotations.get(REF_NAME) == "latest"), None)
            if found is None and len({one.digest for one in entries}) == 1:
                found = entries[0]
        if found is None:
            names = sorted({one.annotations.get(REF_NAME, "") for one in entries} - {""})[:10]
            raise NotFound(
                f"{self.path}: there is no {ref.version}"
                + (f"; there is {', '.join(names)}" if names else "")
            )
        return found

    def _inner(self, digest: str) -> Descriptor | None:
        """Return a manifest that only an index of the layout lists, or that is among the blobs."""
        try:
            body = self._small(_blob_name(digest))
            manifest = Manifest.read(body, "", str(self.path))
        except RegistryError:
            return None
        return Descriptor(manifest.media_type, digest, len(body))

    async def resolve(self, ref: Reference) -> Descriptor:
        """See Store."""
        return self._find(ref)

    async def manifest(self, ref: Reference) -> tuple[Descriptor, bytes]:
        """See Store."""
        return self._manifest(self._find(ref))

    def _manifest(self, found: Descriptor) -> tuple[Descriptor, bytes]:
        what = f"{self.path}: {found.digest}"
        if found.size > LARGEST_MANIFEST:
            raise TooLarge(f"{what}: {found.size} bytes, and a manifest has at most {LARGEST_MANIFEST}")
        body = check_bytes(self._small(_blob_name(found.digest)), found, what)
        manifest = Manifest.read(body, found.media_type, what)
        return Descriptor(
            manifest.media_type, found.digest, len(body), manifest.annotations, manifest.artifact_type
        ), body

    async def blob(self, ref: Reference, descriptor: Descriptor, limit: int = LARGEST_BLOB) -> bytes:
        """See Store."""
        what = f"{self.path}: {descriptor.digest}"
        if descriptor.size > limit:
            raise TooLarge(f"{what}: {descriptor.size} bytes, and at most {limit} are read here")
        with self._open(_blob_name(descriptor.digest)) as file:
            return check_bytes(file.read(descriptor.size + 1), descriptor, what)

    async def fetch(self, ref: Reference, descriptor: Descriptor, path: Path) -> None:
        """See Store."""

        def whole() -> None:
            checking = Checking(descriptor, f"{self.path}: {descriptor.digest}")
            with self._open(_blob_name(descriptor.digest)) as file, arriving(path) as target:
                while piece := file.read(_PIECE):
                    checking.add(piece)
                    target.write(piece)
                checking.done()

        await asyncio.to_thread(whole)

    async def has_blob(self, repository: str | Reference, digest: str) -> bool:
        """See Store."""
        try:
            with self._open(_blob_name(digest)):
                return True
        except NotFound:
            return False

    async def tags(self, repository: str | Reference) -> list[str]:
        """See Store."""
        return sorted({one.annotations.get(REF_NAME, "") for one in self._entries()} - {""})

    async def referrers(
        self, repository: str | Reference, digest: str, artifact_type: str = ""
    ) -> list[Descriptor]:
        """See Store. What an index under the tag schema lists counts, too."""
        found: dict[str, Descriptor] = {}
        for entry in self._entries():
            if entry.annotations.get(REF_NAME) == fallback_tag(digest) and entry.media_type in INDEXES:
                _, body = self._manifest(entry)
                found.update(
                    (one.digest, one) for one in Manifest.read(body, INDEX, str(self.path)).manifests
                )
                continue
            descriptor, body = self._manifest(entry)
            if b'"subject"' in body:
                subject = Manifest.read(body, descriptor.media_type, str(self.path)).subject
                if subject is not None and subject.digest == digest:
                    found[descriptor.digest] = descriptor
        return [one for one in found.values() if not artifact_type or one.artifact_type == artifact_type]

    # --- writing

    def _refuse_archive(self) -> NoReturn:
        raise RegistryError(f"{self.path}: a tar of a layout is only read; push to a folder")

    def _make(self) -> None:
        """Make the folder a layout, if it is none yet. Raises RegistryError where something else is there."""
        if self.archive:
            self._refuse_archive()
        try:
            if not (self.path / "oci-layout").exists():
                if self.path.is_dir() and any(self.path.iterdir()):
                    raise RegistryError(f"{self.path}: the folder is neither empty nor an OCI layout")
                self.path.mkdir(parents=True, exist_ok=True)
                if not (self.path / "index.json").exists():
                    self._write_index({"schemaVersion": 2, "mediaType": INDEX, "manifests": []})
                with arriving(self.path / "oci-layout") as file:
                    file.write(_MARKER)
        except OSError as error:
            raise RegistryError(f"{self.path}: {error.strerror}") from error

    def _write_index(self, index: dict[str, Any]) -> None:
        with arriving(self.path / "index.json") as file:
            file.write(json.dumps(index, indent=2).encode() + b"\n")

    @contextlib.asynccontextmanager
    async def _changing(self) -> AsyncIterator[list[Any]]:
        """Give the index's entries to be changed, alone, and write them."""
        handle = os.open(self.path / "oci-layout", os.O_RDONLY)
        try:
            await asyncio.to_thread(fcntl.flock, handle, fcntl.LOCK_EX)
            index = self._index()
            yield index["manifests"]
            self._write_index(index)
        finally:
            os.close(handle)

    async def mount(self, repository: str | Reference, digest: str, origin: str | Reference) -> bool:
        """See Store: all of a layout is one repository."""
        return await self.has_blob(repository, digest)

    async def push_blob(
        self,
        repository: str | Reference,
        data: bytes | Path,
        media_type: str = "application/octet-stream",
        *,
        algorithm: str = "sha256",
    ) -> Descriptor:
        """See Store."""
        self._make()
        blob = await measure(data, media_type, algorithm)
        place = self.path / _blob_name(blob.digest)

        def write() -> None:
            if place.is_file() and place.stat().st_size == blob.size:
                return
            checking = Checking(blob, str(place))
            with arriving(place) as target:
                if isinstance(data, bytes):
                    target.write(data)
                    return
                with data.open("rb") as source:
                    while piece := source.read(_PIECE):
                        checking.add(piece)
                        target.write(piece)
                checking.done()

        try:
            await asyncio.to_thread(write)
        except OSError as error:
            raise RegistryError(f"{self.path}: {error.strerror}") from error
        return blob

    async def push_manifest(
        self,
        repository: str | Reference,
        body: bytes,
        media_type: str,
        tag: str = "",
        *,
        algorithm: str = "sha256",
    ) -> Descriptor:
        """See Store. Blobs that are missing are refused, as a registry does."""
        manifest = Manifest.read(body, media_type, str(self.path))
        self._make()
        for needed in (*manifest.blobs, *manifest.manifests):
            if not await self.has_blob(repository, needed.digest):
                raise NotFound(f"{self.path}: the manifest names {needed.digest}, which is not there")
        await self.push_blob(repository, body, media_type, algorithm=algorithm)
        found = Descriptor(
            media_type, digest_of(body, algorithm), len(body), manifest.annotations, manifest.artifact_type
        )
        await self._enter(found, tag)
        return found

    async def _enter(self, found: Descriptor, tag: str) -> None:
        if tag:
            check_tag(tag)
        async with self._changing() as entries:
            if tag:
                entries[:] = [
                    one
                    for one in entries
                    if _name(one) != tag and not (one.get("digest") == found.digest and not _name(one))
                ]
            elif any(one.get("digest") == found.digest for one in entries):
                return
            mark = {REF_NAME: tag} if tag else {}
            stated = found.artifact_type
            entries.append(Descriptor(found.media_type, found.digest, found.size, mark, stated).document())

    async def tag(self, ref: Reference, tag: str) -> Descriptor:
        """See Store."""
        if self.archive:
            self._refuse_archive()
        found, _ = await self.manifest(ref)
        await self._enter(found, tag)
        return found

    async def delete(self, ref: Reference) -> None:
        """See Store. Blobs that nothing names any more stay; whoever writes at the same time may be about to name them."""
        if self.archive:
            self._refuse_archive()
        found = self._find(ref)
        async with self._changing() as entries:
            entries[:] = [
                one
                for one in entries
                if (one.get("digest") != found.digest if ref.digest else _name(one) != ref.version)
            ]
            left = any(one.get("digest") == found.digest for one in entries)
        if ref.digest and not left:
            (self.path / _blob_name(found.digest)).unlink(missing_ok=True)


def _name(entry: Any) -> str:
    notes = entry.get("annotations") if isinstance(entry, dict) else None
    found = notes.get(REF_NAME) if isinstance(notes, dict) else None
    return found if isinstance(found, str) else ""


def _blob_name(digest: str) -> str:
    algorithm, _, value = check_digest(digest).partition(":")
    return f"blobs/{algorithm}/{value}"
