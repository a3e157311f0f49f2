"""Instances on the whole platform: real pods become healthy or do not, what blocks is named with its cause, and a failure is taken back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.root


def fairlead(space: Any, verb: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable, "-m", "fairlead.faces.cli.main", verb, *words, "-n", space.name,
        "--kubeconfig", str(space.platform.data / "kubeconfig"),
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def write(folder: Path, space: Any, image: str, *, ends: str = "exit 0", more: bool = True) -> str:
    """A Deployment, a Job that is run, and a ConfigMap that may be left out."""
    web = {**space.container("trap 'exit 0' TERM; sleep 1000 & wait"), "image": image}
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [web]},
    }
    job = {"spec": {"restartPolicy": "Never", "containers": [space.container(ends)]}}
    objects: list[dict[str, Any]] = [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template}},
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"}, "spec": {"backoffLimit": 0, "template": job}},
    ]  # fmt: skip
    if more:
        objects.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "more"}})
    (folder / "all.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    return str(folder)


def test_from_the_first_apply_to_an_upgrade_that_fails_and_is_taken_back(space: Any, tmp_path: Path) -> None:
    done = fairlead(
        space, "apply", write(tmp_path, space, "test/busybox:1"), "--name", "shop", "--timeout", "60s"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "revision 1 is deployed: 3 created" in done.stdout
    status = fairlead(space, "status", "shop", "-o", "json")
    told = {one["name"]: one for one in json.loads(status.stdout)["objects"]}
    assert told["web"]["message"] == "Deployment is available. Replicas: 1"
    assert told["once"]["message"] == "Job Completed. succeeded: 1/1"

    broken = write(tmp_path, space, "test/nosuch:9", more=False)
    shown = fairlead(space, "diff", broken, "--name", "shop")
    assert shown.returncode == 1
    assert "~ .spec.template.spec.containers[0].image: test/busybox:1 -> test/nosuch:9" in shown.stdout
    assert "ConfigMap" in shown.stdout

    failed = fairlead(space, "apply", broken, "--name", "shop", "--timeout", "4s", "--rollback-on-failure")
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert "has failed and was rolled back" in failed.stdout
    assert f"Deployment {space.name}/web" in failed.stdout
    assert "ImagePull" in failed.stdout  # what is wrong with its pod
    assert "going back to revision 1" in failed.stderr
    assert (
        space.get("deployment", "web")["spec"]["template"]["spec"]["containers"][0]["image"]
        == "test/busybox:1"
    )
    assert space.get("configmap", "more")
    history = json.loads(fairlead(space, "history", "shop", "-o", "json").stdout)["revisions"]
    assert [one["state"] for one in history] == ["superseded", "failed", "deployed"]
    assert fairlead(space, "diff", "--name", "shop").returncode == 0

    gone = fairlead(space, "delete", "shop", "--timeout", "60s")
    assert gone.returncode == 0, gone.stdout + gone.stderr
    assert (
        "No resources found"
        in space.run("get", "deployment,job,configmap", "-l", "fairlead.dev/instance").stderr
    )


def test_a_job_that_fails_ends_the_wait_at_once_with_its_cause(space: Any, tmp_path: Path) -> None:
    package = write(tmp_path, space, "test/busybox:1", ends="echo the database is away; exit 3")
    failed = fairlead(space, "apply", package, "--name", "jobs", "--timeout", "60s")
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert f"Job {space.name}/once has failed: Job Failed. failed: 1/1" in failed.stdout
    assert "cause" in failed.stdout
    assert fairlead(space, "delete", "jobs", "--timeout", "60s").returncode == 0


def test_what_kubectl_applied_is_taken_over(space: Any, tmp_path: Path) -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "theirs"},
        "data": {"a": "1", "b": "1"},
    }
    space.apply(manifest)
    (tmp_path / "theirs.json").write_text(json.dumps({**manifest, "data": {"a": "2"}}))
    refused = fairlead(space, "apply", str(tmp_path), "--name", "heir")
    assert refused.returncode == 1
    assert ".data.a belongs to kubectl-client-side-apply" in refused.stdout
    taken = fairlead(space, "apply", str(tmp_path), "--name", "heir", "--take-over")
    assert taken.returncode == 0, taken.stdout + taken.stderr
    assert space.get("configmap", "theirs")["data"] == {"a": "2"}
