"""Certificates and requests, parsed into the values that Go's JSON shows.

Source: Go's crypto/x509 and encoding/json over its types.
"""

from __future__ import annotations

import ipaddress
import warnings
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.x509.oid import ExtensionOID

from .encodings import base64_decode, base64_encode
from .keys import blocks, load_private, private_value, public_value
from .kinds import Builtin, BuiltinError, Context, encode, table, text

_MOST = 1000
_NAMES = {
    "2.5.4.6": "Country",
    "2.5.4.10": "Organization",
    "2.5.4.11": "OrganizationalUnit",
    "2.5.4.7": "Locality",
    "2.5.4.8": "Province",
    "2.5.4.9": "StreetAddress",
    "2.5.4.17": "PostalCode",
}
_SINGLE = {"2.5.4.3": "CommonName", "2.5.4.5": "SerialNumber"}
_ALGORITHMS = {
    "1.2.840.113549.1.1.2": 1,
    "1.2.840.113549.1.1.4": 2,
    "1.2.840.113549.1.1.5": 3,
    "1.2.840.113549.1.1.11": 4,
    "1.2.840.113549.1.1.12": 5,
    "1.2.840.113549.1.1.13": 6,
    "1.2.840.10040.4.3": 7,
    "2.16.840.1.101.3.4.3.2": 8,
    "1.2.840.10045.4.1": 9,
    "1.2.840.10045.4.3.2": 10,
    "1.2.840.10045.4.3.3": 11,
    "1.2.840.10045.4.3.4": 12,
    "1.3.101.112": 16,
}
_PSS = {"sha256": 13, "sha384": 14, "sha512": 15}
USAGES = {
    "2.5.29.37.0": 0,
    "1.3.6.1.5.5.7.3.1": 1,
    "1.3.6.1.5.5.7.3.2": 2,
    "1.3.6.1.5.5.7.3.3": 3,
    "1.3.6.1.5.5.7.3.4": 4,
    "1.3.6.1.5.5.7.3.5": 5,
    "1.3.6.1.5.5.7.3.6": 6,
    "1.3.6.1.5.5.7.3.7": 7,
    "1.3.6.1.5.5.7.3.8": 8,
    "1.3.6.1.5.5.7.3.9": 9,
    "1.3.6.1.4.1.311.10.3.3": 10,
    "2.16.840.1.113730.4.1": 11,
    "1.3.6.1.4.1.311.2.1.22": 12,
    "1.3.6.1.4.1.311.61.1.1": 13,
}
KEY_BITS = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)
_HANDLED = {
    ExtensionOID.KEY_USAGE,
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    ExtensionOID.NAME_CONSTRAINTS,
    ExtensionOID.EXTENDED_KEY_USAGE,
    ExtensionOID.CERTIFICATE_POLICIES,
    ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
    ExtensionOID.SUBJECT_KEY_IDENTIFIER,
    ExtensionOID.CRL_DISTRIBUTION_POINTS,
    ExtensionOID.AUTHORITY_INFORMATION_ACCESS,
}


def load(source: str) -> list[x509.Certificate]:
    """Return the certificates in PEM text, in base64 of it, or in base64 of DER one after another."""
    raw = encode(source) if source.startswith("-----BEGIN") else base64_decode(source)
    if raw.startswith(b"-----BEGIN"):
        found = []
        for kind, content, _ in blocks(raw):
            if kind != "CERTIFICATE":
                raise BuiltinError(f"PEM block type is '{kind}', expected CERTIFICATE")
            found.append(_certificate(content))
        return found
    return [_certificate(piece) for piece in _elements(raw)]


def _elements(raw: bytes) -> Iterator[bytes]:
    """Yield the DER elements that stand one after another."""
    place = count = 0
    while place < len(raw):
        count += 1
        size = raw[place + 1] if place + 1 < len(raw) else 0x80
        head = 2
        if size & 0x80:
            wide = size & 0x7F
            head += wide
            size = int.from_bytes(raw[place + 2 : place + head])
            if not 0 < wide <= 4:
                raise BuiltinError("x509: malformed certificate")
        if place + head + size > len(raw) or count > _MOST:
            raise BuiltinError("x509: malformed certificate")
        yield raw[place : place + head + size]
        place += head + size


def _certificate(der: bytes) -> x509.Certificate:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it will refuse one day, it reads today
            found = x509.load_der_x509_certificate(der)
        found.extensions  # noqa: B018  # read here, where it may fail
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BuiltinError(f"x509: malformed certificate: {error}") from None
    return found


def _name(name: x509.Name) -> dict[str, Any]:
    result: dict[str, Any] = {**dict.fromkeys(_NAMES.values()), **dict.fromkeys(_SINGLE.values(), "")}
    listed: list[dict[str, Any]] = []
    for attribute in name:
        oid = attribute.oid.dotted_string
        value = attribute.value if isinstance(attribute.value, str) else base64_encode(attribute.value)
        listed.append({"Type": _oid(oid), "Value": value})
        if oid in _SINGLE:
            result[_SINGLE[oid]] = value
        elif oid in _NAMES:
            result[_NAMES[oid]] = [*(result[_NAMES[oid]] or []), value]
    return {**result, "Names": listed or None, "ExtraNames": None}


def _oid(dotted: str) -> list[int]:
    return [int(part) for part in dotted.split(".")]


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment.year >= 1000 else f"{moment.isoformat()[:19]}Z"


def _public_key(source: Any) -> Any:
    try:
        return source.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None


def _key_algorithm(key: Any) -> int:
    kinds = (rsa.RSAPublicKey, dsa.DSAPublicKey, ec.EllipticCurvePublicKey, ed25519.Ed25519PublicKey)
    return next((place for place, kind in enumerate(kinds, 1) if isinstance(key, kind)), 0)


def _algorithm(source: Any) -> int:
    oid = source.signature_algorithm_oid.dotted_string
    if oid == "1.2.840.113549.1.1.10":
        digest = source.signature_hash_algorithm
        return _PSS.get(digest.name if digest is not None else "", 0)
    return _ALGORITHMS.get(oid, 0)


def extension(source: Any, kind: type[x509.ExtensionType]) -> Any:
    """Return an extension's value, or None."""
    try:
        return source.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _extensions(source: Any) -> list[dict[str, Any]] | None:
    listed = [
        {
            "Id": _oid(extension.oid.dotted_string),
            "Critical": extension.critical,
            "Value": base64_encode(extension.value.public_bytes()),
        }
        for extension in source.extensions
    ]
    return listed or None


def _key_bytes(key: Any) -> str | None:
    if key is None:
        return None
    return base64_encode(
        key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def _alternatives(source: Any) -> dict[str, Any]:
    """Return the alternative names: DNSNames, EmailAddresses, IPAddresses, URIs."""
    names = extension(source, x509.SubjectAlternativeName) or []
    uris = [name.value for name in names if isinstance(name, x509.UniformResourceIdentifier)]
    return {
        "DNSNames": [name.value for name in names if isinstance(name, x509.DNSName)] or None,
        "EmailAddresses": [name.value for name in names if isinstance(name, x509.RFC822Name)] or None,
        "IPAddresses": [str(name.value) for name in names if isinstance(name, x509.IPAddress)] or None,
        "URIs": [_url(uri) for uri in uris] or None,
    }


def _url(uri: str) -> dict[str, Any]:
    """Return a URL as Go's JSON shows it."""
    scheme, _, rest = uri.partition(":")
    opaque, host, path, query, fragment = "", "", "", "", ""
    rest, _, fragment = rest.partition("#")
    rest, mark, query = rest.partition("?")
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        path = slash + path
    elif rest.startswith("/"):
        path = rest
    else:
        opaque = rest
    return {
        "Scheme": scheme,
        "Opaque": opaque,
        "User": None,
        "Host": host,
        "Path": path,
        "RawPath": "",
        "OmitHost": False,
        "ForceQuery": bool(mark) and not query,
        "RawQuery": query,
        "Fragment": fragment,
        "RawFragment": "",
    }


def _usage(source: Any) -> int:
    usage = extension(source, x509.KeyUsage)
    if usage is None:
        return 0
    bits = sum(1 << place for place, name in enumerate(KEY_BITS) if getattr(usage, name))
    if usage.key_agreement:
        bits |= 128 * usage.encipher_only | 256 * usage.decipher_only
    return bits


def value_of(found: x509.Certificate) -> dict[str, Any]:
    """Return a certificate as Go's JSON shows it."""
    key = _public_key(found)
    basic = extension(found, x509.BasicConstraints)
    usages = [usage.dotted_string for usage in extension(found, x509.ExtendedKeyUsage) or []]
    access = extension(found, x509.AuthorityInformationAccess) or []
    places = {
        kind: [
            entry.access_location.value
            for entry in access
            if entry.access_method.dotted_string == f"1.3.6.1.5.5.7.48.{kind}"
            and isinstance(entry.access_location, x509.UniformResourceIdentifier)
        ]
        for kind in (1, 2)
    }
    subject_id, authority_id = (
        extension(found, x509.SubjectKeyIdentifier),
        extension(found, x509.AuthorityKeyIdentifier),
    )
    points = extension(found, x509.CRLDistributionPoints) or []
    policies = extension(found, x509.CertificatePolicies) or []
    uris = extension(found, x509.SubjectAlternativeName) or []
    strings = [name.value for name in uris if isinstance(name, x509.UniformResourceIdentifier)]
    length = basic.path_length if basic is not None else None
    return {
        "Raw": base64_encode(found.public_bytes(serialization.Encoding.DER)),
        "RawTBSCertificate": base64_encode(found.tbs_certificate_bytes),
        "RawSubjectPublicKeyInfo": _key_bytes(key),
        "RawSubject": base64_encode(found.subject.public_bytes()),
        "RawIssuer": base64_encode(found.issuer.public_bytes()),
        "Signature": base64_encode(found.signature),
        "SignatureAlgorithm": _algorithm(found),
        "PublicKeyAlgorithm": _key_algorithm(key),
        "PublicKey": public_value(key),
        "Version": found.version.value + 1,
        "SerialNumber": _serial(found),
        "Issuer": _name(found.issuer),
        "Subject": _name(found.subject),
        "NotBefore": _time(found.not_valid_before_utc),
        "NotAfter": _time(found.not_valid_after_utc),
        "KeyUsage": _usage(found),
        "Extensions": _extensions(found),
        "ExtraExtensions": None,
        "UnhandledCriticalExtensions": [_oid(oid) for oid in unhandled(found)] or None,
        "ExtKeyUsage": [USAGES[usage] for usage in usages if usage in USAGES] or None,
        "UnknownExtKeyUsage": [_oid(usage) for usage in usages if usage not in USAGES] or None,
        "BasicConstraintsValid": basic is not None,
        "IsCA": basic is not None and basic.ca,
        "MaxPathLen": length if length is not None else -1 if basic is not None else 0,
        "MaxPathLenZero": length == 0,
        "SubjectKeyId": base64_encode(subject_id.digest) if subject_id is not None else None,
        "AuthorityKeyId": base64_encode(authority_id.key_identifier)
        if authority_id is not None and authority_id.key_identifier is not None
        else None,
        "OCSPServer": places[1] or None,
        "IssuingCertificateURL": places[2] or None,
        **_alternatives(found),
        **_constraint_values(found),
        "CRLDistributionPoints": [
            name.value
            for point in points
            for name in point.full_name or []
            if isinstance(name, x509.UniformResourceIdentifier)
        ]
        or None,
        "PolicyIdentifiers": [_oid(policy.policy_identifier.dotted_string) for policy in policies] or None,
        "Policies": [policy.policy_identifier.dotted_string for policy in policies] or None,
        "URIStrings": strings or None,
    }


def _serial(found: x509.Certificate) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return found.serial_number


def _constraint_values(found: x509.Certificate) -> dict[str, Any]:
    constraints = extension(found, x509.NameConstraints)
    result: dict[str, Any] = {"PermittedDNSDomainsCritical": False}
    if constraints is not None:
        result["PermittedDNSDomainsCritical"] = found.extensions.get_extension_for_class(
            x509.NameConstraints
        ).critical
    kinds: tuple[tuple[str, type[x509.GeneralName]], ...] = (
        ("DNSDomains", x509.DNSName),
        ("EmailAddresses", x509.RFC822Name),
        ("URIDomains", x509.UniformResourceIdentifier),
    )
    for side in ("Permitted", "Excluded"):
        trees = getattr(constraints, f"{side.lower()}_subtrees", None) or []
        for name, kind in kinds:
            result[side + name] = [tree.value for tree in trees if isinstance(tree, kind)] or None
        result[f"{side}IPRanges"] = [
            {
                "IP": str(tree.value.network_address),
                "Mask": base64_encode(tree.value.netmask.packed),
            }
            for tree in trees
            if isinstance(tree, x509.IPAddress)
            and isinstance(tree.value, ipaddress.IPv4Network | ipaddress.IPv6Network)
        ] or None
    return result


def parse(_: Context, value: Any) -> list[Any]:
    """Return the certificates in a text as values."""
    return [value_of(found) for found in load(text(value, 1))]


def parse_request(_: Context, value: Any) -> dict[str, Any]:
    """Return a certificate signing request as a value."""
    source = text(value, 1)
    begun = "-----BEGIN CERTIFICATE REQUEST-----"
    raw = encode(source) if source.startswith(begun) else base64_decode(source)
    found = blocks(raw)
    if found:
        if found[0][0] != "CERTIFICATE REQUEST":
            raise BuiltinError("invalid PEM-encoded certificate signing request")
        raw = found[0][1]
    try:
        request = x509.load_der_x509_csr(raw)
        request.extensions  # noqa: B018  # read here, where it may fail
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BuiltinError(f"asn1: structure error: {error}") from None
    key = _public_key(request)
    return {
        "Raw": base64_encode(request.public_bytes(serialization.Encoding.DER)),
        "RawTBSCertificateRequest": base64_encode(request.tbs_certrequest_bytes),
        "RawSubjectPublicKeyInfo": _key_bytes(key),
        "RawSubject": base64_encode(request.subject.public_bytes()),
        "Version": 0,
        "Signature": base64_encode(request.signature),
        "SignatureAlgorithm": _algorithm(request),
        "PublicKeyAlgorithm": _key_algorithm(key),
        "PublicKey": public_value(key),
        "Subject": _name(request.subject),
        "Attributes": None,
        "Extensions": _extensions(request),
        "ExtraExtensions": None,
        **_alternatives(request),
    }


def parse_keypair(_: Context, certificate: Any, key: Any) -> dict[str, Any]:
    """Return a certificate chain with its private key, which must belong together."""
    chain, secret = encode(text(certificate, 1)), encode(text(key, 1))
    chain = chain if chain.startswith(b"-----BEGIN ") else base64_decode(chain.decode("ascii", "replace"))
    secret = secret if secret.startswith(b"-----BEGIN ") else base64_decode(secret.decode("ascii", "replace"))
    found = (
        [content for kind, content, _rest in blocks(chain) if kind == "CERTIFICATE"]
        if chain.startswith(b"-----BEGIN ")
        else [chain]
    )
    if not found:
        raise BuiltinError("tls: failed to find any PEM data in certificate input")
    if secret.startswith(b"-----BEGIN"):
        keys = [
            content
            for kind, content, _rest in blocks(secret)
            if kind == "PRIVATE KEY" or kind.endswith(" PRIVATE KEY")
        ]
        if not keys:
            raise BuiltinError("tls: failed to find any PEM data in key input")
        secret = keys[0]
    leaf, private = _certificate(found[0]), load_private(secret)
    if _key_bytes(_public_key(leaf)) != _key_bytes(private.public_key()):
        raise BuiltinError("tls: private key does not match public key")
    return {
        "Certificate": [base64_encode(content) for content in found],
        "PrivateKey": private_value(private),
        "SupportedSignatureAlgorithms": None,
        "OCSPStaple": None,
        "SignedCertificateTimestamps": None,
        "Leaf": value_of(leaf),
    }


def unhandled(found: x509.Certificate) -> list[str]:
    """Return the critical extensions that nobody here heeds."""
    return [
        extension.oid.dotted_string
        for extension in found.extensions
        if extension.critical and extension.oid not in _HANDLED
    ]


BUILTINS = table(
    Builtin("crypto.x509.parse_certificates", 1, parse),
    Builtin("crypto.x509.parse_certificate_request", 1, parse_request),
    Builtin("crypto.x509.parse_keypair", 2, parse_keypair),
)
