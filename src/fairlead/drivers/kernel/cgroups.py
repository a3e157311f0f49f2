"""Which hierarchy of cgroups names containers on this machine, and paths and ids of cgroups in it. Reads; changes nothing.

With cgroup v2 alone there is one hierarchy. On a hybrid machine runc and systemd put a container into every v1 hierarchy and, newer ones,
into cgroup2 beside them, so a v1 hierarchy with a controller that containers always use is the one to trust. A cgroup's id is the inode number of its directory.
"""

from __future__ import annotations

import os
from contextlib import suppress
from ctypes import c_uint32
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from fairlead.drivers.kernel.libbpf import library

_TRUSTED: Final = ("memory", "pids", "cpu", "devices")
_ENUM: Final = 6


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One hierarchy of cgroups. `controller` is "" for cgroup2; `number` is as in /proc/self/cgroup, 0 for cgroup2."""

    controller: str
    mount: str
    number: int

    @property
    def mode(self) -> str:
        """`v2` or `v1`, for people."""
        return f"v1, by {self.controller}" if self.controller else "v2"


def _mounts(table: Path) -> tuple[dict[str, str], str]:
    """Return the mount point of each v1 controller, and that of cgroup2 or ""."""
    controllers: dict[str, str] = {}
    unified = ""
    for line in table.read_text(errors="surrogateescape").splitlines():
        _, point, kind, options, *_ = line.split(" ")
        if kind == "cgroup":
            for one in options.split(","):
                controllers.setdefault(one, point)
        elif kind == "cgroup2":
            unified = unified or point
    return controllers, unified


@cache
def hierarchy(mounts: Path = Path("/proc/self/mounts")) -> Hierarchy:
    """Return the hierarchy that names containers. Where nothing is mounted, cgroup2 at its usual place is named."""
    controllers, unified = _mounts(mounts)
    for one in _TRUSTED:
        if one in controllers:
            return Hierarchy(one, controllers[one], _number_of(one))
    return Hierarchy("", unified or "/sys/fs/cgroup", 0)


def _number_of(controller: str) -> int:
    for line in Path("/proc/cgroups").read_text().splitlines():
        name, _, rest = line.partition("\t")
        if name == controller:
            return int(rest.split("\t")[0])
    return 0


def unified() -> str:
    """Return where cgroup2 is mounted, "" where it is not. The hooks that refuse connections attach there."""
    return _mounts(Path("/proc/self/mounts"))[1]


def subsystem(controller: str) -> int:
    """Return the kernel's own number of a controller (enum cgroup_subsys_id), from its BTF; -1 when it has none."""
    known = library()
    btf = known.btf__load_vmlinux_btf()
    if not btf:
        return -1
    try:
        at = known.btf__find_by_name_kind(btf, b"cgroup_subsys_id", _ENUM)
        if at < 0:
            return -1
        address = known.btf__type_by_id(btf, at)
        members = c_uint32.from_address(address + 4).value & 0xFFFF
        for index in range(members):
            entry = address + 12 + 8 * index
            label = known.btf__name_by_offset(btf, c_uint32.from_address(entry).value)
            if label == f"{controller}_cgrp_id".encode():
                return c_uint32.from_address(entry + 4).value
    finally:
        known.btf__free(btf)
    return -1


def cgroup_id(path: str) -> int:
    """Return the id of a cgroup by its path in the hierarchy ("/a/b"), as it is in records; 0 when it is not there."""
    try:
        return Path(hierarchy().mount, path.lstrip("/")).stat().st_ino
    except OSError:
        return 0


def cgroup_path(number: int) -> str:
    """Return the path of a cgroup by its id, "" when it is gone. Looks through the whole hierarchy: remember what it gives."""
    return walk().get(number, "")


def walk() -> dict[int, str]:
    """Return the path of every cgroup in the hierarchy, by its id."""
    top = hierarchy().mount
    found: dict[int, str] = {}
    with suppress(OSError):
        found[Path(top).stat().st_ino] = "/"
    waiting = [top]
    while waiting:
        place = waiting.pop()
        with suppress(OSError), os.scandir(place) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    found[entry.inode()] = entry.path[len(top) :]
                    waiting.append(entry.path)
    return found


def cgroup_of(pid: int) -> tuple[int, str]:
    """Return the id and path of a process' cgroup in the hierarchy, (0, "") when it is gone."""
    wanted = hierarchy()
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/cgroup").read_text(errors="surrogateescape").splitlines():
            _, controllers, path = line.split(":", 2)
            if wanted.controller in controllers.split(",") or (not wanted.controller and not controllers):
                return cgroup_id(path), path
    return 0, ""
