"""What `fairlead install sense` prints: objects that belong together and ask for no more than is needed, and a unit that systemd reads."""

from __future__ import annotations

import configparser
from typing import Any

import pytest

from fairlead.faces.sensor.manifests import CAPABILITIES, NAME, RULES, Wishes, manifests, unit
from fairlead.reactor.sensing_kinds import definitions

PLAIN = Wishes(image="registry.example/fairlead:1")
FULL = Wishes(image="registry.example/fairlead:1", namespace="watch", rules={"a.yaml": "[]"}, metrics=9090)


def pod_of(objects: list[dict[str, Any]]) -> dict[str, Any]:
    (daemons,) = [one for one in objects if one["kind"] == "DaemonSet"]
    spec: dict[str, Any] = daemons["spec"]
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    found: dict[str, Any] = spec["template"]["spec"]
    return found


@pytest.mark.parametrize("wishes", [PLAIN, FULL], ids=["plain", "full"])
def test_the_objects_belong_together(wishes: Wishes) -> None:
    objects = manifests(wishes, definitions())
    keys = [(one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]) for one in objects]
    assert len(set(keys)) == len(keys)
    assert [kind for kind, _, _ in keys][:5] == ["CustomResourceDefinition"] * 4 + ["Namespace"]
    assert keys[-1] == ("DaemonSet", wishes.namespace, NAME)
    assert {space for _, space, _ in keys} == {"", wishes.namespace}
    (binding,) = [one for one in objects if one["kind"] == "ClusterRoleBinding"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": NAME, "namespace": wishes.namespace}]
    pod = pod_of(objects)
    (container,) = pod["containers"]
    assert pod["serviceAccountName"] == NAME
    assert {one["name"] for one in container["volumeMounts"]} == {one["name"] for one in pod["volumes"]}
    assert container["image"] == wishes.image
    assert ("ConfigMap" in {kind for kind, _, _ in keys}) is bool(wishes.rules)
    assert (RULES in container["command"]) is bool(wishes.rules)
    assert ("ports" in container) is bool(wishes.metrics)


def test_the_sensor_may_not_do_what_it_need_not() -> None:
    objects = manifests(FULL, definitions())
    (container,) = pod_of(objects)["containers"]
    security = container["securityContext"]
    assert security["allowPrivilegeEscalation"] is False
    assert security["readOnlyRootFilesystem"] is True
    assert security["capabilities"] == {"drop": ["ALL"], "add": list(CAPABILITIES)}
    assert "privileged" not in security
    (role,) = [one for one in objects if one["kind"] == "ClusterRole"]
    rights = {
        (group, resource): set(rule["verbs"])
        for rule in role["rules"] for group in rule["apiGroups"] for resource in rule["resources"]
    }  # fmt: skip
    assert rights["", "pods"] == {"get", "list", "watch"}
    assert not [key for key in rights if key[1] in {"secrets", "*", "nodes", "pods/exec"} or key[0] == "*"]
    writable = {one["name"] for one in container["volumeMounts"] if not one.get("readOnly")}
    assert writable == {"bpf", "tracing"}


def test_the_unit_is_one_that_systemd_reads() -> None:
    text = unit(["/opt/fair lead/bin/fairlead", "serve", "sense", "--rules", "/etc/100%/$own/it's\\"])
    read = configparser.RawConfigParser()
    read.optionxform = str  # type: ignore[assignment,method-assign]  # names are told apart by case
    read.read_string(text)
    assert set(read.sections()) == {"Unit", "Service", "Install"}
    service = read["Service"]
    assert service["ExecStart"] == (
        r"'/opt/fair lead/bin/fairlead' serve sense --rules '/etc/100%%/$$own/it\'s\\'"
    )
    assert service["CapabilityBoundingSet"].split() == [f"CAP_{name}" for name in CAPABILITIES]
    assert (service["User"], service["NoNewPrivileges"], service["Restart"]) == ("root", "yes", "always")


def test_a_plain_command_is_not_quoted() -> None:
    assert "\nExecStart=/usr/bin/fairlead serve sense\n" in unit(["/usr/bin/fairlead", "serve", "sense"])
