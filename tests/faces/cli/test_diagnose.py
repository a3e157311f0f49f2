"""`fairlead diagnose` and `fix` as a person sees them: the story, the JSON, the exit codes, the refusals."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from fairlead.faces.cli import diagnose, findings, stories
from fairlead.faces.cli.main import main
from fairlead.faces.cli.pens import Pen
from fairlead.words import Change, Evidence, Finding, Fix, Ref, Severity, Symptom, Where

ROOT = Path(__file__).resolve().parents[3]
GOOD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
BAD = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: web, ports: [{name: http, containerPort: 8080}]}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: wbe}
  ports: [{port: 80}]
"""


SELECTOR = "9bb13fd4"
"""The id of the finding in BAD."""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "bad.yaml").write_text(BAD)
    return tmp_path


def test_the_story_of_a_root(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnose", "-f", "bad.yaml"]) == 1
    said = re.sub(r"\d+\.\d s", "0.0 s", capsys.readouterr().out)
    assert said == (
        "✖ Service web  selects app=wbe, which nothing in these files makes (likely)\n"
        "    Deployment web makes pods labelled app=web: probably those are meant.\n"
        "    bad.yaml:15 .spec.selector.app\n"
        f"    fix: select app=web   fairlead fix {SELECTOR} -f bad.yaml\n"
        "\n"
        "1 cause (2 objects in 0.0 s)\n"
    )


def test_nothing_is_wrong(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnose", "-f", "good.yaml", "--color", "always"]) == 0
    assert (
        "\x1b[32;1m✔ nothing is wrong that the files alone show\x1b[0m (1 object" in capsys.readouterr().out
    )


def test_json_and_yaml_are_the_same(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnose", "-f", ".", "-o", "json"]) == 1
    one = json.loads(capsys.readouterr().out)
    assert main(["diagnose", "-f", ".", "-o", "yaml"]) == 1
    assert one == yaml.safe_load(capsys.readouterr().out)
    assert (one["kind"], one["scope"], one["objects"]) == ("Diagnosis", "files", 3)
    (finding,) = one["findings"]
    assert finding["where"] == {"file": "bad.yaml", "line": 15, "path": ".spec.selector.app"}
    assert finding["fixes"][0]["changes"][0]["body"][-1] == {
        "op": "replace",
        "path": "/spec/selector/app",
        "value": "web",
    }


def test_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a: [\n")))
    assert main(["diagnose", "-f", "-"]) == 1
    assert "(standard input)  cannot be read at line 1, column 5" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["diagnose", "-f", "nowhere.yaml"], "cannot read nowhere.yaml: No such file or directory"),
        (["diagnose", "-f", "empty"], "no manifests in empty"),
        (["diagnose", "-f", "good.yaml", "--kubeconfig", "far.yaml"], "the cluster cannot be reached"),
        (["diagnose", "-f", "good.yaml", "--snapshot", "x"], "--snapshot needs no cluster and no files"),
        (["diagnose", "--watch", "-f", "good.yaml"], "--watch looks at a cluster"),
        (["diagnose", "--watch", "-o", "sarif"], "--watch cannot tell what comes and goes as sarif"),
        (["diagnose", "--watch", "--kubeconfig", "far.yaml"], "the cluster cannot be reached"),
        (["diagnose", "-f", "good.yaml", "deploi"], "there is no kind 'deploi' here"),
        (["diagnose", "-f", "good.yaml", "cm/b"], "there is no ConfigMap b"),
        (["diagnose", "-f", "good.yaml", "-l", "a=(b"], "-l a=(b: "),
        (["diagnose", "--kubeconfig", "nowhere"], "nowhere: No such file or directory"),
        (["diagnose", "--data-dir", "nowhere"], "there is no kubeconfig at nowhere/kubeconfig"),
        (["diagnose", "--kubeconfig", "good.yaml"], "good.yaml: no current-context"),
        (["diagnose", "--kubeconfig", "far.yaml"], "the cluster cannot be reached: https://127.0.0.1:1"),
        (["fix", "1234", "--apply", "--kubeconfig", "far.yaml"], "--apply asks before it changes anything"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_one_clear_error(
    files: Path,
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (files / "empty").mkdir()
    (files / "far.yaml").write_text(
        "current-context: a\ncontexts: [{name: a, context: {cluster: a}}]\n"
        "clusters: [{name: a, cluster: {server: 'https://127.0.0.1:1'}}]\n"
    )
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"fairlead: error: {said}"), error
    assert "Traceback" not in error


def example() -> Finding:
    deployment = Ref("apps", "Deployment", "shop", "web")
    pods = [Ref("", "Pod", "shop", f"web-{index}") for index in range(5)]
    change = Change(verb="patch", ref=deployment, api_version="apps/v1", body=[], patch="json")
    return Finding(
        rule="image.pull",
        severity=Severity.CRITICAL,
        subject=deployment,
        message="image web:2 cannot be pulled",
        cause="web:1 is there: probably that image is meant.",
        evidence=tuple(Evidence("event", pods[0], f"Failed: try {index}") for index in range(6)),
        symptoms=tuple(Symptom(pod, "waits for its image") for pod in pods),
        fixes=(Fix(title="use image web:1", changes=(change,)),),
        where=Where(path=".spec.template.spec.containers[0].image"),
        confidence="likely",
    )


def test_many_symptoms_fold() -> None:
    lines = stories.finding(example(), Pen(width=100))
    assert lines == [
        "✖ Deployment shop/web  image web:2 cannot be pulled (likely)",
        "    web:1 is there: probably that image is meant.",
        "    .spec.template.spec.containers[0].image",
        "    │ Pod web-0: Failed: try 0",
        "    │ Pod web-0: Failed: try 1",
        "    │ Pod web-0: Failed: try 2",
        "    │ Pod web-0: Failed: try 3",
        "    │ and 2 more",
        "    so: Pod web-0, web-1 + 3 more  waits for its image",
        f"    fix: use image web:1   fairlead fix {example().id}",
    ]


def test_no_line_is_wider_than_asked_and_no_colour_is_left_open() -> None:
    lines = stories.finding(example(), Pen(colour=True, width=60))
    for line in lines:
        assert line.count("\x1b[0m") == len(re.findall(r"\x1b\[[1-9][0-9;]*m", line))
        assert len(re.sub(r"\x1b\[[0-9;]*m", "", line)) <= 60


def test_the_documentation_is_the_program_s_own() -> None:
    page = ROOT / "docs" / "findings.md"
    assert page.read_text() == findings.document(), "python -m fairlead.faces.cli.findings > docs/findings.md"
    keys = findings.finding(example()).keys()
    assert {field for owner, field, _ in findings.FIELDS if owner == "Finding"} == keys


def test_symptoms_of_many_sorts_fold_too() -> None:
    sorts = [Symptom(Ref("g", f"Kind{n}", "shop", "a"), f"waits {'x' * n}") for n in range(9)]
    pods = [Symptom(Ref("", "Pod", "shop", f"web-{n}"), "waits for its image") for n in range(50)]
    one = replace(example(), symptoms=(*pods, *sorts), evidence=(), fixes=())
    lines = stories.finding(one, Pen(width=100))
    assert lines[3:] == [
        "    so: Pod web-0, web-1 + 48 more  waits for its image",
        "        Kind0 a  waits",
        "        Kind1 a  waits x",
        "        Kind2 a  waits xx",
        "        Kind3 a  waits xxx",
        "        Kind4 a  waits xxxx",
        "        and 4 more: 1 Kind5, 1 Kind6, 1 Kind7, 1 Kind8",
        f"    {one.id}",
    ]
    assert len(stories.finding(one, Pen(width=100), whole=True)) == 3 + 59 + 1


class Terminal(io.StringIO):
    """Standard error, as a terminal or not."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.mark.parametrize("terminal", [True, False])
def test_a_slow_cluster_shows_how_far_it_is(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    monkeypatch.setattr("sys.stderr", said := Terminal(terminal))
    with diagnose.Progress() as progress:
        for second in (0.5, 1.5, 1.55, 2.0, 11.0, 12.0):
            clock[0] = second
            progress.told(round(second), 29)
    line = "looking: 2 of 29 kinds listed, 2 s"
    if terminal:
        assert said.getvalue().count("\r\x1b[K") == 5
        assert said.getvalue().endswith("\r\x1b[K")
        assert line in said.getvalue()
    else:
        assert said.getvalue() == "looking: 11 of 29 kinds listed, 11 s\n"


def test_a_quick_one_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", said := Terminal(True))
    with diagnose.Progress() as progress:
        progress.told(29, 29)
    assert said.getvalue() == ""


def test_what_is_written_to_a_file(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnose", "-f", "bad.yaml", "-o", "html", "--output-file", "report.html"]) == 1
    assert capsys.readouterr() == ("", "written to report.html\n")
    assert (files / "report.html").read_text().startswith("<!doctype html>")
    assert main(["diagnose", "-f", "bad.yaml", "--output-file", "no/where"]) == 2
    assert capsys.readouterr().err.startswith("fairlead: error: cannot write no/where: No such file")
