"""Images from files into containerd, through its content store: no other program and no registry takes part.

Content is written under a lease, so that containerd's garbage collection leaves it alone until the image's name points
to it; labels on the manifest then keep the rest. Must never change an image that is there already under another name.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from fairlead.drivers import images
from fairlead.drivers.containers import messages as cri
from fairlead.drivers.containers import records
from fairlead.drivers.containers.lines import CallFailed, Line

_PIECE: Final = 1 << 20
_SEEN_SECONDS: Final = 10
_REFERENCE: Final = "containerd.io/gc.ref.content"


async def import_archive(line: Line, path: Path, name: str = "") -> list[str]:
    """Import every image for this machine that a layout or archive holds; return their full names.

    `name` replaces the archive's own. Raises images.ImageInvalid, CallFailed, OSError.
    """
    with images.opened(path) as files:
        found = await asyncio.to_thread(images.packed, files, str(path), name)
        if any(not image.names for image in found):
            raise images.ImageInvalid(f"{path}: the image has no name in there; give it one")
        for image in found:
            await _import(line, image, files, {})
    return [name for image in found for name in image.names]


async def import_built(line: Line, name: str, image: images.Packed, blobs: Mapping[str, bytes]) -> None:
    """Import an image that was built in memory."""
    named = images.Packed((images.normalise(name),), image.manifest, image.config, image.layers)
    await _import(line, named, None, blobs)


async def _import(
    line: Line, image: images.Packed, files: images.Files | None, blobs: Mapping[str, bytes]
) -> None:
    lease = f"fairlead-{secrets.token_hex(8)}"
    until = (datetime.now(UTC) + timedelta(hours=6)).strftime(
        "%Y-%m-%dT%H:%M:%SZ"
    )  # should we not get to the end
    await line.leases("Create", records.CreateLease(lease, {"containerd.io/gc.expire": until}))
    try:
        for blob in dict.fromkeys(image.layers):
            await line.write(_pieces(blob, files, blobs, {}), lease)
        await line.write(_pieces(image.config, files, blobs, {}), lease)
        labels = {f"{_REFERENCE}.config": image.config.digest}
        labels |= {f"{_REFERENCE}.l.{at}": layer.digest for at, layer in enumerate(image.layers)}
        await line.write(_pieces(image.manifest, files, blobs, labels), lease)
        target = records.Descriptor(image.manifest.media_type, image.manifest.digest, image.manifest.size)
        for name in image.names:
            envelope = records.ImageEnvelope(records.ImageRecord(name, {}, target))
            try:
                await line.names("Create", envelope, lease)
            except CallFailed as error:
                if error.code != "ALREADY_EXISTS":
                    raise
                await line.names("Update", envelope, lease)
    finally:
        await line.leases("Delete", records.DeleteLease(lease))
    await _until_seen(line, image.names, image.config.digest)


def _pieces(
    blob: images.Blob, files: images.Files | None, blobs: Mapping[str, bytes], labels: dict[str, str]
) -> Iterator[records.WriteContent]:
    ref = f"fairlead-{blob.digest}-{secrets.token_hex(4)}"
    yield records.WriteContent(ref=ref, total=blob.size, expected=blob.digest)
    offset = 0
    for data in _read(blob, files, blobs):
        yield records.WriteContent(ref=ref, total=blob.size, expected=blob.digest, offset=offset, data=data)
        offset += len(data)
    yield records.WriteContent(
        records.COMMIT, ref=ref, total=blob.size, expected=blob.digest, offset=offset, labels=labels
    )


def _read(blob: images.Blob, files: images.Files | None, blobs: Mapping[str, bytes]) -> Iterator[bytes]:
    data = blob.data or blobs.get(blob.digest, b"")
    if data or files is None or not blob.path:
        yield from (data[at : at + _PIECE] for at in range(0, len(data), _PIECE))
        return
    with files.open(blob.path) as reader:
        while piece := reader.read(_PIECE):
            yield piece


async def _until_seen(line: Line, names: Sequence[str], config: str) -> None:
    """Wait until the CRI, which learns of new names by events, knows these ones."""
    waiting = set(names)
    for _ in range(_SEEN_SECONDS * 50):
        for name in list(waiting):
            status = await line.images(
                "ImageStatus", cri.ImageRequest(cri.ImageSpec(name)), cri.ImageStatusResponse
            )
            if status.image is not None and status.image.id == config:
                waiting.remove(name)
        if not waiting:
            return
        await asyncio.sleep(0.02)
    raise CallFailed("DEADLINE_EXCEEDED", f"containerd did not take up {json.dumps(sorted(waiting))}")
