"""A real control plane in a process of its own, and ways to speak to it."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

READY_SECONDS = 30
_numbers = itertools.count(1)


@dataclass
class Server:
    """One control plane on a directory of its own."""

    data: Path
    process: subprocess.Popen[bytes] | None = None
    port: int = 0

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


def _kubectl() -> str:
    program = os.environ.get("FAIRLEAD_KUBECTL") or shutil.which("kubectl") or ""
    if not program:
        pytest.skip("there is no kubectl on PATH; FAIRLEAD_KUBECTL may name one")
    told = subprocess.run(
        [program, "version", "--client", "-o", "json"], capture_output=True, text=True, check=True
    )
    version = json.loads(told.stdout)["clientVersion"]
    minor = int(re.sub(r"\D.*", "", version["minor"]))
    if (int(version["major"]), minor) < (1, 30):
        pytest.skip(f"{program} is {version['gitVersion']}, older than 1.30")
    return program


@pytest.fixture(scope="module")
def cluster_kubectl(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    """Kubectl in the default namespace."""
    return Kubectl(_kubectl(), server.data / "kubeconfig", tmp_path_factory.mktemp("home"))


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
