"""Removes what containers left on the machine: processes, mounts, cgroups, the bridge, files of the run directory.

For the end of a node, after containerd, and for what a crash left. It finds things by this node's own names and
must never touch anything else. Everything here may be called again and again.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import shutil
import signal
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from fairlead.drivers.containers.places import Places, release

_SIOCSIFFLAGS: Final = 0x8914
_SIOCBRDELBR: Final = 0x89A1
_MNT_DETACH: Final = 2
_CGROUPS: Final = Path("/sys/fs/cgroup")


def remain(places: Places) -> bool:
    """Tell whether anything of this node's containers is still on the machine, run or not; cheap enough to ask always."""
    return places.run.exists()


def sweep(places: Places) -> None:
    """Remove everything of this node that is not in its home directory."""
    tasks = [path.name for path in places.state.glob("io.containerd.runtime.v2.task/k8s.io/*")]
    _kill(places)
    _unmount(places)
    _cgroups(places)
    remove_bridge(places.bridge)
    _records(places, tasks)
    shutil.rmtree(places.run, ignore_errors=True)
    release()
    for empty in (
        Path("/run/containerd/s"),
        Path("/run/containerd"),
        Path("/var/lib/cni/results"),
        Path("/var/lib/cni"),
    ):
        with suppress(OSError):
            empty.rmdir()


def _trees(places: Places) -> Iterator[Path]:
    """Yield this node's cgroup in each hierarchy where there is one: one with cgroup v2, several with v1."""
    name = places.cgroup.removeprefix("/")
    for tree in (_CGROUPS / name, *(hierarchy / name for hierarchy in _CGROUPS.glob("*"))):
        if tree.is_dir():
            yield tree


def processes(places: Places) -> set[int]:
    """Return the ids of the processes in this node's containers and of the shims that hold them."""
    found: set[int] = set()
    for tree in _trees(places):
        for procs in tree.rglob("cgroup.procs"):
            with suppress(OSError):
                found.update(int(pid) for pid in procs.read_text().split())
    address = os.fsencode(places.socket)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if b"containerd-shim" in words[0] and address in words:
                    found.add(int(entry.name))
    return found - {os.getpid()}


def _kill(places: Places) -> None:
    for _ in range(100):
        found = processes(places)
        if not found:
            return
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def mounts(places: Places) -> list[str]:
    """Return the mount points below this node's directories, deepest first."""
    below = tuple(f"{path}/" for path in (places.run, places.home))
    lines = Path("/proc/self/mounts").read_bytes().splitlines()
    points = [line.split()[1].decode("unicode_escape").encode("latin-1") for line in lines]
    texts = [os.fsdecode(point) for point in points]
    return sorted((text for text in texts if text.startswith(below)), key=len, reverse=True)


def _unmount(places: Places) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    for _ in range(3):
        points = mounts(places)
        if not points:
            return
        for point in points:
            libc.umount2(os.fsencode(point), _MNT_DETACH)


def remove_cgroup(places: Places, uid: str) -> None:
    """Remove the cgroup of a pod whose containers are gone."""
    for tree in _trees(places):
        _remove_tree(tree / f"pod{uid}")


def _cgroups(places: Places) -> None:
    for _ in range(50):
        trees = list(_trees(places))
        if not trees:
            return
        for tree in trees:
            _remove_tree(tree)
        time.sleep(0.02)


def _remove_tree(tree: Path) -> None:
    for directory, _, _ in os.walk(tree, topdown=False):
        with suppress(OSError):
            Path(directory).rmdir()


def remove_bridge(name: str) -> None:
    """Remove a network bridge; nothing if there is none by this name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control, suppress(OSError):
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh", name.encode(), 0))  # down
        fcntl.ioctl(control, _SIOCBRDELBR, name.encode() + b"\0")


def _records(places: Places, tasks: Iterable[str]) -> None:
    """Remove what a killed containerd's tasks leave in places that every containerd shares, whatever its settings."""
    results = Path("/var/lib/cni/results")
    for record in results.glob(f"{places.network}-*"):
        record.unlink(missing_ok=True)
    for task in tasks:
        (results / f"cni-loopback-{task}-lo").unlink(missing_ok=True)
        name = hashlib.sha256(os.fsencode(places.socket / "k8s.io" / task)).hexdigest()
        (Path("/run/containerd/s") / name).unlink(missing_ok=True)
