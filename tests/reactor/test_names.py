"""The name server over real sockets, with a second one of it standing in for the machine's resolver."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from fairlead.drivers import dns
from fairlead.orchestrate.names import Names
from fairlead.reactor.names import NameServer
from fairlead.words import Resource, Snapshot


def service(name: str, **spec: str) -> Resource:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": "shop", "name": name},
        "spec": spec,
    }


HERE = Names(
    Snapshot(
        [
            service("web", clusterIP="10.96.0.10"),
            service("far", type="ExternalName", externalName="web.shop.svc.example.org"),
            service("near", type="ExternalName", externalName="web.shop.svc.cluster.local"),
        ]
    )
)
THERE = Names(Snapshot([service("web", clusterIP="192.0.2.80")]), domain="example.org")


async def start(group: asyncio.TaskGroup, server: NameServer) -> tuple[asyncio.Task[None], int]:
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = group.create_task(server.run(0, port.set_result))
    return task, await port


async def conversation(resolv: Path) -> dict[str, object]:
    said: dict[str, object] = {}
    async with asyncio.TaskGroup() as group:
        upstream, upstream_port = await start(group, NameServer(THERE, "127.0.0.1", resolv / "none"))
        (resolv / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        own = NameServer(HERE, "127.0.0.2", resolv / "resolv.conf", upstream_port)
        task, port = await start(group, own)
        for name in (
            "web.shop.svc.cluster.local",
            "WEB.shop.svc.Cluster.Local",
            "far.shop.svc.cluster.local",
            "near.shop.svc.cluster.local",
            "web.shop.svc.example.org",
        ):
            for stream in (False, True):
                answer = await dns.forward(dns.ask(name, 1), ["127.0.0.2"], stream=stream, port=port)
                assert answer is not None
                rows = [row[:3] for row in dns.addresses(answer)]
                assert said.setdefault(name, rows) == rows
        for name in ("no.shop.svc.cluster.local", "no.shop.svc.example.org"):
            answer = await dns.forward(dns.ask(name, 1), ["127.0.0.2"], stream=False, port=port)
            assert answer is not None
            said[name] = answer[3] & 15
        upstream.cancel()
        await asyncio.wait([upstream])
        answer = await dns.forward(
            dns.ask("web.shop.svc.example.org", 1), ["127.0.0.2"], stream=True, port=port
        )
        assert answer is not None
        said["nobody there"] = answer[3] & 15
        task.cancel()
    return said


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux answers on all of 127.0.0.0/8")
def test_own_names_are_answered_and_others_passed_on(tmp_path: Path) -> None:
    assert asyncio.run(conversation(tmp_path)) == {
        "web.shop.svc.cluster.local": [("web.shop.svc.cluster.local", "A", "10.96.0.10")],
        "WEB.shop.svc.Cluster.Local": [("WEB.shop.svc.Cluster.Local", "A", "10.96.0.10")],
        "far.shop.svc.cluster.local": [
            ("far.shop.svc.cluster.local", "CNAME", "web.shop.svc.example.org"),
            ("web.shop.svc.example.org", "A", "192.0.2.80"),
        ],
        "near.shop.svc.cluster.local": [
            ("near.shop.svc.cluster.local", "CNAME", "web.shop.svc.cluster.local"),
            ("web.shop.svc.cluster.local", "A", "10.96.0.10"),
        ],
        "web.shop.svc.example.org": [("web.shop.svc.example.org", "A", "192.0.2.80")],
        "no.shop.svc.cluster.local": dns.NO_NAME,
        "no.shop.svc.example.org": dns.NO_NAME,
        "nobody there": dns.FAILED,
    }


def test_before_anything_is_known_nothing_is_denied() -> None:
    server = NameServer(Names(Snapshot()), "127.0.0.1")
    answer = asyncio.run(server.answer(dns.ask("web.shop.svc.cluster.local", 1), False))
    assert answer is not None
    assert answer[3] & 15 == dns.FAILED


def test_what_is_no_question_gets_no_answer() -> None:
    assert asyncio.run(NameServer(HERE, "127.0.0.1").answer(b"hello", False)) is None
