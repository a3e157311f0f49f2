"""NaCl's secretbox (XSalsa20 and Poly1305), in which cosign keeps private keys, and the scrypt envelope around it.

For the few hundred bytes of a key only: Salsa20 is written out in Python, since no library here has it. Must never be used for bulk.
Sources: D. J. Bernstein, "Extending the Salsa20 nonce" and "Salsa20 specification"; secure-systems-lab/go-securesystemslib encrypted.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import struct
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.poly1305 import Poly1305

from fairlead.drivers.signatures.faults import BadKey

_N, _R, _P = 65536, 8, 1
_MOST_MEMORY: Final = 1 << 30
_MOST_BYTES: Final = 1 << 16
_TAG, _NONCE, _KEY = 16, 24, 32
_SIGMA: Final = struct.unpack("<4I", b"expand 32-byte k")
_WORD: Final = 0xFFFFFFFF
_QUARTERS: Final = (
    (0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11),
    (0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14),
)  # fmt: skip


def _rounds(state: list[int]) -> list[int]:
    """Run Salsa20's twenty rounds over a state of sixteen words."""
    x = list(state)
    for _ in range(10):
        for a, b, c, d in _QUARTERS:
            for to, one, two, turn in ((b, a, d, 7), (c, b, a, 9), (d, c, b, 13), (a, d, c, 18)):
                word = (x[one] + x[two]) & _WORD
                x[to] ^= ((word << turn) | (word >> (32 - turn))) & _WORD
    return x


def _state(key: bytes, last: bytes) -> list[int]:
    k, n = struct.unpack("<8I", key), struct.unpack("<4I", last)
    s = _SIGMA
    return [s[0], *k[:4], s[1], *n, s[2], *k[4:], s[3]]


def _stream(key: bytes, nonce: bytes, length: int) -> bytes:
    """Return XSalsa20's key stream."""
    mixed = _rounds(_state(key, nonce[:16]))
    sub = struct.pack("<8I", *(mixed[place] for place in (0, 5, 10, 15, 6, 7, 8, 9)))
    found = b""
    for block in range((length + 63) // 64):
        state = _state(sub, nonce[16:] + struct.pack("<Q", block))
        found += struct.pack(
            "<16I", *((one + two) & _WORD for one, two in zip(state, _rounds(state), strict=True))
        )
    return found[:length]


def _xor(data: bytes, stream: bytes) -> bytes:
    return bytes(one ^ two for one, two in zip(data, stream, strict=True))


def seal(data: bytes, key: bytes, nonce: bytes) -> bytes:
    """Return the data encrypted under a key of 32 bytes and a nonce of 24, its tag first."""
    stream = _stream(key, nonce, _KEY + len(data))
    hidden = _xor(data, stream[_KEY:])
    return Poly1305.generate_tag(stream[:_KEY], hidden) + hidden


def unseal(box: bytes, key: bytes, nonce: bytes) -> bytes:
    """Return what a box holds. Raises BadKey when the key is another, or the box was changed."""
    tag, hidden = box[:_TAG], box[_TAG:]
    stream = _stream(key, nonce, _KEY + len(hidden))
    try:
        Poly1305.verify_tag(stream[:_KEY], hidden, tag)
    except InvalidSignature:
        raise BadKey("the password is wrong, or the key file was damaged") from None
    return _xor(hidden, stream[_KEY:])


def _derive(password: bytes, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(
        password, salt=salt, n=n, r=r, p=p, maxmem=128 * r * (n + p + 2) + (1 << 20), dklen=_KEY
    )


def encrypt(data: bytes, password: bytes) -> bytes:
    """Return the envelope, as JSON, that cosign reads."""
    salt, nonce = os.urandom(32), os.urandom(_NONCE)
    box = seal(data, _derive(password, salt, _N, _R, _P), nonce)
    document = {
        "kdf": {"name": "scrypt", "params": {"N": _N, "r": _R, "p": _P}, "salt": _b64(salt)},
        "cipher": {"name": "nacl/secretbox", "nonce": _b64(nonce)},
        "ciphertext": _b64(box),
    }
    return json.dumps(document, separators=(",", ":")).encode()


def decrypt(envelope: bytes, password: bytes) -> bytes:
    """Return what an envelope holds. Raises BadKey."""
    try:
        document: Any = json.loads(envelope)
        kdf, cipher = document["kdf"], document["cipher"]
        n, r, p = (kdf["params"][name] for name in ("N", "r", "p"))
        salt, nonce, box = (_unb64(one) for one in (kdf["salt"], cipher["nonce"], document["ciphertext"]))
        names = kdf["name"], cipher["name"]
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as error:
        raise BadKey("the encrypted key is damaged: it is not the JSON that cosign writes") from error
    if names != ("scrypt", "nacl/secretbox"):
        raise BadKey(
            f"keys encrypted by {names[0]} and {names[1]} are not supported; cosign takes scrypt and nacl/secretbox"
        )
    sane = all(isinstance(one, int) and not isinstance(one, bool) and one > 0 for one in (n, r, p))
    if not sane or n & (n - 1) or 128 * n * r > _MOST_MEMORY or p > 16 or r > 64:
        raise BadKey(f"the encrypted key asks for scrypt with N={n!r}, r={r!r}, p={p!r}, which is refused")
    if len(nonce) != _NONCE or not _TAG < len(box) <= _MOST_BYTES:
        raise BadKey("the encrypted key is damaged: its nonce or its length is wrong")
    return unseal(box, _derive(password, salt, n, r, p), nonce)


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _unb64(text: Any) -> bytes:
    return base64.b64decode(text, validate=True)
