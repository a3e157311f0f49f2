"""What people see of policies through kubectl: the policy's own words, warnings, mutations, dry runs and reports."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.kubectl


def pod(name: str, image: str = "nginx:1.27", **labels: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "web", **labels}},
        "spec": {"containers": [{"name": "c", "image": image}]},
    }


def text(*objects: dict[str, Any]) -> str:
    return yaml.safe_dump_all(objects)


def validating(name: str, namespace: str, expression: str, message: str, actions: list[str]) -> str:
    meta = {"name": f"{name}-{namespace}"}
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["pods"],
    }
    api = "admissionregistration.k8s.io/v1"
    policy = {
        "apiVersion": api,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": meta,
        "spec": {
            "matchConstraints": {"resourceRules": [rule], "namespaceSelector": selector},
            "validations": [{"expression": expression, "message": message}],
        },
    }
    binding = {
        "apiVersion": api,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": meta,
        "spec": {"policyName": meta["name"], "validationActions": actions},
    }
    return text(policy, binding)


def test_a_denied_create_shows_the_policys_message_as_kubernetes_words_it(
    kubectl: Any, namespace: str
) -> None:
    kubectl(
        "apply",
        "-f",
        "-",
        text=validating("t", namespace, "has(object.metadata.labels.team)", "who owns it?", ["Deny"]),
    )
    said = kubectl.fails("create", "-f", "-", text=text(pod("web")))
    name = f"t-{namespace}"
    assert said.strip() == (
        f"The pods \"web\" is invalid: : ValidatingAdmissionPolicy '{name}' with binding '{name}' denied request: who owns it?"
    )
    kubectl("create", "-f", "-", text=text(pod("web", team="a")))


def test_a_dry_run_is_judged_too(kubectl: Any, namespace: str) -> None:
    kubectl(
        "apply",
        "-f",
        "-",
        text=validating("d", namespace, "has(object.metadata.labels.team)", "no team", ["Deny"]),
    )
    assert "no team" in kubectl.fails("create", "--dry-run=server", "-f", "-", text=text(pod("web")))
    assert "no team" in kubectl.fails("apply", "--server-side", "-f", "-", text=text(pod("web")))
    assert kubectl("get", "pods", "-o", "name") == ""


def test_changes_are_judged_however_they_are_made(kubectl: Any, namespace: str) -> None:
    kubectl(
        "apply",
        "-f",
        "-",
        text=validating("u", namespace, "has(object.metadata.labels.team)", "no team", ["Deny"]),
    )
    kubectl("create", "-f", "-", text=text(pod("web", team="a")))
    assert "no team" in kubectl.fails("label", "pod", "web", "team-")
    assert "no team" in kubectl.fails("patch", "pod", "web", "-p", '{"metadata":{"labels":{"team":null}}}')
    kubectl("label", "pod", "web", "more=labels")


def test_a_warning_shows_as_a_warning(kubectl: Any, namespace: str) -> None:
    kubectl(
        "apply",
        "-f",
        "-",
        text=validating("w", namespace, "has(object.metadata.labels.team)", "no team", ["Warn"]),
    )
    done = kubectl.run("create", "-f", "-", text=text(pod("web")))
    name = f"w-{namespace}"
    assert done.returncode == 0
    assert (
        f"Warning: Validation failed for ValidatingAdmissionPolicy '{name}' with binding '{name}': no team"
        in done.stderr
    )


def test_a_mutation_is_visible(kubectl: Any, namespace: str) -> None:
    meta = {"name": f"m-{namespace}"}
    api = "admissionregistration.k8s.io/v1alpha1"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    policy = {
        "apiVersion": api,
        "kind": "MutatingAdmissionPolicy",
        "metadata": meta,
        "spec": {
            "reinvocationPolicy": "Never",
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [rule], "namespaceSelector": selector},
            "mutations": [
                {
                    "patchType": "ApplyConfiguration",
                    "applyConfiguration": {
                        "expression": 'Object{metadata: Object.metadata{labels: {"made": "here"}}}'
                    },
                }
            ],
        },
    }
    binding = {
        "apiVersion": api,
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": meta,
        "spec": {"policyName": meta["name"]},
    }
    kubectl("apply", "-f", "-", text=text(policy, binding))
    dry = kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", text=text(pod("web")))
    assert json.loads(dry)["metadata"]["labels"] == {"app": "web", "made": "here"}
    kubectl("create", "-f", "-", text=text(pod("web")))
    assert kubectl.json("get", "pod", "web")["metadata"]["labels"] == {"app": "web", "made": "here"}


def test_pod_security_labels_hold(kubectl: Any, namespace: str) -> None:
    kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    said = kubectl.fails("create", "-f", "-", text=text(pod("web")))
    assert said.startswith(
        'Error from server (Forbidden): error when creating "STDIN": pods "web" is forbidden: violates PodSecurity '
        '"restricted:latest": allowPrivilegeEscalation != false (container "c" must set'
    )
    done = kubectl.run("create", "deployment", "d", "--image=nginx", "--replicas=0")
    assert 'Warning: would violate PodSecurity "restricted:latest"' in done.stderr
    assert done.returncode == 0


def test_a_policy_never_locks_its_own_repair_out(
    kubectl: Any, namespace: str, eventually: Callable[..., Any]
) -> None:
    name = f"all-{namespace}"
    selector = {"matchExpressions": [{"key": "nobody", "operator": "DoesNotExist"}]}
    rule = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"]}
    api = "admissionregistration.k8s.io/v1"
    policy = {
        "apiVersion": api,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": [rule], "namespaceSelector": selector},
            "validations": [{"expression": "false"}],
        },
    }
    binding = {
        "apiVersion": api,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    }
    kubectl("create", "deployment", "d", "--image=nginx", "--replicas=1")
    eventually(lambda: kubectl("get", "pods", "-o", "name"))
    kubectl("apply", "-f", "-", text=text(policy, binding))
    try:
        assert "denied request: failed expression: false" in kubectl.fails("create", "configmap", "c")
        assert "denied request" in kubectl.fails("delete", "deployment", "d")
        assert "denied request" in kubectl.fails("scale", "deployment", "d", "--replicas=2")
    finally:
        kubectl("delete", "validatingadmissionpolicybinding", name)
        kubectl("delete", "validatingadmissionpolicy", name)
    kubectl("scale", "deployment", "d", "--replicas=2")
    eventually(lambda: len(kubectl("get", "pods", "-o", "name").split()) == 2)


def test_reports_tell_of_what_is_there_already(
    kubectl: Any, namespace: str, eventually: Callable[..., Any]
) -> None:
    kubectl("apply", "-f", "-", text=text(pod("old", "nginx")))
    rule = {
        "name": "tag",
        "match": {"any": [{"resources": {"kinds": ["Pod"], "namespaces": [namespace]}}]},
        "validate": {"message": "use a tag", "pattern": {"spec": {"containers": [{"image": "*:*"}]}}},
    }
    name = f"tags-{namespace}"
    policy = {
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": name},
        "spec": {"validationFailureAction": "Audit", "rules": [rule]},
    }
    kubectl("apply", "-f", "-", text=text(policy))

    def row() -> list[str]:
        lines = kubectl("get", "policyreports", "--no-headers").splitlines()
        return next((line.split() for line in lines if " old " in f"{line} "), [])

    eventually(lambda: "old" in row())
    (report,) = kubectl.json("get", "policyreports")["items"]
    assert report["summary"]["fail"] == 1
    assert report["results"][0]["policy"] == name
    kubectl("delete", "pod", "old", "--force", "--grace-period=0")
    eventually(lambda: not kubectl.json("get", "policyreports")["items"])
    kubectl("delete", "clusterpolicy", name)
