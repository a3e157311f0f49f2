"""The webhook server beside a real control plane: policies come and go, its certificate lives in a Secret."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from typing import Any

from tests.conftest import ControlPlane

from fairlead.drivers.cluster import AsyncCluster
from fairlead.faces.admission.starting import Options
from fairlead.keep.errors import Refusal

from .conftest import becomes, pod, policy, review, running

OWN = "fairlead-system"


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


def test_policies_and_what_they_look_up_are_followed(control_plane: ControlPlane) -> None:
    async def test() -> None:
        access = control_plane.access
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


def test_its_certificate_is_kept_in_a_secret_and_known_to_its_configurations(
    control_plane: ControlPlane,
) -> None:
    async def test() -> None:
        access = control_plane.access
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


def test_a_restart_of_the_control_plane_is_outlasted(control_plane: ControlPlane) -> None:
    async def test() -> None:
        access = control_plane.access
        async with AsyncCluster(access) as cluster, running(Options(access=access)) as webhook:
            await cluster.create(policy("lasting", "bad"))
            await becomes(webhook, review(pod(image="a:bad")), False, "not bad")
            await asyncio.to_thread(control_plane.stop)
            assert not (await webhook.ask(review(pod(image="a:bad"))))["allowed"]
            await asyncio.to_thread(control_plane.start)
            assert control_plane.access.server == access.server
            await cluster.delete("kyverno.io/v1", "ClusterPolicy", "", "lasting")
            await becomes(webhook, review(pod(image="a:bad")), True)

    asyncio.run(test())


TEMPLATE = {
    "apiVersion": "templates.gatekeeper.sh/v1",
    "kind": "ConstraintTemplate",
    "metadata": {"name": "barred"},
    "spec": {
        "crd": {
            "spec": {
                "names": {"kind": "Barred"},
                "validation": {
                    "openAPIV3Schema": {"type": "object", "properties": {"name": {"type": "string"}}}
                },
            }
        },
        "targets": [
            {
                "target": "admission.k8s.gatekeeper.sh",
                "rego": 'package barred\nviolation[{"msg": msg}] { input.review.object.metadata.name == '
                'input.parameters.name; msg := sprintf("%v is barred", [input.parameters.name]) }',
            }
        ],
    },
}


def definition(kind: str) -> dict[str, Any]:
    plural = kind.lower()
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.constraints.gatekeeper.sh"},
        "spec": {
            "group": "constraints.gatekeeper.sh",
            "names": {"kind": kind, "plural": plural, "singular": plural},
            "scope": "Cluster",
            "versions": [
                {"name": "v1beta1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
            ],
        },
    }


def test_kinds_of_policies_may_come_and_go(control_plane: ControlPlane) -> None:
    async def test() -> None:
        access = control_plane.access
        async with AsyncCluster(access) as cluster, running(Options(access=access)) as webhook:
            await cluster.create(TEMPLATE)
            try:
                await cluster.create(definition("Barred"))
            except Refusal as refusal:  # whoever made the template real was faster
                if refusal.reason != "AlreadyExists":
                    raise
            constraint = {
                "apiVersion": "constraints.gatekeeper.sh/v1beta1",
                "kind": "Barred",
                "metadata": {"name": "no-web"},
                "spec": {
                    "match": {"kinds": [{"apiGroups": [""], "kinds": ["Pod"]}]},
                    "parameters": {"name": "web"},
                },
            }
            for _ in range(100):
                try:
                    await cluster.create(constraint)
                    break
                except Refusal as refusal:
                    if refusal.code != 404:
                        raise
                    await asyncio.sleep(0.05)
            await cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
            denied = await becomes(webhook, review(pod()), False, "web is barred")
            assert denied["status"]["message"] == "[no-web] web is barred"
            await cluster.delete("templates.gatekeeper.sh/v1", "ConstraintTemplate", "", "barred")
            name = "barred.constraints.gatekeeper.sh"
            with contextlib.suppress(Refusal):
                await cluster.delete("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", name)
            await becomes(webhook, review(pod()), True)

    asyncio.run(test())
