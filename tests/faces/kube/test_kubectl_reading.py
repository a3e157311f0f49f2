"""The real kubectl looks at things."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.kubectl


@pytest.fixture
def shop(kubectl: Any, eventually: Any) -> Any:
    """A deployment of two pods, a service and a ConfigMap with labels."""
    kubectl("create", "deployment", "web", "--image=nginx:1", "--replicas=2", "--port=80")
    kubectl("expose", "deployment", "web")
    kubectl("create", "configmap", "settings", "--from-literal=a=b")
    kubectl("label", "configmap", "settings", "app=web", "tier=front")
    eventually(lambda: len(kubectl("get", "pods", "-o", "name").split()) == 2)
    return kubectl


def test_outputs(shop: Any) -> None:
    assert shop("get", "deployment").splitlines()[0].split() == [
        "NAME",
        "READY",
        "UP-TO-DATE",
        "AVAILABLE",
        "AGE",
    ]
    wide = shop("get", "deployment", "-o", "wide").splitlines()[0].split()
    assert wide[-3:] == ["CONTAINERS", "IMAGES", "SELECTOR"]
    assert shop("get", "deployment", "web", "-o", "name") == "deployment.apps/web\n"
    assert yaml.safe_load(shop("get", "deployment", "web", "-o", "yaml"))["kind"] == "Deployment"
    assert shop.json("get", "deployment")["kind"] == "List"
    assert shop("get", "deployment", "web", "-o", "jsonpath={.spec.replicas}") == "2"
    columns = shop("get", "deployment", "-o", "custom-columns=N:.metadata.name,R:.spec.replicas")
    assert columns.split() == ["N", "R", "web", "2"]
    assert shop("get", "deployment", "web", "-o", "go-template={{.kind}}") == "Deployment"
    assert "app=web" in shop("get", "deployment", "--show-labels")
    assert shop("get", "configmap", "settings", "-L", "tier").split()[-1] == "front"
    assert shop("get", "deployment", "--no-headers").split()[0] == "web"


def test_selecting_and_sorting(shop: Any) -> None:
    assert shop("get", "configmap", "-l", "tier=front", "-o", "name") == "configmap/settings\n"
    assert shop("get", "configmap", "-l", "tier notin (front),app", "-o", "name") == ""
    pods = shop("get", "pods", "--field-selector=status.phase=Pending", "-o", "name").split()
    assert len(pods) == 2
    assert shop("get", "pods", "--field-selector=status.phase!=Pending", "-o", "name") == ""
    ordered = shop("get", "pods", "--sort-by=.metadata.name", "-o", "name").split()
    assert ordered == sorted(pods)
    everywhere = shop("get", "pods", "--all-namespaces", "--chunk-size=1", "-o", "name").split()
    assert set(pods) <= set(everywhere)
    assert "field label not supported" in shop.fails("get", "pods", "--field-selector=spec.moon=full")


def test_get_all_and_several(shop: Any) -> None:
    found = shop("get", "all", "-o", "name").split()
    assert {one.partition("/")[0] for one in found} == {
        "pod",
        "service",
        "deployment.apps",
        "replicaset.apps",
    }
    assert "service/web" in shop("get", "svc,cm", "-o", "name")
    assert "NotFound" in shop.fails("get", "deployment", "nothing")
    assert "the server doesn't have a resource type" in shop.fails("get", "unicorns")


def test_describe(shop: Any, eventually: Any) -> None:
    eventually(lambda: "FailedScheduling" in shop("describe", "pods"))
    told = shop("describe", "deployment", "web")
    assert "2 desired | 2 updated | 2 total | 0 available | 2 unavailable" in told
    assert "ScalingReplicaSet" in told
    assert "TargetPort:" in shop("describe", "service", "web")
    assert "Status:       Active" in shop("describe", "namespace", shop.namespace)
    for kind in ("configmap", "replicaset", "serviceaccount"):
        assert shop("describe", kind)
    assert "system:masters" in shop("describe", "clusterrolebinding", "cluster-admin")
    assert "system-node-critical" in shop("describe", "priorityclass")


def test_events(shop: Any, eventually: Any) -> None:
    eventually(lambda: "FailedScheduling" in shop("get", "events"))
    assert "no nodes available to schedule pods" in shop("events", "--types=Warning")
    assert "ScalingReplicaSet" in shop("events", "--for=deployment/web")
    assert "FailedScheduling" in shop("get", "events.events.k8s.io")
    assert "Scheduling" not in shop(
        "get", "events", "--field-selector=involvedObject.kind=Deployment,reason=Other"
    )


def test_watching(kubectl: Any) -> None:
    kubectl("create", "configmap", "first")
    process = kubectl.start("get", "configmaps", "--watch", "--output-watch-events", "-l", "seen=yes")
    try:
        kubectl("label", "configmap", "first", "seen=yes")
        kubectl("annotate", "configmap", "first", "a=b")
        kubectl("delete", "configmap", "first")
        assert process.stdout is not None
        lines = [process.stdout.readline().split() for _ in range(4)]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(10)
        process.stdout.close()
    assert [line[0] for line in lines] == ["EVENT", "ADDED", "MODIFIED", "DELETED"]
    assert all(line[1] == "first" for line in lines[1:])


def test_waiting(kubectl: Any) -> None:
    process = kubectl.start("wait", "--for=create", "configmap/late", "--timeout=20s")
    kubectl("create", "configmap", "late", "--from-literal=a=b")
    assert process.wait(20) == 0
    process.stdout.close()
    assert "condition met" in kubectl("wait", "--for=jsonpath={.data.a}=b", "configmap/late", "--timeout=5s")
    gone = kubectl.start("wait", "--for=delete", "configmap/late", "--timeout=20s")
    kubectl("delete", "configmap", "late")
    assert gone.wait(20) == 0
    gone.stdout.close()
    kubectl("create", "deployment", "d", "--image=x")
    assert "timed out" in kubectl.fails("wait", "--for=condition=available", "deployment/d", "--timeout=1s")


def test_what_the_server_is(cluster_kubectl: Any) -> None:
    kubectl = cluster_kubectl
    version = kubectl.json("version")
    assert version["serverVersion"]["minor"] == "32"
    assert "is running at" in kubectl("cluster-info")
    resources = kubectl("api-resources", "-o", "wide")
    assert "deployments" in resources
    assert "create,delete,deletecollection,get,list,patch,update,watch" in resources
    assert "horizontalpodautoscalers" in kubectl("api-resources", "--api-group=autoscaling")
    versions = kubectl("api-versions").split()
    assert {"v1", "apps/v1", "autoscaling/v2", "rbac.authorization.k8s.io/v1"} <= set(versions)
    assert json.loads(kubectl("get", "--raw", "/api"))["kind"] == "APIVersions"
    assert kubectl("get", "--raw", "/readyz") == "ok"
    assert "Metrics API not available" in kubectl.fails("top", "nodes")
    assert "DATA+OMITTED" in kubectl("config", "view")
    assert kubectl("config", "current-context") == "fairlead\n"


def test_explain(cluster_kubectl: Any) -> None:
    kubectl = cluster_kubectl
    told = kubectl("explain", "deployment.spec.strategy")
    assert told.startswith("GROUP:      apps\nKIND:       Deployment\nVERSION:    v1\n")
    assert "rollingUpdate\t<RollingUpdateDeployment>" in told
    recursive = kubectl("explain", "pod", "--recursive")
    assert "livenessProbe\t<Probe>" in recursive
    assert 'field "moon" does not exist' in kubectl.fails("explain", "pod.spec.moon")
    assert "autoscaling" in kubectl("explain", "hpa", "--api-version=autoscaling/v1")
    assert "RESOURCE: containers <[]Object>" in kubectl(
        "explain", "pod.spec.containers", "--output=plaintext-openapiv2"
    )


def test_who_and_what_may(cluster_kubectl: Any, kubectl: Any) -> None:
    assert cluster_kubectl("auth", "can-i", "create", "pods") == "yes\n"
    who = cluster_kubectl("auth", "whoami", "-o", "json")
    assert json.loads(who)["status"]["userInfo"]["username"] == "admin"
    denied = kubectl.run("auth", "can-i", "create", "pods", "--as=jane")
    assert (denied.returncode, denied.stdout) == (1, "no\n")
    kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods")
    kubectl("create", "rolebinding", "reader", "--role=reader", "--user=jane")
    assert kubectl("auth", "can-i", "list", "pods", "--as=jane") == "yes\n"
    listed = kubectl("auth", "can-i", "--list", "--as=jane")
    assert "pods" in listed
    refused = kubectl.fails("delete", "pod", "p", "--as=jane")
    assert (
        f'User "jane" cannot delete resource "pods" in API group "" in the namespace "{kubectl.namespace}"'
        in refused
    )
    account = f"system:serviceaccount:{kubectl.namespace}:default"
    assert kubectl.run("auth", "can-i", "get", "secrets", f"--as={account}").stdout == "no\n"
    roles = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "reader", "namespace": kubectl.namespace},
             "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["watch"]}]}  # fmt: skip
    assert "reconciled" in kubectl("auth", "reconcile", "-f", "-", text=json.dumps(roles))


def test_without_credentials(kubectl: Any, tmp_path: Path) -> None:
    config = yaml.safe_load(kubectl.kubeconfig.read_text())
    config["users"][0]["user"]["token"] = "wrong"
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    kubectl.kubeconfig = tmp_path / "kubeconfig"
    assert "You must be logged in to the server" in kubectl.fails("get", "pods")


def test_nodes(cluster_kubectl: Any) -> None:
    kubectl = cluster_kubectl
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "one", "labels": {"zone": "a"}}}
    kubectl("create", "-f", "-", text=json.dumps(node))
    assert kubectl("get", "nodes").splitlines()[0].split() == ["NAME", "STATUS", "ROLES", "AGE", "VERSION"]
    assert kubectl("taint", "nodes", "one", "a=b:NoSchedule") == "node/one tainted\n"
    assert kubectl("cordon", "one") == "node/one cordoned\n"
    assert "SchedulingDisabled" in kubectl("get", "node", "one")
    assert kubectl("uncordon", "one") == "node/one uncordoned\n"
    assert "node/one drained" in kubectl("drain", "one", "--force")
    assert "Taints:" in kubectl("describe", "node", "one")
    kubectl("delete", "node", "one")
