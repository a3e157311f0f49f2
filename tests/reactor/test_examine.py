"""Examining files: what is read, what an API server would refuse, and that the corpus gives only true findings."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from fairlead.reactor.examine import Examined, charts, examine_files, files_in
from fairlead.words import Severity

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def examined(**files: str) -> Examined:
    return examine_files(
        {name.replace("__", "/").replace("_yaml", ".yaml"): text for name, text in files.items()}, NOW
    )


def told(found: Examined) -> list[str]:
    return [f"{one.rule} {one.subject} {one.where.file}:{one.where.line}" for one in found.findings]


def test_an_object_that_the_api_server_would_refuse_is_told_with_file_line_and_field() -> None:
    found = examined(
        a_yaml="apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  selector: {matchLabels: {a: b}}\n"
        "  template:\n    metadata: {labels: {a: b}}\n    spec:\n      containers:\n        - name: Web\n          image: x\n"
    )
    (one,) = found.findings
    assert (one.rule, one.severity) == ("object.invalid", "critical")
    assert str(one.where) == "a.yaml:10 .spec.template.spec.containers[0].name"
    assert one.message.startswith(
        "the API server would refuse it: spec.template.spec.containers[0].name: Invalid value"
    )


def test_unknown_and_mistyped_fields() -> None:
    found = examined(
        a_yaml="apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  container: []\n  containers: [{name: a, image: b}]\n",
        b_yaml="apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: b}\nspec:\n  replicas: three\n",
    )
    assert told(found) == ["object.invalid Pod a a.yaml:5", "object.invalid Deployment b b.yaml:5"]


def test_kinds_that_do_not_exist_and_kinds_that_are_others() -> None:
    found = examined(
        a_yaml="apiVersion: apps/v1\nkind: Deploymnt\nmetadata: {name: a}\n",
        b_yaml="apiVersion: extensions/v1beta1\nkind: Ingress\nmetadata: {name: b}\n",
        c_yaml="apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: c}\n",
    )
    kinds = {one.subject.name: (one.rule, one.severity, one.cause) for one in found.findings}
    assert kinds["a"] == ("object.kind", "critical", "Deployment is there.")
    assert kinds["b"] == ("object.kind", "critical", "Kubernetes 1.32 serves it as networking.k8s.io/v1.")
    assert kinds["c"] == ("object.foreign", "info", "")


def test_objects_of_a_kind_that_the_files_define() -> None:
    definition = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, kind: Widget}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties: {spec: {type: object, properties: {size: {type: integer}}}}
"""
    found = examined(
        a_yaml="apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: c}\nspec:\n  size: big\n",
        z_yaml=definition,
    )
    assert told(found) == ["object.invalid Widget c a.yaml:5"]


def test_what_lies_beside_is_unknown() -> None:
    found = examined(
        a_yaml="apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: elsewhere}\nspec:\n  serviceAccountName: runner\n"
        "  priorityClassName: high\n  containers: [{name: a, image: b, envFrom: [{secretRef: {name: x}}]}]\n"
    )
    assert told(found) == []


def test_a_chart_is_told_of_once_and_its_templates_are_left_alone() -> None:
    files = {
        "chart/Chart.yaml": "apiVersion: v2\nname: x\nversion: 1.0.0\n",
        "chart/values.yaml": "a: b\n",
        "chart/templates/a.yaml": "kind: {{ .Values.a }}\n",
        "chart/templates/sub/b.yaml": "{{- if .x }}\n",
        "other/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
    }
    assert charts(files) == {
        "chart": [
            "chart/Chart.yaml",
            "chart/values.yaml",
            "chart/templates/a.yaml",
            "chart/templates/sub/b.yaml",
        ]
    }
    found = examine_files(files, NOW)
    assert [one.rule for one in found.findings] == ["document.template"]
    assert len(found.view) == 1


DEPLOYMENT = """apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec:
  selector: {matchLabels: {app: a}}
  template:
    metadata: {labels: {app: a}}
    spec: {containers: [{name: a, image: a:1}]}
"""


def test_of_a_kustomize_tree_the_built_objects_are_examined_and_places_are_those_of_the_files() -> None:
    found = examined(
        base__kustomization_yaml="resources: [a.yaml]\n",
        base__a_yaml=DEPLOYMENT,
        over__kustomization_yaml="resources: [../base]\nnamePrefix: x-\npatches: [{path: patch.yaml}]\n",
        over__patch_yaml="apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {replics: 3}\n",
    )
    assert [(one.subject.name, str(one.where)) for one in found.findings] == [
        ("x-a", "base/a.yaml:4 .spec.replics")
    ]
    assert len(found.view) == 1


def test_a_tree_that_cannot_be_built_is_told_of_and_its_files_are_looked_at() -> None:
    found = examined(
        base__kustomization_yaml="resources: [a.yaml, gone.yaml]\npatches: [{path: patch.yaml}]\n",
        base__a_yaml="apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
        base__patch_yaml="apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {replicas: 3}\n",
    )
    assert told(found) == ["kustomization.build File base/kustomization.yaml base/kustomization.yaml:1"]
    assert len(found.view) == 1


EXPECTED = {
    "failures/crashpod.v2": {("object.doubled", "db-certs-config")},
    "failures/prometheus_rule_failure": {("monitor.query", "bad-rules")},
    "failures/ingress_port_path_change": {("object.doubled", "production-ingress")},
    "failures/ticketing-incident-demo": {("service.name", "seat-selection")},
}
"""Everything above a note that the corpus' failures and apps show without a cluster; each was checked by hand."""


@pytest.mark.corpus
def test_what_is_found_in_the_corpus_is_true(corpus: Path) -> None:
    folders = [one for part in ("failures", "apps") for one in sorted((corpus / part).iterdir())]
    assert len(folders) >= 15
    for folder in folders:
        found = examine_files({str(path): path.read_text() for path in files_in(folder)}, NOW)
        grave = {(one.rule, one.subject.name) for one in found.findings if one.severity != Severity.INFO}
        assert grave == EXPECTED.get(f"{folder.parent.name}/{folder.name}", set()), folder


def test_manifests_below_a_hidden_folder_are_found_and_hidden_files_are_not(tmp_path: Path) -> None:
    folder = tmp_path / ".checkout" / "app"
    (folder / ".cache").mkdir(parents=True)
    for name in ("web.yaml", ".hidden.yaml", ".cache/old.yaml"):
        (folder / name).write_text("")
    assert files_in(folder) == [folder / "web.yaml"]
