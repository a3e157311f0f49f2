"""Policies that change what exists, and controllers in JavaScript, whose guests are answered for by the test."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from fairlead.reactor import policing_judging
from fairlead.words import Need, Resource

from .conftest import cluster, config, policy


def marking(value: str, **more: Any) -> Resource:
    return {
        "name": "mark",
        "match": {"any": [{"resources": {"kinds": ["ConfigMap"], "names": ["trigger"]}}]},
        "mutate": {
            "targets": [
                {"apiVersion": "v1", "kind": "ConfigMap", "namespace": "default", "name": "target-*"}
            ],
            "patchStrategicMerge": {"metadata": {"labels": {"marked": value}}},
            **more,
        },
    }


def marks(found: Resource | None) -> Any:
    return ((found or {}).get("metadata") or {}).get("labels", {}).get("marked")


def test_existing_objects_are_changed_when_the_trigger_comes(tmp_path: Path) -> None:
    async def run() -> None:
        async with cluster(tmp_path) as one:
            await one.create(config("target-a"), config("target-b"), config("other"))
            await one.create(policy("p", marking("yes")))
            await one.settle()
            assert marks(one.get("ConfigMap", "target-a", "default")) is None
            await one.create(config("trigger"))
            await one.until(lambda: marks(one.get("ConfigMap", "target-a", "default")) == "yes")
            await one.until(lambda: marks(one.get("ConfigMap", "target-b", "default")) == "yes")
            assert marks(one.get("ConfigMap", "other", "default")) is None

    asyncio.run(run())


def test_existing_objects_are_changed_when_the_policy_comes_if_it_says_so(tmp_path: Path) -> None:
    async def run() -> None:
        async with cluster(tmp_path) as one:
            await one.create(config("target-a"), config("trigger"))
            await one.create(policy("p", marking("yes", mutateExistingOnPolicyUpdate=True)))
            await one.until(lambda: marks(one.get("ConfigMap", "target-a", "default")) == "yes")
            await one.patch(
                policy("p"), {"spec": {"rules": [marking("again", mutateExistingOnPolicyUpdate=True)]}}
            )
            await one.until(lambda: marks(one.get("ConfigMap", "target-a", "default")) == "again")

    asyncio.run(run())


def script(name: str = "c", kind: str = "Controller", **spec: Any) -> Resource:
    return {
        "apiVersion": "policy.jspolicy.com/v1beta1",
        "kind": "JsPolicy",
        "metadata": {"name": name},
        "spec": {
            "type": kind,
            "operations": ["CREATE", "DELETE"],
            "resources": ["configmaps"],
            "javascript": "1",
            **spec,
        },
    }


class Guest:
    """Answers for programs: what `says` gives for a request."""

    def __init__(self, says: Callable[[Any], Any]) -> None:
        self.seen: list[tuple[str, str]] = []
        self._says = says

    async def __call__(self, needs: Sequence[Need]) -> Mapping[Need, Any]:
        answers = {}
        for need in needs:
            request = json.loads(dict(need.detail)["payload"])["request"]
            self.seen.append((request["operation"], request["name"]))
            answers[need] = self._says(request)
        return answers


def test_a_controller_sees_what_is_there_what_changes_and_what_goes(tmp_path: Path) -> None:
    def says(request: Any) -> Any:
        name = request["name"]
        copy = config(f"copy-of-{name}")
        if not name.startswith("web"):
            return {"response": {}}
        verb = "remove" if request["operation"] == "DELETE" else "create"
        return {"response": {}, "changes": [{"verb": verb, "object": copy}]}

    async def run() -> None:
        guest = Guest(says)
        async with cluster(tmp_path, answering=guest) as one:
            await one.create(config("web-before"))
            await one.create(script())
            await one.until(lambda: one.get("ConfigMap", "copy-of-web-before", "default"))
            await one.create(config("web-later"))
            await one.until(lambda: one.get("ConfigMap", "copy-of-web-later", "default"))
            await one.delete(config("web-later"))
            await one.until(lambda: one.get("ConfigMap", "copy-of-web-later", "default") is None)
            assert ("DELETE", "web-later") in guest.seen

    asyncio.run(run())


def test_a_controller_that_asks_for_another_turn_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policing_judging, "FIRST_DELAY", 0.01)
    turns = 0

    def says(request: Any) -> Any:
        nonlocal turns
        if request["name"] != "web":
            return {"response": {}}
        turns += 1
        return {"response": {"reschedule": True, "message": "not yet"} if turns < 4 else {}}

    async def run() -> None:
        async with cluster(tmp_path, answering=Guest(says)) as one:
            await one.create(script())
            await one.create(config("web"))
            await one.until(lambda: turns == 4)
            await asyncio.sleep(0.2)
            assert turns == 4

    asyncio.run(run())


def test_what_scripts_find_is_listed(tmp_path: Path) -> None:
    def says(request: Any) -> Any:
        return {"response": {"deny": request["name"].startswith("bad"), "message": "no", "reason": "Bad"}}

    async def run() -> None:
        async with cluster(tmp_path, answering=Guest(says)) as one:
            found: Callable[[], list[Any]] = lambda: (  # noqa: E731  it is asked again and again
                (one.get("JsPolicyViolations", "v", group="policy.jspolicy.com") or {})
                .get("status", {})
                .get("violations", [])
            )
            await one.create(script("v", "Validating", violationPolicy="Warn", auditLogSize=2))
            for name in ("good", "bad-1", "bad-2", "bad-3"):
                await one.create(config(name))
            await one.until(lambda: [each["requestInfo"]["name"] for each in found()] == ["bad-2", "bad-3"])
            assert found()[0]["action"] == "Warn"
            assert found()[0]["userInfo"]["username"] == "jane"

    asyncio.run(run())
