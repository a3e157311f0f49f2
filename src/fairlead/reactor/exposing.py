"""What a process counts of itself, as Prometheus text, and the small server that hands it out. Counts; decides nothing.

The server speaks just enough HTTP for a scraper and listens where it is told to, on loopback by default.
"""

from __future__ import annotations

import asyncio
import contextlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

_REQUEST: Final = 8192
_SECONDS: Final = 5.0


class Histogram:
    """How long something took, in buckets: their upper limits in seconds."""

    def __init__(self, buckets: Sequence[float]) -> None:
        self._buckets = tuple(buckets)
        self._counts = [0] * (len(buckets) + 1)
        self._sum = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(self._buckets, seconds)] += 1
        self._sum += seconds

    def lines(self, name: str, text: str) -> Iterable[str]:
        """Return it in the Prometheus text format."""
        yield from head(name, "histogram", text)
        total = 0
        for limit, count in zip((*map(str, self._buckets), "+Inf"), self._counts, strict=True):
            total += count
            yield f'{name}_bucket{{le="{limit}"}} {total}'
        yield f"{name}_sum {self._sum:.6f}"
        yield f"{name}_count {total}"


def head(name: str, kind: str, text: str) -> list[str]:
    """Return the lines that come before the values of a metric."""
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def labels(pairs: Mapping[str, str]) -> str:
    """Return labels as they stand behind a metric's name."""
    return "{" + ",".join(f'{key}="{_escaped(value)}"' for key, value in pairs.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


async def serve(
    text: Callable[[], str],
    port: int,
    host: str = "127.0.0.1",
    *,
    unready: Callable[[], str] = lambda: "",
) -> asyncio.Server:
    """Serve /metrics, /healthz and /readyz; return the server, which is closed by `close`. Raises OSError where the port is taken.

    `unready` says why /readyz is to answer 503, "" for not.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_SECONDS):
                first = await reader.readuntil(b"\r\n\r\n")
                words = first.split(b" ", 2)
                path = (
                    words[1].partition(b"?")[0] if len(words) > 1 and words[0] in {b"GET", b"HEAD"} else b""
                )
                code, body = _page(text, unready, path)
                content = body.encode()
                writer.write(
                    f"HTTP/1.1 {code}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
                    f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n".encode()
                )
                writer.write(content if words[0] == b"GET" else b"")
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever asked is not there any more, or did not ask in HTTP
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    return await asyncio.start_server(answer, host, port, limit=_REQUEST)


def _page(text: Callable[[], str], unready: Callable[[], str], path: bytes) -> tuple[str, str]:
    if path == b"/metrics":
        return "200 OK", text()
    if path == b"/readyz" and (why := unready()):
        return "503 Service Unavailable", f"{why}\n"
    if path in {b"/healthz", b"/readyz", b"/livez"}:
        return "200 OK", "ok\n"
    return ("404 Not Found", "there is /metrics\n") if path else ("405 Method Not Allowed", "only GET\n")
