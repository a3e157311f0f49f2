"""Continuous diagnosis on a real control plane: objects, Events and metrics of what is found, and healing as policies say."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.conftest import ControlPlane

from fairlead.drivers.cluster import AsyncCluster, read_kubeconfig
from fairlead.keep.errors import Refusal
from fairlead.reactor import (
    diagnosing_healing,
    diagnosing_reports,
    diagnosing_serving,
    diagnosing_working,
    planning,
)
from fairlead.reactor import heal as healing
from fairlead.reactor.diagnosing_serving import Options, Platform
from fairlead.reactor.diagnosing_working import Wishes
from fairlead.words import Resource

API = "fairlead.dev/v1alpha1"
POD = {"containers": [{"name": "web", "image": "web:1", "ports": [{"containerPort": 80}]}]}


@pytest.fixture(scope="module")
def data(control_plane: ControlPlane) -> Path:
    """The data directory of a control plane without a node."""
    return control_plane.data


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import timedelta

    for module, values in (
        (diagnosing_reports, {"APPEAR": 0.1, "VANISH": 0.3, "CONTEST": 0.1}),
        (diagnosing_working, {"QUIET": 0.03, "TICK": 0.5}),
        (diagnosing_healing, {"STANDS": timedelta(0), "LOOK": 0.1, "AGAIN": 0.5}),
        (healing, {"EVERY": 0.05, "BAD_SECONDS": 0.4}),
    ):
        for name, value in values.items():
            monkeypatch.setattr(module, name, value)


class Shop:
    """A namespace with a Service whose pod says that it runs, and the diagnosis that watches it."""

    def __init__(self, cluster: AsyncCluster, name: str, platform: Platform) -> None:
        self.cluster, self.name, self.platform = cluster, name, platform

    async def fill(self) -> None:
        await self.cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name}})
        for name in ("web", "api"):
            meta = {"name": name, "namespace": self.name}
            await self.create(
                {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": {**meta, "labels": {"app": name}},
                    "spec": {**POD, "nodeName": "one"},
                }
            )
            status = {
                "phase": "Running",
                "podIP": "10.0.0.9",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [
                    {"name": "web", "image": "web:1", "imageID": "x", "ready": True, "restartCount": 0, "state": {"running": {}}}
                ],
            }  # fmt: skip
            await self.cluster.patch("v1", "Pod", self.name, name, {"status": status}, subresource="status")
            spec = {"selector": {"app": name}, "ports": [{"port": 80}]}
            await self.create({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec})

    async def create(self, body: Resource) -> None:
        for _ in range(100):  # the namespace's service account comes a moment after it
            try:
                await self.cluster.create(body)
            except Refusal as refusal:
                if "serviceaccount" not in refusal.message:
                    raise
                await asyncio.sleep(0.05)
            else:
                return
        pytest.fail("no service account")

    async def select(self, app: str, service: str = "web") -> None:
        await self.cluster.patch("v1", "Service", self.name, service, {"spec": {"selector": {"app": app}}})

    async def selected(self, service: str = "web") -> str:
        return str((await self.cluster.get("v1", "Service", self.name, service))["spec"]["selector"]["app"])

    async def policy(self, name: str, **spec: Any) -> None:
        known = {"rules": ["service.*"], "namespaces": [self.name], "patience": "10s"}
        body = {"apiVersion": API, "kind": "HealPolicy", "metadata": {"name": name}, "spec": known | spec}
        await self.cluster.create(body)

    async def no_policies(self) -> None:
        for one in (await self.cluster.list(API, "HealPolicy"))[0]:
            await self.cluster.delete(API, "HealPolicy", "", one["metadata"]["name"])

    async def finding(self, holds: Callable[[dict[str, Any]], Any] = lambda _: True) -> Resource:
        """Wait for the finding about the Service, and until something holds of its status."""
        last: Any = None
        async with asyncio.timeout(20):
            while True:
                for one in (await self.cluster.list(API, "Finding", self.name))[0]:
                    last = one
                    with contextlib.suppress(KeyError):
                        if one["subject"] == "Service/web" and holds(one["status"]):
                            return one
                try:
                    await asyncio.sleep(0.05)
                except asyncio.CancelledError:
                    raise AssertionError(json.dumps(last, indent=1)) from None

    async def events(self) -> set[tuple[str, str]]:
        found, _ = await self.cluster.list("v1", "Event", self.name)
        return {(one["type"], one["reason"]) for one in found if one["source"]["component"] == "fairlead"}


async def until(look: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(20):
        while True:
            if found := await look():
                return found
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def diagnosed(data: Path, name: str, **more: Any) -> AsyncIterator[Shop]:
    wishes = Wishes(records=data / "fixes")
    known: dict[str, Any] = {"access": read_kubeconfig(data / "platform.kubeconfig"), "wishes": wishes}
    platform = Platform(Options(**(known | more)))
    stop = asyncio.Event()
    async with AsyncCluster.from_kubeconfig(data / "kubeconfig") as cluster:
        shop = Shop(cluster, name, platform)
        with contextlib.suppress(Refusal):
            await shop.fill()
        running = asyncio.create_task(platform.run(stop))
        try:
            yield shop
        finally:
            await shop.no_policies()
            await until(lambda: _connected(platform))
            await asyncio.sleep(
                0.2
            )  # a connection that is cancelled while it is made is not closed by the client's library
            stop.set()
            await running


async def _connected(platform: Platform) -> bool:
    """Whether everything that is to be watched is."""
    work = platform.work
    return work is None or platform.cluster.calls["WATCH", "begun"] >= len(work.mirror.kinds)


def played(data: Path, name: str, act: Callable[[Shop], Coroutine[Any, Any, None]], **more: Any) -> None:
    async def run() -> None:
        async with diagnosed(data, name, **more) as shop:
            await act(shop)

    asyncio.run(run())


def test_what_breaks_is_told_and_what_is_mended_too(data: Path, tmp_path: Path) -> None:
    async def act(shop: Shop) -> None:
        await shop.select("wbe")
        found = await shop.finding()
        assert (found["subject"], found["status"]["state"]) == ("Service/web", "active")
        name = found["metadata"]["name"]
        assert found["finding"]["id"] == name
        await until(lambda: _holds(shop.events(), {("Warning", "ServiceSelector")}))
        await until(lambda: _connected(shop.platform))
        await shop.cluster.patch(API, "Finding", shop.name, name, {"finding": {"message": "all is well"}})
        await until(lambda: _is(shop, lambda one: one["finding"]["message"] == found["finding"]["message"]))
        await shop.cluster.delete(API, "Finding", shop.name, name)
        assert (await shop.finding())["status"]["firstSeen"] == found["status"]["firstSeen"]
        await shop.select("web")
        await shop.finding(lambda status: status["state"] == "resolved")
        await until(lambda: _holds(shop.events(), {("Normal", "ServiceSelectorResolved")}))

        work = shop.platform.work
        assert work is not None
        assert not work.mirror.unseen
        told = shop.platform.metrics.text()
        assert (
            f'fairlead_findings{{rule="service.selector",severity="critical",namespace="{shop.name}",state="resolved"}} 1'
            in told
        )
        assert 'fairlead_findings_total{rule="service.selector",severity="critical",state="active"} 1' in told
        assert 'fairlead_diagnosis_api_calls_total{verb="GET",outcome="answered"}' in told
        assert 'fairlead_diagnosis_events_total{outcome="written"}' in told

    played(data, "told", act)


async def _holds(found: Awaitable[set[Any]], wanted: set[Any]) -> bool:
    return wanted <= await found


async def _is(shop: Shop, holds: Callable[[Resource], bool]) -> bool:
    return holds(await shop.finding())


def test_metrics_are_served_on_loopback(data: Path) -> None:
    async def act(shop: Shop) -> None:
        port = shop.platform.options.metrics
        async with httpx.AsyncClient(trust_env=False) as http:

            async def ready() -> bool:
                with contextlib.suppress(httpx.HTTPError):
                    return (await http.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200
                return False

            await until(ready)
            text = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
        assert "fairlead_diagnosis_leads 1" in text
        assert "fairlead_diagnosis_away 0" in text

    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    played(data, "metered", act, metrics=port)


def test_what_somebody_lives_with_is_not_told(data: Path) -> None:
    async def act(shop: Shop) -> None:
        await shop.select("wbe")
        found = await shop.finding()
        spec = {"rule": "service.*", "subject": {"namespace": shop.name}, "reason": "it is known"}
        await shop.cluster.create(
            {"apiVersion": API, "kind": "Suppression", "metadata": {"name": "known"}, "spec": spec}
        )
        await shop.finding(
            lambda status: (
                status["suppression"]["reason"] == "it is known" and status["state"] == "suppressed"
            )
        )
        await shop.cluster.delete(API, "Suppression", "", "known")
        again = await shop.finding(lambda status: status["state"] == "active")
        assert again["metadata"]["uid"] == found["metadata"]["uid"]
        await shop.select("web")

    played(data, "known", act)


def test_without_a_policy_nothing_is_tried_and_with_one_it_is_proposed(data: Path) -> None:
    async def act(shop: Shop) -> None:
        await shop.select("wbe")
        await shop.finding()
        await asyncio.sleep(0.5)
        assert "proposal" not in (await shop.finding())["status"]
        await shop.policy("propose", mode="propose")
        told = (await shop.finding(lambda status: status["proposal"]))["status"]["proposal"]
        assert (told["proven"], told["title"], told["policy"]) == (True, "select app=web", "propose")
        assert "+    app: web" in told["diffs"][0]
        assert told["command"].startswith("fairlead fix ")
        assert await shop.selected() == "wbe"
        await shop.select("web")

    played(data, "proposed", act)


def test_what_is_proven_is_carried_out_where_a_policy_wants_it(data: Path) -> None:
    records: list[Path] = []

    async def act(shop: Shop) -> None:
        await shop.policy("auto", mode="auto", maxPerHour=2)
        await shop.select("wbe")
        await shop.select("nope", "api")
        done = await shop.finding(
            lambda status: status["healing"]["outcome"] == "healthy" and status["state"] == "resolved"
        )
        assert await shop.selected() == "web"
        told = done["status"]["healing"]
        assert (told["phase"], told["policy"]) == ("done", "auto")
        assert told["undo"][0]["body"][-1] == {"op": "replace", "path": "/spec/selector/app", "value": "wbe"}
        records.append(Path(told["record"]))
        await until(lambda: _holds(shop.events(), {("Normal", "Healed")}))
        policy = await shop.cluster.get(API, "HealPolicy", "", "auto")
        assert len(policy["status"]["recent"]) in {1, 2}

    played(data, "healed", act)
    (record,) = records
    told = json.loads(record.read_text())
    assert (told["kind"], told["applied"]["outcome"]) == ("Fix", "healthy")
    assert record.stat().st_mode & 0o777 == 0o600


def test_what_makes_things_worse_is_taken_back_and_not_tried_again(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = planning.try_fixes

    def harmful(view: Any, finding: Any, **more: Any) -> Any:
        """A trial that has not seen that its fix breaks another Service."""
        trial = tried(view, finding, **more)
        (change,) = trial.fix.changes
        other = replace(change, ref=replace(change.ref, name="api", uid=""), if_uid="")
        other = replace(other, body=[{"op": "replace", "path": "/spec/selector/app", "value": "nobody"}])
        trial.fix = replace(trial.fix, changes=(change, other))
        return trial

    monkeypatch.setattr(diagnosing_healing, "try_fixes", harmful)

    async def act(shop: Shop) -> None:
        await shop.policy("auto", mode="auto")
        await shop.select("wbe")
        done = await shop.finding(lambda status: status["healing"]["outcome"] == "rolled back")
        assert (await shop.selected(), await shop.selected("api")) == ("wbe", "api")
        await until(lambda: _holds(shop.events(), {("Warning", "HealingRolledBack")}))
        started = done["status"]["healing"]["started"]
        await asyncio.sleep(1.0)
        again = (await shop.finding())["status"]["healing"]
        assert (again["outcome"], again["started"], again["times"]) == ("rolled back", started, 1)
        monkeypatch.setattr(diagnosing_healing, "try_fixes", tried)
        await shop.select("another")
        await shop.finding(lambda status: status["healing"]["outcome"] == "healthy")
        assert await shop.selected() == "web", "it has changed, so it is tried once more"

    played(data, "worse", act)


def test_somebody_may_keep_healing_away(data: Path) -> None:
    async def act(shop: Shop) -> None:
        await shop.select("wbe")
        found = await shop.finding()
        places: tuple[tuple[str, str, str, str], ...] = (
            ("v1", "Namespace", "", shop.name),
            ("v1", "Service", shop.name, "web"),
            (API, "Finding", shop.name, found["metadata"]["name"]),
        )
        for place in places:
            await shop.cluster.patch(*place, {"metadata": {"annotations": {"fairlead.dev/heal": "off"}}})
        await asyncio.sleep(0.3)
        await shop.policy("auto", mode="auto")
        for place in places:
            await asyncio.sleep(0.5)
            assert await shop.selected() == "wbe"
            assert "healing" not in (await shop.finding())["status"]
            await shop.cluster.patch(*place, {"metadata": {"annotations": {"fairlead.dev/heal": None}}})
        await shop.finding(lambda status: status["healing"]["outcome"] == "healthy")

    played(data, "kept", act)


def test_a_dry_run_a_closed_window_and_a_spent_rate_only_propose(data: Path) -> None:
    async def act(shop: Shop) -> None:
        await shop.policy("dry", mode="auto", dryRun=True)
        await shop.select("wbe")
        await shop.finding(lambda status: status["healing"]["outcome"] == "dry run")
        await shop.no_policies()
        closed = (
            {"schedule": "0 0 1 1 *", "duration": "1m"}
            if time.gmtime().tm_yday > 2
            else {"schedule": "0 0 1 6 *", "duration": "1m"}
        )
        await shop.policy("closed", mode="auto", window=closed)
        told = await shop.finding(
            lambda status: status["proposal"]["policy"] == "closed" and status["proposal"]["note"]
        )
        assert told["status"]["proposal"]["note"].startswith("its window is closed until")
        await shop.no_policies()
        await shop.policy("spent", mode="auto", maxPerHour=0)
        await shop.finding(
            lambda status: (
                status["proposal"]["policy"] == "spent" and "its limit" in status["proposal"]["note"]
            )
        )
        policy = await until(lambda: _policy(shop, "spent", "waiting"))
        assert "its limit" in policy["status"]["message"]
        assert await shop.selected() == "wbe"
        await shop.select("web")

    played(data, "patient", act)


async def _policy(shop: Shop, name: str, state: str) -> Resource | None:
    found = await shop.cluster.get(API, "HealPolicy", "", name)
    return found if (found.get("status") or {}).get("state") == state else None


def test_what_an_earlier_process_has_begun_is_finished(data: Path) -> None:
    undo = {
        "verb": "patch", "apiVersion": "v1", "ref": {"kind": "Service", "namespace": "begun", "name": "api"}, "patch": "json",
        "body": [{"op": "test", "path": "/spec/selector/app", "value": "api"}, {"op": "replace", "path": "/spec/selector/app", "value": "old"}],
    }  # fmt: skip

    async def begin(shop: Shop) -> None:
        await shop.select("wbe")
        await shop.finding()

    async def finish(shop: Shop) -> None:
        await shop.finding(lambda status: status["healing"]["outcome"] == "rolled back")
        assert await shop.selected("api") == "old"
        assert await shop.selected() == "wbe"

    async def leave() -> None:
        async with AsyncCluster.from_kubeconfig(data / "kubeconfig") as cluster:
            (found,) = (await cluster.list(API, "Finding", "begun"))[0]
            told = {
                "phase": "begun",
                "of": "x",
                "policy": "gone",
                "title": "t",
                "started": "2020-01-01T00:00:00Z",
                "undo": [undo],
            }
            await cluster.patch(
                API, "Finding", "begun", found["metadata"]["name"], {"status": {"healing": told}}
            )

    played(data, "begun", begin)
    asyncio.run(leave())
    played(data, "begun", finish)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_of_two_replicas_one_leads_and_the_other_takes_over(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fairlead.reactor import diagnosing_leading as leading

    for name, value in (("LASTS", 1), ("RENEWED", 0.2), ("GIVEN_UP", 0.6)):
        monkeypatch.setattr(leading, name, value)

    async def act(shop: Shop) -> None:
        first, stop = shop.platform, asyncio.Event()
        assert first.leading is not None
        await until(lambda: _leads(first))
        await until(lambda: _connected(first))
        second = Platform(replace(first.options, identity="two"))
        running = asyncio.create_task(second.run(stop))
        await asyncio.sleep(0.6)
        assert (second.work, await _leads(second)) == (None, False)
        lease = await shop.cluster.get("coordination.k8s.io/v1", "Lease", "default", "fairlead-heal")
        assert lease["spec"]["holderIdentity"] == "one"
        await shop.cluster.patch(
            "coordination.k8s.io/v1", "Lease", "default", "fairlead-heal", {"spec": {"holderIdentity": "two"}}
        )
        await until(lambda: _leads(second))
        await until(lambda: _waits(first))
        await until(lambda: _rests(first))  # what it was doing comes to its end first
        await until(lambda: _connected(second))
        await asyncio.sleep(0.2)
        stop.set()
        await running
        await until(lambda: _leads(first))
        await until(lambda: _connected(first))
        await asyncio.sleep(0.3)

    played(
        data,
        "led",
        act,
        lease=("default", "fairlead-heal"),
        identity="one",
        access=read_kubeconfig(data / "kubeconfig"),
    )
    # Who stops leading while it connects leaves sockets to the collector, as the client's library does: they end here, and in no other test.
    gc.collect()


async def _leads(platform: Platform) -> bool:
    return platform.leading is not None and platform.leading.leads


async def _waits(platform: Platform) -> bool:
    return not await _leads(platform)


async def _rests(platform: Platform) -> bool:
    return platform.work is None


def test_receivers_come_from_the_environment_and_a_file(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(diagnosing_serving.WEBHOOK, "https://chat.example/a")
    file = tmp_path / "receivers.yaml"
    options = Options(access=read_kubeconfig(data / "kubeconfig"), wishes=Wishes(), receivers=file)

    def urls() -> list[str]:
        platform._read_receivers()
        return [line.receiver.url for line in platform.notifier._lines]

    platform = Platform(options)
    assert urls() == ["https://chat.example/a"]
    file.write_text("https://chat.example/b\n")
    assert urls() == ["https://chat.example/a", "https://chat.example/b"]
    file.write_text("- {url: nonsense}")
    os.utime(file, (1, 1))
    assert urls() == ["https://chat.example/a", "https://chat.example/b"]
    file.unlink()
    assert urls() == ["https://chat.example/a"]
    asyncio.run(platform.cluster.close())
