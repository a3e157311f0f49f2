"""Receivers that send elsewhere, drip, never end, answer with garbage: others are told, and no URL is ever shown."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from fairlead.reactor import notifying
from fairlead.reactor.notifying import BadReceivers, Item, Notifier, Receiver, message, read

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]
SECRET = "user:PASSW0RD"


class Host:
    """A receiver that answers with bytes of its own."""

    def __init__(self, answer: Answer) -> None:
        self.answer, self.asked, self.url = answer, 0, ""
        self.tasks: list[asyncio.Task[Any]] = []

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.url = f"http://{SECRET}@127.0.0.1:{server.sockets[0].getsockname()[1]}/services/TOK3N"
        return server

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.append(task)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            await reader.readexactly(int(head.partition("content-length:")[2].split()[0]))
            self.asked += 1
            await self.answer(writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


def said(content: bytes) -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(content)
        await writer.drain()

    return answer


async def drip(writer: asyncio.StreamWriter) -> None:
    for char in b"HTTP/1.1 200 OK\r\nx-slow: " + b"x" * 10_000:
        writer.write(bytes([char]))
        await writer.drain()
        await asyncio.sleep(0.1)


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n")
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


GOOD = said(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


def finding(**more: Any) -> dict[str, Any]:
    subject = {"kind": "Service", "namespace": "shop", "name": "web"}
    return {"rule": "service.selector", "severity": "critical", "subject": subject, "message": "m", **more}


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (drip, "failed"),
        (endless, "sent"),
        (said(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\ncontent-encoding: gzip\r\n\r\n\x00garbage"), "sent"),
        (said(b"\x00\xff garbage\r\n\r\n"), "failed"),
        (said(b"HTTP/1.1 500 no\r\nretry-after: nan\r\ncontent-length: 0\r\n\r\n"), "failed"),
        (said(b"HTTP/1.1 429 no\r\nretry-after: -inf\r\ncontent-length: 0\r\n\r\n"), "failed"),
    ],
)
def test_others_are_told_whatever_one_answers(
    answer: Answer, outcome: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in (("GATHER", 0.01), ("APART", 0.02), ("FIRST_DELAY", 0.5), ("TIMEOUT", 0.3)):
        monkeypatch.setattr(notifying, name, value)

    async def run() -> None:
        bad, good, known = Host(answer), Host(GOOD), list[str]()
        servers = [await bad.start(), await good.start()]
        notifier = Notifier(
            [Receiver(url=bad.url), Receiver(url=good.url)], told=lambda one, _: known.append(one)
        )
        running = asyncio.create_task(notifier.run())
        async with asyncio.timeout(15):
            for turn in ("a1", "a2"):
                notifier.tell(Item(turn, finding()))
                while good.asked < int(turn[1]) or not notifier.outcomes[outcome]:  # noqa: ASYNC110  there is no event
                    await asyncio.sleep(0.005)
        assert not running.done()
        assert bad.asked <= 3, "it is not asked all the time"
        assert SECRET not in repr(notifier.outcomes)
        running.cancel()
        for task in (*bad.tasks, *good.tasks):
            task.cancel()
        await asyncio.gather(running, *bad.tasks, *good.tasks, return_exceptions=True)
        for server in servers:
            server.close()

    with caplog.at_level(logging.DEBUG, "fairlead"):
        asyncio.run(run())
    for part in ("PASSW0RD", "TOK3N", "services"):
        assert part not in caplog.text


@pytest.mark.parametrize(
    "place", ["http://169.254.169.254/latest/meta-data", "http://127.0.0.1:1/", "file:///etc/passwd"]
)
@pytest.mark.parametrize("status", [301, 307])
def test_nobody_is_followed_elsewhere(place: str, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifying, "GATHER", 0.01)
    asked: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(status, headers={"location": place})

    plain = httpx.AsyncClient

    def client(**words: Any) -> httpx.AsyncClient:
        return plain(**words, transport=httpx.MockTransport(handle))

    monkeypatch.setattr("fairlead.reactor.notifying.httpx.AsyncClient", client)

    async def run() -> None:
        notifier = Notifier([Receiver(url="https://chat.example/hook")])
        running = asyncio.create_task(notifier.run())
        notifier.tell(Item("a1", finding()))
        async with asyncio.timeout(10):
            while not notifier.outcomes["refused"]:  # noqa: ASYNC110  there is no event
                await asyncio.sleep(0.005)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(run())
    assert asked == ["https://chat.example/hook"]


def test_half_a_character_keeps_nobody_from_being_told() -> None:
    told = finding(message="broken \ud800 text", cause="\udcff")
    assert b"broken ? text" in orjson.dumps(message([Item("a1", told)]))


@pytest.mark.parametrize(
    "content",
    [
        f"- https://{SECRET}@chat.example/TOK3N: yes",
        f"- url: {SECRET}@chat.example/TOK3N",
        f"- url: https://[{SECRET}/TOK3N",
        f"- {{url: 'https://{SECRET}@chat.example/TOK3N', severity: high}}",
        f"https://{SECRET}@chat.example/TOK3N\n- {{",
        "- urlFile: binary",
    ],
)
def test_what_is_wrong_with_receivers_shows_no_url(content: str, tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadReceivers) as bad:
        read(content, tmp_path)
    assert not any(part in str(bad.value) for part in ("PASSW0RD", "TOK3N", "chat.example"))
    assert SECRET not in repr(Receiver(url=f"https://{SECRET}@chat.example/"))
