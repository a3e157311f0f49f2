"""Strategic merge patches, on types made by hand."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.keep.errors import Refusal
from fairlead.keep.merging import go_text, strategic_patch
from fairlead.keep.nodes import Node

TEXT = Node("scalar", scalar="string")


def struct(**fields: Node) -> Node:
    return Node("struct", fields=lambda: fields, struct="Thing")


def items(of: Node, *strategy: str, key: str = "") -> Node:
    return Node("list", items=lambda: of, merge_strategy=frozenset(strategy), merge_key=key)


PORT = struct(containerPort=Node("scalar", scalar="int32"), name=TEXT)
CONTAINER = struct(name=TEXT, image=TEXT, args=items(TEXT), ports=items(PORT, "merge", key="containerPort"))
THING = struct(
    labels=Node("map", items=lambda: TEXT),
    finalizers=items(TEXT, "merge"),
    containers=items(CONTAINER, "merge", key="name"),
    volumes=items(struct(name=TEXT), "merge", "retainKeys", key="name"),
    tolerations=items(struct(key=TEXT)),
    whole=Node(
        "struct", fields=lambda: {"a": TEXT, "b": TEXT}, struct="Whole", merge_strategy=frozenset({"replace"})
    ),
    strategy=struct(type=TEXT, rollingUpdate=struct(maxSurge=TEXT)),
    matrix=items(items(TEXT, "merge"), "merge"),
)


def names(*values: str, **more: Any) -> list[dict[str, Any]]:
    return [{"name": value, **more} for value in values]


CASES: dict[str, tuple[Any, Any, Any]] = {
    "maps merge and null removes": (
        {"labels": {"a": "1", "b": "2"}},
        {"labels": {"a": None, "c": "3"}},
        {"labels": {"b": "2", "c": "3"}},
    ),
    "a list without a strategy is replaced": (
        {"tolerations": [{"key": "a"}]},
        {"tolerations": [{"key": "b"}]},
        {"tolerations": [{"key": "b"}]},
    ),
    "items merge by their key, new ones stand first and keep the old order": (
        {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}]},
        {"containers": [{"name": "c"}, {"name": "b", "image": "3"}]},
        {"containers": [{"name": "c"}, {"name": "a", "image": "1"}, {"name": "b", "image": "3"}]},
    ),
    "scalars merge as a set": (
        {"finalizers": ["a", "b"]},
        {"finalizers": ["c", "a"]},
        {"finalizers": ["c", "a", "b"]},
    ),
    "an item is deleted by its key": (
        {"containers": names("a", "b")},
        {"containers": [{"$patch": "delete", "name": "a"}]},
        {"containers": names("b")},
    ),
    "a list is replaced when one element says so": (
        {"containers": names("a", "b")},
        {"containers": [{"$patch": "replace"}, {"name": "c"}]},
        {"containers": names("c")},
    ),
    "a map is replaced": (
        {"strategy": {"type": "x", "rollingUpdate": {"maxSurge": "1"}}},
        {"strategy": {"$patch": "replace", "type": "Recreate"}},
        {"strategy": {"type": "Recreate"}},
    ),
    "a map is emptied": (
        {"strategy": {"type": "x"}},
        {"strategy": {"$patch": "delete"}},
        {"strategy": {}},
    ),
    "a struct with the replace strategy is replaced": (
        {"whole": {"a": "1"}},
        {"whole": {"b": "2"}},
        {"whole": {"b": "2"}},
    ),
    "retainKeys drops what is not named": (
        {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "1"}}},
        {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}},
        {"strategy": {"type": "Recreate"}},
    ),
    "scalars are deleted from a list": (
        {"finalizers": ["a", "b", "c"]},
        {"$deleteFromPrimitiveList/finalizers": ["a", "c"]},
        {"finalizers": ["b"]},
    ),
    "an order alone sorts": (
        {"containers": names("a", "b", "c")},
        {"$setElementOrder/containers": names("c", "a")},
        {"containers": names("b", "c", "a")},
    ),
    "an order stands above that of the patch": (
        {"containers": names("a", "b")},
        {"$setElementOrder/containers": names("c", "b", "a"), "containers": names("c")},
        {"containers": names("c", "b", "a")},
    ),
    "an order for a list that is in neither does nothing": (
        {},
        {"$setElementOrder/containers": names("c")},
        {},
    ),
    "what is new loses its nulls and directives": (
        {},
        {"containers": [{"name": "a", "image": None}, {"$patch": "delete", "name": "b"}]},
        {"containers": names("a")},
    ),
    "another type replaces": ({"labels": "x"}, {"labels": {"a": "1"}}, {"labels": {"a": "1"}}),
}


@pytest.mark.parametrize("name", CASES)
def test_strategic_merge(name: str) -> None:
    target, patch, expected = copy.deepcopy(CASES[name])
    assert strategic_patch(target, patch, THING) == expected
    assert (target, patch) == CASES[name][:2]


@pytest.mark.parametrize(
    ("target", "patch", "code", "message"),
    [
        (
            {},
            [],
            400,
            "json: cannot unmarshal array into Go value of type map[string]interface {}",
        ),
        (
            {"containers": names("a")},
            {"containers": [{"image": "x"}]},
            500,
            "map: map[image:x] does not contain declared merge key: name",
        ),
        (
            {"containers": names("a")},
            {"containers": [{"$patch": "zap", "name": "a"}]},
            500,
            "unknown patch type: zap in map: map[$patch:zap name:a]",
        ),
        (
            {"labels": {}},
            {"labels": {"$patch": "zap"}},
            500,
            "unknown patch type: zap in map: map[$patch:zap]",
        ),
        ({}, {"$retainKeys": "x"}, 400, "invalid patch format of retainKeys"),
        ({}, {"$retainKeys": [], "labels": {}}, 400, "invalid patch format of retainKeys"),
        (
            {"finalizers": ["a"]},
            {"$deleteFromPrimitiveListfinalizers": ["a"]},
            400,
            "invalid patch format of primitive list",
        ),
        (
            {"finalizers": ["a"]},
            {"$setElementOrder/finalizers": ["a", "b"], "finalizers": ["b", "a"]},
            500,
            "The order in patch list:\n[b a]\n doesn't match $setElementOrder list:\n[a b]\n",
        ),
        (
            {"containers": names("a")},
            {"containers": ["a"]},
            500,
            "list element types are not identical: [[map[name:a]] [a]]",
        ),
        (
            {"nope": {}},
            {"nope": {"a": 1}},
            500,
            'unable to find api field in struct Thing for the json field "nope"',
        ),
    ],
)
def test_refusals_are_kubernetes_own(target: Any, patch: Any, code: int, message: str) -> None:
    with pytest.raises(Refusal) as caught:
        strategic_patch(target, patch, THING)
    assert (caught.value.code, caught.value.message) == (code, message)


def test_lists_of_lists_are_422() -> None:
    with pytest.raises(Refusal) as caught:
        strategic_patch({"matrix": [["a"]]}, {"matrix": [["b"]]}, THING)
    assert caught.value.code == 422


def test_values_are_printed_as_go_prints_them() -> None:
    assert go_text({"b": [1, True, None], "a": {}}) == "map[a:map[] b:[1 true <nil>]]"


NAMES = st.lists(st.sampled_from("abcd"), unique=True)


@given(NAMES, NAMES)
def test_merged_lists_hold_both_and_merging_twice_changes_nothing(
    before: list[str], patch: list[str]
) -> None:
    target, change = {"containers": names(*before)}, {"containers": names(*patch, image="x")}
    once = strategic_patch(target, change, THING)
    found = [item["name"] for item in once["containers"]]
    assert sorted(found) == sorted({*before, *patch})
    assert [name for name in found if name in patch] == patch
    assert strategic_patch(once, change, THING) == once


PATCHES = st.recursive(
    st.none() | st.integers(0, 2) | st.sampled_from(["a", "b", "delete", "replace"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "containers",
                    "name",
                    "ports",
                    "containerPort",
                    "finalizers",
                    "labels",
                    "$patch",
                    "$retainKeys",
                    "$setElementOrder/containers",
                    "$setElementOrder/finalizers",
                    "$deleteFromPrimitiveList/finalizers",
                    "$deleteFromPrimitiveList/labels",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    st.fixed_dictionaries({"containers": NAMES.map(lambda found: names(*found)), "finalizers": NAMES}),
    st.dictionaries(
        st.sampled_from(["containers", "finalizers", "labels", "$setElementOrder/containers"]), PATCHES
    ),
)
def test_any_patch_gives_an_object_or_a_refusal(target: Any, patch: Any) -> None:
    try:
        assert isinstance(strategic_patch(target, patch, THING), dict)
    except Refusal:
        return


def test_a_patch_may_name_a_new_item_twice() -> None:
    one, other = {"name": "a", "image": "x"}, {"name": "a", "args": ["y"]}
    assert strategic_patch({"containers": []}, {"containers": [one, other]}, THING) == {
        "containers": [{"name": "a", "image": "x", "args": ["y"]}]
    }
