"""Transparency logs: whether a log holds an entry, what the entry says, and since when.

An entry counts only if a trusted log promised it (SET) or proved it (a Merkle path to a signed checkpoint), and if it is about this very
signature, key and message. Must never take an entry of another signature. Sources: RFC 6962 2.1.1, sigstore/rekor types, C2SP signed notes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from fairlead.drivers.signatures.bundles import Candidate, Entry, Inclusion, parse, part, unb64
from fairlead.drivers.signatures.certificates import key_of
from fairlead.drivers.signatures.faults import BadKey, BadProof, BadTrust
from fairlead.drivers.signatures.keys import Key, read_der, read_public
from fairlead.drivers.signatures.roots import Log, Root, certificate, read_certificates

_LINE: Final = re.compile("\u2014 ([^ \n]+) ([A-Za-z0-9+/=]+)\\Z")
_LONGEST_NOTE: Final = 1 << 16


def logged(entry: Entry, candidate: Candidate, key: Key, root: Root) -> datetime | None:
    """Return when the log took the entry in, None where nothing signed says so. `key` is the signer's.

    Raises BadProof where the entry is not proven, or is about something else; LookupError where its log is not trusted.
    """
    log = root.log(entry.log)
    if log is None:
        raise LookupError(
            f"its log entry is of a log that {root.name} does not trust ({entry.log.hex()[:16]})"
        )
    if not entry.promise and (entry.proof is None or not entry.proof.checkpoint):
        raise BadProof("the log entry has neither a promise nor a proof")
    if entry.promise:
        _check_promise(entry, log)
    if entry.proof is not None and entry.proof.checkpoint:
        _check_inclusion(entry.body, entry.proof, log)
    elif entry.proof is not None and not entry.promise:
        raise BadProof("the log entry's proof has no checkpoint")
    _check_body(entry, candidate, key)
    if not entry.promise or not entry.time:
        return None
    when = datetime.fromtimestamp(entry.time, UTC)
    if not log.span.holds(when):
        raise BadProof(
            f"the log entry is of {when:%Y-%m-%d %H:%M:%S} UTC, when its log was not to be trusted"
        )
    return when


def _check_promise(entry: Entry, log: Log) -> None:
    """Check the signed entry timestamp: over the canonical JSON of four fields."""
    said = {
        "body": base64.b64encode(entry.body).decode(),
        "integratedTime": entry.time,
        "logID": entry.log.hex(),
        "logIndex": entry.index,
    }
    message = json.dumps(said, separators=(",", ":"), sort_keys=True).encode()
    if not log.key.signed(entry.promise, message):
        raise BadProof("the log's promise (SET) is not signed by the log, or is about another entry")


def _check_inclusion(body: bytes, proof: Inclusion, log: Log) -> None:
    if merkle_root(proof.index, proof.size, leaf_hash(body), proof.hashes) != proof.root:
        raise BadProof("the log's inclusion proof does not lead to its root hash")
    size, root = read_checkpoint(proof.checkpoint, log)
    if root != proof.root or size != proof.size:
        raise BadProof("the log's checkpoint is of another tree than the inclusion proof")


def leaf_hash(body: bytes) -> bytes:
    """Return the hash of an entry in the tree."""
    return hashlib.sha256(b"\0" + body).digest()


def merkle_root(index: int, size: int, leaf: bytes, path: tuple[bytes, ...]) -> bytes:
    """Return the root hash that a path leads to. Raises BadProof where the path does not fit the place in the tree."""
    if not 0 <= index < size or any(len(one) != 32 for one in path):
        raise BadProof("the log's inclusion proof is for no place in its tree")
    inner = (index ^ (size - 1)).bit_length()
    border = (index >> inner).bit_count()
    if len(path) != inner + border:
        raise BadProof(
            f"the log's inclusion proof has {len(path)} hashes, and {inner + border} lead to the root"
        )
    found = leaf
    for level, one in enumerate(path):
        left = level >= inner or (index >> level) & 1
        found = hashlib.sha256(b"\1" + (one + found if left else found + one)).digest()
    return found


def read_checkpoint(note: str, log: Log) -> tuple[int, bytes]:
    """Return the size and root hash of a note that the log signed. Raises BadProof.

    Its first line is the log's name, behind which Rekor's first version puts the number of the tree.
    """
    if len(note) > _LONGEST_NOTE or note.count("\n\n") != 1:
        raise BadProof("the log's checkpoint is no signed note")
    text, _, signed = note.partition("\n\n")
    text += "\n"
    lines = text.split("\n")
    try:
        size, root = int(lines[1]), base64.b64decode(lines[2], validate=True)
    except (IndexError, ValueError, binascii.Error) as error:
        raise BadProof("the log's checkpoint has no size and root hash") from error
    for line in signed.removesuffix("\n").split("\n"):
        found = _LINE.match(line)
        if found is None:
            raise BadProof("the log's checkpoint is not signed as notes are")
        try:
            raw = base64.b64decode(found[2], validate=True)
        except (ValueError, binascii.Error):
            continue
        name = found[1]
        if raw[:4] != log.id[:4] or not log.goes_by(name) or not log.key.signed(raw[4:], text.encode()):
            continue
        if lines[0] != name and not lines[0].startswith(f"{name} - "):
            raise BadProof(f"the log's checkpoint is of {lines[0][:80]!r}, and {name[:80]!r} signed it")
        return size, root
    raise BadProof("the log's checkpoint is not signed by the log")


def _check_body(entry: Entry, candidate: Candidate, key: Key) -> None:
    """Check that an entry is about this signature: its bytes, its key, and the digest of what was signed."""
    document = parse(entry.body, "the log entry")
    if not isinstance(document, dict) or not isinstance(document.get("spec"), dict):
        raise BadProof("the log entry's body cannot be read")
    kind, version = str(document.get("kind")), str(document.get("apiVersion"))
    if entry.kind and (entry.kind, entry.version) != (kind, version):
        raise BadProof(f"the log entry is a {kind} {version}, and was called a {entry.kind} {entry.version}")
    reader = _READERS.get((kind, version))
    if reader is None:
        raise BadProof(f"log entries of the kind {kind} {version} are not supported")
    reader(document["spec"], candidate, key)


def _same_key(found: Key | x509.Certificate, candidate: Candidate, key: Key) -> None:
    if isinstance(found, Key):
        if found != key:
            raise BadProof("the log entry is of another key")
    elif candidate.certificate is None:
        if key_of(found) != key:
            raise BadProof("the log entry is of another key")
    elif found.public_bytes(Encoding.DER) != candidate.certificate.public_bytes(Encoding.DER):
        raise BadProof("the log entry is of another certificate")


def _verifier(pem: bytes) -> Key | x509.Certificate:
    try:
        return (
            read_certificates(pem, "the log entry's key")[0]
            if b"CERTIFICATE-----" in pem
            else read_public(pem, "the log entry's key")[0]
        )
    except (BadKey, BadTrust) as error:
        raise BadProof(str(error)) from error


def _verifier_v2(signature: Mapping[str, Any]) -> Key | x509.Certificate:
    held = part(signature, "verifier", "the log entry")
    try:
        if held.get("x509Certificate") is not None:
            raw = part(held, "x509Certificate", "the log entry").get("rawBytes")
            return certificate(unb64(raw, "the log entry's certificate"), "the log entry")
        return read_der(
            unb64(part(held, "publicKey", "the log entry").get("rawBytes"), "the log entry's key")
        )
    except (BadKey, BadTrust) as error:
        raise BadProof(str(error)) from error


def _same_signature(found: bytes, candidate: Candidate) -> None:
    if found != candidate.signature:
        raise BadProof("the log entry is of another signature")


def _same_digest(algorithm: object, digest: bytes, candidate: Candidate, *, payload: bool = False) -> None:
    """Check the digest of what was signed, or of an envelope's payload."""
    name = {"sha256": "sha256", "SHA2_256": "sha256", "sha384": "sha384", "SHA2_384": "sha384", "sha512": "sha512",
            "SHA2_512": "sha512"}.get(str(algorithm))  # fmt: skip
    if name is None:
        raise BadProof(f"the log entry's digest is a {algorithm}, which is not supported")
    if payload or candidate.message is not None:
        what = candidate.payload if payload else candidate.message
        wanted = hashlib.new(name, what or b"").digest()
    elif candidate.file is not None:
        wanted = hashlib.new(name, candidate.file).digest()
    else:
        wanted = candidate.digest if name == candidate.algorithm else b""
    if digest != wanted:
        raise BadProof("the log entry is of another artifact")


def _hex(value: object) -> bytes:
    try:
        return bytes.fromhex(value) if isinstance(value, str) else b""
    except ValueError:
        return b""


def _hashedrekord(spec: Mapping[str, Any], candidate: Candidate, key: Key) -> None:
    signature = part(spec, "signature", "the log entry")
    _same_signature(unb64(signature.get("content"), "the log entry's signature"), candidate)
    public = part(signature, "publicKey", "the log entry")
    _same_key(_verifier(unb64(public.get("content"), "the log entry's key")), candidate, key)
    held = part(part(spec, "data", "the log entry"), "hash", "the log entry")
    _same_digest(held.get("algorithm"), _hex(held.get("value")), candidate)


def _hashedrekord_v2(spec: Mapping[str, Any], candidate: Candidate, key: Key) -> None:
    spec = part(spec, "hashedRekordV002", "the log entry")
    signature = part(spec, "signature", "the log entry")
    _same_signature(unb64(signature.get("content"), "the log entry's signature"), candidate)
    _same_key(_verifier_v2(signature), candidate, key)
    held = part(spec, "data", "the log entry")
    _same_digest(held.get("algorithm"), unb64(held.get("digest"), "the log entry's digest"), candidate)


def _dsse(spec: Mapping[str, Any], candidate: Candidate, key: Key) -> None:
    _enveloped(candidate)
    held = part(spec, "payloadHash", "the log entry")
    _same_digest(held.get("algorithm"), _hex(held.get("value")), candidate, payload=True)
    one = _single(spec)
    _same_signature(unb64(one.get("signature"), "the log entry's signature"), candidate)
    _same_key(_verifier(unb64(one.get("verifier"), "the log entry's key")), candidate, key)


def _dsse_v2(spec: Mapping[str, Any], candidate: Candidate, key: Key) -> None:
    _enveloped(candidate)
    spec = part(spec, "dsseV002", "the log entry")
    held = part(spec, "payloadHash", "the log entry")
    _same_digest(
        held.get("algorithm"), unb64(held.get("digest"), "the log entry's digest"), candidate, payload=True
    )
    one = _single(spec)
    _same_signature(unb64(one.get("content"), "the log entry's signature"), candidate)
    _same_key(_verifier_v2(one), candidate, key)


def _intoto(spec: Mapping[str, Any], candidate: Candidate, key: Key) -> None:
    """Version 0.0.2, whose signature is base64 twice."""
    _enveloped(candidate)
    content = part(spec, "content", "the log entry")
    held = part(content, "payloadHash", "the log entry")
    _same_digest(held.get("algorithm"), _hex(held.get("value")), candidate, payload=True)
    envelope = part(content, "envelope", "the log entry")
    if envelope.get("payloadType") != candidate.payload_type:
        raise BadProof("the log entry is of another type of payload")
    one = _single(envelope)
    twice = unb64(one.get("sig"), "the log entry's signature")
    try:
        once = base64.b64decode(twice, validate=True)
    except (ValueError, binascii.Error):
        once = b""
    if candidate.signature not in (once, twice):
        raise BadProof("the log entry is of another signature")
    _same_key(_verifier(unb64(one.get("publicKey"), "the log entry's key")), candidate, key)


def _intoto_old(spec: Mapping[str, Any], candidate: Candidate, key: Key) -> None:
    """Version 0.0.1, which names the payload and the key, and no signature."""
    _enveloped(candidate)
    held = part(part(spec, "content", "the log entry"), "payloadHash", "the log entry")
    _same_digest(held.get("algorithm"), _hex(held.get("value")), candidate, payload=True)
    _same_key(_verifier(unb64(spec.get("publicKey"), "the log entry's key")), candidate, key)


def _enveloped(candidate: Candidate) -> None:
    if candidate.message is None or not candidate.payload_type or candidate.message == candidate.payload:
        raise BadProof("the log entry is of an envelope, and this signature is of none")


def _single(document: Mapping[str, Any]) -> Mapping[str, Any]:
    listed = document.get("signatures")
    if not isinstance(listed, list) or len(listed) != 1 or not isinstance(listed[0], dict):
        raise BadProof("the log entry does not have exactly one signature")
    return listed[0]


_READERS: Final = {
    ("hashedrekord", "0.0.1"): _hashedrekord,
    ("rekord", "0.0.1"): _hashedrekord,
    ("hashedrekord", "0.0.2"): _hashedrekord_v2,
    ("dsse", "0.0.1"): _dsse,
    ("dsse", "0.0.2"): _dsse_v2,
    ("intoto", "0.0.1"): _intoto_old,
    ("intoto", "0.0.2"): _intoto,
}
