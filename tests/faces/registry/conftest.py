"""A registry process of the test's own, and a client that pushes what it is given."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass
class Registry:
    """A registry that runs, over its data directory."""

    data: Path
    process: subprocess.Popen[bytes] | None = None
    url: str = ""

    def start(self, *more: str) -> None:
        command = [sys.executable, "-m", "fairlead.faces.registry", "--data-dir", str(self.data), *more]
        record = self.data / "run" / "registry.json"
        record.unlink(missing_ok=True)
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(400):
            if record.exists():
                break
            if self.process.poll() is not None:
                raise AssertionError(self.process.communicate()[0].decode())
            time.sleep(0.05)
        self.url = json.loads(record.read_text())["url"]

    def stop(self, *, kill: bool = False) -> None:
        if self.process is not None:
            (self.process.kill if kill else self.process.terminate)()
            words = self.process.communicate(timeout=20)[0].decode()
            assert "Traceback" not in words, words
            self.process = None

    @property
    def password(self) -> str:
        return (self.data / "registry" / "password").read_text()

    def client(self, *, account: bool = True) -> httpx.Client:
        auth = ("fairlead", self.password) if account else None
        return httpx.Client(base_url=f"http://{self.url}", auth=auth, timeout=30)

    def push_blob(self, client: httpx.Client, name: str, data: bytes) -> str:
        digest = digest_of(data)
        answer = client.post(f"/v2/{name}/blobs/uploads/", params={"digest": digest}, content=data)
        assert answer.status_code == 201, answer.text
        return digest

    def push(self, client: httpx.Client, name: str, tag: str, layer: bytes, **more: Any) -> str:
        """Push a manifest with one layer and return its digest."""
        config = self.push_blob(client, name, b"{}")
        blob = self.push_blob(client, name, layer)
        content = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2},
            "layers": [{"mediaType": "application/octet-stream", "digest": blob, "size": len(layer)}],
            **more,
        }
        body = json.dumps(content).encode()
        path = f"/v2/{name}/manifests/{tag or digest_of(body)}"
        answer = client.put(path, content=body, headers={"content-type": MANIFEST})
        assert answer.status_code == 201, answer.text
        return digest_of(body)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that the tests of a module share: each has names of its own."""
    one = Registry(tmp_path_factory.mktemp("registry"))
    one.start("--port", "0")
    yield one
    one.stop()


@pytest.fixture
def registries(tmp_path: Path) -> Iterator[Callable[[], Registry]]:
    """Makes registries of the test's own."""
    made: list[Registry] = []

    def new() -> Registry:
        one = Registry(tmp_path / f"registry{len(made)}")
        made.append(one)
        return one

    yield new
    for one in made:
        one.stop()
