"""Whether an artifact is signed by somebody who is trusted: the one place that decides.

Everything that is not proven counts as false: no authority, no signature, a proof that cannot be read. Sources: sigstore's client
specification (verification), sigstore/cosign pkg/cosign/verify.go.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeAlias

from cryptography import x509

from fairlead.drivers.oci.references import Reference
from fairlead.drivers.oci.stores import Store
from fairlead.drivers.signatures.attachments import Source, find
from fairlead.drivers.signatures.bundles import Candidate
from fairlead.drivers.signatures.certificates import (
    Identity,
    chains,
    check_leaf,
    common_name,
    critical_unknown,
    extensions,
    holds,
    key_of,
    subjects,
)
from fairlead.drivers.signatures.faults import BadProof, Unsigned, Unverified
from fairlead.drivers.signatures.keys import Key
from fairlead.drivers.signatures.logs import logged
from fairlead.drivers.signatures.promises import check_promise
from fairlead.drivers.signatures.roots import NOTHING, Chain, Root, named
from fairlead.drivers.signatures.statements import Claim, lacking, read_claim
from fairlead.drivers.signatures.timestamps import stamped
from fairlead.judge.signatures import SIGNING

Logging: TypeAlias = Literal["require", "check", "ignore"]
SKEW: Final = timedelta(minutes=5)
"""How far a proven time may be ahead of this machine's clock."""
_ANY: Final = "*"
_EVERY: Final = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """Who may have signed, and what has to prove it: one of the keys, or a certificate for one of the identities.

    `log`: a transparency log's entry is required, or checked where there is one of a log that is trusted, or ignored. `promised`: a
    certificate must have been shown to a certificate log. `stamped`: a timestamp is required. `annotations` the signer must have given,
    `extensions` the certificate must carry (certificates.EXTENSIONS names them). `sources` are where to look.
    """

    name: str
    keys: tuple[Key, ...] = ()
    identities: tuple[Identity, ...] = ()
    root: Root = NOTHING
    log: Logging = "require"
    promised: bool = True
    stamped: bool = False
    annotations: Mapping[str, str] = field(default_factory=dict)
    extensions: Mapping[str, str] = field(default_factory=dict)
    legacy: bool = True
    bundles: bool = True
    sources: tuple[Source, ...] = (Source(),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """A signature that holds: by which authority, whose it is, and what it says. `when` is proven by a log or a timestamp."""

    authority: str
    where: str
    form: str
    identifier: str
    claim: Claim
    key: str = ""
    subject: str = ""
    issuer: str = ""
    extensions: Mapping[str, str] = field(default_factory=dict)
    when: datetime | None = None
    logged: bool = False

    @property
    def signer(self) -> str:
        """Who signed, for people."""
        return f"{self.subject} ({self.issuer})" if self.subject else f"key {self.key[:16]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """An artifact that is signed as it has to be: its name with the digest, and each signature that holds, in order."""

    ref: Reference
    digest: str
    proven: tuple[Proven, ...]
    reasons: tuple[str, ...] = ()

    @property
    def pinned(self) -> str:
        """The artifact's name with its digest."""
        name = f"{self.ref.name}:{self.ref.tag}" if self.ref.tag else self.ref.name
        return f"{name}@{self.digest}"


async def verify_artifact(
    store: Store,
    ref: Reference,
    digest: str,
    authorities: Sequence[Authority],
    now: datetime,
    *,
    predicate: str = SIGNING,
) -> Verified:
    """Return every signature of the digest (or attestation of this predicate type, "*" any) that one of the authorities made.

    Raises Unverified (Unsigned where there is nothing) with the reason of each that was looked at; RegistryError where the store
    cannot be asked.
    """
    what = "signed" if predicate == SIGNING else "attested"
    if not any(one.keys or one.identities for one in authorities):
        raise Unverified(f"{ref.name}@{digest}: nobody is trusted to have {what} it")
    found: dict[tuple[Source, bool, bool], list[Candidate]] = {}
    proven: list[Proven] = []
    reasons: list[str] = []
    for authority in authorities:
        for source in authority.sources or (Source(),):
            kind = (source, authority.legacy, authority.bundles)
            if kind not in found:
                found[kind] = await find(
                    store,
                    ref,
                    digest,
                    predicate=predicate,
                    source=source,
                    legacy=authority.legacy,
                    bundles=authority.bundles,
                )
            for candidate in found[kind]:
                try:
                    proven.append(examine(candidate, authority, digest, now, predicate))
                except BadProof as error:
                    reasons.append(_told(candidate, authority, str(error), several=len(authorities) > 1))
    if proven:
        return Verified(ref=ref, digest=digest, proven=tuple(proven), reasons=tuple(reasons))
    if not any(found.values()):
        raise Unsigned(f"{ref.name}@{digest}: not {what}{_hint(authorities)}")
    head = "no signature" if predicate == SIGNING else f"no attestation of the type {predicate}"
    raise Unverified(f"{ref.name}@{digest}: {head} of it is by anybody who is trusted", tuple(reasons))


def _hint(authorities: Sequence[Authority]) -> str:
    if not any(one.bundles for one in authorities):
        return " in cosign's legacy layout, which alone is asked for"
    if not any(one.legacy for one in authorities):
        return " by a sigstore bundle, which alone is asked for"
    return ""


def _told(candidate: Candidate, authority: Authority, why: str, *, several: bool) -> str:
    why = why.removeprefix(f"{candidate.where}: ")
    return f"{candidate.where}, {authority.name}: {why}" if several else f"{candidate.where}: {why}"


def examine(
    candidate: Candidate, authority: Authority, digest: str, now: datetime, predicate: str = SIGNING
) -> Proven:
    """Return what a signature proves, if one of the authority's made it over this digest. Raises BadProof."""
    if candidate.broken:
        raise BadProof(candidate.broken)
    key, made = _by_key(candidate, authority, digest) if authority.keys else (None, None)
    if key is None:
        if not authority.identities:
            raise BadProof(f"not signed by {_keys(authority)}")
        if candidate.certificate is None:
            raise BadProof("signed with a key, and a certificate is wanted")
        made = key_of(candidate.certificate)
        if not _fits(made, candidate, digest):
            raise BadProof("the signature is not by the certificate's key, or not of what it came with")
    assert made is not None
    claim = _claim(candidate, digest, predicate)
    missing = lacking(claim, authority.annotations)
    if missing:
        raise BadProof(f"the signer did not annotate it with {missing}")
    times, was_logged = _times(candidate, authority, made, now)
    proof: dict[str, Any] = {"key": made.fingerprint}
    if key is None:
        assert candidate.certificate is not None
        proof |= _certified(candidate.certificate, candidate.chain, authority, times, now)
    return Proven(
        authority=authority.name,
        where=candidate.where,
        form=candidate.form,
        identifier=candidate.identifier,
        claim=claim,
        when=min(times) if times else None,
        logged=was_logged,
        **proof,
    )


def _keys(authority: Authority) -> str:
    told = [f"{one.kind} {one.fingerprint[:16]}" for one in authority.keys[:3]]
    more = f" or {len(authority.keys) - 3} others" if len(authority.keys) > 3 else ""
    only = any(one.kind == "ed25519" for one in authority.keys)
    hint = " (signatures by Ed25519ph, with a hash before, are not supported)" if only else ""
    return f"the key {' or '.join(told)}{more}{hint}"


def _by_key(candidate: Candidate, authority: Authority, digest: str) -> tuple[Key | None, Key | None]:
    key = next((one for one in authority.keys if _fits(one, candidate, digest)), None)
    return key, key


def _fits(key: Key, candidate: Candidate, digest: str) -> bool:
    """Whether the signature is the key's: over the message, or over the artifact itself where only its digest is known."""
    if candidate.message is not None:
        return key.signed(candidate.signature, candidate.message)
    if digest != f"{candidate.algorithm}:{candidate.digest.hex()}":
        return False
    if candidate.file is not None:
        return key.signed(candidate.signature, candidate.file)
    return key.signed_digest(candidate.signature, candidate.digest, candidate.algorithm)


def _claim(candidate: Candidate, digest: str, predicate: str) -> Claim:
    if candidate.message is None:
        if digest != f"{candidate.algorithm}:{candidate.digest.hex()}":
            raise BadProof(f"it is a signature of {candidate.algorithm}:{candidate.digest.hex()}")
        claim = Claim(SIGNING, {}, {}, {})
    else:
        claim = read_claim(candidate.payload, candidate.payload_type, digest)
    if predicate == _ANY and claim.predicate_type == SIGNING:
        raise BadProof("it is a signature, and an attestation is wanted")
    if predicate not in {_ANY, _EVERY, claim.predicate_type}:
        wanted = "a signature" if predicate == SIGNING else f"an attestation of the type {predicate}"
        found = (
            "a signature"
            if claim.predicate_type == SIGNING
            else f"an attestation of the type {claim.predicate_type}"
        )
        raise BadProof(f"it is {found}, and {wanted} is wanted")
    return claim


def _times(
    candidate: Candidate, authority: Authority, key: Key, now: datetime
) -> tuple[list[datetime], bool]:
    """Return when the signature was there, as far as that is proven, and whether a trusted log has it. Raises BadProof."""
    times: list[datetime] = []
    was_logged, untrusted = False, ""
    if authority.log != "ignore":
        for entry in candidate.entries:
            try:
                when = logged(entry, candidate, key, authority.root)
            except LookupError as error:
                untrusted = str(error).strip("'\"")
                continue
            was_logged = True
            times += [when] if when is not None else []
        if authority.log == "require" and not was_logged:
            raise BadProof(untrusted or "it is in no transparency log")
    stamps, why = 0, ""
    for response in candidate.timestamps:
        try:
            times.append(stamped(response, candidate.signature, authority.root.timestampers))
            stamps += 1
        except BadProof as error:
            why = str(error)
    claimed = candidate.timestamps and authority.root.timestampers
    if (
        authority.stamped or claimed
    ) and not stamps:  # what is claimed has to hold, even where a log proves as much
        raise BadProof(why or "it has no timestamp by an authority")
    late = next((one for one in times if one > now + SKEW), None)
    if late is not None:
        raise BadProof(
            f"it was made at {late:%Y-%m-%d %H:%M:%S} UTC, which is to come: is this machine's clock right?"
        )
    return times, was_logged


def _certified(
    leaf: x509.Certificate, given: Chain, authority: Authority, times: list[datetime], now: datetime
) -> dict[str, Any]:
    """Check a certificate at each proven time (at the present, where none need be proven). Raises BadProof."""
    check_leaf(leaf)
    odd = critical_unknown(leaf)
    if odd:
        raise BadProof(f"the certificate has a critical extension that is not understood ({odd})")
    if not times and (authority.log == "require" or authority.stamped):
        raise BadProof("nothing proves when it was made: a log's promise (SET) or a timestamp is wanted")
    found: list[Chain] = []
    for when in times or [now]:
        if not holds(leaf, when):
            raise BadProof(_expired(leaf, when, proven=bool(times)))
        paths = list(chains(leaf, given, authority.root.issuers, when))
        if not paths:
            raise BadProof(
                f"the certificate was issued by {leaf.issuer.rfc4514_string() or 'nobody'}, and only "
                f"{named(authority.root.issuers)} is trusted ({authority.root.name})"
            )
        found += paths
    if authority.promised:
        check_promise(leaf, found, authority.root.certificate_logs)
    names, said = subjects(leaf), extensions(leaf)
    issuer = said.get("issuer", "")
    try:
        meant = any(one.fits(names, issuer) for one in authority.identities)
    except ValueError as error:
        raise BadProof(f"an identity's pattern cannot be used: {error}") from error
    if not meant:
        wanted = ", or ".join(str(one) for one in authority.identities[:4])
        by = f" by {issuer}" if issuer else ""
        raise BadProof(f"signed by {', '.join(names) or common_name(leaf)}{by}, and {wanted} is wanted")
    for key, value in authority.extensions.items():
        if said.get(key) != value:
            raise BadProof(f"the certificate's {key} is {said.get(key)!r}, and {value!r} is wanted")
    return {"subject": names[0] if names else common_name(leaf), "issuer": issuer, "extensions": said}


def _expired(leaf: x509.Certificate, when: datetime, *, proven: bool) -> str:
    span = (
        f"{leaf.not_valid_before_utc:%Y-%m-%d %H:%M:%S} to {leaf.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC"
    )
    if proven:
        return f"the certificate held from {span}, and the signature was made at {when:%Y-%m-%d %H:%M:%S} UTC"
    if when < leaf.not_valid_before_utc:
        return f"the certificate holds from {span}, and now it is {when:%Y-%m-%d %H:%M:%S} UTC"
    return f"the certificate has expired: it held from {span}, and nothing proves that the signature was made then"


def verify_file(
    candidates: Sequence[Candidate],
    data: bytes,
    authorities: Sequence[Authority],
    now: datetime,
    what: str,
    *,
    predicate: str = _EVERY,
) -> tuple[Proven, ...]:
    """Return every signature of a file, of those in a bundle, that one of the authorities made. Raises Unverified.

    A statement is about the file if it names its SHA-256, SHA-384 or SHA-512. `predicate` "" takes signatures and attestations.
    """
    if not any(one.keys or one.identities for one in authorities):
        raise Unverified(f"{what}: nobody is trusted to have signed it")
    if not candidates:
        raise Unsigned(f"{what}: not signed")
    proven: list[Proven] = []
    reasons: list[str] = []
    for candidate in candidates:
        for authority in authorities:
            try:
                proven.append(_of_file(candidate, authority, data, now, predicate))
            except BadProof as error:
                reasons.append(_told(candidate, authority, str(error), several=len(authorities) > 1))
    if not proven:
        raise Unverified(f"{what}: no signature of it is by anybody who is trusted", tuple(reasons))
    return tuple(proven)


def _of_file(
    candidate: Candidate, authority: Authority, data: bytes, now: datetime, predicate: str
) -> Proven:
    digests = {name: hashlib.new(name, data).digest() for name in ("sha256", "sha384", "sha512")}
    if candidate.message is None:
        if candidate.digest and candidate.digest != digests[candidate.algorithm]:
            raise BadProof(f"it is a signature of {candidate.algorithm}:{candidate.digest.hex()}")
        known = replace(candidate, digest=digests[candidate.algorithm], file=data)
        return examine(known, authority, f"{known.algorithm}:{known.digest.hex()}", now, predicate)
    refusal = BadProof("it is about nothing")
    for name, raw in digests.items():
        try:
            return examine(candidate, authority, f"{name}:{raw.hex()}", now, predicate)
        except BadProof as error:
            refusal = refusal if name != "sha256" else error
    raise refusal
