"""A cluster that is followed is examined change by change, and its logs are fetched no more often than they help."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from fairlead.drivers.cluster import Unreachable
from fairlead.reactor import diagnosing_looking as looking
from fairlead.reactor import diagnosing_scope as scope
from fairlead.reactor.diagnosing_following import Batch
from fairlead.reactor.diagnosing_looking import Examination, Logs
from fairlead.words import Need, Ref, Resource

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def service(name: str, app: str) -> Resource:
    spec = {"selector": {"app": app}, "ports": [{"port": 80}]}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": "shop", "name": name, "uid": name},
        "spec": spec,
    }


def pod(restarts: int = 0, app: str = "web") -> Resource:
    status = {"containerStatuses": [{"name": "c", "restartCount": restarts, "state": {"running": {}}}]}
    meta = {"namespace": "shop", "name": "web", "uid": "u", "labels": {"app": app}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta,
        "spec": {"containers": [{"name": "c", "image": "i"}]},
        "status": status,
    }


def names(examination: Examination, *puts: Resource, drops: tuple[Ref, ...] = ()) -> list[str]:
    looked = examination.update(Batch(list(puts), list(drops)), now=NOW, answers={}, unseen=frozenset())
    return [finding.subject.name for finding, _ in looked.findings if finding.rule == "service.selector"]


def test_a_change_changes_what_is_found() -> None:
    examination = Examination()
    assert names(examination, service("web", "wbe"), pod()) == ["web"]
    first = examination._told
    assert names(examination, service("api", "apj")) == ["api", "web"]
    assert all(examination._told[key] is told for key, told in first.items()), (
        "what is the same is not written anew"
    )
    assert names(examination, service("web", "web")) == ["api"]
    assert names(examination, drops=(Ref("", "Service", "shop", "api"),)) == []


def test_after_a_fault_it_begins_anew_with_all_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    examination = Examination()
    assert names(examination, service("web", "wbe"), pod()) == ["web"]

    def fail(*_: Any, **__: Any) -> None:
        raise ValueError("a fault")

    monkeypatch.setattr(examination._engine, "update", fail)
    assert names(examination, service("api", "apj")) == ["api", "web"]
    assert names(examination, service("web", "web")) == ["api"]


class Api:
    """Gives out logs, some at a time."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.text = "one"

    async def raw(self, _method: str, _path: str, *, params: dict[str, str]) -> Any:
        self.asked.append(params["container"])
        if params["container"] == "gone":
            raise Unreachable("away")
        return SimpleNamespace(content=self.text.encode())


def need(container: str, previous: str = "true") -> Need:
    detail = (("container", container), ("previous", previous), ("tail", "50"))
    return Need("log", Ref("", "Pod", "shop", "web"), detail)


def test_logs_are_fetched_when_there_may_be_something_new_in_them() -> None:
    async def run() -> None:
        api, there, changes, at = Api(), [pod()], [0], [1000.0]

        def changed() -> None:
            changes[0] += 1

        logs = Logs(api, lambda _: there[0], changed, seconds=lambda: at[0])  # type: ignore[arg-type]  # what it asks of a cluster is there
        running = asyncio.create_task(logs.run())

        async def want(*needs: Need) -> None:
            logs.want(needs)
            for _ in range(10):
                await asyncio.sleep(0)

        await want(need("c"), need("gone"))
        assert (logs.answers, changes) == ({need("c"): "one"}, [1])
        await want(need("c"))
        assert api.asked == ["c", "gone"]
        there[0], api.text = pod(restarts=1), "two"
        await want(need("c"))
        assert (logs.answers, changes) == ({need("c"): "two"}, [2])
        await want(need("c", "false"))
        assert len(api.asked) == 4
        await want(need("c", "false"))
        assert len(api.asked) == 4
        at[0] += looking.LOG_AGAIN + 1
        await want(need("c", "false"))
        assert (len(api.asked), changes) == (5, [3]), "the same text again is no news"
        await want()
        assert logs.answers == {}
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(run())


def test_logs_are_fetched_a_few_at_a_time() -> None:
    async def run() -> None:
        api = Api()
        logs = Logs(api, lambda _: pod(), lambda: None, seconds=lambda: 1000.0)  # type: ignore[arg-type]  # what it asks of a cluster is there
        running = asyncio.create_task(logs.run())
        logs.want(need(f"c{index}") for index in range(100))
        for _ in range(200):
            await asyncio.sleep(0)
        assert len(api.asked) == looking.BURST
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(run())


def test_what_is_followed_follows_definitions() -> None:
    def definition(group: str, kind: str, **labels: str) -> Resource:
        versions = [
            {"name": "v1beta1", "served": True, "storage": False},
            {"name": "v1", "served": True, "storage": True},
        ]
        spec = {"group": group, "names": {"kind": kind, "plural": kind.lower()}, "versions": versions}
        return {
            "apiVersion": scope.DEFINITION[0],
            "kind": scope.DEFINITION[1],
            "metadata": {"name": kind, "labels": labels},
            "spec": spec,
        }

    own = {"app.kubernetes.io/managed-by": "fairlead"}
    found = scope.wanted(
        [
            definition("example.com", "Widget"),
            definition("kyverno.io", "Policy", **own),
            definition("gateway.networking.k8s.io", "Gateway"),
        ],
        frozenset({"gateway.networking.k8s.io/v1"}),
    )
    assert ("example.com/v1", "Widget") in found
    assert ("gateway.networking.k8s.io/v1", "Gateway") in found
    assert not [kind for kind in found if kind[0].startswith(("kyverno.io", "keda.sh"))]
    assert len(found) == len(set(found))
    assert ("keda.sh/v1alpha1", "ScaledObject") in scope.wanted([], None), (
        "where it is not known what is served, all is asked for"
    )
