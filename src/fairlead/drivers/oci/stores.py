"""What every store of artifacts can do, be it a registry or a folder, and what can be done between two of them.

Must never hold a blob in memory to copy it. Who is allowed to, and whether it is signed, is asked elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Protocol, TypeAlias, runtime_checkable

from fairlead.drivers.oci.descriptors import Descriptor, Manifest
from fairlead.drivers.oci.errors import RegistryError
from fairlead.drivers.oci.references import Reference
from fairlead.drivers.oci.scratch import scratch

LARGEST_BLOB: Final = 64 << 20
"""Bytes of a blob that is read into memory, at most, unless the caller says otherwise."""
_DEEPEST: Final = 4
_MOST: Final = 5000
_AT_ONCE: Final = 4

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called as bytes pass: a digest, how many of its bytes are through, and how many it has."""


@runtime_checkable
class Store(Protocol):
    """Where artifacts are. `repository` is `host/name`, or a Reference whose tag and digest do not matter.

    Everything that was read is checked against digest and size before it is returned. Raises RegistryError and its subclasses.
    """

    async def resolve(self, ref: Reference) -> Descriptor:
        """Return what a name stands for now."""

    async def manifest(self, ref: Reference) -> tuple[Descriptor, bytes]:
        """Return a manifest or index, exactly as it is stored."""

    async def blob(self, ref: Reference, descriptor: Descriptor, limit: int = LARGEST_BLOB) -> bytes:
        """Return a blob of the repository; TooLarge where it has more bytes than `limit`."""

    async def fetch(self, ref: Reference, descriptor: Descriptor, path: Path) -> None:
        """Write a blob to a file, which appears whole and checked, or not at all."""

    async def has_blob(self, repository: str | Reference, digest: str) -> bool:
        """Return whether the repository has a blob."""

    async def mount(self, repository: str | Reference, digest: str, origin: str | Reference) -> bool:
        """Take a blob over from another repository of the same store, without sending it; False where that is not possible."""

    async def push_blob(
        self,
        repository: str | Reference,
        data: bytes | Path,
        media_type: str = "application/octet-stream",
        *,
        algorithm: str = "sha256",
    ) -> Descriptor:
        """Bring a blob in, unless it is there."""

    async def push_manifest(
        self,
        repository: str | Reference,
        body: bytes,
        media_type: str,
        tag: str = "",
        *,
        algorithm: str = "sha256",
    ) -> Descriptor:
        """Bring a manifest or index in, whose blobs are there, under its digest or also a tag."""

    async def referrers(
        self, repository: str | Reference, digest: str, artifact_type: str = ""
    ) -> list[Descriptor]:
        """Return the manifests that name this digest as their subject, of one type or of all."""

    async def tags(self, repository: str | Reference) -> list[str]:
        """Return the repository's tags, sorted."""

    async def tag(self, ref: Reference, tag: str) -> Descriptor:
        """Give what a name stands for another tag."""

    async def delete(self, ref: Reference) -> None:
        """Remove a tag, or with a digest the manifest itself."""


def fallback_tag(digest: str) -> str:
    """Return the tag under which a registry without the referrers API keeps what refers to a digest."""
    algorithm, _, value = digest.partition(":")
    return f"{algorithm[:32]}-{value[:64]}"


async def copy(
    source: Store, from_: Reference, target: Store, to: Reference, *, referrers: bool = False
) -> Descriptor:
    """Copy an artifact byte for byte, an index with all that it lists; with `referrers` also what refers to it.

    The target's tag is `to.tag`; without one it is there by its digest. Nothing is tagged before all of it has arrived. Returns what was
    copied. Raises RegistryError.
    """
    return await _Copying(source, target, referrers=referrers).one(from_, to, 0)


class _Copying:
    """One copying; what is named more than once is copied once."""

    def __init__(self, source: Store, target: Store, *, referrers: bool) -> None:
        self._source = source
        self._target = target
        self._referrers = referrers
        self._done: set[str] = set()

    async def one(self, from_: Reference, to: Reference, depth: int) -> Descriptor:
        if depth > _DEEPEST:
            raise RegistryError(f"{from_.url}: what it is made of goes more than {_DEEPEST} deep")
        descriptor, body = await self._source.manifest(from_)
        manifest = Manifest.read(body, descriptor.media_type, from_.url)
        for child in manifest.manifests:
            await self._below(from_, child, to, depth)
        with scratch() as folder:
            gate = asyncio.Semaphore(_AT_ONCE)

            async def bring(blob: Descriptor) -> None:
                async with gate:
                    await self._bring(from_, to, blob, folder)

            async with gathering() as group:
                for blob in {one.digest: one for one in manifest.blobs}.values():
                    group.create_task(bring(blob))
        algorithm = descriptor.digest.partition(":")[0]
        pushed = await self._target.push_manifest(
            to, body, descriptor.media_type, to.tag, algorithm=algorithm
        )
        if self._referrers:
            for child in await self._source.referrers(from_, descriptor.digest):
                await self._below(from_, child, to, depth)
        return pushed

    async def _below(self, from_: Reference, child: Descriptor, to: Reference, depth: int) -> None:
        """Copy what is listed, or what refers, once."""
        if child.digest in self._done:
            return
        if len(self._done) >= _MOST:
            raise RegistryError(f"{from_.url}: it is made of more than {_MOST} manifests")
        self._done.add(child.digest)
        await self.one(from_.at(child.digest), Reference(to.host, to.repository), depth + 1)

    async def _bring(self, from_: Reference, to: Reference, blob: Descriptor, folder: Path) -> None:
        if await self._target.has_blob(to, blob.digest):
            return
        same = self._source is self._target and from_.host == to.host
        if same and await self._target.mount(to, blob.digest, from_):
            return
        path = folder / blob.digest.replace(":", "-")
        await self._source.fetch(from_, blob, path)
        try:
            await self._target.push_blob(to, path, blob.media_type, algorithm=blob.digest.partition(":")[0])
        finally:
            path.unlink(missing_ok=True)


@asynccontextmanager
async def gathering() -> AsyncIterator[asyncio.TaskGroup]:
    """A group of tasks of which the first error ends the rest and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as errors:
        first: BaseException = errors
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None
