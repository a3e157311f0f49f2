"""Who is calling: bearer tokens to users, and the users that a caller may pretend to be.

Static tokens and service account tokens. A caller without credentials is known only at a few harmless paths. Tokens
are never logged, and compared by their digests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from urllib.parse import unquote

from fairlead.faces.kube.accounttokens import Issuer, Lookup
from fairlead.faces.kube.calls import NOBODY, Call
from fairlead.keep.authorizing import ACCOUNT_PREFIX, Question
from fairlead.keep.errors import Refusal, bad_request, unauthorized
from fairlead.words import User

PUBLIC = frozenset({"/healthz", "/livez", "/readyz", "/version", "/version/"})
AUTHENTICATED = "system:authenticated"
_EXTRA_PREFIX = "impersonate-extra-"


class Identities:
    """The tokens that are known, and the issuer of service accounts' tokens."""

    def __init__(
        self, tokens: Mapping[str, User], issuer: Issuer, lookup: Lookup, now: Callable[[], datetime]
    ) -> None:
        self._known = {_digest(token): _authenticated(user) for token, user in tokens.items()}
        self._issuer = issuer
        self._lookup = lookup
        self._now = now

    def of_token(self, token: str, audiences: tuple[str, ...] = ()) -> tuple[User, tuple[str, ...]] | None:
        """Return whose token it is, and the audiences it holds for; None for an unknown, expired or revoked one."""
        user = self._known.get(_digest(token))
        if user is not None:
            return user, audiences
        if audiences:
            return self._issuer.user(token, self._lookup, self._now(), audiences)
        return self._issuer.user(token, self._lookup, self._now())

    def of(self, call: Call, path: str) -> User:
        """Return who calls. Raises the 401 Refusal for wrong credentials, and for none where they are needed."""
        header = call.headers.get("authorization", "").strip()
        if not header and call.headers.get("sec-websocket-protocol"):
            header = _from_subprotocol(call.headers["sec-websocket-protocol"])
        if not header:
            if path in PUBLIC or path.startswith(("/livez/", "/readyz/", "/healthz/")):
                return NOBODY
            raise unauthorized()
        scheme, _, token = header.partition(" ")
        found = self.of_token(token.strip()) if scheme.lower() == "bearer" and token.strip() else None
        if found is None:
            raise unauthorized()
        return found[0]


def _from_subprotocol(protocols: str) -> str:
    """Browsers can send a token for a WebSocket only as one of its subprotocols."""
    import base64

    prefix = "base64url.bearer.authorization.k8s.io."
    for protocol in protocols.split(","):
        name = protocol.strip()
        if name.startswith(prefix):
            text = name.removeprefix(prefix)
            try:
                return "Bearer " + base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
            except ValueError:
                return "Bearer -"
    return ""


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _authenticated(user: User) -> User:
    if AUTHENTICATED in user.groups:
        return user
    return User(name=user.name, groups=(*user.groups, AUTHENTICATED), uid=user.uid, extra=user.extra)


def impersonated(call: Call) -> tuple[User, list[Question]] | None:
    """Return the user that the headers ask to be taken for, and what the caller must be allowed to for that.

    None without such headers. The questions carry the caller as their user.
    """
    headers = call.headers
    name = headers.get("impersonate-user", "")
    groups = [part.strip() for part in headers.get("impersonate-group", "").split(",") if part.strip()]
    uid = headers.get("impersonate-uid", "")
    extra: dict[str, tuple[str, ...]] = {}
    for header, value in headers.items():
        if header.startswith(_EXTRA_PREFIX):
            key = unquote(header.removeprefix(_EXTRA_PREFIX))
            extra[key] = tuple(part.strip() for part in value.split(","))
    if not name:
        if groups or uid or extra:
            raise _no_user()
        return None
    questions = []
    account = name.removeprefix(ACCOUNT_PREFIX).split(":") if name.startswith(ACCOUNT_PREFIX) else []
    caller = call.user
    if len(account) == 2:
        namespace, short = account
        questions.append(
            Question(
                user=caller, verb="impersonate", resource="serviceaccounts", namespace=namespace, name=short
            )
        )
        if not groups:
            groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
    else:
        questions.append(Question(user=caller, verb="impersonate", resource="users", name=name))
    asked = [part.strip() for part in headers.get("impersonate-group", "").split(",") if part.strip()]
    questions.extend(
        Question(user=caller, verb="impersonate", resource="groups", name=group) for group in asked
    )
    special = "authentication.k8s.io"
    if uid:
        questions.append(Question(user=caller, verb="impersonate", group=special, resource="uids", name=uid))
    questions.extend(
        Question(
            user=caller,
            verb="impersonate",
            group=special,
            resource="userextras",
            subresource=key,
            name=value,
        )
        for key, values in extra.items()
        for value in values
    )
    if name != "system:anonymous" and AUTHENTICATED not in groups:
        groups.append(AUTHENTICATED)
    elif name == "system:anonymous" and "system:unauthenticated" not in groups:
        groups.append("system:unauthenticated")
    user = User(name=name, groups=tuple(groups), uid=uid, extra=tuple(sorted(extra.items())))
    return user, questions


def _no_user() -> Refusal:
    return bad_request(
        "requested impersonation of groups, a uid or extra fields without impersonating a user"
    )
