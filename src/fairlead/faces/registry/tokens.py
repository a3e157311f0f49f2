"""Who may do what in the registry: one account, tokens that say what they allow, and pulls for everybody where that is configured.

Tokens follow the distribution project's token protocol: a client that is refused learns where to get one, and for which scope. They are
signed with a key that never leaves the data directory, and end after some minutes. Must never log or repeat a password.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

USER: Final = "fairlead"
SERVICE: Final = "fairlead-registry"
LIFETIME: Final = 300
"""Seconds that a token is good for."""
_ACTIONS: Final = ("pull", "push", "delete")
_MOST_SCOPES: Final = 64


@dataclass(frozen=True, slots=True)
class Guard:
    """Decides. `password` is the account's, `key` signs tokens; with `public`, whoever asks may pull."""

    password: str
    key: bytes
    public: bool

    def knows(self, user: str, password: str) -> bool:
        """Say whether that is the account and its password."""
        return hmac.compare_digest(f"{user}:{password}".encode(), f"{USER}:{self.password}".encode())

    def token(self, scopes: Iterable[str], *, known: bool, now: float | None = None) -> dict[str, Any]:
        """Return the answer of the token endpoint: what of the scopes (`repository:name:pull,push`) is allowed, signed."""
        access: dict[str, list[str]] = {}
        for scope in list(scopes)[:_MOST_SCOPES]:
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            asked = (
                _ACTIONS
                if actions == "*"
                else tuple(action for action in actions.split(",") if action in _ACTIONS)
            )
            allowed = (
                asked if known else tuple(action for action in asked if action == "pull" and self.public)
            )
            if allowed:
                access[f"{kind}:{name}"] = sorted({*access.get(f"{kind}:{name}", ()), *allowed})
        begun = time.time() if now is None else now
        claims = {"access": access, "known": known, "ends": int(begun) + LIFETIME}
        body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=")
        signed = f"{body.decode()}.{self._sign(body)}"
        issued = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begun))
        return {"token": signed, "access_token": signed, "expires_in": LIFETIME, "issued_at": issued}

    def allows(self, authorization: str, kind: str, name: str, action: str) -> bool:
        """Say whether a request with that Authorization header may."""
        if action == "pull" and self.public and kind == "repository":
            return True
        scheme, _, text = authorization.partition(" ")
        if scheme.lower() == "basic":
            return self.knows(*basic(authorization))
        claims = self._claims(text.strip()) if scheme.lower() == "bearer" else None
        if claims is None:
            return False
        if kind == "registry":
            return bool(claims["known"]) or (self.public and name == "")
        return action in claims["access"].get(f"{kind}:{name}", ())

    def _sign(self, body: bytes) -> str:
        return hmac.new(self.key, body, hashlib.sha256).hexdigest()

    def _claims(self, token: str) -> Mapping[str, Any] | None:
        body, _, signature = token.partition(".")
        if not hmac.compare_digest(self._sign(body.encode()).encode(), signature.encode()):
            return None
        claims: Mapping[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return claims if claims["ends"] > time.time() else None


def basic(authorization: str) -> tuple[str, str]:
    """Return the user and password of a Basic Authorization header, two empty texts where it is none."""
    scheme, _, text = authorization.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(text.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return user, password
