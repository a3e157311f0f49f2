"""Keys of every sort, cosign's boxes, bundles of files, and what is refused of them."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from notary import ISSUER, JANE, NOW, Sigstore, b64, key

from fairlead.drivers.signatures import boxes
from fairlead.drivers.signatures.bundles import read_bundle, read_layer
from fairlead.drivers.signatures.certificates import Identity
from fairlead.drivers.signatures.faults import BadKey, BadProof, Unsigned, Unverified
from fairlead.drivers.signatures.keyless import KeylessSigner, Unsignable
from fairlead.drivers.signatures.keys import (
    Key,
    generate,
    public_of,
    read_private,
    read_public,
    sign,
    write_private,
)
from fairlead.drivers.signatures.statements import simple_signing, statement
from fairlead.drivers.signatures.verifying import Authority, verify_file

PASSWORD = b"correct horse"


def test_a_box_is_as_in_the_paper() -> None:
    """The vector of "Cryptography in NaCl", section 10."""
    secret = bytes.fromhex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389")
    nonce = bytes.fromhex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37")
    text = bytes.fromhex(
        "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61296cdc3c0123356"
        "1f41db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd4924ca1c60"
        "902e52f0a089bc76897040e082f937763848645e0705"
    )
    box = boxes.seal(text, secret, nonce)
    assert box.hex().startswith("f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce")
    assert boxes.unseal(box, secret, nonce) == text
    with pytest.raises(BadKey):
        boxes.unseal(box[:-1] + bytes([box[-1] ^ 1]), secret, nonce)


@pytest.mark.parametrize("kind", ["ecdsa-p256", "ed25519"])
def test_keys_are_kept_as_cosign_keeps_them(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boxes, "_N", 1024)
    private = generate(kind)
    text = write_private(private, PASSWORD)
    assert text.startswith("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----")
    older = text.replace("SIGSTORE", "COSIGN")
    assert public_of(read_private(older, lambda: PASSWORD)) == public_of(private)
    with pytest.raises(BadKey, match="the password is wrong"):
        read_private(text, lambda: b"wrong", "k.pem")
    (found,) = read_public(public_of(private).pem)
    assert (found.kind, found.signed(sign(private, b"a"), b"a")) == (kind, True)
    assert not found.signed(sign(private, b"a"), b"b")
    assert not found.signed(b"", b"a")


def test_other_private_keys() -> None:
    private = ec.generate_private_key(ec.SECP384R1())
    formats = serialization.PrivateFormat
    for form, secret in (
        (formats.PKCS8, serialization.NoEncryption()),
        (formats.TraditionalOpenSSL, serialization.NoEncryption()),
        (formats.PKCS8, serialization.BestAvailableEncryption(PASSWORD)),
    ):
        text = private.private_bytes(serialization.Encoding.PEM, form, secret)
        assert public_of(read_private(text, lambda: PASSWORD)).kind == "ecdsa-p384"
    with pytest.raises(BadKey, match="is no private key"):
        read_private(public_of(private).pem, lambda: PASSWORD)


def test_rsa_and_what_is_too_weak() -> None:
    strong = rsa.generate_private_key(65537, 2048)
    (found,) = read_public(public_of(strong).pem)
    assert found.kind == "rsa-2048"
    assert found.signed(sign(strong, b"a"), b"a")
    pem = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    weak = rsa.generate_private_key(65537, 1024).public_key().public_bytes(*pem)
    with pytest.raises(BadKey, match="an RSA key of 1024 bits"):
        read_public(weak)
    with pytest.raises(BadKey, match="secp256k1 is not supported"):
        read_public(ec.generate_private_key(ec.SECP256K1()).public_key().public_bytes(*pem))
    with pytest.raises(BadKey, match="neither ECDSA, Ed25519 nor RSA"):
        read_public(dsa.generate_private_key(1024).public_key().public_bytes(*pem))


@pytest.mark.parametrize(
    "text",
    ["", "nothing", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "é", "-----BEGIN " * 9000],
)
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(BadKey):
        read_public(text)
    with pytest.raises(BadKey):
        read_private(text, lambda: b"")


def test_a_private_key_is_no_public_one() -> None:
    with pytest.raises(BadKey, match="give the public one"):
        read_public(write_private(generate(), b""))


@pytest.mark.parametrize(
    "change",
    [{"kdf": {"name": "none"}}, {"cipher": {"name": "none", "nonce": ""}}, {"ciphertext": "%"}, {"ciphertext": "AAAA"},
     {"kdf": {"name": "scrypt", "params": {"N": 2**40, "r": 8, "p": 1}, "salt": ""}},
     {"kdf": {"name": "scrypt", "params": {"N": 3, "r": 8, "p": 1}, "salt": ""}}, {"kdf": 3}],
)  # fmt: skip
def test_envelopes_that_are_damaged_or_cost_too_much(
    change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boxes, "_N", 1024)
    envelope = json.loads(boxes.encrypt(b"key", b""))
    with pytest.raises(BadKey):
        boxes.decrypt(json.dumps({**envelope, **change}).encode(), b"")


FILE = b"a file"


def mine(*keys: Key) -> Authority:
    return Authority(name="mine", keys=keys, log="check")


def blob(signature: bytes, data: bytes = FILE, **more: Any) -> str:
    digest = {"algorithm": "SHA2_256", "digest": b64(hashlib.sha256(data).digest())}
    material = {"publicKey": {"hint": "x"}, **more.pop("material", {})}
    return json.dumps({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "verificationMaterial": material,
        "messageSignature": {"messageDigest": digest, "signature": b64(signature)}, **more,
    })  # fmt: skip


@pytest.mark.parametrize("kind", ["ecdsa-p256", "ed25519"])
def test_a_file_and_its_bundle(kind: str) -> None:
    private = generate(kind)
    signed = read_bundle(blob(sign(private, FILE)), "b")
    (proven,) = verify_file(signed, FILE, [mine(public_of(private))], NOW, "file")
    assert proven.key == public_of(private).fingerprint
    for data, keys, told in (
        (b"other", (public_of(private),), "it is a signature of sha256:"),
        (FILE, (public_of(generate(kind)),), "not signed by the key"),
    ):
        with pytest.raises(Unverified, match=told):
            verify_file(signed, data, [mine(*keys)], NOW, "file")
    with pytest.raises(Unverified, match="nobody is trusted"):
        verify_file(signed, FILE, [], NOW, "file")
    with pytest.raises(Unsigned):
        verify_file([], FILE, [mine(public_of(private))], NOW, "file")


def test_a_file_that_a_statement_is_about() -> None:
    sigstore = Sigstore()
    who = Authority(name="jane", identities=(Identity(subject=JANE, issuer=ISSUER),), root=sigstore.root())
    for name in ("sha256", "sha512"):
        body = sigstore.bundle(
            statement(f"{name}:{hashlib.new(name, FILE).hexdigest()}", "https://slsa.dev/provenance/v1", {})
        )
        candidates = read_bundle(json.dumps(body), "b")
        assert verify_file(candidates, FILE, [who], NOW, "file")
        with pytest.raises(Unverified, match="it is a statement about"):
            verify_file(candidates, b"other", [who], NOW, "file")


def test_a_logged_file_signature_is_about_that_file() -> None:
    sigstore, own = Sigstore(), key()
    leaf = sigstore.certify(own)
    signature = sign(own, FILE)
    pem = leaf.public_bytes(serialization.Encoding.PEM)
    der = leaf.public_bytes(serialization.Encoding.DER)

    def body(data: bytes, version: str = "0.0.1") -> dict[str, Any]:
        digest = hashlib.sha256(data)
        if version == "0.0.2":
            verifier = {"x509Certificate": {"rawBytes": b64(der)}, "keyDetails": "PKIX_ECDSA_P256_SHA_256"}
            entry = {"data": {"algorithm": "SHA2_256", "digest": b64(digest.digest())},
                     "signature": {"content": b64(signature), "verifier": verifier}}  # fmt: skip
            return {"apiVersion": version, "kind": "hashedrekord", "spec": {"hashedRekordV002": entry}}
        held = {"hash": {"algorithm": "sha256", "value": digest.hexdigest()}}
        by = {"content": b64(signature), "publicKey": {"content": b64(pem)}}
        return {"apiVersion": version, "kind": "hashedrekord", "spec": {"data": held, "signature": by}}

    who = Authority(name="jane", identities=(Identity(subject=JANE, issuer=ISSUER),), root=sigstore.root())
    for version in ("0.0.1", "0.0.2"):
        material = {
            "publicKey": None,
            "certificate": {"rawBytes": b64(der)},
            "tlogEntries": [sigstore.log(body(FILE, version))],
        }
        assert verify_file(read_bundle(blob(signature, material=material), "b"), FILE, [who], NOW, "file")
        other = {**material, "tlogEntries": [sigstore.log(body(b"other", version))]}
        with pytest.raises(Unverified, match="the log entry is of another artifact"):
            verify_file(read_bundle(blob(signature, material=other), "b"), FILE, [who], NOW, "file")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"mediaType": "x"}, "is no bundle that is known"),
        ({"verificationMaterial": None}, "verificationMaterial is missing"),
        ({"verificationMaterial": {}}, "exactly one of certificate"),
        ({"verificationMaterial": {"publicKey": {}, "certificate": {}}}, "exactly one of certificate"),
        ({"verificationMaterial": {"certificate": {"rawBytes": "AAAA"}}}, "not a certificate"),
        ({"verificationMaterial": {"x509CertificateChain": {"certificates": []}}}, "empty chain"),
        ({"verificationMaterial": {"publicKey": {}, "tlogEntries": [{}] * 33}}, "33 tlogEntries, and 32 are the most"),
        ({"verificationMaterial": {"publicKey": {}, "tlogEntries": 3}}, "tlogEntries is not a list"),
        ({"verificationMaterial": {"publicKey": {}, "tlogEntries": [{}]}}, "kindVersion is missing"),
        ({"verificationMaterial": {"publicKey": {}, "timestampVerificationData": {"rfc3161Timestamps": [{"signedTimestamp": "AA=="}] * 2}}},
         "the same timestamp twice"),
        ({"messageSignature": None}, "messageSignature is missing"),
        ({"messageSignature": {"messageDigest": {"algorithm": "MD5", "digest": ""}}}, "the digest is 'MD5'"),
        ({"dsseEnvelope": {}}, "both a messageSignature and a dsseEnvelope"),
        ({"messageSignature": {"messageDigest": {"algorithm": "SHA2_256", "digest": "%"}}}, "not base64"),
    ],
)  # fmt: skip
def test_garbled_bundles(change: dict[str, Any], told: str) -> None:
    document = {**json.loads(blob(b"x")), **change}
    with pytest.raises(BadProof, match=told):
        read_bundle(json.dumps(document), "b")


def test_layers_of_the_legacy_layout() -> None:
    digest = "sha256:" + "a" * 64
    private = generate()
    payload = simple_signing("a/b", digest, {})
    assert payload == (
        b'{"critical":{"identity":{"docker-reference":"a/b"},"image":{"docker-manifest-digest":"%b"},'
        b'"type":"cosign container image signature"},"optional":null}' % digest.encode()
    )
    kind, name = "application/vnd.dev.cosign.simplesigning.v1+json", "dev.cosignproject.cosign/signature"
    (one,) = read_layer(kind, payload, {name: b64(sign(private, payload))}, "l")
    assert (one.form, one.message) == ("legacy", payload)
    for media_type, notes, told in (
        (kind, {}, "signature: missing"),
        (kind, {name: "%"}, "not base64"),
        ("text/plain", {name: "AA=="}, "is no payload of a signature"),
        (kind, {name: "AA==", "dev.sigstore.cosign/certificate": "x"}, "not PEM"),
        (kind, {name: "AA==", "dev.sigstore.cosign/bundle": "{"}, "not JSON"),
        (kind, {name: "AA==", "dev.sigstore.cosign/bundle": "{}"}, "Payload is missing"),
        ("application/vnd.dsse.envelope.v1+json", {}, "payload: missing"),
    ):
        with pytest.raises(BadProof, match=told):
            read_layer(media_type, payload, notes, "l")


def test_keyless_signing_says_what_it_lacks() -> None:
    import asyncio

    from fairlead.drivers.signatures.faults import BadTrust

    with pytest.raises(Unsignable, match="the identity token cannot be used"):
        asyncio.run(KeylessSigner("nothing").bundle(b"{}"))
    for text in ("{", "{}", base64.b64encode(b"x").decode()):
        with pytest.raises(BadTrust):
            KeylessSigner("token", text)
