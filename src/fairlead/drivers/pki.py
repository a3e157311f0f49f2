"""The cluster's keys: a certificate authority, the server's certificate, tokens and kubeconfig files.

What is there is kept; what is missing is made; the server's certificate is made anew when it runs out, when its
names change or when the authority did not sign it. Private files have mode 0600, their directory 0700. Nothing here
logs or prints a secret, and nothing speaks to a network.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

SERVICE_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
SERVICE_ADDRESSES = ("127.0.0.1", "::1", "10.96.0.1")
SEAL = "seal.json"
"""What the directory holds and until when it serves, so that a start need not load what certificates are made with."""
_SEALED = ("ca.crt", "ca.key", "server.crt", "server.key", "service-accounts.key")


SENSORS = "fairlead.dev:sensors"
"""The group of whoever may write what sensors find, and read what names containers."""

PLATFORMS = "fairlead.dev:platforms"
"""The group of whoever diagnoses: reads everything, writes findings, and carries out what policies of healing let it."""


class PkiError(Exception):
    """The key material cannot be used; the text says which file and what to do."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a static token stands for."""

    user: str
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pki:
    """Where the key material lies, and what of it is read at the start."""

    directory: Path
    tokens: Mapping[str, Identity]

    def signing_key(self) -> ec.EllipticCurvePrivateKey:
        """Return the key that signs tokens of service accounts. Raises PkiError."""
        from fairlead.drivers import certificates

        return certificates.private_key(self.directory / "service-accounts.key")

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
    names = (*SERVICE_NAMES, name)
    if not _is_sealed(directory, names, now):
        _make(directory, names, now)
    return Pki(directory, _tokens(directory, name))


def _is_sealed(directory: Path, names: Sequence[str], now: datetime) -> bool:
    """Whether the files are the ones that were made or judged good for these names, and are good for a while yet."""
    try:
        found = json.loads((directory / SEAL).read_bytes())
        whole = found["digest"] == digest(directory) and found["names"] == sorted(names)
        good = whole and now < datetime.fromisoformat(found["until"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return False
    if good:
        for name in _SEALED:
            (directory / name).chmod(0o600)
    return bool(good)


def digest(directory: Path) -> str:
    """Return a digest of the key material. Raises FileNotFoundError when some of it is missing."""
    parts = [hashlib.sha256((directory / name).read_bytes()).hexdigest() for name in _SEALED]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def _make(directory: Path, names: Sequence[str], now: datetime) -> None:
    """Make what is missing, in a process of its own: what that takes is not to stay in this one's memory."""
    module = [sys.executable, "-m", "fairlead.drivers.certificates", str(directory), now.isoformat(), *names]
    done = subprocess.run(module, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    try:
        told = json.loads(done.stdout)
    except ValueError:
        raise PkiError(f"{directory}: no certificates could be made: {done.stderr.strip()[-500:]}") from None
    if told.get("errno"):
        raise OSError(told["errno"], told["text"], told["filename"])
    raise PkiError(told["text"])


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
    from fairlead.drivers import certificates

    return certificates.issue(directory, common_name, names, addresses, groups, now or datetime.now(UTC))


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
    sensor = Identity("fairlead.dev:sensor", (SENSORS,))
    platform = Identity("fairlead.dev:platform", (PLATFORMS,))
    for identity in (admin, own, sensor, platform):
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
    """Write the kubeconfigs of a data directory (the admin's, the node's, the sensor's, the platform's), where they lead elsewhere or nowhere.

    One that holds the address, the authority and the token is left as it is, with what its owner added.
    """
    ca = pki.ca.read_bytes()
    files = (
        ("kubeconfig", "system:masters"),
        ("node.kubeconfig", "system:nodes"),
        ("sensor.kubeconfig", SENSORS),
        ("platform.kubeconfig", PLATFORMS),
    )
    for path, group in ((data / name, group) for name, group in files):
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
