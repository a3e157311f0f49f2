"""`fairlead up`, `down`, `status` and `kubeconfig` as a user runs them, and the errors that a user meets."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "fairlead.faces.cli.main"]


def fairlead(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A data directory whose platform is taken down whatever happens."""
    place = tmp_path / "data"
    yield place
    fairlead("down", "--data-dir", str(place))


def up(data: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return fairlead("up", "--data-dir", str(data), "--port", "0", "--no-node", "--detach", *more)


def alive(pid: int) -> bool:
    """Tell whether a process runs a moment from now; one that has ended and that nobody has reaped yet does not."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        ps = subprocess.run(
            ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        if ps.stdout.strip()[:1] in {"", "Z"}:
            return False
        time.sleep(0.05)
    return True


def test_up_is_ready_when_it_says_so_and_down_leaves_nothing(data: Path) -> None:
    started = up(data)
    assert started.returncode == 0, started.stderr
    assert "ready at https://127.0.0.1:" in started.stdout
    state = json.loads(fairlead("status", "--data-dir", str(data), "-o", "json").stdout)
    assert state["running"]
    pids = [process["pid"] for process in state["processes"] if process["pid"]]
    assert len(pids) == 2
    assert all(Path(f"/proc/{pid}").exists() for pid in pids) or sys.platform != "linux"

    stopped = fairlead("down", "--data-dir", str(data))
    assert stopped.returncode == 0, stopped.stderr
    assert "down" in stopped.stdout
    assert not any(alive(pid) for pid in pids)
    assert fairlead("status", "--data-dir", str(data)).returncode == 1


def test_credentials_are_private(data: Path) -> None:
    assert up(data).returncode == 0
    path = Path(fairlead("kubeconfig", "--path", "--data-dir", str(data)).stdout.strip())
    assert path == data / "kubeconfig"
    assert path.stat().st_mode & 0o777 == 0o600
    assert (data / "pki").stat().st_mode & 0o077 == 0
    assert fairlead("kubeconfig", "--data-dir", str(data)).stdout == path.read_text()


def test_a_second_up_keeps_the_port_and_refuses_while_the_first_runs(data: Path) -> None:
    assert up(data).returncode == 0
    again = up(data)
    assert again.returncode == 1
    assert "already up at https://127.0.0.1:" in again.stderr
    port = json.loads((data / "run/control-plane.json").read_text())["port"]
    assert fairlead("down", "--data-dir", str(data)).returncode == 0
    assert fairlead("up", "--data-dir", str(data), "--no-node", "--detach").returncode == 0
    assert json.loads((data / "run/control-plane.json").read_text())["port"] == port


def test_a_control_plane_that_dies_comes_back_where_it_was(data: Path) -> None:
    assert up(data).returncode == 0
    record = data / "run/control-plane.json"
    before = json.loads(record.read_text())
    os.kill(before["pid"], signal.SIGKILL)
    deadline = time.monotonic() + 30
    after = before
    while after["pid"] == before["pid"] and time.monotonic() < deadline:
        time.sleep(0.1)
        after = json.loads(record.read_text())
    assert after["pid"] != before["pid"]
    assert after["port"] == before["port"]


def test_a_port_in_use_is_one_clear_error(data: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = fairlead("up", "--data-dir", str(data), "--port", str(port), "--no-node", "--detach")
    assert result.returncode == 1
    assert f"port {port}" in result.stderr
    assert "Traceback" not in result.stderr
    assert fairlead("status", "--data-dir", str(data)).returncode == 1


def test_a_data_directory_without_permission_is_one_clear_error(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    result: subprocess.CompletedProcess[str]
    if os.geteuid() == 0:  # root may write anywhere, so ask as nobody
        closed.chmod(0o700)
        tmp_path.chmod(0o755)
        code = (
            "import os, sys; from fairlead.faces.cli.main import main, parser; import fairlead.faces.cli.supervisor;"
            "parser().format_help();"  # loads what nobody may not read, where Python is root's own
            "os.setgroups([]); os.setgid(65534); os.setuid(65534); sys.exit(main(sys.argv[1:]))"
        )
        for parent in tmp_path.parents:
            if parent.stat().st_uid == 0 and parent != Path("/tmp"):
                parent.chmod(parent.stat().st_mode | 0o011)
        result = subprocess.run(
            [sys.executable, "-c", code, "up", "--data-dir", str(closed), "--detach"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    else:
        closed.chmod(0o500)
        result = fairlead("up", "--data-dir", str(closed / "data"), "--detach")
    assert result.returncode == 1, result.stderr
    assert "permission" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_file_is_no_data_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = fairlead("up", "--data-dir", str(tmp_path / "file"), "--detach")
    assert result.returncode == 1
    assert "is not a directory" in result.stderr


def test_a_port_that_is_none_is_a_usage_error(tmp_path: Path) -> None:
    result = fairlead("up", "--data-dir", str(tmp_path / "d"), "--port", "70000", "--detach")
    assert result.returncode == 2
    assert "70000 is not a port" in result.stderr


def test_down_and_kubeconfig_without_a_platform(tmp_path: Path) -> None:
    down = fairlead("down", "--data-dir", str(tmp_path))
    assert down.returncode == 0
    assert "not running" in down.stdout
    kubeconfig = fairlead("kubeconfig", "--data-dir", str(tmp_path))
    assert kubeconfig.returncode == 1
    assert "fairlead up" in kubeconfig.stderr


@pytest.mark.parametrize(
    "verb", ["", "up", "down", "status", "kubeconfig", "image", "diagnose", "fix", "version"]
)
def test_help_is_there(verb: str) -> None:
    result = fairlead(*([verb] if verb else []), "--help")
    assert result.returncode == 0
    assert "usage: fairlead" in result.stdout


def test_an_unknown_verb_is_a_usage_error() -> None:
    assert fairlead("dance").returncode == 2
