"""Blobs from a registry: in pieces, resumed where a connection breaks, and checked as they pass.

Must never leave a file that is not whole and checked. Source: the distribution specification 1.1 (pulling blobs), RFC 9110 (ranges).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import httpx

from fairlead.drivers.oci.descriptors import Checking, Descriptor
from fairlead.drivers.oci.errors import BadDigest, TooLarge, Unreachable
from fairlead.drivers.oci.headers import content_range_start
from fairlead.drivers.oci.references import Reference
from fairlead.drivers.oci.scratch import arriving
from fairlead.drivers.oci.stores import Progress
from fairlead.drivers.oci.wire import Wire

_CUTS: Final = 8
"""How often in a row a download is taken up again for next to nothing."""
_GAIN: Final = 64 << 10
"""Bytes for which it was worth it."""


async def pieces(
    wire: Wire, ref: Reference, blob: Descriptor, progress: Progress | None = None
) -> AsyncIterator[bytes | None]:
    """Yield a blob's bytes, checked at the end; None says that all before is void and it begins anew.

    Raises BadDigest, TooLarge, NotFound, Denied, Unreachable.
    """
    name = ref.at(blob.digest)
    checking = Checking(blob, name.url)
    cuts, path = 0, f"/v2/{ref.repository}/blobs/{blob.digest}"
    while True:
        before, broken = checking.count, None
        headers = {"Range": f"bytes={before}-"} if before else {}
        async with wire.exchange("GET", path, name, headers=headers, accept={416}) as answer:
            goes_on = content_range_start(answer.headers.get("content-range", "")) == before
            if before and not (answer.status_code == 206 and goes_on):
                before = 0
                checking.restart()
                yield None
            if answer.status_code == 200 or goes_on:
                _announced(answer.headers.get("content-length", ""), blob.size - before, name.url)
                try:
                    async for piece in wire.pieces(answer, name.url):
                        checking.add(piece)
                        if progress is not None:
                            progress(blob.digest, checking.count, blob.size)
                        yield piece
                except (Unreachable, httpx.TransportError) as error:
                    broken = error
        if broken is None and (answer.status_code in {200, 206}) and (goes_on or answer.status_code == 200):
            checking.done()
            return
        cuts = 1 if checking.count - before >= _GAIN else cuts + 1
        if cuts >= min(_CUTS, wire.manners.tries):
            raise Unreachable(
                f"{name.url}: the registry broke off {cuts} times, at last after {checking.count} of {blob.size} bytes"
            ) from broken
        await wire.manners.pause(0.1 * cuts)


def _announced(length: str, wanted: int, what: str) -> None:
    """Refuse an answer that announces another size than the manifest does, before it is read."""
    if length.isdigit() and int(length) > wanted:
        raise TooLarge(f"{what}: the registry announces {length} bytes, and the manifest says {wanted}")
    if length.isdigit() and int(length) < wanted:
        raise BadDigest(f"{what}: the registry announces {length} bytes, and the manifest says {wanted}")


async def download(
    wire: Wire, ref: Reference, blob: Descriptor, path: Path, progress: Progress | None = None
) -> None:
    """Write a blob to a file, which appears whole and checked or not at all."""
    with arriving(path) as file:
        async for piece in pieces(wire, ref, blob, progress):
            if piece is None:
                file.seek(0)
                file.truncate()
            else:
                file.write(piece)


async def read(
    wire: Wire, ref: Reference, blob: Descriptor, limit: int, progress: Progress | None = None
) -> bytes:
    """Return a blob of at most `limit` bytes."""
    if blob.size > limit:
        raise TooLarge(f"{ref.at(blob.digest).url}: {blob.size} bytes, and at most {limit} are read here")
    found = bytearray()
    async for piece in pieces(wire, ref, blob, progress):
        if piece is None:
            found.clear()
        else:
            found += piece
    return bytes(found)
