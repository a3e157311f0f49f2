"""A small sigstore of our own, for tests and drills: a certificate authority, a certificate log, a transparency log and a timestamp authority.

Takes the liberties that an attacker would take, where it is asked to. Must never be used for anything that has to be trusted.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from fairlead.drivers.oci.descriptors import MANIFEST, Descriptor
from fairlead.drivers.oci.layouts import Layout
from fairlead.drivers.oci.references import Reference
from fairlead.drivers.signatures.bundles import BUNDLE, IN_TOTO, encoding
from fairlead.drivers.signatures.keys import public_of, sign
from fairlead.drivers.signatures.roots import Root, read_root

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SIGNED = NOW - timedelta(days=40)
ISSUER = "https://accounts.example.com"
JANE = "jane@example.com"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def der(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size = len(body)
    if size < 128:
        return bytes([tag, size]) + body
    raw = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(raw)]) + raw + body


def oid(dotted: str) -> bytes:
    first, second, *rest = (int(one) for one in dotted.split("."))
    out = bytes([first * 40 + second])
    for one in rest:
        piece = [one & 0x7F]
        while one := one >> 7:
            piece.insert(0, 0x80 | (one & 0x7F))
        out += bytes(piece)
    return der(6, out)


SHA256 = der(0x30, oid("2.16.840.1.101.3.4.2.1"))


def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def authority(
    common: str,
    issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None = None,
    *,
    length: int | None = None,
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    own = key()
    parent, by = (issuer[0].subject, issuer[1]) if issuer else (name(common), own)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(common))
        .issuer_name(parent)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=900))
        .not_valid_after(NOW + timedelta(days=900))
        .add_extension(x509.BasicConstraints(ca=True, path_length=length), critical=True)
    )
    return builder.sign(by, hashes.SHA256()), own


@dataclass
class Sigstore:
    """The services. `certify` and `log` take the same liberties as an attacker would, on request."""

    host: str = "rekor.example.com"
    ca: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] = field(
        default_factory=lambda: authority("test root")
    )
    ct: ec.EllipticCurvePrivateKey = field(default_factory=key)
    rekor: ec.EllipticCurvePrivateKey = field(default_factory=key)
    tsa: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] = field(
        default_factory=lambda: authority("test stamps")
    )

    def __post_init__(self) -> None:
        self.between = authority("test intermediate", self.ca, length=0)
        self.stamper_key = key()
        self.stamper = (
            x509.CertificateBuilder()
            .subject_name(name("stamper"))
            .issuer_name(self.tsa[0].subject)
            .public_key(self.stamper_key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(days=900))
            .not_valid_after(NOW + timedelta(days=900))
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
            .sign(self.tsa[1], hashes.SHA256())
        )

    @property
    def log_id(self) -> bytes:
        return hashlib.sha256(public_of(self.rekor).der).digest()

    def document(self, **changes: Any) -> dict[str, Any]:
        """The trusted_root.json."""

        def chain(*certificates: x509.Certificate) -> dict[str, Any]:
            raw = [{"rawBytes": b64(one.public_bytes(serialization.Encoding.DER))} for one in certificates]
            return {"certChain": {"certificates": raw}, "validFor": {"start": "2023-01-01T00:00:00Z"}}

        def log(private: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
            raw = public_of(private).der
            public = {
                "rawBytes": b64(raw),
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "validFor": {"start": "2023-01-01T00:00:00Z"},
            }
            return {
                "baseUrl": f"https://{self.host}",
                "publicKey": public,
                "logId": {"keyId": b64(hashlib.sha256(raw).digest())},
            }

        return {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "certificateAuthorities": [chain(self.between[0], self.ca[0])],
            "tlogs": [log(self.rekor)],
            "ctlogs": [log(self.ct)],
            "timestampAuthorities": [chain(self.stamper, self.tsa[0])],
            **changes,
        }

    def root(self, **changes: Any) -> Root:
        return read_root(json.dumps(self.document(**changes)), "the test's root")

    def certify(
        self,
        own: ec.EllipticCurvePrivateKey,
        *,
        subject: str = JANE,
        issuer: str = ISSUER,
        start: datetime = SIGNED,
        minutes: int = 10,
        promised: bool = True,
        usage: ObjectIdentifier = ExtendedKeyUsageOID.CODE_SIGNING,
        extra: Mapping[str, str] | None = None,
    ) -> x509.Certificate:
        """Issue a short-lived certificate, as Fulcio does."""
        raw = issuer.encode()
        fulcio = {"1.3.6.1.4.1.57264.1.1": raw, "1.3.6.1.4.1.57264.1.8": der(0x0C, raw)}
        fulcio |= {key_: der(0x0C, value.encode()) for key_, value in (extra or {}).items()}
        san: x509.GeneralName = (
            x509.UniformResourceIdentifier(subject)
            if subject.startswith("https:")
            else x509.RFC822Name(subject)
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.between[0].subject)
            .public_key(own.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + timedelta(minutes=minutes))
            .add_extension(
                x509.KeyUsage(True, False, False, False, False, False, False, False, False), critical=True
            )
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectAlternativeName([san]), critical=True)
        )
        for dotted, value in fulcio.items():
            builder = builder.add_extension(
                x509.UnrecognizedExtension(ObjectIdentifier(dotted), value), critical=False
            )
        shown = builder.sign(self.between[1], hashes.SHA256())
        if not promised:
            return shown
        entry = hashlib.sha256(public_of(self.between[1]).der).digest()
        tbs = shown.tbs_certificate_bytes
        entry += len(tbs).to_bytes(3, "big") + tbs
        when = int(start.timestamp() * 1000)
        signature = sign(self.ct, struct.pack("!BBQH", 0, 0, when, 1) + entry + b"\0\0")
        sct = b"\0" + hashlib.sha256(public_of(self.ct).der).digest() + struct.pack("!QH", when, 0) + b"\4\3"
        sct += struct.pack("!H", len(signature)) + signature
        listed = struct.pack("!HH", len(sct) + 2, len(sct)) + sct
        oid_ = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
        return builder.add_extension(x509.UnrecognizedExtension(oid_, der(4, listed)), critical=False).sign(
            self.between[1], hashes.SHA256()
        )

    def log(
        self,
        body: Mapping[str, Any],
        when: datetime = SIGNED + timedelta(minutes=1),
        *,
        promised: bool = True,
    ) -> dict[str, Any]:
        """Take an entry into the log, as Rekor does: the sixth of eleven."""
        raw = json.dumps(body, separators=(",", ":"), sort_keys=True).encode()
        leaves = [hashlib.sha256(b"\0other %d" % index).digest() for index in range(11)]
        leaves[5] = hashlib.sha256(b"\0" + raw).digest()
        root, path = tree(leaves, 5)
        text = f"{self.host} - 42\n11\n{b64(root)}\n"
        note = f"{text}\n\u2014 {self.host} {b64(self.log_id[:4] + sign(self.rekor, text.encode()))}\n"
        seconds = int(when.timestamp())
        entry: dict[str, Any] = {
            "logIndex": "1005",
            "logId": {"keyId": b64(self.log_id)},
            "kindVersion": {"kind": body["kind"], "version": body["apiVersion"]},
            "integratedTime": str(seconds),
            "canonicalizedBody": b64(raw),
            "inclusionProof": {
                "logIndex": "5",
                "treeSize": "11",
                "rootHash": b64(root),
                "hashes": [b64(one) for one in path],
                "checkpoint": {"envelope": note},
            },
        }
        if promised:
            said = {"body": b64(raw), "integratedTime": seconds, "logID": self.log_id.hex(), "logIndex": 1005}
            canonical = json.dumps(said, separators=(",", ":"), sort_keys=True).encode()
            entry["inclusionPromise"] = {"signedEntryTimestamp": b64(sign(self.rekor, canonical))}
        return entry

    def stamp(
        self, signature: bytes, when: datetime = SIGNED + timedelta(minutes=1), *, pieces: bool = False
    ) -> bytes:
        """Return a TimeStampResp over a signature. In `pieces` what is signed comes in two, as BER allows and some write it."""
        imprint = der(0x30, SHA256, der(4, hashlib.sha256(signature).digest()))
        moment = der(0x18, when.strftime("%Y%m%d%H%M%SZ").encode())
        info = der(0x30, der(2, b"\1"), oid("1.2.3.4"), imprint, der(2, b"\7"), moment)
        digest = hashlib.sha256(info).digest()
        certificate = self.stamper.public_bytes(serialization.Encoding.DER)
        issued = der(0x30, der(4, hashlib.sha256(certificate).digest()))
        attributes = sorted([
            der(0x30, oid("1.2.840.113549.1.9.3"), der(0x31, oid("1.2.840.113549.1.9.16.1.4"))),
            der(0x30, oid("1.2.840.113549.1.9.4"), der(0x31, der(4, digest))),
            der(0x30, oid("1.2.840.113549.1.9.16.2.47"), der(0x31, der(0x30, der(0x30, issued)))),
        ])  # fmt: skip
        signed = sign(self.stamper_key, der(0x31, *attributes))
        number = self.stamper.serial_number
        serial = der(2, number.to_bytes(number.bit_length() // 8 + 1, "big"))
        who = der(0x30, self.stamper.issuer.public_bytes(), serial)
        ecdsa = der(0x30, oid("1.2.840.10045.4.3.2"))
        info_of = der(0x30, der(2, b"\1"), who, SHA256, der(0xA0, *attributes), ecdsa, der(4, signed))
        octets = der(0x24, der(4, info[:40]), der(4, info[40:])) if pieces else der(4, info)
        content = der(0x30, oid("1.2.840.113549.1.9.16.1.4"), der(0xA0, octets))
        data = der(
            0x30, der(2, b"\3"), der(0x31, SHA256), content, der(0xA0, certificate), der(0x31, info_of)
        )
        token = der(0x30, oid("1.2.840.113549.1.7.2"), der(0xA0, data))
        return der(0x30, der(0x30, der(2, b"\0")), token)

    def bundle(
        self,
        payload: bytes,
        *,
        own: ec.EllipticCurvePrivateKey | None = None,
        certificate: x509.Certificate | None = None,
        when: datetime = SIGNED + timedelta(minutes=1),
        logs: bool = True,
        promised: bool = True,
        stamped: bool = False,
        stamp_time: datetime | None = None,
        **certified: Any,
    ) -> dict[str, Any]:
        """Sign a statement as a keyless client does."""
        own = own or key()
        leaf = certificate or self.certify(own, **certified)
        signature = sign(own, encoding(IN_TOTO, payload))
        pem = leaf.public_bytes(serialization.Encoding.PEM)
        body = {
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": {"algorithm": "sha256", "value": "00" * 32},
                "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
                "signatures": [{"signature": b64(signature), "verifier": b64(pem)}],
            },
        }
        material: dict[str, Any] = {
            "certificate": {"rawBytes": b64(leaf.public_bytes(serialization.Encoding.DER))},
            "tlogEntries": [self.log(body, when, promised=promised)] if logs else [],
        }
        if stamped:
            stamp = {"signedTimestamp": b64(self.stamp(signature, stamp_time or when))}
            material["timestampVerificationData"] = {"rfc3161Timestamps": [stamp]}
        envelope = {"payload": b64(payload), "payloadType": IN_TOTO, "signatures": [{"sig": b64(signature)}]}
        return {"mediaType": BUNDLE, "verificationMaterial": material, "dsseEnvelope": envelope}


def tree(leaves: list[bytes], index: int) -> tuple[bytes, list[bytes]]:
    """Return the root hash of a tree and the path to one leaf, by RFC 6962's recursive definition."""
    if len(leaves) == 1:
        return leaves[0], []
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    left, left_path = tree(leaves[:split], index if index < split else 0)
    right, right_path = tree(leaves[split:], index - split if index >= split else 0)
    path = [*left_path, right] if index < split else [*right_path, left]
    return hashlib.sha256(b"\1" + left + right).digest(), path


@dataclass
class Shelf:
    """A store with one artifact in it."""

    store: Layout
    ref: Reference
    artifact: Descriptor

    @property
    def digest(self) -> str:
        return self.artifact.digest

    async def another(self, text: str) -> Shelf:
        return replace(self, artifact=await put(self.store, self.ref, text))


async def put(store: Layout, ref: Reference, text: str) -> Descriptor:
    layer = await store.push_blob(ref, text.encode(), "text/plain")
    config = await store.push_blob(ref, b"{}", "application/vnd.oci.empty.v1+json")
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": config.media_type, "size": config.size, "digest": config.digest},
        "layers": [{"mediaType": "text/plain", "size": layer.size, "digest": layer.digest}],
    }
    return await store.push_manifest(ref, json.dumps(document).encode(), MANIFEST)
