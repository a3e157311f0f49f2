"""Probes of real servers on this machine, and what they say in kubelet's words."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest

from fairlead.drivers.probing import Prober
from fairlead.orchestrate.probes import Action, Answer, Exec, Grpc, Http, Tcp
from fairlead.orchestrate.runtimes import ExecResult, RuntimeFailed

HERE = "127.0.0.1"


async def no_command(_command: Sequence[str], _seconds: float) -> ExecResult:
    raise RuntimeFailed("no such program")


@contextlib.asynccontextmanager
async def server(answer: bytes, *, after: float = 0.0) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that reads a request and answers it with these bytes."""
    asked: list[bytes] = []
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            await asyncio.sleep(after)
            writer.write(answer)
            await writer.drain()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(serve(reader, writer)))

    listening = await asyncio.start_server(begin, HERE, 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1], asked
        await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def ask(
    action: Action,
    *,
    address: str = HERE,
    seconds: float = 5.0,
    run: Callable[[Sequence[str], float], Awaitable[ExecResult]] = no_command,
) -> Answer:
    prober = Prober()
    try:
        return await prober.ask(action, address, seconds, run)
    finally:
        await prober.close()


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind((HERE, 0))
        return int(listener.getsockname()[1])


def http(port: int, path: str = "/", **more: str) -> Http:
    return Http(scheme="http", host="", port=port, path=path, headers=tuple(more.items()))


@pytest.mark.parametrize(
    ("status", "ok", "output"),
    [
        ("200 OK", True, "hi"),
        ("302 Found", True, "hi"),
        ("404 Not Found", False, "HTTP probe failed with statuscode: 404"),
        ("500 Oh", False, "HTTP probe failed with statuscode: 500"),
    ],
)
def test_http(status: str, ok: bool, output: str) -> None:
    async def play() -> tuple[Answer, bytes]:
        async with server(f"HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nhi".encode()) as (port, asked):
            return await ask(http(port, "/healthz?x=1", Host="me.example")), asked[0]

    answer, asked = asyncio.run(play())
    assert (answer.ok, answer.output) == (ok, output)
    assert asked.startswith(b"GET /healthz?x=1 HTTP/1.1\r\n")
    assert b"me.example" in asked
    assert b"kube-probe/" in asked


def test_http_that_does_not_answer() -> None:
    async def play() -> tuple[Answer, int]:
        async with server(b"HTTP/1.1 200 OK\r\n\r\n", after=3) as (port, _):
            return await ask(http(port), seconds=0.2), port

    answer, port = asyncio.run(play())
    assert answer.output == (
        f'Get "http://{HERE}:{port}/": context deadline exceeded '
        "(Client.Timeout exceeded while awaiting headers)"
    )


def test_nobody_listens() -> None:
    port = closed_port()
    refused = f"dial tcp {HERE}:{port}: connect: connection refused"
    assert asyncio.run(ask(http(port))) == Answer(False, f'Get "http://{HERE}:{port}/": {refused}')
    assert asyncio.run(ask(Tcp(host="", port=port))) == Answer(False, refused)


def test_https_where_http_is_spoken() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(64)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async def play() -> tuple[Answer, int]:
        async with await asyncio.start_server(plain, HERE, 0) as listening:
            port = int(listening.sockets[0].getsockname()[1])
            return await ask(Http(scheme="https", host="", port=port, path="/", headers=())), port

    answer, port = asyncio.run(play())
    said = "http: server gave HTTP response to HTTPS client"
    assert answer == Answer(False, f'Get "https://{HERE}:{port}/": {said}')


def test_tcp() -> None:
    async def play() -> Answer:
        async with server(b"") as (port, _):
            return await ask(Tcp(host="", port=port))

    assert asyncio.run(play()).ok


def test_what_is_no_http_answer() -> None:
    async def play() -> Answer:
        async with server(b"nonsense\r\n\r\n") as (port, _):
            return await ask(http(port))

    answer = asyncio.run(play())
    assert (answer.ok, answer.unsupported) == (False, False)


def test_commands() -> None:
    async def run(command: Sequence[str], _seconds: float) -> ExecResult:
        if command[0] == "slow":
            raise TimeoutError
        return ExecResult(int(command[0]), b"out", b"err")

    assert asyncio.run(ask(Exec(command=("0",)), run=run)) == Answer(True, "outerr")
    assert asyncio.run(ask(Exec(command=("3",)), run=run)) == Answer(False, "outerr")
    slow = asyncio.run(ask(Exec(command=("slow",)), run=run, seconds=1))
    assert "timed out" in slow.output
    assert asyncio.run(ask(Exec(command=("x",)))) == Answer(False, "no such program", errored=True)


def test_without_an_address_nothing_can_be_asked() -> None:
    assert asyncio.run(ask(http(80), address="")).unsupported
    assert asyncio.run(ask(Tcp(host="", port=80), address="")).unsupported


@pytest.mark.skipif(sys.platform != "linux", reason="grpcio is for Linux only here")
@pytest.mark.parametrize(
    ("reply", "service", "ok", "output"),
    [
        (b"\x08\x01", "", True, "service healthy"),
        (b"\x08\x02", "shop", False, 'service unhealthy (responded with "NOT_SERVING")'),
        (b"", "", False, 'service unhealthy (responded with "UNKNOWN")'),
    ],
)
def test_grpc(reply: bytes, service: str, ok: bool, output: str) -> None:
    import grpc

    asked: list[bytes] = []

    async def play() -> Answer:
        async def check(request: bytes, _context: object) -> bytes:
            asked.append(request)
            return reply

        handler = grpc.unary_unary_rpc_method_handler(
            check, request_deserializer=bytes, response_serializer=bytes
        )
        serving = grpc.aio.server()
        serving.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler}),)
        )
        port = serving.add_insecure_port(f"{HERE}:0")
        await serving.start()
        try:
            return await ask(Grpc(port=port, service=service))
        finally:
            await serving.stop(None)

    assert asyncio.run(play()) == Answer(ok, output)
    assert asked == [b"\x0a\x04shop" if service else b""]


@pytest.mark.skipif(sys.platform != "linux", reason="grpcio is for Linux only here")
def test_grpc_where_nobody_listens() -> None:
    port = closed_port()
    answer = asyncio.run(ask(Grpc(port=port, service=""), seconds=2))
    assert answer.output == (
        f'timeout: failed to connect service "{HERE}:{port}" within 2s: context deadline exceeded'
    )
