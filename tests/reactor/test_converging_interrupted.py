"""Runs that die: at every request once, by a client that stops working there, and once for real. The next run completes and ends the same."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from fairlead.converge.revisions import decode, is_record
from fairlead.converge.stages import Check, Desired, Instance, Stage
from fairlead.drivers.cluster import AsyncCluster, Unreachable
from fairlead.keep.errors import Refusal
from fairlead.reactor import converging_records as records
from fairlead.reactor.converging import Converger, Options
from fairlead.words import Resource

OPTIONS = Options(create_namespace=True, seconds=5, holder="the same", lock_seconds=2)


class Death(BaseException):
    """The process is gone: nothing that would clean up may run any request."""


class Mortal(AsyncCluster):
    """A client that dies when its Nth request was carried out, before it hears the answer: so the N+1st is never sent."""

    left = 10**9

    async def raw(self, method: str, path: str, **more: Any) -> httpx.Response:
        Mortal.left -= 1
        if Mortal.left < 0:
            raise Death
        answer = await super().raw(method, path, **more)
        if Mortal.left == 0:
            raise Death
        return answer


def config(name: str, value: str) -> Resource:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": value}}


def secret(name: str, value: str) -> Resource:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"k": value}}


def first(space: str) -> Desired:
    return Desired(
        instance=Instance("shop", space),
        stages=(
            Stage("hook", (config("hook", "1"),), one_off=True, cleanup=frozenset({"before", "succeeded"})),
            Stage("one", (config("a", "1"), secret("s", "1"))),
            Stage("two", (config("b", "1"), config("old", "1"))),
        ),
    )


def second(space: str) -> Desired:
    return Desired(
        instance=Instance("shop", space),
        stages=(
            Stage("hook", (config("hook", "2"),), one_off=True, cleanup=frozenset({"before", "succeeded"})),
            Stage("one", (config("a", "2"), secret("s", "1"))),
            Stage(
                "two",
                (config("b", "2"), config("new", "1")),
                checks=(Check("v1", "ConfigMap", current="object.data.k != ''"),),
            ),
        ),
        moment="upgrade",
    )


async def state(cluster: AsyncCluster, space: str) -> dict[str, Any]:
    """What is there, apart from what may differ: times, versions and how many tries it took."""
    found: dict[str, Any] = {}
    for kind in ("ConfigMap", "Secret"):
        items, _ = await cluster.list("v1", kind, space)
        for one in sorted(
            items,
            key=lambda one: (
                int(one["metadata"]["labels"].get("fairlead.dev/revision", 0))
                if "labels" in one["metadata"]
                else 0
            ),
        ):
            name = one["metadata"]["name"]
            if is_record(one):
                record = decode(one)
                found.setdefault("records", []).append(
                    (record.state, sorted(entry.id for entry in record.inventory))
                )
            elif name != "kube-root-ca.crt" and not name.startswith("fairlead."):
                found[f"{kind} {name}"] = one["data"]
    *past, last = found.pop("records", [("none", [])])
    assert not {one for one, _ in past} & {"deployed", "pending"}
    return {**found, "last": last}


async def wipe(cluster: AsyncCluster, space: str) -> None:
    for kind, version in (("ConfigMap", "v1"), ("Secret", "v1"), ("Lease", "coordination.k8s.io/v1")):
        for one in (await cluster.list(version, kind, space))[0]:
            try:
                await cluster.delete(version, kind, space, one["metadata"]["name"])
            except Refusal:
                continue


async def attempt(access: Any, work: Callable[[AsyncCluster], Any], left: int) -> bool:
    """Run with a client that dies; return whether it did."""
    Mortal.left = left
    async with Mortal(access) as cluster:
        task = asyncio.ensure_future(work(cluster))
        try:
            await task
        except (Death, BaseExceptionGroup):
            return True
        finally:
            for other in asyncio.all_tasks() - {asyncio.current_task()}:
                other.cancel()
            await asyncio.sleep(0)
    return False


def test_an_apply_that_dies_anywhere_is_completed_by_the_next(control_plane: Any) -> None:
    async def upgrade(cluster: AsyncCluster) -> Any:
        return await Converger(cluster).apply(second("dies"), OPTIONS)

    async def run() -> None:
        async with AsyncCluster(control_plane.access) as cluster:
            await Converger(cluster).apply(first("dies"), OPTIONS)
            await upgrade(cluster)
            wanted = await state(cluster, "dies")
            assert wanted["last"][0] == "deployed"
            number = 0
            while True:
                number += 1
                await wipe(cluster, "dies")
                await Converger(cluster).apply(first("dies"), OPTIONS)
                died = await attempt(control_plane.access, upgrade, number)
                outcome = await upgrade(cluster)
                assert outcome.state in {"deployed", "unchanged"}, (number, outcome.message)
                assert await state(cluster, "dies") == wanted, number
                if not died:
                    break
            assert number > 25

    asyncio.run(run())


def test_a_delete_that_dies_anywhere_is_completed_by_the_next(control_plane: Any) -> None:
    async def delete(cluster: AsyncCluster) -> Any:
        return await Converger(cluster).delete(Instance("shop", "ends"), OPTIONS)

    async def run() -> None:
        async with AsyncCluster(control_plane.access) as cluster:
            number = 0
            while True:
                number += 1
                await Converger(cluster).apply(first("ends"), OPTIONS)
                died = await attempt(control_plane.access, delete, number)
                outcome = await delete(cluster)
                assert outcome.state in {"deleted", "absent"}, (number, outcome.message)
                assert await state(cluster, "ends") == {"last": ("none", [])}, number
                assert not (await cluster.list("v1", "Secret", "ends"))[0]
                if not died:
                    break
            assert number > 8

    asyncio.run(run())


def test_a_run_that_is_killed_is_gone_on_with_at_once(control_plane: Any, tmp_path: Path) -> None:
    for index in range(60):
        (tmp_path / f"c{index}.yaml").write_text(
            f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{index}}}\ndata: {{k: v}}\n"
        )
    words = [
        sys.executable, "-m", "fairlead.faces.cli.main", "apply", str(tmp_path), "--name", "killed", "-n", "killed",
        "--create-namespace", "--kubeconfig", str(control_plane.data / "kubeconfig"),
    ]  # fmt: skip

    async def begun() -> bool:
        async with AsyncCluster(control_plane.access) as cluster:
            return len((await cluster.list("v1", "ConfigMap", "killed"))[0]) > 3

    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not asyncio.run(begun()) and process.poll() is None:
        assert time.monotonic() < deadline
    process.kill()
    process.wait()
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "killed/killed revision 1 is" in done.stdout


def test_ctrl_c_leaves_what_the_next_run_goes_on_with(control_plane: Any) -> None:
    reached = asyncio.Event()

    class Slow(AsyncCluster):
        async def raw(self, method: str, path: str, **more: Any) -> httpx.Response:
            if "configmaps/b" in path and method == "PATCH" and not (more.get("params") or {}).get("dryRun"):
                reached.set()
                await asyncio.sleep(60)
            return await super().raw(method, path, **more)

    async def run() -> None:
        async with AsyncCluster(control_plane.access) as cluster, Slow(control_plane.access) as slow:
            task = asyncio.ensure_future(
                Converger(slow).apply(first("stopped"), Options(create_namespace=True))
            )
            await reached.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await cluster.list("coordination.k8s.io/v1", "Lease", "stopped"))[0] == []
            [line] = (await records.last(Converger(cluster).requests, Instance("shop", "stopped")))[1]
            assert line.state == "pending"
            outcome = await Converger(cluster).apply(first("stopped"), Options(lock_seconds=0))
            assert (outcome.state, outcome.revision) == ("deployed", 1)

    asyncio.run(run())


def test_servers_that_are_busy_or_gone_for_a_moment_are_asked_again(control_plane: Any) -> None:
    class Moody(AsyncCluster):
        count = 0

        async def raw(self, method: str, path: str, **more: Any) -> httpx.Response:
            Moody.count += 1
            if Moody.count % 3 == 0:
                raise Refusal(429, "TooManyRequests", "too many requests", {"retryAfterSeconds": 0.01})
            if Moody.count % 7 == 0:
                raise Refusal(503, "ServiceUnavailable", "not yet", {"retryAfterSeconds": 0.01})
            if Moody.count % 11 == 0:
                await super().raw(method, path, **more)
                raise Unreachable("the connection was cut before the answer came")
            return await super().raw(method, path, **more)

    async def run() -> None:
        async with Moody(control_plane.access) as cluster:
            outcome = await Converger(cluster).apply(first("moody"), OPTIONS)
            assert outcome.state == "deployed"
            assert (await Converger(cluster).apply(second("moody"), OPTIONS)).state == "deployed"

    asyncio.run(run())


def test_expired_credentials_are_read_anew_once(control_plane: Any) -> None:
    class Expired(AsyncCluster):
        async def raw(self, method: str, path: str, **more: Any) -> httpx.Response:  # noqa: ARG002  an API's shape
            raise Refusal(401, "Unauthorized", "Unauthorized")

    async def run() -> None:
        async with Expired(control_plane.access) as old, AsyncCluster(control_plane.access) as fresh:
            with pytest.raises(Refusal, match="Unauthorized"):
                await Converger(old).apply(first("expired"), OPTIONS)
            outcome = await Converger(old, renew=lambda: fresh).apply(first("expired"), OPTIONS)
            assert outcome.state == "deployed"

    asyncio.run(run())
