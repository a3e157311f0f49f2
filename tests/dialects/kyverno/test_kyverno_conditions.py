"""Conditions: what each operator makes of keys and values, and when a block holds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from fairlead.dialects.kyverno.conditions import BadCondition, compile_conditions
from fairlead.dialects.kyverno.contexts import Context, Unresolved
from fairlead.judge.subjects import subject_of
from fairlead.judge.surroundings import Surroundings
from fairlead.keep.kinds import Catalogue
from fairlead.reactor.kindnames import KindNames
from fairlead.words import Snapshot

KINDS = KindNames(Catalogue())


def context(data: dict[str, Any] | None = None) -> Context:
    around = Surroundings(view=Snapshot(), now=datetime(2024, 1, 1, tzinfo=UTC), kinds=KINDS)
    resource = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": data or {}}
    return Context(subject_of(resource, "configmaps"), around)


def holds(key: Any, operator: str, value: Any) -> bool:
    return compile_conditions([{"key": key, "operator": operator, "value": value}])(context())


EQUAL: list[tuple[Any, Any, bool]] = [
    ("string", "string", True),
    ("string", "not string", False),
    (1, 1, True),
    (1, 1.0, True),
    (1, 2, False),
    (1, "1", True),
    (1, "2", False),
    ("string", 1, False),
    ("1", 1, False),
    (True, True, True),
    (True, "true", False),
    (True, 1, False),
    ("1024", "1Ki", True),
    ("1Gi", "1024Mi", True),
    ("10Gi", "1024Mi", False),
    ("1h", "60m", True),
    ("1h", 3600, True),
    (3600, "1h", True),
    ("2h", 3600, False),
    ({"a": "b"}, {"a": "b"}, True),
    ({"a": "b"}, {"b": "a"}, False),
    ({"a": 1}, {"a": True}, False),
    (["a", "b"], ["a", "b"], True),
    (["a", "b"], ["b", "a"], False),
    ("1.5.2", "1.5.*", True),
    ("1.5.*", "1.5.2", False),
    ("1.5.0", "1.5.5", False),
    ("", "", True),
    ("x", "", False),
]


@pytest.mark.parametrize(("key", "value", "wanted"), EQUAL, ids=str)
def test_equality(key: Any, value: Any, wanted: bool) -> None:
    assert holds(key, "Equals", value) is wanted
    assert holds(key, "Equal", value) is wanted
    assert holds(key, "NotEquals", value) is not wanted
    assert holds(key, "notequal", value) is not wanted


def test_nothing_is_neither_equal_nor_unequal() -> None:
    assert not holds(None, "Equals", None)
    assert not holds(None, "NotEquals", "x")


MORE: list[tuple[Any, Any, int | None]] = [
    (10, 1, 1),
    (1.5, 1, 1),
    (1, 10, -1),
    (1, 1.0, 0),
    (-5, -10, 1),
    ("1025", "1Ki", 1),
    ("1Ki", "1023", 1),
    ("10Gi", "10Gi", 0),
    ("1Gi", "1Mi", 1),
    ("10h", "1h", 1),
    ("1h", 3600, 0),
    (3600, "30m", 1),
    ("10", 1, 1),
    (100, "10", 1),
    ("1", "10", -1),
    ("1.5.5", "1.5.0", 1),
    ("1.5.0", "1.5.5", -1),
    ("1.5.5", "1.5.5", 0),
    ("x", 1, None),
    (True, 1, None),
    (None, 1, None),
    ("1Gi", 1, None),
    (1, [1], None),
]


@pytest.mark.parametrize(("key", "value", "order"), MORE, ids=str)
def test_order(key: Any, value: Any, order: int | None) -> None:
    assert holds(key, "GreaterThan", value) is (order == 1)
    assert holds(key, "LessThan", value) is (order == -1)
    assert holds(key, "GreaterThanOrEquals", value) is (order in {0, 1})
    assert holds(key, "LessThanOrEquals", value) is (order in {0, -1})


@pytest.mark.parametrize(
    ("key", "value", "order"),
    [("1h", "30m", 1), (1, "30s", -1), ("1h", 3600, 0), ("x", "1h", None), ("1h", "x", None)],
)
def test_order_of_durations(key: Any, value: Any, order: int | None) -> None:
    assert holds(key, "DurationGreaterThan", value) is (order == 1)
    assert holds(key, "DurationLessThan", value) is (order == -1)
    assert holds(key, "DurationGreaterThanOrEquals", value) is (order in {0, 1})
    assert holds(key, "DurationLessThanOrEquals", value) is (order in {0, -1})


AMONG: list[tuple[Any, Any, tuple[int, int] | None]] = [
    # key, value, (how many keys are among the values, how many keys) or None where the values are of no use
    ("kyverno", "kyverno", (1, 1)),
    ("kube-system", ["default", "kube-*"], (1, 1)),
    ("kyverno", "default", (0, 1)),
    (64, "64", (1, 1)),
    (1, [1, 2, 3], (1, 1)),
    (64, "default", (0, 1)),
    (3.14, "3.14", (1, 1)),
    (2.2, [1.1, 2.2], (1, 1)),
    (True, "true", (1, 1)),
    (["kube-system", "kube-public"], "kube-*", (2, 2)),
    (["kube-system", "default"], "kube-system", (1, 2)),
    (["default", "kyverno"], "kube-*", (0, 2)),
    (["default", "kyverno"], ["kube-*", "ky*"], (1, 2)),
    (["default", "kyverno"], ["kube-*", "kube-system"], (0, 2)),
    ([], ["default"], (0, 0)),
    ("", ["default"], (0, 1)),
    ("ky*", ["kyverno"], (1, 1)),
    ("5", "1-10", (1, 1)),
    ("0", "1-10", (0, 1)),
    (["0", "5"], "1-10", (1, 2)),
    (["0", "20"], "1-10", (0, 2)),
    ("apple", '["apple", "banana"]', (1, 1)),
    ("cherry", '["apple", "banana"]', (0, 1)),
    (["apple", "cherry"], '["apple", "banana"]', (1, 2)),
    ([1], 1, (1, 1)),
    ("x", 1, None),
    ("x", {"a": "b"}, None),
    ("x", "64", None),
    ("x", '{"a": 1}', None),
    ({"a": "b"}, "test", None),
    (None, ["x"], None),
    ("x", None, None),
]


@pytest.mark.parametrize(("key", "value", "found"), AMONG, ids=str)
def test_membership(key: Any, value: Any, found: tuple[int, int] | None) -> None:
    some, every = found or (0, 0)
    usable = found is not None
    assert holds(key, "AnyIn", value) is (usable and some > 0)
    assert holds(key, "AllIn", value) is (usable and some == every)
    assert holds(key, "In", value) is (usable and some == every)
    assert holds(key, "AnyNotIn", value) is (usable and some < every)
    assert holds(key, "NotIn", value) is (usable and some < every)
    assert holds(key, "AllNotIn", value) is (usable and some == 0)


YES = {"key": 1, "operator": "Equals", "value": 1, "message": "yes"}
NO = {"key": 1, "operator": "Equals", "value": 2, "message": "no"}


@pytest.mark.parametrize(
    ("document", "wanted"),
    [
        (None, (True, "")),
        ({}, (True, "")),
        ([], (True, "")),
        ({"any": [NO, YES]}, (True, "yes")),
        ({"any": [NO, NO]}, (False, "no; no")),
        ({"any": []}, (False, "")),
        ({"any": None, "all": [YES]}, (True, "yes")),
        ({"all": [YES, NO, YES]}, (False, "no")),
        ({"any": [YES], "all": [YES, YES]}, (True, "yes; yes; yes")),
        ({"any": [YES], "all": [NO]}, (False, "no")),
        ([YES, YES], (True, "yes; yes")),
        ([YES, NO], (False, "no")),
        ([{"any": [YES]}, {"all": [NO]}], (False, "no")),
        ([{"any": [YES]}, {"all": [YES]}], (True, "yes; yes")),
    ],
)
def test_blocks(document: Any, wanted: tuple[bool, str]) -> None:
    conditions = compile_conditions(document)
    assert conditions.explain(context()) == wanted
    assert conditions(context()) is wanted[0]


def test_what_is_decided_is_not_looked_up() -> None:
    unknown = {"key": "{{ nobody }}", "operator": "Equals", "value": 1}
    assert compile_conditions({"any": [YES, unknown]})(context())
    assert not compile_conditions({"all": [NO, unknown]})(context())
    with pytest.raises(
        Unresolved, match="failed to substitute variables in condition key: failed to resolve nobody"
    ):
        compile_conditions({"all": [unknown]})(context())
    with pytest.raises(Unresolved, match="condition value"):
        compile_conditions([{"key": 1, "operator": "In", "value": ["{{ nobody }}"]}])(context())


def test_messages_are_filled_in() -> None:
    document = [{**YES, "message": "{{ request.object.data.a }}"}]
    assert compile_conditions(document).explain(context({"a": "b"})) == (True, "b")
    assert compile_conditions(document).explain(context()) == (True, "{{ request.object.data.a }}")


@pytest.mark.parametrize(
    "document",
    [
        "x",
        [1],
        {"some": []},
        {"any": {}},
        {"any": [1]},
        [{"key": 1, "operator": "Near", "value": 1}],
        [{"key": 1, "value": 1}],
        [{"key": 1, "operator": "In", "values": []}],
    ],
)
def test_what_is_no_condition_is_refused(document: Any) -> None:
    with pytest.raises(BadCondition):
        compile_conditions(document)
