"""Tests of modules: how they are written, and what is said of what does not hold."""

from __future__ import annotations

import pytest

from fairlead.render.expectations import read, unmet, unmet_failures
from fairlead.render.packages import Mistaken

OBJECTS = [
    {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 2, "ports": [{"a": 1}, {"a": 2}]}},
    {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"}},
    {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db"}},
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("objects: [Deployment/web, Service/shop/web, Service]", []),
        ("objects: [Deployment/wep]", ["Deployment/wep is not there; Deployment/web is"]),
        ("objects: [Ingress]", ["Ingress is not there; there is Deployment/web, Service/web, Service/db"]),
        ("objects: [Deployment]\nonly: true", ["Service/web is there and was not expected", "Service/db is there and was not expected"]),
        ("absent: [Ingress, Service/db]", ["Service/db is there"]),
        ("fields: {Deployment/web: {.spec.replicas: 2, 'spec.ports[1].a': 2, .spec.none: null}}", []),
        ("fields: {Deployment/web: {.spec.replicas: '2'}}", ['Deployment/web .spec.replicas is 2, expected "2"']),
        ("fields: {Service: {.a: 1}}", ["Service is 2 objects: name it"]),
        ("expect: [{kind: Deployment, spec: {ports: [{}, {a: 2}]}}]", []),
        ("expect: [{kind: Deployment, spec: {replicas: 3, more: x}}]", ["Deployment .spec.replicas is 2, expected 3", "Deployment .spec.more is absent, expected x"]),
        ("expect: [{kind: Deployment, spec: {ports: [{a: 1}]}}]", ["Deployment .spec.ports is a list of 2, expected a list of 1"]),
        ("expect: [{kind: Pod}]", ["Pod is not there; there is Deployment/web, Service/web, Service/db"]),
    ],
)  # fmt: skip
def test_what_does_not_hold(text: str, said: list[str]) -> None:
    (case,) = read("tests/a.yaml", text)
    assert unmet(case, OBJECTS) == said


def test_what_nobody_says() -> None:
    (case,) = read("a.yaml", "fails: [port, nothing]")
    assert unmet_failures(case, ["must be a port"]) == ['nothing says "nothing": must be a port']
    assert unmet_failures(case, []) == [
        'nothing says "port": nothing is wrong',
        'nothing says "nothing": nothing is wrong',
    ]


def test_a_file_has_one_case_or_many() -> None:
    assert [case.name for case in read("tests/one.yaml", "objects: [A]")] == ["one"]
    many = read("tests/many.yaml", "cases:\n- name: a\n- objects: [A]\n")
    assert [(case.name, case.line) for case in many] == [("a", 2), ("many 1", 3)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "t.yaml:1: a test is a mapping, or has a list of them under cases"),
        ("a: [", "t.yaml:2: is not YAML: did not find expected node content"),
        ("object: [A]", 't.yaml:1:1: .object: a case says no "object"; did you mean objects?'),
        ("objects: A", "t.yaml:1:1: .objects: must be a list of texts"),
        ("context: {nam: x}", 't.yaml:1:11: .context.nam: a context has no "nam"; it has name, namespace, revision, moment, kubernetes, serves'),
        ("fields: {A: {'x..y': 1}}", """t.yaml:1:14: .fields.A['x..y']: "x..y" is no path; write .spec.ports[0].port"""),
        ("expect: [{spec: 1}]", "t.yaml:1:1: .expect: must be a list of parts of objects, each with its kind"),
        ("cases:\n- name: x\n- fails: 1\n", "t.yaml:3:3: .cases[1].fails: must be a text, or a list of them, that the messages contain"),
    ],
)  # fmt: skip
def test_tests_that_are_none(text: str, said: str) -> None:
    with pytest.raises(Mistaken) as caught:
        read("t.yaml", text)
    assert str(caught.value).startswith(said)
