"""Kubewarden documents: what modules are asked, in their own ways of speaking, and what their answers mean."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from fairlead.dialects import kubewarden
from fairlead.judge.judging import Verdict, admit
from fairlead.judge.policies import Book
from fairlead.judge.reading import Source
from fairlead.judge.subjects import subject_of
from fairlead.judge.surroundings import Lacking, Surroundings
from fairlead.keep.kinds import Catalogue
from fairlead.reactor.kindnames import KindNames
from fairlead.words import Need, Snapshot

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "shop"}, "spec": {}}
RULES = [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}]


def document(kind: str = "ClusterAdmissionPolicy", **spec: Any) -> dict[str, Any]:
    meta = {"name": "p"} if kind.startswith("Cluster") else {"name": "p", "namespace": "shop"}
    given = {"module": "registry://example.com/policy:v1", "rules": RULES, "settings": {"a": 1}, **spec}
    return {"apiVersion": "policies.kubewarden.io/v1", "kind": kind, "metadata": meta, "spec": given}


def book(policy: dict[str, Any]) -> tuple[Book, list[str]]:
    models, findings = kubewarden.READS[kubewarden.GROUP, policy["kind"]](Source(policy))
    assembled = kubewarden.assemble(models)
    return Book(assembled.policies), [one.message for one in (*findings, *assembled.findings)]


def admitted(policy: dict[str, Any], answers: dict[tuple[str, str], Any], pod: Any = None) -> Verdict:
    """Judge a pod; `answers` are by the module and the operation."""
    made, told = book(policy)
    assert told == []
    known: dict[Need, Any] = {}
    while True:
        around = Surroundings(
            view=Snapshot(), now=datetime(2026, 1, 1, tzinfo=UTC), kinds=KindNames(Catalogue()), answers=known
        )
        try:
            return admit(subject_of(pod or POD, "pods"), made, around)
        except Lacking as lacking:
            for need in lacking.needs:
                detail = dict(need.detail)
                known[need] = answers[detail["code"].rpartition("/")[2], detail["operation"]]


VALID = {("policy:v1", "validate_settings"): {"valid": True}}


def test_a_request_passes_or_fails_as_the_module_says() -> None:
    assert admitted(document(), {**VALID, ("policy:v1", "validate"): {"accepted": True}}).allowed
    answer = {
        "accepted": False,
        "message": "no",
        "code": 400,
        "warnings": ["w"],
        "audit_annotations": {"k": "v"},
    }
    verdict = admitted(document(), {**VALID, ("policy:v1", "validate"): answer})
    assert verdict.message == 'admission webhook "clusterwide-p.kubewarden.admission" denied the request: no'
    assert (verdict.code, verdict.warnings, verdict.audit) == (400, ["w"], {"p/k": "v"})


def test_settings_are_validated_first() -> None:
    answers = {("policy:v1", "validate_settings"): {"valid": False, "message": "a must be text"},
               ("policy:v1", "validate"): {"accepted": True}}  # fmt: skip
    verdict = admitted(document(), answers)
    assert not verdict.allowed
    assert verdict.outcomes[0].outcome.message == "the settings are not valid: a must be text"
    assert admitted(document(failurePolicy="Ignore"), answers).allowed


def test_a_monitoring_policy_refuses_nothing() -> None:
    verdict = admitted(document(mode="monitor"), {**VALID, ("policy:v1", "validate"): {"accepted": False}})
    assert verdict.allowed
    assert verdict.outcomes[0].outcome.result == "fail"


def test_only_a_mutating_policy_may_mutate() -> None:
    changed = {**POD, "spec": {"hostNetwork": False}}
    answers = {**VALID, ("policy:v1", "validate"): {"accepted": True, "mutated_object": changed}}
    assert admitted(document(mutating=True), answers).object == changed
    verdict = admitted(document(mutating=False), answers)
    assert "not set to be mutating" in verdict.message


def test_a_policy_in_a_namespace_looks_at_that_namespace_only() -> None:
    refusing = {**VALID, ("policy:v1", "validate"): {"accepted": False}}
    assert not admitted(document("AdmissionPolicy"), refusing).allowed
    elsewhere = {**POD, "metadata": {"name": "web", "namespace": "other"}}
    assert admitted(document("AdmissionPolicy"), refusing, elsewhere).allowed


def test_conditions_and_selectors_spare_requests() -> None:
    refusing = {**VALID, ("policy:v1", "validate"): {"accepted": False}}
    named = [{"name": "n", "expression": "object.metadata.name == 'db'"}]
    assert admitted(document(matchConditions=named), refusing).allowed
    assert admitted(document(objectSelector={"matchLabels": {"judge": "me"}}), refusing).allowed


def group(expression: str) -> dict[str, Any]:
    policies = {
        "signed": {"module": "registry://example.com/signed:v1", "settings": {}},
        "pinned": {"module": "registry://example.com/pinned:v1"},
    }
    one = document("ClusterAdmissionPolicyGroup", policies=policies, expression=expression, message="neither")
    del one["spec"]["module"], one["spec"]["settings"]
    return one


def answers(*, signed: bool, pinned: bool) -> dict[tuple[str, str], Any]:
    return {
        ("signed:v1", "validate_settings"): {"valid": True},
        ("pinned:v1", "validate_settings"): {"valid": True},
        ("signed:v1", "validate"): {"accepted": signed, "message": "not signed"},
        ("pinned:v1", "validate"): {"accepted": pinned, "message": "not pinned"},
    }


def test_a_group_asks_only_whom_it_needs() -> None:
    policy = group("signed() || pinned()")
    only_signed = {
        key: value for key, value in answers(signed=True, pinned=False).items() if key[0] == "signed:v1"
    }
    assert admitted(policy, only_signed).allowed
    verdict = admitted(policy, answers(signed=False, pinned=False))
    assert verdict.message.endswith("denied the request: neither")
    assert verdict.outcomes[0].outcome.properties == {
        "spec.policies.signed": "not signed",
        "spec.policies.pinned": "not pinned",
    }
    assert not admitted(group("signed() && !pinned()"), answers(signed=True, pinned=True)).allowed


def test_faults_are_told_with_their_path() -> None:
    _, told = book(group("signed() || other()"))
    assert told == [".spec.expression: there is no policy other"]
    _, told = book(document(module=""))
    assert told == [".spec.module: no module is named"]
    _, told = book(document(rules=[]))
    assert told == [".spec.rules: a policy without rules is never asked"]
    _, told = book(document(colour="red"))
    assert told == [".spec.colour is not supported: the policy is judged as if it were not there"]


PAYLOAD = {"request": {"object": POD, "uid": "1"}, "settings": {"a": 1}}


def test_each_kind_of_module_is_asked_in_its_own_words() -> None:
    assert kubewarden.asked("kubewarden-wapc", "validate", PAYLOAD) == ("validate", PAYLOAD)
    assert kubewarden.asked("wasi", "validate_settings", {"a": 1}) == ("validate-settings", {"a": 1})
    assert kubewarden.asked("opa", "validate", PAYLOAD) == (
        "evaluate",
        {"input": {"request": PAYLOAD["request"]}, "data": {"a": 1}},
    )
    assert kubewarden.asked("gatekeeper", "validate", PAYLOAD)[1] == {
        "input": {"parameters": {"a": 1}, "review": PAYLOAD["request"]},
        "data": {},
    }
    assert kubewarden.asked("gatekeeper", "validate_settings", {}) == ("", None)


def test_each_kind_of_answer_is_understood() -> None:
    violations = [{"result": [{"msg": "a"}, {"msg": "b"}]}]
    assert kubewarden.answered("gatekeeper", "validate", PAYLOAD, violations) == {
        "accepted": False,
        "message": "a, b",
    }
    assert kubewarden.answered("gatekeeper", "validate", PAYLOAD, [{"result": []}])["accepted"]
    review = [{"result": {"response": {"allowed": False, "status": {"message": "no", "code": 401}}}}]
    assert kubewarden.answered("opa", "validate", PAYLOAD, review) == {
        "accepted": False,
        "message": "no",
        "code": 401,
    }
    patch = base64.b64encode(json.dumps([{"op": "add", "path": "/spec/a", "value": 1}]).encode()).decode()
    review = [{"result": {"response": {"allowed": True, "patch": patch}}}]
    assert kubewarden.answered("opa", "validate", PAYLOAD, review)["mutated_object"]["spec"] == {"a": 1}
    for mode in ("opa", "gatekeeper"):
        with pytest.raises(ValueError, match="answer is no"):
            kubewarden.answered(mode, "validate", PAYLOAD, [{"result": 1}])
