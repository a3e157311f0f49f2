"""An undo may begin anywhere and break off anywhere: objects come back exactly, and what somebody else has changed since stays."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from fairlead.diagnose.proposing import Edit, anew, bare, patch
from fairlead.drivers.cluster import Access, AsyncCluster
from fairlead.keep.errors import Refusal
from fairlead.reactor import heal as healing
from fairlead.reactor.diagnosing_documents import print_of
from fairlead.reactor.examine import Examined
from fairlead.reactor.heal import Healing, heal
from fairlead.reactor.undoing import assess, take_back, undo
from fairlead.tongues import jsonpatch
from fairlead.words import Change, Finding, Fix, Ref, Resource, Severity, Snapshot

WEB: Resource = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "shop", "uid": "u-web"},
    "spec": {"selector": {"app": "wbe"}, "ports": [{"port": 80}]},
}
API: Resource = {**WEB, "metadata": {"name": "api", "namespace": "shop", "uid": "u-api"}}
JOB: Resource = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "once", "namespace": "shop", "uid": "u-job", "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}},
    "spec": {"template": {"spec": {"image": "a"}}},
}  # fmt: skip
PLURALS = {"services": "Service", "jobs": "Job", "configmaps": "ConfigMap"}


class Server:
    """An API of a few objects, which can be told to misbehave: `fault` is asked before each request that is no dry run."""

    def __init__(self, *objects: Resource) -> None:
        self.objects: dict[tuple[str, str], Resource] = {}
        self.version, self.writes = 0, list[str]()
        self.fault: Callable[[str, str], httpx.Response | None] = lambda _method, _name: None
        for one in objects:
            self.put(copy.deepcopy(one), "somebody")

    def put(self, one: Resource, manager: str) -> Resource:
        self.version += 1
        meta = one["metadata"]
        meta.setdefault("uid", f"u-{self.version}")
        meta["resourceVersion"] = str(self.version)
        meta.setdefault("managedFields", []).append(
            {"manager": manager, "operation": "Update", "fieldsV1": {"f:spec": {}}}
        )
        self.objects[one["kind"], meta["name"]] = one
        return one

    def edit(
        self, kind: str, name: str, change: Callable[[Resource], Any], manager: str = "kubectl-edit"
    ) -> None:
        one = self.objects[kind, name]
        change(one)
        self.put(one, manager)

    def bare(self) -> dict[tuple[str, str], Resource]:
        return {key: bare(one) for key, one in self.objects.items()}

    def answer(self, request: httpx.Request) -> httpx.Response:
        parts = request.url.path.strip("/").split("/")
        if "namespaces" not in parts:
            names = [{"name": plural, "kind": kind, "namespaced": True} for plural, kind in PLURALS.items()]
            return httpx.Response(200, json={"resources": names})
        rest = parts[parts.index("namespaces") + 2 :]
        kind, name = PLURALS[rest[0]], rest[1] if len(rest) > 1 else ""
        body = json.loads(request.content) if request.content else None
        dry = "dryRun" in request.url.params or (isinstance(body, dict) and bool(body.get("dryRun")))
        name = name or str((body or {})["metadata"]["name"])
        if not dry and (wrong := self.fault(request.method, name)) is not None:
            return wrong
        return self.do(request, kind, name, body, dry=dry)

    def do(self, request: httpx.Request, kind: str, name: str, body: Any, *, dry: bool) -> httpx.Response:
        there = self.objects.get((kind, name))
        if request.method == "POST":
            if there is not None:
                return status(409, "already exists")
            return httpx.Response(
                201, json=body if dry else self.put(copy.deepcopy(body), request.url.params["fieldManager"])
            )
        if there is None:
            return status(404, "not found")
        if request.method == "GET":
            return httpx.Response(200, json=there)
        if request.method == "DELETE":
            wanted = (body or {}).get("preconditions") or {}
            if any(there["metadata"][key] != value for key, value in wanted.items()):
                return status(409, "the precondition does not hold")
            if not dry:
                self.writes.append(f"delete {name}")
                del self.objects[kind, name]
            return httpx.Response(200, json={})
        try:
            new = jsonpatch.apply(copy.deepcopy(there), body)
        except jsonpatch.Unpatchable as error:
            return status(422, str(error))
        if not dry:
            self.writes.append(f"patch {name}")
            self.put(copy.deepcopy(new), request.url.params["fieldManager"])
        return httpx.Response(200, json=new)


def status(code: int, message: str) -> httpx.Response:
    return httpx.Response(code, json={"kind": "Status", "code": code, "message": message})


def cluster_of(server: Server) -> AsyncCluster:
    cluster = AsyncCluster(Access(server="http://cluster"))
    cluster._http = httpx.AsyncClient(base_url="http://cluster", transport=httpx.MockTransport(server.answer))
    return cluster


def now() -> datetime:
    return datetime.now(UTC)


def changes() -> tuple[Change, ...]:
    """A fix of three steps: a Service is patched, a Job made anew, and a ConfigMap created."""
    fresh = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "fresh", "namespace": "shop"},
        "data": {"a": "b"},
    }
    return (
        patch(WEB, [Edit(("spec", "selector", "app"), "web"), Edit(("spec", "type"), "ClusterIP")], "x"),
        *anew(JOB, [Edit(("spec", "template", "spec", "image"), "b")], "x"),
        Change(verb="create", ref=Ref.of(fresh), api_version="v1", body=fresh),
    )


FIX = Fix(title="three steps", changes=changes())
FINDING = Finding(rule="x.y", severity=Severity.WARNING, subject=Ref.of(WEB), message="m", fixes=(FIX,))


async def well() -> Examined:
    return Examined([], Snapshot([]), "live", frozenset())


class Killed(BaseException):
    """The end of the process, as far as what is done and what is written down are concerned."""


def healed(server: Server, fix: Fix = FIX, *, noted: list[Healing] | None = None, **more: Any) -> Healing:
    def note(one: Healing) -> None:
        if noted is not None:
            noted[:] = [copy.deepcopy(one)]

    known: dict[str, Any] = {"before": [FINDING], "now": now, "patience": 3.0, "look": well, "note": note}

    async def run() -> Healing:
        async with cluster_of(server) as cluster:
            return await heal(cluster, FINDING, fix, **(known | more))

    return asyncio.run(run())


def taken_back(server: Server, back: Sequence[Change]) -> list[str]:
    async def run() -> list[str]:
        async with cluster_of(server) as cluster:
            return await take_back(cluster, back, now)

    return asyncio.run(run())


def states(server: Server, back: Sequence[Change]) -> list[str]:
    async def run() -> list[str]:
        async with cluster_of(server) as cluster:
            return [one.state for one in await assess(cluster, back)]

    return asyncio.run(run())


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(healing, "EVERY", 0.01)


@pytest.mark.parametrize("at", range(5))
def test_whenever_it_is_killed_an_undo_brings_all_back(at: int) -> None:
    """`at` is how many writes are made before the process ends; reads go on, and what was noted last is all that is known."""
    server = Server(WEB, JOB)
    before, noted = server.bare(), list[Healing]()
    made = 0

    def fault(method: str, _name: str) -> httpx.Response | None:
        nonlocal made
        if method != "GET":
            if made == at:
                raise Killed
            made += 1
        return None

    server.fault = fault
    if at < 4:
        with pytest.raises(Killed):
            healed(server, noted=noted)
    else:
        assert healed(server, noted=noted).outcome == "healthy"
    server.fault = lambda _method, _name: None
    (known,) = noted
    assert taken_back(server, known.undo) == []
    assert server.bare() == before
    annotations = server.objects["Job", "once"]["metadata"]["annotations"]
    assert "kubectl.kubernetes.io/last-applied-configuration" in annotations, "all of it is back"
    writes = len(server.writes)
    assert set(states(server, known.undo)) == {"as it was"}
    assert taken_back(server, known.undo) == []
    assert len(server.writes) == writes, "twice changes nothing more"


@pytest.mark.parametrize("at", range(4))
def test_an_undo_that_is_killed_goes_on_where_it_was(at: int) -> None:
    server = Server(WEB, JOB)
    before = server.bare()
    done = healed(server)
    made = 0

    def fault(method: str, _name: str) -> httpx.Response | None:
        nonlocal made
        made += method != "GET"
        if made > at:
            raise Killed
        return None

    server.fault = fault
    with pytest.raises(Killed):
        taken_back(server, done.undo)
    server.fault = lambda _method, _name: None
    assert taken_back(server, done.undo) == []
    assert server.bare() == before


@pytest.mark.parametrize(
    ("kind", "name", "change", "lost"),
    [
        (
            "Service",
            "web",
            lambda one: one["spec"]["selector"].update(app="mine"),
            "/spec/selector/app is not as",
        ),
        ("Service", "web", lambda one: one["spec"].update(type="NodePort"), "/spec/type is not as"),
        ("Service", "web", lambda one: one["metadata"].update(uid="u-2"), "made anew"),
        ("Job", "once", lambda one: one["spec"].update(parallelism=3), "was changed since, by kubectl-edit"),
        ("Job", "once", lambda one: one["metadata"].update(uid="u-3"), "made anew"),
        ("ConfigMap", "fresh", lambda one: one["data"].update(c="d"), "was changed since, by kubectl-edit"),
    ],
)
def test_what_somebody_has_changed_since_stays(
    kind: str, name: str, change: Callable[[Resource], Any], lost: str
) -> None:
    server = Server(WEB, JOB)
    done = healed(server)
    server.edit(kind, name, change)
    theirs = bare(server.objects[kind, name])
    failures = taken_back(server, done.undo)
    assert any(lost in one for one in failures), failures
    assert bare(server.objects[kind, name]) == theirs


def test_what_others_write_beside_it_is_kept_and_no_hindrance() -> None:
    server = Server(WEB, JOB)
    fix = Fix(title="x", changes=(patch(WEB, [Edit(("metadata", "annotations"), {"ours": "1"})], "x"),))
    done = healed(server, fix)
    server.edit("Service", "web", lambda one: one["metadata"]["annotations"].update(theirs="2"))
    assert taken_back(server, done.undo) == []
    assert server.objects["Service", "web"]["metadata"]["annotations"] == {"theirs": "2"}


def test_what_the_server_adds_to_a_value_is_ours_too() -> None:
    server = Server(WEB, JOB)
    plain, seen = server.do, list[bool]()

    def filling(request: httpx.Request, kind: str, name: str, body: Any, *, dry: bool) -> httpx.Response:
        if request.method == "PATCH" and any(one["op"] == "add" for one in body):
            seen.append(dry)
            body = [*body, {"op": "add", "path": "/spec/probe/period", "value": 10}]
        return plain(request, kind, name, body, dry=dry)

    server.do = filling  # type: ignore[method-assign]
    fix = Fix(title="x", changes=(patch(WEB, [Edit(("spec", "probe"), {"port": 80})], "x"),))
    before = server.bare()
    done = healed(server, fix)
    assert seen == [True, False]
    assert server.objects["Service", "web"]["spec"]["probe"] == {"port": 80, "period": 10}
    assert taken_back(server, done.undo) == []
    assert server.bare() == before


def test_what_a_fix_took_away_is_not_put_over_what_came_in_its_place() -> None:
    server = Server(WEB, JOB)
    fix = Fix(title="x", changes=(patch(WEB, [Edit(("spec", "selector", "app"), None)], "x"),))
    done = healed(server, fix)
    server.edit("Service", "web", lambda one: one["spec"]["selector"].update(app="mine"))
    assert taken_back(server, done.undo)
    assert server.objects["Service", "web"]["spec"]["selector"] == {"app": "mine"}


@pytest.mark.parametrize(
    ("kind", "name", "change"),
    [
        ("Service", "web", lambda one: one["spec"].update(type="LoadBalancer")),
        ("Service", "web", lambda one: one["metadata"].update(uid="u-2")),
        ("Job", "once", lambda one: one["metadata"].update(uid="u-3")),
        ("Job", "once", lambda one: one["spec"].update(suspend=True)),
    ],
)
def test_what_has_changed_between_trial_and_apply_is_left_alone(
    kind: str, name: str, change: Callable[[Resource], Any]
) -> None:
    server = Server(WEB, JOB)
    server.edit(kind, name, change)
    before = server.bare()
    basis = {Ref.of(one): one for one in (WEB, JOB)}
    done = healed(server, basis=basis)
    assert done.outcome == "refused"
    assert server.bare() == before
    assert server.writes == []


def test_of_two_who_fix_the_same_one_is_refused_and_nothing_is_lost() -> None:
    """The other one comes between the dry run and the change."""
    server = Server(WEB, JOB)
    fix = Fix(title="x", changes=(patch(WEB, [Edit(("spec", "type"), "ClusterIP")], "x"),))
    first = True

    def fault(method: str, _name: str) -> httpx.Response | None:
        nonlocal first
        if method == "PATCH" and first:
            first = False
            server.edit("Service", "web", lambda one: one["spec"].update(type="NodePort"))
        return None

    server.fault = fault
    done = healed(server, fix)
    assert done.outcome == "refused", done.steps
    assert server.objects["Service", "web"]["spec"]["type"] == "NodePort"


def test_who_writes_the_object_for_other_reasons_is_no_hindrance() -> None:
    server = Server(WEB, JOB)
    fix = Fix(title="x", changes=(patch(WEB, [Edit(("spec", "type"), "ClusterIP")], "x"),))
    turns = 0

    def fault(method: str, _name: str) -> httpx.Response | None:
        nonlocal turns
        if method == "PATCH" and turns < 3:
            turns += 1
            server.edit("Service", "web", lambda one: one.update(status={"turn": turns}))
        return None

    server.fault = fault
    assert healed(server, fix).outcome == "healthy"


@pytest.mark.parametrize("code", [403, 409, 429, 500, 503])
def test_a_second_change_that_is_refused_has_the_first_taken_back(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def at_once(_: float) -> None:
        return None

    monkeypatch.setattr("fairlead.reactor.undoing.asyncio.sleep", at_once)
    server = Server(WEB, API)
    before = server.bare()
    server.fault = lambda method, name: status(code, "no") if (method, name) == ("PATCH", "api") else None
    both = tuple(patch(one, [Edit(("spec", "selector", "app"), "web")], "x") for one in (WEB, API))
    done = healed(server, Fix(title="x", changes=both))
    assert done.outcome == "rolled back", done.steps
    assert server.bare() == before


def test_a_change_of_which_nobody_knows_is_looked_for_and_taken_back() -> None:
    server = Server(WEB)
    before = server.bare()
    fix = Fix(title="x", changes=(patch(WEB, [Edit(("spec", "selector", "app"), "web")], "x"),))
    first = True

    def fault(method: str, _name: str) -> httpx.Response | None:
        nonlocal first
        if method == "PATCH" and first:
            first = False
            server.edit(
                "Service", "web", lambda one: one["spec"]["selector"].update(app="web"), "fairlead-fix"
            )
            return status(504, "the answer came too late")
        return None

    server.fault = fault
    done = healed(server, fix)
    assert done.outcome == "rolled back", done.steps
    assert server.bare() == before


def test_a_cluster_that_is_away_while_a_fix_is_taken_back_is_waited_for() -> None:
    server = Server(WEB, API)
    before = server.bare()
    away = 0

    def fault(method: str, name: str) -> httpx.Response | None:
        nonlocal away
        if (method, name) == ("PATCH", "api"):
            away = 6
            return status(403, "no")
        away -= 1
        if away > 0:
            raise httpx.ConnectError("away")
        return None

    server.fault = fault
    both = tuple(patch(one, [Edit(("spec", "selector", "app"), "web")], "x") for one in (WEB, API))
    done = healed(server, replace(FIX, changes=both))
    assert done.outcome == "rolled back", done.steps
    assert server.bare() == before


def test_nothing_is_changed_where_it_cannot_be_written_down() -> None:
    server = Server(WEB, JOB)
    before = server.bare()

    def full(_: Healing) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        healed(server, note=full)
    assert server.bare() == before
    turns = 0

    def later(_: Healing) -> None:
        nonlocal turns
        turns += 1
        if turns > 1:
            raise OSError(28, "No space left on device")

    done = healed(server, note=later)
    assert done.outcome == "healthy"
    assert [one.name for one in done.steps if not one.ok] == ["what was done is written down"]


def test_refusals_while_it_is_watched_do_not_end_the_watch() -> None:
    turns = 0

    async def look() -> Examined:
        nonlocal turns
        turns += 1
        if turns < 3:
            raise Refusal(500, "InternalError", "not now")
        return await well()

    assert healed(Server(WEB, JOB), look=look).outcome == "healthy"


def test_without_a_dry_run_s_answer_the_patch_itself_guards() -> None:
    (change, *_) = changes()
    back = undo(Fix(title="x", changes=(change,)), {change.ref: WEB})
    assert back[0].body[0] == {"op": "test", "path": "/spec/type", "value": "ClusterIP"}
    assert back[0].if_uid == "u-web"


def test_a_deletion_that_cannot_be_waited_for_is_taken_back() -> None:
    server = Server(WEB, JOB)
    before = server.bare()
    blind = False

    def fault(method: str, name: str) -> httpx.Response | None:
        nonlocal blind
        if (method, name) == ("DELETE", "once"):
            blind = True
        elif blind and (method, name) == ("GET", "once"):
            blind = False
            return status(403, "may not look")
        return None

    server.fault = fault
    done = healed(
        server, Fix(title="x", changes=anew(JOB, [Edit(("spec", "template", "spec", "image"), "b")], "x"))
    )
    assert done.outcome == "rolled back", done.steps
    assert server.bare() == before


def test_what_was_made_and_cannot_be_looked_at_is_made_all_the_same() -> None:
    server = Server(WEB, JOB)
    server.fault = lambda method, name: status(403, "no") if (method, name) == ("GET", "fresh") else None
    assert healed(server).outcome == "healthy"


def test_an_object_that_was_made_anew_has_the_same_fix() -> None:
    def of(uid: str) -> str:
        job = {**JOB, "metadata": {**JOB["metadata"], "uid": uid}}
        fix = Fix(title="x", changes=anew(job, [Edit(("spec", "template", "spec", "image"), "b")], "x"))
        return print_of(replace(FINDING, fixes=(fix,)))

    assert of("one") == of("another")
