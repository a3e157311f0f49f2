"""The node's own server: logs and one-way commands for those who show its token, over pods that a test makes up."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fairlead.orchestrate.podsteps import Memory, Observed
from fairlead.orchestrate.runtimes import ContainerSeen, ExecResult, RuntimeFailed
from fairlead.reactor.nodeserver import NodeServer
from fairlead.reactor.podwork import PodWork

TOKEN = "t0ken"


class Pod:
    """A pod's work as the server sees it."""

    def __init__(self, folder: Path, uid: str = "u1") -> None:
        self.uid = uid
        self.pod: dict[str, Any] | None = {
            "metadata": {"namespace": "shop", "name": "web", "uid": uid},
            "spec": {"containers": [{"name": "main", "image": "Bad Name"}]},
        }
        self.last = self.pod
        self.memory = Memory()
        self.files = SimpleNamespace(logs=folder)
        self.containers: list[ContainerSeen] = []
        self.node = SimpleNamespace(observed=lambda _uid: Observed((), tuple(self.containers)))
        self.runtime: Any = SimpleNamespace(exec=self._exec)
        self.answer: ExecResult | Exception = ExecResult(0, b"", b"")
        self.commands: list[Sequence[str]] = []
        self.hangs: asyncio.Event | None = None
        self.given_up = False

    def run(self, attempt: int, lines: Sequence[str], state: str = "running", name: str = "main") -> None:
        log = self.files.logs / name / f"{attempt}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(
            "".join(f"2026-01-01T00:00:0{i}.000000000Z stdout F {line}\n" for i, line in enumerate(lines))
        )
        seen = ContainerSeen(
            id=f"c{attempt}",
            sandbox="s",
            uid=self.uid,
            name=name,
            attempt=attempt,
            state=cast("Any", state),
        )
        self.containers.append(seen)

    async def _exec(self, _container: str, command: Sequence[str], _timeout: float | None) -> ExecResult:
        self.commands.append(command)
        if self.hangs is not None:
            try:
                await self.hangs.wait()
            except asyncio.CancelledError:
                self.given_up = True
                raise
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def _ask(
    works: dict[str, Pod],
    path: str,
    query: str = "",
    *,
    method: str = "GET",
    token: str = TOKEN,
    hang_up: asyncio.Event | None = None,
) -> tuple[int, bytes]:
    """Return the code and the body of an answer; with `hang_up`, what came before the caller went."""
    sent: list[Any] = []

    async def receive() -> Any:
        await (hang_up or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(b"authorization", f"Bearer {token}".encode())] if token else [],
    }
    server = NodeServer(cast("dict[str, PodWork]", works), TOKEN)
    async with asyncio.timeout(20):
        await server(cast("Any", scope), receive, send)
    code = sent[0]["status"] if sent else 0
    return code, b"".join(message["body"] for message in sent[1:])


def ask(pod: Pod, path: str, query: str = "", **more: Any) -> tuple[int, bytes]:
    return asyncio.run(_ask({"u1": pod}, path, query, **more))


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    return Pod(tmp_path)


LOGS = "/containerLogs/shop/web/main"


def test_only_health_is_for_everybody(pod: Pod) -> None:
    assert ask(pod, "/healthz", token="") == (200, b"ok")
    for token in ("", "wrong"):
        code, body = ask(pod, LOGS, token=token)
        assert (code, json.loads(body)["reason"]) == (401, "Unauthorized")


@pytest.mark.parametrize("path", ["/", "/etc/passwd", "/containerLogs/shop/web", "/exec/shop/web/main", "/stats/summary",
                                  "/containerLogs/shop/%2e%2e/main"])  # fmt: skip
def test_there_is_nothing_else(pod: Pod, path: str) -> None:
    code, body = ask(pod, path)
    assert (code, json.loads(body)["kind"]) == (404, "Status")


def test_logs(pod: Pod) -> None:
    pod.run(0, ["first"], "exited")
    pod.run(1, ["a", "b", "c"])
    assert ask(pod, LOGS) == (200, b"a\nb\nc\n")
    assert ask(pod, LOGS, "tailLines=2") == (200, b"b\nc\n")
    assert ask(pod, LOGS, "limitBytes=3") == (200, b"a\nb")
    assert ask(pod, LOGS, "tailLines=1&timestamps=true") == (200, b"2026-01-01T00:00:02.000000000Z c\n")
    assert ask(pod, LOGS, "sinceTime=2026-01-01T00:00:01Z") == (200, b"b\nc\n")
    assert ask(pod, LOGS, "previous=true") == (200, b"first\n")
    assert ask(pod, LOGS, "sinceSeconds=1") == (200, b"")


@pytest.mark.parametrize("query", ["tailLines=-1", "tailLines=x", "limitBytes=1.5", "sinceTime=yesterday"])
def test_senseless_options_are_refused(pod: Pod, query: str) -> None:
    pod.run(0, ["a"])
    assert ask(pod, LOGS, query)[0] == 400


@pytest.mark.parametrize(("reason", "text"), [
    ("", "is waiting to start: ContainerCreating"),
    ("ImagePullBackOff", "is waiting to start: trying and failing to pull image"),
    ("ErrImagePull", "is waiting to start: image can't be pulled"),
    ("InvalidImageName", 'is waiting to start: failed to parse image name "Bad Name"'),
    ("CreateContainerConfigError", "is waiting to start: CreateContainerConfigError"),
])  # fmt: skip
def test_a_container_without_a_log_says_why(pod: Pod, reason: str, text: str) -> None:
    if reason:
        pod.memory = Memory(waiting={"main": (reason, "")})
    code, body = ask(pod, LOGS)
    assert code == 400
    assert json.loads(body)["message"] == f'container "main" in pod "web" {text}'


def test_without_a_run_before(pod: Pod) -> None:
    pod.run(0, ["a"])
    code, body = ask(pod, LOGS, "previous=true")
    assert code == 400
    assert json.loads(body)["message"] == 'previous terminated container "main" in pod "web" not found'


def test_following_ends_with_the_container(pod: Pod) -> None:
    pod.run(0, ["a"], "exited")
    assert ask(pod, LOGS, "follow=true") == (200, b"a\n")


def test_following_ends_with_the_caller(pod: Pod) -> None:
    pod.run(0, ["a"])

    async def play() -> tuple[int, bytes]:
        hang_up = asyncio.Event()
        asyncio.get_running_loop().call_later(0.3, hang_up.set)
        return await _ask({"u1": pod}, LOGS, "follow=true", hang_up=hang_up)

    assert asyncio.run(play()) == (200, b"a\n")


def test_a_pod_of_the_same_name_that_goes_is_not_asked(tmp_path: Path) -> None:
    old, new = Pod(tmp_path / "old", "u1"), Pod(tmp_path / "new", "u2")
    old.run(0, ["old"])
    new.run(0, ["new"])
    old.pod = None
    for works in ({"u1": old, "u2": new}, {"u2": new, "u1": old}):
        assert asyncio.run(_ask(works, LOGS)) == (200, b"new\n")
    assert asyncio.run(_ask({"u1": old}, LOGS)) == (200, b"old\n")


def _frames(body: bytes) -> list[tuple[int, bytes]]:
    found = []
    while body:
        channel, length = struct.unpack(">BI", body[:5])
        found.append((channel, body[5 : 5 + length]))
        body = body[5 + length :]
    return found


def test_commands(pod: Pod) -> None:
    pod.run(0, [])
    pod.answer = ExecResult(3, b"x" * 40_000, b"err")
    code, body = ask(pod, "/exec/shop/web/main", "command=sh&command=-c&command=", method="POST")
    assert code == 200
    assert pod.commands == [["sh", "-c", ""]]
    *pieces, (channel, status) = _frames(body)
    assert b"".join(data for number, data in pieces if number == 1) == b"x" * 40_000
    assert [data for number, data in pieces if number == 2] == [b"err"]
    assert channel == 3
    assert json.loads(status) == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "command terminated with non-zero exit code: exit status 3",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": "3"}]},
    }


def test_commands_that_cannot_be(pod: Pod) -> None:
    path = "/exec/shop/web/main"
    assert ask(pod, path, "command=ls", method="POST")[0] == 500
    pod.run(0, [])
    assert ask(pod, path, method="POST")[0] == 400
    for query in ("command=ls&tty=true", "command=ls&stdin=true"):
        assert b"not supported yet" in ask(pod, path, query, method="POST")[1]
    pod.answer = RuntimeFailed("exec is not supported in Wasm guests")
    assert b"not supported" in ask(pod, path, "command=ls", method="POST")[1]
    pod.answer = RuntimeFailed("no such file")
    code, body = ask(pod, path, "command=ls", method="POST")
    assert (code, b"no such file" in body) == (500, True)


def test_a_command_is_given_up_with_its_caller(pod: Pod) -> None:
    pod.run(0, [])

    async def play() -> None:
        pod.hangs = asyncio.Event()
        hang_up = asyncio.Event()
        asyncio.get_running_loop().call_later(0.2, hang_up.set)
        await _ask({"u1": pod}, "/exec/shop/web/main", "command=sleep", method="POST", hang_up=hang_up)

    asyncio.run(play())
    assert pod.given_up
