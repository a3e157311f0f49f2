"""Who signed, when, and what: every way in which a signature does not hold has its own text, and none passes."""

from __future__ import annotations

import asyncio
import base64
import copy
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID
from notary import ISSUER, JANE, NOW, SIGNED, Shelf, Sigstore, authority, b64, key

from fairlead.drivers.signatures import attachments
from fairlead.drivers.signatures.attachments import (
    MOST,
    attach_bundle,
    attach_layer,
    signature_annotation,
    tag_of,
)
from fairlead.drivers.signatures.bundles import IN_TOTO, SIMPLE, encoding, read_bundle
from fairlead.drivers.signatures.certificates import Identity
from fairlead.drivers.signatures.faults import BadProof, BadTrust, Unsigned, Unverified
from fairlead.drivers.signatures.keys import generate, public_of, sign
from fairlead.drivers.signatures.roots import Root, embedded, read_root
from fairlead.drivers.signatures.signing import KeySigner, attest_artifact, sign_artifact
from fairlead.drivers.signatures.statements import simple_signing, statement
from fairlead.drivers.signatures.verifying import Authority, Proven, Verified, examine, verify_artifact
from fairlead.judge.signatures import SIGNING

HEX = "ab" * 32
DIGEST = f"sha256:{HEX}"


def jane(root: Root, **more: Any) -> Authority:
    who = (Identity(subject=JANE, issuer=ISSUER),)
    return Authority(**{"name": "jane", "identities": who, "root": root, **more})


def check(document: dict[str, Any], authority_: Authority, predicate: str = SIGNING) -> Proven:
    (candidate,) = read_bundle(json.dumps(document), "the bundle")
    return examine(candidate, authority_, DIGEST, NOW, predicate)


def refused(document: dict[str, Any], authority_: Authority, predicate: str = SIGNING) -> str:
    with pytest.raises(BadProof) as error:
        check(document, authority_, predicate)
    return str(error.value)


PAYLOAD = statement(DIGEST, SIGNING, {}, annotations={"env": "prod"})


def test_keyless(sigstore: Sigstore) -> None:
    found = check(sigstore.bundle(PAYLOAD), jane(sigstore.root()))
    assert (found.subject, found.issuer, found.logged) == (JANE, ISSUER, True)
    assert found.when == SIGNED + timedelta(minutes=1)
    assert found.signer == f"{JANE} ({ISSUER})"


def test_a_timestamp_proves_when_where_the_log_does_not(sigstore: Sigstore) -> None:
    bundle = sigstore.bundle(PAYLOAD, promised=False, stamped=True)
    assert check(bundle, jane(sigstore.root())).when == SIGNED + timedelta(minutes=1)
    assert check(bundle, jane(sigstore.root(), stamped=True)).logged
    without = sigstore.bundle(PAYLOAD, logs=False, stamped=True)
    assert check(without, jane(sigstore.root(), log="check", stamped=True)).when is not None
    assert refused(without, jane(sigstore.root())) == "it is in no transparency log"


def test_regular_expressions_and_extensions(sigstore: Sigstore) -> None:
    uri = "https://github.com/shop/app/.github/workflows/release.yml@refs/tags/v1"
    repository = {"1.3.6.1.4.1.57264.1.12": "https://github.com/shop/app"}
    bundle = sigstore.bundle(PAYLOAD, subject=uri, extra=repository)
    who = (Identity(subject_regexp=r"^https://github\.com/shop/", issuer_regexp="^https://accounts"),)
    asked = {"sourceRepositoryURI": "https://github.com/shop/app"}
    assert check(bundle, jane(sigstore.root(), identities=who, extensions=asked)).subject == uri
    assert "the certificate's sourceRepositoryURI is" in refused(
        bundle,
        jane(
            sigstore.root(), identities=who, extensions={"sourceRepositoryURI": "https://github.com/evil/app"}
        ),
    )
    prefix = (Identity(subject="https://github.com/shop/app", prefix=True),)
    check(bundle, jane(sigstore.root(), identities=prefix))
    assert refused(
        bundle, jane(sigstore.root(), identities=(Identity(subject="https://github.com/sho", prefix=True),))
    )
    assert refused(bundle, jane(sigstore.root(), identities=(Identity(),))).endswith("and anybody is wanted")
    assert "pattern cannot be used" in refused(
        bundle, jane(sigstore.root(), identities=(Identity(subject_regexp="("),))
    )


def test_somebody_else(sigstore: Sigstore) -> None:
    said = refused(sigstore.bundle(PAYLOAD, subject="mallory@example.com"), jane(sigstore.root()))
    assert said == f"signed by mallory@example.com by {ISSUER}, and {JANE} by {ISSUER} is wanted"
    said = refused(sigstore.bundle(PAYLOAD, issuer="https://evil.example.com"), jane(sigstore.root()))
    assert said.startswith(f"signed by {JANE} by https://evil.example.com")


def test_another_authority(sigstore: Sigstore) -> None:
    stranger = Sigstore()
    root = replace(sigstore.root(), logs=stranger.root().logs)
    assert refused(stranger.bundle(PAYLOAD), jane(root)).startswith(
        "the certificate was issued by CN=test intermediate, and only CN=test root is trusted"
    )
    shorter = authority("short", sigstore.ca, length=0)
    chained = replace(sigstore)
    chained.between = authority("test intermediate", shorter)
    bundle = chained.bundle(PAYLOAD)
    root = replace(sigstore.root(), issuers=chained.root().issuers[:0] + sigstore.root().issuers)
    assert "was issued by" in refused(bundle, jane(root))


def test_times(sigstore: Sigstore) -> None:
    late = refused(sigstore.bundle(PAYLOAD, when=SIGNED + timedelta(hours=1)), jane(sigstore.root()))
    assert late.startswith("the certificate held from 2026-01-20 12:00:00 to 2026-01-20 12:10:00 UTC")
    assert late.endswith("and the signature was made at 2026-01-20 13:00:00 UTC")
    both = sigstore.bundle(PAYLOAD, stamped=True, stamp_time=SIGNED + timedelta(days=1))
    assert "and the signature was made at 2026-01-21" in refused(both, jane(sigstore.root()))
    future = NOW + timedelta(hours=2)
    said = refused(sigstore.bundle(PAYLOAD, start=future, when=future), jane(sigstore.root()))
    assert "is this machine's clock right?" in said
    assert refused(sigstore.bundle(PAYLOAD, promised=False), jane(sigstore.root())).startswith(
        "nothing proves when"
    )
    unlogged = sigstore.bundle(PAYLOAD, logs=False)
    ignoring = jane(sigstore.root(), log="ignore")
    assert "the certificate has expired" in refused(unlogged, ignoring)
    check(sigstore.bundle(PAYLOAD, logs=False, start=NOW - timedelta(minutes=5)), ignoring)
    early = sigstore.bundle(PAYLOAD, logs=False, start=NOW + timedelta(minutes=5))
    assert "the certificate holds from" in refused(early, ignoring)
    before = sigstore.root(tlogs=[_dated(sigstore, "tlogs", end="2025-01-01T00:00:00Z")])
    assert "when its log was not to be trusted" in refused(sigstore.bundle(PAYLOAD), jane(before))
    exactly = sigstore.root(tlogs=[_dated(sigstore, "tlogs", end="2026-01-20T12:01:00Z")])
    check(sigstore.bundle(PAYLOAD), jane(exactly))


def _dated(sigstore: Sigstore, which: str, **span: str) -> dict[str, Any]:
    found = copy.deepcopy(sigstore.document()[which][0])
    found["publicKey"]["validFor"] = {"start": "2023-01-01T00:00:00Z", **span}
    return dict(found)


def test_a_trust_root_has_to_be_dated(sigstore: Sigstore) -> None:
    undated = copy.deepcopy(sigstore.document())
    undated["tlogs"][0]["publicKey"]["validFor"] = {}
    with pytest.raises(BadTrust, match=r"there is no validFor\.start"):
        read_root(json.dumps(undated), "root.json")
    for text in ("[]", "{}", "{", "[" * 100_000, json.dumps({**sigstore.document(), "tlogs": 3})):
        with pytest.raises(BadTrust):
            read_root(text, "root.json")
    assert embedded().issuers
    assert embedded("staging").logs
    with pytest.raises(BadTrust, match="there is no trust root"):
        embedded("mine")


def test_promises_of_certificate_logs(sigstore: Sigstore) -> None:
    bare = sigstore.bundle(PAYLOAD, promised=True)
    check(bare, jane(sigstore.root()))
    own = key()
    hidden = sigstore.bundle(PAYLOAD, own=own, certificate=sigstore.certify(own, promised=False))
    assert "it holds no SCT" in refused(hidden, jane(sigstore.root()))
    check(hidden, jane(sigstore.root(), promised=False))
    root = replace(sigstore.root(), certificate_logs=Sigstore().root().certificate_logs)
    assert "the certificate's SCT is by no trusted certificate log" in refused(bare, jane(root))


def test_certificates_that_sign_no_code(sigstore: Sigstore) -> None:
    own = key()
    certificate = sigstore.certify(own, usage=ExtendedKeyUsageOID.CLIENT_AUTH)
    said = refused(sigstore.bundle(PAYLOAD, own=own, certificate=certificate), jane(sigstore.root()))
    assert said == "the certificate is not for signing code: its extended key usage has no codeSigning"
    stolen = sigstore.bundle(PAYLOAD, own=key(), certificate=certificate)
    assert "the signature is not by the certificate's key" in refused(stolen, jane(sigstore.root()))


def spoilt(sigstore: Sigstore, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> dict[str, Any]:
    """Return a bundle whose entry was changed, with another good bundle at hand."""
    bundle = sigstore.bundle(PAYLOAD)
    other = sigstore.bundle(statement(f"sha256:{'cd' * 32}", SIGNING, {}))
    change(bundle["verificationMaterial"]["tlogEntries"][0], other["verificationMaterial"]["tlogEntries"][0])
    return bundle


SPOILT: list[tuple[str, Callable[[dict[str, Any], dict[str, Any]], Any], str]] = [
    ("another artifact's entry", lambda one, other: one.update(other), "the log entry is of another artifact"),
    ("another body", lambda one, other: one.update(canonicalizedBody=other["canonicalizedBody"]), "promise (SET) is not signed"),
    ("another time", lambda one, _: one.update(integratedTime="1768910000"), "promise (SET) is not signed"),
    ("no promise, another body",
     lambda one, other: (one.pop("inclusionPromise"), one.update(canonicalizedBody=other["canonicalizedBody"])),
     "inclusion proof does not lead to its root hash"),
    ("another place", lambda one, _: one["inclusionProof"].update(logIndex="4"), "does not lead to its root hash"),
    ("no place", lambda one, _: one["inclusionProof"].update(logIndex="11"), "for no place in its tree"),
    ("too few hashes", lambda one, _: one["inclusionProof"]["hashes"].pop(), "hashes, and 4 lead to the root"),
    ("another tree", lambda one, other: one["inclusionProof"].update(checkpoint=other["inclusionProof"]["checkpoint"]),
     "checkpoint is of another tree"),
    ("an unsigned note", lambda one, _: one["inclusionProof"]["checkpoint"].update(envelope="a\n1\nAAAA\n\n\u2014 a AAAAAAAA\n"),
     "checkpoint is not signed by the log"),
    ("no note", lambda one, _: one["inclusionProof"]["checkpoint"].update(envelope="nothing"), "checkpoint is no signed note"),
    ("another log", lambda one, _: one["logId"].update(keyId=base64.b64encode(b"x" * 32).decode()), "that the test's root does not trust"),
    ("another kind", lambda one, _: one["kindVersion"].update(kind="hashedrekord"), "and was called a hashedrekord 0.0.1"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "said"), [one[1:] for one in SPOILT], ids=[one[0] for one in SPOILT])
def test_log_entries_that_do_not_hold(
    sigstore: Sigstore, change: Callable[[dict[str, Any], dict[str, Any]], None], said: str
) -> None:
    assert said in refused(spoilt(sigstore, change), jane(sigstore.root()))


def test_what_is_signed_has_to_be_about_this(sigstore: Sigstore) -> None:
    root = sigstore.root()
    moved = sigstore.bundle(statement(f"sha256:{'cd' * 32}", SIGNING, {}))
    assert refused(moved, jane(root)) == f"it is a statement about sha256:{'cd' * 32}"
    attested = sigstore.bundle(statement(DIGEST, "https://slsa.dev/provenance/v1", {"a": 1}))
    assert "and a signature is wanted" in refused(attested, jane(root))
    assert check(attested, jane(root), "https://slsa.dev/provenance/v1").claim.predicate == {"a": 1}
    assert check(attested, jane(root), "*").claim.predicate_type == "https://slsa.dev/provenance/v1"
    assert "it is a signature, and an attestation" in refused(sigstore.bundle(PAYLOAD), jane(root), "*")
    for broken in (b"{}", b"[]", b"\xff", b'{"_type": "x"}', b"[" * 100_000):
        assert refused(sigstore.bundle(broken), jane(root))


def test_annotations(sigstore: Sigstore) -> None:
    check(sigstore.bundle(PAYLOAD), jane(sigstore.root(), annotations={"env": "prod"}))
    said = refused(sigstore.bundle(PAYLOAD), jane(sigstore.root(), annotations={"env": "test"}))
    assert said == "the signer did not annotate it with env=test (there is 'prod')"


def run(shelf: Shelf, *authorities: Authority, predicate: str = SIGNING) -> Verified:
    return asyncio.run(
        verify_artifact(shelf.store, shelf.ref, shelf.digest, authorities, NOW, predicate=predicate)
    )


@pytest.mark.parametrize("kind", ["ecdsa-p256", "ed25519"])
def test_signed_by_a_key_in_both_layouts(shelf: Shelf, kind: str) -> None:
    signer = KeySigner(generate(kind))
    forms: Any = frozenset({"bundle", "legacy"})
    asyncio.run(
        sign_artifact(
            shelf.store, shelf.ref, shelf.artifact, signer, NOW, forms=forms, annotations={"env": "prod"}
        )
    )
    mine = Authority(name="mine", keys=(signer.key,), log="check", annotations={"env": "prod"})
    found = run(shelf, mine)
    assert [one.form for one in found.proven] == ["legacy", "bundle"]
    assert found.pinned == f"registry.test/shop/app:1.0@{shelf.digest}"
    assert len(run(shelf, replace(mine, legacy=False)).proven) == 1
    tags = asyncio.run(shelf.store.tags(shelf.ref))
    assert f"sha256-{shelf.digest[7:]}.sig" in tags

    another = Authority(name="other", keys=(public_of(generate(kind)),), log="check")
    assert len(run(shelf, another, mine).proven) == 2
    with pytest.raises(Unverified, match=f"not signed by the key {another.keys[0].kind}"):
        run(shelf, another)
    with pytest.raises(Unverified, match="a certificate is wanted"):
        run(shelf, Authority(name="jane", identities=(Identity(subject=JANE),)))
    with pytest.raises(Unverified, match="it is in no transparency log"):
        run(shelf, replace(mine, log="require"))
    with pytest.raises(Unverified, match="it has no timestamp"):
        run(shelf, replace(mine, stamped=True))
    with pytest.raises(Unverified, match="nobody is trusted"):
        run(shelf)
    with pytest.raises(Unverified, match="nobody is trusted"):
        run(shelf, Authority(name="empty"))


def test_signatures_of_another_artifact_do_not_count(shelf: Shelf) -> None:
    signer = KeySigner(generate())
    other = asyncio.run(shelf.another("other"))
    forms: Any = frozenset({"bundle", "legacy"})
    asyncio.run(sign_artifact(shelf.store, shelf.ref, shelf.artifact, signer, NOW, forms=forms))
    mine = Authority(name="mine", keys=(signer.key,), log="check")
    with pytest.raises(Unsigned, match=": not signed"):
        run(other, mine)
    moved = shelf.ref.__class__(shelf.ref.host, shelf.ref.repository, f"sha256-{shelf.digest[7:]}.sig")
    asyncio.run(shelf.store.tag(moved, f"sha256-{other.digest[7:]}.sig"))
    body = asyncio.run(signer.bundle(statement(shelf.digest, SIGNING, {})))
    asyncio.run(attach_bundle(shelf.store, shelf.ref, other.artifact, body, SIGNING, "2026-01-01T00:00:00Z"))
    with pytest.raises(Unverified) as error:
        run(other, mine)
    assert not isinstance(error.value, Unsigned)
    assert f"it is a signature of {shelf.digest}" in str(error.value)
    assert f"it is a statement about {shelf.digest}" in str(error.value)


def test_attestations(shelf: Shelf) -> None:
    signer = KeySigner(generate())
    forms: Any = frozenset({"bundle", "legacy"})
    kind = "https://cyclonedx.org/bom"
    asyncio.run(
        attest_artifact(
            shelf.store,
            shelf.ref,
            shelf.artifact,
            signer,
            NOW,
            predicate_type=kind,
            predicate={"b": [1]},
            forms=forms,
        )
    )
    mine = Authority(name="mine", keys=(signer.key,), log="check")
    found = run(shelf, mine, predicate=kind)
    assert [one.claim.predicate for one in found.proven] == [{"b": [1]}, {"b": [1]}]
    with pytest.raises(Unsigned, match="not signed"):
        run(shelf, mine)
    with pytest.raises(Unverified, match=r"it is an attestation of the type https://cyclonedx.org/bom"):
        run(shelf, mine, predicate="https://spdx.dev/Document")


def test_garbage_beside_a_good_signature_is_told_and_costs_nothing(shelf: Shelf) -> None:
    signer = KeySigner(generate())
    for body in (
        b"",
        b"{}",
        b"[" * 100_000,
        b'{"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json"}',
    ):
        asyncio.run(
            attach_bundle(shelf.store, shelf.ref, shelf.artifact, body, SIGNING, "2026-01-01T00:00:00Z")
        )
    mine = Authority(name="mine", keys=(signer.key,), log="check")
    with pytest.raises(Unverified) as error:
        run(shelf, mine)
    assert len(error.value.reasons) == 4
    assert "nested too deeply" in str(error.value)
    asyncio.run(sign_artifact(shelf.store, shelf.ref, shelf.artifact, signer, NOW))
    assert len(run(shelf, mine).proven) == 1


def test_thousands_of_signatures_are_not_all_looked_at() -> None:
    signature = {"sig": "AAAA"}
    envelope = {"payload": "AAAA", "payloadType": "x", "signatures": [signature] * 5000}
    document = {
        "mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.1",
        "verificationMaterial": {"publicKey": {"hint": ""}},
        "dsseEnvelope": envelope,
    }
    with pytest.raises(BadProof, match="5000 signatures, and 32 are the most"):
        read_bundle(json.dumps(document), "it")
    assert MOST < 1000


def legacy(sigstore: Sigstore, shelf: Shelf, *, digest: str = "", logged: str = "") -> dict[str, str]:
    """Sign as cosign does without a key: everything is in annotations of the layer."""
    own = key()
    leaf = sigstore.certify(own)
    payload = simple_signing(shelf.ref.name, digest or shelf.digest, {})
    signature = sign(own, payload)
    pem = leaf.public_bytes(serialization.Encoding.PEM)
    chain = b"".join(
        one.public_bytes(serialization.Encoding.PEM) for one in (sigstore.between[0], sigstore.ca[0])
    )
    held = {"hash": {"algorithm": "sha256", "value": logged or hashlib.sha256(payload).hexdigest()}}
    by = {"content": b64(signature), "publicKey": {"content": b64(pem)}}
    entry = sigstore.log(
        {"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {"data": held, "signature": by}}
    )
    proof = {
        "SignedEntryTimestamp": entry["inclusionPromise"]["signedEntryTimestamp"],
        "Payload": {
            "body": entry["canonicalizedBody"],
            "integratedTime": int(entry["integratedTime"]),
            "logIndex": int(entry["logIndex"]),
            "logID": sigstore.log_id.hex(),
        },
    }
    notes = {
        **signature_annotation(signature),
        "dev.sigstore.cosign/certificate": pem.decode(),
        "dev.sigstore.cosign/chain": chain.decode(),
        "dev.sigstore.cosign/bundle": json.dumps(proof),
        "dev.sigstore.cosign/rfc3161timestamp": json.dumps(
            {"SignedRFC3161Timestamp": b64(sigstore.stamp(signature))}
        ),
    }
    asyncio.run(attach_layer(shelf.store, shelf.ref, tag_of(shelf.digest, "sig"), payload, SIMPLE, notes))
    return notes


def test_keyless_in_the_legacy_layout(sigstore: Sigstore, shelf: Shelf) -> None:
    legacy(sigstore, shelf)
    (found,) = run(shelf, jane(sigstore.root(), stamped=True)).proven
    assert (found.form, found.subject, found.logged) == ("legacy", JANE, True)
    assert found.when == SIGNED + timedelta(minutes=1)
    asyncio.run(
        sign_artifact(
            shelf.store, shelf.ref, shelf.artifact, KeySigner(generate()), NOW, forms=frozenset({"legacy"})
        )
    )
    assert len(run(shelf, jane(sigstore.root())).proven) == 1
    with pytest.raises(Unverified) as error:
        run(shelf, jane(replace(sigstore.root(), issuers=Sigstore().root().issuers)))
    assert "was issued by CN=test intermediate" in str(error.value)
    assert "signed with a key, and a certificate is wanted" in str(error.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"digest": f"sha256:{'cd' * 32}"}, "it is a signature of sha256:cdcd"), ({"logged": "00" * 32}, "the log entry is of another artifact")],
)  # fmt: skip
def test_legacy_signatures_that_were_moved(
    sigstore: Sigstore, shelf: Shelf, changes: dict[str, str], told: str
) -> None:
    legacy(sigstore, shelf, **changes)
    with pytest.raises(Unverified, match=told):
        run(shelf, jane(sigstore.root()))


def test_more_signatures_than_are_looked_at(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachments, "MOST", 3)
    signer = KeySigner(generate())
    for _ in range(5):
        body = asyncio.run(KeySigner(generate()).bundle(statement(shelf.digest, SIGNING, {})))
        asyncio.run(
            attach_bundle(shelf.store, shelf.ref, shelf.artifact, body, SIGNING, "2026-01-01T00:00:00Z")
        )
    mine = Authority(name="mine", keys=(signer.key,), log="check")
    with pytest.raises(Unverified, match="only the first 3 are looked at"):
        run(shelf, mine)
    monkeypatch.setattr(attachments, "MOST", 9)
    monkeypatch.setattr(attachments, "MOST_BYTES", 1 << 10)
    with pytest.raises(Unverified, match="no more are fetched"):
        run(shelf, mine)


def test_an_envelope_in_the_newer_log(sigstore: Sigstore) -> None:
    """Rekor's second version: Ed25519, an entry of the envelope's encoding, no time but the timestamp's."""
    newer = replace(sigstore)
    newer.rekor = generate("ed25519")  # type: ignore[assignment]  # the log of the newer kind
    own = key()
    leaf = newer.certify(own)
    bundle = newer.bundle(PAYLOAD, own=own, certificate=leaf, stamped=True, logs=False)
    verifier = {"x509Certificate": {"rawBytes": b64(leaf.public_bytes(serialization.Encoding.DER))}}

    def logged(message: bytes) -> dict[str, Any]:
        signature = {"content": bundle["dsseEnvelope"]["signatures"][0]["sig"], "verifier": verifier}
        data = {"algorithm": "SHA2_256", "digest": b64(hashlib.sha256(message).digest())}
        body = {
            "apiVersion": "0.0.2",
            "kind": "hashedrekord",
            "spec": {"hashedRekordV002": {"data": data, "signature": signature}},
        }
        entry = newer.log(body, promised=False)
        del entry["integratedTime"]
        return {**bundle, "verificationMaterial": {**bundle["verificationMaterial"], "tlogEntries": [entry]}}

    good = logged(encoding(IN_TOTO, PAYLOAD))
    assert check(good, jane(newer.root())).when == SIGNED + timedelta(minutes=1)
    assert refused(logged(PAYLOAD), jane(newer.root())) == "the log entry is of another artifact"
    bare = {
        key_: value
        for key_, value in good["verificationMaterial"].items()
        if key_ != "timestampVerificationData"
    }
    assert refused({**good, "verificationMaterial": bare}, jane(newer.root())).startswith(
        "nothing proves when"
    )
    assert "does not trust" in refused(good, jane(sigstore.root()))
