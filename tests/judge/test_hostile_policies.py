"""Hostile policies and objects: each is refused or stopped in bounded time and memory, and the others go on.

Each case runs in a process of its own under limits of memory and time, so that a policy which breaks out fails its own case only.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from typing import Any

import pytest
import yaml

MEMORY = 1 << 30
SECONDS = 60

CHILD = """
import json, sys
from datetime import UTC, datetime
from fairlead.judge.judging import judge
from fairlead.judge.reading import Source
from fairlead.judge.subjects import subject_of
from fairlead.judge.surroundings import Surroundings
from fairlead.keep.kinds import Catalogue
from fairlead.reactor.kindnames import KindNames
from fairlead.reactor.policies import load
from fairlead.words import Snapshot

asked = json.load(sys.stdin)
pod = asked["object"]
if asked.get("long"):
    pod["metadata"]["annotations"] = {"long": "a" * asked["long"]}
loaded = load(Source(one) for one in asked["policies"])
around = Surroundings(view=Snapshot(), now=datetime(2026, 1, 1, tzinfo=UTC), kinds=KindNames(Catalogue()))
subject = subject_of(pod, "pods")
said = [(one.policy.name, one.outcome.result, one.outcome.message[:300]) for one in judge(subject, loaded.book, around)]
json.dump({"outcomes": said, "findings": [one.message[:300] for one in loaded.findings]}, sys.stdout)
"""

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"containers": [{"name": "web", "image": "nginx"}]},
}
WITNESS = """
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: witness}
spec:
  rules:
    - name: seen
      match: {any: [{resources: {kinds: [Pod]}}]}
      validate: {message: seen, pattern: {metadata: {name: web}}}
"""


def cel(**spec: Any) -> list[dict[str, Any]]:
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]
    group = "admissionregistration.k8s.io/v1"
    return [
        {"apiVersion": group, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "hostile"},
         "spec": {"matchConstraints": {"resourceRules": rules}, **spec}},
        {"apiVersion": group, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": "hostile"},
         "spec": {"policyName": "hostile", "validationActions": ["Deny"]}},
    ]  # fmt: skip


def rego(code: str) -> list[dict[str, Any]]:
    template = {
        "apiVersion": "templates.gatekeeper.sh/v1",
        "kind": "ConstraintTemplate",
        "metadata": {"name": "hostile"},
        "spec": {
            "crd": {"spec": {"names": {"kind": "Hostile"}}},
            "targets": [{"target": "admission.k8s.gatekeeper.sh", "rego": f"package hostile\n{code}"}],
        },
    }
    constraint = {
        "apiVersion": "constraints.gatekeeper.sh/v1beta1",
        "kind": "Hostile",
        "metadata": {"name": "hostile"},
    }
    return [template, constraint]


def kyverno(**rule: Any) -> list[dict[str, Any]]:
    match = {"any": [{"resources": {"kinds": ["Pod"]}}]}
    return [
        {"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "hostile"},
         "spec": {"validationFailureAction": "Enforce", "rules": [{"name": "one", "match": match, **rule}]}}
    ]  # fmt: skip


TEN = "[0,1,2,3,4,5,6,7,8,9]"
ENDLESS = "".join(f"{TEN}.all({name}, " for name in "abcdefghij") + "true" + ")" * 10
DOUBLING = [{"name": "v0", "expression": "'aaaaaaaaaaaaaaaa'"}] + [
    {"name": f"v{n}", "expression": f"variables.v{n - 1} + variables.v{n - 1}"} for n in range(1, 48)
]
GROWING = [{"name": "v0", "variable": {"value": "aaaaaaaaaaaaaaaa"}}] + [
    {"name": f"v{n}", "variable": {"jmesPath": f"join('', [v{n - 1}, v{n - 1}])"}} for n in range(1, 48)
]
BRANCHING = [{"name": "v0", "variable": {"value": {"a": "b"}}}] + [
    {"name": f"v{n}", "variable": {"jmesPath": f"{{a: v{n - 1}, b: v{n - 1}}}"}} for n in range(1, 48)
]

CASES: dict[str, tuple[list[dict[str, Any]], str]] = {
    "an endless comprehension in CEL": (cel(validations=[{"expression": ENDLESS}]), "error"),
    "a text that doubles in CEL": (
        cel(variables=DOUBLING, validations=[{"expression": "variables.v47.size() > 0"}]),
        "error",
    ),
    "a pattern that would backtrack": (
        cel(validations=[{"expression": f"!('{'a' * 5000}b').matches('^(a+)+$')"}]),
        "pass",
    ),
    "a pattern of enormous repetition": (
        cel(validations=[{"expression": "'a'.matches('((a{1,1000}){1,1000}){1,1000}')"}]),
        "error",
    ),
    "a cross product in Rego": (
        rego('violation[{"msg": "m"}] { r := numbers.range(1, 5000); r[_] + r[_] + r[_] == -1 }'),
        "error",
    ),
    "an enormous range in Rego": (rego('violation[{"msg": "m"}] { count(numbers.range(1, 1e15)) > 0 }'), "error"),
    "a text that doubles in Rego": (
        rego(
            "".join(f'v{n} = concat("", [v{n - 1}, v{n - 1}]) {{ true }}\n' for n in range(1, 48))
            + 'v0 = "aaaaaaaaaaaaaaaa"\nviolation[{"msg": "m"}] { count(v47) > 0 }'
        ),
        "error",
    ),
    "a text that doubles in JMESPath": (
        kyverno(context=GROWING, validate={"message": "m", "deny": {"conditions": {"all": [
            {"key": "{{ length(v47) }}", "operator": "LessThan", "value": 1}]}}}),
        "error",
    ),
    "a tree that doubles in JMESPath": (
        kyverno(context=BRANCHING, validate={"message": "m", "deny": {"conditions": {"all": [
            {"key": "{{ to_string(v47) }}", "operator": "Equals", "value": "x"}]}}}),
        "error",
    ),
}  # fmt: skip


def run(policies: list[dict[str, Any]], pod: Any = None, **more: Any) -> dict[str, Any]:
    """Judge a pod in a process of its own by the policies and a witness."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

    asked = {"policies": [*policies, yaml.safe_load(WITNESS)], "object": pod or POD, **more}
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        preexec_fn=limit,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answer: dict[str, Any] = json.loads(done.stdout)
    assert ["witness", "pass"] in [one[:2] for one in answer["outcomes"]], "the others go on"
    return answer


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_policy_is_stopped(name: str) -> None:
    policies, wanted = CASES[name]
    answer = run(policies)
    hostile = [one for one in answer["outcomes"] if one[0] != "witness"]
    refused = [one for one in answer["findings"] if "hostile" not in one or one]
    assert [one[1] for one in hostile] == [wanted] or (wanted == "error" and refused), answer


def test_recursion_is_refused_at_load() -> None:
    answer = run(rego('f(x) = y { y := f(x) }\nviolation[{"msg": "m"}] { f(1) == 1 }'))
    assert any("recursi" in one for one in answer["findings"]), answer


@pytest.mark.parametrize(
    "policies",
    [
        cel(validations=[{"expression": "(" * 5000 + "true" + ")" * 5000}]),
        rego('violation[{"msg": "m"}] { ' + "[" * 5000 + "]" * 5000 + " }"),
        kyverno(validate={"message": "m", "deny": {"conditions": {"all": [
            {"key": "{{ " + "[" * 5000 + "]" * 5000 + " }}", "operator": "Equals", "value": 1}]}}}),
    ],
    ids=["cel", "rego", "jmespath"],
)  # fmt: skip
def test_bottomless_text_is_refused(policies: list[dict[str, Any]]) -> None:
    answer = run(policies)
    results = [one[1] for one in answer["outcomes"] if one[0] != "witness"]
    assert answer["findings"] or results == ["error"], answer


def test_a_hundred_megabytes_are_judged() -> None:
    policies = [
        *cel(validations=[{"expression": "object.metadata.annotations.long.matches('^a+$')"}]),
        *rego('violation[{"msg": "m"}] { contains(input.review.object.metadata.annotations.long, "b") }'),
    ]
    answer = run(policies, long=100 * 1000 * 1000)
    assert {one[1] for one in answer["outcomes"]} <= {"pass", "error"}
