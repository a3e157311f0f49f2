"""A cluster is followed kind by kind, whatever it refuses and however often it goes away."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

import pytest

from fairlead.drivers.cluster import Unreachable
from fairlead.keep.errors import Refusal
from fairlead.reactor import diagnosing_following as following
from fairlead.reactor.diagnosing_following import Kind, Mirror
from fairlead.words import Ref

PODS: Kind = ("v1", "Pod")
EVENTS: Kind = ("v1", "Event")
ROUTES: Kind = ("gateway.networking.k8s.io/v1", "HTTPRoute")


class Cluster:
    """Lists what it holds, and watches what is put into it."""

    def __init__(self) -> None:
        self.objects: dict[Kind, dict[str, dict[str, Any]]] = {}
        self.refused: dict[Kind, Refusal] = {}
        self.watched: dict[Kind, asyncio.Queue[tuple[str, dict[str, Any]] | Exception]] = {}
        self.lists: list[Kind] = []
        self.watches: list[tuple[Kind, str]] = []
        self.gone = False
        self.probes = 0
        self._version = 0

    def put(self, kind: Kind, name: str, told: bool = True, change: str = "ADDED", **more: Any) -> None:
        self._version += 1
        meta = {"namespace": "shop", "name": name, "resourceVersion": str(self._version), "managedFields": []}
        one = {"apiVersion": kind[0], "kind": kind[1], "metadata": meta, **more}
        if change == "DELETED":
            self.objects.setdefault(kind, {}).pop(name, None)
        else:
            self.objects.setdefault(kind, {})[name] = one
        if told:
            self.queue(kind).put_nowait((change, one))

    def queue(self, kind: Kind) -> asyncio.Queue[tuple[str, dict[str, Any]] | Exception]:
        return self.watched.setdefault(kind, asyncio.Queue())

    def leave(self) -> None:
        self.gone = True
        for queue in self.watched.values():
            queue.put_nowait(Unreachable("broken"))

    async def raw(self, *_: Any) -> None:
        self.probes += 1
        if self.gone:
            raise Unreachable("no route")

    async def list(self, version: str, kind: str, _namespace: str, cap: int = 0) -> tuple[list[Any], str]:
        self.lists.append((version, kind))
        if self.gone:
            raise Unreachable("no route")
        if (version, kind) in self.refused:
            raise self.refused[version, kind]
        there = list(self.objects.get((version, kind), {}).values())
        return (there[:cap], "") if cap and len(there) > cap else (there, str(self._version))

    async def watch(
        self, version: str, kind: str, _namespace: str, *, since: str
    ) -> AsyncGenerator[tuple[str, dict[str, Any]], None]:
        self.watches.append(((version, kind), since))
        if self.gone:
            raise Unreachable("no route")
        queue = self.queue((version, kind))
        while True:
            got = await queue.get()
            if isinstance(got, Exception):
                raise got
            yield got


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("DENIED_AGAIN", 0.05), ("LONGEST", 0.05), ("POLLED", 0.02), ("CHECKED", 0.05)):
        monkeypatch.setattr(following, name, value)


@contextlib.asynccontextmanager
async def mirrored(cluster: Cluster, *kinds: Kind, **more: Any) -> AsyncIterator[Mirror]:
    mirror = Mirror(cluster, kinds, optional=lambda kind: kind == ROUTES, **more)  # type: ignore[arg-type]  # what it asks of one is there
    running = asyncio.create_task(mirror.run())
    try:
        async with asyncio.timeout(10):
            await mirror.synced.wait()
            yield mirror
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def until(holds: Callable[[], Any]) -> None:
    while not holds():  # noqa: ASYNC110  what is waited for has no event
        await asyncio.sleep(0.005)


def names(mirror: Mirror) -> tuple[list[str], list[str]]:
    batch = mirror.take()
    return sorted(one["metadata"]["name"] for one in batch.puts), sorted(ref.name for ref in batch.drops)


def test_what_there_is_and_what_changes_is_handed_out_once() -> None:
    async def run() -> None:
        cluster = Cluster()
        cluster.put(PODS, "a", told=False)
        cluster.put(PODS, "b", told=False)
        async with mirrored(cluster, PODS) as mirror:
            assert names(mirror) == (["a", "b"], [])
            assert not mirror.take()
            cluster.put(PODS, "b", change="MODIFIED", spec={"x": 1})
            cluster.put(PODS, "b", change="MODIFIED", spec={"x": 2})
            cluster.put(PODS, "c")
            cluster.put(PODS, "a", change="DELETED")
            await until(lambda: cluster.queue(PODS).empty())
            await asyncio.sleep(0)
            batch = mirror.take()
            assert {one["metadata"]["name"]: one.get("spec") for one in batch.puts} == {
                "b": {"x": 2},
                "c": None,
            }
            assert batch.drops == [Ref("", "Pod", "shop", "a")]
            assert all("managedFields" not in one["metadata"] for one in batch.puts)
            assert batch.since
            assert mirror.objects == 2
            assert cluster.lists == [PODS]

    asyncio.run(run())


def test_own_events_are_no_evidence() -> None:
    async def run() -> None:
        cluster = Cluster()
        cluster.put(EVENTS, "mine", told=False, source={"component": "fairlead"})
        cluster.put(EVENTS, "new", told=False, reportingComponent="fairlead")
        cluster.put(EVENTS, "other", told=False, source={"component": "kubelet"})
        async with mirrored(cluster, EVENTS) as mirror:
            assert names(mirror) == (["other"], [])

    asyncio.run(run())


def test_what_may_not_be_listed_is_unseen_until_it_may() -> None:
    async def run() -> None:
        cluster = Cluster()
        cluster.refused = {PODS: Refusal(403, "Forbidden", "no"), ROUTES: Refusal(404, "NotFound", "none")}
        async with mirrored(cluster, PODS, EVENTS, ROUTES) as mirror:
            assert mirror.unseen == {("", "Pod")}, "what is not served is not hidden"
            cluster.put(PODS, "a", told=False)
            del cluster.refused[PODS]
            await until(lambda: not mirror.unseen)
            assert names(mirror) == (["a"], [])
            cluster.refused[PODS] = Refusal(403, "Forbidden", "no more")
            cluster.queue(PODS).put_nowait(Refusal(403, "Forbidden", "no more"))
            await until(lambda: mirror.unseen)
            assert names(mirror) == ([], ["a"])

    asyncio.run(run())


def test_when_the_server_has_forgotten_everything_is_listed_again() -> None:
    async def run() -> None:
        cluster = Cluster()
        for name in ("a", "b"):
            cluster.put(PODS, name, told=False)
        async with mirrored(cluster, PODS) as mirror:
            mirror.take()
            cluster.put(PODS, "a", told=False, change="DELETED")
            cluster.put(PODS, "c", told=False)
            cluster.queue(PODS).put_nowait(Refusal(410, "Expired", "too old"))
            await until(lambda: len(cluster.lists) == 2 and mirror.objects == 2)
            assert names(mirror) == (["c"], ["a"]), "what is as it was is no news"

    asyncio.run(run())


def test_a_bookmark_is_where_the_next_watch_begins() -> None:
    async def run() -> None:
        cluster = Cluster()
        async with mirrored(cluster, PODS) as mirror:
            cluster.queue(PODS).put_nowait(("BOOKMARK", {"metadata": {"resourceVersion": "77"}}))
            cluster.queue(PODS).put_nowait(Refusal(500, "", "ill"))
            await until(lambda: len(cluster.watches) == 2)
            assert cluster.watches[1] == (PODS, "77")
            assert len(cluster.lists) == 1
            assert not mirror.take()

    asyncio.run(run())


def test_a_cluster_goes_away_and_comes_back() -> None:
    async def run() -> None:
        cluster = Cluster()
        cluster.put(PODS, "a", told=False)
        async with mirrored(cluster, PODS, EVENTS, ROUTES) as mirror:
            mirror.take()
            await until(lambda: len(cluster.watches) == 3)
            cluster.leave()
            await until(lambda: mirror.away)
            probes, watches = cluster.probes, len(cluster.watches)
            await until(lambda: cluster.probes > probes + 2)
            assert len(cluster.watches) == watches, "one asks for all"
            assert not mirror.take(), "nothing is gone because nobody answers"
            cluster.gone = False
            await until(lambda: not mirror.away)
            cluster.put(PODS, "b")
            await until(lambda: mirror.objects == 2)
            assert len(cluster.lists) == 3, "watches go on where they ended"

    asyncio.run(run())


def test_a_connection_that_died_silently_is_found_out() -> None:
    async def run() -> None:
        cluster = Cluster()
        async with mirrored(cluster, PODS) as mirror:
            await mirror.check()
            found = [mirror.away]
            cluster.gone = True
            await mirror.check()
            found.append(mirror.away)
            assert found == [False, True]
            cluster.gone = False
            await until(lambda: not mirror.away)

    asyncio.run(run())


def test_kinds_come_and_go() -> None:
    async def run() -> None:
        cluster = Cluster()
        cluster.put(PODS, "a", told=False)
        cluster.put(ROUTES, "r", told=False)
        async with mirrored(cluster, PODS) as mirror:
            mirror.take()
            mirror.follow([PODS, ROUTES])
            assert mirror.unseen == {("gateway.networking.k8s.io", "HTTPRoute")}
            await until(lambda: not mirror.unseen)
            assert names(mirror) == (["r"], [])
            mirror.follow([ROUTES])
            assert names(mirror) == ([], ["a"])
            cluster.put(PODS, "b")
            await asyncio.sleep(0.02)
            assert not mirror.take()

    asyncio.run(run())


def test_what_cannot_be_watched_is_listed_now_and_then() -> None:
    async def run() -> None:
        cluster = Cluster()
        cluster.put(ROUTES, "a", told=False)
        async with mirrored(cluster, ROUTES) as mirror:
            mirror.take()
            cluster.queue(ROUTES).put_nowait(Refusal(405, "MethodNotAllowed", "no"))
            cluster.put(ROUTES, "b", told=False)
            await until(lambda: mirror.objects == 2)
            assert names(mirror) == (["b"], [])
            assert not mirror.unseen

    asyncio.run(run())


def test_a_kind_with_too_many_objects_is_left_out_and_said_to_be() -> None:
    async def run() -> None:
        cluster = Cluster()
        for index in range(5):
            cluster.put(ROUTES, f"r{index}", told=False)
        async with mirrored(cluster, PODS, ROUTES, most=lambda kind: 3 if kind == ROUTES else 0) as mirror:
            assert mirror.unseen == {("gateway.networking.k8s.io", "HTTPRoute")}
            assert not mirror.take()

    asyncio.run(run())
