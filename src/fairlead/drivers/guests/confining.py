"""What a worker gives up before it touches foreign code: identity, privileges, network, files, processes, memory without end, system calls."""

from __future__ import annotations

import ctypes
import resource
import sys

from fairlead.drivers import confining
from fairlead.drivers.wasm.worker import confine as give_up_identity

_NEW_NETWORK = 0x40000000
_NEW_USER = 0x10000000
DATA = 2 << 30
"""Bytes of memory that the whole process may write to, whatever its guests are granted."""


def confine() -> None:
    """Keep only what computing needs. What is to be imported must be there already; no thread may run yet."""
    if sys.platform == "linux":
        # A network of its own has no way out. Where the kernel grants none, no code that runs here opens a socket anyway.
        unshare = ctypes.CDLL(None, use_errno=True).unshare
        if unshare(_NEW_NETWORK) != 0:
            unshare(_NEW_USER | _NEW_NETWORK)
        resource.setrlimit(resource.RLIMIT_DATA, (DATA, DATA))
        confining.confine_files()
    give_up_identity()
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def seal() -> None:
    """Start no more threads or processes, and ask the kernel for nothing that computing has no use for."""
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    confining.confine_calls(threads=False)
