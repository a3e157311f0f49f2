"""The server's certificate: given in files, or its own, made by an authority of its own and renewed before it runs out.

Its own is kept where all replicas find it (a Secret) or in a folder. Who renews decides whoever writes first: the others read what was
written. A new authority is trusted beside the old one before anything is signed with it. Nothing here logs a secret.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ssl
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from fairlead.drivers.cluster import AsyncCluster
from fairlead.drivers.pki import PkiError, issue, write_private
from fairlead.keep.errors import Refusal

RENEW = timedelta(days=60)
"""The certificate is made anew when less than this is left of it, of the year that it has."""
RENEW_AUTHORITY = timedelta(days=500)
"""The authority likewise, of its ten years: what it signs must not outlive it."""

PARTS = ("ca.crt", "ca.key", "tls.crt", "tls.key")


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate with its chain and its key, and the authorities by which clients know it (all PEM; `authorities` may be b"")."""

    certificate: bytes
    key: bytes = field(repr=False)
    authorities: bytes = b""


class NoKeyPair(Exception):
    """There is no certificate to serve with; the text says why."""


class Source(Protocol):
    """Where the certificate comes from."""

    async def current(self, now: datetime) -> KeyPair:
        """Return what is to be served with at a moment. Raises NoKeyPair, Refusal, Unreachable, OSError."""


class Files:
    """A certificate and its key in files that somebody else renews."""

    def __init__(self, certificate: Path, key: Path, authority: Path | None = None) -> None:
        self._certificate, self._key, self._authority = certificate, key, authority

    async def current(self, now: datetime) -> KeyPair:  # noqa: ARG002  whoever renews them looks at the clock
        """See Source."""

        def read() -> KeyPair:
            authority = self._authority.read_bytes() if self._authority is not None else b""
            return KeyPair(self._certificate.read_bytes(), self._key.read_bytes(), authority)

        found = await asyncio.to_thread(read)
        _check(found, str(self._certificate))
        return found


class Chest(Protocol):
    """Where an own authority and certificate are kept: files by name, and the version at which they were read."""

    async def read(self) -> tuple[Mapping[str, bytes], str]:
        """Return what is kept and its version; nothing and "" at first."""

    async def write(self, files: Mapping[str, bytes], version: str) -> bool:
        """Keep these in place of a version; tell whether nobody else did meanwhile."""


class FolderChest:
    """A folder, for one server."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def read(self) -> tuple[Mapping[str, bytes], str]:
        """See Chest."""
        found = {name: (self._folder / name).read_bytes() for name in PARTS if (self._folder / name).exists()}
        return found, "1" if found else ""

    async def write(self, files: Mapping[str, bytes], version: str) -> bool:  # noqa: ARG002  one server, one folder
        """See Chest."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content in files.items():
            write_private(self._folder / name, content)
        return True


class SecretChest:
    """A Secret of a cluster, for all replicas."""

    def __init__(self, cluster: AsyncCluster, namespace: str, name: str) -> None:
        self._cluster, self._namespace, self._name = cluster, namespace, name

    async def read(self) -> tuple[Mapping[str, bytes], str]:
        """See Chest."""
        try:
            secret = await self._cluster.get("v1", "Secret", self._namespace, self._name)
        except Refusal as refusal:
            if refusal.code == 404:
                return {}, ""
            raise
        data = secret.get("data") or {}
        try:
            found = {name: base64.b64decode(data[name], validate=True) for name in PARTS if name in data}
        except (binascii.Error, ValueError):
            found = {}
        return found, str(secret["metadata"].get("resourceVersion") or "")

    async def write(self, files: Mapping[str, bytes], version: str) -> bool:
        """See Chest."""
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": self._name,
                "namespace": self._namespace,
                "labels": {"app.kubernetes.io/managed-by": "fairlead"},
            },
            "type": "kubernetes.io/tls",
            "data": {name: base64.b64encode(content).decode() for name, content in files.items()},
        }
        try:
            if version:
                body["metadata"]["resourceVersion"] = version  # type: ignore[index]  # it is a mapping
                await self._cluster.update(body)
            else:
                await self._cluster.create(body)
        except Refusal as refusal:
            if refusal.code == 409:
                return False
            raise
        return True


class Own:
    """A certificate of its own for these names and addresses, signed by an authority of its own."""

    def __init__(self, chest: Chest, names: Sequence[str], addresses: Sequence[str] = ()) -> None:
        self._chest, self._names, self._addresses = chest, names, addresses

    async def current(self, now: datetime) -> KeyPair:
        """See Source. Renews what is about to run out."""
        for _ in range(10):
            kept, version = await self._chest.read()
            fresh = await asyncio.to_thread(renewed, kept, self._names, self._addresses, now)
            if fresh is None or await self._chest.write(fresh, version):
                kept = kept if fresh is None else fresh
                return KeyPair(kept["tls.crt"], kept["tls.key"], kept["ca.crt"])
        raise NoKeyPair("others keep changing the certificate")


def renewed(
    kept: Mapping[str, bytes], names: Sequence[str], addresses: Sequence[str], now: datetime
) -> Mapping[str, bytes] | None:
    """Return new files in place of those that are kept, or None where these are good for a while yet. Raises NoKeyPair."""
    try:
        authorities = x509.load_pem_x509_certificates(kept.get("ca.crt") or b"")
    except ValueError:
        authorities = []
    usable = bool(authorities) and "ca.key" in kept
    lasting = usable and authorities[0].not_valid_after_utc - now > RENEW_AUTHORITY
    if lasting and _fits(kept, authorities[0], {*names, *addresses}, now):
        return None
    try:
        with tempfile.TemporaryDirectory(prefix="fairlead-admission-") as name:
            folder = Path(name)
            if lasting:
                write_private(folder / "ca.crt", _pem(authorities[0]))
                write_private(folder / "ca.key", kept["ca.key"])
            certificate, key = issue(folder, common_name=names[0], names=names, addresses=addresses, now=now)
            own = (folder / "ca.crt").read_bytes()
            signing = (folder / "ca.key").read_bytes()
    except PkiError as error:
        if not kept:
            raise NoKeyPair(str(error)) from error
        return renewed({}, names, addresses, now)  # what is kept is no use
    older = [_pem(one) for one in authorities if _pem(one) != own and one.not_valid_after_utc > now]
    trusted = own + b"".join(older[:2])
    return {"ca.crt": trusted, "ca.key": signing, "tls.crt": certificate, "tls.key": key}


def _fits(kept: Mapping[str, bytes], authority: x509.Certificate, names: set[str], now: datetime) -> bool:
    """Whether the certificate that is kept is the authority's, for these names, and good for a while yet."""
    try:
        certificate = x509.load_pem_x509_certificate(kept["tls.crt"])
        certificate.verify_directly_issued_by(authority)
        held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        _check(KeyPair(kept["tls.crt"], kept["tls.key"]), "the certificate that is kept")
    except (KeyError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound, NoKeyPair):
        return False
    return names <= {str(one.value) for one in held} and certificate.not_valid_after_utc - now > RENEW


def _pem(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _check(pair: KeyPair, name: str) -> None:
    """Raise NoKeyPair unless the key belongs to the certificate."""
    with tempfile.TemporaryDirectory(prefix="fairlead-admission-") as folder:
        path = Path(folder) / "pair.pem"
        write_private(path, pair.key.rstrip() + b"\n" + pair.certificate)
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path)
        except (ssl.SSLError, ValueError, OSError) as error:
            raise NoKeyPair(f"{name} cannot be used with its key: {error}") from error
