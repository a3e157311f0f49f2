"""What runtimes tell of a container: a real containerd by the CRI and by its own interface, and Docker's answers on a socket."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from fairlead.drivers.containers import inspecting
from fairlead.drivers.containers.inspecting import Cri, Docker, Unanswered, of_docker
from fairlead.orchestrate.runtimes import Mount as Mounted
from fairlead.sense.events import Container, Mount

from .conftest import IMAGE, Live

INSPECTED: dict[str, Any] = {
    "Id": "ab" * 32,
    "Name": "/web",
    "Image": "sha256:1234",
    "State": {"StartedAt": "2026-01-01T00:00:01.5Z"},
    "Config": {
        "Image": "reg.example:5000/shop/web:1.2", "Env": ["A=b"], "Labels": {"app": "web"},
        "Healthcheck": {"Test": ["CMD-SHELL", "curl -f localhost"]},
    },
    "HostConfig": {"Privileged": True, "NetworkMode": "host", "PidMode": "", "IpcMode": "private"},
    "Mounts": [{"Source": "/srv", "Destination": "/data", "Mode": "z", "RW": False, "Propagation": "rprivate"}],
    "NetworkSettings": {"IPAddress": "", "Networks": {"own": {"IPAddress": "172.18.0.2"}}},
}  # fmt: skip


@pytest.mark.root
def test_a_pod_s_container_and_its_sandbox(live: Live, tmp_path: Path) -> None:
    pod = live.pod(labels={"app": "web", "io.kubernetes.pod.name": "x"})
    mount = Mounted(source=str(tmp_path), target="/data", read_only=True)
    made = live.start(pod, "sleep 1000", env=(("COLOUR", "blue"),), mounts=(mount,), privileged=True)

    async def ask(container_id: str) -> Container | None:
        runtime = Cri(live.runtime.places.socket, own_namespaces=True)
        try:
            return await runtime.find(container_id)
        finally:
            await runtime.close()

    found = live.do(ask(made))
    assert found is not None
    assert (found.id, found.name, found.runtime, found.privileged) == (made, "main", "containerd", True)
    assert (found.pod, found.pod_namespace, found.pod_uid) == (pod[1].name, "test", pod[1].uid)
    assert found.pod_id == pod[0]
    assert found.pod_ip.startswith("10.")
    assert found.pod_labels["app"] == "web"
    assert IMAGE.partition(":")[0] in found.repository
    assert found.tag == IMAGE.partition(":")[2]
    assert len(found.image_id) == 64
    assert "COLOUR=blue" in found.env
    assert ("/data", False) in {(one.dest, one.rw) for one in found.mounts}
    assert found.started > 1_700_000_000_000_000_000
    assert not found.host_network
    sandbox = live.do(ask(pod[0]))
    assert sandbox is not None
    assert (sandbox.sandbox, sandbox.pod) == (True, pod[1].name)
    assert live.do(ask("0" * 64)) is None
    plain = live.do(ask(live.start(pod, "sleep 1000", name="plain")))
    assert plain is not None
    assert plain.privileged is False


@pytest.mark.root
def test_containerd_s_own_interface(live: Live) -> None:
    pod = live.pod()
    made = live.start(pod, "sleep 1000")

    async def ask() -> Container | None:
        runtime = Cri(live.runtime.places.socket, own_namespaces=True)
        runtime._speaks_cri = False  # as where the CRI plugin is switched off
        try:
            return await runtime.find(made)
        finally:
            await runtime.close()

    found = live.do(ask())
    assert found is not None
    assert (found.id, found.privileged, found.pod) == (made, False, pod[1].name)
    assert IMAGE.partition(":")[0] in found.repository


def test_a_runtime_that_is_not_there_says_nothing_of_a_container(tmp_path: Path) -> None:
    async def go() -> None:
        for runtime in (Cri(tmp_path / "no.sock"), Docker(tmp_path / "no.sock")):
            with pytest.raises(Unanswered):
                await runtime.find("ab" * 32)
            await runtime.close()

    asyncio.run(go())


def test_docker_s_words() -> None:
    found = of_docker(INSPECTED)
    assert (found.id, found.name, found.image, found.runtime) == (
        "ab" * 32,
        "web",
        "reg.example:5000/shop/web:1.2",
        "docker",
    )
    assert (found.repository, found.tag, found.image_id) == ("reg.example:5000/shop/web", "1.2", "1234")
    assert (found.privileged, found.host_network, found.host_pid) == (True, True, False)
    assert found.mounts == (Mount("/srv", "/data", "z", False, "rprivate"),)
    assert (found.ip, found.env, found.labels) == ("172.18.0.2", ("A=b",), {"app": "web"})
    assert found.probes == (("health", "/bin/sh -c curl -f localhost"),)
    assert found.started == 1_767_225_601_500_000_000
    pod = of_docker({"Id": "x", "Config": {"Labels": {"io.kubernetes.pod.name": "p", "io.kubernetes.pod.namespace": "n",
                                                      "io.kubernetes.container.name": "c"}}})  # fmt: skip
    assert (pod.name, pod.pod, pod.pod_namespace) == ("c", "p", "n")
    assert of_docker({"Id": 7, "Config": [], "Mounts": {}, "State": {"StartedAt": "soon"}}).started == 0


@pytest.mark.parametrize(
    ("name", "repository", "tag"),
    [
        ("nginx", "nginx", ""),
        ("nginx:1", "nginx", "1"),
        ("reg:5000/a/b", "reg:5000/a/b", ""),
        ("reg:5000/a/b:2", "reg:5000/a/b", "2"),
        ("a/b:2@sha256:77", "a/b", "2"),
        ("", "", ""),
    ],
)
def test_an_image_s_parts(name: str, repository: str, tag: str) -> None:
    found = Container(id="x", image=name)
    inspecting._name_image(found, "other@sha256:88")
    assert (found.repository, found.tag) == (repository, tag)
    assert found.digest == ("sha256:77" if "@" in name else "sha256:88")


def test_docker_is_asked_on_its_socket(tmp_path: Path) -> None:
    asked: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readline():
            path = head.split()[1].decode()
            asked.append(path)
            while (await reader.readline()).strip():
                continue
            code, body = "200 OK", json.dumps(INSPECTED)
            if path.startswith("/images/"):
                body = json.dumps({"RepoDigests": ["other@sha256:1", "reg.example:5000/shop/web@sha256:77"]})
            elif INSPECTED["Id"] not in path:
                code, body = ("500 No", "{}") if "broken" in path else ("404 Not Found", "{}")
            writer.write(f"HTTP/1.1 {code}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
            await writer.drain()
        writer.close()

    async def go() -> None:
        socket = tmp_path / "docker.sock"
        server = await asyncio.start_unix_server(answer, str(socket))
        runtime = Docker(socket)
        found = await runtime.find(INSPECTED["Id"])
        assert found is not None
        assert found.digest == "sha256:77"
        assert await runtime.find("0" * 64) is None
        with pytest.raises(Unanswered, match="docker answers 500"):
            await runtime.find("broken")
        await runtime.close()
        server.close()

    asyncio.run(go())
    assert asked[:2] == [f"/containers/{INSPECTED['Id']}/json", "/images/1234/json"]
