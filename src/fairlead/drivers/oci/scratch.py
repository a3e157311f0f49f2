"""Folders and files that are only there while something is fetched or packed, and are gone afterwards however it ended.

Each is locked while its process lives. A process that is killed removes nothing, but its locks go: the next one to need such a place
takes away what nobody holds. Must never remove what another process holds, another user owns, or that was not made here.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import glob
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final

_FOLDER: Final = "fairlead-oci-"
_FILE: Final = ".fairlead-part"


@contextlib.contextmanager
def scratch(beside: Path | None = None) -> Iterator[Path]:
    """Give an empty folder that is gone afterwards: among the temporary files, or on the file system of a path that is to be replaced."""
    parent = Path(tempfile.gettempdir()) if beside is None else beside.parent
    prefix = _FOLDER if beside is None else f".{beside.name[:40]}.{_FOLDER}"
    for left in parent.glob(f"{glob.escape(prefix)}*"):
        _sweep(left, os.O_DIRECTORY, functools.partial(shutil.rmtree, ignore_errors=True))
    while True:
        name = tempfile.mkdtemp(prefix=prefix, dir=parent)
        handle = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if _is_at(handle, name):
            break
        os.close(handle)  # swept before it was locked
    try:
        yield Path(name)
    finally:
        shutil.rmtree(name, ignore_errors=True)
        os.close(handle)


@contextlib.contextmanager
def arriving(path: Path, mode: int = 0o644) -> Iterator[IO[bytes]]:
    """Give a file to write that is put at the path when all went well, and is gone otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep_files(path.parent.absolute())
    while True:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=_FILE)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if _is_at(handle, name):
            break
        os.close(handle)
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            Path(name).chmod(mode)
            Path(name).replace(path)  # still locked: nobody takes it for one that was left
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@functools.cache
def _sweep_files(folder: Path) -> None:
    """Take away what killed processes have left in a folder, once in the life of this one."""
    for left in folder.glob(f".*{_FILE}"):
        _sweep(left, 0, functools.partial(Path.unlink, missing_ok=True))


def _sweep(path: Path, flags: int, remove: Callable[[Path], None]) -> None:
    """Remove what is ours and nobody holds."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | flags)
        try:
            if os.fstat(handle).st_uid == os.geteuid():
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove(path)
        finally:
            os.close(handle)


def _is_at(handle: int, name: str) -> bool:
    """Whether what is open is still what has the name."""
    try:
        return os.path.samestat(os.fstat(handle), os.lstat(name))
    except OSError:
        return False
