"""The two transports: standard input and output, and streamable HTTP behind a token.

HTTP listens on loopback unless told otherwise, and elsewhere only with TLS. Every request needs the token, so that another user of the
machine, or a page in a browser, cannot ask.
"""

from __future__ import annotations

import os
import secrets
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import ASGIApp, Receive, Scope, Send

PATH = "/mcp"
_BODY = 8 << 20
_LONGEST = 4096
_CONNECTIONS = 512
"""More connections at a time are answered with 503: they are files of this process."""
_IDLE, _GRACE = 15, 5
"""Seconds that a connection may be idle, and that what goes on is waited for at the end."""


def token(path: Path, warn: Callable[[str], None] = lambda _: None) -> str:
    """Return the token in a file, which is made with a fresh one (0600) if it is not there. Raises OSError, ValueError.

    One that others could have put there is no secret of the owner's; one that others can read is warned of.
    """
    try:
        held = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        found = secrets.token_urlsafe(32)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w"
        ) as file:
            file.write(found + "\n")
        return found
    with os.fdopen(held, "rb") as file_there:
        seen = os.fstat(held)
        if not stat.S_ISREG(seen.st_mode):
            raise ValueError(f"{path} is no file")
        if seen.st_uid not in {os.geteuid(), 0} or seen.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ValueError(f"{path} can be written by others: what it holds is no secret of yours")
        if seen.st_mode & (stat.S_IRGRP | stat.S_IROTH):
            warn(f"{path} can be read by others: chmod 600 {path}")
        found = file_there.read(_LONGEST).decode(errors="replace").strip()
    if len(found) < 16 or not found.isascii() or not found.isprintable():
        raise ValueError(f"{path} holds no token of at least 16 characters")
    return found


class _Guarded:
    """An application that answers nobody without the token."""

    def __init__(self, app: ASGIApp, wanted: str) -> None:
        self._app = app
        self._wanted = f"Bearer {wanted}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
            if not secrets.compare_digest(given, self._wanted):
                headers = [(b"www-authenticate", b"Bearer"), (b"content-type", b"text/plain")]
                await send({"type": "http.response.start", "status": 401, "headers": headers})
                await send({"type": "http.response.body", "body": b"a bearer token is needed\n"})
                return
        await self._app(scope, receive, send)


async def over_http(
    server: MCPServer[Any],
    listener: socket.socket,
    wanted: str,
    *,
    names: tuple[str, ...] = (),
    certificate: Path | None = None,
    key: Path | None = None,
) -> None:
    """Serve until a signal ends it. `names` are further host names that clients may use beside the address that is listened on."""
    host, port = listener.getsockname()[:2]
    hosts = [f"{name}:{port}" for name in (host, "localhost", "127.0.0.1", "[::1]", *names)]
    scheme = "https" if certificate else "http"
    security = TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=hosts,
        allowed_origins=[f"{scheme}://{one}" for one in hosts],
    )
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        json_response=True,
        stateless_http=True,
        max_request_body_size=_BODY,
        transport_security=security,
    )
    settings = uvicorn.Config(
        _Guarded(app, wanted),
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=_GRACE,
        ssl_certfile=str(certificate) if certificate else None,
        ssl_keyfile=str(key) if key else None,
    )
    await uvicorn.Server(settings).serve(sockets=[listener])
