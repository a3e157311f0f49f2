"""What `fairlead install heal` prints: objects that belong together, ask for no more than is needed, and are enough on a real API."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.conftest import ControlPlane

from fairlead.drivers import pki
from fairlead.faces.cli.main import main
from fairlead.faces.heal.manifests import NAME, RECEIVERS, Wishes, manifests, rights

PLAIN = Wishes(image="registry.example/fairlead:1")
FULL = Wishes(
    image="registry.example/fairlead:1", namespace="watch", replicas=2, custom=[("example.com", "*")], receivers="chat", propose=True,
    allow_apply=True, network_policy=True, cluster="prod",
)  # fmt: skip


def one(objects: list[dict[str, Any]], kind: str, name: str = NAME) -> dict[str, Any]:
    (found,) = [each for each in objects if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


@pytest.mark.parametrize("wishes", [PLAIN, FULL], ids=["plain", "full"])
def test_the_objects_belong_together(wishes: Wishes) -> None:
    objects = manifests(wishes)
    keys = [
        (each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]) for each in objects
    ]
    assert len(set(keys)) == len(keys)
    assert {space for _, space, _ in keys} == {"", wishes.namespace}
    assert [kind for kind, _, _ in keys][:4] == ["CustomResourceDefinition"] * 3 + ["Namespace"]
    deployment = one(objects, "Deployment")["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == labels == one(objects, "Service")["spec"]["selector"]
    pod = deployment["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["serviceAccountName"] == NAME
    assert {each["name"] for each in container["volumeMounts"]} == {each["name"] for each in pod["volumes"]}
    assert ("--receivers" in container["command"]) is bool(wishes.receivers)
    assert ("--no-heal" in container["command"]) is not wishes.propose
    assert ("NetworkPolicy" in {kind for kind, _, _ in keys}) is wishes.network_policy
    assert "&" not in yaml.safe_dump_all(objects).replace("&&", "")


def test_the_pod_lives_by_the_restricted_profile() -> None:
    objects = manifests(FULL)
    namespace = one(objects, "Namespace", "watch")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    pod = one(objects, "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    security = container["securityContext"]
    assert (security["allowPrivilegeEscalation"], security["readOnlyRootFilesystem"]) == (False, True)
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert [each["secret"]["secretName"] for each in pod["volumes"] if "secret" in each] == ["chat"]
    assert f"{RECEIVERS}/receivers.yaml" in container["command"]


def _rights(wishes: Wishes) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    for rule in rights(wishes):
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                found.setdefault((group, resource), set()).update(rule["verbs"])
    return found


def test_it_may_not_do_what_it_need_not() -> None:
    read = {"get", "list", "watch"}
    plain = _rights(PLAIN)
    written = {key for key, verbs in plain.items() if verbs - read}
    assert written == {("fairlead.dev", "findings"), ("fairlead.dev", "healpolicies/status"), ("", "events")}
    assert plain["", "secrets"] == read
    assert plain["", "pods/log"] == {"get"}
    assert plain["metrics.k8s.io", "nodes"] == plain["networking.k8s.io", "ingressclasses"] == read
    assert not [key for key in plain if "*" in key]
    assert ("", "secrets") not in _rights(Wishes(image="x", secrets=False))
    full = _rights(FULL)
    assert full["example.com", "*"] == read
    assert full["apps", "deployments"] == read | {"create", "update", "patch", "delete"}
    assert full["", "secrets"] == read
    assert not [key for key, verbs in full.items() if key[0] == "rbac.authorization.k8s.io" and verbs - read]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--namespace", "No"], "cannot be a namespace's name"),
        (["--receivers", "a b"], "cannot be a Secret's name"),
        (["--replicas", "0"], "at least one replica"),
        (["--lookup", "A b"], "PLURAL or PLURAL.GROUP is wanted"),
    ],
)
def test_what_cannot_be_is_told(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["install", "heal", *words]) == 2
    assert said in capsys.readouterr().err


@pytest.fixture(scope="module")
def data(control_plane: ControlPlane) -> Path:
    """The data directory of a control plane without a node."""
    return control_plane.data


def eventually(look: Callable[[], Any], log: Path) -> Any:
    deadline = time.monotonic() + 40
    while not (found := look()):
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.1)
    return found


@pytest.mark.kubectl
def test_what_is_printed_is_enough_to_work_with(
    data: Path, kubectl: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def run(*words: str, text: str | None = None) -> str:
        command = [kubectl, "--kubeconfig", str(data / "kubeconfig"), *words]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert main(["install", "heal", "--propose", "--allow-apply", "--network-policy"]) == 0
    printed = capsys.readouterr().out
    run("apply", "--server-side", "--force-conflicts", "-f", "-", text=printed)

    def token() -> str:
        command = [
            kubectl,
            "--kubeconfig",
            str(data / "kubeconfig"),
            "create",
            "token",
            NAME,
            "-n",
            "fairlead-system",
        ]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout.strip()

    got = eventually(token, data.parent / "log")
    server = yaml.safe_load((data / "kubeconfig").read_text())["clusters"][0]["cluster"]["server"]
    document = pki.kubeconfig(server=server, ca=(data / "pki" / "ca.crt").read_bytes(), user=NAME, token=got)
    (tmp_path / "config").write_text(json.dumps(document))
    run("create", "service", "clusterip", "web", "--tcp=80", "-n", "default")
    policy = {
        "apiVersion": "fairlead.dev/v1alpha1", "kind": "HealPolicy", "metadata": {"name": "all"},
        "spec": {"mode": "propose", "severity": "info", "minConfidence": "possible"},
    }  # fmt: skip
    run("apply", "-f", "-", text=json.dumps(policy))
    command = [
        sys.executable,
        "-m",
        "fairlead.faces.cli.main",
        "serve",
        "heal",
        "--kubeconfig",
        str(tmp_path / "config"),
    ]
    log = tmp_path / "log"
    with log.open("wb") as file:
        process = subprocess.Popen([*command, "--retention", "2h"], stdout=file, stderr=file)
    try:
        eventually(lambda: "service.selector" in run("get", "findings", "-A"), log)
        status = "{.status.state}"
        eventually(lambda: run("get", "healpolicy", "all", "-o", f"jsonpath={status}") == "active", log)
    finally:
        process.terminate()
        assert process.wait(20) == 0
    said = log.read_text()
    assert "cannot" not in said, said
    assert "Traceback" not in said, said
