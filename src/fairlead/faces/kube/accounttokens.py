"""Tokens of service accounts: signed statements of who calls, for whom, and how long.

JSON Web Tokens with ES256, signed by the cluster's own key. Signing and checking the signature happen here; whether
the account and the object that a token is bound to are still there is asked of whoever holds the objects.
Source: k8s.io/kubernetes/pkg/serviceaccount/claims.go; RFC 7515, 7518, 7519.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import orjson

from fairlead.keep.authorizing import ACCOUNT_PREFIX
from fairlead.words import Resource, User

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

ISSUER = "https://kubernetes.default.svc.cluster.local"
AUDIENCES = (ISSUER,)
_SIZE = 32
"""Bytes of each half of a P-256 signature."""
_EXTRA = "authentication.kubernetes.io/"

Lookup = Callable[[str, str, str, str], Resource | None]
"""(group, plural, namespace, name) -> the object as it is now, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a token is to say: the account, its audiences, its lifetime, and the object that it dies with."""

    account: Resource
    audiences: Sequence[str]
    seconds: int
    bound: Resource | None = None
    bound_kind: str = ""
    node: Resource | None = None


class Issuer:
    """Signs tokens with one key, and tells whose a token is. The key and what signs with it are loaded at the first token."""

    def __init__(self, key: Callable[[], ec.EllipticCurvePrivateKey]) -> None:
        self._load = key

    @cached_property
    def _key(self) -> ec.EllipticCurvePrivateKey:
        return self._load()

    @cached_property
    def key_id(self) -> str:
        """The key's name in tokens and in the key set."""
        from cryptography.hazmat.primitives import serialization

        spki = self._key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return _b64(hashlib.sha256(spki).digest())

    def issue(self, claim: Claim, now: datetime) -> tuple[str, datetime]:
        """Return a token and the moment it expires."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, utils

        expires = now.replace(microsecond=0) + timedelta(seconds=claim.seconds)
        meta = claim.account["metadata"]
        about: dict[str, Any] = {
            "namespace": meta["namespace"],
            "serviceaccount": {"name": meta["name"], "uid": meta["uid"]},
        }
        if claim.bound is not None:
            bound = claim.bound["metadata"]
            about[claim.bound_kind.lower()] = {"name": bound["name"], "uid": bound["uid"]}
        if claim.node is not None:
            about["node"] = {"name": claim.node["metadata"]["name"], "uid": claim.node["metadata"]["uid"]}
        seconds = int(now.timestamp())
        content = {
            "aud": list(claim.audiences),
            "exp": int(expires.timestamp()),
            "iat": seconds,
            "iss": ISSUER,
            "jti": secrets.token_hex(16),
            "kubernetes.io": about,
            "nbf": seconds,
            "sub": f"{ACCOUNT_PREFIX}{meta['namespace']}:{meta['name']}",
        }
        head = {"alg": "ES256", "kid": self.key_id}
        text = f"{_b64(orjson.dumps(head))}.{_b64(orjson.dumps(content))}"
        r, s = utils.decode_dss_signature(self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{_b64(r.to_bytes(_SIZE, 'big') + s.to_bytes(_SIZE, 'big'))}", expires

    def user(
        self, token: str, lookup: Lookup, now: datetime, audiences: Sequence[str] = AUDIENCES
    ) -> tuple[User, tuple[str, ...]] | None:
        """Return whose token it is and which of the audiences it is meant for; None when it is not valid now."""
        content = self._verified(token)
        if content is None or content.get("iss") != ISSUER or not _current(content, now):
            return None
        meant = content.get("aud")
        matching = tuple(one for one in audiences if isinstance(meant, list) and one in meant)
        if not matching:
            return None
        user = _holder(content, lookup)
        return (user, matching) if user is not None else None

    def _verified(self, token: str) -> dict[str, Any] | None:
        if token.count(".") != 2:
            return None
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, utils

        try:
            head, content, signature = token.split(".")
            if orjson.loads(_unb64(head)).get("alg") != "ES256":
                return None
            raw = _unb64(signature)
            if len(raw) != 2 * _SIZE:
                return None
            r, s = int.from_bytes(raw[:_SIZE], "big"), int.from_bytes(raw[_SIZE:], "big")
            der = utils.encode_dss_signature(r, s)
            self._key.public_key().verify(der, f"{head}.{content}".encode(), ec.ECDSA(hashes.SHA256()))
            decoded = orjson.loads(_unb64(content))
        except (ValueError, AttributeError, InvalidSignature):
            return None
        return decoded if isinstance(decoded, dict) else None

    def key_set(self) -> dict[str, Any]:
        """Return the public key as a JSON Web Key Set, for programs that check tokens themselves."""
        numbers = self._key.public_key().public_numbers()
        return {
            "keys": [
                {
                    "use": "sig",
                    "kty": "EC",
                    "kid": self.key_id,
                    "crv": "P-256",
                    "alg": "ES256",
                    "x": _b64(numbers.x.to_bytes(_SIZE, "big")),
                    "y": _b64(numbers.y.to_bytes(_SIZE, "big")),
                }
            ]
        }


def _current(content: dict[str, Any], now: datetime) -> bool:
    seconds = now.timestamp()
    start, end = content.get("nbf"), content.get("exp")
    return isinstance(start, int) and isinstance(end, int) and start - 1 <= seconds < end


def _holder(content: dict[str, Any], lookup: Lookup) -> User | None:
    about = content.get("kubernetes.io")
    if not isinstance(about, dict):
        return None
    try:
        namespace, account = about["namespace"], about["serviceaccount"]
        if not _there(lookup("", "serviceaccounts", namespace, account["name"]), account["uid"]):
            return None
        extra = [(f"{_EXTRA}credential-id", (f"JTI={content['jti']}",))]
        for kind, plural in (("pod", "pods"), ("secret", "secrets")):
            if kind in about:
                if not _there(lookup("", plural, namespace, about[kind]["name"]), about[kind]["uid"]):
                    return None
                if kind == "pod":
                    extra.append((f"{_EXTRA}pod-name", (about[kind]["name"],)))
                    extra.append((f"{_EXTRA}pod-uid", (about[kind]["uid"],)))
        if "node" in about:
            extra.append((f"{_EXTRA}node-name", (about["node"]["name"],)))
            extra.append((f"{_EXTRA}node-uid", (about["node"]["uid"],)))
    except (KeyError, TypeError):
        return None
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    name = f"{ACCOUNT_PREFIX}{namespace}:{account['name']}"
    return User(name=name, groups=groups, uid=account["uid"], extra=tuple(sorted(extra)))


def _there(obj: Resource | None, uid: str) -> bool:
    return obj is not None and obj["metadata"].get("uid") == uid


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _unb64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
