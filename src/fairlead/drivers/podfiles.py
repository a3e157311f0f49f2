"""The directories of pods on this machine: volumes, hosts files, termination messages, logs.

    D/node/pods/<uid>/volumes/<name>      what containers see of a volume
    D/node/pods/<uid>/hosts               their /etc/hosts
    D/node/pods/<uid>/ends/<name>.<n>     the termination message of a container's n-th run
    D/node/logs/<ns>_<name>_<uid>/        their logs, in the CRI's format

Writes what it is told to. Must never follow a link that a container could have planted.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from fairlead.orchestrate.podvolumes import Empty, Files, Host
from fairlead.words import Resource

MESSAGE_LIMIT = 4096
"""Bytes of a termination message that are read. Source: Kubernetes' MaxContainerTerminationMessageLength."""


class VolumeFailed(Exception):
    """A volume cannot be had; the text is kubelet's, and follows `MountVolume.SetUp failed for volume "x" : `."""


class PodFiles:
    """The directories of one pod."""

    def __init__(self, data_dir: Path, uid: str, namespace: str = "", name: str = "") -> None:
        self.home = data_dir / "node" / "pods" / uid
        self.logs = data_dir / "node" / "logs" / f"{namespace}_{name}_{uid}"

    @classmethod
    def of(cls, data_dir: Path, pod: Resource) -> PodFiles:
        """Return the directories of a pod. Creates nothing."""
        meta = pod["metadata"]
        return cls(data_dir, meta["uid"], meta["namespace"], meta["name"])

    def prepare(self) -> None:
        """Make the pod's own directories."""
        for folder in (self.home / "volumes", self.home / "ends", self.logs):
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)

    def volume(self, name: str) -> Path:
        """Return where a volume of the pod lies."""
        return self.home / "volumes" / name

    # --- volumes

    def set_up(self, plan: Files | Empty | Host) -> Path:
        """Make the volume ready, or bring it up to date, and return the path that containers mount. Raises VolumeFailed."""
        try:
            if isinstance(plan, Host):
                return _host(plan)
            path = self.volume(plan.name)
            if isinstance(plan, Files):
                _write_all(path, plan)
            else:
                _empty(path, plan)
        except OSError as error:
            raise VolumeFailed(f"{error.filename or ''}: {error.strerror}".lstrip(": ")) from error
        return path

    def sub_path(self, volume: Path, sub_path: str) -> Path:
        """Return the path of a subPath, made as a directory where it is not there. Raises VolumeFailed when it leads out."""
        root = volume.resolve()
        path = (root / sub_path).resolve()
        if not path.is_relative_to(root):
            raise VolumeFailed(f'failed to prepare subPath: "{sub_path}" leads out of its volume')
        try:
            if not path.exists():
                path.mkdir(mode=0o777, parents=True)
        except OSError as error:
            raise VolumeFailed(
                f'failed to create subPath directory "{sub_path}": {error.strerror}'
            ) from error
        return path

    # --- files

    def hosts(self, text: str) -> Path:
        """Write the pod's /etc/hosts in place (it is mounted) and return its path."""
        path = self.home / "hosts"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
        return path

    def end_file(self, container: str, attempt: int) -> Path:
        """Make and return the file that a container's run may leave its termination message in."""
        path = self.home / "ends" / f"{container}.{attempt}"
        path.touch()
        path.chmod(0o666)
        return path

    def end_message(self, container: str, attempt: int) -> str:
        """Return what a run left as its termination message, "" for nothing."""
        path = self.home / "ends" / f"{container}.{attempt}"
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return ""
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return ""
            return file.read(MESSAGE_LIMIT).decode(errors="replace")

    def forget_run(self, container: str, attempt: int) -> None:
        """Remove the log and the message of a run that nobody needs any more."""
        (self.home / "ends" / f"{container}.{attempt}").unlink(missing_ok=True)
        for path in (self.logs / container).glob(f"{attempt}.log*"):
            path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove everything of the pod: first the memory volumes, then the files."""
        volumes = self.home / "volumes"
        with suppress(FileNotFoundError):
            for path in volumes.iterdir():
                _unmount(path)
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.rmtree(self.logs, ignore_errors=True)


def known_uids(data_dir: Path) -> set[str]:
    """Return the uids of all pods that have directories here."""
    with suppress(FileNotFoundError):
        return {path.name for path in (data_dir / "node" / "pods").iterdir()}
    return set()


def log_folders(data_dir: Path) -> dict[str, Path]:
    """Return the log directory of each pod's uid."""
    with suppress(FileNotFoundError):
        return {path.name.rpartition("_")[2]: path for path in (data_dir / "node" / "logs").iterdir()}
    return {}


def mounted(data_dir: Path) -> list[Path]:
    """Return the memory volumes of all pods here that are mounted."""
    below = f"{(data_dir / 'node' / 'pods').resolve()}/"
    with suppress(FileNotFoundError):
        lines = Path("/proc/self/mounts").read_text().splitlines()
        places = [line.split(" ")[1].encode().decode("unicode_escape") for line in lines]
        return [Path(place) for place in places if place.startswith(below)]
    return []


def unmount_all(data_dir: Path) -> None:
    """Give the memory of all pods' volumes back; what was in them is lost, as when a machine is switched off."""
    for path in mounted(data_dir):
        _unmount(path)


def _host(plan: Host) -> Path:
    """Check a path of the host against its type, and make it where the type says so. Source: pkg/volume/hostpath."""
    path = Path(plan.path)
    if plan.type in {"DirectoryOrCreate", "FileOrCreate"} and not path.exists():
        if plan.type == "DirectoryOrCreate":
            path.mkdir(mode=0o755, parents=True)
        else:
            path.touch(mode=0o644)
    checks: Mapping[str, tuple[str, bool]] = {
        "Directory": ("directory", path.is_dir()),
        "DirectoryOrCreate": ("directory", path.is_dir()),
        "File": ("file", path.is_file()),
        "FileOrCreate": ("file", path.is_file()),
        "Socket": ("socket file", path.is_socket()),
        "CharDevice": ("character device", path.is_char_device()),
        "BlockDevice": ("block device", path.is_block_device()),
    }
    if plan.type in checks:
        what, fits = checks[plan.type]
        if not fits:
            raise VolumeFailed(f"hostPath type check failed: {plan.path} is not a {what}")
    elif not path.exists():
        path.mkdir(mode=0o755, parents=True)  # without a type, runtimes make a directory of what is not there
    return path


def _empty(path: Path, plan: Empty) -> None:
    if path.is_mount() or (path.is_dir() and not plan.memory):
        return
    path.mkdir(exist_ok=True)
    path.chmod(0o777)
    if plan.memory:
        if sys.platform != "linux" or os.geteuid() != 0:
            return  # without root a directory on disk must do: it holds the same, only slower
        options = f"size={plan.size},mode=1777" if plan.size else "mode=1777"
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise VolumeFailed(f"mount failed: {done.stderr.strip()}")
    if plan.group is not None and os.geteuid() == 0:
        os.chown(path, -1, plan.group)
        path.chmod(0o2777)


def _unmount(path: Path) -> None:
    if path.is_mount():
        subprocess.run(["umount", "-l", str(path)], capture_output=True, check=False)


def _write_all(path: Path, plan: Files) -> None:
    """Replace all files of a volume at once: they lie in a new directory, and one link is swapped.

    Source: the AtomicWriter of pkg/volume/util, whose names (`..data`) programs that watch for changes rely on.
    """
    path.mkdir(mode=0o755, exist_ok=True)
    link = path / "..data"
    if link.is_symlink() and _same(path / link.readlink(), plan):
        return
    fresh = path / f"..{secrets.token_hex(8)}"
    fresh.mkdir(mode=0o755)
    for name, file in plan.files.items():
        target = fresh / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.body)
        target.chmod(file.mode | (0o440 if plan.group is not None else 0))
        if plan.group is not None and os.geteuid() == 0:
            os.chown(target, -1, plan.group)
    old = path / link.readlink() if link.is_symlink() else None
    swap = path / "..data_tmp"
    swap.unlink(missing_ok=True)
    swap.symlink_to(fresh.name)
    swap.replace(link)
    wanted = {name.split("/")[0] for name in plan.files}
    for name in wanted:
        own = path / name
        if not own.is_symlink():
            own.symlink_to(f"..data/{name}")
    for entry in path.iterdir():
        if not entry.name.startswith("..") and entry.name not in wanted:
            entry.unlink()
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def _same(folder: Path, plan: Files) -> bool:
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return there == set(plan.files) and all(
        (folder / name).read_bytes() == file.body for name, file in plan.files.items()
    )
