"""Jobs: bounded, one of a key at a time, again when asked for; requests are told apart by the writes that they became."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import replace

import pytest

from fairlead.judge.subjects import Subject, subject_of
from fairlead.keep.entries import Entry, encode, stored
from fairlead.reactor import policing_jobs
from fairlead.reactor.policing_jobs import Jobs
from fairlead.reactor.policing_origins import Origins
from fairlead.reactor.policing_triggers import Triggers
from fairlead.words import Ref, Resource, Snapshot, User


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(5000):
        if holds():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never happened")


def test_a_job_is_done_again_as_long_as_it_asks_for_it() -> None:
    async def run() -> None:
        jobs, turns = Jobs(), []

        async def work(tries: int) -> float | None:
            turns.append(tries)
            return 0.001 if tries < 3 else None

        jobs.put("a", work, rv=7)
        assert jobs.oldest == 7
        await until(lambda: not len(jobs))
        assert turns == [0, 1, 2, 3]
        assert jobs.oldest == 0

    asyncio.run(run())


def test_a_key_waits_for_itself_and_a_broken_job_costs_only_itself(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        jobs, done, free = Jobs(), [], asyncio.Event()

        async def first(_tries: int) -> None:
            await free.wait()
            done.append("first")
            raise ValueError("broken")

        async def then(_tries: int) -> None:
            done.append("then")

        jobs.put("a", first)
        await asyncio.sleep(0)
        jobs.put("a", then)
        jobs.put("a", then)
        jobs.put("b", then)
        await asyncio.sleep(0.01)
        assert done == ["then"]
        free.set()
        await until(lambda: not len(jobs))
        assert done == ["then", "first", "then"]

    asyncio.run(run())
    assert "broke off" in caplog.text


def test_no_more_than_so_many_run_or_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policing_jobs, "AT_ONCE", 2)
    monkeypatch.setattr(policing_jobs, "MOST", 3)

    async def run() -> None:
        jobs, running, most = Jobs(), 0, 0

        async def work(_tries: int) -> float:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.001)
            running -= 1
            return 60.0

        for number in range(10):
            jobs.put(number, work)
            await jobs.room()
        await until(lambda: not jobs.busy)
        assert most == 2
        assert len(jobs) == 3
        await jobs.close()

    asyncio.run(run())


def thing(uid: str, version: int = 0, **data: str) -> Resource:
    meta = {"name": "c", "namespace": "d", "uid": uid, "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def asked(content: Resource, who: str, operation: str = "CREATE") -> Subject:
    subject = subject_of(content, "configmaps", operation=operation)  # type: ignore[arg-type]  # literals
    return replace(subject, user=User(name=who), uid=who)


def entry(kind: str, content: Resource, rv: int, previous: int = 0) -> Entry:
    after = {**content, "metadata": {**content["metadata"], "resourceVersion": str(rv)}}
    storage = ("", "configmaps")
    return Entry(rv, kind, storage, "d", "c", encode(after), previous, stored(after, rv))  # type: ignore[arg-type]  # literals


def test_a_refused_request_is_not_taken_for_another() -> None:
    coming = deque([asked(thing("u1"), "refused"), asked(thing("u2"), "jane"), asked(thing("u2"), "jane")])
    triggers = Triggers(coming)
    added = entry("ADDED", thing("u2"), 5)
    assert triggers.waits(added)
    found = triggers.of(added, added.object)
    assert found is not None
    assert found.user.name == "jane"
    assert found.object == added.object
    coming.append(asked(thing("u2", 4, a="1"), "stale", "UPDATE"))
    coming.append(asked(thing("u2", 5, a="2"), "john", "UPDATE"))
    changed = entry("MODIFIED", thing("u2", a="2"), 6, 5)
    assert triggers.waits(changed)
    found = triggers.of(changed, changed.object)
    assert found is not None
    assert found.user.name == "john"
    coming.append(asked(thing("u2", 6), "jane", "DELETE"))
    gone = entry("DELETED", thing("u2"), 7, 6)
    assert triggers.waits(gone)
    found = triggers.of(gone, gone.object)
    assert found is not None
    assert found.object is None


def test_origins_are_found_by_what_they_came_of() -> None:
    labels = {
        "generate.kyverno.io/policy-name": "p",
        "generate.kyverno.io/rule-name": "r",
        "generate.kyverno.io/trigger-kind": "Namespace",
        "generate.kyverno.io/trigger-name": "a",
        "generate.kyverno.io/trigger-uid": "t1",
    }
    made = thing("u1")
    origins, ref = Origins(), Ref.of(made)
    origins.put(ref, labels)
    trigger, policy = Ref("", "Namespace", "", "a"), Ref("kyverno.io", "ClusterPolicy", "", "p")
    assert origins.concerned(trigger, "t1")
    assert origins.concerned(ref, "u1")
    assert not origins.concerned(Ref("", "Namespace", "", "b"), "t2")
    view = Snapshot([made, {**made, "metadata": {**made["metadata"], "name": "other"}}])
    for about, uid in ((trigger, "t1"), (policy, "p1"), (ref, "u1")):
        assert origins.view(view, about, uid).list("", "ConfigMap") == [made]
    assert origins.view(view, Ref("", "Namespace", "", "b"), "t2").list("", "ConfigMap") == []
    origins.put(ref, {})
    assert not len(origins)
    assert not origins.concerned(trigger, "t1")
