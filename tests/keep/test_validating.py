"""What Kubernetes refuses in its built-in kinds, as golden texts."""

import copy
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fairlead.drivers import definitions
from fairlead.keep import validating_values as v
from fairlead.keep.defaulting import default
from fairlead.keep.kinds import BUILT_IN, Catalogue, Kind
from fairlead.keep.schemas import Schemas
from fairlead.keep.validating import validate

SCHEMAS = Schemas(definitions.load())
CORPUS = Path(os.environ.get("FAIRLEAD_CORPUS", Path(__file__).parents[2].parent / "shared" / "corpus"))
POD: dict[str, Any] = {"containers": [{"name": "a", "image": "b"}]}
RBAC = "rbac.authorization.k8s.io"


def kind(name: str) -> Kind:
    return next(one for one in BUILT_IN if one.kind == name)


def ready(name: str, obj: dict[str, Any]) -> dict[str, Any]:
    found, _ = SCHEMAS.check(kind(name), copy.deepcopy(obj), "Strict")
    found.setdefault("metadata", {}).setdefault("name", "x")
    if kind(name).namespaced:
        found["metadata"].setdefault("namespace", "default")
    default(kind(name), found)
    return found


def test_events_of_the_newer_group_need_more() -> None:
    newer = next(one for one in BUILT_IN if one.group == "events.k8s.io")
    obj = {"metadata": {"name": "x", "namespace": "default"}, "type": "Odd"}
    assert [f"{cause.field}: {cause.message}" for cause in validate(newer, obj)] == [
        "eventTime: Required value",
        "reportingController: Required value",
        "reportingInstance: Required value",
        "action: Required value",
        "reason: Required value",
        'type: Invalid value: "": has invalid value: Odd',
    ]
    assert faults("Event", {"type": "Odd"}) == []


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


SUBDOMAIN = v.SUBDOMAIN_TEXT
LABEL = v.LABEL_TEXT


@pytest.mark.parametrize(
    ("name", "metadata", "expected"),
    [
        ("ConfigMap", {"name": "ok.example"}, []),
        ("ConfigMap", {"name": "Bad"}, [f'metadata.name: Invalid value: "Bad": {SUBDOMAIN}']),
        (
            "ConfigMap",
            {"name": "a" * 254},
            [f'metadata.name: Invalid value: "{"a" * 254}": must be no more than 253 characters'],
        ),
        ("Namespace", {"name": "a.b"}, [f'metadata.name: Invalid value: "a.b": {LABEL}']),
        ("Service", {"name": "1a"}, [f'metadata.name: Invalid value: "1a": {v.LABEL_1035_TEXT}']),
        ("Role", {"name": "a/b"}, ["metadata.name: Invalid value: \"a/b\": may not contain '/'"]),
        ("ClusterRole", {"name": "system:x"}, []),
        ("ConfigMap", {"name": "", "generateName": "a-"}, []),
        ("ConfigMap", {"name": ""}, ["metadata.name: Required value: name or generateName is required"]),
        ("Node", {"namespace": "x"}, ["metadata.namespace: Forbidden: not allowed on this type"]),
        (
            "ConfigMap",
            {"labels": {"a": "-"}},
            [
                (
                    'metadata.labels: Invalid value: "-": a valid label must be an empty string or consist of alphanumeric '
                    "characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  "
                    "or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
                )
            ],
        ),
        (
            "ConfigMap",
            {"annotations": {"a": "x" * 262144}},
            ["metadata.annotations: Too long: may not be more than 262144 bytes"],
        ),
        (
            "ConfigMap",
            {"finalizers": ["mine"]},
            [
                'metadata.finalizers: Invalid value: "mine": name is neither a standard finalizer name nor is it fully qualified'
            ],
        ),
        (
            "ConfigMap",
            {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p"}]},
            ['metadata.ownerReferences.uid: Invalid value: "": uid must not be empty'],
        ),
    ],
)
def test_metadata(name: str, metadata: dict[str, Any], expected: list[str]) -> None:
    obj: dict[str, Any] = {"metadata": metadata}
    if name == "Service":
        obj["spec"] = {"ports": [{"port": 1}]}
    assert faults(name, obj) == expected


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        (
            "Deployment",
            {"spec": workload(selector={"matchLabels": {"a": "b"}}, template=template(a="b", c="d"))},
            {"spec": workload(selector={"matchLabels": {"c": "d"}}, template=template(a="b", c="d"))},
            [
                'spec.selector: Invalid value: v1.LabelSelector{MatchLabels:map[string]string{"c":"d"}, MatchExpressions:[]v1.LabelSelectorRequirement(nil)}: field is immutable'
            ],
        ),
        (
            "StatefulSet",
            {"spec": workload(serviceName="a")},
            {"spec": workload(serviceName="b")},
            [
                "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
            ],
        ),
        ("StatefulSet", {"spec": workload(replicas=1)}, {"spec": workload(replicas=2)}, []),
        (
            "ConfigMap",
            {"immutable": True, "data": {"a": "b"}},
            {"data": {"a": "c"}},
            [
                "immutable: Forbidden: field is immutable when `immutable` is set",
                "data: Forbidden: field is immutable when `immutable` is set",
            ],
        ),
        ("Secret", {"type": "a/b"}, {"type": "c/d"}, ['type: Invalid value: "c/d": field is immutable']),
        (
            "Service",
            {"spec": {"clusterIP": "10.96.0.1", "ports": [{"port": 1}]}},
            {"spec": {"clusterIP": "10.96.0.2", "ports": [{"port": 1}]}},
            ['spec.clusterIPs[0]: Invalid value: []string{"10.96.0.2"}: may not change once set'],
        ),
        (
            "RoleBinding",
            {"roleRef": {"kind": "Role", "name": "a"}},
            {"roleRef": {"kind": "Role", "name": "b"}},
            [
                f'roleRef: Invalid value: rbac.RoleRef{{APIGroup:"{RBAC}", Kind:"Role", Name:"b"}}: cannot change roleRef'
            ],
        ),
        (
            "StorageClass",
            {"provisioner": "a/b"},
            {"provisioner": "a/c"},
            ["provisioner: Forbidden: updates to provisioner are forbidden."],
        ),
        ("PriorityClass", {"value": 1}, {"value": 2}, ["value: Forbidden: may not be changed in an update."]),
        (
            "ConfigMap",
            {"metadata": {"name": "x", "uid": "u"}},
            {"metadata": {"name": "x", "uid": "w"}},
            ['metadata.uid: Invalid value: "w": field is immutable'],
        ),
    ],
)
def test_what_may_not_change(
    name: str, old: dict[str, Any], new: dict[str, Any], expected: list[str]
) -> None:
    assert faults(name, new, old) == expected


def backend(**service: Any) -> dict[str, Any]:
    return {"service": {"name": "s", "port": {"number": 80}, **service}}


@pytest.mark.parametrize(
    ("name", "obj", "expected"),
    [
        ("Service", {"spec": {}}, ["spec.ports: Required value"]),
        ("Service", {"spec": {"clusterIP": "None"}}, []),
        (
            "Service",
            {"spec": {"ports": [{"port": 80}, {"port": 80}]}},
            [
                "spec.ports[0].name: Required value",
                "spec.ports[1].name: Required value",
                'spec.ports[1]: Duplicate value: core.ServicePort{Name:"", Protocol:"TCP", AppProtocol:(*string)(nil), Port:80, TargetPort:intstr.IntOrString{Type:0, IntVal:0, StrVal:""}, NodePort:0}',
            ],
        ),
        (
            "Service",
            {"spec": {"type": "Wrong", "ports": [{"port": 1}]}},
            [
                'spec.type: Unsupported value: "Wrong": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"'
            ],
        ),
        (
            "Service",
            {"spec": {"ports": [{"port": 1, "nodePort": 30000}]}},
            ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
        ),
        (
            "Ingress",
            {"spec": {}},
            [
                "spec: Invalid value: []networking.IngressRule(nil): either `defaultBackend` or `rules` must be specified"
            ],
        ),
        (
            "Ingress",
            {
                "spec": {
                    "rules": [
                        {
                            "host": "1.2.3.4",
                            "http": {
                                "paths": [
                                    {"path": "x", "pathType": "Prefix", "backend": backend()},
                                    {"backend": {}},
                                ]
                            },
                        }
                    ]
                }
            },
            [
                'spec.rules[0].host: Invalid value: "1.2.3.4": must be a DNS name, not an IP address',
                'spec.rules[0].http.paths[0].path: Invalid value: "x": must be an absolute path',
                "spec.rules[0].http.paths[1].pathType: Required value: pathType must be specified",
                "spec.rules[0].http.paths[1].backend: Required value: resource or service backend is required",
            ],
        ),
        (
            "NetworkPolicy",
            {
                "spec": {
                    "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}]}]
                }
            },
            [
                'spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`: "10.0.0.0/8"'
            ],
        ),
        (
            "ConfigMap",
            {"data": {"": "x", "a/b": "y"}},
            [
                f'data[]: Invalid value: "": {v.KEY_TEXT}',
                f'data[a/b]: Invalid value: "a/b": {v.KEY_TEXT}',
            ],
        ),
        (
            "ConfigMap",
            {"data": {"a": "x" * (1024 * 1024 + 1)}},
            [": Too long: may not be more than 1048576 bytes"],
        ),
        ("Secret", {"data": {"": "eA=="}}, [f'data[]: Invalid value: "": {v.KEY_TEXT}']),
        (
            "Secret",
            {"type": "kubernetes.io/tls"},
            ["data[tls.crt]: Required value", "data[tls.key]: Required value"],
        ),
        (
            "Role",
            {"rules": [{}, {"verbs": ["get"], "nonResourceURLs": ["/x"]}]},
            [
                "rules[0].verbs: Required value: verbs must contain at least one value",
                "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
                "rules[0].resources: Required value: resource rules must supply at least one resource",
                'rules[1].nonResourceURLs: Invalid value: []string{"/x"}: namespaced rules cannot apply to non-resource URLs',
            ],
        ),
        (
            "ClusterRoleBinding",
            {"roleRef": {"kind": "Role", "name": "x"}, "subjects": [{"kind": "Robot", "name": "r"}]},
            [
                'roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"',
                'subjects[0].kind: Unsupported value: "Robot": supported values: "Group", "ServiceAccount", "User"',
            ],
        ),
        (
            "PersistentVolumeClaim",
            {"spec": {"accessModes": ["Any"]}},
            [
                'spec.accessModes: Unsupported value: "Any": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"',
                "spec.resources[storage]: Required value",
            ],
        ),
        (
            "ResourceQuota",
            {"spec": {"hard": {"pods": "-1", "things": "1"}}},
            [
                'spec.hard[pods]: Invalid value: "-1": must be greater than or equal to 0',
                'spec.hard[things]: Invalid value: "things": must be a standard resource for quota',
            ],
        ),
        (
            "LimitRange",
            {"spec": {"limits": [{"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}}]}},
            [
                'spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1',
                'spec.limits[0].defaultRequest[cpu]: Invalid value: "1": min value 2 is greater than default request value 1',
                'spec.limits[0].default[cpu]: Invalid value: "1": min value 2 is greater than default value 1',
            ],
        ),
        (
            "PriorityClass",
            {"value": 2000000000},
            ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"],
        ),
        (
            "Lease",
            {"spec": {"leaseDurationSeconds": 0}},
            ["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"],
        ),
        (
            "Endpoints",
            {"subsets": [{"addresses": [{"ip": "127.0.0.1"}], "ports": [{"port": 0}]}]},
            [
                'subsets[0].addresses[0].ip: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
                "subsets[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            ],
        ),
        (
            "ValidatingWebhookConfiguration",
            {"webhooks": [{"name": "a.b", "clientConfig": {}, "admissionReviewVersions": ["v1"]}]},
            [
                'webhooks[0].name: Invalid value: "a.b": should be a domain with at least three segments separated by dots',
                "webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun",
                "webhooks[0].clientConfig: Required value: exactly one of url or service is required",
            ],
        ),
        (
            "CustomResourceDefinition",
            {
                "spec": {
                    "group": "example.com",
                    "scope": "Namespaced",
                    "names": {"plural": "ws", "kind": "W"},
                    "versions": [{"name": "v1", "served": True}],
                }
            },
            [
                'metadata.name: Invalid value: "x": must be spec.names.plural+"."+spec.group',
                "spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required",
                'spec.versions: Invalid value: []string{"v1"}: must have exactly one version marked as storage version',
            ],
        ),
    ],
)
def test_other_kinds(name: str, obj: dict[str, Any], expected: list[str]) -> None:
    assert faults(name, obj) == expected


@given(st.text(max_size=70))
def test_names_are_judged_as_their_expressions_say(text: str) -> None:
    good = bool(text) and len(text) <= 63 and all(c in "abcdefghijklmnopqrstuvwxyz0123456789-" for c in text)
    good = good and text[0] != "-" and text[-1] != "-"
    assert (v.label(text) == []) is good
    assert not good or v.subdomain(text) == []


def manifests() -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted((CORPUS / "apps").rglob("*.y*ml")):
        try:
            documents = list(yaml.safe_load_all(path.read_text()))
        except yaml.YAMLError:
            continue  # templates of charts are not YAML
        for document in documents:
            if isinstance(document, dict) and "kind" in document:
                yield path, document


@pytest.mark.corpus
@pytest.mark.skipif(not CORPUS.is_dir(), reason=f"the shared corpus is not at {CORPUS}")
def test_real_manifests_pass() -> None:
    catalogue = Catalogue()
    count = 0
    for path, document in manifests():
        group, _, version = document["apiVersion"].rpartition("/")
        found = catalogue.kind(group, document["kind"], version)
        if found is None:
            continue
        obj, warnings = SCHEMAS.check(found, document, "Strict")
        default(found, obj)
        causes = validate(found, obj)
        assert (warnings, causes) == ([], []), f"{path}: {causes}"
        count += 1
    assert count > 50
