"""The webhook server over real HTTPS: what it answers to reviews, and to what is none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairlead.faces.admission.app import BODY_LIMIT, App
from fairlead.faces.admission.grounds import FileGrounds
from fairlead.faces.admission.starting import Options
from fairlead.reactor.judging import Answerer
from fairlead.words import Need

from .conftest import Webhook, pod, review, running


def within(policies: Path, test: Any) -> None:
    """Run a test with a server that judges by the folder's policies."""

    async def run() -> None:
        async with running(Options(policies=(policies,), own_namespace="fairlead-system")) as webhook:
            await test(webhook)

    asyncio.run(run())


def test_it_allows_denies_warns_annotates_and_mutates(policies: Path) -> None:
    async def test(webhook: Webhook) -> None:
        fine = await webhook.ask(review(pod()))
        assert fine == {
            "uid": "705ab4f5",
            "allowed": True,
            "auditAnnotations": {"warn-root.image": "nginx:1.27"},
        }

        denied = await webhook.ask(review(pod(image="nginx:latest")))
        assert not denied["allowed"]
        assert denied["status"]["code"] == 403
        message = denied["status"]["message"]
        assert message.startswith("resource Pod/shop/web was blocked due to the following policies")
        assert "no-latest:" in message
        assert "a tag other than latest is wanted" in message
        assert "denied the request" not in message

        warned = await webhook.ask(review(pod(name="root")))
        assert warned["allowed"]
        assert any("root is a bad name" in text for text in warned["warnings"])

        changed = await webhook.mutated(pod())
        assert changed["metadata"]["labels"] == {"owner": "jane"}
        assert "patch" not in await webhook.ask(review(pod(labels={"owner": "joe"})), "/mutate")
        gone = await webhook.ask(review(None, old=pod(image="nginx:latest"), operation="DELETE"))
        assert gone["allowed"]
        assert (await webhook.ask(review(None, old=pod(), operation="DELETE"), "/mutate"))["allowed"]

    within(policies, test)


def test_the_control_plane_and_the_server_itself_are_never_locked_out(policies: Path) -> None:
    bad = "nginx:latest"

    async def test(webhook: Webhook) -> None:
        for namespace in ("kube-system", "kube-public", "kube-node-lease", "fairlead-system"):
            assert (await webhook.ask(review(pod(image=bad, namespace=namespace))))["allowed"], namespace
        for user in (
            {"username": "system:node:a", "groups": ["system:nodes"]},
            {"username": "system:apiserver"},
            {"username": "system:kube-scheduler"},
        ):
            asked = review(pod(image=bad), old=pod(image=bad), operation="UPDATE", userInfo=user)
            assert (await webhook.ask(asked))["allowed"], user
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": "a", "namespace": "shop"},
        }
        assert (await webhook.ask(review(lease, resource=("coordination.k8s.io", "v1", "leases"))))["allowed"]
        admin = {"username": "admin", "groups": ["system:masters"]}
        assert not (await webhook.ask(review(pod(image=bad), userInfo=admin)))["allowed"]
        controller = {"username": "system:serviceaccount:kube-system:replicaset-controller",
                      "groups": ["system:serviceaccounts:kube-system"]}  # fmt: skip
        assert not (await webhook.ask(review(pod(image=bad), userInfo=controller)))["allowed"]

    within(policies, test)


def test_what_is_no_review_gets_a_clear_answer_and_the_server_goes_on(policies: Path) -> None:
    async def test(webhook: Webhook) -> None:
        cases: list[tuple[Any, str]] = [
            (b"", "json parse error"),
            (b"{", "json parse error"),
            (b"[]", "it is no object"),
            ({"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview"}, "v1 AdmissionReview is wanted"),
            ({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}, "has no request"),
            (review(pod(), uid=7), "uid must be a text"),
            (review(pod(), operation="EXPLODE"), "operation must be one of"),
            (review(pod(), object=[1]), "object must be an object"),
            (review(pod(), object=None), "object must be an object for CREATE"),
            (review(pod(), object={"metadata": []}), "object must be an object with"),
            (review(pod(), userInfo={"groups": "dev"}), "groups must be a list"),
            (b"[" * 100_000, "json parse error"),
        ]  # fmt: skip
        for body, said in cases:
            answer = await webhook.post("/validate", body)
            assert answer.status_code == 400, answer.text
            assert answer.json()["kind"] == "Status"
            assert said in answer.json()["message"]
        kind = {"Content-Type": "text/yaml"}
        assert (await webhook.post("/validate", review(pod()), headers=kind)).status_code == 415
        charset = {"Content-Type": "application/json; charset=utf-8"}
        assert (await webhook.post("/validate", review(pod()), headers=charset)).status_code == 200
        assert (await webhook.post("/validate?timeout=soon", review(pod()))).status_code == 400
        assert (await webhook.post("/elsewhere", review(pod()))).status_code == 404
        assert (await webhook.http.get("/validate")).status_code == 405
        assert (await webhook.http.get("/healthz")).text == "ok\n"
        large = review(pod(annotations={"text": "x" * (BODY_LIMIT - 10_000)}))
        assert (await webhook.ask(large))["allowed"]
        assert (await webhook.post("/validate", b" " * (BODY_LIMIT + 1))).status_code == 413
        assert (await webhook.ask(review(pod())))["allowed"]

    within(policies, test)


HANGING = """\
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: ask-%(name)s}
spec:
  validationFailureAction: Enforce
  failurePolicy: %(how)s
  webhookTimeoutSeconds: %(seconds)d
  rules:
    - name: ask
      match: {any: [{resources: {kinds: [ConfigMap]}}]}
      context:
        - name: answer
          apiCall: {service: {url: "%(url)s"}}
      validate:
        message: no
        deny: {conditions: {any: [{key: "{{ answer }}", operator: Equals, value: no}]}}
"""

CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "namespace": "shop"}}


def config_map() -> dict[str, Any]:
    return review(CONFIG_MAP, resource=("", "v1", "configmaps"))


def test_a_late_policy_refuses_unless_it_says_ignore_and_holds_up_nobody(
    policies: Path, tmp_path: Path
) -> None:
    async def test() -> None:
        held = asyncio.Event()

        async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await held.wait()
            writer.close()

        silent = await asyncio.start_server(hang, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}/"
        folders = {}
        for how in ("Fail", "Ignore"):
            folders[how] = tmp_path / how
            folders[how].mkdir()
            text = HANGING % {"name": how.lower(), "how": how, "seconds": 1, "url": url}
            (folders[how] / "hanging.yaml").write_text(text)
        try:
            async with running(Options(policies=(policies, folders["Fail"]))) as webhook:
                late = asyncio.create_task(webhook.ask(config_map(), within="30s"))
                await asyncio.sleep(0.1)
                assert (await webhook.ask(review(pod())))["allowed"]
                assert not late.done()
                answer = await late
                assert not answer["allowed"]
                assert answer["status"]["code"] == 504
                assert "ask-fail" in answer["status"]["message"]
                assert "came to no verdict within 1 s" in answer["status"]["message"]
                sooner = await webhook.ask(config_map(), within="200ms")
                assert not sooner["allowed"]
            async with running(Options(policies=(policies, folders["Ignore"]))) as webhook:
                answer = await webhook.ask(config_map(), within="300ms")
                assert answer["allowed"]
                assert "policy ask-ignore came to no verdict" in answer["warnings"][0]
        finally:
            held.set()
            silent.close()
            await silent.wait_closed()

    asyncio.run(test())


MUTATING = """\
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: ask-first}
spec:
  failurePolicy: %s
  webhookTimeoutSeconds: 1
  rules:
    - name: ask
      match: {any: [{resources: {kinds: [Pod]}}]}
      context:
        - name: answer
          apiCall: {service: {url: "https://slow.example/"}}
      mutate:
        patchStrategicMerge: {metadata: {labels: {answer: "{{ answer }}"}}}
"""


def answered(app: App, body: Any, path: str = "/validate") -> tuple[int, Any]:
    """Ask an application without a server."""
    sent: list[Mapping[str, Any]] = []
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"timeout=2s",
        "headers": [(b"content-type", b"application/json")],
    }
    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], json.loads(sent[1]["body"])


def test_late_mutations_are_refused_or_passed_over_and_the_others_hold(policies: Path) -> None:
    async def never(needs: Sequence[Need], seconds: float) -> Mapping[Need, Any]:
        await asyncio.sleep(60)
        return {}

    for how in ("Fail", "Ignore"):
        (policies / "asking.yaml").write_text(MUTATING % how)
        app = App(FileGrounds([policies]), never)
        code, answer = answered(app, review(pod()), "/mutate")
        assert code == 200
        response = answer["response"]
        assert response["allowed"] == (how == "Ignore")
        if how == "Fail":
            assert "ask-first" in response["status"]["message"]
        else:
            assert response["patchType"] == "JSONPatch"
            assert "ask-first" in response["warnings"][0]


def test_a_slow_answer_in_time_is_used(policies: Path) -> None:
    (policies / "asking.yaml").write_text(MUTATING % "Fail")

    async def soon(needs: Sequence[Need], seconds: float) -> Mapping[Need, Any]:
        await asyncio.sleep(0.01)
        return dict.fromkeys(needs, "yes")

    code, answer = answered(App(FileGrounds([policies]), soon), review(pod()), "/mutate")
    assert code == 200
    assert answer["response"]["allowed"], answer


def test_changed_files_are_read_again(policies: Path) -> None:
    grounds = FileGrounds([policies])
    before = grounds.loaded
    assert not grounds._take(grounds._read())
    assert grounds.loaded is before
    (policies / "policies.yaml").write_text("{}")
    assert grounds._take(grounds._read())
    assert not [one for one in grounds.loaded.book.policies if one.name == "no-latest"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
FIELDS = sorted(review(pod())["request"])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_body_gives_a_500(policies: Path, data: st.DataObject) -> None:
    answerer = Answerer()
    app = App(FileGrounds([policies]), answerer.answer)
    body = data.draw(JSON | st.just(review(pod())), label="body")
    if isinstance(body, dict) and "request" in body:
        for field in data.draw(st.sets(st.sampled_from(FIELDS), max_size=3), label="fields"):
            body["request"][field] = data.draw(JSON, label=field)
        if isinstance(body["request"]["object"], dict):
            place = data.draw(st.sampled_from(["metadata", "spec", "kind", "labels"]), label="place")
            body["request"]["object"][place] = data.draw(JSON, label="value")
    for path in ("/validate", "/mutate"):
        code, answer = answered(app, body, path)
        assert code in {200, 400}, answer
