"""`fairlead diagnose ignore` with files: what is hidden, for how long, and how it comes back."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead.faces.cli import choosing
from fairlead.faces.cli.main import main
from fairlead.faces.cli.problems import Problem
from fairlead.words import Finding, Ref, Severity, Snapshot, Symptom

BAD = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: web, ports: [{name: http, containerPort: 8080}]}]
---
apiVersion: v1
kind: Service
metadata: {name: web, labels: {tier: front}}
spec:
  selector: {app: wbe}
  ports: [{port: 80}]
"""
ID = "9bb13fd4"
"""The id of the finding in BAD."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "bad.yaml").write_text(BAD)
    return tmp_path


def diagnose(*words: str) -> int:
    return main(["diagnose", "-f", "app", *words])


def ignore(*words: str) -> int:
    return main(["diagnose", "ignore", *words, "-f", "app"])


def kept() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(Path("fairlead-ignore.yaml").read_text()))


def test_ignored_by_id_listed_and_shown_again(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ignore(ID[:4], "--reason", "known: the rename comes next week", "--for", "30d") == 0
    said = capsys.readouterr().out
    assert "Service web: selects app=wbe" in said
    assert "fairlead diagnose ignore --remove 9bb13fd4" in said
    (one,) = kept()
    assert one["metadata"] == {"name": ID}
    assert one["spec"]["finding"] == ID
    until = datetime.fromisoformat(one["spec"]["until"])
    assert timedelta(days=29) < until - datetime.now(UTC) <= timedelta(days=30)

    assert diagnose() == 0
    assert "1 ignored)" in capsys.readouterr().out
    assert diagnose("--show-ignored", "--color", "never") == 0
    assert "known: the rename comes next week" in capsys.readouterr().out
    assert diagnose("-o", "json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["findings"] == []
    assert document["ignored"][0]["finding"] == ID

    assert main(["diagnose", "ignore", "--list", "-f", "app"]) == 0
    assert "known: the rename comes next week" in capsys.readouterr().out
    assert main(["diagnose", "ignore", "--list", "-f", "app", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["items"] == kept()

    assert main(["diagnose", "ignore", "--remove", ID[:3], "-f", "app"]) == 0
    assert diagnose() == 1


def test_rules_and_subjects_in_a_file_of_another_name(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--rule", "service.*", "--subject", "svc/*/w*", "--reason", "x", "--ignore-file", "known.yaml"]
    assert ignore(*words) == 0
    (one,) = yaml.safe_load_all(Path("known.yaml").read_text())
    assert one["spec"]["subject"] == {"kind": "Service", "name": "w*"}
    assert diagnose() == 1
    assert diagnose("--ignore-file", "known.yaml") == 0


def test_what_somebody_has_written_into_the_file_stays(here: Path) -> None:
    written = "# ours\napiVersion: fairlead.dev/v1alpha1\nkind: Suppression\nmetadata: {name: a}   # first\nspec: {rule: a.b, reason: x}\n"
    Path("fairlead-ignore.yaml").write_text(written)
    assert ignore(ID, "--reason", "one") == 0
    assert ignore(ID, "--reason", "two") == 0
    assert [one["spec"]["reason"] for one in kept()] == ["x", "two"]
    assert main(["diagnose", "ignore", "--remove", ID, "-f", "app"]) == 0
    assert Path("fairlead-ignore.yaml").read_text() == written


def test_what_has_run_out_is_shown_with_a_note(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = {"finding": ID, "reason": "for a while", "until": "2026-01-02T00:00:00Z"}
    document = {
        "apiVersion": "fairlead.dev/v1alpha1",
        "kind": "Suppression",
        "metadata": {"name": ID},
        "spec": spec,
    }
    Path("fairlead-ignore.yaml").write_text(json.dumps(document))
    assert diagnose() == 1
    assert "was ignored until 2026-01-02: for a while" in capsys.readouterr().out
    assert main(["diagnose", "ignore", "--list", "-f", "app"]) == 0
    assert "ended 2026-01-02" in capsys.readouterr().out


def test_dates_that_yaml_reads_as_dates_are_texts(here: Path) -> None:
    text = f"apiVersion: fairlead.dev/v1alpha1\nkind: Suppression\nmetadata: {{name: a}}\nspec: {{finding: {ID}, reason: x, until: 2099-01-01T00:00:00Z}}\n"
    Path("fairlead-ignore.yaml").write_text(text)
    assert diagnose() == 0


def test_what_cannot_be_understood_is_told_and_hides_nothing(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("fairlead-ignore.yaml").write_text("kind: Suppression\nmetadata: {name: a}\nspec: {rul: '*'}\n")
    assert diagnose() == 1
    assert "fairlead-ignore.yaml: Suppression a: spec.rul is not known" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "say what to ignore"),
        ([ID], 2, "--reason says why"),
        (["xyz", "--reason", "x"], 2, "xyz is no finding's id"),
        (["0000", "--reason", "x"], 2, "there is no finding 0000 now"),
        ([ID, "--rule", "a.b", "--reason", "x"], 2, "a finding's id says enough"),
        ([ID, "--reason", "x", "--for", "soon"], 2, "'soon' is no length of time"),
        ([ID, "--reason", "x", "--until", "2020-01-01"], 2, "is past"),
        (["--subject", "a/b/c/d", "--reason", "x"], 2, "KIND/NS/NAME is wanted"),
        (["--subject", "*/*", "--reason", "x"], 2, "names nothing"),
        (["--remove", "nothing"], 1, "nothing of the name nothing is ignored"),
    ],
)
def test_what_cannot_be_done(
    here: Path, words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ignore(*words) == code
    assert said in capsys.readouterr().err
    assert not Path("fairlead-ignore.yaml").exists()


def test_an_id_that_is_not_there_yet_may_be_ignored(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ignore("00000000", "--reason", "x") == 0
    assert "it is hidden when it comes" in capsys.readouterr().err


def test_the_word_ignore_is_a_verb_only_where_verbs_stand(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diagnose", "-f", "app", "ignore"]) == 2
    assert "there is no kind 'ignore' here" in capsys.readouterr().err


# What is asked for


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["svc"], 1),
        (["service/web"], 1),
        (["svc,cm"], 1),
        (["services", "web"], 1),
        (["Service.v1"], 2),
        (["deploy"], 0),
        (["deployments.apps"], 0),
        (["all"], 1),
        (["-l", "tier=front"], 1),
        (["-l", "tier!=front"], 0),
        (["-l", "app=web"], 0),
        (["-n", "default"], 1),
        (["--severity", "critical"], 1),
        (["svc/nothing"], 2),
        (["svc", "deploy/web"], 2),
        (["svc/web/x"], 2),
    ],
)
def test_kinds_names_labels_and_severities(here: Path, words: list[str], code: int) -> None:
    assert diagnose(*words) == code


def chosen(*words: str, view: Snapshot, finding: Finding, **more: str) -> bool:
    return choosing.choose(words, view, **more).takes(finding, view)


def test_what_concerns_an_object_are_its_symptoms_and_what_it_owns() -> None:
    controller = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": "web",
        "uid": "d",
        "controller": True,
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "web-1",
            "namespace": "shop",
            "labels": {"app": "web"},
            "ownerReferences": [controller],
        },
    }
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "gadgets.acme.test"},
        "spec": {
            "group": "acme.test",
            "names": {"plural": "gadgets", "kind": "Gadget", "shortNames": ["gg"]},
        },
    }
    view = Snapshot([pod, definition])
    one = Finding(
        rule="node.unready",
        severity=Severity.WARNING,
        subject=Ref("", "Node", "", "one"),
        message="x",
        symptoms=(Symptom(Ref("", "Pod", "shop", "web-1"), "y"),),
    )
    assert chosen("no", view=view, finding=one)
    assert chosen("po/web-1", view=view, finding=one)
    assert chosen("deploy/web", view=view, finding=one)
    assert chosen(view=view, finding=one, labels="app=web", namespace="shop")
    assert not chosen("gg", view=view, finding=one)
    assert not chosen(view=view, finding=one, labels="app=api")
    assert not chosen(view=view, finding=one, severity="critical")
    with pytest.raises(Problem, match="there is no kind 'gadgetz' here"):
        chosen("gadgetz", view=view, finding=one)
