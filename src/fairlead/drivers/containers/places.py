"""Where one data directory's containerd lives: its files, its socket, its bridge, its subnet and its cgroup.

Everything is derived from the data directory, so that two of them never share a thing, and a successor finds what a
crashed predecessor left. Must never start or stop anything.
"""

from __future__ import annotations

import fcntl
import hashlib
import ipaddress
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_RUN = Path("/run/fairlead")
_PODS = ipaddress.IPv4Network("10.244.0.0/16")
_SPARE = ipaddress.IPv4Network("172.30.0.0/16")  # where a machine has taken all of the first
_SOCKET_LIMIT = 107  # bytes of a socket's path; unix(7)


@dataclass(frozen=True, slots=True)
class Places:
    """The places of one node. `home` stays between runs (images, configuration); `run` goes with the last process."""

    home: Path
    run: Path
    key: str

    @classmethod
    def of(cls, data_dir: Path) -> Places:
        """Return the places that belong to a data directory. Creates nothing."""
        home = data_dir.resolve() / "node" / "containerd"
        key = hashlib.sha256(os.fsencode(home)).hexdigest()[:8]
        return cls(home, _RUN / key, key)

    @property
    def root(self) -> Path:
        """Where containerd keeps images and snapshots."""
        return self.home / "root"

    @property
    def state(self) -> Path:
        """Where containerd keeps what ends with its containers: their root file systems are mounted below."""
        return self.run / "state"

    @property
    def socket(self) -> Path:
        """The socket of containerd: short whatever the data directory is called, since the kernel allows 107 bytes."""
        path = self.run / "containerd.sock"
        assert len(os.fsencode(path)) + len(".ttrpc") <= _SOCKET_LIMIT
        return path

    @property
    def config(self) -> Path:
        """The configuration file of containerd, which also marks the process as ours."""
        return self.home / "config.toml"

    @property
    def profiles(self) -> Path:
        """Where the node's own seccomp profiles are (kubelet's is /var/lib/kubelet/seccomp): OCI's JSON, put there by an administrator."""
        return self.home.parent / "seccomp"

    @property
    def cni(self) -> Path:
        """The directory of our one network's configuration."""
        return self.home / "cni"

    @property
    def bridge(self) -> str:
        """The name of the pods' bridge; the kernel allows 15 characters."""
        return f"fl{self.key}"

    @property
    def network(self) -> str:
        """The name of the pods' network for the CNI plugins."""
        return f"fairlead-{self.key}"

    @property
    def cgroup(self) -> str:
        """The cgroup that holds every container of this node."""
        return f"/fairlead-{self.key}"


def sockets() -> list[Path]:
    """Return the sockets of all containerds that nodes of fairlead run on this machine."""
    return sorted(_RUN.glob("*/containerd.sock"))


@contextmanager
def locked() -> Iterator[None]:
    """Hold the lock under which instances on one machine choose what they must not share.

    The lock's file goes with the last instance, so whoever got hold of a removed one tries again.
    """
    path = _RUN / "lock"
    while True:
        _RUN.mkdir(mode=0o755, parents=True, exist_ok=True)
        with suppress(FileNotFoundError), path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                yield
                return


def release() -> None:
    """Remove what the last instance on this machine leaves of the directory that they share."""
    if not _RUN.exists():
        return
    with locked():
        if not any(path.is_dir() for path in _RUN.iterdir()):
            (_RUN / "lock").unlink()
            _RUN.rmdir()


def _routes() -> Iterable[ipaddress.IPv4Network]:
    """Networks that this machine routes, by the kernel's table; the default route is none."""
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        fields = line.split()
        # Each number stands as the machine would read the bytes that the network sends.
        address, mask = (int(fields[i], 16).to_bytes(4, sys.byteorder) for i in (1, 7))
        if any(mask):
            yield ipaddress.IPv4Network((address, str(ipaddress.IPv4Address(mask))), strict=False)


def _promised(own: Path) -> Iterable[ipaddress.IPv4Network]:
    """Subnets that other instances chose, also those whose bridge is not there yet."""
    for path in _RUN.glob("*/subnet"):
        if path != own:
            yield ipaddress.IPv4Network(path.read_text().strip())


def choose_subnet(places: Places) -> ipaddress.IPv4Network:
    """Return this node's pod subnet: the one it had if that is still free, else one that nothing here uses.

    Written down at once, so that an instance that starts beside this one sees it.
    """
    own, kept = places.run / "subnet", places.home / "network.json"
    with locked():
        if own.exists():
            return ipaddress.IPv4Network(own.read_text().strip())
        taken = [*_routes(), *_promised(own)]
        before = [ipaddress.IPv4Network(json.loads(kept.read_text())["subnet"])] if kept.exists() else []
        start = int(places.key, 16) % 256
        candidates = [
            network
            for pool in (_PODS, _SPARE)
            for subnets in [list(pool.subnets(new_prefix=24))]
            for network in subnets[start:] + subnets[:start]
        ]
        for network in before + candidates:
            if not any(network.overlaps(other) for other in taken):
                places.run.mkdir(mode=0o711, parents=True, exist_ok=True)
                places.home.mkdir(mode=0o700, parents=True, exist_ok=True)
                own.write_text(f"{network}\n")
                kept.write_text(json.dumps({"subnet": str(network)}) + "\n")
                return network
    raise RuntimeError(f"no free network for pods: this machine routes all of {_PODS} and {_SPARE}")
