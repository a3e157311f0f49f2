"""The loop over a real packet filter and real pods; the API is played by lists of changes."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from fairlead.drivers import network
from fairlead.drivers.cluster import Access, AsyncCluster, Seen
from fairlead.drivers.containers.daemon import missing
from fairlead.drivers.containers.runtime import Containerd, take_down
from fairlead.drivers.images import Config, File, Link, build_archive
from fairlead.orchestrate.names import searches
from fairlead.orchestrate.routing import Net
from fairlead.orchestrate.runtimes import ContainerPlan, SandboxPlan
from fairlead.reactor import services
from fairlead.reactor.names import NameServer
from fairlead.words import Resource


class Play:
    """An API of which a test says what happens: a queue for each kind."""

    access = Access(server="https://127.0.0.1:6443")

    def __init__(self) -> None:
        self.queues: dict[str, asyncio.Queue[Seen]] = {}

    def queue(self, kind: str) -> asyncio.Queue[Seen]:
        return self.queues.setdefault(kind, asyncio.Queue())

    def say(self, change: str, item: Resource) -> None:
        self.queue(item["kind"]).put_nowait(Seen(cast("Any", change), item))

    def synced(self) -> None:
        for kind in ("Service", "EndpointSlice", "Pod"):
            self.queue(kind).put_nowait(Seen("SYNCED", {}))

    async def follow(self, _api_version: str, kind: str) -> AsyncGenerator[Seen, None]:
        while True:
            yield await self.queue(kind).get()


def service(address: str = "10.96.88.8") -> Resource:
    spec = {"clusterIP": address, "ports": [{"port": 80}]}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": "shop", "name": "web"},
        "spec": spec,
    }


def piece(address: str) -> Resource:
    labels = {"kubernetes.io/service-name": "web"}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"namespace": "shop", "name": "web-x", "labels": labels},
        "ports": [{"port": 8080}],
        "endpoints": [{"addresses": [address]}],
    }


@contextlib.asynccontextmanager
async def running(net: Net, report: services.Report | None = None) -> AsyncIterator[Play]:
    play = Play()
    task = asyncio.create_task(services.run(cast("AsyncCluster", play), net, report))
    try:
        yield play
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.1)


async def by_name(data_dir: Path) -> list[str]:
    runtime = await Containerd.open(data_dir)
    try:
        links = {
            f"/bin/{name}": Link("busybox") for name in ("sh", "httpd", "wget", "mkdir", "echo", "sleep")
        }
        found = shutil.which("busybox")
        assert found
        layer: dict[str, Any] = {"/bin/busybox": File(Path(found), 0o755), **links}
        build_archive(data_dir / "b.tar", "b:1", [layer], Config(env={"PATH": "/bin"}))
        await runtime.import_image(data_dir / "b.tar")
        containers = []
        for name, script in (
            ("web", "mkdir /w; echo it works > /w/index.html; exec httpd -f -p 8080 -h /w"),
            ("client", "sleep 1000"),
        ):
            sandbox = SandboxPlan(
                uid=name,
                namespace="shop",
                name=name,
                nameservers=(runtime.gateway,),
                searches=searches("shop"),
            )
            plan = ContainerPlan(name="c", attempt=0, image="b:1", command=("sh", "-c", script))
            made = await runtime.run_sandbox(sandbox)
            containers.append(await runtime.start(made, sandbox, plan))
        address = next(item.ip for item in (await runtime.seen())[0] if item.name == "web")
        said = []
        async with running(runtime.net) as play:
            play.say("ADDED", service())
            play.say("ADDED", piece(address))
            play.synced()
            for name in ("web", "web.shop", "web.shop.svc.cluster.local"):

                async def works(name: str = name) -> bool:
                    try:
                        done = await runtime.exec(containers[1], ["wget", "-qO-", f"http://{name}/"], 5)
                    except TimeoutError:  # it began before the rules were there, and its packets go elsewhere
                        return False
                    return done.stdout == b"it works\n"

                await until(works)
                said.append(name)
            play.say("DELETED", service())

            async def gone() -> bool:
                done = await runtime.exec(containers[1], ["wget", "-qO-", "http://web/"], 30)
                return b"bad address" in done.stderr

            await until(gone)

            async def no_rules() -> bool:
                return "10.96.88.8" not in await asyncio.to_thread(network.saved)

            await until(no_rules)
        return said
    finally:
        await runtime.close()
        await take_down(data_dir, 0)


@pytest.mark.root
def test_pods_reach_services_by_name(tmp_path: Path) -> None:
    if (reason := missing()) or shutil.which("busybox") is None:
        pytest.skip(reason or "busybox is missing")
    assert asyncio.run(by_name(tmp_path)) == ["web", "web.shop", "web.shop.svc.cluster.local"]


NET = Net(key="00000000", bridge="fl00000000", subnet="127.0.9.0/24", gateway="127.0.9.1", bridged=True)


def test_a_missing_packet_filter_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, str]] = []

    async def report(reason: str, text: str) -> None:
        told.append((reason, text))

    monkeypatch.setattr(network, "_PATH", "/nonexistent")
    monkeypatch.setattr(services, "_RETRY_SECONDS", 0.05)
    monkeypatch.setattr(NameServer, "run", lambda _self: asyncio.sleep(1000))

    async def scenario() -> None:
        async with running(NET, report) as play:
            play.synced()
            await asyncio.sleep(0.5)

    asyncio.run(scenario())
    assert [reason for reason, _ in told] == ["ServicesUnavailable"]
    assert "apt-get install iptables" in told[0][1]


def test_a_taken_port_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    async def report(reason: str, text: str) -> None:
        told.append(f"{reason}: {text}")

    async def taken(_self: object) -> None:
        await asyncio.sleep(0)
        raise OSError(98, "Address already in use")

    monkeypatch.setattr(services, "_RETRY_SECONDS", 0.05)
    monkeypatch.setattr(NameServer, "run", taken)

    async def scenario() -> None:
        async with running(NET, report):
            await asyncio.sleep(0.3)

    asyncio.run(scenario())
    assert told == ["NamesUnavailable: pods cannot look up names: 127.0.9.1 port 53: Address already in use"]


def test_a_policy_that_has_no_effect_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    async def report(reason: str, text: str) -> None:
        told.append(f"{reason}: {text}")

    monkeypatch.setattr(NameServer, "run", lambda _self: asyncio.sleep(1000))
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}

    async def scenario() -> None:
        async with running(NET, report) as play:
            play.say("ADDED", policy | {"metadata": {"namespace": "shop", "name": "deny"}})
            await asyncio.sleep(0.2)

    asyncio.run(scenario())
    said = "NetworkPolicyUnsupported: NetworkPolicy shop/deny has no effect: policies are not supported yet"
    assert told == [said]


def test_nothing_is_applied_before_everything_was_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    applied: list[str] = []
    monkeypatch.setattr(network, "saved", lambda: "")
    monkeypatch.setattr(network, "restore", applied.append)
    monkeypatch.setattr(NameServer, "run", lambda _self: asyncio.sleep(1000))

    async def scenario() -> None:
        async with running(NET) as play:
            play.say("ADDED", service())
            api = service("10.96.0.1")
            api["metadata"] = {"namespace": "default", "name": "kubernetes"}
            play.say("ADDED", api)
            await asyncio.sleep(0.3)
            assert not applied
            play.synced()
            await asyncio.sleep(0.3)
            assert "10.96.88.8" in applied[0]
            assert "--to-destination 127.0.0.1:6443" in applied[0]
            assert "-I PREROUTING" in applied[1]

    asyncio.run(scenario())
