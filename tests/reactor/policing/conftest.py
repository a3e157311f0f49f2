"""A keeper with a gate and the loop that carries out what policies propose, for tests without processes."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fairlead.keep.requests import Request
from fairlead.reactor import policing, policing_kinds
from fairlead.reactor.admit import Answering, PolicyGate
from fairlead.reactor.keeping import Keeper
from fairlead.reactor.policing import Policing
from fairlead.words import Ref, Resource, User

ADMIN = User(name="jane", groups=("system:authenticated",))


class Cluster:
    """A keeper with a gate and the loop; writes are a user's, and `settle` waits until nothing is left to do."""

    def __init__(self, path: Path, clock: Callable[[], datetime], answering: Answering | None) -> None:
        self.path = path
        self.clock = clock
        self.answering = answering
        self.keeper: Keeper
        self.loop: Policing
        self.task: asyncio.Task[None]

    async def open(self) -> None:
        self.keeper = await Keeper.open(self.path / "store.db", rng=random.Random(7))
        await self.keeper.write(lambda world: policing_kinds.install(world, self.clock()))
        gate = PolicyGate(self.answering)
        self.keeper.guard(gate)
        self.loop = Policing(self.keeper, gate, self.clock)
        self.task = asyncio.create_task(self.loop.run())

    async def close(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task
        await self.keeper.close()

    async def restart(self) -> None:
        await self.close()
        await self.open()

    def _asked(self, user: User) -> Request:
        return Request(user=user, now=self.clock(), manager="test")

    async def create(self, *bodies: Resource, user: User = ADMIN) -> Resource:
        made: Resource = {}
        for body in bodies:
            ref, kind = Ref.of(body), self.kind(body)
            made = (
                await self.keeper.write(
                    lambda world, kind=kind, ref=ref, body=body: world.create(  # type: ignore[misc]  # bound at once
                        kind, ref.namespace, body, self._asked(user)
                    )
                )
            ).object
        return made

    def kind(self, body: Resource) -> Any:
        ref = Ref.of(body)
        found = self.keeper.world.catalogue.kind(ref.group, ref.kind, body["apiVersion"].rpartition("/")[2])
        assert found is not None, ref
        return found

    async def patch(self, body: Resource, document: Resource, user: User = ADMIN) -> None:
        ref, kind = Ref.of(body), self.kind(body)
        await self.keeper.write(
            lambda world: world.patch(kind, ref.namespace, ref.name, document, "merge", self._asked(user))
        )

    async def delete(self, body: Resource) -> None:
        ref, kind = Ref.of(body), self.kind(body)
        await self.keeper.write(
            lambda world: world.delete(kind, ref.namespace, ref.name, {}, self._asked(ADMIN))
        )

    def get(self, kind: str, name: str, namespace: str = "", group: str = "") -> Resource | None:
        found = self.keeper.world.catalogue.kind(group, kind)
        assert found is not None
        return next(
            (one.object for one in self.keeper.world.list(found, namespace).items if one.name == name),
            None,
        )

    def all(self, kind: str, namespace: str = "", group: str = "") -> list[Resource]:
        found = self.keeper.world.catalogue.kind(group, kind)
        assert found is not None
        return [one.object for one in self.keeper.world.list(found, namespace).items]

    def told(self, reason: str) -> list[str]:
        return [one["message"] for one in self.all("Event", "") if one["reason"] == reason]

    async def settle(self) -> None:
        """Wait until the loop has had nothing to do for a while."""
        calm = 0
        for _ in range(1000):
            await asyncio.sleep(0.005)
            calm = calm + 1 if self.loop.idle else 0
            if calm > 5:
                return
        raise AssertionError("it never comes to rest")

    async def until(self, holds: Callable[[], Any], what: str = "") -> None:
        for _ in range(1000):
            if self.task.done():
                self.task.result()
            if holds():
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"it never happened: {what}; {self.all('Event', '')}")


@contextlib.asynccontextmanager
async def cluster(
    path: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC), answering: Answering | None = None
) -> AsyncIterator[Cluster]:
    one = Cluster(path, clock, answering)
    await one.open()
    try:
        yield one
    finally:
        await one.close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policing, "SETTLE", 0.01)
    monkeypatch.setattr(policing, "TICK", 0.02)


def namespace(name: str, **labels: str) -> Resource:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def config(name: str, space: str = "default", labels: dict[str, str] | None = None, **data: str) -> Resource:
    meta = {"name": name, "namespace": space, "labels": labels or {}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def policy(name: str, *rules: Resource, **spec: Any) -> Resource:
    return {
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": name},
        "spec": {"rules": list(rules), **spec},
    }


def data(found: Resource | None) -> Any:
    return found and found.get("data")
