"""The background audit on a real keeper: reports come, follow and go; only what changed is judged again."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fairlead.dialects import policyreport
from fairlead.reactor import audit, policing_kinds
from fairlead.reactor.admit import PolicyGate
from fairlead.reactor.audit import Auditor
from fairlead.reactor.auditplaces import StorePlace
from fairlead.reactor.carrying import carry_out
from fairlead.reactor.keeping import Keeper
from fairlead.words import Change, Ref, Resource, User

ADMIN = User(name="jane", groups=("system:authenticated",))
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def policy(name: str = "named", wanted: str = "good") -> Resource:
    rule = {
        "name": "name",
        "match": {"any": [{"resources": {"kinds": ["ConfigMap"]}}]},
        "validate": {"message": "a bad name", "pattern": {"metadata": {"name": f"{wanted}*"}}},
    }
    return {
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": name, "annotations": {"policies.kyverno.io/severity": "high"}},
        "spec": {"validationFailureAction": "Audit", "rules": [rule]},
    }


def config(name: str, **data: str) -> Resource:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default"},
        "data": data,
    }


TEMPLATE = {
    "apiVersion": "templates.gatekeeper.sh/v1",
    "kind": "ConstraintTemplate",
    "metadata": {"name": "noname"},
    "spec": {
        "crd": {"spec": {"names": {"kind": "NoName"}}},
        "targets": [
            {
                "target": "admission.k8s.gatekeeper.sh",
                "rego": 'package noname\nviolation[{"msg": "no"}] { input.review.object.metadata.name == "bad" }',
            }
        ],
    },
}
CONSTRAINT = {
    "apiVersion": "constraints.gatekeeper.sh/v1beta1",
    "kind": "NoName",
    "metadata": {"name": "nobody"},
    "spec": {
        "enforcementAction": "dryrun",
        "match": {"kinds": [{"apiGroups": [""], "kinds": ["ConfigMap"]}]},
    },
}


class Cluster:
    """A keeper with a gate; the audit runs beside it."""

    def __init__(self, keeper: Keeper, gate: PolicyGate) -> None:
        self.keeper = keeper
        self.gate = gate
        self.auditor = Auditor(StorePlace(keeper, gate, lambda: NOW), lambda: NOW)

    async def create(self, *bodies: Resource) -> None:
        for body in bodies:
            change = Change(verb="create", ref=Ref.of(body), api_version=body["apiVersion"], body=body)
            await carry_out(change, self.keeper, NOW, ADMIN)

    async def delete(self, body: Resource) -> None:
        change = Change(verb="delete", ref=Ref.of(body), api_version=body["apiVersion"])
        await carry_out(change, self.keeper, NOW, ADMIN)

    async def patch(self, body: Resource, patch: Resource) -> None:
        change = Change(
            verb="patch", patch="merge", ref=Ref.of(body), api_version=body["apiVersion"], body=patch
        )
        await carry_out(change, self.keeper, NOW, ADMIN)

    def reports(self) -> dict[str, dict[str, str]]:
        """Return the results of each report by policy, by the name of what it is about."""
        kind = self.keeper.world.catalogue.kind(policyreport.GROUP, "PolicyReport")
        assert kind is not None
        found = [stored.object for stored in self.keeper.world.list(kind, None).items]
        return {
            one["scope"]["name"]: {row["policy"]: row["result"] for row in one["results"]} for one in found
        }

    def report(self, name: str) -> Resource:
        kind = self.keeper.world.catalogue.kind(policyreport.GROUP, "PolicyReport")
        assert kind is not None
        found = [stored.object for stored in self.keeper.world.list(kind, None).items]
        return next(one for one in found if one["scope"]["name"] == name)


async def until(holds: Callable[[], Any]) -> None:
    """Wait until something holds; the test's own limit ends a vain wait."""
    while not holds():  # noqa: ASYNC110  what is waited for is the store's, and has no event
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def cluster(path: Path, *, run: bool = True) -> AsyncIterator[Cluster]:
    keeper = await Keeper.open(path / "store.db", rng=random.Random(7))
    try:
        await keeper.write(lambda world: policing_kinds.install(world, NOW))
        gate = PolicyGate()
        keeper.guard(gate)
        made = Cluster(keeper, gate)
        task = asyncio.create_task(made.auditor.run()) if run else None
        try:
            yield made
        finally:
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
    finally:
        await keeper.close()


def running(test: Callable[[], Any]) -> None:
    asyncio.run(asyncio.wait_for(test(), 60))


def test_reports_come_follow_and_go(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(audit, "SETTLE", 0.01)

    async def test() -> None:
        async with cluster(tmp_path) as here:
            await here.create(config("good-one"), config("bad"), policy())
            await until(lambda: here.reports() == {"good-one": {"named": "pass"}, "bad": {"named": "fail"}})
            report = here.report("bad")
            assert report["summary"] == {"pass": 0, "fail": 1, "warn": 0, "error": 0, "skip": 0}
            assert report["metadata"]["ownerReferences"][0]["name"] == "bad"
            (row,) = report["results"]
            assert (row["rule"], row["severity"], row["source"]) == ("name", "high", "kyverno")
            assert "a bad name" in row["message"]

            await here.create(config("another-bad"))
            await until(lambda: here.reports().get("another-bad") == {"named": "fail"})

            await here.create(policy("second", "bad"))
            await until(lambda: here.reports()["bad"] == {"named": "fail", "second": "pass"})

            await here.delete(policy())
            await until(lambda: here.reports()["bad"] == {"second": "pass"})
            await here.delete(policy("second"))
            await until(lambda: here.reports() == {})

    running(test)


def test_only_what_changed_is_judged_again(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(audit, "SETTLE", 0.01)

    async def test() -> None:
        async with cluster(tmp_path) as here:
            await here.create(policy(), *(config(f"good-{n}") for n in range(20)))
            await until(lambda: len(here.reports()) == 20)
            await until(lambda: here.auditor.passes >= 1)
            judged, written = here.auditor.judged, here.auditor.written
            await here.patch(config("good-7"), {"data": {"a": "b"}})
            await until(lambda: here.auditor.judged > judged)
            await asyncio.sleep(0.1)
            assert here.auditor.judged == judged + 1
            assert here.auditor.written == written, "the report says what it said before"

    running(test)


def test_a_restart_writes_nothing_that_is_there_already(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(audit, "SETTLE", 0.01)

    async def test() -> None:
        async with cluster(tmp_path) as here:
            await here.create(policy(), config("bad"), config("gone"))
            await until(lambda: len(here.reports()) == 2)
        async with cluster(tmp_path, run=False) as here:
            await here.delete(config("gone"))
            before = here.report("bad")["metadata"]["resourceVersion"]
            task = asyncio.create_task(here.auditor.run())
            await until(lambda: here.auditor.passes == 1 and set(here.reports()) == {"bad"})
            assert here.report("bad")["metadata"]["resourceVersion"] == before
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    running(test)


def test_a_constraint_tells_its_violations(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(audit, "SETTLE", 0.01)

    async def test() -> None:
        async with cluster(tmp_path) as here:
            from fairlead.dialects import gatekeeper

            await here.create(
                TEMPLATE, gatekeeper.definition_of(TEMPLATE), CONSTRAINT, config("bad"), config("fine")
            )
            kind = here.keeper.world.catalogue.kind("constraints.gatekeeper.sh", "NoName")
            assert kind is not None

            def status() -> dict[str, Any]:
                found: dict[str, Any] = here.keeper.world.get(kind, "", "nobody").object.get("status") or {}
                return found

            await until(lambda: status().get("totalViolations") == 1)
            (violation,) = status()["violations"]
            assert (violation["name"], violation["message"], violation["enforcementAction"]) == (
                "bad",
                "no",
                "dryrun",
            )
            await here.delete(config("bad"))
            await until(lambda: status().get("totalViolations") == 0)

    running(test)


def test_system_namespaces_and_policies_are_left_alone(tmp_path: Path) -> None:
    async def test() -> None:
        async with cluster(tmp_path, run=False) as here:
            await here.create(policy())
            mine = config("bad")
            mine["metadata"]["namespace"] = "kube-system"
            await here.create(mine)
            await here.auditor.once()
            assert here.reports() == {}

    running(test)
