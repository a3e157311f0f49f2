"""Strategic merges: anchors, merge keys, order, null and $patch."""

import copy
from typing import Any

import pytest
import yaml

from fairlead.dialects.kyverno.merging import Unmergeable, merge


def read(text: str) -> Any:
    return yaml.safe_load(text)


POD = read("""
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: n, labels: {app: web}}
spec:
  containers:
  - {name: a, image: "a:latest", imagePullPolicy: Never}
  - {name: b, image: "b:1.0", ports: [{containerPort: 80, protocol: TCP}]}
  volumes: [{name: v, hostPath: {path: /x}}]
""")


def patched(patch: str, resource: Any = POD) -> Any:
    before, document = copy.deepcopy(resource), read(patch)
    said = copy.deepcopy(document)
    result = merge(resource, document)
    assert (resource, document) == (before, said), "nothing that is handed in may change"
    return result


def test_mappings_merge_and_null_removes() -> None:
    result = patched("{metadata: {labels: {app: null, tier: x}}, spec: {hostNetwork: false}}")
    assert result["metadata"] == {"name": "p", "namespace": "n", "labels": {"tier": "x"}}
    assert result["spec"]["hostNetwork"] is False
    assert result["spec"]["containers"] == POD["spec"]["containers"]


def test_new_items_of_a_keyed_list_come_first() -> None:
    result = patched("{spec: {containers: [{name: side, image: s}]}}")
    assert [one["name"] for one in result["spec"]["containers"]] == ["side", "a", "b"]


def test_items_merge_by_their_keys() -> None:
    result = patched("""
    spec:
      containers:
      - name: b
        ports: [{containerPort: 80, protocol: UDP}, {containerPort: 80, protocol: TCP, name: web}]
        env: [{name: X, value: "1"}]
    """)
    by_name = {one["name"]: one for one in result["spec"]["containers"]}
    assert by_name["b"] == {
        "name": "b",
        "image": "b:1.0",
        "ports": [
            {"containerPort": 80, "protocol": "UDP"},
            {"containerPort": 80, "protocol": "TCP", "name": "web"},
        ],
        "env": [{"name": "X", "value": "1"}],
    }


@pytest.mark.parametrize("kind", ["Widget", "Unknown"])
def test_lists_of_kinds_that_kubernetes_does_not_define_are_replaced(kind: str) -> None:
    thing = {"apiVersion": "example.io/v1", "kind": kind, "spec": {"containers": [{"name": "a", "x": 1}]}}
    assert patched("{spec: {containers: [{name: b}]}}", thing)["spec"] == {"containers": [{"name": "b"}]}


def test_lists_without_keys_are_replaced() -> None:
    result = patched("{spec: {tolerations: [{key: x}]}}", {**POD, "spec": {"tolerations": [{"key": "y"}]}})
    assert result["spec"]["tolerations"] == [{"key": "x"}]


def test_a_finalizer_is_added_once() -> None:
    pod = {**POD, "metadata": {"finalizers": ["a", "b"]}}
    assert patched("{metadata: {finalizers: [c, a]}}", pod)["metadata"]["finalizers"] == ["c", "a", "b"]


def test_directives() -> None:
    result = patched(
        "{spec: {containers: [{name: a, $patch: delete}], volumes: [{$patch: replace}, {name: w}]}}"
    )
    assert [one["name"] for one in result["spec"]["containers"]] == ["b"]
    assert result["spec"]["volumes"] == [{"name": "w"}]
    result = patched("{metadata: {labels: {$patch: replace, only: this}}}")
    assert result["metadata"]["labels"] == {"only": "this"}
    with pytest.raises(Unmergeable, match="unknown patch strategy 'zap'"):
        patched("{spec: {$patch: zap}}")


def test_add_if_not_present() -> None:
    result = patched("{metadata: {labels: {+(app): other, +(tier): x}}, spec: {+(dnsPolicy): Default}}")
    assert result["metadata"]["labels"] == {"app": "web", "tier": "x"}
    assert result["spec"]["dnsPolicy"] == "Default"


def test_add_if_not_present_in_each_item() -> None:
    result = patched("""{spec: {containers: [{(name): "*", +(imagePullPolicy): Always}]}}""")
    policies = {one["name"]: one.get("imagePullPolicy") for one in result["spec"]["containers"]}
    assert policies == {"a": "Never", "b": "Always"}


def test_a_condition_chooses_items() -> None:
    result = patched("""{spec: {containers: [{(image): "*:latest", imagePullPolicy: Always}]}}""")
    assert [one.get("imagePullPolicy") for one in result["spec"]["containers"]] == ["Always", None]
    assert all("(image)" not in one for one in result["spec"]["containers"])


def test_a_condition_that_does_not_hold_leaves_the_object_alone() -> None:
    assert patched("{metadata: {labels: {(app): api, tier: x}}}") is POD
    assert patched("{metadata: {(annotations): {x: y}, labels: {tier: x}}}") is POD
    result = patched("{metadata: {labels: {(app): web, tier: x}}}")
    assert result["metadata"]["labels"] == {"app": "web", "tier": "x"}


def test_a_global_condition_stops_everything() -> None:
    patch = "{{metadata: {{labels: {{tier: x}}}}, spec: {{containers: [{{<(image): '{}'}}]}}}}"
    assert patched(patch.format("*:9")) is POD
    result = patched(patch.format("*:latest"))
    assert result["metadata"]["labels"]["tier"] == "x"
    assert result["spec"]["containers"] == POD["spec"]["containers"]


def test_conditions_compare_operators_and_texts() -> None:
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 3, "paused": True}}
    assert patched("{spec: {(replicas): '>2', +(x): 1}}", deployment)["spec"]["x"] == 1
    assert patched("{spec: {(paused): true, +(x): 1}}", deployment)["spec"]["x"] == 1
    assert patched("{spec: {(replicas): '<2', +(x): 1}}", deployment) is deployment


def test_a_nested_condition_about_a_volume() -> None:
    result = patched("{spec: {volumes: [{(hostPath): {path: /x}, readOnly: true}]}}")
    assert result["spec"]["volumes"] == [{"name": "v", "hostPath": {"path": "/x"}, "readOnly": True}]


def test_shapes_that_do_not_fit_are_told() -> None:
    with pytest.raises(Unmergeable, match=r"wrong Node Kind for metadata\.labels expected: SequenceNode"):
        patched("{metadata: {labels: [x]}}")
    with pytest.raises(Unmergeable, match="wrong Node Kind for spec"):
        patched("{spec: text}")


def test_a_bottomless_patch_is_refused() -> None:
    deep: Any = {}
    for _ in range(50_000):
        deep = {"a": deep}
    with pytest.raises(Unmergeable, match="nested too deeply"):
        merge(POD, deep)
