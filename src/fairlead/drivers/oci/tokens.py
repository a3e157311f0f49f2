"""Ways into a registry: what to show it after it said 401, and the tokens that it was given for.

Must never show a login to a host other than the one that it is for, or the one that this one names as its issuer of tokens.
Source: Distribution's token authentication specification, and its OAuth 2 variant for identity tokens.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from fairlead.drivers.oci.credentials import Login
from fairlead.drivers.oci.errors import Denied, RegistryError
from fairlead.drivers.oci.headers import Challenge
from fairlead.drivers.oci.references import is_loopback

CLIENT: Final = "fairlead"
_SHORTEST: Final = 60.0
_LONGEST: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What an issuer of tokens answered: a status and the body's first bytes."""

    status: int
    body: bytes


Ask = Callable[[str, str, Mapping[str, str], bytes | None], Awaitable[Answer]]
"""Sends method, address, headers and body to an issuer of tokens."""


def scope_of(repository: str, actions: str) -> str:
    """Return the scope of some actions (`pull`, `pull,push`, `delete`) on a repository."""
    return f"repository:{repository}:{actions}"


def merged_scopes(scopes: Iterable[str]) -> str:
    """Return scopes as one text: those of the same thing joined, sorted, so that equal rights are equal texts."""
    found: dict[str, set[str]] = {}
    for scope in " ".join(scopes).split():
        name, colon, actions = scope.rpartition(":")
        if colon and name:
            found.setdefault(name, set()).update(part for part in actions.split(",") if part)
    return " ".join(f"{name}:{','.join(sorted(found[name]))}" for name in sorted(found))


@dataclass
class Keyring:
    """What is known of how to get into one host: its scheme, and tokens by scope with the moment when they end."""

    scheme: str = ""
    tokens: dict[str, tuple[str, float]] = field(default_factory=dict)

    def header(self, scope: str, login: Login | None) -> str:
        """Return the Authorization header to begin with, "" for none."""
        if self.scheme == "basic":
            return login.basic if login else ""
        token, until = self.tokens.get(scope, ("", 0.0))
        return f"Bearer {token}" if token and time.monotonic() < until else ""


async def enter(
    ring: Keyring,
    offered: list[Challenge],
    scope: str,
    login: Login | None,
    host: str,
    secure: bool,
    ask: Ask,
) -> str:
    """Return the Authorization header that answers a challenge; remember it. Raises Denied, RegistryError.

    `secure` says that the registry itself is talked to by TLS; its issuer then has to be, too.
    """
    bearer = next((one for one in offered if one.scheme == "bearer" and one.parameters.get("realm")), None)
    if bearer is not None:
        if login is not None and login.registry_token:
            ring.tokens[scope] = (login.registry_token, time.monotonic() + _LONGEST)
            return f"Bearer {login.registry_token}"
        token, seconds = await _token(bearer, scope, login, host, secure, ask)
        ring.scheme = "bearer"
        ring.tokens[scope] = (token, time.monotonic() + seconds)
        return f"Bearer {token}"
    if any(one.scheme == "basic" for one in offered):
        ring.scheme = "basic"
        header = login.basic if login else ""
        if not header:
            raise Denied(
                f"{host}: the registry wants to know who is asking; log in: fairlead registry login {host}"
            )
        return header
    named = ", ".join(one.scheme for one in offered[:5]) or "nothing"
    raise Denied(f"{host}: the registry says 401 and offers {named}; Bearer and Basic are understood")


async def _token(
    challenge: Challenge, scope: str, login: Login | None, host: str, secure: bool, ask: Ask
) -> tuple[str, float]:
    """Return a token and its seconds to live."""
    realm = challenge.parameters["realm"]
    parts = urlsplit(realm)
    issuer = parts.hostname or ""
    if parts.scheme not in {"http", "https"} or not issuer or parts.username is not None:
        raise RegistryError(
            f"{host}: the registry names {realm[:200]!r} as its issuer of tokens, which is no address"
        )
    if parts.scheme == "http" and (secure or not (is_loopback(issuer) or issuer == _bare(host))):
        raise RegistryError(
            f"{host}: the registry names {realm[:200]!r} as its issuer of tokens, which is not safe (https is)"
        )
    wanted = merged_scopes([scope, challenge.parameters.get("scope", "")])
    fields = {"service": challenge.parameters.get("service", ""), "scope": wanted}
    fields = {key: value for key, value in fields.items() if value}
    if login is not None and login.identity_token:
        form = {
            "grant_type": "refresh_token",
            "refresh_token": login.identity_token,
            "client_id": CLIENT,
            **fields,
        }
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = await ask("POST", realm, kind, urlencode(form).encode())
        return _read(answer, host, login)
    pairs = [(key, value) for key, value in fields.items() if key != "scope"]
    pairs += [("scope", one) for one in wanted.split()]
    headers: dict[str, str] = {}
    if login is not None and login.basic:
        headers["Authorization"] = login.basic
        pairs.append(("account", login.username))
    query = "&".join(part for part in (parts.query, urlencode(pairs)) if part)
    return _read(
        await ask("GET", parts._replace(query=query, fragment="").geturl(), headers, None), host, login
    )


def _bare(host: str) -> str:
    return urlsplit(f"//{host}").hostname or ""


def _read(answer: Answer, host: str, login: Login | None) -> tuple[str, float]:
    who = f"the login of {login.username}" if login and login.username else "the login" if login else "nobody"
    if answer.status in {400, 401, 403}:
        hint = "log in again" if login else "log in"
        raise Denied(
            f"{host}: its issuer of tokens gives none to {who} ({answer.status}); {hint}: fairlead registry login {host}"
        )
    if answer.status != 200:
        raise RegistryError(f"{host}: its issuer of tokens answers {answer.status}")
    try:
        document: Any = json.loads(answer.body)
    except (ValueError, RecursionError):
        document = None
    found = (document.get("token") or document.get("access_token")) if isinstance(document, dict) else None
    if not isinstance(found, str) or not found or not found.isascii() or not found.isprintable():
        raise RegistryError(f"{host}: its issuer of tokens answers without a token")
    lives = document.get("expires_in")
    seconds = float(lives) if isinstance(lives, int | float) and not isinstance(lives, bool) else _SHORTEST
    seconds = min(max(seconds, 1.0), _LONGEST)
    return found, seconds - min(10.0, seconds / 10)
