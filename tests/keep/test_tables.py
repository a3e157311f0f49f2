"""Tables: the words that kubectl's users know."""

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fairlead.keep.kinds import BUILT_IN, Catalogue, Kind
from fairlead.keep.tables import LAYOUTS, table
from fairlead.keep.tables_texts import cut_short, duration

NOW = datetime(2024, 5, 10, 12, 0, tzinfo=UTC)
CATALOGUE = Catalogue()


def ago(**span: float) -> str:
    return f"{NOW - timedelta(**span):%Y-%m-%dT%H:%M:%SZ}"


def kind(group: str, name: str) -> Kind:
    found = CATALOGUE.kind(group, name)
    assert found is not None
    return found


def row(group: str, name: str, resource: dict[str, Any], *, wide: bool = False) -> list[Any]:
    resource = copy.deepcopy(resource)
    resource.setdefault("kind", name)
    resource.setdefault("metadata", {})
    resource["metadata"] = {"name": "x", "creationTimestamp": ago(hours=3), **resource["metadata"]}
    found = table(kind(group, name), [resource], NOW)
    cells = found["rows"][0]["cells"]
    assert len(cells) == len(found["columnDefinitions"])
    return [
        cell
        for cell, column in zip(cells, found["columnDefinitions"], strict=True)
        if wide or not column["priority"]
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0.9, "0s"),
        (119, "119s"),
        (120, "2m"),
        (312, "5m12s"),
        (600, "10m"),
        (3 * 3600 - 1, "179m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 240, "3h4m"),
        (8 * 3600, "8h"),
        (47 * 3600, "47h"),
        (76 * 3600, "3d4h"),
        (72 * 3600, "3d"),
        (8 * 86400, "8d"),
        (729 * 86400, "729d"),
        (741 * 86400, "2y11d"),
        (730 * 86400, "2y"),
        (3650 * 86400, "10y"),
    ],
)
def test_spans_of_time(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_long_lists_are_cut_short() -> None:
    assert cut_short([]) == "<none>"
    assert cut_short("abc") == "a,b,c"
    assert cut_short("abcde") == "a,b,c + 2 more..."


def status(name: str, **state: Any) -> dict[str, Any]:
    more: dict[str, Any] = {
        key: state.pop(key) for key in ("ready", "restartCount", "lastState", "started") if key in state
    }
    return {"name": name, "ready": False, "restartCount": 0, "state": state, **more}


def pod(
    containers: int = 1,
    *statuses: dict[str, Any],
    inits: list[dict[str, Any]] | None = None,
    init_statuses: list[dict[str, Any]] | None = None,
    **more: Any,
) -> dict[str, Any]:
    spec: dict[str, Any] = {"containers": [{"name": f"c{index}"} for index in range(containers)]}
    if inits:
        spec["initContainers"] = inits
    found: dict[str, Any] = {"phase": "Pending", "containerStatuses": list(statuses), **more}
    if init_statuses:
        found["initContainerStatuses"] = init_statuses
    return {"spec": spec, "status": found}


RUNNING = {"running": {"startedAt": ago(minutes=5)}}
READY = [{"type": "Ready", "status": "True"}]
INITS = [{"name": "i0"}, {"name": "i1"}]
SIDECAR = [{"name": "i0", "restartPolicy": "Always"}, {"name": "i1"}]

PODS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "pending": (pod(2), ["0/2", "Pending", "0"]),
    "gated": (
        pod(1, conditions=[{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]),
        ["0/1", "SchedulingGated", "0"],
    ),
    "creating": (
        pod(1, status("c0", waiting={"reason": "ContainerCreating"})),
        ["0/1", "ContainerCreating", "0"],
    ),
    "running": (pod(1, status("c0", ready=True, **RUNNING), phase="Running"), ["1/1", "Running", "0"]),
    "looping": (
        pod(
            1,
            status(
                "c0",
                restartCount=3,
                waiting={"reason": "CrashLoopBackOff"},
                lastState={"terminated": {"exitCode": 1, "finishedAt": ago(seconds=20)}},
            ),
            phase="Running",
        ),
        ["0/1", "CrashLoopBackOff", "3 (20s ago)"],
    ),
    "failed with a reason": (
        pod(1, status("c0", terminated={"exitCode": 1, "reason": "Error"}), phase="Failed"),
        ["0/1", "Error", "0"],
    ),
    "failed with a code": (
        pod(1, status("c0", terminated={"exitCode": 3}), phase="Failed"),
        ["0/1", "ExitCode:3", "0"],
    ),
    "killed": (
        pod(1, status("c0", terminated={"exitCode": 137, "signal": 9}), phase="Failed"),
        ["0/1", "Signal:9", "0"],
    ),
    "evicted": ({"status": {"phase": "Failed", "reason": "Evicted"}}, ["0/0", "Evicted", "0"]),
    "completed": (
        pod(1, status("c0", terminated={"exitCode": 0, "reason": "Completed"}), phase="Succeeded"),
        ["0/1", "Completed", "0"],
    ),
    "one of two completed": (
        pod(
            2,
            status("c0", terminated={"exitCode": 0, "reason": "Completed"}),
            status("c1", ready=True, **RUNNING),
            phase="Running",
            conditions=READY,
        ),
        ["1/2", "Running", "0"],
    ),
    "one of two completed, not ready": (
        pod(
            2,
            status("c0", terminated={"exitCode": 0, "reason": "Completed"}),
            status("c1", ready=True, **RUNNING),
            phase="Running",
        ),
        ["1/2", "NotReady", "0"],
    ),
    "first init": (
        pod(1, inits=INITS, init_statuses=[status("i0", **RUNNING), status("i1", waiting={})]),
        ["0/1", "Init:0/2", "0"],
    ),
    "second init": (
        pod(
            1,
            inits=INITS,
            init_statuses=[
                status("i0", terminated={"exitCode": 0}),
                status("i1", waiting={"reason": "PodInitializing"}),
            ],
        ),
        ["0/1", "Init:1/2", "0"],
    ),
    "init failed": (
        pod(1, inits=INITS, init_statuses=[status("i0", restartCount=2, terminated={"exitCode": 4})]),
        ["0/1", "Init:ExitCode:4", "2"],
    ),
    "init looping": (
        pod(1, inits=INITS, init_statuses=[status("i0", waiting={"reason": "CrashLoopBackOff"})]),
        ["0/1", "Init:CrashLoopBackOff", "0"],
    ),
    "with a sidecar": (
        pod(
            1,
            status("c0", ready=True, restartCount=1, **RUNNING),
            inits=SIDECAR,
            init_statuses=[
                status("i0", started=True, ready=True, restartCount=2, **RUNNING),
                status("i1", restartCount=5, terminated={"exitCode": 0}),
            ],
            phase="Running",
            conditions=[{"type": "Initialized", "status": "True"}],
        ),
        ["2/2", "Running", "3"],
    ),
    "going": (
        {
            "metadata": {"deletionTimestamp": ago(seconds=1)},
            **pod(1, status("c0", ready=True, **RUNNING), phase="Running"),
        },
        ["1/1", "Terminating", "0"],
    ),
    "lost": (
        {
            "metadata": {"deletionTimestamp": ago(seconds=1)},
            "status": {"phase": "Running", "reason": "NodeLost"},
        },
        ["0/0", "Unknown", "0"],
    ),
}


@pytest.mark.parametrize("name", PODS)
def test_pods(name: str) -> None:
    resource, cells = PODS[name]
    assert row("", "Pod", resource) == ["x", *cells, "3h"]


def test_wide_columns_of_pods() -> None:
    resource = pod(1, podIPs=[{"ip": "10.0.0.5"}], conditions=[{"type": "gate", "status": "True"}])
    resource["spec"] |= {
        "nodeName": "one",
        "readinessGates": [{"conditionType": "gate"}, {"conditionType": "other"}],
    }
    assert row("", "Pod", resource, wide=True)[5:] == ["10.0.0.5", "one", "<none>", "1/2"]


def test_ended_pods_say_so_in_their_row() -> None:
    found = table(kind("", "Pod"), [{"metadata": {"name": "x"}, "status": {"phase": "Succeeded"}}], NOW)
    assert found["rows"][0]["conditions"][0]["type"] == "Completed"
    assert found["rows"][0]["cells"][4] == "<unknown>"


TEMPLATE = {"spec": {"containers": [{"name": "a", "image": "i:1"}, {"name": "b", "image": "j"}]}}
SELECTOR = {"matchLabels": {"app": "web"}}

ROWS: list[tuple[str, str, dict[str, Any], list[Any]]] = [
    (
        "apps",
        "Deployment",
        {
            "spec": {"replicas": 3, "template": TEMPLATE, "selector": SELECTOR},
            "status": {"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 1},
        },
        ["x", "2/3", 3, 1, "3h", "a,b", "i:1,j", "app=web"],
    ),
    (
        "apps",
        "ReplicaSet",
        {"spec": {"replicas": 3, "template": TEMPLATE, "selector": SELECTOR}, "status": {"replicas": 2}},
        ["x", 3, 2, 0, "3h", "a,b", "i:1,j", "app=web"],
    ),
    (
        "",
        "ReplicationController",
        {"spec": {"replicas": 1, "selector": {"a": "b"}}},
        ["x", 1, 0, 0, "3h", "", "", "a=b"],
    ),
    (
        "apps",
        "StatefulSet",
        {"spec": {"replicas": 2, "template": TEMPLATE}},
        ["x", "0/2", "3h", "a,b", "i:1,j"],
    ),
    (
        "apps",
        "DaemonSet",
        {"spec": {"selector": SELECTOR}, "status": {"desiredNumberScheduled": 1, "numberReady": 1}},
        ["x", 1, 0, 1, 0, 0, "<none>", "3h", "", "", "app=web"],
    ),
    (
        "batch",
        "Job",
        {
            "spec": {"completions": 2, "selector": SELECTOR},
            "status": {"succeeded": 1, "startTime": ago(minutes=1)},
        },
        ["x", "Running", "1/2", "60s", "3h", "", "", "app=web"],
    ),
    (
        "batch",
        "Job",
        {
            "spec": {"parallelism": 3},
            "status": {
                "startTime": ago(minutes=3),
                "completionTime": ago(minutes=2),
                "conditions": [{"type": "Complete", "status": "True"}],
            },
        },
        ["x", "Complete", "0/1 of 3", "60s", "3h", "", "", "<none>"],
    ),
    (
        "batch",
        "CronJob",
        {
            "spec": {
                "schedule": "* * * * *",
                "suspend": False,
                "jobTemplate": {"spec": {"template": TEMPLATE}},
            },
            "status": {"active": [{}], "lastScheduleTime": ago(seconds=30)},
        },
        ["x", "* * * * *", "<none>", "False", 1, "30s", "3h", "a,b", "i:1,j", "<none>"],
    ),
    (
        "",
        "Service",
        {
            "spec": {
                "type": "NodePort",
                "clusterIP": "10.96.0.9",
                "ports": [
                    {"port": 80, "nodePort": 30080, "protocol": "TCP"},
                    {"port": 53, "protocol": "UDP"},
                ],
                "selector": {"b": "2", "a": "1"},
            }
        },
        ["x", "NodePort", "10.96.0.9", "<none>", "80:30080/TCP,53/UDP", "3h", "a=1,b=2"],
    ),
    (
        "",
        "Service",
        {"spec": {"type": "LoadBalancer", "clusterIPs": ["None"]}},
        ["x", "LoadBalancer", "None", "<pending>", "<none>", "3h", "<none>"],
    ),
    (
        "",
        "Service",
        {"spec": {"type": "ExternalName", "externalName": "example.com"}},
        ["x", "ExternalName", "<none>", "example.com", "<none>", "3h", "<none>"],
    ),
    (
        "",
        "Endpoints",
        {
            "subsets": [
                {"addresses": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], "ports": [{"port": 80}, {"port": 443}]}
            ]
        },
        ["x", "10.0.0.1:80,[fd00::1]:80,10.0.0.1:443 + 1 more...", "3h"],
    ),
    (
        "discovery.k8s.io",
        "EndpointSlice",
        {"addressType": "IPv4", "ports": [{"port": 80}, {}], "endpoints": [{"addresses": ["10.0.0.1"]}]},
        ["x", "IPv4", "80,*", "10.0.0.1", "3h"],
    ),
    (
        "networking.k8s.io",
        "Ingress",
        {
            "spec": {"rules": [{"host": "a.test"}, {}], "tls": [{}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "10.1.1.1"}]}},
        },
        ["x", "<none>", "a.test", "10.1.1.1", "80, 443", "3h"],
    ),
    ("networking.k8s.io", "NetworkPolicy", {"spec": {"podSelector": SELECTOR}}, ["x", "app=web", "3h"]),
    (
        "networking.k8s.io",
        "IngressClass",
        {"spec": {"controller": "c", "parameters": {"apiGroup": "g", "kind": "K", "name": "p"}}},
        ["x", "c", "K.g/p", "3h"],
    ),
    (
        "",
        "Node",
        {
            "metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}},
            "spec": {"unschedulable": True},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "nodeInfo": {"kubeletVersion": "v1"},
                "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
            },
        },
        [
            "x",
            "Ready,SchedulingDisabled",
            "control-plane",
            "3h",
            "v1",
            "10.0.0.1",
            "<none>",
            "<unknown>",
            "<unknown>",
            "<unknown>",
        ],
    ),
    ("", "Namespace", {"status": {"phase": "Active"}}, ["x", "Active", "3h"]),
    (
        "",
        "Event",
        {
            "type": "Warning",
            "reason": "BackOff",
            "message": " again \n",
            "count": 4,
            "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec"},
            "source": {"component": "kubelet", "host": "one"},
            "firstTimestamp": ago(minutes=1),
            "lastTimestamp": ago(seconds=1),
        },
        ["1s", "Warning", "BackOff", "pod/p", "spec", "kubelet, one", "again", "60s", 4, "x"],
    ),
    (
        "",
        "Event",
        {
            "eventTime": "2024-05-10T11:59:00.000000Z",
            "reportingComponent": "s",
            "series": {"count": 7, "lastObservedTime": "2024-05-10T11:59:50.500000Z"},
        },
        ["9s", "", "", "", "", "s", "", "60s", 7, "x"],
    ),
    ("", "Secret", {"type": "Opaque", "data": {"a": "", "b": ""}}, ["x", "Opaque", 2, "3h"]),
    ("", "ConfigMap", {"data": {"a": ""}, "binaryData": {"b": ""}}, ["x", 2, "3h"]),
    ("", "ServiceAccount", {}, ["x", 0, "3h"]),
    (
        "",
        "PersistentVolume",
        {
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteMany", "ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Delete",
                "claimRef": {"namespace": "n", "name": "c"},
                "storageClassName": "fast",
            },
            "status": {"phase": "Bound"},
        },
        ["x", "1Gi", "RWO,RWX", "Delete", "Bound", "n/c", "fast", "<unset>", "", "3h", "<unset>"],
    ),
    (
        "",
        "PersistentVolumeClaim",
        {
            "spec": {"volumeName": "v", "storageClassName": "fast", "volumeMode": "Filesystem"},
            "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOncePod"]},
        },
        ["x", "Bound", "v", "1Gi", "RWOP", "fast", "<unset>", "3h", "Filesystem"],
    ),
    (
        "storage.k8s.io",
        "StorageClass",
        {
            "metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
            "provisioner": "p",
        },
        ["x (default)", "p", "Delete", "Immediate", False, "3h"],
    ),
    (
        "autoscaling",
        "HorizontalPodAutoscaler",
        {
            "spec": {
                "scaleTargetRef": {"kind": "Deployment", "name": "web"},
                "minReplicas": 1,
                "maxReplicas": 5,
                "metrics": [
                    {
                        "type": "Resource",
                        "resource": {
                            "name": "cpu",
                            "target": {"type": "Utilization", "averageUtilization": 80},
                        },
                    },
                    {"type": "Pods", "pods": {"metric": {"name": "q"}, "target": {"averageValue": "10"}}},
                    {"type": "External", "external": {"target": {"value": "3"}}},
                ],
            },
            "status": {
                "currentReplicas": 2,
                "currentMetrics": [{"type": "Resource", "resource": {"current": {"averageUtilization": 12}}}],
            },
        },
        ["x", "Deployment/web", "cpu: 12%/80%, <unknown>/10 + 1 more...", "1", 5, 2, "3h"],
    ),
    ("policy", "PodDisruptionBudget", {"spec": {"minAvailable": "50%"}}, ["x", "50%", "N/A", 0, "3h"]),
    (
        "rbac.authorization.k8s.io",
        "RoleBinding",
        {
            "roleRef": {"kind": "Role", "name": "r"},
            "subjects": [
                {"kind": "User", "name": "u"},
                {"kind": "ServiceAccount", "namespace": "n", "name": "s"},
            ],
        },
        ["x", "Role/r", "3h", "u", "", "n/s"],
    ),
    (
        "",
        "ResourceQuota",
        {"status": {"hard": {"pods": "5", "limits.cpu": "2"}, "used": {"pods": "1"}}},
        ["x", "pods: 1/5", "limits.cpu: 0/2", "3h"],
    ),
    ("coordination.k8s.io", "Lease", {"spec": {"holderIdentity": "h"}}, ["x", "h", "3h"]),
    (
        "scheduling.k8s.io",
        "PriorityClass",
        {"value": 10, "globalDefault": True, "preemptionPolicy": "Never"},
        ["x", 10, True, "3h", "Never"],
    ),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration", {"webhooks": [{}, {}]}, ["x", 2, "3h"]),
    (
        "certificates.k8s.io",
        "CertificateSigningRequest",
        {"spec": {"username": "u"}, "status": {"conditions": [{"type": "Approved"}], "certificate": "x"}},
        ["x", "3h", "<none>", "u", "<none>", "Approved,Issued"],
    ),
    ("rbac.authorization.k8s.io", "Role", {}, ["x", ago(hours=3)]),
    ("apiextensions.k8s.io", "CustomResourceDefinition", {}, ["x", ago(hours=3)]),
]


@pytest.mark.parametrize(("group", "name", "resource", "cells"), ROWS)
def test_rows(group: str, name: str, resource: dict[str, Any], cells: list[Any]) -> None:
    assert row(group, name, resource, wide=True) == cells


def test_every_kind_can_be_shown_empty() -> None:
    for found in BUILT_IN:
        shown = table(found, [{"kind": found.kind, "metadata": {"name": "x"}}], NOW)
        assert len(shown["rows"][0]["cells"]) == len(shown["columnDefinitions"]), found


def test_layouts_are_of_kinds_that_are_served() -> None:
    assert {(found.group, found.kind) for found in BUILT_IN} >= set(LAYOUTS)


def test_every_column_is_described() -> None:
    for layout in LAYOUTS.values():
        for column in layout.columns:
            assert column.description.endswith("."), column


def test_what_a_row_carries() -> None:
    resource = {"metadata": {"name": "x"}, "data": {"a": "b"}}
    shown = table(kind("", "ConfigMap"), [resource], NOW, metadata={"resourceVersion": "7"})
    assert shown["metadata"] == {"resourceVersion": "7"}
    assert shown["rows"][0]["object"] == {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"name": "x"},
    }
    assert table(kind("", "ConfigMap"), [resource], NOW, "Object")["rows"][0]["object"] is resource
    without = table(kind("", "ConfigMap"), [resource], NOW, "None", headers=False)
    assert without["rows"][0]["object"] is None
    assert without["columnDefinitions"] is None


CUSTOM = Kind("stable.example.com", "v1", "CronTab", "crontabs")


def test_columns_of_custom_kinds() -> None:
    columns: list[dict[str, Any]] = [
        {"name": "Spec", "type": "string", "jsonPath": ".spec.cronSpec"},
        {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas", "priority": 1},
        {"name": "Ready", "type": "boolean", "jsonPath": '.status.conditions[?(@.type=="Ready")].ok'},
        {"name": "Load", "type": "number", "jsonPath": ".status.load"},
        {"name": "Ports", "type": "string", "jsonPath": ".spec.ports"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        {"name": "Broken", "type": "string", "jsonPath": ".spec[oops"},
    ]
    resource = {
        "metadata": {"name": "x", "creationTimestamp": ago(minutes=5)},
        "spec": {"cronSpec": "* *", "replicas": 3, "ports": [1, 2]},
        "status": {"conditions": [{"type": "Ready", "ok": True}], "load": 2},
    }
    shown = table(CUSTOM, [resource, {"metadata": {"name": "y"}}], NOW, crd_columns=columns)
    assert [column["name"] for column in shown["columnDefinitions"]][:3] == ["Name", "Spec", "Replicas"]
    assert shown["columnDefinitions"][2]["priority"] == 1
    assert shown["rows"][0]["cells"] == ["x", "* *", 3, True, 2.0, "[1,2]", "5m", None]
    assert shown["rows"][1]["cells"] == ["y", None, None, None, None, None, None, None]


def test_custom_kinds_without_columns_show_their_age() -> None:
    shown = table(
        CUSTOM, [{"metadata": {"name": "x", "creationTimestamp": ago(hours=3)}}], NOW, crd_columns=[]
    )
    assert [column["name"] for column in shown["columnDefinitions"]] == ["Name", "Age"]
    assert shown["rows"][0]["cells"] == ["x", "3h"]
    wrong = table(
        CUSTOM,
        [{"metadata": {"name": "x", "creationTimestamp": "soon"}}],
        NOW,
        crd_columns=[],
    )
    assert wrong["rows"][0]["cells"] == ["x", "<invalid>"]
