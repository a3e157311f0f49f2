"""The real kubectl follows rollouts, reads logs and runs commands (on a node of the test's own)."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.kubectl


def _make_ready(api: httpx.Client, kubectl: Any) -> None:
    """Play the node: say that every pod of the namespace runs and is ready."""
    for pod in kubectl.json("get", "pods")["items"]:
        status = {
            "phase": "Running",
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True",
                    "lastTransitionTime": pod["metadata"]["creationTimestamp"],
                }
            ],
        }
        path = f"/api/v1/namespaces/{kubectl.namespace}/pods/{pod['metadata']['name']}/status"
        merge = {"content-type": "application/merge-patch+json"}
        api.patch(path, json={"status": status}, headers=merge)


def test_rollouts(api: httpx.Client, kubectl: Any, eventually: Any) -> None:
    kubectl("create", "deployment", "web", "--image=nginx:1")
    process = kubectl.start("rollout", "status", "deployment/web", "--timeout=20s")

    def settled() -> bool:
        _make_ready(api, kubectl)
        return process.poll() is not None

    eventually(settled, 20)
    assert process.returncode == 0
    assert 'deployment "web" successfully rolled out' in process.stdout.read()
    process.stdout.close()

    kubectl("set", "image", "deployment/web", "nginx=nginx:2")
    eventually(lambda: "2 " in kubectl("rollout", "history", "deployment/web"))
    assert "nginx:2" in kubectl("rollout", "history", "deployment/web", "--revision=2")
    assert kubectl("rollout", "undo", "deployment/web") == "deployment.apps/web rolled back\n"
    assert "nginx:1" in kubectl("get", "deployment", "web", "-o", "wide")
    assert kubectl("rollout", "restart", "deployment/web") == "deployment.apps/web restarted\n"
    assert kubectl("rollout", "pause", "deployment/web") == "deployment.apps/web paused\n"
    assert kubectl("rollout", "resume", "deployment/web") == "deployment.apps/web resumed\n"
    assert "timed out" in kubectl.fails("rollout", "status", "deployment/web", "--timeout=1s")


def _pod(kubectl: Any, name: str, *containers: str) -> None:
    spec = {"nodeName": "test-node", "containers": [{"name": one, "image": "i"} for one in containers]}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    kubectl("create", "-f", "-", text=json.dumps(body))


def test_logs(kubectl: Any, node: Any) -> None:
    _pod(kubectl, "one", "c")
    _pod(kubectl, "two", "c", "d")
    _pod(kubectl, "late", "waiting")
    assert kubectl("logs", "one") == "one\ntwo\n"
    assert kubectl("logs", "one", "-p", "--tail=3", "--timestamps") == "one\ntwo\n"
    assert node.asked[-1][2] == {"previous": ["true"], "tailLines": ["3"], "timestamps": ["true"]}
    assert "one\ntwo" in kubectl("logs", "two", "--all-containers", "--prefix=false")
    done = kubectl.run("logs", "two")
    assert "Defaulted container" in done.stderr
    assert "container x is not valid for pod two" in kubectl.fails("logs", "two", "-c", "x")
    assert "is waiting to start: ContainerCreating" in kubectl.fails("logs", "late")
    process = kubectl.start("logs", "-f", "one")
    assert process.stdout.readline() == "one\n"
    assert process.stdout.readline() == "more\n"
    process.kill()
    process.wait(10)
    process.stdout.close()


def test_exec(kubectl: Any, node: Any) -> None:
    _pod(kubectl, "one", "c")
    done = kubectl.run("exec", "one", "--", "ls", "-l")
    assert (done.returncode, done.stdout, done.stderr) == (0, "to stdout\n", "to stderr\n")
    assert node.asked[-1][2] == {"command": ["ls", "-l"]}
    failed = kubectl.run("exec", "one", "--", "fail")
    assert failed.returncode == 3
    assert "command terminated with exit code 3" in failed.stderr
    assert len(kubectl("exec", "one", "--", "much")) == 200_000 + len("to stdout\n")


def test_what_is_not_supported_yet(api: httpx.Client, kubectl: Any, node: Any) -> None:
    _pod(kubectl, "one", "c")
    _make_ready(api, kubectl)
    for words in (("exec", "-i", "one", "--", "sh"), ("attach", "one"), ("port-forward", "one", "0:80")):
        assert "not supported yet" in kubectl.fails(*words)
    spdy = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false"}
    assert "not supported yet" in kubectl.fails("exec", "one", "--", "ls", env=spdy)


@pytest.fixture
def corpus() -> Path:
    path = Path(os.environ.get("FAIRLEAD_CORPUS") or Path(__file__).parents[4] / "shared" / "corpus")
    if not path.is_dir():
        pytest.skip("the corpus is not here; FAIRLEAD_CORPUS may name its place")
    return path


@pytest.mark.corpus
@pytest.mark.parametrize("app", ["voting", "online-boutique.yaml"])
def test_real_applications(kubectl: Any, corpus: Path, app: str, eventually: Any) -> None:
    path = str(corpus / "apps" / app)
    told = kubectl("apply", "-f", path).splitlines()
    assert told
    assert all(line.endswith(" created") for line in told)
    assert all(line.endswith(" unchanged") for line in kubectl("apply", "-f", path).splitlines())
    assert kubectl("diff", "-f", path) == ""
    kinds = kubectl("get", "-f", path, "-o", "name").split()
    assert len(kinds) == len(told)
    deployments = [name for name in kinds if name.startswith("deployment")]
    eventually(lambda: len(kubectl("get", "replicasets", "-o", "name").split()) == len(deployments))
    assert "NewReplicaSet:" in kubectl("describe", deployments[0])
    kubectl("delete", "-f", path, "--timeout=30s")
    eventually(lambda: kubectl("get", "all", "-o", "name") == "")
