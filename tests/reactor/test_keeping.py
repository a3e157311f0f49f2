"""The keeper on a real file: acknowledged is durable, failures take everything back, subscribers miss nothing."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fairlead.drivers.sqlite import LogLocked
from fairlead.keep.entries import Entry, Outcome
from fairlead.keep.errors import Refusal
from fairlead.keep.kinds import Kind
from fairlead.keep.requests import Request
from fairlead.keep.worlds import World
from fairlead.reactor import keeping
from fairlead.reactor.collecting import collect
from fairlead.reactor.counting import count
from fairlead.reactor.expiring import sweep
from fairlead.reactor.keeping import Keeper, Lagged, Subscription
from fairlead.words import Snapshot, User

CONFIG = Kind("", "v1", "ConfigMap", "configmaps")
QUOTA = Kind("", "v1", "ResourceQuota", "resourcequotas", subresources=frozenset({"status"}))


def request() -> Request:
    return Request(user=User(name="admin"), now=datetime.now(UTC), manager="test")


def make(name: str, size: int = 0, **meta: Any) -> Any:
    def step(world: World) -> Outcome:
        body = {"metadata": {"name": name, **meta}, "data": {"x": "y" * size}}
        return world.create(CONFIG, "default", body, request())

    return step


def change(name: str, data: str) -> Any:
    patch = {"data": {"x": data}}
    return lambda world: world.patch(CONFIG, "default", name, patch, "merge", request())


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 60))


def names(keeper: Keeper) -> list[str]:
    return [stored.name for stored in keeper.world.list(CONFIG, "default").items]


async def some(subscription: Subscription, number: int) -> list[Entry]:
    """Wait for at least so many entries."""
    found: list[Entry] = []
    while len(found) < number:
        found += await anext(subscription)
    return found


async def until(holds: Any) -> None:
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it did not come about")


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    async def test() -> None:
        keeper = await Keeper.open(tmp_path / "s.db")
        start = keeper.world.rv
        await asyncio.gather(*(keeper.write(make(f"c{number:03}")) for number in range(100)))
        await keeper.write(lambda world: world.delete(CONFIG, "default", "c050", {}, request()))
        rv, before = keeper.world.rv, keeper.world.get(CONFIG, "default", "c000").body
        await keeper.close()
        again = await Keeper.open(tmp_path / "s.db")
        assert again.world.rv == rv
        assert len(names(again)) == 99
        assert again.world.get(CONFIG, "default", "c000").body == before
        entries = again.world.since(CONFIG, None, start)
        assert len(entries) == 101
        assert entries[-1].type == "DELETED"
        assert entries[-1].before is not None
        outcome = await again.write(make("new"))
        assert outcome.entries[0].rv == rv + 1
        await again.close()

    run(test())


def test_readers_see_a_write_only_when_it_is_acknowledged(tmp_path: Path) -> None:
    async def test() -> None:
        keeper = await Keeper.open(tmp_path / "s.db")
        writing = asyncio.ensure_future(keeper.write(make("a")))
        await asyncio.sleep(0)
        assert names(keeper) == []
        with pytest.raises(Refusal, match="already exists"):
            await keeper.write(make("a"))
        await writing
        assert names(keeper) == ["a"]
        await keeper.close()

    run(test())


def test_a_failed_commit_takes_everything_back_and_the_keeper_goes_on(tmp_path: Path) -> None:
    async def test() -> None:
        keeper = await Keeper.open(tmp_path / "s.db")
        await keeper.write(make("kept"))
        subscription = keeper.subscribe(CONFIG)
        pages = keeper._log._connection.execute("PRAGMA page_count").fetchone()[0]
        keeper._log._connection.execute(f"PRAGMA max_page_count={pages + 4}")
        results = await asyncio.gather(
            keeper.write(make("big", 900_000)),
            keeper.write(make("small")),
            keeper.write(lambda world: world.delete(CONFIG, "default", "kept", {}, request())),
            return_exceptions=True,
        )
        for result in results:
            assert isinstance(result, Refusal)
            assert result.code == 500
            assert "the disk is full: nothing was written" in result.message
        assert names(keeper) == ["kept"]
        keeper._log._connection.execute("PRAGMA max_page_count=1000000")
        await keeper.write(make("small"))
        assert names(keeper) == ["kept", "small"]
        assert [entry.name for entry in await some(subscription, 1)] == ["small"]
        await keeper.close()
        again = await Keeper.open(tmp_path / "s.db")
        assert names(again) == ["kept", "small"]
        await again.close()

    run(test())


def test_a_step_that_raises_after_writing_leaves_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        keeper = await Keeper.open(tmp_path / "s.db")

        def step(world: World) -> Outcome:
            make("a")(world)
            raise Refusal(403, "Forbidden", "not you")

        with pytest.raises(Refusal, match="not you"):
            await keeper.write(step)
        await keeper.write(make("b"))
        assert names(keeper) == ["b"]
        await keeper.close()

    run(test())


def test_a_caller_that_gives_up_does_not_stop_the_write(tmp_path: Path) -> None:
    async def test() -> None:
        keeper = await Keeper.open(tmp_path / "s.db")
        writing = asyncio.ensure_future(keeper.write(make("a")))
        await asyncio.sleep(0)
        writing.cancel()
        await keeper.write(make("b"))
        assert names(keeper) == ["a", "b"]
        await keeper.close()

    run(test())


def test_what_a_loop_has_decoded_is_lent_unless_it_is_old(tmp_path: Path) -> None:
    async def test() -> None:
        keeper = await Keeper.open(tmp_path / "store.db")
        await keeper.write(make("a"))
        await keeper.write(make("b"))

        def listed() -> list[Any]:
            return keeper.objects(CONFIG, keeper.world.list(CONFIG, "default").items)

        plain = listed()
        known = [stored.object for stored in keeper.world.stored(("", "configmaps"))]
        keeper.view = Snapshot(known)
        assert listed() == plain
        assert all(any(one is lent for one in known) for lent in listed())
        await keeper.write(change("b", "new"))
        a, b = listed()
        assert any(a is one for one in known)
        assert b["data"] == {"x": "new"}
        await keeper.close()

    run(test())


def test_a_reader_need_not_wait_for_ever(tmp_path: Path) -> None:
    async def test() -> None:
        keeper = await Keeper.open(tmp_path / "store.db")
        subscription = keeper.subscribe(CONFIG)
        assert await subscription.within(0.01) == []
        waiting = asyncio.ensure_future(subscription.within(30))
        await keeper.write(make("a"))
        assert [entry.name for entry in await waiting] == ["a"]
        await keeper.write(make("b"))
        await keeper.write(make("c"))
        assert [entry.name for entry in await subscription.within(0)] == ["b", "c"]
        waiting = asyncio.ensure_future(subscription.within(30))
        await asyncio.sleep(0)
        waiting.cancel()
        await keeper.write(make("d"))
        assert [entry.name for entry in await subscription.within(0)] == ["d"]
        waiting = asyncio.ensure_future(subscription.within(30))
        await asyncio.sleep(0)
        await keeper.close()
        with pytest.raises(StopAsyncIteration):
            await asyncio.gather(waiting)

    run(test())


def test_a_second_keeper_is_refused(tmp_path: Path) -> None:
    async def test() -> None:
        keeper = await Keeper.open(tmp_path / "s.db")
        with pytest.raises(LogLocked):
            await Keeper.open(tmp_path / "s.db")
        await keeper.close()
        with pytest.raises(Refusal, match="shutting down"):
            await keeper.write(make("a"))

    run(test())


class TestSubscriptions:
    def test_they_begin_after_a_version_and_miss_nothing(self, tmp_path: Path) -> None:
        async def test() -> None:
            keeper = await Keeper.open(tmp_path / "s.db")
            start = keeper.world.rv
            await keeper.write(make("a"))
            writing = asyncio.ensure_future(keeper.write(make("b")))
            await asyncio.sleep(0)
            everything = keeper.subscribe(None, since=start)
            mine = keeper.subscribe(CONFIG, "default", since=start)
            other = keeper.subscribe(CONFIG, "kube-system", since=start)
            await writing
            await keeper.write(make("c"))
            assert [entry.name for entry in await some(everything, 3)] == ["a", "b", "c"]
            assert [entry.name for entry in await some(mine, 3)] == ["a", "b", "c"]
            assert other.take() == []
            await keeper.close()
            with pytest.raises(StopAsyncIteration):
                await anext(other)

        run(test())

    def test_a_reader_that_sleeps_is_ended(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async def test() -> None:
            keeper = await Keeper.open(tmp_path / "s.db")
            monkeypatch.setattr(keeping, "BACKLOG", 10)
            slow, quick = keeper.subscribe(CONFIG), keeper.subscribe(CONFIG)
            for number in range(20):
                await keeper.write(make(f"c{number}"))
                await some(quick, 1)
            await some(slow, 1)
            with pytest.raises(Lagged):
                await anext(slow)
            await keeper.close()

        run(test())

    def test_the_past_may_be_gone(self, tmp_path: Path) -> None:
        async def test() -> None:
            keeper = await Keeper.open(tmp_path / "s.db")
            await keeper.write(make("a"))
            keeper.world.forget(keeper.world.rv)
            with pytest.raises(Refusal) as refused:
                keeper.subscribe(CONFIG, since=1)
            assert refused.value.code == 410
            await keeper.close()

        run(test())


def test_the_log_is_compacted_as_it_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        monkeypatch.setattr(keeping, "COMPACT_EVERY", 50)
        keeper = await Keeper.open(tmp_path / "s.db")
        await keeper.write(make("a"))
        for number in range(100):
            await keeper.write(change("a", str(number)))
            if number == 30:
                keeper.world.forget(keeper.world.rv)
        floor = keeper.world.floors["", ""]
        await keeper.close()
        again = await Keeper.open(tmp_path / "s.db")
        assert again.world.floors["", ""] == floor > 0
        assert again.world.get(CONFIG, "default", "a").object["data"] == {"x": "99"}
        with pytest.raises(Refusal):
            again.world.since(CONFIG, None, floor - 1)
        await again.close()

    run(test())


CHILD = """
import asyncio, os, sys
from datetime import UTC, datetime
from fairlead.keep.kinds import Kind
from fairlead.keep.requests import Request
from fairlead.words import User
from fairlead.reactor.keeping import Keeper

async def main():
    keeper = await Keeper.open(sys.argv[1])
    kind = Kind("", "v1", "ConfigMap", "configmaps")

    async def create(task):
        for number in range(100_000):
            name = f"t{task}-{number}"
            request = Request(user=User(name="admin"), now=datetime.now(UTC), manager="test")
            outcome = await keeper.write(
                lambda world: world.create(kind, "default", {"metadata": {"name": name}}, request)
            )
            os.write(1, f"{name} {outcome.entries[0].rv}\\n".encode())

    await asyncio.gather(*(create(task) for task in range(8)))

asyncio.run(main())
"""


def test_kill_9_under_load(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(2000)]
    child.send_signal(signal.SIGKILL)
    lines += [line for line in child.stdout.read().splitlines(keepends=True) if line.endswith(b"\n")]
    child.wait()
    child.stdout.close()
    acknowledged = {name: int(rv) for name, rv in (line.decode().split() for line in lines)}

    async def test() -> None:
        keeper = await Keeper.open(path)
        there = {stored.name: stored.rv for stored in keeper.world.list(CONFIG, "default").items}
        assert acknowledged.items() <= there.items()
        first = min(acknowledged.values())
        watched = [entry.rv for entry in keeper.world.since(CONFIG, None, first - 1)]
        assert watched == sorted(there.values())
        await keeper.close()

    run(test())


class TestLoops:
    def test_garbage_goes(self, tmp_path: Path) -> None:
        async def test() -> None:
            keeper = await Keeper.open(tmp_path / "s.db")
            loop = asyncio.ensure_future(collect(keeper))
            made = await keeper.write(make("owner"))
            owner = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "name": "owner",
                "uid": made.object["metadata"]["uid"],
                "blockOwnerDeletion": True,
            }
            for number in range(20):
                await keeper.write(make(f"child{number}", ownerReferences=[owner]))
            await keeper.write(make("lonely", ownerReferences=[{**owner, "name": "x", "uid": "x"}]))
            await until(lambda: "lonely" not in names(keeper))
            assert len(names(keeper)) == 21
            options = {"propagationPolicy": "Foreground"}
            await keeper.write(lambda world: world.delete(CONFIG, "default", "owner", options, request()))
            assert "owner" in names(keeper)
            await until(lambda: names(keeper) == [])
            await keeper.close()
            await loop

        run(test())

    def test_orphans_stay(self, tmp_path: Path) -> None:
        async def test() -> None:
            keeper = await Keeper.open(tmp_path / "s.db")
            made = await keeper.write(make("owner"))
            owner = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "name": "owner",
                "uid": made.object["metadata"]["uid"],
            }
            await keeper.write(make("child", ownerReferences=[owner]))
            options = {"propagationPolicy": "Orphan"}
            await keeper.write(lambda world: world.delete(CONFIG, "default", "owner", options, request()))
            loop = asyncio.ensure_future(collect(keeper))
            await until(lambda: names(keeper) == ["child"])
            assert "ownerReferences" not in keeper.world.get(CONFIG, "default", "child").object["metadata"]
            await keeper.close()
            await loop

        run(test())

    def test_quotas_are_counted_down(self, tmp_path: Path) -> None:
        async def test() -> None:
            keeper = await Keeper.open(tmp_path / "s.db")
            loop = asyncio.ensure_future(count(keeper))
            await keeper.write(make("a"))

            def used() -> Any:
                return (
                    keeper.world.get(QUOTA, "default", "q")
                    .object.get("status", {})
                    .get("used", {})
                    .get("configmaps")
                )

            quota = {"metadata": {"name": "q"}, "spec": {"hard": {"configmaps": "2"}}}
            await keeper.write(lambda world: world.create(QUOTA, "default", quota, request()))
            await until(lambda: used() == "1")
            await keeper.write(make("b"))
            assert used() == "2"
            await keeper.write(lambda world: world.delete(CONFIG, "default", "a", {}, request()))
            await until(lambda: used() == "1")
            await keeper.close()
            await loop

        run(test())

    def test_events_expire(self, tmp_path: Path) -> None:
        async def test() -> None:
            keeper = await Keeper.open(tmp_path / "s.db")
            kind = keeper.world.catalogue.served("", "v1", "events")
            assert kind is not None

            def tell(body: Any, asked: Request, world: World) -> Outcome:
                return world.create(kind, "default", body, asked)

            about = {"kind": "Pod", "namespace": "default", "name": "p"}
            for name, seen in (("old", "2026-01-01T00:00:00Z"), ("new", "2026-01-01T01:30:00Z")):
                body = {
                    "metadata": {"name": name},
                    "involvedObject": about,
                    "reason": "x",
                    "lastTimestamp": seen,
                }
                asked = Request(user=User(name="admin"), now=datetime(2026, 1, 1, tzinfo=UTC), manager="test")
                await keeper.write(partial(tell, body, asked))
            assert await sweep(keeper, datetime(2026, 1, 1, 1, tzinfo=UTC) + timedelta(seconds=1)) == 1
            assert [stored.name for stored in keeper.world.stored(("", "events"))] == ["new"]
            await keeper.close()

        run(test())
