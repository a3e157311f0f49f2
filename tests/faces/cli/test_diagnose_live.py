"""`fairlead diagnose`, `snapshot` and `diagnose ignore` on a real control plane."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import ControlPlane

from fairlead.drivers.cluster import AsyncCluster
from fairlead.faces.cli import watching
from fairlead.faces.cli.main import main, parser
from fairlead.keep.errors import Refusal
from fairlead.reactor.diagnosing_kinds import definitions
from fairlead.words import Resource

PASSWORD = "c0rrect-Horse7"
OBJECTS: list[Resource] = [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}},
    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": "shop"}, "stringData": {"password": PASSWORD}},
    {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "containers": [
                        {
                            "name": "web",
                            "image": "web:1",
                            "ports": [{"name": "http", "containerPort": 8080}],
                            "env": [{"name": "DB", "value": f"redis://:{PASSWORD}@db:1"}],
                        }
                    ]
                },
            },
        },
    },
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"selector": {"app": "wbe"}, "ports": [{"port": 80, "targetPort": "http"}]},
    },
]  # fmt: skip


@pytest.fixture(scope="module")
def data(control_plane: ControlPlane) -> Path:
    """The data directory of a control plane without a node, with one mistake in it."""
    asyncio.run(_fill(control_plane.data))
    return control_plane.data


async def _fill(data: Path) -> None:
    async with AsyncCluster.from_kubeconfig(data / "kubeconfig") as cluster:
        for one in OBJECTS:
            await cluster.create(one)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


def run(verb: str, data: Path, *words: str) -> int:
    return main([*verb.split(), "--data-dir", str(data), *words])


def found(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    """The findings in what was printed as JSON, by rule."""
    return {one["rule"]: one for one in json.loads(capsys.readouterr().out)["findings"]}


def test_a_snapshot_gives_the_findings_of_the_cluster(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("diagnose", data, "-o", "json") == 1
    live = found(capsys)
    assert live["service.selector"]["subject"]["name"] == "web"
    for name in ("s.json", "s.json.gz"):
        assert run("snapshot", data, "-o", name) == 0
        assert PASSWORD not in Path(name).read_bytes().decode(errors="replace")
        capsys.readouterr()
        assert main(["diagnose", "--snapshot", name, "-o", "json"]) == 1
        assert found(capsys) == live
    assert run("snapshot", data, "-n", "shop", "--no-logs") == 0
    document = json.loads(capsys.readouterr().out)
    assert {one["metadata"].get("namespace", "shop") for one in document["objects"]} == {"shop"}
    assert document["answers"] == []


def test_snapshots_that_are_none(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("s.json").write_text("{}")
    assert main(["diagnose", "--snapshot", "s.json"]) == 2
    assert "s.json is no snapshot" in capsys.readouterr().err
    assert run("snapshot", data, "-o", "no/such/folder/s.json") == 2
    assert "cannot write no/such/folder/s.json" in capsys.readouterr().err


SELECTOR = {**OBJECTS[3], "spec": {**OBJECTS[3]["spec"], "selector": {"app": "web"}}}


def test_files_over_the_cluster(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("right.json").write_text(json.dumps(SELECTOR))
    assert run("diagnose", data, "-f", "right.json") == 0
    said = capsys.readouterr().out
    assert "would be gone: Service shop/web" in said
    wrong = {**OBJECTS[3], "metadata": {"name": "new", "namespace": "shop"}}
    Path("wrong.json").write_text(json.dumps(wrong))
    assert run("diagnose", data, "-f", "wrong.json") == 1
    said = capsys.readouterr().out
    assert "Service shop/new  selects app=wbe" in said
    assert "wrong.json:1" in said
    assert "1 cause is there already" in said


def test_ignored_in_a_file_where_the_cluster_keeps_none(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        run("diagnose ignore", data, "--rule", "service.selector", "--reason", "x", "--ignore-file", "i.yaml")
        == 0
    )
    assert run("diagnose", data, "--ignore-file", "i.yaml") == 0
    assert "✔ nothing else is wrong" in capsys.readouterr().out
    assert run("diagnose", data) == 1


async def _define(data: Path) -> None:
    async with AsyncCluster.from_kubeconfig(data / "kubeconfig") as cluster:
        for one in definitions():
            with contextlib.suppress(Refusal):  # the control plane may have brought it
                await cluster.create(one)
        deadline = time.monotonic() + 20
        while True:
            try:
                await cluster.list("fairlead.dev/v1alpha1", "Suppression")
                return
            except Refusal:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)


async def _create(data: Path, one: Resource) -> None:
    async with AsyncCluster.from_kubeconfig(data / "kubeconfig") as cluster:
        await cluster.create(one)


def test_ignored_in_the_cluster_and_history(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(_define(data))
    assert run("diagnose", data, "-o", "json") == 1
    one = found(capsys)["service.selector"]
    kept = {
        "apiVersion": "fairlead.dev/v1alpha1",
        "kind": "Finding",
        "metadata": {"name": one["id"], "namespace": "shop"},
        "finding": {key: one[key] for key in ("id", "rule", "severity", "subject", "message")},
        "status": {
            "state": "active",
            "firstSeen": "2026-01-01T00:00:00Z",
            "lastSeen": "2026-01-01T01:00:00Z",
            "times": 3,
        },
    }
    asyncio.run(_create(data, kept))
    assert run("diagnose", data) == 1
    assert "3 times in" in capsys.readouterr().out

    assert run("diagnose ignore", data, one["id"][:5], "--reason", "known", "--until", "2999-01-01") == 0
    assert f"kept as Suppression {one['id']}" in capsys.readouterr().out
    assert not Path("fairlead-ignore.yaml").exists()
    assert run("diagnose", data) == 0
    assert "1 ignored)" in capsys.readouterr().out
    assert run("diagnose ignore", data, "--list", "-o", "json") == 0
    assert json.loads(capsys.readouterr().out)["items"][0]["spec"]["reason"] == "known"
    assert run("diagnose ignore", data, "--remove", one["id"]) == 0
    assert run("diagnose", data) == 1


async def _mend(data: Path, spec: dict[str, Any]) -> None:
    async with AsyncCluster.from_kubeconfig(data / "kubeconfig") as cluster:
        await cluster.patch("v1", "Service", "shop", "web", {"spec": spec})


@pytest.mark.parametrize("output", ["text", "json"])
def test_watching_tells_what_goes_and_comes(
    data: Path, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    args = parser().parse_args(["diagnose", "--watch", "--data-dir", str(data), "-o", output])
    heard: list[str] = []
    steps = [("Service", {"selector": {"app": "web"}}), ("went", {"selector": {"app": "wbe"}})]
    if output == "text":
        steps[1] = ("gone after", steps[1][1])
    waiting: list[asyncio.Task[None]] = []
    deadline = time.monotonic() + 60

    def until() -> bool:
        heard.append(capsys.readouterr().out)
        if steps and steps[0][0] in heard[-1]:
            waiting.append(asyncio.ensure_future(_mend(data, steps.pop(0)[1])))
            return False
        assert time.monotonic() < deadline, heard
        return not steps and "selects app=wbe" in heard[-1]

    assert asyncio.run(watching.watch(args, until=until)) == 1
    said = "".join(heard)
    if output == "json":
        told = [json.loads(line) for line in said.splitlines()]
        kinds = [one["type"] for one in told if one["finding"]["rule"] == "service.selector"]
        assert kinds == ["came", "went", "came"]


def test_a_deadline_ends_it(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("diagnose", data, "--timeout", "0.0001") == 2
    assert "has not told everything within 0.0001 s" in capsys.readouterr().err
