"""x-kubernetes-validations: what rules see, what they refuse and when, and which rules are refused themselves."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.keep import rules
from fairlead.keep.ruletypes import escaped, type_of_schema

INTEGER = {"type": "integer"}
NUMBER = {"type": "number"}
STRING = {"type": "string"}


def struct(*said: dict[str, Any], **properties: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "object", "properties": properties}
    if said:
        found["x-kubernetes-validations"] = list(said)
    return found


def rule(text: str, **more: Any) -> dict[str, Any]:
    return {"rule": text, **more}


def root(spec: dict[str, Any], *said: dict[str, Any]) -> dict[str, Any]:
    return struct(*said, spec=spec)


def refused(schema: dict[str, Any], spec: Any, old: Any = None) -> list[str]:
    assert rules.check(schema, "schema") == []
    validate = rules.ruling(schema)
    assert validate is not None
    was = None if old is None else {"kind": "Widget", "metadata": {"name": "w"}, "spec": old}
    obj = {"kind": "Widget", "metadata": {"name": "w"}, "spec": spec}
    return [f"{one.field}: {one.message}" for one in validate(obj, was)]


PASSES: list[tuple[dict[str, Any], Any]] = [
    (struct(rule("self.a <= self.b"), a=INTEGER, b=INTEGER), {"a": 1, "b": 2}),
    (struct(rule("self.a < 1.5"), a=NUMBER), {"a": 1}),
    (struct(rule("self.a / 2.0 == 0.5"), a=NUMBER), {"a": 1}),
    (struct(rule("!has(self.a) || self.a == 'x'"), a=STRING), {}),
    (struct(rule("self.a__dash__b == 1 && self.c__dot__d == 2"), **{"a-b": INTEGER, "c.d": INTEGER}), {"a-b": 1, "c.d": 2}),
    (struct(rule("self.__namespace__ == 'x'"), namespace=STRING), {"namespace": "x"}),
    (struct(rule("self.x__underscores__y == 1"), x__y=INTEGER), {"x__y": 1}),
    (
        struct(
            rule("self.start < self.end && self.end - self.start == self.length"),
            start={"type": "string", "format": "date-time"},
            end={"type": "string", "format": "date-time"},
            length={"type": "string", "format": "duration"},
        ),
        {"start": "2024-01-01T00:00:00Z", "end": "2024-01-01T01:00:00Z", "length": "1h"},
    ),
    (struct(rule("self.data == b'hello'"), data={"type": "string", "format": "byte"}), {"data": "aGVsbG8="}),
    (struct(rule("self.data.size() == 5"), data={"type": "string", "format": "byte"}), {"data": "aGVsbG8="}),
    (struct(rule("type(self.port) == int ? self.port < 9 : self.port == 'http'"), port={"x-kubernetes-int-or-string": True}), {"port": "http"}),
    (struct(rule("self.labels.all(k, self.labels[k] != '')"), labels={"type": "object", "additionalProperties": STRING}), {"labels": {"a": "b"}}),
    (
        struct(
            rule("self.tags == ['b', 'a'] && (self.tags + ['a', 'c']).size() == 3"),
            tags={"type": "array", "items": STRING, "x-kubernetes-list-type": "set"},
        ),
        {"tags": ["a", "b"]},
    ),
    (
        struct(
            rule("(self.items + [self.items[0]]).size() == 2"),
            items={
                "type": "array",
                "items": struct(name=STRING, size=INTEGER),
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            },
        ),
        {"items": [{"name": "a", "size": 1}, {"name": "b", "size": 2}]},
    ),
    (struct(rule("self.a == null || self.a > 1"), a={"type": "integer", "nullable": True}), {"a": None}),
    (struct(rule("self.size == quantity('1Gi').asInteger()"), size=INTEGER), {"size": 1073741824}),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "value"), PASSES, ids=lambda one: str(one)[:60])
def test_a_rule_sees_what_the_schema_types(spec: dict[str, Any], value: Any) -> None:
    assert refused(root(spec), value) == []


def test_the_root_has_a_name_and_nothing_that_the_schema_does_not_say() -> None:
    schema = root(struct(a=INTEGER), rule("self.metadata.name == 'w' && self.kind == 'Widget'"))
    assert refused(schema, {"a": 1}) == []
    wrong = root(struct(a=INTEGER), rule("self.metadata.labels.size() == 0"))
    assert "undefined field 'labels'" in rules.check(wrong, "schema")[0].message


FAILS: list[tuple[dict[str, Any], Any, str]] = [
    (rule("self.a > 1"), {"a": 1}, 'spec: Invalid value: "object": failed rule: self.a > 1'),
    (rule("self.a > 1", message=" too small "), {"a": 1}, 'spec: Invalid value: "object": too small'),
    (
        rule("self.a > 1", message="small", messageExpression="'a is %d'.format([self.a])"),
        {"a": 1},
        'spec: Invalid value: "object": a is 1',
    ),
    (
        rule("self.a > 1", message="small", messageExpression="'a is %s'.format([self.b])"),
        {"a": 1},
        'spec: Invalid value: "object": small',
    ),
    (
        rule("self.a > 1", fieldPath=".a", reason="FieldValueForbidden"),
        {"a": 1},
        "spec.a: Forbidden: failed rule: self.a > 1",
    ),
    (rule("self.a > 1", reason="FieldValueRequired"), {"a": 1}, "spec: Required value: failed rule: self.a > 1"),
    (rule("self.b == 'x'"), {"a": 1}, 'spec: Invalid value: "object": no such key: b evaluating rule: self.b == \'x\''),
    (rule("1 / self.a > 0"), {"a": 0}, 'spec: Invalid value: "object": division by zero evaluating rule: 1 / self.a > 0'),
    (
        rule("self.either > 3"),
        {"a": 1, "either": "x"},
        "spec: Invalid value: \"object\": 'no such overload': call arguments did not match a supported operator, function or macro signature for rule: self.either > 3",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("said", "value", "text"), FAILS, ids=lambda one: str(one)[:50])
def test_what_fails_is_told_in_kubernetes_words(said: dict[str, Any], value: Any, text: str) -> None:
    either = {"x-kubernetes-int-or-string": True}
    assert refused(root(struct(said, a=INTEGER, b=STRING, either=either)), value) == [text]


def test_a_scalar_is_shown_and_paths_go_through_lists_and_maps() -> None:
    item = {**INTEGER, "x-kubernetes-validations": [rule("self > 1")]}
    schema = root(
        struct(
            a=item,
            many={"type": "array", "items": item},
            named={"type": "object", "additionalProperties": item},
        )
    )
    assert refused(schema, {"a": 0, "many": [2, 1], "named": {"x": 1}}) == [
        "spec.a: Invalid value: 0: failed rule: self > 1",
        "spec.many[1]: Invalid value: 1: failed rule: self > 1",
        "spec.named[x]: Invalid value: 1: failed rule: self > 1",
    ]


def test_all_of_has_rules_of_its_own() -> None:
    spec = {**struct(a=INTEGER), "allOf": [{"x-kubernetes-validations": [rule("self.a > 1")]}]}
    assert refused(root(spec), {"a": 1}) == ['spec: Invalid value: "object": failed rule: self.a > 1']


def test_transitions() -> None:
    schema = root(struct(rule("self.a >= oldSelf.a", message="never less"), a=INTEGER))
    assert refused(schema, {"a": 1}) == []
    assert refused(schema, {"a": 1}, {"a": 1}) == []
    assert refused(schema, {"a": 1}, {"a": 2}) == ['spec: Invalid value: "object": never less']


def test_an_optional_old_self_is_there_on_creation_too() -> None:
    said = rule("oldSelf.hasValue() ? oldSelf.value().a == self.a : self.a == 0", optionalOldSelf=True)
    schema = root(struct(said, a=INTEGER))
    assert refused(schema, {"a": 0}) == []
    assert len(refused(schema, {"a": 1})) == 1
    assert refused(schema, {"a": 3}, {"a": 3}) == []


def test_items_of_a_map_list_are_known_by_their_keys() -> None:
    items = {
        "type": "array",
        "items": struct(rule("self.size >= oldSelf.size"), name=STRING, size=INTEGER),
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
    }
    schema = root(struct(items=items))
    old = {"items": [{"name": "a", "size": 1}, {"name": "b", "size": 5}]}
    assert refused(schema, {"items": [{"name": "b", "size": 5}, {"name": "c", "size": 0}]}, old) == []
    assert refused(schema, {"items": [{"name": "b", "size": 4}]}, old) == [
        'spec.items[0]: Invalid value: "object": failed rule: self.size >= oldSelf.size'
    ]


def test_what_an_update_leaves_alone_is_not_held_against_it() -> None:
    schema = root(struct(b=INTEGER, a={**INTEGER, "x-kubernetes-validations": [rule("self > 1")]}))
    assert refused(schema, {"a": 0, "b": 1}, {"a": 0, "b": 2}) == []
    assert len(refused(schema, {"a": 1, "b": 1}, {"a": 0, "b": 2})) == 1


@pytest.mark.parametrize(
    ("said", "place", "text"),
    [
        (
            rule("self.nope > 1"),
            "rule",
            "ERROR: <input>:1:5: undefined field 'nope'\n | self.nope > 1\n | ....^",
        ),
        (rule("self.a"), "rule", "cel expression must evaluate to a bool"),
        (rule("  "), "rule", "Required value: rule is not specified"),
        (rule("self.a > 'x'"), "rule", "found no matching overload for '_>_' applied to '(int, string)'"),
        (rule("self.a > 1", message="a\nb"), "message", "message must not contain line breaks"),
        (rule("self.a >\n1"), "message", "message must be specified if rule contains line breaks"),
        (
            rule("self.a > 1", messageExpression="1"),
            "messageExpression",
            "messageExpression must evaluate to a string",
        ),
        (rule("self.a > 1", messageExpression="x"), "messageExpression", "undeclared reference to 'x'"),
        (rule("self.a > 1", reason="Odd"), "reason", "Unsupported value"),
        (rule("self.a > 1", fieldPath=".b"), "fieldPath", "does not refer to a valid field"),
        (
            rule("self.a > 1", optionalOldSelf=True),
            "optionalOldSelf",
            "may not be set if oldSelf is not used in rule",
        ),
    ],
)
def test_a_rule_that_cannot_work_is_refused_with_its_definition(
    said: dict[str, Any], place: str, text: str
) -> None:
    (found,) = rules.check(root(struct(said, a=INTEGER)), "schema")
    assert found.field == f"schema.properties[spec].x-kubernetes-validations[0].{place}"
    assert text in found.message


def test_old_self_is_refused_where_nobody_knows_what_was_what() -> None:
    spec = struct(
        many={"type": "array", "items": {**INTEGER, "x-kubernetes-validations": [rule("self > oldSelf")]}}
    )
    (found,) = rules.check(root(spec), "schema")
    assert "oldSelf cannot be used on the uncorrelatable portion of the schema within" in found.message


def test_rules_that_never_end_are_stopped_and_the_object_refused() -> None:
    text = "self.many.all(a, self.many.all(b, self.many.all(c, a + b + c >= 0)))"
    schema = root(struct(rule(text), many={"type": "array", "items": INTEGER}))
    (found,) = refused(schema, {"many": [1] * 2000})
    assert "operation cancelled: actual cost limit exceeded" in found


def test_an_object_that_breaks_its_schema_is_not_judged_further() -> None:
    from fairlead.keep import validating_values as v

    found = rules.blocked([v.required("spec.a")])
    assert found is not None
    assert found.field == "<nil>"
    assert found.message.startswith('Invalid value: "null": some validation rules were not checked')
    assert rules.blocked([v.invalid("spec.a", 1, "odd")]) is None


def test_names_and_types() -> None:
    assert escaped("a b") is None
    assert escaped("for") == "__for__"
    assert str(type_of_schema({"type": "array", "items": NUMBER})) == "list(double)"
    assert type_of_schema({"x-kubernetes-preserve-unknown-fields": True}) is None
    assert rules.ruling(root(struct(a=INTEGER))) is None
