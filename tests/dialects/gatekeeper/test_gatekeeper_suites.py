"""Suites of Gatekeeper's command line: rows, counts, messages, and what cannot be run."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.dialects import manifests
from fairlead.dialects.gatekeeper.suites import is_suite, judge_suite, read_suite
from fairlead.judge.reading import Source
from fairlead.judge.suites import Row
from fairlead.keep.kinds import Catalogue
from fairlead.reactor.kindnames import KindNames

TEMPLATE = """apiVersion: templates.gatekeeper.sh/v1
kind: ConstraintTemplate
metadata: {name: named}
spec:
  crd:
    spec:
      names: {kind: Named}
      validation:
        openAPIV3Schema:
          type: object
          properties: {words: {type: array, items: {type: string}}}
  targets:
  - target: admission.k8s.gatekeeper.sh
    rego: |
      package named
      violation[{"msg": msg}] {
        word := input.parameters.words[_]
        contains(input.review.object.metadata.name, word)
        input.review.operation != "DELETE"
        msg := sprintf("%v has %v", [input.review.object.metadata.name, word])
      }
      violation[{"msg": msg}] {
        input.review.operation == "DELETE"
        msg := sprintf("%v goes, says %v", [input.review.object.metadata.name, input.review.userInfo.username])
      }
      violation[{"msg": "there is a twin"}] {
        data.inventory.namespace[_]["v1"].Pod[_].metadata.labels.twin
      }
"""
CONSTRAINT = """apiVersion: constraints.gatekeeper.sh/v1beta1
kind: Named
metadata: {name: no-words}
spec:
  match: {kinds: [{apiGroups: [""], kinds: [Pod]}]}
  parameters: {words: [bad, worse]}
"""
EXPANSION = """apiVersion: expansion.gatekeeper.sh/v1alpha1
kind: ExpansionTemplate
metadata: {name: grow}
spec:
  applyTo: [{groups: [apps], versions: [v1], kinds: [Deployment]}]
  templateSource: spec.template
  generatedGVK: {group: "", version: v1, kind: Pod}
"""
FILES = {
    "dir/template.yaml": TEMPLATE,
    "dir/constraint.yaml": CONSTRAINT,
    "dir/wrong.yaml": CONSTRAINT.replace("[bad, worse]", "bad"),
    "dir/grow.yaml": EXPANSION,
    "dir/good.yaml": "{apiVersion: v1, kind: Pod, metadata: {name: good}}",
    "dir/bad.yaml": "{apiVersion: v1, kind: Pod, metadata: {name: bad-worse}}",
    "dir/two.yaml": "{apiVersion: v1, kind: Pod, metadata: {name: a}}\n---\n{apiVersion: v1, kind: Pod}",
    "dir/twin.yaml": "{apiVersion: v1, kind: Pod, metadata: {name: t, namespace: x, labels: {twin: a}}}",
    "dir/deployment.yaml": "{apiVersion: apps/v1, kind: Deployment, metadata: {name: bad}, spec: {template: {}}}",
    "dir/empty.yaml": "# nothing",
    "dir/delete.yaml": """apiVersion: admission.k8s.io/v1
kind: AdmissionReview
request:
  operation: DELETE
  kind: {group: "", version: v1, kind: Pod}
  userInfo: {username: jane}
  oldObject: {apiVersion: v1, kind: Pod, metadata: {name: bad}}
""",
    "dir/nothing.yaml": "{apiVersion: admission.k8s.io/v1, kind: AdmissionReview}",
    "dir/half.yaml": "{apiVersion: admission.k8s.io/v1, kind: AdmissionReview, request: {operation: CREATE}}",
    "dir/unkind.yaml": "{apiVersion: admission.k8s.io/v1, kind: AdmissionReview, request: {object: {a: 1}}}",
    "dir/lost.yaml": (
        "{apiVersion: admission.k8s.io/v1, kind: AdmissionReview, request: {operation: DELETE, object: {kind: Pod}}}"
    ),
}


def parse(file: str, text: str) -> list[Source]:
    return [Source(one.content, one.where) for one in manifests.parse(file, text)[0]]


def rows(tests: str) -> list[Row]:
    text = f"kind: Suite\napiVersion: test.gatekeeper.sh/v1alpha1\nmetadata: {{name: s}}\n{tests}"
    (source,) = parse("dir/suite.yaml", text)
    assert is_suite(source.content)
    suite, findings = read_suite("dir/suite.yaml", source)
    assert not findings
    made, _ = judge_suite(suite, FILES, parse=parse, kinds=KindNames(Catalogue()))
    return made


def case(object_: str, assertions: str, **more: Any) -> Row:
    extra = "".join(f"    {key}: {value}\n" for key, value in more.items())
    test = f"tests:\n- name: t\n  template: template.yaml\n  constraint: constraint.yaml\n  expansion: grow.yaml\n  cases:\n  - name: c\n    object: {object_}\n    assertions: {assertions}\n{extra}"
    (row,) = rows(test)
    return row


@pytest.mark.parametrize(
    ("object_", "assertions", "ok"),
    [
        ("good.yaml", "[{violations: no}]", True),
        ("good.yaml", "[{violations: yes}]", False),
        ("bad.yaml", "[{violations: yes}]", True),
        ("bad.yaml", "[{violations: 'yes'}]", True),
        ("bad.yaml", "[{violations: 2}]", True),
        ("bad.yaml", "[{violations: 1}]", False),
        ("bad.yaml", "[{violations: 1, message: has worse$}, {violations: 2, message: has}]", True),
        ("bad.yaml", "[{message: '^bad'}]", True),
        ("bad.yaml", "[{violations: no, message: nothing}]", True),
        ("bad.yaml", "[{violations: yes, message: nothing}]", False),
        ("deployment.yaml", "[{message: 'Implied by grow. bad-pod has bad'}]", True),
        ("delete.yaml", '[{violations: 1, message: "bad goes, says jane"}]', True),
    ],
)
def test_assertions(object_: str, assertions: str, *, ok: bool) -> None:
    row = case(object_, assertions)
    assert (row.ok, row.error) == (ok, False), row


def test_a_row_says_what_was_wanted_and_got() -> None:
    row = case("bad.yaml", "[{violations: 3, message: bad}]")
    assert (row.policy, row.kind, row.rule, row.resource) == ("no-words", "Named", "t", "c")
    assert row.wanted == "violations: 3 matching 'bad'"
    assert row.got == "2 violations"
    assert row.reason == (
        'unexpected number of violations: got 2 violations containing "bad" but want exactly 3: got messages '
        "[bad-worse has bad bad-worse has worse]"
    )


def test_the_inventory_is_beside_the_object() -> None:
    assert case("good.yaml", "[{message: twin}]", inventory="[twin.yaml]").ok
    assert case("good.yaml", "[{violations: no}]").ok


@pytest.mark.parametrize(
    ("object_", "assertions", "reason"),
    [
        ("missing.yaml", "[{}]", "open dir/missing.yaml: no such file or directory"),
        ("two.yaml", "[{}]", 'found multiple objects: "dir/two.yaml" defines 2 objects'),
        ("empty.yaml", "[{}]", 'missing objects: path "dir/empty.yaml" defines no YAML objects'),
        ("''", "[{}]", "invalid Case: must define object"),
        ("good.yaml", "[]", "invalid Case: assertions must be non-empty"),
        ("good.yaml", "[{violations: maybe}]", "invalid yaml: assertion.violation, if set, must be"),
        ("good.yaml", "[{violations: -1}]", "invalid yaml: assertion.violation, if set, must be"),
        ("bad.yaml", "[{message: '('}]", "message contains invalid regular expression"),
        ("nothing.yaml", "[{}]", "missing K8s AdmissionRequest"),
        ("half.yaml", "[{}]", 'missing "object" or "oldObject" for review'),
        ("unkind.yaml", "[{}]", "unmarshalling failed: Object 'Kind' is missing"),
        ("lost.yaml", "[{}]", "oldObject cannot be nil for DELETE operations"),
    ],
)
def test_what_cannot_be_run(object_: str, assertions: str, reason: str) -> None:
    row = case(object_, assertions)
    assert row.error
    assert not row.ok
    assert reason in row.reason


def test_what_is_skipped() -> None:
    assert case("bad.yaml", "[{violations: no}]", skip="true").skipped
    test = "- {name: t, template: template.yaml, constraint: constraint.yaml, skip: true, cases: [{name: a}, {name: b}]}"
    assert [one.skipped for one in rows(f"tests:\n{test}")] == [True, True]
    assert [
        one.skipped for one in rows(f"skip: true\ntests:\n{test.replace('skip: true', 'skip: false')}")
    ] == [
        True,
        True,
    ]


@pytest.mark.parametrize(("constraint", "ok"), [("wrong.yaml", True), ("constraint.yaml", False)])
def test_a_constraint_that_must_be_invalid(constraint: str, *, ok: bool) -> None:
    (row,) = rows(f"tests:\n- {{name: t, template: template.yaml, constraint: {constraint}, invalid: true}}")
    assert row.ok is ok


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        ("{name: t, constraint: constraint.yaml}", "invalid Suite: missing template"),
        ("{name: t, template: template.yaml}", "invalid Suite: missing constraint"),
        ("{name: t, template: good.yaml, constraint: constraint.yaml}", "does not hold what the test needs"),
        ("{name: t, template: template.yaml, constraint: wrong.yaml}", "must be of type array"),
    ],
)
def test_a_test_that_cannot_begin(test: str, reason: str) -> None:
    (row,) = rows(f"tests:\n- {test}")
    assert row.error
    assert reason in row.reason


def test_an_evaluation_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = TEMPLATE.replace("contains(input", "twice(1) == 1; contains(input") + (
        "      twice(x) = 1 { x == 1 }\n      twice(x) = 2 { x == 1 }\n"
    )
    monkeypatch.setitem(FILES, "dir/template.yaml", failing)
    row = case("bad.yaml", "[{violations: yes}]")
    assert row.ok, "gator takes an error for a violation"
    assert row.broken


def test_what_no_suite_is() -> None:
    assert not is_suite({"kind": "Suite", "apiVersion": "v1"})
    assert not is_suite([])
