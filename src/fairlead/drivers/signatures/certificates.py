"""Certificates of signers: whose they are, whether a trusted authority issued them, and whether they held at a moment.

Must never trust a certificate that came with a signature other than as a link to an anchor that was trusted before.
Sources: RFC 5280 (path validation), sigstore/fulcio docs/oid-info.md and docs/certificate-specification.md.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from fairlead.drivers.signatures.faults import BadKey, BadProof
from fairlead.drivers.signatures.keys import Key, public_key
from fairlead.drivers.signatures.roots import Anchor, Chain
from fairlead.tongues.regexes import compile as compile_regex

_FULCIO: Final = "1.3.6.1.4.1.57264.1."
_OTHER_NAME: Final = "1.3.6.1.4.1.57264.1.7"
EXTENSIONS: Final[dict[str, str]] = {
    "1": "issuer", "2": "githubWorkflowTrigger", "3": "githubWorkflowSha", "4": "githubWorkflowName",
    "5": "githubWorkflowRepository", "6": "githubWorkflowRef", "8": "issuer", "9": "buildSignerURI",
    "10": "buildSignerDigest", "11": "runnerEnvironment", "12": "sourceRepositoryURI",
    "13": "sourceRepositoryDigest", "14": "sourceRepositoryRef", "15": "sourceRepositoryIdentifier",
    "16": "sourceRepositoryOwnerURI", "17": "sourceRepositoryOwnerIdentifier", "18": "buildConfigURI",
    "19": "buildConfigDigest", "20": "buildTrigger", "21": "runInvocationURI",
    "22": "sourceRepositoryVisibilityAtSigning",
}  # fmt: skip
"""The last number of Fulcio's extensions, and what each says. 1 to 6 are bare text, the rest a DER UTF8String."""
_UNDERSTOOD: Final = frozenset({
    ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE, ExtensionOID.EXTENDED_KEY_USAGE,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME, ExtensionOID.AUTHORITY_KEY_IDENTIFIER, ExtensionOID.SUBJECT_KEY_IDENTIFIER,
    ExtensionOID.PRECERT_SIGNED_CERTIFICATE_TIMESTAMPS, ExtensionOID.CERTIFICATE_POLICIES,
})  # fmt: skip
_STRONG: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_LONGEST: Final = 8
_MOST_STEPS: Final = 256


@dataclass(frozen=True, slots=True)
class Identity:
    """Who may have signed, by certificate. Empty texts ask nothing, and an identity that asks nothing at all is nobody's.

    `subject` and `issuer` are exact, the others RE2 patterns that are sought anywhere, as cosign does: anchor them. `prefix` makes `subject` a URL prefix: up to a slash, as Kubewarden has it.
    """

    subject: str = ""
    subject_regexp: str = ""
    issuer: str = ""
    issuer_regexp: str = ""
    prefix: bool = False

    def fits(self, subjects: Sequence[str], issuer: str) -> bool:
        """Return whether a certificate with these names and this issuer is meant. Raises ValueError for a bad pattern."""
        if not (self.subject or self.subject_regexp or self.issuer or self.issuer_regexp):
            return False
        if self.issuer and issuer != self.issuer:
            return False
        if self.issuer_regexp and not _found(self.issuer_regexp, issuer):
            return False
        return any(self._names(one) for one in subjects) if self.subject or self.subject_regexp else True

    def _names(self, subject: str) -> bool:
        if self.subject_regexp and not _found(self.subject_regexp, subject):
            return False
        if not self.subject:
            return True
        if self.prefix:
            return subject == self.subject or subject.startswith(self.subject.rstrip("/") + "/")
        return subject == self.subject

    def __str__(self) -> str:
        """What is asked, for people."""
        subject = self.subject or (f"/{self.subject_regexp}/" if self.subject_regexp else "anybody")
        issuer = self.issuer or (f"/{self.issuer_regexp}/" if self.issuer_regexp else "")
        return f"{subject} by {issuer}" if issuer else subject


def _found(pattern: str, text: str) -> bool:
    """Return whether a pattern is found, as cosign searches: unanchored, unless the pattern says otherwise."""
    return compile_regex(pattern).search(text) is not None


def subjects(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the names that a certificate is for: mail addresses, URIs, DNS names, and Fulcio's user names. Raises BadProof."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    except ValueError as error:
        raise BadProof(f"the certificate's names cannot be read: {error}") from error
    found: list[str] = []
    for name in names:
        if isinstance(name, x509.RFC822Name | x509.UniformResourceIdentifier | x509.DNSName):
            found.append(name.value)
        elif isinstance(name, x509.IPAddress):
            found.append(str(name.value))
        elif isinstance(name, x509.OtherName) and name.type_id.dotted_string == _OTHER_NAME:
            found.append(_text(name.value))
    return tuple(found)


def common_name(certificate: x509.Certificate) -> str:
    """Return the common name, for people; nothing is decided by it."""
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else certificate.subject.rfc4514_string()


def extensions(certificate: x509.Certificate) -> dict[str, str]:
    """Return what Fulcio wrote into a certificate, by name (EXTENSIONS); `issuer` is who vouched for the identity."""
    found: dict[str, str] = {}
    for one in certificate.extensions:
        number = one.oid.dotted_string.removeprefix(_FULCIO)
        if number in EXTENSIONS and isinstance(one.value, x509.UnrecognizedExtension):
            raw = one.value.value
            text = raw.decode(errors="replace") if int(number) < 7 else _text(raw)
            if number != "1" or "issuer" not in found:
                found[EXTENSIONS[number]] = text
    return found


def _text(der: bytes) -> str:
    """Return the text of a DER UTF8String (or of another of the text types). Raises BadProof."""
    if len(der) < 2 or der[0] not in (0x0C, 0x13, 0x16):
        raise BadProof("a name in the certificate is no text")
    length, at = der[1], 2
    if length & 0x80:
        size = length & 0x7F
        if not 1 <= size <= 3:
            raise BadProof("a name in the certificate is too long")
        length, at = int.from_bytes(der[2 : 2 + size], "big"), 2 + size
    if len(der) != at + length:
        raise BadProof("a name in the certificate is damaged")
    return der[at:].decode(errors="replace")


def key_of(certificate: x509.Certificate) -> Key:
    """Return the certified key. Raises BadProof."""
    try:
        return public_key(certificate.public_key(), "the certificate's key")
    except (BadKey, ValueError, TypeError) as error:
        raise BadProof(str(error)) from error


def holds(certificate: x509.Certificate, when: datetime) -> bool:
    """Return whether a moment is within a certificate's time."""
    return certificate.not_valid_before_utc <= when <= certificate.not_valid_after_utc


def check_leaf(leaf: x509.Certificate) -> None:
    """Raise BadProof unless a certificate is one to sign code with."""
    try:
        usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
        purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound as error:
        raise BadProof(f"the certificate is not for signing code: it has no {error.oid._name}") from error  # noqa: SLF001  its only name
    except ValueError as error:
        raise BadProof(f"the certificate cannot be read: {error}") from error
    if not usage.digital_signature:
        raise BadProof("the certificate is not for signing: its key usage has no digitalSignature")
    if ExtendedKeyUsageOID.CODE_SIGNING not in purposes:
        raise BadProof("the certificate is not for signing code: its extended key usage has no codeSigning")
    if _is_authority(leaf):
        raise BadProof("the certificate is an authority's own, which signs no artifacts")


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def chains(
    leaf: x509.Certificate, given: Chain, trusted: Sequence[Anchor], when: datetime
) -> Iterator[Chain]:
    """Yield each path from a leaf to a trusted anchor that held at the moment: the issuer first, the anchor last.

    `given` came with the signature, and may only stand between.
    """
    for authority in trusted:
        if authority.span.holds(when):
            anchor = authority.chain[-1]
            pool = [one for one in (*authority.chain[:-1], *given[:_LONGEST]) if one != leaf]
            yield from _paths(leaf, (), pool, anchor, when, [_MOST_STEPS])


def _paths(
    child: x509.Certificate,
    below: Chain,
    pool: Sequence[x509.Certificate],
    anchor: x509.Certificate,
    when: datetime,
    steps: list[int],
) -> Iterator[Chain]:
    steps[0] -= 1
    if len(below) >= _LONGEST or steps[0] < 0:
        return
    if _issued(anchor, child, len(below), when):
        yield (*below, anchor)
    for one in pool:
        if one not in below and one != anchor and _issued(one, child, len(below), when):
            yield from _paths(one, (*below, one), pool, anchor, when, steps)


def _issued(issuer: x509.Certificate, child: x509.Certificate, below: int, when: datetime) -> bool:
    """Return whether an authority issued a certificate: by name, signature, time, purpose, and how many may be below it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names that the library finds odd are compared all the same
        if child.issuer != issuer.subject or not holds(issuer, when):
            return False
    algorithm = child.signature_hash_algorithm
    if algorithm is not None and not isinstance(algorithm, _STRONG):
        return False
    try:
        if not _may_issue(issuer, below):
            return False
        child.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _may_issue(issuer: x509.Certificate, below: int) -> bool:
    found = issuer.extensions
    if any(one.critical and one.oid not in _UNDERSTOOD for one in found):
        return False  # among them name constraints, which are not understood here
    try:
        rights = found.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return False
    if not rights.ca or (rights.path_length is not None and rights.path_length < below):
        return False
    try:
        if not found.get_extension_for_class(x509.KeyUsage).value.key_cert_sign:
            return False
    except x509.ExtensionNotFound:
        pass
    try:
        purposes = found.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    wanted = (
        ExtendedKeyUsageOID.CODE_SIGNING,
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
        ExtendedKeyUsageOID.TIME_STAMPING,
        ExtendedKeyUsageOID.CERTIFICATE_TRANSPARENCY,
    )
    return any(one in purposes for one in wanted)


def critical_unknown(leaf: x509.Certificate) -> str:
    """Return the name of a critical extension of a leaf that is not understood, or ""."""
    return next(
        (one.oid.dotted_string for one in leaf.extensions if one.critical and one.oid not in _UNDERSTOOD), ""
    )
