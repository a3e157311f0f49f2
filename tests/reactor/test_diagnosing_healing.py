"""The loop's healings under faults: nothing is begun that is not written down, and what a process has left is told as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.reactor.test_undoing import FINDING, FIX, JOB, WEB, Server, now, status, well

from fairlead.diagnose import histories, records
from fairlead.drivers.cluster import Access, AsyncCluster
from fairlead.reactor import heal as healing
from fairlead.reactor import healings
from fairlead.reactor.diagnosing_documents import Veil
from fairlead.reactor.diagnosing_healing import Healer, World
from fairlead.reactor.diagnosing_policies import HealPolicy
from fairlead.reactor.diagnosing_reports import Book, Entry
from fairlead.reactor.examine import Examined
from fairlead.reactor.heal import Healing
from fairlead.reactor.trial import Step, Trial
from fairlead.reactor.undoing import undo
from fairlead.words import Ref, Resource, Snapshot


class Platform(Server):
    """An API that keeps Findings too, unless it refuses them."""

    refuses = 0

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path.endswith("/kube-system"):
            return httpx.Response(200, json={"metadata": {"uid": "cluster-1"}})
        if "fairlead.dev" in path:
            if path.endswith("v1alpha1"):
                names = [("findings", "Finding", True), ("healpolicies", "HealPolicy", False)]
                found = [{"name": name, "kind": kind, "namespaced": spaced} for name, kind, spaced in names]
                return httpx.Response(200, json={"resources": found})
            if self.refuses and "findings" in path:
                return status(self.refuses, "no findings here")
            return httpx.Response(200, json={})
        if path == "/api/v1":
            names = [
                ("services", "Service", True),
                ("configmaps", "ConfigMap", True),
                ("namespaces", "Namespace", False),
            ]
            found = [{"name": name, "kind": kind, "namespaced": spaced} for name, kind, spaced in names]
            return httpx.Response(200, json={"resources": found})
        return super().answer(request)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(healing, "EVERY", 0.01)


def entry() -> Entry:
    (sighting,) = histories.observe({}, [FINDING], now()).values()
    return Entry(sighting, "shop", FINDING, records.finding(FINDING))


def play(
    server: Server, folder: Path | None, step: Callable[[Healer, Entry], Coroutine[Any, Any, None]]
) -> dict[str, Any]:
    """Let a healer do something about one finding; return what it tells of the healing."""

    async def look() -> Examined:
        return await well()

    async def run() -> dict[str, Any]:
        async with AsyncCluster(Access(server="http://cluster")) as cluster:
            cluster._http = httpx.AsyncClient(
                base_url="http://cluster", transport=httpx.MockTransport(server.answer)
            )
            book, one = Book(cluster), entry()
            book.entries[one.id] = one
            world = World(
                find=lambda _: None,
                labels=lambda _: {},
                look=look,
                policies=list,
                tell=lambda *_: None,
                folder=folder,
            )
            await step(Healer(cluster, book, world), one)
            return dict(one.healing or {})

    return asyncio.run(run())


async def heal(healer: Healer, one: Entry) -> None:
    trial = Trial(
        FINDING, FIX, 1, steps=[Step("x", True)], originals={Ref.of(each): each for each in (WEB, JOB)}
    )
    policy = HealPolicy(name="auto", mode="auto", patience=3.0)
    seen = Examined([FINDING], Snapshot([]), "live", frozenset())
    await healer._heal(one, trial, policy, seen, Veil(seen.view))


def test_what_is_written_down_is_healed(tmp_path: Path) -> None:
    assert play(Platform(WEB, JOB), None, heal)["outcome"] == "healthy"
    told = play(Platform(WEB, JOB), tmp_path / "fixes", heal)
    (record,) = healings.every(tmp_path / "fixes")
    assert (record.outcome, str(record.path)) == ("healthy", told["record"])
    assert record.content["cluster"]["uid"] == "cluster-1"


def test_without_its_file_nothing_is_begun(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    server = Platform(WEB, JOB)
    told = play(server, tmp_path / "file" / "fixes", heal)
    assert (told["outcome"], told["phase"]) == ("refused", "done")
    assert "cannot be written down" in told["note"]
    assert server.writes == []


@pytest.mark.parametrize("code", [403, 404, 429, 500])
def test_without_its_finding_nothing_is_begun_where_that_is_all_there_is(code: int, tmp_path: Path) -> None:
    server = Platform(WEB, JOB)
    server.refuses = code
    told = play(server, None, heal)
    assert told["outcome"] == "refused"
    assert server.writes == []
    assert play(server, tmp_path, heal)["outcome"] == "healthy", "a file is enough"


def test_what_reveals_too_much_to_be_told_is_left_to_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairlead.reactor.diagnosing_documents.tellable", lambda *_: False)
    server = Platform(WEB, JOB)
    assert play(server, None, heal)["outcome"] == "refused"
    assert server.writes == []


def _left(server: Server, folder: Path, *, carried_out: bool) -> tuple[dict[str, Any], dict[Any, Resource]]:
    """Leave what a process leaves that was killed: a record, a Finding that says begun, and perhaps the change."""
    before = server.bare()
    keep = healings.Keeper(folder, Trial(FINDING, FIX, 1, steps=[Step("x", True)]))
    originals = {Ref.of(one): one for one in server.objects.values()}
    keep(Healing(FINDING, FIX, "begun", undo=undo(FIX, originals), started="2020-01-01T00:00:00+00:00"))
    if carried_out:
        server.edit(
            "Service",
            "web",
            lambda one: one["spec"].update(selector={"app": "web"}, type="ClusterIP"),
            "fairlead-fix",
        )
    told = {
        "phase": "begun",
        "of": "x",
        "policy": "gone",
        "title": "t",
        "started": "2020-01-01T00:00:00Z",
        "record": str(keep.path),
    }
    return told, before


async def finish(healer: Healer, one: Entry) -> None:
    await healer._finish_what_was_begun()


@pytest.mark.parametrize(("carried_out", "outcome"), [(True, "rolled back"), (False, "refused")])
def test_what_was_killed_is_finished_and_its_file_says_so(
    carried_out: bool, outcome: str, tmp_path: Path
) -> None:
    server = Platform(WEB, JOB)
    told, before = _left(server, tmp_path, carried_out=carried_out)

    async def step(healer: Healer, one: Entry) -> None:
        one.healing = told
        await finish(healer, one)

    assert play(server, tmp_path, step)["outcome"] == outcome
    assert server.bare() == before
    (record,) = healings.every(tmp_path)
    assert (record.outcome, record.stands) == (outcome, False)


def test_what_somebody_has_changed_since_is_told_as_still_standing(tmp_path: Path) -> None:
    server = Platform(WEB, JOB)
    told, _ = _left(server, tmp_path, carried_out=True)
    server.edit("Service", "web", lambda one: one["spec"]["selector"].update(app="mine"))

    async def step(healer: Healer, one: Entry) -> None:
        one.healing = told
        await finish(healer, one)

    found = play(server, tmp_path, step)
    assert found["outcome"] == "interrupted"
    assert "was changed since" in found["note"]
    (record,) = healings.every(tmp_path)
    assert record.stands
    assert server.objects["Service", "web"]["spec"]["selector"] == {"app": "mine"}


def test_what_somebody_undid_is_neither_finished_nor_done_again(tmp_path: Path) -> None:
    server = Platform(WEB, JOB)
    told, _ = _left(server, tmp_path, carried_out=False)
    policy = HealPolicy(name="auto", mode="auto")

    async def step(healer: Healer, one: Entry) -> None:
        one.healing, one.annotations = told, {"fairlead.dev/undone": "2020-01-01T00:00:00Z"}
        assert one.body()["status"]["healing"]["outcome"] == "undone"
        await finish(healer, one)
        assert "was undone" in healer._barred(one, "x", policy, now())
        assert healer._barred(one, "another", policy, now()) == ""
        # The Finding is gone by now, and somebody has undone it by its file.
        one.healing, one.annotations = None, {}
        (record,) = healings.every(tmp_path)
        record.content["undone"] = {"at": "now"}
        record.save()
        of = record.applied["of"]
        assert "was undone" in healer._barred(one, of, policy, now())

    play(server, tmp_path, step)


def test_a_finding_that_tells_how_to_undo_is_kept_for_a_day() -> None:
    later = now() + timedelta(hours=3)

    def kept(healed: dict[str, Any] | None) -> bool:
        book = Book(AsyncCluster(Access(server="http://cluster")))
        one = entry()
        (sighting,) = histories.observe({one.id: one.sighting}, [], now()).values()
        book.entries[one.id] = replace(one, sighting=sighting, healing=healed)
        book.expire(later)
        return bool(book.entries)

    steps = [records.change(each) for each in undo(FIX, {})]
    assert steps
    assert kept({"outcome": "healthy", "undo": steps})
    assert not kept({"outcome": "undone", "undo": steps})
    assert not kept(None)
