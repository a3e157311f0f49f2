"""A gate in front of an HTTP server: it passes requests on, and at one of them kills a process, before the answer is heard.

So a program is killed at a chosen point of its work without a word of tests in it. Reads and writes no files, and speaks plain HTTP to who
comes, who must be on this machine.
"""

from __future__ import annotations

import contextlib
import http.client
import ssl
import threading
import urllib.parse
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self, TypeAlias

Chosen: TypeAlias = Callable[[str, str], bool]
"""(method, path with query): whether a request is one of those that are counted."""
_HOPS = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "proxy-authorization"}
)


def writes(method: str, path: str) -> bool:
    """Whether a request changes something; dry runs do not."""
    return method not in {"GET", "HEAD"} and "dryRun" not in path


class Toll:
    """A gate to one server. Use it as a context; `url` is where it listens, `passed` what has passed since it was set."""

    def __init__(self, target: str) -> None:
        parts = urllib.parse.urlsplit(target)
        self._secure = parts.scheme == "https"
        self._place = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._context = ssl.create_default_context()
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE
        self._lock = threading.Lock()
        self._mine = threading.local()
        self._kill: Callable[[], object] = lambda: None
        self._chosen: Chosen = writes
        self._left = 0
        self._early = False
        self.passed: list[str] = []
        self.struck = ""
        toll = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except (OSError, http.client.HTTPException):
                    self.close_connection = True

            def finish(self) -> None:
                toll._close()
                with contextlib.suppress(OSError):  # who came is gone
                    super().finish()

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

            def __getattr__(self, name: str) -> Callable[[], None]:
                if not name.startswith("do_"):
                    raise AttributeError(name)
                return lambda: toll._pass(self)

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{self.host}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def set(
        self, at: int, kill: Callable[[], object], chosen: Chosen = writes, *, early: bool = False
    ) -> None:
        """Kill at the `at`-th of the chosen requests from now on (0: never): when it was carried out, or `early` before it is passed on."""
        with self._lock:
            self._left, self._kill, self._chosen, self._early = at, kill, chosen, early
            self.passed, self.struck = [], ""

    def _counts(self, method: str, path: str) -> bool:
        with self._lock:
            if not self._chosen(method, path):
                return False
            self.passed.append(f"{method} {path}")
            self._left -= 1
            return self._left == 0

    def _strike(self, what: str) -> None:
        with self._lock:
            self.struck = what
        self._kill()

    def _pass(self, call: BaseHTTPRequestHandler) -> None:
        strikes = self._counts(call.command, call.path)
        body = _body(call)
        if strikes and self._early:
            self._strike(f"{call.command} {call.path}")
            call.close_connection = True
            return
        status, headers, data = self._asked(call.command, call.path, dict(call.headers.items()), body)
        if strikes:
            self._strike(f"{call.command} {call.path}")
            call.close_connection = True
            return
        call.send_response_only(status)
        for key, value in headers:
            if key.lower() not in _HOPS | {"content-length"}:
                call.send_header(key, value)
        if call.command == "HEAD":
            call.send_header("Content-Length", dict(headers).get("content-length", "0"))
        elif status != http.HTTPStatus.NO_CONTENT:
            call.send_header("Content-Length", str(len(data)))
        call.end_headers()
        call.wfile.write(data)

    def _asked(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        kept = {key: value for key, value in headers.items() if key.lower() not in _HOPS | {"content-length"}}
        if body or method not in {"GET", "HEAD"}:
            kept["Content-Length"] = str(len(body))
        connection = self._connection()
        try:
            connection.request(method, path, body or None, kept)
            answer = connection.getresponse()
            return answer.status, [(key.lower(), value) for key, value in answer.getheaders()], answer.read()
        except BaseException:
            self._close()
            raise

    def _close(self) -> None:
        if hasattr(self._mine, "connection"):
            self._mine.connection.close()
            del self._mine.connection

    def _connection(self) -> http.client.HTTPConnection:
        """Return the connection of this thread, which serves one of those who come."""
        if not hasattr(self._mine, "connection"):
            self._mine.connection = (
                http.client.HTTPSConnection(*self._place, timeout=60, context=self._context)
                if self._secure
                else http.client.HTTPConnection(*self._place, timeout=60)
            )
        found: http.client.HTTPConnection = self._mine.connection
        return found


def _body(call: BaseHTTPRequestHandler) -> bytes:
    """Return the body of a request, in one piece or in many."""
    if call.headers.get("Transfer-Encoding", "").lower() != "chunked":
        return call.rfile.read(int(call.headers.get("Content-Length") or 0))
    found = b""
    while length := int(call.rfile.readline().partition(b";")[0], 16):
        found += call.rfile.read(length)
        call.rfile.readline()
    call.rfile.readline()
    return found
