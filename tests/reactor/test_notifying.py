"""Receivers are told together, in words that Slack takes, again where they did not listen, and never of what was over before."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from fairlead.reactor import notifying
from fairlead.reactor.notifying import BadReceivers, Item, Notifier, Receiver, message, read


class Chat:
    """A receiver on loopback that answers as it is told to, perhaps late."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.asked = 0
        self.serving: list[asyncio.Task[None]] = []
        self.answers: list[tuple[int, str, float]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.serving.append(task)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(head.partition("content-length:")[2].split()[0])
                body = await reader.readexactly(length)
                self.asked += 1
                code, headers, wait = self.answers.pop(0) if self.answers else (200, "", 0.0)
                await asyncio.sleep(wait)
                if code == 200:
                    self.heard.append(json.loads(body))
                writer.write(f"HTTP/1.1 {code} x\r\ncontent-length: 2\r\n{headers}\r\nok".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not holds():  # noqa: ASYNC110  what is waited for has no event
                await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def told(
    monkeypatch: pytest.MonkeyPatch, **receiver: Any
) -> AsyncIterator[tuple[Chat, Notifier, list[tuple[str, bool]]]]:
    for name, value in (("GATHER", 0.02), ("APART", 0.03), ("FIRST_DELAY", 0.03), ("TIMEOUT", 0.3)):
        monkeypatch.setattr(notifying, name, value)
    chat = Chat()
    server = await asyncio.start_server(chat.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    known: list[tuple[str, bool]] = []
    one = Receiver(url=f"http://127.0.0.1:{port}/services/T0/SECRETPART", **receiver)
    notifier = Notifier([one], cluster="prod", told=lambda name, gone: known.append((name, gone)))
    running = asyncio.create_task(notifier.run())
    try:
        yield chat, notifier, known
    finally:
        running.cancel()
        for task in chat.serving:
            task.cancel()
        await asyncio.gather(running, *chat.serving, return_exceptions=True)
        server.close()


def finding(name: str = "web", severity: str = "critical", **more: Any) -> dict[str, Any]:
    subject = {"kind": "Service", "namespace": "shop", "name": name}
    return {
        "rule": "service.selector",
        "severity": severity,
        "subject": subject,
        "message": "selects <nothing> & more",
        **more,
    }


def test_news_are_told_together_and_their_end_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with told(monkeypatch) as (chat, notifier, known):
            notifier.tell(Item("a1", finding(fixes=[{"title": "select app=web"}])))
            notifier.tell(Item("a2", finding("api", "warning")))
            notifier.tell(Item("a3", finding("note", "info")))
            await chat.until(lambda: len(known) == 2)
            (first,) = chat.heard
            assert first["text"] == "fairlead: 2 findings in prod"
            assert [one["title"] for one in first["attachments"]] == [
                "critical: Service shop/web",
                "warning: Service shop/api",
            ]
            assert (
                first["attachments"][0]["text"]
                == "selects &lt;nothing&gt; &amp; more\nFix: select app=web (`fairlead fix a1`)"
            )
            notifier.tell(Item("a1", finding()))
            notifier.tell(Item("a1", finding(), gone=True))
            await chat.until(lambda: len(known) == 3)
            assert chat.heard[1]["text"] == "fairlead: 1 finding resolved in prod"
            notifier.tell(Item("a2", finding("api")), again=True)
            await chat.until(lambda: len(known) == 4)
            assert chat.heard[2]["attachments"][0]["title"] == "critical: Service shop/api"
            assert known == [("a1", False), ("a2", False), ("a1", True), ("a2", False)]
            assert notifier.outcomes == {"sent": 3}

    asyncio.run(run())


def test_what_was_over_before_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with told(monkeypatch) as (chat, notifier, known):
            notifier.tell(Item("a1", finding()))
            notifier.tell(Item("a1", finding(), gone=True))
            notifier.tell(Item("a2", finding(), gone=True))
            notifier.knows("a3", finding())
            notifier.tell(Item("a3", finding()))
            notifier.tell(Item("a4", finding("last")))
            await chat.until(lambda: len(known) == 1)
            assert [one["footer"] for one in chat.heard[0]["attachments"]] == ["service.selector a4"]

    asyncio.run(run())


def test_who_is_slow_or_ill_is_told_again_and_others_are_told_meanwhile(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with told(monkeypatch) as (chat, notifier, known):
            chat.answers = [(500, "", 0.0), (429, "Retry-After: 0\r\n", 0.0), (200, "", 5.0), (503, "", 0.0)]
            notifier.tell(Item("a1", finding()))
            await chat.until(lambda: chat.asked >= 2)
            notifier.tell(Item("a2", finding("api")))
            await chat.until(lambda: len(known) >= 2)
            assert sorted({name for name, _ in known}) == ["a1", "a2"]
            assert notifier.outcomes["failed"] >= 3
            assert chat.heard[-1]["text"] == "fairlead: 2 findings in prod"

    with caplog.at_level(logging.DEBUG, "fairlead"):
        asyncio.run(run())
    assert "SECRETPART" not in caplog.text
    assert "127.0.0.1 was not told" in caplog.text


def test_who_does_not_want_it_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with told(monkeypatch) as (chat, notifier, known):
            chat.answers = [(404, "", 0.0)]
            notifier.tell(Item("a1", finding()))
            await chat.until(lambda: chat.asked == 1)
            notifier.tell(Item("a2", finding("api")))
            await chat.until(lambda: len(known) == 1)
            assert notifier.outcomes == {"refused": 1, "sent": 1}
            assert known == [("a2", False)]

    asyncio.run(run())


def test_what_nobody_takes_is_let_go_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        monkeypatch.setattr(notifying, "TRIES", 2)
        async with told(monkeypatch) as (chat, notifier, known):
            chat.answers = [(500, "", 0.0)] * 2
            notifier.tell(Item("a1", finding()))
            await chat.until(lambda: chat.asked == 2)
            await chat.until(lambda: bool(notifier.outcomes["dropped"]))
            notifier.say(Item("a1", finding(), note="healed"))
            await chat.until(lambda: len(chat.heard) == 1)
            assert chat.heard[0]["attachments"][0]["title"] == "healed: Service shop/web"
            assert known == []

    asyncio.run(run())


def test_a_receiver_is_told_what_it_wants() -> None:
    one = Receiver(
        url="http://x", severity="critical", rules=("service.*", "image.pull"), namespaces=("shop-*",)
    )
    at_shop = {"kind": "Service", "namespace": "shop-1", "name": "web"}
    assert one.wants(finding(subject=at_shop))
    assert not one.wants(finding())
    assert not one.wants(finding(subject=at_shop, severity="warning"))
    assert not one.wants(finding(subject=at_shop, rule="node.unready"))
    assert "http" not in repr(one)


def test_receivers_are_read(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("https://chat.example/x\n")
    assert read("") == []
    assert read("https://a.example/x") == [Receiver(url="https://a.example/x")]
    assert [one.url for one in read("https://a.example/x\nhttp://b.example/y\n")] == [
        "https://a.example/x",
        "http://b.example/y",
    ]
    text = "- urlFile: url\n  name: ops\n  severity: critical\n  rules: [image.*]\n  resolved: false\n- https://c.example\n"
    assert read(text, tmp_path) == [
        Receiver(
            url="https://chat.example/x", name="ops", severity="critical", rules=("image.*",), resolved=False
        ),
        Receiver(url="https://c.example"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1", "a list of receivers is wanted"),
        ("- {url: 'https://x', colour: red}", "[0].colour is not known"),
        ("- {url: 'ftp://secret-host/x'}", "[0].url is no http or https URL"),
        ("- {url: 'https://x', severity: bad}", "[0].severity is one of critical, warning, info"),
        ("- 3", "[0] is not a mapping"),
        ("- urlFile: nowhere", "[0].urlFile: No such file or directory"),
        ("[", "it is not YAML"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_receivers_is_told_without_them(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(BadReceivers, match=f"^{re.escape(said)}$"):
        read(text, tmp_path)


def test_a_message_does_not_grow_without_end() -> None:
    items = [Item(f"a{index}", finding(message="x" * 5000)) for index in range(50)]
    told = message(items)
    assert told["text"] == "fairlead: 50 findings"
    assert len(told["attachments"]) == notifying.IN_ONE + 1
    assert told["attachments"][-1]["text"] == "and 40 more: `kubectl get findings -A`"
    assert len(json.dumps(told)) < 40_000
