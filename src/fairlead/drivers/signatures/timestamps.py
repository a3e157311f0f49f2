"""Timestamps by an authority (RFC 3161): when a signature was there already.

Must never take a time that a trusted timestamp authority did not sign, over this very signature. Source: RFC 3161.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from fairlead.drivers.signatures.certificates import holds
from fairlead.drivers.signatures.faults import BadProof
from fairlead.drivers.signatures.roots import Anchor

MOST_TIMESTAMPS: Final = 32
LARGEST_TIMESTAMP: Final = 1 << 16
_OCTETS: Final = 0x04
_PIECES: Final = 0x24
_DEEPEST: Final = 32


def stamped(response: bytes, signature: bytes, authorities: Sequence[Anchor]) -> datetime:
    """Return when a trusted authority saw the signature. `response` is the DER of its TimeStampResp. Raises BadProof."""
    from rfc3161_client import VerificationError, VerifierBuilder, decode_timestamp_response

    if len(response) > LARGEST_TIMESTAMP:
        raise BadProof(f"the timestamp is larger than {LARGEST_TIMESTAMP} bytes")
    try:
        try:
            read = decode_timestamp_response(response)
        except ValueError:
            read = decode_timestamp_response(_whole(response))
        when = read.tst_info.gen_time
        signers = {(one.issuer, one.serial_number) for one in read.signed_data.signer_infos}
    except (
        Exception
    ) as error:  # the parser is foreign, and whatever it raises means that this is no timestamp
        raise BadProof("the timestamp cannot be read") from error
    why = "no timestamp authority is trusted"
    for authority in authorities:
        anchor, *between = reversed(authority.chain)
        leaf = next((one for one in authority.chain if (one.issuer, one.serial_number) in signers), None)
        leaf = leaf or next((one for one in between if _stamps(one)), None)
        builder = VerifierBuilder(roots=[anchor], intermediates=[one for one in between if one is not leaf])
        if leaf is not None:
            builder = builder.tsa_certificate(leaf)
        try:
            builder.build().verify_message(read, signature)
        except (VerificationError, ValueError) as error:
            why = f"the timestamp is not by a trusted authority, or not of this signature ({_short(error)})"
            continue
        if not authority.span.holds(when) or not all(holds(one, when) for one in authority.chain):
            why = (
                f"the timestamp is of {when:%Y-%m-%d %H:%M:%S} UTC, when its authority was not to be trusted"
            )
            continue
        return when
    raise BadProof(why)


def _whole(data: bytes, depth: int = 0) -> bytes:
    """Return an encoding in which octets that came in pieces, as BER allows, are whole, as DER has them. Raises ValueError."""
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    out, at = bytearray(), 0
    while at < len(data):
        tag, body, at = _next(data, at)
        if tag == _PIECES:
            tag, pieces, within = _OCTETS, bytearray(), 0
            while within < len(body):
                kind, piece, within = _next(body, within)
                if kind != _OCTETS:
                    raise ValueError("pieces of something else than octets")
                pieces += piece
            body = bytes(pieces)
        elif tag & 0x20:
            body = _whole(body, depth + 1)
        size = len(body)
        raw = size.to_bytes((size.bit_length() + 7) // 8, "big")
        out += bytes([tag, size]) if size < 0x80 else bytes([tag, 0x80 | len(raw)]) + raw
        out += body
    return bytes(out)


def _next(data: bytes, at: int) -> tuple[int, bytes, int]:
    """Return the tag and the body of what begins there, and where it ends. Raises ValueError."""
    head = data[at : at + 2]
    if len(head) < 2 or head[0] & 0x1F == 0x1F:
        raise ValueError("a tag or a length that is not understood")
    size, start = head[1], at + 2
    if size & 0x80:
        more = size & 0x7F
        if not 1 <= more <= 3:  # none at all would mean an end that is marked, which nobody writes here
            raise ValueError("a length that is not understood")
        size, start = int.from_bytes(data[start : start + more], "big"), start + more
    if start + size > len(data):
        raise ValueError("cut off")
    return head[0], data[start : start + size], start + size


def _stamps(certificate: x509.Certificate) -> bool:
    """Return whether a certificate is a timestamp authority's leaf, and no authority over others."""
    try:
        if certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
    except x509.ExtensionNotFound:
        pass
    try:
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return ExtendedKeyUsageOID.TIME_STAMPING in purposes


def _short(error: Exception) -> str:
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__
