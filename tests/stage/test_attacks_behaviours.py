"""Behaviours reached in other ways: programs copied within the kernel, connections that nobody answers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from stage import Room
from stage.watching import Watch, around

from fairlead.drivers import kernel
from fairlead.sense import behaviours

pytestmark = [pytest.mark.kernel, pytest.mark.root]

API = {"KUBERNETES_SERVICE_HOST": "127.0.0.9"}


@pytest.fixture(scope="module")
def watch() -> Iterator[Watch]:
    about, containers = around()
    found = Watch(behaviours.rules(), about, containers)
    yield found
    found.close()


@pytest.fixture
def room(watch: Watch, tmp_path: Path) -> Iterator[Room]:
    found = Room(tmp_path, Path(kernel.hierarchy().mount))
    watch.settle()
    watch.detections.clear()
    watch.here(found)
    yield found
    watch.containers.pop(found.cgroup_id, None)
    found.close()


def test_a_service_that_does_not_answer(watch: Watch, room: Room) -> None:
    room.run("/bin/actor", act=[("connect", "127.0.0.9", 443), ("connect", "/run/docker.sock", 0)], env=API)
    assert {"k8s_api_connection", "docker_abuse"} <= {one.rule.name for one in watch.seen(room)}


def test_another_service_that_does_not_answer(watch: Watch, room: Room) -> None:
    room.run("/bin/actor", act=[("connect", "127.0.0.8", 443), ("connect", "/run/other.sock", 0)], env=API)
    assert not {"k8s_api_connection", "docker_abuse", "stdio_over_socket"} & {
        one.rule.name for one in watch.seen(room)
    }


@pytest.mark.parametrize(
    ("name", "mode", "seen"), [(".tool", 0o755, True), ("tool", 0o755, False), (".text", 0o644, False)]
)
def test_a_program_is_copied(name: str, mode: int, seen: bool, watch: Watch, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(Path(sys.executable).read_bytes()[:4096])
    source.chmod(mode)
    watch.settle()
    watch.detections.clear()
    copy = "import os, sys; os.copy_file_range(os.open(sys.argv[1], 0), os.open(sys.argv[2], 65), 4096)"
    target = str(tmp_path / name)
    subprocess.run([sys.executable, "-I", "-S", "-c", copy, str(source), target], check=True, timeout=20)
    watch.settle()
    found = {one.rule.name for one in watch.detections if one.event.texts[1] == target}
    assert ("hidden_file_created" in found) is seen
