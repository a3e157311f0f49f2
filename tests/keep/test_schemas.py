"""Types for merging, and decoding with the API server's own texts."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.drivers import definitions
from fairlead.keep.decoding import Undecodable, stamp
from fairlead.keep.errors import Refusal
from fairlead.keep.kinds import BUILT_IN, Catalogue, Kind
from fairlead.keep.nodes import Node
from fairlead.keep.schemas import Schemas, duplicates

SCHEMAS = Schemas(definitions.load())
CATALOGUE = Catalogue()


def kind(name: str) -> Kind:
    return next(one for one in BUILT_IN if one.kind == name)


def at(name: str, path: str) -> Node:
    node = SCHEMAS.node(kind(name))
    for key in path.split("."):
        node = node.items if key == "[]" else node.child(key)
    return node


def refused(name: str, obj: Any, mode: Any = "Strict") -> str:
    with pytest.raises(Refusal) as caught:
        SCHEMAS.check(kind(name), obj, mode)
    assert (caught.value.code, caught.value.reason) == (400, "BadRequest")
    return caught.value.message


class TestNodes:
    def test_lists_know_both_their_keys(self) -> None:
        ports = at("Pod", "spec.containers.[].ports")
        assert (ports.type, ports.list_type) == ("list", "map")
        assert ports.keys == ("containerPort", "protocol")
        assert ports.key_defaults == {"protocol": "TCP"}
        assert ports.merge_key == "containerPort"
        assert ports.merge_strategy == {"merge"}

    @pytest.mark.parametrize(
        ("name", "path", "keys", "merge_key"),
        [
            ("Service", "spec.ports", ("port", "protocol"), "port"),
            ("Pod", "spec.topologySpreadConstraints", ("topologyKey", "whenUnsatisfiable"), "topologyKey"),
            ("Pod", "spec.containers", ("name",), "name"),
            ("Pod", "metadata.ownerReferences", ("uid",), "uid"),
            ("Pod", "spec.tolerations", (), ""),
        ],
    )
    def test_keys_of_applying_and_merging_differ(
        self, name: str, path: str, keys: tuple[str, ...], merge_key: str
    ) -> None:
        node = at(name, path)
        assert (node.keys, node.merge_key) == (keys, merge_key)

    def test_strategies_may_retain_keys(self) -> None:
        assert at("Pod", "spec.volumes").merge_strategy == {"merge", "retainKeys"}
        assert at("Deployment", "spec.strategy").merge_strategy == {"retainKeys"}

    def test_maps_and_structs_may_be_atomic(self) -> None:
        assert at("Pod", "spec.nodeSelector").map_type == "atomic"
        assert at("Deployment", "spec.selector").map_type == "atomic"
        assert at("ConfigMap", "data").map_type == "granular"

    @pytest.mark.parametrize(
        ("name", "path", "scalar"),
        [
            ("Deployment", "spec.replicas", "int32"),
            ("Pod", "metadata.generation", "int64"),
            ("Pod", "spec.containers.[].resources.limits.cpu", "quantity"),
            ("Service", "spec.ports.[].targetPort", "int-or-string"),
            ("Secret", "data.x", "bytes"),
            ("Pod", "metadata.creationTimestamp", "time"),
            ("Lease", "spec.renewTime", "micro-time"),
            ("Pod", "spec.hostNetwork", "bool"),
        ],
    )
    def test_scalars(self, name: str, path: str, scalar: str) -> None:
        assert at(name, path).scalar == scalar

    def test_what_can_be_anything_is_untyped(self) -> None:
        assert at("ControllerRevision", "data").type == "untyped"
        assert at("Pod", "metadata.managedFields.[].fieldsV1").type == "untyped"
        assert at("Pod", "no.such.field").type == "untyped"
        assert SCHEMAS.node(Kind("a.b", "v1", "C", "cs")).type == "untyped"

    def test_every_field_of_every_kind_can_be_walked(self) -> None:
        seen: set[int] = set()

        def walk(node: Node) -> None:
            if id(node) in seen:
                return
            seen.add(id(node))
            for field in node.fields.values():
                walk(field)
            if node.type in {"list", "map"}:
                walk(node.items if node.type == "list" else node.values)

        for one in BUILT_IN:
            walk(SCHEMAS.node(one))
        assert len(seen) > 1000


@pytest.mark.parametrize(
    ("name", "obj", "text"),
    [
        (
            "Deployment",
            {"spec": {"replicas": "3"}},
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            "Deployment",
            {"spec": {"replicas": 2**31}},
            "json: cannot unmarshal number 2147483648 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            "Pod",
            {"spec": {"containers": {}}},
            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            "Deployment",
            {"spec": {"template": {"spec": {"containers": [{"env": [{"name": "A", "value": 1}]}]}}}},
            "json: cannot unmarshal number into Go struct field EnvVar.spec.template.spec.containers.env.value of type string",
        ),
        (
            "Pod",
            {"metadata": {"labels": {"a": True}}},
            "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            "Pod",
            {"metadata": "x"},
            "json: cannot unmarshal string into Go struct field Pod.metadata of type v1.ObjectMeta",
        ),
        ("Pod", [], "json: cannot unmarshal array into Go value of type v1.Pod"),
        (
            "Service",
            {"spec": {"ports": [{"port": 1, "targetPort": False}]}},
            "json: cannot unmarshal bool into Go struct field ServicePort.spec.ports.targetPort of type int32",
        ),
        (
            "Pod",
            {"spec": {"containers": [{"resources": {"limits": {"cpu": "lots"}}}]}},
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        ("Secret", {"data": {"a": "!"}}, "illegal base64 data at input byte 0"),
        ("Secret", {"data": {"a": "YWI=YWI="}}, "illegal base64 data at input byte 4"),
        (
            "Pod",
            {"metadata": {"creationTimestamp": "yesterday"}},
            'parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006"',
        ),
        ("Pod", {"spec": {"container": []}}, 'strict decoding error: unknown field "spec.container"'),
        (
            "Pod",
            {"a": 1, "spec": {"containers": [{"imag": "x", "env": [{}, {"nam": "x"}]}]}},
            'strict decoding error: unknown field "a", unknown field "spec.containers[0].imag", unknown field "spec.containers[0].env[1].nam"',
        ),
    ],
)
def test_texts_of_what_cannot_be_decoded(name: str, obj: Any, text: str) -> None:
    assert refused(name, obj) == f'{name} in version "v1" cannot be handled as a {name}: {text}'


def test_unknown_fields_warn_or_pass_and_are_dropped() -> None:
    given = {"spec": {"foo": 1, "nodeName": "n"}}
    kept = {"spec": {"nodeName": "n"}}
    assert SCHEMAS.check(kind("Pod"), copy.deepcopy(given), "Warn") == (kept, ['unknown field "spec.foo"'])
    assert SCHEMAS.check(kind("Pod"), copy.deepcopy(given), "Ignore") == (kept, [])


def test_nulls_and_empty_optional_containers_are_dropped() -> None:
    obj = {
        "metadata": {"creationTimestamp": None, "labels": {}, "annotations": {"a": None}},
        "spec": {"containers": [], "volumes": [], "securityContext": {}, "nodeName": ""},
    }
    assert SCHEMAS.check(kind("Pod"), obj, "Strict")[0] == {
        "metadata": {"annotations": {"a": ""}},
        "spec": {"containers": [], "securityContext": {}, "nodeName": ""},
    }


def test_amounts_and_times_are_written_canonically() -> None:
    obj = {
        "metadata": {"creationTimestamp": "2026-01-01T02:00:00.5+02:00"},
        "spec": {"containers": [{"resources": {"limits": {"cpu": 0.5, "memory": "1024Mi"}}}]},
    }
    found, _ = SCHEMAS.check(kind("Pod"), obj, "Strict")
    assert found["metadata"]["creationTimestamp"] == "2026-01-01T00:00:00Z"
    assert found["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "500m", "memory": "1Gi"}


def test_schemas_in_definitions_may_be_booleans() -> None:
    schema = {
        "type": "object",
        "additionalProperties": True,
        "properties": {"a": {"items": {"type": "string"}}},
    }
    obj = {"spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": schema}}]}}
    found, _ = SCHEMAS.check(kind("CustomResourceDefinition"), copy.deepcopy(obj), "Strict")
    assert found == obj


@pytest.mark.parametrize(
    ("text", "micro", "expected"),
    [
        ("2026-01-01T00:00:00Z", False, "2026-01-01T00:00:00Z"),
        ("2026-01-01T00:00:00Z", True, "2026-01-01T00:00:00.000000Z"),
        ("2026-01-01T00:00:00.123456789Z", True, "2026-01-01T00:00:00.123456Z"),
        ("2026-01-01T05:30:00+05:30", False, "2026-01-01T00:00:00Z"),
    ],
)
def test_times(text: str, micro: bool, expected: str) -> None:
    assert stamp(text, micro=micro) == expected


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("2026-01-01", 'cannot parse "" as "T"'),
        ("2026-13-01T00:00:00Z", "month out of range"),
        ("2026-02-30T00:00:00Z", "day out of range"),
        ("2026-01-01T00:00:00", 'cannot parse "" as "Z07:00"'),
        ("2026-01-01T00:00:00Zx", 'extra text: "x"'),
    ],
)
def test_times_that_are_none(text: str, fault: str) -> None:
    with pytest.raises(Undecodable, match=fault):
        stamp(text)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "spec", "containers", "metadata", "x", "ports"]), inner, max_size=3
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_anything_is_decoded_or_refused_and_what_passes_passes_again(value: Any) -> None:
    for name in ("Pod", "Service", "CustomResourceDefinition"):
        try:
            found, _ = SCHEMAS.check(kind(name), copy.deepcopy(value), "Ignore")
        except Refusal:
            continue
        again, warnings = SCHEMAS.check(kind(name), copy.deepcopy(found), "Strict")
        assert (again, warnings) == (found, [])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{}", []),
        ('{"a":1,"b":{"a":2}}', []),
        ('{"a":1,"a":2}', ['duplicate field "a"']),
        ('{"spec":{"ports":[{"x":1},{"port":1,"port":2}]}}', ['duplicate field "spec.ports[1].port"']),
    ],
)
def test_duplicate_keys_are_named(text: str, found: list[str]) -> None:
    assert duplicates(text) == found
