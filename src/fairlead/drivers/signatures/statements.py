"""What signatures say: cosign's simple signing documents and in-toto statements, made and checked. Pure.

A signature counts for an artifact only if what it is over names the artifact's digest. Names of repositories are not compared, as cosign
does not: the digest is what is signed.
Sources: sigstore/cosign specs, in-toto/attestation spec v1 (Statement), containers/image docs/containers-signature.5.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fairlead.drivers.signatures.bundles import IN_TOTO, SIMPLE, parse
from fairlead.drivers.signatures.faults import BadProof
from fairlead.judge.signatures import SIGNING

STATEMENT: Final = "https://in-toto.io/Statement/v1"
STATEMENT_OLD: Final = "https://in-toto.io/Statement/v0.1"
_SIMPLE_TYPE: Final = "cosign container image signature"
_MOST_SUBJECTS: Final = 4096


@dataclass(frozen=True, slots=True)
class Claim:
    """What a signature says of an artifact. Of a plain signature the predicate type is SIGNING; annotations are the signer's."""

    predicate_type: str
    predicate: Any
    annotations: Mapping[str, Any]
    statement: Mapping[str, Any]


def read_claim(payload: bytes, payload_type: str, digest: str) -> Claim:
    """Return what a signed payload says of the digest. Raises BadProof where it is about something else, or cannot be read."""
    if payload_type not in {SIMPLE, IN_TOTO}:
        raise BadProof(
            f"what is signed is a {payload_type or 'file'}, and neither an image signature nor a statement"
        )
    document = parse(payload, "what is signed")
    if not isinstance(document, dict):
        raise BadProof("what is signed is no JSON object")
    return (_simple if payload_type == SIMPLE else _statement)(document, digest)


def _simple(document: Mapping[str, Any], digest: str) -> Claim:
    critical = document.get("critical")
    critical = critical if isinstance(critical, dict) else {}
    if critical.get("type") != _SIMPLE_TYPE:
        raise BadProof(
            f"what is signed is a {str(critical.get('type'))[:60]!r}, and should be a {_SIMPLE_TYPE!r}"
        )
    image = critical.get("image")
    named = image.get("docker-manifest-digest") if isinstance(image, dict) else None
    if named is None and isinstance(image, dict):
        named = image.get("Docker-manifest-digest")
    if named != digest:
        raise BadProof(f"it is a signature of {str(named)[:80]}")
    optional = document.get("optional")
    return Claim(SIGNING, {}, optional if isinstance(optional, dict) else {}, document)


def _statement(document: Mapping[str, Any], digest: str) -> Claim:
    kind = document.get("_type")
    if kind not in {STATEMENT, STATEMENT_OLD}:
        raise BadProof(
            f"what is signed has the _type {str(kind)[:60]!r}, and is no in-toto statement that is known"
        )
    predicate = document.get("predicateType")
    if not isinstance(predicate, str) or not predicate:
        raise BadProof("the statement has no predicateType")
    subjects = document.get("subject")
    if not isinstance(subjects, list) or not subjects or len(subjects) > _MOST_SUBJECTS:
        raise BadProof(f"the statement does not have one to {_MOST_SUBJECTS} subjects")
    algorithm, _, value = digest.partition(":")
    named: list[str] = []
    for subject in subjects:
        digests = subject.get("digest") if isinstance(subject, dict) else None
        found = digests.get(algorithm) if isinstance(digests, dict) else None
        if found == value:
            notes = subject.get("annotations")
            return Claim(
                predicate, document.get("predicate"), notes if isinstance(notes, dict) else {}, document
            )
        named.append(f"{algorithm}:{found}")
    raise BadProof(f"it is a statement about {named[0][:80]}")


def lacking(claim: Claim, wanted: Mapping[str, str]) -> str:
    """Return the first annotation that is wanted and not there as wanted, with what is there; "" where none is lacking."""
    for key, value in wanted.items():
        found = claim.annotations.get(key)
        if found != value:
            return f"{key}={value} (there is {found!r})" if key in claim.annotations else f"{key}={value}"
    return ""


def simple_signing(name: str, digest: str, annotations: Mapping[str, str]) -> bytes:
    """Return cosign's payload for an artifact; byte for byte as cosign writes it."""
    document = {
        "critical": {
            "identity": {"docker-reference": name},
            "image": {"docker-manifest-digest": digest},
            "type": _SIMPLE_TYPE,
        },
        "optional": dict(sorted(annotations.items())) or None,
    }
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def statement(
    digest: str,
    predicate_type: str,
    predicate: Any,
    *,
    name: str = "",
    annotations: Mapping[str, str] | None = None,
) -> bytes:
    """Return an in-toto statement about a digest."""
    algorithm, _, value = digest.partition(":")
    subject: dict[str, Any] = {"name": name} if name else {}
    subject["digest"] = {algorithm: value}
    if annotations:
        subject["annotations"] = dict(sorted(annotations.items()))
    document = {
        "_type": STATEMENT,
        "subject": [subject],
        "predicateType": predicate_type,
        "predicate": predicate,
    }
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
