"""Rotation of container logs, by kubelet's numbers. The runtime must be told to reopen the file afterwards."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Final

LIMIT: Final = 10 << 20
"""Bytes after which a log is put aside (kubelet's containerLogMaxSize)."""
KEPT: Final = 5
"""How many files there are at most, the current one among them (kubelet's containerLogMaxFiles)."""


def rotate(path: Path, limit: int = LIMIT, kept: int = KEPT) -> bool:
    """Put a log that has outgrown the limit aside as `path.1`, older ones as `.2` and so on; tell whether it was done."""
    if not path.is_file() or path.stat().st_size <= limit:
        return False
    older = [path.with_name(f"{path.name}.{number}") for number in range(1, kept)]
    older[-1].unlink(missing_ok=True)
    for young, old in reversed(list(pairwise(older))):
        if young.exists():
            young.rename(old)
    path.rename(older[0])
    return True
