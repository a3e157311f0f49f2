"""The HTTPS server whose certificate can be changed while it serves, without a request refused.

Granian takes certificates at its start only. So another server is started on the same listening socket with the new certificate. Once
it is seen to answer, the old one is kept from accepting more, asks its clients to close their connections, and ends after a while.
It cannot be told to stop accepting without losing what it has just accepted: its listening socket is taken from under it instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import ssl
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from granian.server.embed import Server

from fairlead.drivers import serving
from fairlead.drivers.pki import write_private
from fairlead.faces.kube.calls import Message, Receive, Send

TRIES = 200
PAUSE = 0.02
LINGER = 100.0
"""Seconds that an old server lives on: longer than a client of Go's keeps a connection that it does not use."""
_MOST_FILES = 65_536


class NotServing(Exception):
    """The server with a certificate does not answer; the text says why."""


class _Leaving:
    """An application that can ask its clients to close their connections: by HTTP/1.1's header; HTTP/2 has its own way."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.leaving = False

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start" and self.leaving:
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        plain = str(scope.get("http_version", "")).startswith("1")
        await self._app(scope, receive, closing if plain else send)


@dataclass(slots=True)
class _Running:
    """One server, and by which descriptors it listens."""

    server: Server
    task: asyncio.Task[None]
    app: _Leaving
    descriptors: frozenset[int]


class Rolling:
    """Serves an ASGI application on a listening socket. `use` starts it and changes its certificate; `stop` ends it."""

    def __init__(self, app: Any, listener: socket.socket, *, linger: float = LINGER) -> None:
        self._app, self._listener, self._linger = app, listener, linger
        self._folder = tempfile.TemporaryDirectory(prefix="fairlead-admission-")
        self._number = 0
        self._running: _Running | None = None
        self._old: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()

    async def use(self, certificate: bytes, key: bytes) -> None:
        """Serve with this certificate (PEM, with its chain) and key from now on. Raises NotServing, and then nothing has changed."""
        self._number += 1
        folder = Path(self._folder.name)
        paths = folder / f"{self._number}.crt", folder / f"{self._number}.key"
        for path, content in zip(paths, (certificate, key), strict=True):
            write_private(path, content)
        known = _listening(self._listener)
        app = _Leaving(self._app)
        try:
            server = serving.build(app, self._listener, *paths)
        except (ssl.SSLError, OSError, ValueError) as error:
            self._remove(paths)
            raise NotServing(f"the certificate and its key cannot be used: {error}") from error
        task = asyncio.create_task(server.serve(), name=f"server {self._number}")
        try:
            await self._seen(certificate, task)
        except NotServing:
            await serving.stop(server, task)
            raise
        finally:
            self._remove(paths)  # granian has read them
        before, self._running = (
            self._running,
            _Running(server, task, app, frozenset(_listening(self._listener) - known)),
        )
        if before is not None:
            old = asyncio.create_task(self._retire(before), name=f"old server {self._number - 1}")
            self._old.add(old)
            old.add_done_callback(self._old.discard)

    async def _retire(self, before: _Running) -> None:
        """Have a server accept no more, see its clients off, and end it."""
        with (
            socket.socket() as nobody
        ):  # a socket that nobody connects to, in place of the one that it listens on
            nobody.bind(("127.0.0.1", 0))
            nobody.listen(1)
            nobody.setblocking(False)
            for descriptor in before.descriptors:
                os.dup2(nobody.fileno(), descriptor, inheritable=False)
        before.app.leaving = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._linger):
                await self._stopping.wait()
        await serving.stop(before.server, before.task)

    async def ended(self) -> None:
        """Wait until the server ends by itself, which it should not."""
        while self._running is not None:
            current = self._running
            await asyncio.wait({current.task}, timeout=1.0)
            if current is self._running and current.task.done():
                return

    async def stop(self) -> None:
        """Stop accepting, and give the requests under way a moment."""
        self._stopping.set()
        running, self._running = self._running, None
        if running is not None:
            await serving.stop(running.server, running.task)
        await asyncio.gather(*self._old, return_exceptions=True)
        self._folder.cleanup()

    @staticmethod
    def _remove(paths: Iterable[Path]) -> None:
        for path in paths:
            path.unlink(missing_ok=True)

    async def _seen(self, certificate: bytes, task: asyncio.Task[None]) -> None:
        """Wait until the certificate is served: with an older server beside it, about every other connection is its own."""
        host, port = self._listener.getsockname()[:2]
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  it is compared, not listened on
        wanted = ssl.PEM_cert_to_DER_cert(_first(certificate))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        for _ in range(TRIES):
            if task.done():
                break
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(2.0):
                    if await _served(host, port, context) == wanted:
                        return
            await asyncio.sleep(PAUSE)
        raise NotServing("the HTTPS server does not answer with its certificate")


async def _served(host: str, port: int, context: ssl.SSLContext) -> bytes | None:
    """Return the certificate (DER) that is served."""
    _, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        held = writer.get_extra_info("ssl_object")
        found: bytes | None = held.getpeercert(binary_form=True)
        return found
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _first(certificates: bytes) -> str:
    """Return the first certificate of a PEM text."""
    end = "-----END CERTIFICATE-----"
    head, found, _ = certificates.decode().partition(end)
    start = head.find("-----BEGIN CERTIFICATE-----")
    if not found or start < 0:
        raise NotServing("there is no certificate in the file")
    return head[start:] + end + "\n"


def _listening(listener: socket.socket) -> set[int]:
    """Return the descriptors of this process that are the same socket as a listening one."""
    own = os.fstat(listener.fileno())
    found = set()
    for descriptor in range(3, min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], _MOST_FILES)):
        with contextlib.suppress(OSError):
            one = os.fstat(descriptor)
            if (one.st_dev, one.st_ino) == (own.st_dev, own.st_ino):
                found.add(descriptor)
    found.discard(listener.fileno())
    return found
