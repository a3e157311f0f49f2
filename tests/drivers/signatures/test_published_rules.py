"""Rules that sigstore's conformance suite has cases for, on services of our own: what a note is called, and timestamps that do not hold."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID
from notary import ISSUER, JANE, NOW, SIGNED, Sigstore, b64, key, name
from rfc3161_client import decode_timestamp_response

from fairlead.drivers.signatures.bundles import read_bundle
from fairlead.drivers.signatures.certificates import Identity
from fairlead.drivers.signatures.faults import BadProof
from fairlead.drivers.signatures.keys import public_of, sign
from fairlead.drivers.signatures.logs import read_checkpoint
from fairlead.drivers.signatures.roots import Log, Root
from fairlead.drivers.signatures.statements import statement
from fairlead.drivers.signatures.verifying import Authority, Proven, examine

DIGEST = f"sha256:{'ab' * 32}"
PAYLOAD = statement(DIGEST, "https://example.com/made", {})
ROOT = b"r" * 32
MINUTE = SIGNED + timedelta(minutes=1)


def check(document: dict[str, Any], root: Root, **more: Any) -> Proven:
    (candidate,) = read_bundle(json.dumps(document), "the bundle")
    who = (Identity(subject=JANE, issuer=ISSUER),)
    return examine(candidate, Authority(name="jane", identities=who, root=root, **more), DIGEST, NOW, "")


def note(by: ed25519.Ed25519PrivateKey, log_id: bytes, called: str, origin: str = "") -> str:
    """Return a checkpoint that the log signed by a name."""
    text = f"{origin or called}\n11\n{b64(ROOT)}\n"
    return f"{text}\n\u2014 {called} {b64(log_id[:4] + sign(by, text.encode()))}\n"


@pytest.mark.parametrize(
    ("url", "called", "good"),
    [
        ("https://log.example.com", "log.example.com", True),
        ("https://log.example.com:8000", "log.example.com:8000", True),
        ("https://log.example.com/2026/", "log.example.com/2026", True),
        ("https://log.example.com", "another.example.com", False),
        ("https://log.example.com", "log.example.com.evil.example", False),
        ("", "whatever", True),
    ],
)
def test_a_log_that_is_named_signs_by_its_name(url: str, called: str, good: bool) -> None:
    own = ed25519.Ed25519PrivateKey.generate()
    named = hashlib.sha256(called.encode() + b"\n\1" + own.public_key().public_bytes_raw()).digest()
    log = Log(named, public_of(own), url=url)
    if good:
        assert read_checkpoint(note(own, named, called), log) == (11, ROOT)
    else:
        with pytest.raises(BadProof, match="not signed by the log"):
            read_checkpoint(note(own, named, called), log)


def test_a_log_that_its_key_names_signs_by_any_name_but_for_its_own_tree() -> None:
    own = ed25519.Ed25519PrivateKey.generate()
    mine = public_of(own)
    log = Log(hashlib.sha256(mine.der).digest(), mine, url="https://log.example.com")
    assert read_checkpoint(note(own, log.id, "pod-7", "pod-7 - 42"), log) == (11, ROOT)
    for origin in ("another - 42", "pod-77", "pod-7 -42"):
        with pytest.raises(BadProof, match=f"checkpoint is of {origin!r}, and 'pod-7' signed it"):
            read_checkpoint(note(own, log.id, "pod-7", origin), log)
    with pytest.raises(BadProof, match="not signed by the log"):
        read_checkpoint(note(own, b"????", "pod-7"), log)


def test_others_may_sign_a_note_as_well() -> None:
    """Witnesses cosign, and a log may have a second key: in whatever order, one line by the key that is known is enough."""
    own = ed25519.Ed25519PrivateKey.generate()
    called = "log.example.com"
    log = Log(b"1234" * 8, public_of(own), url=f"https://{called}")
    text, _, line = note(own, log.id, called).partition("\n\n")
    others = [
        f"\u2014 witness.example.com/one {b64(b'wwww' + bytes(72))}\n",
        f"\u2014 {called} {b64(b'newr' + bytes(64))}\n",
    ]
    for lines in ([line, *others], [*others, line], [others[0], line, others[1]]):
        assert read_checkpoint(f"{text}\n\n{''.join(lines)}", log) == (11, ROOT)
    with pytest.raises(BadProof, match="not signed by the log"):
        read_checkpoint(f"{text}\n\n{''.join(others)}", log)


def test_a_timestamp_that_is_there_has_to_hold_where_its_authorities_are_known() -> None:
    services = Sigstore()
    bundle = services.bundle(PAYLOAD, stamped=True)
    (stamp,) = bundle["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"]
    assert check(bundle, services.root()).when == MINUTE
    good = stamp["signedTimestamp"]
    for bad in (b64(services.stamp(b"another signature")), ""):
        stamp["signedTimestamp"] = bad
        with pytest.raises(BadProof, match=r"the timestamp (is not by a trusted authority|cannot be read)"):
            check(bundle, services.root())
        assert check(bundle, services.root(timestampAuthorities=[])).when == MINUTE
    stamp["signedTimestamp"] = good
    bundle["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"].append(
        {"signedTimestamp": b64(Sigstore().stamp(b"by an authority that nobody here knows"))}
    )
    assert check(bundle, services.root(), stamped=True).when == MINUTE


def test_each_timestamp_that_holds_has_to_be_within_the_certificate_s_time() -> None:
    services, own = Sigstore(), key()
    leaf = services.certify(own)
    bundle = services.bundle(PAYLOAD, own=own, certificate=leaf, stamped=True)
    signature = read_bundle(json.dumps(bundle), "the bundle")[0].signature
    late = services.stamp(signature, SIGNED + timedelta(days=30))
    bundle["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"].append(
        {"signedTimestamp": b64(late)}
    )
    with pytest.raises(BadProof, match=r"the certificate held from .*, and the signature was made at"):
        check(bundle, services.root())


@pytest.mark.parametrize("above", [False, True])
def test_timestamp_authorities_that_are_no_plain_leaf(above: bool) -> None:
    """One certificate alone, and one that is an authority itself: what the root lists and what signed are the same."""
    services = Sigstore()
    issuer, by = (
        (services.tsa[0].subject, services.tsa[1]) if above else (name("alone"), services.stamper_key)
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name("alone"))
        .issuer_name(issuer)
        .public_key(services.stamper_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=900))
        .not_valid_after(NOW + timedelta(days=900))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])

    def listed() -> dict[str, Any]:
        chain = [services.stamper, *([services.tsa[0]] if above else [])]
        raw = [{"rawBytes": b64(one.public_bytes(serialization.Encoding.DER))} for one in chain]
        return {"certChain": {"certificates": raw}, "validFor": {"start": "2023-01-01T00:00:00Z"}}

    services.stamper = builder.add_extension(usage, critical=True).sign(by, hashes.SHA256())
    bundle = services.bundle(PAYLOAD, stamped=True, promised=False)
    assert check(bundle, services.root(timestampAuthorities=[listed()])).when == MINUTE
    other = Sigstore().document()["timestampAuthorities"]
    with pytest.raises(BadProof, match="not by a trusted authority"):
        check(bundle, services.root(timestampAuthorities=other))
    services.stamper = builder.sign(by, hashes.SHA256())
    bundle = services.bundle(PAYLOAD, stamped=True, promised=False)
    with pytest.raises(BadProof, match="not by a trusted authority"):
        check(bundle, services.root(timestampAuthorities=[listed()]))


def test_another_leaf_of_the_same_authority_is_not_the_one_that_is_listed() -> None:
    services = Sigstore()
    root = services.root()
    services.__post_init__()
    bundle = services.bundle(PAYLOAD, stamped=True)
    assert check(bundle, services.root()).when == MINUTE
    with pytest.raises(BadProof, match="does not match"):
        check(bundle, replace(services.root(), timestampers=root.timestampers))


def test_a_timestamp_whose_octets_come_in_pieces() -> None:
    """Some write BER, where the standard asks for DER; what is signed is the same octets."""
    services = Sigstore()
    bundle = services.bundle(PAYLOAD, stamped=True, promised=False)
    signature = read_bundle(json.dumps(bundle), "the bundle")[0].signature
    (stamp,) = bundle["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"]
    pieces = services.stamp(signature, pieces=True)
    with pytest.raises(ValueError, match="UnexpectedTag"):
        decode_timestamp_response(pieces)
    stamp["signedTimestamp"] = b64(pieces)
    assert check(bundle, services.root()).when == MINUTE
    stamp["signedTimestamp"] = b64(services.stamp(b"another signature", pieces=True))
    with pytest.raises(BadProof, match="not of this signature"):
        check(bundle, services.root())
    for bad in (
        pieces[:-1],
        pieces + b"\x04",
        b"\x30\x80\0\0",
        b"\x30\x84\0\0\0\0",
        b"\x3f\x01\0",
        b"\x24\x02\x05\0",
        bytes.fromhex("30") + b"\x82\xff\xff",
        b"".join(b"\x30\x82" + (4 * (100 - at) - 4).to_bytes(2, "big") for at in range(100)),
    ):
        stamp["signedTimestamp"] = b64(bad)
        with pytest.raises(BadProof, match="the timestamp cannot be read"):
            check(bundle, services.root())
