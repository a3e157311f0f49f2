"""The audit of a cluster through its API, beside a real control plane: policies, resources and kinds come, change and go; watches break."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest
from tests.conftest import ControlPlane

from fairlead.drivers.cluster import Access, AsyncCluster
from fairlead.keep.errors import Refusal
from fairlead.keep.listing import PageExpired
from fairlead.reactor import audit, auditclusters, following
from fairlead.reactor.audit import Auditor
from fairlead.reactor.auditclusters import ClusterPlace, audit_cluster
from fairlead.words import Resource

REPORTS = "/apis/wgpolicyk8s.io/v1alpha2/policyreports"


@pytest.fixture(scope="module")
def control_plane_words() -> tuple[str, ...]:
    """It keeps no reports itself."""
    return ("--no-audit",)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "SETTLE", 0.02)
    monkeypatch.setattr(following, "SETTLE", 0.02)
    monkeypatch.setattr(following, "RETRY", 0.2)
    monkeypatch.setattr(auditclusters, "RETRY", 0.2)
    monkeypatch.setattr(auditclusters, "PAGE", 8)


@dataclass
class Wire:
    """A stretch of wire that can be cut: everything that comes in goes on to a port, until then."""

    target: int
    port: int = 0
    ends: set[asyncio.StreamWriter] = field(default_factory=set)
    cut_off: bool = False

    @contextlib.asynccontextmanager
    async def laid(self) -> AsyncIterator[Wire]:
        server = await asyncio.start_server(self._through, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.cut()
            await server.wait_closed()

    async def _through(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.cut_off:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        self.ends |= {writer, far_writer}

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(65536):
                    sink.write(data)
                    await sink.drain()
            sink.transport.abort()

        await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))
        self.ends -= {writer, far_writer}

    def cut(self) -> None:
        for end in self.ends:
            end.transport.abort()


class Forgetful(AsyncCluster):
    """An API that has forgotten where watches were, and where lists stood, when it is told to."""

    forget = ""
    expired = 0

    async def watch(self, *names: str, since: str, **more: Any) -> AsyncGenerator[tuple[str, Resource], None]:
        if self.forget == names[1]:
            self.forget = ""
            raise Refusal(410, "Expired", "too old resource version")
        async with contextlib.aclosing(super().watch(*names, since=since, **more)) as events:
            async for event in events:
                yield event

    async def raw(self, method: str, path: str, **more: Any) -> httpx.Response:
        token = (more.get("params") or {}).get("continue")
        if token and self.expired:
            self.expired -= 1
            raise PageExpired(token) if self.expired % 2 else Refusal(410, "Expired", "gone")
        return await super().raw(method, path, **more)


def policy(name: str, prefix: str, kind: str = "ConfigMap", **more: Any) -> Resource:
    rule = {
        "name": "name",
        "match": {"any": [{"resources": {"kinds": [kind]}}]},
        "validate": {"message": f"not {prefix}", "pattern": {"metadata": {"name": f"{prefix}*"}}},
        **more,
    }
    return {
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": name},
        "spec": {"validationFailureAction": "Audit", "rules": [rule]},
    }


def config(name: str, namespace: str, **data: str) -> Resource:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    }


@dataclass
class Here:
    """An audit that runs, and the cluster as the tests see it."""

    cluster: AsyncCluster
    seen: Forgetful
    auditor: Auditor
    namespace: str

    async def reports(self) -> dict[str, dict[str, str]]:
        """Return the results of each report by policy, by the name of what it is about."""
        path = REPORTS.replace("policyreports", f"namespaces/{self.namespace}/policyreports")
        found = (await self.cluster.raw("GET", path)).json()["items"]
        return {
            one["scope"]["name"]: {row["policy"]: row["result"] for row in one["results"]}
            for one in found
            if one["scope"]["name"] != "kube-root-ca.crt"
        }

    async def become(self, wanted: dict[str, dict[str, str]]) -> None:
        found: dict[str, dict[str, str]] = {}
        for _ in range(400):
            found = await self.reports()
            if found == wanted:
                return
            await asyncio.sleep(0.05)
        pytest.fail(f"the reports stay {found}, not {wanted}")


async def until(holds: Callable[[], Awaitable[Any]]) -> None:
    for _ in range(400):
        if await holds():
            return
        await asyncio.sleep(0.05)
    pytest.fail("it does not come true")


@contextlib.asynccontextmanager
async def auditing(plane: ControlPlane, namespace: str, port: int = 0) -> AsyncIterator[Here]:
    access = plane.access
    through = replace(access, server=f"https://127.0.0.1:{port}") if port else access
    async with AsyncCluster(access) as cluster, Forgetful(through) as seen:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        await cluster.create(body)
        begun: asyncio.Future[Auditor] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(audit_cluster(seen, started=begun.set_result))
        try:
            both: set[asyncio.Future[Any]] = {task, begun}
            await asyncio.wait(both, timeout=30, return_when=asyncio.FIRST_COMPLETED)
            yield Here(cluster, seen, begun.result(), namespace)
            if task.done():
                task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            for kind in ("ClusterPolicy",):
                for one in (await cluster.list("kyverno.io/v1", kind))[0]:
                    await cluster.delete("kyverno.io/v1", kind, "", one["metadata"]["name"])
            await cluster.delete("v1", "Namespace", "", namespace)


def test_policies_and_resources_come_change_and_go(control_plane: ControlPlane) -> None:
    async def test() -> None:
        async with auditing(control_plane, "coming") as here:
            names = [f"good-{n}" for n in range(20)]
            for name in (*names, "bad"):
                await here.cluster.create(config(name, "coming"))
            await here.cluster.create(policy("named", "good"))
            passing = {name: {"named": "pass"} for name in names}
            await here.become({**passing, "bad": {"named": "fail"}})
            report = (await here.cluster.raw("GET", REPORTS)).json()["items"][0]
            assert report["metadata"]["ownerReferences"][0]["kind"] == "ConfigMap"

            changed = await here.cluster.get("kyverno.io/v1", "ClusterPolicy", "", "named")
            changed["spec"] = policy("named", "bad")["spec"]
            await here.cluster.update(changed)
            await here.become({**{name: {"named": "fail"} for name in names}, "bad": {"named": "pass"}})

            for name in names[1:]:
                await here.cluster.delete("v1", "ConfigMap", "coming", name)
            await here.become({"good-0": {"named": "fail"}, "bad": {"named": "pass"}})
            await here.cluster.delete("kyverno.io/v1", "ClusterPolicy", "", "named")
            await here.become({})

    asyncio.run(test())


def test_only_what_changed_is_judged_again(control_plane: ControlPlane) -> None:
    async def test() -> None:
        async with auditing(control_plane, "changing") as here:
            deny: dict[str, Any] = {
                "validate": {
                    "message": "bad",
                    "deny": {
                        "conditions": {
                            "any": [
                                {
                                    "key": "{{ request.object.data.state || '' }}",
                                    "operator": "Equals",
                                    "value": "bad",
                                }
                            ]
                        }
                    },
                }
            }
            await here.cluster.create(policy("state", "", **deny))
            await here.cluster.create(config("one", "changing"))
            await here.cluster.create(config("two", "changing"))
            await here.become({"one": {"state": "pass"}, "two": {"state": "pass"}})
            await asyncio.sleep(0.3)
            passes, judged = here.auditor.passes, here.auditor.judged
            await here.cluster.update(config("one", "changing", state="bad"))
            await here.become({"one": {"state": "fail"}, "two": {"state": "pass"}})
            assert here.auditor.judged == judged + 1
            await here.cluster.delete("v1", "ConfigMap", "changing", "one")
            await here.become({"two": {"state": "pass"}})
            assert here.auditor.passes == passes, "nothing of that was a reason to look at everything"

            (found,) = (
                one
                for one in (await here.cluster.raw("GET", REPORTS)).json()["items"]
                if one["scope"]["name"] == "two"
            )
            await here.cluster.delete(
                "wgpolicyk8s.io/v1alpha2",
                "PolicyReport",
                found["metadata"]["namespace"],
                found["metadata"]["name"],
            )
            await here.become({"two": {"state": "pass"}})

    asyncio.run(test())


def test_what_policies_look_up_and_own_policies_are_followed(control_plane: ControlPlane) -> None:
    async def test() -> None:
        async with auditing(control_plane, "looking") as here:
            rules = [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
            ]
            admission = "admissionregistration.k8s.io/v1"
            await here.cluster.create(
                {
                    "apiVersion": admission,
                    "kind": "ValidatingAdmissionPolicy",
                    "metadata": {"name": "own"},
                    "spec": {
                        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
                        "matchConstraints": {"resourceRules": rules},
                        "validations": [{"expression": "object.metadata.name == params.data.wanted"}],
                    },
                }
            )
            await here.cluster.create(
                {
                    "apiVersion": admission,
                    "kind": "ValidatingAdmissionPolicyBinding",
                    "metadata": {"name": "own"},
                    "spec": {
                        "policyName": "own",
                        "paramRef": {
                            "name": "wanted",
                            "namespace": "looking",
                            "parameterNotFoundAction": "Allow",
                        },
                        "validationActions": ["Audit"],
                    },
                }
            )
            pod = {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "web", "namespace": "looking"},
                "spec": {"containers": [{"name": "main", "image": "nginx"}], "schedulerName": "nobody"},
            }
            try:
                await here.cluster.create(config("wanted", "looking", wanted="other"))
                await here.cluster.create(pod)
                await until(lambda: result(here, "fail"))
            finally:
                await here.cluster.delete(admission, "ValidatingAdmissionPolicyBinding", "", "own")
                await here.cluster.delete(admission, "ValidatingAdmissionPolicy", "", "own")
            await here.become({})

    async def result(here: Here, wanted: str) -> bool:
        return wanted in (await here.reports()).get("web", {}).values()

    asyncio.run(test())


DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "boats.sea.example.com"},
    "spec": {
        "group": "sea.example.com",
        "names": {"kind": "Boat", "plural": "boats", "singular": "boat"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
                },
            }
        ],
    },
}


def test_a_kind_that_comes_later_and_goes(control_plane: ControlPlane) -> None:
    async def test() -> None:
        async with auditing(control_plane, "later") as here:
            await here.cluster.create(policy("boats", "good", "sea.example.com/*/Boat"))
            await here.cluster.create(DEFINITION)
            boat = {
                "apiVersion": "sea.example.com/v1",
                "kind": "Boat",
                "metadata": {"name": "bad", "namespace": "later"},
            }

            async def made() -> bool:
                try:
                    await here.cluster.create(boat)
                except Refusal as refusal:
                    if refusal.code != 404:
                        raise
                    return False
                return True

            await until(made)
            await here.become({"bad": {"boats": "fail"}})
            await here.cluster.create({**boat, "metadata": {"name": "good", "namespace": "later"}})
            await here.become({"bad": {"boats": "fail"}, "good": {"boats": "pass"}})
            await here.cluster.delete(
                "apiextensions.k8s.io/v1",
                "CustomResourceDefinition",
                "",
                DEFINITION["metadata"]["name"],  # type: ignore[index]
            )
            await here.become({})
            await here.cluster.create(policy("maps", "good"))
            await here.cluster.create(config("good", "later"))
            await here.become({"good": {"maps": "pass"}})

    asyncio.run(test())


def test_watches_that_are_cut_and_forgotten(control_plane: ControlPlane) -> None:
    async def test() -> None:
        async with (
            Wire(control_plane.port).laid() as wire,
            auditing(control_plane, "broken", wire.port) as here,
        ):
            await here.cluster.create(policy("named", "good"))
            await here.cluster.create(config("bad", "broken"))
            await here.become({"bad": {"named": "fail"}})
            await asyncio.sleep(0.3)
            passes = here.auditor.passes
            wire.cut()
            await here.cluster.create(config("good", "broken"))
            await here.become({"bad": {"named": "fail"}, "good": {"named": "pass"}})
            assert here.auditor.passes == passes, "a watch that is cut goes on where it was"

            wire.cut_off = True
            wire.cut()
            await asyncio.sleep(0.3)
            await here.cluster.create(config("worse", "broken"))
            await here.cluster.delete("v1", "ConfigMap", "broken", "bad")
            await here.cluster.create(policy("second", "worse"))
            wire.cut_off = False
            both = {"good": {"named": "pass", "second": "fail"}, "worse": {"named": "fail", "second": "pass"}}
            await here.become(both)

            for n in range(12):
                await here.cluster.create(config(f"good-{n}", "broken"))
            passing = {f"good-{n}": {"named": "pass", "second": "fail"} for n in range(12)}
            await here.become({**both, **passing})
            await asyncio.sleep(0.3)
            passes = here.auditor.passes
            here.seen.forget, here.seen.expired = "ConfigMap", 3
            wire.cut()
            await until(lambda: passed(here, passes))
            await here.become({**both, **passing})
            assert not here.seen.expired

    async def passed(here: Here, before: int) -> bool:
        return here.auditor.passes > before

    asyncio.run(test())


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


def test_a_constraint_tells_its_violations(control_plane: ControlPlane) -> None:
    async def test() -> None:
        async with auditing(control_plane, "telling") as here:
            constraint = {
                "apiVersion": "constraints.gatekeeper.sh/v1beta1",
                "kind": "NoName",
                "metadata": {"name": "nobody"},
                "spec": {
                    "enforcementAction": "dryrun",
                    "match": {
                        "kinds": [{"apiGroups": [""], "kinds": ["ConfigMap"]}],
                        "namespaces": ["telling"],
                    },
                },
            }
            await here.cluster.create(config("bad", "telling"))
            await here.cluster.create(TEMPLATE)

            async def made() -> bool:
                try:
                    await here.cluster.create(constraint)
                except Refusal as refusal:
                    if refusal.code != 404:
                        raise
                    return False
                return True

            await until(made)

            async def told() -> bool:
                found = await here.cluster.get("constraints.gatekeeper.sh/v1beta1", "NoName", "", "nobody")
                status = found.get("status") or {}
                return bool(status.get("totalViolations") == 1 and status["violations"][0]["name"] == "bad")

            await until(told)
            await here.cluster.delete("templates.gatekeeper.sh/v1", "ConstraintTemplate", "", "noname")

    asyncio.run(test())


def test_the_cluster_goes_and_comes_back(control_plane: ControlPlane) -> None:
    async def test() -> None:
        async with auditing(control_plane, "resting") as here:
            await here.cluster.create(policy("named", "good"))
            await here.cluster.create(config("bad", "resting"))
            await here.become({"bad": {"named": "fail"}})
            await asyncio.to_thread(control_plane.stop)
            await asyncio.to_thread(control_plane.start)
            await here.cluster.create(config("good", "resting"))
            await here.become({"bad": {"named": "fail"}, "good": {"named": "pass"}})

    asyncio.run(test())


def test_a_cluster_that_does_not_answer_is_waited_for() -> None:
    async def test() -> None:
        async with (
            AsyncCluster(Access(server="https://127.0.0.1:9")) as cluster,
            ClusterPlace(cluster) as place,
        ):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(place.during(place.ready()), 0.3)

    asyncio.run(test())
