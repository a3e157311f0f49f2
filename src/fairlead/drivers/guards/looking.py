"""What the responder knows of files without opening them: their identity, their mount, and their name inside their file system.

Opens nothing but names (O_PATH) and files of /proc.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final, NamedTuple

_OPENAT2: Final = 437
_IN_ROOT: Final = 0x10
_EMPTY_PATH: Final = 0x1000
_ALL, _BORN, STATX_MOUNT, _UNIQUE = 0x7FF, 0x800, 0x1000, 0x4000

libc = ctypes.CDLL(None, use_errno=True)
libc.statx.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p]
libc.syscall.restype = ctypes.c_long


class File(NamedTuple):
    """A file's identity, for as long as it exists: numbers of inodes are used again, times of birth are not."""

    major: int
    minor: int
    inode: int
    born: int


class Looked(NamedTuple):
    """What statx says: the identity, the mode, and the mount that it was reached through (never used again; 0 unknown)."""

    file: File
    mode: int
    mount: int


class Mount(NamedTuple):
    """A line of mountinfo: the device, the directory of it that is shown, and where."""

    device: str
    root: str
    point: str


_buffer = ctypes.create_string_buffer(256)
_where = ctypes.addressof(_buffer)
_numbers = struct.Struct("=I24xH2xQ")  # mask, mode, inode


def look(descriptor: int, mount: int = _UNIQUE) -> Looked:
    """Return what the descriptor is of. Raises OSError."""
    if libc.statx(descriptor, b"", _EMPTY_PATH, _ALL | _BORN | mount, _where) != 0:
        raise OSError(ctypes.get_errno(), "statx")
    mask, mode, inode = _numbers.unpack_from(_buffer)
    seconds, nanos = struct.unpack_from("=qI", _buffer, 80)
    major, minor, place = struct.unpack_from("=IIQ", _buffer, 136)
    born = seconds * 1_000_000_000 + nanos if mask & _BORN else 0
    return Looked(File(major, minor, inode, born), mode, place if mask & mount else 0)


def mountinfo(pid: int) -> bytes:
    """Return what the kernel writes about the mounts that a process sees. Raises OSError."""
    with open(f"/proc/{pid}/mountinfo", "rb") as file:  # noqa: PTH123  nothing but what is needed is imported
        return file.read()


def parsed(written: bytes) -> dict[int, Mount]:
    """Return the mounts of a mountinfo, by their number."""
    found = {}
    for line in os.fsdecode(written).split("\n")[:-1]:
        fields = line.split(" ")
        found[int(fields[0])] = Mount(fields[2], _plain(fields[3]), _plain(fields[4]))
    return found


def _plain(text: str) -> str:
    """Return a name of mountinfo without its octal escapes."""
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text


def within(path: str, mount: Mount) -> str | None:
    """Return the path's name inside the mount's file system, or None when it does not lie below the mount."""
    point = mount.point.rstrip("/")
    if path != point and not path.startswith(point + "/"):
        return None
    return mount.root.rstrip("/") + path[len(point) :] or "/"


def find(root: int, path: str) -> int:
    """Return a descriptor that names (O_PATH) what the path is below a root, following links inside it. Raises OSError."""
    how = struct.pack("=QQQ", os.O_PATH | os.O_CLOEXEC, 0, _IN_ROOT)
    found = int(libc.syscall(_OPENAT2, root, os.fsencode(path), how, ctypes.c_size_t(len(how))))
    if found < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path)
    return found


def target(link: str) -> str:
    """Return what a link of /proc points to. Raises OSError."""
    return os.readlink(link)  # noqa: PTH115  nothing but what is needed is imported
