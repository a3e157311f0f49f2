"""The live loop on a real keeper: what is declared comes to be, once, and trouble in one place stays there."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fairlead.keep.requests import Request
from fairlead.orchestrate import proposing
from fairlead.orchestrate.controllers import CONTROLLERS
from fairlead.orchestrate.steps import Controller, Step
from fairlead.reactor import carrying
from fairlead.reactor.keeping import Keeper
from fairlead.reactor.orchestrate import Orchestrator
from fairlead.words import Ref, Resource, User, View

ADMIN = User(name="admin", groups=("system:masters",))


def asked() -> Request:
    return Request(user=ADMIN, now=datetime.now(UTC), manager="test")


async def create(keeper: Keeper, body: Resource) -> Resource:
    ref = Ref.of(body)
    kind = keeper.world.catalogue.kind(ref.group, ref.kind)
    assert kind is not None
    outcome = await keeper.write(lambda world: world.create(kind, ref.namespace, body, asked()))
    return outcome.object


async def patch(keeper: Keeper, ref: Ref, document: Resource, subresource: str = "") -> None:
    kind = keeper.world.catalogue.kind(ref.group, ref.kind)
    assert kind is not None
    await keeper.write(
        lambda world: world.patch(kind, ref.namespace, ref.name, document, "merge", asked(), subresource)
    )


async def delete(keeper: Keeper, ref: Ref, options: Resource) -> None:
    kind = keeper.world.catalogue.kind(ref.group, ref.kind)
    assert kind is not None
    await keeper.write(lambda world: world.delete(kind, ref.namespace, ref.name, options, asked()))


def objects(keeper: Keeper, kind: str, group: str = "", namespace: str | None = "default") -> list[Resource]:
    found = keeper.world.catalogue.kind(group, kind)
    assert found is not None
    return [stored.object for stored in keeper.world.list(found, namespace).items]


@contextlib.asynccontextmanager
async def running(
    path: Path, controllers: Sequence[Controller] = CONTROLLERS
) -> AsyncIterator[tuple[Keeper, Orchestrator]]:
    keeper = await Keeper.open(path / "store.db", rng=random.Random(7))
    loop = Orchestrator(keeper, controllers)
    task = asyncio.create_task(loop.run())
    try:
        yield keeper, loop
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await keeper.close()


async def until(holds: Callable[[], bool], what: str = "") -> None:
    for _ in range(2000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"it never happened: {what}")


async def quiet(loop: Orchestrator) -> None:
    await until(lambda: loop.idle, "rest")
    for _ in range(3):
        await asyncio.sleep(0.02)
        await until(lambda: loop.idle, "rest")


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await test()

    asyncio.run(whole())


def node(name: str = "one") -> Resource:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}},
    }


def deployment(replicas: int = 3) -> Resource:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "main", "image": "a"}]},
            },
        },
    }


async def kubelet(keeper: Keeper) -> None:
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for pod in objects(keeper, "Pod"):
        meta = pod["metadata"]
        if not pod["spec"].get("nodeName"):
            continue
        if meta.get("deletionTimestamp"):
            await delete(keeper, Ref.of(pod), {"gracePeriodSeconds": 0})
        elif pod["status"]["phase"] == "Pending":
            ready = {"type": "Ready", "status": "True", "lastTransitionTime": stamp}
            status = {"status": {"phase": "Running", "conditions": [ready], "podIP": "10.0.0.9"}}
            await patch(keeper, Ref.of(pod), status, "status")


def test_a_deployment_runs_and_scales(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path) as (keeper, loop):
            await create(keeper, node())
            await create(keeper, deployment(20))
            await quiet(loop)
            pods = objects(keeper, "Pod")
            assert len(pods) == 20
            assert {pod["spec"].get("nodeName") for pod in pods} == {"one"}
            assert any(
                entry["type"] == "PodScheduled" and entry["status"] == "True"
                for entry in pods[0]["status"]["conditions"]
            )
            await kubelet(keeper)
            await quiet(loop)
            (web,) = objects(keeper, "Deployment", "apps")
            assert web["status"]["availableReplicas"] == 20
            await patch(keeper, Ref.of(web), {"spec": {"replicas": 3}})
            await quiet(loop)
            await kubelet(keeper)
            await quiet(loop)
            assert len(objects(keeper, "Pod")) == 3
            reasons = {event["reason"] for event in objects(keeper, "Event")}
            assert {"ScalingReplicaSet", "SuccessfulCreate", "SuccessfulDelete", "Scheduled"} <= reasons

    run(test)


def test_what_was_there_before_the_start_is_taken_up(tmp_path: Path) -> None:
    async def test() -> None:
        keeper = await Keeper.open(tmp_path / "store.db", rng=random.Random(7))
        await create(keeper, deployment())
        await keeper.close()
        async with running(tmp_path) as (keeper, loop):
            await quiet(loop)
            assert len(objects(keeper, "Pod")) == 3
            assert [item["metadata"]["name"] for item in objects(keeper, "ServiceAccount")] == ["default"]

    run(test)


def test_a_failing_controller_does_not_stop_the_others(tmp_path: Path, caplog: Any) -> None:
    def bad(view: View, ref: Ref, now: datetime) -> Step:
        raise ValueError("no")

    def worse(view: View, resource: Resource) -> list[Ref]:
        raise ValueError("neither")

    broken = Controller("broken", ("apps", "Deployment"), bad, watches={("", "Pod"): worse})

    async def test() -> None:
        async with running(tmp_path, (broken, *CONTROLLERS)) as (keeper, _):
            await create(keeper, deployment())
            await until(lambda: len(objects(keeper, "Pod")) == 3)

    run(test)
    assert "broken failed on Deployment default/web" in caplog.text
    assert "broken cannot tell what Pod" in caplog.text


def test_a_quota_is_told_and_tried_again(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path) as (keeper, loop):
            quota = {
                "apiVersion": "v1",
                "kind": "ResourceQuota",
                "metadata": {"name": "few", "namespace": "default"},
                "spec": {"hard": {"pods": "2"}},
            }
            made = await create(keeper, quota)
            await create(keeper, deployment())

            def told() -> bool:
                return any(event["reason"] == "FailedCreate" for event in objects(keeper, "Event"))

            await until(told)
            assert len(objects(keeper, "Pod")) == 2
            await patch(keeper, Ref.of(made), {"spec": {"hard": {"pods": "9"}}})
            await until(lambda: len(objects(keeper, "Pod")) == 3)
            await quiet(loop)

    run(test)


def test_again_rings_and_later_words_replace_earlier_ones(tmp_path: Path) -> None:
    calls: list[datetime] = []

    def tick(view: View, ref: Ref, now: datetime) -> Step:
        calls.append(now)
        return Step(again=timedelta(milliseconds=10)) if len(calls) < 5 else Step()

    async def test() -> None:
        async with running(tmp_path, (Controller("clock", ("", ""), tick),)) as (_, loop):
            await until(lambda: len(calls) == 5)
            await asyncio.sleep(0.1)
            assert len(calls) == 5
            assert loop.idle

    run(test)


def test_a_key_sees_its_own_writes_before_it_is_asked_again(tmp_path: Path) -> None:
    seen: list[int] = []

    def one_more(view: View, ref: Ref, now: datetime) -> Step:
        maps = [item for item in view.list("", "ConfigMap", "default") if "n" in item["metadata"]["name"]]
        seen.append(len(maps))
        if len(maps) == 5:
            return Step()
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"n-{len(maps)}", "namespace": "default"},
        }
        return Step((proposing.create(body, "one more"),), timedelta(0))

    async def test() -> None:
        async with running(tmp_path, (Controller("more", ("", ""), one_more),)) as (_, loop):
            await until(lambda: 5 in seen)
            await quiet(loop)

    run(test)
    assert seen == sorted(set(seen))


def test_a_namespace_ends_with_what_is_in_it(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(tmp_path) as (keeper, loop):
            await create(keeper, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
            body = deployment()
            body["metadata"]["namespace"] = "shop"
            await create(keeper, body)
            await quiet(loop)
            assert len(objects(keeper, "Pod", namespace="shop")) == 3
            await delete(keeper, Ref("", "Namespace", "", "shop"), {})
            await until(
                lambda: (
                    "shop"
                    not in {item["metadata"]["name"] for item in objects(keeper, "Namespace", namespace=None)}
                )
            )
            assert not objects(keeper, "Pod", namespace="shop")

    run(test)


def test_a_copy_settles_without_touching_the_original(tmp_path: Path) -> None:
    from fairlead.orchestrate.settling import settle

    async def test() -> None:
        keeper = await Keeper.open(tmp_path / "store.db", rng=random.Random(7))
        await create(keeper, node())
        await create(keeper, deployment())
        now = datetime.now(UTC)
        copy = carrying.Copy.of(keeper.world, now)
        settled = settle(copy, now, CONTROLLERS)
        assert settled.quiet
        assert not settled.faults
        assert not settled.refusals
        assert len(copy.list("", "Pod")) == 3
        assert not objects(keeper, "Pod")
        await keeper.close()

    run(test)
