"""One `fairlead up` on a directory of its own, with the images of the scenarios' apps, built from what is on this machine.

Every image is busybox under another name; some are built to fail. Needs root, containerd and a busybox.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from fairlead.drivers import images

NAMES = ("shop/db:9.6", "shop/api:2.1", "shop/web:1.4", "shop/worker:1.0", "shop/tools:1.0")


class Failed(Exception):
    """The platform is not there; the text says why."""


class Platform:
    """A platform in a data directory."""

    def __init__(self, data: Path) -> None:
        self.data = data

    @property
    def kubeconfig(self) -> Path:
        """The administrator's credentials."""
        return self.data / "kubeconfig"

    def fairlead(self, verb: str, *words: str, check: bool = True) -> str:
        """Run the command line and return what it says. Raises Failed, with `check`, for any exit code but 0."""
        command = [
            sys.executable,
            "-m",
            "fairlead.faces.cli.main",
            verb,
            *words,
            "--data-dir",
            str(self.data),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=150)
        if check and done.returncode:
            raise Failed(f"`fairlead {verb}` ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def up(self) -> None:
        """Bring it up, with the sensor where there can be one. A container that crashes starts again after a second."""
        self.fairlead("up", "--port", "0", "--detach", "--crash-backoff", "1")

    def down(self) -> None:
        """End it and all that it runs."""
        self.fairlead("down", check=False)

    def bring_images(self, folder: Path) -> None:
        """Build and import the images; the archives are left in the folder."""
        archives = []
        for name, layer, config in _images():
            archive = folder / f"{name.replace('/', '-').replace(':', '-')}.tar"
            images.build_archive(archive, name, [layer], config)
            archives.append(str(archive))
        self.fairlead("image", "import", *archives)


def _images() -> Iterator[tuple[str, images.Layer, images.Config]]:
    found = shutil.which("busybox")
    if found is None:
        raise Failed("there is no busybox to build images from; `make setup` as root installs it")
    programs = subprocess.run([found, "--list"], capture_output=True, text=True, check=True).stdout.split()
    layer: dict[str, images.File | images.Link | images.Directory] = {
        f"/bin/{program}": images.Link("busybox") for program in programs if program != "busybox"
    }
    layer |= {"/bin/busybox": images.File(Path(found), 0o755), "/tmp": images.Directory(0o1777)}
    for name in NAMES:
        yield name, layer, images.Config(cmd=("sh",), env={"PATH": "/bin"})
    speaker = shutil.which("openssl")  # busybox cannot speak to an API over TLS
    if speaker is not None:
        yield "shop/watcher:1.0", {**layer, **_program(speaker)}, images.Config(env={"PATH": "/bin:/usr/bin"})
    yield "shop/nobody:1.0", layer, images.Config(cmd=("sh",), env={"PATH": "/bin"}, user="65534")
    script = images.File(b"#!/bin/sh\nexec httpd -f -p 8080\n", 0o644)
    yield (
        "shop/locked:1.0",
        {**layer, "/app/start": script},
        images.Config(entrypoint=("/app/start",), env={"PATH": "/bin"}),
    )
    other = (
        b"\x7fELF\x02\x01\x01" + b"\0" * 9 + b"\x02\0" + b"\xf3\0" + b"\0" * 60
    )  # an executable of another machine
    yield "shop/foreign:1.0", {**layer, "/app/start": images.File(other, 0o755)}, images.Config(
        entrypoint=("/app/start",), env={"PATH": "/bin"}
    )  # fmt: skip


def _program(path: str) -> dict[str, images.File | images.Link | images.Directory]:
    """Return a program of this machine with the libraries that it loads."""
    said = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
    found = [path, *re.findall(r"(/\S+) \(0x", said)]
    return {one: images.File(Path(one).resolve(), 0o755) for one in found}
