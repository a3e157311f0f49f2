"""Keys: private ones in PEM or base64, and JSON Web Keys; into values as Go writes them, or into keys that can sign.

Source: Go's crypto/x509 and encoding/json over its key types; RFC 7517 and RFC 7518 for JSON Web Keys.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from .encodings import base64_decode, base64_encode, base64url_decode, base64url_encode, unmarshal
from .kinds import Builtin, BuiltinError, Context, encode, table, text

PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

CURVES: dict[str, ec.EllipticCurve] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
}
_CURVE_NAMES = {"secp224r1": "P-224", "secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_BLOCK = re.compile(
    rb"-----BEGIN ([^\r\n]*?)-----[ \t]*\r?\n(.*?)-----END \1-----[ \t]*(?:\r?\n|$)", re.DOTALL
)
_HEADER = re.compile(rb"[^\r\n]*:[^\r\n]*\r?\n")
_LARGEST_INPUT = 4 << 20
_LARGEST_MODULUS = 16_384


def blocks(source: bytes) -> list[tuple[str, bytes, bytes]]:
    """Return the PEM blocks of a text: type, content, and what follows the block."""
    if len(source) > _LARGEST_INPUT:
        raise BuiltinError("the input is too large")
    found: list[tuple[str, bytes, bytes]] = []
    for match in _BLOCK.finditer(source):
        body = match[2]
        while (header := _HEADER.match(body)) is not None:
            body = body[header.end() :]
        try:
            content = base64_decode(re.sub(rb"\s", b"", body).decode("ascii"))
        except (BuiltinError, UnicodeDecodeError):
            continue
        found.append((match[1].decode(errors="replace"), content, source[match.end() :]))
    return found


def load_private(der: bytes) -> PrivateKey:
    """Return the private key of DER bytes. Raises BuiltinError."""
    try:
        key = serialization.load_der_private_key(der, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BuiltinError(f"x509: failed to parse private key: {error}") from None
    if isinstance(key, PrivateKey):
        return key
    raise BuiltinError("x509: unknown private key type")


def private_keys(source: str) -> list[PrivateKey]:
    """Return the private keys in PEM text, which may be base64 again."""
    raw = encode(source)
    with suppress(BuiltinError):
        raw = base64_decode(source)
    wanted = {"RSA PRIVATE KEY", "PRIVATE KEY", "EC PRIVATE KEY"}
    return [load_private(content) for kind, content, _ in blocks(raw) if kind in wanted]


def _number(value: int) -> str:
    """Return a whole number as a JSON Web Key has it."""
    return base64url_encode(value.to_bytes(max((value.bit_length() + 7) // 8, 1))).rstrip("=")


def _coordinate(value: int, key: ec.EllipticCurvePublicKey) -> str:
    return base64url_encode(value.to_bytes((key.curve.key_size + 7) // 8)).rstrip("=")


def to_jwk(key: PrivateKey) -> dict[str, Any]:
    """Return a private key as a JSON Web Key."""
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.private_numbers()
        public = numbers.public_numbers
        return {
            "kty": "RSA",
            "n": _number(public.n),
            "e": _number(public.e),
            "d": _number(numbers.d),
            "p": _number(numbers.p),
            "q": _number(numbers.q),
            "dp": _number(numbers.dmp1),
            "dq": _number(numbers.dmq1),
            "qi": _number(numbers.iqmp),
        }
    if isinstance(key, ec.EllipticCurvePrivateKey):
        secret = key.private_numbers()
        point, owner = secret.public_numbers, key.public_key()
        return {
            "kty": "EC",
            "crv": _CURVE_NAMES.get(key.curve.name, key.curve.name),
            "x": _coordinate(point.x, owner),
            "y": _coordinate(point.y, owner),
            "d": _coordinate(secret.private_value, owner),
        }
    return {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": base64url_encode(key.public_key().public_bytes_raw()).rstrip("="),
        "d": base64url_encode(key.private_bytes_raw()).rstrip("="),
    }


def public_value(key: Any) -> Any:
    """Return a public key as Go's JSON shows it, null for kinds that Go does not read."""
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return {"N": numbers.n, "E": numbers.e}
    if isinstance(key, ec.EllipticCurvePublicKey):
        point = key.public_numbers()
        return {"Curve": {}, "X": point.x, "Y": point.y}
    if isinstance(key, ed25519.Ed25519PublicKey):
        return base64_encode(key.public_bytes_raw())
    return None


def private_value(key: PrivateKey) -> Any:
    """Return a private key as Go's JSON shows it."""
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.private_numbers()
        return {
            **public_value(key.public_key()),
            "D": numbers.d,
            "Primes": [numbers.p, numbers.q],
            "Precomputed": {
                "Dp": numbers.dmp1,
                "Dq": numbers.dmq1,
                "Qinv": numbers.iqmp,
                "CRTValues": [],
            },
        }
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return {**public_value(key.public_key()), "D": key.private_numbers().private_value}
    return base64_encode(key.private_bytes_raw() + key.public_key().public_bytes_raw())


def parse_private_keys(_: Context, value: Any) -> Any:
    """Return the private keys in a text as an array; null where there is no text."""
    source = text(value, 1)
    if not source:
        return None
    return [private_value(key) for key in private_keys(source)]


def parse_rsa_private_key(_: Context, value: Any) -> Any:
    """Return the first private key in a text as a JSON Web Key."""
    source = text(value, 1)
    if not source:
        raise BuiltinError("input PEM data was empty")
    if not source.startswith("-----BEGIN"):
        source = base64_decode(source).decode("utf-8", "surrogateescape")
    found = private_keys(source)
    return to_jwk(found[0]) if found else None


def read_jwks(source: str) -> list[tuple[Any, str, str]]:
    """Return the keys of a JSON Web Key or a set of them: the key (bytes for a secret), its algorithm, its name.

    Raises BuiltinError. Keys with parts for signing come as private keys.
    """
    found = unmarshal(source)
    if type(found) is not dict:
        raise BuiltinError("a JWK must be an object")
    listed = found.get("keys", [found])
    if type(listed) is not list:
        raise BuiltinError("the keys of a JWK set must be an array")
    return [(_jwk(key), _said(key, "alg"), _said(key, "kid")) for key in listed]


def _said(key: dict[str, Any], name: str) -> str:
    value = key.get(name, "")
    if type(value) is not str:
        raise BuiltinError(f"{json.dumps(name)} must be a string")
    return value


def _bytes(key: dict[str, Any], name: str) -> bytes:
    value = _said(key, name)
    if not value:
        raise BuiltinError(f"required field {name} is missing")
    return base64url_decode(value)


def _whole(key: dict[str, Any], name: str) -> int:
    return int.from_bytes(_bytes(key, name))


def _jwk(key: Any) -> Any:
    if type(key) is not dict:
        raise BuiltinError("a JWK must be an object")
    kind = key.get("kty")
    try:
        if kind == "RSA":
            return _rsa(key)
        if kind == "EC":
            return _elliptic(key)
        if kind == "OKP" and key.get("crv") == "Ed25519":
            if "d" in key:
                return ed25519.Ed25519PrivateKey.from_private_bytes(_bytes(key, "d"))
            return ed25519.Ed25519PublicKey.from_public_bytes(_bytes(key, "x"))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BuiltinError(f"invalid key: {error}") from None
    if kind == "oct":
        return _bytes(key, "k")
    raise BuiltinError(f"invalid key type from JSON ({kind})")


def _rsa(key: dict[str, Any]) -> Any:
    public = rsa.RSAPublicNumbers(_whole(key, "e"), _whole(key, "n"))
    if public.n.bit_length() > _LARGEST_MODULUS:
        raise BuiltinError("the RSA key is too large")
    if "d" not in key:
        return public.public_key()
    secret = _whole(key, "d")
    if "p" in key and "q" in key:
        p, q = _whole(key, "p"), _whole(key, "q")
    else:
        p, q = rsa.rsa_recover_prime_factors(public.n, public.e, secret)
    numbers = rsa.RSAPrivateNumbers(
        p, q, secret, rsa.rsa_crt_dmp1(secret, p), rsa.rsa_crt_dmq1(secret, q), rsa.rsa_crt_iqmp(p, q), public
    )
    return numbers.private_key()


def _elliptic(key: dict[str, Any]) -> Any:
    curve = CURVES.get(_said(key, "crv"))
    if curve is None:
        raise BuiltinError(f"invalid elliptic curve: {_said(key, 'crv')}")
    public = ec.EllipticCurvePublicNumbers(_whole(key, "x"), _whole(key, "y"), curve)
    if "d" in key:
        return ec.EllipticCurvePrivateNumbers(_whole(key, "d"), public).private_key()
    return public.public_key()


BUILTINS = table(
    Builtin("crypto.parse_private_keys", 1, parse_private_keys),
    Builtin("crypto.x509.parse_rsa_private_key", 1, parse_rsa_private_key),
)
