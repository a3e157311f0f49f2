"""Plain exchanges with a server that answers byte by byte as a test wrote down: well, oddly, and badly."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fairlead.drivers import exchanging
from fairlead.drivers.cluster import Access, Unreachable
from fairlead.drivers.exchanging import DirectCluster
from fairlead.keep.errors import Refusal


class Server:
    """Answers each request with the next of its answers; b"" closes the connection instead."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.heard: list[bytes] = []
        self.connections = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = [
                    int(line.partition(b":")[2])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length")
                ]
                self.heard.append(head + (await reader.readexactly(size[0]) if size else b""))
                answer = self.answers.pop(0)
                writer.write(answer)
                await writer.drain()
                if not answer or b"\r\nConnection: close" in answer or answer.endswith(b"<cut>"):
                    break
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    def run(self, work: Callable[[DirectCluster], Awaitable[Any]], **options: Any) -> Any:
        async def go() -> Any:
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            async with server, DirectCluster(Access(server=f"http://127.0.0.1:{port}", **options)) as cluster:
                return await work(cluster)

        return asyncio.run(go())

    def contents(self, times: int = 1, path: str = "/apis") -> list[Any]:
        async def work(cluster: DirectCluster) -> list[Any]:
            return [(await cluster.raw("GET", path)).json() for _ in range(times)]

        found: list[Any] = self.run(work)
        return found


def sized(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode() + body


def test_connections_are_kept_and_bodies_come_whole() -> None:
    packed = gzip.compress(b'{"b": 2}')
    server = Server(
        sized(b'{"a": 1}'),
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\n{"b"\r\n4\r\n: 2}\r\n0\r\nT: t\r\n\r\n',
        b"HTTP/1.1 100 Continue\r\n\r\n" + sized(packed, "Content-Encoding: gzip"),
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[]",
        sized(b"{}"),
    )
    assert server.contents(5) == [{"a": 1}, {"b": 2}, {"b": 2}, [], {}]
    assert server.connections == 2


def test_what_is_sent() -> None:
    server = Server(sized(b"{}"), sized(b"{}"))

    async def work(cluster: DirectCluster) -> None:
        params = {"fieldManager": "a b&c", "force": "true", "dryRun": ""}
        await cluster.raw("PATCH", "/api/v1/pods/x", params=params, body={"a": 1}, content_type="x/y")
        await cluster.raw("DELETE", "/api/v1/pods/x")

    server.run(work, token="t")
    head, _, body = server.heard[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "PATCH /api/v1/pods/x?fieldManager=a%20b%26c&force=true HTTP/1.1"
    assert {"Authorization: Bearer t", "Content-Type: x/y", "Content-Length: 8"} <= set(lines)
    assert body == b'{"a": 1}'
    assert b"Content-Length: 0" in server.heard[1]


@pytest.mark.parametrize("path", ["/apis?x=1", "/a b", "/a/../b", "/é", "/a\r\nX: y"])
def test_a_path_that_is_not_plain_goes_the_general_way(path: str) -> None:
    server = Server(sized(b"{}"))
    try:
        assert server.contents(1, path) == [{}]
    except Unreachable:
        assert not server.heard
    assert b"accept: application/json" in (server.heard or [b"accept: application/json"])[0].lower()
    assert not any(b"\r\nX: y" in heard for heard in server.heard)


def test_a_refusal_is_told_and_the_connection_stays() -> None:
    status = b'{"kind": "Status", "code": 409, "reason": "Conflict", "message": "it is"}'
    server = Server(sized(status, status="409 Conflict"), sized(b"gone", status="502 Bad Gateway"))

    async def work(cluster: DirectCluster) -> list[tuple[int, str]]:
        found = []
        for _ in range(2):
            with pytest.raises(Refusal) as caught:
                await cluster.raw("GET", "/apis")
            found.append((caught.value.code, caught.value.message))
        return found

    assert server.run(work) == [(409, "it is"), (502, "gone")]
    assert server.connections == 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "disconnected"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}<cut>", "disconnected"),
        (b"SSH-2.0\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 101 Upgrade\r\n\r\n", "another protocol"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}", "no number"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "two lengths"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
            "cannot be told",
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "without a length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}xx0\r\n\r\n", "without an end"),
        (b"HTTP/1.1 200 OK\r\nno header\r\n\r\n", "header that is none"),
        (sized(b"{}", "Content-Encoding: br"), "not asked for"),
        (sized(b"{}", "Content-Encoding: gzip"), "unpacked"),
        (sized(gzip.compress(b"{}")[:-4], "Content-Encoding: gzip"), "before its end"),
        (b"x" * (exchanging.LARGEST_HEAD + 1), "too large"),
        (sized(b"<html>"), "JSON"),
    ],
)
def test_what_is_no_answer_ends_its_connection(answer: bytes, said: str) -> None:
    server = Server(answer, sized(b"{}"))

    async def work(cluster: DirectCluster) -> Any:
        cluster.learn("v1", "Node", "nodes", namespaced=False)
        with pytest.raises(Unreachable, match=said):
            await cluster.get("v1", "Node", "", "one")
        return await cluster.get("v1", "Node", "", "one")

    assert server.run(work) == {}
    assert server.connections == (1 if said == "JSON" else 2)


def test_a_word_that_was_not_asked_for_is_no_answer() -> None:
    server = Server(sized(b'{"a": 1}') + sized(b'{"a": "foreign"}'), sized(b'{"a": 2}'))
    assert server.contents(2) == [{"a": 1}, {"a": 2}]
    assert server.connections == 2


def test_silence_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(b"HTTP/1.1 200 OK\r\n", sized(b"{}"))

    async def work(cluster: DirectCluster) -> None:
        monkeypatch.setattr(cluster, "_seconds", 0.05)
        with pytest.raises(Unreachable, match="ReadTimeout"):
            await cluster.raw("GET", "/apis")

    server.run(work)


def test_nobody_there() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]

    async def play() -> None:
        async with DirectCluster(Access(server=f"http://127.0.0.1:{port}")) as one:
            await one.raw("GET", "/apis")

    with pytest.raises(Unreachable, match=f"{port}: All connection attempts failed"):
        asyncio.run(play())
