from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.keep.conftest import Cluster

WEBHOOK = {
    "metadata": {"name": "check"},
    "webhooks": [
        {
            "name": "check.example.com",
            "clientConfig": {"url": "https://example.com/check"},
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "rules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
            ],
        }
    ],
}
CASES: list[tuple[str, dict[str, Any], str]] = [
    ("validatingwebhookconfigurations.admissionregistration.k8s.io", WEBHOOK, "its webhooks are not called"),
    ("mutatingwebhookconfigurations.admissionregistration.k8s.io", WEBHOOK, "its webhooks are not called"),
    (
        "networkpolicies.networking.k8s.io",
        {"metadata": {"name": "check"}, "spec": {"podSelector": {}}},
        "traffic is not filtered",
    ),
]


def warned(cluster: Cluster, name: str, body: dict[str, Any]) -> tuple[str, ...]:
    kind = cluster.kind(name)
    whole = {"apiVersion": kind.api_version, "kind": kind.kind, **copy.deepcopy(body)}
    outcome = cluster.world.create(kind, "default" if kind.namespaced else "", whole, cluster.request())
    return cluster.rest(outcome).warnings


@pytest.mark.parametrize(("name", "body", "why"), CASES)
def test_what_has_no_effect_says_so_when_it_is_created(
    cluster: Cluster, name: str, body: dict[str, Any], why: str
) -> None:
    kind = cluster.kind(name).kind
    assert warned(cluster, name, body) == (f"{kind} check is stored, but has no effect yet: {why}",)


def test_only_what_concerns_the_caveat_warns_again(cluster: Cluster) -> None:
    warned(cluster, *CASES[2][:2])
    kind = cluster.kind("networkpolicies.networking.k8s.io")

    def patched(patch: dict[str, Any]) -> tuple[str, ...]:
        done = cluster.world.patch(kind, "default", "check", patch, "merge", cluster.request())
        return cluster.rest(done).warnings

    assert patched({"metadata": {"labels": {"a": "b"}}}) == ()
    assert len(patched({"spec": {"policyTypes": ["Egress"]}})) == 1


def test_what_is_judged_here_needs_no_warning(cluster: Cluster) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    assert warned(cluster, "namespaces", {"metadata": {"name": "safe", "labels": labels}}) == ()
    rule = {
        "apiGroups": ["apps"],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": ["deployments"],
    }
    spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": "true"}]}
    policy = {"metadata": {"name": "check"}, "spec": spec}
    assert warned(cluster, "validatingadmissionpolicies.admissionregistration.k8s.io", policy) == ()
