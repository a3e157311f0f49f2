"""Blobs into a registry: in one piece where it is taken so, in chunks where not, and taken up again where a connection breaks.

Must never leave an upload open that failed. Source: the distribution specification 1.1 (pushing blobs).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, urljoin

import httpx

from fairlead.drivers.oci.descriptors import Descriptor, digest_of
from fairlead.drivers.oci.errors import BadDigest, NotFound, RegistryError, TooLarge, Unreachable
from fairlead.drivers.oci.headers import upload_offset
from fairlead.drivers.oci.references import Reference
from fairlead.drivers.oci.stores import Progress
from fairlead.drivers.oci.wire import Body, Wire

_PIECE: Final = 1 << 20
CHUNK: Final = 32 << 20
"""Bytes of a chunk, where a registry does not take a blob in one piece."""
_STEPS: Final = 4
"""How often in a row an upload is taken up again for next to nothing."""
_GAIN: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Source:
    """The bytes of a blob, from memory or a file, from any offset."""

    data: bytes | Path
    size: int

    async def pieces(self, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield the bytes from `start` up to `end`."""
        if isinstance(self.data, bytes):
            for offset in range(start, end, _PIECE):
                yield self.data[offset : min(offset + _PIECE, end)]
            return
        with self.data.open("rb") as file:
            file.seek(start)
            left = end - start
            while left and (piece := await asyncio.to_thread(file.read, min(_PIECE, left))):
                left -= len(piece)
                yield piece
            if left:
                raise RegistryError(f"{self.data}: the file has become shorter while it was sent")

    def body(self, start: int, end: int, digest: str, progress: Progress | None) -> Body:
        """Return a part of it as a request's body, which tells of its progress."""

        async def told() -> AsyncIterator[bytes]:
            count = start
            async for piece in self.pieces(start, end):
                yield piece
                count += len(piece)
                if progress is not None:
                    progress(digest, count, self.size)

        return Body(end - start, told)


def measure_file(path: Path, media_type: str, algorithm: str = "sha256") -> Descriptor:
    """Return the Descriptor of a file. Raises RegistryError for one that cannot be read."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, algorithm)
            return Descriptor(media_type, f"{algorithm}:{found.hexdigest()}", file.tell())
    except OSError as error:
        raise RegistryError(f"{path}: {error.strerror}") from error


async def measure(data: bytes | Path, media_type: str, algorithm: str = "sha256") -> Descriptor:
    """Return the Descriptor of bytes or of a file. Raises RegistryError for a file that cannot be read."""
    if isinstance(data, bytes):
        return Descriptor(media_type, digest_of(data, algorithm), len(data))
    return await asyncio.to_thread(measure_file, data, media_type, algorithm)


class Upload:
    """One blob on its way into one repository."""

    def __init__(
        self,
        wire: Wire,
        ref: Reference,
        source: Source,
        blob: Descriptor,
        chunk: int,
        progress: Progress | None,
    ) -> None:
        self._wire = wire
        self._ref = ref
        self._source = source
        self._blob = blob
        self._chunk = chunk
        self._progress = progress
        self._place = ""
        self._smallest = 0

    async def run(self) -> None:
        """Bring it in. Raises RegistryError and its subclasses."""
        await self._open()
        stuck, offset, chunked = 0, 0, bool(self._chunk) and self._blob.size > self._chunk
        try:
            while True:
                before = offset
                try:
                    if chunked or offset:
                        offset = await self._send_from(offset)
                    await self._close(offset)
                    return
                except TooLarge:
                    if chunked or self._blob.size <= CHUNK:
                        raise
                    offset = await self._reopened()
                except (Unreachable, NotFound) as error:
                    found = await self._found(error)
                    if found is None:
                        return
                    offset = found
                stuck = self._patience(stuck, offset - before)
                if self._blob.size > CHUNK and not self._chunk:
                    chunked, self._chunk = True, CHUNK
                await self._wire.manners.pause(0.1 * stuck)
        except BaseException:
            await self._cancel()
            raise

    def _patience(self, stuck: int, gained: int) -> int:
        """Return how often in a row it has now failed for next to nothing. Raises Unreachable when that is enough."""
        stuck = 0 if gained >= _GAIN else stuck + 1
        if stuck >= min(_STEPS, self._wire.manners.tries):
            raise Unreachable(f"{self._ref.url}: the registry broke off an upload {stuck} times")
        return stuck

    async def _open(self) -> None:
        path = f"/v2/{self._ref.repository}/blobs/uploads/"
        async with self._exchange("POST", path, repeat=True) as answer:
            if answer.status_code != 202 or not answer.headers.get("location"):
                raise RegistryError(f"{self._ref.url}: the registry opens no upload ({answer.status_code})")
            await self._remember(answer)
            smallest = answer.headers.get("oci-chunk-min-length", "")
            self._smallest = min(int(smallest), 1 << 30) if smallest.isdigit() and len(smallest) < 12 else 0

    async def _reopened(self) -> int:
        await self._cancel()
        await self._open()
        return 0

    def _exchange(
        self, method: str, url: str, *, repeat: bool = False, **more: object
    ) -> contextlib.AbstractAsyncContextManager[httpx.Response]:
        return self._wire.exchange(method, url, self._ref, actions="pull,push", repeat=repeat, **more)  # type: ignore[arg-type]

    async def _remember(self, answer: httpx.Response) -> None:
        """Take the upload's address from an answer; it may be another after each request."""
        location = answer.headers.get("location")
        if location:
            base = self._place or f"{await self._wire.origin(self._ref)}/"
            self._place = self._wire.joined(base, urljoin(str(answer.request.url), location), self._ref)

    async def _send_from(self, offset: int) -> int:
        """Send the rest in chunks; return the size when all of it is there."""
        size = max(self._chunk, self._smallest) or self._blob.size
        while offset < self._blob.size:
            end = min(offset + size, self._blob.size)
            headers = {"Content-Type": "application/octet-stream", "Content-Range": f"{offset}-{end - 1}"}
            body = self._source.body(offset, end, self._blob.digest, self._progress)
            async with self._exchange(
                "PATCH", self._place, headers=headers, body=body, accept={416}
            ) as answer:
                if answer.status_code == 416:
                    raise Unreachable(f"{self._ref.url}: the registry lost count of an upload")
                await self._remember(answer)
                said = upload_offset(answer.headers.get("range", ""))
            if said is not None and said > end:
                raise RegistryError(
                    f"{self._ref.url}: the registry says that it has {said} bytes, and was sent {end}"
                )
            if said is not None and said <= offset:
                raise Unreachable(f"{self._ref.url}: the registry did not keep what it was sent")
            offset = end if said is None else said
        return offset

    async def _close(self, offset: int) -> None:
        """End the upload, with all that is left of it."""
        sign = "&" if "?" in self._place else "?"
        url = f"{self._place}{sign}digest={quote(self._blob.digest, safe='')}"
        body = self._source.body(offset, self._blob.size, self._blob.digest, self._progress)
        headers = {"Content-Type": "application/octet-stream"}
        async with self._exchange("PUT", url, headers=headers, body=body) as answer:
            said = answer.headers.get("docker-content-digest", "")
        algorithm = self._blob.digest.partition(":")[0]
        if said.startswith(f"{algorithm}:") and said != self._blob.digest:
            raise BadDigest(
                f"{self._ref.url}: the registry says that it has {said}, and was sent {self._blob.digest}"
            )

    async def _found(self, error: RegistryError) -> int | None:
        """Return how much the registry has after something went wrong, None for all; begin anew where it knows no upload."""
        try:
            async with self._exchange("GET", self._place, repeat=True) as answer:
                await self._remember(answer)
                said = upload_offset(answer.headers.get("range", ""))
        except NotFound:
            if await self._arrived():
                return None
            await self._open()
            return 0
        except RegistryError:
            raise error from None
        if said is None or said > self._blob.size:
            return await self._reopened()
        return said

    async def _arrived(self) -> bool:
        """Return whether the blob is there, though its end was not heard."""
        path = f"/v2/{self._ref.repository}/blobs/{self._blob.digest}"
        async with self._exchange("HEAD", path, repeat=True, accept={404}) as answer:
            return answer.status_code == 200

    async def _cancel(self) -> None:
        if self._place:
            with contextlib.suppress(RegistryError, TimeoutError):
                async with asyncio.timeout(5), self._exchange("DELETE", self._place, accept={404, 405}):
                    pass
