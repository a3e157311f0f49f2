"""jsPolicy documents: what is asked of a program, and what its answer means."""

from __future__ import annotations

import base64
import gzip
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from fairlead.dialects import jspolicy
from fairlead.judge.judging import admit
from fairlead.judge.policies import Book
from fairlead.judge.reading import Source
from fairlead.judge.subjects import Subject, subject_of
from fairlead.judge.surroundings import Lacking, Surroundings
from fairlead.keep.kinds import Catalogue
from fairlead.reactor.kindnames import KindNames
from fairlead.words import Need, Snapshot

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "shop"}, "spec": {}}
PROGRAM = "deny('no')"


def document(**spec: Any) -> dict[str, Any]:
    given = {"operations": ["CREATE"], "resources": ["pods"], "javascript": PROGRAM, **spec}
    return {
        "apiVersion": "policy.jspolicy.com/v1beta1",
        "kind": "JsPolicy",
        "metadata": {"name": "no-pods.example.com"},
        "spec": given,
    }


def book(*documents: dict[str, Any]) -> tuple[Book, list[str]]:
    models, told = [], []
    for one in documents:
        made, findings = jspolicy.READS[jspolicy.GROUP, one["kind"]](Source(one))
        models += made
        told += [finding.message for finding in findings]
    assembled = jspolicy.assemble(models)
    return Book(assembled.policies), told + [finding.message for finding in assembled.findings]


def around(answers: dict[Need, Any] | None = None) -> Surroundings:
    return Surroundings(
        view=Snapshot(),
        now=datetime(2026, 1, 1, tzinfo=UTC),
        kinds=KindNames(Catalogue()),
        answers=answers or {},
    )


def subject() -> Subject:
    return subject_of(POD, "pods")


def judged(policy: dict[str, Any], answer: Any) -> Any:
    made, told = book(policy)
    assert told == []
    with pytest.raises(Lacking) as lacking:
        admit(subject(), made, around())
    (need,) = lacking.value.needs
    return admit(subject(), made, around({need: answer}))


def test_a_program_is_asked_with_the_whole_request() -> None:
    made, _ = book(document())
    with pytest.raises(Lacking) as lacking:
        admit(subject(), made, around())
    detail = dict(lacking.value.needs[0].detail)
    assert (detail["engine"], detail["code"], detail["seconds"]) == ("javascript", PROGRAM, "10.0")
    assert json.loads(detail["payload"])["request"]["object"] == POD


def test_a_denial_is_worded_as_the_webhook_would() -> None:
    verdict = judged(
        document(), {"response": {"deny": True, "message": "no pods", "code": 418, "reason": "Tea"}}
    )
    assert not verdict.allowed
    assert verdict.message == 'admission webhook "no-pods.example.com" denied the request: no pods'
    assert (verdict.code, verdict.reason) == (418, "Tea")


@pytest.mark.parametrize(("policy", "warned"), [("Warn", ["no pods"]), ("Dry", [])])
def test_a_softer_violation_policy_lets_the_request_pass(policy: str, warned: list[str]) -> None:
    verdict = judged(document(violationPolicy=policy), {"response": {"deny": True, "message": "no pods"}})
    assert verdict.allowed
    assert verdict.warnings == warned
    assert [one.outcome.result for one in verdict.outcomes] == ["fail"]


def test_a_mutation_changes_the_object_and_a_validating_policy_cannot() -> None:
    patched = {**POD, "spec": {"hostNetwork": False}}
    answer = {"response": {"patched": patched, "warnings": ["changed"]}}
    verdict = judged(document(type="Mutating"), answer)
    assert verdict.object == patched
    assert verdict.warnings == ["changed"]
    assert judged(document(), answer).object == POD


def test_what_a_program_does_comes_back_as_changes() -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "shop"}}
    answer = {
        "response": {},
        "changes": [{"verb": "create", "object": config}, {"verb": "remove", "object": config}],
    }
    verdict = judged(document(), answer)
    assert [(one.verb, one.ref.name, one.body) for one in verdict.changes] == [
        ("create", "a", config),
        ("delete", "a", None),
    ]


def test_a_controller_runs_after_the_fact_and_may_ask_for_another_turn() -> None:
    from fairlead.judge.judging import judge

    made, _ = book(document(type="Controller"))
    assert admit(subject(), made, around()).outcomes == []
    with pytest.raises(Lacking) as lacking:
        judge(subject(), made, around(), "generate")
    answers = {lacking.value.needs[0]: {"response": {"reschedule": True, "message": "later"}}}
    (one,) = judge(subject(), made, around(answers), "generate")
    assert (one.outcome.result, one.outcome.message, one.outcome.properties) == (
        "skip",
        "later",
        {"requeue": True},
    )


def test_a_bundle_is_what_runs() -> None:
    packed = base64.b64encode(gzip.compress(b"allow()")).decode()
    bundle = {
        "apiVersion": "policy.jspolicy.com/v1beta1",
        "kind": "JsPolicyBundle",
        "metadata": {"name": "no-pods.example.com"},
        "spec": {"bundle": packed},
    }
    made, told = book(document(), bundle)
    assert told == []
    with pytest.raises(Lacking) as lacking:
        admit(subject(), made, around())
    assert dict(lacking.value.needs[0].detail)["code"] == "allow()"


def test_a_broken_answer_fails_closed_unless_the_policy_says_otherwise() -> None:
    for policy, allowed in (("Fail", False), ("Ignore", True)):
        verdict = judged(document(failurePolicy=policy), RuntimeError("the worker ran out of time"))
        assert verdict.allowed == allowed
        assert verdict.outcomes[0].outcome.message == "the worker ran out of time"


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"type": "Guessing"}, '.spec.type: "Guessing" is none of Validating, Mutating, Controller'),
        ({"dependencies": {"lodash": "4"}}, ".spec.dependencies: npm modules are not installed here"),
        ({"javascript": ""}, "there is neither .spec.javascript nor a JsPolicyBundle of this name"),
        (
            {"objectSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}},
            ".spec.objectSelector",
        ),
        ({"colour": "red"}, ".spec.colour is not supported"),
    ],
)
def test_what_cannot_be_used_is_told_with_its_path(spec: dict[str, Any], told: str) -> None:
    _, messages = book(document(**spec))
    assert any(message.startswith(told) for message in messages), messages


def test_a_bundle_that_is_none_is_told() -> None:
    _, findings = jspolicy.bundle(Source({"kind": "JsPolicyBundle", "spec": {"bundle": "!"}}))
    assert findings[0].where.path == ".spec.bundle"


def test_violations_are_written_back() -> None:
    made, _ = book(document())
    with pytest.raises(Lacking) as lacking:
        admit(subject(), made, around())
    verdict = admit(
        subject(), made, around({lacking.value.needs[0]: {"response": {"deny": True, "message": "no"}}})
    )
    written = jspolicy.violations(
        "p", [(verdict.subject, one) for one in verdict.outcomes], "2026-01-01T00:00:00Z"
    )
    (entry,) = written["status"]["violations"]
    assert (entry["action"], entry["message"], entry["requestInfo"]["name"]) == ("Deny", "no", "web")
