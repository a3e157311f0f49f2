"""Certificates and keys: the cluster's authority, its server's certificate, and what the authority signs for others.

Apart from `pki` because it takes more memory than the rest of the control plane's keys together: the control plane
runs it as a program (`python -m fairlead.drivers.certificates DIRECTORY TIME NAME...`) and only when something is to be
made. Nothing here logs or prints a secret.
"""

from __future__ import annotations

import ipaddress
import json
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fairlead.drivers.pki import SEAL, SERVICE_ADDRESSES, PkiError, digest, write_private

AUTHORITY_YEARS = 10
SERVER_DAYS = 365
RENEW_DAYS = 30


@dataclass(frozen=True, slots=True)
class _Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def complete(directory: Path, names: Sequence[str], now: datetime) -> None:
    """Make what a directory lacks, or what has run out, for a server of these names; then seal it."""
    authority = _authority(directory, now)
    server = _server(directory, authority, _alternatives(names, SERVICE_ADDRESSES), now)
    private_key(directory / "service-accounts.key")
    until = min(
        server.not_valid_after_utc - timedelta(days=RENEW_DAYS), authority.certificate.not_valid_after_utc
    )
    seal = {"digest": digest(directory), "names": sorted(names), "until": until.isoformat()}
    write_private(directory / SEAL, json.dumps(seal, indent=2).encode())


def issue(
    directory: Path,
    common_name: str,
    names: Sequence[str],
    addresses: Sequence[str],
    groups: Sequence[str],
    now: datetime,
) -> tuple[bytes, bytes]:
    """See `pki.issue`."""
    authority = _authority(directory, now)
    own = ec.generate_private_key(ec.SECP256R1())
    subject = _name(common_name, groups)
    certificate = _sign(subject, own.public_key(), authority, _alternatives(names, addresses), now)
    return certificate.public_bytes(serialization.Encoding.PEM), _pem(own)


def _authority(directory: Path, now: datetime) -> _Authority:
    path = directory / "ca.crt"
    fresh = not (directory / "ca.key").exists()
    if fresh and path.exists():
        raise PkiError(
            f"{directory} has ca.crt but no ca.key; restore the key, or remove the directory to get new ones"
        )
    key = private_key(directory / "ca.key")
    if path.exists():
        certificate = _read_certificate(path)
        if not _same_key(certificate, key):
            raise PkiError(f"{path} does not belong to ca.key beside it")
        if certificate.not_valid_after_utc > now:
            return _Authority(certificate, key)
    name = _name(f"fairlead-{secrets.token_hex(4)}")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=365 * AUTHORITY_YEARS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write_private(path, certificate.public_bytes(serialization.Encoding.PEM))
    return _Authority(certificate, key)


def _server(
    directory: Path, authority: _Authority, alternatives: Sequence[x509.GeneralName], now: datetime
) -> x509.Certificate:
    path = directory / "server.crt"
    key = private_key(directory / "server.key")
    if path.exists():
        found = _read_certificate(path)
        if _fits(found, key, authority, alternatives, now):
            return found
    certificate = _sign(_name("fairlead"), key.public_key(), authority, alternatives, now)
    write_private(path, certificate.public_bytes(serialization.Encoding.PEM))
    return certificate


def _fits(
    certificate: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    authority: _Authority,
    alternatives: Sequence[x509.GeneralName],
    now: datetime,
) -> bool:
    if certificate.not_valid_after_utc - timedelta(days=RENEW_DAYS) <= now or not _same_key(certificate, key):
        return False
    try:
        certificate.verify_directly_issued_by(authority.certificate)
    except (InvalidSignature, ValueError, TypeError):
        return False
    try:
        held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    return set(held) == set(alternatives)


def _sign(
    subject: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    authority: _Authority,
    alternatives: Sequence[x509.GeneralName],
    now: datetime,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.certificate.subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(min(now + timedelta(days=SERVER_DAYS), authority.certificate.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
            critical=False,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False
        )
    )
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return builder.sign(authority.key, hashes.SHA256())


def _alternatives(names: Sequence[str], addresses: Sequence[str]) -> list[x509.GeneralName]:
    return [
        *(x509.DNSName(name) for name in dict.fromkeys(names)),
        *(x509.IPAddress(ipaddress.ip_address(address)) for address in dict.fromkeys(addresses)),
    ]


def _name(common_name: str, organisations: Sequence[str] = ()) -> x509.Name:
    return x509.Name(
        [
            *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, one) for one in organisations),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _read_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as fault:
        raise PkiError(f"{path} is not a certificate; remove it to get a new one ({fault})") from fault


def _same_key(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> bool:
    return certificate.public_key() == key.public_key()


def private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Return the key in a file, made if the file is absent. Raises PkiError."""
    if not path.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        write_private(path, _pem(key))
        return key
    try:
        found = serialization.load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError) as fault:
        raise PkiError(f"{path} is not a private key; remove it to get a new one ({fault})") from fault
    if not isinstance(found, ec.EllipticCurvePrivateKey):
        raise PkiError(f"{path} is not an elliptic-curve key; remove it to get a new one")
    path.chmod(0o600)
    return found


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def main(directory: str, now: str, *names: str) -> int:
    """Complete a directory; on failure print what went wrong as JSON and return 1."""
    try:
        complete(Path(directory), names, datetime.fromisoformat(now))
    except PkiError as fault:
        print(json.dumps({"text": str(fault)}))
        return 1
    except OSError as fault:
        print(json.dumps({"errno": fault.errno, "text": fault.strerror, "filename": fault.filename}))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
