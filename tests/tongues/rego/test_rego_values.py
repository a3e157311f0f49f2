"""Rego's values: equality, keys and order agree with one another, whatever the values."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.tongues.rego import read_value, values
from fairlead.tongues.rego.errors import TooLarge
from fairlead.tongues.rego.values import (
    UNDEFINED,
    Boxed,
    Set,
    box,
    compare,
    equal,
    from_plain,
    in_order,
    json_text,
    key,
    lookup,
    number_text,
    show,
    sorted_items,
    to_json,
    type_name,
    unbox,
)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0.0, 1.0, -0.0, 2.0])
    | st.text(st.characters(codec="utf-8"), max_size=4)
)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(Set)
        | st.dictionaries(inner.map(box), inner, max_size=3)
    )


VALUES = st.recursive(SCALARS, containers, max_leaves=8)


@given(VALUES, VALUES)
def test_equality_keys_and_order_agree(one: Any, other: Any) -> None:
    same = equal(one, other)
    assert same == equal(other, one)
    assert same == (key(one) == key(other))
    assert same == (compare(one, other) == 0)
    assert compare(one, other) == -compare(other, one)
    if same:
        assert hash(key(one)) == hash(key(other))


@given(VALUES, VALUES, VALUES)
def test_the_order_is_total(one: Any, other: Any, third: Any) -> None:
    first, second, last = in_order([one, other, third])
    assert compare(first, second) <= 0
    assert compare(second, last) <= 0
    assert compare(first, last) <= 0


@given(VALUES)
def test_a_value_is_itself(value: Any) -> None:
    assert equal(value, value)
    assert key(value) == key(value)
    assert unbox(box(value)) is value
    assert value in Set([value])
    assert lookup({box(value): 1}, value) == 1
    json.dumps(to_json(value))
    assert equal(to_json(json.loads(json.dumps(to_json(value)))), to_json(value))


@given(VALUES)
def test_what_is_shown_can_be_read(value: Any) -> None:
    assert equal(read_value(show(value)), value)


@given(st.lists(VALUES, max_size=5), st.lists(VALUES, max_size=5))
def test_sets_hold_each_value_once(ours: list[Any], theirs: list[Any]) -> None:
    left, right = Set(ours), Set(theirs)
    assert all(value in left for value in ours)
    assert all((value in (left & right)) == (value in left and value in right) for value in ours + theirs)
    assert all((value in (left - right)) == (value in left and value not in right) for value in ours + theirs)
    assert all(value in (left | right) for value in ours + theirs)
    assert len(left | right) == len(left) + len(right) - len(left & right)
    assert equal(Set(reversed(ours)), left)


@pytest.mark.parametrize(
    ("one", "other"),
    [(True, 1), (False, 0), ([True], [1]), ({"a": 1}, {"a": True}), ("1", 1), ([], {}), (None, False)],
)
def test_what_python_takes_for_one_is_two(one: Any, other: Any) -> None:
    assert not equal(one, other)
    assert len(Set([one, other])) == 2


def test_numbers_are_equal_by_what_they_are() -> None:
    assert equal(1, 1.0)
    assert equal([{"a": 2.0}], [{"a": 2}])
    assert lookup({Boxed(1): "x"}, 1.0) == "x"
    assert lookup({Boxed(1): "x"}, True) is UNDEFINED


def test_kinds_have_an_order() -> None:
    listing = [{1}, {"a": 1}, [1], "a", 2, 1.5, True, False, None]
    listed = in_order([from_plain(value) for value in listing])
    assert [type_name(value) for value in listed] == [
        "null",
        "boolean",
        "boolean",
        "number",
        "number",
        "string",
        "array",
        "object",
        "set",
    ]


def test_objects_are_shown_in_order() -> None:
    value = from_plain({"b": 1, 2: frozenset({3, 1}), "a": None, (1,): set()})
    assert show(value) == '{2: {1, 3}, "a": null, "b": 1, [1]: set()}'
    assert json_text(value) == '{"2":[1,3],"[1]":[],"a":null,"b":1}'
    assert [name for name, _ in sorted_items(value)] == [2, "a", "b", [1]]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (2.0, "2"),
        (-0.0, "0"),
        (1.5, "1.5"),
        (1e21, "1e+21"),
        (1.5e-7, "1.5e-7"),
        (1e-05, "0.00001"),
        (10**30, "1" + "0" * 30),
        (0.1, "0.1"),
    ],
)
def test_numbers_are_written_as_opa_writes_them(value: float, text: str) -> None:
    assert number_text(value) == text


def test_a_very_long_number_is_written() -> None:
    assert len(number_text(10**9000)) == 9001


def test_a_value_that_unfolds_without_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "MOST_PARTS", 10_000)
    value: list[Any] = [1]
    twin: list[Any] = [1]
    for _ in range(80):
        value, twin = [value, value], [twin, twin]
    for use in (key, show, to_json, json_text):
        with pytest.raises(TooLarge):
            use(value)
    with pytest.raises(TooLarge):
        equal(value, twin)
