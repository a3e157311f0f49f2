"""Digests and message authentication codes, as hexadecimal text."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any

from .kinds import Builtin, Context, encode, table, text


def _digest(name: str) -> Callable[..., str]:
    def call(_: Context, value: Any) -> str:
        return hashlib.new(name, encode(text(value, 1)), usedforsecurity=False).hexdigest()

    return call


def _code(name: str) -> Callable[..., str]:
    def call(_: Context, message: Any, secret: Any) -> str:
        said = encode(text(message, 1))
        return hmac.new(encode(text(secret, 2)), said, name).hexdigest()

    return call


def same(_: Context, one: Any, other: Any) -> bool:
    """Compare two codes in a time that does not tell where they differ."""
    return hmac.compare_digest(encode(text(one, 1)), encode(text(other, 2)))


BUILTINS = table(
    *(Builtin(f"crypto.{name}", 1, _digest(name)) for name in ("md5", "sha1", "sha256")),
    *(Builtin(f"crypto.hmac.{name}", 2, _code(name)) for name in ("md5", "sha1", "sha256", "sha512")),
    Builtin("crypto.hmac.equal", 2, same),
)
