"""Ends what a node left on the machine: its containers, its guests, the memory volumes of its pods.

For the end of a node, and for what is left when it was killed. Finds things by the data directory's own names and must never
touch anything else; images, logs and the files of volumes on disk stay.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from fairlead.drivers import podfiles


def remains(data_dir: Path) -> bool:
    """Tell whether anything of a node is left, run or not; cheap enough to ask always."""
    if sys.platform == "linux":
        from fairlead.drivers.containers import leftovers
        from fairlead.drivers.containers.places import Places

        if leftovers.remain(Places.of(data_dir)):
            return True
    return _has_guests(data_dir) or bool(podfiles.mounted(data_dir))


def _has_guests(data_dir: Path) -> bool:
    guests = data_dir / "node" / "wasm"
    return any(any((guests / kind).glob("*")) for kind in ("sandboxes", "containers"))


async def sweep(data_dir: Path) -> None:
    """End every container and guest of a data directory, and remove what was set up for them.

    Raises ContainersUnavailable when there are containers and we are not root.
    """
    if sys.platform == "linux":
        from fairlead.drivers.containers.runtime import take_down

        await take_down(data_dir)
    if _has_guests(data_dir):
        from fairlead.drivers.wasm import runtime as wasm

        await wasm.take_down(data_dir)
    await asyncio.to_thread(podfiles.unmount_all, data_dir)
