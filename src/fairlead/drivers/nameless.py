"""A secret as a file without a name, for libraries that read files only.

It lies in memory and goes with its process, however that ends: a key is never left on a disk. Only where the system has no such files
is it a temporary one.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def nameless_file(content: str) -> Iterator[str]:
    """Give a path that has the content for as long as the context lasts."""
    if hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir():
        with os.fdopen(os.memfd_create("fairlead"), "w") as file:
            file.write(content)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
        return
    handle, name = tempfile.mkstemp()  # mode 0600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(content)
        yield name
    finally:
        Path(name).unlink()
