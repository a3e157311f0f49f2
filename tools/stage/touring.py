"""A person at a command line, with a folder, a home and temporary files of their own, whose commands can be killed at a chosen point."""

from __future__ import annotations

import base64
import functools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx
import yaml
from stage.tolls import Chosen, Toll, writes

from fairlead.drivers import images

KILLED: Final = -9
_SECONDS: Final = 90


class Person:
    """Somebody who has a platform under `data`, and reaches its API and its registry through gates."""

    def __init__(self, folder: Path, data: Path) -> None:
        self.folder, self.data = folder / "work", data
        self.temporary = folder / "tmp"
        for path in (self.folder, self.temporary, folder / "home"):
            path.mkdir()
        self.api = self.gate("kubeconfig")
        self.real = str(json.loads((data / "run/registry.json").read_text())["url"])
        self.registry = Toll(f"http://{self.real}")
        self.account = ("fairlead", (data / "registry/password").read_text())
        login = {"auth": base64.b64encode(":".join(self.account).encode()).decode()}
        (folder / "home/config.json").write_text(json.dumps({"auths": {self.registry.host: login}}))
        self.environment = {
            **os.environ,
            "HOME": str(folder / "home"),
            "XDG_CONFIG_HOME": str(folder / "home"),
            "DOCKER_CONFIG": str(folder / "home"),
            "KUBECONFIG": str(folder / "home/kubeconfig"),
            "TMPDIR": str(self.temporary),
            "FAIRLEAD_DATA_DIR": str(data),
            "FAIRLEAD_KEY_PASSWORD": "a secret",
        }

    def gate(self, name: str) -> Toll:
        """Return a further gate to the API; the kubeconfig of that name, in the home, leads through it."""
        kubeconfig = yaml.safe_load((self.data / "kubeconfig").read_text())
        gate = Toll(kubeconfig["clusters"][0]["cluster"]["server"])
        kubeconfig["clusters"][0]["cluster"] = {"server": gate.url}
        (self.folder.parent / "home" / name).write_text(yaml.safe_dump(kubeconfig))
        return gate

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Begin a command."""
        command = [sys.executable, "-m", "fairlead.faces.cli.main", *words]
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )  # fmt: skip

    def run(self, *words: str, ends: int = 0) -> str:
        """Run a command to its end, which must be the one that is expected, and return what it said."""
        process = self.start(*words)
        said, _ = process.communicate(timeout=_SECONDS)
        assert process.returncode == ends, f"{' '.join(words)}: {process.returncode}\n{said}"
        assert "Traceback" not in said, said
        return said

    def killed(
        self, gate: Toll, at: int, *words: str, chosen: Chosen = writes, early: bool = False
    ) -> tuple[bool, str]:
        """Run a command that is killed at the `at`-th of the chosen requests through a gate; return whether it was, and what it said."""
        victims: list[subprocess.Popen[str]] = []

        def kill() -> None:
            victims[0].kill()

        gate.set(at, kill, chosen, early=early)
        victims.append(self.start(*words))
        said, _ = victims[0].communicate(timeout=_SECONDS)
        gate.set(0, lambda: None)
        assert "Traceback" not in said, said
        return victims[0].returncode == KILLED, said

    def killed_when(self, happens: Callable[[int], object], *words: str) -> bool:
        """Run a command that is killed as soon as something holds of its process id; return whether it was. Its children must go too."""
        process = self.start(*words)
        children: set[int] = set()
        while process.poll() is None and not happens(process.pid):
            children |= children_of(process.pid)
        children |= children_of(process.pid)
        process.kill()
        process.communicate(timeout=_SECONDS)
        deadline = time.monotonic() + 20
        while any(Path(f"/proc/{child}/cmdline").exists() and _runs(child) for child in children):
            assert time.monotonic() < deadline, f"{children} go on without their parent"
            time.sleep(0.02)
        return process.returncode == KILLED

    def left(self) -> list[str]:
        """Return what lies about that should not: temporary files, and hidden ones beside what was written."""
        found = [path for path in self.temporary.iterdir() if not path.name.startswith("pytest")]
        places = (self.folder, self.data, self.data / "run", self.data / "registry")
        found += [path for place in places for path in place.iterdir() if path.name.startswith(".")]
        return [str(path) for path in found]

    def push_image(self, repository: str, config: images.Config) -> str:
        """Push an image of busybox to the platform's registry; return its digest."""
        digest, blobs, body, kind = _image(config)
        with httpx.Client(base_url=f"http://{self.real}/v2/{repository}", auth=self.account) as client:
            for name, content in blobs.items():
                client.post("/blobs/uploads/", params={"digest": name}, content=content).raise_for_status()
            headers = {"content-type": kind}
            client.put("/manifests/1.0.0", content=body, headers=headers).raise_for_status()
        return digest


def children_of(pid: int) -> set[int]:
    """Return the processes that a process has started."""
    try:
        return {int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    except OSError:
        return set()


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@functools.cache
def _layer() -> images.Layer:
    busybox = shutil.which("busybox")
    assert busybox is not None
    files: dict[str, images.File | images.Link | images.Directory] = {
        f"/bin/{name}": images.Link("busybox") for name in ("sh", "httpd", "sleep")
    }
    return files | {"/bin/busybox": images.File(Path(busybox), 0o755), "/tmp": images.Directory(0o1777)}


def _image(config: images.Config) -> tuple[str, dict[str, bytes], bytes, str]:
    packed, blobs = images.build([_layer()], config)
    manifest = packed.manifest
    others = {name: content for name, content in blobs.items() if name != manifest.digest}
    return manifest.digest, others, manifest.data, manifest.media_type
