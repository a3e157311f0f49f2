"""Fields of audit events, and every published rule over them: an event that meets it, and one that nearly does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead.dialects import falco
from fairlead.dialects.falco import Audited, auditing
from fairlead.tongues import conditions
from fairlead.tongues.conditions import UnknownField

CASES = yaml.safe_load((Path(__file__).parent / "audits.yaml").read_text())
NEVER = "jevt.rawtime=0"

LOCAL = f"""
- {{macro: allowed_k8s_containers, condition: {NEVER}}}
- {{macro: consider_all_events, condition: jevt.rawtime exists}}
- {{macro: allowed_full_admin_users, condition: {NEVER}}}
- {{macro: allow_all_k8s_nodes, condition: {NEVER}}}
- {{list: allowed_k8s_nodes, items: [known-one], override: {{items: append}}}}
"""
"""What a user of these rules writes beside them: some are off, or say yes to all, until he does."""


def event(case: dict[str, Any]) -> dict[str, Any]:
    """An audit event from the words of a case."""
    ref = {
        "resource": case.get("resource"),
        "subresource": case.get("sub"),
        "namespace": case.get("ns", "shop"),
        "name": case.get("name", "thing"),
    }
    status = {"code": case.get("code", 200), "reason": case.get("reason")}
    found = {
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "RequestResponse", "auditID": "5f3c", "stage": case.get("stage", "ResponseComplete"),
        "requestURI": case.get("uri", "/api/v1/things"), "verb": case.get("verb"), "user": {"username": case.get("user", "minikube-user"), "groups": ["g"]},
        "objectRef": {key: value for key, value in ref.items() if value is not None},
        "responseStatus": {key: value for key, value in status.items() if value is not None},
        "requestObject": case.get("object"), "responseObject": case.get("answer"),
        "annotations": {"authorization.k8s.io/decision": case.get("decision", "allow"), "authorization.k8s.io/reason": ""},
    }  # fmt: skip
    return {key: value for key, value in found.items() if value is not None}


@pytest.fixture(scope="module")
def published(corpus: Path) -> falco.Loaded:
    text = (corpus / "falco" / "k8s_audit_rules.yaml").read_text()
    return falco.load([("k8s_audit_rules.yaml", text), ("local.yaml", LOCAL)])


@pytest.mark.corpus
def test_there_is_a_case_for_every_published_rule(published: falco.Loaded) -> None:
    assert not [finding for finding in published.findings if finding.severity != "info"]
    assert [rule.model.rule for rule in published.auditor.rules] == [case["rule"] for case in CASES]


@pytest.mark.corpus
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["rule"])
def test_published_rules_tell_the_event_from_the_one_that_is_nearly_it(
    published: falco.Loaded, case: dict[str, Any]
) -> None:
    def rules(words: dict[str, Any]) -> list[str]:
        return [found.rule.model.rule for found in published.auditor.judge(Audited(event(words), 5))]

    assert case["rule"] in rules(case["meets"])
    assert case["rule"] not in rules({**case["meets"], **case["misses"]})


@pytest.mark.corpus
def test_a_detection_in_falcos_words(published: falco.Loaded) -> None:
    words = next(case for case in CASES if case["rule"] == "Attach/Exec Pod")["meets"]
    found = next(
        one
        for one in published.auditor.judge(Audited(event(words), 1_700_000_000_123_456_789))
        if one.rule.model.rule == "Attach/Exec Pod"
    )
    assert found.line() == (
        "22:13:20.123456789: Notice Attach/Exec to pod (user=minikube-user pod=web resource=pods ns=shop action=exec command=id)"
    )
    record = json.loads(found.json("one"))
    assert list(record) == [
        "hostname",
        "output",
        "output_fields",
        "priority",
        "rule",
        "source",
        "tags",
        "time",
    ]
    assert record["output_fields"] == {
        "evt.time": 1_700_000_000_123_456_789, "ka.target.name": "web", "ka.target.namespace": "shop", "ka.target.resource": "pods",
        "ka.target.subresource": "exec", "ka.uri.param[command]": "id", "ka.user.name": "minikube-user",
    }  # fmt: skip
    assert (record["priority"], record["source"], record["tags"], record["time"]) == (
        "Notice",
        "k8s_audit",
        ["k8s"],
        "2023-11-14T22:13:20.123456789Z",
    )


POD: dict[str, Any] = {
    "spec": {
        "hostNetwork": True,
        "securityContext": {"runAsUser": 7, "fsGroup": 5, "supplementalGroups": [1, 2]},
        "containers": [
            {"name": "a", "image": "reg:5000/x/a:1@sha256:ff", "command": ["sh", "-c"], "ports": [{"containerPort": 80, "hostPort": 8080}, {"containerPort": 81}],
             "securityContext": {"privileged": True, "runAsUser": 9, "capabilities": {"add": ["NET_ADMIN", "SYS_TIME"]}, "procMount": "Default"}},
            {"name": "b", "image": "b", "args": ["--x"], "securityContext": {"privileged": False, "readOnlyRootFilesystem": True}},
        ],
        "initContainers": [{"name": "i", "image": "i@sha256:00", "securityContext": {"allowPrivilegeEscalation": True}}],
        "volumes": [{"name": "v", "hostPath": {"path": "/var/run"}}, {"name": "w", "emptyDir": {}}, {"name": "f", "flexVolume": {"driver": "d"}}],
    }
}  # fmt: skip
OBJECT: dict[str, Any] = {
    **event({"verb": "create", "resource": "pods", "name": None, "uri": "/x?a=1&b=%20y&a=2&empty="}),
    "requestObject": POD,
    "responseObject": {"metadata": {"name": "web-1"}},
    "impersonatedUser": {"username": "other"},
    "userAgent": "kubectl",
    "sourceIPs": ["10.0.0.1", "10.0.0.2"],
}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ka.auditid", "5f3c"),
        ("ka.stage", "ResponseComplete"),
        ("ka.user.groups", ["g"]),
        ("ka.impuser.name", "other"),
        ("ka.uri.param[a]", "1"),
        ("ka.uri.param[b]", " y"),
        ("ka.uri.param[empty]", ""),
        ("ka.uri.param[none]", None),
        ("ka.target.subresource", None),
        ("ka.target.pod.name", "web-1"),
        ("ka.resp.name", "web-1"),
        ("ka.response.code", "200"),
        ("ka.useragent", "kubectl"),
        ("ka.sourceips", ["10.0.0.1", "10.0.0.2"]),
        ("ka.sourceips[1]", ["10.0.0.2"]),
        ("ka.req.pod.host_network", "true"),
        ("ka.req.container.host_network", "true"),
        ("ka.req.pod.host_pid", None),
        ("ka.req.pod.run_as_user", "7"),
        ("ka.req.pod.fs_group", "5"),
        ("ka.req.pod.supplemental_groups", ["1", "2"]),
        ("ka.req.pod.containers.image", ["reg:5000/x/a:1@sha256:ff", "b"]),
        ("ka.req.pod.containers.image[1]", ["b"]),
        ("ka.req.pod.containers.image[2]", None),
        ("ka.req.pod.containers.image.repository", ["reg:5000/x/a", "b"]),
        ("ka.req.container.image.repository", "reg:5000/x/a"),
        ("ka.req.pod.initContainers.image.repository", ["i"]),
        ("ka.req.pod.ephemeralContainers.image", None),
        ("ka.req.pod.containers.name", ["a", "b"]),
        ("ka.req.pod.containers.command", ["sh", "-c"]),
        ("ka.req.pod.containers.args[1]", ["--x"]),
        ("ka.req.pod.containers.host_port", ["8080", "81"]),
        ("ka.req.pod.containers.privileged", ["true", "false"]),
        ("ka.req.pod.containers.privileged[1]", ["false"]),
        ("ka.req.container.privileged", "true"),
        ("ka.req.pod.initContainers.allow_privilege_escalation", ["true"]),
        ("ka.req.pod.containers.read_only_fs", ["true"]),
        ("ka.req.pod.containers.run_as_user", ["9"]),
        ("ka.req.pod.containers.eff_run_as_user", ["9", "7"]),
        ("ka.req.pod.containers.eff_run_as_group", ["0", "0"]),
        ("ka.req.pod.containers.proc_mount", ["Default"]),
        ("ka.req.pod.containers.add_capabilities", ["NET_ADMIN", "SYS_TIME"]),
        ("ka.req.pod.volumes.hostpath", ["/var/run"]),
        ("ka.req.pod.volumes.flexvolume_driver", ["d"]),
        ("ka.req.pod.volumes.volume_type", ["hostPath", "emptyDir", "flexVolume"]),
        ("ka.req.volume.hostpath[/var*]", "true"),
        ("ka.req.volume.hostpath[/var]", "false"),
        ("ka.req.role.rules", None),
        ("jevt.value[/requestObject/spec/volumes/1/name]", "w"),
        ("jevt.value[/requestObject/spec/volumes/1/emptyDir]", "{}"),
        ("jevt.value[/annotations/authorization.k8s.io~1decision]", "allow"),
        ("jevt.value[/requestObject/spec/volumes/9]", None),
        ("jevt.rawtime", "5"),
        ("evt.num", 3),
    ],
)
def test_fields(field: str, value: object) -> None:
    getter = conditions.getter(conditions.reference(field), auditing.AuditFields())
    assert getter.get(Audited(OBJECT, 5, 3)) == value


def test_every_field_survives_every_object() -> None:
    odd: list[Any] = [
        {}, {"auditID": None}, {"auditID": 1, "requestObject": 5}, {"auditID": 1, "requestObject": {"spec": []}},
        {"auditID": 1, "requestURI": "http://[", "requestObject": {"spec": {"containers": [None, 5, {"securityContext": 1, "ports": [1]}], "volumes": {"a": 1}}}},
        {"auditID": 1, "requestObject": {"rules": [5, {"verbs": "x"}], "subjects": {}}, "user": [], "sourceIPs": "x"},
    ]  # fmt: skip
    resolver = auditing.AuditFields()
    for name, row in auditing.FIELDS.items():
        for suffix in {"": ("",), "index": ("", "[0]", "[7]"), "key": ("[/a/0]", "[x*]")}[row.argument]:
            getter = conditions.getter(conditions.reference(name + suffix), resolver)
            for object_ in odd:
                getter.get(Audited(object_))


@pytest.mark.parametrize(
    "text",
    [
        "ka.nonsense",
        "ka.verb[1]",
        "ka.uri.param",
        "jevt.value",
        "ka.req.pod.containers.image[x]",
        "proc.name",
    ],
)
def test_fields_that_do_not_exist(text: str) -> None:
    ref = conditions.reference(text)
    assert isinstance(ref, conditions.FieldRef)
    with pytest.raises(UnknownField):
        auditing.AuditFields()(ref)


def test_what_is_no_audit_event_has_no_fields() -> None:
    loaded = falco.load(
        [
            (
                "a.yaml",
                "- {rule: R, desc: d, output: o, priority: INFO, source: k8s_audit, condition: ka.verb=get}",
            )
        ]
    )
    assert loaded.auditor.judge(Audited({"verb": "get"})) == []
    assert loaded.auditor.judge(Audited({"verb": "get", "auditID": "x"}))


def test_events_of_a_webhook() -> None:
    one = {"auditID": "1", "stageTimestamp": "2023-11-14T22:13:20.5Z"}
    other = {"auditID": "2", "requestReceivedTimestamp": "2023-11-14T23:13:20.123456+01:00"}
    found = auditing.events(
        {"kind": "EventList", "items": [one, [other], "junk", {"auditID": "3", "stageTimestamp": "soon"}]},
        7,
        10,
    )
    assert [(event.object["auditID"], event.time, event.number) for event in found] == [
        ("1", 1_700_000_000_500_000_000, 10), ("2", 1_700_000_000_123_456_000, 11), ("3", 7, 12),
    ]  # fmt: skip
    assert auditing.events("junk", 7) == []
