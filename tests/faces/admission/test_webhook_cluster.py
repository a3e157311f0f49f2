"""The webhook server beside a real control plane: policies come and go, its certificate lives in a Secret."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairlead.drivers.cluster import AsyncCluster, read_kubeconfig
from fairlead.faces.admission.starting import Options

from .conftest import Webhook, pod, review, running

OWN = "fairlead-system"


@pytest.fixture(scope="module")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A control plane's kubeconfig."""
    data = tmp_path_factory.mktemp("kube")
    log, record = data / "log", data / "run" / "control-plane.json"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "fairlead.faces.kube", "--data-dir", str(data), "--port", "0"],
            stdout=file,
            stderr=file,
        )
    try:
        deadline = time.monotonic() + 60
        while not record.exists():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield data / "kubeconfig"
    finally:
        process.terminate()
        process.wait(20)


def policy(name: str, tag: str) -> dict[str, Any]:
    return {
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": name},
        "spec": {
            "validationFailureAction": "Enforce",
            "rules": [
                {
                    "name": "tag",
                    "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
                    "validate": {
                        "message": f"not {tag}",
                        "pattern": {"spec": {"containers": [{"image": f"!*:{tag}"}]}},
                    },
                }
            ],
        },
    }


NEEDY = {
    "apiVersion": "kyverno.io/v1",
    "kind": "ClusterPolicy",
    "metadata": {"name": "listed"},
    "spec": {
        "validationFailureAction": "Enforce",
        "rules": [
            {
                "name": "listed",
                "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
                "context": [{"name": "words", "configMap": {"name": "words", "namespace": "default"}}],
                "validate": {
                    "message": "the word is {{ words.data.word }}",
                    "deny": {
                        "conditions": {
                            "any": [
                                {
                                    "key": "{{ request.object.metadata.name }}",
                                    "operator": "NotEquals",
                                    "value": "{{ words.data.word }}",
                                }
                            ]
                        }
                    },
                },
            }
        ],
    },
}


async def becomes(webhook: Webhook, body: Any, allowed: bool, text: str = "") -> dict[str, Any]:
    """Ask until the answer is as it should be."""
    answer: dict[str, Any] = {}
    for _ in range(200):
        answer = await webhook.ask(body)
        if answer["allowed"] == allowed and text in json.dumps(answer):
            return answer
        await asyncio.sleep(0.05)
    pytest.fail(f"the answer stays {answer}")


def test_policies_and_what_they_look_up_are_followed(control_plane: Path) -> None:
    async def test() -> None:
        access = read_kubeconfig(control_plane)
        async with AsyncCluster(access) as cluster:
            await cluster.create(policy("before", "bad"))
            async with running(Options(access=access)) as webhook:
                await becomes(webhook, review(pod(image="a:bad")), False, "not bad")
                await becomes(webhook, review(pod(image="a:worse")), True)
                await cluster.create(policy("after", "worse"))
                await becomes(webhook, review(pod(image="a:worse")), False, "not worse")
                await cluster.delete("kyverno.io/v1", "ClusterPolicy", "", "after")
                await cluster.delete("kyverno.io/v1", "ClusterPolicy", "", "before")
                await becomes(webhook, review(pod(image="a:worse")), True)
                await becomes(webhook, review(pod(image="a:bad")), True)

                words = {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {"name": "words", "namespace": "default"},
                    "data": {"word": "web"},
                }
                await cluster.create(words)
                await cluster.create(NEEDY)
                await becomes(webhook, review(pod("other")), False, "the word is web")
                await becomes(webhook, review(pod("web")), True)
                await cluster.update({**words, "data": {"word": "other"}})
                await becomes(webhook, review(pod("other")), True)
                await cluster.delete("kyverno.io/v1", "ClusterPolicy", "", "listed")

    asyncio.run(test())


def test_its_certificate_is_kept_in_a_secret_and_known_to_its_configurations(control_plane: Path) -> None:
    async def test() -> None:
        access = read_kubeconfig(control_plane)
        async with AsyncCluster(access) as cluster:
            await cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OWN}})
            await cluster.create(
                {
                    "apiVersion": "admissionregistration.k8s.io/v1",
                    "kind": "ValidatingWebhookConfiguration",
                    "metadata": {"name": "fairlead-admission"},
                    "webhooks": [
                        {
                            "name": "validate.fairlead.dev",
                            "clientConfig": {
                                "service": {
                                    "name": "fairlead-admission",
                                    "namespace": OWN,
                                    "path": "/validate",
                                }
                            },
                            "rules": [],
                            "sideEffects": "None",
                            "admissionReviewVersions": ["v1"],
                        }
                    ],
                }
            )
            options = Options(access=access, own_namespace=OWN)
            async with running(options) as one, running(options) as two:
                assert one.pair == two.pair
                secret = await cluster.get("v1", "Secret", OWN, "fairlead-admission-tls")
                assert base64.b64decode(secret["data"]["tls.crt"]) == one.pair.certificate
                assert secret["type"] == "kubernetes.io/tls"
                found = await cluster.get(
                    "admissionregistration.k8s.io/v1",
                    "ValidatingWebhookConfiguration",
                    "",
                    "fairlead-admission",
                )
                bundle = found["webhooks"][0]["clientConfig"]["caBundle"]
                assert base64.b64decode(bundle) == one.pair.authorities
            await cluster.delete("v1", "Secret", OWN, "fairlead-admission-tls")
            async with running(options) as three:
                assert three.pair.authorities != one.pair.authorities

    asyncio.run(test())
