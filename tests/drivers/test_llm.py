"""A model's server that misbehaves: the key goes nowhere else, and no answer is larger than what is taken."""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fairlead.drivers import llm

Handle = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """A server that does what a test says, and remembers whom it heard."""

    def __init__(self, handle: Handle) -> None:
        self.heard: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("content-length") or 0))
                outer.heard.append(f"{self.path}\n{self.headers}")
                handle(self)

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def start() -> Iterator[Callable[[Handle], Server]]:
    made: list[Server] = []

    def start(handle: Handle) -> Server:
        made.append(Server(handle))
        return made[-1]

    yield start
    for one in made:
        one.close()


def send(handler: BaseHTTPRequestHandler, content: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    known = {"content-type": "application/json", "content-length": str(len(content))}
    for name, value in (known | {name.replace("_", "-"): value for name, value in headers.items()}).items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(content)


def ask(url: str, provider: str = "openai", seconds: float = 10) -> str:
    settings = llm.Settings(provider=provider, name="m", url=url, key="the-key-of-tests", seconds=seconds)
    with pytest.raises(llm.Silent) as silent:
        asyncio.run(llm.ask(settings, "instructions", "question"))
    assert "the-key-of-tests" not in str(silent.value)
    return str(silent.value)


@pytest.mark.parametrize(("provider", "status"), [("openai", 307), ("anthropic", 308), ("azure", 302)])
def test_a_question_and_its_key_are_sent_nowhere_else(
    provider: str, status: int, start: Callable[[Handle], Server]
) -> None:
    thief = start(lambda handler: send(handler, b"{}"))
    first = start(lambda handler: send(handler, b"", status, location=f"{thief.url}/v1/chat/completions"))
    ask(first.url, provider)
    assert first.heard
    assert thief.heard == []


def _endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.end_headers()
    try:
        for _ in range(64):
            handler.wfile.write(b" " * (1 << 20))
    except OSError:
        served.append("cut")


served: list[str] = []


def test_an_answer_without_end_is_cut_off(start: Callable[[Handle], Server]) -> None:
    served.clear()
    ask(start(_endless).url)
    assert served == ["cut"]


def test_a_packed_answer_is_not_unpacked(start: Callable[[Handle], Server]) -> None:
    bomb = gzip.compress(b" " * (64 << 20))
    server = start(lambda handler: send(handler, bomb, content_encoding="gzip"))
    ask(server.url)
    assert "accept-encoding: identity" in server.heard[0].lower()


@pytest.mark.parametrize(
    "content", [b"", b"\x00\xff\xfe", b"null", b"[]", b"[" * 100_000, b'{"choices": []}', b'{"choices": [{"message": {"content": 7}}]}', b"{" * 10]
)  # fmt: skip
def test_garbage_is_silence(content: bytes, start: Callable[[Handle], Server]) -> None:
    assert ask(start(lambda handler: send(handler, content)).url)


def test_one_that_hangs_up_midway_is_silence(start: Callable[[Handle], Server]) -> None:
    def handle(handler: BaseHTTPRequestHandler) -> None:
        send(handler, b'{"choices": [', content_length="1000")
        handler.connection.close()

    assert ask(start(handle).url)
