"""Policies that bring code of their own, from the document to the verdict: waPC, WASI and OPA-like modules, JavaScript."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fairlead.drivers.guests import HostCall, HostError
from fairlead.judge.surroundings import Question
from fairlead.keep.kinds import Catalogue
from fairlead.reactor.guesthosts import ScriptHost, WasmHost, trusted
from fairlead.reactor.guesting import execution_mode
from fairlead.reactor.judge import Bench, Row
from fairlead.reactor.kindnames import KindNames
from fairlead.words import Snapshot

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are confined by Linux' means")

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec: {containers: [{name: web, image: nginx}]}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: a}}
"""
KINDS = KindNames(Catalogue())

WAPC = r"""
(module
  (import "wapc" "__guest_request" (func $request (param i32 i32)))
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (import "wapc" "__host_call" (func $ask (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wapc" "__host_response_len" (func $size (result i32)))
  (import "wapc" "__host_error_len" (func $esize (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 0) "kubewarden" "kubernetes" "get_resource")
  (data (i32.const 64) "{\"api_version\":\"v1\",\"kind\":\"Namespace\",\"name\":\"shop\"}")
  (data (i32.const 256) "{\"valid\":true}")
  (data (i32.const 320) "{\"accepted\":true}")
  (data (i32.const 384) "{\"accepted\":false,\"message\":\"not seen\"}")
  (func (export "__guest_call") (param $operation i32) (param $length i32) (result i32)
    (if (i32.eq (local.get $operation) (i32.const 17))
      (then (call $response (i32.const 256) (i32.const 14)) (return (i32.const 1))))
    (if (call $ask (i32.const 0) (i32.const 10) (i32.const 10) (i32.const 10) (i32.const 20) (i32.const 12)
                   (i32.const 64) (i32.const 53))
      (then (call $response (i32.const 320) (i32.const 17)))
      (else (call $response (i32.const 384) (i32.const 39))))
    (i32.const 1)))
"""
"""Settings are valid; a request is accepted if the module may look at the namespace `shop`."""

WASI = r"""
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "{\"valid\":true,\"accepted\":false,\"message\":\"wasi says no\"}")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const 56))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))))
"""


def module(tmp_path: Path, text: str, mode: str = "") -> str:
    """Write a module, noted as Kubewarden's tools do, and return its address."""
    code = bytes(wasmtime.wat2wasm(text))
    if mode:
        noted = json.dumps({"executionMode": mode}).encode()
        name = b"io.kubewarden.metadata"
        section = bytes([len(name)]) + name + noted
        code += b"\0" + bytes([len(section)]) + section
    path = tmp_path / "policy.wasm"
    path.write_bytes(code)
    return path.as_uri()


def kubewarden(address: str, **spec: Any) -> str:
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}]
    return json.dumps(
        {
            "apiVersion": "policies.kubewarden.io/v1",
            "kind": "ClusterAdmissionPolicy",
            "metadata": {"name": "guest"},
            "spec": {"module": address, "rules": rules, "settings": {}, **spec},
        }
    )


def script(code: str, **spec: Any) -> str:
    return json.dumps(
        {
            "apiVersion": "policy.jspolicy.com/v1beta1",
            "kind": "JsPolicy",
            "metadata": {"name": "guest.example.com"},
            "spec": {"operations": ["CREATE"], "resources": ["pods"], "javascript": code, **spec},
        }
    )


def judged(policy: str) -> Row:
    """Judge the pod by a policy and return what the policy says."""

    async def run() -> Row:
        bench = Bench({"policy.json": policy}, {"pod.yaml": POD}, now=NOW)
        async with bench.answerer(online=False):
            found = await bench.judge()
        assert not found.findings
        (row,) = [one for one in found.rows if one.dialect in {"kubewarden", "jspolicy"}]
        return row

    return asyncio.run(run())


def test_a_module_sees_only_what_its_policy_lists(tmp_path: Path) -> None:
    address = module(tmp_path, WAPC)
    listed = [{"apiVersion": "v1", "kind": "Namespace"}]
    assert judged(kubewarden(address, contextAwareResources=listed)).result == "pass"
    row = judged(kubewarden(address))
    assert (row.result, row.message) == ("fail", "not seen")


def test_a_wasi_module_is_a_policy_too(tmp_path: Path) -> None:
    row = judged(kubewarden(module(tmp_path, WASI, "wasi")))
    assert (row.result, row.message) == ("fail", "wasi says no")


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("registry://example.com/policy:v1", "modules are not pulled from registries here"),
        ("https://example.com/policy.wasm", "not fetched from the network here"),
        ("file:///nowhere/policy.wasm", "No such file"),
    ],
)
def test_a_module_that_cannot_be_had_fails_closed(address: str, told: str) -> None:
    row = judged(kubewarden(address))
    assert row.result == "error"
    assert told in row.message
    assert "deny" in row.actions


def test_a_file_that_is_no_module_is_told(tmp_path: Path) -> None:
    path = tmp_path / "text.wasm"
    path.write_text("hello")
    assert "no WebAssembly module" in judged(kubewarden(path.as_uri())).message


def test_a_mode_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    module(tmp_path, WAPC, "guess")
    with pytest.raises(ValueError, match="guess"):
        execution_mode((tmp_path / "policy.wasm").read_bytes())


def test_a_program_looks_around_and_decides() -> None:
    code = """
    const space = get("Namespace", "v1", request.namespace);
    if (list("Pod", "v1", {namespace: "shop", labelSelector: "a=b"}).length) deny("unexpected");
    if (get("Namespace", "v1", "absent") !== undefined) deny("unexpected");
    if (atob(btoa("text")) !== "text") deny("unexpected");
    warn("seen " + space.metadata.labels.team);
    if (request.object.spec.containers[0].image === "nginx") deny("no tag", "Untagged", 418);
    """
    row = judged(script(code))
    assert (row.result, row.message, row.warnings) == ("fail", "no tag", ("seen a",))


def test_a_program_may_catch_what_goes_wrong() -> None:
    code = """
    try { create({apiVersion: "v1", kind: "Namespace", metadata: {name: "shop"}}); }
    catch (error) { deny(error.reason + ": " + error.message); }
    """
    assert judged(script(code)).message == 'AlreadyExists: namespaces "shop" already exists'
    assert "WrongArguments" in judged(script("get(1)")).message


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("while (true) {}", "within"),
        ("let all = []; while (true) all.push('x'.repeat(1e5));", "memory"),
        ("function f() { return f() + 1 } f()", "stack"),
        ("this is no program", "SyntaxError"),
        ("fetchSync('https://example.com')", "neither network nor files"),
        ("throw new Error('mine')", "mine"),
    ],
)
def test_a_hostile_program_fails_alone_and_closed(code: str, told: str) -> None:
    row = judged(script(code, timeoutSeconds=1 if told == "within" else 25))
    assert row.result == "error"
    assert told in row.message
    assert "deny" in row.actions


def asked(host: WasmHost | ScriptHost, namespace: str, operation: str, payload: Any) -> Any:
    call = HostCall("kubewarden", namespace, operation, json.dumps(payload).encode())
    return json.loads(asyncio.run(host.answer(call)))


SPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"team": "a"}}}
OTHER = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}}


def host(*, allowed: Any = None) -> WasmHost:
    return WasmHost(Snapshot([SPACE, OTHER]), KINDS, reads=frozenset({("v1", "Namespace")}), allowed=allowed)


def test_lists_are_selected() -> None:
    wanted = {"api_version": "v1", "kind": "Namespace"}

    def names(**more: str) -> list[str]:
        found = asked(host(), "kubernetes", "list_resources_all", {**wanted, **more})
        return [one["metadata"]["name"] for one in found["items"]]

    assert names() == ["other", "shop"]
    assert names(label_selector="team=a") == ["shop"]
    assert names(field_selector="metadata.name=other") == ["other"]
    assert names(field_selector="metadata.name!=other") == ["shop"]


@pytest.mark.parametrize(
    ("namespace", "operation", "payload", "told"),
    [
        ("kubernetes", "get_resource", {"api_version": "v1", "kind": "Secret", "name": "a"}, "does not list it"),
        ("kubernetes", "get_resource", {"api_version": "v1", "kind": "Namespace", "name": "x"}, "Cannot find"),
        ("kubernetes", "list_resources_all", {"api_version": "v1", "kind": "Namespace", "label_selector": "a in"}, "unable"),
        ("kubernetes", "can_i", {}, "nobody here to ask"),
        ("oci", "v2/verify", {}, "are not looked up here"),
        ("other", "thing", {}, "is not offered here"),
    ],
)  # fmt: skip
def test_what_a_module_may_not_have_is_refused(
    namespace: str, operation: str, payload: Any, told: str
) -> None:
    with pytest.raises(HostError, match=told):
        asked(host(), namespace, operation, payload)


def test_access_questions_are_answered() -> None:
    review = {"user": "jane", "groups": ["g"], "resource_attributes": {"verb": "get", "resource": "pods"}}
    seen: list[Question] = []

    def asks(question: Question) -> tuple[bool, str]:
        seen.append(question)
        return True, "because"

    answer = asked(host(allowed=asks), "kubernetes", "can_i", {"subject_access_review": review})
    assert answer == {"allowed": True, "reason": "because"}
    assert (seen[0].user.name, seen[0].verb, seen[0].resource) == ("jane", "get", "pods")


def certificates() -> tuple[Any, Any]:
    """Return a certificate and its issuer's."""

    def make(name: str, issuer: str, key: Any, signer: Any, *, ca: bool) -> x509.Certificate:
        def named(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        builder = x509.CertificateBuilder(
            named(issuer), named(name), key.public_key(), 1, NOW, NOW + timedelta(days=9)
        )
        return builder.add_extension(x509.BasicConstraints(ca, None), critical=True).sign(
            signer, hashes.SHA256()
        )

    root, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    return make("leaf", "root", leaf, root, ca=False), make("root", "root", root, root, ca=True)


def test_certificates_are_trusted_by_their_chain() -> None:
    leaf, root = certificates()
    other = certificates()[1]

    def told(one: Any) -> dict[str, Any]:
        return {"encoding": "Der", "data": list(one.public_bytes(serialization.Encoding.DER))}

    assert trusted({"cert": told(leaf), "cert_chain": [told(root)]})["trusted"]
    assert not trusted({"cert": told(leaf), "cert_chain": [told(other)]})["trusted"]
    late = (NOW + timedelta(days=30)).isoformat()
    assert not trusted({"cert": told(leaf), "not_after": late})["trusted"]
    with pytest.raises(HostError):
        trusted({})


def test_a_program_sees_what_it_did_and_the_reactor_gets_it_as_changes() -> None:
    view = Snapshot([SPACE])
    programs = ScriptHost(view, KINDS, user={})
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "shop"}}
    assert asked(programs, "", "create", [config])["value"]["ok"]
    assert asked(programs, "", "get", ["ConfigMap", "v1", "shop/a"])["value"] == config
    assert asked(programs, "", "create", [config])["error"]["reason"] == "AlreadyExists"
    assert asked(programs, "", "remove", [config])["value"]["ok"]
    assert asked(programs, "", "get", ["ConfigMap", "v1", "shop/a"])["value"] is None
    assert [one["verb"] for one in programs.changes] == ["create", "remove"]
    assert view.get("", "ConfigMap", "shop", "a") is None
