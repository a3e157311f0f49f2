"""What /proc and the cgroup file system tell of what runs already: processes, their cgroups, and the users that they know.

Reads only, and holds nothing. A process may end between two reads: what could not be read stays empty, and a process that is gone is left
out. Never follows a link inside a container's root, so that no container can make it read the host's files. Sources: proc(5), cgroups(7).
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from fairlead.sense.events import Process, text_of

PROC: Final = Path("/proc")
ARGUMENTS: Final = 8192
"""Most bytes of a process' arguments, and of its environment, that are read."""
_NAMESPACES: Final = (
    "uts", "ipc", "mnt", "pid", "pid_for_children", "net", "time", "time_for_children", "cgroup", "user",
)  # fmt: skip
_CAPS: Final = ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")
_SECOND: Final = 1_000_000_000
_MEMFD: Final = 2
_DEEPEST: Final = 16


def booted() -> int:
    """Return when the machine booted, in ns since the epoch."""
    return time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def pids() -> list[int]:
    """Return the ids of all processes, in order."""
    return sorted(int(one.name) for one in PROC.iterdir() if one.name.isdecimal())


def namespaces(pid: int) -> tuple[int, ...]:
    """Return the numbers of a process' namespaces, in the order of Process.ns; 0 where they are not told."""
    return tuple(_link_number(PROC / str(pid) / "ns" / name) for name in _NAMESPACES)


def resident() -> int:
    """Return the resident memory of this process in bytes, 0 where that is not told."""
    fields = _read(PROC / "self" / "statm").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") if len(fields) > 1 else 0


def processes(cgroups: Cgroups, *, epoch: int = 0) -> list[Process]:
    """Return every process there is, its parent's id included. `epoch` is when the machine booted."""
    epoch = epoch or booted()
    host = _link_number(PROC / "1" / "ns" / "mnt")
    found = [one for pid in pids() if (one := process(pid, cgroups, epoch=epoch, host=host)) is not None]
    by_pid = {one.pid: one for one in found}
    for one in found:
        parent = by_pid.get(one.ppid)
        if parent is not None and parent.ns[3] == one.ns[3]:
            one.vppid = parent.vpid
    return found


def process(pid: int, cgroups: Cgroups, *, epoch: int = 0, host: int = 0) -> Process | None:
    """Return one process, None when it is gone. `host` is the mount namespace of the machine's first process."""
    place = PROC / str(pid)
    status = _status(_read(place / "status"))
    fields = _read(place / "stat").rpartition(b") ")[2].split()
    if not status or len(fields) < 20:
        return None
    epoch = epoch or booted()
    one = Process(pid, int(fields[19]) * (_SECOND // os.sysconf("SC_CLK_TCK")))
    one.started = one.exec_at = epoch + one.start
    one.ppid, one.pgid, one.sid = int(fields[1]), int(fields[2]), int(fields[3])
    one.tty = int(fields[4]) & 0xFFFFFFFF
    one.vpid, one.vpgid, one.vsid = (_last(status.get(key, b"")) for key in ("NSpid", "NSpgid", "NSsid"))
    one.uid, one.euid, one.suid, one.fsuid = _four(status.get("Uid", b""))
    one.gid, one.egid, one.sgid, one.fsgid = _four(status.get("Gid", b""))
    effective, permitted, inheritable, bounding, ambient = (
        int(status.get(key, b"0") or b"0", 16) for key in _CAPS
    )
    one.caps = (effective, permitted, inheritable, bounding, ambient)
    one.loginuid = int(_read(place / "loginuid").strip() or b"4294967295")
    one.audit_session = int(_read(place / "sessionid").strip() or b"4294967295")
    one.name = one.title = text_of(_read(place / "comm").removesuffix(b"\n"))
    one.exe, one.cwd = _link(place / "exe"), _link(place / "cwd")
    one.args_raw, one.env_raw = _read(place / "cmdline", ARGUMENTS), _read(place / "environ", ARGUMENTS)
    one.ns = namespaces(pid)
    one.contained = bool(host and one.ns[2] and one.ns[2] != host)
    one.cgroup = cgroups.path_of(pid)[0]
    _about_file(one, place / "exe")
    one.known = True
    return one


def _about_file(one: Process, link: Path) -> None:
    if one.exe.startswith("/memfd:"):
        one.exe_flags |= _MEMFD
    one.exe = one.exe.removesuffix(" (deleted)")
    with suppress(OSError):
        found = link.stat()
        one.exe_ino, one.exe_dev, one.exe_mode, one.exe_nlink = (
            found.st_ino,
            found.st_dev,
            found.st_mode,
            found.st_nlink,
        )
        one.exe_uid, one.exe_gid = found.st_uid, found.st_gid
        one.exe_ctime, one.exe_mtime = found.st_ctime_ns, found.st_mtime_ns


def _read(path: Path, most: int = 1 << 16) -> bytes:
    with suppress(OSError), path.open("rb", buffering=0) as file:
        return file.read(most) or b""
    return b""


def _status(raw: bytes) -> dict[str, bytes]:
    pairs = (line.partition(b":") for line in raw.splitlines())
    return {key.decode(errors="replace"): value.strip() for key, _, value in pairs}


def _four(value: bytes) -> tuple[int, int, int, int]:
    numbers = [int(one) for one in value.split()][:4]
    first, second, third, fourth = [*numbers, 0, 0, 0, 0][:4]
    return first, second, third, fourth


def _last(value: bytes) -> int:
    numbers = value.split()
    return int(numbers[-1]) if numbers else 0


def _link(path: Path) -> str:
    with suppress(OSError):
        return str(path.readlink())
    return ""


def _link_number(path: Path) -> int:
    """Return the number in a link such as `mnt:[4026531841]`, 0 where there is none."""
    number = _link(path).rpartition("[")[2].rstrip("]")
    return int(number) if number.isdecimal() else 0


# --- cgroups


class Hierarchy(NamedTuple):
    """A hierarchy of cgroups: its controller ("" for cgroup2) and where it is mounted."""

    controller: str
    mount: str


class Cgroups:
    """The cgroups of one hierarchy, by the number that the kernel names them by: their directory's inode."""

    def __init__(self, hierarchy: tuple[str, str]) -> None:
        self.hierarchy = Hierarchy(*hierarchy)
        self._root = Path(self.hierarchy.mount)

    def path_of(self, pid: int) -> tuple[int, str]:
        """Return the id and path of a process' cgroup; (0, "") when it is gone or its cgroup is."""
        path = _line_of(_read(PROC / str(pid) / "cgroup"), self.hierarchy.controller)
        if path:
            with suppress(OSError):
                return (self._root / path.lstrip("/")).stat().st_ino, path
        return 0, ""

    def walk(self, most: int = 65_536) -> dict[int, str]:
        """Return the path of every cgroup by its id, as far as so many go."""
        found: dict[int, str] = {}
        with suppress(OSError):
            found[self._root.stat().st_ino] = "/"
        for path, number in _folders(self._root, "", 0):
            found[number] = path
            if len(found) >= most:
                break
        return found


def _folders(root: Path, below: str, depth: int) -> Iterator[tuple[str, int]]:
    try:
        entries = list(os.scandir(f"{root}{below}"))
    except OSError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield f"{below}/{entry.name}", entry.inode()
            if depth < _DEEPEST:
                yield from _folders(root, f"{below}/{entry.name}", depth + 1)


def _line_of(raw: bytes, controller: str) -> str:
    """Return the path in /proc/PID/cgroup of the hierarchy with this controller, without the way up to another namespace's root."""
    for line in raw.decode(errors="surrogateescape").splitlines():
        _, names, path = [*line.split(":", 2), "", ""][:3]
        if controller in names.split(",") if controller else not names:
            while path.startswith("/.."):
                path = path.removeprefix("/..")
            return path or "/"
    return ""


# --- users and groups


def accounts(pid: int, most: int) -> tuple[dict[int, tuple[str, str, str]], dict[int, str]] | None:
    """Return users (name, home, shell) and the names of groups by number, as the root of a process has them; 0 is the host's own root.

    None when the process is gone; empty where there are no such files, or they are larger than `most` bytes.
    """
    try:
        root = os.open(f"/proc/{pid}/root" if pid else "/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        users: dict[int, tuple[str, str, str]] = {}
        for fields in _lines(_etc(root, "passwd", most)):
            if len(fields) >= 7 and fields[2].isdecimal():
                users.setdefault(int(fields[2]), (fields[0], fields[5], fields[6]))
        groups: dict[int, str] = {}
        for fields in _lines(_etc(root, "group", most)):
            if len(fields) >= 3 and fields[2].isdecimal():
                groups.setdefault(int(fields[2]), fields[0])
    finally:
        os.close(root)
    return users, groups


def _lines(raw: bytes) -> Iterable[list[str]]:
    lines = raw.decode(errors="replace").splitlines()
    return (line.split(":") for line in lines if line[:1] not in {"#", ""})


def _etc(root: int, name: str, most: int) -> bytes:
    """Return the content of a file of /etc below a root, b"" for one that is no regular file. No link is followed."""
    keep = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    with suppress(OSError):
        folder = os.open("etc", keep | os.O_DIRECTORY, dir_fd=root)
        try:
            handle = os.open(name, keep | os.O_NONBLOCK, dir_fd=folder)
        finally:
            os.close(folder)
        try:
            found = os.fstat(handle)
            if stat.S_ISREG(found.st_mode) and found.st_size <= most:
                return os.read(handle, most)
        finally:
            os.close(handle)
    return b""
