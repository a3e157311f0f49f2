"""The control-plane process: how it starts, why it does not, how it ends, and what outlives it."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "data"
    (tmp_path / "data").chmod(0o700) if (tmp_path / "data").exists() else None


def _start(*args: str, **more: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fairlead.faces.kube", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, **more)


def _told(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that a failed start ends with."""
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("fairlead: error: ")
    return lines[0]


def test_a_second_start_finds_everything(new_server: Callable[[], Any]) -> None:
    one = new_server()
    one.start()
    port = one.port
    with one.client() as api:
        made = api.post("/api/v1/namespaces/default/configmaps", json={"metadata": {"name": "a"}}).json()
    kubeconfig = (one.data / "kubeconfig").read_text()
    assert one.stop() == 0
    assert not (one.data / "run" / "control-plane.json").exists()
    one.start()
    assert one.port == port
    assert (one.data / "kubeconfig").read_text() == kubeconfig
    with one.client() as api:
        assert api.get("/api/v1/namespaces/default/configmaps/a").json() == made


def test_another_port_changes_the_kubeconfigs(new_server: Callable[[], Any]) -> None:
    one = new_server()
    one.start()
    one.stop()
    with socket.create_server(("127.0.0.1", 0)) as free:
        one.port = free.getsockname()[1]
    one.start()
    for name in ("kubeconfig", "node.kubeconfig"):
        path = one.data / name
        assert yaml.safe_load(path.read_text())["clusters"][0]["cluster"]["server"] == one.url
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_was_acknowledged_outlives_a_kill(new_server: Callable[[], Any]) -> None:
    one = new_server()
    one.start()
    acknowledged: dict[str, str] = {}
    enough = threading.Event()

    def create(writer: int) -> None:
        with one.client() as api:
            for index in range(500):
                name = f"w{writer}-{index}"
                try:
                    answer = api.post(
                        "/api/v1/namespaces/default/configmaps", json={"metadata": {"name": name}}
                    )
                except OSError:
                    return
                except Exception as fault:  # noqa: BLE001  # httpx's errors: the server was killed
                    assert type(fault).__module__.startswith("httpx")  # noqa: PT017
                    return
                acknowledged[name] = answer.json()["metadata"]["resourceVersion"]
                if len(acknowledged) > 300:
                    enough.set()

    threads = [threading.Thread(target=create, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    assert enough.wait(20)
    one.stop(signal.SIGKILL)
    for thread in threads:
        thread.join(20)
    one.start()
    with one.client() as api:
        found = api.get("/api/v1/namespaces/default/configmaps").json()
        versions = {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in found["items"]}
        assert acknowledged.items() <= versions.items()
        oldest = min(map(int, acknowledged.values()))
        params = {"watch": "1", "resourceVersion": str(oldest), "timeoutSeconds": "1"}
        watched = api.get("/api/v1/namespaces/default/configmaps", params=params).text.splitlines()
        names = {json.loads(line)["object"]["metadata"]["name"] for line in watched}
        after = {name for name, version in acknowledged.items() if int(version) > oldest}
        assert after <= names


def test_a_stop_ends_open_watches(new_server: Callable[[], Any]) -> None:
    one = new_server()
    one.start()
    ended = threading.Event()
    with one.client() as api, api.stream("GET", "/api/v1/pods", params={"watch": "1"}) as answer:

        def follow() -> None:
            for _ in answer.iter_lines():
                pass
            ended.set()

        thread = threading.Thread(target=follow)
        thread.start()
        assert one.stop() == 0
        assert ended.wait(10)
        thread.join()


def test_a_port_in_use(place: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = _told(_start("--data-dir", str(place), "--port", str(port)))
    assert f"port {port} on 127.0.0.1 is in use" in told
    assert not place.exists()


def test_a_second_process_on_the_same_data(new_server: Callable[[], Any]) -> None:
    one = new_server()
    one.start()
    before = (one.data / "kubeconfig").read_text()
    told = _told(_start("--data-dir", str(one.data), "--port", "0"))
    assert "store.db" in told
    assert "another process" in told
    assert (one.data / "kubeconfig").read_text() == before
    with one.client() as api:
        assert api.get("/readyz").status_code == 200


AS_NOBODY = (
    "import os, sys; from fairlead.faces.kube.__main__ import main;"
    "os.setgroups([]); os.setgid(65534); os.setuid(65534); sys.exit(main(sys.argv[1:]))"
)
"""Run by root, who may write everywhere: what nobody could not read of the program is loaded first."""


def test_a_directory_without_permission(place: Path) -> None:
    place.mkdir(mode=0o500)
    program = ["-c", AS_NOBODY] if os.geteuid() == 0 else ["-m", "fairlead.faces.kube"]
    command = [sys.executable, *program, "--data-dir", str(place / "in"), "--port", "0"]
    place.parent.chmod(0o755)
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert "no permission" in _told(done)


def test_a_corrupt_store(place: Path) -> None:
    place.mkdir()
    (place / "store.db").write_bytes(b"this is no database" * 100)
    assert "store.db" in _told(_start("--data-dir", str(place), "--port", "0"))
    assert not (place / "kubeconfig").exists()


def test_a_broken_key(new_server: Callable[[], Any]) -> None:
    one = new_server()
    one.start()
    one.stop()
    (one.data / "pki" / "server.key").write_text("nonsense")
    assert "server.key is not a private key" in _told(_start("--data-dir", str(one.data), "--port", "0"))


@pytest.mark.parametrize("port", ["99999", "-1"])
def test_a_port_that_is_none(place: Path, port: str) -> None:
    assert f"{port} is not a port" in _told(_start("--data-dir", str(place), f"--port={port}"))


def test_a_data_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("x")
    assert str(tmp_path / "data") in _told(_start("--data-dir", str(tmp_path / "data"), "--port", "0"))


def test_tls_is_at_least_1_2_and_certificates_name_the_service(new_server: Callable[[], Any]) -> None:
    one = new_server()
    one.start()
    for version, name in (
        (ssl.TLSVersion.TLSv1_2, "localhost"),
        (ssl.TLSVersion.TLSv1_3, "kubernetes.default.svc"),
    ):
        context = one.ca
        context.maximum_version = version
        with (
            socket.create_connection(("127.0.0.1", one.port)) as raw,
            context.wrap_socket(raw, server_hostname=name) as wrapped,
        ):
            assert wrapped.version() in {"TLSv1.2", "TLSv1.3"}


def test_no_token_in_the_log(new_server: Callable[[], Any]) -> None:
    one = new_server()
    one.start()
    with one.client() as api:
        api.get("/api/v1/pods")
        api.get("/nowhere")
        api.post(
            "/api/v1/namespaces/default/configmaps", content="{", headers={"content-type": "application/json"}
        )
    one.stop()
    text = one.log.read_text()
    assert one.token() not in text
    assert "/api/v1/pods" not in text
