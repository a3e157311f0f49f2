"""What claims to be a signature, taken apart: sigstore bundles, DSSE envelopes, and cosign's annotations. Nothing of it is believed here.

A Candidate is one signature with whatever proofs came along. Reading is strict and bounded; what cannot be read raises BadProof.
Sources: sigstore/protobuf-specs sigstore_bundle.proto, secure-systems-lab/dsse, sigstore/cosign specs/SIGNATURE_SPEC.md.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from cryptography import x509

from fairlead.drivers.signatures.faults import BadProof, BadTrust
from fairlead.drivers.signatures.roots import Chain, certificate, read_certificates

BUNDLE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
BUNDLES: Final = "application/vnd.dev.sigstore.bundle"
SIMPLE: Final = "application/vnd.dev.cosign.simplesigning.v1+json"
ENVELOPE: Final = "application/vnd.dsse.envelope.v1+json"
IN_TOTO: Final = "application/vnd.in-toto+json"
_VERSIONS: Final = {
    "application/vnd.dev.sigstore.bundle+json;version=0.1": 1,
    "application/vnd.dev.sigstore.bundle+json;version=0.2": 2,
    "application/vnd.dev.sigstore.bundle+json;version=0.3": 3,
    BUNDLE: 3,
}
DIGESTS: Final = {"SHA2_256": "sha256", "SHA2_384": "sha384", "SHA2_512": "sha512"}
LARGEST_BUNDLE: Final = 48 << 20
MOST_ENTRIES: Final = 32
MOST_SIGNATURES: Final = 32
_LONGEST_PATH: Final = 64

SIGNATURE: Final = "dev.cosignproject.cosign/signature"
CERTIFICATE: Final = "dev.sigstore.cosign/certificate"
CHAIN: Final = "dev.sigstore.cosign/chain"
PROOF: Final = "dev.sigstore.cosign/bundle"
TIMESTAMP: Final = "dev.sigstore.cosign/rfc3161timestamp"

Form: TypeAlias = Literal["legacy", "bundle"]


@dataclass(frozen=True, slots=True)
class Inclusion:
    """A proof that a log of `size` entries with the root hash `root` holds an entry at `index`; `checkpoint` is the log's signed note."""

    index: int
    size: int
    root: bytes
    hashes: tuple[bytes, ...]
    checkpoint: str


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a transparency log: its canonical body, where it is, and the log's promise and proof that it is there."""

    log: bytes
    index: int
    body: bytes
    time: int = 0
    promise: bytes = b""
    proof: Inclusion | None = None
    kind: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One signature as it was found. `where` is what messages call it.

    `message` is what was signed (an envelope's is its pre-authentication encoding); of a signature of a file only its `digest` is known,
    until somebody brings the `file`. `payload` is what the message says: a simple signing document, or an in-toto statement. `broken` is why nothing can come of it.
    """

    where: str
    form: Form
    signature: bytes = b""
    message: bytes | None = None
    digest: bytes = b""
    algorithm: str = "sha256"
    file: bytes | None = None
    payload: bytes = b""
    payload_type: str = ""
    certificate: x509.Certificate | None = None
    chain: Chain = ()
    hint: str = ""
    entries: tuple[Entry, ...] = ()
    timestamps: tuple[bytes, ...] = ()
    version: int = 0
    annotations: Mapping[str, str] = field(default_factory=dict)
    broken: str = ""

    @property
    def identifier(self) -> str:
        """A name for the signature: the SHA-256 of it and the certificate, as policy-controller has it."""
        from cryptography.hazmat.primitives.serialization import Encoding

        pem = self.certificate.public_bytes(Encoding.PEM) if self.certificate is not None else b""
        return (
            hashlib.sha256(base64.b64encode(self.signature) + pem).hexdigest()
            if pem
            else hashlib.sha256(self.signature).hexdigest()
        )


def encoding(payload_type: str, payload: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding: what a signature of an envelope is over."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def parse(data: bytes | str, what: str) -> Any:
    """Return a JSON document. Raises BadProof for what is none, is too large, or is nested too deeply."""
    if len(data) > LARGEST_BUNDLE:
        raise BadProof(f"{what}: larger than {LARGEST_BUNDLE >> 20} MiB")
    try:
        return json.loads(data, parse_constant=_no_number)
    except RecursionError:
        raise BadProof(f"{what}: nested too deeply") from None
    except ValueError as error:
        raise BadProof(f"{what}: not JSON") from error


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


def unb64(value: Any, what: str) -> bytes:
    """Return the bytes of standard base64. Raises BadProof."""
    if not isinstance(value, str):
        raise BadProof(f"{what}: missing")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadProof(f"{what}: not base64") from error


def number(value: Any, what: str) -> int:
    """Return a number that may be written as a text, as protocol buffers do. Raises BadProof."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise BadProof(f"{what}: {value!r} is no number")
    try:
        found = int(value) if isinstance(value, int) or (value.isascii() and len(value) < 20) else -1
    except ValueError:
        found = -1
    if not 0 <= found < 1 << 63:
        raise BadProof(f"{what}: {str(value)[:40]!r} is no number")
    return found


def part(document: Any, key: str, what: str) -> Mapping[str, Any]:
    """Return the object under a key. Raises BadProof."""
    found = document.get(key) if isinstance(document, dict) else None
    if not isinstance(found, dict):
        raise BadProof(f"{what}: {key} is missing")
    return found


def _items(document: Mapping[str, Any], key: str, most: int, what: str) -> list[Any]:
    found = document.get(key)
    found = [] if found is None else found
    if not isinstance(found, list):
        raise BadProof(f"{what}: {key} is not a list")
    if len(found) > most:
        raise BadProof(f"{what}: {len(found)} {key}, and {most} are the most that are looked at")
    return found


def read_bundle(data: bytes | str, where: str) -> list[Candidate]:
    """Return the signatures of a sigstore bundle: one, or those of its envelope. Raises BadProof."""
    document = parse(data, where)
    if not isinstance(document, dict):
        raise BadProof(f"{where}: not a JSON object")
    version = _VERSIONS.get(str(document.get("mediaType")))
    if version is None:
        raise BadProof(
            f"{where}: mediaType {str(document.get('mediaType'))[:80]!r} is no bundle that is known"
        )
    material = part(document, "verificationMaterial", where)
    leaf, chain, hint = _signer(material, version, where)
    entries = tuple(
        _entry(one, version, where) for one in _items(material, "tlogEntries", MOST_ENTRIES, where)
    )
    shared: dict[str, Any] = {
        "where": where, "form": "bundle", "certificate": leaf, "chain": chain, "hint": hint, "entries": entries,
        "timestamps": _timestamps(material, where), "version": version,
    }  # fmt: skip
    if "dsseEnvelope" in document and "messageSignature" not in document:
        found = read_envelope(part(document, "dsseEnvelope", where), **shared)
        if len(found) != 1:
            raise BadProof(f"{where}: a bundle's envelope has one signature, and this has {len(found)}")
        return found
    if "dsseEnvelope" in document:
        raise BadProof(f"{where}: both a messageSignature and a dsseEnvelope")
    signed = part(document, "messageSignature", where)
    algorithm, raw = "sha256", b""
    if signed.get("messageDigest") is not None:
        held = part(signed, "messageDigest", where)
        algorithm = DIGESTS.get(str(held.get("algorithm")), "")
        if not algorithm:
            raise BadProof(
                f"{where}: the digest is {held.get('algorithm')!r}, and {', '.join(DIGESTS)} are supported"
            )
        raw = unb64(held.get("digest"), f"{where}: messageDigest.digest")
    signature = unb64(signed.get("signature"), f"{where}: signature")
    return [Candidate(signature=signature, digest=raw, algorithm=algorithm, **shared)]


def read_envelope(document: Mapping[str, Any], *, where: str, **shared: Any) -> list[Candidate]:
    """Return the signatures of a DSSE envelope. Raises BadProof."""
    payload = unb64(document.get("payload"), f"{where}: payload")
    kind = document.get("payloadType")
    if not isinstance(kind, str):
        raise BadProof(f"{where}: payloadType is missing")
    message = encoding(kind, payload)
    listed = _items(document, "signatures", MOST_SIGNATURES, where)
    if not listed:
        raise BadProof(f"{where}: an envelope without signatures")
    return [
        Candidate(
            signature=unb64(
                one.get("sig") if isinstance(one, dict) else None, f"{where}: signatures[{index}].sig"
            ),
            message=message,
            payload=payload,
            payload_type=kind,
            where=where,
            **shared,
        )
        for index, one in enumerate(listed)
    ]


def read_layer(
    media_type: str, payload: bytes, annotations: Mapping[str, str], where: str
) -> list[Candidate]:
    """Return the signatures of a layer of cosign's legacy layout (`.sig`, `.att`). Raises BadProof."""
    leaf: x509.Certificate | None = None
    chain: Chain = ()
    try:
        if annotations.get(CERTIFICATE):
            leaf = read_certificates(annotations[CERTIFICATE], f"{where}: certificate")[0]
        if annotations.get(CHAIN):
            chain = read_certificates(annotations[CHAIN], f"{where}: chain")[:_LONGEST_PATH]
    except BadTrust as error:
        raise BadProof(str(error)) from error
    shared: dict[str, Any] = {
        "form": "legacy", "certificate": leaf, "chain": chain, "annotations": annotations,
        "entries": _annotated(annotations, where), "timestamps": _stamp(annotations, where),
    }  # fmt: skip
    if media_type == ENVELOPE:
        document = parse(payload, where)
        if not isinstance(document, dict):
            raise BadProof(f"{where}: not an envelope")
        return read_envelope(document, where=where, **shared)
    if media_type != SIMPLE:
        raise BadProof(f"{where}: {media_type} is no payload of a signature")
    signature = unb64(annotations.get(SIGNATURE), f"{where}: the annotation {SIGNATURE}")
    digest = hashlib.sha256(payload).digest()
    return [
        Candidate(
            where,
            signature=signature,
            message=payload,
            digest=digest,
            payload=payload,
            payload_type=SIMPLE,
            **shared,
        )
    ]


def _annotated(annotations: Mapping[str, str], where: str) -> tuple[Entry, ...]:
    """Return the log entry of cosign's annotation `bundle`."""
    text = annotations.get(PROOF)
    if not text:
        return ()
    document = parse(text, f"{where}: {PROOF}")
    held = part(document, "Payload", where)
    log = held.get("logID")
    try:
        log_id = bytes.fromhex(log) if isinstance(log, str) else b""
    except ValueError:
        log_id = b""
    return (
        Entry(
            log_id,
            number(held.get("logIndex"), f"{where}: logIndex"),
            unb64(held.get("body"), f"{where}: body"),
            number(held.get("integratedTime"), f"{where}: integratedTime"),
            unb64(document.get("SignedEntryTimestamp"), f"{where}: SignedEntryTimestamp"),
        ),
    )


def _stamp(annotations: Mapping[str, str], where: str) -> tuple[bytes, ...]:
    text = annotations.get(TIMESTAMP)
    if not text:
        return ()
    document = parse(text, f"{where}: {TIMESTAMP}")
    held = document.get("SignedRFC3161Timestamp") if isinstance(document, dict) else None
    return (unb64(held, f"{where}: SignedRFC3161Timestamp"),)


def _signer(
    material: Mapping[str, Any], version: int, where: str
) -> tuple[x509.Certificate | None, Chain, str]:
    kinds = [
        one for one in ("certificate", "x509CertificateChain", "publicKey") if material.get(one) is not None
    ]
    if len(kinds) != 1:
        raise BadProof(f"{where}: exactly one of certificate, x509CertificateChain and publicKey is wanted")
    if kinds == ["publicKey"]:
        return None, (), str(part(material, "publicKey", where).get("hint") or "")
    try:
        if kinds == ["certificate"]:
            if version < 2:
                raise BadProof(f"{where}: a bundle of version 0.{version} has an x509CertificateChain")
            raw = part(material, "certificate", where).get("rawBytes")
            return certificate(unb64(raw, f"{where}: certificate"), where), (), ""
        held = _items(part(material, "x509CertificateChain", where), "certificates", _LONGEST_PATH, where)
        found = [
            certificate(
                unb64(one.get("rawBytes") if isinstance(one, dict) else None, f"{where}: certificate"), where
            )
            for one in held
        ]
    except BadTrust as error:
        raise BadProof(str(error)) from error
    if not found:
        raise BadProof(f"{where}: an empty chain of certificates")
    return found[0], tuple(found[1:]), ""


def _timestamps(material: Mapping[str, Any], where: str) -> tuple[bytes, ...]:
    held = material.get("timestampVerificationData")
    if held is None:
        return ()
    listed = _items(
        part(material, "timestampVerificationData", where), "rfc3161Timestamps", MOST_ENTRIES, where
    )
    found = tuple(
        unb64(one.get("signedTimestamp") if isinstance(one, dict) else None, f"{where}: signedTimestamp")
        for one in listed
    )
    if len(set(found)) != len(found):
        raise BadProof(f"{where}: the same timestamp twice")
    return found


def _entry(document: Any, version: int, where: str) -> Entry:
    what = f"{where}: log entry"
    named = part(document, "kindVersion", what)
    promise = document.get("inclusionPromise")
    proof = document.get("inclusionProof")
    entry = Entry(
        unb64(part(document, "logId", what).get("keyId"), f"{what}: logId"),
        number(document.get("logIndex", 0), f"{what}: logIndex"),
        unb64(document.get("canonicalizedBody"), f"{what}: canonicalizedBody"),
        number(document.get("integratedTime") or 0, f"{what}: integratedTime"),
        unb64(part(document, "inclusionPromise", what).get("signedEntryTimestamp"), what) if promise else b"",
        _inclusion(part(document, "inclusionProof", what), what) if proof else None,
        str(named.get("kind")),
        str(named.get("version")),
    )
    if version == 1 and not entry.promise:
        raise BadProof(f"{what}: without an inclusionPromise, which bundles of version 0.1 have")
    if version > 1 and (entry.proof is None or not entry.proof.checkpoint):
        raise BadProof(
            f"{what}: without an inclusionProof and its checkpoint, which bundles since version 0.2 have"
        )
    return entry


def _inclusion(document: Mapping[str, Any], what: str) -> Inclusion:
    signed = document.get("checkpoint")
    note = signed.get("envelope") if isinstance(signed, dict) else ""
    return Inclusion(
        number(document.get("logIndex", 0), f"{what}: inclusionProof.logIndex"),
        number(document.get("treeSize", 0), f"{what}: inclusionProof.treeSize"),
        unb64(document.get("rootHash"), f"{what}: inclusionProof.rootHash"),
        tuple(
            unb64(one, f"{what}: inclusionProof.hashes")
            for one in _items(document, "hashes", _LONGEST_PATH, what)
        ),
        note if isinstance(note, str) else "",
    )
