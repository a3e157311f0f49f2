"""`fairlead install admission`: what it prints is accepted by a cluster, restricted, and asks for no more than it needs."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead.drivers import definitions
from fairlead.faces.admission.app import _passage
from fairlead.faces.admission.grounds import FileGrounds
from fairlead.faces.cli.main import main
from fairlead.judge.expressions import ADMISSION
from fairlead.judge.expressions_requests import request_of
from fairlead.judge.subjects import Subject, Target
from fairlead.keep.bootstrapping import bootstrap
from fairlead.keep.requests import Request
from fairlead.keep.worlds import World
from fairlead.reactor.exempting import exempt
from fairlead.words import User

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    assert main(["install", "admission", *words]) == 0
    return list(yaml.safe_load_all(capsys.readouterr().out))


def one(objects: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    return next(each for each in objects if each["kind"] == kind)


@pytest.mark.parametrize("server", ["admission", "audit", "sense"])
def test_a_cluster_accepts_all_of_it(capsys: pytest.CaptureFixture[str], server: str) -> None:
    assert main(["install", server]) == 0
    objects = list(yaml.safe_load_all(capsys.readouterr().out))
    world = World(definitions.load(), random.Random(7))
    for entry in bootstrap(world, NOW).entries[-1:]:
        world.commit(entry.rv)
    admin = User(name="admin", groups=("system:masters",))
    request = Request(user=admin, now=NOW, manager="test", field_validation="Strict")
    for each in objects:
        group, _, version = each["apiVersion"].rpartition("/")
        kind = world.catalogue.kind(group, each["kind"], version)
        assert kind is not None, each["kind"]
        made = world.create(kind, each["metadata"].get("namespace", ""), each, request)
        world.commit(made.entries[-1].rv)
        assert made.object["metadata"]["uid"]
    if server == "admission":
        last = [each["kind"] for each in objects[-2:]]
        assert last == ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"]


RESTRICTED = """\
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: restricted}
spec:
  validationFailureAction: Enforce
  rules:
    - name: restricted
      match: {any: [{resources: {kinds: [Pod]}}]}
      validate: {podSecurity: {level: restricted, version: latest}}
"""


@pytest.mark.parametrize("server", ["admission", "audit"])
def test_it_keeps_to_the_restricted_standard(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, server: str
) -> None:
    (tmp_path / "restricted.yaml").write_text(RESTRICTED)
    assert main(["install", server]) == 0
    (tmp_path / "install.yaml").write_text(capsys.readouterr().out)
    words = ["judge", "-p", str(tmp_path / "restricted.yaml"), str(tmp_path / "install.yaml")]
    assert main([*words, "-o", "json", "--all"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert "pass" in json.dumps(rows)


def test_options_say_where_and_how(capsys: pytest.CaptureFixture[str]) -> None:
    objects = printed(capsys, "--image", "one/two:3", "--namespace", "guard", "--replicas", "3")
    spec = one(objects, "Deployment")["spec"]
    assert spec["replicas"] == 3
    assert spec["template"]["spec"]["containers"][0]["image"] == "one/two:3"
    assert {each["metadata"]["namespace"] for each in objects if "namespace" in each["metadata"]} == {"guard"}
    spared = one(objects, "ValidatingWebhookConfiguration")["webhooks"][0]["namespaceSelector"]
    assert spared["matchExpressions"][0]["values"] == [
        "kube-node-lease",
        "kube-public",
        "kube-system",
        "guard",
    ]
    assert main(["install", "admission", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "List"
    for bad in (["--namespace", "kube-system"], ["--namespace", "A b"], ["--replicas", "0"], ["--image", ""],
                ["--lookup", "Pods!"], ["-p", "/nowhere"]):  # fmt: skip
        assert main(["install", "admission", *bad]) == 2, bad
        assert "error" in capsys.readouterr().err


def rights(objects: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    return {
        (group, plural, verb)
        for each in objects
        if each["kind"] in {"ClusterRole", "Role"}
        for rule in each["rules"]
        for group, plural, verb in product(rule["apiGroups"], rule["resources"], rule["verbs"])
    }


LOOKING = """\
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: looking}
spec:
  rules:
    - name: look
      match: {any: [{resources: {kinds: [Pod]}}]}
      context: [{name: words, configMap: {name: words, namespace: default}}]
      validate: {message: no, deny: {conditions: {any: [{key: "{{ words.data.a }}", operator: Equals, value: b}]}}}
"""


def test_rights_are_those_that_are_needed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    plain = rights(printed(capsys))
    assert ("", "configmaps", "list") not in plain
    assert not [one for one in plain if one[1] == "*" and one[0] in {"", "*", "apps"}]
    secrets = {verb for group, plural, verb in plain if (group, plural) == ("", "secrets")}
    assert secrets == {"create", "get", "update"}
    (tmp_path / "p.yaml").write_text(LOOKING)
    looking = rights(printed(capsys, "-p", str(tmp_path), "--lookup", "ingresses.networking.k8s.io"))
    assert looking - plain == {
        (group, plural, verb)
        for group, plural in (("", "configmaps"), ("networking.k8s.io", "ingresses"))
        for verb in ("get", "list", "watch")
    }


def test_the_audit_may_read_what_it_judges(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(LOOKING)
    assert main(["install", "audit", "-p", str(tmp_path)]) == 0
    mine = rights(list(yaml.safe_load_all(capsys.readouterr().out)))
    for needed in (("", "pods", "list"), ("", "configmaps", "get"), ("apps", "deployments", "watch"),
                   ("wgpolicyk8s.io", "*", "create"), ("constraints.gatekeeper.sh", "*/status", "update")):  # fmt: skip
        assert needed in mine or (needed[0], "*", needed[2]) in mine, needed
    assert not [one for one in mine if "*" in one[:1] or one[1] == "secrets"]


def test_the_conditions_say_the_same_as_the_exemptions(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    webhook = one(printed(capsys), "ValidatingWebhookConfiguration")["webhooks"][0]
    programs = [ADMISSION.compile(each["expression"]) for each in webhook["matchConditions"]]
    (tmp_path / "none.yaml").write_text("{}")
    grounds = FileGrounds([tmp_path])
    users = [
        User(name="jane", groups=("dev",)),
        User(name="nobody"),
        User(name="admin", groups=("system:masters",)),
        User(name="system:node:a", groups=("system:nodes",)),
        User(name="system:kube-scheduler"),
        User(name="system:serviceaccount:kube-system:x", groups=("system:serviceaccounts:kube-system",)),
    ]
    kinds = [
        ("", "pods", "Pod", ""), ("", "pods", "Pod", "status"), ("", "events", "Event", ""), ("apps", "replicasets", "ReplicaSet", ""),
        ("apps", "deployments", "Deployment", "scale"), ("coordination.k8s.io", "leases", "Lease", ""),
        ("kyverno.io", "clusterpolicies", "ClusterPolicy", ""), ("", "nodes", "Node", ""),
    ]  # fmt: skip
    for user, (group, plural, kind, part), operation in product(users, kinds, ("CREATE", "UPDATE", "DELETE")):
        subject = Subject(
            target=Target(group, "v1", kind, plural, part, operation),  # type: ignore[arg-type]
            name="one",
            namespace="shop",
            object={"metadata": {"name": "one"}},
            user=user,
        )
        asked = all(program({"request": request_of(subject)}) for program in programs)
        assert asked == (not exempt(_passage(subject, grounds))), (user, kind, part, operation)
    own = User(
        name="system:serviceaccount:fairlead-system:a", groups=("system:serviceaccounts:fairlead-system",)
    )
    update = Subject(target=Target("", "v1", "Pod", "pods", "", "UPDATE"), name="one", user=own)
    assert not all(program({"request": request_of(update)}) for program in programs)


def test_the_sensor_has_what_the_kernel_asks_for_and_no_more(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rules = tmp_path / "own.yaml"
    rules.write_text("- list: nothing\n  items: []\n")
    assert main(["install", "sense", "--rules", str(rules), "--metrics", "9090"]) == 0
    objects = list(yaml.safe_load_all(capsys.readouterr().out))
    assert one(objects, "ConfigMap")["data"] == {"own.yaml": rules.read_text()}
    pod = one(objects, "DaemonSet")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    security = container["securityContext"]
    assert not security.get("privileged")
    assert security["capabilities"]["drop"] == ["ALL"]
    assert "BPF" in security["capabilities"]["add"]
    assert pod["hostPID"] is True
    assert container["command"][-2:] == ["--metrics-address", "0.0.0.0"]
    written = [
        rule for rule in one(objects, "ClusterRole")["rules"] if set(rule["verbs"]) - {"get", "list", "watch"}
    ]
    assert {group for rule in written for group in rule["apiGroups"]} == {"fairlead.dev", "cilium.io"}


def test_the_unit_of_systemd_starts_the_sensor(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rules = tmp_path / "two words"
    rules.mkdir()
    assert main(["install", "sense", "--systemd", "--rules", str(rules)]) == 0
    unit = capsys.readouterr().out
    (start,) = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    assert start.endswith(f"serve sense --rules '{rules}'")
    assert "CAP_BPF" in unit


def test_rules_that_are_not_there_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["install", "sense", "--rules", "/nowhere.yaml"]) == 2
    assert "no such file" in capsys.readouterr().err
