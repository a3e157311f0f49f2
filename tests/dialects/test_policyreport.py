"""Outcomes as PolicyReports."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.dialects import policyreport
from fairlead.judge.policies import Judged, Outcome, Policy, Rule
from fairlead.judge.subjects import Subject, subject_of
from fairlead.words import Ref, Resource

NOW = "2026-01-02T03:04:05Z"
LATER = "2026-01-02T04:04:05Z"


def judged(
    result: Any, message: str = "", *, scored: bool = True, kind: str = "ClusterPolicy", **more: Any
) -> Judged:
    rule = Rule(name="r", phase="validate", concerns=lambda _: True, run=lambda *_: None)
    policy = Policy(
        source=Ref("kyverno.io", kind, "", "p"), name="p", dialect="kyverno", rules=(rule,), scored=scored,
        category="Best", severity="high",
    )  # fmt: skip
    return Judged(policy, rule, Outcome(result=result, message=message, **more))


def pod(**meta: Any) -> Subject:
    body: Resource = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "shop", "uid": "u-1", **meta},
    }
    return subject_of(body, "pods", scan=True)


def test_a_report_belongs_to_its_resource() -> None:
    made = policyreport.report(pod(), [judged("fail", "no", properties={"n": 1})], NOW)
    assert made == {
        "apiVersion": "wgpolicyk8s.io/v1alpha2",
        "kind": "PolicyReport",
        "metadata": {
            "name": "u-1",
            "namespace": "shop",
            "labels": {"app.kubernetes.io/managed-by": "fairlead"},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "u-1"}],
        },
        "scope": {"apiVersion": "v1", "kind": "Pod", "name": "web", "namespace": "shop", "uid": "u-1"},
        "results": [
            {
                "source": "kyverno",
                "policy": "p",
                "rule": "r",
                "result": "fail",
                "message": "no",
                "category": "Best",
                "severity": "high",
                "properties": {"n": "1"},
                "scored": True,
                "timestamp": {"seconds": 1767323045, "nanos": 0},
            }
        ],
        "summary": {"pass": 0, "fail": 1, "warn": 0, "error": 0, "skip": 0},
    }


def test_what_has_no_namespace_has_a_cluster_report() -> None:
    body: Resource = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "One", "uid": ""}}
    made = policyreport.report(subject_of(body, "nodes"), [judged("pass")], NOW)
    assert (made["kind"], made["metadata"]["name"]) == ("ClusterPolicyReport", "node-one")
    assert "namespace" not in made["metadata"]
    assert "ownerReferences" not in made["metadata"]


@pytest.mark.parametrize(
    ("one", "result"),
    [(judged("fail", scored=False), "warn"), (judged("fail"), "fail"), (judged("skip"), "skip")],
)
def test_an_unscored_failure_is_a_warning(one: Judged, result: str) -> None:
    made = policyreport.report(pod(), [one], NOW)
    assert made["results"][0]["result"] == result
    assert made["summary"][result] == 1


def test_a_newer_kind_names_itself_as_its_source() -> None:
    made = policyreport.report(pod(), [judged("pass", kind="ValidatingPolicy")], NOW)
    assert made["results"][0]["source"] == "KyvernoValidatingPolicy"


def test_what_is_said_again_keeps_its_time() -> None:
    first = policyreport.report(pod(), [judged("fail", "no"), judged("pass")], NOW)
    second = policyreport.report(pod(), [judged("fail", "no"), judged("error", "oh")], LATER, first)
    assert [one["timestamp"]["seconds"] for one in second["results"]] == [1767323045, 1767326645]
    assert policyreport.essence(first) != policyreport.essence(second)
    same = policyreport.report(pod(), [judged("fail", "no"), judged("pass")], LATER)
    assert policyreport.essence(first) == policyreport.essence(same)
