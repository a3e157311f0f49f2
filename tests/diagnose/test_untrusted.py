"""What others wrote comes in as data: nothing secret of it is told, nothing of it reaches a terminal as an order, and much of it is no more than much."""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import Any

import pytest
from estate_faults import Incident
from estate_words import NOW

from fairlead.diagnose.causes import Fact, roots
from fairlead.diagnose.examining import examine, needs
from fairlead.diagnose.hiding import visible
from fairlead.diagnose.redacting import hushed
from fairlead.words import Finding, Ref, Snapshot

PLANTED = {
    "of a Secret": "Zq9-planted-value-of-a-secret-77",
    "of a variable": "hunter2-Planted-of-a-variable",
    "of an address": "Planted99InAnAddress",
    "a token": "ghp_abcdefghijklmnopqrstuvwxyz0123456789AB",
    "a header": "Planted.header/0123456789abcdefXYZ",
}
SAID = (
    "cannot connect postgres://shop:{of an address}@nosuchdb:5432/x DB_PASSWORD={of a variable} "
    "read {of a Secret}, token {a token}, Authorization: Bearer {a header}"
)
ORDERS = "\x1b[31mred\x1b]0;title\x07\x1b[2J\u202etxt.exe\x00\x08<script>"
CRASH: dict[str, Any] = {
    "at": "Deployment/shop/checkoutservice",
    "state": {
        "waiting": {"reason": "CrashLoopBackOff", "message": "back-off"},
        "restarts": 9,
        "last": {"exitCode": 1, "reason": "Error"},
    },
    "notes": [{"reason": "BackOff", "message": "Back-off restarting failed container"}],
}


def told(findings: list[Finding]) -> str:
    """Everything that findings say, without the patches of their fixes: those hold fields as they are in the object."""
    return json.dumps(
        [dataclasses.asdict(dataclasses.replace(one, fixes=())) for one in findings], default=str
    )


def spoken(said: str, *faults: dict[str, Any]) -> list[Finding]:
    estate = Incident("eks", {"shop": "boutique", "otel": "otel"})
    estate.breaks([{"ail": CRASH}, *faults])
    for one in estate.objects.values():
        if one["kind"] == "Secret":
            one.setdefault("data", {})["planted"] = base64.b64encode(PLANTED["of a Secret"].encode()).decode()
        if one["kind"] == "Event":
            one["message"] += f" {said}"
        for item in one.get("status", {}).get("conditions") or ():
            item["message"] = f"{item.get('message', '')} {said}"
        for status in one.get("status", {}).get("containerStatuses") or ():
            for state in (*status["state"].values(), *status["lastState"].values()):
                state["message"] = said
    view = Snapshot(estate.objects.values())
    answers = dict.fromkeys(needs(view, now=NOW), f"panic: {said}")
    return examine(view, scope="live", now=NOW, answers=answers, advice=True)


def test_nothing_secret_is_told() -> None:
    said = SAID
    for name, value in PLANTED.items():
        said = said.replace(f"{{{name}}}", value)
    unready = {"at": "Deployment/shop/adservice", "container": "server", "state": {"running": "20m"}}
    text = told(spoken(said, {"ail": unready}))
    assert "container.crash" in text
    assert [name for name, value in PLANTED.items() if value in text] == []
    assert base64.b64encode(PLANTED["of a Secret"].encode()).decode() not in text


def test_nothing_is_an_order_to_a_terminal() -> None:
    found = spoken(ORDERS, {"merge": {"Service/shop/frontend": {"spec": {"selector": {"app": ORDERS}}}}})
    assert {"container.crash", "service.selector"} <= {one.rule for one in found}
    for one in found:
        for text in (one.message, one.cause, *(its.text for its in one.evidence)):
            assert text.replace("\n", "").isprintable(), text


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain text, größer", "plain text, größer"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("a\x00b\u202ec\ufeff", "a\ufffdb\ufffdc\ufffd"),
        ("one\ntwo\tthree", "one\ntwo\tthree"),
        ("\x1b", "\ufffd"),
    ],
)
def test_what_is_seen_is_what_is_there(text: str, seen: str) -> None:
    assert visible(text) == seen


@pytest.mark.parametrize(
    "text",
    [
        'MountVolume.SetUp failed for volume "a" : secret "db" not found',
        "couldn't find key password in Secret shop/db",
        "0/3 nodes are available: 3 Insufficient memory.",
        'Failed to pull image "ghcr.io/a/b@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef": not found',
        "password authentication failed for user shop",
        "token: null",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert hushed(text) == text


def test_a_fact_of_anything_is_told_plainly() -> None:
    found = roots([Fact(rule="a.b", subject=Ref("", "Pod", "s", "p"), message=ORDERS, cause=ORDERS)])
    assert "\x1b" not in told(found).encode().decode("unicode_escape")


def pod(number: int, status: dict[str, Any]) -> dict[str, Any]:
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "api", "uid": "api", "controller": True}
    meta = {"name": f"api-{number}", "namespace": "s", "uid": f"p{number}", "labels": {"app": "api"}, "ownerReferences": [owner]}  # fmt: skip
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"nodeName": "one", "containers": [{"name": "c", "image": "a"}]}, "status": status}  # fmt: skip


API: dict[str, Any] = {
    "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "api", "namespace": "s", "uid": "api"},
    "spec": {"replicas": 900, "selector": {"matchLabels": {"app": "api"}}, "template": {"metadata": {"labels": {"app": "api"}}, "spec": {"containers": [{"name": "c", "image": "a"}]}}},
    "status": {"replicas": 900, "readyReplicas": 0},
}  # fmt: skip


def test_many_pods_of_one_workload_are_one_finding() -> None:
    began = "2026-03-04T11:00:00Z"
    unready = {"phase": "Running", "startTime": began, "conditions": [{"type": "Ready", "status": "False"}], "containerStatuses": [{"name": "c", "ready": False, "state": {"running": {"startedAt": began}}}]}  # fmt: skip
    stuck = {"phase": "Pending", "startTime": began, "conditions": [{"type": "Ready", "status": "False"}]}
    for status, rule in ((unready, "pod.unready"), (stuck, "pod.stuck")):
        found = examine(
            Snapshot([API, *(pod(number, status) for number in range(900))]), scope="live", now=NOW
        )
        assert [(one.rule, one.subject.kind, len(one.symptoms)) for one in found] == [
            (rule, "Deployment", 900)
        ]


def test_many_policies_over_many_workloads_are_read_once() -> None:
    def policy(number: int) -> dict[str, Any]:
        peer = {"podSelector": {"matchLabels": {"x": str(number)}}}
        spec = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [{"from": [peer]}], "egress": [{"to": [peer]}]}  # fmt: skip
        return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": f"p{number}", "namespace": "s", "uid": f"n{number}"}, "spec": spec}  # fmt: skip

    makers = [{**API, "metadata": {**API["metadata"], "name": f"api-{number}", "uid": f"d{number}"}, "spec": {**API["spec"], "replicas": 0}} for number in range(60)]  # fmt: skip
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "api", "namespace": "s"}, "spec": {"type": "LoadBalancer", "selector": {"app": "api"}, "ports": [{"port": 80}]}}  # fmt: skip
    found = examine(
        Snapshot([*makers, service, *(policy(number) for number in range(600))]), scope="live", now=NOW
    )
    assert {one.rule for one in found} <= {"network.cut", "service.idle"}


def test_owners_in_a_ring_and_objects_of_great_depth_have_an_end() -> None:
    ring = [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": f"r{number}", "namespace": "s", "uid": f"r{number}", "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"r{(number + 1) % 50}", "uid": f"r{(number + 1) % 50}", "controller": True}]},
         "spec": {"replicas": 1, "template": {"spec": {}}}}
        for number in range(50)
    ]  # fmt: skip
    deep: dict[str, Any] = {}
    for _ in range(900):
        deep = {"secretRef": [deep], "message": "x" * 50}
    custom = {"apiVersion": "x.io/v1", "kind": "Deep", "metadata": {"name": "d", "namespace": "s", "annotations": {"large": "y" * 1_000_000}}, "spec": deep, "status": {"conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "2026-03-01T00:00:00Z"}]}}  # fmt: skip
    for scope in ("live", "files"):
        examine(Snapshot([*ring, custom]), scope=scope, now=NOW, advice=True)
