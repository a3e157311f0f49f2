"""What `fairlead install admission` prints gives the webhook server the rights that it needs, and a pod's token is renewed."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.conftest import ControlPlane

from fairlead.drivers.cluster import Access, AsyncCluster, BadKubeconfig, in_cluster
from fairlead.drivers.cluster import _TokenFile as TokenFile
from fairlead.faces.admission.manifests import NAME, Wishes, manifests
from fairlead.faces.admission.starting import Options

from .conftest import becomes, pod, policy, review, running

SPACE = "guard"
WEBHOOKS = "admissionregistration.k8s.io/v1"


def authorizing(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "policies.kyverno.io/v1",
        "kind": "ValidatingPolicy",
        "metadata": {"name": name},
        "spec": {
            "validationActions": ["Deny"],
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE"],
                        "resources": ["pods"],
                    }
                ]
            },
            "validations": [
                {
                    "expression": "authorizer.group('').resource('pods').namespace('shop').check('delete').allowed()",
                    "message": "only who may delete pods may make them",
                }
            ],
        },
    }


def test_its_own_rights_are_enough(control_plane: ControlPlane) -> None:
    async def test() -> None:
        admin = control_plane.access
        async with AsyncCluster(admin) as cluster:
            for one in manifests(Wishes(image="fairlead", namespace=SPACE)):
                await cluster.create(one)
            asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                     "metadata": {"namespace": SPACE}, "spec": {"expirationSeconds": 3600}}  # fmt: skip
            token = (await cluster.create(asked, subresource="token", name=NAME))["status"]["token"]
            access = replace(admin, token=token, client_cert="", client_key="", namespace=SPACE)
            async with running(Options(access=access, own_namespace=SPACE)) as webhook:
                for kind in ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"):
                    found = await cluster.get(WEBHOOKS, kind, "", NAME)
                    bundle = found["webhooks"][0]["clientConfig"]["caBundle"]
                    assert base64.b64decode(bundle) == webhook.pair.authorities
                await cluster.create(policy("rights", "bad"))
                await becomes(webhook, review(pod(image="a:bad")), False, "not bad")
                await cluster.delete("kyverno.io/v1", "ClusterPolicy", "", "rights")
                await cluster.create(authorizing("may-delete"))
                await becomes(webhook, review(pod()), False, "only who may delete pods")
                user = {"username": "admin", "groups": ["system:masters"]}
                await becomes(webhook, review(pod(), userInfo=user), True)
                await cluster.delete("policies.kyverno.io/v1", "ValidatingPolicy", "", "may-delete")

    asyncio.run(test())


def test_a_pod_finds_its_cluster_and_renews_its_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(BadKubeconfig, match="no pod of a cluster"):
        in_cluster(tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    with pytest.raises(BadKubeconfig, match="No such file"):
        in_cluster(tmp_path)
    for name, text in (("ca.crt", ""), ("namespace", "guard\n"), ("token", "one\n")):
        (tmp_path / name).write_text(text)
    access = in_cluster(tmp_path)
    assert access == Access(
        server="https://[fd00::1]:443", token_file=str(tmp_path / "token"), namespace="guard"
    )

    now = 0.0
    monkeypatch.setattr("fairlead.drivers.cluster.time.monotonic", lambda: now)
    auth = TokenFile(access.token_file)

    def sent() -> str:
        request = next(auth.auth_flow(httpx.Request("GET", "https://cluster/")))
        return request.headers["Authorization"]

    assert sent() == "Bearer one"
    (tmp_path / "token").write_text("two")
    assert sent() == "Bearer one"
    now = 61.0
    assert sent() == "Bearer two"
    (tmp_path / "token").unlink()
    now = 200.0
    assert sent() == "Bearer two"
