"""The listening socket and the HTTP server on it: TLS, HTTP/1.1, HTTP/2 and WebSockets on one port.

Granian's embedded server does the protocols. The socket is bound here, without SO_REUSEPORT, because Granian's own
would let a second server join the port, and because the number of a free port must be known before serving begins.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from pathlib import Path
from typing import Any

from granian._granian import SocketHolder  # not in the typed API: what a Server listens on
from granian.constants import Interfaces, SSLProtocols
from granian.server.embed import Server

BACKLOG = 1024
CONNECTIONS = 16_384
STOP_SECONDS = 3
"""How long requests that are under way may take when the server stops."""


class ListenError(Exception):
    """The address cannot be listened on; the text says why."""


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 is a free one. Raises ListenError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as fault:
        listener.close()
        if fault.errno == errno.EADDRINUSE:
            raise ListenError(f"port {port} on {host} is in use by another program") from fault
        if fault.errno == errno.EACCES:
            raise ListenError(f"port {port} on {host} is reserved: choose one above 1023") from fault
        raise ListenError(f"cannot listen on {host} port {port}: {fault.strerror or fault}") from fault
    except OverflowError as fault:
        listener.close()
        raise ListenError(f"{port} is not a port: choose one from 0 to 65535") from fault
    return listener


class _Bound(Server):
    """Granian on a socket that is bound already."""

    def __init__(self, target: Any, listener: socket.socket, **settings: Any) -> None:
        super().__init__(target, **settings)
        self._listener = listener

    def _init_shared_socket(self) -> None:
        # The holder closes its descriptor at the end. Granian's stubs know neither the constructor nor that the
        # attribute is ever set.
        self._shd = SocketHolder(os.dup(self._listener.fileno()), False, BACKLOG)  # type: ignore[call-arg, assignment]


def build(
    app: Any,
    listener: socket.socket,
    certificate: Path | None,
    key: Path | None,
    interface: Interfaces = Interfaces.ASGINL,
) -> Server:
    """Return a server for an application, which `serve` runs until `stop`: with a certificate and its key, or without TLS."""
    server = _Bound(
        app,
        listener,
        interface=interface,
        ssl_cert=certificate,
        ssl_key=key,
        ssl_protocol_min=SSLProtocols.tls12,
        backlog=BACKLOG,
        backpressure=CONNECTIONS,
        log_enabled=False,
    )
    logging.getLogger("_granian").handlers.clear()
    return server


async def stop(server: Server, serving: asyncio.Task[None]) -> None:
    """Stop accepting, give requests a moment to end, and give up on the rest."""
    server.stop()  # type: ignore[no-untyped-call]
    await asyncio.wait({serving}, timeout=STOP_SECONDS)
    if not serving.done():
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
