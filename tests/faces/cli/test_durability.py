"""What was acknowledged survives `kill -9` of everything, and a watch goes on from where it was."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead.drivers.cluster import AsyncCluster, Unreachable

COMMAND = [sys.executable, "-m", "fairlead.faces.cli.main"]
OBJECTS = 2000
KILL_AFTER = 700
WRITERS = 24


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "data"
    yield place
    subprocess.run([*COMMAND, "down", "--data-dir", str(place)], capture_output=True, check=True)


def up(data: Path) -> None:
    command = [*COMMAND, "up", "--data-dir", str(data), "--port", "0", "--no-node", "--detach"]
    subprocess.run(command, capture_output=True, check=True)


def supervisor(data: Path) -> int:
    """The process that leads the platform's process group."""
    pid: int = json.loads((data / "run/supervisor.json").read_text())["pid"]
    return pid


async def create_until_killed(data: Path) -> tuple[dict[str, str], str]:
    """Create config maps from many tasks; kill everything on the way. Return name -> acknowledged version, and the first version."""
    acknowledged: dict[str, str] = {}
    killed = False
    async with AsyncCluster.from_kubeconfig(data / "kubeconfig") as cluster:
        _, before = await cluster.list("v1", "ConfigMap", "default")
        numbers = iter(range(OBJECTS))

        async def write() -> None:
            nonlocal killed
            for number in numbers:
                body = {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {"name": f"c{number}", "namespace": "default"},
                    "data": {"number": str(number), "padding": "x" * 500},
                }
                try:
                    made = await cluster.create(body)
                except Unreachable:
                    return
                acknowledged[made["metadata"]["name"]] = made["metadata"]["resourceVersion"]
                if len(acknowledged) >= KILL_AFTER and not killed:
                    killed = True
                    os.killpg(supervisor(data), signal.SIGKILL)

        await asyncio.gather(*(write() for _ in range(WRITERS)))
    return acknowledged, before


async def look_again(data: Path, since: str, wanted: set[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return what a list gives, and what a watch from the old version gives."""
    watched: dict[str, str] = {}
    async with AsyncCluster.from_kubeconfig(data / "kubeconfig") as cluster:
        items, _ = await cluster.list("v1", "ConfigMap", "default")
        listed = {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in items}
        stream = cluster.watch("v1", "ConfigMap", "default", since=since)
        async with asyncio.timeout(30):
            async for kind, item in stream:
                if kind == "ADDED":
                    watched[item["metadata"]["name"]] = item["metadata"]["resourceVersion"]
                if wanted <= watched.keys():
                    break
        await stream.aclose()
    return listed, watched


def test_acknowledged_writes_survive_kill_9_and_the_watch_goes_on(data: Path) -> None:
    up(data)
    acknowledged, before = asyncio.run(create_until_killed(data))
    assert KILL_AFTER <= len(acknowledged) < OBJECTS, "the kill must come in the middle of the stream"

    up(data)
    listed, watched = asyncio.run(look_again(data, before, set(acknowledged)))
    assert {name: listed.get(name) for name in acknowledged} == acknowledged
    assert {name: watched.get(name) for name in acknowledged} == acknowledged
