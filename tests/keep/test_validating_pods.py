"""What Kubernetes refuses in pods and workloads, as golden texts."""

import copy
from typing import Any

import pytest

from fairlead.drivers import definitions
from fairlead.keep import validating_values as v
from fairlead.keep.defaulting import default
from fairlead.keep.kinds import BUILT_IN, Kind
from fairlead.keep.schemas import Schemas
from fairlead.keep.validating import validate

SCHEMAS = Schemas(definitions.load())
POD: dict[str, Any] = {"containers": [{"name": "a", "image": "b"}]}
LABEL = v.LABEL_TEXT
MISMATCH = "`selector` does not match template `labels`"


def kind(name: str) -> Kind:
    return next(one for one in BUILT_IN if one.kind == name)


def ready(name: str, obj: dict[str, Any]) -> dict[str, Any]:
    found, _ = SCHEMAS.check(kind(name), copy.deepcopy(obj), "Strict")
    found.setdefault("metadata", {}).setdefault("name", "x")
    if kind(name).namespaced:
        found["metadata"].setdefault("namespace", "default")
    default(kind(name), found)
    return found


def faults(name: str, obj: dict[str, Any], old: dict[str, Any] | None = None) -> list[str]:
    new = ready(name, obj)
    before = copy.deepcopy(new)
    causes = validate(kind(name), new, ready(name, old) if old is not None else None)
    assert new == before, "validation changes nothing"
    return [f"{cause.field}: {cause.message}" for cause in causes]


def template(spec: dict[str, Any] | None = None, **labels: str) -> dict[str, Any]:
    return {"metadata": {"labels": labels or {"a": "b"}}, "spec": spec if spec is not None else POD}


def workload(**more: Any) -> dict[str, Any]:
    return {"selector": {"matchLabels": {"a": "b"}}, "template": template(), **more}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (POD, []),
        ({}, ["spec.containers: Required value"]),
        (
            {"containers": [{}]},
            ["spec.containers[0].name: Required value", "spec.containers[0].image: Required value"],
        ),
        (
            {"containers": [{"name": "a", "image": "x"}, {"name": "a", "image": "x"}]},
            ['spec.containers[1].name: Duplicate value: "a"'],
        ),
        (
            {"containers": [{"name": "A", "image": " x"}]},
            [
                f'spec.containers[0].name: Invalid value: "A": {LABEL}',
                'spec.containers[0].image: Invalid value: " x": must not have leading or trailing whitespace',
            ],
        ),
        (
            {"restartPolicy": "Sometimes", **POD},
            [
                'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"'
            ],
        ),
        (
            {
                "containers": [
                    {
                        "name": "a",
                        "image": "b",
                        "ports": [{"containerPort": 70000, "protocol": "tcp"}, {"name": "UPPER"}],
                    }
                ]
            },
            [
                "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
                'spec.containers[0].ports[0].protocol: Unsupported value: "tcp": supported values: "SCTP", "TCP", "UDP"',
                'spec.containers[0].ports[1].name: Invalid value: "UPPER": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)',
                'spec.containers[0].ports[1].name: Invalid value: "UPPER": must contain at least one letter (a-z)',
                "spec.containers[0].ports[1].containerPort: Required value",
            ],
        ),
        (
            {
                "containers": [
                    {
                        "name": "a",
                        "image": "b",
                        "volumeMounts": [{"name": "v", "mountPath": "/x"}, {"name": "w"}],
                    }
                ],
                "volumes": [{"name": "w"}],
            },
            [
                'spec.containers[0].volumeMounts[0].name: Not found: "v"',
                "spec.containers[0].volumeMounts[1].mountPath: Required value",
            ],
        ),
        (
            {
                "containers": [
                    {
                        "name": "a",
                        "image": "b",
                        "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}},
                    }
                ]
            },
            [
                'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'
            ],
        ),
        (
            {"containers": [{"name": "a", "image": "b", "resources": {"limits": {"cpus": "1"}}}]},
            [
                'spec.containers[0].resources.limits: Invalid value: "cpus": must be a standard resource for containers',
                'spec.containers[0].resources.requests: Invalid value: "cpus": must be a standard resource for containers',
            ],
        ),
        (
            {
                "containers": [
                    {
                        "name": "a",
                        "image": "b",
                        "env": [
                            {},
                            {"name": "A=B"},
                            {
                                "name": "C",
                                "value": "x",
                                "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}},
                            },
                        ],
                    }
                ]
            },
            [
                "spec.containers[0].env[0].name: Required value",
                "spec.containers[0].env[1].name: Invalid value: \"A=B\": a valid environment variable name must consist only of printable ASCII characters other than '='",
                'spec.containers[0].env[2].valueFrom: Invalid value: "": may not be specified when `value` is not empty',
            ],
        ),
        (
            {
                "containers": [
                    {
                        "name": "a",
                        "image": "b",
                        "livenessProbe": {"successThreshold": 2, "tcpSocket": {"port": 0}},
                    }
                ]
            },
            [
                "spec.containers[0].livenessProbe.tcpSocket.port: Invalid value: 0: must be between 1 and 65535, inclusive",
                "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
            ],
        ),
        (
            {"containers": [{"name": "a", "image": "b", "readinessProbe": {}}]},
            ["spec.containers[0].readinessProbe: Required value: must specify a handler type"],
        ),
        (
            {
                **POD,
                "volumes": [
                    {"name": "v", "secret": {}, "emptyDir": {}},
                    {"name": "v", "hostPath": {"path": "a/../b"}},
                ],
            },
            [
                "spec.volumes[0].emptyDir: Forbidden: may not specify more than 1 volume type",
                "spec.volumes[0].secret.secretName: Required value",
                'spec.volumes[1].name: Duplicate value: "v"',
                "spec.volumes[1].hostPath.path: Invalid value: \"a/../b\": must not contain '..'",
            ],
        ),
        (
            {
                **POD,
                "tolerations": [{"key": "a", "operator": "Like"}, {"operator": "Exists", "effect": "Never"}],
            },
            [
                'spec.tolerations[0].operator: Unsupported value: "Like": supported values: "Equal", "Exists"',
                'spec.tolerations[1].effect: Unsupported value: "Never": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"',
            ],
        ),
        (
            {
                **POD,
                "initContainers": [
                    {"name": "i", "image": "x", "readinessProbe": {"exec": {"command": ["a"]}}}
                ],
            },
            [
                "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always"
            ],
        ),
        (
            {**POD, "dnsPolicy": "None"},
            ["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
        ),
        (
            {**POD, "terminationGracePeriodSeconds": -1},
            ["spec.terminationGracePeriodSeconds: Invalid value: -1: must be greater than or equal to 0"],
        ),
    ],
)
def test_pods(spec: dict[str, Any], expected: list[str]) -> None:
    assert faults("Pod", {"spec": spec}) == expected


UPDATES = (
    "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing "
    "tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n"
)


def test_a_pod_may_change_its_image_and_little_else() -> None:
    old = {"spec": POD}
    assert (
        faults(
            "Pod", {"spec": {"containers": [{"name": "a", "image": "b", "imagePullPolicy": "Always"}]}}, old
        )
        == []
    )
    image = {"name": "a", "image": "c:1", "imagePullPolicy": "Always"}
    assert faults("Pod", {"spec": {"containers": [image]}}, old) == []
    assert faults("Pod", {"spec": {**POD, "tolerations": [{"operator": "Exists"}]}}, old) == []
    found = faults("Pod", {"spec": {**POD, "nodeName": "n"}}, old)
    assert found == [f'{UPDATES}+ nodeName: "n"']
    two = {"containers": [*POD["containers"], {"name": "z", "image": "b"}]}
    assert faults("Pod", {"spec": two}, old) == [
        "spec.containers: Forbidden: pod updates may not add or remove containers"
    ]


@pytest.mark.parametrize(
    ("name", "spec", "expected"),
    [
        ("Deployment", workload(), []),
        (
            "Deployment",
            {"template": template()},
            [
                "spec.selector: Required value",
                f'spec.template.metadata.labels: Invalid value: map[string]string{{"a":"b"}}: {MISMATCH}',
            ],
        ),
        (
            "Deployment",
            workload(template=template(x="y", k="v")),
            [
                f'spec.template.metadata.labels: Invalid value: map[string]string{{"k":"v", "x":"y"}}: {MISMATCH}'
            ],
        ),
        (
            "Deployment",
            workload(strategy={"type": "Recreate", "rollingUpdate": {}}),
            [
                "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"
            ],
        ),
        (
            "Deployment",
            workload(strategy={"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 0}}, replicas=-1),
            [
                "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
                'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: intstr.IntOrString{Type:0, IntVal:0, StrVal:""}: may not be 0 when `maxSurge` is 0',
            ],
        ),
        (
            "Deployment",
            workload(template=template({**POD, "restartPolicy": "Never"})),
            ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'],
        ),
        (
            "DaemonSet",
            {"selector": {}, "template": template()},
            [
                "spec.selector: Invalid value: v1.LabelSelector{MatchLabels:map[string]string(nil), MatchExpressions:[]v1.LabelSelectorRequirement(nil)}: empty selector is invalid for daemonset"
            ],
        ),
        (
            "Job",
            {"template": template()},
            ['spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'],
        ),
        ("Job", {"template": template({**POD, "restartPolicy": "Never"})}, []),
        (
            "CronJob",
            {
                "schedule": "* * *",
                "jobTemplate": {"spec": {"template": template({**POD, "restartPolicy": "Never"})}},
            },
            ['spec.schedule: Invalid value: "* * *": expected exactly 5 fields, found 3: [* * *]'],
        ),
        (
            "PodDisruptionBudget",
            {"minAvailable": "150%", "selector": {}},
            [
                'spec.minAvailable: Invalid value: intstr.IntOrString{Type:1, IntVal:0, StrVal:"150%"}: must not be greater than 100%'
            ],
        ),
        (
            "HorizontalPodAutoscaler",
            {"scaleTargetRef": {"kind": "Deployment", "name": "x"}, "minReplicas": 3, "maxReplicas": 1},
            ["spec.maxReplicas: Invalid value: 1: must be greater than or equal to `minReplicas`"],
        ),
    ],
)
def test_workloads(name: str, spec: dict[str, Any], expected: list[str]) -> None:
    assert faults(name, {"spec": spec}) == expected
