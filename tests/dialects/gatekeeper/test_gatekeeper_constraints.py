"""Constraints: what they refuse, warn of and note; by which engine; where; and in which words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from fairlead.judge.surroundings import Lacking
from fairlead.words import Need, Ref, Resource, User

REGO = """
package banned

violation[{"msg": msg, "details": {"image": container.image}}] {
  container := input.review.object.spec.containers[_]
  startswith(container.image, input.parameters.prefix)
  msg := sprintf("%v runs %v", [container.name, container.image])
}
"""
SCHEMA = {
    "type": "object",
    "required": ["prefix"],
    "properties": {"prefix": {"type": "string", "default": "bad/"}, "level": {"type": "integer"}},
}


def template(rego: str = REGO, kind: str = "Banned", *, schema: Any = None, **target: Any) -> str:
    given = {"target": "admission.k8s.gatekeeper.sh", **({"rego": rego} if rego else {}), **target}
    content = {
        "apiVersion": "templates.gatekeeper.sh/v1",
        "kind": "ConstraintTemplate",
        "metadata": {"name": kind.lower()},
        "spec": {
            "crd": {"spec": {"names": {"kind": kind}, "validation": {"openAPIV3Schema": schema or {}}}},
            "targets": [given],
        },
    }
    return f"---\n{yaml.safe_dump(content)}"


def constraint(name: str = "no-bad", kind: str = "Banned", *, parameters: Any = None, **spec: Any) -> str:
    content = {
        "apiVersion": "constraints.gatekeeper.sh/v1beta1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"match": {"kinds": [{"apiGroups": [""], "kinds": ["Pod"]}]}, **spec},
    }
    if parameters is not None:
        content["spec"]["parameters"] = parameters  # type: ignore[index]
    return f"---\n{yaml.safe_dump(content)}"


BAD: dict[str, Any] = {"parameters": {"prefix": "bad/"}}
PLAIN = template() + constraint(**BAD)


def bad(pod: Callable[..., Resource], *images: str, **more: Any) -> Resource:
    containers = [{"name": f"c{number}", "image": one} for number, one in enumerate(images or ("bad/x",))]
    return pod(containers=containers, **more)


def test_a_violation_refuses_in_gatekeepers_words(
    cluster: Callable[..., Any], pod: Callable[..., Resource]
) -> None:
    verdict = cluster(PLAIN).request(bad(pod, "bad/y", "bad/x"))
    assert verdict.message == (
        'admission webhook "validation.gatekeeper.sh" denied the request: [no-bad] c0 runs bad/y\n'
        "[no-bad] c1 runs bad/x"
    )
    assert (verdict.code, verdict.reason) == (403, "Forbidden")
    assert [one.outcome.properties["details"] for one in verdict.outcomes] == [
        {"image": "bad/y"},
        {"image": "bad/x"},
    ]
    assert cluster(PLAIN).request(bad(pod, "good/x")).allowed


def test_several_constraints_are_told_together(
    cluster: Callable[..., Any], pod: Callable[..., Resource]
) -> None:
    verdict = cluster(PLAIN + constraint("more", **BAD)).request(bad(pod))
    assert verdict.message.endswith("denied the request: [more] c0 runs bad/x\n[no-bad] c0 runs bad/x")


@pytest.mark.parametrize(
    ("spec", "allowed", "warned", "audited"),
    [
        ({}, False, False, "deny"),
        ({"enforcementAction": "deny"}, False, False, "deny"),
        ({"enforcementAction": "warn"}, True, True, "warn"),
        ({"enforcementAction": "dryrun"}, True, False, "dryrun"),
        (
            {
                "enforcementAction": "scoped",
                "scopedEnforcementActions": [
                    {"action": "warn", "enforcementPoints": [{"name": "validation.gatekeeper.sh"}]},
                    {"action": "deny", "enforcementPoints": [{"name": "audit.gatekeeper.sh"}]},
                ],
            },
            True,
            True,
            "deny",
        ),
        (
            {
                "enforcementAction": "scoped",
                "scopedEnforcementActions": [
                    {"action": "deny", "enforcementPoints": [{"name": "*"}]},
                    {"action": "warn", "enforcementPoints": [{"name": "validation.gatekeeper.sh"}]},
                ],
            },
            False,
            True,
            "deny",
        ),
        (
            {
                "enforcementAction": "scoped",
                "scopedEnforcementActions": [
                    {"action": "deny", "enforcementPoints": [{"name": "gator.gatekeeper.sh"}]}
                ],
            },
            True,
            False,
            None,
        ),
    ],
)
def test_enforcement_actions(
    cluster: Callable[..., Any],
    pod: Callable[..., Resource],
    spec: dict[str, Any],
    allowed: bool,
    warned: bool,
    audited: str | None,
) -> None:
    made = cluster(template() + constraint(**BAD, **spec))
    verdict = made.request(bad(pod))
    assert verdict.allowed is allowed
    assert verdict.warnings == (["[no-bad] c0 runs bad/x"] if warned else [])
    found = [one.outcome.properties["enforcementAction"] for one in made.audit(bad(pod))]
    assert found == ([audited] if audited else [])


def test_what_a_template_sees(cluster: Callable[..., Any], pod: Callable[..., Resource], space: Any) -> None:
    rego = 'package p\nviolation[{"msg": msg}] { msg := json.marshal(input.review) }\n'
    text = template(rego) + constraint()
    made = cluster(text, [space("shop", team="a")])
    user = User(name="jane", groups=("dev",), extra=(("k", ("v",)),))
    seen = yaml.safe_load(made.request(pod(), "UPDATE", old=pod(), user=user).outcomes[0].outcome.message)
    assert seen["operation"] == "UPDATE"
    assert seen["userInfo"] == {"username": "jane", "groups": ["dev"], "extra": {"k": ["v"]}}
    assert seen["kind"] == {"group": "", "version": "v1", "kind": "Pod"}
    assert seen["resource"] == {"group": "", "version": "v1", "resource": "pods"}
    assert (seen["name"], seen["namespace"], seen["dryRun"]) == ("web", "shop", False)
    assert seen["object"] == seen["oldObject"] == pod()
    assert seen["_unstable"]["namespace"]["metadata"]["labels"] == {"team": "a"}
    (scanned,) = made.audit(pod())
    looked_at = yaml.safe_load(scanned.outcome.message)
    assert (looked_at["operation"], looked_at["userInfo"], looked_at["oldObject"]) == ("", {}, None)


def test_deletes_are_judged_when_a_template_asks_for_them(
    cluster: Callable[..., Any], pod: Callable[..., Resource]
) -> None:
    assert cluster(PLAIN).request(bad(pod), "DELETE").allowed
    made = cluster(template(operations=["DELETE"]) + constraint(**BAD))
    verdict = made.request(bad(pod), "DELETE")
    assert verdict.message.endswith("[no-bad] c0 runs bad/x"), "the deleted object stands for the object"
    assert made.request(bad(pod)).allowed


def test_defaults_of_the_schema_reach_the_parameters(
    cluster: Callable[..., Any], pod: Callable[..., Resource]
) -> None:
    made = cluster(template(schema=SCHEMA) + constraint(parameters={}))
    assert not made.findings
    assert not made.request(bad(pod)).allowed


def test_a_constraint_that_does_not_fit_the_schema_is_a_finding(cluster: Callable[..., Any]) -> None:
    made = cluster(template(schema=SCHEMA) + constraint(parameters={"prefix": 1, "level": "x"}))
    paths = sorted(one.where.path for one in made.findings)
    assert paths == [".spec.parameters.level", ".spec.parameters.prefix"]
    assert not made.book.policies


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (constraint(), ".kind: no ConstraintTemplate that can be used creates the kind Banned"),
        (
            template() + constraint(enforcementAction="shout"),
            ".spec.enforcementAction: could not find the provided",
        ),
        (template() + constraint(enforcementAction="scoped"), ".spec.scopedEnforcementActions: "),
        (template() + constraint(extra=1), ".spec.extra: .spec.extra is not supported"),
        (
            template() + constraint(match={"excludedNamespaces": [False]}),
            ".spec.match.excludedNamespaces: .spec.match.excludedNamespaces is not supported",
        ),
        (template() + constraint(match={"kind": []}), ".spec.match.kind: .spec.match.kind is not supported"),
    ],
)
def test_what_is_wrong_with_a_constraint(cluster: Callable[..., Any], text: str, said: str) -> None:
    assert any(one.startswith(said) for one in cluster(text).said())


def test_an_error_of_the_rego_refuses_as_a_violation(
    cluster: Callable[..., Any], pod: Callable[..., Resource]
) -> None:
    rego = (
        'package p\nviolation[{"msg": msg}] { msg := f(1) }\nf(x) = "a" { x == 1 }\nf(x) = "b" { x == 1 }\n'
    )
    verdict = cluster(template(rego) + constraint()).request(pod())
    assert not verdict.allowed
    assert (
        "eval_conflict_error: functions must not produce multiple outputs for same inputs" in verdict.message
    )


def test_an_endless_policy_fails_alone(cluster: Callable[..., Any], pod: Callable[..., Resource]) -> None:
    rego = """package p
violation[{"msg": "never"}] {
  n := numbers.range(1, 3000)
  count([1 | a := n[_]; b := n[_]; c := n[_]; a + b + c == 0]) > 0
}
"""
    made = cluster(template(rego, "Endless") + constraint("endless", "Endless") + PLAIN)
    verdict = made.request(bad(pod))
    assert {one.outcome.result for one in verdict.outcomes} == {"error", "fail"}
    assert "[no-bad] c0 runs bad/x" in verdict.message


def test_the_inventory_is_what_is_there(
    cluster: Callable[..., Any], pod: Callable[..., Resource], space: Any
) -> None:
    rego = """package p
violation[{"msg": msg}] {
  other := data.inventory.namespace[ns]["v1"]["Pod"][name]
  not same(other)
  msg := sprintf("%v/%v, team %v", [ns, name, data.inventory.cluster["v1"].Namespace[ns].metadata.labels.team])
}
same(other) { other.metadata.name == input.review.object.metadata.name }
"""
    made = cluster(template(rego) + constraint(), [pod("other"), space("shop", team="a")])
    assert made.assembled.wanted == {("*", "*"), ("", "Namespace")}
    verdict = made.request(pod())
    assert verdict.message.endswith("[no-bad] shop/other, team a")
    made.view.put(pod("third"))
    assert len(made.request(pod()).outcomes) == 2, "what came later is seen"
    made.view.drop(Ref("", "Pod", "shop", "other"))
    assert [one.outcome.message for one in made.request(pod()).outcomes] == ["shop/third, team a"]


def test_a_config_says_what_is_synced_and_what_is_left_alone(
    cluster: Callable[..., Any], pod: Callable[..., Resource]
) -> None:
    config = """---
apiVersion: config.gatekeeper.sh/v1alpha1
kind: Config
metadata: {name: config, namespace: gatekeeper-system}
spec:
  sync: {syncOnly: [{group: "", version: v1, kind: Service}]}
  match:
  - {processes: [webhook], excludedNamespaces: [kube-*]}
  - {processes: ["*"], excludedNamespaces: [spare]}
---
apiVersion: syncset.gatekeeper.sh/v1alpha1
kind: SyncSet
metadata: {name: more}
spec: {gvks: [{group: apps, version: v1, kind: Deployment}]}
"""
    made = cluster(PLAIN + config)
    assert not made.findings
    assert made.assembled.wanted == {("", "Service"), ("apps", "Deployment"), ("", "Namespace")}
    assert not made.request(bad(pod)).allowed
    assert made.request(bad(pod, namespace="kube-system")).allowed
    assert made.audit(bad(pod, namespace="kube-system"))
    assert not made.audit(bad(pod, namespace="spare"))


def test_an_ignored_namespace(cluster: Callable[..., Any], pod: Callable[..., Resource], space: Any) -> None:
    made = cluster(PLAIN, [space("shop", **{"admission.gatekeeper.sh/ignore": "x"})])
    assert made.request(bad(pod)).allowed
    assert made.audit(bad(pod))


def test_a_namespace_that_nobody_knows_is_an_error(
    cluster: Callable[..., Any], pod: Callable[..., Resource], space: Any
) -> None:
    text = template() + constraint(**BAD, match={"namespaceSelector": {"matchLabels": {"team": "a"}}})
    assert (
        cluster(text)
        .request(bad(pod))
        .message.endswith(
            "[no-bad] error matching the requested object: web :failed to run Match criteria: namespace selector for "
            "namespace-scoped object but missing Namespace"
        )
    )
    assert not cluster(text, [space("shop", team="a")]).request(bad(pod)).allowed
    assert cluster(text, [space("shop", team="b")]).request(bad(pod)).allowed


def test_what_is_changed_matches_by_what_it_was_too(
    cluster: Callable[..., Any], pod: Callable[..., Resource]
) -> None:
    text = template() + constraint(**BAD, match={"labelSelector": {"matchLabels": {"judged": "yes"}}})
    old = bad(pod)
    old["metadata"] = {**old["metadata"], "labels": {"judged": "yes"}}
    assert not cluster(text).request(bad(pod), "UPDATE", old=old).allowed
    assert cluster(text).request(bad(pod)).allowed


EXTERNAL = """package p
violation[{"msg": msg}] {
  images := [c.image | c := input.review.object.spec.containers[_]]
  answer := external_data({"provider": "signer", "keys": images})
  bad := answer.errors[_]
  msg := sprintf("%v: %v", bad)
}
violation[{"msg": answer.system_error}] {
  answer := external_data({"provider": "signer", "keys": ["bad/x"]})
  answer.system_error != ""
}
"""


def test_a_provider_is_a_need(cluster: Callable[..., Any], pod: Callable[..., Resource]) -> None:
    need = Need(
        "externaldata", Ref("externaldata.gatekeeper.sh", "Provider", "", "signer"), (("key", "bad/x"),)
    )
    text = template(EXTERNAL) + constraint()
    with pytest.raises(Lacking) as lacking:
        cluster(text).request(bad(pod))
    assert lacking.value.needs == (need,)
    assert cluster(text, answers={need: {"bad/x": "signed"}}).request(bad(pod)).allowed
    verdict = cluster(text, answers={need: {}}).request(bad(pod))
    assert verdict.message.endswith("[no-bad] bad/x: the provider gave no value")
    verdict = cluster(text, answers={need: OSError("no route")}).request(bad(pod))
    assert verdict.message.endswith("[no-bad] no route")


def test_a_rule_without_a_message_says_nothing(
    cluster: Callable[..., Any], pod: Callable[..., Resource]
) -> None:
    text = template('package p\nviolation[{"other": 1}] { true }\n') + constraint()
    assert cluster(text).request(pod()).allowed


CEL: dict[str, Any] = {
    "code": [
        {
            "engine": "K8sNativeValidation",
            "source": {
                "variables": [
                    {"name": "images", "expression": "variables.anyObject.spec.containers.map(c, c.image)"}
                ],
                "matchConditions": [{"name": "shop", "expression": 'request.namespace == "shop"'}],
                "validations": [
                    {
                        "expression": "variables.images.all(i, !i.startsWith(variables.params.prefix))",
                        "messageExpression": '"images begin with " + variables.params.prefix',
                    }
                ],
            },
        },
        {"engine": "Rego", "source": {"rego": 'package p\nviolation[{"msg": "rego"}] { true }'}},
    ]
}


def test_cel_is_preferred_and_sees_the_parameters(
    cluster: Callable[..., Any], pod: Callable[..., Resource]
) -> None:
    made = cluster(template("", **CEL) + constraint(**BAD))
    assert not made.findings
    assert made.request(bad(pod)).message.endswith("[no-bad] images begin with bad/")
    assert made.request(bad(pod, "good/x")).allowed
    assert made.request(bad(pod, namespace="other")).allowed


@pytest.mark.parametrize(("policy", "allowed"), [("Fail", False), ("Ignore", True), (None, False)])
def test_what_cannot_be_evaluated_goes_by_the_failure_policy(
    cluster: Callable[..., Any], pod: Callable[..., Resource], policy: str | None, *, allowed: bool
) -> None:
    source: dict[str, Any] = {"validations": [{"expression": "object.spec.missing == 1"}]}
    if policy:
        source["failurePolicy"] = policy
    text = template("", code=[{"engine": "K8sNativeValidation", "source": source}]) + constraint()
    verdict = cluster(text).request(pod())
    assert verdict.allowed is allowed
    if not allowed:
        assert "no such key: missing" in verdict.message


def test_what_the_api_server_would_enforce_is_enforced_here(
    cluster: Callable[..., Any], pod: Callable[..., Resource]
) -> None:
    scoped: dict[str, Any] = {
        "enforcementAction": "scoped",
        "scopedEnforcementActions": [{"action": "deny", "enforcementPoints": [{"name": "vap.k8s.io"}]}],
    }
    assert not cluster(template("", **CEL) + constraint(**BAD, **scoped)).request(bad(pod)).allowed
    assert cluster(template() + constraint(**BAD, **scoped)).request(bad(pod)).allowed
