"""Sprig's keys and certificates, from a stream of bytes: RSA keys of our own making, since no library takes its dice from a caller.

Deterministic: the same stream and moment give the same key and certificate. Must never be used for anything but rendering a chart.
Source: github.com/Masterminds/sprig/v3 (crypto.go), FIPS 186-5 for the primes.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fairlead.tongues.gotemplate.kinds import GoError, Struct, octets
from fairlead.tongues.gotemplate.states import State

_EXPONENT: Final = 65537
_WINDOW: Final = 1 << 14
"""How many numbers from a random one on are sieved at once."""
_ROUNDS: Final = 8
"""Rounds of Miller and Rabin's test; for random numbers of this size the error is far below 2^-100."""
_STEPS: Final = 500_000
"""What a key costs of a run's budget."""


def _stream(seed: bytes) -> Iterator[bytes]:
    """Blocks of 64 bytes without end."""
    count = 0
    while True:
        yield hashlib.sha512(b"%d:%b" % (count, seed)).digest()
        count += 1


def _number(stream: Iterator[bytes], bits: int) -> int:
    data = b""
    while len(data) * 8 < bits:
        data += next(stream)
    return int.from_bytes(data[: bits // 8])


@lru_cache(maxsize=1)
def _small() -> list[int]:
    """The odd primes below 65536."""
    sieve = bytearray([1]) * 65536
    for number in range(2, 256):
        if sieve[number]:
            sieve[number * number :: number] = bytes(len(range(number * number, 65536, number)))
    return [number for number in range(3, 65536, 2) if sieve[number]]


def _prime(stream: Iterator[bytes], bits: int) -> int:
    """A prime of exactly so many bits, whose two highest are set."""
    while True:
        start = _number(stream, bits) | (3 << (bits - 2)) | 1
        composite = bytearray(_WINDOW)
        for prime in _small():
            # start + 2 * step is divisible where step is -start / 2 modulo the prime.
            first = -start * ((prime + 1) // 2) % prime
            if first < _WINDOW:
                composite[first::prime] = b"\1" * len(range(first, _WINDOW, prime))
        step = composite.find(0)
        while step >= 0:
            candidate = start + 2 * step
            if candidate.bit_length() == bits and candidate % _EXPONENT != 1 and _is_prime(candidate, stream):
                return candidate
            step = composite.find(0, step + 1)


def _is_prime(candidate: int, stream: Iterator[bytes]) -> bool:
    odd, twos = candidate - 1, 0
    while not odd & 1:
        odd, twos = odd >> 1, twos + 1
    for round_ in range(_ROUNDS):
        base = 2 if not round_ else _number(stream, 256) | 2
        power = pow(base, odd, candidate)
        if power in {1, candidate - 1}:
            continue
        for _ in range(twos - 1):
            power = power * power % candidate
            if power == candidate - 1:
                break
        else:
            return False
    return True


@lru_cache(maxsize=64)
def _rsa(seed: bytes, bits: int) -> rsa.RSAPrivateKey:
    """The RSA key that a seed makes: kept, since a rendering may begin again."""
    stream = _stream(seed)
    first = _prime(stream, bits // 2)
    second = _prime(stream, bits // 2)
    while second == first:
        second = _prime(stream, bits // 2)
    private = pow(_EXPONENT, -1, (first - 1) * (second - 1))
    numbers = rsa.RSAPrivateNumbers(
        p=first,
        q=second,
        d=private,
        dmp1=private % (first - 1),
        dmq1=private % (second - 1),
        iqmp=pow(second, -1, first),
        public_numbers=rsa.RSAPublicNumbers(_EXPONENT, first * second),
    )
    return numbers.private_key()


def _new_rsa(state: State, bits: int) -> rsa.RSAPrivateKey:
    state.spend(_STEPS)
    return _rsa(state.random(32), bits)


def private_key(state: State, sort: str) -> str:
    """Return a key in PEM: rsa (4096 bits), ecdsa (P-256) or ed25519; or what is wrong."""
    if sort in {"", "rsa"}:
        return _pem(_new_rsa(state, 4096))
    if sort == "ecdsa":
        curve = ec.SECP256R1()
        return _pem(ec.derive_private_key(state.below((1 << 255) - 1) + 1, curve))
    if sort == "ed25519":
        return _pem(ed25519.Ed25519PrivateKey.from_private_bytes(state.random(32)))
    if sort == "dsa":
        return "failed to generate dsa params: DSA keys are not made here; use rsa, ecdsa or ed25519"
    return f"Unknown type {sort}"


def _pem(key: Any) -> str:
    form = serialization.PrivateFormat.TraditionalOpenSSL
    if isinstance(key, ed25519.Ed25519PrivateKey):
        form = serialization.PrivateFormat.PKCS8
    data: bytes = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return data.decode()


def _loaded(text: str) -> Any:
    if "-----BEGIN " not in text:
        raise GoError("no PEM data in input")
    label = text.partition("-----BEGIN ")[2].partition("-----")[0]
    if not label.endswith("PRIVATE KEY"):
        raise GoError(f"no private key data in PEM block of type {label}")
    try:
        key = serialization.load_pem_private_key(octets(text), None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm) as fault:
        raise GoError(f"invalid private key: {fault}") from None
    return key


def _pair(cert: str, key: str) -> Struct:
    return Struct("sprig.certificate", {"Cert": cert, "Key": key})


def build(cert: str, key: str) -> Struct:
    """Return the certificate and key that are given in base64. Raises GoError where they are none."""
    try:
        certificate = base64.b64decode(cert, validate=True).decode()
    except ValueError:
        raise GoError("unable to decode base64 certificate") from None
    try:
        private = base64.b64decode(key, validate=True).decode()
    except ValueError:
        raise GoError("unable to decode base64 private key") from None
    _certificate(certificate, "decodedCert.Bytes")
    try:
        _loaded(private)
    except GoError as fault:
        raise GoError(f"error parsing private key: {fault}") from None
    return _pair(certificate, private)


def _certificate(text: str, what: str) -> x509.Certificate:
    if "-----BEGIN " not in text:
        raise GoError("unable to decode certificate")
    try:
        return x509.load_pem_x509_certificate(octets(text))
    except ValueError as fault:
        raise GoError(f"error parsing certificate: {what}: {fault}") from None


def _own_key(state: State, pem: str | None) -> Any:
    if pem is None:
        return _new_rsa(state, 2048)
    try:
        return _loaded(pem)
    except GoError as fault:
        raise GoError(f"parsing private key: {fault}") from None


def authority(state: State, name: str, days: int, key: str | None = None) -> Struct:
    """Return a certificate authority, of the key in PEM or of a new one."""
    return _made(state, name, [], [], days, _own_key(state, key), None, is_authority=True)


def self_signed(
    state: State, name: str, ips: list[Any], names: list[Any], days: int, key: str | None = None
) -> Struct:
    """Return a certificate that vouches for itself."""
    return _made(state, name, ips, names, days, _own_key(state, key), None)


def signed(
    state: State, name: str, ips: list[Any], names: list[Any], days: int, by: Struct, key: str | None = None
) -> Struct:
    """Return a certificate that the authority `by` signed."""
    own = _own_key(state, key)
    issuer = _certificate(str(by.fields["Cert"]), "decodedSignerCert.Bytes")
    try:
        signer = _loaded(str(by.fields["Key"]))
    except GoError as fault:
        raise GoError(f"error parsing private key: {fault}") from None
    return _made(state, name, ips, names, days, own, (issuer, signer))


def _made(
    state: State,
    name: str,
    ips: list[Any],
    names: list[Any],
    days: int,
    key: Any,
    by: tuple[x509.Certificate, Any] | None,
    *,
    is_authority: bool = False,
) -> Struct:
    others = [*_addresses(ips), *_names(names)]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) if name else x509.Name([])
    begins = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=state.moment // 1_000_000_000)
    public = key.public_key()
    identity = x509.SubjectKeyIdentifier.from_public_key(public)
    building = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by[0].subject if by is not None else subject)
        .public_key(public)
        .serial_number(state.below((1 << 127) - 1) + 1)
        .not_valid_before(begins)
        .add_extension(_usage(is_authority), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    try:
        building = building.not_valid_after(begins + timedelta(days=days))
        if is_authority:
            building = building.add_extension(identity, critical=False)
        issuer = _identity_of(by[0]) if by is not None else (identity if is_authority else None)
        if issuer is not None and by is not None:
            building = building.add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False
            )
        if others:
            building = building.add_extension(x509.SubjectAlternativeName(others), critical=not name)
        signer = by[1] if by is not None else key
        algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        if isinstance(signer, dsa.DSAPrivateKey):
            raise GoError("error creating certificate: x509: only RSA, ECDSA and Ed25519 keys supported")
        if isinstance(signer, ec.EllipticCurvePrivateKey):
            made = building.sign(signer, algorithm, ecdsa_deterministic=True)
        else:
            made = building.sign(signer, algorithm)
    except (ValueError, TypeError, OverflowError) as fault:
        raise GoError(f"error creating certificate: {fault}") from None
    return _pair(made.public_bytes(serialization.Encoding.PEM).decode(), _pem(key))


def _identity_of(issuer: x509.Certificate) -> x509.SubjectKeyIdentifier | None:
    try:
        return issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return None


def _usage(is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=True,
        key_cert_sign=is_authority,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _addresses(ips: list[Any]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for text in ips:
        if type(text) is not str:
            raise GoError(f"error parsing ip: {text} is not a string")
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(text)))
        except ValueError:
            raise GoError(f"error parsing ip: {text}") from None
    return found


def _names(names: list[Any]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for text in names:
        if type(text) is not str:
            raise GoError(f"error processing alternate dns name: {text} is not a string")
        try:
            found.append(x509.DNSName(text))
        except ValueError:
            raise GoError(f"error processing alternate dns name: {text}") from None
    return found
