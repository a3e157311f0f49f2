"""Custom resources: what a definition defines, and what its schema prunes, fills in and refuses."""

import copy
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.drivers import definitions
from fairlead.keep import extending, extensions
from fairlead.keep.defaulting import default
from fairlead.keep.errors import Refusal
from fairlead.keep.kinds import Catalogue, Kind
from fairlead.keep.schemas import Schemas

SCHEMAS = Schemas(definitions.load())
NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = datetime(2026, 1, 2, tzinfo=UTC)
CRD = Kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions")


def definition(schema: dict[str, Any] | None = None, **version: Any) -> dict[str, Any]:
    found = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wi"]},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema or {"type": "object"}},
                    **version,
                }
            ],
        },
    }
    default(CRD, found)
    return found


def taught(spec: dict[str, Any]) -> tuple[Schemas, Kind]:
    schemas, catalogue = SCHEMAS.copy(), Catalogue()
    found = definition({"type": "object", "properties": {"spec": spec}})
    extending.establish(found, catalogue, NOW)
    extending.take_up(found, catalogue, schemas)
    kind = catalogue.kind("example.com", "Widget")
    assert kind is not None
    return schemas, kind


def run(spec: dict[str, Any], value: Any) -> tuple[Any, list[str], list[str]]:
    """Return what becomes of a value under .spec, the warnings and the faults."""
    schemas, kind = taught(spec)
    obj, warnings = schemas.check(
        kind, {"apiVersion": "example.com/v1", "kind": "Widget", "spec": copy.deepcopy(value)}, "Warn"
    )
    schemas.default(kind, obj)
    return obj["spec"], warnings, [f"{cause.field}: {cause.message}" for cause in schemas.faults(kind, obj)]


def struct(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


STRING: dict[str, Any] = {"type": "string"}
INTEGER: dict[str, Any] = {"type": "integer"}


@pytest.mark.parametrize(
    ("schema", "value", "kept", "warnings"),
    [
        (struct(a=STRING), {"a": "x", "b": 1}, {"a": "x"}, ['unknown field "spec.b"']),
        ({**struct(a=STRING), "x-kubernetes-preserve-unknown-fields": True}, {"b": 1}, {"b": 1}, []),
        (
            {**struct(a=struct(x=STRING)), "x-kubernetes-preserve-unknown-fields": True},
            {"a": {"y": 1}, "b": 1},
            {"a": {}, "b": 1},
            ['unknown field "spec.a.y"'],
        ),
        (
            {"type": "array", "items": struct(a=STRING)},
            [{"a": "x"}, {"b": 1}],
            [{"a": "x"}, {}],
            ['unknown field "spec[1].b"'],
        ),
        (
            {"type": "object", "additionalProperties": struct(a=STRING)},
            {"k": {"b": 1}},
            {"k": {}},
            ['unknown field "spec.k.b"'],
        ),
        ({"type": "object", "additionalProperties": True}, {"k": {"b": 1}}, {"k": {"b": 1}}, []),
        (
            {"type": "object", "x-kubernetes-embedded-resource": True},
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {}},
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}},
            ['unknown field "spec.spec"'],
        ),
    ],
)
def test_pruning(schema: dict[str, Any], value: Any, kept: Any, warnings: list[str]) -> None:
    assert run(schema, value)[:2] == (kept, warnings)


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        (struct(a={**STRING, "default": "x"}), {}, {"a": "x"}),
        (struct(a={**STRING, "default": "x"}), {"a": "y"}, {"a": "y"}),
        (struct(a={**STRING, "default": "x"}), {"a": None}, {"a": "x"}),
        (struct(a={**STRING, "default": "x", "nullable": True}), {"a": None}, {"a": None}),
        (struct(a={**struct(b={**INTEGER, "default": 1}), "default": {}}), {}, {"a": {"b": 1}}),
        (struct(a=struct(b={**INTEGER, "default": 1})), {}, {}),
        (
            struct(a={"type": "array", "items": struct(b={**INTEGER, "default": 1})}),
            {"a": [{}]},
            {"a": [{"b": 1}]},
        ),
        (
            {"type": "object", "additionalProperties": struct(b={**INTEGER, "default": 1})},
            {"k": {}},
            {"k": {"b": 1}},
        ),
    ],
)
def test_defaults(schema: dict[str, Any], value: Any, expected: Any) -> None:
    assert run(schema, value) == (expected, [], [])


def test_a_default_is_not_shared_between_objects() -> None:
    schemas, kind = taught(struct(a={"type": "array", "items": STRING, "default": []}))
    first: dict[str, Any] = {"spec": {}}
    second: dict[str, Any] = {"spec": {}}
    schemas.default(kind, first)
    first["spec"]["a"].append("x")
    schemas.default(kind, second)
    assert second == {"spec": {"a": []}}


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        (
            struct(a=INTEGER),
            {"a": "1"},
            'spec.a: Invalid value: "string": spec.a in body must be of type integer: "string"',
        ),
        (
            struct(a=STRING),
            {"a": None},
            'spec.a: Invalid value: "null": spec.a in body must be of type string: "null"',
        ),
        (
            struct(a={"x-kubernetes-int-or-string": True}),
            {"a": []},
            'spec.a: Invalid value: "array": spec.a in body must be of type integer,string: "array"',
        ),
        (
            struct(a={**INTEGER, "minimum": 1}),
            {"a": 0},
            "spec.a: Invalid value: 0: spec.a in body should be greater than or equal to 1",
        ),
        (
            struct(a={**INTEGER, "maximum": 1, "exclusiveMaximum": True}),
            {"a": 1},
            "spec.a: Invalid value: 1: spec.a in body should be less than 1",
        ),
        (
            struct(a={**INTEGER, "multipleOf": 3}),
            {"a": 4},
            "spec.a: Invalid value: 4: spec.a in body should be a multiple of 3",
        ),
        (
            struct(a={**STRING, "minLength": 2}),
            {"a": "x"},
            'spec.a: Invalid value: "x": spec.a in body should be at least 2 chars long',
        ),
        (struct(a={**STRING, "maxLength": 1}), {"a": "xy"}, "spec.a: Too long: may not be more than 1 byte"),
        (
            struct(a={**STRING, "pattern": "^a$"}),
            {"a": "a\n"},
            "spec.a: Invalid value: \"a\\n\": spec.a in body should match '^a$'",
        ),
        (
            struct(a={**STRING, "enum": ["x", "y"]}),
            {"a": "z"},
            'spec.a: Unsupported value: "z": supported values: "x", "y"',
        ),
        (
            struct(a={**STRING, "format": "date-time"}),
            {"a": "z"},
            'spec.a: Invalid value: "z": spec.a in body must be of type date-time: "z"',
        ),
        (
            struct(a={"type": "array", "items": STRING, "maxItems": 1}),
            {"a": ["x", "y"]},
            "spec.a: Too many: 2: must have at most 1 item",
        ),
        (
            struct(a={"type": "array", "items": STRING, "minItems": 1}),
            {"a": []},
            "spec.a: Invalid value: 0: spec.a in body should have at least 1 items",
        ),
        (
            struct(a={"type": "array", "items": STRING, "x-kubernetes-list-type": "set"}),
            {"a": ["x", "x"]},
            'spec.a[1]: Duplicate value: "x"',
        ),
        ({**struct(a=STRING), "required": ["a"]}, {}, "spec.a: Required value"),
        (
            struct(a={"type": "object", "x-kubernetes-embedded-resource": True}),
            {"a": {"apiVersion": "v1"}},
            "spec.a.kind: Required value: must not be empty",
        ),
        (
            {**struct(a=STRING, b=STRING), "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
            {"a": "x", "b": "y"},
            'spec: Invalid value: "": "spec" must validate one and only one schema (oneOf). Found 2 valid alternatives',
        ),
        (
            {**struct(a=STRING), "not": {"required": ["a"]}},
            {"a": "x"},
            'spec: Invalid value: "": "spec" must not validate the schema (not)',
        ),
    ],
)
def test_faults(schema: dict[str, Any], value: Any, expected: str) -> None:
    assert run(schema, value)[2] == [expected]


def test_duplicate_keys_of_a_map_count_their_defaults() -> None:
    port = {**struct(port=INTEGER, protocol={**STRING, "default": "TCP"}), "required": ["port"]}
    schema = struct(
        a={
            "type": "array",
            "items": port,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["port", "protocol"],
        }
    )
    _, _, faults = run(schema, {"a": [{"port": 1}, {"port": 1, "protocol": "TCP"}]})
    assert faults == ['spec.a[1]: Duplicate value: map[string]interface {}{"port":1, "protocol":"TCP"}']
    schemas, kind = taught(schema)
    node = schemas.node(kind).child("spec").child("a")
    assert (node.list_type, node.keys, node.key_defaults) == (
        "map",
        ("port", "protocol"),
        {"protocol": "TCP"},
    )


@pytest.mark.parametrize("value", [1, 2.0, "80%"])
def test_numbers_that_are_whole_are_integers(value: Any) -> None:
    if not isinstance(value, str):
        assert run(struct(a=INTEGER), {"a": value})[2] == []
    assert run(struct(a={"x-kubernetes-int-or-string": True}), {"a": value})[2] == []


def test_metadata_is_decoded_as_everywhere() -> None:
    schemas, kind = taught(struct())
    with pytest.raises(Refusal, match=r"ObjectMeta\.metadata\.labels of type string"):
        schemas.check(kind, {"metadata": {"labels": {"a": 1}}}, "Strict")
    with pytest.raises(
        Refusal, match=r'strict decoding error: unknown field "metadata.nme", unknown field "spek"'
    ):
        schemas.check(kind, {"metadata": {"nme": 1}, "spek": {}}, "Strict")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=10,
)
_DEEP = struct(
    a={**INTEGER, "default": 1},
    b={"type": "array", "items": struct(c={**STRING, "default": "x"})},
    c={"type": "object", "additionalProperties": struct(d=STRING)},
)
_TAUGHT = taught(_DEEP)


@given(json_values)
def test_pruning_and_defaulting_settle_at_once(value: Any) -> None:
    schemas, kind = _TAUGHT
    obj, _ = schemas.check(kind, {"spec": value}, "Ignore")
    schemas.default(kind, obj)
    again, warnings = schemas.check(kind, json.loads(json.dumps(obj)), "Strict")
    schemas.default(kind, again)
    assert (again, warnings) == (obj, [])


def test_a_definition_is_established_and_served() -> None:
    catalogue, schemas = Catalogue(), SCHEMAS.copy()
    found = definition(
        subresources={
            "status": {},
            "scale": {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n"},
        }
    )
    assert extensions.versions(found) == []
    assert extending.establish(found, catalogue, NOW) == []
    assert found["status"]["storedVersions"] == ["v1"]
    assert found["status"]["acceptedNames"]["listKind"] == "WidgetList"
    assert [(one["type"], one["status"], one["reason"]) for one in found["status"]["conditions"]] == [
        ("NamesAccepted", "True", "NoConflicts"),
        ("Established", "True", "InitialNamesAccepted"),
    ]
    extending.take_up(found, catalogue, schemas)
    kind = catalogue.served("example.com", "v1", "widgets")
    assert kind is not None
    assert kind.short_names == ("wi",)
    assert kind.subresources == {"status", "scale"}
    before = copy.deepcopy(found["status"])
    extending.establish(found, catalogue, LATER)
    assert found["status"] == before
    extending.let_go(found, catalogue, schemas)
    assert catalogue.kind("example.com", "Widget") is None
    assert schemas.custom(kind) is None


def test_a_version_that_is_served_no_longer_goes() -> None:
    catalogue, schemas = Catalogue(), SCHEMAS.copy()
    old = definition()
    old["spec"]["versions"].append(
        {**copy.deepcopy(old["spec"]["versions"][0]), "name": "v1alpha1", "storage": False}
    )
    extending.establish(old, catalogue, NOW)
    extending.take_up(old, catalogue, schemas)
    assert [one.version for one in catalogue.all() if one.plural == "widgets"] == ["v1", "v1alpha1"]
    new = copy.deepcopy(old)
    new["spec"]["versions"][1]["served"] = False
    extending.take_up(new, catalogue, schemas, old)
    assert [one.version for one in catalogue.all() if one.plural == "widgets"] == ["v1"]


def test_names_that_are_taken_are_a_conflict() -> None:
    catalogue, schemas = Catalogue(), SCHEMAS.copy()
    first = definition()
    extending.establish(first, catalogue, NOW)
    extending.take_up(first, catalogue, schemas)
    second = definition()
    second["metadata"]["name"] = "widgetts.example.com"
    second["spec"]["names"]["plural"] = "widgetts"
    extending.establish(second, catalogue, NOW)
    accepted, established = second["status"]["conditions"]
    assert (accepted["status"], accepted["reason"], accepted["message"]) == (
        "False",
        "SingularConflict",
        '"widget" is already in use',
    )
    assert (established["status"], established["reason"]) == ("False", "NotAccepted")
    assert extensions.versions(second) == []


def test_what_is_not_supported_is_named_with_its_path() -> None:
    found = definition()
    found["spec"]["conversion"] = {"strategy": "Webhook"}
    assert extending.establish(found, Catalogue(), NOW) == [
        "spec.conversion: conversion by webhook is not supported yet; versions are served unconverted",
    ]
