"""A small HTTP/1.1 load generator over TLS: the same one for every server that is measured, so that only ratios count."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Call:
    """One request, encoded once."""

    data: bytes

    @classmethod
    def of(cls, method: str, path: str, body: bytes = b"", token: str = "", accept: str = "") -> Call:
        """Encode a request with a JSON body."""
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
        if body:
            lines.append("Content-Type: application/json")
        if accept:
            lines.append(f"Accept: {accept}")
        if token:
            lines.append(f"Authorization: Bearer {token}")
        return cls("\r\n".join([*lines, "", ""]).encode() + body)


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read one answer: its status and body."""
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    lower = head.lower()
    if b"transfer-encoding: chunked" in lower:
        parts = []
        while size := int(await reader.readline(), 16):
            parts.append(await reader.readexactly(size))
            await reader.readexactly(2)
        await reader.readexactly(2)
        return status, b"".join(parts)
    at = lower.find(b"content-length:")
    length = int(lower[at + 15 : lower.index(b"\r\n", at)]) if at >= 0 else 0
    return status, await reader.readexactly(length)


async def run(port: int, context: ssl.SSLContext, calls: Iterator[Call], clients: int) -> tuple[int, float]:
    """Send the calls over as many kept connections as there are clients. Return (calls, seconds); any refusal raises."""
    done = 0

    async def client() -> None:
        nonlocal done
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, limit=1 << 26)
        try:
            for call in calls:
                writer.write(call.data)
                status, body = await answer(reader)
                if status >= 300:
                    raise RuntimeError(f"HTTP {status}: {body[:300]!r}")
                done += 1
        finally:
            writer.close()

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    return done, time.perf_counter() - started


def measure(
    port: int, context: ssl.SSLContext, make: Callable[[int], Call], count: int, clients: int, start: int = 0
) -> float:
    """Return calls a second for `count` calls of `make(0..)`."""
    calls = (make(start + number) for number in range(count))
    done, seconds = asyncio.run(run(port, context, calls, clients))
    return done / seconds
