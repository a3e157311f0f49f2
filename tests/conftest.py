"""What every test may ask for: the corpus of real inputs, a kubectl, and skipping with a reason where the machine lacks something."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

from fairlead.drivers.cluster import Access, AsyncCluster, read_kubeconfig
from fairlead.keep.errors import Refusal

ROOT = Path(__file__).resolve().parent.parent
MINIMUM_KUBECTL = 30

settings.register_profile("untimed", settings.default, deadline=None)  # who else is busy must not fail a test
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of real inputs: $FAIRLEAD_CORPUS, or shared/corpus beside the checkout."""
    place = Path(os.environ.get("FAIRLEAD_CORPUS") or ROOT.parent / "shared" / "corpus")
    if not place.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"the corpus must be there in CI: {place}")
        pytest.skip(f"no corpus at {place}")
    return place


def find_kubectl() -> str | None:
    """Return a kubectl new enough for the tests: $FAIRLEAD_KUBECTL, the virtual environment's, or PATH's."""
    named = [os.environ.get("FAIRLEAD_KUBECTL"), str(ROOT / ".venv/bin/kubectl"), shutil.which("kubectl")]
    for path in named:
        if not path or not os.access(path, os.X_OK):
            continue
        said = subprocess.run(
            [path, "version", "--client"], capture_output=True, text=True, check=False
        ).stdout
        found = re.search(r"v1\.(\d+)", said)
        if found and int(found[1]) >= MINIMUM_KUBECTL:
            return path
    return None


@pytest.fixture(scope="session")
def kubectl_program() -> str:
    """The path of a kubectl of 1.30 or newer."""
    path = find_kubectl()
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have a kubectl; tools/setup.sh kubectl builds one")
        pytest.skip("no kubectl of 1.30 or newer; `sh tools/setup.sh kubectl` builds one")
    return path


@pytest.fixture(scope="session")
def kubectl(kubectl_program: str) -> str:
    """The same, where no fixture nearby wraps it."""
    return kubectl_program


@dataclass
class ControlPlane:
    """A control plane in a process of its own, without a node. `words` are further words of its command line."""

    data: Path
    words: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    port: int = 0

    def start(self) -> None:
        """Start it, on the port that it had, and wait until it listens."""
        log, record = self.data / "log", self.data / "run" / "control-plane.json"
        record.unlink(missing_ok=True)
        command = [sys.executable, "-m", "fairlead.faces.kube", "--data-dir", str(self.data), *self.words]
        with log.open("ab") as file:
            self.process = subprocess.Popen([*command, "--port", str(self.port)], stdout=file, stderr=file)
        deadline = time.monotonic() + 60
        while not record.exists():
            assert self.process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        self.port = json.loads(record.read_text())["port"]

    def stop(self) -> None:
        """End it; what it keeps stays."""
        assert self.process is not None
        self.process.terminate()
        self.process.wait(20)

    @property
    def access(self) -> Access:
        """The administrator's."""
        return read_kubeconfig(self.data / "kubeconfig")


async def fill_shop(data: Path, selects: str) -> None:
    """Put a namespace with one pod labelled app=web that says that it runs, and a Service that selects an app, into a control plane."""
    async with AsyncCluster.from_kubeconfig(data / "kubeconfig") as cluster:
        await cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
        meta = {"name": "web", "namespace": "shop"}
        spec = {"containers": [{"name": "web", "image": "web:1"}], "nodeName": "one"}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**meta, "labels": {"app": "web"}},
            "spec": spec,
        }
        for _ in range(250):
            try:
                await cluster.create(pod)
                break
            except Refusal:  # the namespace's service account is on its way
                await asyncio.sleep(0.02)
        status = {
            "phase": "Running", "podIP": "10.0.0.9", "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "web", "image": "web:1", "imageID": "x", "ready": True, "restartCount": 0, "state": {"running": {}}}],
        }  # fmt: skip
        await cluster.patch("v1", "Pod", "shop", "web", {"status": status}, subresource="status")
        service = {"selector": {"app": selects}, "ports": [{"port": 80}]}
        await cluster.create({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": service})


@pytest.fixture(scope="module")
def control_plane_words() -> tuple[str, ...]:
    """Further words of the module's control plane, for modules to say."""
    return ()


@pytest.fixture(scope="module")
def control_plane(
    tmp_path_factory: pytest.TempPathFactory, control_plane_words: tuple[str, ...]
) -> Iterator[ControlPlane]:
    """A control plane of the module's own."""
    one = ControlPlane(tmp_path_factory.mktemp("kube"), control_plane_words)
    one.start()
    try:
        yield one
    finally:
        one.stop()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs root or containerd, with the reason; CI has both, so there nothing is skipped."""
    missing = ""
    if os.geteuid() != 0:
        missing = "needs root"
    elif shutil.which("containerd") is None or shutil.which("runc") is None:
        missing = "needs containerd and runc"
    if missing and not os.environ.get("CI"):
        for item in items:
            if item.get_closest_marker("root"):
                item.add_marker(pytest.mark.skip(reason=missing))
    kernel = [item for item in items if item.get_closest_marker("kernel")]
    refused = why_no_kernel() if kernel else ""
    if refused and (os.geteuid() != 0 or not os.environ.get("CI")):
        for item in kernel:
            item.add_marker(pytest.mark.skip(reason=refused))


def why_no_kernel() -> str:
    """Return why programs cannot be loaded into the kernel here, "" when they can. Root in CI must be able to."""
    if sys.platform != "linux":
        return "needs Linux"
    if os.geteuid() != 0:
        return "needs root"
    from fairlead.drivers.kernel.probing import ready

    return ready()
