"""What rules share about one subject stays with that subject: judged in a row, each is told what it would be told alone."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from fairlead.dialects import kyverno
from fairlead.dialects.kyverno.merging import compile_merge
from fairlead.judge.judging import judge
from fairlead.judge.policies import Book
from fairlead.judge.reading import Source
from fairlead.judge.subjects import Subject, subject_of
from fairlead.judge.surroundings import Surroundings
from fairlead.keep.kinds import Catalogue
from fairlead.reactor.kindnames import KindNames
from fairlead.words import Snapshot

POLICIES = """
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: older}
spec:
  rules:
  - name: request
    match: &pods {any: [{resources: {kinds: [Pod]}}]}
    validate:
      message: "{{ request.object.metadata.name }} runs {{ images.containers.*.name }}"
      deny: {conditions: {all: [{key: "{{ images.containers.main.registry }}", operator: NotEquals, value: good.example}]}}
  - name: each
    match: *pods
    context:
    - name: mine
      variable: {jmesPath: request.object.metadata.name}
    validate:
      message: "not {{ mine }}"
      foreach:
      - list: request.object.spec.containers
        deny: {conditions: {any: [{key: "{{ element.image }} of {{ mine }}", operator: Equals, value: "bad*"}]}}
  - name: strict
    match: *pods
    validate: {podSecurity: {level: restricted}}
  - name: loose
    match: *pods
    validate: {podSecurity: {level: baseline}}
  - name: plain
    match: *pods
    validate: {message: no, pattern: {metadata: {labels: {app: "?*"}}}}
---
apiVersion: policies.kyverno.io/v1
kind: ValidatingPolicy
metadata: {name: newer}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
  variables:
  - {name: all, expression: object.spec.containers}
  - {name: named, expression: "variables.all.filter(one, has(one.name))"}
  validations:
  - expression: variables.named.all(one, one.image.startsWith('good'))
    messageExpression: "object.metadata.name + ' is wrong'"
"""


def pod(name: str, image: str, **more: Any) -> dict[str, Any]:
    containers = [{"name": "main", "image": image, **more}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": containers}}


PODS = [
    pod("one", "good.example/a"),
    pod("two", "bad/b", securityContext={"privileged": True}),
    pod("three", "good.example/c", ports=[{"containerPort": 1, "hostPort": 1}]),
    pod("four", "bad/d"),
]


def book() -> Book:
    models: list[Any] = []
    for document in yaml.safe_load_all(POLICIES):
        group = document["apiVersion"].partition("/")[0]
        models += kyverno.READS[group, document["kind"]](Source(document))[0]
    return Book(kyverno.assemble(models).policies)


def moment() -> Surroundings:
    return Surroundings(view=Snapshot(), now=datetime(2026, 1, 1, tzinfo=UTC), kinds=KindNames(Catalogue()))


def told(subject: Subject, policies: Book, around: Surroundings) -> list[tuple[Any, ...]]:
    return [
        (one.rule.name, one.outcome.result, one.outcome.message, one.outcome.told())
        for one in judge(subject, policies, around)
    ]


def test_subjects_in_a_row_are_judged_as_each_alone() -> None:
    policies, around = book(), moment()
    before = copy.deepcopy(PODS)
    subjects = [subject_of(one, "pods") for one in PODS]
    in_a_row = [told(one, policies, around) for one in (*subjects, *reversed(subjects))]
    alone = [told(subject_of(one, "pods"), book(), moment()) for one in PODS]
    assert in_a_row == [*alone, *reversed(alone)]
    assert len({str(one) for one in alone}) == len(PODS)
    assert before == PODS


def test_where_an_expression_fails_is_told_after_all_is_done() -> None:
    said = {name: found for name, _, _, found in told(subject_of(PODS[1], "pods"), book(), moment())}
    assert said[""][0] == (".spec.containers[0].image",)


PATCH = {"spec": {"containers": [{"(name)": "{{ who }}", "+(tty)": True, "args": "{{ args }}"}]}}


@pytest.mark.parametrize(
    ("who", "args", "wanted"),
    [
        ("main", ["a"], {"tty": True, "args": ["a"]}),
        ("ma*", [], {"tty": True, "args": []}),
        ("other", ["a"], {}),
    ],
)
def test_anchors_found_at_load_serve_whatever_is_filled_in(who: str, args: Any, wanted: Any) -> None:
    filled = {"spec": {"containers": [{"(name)": who, "+(tty)": True, "args": args}]}}
    merged = compile_merge(PATCH)(PODS[0], filled)
    assert merged["spec"]["containers"] == [{**PODS[0]["spec"]["containers"][0], **wanted}]
    assert merged == compile_merge(filled)(PODS[0], filled)
