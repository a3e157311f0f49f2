"""Templates: what cannot be used and where, the kind that each creates, expansions, and statuses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from fairlead.dialects import gatekeeper
from fairlead.dialects.gatekeeper.statuses import MOST
from fairlead.keep.validating_definitions import definition as check_definition
from fairlead.words import Resource

HEAD = """apiVersion: templates.gatekeeper.sh/v1
kind: ConstraintTemplate
metadata:
  name: banned
spec:
  crd: {spec: {names: {kind: Banned, shortNames: [ban]}}}
  targets:
  - target: admission.k8s.gatekeeper.sh
"""
VIOLATION = 'violation[{"msg": "no"}] { true }'


def rego(*lines: str, libs: str = "") -> str:
    body = "".join(f"      {line}\n" for line in lines)
    return f"{HEAD}    rego: |\n{body}{libs}"


def lib(*lines: str) -> str:
    return "    libs:\n    - |\n" + "".join(f"      {line}\n" for line in lines)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (rego("package p", "violation[{}] { x := }", ""), 11, "rego_parse_error"),
        (rego("package p", VIOLATION, "x = y { true }"), 12, "rego_unsafe_var_error"),
        (rego("package p", "denied { true }"), 10, "invalid rego: missing required rules: [violation]"),
        (rego("package p", "", "violation[r] { r := data.other[_] }"), 12, "disallowed ref data.other"),
        (rego("package p", VIOLATION, "x { data[_] }"), 12, "disallowed ref data"),
        (rego("package p", "import data.else", VIOLATION), 11, "bad import: data.else"),
        (rego("package p", "import input.review", VIOLATION), 11, "cannot import input: input.review"),
        (
            rego("package p", VIOLATION, 'x { http.send({"method": "get", "url": "u"}) }'),
            12,
            "undefined function http.send",
        ),
        (
            rego("package p", VIOLATION, libs=lib("package mine", "", "f(x) = x")),
            14,
            "path data.mine not found in lib prefixes",
        ),
        (
            rego("package p", VIOLATION, libs=lib("package lib.mine", "", "f(x) = y { true }")),
            16,
            "rego_unsafe_var_error",
        ),
    ],
)
def test_a_fault_in_rego_is_told_at_its_line(
    cluster: Callable[..., Any], text: str, line: int, message: str
) -> None:
    made = cluster(text)
    assert not made.models
    told = [(one.where.line, one.message) for one in made.findings]
    assert any(at == line and message in said for at, said in told), told


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        (
            HEAD.replace("name: banned", "name: other"),
            ".metadata.name",
            "is not equal to the lowercase of CRD's Kind",
        ),
        (HEAD, ".spec.targets[0].rego", "rego source missing required field: rego"),
        (
            HEAD.replace("admission.k8s", "else"),
            ".spec.targets[0].target",
            "target else.gatekeeper.sh not recognized",
        ),
        (
            HEAD.partition("  targets")[0],
            ".spec.targets",
            "expected exactly 1 item in targets, got 0",
        ),
        (
            f"{HEAD}    code: [{{engine: Lua, source: {{}}}}]\n",
            ".spec.targets[0].code[0].engine",
            "unknown engine",
        ),
        (
            f"{HEAD}    code: [{{engine: Rego, source: {{rego: x, version: v7}}}}]\n",
            ".spec.targets[0].code[0].source.rego",
            "unknown version of Rego: v7",
        ),
        (
            (
                f"{HEAD}    code:\n    - engine: K8sNativeValidation\n      source:\n        validations:\n"
                "        - expression: 'object.'\n"
            ),
            ".spec.targets[0].code[0].source.validations[0].expression",
            "compilation failed",
        ),
        (
            (
                f"{HEAD}    code:\n    - engine: K8sNativeValidation\n      source:\n        variables:\n"
                "        - {name: params, expression: '1'}\n"
            ),
            ".spec.targets[0].code[0].source.variables[0].name",
            "is a reserved keyword",
        ),
        (
            f"{HEAD}    code:\n    - engine: K8sNativeValidation\n      source: {{failurePolicy: Maybe}}\n",
            ".spec.targets[0].code[0].source.failurePolicy",
            "unrecognized failure policy: Maybe",
        ),
        (rego("package p", VIOLATION) + "    more: 1\n", ".spec.targets[0].more", "is not supported"),
        (
            rego("package p", VIOLATION).replace(
                "  name: banned",
                '  name: banned\n  annotations: {metadata.gatekeeper.sh/requires-sync-data: "[{]"}',
            ),
            ".metadata.annotations.metadata.gatekeeper.sh/requires-sync-data",
            "is no list of lists of kinds",
        ),
    ],
)
def test_what_is_wrong_with_a_template(
    cluster: Callable[..., Any], text: str, path: str, message: str
) -> None:
    told = cluster(text).said()
    assert any(one.startswith(f"{path}: ") and message in one for one in told), told


def test_rego_of_both_versions(cluster: Callable[..., Any], pod: Callable[..., Resource]) -> None:
    newer = """    code:
    - engine: Rego
      source:
        version: v1
        rego: |
          package p
          import data.lib.words.no
          violation contains {"msg": no} if { print(input.review.name); input.review.object.kind == "Pod" }
        libs:
        - |
          package lib.words
          no := "never"
"""
    constraint = "---\napiVersion: constraints.gatekeeper.sh/v1beta1\nkind: Banned\nmetadata: {name: b}\n"
    made = cluster(HEAD + newer + constraint)
    assert not made.findings
    assert made.request(pod()).message.endswith("[b] never")


def test_one_bad_template_does_not_cost_another(
    cluster: Callable[..., Any], pod: Callable[..., Resource]
) -> None:
    constraint = "---\napiVersion: constraints.gatekeeper.sh/v1beta1\nkind: {}\nmetadata: {{name: {}}}\n"
    good = rego("package p", VIOLATION)
    bad = rego("package p", "violation[").replace("banned", "broken").replace("Banned", "Broken")
    text = f"{bad}---\n{good}" + constraint.format("Broken", "one") + constraint.format("Banned", "two")
    made = cluster(text)
    assert made.request(pod()).message.endswith("denied the request: [two] no")
    assert [one.where.path for one in made.findings] == [".spec.targets[0].rego", ".kind"]


def test_what_a_template_looks_up(cluster: Callable[..., Any]) -> None:
    looking = rego("package p", "violation[r] { r := data.inventory.cluster[_] }")
    declared = looking.replace(
        "  name: banned",
        '  name: banned\n  annotations:\n    metadata.gatekeeper.sh/requires-sync-data: |\n      "[[{\\"groups\\": [\\"apps\\"], '
        '\\"versions\\": [\\"v1\\"], \\"kinds\\": [\\"Deployment\\"]}]]"',
    ).replace('\\"', '"')
    assert cluster(looking).assembled.wanted == {("*", "*"), ("", "Namespace")}
    made = cluster(declared)
    assert not made.findings
    assert made.assembled.wanted == {("apps", "Deployment"), ("", "Namespace")}
    assert cluster(rego("package p", VIOLATION)).assembled.wanted == {("", "Namespace")}


def test_the_kind_that_a_template_creates() -> None:
    template = yaml.safe_load(rego("package p", VIOLATION))
    template["spec"]["crd"]["spec"]["validation"] = {
        "legacySchema": True,
        "openAPIV3Schema": {"properties": {"a": {"type": "array", "items": {"properties": {"b": {}}}}}},
    }
    made = gatekeeper.definition_of(template)
    assert made["metadata"] == {
        "name": "banned.constraints.gatekeeper.sh",
        "labels": {"gatekeeper.sh/constraint": "yes"},
    }
    spec = made["spec"]
    assert (spec["scope"], spec["names"]["plural"], spec["names"]["shortNames"]) == (
        "Cluster",
        "banned",
        ["ban"],
    )
    assert [(one["name"], one["storage"]) for one in spec["versions"]] == [
        ("v1beta1", True),
        ("v1alpha1", False),
    ]
    parameters = spec["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"][
        "parameters"
    ]
    assert parameters["x-kubernetes-preserve-unknown-fields"] is True
    assert parameters["properties"]["a"]["items"]["x-kubernetes-preserve-unknown-fields"] is True
    plain = gatekeeper.definition_of(yaml.safe_load(rego("package p", VIOLATION)))
    assert not check_definition(plain, None)


EXPANSION = """---
apiVersion: expansion.gatekeeper.sh/v1beta1
kind: ExpansionTemplate
metadata: {name: expand-deployments}
spec:
  applyTo: [{groups: [apps], kinds: [Deployment], versions: [v1]}]
  templateSource: spec.template
  generatedGVK: {group: "", version: v1, kind: Pod}
"""
POLICY = (
    rego(
        "package p",
        'violation[{"msg": msg}] {',
        "  not input.review.object.spec.hostname",
        '  msg := sprintf("%v/%v of %v has no hostname", [input.review.object.metadata.namespace,',
        "    input.review.object.metadata.name, input.review.object.metadata.ownerReferences[0].name])",
        "}",
    )
    + """---
apiVersion: constraints.gatekeeper.sh/v1beta1
kind: Banned
metadata: {name: named}
spec: {match: {kinds: [{apiGroups: [""], kinds: [Pod]}]}}
"""
)


def deployment() -> Resource:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "Web", "namespace": "shop"},
        "spec": {"template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}}},
    }


def test_what_an_object_creates_is_judged_with_it(cluster: Callable[..., Any]) -> None:
    made = cluster(POLICY + EXPANSION)
    assert made.request(deployment()).message.endswith(
        "[named] [Implied by expand-deployments] shop/web-pod of Web has no hostname"
    )
    assert cluster(POLICY).request(deployment()).allowed
    thing = deployment()
    thing["spec"]["template"]["spec"]["hostname"] = "x"
    assert made.request(thing).allowed


@pytest.mark.parametrize(
    ("action", "allowed", "warned"), [("warn", True, 1), ("dryrun", True, 0), ("deny", False, 0)]
)
def test_an_expansion_may_override_the_action(
    cluster: Callable[..., Any], action: str, *, allowed: bool, warned: int
) -> None:
    verdict = cluster(POLICY + EXPANSION + f"  enforcementAction: {action}\n").request(deployment())
    assert verdict.allowed is allowed
    assert len(verdict.warnings) == warned


def test_mutators_change_what_was_expanded(cluster: Callable[..., Any]) -> None:
    mutator = """---
apiVersion: mutations.gatekeeper.sh/v1
kind: Assign
metadata: {name: host}
spec:
  applyTo: [{groups: [""], kinds: [Pod], versions: [v1]}]
  location: spec.hostname
  match: {source: SOURCE}
  parameters: {assign: {value: x}}
"""
    for source, allowed in (("Generated", True), ("All", True), ("Original", False)):
        text = POLICY + EXPANSION + mutator.replace("SOURCE", source)
        assert cluster(text).request(deployment()).allowed is allowed


def test_what_was_expanded_is_expanded_again(cluster: Callable[..., Any]) -> None:
    jobs = """---
apiVersion: expansion.gatekeeper.sh/v1alpha1
kind: ExpansionTemplate
metadata: {name: expand-cron}
spec:
  applyTo: [{groups: [batch], kinds: [CronJob], versions: [v1]}]
  templateSource: spec.jobTemplate
  generatedGVK: {group: batch, version: v1, kind: Job}
"""
    text = POLICY + EXPANSION.replace("apps", "batch").replace("Deployment", "Job") + jobs
    cron = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "c", "namespace": "shop"},
        "spec": {"jobTemplate": {"spec": {"template": {"spec": {}}}}},
    }
    verdict = cluster(text).request(cron)
    assert verdict.message.endswith("[Implied by expand-deployments] shop/c-job-pod of c-job has no hostname")


def test_a_misshapen_object_is_an_error(cluster: Callable[..., Any]) -> None:
    thing = deployment()
    thing["spec"] = {}
    verdict = cluster(POLICY + EXPANSION).request(thing)
    assert 'could not find source field "spec.template" in resource Web' in verdict.message


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("templateSource: spec.template", "templateSource: ''", "has empty source field"),
        ("  generatedGVK", "  generated", "has empty generatedGVK field"),
        ("applyTo: [{groups: [apps]", "applyTo: [{groups: []", "must specify ApplyTo"),
        (
            'group: "", version: v1, kind: Pod',
            "group: apps, version: v1, kind: Deployment",
            "also applies to that same",
        ),
        ("templateSource", "enforcementAction: shout\n  templateSource", "unknown enforcementAction shout"),
    ],
)
def test_expansions_that_make_no_sense(cluster: Callable[..., Any], old: str, new: str, message: str) -> None:
    told = cluster(EXPANSION.replace(old, new)).said("policy.broken")
    assert any(message in one for one in told), told


def test_expansions_in_a_circle(cluster: Callable[..., Any]) -> None:
    back = (
        EXPANSION.replace("expand-deployments", "back")
        .replace("groups: [apps], kinds: [Deployment]", 'groups: [""], kinds: [Pod]')
        .replace('group: "", version: v1, kind: Pod', "group: apps, version: v1, kind: Deployment")
    )
    made = cluster(POLICY + EXPANSION + back)
    assert len([one for one in made.said() if "template forms expansion cycle" in one]) == 2
    assert made.request(deployment()).allowed


NOW = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_the_status_of_a_constraint(cluster: Callable[..., Any], pod: Callable[..., Resource]) -> None:
    made = cluster(rego("package p", VIOLATION) + "---" + POLICY.partition("---")[2])
    pods = [pod(f"p{number:02}") for number in range(MOST + 5)]
    judged = [(made.subject(one, scan=True), said) for one in pods for said in made.audit(one)]
    document = {
        "apiVersion": "constraints.gatekeeper.sh/v1beta1",
        "kind": "Banned",
        "metadata": {"name": "named", "uid": "u", "generation": 3},
    }
    write = gatekeeper.WRITES["constraints.gatekeeper.sh", "*"]
    status = write(document, judged, made.findings, NOW)
    assert status["auditTimestamp"] == "2025-01-02T03:04:05Z"
    assert status["totalViolations"] == MOST + 5
    assert len(status["violations"]) == MOST
    assert status["violations"][0] == {
        "enforcementAction": "deny",
        "group": "",
        "version": "v1",
        "kind": "Pod",
        "name": "p00",
        "namespace": "shop",
        "message": "no",
    }
    assert status["byPod"] == [
        {
            "constraintUID": "u",
            "enforced": True,
            "id": "fairlead",
            "observedGeneration": 3,
            "operations": ["audit", "status", "webhook"],
        }
    ]
    assert "violations" not in write(document, [], [], NOW)


def test_the_status_of_a_template(cluster: Callable[..., Any]) -> None:
    write = gatekeeper.WRITES["templates.gatekeeper.sh", "ConstraintTemplate"]
    good = yaml.safe_load(rego("package p", VIOLATION))
    assert write(good, [], cluster(rego("package p", VIOLATION)).findings, NOW)["created"] is True
    text = rego("package p", "violation[")
    status = write(yaml.safe_load(text), [], cluster(text).findings, NOW)
    assert status["created"] is False
    (error,) = status["byPod"][0]["errors"]
    assert error["code"] == "policy.broken"
    assert error["location"].startswith("policies.yaml:1")
