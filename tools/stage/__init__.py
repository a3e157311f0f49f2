"""Throw-away containers and a program that does what it is told: real actions for tests and benchmarks of `sense`.

A `Room` is a root file system in a temporary directory, with namespaces and a cgroup of its own. Must never touch anything outside
the directory that it was given and the cgroup that it made.
"""

from __future__ import annotations

import hashlib
import os
import platform
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
_NEW = {"mnt": 0x20000, "uts": 0x4000000, "ipc": 0x8000000, "pid": 0x20000000, "net": 0x40000000}


def actor(cache: Path | None = None) -> Path:
    """Return the compiled actor: a static program, built once for each content of its source."""
    source = HERE / "actor.c"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    folder = cache or HERE.parents[1] / "build" / "stage"
    built = folder / f"actor-{digest}"
    if not built.exists():
        folder.mkdir(parents=True, exist_ok=True)
        fresh = folder / f".{secrets.token_hex(4)}"
        command = [
            sys.executable,
            "-m",
            "ziglang",
            "cc",
            "-target",
            f"{platform.machine()}-linux-musl",
            "-static",
            "-s",
            "-O1",
        ]
        subprocess.run([*command, "-w", "-o", str(fresh), str(source)], check=True, capture_output=True)
        fresh.rename(built)
    return built


def script(*steps: Sequence[object]) -> str:
    """Return the text of a script: each step a verb and its words."""
    return "\n".join("\t".join(str(word) for word in step) for step in steps)


def scripts(*acts: Sequence[Sequence[object]]) -> dict[str, str]:
    """Return the environment for a program and those that it starts, the outermost first."""
    return {f"ACT{index or ''}": script(*act) for index, act in enumerate(acts)}


class Room:
    """A throw-away container: `path` is its root, `cgroup` the directory of its cgroup, `id` 64 hex digits as a runtime gives."""

    def __init__(self, folder: Path, hierarchy: Path, *, id_: str = "") -> None:
        """Make the root under `folder` (empty) and the cgroup under `hierarchy` (a mounted one that names containers)."""
        self.id = id_ or secrets.token_hex(32)
        self.path = folder
        self.cgroup = hierarchy / f"room-{self.id[:12]}" / self.id
        self.cgroup.mkdir(parents=True)
        for name in ("bin", "sbin", "usr/bin", "usr/sbin", "usr/local/bin", "etc", "tmp", "dev/pts", "proc", "root/.ssh", "var/log",
                     "var/run", "home/ann", "lib", "opt"):  # fmt: skip
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "etc/passwd").write_text(
            "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1::/:/bin/false\nann:x:1000:1000::/home/ann:/bin/sh\n"
        )
        (folder / "dev/ptmx").symlink_to("pts/ptmx")
        (folder / "etc/group").write_text("root:x:0:\nann:x:1000:\n")
        (folder / "etc/shadow").write_text("root:*:19000:0:99999:7:::\n")
        self.install("/bin/actor")

    @property
    def cgroup_id(self) -> int:
        """The number by which the kernel names the cgroup."""
        return self.cgroup.stat().st_ino

    def install(self, path: str) -> str:
        """Put a copy of the actor at a path in here, and return the path."""
        target = self.path / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(actor(), target)
        target.chmod(0o755)
        return path

    def outside(self, path: str) -> Path:
        """Return where a path of the container is on the host."""
        return self.path / path.lstrip("/")

    def command(
        self,
        path: str,
        *args: str,
        act: Sequence[Sequence[object]] = (),
        then: Sequence[Sequence[Sequence[object]]] = (),
        env: Mapping[str, str] | None = None,
        before: Sequence[Sequence[object]] = (),
        new: Sequence[str] = ("mnt", "uts", "ipc", "pid"),
        host: bool = False,
        layered: bool = False,
    ) -> tuple[list[str], dict[str, str]]:
        """Return the command line and environment that run the program in here (or, with `host`, on the host as it is).

        `act` is the program's script and `then` those of its children. `before` is done inside, by the container's first process,
        before it becomes the program. With `layered` the root is the lower layer of an overlay.
        """
        setup: list[Sequence[object]] = []
        if not host:
            flags = sum(_NEW[name] for name in new)
            setup = [("must", "set", self.cgroup / "cgroup.procs", "0"), ("must", "unshare", flags)]
            setup += [("must", "mount", "none", "/", "", 0x44000)] if "mnt" in new else []
            setup += [("must", "fork")] if "pid" in new else []
            if layered:
                upper, work = (
                    self.path.with_name(f"{self.path.name}-upper"),
                    self.path.with_name(f"{self.path.name}-work"),
                )
                upper.mkdir(exist_ok=True)
                work.mkdir(exist_ok=True)
                options = f"lowerdir={self.path},upperdir={upper},workdir={work}"
                setup += [("must", "mount", "overlay", self.path, "overlay", 0, options)]
            setup += [
                ("mount", "proc", self.path / "proc", "proc", 0),
                ("mount", "devpts", self.path / "dev/pts", "devpts", 0, "newinstance,ptmxmode=0666"),
                ("must", "pivot" if "mnt" in new else "chroot", self.path),
            ]
        setup += [*before, ("exec", path, path.rpartition("/")[2] if not args else args[0], *args[1:])]
        return [str(actor())], {**(env or {}), **scripts(setup, act, *then)}

    def run(
        self, path: str, *args: str, timeout: float = 20, **how: object
    ) -> subprocess.CompletedProcess[bytes]:
        """Run the program to its end. `args` are its argv, from argv[0] on (default: its name)."""
        command, env = self.command(path, *args, **how)  # type: ignore[arg-type]  # the very same options
        return subprocess.run(command, env=env, capture_output=True, timeout=timeout, check=False)

    def start(self, path: str, *args: str, **how: object) -> subprocess.Popen[bytes]:
        """Start the program and return it, with pipes for its standard input and output."""
        command, env = self.command(path, *args, **how)  # type: ignore[arg-type]  # the very same options
        return subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def close(self) -> None:
        """End what still runs in here and remove the cgroup; the files belong to who gave the folder."""
        for _ in range(200):
            pids = self.cgroup.joinpath("cgroup.procs").read_text().split()
            for pid in pids:
                try:
                    os.kill(int(pid), 9)
                except ProcessLookupError:
                    continue
            try:
                self.cgroup.rmdir()
                self.cgroup.parent.rmdir()
            except OSError:
                subprocess.run(["sleep", "0.01"], check=False)
            else:
                return
