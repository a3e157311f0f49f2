"""The public half of a private key, in the place of the key: a snapshot tells by it whether a certificate is of the key, and nothing else.

It is PEM of a sort of its own, so that nobody takes it for a key, and no key for it.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any

_SORT = "PUBLIC HALF OF A PRIVATE KEY"
_HALF = re.compile(rf"-----BEGIN {_SORT}-----([A-Za-z0-9+/=\s]*)-----END {_SORT}-----")
_WIDTH = 64


@dataclass(frozen=True, slots=True)
class Half:
    """What is left of a private key: what its certificate must have too."""

    der: bytes
    """SubjectPublicKeyInfo."""

    def public_key(self) -> Any:
        """Return the public key. Raises ValueError where there is none in it."""
        from cryptography.hazmat.primitives.serialization import load_der_public_key

        return load_der_public_key(self.der)


def write(pem: str) -> str:
    """Return the public half of a private key in PEM, "" where the key cannot be read, as where a password keeps it."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_private_key,
        load_ssh_private_key,
    )

    load = load_ssh_private_key if "OPENSSH" in pem else load_pem_private_key
    try:
        key = load(pem.encode(), None)
        der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return ""
    text = base64.b64encode(der).decode()
    lines = [text[at : at + _WIDTH] for at in range(0, len(text), _WIDTH)]
    return "\n".join([f"-----BEGIN {_SORT}-----", *lines, f"-----END {_SORT}-----"])


def read(pem: str) -> Half | None:
    """Return the half that `write` wrote, None for anything else."""
    found = _HALF.search(pem)
    if found is None:
        return None
    try:
        half = Half(base64.b64decode("".join(found[1].split()), validate=True))
        half.public_key()
    except (binascii.Error, ValueError, TypeError):
        return None
    return half
