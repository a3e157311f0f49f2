"""What policies do by the clock: cleanups by their schedules, labels that let objects expire. The clock is the test's."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fairlead.words import Resource

from .conftest import cluster, config


class Clock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 10, 2, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def go(self, **more: float) -> None:
        self.now += timedelta(**more)


def cleanup(name: str, schedule: str, labels: dict[str, str], **spec: Any) -> Resource:
    return {
        "apiVersion": "kyverno.io/v2",
        "kind": "ClusterCleanupPolicy",
        "metadata": {"name": name},
        "spec": {
            "schedule": schedule,
            "match": {"any": [{"resources": {"kinds": ["ConfigMap"], "selector": {"matchLabels": labels}}}]},
            **spec,
        },
    }


def test_a_cleanup_policy_runs_by_its_schedule(tmp_path: Path) -> None:
    async def run() -> None:
        clock = Clock()
        async with cluster(tmp_path, clock) as one:
            await one.create(config("old", labels={"junk": "yes"}), config("kept", labels={"junk": "no"}))
            await one.create(config("system", "kube-system", labels={"junk": "yes"}))
            await one.create(cleanup("c", "*/5 * * * *", {"junk": "yes"}))
            await one.settle()
            clock.go(minutes=2)
            await asyncio.sleep(0.1)
            assert one.get("ConfigMap", "old", "default")
            clock.go(minutes=1)
            await one.until(lambda: one.get("ConfigMap", "old", "default") is None, "cleaned up")
            assert one.get("ConfigMap", "kept", "default")
            assert one.get("ConfigMap", "system", "kube-system")
            await one.until(
                lambda: (
                    (one.get("ClusterCleanupPolicy", "c", group="kyverno.io") or {})
                    .get("status", {})
                    .get("lastExecutionTime")
                    == "2026-03-01T10:05:00Z"
                )
            )
            await one.until(lambda: one.told("PolicyApplied") == ["ConfigMap default/old deleted"])
            await one.create(config("next", labels={"junk": "yes"}))
            await one.settle()
            assert one.get("ConfigMap", "next", "default")
            clock.go(minutes=5)
            await one.until(lambda: one.get("ConfigMap", "next", "default") is None, "and again")

    asyncio.run(run())


def test_a_run_that_was_missed_is_made_up_for(tmp_path: Path) -> None:
    async def run() -> None:
        clock = Clock()
        async with cluster(tmp_path, clock) as one:
            await one.create(
                config("old", labels={"junk": "yes"}), cleanup("c", "0 * * * *", {"junk": "yes"})
            )
            await one.settle()
            await one.close()
            clock.go(hours=3)
            await one.open()
            await one.until(lambda: one.get("ConfigMap", "old", "default") is None)

    asyncio.run(run())


def test_a_deleting_policy_runs_by_its_schedule(tmp_path: Path) -> None:
    async def run() -> None:
        clock = Clock()
        async with cluster(tmp_path, clock) as one:
            await one.create(config("junk"), config("kept"))
            rule = {
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "operations": ["*"],
                "resources": ["configmaps"],
            }
            await one.create(
                {
                    "apiVersion": "policies.kyverno.io/v1alpha1",
                    "kind": "DeletingPolicy",
                    "metadata": {"name": "d"},
                    "spec": {
                        "schedule": "0 11 * * *",
                        "matchConstraints": {"resourceRules": [rule]},
                        "conditions": [{"name": "junk", "expression": "object.metadata.name == 'junk'"}],
                    },
                }
            )
            await one.settle()
            clock.go(hours=1)
            await one.until(lambda: one.get("ConfigMap", "junk", "default") is None)
            assert one.get("ConfigMap", "kept", "default")

    asyncio.run(run())


def test_objects_expire_by_their_label(tmp_path: Path) -> None:
    async def run() -> None:
        clock = Clock()
        async with cluster(tmp_path, clock) as one:
            ttl = "cleanup.kyverno.io/ttl"
            await one.create(
                config("short", labels={ttl: "30s"}),
                config("long", labels={ttl: "2d"}),
                config("dated", labels={ttl: "2026-03-02"}),
                config("wrong", labels={ttl: "soon"}),
                config("spared", labels={ttl: "30s"}),
            )
            await one.patch(config("spared"), {"metadata": {"labels": {ttl: None}}})
            await one.settle()
            clock.go(minutes=1)
            await one.until(lambda: one.get("ConfigMap", "short", "default") is None)
            await one.restart()
            await one.settle()
            assert {each["metadata"]["name"] for each in one.all("ConfigMap", "default")} >= {
                "long",
                "dated",
                "wrong",
                "spared",
            }
            clock.go(days=1)
            await one.until(lambda: one.get("ConfigMap", "dated", "default") is None)
            clock.go(days=1)
            await one.until(lambda: one.get("ConfigMap", "long", "default") is None)
            assert one.get("ConfigMap", "spared", "default")
            assert any("'soon' is neither a duration nor a time" in text for text in one.told("PolicyError"))

    asyncio.run(run())
