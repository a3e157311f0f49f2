"""RFC 6902 and RFC 7386 as the API server applies them."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.keep.errors import Refusal
from fairlead.keep.patches import json_patch, merge_patch

DOCUMENT = {"a": {"b": [1, 2, 3], "~/": "x"}, "c": None}


def op(name: str, path: str, **more: Any) -> dict[str, Any]:
    return {"op": name, "path": path, **more}


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([], DOCUMENT),
        ([op("add", "/a/b/0", value=0)], {"a": {"b": [0, 1, 2, 3], "~/": "x"}, "c": None}),
        ([op("add", "/a/b/-", value=4)], {"a": {"b": [1, 2, 3, 4], "~/": "x"}, "c": None}),
        ([op("add", "/a/b/-1", value=4)], {"a": {"b": [1, 2, 3, 4], "~/": "x"}, "c": None}),
        ([op("remove", "/a/b/1"), op("remove", "/c")], {"a": {"b": [1, 3], "~/": "x"}}),
        ([op("replace", "/a/~0~1", value="y")], {"a": {"b": [1, 2, 3], "~/": "y"}, "c": None}),
        ([op("replace", "/d", value=1), op("remove", "/a")], {"c": None, "d": 1}),
        ([op("move", "/d", **{"from": "/a/b"})], {"a": {"~/": "x"}, "c": None, "d": [1, 2, 3]}),
        ([op("copy", "/d", **{"from": "/a/b/0"})], {**DOCUMENT, "d": 1}),
        ([op("test", "/a/b", value=[1, 2, 3]), op("test", "/c", value=None), op("test", "/z")], DOCUMENT),
        ([op("replace", "", value={"z": 1})], {"z": 1}),
    ],
)
def test_operations_apply_in_order(operations: list[Any], expected: Any) -> None:
    document = copy.deepcopy(DOCUMENT)
    assert json_patch(document, operations) == expected
    assert document == DOCUMENT


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
        (op("add", "", value={}), 'add operation does not apply: doc is missing path: "": missing value'),
        (
            op("add", "/a/b/9", value=1),
            "error in add for path: '/a/b/9': Unable to access invalid index: 9: invalid index referenced",
        ),
        (
            op("remove", "/a/b/x"),
            "error in remove for path: '/a/b/x': strconv.Atoi: parsing \"x\": invalid syntax",
        ),
        (
            op("replace", "/a/b/9", value=1),
            "replace operation does not apply: doc is missing key: /a/b/9: missing value",
        ),
        (
            op("move", "/d", **{"from": "/z/y"}),
            "move operation does not apply: doc is missing from path: /z/y: missing value",
        ),
        (op("zap", "/a"), "Unexpected kind: zap"),
        ({"path": "/a"}, "Unexpected kind: unknown"),
        ({"op": "add"}, "add operation failed to decode path: missing value"),
        (op("replace", "", value=1), "replace operation value must be object or array"),
        (
            op("replace", "", value=[]),
            "json: cannot unmarshal array into Go value of type map[string]interface {}",
        ),
    ],
)
def test_what_does_not_apply_is_422_and_says_why(operation: Any, why: str) -> None:
    with pytest.raises(Refusal) as caught:
        json_patch(copy.deepcopy(DOCUMENT), [operation])
    refusal = caught.value
    assert (refusal.code, refusal.reason) == (422, "Invalid")
    assert refusal.message == "the server rejected our request due to an error in our request"
    assert refusal.details is not None
    assert refusal.details["causes"][0]["message"] == why


def test_what_is_no_patch_is_400() -> None:
    patches: list[Any] = [{}, "x", None, [1]]
    for patch in patches:
        with pytest.raises(Refusal) as caught:
            json_patch({}, patch)
        assert caught.value.code == 400
    with pytest.raises(Refusal) as caught:
        merge_patch({}, [])
    assert caught.value.message == (
        "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"
    )


def test_floods_are_refused() -> None:
    with pytest.raises(Refusal) as caught:
        json_patch({}, [op("add", "/a", value=1)] * 10_001)
    assert caught.value.code == 413
    doubling = [op("add", "/a", value=["x" * 1000])] + [op("copy", "/a/-", **{"from": "/a"})] * 40
    with pytest.raises(Refusal, match="the server rejected"):
        json_patch({}, doubling)


def test_a_merge_patch_removes_merges_and_replaces() -> None:
    document = {"a": {"b": 1, "c": 2}, "l": [1, 2], "s": "x"}
    patch = {"a": {"b": None, "d": {"e": None, "f": 1}}, "l": [3], "s": {"t": None}, "gone": None}
    assert merge_patch(document, patch) == {"a": {"c": 2, "d": {"f": 1}}, "l": [3], "s": {}}
    assert document == {"a": {"b": 1, "c": 2}, "l": [1, 2], "s": "x"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("abc"), JSON, max_size=3)


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_is_idempotent(target: Any, patch: Any) -> None:
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once


POINTERS = st.lists(st.sampled_from(["a", "b", "0", "-1", "-", "~1"]), max_size=3).map(
    lambda parts: "".join(f"/{part}" for part in parts)
)
OPERATIONS = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "x"])},
    optional={"path": POINTERS, "from": POINTERS, "value": JSON},
)


@given(OBJECTS, st.lists(OPERATIONS, max_size=4))
def test_any_operations_give_an_object_or_a_refusal(target: Any, operations: list[Any]) -> None:
    before = copy.deepcopy(target)
    try:
        assert isinstance(json_patch(target, operations), dict)
    except Refusal as refusal:
        assert refusal.code == 422  # noqa: PT017 -- either outcome is right
    assert target == before


def test_bottomless_patches_are_refused() -> None:
    deep: Any = {}
    for _ in range(5000):
        deep = {"a": deep}
    with pytest.raises(Refusal, match="the patch is nested too deeply"):
        merge_patch({}, deep)
    digging = [op("copy", "/a/a", **{"from": "/a"})] * 15
    with pytest.raises(Refusal, match="the server rejected"):
        json_patch({"a": {}}, [*digging, op("copy", "/b", **{"from": "/a"}), op("test", "/b", value=deep)])
