"""What rules ask of an image's signatures, in words that all dialects share: who may have signed, what must prove it, and what came of it.

Words only: signatures are verified by whoever answers the Need `image.verification`. An authority that trusts nobody proves nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypedDict
from urllib.parse import urlsplit

from fairlead.judge.surroundings import Surroundings
from fairlead.tongues.paths import mapping
from fairlead.words import Need, Ref

SIGNING: Final = "https://sigstore.dev/cosign/sign/v1"
"""The predicate type that stands for a signature, which attests nothing else."""
PREDICATES: Final[Mapping[str, str]] = {
    "slsaprovenance": "https://slsa.dev/provenance/v0.2",
    "slsaprovenance02": "https://slsa.dev/provenance/v0.2",
    "slsaprovenance1": "https://slsa.dev/provenance/v1",
    "spdx": "https://spdx.dev/Document",
    "spdxjson": "https://spdx.dev/Document",
    "cyclonedx": "https://cyclonedx.org/bom",
    "link": "https://in-toto.io/Link/v1",
    "vuln": "https://cosign.sigstore.dev/attestation/vuln/v1",
    "openvex": "https://openvex.dev/ns",
    "custom": "https://cosign.sigstore.dev/attestation/v1",
}
"""cosign's short names of predicate types. Source: sigstore/cosign cmd/cosign/cli/options/predicate.go."""


class IdentityAsked(TypedDict, total=False):
    """Whose certificate it may be: exact texts, or patterns that are sought anywhere. `prefix`: the subject is a URL prefix."""

    subject: str
    subjectRegExp: str
    issuer: str
    issuerRegExp: str
    prefix: bool


class KeyAsked(TypedDict, total=False):
    """A public key as PEM, and the hash that signatures are made over ("": the usual)."""

    pem: str
    hash: str


class AuthorityAsked(TypedDict, total=False):
    """Who may have signed, and what must prove it; as JSON in a Need.

    `root` is where trust comes from: {} for sigstore's own, else `trustedRoot` (a trusted_root.json) or `sigstoreKeys` (those of a
    TrustRoot, and `own` names the parts that are sigstore's own all the same). `certificates` (PEM) stand in place of its authorities,
    `logKeys` and `certificateLogKeys` (PEM) of its logs, `stampers` (PEM) of its timestamp authorities. `log` and `stamped`
    as in drivers/signatures; `promised`: the certificate must hold an SCT. `leaf` (PEM, with `chain`) is a certificate whose key signed.
    """

    name: str
    keys: list[KeyAsked]
    identities: list[IdentityAsked]
    root: dict[str, Any]
    log: Literal["require", "check", "ignore"]
    promised: bool
    stamped: bool
    annotations: dict[str, str]
    extensions: dict[str, str]
    legacy: bool
    bundles: bool
    sources: list[dict[str, str]]
    leaf: str
    chain: str
    predicate: str


@dataclass(frozen=True, slots=True)
class Found:
    """What one authority proved; `error` is why there is nothing.

    Each of `proven` has `id`, `subject`, `issuer`, `key`, `extensions`, `annotations`, `predicateType` and `statement`.
    """

    name: str
    proven: tuple[Mapping[str, Any], ...]
    error: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of asking: the image's digest, its whole name with it, and what each authority proved, in order."""

    digest: str
    image: str
    found: tuple[Found, ...]


def predicate_type(text: str) -> str:
    """Return the type that a short name or a URI means. Raises ValueError for neither."""
    if text in PREDICATES:
        return PREDICATES[text]
    if not urlsplit(text).scheme:
        raise ValueError(f"{text!r} is no predicate type: give a URI, or one of {', '.join(PREDICATES)}")
    return text


def verification_need(
    image: str, authorities: Sequence[AuthorityAsked], credentials: Mapping[str, Any] | None = None
) -> Need:
    """Return the question which of the authorities signed an image (or attested a `predicate` of it). The answer is a mapping; see `read_answer`."""
    detail = [("what", "authorities"), ("authorities", _text(list(authorities)))]
    if credentials:
        detail.append(("credentials", _text(credentials)))
    return Need("image.verification", Ref("", "", "", image), tuple(detail))


def digest_need(image: str, credentials: Mapping[str, Any] | None = None) -> Need:
    """Return the question which digest an image has now. The answer is {"digest": ..., "image": ...}."""
    detail = (("what", "digest"), *((("credentials", _text(credentials)),) if credentials else ()))
    return Need("image.verification", Ref("", "", "", image), detail)


def data_need(image: str) -> Need:
    """Return the question what a registry says of an image: its names, manifest and configuration."""
    return Need("image.data", Ref("", "", "", image))


def verified(
    around: Surroundings,
    image: str,
    authorities: Sequence[AuthorityAsked],
    credentials: Mapping[str, Any] | None = None,
) -> Answer:
    """Return what each authority proves of an image. Raises Lacking, or what stands for the answer that there is none."""
    return read_answer(around.ask(verification_need(image, authorities, credentials)))


def read_answer(answer: Any) -> Answer:
    """Return the answer to a `verification_need`; what is missing in it is not proven."""
    said = mapping(answer)
    listed = said.get("found")
    return Answer(
        str(said.get("digest") or ""),
        str(said.get("image") or ""),
        tuple(
            Found(str(one.get("name") or ""), tuple(_proven(one)), str(one.get("error") or ""))
            for one in (listed if isinstance(listed, list) else ())
            if isinstance(one, Mapping)
        ),
    )


def _proven(found: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    listed = found.get("proven")
    return [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
