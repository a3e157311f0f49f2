"""The tables of constructors: every word in them is about something that Kubernetes has."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.drivers import definitions
from fairlead.render import building, constructors
from fairlead.render import constructors_words as words

DEFINITIONS: dict[str, Any] = definitions.load()
SHORT: dict[str, set[str]] = {}
for _name, _definition in DEFINITIONS.items():
    SHORT.setdefault(_name.rpartition(".")[2], set()).update(_definition.get("properties", {}))


@pytest.mark.parametrize(
    "field", sorted({*words.SHAPES, *words.KEY_FORMS, *words.VALUE_FORMS, *words.DISTINCT})
)
def test_what_is_said_of_a_field_is_said_of_one_that_there_is(field: str) -> None:
    short, _, name = field.removesuffix("[]").partition(".")
    assert name in SHORT[short]


@pytest.mark.parametrize("short", sorted(words.REQUIRED))
def test_what_is_required_is_there(short: str) -> None:
    assert set(words.REQUIRED[short]) <= SHORT[short]


def test_every_form_and_rule_is_one_that_the_prelude_has() -> None:
    known = building.kubernetes(DEFINITIONS)  # it looks all forms up
    shorts = {row["short"] for row in known.table.values()}
    from fairlead.render.prelude_rules import RULES

    named = [line.split('"')[1] for line in RULES.splitlines() if line.startswith('    "') and '": [' in line]
    assert named
    assert set(named) <= shorts


def test_every_kind_can_be_loaded_by_its_short_and_its_full_group() -> None:
    found = constructors.groups(DEFINITIONS)
    for (api, kind), name in constructors.kinds(DEFINITIONS).items():
        group, _, version = api.rpartition("/")
        if kind in {"DeleteOptions", "WatchEvent"}:
            continue  # they are in every group, and in none
        assert kind in found[f"{group or 'core'}/{version}"], (api, name)


@pytest.mark.parametrize(
    ("schema", "shape"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 5}, ["int", 1, 5]),
        ({"type": "integer", "format": "int32"}, ["int", -(2**31), 2**31 - 1]),
        ({"type": "integer", "minimum": 1, "exclusiveMinimum": True}, ["int", 2, 2**63 - 1]),
        ({"type": "string", "enum": ["a", "b"]}, ["enum", ["a", "b"]]),
        ({"type": "string", "pattern": "^a"}, ["matching", "^a", None, None, ""]),
        ({"type": "string", "minLength": 1}, ["matching", "", 1, None, ""]),
        ({"x-kubernetes-int-or-string": True, "anyOf": []}, ["int-or-text"]),
        ({"type": "array", "items": {"type": "boolean"}, "maxItems": 2}, ["list", ["bool"], None, None, 2]),
        ({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}, ["list", ["text", ""], [], None, None]),
        ({"type": "object", "additionalProperties": {"type": "number"}}, ["map", ["number", None, None], ""]),
        ({"type": "object", "x-kubernetes-preserve-unknown-fields": True}, ["anything"]),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, ["object", "crd example.com/v1.Thing.spec"]),
        ({}, ["anything"]),
        ({"type": 5, "enum": 3}, ["anything"]),
    ],
)  # fmt: skip
def test_a_custom_resources_schema_becomes_shapes(schema: dict[str, Any], shape: list[Any]) -> None:
    table, loads = constructors.custom([crd({"spec": schema})])
    assert loads == {"example.com/v1": {"Thing": "crd example.com/v1.Thing"}}
    assert table["crd example.com/v1.Thing"]["fields"]["spec"] == shape


def crd(properties: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": ["spec"]}
    return {
        "kind": "CustomResourceDefinition",
        "spec": {
            "group": "example.com",
            "names": {"kind": "Thing"},
            "versions": [{"name": "v1", "schema": {"openAPIV3Schema": schema}}],
        },
    }


@pytest.mark.parametrize(
    "broken", [{}, {"spec": 5}, {"spec": {"group": "a", "names": {"kind": "B"}, "versions": [3, {}]}}]
)
def test_a_broken_definition_is_left_out(broken: dict[str, Any]) -> None:
    assert constructors.custom([broken]) == ({}, {})
