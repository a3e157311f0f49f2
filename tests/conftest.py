"""What every test may ask for: the corpus of real inputs, a kubectl, and skipping with a reason where the machine lacks something."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MINIMUM_KUBECTL = 30


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
