"""Signatures as rules ask for them, and as whoever pulls demands them: what is not proven is refused, and nothing is remembered too long."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from notary import ISSUER, JANE, NOW, Shelf, Sigstore, put

from fairlead.drivers.oci.descriptors import Descriptor
from fairlead.drivers.oci.errors import Unreachable
from fairlead.drivers.oci.layouts import Layout
from fairlead.drivers.oci.references import Reference
from fairlead.drivers.signatures.attachments import attach_bundle
from fairlead.drivers.signatures.faults import Unverified
from fairlead.drivers.signatures.keys import generate
from fairlead.drivers.signatures.signing import KeySigner, attest_artifact, sign_artifact
from fairlead.drivers.signatures.statements import statement
from fairlead.judge.signatures import SIGNING, AuthorityAsked, data_need, digest_need, verification_need
from fairlead.reactor.admit import Unanswered
from fairlead.reactor.verifying_demands import (
    BadDemand,
    Demands,
    accepting,
    read_folder,
    read_policies,
    require,
)
from fairlead.reactor.verifying_images import Images, logins
from fairlead.words import Need, Ref, Snapshot


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    store, ref = Layout(tmp_path / "layout"), Reference("registry.test", "shop/app", "1.0")
    made = Shelf(store, ref, asyncio.run(put(store, ref, "hello")))
    asyncio.run(store.tag(ref.at(made.digest), "1.0"))
    return made


@pytest.fixture(scope="module")
def signer() -> KeySigner:
    return KeySigner(generate())


IMAGE = "registry.test/shop/app:1.0"


def keyed(signer: KeySigner, **more: Any) -> AuthorityAsked:
    return {"name": "k", "keys": [{"pem": signer.key.pem, "hash": ""}], "log": "check", **more}  # type: ignore[typeddict-item]  # the parts are its fields


def asked(images: Images, *authorities: AuthorityAsked, image: str = IMAGE) -> Any:
    return asyncio.run(images(verification_need(image, list(authorities)), 5))


def test_an_answer_names_the_digest_and_what_each_proved(shelf: Shelf, signer: KeySigner) -> None:
    asyncio.run(
        sign_artifact(shelf.store, shelf.ref, shelf.artifact, signer, NOW, annotations={"env": "prod"})
    )
    images = Images(store=shelf.store, clock=lambda: NOW)
    other: AuthorityAsked = {
        "name": "o",
        "keys": [{"pem": KeySigner(generate()).key.pem, "hash": ""}],
        "log": "check",
    }
    answer = asked(
        images, keyed(signer), other, {"name": "nobody"}, {"name": "bad", "keys": [{"pem": "x", "hash": ""}]}
    )
    assert (answer["digest"], answer["image"]) == (shelf.digest, f"{IMAGE}@{shelf.digest}")
    first, second, third, fourth = answer["found"]
    assert first["proven"][0]["annotations"] == {"env": "prod"}
    assert (second["proven"], "not signed by the key" in second["error"]) == ([], True)
    assert (third["proven"], third["error"].endswith("nobody is trusted to have signed it")) == ([], True)
    assert (fourth["proven"], fourth["error"]) == ([], "bad: the key: not PEM, which begins with -----BEGIN")
    assert asyncio.run(images(digest_need(IMAGE), 5))["digest"] == shelf.digest


class Counting:
    """A store that counts what it is asked, and may be away."""

    def __init__(self, store: Layout) -> None:
        self.store, self.asked, self.away = store, 0, False

    async def resolve(self, ref: Reference) -> Descriptor:
        if self.away:
            raise Unreachable("registry.test does not answer")
        return await self.store.resolve(ref)

    async def referrers(self, repository: Any, digest: str, artifact_type: str = "") -> Sequence[Descriptor]:
        self.asked += 1
        return await self.store.referrers(repository, digest, artifact_type)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


def test_answers_are_kept_by_digest_and_a_moved_tag_is_seen(shelf: Shelf, signer: KeySigner) -> None:
    counting: Any = Counting(shelf.store)
    images = Images(store=counting, clock=lambda: NOW)

    async def work() -> None:
        await sign_artifact(shelf.store, shelf.ref, shelf.artifact, signer, NOW)
        need = verification_need(IMAGE, [keyed(signer)])
        for _ in range(3):
            assert (await images(need, 5))["found"][0]["proven"]
        assert counting.asked == 1
        other = await put(shelf.store, shelf.ref, "other")
        await shelf.store.tag(shelf.ref.at(other.digest), "1.0")
        answer = await images(need, 5)
        assert (answer["digest"], answer["found"][0]["proven"]) == (other.digest, [])
        assert answer["found"][0]["error"].endswith(": not signed")
        counting.away = True
        with pytest.raises(Unanswered, match="does not answer"):
            await images(need, 5)

    asyncio.run(work())


def test_keyless_with_a_root_of_ones_own(shelf: Shelf) -> None:
    sigstore = Sigstore()
    body = sigstore.bundle(statement(shelf.digest, SIGNING, {}))
    asyncio.run(
        attach_bundle(
            shelf.store, shelf.ref, shelf.artifact, json.dumps(body).encode(), SIGNING, "2026-01-20T12:00:00Z"
        )
    )
    who: AuthorityAsked = {"name": "jane", "identities": [{"subject": JANE, "issuer": ISSUER}]}
    images = Images(store=shelf.store, clock=lambda: NOW)
    given = asked(images, {**who, "root": {"trustedRoot": sigstore.document()}})
    assert given["found"][0]["proven"][0]["subject"] == JANE
    (missed,) = asked(images, who)["found"]
    assert (missed["proven"], "sigstore's production trust root does not trust" in missed["error"]) == (
        [],
        True,
    )
    usual = Images(store=shelf.store, clock=lambda: NOW, usual=sigstore.root())
    assert asked(usual, who)["found"][0]["proven"]


def test_what_a_registry_says_of_an_image(shelf: Shelf) -> None:
    images = Images(store=shelf.store)
    found = asyncio.run(images(data_need(IMAGE), 5))
    assert (found["digest"], found["resolvedImage"]) == (
        shelf.digest,
        f"registry.test/shop/app@{shelf.digest}",
    )
    assert found["manifest"]["layers"]
    with pytest.raises(Unanswered, match=r"no such|there is no|not found"):
        asyncio.run(images(data_need("registry.test/shop/app:2.0"), 5))
    with pytest.raises(Unanswered, match="lower case"):
        asyncio.run(images(data_need("registry.test/Shop/app:2.0"), 5))


def guest(images: Images, operation: str, payload: Any) -> Any:
    return asyncio.run(images.kubewarden(operation, payload))


def test_what_guests_of_kubewarden_ask(shelf: Shelf, signer: KeySigner) -> None:
    asyncio.run(
        sign_artifact(shelf.store, shelf.ref, shelf.artifact, signer, NOW, annotations={"env": "prod"})
    )
    sigstore = Sigstore()
    uri = "https://github.com/shop/app/.github/workflows/ci.yml@refs/heads/main"
    issuer = "https://token.actions.githubusercontent.com"
    body = sigstore.bundle(
        statement(shelf.digest, SIGNING, {}, annotations={"env": "prod"}), subject=uri, issuer=issuer
    )
    asyncio.run(
        attach_bundle(
            shelf.store, shelf.ref, shelf.artifact, json.dumps(body).encode(), SIGNING, "2026-01-20T12:00:00Z"
        )
    )
    images = Images(store=shelf.store, clock=lambda: NOW, usual=sigstore.root())
    trusted = {"is_trusted": True, "digest": shelf.digest}
    plain = {"image": IMAGE, "pub_keys": [signer.key.pem], "annotations": {"env": "prod"}}
    assert guest(images, "v1/verify", plain) == trusted
    assert guest(images, "v1/verify", {"SigstorePubKeyVerify": plain}) == trusted
    assert guest(images, "v2/verify", {"type": "SigstorePubKeyVerify", **plain}) == trusted
    keyless = {"image": IMAGE, "keyless": [{"issuer": issuer, "subject": uri}], "annotations": None}
    assert guest(images, "v2/verify", keyless) == trusted
    prefix = {
        "image": IMAGE,
        "keyless_prefix": [{"issuer": issuer, "url_prefix": "https://github.com/shop/"}],
    }
    assert guest(images, "v2/verify", prefix) == trusted
    assert guest(images, "v2/verify", {"image": IMAGE, "owner": "shop", "repo": "app"}) == trusted
    assert guest(images, "v1/manifest_digest", IMAGE) == {"digest": shelf.digest}
    assert guest(images, "v1/oci_manifest", IMAGE)["schemaVersion"] == 2
    assert guest(images, "v1/oci_manifest_config", IMAGE)["config"] == {}
    another = KeySigner(generate()).key.pem
    for payload, told in (
        ({**plain, "pub_keys": [signer.key.pem, another]}, "is not trusted"),
        ({**plain, "annotations": {"env": "test"}}, "did not annotate it with env=test"),
        ({**plain, "pub_keys": []}, "nobody is named"),
        ({"image": IMAGE, "owner": "sho"}, "is wanted"),
        ({"image": IMAGE, "owner": "shop", "repo": "ap"}, "is wanted"),
        ({**keyless, "keyless": [{"issuer": issuer, "subject": "x"}]}, "and x by"),
        ({}, "names no|repository"),
        ("text", "names no|repository|nobody"),
    ):
        with pytest.raises(Unanswered, match=told):
            guest(images, "v2/verify", payload)
    for operation, payload in (("v1/manifest_digest", {}), ("v3/verify", plain), ("v1/other", IMAGE)):
        with pytest.raises(Unanswered, match=r"wanted|not offered"):
            guest(images, operation, payload)


def test_modules_of_policies_are_pulled_and_may_have_to_be_signed(
    shelf: Shelf, signer: KeySigner, tmp_path: Path
) -> None:
    trust = tmp_path / "trust"
    images = Images(store=shelf.store, accept=accepting(trust, lambda: NOW))
    address = f"registry://{IMAGE}"
    assert asyncio.run(images.module(address, 100)) == b"hello"
    trust.mkdir()
    (trust / "policy.yaml").write_text(policy(signer))
    with pytest.raises(Unanswered, match=r"the policy mine refuses it: .*not signed"):
        asyncio.run(images.module(address, 100))
    asyncio.run(
        sign_artifact(shelf.store, shelf.ref, shelf.artifact, signer, NOW, forms=frozenset({"legacy"}))
    )
    assert asyncio.run(images.module(address, 100)) == b"hello"
    (trust / "policy.yaml").write_text("a: [")
    with pytest.raises(Unanswered, match=r"policy\.yaml"):
        asyncio.run(images.module(address, 100))


def policy(signer: KeySigner, glob: str = "**", **more: Any) -> str:
    authority = {"name": "mine", "key": {"data": signer.key.pem}}
    spec = {"images": [{"glob": glob}], "authorities": [authority], **more}
    return json.dumps({
        "apiVersion": "policy.sigstore.dev/v1beta1", "kind": "ClusterImagePolicy", "metadata": {"name": "mine"}, "spec": spec
    })  # fmt: skip


def demands(*texts: str) -> Demands:
    policies, roots = read_policies({f"{index}.yaml": text for index, text in enumerate(texts)})
    return Demands((), policies, roots)


def pulled(shelf: Shelf, wanted: Demands, now: datetime = NOW) -> Any:
    return asyncio.run(require(shelf.store, shelf.ref, shelf.digest, wanted, now))


def test_what_is_pulled_meets_every_demand(shelf: Shelf, signer: KeySigner) -> None:
    assert pulled(shelf, Demands()) is None
    assert not Demands()
    with pytest.raises(Unverified, match="not signed"):
        pulled(shelf, Demands((keyed(signer),)))
    asyncio.run(
        sign_artifact(
            shelf.store, shelf.ref, shelf.artifact, signer, NOW, forms=frozenset({"legacy", "bundle"})
        )
    )
    found = pulled(shelf, Demands((keyed(signer),)))
    assert found.pinned.endswith(shelf.digest)
    assert pulled(shelf, demands(policy(signer))).proven
    assert pulled(shelf, demands(policy(signer, "registry.test/shop/*"))) is not None
    assert pulled(shelf, demands(policy(signer, "registry.test/other/**"))) is None
    assert pulled(shelf, demands(policy(signer, match=[{"resource": "pods", "version": "v1"}]))) is None
    stranger = KeySigner(generate())
    with pytest.raises(Unverified, match="the policy mine refuses it"):
        pulled(shelf, demands(policy(signer), policy(stranger)))
    assert pulled(shelf, demands(policy(stranger, mode="warn"))).reasons
    deny = policy(signer, authorities=[{"static": {"action": "fail", "message": "never"}}])
    with pytest.raises(Unverified, match="disallowed by static policy: never"):
        pulled(shelf, demands(deny))
    assert pulled(shelf, demands(policy(signer, authorities=[{"static": {"action": "pass"}}]))) is not None
    with pytest.raises(BadDemand, match="not PEM"):
        pulled(shelf, Demands(({"name": "k", "keys": [{"pem": "x", "hash": ""}]},)))


REGO = """package sigstore
default isCompliant = false
isCompliant { input.predicate.builder.id == "us" }
"""
OVERALL = """package sigstore
isCompliant[response] {
  count(input.authorityMatches.mine.attestations.built) < 2
  response := {"result": false, "error": "one is not enough"}
}
"""


def test_attestations_of_policies(shelf: Shelf, signer: KeySigner) -> None:
    wanted = {"name": "built", "predicateType": "slsaprovenance1", "policy": {"type": "rego", "data": REGO}}
    authority = {
        "name": "mine",
        "key": {"data": signer.key.pem},
        "attestations": [wanted],
        "signatureFormat": "bundle",
    }
    text = policy(signer, authorities=[authority])
    with pytest.raises(Unverified, match="no matching attestations with type slsaprovenance1"):
        pulled(shelf, demands(text))

    async def attest(who: str) -> None:
        kind = "https://slsa.dev/provenance/v1"
        await attest_artifact(
            shelf.store,
            shelf.ref,
            shelf.artifact,
            signer,
            NOW,
            predicate_type=kind,
            predicate={"builder": {"id": who}},
        )

    asyncio.run(attest("them"))
    with pytest.raises(Unverified, match=r"failed policy validation for built: policy is not compliant"):
        pulled(shelf, demands(text))
    asyncio.run(attest("us"))
    assert pulled(shelf, demands(text)).proven
    overall = {"type": "rego", "data": OVERALL}
    with pytest.raises(Unverified, match="with errors: one is not enough"):
        pulled(shelf, demands(policy(signer, authorities=[authority], policy=overall)))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("kind: Pod\napiVersion: v1", "only ClusterImagePolicy and TrustRoot are read here"),
        ("a: [", "0.yaml"),
        (json.dumps({"apiVersion": "policy.sigstore.dev/v1beta1", "kind": "ClusterImagePolicy", "metadata": {"name": "a"},
                     "spec": {"images": [{"glob": "**"}]}}), "authorities: missing"),
        (json.dumps({"apiVersion": "policy.sigstore.dev/v1beta1", "kind": "ClusterImagePolicy", "metadata": {"name": "a"},
                     "spec": {"images": [{"glob": "**"}], "authorities": [{"static": {"action": "pass"}}], "typo": 1}}), "typo"),
    ],
)  # fmt: skip
def test_demands_that_nobody_understands_are_not_met(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(BadDemand, match=told):
        demands(text)
    (tmp_path / "0.yaml").write_text(text)
    with pytest.raises(BadDemand, match=told):
        read_folder(tmp_path)


def test_pull_secrets() -> None:
    auths = {
        "https://registry.test/v1/": {"auth": "YTpi"},
        "other.test:5000": {"username": "u", "password": "p"},
        "bad": {"auth": "%"},
    }

    def secret(**data: Any) -> Mapping[str, Any]:
        import base64

        return {
            "data": {
                key: base64.b64encode(json.dumps(value).encode()).decode() for key, value in data.items()
            }
        }

    found = logins(dict(secret(**{".dockerconfigjson": {"auths": auths}})))
    assert {host: (one.username, one.password) for host, one in found.items()} == {
        "registry.test": ("a", "b"), "other.test:5000": ("u", "p")
    }  # fmt: skip
    assert logins(dict(secret(**{".dockercfg": auths}))) == found
    assert logins({"data": {".dockerconfigjson": "%"}}) == {}
    view = Snapshot()
    images = Images(lambda: view)
    need = Need(
        "image.verification",
        Ref("", "", "", "registry.invalid/a:1"),
        (("what", "nothing"), ("credentials", '{"secrets": ["n/s"]}')),
    )
    with pytest.raises(Unanswered):
        asyncio.run(images(replace(need, about=Ref("", "", "", "///")), 5))
