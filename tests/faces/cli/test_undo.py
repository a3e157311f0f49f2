"""`fairlead undo` after the worst: a fix whose process was killed, and what the loop did on its own and is not to do again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import ControlPlane, fill_shop

from fairlead.drivers.cluster import AsyncCluster, read_kubeconfig
from fairlead.faces.cli.main import main
from fairlead.reactor import diagnosing_healing, diagnosing_reports, diagnosing_working
from fairlead.reactor import heal as healing
from fairlead.reactor.diagnosing_serving import Options, Platform
from fairlead.reactor.diagnosing_working import Wishes

API = "fairlead.dev/v1alpha1"


@pytest.fixture(scope="module")
def data(control_plane: ControlPlane) -> Path:
    """The data directory of a control plane without a node, where a Service has a pod that says that it runs."""
    asyncio.run(fill_shop(control_plane.data, "web"))
    return control_plane.data


def on(data: Path, step: Callable[[AsyncCluster], Coroutine[Any, Any, Any]]) -> Any:
    async def run() -> Any:
        async with AsyncCluster.from_kubeconfig(data / "kubeconfig") as cluster:
            return await step(cluster)

    return asyncio.run(run())


async def select(cluster: AsyncCluster, app: str) -> None:
    await cluster.patch("v1", "Service", "shop", "web", {"spec": {"selector": {"app": app}}})


async def selected(cluster: AsyncCluster) -> str:
    return str((await cluster.get("v1", "Service", "shop", "web"))["spec"]["selector"]["app"])


def listed(capsys: pytest.CaptureFixture[str], *where: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert main(["undo", "--list", "-o", "json", *where]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["fixes"]
    return found


def test_a_fix_that_was_killed_is_told_and_taken_back_once(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--data-dir", str(data))
    on(data, lambda cluster: select(cluster, "wbe"))
    assert main(["diagnose", *where, "-n", "shop", "-o", "json"]) == 1
    known = json.loads(capsys.readouterr().out)["findings"][0]["id"]
    command = [
        sys.executable,
        "-m",
        "fairlead.faces.cli.main",
        "fix",
        known,
        *where,
        "--apply",
        "--yes",
        "--timeout",
        "60",
    ]
    # It dies while it watches: nothing becomes well, since another object is put wrong meanwhile.
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    deadline = time.monotonic() + 60
    while on(data, selected) != "web":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    assert [one["outcome"] for one in listed(capsys, *where)] == ["begun"]
    assert main(["undo", known, "--yes", *where]) == 0
    assert on(data, selected) == "wbe"
    assert [one["outcome"] for one in listed(capsys, *where)] == ["undone"]
    assert main(["undo", known, "--yes", *where]) == 2
    assert "undone already" in capsys.readouterr().err


def test_records_of_another_cluster_are_not_offered(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    elsewhere = tmp_path / "kubeconfig"
    elsewhere.write_text((data / "kubeconfig").read_text())
    where = ("--kubeconfig", str(elsewhere))
    on(data, lambda cluster: select(cluster, "wbe"))
    assert main(["fix", "--all", "-n", "shop", "--apply", "--yes", *where]) == 0
    (path,) = (tmp_path / "state" / "fairlead" / "fixes").glob("*.json")
    assert [one["name"] for one in listed(capsys, *where)] == [path.stem]
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "cluster": {**content["cluster"], "uid": "another"}}))
    assert listed(capsys, *where) == []
    assert main(["undo", "--yes", *where]) == 2
    assert on(data, selected) == "web"


def test_nothing_is_changed_where_records_cannot_be_written(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "state").write_text("a file, where a folder is wanted")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    elsewhere = tmp_path / "kubeconfig"
    elsewhere.write_text((data / "kubeconfig").read_text())
    on(data, lambda cluster: select(cluster, "wbe"))
    assert main(["fix", "--all", "-n", "shop", "--apply", "--yes", "--kubeconfig", str(elsewhere)]) == 2
    assert "cannot be written down, so nothing was changed" in capsys.readouterr().err
    assert on(data, selected) == "wbe"


def test_what_the_loop_did_is_undone_and_not_done_again(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a Deployment it has no folder: what takes a healing back stands in the Finding alone."""
    for module, values in (
        (diagnosing_reports, {"APPEAR": 0.1, "VANISH": 0.3, "CONTEST": 0.1}),
        (diagnosing_working, {"QUIET": 0.03, "TICK": 0.5}),
        (diagnosing_healing, {"STANDS": timedelta(0), "LOOK": 0.1, "AGAIN": 0.5}),
        (healing, {"EVERY": 0.05, "BAD_SECONDS": 0.4}),
    ):
        for name, value in values.items():
            monkeypatch.setattr(module, name, value)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    elsewhere = tmp_path / "kubeconfig"
    elsewhere.write_text((data / "kubeconfig").read_text())
    where = ("--kubeconfig", str(elsewhere))
    policy = {
        "apiVersion": API, "kind": "HealPolicy", "metadata": {"name": "auto"},
        "spec": {"mode": "auto", "rules": ["service.*"], "namespaces": ["shop"], "patience": "10s", "maxPerHour": 50},
    }  # fmt: skip

    async def healed(cluster: AsyncCluster, outcome: str, title: str = "") -> dict[str, Any]:
        async with asyncio.timeout(25):
            while True:
                for one in (await cluster.list(API, "Finding", "shop"))[0]:
                    told = one["status"].get("healing") or {}
                    if told.get("outcome") == outcome and title in told.get("title", ""):
                        return {**told, "state": one["status"]["state"], "id": one["metadata"]["name"]}
                await asyncio.sleep(0.05)

    async def act(cluster: AsyncCluster) -> None:
        await select(cluster, "wbe")
        platform, stop = (
            Platform(Options(access=read_kubeconfig(data / "platform.kubeconfig"), wishes=Wishes())),
            asyncio.Event(),
        )
        running = asyncio.create_task(platform.run(stop))
        try:
            await cluster.create(policy)
            told = await healed(cluster, "healthy")
            assert await selected(cluster) == "web"
            assert "record" not in told
            (one,) = await asyncio.to_thread(listed, capsys, *where)
            assert (one["outcome"], one["by"], one["finding"]) == ("healthy", "loop", told["id"])
            assert await asyncio.to_thread(main, ["undo", told["id"], "--yes", *where]) == 0
            assert await selected(cluster) == "wbe"
            again = await healed(cluster, "undone")
            for _ in range(40):
                await asyncio.sleep(0.05)
                assert await selected(cluster) == "wbe", "nobody wants it"
            again = await healed(cluster, "undone")
            assert (again["started"], again["phase"]) == (told["started"], "done")
            (one,) = await asyncio.to_thread(listed, capsys, *where)
            assert one["outcome"] == "undone"
            assert await asyncio.to_thread(main, ["undo", told["id"], "--yes", *where]) == 2
            await select(cluster, "other")
            await healed(cluster, "healthy")
            assert await selected(cluster) == "web", "it has changed, so it is healed once more"
        finally:
            await cluster.delete(API, "HealPolicy", "", "auto")
            await asyncio.sleep(0.5)
            stop.set()
            await running

    on(data, act)
