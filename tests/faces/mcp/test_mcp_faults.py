"""What assistants and their networks may do to the server: hostile arguments, calls that are cancelled, bodies without end, files of others."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp.server.mcpserver.exceptions import ToolError
from tests.conftest import ControlPlane, fill_shop

from fairlead.drivers.cluster import AsyncCluster
from fairlead.faces.cli.main import main
from fairlead.faces.mcp.serving import token
from fairlead.faces.mcp.tools import Desk, Tools
from fairlead.reactor import heal as healing
from fairlead.reactor import healings, undoing


@pytest.fixture(scope="module")
def data(control_plane: ControlPlane) -> Path:
    """The data directory of a control plane where a Service selects nothing, though a pod is there."""
    asyncio.run(fill_shop(control_plane.data, "wbe"))
    return control_plane.data


def play(data: Path, step: Callable[[Tools, AsyncCluster], Coroutine[Any, Any, None]]) -> None:
    def connect() -> AsyncCluster:
        return AsyncCluster.from_kubeconfig(data / "kubeconfig")

    async def go() -> None:
        async with connect() as cluster:
            wrong = {"spec": {"selector": {"app": "wbe"}}}
            await cluster.patch("v1", "Service", "shop", "web", wrong)
            await step(Tools(Desk(connect, lambda: datetime.now(UTC), data / "fixes", 20.0)), cluster)

    asyncio.run(go())


async def found(tools: Tools) -> str:
    told = await tools.diagnose("shop")
    return str(told["findings"][0]["id"])


@pytest.mark.parametrize(
    "namespace", ["../../../apis", "a/b", "..", "x" * 100_000, "A", "a\n", "a?b", "%2e%2e"]
)
def test_a_namespace_that_is_none_is_refused_before_anybody_is_asked(namespace: str, tmp_path: Path) -> None:
    def connect() -> AsyncCluster:
        raise AssertionError

    tools = Tools(Desk(connect, lambda: datetime.now(UTC), tmp_path))
    with pytest.raises(ToolError, match="is no name of a namespace") as refused:
        asyncio.run(tools.diagnose(namespace))
    assert len(str(refused.value)) < 200


def test_an_id_of_a_megabyte_is_not_said_again(data: Path) -> None:
    async def step(tools: Tools, _: AsyncCluster) -> None:
        for call in (tools.explain, tools.prove_fix, tools.apply_fix, tools.undo_fix):
            with pytest.raises(ToolError) as refused:
                await call("z" * (1 << 20))
            assert len(str(refused.value)) < 500

    play(data, step)


def test_who_asked_may_go_away_and_the_fix_is_watched_all_the_same(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()
    plain = undoing.send

    async def sending(*words: Any) -> None:
        await plain(*words)
        begun.set()
        await asyncio.sleep(0.2)

    monkeypatch.setattr(healing, "send", sending)

    async def step(tools: Tools, cluster: AsyncCluster) -> None:
        known = await found(tools)
        call = asyncio.create_task(tools.apply_fix(known))
        await asyncio.wait_for(begun.wait(), 30)
        with pytest.raises(ToolError, match="is being carried out"):
            await tools.apply_fix(known)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        (record, *_) = healings.every(data / "fixes")
        assert record.outcome == "begun"
        assert [one.outcome for one in healings.every(data / "fixes") if one.path == record.path] == ["begun"]
        await asyncio.gather(*tools._works)
        (record, *_) = healings.every(data / "fixes")
        assert (record.finding, record.outcome) == (known, "healthy")
        assert (await tools.undo_fix(known))["undone"]
        service = await cluster.get("v1", "Service", "shop", "web")
        assert service["spec"]["selector"] == {"app": "wbe"}

    play(data, step)


def test_of_two_who_apply_the_same_by_two_names_one_does(data: Path) -> None:
    async def step(tools: Tools, _: AsyncCluster) -> None:
        known = await found(tools)
        both = await asyncio.gather(
            tools.apply_fix(known), tools.apply_fix(known[:6]), return_exceptions=True
        )
        assert sum(isinstance(one, dict) for one in both) == 1, both
        assert sum(isinstance(one, ToolError) for one in both) == 1, both

    play(data, step)


def test_nothing_is_applied_that_cannot_be_written_down(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    async def step(tools: Tools, cluster: AsyncCluster) -> None:
        tools._desk = Desk(tools._desk.connect, tools._desk.now, tmp_path / "file" / "fixes")
        with pytest.raises(ToolError, match="so nothing was changed"):
            await tools.apply_fix(await found(tools))
        service = await cluster.get("v1", "Service", "shop", "web")
        assert service["spec"]["selector"] == {"app": "wbe"}

    play(data, step)


# Over HTTP


@asynccontextmanager
async def serving(data: Path, *words: str) -> AsyncIterator[tuple[str, dict[str, str]]]:
    command = [
        sys.executable,
        "-m",
        "fairlead.faces.cli.main",
        "mcp",
        "--data-dir",
        str(data),
        "--http",
        "0",
        *words,
    ]
    process = await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        line = (await asyncio.wait_for(process.stderr.readline(), 30)).decode()
        assert line.startswith("listening on "), line
        await process.stderr.readline()
        headers = {
            "accept": "application/json, text/event-stream",
            "content-type": "application/json",
            "mcp-protocol-version": "2025-06-18",
            "authorization": f"Bearer {(data / 'mcp.token').read_text().strip()}",
        }
        yield line.split()[-1], headers
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 20)


def test_over_tls_whatever_is_sent(data: Path) -> None:
    pki = data / "pki"
    trust = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}

    async def go() -> None:
        words = ("--tls-cert", str(pki / "server.crt"), "--tls-key", str(pki / "server.key"))
        async with serving(data, *words) as (url, headers), httpx.AsyncClient(verify=trust) as client:
            assert url.startswith("https://127.0.0.1:")
            for content in (b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"jsonrpc": "2.0"}', b"[" * 100_000):
                answer = await client.post(url, content=content, headers=headers)
                assert 400 <= answer.status_code < 500, (content[:20], answer.status_code)
            large = await client.post(url, content=b"x" * (9 << 20), headers=headers)
            assert large.status_code == 413
            many = await asyncio.gather(*(client.post(url, json=listing, headers=headers) for _ in range(40)))
            assert {one.status_code for one in many} == {200}
            assert not any("mcp-session-id" in one.headers for one in many), "nothing is kept of a client"
            slow = [await asyncio.open_connection("127.0.0.1", httpx.URL(url).port) for _ in range(50)]
            for _, writer in slow:
                writer.write(b"POST /mcp HTTP/1.1\r\n")
            assert (await client.post(url, json=listing, headers=headers)).status_code == 200
            for _, writer in slow:
                writer.transport.abort()

    asyncio.run(go())


def test_a_certificate_that_is_none_is_said_before_it_listens(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c").write_text("nonsense")
    for certificate, key in ((tmp_path / "c", tmp_path / "c"), (tmp_path / "c", tmp_path / "none")):
        words = ["--http", "0", "--tls-cert", str(certificate), "--tls-key", str(key)]
        assert main(["mcp", "--data-dir", str(data), *words]) == 2
        assert "are no certificate with its key" in capsys.readouterr().err


def test_a_token_of_others_is_no_token(tmp_path: Path) -> None:
    path, said = tmp_path / "token", list[str]()
    made = token(path)
    assert token(path, said.append) == made
    assert not said
    path.chmod(0o644)
    assert token(path, said.append) == made
    assert "can be read by others" in said[0]
    path.chmod(0o666)
    with pytest.raises(ValueError, match="can be written by others"):
        token(path)
    path.chmod(0o600)
    for content in (b"\xff" * 40, b"with a\x00nul, which is no text", "ü".encode() * 20, b"short"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="no token"):
            token(path)
    with pytest.raises(IsADirectoryError):
        token(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="link"):
        token(tmp_path / "link")
    assert not (tmp_path / "elsewhere").exists(), "nothing is made where a link points to"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="is no file"):
        token(tmp_path / "pipe")
