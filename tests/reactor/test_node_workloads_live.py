"""What controllers make runs on a real node: rollouts, stable names, jobs, and Services that reach their pods."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.root, pytest.mark.kubectl, pytest.mark.slow]

WEB = "mkdir -p /www; hostname > /www/name; echo $VERSION > /www/version; exec httpd -f -p 8080 -h /www"


def _workload(kind: str, name: str, template: dict[str, Any], **spec: Any) -> dict[str, Any]:
    labels = {"app": name}
    pod = {"metadata": {"labels": labels}, "spec": template["spec"]}
    selector = {} if kind == "Job" else {"selector": {"matchLabels": labels}}
    version = "batch/v1" if kind == "Job" else "apps/v1"
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": name},
        "spec": {**selector, "template": pod, **spec},
    }


def _service(name: str, **spec: Any) -> dict[str, Any]:
    spec = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}], **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


@pytest.fixture(scope="module", autouse=True)
def _cast(space: Any) -> None:
    c, p = space.container, space.pod
    probe = {"httpGet": {"path": "/name", "port": 8080}, "periodSeconds": 1}
    web = p("x", c(WEB, readinessProbe=probe, env=[{"name": "VERSION", "value": "one"}]))
    done = p("x", c("echo done"), restartPolicy="Never")
    fails = p("x", c("exit 2"), restartPolicy="Never")
    space.apply(
        _service("web"), _service("db", clusterIP="None"),
        _workload("Deployment", "web", web, replicas=2),
        _workload("StatefulSet", "db", web, replicas=2, serviceName="db"),
        _workload("DaemonSet", "agent", p("x")),
        _workload("Job", "good", done, completions=2, parallelism=2),
        _workload("Job", "bad", fails, backoffLimit=1),
        p("client"),
    )  # fmt: skip


def _conditions(space: Any, kind: str, name: str) -> dict[str, str]:
    found = space.get(kind, name).get("status", {}).get("conditions", [])
    return {each["type"]: each.get("reason", "") for each in found if each["status"] == "True"}


def _wget(space: Any, url: str) -> str:
    done = space.run("exec", "client", "--", "timeout", "5", "wget", "-q", "-O", "-", url)
    return str(done.stdout)


def test_jobs(space: Any) -> None:
    space.platform.eventually(lambda: "Complete" in _conditions(space, "job", "good"))
    assert space.get("job", "good")["status"]["succeeded"] == 2
    assert space.kubectl("logs", "job/good") == "done\n"
    space.platform.eventually(
        lambda: _conditions(space, "job", "bad").get("Failed") == "BackoffLimitExceeded"
    )


def test_a_service_reaches_its_pods(space: Any) -> None:
    space.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    space.until("client", space.ready)
    address = space.get("service", "web")["spec"]["clusterIP"]
    names = {
        pod["metadata"]["name"]
        for pod in json.loads(space.kubectl("get", "pods", "-l", "app=web", "-o", "json"))["items"]
    }
    for url in (
        f"http://{address}/name",
        "http://web/name",
        f"http://web.{space.name}.svc.cluster.local/name",
    ):
        space.platform.eventually(lambda u=url: _wget(space, u).strip() in names)


def test_a_stateful_set_gives_stable_names(space: Any) -> None:
    space.kubectl("rollout", "status", "statefulset/db", "--timeout=60s")
    space.until("client", space.ready)
    url = f"http://db-1.db.{space.name}.svc.cluster.local:8080/name"
    space.platform.eventually(lambda: _wget(space, url) == "db-1\n")
    before = space.get("pod", "db-1")["metadata"]["uid"]
    space.kubectl("delete", "pod", "db-1")
    space.platform.eventually(lambda: space.get("pod", "db-1")["metadata"]["uid"] != before)
    space.until("db-1", space.ready)
    space.platform.eventually(lambda: _wget(space, url) == "db-1\n")


ASK = """
import json, ssl, sys, urllib.request
from pathlib import Path
root = Path(f"/proc/{sys.argv[1]}/root/var/run/secrets/kubernetes.io/serviceaccount")
trust = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(root / "ca.crt")))
client = urllib.request.build_opener(urllib.request.ProxyHandler({}), trust)
url = "https://10.96.0.1/api/v1/namespaces/" + (root / "namespace").read_text() + "/configmaps"
ask = urllib.request.Request(url, headers={"Authorization": "Bearer " + (root / "token").read_text()})
print(json.load(client.open(ask, timeout=10))["kind"])
"""


def test_a_pod_speaks_to_the_api_as_its_service_account(space: Any) -> None:
    account = f"{space.name}:default"
    space.kubectl("create", "rolebinding", "reads", "--clusterrole=view", f"--serviceaccount={account}")
    space.apply(space.pod("inside", space.container("exec sleep 1234.5")))
    space.until("inside", space.ready)
    files = space.kubectl("exec", "inside", "--", "ls", "/var/run/secrets/kubernetes.io/serviceaccount")
    assert files.split() == ["ca.crt", "namespace", "token"]
    (pid,) = [pid for pid in space.platform.processes("sleep") if _words(pid) == ["sleep", "1234.5"]]
    enter = ["nsenter", "-t", str(pid), "-n", sys.executable, "-c", ASK, str(pid)]
    done = subprocess.run(enter, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "ConfigMapList\n", done.stderr


def _words(pid: int) -> list[str]:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
    return []


def test_a_daemon_set_runs_on_the_node(space: Any) -> None:
    space.kubectl("rollout", "status", "daemonset/agent", "--timeout=60s")


def test_a_rollout_to_another_image_and_back(space: Any) -> None:
    space.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    space.kubectl("set", "image", "deployment/web", "main=test/busybox:2")
    space.kubectl("set", "env", "deployment/web", "VERSION=two")
    space.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    space.until("client", space.ready)
    space.platform.eventually(lambda: _wget(space, "http://web/version") == "two\n")
    space.kubectl("rollout", "undo", "deployment/web")
    space.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    space.kubectl("scale", "deployment/web", "--replicas=0")
    space.platform.eventually(lambda: "No resources" in space.run("get", "pods", "-l", "app=web").stderr)
