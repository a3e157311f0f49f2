"""Plans carried out on a control plane: what is written, recorded, pruned, refused, taken over and taken back."""

from __future__ import annotations

import asyncio
import base64
import copy
import gzip
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from fairlead.converge.planning import Policy
from fairlead.converge.resuming import NoWayBack
from fairlead.converge.stages import Check, Desired, Instance, Stage, Unfit
from fairlead.drivers.cluster import AsyncCluster
from fairlead.keep.errors import Refusal
from fairlead.reactor import converging_records as records
from fairlead.reactor.converging import Converger, Options, Outcome
from fairlead.reactor.converging_locking import Lock, Locked
from fairlead.reactor.converging_planning import NoNamespace
from fairlead.reactor.converging_revisions import survey
from fairlead.words import Resource

T = TypeVar("T")
QUICK = Options(create_namespace=True, seconds=0.6, lock_seconds=0.1)


@pytest.fixture(scope="module")
def do(control_plane: Any) -> Callable[[Callable[[AsyncCluster], Awaitable[Any]]], Any]:
    """Run something with a client of the module's control plane."""

    async def run(work: Callable[[AsyncCluster], Awaitable[T]]) -> T:
        async with AsyncCluster(control_plane.access) as cluster:
            return await work(cluster)

    return lambda work: asyncio.run(run(work))


def config(name: str, **data: str) -> Resource:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data or {"k": "v"}}


def deployment(name: str, image: str = "web:1", **spec: Any) -> Resource:
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "web", "image": image}]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template, **spec},
    }


def shop(space: str, *objects: Resource, name: str = "shop", **stage: Any) -> Desired:
    return Desired(instance=Instance(name, space), stages=(Stage("all", objects, **stage),), source="test")


async def apply(cluster: AsyncCluster, desired: Desired, options: Options = QUICK) -> Outcome:
    return await Converger(cluster).apply(desired, options)


def actions(outcome: Outcome) -> dict[str, str]:
    return {one.ref.name: one.action for one in (*outcome.plan.steps, *outcome.plan.prunes)}


def test_apply_upgrade_prune_history_rollback_and_delete(do: Any) -> None:
    async def work(cluster: AsyncCluster) -> None:
        where = Instance("shop", "tour")
        first = await apply(cluster, shop("tour", config("a"), config("b"), config("c")))
        assert (first.state, first.revision) == ("deployed", 1)
        assert actions(first) == {"a": "create", "b": "create", "c": "create"}
        live = await cluster.get("v1", "ConfigMap", "tour", "a")
        assert live["metadata"]["labels"]["fairlead.dev/instance"] == "shop"
        assert [one["manager"] for one in live["metadata"]["managedFields"]] == ["fairlead/shop"]

        worker = Converger(cluster)
        again = await worker.apply(shop("tour", config("a"), config("b"), config("c")), QUICK)
        assert (again.state, again.revision, worker.requests.sent) == (
            "unchanged",
            1,
            5,
        )  # its records, three objects by name, and the lock of a run that may have died

        second = await apply(cluster, shop("tour", config("a"), config("b", k="2")))
        assert actions(second) == {"a": "unchanged", "b": "configure", "c": "prune"}
        with pytest.raises(Refusal, match="not found"):
            await cluster.get("v1", "ConfigMap", "tour", "c")

        back = await Converger(cluster).rollback(where, 0, QUICK)
        assert (back.state, back.revision) == ("deployed", 3)
        assert (await cluster.get("v1", "ConfigMap", "tour", "b"))["data"] == {"k": "v"}
        assert (await cluster.get("v1", "ConfigMap", "tour", "c"))["data"] == {"k": "v"}
        _, history = await records.last(Converger(cluster).requests, where)
        assert [(one.number, one.state) for one in history] == [
            (1, "superseded"),
            (2, "superseded"),
            (3, "deployed"),
        ]
        assert history[-1].told["back-to"] == "1"

        gone = await Converger(cluster).delete(where, QUICK)
        assert gone.state == "deleted"
        left, _ = await cluster.list("v1", "Secret", "tour")
        assert left == []
        assert (await Converger(cluster).delete(where, QUICK)).state == "absent"

    do(work)


def test_many_unchanged_objects_take_a_few_lists_and_drift_is_found_all_the_same(do: Any) -> None:
    async def work(cluster: AsyncCluster) -> None:
        desired = shop("many", *(config(f"c{index}") for index in range(30)))
        assert (await apply(cluster, desired)).state == "deployed"
        worker = Converger(cluster)
        assert (await worker.apply(desired, QUICK)).state == "unchanged"
        assert worker.requests.sent == 3
        await cluster.patch("v1", "ConfigMap", "many", "c3", {"data": {"k": "by hand"}}, manager="someone")
        await cluster.patch("v1", "ConfigMap", "many", "c4", {"data": {"k": None}}, manager="someone")
        await cluster.patch("v1", "ConfigMap", "many", "c5", {"data": {"more": "1"}}, manager="someone")
        await cluster.delete("v1", "ConfigMap", "many", "c6")
        await cluster.patch(
            "v1", "ConfigMap", "many", "c7", {"metadata": {"labels": {"fairlead.dev/instance": None}}}
        )
        seen = await Converger(cluster).plan(desired, QUICK)
        changed = {one.ref.name: one.action for one in seen.plan.steps if one.action != "unchanged"}
        assert changed == {"c3": "conflict", "c4": "configure", "c6": "create", "c7": "configure"}
        assert next(str(one.conflicts[0]) for one in seen.plan.blocked) == ".data.k belongs to someone"
        blocked = await apply(cluster, desired)
        assert blocked.state == "blocked"
        mended = await apply(cluster, desired, Options(policy=Policy(force_conflicts=True)))
        assert mended.state == "deployed"
        assert (await cluster.get("v1", "ConfigMap", "many", "c3"))["data"] == {"k": "v"}
        assert (await cluster.get("v1", "ConfigMap", "many", "c5"))["data"] == {"k": "v", "more": "1"}

    do(work)


def test_a_failing_upgrade_goes_back_by_itself(do: Any) -> None:
    async def work(cluster: AsyncCluster) -> None:
        check = Check(
            "v1", "ConfigMap", name="a", current="object.data.k == 'v'", failed="object.data.k == 'broken'"
        )
        good = await apply(cluster, shop("failing", config("a"), config("b"), checks=(check,)))
        assert good.state == "deployed"
        bad = shop("failing", config("a", k="broken"), config("new"), checks=(check,))
        failed = await apply(cluster, bad, Options(seconds=0.6))
        assert failed.state == "failed"
        assert "ConfigMap failing/a has failed" in failed.message
        assert [str(one.ref) for one in failed.blockers] == ["ConfigMap failing/a"]
        assert await cluster.get("v1", "ConfigMap", "failing", "b")  # nothing is pruned before all is well
        found = await survey(
            Converger(cluster).requests, Instance("shop", "failing"), Converger(cluster).now()
        )
        assert found is not None
        assert not found.well
        assert found.rows[0].health.state == "Failed"
        rolled = await apply(cluster, bad, Options(seconds=0.6, rollback_on_failure=True))
        assert rolled.state == "rolled back"
        assert rolled.back is not None
        assert rolled.back.state == "deployed"
        assert (await cluster.get("v1", "ConfigMap", "failing", "a"))["data"] == {"k": "v"}
        with pytest.raises(Refusal):
            await cluster.get("v1", "ConfigMap", "failing", "new")
        _, history = await records.last(Converger(cluster).requests, Instance("shop", "failing"))
        assert [one.state for one in history] == ["superseded", "failed", "failed", "deployed"]

    do(work)


def test_a_failing_first_one_is_taken_away(do: Any) -> None:
    async def work(cluster: AsyncCluster) -> None:
        options = Options(create_namespace=True, seconds=0.5, rollback_on_failure=True)
        outcome = await apply(cluster, shop("atomic", config("a"), deployment("web")), options)
        assert outcome.state == "rolled back"
        assert "Deployment atomic/web is not healthy after 0.5 s" in outcome.message
        assert (await cluster.list("v1", "ConfigMap", "atomic", labels="fairlead.dev/instance"))[0] == []
        with pytest.raises(NoWayBack):
            await Converger(cluster).rollback(Instance("shop", "atomic"), 0, QUICK)

    do(work)


def test_what_was_there_before_is_not_deleted_when_a_run_is_taken_back(do: Any) -> None:
    async def work(cluster: AsyncCluster) -> None:
        await cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "before"}})
        for name in ("one", "two"):
            theirs = config(name)
            theirs["metadata"]["namespace"] = "before"
            await cluster.create(theirs, manager="someone")
        options = Options(seconds=0.4, rollback_on_failure=True, policy=Policy(take_over=True))
        failed = await apply(
            cluster, shop("before", config("one"), config("new"), deployment("web")), options
        )
        assert failed.state == "rolled back"
        assert (await apply(cluster, shop("before", config("mine")))).state == "deployed"
        failed = await apply(
            cluster, shop("before", config("mine"), config("two"), deployment("web")), options
        )
        assert failed.state == "rolled back"
        for name in ("one", "two", "mine"):
            live = await cluster.get("v1", "ConfigMap", "before", name)
            assert ("fairlead.dev/instance" in live["metadata"].get("labels", {})) is (name == "mine")
        with pytest.raises(Refusal):
            await cluster.get("v1", "ConfigMap", "before", "new")

    do(work)


def test_what_cannot_be_changed_is_made_anew_only_where_that_is_allowed(do: Any) -> None:
    async def work(cluster: AsyncCluster) -> None:
        before = deployment("web") | {"kind": "Deployment"}
        await apply(cluster, shop("fixed", before), Options(create_namespace=True, wait=False))
        uid = (await cluster.get("apps/v1", "Deployment", "fixed", "web"))["metadata"]["uid"]
        after = copy.deepcopy(before)
        after["spec"]["selector"]["matchLabels"]["tier"] = "x"
        after["spec"]["template"]["metadata"]["labels"]["tier"] = "x"
        refused = await apply(cluster, shop("fixed", after), Options(wait=False))
        assert refused.state == "blocked"
        assert "field is immutable; --force" in refused.plan.blocked[0].why
        marked = copy.deepcopy(after)
        marked["metadata"]["annotations"] = {"action.timoni.sh/force": "enabled"}
        done = await apply(cluster, shop("fixed", marked), Options(wait=False))
        assert actions(done) == {"web": "recreate"}
        assert (await cluster.get("apps/v1", "Deployment", "fixed", "web"))["metadata"]["uid"] != uid

    do(work)


def test_marks_on_objects_are_honoured(do: Any) -> None:
    def marked(name: str, value: str, **notes: str) -> Resource:
        made = config(name, k=value)
        made["metadata"]["annotations"] = {key.replace("__", "/"): each for key, each in notes.items()}
        return made

    async def work(cluster: AsyncCluster) -> None:
        once = {"fairlead.dev__one-off": "IfNotPresent"}
        keep = {"fairlead.dev__prune": "disabled"}
        await apply(
            cluster, shop("marks", marked("once", "1", **once), marked("keep", "1", **keep), config("other"))
        )
        second = await apply(cluster, shop("marks", marked("once", "2", **once), config("other", k="2")))
        assert actions(second) == {"once": "skip", "other": "configure", "keep": "keep"}
        assert (await cluster.get("v1", "ConfigMap", "marks", "once"))["data"] == {"k": "1"}
        assert await cluster.get("v1", "ConfigMap", "marks", "keep")

    do(work)


def test_kinds_and_namespaces_that_the_package_brings_come_first(do: Any) -> None:
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}},
    }
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.io"},
        "spec": {
            "group": "example.io",
            "names": names,
            "scope": "Namespaced",
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
            ],
        },
    }
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "brought"}}

    def widget(size: Any) -> Resource:
        return {
            "apiVersion": "example.io/v1",
            "kind": "Widget",
            "metadata": {"name": "w", "namespace": "brought"},
            "spec": {"size": size},
        }

    async def work(cluster: AsyncCluster) -> None:
        options = Options(create_namespace=True, seconds=5, rollback_on_failure=True)
        wrong = await apply(cluster, shop("home", definition, space, widget("big")), options)
        assert wrong.state == "rolled back"
        assert "spec.size" in wrong.message
        done = await apply(cluster, shop("home", widget(3), definition, space), options)
        assert done.state == "deployed", done.message
        same = await apply(cluster, shop("home", widget(3), definition, space), options)
        assert same.state == "unchanged"
        kept = await apply(cluster, shop("home", space), options)
        assert actions(kept)["widgets.example.io"] == "keep"
        assert actions(kept)["w"] == "prune"
        await Converger(cluster).delete(Instance("shop", "home"), QUICK)
        await cluster.delete("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "widgets.example.io")

    do(work)


def test_objects_of_kubectl_helm_and_other_instances_are_taken_over_only_when_asked(do: Any) -> None:
    async def work(cluster: AsyncCluster) -> None:
        await cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "owned"}})
        mine = config("by-kubectl", k="old", gone="1") | {}
        mine["metadata"] |= {
            "namespace": "owned",
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
        }
        await cluster.create(mine, manager="kubectl-client-side-apply")
        theirs = config("by-helm", k="old")
        theirs["metadata"] |= {
            "namespace": "owned",
            "annotations": {"meta.helm.sh/release-name": "rel", "meta.helm.sh/release-namespace": "owned"},
        }
        await cluster.create(theirs, manager="helm")
        await apply(cluster, shop("owned", config("by-other"), name="other"))
        manifest = "\n---\n".join(json.dumps(config(name)) for name in ("by-helm", "more"))
        packed = base64.b64encode(
            base64.b64encode(gzip.compress(json.dumps({"manifest": manifest}).encode()))
        )
        record = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": "sh.helm.release.v1.rel.v1",
                "namespace": "owned",
                "labels": {"owner": "helm", "name": "rel", "version": "1"},
            },
            "type": "helm.sh/release.v1",
            "data": {"release": packed.decode()},
        }
        await cluster.create(record)
        wanted = shop("owned", config("by-kubectl", k="new"), config("by-helm", k="new"), config("by-other"))
        refused = await apply(cluster, wanted)
        assert refused.state == "blocked"
        why = {one.ref.name: one.why for one in refused.plan.blocked}
        assert "kubectl-client-side-apply" in why["by-kubectl"]
        assert "Helm release owned/rel" in why["by-helm"]
        assert "instance owned/other" in why["by-other"]
        taken = await apply(cluster, wanted, Options(policy=Policy(take_over=True)))
        assert taken.state == "deployed"
        assert set(actions(taken).values()) == {"take over"}
        assert "still has 1 objects that this package lacks (ConfigMap owned/more)" in taken.notes[0]
        assert await cluster.get("v1", "Secret", "owned", "sh.helm.release.v1.rel.v1")
        live = await cluster.get("v1", "ConfigMap", "owned", "by-kubectl")
        assert live["data"] == {"k": "new"}  # what is no longer applied is gone, as it was applied before
        assert [one["manager"] for one in live["metadata"]["managedFields"]] == ["fairlead/shop"]
        assert not live["metadata"].get("annotations")
        assert (await apply(cluster, wanted)).state == "unchanged"
        again = {
            "annotations": {"meta.helm.sh/release-name": "rel", "meta.helm.sh/release-namespace": "owned"}
        }
        await cluster.patch("v1", "ConfigMap", "owned", "by-helm", {"metadata": again}, manager="helm")
        whole = replace(wanted, stages=(*wanted.stages, Stage("more", (config("more"),))))
        taken = await apply(cluster, whole, Options(policy=Policy(take_over=True)))
        assert taken.notes == ["Helm release owned/rel is taken over whole: its records are deleted"]
        assert not (await cluster.list("v1", "Secret", "owned", labels="owner=helm"))[0]

    do(work)


def test_everything_that_is_wrong_is_told_and_nothing_is_written(do: Any) -> None:
    async def work(cluster: AsyncCluster) -> None:
        await cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "wrong"}})
        misspelt = deployment("typo", replcas=2)
        invalid = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "svc"}, "spec": {"ports": []}}
        outcome = await apply(cluster, shop("wrong", config("fine"), misspelt, invalid))
        assert outcome.state == "blocked"
        why = {one.ref.name: one.why for one in outcome.plan.blocked}
        assert 'unknown field "spec.replcas"' in why["typo"] or ".spec.replcas" in why["typo"]
        assert "spec.ports" in why["svc"]
        assert (await cluster.list("v1", "Secret", "wrong"))[0] == []
        assert [one["metadata"]["name"] for one in (await cluster.list("v1", "ConfigMap", "wrong"))[0] if one["metadata"]["name"] == "fine"] == []  # fmt: skip
        with pytest.raises(Unfit, match="more than once in the package: ConfigMap wrong/a"):
            await apply(cluster, shop("wrong", config("a"), config("a")))
        with pytest.raises(NoNamespace):
            await apply(cluster, shop("nowhere", config("a")), Options())

    do(work)


POLICY = """
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: no-red}
spec:
  validationFailureAction: Enforce
  rules:
  - name: colour
    match: {any: [{resources: {kinds: [ConfigMap]}}]}
    validate:
      message: red is not wanted
      pattern: {data: {k: "!red"}}
"""


def test_policies_are_asked_before_anything_is_written(do: Any) -> None:
    async def work(cluster: AsyncCluster) -> None:
        options = Options(create_namespace=True, policies={"p.yaml": POLICY})
        desired = shop("judged", config("a", k="red"), config("b", k="red"), config("c", k="blue"))
        outcome = await apply(cluster, desired, options)
        assert outcome.state == "blocked"
        assert {one.ref.name: one.why for one in outcome.plan.blocked}["a"].startswith(
            "policy no-red/colour: "
        )
        assert {one.ref.name for one in outcome.plan.blocked} == {"a", "b"}
        with pytest.raises(Refusal, match="not found"):
            await cluster.get("v1", "Namespace", "", "judged")
        kind, version = "ValidatingAdmissionPolicy", "admissionregistration.k8s.io/v1"
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}
        spec = {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [
                {"expression": "!has(object.data) || object.data.k != 'red'", "message": "red is out"}
            ],
        }
        binding = {"policyName": "no-red", "validationActions": ["Deny"]}
        for name, what in ((kind, spec), (f"{kind}Binding", binding)):
            await cluster.create(
                {"apiVersion": version, "kind": name, "metadata": {"name": "no-red"}, "spec": what}
            )
        outcome = await apply(cluster, desired)  # its namespace is not there: nobody else can be asked
        for name in (f"{kind}Binding", kind):
            await cluster.delete(version, name, "", "no-red")
        assert [one.why for one in outcome.plan.blocked] == ["policy no-red/no-red: red is out"] * 2

    do(work)


def test_two_runs_do_not_meet(do: Any) -> None:
    async def work(cluster: AsyncCluster) -> None:
        where = Instance("shop", "locked")
        await apply(cluster, shop("locked", config("a")))
        async with Lock(cluster, where):
            with pytest.raises(Locked, match="another run holds locked/shop"):
                await apply(cluster, shop("locked", config("a", k="2")))
        assert (await apply(cluster, shop("locked", config("a", k="2")))).state == "deployed"
        dead = Lock(cluster, where)
        dead.holder = dead.holder.replace(f"/{dead.holder.split('/')[1]}/", "/999999999/")
        await dead.__aenter__()
        assert dead._task is not None
        dead._task.cancel()
        assert (await apply(cluster, shop("locked", config("a", k="3")))).state == "deployed"

    do(work)


def test_one_off_stages_are_run_and_cleaned_up(do: Any) -> None:
    async def work(cluster: AsyncCluster) -> None:
        hook = Stage(
            "before", (config("hook"),), one_off=True, cleanup=frozenset({"before", "succeeded"}),
            moments=frozenset({"install", "upgrade"}),
        )  # fmt: skip
        stuck = Stage("after", (config("left"),), one_off=True, moments=frozenset({"install"}))
        last = Stage("last", (config("bye"),), one_off=True, moments=frozenset({"delete"}))
        desired = Desired(
            instance=Instance("shop", "hooks"), stages=(hook, Stage("all", (config("a"),)), stuck, last)
        )
        assert (await apply(cluster, desired)).state == "deployed"
        there = {one["metadata"]["name"] for one in (await cluster.list("v1", "ConfigMap", "hooks"))[0]}
        assert there - {"kube-root-ca.crt"} == {"a", "left"}
        assert (await Converger(cluster).delete(Instance("shop", "hooks"), QUICK)).state == "deleted"
        there = {one["metadata"]["name"] for one in (await cluster.list("v1", "ConfigMap", "hooks"))[0]}
        assert there - {"kube-root-ca.crt"} == {"left", "bye"}

    do(work)


def test_orphans_are_left_as_nobodys(do: Any) -> None:
    async def work(cluster: AsyncCluster) -> None:
        await apply(cluster, shop("orphans", config("a")))
        assert (
            await Converger(cluster).delete(Instance("shop", "orphans"), QUICK, orphan=True)
        ).state == "deleted"
        live = await cluster.get("v1", "ConfigMap", "orphans", "a")
        assert "fairlead.dev/instance" not in live["metadata"]["labels"]
        assert (await apply(cluster, shop("orphans", config("a"), name="heir"))).state == "deployed"

    do(work)
