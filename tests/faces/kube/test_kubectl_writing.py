"""The real kubectl makes, changes and deletes things."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.kubectl

DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "labels": {"app": "web"}},
    "spec": {
        "replicas": 0,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": "nginx:1", "ports": [{"containerPort": 80}]}]},
        },
    },
}


def _text(obj: dict[str, Any], **spec: Any) -> str:
    return json.dumps({**obj, "spec": {**obj["spec"], **spec}})


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ("deployment d --image=nginx --replicas=0 --port=80", "deployment.apps/d created"),
        ("service clusterip s --tcp=80", "service/s created"),
        ("service nodeport s --tcp=80", "service/s created"),
        ("service loadbalancer s --tcp=80", "service/s created"),
        ("service externalname s --external-name=a.example", "service/s created"),
        ("configmap c --from-literal=a=b", "configmap/c created"),
        ("secret generic g --from-literal=a=b", "secret/g created"),
        ("secret docker-registry g --docker-server=x --docker-username=u --docker-password=p", "secret/g created"),
        ("serviceaccount a", "serviceaccount/a created"),
        ("role r --verb=get --resource=pods", "role.rbac.authorization.k8s.io/r created"),
        ("rolebinding b --role=r --user=jane", "rolebinding.rbac.authorization.k8s.io/b created"),
        ("clusterrole kr --verb=get --resource=nodes", "clusterrole.rbac.authorization.k8s.io/kr created"),
        ("clusterrolebinding kb --clusterrole=kr --user=joe", "clusterrolebinding.rbac.authorization.k8s.io/kb created"),
        ("job j --image=x", "job.batch/j created"),
        ("cronjob j --image=x --schedule=0 0 1 1 *", "cronjob.batch/j created"),
        ("ingress i --rule=a.example/=s:80", "ingress.networking.k8s.io/i created"),
        ("poddisruptionbudget p --selector=app=web --min-available=1", "poddisruptionbudget.policy/p created"),
        ("quota q --hard=pods=10", "resourcequota/q created"),
        ("priorityclass kp --value=5", "priorityclass.scheduling.k8s.io/kp created"),
        ("namespace created-by-kubectl", "namespace/created-by-kubectl created"),
    ],
)  # fmt: skip
def test_generators(kubectl: Any, args: str, told: str) -> None:
    words = args.replace("0 0 1 1 *", "@").split()
    words = [word.replace("@", "0 0 1 1 *") for word in words]
    assert kubectl("create", *words) == f"{told}\n"
    assert " already exists" in kubectl.fails("create", *words)
    assert f"{told.removesuffix(' created')} " in kubectl("create", *words, "--dry-run=client")


def test_tls_secrets(kubectl: Any, server: Any) -> None:
    files = (
        "--cert",
        str(server.data / "pki" / "server.crt"),
        "--key",
        str(server.data / "pki" / "server.key"),
    )
    assert kubectl("create", "secret", "tls", "t", *files) == "secret/t created\n"
    assert kubectl.json("get", "secret", "t")["type"] == "kubernetes.io/tls"


def test_run_expose_autoscale_token(kubectl: Any) -> None:
    assert kubectl("run", "p", "--image=x", "--port=80") == "pod/p created\n"
    assert kubectl("expose", "pod", "p", "--port=80") == "service/p exposed\n"
    kubectl("create", "deployment", "d", "--image=x", "--replicas=0")
    assert "autoscaled" in kubectl("autoscale", "deployment", "d", "--max=3", "--cpu-percent=50")
    kubectl("create", "serviceaccount", "a")
    assert kubectl("create", "token", "a", "--duration=10m").count(".") == 2


def test_apply_is_idempotent_and_removes_what_was_left_out(kubectl: Any) -> None:
    assert kubectl("apply", "-f", "-", text=_text(DEPLOYMENT)) == "deployment.apps/web created\n"
    assert kubectl("apply", "-f", "-", text=_text(DEPLOYMENT)) == "deployment.apps/web unchanged\n"
    assert (
        kubectl("apply", "-f", "-", text=_text(DEPLOYMENT, paused=True)) == "deployment.apps/web configured\n"
    )
    assert kubectl("apply", "-f", "-", text=_text(DEPLOYMENT)) == "deployment.apps/web configured\n"
    assert "paused" not in kubectl.json("get", "deployment", "web")["spec"]
    assert "last-applied" in json.dumps(kubectl.json("get", "deployment", "web"))


def test_server_side_apply_conflicts_and_is_forced(kubectl: Any) -> None:
    mine, other = (
        ("apply", "--server-side", "-f", "-"),
        ("apply", "--server-side", "--field-manager=other", "-f", "-"),
    )
    assert kubectl(*mine, text=_text(DEPLOYMENT)) == "deployment.apps/web serverside-applied\n"
    told = kubectl.fails(*other, text=_text(DEPLOYMENT, replicas=3))
    assert 'Apply failed with 1 conflict: conflict with "kubectl": .spec.replicas' in told
    kubectl(*other, "--force-conflicts", text=_text(DEPLOYMENT, replicas=3, paused=True))
    assert kubectl.json("get", "deployment", "web")["spec"]["replicas"] == 3
    managers = {entry["manager"] for entry in kubectl.json("get", "deployment", "web", "--show-managed-fields")["metadata"]["managedFields"]}  # fmt: skip
    assert {"kubectl", "other"} <= managers


def test_client_side_apply_moves_to_the_server(kubectl: Any) -> None:
    kubectl("apply", "-f", "-", text=_text(DEPLOYMENT, paused=True))
    kubectl("apply", "--server-side", "-f", "-", text=_text(DEPLOYMENT))
    assert "paused" not in kubectl.json("get", "deployment", "web")["spec"]


def test_diff(kubectl: Any) -> None:
    kubectl("apply", "-f", "-", text=_text(DEPLOYMENT))
    assert kubectl("diff", "-f", "-", text=_text(DEPLOYMENT)) == ""
    done = kubectl.run("diff", "-f", "-", text=_text(DEPLOYMENT, replicas=7, paused=True))
    assert done.returncode == 1
    assert "-  replicas: 0" in done.stdout
    assert "+  replicas: 7" in done.stdout
    assert kubectl.json("get", "deployment", "web")["spec"]["replicas"] == 0


def test_edit(kubectl: Any, tmp_path: Path) -> None:
    kubectl("create", "configmap", "c", "--from-literal=a=before")
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i s/before/after/ "$1"\n')
    editor.chmod(0o755)
    assert kubectl("edit", "configmap", "c", env={"EDITOR": str(editor)}) == "configmap/c edited\n"
    assert kubectl.json("get", "configmap", "c")["data"] == {"a": "after"}
    assert "cancelled" in kubectl.run("edit", "configmap", "c", env={"EDITOR": str(editor)}).stderr


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        ("strategic", '{"spec":{"template":{"spec":{"containers":[{"name":"d","image":"x"}]}}}}'),
        ("merge", '{"spec":{"template":{"spec":{"containers":[{"name":"d","image":"x"},{"name":"c","image":"nginx:1"}]}}}}'),
        ("json", '[{"op":"add","path":"/spec/template/spec/containers/0","value":{"name":"d","image":"x"}}]'),
    ],
)  # fmt: skip
def test_patch(kubectl: Any, kind: str, patch: str) -> None:
    kubectl("apply", "-f", "-", text=_text(DEPLOYMENT))
    assert (
        kubectl("patch", "deployment", "web", f"--type={kind}", "-p", patch)
        == "deployment.apps/web patched\n"
    )
    containers = kubectl.json("get", "deployment", "web")["spec"]["template"]["spec"]["containers"]
    assert sorted(container["name"] for container in containers) == ["c", "d"]
    again = kubectl.run("patch", "deployment", "web", f"--type={kind}", "-p", patch)
    if kind == "json":
        assert "Duplicate value" in again.stderr
    else:
        assert again.stdout == "deployment.apps/web patched (no change)\n"


def test_subresource_patches(kubectl: Any) -> None:
    kubectl("apply", "-f", "-", text=_text(DEPLOYMENT))
    kubectl(
        "patch", "deployment", "web", "--subresource=scale", "--type=merge", "-p", '{"spec":{"replicas":2}}'
    )
    assert kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.replicas}") == "2"


def test_labels_annotations_scale_set(kubectl: Any) -> None:
    kubectl("apply", "-f", "-", text=_text(DEPLOYMENT))
    assert kubectl("label", "deployment", "web", "tier=front") == "deployment.apps/web labeled\n"
    assert "already has a value" in kubectl.fails("label", "deployment", "web", "tier=back")
    assert kubectl("label", "deployment", "web", "tier-") == "deployment.apps/web unlabeled\n"
    assert kubectl("annotate", "deployment", "web", "note=x") == "deployment.apps/web annotated\n"
    assert kubectl("scale", "deployment", "web", "--replicas=2") == "deployment.apps/web scaled\n"
    assert "Expected replicas to be 5, was 2" in kubectl.fails("scale", "deployment", "web", "--current-replicas=5", "--replicas=1")  # fmt: skip
    assert kubectl("set", "image", "deployment/web", "c=nginx:2") == "deployment.apps/web image updated\n"
    assert kubectl("set", "env", "deployment/web", "A=b") == "deployment.apps/web env updated\n"
    assert "resource requirements updated" in kubectl("set", "resources", "deployment/web", "--limits=cpu=1")


def test_delete_and_what_it_takes_along(kubectl: Any, eventually: Any) -> None:
    kubectl("apply", "-f", "-", text=_text(DEPLOYMENT, replicas=1))
    eventually(lambda: kubectl("get", "pods", "-o", "name"))
    assert 'deployment.apps "web" deleted' in kubectl("delete", "deployment", "web", "--cascade=orphan")
    assert kubectl("get", "replicasets", "-o", "name")
    assert kubectl("get", "pods", "-o", "name")
    kubectl("apply", "-f", "-", text=_text(DEPLOYMENT, replicas=1))
    eventually(lambda: (kubectl.json("get", "replicasets")["items"][0]["metadata"]).get("ownerReferences"))
    kubectl("delete", "deployment", "web", "--cascade=foreground", "--timeout=20s")
    assert kubectl("get", "replicasets,pods", "-o", "name") == ""
    kubectl("apply", "-f", "-", text=_text(DEPLOYMENT, replicas=1))
    eventually(lambda: kubectl("get", "pods", "-o", "name"))
    kubectl("delete", "deployment", "web")
    eventually(lambda: kubectl("get", "replicasets,pods", "-o", "name") == "")


def test_delete_waits_for_finalizers(kubectl: Any) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c", "finalizers": ["example.com/hold"]},
    }
    kubectl("create", "-f", "-", text=json.dumps(body))
    kubectl("delete", "configmap", "c", "--wait=false")
    assert kubectl.json("get", "configmap", "c")["metadata"]["deletionTimestamp"]
    assert "timed out" in kubectl.fails("delete", "configmap", "c", "--timeout=1s")
    kubectl("patch", "configmap", "c", "--type=json", "-p", '[{"op":"remove","path":"/metadata/finalizers"}]')
    assert "NotFound" in kubectl.fails("get", "configmap", "c")
    assert kubectl("delete", "configmap", "c", "--ignore-not-found") == ""


def test_a_namespace_goes_with_everything_in_it(cluster_kubectl: Any) -> None:
    kubectl = cluster_kubectl
    kubectl("create", "namespace", "short")
    kubectl("create", "configmap", "c", "-n", "short")
    kubectl("create", "deployment", "d", "--image=x", "-n", "short")
    kubectl("delete", "namespace", "short", "--timeout=20s")
    assert "NotFound" in kubectl.fails("get", "namespace", "short")
    assert kubectl("get", "all", "-n", "short", "-o", "name") == ""


def test_mistakes_are_told(kubectl: Any) -> None:
    unknown = _text(DEPLOYMENT, replcas=1)
    assert 'unknown field "spec.replcas"' in kubectl.fails("apply", "-f", "-", text=unknown)
    assert 'unknown field "spec.replcas"' in kubectl.fails("create", "-f", "-", text=unknown)
    wrong = _text(DEPLOYMENT, replicas="many")
    assert "replicas" in kubectl.fails("create", "-f", "-", text=wrong)
    other = _text(DEPLOYMENT, selector={"matchLabels": {"app": "other"}})
    told = kubectl.fails("create", "-f", "-", text=other)
    assert "`selector` does not match template `labels`" in told
    missing = {"apiVersion": "example.com/v1", "kind": "Unicorn", "metadata": {"name": "u"}}
    assert 'no matches for kind "Unicorn" in version "example.com/v1"' in kubectl.fails(
        "create", "-f", "-", text=json.dumps(missing)
    )


def test_replace(kubectl: Any) -> None:
    kubectl("create", "-f", "-", text=_text(DEPLOYMENT))
    assert (
        kubectl("replace", "-f", "-", text=_text(DEPLOYMENT, paused=True)) == "deployment.apps/web replaced\n"
    )
    body = kubectl("get", "deployment", "web", "-o", "yaml")
    assert yaml.safe_load(body)["spec"]["paused"] is True
    assert "deployment.apps/web replaced" in kubectl("replace", "--force", "-f", "-", text=_text(DEPLOYMENT))


BOAT = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "boats.sea.example"},
    "spec": {
        "group": "sea.example",
        "scope": "Namespaced",
        "names": {"plural": "boats", "singular": "boat", "kind": "Boat", "shortNames": ["bt"], "categories": ["all"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.sails", "statusReplicasPath": ".status.sails"},
                },
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {
                                    "sails": {"type": "integer", "minimum": 1, "description": "How many sails it has."},
                                    "name": {"type": "string", "default": "Argo"},
                                },
                            },
                            "status": {"type": "object", "properties": {"sails": {"type": "integer"}}},
                        },
                    }
                },
                "additionalPrinterColumns": [{"name": "Sails", "type": "integer", "jsonPath": ".spec.sails"}],
            }
        ],
    },
}  # fmt: skip


def test_custom_resources(kubectl: Any) -> None:
    assert "created" in kubectl("create", "-f", "-", text=json.dumps(BOAT))
    kubectl("wait", "--for=condition=established", "crd/boats.sea.example", "--timeout=10s")
    boat = {"apiVersion": "sea.example/v1", "kind": "Boat", "metadata": {"name": "a"}, "spec": {"sails": 2}}
    try:
        assert kubectl("apply", "-f", "-", text=json.dumps(boat)) == "boat.sea.example/a created\n"
        assert kubectl("apply", "-f", "-", text=json.dumps(boat)) == "boat.sea.example/a unchanged\n"
        assert kubectl("get", "bt").split() == ["NAME", "SAILS", "a", "2"]
        assert kubectl("get", "boat", "a", "-o", "jsonpath={.spec.name}") == "Argo"
        assert "boat.sea.example/a" in kubectl("get", "all", "-o", "name")
        assert "How many sails it has." in kubectl("explain", "boat.spec.sails")
        assert kubectl("scale", "boat", "a", "--replicas=3") == "boat.sea.example/a scaled\n"
        assert kubectl("patch", "boat", "a", "--type=merge", "-p", '{"spec":{"sails":4}}') == "boat.sea.example/a patched\n"  # fmt: skip
        assert "Name:         a" in kubectl("describe", "boat", "a")
        wrong = {**boat, "spec": {"sails": 0}}
        told = kubectl.fails("apply", "-f", "-", text=json.dumps(wrong))
        assert "spec.sails: Invalid value: 0: spec.sails in body should be greater than or equal to 1" in told
        stray = {**boat, "spec": {"sails": 1, "oars": 2}}
        assert 'unknown field "spec.oars"' in kubectl.fails("apply", "-f", "-", text=json.dumps(stray))
    finally:
        kubectl("delete", "crd", "boats.sea.example", "--timeout=20s")
    assert "could not find the requested resource" in kubectl.fails("get", "boats")
