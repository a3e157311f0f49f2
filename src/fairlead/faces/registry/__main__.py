"""The registry process: `python -m fairlead.faces.registry --data-dir D --port N`.

Ready once D/run/registry.json is there. On loopback whoever asks may pull, and pushing wants the account in D/registry/config.json, which
is a Docker configuration. On any other address everything wants the account, over TLS with the platform's own certificate. A
fault at the start is one line on standard error and exit code 1.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import ipaddress
import json
import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from granian.constants import Interfaces
from granian.server.embed import Server

from fairlead.drivers import pki as keys
from fairlead.drivers import serving
from fairlead.drivers.blobs import BlobError, Blobs
from fairlead.drivers.serving import ListenError
from fairlead.faces.registry.app import App
from fairlead.faces.registry.tokens import USER, Guard

log = logging.getLogger("fairlead.registry")
_PORT: Final = 5000
_COLLECT_EVERY: Final = 600.0
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class StartError(Exception):
    """The registry cannot start; the text is for people."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the registry; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m fairlead.faces.registry", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True, help="where everything is kept")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: loopback)")
    parser.add_argument(
        "--port", type=int, help="0 is a free one (default: the last one, or 5000, or a free one)"
    )
    options = parser.parse_args(argv)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    try:
        asyncio.run(run(options.data_dir, options.host, options.port))
    except (StartError, ListenError, BlobError, keys.PkiError) as fault:
        print(f"fairlead: error: {fault}", file=sys.stderr)
        return 1
    except OSError as fault:
        place = f"{fault.filename}: " if fault.filename else ""
        print(f"fairlead: error: {place}{fault.strerror or fault}", file=sys.stderr)
        return 1
    return 0


async def run(data: Path, host: str, port: int | None) -> None:
    """Serve until SIGTERM or SIGINT. Raises what makes starting impossible."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError as fault:
        raise StartError(f"{host} is not an address to listen on") from fault
    root = data / "registry"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    listener = _listen(root / "port", host, port)
    with contextlib.closing(listener):
        (data / "run").mkdir(mode=0o700, parents=True, exist_ok=True)
        blobs = Blobs(root)
        with contextlib.closing(blobs):
            shown = "127.0.0.1" if address.is_unspecified else host
            url = f"[{shown}]" if ":" in shown else shown
            url = f"{url}:{listener.getsockname()[1]}"
            guard = Guard(_account(root, url), _key(root), public=address.is_loopback)
            pki = None if address.is_loopback else keys.open_pki(data / "pki")
            app = App(blobs, guard, _LOOPBACK if address.is_loopback else None)
            server = serving.build(
                app,
                listener,
                pki.certificate if pki else None,
                pki.key if pki else None,
                interface=Interfaces.RSGI,
            )
            await _serve(server, blobs, data / "run" / "registry.json", url)


def _listen(memory: Path, host: str, port: int | None) -> socket.socket:
    """Return the socket to serve on. Images are named by the address, so the port stays the same from start to start."""
    if port is not None:
        return serving.listen(host, port)
    try:
        wanted = int(memory.read_text())
    except (OSError, ValueError):
        wanted = _PORT
    try:
        listener = serving.listen(host, wanted)
    except ListenError:
        listener = serving.listen(host, 0)
    keys.write_private(memory, str(listener.getsockname()[1]).encode())
    return listener


async def _serve(server: Server, blobs: Blobs, record: Path, url: str) -> None:
    """Run the server and remove garbage until a signal comes, or until one of them ends by itself."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopped.set)
    serve = asyncio.create_task(server.serve(), name="server")
    stop = asyncio.create_task(stopped.wait(), name="stop")
    collect = asyncio.create_task(_collect(blobs), name="garbage")
    try:
        keys.write_private(record, json.dumps({"url": url, "pid": os.getpid()}).encode())
        log.info("serving %s", url)
        await asyncio.wait({serve, stop, collect}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(record)  # noqa: PTH108  a moment, at the end
        collect.cancel()
        stop.cancel()
        await serving.stop(server, serve)
        results = await asyncio.gather(collect, stop, return_exceptions=True)
    if not stopped.is_set():
        raise StartError(f"the registry ended by itself: {results[0]}")


async def _collect(blobs: Blobs) -> None:
    while True:
        count, size = blobs.collect(time.time())
        if count:
            log.info("removed %d blobs that nothing refers to, %d bytes", count, size)
        await asyncio.sleep(_COLLECT_EVERY)


def _account(root: Path, url: str) -> str:
    """Return the account's password, made at the first start, and write how clients find it."""
    file = root / "password"
    try:
        password = file.read_text().strip()
    except FileNotFoundError:
        password = ""
    if not password:
        password = secrets.token_urlsafe(32)
        keys.write_private(file, password.encode())
    auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
    names = {url, url.replace("127.0.0.1", "localhost")}
    content = {"auths": {name: {"auth": auth} for name in sorted(names)}}
    keys.write_private(root / "config.json", json.dumps(content, indent=2).encode())
    return password


def _key(root: Path) -> bytes:
    """Return the key that signs tokens, made at the first start."""
    file = root / "key"
    try:
        found = file.read_bytes()
    except FileNotFoundError:
        found = b""
    if len(found) != 32:
        found = secrets.token_bytes(32)
        keys.write_private(file, found)
    return found


if __name__ == "__main__":
    sys.exit(main())
