"""A real webhook server on a free port, and reviews to send to it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from fairlead.faces.admission.keypairs import KeyPair
from fairlead.faces.admission.starting import Options, serve
from fairlead.tongues import jsonpatch

USER = {"username": "jane", "groups": ["dev", "system:authenticated"]}


def pod(name: str = "web", image: str = "nginx:1.27", namespace: str = "shop", **meta: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, **meta},
        "spec": {"containers": [{"name": "main", "image": image}]},
    }


def review(
    object_: dict[str, Any] | None,
    *,
    old: dict[str, Any] | None = None,
    operation: str = "CREATE",
    resource: tuple[str, str, str] = ("", "v1", "pods"),
    **more: Any,
) -> dict[str, Any]:
    one = object_ or old or {}
    meta = one.get("metadata", {})
    group, version, plural = resource
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5",
            "kind": {"group": group, "version": version, "kind": one.get("kind", "Pod")},
            "resource": {"group": group, "version": version, "resource": plural},
            "name": meta.get("name", ""),
            "namespace": meta.get("namespace", ""),
            "operation": operation,
            "userInfo": USER,
            "object": object_,
            "oldObject": old,
            "dryRun": False,
            **more,
        },
    }


@dataclass
class Webhook:
    """A server that runs, seen by a client that trusts its authority."""

    url: str
    port: int
    pair: KeyPair
    http: httpx.AsyncClient

    async def post(self, path: str, body: Any, **settings: Any) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **settings.pop("headers", {})}
        return await self.http.post(path, content=content, headers=headers, **settings)

    async def ask(self, body: Any, path: str = "/validate", within: str = "10s") -> dict[str, Any]:
        answer = await self.post(f"{path}?timeout={within}", body)
        assert answer.status_code == 200, answer.text
        document = answer.json()
        assert document["kind"] == "AdmissionReview"
        assert document["response"]["uid"] == body["request"]["uid"]
        return dict(document["response"])

    async def mutated(self, object_: dict[str, Any]) -> Any:
        response = await self.ask(review(object_), "/mutate")
        assert response["allowed"], response
        assert response["patchType"] == "JSONPatch"
        return jsonpatch.apply(object_, json.loads(base64.b64decode(response["patch"])))


def trusting(authorities: bytes) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=authorities.decode())


@contextlib.asynccontextmanager
async def running(options: Options) -> AsyncIterator[Webhook]:
    """Serve while the context is open, and until the server is ready."""
    started: asyncio.Future[tuple[int, KeyPair]] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(
        serve(replace(options, port=0), lambda port, pair: started.set_result((port, pair)))
    )
    try:
        both: set[asyncio.Future[Any]] = {task, started}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED, timeout=30)
        if task.done():
            task.result()
        port, pair = started.result()
        url = f"https://127.0.0.1:{port}"
        async with httpx.AsyncClient(
            base_url=url, verify=trusting(pair.authorities), timeout=30, trust_env=False
        ) as http:
            for _ in range(400):
                if (await http.get("/readyz")).status_code == 200:
                    break
                await asyncio.sleep(0.05)
            else:
                pytest.fail((await http.get("/readyz")).text)
            yield Webhook(url, port, pair, http)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def becomes(webhook: Webhook, body: Any, allowed: bool, text: str = "") -> dict[str, Any]:
    """Ask until the answer is as it should be."""
    answer: dict[str, Any] = {}
    for _ in range(200):
        answer = await webhook.ask(body)
        if answer["allowed"] == allowed and text in json.dumps(answer):
            return answer
        await asyncio.sleep(0.05)
    pytest.fail(f"the answer stays {answer}")


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


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "policies.yaml").write_text(POLICIES)
    return folder


POLICIES = """\
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: no-latest}
spec:
  validationFailureAction: Enforce
  rules:
    - name: tag
      match: {any: [{resources: {kinds: [Pod]}}]}
      validate:
        message: a tag other than latest is wanted
        pattern: {spec: {containers: [{image: "!*:latest"}]}}
---
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: owner}
spec:
  rules:
    - name: label
      match: {any: [{resources: {kinds: [Pod]}}]}
      mutate:
        patchStrategicMerge: {metadata: {labels: {+(owner): "{{ request.userInfo.username }}"}}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: warn-root}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: ["*"], operations: ["*"], resources: [pods]}]
  validations: [{expression: "object == null || object.metadata.name != 'root'", message: root is a bad name}]
  auditAnnotations: [{key: image, valueExpression: "object == null ? '' : object.spec.containers[0].image"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: warn-root}
spec: {policyName: warn-root, validationActions: [Warn, Audit]}
"""
