"""Kubernetes' defaults: what goes in, and all that is there afterwards."""

import copy
from typing import Any

import pytest

from fairlead.keep.defaulting import default
from fairlead.keep.defaulting_pods import pull_policy, qos_class
from fairlead.keep.kinds import BUILT_IN, Kind

POD_SPEC = {
    "dnsPolicy": "ClusterFirst",
    "restartPolicy": "Always",
    "securityContext": {},
    "terminationGracePeriodSeconds": 30,
    "schedulerName": "default-scheduler",
}
CONTAINER = {
    "imagePullPolicy": "Always",
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "resources": {},
}
HOOK = {
    "failurePolicy": "Fail",
    "matchPolicy": "Equivalent",
    "timeoutSeconds": 10,
    "namespaceSelector": {},
    "objectSelector": {},
}


def kind(name: str, version: str = "") -> Kind:
    return next(one for one in BUILT_IN if one.kind == name and (not version or one.version == version))


def filled(name: str, obj: dict[str, Any], version: str = "") -> dict[str, Any]:
    obj = copy.deepcopy(obj)
    default(kind(name, version), obj)
    again = copy.deepcopy(obj)
    default(kind(name, version), again)
    assert again == obj, "a second time changes nothing"
    return obj


def template(**more: Any) -> dict[str, Any]:
    return {"metadata": {}, "spec": {**POD_SPEC, **more}}


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        (
            "Pod",
            {"spec": {"containers": [{"name": "a", "image": "nginx"}]}},
            {
                "spec": {
                    **POD_SPEC,
                    "enableServiceLinks": True,
                    "containers": [{"name": "a", "image": "nginx", **CONTAINER}],
                },
                "status": {"phase": "Pending", "qosClass": "BestEffort"},
            },
        ),
        (
            "Deployment",
            {"spec": {"template": {"spec": {}}}},
            {
                "spec": {
                    "replicas": 1,
                    "revisionHistoryLimit": 10,
                    "progressDeadlineSeconds": 600,
                    "strategy": {
                        "type": "RollingUpdate",
                        "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
                    },
                    "template": template(),
                }
            },
        ),
        (
            "StatefulSet",
            {"spec": {"template": {}, "volumeClaimTemplates": [{"metadata": {"name": "d"}}]}},
            {
                "spec": {
                    "replicas": 1,
                    "revisionHistoryLimit": 10,
                    "podManagementPolicy": "OrderedReady",
                    "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
                    "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
                    "volumeClaimTemplates": [
                        {
                            "apiVersion": "v1",
                            "kind": "PersistentVolumeClaim",
                            "metadata": {"name": "d"},
                            "spec": {"volumeMode": "Filesystem"},
                            "status": {"phase": "Pending"},
                        }
                    ],
                    "template": template(),
                }
            },
        ),
        (
            "DaemonSet",
            {},
            {
                "spec": {
                    "revisionHistoryLimit": 10,
                    "updateStrategy": {
                        "type": "RollingUpdate",
                        "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0},
                    },
                }
            },
        ),
        (
            "Job",
            {
                "metadata": {"name": "j", "uid": "u"},
                "spec": {"template": {"metadata": {"labels": {"a": "b"}}}},
            },
            {
                "metadata": {"name": "j", "uid": "u", "labels": {"a": "b"}},
                "spec": {
                    "completions": 1,
                    "parallelism": 1,
                    "backoffLimit": 6,
                    "completionMode": "NonIndexed",
                    "suspend": False,
                    "podReplacementPolicy": "TerminatingOrFailed",
                    "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}},
                    "template": {
                        "metadata": {
                            "labels": {
                                "a": "b",
                                "controller-uid": "u",
                                "job-name": "j",
                                "batch.kubernetes.io/controller-uid": "u",
                                "batch.kubernetes.io/job-name": "j",
                            }
                        },
                        "spec": POD_SPEC,
                    },
                },
            },
        ),
        (
            "CronJob",
            {"spec": {"jobTemplate": {"spec": {"template": {}}}}},
            {
                "spec": {
                    "concurrencyPolicy": "Allow",
                    "suspend": False,
                    "successfulJobsHistoryLimit": 3,
                    "failedJobsHistoryLimit": 1,
                    "jobTemplate": {"metadata": {}, "spec": {"template": template()}},
                }
            },
        ),
        (
            "Service",
            {"spec": {"ports": [{"port": 80}]}},
            {
                "spec": {
                    "sessionAffinity": "None",
                    "type": "ClusterIP",
                    "internalTrafficPolicy": "Cluster",
                    "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
                }
            },
        ),
        (
            "Service",
            {"spec": {"type": "LoadBalancer", "sessionAffinity": "ClientIP"}},
            {
                "spec": {
                    "type": "LoadBalancer",
                    "sessionAffinity": "ClientIP",
                    "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}},
                    "externalTrafficPolicy": "Cluster",
                    "internalTrafficPolicy": "Cluster",
                    "allocateLoadBalancerNodePorts": True,
                }
            },
        ),
        (
            "Service",
            {"spec": {"type": "ExternalName"}},
            {"spec": {"type": "ExternalName", "sessionAffinity": "None"}},
        ),
        (
            "Secret",
            {"stringData": {"a": "b"}, "data": {"a": "eA==", "c": "eA=="}},
            {"type": "Opaque", "data": {"a": "Yg==", "c": "eA=="}},
        ),
        (
            "Namespace",
            {"metadata": {"name": "n"}},
            {
                "metadata": {"name": "n", "labels": {"kubernetes.io/metadata.name": "n"}},
                "spec": {"finalizers": ["kubernetes"]},
                "status": {"phase": "Active"},
            },
        ),
        (
            "PersistentVolumeClaim",
            {"spec": {"dataSource": {"kind": "PersistentVolumeClaim", "name": "x"}}},
            {
                "spec": {
                    "volumeMode": "Filesystem",
                    "dataSource": {"kind": "PersistentVolumeClaim", "name": "x"},
                    "dataSourceRef": {"kind": "PersistentVolumeClaim", "name": "x"},
                },
                "status": {"phase": "Pending"},
            },
        ),
        ("StorageClass", {}, {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"}),
        ("PriorityClass", {}, {"preemptionPolicy": "PreemptLowerPriority"}),
        (
            "NetworkPolicy",
            {"spec": {"egress": [{"ports": [{"port": 1}]}]}},
            {
                "spec": {
                    "podSelector": {},
                    "egress": [{"ports": [{"port": 1, "protocol": "TCP"}]}],
                    "policyTypes": ["Ingress", "Egress"],
                }
            },
        ),
        (
            "RoleBinding",
            {"subjects": [{"kind": "User"}, {"kind": "ServiceAccount"}]},
            {
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io"},
                "subjects": [
                    {"kind": "User", "apiGroup": "rbac.authorization.k8s.io"},
                    {"kind": "ServiceAccount"},
                ],
            },
        ),
        (
            "LimitRange",
            {"spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1Gi"}}]}},
            {
                "spec": {
                    "limits": [
                        {
                            "type": "Container",
                            "max": {"cpu": "2"},
                            "min": {"memory": "1Gi"},
                            "default": {"cpu": "2"},
                            "defaultRequest": {"cpu": "2", "memory": "1Gi"},
                        }
                    ]
                }
            },
        ),
        (
            "MutatingWebhookConfiguration",
            {"webhooks": [{"rules": [{}], "clientConfig": {"service": {}}}]},
            {
                "webhooks": [
                    {
                        **HOOK,
                        "reinvocationPolicy": "Never",
                        "rules": [{"scope": "*"}],
                        "clientConfig": {"service": {"port": 443}},
                    }
                ]
            },
        ),
        (
            "EndpointSlice",
            {"ports": [{"port": 80}]},
            {"ports": [{"port": 80, "name": "", "protocol": "TCP"}]},
        ),
        ("ConfigMap", {"data": {"a": "b"}}, {"data": {"a": "b"}}),
    ],
)
def test_defaults(name: str, given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert filled(name, given) == expected


def test_autoscalers_differ_by_version() -> None:
    assert filled("HorizontalPodAutoscaler", {}, "v1") == {"spec": {"minReplicas": 1}}
    found = filled("HorizontalPodAutoscaler", {"spec": {"behavior": {}}}, "v2")["spec"]
    assert found["metrics"][0]["resource"]["target"] == {"type": "Utilization", "averageUtilization": 80}
    assert [one["type"] for one in found["behavior"]["scaleUp"]["policies"]] == ["Pods", "Percent"]
    assert "stabilizationWindowSeconds" not in found["behavior"]["scaleDown"]


def test_requests_follow_limits_in_pods_but_not_in_templates() -> None:
    spec = {"containers": [{"resources": {"limits": {"cpu": "1"}}}]}
    assert filled("Pod", {"spec": spec})["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "1"}
    found = filled("Deployment", {"spec": {"template": {"spec": spec}}})["spec"]["template"]["spec"]
    assert "requests" not in found["containers"][0]["resources"]


def test_probes_ports_and_volumes_are_filled_in() -> None:
    spec = {
        "hostNetwork": True,
        "serviceAccount": "sa",
        "containers": [
            {
                "ports": [{"containerPort": 80}],
                "livenessProbe": {"httpGet": {"port": 80}},
                "readinessProbe": {"grpc": {"port": 1}, "periodSeconds": 5},
                "lifecycle": {"preStop": {"httpGet": {"port": 1}}},
                "env": [{"valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            }
        ],
        "volumes": [
            {"name": "a"},
            {"name": "b", "secret": {}},
            {"name": "c", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
            {"name": "d", "hostPath": {"path": "/"}},
        ],
    }
    found = filled("Pod", {"spec": spec})["spec"]
    container = found["containers"][0]
    assert container["ports"] == [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}]
    numbers = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
    assert container["livenessProbe"] == {"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, **numbers}
    assert container["readinessProbe"] == {"grpc": {"port": 1, "service": ""}, **numbers, "periodSeconds": 5}
    assert container["lifecycle"]["preStop"]["httpGet"]["scheme"] == "HTTP"
    assert container["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"
    assert found["serviceAccountName"] == "sa"
    assert found["volumes"] == [
        {"name": "a", "emptyDir": {}},
        {"name": "b", "secret": {"defaultMode": 420}},
        {
            "name": "c",
            "projected": {
                "defaultMode": 420,
                "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}],
            },
        },
        {"name": "d", "hostPath": {"path": "/", "type": ""}},
    ]


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.2", "IfNotPresent"),
        ("localhost:5000/a/b", "Always"),
        ("localhost:5000/a/b:v1", "IfNotPresent"),
        ("a@sha256:" + "0" * 64, "IfNotPresent"),
        ("a:latest@sha256:" + "0" * 64, "Always"),
        ("", "IfNotPresent"),
        ("UPPER", "IfNotPresent"),
    ],
)
def test_pull_policies_follow_the_tag(image: str, policy: str) -> None:
    assert pull_policy(image) == policy


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ([{}], "BestEffort"),
        ([{"requests": {"cpu": "1"}}], "Burstable"),
        (
            [{"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1000m", "memory": "1Gi"}}],
            "Guaranteed",
        ),
        (
            [{"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}}, {}],
            "Burstable",
        ),
    ],
)
def test_quality_of_service(resources: list[dict[str, Any]], expected: str) -> None:
    assert qos_class({"containers": [{"resources": one} for one in resources]}) == expected


def test_amounts_are_rounded_up_to_thousandths() -> None:
    spec = {"containers": [{"resources": {"requests": {"cpu": "1500u"}}}]}
    assert filled("Pod", {"spec": spec})["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "2m"}
