from __future__ import annotations

import hashlib
import os
import platform
import signal
import subprocess
from pathlib import Path

import pytest

from fairlead.drivers.containers.pause import program
from fairlead.drivers.images import architecture

# The bytes that were run: amd64 on a machine, arm64 under an emulator that checked each system call.
CHECKED = {
    "amd64": "68eb905714967c1a82f10b8dc3afdd3a9378b0402a17627a9499d7be64ba77ff",
    "arm64": "6bb2ea31f70f1b1e523e310e18e637a7e567e76c587d1aab7ac5ac51353b8784",
}


@pytest.mark.parametrize("name", CHECKED)
def test_the_bytes_are_those_that_were_checked(name: str) -> None:
    assert hashlib.sha256(program(name)).hexdigest() == CHECKED[name]


@pytest.mark.skipif(
    platform.system() != "Linux" or architecture() not in CHECKED, reason="not made for this machine"
)
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_waits_until_it_is_asked_to_end(tmp_path: Path, how: signal.Signals) -> None:
    path = tmp_path / "pause"
    path.write_bytes(program(architecture()))
    path.chmod(0o755)
    process = subprocess.Popen([path])
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.2)
    os.kill(process.pid, signal.SIGCHLD)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.1)
    os.kill(process.pid, how)
    assert process.wait(10) == 0


def test_other_machines_are_refused() -> None:
    with pytest.raises(KeyError):
        program("s390x")
