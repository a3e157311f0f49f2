"""Writes files for people: whole or not at all, so that a full disk leaves the old one.

A link is followed to the file that it names; what is no file (a pipe, a terminal, /dev/null) is written to and never replaced. Nothing that
somebody else has put in the way, in a folder that many may write, is written through.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import IO


def replace(path: Path, write: Callable[[IO[bytes]], object], *, private: bool = False) -> None:
    """Have `write` write a file anew; `private` makes it its owner's alone, else it keeps its mode. Raises OSError."""
    place = Path(os.path.realpath(path))
    try:
        there = place.stat()
    except FileNotFoundError:
        there = None
    if there is not None and not stat.S_ISREG(there.st_mode):
        with place.open("wb") as file:
            write(file)
        return
    mode = 0o600 if private else stat.S_IMODE(there.st_mode) if there is not None else 0o666
    fresh = place.with_name(f".{secrets.token_hex(6)}.fairlead")
    try:
        with os.fdopen(
            os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode), "wb"
        ) as file:
            if there is not None:
                os.fchmod(file.fileno(), mode)
            write(file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(place)
    finally:
        fresh.unlink(missing_ok=True)
