"""What people see of policies: their statuses in the format's words, Events where there is no place, the kinds of templates."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from fairlead.reactor.collecting import collect
from fairlead.words import Resource

from .conftest import Cluster, cluster, policy


def status(one: Cluster, kind: str, name: str, group: str) -> Any:
    return (one.get(kind, name, group=group) or {}).get("status") or {}


def requiring(**pattern: Any) -> Resource:
    match = {"any": [{"resources": {"kinds": ["Pod"]}}]}
    return {"name": "r", "match": match, "validate": {"message": "m", "pattern": pattern or {"spec": {}}}}


def ready(one: Cluster, name: str) -> Any:
    conditions = status(one, "ClusterPolicy", name, "kyverno.io").get("conditions") or [{}]
    return conditions[0].get("status"), conditions[0].get("message")


def test_a_policy_says_whether_it_is_ready_and_what_is_wrong(tmp_path: Path) -> None:
    async def run() -> None:
        async with cluster(tmp_path) as one:
            strange = {**requiring(), "somethingNew": 1}
            await one.create(policy("good", requiring()), policy("strange", strange))
            await one.create(policy("bad", {"name": "r", "match": {}}))
            await one.until(lambda: ready(one, "good") == ("True", "Ready"))
            await one.until(lambda: ready(one, "bad")[0] == "False")
            await one.until(lambda: ready(one, "strange")[0] == "True")
            assert ".spec.rules[0].somethingNew is not supported" in ready(one, "strange")[1]
            assert status(one, "ClusterPolicy", "good", "kyverno.io")["rulecount"]["validate"] == 1
            await one.settle()
            rv = one.keeper.world.rv
            await one.restart()
            await one.settle()
            assert one.keeper.world.rv == rv, "nothing is written twice"
            await one.patch(policy("bad"), {"spec": {"rules": [requiring()]}})
            await one.until(lambda: ready(one, "bad") == ("True", "Ready"))

    asyncio.run(run())


def test_the_newer_kinds_and_the_others_have_their_own_words(tmp_path: Path) -> None:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}

    async def run() -> None:
        async with cluster(tmp_path) as one:
            for api, kind, validations in (
                ("policies.kyverno.io/v1alpha1", "ValidatingPolicy", [{"expression": "true"}]),
                (
                    "admissionregistration.k8s.io/v1",
                    "ValidatingAdmissionPolicy",
                    [{"expression": "object.nowhere == 1"}],
                ),
            ):
                await one.create(
                    {
                        "apiVersion": api,
                        "kind": kind,
                        "metadata": {"name": "v"},
                        "spec": {"matchConstraints": {"resourceRules": [rule]}, "validations": validations},
                    }
                )
            await one.create(
                {
                    "apiVersion": "policy.jspolicy.com/v1beta1",
                    "kind": "JsPolicy",
                    "metadata": {"name": "j"},
                    "spec": {"operations": ["CREATE"], "resources": ["pods"], "type": "Odd"},
                }
            )
            await one.create(
                {
                    "apiVersion": "kyverno.io/v2",
                    "kind": "PolicyException",
                    "metadata": {"name": "e", "namespace": "default"},
                    "spec": {"exceptions": [], "match": {}, "odd": 1},
                }
            )
            group = "policies.kyverno.io"
            await one.until(
                lambda: status(one, "ValidatingPolicy", "v", group).get("conditionStatus", {}).get("ready")
            )
            own = ("ValidatingAdmissionPolicy", "v", "admissionregistration.k8s.io")
            await one.until(lambda: "typeChecking" in status(one, *own))
            assert "nowhere" in str(status(one, *own))
            scripted = ("JsPolicy", "j", "policy.jspolicy.com")
            await one.until(lambda: status(one, *scripted).get("phase") == "Failed")
            await one.until(lambda: any(".spec.odd" in text for text in one.told("PolicyUnsupported")))

    asyncio.run(run())


def template(properties: Resource, code: str = "package a\nviolation[{'msg': 'x'}] { true }") -> Resource:
    return {
        "apiVersion": "templates.gatekeeper.sh/v1",
        "kind": "ConstraintTemplate",
        "metadata": {"name": "needs"},
        "spec": {
            "crd": {
                "spec": {
                    "names": {"kind": "Needs"},
                    "validation": {"openAPIV3Schema": {"type": "object", "properties": properties}},
                }
            },
            "targets": [{"target": "admission.k8s.gatekeeper.sh", "rego": code.replace("'", '"')}],
        },
    }


def test_a_template_brings_its_kind_along(tmp_path: Path) -> None:
    async def run() -> None:
        async with cluster(tmp_path) as one:
            garbage = asyncio.create_task(collect(one.keeper))
            try:
                name = "needs.constraints.gatekeeper.sh"
                group = "apiextensions.k8s.io"
                await one.create(template({"a": {"type": "string"}}))
                await one.until(lambda: one.get("CustomResourceDefinition", name, group=group))
                state = ("ConstraintTemplate", "needs", "templates.gatekeeper.sh")
                await one.until(lambda: status(one, *state).get("created") is True)
                await one.create(
                    {
                        "apiVersion": "constraints.gatekeeper.sh/v1beta1",
                        "kind": "Needs",
                        "metadata": {"name": "n"},
                        "spec": {"parameters": {"a": "b"}},
                    }
                )
                await one.patch(template({}), {"spec": template({"b": {"type": "string"}})["spec"]})
                await one.until(
                    lambda: "'b': " in str(one.get("CustomResourceDefinition", name, group=group)), "changed"
                )
                await one.delete(template({}))
                await one.until(
                    lambda: one.get("CustomResourceDefinition", name, group=group) is None, "it goes too"
                )
                await one.create(template({}, "package a\nviolation["))
                await one.until(lambda: status(one, *state).get("created") is False)
                assert status(one, *state)["byPod"][0]["errors"]
                assert one.get("CustomResourceDefinition", name, group=group) is None
            finally:
                garbage.cancel()
                await asyncio.gather(garbage, return_exceptions=True)

    asyncio.run(run())
