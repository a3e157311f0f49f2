"""The HTTPS server whose certificate can be changed while it serves, without a connection refused.

Granian takes certificates at its start only. So another server is started on the same listening socket with the new certificate, and
once it is seen to answer, the old one accepts no more and ends when the requests under way are done.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from granian.server.embed import Server

from fairlead.drivers import serving
from fairlead.drivers.pki import write_private

log = logging.getLogger("fairlead.admission")

TRIES = 200
PAUSE = 0.02


class NotServing(Exception):
    """The server with a certificate does not answer; the text says why."""


class Rolling:
    """Serves an ASGI application on a listening socket. `use` starts it and changes its certificate; `stop` ends it."""

    def __init__(self, app: Any, listener: socket.socket) -> None:
        self._app, self._listener = app, listener
        self._folder = tempfile.TemporaryDirectory(prefix="fairlead-admission-")
        self._number = 0
        self._running: tuple[Server, asyncio.Task[None]] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    async def use(self, certificate: bytes, key: bytes) -> None:
        """Serve with this certificate (PEM, with its chain) and key from now on. Raises NotServing, and then nothing has changed."""
        self._number += 1
        folder = Path(self._folder.name)
        paths = folder / f"{self._number}.crt", folder / f"{self._number}.key"
        for path, content in zip(paths, (certificate, key), strict=True):
            write_private(path, content)
        try:
            server = serving.build(self._app, self._listener, *paths)
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
        before, self._running = self._running, (server, task)
        if before is not None:
            ending = asyncio.create_task(serving.stop(*before))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    async def ended(self) -> None:
        """Wait until the server ends by itself, which it should not."""
        while self._running is not None:
            current = self._running
            await asyncio.wait({current[1]}, timeout=1.0)
            if current is self._running and current[1].done():
                return

    async def stop(self) -> None:
        """Stop accepting, and give the requests under way a moment."""
        running, self._running = self._running, None
        if running is not None:
            await serving.stop(*running)
        await asyncio.gather(*self._ending, return_exceptions=True)
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
