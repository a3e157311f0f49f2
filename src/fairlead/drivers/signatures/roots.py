"""Who is trusted: certificate authorities, transparency logs, certificate logs and timestamp authorities, each for a time.

Read from sigstore's trusted_root.json, from a TrustRoot object's keys, from PEM certificates, or from what the `sigstore` package carries.
Must never fetch anything, nor take what is not dated where the format dates it.
Sources: sigstore/protobuf-specs sigstore_trustroot.proto, sigstore/policy-controller TrustRoot.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.resources import files
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from cryptography import x509

from fairlead.drivers.signatures.faults import BadKey, BadTrust
from fairlead.drivers.signatures.keys import Key, blocks, read_der, read_public

MEDIA_TYPE: Final = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"
LARGEST_ROOT: Final = 4 << 20
_MOST: Final = 64
_STORES: Final = {
    "production": "https%3A%2F%2Ftuf-repo-cdn.sigstore.dev",
    "staging": "https%3A%2F%2Ftuf-repo-cdn.sigstage.dev",
}
_HASHED: Final = {
    "PKIX_ECDSA_P256_SHA_256": "sha256",
    "PKIX_ECDSA_P256_HMAC_SHA_256": "sha256",
    "PKIX_ECDSA_P384_SHA_384": "sha384",
    "PKIX_ECDSA_P521_SHA_512": "sha512",
}

Chain: TypeAlias = tuple[x509.Certificate, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """When something may be relied on; None is open. Both ends count."""

    start: datetime | None = None
    end: datetime | None = None

    def holds(self, moment: datetime) -> bool:
        """Return whether a moment is within."""
        return (self.start is None or self.start <= moment) and (self.end is None or moment <= self.end)


@dataclass(frozen=True, slots=True, eq=False)
class Anchor:
    """One certificate chain that is trusted: the anchor last, what stands between before it, perhaps a leaf first (timestamps)."""

    chain: Chain
    span: Span = Span()
    uri: str = ""


@dataclass(frozen=True, slots=True)
class Log:
    """A log's key. `id` is how entries name it; `url` where it is."""

    id: bytes
    key: Key
    span: Span = Span()
    url: str = ""

    def goes_by(self, name: str) -> bool:
        """Return whether a note's signature by this name may be the log's.

        A log whose id is the hash of its key alone goes by any name, as Rekor's first version does; others by the place of their `url`.
        """
        if not self.url or self.id == hashlib.sha256(self.key.der).digest():
            return True
        place = urlsplit(self.url)
        return name in {place.hostname, place.netloc, f"{place.netloc}{place.path.rstrip('/')}"}


@dataclass(frozen=True, slots=True)
class Root:
    """All that is trusted. `name` is what messages call it. `keys` are bare keys by their hint, each for a time."""

    name: str
    issuers: tuple[Anchor, ...] = ()
    logs: tuple[Log, ...] = ()
    certificate_logs: tuple[Log, ...] = ()
    timestampers: tuple[Anchor, ...] = ()
    keys: Mapping[str, Span] = field(default_factory=dict)

    def log(self, log_id: bytes) -> Log | None:
        """Return the transparency log of an id."""
        return next((one for one in self.logs if one.id == log_id), None)


NOTHING: Final = Root("no trust root")


def read_root(text: str | bytes, name: str) -> Root:
    """Return what a trusted_root.json says (or the `trustedRoot` of a client trust configuration). Raises BadTrust."""
    document = _document(text, name)
    if isinstance(document.get("trustedRoot"), dict):
        document = document["trustedRoot"]
    if document.get("mediaType") not in {MEDIA_TYPE, "application/vnd.dev.sigstore.trustedroot.v0.2+json"}:
        raise BadTrust(f"{name}: mediaType is {document.get('mediaType')!r}, and should be {MEDIA_TYPE!r}")
    return Root(
        name,
        tuple(_authority(one, name) for one in _listed(document, "certificateAuthorities", name)),
        tuple(_log(one, name) for one in _listed(document, "tlogs", name)),
        tuple(_log(one, name) for one in _listed(document, "ctlogs", name)),
        tuple(_authority(one, name) for one in _listed(document, "timestampAuthorities", name)),
    )


def embedded(which: str = "production") -> Root:
    """Return the trust root that came with the `sigstore` package. It is as old as the package. Raises BadTrust."""
    store = _STORES.get(which)
    if store is None:
        raise BadTrust(f"there is no trust root {which!r}; give a file, or production or staging")
    try:
        text = files("sigstore").joinpath("_store", store, "trusted_root.json").read_bytes()
    except (ModuleNotFoundError, OSError) as error:
        raise BadTrust("the sigstore package that is installed carries no trust root: give a file") from error
    return read_root(text, f"sigstore's {which} trust root")


def read_keys(document: Mapping[str, Any], name: str) -> Root:
    """Return what the `sigstoreKeys` of a TrustRoot object say: PEM, in base64 as Kubernetes writes bytes. Raises BadTrust."""

    def chain(one: Mapping[str, Any]) -> Anchor:
        return Anchor(
            read_certificates(_pem(one.get("certChain"), name), name), uri=str(one.get("uri") or "")
        )

    def log(one: Mapping[str, Any]) -> Log:
        try:
            key = read_public(_pem(one.get("publicKey"), name), f"{name}: publicKey")[0]
        except BadKey as error:
            raise BadTrust(str(error)) from error
        return Log(
            hashlib.sha256(key.der).digest(), key, url=str(one.get("baseURL") or one.get("baseUrl") or "")
        )

    return Root(
        name,
        tuple(chain(one) for one in _listed(document, "certificateAuthorities", name)),
        tuple(log(one) for one in _listed(document, "tLogs", name)),
        tuple(log(one) for one in _listed(document, "ctLogs", name)),
        tuple(chain(one) for one in _listed(document, "timestampAuthorities", name)),
    )


def joined(name: str, *roots: Root) -> Root:
    """Return a Root that trusts what any of these does."""
    return Root(
        name,
        tuple(one for root in roots for one in root.issuers),
        tuple(one for root in roots for one in root.logs),
        tuple(one for root in roots for one in root.certificate_logs),
        tuple(one for root in roots for one in root.timestampers),
    )


def read_certificates(text: str | bytes, name: str) -> Chain:
    """Return the certificates of a PEM text, in order. Raises BadTrust."""
    try:
        found = blocks(text, name)
        if any(label != "CERTIFICATE" for label, _ in found):
            raise BadTrust(f"{name}: holds something other than certificates")
        return tuple(certificate(data, name) for _, data in found)
    except BadKey as error:
        raise BadTrust(str(error)) from error


def certificate(data: bytes, name: str) -> x509.Certificate:
    """Return a certificate of its DER. Raises BadTrust."""
    try:
        return x509.load_der_x509_certificate(data)
    except ValueError as error:
        raise BadTrust(f"{name}: not a certificate") from error


def authority_of(chain: Chain) -> tuple[Anchor, ...]:
    """Return what certificates of a PEM file stand for: each that issued itself is an anchor, and the rest stand between.

    Without any that issued itself the last one is the anchor.
    """
    anchors = [one for one in chain if one.subject == one.issuer] or list(chain[-1:])
    between = tuple(one for one in chain if one not in anchors)
    return tuple(Anchor((*between, anchor)) for anchor in anchors)


def _document(text: str | bytes, name: str) -> dict[str, Any]:
    if len(text) > LARGEST_ROOT:
        raise BadTrust(f"{name}: larger than {LARGEST_ROOT} bytes")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadTrust(f"{name}: not JSON") from error
    if not isinstance(document, dict):
        raise BadTrust(f"{name}: not a JSON object")
    return document


def _listed(document: Mapping[str, Any], key: str, name: str) -> list[Mapping[str, Any]]:
    found = document.get(key) or []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found) or len(found) > _MOST:
        raise BadTrust(f"{name}: {key} is not a list of at most {_MOST} objects")
    return found


def _bytes(value: Any, where: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise BadTrust(f"{where}: not base64") from error


def _pem(value: Any, name: str) -> bytes:
    if isinstance(value, str) and "-----BEGIN" in value:
        return value.encode()
    return _bytes(value, name)


def _span(document: Any, where: str, *, dated: bool) -> Span:
    document = document if isinstance(document, dict) else {}
    start, end = (moment(document[key], where) if document.get(key) else None for key in ("start", "end"))
    if start is None and dated:
        raise BadTrust(
            f"{where}: there is no validFor.start, so it is not known from when on it may be trusted"
        )
    return Span(start, end)


def moment(text: Any, where: str) -> datetime:
    """Return an RFC 3339 time. Raises BadTrust."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise BadTrust(f"{where}: {text!r} is no time") from error
    if found.tzinfo is None:
        raise BadTrust(f"{where}: {text!r} has no time zone")
    return found


def _authority(document: Mapping[str, Any], name: str) -> Anchor:
    held = document.get("certChain")
    listed = held.get("certificates") if isinstance(held, dict) else None
    if not isinstance(listed, list) or not listed or len(listed) > _MOST:
        raise BadTrust(f"{name}: a certificate authority without a certChain.certificates")
    chain = tuple(
        certificate(_bytes(one.get("rawBytes") if isinstance(one, dict) else None, name), name)
        for one in listed
    )
    uri = str(document.get("uri") or "")
    return Anchor(chain, _span(document.get("validFor"), f"{name}: {uri}", dated=True), uri)


def _log(document: Mapping[str, Any], name: str) -> Log:
    url = str(document.get("baseUrl") or "")
    where = f"{name}: log {url}"
    held = document.get("publicKey")
    if not isinstance(held, dict):
        raise BadTrust(f"{where}: there is no publicKey")
    details = str(held.get("keyDetails") or "")
    try:
        key = read_der(_bytes(held.get("rawBytes"), where), where, _HASHED.get(details, ""))
    except BadKey as error:
        raise BadTrust(str(error)) from error
    named = document.get("logId")
    key_id = (
        _bytes(named.get("keyId"), where) if isinstance(named, dict) else hashlib.sha256(key.der).digest()
    )
    return Log(key_id, key, _span(held.get("validFor"), where, dated=True), url)


def named(chains: Sequence[Anchor]) -> str:
    """Return the names of authorities, for messages."""
    told = [one.chain[-1].subject.rfc4514_string() or one.uri for one in chains]
    return ", ".join(dict.fromkeys(told)) or "none"
