"""Registries to test against: one whose every answer the test writes, and the platform's own in a process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import pytest

from fairlead.drivers.oci.clients import Client
from fairlead.drivers.oci.credentials import Credentials, Login
from fairlead.drivers.oci.wire import Manners

T = TypeVar("T")


@dataclass
class Asked:
    """A request that a scripted registry got."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query)


@dataclass
class Said:
    """What it answers. With `cut` the connection ends after the body, whatever was announced; `stall` waits before it."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    stall: float = 0.0
    endless: bool = False


Answers = Callable[[Asked], Said | Awaitable[Said]]


class Scripted:
    """A registry on loopback, each of whose answers is the test's; `asked` keeps all that it was asked."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self.asked: list[Asked] = []
        self.host = ""
        self._tasks: set[asyncio.Task[None]] = set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while await self._one(reader, writer):
                pass
        writer.close()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await writer.wait_closed()
        self._tasks.discard(task)

    async def close(self) -> None:
        """End what is still being answered."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        line = (await reader.readline()).decode().split()
        if len(line) != 3:
            return False
        headers: dict[str, str] = {}
        while head := (await reader.readline()).decode().strip():
            key, _, value = head.partition(":")
            headers[key.lower()] = value.strip()
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        asked = Asked(line[0], line[1], headers, body)
        if asked.path == "/v2/" and "authorization" not in headers and not self.asked:
            found: Said | Awaitable[Said] = Said()  # the question whether it speaks TLS
        else:
            self.asked.append(asked)
            found = self._answers(asked)
        said = found if isinstance(found, Said) else await found
        if said.stall:
            await asyncio.sleep(said.stall)
        lines = [f"HTTP/1.1 {said.status} X"]
        lines += [f"{key}: {value}" for key, value in said.headers.items()]
        if "Content-Length" not in said.headers and not said.endless:
            lines.append(f"Content-Length: {len(said.body)}")
        writer.write("\r\n".join([*lines, "", ""]).encode())
        if asked.method != "HEAD":
            writer.write(said.body)
        await writer.drain()
        while said.endless:
            writer.write(bytes(1 << 16))
            await writer.drain()
        return not said.cut


@contextlib.asynccontextmanager
async def scripted(answers: Answers, tls: ssl.SSLContext | None = None) -> AsyncIterator[Scripted]:
    """Serve a scripted registry, by TLS where a context is given."""
    registry = Scripted(answers)
    server = await asyncio.start_server(registry._serve, "127.0.0.1", 0, ssl=tls)
    registry.host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield registry
    finally:
        server.close()
        await registry.close()


async def _at_once(_: float) -> None:
    await asyncio.sleep(0)


def client(*, login: Login | None = None, host: str = "", chunk: int = 0, **manners: Any) -> Client:
    """Return a client that waits for nothing and knows one login at most."""
    credentials = Credentials([], fixed={host: login} if login else {})
    return Client(credentials, Manners(**{"pause": _at_once, "read_seconds": 5.0, **manners}), chunk=chunk)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end, within a minute."""

    async def limited() -> T:
        async with asyncio.timeout(60):
            return await work

    return asyncio.run(limited())


@pytest.fixture(scope="session")
def platform_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The platform's own registry, in a process: its host with port, and the file with its account."""
    data = tmp_path_factory.mktemp("registry")
    (data / "run").mkdir()
    log = data / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "fairlead.faces.registry", "--data-dir", str(data), "--port", "0"],
            stdout=file,
            stderr=file,
        )
    try:
        record, deadline = data / "run" / "registry.json", time.monotonic() + 60
        while not record.exists():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield json.loads(record.read_text())["url"], data / "registry" / "config.json"
    finally:
        process.terminate()
        process.wait(20)
