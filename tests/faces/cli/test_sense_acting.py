"""`fairlead sense` with policies that act: what was refused and killed is told in those words, and so is a container that ended badly.

The policies mean programs of this test alone, by their paths.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from stage import Room, actor

from fairlead.drivers import kernel
from fairlead.faces.cli.main import main

pytestmark = pytest.mark.kernel

COMMAND = [sys.executable, "-m", "fairlead.faces.cli.main", "sense"]
POLICY = """
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {{name: guard}}
spec:
  kprobes:
    - call: security_file_open
      syscall: false
      args: [{{index: 0, type: file}}]
      selectors:
        - matchArgs: [{{index: 0, operator: Equal, values: ["{0}/secret"]}}]
          matchBinaries: [{{operator: In, values: ["{0}/tool"]}}]
          matchActions: [{{action: Override, argError: -1}}]
    - call: tcp_connect
      syscall: false
      args: [{{index: 0, type: sock}}]
      selectors:
        - matchArgs: [{{index: 0, operator: DPort, values: ["9"]}}]
          matchBinaries: [{{operator: In, values: ["{0}/tool"]}}]
          matchActions: [{{action: Override, argError: -1}}]
    - call: sys_execve
      syscall: true
      args: [{{index: 0, type: string}}]
      selectors:
        - matchArgs: [{{index: 0, operator: Equal, values: ["{0}/victim"]}}]
          matchBinaries: [{{operator: In, values: ["{0}/tool"]}}]
          matchActions: [{{action: Sigkill}}]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a sensor recorded what a program tried and was not let."""
    path = tmp_path_factory.mktemp("acted")
    (path / "policy.yaml").write_text(POLICY.format(path))
    (path / "secret").write_text("x")
    for name in ("tool", "victim"):
        shutil.copy(actor(), path / name)
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    words = ["--policies", str(path / "policy.yaml"), "--metrics", str(port), "-o", "json", "--record", str(path / "run.fls")]  # fmt: skip
    with (path / "out").open("w") as out, (path / "errors").open("w") as errors:
        process = subprocess.Popen([*COMMAND, *words], stdout=out, stderr=errors, env={**os.environ, "FAIRLEAD_DATA_DIR": "/nowhere"})  # fmt: skip
        try:
            end = time.monotonic() + 60
            while True:
                with suppress(httpx.HTTPError):
                    httpx.get(f"http://127.0.0.1:{port}/healthz")
                    break
                assert process.poll() is None, (path / "errors").read_text()
                assert time.monotonic() < end
                time.sleep(0.05)
            act(path)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.wait()
    return path


def act(path: Path) -> None:
    """Try all that the policies are about, and end a container with an error."""
    script = f"open\t{path}/secret\tr\nconnect\t127.0.0.1\t9\nexec\t{path}/victim\tvictim"
    tried = subprocess.run([path / "tool"], env={"ACT": script}, capture_output=True, timeout=20, check=False)
    assert tried.stderr.count(b"Operation not permitted") == 2, tried.stderr
    assert tried.returncode == -signal.SIGKILL
    (path / "room").mkdir()
    room = Room(path / "room", Path(kernel.hierarchy().mount))
    try:
        room.run("/bin/actor", act=[("open", "/etc/app.conf", "r"), ("exit", "3")])
        end = time.monotonic() + 20
        while '"died"' not in (path / "out").read_text():
            assert time.monotonic() < end
            time.sleep(0.1)
    finally:
        room.close()


def told(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "out").read_text().splitlines()]


def test_what_was_refused_is_told_as_prevented(place: Path) -> None:
    found = {one["what"]: one for one in told(place) if one["kind"] == "prevented"}
    assert set(found) == {"open", "connect"}
    assert found["open"]["about"] == f"{place}/secret"
    assert found["connect"]["about"] == "127.0.0.1:9"
    for one in found.values():
        assert one["action"] == "prevented"
        assert one["process"]["exe"] == f"{place}/tool"
        assert one["rule"]["name"].startswith("tracingpolicy/guard")


def test_who_was_killed_is_told_so(place: Path) -> None:
    killed = [one for one in told(place) if one.get("action") == "killed"]
    assert killed
    assert {one["rule"]["name"] for one in killed} == {"guard: sys_execve"}


def test_a_container_that_ended_badly_is_told_with_what_failed_last(place: Path) -> None:
    (died,) = [one for one in told(place) if one["kind"] == "died" and one["death"]["exitCode"] == 3]
    assert len(died["container"]["id"]) == 64
    assert [(one["call"], one["path"], one["error"]) for one in died["death"]["calls"] if "app" in one.get("path", "")] == [
        ("open", "/etc/app.conf", "ENOENT")
    ]  # fmt: skip


def test_a_recording_tells_what_cgroup_hooks_refused(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = [
        "sense",
        "--policies",
        str(place / "policy.yaml"),
        "--replay",
        str(place / "run.fls"),
        "--color",
        "never",
    ]
    assert main(words) == 1
    out, _ = capfd.readouterr()
    lines = [line.partition("  ")[2] for line in out.splitlines()]
    at = next(index for index, line in enumerate(lines) if "tcp_connect  prevented" in line)
    assert out.splitlines()[at + 1] == "    connecting to 127.0.0.1:9"
    assert main([*words, "--rule", "nothing"]) == 0
    assert main([*words, "--binary", "/nowhere"]) == 0
    assert capfd.readouterr().out == ""
