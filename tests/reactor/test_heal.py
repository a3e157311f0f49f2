"""A fix on a real control plane: carried out, watched, taken back when it harms, and never half-done."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import ControlPlane

from fairlead.diagnose.proposing import Edit, anew, applied, patch
from fairlead.drivers.cluster import AsyncCluster
from fairlead.faces.cli.main import main
from fairlead.keep.errors import Refusal
from fairlead.reactor import heal as healing
from fairlead.reactor.examine import examine_cluster
from fairlead.reactor.heal import Healing, heal
from fairlead.reactor.undoing import inverse, undo
from fairlead.words import Change, Finding, Fix, Ref, Resource

POD = {"containers": [{"name": "web", "image": "web:1", "ports": [{"containerPort": 80}]}]}


@pytest.fixture(scope="module")
def data(control_plane: ControlPlane) -> Path:
    """The data directory of a control plane without a node, where two Services work and the pods say that they run."""
    asyncio.run(_fill(control_plane.data))
    return control_plane.data


async def _fill(data: Path) -> None:
    async with AsyncCluster.from_kubeconfig(data / "kubeconfig") as cluster:
        await cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
        for name in ("web", "api"):
            meta = {"name": name, "namespace": "shop"}
            pod = {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {**meta, "labels": {"app": name}},
                "spec": {**POD, "nodeName": "one"},
            }
            await _create(cluster, pod)
            status = {
                "phase": "Running",
                "podIP": "10.0.0.9",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [
                    {"name": "web", "image": "web:1", "imageID": "x", "ready": True, "restartCount": 0, "state": {"running": {}}}
                ],
            }  # fmt: skip
            await cluster.patch("v1", "Pod", "shop", name, {"status": status}, subresource="status")
            await _create(
                cluster,
                {
                    "apiVersion": "v1",
                    "kind": "Service",
                    "metadata": meta,
                    "spec": {"selector": {"app": name}, "ports": [{"port": 80}]},
                },
            )


async def _create(cluster: AsyncCluster, body: Resource) -> None:
    for _ in range(100):  # the namespace's service account comes a moment after it
        try:
            await cluster.create(body)
        except Refusal as refusal:
            if "serviceaccount" not in refusal.message:
                raise
            await asyncio.sleep(0.05)
        else:
            return
    pytest.fail("no service account")


def now() -> datetime:
    return datetime.now(UTC)


def with_cluster(data: Path, step: Callable[[AsyncCluster], Coroutine[Any, Any, Any]]) -> Any:
    async def run() -> Any:
        async with AsyncCluster.from_kubeconfig(data / "kubeconfig") as cluster:
            return await step(cluster)

    return asyncio.run(run())


async def select(cluster: AsyncCluster, service: str, app: str) -> None:
    await cluster.patch("v1", "Service", "shop", service, {"spec": {"selector": {"app": app}}})


async def selected(cluster: AsyncCluster, service: str) -> str:
    return str((await cluster.get("v1", "Service", "shop", service))["spec"]["selector"]["app"])


async def broken(cluster: AsyncCluster) -> tuple[Finding, list[Finding]]:
    """Break the Service web, and return what is found."""
    await select(cluster, "web", "wbe")
    examined = await examine_cluster(cluster, now, "shop")
    (finding,) = [one for one in examined.findings if one.rule == "service.selector"]
    return finding, examined.findings


def test_a_fix_is_carried_out_and_all_is_well(data: Path) -> None:
    async def step(cluster: AsyncCluster) -> tuple[Healing, str]:
        finding, before = await broken(cluster)
        healed = await heal(
            cluster, finding, finding.fixes[0], before=before, now=now, patience=20, namespace="shop"
        )
        return healed, await selected(cluster, "web")

    healed, app = with_cluster(data, step)
    assert healed.outcome == "healthy", healed.steps
    assert app == "web"
    assert healed.undo[0].body[-1] == {"op": "replace", "path": "/spec/selector/app", "value": "wbe"}


def test_a_fix_that_harms_is_taken_back(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(healing, "BAD_SECONDS", 0.5)
    monkeypatch.setattr(healing, "EVERY", 0.1)

    async def step(cluster: AsyncCluster) -> tuple[Healing, str, str]:
        finding, before = await broken(cluster)
        api = await cluster.get("v1", "Service", "shop", "api")
        harm = patch(api, [Edit(("spec", "selector", "app"), "nobody")], "harm")
        fix = replace(finding.fixes[0], changes=(*finding.fixes[0].changes, harm))
        healed = await heal(cluster, finding, fix, before=before, now=now, patience=20, namespace="shop")
        return healed, await selected(cluster, "web"), await selected(cluster, "api")

    healed, web, api = with_cluster(data, step)
    assert healed.outcome == "rolled back", healed.steps
    assert (web, api) == ("wbe", "api"), "as before"
    assert healed.steps[-1].ok


def test_what_else_was_wrong_before_is_not_waited_for(data: Path) -> None:
    async def step(cluster: AsyncCluster) -> list[str]:
        pod = {**POD, "containers": [{**POD["containers"][0], "env": [
            {"name": one, "valueFrom": {"configMapKeyRef": {"name": "opts", "key": one}}} for one in ("COLOR", "SHAPE")]}]}  # fmt: skip
        meta = {"name": "twice", "namespace": "shop"}
        labels = {"app": "twice"}
        deployment = {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta,
            "spec": {"replicas": 1, "selector": {"matchLabels": labels},
                     "template": {"metadata": {"labels": labels}, "spec": pod}},
        }  # fmt: skip
        keys = {"COLORS": "red", "SHAPES": "round"}
        opts = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**meta, "name": "opts"}, "data": keys}
        await cluster.create(opts)
        await cluster.create(deployment)
        examined = await examine_cluster(cluster, now, "shop")
        while not any(one.rule == "schedule.nodes" for one in examined.findings):
            await asyncio.sleep(0.05)
            examined = await examine_cluster(cluster, now, "shop")
        mine = [one for one in examined.findings if one.rule == "config.key"]
        outcomes: list[str] = []
        for finding in mine:
            healed = await heal(
                cluster, finding, finding.fixes[0], before=examined.findings, now=now, patience=3, namespace="shop"
            )  # fmt: skip
            outcomes.append(healed.outcome)
        await cluster.delete("apps/v1", "Deployment", "shop", "twice", propagation="Background")
        return outcomes

    assert with_cluster(data, step) == ["healthy", "healthy"], "there is no node, and there was none before"


def test_a_fix_for_what_has_changed_meanwhile_is_refused(data: Path) -> None:
    async def step(cluster: AsyncCluster) -> tuple[Healing, str]:
        finding, before = await broken(cluster)
        await select(cluster, "web", "other")
        healed = await heal(
            cluster, finding, finding.fixes[0], before=before, now=now, patience=5, namespace="shop"
        )
        return healed, await selected(cluster, "web")

    healed, app = with_cluster(data, step)
    assert (healed.outcome, app) == ("refused", "other")
    assert not healed.steps[0].ok


def test_what_half_succeeds_is_taken_back(data: Path) -> None:
    async def step(cluster: AsyncCluster) -> tuple[Healing, str]:
        finding, before = await broken(cluster)
        taken = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fresh", "namespace": "shop"}}
        change = Change(verb="create", ref=Ref.of(taken), api_version="v1", body=taken)
        fix = replace(finding.fixes[0], changes=(*finding.fixes[0].changes, change, change))
        healed = await heal(cluster, finding, fix, before=before, now=now, patience=5, namespace="shop")
        return healed, await selected(cluster, "web")

    healed, app = with_cluster(data, step)
    assert healed.outcome == "rolled back"
    assert app == "wbe"


def test_a_job_is_rehearsed_under_another_name_and_made_anew(data: Path) -> None:
    async def step(cluster: AsyncCluster) -> list[Any]:
        job = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "once", "namespace": "shop"},
            "spec": {
                "template": {"spec": {**POD, "restartPolicy": "Never", "nodeSelector": {"disk": "sdd"}}}
            },
        }
        await cluster.create(job)
        old = await cluster.get("batch/v1", "Job", "shop", "once")
        path = ("spec", "template", "spec", "nodeSelector", "disk")
        fix = Fix(title="x", changes=anew(old, [Edit(path, "ssd")], "x"))
        finding, before = await broken(cluster)
        healed = await heal(cluster, finding, fix, before=before, now=now, patience=1, namespace="shop")
        new = await cluster.get("batch/v1", "Job", "shop", "once")
        names = [one["metadata"]["name"] for one in (await cluster.list("batch/v1", "Job", "shop"))[0]]
        await cluster.delete("batch/v1", "Job", "shop", "once", propagation="Background")
        return [
            healed,
            old["metadata"]["uid"] != new["metadata"]["uid"],
            new["spec"]["template"]["spec"],
            names,
        ]

    healed, made_anew, spec, names = with_cluster(data, step)
    assert made_anew
    assert names == ["once"]
    assert spec["nodeSelector"] == {"disk": "ssd"}
    assert [one.verb for one in healed.undo] == ["delete", "create"]
    assert healed.outcome == "unhealthy", "what the finding is about was not touched"


def test_the_command_line_from_finding_to_health(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    with_cluster(data, broken)
    where = ["--data-dir", str(data)]
    assert main(["diagnose", *where, "-n", "shop", "-o", "json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)["findings"]
    assert main(["fix", found["id"][:5], *where]) == 0
    said = capsys.readouterr().out
    for part in ("-    app: wbe", "+    app: web", "✔ the API server takes the change", "✔ the cause is gone", "✔ nothing new is wrong",
                 "what a copy cannot show", "proven."):  # fmt: skip
        assert part in said
    assert with_cluster(data, lambda cluster: selected(cluster, "web")) == "wbe", "nothing was changed"
    assert main(["fix", found["id"], *where, "--apply", "--yes", "-o", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["title"], report["trial"]["proven"], report["applied"]["outcome"]) == (
        "select app=web",
        True,
        "healthy",
    )
    record = Path(report["applied"]["record"])
    assert json.loads(record.read_text())["applied"]["undo"]
    assert record.stat().st_mode & 0o777 == 0o600
    assert main(["diagnose", *where, "-n", "shop"]) == 0
    capsys.readouterr()
    assert main(["fix", found["id"], *where]) == 2
    assert "there is no finding" in capsys.readouterr().err


def test_undo_is_the_inverse() -> None:
    deployment: Resource = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "a", "namespace": "b", "uid": "u"},
        "spec": {"replicas": 1, "template": {"metadata": {"labels": {"a/b": "c"}}}},
    }
    edits = [Edit(("spec", "template", "metadata", "labels", "a/b"), "d"), Edit(("spec", "paused"), True)]
    change = patch(deployment, edits, "why")
    assert inverse(change.body, deployment) == [
        {"op": "test", "path": "/spec/paused", "value": True},
        {"op": "remove", "path": "/spec/paused"},
        {"op": "test", "path": "/spec/template/metadata/labels/a~1b", "value": "d"},
        {"op": "replace", "path": "/spec/template/metadata/labels/a~1b", "value": "c"},
    ]
    assert applied(deployment, edits)["spec"] == {
        "replicas": 1,
        "paused": True,
        "template": {"metadata": {"labels": {"a/b": "d"}}},
    }
    assert deployment["spec"]["template"]["metadata"]["labels"] == {"a/b": "c"}, "untouched"
    pod: Resource = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "ownerReferences": [{"uid": "x"}]},
    }
    gone = Change(verb="delete", ref=Ref.of(pod), api_version="v1")
    assert undo(Fix(title="x", changes=(gone,)), {Ref.of(pod): pod}) == [], "its controller makes it again"


def test_a_fix_is_undone_by_its_record_and_not_when_somebody_went_on(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--data-dir", str(data)]
    with_cluster(data, broken)
    assert main(["diagnose", *where, "-n", "shop", "-o", "json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)["findings"]
    assert main(["fix", found["id"], *where, "--apply", "--yes"]) == 0
    assert main(["undo", *where]) == 2, "nobody is there to ask"
    capsys.readouterr()
    assert main(["undo", "--list", *where, "-o", "json"]) == 0
    first = json.loads(capsys.readouterr().out)["fixes"][0]
    assert (first["finding"], first["outcome"]) == (found["id"], "healthy")
    with_cluster(data, lambda cluster: select(cluster, "web", "other"))
    assert main(["undo", found["id"], "--yes", *where]) == 1
    assert "changed since the fix" in capsys.readouterr().err
    assert with_cluster(data, lambda cluster: selected(cluster, "web")) == "other", "nothing is lost"
    with_cluster(data, lambda cluster: select(cluster, "web", "web"))
    assert main(["undo", found["id"], "--yes", *where]) == 0
    assert "taken back: select app=web" in capsys.readouterr().out
    assert with_cluster(data, lambda cluster: selected(cluster, "web")) == "wbe"
    assert main(["undo", "--list", *where]) == 0
    assert f"{found['id']}  undone" in capsys.readouterr().out


def test_everything_is_fixed_by_one_command(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--data-dir", str(data)]
    with_cluster(data, lambda cluster: select(cluster, "web", "wbe"))
    with_cluster(data, lambda cluster: select(cluster, "api", "apj"))
    assert main(["fix", "--all", "--plan", "-n", "shop", *where]) == 0
    said = capsys.readouterr().out
    assert "1. Service shop/api: select app=api" in said
    assert "2 of 2 fixes proven" in said
    assert with_cluster(data, lambda cluster: selected(cluster, "web")) == "wbe", "a plan changes nothing"
    assert main(["fix", "--all", "-n", "shop", "--apply", "--yes", "-o", "json", *where]) == 0
    done = json.loads(capsys.readouterr().out)
    assert [one["applied"]["outcome"] for one in done["fixes"]] == ["healthy", "healthy"]
    assert main(["diagnose", *where, "-n", "shop"]) == 0


@pytest.mark.parametrize(
    "words", [[], ["abc", "--all"], ["--all", "--plan", "--apply"], ["abc", "--write"], ["abc", "-f", "x", "--apply"]]
)  # fmt: skip
def test_words_that_contradict_each_other(
    words: list[str], data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fix", *words, "--data-dir", str(data)]) == 2
    assert capsys.readouterr().err.startswith("fairlead: ")


def test_what_was_begun_is_on_disk_before_the_first_write(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[tuple[str, int]] = []

    async def step(cluster: AsyncCluster) -> None:
        finding, before = await broken(cluster)

        async def nothing(*_: Any, **__: Any) -> None:
            assert noted == [("begun", 1)]
            raise KeyboardInterrupt

        monkeypatch.setattr(healing, "send", nothing)
        await heal(
            cluster, finding, finding.fixes[0], before=before, now=now, patience=1,
            note=lambda one: noted.append((one.outcome, len(one.undo))),
        )  # fmt: skip

    with pytest.raises(KeyboardInterrupt):
        with_cluster(data, step)
