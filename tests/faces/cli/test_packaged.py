"""`diagnose`, `fix` and `judge` on packages, as a person calls them: charts, archives, artifacts, revisions, and what is left out."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from dulwich import porcelain

from fairlead.faces.cli.main import main

CHART = "apiVersion: v2\nname: web\nversion: 1.0.0\n"
TEMPLATE = """\
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: {{ required "say which app" .Values.app }}}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec: {containers: [{name: web, image: "web:1"}]}
"""


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    (tmp_path / "web" / "templates").mkdir(parents=True)
    (tmp_path / "web" / "Chart.yaml").write_text(CHART)
    (tmp_path / "web" / "templates" / "all.yaml").write_text(TEMPLATE)
    return tmp_path / "web"


def findings(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["findings"]
    return found


def test_a_chart_is_rendered_with_values_and_its_findings_name_the_template(
    chart: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diagnose", "-f", str(chart), "-o", "json"]) == 1
    (wanting,) = findings(capsys)
    assert (wanting["rule"], wanting["where"]["line"]) == ("package.render", 4)
    assert main(["diagnose", "-f", str(chart), "--set", "app=web"]) == 0
    capsys.readouterr()
    values = chart.parent / "values.yaml"
    values.write_text("app: wbe\n")
    assert main(["diagnose", "-f", str(chart), "--values", str(values), "-n", "shop", "-o", "json"]) == 1
    (wrong,) = findings(capsys)
    assert wrong["subject"]["namespace"] == "shop"
    assert wrong["where"]["file"] == f"{chart}/templates/all.yaml"
    asked = ["fix", "--all", "-f", str(chart), "--set", "app=wbe"]
    assert main(asked) == 1
    said = capsys.readouterr()
    assert f"it is rendered from {chart}/templates/all.yaml:2" in said.err
    assert not said.out


def test_archives_artifacts_and_revisions_are_rendered_too(
    chart: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = chart.parent / "web.tgz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(chart, arcname="web")
    layout = f"layout:{chart.parent}/store"
    assert main(["mod", "push", str(chart), layout, "-v", "1.0.0"]) == 0
    porcelain.init(str(chart.parent))
    porcelain.add(str(chart.parent), [str(path) for path in chart.rglob("*.yaml")])
    porcelain.commit(str(chart.parent), message=b"first", author=b"a <a@b>", committer=b"a <a@b>")
    for path in (["-f", str(archive)], ["-f", f"{layout}:1.0.0"], ["-f", str(chart), "--rev", "HEAD"]):
        capsys.readouterr()
        assert main(["diagnose", *path, "--set", "app=wbe", "-o", "json"]) == 1, path
        (wrong,) = findings(capsys)
        assert wrong["rule"] == "service.selector"
        assert wrong["where"]["file"].endswith("templates/all.yaml")


def test_values_are_for_one_package(chart: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (chart.parent / "other").mkdir()
    (chart.parent / "other" / "Chart.yaml").write_text(CHART.replace("web", "other"))
    assert main(["diagnose", "-f", str(chart.parent), "--set", "app=web"]) == 2
    assert "values are for one package, and there are 2" in capsys.readouterr().err
    for path in (chart / "templates", chart.parent / "other" / "Chart.yaml"):
        assert main(["diagnose", "-f", str(path), "--no-render", "--set", "app=web"]) in {0, 2}
    assert main(["diagnose", "-f", str(chart.parent), "--no-render", "-o", "json"]) == 0


def test_judge_takes_packages_as_what_is_judged_and_as_policies(
    chart: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policies = chart.parent / "policies"
    (policies / "templates").mkdir(parents=True)
    (policies / "Chart.yaml").write_text(CHART.replace("web", "rules"))
    (policies / "templates" / "a.yaml").write_text(
        "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nmetadata: {name: limits}\nspec:\n"
        "  validationFailureAction: {{ .Values.action | default `Enforce` }}\n  rules:\n    - name: memory\n"
        "      match: {any: [{resources: {kinds: [Pod]}}]}\n"
        '      validate: {message: limits, pattern: {spec: {containers: [{resources: {limits: {memory: "?*"}}}]}}}\n'
    )
    asked = ["judge", "-p", str(policies), str(chart), "--package-set", "app=web"]
    assert main([*asked, "-o", "json"]) == 1
    (result,) = [one for one in json.loads(capsys.readouterr().out)["results"] if one["result"] == "fail"]
    assert f"{chart}/templates/all.yaml" in json.dumps(result)
    assert main([*asked, "--fix"]) == 1
    assert f"left {chart}/Chart.yaml: what it renders is written nowhere" in capsys.readouterr().err
    assert (chart / "templates" / "all.yaml").read_text() == TEMPLATE


def test_the_file_that_describes_a_package_or_a_tree_stands_for_its_folder(
    chart: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diagnose", "-f", str(chart / "Chart.yaml"), "--set", "app=web"]) == 0
    tree = chart.parent / "tree"
    tree.mkdir()
    (tree / "kustomization.yaml").write_text("resources: [a.yaml]\nnamePrefix: x-\n")
    (tree / "a.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: [b]}\n")
    capsys.readouterr()
    assert main(["diagnose", "-f", str(tree / "kustomization.yaml"), "-o", "json"]) == 1
    assert [one["subject"]["name"] for one in findings(capsys)] == ["x-a"]


def test_what_is_wrong_with_a_package_or_its_values_has_a_place(
    chart: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (chart / ".helmignore").write_text("a**b\n")
    broken = chart.parent / "broken.yaml"
    broken.write_text("a: [\n")
    for options, place in (
        ([], f"{chart}/.helmignore"),
        (["--values", str(broken)], str(broken)),
        (["--set", "a[=1"], f"{chart}/Chart.yaml"),
    ):
        assert main(["diagnose", "-f", str(chart), *options, "-o", "json"]) == 1
        (wrong,) = findings(capsys)
        assert (wrong["rule"], wrong["where"]["file"]) == ("package.render", place)
        (chart / ".helmignore").unlink(missing_ok=True)
