"""RFC 6902: what operations do, in Kubernetes' and in Kyverno's manner, and the way from one document to another."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.tongues import jsonpatch
from fairlead.tongues.jsonpatch import Manner

DOCUMENT = {"a": {"b": [1, 2, 3], "~/": "x"}, "c": None}


def op(name: str, path: str, **more: Any) -> dict[str, Any]:
    return {"op": name, "path": path, **more}


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([], DOCUMENT),
        ([op("add", "/a/b/0", value=0)], {"a": {"b": [0, 1, 2, 3], "~/": "x"}, "c": None}),
        ([op("add", "/a/b/-", value=4)], {"a": {"b": [1, 2, 3, 4], "~/": "x"}, "c": None}),
        ([op("remove", "/a/b/-1"), op("remove", "/c")], {"a": {"b": [1, 2], "~/": "x"}}),
        ([op("replace", "/a/~0~1", value="y")], {"a": {"b": [1, 2, 3], "~/": "y"}, "c": None}),
        ([op("replace", "/d", value=1), op("remove", "/a")], {"c": None, "d": 1}),
        ([op("move", "/d", **{"from": "/a/b"})], {"a": {"~/": "x"}, "c": None, "d": [1, 2, 3]}),
        ([op("test", "/a/b", value=[1, 2, 3]), op("test", "/z")], DOCUMENT),
        ([op("replace", "", value={"z": 1})], {"z": 1}),
    ],
)
def test_operations_apply_in_order(operations: list[Any], expected: Any) -> None:
    document, given_operations = copy.deepcopy(DOCUMENT), copy.deepcopy(operations)
    assert jsonpatch.apply(document, operations) == expected
    assert (document, operations) == (DOCUMENT, given_operations)


def test_what_was_copied_goes_its_own_way() -> None:
    operations = [
        op("copy", "/d", **{"from": "/a"}),
        op("add", "/d/b/-", value=4),
        op("replace", "/a/b/0", value=9),
    ]
    assert jsonpatch.apply(DOCUMENT, operations) == {
        "a": {"b": [9, 2, 3], "~/": "x"},
        "c": None,
        "d": {"b": [1, 2, 3, 4], "~/": "x"},
    }


def test_a_compiled_patch_serves_many_documents() -> None:
    patch = jsonpatch.compile([op("add", "/l", value=[]), op("add", "/l/-", value=1)])
    assert [patch({}), patch({"x": 1})] == [{"l": [1]}, {"x": 1, "l": [1]}]
    assert patch({}) == {"l": [1]}


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([op("remove", "/x/y")], {"l": [1]}),
        ([op("remove", "/l/7")], {"l": [1]}),
        ([op("add", "/x/y/z", value=1)], {"l": [1], "x": {"y": {"z": 1}}}),
        ([op("add", "/x/-", value=1)], {"l": [1], "x": [1]}),
        ([op("add", "/x/0/y", value=1)], {"l": [1], "x": [{"y": 1}]}),
        ([op("add", "/x/-1/y/-1", value=1)], {"l": [1], "x": [{"y": [1]}]}),
        ([op("add", "/l/2/y", value=1)], {"l": [1, None, {"y": 1}]}),
        ([op("add", "/l/-", value=2)], {"l": [1, 2]}),
        ([op("add", "/n/m", value=2), op("replace", "/n/m", value=3)], {"l": [1], "n": {"m": 3}}),
    ],
)
def test_the_lenient_manner_makes_what_is_on_the_way(operations: list[Any], expected: Any) -> None:
    assert jsonpatch.apply({"l": [1]}, operations, Manner.LENIENT) == expected


def test_the_lenient_manner_replaces_only_what_is_there() -> None:
    with pytest.raises(jsonpatch.Unpatchable, match="replace operation does not apply: doc is missing key"):
        jsonpatch.apply({}, [op("replace", "/a", value=1)], Manner.LENIENT)


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        (op("test", "/a/b/0", value=1.0), "testing value /a/b/0 failed: test failed"),
        (op("test", "/a/b/0", value=True), "testing value /a/b/0 failed: test failed"),
        (
            op("remove", "/z"),
            "error in remove for path: '/z': Unable to remove nonexistent key: z: missing value",
        ),
        (
            op("add", "/z/y", value=1),
            'add operation does not apply: doc is missing path: "/z/y": missing value',
        ),
        (op("zap", "/a"), "Unexpected kind: zap"),
        ({"op": "add"}, "add operation failed to decode path: missing value"),
    ],
)
def test_what_does_not_apply_says_why(operation: Any, why: str) -> None:
    with pytest.raises(jsonpatch.Unpatchable) as caught:
        jsonpatch.apply(DOCUMENT, [operation])
    assert str(caught.value) == why
    assert isinstance(caught.value, jsonpatch.TestFailed) is (operation["op"] == "test")


def test_copies_are_limited() -> None:
    doubling = [op("add", "/a", value=["x" * 1000])] + [op("copy", "/a/-", **{"from": "/a"})] * 40
    with pytest.raises(jsonpatch.Unpatchable, match="exceeding the limit"):
        jsonpatch.apply({}, doubling)
    padding = [op("add", "/a/999999999/b", value=1)]
    with pytest.raises(jsonpatch.Unpatchable, match="invalid index referenced"):
        jsonpatch.apply({}, padding, Manner.LENIENT)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.floats(0, 2, width=16) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from("ab/~"), inner, max_size=3),
    max_leaves=16,
)


@given(JSON, JSON)
def test_a_difference_leads_from_one_document_to_the_other(before: Any, after: Any) -> None:
    operations = jsonpatch.diff(before, after)
    if operations and operations[0]["path"] == "" and not isinstance(after, dict | list):
        return  # a document is an object or a list
    assert jsonpatch.same(jsonpatch.apply(before, operations), after)
    assert bool(operations) is not jsonpatch.same(before, after)


@pytest.mark.parametrize(
    ("before", "after", "operations"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": True}, [op("replace", "/a", value=True)]),
        (
            {"a": {"b": 1, "c": 2}},
            {"a": {"b": 1, "d": 3}},
            [op("remove", "/a/c"), op("add", "/a/d", value=3)],
        ),
        ({"a": [1, 2, 3]}, {"a": [1, 3]}, [op("remove", "/a/1")]),
        ({"a": [1, 2, 3]}, {"a": [0, 1, 2, 3]}, [op("add", "/a/0", value=0)]),
        (
            {"a": [{"n": 1}, {"n": 2}, {"n": 3}]},
            {"a": [{"n": 1, "x": 1}, {"n": 3}]},
            [op("add", "/a/0/x", value=1), op("remove", "/a/1")],
        ),
        (
            [1, 2, 3, 4],
            [2, 9, 4, 5],
            [op("remove", "/0"), op("replace", "/1", value=9), op("add", "/3", value=5)],
        ),
    ],
)
def test_differences_are_small(before: Any, after: Any, operations: list[Any]) -> None:
    assert jsonpatch.diff(before, after) == operations


POINTERS = st.lists(st.sampled_from(["a", "b", "0", "-1", "-", "~1"]), max_size=3).map(
    lambda parts: "".join(f"/{part}" for part in parts)
)
OPERATIONS = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "x"])},
    optional={"path": POINTERS, "from": POINTERS, "value": JSON},
)


@given(JSON, st.lists(OPERATIONS, max_size=5), st.sampled_from(Manner))
def test_nothing_that_is_handed_in_changes(document: Any, operations: list[Any], manner: Manner) -> None:
    before = copy.deepcopy((document, operations))
    try:
        once = jsonpatch.apply(document, operations, manner)
        assert jsonpatch.same(jsonpatch.apply(document, operations, manner), once)
    except jsonpatch.Unpatchable as error:
        assert str(error)  # noqa: PT017 -- either outcome is right
    assert jsonpatch.same(list(before), [document, operations])
