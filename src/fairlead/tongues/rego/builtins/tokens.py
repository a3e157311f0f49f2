"""JSON Web Tokens: decoded, verified and signed (io.jwt.*).

Signatures over elliptic curves are deterministic where the library can. Nothing is fetched: keys come with the call.
Source: RFC 7515, 7518, 7519; OPA's messages.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from fairlead.tongues.rego.values import compare

from .encodings import base64url_decode, base64url_encode, marshal, unmarshal
from .keys import blocks, read_jwks
from .kinds import Builtin, BuiltinError, Context, an_object, decode, encode, table, text

_HASHES: dict[str, tuple[str, hashes.HashAlgorithm]] = {
    "256": ("sha256", hashes.SHA256()),
    "384": ("sha384", hashes.SHA384()),
    "512": ("sha512", hashes.SHA512()),
}
_ALGORITHMS = {f"{kind}{size}" for kind in ("RS", "PS", "ES", "HS") for size in _HASHES} | {"EdDSA"}
_DEEPEST = 20


@dataclass(slots=True)
class _Key:
    """A key to verify with: itself (bytes for a secret), and its algorithm and name when they are known."""

    key: Any
    algorithm: str = ""
    name: str = ""


def _sections(token: Any) -> list[str]:
    encoded = text(token, 1)
    if "." not in encoded:
        raise BuiltinError("encoded JWT had no period separators")
    parts = encoded.split(".")
    if len(parts) != 3:
        raise BuiltinError(f"encoded JWT must have 3 sections, found {len(parts)}")
    return parts


def _section(part: str, what: str) -> str:
    try:
        return decode(base64url_decode(part))
    except BuiltinError as error:
        raise BuiltinError(f"JWT {what} had invalid encoding: {error}") from None


def _object(source: str) -> dict[str, Any]:
    try:
        found = unmarshal(source)
    except BuiltinError as error:
        raise BuiltinError(f"invalid JSON: {error}") from None
    if type(found) is not dict:
        raise BuiltinError("decoded JSON type was not an Object")
    return found


def _header(part: str) -> dict[str, Any]:
    source = _section(part, "header")
    try:
        found = _object(source)
    except BuiltinError as error:
        raise BuiltinError(f"bad JWT header: {error}") from None
    if "enc" in found:
        raise BuiltinError("JWT is a JWE object, which is not supported")
    return found


def decode_token(_: Context, token: Any) -> list[Any]:
    """Return [header, payload, signature in hexadecimal], of the innermost token; nothing is verified."""
    for _depth in range(_DEEPEST):
        head, body, signature = _sections(token)
        header, payload = _header(head), _section(body, "payload")
        if header.get("cty") == "JWT":
            token = payload.strip("\"'")
            continue
        return [header, _object(payload), encode(_section(signature, "signature")).hex()]
    raise BuiltinError("JWT is nested too deeply")


def _checked(header: dict[str, Any]) -> tuple[str, str, str, bool]:
    """Return algorithm, key's name, content type, and whether the header is one to trust."""
    for name in ("alg", "kid", "typ", "cty"):
        if name in header and type(header[name]) is not str:
            raise BuiltinError(f"{name}: must be a string")
    critical: list[Any] = []
    if "crit" in header:
        if type(header["crit"]) is not list:
            raise BuiltinError("crit: must be a list")
        critical = [name for name in header["crit"] if type(name) is str]
        if not critical:
            raise BuiltinError("crit: must be a nonempty list")
    known = {"alg", "kid", "typ", "cty", "crit"}
    fine = bool(header.get("alg")) and not any(name in header and name not in known for name in critical)
    return header.get("alg", ""), header.get("kid", ""), header.get("cty", ""), fine


def _keys(source: str) -> list[_Key]:
    """Return the keys in a certificate, a public key in PEM, a JSON Web Key, or a set of them."""
    found = blocks(encode(source))
    if found:
        kind, content, rest = found[0]
        if rest:
            raise BuiltinError("extra data after a PEM certificate block")
        try:
            if kind == "CERTIFICATE":
                return [_Key(x509.load_der_x509_certificate(content).public_key())]
            if kind == "PUBLIC KEY":
                return [_Key(serialization.load_der_public_key(content))]
        except (ValueError, UnsupportedAlgorithm) as error:
            what = "certificate" if kind == "CERTIFICATE" else "public key"
            raise BuiltinError(f"failed to parse a PEM {what}: {error}") from None
        raise BuiltinError("failed to extract a Key from the PEM certificate")
    try:
        listed = read_jwks(source)
    except BuiltinError as error:
        raise BuiltinError(f"failed to parse a JWK key (set): {error}") from None
    return [
        _Key(_public(key), algorithm, name)
        for key, algorithm, name in listed
        if not algorithm or algorithm in _ALGORITHMS
    ]


def _public(key: Any) -> Any:
    return key if type(key) is bytes or not hasattr(key, "public_key") else key.public_key()


def _holds(key: Any, algorithm: str, said: bytes, signature: bytes) -> bool:
    """Tell whether a signature is that of the key over what was said."""
    if algorithm not in _ALGORITHMS:
        return False
    kind, size = algorithm[:2], algorithm[2:]
    try:
        if kind == "HS":
            return type(key) is bytes and hmac.compare_digest(
                hmac.digest(key, said, _HASHES[size][0]), signature
            )
        if algorithm == "EdDSA":
            if not isinstance(key, ed25519.Ed25519PublicKey):
                return False
            key.verify(signature, said)
        elif kind == "ES":
            if not isinstance(key, ec.EllipticCurvePublicKey):
                return False
            half = len(signature) // 2
            pair = encode_dss_signature(int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))
            key.verify(pair, said, ec.ECDSA(_HASHES[size][1]))
        else:
            if not isinstance(key, rsa.RSAPublicKey):
                return False
            digest = _HASHES[size][1]
            pad: padding.AsymmetricPadding = (
                padding.PKCS1v15() if kind == "RS" else padding.PSS(padding.MGF1(digest), padding.PSS.AUTO)
            )
            key.verify(signature, said, pad, digest)
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        return False
    return True


def _any_holds(
    keys: list[_Key], name: str, asked: str, algorithm: str, said: bytes, signature: bytes
) -> bool:
    """Tell whether the key of the name verifies; without one, whether any key of the algorithm does."""
    for key in keys:
        if name and key.name == name:
            return _holds(key.key, asked, said, signature)
    return any(
        _holds(key.key, asked, said, signature)
        for key in keys
        if not key.algorithm or key.algorithm == algorithm
    )


def _verifier(algorithm: str) -> Callable[..., bool]:
    def call(_: Context, token: Any, certificate: Any) -> bool:
        head, body, signature = _sections(token)
        keys = _keys(text(certificate, 2))
        raw = base64url_decode(signature)
        found, name, _cty, _fine = _checked(_header(head))
        return _any_holds(keys, name, algorithm, found, encode(f"{head}.{body}"), raw)

    return call


def _secret_verifier(size: str) -> Callable[..., bool]:
    def call(_: Context, token: Any, secret: Any) -> bool:
        text(token, 1)
        key = encode(text(secret, 2))
        head, body, signature = _sections(token)
        code = hmac.digest(key, encode(f"{head}.{body}"), _HASHES[size][0])
        return hmac.compare_digest(code, base64url_decode(signature))

    return call


@dataclass(slots=True)
class _Constraints:
    """What decode_verify demands of a token; `time` is in nanoseconds."""

    keys: list[_Key] | None = None
    secret: str = ""
    algorithm: str = ""
    issuer: str = ""
    audience: str = ""
    time: float = 0.0


def _constraints(context: Context, wanted: dict[Any, Any]) -> _Constraints:
    found = _Constraints(time=float(context.now_ns))
    places = {"secret": "secret", "alg": "algorithm", "iss": "issuer", "aud": "audience"}
    for name, value in wanted.items():
        if name == "cert":
            if type(value) is not str:
                raise BuiltinError("cert constraint: must be a string")
            found.keys = _keys(value)
        elif name in places:
            if type(value) is not str:
                raise BuiltinError(f"{name} constraint: must be a string")
            setattr(found, places[name], value)
        elif name == "time":
            if type(value) not in {int, float}:
                raise BuiltinError("token time constraint: must be a number")
            if value < 0:
                raise BuiltinError("token time constraint: must not be negative")
            found.time = float(value)
        else:
            raise BuiltinError(f"unknown token validation constraint: {name}")
    count = (found.keys is not None) + bool(found.secret)
    if count != 1:
        raise BuiltinError("duplicate key constraints" if count else "no key constraint")
    return found


def decode_verify(context: Context, token: Any, wanted: Any) -> list[Any]:
    """Return [true, header, payload] of a token that meets all constraints, else [false, {}, {}]."""
    refused: list[Any] = [False, {}, {}]
    constraints = _constraints(context, an_object(wanted, 2))
    for _depth in range(_DEEPEST):
        head, body, signature = _sections(token)
        header = _header(head)
        algorithm, name, content, fine = _checked(header)
        if not fine or (constraints.algorithm and constraints.algorithm != algorithm):
            return refused
        said, raw = encode(f"{head}.{body}"), base64url_decode(signature)
        if constraints.keys is not None:
            if not _any_holds(constraints.keys, name, algorithm, algorithm, said, raw):
                return refused
        elif not _holds(encode(constraints.secret), algorithm, said, raw):
            return refused
        source = _section(body, "payload")
        if content.upper() == "JWT":
            token = source
            continue
        payload = _object(source)
        return [True, header, payload] if _current(constraints, payload) else refused
    raise BuiltinError("JWT is nested too deeply")


def _current(constraints: _Constraints, payload: dict[str, Any]) -> bool:
    """Tell whether the claims name the issuer and the audience, and hold at the time."""
    if constraints.issuer and payload.get("iss") != constraints.issuer:
        return False
    if "aud" in payload:
        audience = payload["aud"]
        if constraints.audience not in (audience if type(audience) is list else [audience]):
            return False
    elif constraints.audience:
        return False
    now = constraints.time / 1_000_000_000
    for name in ("exp", "nbf"):
        if name in payload:
            moment = payload[name]
            if type(moment) not in {int, float}:
                raise BuiltinError(f"{name} value must be a number")
            order = compare(now, moment)
            if (order >= 0) if name == "exp" else (order < 0):
                return False
    return True


_RAW_NUMBER = re.compile(r"[0-9.eE+-]+")


def _signed(header: str, payload: str, key_source: str) -> str:
    keys = read_jwks(key_source)
    if not keys:
        raise BuiltinError("no keys found in JWK set")
    problem = "missing or invalid 'alg' header: "
    try:
        found = unmarshal(header)
    except BuiltinError as error:
        if _RAW_NUMBER.fullmatch(header.strip()) is None:
            raise BuiltinError(f"{problem}cannot parse JSON: {error}") from None
        found = None
    fields = found if type(found) is dict else {}
    algorithm = fields.get("alg")
    if algorithm is None:
        raise BuiltinError(f'{problem}jwsbb: header "alg" not found')
    if type(algorithm) is not str:
        raise BuiltinError(f'{problem}jwsbb: header "alg" is not a string')
    if algorithm not in _ALGORITHMS:
        raise BuiltinError(f"unknown JWS algorithm: {algorithm}")
    if fields.get("typ", "JWT") == "JWT":
        try:
            unmarshal(payload)
        except BuiltinError:
            raise BuiltinError("type is JWT but payload is not JSON") from None
    said = f"{_plain(encode(header))}.{_plain(encode(payload))}"
    return f"{said}.{_plain(_signature(keys[0][0], algorithm, said.encode()))}"


def _plain(raw: bytes) -> str:
    return base64url_encode(raw).rstrip("=")


def _signature(key: Any, algorithm: str, said: bytes) -> bytes:
    kind, size = algorithm[:2], algorithm[2:]
    if kind == "HS" and type(key) is bytes:
        return hmac.digest(key, said, _HASHES[size][0])
    try:
        if algorithm == "EdDSA" and isinstance(key, ed25519.Ed25519PrivateKey):
            return key.sign(said)
        if kind == "ES" and isinstance(key, ec.EllipticCurvePrivateKey):
            wide = (key.curve.key_size + 7) // 8
            r, s = decode_dss_signature(key.sign(said, _ecdsa(_HASHES[size][1])))
            return r.to_bytes(wide) + s.to_bytes(wide)
        if kind in {"RS", "PS"} and isinstance(key, rsa.RSAPrivateKey):
            digest = _HASHES[size][1]
            pad: padding.AsymmetricPadding = (
                padding.PKCS1v15()
                if kind == "RS"
                else padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH)
            )
            return key.sign(said, pad, digest)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BuiltinError(f"failed to sign: {error}") from None
    raise BuiltinError(f"invalid key for the algorithm {algorithm}")


def _ecdsa(digest: hashes.HashAlgorithm) -> ec.ECDSA:
    try:
        return ec.ECDSA(digest, deterministic_signing=True)
    except UnsupportedAlgorithm:
        return ec.ECDSA(digest)


def encode_sign(_: Context, header: Any, payload: Any, key: Any) -> str:
    """Return a token of a header and a payload, signed with a JSON Web Key, all three as objects."""
    return _signed(marshal(header), marshal(payload), marshal(key))


def encode_sign_raw(_: Context, header: Any, payload: Any, key: Any) -> str:
    """Return a token of a header and a payload, signed with a JSON Web Key, all three as text."""
    source = text(key, 3)
    return _signed(text(header, 1), text(payload, 2), source)


BUILTINS = table(
    Builtin("io.jwt.decode", 1, decode_token),
    Builtin("io.jwt.decode_verify", 2, decode_verify),
    Builtin("io.jwt.encode_sign", 3, encode_sign, nondeterministic=True),
    Builtin("io.jwt.encode_sign_raw", 3, encode_sign_raw, nondeterministic=True),
    *(
        Builtin(f"io.jwt.verify_{kind.lower()}{size}", 2, _verifier(f"{kind}{size}"))
        for kind in ("RS", "PS", "ES")
        for size in _HASHES
    ),
    *(Builtin(f"io.jwt.verify_hs{size}", 2, _secret_verifier(size)) for size in _HASHES),
    Builtin("io.jwt.verify_eddsa", 2, _verifier("EdDSA")),
)
