"""A real control plane in a process of its own, and ways to speak to it."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from fairlead.drivers import pki

READY_SECONDS = 30
_numbers = itertools.count(1)


@dataclass
class Server:
    """One control plane on a directory of its own."""

    data: Path
    process: subprocess.Popen[bytes] | None = None
    port: int = 0
    options: tuple[str, ...] = ()

    def start(self) -> None:
        record = self.data / "run" / "control-plane.json"
        record.unlink(missing_ok=True)
        self.data.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "fairlead.faces.kube",
                    "--data-dir",
                    str(self.data),
                    "--port",
                    str(self.port),
                    *self.options,
                ],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + READY_SECONDS
        while not record.exists():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)
        self.port = json.loads(record.read_text())["port"]

    def stop(self, signum: int = signal.SIGTERM) -> int:
        if self.process is None:
            return 0
        self.process.send_signal(signum)
        try:
            return self.process.wait(20)
        finally:
            self.process.kill()
            self.process.wait()
            self.process = None

    @property
    def log(self) -> Path:
        return self.data.parent / f"{self.data.name}.log"

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.data / "pki" / "ca.crt"))

    def token(self, group: str = "system:masters") -> str:
        table = json.loads((self.data / "pki" / "tokens.json").read_text())
        return next(str(token) for token, who in table.items() if group in who["groups"])

    def client(self, token: str | None = None) -> httpx.Client:
        headers = (
            {"Authorization": f"Bearer {self.token() if token is None else token}"} if token != "" else {}
        )
        return httpx.Client(base_url=self.url, verify=self.ca, headers=headers, timeout=30, trust_env=False)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    one = Server(tmp_path_factory.mktemp("kube") / "data")
    one.start()
    try:
        yield one
    finally:
        code = one.stop()
    assert code == 0, one.log.read_text()
    assert "Traceback" not in one.log.read_text(), one.log.read_text()


@pytest.fixture(scope="session")
def server_class() -> type[Server]:
    """For tests that start servers with options of their own."""
    return Server


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[Callable[[], Server]]:
    """Makes servers of the test's own, and stops what is still running at its end."""
    made: list[Server] = []

    def new() -> Server:
        made.append(Server(tmp_path / f"data{len(made)}"))
        return made[-1]

    yield new
    for one in made:
        one.stop()


@pytest.fixture(scope="module")
def api(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@pytest.fixture
def namespace(api: httpx.Client, request: pytest.FixtureRequest) -> str:
    """A namespace of the test's own."""
    stem = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:45].strip("-")
    name = f"{stem}-{next(_numbers)}"
    answer = api.post("/api/v1/namespaces", json={"metadata": {"name": name}})
    assert answer.status_code == 201, answer.text
    return name


@dataclass
class Kubectl:
    """The real kubectl, with a home of its own. `__call__` returns what it prints and expects it to succeed."""

    program: str
    kubeconfig: Path
    home: Path
    namespace: str = ""
    env: dict[str, str] = field(default_factory=dict)

    def run(
        self, *args: str, text: str | None = None, timeout: float = 30, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        where = ["--namespace", self.namespace] if self.namespace else []
        return subprocess.run(
            [self.program, "--kubeconfig", str(self.kubeconfig), *where, *args],
            input=text,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={"HOME": str(self.home), "PATH": os.environ["PATH"], "TZ": "UTC", **self.env, **(env or {})},
        )

    def __call__(self, *args: str, text: str | None = None, **more: Any) -> str:
        done = self.run(*args, text=text, **more)
        assert done.returncode == 0, f"kubectl {' '.join(args)}: {done.stdout}{done.stderr}"
        return done.stdout

    def fails(self, *args: str, text: str | None = None, **more: Any) -> str:
        done = self.run(*args, text=text, **more)
        assert done.returncode != 0, f"kubectl {' '.join(args)} did not fail: {done.stdout}"
        return done.stderr

    def json(self, *args: str) -> Any:
        return json.loads(self(*args, "-o", "json"))

    def start(self, *args: str) -> subprocess.Popen[str]:
        where = ["--namespace", self.namespace] if self.namespace else []
        return subprocess.Popen(
            [self.program, "--kubeconfig", str(self.kubeconfig), *where, *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={"HOME": str(self.home), "PATH": os.environ["PATH"], "TZ": "UTC"},
        )


@pytest.fixture(scope="module")
def cluster_kubectl(
    server: Server, tmp_path_factory: pytest.TempPathFactory, kubectl_program: str
) -> Kubectl:
    """Kubectl in the default namespace."""
    return Kubectl(kubectl_program, server.data / "kubeconfig", tmp_path_factory.mktemp("home"))


@pytest.fixture
def kubectl(cluster_kubectl: Kubectl, namespace: str) -> Kubectl:
    """Kubectl in the test's own namespace."""
    own = cluster_kubectl
    return Kubectl(own.program, own.kubeconfig, own.home, namespace)


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any]], Any]:
    """Asks again until the answer is true, for ten seconds."""

    def wait(question: Callable[[], Any], seconds: float = 10) -> Any:
        deadline = time.monotonic() + seconds
        while True:
            answer = question()
            if answer or time.monotonic() > deadline:
                assert answer, "it did not come true in time"
                return answer
            time.sleep(0.05)

    return wait


NODE = "test-node"


def _frame(channel: int, data: bytes) -> bytes:
    return bytes([channel]) + len(data).to_bytes(4, "big") + data


class FakeNode:
    """Speaks as much of the node's protocol as the tests ask for, and remembers what it was asked."""

    def __init__(self, directory: Path, token: str) -> None:
        self.asked: list[tuple[str, str, dict[str, list[str]]]] = []
        self.token = token
        self.gone = threading.Event()
        self._writers: list[asyncio.StreamWriter] = []
        certificate, key = pki.issue(directory, common_name=f"system:node:{NODE}", names=[NODE])
        pair = directory.parent / "node.pem"
        pair.write_bytes(certificate + key)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(pair)
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(5)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for writer in self._writers:
            if not writer.transport.is_closing():
                writer.transport.abort()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.run_until_complete(asyncio.sleep(0.05))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                await self._answer(head, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, head: str, writer: asyncio.StreamWriter) -> None:
        method, target, _ = head.split("\r\n", 1)[0].split(" ")
        assert f"authorization: bearer {self.token}".lower() in head.lower()
        url = urlsplit(target)
        self.asked.append((method, url.path, parse_qs(url.query)))
        container = url.path.rsplit("/", 1)[1]
        if container == "waiting":
            status = {
                "kind": "Status",
                "status": "Failure",
                "reason": "BadRequest",
                "code": 400,
                "message": 'container "waiting" in pod "p" is waiting to start: ContainerCreating',
            }
            body = json.dumps(status).encode()
            writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            return
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        if method == "POST":
            for frame in self._output(parse_qs(url.query)["command"]):
                await self._chunk(writer, frame)
        else:
            await self._chunk(writer, b"one\n")
            if "follow=true" in url.query:
                try:
                    for _ in range(200):
                        await asyncio.sleep(0.05)
                        await self._chunk(writer, b"more\n")
                except ConnectionError:
                    self.gone.set()
                    raise
            await self._chunk(writer, b"two\n")
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    @staticmethod
    def _output(command: list[str]) -> Iterator[bytes]:
        if command[0] == "broken":
            return
        yield _frame(1, b"to stdout\n")
        yield _frame(2, b"to stderr\n")
        if command[0] == "much":
            yield _frame(1, b"x" * 200_000)
        if command[0] == "fail":
            causes = [{"reason": "ExitCode", "message": "3"}]
            yield _frame(
                3,
                json.dumps(
                    {
                        "metadata": {},
                        "status": "Failure",
                        "reason": "NonZeroExitCode",
                        "message": "command terminated with non-zero exit code",
                        "details": {"causes": causes},
                    }
                ).encode(),
            )
            return
        yield _frame(3, b'{"metadata":{},"status":"Success"}')

    @staticmethod
    async def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
        writer.write(b"%x\r\n%s\r\n" % (len(data), data))
        await writer.drain()


@pytest.fixture(scope="module")
def node(server: Server, api: httpx.Client) -> Iterator[FakeNode]:
    """A node whose server the test can look into."""
    with FakeNode(server.data / "pki", server.token("system:nodes")) as fake:
        made = api.post("/api/v1/nodes", json={"metadata": {"name": NODE}})
        assert made.status_code == 201
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": fake.port}},
        }
        merge = {"content-type": "application/merge-patch+json"}
        answer = api.patch(f"/api/v1/nodes/{NODE}/status", json={"status": status}, headers=merge)
        assert answer.status_code == 200, answer.text
        yield fake
