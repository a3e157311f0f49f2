"""One HTTP request, and the two sorts of answer to it. Knows HTTP and ASGI, and nothing of Kubernetes' objects."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from fairlead.faces.kube.auditing_events import Trail
from fairlead.keep.errors import Refusal, bad_request, too_large
from fairlead.words import User

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

BODY_LIMIT = 3 * 1024 * 1024
"""Bytes. The limit of a Kubernetes API server that stores in etcd."""
NOBODY = User(name="system:anonymous", groups=("system:unauthenticated",))


class ClientGoneError(Exception):
    """The client closed the connection before its request was whole."""


@dataclass(slots=True)
class Call:
    """A request. `path` is as sent (escapes kept); header names are lower case; query values keep their order."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    receive: Receive
    user: User = NOBODY
    warnings: list[str] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    """What the request turned out to be (verb, resource): for the metrics."""
    trail: Trail | None = None
    """What the audit notes of it; None while nothing is audited."""

    @classmethod
    def of(cls, scope: Mapping[str, Any], receive: Receive) -> Call:
        """Return the request of an ASGI scope."""
        headers: dict[str, str] = {}
        for raw_name, raw_value in scope["headers"]:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        query: dict[str, list[str]] = {}
        text = scope["query_string"].decode("latin-1")
        for key, value in parse_qsl(text, keep_blank_values=True, errors="replace"):
            query.setdefault(key, []).append(value)
        raw_path = scope.get("raw_path") or scope["path"].encode()
        path = raw_path.decode("latin-1").partition("?")[0]
        return cls(scope.get("method", "GET"), path, query, headers, receive)

    def get(self, name: str, default: str = "") -> str:
        """Return a query parameter's first value."""
        return self.query.get(name, (default,))[0]

    def flag(self, name: str) -> bool:
        """Return a boolean query parameter as Kubernetes reads it: absent, 0 and false are no, all else is yes."""
        values = self.query.get(name)
        return values is not None and values[0].lower() not in {"0", "false"}

    def number(self, name: str) -> int | None:
        """Return an integer query parameter, None when it is absent or empty. Refuses what is not a number."""
        text = self.get(name)
        if not text:
            return None
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or not -(2**63) <= value < 2**63 or not text.lstrip("+-").isdigit():
            raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
        return value

    async def body(self, limit: int = BODY_LIMIT) -> bytes:
        """Read the whole body. Raises the 413 Refusal over the limit (in bytes)."""
        declared = self.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > limit:
            raise await self._refuse(limit)
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            part = message.get("body", b"")
            size += len(part)
            if size > limit:
                raise await self._refuse(limit)
            parts.append(part)
            if not message.get("more_body"):
                whole = b"".join(parts)
                if self.trail is not None:
                    self.trail.sent = whole
                return whole

    async def _refuse(self, limit: int) -> Refusal:
        """Read on for a while, so that a client that is still sending gets to see the answer."""
        for _ in range(4096):
            message = await self.receive()
            if message["type"] == "http.disconnect" or not message.get("more_body"):
                break
        return too_large(limit)


@dataclass(slots=True)
class Answer:
    """A whole answer."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Stream:
    """An answer that comes in pieces. The server closes `chunks` when the client has gone or the server stops."""

    chunks: AsyncIterator[bytes]
    content_type: str = "application/json"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


Reply: TypeAlias = Answer | Stream
