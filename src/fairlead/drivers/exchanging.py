"""A client for a cluster whose requests are many and plain: HTTP/1.1 over kept connections, one request and its whole answer at a time.

A general client costs two milliseconds of computing for each request, most of an apply of a thousand objects; this costs a fifth. What is
not plain goes through the general one as before: watches, tokens that are renewed from files, paths that need encoding, servers named with
credentials. Must never send anything twice, and never use a connection again after anything unexpected on it.
Source: RFC 9112 (messages, chunks, keeping connections).
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import ssl
import time
import zlib
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import httpx

from fairlead.drivers.cluster import Access, AsyncCluster, Unreachable, refusal

CONNECT_SECONDS: Final = 10.0
IDLE_SECONDS: Final = 5.0
"""How long a connection is kept that nobody uses; servers keep theirs longer."""
LARGEST_HEAD: Final = 256 << 10
"""Bytes of an answer's status and headers, or of the line before a chunk."""

_TOLD: Final = ("content-type", "retry-after", "warning")
"""Headers of an answer that are told."""
_PLAIN: Final = re.compile(r"(?:/[A-Za-z0-9_~!$&'()*+,;=:@%-][A-Za-z0-9._~!$&'()*+,;=:@%-]*)+")
_STATUS: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n]*)?")


class _Broken(Exception):
    """An exchange that did not come to its end; the text says why."""


class _Line(asyncio.Protocol):
    """One connection: what has come and was not read yet, and whether more may come."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.idle_since = 0.0
        self.busy = True
        self.ended = False
        self._why: Exception | None = None
        self._come = bytearray()
        self._waiter: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if not self.busy:  # nobody has asked for this
            self.drop()
            return
        self._come += data
        self._wake()

    def eof_received(self) -> None:
        """See asyncio.Protocol."""
        self.ended = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self.ended, self._why = True, exc
        self._wake()

    def drop(self) -> None:
        """End the connection at once."""
        self.ended = True
        self.transport.abort()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _more(self, seconds: float) -> None:
        """Wait for more bytes. Raises _Broken where none can come, and TimeoutError."""
        if self.ended:
            raise _Broken(str(self._why or "") or "Server disconnected without sending a response.")
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                await self._waiter
        finally:
            self._waiter = None

    async def until(self, mark: bytes, seconds: float) -> bytes:
        """Return the bytes before a mark, and take both away."""
        seen = 0
        while (at := self._come.find(mark, seen)) < 0:
            seen = max(len(self._come) - len(mark) + 1, 0)
            if len(self._come) > LARGEST_HEAD:
                raise _Broken("the answer's head is too large")
            await self._more(seconds)
        found = bytes(self._come[:at])
        del self._come[: at + len(mark)]
        return found

    async def exactly(self, size: int, seconds: float) -> bytes:
        """Return so many bytes, and take them away."""
        while len(self._come) < size:
            await self._more(seconds)
        found = bytes(self._come[:size])
        del self._come[:size]
        return found

    async def rest(self, seconds: float) -> bytes:
        """Return all bytes until the server closes."""
        while not self.ended:
            await self._more(seconds)
        if self._why is not None:
            raise _Broken(str(self._why))
        return bytes(self._come)

    @property
    def clean(self) -> bool:
        """Whether nothing is left that the next answer could be mistaken for."""
        return not self.ended and not self._come


async def _answer(line: _Line, seconds: float) -> tuple[int, dict[str, str], bytes, bool]:
    """Read an answer: its status, its headers by their lowercase names, its body, and whether the connection stays."""
    while True:
        first, *rest = (await line.until(b"\r\n\r\n", seconds)).split(b"\r\n")
        found = _STATUS.fullmatch(first)
        if found is None:
            raise _Broken("the answer is not HTTP")
        status = int(found[2])
        if status == 101:
            raise _Broken("the server wants another protocol")
        if status >= 200:
            break
    headers: dict[str, str] = {}
    for one in rest:
        name, colon, value = one.partition(b":")
        key, text = name.decode("ascii", "replace").lower(), value.strip().decode("latin-1")
        if not colon or not key or key != key.strip():
            raise _Broken("the answer has a header that is none")
        if key == "content-length" and headers.get(key, text) != text:
            raise _Broken("the answer has two lengths")
        headers[key] = text
    options = {one.strip().lower() for one in headers.get("connection", "").split(",")}
    stays = "close" not in options and (found[1] == b"1" or "keep-alive" in options)
    coding, size = headers.get("transfer-encoding", "").strip().lower(), headers.get("content-length")
    if status in {204, 304}:
        body = b""
    elif coding:
        if coding != "chunked" or size is not None:
            raise _Broken("the answer's length cannot be told")
        body = await _chunks(line, seconds)
    elif size is not None:
        if not (size.isascii() and size.isdigit()):
            raise _Broken("the answer's length is no number")
        body = await line.exactly(int(size), seconds)
    else:
        body, stays = await line.rest(seconds), False
    return status, headers, _decoded(body, headers.get("content-encoding", "")), stays


async def _chunks(line: _Line, seconds: float) -> bytes:
    parts: list[bytes] = []
    while True:
        head = (await line.until(b"\r\n", seconds)).partition(b";")[0].strip()
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,12}", head):
            raise _Broken("the answer has a chunk without a length")
        size = int(head, 16)
        if size == 0:
            while await line.until(b"\r\n", seconds):
                pass  # trailers say nothing that is wanted
            return b"".join(parts)
        part = await line.exactly(size + 2, seconds)
        if part[-2:] != b"\r\n":
            raise _Broken("the answer has a chunk without an end")
        parts.append(part[:-2])


def _decoded(body: bytes, coding: str) -> bytes:
    if coding.lower() in {"", "identity"} or not body:
        return body
    if coding.lower() != "gzip":
        raise _Broken(f"the answer is coded as {coding}, which was not asked for")
    unpacking = zlib.decompressobj(31)
    try:
        plain = unpacking.decompress(body)
    except zlib.error as error:
        raise _Broken(f"the answer cannot be unpacked: {error}") from error
    if not unpacking.eof:
        raise _Broken("the answer ends before its end")
    return plain


class _Answer(httpx.Response):
    """An answer that can say what was asked, without having made a whole request of it."""

    asked: tuple[str, str]

    @property
    def request(self) -> httpx.Request:
        """What was asked."""
        return httpx.Request(*self.asked)

    @request.setter
    def request(self, value: httpx.Request) -> None:
        self.asked = value.method, str(value.url)


class DirectCluster(AsyncCluster):
    """A client whose plain requests go directly over connections of its own; any other goes as AsyncCluster sends it."""

    def __init__(self, access: Access, *, timeout: float = 30.0) -> None:
        super().__init__(access, timeout=timeout)
        where = urlsplit(access.server)
        self._host, self._port = where.hostname or "", where.port or (443 if where.scheme == "https" else 80)
        self._below = where.path.rstrip("/")
        self._direct = bool(
            where.scheme in {"https", "http"}
            and self._host.isascii()
            and self._host
            and not (where.username or where.query or where.fragment or access.token_file)
            and (not self._below or _PLAIN.fullmatch(self._below))
        )
        self._tls = access.ssl_context() if self._direct and where.scheme == "https" else None
        if self._tls is not None:
            self._tls.set_alpn_protocols(["http/1.1"])
        given = {"Host": where.netloc, **access.headers(), "Accept-Encoding": "gzip"}
        self._usual = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        self._direct = self._direct and self._usual.isascii() and self._usual.count("\n") == len(given)
        self._seconds = timeout
        self._idle: list[_Line] = []

    async def close(self) -> None:
        """Close every connection."""
        while self._idle:
            self._idle.pop().drop()
        await super().close()

    async def raw(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> httpx.Response:
        """Send one request and return its answer, whatever the answer is worth below 400."""
        if not self._direct or method == "HEAD" or not _PLAIN.fullmatch(path):
            return await super().raw(method, path, params=params, body=body, content_type=content_type)
        content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {key: value for key, value in (params or {}).items() if value not in (None, "")}
        asked = urlencode(given, quote_via=quote)
        target = f"{self._below}{path}?{asked}" if asked else f"{self._below}{path}"
        head = f"{method} {target} HTTP/1.1\r\n{self._usual}"
        if content is not None:
            head += f"Content-Type: {content_type}\r\n"
        if content is not None or method != "GET":
            head += f"Content-Length: {len(content or b'')}\r\n"
        try:
            status, headers, answer = await self._exchange(head.encode("ascii") + b"\r\n" + (content or b""))
        except (_Broken, OSError) as error:
            said = "ReadTimeout" if isinstance(error, TimeoutError) else str(error).strip()
            raise Unreachable(f"{self.access.server}: {said or type(error).__name__}") from error
        kept: dict[str, str] = {name: headers[name] for name in _TOLD if name in headers}
        response = _Answer(status, headers=kept, content=answer)
        response.asked = method, f"{self.access.server}{path}"
        if status >= 400:
            raise refusal(response)
        return response

    async def _exchange(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        line = await self._line()
        fine = False
        try:
            line.transport.write(request)
            status, headers, body, fine = await _answer(line, self._seconds)
        finally:
            if fine and line.clean:
                line.busy, line.idle_since = False, time.monotonic()
                self._idle.append(line)
            else:
                line.drop()
        return status, headers, body

    async def _line(self) -> _Line:
        """Return a connection: the one that was used last, or a new one."""
        while self._idle:
            line = self._idle.pop()
            if not line.ended and time.monotonic() - line.idle_since < IDLE_SECONDS:
                line.busy = True
                return line
            line.drop()
        name = (self.access.server_name or self._host) if self._tls is not None else None
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                _, line = await asyncio.get_running_loop().create_connection(
                    _Line, self._host, self._port, ssl=self._tls, server_hostname=name
                )
        except TimeoutError as error:
            raise _Broken("ConnectTimeout") from error
        except (ssl.SSLError, socket.gaierror):
            raise
        except OSError as error:
            raise _Broken("All connection attempts failed") from error
        return line
