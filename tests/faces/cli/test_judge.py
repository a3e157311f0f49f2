"""`fairlead judge` as a person or a pipeline sees it: the table, the formats, the exit codes, files mended in place."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml

from fairlead.faces.cli.main import main

POLICIES = """\
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata:
  name: limits
  annotations: {policies.kyverno.io/title: Limits, policies.kyverno.io/severity: high}
spec:
  validationFailureAction: Enforce
  rules:
    - name: memory
      match: {any: [{resources: {kinds: [Pod]}}]}
      validate:
        message: memory limits are required
        pattern: {spec: {containers: [{resources: {limits: {memory: "?*"}}}]}}
---
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: team}
spec:
  rules:
    - name: label
      match: {any: [{resources: {kinds: [Pod]}}]}
      mutate: {patchStrategicMerge: {metadata: {labels: {+(team): nobody}}}}
---
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: advice}
spec:
  validationFailureAction: Audit
  rules:
    - name: tag
      match: {any: [{resources: {kinds: [Pod]}}]}
      validate: {message: use a tag, pattern: {spec: {containers: [{image: "*:*"}]}}}
"""
POD = """\
# the one pod
apiVersion: v1
kind: Pod
metadata:
  name: web   # its name
spec:
  containers:
    - name: web
      image: nginx
"""
GOOD = """\
apiVersion: v1
kind: Pod
metadata: {name: good, labels: {team: a}}
spec:
  containers: [{name: web, image: "nginx:1", resources: {limits: {memory: 1Gi}}}]
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "policies.yaml").write_text(POLICIES)
    (tmp_path / "pod.yaml").write_text(POD)
    (tmp_path / "good.yaml").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_person_reads_what_fails_where_and_what_would_pass(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["judge", "-p", "policies.yaml", "pod.yaml", "good.yaml"]) == 1
    told = capsys.readouterr().out
    assert "Pod default/web\n" in told
    assert "✖ limits/memory" in told
    assert "validation error: memory limits are required. rule memory failed at path" in told
    assert "pod.yaml:8 .spec.containers[0].resources" in told
    assert "✖ advice/tag (audit)" in told
    assert "Pod good" not in told
    assert "✖ 2 failed, 3 passed, 1 skipped (2 objects, 3 policies)" in told


def test_nothing_fails_and_everything_can_be_told(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["judge", "-p", "policies.yaml", "good.yaml", "--all"]) == 0
    assert "✔ limits/memory" in capsys.readouterr().out


def test_what_is_only_audited_may_count_as_a_warning(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "pod.yaml").write_text(GOOD.replace("nginx:1", "nginx"))
    assert main(["judge", "-p", "policies.yaml", "pod.yaml"]) == 1
    capsys.readouterr()
    assert main(["judge", "-p", "policies.yaml", "pod.yaml", "--audit-warn"]) == 0
    assert "1 warned" in capsys.readouterr().out


def judged(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["judge", "-p", "policies.yaml", "pod.yaml", *arguments]) == 1
    return capsys.readouterr().out


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_a_program_reads_the_whole_judgement(
    files: Path, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    document: dict[str, Any] = yaml.safe_load(judged(capsys, "-o", output))
    assert document["kind"] == "Judgement"
    assert document["summary"] == {
        "pass": 1, "fail": 2, "warn": 0, "error": 0, "skip": 0, "objects": 1, "policies": 3,
        "rules": document["summary"]["rules"],
    }  # fmt: skip
    fail = next(one for one in document["results"] if one["policy"] == "limits")
    assert fail["resource"] == {"apiVersion": "v1", "kind": "Pod", "namespace": "default", "name": "web"}
    assert fail["where"] == [{"file": "pod.yaml", "line": 8, "path": ".spec.containers[0].resources"}]
    assert (fail["result"], fail["actions"], fail["severity"]) == ("fail", ["deny"], "high")


def test_sarif_points_at_lines(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(judged(capsys, "-o", "sarif"))
    assert document["version"] == "2.1.0"
    (run,) = document["runs"]
    levels = {one["ruleId"]: one["level"] for one in run["results"]}
    assert levels == {"limits/memory": "error", "advice/tag": "warning"}
    place = next(one for one in run["results"] if one["ruleId"] == "limits/memory")["locations"][0]
    assert place["physicalLocation"] == {"artifactLocation": {"uri": "pod.yaml"}, "region": {"startLine": 8}}
    assert {one["id"] for one in run["tool"]["driver"]["rules"]} == set(levels)


def test_junit_has_a_suite_for_each_policy(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = ET.fromstring(judged(capsys, "-o", "junit"))
    counts = {one.get("name"): (one.get("tests"), one.get("failures")) for one in root}
    assert counts == {"limits": ("1", "1"), "team": ("1", "0"), "advice": ("1", "1")}
    failure = root.find("testsuite[@name='limits']/testcase/failure")
    assert failure is not None
    assert "memory limits are required" in (failure.get("message") or "")


def test_reports_are_kubernetes_objects(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (report,) = yaml.safe_load(judged(capsys, "-o", "policyreport"))["items"]
    assert (report["apiVersion"], report["kind"]) == ("wgpolicyk8s.io/v1alpha2", "PolicyReport")
    assert report["summary"]["fail"] == 2


def test_a_file_is_mended_in_place_and_keeps_its_comments(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judged(capsys, "--fix")
    changed = (files / "pod.yaml").read_text()
    assert [line for line in changed.split("\n") if line not in POD.split("\n")] == [
        "  labels:",
        "    team: nobody",
    ]
    assert all(line in changed.split("\n") for line in POD.split("\n"))
    judged(capsys, "--fix")
    assert (files / "pod.yaml").read_text() == changed


def test_standard_input_is_judged(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(POD.encode())))
    assert main(["judge", "-p", "policies.yaml", "-"]) == 1
    assert "(standard input):8" in capsys.readouterr().out


def test_the_request_may_be_somebodys(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = """\
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: no-jane}
spec:
  validationFailureAction: Enforce
  background: false
  rules:
    - name: jane
      match: {any: [{resources: {kinds: [Pod]}, subjects: [{kind: User, name: jane}]}]}
      validate: {message: "{{request.operation}} by jane", deny: {}}
"""
    (files / "jane.yaml").write_text(policy)
    assert main(["judge", "-p", "jane.yaml", "pod.yaml", "--user", "joe"]) == 0
    capsys.readouterr()
    assert main(["judge", "-p", "jane.yaml", "pod.yaml", "--user", "jane"]) == 1
    assert "CREATE by jane" in capsys.readouterr().out


def test_values_stand_for_what_policies_look_up(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = """\
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: only}
spec:
  validationFailureAction: Enforce
  rules:
    - name: allowed
      match: {any: [{resources: {kinds: [Pod]}}]}
      context: [{name: names, configMap: {name: names, namespace: default}}]
      validate:
        message: not allowed
        deny: {conditions: {all: [{key: "{{request.object.metadata.name}}", operator: NotEquals, value: "{{names.data.one}}"}]}}
"""
    (files / "only.yaml").write_text(policy)
    assert main(["judge", "-p", "only.yaml", "pod.yaml", "--set", "names.data.one=web"]) == 0
    capsys.readouterr()
    (files / "values.yaml").write_text(
        "policies: [{name: only, rules: [{name: allowed, values: {names.data.one: db}}]}]"
    )
    assert main(["judge", "-p", "only.yaml", "pod.yaml", "--values", "values.yaml"]) == 1
    assert "not allowed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["judge", "pod.yaml"], "no policies to judge by"),
        (["judge", "-p", "policies.yaml"], "nothing to judge"),
        (["judge", "-p", "pod.yaml", "pod.yaml"], "no policies in pod.yaml"),
        (["judge", "-p", "absent.yaml", "pod.yaml"], "cannot read absent.yaml"),
        (["judge", "-p", "policies.yaml", "pod.yaml", "--set", "a"], "NAME=VALUE is wanted"),
        (["judge", "--cluster", "pod.yaml"], "leave out the files"),
        (["judge", "test", "."], "no test files in ."),
        (["judge", "test", "absent"], "cannot read absent"),
    ],
)
def test_what_cannot_be_judged_is_told(
    files: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert main(arguments) == 2
    assert told in capsys.readouterr().err


def test_a_broken_policy_is_no_pass(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = POLICIES.split("---", maxsplit=1)[0].replace("pattern:", "patern:")
    (files / "broken.yaml").write_text(broken)
    assert main(["judge", "-p", "broken.yaml", "good.yaml"]) == 2
    assert ".spec.rules[0].validate" in capsys.readouterr().out


TEST = """\
apiVersion: cli.kyverno.io/v1alpha1
kind: Test
metadata: {name: limits}
policies: [../policies.yaml]
resources: [../pod.yaml, ../good.yaml]
results:
  - {policy: limits, rule: memory, kind: Pod, resources: [web], result: RESULT}
  - {policy: limits, rule: memory, kind: Pod, resources: [good], result: pass}
"""
SUITE = """\
apiVersion: test.gatekeeper.sh/v1alpha1
kind: Suite
metadata: {name: named}
tests:
  - name: named
    template: template.yaml
    constraint: constraint.yaml
    cases:
      - {name: refused, object: ../pod.yaml, assertions: [{violations: 1, message: no web}]}
      - {name: passed, object: ../good.yaml, assertions: [{violations: no}]}
  - {name: later, skip: true, template: template.yaml, constraint: constraint.yaml, cases: [{name: one, object: x}]}
"""
TEMPLATE = """\
apiVersion: templates.gatekeeper.sh/v1
kind: ConstraintTemplate
metadata: {name: noname}
spec:
  crd: {spec: {names: {kind: NoName}}}
  targets:
    - target: admission.k8s.gatekeeper.sh
      rego: |
        package noname
        violation[{"msg": msg}] {
          input.review.object.metadata.name == input.parameters.name
          msg := sprintf("no %v", [input.parameters.name])
        }
"""
CONSTRAINT = """\
apiVersion: constraints.gatekeeper.sh/v1beta1
kind: NoName
metadata: {name: no-web}
spec: {parameters: {name: web}}
"""


@pytest.fixture
def tests(files: Path) -> Path:
    folder = files / "tests"
    folder.mkdir()
    (folder / "kyverno-test.yaml").write_text(TEST.replace("RESULT", "fail"))
    (folder / "suite.yaml").write_text(SUITE)
    (folder / "template.yaml").write_text(TEMPLATE)
    (folder / "constraint.yaml").write_text(CONSTRAINT)
    return folder


def test_the_tests_of_policies_run_as_their_own_tools_run_them(
    tests: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["judge", "test", "tests", "-o", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["summary"] == {"files": 2, "passed": 4, "failed": 0, "skipped": 1, "errors": 0}
    first = document["results"][0]
    assert (first["policy"], first["rule"], first["want"], first["got"], first["result"]) == (
        "limits", "memory", "fail", "fail", "passed",
    )  # fmt: skip


def test_a_test_that_does_not_hold_says_why(tests: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tests / "kyverno-test.yaml").write_text(TEST.replace("RESULT", "pass"))
    assert main(["judge", "test", "tests"]) == 1
    told = capsys.readouterr().out
    assert "limits/memory  Pod web: want pass, got fail" in told
    assert "✖ 3 passed, 1 failed, 1 skipped, 0 errors (2 test files)" in told
    assert main(["judge", "test", "tests", "--filter", "suite"]) == 0


WORKLOAD = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web   # the front
spec:
  replicas: 2
  template:
    metadata: {labels: {app: web}}
    spec:
      hostNetwork: true
      containers:
        - name: web
          image: "registry.example/web:1"
          ports:
            - containerPort: 80
              hostPort: 8080   # for the old client
"""


def told(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, dict[str, str]]:
    """Run judge for JSON; return the exit code and each policy's result."""
    code = main(["judge", *args, "-o", "json"])
    return code, {one["policy"]: one["result"] for one in json.loads(capsys.readouterr().out)["results"]}


def test_practices_need_no_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "web.yaml"
    path.write_text(WORKLOAD)
    code, results = told(capsys, "--practices", str(path))
    assert code == 1
    assert results["practice.host-network"] == "fail"
    assert results["practice.host-port"] == results["budget.absent"] == "warn"
    assert results["practice.replicas"] == "pass"
    assert "practice.pull-policy" not in results
    assert told(capsys, "--check", "host-port", str(path)) == (0, {"practice.host-port": "warn"})
    assert told(capsys, "--check", "budget.*", str(path))[1]["budget.absent"] == "warn"
    assert told(capsys, "--registry", "ghcr.io", str(path)) == (1, {"practice.image-registry": "fail"})
    assert told(capsys, "--registry", "registry.example", str(path)) == (
        0,
        {"practice.image-registry": "pass"},
    )
    _, results = told(capsys, "--practices", "--severity", "info", "--skip", "host-*", str(path))
    assert results["practice.pull-policy"] == "warn"
    assert "practice.host-network" not in results


def test_practices_mend_files_and_say_what_that_risks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "web.yaml"
    path.write_text(WORKLOAD)
    assert main(["judge", "--check", "host-*", "--fix", str(path)]) == 0
    said = capsys.readouterr().err
    assert (
        "practice.host-network, at the risk that who reaches it by the node's address no longer does" in said
    )
    text = path.read_text()
    assert "name: web   # the front" in text
    assert "hostNetwork" not in text
    assert "hostPort" not in text
    assert yaml.safe_load(text)["spec"]["template"]["spec"]["containers"][0]["ports"] == [
        {"containerPort": 80}
    ]


def test_a_practice_that_nobody_knows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "web.yaml"
    path.write_text(WORKLOAD)
    assert main(["judge", "--check", "nothing-like-it", str(path)]) == 2
    assert "no practice is called nothing-like-it" in capsys.readouterr().err


def test_a_polaris_configuration_is_a_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, policy = tmp_path / "web.yaml", tmp_path / "polaris.yaml"
    path.write_text(WORKLOAD)
    policy.write_text(
        "checks: {hostNetworkSet: warning, missingPodDisruptionBudget: warning, port: danger, nothing: danger}\n"
        "customChecks:\n  port:\n    failureMessage: not this port\n    target: Container\n"
        "    schema: {properties: {ports: {items: {properties: {containerPort: {not: {const: 80}}}}}}}\n"
    )
    assert main(["judge", "-p", str(policy), str(path), "-o", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert {one["policy"]: (one["result"], one["dialect"]) for one in found["results"]} == {
        "hostNetworkSet": ("warn", "polaris"),
        "port": ("fail", "polaris"),
        "budget.absent": ("warn", "practices"),
    }
    (finding,) = found["findings"]
    assert finding["message"] == "no check is called nothing"
    assert finding["where"] == {"file": str(policy), "line": 1, "path": ".checks.nothing"}
