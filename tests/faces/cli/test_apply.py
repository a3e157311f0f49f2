"""The verbs about instances on the command line, on a control plane of their own: what they print, and their exit codes."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairlead.faces.cli.converging import duration
from fairlead.faces.cli.main import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(control_plane: Any, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command against the control plane; return its exit code and what it printed."""

    def command(verb: str, *words: str) -> tuple[int, str, str]:
        code = main([verb, *words, "--kubeconfig", str(control_plane.data / "kubeconfig")])
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


def package(folder: Path, colour: str = "blue", password: str = "hunter2", *, more: bool = True) -> str:
    text = f"""
apiVersion: v1
kind: ConfigMap
metadata: {{name: settings}}
data: {{colour: {colour}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: password}}
stringData: {{word: {password}}}
"""
    if more:
        text += "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: more}\n"
    (folder / "all.yaml").write_text(text)
    return str(folder)


def test_a_package_from_its_first_apply_to_its_end(run: Run, tmp_path: Path) -> None:
    where = ("--name", "shop", "-n", "shop")
    code, _, err = run("apply", package(tmp_path), *where)
    assert (code, err) == (1, "fairlead: error: there is no namespace shop\n  --create-namespace makes it\n")

    code, out, err = run("apply", package(tmp_path), *where, "--create-namespace")
    assert code == 0, err
    assert out.splitlines()[-1] == "shop/shop revision 1 is deployed: 3 created"
    assert "ConfigMap shop/settings created" in out
    code, out, _ = run("apply", package(tmp_path), *where)
    assert (code, out) == (0, "shop/shop revision 1 is unchanged: 3 unchanged\n")

    changed = package(tmp_path, "red", "hunter3", more=False)
    code, out, _ = run("diff", changed, *where)
    assert code == 1
    assert out.splitlines() == [
        "configure  ConfigMap shop/settings",
        "    ~ .data.colour: blue -> red",
        "configure  Secret shop/password",
        "    ~ .data.word: *** (before) -> *** (after)",
        "prune      ConfigMap shop/more",
    ]
    code, out, _ = run("apply", changed, *where, "--dry-run")
    assert code == 0
    assert out.splitlines()[-1] == "shop/shop would be applied: 2 configured, 1 pruned"

    code, out, _ = run("apply", changed, *where, "-o", "json")
    told = json.loads(out)
    assert (code, told["state"], told["revision"], told["summary"]) == (
        0,
        "deployed",
        2,
        {"configure": 2, "prune": 1},
    )
    assert "hunter" not in out

    code, out, _ = run("status", "shop", "-n", "shop")
    assert code == 0
    assert out.splitlines()[0] == "shop/shop revision 2 deployed, shop" or "revision 2 deployed" in out
    code, out, _ = run("list", "-n", "shop")
    assert out.splitlines()[1].split()[:4] == ["shop", "shop", "2", "deployed"]
    code, out, _ = run("rollback", "shop", "-n", "shop")
    assert (code, out.splitlines()[-1]) == (0, "shop/shop revision 3 is deployed: 1 created, 2 configured")
    code, out, _ = run("history", "shop", "-n", "shop")
    assert [line.split()[:2] for line in out.splitlines()[1:]] == [
        ["1", "superseded"],
        ["2", "superseded"],
        ["3", "deployed"],
    ]
    assert "back to revision 1: 1 created, 2 configured" in out
    code, out, _ = run("diff", "--name", "shop", "-n", "shop", "--revision", "2")
    assert code == 1
    assert "    ~ .data.colour: blue -> red" in out.splitlines()
    code, out, _ = run("diff", "--name", "shop", "-n", "shop")
    assert (code, out) == (0, "shop/shop: nothing differs\n")
    code, out, _ = run("delete", "shop", "-n", "shop")
    assert (code, out.splitlines()[-1]) == (0, "shop/shop is deleted: 3 deleted")


def test_all_that_the_cluster_refuses_is_told_at_once(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(
        json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"n": 5}})
    )
    (tmp_path / "b.json").write_text(
        json.dumps({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "b"}, "spec": {"prots": []}})
    )
    (tmp_path / "c.json").write_text(
        json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fine"}})
    )
    code, out, _ = run("apply", str(tmp_path), "--name", "wrong", "-n", "default")
    assert code == 1
    assert 'unknown field "spec.prots"' in out
    assert "of type string" in out
    assert (
        out.splitlines()[-1]
        == "default/wrong was not applied: 2 objects would be refused, so nothing was written"
    )
    code, _, err = run("history", "wrong", "-n", "default")
    assert (code, err.splitlines()[0]) == (1, "fairlead: error: there is no instance default/wrong")


POLICY = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: no-red}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [configmaps]}]
  validations: [{expression: "!has(object.data) || !('colour' in object.data) || object.data.colour != 'red'", message: red is out}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: no-red}
spec: {policyName: no-red, validationActions: [Deny]}
"""


def test_policies_from_files_are_asked_first(run: Run, tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "policy.yaml").write_text(POLICY)
    words = (
        "--name",
        "judged",
        "-n",
        "judged",
        "--create-namespace",
        "--policy",
        str(tmp_path / "policy.yaml"),
    )
    code, out, _ = run("apply", package(tmp_path / "package", "red"), *words)
    assert code == 1
    assert "refused    ConfigMap judged/settings: policy no-red" in out
    assert "red is out" in out
    assert run("apply", package(tmp_path / "package", "green"), *words)[0] == 0
    assert run("delete", "judged", "-n", "judged")[0] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("apply", "/nosuch", "--name", "x"), "no such file or directory"),
        (("diff",), "there is nothing to compare"),
        (("diff", ".", "--name", "x", "--revision", "2"), "either a package or a revision is compared"),
        (("history", "No_Name"), "'No_Name' is no name of an instance"),
        (("status", "nosuch"), "there is no instance default/nosuch"),
        (("rollback", "nosuch"), "there are no revisions"),
        (("delete", "nosuch"), "there is no instance default/nosuch"),
        (("diff", "--name", "nosuch"), "no revision of default/nosuch is deployed"),
    ],
)
def test_what_cannot_be_done_is_said(run: Run, words: tuple[str, ...], said: str) -> None:
    code, _, err = run(*words)
    assert code in {1, 2}
    assert said in err


@pytest.mark.parametrize(
    ("text", "seconds"), [("5m", 300), ("90s", 90), ("1h30m", 5400), ("300", 300), ("1.5m", 90)]
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "5 m", "-1s", "5x"])
def test_texts_that_are_no_durations(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        duration(text)
