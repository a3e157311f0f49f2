"""The loop that carries out what policies propose, on a real keeper: generated objects come, follow and go."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from functools import partial
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
            ref, kind = Ref.of(body), self._kind(body)
            made = (
                await self.keeper.write(
                    lambda world, kind=kind, ref=ref, body=body: world.create(  # type: ignore[misc]  # bound at once
                        kind, ref.namespace, body, self._asked(user)
                    )
                )
            ).object
        return made

    def _kind(self, body: Resource) -> Any:
        ref = Ref.of(body)
        found = self.keeper.world.catalogue.kind(ref.group, ref.kind, body["apiVersion"].rpartition("/")[2])
        assert found is not None, ref
        return found

    async def patch(self, body: Resource, document: Resource, user: User = ADMIN) -> None:
        ref, kind = Ref.of(body), self._kind(body)
        await self.keeper.write(
            lambda world: world.patch(kind, ref.namespace, ref.name, document, "merge", self._asked(user))
        )

    async def delete(self, body: Resource) -> None:
        ref, kind = Ref.of(body), self._kind(body)
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


def generating(
    rule: str, kind: str = "Namespace", labels: dict[str, str] | None = None, **generate: Any
) -> Resource:
    chosen: Resource = {"kinds": [kind]}
    if labels:
        chosen["selector"] = {"matchLabels": labels}
    generate = {"apiVersion": "v1", "kind": "ConfigMap", "name": rule, **generate}
    return {"name": rule, "match": {"any": [{"resources": chosen}]}, "generate": generate}


def for_namespace(name: str, **generate: Any) -> Resource:
    return generating(name, namespace="{{request.object.metadata.name}}", **generate)


def data(found: Resource | None) -> Any:
    return found and found.get("data")


def test_data_is_generated_and_kept_in_line(tmp_path: Path) -> None:
    async def run() -> None:
        async with cluster(tmp_path) as one:
            rule = for_namespace("quota", synchronize=True, data={"data": {"cpu": "1"}})
            await one.create(policy("p", rule))
            await one.create(namespace("a"))
            await one.until(lambda: data(one.get("ConfigMap", "quota", "a")) == {"cpu": "1"})
            made = one.get("ConfigMap", "quota", "a")
            assert made is not None
            assert made["metadata"]["labels"]["generate.kyverno.io/trigger-name"] == "a"
            await one.patch(made, {"data": {"cpu": "9"}})
            await one.until(
                lambda: data(one.get("ConfigMap", "quota", "a")) == {"cpu": "1"}, "an edit is undone"
            )
            await one.delete(made)
            await one.settle()
            await one.until(lambda: one.get("ConfigMap", "quota", "a"), "what is deleted comes back")
            await one.patch(
                policy("p"),
                {"spec": {"rules": [for_namespace("quota", synchronize=True, data={"data": {"cpu": "2"}})]}},
            )
            await one.until(
                lambda: data(one.get("ConfigMap", "quota", "a")) == {"cpu": "2"}, "a changed rule"
            )
            await one.delete(policy("p"))
            await one.until(lambda: one.get("ConfigMap", "quota", "a") is None, "the policy is gone")
            await one.settle()
            assert any("generated by rule quota" in text for text in one.told("PolicyApplied"))

    asyncio.run(run())


def test_what_is_not_synchronised_is_left_alone(tmp_path: Path) -> None:
    async def run() -> None:
        async with cluster(tmp_path) as one:
            await one.create(namespace("before"))
            await one.create(policy("p", for_namespace("c", data={"data": {"a": "1"}})))
            await one.create(namespace("a"))
            await one.until(lambda: one.get("ConfigMap", "c", "a"))
            await one.patch(config("c", "a"), {"data": {"a": "2"}})
            await one.settle()
            assert data(one.get("ConfigMap", "c", "a")) == {"a": "2"}
            await one.delete(config("c", "a"))
            await one.settle()
            assert one.get("ConfigMap", "c", "a") is None
            assert one.get("ConfigMap", "c", "before") is None

    asyncio.run(run())


def follows(one: Cluster, space: str) -> bool:
    return bool(data(one.get("ConfigMap", "copy", space)) == {"key": "2"})


def test_clones_follow_their_source_and_their_trigger(tmp_path: Path) -> None:
    async def run() -> None:
        async with cluster(tmp_path) as one:
            await one.create(config("source", key="1"))
            rule = for_namespace("copy", synchronize=True, clone={"namespace": "default", "name": "source"})
            await one.create(policy("p", rule))
            await one.create(namespace("a"), namespace("b"))
            await one.until(lambda: data(one.get("ConfigMap", "copy", "b")) == {"key": "1"})
            await one.patch(config("source"), {"data": {"key": "2"}})
            for space in ("a", "b"):
                await one.until(partial(follows, one, space), "source")
            await one.delete(config("source"))
            await one.until(lambda: one.get("ConfigMap", "copy", "a") is None, "the source is gone")

    asyncio.run(run())


def test_what_was_generated_goes_with_its_trigger_or_when_the_rule_is_no_longer_about_it(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with cluster(tmp_path) as one:
            rule = generating(
                "made",
                "ConfigMap",
                {"want": "yes"},
                name="for-{{request.object.metadata.name}}",
                namespace="default",
                synchronize=True,
                data={"data": {"a": "1"}},
            )
            await one.create(policy("p", rule))
            await one.create(config("x", labels={"want": "yes"}), config("y", labels={"want": "yes"}))
            await one.until(lambda: one.get("ConfigMap", "for-x", "default"))
            await one.until(lambda: one.get("ConfigMap", "for-y", "default"))
            await one.patch(config("x"), {"metadata": {"labels": {"want": "no"}}})
            await one.until(lambda: one.get("ConfigMap", "for-x", "default") is None, "no longer about it")
            await one.delete(config("y"))
            await one.until(lambda: one.get("ConfigMap", "for-y", "default") is None, "the trigger is gone")

    asyncio.run(run())


def test_a_policy_looks_at_what_is_there_if_it_says_so(tmp_path: Path) -> None:
    async def run() -> None:
        async with cluster(tmp_path) as one:
            await one.create(namespace("a"), namespace("b"))
            rule = for_namespace("c", generateExisting=True, data={"data": {"a": "1"}})
            await one.create(policy("p", rule))
            await one.until(lambda: one.get("ConfigMap", "c", "a") and one.get("ConfigMap", "c", "b"))
            assert one.get("ConfigMap", "c", "kube-system") is None

    asyncio.run(run())


def test_nothing_is_generated_for_a_dry_run_or_a_refused_request(tmp_path: Path) -> None:
    async def run() -> None:
        async with cluster(tmp_path) as one:
            await one.create(policy("p", for_namespace("c", data={"data": {"a": "1"}})))
            kind = one._kind(namespace("a"))
            dry = Request(user=ADMIN, now=one.clock(), manager="test", dry_run=True)
            await one.keeper.write(lambda world: world.create(kind, "", namespace("a"), dry))
            await one.settle()
            await one.create(namespace("a"))
            await one.until(lambda: one.get("ConfigMap", "c", "a"))
            assert len(one.told("PolicyApplied")) == 1

    asyncio.run(run())


def test_a_request_is_judged_as_its_users(tmp_path: Path) -> None:
    async def run() -> None:
        async with cluster(tmp_path) as one:
            rule = for_namespace("c", data={"data": {"who": "{{request.userInfo.username}}"}})
            rule["match"]["any"][0]["subjects"] = [{"kind": "User", "name": "jane"}]
            await one.create(policy("p", rule))
            await one.create(namespace("a"))
            await one.create(namespace("b"), user=User(name="john"))
            await one.until(lambda: data(one.get("ConfigMap", "c", "a")) == {"who": "jane"})
            await one.settle()
            assert one.get("ConfigMap", "c", "b") is None

    asyncio.run(run())


def test_a_rule_that_fails_is_told_and_costs_only_itself(tmp_path: Path) -> None:
    async def run() -> None:
        async with cluster(tmp_path) as one:
            lost = for_namespace("lost", clone={"namespace": "default", "name": "nowhere"})
            wrong = for_namespace("Wrong_Name", data={"data": {"a": "1"}})
            good = for_namespace("good", data={"data": {"a": "1"}})
            await one.create(policy("p", lost, wrong, good))
            await one.create(namespace("a"))
            await one.until(lambda: one.get("ConfigMap", "good", "a"))
            await one.until(lambda: len(one.told("PolicyError")) >= 2)
            texts = "\n".join(one.told("PolicyError"))
            assert "policy p/lost error: source resource v1/ConfigMap/default/nowhere not found" in texts
            assert "failed to create ConfigMap a/Wrong_Name" in texts
            about = next(event for event in one.all("Event") if event["reason"] == "PolicyError")
            assert about["involvedObject"]["kind"] == "ClusterPolicy"

    asyncio.run(run())


def test_policies_that_undo_each_other_are_stopped(tmp_path: Path) -> None:
    async def run() -> None:
        async with cluster(tmp_path) as one:
            rules = []
            for name, value in (("one", "1"), ("two", "2")):
                rule = generating(
                    name,
                    name="fought-over",
                    namespace="default",
                    synchronize=True,
                    data={"data": {"value": value}},
                )
                rules.append(rule)
            await one.create(policy("p1", rules[0]), policy("p2", rules[1]))
            await one.create(namespace("a"))
            await one.until(lambda: one.get("ConfigMap", "fought-over", "default"))
            await one.until(
                lambda: any("have led to one another already" in text for text in one.told("PolicyError"))
            )
            await one.settle()

    asyncio.run(run())


def test_what_policies_make_is_judged_too_where_a_rule_asks_for_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with cluster(tmp_path) as one:
            first = for_namespace("first", data={"metadata": {"labels": {"made": "yes"}}, "data": {"a": "1"}})
            second = generating(
                "second",
                "ConfigMap",
                {"made": "yes"},
                namespace="{{request.namespace}}",
                data={"data": {"a": "2"}},
            )
            await one.create(policy("p", first, {**second, "skipBackgroundRequests": False}))
            await one.create(namespace("a"))
            await one.until(lambda: one.get("ConfigMap", "second", "a"))

    asyncio.run(run())


def test_a_restart_goes_on_where_the_log_was_left(tmp_path: Path) -> None:
    async def run() -> None:
        async with cluster(tmp_path) as one:
            await one.create(config("source", key="1"))
            rule = for_namespace("copy", synchronize=True, clone={"namespace": "default", "name": "source"})
            await one.create(policy("p", rule))
            await one.create(namespace("a"))
            await one.until(lambda: one.get("ConfigMap", "copy", "a"))
            await one.settle()
            one.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await one.task
            one.keeper.gate.later.clear()  # type: ignore[union-attr]  # guarded by open
            await one.create(namespace("b"))
            await one.patch(config("source"), {"data": {"key": "2"}})
            await one.restart()
            for space in ("a", "b"):
                await one.until(partial(follows, one, space), "restart")

    asyncio.run(run())


def test_a_newer_policy_generates_and_follows(tmp_path: Path) -> None:
    async def run() -> None:
        async with cluster(tmp_path) as one:
            made = (
                "generator.Apply(object.metadata.name, [{'apiVersion': dyn('v1'), 'kind': dyn('ConfigMap'), "
                "'metadata': dyn({'name': 'made'}), 'data': dyn({'a': '1'})}])"
            )
            rule = {
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "operations": ["CREATE"],
                "resources": ["namespaces"],
            }
            await one.create(
                {
                    "apiVersion": "policies.kyverno.io/v1alpha1",
                    "kind": "GeneratingPolicy",
                    "metadata": {"name": "g"},
                    "spec": {
                        "evaluation": {"synchronize": {"enabled": True}},
                        "matchConstraints": {"resourceRules": [rule]},
                        "generate": [{"expression": made}],
                    },
                }
            )
            await one.create(namespace("a"))
            await one.until(lambda: data(one.get("ConfigMap", "made", "a")) == {"a": "1"})
            await one.patch(config("made", "a"), {"data": {"a": "2"}})
            await one.until(lambda: data(one.get("ConfigMap", "made", "a")) == {"a": "1"})

    asyncio.run(run())
