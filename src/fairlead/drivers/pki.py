"""The cluster's keys: a certificate authority, the server's certificate, tokens and kubeconfig files.

What is there is kept; what is missing is made; the server's certificate is made anew when it runs out, when its
names change or when the authority did not sign it. Private files have mode 0600, their directory 0700. Nothing here
logs or prints a secret, and nothing speaks to a network.
"""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import json
import os
import secrets
import socket
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SERVICE_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
SERVICE_ADDRESSES = ("127.0.0.1", "::1", "10.96.0.1")
AUTHORITY_YEARS = 10
SERVER_DAYS = 365
RENEW_DAYS = 30


class PkiError(Exception):
    """The key material cannot be used; the text says which file and what to do."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a static token stands for."""

    user: str
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Pki:
    """Where the key material lies, and what of it is read at the start."""

    directory: Path
    tokens: Mapping[str, Identity]
    signing_key: ec.EllipticCurvePrivateKey

    @property
    def ca(self) -> Path:
        """The authority's certificate, PEM."""
        return self.directory / "ca.crt"

    @property
    def certificate(self) -> Path:
        """The server's certificate, PEM."""
        return self.directory / "server.crt"

    @property
    def key(self) -> Path:
        """The server's private key, PEM."""
        return self.directory / "server.key"

    def token_of(self, group: str) -> tuple[str, Identity]:
        """Return the static token whose identity is in the group. Raises PkiError when there is none."""
        for token, identity in self.tokens.items():
            if group in identity.groups:
                return token, identity
        raise PkiError(
            f"{self.directory / 'tokens.json'} has no token of group {group}; remove the file to get new ones"
        )


def machine_name() -> str:
    """Return the machine's name in lower case, which is also the node's name."""
    return socket.gethostname().lower() or "localhost"


def open_pki(directory: Path, *, name: str = "", now: datetime | None = None) -> Pki:
    """Return the key material of a directory, made where it is missing or has run out.

    `name` is the machine's name (a further name of the server, and the node's). Raises PkiError for unusable files
    and OSError as the file system does.
    """
    name = name or machine_name()
    now = now or datetime.now(UTC)
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    authority = _authority(directory, now)
    _server(directory, authority, _alternatives((*SERVICE_NAMES, name), SERVICE_ADDRESSES), now)
    return Pki(directory, _tokens(directory, name), _key(directory / "service-accounts.key"))


def issue(
    directory: Path,
    *,
    common_name: str,
    names: Sequence[str] = (),
    addresses: Sequence[str] = (),
    groups: Sequence[str] = (),
    now: datetime | None = None,
) -> tuple[bytes, bytes]:
    """Return a new certificate and its private key (both PEM), signed by the directory's authority, for a year.

    Fit for a server and for a client. `groups` become the subject's organisations.
    """
    now = now or datetime.now(UTC)
    authority = _authority(directory, now)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _sign(
        _name(common_name, groups), key.public_key(), authority, _alternatives(names, addresses), now
    )
    return certificate.public_bytes(serialization.Encoding.PEM), _pem(key)


def _authority(directory: Path, now: datetime) -> _Authority:
    path = directory / "ca.crt"
    fresh = not (directory / "ca.key").exists()
    if fresh and path.exists():
        raise PkiError(
            f"{directory} has ca.crt but no ca.key; restore the key, or remove the directory to get new ones"
        )
    key = _key(directory / "ca.key")
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
) -> None:
    path = directory / "server.crt"
    key = _key(directory / "server.key")
    if path.exists() and _fits(_read_certificate(path), key, authority, alternatives, now):
        return
    certificate = _sign(_name("fairlead"), key.public_key(), authority, alternatives, now)
    write_private(path, certificate.public_bytes(serialization.Encoding.PEM))


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


def _key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Return the key in a file, made if the file is absent."""
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


def _tokens(directory: Path, node: str) -> dict[str, Identity]:
    path = directory / "tokens.json"
    kept: dict[str, Identity] = {}
    if path.exists():
        path.chmod(0o600)
        try:
            kept = {
                str(token): Identity(str(entry["user"]), tuple(str(group) for group in entry["groups"]))
                for token, entry in json.loads(path.read_bytes()).items()
            }
        except (ValueError, KeyError, TypeError, AttributeError) as fault:
            raise PkiError(
                f"{path} is not a table of tokens; remove it to get new ones ({fault!r})"
            ) from fault
    wanted = dict(kept)
    admin = Identity("admin", ("system:masters",))
    own = Identity(f"system:node:{node}", ("system:nodes",))
    for identity in (admin, own):
        if not any(set(identity.groups) <= set(held.groups) for held in wanted.values()):
            wanted[secrets.token_urlsafe(32)] = identity
    for token, identity in wanted.items():
        if identity.groups == own.groups:
            wanted[token] = own
    if wanted != kept:
        table = {token: {"user": one.user, "groups": list(one.groups)} for token, one in wanted.items()}
        write_private(path, json.dumps(table, indent=2).encode())
    return wanted


def kubeconfig(*, server: str, ca: bytes, user: str, token: str, cluster: str = "fairlead") -> dict[str, Any]:
    """Return a kubeconfig document with one cluster, one user and the context that joins them."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": cluster,
                "cluster": {"server": server, "certificate-authority-data": base64.b64encode(ca).decode()},
            }
        ],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": user}}],
        "current-context": cluster,
        "preferences": {},
    }


def write_kubeconfigs(data: Path, pki: Pki, server: str) -> None:
    """Write the admin's and the node's kubeconfig of a data directory, where they lead elsewhere or nowhere.

    One that holds the address, the authority and the token is left as it is, with what its owner added.
    """
    ca = pki.ca.read_bytes()
    for path, group in ((data / "kubeconfig", "system:masters"), (data / "node.kubeconfig", "system:nodes")):
        token, identity = pki.token_of(group)
        found = path.read_text(errors="replace").split() if path.exists() else []
        if not {server, token, base64.b64encode(ca).decode()} <= set(found):
            import yaml  # the file rarely changes

            document = kubeconfig(server=server, ca=ca, user=identity.user, token=token)
            write_private(path, yaml.safe_dump(document, sort_keys=False).encode())
        path.chmod(0o600)


def write_private(path: Path, content: bytes) -> None:
    """Replace a file's content at once, readable by its owner only."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
