"""Sprig's functions for keys, certificates, hashes and passwords. Randomness comes from the run's seed: the same seed, the same keys.

Must never draw from the machine's own randomness, or a rendering would not be repeatable. Source: github.com/Masterminds/sprig/v3.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import zlib
from collections.abc import Mapping
from typing import Any, Final

import bcrypt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from fairlead.tongues.gotemplate import certificates
from fairlead.tongues.gotemplate.kinds import Function, GoError, octets, textual
from fairlead.tongues.gotemplate.states import State

_COST: Final = 10
"""Sprig's cost of bcrypt."""
_TO_BCRYPT: Final = str.maketrans(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
)
"""bcrypt's own alphabet of base64."""


def _bcrypt(state: State, text: str) -> str:
    data = octets(text)
    if len(data) > 72:
        return "failed to encrypt string with bcrypt: bcrypt: password length exceeds 72 bytes"
    state.spend(200_000)
    salt = base64.b64encode(state.random(16)).decode().rstrip("=").translate(_TO_BCRYPT)
    # 16 bytes have 128 bits, and 22 letters have four more, which are zero.
    return bcrypt.hashpw(data.partition(b"\0")[0], f"$2a${_COST}${salt}".encode()).decode()


def _htpasswd(state: State, user: str, password: str) -> str:
    if ":" in user:
        return f"invalid username: {user}"
    return f"{user}:{_bcrypt(state, password)}"


def _uuid(state: State) -> str:
    data = bytearray(state.random(16))
    data[6] = (data[6] & 0x0F) | 0x40
    data[8] = (data[8] & 0x3F) | 0x80
    text = data.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _random_bytes(state: State, count: int) -> str:
    if count < 0:
        raise GoError("runtime error: makeslice: len out of range")
    return base64.b64encode(state.random(count)).decode()


def _encrypt(state: State, password: str, text: str) -> str:
    if not text:
        return ""
    key, start, data = octets(password)[:32].ljust(32, b"\0"), state.random(16), octets(text)
    missing = 16 - len(data) % 16
    sealing = Cipher(algorithms.AES(key), modes.CBC(start)).encryptor()
    return base64.b64encode(
        start + sealing.update(data + bytes([missing]) * missing) + sealing.finalize()
    ).decode()


def _decrypt(password: str, text: str) -> str:
    if not text:
        return ""
    key = octets(password)[:32].ljust(32, b"\0")
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise GoError("illegal base64 data at input byte 0") from None
    if len(data) < 16:
        raise GoError(f"runtime error: slice bounds out of range [:16] with capacity {len(data)}")
    if len(data) % 16:
        raise GoError("crypto/cipher: input not full blocks")
    opening = Cipher(algorithms.AES(key), modes.CBC(data[:16])).decryptor()
    plain = opening.update(data[16:]) + opening.finalize()
    if not plain:
        raise GoError("runtime error: index out of range [-1]")
    if plain[-1] > len(plain):
        raise GoError(f"runtime error: slice bounds out of range [:{len(plain) - plain[-1]}]")
    return textual(plain[: len(plain) - plain[-1]])


_SEED: Final = b"com.lyndir.masterpassword"
_VOWELS, _CONSONANTS = "AEIOU", "BCDFGHJKLMNPQRSTVWXYZ"
_ALL: Final = _VOWELS + _VOWELS.lower() + _CONSONANTS + _CONSONANTS.lower()
_SHAPES: Final = {
    "maximum": ("anoxxxxxxxxxxxxxxxxx", "axxxxxxxxxxxxxxxxxno"),
    "long": [
        "CvcvnoCvcvCvcv",
        "CvcvCvcvnoCvcv",
        "CvcvCvcvCvcvno",
        "CvccnoCvcvCvcv",
        "CvccCvcvnoCvcv",
        "CvccCvcvCvcvno",
        "CvcvnoCvccCvcv",
        "CvcvCvccnoCvcv",
        "CvcvCvccCvcvno",
        "CvcvnoCvcvCvcc",
        "CvcvCvcvnoCvcc",
        "CvcvCvcvCvccno",
        "CvccnoCvccCvcv",
        "CvccCvccnoCvcv",
        "CvccCvccCvcvno",
        "CvcvnoCvccCvcc",
        "CvcvCvccnoCvcc",
        "CvcvCvccCvccno",
        "CvccnoCvcvCvcc",
        "CvccCvcvnoCvcc",
        "CvccCvcvCvccno",
    ],
    "medium": ("CvcnoCvc", "CvcCvcno"),
    "short": ("Cvcn",),
    "basic": ("aaanaaan", "aannaaan", "aaannaaa"),
    "pin": ("nnnn",),
}
_LETTERS: Final = {
    "V": _VOWELS,
    "C": _CONSONANTS,
    "v": _VOWELS.lower(),
    "c": _CONSONANTS.lower(),
    "A": _VOWELS + _CONSONANTS,
    "a": _ALL,
    "n": "0123456789",
    "o": "@&%?,=[]_:-+*$#!'^~;()/.",
    "x": _ALL + "0123456789!@#$%^&*()",
}


def _derived(state: State, counter: int, shape: str, password: str, user: str, site: str) -> str:
    shapes = _SHAPES.get(shape)
    if shapes is None:
        return f"cannot find password template {shape}"
    state.spend(200_000)
    name, place = octets(user), octets(site)
    key = hashlib.scrypt(
        octets(password),
        salt=_SEED + len(name).to_bytes(4) + name,
        n=32768,
        r=8,
        p=2,
        maxmem=1 << 27,
        dklen=64,
    )
    seed = hmac.digest(
        key, _SEED + len(place).to_bytes(4) + place + (counter % (1 << 32)).to_bytes(4), "sha256"
    )
    chosen = shapes[seed[0] % len(shapes)]
    return "".join(_LETTERS[part][seed[at + 1] % len(_LETTERS[part])] for at, part in enumerate(chosen))


def _hash(name: str) -> Function:
    def summed(text: str) -> str:
        return hashlib.new(name, octets(text), usedforsecurity=False).hexdigest()

    return Function(summed, "s")


def _certificate(make: Any, params: str) -> Function:
    return Function(make, params, state=True)


CRYPTO: Final[Mapping[str, Function]] = {
    "adler32sum": Function(lambda text: str(zlib.adler32(octets(text))), "s"),
    "bcrypt": Function(_bcrypt, "s", state=True),
    "buildCustomCert": Function(certificates.build, "ss"),
    "decryptAES": Function(_decrypt, "ss"),
    "derivePassword": Function(_derived, "issss", state=True),
    "encryptAES": Function(_encrypt, "ss", state=True),
    "genCA": _certificate(certificates.authority, "si"),
    "genCAWithKey": _certificate(certificates.authority, "sis"),
    "genPrivateKey": _certificate(certificates.private_key, "s"),
    "genSelfSignedCert": _certificate(certificates.self_signed, "slli"),
    "genSelfSignedCertWithKey": _certificate(certificates.self_signed, "sllis"),
    "genSignedCert": _certificate(certificates.signed, "sllik"),
    "genSignedCertWithKey": _certificate(certificates.signed, "slliks"),
    "htpasswd": Function(_htpasswd, "ss", state=True),
    "randBytes": Function(_random_bytes, "i", state=True),
    "sha1sum": _hash("sha1"),
    "sha256sum": _hash("sha256"),
    "sha512sum": _hash("sha512"),
    "uuidv4": Function(_uuid, state=True),
}
"""The functions by name."""
