"""Keys that sign and verify: read from PEM and from cosign's encrypted files, made anew, and asked whether a signature is theirs.

ECDSA on the NIST curves, Ed25519 and RSA (PKCS#1 v1.5). Must never verify with a key that is too weak, nor guess a password.
Source: sigstore/cosign pkg/cosign/keys.go, sigstore/sigstore pkg/signature.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

from fairlead.drivers.signatures.boxes import decrypt, encrypt
from fairlead.drivers.signatures.faults import BadKey

Public: TypeAlias = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey
Private: TypeAlias = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
Password: TypeAlias = Callable[[], bytes]

LARGEST_KEY: Final = 1 << 16
"""Bytes of a file that may hold keys."""
_WEAKEST_RSA: Final = 2048
_STRONGEST_RSA: Final = 8192
_BLOCK: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----\s+([A-Za-z0-9+/=\s]+?)-----END \1-----")
_ENCRYPTED: Final = frozenset({"ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY"})
HASHES: Final[dict[str, type[hashes.HashAlgorithm]]] = {
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
    "sha224": hashes.SHA224,
}
_OF_CURVE: Final = {256: "sha256", 384: "sha384", 521: "sha512"}


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """A public key. `hash` names the digest that signatures are made over ("": the usual ones for its kind)."""

    public: Public
    hash: str = ""

    @property
    def der(self) -> bytes:
        """The key as SubjectPublicKeyInfo."""
        return self.public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def pem(self) -> str:
        """The key as PEM."""
        return self.public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ).decode()

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of `der`, in hexadecimal digits."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def kind(self) -> str:
        """What sort of key it is, for people: `ecdsa-p256`, `ed25519`, `rsa-3072`."""
        if isinstance(self.public, ec.EllipticCurvePublicKey):
            return f"ecdsa-p{self.public.key_size}"
        return f"rsa-{self.public.key_size}" if isinstance(self.public, rsa.RSAPublicKey) else "ed25519"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and other.der == self.der

    def __hash__(self) -> int:
        return hash(self.der)

    def signed(self, signature: bytes, message: bytes) -> bool:
        """Return whether the signature of the message is this key's."""
        return any(self._one(signature, message, name, whole=True) for name in self._hashes())

    def signed_digest(self, signature: bytes, digest: bytes, name: str = "sha256") -> bool:
        """Return whether the signature of what has this digest is this key's. False for Ed25519, which needs the message."""
        return name in HASHES and self._one(signature, digest, name, whole=False)

    def _hashes(self) -> tuple[str, ...]:
        if self.hash:
            return (self.hash,)
        if isinstance(self.public, ec.EllipticCurvePublicKey):
            return tuple(dict.fromkeys(("sha256", _OF_CURVE.get(self.public.key_size, "sha256"))))
        return ("sha256",)

    def _one(self, signature: bytes, message: bytes, name: str, *, whole: bool) -> bool:
        algorithm = HASHES[name]()
        over = algorithm if whole else utils.Prehashed(algorithm)
        try:
            if isinstance(self.public, ec.EllipticCurvePublicKey):
                self.public.verify(signature, message, ec.ECDSA(over))
            elif isinstance(self.public, rsa.RSAPublicKey):
                self.public.verify(signature, message, padding.PKCS1v15(), over)
            elif whole:
                self.public.verify(signature, message)
            else:
                return False
        except (InvalidSignature, ValueError):
            return False
        return True


def public_key(found: object, what: str = "the key", hash_: str = "") -> Key:
    """Return a Key of what the library read. Raises BadKey for kinds and sizes that are not to be relied on."""
    if hash_ and hash_ not in HASHES:
        raise BadKey(
            f"{what}: the hash algorithm {hash_!r} is not supported; {', '.join(sorted(HASHES))} are"
        )
    if isinstance(found, ec.EllipticCurvePublicKey):
        if not isinstance(found.curve, ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1):
            raise BadKey(f"{what}: the curve {found.curve.name} is not supported; P-256, P-384 and P-521 are")
    elif isinstance(found, rsa.RSAPublicKey):
        if not _WEAKEST_RSA <= found.key_size <= _STRONGEST_RSA:
            raise BadKey(
                f"{what}: an RSA key of {found.key_size} bits; {_WEAKEST_RSA} to {_STRONGEST_RSA} are accepted"
            )
    elif not isinstance(found, ed25519.Ed25519PublicKey):
        raise BadKey(f"{what}: neither ECDSA, Ed25519 nor RSA")
    return Key(found, hash_)


def blocks(text: str | bytes, what: str) -> list[tuple[str, bytes]]:
    """Return each PEM block's label and bytes. Raises BadKey where there is none."""
    if len(text) > LARGEST_KEY:
        raise BadKey(f"{what}: larger than {LARGEST_KEY} bytes")
    try:
        text = text.decode("ascii") if isinstance(text, bytes) else text
        found = [
            (label, base64.b64decode("".join(body.split()), validate=True))
            for label, body in _BLOCK.findall(text)
        ]
    except (UnicodeDecodeError, binascii.Error) as error:
        raise BadKey(f"{what}: not PEM") from error
    if not found:
        raise BadKey(f"{what}: not PEM, which begins with -----BEGIN")
    return found


def read_public(text: str | bytes, what: str = "the key", hash_: str = "") -> tuple[Key, ...]:
    """Return the public keys of a PEM text, one or several. Raises BadKey."""
    keys = []
    for label, data in blocks(text, what):
        if label not in {"PUBLIC KEY", "RSA PUBLIC KEY"}:
            hint = (
                " (a private key verifies nothing: give the public one)"
                if label.endswith("PRIVATE KEY")
                else ""
            )
            raise BadKey(f"{what}: {label} is no public key{hint}")
        keys.append(read_der(data, what, hash_))
    return tuple(keys)


def read_der(data: bytes, what: str = "the key", hash_: str = "") -> Key:
    """Return a public key of its DER (SubjectPublicKeyInfo or PKCS#1). Raises BadKey."""
    try:
        return public_key(serialization.load_der_public_key(data), what, hash_)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise error if isinstance(error, BadKey) else BadKey(f"{what}: not a public key") from error


def read_private(text: str | bytes, password: Password, what: str = "the key") -> Private:
    """Return a private key: cosign's encrypted files, PKCS#8 (encrypted or not), and the older PEM forms. Raises BadKey.

    `password` is asked only where the key is encrypted.
    """
    raw = text.encode() if isinstance(text, str) else text
    label, data = blocks(raw, what)[0]
    if not label.endswith("PRIVATE KEY"):
        raise BadKey(f"{what}: {label} is no private key")
    try:
        if label in _ENCRYPTED:
            found: object = serialization.load_der_private_key(decrypt(data, password()), None)
        else:
            asked = password() if label == "ENCRYPTED PRIVATE KEY" else None
            found = serialization.load_pem_private_key(raw, asked)
    except BadKey as error:
        raise BadKey(str(error) if str(error).startswith(what) else f"{what}: {error}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadKey(f"{what}: cannot be read as a private key; is the password right?") from error
    if not isinstance(found, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey):
        raise BadKey(f"{what}: neither ECDSA, Ed25519 nor RSA")
    public_key(found.public_key(), what)
    return found


def public_of(private: Private) -> Key:
    """Return the public half."""
    return public_key(private.public_key())


def sign(private: Private, message: bytes) -> bytes:
    """Return a signature of the message, over its SHA-256 where the kind of key hashes."""
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return private.sign(message, ec.ECDSA(hashes.SHA256()))
    if isinstance(private, rsa.RSAPrivateKey):
        return private.sign(message, padding.PKCS1v15(), hashes.SHA256())
    return private.sign(message)


def generate(kind: str = "ecdsa-p256") -> Private:
    """Return a new private key: `ecdsa-p256` or `ed25519`. Raises BadKey for others."""
    if kind == "ecdsa-p256":
        return ec.generate_private_key(ec.SECP256R1())
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    raise BadKey(f"{kind!r} keys are not made; ecdsa-p256 and ed25519 are")


def write_private(private: Private, password: bytes) -> str:
    """Return a private key as cosign keeps it, encrypted under the password."""
    data = private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    body = base64.encodebytes(encrypt(data, password)).decode().replace("\n", "")
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    label = "ENCRYPTED SIGSTORE PRIVATE KEY"
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])
