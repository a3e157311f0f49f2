"""X.509 certificates and requests as Go's encoding/json shows them, for `x509_decode`.

Reads one PEM block. Verifies nothing: what it returns is what the certificate says of itself.
Source: Go's crypto/x509 Certificate and CertificateRequest; kyverno/kyverno pkg/engine/jmespath/functions.go, jpX509Decode.
"""

from __future__ import annotations

import base64
import re
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fairlead.tongues.jmespath.kinds import Failed

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----\s.*?-----END \1-----", re.DOTALL)
_SIGNATURES = {
    "md5WithRSAEncryption": 2,
    "sha1WithRSAEncryption": 3,
    "sha256WithRSAEncryption": 4,
    "sha384WithRSAEncryption": 5,
    "sha512WithRSAEncryption": 6,
    "ecdsa-with-SHA1": 9,
    "ecdsa-with-SHA256": 10,
    "ecdsa-with-SHA384": 11,
    "ecdsa-with-SHA512": 12,
    "RSASSA-PSS": 13,
}
_RSA = 1
_NAMES = {
    "2.5.4.6": "Country",
    "2.5.4.10": "Organization",
    "2.5.4.11": "OrganizationalUnit",
    "2.5.4.7": "Locality",
    "2.5.4.8": "Province",
    "2.5.4.9": "StreetAddress",
    "2.5.4.17": "PostalCode",
}
_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)
_EXTENDED = {
    "2.5.29.37.0": 0,
    "1.3.6.1.5.5.7.3.1": 1,
    "1.3.6.1.5.5.7.3.2": 2,
    "1.3.6.1.5.5.7.3.3": 3,
    "1.3.6.1.5.5.7.3.4": 4,
    "1.3.6.1.5.5.7.3.8": 8,
    "1.3.6.1.5.5.7.3.9": 9,
}


def decode(text: str) -> dict[str, Any]:
    """Return what the first PEM block of the text says, under Go's names. Raises Failed."""
    block = _BLOCK.search(text)
    if block is None:
        raise Failed("failed to decode PEM block")
    try:
        if block[1] == "CERTIFICATE":
            return _certificate(x509.load_pem_x509_certificate(block[0].encode()))
        if block[1] == "CERTIFICATE REQUEST":
            return _request(x509.load_pem_x509_csr(block[0].encode()))
    except ValueError as error:
        raise Failed(f"x509: malformed certificate: {error}") from None
    raise Failed("PEM block neither contains a CERTIFICATE or CERTIFICATE REQUEST")


def _certificate(one: x509.Certificate) -> dict[str, Any]:
    shown = _shared(one, one.tbs_certificate_bytes, one.public_bytes(Encoding.DER))
    shown["RawTBSCertificate"] = shown.pop("_signed")
    shown |= {
        "SerialNumber": one.serial_number,
        "Issuer": _name(one.issuer),
        "RawIssuer": _base64(one.issuer.public_bytes()),
        "NotBefore": f"{one.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}",
        "NotAfter": f"{one.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
        "Version": one.version.value + 1,
    }
    return shown | _extended(one.extensions)


def _request(one: x509.CertificateSigningRequest) -> dict[str, Any]:
    shown = _shared(one, one.tbs_certrequest_bytes, one.public_bytes(Encoding.DER))
    shown["RawTBSCertificateRequest"] = shown.pop("_signed")
    shown["Version"] = 0
    shown["Attributes"] = None
    return shown | _alternatives(one.extensions)


def _shared(
    one: x509.Certificate | x509.CertificateSigningRequest, signed: bytes, raw: bytes
) -> dict[str, Any]:
    key = one.public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        raise Failed("certificate should use rsa algorithm")
    numbers = key.public_numbers()
    return {
        "Raw": _base64(raw),
        "_signed": _base64(signed),
        "RawSubjectPublicKeyInfo": _base64(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)),
        "RawSubject": _base64(one.subject.public_bytes()),
        "Signature": _base64(one.signature),
        "SignatureAlgorithm": _SIGNATURES.get(one.signature_algorithm_oid._name, 0),  # noqa: SLF001  no other way to its name
        "PublicKeyAlgorithm": _RSA,
        "PublicKey": {"N": str(numbers.n), "E": numbers.e},
        "Subject": _name(one.subject),
        "Extensions": [_extension(each) for each in one.extensions] or None,
        "ExtraExtensions": None,
    }


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _oid(text: str) -> list[int]:
    return [int(part) for part in text.split(".")]


def _name(name: x509.Name) -> dict[str, Any]:
    shown: dict[str, Any] = dict.fromkeys(_NAMES.values())
    shown |= {"SerialNumber": "", "CommonName": "", "Names": None, "ExtraNames": None}
    names = []
    for attribute in name:
        dotted = attribute.oid.dotted_string
        value = (
            attribute.value
            if isinstance(attribute.value, str)
            else attribute.value.decode("utf-8", "replace")
        )
        names.append({"Type": _oid(dotted), "Value": value})
        if dotted in _NAMES:
            shown[_NAMES[dotted]] = [*(shown[_NAMES[dotted]] or []), value]
        elif dotted == "2.5.4.3":
            shown["CommonName"] = value
        elif dotted == "2.5.4.5":
            shown["SerialNumber"] = value
    shown["Names"] = names or None
    return shown


def _extension(one: x509.Extension[Any]) -> dict[str, Any]:
    try:
        value = _base64(one.value.public_bytes())
    except NotImplementedError:
        value = ""
    return {"Id": _oid(one.oid.dotted_string), "Critical": one.critical, "Value": value}


def _alternatives(extensions: x509.Extensions) -> dict[str, Any]:
    shown: dict[str, Any] = {"DNSNames": None, "EmailAddresses": None, "IPAddresses": None, "URIs": None}
    for one in extensions:
        if isinstance(one.value, x509.SubjectAlternativeName):
            shown["DNSNames"] = one.value.get_values_for_type(x509.DNSName) or None
            shown["EmailAddresses"] = one.value.get_values_for_type(x509.RFC822Name) or None
            shown["IPAddresses"] = [str(ip) for ip in one.value.get_values_for_type(x509.IPAddress)] or None
            shown["URIs"] = one.value.get_values_for_type(x509.UniformResourceIdentifier) or None
    return shown


def _extended(extensions: x509.Extensions) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "KeyUsage": 0,
        "ExtKeyUsage": None,
        "UnknownExtKeyUsage": None,
        "UnhandledCriticalExtensions": None,
        "BasicConstraintsValid": False,
        "IsCA": False,
        "MaxPathLen": 0,
        "MaxPathLenZero": False,
        "SubjectKeyId": None,
        "AuthorityKeyId": None,
        "OCSPServer": None,
        "IssuingCertificateURL": None,
        "CRLDistributionPoints": None,
        "PolicyIdentifiers": None,
    }
    for one in extensions:
        value = one.value
        if isinstance(value, x509.KeyUsage):
            shown["KeyUsage"] = sum(1 << bit for bit, name in enumerate(_USAGES) if getattr(value, name))
        elif isinstance(value, x509.ExtendedKeyUsage):
            known = [_EXTENDED[oid.dotted_string] for oid in value if oid.dotted_string in _EXTENDED]
            other = [_oid(oid.dotted_string) for oid in value if oid.dotted_string not in _EXTENDED]
            shown["ExtKeyUsage"], shown["UnknownExtKeyUsage"] = known or None, other or None
        elif isinstance(value, x509.BasicConstraints):
            length = value.path_length
            shown["BasicConstraintsValid"], shown["IsCA"] = True, value.ca
            shown["MaxPathLen"] = -1 if length is None else length
            shown["MaxPathLenZero"] = length == 0
        elif isinstance(value, x509.SubjectKeyIdentifier):
            shown["SubjectKeyId"] = _base64(value.digest)
        elif isinstance(value, x509.AuthorityKeyIdentifier) and value.key_identifier:
            shown["AuthorityKeyId"] = _base64(value.key_identifier)
    return shown | _alternatives(extensions)
