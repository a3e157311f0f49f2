"""Golden cases: policies, what is there and a request in; what the API server would answer out. One file a case."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead.dialects import admissionpolicies
from fairlead.dialects.admissionpolicies.typechecking import status
from fairlead.drivers import definitions
from fairlead.judge.judging import Verdict, admit
from fairlead.judge.policies import Book
from fairlead.judge.reading import Source
from fairlead.judge.subjects import Subject, Target
from fairlead.judge.surroundings import Question, Surroundings
from fairlead.keep.kinds import Catalogue
from fairlead.keep.schemas import Schemas
from fairlead.reactor.applying import Applier
from fairlead.reactor.celtypes import types_of
from fairlead.reactor.kindnames import KindNames, catalogue_of
from fairlead.words import Finding, Ref, Snapshot, User

CASES = sorted((Path(__file__).parent / "cases").glob("*.yaml"))
GROUP = admissionpolicies.GROUP


def load(documents: list[dict[str, Any]]) -> tuple[Book, list[Finding]]:
    models: list[Any] = []
    findings: list[Finding] = []
    for document in documents:
        made, said = admissionpolicies.READS[GROUP, document["kind"]](Source(document))
        models += made
        findings += said
    assembled = admissionpolicies.assemble(models)
    return Book(assembled.policies), [*findings, *assembled.findings]


def subject_of(request: dict[str, Any], kinds: KindNames, spaces: Snapshot) -> Subject:
    object_, old = request.get("object"), request.get("old")
    present: dict[str, Any] = object_ or old or {}
    ref = Ref.of(present)
    version = present["apiVersion"].rpartition("/")[2]
    target = Target(
        ref.group,
        version,
        ref.kind,
        kinds.plural(ref.group, ref.kind),
        request.get("subresource", ""),
        request.get("operation", "CREATE"),
    )
    namespace = ref.name if ref.kind == "Namespace" else ref.namespace
    user = request.get("user", {})
    return Subject(
        target=target,
        name=ref.name,
        namespace=namespace,
        object=object_,
        old=old,
        space=spaces.get("", "Namespace", "", ref.namespace) if ref.namespace else None,
        user=User(name=user.get("name", ""), groups=tuple(user.get("groups", ()))),
        dry_run=request.get("dryRun", False),
    )


def around_of(objects: list[dict[str, Any]], allowed: list[str]) -> Surroundings:
    catalogue = Catalogue()
    applier = Applier(catalogue)

    def ask(question: Question) -> tuple[bool, str]:
        told = " ".join(filter(None, (question.user.name, question.verb, question.resource, question.name)))
        return told in allowed, "because it is so" if told in allowed else ""

    return Surroundings(
        view=Snapshot(objects),
        now=datetime(2026, 1, 1, tzinfo=UTC),
        kinds=KindNames(catalogue_of(objects)),
        allowed=ask,
        merge=applier.merge,
        atomics=applier.atomics,
    )


def verdict_of(case: dict[str, Any]) -> Verdict:
    objects = case.get("objects", [])
    around = around_of(objects, case.get("allowed", []))
    book, findings = load(case["policies"])
    assert not findings or case.get("findings"), [one.message for one in findings]
    subject = subject_of(case["request"], KindNames(catalogue_of(objects)), Snapshot(objects))
    return admit(subject, book, around)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_case(path: Path) -> None:
    case = yaml.safe_load(path.read_text())
    verdict = verdict_of(case)
    expected = case["expect"]
    assert verdict.message == expected.get("denied", "")
    assert verdict.allowed is ("denied" not in expected)
    if "denied" in expected:
        assert verdict.code == expected.get("code", 422)
        assert verdict.reason == expected.get("reason", "Invalid")
    assert verdict.warnings == expected.get("warnings", [])
    assert verdict.audit == expected.get("audit", {})
    if "object" in expected:
        assert verdict.object == expected["object"]
    else:
        assert verdict.object == case["request"].get("object")


def binding(policy: str = "p", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "b"},
        "spec": {"policyName": policy, "validationActions": ["Deny"], **spec},
    }


def policy(**spec: Any) -> dict[str, Any]:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["*"]}
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "p", "generation": 3},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": "true"}],
            **spec,
        },
    }


def test_a_policy_without_a_binding_says_so() -> None:
    _, findings = load([policy()])
    assert [one.rule for one in findings] == ["policy.unbound"]


def test_a_binding_without_a_policy_says_so() -> None:
    _, findings = load([binding("elsewhere")])
    assert [one.message for one in findings] == [
        'ValidatingAdmissionPolicy "elsewhere" not found: the binding binds nothing'
    ]


def test_what_is_not_understood_is_named_by_its_path() -> None:
    _, findings = load([policy(mood="good"), binding()])
    assert [one.where.path for one in findings] == [".spec.mood"]


def test_an_expression_that_is_none_is_a_finding_and_an_error() -> None:
    documents = [policy(validations=[{"expression": "object.spec +"}, {"expression": "1"}]), binding()]
    _, findings = load(documents)
    assert [one.where.path for one in findings] == [
        ".spec.validations[0].expression",
        ".spec.validations[1].expression",
    ]
    assert "must evaluate to bool but got int" in findings[1].message
    verdict = verdict_of(
        {"policies": documents, "findings": True, "request": {"object": pod("a")}},
    )
    assert not verdict.allowed
    assert "compilation error: compilation failed: ERROR: <input>:1:14" in verdict.message


def pod(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "shop"}}


def test_type_checking_goes_into_the_status() -> None:
    found = status(policy(validations=[{"expression": "nobody.knows"}]))
    (warning,) = found["typeChecking"]["expressionWarnings"]
    assert warning["fieldRef"] == "spec.validations[0].expression"
    assert "undeclared reference to 'nobody'" in warning["warning"]
    assert found["observedGeneration"] == 3
    assert status(policy())["typeChecking"] == {}


def test_kinds_of_parameters_are_wanted_in_the_view() -> None:
    document = policy(paramKind={"apiVersion": "rules.example.com/v1", "kind": "Limit"})
    models, _ = admissionpolicies.READS[GROUP, "ValidatingAdmissionPolicy"](Source(document))
    assert admissionpolicies.assemble(models).wanted == {("rules.example.com", "Limit")}


def test_expressions_are_checked_against_the_kinds_that_are_named() -> None:
    rule = {
        "apiGroups": ["apps", "*"],
        "apiVersions": ["v1"],
        "operations": ["*"],
        "resources": ["deployments", "statefulsets", "pods/status"],
    }
    document = policy(
        matchConstraints={"resourceRules": [rule, {**rule, "apiGroups": [""], "resources": ["configmaps"]}]},
        variables=[{"name": "spec", "expression": "object.spec"}],
        validations=[
            {"expression": "variables.spec.replicas > 1"},
            {
                "expression": "variables.spec.strategy.type == 'Recreate'",
                "messageExpression": "variables.spec.paused",
            },
            {"expression": "object.metadata.labels['a'] == 'b' && has(oldObject.metadata)"},
        ],
    )
    types = types_of(Catalogue(), Schemas(definitions.load()))
    found = status(document, types=types)
    warnings = {one["fieldRef"]: one["warning"] for one in found["typeChecking"]["expressionWarnings"]}
    assert set(warnings) == {
        "spec.variables[0].expression",
        "spec.validations[1].messageExpression",
        "spec.validations[1].expression",
    }
    assert warnings["spec.variables[0].expression"].startswith(
        "/v1, Kind=ConfigMap: ERROR: <input>:1:7: undefined field 'spec'"
    )
    assert (
        "apps/v1, Kind=StatefulSet: ERROR: <input>:1:15: undefined field 'strategy'"
        in warnings["spec.validations[1].expression"]
    )
    assert (
        "Kind=Deployment: must evaluate to string but got bool"
        in warnings["spec.validations[1].messageExpression"]
    )
