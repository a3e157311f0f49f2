"""Certificate logs: whether one of them promised to show a certificate to everybody (an SCT within the certificate).

Source: RFC 6962, sections 3.2 and 3.3.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence
from datetime import UTC

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.certificate_transparency import LogEntryType, SignedCertificateTimestamp

from fairlead.drivers.signatures.certificates import key_of
from fairlead.drivers.signatures.faults import BadProof
from fairlead.drivers.signatures.roots import Chain, Log

_MOST = 16


def check_promise(leaf: x509.Certificate, chains: Iterable[Chain], logs: Sequence[Log]) -> None:
    """Raise BadProof unless a trusted certificate log promised to show the certificate, as one of these chains' issuers issued it."""
    try:
        found = leaf.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps).value
    except x509.ExtensionNotFound:
        raise BadProof("the certificate was not shown to a certificate log: it holds no SCT") from None
    except ValueError as error:
        raise BadProof(f"the certificate's SCT cannot be read: {error}") from error
    issuers = [chain[0] for chain in chains]
    for promise in list(found)[:_MOST]:
        log = next((one for one in logs if one.id == promise.log_id), None)
        if log is None or not log.span.holds(promise.timestamp.replace(tzinfo=UTC)):
            continue
        if any(_promised(promise, leaf, issuer, log) for issuer in issuers):
            return
    raise BadProof("the certificate's SCT is by no trusted certificate log, or is not about this certificate")


def _promised(
    promise: SignedCertificateTimestamp, leaf: x509.Certificate, issuer: x509.Certificate, log: Log
) -> bool:
    if not isinstance(promise.signature_hash_algorithm, hashes.SHA256):
        return False
    if promise.entry_type == LogEntryType.PRE_CERTIFICATE:
        shown = leaf.tbs_precertificate_bytes
        entry = hashlib.sha256(key_of(issuer).der).digest() + len(shown).to_bytes(3, "big") + shown
    else:
        shown = leaf.public_bytes(serialization.Encoding.DER)
        entry = len(shown).to_bytes(3, "big") + shown
    moment = promise.timestamp.replace(tzinfo=UTC)
    milliseconds = int(moment.timestamp()) * 1000 + moment.microsecond // 1000
    head = struct.pack("!BBQH", promise.version.value, 0, milliseconds, promise.entry_type.value)
    extensions = promise.extension_bytes
    return log.key.signed(promise.signature, head + entry + struct.pack("!H", len(extensions)) + extensions)
