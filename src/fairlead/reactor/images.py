"""The images of a node, for those who manage them: each goes to the runtime that can run it.

Which one that is, the image itself says: one with a WebAssembly module is a guest. Must never start a runtime that the
node has not started.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fairlead.drivers.wasm.guests import is_guest
from fairlead.drivers.wasm.runtime import Wasm
from fairlead.orchestrate.runtimes import ImageSeen


class NoContainers(Exception):
    """Containers do not run on this node now, so their images cannot be managed."""


class Store(Protocol):
    """The part of a runtime that this is about."""

    async def images(self) -> list[ImageSeen]:
        """Return every image, sorted by name."""

    async def import_image(self, path: Path, name: str = "") -> list[str]:
        """Import an archive or layout; return the full names."""

    async def remove_image(self, name: str) -> bool:
        """Remove a name or an image; False if there was none."""


@dataclass(frozen=True, slots=True)
class Held:
    """An image and the runtime that has it."""

    runtime: str
    image: ImageSeen


@asynccontextmanager
async def _containers(data_dir: Path) -> AsyncIterator[Store | None]:
    """The containerd that the node started, or None. Raises NoContainers where it is another user's."""
    if sys.platform != "linux":
        yield None
        return
    from fairlead.drivers.containers import daemon
    from fairlead.drivers.containers.places import Places
    from fairlead.drivers.containers.runtime import Containerd

    if not daemon.find(Places.of(data_dir)):
        yield None
        return
    try:
        runtime = await Containerd.attach(data_dir)
    except daemon.ContainersUnavailable as error:
        raise NoContainers(str(error)) from error
    try:
        yield runtime
    finally:
        await runtime.close()


async def bring_in(
    data_dir: Path, paths: Sequence[Path], name: str = ""
) -> AsyncIterator[tuple[Path, list[str]]]:
    """Import archives or layouts one by one; yield each with the names that it brought.

    Raises NoContainers, images.ImageInvalid, RuntimeFailed and OSError; what was yielded stays.
    """
    wasm = Wasm(data_dir)
    async with _containers(data_dir) as containers:
        for path in paths:
            if is_guest(path):
                yield path, await wasm.import_image(path, name)
            elif containers is None:
                raise NoContainers(f"{path} is a container image, and no containers run here")
            else:
                yield path, await containers.import_image(path, name)


async def all_of(data_dir: Path) -> list[Held]:
    """Return the images of every runtime, sorted by name. Raises RuntimeFailed."""
    held = [Held("wasm", image) for image in await Wasm(data_dir).images()]
    async with _containers(data_dir) as containers:
        if containers is not None:
            held += [Held("containers", image) for image in await containers.images()]
    return sorted(held, key=lambda one: (one.image.names, one.runtime))


async def take_away(data_dir: Path, name: str) -> bool:
    """Remove a name, or an image by its id, from every runtime; False if none had it. Raises RuntimeFailed."""
    gone = await Wasm(data_dir).remove_image(name)
    async with _containers(data_dir) as containers:
        return (containers is not None and await containers.remove_image(name)) or gone
